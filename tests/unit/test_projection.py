"""Python functions as activations: projected and checked, or refused with the reason."""

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from scipy import special

from hermiton.numerics.hermite import hermite_coefficients
from hermiton.numerics.projection import MAX_AUTOMATIC_DEGREE, Projection, project
from hermiton.theory.activation import Activation
from hermiton.theory.errors import AssumptionError
from hermiton.theory.notation import z

SMOOTH = {
    "tanh": (np.tanh, "tanh", 1e-2),
    "erf": (lambda x: special.erf(x / math.sqrt(2.0)), "erf", 1e-2),
    "sin": (np.sin, "sin", 1e-7),
    "exp": (np.exp, "exp", 1e-6),
    "gelu": (lambda x: 0.5 * x * special.erfc(-x / math.sqrt(2.0)), "gelu", 1e-3),
    "softplus": (lambda x: np.logaddexp(0.0, x), "softplus", 1e-4),
    "cos": (lambda x: np.cos(2.0 * x) + 0.1, "cos(2*z) + 1/10", 1e-4),
    "cubic": (lambda x: x**3 - 2.0 * x + 0.25, "z**3 - 2*z + 1/4", 1e-12),
    "step to the right": (lambda x: 1.0 + 0.5 * x + 0.0 * np.cos(x), "1 + z/2", 1e-12),
}


@pytest.mark.parametrize("case", SMOOTH)
def test_coefficients_are_those_of_the_function(case: str) -> None:
    function, formula, tolerance = SMOOTH[case]
    act = Activation.from_callable(function, tolerance=tolerance)
    found = act.projection
    assert isinstance(found, Projection) and act.is_polynomial and act.degree == found.degree
    exact = hermite_coefficients(formula, 24)
    ours = hermite_coefficients(act, 24)
    roots = np.array([math.sqrt(math.factorial(k)) for k in range(25)])
    distances = np.abs(ours.values - exact.values) / roots
    assert np.all(distances[: found.degree + 1] <= 1e-13 * found.norm)
    assert not np.any(ours.values[found.degree + 1 :])


@pytest.mark.parametrize("case", SMOOTH)
def test_the_distance_is_the_tail_of_the_series(case: str) -> None:
    function, formula, tolerance = SMOOTH[case]
    found = Activation.from_callable(function, tolerance=tolerance).projection
    square = hermite_coefficients(Activation(formula).expression ** 2, 0)
    assert found.norm == pytest.approx(math.sqrt(square.values[0]), rel=1e-13)
    assert found.l2_error <= tolerance * found.norm
    with mpmath.workdps(40):
        exact = hermite_coefficients(formula, found.degree, digits=40)
        norm = hermite_coefficients(Activation(formula).expression ** 2, 0, digits=40).values[0]
        left = norm - sum((v**2 / mpmath.factorial(k) for k, v in enumerate(exact.values)), mpmath.mpf(0))
        tail = float(mpmath.sqrt(max(left, mpmath.mpf(0))))
    assert found.l2_error == pytest.approx(tail, rel=1e-6, abs=1e-13 * found.norm)
    # The mean of 4001 equally likely points leaves out the far tails, where most of the distance may be.
    assert found.check <= 3.0 * found.l2_error + 1e-12 * found.norm


def test_the_least_degree_is_chosen() -> None:
    for tolerance in (1e-1, 1e-3, 1e-6):
        act = Activation.from_callable(np.sin, tolerance=tolerance)
        degree = act.projection.degree
        assert act.projection.l2_error <= tolerance * act.projection.norm
        # sin has E[sigma^2] = (1 - exp(-2))/2 and h_k^2/k! = exp(-1)/k! for odd k
        left = sum(math.exp(-1.0) / math.factorial(k) for k in range(degree, 60, 2))
        assert math.sqrt(left) > tolerance * act.projection.norm


def test_a_degree_can_be_asked_for() -> None:
    act = Activation.from_callable(np.sin, order=5, tolerance=0.1)
    assert act.degree == 5 and act.projection.degree == 5 and act.parity == "odd"
    act = Activation.from_callable(np.tanh, order=40, tolerance=1e-3)
    assert act.degree == 39 and act.projection.l2_error <= 1e-3 * act.projection.norm


def test_parity_survives() -> None:
    assert Activation.from_callable(np.tanh, tolerance=0.02).parity == "odd"
    assert Activation.from_callable(lambda x: np.cos(x) / (1.0 + 0.0 * x), tolerance=0.05).parity == "even"
    assert Activation.from_callable(np.exp, tolerance=1e-3).parity is None


def test_the_activation_is_like_any_other() -> None:
    act = Activation.from_callable(np.sin, tolerance=1e-6)
    assert act.name == "projection of sin" and Activation(act).projection is act.projection
    assert act.information_exponent == 1 and not act.kinks and act.growth == "polynomial"
    assert all(c.is_Rational for c in sp.Poly(act.expression, z).all_coeffs())
    value = act.hermite(3).coefficients[3]
    assert float(value) == pytest.approx(-math.exp(-0.5), rel=1e-12)
    assert Activation.from_callable(lambda x: np.sin(x), name="mine", tolerance=1e-3).name == "mine"
    assert Activation.from_callable(lambda x: np.sin(x), tolerance=1e-3).name == "projection of a function"


def test_the_distance_near_zero_is_reported() -> None:
    act = Activation.from_callable(np.tanh, tolerance=1e-2)
    found = act.projection
    polynomial = sp.lambdify(z, act.expression, "numpy")
    x = np.linspace(-3.0, 3.0, 777)
    worst = float(np.max(np.abs(np.tanh(x) - polynomial(x))))
    assert 0.8 * worst <= found.max_error <= 10.0 * worst and found.interval == (-3.0, 3.0)
    assert f"degree {found.degree}" in found.note and f"{found.l2_error:.1e}" in found.note
    assert found.nodes > 1000


def test_types_of_values() -> None:
    assert Activation.from_callable(lambda x: np.sin(x).astype(np.float32), tolerance=1e-3).degree == 9
    assert Activation.from_callable(lambda x: list(x), tolerance=1e-3).expression == z
    with pytest.raises(AssumptionError, match="kink or jump"):
        Activation.from_callable(lambda x: x > 0.0, tolerance=0.5)


# -- refusals ---------------------------------------------------------------------------------------------------------


class Counter:
    """Other values at each call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        return np.sin(x) + self.calls


RNG = np.random.default_rng(3)


def in_place(x: Any) -> Any:
    x *= 2.0
    return np.sin(x)


def scalar(x: float) -> float:
    return 1.0 if x > 0 else math.exp(x)


REFUSED: dict[str, tuple[Any, str, str]] = {
    "nan": (lambda x: np.where(np.abs(x - 0.5) < 0.2, np.nan, x), "returns nan at z = ", "return a finite number"),
    "log": (np.log, "returns nan at z = -", "return a finite number for every real z"),
    "pole": (lambda x: np.where(x > 5.0, np.inf, x), "returns inf at z = 5", "it grows too fast"),
    "complex": (lambda x: np.sqrt(x + 0j), "returns complex numbers", "return real ones"),
    "one number": (lambda x: 1.0, r"returns the shape \(\)", "return one number for each entry"),
    "sum": (lambda x: x.sum(), r"returns the shape \(\)", "for an argument of shape"),
    "matrix": (lambda x: x[:, None], "returns the shape", "return one number for each entry"),
    "part": (lambda x: x[:-1], "returns the shape", "return one number for each entry"),
    "text": (lambda x: np.array(["a"] * x.size), "returns entries of type", "return real numbers"),
    "nothing": (lambda x: None, r"returns the shape \(\)", "one number for each"),
    "random": (lambda x: x + RNG.normal(size=x.size), "gives other values in a second call", "remove its randomness"),
    "state": (Counter(), "gives other values in a second call", "state"),
    "mean over the array": (lambda x: np.sin(x) - x.mean(), "another value in another array", "its own argument alone"),
    "cumulative": (lambda x: np.cumsum(np.sin(x)), "another value in another array", "its own argument alone"),
    "single numbers": (scalar, "takes single numbers", r"pass numpy.vectorize\(function\)"),
    "error": (lambda x: x / None, "raises TypeError", "pass a function of a float64 array"),
    "constant": (lambda x: 0.0 * x + 3.0, "is the constant 3", "depends on its argument"),
    "zero": (lambda x: 0.0 * x, "is the constant 0", "depends on its argument"),
    "huge": (lambda x: 1e200 * np.sin(x), "has values of size 1.0e.200", "rescale"),
    "tiny": (lambda x: 1e-200 * np.sin(x), "has values of size 1.0e-200", "rescale"),
    "exp(z^2)": (lambda x: np.exp(x * x), "grows too fast", "grows slower than exp"),
    "exp(z^2/4)": (lambda x: np.exp(x * x / 4.0), "grows too fast", "exp.z..2/4."),
    "exp(exp(z))": (lambda x: np.exp(np.exp(x)), "grows too fast", "finite Gaussian variance"),
    "relu": (lambda x: np.maximum(x, 0.0), "has a kink or jump near z = -?[0-9.e-]+: its Hermite", "Max, Abs, sign"),
    "sign": (np.sign, "has a kink or jump near z", "write it as a formula with Max, Abs, sign or Piecewise"),
    "abs far out": (lambda x: np.abs(x - 2.0), "has a kink or jump near z = 2", "Piecewise"),
    "clip": (lambda x: np.clip(x, -1.5, 1.5), "has a kink or jump near z = -?1.5", "Piecewise"),
    "small kink": (lambda x: np.sin(x) + 0.01 * np.abs(x - 1.0), "has a kink or jump near z = (1|0.99)", "Piecewise"),
    "square kink": (lambda x: x * np.abs(x), "no polynomial of degree 24", "formula"),
    "steps": (np.floor, "has a kink or jump near z", "Piecewise"),
    "tanh, default": (np.tanh, "is no polynomial of degree 24: its projection leaves", "a formula.*tolerance="),
    "sin(20 z)": (lambda x: np.sin(20.0 * x), "is no polynomial of degree 24", "write it as a formula"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    function, problem, cure = REFUSED[case]
    with pytest.raises(AssumptionError, match=problem) as raised:
        Activation.from_callable(function)
    assert raised.match(cure)
    assert "\n" not in str(raised.value)


def test_features_between_the_samples_are_noticed() -> None:
    with pytest.raises(AssumptionError, match=r"features too narrow|kink or jump|no polynomial"):
        Activation.from_callable(lambda x: np.sin(x) + np.exp(-(((x - 0.4321) / 2e-3) ** 2)), tolerance=1e-3)


def test_the_tolerance_that_a_refusal_names_works() -> None:
    with pytest.raises(AssumptionError) as raised:
        Activation.from_callable(np.tanh)
    tolerance = float(str(raised.value).rsplit("tolerance=", 1)[1])
    act = Activation.from_callable(np.tanh, tolerance=tolerance)
    assert act.projection.degree <= MAX_AUTOMATIC_DEGREE


def test_the_vectorised_function_is_taken() -> None:
    act = Activation.from_callable(np.vectorize(lambda x: math.sin(x)), tolerance=1e-3)
    assert act.degree == 9


def test_arguments_are_not_changed_by_the_function() -> None:
    act = Activation.from_callable(in_place, tolerance=1e-2)
    expected = Activation.from_callable(lambda x: np.sin(2.0 * x), tolerance=1e-2)
    assert act.expression == expected.expression


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": 0}, "order=0 is not a degree"),
        ({"order": 65}, "order=65 is not a degree"),
        ({"order": 3.0}, "order=3.0 is not a degree"),
        ({"order": True}, "order=True is not a degree"),
        ({"tolerance": 0.0}, "tolerance=0.0 is not between 0 and 1"),
        ({"tolerance": math.nan}, "tolerance=nan is not between"),
        ({"tolerance": 2}, "tolerance=2 is not between"),
        ({"tolerance": "1e-3"}, "tolerance='1e-3' is not between"),
        ({"name": ""}, "name='' is not a name"),
        ({"name": 3}, "name=3 is not a name"),
    ],
)
def test_bad_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(AssumptionError, match=words):
        Activation.from_callable(np.sin, **options)


@pytest.mark.parametrize("function", ["tanh", 3.0, None, np.ones(3), float])
def test_what_is_no_function(function: Any) -> None:
    with pytest.raises(AssumptionError, match="not a function"):
        Activation.from_callable(function)


def test_unknown_options() -> None:
    with pytest.raises(TypeError, match="degree"):
        Activation.from_callable(np.sin, degree=3)


def test_a_degree_below_the_function() -> None:
    with pytest.raises(AssumptionError, match=r"constant for its projection|no polynomial"):
        project(lambda x: x**3 - 3.0 * x, order=2, tolerance=0.999)
    with pytest.raises(AssumptionError, match="is no polynomial of degree 2"):
        project(lambda x: x**3 - 3.0 * x, order=2)
