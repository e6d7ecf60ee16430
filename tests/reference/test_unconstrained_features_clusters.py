"""Truncated clusters as unconstrained features, the spectral gap, and where NC2 and NC3 end.

The network here is written from its definition: hidden layers as truncation maps in input space, the standard cost of
its outputs, and a gradient by complex steps. It knows neither that clusters are points nor any law of the flow.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import hermiton as hm
from hermiton.numerics.features import Features
from hermiton.theory.derivation import Derivation
from hermiton.theory.systems import instantiate
from hermiton.theory.unconstrained_features import UnconstrainedFeatures
from hermiton.theory.unconstrained_features.endpoint import EIGENVALUE, C, end_eigenvalue, end_metrics, n, x

Array = NDArray[np.float64]


@functools.cache
def derived(bias: bool) -> Derivation:
    return hm.derive(UnconstrainedFeatures(bias=bias))


def solved(setting: UnconstrainedFeatures, start: Features, times: Any) -> Any:
    return hm.solve(setting, start, times, rtol=1e-10, derivation=derived(setting.bias)).data


# -- a network whose layers have truncated their clusters -------------------------------------------------------------

TURN = np.pi / 2 + 0.2
Q = np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]])
ROTATIONS = (-Q, Q)  # layer c looks away from cluster c
LABELS = np.array([0, 0, 0, 1, 1])
INPUTS = 5 * np.where(LABELS == 0, 1, -1) * (Q.T @ np.ones((2, 1))) + np.random.default_rng(1).normal(size=(2, 5)) / 4


def sectors(beta: Any) -> list[Array]:
    """Outputs of the hidden layers in input space, and which coordinates each keeps: (2, N) a layer."""
    z, kept = INPUTS, []
    for c, R in enumerate(ROTATIONS):
        u = R @ (z + beta[:, c : c + 1])
        kept.append(u.real > 0)
        z = R.T @ np.where(kept[-1], u, 0) - beta[:, c : c + 1]
    return [z, *kept]


def standard_cost(weights: Array, y: Any) -> Any:
    W, beta, b = y[:4].reshape(2, 2), y[4:8].reshape(2, 2), y[8:]
    outputs = W @ sectors(beta)[0] + b[:, None]
    return (weights * (outputs - np.eye(2)[:, LABELS]) ** 2).sum() / 2


def descent(weights: Array, moving: slice = slice(0, 10)) -> Callable[[float, Array], Array]:
    def velocity(_: float, y: Array) -> Array:
        slope = np.zeros(10)
        slope[moving] = [standard_cost(weights, y + 1e-30j * e).imag / 1e-30 for e in np.eye(10)[moving]]
        return -slope

    return velocity


def trained(weights: Array, y: Array, times: Array, moving: slice = slice(0, 10)) -> Array:
    """States of the flow; every cluster has to stay truncated by its own layer, and kept by the other."""
    states = solve_ivp(descent(weights, moving), (0, times[-1]), y, "DOP853", times, rtol=1e-10, atol=1e-12).y.T
    for state in states:
        _, first, second = sectors(state[4:8].reshape(2, 2))
        assert (first == (LABELS == 1)).all()
        assert (second == (LABELS == 0)).all()
    return np.asarray(states)


def begin() -> Array:
    rng = np.random.default_rng(4)
    W = 2 * np.eye(2) + 0.2 * rng.normal(size=(2, 2))
    beta = -0.4 * np.array([[1, -1], [-1, 1]]) + 0.1 * rng.normal(size=(2, 2))
    return np.concatenate([W.ravel(), beta.ravel(), 0.1 * rng.normal(size=2)])


def test_truncated_clusters_are_unconstrained_features() -> None:
    """Equal masses m: the flow of W_out, -beta_c and b_out at time s is that of W, H and b at time m s."""
    m, times = 0.75, np.array([0.2, 1.0, 4.0])
    weights = m * np.array([0.2, 0.3, 0.5, 0.6, 0.4])
    y = begin()
    states = trained(weights, y, times)
    start = Features(y[:4].reshape(2, 2), -y[4:8].reshape(2, 2), y[8:])
    data = solved(UnconstrainedFeatures(2, 1, 2), start, m * times)
    np.testing.assert_allclose(data["W"].values.reshape(3, 4), states[:, :4], rtol=0, atol=1e-8)
    np.testing.assert_allclose(-data["H"].values.reshape(3, 4), states[:, 4:8], rtol=0, atol=1e-8)
    np.testing.assert_allclose(data["b"].values, states[:, 8:], rtol=0, atol=1e-8)
    costs = [standard_cost(weights, state) for state in states]
    np.testing.assert_allclose(m * data["loss"].values, costs, rtol=1e-6)


def test_unequal_masses_keep_the_imbalance_and_slow_the_bound_down() -> None:
    weights = np.array([0.1, 0.2, 0.1, 1.5, 0.5])  # masses .4 and 2
    times, y = np.linspace(0, 4, 9), begin()
    states = trained(weights, y, times)
    W, beta = states[:, :4].reshape(-1, 2, 2), states[:, 4:8].reshape(-1, 2, 2)
    K = np.einsum("tai,taj->tij", W, W) - np.einsum("tic,tjc->tij", beta, beta)
    np.testing.assert_allclose(K, np.broadcast_to(K[0], K.shape), rtol=0, atol=1e-8)
    mu = np.linalg.eigvalsh(K[0])[0]
    assert mu > 1
    costs = np.array([standard_cost(weights, state) for state in states])
    assert (costs <= costs[0] * np.exp(-2 * mu * 0.4 * times) * (1 + 1e-7)).all()
    # The bound for equal masses, with the mean mass in it, does not hold: the least mass is what counts.
    late = -np.diff(np.log(costs[-2:]))[0] / (times[-1] - times[-2])
    assert late < 2 * mu * 1.2


def test_truncated_clusters_at_a_fixed_output_layer() -> None:
    """beta + ytilde decays by exp(-m G s), each cluster with its own mass."""
    weights, times, y = np.array([0.2, 0.2, 0.3, 0.9, 0.4]), np.array([0.3, 1.0]), begin()
    W, b = y[:4].reshape(2, 2), y[8:]
    target = np.linalg.solve(W, np.eye(2) - b[:, None])
    first = y[4:8].reshape(2, 2) + target
    for time, state in zip(times, trained(weights, y, times, slice(4, 8)), strict=True):
        gap = state[4:8].reshape(2, 2) + target
        for c, m in enumerate((0.7, 1.3)):
            np.testing.assert_allclose(gap[:, c], expm(-m * W.T @ W * time) @ first[:, c], rtol=0, atol=1e-9)


# -- the spectral gap -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_gap_with_several_samples_and_decay(bias: bool, decay: float) -> None:
    """W'W >= exp(-2 lambda s) K_0; without decay the cost decays at the rate 2 mu/k at least."""
    setting = UnconstrainedFeatures(
        3, 2, 3, bias=bias, decay_weights=decay, decay_features=decay, normalisation="samples"
    )
    rng = np.random.default_rng(6)
    W, H = 2 * np.eye(3) + 0.3 * rng.normal(size=(3, 3)), 0.3 * rng.normal(size=(3, 6))
    mu = np.linalg.eigvalsh(W.T @ W - H @ H.T)[0]
    assert mu > 0.5
    times = np.linspace(0, 8, 9)
    data = solved(setting, Features(W, H), times)
    least = np.linalg.eigvalsh(np.einsum("tai,taj->tij", data["W"].values, data["W"].values))[:, 0]
    assert (least >= mu * np.exp(-2 * decay * times) - 1e-9).all()
    if decay == 0:
        loss = data["loss"].values
        assert (loss <= loss[0] * np.exp(-2 * mu * times / 6) * (1 + 1e-8)).all()


# -- where NC2 and NC3 end --------------------------------------------------------------------------------------------


def distances(W: Array, means: Array, frame: Array) -> tuple[float, float]:
    """NC2 and NC3 from a frame's Gram matrix; class means are columns."""
    gram = means.T @ means
    nc2 = np.linalg.norm(gram / np.linalg.norm(gram) - frame / np.linalg.norm(frame))
    return float(nc2), float(np.linalg.norm(W / np.linalg.norm(W) - means.T / np.linalg.norm(means)))


def class_means(H: Array, classes: int) -> Array:
    return np.asarray(H.reshape(len(H), classes, -1).mean(axis=2))


def predicted(K: Array, samples: int) -> dict[str, float]:
    """NC2 and NC3 at the end by the derived forms, from the eigenvalues of the conserved K."""
    ends = [end_eigenvalue().subs({x: sp.Float(value, 30), n: samples}) for value in np.linalg.eigvalsh(K)]
    values = {EIGENVALUE[sp.Integer(i)]: end for i, end in enumerate(ends)}
    written = {name: instantiate(form, {C: len(ends)}) for name, form in end_metrics().items()}
    return {name: float(sp.sqrt(form.xreplace(values)).evalf()) for name, form in written.items()}


@pytest.mark.parametrize("samples", [1, 2])
def test_without_decay_collapse_stops_where_the_imbalance_says(samples: int) -> None:
    """A generic start with K_0 > 0, no bias: the fit is exact, NC2 and NC3 are not 0 but what K_0 predicts."""
    setting = UnconstrainedFeatures(3, samples, 3, bias=False)
    rng = np.random.default_rng(8)
    W = np.diag([1.2, 2.0, 2.8]) + 0.2 * rng.normal(size=(3, 3))
    H = 0.2 * rng.normal(size=(3, 3 * samples))
    K = W.T @ W - H @ H.T
    assert np.linalg.eigvalsh(K)[0] > 0.3
    data = solved(setting, Features(W, H), [60.0])
    assert data["loss"].values[0] < 1e-16
    end = data["W"].values[0]
    g = np.linalg.eigvalsh(K)
    np.testing.assert_allclose(np.linalg.eigvalsh(end.T @ end), (g + np.sqrt(g**2 + 4 * samples)) / 2, rtol=1e-7)
    nc2, nc3 = distances(end, class_means(data["H"].values[0], 3), np.eye(3))
    wanted = predicted(K, samples)
    assert min(nc2, nc3) > 0.05
    assert nc2 == pytest.approx(wanted["nc2"], abs=1e-7)
    assert nc3 == pytest.approx(wanted["nc3"], abs=1e-7)


def test_the_example_that_stops() -> None:
    """K_0 = diag(3/2, 8/3): W'W ends at diag(2, 3)."""
    setting = UnconstrainedFeatures(2, 1, 2, bias=False)
    first = np.diag(np.sqrt([1.75, 2.75]))
    H = np.diag(np.sqrt([0.25, 2.75 - 8 / 3])) @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    data = solved(setting, Features(first, H), [40.0])
    W = data["W"].values[0]
    np.testing.assert_allclose(W.T @ W, np.diag([2, 3]), rtol=0, atol=1e-7)
    nc2, nc3 = distances(W, data["H"].values[0], np.eye(2))
    assert nc2**2 == pytest.approx(2 - 5 * np.sqrt(26) / 13, abs=1e-8)
    assert nc3**2 == pytest.approx(2 - 4 * np.sqrt(6) / 5, abs=1e-8)


@pytest.mark.parametrize("decay", [0.0, 0.02])
def test_decay_removes_what_stops_the_collapse(decay: float) -> None:
    """Collapsed clusters with bias, to s = 400: NC2 and NC3 stay without decay, and vanish with it.

    At lambda = .02 the imbalance has fallen by exp(-16), and the rows' mean of W, which bias makes useless, by exp(-8).
    """
    setting = UnconstrainedFeatures(3, 1, 3, decay_weights=decay, decay_features=decay)
    rng = np.random.default_rng(9)
    start = Features(np.eye(3) + 0.5 * rng.normal(size=(3, 3)), 0.5 * rng.normal(size=(3, 3)))
    data = solved(setting, start, [400.0])
    means = data["H"].values[0]
    frame = np.eye(3) - 1 / 3
    nc2, nc3 = distances(data["W"].values[0], means - means.mean(axis=1, keepdims=True), frame)
    if decay:
        assert nc2 < 1e-4
        assert nc3 < 1e-3
    else:
        assert data["loss"].values[0] < 1e-16
        assert min(nc2, nc3) > 0.05


@pytest.mark.parametrize("bias", [True, False])
def test_a_balanced_start_without_decay_collapses(bias: bool) -> None:
    """K_0 = 0, rows of W and b symmetric where there is a bias: WW' = sqrt(n) P and H = W'Y/sqrt(n) in the end."""
    setting = UnconstrainedFeatures(3, 4, 5, bias=bias)
    rng, Y = np.random.default_rng(10), np.array(setting.labels, dtype=float)
    P = np.eye(3) - bias / 3
    W = P @ rng.normal(size=(3, 5)) / 2
    V = np.linalg.qr(np.column_stack([np.ones(12), rng.normal(size=(12, 3))]))[0][:, 1:]  # columns sum to 0
    H = W.T @ V.T
    np.testing.assert_allclose(W.T @ W, H @ H.T, rtol=0, atol=1e-12)
    data = solved(setting, Features(W, H, np.full(3, 1 / 3)), [30.0])
    end = data["W"].values[0]
    np.testing.assert_allclose(end @ end.T, 2 * P, rtol=0, atol=1e-7)
    np.testing.assert_allclose(data["H"].values[0], end.T @ Y / 2, rtol=0, atol=1e-7)
