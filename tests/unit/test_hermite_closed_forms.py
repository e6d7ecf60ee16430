"""Closed forms of Hermite coefficients: known formulas, the rules between them, and what has none."""

import time

import pytest
import sympy as sp

from hermiton.theory.activation import Activation
from hermiton.theory.errors import AssumptionError
from hermiton.theory.formula import hermite_he
from hermiton.theory.gaussian.components import NoClosedForm, components_of
from hermiton.theory.gaussian.hermite import exact_coefficient, hermite_series
from hermiton.theory.gaussian.stein_system import SteinSystem, stein_systems
from hermiton.theory.notation import z

R = sp.Rational
m = sp.Symbol("m", real=True)
s = sp.Symbol("s", positive=True)
phi = sp.exp(-(m**2) / (2 * s**2)) / sp.sqrt(2 * sp.pi)


@pytest.mark.parametrize(
    ("formula", "k", "expected"),
    [
        ("z**2", 0, m**2 + s**2),
        ("z**2", 2, 2 * s**2),
        ("z**2", 3, 0),
        ("sin", 3, -(s**3) * sp.exp(-(s**2) / 2) * sp.cos(m)),
        ("cos(2*z)", 2, -4 * s**2 * sp.exp(-2 * s**2) * sp.cos(2 * m)),
        ("exp", 5, s**5 * sp.exp(m + s**2 / 2)),
        ("sign", 1, 2 * phi),
        ("abs", 2, 2 * s * phi),
        ("Heaviside(z)", 2, -m / s * phi),
        ("relu", 3, -m * phi),
        ("erf(z)", 1, 2 * s * sp.exp(-(m**2) / (1 + 2 * s**2)) / sp.sqrt(sp.pi * (1 + 2 * s**2))),
        ("exp(-z**2)", 0, sp.exp(-(m**2) / (1 + 2 * s**2)) / sp.sqrt(1 + 2 * s**2)),
    ],
)
def test_known_formulas(formula: str, k: int, expected: sp.Expr) -> None:
    found = exact_coefficient(Activation(formula), k, m, s)
    assert found is not None
    assert sp.simplify(found - expected) == 0


HARD_TANH = "Max(-1, Min(1, z))"
FORMULAS = ["relu", HARD_TANH, "gelu", "z*sin(z)", "erf(z)*exp(-z**2 + z)", "z**3*exp(-z**2)", "abs(z)*exp(z)"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_stein_recursion(formula: str) -> None:
    """h_(k+1) = s dh_k/dm, with the derivative by SymPy, at exact numbers to 60 digits."""
    series = hermite_series(Activation(formula), 4, m, s)
    at = {m: R(2, 7), s: R(9, 11)}
    for k in range(4):
        difference = (s * sp.diff(series[k], m) - series[k + 1]).subs(at)
        assert abs(difference.evalf(60, chop=True)) < R(1, 10**50)


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_heat_equation(formula: str) -> None:
    """dh_0/ds = s d^2h_0/dm^2 = h_2/s: the variance enters as time does into diffusion."""
    series = hermite_series(Activation(formula), 2, m, s)
    difference = (sp.diff(series[0], s) - series[2] / s).subs({m: R(-3, 5), s: R(6, 5)})
    assert abs(difference.evalf(60, chop=True)) < R(1, 10**50)


def test_scaled_and_shifted_arguments_move_mean_and_deviation() -> None:
    """For sigma(a z + b) the law of the argument is N(a m + b, (a s)^2); a < 0 turns He_k."""
    for formula in ("relu", "erf", "sin", "z**2*exp(-z**2)", "Max(-1, Min(1, z))"):
        act = Activation(formula)
        for a, b in ((R(2), R(-1, 3)), (R(-3, 2), R(1))):
            moved = Activation(act.expression.subs(z, a * z + b))
            at = {m: R(1, 5), s: R(4, 5)}
            for k in range(4):
                left = exact_coefficient(moved, k, m, s)
                right = exact_coefficient(act, k, a * m + b, abs(a) * s)
                assert left is not None
                assert right is not None
                difference = (left - sp.sign(a) ** k * right).subs(at)
                assert abs(difference.evalf(60, chop=True)) < R(1, 10**50)


def test_the_coefficients_are_those_of_a_projection() -> None:
    """A polynomial is its own series."""
    act = Activation("z**4 - 3*z**3 + z/2 - 1")
    series = hermite_series(act, 4, m, s)
    assert sp.expand(series.truncated() - act.expression) == 0
    assert [hermite_series(Activation("he3"), 4)[k] for k in range(5)] == [0, 0, 0, 6, 0]
    assert sp.expand(hermite_he(3, z) - Activation("he3").expression) == 0


def test_a_kink_enters_once() -> None:
    """A piece and its neighbour differ by a step at the kink: a continuous function has no constant term there."""
    (first, second) = components_of(Activation("Max(-1, Min(1, z))").pieces)
    assert {first.origin, second.origin} == {-1, 1}
    assert all(c.is_step and c.coefficients[0] == 0 for c in (first, second))
    (relu,) = components_of(Activation("relu").pieces)
    assert (relu.factor, relu.coefficients) == ("right", (0, 1))


def test_components_add_up_to_the_function() -> None:
    for formula in ("leaky_relu", f"z**2*{HARD_TANH}", "relu(z + 1) + erf(z)", "sin(z)*cos(2*z) + z", "z*cosh(z)"):
        act = Activation(formula)
        whole = sp.Add(*(c.expression for c in components_of(act.pieces)))
        for at in (R(-7, 3), R(-1, 3), R(2, 5), R(9, 4)):
            assert abs((whole - act.expression).subs(z, at).evalf(40, chop=True)) < R(1, 10**30)


def test_a_tail_is_free_of_cancellation() -> None:
    """Far left of the kink the coefficients of relu are tiny, and come out with all digits."""
    value = exact_coefficient(Activation("relu"), 1, sp.Integer(-30), sp.S.One)
    assert value is not None
    assert value.has(sp.erfc)
    assert 0 < value.evalf(20) < R(1, 10**190)


def test_no_closed_form() -> None:
    for name in ("tanh", "softplus", "sigmoid", "silu"):
        act = Activation(name)
        assert exact_coefficient(act, 0, m, s) is None
        assert exact_coefficient(act, 3, m, s) is None
        assert not hermite_series(act, 2, m, s).is_exact
        with pytest.raises(NoClosedForm):
            components_of(act.pieces)


def test_a_divergent_expectation_is_refused() -> None:
    with pytest.raises(AssumptionError, match=r"makes E\[sigma\^2\] infinite"):
        hermite_series(Activation("exp(z**2/8)"), 1, 0, 2)
    with pytest.raises(NoClosedForm):
        stein_systems(components_of(Activation("exp(z**2/8)").pieces), sp.S.Zero, sp.Integer(3))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((-1,), "order=-1 is not a count"),
        ((True,), "order=True is not a count"),
        ((2.0,), "order=2.0 is not a count"),
        ((1, 0, 0), "std=0 is not positive"),
        ((1, 0, -1), "std=-1 is not positive"),
        ((1, 0, -s), "is not positive"),
        ((1, 0.5), "mean=0.5 is not an exact"),
        ((1, sp.I), "mean=I is not an exact"),
        ((1, sp.oo), "mean=oo is not an exact"),
        ((1, 0, sp.nan), "std=nan is not an exact"),
        ((1, "m"), "mean='m' is not a SymPy expression"),
    ],
)
def test_bad_arguments(arguments: tuple[object, ...], found: str) -> None:
    with pytest.raises(AssumptionError, match=found):
        hermite_series(Activation("erf"), *arguments)  # type: ignore[arg-type]


def test_high_orders_stay_short_and_quick() -> None:
    """The coefficients live in a ring: order 30 with symbols is a matter of milliseconds, not of expression swell."""
    start = time.process_time()
    for formula in ("relu", "erf", "gelu", "Max(-1, Min(1, z))"):
        (*_,) = (system.coefficient(30) for system in stein_systems(components_of(Activation(formula).pieces), m, s))
    assert time.process_time() - start < 3


def test_a_wrong_rule_breaks_the_heat_equation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recursion with the wrong sign gives coefficients that do not satisfy dh_0/ds = h_2/s."""
    right = SteinSystem._derivative
    monkeypatch.setattr(SteinSystem, "_derivative", lambda self, v: [-entry for entry in right(self, v)])
    components = components_of(Activation("relu").pieces)
    system = SteinSystem(components, m, s)
    difference = (sp.diff(system.coefficient(0), s) - system.coefficient(2) / s).subs({m: R(1, 2), s: R(3, 4)})
    assert abs(difference.evalf(30)) > R(1, 100)
