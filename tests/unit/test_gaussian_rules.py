"""Rules on expectations: each holds exactly, and each check catches a planted error."""

from collections.abc import Callable

import pytest
import sympy as sp

from hermiton.theory.errors import AssumptionError, DerivationError
from hermiton.theory.gaussian.expectation import GaussianExpectation
from hermiton.theory.gaussian.mehler import check_mehler, mehler, mehler_tail
from hermiton.theory.gaussian.price import check_price, price
from hermiton.theory.gaussian.rule import Equation, monomials
from hermiton.theory.gaussian.stein import check_stein, stein
from hermiton.theory.gaussian.tilting import TiltWithMean, check_tilting, tilt, tilt_with_mean

R = sp.Rational


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_stein(dimension: int) -> None:
    held = check_stein(dimension, 6)
    # z_b Phi has moments for every monomial of Phi, and each of the b gives its own identity
    assert held.identities == dimension * len(list(monomials(dimension, 6)))


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_price(dimension: int) -> None:
    held = check_price(dimension, 6)
    assert held.identities == dimension * (dimension + 1) // 2 * len(list(monomials(dimension, 6)))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_tilting(size: int) -> None:
    assert check_tilting(size).identities == size * (size * size + size + 2)


def test_mehler() -> None:
    assert check_mehler(6).identities == 49


def _stein_without_mean(b: int, integrand: sp.Expr, *law: object) -> Equation:
    step = stein(b, integrand, *law)  # type: ignore[arg-type]
    return step._replace(rhs=step.rhs - law[2][b] * GaussianExpectation(integrand, *law))  # type: ignore[index,arg-type]


def _stein_wrong_sign(b: int, integrand: sp.Expr, fields, covariance, mean) -> Equation:  # type: ignore[no-untyped-def]
    flipped = sp.Matrix(covariance)
    flipped[0, 1] = flipped[1, 0] = -covariance[0, 1]
    rhs = mean[b] * GaussianExpectation(integrand, fields, covariance, mean)
    for a, field in enumerate(fields):
        rhs += flipped[b, a] * GaussianExpectation(sp.diff(integrand, field), fields, covariance, mean)
    return Equation(integrand, rhs, "wrong")


@pytest.mark.parametrize("wrong", [_stein_without_mean, _stein_wrong_sign])
def test_a_wrong_stein_is_caught(wrong: Callable[..., Equation]) -> None:
    with pytest.raises(DerivationError, match="Stein"):
        check_stein(2, 3, wrong)


def test_price_without_the_half_is_caught() -> None:
    def wrong(a: int, b: int, *rest: object) -> Equation:
        step = price(a, b, *rest)  # type: ignore[arg-type]
        return step._replace(rhs=2 * step.rhs if a == b else step.rhs)

    with pytest.raises(DerivationError, match="Price"):
        check_price(1, 2, wrong)


@pytest.mark.parametrize("part", ["weight", "covariance", "mean"])
def test_a_wrong_tilt_is_caught(part: str) -> None:
    def wrong(covariance, mean, k, beta) -> TiltWithMean:  # type: ignore[no-untyped-def]
        right = tilt_with_mean(covariance, mean, k, beta)
        changed = {"weight": 2 * right.weight, "covariance": 2 * right.covariance, "mean": 2 * right.mean}
        return right._replace(**{part: changed[part]})

    with pytest.raises(DerivationError, match="tilting fails"):
        check_tilting(2, wrong)


def test_mehler_without_the_factorial_is_caught() -> None:
    def wrong(first, second, r):  # type: ignore[no-untyped-def]
        return sum((f * g * r**n for n, (f, g) in enumerate(zip(first, second, strict=True))), sp.S.Zero)

    with pytest.raises(DerivationError, match="Mehler"):
        check_mehler(3, wrong)


def test_a_rule_that_returns_something_else_is_refused() -> None:
    with pytest.raises(DerivationError, match="one expectation"):
        check_stein(1, 2, lambda *_: Equation(sp.S.One, sp.Symbol("c11"), "no expectation"))


def test_tilting_a_function_that_is_not_polynomial() -> None:
    x, y = sp.symbols("x y", real=True)
    law = sp.Matrix([[1, R(1, 3)], [R(1, 3), 2]])
    mean = [R(1, 2), -1]
    weight, covariance, shifted = tilt_with_mean(law, mean, 0, R(3, 4))
    left = GaussianExpectation(sp.exp(-R(3, 4) * x**2) * sp.cos(x + y), (x, y), law, mean).evalf(12)
    right = (weight * GaussianExpectation(sp.cos(x + y), (x, y), covariance, shifted)).doit().evalf(20)
    assert abs(left - right) < R(1, 10**11)


def test_mehler_tail_bounds_the_error_of_erf() -> None:
    """E[erf erf] by the derived I2 against its Mehler sum: the error is below the bound, and the bound is not idle."""
    from hermiton.theory.activation import Activation
    from hermiton.theory.gaussian.erf_family import derive_i2

    h = Activation("erf").hermite(7).coefficients
    r = R(3, 5)
    exact = derive_i2().at(sp.Matrix([[1, r], [r, 1]]), (0, 1))
    norm = derive_i2().at(sp.ones(2), (0, 1))
    error = abs((exact - mehler(h, h, r)).evalf(30))
    bound = mehler_tail(h, h, r, norm, norm).evalf(30)
    assert 0 < error < bound < 100 * error


@pytest.mark.parametrize(
    "call",
    [
        lambda: stein(2, sp.Symbol("x"), [sp.Symbol("x")], sp.eye(1)),
        lambda: price(0, 0, sp.Symbol("x"), [sp.Symbol("x")], sp.eye(1)),
        lambda: price(0, 3, sp.Symbol("x"), [sp.Symbol("x")], sp.eye(1)),
        lambda: tilt(sp.eye(2), 2, 1),
        lambda: tilt(sp.eye(2), 0, -1),
        lambda: check_stein(0, 3),
        lambda: check_tilting(0),
        lambda: check_mehler(True),
        lambda: mehler_tail([1], [1, 2], R(1, 2), 1, 1),
    ],
)
def test_refusals(call: Callable[[], object]) -> None:
    with pytest.raises(AssumptionError):
        call()
