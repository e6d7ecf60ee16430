"""The coupled flow of L layers against derivatives of the cost of a real ReLU network, by central differences.

The network is written here from its definition, in its ordinary parameters W_l, b_l: nothing knows the truncation map.
"""

import functools

import numpy as np
import pytest
import scipy.linalg as sl

from hermiton.numerics.indexed_values import IndexedValues
from hermiton.theory.truncation import Truncation
from hermiton.theory.truncation.chapter import derive_truncation

# Points are at least this far from every threshold, and parameters move by much less than that.
CLEAR, STEP = 1e-3, 1e-4
# Costs are quadratic in biases and in the output layer, so that their differences are exact but for rounding,
# 1e-16/STEP of the cost; by an angle there is a term STEP^2/6 times the third derivative.
WITHIN = 2e-7

CASES = [
    (layers, size, cost) for layers in (1, 2, 3) for size in (2, 3) for cost in ("input", "standard", "rectangular")
]


class NotGeneric(Exception):
    """A point is close to a threshold, or a layer truncates next to nothing or everything."""


class Network:
    """Weights D_l R_l of given cumulative parts, and labelled points."""

    def __init__(self, layers: int, size: int, outputs: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.points = rng.normal(size=(12, size))
        self.labels = np.arange(12) % 3
        self.targets = rng.normal(size=(3, outputs))
        self.weights = rng.uniform(0.05, 0.2, size=12)
        self.scales = rng.uniform(0.5, 2.0, size=(layers, size))
        self.state = {
            "bias": rng.normal(size=(layers, size)) + 0.5,
            "rotation": np.stack([sl.expm((a := rng.normal(size=(size, size))) - a.T) for _ in range(layers)]),
            "output_weights": rng.normal(size=(outputs, size)),
            "output_bias": rng.normal(size=outputs),
        }

    def cost(self, kind: str, **changed: np.ndarray) -> float:
        """Forward pass; the labels are pulled back through all layers for C_in."""
        given = self.state | changed
        weights, bias = np.eye(self.points.shape[1]), np.zeros(self.points.shape[1])
        features, generic = self.points, True
        for beta, turn, scale in zip(given["bias"], given["rotation"], self.scales, strict=True):
            cumulative = scale[:, None] * turn
            own = cumulative @ np.linalg.inv(weights)
            shift = cumulative @ beta - own @ bias
            active = features @ own.T + shift
            generic &= np.abs(active).min() > CLEAR and 0.3 < (active > 0).mean() < 0.9
            features, weights, bias = np.maximum(active, 0.0), cumulative, cumulative @ beta
        if not (changed or generic):
            raise NotGeneric
        # x^(L+1) = W^(L+1) (W^(L))^-1 (x^(L) - b^(L)) + b^(L+1): the last layer in ordinary parameters
        last = given["output_weights"] @ np.linalg.inv(weights)
        outputs = features @ last.T + given["output_bias"] - last @ bias
        gaps = outputs - self.targets[self.labels]
        if kind == "input":
            gaps = gaps @ np.linalg.inv(given["output_weights"]).T
        return float(0.5 * (self.weights * (gaps**2).sum(axis=1)).sum())

    def slope(self, kind: str, name: str) -> np.ndarray:
        """Central differences by each entry; for rotations Omega = -1/2 dC/dphi in each plane."""
        value = self.state[name]
        slope = np.zeros_like(value)
        for at in np.ndindex(*value.shape):
            if name == "rotation":
                layer, first, second = at
                generator = np.zeros(value.shape[1:])
                generator[first, second], generator[second, first] = 1.0, -1.0
                moved = [value.copy(), value.copy()]
                for sign, one in zip((1, -1), moved, strict=True):
                    one[layer] = sl.expm(sign * STEP * generator) @ one[layer]
                factor = -0.5 if first != second else 0.0
            else:
                moved = [value.copy(), value.copy()]
                moved[0][at] += STEP
                moved[1][at] -= STEP
                factor = -1.0
            costs = [self.cost(kind, **{name: one}) for one in moved]
            slope[at] = factor * (costs[0] - costs[1]) / (2 * STEP)
        return slope


@functools.cache
def found(layers: int, size: int, cost: str, seed: int = 0) -> tuple[Network, dict[str, np.ndarray], str]:
    """A network, the right-hand sides of its derived flow by name, and the kind of cost."""
    kind = "input" if cost == "input" else "standard"
    outputs = {"input": size, "standard": size, "rectangular": 5 - size}[cost]  # 3 of 2, 2 of 3
    for attempt in range(1000):
        network = Network(layers, size, outputs, 100 * seed + attempt)
        try:
            network.cost(kind)
        except NotGeneric:
            continue
        break
    setting = Truncation(
        network.points,
        network.labels,
        network.targets,
        network.weights,
        network.state["rotation"] if layers > 1 else network.state["rotation"][0],
        kind,
        layers,
        network.state["output_weights"],
        network.state["output_bias"],
        moving=("rotation",) if kind == "input" else ("rotation", "output"),
    )
    (system,) = derive_truncation(setting).systems
    sizes = setting.sizes
    values = IndexedValues({}, {axis.size: sizes[str(axis.size)] for axis in system.sets})
    for array in (*system.parameters, *system.states):
        value = np.asarray(network.state.get(array.binding, getattr(setting, array.binding, None)))
        value = value if array.slot is None else value[array.slot[1]]
        if layers == 1 and array.binding in ("bias", "rotation"):
            value = value.reshape(value.shape[-len(array.axes) :])
        values.arrays[array.name] = value
    for item in system.definitions:
        values.arrays[item.target.name] = values.defined(item, sizes)
    rates = {}
    for item in (*system.equations, *(o for o in system.observables if o.target.name == "loss")):
        rates.setdefault(item.target.binding, []).append(values.defined(item, sizes))
    return network, {name: np.stack(parts) for name, parts in rates.items()}, kind


@pytest.mark.parametrize(("layers", "size", "cost"), CASES)
def test_rates_are_gradients_of_the_networks_cost(layers: int, size: int, cost: str) -> None:
    network, rates, kind = found(layers, size, cost)
    assert rates["loss"][0] == pytest.approx(network.cost(kind), rel=1e-12)
    names = ["bias", "rotation", *(("output_weights", "output_bias") if kind == "standard" else ())]
    for name in names:
        slope = network.slope(kind, name)
        rate = rates[name].reshape(slope.shape)
        assert np.abs(rate - slope).max() < WITHIN * max(1.0, np.abs(slope).max()), name
        assert np.abs(slope).max() > 1e-3


@pytest.mark.parametrize("size", [2, 3, 5])
def test_omega_of_one_layer(size: int) -> None:
    """Antisymmetric, and -1/2 of the derivative by each angle."""
    network, rates, kind = found(1, size, "input", seed=size)
    omega = rates["rotation"][0]
    assert np.abs(omega + omega.T).max() < 1e-14
    assert np.abs(omega - network.slope(kind, "rotation")[0]).max() < WITHIN * max(1.0, np.abs(omega).max())


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (2, 3)])
def test_a_fully_truncated_cluster_relaxes_with_the_gram_matrix(shape: tuple[int, int]) -> None:
    """beta' = -m G (beta + ytilde), G = W^T W, for square and other output layers; a layer behind keeps it."""
    outputs, size = shape
    rng = np.random.default_rng(5)
    points, targets = rng.normal(size=(4, size)), rng.normal(size=(1, outputs))
    weights, bias = rng.normal(size=shape), rng.normal(size=outputs)
    setting = Truncation(
        points,
        [0] * 4,
        targets,
        [0.1, 0.2, 0.3, 0.4],
        cost="standard",
        layers=2,
        output_weights=weights,
        output_bias=bias,
    )
    (system,) = derive_truncation(setting).systems
    beta = [np.full(size, -50.0), np.full(size, 100.0)]  # all below the first thresholds, all above the second
    values = IndexedValues({}, {axis.size: setting.sizes[str(axis.size)] for axis in system.sets})
    for array in (*system.parameters, *system.states):
        value = beta[array.slot[1]] if array.binding == "bias" else getattr(setting, array.binding)
        if array.binding == "rotation":
            value = value[array.slot[1]]
        values.arrays[array.name] = np.asarray(value)
    for item in system.definitions:
        values.arrays[item.target.name] = values.defined(item, setting.sizes)
    first, second = (values.defined(item, setting.sizes) for item in system.equations)
    pulled_back = np.linalg.pinv(weights) @ (targets[0] - bias)
    expected = -1.0 * weights.T @ weights @ (beta[0] + pulled_back)
    assert np.abs(first - expected).max() < 1e-12 * np.abs(expected).max()
    assert np.array_equal(second, np.zeros(size))
