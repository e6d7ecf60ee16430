"""The engine over the tagged list of Gaussian integrals: every error bounds the true one, and is of use.

The list, the references and how they were made are in tests/problems.
"""

import importlib
import importlib.util
import json
import math
import random
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from mpmath import mp, mpf

from hermiton.theory.activation import Activation
from hermiton.theory.errors import AccuracyError, HermitonError
from hermiton.theory.notation import z

FOLDER = Path(__file__).resolve().parents[1] / "problems"


def _package() -> None:
    """Make tests/problems importable: tests are no package, and the import mode leaves sys.path alone."""
    if "gaussian_problems" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "gaussian_problems", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
        )
        assert spec is not None and spec.loader is not None
        sys.modules["gaussian_problems"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["gaussian_problems"])


def part(name: str) -> ModuleType:
    _package()
    return importlib.import_module(f"gaussian_problems.{name}")


harness = part("harness")
PROBLEMS: dict[str, Any] = part("gaussian_integrals").PROBLEMS
FUNCTIONS: dict[str, Any] = part("functions").FUNCTIONS
LEDGER: dict[str, tuple[str, str]] = part("ledger").LEDGER
STORED: dict[str, Any] = json.loads((FOLDER / "references.json").read_text())
REFERENCES: dict[str, Any] = harness.references()


# ------------------------------------------------------------------------------------------ the list and its references
def test_the_list_is_long_and_varied() -> None:
    assert len(PROBLEMS) >= 150
    for tag in (
        "smooth",
        "oscillatory",
        "growing",
        "near-singular",
        "bump",
        "kinked",
        "discontinuous",
        "scale",
        "shift",
    ):
        assert sum(tag in p.tags for p in PROBLEMS.values()) >= 5, tag
    for tag in ("2-point", "3-point", "4-point", "near-one", "degenerate", "mixed", "rigorous"):
        assert sum(tag in p.tags for p in PROBLEMS.values()) >= 8, tag
    assert PROBLEMS.keys() >= LEDGER.keys()
    assert {status for status, _ in LEDGER.values()} <= {"vague", "refused", "rejected"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_formula_and_the_definition_for_the_references_are_one_function(name: str) -> None:
    function, points = FUNCTIONS[name], random.Random(name)
    act = Activation(function.formula)
    assert act.parity == function.parity
    assert float(act.growth_exponent) == function.gauss
    with mp.workdps(40):
        assert [mp.nstr(c, 30) for c in function.cut_points()] == [
            mp.nstr(mpf(str(sp.N(c, 40))), 30) for c in act.kinks
        ]
        for _ in range(6):
            at = Fraction(points.randint(-4000, 4000) * 2 + 1, 2048)
            x = mpf(at.numerator) / at.denominator
            expected = mpf(str(sp.N(act.expression.subs(z, sp.Rational(at.numerator, at.denominator)), 35)))
            assert abs(function.value(x) - expected) <= mpf(10) ** -30 * max(1, abs(expected))
            for map_, slope in ((function.value, function.slope), (function.slope, function.curvature)):
                if map_ is not None and slope is not None:
                    step = mpf(10) ** -12
                    found = (map_(x + step) - map_(x - step)) / (2 * step)
                    assert abs(found - slope(x)) <= mpf(10) ** -15 * max(1, abs(map_(x)))
        if function.polynomial is not None:
            x = mpf(7) / 16
            assert function.value(x) == sum(
                mpf(c.numerator) / c.denominator * x**n for n, c in enumerate(function.polynomial)
            )


@pytest.mark.parametrize("name", part("piecewise").PIECES)
def test_the_table_of_piecewise_polynomials_is_right(name: str) -> None:
    piecewise = part("piecewise")
    with mp.workdps(20):
        for n in range(-67, 68):
            x = mpf(n) / 5 + mpf(1) / 64
            found = mpf(0)
            for cut, text in piecewise.PIECES[name]:
                if cut is None or x > piecewise.number(str(cut)):
                    found += sum(piecewise.number(c) * x**k for k, c in enumerate(text.split()))
            assert abs(found - FUNCTIONS[name].value(x)) <= mpf(10) ** -15 * (1 + abs(found))


def test_every_problem_has_a_reference_of_forty_digits() -> None:
    definition = part("make_references").definition
    assert STORED.keys() == PROBLEMS.keys(), "run python -m problems.make_references in tests"
    for name, problem in PROBLEMS.items():
        entry, reference = STORED[name], REFERENCES[name]
        assert entry["definition"] == definition(problem), f"{name} has changed"
        assert "two" in entry["routes"] or "conditioning on the one and on the other" in entry["routes"]
        with mp.workdps(60):
            for value, unknown, size in zip(reference.values, reference.uncertainty, reference.sizes, strict=True):
                relative, absolute = (40, 100) if problem.kind == "coefficients" else (25, 36)
                assert unknown <= max(mpf(10) ** -relative * abs(value), mpf(10) ** -absolute * size), name
                if problem.kind == "moment":
                    assert unknown <= mpf(10) ** -(absolute - 1) * size, name


def test_references_that_everybody_knows() -> None:
    def value(name: str, k: int = 0) -> float:
        return float(REFERENCES[name].values[k])

    assert value("h[relu] m=0 s=1 k<=100", 0) == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-15)
    assert value("h[relu] m=0 s=1 k<=100", 1) == 0.5
    assert value("h[exp] m=0 s=1 k<=20", 7) == pytest.approx(math.exp(0.5), rel=1e-15)
    assert value("h[sign] m=0 s=1 k<=20", 1) == pytest.approx(math.sqrt(2 / math.pi), rel=1e-15)
    assert value("h[gelu] m=0 s=1 k<=20", 1) == pytest.approx(0.5, rel=1e-15)
    assert value("E[sign, sign] C=(1, 0.5, 1) m=(0, 0)") == pytest.approx(1 / 3, rel=1e-15)
    assert value("E[erf', erf'] C=(1, 0.5, 1.5) m=(0, 0)") == pytest.approx(2 / math.pi / math.sqrt(4.75), rel=1e-15)


# ----------------------------------------------------------------------------------------------------------- the engine
KINDS = {
    "coefficients": [n for n, p in PROBLEMS.items() if p.kind == "coefficients" and p.digits == 15],
    "one and two fields": [n for n, p in PROBLEMS.items() if p.kind == "moment" and len(p.mean) < 3 and p.digits == 15],
    "three and four fields": [n for n, p in PROBLEMS.items() if p.kind == "moment" and len(p.mean) > 2],
    "many digits": [n for n, p in PROBLEMS.items() if p.digits > 15],
}


def test_each_problem_is_of_one_kind() -> None:
    assert sorted(name for names in KINDS.values() for name in names) == sorted(PROBLEMS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_is_honest_and_of_use(kind: str) -> None:
    verdicts = [harness.judge(PROBLEMS[name], REFERENCES[name]) for name in KINDS[kind]]
    table, wrong = harness.summary(verdicts)
    print(f"\n{kind}: {sum(v.seconds for v in verdicts):.1f} s\n{table}")
    lines = [
        f"{v.status} instead of {LEDGER[v.name][0]}, so not the known failure: {v.name}: {v.detail}"
        if v.name in LEDGER
        else f"{v.status}: {v.name}: {v.detail}"
        for v in wrong
    ]
    assert not wrong, f"{len(wrong)} of {len(verdicts)}\n" + "\n".join(lines)


@pytest.mark.parametrize("name", part("gaussian_integrals").REFUSALS)
def test_what_has_no_value_is_refused(name: str) -> None:
    from hermiton.numerics.hermite import hermite_coefficients

    formula, mean, std = part("gaussian_integrals").REFUSALS[name]
    with pytest.raises(HermitonError):
        hermite_coefficients(formula, 4, mean, std)


@pytest.mark.parametrize(
    ("name", "n", "truth"), [("sign", 1, 2 / math.sqrt(2 * math.pi)), ("relu", 2, 1 / math.sqrt(2 * math.pi))]
)
def test_a_delta_function_is_counted_or_refused_but_never_forgotten(name: str, n: int, truth: float) -> None:
    from hermiton.numerics.field_moment import field_moment

    try:
        found = field_moment([name], np.eye(1), derivatives=[n])
    except HermitonError:
        return
    assert abs(found.value - truth) <= found.error + 1e-15


# ---------------------------------------------------------------------------------------------- the harness can say no
COEFFICIENTS = "h[tanh] m=0 s=1 k<=20"
MOMENT = "E[tanh, tanh] C=(1, 0.5, 1) m=(0, 0)"


def frozen(numbers: Any) -> Any:
    array = np.array(numbers, dtype=np.float64)
    array.flags.writeable = False
    return array


def good(name: str) -> SimpleNamespace:
    reference = REFERENCES[name]
    values = [float(v) for v in reference.values]
    errors = [2e-16 * abs(v) + 1e-300 for v in values]
    if PROBLEMS[name].kind == "moment":
        return SimpleNamespace(value=values[0], error=errors[0], kind="estimated", method="true")
    return SimpleNamespace(values=frozen(values), errors=frozen(errors), kind="estimated", method="true")


def status(name: str, **changes: Any) -> str:
    result = good(name)
    for key, value in changes.items():
        setattr(result, key, value)
    return str(harness.judge(PROBLEMS[name], REFERENCES[name], result).status)


@pytest.mark.parametrize("name", [COEFFICIENTS, MOMENT])
def test_the_truth_passes(name: str) -> None:
    assert status(name) == "success"


def test_dishonest_numbers_do_not_pass() -> None:
    values, errors = good(COEFFICIENTS).values, good(COEFFICIENTS).errors
    for k in (0, 1, 20):
        moved = values.copy()
        moved[k] += 3 * errors[k] + 1e-18
        assert status(COEFFICIENTS, values=frozen(moved)) == "dishonest"
        for bad in (math.nan, -1e-9, math.inf):
            changed = errors.copy()
            changed[k] = bad
            assert status(COEFFICIENTS, errors=frozen(changed)) == "dishonest"
    assert status(COEFFICIENTS, errors=errors.copy()) == "dishonest"  # writeable
    assert status(COEFFICIENTS, values=frozen(values[:-1]), errors=frozen(errors[:-1])) == "dishonest"
    assert status(COEFFICIENTS, kind="certain") == "dishonest"
    assert status(MOMENT, value=good(MOMENT).value + 1e-15) == "dishonest"
    assert status(MOMENT, value=math.nan) == "dishonest"
    assert status(MOMENT, error=math.nan) == "dishonest"


def test_huge_errors_do_not_pass() -> None:
    sizes = [math.sqrt(math.factorial(k)) for k in range(21)]
    assert status(COEFFICIENTS, errors=frozen([1e-11 * size for size in sizes])) == "vague"
    assert status(MOMENT, error=1e-7) == "vague"


def test_an_enclosure_has_to_enclose() -> None:
    from flint import arb, ctx

    name = "h[tanh] m=0 s=1 k<=20, 50 digits"
    reference = REFERENCES[name]
    previous, ctx.prec = ctx.prec, 300
    try:
        with mp.workdps(90):
            texts = [mp.nstr(v, 75) for v in reference.values]
        balls = [arb(text, 1e-55) for text in texts]
        assert status(name, balls=balls, kind="rigorous") == "success"
        assert status(name, balls=balls, kind="estimated") == "dishonest"
        assert status(name, balls=[arb(text, 1e-40) for text in texts], kind="rigorous") == "vague"
        moved = [*balls[:3], balls[3] + arb(1e-53), *balls[4:]]
        assert status(name, balls=moved, kind="rigorous") == "dishonest"
    finally:
        ctx.prec = previous


def test_refusals_and_crashes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(error: Exception) -> str:
        def compute(problem: Any) -> Any:
            raise error

        monkeypatch.setattr(harness, "compute", compute)
        return str(harness.judge(PROBLEMS[MOMENT], REFERENCES[MOMENT]).status)

    assert fails(AccuracyError("no")) == "refused"
    assert fails(ZeroDivisionError("oops")) == "crashed"


def test_a_ledger_entry_that_no_longer_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = harness.judge(PROBLEMS[MOMENT], REFERENCES[MOMENT], good(MOMENT))
    assert harness.summary([verdict])[1] == []
    monkeypatch.setitem(LEDGER, MOMENT, ("refused", "for this test"))
    assert harness.summary([verdict])[1] == [verdict]
