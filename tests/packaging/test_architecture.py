"""Arrows point one way, hermiton -> verification -> numerics -> theory, and simulations share no code with theory.

The rules are read off the syntax trees, so that an import inside a function or under TYPE_CHECKING counts too. Each
rule is a function from a module's name and text to the complaints about it; each is fed bad snippets below and has to
complain.
"""

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("theory", "numerics", "verification")

# What numerics may know of theory: the types that are handed down and the verb that makes them, never a chapter.
THEORY_TYPES = frozenset(
    {"activation", "balls", "derivation", "derive", "errors", "gaussian", "notation", "rotating_flow", "systems"}
)
# What a simulation may not know of hermiton is everything but its neighbours.
NETWORKS = "hermiton.verification.networks"
# theory is exact and has no side: no array, no random number, no file, no other process.
IMPURE_STDLIB = frozenset(
    {"fileinput", "glob", "io", "multiprocessing", "os", "pathlib", "pickle", "random", "secrets", "shelve", "shutil"}
    | {"socket", "sqlite3", "subprocess", "tempfile", "urllib"}
)
THEORY_PACKAGES = (sys.stdlib_module_names - IMPURE_STDLIB) | {"sympy", "mpmath"}
BALLS = "hermiton.theory.balls"

Rule = Callable[[str, str], list[str]]


def imports(module: str, text: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything a module imports; ``from a import b`` gives ``a.b``."""
    package = module if module.endswith(".__init__") else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            line = node.lineno
            yield from ((line, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.removesuffix(".__init__").split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            line = node.lineno
            yield from ((line, f"{stem}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            target = node.args[0] if node.args else None
            constant = target.value if isinstance(target, ast.Constant) else None
            # A computed name would hide the arrow, so it is reported as an import of something nobody allows.
            line = node.lineno
            yield line, constant if isinstance(constant, str) else "<computed name>"


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def arrows(module: str, text: str) -> list[str]:
    """Imports against the direction of the house."""
    complaints = []
    for line, name in imports(module, text):
        parts = name.split(".")
        ours = parts[0] == "hermiton"
        layer = parts[1] if ours and len(parts) > 1 else None
        if name == "<computed name>":
            allowed = False
        elif within(module, NETWORKS):
            allowed = within(name, NETWORKS) if ours else parts[0] != "sympy"
        elif within(module, "hermiton.theory"):
            flint = parts[0] == "flint" and module == BALLS
            allowed = layer == "theory" if ours else flint or parts[0] in THEORY_PACKAGES
            allowed = allowed and not within(name, "sympy.core.random")
        elif within(module, "hermiton.numerics"):
            allowed = (
                not ours or layer == "numerics" or (layer == "theory" and len(parts) > 2 and parts[2] in THEORY_TYPES)
            )
        else:
            allowed = not ours or layer in LAYERS
        if not allowed:
            complaints.append(f"{module}:{line} may not import {name}")
    return complaints


def floats(module: str, text: str) -> list[str]:
    """Floating-point numbers in theory: literals, and SymPy's Float built by hand."""
    if not within(module, "hermiton.theory"):
        return []
    complaints = []
    for node in ast.walk(ast.parse(text)):
        literal = isinstance(node, ast.Constant) and isinstance(node.value, float | complex)
        built = isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Float"
        if literal or built:
            complaints.append(f"{module}:{node.lineno} has the float {ast.unparse(node)}; write a Rational")
    return complaints


def files_in_theory(module: str, text: str) -> list[str]:
    """Calls of open() in theory."""
    if not within(module, "hermiton.theory"):
        return []
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return [f"{module}:{call.lineno} opens a file" for call in calls if ast.unparse(call.func) == "open"]


def swallowed_errors(module: str, text: str) -> list[str]:
    """Handlers that catch everything by default, or that do nothing."""
    complaints = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                complaints.append(f"{module}:{node.lineno} catches everything: name the error")
            if all(
                isinstance(line, ast.Pass) or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
                for line in node.body
            ):
                complaints.append(f"{module}:{node.lineno} swallows an error")
    return complaints


def missing_exports(module: ModuleType) -> list[str]:
    """Names in ``__all__`` that are missing or written twice."""
    exported = list(getattr(module, "__all__", []))
    complaints = [f"{module.__name__} has no {name}" for name in exported if not hasattr(module, name)]
    return complaints + [f"{module.__name__} exports {name} twice" for name in {*exported} if exported.count(name) > 1]


RULES: tuple[Rule, ...] = (arrows, floats, files_in_theory, swallowed_errors)


def source_modules() -> list[tuple[str, Path]]:
    """Name and file of every module of the layers; a package's own file is called ``package.__init__`` here."""
    files = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
    return [("hermiton." + ".".join(path.relative_to(ROOT).with_suffix("").parts), path) for path in files]


@pytest.mark.parametrize(
    ("module", "path"), source_modules(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_module_keeps_the_rules(module: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [complaint for rule in RULES for complaint in rule(module, text)] == []


def test_the_rules_meet_every_layer() -> None:
    seen = [module for module, _ in source_modules()]
    for package in (
        "hermiton.theory",
        "hermiton.theory.gaussian",
        "hermiton.numerics",
        "hermiton.verification",
        NETWORKS,
    ):
        assert f"{package}.__init__" in seen


def module_names() -> list[str]:
    names = [module.removesuffix(".__init__") for module, _ in source_modules()]
    return [name for name in names if not name.endswith("__main__")]


@pytest.mark.parametrize("name", module_names())
def test_exported_names_exist(name: str) -> None:
    assert missing_exports(importlib.import_module(name)) == []


def test_front_door_holds_nothing_but_names() -> None:
    assert {path.name for path in (ROOT / "hermiton").iterdir()} - {"__pycache__"} <= {
        "__init__.py",
        "__main__.py",
        "py.typed",
    }
    tree = ast.parse((ROOT / "hermiton" / "__init__.py").read_text(encoding="utf-8"))
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert defined == {"__getattr__", "__dir__"}


def test_a_simulation_loads_no_theory() -> None:
    """The same at run time: what a network imports, and what that imports, leaves theory and SymPy unloaded."""
    package = importlib.import_module(NETWORKS)
    names = [NETWORKS, *(found.name for found in pkgutil.walk_packages(package.__path__, f"{NETWORKS}."))]
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert NETWORKS in loaded
    assert [name for name in loaded if name.startswith(("hermiton.theory", "hermiton.numerics", "sympy"))] == []


# ---- the rules themselves: each bad line has to be caught, each good one let through ----

THEORY, NUMERICS, NETWORK = "hermiton.theory.online_sgd", "hermiton.numerics.ode", f"{NETWORKS}.online_sgd"
VERIFICATION = "hermiton.verification.verify"

BAD = [
    (arrows, THEORY, "import numpy as np"),
    (arrows, THEORY, "from scipy import integrate"),
    (arrows, THEORY, "import numba"),
    (arrows, THEORY, "import random"),
    (arrows, THEORY, "from pathlib import Path"),
    (arrows, THEORY, "import os.path"),
    (arrows, THEORY, "from flint import arb"),
    (arrows, THEORY, "from sympy.core.random import rng"),
    (arrows, THEORY, "from ..numerics import quadrature"),
    (arrows, THEORY, "from hermiton.verification import decide"),
    (arrows, THEORY, "import hermiton"),
    (arrows, THEORY, "def late():\n    import numpy"),
    (arrows, THEORY, "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy"),
    (arrows, THEORY, "import importlib\nimportlib.import_module('numpy')"),
    (arrows, THEORY, "__import__('nu' + 'mpy')"),
    (arrows, "hermiton.theory.gaussian.__init__", "from ...numerics import quadrature"),
    (arrows, NUMERICS, "from ..theory.online_sgd import OnlineSGD"),
    (arrows, NUMERICS, "from ..theory import one_step"),
    (arrows, NUMERICS, "from .. import theory"),
    (arrows, NUMERICS, "import hermiton.theory"),
    (arrows, NUMERICS, "from ..verification.simulate import simulate"),
    (arrows, NUMERICS, "from hermiton import Activation"),
    (arrows, "hermiton.numerics.codegen.indexed", "from ...theory.truncation import Truncation"),
    (arrows, VERIFICATION, "from hermiton import solve"),
    (arrows, VERIFICATION, "from .. import solve"),
    (arrows, NETWORK, "import sympy as sp"),
    (arrows, NETWORK, "from ...theory.errors import AssumptionError"),
    (arrows, NETWORK, "from ...numerics import ode"),
    (arrows, NETWORK, "from ..decide import decide"),
    (floats, THEORY, "half = 0.5"),
    (floats, THEORY, "x = f(1e-30)"),
    (floats, THEORY, "i = 1j"),
    (floats, THEORY, "import sympy as sp\nx = sp.Float('0.5', 30)"),
    (files_in_theory, THEORY, "text = open('notes.txt').read()"),
    (swallowed_errors, THEORY, "try:\n    f()\nexcept ValueError:\n    pass"),
    (swallowed_errors, NETWORK, "try:\n    f()\nexcept ValueError:\n    ..."),
    (swallowed_errors, NUMERICS, "try:\n    f()\nexcept ValueError:\n    'never mind'"),
    (swallowed_errors, NUMERICS, "try:\n    f()\nexcept:\n    raise"),
]

GOOD = [
    (THEORY, "import sympy as sp\nfrom dataclasses import dataclass\nfrom .activation import Activation"),
    (THEORY, '"""Docstrings may say 0.5."""\nimport sympy as sp\nhalf = sp.Rational(1, 2)'),
    ("hermiton.theory.gaussian.__init__", "from .wick import wick\nfrom ..errors import DerivationError"),
    (BALLS, "import flint\nfrom flint import arb"),
    (NUMERICS, "import numpy as np\nfrom ..theory.systems import OdeSystem\nfrom ..theory import errors\ntol = 1e-8"),
    (NUMERICS, "from ..theory.gaussian.hermite import linearise\nfrom .codegen import indexed"),
    ("hermiton.numerics.__init__", "from . import ode"),
    (
        VERIFICATION,
        "from ..theory.online_sgd import OnlineSGD\nfrom ..numerics.solve import solve\nfrom . import decide",
    ),
    (NETWORK, "import numpy as np\nfrom numba import njit\nfrom . import one_step\nfrom .one_step import draw"),
    (NUMERICS, "try:\n    f()\nexcept ValueError as error:\n    raise CodegenError(str(error)) from error"),
]


@pytest.mark.parametrize(("rule", "module", "text"), BAD)
def test_rule_catches_a_bad_line(rule: Rule, module: str, text: str) -> None:
    assert len(rule(module, text)) == 1


@pytest.mark.parametrize(("module", "text"), GOOD)
def test_rules_let_a_good_line_through(module: str, text: str) -> None:
    assert [complaint for rule in RULES for complaint in rule(module, text)] == []


def test_missing_and_doubled_exports_are_noticed() -> None:
    module = ModuleType("invented")
    module.__dict__.update(__all__=["here", "gone", "here"], here=1)
    assert missing_exports(module) == ["invented has no gone", "invented exports here twice"]
