"""``import hermiton`` is cheap, compiles nothing, and every public name is really there."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import hermiton

ROOT = Path(__file__).resolve().parents[2]
FACADE = ROOT / "hermiton" / "__init__.py"


def run_ok(code: str, cwd: Path) -> str:
    result = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("name", hermiton.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(hermiton, name) is not None


def test_public_names_are_the_same_for_static_tools() -> None:
    """The table that Python reads and the imports that mypy reads are two lists of the same thing."""
    static = {}
    for node in ast.walk(ast.parse(FACADE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hermiton."):
            static.update({alias.asname or alias.name: (node.module, alias.name) for alias in node.names})
    assert static == hermiton._HOME
    assert sorted([*hermiton._HOME, "__version__"]) == sorted(hermiton.__all__)


def test_names_are_listed_before_they_are_fetched(tmp_path: Path) -> None:
    listed = run_ok("import hermiton; print(*dir(hermiton))", tmp_path).split()
    assert set(hermiton.__all__) <= set(listed)


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"'OnlineSDG'.*OnlineSGD"):
        _ = hermiton.OnlineSDG  # type: ignore[attr-defined]


def test_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # After a change of version the checkout has to be installed again.
    assert hermiton.__version__ == project["version"]


def test_command_line_entry_point_loads() -> None:
    (entry,) = entry_points(group="console_scripts", name="hermiton")
    assert callable(entry.load())


def test_import_is_cheap_and_loads_no_heavy_package(tmp_path: Path) -> None:
    code = "import sys, time, hermiton; print(time.process_time(), *sys.modules)"
    seconds, *modules = run_ok(code, tmp_path).split()
    assert float(seconds) < 1.5  # CPU seconds, start of the interpreter included
    heavy = {"numba", "numpy", "scipy", "sympy", "matplotlib", "xarray"}
    assert "hermiton" in modules
    assert not heavy & set(modules)


def test_importing_every_module_compiles_nothing(tmp_path: Path) -> None:
    """Numba announces each compiler pass; the last function shows that a compilation would have been heard."""
    code = """
import importlib, pkgutil, numba
from numba.core import event

with event.install_recorder("numba:run_pass") as heard:
    names = []
    for layer in ("theory", "numerics", "verification"):
        package = importlib.import_module("hermiton." + layer)
        names += [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
    for name in names:
        if not name.endswith("__main__"):
            before = len(heard.buffer)
            importlib.import_module(name)
            assert len(heard.buffer) == before, f"importing {name} compiles {heard.buffer[before][1].data}"
    assert not heard.buffer, "importing a package compiles"
    numba.cfunc("float64(float64)")(lambda x: x + 1)
    assert heard.buffer, "the recorder is deaf"
print(len(names))
"""
    assert int(run_ok(code, tmp_path)) > 0
