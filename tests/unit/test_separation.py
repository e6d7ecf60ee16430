"""Cluster-separated layers: their exact paths, and until when they are separated."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp

from hermiton.numerics.piecewise_flow import PiecewiseSolution, flow_source, solve_flow
from hermiton.numerics.separation import _bounds
from hermiton.theory.errors import AssumptionError, DerivationError
from hermiton.theory.systems import IndexSum, instantiate
from hermiton.theory.truncation import Truncation, truncation_flow
from hermiton.theory.truncation.separated import ALONE, separated_flow
from hermiton.theory.truncation.statements import RATE
from hermiton.verification.networks.neural_collapse import collapse_of
from hermiton.verification.networks.relu_network import LabelledData, ReLUNetwork
from hermiton.verification.networks.truncation import descend_cumulative

FLOW = separated_flow()
CORNERS = 5.2 / np.sqrt(2) * (np.eye(3) - 1 / 3)  # an equilateral triangle of side 5.2


def triangle(seed: int, move: float = 0.4, noise: float = 0.06, shift: float = 0.02, count: int = 900):
    """Three clusters; each layer's cone opens away from the other two, its apex moves inwards by `move`."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), count // 3)
    points = CORNERS[labels] + noise * rng.normal(size=(count, 3))
    rotation, start, targets = [], [], []
    diagonal = np.column_stack([-np.ones(3), rng.normal(size=(3, 2))])
    for corner in CORNERS:
        outwards = corner / np.linalg.norm(corner)
        frame = np.linalg.qr(np.column_stack([outwards, rng.normal(size=(3, 2))]))
        axis = np.linalg.qr(diagonal)
        turn = (axis.Q * np.sign(np.diag(axis.R))) @ (frame.Q * np.sign(np.diag(frame.R))).T
        rotation.append(turn)
        start.append(turn @ corner)
        targets.append(corner - move * outwards + shift * rng.normal(size=3))
    setting = Truncation(
        points,
        labels,
        np.array(targets),
        layers=3,
        truncates=(0, 1, 2),
        rotation=np.array(rotation),
        weights=np.full(count, 3 / count),
    )
    return setting, np.array(start)


def solve(setting, start, times) -> PiecewiseSolution:
    return solve_flow(FLOW, setting, start, np.array(times, dtype=float))


def reached(setting, threshold):
    """By how much samples of other classes exceed the thresholds of each layer: plain passes through all layers."""
    points, labels = np.asarray(setting.points), np.asarray(setting.labels)
    z, gaps = points, []
    for turn, level, own in zip(np.asarray(setting.rotation), threshold, setting.truncates, strict=True):
        gaps.append((z[labels != own] @ turn.T - level).min())
        z = np.maximum(z @ turn.T, level) @ turn
    return min(gaps), z


def random_problem(seed: int):
    """Any clusters, rotations and thresholds; layers often stay separated for a while."""
    rng = np.random.default_rng(seed)
    size, classes = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    layers = int(rng.integers(1, classes + 1))
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=20)])
    centres = 6 * rng.normal(size=(classes, size))
    points = centres[labels] + rng.normal(size=(len(labels), size))
    turns = np.linalg.qr(rng.normal(size=(layers, size, size)))[0]
    own = tuple(map(int, rng.permutation(classes)[:layers]))
    u = np.einsum("ljk,ik->lij", turns, points)
    start = np.array([np.min(u[k][labels != own[k]], axis=0) - rng.exponential(size=size) for k in range(layers)])
    mine = np.array([np.quantile(u[k][labels == own[k]], 0.5, axis=0) + 0.01 for k in range(layers)])
    targets = centres + 3 * rng.normal(size=(classes, size))
    return Truncation(
        points, labels, targets, layers=layers, truncates=own, rotation=turns if layers > 1 else turns[0]
    ), np.minimum(start, mine)


class TestSystem:
    def test_terms(self) -> None:
        assert str(FLOW.rate) == "KroneckerDelta(c[i], own[l])*w[i]"
        assert str(FLOW.breakpoint) == "u[l, i, j]"
        assert "separated[l, i, j]" in flow_source(FLOW)
        assert "nc1" in flow_source(FLOW)

    def test_a_wrong_rate_gives_other_numbers(self) -> None:
        setting, start = triangle(0)
        flows = (FLOW, separated_flow(2 * ALONE))
        numbers = [solve_flow(flow, setting, start, np.array([1.0])).data.threshold.values for flow in flows]
        assert np.abs(numbers[0] - numbers[1]).max() > 0.05

    def test_bounds_on_a_box(self) -> None:
        state, c, n = sp.IndexedBase(sp.Symbol("y", real=True)), sp.Symbol("c", real=True), sp.Symbol("n")
        value = IndexSum(c * (sp.Max(state[n], 1) - 2 * state[n]), n, sp.Integer(3)) - state[0]
        low, high = _bounds(value, "y")
        names = ("y", "state_low", "state_high")
        arrays = [sp.IndexedBase(sp.Symbol(name, real=True))[k] for name in names for k in range(3)]
        at = [sp.lambdify([c, *arrays], instantiate(one, {})) for one in (low, value, high)]
        rng = np.random.default_rng(0)
        for _ in range(200):
            ends = np.sort(rng.normal(size=(2, 3)), axis=0)
            scale, inside = rng.normal(), rng.uniform(ends[0], ends[1])
            lower, exact, upper = (float(one(scale, *inside, *ends[0], *ends[1])) for one in at)
            assert lower - 1e-12 <= exact <= upper + 1e-12

    def test_what_is_not_monotone_is_refused(self) -> None:
        state = sp.IndexedBase(sp.Symbol("y", real=True))
        with pytest.raises(DerivationError, match="not known to be monotone"):
            _bounds(state[0] * state[1], "y")


class TestPaths:
    def test_dimensions(self) -> None:
        data = solve(*triangle(0, count=90), [0.0, 1.0]).data
        assert data.threshold.dims == data.truncated_mass.dims == ("time", "layer", "coordinate")
        assert data.class_mass.dims == ("time", "layer", "class", "coordinate")
        assert (data.bias.dims, data.outcome.dims) == (("time", "layer", "component"), ("layer", "coordinate"))

    @pytest.mark.parametrize("seed", range(4))
    def test_observables_by_plain_passes(self, seed: int) -> None:
        setting, start = random_problem(seed)
        solution = solve(setting, start, [0.0])
        until = min(solution.data.separated_until, 4.0)
        solution = solve(setting, start, np.linspace(0, until, 4) if until else [0.0])
        labels, weights = np.asarray(setting.labels), 1 / len(setting.labels)
        turns = np.reshape(setting.rotation, (setting.layers, *np.shape(setting.rotation)[-2:]))
        for row, threshold in enumerate(solution.data.threshold.values):
            z, masses = np.asarray(setting.points), []
            for turn, level in zip(turns, threshold, strict=True):
                u = z @ turn.T
                masses.append([weights * (u < level)[labels == c].sum(axis=0) for c in range(len(setting.targets))])
                z = np.maximum(u, level) @ turn
            loss = 0.5 * weights * ((z - np.asarray(setting.targets)[labels]) ** 2).sum()
            now = solution.data.isel(time=row)
            assert float(now.loss) == pytest.approx(loss, rel=1e-12)
            np.testing.assert_allclose(now.class_mass, masses, atol=1e-14)
            np.testing.assert_allclose(now.truncated_mass, np.sum(masses, axis=1), atol=1e-14)
            np.testing.assert_allclose(now.bias, -np.einsum("ljk,lj->lk", turns, threshold), atol=1e-13)
            if "nc1" in solution.data:
                wanted = collapse_of(
                    z, labels, np.ones((len(setting.targets), z.shape[1])), np.zeros(len(setting.targets))
                )
                assert float(now.nc1) == pytest.approx(wanted.nc1, rel=1e-9)
                assert float(now.nc2) == pytest.approx(wanted.nc2, rel=1e-9)

    def test_one_layer_is_the_flow_of_one_layer(self) -> None:
        rng = np.random.default_rng(8)
        points, labels = rng.normal(size=(50, 2)), np.zeros(50, int)
        arguments = (points, labels, np.array([[2.0, 1.5]]))
        alone = solve_flow(truncation_flow(RATE), Truncation(*arguments), [0.1, -0.3], np.array([0.0, 1.0, 5.0]))
        for start in ([0.1, -0.3], {"biases": [-0.1, 0.3]}, [[0.1, -0.3]]):
            layered = solve(Truncation(*arguments, truncates=(0,)), start, [0.0, 1.0, 5.0])
            np.testing.assert_array_equal(layered.data.threshold.values[:, 0], alone.data.threshold.values)
            np.testing.assert_allclose(layered.data.loss, alone.data.loss, rtol=1e-14)

    def test_a_class_without_samples_keeps_its_threshold(self) -> None:
        setting = Truncation([[0.0], [1.0]], [0, 0], [[3.0], [5.0]], layers=2, truncates=(0, 1))
        data = solve(setting, [[0.5], [-7.0]], [0.0, 9.0]).data
        assert data.threshold.values[:, 1, 0].tolist() == [-7, -7]
        assert data.outcome.values[1, 0] == "frozen"
        assert data.separated_until == np.inf

    def test_late_slopes(self) -> None:
        """With weights 1/N_c a collapsed cluster relaxes with rate 1 in its threshold, 2 in the cost."""
        setting, start = triangle(0)
        data = solve(setting, start, [0.0, 8.0, 10.0, 12.0]).data
        assert data.separated_until == np.inf
        assert (data.outcome == "approaches").all()
        slopes = np.diff(np.log(data.loss.values[1:])) / 2
        np.testing.assert_allclose(slopes, -2, atol=1e-7)
        gap = data.bias.values[1:, 0] + np.asarray(setting.targets)[0]
        np.testing.assert_allclose(np.diff(np.log(np.linalg.norm(gap, axis=-1))) / 2, -1, atol=1e-8)


class TestSeparation:
    def test_a_tight_cone(self) -> None:
        """A triangle's corner is 30 degrees wide on either side, the cone 35.26: a small step stays inside, a large one
        may leave."""
        assert all(solve(*triangle(seed), [0.0]).data.separated_until == np.inf for seed in range(6))
        wide = [solve(*triangle(seed, 0.6, 0.12, 0.05), [0.0]).data.separated_until for seed in range(6)]
        assert sum(np.isfinite(wide)) >= 2
        assert min(wide) > 0

    def test_what_is_said(self) -> None:
        setting, start = triangle(3, 0.6, 0.12, 0.05)
        until = solve(setting, start, [0.0]).data.separated_until
        assert np.isfinite(until)
        solve(setting, start, [0.0, 0.999 * until])
        with pytest.raises(AssumptionError) as caught:
            solve(setting, start, [0.0, 12.0])
        message = str(caught.value)
        assert f"truncates=[0, 1, 2] does not hold after time {until:.6g}: layer " in message
        assert "leave truncates out" in message
        layer, sample, label, unit = (int(w) for w in message.split() if w.strip(":").isdigit() for w in [w.strip(":")])
        assert setting.labels[sample] == label != setting.truncates[layer]
        assert 0 <= unit < 3

    def test_the_start_counts(self) -> None:
        setting = Truncation([[0.0], [1.0]], [0, 1], [[3.0], [5.0]], truncates=(0,))
        with pytest.raises(AssumptionError, match=r"after time 0: layer 0 truncates sample 1 of class 1 in unit 0"):
            solve(setting, [2.0], [0.0])

    def test_by_hand(self) -> None:
        """The threshold goes from 0.5 to 3 with rate 1/2, and meets the other sample at 2 at the time 2 log(5/2)."""
        setting = Truncation([[0.0], [2.0]], [0, 1], [[3.0], [5.0]], truncates=(0,))
        assert solve(setting, [0.5], [0.0]).data.separated_until == pytest.approx(2 * np.log(2.5), rel=1e-9)

    @pytest.mark.parametrize("block", range(2))
    def test_against_passes_on_a_grid_of_times(self, block: int) -> None:
        finite = 0
        for seed in range(15 * block, 15 * block + 15):
            setting, start = random_problem(seed)
            try:
                solution = solve(setting, start, [0.0])
            except AssumptionError:
                assert reached(*_layered(setting, start))[0] <= 1e-12
                continue
            until = solution.data.separated_until
            path = partial(_thresholds, solution)
            grid = np.linspace(0, until, 60)[:-1] if np.isfinite(until) else np.geomspace(1e-3, 1e4, 60)
            assert all(reached(*_layered(setting, path(s)))[0] > 0 for s in grid)
            if np.isfinite(until):
                finite += 1
                assert reached(*_layered(setting, path(until * (1 + 1e-7) + 1e-9)))[0] < 1e-9
        assert finite >= 2


def _thresholds(solution, time):
    return np.reshape([path(time) for path in solution.paths], solution.data.threshold.shape[1:])


def _layered(setting, threshold):
    turns = np.reshape(setting.rotation, (setting.layers, *np.shape(setting.rotation)[-2:]))
    view = SimpleNamespace(points=setting.points, labels=setting.labels, rotation=turns, truncates=setting.truncates)
    return view, threshold


@pytest.mark.slow
def test_descent_on_a_real_network_converges_to_the_flow() -> None:
    """Three layers: the deviation halves with the step."""
    times = np.arange(0, 12.01, 0.4)
    logarithms = []
    for seed in (0, 2, 3, 5):
        setting, start = triangle(seed)
        solution = solve(setting, start, times)
        turns = np.asarray(setting.rotation)
        scales = np.array([[0.7, 1.3, 2.0], [1.0, 0.6, 1.5], [1.2, 1.0, 0.8]])
        weights = [np.diag(scale) @ turn for scale, turn in zip(scales, turns, strict=True)]
        network = ReLUNetwork.from_cumulative(
            [*weights, np.eye(3)], [-turn.T @ level for turn, level in zip(turns, start, strict=True)], np.zeros(3)
        )
        data = LabelledData(setting.points, setting.labels, setting.targets, setting.weights)
        deviations = []
        for step in (0.2, 0.1, 0.05, 0.025):
            run = descend_cumulative(network, data, step=step, times=times)
            deviations.append(np.abs(run.input_biases - solution.data.bias.values).max())
            np.testing.assert_allclose(run.cost[0], solution.data.loss.values[0], rtol=1e-12)
        logarithms.append(np.log(deviations))
    means = np.exp(np.mean(logarithms, axis=0))
    np.testing.assert_allclose(means[:-1] / means[1:], 2.0, atol=0.1)
