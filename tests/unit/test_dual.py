"""Dual kernels: closed forms that are derived and checked, and the series where there is none."""

import pickle

import pytest
import sympy as sp

from hermiton.theory.activation import Activation
from hermiton.theory.derivation import Step
from hermiton.theory.errors import AccuracyError, AssumptionError, DerivationError
from hermiton.theory.gaussian.dual import dual_kernel, quadrant_moment
from hermiton.theory.gaussian.dual_forms import RHO as r
from hermiton.theory.gaussian.expectation import GaussianExpectation
from hermiton.theory.notation import z

R, pi = sp.Rational, sp.pi
root = sp.sqrt(1 - r**2)

# first, second, kappa
CLOSED = [
    ("relu", None, r * sp.asin(r) / (2 * pi) + r / 4 + root / (2 * pi)),
    ("sign", None, 2 * sp.asin(r) / pi),
    ("Heaviside(z)", None, R(1, 4) + sp.asin(r) / (2 * pi)),
    ("abs", None, 2 * (r * sp.asin(r) + root) / pi),
    ("leaky_relu", None, R(9801, 20000) / pi * (r * sp.asin(r) + root) + R(10201, 40000) * r),
    ("z*Abs(z)", None, (4 * r**2 + 2) * sp.asin(r) / pi + 6 * r * root / pi),
    ("erf", None, 2 * sp.asin(r / 2) / pi),
    pytest.param(*("erf(3*z)", None, 2 * sp.asin(R(18, 19) * r) / pi), marks=pytest.mark.slow),
    ("erf", "erf(z)", 2 * sp.asin(r / sp.sqrt(3)) / pi),
    ("sin", None, sp.exp(-1) * sp.sinh(r)),
    ("cos", None, sp.exp(-1) * sp.cosh(r)),
    ("sin", "cos", sp.S.Zero),
    ("exp", None, sp.exp(1 + r)),
    ("exp(-z**2)", None, 1 / sp.sqrt(9 - 4 * r**2)),
    ("z*exp(-z**2/2)", None, r / (4 - r**2) ** R(3, 2)),
    ("gelu", None, r / 4 + r * sp.asin(r / 2) / (2 * pi) + 1 / (2 * pi * sp.sqrt(4 - r**2))),
    ("he3", None, 6 * r**3),
    ("z**2", "relu", (1 + r**2) / sp.sqrt(2 * pi)),
    ("sign", "erf", 2 * sp.asin(r / sp.sqrt(2)) / pi),
    ("relu", "erf", r / (2 * sp.sqrt(pi))),
    ("relu", "sin", r * sp.exp(R(-1, 2)) / 2),
    ("Max(-1, Min(1, z))", "z", r * sp.erf(1 / sp.sqrt(2))),
    pytest.param(
        *("sin(z)*exp(-z**2/2)", None, None), marks=pytest.mark.slow
    ),  # no neat form is known here, but one it is
    ("erf(z)*exp(-z**2)", None, None),
    pytest.param(*("relu", "gelu", None), marks=pytest.mark.slow),
    pytest.param(*("exp", "relu", None), marks=pytest.mark.slow),
    pytest.param(*("Heaviside(z - 1)", "exp(-z**2)", None), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("first", "second", "expected"), CLOSED)
def test_closed_forms(first: str, second: str | None, expected: sp.Expr | None) -> None:
    kernel = dual_kernel(first, second)
    assert kernel.is_closed and kernel.step is not None and kernel.reason
    if expected is not None:
        for point in (R(1, 3), R(-3, 5), R(9, 10)):
            assert abs((kernel.expression - expected).subs(r, point).evalf(40)) < R(1, 10**35)
    # Parseval: at rho = 1 and 0
    f, g = (Activation(name) for name in (first, second or first))
    start = (f.hermite(0)[0] * g.hermite(0)[0]).evalf(30)
    assert abs(kernel.expression.subs(r, 0).evalf(30) - start) < R(1, 10**25)
    assert kernel.step.result.standing == "derived"  # the check ran on construction
    assert r"\kappa" in kernel.latex() and str(kernel)
    assert pickle.loads(pickle.dumps(kernel)) == kernel


def test_each_check_says_what_was_compared() -> None:
    detail = dual_kernel("relu").check().detail
    assert "symbolically" in detail and "Mehler" in detail
    assert dual_kernel("he3", "tanh").check().kind == "ball"
    step = dual_kernel("erf(z)*exp(-z**2)").step
    assert step is not None and "radius 1e-30" in step.result.detail


@pytest.mark.parametrize(
    ("first", "second", "wrong"),
    [
        ("relu", "relu", lambda right: right.subs(r, -r)),  # a sign
        ("relu", "relu", lambda right: right + R(1, 10**9)),  # kappa(0)
        ("sign", "sign", lambda right: right * R(10**9 + 1, 10**9)),  # a factor, which vanishes at 0
        ("gelu", "gelu", lambda right: right + r**3 / 10**9),
        ("erf", "erf", lambda right: 2 * sp.asin(r / 3) / pi),
        ("sign", "erf", lambda right: right + r**2 / 10**9),
        ("he3", "tanh", lambda right: 2 * right),
        ("exp", "relu", lambda right: right - r**5 / 10**9),
    ],
)
def test_wrong_closed_forms_are_caught(first: str, second: str, wrong: object) -> None:
    step = dual_kernel(first, second).step
    assert step is not None
    with pytest.raises(DerivationError):
        Step(step.lhs, wrong(step.rhs), step.reason, step.checker)  # type: ignore[operator]


def test_mehler_is_a_route_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake that the derivative shares, and that vanishes at 0, is caught by the coefficients in balls."""
    step = dual_kernel("erf").step
    assert step is not None
    wrong = step.rhs + r**2 / 10**4
    monkeypatch.setattr("hermiton.theory.gaussian.dual._price", lambda f, g: sp.diff(wrong, r))
    with pytest.raises(DerivationError, match="closed form and integral"):
        Step(step.lhs, wrong, step.reason, step.checker)


def test_correlation_given() -> None:
    assert dual_kernel("sign", correlation=R(1, 2)).expression == R(1, 3)
    assert dual_kernel("relu", correlation=1).expression == R(1, 2)
    assert dual_kernel("relu", correlation=-1).expression == 0
    angle = sp.Symbol("theta", real=True)
    assert dual_kernel("erf", correlation=sp.cos(angle)).expression == 2 * sp.asin(sp.cos(angle) / 2) / pi
    for bad in (2, 0.5, sp.I, sp.Float("0.1")):
        with pytest.raises(AssumptionError):
            dual_kernel("erf", correlation=bad)


def test_quadrant_moments() -> None:
    assert quadrant_moment(1, 0) == quadrant_moment(0, 1) == sp.expand((1 + r) / (2 * sp.sqrt(2 * pi)))
    assert sp.expand(quadrant_moment(1, 1) - (r * sp.asin(r) / (2 * pi) + r / 4 + root / (2 * pi))) == 0
    # of fully correlated variables: half moments
    assert quadrant_moment(3, 3).subs(r, 1) == R(15, 2)
    assert quadrant_moment(2, 1).subs(r, -1) == 0


# ---- other variances ----


def test_homogeneous_functions_scale() -> None:
    a, b = sp.symbols("a b", positive=True)
    c = sp.Symbol("c", real=True)
    kernel = dual_kernel("relu", "z**2*Heaviside(z)")
    scaled = sp.sqrt(a) * b * kernel.expression.subs(r, c / sp.sqrt(a * b))
    point = {a: R(4, 3), b: R(1, 2), c: R(-1, 5)}
    assert abs((kernel.at_covariance(a, c, b) - scaled).subs(point).evalf(40)) < R(1, 10**35)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("gelu", None, marks=pytest.mark.slow),
        ("erf", "exp"),
        pytest.param("relu", "exp(-z**2)", marks=pytest.mark.slow),
        ("he3", "exp"),
    ],
)
def test_other_variances_are_other_activations(first: str, second: str | None) -> None:
    f, g = (Activation(name) for name in (first, second or first))
    value = dual_kernel(f, g).at_covariance(4, R(2, 3), 9)
    scaled = dual_kernel(f.expression.subs(z, 2 * z), g.expression.subs(z, 3 * z), R(1, 9))
    assert abs((value - scaled.expression).evalf(40)) < R(1, 10**35)


def test_bad_covariances() -> None:
    kernel = dual_kernel("relu")
    for bad in ((1, 2, 1), (0, 0, 1), (1, 0.5, 1)):
        with pytest.raises(AssumptionError):
            kernel.at_covariance(*bad)
    with pytest.raises(AssumptionError, match="no closed dual kernel"):
        dual_kernel("tanh").at_covariance(1, 0, 1)


# ---- series ----


def test_without_a_closed_form_there_is_the_series() -> None:
    kernel = dual_kernel("tanh")
    assert kernel.expression is None and kernel.step is None and "Mehler" in kernel.reason
    with pytest.raises(AssumptionError, match="no closed dual kernel"):
        kernel.check()
    coefficients = kernel.series.coefficients(3)
    assert coefficients[0] == coefficients[2] == 0
    assert coefficients[1].has(GaussianExpectation)
    assert kernel.series.truncated(3) == coefficients[1] * r + coefficients[3] * r**3
    assert r"\sum_n" in kernel.latex()


@pytest.mark.parametrize("name", ["relu", "erf", "exp(-z**2)", "z*Abs(z)"])
def test_the_tail_bounds_what_is_left_out(name: str) -> None:
    kernel = dual_kernel(name)
    for order in (1, 4, 7):
        for point in (R(1, 2), R(-9, 10)):
            error = abs((kernel.expression - kernel.series.truncated(order)).subs(r, point).evalf(30))
            assert error <= kernel.series.tail(order, point).evalf(30)


def test_enclosures_hold_the_closed_form_and_refuse_what_they_cannot_do() -> None:
    for name in ("relu", "sin", "gelu"):
        kernel = dual_kernel(name)
        ball = kernel.series.enclose(R(-1, 3), 12)
        exact = sp.Rational(str(kernel.expression.subs(r, R(-1, 3)).evalf(40)))
        assert abs(float(ball.mid()) - float(exact)) <= float(ball.rad()) + 1e-16
        assert float(ball.rad()) < 1e-11
    with pytest.raises(AssumptionError, match="size below 1"):
        dual_kernel("relu").series.enclose(1)
    with pytest.raises(AccuracyError, match="terms leave"):
        dual_kernel("sign").series.enclose(R(99, 100), 4)
