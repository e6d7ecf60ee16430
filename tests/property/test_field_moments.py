"""Identities that moments of Gaussian fields obey, to within the errors that they report."""

import math
import os
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hermiton as hm
from hermiton.numerics.field_functions import field_function
from hermiton.numerics.moments.nested import nested_moment

# A few in each run; HERMITON_EXAMPLES=2000 for a thorough one.
EXAMPLES = int(os.environ.get("HERMITON_EXAMPLES", "6"))
quick = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

SMOOTH = ("tanh", "erf", "sin", "z**2/(1 + z**2)", "softplus", "gelu", "z**3")
KINKED = ("relu", "abs", "sign", "Max(0, z - 1)*tanh(z)", "Max(-1, Min(1, z))")
names = st.sampled_from(SMOOTH + KINKED)
smooth_names = st.sampled_from(SMOOTH)
tenths = st.integers(-10, 10).map(lambda n: Fraction(n, 10))


@st.composite
def laws(draw: Any, least: int = 1, most: int = 3) -> tuple[list[list[Fraction]], list[Fraction]]:
    """Rational covariances A A^T, singular ones among them, and means."""
    size = draw(st.integers(least, most))
    inner = draw(st.integers(1, size))
    a = [[draw(tenths) for _ in range(inner)] for _ in range(size)]
    covariance = [[sum((x * y for x, y in zip(r, q, strict=True)), Fraction(0)) for q in a] for r in a]
    for k in range(size):
        if covariance[k][k] == 0:
            covariance[k][k] = Fraction(1, 2)
    return covariance, [draw(tenths) for _ in range(size)]


def functions(draw: Any, size: int, strategy: st.SearchStrategy[str] = names) -> list[str]:
    return [draw(strategy) for _ in range(size)]


def by_quadrature(activations: list[str], covariance: Any, mean: Any, orders: list[int] | None = None) -> Any:
    factors = [field_function(hm.Activation(g), n).factor for g, n in zip(activations, orders or [0] * 9, strict=False)]
    return nested_moment(factors, covariance, [float(m) for m in mean])


def agree(a: Any, b: Any, factor: float = 1.0) -> None:
    """|a - factor b| is within the errors of both, and of the comparison itself."""
    rounding = 4e-16 * (abs(a.value) + abs(factor * b.value))
    assert abs(a.value - factor * b.value) <= a.error + abs(factor) * b.error + rounding, (a, b)


@quick
@given(st.data(), laws(2, 3))
def test_the_order_of_the_fields_does_not_matter(data: Any, law: Any) -> None:
    covariance, mean = law
    activations = functions(data.draw, len(mean))
    order = data.draw(st.permutations(range(len(mean))))
    straight = hm.field_moment(activations, covariance, mean)
    turned = hm.field_moment(
        [activations[a] for a in order], [[covariance[a][b] for b in order] for a in order], [mean[a] for a in order]
    )
    agree(straight, turned)


@quick
@given(st.data(), laws(1, 3))
def test_closed_forms_agree_with_quadrature(data: Any, law: Any) -> None:
    covariance, mean = law
    activations = functions(data.draw, len(mean), st.sampled_from(("relu", "abs", "sign", "erf", "z", "exp(-z**2)")))
    agree(hm.field_moment(activations, covariance, mean), by_quadrature(activations, covariance, mean))


@quick
@given(smooth_names, smooth_names, st.integers(-9, 9), tenths, tenths)
def test_mehler_agrees_with_quadrature(first: str, second: str, r: int, m: Fraction, n: Fraction) -> None:
    covariance = [[Fraction(1), Fraction(r, 10)], [Fraction(r, 10), Fraction(1)]]
    precise = hm.field_moment([first, second], covariance, [m, n], digits=18)
    found = by_quadrature([first, second], covariance, [m, n])
    assert precise.kind in ("rigorous", "exact")
    assert abs(found.value - float(precise.value)) <= found.error + float(precise.error) + 1.2e-16 * abs(found.value)


@quick
@given(st.data(), laws(1, 3))
def test_stein(data: Any, law: Any) -> None:
    """E[(z_0 - m_0) F] = sum_b C_0b E[d_b F], F a product of functions of all fields."""
    covariance, mean = law
    activations = functions(data.draw, len(mean), st.sampled_from(("relu", "abs", *SMOOTH)))
    if covariance[0][0] == 0:
        return
    size = len(mean)
    joint = [[covariance[a][b] for b in (0, *range(size))] for a in (0, *range(size))]
    left = hm.field_moment(["z", *activations], joint, [0, *mean])
    value, error = 0.0, 0.0
    for b in range(size):
        weight = float(covariance[0][b])
        if weight:
            part = hm.field_moment(activations, covariance, mean, [int(a == b) for a in range(size)])
            value += weight * part.value
            error += abs(weight) * part.error + 4e-16 * abs(weight * part.value)
    assert abs(left.value - value) <= left.error + error + 4e-16 * abs(value)


@quick
@given(st.data(), laws(1, 3), st.sampled_from([Fraction(1, 4), Fraction(3), Fraction(1, 100)]))
def test_positive_functions_of_degree_one_scale(data: Any, law: Any, factor: Fraction) -> None:
    covariance, mean = law
    activations = functions(data.draw, len(mean), st.sampled_from(("relu", "abs", "leaky_relu", "z")))
    scaled = [[factor**2 * c for c in row] for row in covariance]
    plain = hm.field_moment(activations, covariance, mean)
    agree(hm.field_moment(activations, scaled, [factor * m for m in mean]), plain, float(factor) ** len(mean))


@quick
@given(st.data(), laws(1, 2), laws(1, 1))
def test_independent_blocks_factorise_in_the_quadrature_too(data: Any, first: Any, second: Any) -> None:
    n, k = len(first[1]), len(second[1])
    covariance = [[Fraction(0)] * (n + k) for _ in range(n + k)]
    for a in range(n + k):
        for b in range(n + k):
            if a < n and b < n:
                covariance[a][b] = first[0][a][b]
            elif a >= n and b >= n:
                covariance[a][b] = second[0][a - n][b - n]
    activations = functions(data.draw, n + k)
    mean = [*first[1], *second[1]]
    whole = by_quadrature(activations, covariance, mean)
    agree(hm.field_moment(activations, covariance, mean), whole)


@quick
@given(names, names, tenths)
def test_identical_and_opposite_fields_are_one_field(first: str, second: str, mean: Fraction) -> None:
    """f(z) g(+-z) over one field, against one integral of the product by the trapezoidal rule on a fine grid."""
    step = 2.0**-12
    x = step * (np.arange(-10 * 2**12, 10 * 2**12) + 0.5)
    weights = step * np.exp(-0.5 * x**2) / math.sqrt(2.0 * math.pi)
    for sign in (1, -1):
        found = hm.field_moment([first, second], [[1, sign], [sign, 1]], [mean, sign * mean])
        f, g = (field_function(hm.Activation(h), 0).factor for h in (first, second))
        at = float(mean) + x
        integral = float(np.sum(f.values(at, None) * g.values(sign * at, None) * weights))
        # a kink off the grid costs step^2, a jump step
        assert abs(found.value - integral) <= found.error + 4.0 * step
