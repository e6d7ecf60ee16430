"""Stored runs: one netCDF file a run, named by the hash of what was asked, written whole or not at all.

A run whose file exists is not run again, so a sweep that was killed resumes where it stopped. A file that can't be read
counts as missing, with a warning: it is made again and replaced.
"""

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..numerics.provenance import provenance
from ..theory.errors import VerificationError, argument_error

if TYPE_CHECKING:
    import xarray

__all__ = ["RunStore", "StoreInfo", "canonical_json"]

#: Part of every key: a change of the layout makes old files unknown instead of misread.
LAYOUT = 1
_SUFFIX = ".nc"


@dataclass(frozen=True)
class StoreInfo:
    """What a store holds.

    Attributes
    ----------
    path : Path
        Its folder.
    count : int
        Number of stored runs.
    bytes : int
        Their size together.
    """

    path: Path
    count: int
    bytes: int


class RunStore:
    """A folder of stored runs.

    Parameters
    ----------
    path : str or os.PathLike
        The folder; it is made when the first run is saved.

    Notes
    -----
    Many processes may write to one store: files appear by an atomic rename, and two writers of the same run write the
    same content.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self.path = Path(path).expanduser()
        except TypeError:
            raise argument_error("path", path, "is not a path", "give a folder, such as 'runs/'") from None

    def __repr__(self) -> str:
        return f"RunStore({str(self.path)!r})"

    def key(self, spec: Mapping[str, object]) -> str:
        """Return the name of a specification: a hash of its content, the same in every process.

        Parameters
        ----------
        spec : Mapping
            Numbers, text, None, arrays (by type, shape and bytes), and mappings, sequences, sets and dataclasses of
            these. The order of a mapping's entries does not matter. Anything else with a deterministic ``str`` of its
            own, such as a SymPy expression, enters by its type and text.

        Returns
        -------
        str
            40 hexadecimal digits.

        Raises
        ------
        AssumptionError
            A value whose text names a memory address: its hash would differ in every process.
        """
        return hashlib.sha256(canonical_json({"layout": LAYOUT, "spec": spec}).encode()).hexdigest()[:40]

    def file(self, spec: Mapping[str, object]) -> Path:
        """Return the path at which the run of this specification is stored, whether or not it is."""
        return self.path / (self.key(spec) + _SUFFIX)

    def load(self, spec: Mapping[str, object]) -> "xarray.Dataset | None":
        """Return the stored run of this specification.

        Returns
        -------
        xarray.Dataset or None
            In memory, its file closed; None where there is none, or none that can be read (with a warning).
        """
        import xarray

        file = self.file(spec)
        if not file.exists():
            return None
        try:
            with xarray.open_dataset(file, engine="h5netcdf") as opened:
                data = opened.load()
            stored = data.attrs.get("spec")
        except Exception as error:  # a damaged file raises whatever the damage leads to
            # OSError, ValueError, KeyError and RuntimeError have all been seen from truncated or overwritten files.
            _warn(f"stored run {file} can't be read ({type(error).__name__}: {error}); it counts as missing")
            return None
        if stored != canonical_json(spec):
            _warn(f"stored run {file} does not hold the specification it is named by; it counts as missing")
            return None
        return data

    def save(self, spec: Mapping[str, object], dataset: "xarray.Dataset") -> Path:
        """Store a run, replacing what is stored for this specification.

        Parameters
        ----------
        spec : Mapping
            As in `key`. A ``seed`` in it is also written as an attribute of its own.
        dataset : xarray.Dataset
            The run; it is not changed. The file's attributes are the dataset's with ``spec`` and the provenance added.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        VerificationError
            The folder can't be written.
        """
        file = self.file(spec)
        seed = {"seed": spec["seed"]} if "seed" in spec else {}
        stamped = dataset.assign_attrs({**provenance(**seed), **dataset.attrs, "spec": canonical_json(spec)})
        temporary = ""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=f".{file.stem}-", suffix=".part", dir=self.path)
            os.close(handle)
            # Checksums: a flipped bit in the numbers is noticed when they are read.
            checked = {str(name): {"fletcher32": True} for name, values in stamped.variables.items() if values.ndim}
            stamped.to_netcdf(temporary, engine="h5netcdf", encoding=checked)
            os.chmod(temporary, 0o644)  # mkstemp's 0600 would keep colleagues on a cluster from reading
            os.replace(temporary, file)
        except OSError as error:
            raise VerificationError(
                f"can't store the run in {self.path}: {error.strerror or error}. Give a folder that can be written, "
                "or free space on its disk"
            ) from error
        finally:
            if temporary and os.path.exists(temporary):
                os.unlink(temporary)
        return file

    def info(self) -> StoreInfo:
        """Return the number of stored runs and their size."""
        sizes = [file.stat().st_size for file in self._files()]
        return StoreInfo(self.path, len(sizes), sum(sizes))

    def clear(self) -> StoreInfo:
        """Delete all stored runs, and nothing else in the folder; return what was deleted.

        Raises
        ------
        VerificationError
            A file can't be deleted.
        """
        before = self.info()
        for file in [*self._files(), *self.path.glob(".*.part")]:
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise VerificationError(f"can't delete {file}: {error.strerror or error}. Delete it by hand") from error
        return before

    def _files(self) -> list[Path]:
        # Only names that are keys: a user's own netCDF file in the folder is not ours to count or delete.
        return sorted(file for file in self.path.glob("*" + _SUFFIX) if _is_key(file.stem))


def canonical_json(value: object) -> str:
    """Return one text for one content: sorted keys, no spaces, floats by their shortest exact decimal, arrays by hash.

    Parameters
    ----------
    value : object
        As in `RunStore.key`.

    Returns
    -------
    str

    Examples
    --------
    >>> canonical_json({"b": 1, "a": (0.1, None)})
    '{"a":[0.1,null],"b":1}'
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=True)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        # Subclasses (NumPy's float64, enumerations of str) by their plain value.
        return value if value is None or isinstance(value, bool) else _base(value)
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.random.SeedSequence):
        return {"entropy": _plain(value.entropy), "spawn_key": _plain(value.spawn_key)}
    if is_dataclass(value) and not isinstance(value, type):
        content = {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
        return {"type": type(value).__qualname__, **content}
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise argument_error("spec", wrong[0], "is a key that is not text", "use names as keys")
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, Set):
        return {"set": sorted(canonical_json(entry) for entry in value)}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(entry) for entry in value]
    text = str(value)
    if " at 0x" in text:
        raise argument_error("spec", value, "has no content to hash", "describe it by numbers, text or arrays")
    return {"type": type(value).__qualname__, "text": text}


def _base(value: int | float | str) -> int | float | str:
    for kind in (str, float, int):
        if isinstance(value, kind):
            return kind(value)
    raise AssertionError(value)


def _array(value: NDArray[Any]) -> object:
    if value.dtype.hasobject:
        return {"array": _plain(value.tolist())}
    # Little endian and C order, so that equal arrays are equal whatever their memory looks like.
    content = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    digest = hashlib.sha256(content.tobytes()).hexdigest()
    return {"dtype": content.dtype.str, "shape": list(value.shape), "sha256": digest}


def _is_key(name: str) -> bool:
    return len(name) == 40 and all(digit in "0123456789abcdef" for digit in name)


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)
