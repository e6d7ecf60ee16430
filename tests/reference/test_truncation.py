"""Exact truncation flows against numbers from elsewhere: by hand, by quadrature, in many digits, by real networks.

The tables are those of a reconstruction of the theory by a separate program (an event-driven sweep in plain Python, RK4
and quadrature for the populations); the populations are also checked here by quadrature in many digits.
"""

import mpmath as mp
import numpy as np
import pytest
from scipy.special import ndtri

import hermiton as hm
from hermiton.theory.truncation import Truncation
from hermiton.theory.truncation.statements import _a, _b, _clamped, _rho, statements
from hermiton.verification.networks.relu_network import LabelledData, ReLUNetwork
from hermiton.verification.networks.truncation import descend_cumulative


def one_coordinate(points, targets, start, times, weights=None):
    """A coordinate whose points have a class each."""
    points = np.asarray(points, dtype=float)[:, None]
    targets = np.asarray(targets, dtype=float)[:, None]
    return hm.solve(Truncation(points, np.arange(len(points)), targets, weights), [start], times)


FOUR = [
    (5, 0.5, [0.47113214, 1.04649629, 1.58711643], [1, 2, 3], "approaches", 5, [1.92943854, 3.67652135, 4.93410788]),
    (1.7, 0.5, [2.155986], [1], "approaches", 1.7, [0.76543906, 0.97216321, 1.53113943]),
    (-1, 2.5, [0.20553424, 1.01646446, 3.78905318], [2, 1, 0], "frozen", 0, [1.01653241, 0.56402604, 0]),
]


@pytest.mark.parametrize(("target", "start", "times", "where", "outcome", "limit", "values"), FOUR)
def test_four_points(target, start, times, where, outcome, limit, values) -> None:
    solution = hm.solve(Truncation([[0], [1], [2], [3]], [0] * 4, [[target]]), [start], [1, 2, 5])
    (path,) = solution.paths
    np.testing.assert_allclose(path.times[1:], times, atol=6e-9 if target != 1.7 else 6e-7)
    np.testing.assert_allclose(path.values[1:], where, atol=1e-15)
    assert solution.data.outcome.values[0] == outcome
    assert solution.data.limit.values[0] == pytest.approx(limit, abs=1e-14)
    np.testing.assert_allclose(solution.data.threshold.values[:, 0], values, atol=6e-9)


def test_pinned() -> None:
    solution = one_coordinate([0, 0.2, 0.4, 2], [3, 3, 3, -4], 0.1, [1, 2, 100])
    (path,) = solution.paths
    np.testing.assert_allclose(path.times[1:], [0.14036528, 0.28858122, 1.56259648], atol=6e-9)
    assert solution.data.outcome.values[0] == "pinned"
    assert solution.data.threshold.values[1:, 0].tolist() == [2, 2]
    assert solution.errors.threshold.values[1:, 0].tolist() == [0, 0]


# -- populations ------------------------------------------------------------------------------------------------------

UNIFORM = {2: 0.3314996395, 5: 0.7090881788}
GAUSSIAN = {1: 0.01678338, 2: 1.62651452, 5: 2.92983863, 10: 2.9995239}
FRACTION = {1: 0.50669529, 2: 0.94807988, 5: 0.99830431}
WITHIN_CLASS = {0: 0.7510878, 1: 0.3341754, 2: 1.594105e-2, 3: 1.258055e-3, 5: 2.640044e-4, 10: 2.036527e-4}
VARIANCE = {-1: 0.7510878078, 0: 0.3408450569, 1: 0.0683983157, 2: 0.0056966347}


@pytest.mark.parametrize(("count", "deviation"), [(1_000, 2.11e-6), (10_000, 2.12e-8), (100_000, 2.1e-10)])
def test_a_uniform_cluster(count: int, deviation: float) -> None:
    points = ((np.arange(count) + 0.5) / count)[:, None]
    times = np.linspace(0, 12, 2401)
    (path,) = hm.solve(Truncation(points, np.zeros(count, int), [[0.8]]), [0.1], [12]).paths
    got = path(times)
    ratio = 7 * np.exp(-0.8 * times)
    exact = 0.8 / (1 + ratio)
    for time, value in UNIFORM.items():
        assert exact[np.searchsorted(times, time - 1e-9)] == pytest.approx(value, abs=6e-11)
    assert np.abs(got - exact).max() == pytest.approx(deviation, rel=0.1)


def test_a_gaussian_cluster() -> None:
    count = 200_000
    points = ndtri((np.arange(count) + 0.5) / count)[:, None]
    times = sorted({*GAUSSIAN, *FRACTION, *WITHIN_CLASS})
    data = hm.solve(Truncation(points, np.zeros(count, int), [[3.0]]), [-1.0], times).data
    threshold = dict(zip(times, data.threshold.values[:, 0], strict=True))
    mass = dict(zip(times, data.truncated_mass.values[:, 0], strict=True))
    for time, value in GAUSSIAN.items():
        assert threshold[time] == pytest.approx(value, abs=1e-7)
    for time, value in FRACTION.items():
        assert mass[time] == pytest.approx(value, abs=1 / count)
    for time, value in WITHIN_CLASS.items():
        a = threshold[time]
        closed = float(variance().subs(_a, a))
        assert closed == pytest.approx(value, rel=4e-7)
        assert np.maximum(points, a).var() == pytest.approx(closed, abs=2e-4)


@pytest.mark.parametrize(("time", "value"), list(GAUSSIAN.items()))
def test_the_gaussian_table_by_quadrature(time: int, value: float) -> None:
    """The time from -1 to the value in the table under theta' = -Phi(theta) (theta - 3)."""
    with mp.workdps(20):
        taken = mp.quad(
            lambda y: 1 / (mp.ncdf(y) * (3 - y)), [-1, 0, 1, min(2, value), value] if value > 1 else [-1, value]
        )
        speed = mp.ncdf(value) * (3 - value)
        last_digit = 1e-7 if time == 10 else 1e-8
        assert abs(taken - time) * speed < 0.6 * last_digit


def variance():
    return next(s for s in statements() if s.key == "clamped_variance").rhs


@pytest.mark.parametrize(("at", "value"), list(VARIANCE.items()))
def test_the_variance_of_a_clamped_gaussian(at: int, value: float) -> None:
    with mp.workdps(25):
        moments = [mp.quad(lambda x, k=k: max(x, at) ** k * mp.npdf(x), [-mp.inf, at, at + 3, mp.inf]) for k in (1, 2)]
        direct = moments[1] - moments[0] ** 2
        closed = mp.mpf(str(variance().subs(_a, at).evalf(25)))
    assert abs(closed - direct) < 1e-18
    assert float(closed) == pytest.approx(value, abs=6e-11)


def test_the_covariance_of_two_clamped_gaussians() -> None:
    """Mehler's series with the proved form of the coefficients; and direct quadrature of a conditional mean."""
    with mp.workdps(25):
        total, rho = mp.mpf(0), mp.mpf("0.6")
        for order in range(1, 70):
            c = [mp.mpf(str(_clamped(order).subs(_a, at).evalf(25))) for at in ("1/2", "-3/10")]
            total += c[0] * c[1] * rho**order / mp.factorial(order)
        first, second, spread = mp.mpf("0.5"), mp.mpf("-0.3"), mp.sqrt(1 - rho**2)

        def mean(level, centre, width):
            d = (level - centre) / width
            return level * mp.ncdf(d) + centre * mp.ncdf(-d) + width * mp.npdf(d)

        product = mp.quad(lambda x: max(x, first) * mean(second, rho * x, spread) * mp.npdf(x), [-12, -2, first, 3, 12])
        direct = product - mean(first, 0, 1) * mean(second, 0, 1)
    assert abs(total - direct) < 1e-15
    assert float(total) == pytest.approx(0.1382350526, abs=6e-11)
    series = next(s for s in statements() if s.key == "clamped_covariance").rhs
    short = float(series.subs({_a: 0.5, _b: -0.3, _rho: 0.6}))
    assert abs(short - float(direct)) < 0.6**7


# -- many digits ------------------------------------------------------------------------------------------------------


def in_many_digits(points, targets, weights, start, times):
    """The flow of one coordinate in mpmath, from event to event, sums taken afresh on every piece."""
    with mp.workdps(50):
        points, targets, weights = ([mp.mpf(float(x)) for x in v] for v in (points, targets, weights))
        y, now, values = mp.mpf(float(start)), mp.mpf(0), []
        due = [mp.mpf(float(t)) for t in times]
        passed = {i for i, u in enumerate(points) if u < y}
        while due:
            rate = mp.fsum(weights[i] for i in passed)
            star = mp.fsum(weights[i] * targets[i] for i in passed) / rate if passed else y
            if star > y:
                ahead = min((u for i, u in enumerate(points) if i not in passed and y <= u < star), default=None)
            else:
                ahead = max((points[i] for i in passed if star < points[i]), default=None)
            span = mp.log((star - y) / (star - ahead)) / rate if ahead is not None and star != y else mp.inf
            while due and due[0] < now + span:
                values.append(star + (y - star) * mp.exp(-rate * (due.pop(0) - now)) if passed else y)
            if not due:
                break
            now, up, y = now + span, star > y, ahead
            changed = {i for i, u in enumerate(points) if u == y}
            passed = passed | changed if up else passed - changed
            pull = mp.fsum(weights[i] * (targets[i] - y) for i in passed)
            if not passed or (pull <= 0) == up:
                return [float(v) for v in [*values, *([y] * len(due))]], values
        return [float(v) for v in values], values


@pytest.mark.parametrize("seed", range(4))
def test_rounding_is_within_the_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, targets = rng.normal(size=60), 2 + rng.normal(size=60)
    weights, times = rng.uniform(0.1, 1, size=60) / 60, np.linspace(0.1, 30, 12)
    solution = one_coordinate(points, targets, -0.5, times, weights)
    exact, digits = in_many_digits(points, targets, weights, -0.5, times)
    for got, bound, true in zip(
        solution.data.threshold.values[:, 0], solution.errors.threshold.values[:, 0], digits, strict=False
    ):
        assert abs(mp.mpf(float(got)) - true) <= bound
        assert bound < 1e-12
    np.testing.assert_allclose(solution.data.threshold.values[:, 0], exact, rtol=0, atol=1e-12)


# -- real networks ----------------------------------------------------------------------------------------------------


def descent_problem(seed: int):
    """Three overlapping clusters in three dimensions, 1200 points, adapted weights, thresholds that sweep them."""
    rng = np.random.default_rng(seed)
    count, size = 1200, 3
    centres = 1.2 * rng.normal(size=(3, size))
    labels = np.arange(count) % 3
    points = centres[labels] + rng.normal(size=(count, size))
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
    targets = centres + 2.5 * rotation.sum(axis=0) + 0.5 * rng.normal(size=(3, size))  # ahead of the thresholds
    start = np.quantile(points @ rotation.T, 0.1, axis=0)
    output, shift = np.eye(size) + 0.2 * rng.normal(size=(size, size)), rng.normal(size=size)
    weights = [np.diag([0.7, 1.3, 2.0]) @ rotation, output]
    network = ReLUNetwork.from_cumulative(weights, [-rotation.T @ start], shift)
    data = LabelledData(points, labels, targets @ output.T + shift)
    return Truncation(points, labels, targets, rotation=rotation), start, network, data


@pytest.mark.slow
def test_descent_on_a_real_network_converges_to_the_flow() -> None:
    """The deviation halves with the step.

    The right-hand side jumps by O(1/N) at each of a thousand events and more, which a step of descent meets at random:
    that moves the deviation of one problem by several percent, so it is averaged over sixteen.
    """
    times = np.arange(0, 6.01, 0.2)
    logarithms = []
    for seed in range(16):
        setting, start, network, data = descent_problem(seed)
        solution = hm.solve(setting, start, times)
        assert solution.data.events.values.sum() > 1000
        deviations = []
        for step in (0.1, 0.05, 0.025, 0.0125):
            run = descend_cumulative(network, data, step=step, times=times)
            deviations.append(np.abs(run.input_biases[:, 0] - solution.data.bias.values).max())
            assert run.cost[0] == pytest.approx(solution.data.loss.values[0], rel=1e-12)
        assert deviations[-1] < 0.02
        logarithms.append(np.log(deviations))
    means = np.exp(np.mean(logarithms, axis=0))
    np.testing.assert_allclose(means[:-1] / means[1:], 2.0, atol=0.1)
