"""What holds along every solution: the law of W'W - HH', and the symmetries of the flow."""

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import hermiton as hm
from hermiton.numerics.features import ExtendedFeatures, Features
from hermiton.theory.derivation import Derivation
from hermiton.theory.unconstrained_features import UnconstrainedFeatures

Array = NDArray[np.float64]
LOSSES = ["mse", "cross_entropy"]
TIMES = (0.4, 1.5)
C, n, d = 3, 2, 4


@functools.cache
def derived(loss: Any) -> Derivation:
    return hm.derive(UnconstrainedFeatures(loss=loss))


def setting(loss: Any, w: float = 0.0, h: float = 0.0) -> UnconstrainedFeatures:
    return UnconstrainedFeatures(C, n, d, loss=loss, decay_weights=w, decay_features=h)


def start(seed: int, scale: float) -> Features:
    rng = np.random.default_rng(seed)
    return Features(*(scale * rng.normal(size=shape) for shape in ((C, d), (d, C * n), (C,))))


def solved(of: UnconstrainedFeatures, begin: Features) -> dict[str, Array]:
    data = hm.solve(of, begin, TIMES, rtol=1e-10, derivation=derived(of.loss)).data
    return {name: data[name].values for name in ("W", "H", "b", "imbalance", "loss")}


STARTS = st.builds(start, st.integers(0, 10**6), st.floats(0.01, 2.0))


@pytest.mark.parametrize("loss", LOSSES)
@settings(max_examples=8, deadline=None)
@given(begin=STARTS, decay=st.sampled_from([0.0, 0.05, 0.4]))
def test_imbalance_decays_with_the_decay_alone(loss: str, begin: Features, decay: float) -> None:
    values = solved(setting(loss, decay, decay), begin)
    first = begin.W.T @ begin.W - begin.H @ begin.H.T
    for time, W, H, imbalance in zip(TIMES, values["W"], values["H"], values["imbalance"], strict=True):
        np.testing.assert_allclose(imbalance, W.T @ W - H @ H.T, rtol=0, atol=1e-12 * (1 + np.abs(imbalance).max()))
        np.testing.assert_allclose(imbalance, np.exp(-2 * decay * time) * first, atol=1e-8 * (1 + np.abs(first).max()))


@pytest.mark.parametrize("loss", LOSSES)
@settings(max_examples=8, deadline=None)
@given(begin=STARTS, order=st.permutations(range(C)), seed=st.integers(0, 10**6))
def test_relabelled_and_rotated_starts_have_relabelled_and_rotated_solutions(
    loss: str, begin: Features, order: list[int], seed: int
) -> None:
    of = setting(loss, 0.1, 0.02)
    R = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
    samples = (np.array(order)[:, None] * n + np.array([1, 0])).ravel()  # samples of a class exchanged as well
    assert begin.b is not None
    moved = solved(of, Features(begin.W[order] @ R, R.T @ begin.H[:, samples], begin.b[order]))
    values = solved(of, begin)
    np.testing.assert_allclose(moved["W"], values["W"][:, order] @ R, rtol=0, atol=1e-7)
    np.testing.assert_allclose(moved["H"], R.T @ values["H"][:, :, samples], rtol=0, atol=1e-7)
    np.testing.assert_allclose(moved["b"], values["b"][:, order], rtol=0, atol=1e-7)
    np.testing.assert_allclose(moved["loss"], values["loss"], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
@settings(max_examples=8, deadline=None)
@given(begin=STARTS)
def test_the_cost_never_grows(loss: str, begin: Features) -> None:
    of = setting(loss, 0.03, 0.08)
    data = hm.solve(of, begin, np.linspace(0, 2, 9), rtol=1e-10, derivation=derived(of.loss)).data
    assert (np.diff(data["loss"].values) <= 1e-9).all()


# -- two layers -------------------------------------------------------------------------------------------------------


@functools.cache
def derived_with_two_layers() -> Derivation:
    return hm.derive(UnconstrainedFeatures(layers=2, bias=False))


def solved_with_two_layers(decays: tuple[float, float, float], begin: ExtendedFeatures) -> dict[str, Array]:
    of = UnconstrainedFeatures(
        C, n, d, layers=2, bias=False, decay_weights=decays[0], decay_hidden=decays[1], decay_features=decays[2]
    )
    data = hm.solve(of, begin, TIMES, rtol=1e-10, derivation=derived_with_two_layers()).data
    return {str(name): data[name].values for name in data}


def start_with_two_layers(seed: int, scale: float) -> ExtendedFeatures:
    rng = np.random.default_rng(seed)
    return ExtendedFeatures(*(scale * rng.normal(size=shape) for shape in ((C, d), (d, d), (d, C * n))))


STARTS_WITH_TWO_LAYERS = st.builds(start_with_two_layers, st.integers(0, 10**6), st.floats(0.01, 1.5))


@settings(max_examples=8, deadline=None)
@given(begin=STARTS_WITH_TWO_LAYERS, decay=st.sampled_from([0.0, 0.05, 0.4]))
def test_both_imbalances_decay_with_the_decay_alone(begin: ExtendedFeatures, decay: float) -> None:
    values = solved_with_two_layers((decay, decay, decay), begin)
    for name, first in (
        ("imbalance_weights", begin.W2.T @ begin.W2 - begin.W1 @ begin.W1.T),
        ("imbalance", begin.W1.T @ begin.W1 - begin.H @ begin.H.T),
    ):
        for time, imbalance in zip(TIMES, values[name], strict=True):
            wanted = np.exp(-2 * decay * time) * first
            np.testing.assert_allclose(imbalance, wanted, rtol=0, atol=1e-8 * (1 + np.abs(first).max()))


@settings(max_examples=8, deadline=None)
@given(begin=STARTS_WITH_TWO_LAYERS, seed=st.integers(0, 10**6))
def test_each_layer_may_be_rotated(begin: ExtendedFeatures, seed: int) -> None:
    rng = np.random.default_rng(seed)
    R, S = (np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2))
    moved = solved_with_two_layers((0.1, 0.2, 0.05), ExtendedFeatures(begin.W2 @ R, R.T @ begin.W1 @ S, S.T @ begin.H))
    values = solved_with_two_layers((0.1, 0.2, 0.05), begin)
    np.testing.assert_allclose(moved["W2"], values["W2"] @ R, rtol=0, atol=1e-7)
    np.testing.assert_allclose(moved["W1"], R.T @ values["W1"] @ S, rtol=0, atol=1e-7)
    np.testing.assert_allclose(moved["H"], S.T @ values["H"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(moved["loss"], values["loss"], rtol=1e-7, atol=1e-9)
