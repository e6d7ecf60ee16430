"""Properties of the integrators: honesty, tolerance proportionality, invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy.linalg import expm

from hermiton.numerics.ode import integrate, integrate_lanes

METHODS = ("DOP853", "Tsit5", "SDIRK4")


@njit
def linear(t, y, p, sizes, work, dy):
    n = y.size
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += p[i * n + j] * y[j]
        dy[i] = total


@njit
def logistic(t, y, p, sizes, work, dy):
    dy[0] = p[0] * y[0] * (1.0 - y[0])


@njit
def logistic_lanes(t, y, p, sizes, work, dy):
    for lane in range(t.size):
        dy[lane] = p[lane] * y[lane] * (1.0 - y[lane])


@njit
def driven(t, y, p, sizes, work, dy):
    dy[0] = p[0] * np.cos(p[0] * t) * y[0]


ROTATION = np.array([[0.0, 1.0], [-1.0, 0.0]])
PROBLEMS = {
    "rotation": (linear, [1.0, 0.0], ROTATION.ravel(), lambda t: expm(ROTATION * t) @ [1.0, 0.0]),
    "growth": (linear, [1.0], [0.3], lambda t: [np.exp(0.3 * t)]),
    "decay": (linear, [1.0], [-1.0], lambda t: [np.exp(-t)]),
    "logistic": (logistic, [0.02], [1.0], lambda t: [1 / (1 + 49 * np.exp(-t))]),
    "driven": (driven, [1.0], [2.0], lambda t: [np.exp(np.sin(2 * t))]),
}


def solve(name, times, **options):
    rhs, start, parameters, exact = PROBLEMS[name]
    result = integrate(rhs, start, times, parameters=parameters, **options)
    return result, np.array([exact(t) for t in times])


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rtol", [1e-5, 1e-7, 1e-9])
def test_the_error_estimate_is_honest(name, method, rtol):
    times = np.linspace(0.0, 10.0, 60)
    result, exact = solve(name, times, method=method, rtol=rtol, atol=rtol * 1e-2, estimate_error=True)
    assert result.error_kind == "estimated" and result.status == "finished"
    error = np.abs(result.states - exact)
    # A distance of two solutions can pass through zero where the error does not. The limits describe these problems,
    # where one entry in a hundred was short, by at most 1.3; elsewhere factors up to 4.4 have been seen.
    assert np.mean(error > result.errors) < 0.02
    assert np.all(error <= 2 * result.errors)
    assert result.errors.max() < 1e4 * rtol * np.abs(exact).max()  # and it is not honest by being absurd


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("method", METHODS)
def test_the_error_follows_the_tolerance(name, method):
    """Over six decades of tolerance the error falls by about as many, and it never is far above the tolerance."""
    tolerances = np.logspace(-4, -10, 13)
    errors = []
    for rtol in tolerances:
        result, exact = solve(name, [0.0, 19.0, 40.0], method=method, rtol=rtol, atol=rtol)
        errors.append(np.abs(result.states - exact).max() / np.abs(exact).max())
    assert np.all(np.array(errors) < 100 * tolerances)
    if name not in ("decay", "logistic"):  # these come to rest, and the errors made before die out
        assert 0.8 < np.polyfit(np.log(tolerances), np.log(errors), 1)[0] < 1.3


def test_output_times_closer_than_the_steps_do_not_fool_the_estimate():
    """Both tolerances would take the same steps, from output time to output time, and agree on the same error."""
    result, exact = solve("rotation", np.linspace(0.0, 10.0, 101), method="Tsit5", rtol=1e-3, estimate_error=True)
    error = np.abs(result.states - exact).max()
    assert error < result.errors.max() < 100 * max(error, 1e-10)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.01, 9.99), min_size=1, max_size=20, unique=True), st.sampled_from(METHODS))
def test_the_choice_of_output_times_does_not_matter(inner, method):
    times = np.unique([0.0, *inner, 10.0])
    result, exact = solve("driven", times, method=method, rtol=1e-8, atol=1e-8)
    assert np.abs(result.states - exact).max() < 1e-6


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 4.0), st.floats(0.0, 1e3), st.sampled_from(METHODS))
def test_time_has_no_origin(rate, shift, method):
    times = np.linspace(0.0, 5.0, 6)
    here = integrate(logistic, [0.1], times, parameters=[rate], method=method)
    there = integrate(logistic, [0.1], times + shift, parameters=[rate], method=method)
    assert np.abs(here.states - there.states).max() < 1e-7


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.05, 4.0), min_size=1, max_size=9), st.sampled_from(("DOP853", "Tsit5")), st.booleans())
def test_a_lane_does_not_see_its_neighbours(rates, method, sort):
    times = np.linspace(0.0, 5.0, 6)
    count = len(rates)
    lanes = integrate_lanes(
        logistic_lanes, np.full((1, count), 0.1), times, parameters=[rates], method=method, lanes=4,
        sort_by=rates if sort else None,
    )  # fmt: skip
    for i, rate in enumerate(rates):
        alone = integrate(logistic, [0.1], times, parameters=[rate], method=method)
        # Rounding may tip a step size, so the two agree like two solutions at this tolerance.
        assert np.abs(lanes.states[:, :, i] - alone.states).max() < 1e-7


def test_lanes_estimate_their_error_honestly():
    rates = np.linspace(0.3, 2.0, 7)
    times = np.linspace(0.0, 10.0, 40)
    lanes = integrate_lanes(
        logistic_lanes, np.full((1, 7), 0.02), times, parameters=rates[None], lanes=4, rtol=1e-7, estimate_error=True
    )
    exact = 1 / (1 + 49 * np.exp(-np.outer(times, rates)))
    error = np.abs(lanes.states[:, 0] - exact)
    assert np.mean(error > lanes.errors[:, 0]) < 0.02
    assert np.all(error <= 2 * lanes.errors[:, 0])
    one = lanes.trajectory(3)
    assert one.error_kind == "estimated" and one.errors.shape == one.states.shape == (40, 1)
