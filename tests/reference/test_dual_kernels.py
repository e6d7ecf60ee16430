"""Dual kernels against Mehler's series and against integrals, both from mpmath at 40 digits.

The coefficients come from the trapezoidal rule, after a change of variables that decays doubly exponentially where
there is a kink at 0. Mehler's series converges like a power of rho, and for analytic activations up to rho = +-1; there
the homogeneous ones with a kink are integrated over the angle in the plane instead.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import mpmath as mp
import pytest
import sympy as sp
from flint import arb, ctx

from hermiton.theory.gaussian.dual import dual_kernel, quadrant_moment
from hermiton.theory.gaussian.dual_forms import RHO

DIGITS = 40
R = sp.Rational
NEAR = 1 - R(1, 10**12)
INSIDE = (R(0), R(1, 3), R(-1, 2))
EVERYWHERE = (*INSIDE, R(9, 10), NEAR, -NEAR, R(1), R(-1))

# name, the same function for mpmath, and the nodes a unit length that suffice, 0 for a kink at 0
FUNCTIONS: dict[str, tuple[str, Callable[[mp.mpf], mp.mpf], int]] = {
    "relu": ("relu", lambda x: max(x, mp.mpf(0)), 0),
    "leaky_relu": ("leaky_relu", lambda x: max(x, x / 100), 0),
    "abs": ("abs", abs, 0),
    "sign": ("sign", mp.sign, 0),
    "step": ("Heaviside(z)", lambda x: mp.mpf(x > 0), 0),
    "square of relu": ("z**2*Heaviside(z)", lambda x: x**2 * (x > 0), 0),
    "cube of relu": ("z**3*Heaviside(z)", lambda x: x**3 * (x > 0), 0),
    "z|z|": ("z*Abs(z)", lambda x: x * abs(x), 0),
    "erf": ("erf", lambda x: mp.erf(x / mp.sqrt(2)), 5),
    "erf(3z)": ("erf(3*z)", lambda x: mp.erf(3 * x), 12),
    "erf with a mean": ("erf(z + 1/2)", lambda x: mp.erf(x + mp.mpf(1) / 2), 5),
    "gelu": ("gelu", lambda x: x * (1 + mp.erf(x / mp.sqrt(2))) / 2, 5),
    "sin": ("sin", mp.sin, 5),
    "cos": ("cos", mp.cos, 5),
    "exp": ("exp", mp.exp, 5),
    "bump": ("exp(-z**2)", lambda x: mp.exp(-(x**2)), 5),
    "he3": ("he3", lambda x: x**3 - 3 * x, 5),
    "bump with a mean": ("exp(-(z + 1/2)**2)", lambda x: mp.exp(-((x + mp.mpf(1) / 2) ** 2)), 5),
    "tanh": ("tanh", mp.tanh, 12),
}
KINKED = tuple(name for name, (_, _, density) in FUNCTIONS.items() if not density)
SMOOTH = ("erf", "gelu", "sin", "cos", "exp", "bump", "he3", "bump with a mean")
OPEN = ("tanh", "erf with a mean")  # no elementary closed form: the second is a bivariate normal probability
PAIRS = (("relu", "erf"), ("sign", "erf"), ("bump", "relu"), ("leaky_relu", "gelu"), ("erf with a mean", "he3"))
QUICK = ("relu", "sign", "square of relu", "erf", "gelu", "sin", "exp", "he3", "bump with a mean")
ORDER = 80
STEP = 26


# ---- coefficients ----


@lru_cache(maxsize=32)
def coefficients(name: str) -> tuple[mp.mpf, ...]:
    """E[f(x) He_n(x)]/sqrt(n!), n <= ORDER, by the trapezoidal rule in x; in t, x = exp(t - exp(-t)), at a kink."""
    _, f, density = FUNCTIONS[name]
    # The midpoints of flint's balls are numbers of any precision, at a tenth of mpmath's time
    with mp.workdps(DIGITS + 20), ctx.workdps(DIGITS + 20):
        if not density:  # double exponential on each half line
            grid = [mp.mpf(i) / STEP for i in range(-6 * STEP, 4 * STEP)]
            half = [(mp.exp(t - mp.exp(-t)), 1 + mp.exp(-t)) for t in grid]
            nodes = [(side * x, x * slope / STEP) for x, slope in half for side in (1, -1)]
        else:
            nodes = [(mp.mpf(i) / density, mp.mpf(1) / density) for i in range(-18 * density, 18 * density + 1)]
        total = [arb(0)] * (ORDER + 1)
        roots = [arb(n).sqrt() for n in range(ORDER + 2)]
        inverse = [1 / root for root in roots[1:]]
        for x, weight in nodes:
            point, before, here = in_flint(x), arb(0), in_flint(weight * mp.npdf(x) * f(x))
            for n in range(ORDER + 1):
                total[n] += here
                before, here = here, ((point * here - roots[n] * before) * inverse[n]).mid()
        return tuple(mp.mpf(c.mid().str(DIGITS + 25, radius=False)) for c in total)


def in_flint(x: mp.mpf) -> arb:
    return arb(mp.nstr(x, DIGITS + 25)).mid()


def series(first: str, second: str, rho: sp.Rational) -> tuple[mp.mpf, mp.mpf]:
    """Mehler's sum, and the bound |rho|^(N+1) tau_f tau_g on what it leaves out; E[f^2] by mpmath's own quadrature."""
    f, g = coefficients(first), coefficients(second)
    r = number(rho)
    value = mp.fsum(a * b * r**n for n, (a, b) in enumerate(zip(f, g, strict=True)))
    taus = [mp.sqrt(abs(norm(name) - mp.fsum(c**2 for c in cs))) for name, cs in ((first, f), (second, g))]
    return value, abs(r) ** (ORDER + 1) * taus[0] * taus[1]


@lru_cache(maxsize=32)
def norm(name: str) -> mp.mpf:
    """E[f^2]."""
    _, f, _ = FUNCTIONS[name]
    return mp.quad(lambda x: f(x) ** 2 * mp.npdf(x), [-16, 0, 16])


def number(value: sp.Expr) -> mp.mpf:
    """An exact number in mpmath."""
    return mp.mpmathify(value.evalf(DIGITS + 10)) if not value.is_Rational else mp.mpf(int(value.p)) / int(value.q)


def closed(first: str, second: str, rho: sp.Rational) -> mp.mpf:
    """The closed form's value."""
    kernel = dual_kernel(FUNCTIONS[first][0], FUNCTIONS[second][0], rho)
    assert kernel.expression is not None
    return number(kernel.expression)


@pytest.fixture(autouse=True)
def precision() -> object:
    """Every reference at the same number of digits."""
    with mp.workdps(DIGITS):
        yield


# ---- closed forms ----


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(first, second, marks=[pytest.mark.slow] * (first not in QUICK))
        for first, second in [*((name, name) for name in FUNCTIONS if name not in OPEN), *PAIRS]
    ],
)
def test_closed_forms_are_mehler_s_sum(first: str, second: str) -> None:
    for rho in INSIDE:
        value, tail = series(first, second, rho)
        error = abs(closed(first, second, rho) - value)
        assert tail < mp.mpf(10) ** -22
        assert error <= tail + mp.mpf(10) ** -35, (rho, error, tail)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in SMOOTH]
)
@pytest.mark.parametrize("rho", EVERYWHERE)
def test_analytic_activations_up_to_full_correlation(name: str, rho: sp.Rational) -> None:
    value, tail = series(name, name, rho)
    assert abs(closed(name, name, rho) - value) <= tail + mp.mpf(10) ** -35
    assert tail < mp.mpf(10) ** -13


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("rho", EVERYWHERE)
def test_homogeneous_activations_up_to_full_correlation(name: str, rho: sp.Rational) -> None:
    """E[f(x) f(y)] over the angle of the plane: E[r^(2n)] = 2^n n! times the mean of f(cos(a)) f(cos(a - theta))."""
    _, f, _ = FUNCTIONS[name]
    degree = {"sign": 0, "step": 0, "square of relu": 2, "z|z|": 2, "cube of relu": 3}.get(name, 1)
    theta = mp.acos(number(rho))
    changes = sorted({a % (2 * mp.pi) for a in (mp.pi / 2, -mp.pi / 2, theta + mp.pi / 2, theta - mp.pi / 2)})
    corners = [mp.mpf(0), *changes, 2 * mp.pi]
    parts = [(a, b) for a, b in pairwise(corners) if b - a > mp.mpf(10) ** -32]
    total = mp.mpf(0)
    for a, b in parts:
        middle = (a + b) / 2
        # on each part both factors are multiples of a power, so that their values at the middle give the constants
        slopes = [f(mp.cos(middle - shift)) / mp.cos(middle - shift) ** degree for shift in (0, theta)]
        if slopes[0] * slopes[1] != 0:
            power = lambda u: (mp.cos(u) * mp.cos(u - theta)) ** degree  # noqa: E731
            total += slopes[0] * slopes[1] * mp.quad(power, [a, b])
    expected = mp.mpf(2) ** degree * mp.factorial(degree) * total / (2 * mp.pi)
    assert abs(closed(name, name, rho) - expected) < mp.mpf(10) ** -30


@pytest.mark.parametrize("order", range(6))
def test_arc_cosine_kernels_of_every_order(order: int) -> None:
    """J_n of Cho and Saul 2009, (-1)^n sin(t)^(2n+1) (1/sin(t) d/dt)^n ((pi - t)/sin(t)), differentiated by mpmath."""
    moment = quadrant_moment(order, order)
    for rho in (R(1, 3), R(-1, 2), R(9, 10)):
        theta = mp.acos(number(rho))
        # d/dcos(t) = -(1/sin(t)) d/dt
        with mp.workdps(3 * DIGITS):
            inner = mp.diff(lambda c: mp.acos(-c) / mp.sqrt(1 - c**2), mp.cos(theta), order)
        reference = mp.sin(theta) ** (2 * order + 1) * inner / (2 * mp.pi)
        assert abs(number(moment.subs(RHO, rho)) - reference) < mp.mpf(10) ** -35


# ---- the series where there is no closed form ----


@pytest.mark.parametrize("name", [pytest.param(OPEN[1], marks=pytest.mark.slow), OPEN[0]])
@pytest.mark.parametrize("rho", [R(1, 3), R(-1, 2), R(0)])
def test_enclosures_hold_the_sum(name: str, rho: sp.Rational) -> None:
    kernel = dual_kernel(FUNCTIONS[name][0])
    assert not kernel.is_closed
    value, tail = series(name, name, rho)
    ball = kernel.series.enclose(rho, 10)
    assert tail < mp.mpf(10) ** -22
    error = abs(mp.mpf(ball.mid().str(40, radius=False)) - value)
    assert error <= mp.mpf(float(ball.rad())) + tail + mp.mpf(10) ** -35
    assert float(ball.rad()) < 1e-10


# ---- a wrong kernel is refuted ----

MUTANTS = {
    "relu without its angle": ("relu", lambda k: k - RHO / 4),
    "abs for relu": ("relu", lambda k: dual_kernel("abs").expression),
    "next arc-cosine order": ("square of relu", lambda k: quadrant_moment(3, 3)),
    "arc-cosine kernel of twice the size": ("cube of relu", lambda k: 2 * k),
    "erf(z) for erf(z/sqrt(2))": ("erf", lambda k: dual_kernel("erf(z)").expression),
    "gelu without its last term": ("gelu", lambda k: k - 1 / (2 * sp.pi * sp.sqrt(4 - RHO**2))),
    "cos for sin": ("sin", lambda k: sp.exp(-1) * sp.cosh(RHO)),
    "the sign of rho": ("exp", lambda k: k.subs(RHO, -RHO)),
    "one part in 1e20": ("sign", lambda k: k * (1 + R(1, 10**20))),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_kernel_is_refuted(mutant: str) -> None:
    name, change = MUTANTS[mutant]
    right = dual_kernel(FUNCTIONS[name][0]).expression
    refuted = []
    for rho in INSIDE:
        value, tail = series(name, name, rho)
        assert abs(number(right.subs(RHO, rho)) - value) <= tail + mp.mpf(10) ** -35
        refuted.append(abs(number(sp.sympify(change(right)).subs(RHO, rho)) - value) > tail + mp.mpf(10) ** -35)
    assert any(refuted)
