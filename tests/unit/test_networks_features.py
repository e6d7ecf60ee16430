"""The arbiter of the unconstrained-features flows: slopes by finite differences, balances, known courses, refusals."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expi

from hermiton.verification.networks.neural_collapse import nc1, nc2, nc3, nc4
from hermiton.verification.networks.unconstrained_features import (
    ExtendedFeaturesRun,
    FeaturesRun,
    descend_extended_features,
    descend_features,
)

Array = NDArray[np.float64]
COUNTS = (2, 4, 1)


def start(seed: int = 0, d: int = 4, size: float = 0.7) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    return (
        size * rng.standard_normal((3, d)),
        size * rng.standard_normal((d, sum(COUNTS))),
        size * rng.standard_normal(3),
    )


def loss_by_definition(scores: Array, counts: Any, loss: str, scale: float) -> float:
    """Sample by sample, entry by entry."""
    total, column = 0.0, 0
    for label, count in enumerate(counts):
        for _ in range(count):
            s = [float(each) for each in scores[:, column]]
            if loss == "mse":
                total += 0.5 * sum((each - (row == label)) ** 2 for row, each in enumerate(s))
            else:
                total -= math.log(math.exp(s[label]) / sum(map(math.exp, s)))
            column += 1
    return total / scale


def slopes(function: Any, at: Array, h: float = 1e-5) -> Array:
    gradient = np.empty(at.shape)
    for index in np.ndindex(*at.shape):
        up, down = at.copy(), at.copy()
        up[index] += h
        down[index] -= h
        gradient[index] = (function(up) - function(down)) / (2 * h)
    return gradient


# ---- one step ----


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize(("bias", "scale"), [(True, 1.0), (False, 7.0), (True, 2.5)])
def test_a_step_is_the_derivative_of_the_objective(loss: Any, bias: bool, scale: float) -> None:
    W, H, b = start()

    def objective(W: Array, H: Array, b: Array) -> float:
        offset = b[:, None] if bias else 0.0
        value = loss_by_definition(W @ H + offset, COUNTS, loss, scale)
        return value + 0.15 * float((W**2).sum()) + 0.05 * float((H**2).sum())

    step = 0.125
    run = descend_features(
        *(W, H, b if bias else None, COUNTS),
        **{"loss": loss, "scale": scale, "decay_weights": 0.3, "decay_features": 0.1, "bias": bias},
        step=step,
        times=[0, step],
    )
    assert isinstance(run, FeaturesRun)
    np.testing.assert_array_equal(run.W[0], W)
    np.testing.assert_array_equal(run.H[0], H)
    np.testing.assert_allclose((W - run.W[1]) / step, slopes(lambda x: objective(x, H, b), W), rtol=0, atol=1e-8)
    np.testing.assert_allclose((H - run.H[1]) / step, slopes(lambda x: objective(W, x, b), H), rtol=0, atol=1e-8)
    by_bias = slopes(lambda x: objective(W, H, x), b)
    if bias:
        np.testing.assert_allclose((b - run.b[1]) / step, by_bias, rtol=0, atol=1e-8)
        assert np.abs(by_bias).max() > 0.01
    else:
        np.testing.assert_array_equal(run.b, 0.0)
    for index in (0, 1):
        scores = run.W[index] @ run.H[index] + run.b[index][:, None]
        assert abs(run.loss[index] - loss_by_definition(scores, COUNTS, loss, scale)) < 1e-13
        assert abs(run.cost[index] - objective(run.W[index], run.H[index], run.b[index])) < 1e-12


def test_a_step_of_the_extended_model_is_the_derivative_of_its_objective() -> None:
    W2, H, _ = start(d=3)
    W1 = np.random.default_rng(5).standard_normal((3, 5))
    H = np.random.default_rng(6).standard_normal((5, 7))

    def objective(W2: Array, W1: Array, H: Array) -> float:
        squares = [float((each**2).sum()) for each in (W2, W1, H)]
        return loss_by_definition(W2 @ W1 @ H, COUNTS, "mse", 7.0) + 0.1 * squares[0] + 0.2 * squares[1] + squares[2]

    decays = {"decay_classifier": 0.2, "decay_hidden": 0.4, "decay_features": 2.0}
    run = descend_extended_features(W2, W1, H, COUNTS, **decays, step=0.25, times=[0, 0.25])
    assert isinstance(run, ExtendedFeaturesRun)
    for found, at, slope in (
        (run.W2, W2, slopes(lambda x: objective(x, W1, H), W2)),
        (run.W1, W1, slopes(lambda x: objective(W2, x, H), W1)),
        (run.H, H, slopes(lambda x: objective(W2, W1, x), H)),
    ):
        np.testing.assert_array_equal(found[0], at)
        np.testing.assert_allclose((at - found[1]) / 0.25, slope, rtol=0, atol=1e-8)
    assert abs(run.cost[1] - objective(run.W2[1], run.W1[1], run.H[1])) < 1e-12
    assert abs(run.loss[1] - loss_by_definition(run.W2[1] @ run.W1[1] @ run.H[1], COUNTS, "mse", 7.0)) < 1e-13
    other = descend_extended_features(W2, W1, H, COUNTS, scale=7.0, **decays, step=0.25, times=[0, 0.25])
    np.testing.assert_array_equal(other.H, run.H)


def test_two_steps_by_hand() -> None:
    """One class, one sample, one dimension: W, H, b = 2, 1, 0 and Y = 1, step 1/4, all from old values."""
    # scores 2, error 1: W = 2 - 1/4, H = 1 - 2/4, b = -1/4; scores 5/8, error -3/8: W + 3/64, H + 21/128, b + 3/32
    run = descend_features([[2.0]], [[1.0]], step=0.25, times=[0.25, 0.5])
    np.testing.assert_array_equal(run.W.ravel(), [1.75, 1.75 + 3 / 64])
    np.testing.assert_array_equal(run.H.ravel(), [0.5, 0.5 + 21 / 128])
    np.testing.assert_array_equal(run.b.ravel(), [-0.25, -0.25 + 3 / 32])
    np.testing.assert_array_equal(run.cost, [9 / 128, (1.796875 * 0.6640625 - 0.15625 - 1) ** 2 / 2])


def test_scores_far_apart_have_a_finite_entropy() -> None:
    run = descend_features(1e3 * np.eye(2), -np.eye(2), loss="cross_entropy", bias=False, step=1e-9, times=[0.0])
    assert run.cost[0] == 2000.0


# ---- runs ----


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_balance_of_classifier_and_features_decays(loss: Any) -> None:
    """K = W^T W - H H^T: a step makes it (1 - h lambda)^2 K + h^2 (g_W^T g_W - g_H g_H^T), g the slopes of the loss."""
    W, H, b = start(1)
    h, decay = 0.05, 0.4
    options: dict[str, Any] = {"loss": loss, "step": h, "times": np.arange(4) * h}
    run = descend_features(W, H, b, COUNTS, decay_weights=decay, decay_features=decay, **options)
    K = [w.T @ w - f @ f.T for w, f in zip(run.W, run.H, strict=True)]
    for index in range(3):
        by_W = (run.W[index] - run.W[index + 1]) / h - decay * run.W[index]
        by_H = (run.H[index] - run.H[index + 1]) / h - decay * run.H[index]
        expected = (1 - h * decay) ** 2 * K[index] + h**2 * (by_W.T @ by_W - by_H @ by_H.T)
        np.testing.assert_allclose(K[index + 1], expected, rtol=0, atol=1e-13)
    # as a flow: K e^{2 lambda t} is conserved, a distance of a step away
    drifts = []
    for step in (0.02, 0.01):
        run = descend_features(
            W, H, b, COUNTS, loss=loss, decay_weights=decay, decay_features=decay, step=step, times=[0, 2.0]
        )
        K = [w.T @ w - f @ f.T for w, f in zip(run.W, run.H, strict=True)]
        drifts.append(np.abs(K[1] - math.exp(-4 * decay) * K[0]).max())
    assert drifts[0] < 0.1 and 1.8 < drifts[0] / drifts[1] < 2.2


def test_the_balances_of_the_extended_model() -> None:
    rng = np.random.default_rng(2)
    W2, W1, H = (0.6 * rng.standard_normal(shape) for shape in ((3, 4), (4, 5), (5, 6)))
    drifts = []
    for step in (0.004, 0.002):
        run = descend_extended_features(W2, W1, H, scale=1.0, step=step, times=[0, 2.0])
        K = [W2.T @ W2 - W1 @ W1.T for W2, W1 in zip(run.W2, run.W1, strict=True)]
        L = [W1.T @ W1 - H @ H.T for W1, H in zip(run.W1, run.H, strict=True)]
        drifts.append([np.abs(each[1] - each[0]).max() for each in (K, L)])
        assert run.cost[1] < 0.1 * run.cost[0]
    assert np.max(drifts) < 0.1
    np.testing.assert_allclose(np.divide(*drifts), 2.0, rtol=0, atol=0.2)


def frames(p: float, n: int) -> tuple[Array, Array]:
    """Balanced W = alpha U, H = eta U^T (x) 1^T with U U^T = I - 1/3, alpha = sqrt(n) eta, alpha eta = p."""
    U = (
        np.linalg.svd(np.eye(3) - 1 / 3)[0][:, :2]
        @ np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0][:2]
    )
    eta = math.sqrt(p / math.sqrt(n))
    return math.sqrt(n) * eta * U, eta * np.repeat(U.T, n, axis=1)


def strengths(run: FeaturesRun) -> Array:
    """Common p of W H = p (I - 1/3) (x) 1^T."""
    n, pi = run.H.shape[2] // 3, np.eye(3) - 1 / 3
    scores = run.W @ run.H
    p = scores[:, 0, 0] * 1.5
    np.testing.assert_allclose(scores, p[:, None, None] * np.repeat(pi, n, axis=1), rtol=0, atol=1e-12)
    return np.asarray(p)


def test_balanced_frames_follow_the_logistic_law() -> None:
    """p = 1/(1 + (1/p_0 - 1) exp(-2 sqrt(n) s/k)) and zeta - 1/C decays at N/k, with n = 4, N = 12, k = 3."""
    times, errors = np.array([0.0, 0.5, 1.0, 2.0]), []
    for step in (0.01, 0.005):
        W, H = frames(0.2, 4)
        run = descend_features(W, H, per_class=4, scale=3.0, step=step, times=times)
        expected = 1 / (1 + 4 * np.exp(-4 * times / 3))
        zeta = (1 - np.exp(-4 * times)) / 3
        gap = np.abs(run.b - zeta[:, None]).max()
        errors.append([np.abs(strengths(run) - expected).max(), gap])
    assert np.max(errors) < 0.02
    np.testing.assert_allclose(np.divide(*errors), 2.0, rtol=0, atol=0.15)


def test_balanced_frames_under_cross_entropy_follow_the_exponential_integral() -> None:
    """(C-1) log p + Ei(p) grows at the rate 2 sqrt(n) C/k: here 12/k."""
    errors = []
    for step in (0.01, 0.005):
        W, H = frames(0.5, 4)
        run = descend_features(W, H, bias=False, loss="cross_entropy", scale=3.0, step=step, times=[0.0, 1.0, 3.0])
        p = strengths(run)
        clock = (2 * np.log(p) + expi(p)) / 4
        errors.append(np.abs(clock - clock[0] - run.times).max())
    assert errors[0] < 0.05 and abs(errors[0] / errors[1] - 2) < 0.15


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_with_weight_decay_any_start_collapses(loss: Any) -> None:
    rng = np.random.default_rng(3)
    W, H = rng.standard_normal((3, 4)), rng.standard_normal((4, 12))
    run = descend_features(W, H, loss=loss, decay_weights=0.1, decay_features=0.1, step=0.1, times=[0.0, 400.0])
    before, after = run.collapse(0), run.collapse(1)
    assert min(before.nc1, before.nc2, before.nc3) > 0.1
    # what departs from collapse shrinks at a rate of lambda = 0.1 at least (W^T W - H H^T at 2 lambda): e^-40
    assert max(after.nc1, after.nc2, after.nc3) < 1e-6 and after.nc4 == 0.0
    assert after.picture == "feature space"
    h, labels = run.H[0].T, np.repeat([0, 1, 2], 4)
    np.testing.assert_array_equal(run.labels, labels)
    b = run.b[0]
    expected = [nc1(h, labels), nc2(h, labels), nc3(h, labels, W), nc4(h, labels, W, b)]
    assert [before.nc1, before.nc2, before.nc3, before.nc4] == expected


def test_without_a_bias_the_frame_is_orthogonal() -> None:
    """W H = p I (x) 1^T with p = 1 - k lambda/sqrt(n) = 0.9: fixed point of the ridge, n = 4."""
    rng = np.random.default_rng(3)
    W, H = rng.standard_normal((3, 4)), rng.standard_normal((4, 12))
    run = descend_features(W, H, bias=False, decay_weights=0.2, decay_features=0.2, step=0.1, times=[300.0])
    np.testing.assert_allclose(run.W[0] @ run.H[0], 0.9 * np.repeat(np.eye(3), 4, axis=1), rtol=0, atol=1e-8)


def test_both_levels_of_the_extended_model_collapse() -> None:
    rng = np.random.default_rng(4)
    W2, W1, H = (0.5 * rng.standard_normal(shape) for shape in ((3, 4), (4, 5), (5, 6)))
    decays = {"decay_classifier": 0.05, "decay_hidden": 0.05, "decay_features": 0.05}
    run = descend_extended_features(W2, W1, H, scale=1.0, **decays, step=0.1, times=[0.0, 800.0])
    np.testing.assert_array_equal(run.labels, [0, 0, 1, 1, 2, 2])
    for level, features, W in (("hidden", W1 @ H, W2), ("free", H, W2 @ W1)):
        before, after = run.collapse(0, level), run.collapse(1, level)  # type: ignore[arg-type]
        assert before.nc1 == nc1(features.T, run.labels) and before.nc3 == nc3(features.T, run.labels, W)
        assert after.nc1 < 1e-6 and after.nc4 == 0.0
        # the means are an orthogonal frame, and a simplex once centred; the classifier keeps its share along 1
        assert after.nc2 < 1e-6 and abs(after.nc3 - math.sqrt(2 - 2 * math.sqrt(2 / 3))) < 1e-6
    assert run.collapse(1) == run.collapse(1, "hidden")
    with pytest.raises(ValueError, match="level='top' is unknown: choose"):
        run.collapse(0, "top")  # type: ignore[arg-type]


def test_the_scale_sets_the_clock() -> None:
    W, H, b = start()
    slow = descend_features(W, H, b, COUNTS, scale=5.0, step=0.1, times=[0.0, 1.0])
    fast = descend_features(W, H, b, COUNTS, step=0.02, times=[0.0, 0.2])
    np.testing.assert_allclose(slow.W, fast.W, rtol=0, atol=1e-13)
    np.testing.assert_allclose(5 * slow.cost, fast.cost, rtol=1e-12)
    np.testing.assert_array_equal(slow.steps, fast.steps)


def test_times_progress_and_defaults() -> None:
    W, H, _ = start()
    heard: list[float] = []
    run = descend_features(W, H[:, :6], step=0.1, times=[0.04, 0.06, 0.14, 0.5], progress=heard.append)
    np.testing.assert_array_equal(run.steps, [0, 1, 1, 5])
    np.testing.assert_array_equal(run.W[1], run.W[2])
    np.testing.assert_array_equal(run.labels, [0, 0, 1, 1, 2, 2])
    assert heard[-1] == 1.0 and not run.diverged and math.isinf(run.divergence_time)
    same = descend_features(W, H[:, :6], np.zeros(3), 2, step=0.1, times=[0.5])
    np.testing.assert_array_equal(same.H[0], run.H[3])


def test_a_run_that_diverges_says_when() -> None:
    W, H, b = start()
    times = [0.0, 5.0, 1e4]
    for run in (
        descend_features(W, H, b, COUNTS, step=5.0, times=times),
        descend_extended_features(W, np.eye(4), H, COUNTS, scale=1.0, step=5.0, times=times),
    ):
        assert run.diverged and 5.0 <= run.divergence_time < 1e4 and run.divergence_time % 5 == 0
        assert run.H.shape == (2, 4, 7) and np.isfinite(run.H).all() and len(run.cost) == len(run.times) == 2
    none = descend_features(W, H, b, COUNTS, step=5.0, times=[1e4])
    assert none.W.shape == (0, 3, 4) and none.H.shape == (0, 4, 7) and none.b.shape == (0, 3)
    assert none.cost.shape == none.loss.shape == none.times.shape == (0,) and none.labels.shape == (7,)


def test_nothing_of_the_callers_is_changed() -> None:
    W, H, b = start()
    copies = W.copy(), H.copy(), b.copy()
    run = descend_features(W, H, b, COUNTS, step=0.1, times=[0.0, 1.0])
    for array, copy in zip((W, H, b), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    W[0, 0] = 9.0
    assert run.W[0, 0, 0] == copies[0][0, 0]


# ---- refusals ----


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"W": [1.0, 2.0]}, r"W=.* has shape \(2,\)"),
        ({"H": np.ones((5, 7))}, r"H=.* has shape \(5, 7\)"),
        ({"H": np.full((4, 7), np.nan)}, "H=.* NaN or infinite"),
        ({"W": np.full((3, 4), 1e16)}, r"W=.* beyond 1e\+15"),
        ({"b": [1.0, 2.0]}, r"b=.* has shape \(2,\)"),
        ({"bias": False}, "b=.* is the start of a bias that is not there: leave b out"),
        ({"per_class": None}, "per_class=None is not said, and 7 samples are no multiple of 3 classes"),
        ({"per_class": 2}, "per_class=2 makes 6 samples, but H has 7 columns"),
        ({"per_class": (2, 4, 2)}, r"per_class=\(2, 4, 2\) makes 8 samples"),
        ({"per_class": (3, 4)}, "does not give a whole number a class"),
        ({"per_class": (2.0, 4.0, 1.0)}, "does not give a whole number a class"),
        ({"per_class": True}, "does not give a whole number a class"),
        ({"per_class": (0, 6, 1)}, "per_class=.*0.* is too small"),
        ({"per_class": 0}, "per_class=0 is too small"),
        ({"loss": "hinge"}, "loss='hinge' is unknown"),
        ({"scale": 0.0}, "scale=0.0 is zero"),
        ({"scale": -1.0}, "scale=-1.0 is negative"),
        ({"decay_weights": -1.0}, "decay_weights=-1.0 is negative"),
        ({"decay_features": math.nan}, "decay_features=nan is not finite"),
        ({"step": 0}, "step=0 is zero"),
        ({"times": [1.0, 1.0]}, "times=.* is not increasing"),
        ({"times": [-1.0]}, "times=.* starts before 0"),
        ({"times": [1e300]}, "times=.* asks for"),
        ({"progress": 7}, "progress=7 is no function"),
    ],
)
def test_runs_refuse_nonsense(changes: dict[str, Any], words: str) -> None:
    W, H, b = start()
    arguments: dict[str, Any] = {"W": W, "H": H, "b": b, "per_class": COUNTS, "step": 0.1, "times": [1.0]} | changes
    with pytest.raises(ValueError, match=words) as refusal:
        descend_features(**arguments)
    assert ": " in str(refusal.value)  # the cure follows


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"W1": np.ones((3, 4))}, r"W1=.* has shape \(3, 4\)"),
        ({"H": np.ones((3, 7))}, r"H=.* has shape \(3, 7\)"),
        ({"per_class": 2}, "per_class=2 makes 6 samples"),
        ({"scale": 0}, "scale=0 is zero"),
        ({"decay_hidden": -1.0}, "decay_hidden=-1.0 is negative"),
        ({"decay_classifier": -1.0}, "decay_classifier=-1.0 is negative"),
    ],
)
def test_runs_of_the_extended_model_refuse_nonsense(changes: dict[str, Any], words: str) -> None:
    W, H, _ = start()
    arguments: dict[str, Any] = {"W2": W, "W1": np.eye(4), "H": H, "per_class": COUNTS} | changes
    with pytest.raises(ValueError, match=words):
        descend_extended_features(**arguments, step=0.1, times=[1.0])


def test_metrics_of_features_that_do_not_differ_are_refused() -> None:
    run = descend_features(np.eye(2), np.ones((2, 4)), step=0.1, times=[0.0])
    with pytest.raises(ValueError, match="have equal class means"):
        run.collapse(0)
