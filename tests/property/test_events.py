"""Properties of exact paths between breakpoints, against a plain implementation in rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hermiton.numerics.events import solve_by_events

# No deadline: the first example compiles.
TIMELESS = settings(deadline=None)
NUMBERS = st.integers(-40, 40).map(lambda k: k / 8)
POINTS = st.lists(st.tuples(NUMBERS, st.sampled_from([0.25, 0.5, 1.0, 2.0]), NUMBERS), min_size=1, max_size=12)


def plainly(points, start):
    """Events (value) and how it ends, in exact arithmetic: nothing but the definition."""
    y, visited = Fraction(start), []
    points = [tuple(map(Fraction, point)) for point in points]

    def velocity(passed):
        return sum((p * (t - y) for u, p, t in points if passed(u)), Fraction(0))

    v = velocity(lambda u: u < y)
    if v == 0:
        return visited, "still"
    up = v > 0
    first = True
    while True:
        passed = [q for q in points if (q[0] < y if not up or first else q[0] <= y)]
        first = False
        if not passed:
            return visited, "frozen"
        rate = sum(p for _, p, _ in passed)
        target = sum(p * t for _, p, t in passed) / rate
        if visited and not (target > y if up else target < y):
            return visited, "pinned"
        ahead = [u for u, _, _ in points if (u >= y if up and not visited else u > y if up else u < y)]
        nearest = (min(ahead) if up else max(ahead)) if ahead else None
        if nearest is None or not (target > nearest if up else target < nearest):
            return visited, "approaches"
        y = nearest
        visited.append(float(y))


@TIMELESS
@given(POINTS, NUMBERS)
def test_events_and_end_are_those_of_exact_arithmetic(points, start) -> None:
    u, p, t = map(np.array, zip(*points, strict=True))
    path = solve_by_events(u, p, p * t, start)
    events, outcome = plainly(points, start)
    assert path.values[1:].tolist() == events
    assert path.outcome == outcome if outcome != "still" else path.outcome in ("frozen", "at rest")


@TIMELESS
@given(POINTS, NUMBERS)
def test_the_velocity_is_the_slope(points, start) -> None:
    u, p, t = map(np.array, zip(*points, strict=True))
    path = solve_by_events(u, p, p * t, start)
    for k in range(path.events):
        width = path.times[k + 1] - path.times[k]
        if width > 0:
            middle = path.times[k] + 0.5 * width
            y = float(path(middle))
            velocity = float(np.sum((p * (t - y))[u < y]))
            assert math.isclose(path.rates[k] * (path.targets[k] - y), velocity, rel_tol=1e-9, abs_tol=1e-12)
            assert math.isclose(path(path.times[k + 1]), path.values[k + 1], rel_tol=1e-12, abs_tol=1e-12)


@TIMELESS
@given(POINTS, NUMBERS, st.sampled_from([0.125, 0.5, 4.0]), st.randoms(use_true_random=False))
def test_order_does_not_matter_and_rates_scale_time(points, start, factor, random) -> None:
    u, p, t = map(np.array, zip(*points, strict=True))
    path = solve_by_events(u, p, p * t, start)
    shuffled = list(range(len(points)))
    random.shuffle(shuffled)
    other = solve_by_events(u[shuffled], factor * p[shuffled], factor * (p * t)[shuffled], start)
    np.testing.assert_array_equal(path.values, other.values)
    np.testing.assert_allclose(other.times * factor, path.times, rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_many_starts_stay_finite_monotone_and_on_this_side_of_the_target(seed) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 200))
    u, p, t = rng.standard_cauchy(size), rng.exponential(size=size), rng.standard_cauchy(size)
    for start in rng.standard_cauchy(30):
        path = solve_by_events(u, p, p * t, start)
        for array in (path.times, path.values, path.rates, path.targets):
            assert np.all(np.isfinite(array))
        assert np.all(np.diff(path.times) >= 0)
        steps = np.diff(path(np.linspace(0, path.times[-1] + 3 / size, 50)))
        assert np.all(steps >= 0) or np.all(steps <= 0)
        low, high = min(start, path.limit), max(start, path.limit)
        assert np.all((low <= path.values) & (path.values <= high))
