"""The event-driven solver on cases worked out by hand, on ties, turns and ends, and on bad input."""

import math

import numpy as np
import pytest

from hermiton.numerics.binned_events import BinnedBreakpoints
from hermiton.numerics.events import EventPath, solve_by_events
from hermiton.numerics.sorting import ascending_order
from hermiton.theory.errors import AssumptionError

QUARTER = np.full(4, 0.25)


def weighted(u, targets, start):
    return solve_by_events(u, np.full(len(u), 1 / len(u)), np.asarray(targets) / len(u), start)


class TestByHand:
    def test_a_sweep_over_every_breakpoint(self) -> None:
        path = solve_by_events([0, 1, 2, 3], 0.25, 1.25, 0.5)
        expected = np.cumsum([4 * math.log(9 / 8), 2 * math.log(4 / 3), 4 / 3 * math.log(3 / 2)])
        np.testing.assert_allclose(path.times[1:], expected, rtol=1e-15)
        assert path.values.tolist() == [0.5, 1, 2, 3]
        assert path.rates.tolist() == [0.25, 0.5, 0.75, 1]
        assert (path.outcome, path.limit, path.events) == ("approaches", 5, 3)

    def test_scalars_and_arrays_give_the_same(self) -> None:
        scalar, array = (solve_by_events([0, 1, 2, 3], p, 5 * p, 0.5) for p in (0.25, QUARTER))
        np.testing.assert_allclose(scalar.times, array.times, rtol=1e-15)
        np.testing.assert_array_equal(scalar.rates, array.rates)

    def test_a_target_inside_stops_the_sweep(self) -> None:
        path = weighted([0, 1, 2, 3], [1.7] * 4, 0.5)
        assert (path.events, path.outcome) == (1, "approaches")
        assert path.limit == pytest.approx(1.7, abs=1e-15)

    def test_a_target_behind_releases_until_nothing_is_left(self) -> None:
        path = weighted([0, 1, 2, 3], [-1] * 4, 2.5)
        assert path.values.tolist() == [2.5, 2, 1, 0]
        assert (path.outcome, path.limit, path(1e9)) == ("frozen", 0, 0)

    def test_both_sides_push_to_a_breakpoint(self) -> None:
        path = weighted([0, 0.2, 0.4, 2], [3, 3, 3, -4], 0.1)
        assert (path.outcome, path.limit) == ("pinned", 2)
        assert path(path.times[-1] + 5) == 2
        assert path.rates[-1] == 0

    def test_pinned_from_above(self) -> None:
        path = weighted([0, 1], [5, -9], 1.5)  # above 1 the sum pulls down, below it up
        assert (path.outcome, path.limit) == ("pinned", 1)

    def test_a_target_that_is_a_breakpoint_takes_for_ever(self) -> None:
        path = weighted([0, 1], [1, 1], 0.5)
        assert (path.events, path.outcome) == (0, "approaches")
        assert path(np.inf) == 1


class TestConventions:
    def test_nothing_passed_nothing_moves(self) -> None:
        path = weighted([0, 1], [3, 3], -0.5)
        assert (path.outcome, path.limit, path.dissipated(10)) == ("frozen", -0.5, 0)

    def test_a_start_on_a_breakpoint_has_not_passed_it(self) -> None:
        assert weighted([0, 1], [3, 3], 0.0).outcome == "frozen"
        path = weighted([0, 1], [3, 3], 1.0)
        assert path.times.tolist()[:2] == [0, 0]  # passed at once, since y moves up
        assert path.rates.tolist() == [0.5, 1]

    def test_a_start_on_its_target_rests(self) -> None:
        path = weighted([0, 5], [1, 1], 1.0)
        assert (path.outcome, path(3)) == ("at rest", 1)

    def test_ties_are_one_event(self) -> None:
        path = weighted([0, 1, 1, 1, 2], [9] * 5, 0.5)
        assert path.values.tolist() == [0.5, 1, 2]
        np.testing.assert_allclose(path.rates, [0.2, 0.8, 1.0], rtol=1e-15)

    def test_one_breakpoint(self) -> None:
        path = solve_by_events([0.0], [2.0], [6.0], 1.0)
        assert path(1.5) == pytest.approx(3 - 2 * math.exp(-3), rel=1e-15)

    def test_sums_that_shrink_keep_their_digits(self) -> None:
        # 1e16 comes and goes; what is left behind it is exact only in a compensated sum.
        path = solve_by_events([0, 1, 2], [1.0, 1.0, 1e16], [-1.0, -1.0, -1e16], 3.0)
        np.testing.assert_array_equal(path.rates[1:], [2, 1, 0])


def test_dissipation_is_the_decrease_of_the_potential() -> None:
    rng = np.random.default_rng(5)
    u, p, t = rng.normal(size=200), rng.uniform(0.5, 2, 200), rng.normal(size=200)
    path = solve_by_events(u, p, p * t, 0.3)

    def potential(y):
        passed = np.minimum(u, y)  # integral of p (y - t) from u to y, for u < y
        return 0.5 * np.sum(p * ((y - t) ** 2 - (passed - t) ** 2) * (u < y))

    for s in (0, 1e-4, 0.01, 0.1, 1, np.inf):
        assert potential(0.3) - potential(path(s)) == pytest.approx(path.dissipated(s), rel=1e-12, abs=1e-13)


class TestBadInput:
    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("breakpoints", ([], 1, 1, 0)),
            ("breakpoints", ([[0.0]], 1, 1, 0)),
            ("breakpoints", ([np.nan], 1, 1, 0)),
            ("rates", ([0, 1], [1, 0], 1, 0)),
            ("rates", ([0, 1], -1, 1, 0)),
            ("rates", ([0, 1], [1, 1, 1], 1, 0)),
            ("offsets", ([0, 1], 1, np.inf, 0)),
            ("start", ([0, 1], 1, 1, np.nan)),
        ],
    )
    def test_it_is_named(self, name: str, arguments: tuple) -> None:
        with pytest.raises(AssumptionError, match=name):
            solve_by_events(*arguments)

    @pytest.mark.parametrize("times", [-1, np.nan, [0, -1]])
    def test_times(self, times) -> None:
        with pytest.raises(AssumptionError, match="times"):
            weighted([0], [1], 0.5)(times)


class TestBins:
    def test_bins_approach_the_path_with_the_square_of_their_width(self) -> None:
        u = np.random.default_rng(1).normal(size=200_000)
        exact = solve_by_events(u, 1 / u.size, 3 / u.size, -1.0)
        s = np.linspace(0, 12, 2001)
        errors, widths = [], []
        for bins in (256, 1024, 4096):
            binned = BinnedBreakpoints(bins)
            for portion in np.array_split(u, 7):
                binned.add(portion, 1 / u.size, 3 / u.size)
            path = binned.solve(-1.0)
            errors.append(np.max(np.abs(path(s) - exact(s))))
            widths.append(binned.width)
            assert errors[-1] <= path.error
            assert binned.count == u.size
        assert np.all(np.array(errors) < 0.5 * np.array(widths) ** 2)

    def test_portions_outside_widen_the_bins_and_nothing_is_lost(self) -> None:
        binned = BinnedBreakpoints(64)
        binned.add([0.0, 1.0], 1, -5)
        binned.add([-300.0, 1000.0], 1, -5)
        path = binned.solve(1e4)  # all passed: the rate is the whole sum
        assert path.rates[0] == 4
        assert binned.width * 64 >= 1300

    def test_bad_input(self) -> None:
        with pytest.raises(AssumptionError, match="bins"):
            BinnedBreakpoints(7)
        with pytest.raises(AssumptionError, match="no breakpoints"):
            BinnedBreakpoints().solve(0.0)


@pytest.mark.parametrize("size", [1, 2, 100, 20_000])
@pytest.mark.parametrize("kind", ["normal", "ties", "outlier", "equal", "descending", "clumps"])
def test_order_is_that_of_a_stable_argsort(size: int, kind: str) -> None:
    rng = np.random.default_rng(3)
    values = {
        "normal": rng.normal(size=size),
        "ties": rng.integers(0, 50, size).astype(float),
        "outlier": np.r_[rng.normal(size=size - 1), 1e300],
        "equal": np.zeros(size),
        "descending": -np.arange(float(size)),
        "clumps": rng.integers(0, 3, size) + 1e-14 * rng.normal(size=size),
    }[kind]
    np.testing.assert_array_equal(ascending_order(values), np.argsort(values, kind="stable"))


def test_a_path_is_an_event_path() -> None:
    assert isinstance(weighted([0], [1], 0.5), EventPath)
