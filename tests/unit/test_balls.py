"""Ball arithmetic: enclosures contain what they should, and refuse what they can't do."""

from collections.abc import Callable

import mpmath
import pytest
import sympy as sp
from flint import arb

from hermiton.theory.balls import encloses_zero, evaluate, gaussian_integral_1d, rational_points
from hermiton.theory.errors import AccuracyError, AssumptionError
from hermiton.theory.notation import z

R = sp.Rational
x, y = sp.symbols("x y", real=True)
p = sp.Symbol("p", positive=True)
TINY = arb(10) ** (-30)


@pytest.mark.parametrize(
    "expr",
    [
        x + y**3 - R(1, 7),
        sp.sqrt(p) * p ** R(-2, 3) + sp.pi**y,
        sp.exp(x) * sp.log(1 + p) + sp.E,
        sp.sin(x) + sp.cos(y) * sp.tanh(x) + sp.tan(x),
        sp.erf(x) + sp.erfc(y) + sp.asin(x) * sp.atan(5 * y) + sp.acos(y) + sp.asinh(x) + sp.atanh(y),
        sp.Abs(x) + sp.Max(x, y) - sp.Min(x, y, p),
        sp.sinh(x) / sp.cosh(y),
    ],
)
def test_values_against_mpmath(expr: sp.Expr) -> None:
    for point in rational_points([x, y, p], 3, str(expr)):
        ball = evaluate(expr, point, 40)
        with mpmath.workdps(80):
            value = expr.subs(point).evalf(60)
            assert ball.overlaps(arb(str(value)) + arb(0, arb(10) ** (-58)))
        assert ball.rad() < arb(10) ** (-40) * (1 + abs(ball))


def test_zero_and_not_zero() -> None:
    identity = sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1
    for point in rational_points([x], 5, "pythagoras"):
        assert encloses_zero(identity, point)
        assert not encloses_zero(identity + R(1, 10**29), point)
        # far below the radius asked for, and below what the working precision for it can tell from zero
        assert encloses_zero(identity + R(1, 10**300), point, R(1, 10**50))
        assert not encloses_zero(identity + R(1, 10**300), point, R(1, 10**301))


def test_points_are_the_same_in_every_run() -> None:
    first = rational_points([x, p], 2, "claim")
    assert first == rational_points([x, p], 2, "claim")
    assert first != rational_points([x, p], 2, "another claim")
    assert first[0] != first[1]
    values = [v for point in rational_points([x, p], 200, "many") for v in point.values()]
    assert all(0 < abs(v) < 1 for v in values)
    assert len(set(values)) > 250
    assert any(point[x] < 0 for point in rational_points([x], 20, "sign"))
    assert all(point[p] > 0 for point in rational_points([p], 20, "sign"))


@pytest.mark.parametrize(
    ("expr", "exact"),
    [
        (sp.S.One, sp.S.One),
        (z**4, 3 * R(5, 4) ** 2),
        (sp.exp(z), sp.exp(R(5, 8))),
        (sp.cos(z), sp.exp(-R(5, 8))),
        (sp.Abs(z), sp.sqrt(2 * R(5, 4) / sp.pi)),
        (sp.sign(z) * z**3, 2 * sp.sqrt(2 / sp.pi) * sp.sqrt(R(5, 4)) ** 3),
        (sp.Max(0, z) ** 2, R(5, 8)),
        (sp.erf(z) ** 2, 2 / sp.pi * sp.asin(2 * R(5, 4) / (1 + 2 * R(5, 4)))),
        (sp.exp(-(z**2)), 1 / sp.sqrt(1 + 2 * R(5, 4))),
        (1 / (1 + sp.exp(-z)), R(1, 2)),
        (sp.tanh(z), sp.S.Zero),
        (sp.log(1 + sp.exp(z)) - sp.log(1 + sp.exp(-z)), sp.S.Zero),
        (sp.asinh(z) + z, sp.S.Zero),
        (sp.sqrt(1 + z**2) * z, sp.S.Zero),
    ],
)
def test_gaussian_integrals(expr: sp.Expr, exact: sp.Expr) -> None:
    ball = gaussian_integral_1d(expr, z, R(5, 4))
    assert ball.rad() < TINY * (1 + abs(ball))
    assert ball.overlaps(evaluate(exact, {}, 40))


def test_the_tail_is_in_the_radius() -> None:
    """At two accuracies the balls have different ends of integration and overlap."""
    coarse, fine = (gaussian_integral_1d(sp.tanh(z) * z, z, R(2), digits) for digits in (5, 60))
    assert coarse.overlaps(fine)
    assert fine.rad() < arb(10) ** (-60)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: evaluate(sp.log(x), {x: -1}), AccuracyError),
        (lambda: evaluate(1 / x, {x: 0}), AccuracyError),
        (lambda: evaluate(sp.asin(x), {x: 2}), AccuracyError),
        (lambda: evaluate(x + y, {x: 1}), AssumptionError),
        (lambda: evaluate(x, {x: 0.5}), AssumptionError),
        (lambda: evaluate(x, {x: 1}, 0), AssumptionError),
        (lambda: evaluate(sp.besselj(0, x), {x: 1}), AssumptionError),
        (lambda: encloses_zero(x, {x: 1}, R(-1)), AssumptionError),
        (lambda: rational_points([x], 0, ""), AssumptionError),
        (lambda: gaussian_integral_1d(sp.exp(x**2), x, R(1)), AssumptionError),
        (lambda: gaussian_integral_1d(x * y, x, R(1)), AssumptionError),
        (lambda: gaussian_integral_1d(x, x, R(-1)), AssumptionError),
        (lambda: gaussian_integral_1d(1 / x, x, R(1)), AssumptionError),
        (lambda: gaussian_integral_1d(sp.sign(sp.sin(x)), x, R(1)), AssumptionError),
    ],
)
def test_refusals(call: Callable[[], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        call()


def test_powers_of_a_ball_that_holds_zero() -> None:
    m = sp.Symbol("m")
    third = sp.Rational(1, 3)  # m - 1/3 is a ball around 0
    for n in (1, 2, 3, 4, 5, 8, 13):
        value = evaluate(2 + 7 * (m - third) ** n, {m: third}, 40)
        assert value.contains(2)
        assert value.rad() < arb(10) ** -40
