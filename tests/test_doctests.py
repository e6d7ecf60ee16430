"""Every example in a docstring runs and gives what it says.

``pytest --doctest-modules`` would import the files as ``theory.x``, which the guards refuse: hence the walk.
"""

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

LAYERS = ("hermiton.theory", "hermiton.numerics", "hermiton.verification")
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def refuse(name: str) -> None:
    """Without this, walk_packages leaves out a package that fails to import, and its examples, in silence."""
    raise ImportError(f"{name} can't be imported")


def modules() -> list[str]:
    names = ["hermiton", *LAYERS]
    for layer in LAYERS:
        path = importlib.import_module(layer).__path__
        names += [found.name for found in pkgutil.walk_packages(path, f"{layer}.", onerror=refuse)]
    return sorted(name for name in names if name.rpartition(".")[2] != "__main__")


def examples(module: ModuleType) -> doctest.TestResults:
    return doctest.testmod(module, optionflags=OPTIONS)


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    assert examples(importlib.import_module(name)).failed == 0


def test_the_walk_enters_packages() -> None:
    assert {"hermiton.theory.errors", "hermiton.theory.gaussian", "hermiton.verification.networks"} <= set(modules())


@pytest.mark.parametrize(("text", "expected"), [(">>> 1 + 1\n2\n", (0, 1)), (">>> 1 + 1\n3\n", (1, 1))])
def test_a_wrong_example_is_noticed(text: str, expected: tuple[int, int], capsys: pytest.CaptureFixture[str]) -> None:
    module = ModuleType("invented", text)
    assert tuple(examples(module)) == expected
    assert ("Expected:\n    3" in capsys.readouterr().out) == bool(expected[0])
