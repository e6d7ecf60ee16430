"""Descent on real ReLU networks where its course is known in closed form: rates, attractors, orders of convergence.

With fixed targets and a fixed set of truncated samples of weight f, the distance of a threshold from its target shrinks
by a factor 1 - eta f a step: its rate is -log(1 - eta f)/eta. The rest is compared with solutions of the flow, from
which descent keeps a distance of the order of its step.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hermiton.verification.networks.neural_collapse import neural_collapse
from hermiton.verification.networks.relu_network import LabelledData, ReLUNetwork
from hermiton.verification.networks.truncation import TruncationRun, descend_cumulative

Array = NDArray[np.float64]


def rotation(angle: float) -> Array:
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def one_threshold(
    points: Array, targets: Array, labels: Array, theta: float
) -> tuple[ReLUNetwork, LabelledData, Array]:
    """Points along the first axis of a rotated frame in the plane, far inside the cone along the second.

    The layer has weights D R with D not the identity, the output layer is anything invertible; its labels are such that
    the pulled-back labels have first coordinate `targets`. Returns the first axis too.
    """
    R, D = rotation(0.7), np.diag([1.7, 0.6])
    inputs = np.column_stack([points, 5.0 + np.zeros(len(points))]) @ R
    output, bias = np.array([[1.0, 0.4], [-0.3, 0.8]]), np.array([0.2, -0.5])
    pulled = np.column_stack([targets, np.full(len(targets), 5.0)]) @ R
    beta = -R.T @ [theta, -3.0]
    network = ReLUNetwork.from_cumulative([D @ R, output], [beta], bias)
    return network, LabelledData(inputs, labels, pulled @ output.T + bias), R[0]


def threshold(run: TruncationRun, axis: Array) -> Array:
    return np.asarray(-run.input_biases[:, 0] @ axis)


def test_the_rate_is_the_truncated_fraction() -> None:
    """Four tight clumps, target ahead: the rate steps up from 1/4 to 1 as the threshold sweeps them."""
    rng = np.random.default_rng(0)
    clumps = np.arange(4.0).repeat(50) + 1e-3 * rng.uniform(-1, 1, 200)
    network, data, axis = one_threshold(clumps, np.array([5.0]), np.zeros(200, dtype=int), 0.5)
    eta = 0.002
    run = descend_cumulative(network, data, step=eta, times=np.arange(0, 4.0, 0.02))
    distance = 5.0 - threshold(run, axis)
    fraction = run.truncated[:, 0, 0, 0]
    for quarters, printed in ((1, 0.250063), (2, 0.500250), (3, 0.750563), (4, 1.001001)):
        piece = np.abs(fraction - quarters / 4) < 1e-12
        assert piece.sum() > 15
        slope = -np.polyfit(run.times[piece], np.log(distance[piece]), 1)[0]
        # 1e-9: distances carry rounding errors of 1e-15 relative, over pieces of 0.3 and more
        assert abs(slope + math.log1p(-eta * quarters / 4) / eta) < 1e-9
        assert f"{slope:.6f}" == f"{printed:.6f}"
    # between pieces, while a clump is swept, there is hardly any record
    assert (np.abs(4 * fraction - np.rint(4 * fraction)) > 1e-12).sum() <= 3


@pytest.mark.parametrize(
    ("target", "start", "values"),
    [
        (5.0, 0.5, (1.92943854, 3.67652135, 4.93410788)),
        (1.7, 0.5, (0.76543906, 0.97216321, 1.53113943)),
        (-1.0, 2.5, (1.01653241, 0.56402604, 0.0)),
    ],
    ids=["collapse", "partial collapse", "release"],
)
def test_four_points_follow_the_flow_at_the_distance_of_a_step(
    target: float, start: float, values: tuple[float, ...]
) -> None:
    """Points 0, 1, 2, 3 of weight 1/4; printed values of the exact flow at times 1, 2, 5."""
    labels = np.zeros(4, dtype=int)
    network, data, axis = one_threshold(np.arange(4.0), np.array([target]), labels, start)
    errors = []
    for eta in (0.01, 0.001):
        run = descend_cumulative(network, data, step=eta, times=[1.0, 2.0, 5.0])
        errors.append(np.abs(threshold(run, axis) - values).max())
    # Three crossings, each met up to one step late, change the velocity by at most 1/4 of the distance (< 5) each; on
    # top comes Euler's error between them. Together less than five steps.
    assert errors[0] < 0.05 and errors[1] < 0.005 and errors[1] > 1e-6


def test_a_threshold_is_pinned_at_a_sample() -> None:
    """Points 0, .2, .4 with target 3 and one at 2 with target -4: the threshold stays at 2, but for chatter."""
    targets, labels = np.array([3.0, -4.0]), np.array([0, 0, 0, 1])
    network, data, axis = one_threshold(np.array([0.0, 0.2, 0.4, 2.0]), targets, labels, 0.1)
    for eta in (0.1, 0.01):
        run = descend_cumulative(network, data, step=eta, times=np.arange(2.0, 6.0, 0.1))
        assert np.abs(threshold(run, axis) - 2.0).max() <= 0.75 * eta + 1e-12  # |g| = 3/4 on either side
        assert threshold(run, axis).std() > 0.01 * eta


def test_the_standard_cost_relaxes_a_collapsed_cluster_mode_by_mode() -> None:
    """beta + ytilde is multiplied by I - eta m G a step, G = W^T W of the output layer, whatever the hidden weights."""
    rng = np.random.default_rng(4)
    hidden, output = np.eye(3) + 0.4 * rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
    beta, bias = rng.standard_normal(3), rng.standard_normal(3)
    inside = rng.uniform(5.0, 6.0, (20, 3))  # W(x + beta) < 0: every unit truncates every point, all along
    inputs = -beta - inside @ np.linalg.inv(hidden).T
    pulled = -beta + 0.1 * rng.standard_normal(3)
    data = LabelledData(inputs, np.zeros(20, dtype=int), [output @ pulled + bias], np.full(20, 0.7 / 20))
    network = ReLUNetwork.from_cumulative([hidden, output], [beta], bias)
    run = descend_cumulative(network, data, cost="standard", step=0.05, times=[0.05, 1.0, 4.0])
    np.testing.assert_allclose(run.truncated, 0.7, rtol=1e-12)
    for steps, found in zip(run.steps, run.input_biases[:, 0], strict=True):
        factor = np.linalg.matrix_power(np.eye(3) - 0.05 * 0.7 * output.T @ output, int(steps))
        np.testing.assert_allclose(found + pulled, factor @ (beta + pulled), rtol=0, atol=1e-13)


def joint_state(run: TruncationRun) -> Array:
    """Angle and apex, shape (T, 3)."""
    angle = np.unwrap(np.arctan2(run.hidden_weights[:, 0, 0, 1], run.hidden_weights[:, 0, 0, 0]))
    return np.column_stack([angle, run.input_biases[:, 0]])


def under_one_cone(centres: Array, spread: float, count: int, shift: Array) -> tuple[ReLUNetwork, LabelledData]:
    """Clusters around centres, given in rotated coordinates, under a cone with apex 0; labels are shifted centres."""
    rng, R = np.random.default_rng(7), rotation(0.4)
    labels = np.arange(len(centres)).repeat(count)
    inputs = (centres[labels] + spread * rng.standard_normal((len(labels), 2))) @ R
    output, bias = np.array([[1.1, 0.3], [-0.2, 0.9]]), np.array([0.1, -0.2])
    network = ReLUNetwork.from_cumulative([np.diag([1.4, 0.7]) @ R, output], np.zeros((1, 2)), bias)
    return network, LabelledData(inputs, labels, (centres + shift) @ R @ output.T + bias)


def in_three_sectors() -> tuple[ReLUNetwork, LabelledData]:
    """A cluster kept, one truncated in one coordinate, one in both, far from the walls between the sectors."""
    centres = np.array([[3.0, 3.0], [-2.0, 2.0], [-3.0, -3.0]])
    return under_one_cone(centres, 0.2, 10, np.array([[0.3, 0.2], [1.5, 1.0], [2.5, 3.4]]))


def halving(runs: list[TruncationRun]) -> list[float]:
    """Ratios of the distances between runs with successively halved steps."""
    gaps = [float(np.abs(joint_state(one) - joint_state(two)).max()) for one, two in pairwise(runs)]
    assert 1e-6 < gaps[0] < 0.05 and np.ptp(joint_state(runs[-1]), axis=0).min() > 0.02  # angle and apex both move
    return [before / after for before, after in pairwise(gaps)]


@pytest.mark.parametrize("cost", ["input", "standard"])
def test_angle_and_apex_together_converge_at_the_first_order(cost: Any) -> None:
    network, data = in_three_sectors()
    times = np.linspace(0.4, 4.0, 10)
    runs = [
        descend_cumulative(network, data, cost=cost, step=step, times=times, move_rotation=True)
        for step in (0.025, 0.0125, 0.00625, 0.003125)
    ]
    for run in runs:  # no sample crosses a wall
        np.testing.assert_allclose(run.truncated, run.truncated[:1].repeat(10, axis=0), rtol=1e-12)
    np.testing.assert_allclose(halving(runs), 2.0, rtol=0, atol=0.1)


def test_angle_and_apex_converge_through_crossings_too() -> None:
    """Overlapping clusters of 3000: a crossing is seen a random part of a step late, and weighs 1/9000.

    With 1000 crossings and jumps of the velocity by 2/9000 that scatters by 0.3 sqrt(1000) 2/9000 = 0.002 steps around
    an error of some 0.03 steps: each distance by 7 parts in 100, their ratios by 0.2. Order 1/2 would make them 1.41.
    """
    centres = 1.5 * np.array([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])
    network, data = under_one_cone(centres, 1.0, 3000, np.array([1.0, 0.8]))
    times = np.linspace(0.4, 4.0, 10)
    runs = [
        descend_cumulative(network, data, step=step, times=times, move_rotation=True)
        for step in (0.1, 0.05, 0.025, 0.0125)
    ]
    assert np.abs(np.diff(runs[-1].truncated, axis=0)).sum() > 0.1  # a tenth of the samples, at least
    np.testing.assert_allclose(halving(runs), 2.0, rtol=0, atol=0.5)


def test_descent_of_angle_and_apex_dissipates_what_it_moves() -> None:
    """dC/ds = -|beta'|^2 - |Omega|^2, |Omega|^2 = 2 phi'^2: the integral over a run is the fall of the cost."""
    network, data = in_three_sectors()
    defects = []
    for step in (0.01, 0.005):
        times = np.arange(round(2 / step) + 1) * step
        run = descend_cumulative(network, data, step=step, times=times, move_rotation=True)
        moves = np.diff(joint_state(run), axis=0)
        spent = float((moves**2 @ [2.0, 1.0, 1.0]).sum()) / step
        assert (moves[:, 0] ** 2).sum() / step > 0.01 * spent > 1e-3  # the turn has a visible share
        defects.append(spent - (run.cost[0] - run.cost[-1]))
    assert abs(defects[0]) < 0.02 * spent and 1.9 < defects[0] / defects[1] < 2.1


SIMPLEX = np.array([[math.cos(a), math.sin(a)] for a in (0.3, 0.3 + 2 * math.pi / 3, 0.3 + 4 * math.pi / 3)])


def collapsed_clusters(alpha: float, eta: float) -> tuple[ReLUNetwork, LabelledData]:
    """Three layers in the plane, layer c sending cluster c to its apex -beta_c and keeping the others; W^(4) = alpha U.

    U U^T = I - 1/3, apexes eta U_c. The clusters of five points, of weight 1 in all, lie behind where the apexes end.
    """
    U = math.sqrt(2 / 3) * SIMPLEX
    weights, labels = [], np.arange(3).repeat(5)
    for c in range(3):
        # the cone opens towards the centre: its axis (1, 1)/sqrt 2 in rotated coordinates is -U_c
        weights.append(np.diag([1.0 + c, 0.5]) @ rotation(math.atan2(-U[c, 1], -U[c, 0]) - math.pi / 4))
    scatter = 0.01 * np.random.default_rng(1).uniform(-1, 1, (15, 2))
    network = ReLUNetwork.from_cumulative([*weights, alpha * U], -eta * U, np.full(3, 1 / 3))
    return network, LabelledData(1.1 * U[labels] + scatter, labels, np.eye(3), np.full(15, 1 / 5))


def test_collapsed_clusters_are_unconstrained_features() -> None:
    """One feature a class: p = alpha eta follows the logistic 1/(1 + (1/p_0 - 1) e^-2s), a distance O(step) away."""
    network, data = collapsed_clusters(0.6, 0.6)
    times = np.array([0.0, 0.5, 1.0, 2.0])
    expected = 1 / (1 + (1 / 0.36 - 1) * np.exp(-2 * times))
    errors = []
    for step in (0.02, 0.01):
        run = descend_cumulative(network, data, cost="standard", step=step, times=times, move_output=True)
        for c in range(3):  # separation, all along
            others = np.delete(run.truncated[:, c], c, axis=1)
            np.testing.assert_allclose(run.truncated[:, c, c], 1.0, rtol=1e-12)
            np.testing.assert_array_equal(others, 0.0)
        p = [-np.trace(W @ beta.T) / 2 for W, beta in zip(run.output_weights, run.input_biases, strict=True)]
        errors.append(np.abs(p - expected).max())
        for index in range(len(times)):
            found = neural_collapse(run.network(index), data, "input space")
            assert found.nc1 < 1e-25 and found.nc2 < 1e-12 and found.nc3 < 1e-12 and found.nc4 == 0.0
    assert errors[0] < 0.01 and 1.9 < errors[0] / errors[1] < 2.1


def test_the_balance_of_features_and_output_layer_is_conserved() -> None:
    """K = W^T W - Z Z^T drifts by O(step) only, and says where both end."""
    network, data = collapsed_clusters(1.0, 0.6)
    drifts = []
    for step in (0.02, 0.01):
        run = descend_cumulative(network, data, cost="standard", step=step, times=[0.0, 3.0], move_output=True)
        K = [W.T @ W - beta.T @ beta for W, beta in zip(run.output_weights, run.input_biases, strict=True)]
        drifts.append(np.abs(K[1] - K[0]).max())
        np.testing.assert_allclose(K[0], 0.64 * np.eye(2), rtol=0, atol=1e-12)
    assert drifts[0] < 0.01 and 1.9 < drifts[0] / drifts[1] < 2.1
    # the balance decides where alpha and eta end: alpha eta = 1, alpha^2 - eta^2 = 0.64
    np.testing.assert_allclose(run.output_weights[1] @ -run.input_biases[1].T, np.eye(3) - 1 / 3, rtol=0, atol=0.01)
