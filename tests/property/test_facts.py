"""Facts of activations against numbers: Hermite coefficients from mpmath, identities for functions hypothesis draws.

``HERMITON_EXAMPLES=2000 pytest tests/property/test_facts.py`` draws more examples of each.
"""

import os
from functools import lru_cache
from itertools import pairwise

import mpmath as mp
import pytest
import sympy as sp
from flint import arb, ctx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hermiton.theory.activation import Activation
from hermiton.theory.facts.decay import Decay, decay, k
from hermiton.theory.facts.exponents import generative_exponent
from hermiton.theory.facts.shape import kinks
from hermiton.theory.facts.vanishing import vanishing
from hermiton.theory.goodness import UNDECIDED, goodness
from hermiton.theory.notation import z
from hermiton.theory.singularities import strip

EXAMPLES = int(os.environ.get("HERMITON_EXAMPLES", "10"))
FEW = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
R = sp.Rational
DIGITS = 40
ORDER = 240


# ---- coefficients ----


@lru_cache(maxsize=32)
def coefficients(name: str, order: int = ORDER) -> tuple[mp.mpf, ...]:
    """E[sigma(x) He_n(x)]/sqrt(n!), by the trapezoidal rule; doubly exponential on both sides of each kink."""
    sigma = sp.lambdify(z, Activation(name).expression, "mpmath")
    # The midpoints of flint's balls are numbers of any precision, at a tenth of mpmath's time
    with mp.workdps(DIGITS), ctx.workdps(DIGITS):
        total = [arb(0)] * (order + 1)
        roots = [arb(n).sqrt() for n in range(order + 2)]
        inverse = [1 / root for root in roots[1:]]
        for x, weight in _nodes(tuple(Activation(name).kinks)):
            point, before, here = _number(x), arb(0), _number(weight * mp.npdf(x) * sigma(x))
            for n in range(order + 1):
                total[n] += here
                before, here = here, ((point * here - roots[n] * before) * inverse[n]).mid()
        return tuple(mp.mpf(c.mid().str(DIGITS + 5, radius=False)) for c in total)


def _number(x: mp.mpf) -> arb:
    return arb(mp.nstr(x, DIGITS + 5)).mid()


def _nodes(ends: tuple[sp.Expr, ...]) -> list[tuple[mp.mpf, mp.mpf]]:
    """Points and weights."""
    if not ends:
        return [(mp.mpf(i) / 12, mp.mpf(1) / 12) for i in range(-18 * 12, 18 * 12 + 1)]
    points = [mp.mpf(int(end.p)) / int(end.q) for end in ends]
    nodes = []
    for i in range(-4 * 32, 3 * 32):
        t = mp.mpf(i) / 32
        x = mp.exp(t - mp.exp(-t))
        weight = x * (1 + mp.exp(-t)) / 32
        nodes += [(points[0] - x, weight), (points[-1] + x, weight)]
        for a, b in pairwise(points):
            u = mp.tanh(mp.pi / 2 * mp.sinh(t))
            slope = mp.pi / 2 * mp.cosh(t) * (1 - u**2) / 32
            nodes.append(((a + b) / 2 + (b - a) / 2 * u, (b - a) / 2 * slope))
    return nodes


# ---- decay ----

# the window is wide enough for some k at which the leading term does not vanish by parity
WINDOWS = ((50, 60), (230, 240))
LEADING = (
    "tanh",
    pytest.param("sigmoid", marks=pytest.mark.slow),
    pytest.param("tanh(z + 1/2)", marks=pytest.mark.slow),
    pytest.param("tanh(z)**2", marks=pytest.mark.slow),
    pytest.param("softplus", marks=pytest.mark.slow),
    pytest.param("silu", marks=pytest.mark.slow),
    pytest.param("1/(1 + z**2)", marks=pytest.mark.slow),
    pytest.param("1/(1 + z**4)", marks=pytest.mark.slow),
    pytest.param("atan(z)", marks=pytest.mark.slow),
    "relu",
    pytest.param("sign", marks=pytest.mark.slow),
    pytest.param("z*Abs(z)", marks=pytest.mark.slow),
    pytest.param("Max(0, z - 1/2)", marks=pytest.mark.slow),
    pytest.param("Max(-1, Min(1, z))", marks=pytest.mark.slow),
)


def deviation(law: Decay, name: str, window: tuple[int, int]) -> mp.mpf:
    """Largest |c_k - leading|/envelope over a window."""
    leading, envelope = (sp.lambdify(k, term, "mpmath") for term in (law.leading, law.envelope))
    c = coefficients(name)
    return max(abs(c[n] - leading(mp.mpf(n))) / abs(envelope(mp.mpf(n))) for n in range(*window))


@pytest.mark.parametrize("name", LEADING)
def test_the_leading_term(name: str) -> None:
    """Its relative error is O(1/sqrt(k)), which more than a fourfold k has to halve; a wrong term keeps its error."""
    law = decay(Activation(name))
    assert law is not None and law.leading is not None
    early, late = (deviation(law, name, window) for window in WINDOWS)
    assert late < 0.15 and late < 0.6 * early
    for wrong in (law.leading * R(3, 2), -law.leading, law.leading * k ** R(1, 4)):
        mutant = Decay(law.kind, law.rate, wrong, law.envelope, law.reason, law.standing)
        assert deviation(mutant, name, WINDOWS[1]) > 0.15  # the bar that the right one passes


@pytest.mark.parametrize(
    "name", ["erf", "exp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gelu", "exp(-z**2)", "sin"))]
)
def test_rates_of_entire_functions(name: str) -> None:
    """From k to k + 2, a geometric law has the ratio rate^2 up to O(1/k); for sin and exp it is exact in h_k."""
    law, rule = decay(Activation(name)), vanishing(Activation(name))
    assert law is not None and law.rate is not None and rule is not None
    with mp.workdps(DIGITS):
        rate, c = mp.mpmathify(law.rate.evalf(DIGITS)), coefficients(name, 100)
        exact = law.kind == "exponential type"
        start = 18 if exact else 98
        start -= start in rule
        expected = rate**2 / mp.sqrt((start + 1) * (start + 2)) if exact else rate**2
        slack = mp.mpf(10) ** -20 if exact else mp.mpf(4) / start
        ratio = abs(c[start + 2] / c[start])
        assert abs(ratio / expected - 1) < slack
        assert abs(ratio / (expected * mp.mpf("1.1")) - 1) > slack  # a rate a twentieth off is refuted


# ---- exponents ----


@pytest.mark.parametrize("name", ["erf", "relu", "abs", "sign", "tanh", "softplus", "gelu", "cos", "he3", "he4"])
def test_information_exponents(name: str) -> None:
    act = Activation(name)
    c = coefficients(name, 6)
    found = act.information_exponent
    assert all(abs(c[n]) < mp.mpf(10) ** -20 for n in range(1, found))
    assert abs(c[found]) > mp.mpf(10) ** -6
    assert generative_exponent(act).value <= found


# ---- identities ----

BASES = ("tanh", "softplus", "erf", "cos", "relu", "abs", "sign", "1/(1 + z**2)", "z + z**3")
bases = st.sampled_from(BASES)
rationals = st.fractions(min_value=-3, max_value=3, max_denominator=4).map(lambda q: R(q.numerator, q.denominator))
scales = rationals.filter(bool)


@FEW
@given(bases, scales, rationals)
def test_a_factor_and_a_constant_change_little(name: str, a: sp.Rational, b: sp.Rational) -> None:
    """a sigma + b has the exponents, kinks, strip and zeros (k >= 1) of sigma, and its decay."""
    act = Activation(name)
    other = Activation(a * act.expression + b)
    assert other.information_exponent == act.information_exponent
    assert [(q.point, q.order, q.jump) for q in kinks(other)] == [(q.point, q.order, a * q.jump) for q in kinks(act)]
    assert strip(other).half_width == strip(act).half_width
    assert goodness(other).status in (goodness(act).status, UNDECIDED)
    zeros, before = vanishing(other), vanishing(act)
    assert zeros is not None and before is not None
    assert all((n in zeros) == (n in before) for n in range(1, 12))
    mine, theirs = decay(other), decay(act)
    assert mine is not None and theirs is not None and (mine.kind, mine.rate) == (theirs.kind, theirs.rate)


@FEW
@given(bases, scales, rationals)
def test_kinks_and_strips_move_with_the_argument(name: str, b: sp.Rational, c: sp.Rational) -> None:
    """sigma(b z + c) has its kinks at (t - c)/b, with jumps b^n, and a strip 1/|b| times as wide."""
    act = Activation(name)
    other = Activation(act.expression.subs(z, b * z + c))
    order = sorted(kinks(act), key=lambda q: (q.point - c) / b)
    expected = [((q.point - c) / b, q.order, abs(b) ** q.order * q.jump * (sp.sign(b) ** (q.order + 1))) for q in order]
    assert [(q.point, q.order, q.jump) for q in kinks(other)] == expected
    assert strip(other).half_width == strip(act).half_width / abs(b)
    mine, theirs = decay(other), decay(act, c, abs(b))
    assert mine is not None and theirs is not None and (mine.kind, mine.rate) == (theirs.kind, theirs.rate)
