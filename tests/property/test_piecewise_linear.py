"""Identities of moments of piecewise-linear functions, each within the sum of the errors claimed."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hermiton.numerics.moments.orthants import orthant_probability
from hermiton.numerics.moments.piecewise_linear import PiecewiseLinear, piecewise_linear_moment

Array = NDArray[np.float64]

LINE = PiecewiseLinear(0.0, 1.0)
ONE = PiecewiseLinear(1.0)
RELU = PiecewiseLinear(points=np.zeros(1), bends=np.ones(1))
STEP = RELU.derivative()
IMPULSE = STEP.derivative()
# relu(-z) = relu(z) - z
REFLECTED = PiecewiseLinear(0.0, -1.0, np.zeros(1), np.ones(1))

# Small dyadic entries: covariances are exact, and often singular, with equal, opposite and constant fields.
_SMALL = st.integers(-8, 8).map(lambda k: k / 8.0)
_TINY = st.sampled_from([0.0, 0.0, 1.0, 2.0**-10, 2.0**-20])
EXAMPLES = 60


@st.composite
def laws(draw: Any, fields: int, centered: bool = False) -> tuple[Array, Array]:
    """A covariance of two common factors and noise, and a mean."""
    loading = np.array(draw(st.lists(_SMALL, min_size=2 * fields, max_size=2 * fields))).reshape(fields, 2)
    noise = np.array(draw(st.lists(_TINY, min_size=fields, max_size=fields)))
    mean = np.array(draw(st.lists(_SMALL, min_size=fields, max_size=fields)))
    return loading @ loading.T + np.diag(noise), 0.0 * mean if centered else mean


functions = st.sampled_from(
    [LINE, RELU, STEP, REFLECTED, PiecewiseLinear(0.5, -0.25, [0.125, -1.0], [1.0, -1.0], [0.5, 0.0])]
)


@given(law=laws(4), forms=st.lists(functions, min_size=4, max_size=4), order=st.permutations(range(4)))
@settings(max_examples=EXAMPLES, deadline=None)
def test_order_does_not_matter(law: tuple[Array, Array], forms: list[PiecewiseLinear], order: list[int]) -> None:
    covariance, mean = law
    value, error = piecewise_linear_moment(forms, covariance, mean)
    other, e = piecewise_linear_moment([forms[i] for i in order], covariance[np.ix_(order, order)], mean[order])
    assert np.isfinite([value, error]).all()
    assert abs(value - other) <= error + e


@given(law=laws(4), forms=st.lists(functions, min_size=4, max_size=4))
@settings(max_examples=EXAMPLES, deadline=None)
def test_errors_of_two_rules_cover_their_difference(law: tuple[Array, Array], forms: list[PiecewiseLinear]) -> None:
    value, error = piecewise_linear_moment(forms, *law, nodes=8)
    other, e = piecewise_linear_moment(forms, *law, nodes=24)
    assert abs(value - other) <= error + e


@given(law=laws(4), powers=st.lists(st.integers(-40, 40), min_size=4, max_size=4))
@settings(max_examples=EXAMPLES, deadline=None)
def test_relu_is_homogeneous(law: tuple[Array, Array], powers: list[int]) -> None:
    covariance, mean = law
    scale = 2.0 ** np.array(powers)
    value, error = piecewise_linear_moment([RELU] * 4, covariance, mean)
    other, e = piecewise_linear_moment([RELU] * 4, covariance * np.outer(scale, scale), mean * scale)
    factor = float(np.prod(scale))
    assert abs(other - factor * value) <= e + factor * error


@given(law=laws(4), forms=st.lists(functions, min_size=3, max_size=3))
@settings(max_examples=EXAMPLES, deadline=None)
def test_relu_less_its_reflection_is_the_field(law: tuple[Array, Array], forms: list[PiecewiseLinear]) -> None:
    value, error = piecewise_linear_moment([RELU, *forms], *law)
    other, e1 = piecewise_linear_moment([REFLECTED, *forms], *law)
    line, e2 = piecewise_linear_moment([LINE, *forms], *law)
    assert abs(value - other - line) <= error + e1 + e2


@given(law=laws(3), forms=st.lists(functions, min_size=2, max_size=2))
@settings(max_examples=EXAMPLES, deadline=None)
def test_relu_times_its_step_is_relu(law: tuple[Array, Array], forms: list[PiecewiseLinear]) -> None:
    covariance, mean = law
    index = [0, 0, 1, 2]
    value, error = piecewise_linear_moment([RELU, STEP, *forms], covariance[np.ix_(index, index)], mean[index])
    other, e = piecewise_linear_moment([RELU, *forms], covariance, mean)
    assert abs(value - other) <= error + e


@given(law=laws(4))
@settings(max_examples=EXAMPLES, deadline=None)
def test_steps_are_orthants(law: tuple[Array, Array]) -> None:
    value, error = piecewise_linear_moment([STEP] * 4, *law)
    other, e = orthant_probability(*law)
    assert abs(value - other) <= error + e
    assert -error <= value <= 1.0 + error
    three, e3 = piecewise_linear_moment([STEP, STEP, STEP, ONE], *law)
    assert value <= three + e3 + error


@given(law=laws(3, centered=True))
@settings(max_examples=EXAMPLES, deadline=None)
def test_integration_by_parts(law: tuple[Array, Array]) -> None:
    # E[z_1 relu(z_2) 1(z_3)] = C_12 E[1(z_2) 1(z_3)] + C_13 E[relu(z_2) delta(z_3)]
    covariance, mean = law
    if covariance[2, 2] == 0.0:
        covariance[2, 2] = 1.0
    value, error = piecewise_linear_moment([LINE, RELU, STEP], covariance, mean)
    inside, tail = covariance[1:, 1:], mean[1:]
    first, e1 = piecewise_linear_moment([STEP, STEP], inside, tail)
    second, e2 = piecewise_linear_moment([RELU, IMPULSE], inside, tail)
    left, right = covariance[0, 1], covariance[0, 2]
    assert abs(value - left * first - right * second) <= error + abs(left) * e1 + abs(right) * e2


@given(law=laws(2), shift=_SMALL)
@settings(max_examples=EXAMPLES, deadline=None)
def test_thresholds_are_means(law: tuple[Array, Array], shift: float) -> None:
    covariance, mean = law
    moved = PiecewiseLinear(points=[shift], bends=[1.0])  # type: ignore[arg-type]
    value, error = piecewise_linear_moment([moved, RELU], covariance, mean)
    other, e = piecewise_linear_moment([RELU, RELU], covariance, mean - np.array([shift, 0.0]))
    assert abs(value - other) <= error + e
