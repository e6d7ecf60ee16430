"""Moments of piecewise-linear functions against the published table, closed forms and quadrature at high precision."""

import functools
import itertools
import math
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from flint import arb, ctx, fmpq
from numpy.typing import NDArray

from hermiton.numerics.moments.piecewise_linear import PiecewiseLinear, linear_pieces, piecewise_linear_moment
from hermiton.theory.activation import Activation
from hermiton.theory.errors import AssumptionError

Array = NDArray[np.float64]

COVARIANCE = np.array([[1, 0.3, 0.4, 0.2], [0.3, 1.2, -0.1, 0.5], [0.4, -0.1, 0.9, 0.25], [0.2, 0.5, 0.25, 1.1]])
MEAN = np.array([0.3, -0.2, 0.5, 0.1])

#: Constant, slope, and (threshold, bend, jump) of each kink, as rational numbers.
SHAPES: dict[str, tuple[str, str, list[tuple[str, str, str]]]] = {
    "relu": ("0", "0", [("0", "1", "0")]),
    "leaky_relu": ("0", "1/100", [("0", "99/100", "0")]),
    "abs": ("0", "-1", [("0", "2", "0")]),
    "sign": ("-1", "0", [("0", "0", "2")]),
    "identity": ("0", "1", []),
    "Max(-1, Min(1, z))": ("-1", "0", [("-1", "1", "0"), ("1", "-1", "0")]),
    "2 - z/3 + Heaviside(z - 1/3)": ("2", "-1/3", [("1/3", "0", "1")]),
    "Heaviside(z - 1) - Heaviside(z - 1001/1000)": ("0", "0", [("1", "0", "1"), ("1001/1000", "0", "-1")]),
}


def form(name: str) -> PiecewiseLinear:
    """The function of a name; a prime takes the derivative."""
    pieces = linear_pieces(Activation(name.rstrip("'")))
    assert pieces is not None
    return pieces.derivative() if name.endswith("'") else pieces


def ball(number: Fraction | float | str) -> arb:
    """An exact number in the precision at work."""
    ratio = Fraction(number)
    return arb(fmpq(ratio.numerator, ratio.denominator))


def expectation(name: str, m: arb, deviation: arb | None) -> arb:
    """E g(m + deviation e), or g(m) without a deviation, in the precision at work."""
    constant, slope, kinks = SHAPES[name.rstrip("'")]
    if name.endswith("'"):
        value = ball(slope)
        terms = [(ball(t), ball(0), ball(bend), ball(jump)) for t, bend, jump in kinks]
    else:
        value = ball(constant) + ball(slope) * m
        terms = [(ball(t), ball(bend), ball(jump), ball(0)) for t, bend, jump in kinks]
    for t, bend, jump, impulse in terms:
        distance = m - t
        if deviation is None:
            assert impulse == 0
            value += (bend * distance + jump) if distance > 0 else 0
            continue
        h = distance / deviation
        above = (-h / arb(2).sqrt()).erfc() / 2
        density = density_at(h)
        value += bend * (distance * above + deviation * density) + jump * above + impulse * density / deviation
    return value


def density_at(x: arb) -> arb:
    """Standard normal density."""
    return (-x * x / 2).exp() / (2 * arb.pi()).sqrt()


@functools.cache
def nodes(count: int) -> list[tuple[arb, arb]]:
    """Gauss-Legendre rule on [-1, 1]."""
    with ctx.workprec(120):
        return [arb.legendre_p_root(count, k, weight=True) for k in range(count)]


def one_factor(names: list[str], mean: list[float], noise: list[float], loading: list[float]) -> arb:
    """The moment of fields m_i + l_i x + sqrt(d_i) e_i, which are independent given x."""
    points = {Fraction(k) for k in range(-14, 15, 2)}
    fields = []
    for name, m, d, l in zip(names, mean, noise, loading, strict=True):
        fields.append((name, ball(m), ball(d).sqrt() if d else None, ball(l)))
        for t, _, _ in SHAPES[name.rstrip("'")][2]:
            if l:
                center = (Fraction(t) - Fraction(m)) / Fraction(l)
                width = Fraction(math.sqrt(d) / abs(l))
                points |= {center + k * width for k in (-12, -8, -5, -2, 0, 2, 5, 8, 12)}
    inside = sorted(p for p in points if abs(p) <= 14)
    total = arb(0)
    for begin, end in itertools.pairwise(inside):
        middle, half = ball((begin + end) / 2), ball((end - begin) / 2)
        for node, weight in nodes(24):
            x = middle + half * node
            term = weight * half * density_at(x)
            for name, m, deviation, l in fields:
                term *= expectation(name, m + l * x, deviation)
            total += term
    return total


def two_factors(names: list[str], mean: list[float], noise: list[float], loading: Array) -> arb:
    """The moment of m_i + a_i x + b_i y + sqrt(d_i) e_i by the trapezoidal rule, which converges geometrically."""
    step = Fraction(3, 8)
    grid = [(ball(step * k), ball(step) * density_at(ball(step * k))) for k in range(-24, 25)]
    fields = [
        (name, ball(m), ball(d).sqrt(), ball(a), ball(b))
        for name, m, d, (a, b) in zip(names, mean, noise, loading.tolist(), strict=True)
    ]
    total = arb(0)
    for x, w in grid:
        for y, v in grid:
            term = w * v
            if term < 1e-20:
                continue
            for name, m, deviation, a, b in fields:
                term *= expectation(name, m + a * x + b * y, deviation)
            total += term
    return total


def as_mpf(x: arb) -> mp.mpf:
    """The middle of a ball, whose rounding is far below what is compared."""
    assert float(x.rad()) < 1e-20
    return mp.mpf(x.mid().str(30, radius=False))


def close(names: list[str], covariance: Array, mean: object, truth: mp.mpf, most: float = 1e-13) -> None:
    value, error = piecewise_linear_moment([form(n) for n in names], covariance, mean)  # type: ignore[arg-type]
    with mp.workdps(40):
        assert abs(mp.mpf(value) - truth) <= error <= most * max(1.0, abs(truth))


@pytest.mark.parametrize(
    ("names", "index", "centered", "shifted"),
    [
        (["relu", "relu"], [0, 1], "0.255925275104224", "0.280535237673658"),
        (["relu'", "identity", "relu"], [0, 1, 2], "0.009145860232457", "-0.089317094818399"),
        (["relu'", "relu'"], [0, 1], "0.294150459190349", "0.305317136780237"),
        (["relu'"] * 4, [0, 1, 2, 3], "0.129136529046465", "0.176017689962857"),
        (["relu'", "relu'", "relu", "relu"], [0, 1, 2, 3], "0.120234961482823", "0.212978381829573"),
        (["relu'", "relu'", "relu", "relu"], [0, 1, 0, 2], "0.151664192989577", "0.283047137527999"),
    ],
)
def test_published_table(names: list[str], index: list[int], centered: str, shifted: str) -> None:
    # Online-SGD moments I2, I3, J2, P4, I4 and I4 with a field twice, fifteen decimals each.
    functions = [form(n) for n in names]
    covariance = COVARIANCE[np.ix_(index, index)]
    for mean, printed in ((None, centered), (MEAN[index], shifted)):
        value, error = piecewise_linear_moment(functions, covariance, mean)
        # Half a unit of the last printed place, on both sides
        assert abs(value - float(printed)) <= 1e-15
        assert error < 1e-14


@pytest.mark.parametrize("r", ["-0.875", "-0.25", "0.0", "0.5", "0.9921875"])
def test_arc_cosine_forms(r: str) -> None:
    with mp.workdps(40):
        c = mp.mpf(r)
        theta = mp.acos(c)
        covariance = np.array([[1.0, float(r)], [float(r), 1.0]])
        root = mp.sqrt(1 - c * c)
        close(["relu", "relu"], covariance, None, (root + (mp.pi - theta) * c) / (2 * mp.pi))
        close(["relu'", "relu'"], covariance, None, (mp.pi - theta) / (2 * mp.pi))
        close(["sign", "sign"], covariance, None, 2 * mp.asin(c) / mp.pi)
        close(["abs", "abs"], covariance, None, 2 * (root + c * mp.asin(c)) / mp.pi)
        # E delta(z_1) relu(z_2), E delta delta = the density
        close(["sign'", "relu"], covariance, None, 2 * mp.npdf(0) * root * mp.npdf(0))
        close(["sign'", "sign'"], covariance, None, 4 / (2 * mp.pi * root))
        # The second arc-cosine kernel: E[z_1^2 z_2^2 1 1]
        index = [0, 1, 0, 1]
        second = (3 * root * c + (mp.pi - theta) * (1 + 2 * c * c)) / (2 * mp.pi)
        close(["relu"] * 4, covariance[np.ix_(index, index)], None, second)


@pytest.mark.parametrize(
    ("names", "mean", "noise", "loading"),
    [
        (["relu'", "relu'", "relu", "relu"], [0.0] * 4, [1.0, 0.5, 0.25, 2.0], [0.5, -0.75, 1.0, 0.25]),
        (["relu'", "relu'", "relu", "relu"], [0.5, -0.25, 1.0, 0.125], [1.0, 0.5, 0.25, 2.0], [0.5, -0.75, 1.0, 0.25]),
        (["leaky_relu", "abs", "sign", "relu"], [0.5, -0.25, 1.0, 0.125], [0.5] * 4, [1.0, 1.0, -1.0, 0.5]),
        (["relu"] * 4, [3.0, -2.0, 0.5, 4.0], [0.125] * 4, [1.0, -1.0, 1.0, 0.5]),
        (["Max(-1, Min(1, z))"] * 4, [0.5, 0.25, -1.0, 2.0], [0.5, 1.0, 0.25, 0.125], [1.0, 0.5, -0.25, 1.0]),
        (["Max(-1, Min(1, z))'", "identity", "sign'"], [0.5, 0.25, -1.0], [0.5, 1.0, 0.25], [1.0, 0.5, -0.25]),
        (["2 - z/3 + Heaviside(z - 1/3)", "relu", "sign'"], [0.5, 0.25, -1.0], [0.5, 1.0, 0.25], [1.0, 0.5, 0.5]),
        (["Heaviside(z - 1) - Heaviside(z - 1001/1000)", "relu"], [0.0, 0.0], [0.5, 0.5], [0.5, 0.5]),
        (["Heaviside(z - 1) - Heaviside(z - 1001/1000)"], [0.0], [1.0], [0.0]),
        # Correlations of +-(1 - 1e-12), of a pair and of all
        (["relu"] * 4, [0.0] * 4, [2.0**-40, 2.0**-40, 1.0, 1.0], [1.0, 1.0, 0.5, 0.5]),
        (["relu", "relu'", "sign", "abs"], [0.0] * 4, [2.0**-40] * 4, [1.0, -1.0, 1.0, -1.0]),
        (["relu", "relu'", "sign", "abs"], [0.0, 2.0**-20, 0.0, -(2.0**-21)], [2.0**-40] * 4, [1.0, -1.0, 1.0, -1.0]),
        # Fewer dimensions than fields
        (["relu"] * 4, [0.5, -0.25, 1.0, 0.125], [0.0] * 4, [0.5, 0.75, 1.0, 0.25]),
        (["relu", "sign", "abs", "relu'"], [0.5, -0.25, 1.0, 0.125], [0.0] * 4, [0.5, -0.75, 1.0, 0.25]),
        (["relu'", "relu'", "relu", "relu"], [0.5, -0.25, 1.0, 0.125], [0.0, 0.0, 1.0, 1.0], [0.5, -0.75, 1.0, 0.25]),
        # A constant field
        (["relu'", "relu", "relu"], [0.5, -0.25, 0.75], [1.0, 0.5, 0.0], [0.5, 1.0, 0.0]),
        (["relu"] * 3, [0.5, -0.25, -0.75], [1.0, 0.5, 0.0], [0.5, 1.0, 0.0]),
    ],
)
def test_one_common_factor(names: list[str], mean: list[float], noise: list[float], loading: list[float]) -> None:
    # Dyadic numbers: their covariance is exact in double precision.
    l = np.array(loading)
    with ctx.workprec(120):
        truth = as_mpf(one_factor(names, mean, noise, loading))
    # Beyond their kinks functions are differences of larger terms, which the error counts.
    close(names, np.outer(l, l) + np.diag(noise), mean, truth, 1e-11)


def test_two_common_factors() -> None:
    names = ["relu'", "abs", "leaky_relu", "sign"]
    mean, noise = [0.5, -0.25, 0.125, 1.0], [1.0, 2.0, 1.0, 1.5]
    loading = np.array([[0.5, 0.25], [-0.5, 0.5], [0.25, 1.0], [0.75, -0.5]])
    with ctx.workprec(120):
        truth = as_mpf(two_factors(names, mean, noise, loading))
    close(names, loading @ loading.T + np.diag(noise), mean, truth)


def test_four_different_fields_three_of_which_span() -> None:
    # z_4 = z_1 + z_2: E[relu(z_1) relu(z_2) 1(z_4)] drops the last indicator, and z_4 replaces the sum.
    root = np.array([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.25, -0.5, 1.0], [1.5, 1.0, 0.0]])
    covariance = root @ root.T
    relu, step, line = form("relu"), form("relu'"), form("identity")
    three, e = piecewise_linear_moment([relu, relu, relu], covariance[:3, :3])
    four, e4 = piecewise_linear_moment([relu, relu, relu, step], covariance)
    assert abs(three - four) <= e + e4 <= 1e-13
    parts = [
        piecewise_linear_moment([relu, relu, relu, line], covariance[np.ix_(i, i)])
        for i in ([0, 1, 2, 0], [0, 1, 2, 1], [0, 1, 2, 3])
    ]
    assert abs(parts[0][0] + parts[1][0] - parts[2][0]) <= sum(p[1] for p in parts) <= 1e-12


def test_what_has_no_linear_pieces() -> None:
    assert linear_pieces(Activation("tanh")) is None
    assert linear_pieces(Activation("square")) is None
    assert linear_pieces(Activation("Max(0, z)**2")) is None


def test_exact_thresholds() -> None:
    pieces = linear_pieces(Activation("Max(0, z - sqrt(2))"))
    assert pieces is not None
    assert pieces.points_low is not None
    with mp.workdps(40):
        assert abs(mp.mpf(pieces.points[0]) + mp.mpf(pieces.points_low[0]) - mp.sqrt(2)) < 1e-31
    assert pieces.is_continuous
    assert not pieces.derivative().is_continuous


@pytest.mark.parametrize(
    ("names", "covariance", "mean", "reason"),
    [
        (["relu", "relu"], [[1.0, 2.0], [2.0, 1.0]], None, "positive semi-definite"),
        (["relu"], [[1.0, 0.5], [0.5, 1.0]], None, "forms"),
        (["sign'"], [[0.0]], None, "constant at its impulse"),
        (["sign'", "sign'"], [[1.0, 1.0], [1.0, 1.0]], None, "two impulses"),
        (["sign'", "sign", "sign"], np.ones((3, 3)), None, "several jumps"),
        (["relu"] * 5, np.eye(5), None, "wrong shape"),
        (["relu"], [[np.nan]], None, "not finite"),
    ],
)
def test_refusals(names: list[str], covariance: Array, mean: object, reason: str) -> None:
    with pytest.raises(AssumptionError, match=reason):
        piecewise_linear_moment([form(n) for n in names], covariance, mean)  # type: ignore[arg-type]


def test_derivatives_of_impulses_are_refused() -> None:
    with pytest.raises(AssumptionError, match="lower the order"):
        form("sign'").derivative()


@pytest.mark.parametrize(
    "arguments",
    [{"points": [[0.0]]}, {"points": [0.0], "bends": [1.0, 2.0]}, {"constant": np.inf}, {"points": [np.nan]}],
)
def test_bad_functions_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(AssumptionError):
        PiecewiseLinear(**arguments)  # type: ignore[arg-type]
