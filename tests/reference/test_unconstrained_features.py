"""Collapse of unconstrained features: compiled flow, closed forms, printed numbers, and a flow from the cost alone.

The printed numbers were made by a separate code. The independent flow knows the cost only: its gradient is a complex
step, integrated by SciPy.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.special import expi

import hermiton as hm
from hermiton.numerics.features import CollapsedFeatures, Features
from hermiton.theory.derivation import Derivation
from hermiton.theory.systems import instantiate
from hermiton.theory.unconstrained_features import UnconstrainedFeatures
from hermiton.theory.unconstrained_features.central_path import OMEGA, RANK, clocks, omega, path_metrics
from hermiton.theory.unconstrained_features.riccati import riccati_solution
from hermiton.theory.unconstrained_features.solutions import closed_forms, fixed_point

Array = NDArray[np.float64]
S5, S3 = float(np.sqrt(5)), float(np.sqrt(3))


@functools.cache
def derived(loss: str, bias: bool) -> Derivation:
    return hm.derive(UnconstrainedFeatures(loss=loss, bias=bias))  # type: ignore[arg-type]


def frame(setting: UnconstrainedFeatures) -> Array:
    """U, (C, d), with U U' = I - 11'/C or U U' = I, in general position."""
    rng = np.random.default_rng(7)
    classes, dimension = setting.classes, setting.dimension
    if not setting.simplex:
        return np.linalg.qr(rng.normal(size=(dimension, classes)))[0].T
    centred = np.linalg.qr(np.eye(classes) - 1 / classes)[0][:, : classes - 1]
    return centred @ np.linalg.qr(rng.normal(size=(dimension, classes - 1)))[0].T


def collapsed(setting: UnconstrainedFeatures, alpha: float, eta: float, zeta: float = 0.0) -> Features:
    U, Y = frame(setting), np.array(setting.labels)
    return Features(alpha * U, eta * U.T @ Y, np.full(setting.classes, zeta))


def solved(setting: UnconstrainedFeatures, start: Features, times: Any, rtol: float = 1e-11) -> Any:
    return hm.solve(setting, start, times, rtol=rtol, derivation=derived(setting.loss, setting.bias))


def coordinates(setting: UnconstrainedFeatures, solution: Any) -> tuple[Array, Array]:
    """alpha and eta of a solution, which has to be collapsed."""
    U = frame(setting)
    directions = U, U.T @ np.array(setting.labels)
    values = []
    for name, direction in zip("WH", directions, strict=True):
        array = solution.data[name].values
        value = (array * direction).sum(axis=(1, 2)) / (direction**2).sum()
        np.testing.assert_allclose(array, value[:, None, None] * direction, rtol=0, atol=1e-9)
        values.append(value)
    return values[0], values[1]


def product(setting: UnconstrainedFeatures, start: tuple[float, float], times: Any) -> Array:
    alpha, eta = coordinates(setting, solved(setting, collapsed(setting, *start), times))
    return alpha * eta


def form(name: str, **values: float) -> float:
    """A derived closed form at numbers, rounded once."""
    expression = closed_forms()[name]
    return float(expression.xreplace({s: sp.Rational(values[s.name]) for s in expression.free_symbols}).evalf(30))


# -- printed numbers --------------------------------------------------------------------------------------------------


def test_balanced_without_decay() -> None:
    setting = UnconstrainedFeatures(classes=3, per_class=5, dimension=4)
    printed = [0.1762782930, 0.6669226208]
    np.testing.assert_allclose(product(setting, (0.1 * S5, 0.1), [0.5, 1]), printed, rtol=0, atol=2e-10)
    derived_values = [form("balanced", n=5, k=1, p_0=0.01 * S5, s=s) for s in (0.5, 1)]
    np.testing.assert_allclose(derived_values, printed, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("decays", "printed"), [((0.01, 0.002), 0.97316718), ((0.02, 0.02), 0.88), ((0.3, 0.2), 0.0)])
def test_fixed_points_with_decay(decays: tuple[float, float], printed: float) -> None:
    setting = UnconstrainedFeatures(
        classes=3, per_class=4, dimension=4, decay_weights=decays[0], decay_features=decays[1], normalisation="samples"
    )
    (value,) = product(setting, (0.4, 0.3), [4000])  # alpha and eta approach their ratio at a rate of 1e-2 only
    assert value == pytest.approx(printed, abs=1e-8)
    point = {"n": 4, "k": 12, "lambda_W": decays[0], "lambda_H": decays[1]}
    expression = fixed_point()["p"]
    claimed = float(expression.xreplace({s: sp.Rational(point[s.name]) for s in expression.free_symbols}))
    assert max(claimed, 0.0) == pytest.approx(printed, abs=5e-9)


def test_logistic_with_decay() -> None:
    setting = UnconstrainedFeatures(
        classes=3, per_class=4, dimension=4, decay_weights=0.02, decay_features=0.02, normalisation="samples"
    )
    printed = [0.7844613606, 0.8799991402]
    np.testing.assert_allclose(product(setting, (0.2, 0.1), [20, 60]), printed, rtol=0, atol=2e-10)
    values = [form("ridge", **{"n": 4, "k": 12, "lambda": 0.02, "p_0": 0.02, "s": s}) for s in (20, 60)]
    np.testing.assert_allclose(values, printed, rtol=0, atol=1e-10)


def test_cross_entropy() -> None:
    setting = UnconstrainedFeatures(classes=4, per_class=3, dimension=3, loss="cross_entropy")
    times, printed = np.array([1, 3, 10, 40]), np.array([2.02449293, 4.61258801, 6.48537872, 8.24287873])
    values = product(setting, (0.3 * S3, 0.3), times)
    np.testing.assert_allclose(values, printed, rtol=0, atol=1e-8)
    # the implicit solution, by SciPy's Ei and by the derived expression
    start = 0.09 * S3
    grown = 3 * np.log(values) + expi(values) - 3 * np.log(start) - expi(start)
    np.testing.assert_allclose(grown, 2 * S3 * 4 * times, rtol=1e-9)
    assert form("implicit", C=4, p=2.5) == pytest.approx(3 * np.log(2.5) + expi(2.5), rel=1e-14)


def test_within_class_decay() -> None:
    """Small differences in the row space of W, in the compiled flow; those in its kernel stay."""
    times, printed = (0.5, 1, 2), [0.94164583, 0.69471872, 0.12845964]
    np.testing.assert_allclose([form("within_class", n=4, k=1, p_0=0.02, s=s) for s in times], printed, atol=5e-9)
    setting = UnconstrainedFeatures(classes=3, per_class=4, dimension=5)
    start, U = collapsed(setting, 0.2, 0.1), frame(setting)
    assert 0.2**2 == pytest.approx(4 * 0.1**2)
    kernel = np.linalg.svd(U)[2][-1]
    seen, blind = 1e-4 * U[0] / np.linalg.norm(U[0]), 1e-4 * kernel
    H = start.H.copy()
    H[:, 0] += seen + blind
    H[:, 1] -= seen + blind
    gaps = solved(setting, Features(start.W, H), times, rtol=1e-12).data["H"].values
    gap = (gaps[:, :, 0] - gaps[:, :, 1]) / 2e-4
    np.testing.assert_allclose(gap @ (seen / 1e-4), printed, rtol=0, atol=1e-6)
    np.testing.assert_allclose(gap @ kernel, 1, rtol=0, atol=1e-6)


def test_within_class_decay_with_decay() -> None:
    """As above, with equal decay: the row space by the derived form, the kernel by decay alone."""
    setting = UnconstrainedFeatures(classes=3, per_class=4, dimension=5, decay_weights=0.3, decay_features=0.3)
    times, start, U = (0.5, 1, 2), collapsed(setting, 0.2, 0.1), frame(setting)
    kernel = np.linalg.svd(U)[2][-1]
    seen = U[0] / np.linalg.norm(U[0])
    H = start.H.copy()
    H[:, 0] += 1e-4 * (seen + kernel)
    H[:, 1] -= 1e-4 * (seen + kernel)
    gaps = solved(setting, Features(start.W, H), times, rtol=1e-12).data["H"].values
    gap = (gaps[:, :, 0] - gaps[:, :, 1]) / 2e-4
    wanted = [form("within_class_ridge", **{"n": 4, "k": 1, "lambda": 0.3, "p_0": 0.02, "s": s}) for s in times]
    np.testing.assert_allclose(gap @ seen, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(gap @ kernel, np.exp(-0.3 * np.array(times)), rtol=0, atol=1e-6)


# -- closed forms without printed numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "eta"), [(0.9, 0.1), (0.2, 0.5), (1.5, 1.2)])
def test_unbalanced_without_decay(alpha: float, eta: float) -> None:
    setting = UnconstrainedFeatures(classes=3, per_class=4, dimension=3, bias=False)
    times = (0.3, 1.0, 3.0)
    values = product(setting, (alpha, eta), times)
    c = abs(alpha**2 - 4 * eta**2) / 4
    first = float(np.exp(np.arcsinh(alpha * eta / c)))
    X = [form("unbalanced", n=4, k=1, c=c, X_0=first, s=s) for s in times]
    np.testing.assert_allclose([c / 2 * (x - 1 / x) for x in X], values, rtol=1e-9)


def test_bias() -> None:
    setting = UnconstrainedFeatures(classes=4, per_class=2, dimension=3, normalisation="samples")
    solution = solved(setting, collapsed(setting, 0.5, 0.3, 0.9), [0.5, 2])
    wanted = np.array([form("zeta", C=4, n=2, k=8, zeta_0=0.9, s=s) for s in (0.5, 2)])
    np.testing.assert_allclose(solution.data["b"].values, np.tile(wanted[:, None], 4), rtol=1e-9)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("normalisation", ["one", "samples"])
def test_riccati_against_direct_integration(decay: float, normalisation: Any) -> None:
    """A generic balanced start, within-class parts included."""
    setting = UnconstrainedFeatures(
        dimension=5, bias=False, decay_weights=decay, decay_features=decay, normalisation=normalisation
    )
    rng = np.random.default_rng(3)
    W = rng.normal(size=(3, 5)) / 2
    H = W.T @ np.linalg.qr(rng.normal(size=(12, 3)))[0].T
    k, Y = setting.normaliser, np.array(setting.labels)
    Q = np.vstack([W, H.T])
    F = np.block([[np.zeros((3, 3)), Y], [Y.T, np.zeros((12, 12))]]) - k * decay * np.eye(15)
    f, V = np.linalg.eigh(F)
    times = np.array([0.5, 2.0])
    solution = solved(setting, Features(W, H), times, rtol=1e-12).data
    for n, time in enumerate(times / k):
        small = np.abs(f) < 1e-12
        integral = np.where(small, time, np.expm1(2 * f * time) / np.where(small, 1, 2 * f))  # as `riccati_integral`
        M = V * integral @ V.T
        letters = {"e^{Fs}": V * np.exp(f * time) @ V.T, "Q_0": Q, "Q_0^T": Q.T}
        inverse = np.linalg.inv(np.eye(5) + Q.T @ M @ Q)
        word = [letters[x.name] if isinstance(x, sp.Symbol) else inverse for x in riccati_solution().args]
        now = np.vstack([solution["W"].values[n], solution["H"].values[n].T])
        np.testing.assert_allclose(np.linalg.multi_dot(word), now @ now.T, rtol=0, atol=1e-10)


def test_spectral_gap_of_a_positive_imbalance() -> None:
    """lambda_min(W'W) >= lambda_min(W_0'W_0 - H_0H_0') > 0, and the cost decays at twice that rate at least."""
    setting = UnconstrainedFeatures(classes=3, per_class=1, dimension=3)
    rng = np.random.default_rng(11)
    W, H = 2 * np.eye(3) + 0.3 * rng.normal(size=(3, 3)), 0.3 * rng.normal(size=(3, 3))
    gap = np.linalg.eigvalsh(W.T @ W - H @ H.T)[0]
    assert gap > 0.5
    times = np.linspace(0, 2, 9)
    data = solved(setting, Features(W, H), times).data
    grams = np.einsum("tai,taj->tij", data["W"].values, data["W"].values)
    assert (np.linalg.eigvalsh(grams)[:, 0] >= gap - 1e-9).all()
    loss = data["loss"].values
    assert (loss <= loss[0] * np.exp(-2 * gap * times) * (1 + 1e-9)).all()


# -- a flow that knows the cost only ----------------------------------------------------------------------------------


def cost(setting: UnconstrainedFeatures, W: Any, H: Any, b: Any) -> Any:
    """From the definition, for stacks of (W, H, b), which may be complex."""
    samples = setting.classes * setting.per_class
    own = np.repeat(np.arange(setting.classes), setting.per_class)
    outputs = W @ H + b[..., None]
    if setting.loss == "mse":
        label = np.eye(setting.classes)[:, own]
        fit = ((outputs - label) ** 2).sum(axis=(-1, -2)) / 2
    else:
        fit = (np.log(np.exp(outputs).sum(axis=-2)) - outputs[..., own, np.arange(samples)]).sum(axis=-1)
    k = samples if setting.normalisation == "samples" else 1
    w, h = setting.decay_weights, setting.decay_features
    return fit / k + w / 2 * (W**2).sum(axis=(-1, -2)) + h / 2 * (H**2).sum(axis=(-1, -2))


def descent(setting: UnconstrainedFeatures) -> Callable[[float, Array], Array]:
    classes, dimension, samples = setting.classes, setting.dimension, setting.classes * setting.per_class
    first, second = classes * dimension, (classes + samples) * dimension
    size = second + classes

    def velocity(_: float, y: Array) -> Array:
        moved = y + 1e-30j * np.eye(size)
        W, H = moved[:, :first].reshape(-1, classes, dimension), moved[:, first:second].reshape(-1, dimension, samples)
        bias = moved[:, second:] if setting.bias else np.zeros((size, classes))
        return np.asarray(-cost(setting, W, H, bias).imag / 1e-30)

    return velocity


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_against_a_flow_from_the_cost_alone(loss: Any, bias: bool) -> None:
    """Generic start, unequal decays, d = C; every array at every time."""
    setting = UnconstrainedFeatures(
        3, 2, 3, loss=loss, decay_weights=0.07, decay_features=0.03, bias=bias, normalisation="samples"
    )
    rng = np.random.default_rng(5)
    start = Features(rng.normal(size=(3, 3)), rng.normal(size=(3, 6)), rng.normal(size=3) if bias else None)
    assert start.b is not None
    times = np.array([0.5, 2.0, 8.0])
    y = np.concatenate([start.W.ravel(), start.H.ravel(), start.b])
    states = []
    for begin, end in zip((0.0, *times[:-1]), times, strict=True):
        y = solve_ivp(descent(setting), (begin, end), y, method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
        states.append(y)
    solution = solved(setting, start, times, rtol=1e-10).data
    wanted = np.array(states)
    np.testing.assert_allclose(solution["W"].values.reshape(3, -1), wanted[:, :9], rtol=0, atol=1e-8)
    np.testing.assert_allclose(solution["H"].values.reshape(3, -1), wanted[:, 9:27], rtol=0, atol=1e-8)
    if bias:
        np.testing.assert_allclose(solution["b"].values, wanted[:, 27:], rtol=0, atol=1e-8)
    costs = [cost(setting, x[:9].reshape(3, 3), x[9:27].reshape(3, 6), x[27:] if bias else np.zeros(3)) for x in wanted]
    np.testing.assert_allclose(solution["loss"].values, costs, rtol=1e-8)


# -- the central path -------------------------------------------------------------------------------------------------


def whitened(H: Array, classes: int) -> Array:
    """Features with within-class covariance I."""
    blocks = H.reshape(len(H), classes, -1)
    gaps = (blocks - blocks.mean(axis=2, keepdims=True)).reshape(len(H), -1)
    values, vectors = np.linalg.eigh(gaps @ gaps.T / H.shape[1])
    return np.asarray(vectors / np.sqrt(values) @ vectors.T @ H)


def test_cost_and_nc1_on_the_path() -> None:
    """A least-squares fit of whitened features by NumPy: cost and NC1 by the derived forms in the singular values."""
    classes, n, d = 4, 6, 5
    N, Y = classes * n, np.repeat(np.eye(classes), n, axis=1)
    rng = np.random.default_rng(12)
    H = whitened(rng.normal(size=(d, classes)) @ Y + rng.normal(size=(d, N)), classes)
    H1 = np.vstack([H, np.ones(N)])
    fit = np.linalg.lstsq(H1.T, Y.T, rcond=None)[0].T
    means = H.reshape(d, classes, n).mean(axis=2)
    centred = means - means.mean(axis=1, keepdims=True)
    gaps = H - np.repeat(means, n, axis=1)
    wanted = {
        "cost": ((fit @ H1 - Y) ** 2).sum() / (2 * N),
        "nc1": np.trace(gaps @ gaps.T / N @ np.linalg.pinv(centred @ centred.T / classes, rcond=1e-10)) / classes,
    }
    values = {OMEGA[sp.Integer(j)]: sp.Float(v, 30) for j, v in enumerate(np.linalg.svd(centred)[1][: classes - 1])}
    for name, expression in path_metrics().items():
        at_classes = expression.subs(sp.Symbol("C", positive=True), classes)
        value = instantiate(at_classes, {RANK: classes - 1}).xreplace(values)
        assert float(value) == pytest.approx(wanted[name], rel=1e-12)


@pytest.mark.parametrize(("rule", "rate"), [("projected", 1 / 6), ("whitened", 1 / 24)])
def test_central_path(rule: str, rate: float) -> None:
    """Small steps on the least-squares cost with either renormalisation; the defect of the clock is O(step)."""
    classes, n, d = 4, 6, 5
    N, Y = classes * n, np.repeat(np.eye(classes), n, axis=1)
    rng = np.random.default_rng(2)
    first = whitened(
        rng.normal(size=(d, classes)) @ np.repeat(np.eye(classes), n, axis=1) + rng.normal(size=(d, N)), classes
    )
    clock = sp.lambdify(omega, clocks()[rule].subs(sp.Symbol("C", positive=True), classes))

    def values(H: Array) -> Array:
        means = H.reshape(d, classes, n).mean(axis=2)
        return np.linalg.svd(means - means.mean(axis=1, keepdims=True))[1][: classes - 1]

    def defect(step: float) -> float:
        H = first
        for _ in range(round(100 / step)):
            H1 = np.vstack([H, np.ones(N)])
            fit = Y @ H1.T @ np.linalg.pinv(H1 @ H1.T)
            move = -fit[:, :d].T @ (fit @ H1 - Y) / N
            if rule == "projected":  # remove the part S (h - mu_c), S symmetric: the normal space of Sigma_W = I
                gaps = (H.reshape(d, classes, n) - H.reshape(d, classes, n).mean(axis=2, keepdims=True)).reshape(d, N)
                S = move @ gaps.T / N
                move = move - (S + S.T) / 2 @ gaps
            H = whitened(H + step * move, classes)
        return float(np.abs((clock(values(H)) - clock(values(first))) / (rate * 100) - 1).max())

    coarse, fine = defect(1.0), defect(0.5)
    assert fine < 1e-2
    assert 1.8 < coarse / fine < 2.2


@pytest.mark.parametrize(
    ("loss", "per_class", "classes", "alpha", "times", "printed"),
    [
        ("mse", 5, 3, 0.1 * S5, [0.5, 1], [0.1762782930, 0.6669226208]),
        ("cross_entropy", 3, 4, 0.3 * S3, [1, 3, 10, 40], [2.02449293, 4.61258801, 6.48537872, 8.24287873]),
    ],
)
def test_the_collapsed_equations_are_solved_by_themselves(
    loss: str, per_class: int, classes: int, alpha: float, times: list[float], printed: list[float]
) -> None:
    setting = UnconstrainedFeatures(classes=classes, per_class=per_class, dimension=5, loss=loss)  # type: ignore[arg-type]
    whole = derived(loss, setting.bias)
    reduced = replace(whole, systems=whole.systems[1:])
    start = CollapsedFeatures(alpha, alpha / np.sqrt(per_class))
    solution = hm.solve(setting, start, times, rtol=1e-11, derivation=reduced)
    np.testing.assert_allclose(solution.data["p"], printed, rtol=2e-9)
