"""Generated modules on disk, named by their content.

A generated module is a real ``.py`` file, because Numba refuses to cache functions that were made by ``exec``. Its name
holds the hash of the source, the generator, the compilers and the processor, so a file is written once and never
changed; Numba's own cache files lie beside it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import logging
import os
import platform
import shutil
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

__all__ = ["CacheInfo", "CacheWarning", "cache_directory", "cache_info", "clear_cache", "content_hash", "load_module"]

ENVIRONMENT_VARIABLE = "HERMITON_CACHE_DIR"

_LOG = logging.getLogger(__name__)


class CacheWarning(UserWarning):
    """The cache folder can't be used; says where kernels go instead."""


@dataclass(frozen=True)
class CacheInfo:
    """What the kernel cache holds.

    Parameters
    ----------
    directory : Path
        Where the generated modules lie.
    modules : int
        Number of generated modules.
    size : int
        Size of everything in the folder, in bytes.
    """

    directory: Path
    modules: int
    size: int


@functools.cache
def _usable_directory(base: Path, kind: str) -> Path:
    """The wanted folder if it can be written, else a private temporary one, with a warning."""
    wanted = base / kind
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            pass
    except OSError as error:
        fallback = Path(tempfile.gettempdir()) / f"hermiton-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        fallback.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and (fallback.is_symlink() or fallback.stat().st_uid != os.getuid()):
            fallback = Path(tempfile.mkdtemp(prefix="hermiton-"))
        fallback /= kind
        fallback.mkdir(exist_ok=True)
        warnings.warn(
            f"the cache folder {wanted} can't be written ({error.strerror}); {kind} go to {fallback} instead: "
            f"set {ENVIRONMENT_VARIABLE} to a folder that you can write",
            CacheWarning,
            stacklevel=2,
        )
        return fallback
    return wanted


def cache_directory(kind: str = "kernels") -> Path:
    """The folder for generated modules: inside ``HERMITON_CACHE_DIR``, or the user's cache folder.

    Parameters
    ----------
    kind : str
        Name of the folder: ``"kernels"``, or another for what else hermiton keeps, such as ``"runs"``.

    Returns
    -------
    Path
        A folder that exists and can be written. If the wanted one can't, a temporary one, and a `CacheWarning` is
        issued once.
    """
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return _usable_directory(Path(chosen).expanduser(), kind)
    import platformdirs

    return _usable_directory(Path(platformdirs.user_cache_dir("hermiton")), kind)


@functools.cache
def _toolchain() -> str:
    """Everything beside the source that a compiled kernel depends on."""
    import llvmlite
    import llvmlite.binding
    import numba

    return "|".join(
        [platform.python_version(), numba.__version__, llvmlite.__version__, str(llvmlite.binding.get_host_cpu_name())]
    )


def content_hash(source: str) -> str:
    """Hash of a generated module's text and of the tools that compile it; equal in every process on one machine."""
    return hashlib.sha256(f"{_toolchain()}\n{source}".encode()).hexdigest()[:20]


@functools.cache
def _load(path: Path) -> ModuleType:
    name = f"hermiton_generated_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"can't import the generated module {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_module(source: str, name: str) -> ModuleType:
    """Import generated source as a module whose compiled functions are kept on disk.

    Parameters
    ----------
    source : str
        Python source. Functions in it may use ``@njit(..., cache=True)``.
    name : str
        Readable beginning of the file name.

    Returns
    -------
    ModuleType
        The module; the same object for the same source within a process.
    """
    path = cache_directory() / f"{name}_{content_hash(source)}.py"
    new = not path.exists()
    if new:
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(source)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    started = time.perf_counter()
    module = _load(path)
    if new:
        _LOG.info("compiled %s in %.1f s", name, time.perf_counter() - started)
    return module


def cache_info() -> CacheInfo:
    """Where the cache is and how much it holds."""
    directory = cache_directory()
    files = [f for f in directory.rglob("*") if f.is_file()]
    return CacheInfo(directory, sum(f.suffix == ".py" for f in files), sum(f.stat().st_size for f in files))


def clear_cache() -> CacheInfo:
    """Delete all generated modules and their compiled code; returns what was there."""
    info = cache_info()
    for entry in info.directory.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    _load.cache_clear()
    return info
