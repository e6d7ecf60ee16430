"""The arbiter of the truncation flow: the network, its gradients by finite differences, its runs by hand, refusals."""

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm

from hermiton.verification.networks.neural_collapse import nc1, nc2, nc3, nc4, neural_collapse
from hermiton.verification.networks.relu_gradients import cumulative_gradient, ordinary_gradient
from hermiton.verification.networks.relu_network import LabelledData, ReLUNetwork, input_cost, standard_cost
from hermiton.verification.networks.rotations import adapted_parts, turned
from hermiton.verification.networks.truncation import TruncationRun, descend_cumulative, descend_ordinary

Array = NDArray[np.float64]


def near_identity(rng: np.random.Generator, m: int, d: int) -> Array:
    """A matrix whose singular values lie between 0.7 and 1.4."""
    U, s, V = np.linalg.svd(np.eye(m, d) + 0.4 * rng.standard_normal((m, d)), full_matrices=False)
    return np.asarray(U * s.clip(0.7, 1.4) @ V)


def generic(hidden: int, d: int = 3, m: int = 3, count: int = 40, seed: int = 0) -> tuple[ReLUNetwork, LabelledData]:
    """Weights near the identity, so that signals survive; biases that truncate in every layer; uneven weights."""
    rng = np.random.default_rng(seed)
    weights = [near_identity(rng, d, d) for _ in range(hidden)]
    biases = [shift + 0.2 * rng.standard_normal(d) for shift in (0.4, -0.4, -0.3)[:hidden]]
    network = ReLUNetwork([*weights, near_identity(rng, m, d)], [*biases, 0.3 * rng.standard_normal(m)])
    labels = rng.integers(0, 3, count)
    targets, sample_weights = rng.standard_normal((3, m)), rng.uniform(0.2, 1.0, count) / count
    return network, LabelledData(rng.standard_normal((count, d)), labels, targets, sample_weights)


def rotation(rng: np.random.Generator, d: int) -> Array:
    return np.asarray(np.linalg.qr(rng.standard_normal((d, d)))[0])


def adapted(hidden: int, d: int = 3, seed: int = 0) -> tuple[list[Array], list[Array], Array, LabelledData]:
    """Positive diagonal D_l, orthogonal R_l, input-space biases, data."""
    rng = np.random.default_rng(seed)
    D = [np.diag(rng.uniform(0.5, 2.0, d)) for _ in range(hidden)]
    R = [rotation(rng, d) for _ in range(hidden)]
    beta = 0.5 + 0.3 * rng.standard_normal((hidden, d))
    labels = rng.integers(0, 3, 50)
    return D, R, beta, LabelledData(rng.standard_normal((50, d)), labels, rng.standard_normal((3, d)))


def output_of_one(weights: Any, biases: Any, x: Array) -> list[float]:
    """The network on one sample, entry by entry."""
    signal = [float(each) for each in x]
    for layer, (W, b) in enumerate(zip(weights, biases, strict=True)):
        signal = [b[j] + sum(W[j, i] * signal[i] for i in range(len(signal))) for j in range(len(b))]
        if layer < len(weights) - 1:
            signal = [max(each, 0.0) for each in signal]
    return signal


def std_by_definition(weights: Any, biases: Any, data: LabelledData) -> float:
    total = 0.0
    for x, c, w in zip(data.inputs, data.labels, data.sample_weights, strict=True):
        total += (
            0.5 * w * sum((o - y) ** 2 for o, y in zip(output_of_one(weights, biases, x), data.targets[c], strict=True))
        )
    return total


def products(weights: Any, biases: Any) -> tuple[list[Array], list[Array]]:
    """Cumulative parameters from the explicit sums: b^(l) = sum_k W_l ... W_{k+1} b_k."""
    matrices, vectors = [], []
    for layer in range(len(weights)):
        vector = np.zeros(len(biases[layer]))
        product = np.eye(len(biases[layer]))
        for k in range(layer, -1, -1):
            vector = vector + product @ biases[k]
            product = product @ weights[k]
        matrices.append(product)
        vectors.append(vector)
    return matrices, vectors


def tau(W: Array, b: Array, x: Array) -> Array:
    """Truncation map of samples (N, d)."""
    return np.asarray((np.maximum(x @ W.T + b, 0) - b) @ np.linalg.inv(W).T)


def in_by_definition(weights: Any, biases: Any, data: LabelledData) -> float:
    """The input cost through the truncation maps, without the network."""
    matrices, vectors = products(weights, biases)
    z = data.inputs
    for W, b in zip(matrices[:-1], vectors[:-1], strict=True):
        z = tau(W, b, z)
    pulled = (data.targets - vectors[-1]) @ np.linalg.pinv(matrices[-1]).T
    return float(0.5 * data.sample_weights @ ((z - pulled[data.labels]) ** 2).sum(axis=1))


DEFINITION: dict[str, Callable[[Any, Any, LabelledData], float]] = {
    "standard": std_by_definition,
    "input": in_by_definition,
}


def ordinary_from(matrices: Any, beta: Array, output_bias: Array) -> tuple[list[Array], list[Array]]:
    """W_l = W^(l) (W^(l-1))^-1, b_l = b^(l) - W_l b^(l-1), literally."""
    vectors = [*(W @ each for W, each in zip(matrices[:-1], beta, strict=True)), output_bias]
    weights, biases = [matrices[0]], [vectors[0]]
    for layer in range(1, len(matrices)):
        weights.append(matrices[layer] @ np.linalg.inv(matrices[layer - 1]))
        biases.append(vectors[layer] - weights[-1] @ vectors[layer - 1])
    return weights, biases


def slopes(function: Callable[[Array], float], at: Array, h: float = 1e-5) -> Array:
    """Central differences."""
    gradient = np.empty(at.shape)
    for index in np.ndindex(*at.shape):
        up, down = at.copy(), at.copy()
        up[index] += h
        down[index] -= h
        gradient[index] = (function(up) - function(down)) / (2 * h)
    return gradient


# ---- the network ----


@pytest.mark.parametrize(("hidden", "m"), [(1, 3), (2, 2), (3, 5)])
def test_the_forward_pass_and_the_costs_are_the_definition(hidden: int, m: int) -> None:
    network, data = generic(hidden, m=m)
    outputs = [output_of_one(network.weights, network.biases, x) for x in data.inputs]
    layers = network.layers(data.inputs)
    np.testing.assert_allclose(layers[-1], outputs, rtol=0, atol=1e-13)
    assert len(layers) == hidden + 1 and all(0.05 < (x == 0).mean() < 0.95 for x in layers[:-1])
    assert abs(standard_cost(network, data) - std_by_definition(network.weights, network.biases, data)) < 1e-13
    assert abs(input_cost(network, data) - in_by_definition(network.weights, network.biases, data)) < 1e-12


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_pulled_back_features_are_the_truncation_maps(hidden: int) -> None:
    network, data = generic(hidden, d=4, m=2)
    matrices, vectors = products(network.weights, network.biases)
    own = network.cumulative()
    z = data.inputs
    for layer in range(hidden):
        np.testing.assert_allclose(own.weights[layer], matrices[layer], rtol=0, atol=1e-13)
        np.testing.assert_allclose(matrices[layer] @ own.input_biases[layer], vectors[layer], rtol=0, atol=1e-13)
        z = tau(matrices[layer], vectors[layer], z)
        np.testing.assert_allclose(network.truncated(data.inputs, layer + 1), z, rtol=0, atol=1e-11)
        features = network.layers(data.inputs)[layer]
        np.testing.assert_allclose(features, z @ matrices[layer].T + vectors[layer], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(network.truncated(data.inputs), network.truncated(data.inputs, hidden))
    output = z @ own.weights[-1].T + own.output_bias
    np.testing.assert_allclose(network.layers(data.inputs)[-1], output, rtol=0, atol=1e-12)
    np.testing.assert_allclose(own.output_bias, vectors[-1], rtol=0, atol=1e-13)
    again = ReLUNetwork.from_cumulative(own.weights, own.input_biases, own.output_bias)
    for name in ("weights", "biases"):
        for back, there in zip(getattr(again, name), getattr(network, name), strict=True):
            np.testing.assert_allclose(back, there, rtol=0, atol=1e-12)


def test_adapted_layers_clamp_rotated_coordinates_from_below() -> None:
    D, R, beta, data = adapted(2)
    matrices = [D[0] @ R[0], D[1] @ R[1], np.eye(3)]
    network = ReLUNetwork.from_cumulative(matrices, beta, np.zeros(3))
    z = data.inputs
    for layer in range(2):
        z = np.maximum(z @ R[layer].T, -R[layer] @ beta[layer]) @ R[layer]
        np.testing.assert_allclose(network.truncated(data.inputs, layer + 1), z, rtol=0, atol=1e-13)


# ---- gradients ----


@pytest.mark.parametrize("cost", ["standard", "input"])
@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_ordinary_gradients_are_finite_differences(cost: Any, hidden: int) -> None:
    network, data = generic(hidden, seed=hidden)
    gradient = ordinary_gradient(network, data, cost)
    for layer in range(hidden + 1):
        for name in ("weights", "biases"):

            def moved(value: Array, name: str = name, layer: int = layer) -> float:
                parts = {"weights": list(network.weights), "biases": list(network.biases)}
                parts[name][layer] = value
                return DEFINITION[cost](parts["weights"], parts["biases"], data)

            expected = slopes(moved, getattr(network, name)[layer])
            np.testing.assert_allclose(getattr(gradient, name)[layer], expected, rtol=0, atol=2e-8)
            assert np.abs(expected).max() > 1e-3


@pytest.mark.parametrize(("cost", "m"), [("standard", 3), ("standard", 2), ("input", 3), ("input", 2), ("input", 5)])
@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_cumulative_gradients_are_finite_differences(cost: Any, m: int, hidden: int) -> None:
    network, data = generic(hidden, m=m, seed=hidden)
    gradient = cumulative_gradient(network, data, cost)
    own = network.cumulative()
    hidden_weights = list(own.weights[:-1])

    def value(beta: Array, output: Array, bias: Array) -> float:
        return DEFINITION[cost](*ordinary_from([*hidden_weights, output], beta, bias), data)

    output, bias = own.weights[-1], own.output_bias
    expected = slopes(lambda beta: value(beta, output, bias), own.input_biases)
    np.testing.assert_allclose(gradient.input_biases, expected, rtol=0, atol=2e-8)
    assert (np.abs(expected).max(axis=1) > 1e-3).all()

    def turned_value(weights: Array) -> float:
        return DEFINITION[cost](*ordinary_from([*weights, output], own.input_biases, bias), data)

    assert gradient.hidden_weights is not None
    by_hidden = slopes(turned_value, np.stack(hidden_weights))
    np.testing.assert_allclose(gradient.hidden_weights, by_hidden, rtol=0, atol=1e-7)
    assert (np.abs(by_hidden).max(axis=(1, 2)) > 1e-3).all()
    if cost == "input":
        assert gradient.output_weights is None and gradient.output_bias is None
        return
    assert gradient.output_weights is not None and gradient.output_bias is not None
    by_weight = slopes(lambda each: value(own.input_biases, each, bias), output)
    by_bias = slopes(lambda each: value(own.input_biases, output, each), bias)
    np.testing.assert_allclose(gradient.output_weights, by_weight, rtol=0, atol=2e-8)
    np.testing.assert_allclose(gradient.output_bias, by_bias, rtol=0, atol=2e-8)


def adapted_network(hidden: int, d: int, m: int, seed: int = 0) -> tuple[ReLUNetwork, LabelledData, Array, Array]:
    """Adapted hidden layers D R, generic output layer; also D, shape (L, d, d), and R."""
    rng = np.random.default_rng(seed)
    D = np.stack([np.diag(rng.uniform(0.5, 2.0, d)) for _ in range(hidden)])
    R = np.stack([rotation(rng, d) for _ in range(hidden)])
    beta = 0.5 + 0.3 * rng.standard_normal((hidden, d))
    labels, targets = rng.integers(0, 3, 50), rng.standard_normal((3, m))
    network = ReLUNetwork.from_cumulative([*(D @ R), near_identity(rng, m, d)], beta, rng.standard_normal(m))
    return network, LabelledData(rng.standard_normal((50, d)), labels, targets), D, R


def inverse_cayley(turn: Array) -> Array:
    one = np.eye(len(turn))
    return np.asarray(2 * (turn - one) @ np.linalg.inv(turn + one))


@pytest.mark.parametrize("cost", ["standard", "input"])
@pytest.mark.parametrize(("hidden", "d", "m"), [(1, 2, 2), (1, 3, 2), (1, 5, 5), (3, 2, 3), (3, 3, 3), (3, 5, 4)])
def test_rotations_descend_along_the_derivative_in_each_direction(cost: Any, hidden: int, d: int, m: int) -> None:
    """A step turns R_l by Cayley(h Omega_l), and dC/dt along exp(tA) R_l at fixed beta is -tr(A^T Omega_l)."""
    network, data, D, R = adapted_network(hidden, d, m, seed=d)
    step = 0.05
    run = descend_cumulative(network, data, cost=cost, step=step, times=[0, step], move_rotation=True)
    own, rng = network.cumulative(), np.random.default_rng(1)
    np.testing.assert_allclose(run.hidden_weights[0], D @ R, rtol=0, atol=1e-14)

    def value(rotations: Array) -> float:
        weights = [*(D @ rotations), own.weights[-1]]
        return DEFINITION[cost](*ordinary_from(weights, own.input_biases, own.output_bias), data)

    for layer in range(hidden):
        found = inverse_cayley(np.linalg.inv(D[layer]) @ run.hidden_weights[1, layer] @ R[layer].T) / step
        np.testing.assert_allclose(found, -found.T, rtol=0, atol=1e-12)
        assert np.abs(found).max() > 1e-3
        for _ in range(2):
            A = rng.standard_normal((d, d))
            A -= A.T
            ends = []
            for t in (1e-5, -1e-5):
                moved = R.copy()
                moved[layer] = expm(t * A) @ R[layer]
                ends.append(value(moved))
            assert abs((ends[0] - ends[1]) / 2e-5 + np.trace(A.T @ found)) < 1e-7
    # beta moves as it does without rotations, all from old values
    still = descend_cumulative(network, data, cost=cost, step=step, times=[0, step])
    np.testing.assert_allclose(run.input_biases, still.input_biases, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(still.hidden_weights[1], still.hidden_weights[0])


def test_in_the_plane_the_angle_moves_by_half_the_derivative() -> None:
    """R = R(phi): one angle, phi' = -(1/2) dC/dphi in the metric tr(A^T B), and tan(turn/2) = h phi'/2."""
    network, data, D, R = adapted_network(1, 2, 2)
    own = network.cumulative()

    def value(phi: Array) -> float:
        c, s = math.cos(phi[0]), math.sin(phi[0])
        weights = [D[0] @ [[c, -s], [s, c]] @ R[0], own.weights[-1]]
        return in_by_definition(*ordinary_from(weights, own.input_biases, own.output_bias), data)

    velocity = -slopes(value, np.zeros(1))[0] / 2
    run = descend_cumulative(network, data, step=0.3, times=[0.3], move_rotation=True)
    turn = np.linalg.inv(D[0]) @ run.hidden_weights[0, 0] @ R[0].T
    assert abs(velocity) > 1e-2 and abs(2 * math.tan(math.atan2(turn[1, 0], turn[0, 0]) / 2) / 0.3 - velocity) < 1e-8


@pytest.mark.parametrize(("cost", "move_output"), [("input", False), ("standard", True)])
def test_a_run_with_rotations_is_steps_along_the_gradient(cost: Any, move_output: bool) -> None:
    network, data, D, R = adapted_network(2, 3, 3)
    own = network.cumulative()
    beta, output, bias = own.input_biases, own.weights[-1], own.output_bias
    h, one, count = 0.2, np.eye(3), 12
    for _ in range(count):
        now = ReLUNetwork.from_cumulative([*(D @ R), output], beta, bias)
        gradient = cumulative_gradient(now, data, cost)
        M = D @ gradient.hidden_weights @ R.swapaxes(1, 2)
        half = h * (M.swapaxes(1, 2) - M) / 4
        R = np.linalg.inv(one - half) @ (one + half) @ R
        beta = beta - h * gradient.input_biases
        if move_output:
            output, bias = output - h * gradient.output_weights, bias - h * gradient.output_bias
    run = descend_cumulative(
        network, data, cost=cost, step=h, times=[0, count * h], move_rotation=True, move_output=move_output
    )
    np.testing.assert_allclose(run.hidden_weights[1], D @ R, rtol=0, atol=1e-13)
    np.testing.assert_allclose(run.input_biases[1], beta, rtol=0, atol=1e-13)
    np.testing.assert_allclose(run.output_weights[1], output, rtol=0, atol=1e-13)
    np.testing.assert_allclose(run.output_biases[1], bias, rtol=0, atol=1e-13)
    found = run.network(1)
    assert abs(run.cost[1] - DEFINITION[cost](found.weights, found.biases, data)) < 1e-12
    assert run.cost[1] < run.cost[0] and np.abs(run.hidden_weights[1] - run.hidden_weights[0]).max() > 0.01


def test_rotations_rest_where_every_sample_is_kept_or_lost_whole() -> None:
    """Points far inside the cone, and points in the opposite orthant: the apex moves, the cone does not turn."""
    rng = np.random.default_rng(2)
    R, labels = rotation(rng, 3), np.repeat([0, 1], 10)
    inputs = (np.where(labels[:, None] == 0, 3.0, -3.0) + rng.uniform(-1, 1, (20, 3))) @ R
    network = ReLUNetwork.from_cumulative([np.diag([1.0, 2.0, 0.5]) @ R, np.eye(3)], np.zeros((1, 3)), np.zeros(3))
    data = LabelledData(inputs, labels, rng.standard_normal((2, 3)))
    run = descend_cumulative(network, data, step=0.1, times=[0, 1.0], move_rotation=True)
    np.testing.assert_allclose(run.hidden_weights[1], run.hidden_weights[0], rtol=0, atol=1e-14)
    assert np.abs(run.input_biases[1]).max() > 0.1


def departure(R: Array) -> float:
    return float(np.abs(R @ R.swapaxes(1, 2) - np.eye(R.shape[-1])).max())


def test_weights_stay_adapted() -> None:
    for d in (2, 3):
        network, data, D, _ = adapted_network(2, d, d)
        run = descend_cumulative(network, data, step=0.5, times=[0.0, 150.0], move_rotation=True)
        assert departure(np.linalg.inv(D) @ run.hidden_weights[-1]) < 1e-14  # rounding errors of a few products
        # a step far too large turns by nearly half a turn, but it turns
        wild = descend_cumulative(network, data, step=1e3, times=[1e3], move_rotation=True)
        assert departure(np.linalg.inv(D) @ wild.hidden_weights[-1]) < 1e-11


@pytest.mark.slow
def test_a_hundred_thousand_turns_stay_turns() -> None:
    rng = np.random.default_rng(3)
    R, turns = np.stack([rotation(rng, 3) for _ in range(2)]), rng.standard_normal((50, 2, 3, 3))
    turns -= turns.swapaxes(2, 3)
    for count in range(100_000):
        R = turned(R, 0.1 * turns[count % 50])
    assert departure(R) < 1e-14


def test_nearly_adapted_weights_are_replaced_by_adapted_ones() -> None:
    network, data, D, R = adapted_network(1, 3, 3)
    own = network.cumulative()
    near = D[0] @ (R[0] + 2e-9 * np.random.default_rng(0).standard_normal((3, 3)))
    start = ReLUNetwork.from_cumulative([near, own.weights[-1]], own.input_biases, own.output_bias)
    run = descend_cumulative(start, data, step=0.1, times=[0.0], move_rotation=True)
    lengths, parts = adapted_parts([near])
    assert departure(parts) < 1e-15 and np.abs(parts - R).max() < 1e-8
    np.testing.assert_allclose(run.hidden_weights[0], lengths[:, :, None] * parts, rtol=0, atol=1e-15)
    mirror = np.diag([1.0, -1.0, 1.0])  # an orthogonal part need not be a rotation
    assert np.linalg.det(adapted_parts([mirror @ near])[1][0]) * np.linalg.det(R[0]) < 0


def test_the_chain_rule_from_ordinary_to_input_space_biases() -> None:
    network, data = generic(3)
    by_bias = ordinary_gradient(network, data, "standard").biases
    matrices, _ = products(network.weights, network.biases)
    expected = [matrices[k].T @ (by_bias[k] - network.weights[k + 1].T @ by_bias[k + 1]) for k in range(3)]
    found = cumulative_gradient(network, data, "standard").input_biases
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("cost", ["standard", "input"])
def test_in_cumulative_coordinates_the_truncated_samples_pull(cost: Any) -> None:
    """With adapted weights: dC/dbeta_k = -sum_i w_i P'_k,i e_i^(k), e^(k-1) = P_k e^(k), P' = I - P."""
    D, R, beta, data = adapted(3)
    rng = np.random.default_rng(5)
    output, bias = np.eye(3) + 0.3 * rng.standard_normal((3, 3)), rng.standard_normal(3)
    network = ReLUNetwork.from_cumulative([*(d @ r for d, r in zip(D, R, strict=True)), output], beta, bias)
    metric = np.eye(3) if cost == "input" else output.T @ output
    pulled = (data.targets - bias) @ np.linalg.inv(output).T
    expected = np.zeros((3, 3))
    for x, c, w in zip(data.inputs, data.labels, data.sample_weights, strict=True):
        z, kept = x, []
        for k in range(3):
            kept.append(R[k].T @ np.diag((R[k] @ (z + beta[k]) > 0).astype(float)) @ R[k])
            z = kept[k] @ (z + beta[k]) - beta[k]
        e = metric @ (z - pulled[c])
        for k in (2, 1, 0):
            expected[k] -= w * (np.eye(3) - kept[k]) @ e
            e = kept[k] @ e
    np.testing.assert_allclose(cumulative_gradient(network, data, cost).input_biases, expected, rtol=0, atol=1e-13)


def test_the_costs_agree_where_the_output_layer_is_orthogonal() -> None:
    D, R, beta, data = adapted(2)
    turn = rotation(np.random.default_rng(3), 3)
    network = ReLUNetwork.from_cumulative([D[0] @ R[0], D[1] @ R[1], turn], beta, np.ones(3))
    assert abs(input_cost(network, data) - standard_cost(network, data)) < 1e-13
    found = [cumulative_gradient(network, data, cost).input_biases for cost in ("input", "standard")]  # type: ignore[arg-type]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-13)


def test_a_sample_on_the_threshold_counts_as_truncated() -> None:
    """x = 0 under relu(x + 0): its derivative is 0, so beta feels beta + ytilde = 1.5, and all mass is truncated."""
    network = ReLUNetwork([[[1.0]], [[1.0]]], [[0.0], [0.0]])
    data = LabelledData([[0.0]], [0], [[1.5]], [0.5])
    assert cumulative_gradient(network, data, "input").input_biases[0, 0] == 0.75
    assert ordinary_gradient(network, data, "standard").biases[0][0] == 0.0
    run = descend_cumulative(network, data, step=0.1, times=[0.0])
    np.testing.assert_array_equal(run.truncated, [[[[0.5]]]])
    kept = LabelledData([[1e-12]], [0], [[1.5]], [0.5])
    assert cumulative_gradient(network, kept, "input").input_biases[0, 0] == 0.0


# ---- runs ----


@pytest.mark.parametrize(("cost", "move_output"), [("input", False), ("standard", False), ("standard", True)])
def test_a_cumulative_run_is_steps_along_the_gradient(cost: Any, move_output: bool) -> None:
    network, data = generic(2)
    run = descend_cumulative(network, data, cost=cost, step=0.3, times=[0, 0.6, 1.5], move_output=move_output)
    own = network.cumulative()
    beta, output, bias = own.input_biases, own.weights[-1], own.output_bias
    row = 0
    for step in range(6):
        now = ReLUNetwork.from_cumulative([*own.weights[:-1], output], beta, bias)
        if step in (0, 2, 5):
            found = run.network(row)
            for name in ("weights", "biases"):
                for a, b in zip(getattr(found, name), getattr(now, name), strict=True):
                    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
            np.testing.assert_allclose(run.input_biases[row], beta, rtol=0, atol=1e-13)
            np.testing.assert_allclose(run.output_weights[row], output, rtol=0, atol=1e-13)
            np.testing.assert_allclose(run.output_biases[row], bias, rtol=0, atol=1e-13)
            assert abs(run.cost[row] - DEFINITION[cost](now.weights, now.biases, data)) < 1e-12
            for layer, x in enumerate(now.layers(data.inputs)[:-1]):
                for c in range(3):
                    mass = ((x == 0) * data.sample_weights[:, None])[data.labels == c].sum(axis=0)
                    np.testing.assert_allclose(run.truncated[row, layer, c], mass, rtol=0, atol=1e-15)
            row += 1
        gradient = cumulative_gradient(now, data, cost)
        beta = beta - 0.3 * gradient.input_biases
        if move_output:
            output, bias = output - 0.3 * gradient.output_weights, bias - 0.3 * gradient.output_bias
    assert row == len(run.times) == 3 and np.diff(run.cost).max() < -1e-3
    np.testing.assert_array_equal(run.hidden_weights, np.stack([np.stack(own.weights[:-1])] * 3))
    assert (np.abs(run.output_weights[2] - run.output_weights[0]).max() > 1e-3) == move_output


@pytest.mark.parametrize(
    ("cost", "move_weights", "move_output"),
    [("standard", False, False), ("standard", True, True), ("standard", False, True), ("input", True, False)],
)
def test_an_ordinary_run_is_steps_along_the_gradient(cost: Any, move_weights: bool, move_output: bool) -> None:
    network, data = generic(2)
    run = descend_ordinary(
        network, data, cost=cost, step=0.1, times=[0.5], move_weights=move_weights, move_output=move_output
    )
    now = network
    for _ in range(5):
        gradient = ordinary_gradient(now, data, cost)
        sizes = [0.1, 0.1, 0.1 * move_output]
        weight_sizes = [0.1 * move_weights, 0.1 * move_weights, 0.1 * move_output]
        now = ReLUNetwork(
            [W - h * g for W, g, h in zip(now.weights, gradient.weights, weight_sizes, strict=True)],
            [b - h * g for b, g, h in zip(now.biases, gradient.biases, sizes, strict=True)],
        )
    for name in ("weights", "biases"):
        for a, b in zip(getattr(run.network(0), name), getattr(now, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    assert abs(run.cost[0] - DEFINITION[cost](now.weights, now.biases, data)) < 1e-12
    matrices, vectors = products(now.weights, now.biases)
    np.testing.assert_allclose(run.hidden_weights[0], matrices[:-1], rtol=0, atol=1e-13)
    np.testing.assert_allclose(run.output_biases[0], vectors[-1], rtol=0, atol=1e-13)
    assert (np.abs(matrices[0] - network.weights[0]).max() > 1e-3) == move_weights


@pytest.mark.parametrize(
    ("cost", "move_weights", "move_output"),
    [("standard", True, True), ("standard", False, True), ("input", True, False)],
)
def test_weight_decay_acts_on_the_weights_that_move(cost: Any, move_weights: bool, move_output: bool) -> None:
    network, data = generic(2)
    moves = {"move_weights": move_weights, "move_output": move_output}
    run = descend_ordinary(network, data, cost=cost, step=0.1, times=[0.0, 0.3], weight_decay=0.7, **moves)
    now = network
    for _ in range(3):
        gradient = ordinary_gradient(now, data, cost)
        moving = [move_weights, move_weights, move_output]
        now = ReLUNetwork(
            [W - 0.1 * on * (g + 0.7 * W) for W, g, on in zip(now.weights, gradient.weights, moving, strict=True)],
            [b - 0.1 * on * g for b, g, on in zip(now.biases, gradient.biases, [1, 1, move_output], strict=True)],
        )
    for name in ("weights", "biases"):
        for a, b in zip(getattr(run.network(1), name), getattr(now, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    for index in (0, 1):  # the recorded cost is the plain one
        found = run.network(index)
        assert abs(run.cost[index] - DEFINITION[cost](found.weights, found.biases, data)) < 1e-12
    plain = descend_ordinary(network, data, cost=cost, step=0.1, times=[0.3], **moves)
    same = descend_ordinary(network, data, cost=cost, step=0.1, times=[0.3], weight_decay=0.0, **moves)
    np.testing.assert_array_equal(plain.cost, same.cost)
    assert abs(plain.cost[0] - run.cost[1]) > 1e-3


def test_weights_that_no_sample_reaches_decay_alone() -> None:
    """All units are dead: W_1 and W_2 shrink by 1 - h lambda a step, b_1 rests, b_2 goes to the label."""
    network = ReLUNetwork([np.diag([1.0, 2.0]), [[0.3, -1.0], [2.0, 0.5]]], [[-9.0, -9.0], [0.0, 0.0]])
    data = LabelledData([[1.0, 0.5], [-1.0, 2.0]], [0, 0], [[1.0, -2.0]])
    run = descend_ordinary(network, data, step=0.25, times=[2.0], move_weights=True, move_output=True, weight_decay=0.8)
    end = run.network(0)
    for found, start in zip(end.weights, network.weights, strict=True):
        np.testing.assert_allclose(found, 0.8**8 * start, rtol=1e-13)
    np.testing.assert_allclose(end.biases[0], network.biases[0], rtol=1e-13)
    np.testing.assert_allclose(end.biases[1], (1 - 0.75**8) * data.targets[0], rtol=1e-13)


def test_ordinary_descent_follows_another_metric() -> None:
    """At fixed weights b_cum = A b_ord with A_km = W_k ... W_{m+1}: the cumulative biases move along A A^T."""
    network, data = generic(2)
    step = 1e-3
    run = descend_ordinary(network, data, step=step, times=[0, step], move_output=True)
    W2, W3 = network.weights[1:]
    one, zero = np.eye(3), np.zeros((3, 3))
    A = np.block([[one, zero, zero], [W2, one, zero], [W3 @ W2, W3, one]])
    frozen = descend_ordinary(network, data, step=step, times=[0, step])
    matrices, vectors = products(network.weights, network.biases)
    hidden = list(matrices[:-1])

    def value(b: Array) -> float:
        beta = np.stack([np.linalg.solve(W, each) for W, each in zip(hidden, (b[:3], b[3:6]), strict=True)])
        return std_by_definition(*ordinary_from([*hidden, matrices[-1]], beta, b[6:]), data)

    gradient = slopes(value, np.concatenate(vectors))

    def moved(of: TruncationRun) -> Array:
        biases = [[*hidden[k] @ (of.input_biases[1, k] - of.input_biases[0, k])] for k in range(2)]
        return np.concatenate([*biases, of.output_biases[1] - of.output_biases[0]])

    held = np.diag([1.0] * 6 + [0.0] * 3)  # the ordinary output bias stays
    np.testing.assert_allclose(moved(frozen), -step * A @ held @ A.T @ gradient, rtol=0, atol=1e-9)
    # with the output layer moving its weights move too, which shifts W^(3) and with it b^(3), but not b^(1), b^(2)
    np.testing.assert_allclose(moved(run)[:6], (-step * A @ A.T @ gradient)[:6], rtol=0, atol=1e-9)
    own = descend_cumulative(network, data, cost="standard", step=step, times=[0, step])
    assert np.abs(moved(own) - moved(frozen)).max() > 0.1 * np.abs(moved(own)).max()


def runs(network: ReLUNetwork, data: LabelledData, step: float) -> list[TruncationRun]:
    times = np.array([0.0, 3.0, 10.0]) * step
    return [
        descend_cumulative(network, data, step=step, times=times),
        descend_cumulative(network, data, cost="standard", step=step, times=times, move_output=True),
        descend_ordinary(network, data, step=step, times=times, move_weights=True, move_output=True),
    ]


def test_the_order_of_the_samples_is_of_no_account() -> None:
    network, data = generic(3)
    order = np.random.default_rng(1).permutation(40)
    other = LabelledData(data.inputs[order], data.labels[order], data.targets, data.sample_weights[order])
    for first, second in zip(runs(network, data, 0.2), runs(network, other, 0.2), strict=True):
        for name in ("cost", "input_biases", "output_weights", "truncated"):
            np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=0, atol=1e-12)


def test_blocks_of_samples_are_of_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty samples in one block, or in eight of five samples, or in six of six and one of four."""
    network, data = generic(3)
    whole = runs(network, data, 0.2)
    whole.append(descend_ordinary(network, data, cost="input", step=0.05, times=[0.0, 0.1, 0.5], move_weights=True))
    for entries in (15, 18):
        monkeypatch.setattr("hermiton.verification.networks.relu_passes._BLOCK", entries)
        cut = runs(network, data, 0.2)
        cut.append(descend_ordinary(network, data, cost="input", step=0.05, times=[0.0, 0.1, 0.5], move_weights=True))
        for first, second in zip(whole, cut, strict=True):
            for name in ("cost", "input_biases", "hidden_weights", "output_weights", "truncated"):
                np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=0, atol=1e-12)


def test_sample_weights_set_the_clock() -> None:
    network, data = generic(3)
    heavy = LabelledData(data.inputs, data.labels, data.targets, 5 * data.sample_weights)
    for fast, slow in zip(runs(network, heavy, 0.04), runs(network, data, 0.2), strict=True):
        np.testing.assert_allclose(fast.input_biases, slow.input_biases, rtol=0, atol=1e-12)
        np.testing.assert_allclose(fast.cost, 5 * slow.cost, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(fast.steps, slow.steps)
    plain = LabelledData(data.inputs, data.labels, data.targets)
    np.testing.assert_array_equal(plain.sample_weights, np.full(40, 1 / 40))
    np.testing.assert_allclose(plain.class_weights, np.bincount(data.labels) / 40, rtol=1e-14)


def test_a_sample_of_double_weight_counts_twice() -> None:
    network, data = generic(2)
    twice = LabelledData(
        np.vstack([data.inputs, data.inputs[:1]]),
        np.append(data.labels, data.labels[0]),
        data.targets,
        np.append(data.sample_weights, data.sample_weights[0]),
    )
    weights = data.sample_weights.copy()
    weights[0] *= 2
    double = LabelledData(data.inputs, data.labels, data.targets, weights)
    for first, second in zip(runs(network, twice, 0.2), runs(network, double, 0.2), strict=True):
        np.testing.assert_allclose(first.input_biases, second.input_biases, rtol=0, atol=1e-13)
        np.testing.assert_allclose(first.truncated, second.truncated, rtol=0, atol=1e-15)


def test_times_round_to_steps() -> None:
    network, data = generic(1)
    run = descend_cumulative(network, data, step=0.1, times=[0.04, 0.06, 0.14, 0.5])
    np.testing.assert_array_equal(run.steps, [0, 1, 1, 5])
    np.testing.assert_array_equal(run.times, [0.04, 0.06, 0.14, 0.5])
    np.testing.assert_array_equal(run.input_biases[1], run.input_biases[2])
    assert not run.diverged and math.isinf(run.divergence_time)
    with pytest.raises(FrozenInstanceError):
        run.cost = run.times  # type: ignore[misc]


def test_a_run_tells_its_progress_and_stops_when_told_to() -> None:
    network, data = generic(1)
    heard: list[float] = []
    descend_cumulative(network, data, step=0.1, times=[25.0], progress=heard.append)
    assert heard[0] == 0 and heard[-1] == 1 and 80 < len(heard) < 102 and (np.diff(heard) > 0).all()
    heard.clear()
    descend_ordinary(network, data, step=0.1, times=[0.0], progress=heard.append)
    assert heard == [1.0]

    def impatient(fraction: float) -> None:
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        descend_cumulative(network, data, step=0.1, times=[25.0], progress=impatient)


def test_a_run_that_diverges_says_when() -> None:
    network, data = generic(2)
    shapes = {"input_biases": (2, 3), "hidden_weights": (2, 3, 3), "output_weights": (3, 3), "truncated": (2, 3, 3)}
    cases: list[tuple[Any, float, dict[str, Any]]] = [
        (descend_cumulative, 50.0, {"cost": "input"}),
        (descend_cumulative, 5.0, {"cost": "standard", "move_output": True}),
        (descend_ordinary, 5.0, {"move_weights": True, "move_output": True}),
        (descend_ordinary, 5.0, {"cost": "input", "move_weights": True}),
    ]
    for descend, step, more in cases:
        times = np.array([0.0, step, 1e5])
        run = descend(network, data, step=step, times=times, **more)
        assert run.diverged and step <= run.divergence_time < 1e5 and run.divergence_time % step == 0
        assert len(run.times) == len(run.cost) == len(run.steps) == 2
        beyond = descend(network, data, step=step, times=[1e5], **more)
        assert beyond.divergence_time == run.divergence_time
        for name, shape in shapes.items():
            values = getattr(run, name)
            assert values.shape == (2, *shape) and np.isfinite(values).all()
            assert getattr(beyond, name).shape == (0, *shape)
        assert beyond.cost.shape == beyond.times.shape == (0,) and beyond.output_biases.shape == (0, 3)


def test_a_run_without_cumulative_coordinates_says_when() -> None:
    """One unit, one sample: W_1 = 1 goes to exactly 0 in one step; there b^(1)/W^(1) is nothing."""
    network = ReLUNetwork([[[1.0]], [[1.0]]], [[0.0], [0.0]])
    data = LabelledData([[1.0]], [0], [[0.0]], [1.0])
    run = descend_ordinary(network, data, step=1.0, times=[0.0, 1.0], move_weights=True)
    assert run.divergence_time == 1.0 and len(run.times) == 1


def test_nothing_of_the_callers_is_changed_and_nothing_can_be() -> None:
    network, data = generic(2)
    inputs = np.array(data.inputs)
    weights = [np.array(W) for W in network.weights]
    mine = ReLUNetwork(weights, network.biases)
    own = LabelledData(inputs, data.labels, data.targets)
    runs(mine, own, 0.2)
    np.testing.assert_array_equal(inputs, data.inputs)
    for W, before in zip(weights, network.weights, strict=True):
        np.testing.assert_array_equal(W, before)
    inputs[0], weights[0][0] = 7.0, 7.0
    assert own.inputs[0, 0] != 7.0 and mine.weights[0][0, 0] != 7.0
    for array in (own.inputs, own.labels, own.targets, own.sample_weights, *mine.weights, *mine.biases):
        assert not array.flags.writeable


def test_importing_the_network_loads_no_compiler() -> None:
    code = (
        "import sys, hermiton.verification.networks.truncation, hermiton.verification.networks.neural_collapse\n"
        "assert 'numba' not in sys.modules, 'numba was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- neural collapse ----


def simplex(classes: int, d: int, seed: int = 0) -> Array:
    """Rows: the vertices of a regular simplex around the origin, turned at random into d >= C-1 dimensions."""
    centred = np.eye(classes) - 1 / classes
    basis = np.linalg.svd(centred)[0][:, : classes - 1]
    turn = rotation(np.random.default_rng(seed), d)[: classes - 1]
    return np.asarray(centred @ basis @ turn)


@pytest.mark.parametrize(("classes", "d"), [(2, 1), (3, 2), (3, 3), (4, 7)])
def test_a_collapsed_simplex_frame_has_no_defect(classes: int, d: int) -> None:
    vertices = simplex(classes, d)
    labels = np.repeat(np.arange(classes), 6)
    features = 2.5 * vertices[labels] + 0.75
    assert nc1(features, labels) == 0.0
    assert nc2(features, labels) < 1e-14
    assert nc3(features, labels, 0.1 * vertices) < 1e-14
    assert nc4(features, labels, vertices, np.zeros(classes) - vertices @ np.full(d, 0.75)) == 0.0


def test_metrics_of_two_classes_on_a_line_by_hand() -> None:
    """Means 1 and 6, mu = 3.5, M = (-2.5, 2.5), Sigma_W = 1, Sigma_B = 6.25: NC1 = 1/6.25/2."""
    features, labels = [[0.0], [2.0], [5.0], [7.0]], [0, 0, 1, 1]
    assert abs(nc1(features, labels) - 0.08) < 1e-15
    assert nc2(features, labels) < 1e-15  # two centred means are always opposite
    W = [[-3.0], [4.0]]  # (-.6, .8) against (-1, 1)/sqrt 2
    assert abs(nc3(features, labels, W) - math.sqrt(2 - 2 * 1.4 / math.sqrt(2))) < 1e-14
    # scores -3h and 4h - b: the second wins for h > b/7; the nearer mean is the second for h > 3.5
    assert [nc4(features, labels, W, [0.0, -b]) for b in (24.5, 10.5, 7.0, 56.0)] == [0.0, 0.25, 0.25, 0.5]


def test_metrics_of_three_classes_in_the_plane_by_hand() -> None:
    """Means (1, 0), (0, 1), (-1, -1): Gram (1, 0, -1; 0, 1, -1; -1, -1, 2) of norm sqrt 10; Pi/sqrt 2 has norm 1."""
    means, spread = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), np.array([[0.3, 0.0], [-0.3, 0.0]])
    features = np.vstack([mean + spread for mean in means])
    labels = np.repeat([0, 1, 2], 2)
    # Sigma_W = .09 e1 e1^T, Sigma_B = (2, 1; 1, 2)/3, its inverse (2, -1; -1, 2)
    assert abs(nc1(features, labels) - 0.09 * 2 / 3) < 1e-15
    overlap = (1 * 2 + 1 * 2 + 2 * 2 + 2 * (0 * -1 + -1 * -1 + -1 * -1)) / 3 / math.sqrt(2) / math.sqrt(10)
    assert abs(nc2(features, labels) - math.sqrt(2 - 2 * overlap)) < 1e-14
    W = [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]  # |W| = sqrt 2, |M| = 2, W : M^T = 2
    assert abs(nc3(features, labels, W) - math.sqrt(2 - 2 * 2 / (2 * math.sqrt(2)))) < 1e-15


def test_the_mean_is_that_of_all_samples() -> None:
    """Three samples at 0 and one at 4: mu = 1, M = (-1, 3)."""
    features, labels = [[0.0], [0.0], [0.0], [4.0]], [0, 0, 0, 1]
    gram = np.array([[1.0, -3.0], [-3.0, 9.0]]) / 10
    assert abs(nc2(features, labels) - np.linalg.norm(gram - np.array([[0.5, -0.5], [-0.5, 0.5]]))) < 1e-15
    assert abs(nc3(features, labels, [[-1.0], [3.0]])) < 1e-15


def test_variability_in_the_kernel_between_classes_is_not_seen() -> None:
    features = np.array([[0.0, 0.0], [0.0, 2.0], [5.0, 1.0], [5.0, 1.0]])
    assert nc1(features, [0, 0, 1, 1]) < 1e-28  # two classes along the first axis, spread along the second
    features[0, 0] = 0.2
    assert nc1(features, [0, 0, 1, 1]) > 1e-4


def test_metrics_do_not_depend_on_turning_shifting_scaling_or_order() -> None:
    rng = np.random.default_rng(2)
    labels = np.append([0, 1, 2], rng.integers(0, 3, 30))
    features, W = rng.standard_normal((33, 4)) + labels[:, None] * [1.0, 0.3, -0.5, 0.2], rng.standard_normal((3, 4))
    turn, order = rotation(rng, 4), rng.permutation(33)
    moved, W_moved, b = 3 * features[order] @ turn.T + 10.0, 0.7 * W @ turn.T, rng.standard_normal(3)
    shift = -W_moved @ np.full(4, 10.0)
    assert abs(nc1(moved, labels[order]) - nc1(features, labels)) < 1e-12
    assert abs(nc2(moved, labels[order]) - nc2(features, labels)) < 1e-13
    assert abs(nc3(moved, labels[order], W_moved) - nc3(features, labels, W)) < 1e-13
    assert nc4(moved, labels[order], W_moved, 2.1 * b + shift) == nc4(features, labels, W, b)
    assert 0 < nc4(features, labels, W, b) < 1 and nc1(features, labels) > 0.1
    one = nc1(features, labels)  # against the formula, with NumPy's pinv
    means = np.stack([features[labels == c].mean(axis=0) for c in range(3)])
    M = (means - features.mean(axis=0)).T
    within = (features - means[labels]).T @ (features - means[labels]) / 33
    assert abs(one - np.trace(within @ np.linalg.pinv(M @ M.T / 3, rcond=1e-12)) / 3) < 1e-12


def test_the_two_pictures() -> None:
    """Outputs agree; NC1 as well while Sigma_B has full rank, here that of the plane; NC2 and NC3 do not."""
    network, data = generic(2, d=2, m=3)
    inside, outside = neural_collapse(network, data, "input space"), neural_collapse(network, data, "feature space")
    assert (inside.picture, outside.picture) == ("input space", "feature space")
    assert abs(inside.nc1 - outside.nc1) < 1e-10
    assert abs(inside.nc2 - outside.nc2) > 1e-3 and abs(inside.nc3 - outside.nc3) > 1e-3
    z, x = network.truncated(data.inputs), network.layers(data.inputs)[1]
    matrices, vectors = products(network.weights, network.biases)
    for found, h, W, b in ((inside, z, matrices[2], vectors[2]), (outside, x, network.weights[2], network.biases[2])):
        expected = [nc1(h, data.labels), nc2(h, data.labels), nc3(h, data.labels, W), nc4(h, data.labels, W, b)]
        np.testing.assert_allclose([found.nc1, found.nc2, found.nc3, found.nc4], expected, rtol=0, atol=1e-11)
    wide, samples = generic(2, d=4, m=3)
    assert (
        abs(neural_collapse(wide, samples, "input space").nc1 - neural_collapse(wide, samples, "feature space").nc1)
        > 1e-3
    )


# ---- refusals ----


def cumulative(**changes: Any) -> Any:
    network, data = generic(1)
    arguments = {"network": network, "data": data, "step": 0.1, "times": [1.0]} | changes
    return descend_cumulative(**arguments)


def ordinary(**changes: Any) -> Any:
    network, data = generic(1)
    arguments = {"network": network, "data": data, "step": 0.1, "times": [1.0]} | changes
    return descend_ordinary(**arguments)


SINGULAR = ReLUNetwork([np.ones((3, 3)), np.eye(3)], [np.zeros(3), np.zeros(3)])
BLIND = ReLUNetwork([np.eye(3), np.ones((3, 3))], [np.zeros(3), np.zeros(3)])


@pytest.mark.parametrize("run", [cumulative, ordinary])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "net"}, "network='net' is not a ReLUNetwork"),
        ({"data": 3}, "data=3 is not a LabelledData"),
        ({"network": generic(1, d=4)[0]}, r"data.inputs=.* dimension 3, but the network has 4 inputs"),
        ({"network": generic(1, m=2)[0]}, r"data.targets=.* dimension 3, but the network has 2 outputs"),
        ({"cost": "entropy"}, "cost='entropy' is unknown"),
        ({"step": 0}, "step=0 is zero"),
        ({"step": -0.1}, "step=-0.1 is negative"),
        ({"step": math.nan}, "step=nan is not finite"),
        ({"times": [1.0, 1.0]}, "times=.* is not increasing"),
        ({"times": [-1.0]}, "times=.* starts before 0"),
        ({"times": [1e300]}, "times=.* asks for"),
        ({"progress": 7}, "progress=7 is no function"),
        ({"cost": "input", "move_output": True}, "move_output=True lets the output layer"),
        ({"network": SINGULAR}, "of layer 1 cannot be inverted"),
        ({"network": BLIND, "cost": "input"}, "has not full rank"),
    ],
)
def test_runs_refuse_nonsense(run: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        run(**changes)
    assert ": " in str(refusal.value)  # the cure follows


def test_rotations_need_adapted_weights_and_decay_needs_moving_ones() -> None:
    network, data = generic(2)
    with pytest.raises(ValueError, match=r"of layer 1 is not adapted: .* \(cosine of two rows .*: give W = D R"):
        descend_cumulative(network, data, step=0.1, times=[1.0], move_rotation=True)
    first, second = adapted_network(2, 3, 3)[0].cumulative().weights[:2]
    bent = second + 1e-6 * np.ones((3, 3))
    crooked = ReLUNetwork.from_cumulative([first, bent, np.eye(3)], np.zeros((2, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="of layer 2 is not adapted"):
        descend_cumulative(crooked, data, step=0.1, times=[1.0], move_rotation=True)
    with pytest.raises(ValueError, match=r"weight_decay=-1.0 is negative"):
        ordinary(weight_decay=-1.0, move_weights=True)
    with pytest.raises(ValueError, match="weight_decay=nan is not finite"):
        ordinary(weight_decay=math.nan, move_weights=True)
    with pytest.raises(ValueError, match=r"weight_decay=0.1 has no weights to act on: move weights"):
        ordinary(weight_decay=0.1)


def test_the_input_cost_in_ordinary_coordinates_needs_a_square_output_layer() -> None:
    network, data = generic(1, m=2)
    with pytest.raises(ValueError, match=r"cost='input' needs a square output layer .*: use cost='standard'"):
        descend_ordinary(network, data, cost="input", step=0.1, times=[1.0])
    assert not descend_cumulative(network, data, cost="input", step=0.1, times=[1.0]).diverged


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": [1.0, 2.0]}, r"inputs=.* has shape \(2,\)"),
        ({"inputs": [[1.0], [math.inf]]}, "inputs=.* NaN or infinite"),
        ({"inputs": [[1.0], [1e20]]}, "inputs=.* beyond 1e"),
        ({"labels": [0, 2]}, r"labels=.* has the class 2, but there are 2 targets"),
        ({"labels": [0, -1]}, "labels=.* has a negative entry"),
        ({"labels": [0.0, 1.0]}, "labels=.* holds float64, not whole numbers"),
        ({"labels": [True, False]}, "labels=.* holds bool"),
        ({"labels": [0, 1, 1]}, r"labels=.* has shape \(3,\)"),
        ({"labels": [[0], [0, 1]]}, "labels=.* is not an array"),
        ({"targets": [1.0, 2.0]}, r"targets=.* has shape \(2,\)"),
        ({"sample_weights": [1.0]}, r"sample_weights=.* has shape \(1,\)"),
        ({"sample_weights": [1.0, 0.0]}, "sample_weights=.* not positive"),
    ],
)
def test_data_refuse_nonsense(changes: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"inputs": [[1.0], [2.0]], "labels": [0, 1], "targets": [[0.0], [1.0]]} | changes
    with pytest.raises(ValueError, match=words):
        LabelledData(**arguments)


@pytest.mark.parametrize(
    ("weights", "biases", "words"),
    [
        ([np.eye(2)], [np.zeros(2)], "weights=.* has 1 layers"),
        ([np.eye(2), np.eye(2)], [np.zeros(2)], "biases=.* has 1 layers"),
        ([np.ones((3, 2)), np.eye(2)], [np.zeros(3), np.zeros(2)], r"weights\[0\]=.* has shape \(3, 2\)"),
        ([np.eye(2), np.eye(3)], [np.zeros(2), np.zeros(3)], r"weights\[1\]=.* has shape \(3, 3\)"),
        ([np.eye(2), np.eye(2)], [np.zeros(2), np.zeros(3)], r"biases\[1\]=.* has shape \(3,\)"),
        ([np.eye(2), np.full((2, 2), np.nan)], [np.zeros(2), np.zeros(2)], r"weights\[1\]=.* NaN"),
        ([np.eye(2), 1e16 * np.eye(2)], [np.zeros(2), np.zeros(2)], r"weights\[1\]=.* beyond 1e"),
    ],
)
def test_networks_refuse_nonsense(weights: Any, biases: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ReLUNetwork(weights, biases)


def test_cumulative_parameters_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="of layer 1 cannot be inverted"):
        ReLUNetwork.from_cumulative([np.ones((2, 2)), np.eye(2)], np.zeros((1, 2)), np.zeros(2))
    with pytest.raises(ValueError, match=r"input_biases=.* has shape \(2, 2\)"):
        ReLUNetwork.from_cumulative([np.eye(2), np.eye(2)], np.zeros((2, 2)), np.zeros(2))
    with pytest.raises(ValueError, match=r"weights=.* has 1 layers"):
        ReLUNetwork.from_cumulative([np.eye(2)], np.zeros((0, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="cannot be inverted"):
        SINGULAR.cumulative()
    network, data = generic(2)
    with pytest.raises(ValueError, match="layer=3 is too large"):
        network.truncated(data.inputs, 3)
    with pytest.raises(ValueError, match="layer=0 is too small"):
        network.truncated(data.inputs, 0)
    with pytest.raises(ValueError, match=r"inputs=.* has shape"):
        network.layers(np.ones((2, 4)))


def test_metrics_refuse_nonsense() -> None:
    features, labels = np.array([[0.0], [1.0], [3.0]]), [0, 0, 1]
    with pytest.raises(ValueError, match="has one class only"):
        nc1(features, [0, 0, 0])
    with pytest.raises(ValueError, match="leaves class 1 without samples"):
        nc2(features, [0, 0, 2])
    with pytest.raises(ValueError, match="have equal class means"):
        nc1([[1.1], [3.3], [2.2]], labels)
    with pytest.raises(ValueError, match=r"weights=.* is zero"):
        nc3(features, labels, [[0.0], [0.0]])
    with pytest.raises(ValueError, match=r"weights=.* has shape \(3, 1\)"):
        nc3(features, labels, [[0.0], [1.0], [2.0]])
    with pytest.raises(ValueError, match=r"bias=.* has shape"):
        nc4(features, labels, [[0.0], [1.0]], [0.0])
    network, data = generic(1)
    with pytest.raises(ValueError, match="picture='output space' is unknown"):
        neural_collapse(network, data, "output space")  # type: ignore[arg-type]
