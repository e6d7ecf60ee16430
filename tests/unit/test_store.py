"""Stored runs: keys, round trips, damage, unwritable folders."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import xarray as xr

from hermiton.numerics.provenance import provenance
from hermiton.theory.errors import AssumptionError, VerificationError
from hermiton.verification.store import RunStore, canonical_json

SPEC: dict[str, object] = {
    "setting": {"hidden": 2, "learning_rate": 0.1, "student": "erf"},
    "start": np.arange(6.0).reshape(2, 3),
    "times": (0.0, 1.5),
    "seed": 5,
}


def run() -> xr.Dataset:
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {"Q": (("replica", "time", "i", "k"), rng.normal(size=(3, 2, 2, 2)))},
        coords={"time": [0.0, 1.5]},
        attrs={"method": "network"},
    )


def test_a_run_comes_back_bit_for_bit_with_its_provenance(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "deep" / "runs")
    assert store.load(SPEC) is None
    data = run()
    file = store.save(SPEC, data)
    assert file.name == store.key(SPEC) + ".nc"
    back = store.load(SPEC)
    assert back is not None
    xr.testing.assert_equal(back, data)
    assert back["Q"].dtype == np.float64
    assert back.attrs["method"] == "network"
    assert back.attrs["seed"] == "5"
    assert back.attrs["spec"] == canonical_json(SPEC)
    assert {"hermiton", "python", "numpy", "numba", "sympy", "date"} <= set(back.attrs)
    assert data.attrs == {"method": "network"}  # the caller's dataset is untouched
    file.unlink()  # its file is closed: this works on every system, and the data stay
    assert float(back["Q"].sum()) == float(data["Q"].sum())


def test_the_key_is_the_content() -> None:
    store = RunStore("unused")
    base = store.key(SPEC)
    assert base == store.key(dict(reversed(list(SPEC.items()))))
    assert base == store.key({**SPEC, "times": [0.0, 1.5]})
    assert base == store.key({**SPEC, "seed": np.int64(5)})
    start = np.asfortranarray(SPEC["start"])
    assert base == store.key({**SPEC, "start": start})
    assert base == store.key({**SPEC, "start": start.astype(">f8")})
    changed = [
        {"seed": 6},
        {"seed": 5.0},
        {"seed": "5"},
        {"seed": True},
        {"start": np.arange(6.0)},
        {"start": np.arange(6.0).reshape(2, 3) + np.eye(2, 3) * 1e-16 + 1e-15},
        {"start": np.arange(6).reshape(2, 3)},
        {"times": (0.0, 1.5000000000000002)},
        {"extra": None},
    ]
    keys = {base, *(store.key({**SPEC, **change}) for change in changed)}
    assert len(keys) == len(changed) + 1


def test_the_key_is_the_same_in_another_process() -> None:
    code = (
        "import numpy as np, sympy as sp; from hermiton.verification.store import RunStore;"
        "print(RunStore('x').key({'a': np.arange(4.0), 'f': sp.tanh(sp.Symbol('z')), 's': {'p', 'q', 'r'}}))"
    )
    keys = set()
    for salt in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": salt}, capture_output=True, check=True
        )
        keys.add(done.stdout.decode().strip())
    here = RunStore("x").key({"a": np.arange(4.0), "f": sp.tanh(sp.Symbol("z")), "s": {"p", "q", "r"}})
    assert keys == {here}


@dataclass(frozen=True)
class Setting:
    rate: float


@dataclass(frozen=True)
class Other:
    rate: float


def test_settings_are_told_apart_by_type_and_value() -> None:
    store = RunStore("unused")
    keys = {store.key({"s": s}) for s in (Setting(0.1), Setting(0.2), Other(0.1))}
    assert len(keys) == 3
    assert store.key({"s": Setting(0.1)}) in keys
    seeds = {store.key({"rng": np.random.SeedSequence(1, spawn_key=(k,))}) for k in range(3)}
    assert len(seeds) == 3


@pytest.mark.parametrize("value", [object(), lambda: 0, {1: "number as a key"}])
def test_what_has_no_content_is_refused(value: object) -> None:
    with pytest.raises(AssumptionError, match=r"^spec="):
        RunStore("unused").key({"value": value})


def test_a_path_that_is_none_is_refused() -> None:
    with pytest.raises(AssumptionError, match=r"^path=7"):
        RunStore(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "one number", "empty", "text"])
def test_a_damaged_file_counts_as_missing_and_is_replaced(tmp_path: Path, damage: str) -> None:
    store = RunStore(tmp_path)
    file = store.save(SPEC, run())
    content = file.read_bytes()
    half = len(content) // 2
    number = run()["Q"].values[1, 0, 0, 0].tobytes()
    assert content.count(number) == 1
    file.write_bytes(
        {
            "truncated": content[:half],
            "overwritten": b"\xff" * half + content[half:],
            "one number": content.replace(number, number[::-1]),
            "empty": b"",
            "text": b"not a netCDF file",
        }[damage]
    )
    with pytest.warns(RuntimeWarning, match="counts as missing") as caught:
        assert store.load(SPEC) is None
    assert str(file) in str(caught[0].message)
    store.save(SPEC, run())
    assert store.load(SPEC) is not None


def test_a_file_of_another_run_under_this_name_counts_as_missing(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    other = store.save({**SPEC, "seed": 6}, run())
    os.replace(other, store.file(SPEC))
    with pytest.warns(RuntimeWarning, match="does not hold the specification"):
        assert store.load(SPEC) is None


def test_an_unwritable_folder_is_an_error_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = RunStore(tmp_path / "file" / "runs")  # refused to every user, root included
    with pytest.raises(VerificationError, match=r"can't store the run in .*runs.*Give a folder that can be written"):
        store.save(SPEC, run())


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore(tmp_path)
    file = store.save(SPEC, run())
    before = file.read_bytes()

    def full(self: xr.Dataset, path: str, **options: object) -> None:
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    with pytest.raises(VerificationError, match="No space left on device"):
        store.save(SPEC, run() + 1)
    assert file.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_info_and_clear_see_runs_only(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    assert (store.info().count, store.info().bytes) == (0, 0)
    (tmp_path / "mine.nc").write_bytes(b"a user's own file")
    sizes = [store.save({**SPEC, "seed": seed}, run()).stat().st_size for seed in range(3)]
    info = store.info()
    assert (info.path, info.count, info.bytes) == (tmp_path, 3, sum(sizes))
    assert store.clear() == info
    assert store.info().count == 0
    assert (tmp_path / "mine.nc").exists()
    assert RunStore(tmp_path / "none").clear().count == 0


def test_provenance_is_text_and_names_what_matters() -> None:
    record = provenance(seed=3, kernel="abc")
    assert {"hermiton", "python", "numpy", "scipy", "sympy", "numba", "cpu", "date", "seed", "kernel"} <= set(record)
    assert all(isinstance(value, str) and value for value in record.values())
    assert record["numpy"] == np.__version__
    assert record["date"].endswith("+00:00")
