"""Identities of Hermite coefficients, within the errors that come with them.

HERMITON_EXAMPLES says how many examples each identity is tried on; 2000 is a thorough run.
"""

import math
import os
from fractions import Fraction

import numpy as np
import sympy as sp
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from hermiton.numerics.hermite import HermiteCoefficients, hermite_coefficients
from hermiton.theory.activation import Activation
from hermiton.theory.gaussian.hermite import hermite_he
from hermiton.theory.notation import z

SETTINGS = settings(
    max_examples=int(os.environ.get("HERMITON_EXAMPLES", "10")),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking formulas takes longer than reading them
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
ORDER = 10
ROOTS = np.array([math.sqrt(math.factorial(k)) for k in range(ORDER + 1)])
UNIT = 2.0**-53
# Exact ranges of polynomials of degree 8, 10 and 12 take SymPy long.
DEGREES = (1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 16)

# -- activations with random parameters; a > 0 and b are rational -----------------------------------------------------

SMOOTH = (
    lambda a, b: sp.tanh(a * z + b),
    lambda a, b: 1 / (1 + sp.exp(-a * z + b)),
    lambda a, b: sp.log(1 + sp.exp(a * z)) + b * z,
    lambda a, b: z * (1 + sp.erf(a * z + b)),
    lambda a, b: sp.sin(a * z + b) + b * z,
    lambda a, b: sp.exp(-a * (z - b) ** 2),
    lambda a, b: sp.exp(z / (1 + a)) + b * z**2,
    lambda a, b: sp.atan(a * z) + b * z,
    lambda a, b: (z - b) / sp.sqrt(a + z**2),
    lambda a, b: 1 / (1 + a * (z - b) ** 2),
    lambda a, b: a * z**5 - b * z**2 + z,
)
KINKED = (
    lambda a, b: sp.Max(0, a * z + b),
    lambda a, b: sp.Abs(z - b) + a * z,
    lambda a, b: sp.Max(-a, sp.Min(a, z + b)),
    lambda a, b: sp.Max(0, z - b) ** 3 + a * z,
    lambda a, b: sp.Max(0, z - b) * sp.exp(-a * z / 4),
    lambda a, b: sp.Max(0, z - b) * sp.atan(a * z),
    lambda a, b: sp.exp(-a * sp.Abs(z - b)),
)
JUMPS = (
    lambda a, b: sp.sign(z - b) + a * z,
    lambda a, b: sp.Heaviside(z - b) * sp.cos(a * z),
)


def rationals(low: int, high: int) -> st.SearchStrategy[sp.Rational]:
    return st.builds(sp.Rational, st.integers(4 * low, 4 * high), st.just(4))


def formulas(*families: tuple) -> st.SearchStrategy[sp.Expr]:
    shapes = [shape for family in families for shape in family]
    return st.builds(lambda f, a, b: f(a, b), st.sampled_from(shapes), rationals(1, 4).filter(bool), rationals(-2, 2))


ANY = formulas(SMOOTH, KINKED, JUMPS)
MEANS = st.one_of(st.just(Fraction(0)), st.fractions(-4, 4, max_denominator=64))
STDS = st.one_of(st.just(Fraction(1)), st.fractions(Fraction(1, 64), 3, max_denominator=64))


def close(a: HermiteCoefficients, b: HermiteCoefficients, factors: object = 1.0, slack: object = 0.0) -> bool:
    """|a_k - factors b_k| within both errors; `slack` for the rounding of the comparison itself."""
    right = np.asarray(factors) * b.values
    allowed = a.errors + np.abs(factors) * b.errors + 4.0 * UNIT * (np.abs(a.values) + np.abs(right)) + slack
    return bool(np.all(np.abs(a.values - right) <= allowed))


def second_moment(formula: sp.Expr, mean: Fraction, std: Fraction) -> tuple[float, float]:
    """E[sigma^2] and its error: the coefficient h_0 of another function, sigma^2."""
    square = sp.piecewise_fold(formula**2) if formula.has(sp.Piecewise) else formula**2
    found = hermite_coefficients(square, 0, mean, std)
    return float(found.values[0]), float(found.errors[0])


# -- identities -------------------------------------------------------------------------------------------------------


@SETTINGS
@given(ANY, MEANS, STDS, st.sampled_from([Fraction(1, 3), Fraction(-1), Fraction(-5, 2), Fraction(7, 4)]))
def test_scaling(formula: sp.Expr, mean: Fraction, std: Fraction, c: Fraction) -> None:
    """sigma(c z) at (m, s) is sigma at (c m, |c| s), mirrored if c < 0."""
    scaled = hermite_coefficients(formula.subs(z, sp.Rational(c.numerator, c.denominator) * z), ORDER, mean, std)
    plain = hermite_coefficients(formula, ORDER, c * mean, abs(c) * std)
    signs = (-1.0) ** np.arange(ORDER + 1) if c < 0 else np.ones(ORDER + 1)
    assert close(scaled, plain, signs)


@SETTINGS
@given(ANY, MEANS, STDS, rationals(-3, 3))
def test_shifts(formula: sp.Expr, mean: Fraction, std: Fraction, shift: sp.Rational) -> None:
    """sigma(z + c) at m is sigma at m + c."""
    shifted = hermite_coefficients(formula.subs(z, z + shift), ORDER, mean, std)
    plain = hermite_coefficients(formula, ORDER, mean + Fraction(int(shift.p), int(shift.q)), std)
    assert close(shifted, plain)


@SETTINGS
@given(ANY, ANY, MEANS, STDS, rationals(-4, 4).filter(bool), rationals(1, 4).filter(bool))
def test_linearity(f: sp.Expr, g: sp.Expr, mean: Fraction, std: Fraction, a: sp.Rational, b: sp.Rational) -> None:
    both = a * f + b * g
    assume(both.has(z))
    whole = hermite_coefficients(both, ORDER, mean, std)
    parts = [hermite_coefficients(p, ORDER, mean, std) for p in (f, g)]
    terms = [float(c) * part.values for c, part in zip((a, b), parts, strict=True)]
    allowed = whole.errors + abs(float(a)) * parts[0].errors + abs(float(b)) * parts[1].errors
    allowed += 4.0 * UNIT * (np.abs(terms[0]) + np.abs(terms[1]))
    assert np.all(np.abs(whole.values - terms[0] - terms[1]) <= allowed)


@SETTINGS
@given(ANY, MEANS, STDS)
def test_bessel(formula: sp.Expr, mean: Fraction, std: Fraction) -> None:
    """sum_k h_k^2/k! <= E[sigma^2]."""
    found = hermite_coefficients(formula, ORDER, mean, std)
    square, error = second_moment(formula, mean, std)
    terms = (found.values / ROOTS) ** 2
    slack = error + float(np.sum(2.0 * np.abs(found.values) * found.errors / ROOTS**2)) + 32.0 * UNIT * square
    assert float(np.sum(terms)) <= square + slack


@SETTINGS
@given(st.lists(rationals(-3, 3), min_size=2, max_size=6), MEANS, STDS)
def test_parseval(coefficients: list[sp.Rational], mean: Fraction, std: Fraction) -> None:
    """sum_k h_k^2/k! = E[sigma^2] for polynomials."""
    assume(any(coefficients[1:]))
    formula = sum(c * z**i for i, c in enumerate(coefficients))
    found = hermite_coefficients(formula, ORDER, mean, std)
    square, error = second_moment(formula, mean, std)
    assert found.kind == "exact"
    slack = error + float(np.sum(2.0 * np.abs(found.values) * found.errors / ROOTS**2)) + 32.0 * UNIT * square
    assert abs(float(np.sum((found.values / ROOTS) ** 2)) - square) <= slack


@SETTINGS
@given(formulas(SMOOTH), MEANS, STDS)
def test_stein(formula: sp.Expr, mean: Fraction, std: Fraction) -> None:
    """h_(k+1)(sigma) = s h_k(sigma')."""
    derivative = sp.diff(formula, z)
    assume(derivative.has(z))
    whole = hermite_coefficients(formula, ORDER + 1, mean, std)
    other = hermite_coefficients(derivative, ORDER, mean, std)
    distances = np.abs(whole.values[1:] - float(std) * other.values)
    assert np.all(distances <= whole.errors[1:] + float(std) * other.errors + 4.0 * UNIT * np.abs(whole.values[1:]))


@SETTINGS
@given(st.sampled_from([sp.Max(0, z), sp.Abs(z), sp.Max(-1, sp.Min(1, z))]), MEANS, STDS)
def test_stein_at_kinks(formula: sp.Expr, mean: Fraction, std: Fraction) -> None:
    """The derivative of a kink is a jump."""
    derivative = {
        sp.Max(0, z): sp.Heaviside(z),
        sp.Abs(z): sp.sign(z),
        sp.Max(-1, sp.Min(1, z)): sp.Heaviside(z + 1) - sp.Heaviside(z - 1),
    }[formula]
    whole = hermite_coefficients(formula, ORDER + 1, mean, std)
    other = hermite_coefficients(derivative, ORDER, mean, std)
    distances = np.abs(whole.values[1:] - float(std) * other.values)
    assert np.all(distances <= whole.errors[1:] + float(std) * other.errors + 4.0 * UNIT * np.abs(whole.values[1:]))


@SETTINGS
@given(st.sampled_from(DEGREES), st.integers(1, 20))
def test_orthogonality(j: int, order: int) -> None:
    """E[He_j He_k] = j! delta_jk."""
    found = hermite_coefficients(hermite_he(j, z), order)
    expected = np.zeros(order + 1)
    if j <= order:
        expected[j] = float(math.factorial(j))
    assert found.values.tolist() == expected.tolist() and not np.any(found.errors)


@SETTINGS
@given(st.sampled_from(DEGREES[:7]), st.fractions(-1, 1, max_denominator=50).filter(bool))
def test_mehler(j: int, rho: Fraction) -> None:
    """E[He_j(rho x + sqrt(1 - rho^2) y) He_k(x)] = rho^j j! delta_jk: a polynomial in y, averaged by Gauss's rule."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    spread = math.sqrt(1.0 - float(rho) ** 2)
    total, size = np.zeros(j + 1), np.zeros(j + 1)
    for y, w in zip(nodes, weights / math.sqrt(2.0 * math.pi), strict=True):
        signs = (-1.0) ** np.arange(j + 1) if rho < 0 else np.ones(j + 1)
        values = hermite_coefficients(hermite_he(j, z), j, float(spread * y), abs(rho)).values * signs
        total += w * values
        size += w * np.abs(values)
    expected = np.zeros(j + 1)
    expected[j] = float(rho) ** j * math.factorial(j)
    assert np.all(np.abs(total - expected) <= 1e-12 * size + 1e-13 * math.factorial(j))


@SETTINGS
@given(ANY, MEANS, STDS, st.sampled_from([0, 3, 25]))
def test_balls_hold_what_doubles_say(formula: sp.Expr, mean: Fraction, std: Fraction, order: int) -> None:
    doubles = hermite_coefficients(formula, order, mean, std)
    balls = hermite_coefficients(formula, order, mean, std, digits=20)
    for value, error, middle, radius in zip(doubles.values, doubles.errors, balls.values, balls.errors, strict=True):
        assert abs(middle - float(value)) <= float(error) + radius + abs(middle) * 1e-30


@SETTINGS
@given(ANY, MEANS, STDS)
def test_prefixes_agree(formula: sp.Expr, mean: Fraction, std: Fraction) -> None:
    """The order asked for chooses other nodes, not other numbers."""
    short, long = (hermite_coefficients(formula, order, mean, std) for order in (3, 40))
    assert np.all(np.abs(short.values - long.values[:4]) <= short.errors + long.errors[:4])


@SETTINGS
@given(ANY, st.floats(-6, 6), st.floats(1e-8, 4))
def test_every_float_is_welcome(formula: sp.Expr, mean: float, std: float) -> None:
    found = hermite_coefficients(formula, ORDER, mean, std)
    scale = math.sqrt(second_moment(formula, Fraction(mean), Fraction(std))[0])
    assert np.all(np.isfinite(found.values)) and np.all(found.errors >= 0.0)
    assert np.all(found.errors <= 2.0**-45 * ROOTS * scale + 1e-200)
    assert np.all(np.abs(found.values) <= (1.0 + 1e-12) * ROOTS * scale + found.errors)


def test_the_formulas_are_of_all_kinds() -> None:
    one, half = sp.Integer(1), sp.Rational(1, 2)
    methods = {
        hermite_coefficients(f(one, half), 3, Fraction(1, 5)).method.split(" (")[0] for f in SMOOTH + KINKED + JUMPS
    }
    assert methods >= {"trapezoidal rule", "closed form at the kinks", "Gauss-Legendre panels", "rational arithmetic"}
    assert all(Activation(f(one, half)).is_analytic_on_reals for f in SMOOTH)
