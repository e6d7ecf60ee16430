"""The folders theory/, numerics/, verification/ are hermiton.theory, ... in a checkout, in a wheel and in an sdist."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("theory", "numerics", "verification")
PROJECT_FILES = (
    "pyproject.toml",
    "setup.py",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
)


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with the tests' own PYTHONPATH and start-up files out of the way."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def run_ok(*command: str | Path, cwd: Path) -> str:
    result = run(*command, cwd=cwd)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def source_files() -> list[str]:
    """Every file of the four packages that git tracks or would track; without git, all but the byte code."""
    folders = ("hermiton", *LAYERS)
    if (ROOT / ".git").exists() and shutil.which("git"):
        listing = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders, cwd=ROOT)
        if listing.returncode == 0:
            return sorted(name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file())
    files = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts)


def installed_name(source: str) -> str:
    return source if source.startswith("hermiton/") else f"hermiton/{source}"


def wheel_files(wheel: Path) -> list[str]:
    return sorted(name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name)


def build_wheel(source: Path, target: Path) -> Path:
    run_ok(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"),
        *("--wheel-dir", target, source),
        cwd=target.parent,
    )
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def sources() -> list[str]:
    return source_files()


@pytest.fixture(scope="module")
def copy(sources: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources: building in the checkout would leave a build/ there, and ship what an old one holds."""
    folder = tmp_path_factory.mktemp("copy") / "hermiton-source"
    for name in (*PROJECT_FILES, *sources):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(copy, tmp_path_factory.mktemp("built") / "wheel")


def test_import_from_another_folder_finds_this_checkout(tmp_path: Path) -> None:
    code = "import hermiton, hermiton.theory as t, hermiton.numerics as n, hermiton.verification as v\n"
    code += "for m in (hermiton, t, n, v): print(m.__name__, m.__file__)"
    found = dict(line.split(" ", 1) for line in run_ok(sys.executable, "-c", code, cwd=tmp_path).splitlines())
    expected = {"hermiton": "hermiton", **{f"hermiton.{layer}": layer for layer in LAYERS}}
    assert found.keys() == expected.keys()
    for name, folder in expected.items():
        # A stale regular install would be tested instead of the checkout: pip install -e '.[test]' is the cure.
        assert Path(found[name]).resolve() == ROOT / folder / "__init__.py"


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_no_top_level_package(layer: str) -> None:
    result = run(sys.executable, "-c", f"import {layer}", cwd=ROOT)
    assert result.returncode != 0
    assert f"ImportError: import hermiton.{layer}" in result.stderr


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_from_the_root_under_its_own_name(layer: str) -> None:
    run_ok(sys.executable, "-c", f"import hermiton.{layer}", cwd=ROOT)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("__init__.py", "hermiton/__init__.py"),
        ("py.typed", "hermiton/py.typed"),
        *((layer, layer) for layer in LAYERS),
    ],
)
def test_typings_link_resolves(link: str, target: str) -> None:
    path = ROOT / "typings" / "hermiton" / link
    assert path.is_symlink(), f"{path} is not a link: static tools would not see hermiton's layers"
    assert not Path(os.readlink(path)).is_absolute()
    assert path.resolve() == ROOT / target
    assert path.exists()


def test_wheel_holds_exactly_the_source_files(wheel: Path, sources: list[str]) -> None:
    expected = sorted(map(installed_name, sources))
    assert {"hermiton/__init__.py", "hermiton/py.typed", "hermiton/theory/errors.py"} <= set(expected)
    assert wheel_files(wheel) == expected


def test_sdist_makes_the_same_wheel(copy: Path, wheel: Path, tmp_path: Path) -> None:
    run_ok(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, copy, cwd=tmp_path)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert set(PROJECT_FILES) <= held
    again = build_wheel(sdist, tmp_path / "wheel")
    assert wheel_files(again) == wheel_files(wheel)


@pytest.mark.slow
def test_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    run_ok(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel),
        cwd=tmp_path,
    )
    (site,) = home.glob("lib/python*/site-packages")
    # The dependencies come from here. A folder named in a .pth file has its own .pth files ignored, so the editable
    # install of the checkout is out of reach.
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    code = """
import importlib, pkgutil, hermiton
print(hermiton.__file__)
for layer in ("theory", "numerics", "verification"):
    package = importlib.import_module("hermiton." + layer)
    print(package.__file__)
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            print(importlib.import_module(found.name).__file__)
print(hermiton.__version__)
"""
    *files, version = run_ok(python, "-c", code, cwd=tmp_path).splitlines()
    assert len(files) >= 4
    assert all(Path(file).is_relative_to(site) for file in files), files
    assert version == wheel.name.split("-")[1]
    assert (home / "bin" / "hermiton").is_file()
