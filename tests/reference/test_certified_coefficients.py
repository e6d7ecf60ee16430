"""Rigorous Hermite coefficients contain values of 70 digits from mpmath, by sums that share nothing with the code.

Smooth functions: a plain trapezoidal sum. Kinked and steep ones: Gauss-Legendre panels between given edges. The two
routes are held against each other first.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import sympy as sp
from flint import arb
from mpmath import mp, mpf
from mpmath.calculus.quadrature import GaussLegendre

from hermiton.numerics.certify import certified_coefficients, certified_second_moment
from hermiton.theory.balls import precision
from hermiton.theory.notation import z

R = sp.Rational
ORDER, DIGITS = 20, 50
REFERENCE_DIGITS = 85
END = 22  # phi(22) is 1e-105
Function = Callable[[mpf], mpf]
LAWS = [(0, 1), (R(3, 10), R(17, 10)), (-2, R(1, 2))]


class Case(NamedTuple):
    """What is given to the code; the same function for mpmath; its distance to a singularity (0: entire)."""

    activation: Any
    function: Function
    distance: float = 0.0


SMOOTH = {
    "tanh": Case("tanh", mp.tanh, 1.57),
    "erf": Case("erf", lambda x: mp.erf(x / mp.sqrt(2))),
    "gelu": Case("gelu", lambda x: x * (1 + mp.erf(x / mp.sqrt(2))) / 2),
    "sigmoid": Case("sigmoid", lambda x: 1 / (1 + mp.exp(-x)), 3.14),
    "softplus": Case("softplus", lambda x: mp.log1p(mp.exp(x)), 3.14),
    "silu": Case("silu", lambda x: x / (1 + mp.exp(-x)), 3.14),
    "sinexp": Case(sp.sin(z) * sp.exp(-(z**2) / 3), lambda x: mp.sin(x) * mp.exp(-x * x / 3)),
}


def exact(value: object) -> mpf:
    number = sp.Rational(value)
    return mpf(int(number.p)) / int(number.q)


def weighted(function: Function, point: mpf, weight: mpf, m: mpf, s: mpf, order: int) -> list[mpf]:
    """weight sigma(m + s x) He_k(x) phi(x) for all k."""
    value = weight * function(m + s * point) * mp.npdf(point)
    terms, before, now = [], mpf(0), mpf(1)
    for k in range(order + 1):
        terms.append(value * now)
        before, now = now, point * now - k * before
    return terms


def trapezoid(case: Case, mean: object, std: object, order: int) -> list[mpf]:
    m, s = exact(mean), exact(std)
    accuracy = 175  # e^-175 = 1e-76
    if case.distance:
        height = min(0.97 * case.distance / float(s), 18.0)
        step = 2 * mp.pi * height / (accuracy + height**2 / 2)
    else:
        step = 2 * mp.pi * mp.sqrt(mpf(2 * accuracy) / (1 + s * s)) / (2 * accuracy)
    count = int(END / step)
    terms = [weighted(case.function, j * step, step, m, s, order) for j in range(-count, count + 1)]
    return [mp.fsum(column) for column in zip(*terms, strict=True)]


@functools.lru_cache(maxsize=2)
def rule(digits: int) -> list[tuple[mpf, mpf]]:
    """96 Gauss-Legendre nodes on [-1, 1]."""
    return list(GaussLegendre(mp).calc_nodes(6, int(3.33 * digits) + 10))


def panels(function: Function, edges: Sequence[mpf], mean: object, std: object, order: int) -> list[mpf]:
    """Edges are given in x."""
    m, s = exact(mean), exact(std)
    terms = []
    for left, right in itertools.pairwise(edges):
        centre, half = (left + right) / 2, (right - left) / 2
        for node, weight in rule(REFERENCE_DIGITS):
            terms.append(weighted(function, centre + half * node, half * weight, m, s, order))
    return [mp.fsum(column) for column in zip(*terms, strict=True)]


def edges_around(points: Sequence[mpf], least: float) -> list[mpf]:
    """Edges at the points, nearest ones `least` away, panels at most as wide as far from them, and at most 4."""
    found = {mpf(-END), mpf(END), *points}
    for point in points:
        offset = mpf(least)
        while offset < 2 * END:
            found |= {point + offset, point - offset}
            offset = min(2 * offset, offset + 4)
    return sorted(x for x in found if -END <= x <= END)


def assert_contained(balls: Sequence[Any], values: Sequence[mpf], digits: int = DIGITS) -> None:
    """Each ball holds the value, known to 20 digits more, and is as small as asked for."""
    assert len(balls) == len(values)
    with precision(1000):
        for k, (ball, value) in enumerate(zip(balls, values, strict=True)):
            scale = arb(k).fac().sqrt().max(abs(ball))
            reference = arb(mp.nstr(value, digits + 25), arb(10) ** (-digits - 20) * scale)
            assert ball.overlaps(reference), (k, ball, value)
            assert ball.rad() < arb(10) ** (2 - digits) * scale
            assert ball.rad() < arb(10) ** (-digits) * scale


@pytest.mark.parametrize("law", [(0, 1), (R(3, 10), R(17, 10))], ids=str)
def test_the_two_references_agree(law: tuple[Any, Any]) -> None:
    with mp.workdps(REFERENCE_DIGITS):
        case = SMOOTH["tanh"]
        one = trapezoid(case, *law, ORDER)
        two = panels(case.function, edges_around([-exact(law[0]) / exact(law[1])], 0.5), *law, ORDER)
        for k, (a, b) in enumerate(zip(one, two, strict=True)):
            assert abs(a - b) < mpf(10) ** -70 * mp.sqrt(mp.factorial(k))


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("name", SMOOTH)
def test_fifty_digits_of_smooth_activations(name: str, law: tuple[Any, Any]) -> None:
    case = SMOOTH[name]
    found = certified_coefficients(case.activation, ORDER, *law, DIGITS)
    assert "trapezoidal rule" in found.method
    assert found.digits == DIGITS
    with mp.workdps(REFERENCE_DIGITS):
        assert_contained(found.coefficients, trapezoid(case, *law, ORDER))


@pytest.mark.parametrize("name", ["tanh", "gelu", "softplus", "sinexp"])
def test_a_tiny_deviation(name: str) -> None:
    law = (R(1, 7), R(1, 10**6))
    found = certified_coefficients(SMOOTH[name].activation, ORDER, *law, DIGITS)
    with mp.workdps(REFERENCE_DIGITS):
        assert_contained(found.coefficients, trapezoid(SMOOTH[name], *law, ORDER))


@pytest.mark.parametrize(
    ("name", "mean"), [("tanh", 0), ("tanh", R(-5, 3)), ("silu", 1), ("erf", R(-5, 3)), ("sinexp", 2)]
)
def test_a_large_deviation(name: str, mean: Any) -> None:
    case, std = SMOOTH[name], 30
    found = certified_coefficients(case.activation, ORDER, mean, std, DIGITS)
    with mp.workdps(REFERENCE_DIGITS):
        if case.distance:
            edges = edges_around([-exact(mean) / std], case.distance / std / 2)
            values = panels(case.function, edges, mean, std, ORDER)
        else:
            values = trapezoid(case, mean, std, ORDER)
        assert_contained(found.coefficients, values)


KINKED: dict[str, tuple[Any, Function, tuple[int, ...]]] = {
    "relu": ("relu", lambda x: max(x, mpf(0)), (0,)),
    "abs": ("abs", abs, (0,)),
    "leaky": ("leaky_relu", lambda x: max(x, x / 100), (0,)),
    "clamp": (sp.Max(-1, sp.Min(1, z)), lambda x: max(mpf(-1), min(mpf(1), x)), (-1, 1)),
    "sign": ("sign", mp.sign, (0,)),
    "relu*tanh": ("max(z, 0)*tanh(z)", lambda x: max(x, mpf(0)) * mp.tanh(x), (0,)),
    "elu": (sp.Piecewise((z, z > 0), (sp.exp(z) - 1, True)), lambda x: x if x > 0 else mp.expm1(x), (0,)),
    "softplus of abs": (sp.log(1 + sp.exp(sp.Abs(z - 1))), lambda x: mp.log1p(mp.exp(abs(x - 1))), (1,)),
}
_CLOSED = {"relu", "abs", "leaky", "clamp", "sign", "elu"}


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("name", KINKED)
def test_fifty_digits_of_kinked_activations(name: str, law: tuple[Any, Any]) -> None:
    activation, function, kinks = KINKED[name]
    found = certified_coefficients(activation, ORDER, *law, DIGITS)
    assert ("closed form" in found.method) == (name in _CLOSED)
    assert ("Gauss-Legendre panels" in found.method) == (name not in _CLOSED)
    with mp.workdps(REFERENCE_DIGITS):
        points = [(k - exact(law[0])) / exact(law[1]) for k in kinks]
        edges = edges_around(points, 1.0 / float(law[1]))
        assert_contained(found.coefficients, panels(function, edges, *law, ORDER))


def test_a_steep_activation_is_cut_into_panels() -> None:
    mean = R(1, 10)
    found = certified_coefficients(sp.tanh(50 * z), ORDER, mean, 1, DIGITS)
    assert "panels" in found.method
    with mp.workdps(REFERENCE_DIGITS):
        edges = edges_around([-exact(mean)], 0.015)
        assert_contained(found.coefficients, panels(lambda x: mp.tanh(50 * x), edges, mean, 1, ORDER))


def test_derivatives() -> None:
    law = (R(3, 10), R(17, 10))
    with mp.workdps(REFERENCE_DIGITS):
        first = Case(None, lambda x: mp.sech(x) ** 2, 1.57)
        found = certified_coefficients("tanh", 12, *law, DIGITS, derivative=1)
        assert_contained(found.coefficients, trapezoid(first, *law, 12))
        second = Case(None, lambda x: -2 * mp.sech(x) ** 2 * mp.tanh(x), 1.57)
        found = certified_coefficients("tanh", 12, *law, DIGITS, derivative=2)
        assert_contained(found.coefficients, trapezoid(second, *law, 12))
        # the step function: E = Phi(m/s), then E[1(x > -m/s) He_k] = He_(k-1)(-m/s) phi(m/s)
        t = -exact(law[0]) / exact(law[1])
        hermite = [mpf(1), t]
        for k in range(1, 12):
            hermite.append(t * hermite[k] - k * hermite[k - 1])
        values = [mp.ncdf(-t), *(hermite[k - 1] * mp.npdf(t) for k in range(1, 13))]
        assert_contained(certified_coefficients("relu", 12, *law, DIGITS, derivative=1).coefficients, values)


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("name", ["tanh", "gelu", "sinexp"])
def test_second_moments_of_smooth_activations(name: str, law: tuple[Any, Any]) -> None:
    case = SMOOTH[name]
    with mp.workdps(REFERENCE_DIGITS):
        square = Case(None, lambda x: case.function(x) ** 2, case.distance and 0.9 * case.distance)
        if not case.distance:  # the square of an entire function grows as if its argument were sqrt(2) times as large
            edges = edges_around([mpf(0)], 1.0)
            value = panels(square.function, edges, *law, 0)
        else:
            value = trapezoid(square, *law, 0)
        assert_contained([certified_second_moment(case.activation, *law, DIGITS)], value)


@pytest.mark.parametrize("name", ["relu", "sign", "relu*tanh"])
def test_second_moments_of_kinked_activations(name: str) -> None:
    activation, function, _ = KINKED[name]
    law = (R(3, 10), R(17, 10))
    with mp.workdps(REFERENCE_DIGITS):
        edges = edges_around([-exact(law[0]) / exact(law[1])], 0.6)
        value = panels(lambda x: function(x) ** 2, edges, *law, 0)
        assert_contained([certified_second_moment(activation, *law, DIGITS)], value)


def test_parseval_holds_in_balls() -> None:
    """The second moment bounds sum h_k^2/k!, and the rest falls with the order: the tail of a Mehler series."""
    second = certified_second_moment("tanh", 0, R(1, 2), 40)
    balls = certified_coefficients("tanh", 60, 0, R(1, 2), 40).coefficients
    with precision(200):
        rest = [second - sum((b * b / arb(k).fac() for k, b in enumerate(balls[: n + 1])), arb(0)) for n in (10, 60)]
    assert 0 < rest[1] < rest[0] / 10**6
    assert rest[0] < R(1, 10**3)


def test_hundred_and_twenty_digits() -> None:
    found = certified_coefficients("erf", 5, 0, 1, 120)
    with mp.workdps(160):
        # E[erf(x/sqrt 2) He_1] = E[sigma'] = 1/sqrt(pi); then from sigma''' = ((x^2 - 1) sigma')
        # with y ~ N(0, 1/2): E[2 phi(x) g(x)] = E[g(y)]/sqrt(pi)
        first = 1 / mp.sqrt(mp.pi)
        values = [mpf(0), first, mpf(0), first * (mpf(1) / 2 - 1), mpf(0), first * (mpf(3) / 4 - 3 + 3)]
        assert_contained(found.coefficients, values, 120)


@pytest.mark.parametrize("a", [R(1, 2), R(1, 1000), R(1, 10**7)])
def test_poles_near_the_real_line(a: Any) -> None:
    """E[1/(x^2 + a^2)] = sqrt(pi/2)/a exp(a^2/2) erfc(a/sqrt 2), and x^2/(x^2 + a^2) = 1 - a^2/(x^2 + a^2)."""
    found = certified_coefficients(1 / (z**2 + a**2), 2, 0, 1, DIGITS)
    with mp.workdps(REFERENCE_DIGITS):
        b = exact(a)
        zeroth = mp.sqrt(mp.pi / 2) / b * mp.exp(b * b / 2) * mp.erfc(b / mp.sqrt(2))
        assert_contained(found.coefficients, [zeroth, mpf(0), 1 - (1 + b * b) * zeroth])


@pytest.mark.parametrize("law", [(0, 1), (R(3, 10), R(17, 10)), (-2, sp.sqrt(2))], ids=str)
def test_waves(law: tuple[Any, Any]) -> None:
    """E[sin(m + s x) He_k(x)] = s^k exp(-s^2/2) sin(m + k pi/2)."""
    found = certified_coefficients("sin", ORDER, *law, DIGITS)
    with mp.workdps(REFERENCE_DIGITS):
        m, s = exact(law[0]), mp.sqrt(exact(law[1] ** 2))
        values = [s**k * mp.exp(-s * s / 2) * mp.sin(m + k * mp.pi / 2) for k in range(ORDER + 1)]
        assert_contained(found.coefficients, values)
