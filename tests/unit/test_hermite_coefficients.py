"""Hermite coefficients as numbers: arguments, kinds, extreme sizes, and the parts they are made of."""

import math
from fractions import Fraction
from typing import Any

import flint
import mpmath
import numpy as np
import pytest
import sympy as sp

from hermiton.numerics.array_function import array_function
from hermiton.numerics.half_line import half_line_table, half_line_values
from hermiton.numerics.hermite import MAX_DOUBLE_ORDER, hermite_coefficients
from hermiton.numerics.one_dimensional import (
    LEVELS,
    best_level,
    grid,
    level_of,
    reach,
    strip_half_width,
    weighted_hermite,
)
from hermiton.numerics.panels import SmoothPiece, integrate_panels
from hermiton.theory.activation import Activation
from hermiton.theory.errors import AccuracyError, AssumptionError, CodegenError
from hermiton.theory.notation import z

# -- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((3, 2), "act=3 is a int"),
        ((np.tanh, 2), "from_callable"),
        (("exp(z**2)", 2), "infinite Gaussian second moment"),
        (("exp(z**2/8)", 2, 0, 2), "std=2 makes E"),
        (("exp(z**2/8)", 2, 0, sp.sqrt(2)), "std=sqrt"),
        (("tanh", -1), "order=-1 is not a count"),
        (("tanh", True), "order=True is not a count"),
        (("tanh", 2.0), r"order=2.0 is not a count"),
        (("tanh", MAX_DOUBLE_ORDER + 1), "is too large for doubles: use at most 128, or digits=16"),
        (("tanh", 10**6, 0, 1, 20), "order=1000000"),
        (("tanh", 10**6, 0, 0, 20), "order=1000000"),
        (("tanh", 2, 0, -1), "std=-1 is negative"),
        (("tanh", 2, 0, -1e-300), "std=-1e-300 is negative"),
        (("tanh", 2, 0, math.nan), "std=nan is not finite"),
        (("tanh", 2, 0, math.inf), "std=inf is not finite"),
        (("tanh", 2, math.nan), "mean=nan is not finite"),
        (("tanh", 2, -math.inf), "mean=-inf is not finite"),
        (("tanh", 2, 1j), "mean=1j is a complex"),
        (("tanh", 2, "0.5"), "mean='0.5' is a str"),
        (("tanh", 2, True), "mean=True is a truth value"),
        (("tanh", 2, sp.Symbol("m")), "mean=m has symbols"),
        (("tanh", 2, sp.I), "mean=I is not an exact finite real number"),
        (("tanh", 2, np.zeros(2)), "mean="),
        (("tanh", 2, 0, Fraction(1, 10**400)), "is too small for doubles"),
        (("tanh", 2, 0, 1, 0), "digits=0 is not a count"),
        (("tanh", 2, 0, 1, -3), "digits=-3 is not a count"),
        (("tanh", 2, 0, 1, 15.0), r"digits=15.0 is not a count"),
        (("sign", 2, 0, 0), "leaves no value where sign jumps, at z = 0"),
        (("Heaviside(z - 1/2)", 2, 0.5, 0, 30), "leaves no value where"),
    ],
)
def test_bad_arguments(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(AssumptionError, match=words):
        hermite_coefficients(*arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tanh", 2, 0, 1, 10**9), "digits=1000000000 is above"),
        (("tanh", 2, 0, 0, 10**9), "digits=1000000000 is above"),
        (("exp(z)", 2, 1000, 1), "use digits=30"),
        (("sinh(2*z)", 2, 0.4, 30.0), "no finite value in double precision at z = "),
        (("z**9", 2, 1e40), "overflow doubles: use digits=16"),
        (("exp(z)", 2, 1000, 0), "overflows doubles: use digits=16"),
        (("Max(0, z)**9 + exp(-z**2)", 2, 0, 1e40), "beyond double precision: use digits=30"),
    ],
)
def test_beyond_reach(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(AccuracyError, match=words):
        hermite_coefficients(*arguments)


@pytest.mark.parametrize(
    "mean",
    [0.5, Fraction(1, 2), sp.Rational(1, 2), np.float64(0.5), np.float32(0.5), mpmath.mpf("0.5"), sp.Float("0.5")],
)
def test_all_ways_to_write_a_number(mean: object) -> None:
    found = hermite_coefficients("softplus", 4, mean, 2)
    expected = hermite_coefficients("softplus", 4, 0.5, 2.0)
    assert found.values.tolist() == expected.values.tolist()
    assert found.errors.tolist() == expected.errors.tolist()


def test_a_float_is_what_it_stores() -> None:
    tenth, float_tenth = (hermite_coefficients("tanh", 1, mean, digits=40) for mean in (Fraction(1, 10), 0.1))
    with mpmath.workdps(50):
        distance = tenth.values[0] - float_tenth.values[0]
        slope = float_tenth.values[1] * (mpmath.mpf(1) / 10 - mpmath.mpf(0.1))
        assert abs(distance - slope) < mpmath.mpf(10) ** -32
        assert abs(distance) > mpmath.mpf(10) ** -19


def test_formulas_names_and_activations_agree() -> None:
    ways = ("tanh", "tanh(z)", sp.tanh(z), Activation("tanh"))
    values = [hermite_coefficients(act, 3).values.tolist() for act in ways]
    assert values[1:] == values[:-1]


# -- results ----------------------------------------------------------------------------------------------------------


def test_doubles() -> None:
    found = hermite_coefficients("gelu", 6, -0.3, 0.8)
    assert found.kind == "estimated" and found.method == "trapezoidal rule"
    assert (len(found), found.order, found.digits, found.balls) == (7, 6, 15, None)
    for array in (found.values, found.errors):
        assert array.dtype == np.float64 and array.shape == (7,)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_balls() -> None:
    found = hermite_coefficients("gelu", 6, sp.Rational(-3, 10), sp.Rational(4, 5), digits=40)
    assert found.kind == "rigorous" and found.digits == 40
    assert found.balls is not None and len(found.values) == len(found.errors) == len(found.balls) == 7
    doubles = hermite_coefficients("gelu", 6, Fraction(-3, 10), Fraction(4, 5))
    for k, ball in enumerate(found.balls):
        assert isinstance(ball, flint.arb)
        value, error = found.values[k], found.errors[k]
        assert isinstance(value, mpmath.mpf) and isinstance(error, mpmath.mpf)
        assert error <= mpmath.mpf(10) ** -40 * max(math.sqrt(math.factorial(k)), abs(value))
        assert abs(value - float(doubles.values[k])) <= doubles.errors[k] + error


@pytest.mark.parametrize(
    ("formula", "method"),
    [
        ("z**3 - z/7", "rational arithmetic"),
        ("he5", "rational arithmetic"),
        ("relu", "closed form at the kinks"),
        ("sign", "closed form at the kinks"),
        ("tanh", "trapezoidal rule"),
        ("exp(z)", "trapezoidal rule"),
        ("tanh(50*z)", "Gauss-Legendre panels"),
        ("Max(0, z)*exp(-z)", "Gauss-Legendre panels"),
        ("sqrt(Abs(z))", "Gauss-Legendre panels"),
    ],
)
def test_methods(formula: str, method: str) -> None:
    found = hermite_coefficients(formula, 5)
    assert found.method.startswith(method)
    assert found.kind == ("exact" if method == "rational arithmetic" else "estimated")


def test_a_polynomial_is_rounded_once() -> None:
    found = hermite_coefficients("z**4/3 - z", 6, Fraction(1, 3), 2)
    m, s = Fraction(1, 3), Fraction(2)
    exact = [
        (m**4 + 6 * m**2 * s**2 + 3 * s**4) / 3 - m,
        (4 * m**3 * s + 12 * m * s**3) / 3 - s,
        (12 * m**2 * s**2 + 12 * s**4) / 3,
        24 * m * s**3 / 3,
        24 * s**4 / 3,
        0,
        0,
    ]
    assert found.values.tolist() == [float(e) for e in exact]
    for value, error, e in zip(found.values, found.errors, exact, strict=True):
        assert abs(Fraction(float(value)) - e) <= Fraction(float(error)) <= abs(e) * Fraction(1, 2**52)


def test_irrational_numbers() -> None:
    found = hermite_coefficients("sqrt(2)*z**2", 2, sp.pi, sp.sqrt(3))
    exact = [sp.sqrt(2) * (sp.pi**2 + 3), 2 * sp.sqrt(6) * sp.pi, 6 * sp.sqrt(2)]
    for value, error, e in zip(found.values, found.errors, exact, strict=True):
        assert abs(sp.Rational(float(value)) - e.evalf(60)) <= error <= 2e-16 * float(e)
    # The closest double to pi is 1.2e-16 off, which tanh(1000 z) feels a thousand times.
    found = hermite_coefficients("tanh(1000*(z - 22/7))", 1, sp.pi, Fraction(1, 10**6))
    with mpmath.workdps(40):
        exact = mpmath.quad(
            lambda x: mpmath.tanh(1000 * (mpmath.pi + x / 10**6 - mpmath.mpf(22) / 7)) * mpmath.npdf(x), [-9, 0, 9]
        )
        assert abs(exact - float(found.values[0])) <= found.errors[0] <= 1e-12


@pytest.mark.parametrize("formula", ["tanh", "abs", "cos(10*z)", "tanh(50*z)", "z**3*exp(-z**2)", "Max(-1, Min(1, z))"])
@pytest.mark.parametrize("digits", [15, 30])
def test_parity_makes_exact_zeros(formula: str, digits: int) -> None:
    zero = slice(int(Activation(formula).parity == "even"), None, 2)
    found = hermite_coefficients(formula, 9, digits=digits)
    assert not any(found.values[zero]) and not any(found.errors[zero])
    other = slice(1 - zero.start, None, 2)
    assert all(error > 0 for error in found.errors[other])


def test_the_largest_order() -> None:
    found = hermite_coefficients("tanh", MAX_DOUBLE_ORDER)
    roots = np.array([math.exp(0.5 * math.lgamma(k + 1.0)) for k in range(MAX_DOUBLE_ORDER + 1)])
    assert np.all(found.errors <= 2.0**-46 * roots)
    assert 0.0 < 0.3942944904 - float(np.sum((found.values / roots) ** 2)) < 1e-6


def test_fewer_digits_cost_less_and_promise_less() -> None:
    rough = hermite_coefficients("exp(-Abs(z)**3)", 3, 0.2, 5, digits=4)
    fine = hermite_coefficients("exp(-Abs(z)**3)", 3, 0.2, 5)
    assert np.all(np.abs(rough.values - fine.values) <= rough.errors + fine.errors)
    assert np.all(rough.errors <= 1e-4) and rough.digits == 4


# -- no deviation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [15, 60])
@pytest.mark.parametrize(
    ("formula", "mean", "exact"),
    [
        ("tanh", Fraction(1, 3), sp.tanh(sp.Rational(1, 3))),
        ("relu", 0, sp.S.Zero),  # at the kink both sides agree
        ("relu", -2, sp.S.Zero),
        ("abs", sp.sqrt(2), sp.sqrt(2)),
        ("sign", 0.25, sp.S.One),
        ("z**3", 2, sp.Integer(8)),
        ("exp(z)", 50, sp.exp(50)),
        ("Max(0, z - sqrt(2))", sp.sqrt(2), sp.S.Zero),
    ],
)
def test_zero_deviation_leaves_sigma_at_the_mean(formula: str, mean: Any, exact: sp.Expr, digits: int) -> None:
    found = hermite_coefficients(formula, 3, mean, 0, digits=digits)
    assert found.kind == "rigorous" and not any(found.values[1:]) and not any(found.errors[1:])
    with mpmath.workdps(90):
        distance = abs(mpmath.mpf(found.values[0]) - mpmath.mpf(str(exact.evalf(90))))
        scale = max(1, abs(mpmath.mpf(found.values[0])))
        assert distance <= found.errors[0] + mpmath.mpf(10) ** -85 * scale
        assert found.errors[0] <= scale * mpmath.mpf(10) ** -digits


def test_small_deviations_tend_to_none() -> None:
    for formula, mean in (("tanh", 0.3), ("relu", 1.0), ("gelu", -0.2)):
        limit = float(hermite_coefficients(formula, 0, mean, 0).values[0])
        for std in (1e-8, 1e-20, 1e-40, 1e-200, 1e-320):
            found = hermite_coefficients(formula, 2, mean, std)
            assert abs(found.values[0] - limit) <= found.errors[0] + std**2 + 1e-16
            assert abs(found.values[2]) <= found.errors[2] + std**2


# -- sizes at the ends of the doubles ---------------------------------------------------------------------------------


def within(found: Any, exact: list[Any]) -> bool:
    with mpmath.workdps(60):
        return all(
            abs(mpmath.mpf(float(v)) - e) <= mpmath.mpf(float(d))
            for v, d, e in zip(found.values, found.errors, exact, strict=True)
        )


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e-31, 1e-29, 1e29, 1e31, 1e300])
def test_relu_of_any_size(size: float) -> None:
    found = hermite_coefficients("relu", 2, 0, size)
    with mpmath.workdps(60):
        exact = [size / mpmath.sqrt(2 * mpmath.pi), mpmath.mpf(size) / 2, size / mpmath.sqrt(2 * mpmath.pi)]
        assert within(found, exact)
        assert np.all(found.errors <= 3e-14 * size + 5e-324)


@pytest.mark.parametrize("size", [sp.Rational(1, 10**200), sp.Integer(10) ** 200])
@pytest.mark.parametrize("formula", [sp.tanh(z), sp.Max(0, z), sp.exp(-(z**2)) * sp.Max(0, z)])
def test_activations_of_any_size(formula: sp.Expr, size: sp.Expr) -> None:
    small, plain = hermite_coefficients(size * formula, 3, 0.7, 1.3), hermite_coefficients(formula, 3, 0.7, 1.3)
    factor = float(size)
    assert np.all(np.abs(small.values - factor * plain.values) <= small.errors + factor * (plain.errors + 4e-16))
    assert np.all(small.errors <= 1e-13 * factor)


def test_far_from_the_kink_nothing_is_left() -> None:
    found = hermite_coefficients("relu", 3, -40, 1)
    assert not np.any(found.values) and np.all(found.errors < 1e-270)
    found = hermite_coefficients("relu", 3, 1e10, 1)
    assert found.values.tolist() == [1e10, 1.0, 0.0, 0.0] and within(found, [10**10, 1, 0, 0])


def test_a_flank_of_something_far_away() -> None:
    found = hermite_coefficients("exp(-z**2)", 3, 30, 1)
    with mpmath.workdps(60):  # exp(-m^2/(1 + 2 s^2))/sqrt(1 + 2 s^2), and its derivatives
        h0 = mpmath.exp(mpmath.mpf(-300)) / mpmath.sqrt(3)
        exact = [h0, -20 * h0, (400 - mpmath.mpf(2) / 3) * h0, (-8000 + 40) * h0]
        assert within(found, exact)
        # E[sigma^2] = exp(-360)/sqrt(5)
        assert np.all(found.errors <= 1e-13 * mpmath.exp(-180))


# -- array functions --------------------------------------------------------------------------------------------------

FORMULAS = [
    "tanh(z)**3/(1 + z**2)",
    "log(1 + exp(3*z)) - 3*z/2",
    "1/(1 + exp(-z))*(1 - 1/(1 + exp(-z)))",
    "exp(2*z)/(2 + 3*exp(z))**2",
    "log(cosh(z - 1/3))",
    "sqrt(1 + z**2) - 1",
    "(1 + erf(z/sqrt(2)))*z",
    "1 - erf(2*z)",
    "erfc(z) - erfc(-z)",
    "atan(5*z) + asinh(z)/7",
    "sin(20*z)*exp(-z/2)",
    "(1 + z**2)**(3/4)",
    "log(2 + sin(z))",
    "sinh(z)/cosh(z)**2",
    "(z - 1)**7",
    "1/cosh(z)",
    "pi*cos(z) - sqrt(2)*z",
    "tan(atan(z)/2)",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_array_functions_bound_their_errors(formula: str) -> None:
    expression = Activation(formula).expression
    function = array_function(expression)
    exact = sp.lambdify(z, expression, "mpmath")
    rng = np.random.default_rng(5)
    nodes = np.concatenate([rng.normal(0, 3, 60), [0.0, 1.0, -1e-9, 1e-200, 25.0, -25.0]])
    values, errors = function.with_error(nodes, np.zeros_like(nodes))
    blurred = rng.uniform(0, 1e-9, nodes.size) * rng.choice([0.0, 1e-6, 1.0], nodes.size)
    wider = function.with_error(nodes, blurred)[1]
    with mpmath.workdps(60):
        least = mpmath.mpf(10) ** -55  # the reference's own rounding
        for x, value, error, blur, wide in zip(nodes, values, errors, blurred, wider, strict=True):
            assert abs(mpmath.mpf(float(value)) - exact(mpmath.mpf(float(x)))) <= error * (1 + 1e-6) + least
            for shifted in (mpmath.mpf(float(x)) + float(blur), mpmath.mpf(float(x)) - float(blur)):
                assert abs(mpmath.mpf(float(value)) - exact(shifted)) <= wide * (1 + 1e-6) + least
            assert error <= 1e-13 * max(abs(value), 1.0) * max(abs(x), 1.0) ** 2


@pytest.mark.parametrize("formula", FORMULAS)
def test_array_functions_off_the_axis(formula: str) -> None:
    expression = Activation(formula).expression
    function = array_function(expression)
    exact = sp.lambdify(z, expression, "mpmath")
    points = np.random.default_rng(6).normal(0, 3, 40) + 0.05j
    with mpmath.workdps(40):
        for point, value in zip(points, function.off_axis(points), strict=True):
            distance = abs(mpmath.mpc(complex(value)) - exact(mpmath.mpc(complex(point))))
            assert distance <= 1e-13 * max(1.0, abs(value))


def test_array_functions_where_formulas_overflow() -> None:
    nodes, none = np.array([-2000.0, 2000.0]), np.zeros(2)
    for formula, expected in (
        ("log(1 + exp(z))", [0.0, 2000.0]),
        ("1/(1 + exp(-z))", [0.0, 1.0]),
        ("z*(1 + erf(z/sqrt(2)))/2", [0.0, 2000.0]),
        ("log(cosh(z))", [2000.0 - math.log(2.0)] * 2),
        ("exp(z)/(1 + exp(z))**2", [0.0, 0.0]),
    ):
        values, errors = array_function(Activation(formula).expression).with_error(nodes, none)
        assert values == pytest.approx(expected, rel=1e-15, abs=0.0) and np.all(errors <= 1e-11)


def test_array_functions_know_what_they_do_not_know() -> None:
    one, none = np.array([1.0]), np.array([1e-3])
    for formula, node, least in (
        (sp.log(z), 0.0, math.inf),
        (1 / z, 0.0, math.inf),
        (1 / z, 1e-4, math.inf),
        (sp.sqrt(z), 0.0, math.sqrt(1e-3)),
        (z ** sp.Rational(1, 3), 0.0, 0.0999999),
        (sp.asin(z), 0.9999, math.inf),
        (sp.tan(z), 1.5707, math.inf),
    ):
        values, errors = array_function(formula).with_error(node * one, none)
        assert not np.isfinite(values[0]) or errors[0] >= least
    with pytest.raises(CodegenError, match="no array function for besselj"):
        array_function(sp.besselj(0, z))


# -- closed forms at the kinks ----------------------------------------------------------------------------------------


def test_half_line_tables() -> None:
    table = half_line_table(Activation("Max(-1, Min(1, z))").pieces)
    assert table is not None and [kink.place for kink in table.kinks] == [-1.0, 1.0]
    assert table.pieces == ((-1.0,), (0.0, 1.0), (1.0,))
    assert half_line_table(Activation("z**2").pieces) is None
    assert half_line_table(Activation("Max(0, z)*tanh(z)").pieces) is None
    assert half_line_table(Activation("Max(0, z)**9").pieces) is None


def test_half_lines_feel_the_mean() -> None:
    table = half_line_table(Activation("relu").pieces)
    assert table is not None
    sharp = half_line_values(table, 0.3, 0.1, 4)
    blurred = half_line_values(table, 0.3, 0.1, 4, 1e-6, 1e-7)
    for mean, std in ((0.3 + 1e-6, 0.1), (0.3 - 1e-6, 0.1), (0.3, 0.1 + 1e-7), (0.3, 0.1 - 1e-7)):
        moved = half_line_values(table, mean, std, 4)
        for k in range(5):
            assert abs(moved.values[k] - sharp.values[k]) <= blurred.errors[k]
    assert max(blurred.errors) < 1e-4


# -- the trapezoidal rule ---------------------------------------------------------------------------------------------


def test_weighted_hermite_polynomials() -> None:
    nodes = np.array([0.0, 0.1, 1.0, math.sqrt(3.0), 5.0, 11.0])
    table = weighted_hermite(nodes, 128)
    with mpmath.workdps(60):
        for i, x in enumerate(nodes):
            before, now = mpmath.mpf(0), mpmath.npdf(mpmath.mpf(float(x)))
            for k in range(129):
                assert abs(now - float(table[i, k])) <= 1e-15 * abs(now) + 1e-30 * mpmath.sqrt(mpmath.factorial(k))
                before, now = now, float(x) * now - k * before


@pytest.mark.parametrize("order", [0, 1, 20, 128])
def test_grids_integrate_hermite_polynomials(order: int) -> None:
    """He_j is entire: each grid has to find E[He_j He_k] = k! delta_jk within the bound from the rim of its strip."""
    roots = np.exp(0.5 * np.array([math.lgamma(k + 1.0) for k in range(order + 1)]))
    for level in range(best_level(order), LEVELS, 5):
        rule = grid(order, level)
        assert rule.nodes[-1] >= reach(order)
        products = (rule.basis / rule.weights[:, None]).T @ rule.basis / np.outer(roots, roots)
        before, now = np.zeros_like(rule.rim), np.ones_like(rule.rim)
        for j in range(order + 1):
            pairs = now.view(np.float64)
            norm = 2.0 * math.sqrt(float(pairs**2 @ rule.rim_weights)) / roots[j]
            distances = np.abs(products[j] - np.eye(order + 1)[j])
            bounds = (norm * rule.discretisation + (norm + 2.0 * rule.nodes[-1] ** j / roots[j]) * rule.tail) / roots
            assert np.all(distances <= bounds + 1e-14)
            before, now = now, rule.rim * now - j * before


def test_levels() -> None:
    assert level_of(100.0) == 0
    for level in range(LEVELS):
        assert level_of(grid(3, level).half_width * 1.0001) == level
    assert level_of(1e-3) > LEVELS


@pytest.mark.parametrize(
    ("formula", "nearest"),
    [
        ("tanh(z)", math.pi / 2),
        ("1/(1 + z**2)", 1.0),
        ("log(1 + exp(z))", math.pi),
        ("sqrt(1 + 4*z**2)", 0.5),
        ("1/(1 + exp(-3*z))", math.pi / 3),
        ("atan(2*z)", 0.5),
    ],
)
def test_strips_end_before_the_singularity(formula: str, nearest: float) -> None:
    width = strip_half_width(array_function(Activation(formula).expression), 0.0, 9.0, False)
    assert 0.25 * nearest < width < 1.02 * nearest


def test_a_narrow_feature_is_noticed() -> None:
    spike = array_function(Activation("sin(z) + exp(-1000000*(z - 1/7)**2)").expression)
    assert strip_half_width(spike, 0.0, 9.0, False) < 0.1
    assert strip_half_width(array_function(Activation("sin(z)").expression), 0.0, 9.0, False) == 3.0


# -- panels -----------------------------------------------------------------------------------------------------------


def test_panels_find_a_spike_between_their_nodes() -> None:
    for place in (0.1, 1.234567, -3.7):
        expression = sp.exp(-(10**10) * (z - sp.Rational(place)) ** 2)
        sums = integrate_panels([SmoothPiece(array_function(expression), -math.inf, math.inf)], 0.0, 1.0, 3, 1e-15)
        width, x = 1e-5, place
        area = width * math.sqrt(math.pi) * math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
        exact = area * np.array([1.0, x, x * x - 1.0, x**3 - 3.0 * x])
        assert sums.values == pytest.approx(exact, rel=1e-8)
        assert sums.panels > 40  # of 22


def test_panels_meet_fractional_powers() -> None:
    found = hermite_coefficients("sqrt(Abs(z))", 4)
    with mpmath.workdps(40):  # E|x|^p
        powers = [mpmath.mpf(p) for p in (0.5, 2.5, 4.5)]
        moments = [2 ** (p / 2) * mpmath.gamma((p + 1) / 2) / mpmath.sqrt(mpmath.pi) for p in powers]
        exact = [moments[0], 0, moments[1] - moments[0], 0, moments[2] - 6 * moments[1] + 3 * moments[0]]
        assert within(found, exact)


def test_panels_say_where_nothing_is_known() -> None:
    sums = integrate_panels([SmoothPiece(array_function(sp.exp(z)), -math.inf, math.inf)], 800.0, 1.0, 1, 1e-15)
    assert sums.unknown is not None and sums.unknown > 709.0
