"""The arbiter of online SGD: one step by hand, exact overlaps, records, divergence, refusals."""

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError
from typing import Any

import numba
import numpy as np
import pytest
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from hermiton.verification.networks.generalization import generalization_error, sampled_generalization_error
from hermiton.verification.networks.online_sgd import network_step, run_network
from hermiton.verification.networks.online_sgd_overlaps import run_overlaps, square_root
from hermiton.verification.networks.weights import draw_weights

Array = NDArray[np.float64]

Q0 = np.array([[0.2, 0.05, 0.02], [0.05, 0.25, -0.03], [0.02, -0.03, 0.3]])
R0 = np.array([[0.1, 0.02], [0.03, 0.12], [-0.05, 0.04]])
T0 = np.array([[1.0, 0.1], [0.1, 0.8]])
V0 = np.array([0.8, -0.9, 1.1])
A0 = np.array([1.0, 0.7])


@numba.njit
def erf(x):
    return math.erf(x / math.sqrt(2))


@numba.njit
def erf_slope(x):
    return math.sqrt(2 / math.pi) * math.exp(-x * x / 2)


@numba.njit
def tanh(x):
    return math.tanh(x)


@numba.njit
def relu(x):
    return max(x, 0.0)


@numba.njit
def cubic(x):
    return 0.3 * (x * x - 1) + 0.1 * (x**3 - 3 * x)


@numba.njit
def cubic_slope(x):
    return 0.6 * x + 0.3 * (x * x - 1)


RULE: dict[str, Any] = {
    "activation": erf,
    "derivative": erf_slope,
    "teacher_activation": tanh,
    "learning_rate": 0.5,
    "second_layer_rate": 0.7,
    "noise": 0.3,
}


def by_hand(W: Array, Wstar: Array, v: Array, x: Array, zeta: float) -> tuple[Array, Array]:
    """One step, term by term from the definition; erf and tanh by other libraries than the kernels'."""
    N = len(x)
    student = [sum(W[k, i] * x[i] for i in range(N)) / math.sqrt(N) for k in range(len(W))]
    teacher = [sum(Wstar[m, i] * x[i] for i in range(N)) / math.sqrt(N) for m in range(len(Wstar))]
    phi = sum(v[k] * math.erf(student[k] / math.sqrt(2)) for k in range(len(W)))
    error = phi - sum(A0[m] * np.tanh(teacher[m]) for m in range(len(Wstar))) - 0.3 * zeta
    new_W, new_v = W.copy(), v.copy()
    for k in range(len(W)):
        slope = 2 * math.exp(-(student[k] ** 2) / 2) / math.sqrt(2 * math.pi)
        for i in range(N):
            new_W[k, i] = W[k, i] - 0.5 / math.sqrt(N) * v[k] * slope * error * x[i]
        new_v[k] = v[k] - 0.7 / N * math.erf(student[k] / math.sqrt(2)) * error
    return new_W, new_v


def test_one_step_is_the_definition() -> None:
    rng = np.random.default_rng(5)
    W, Wstar = draw_weights(Q0, R0, T0, 7, rng)
    x, zeta = rng.standard_normal(7), 0.4
    before = W.copy()
    moved, second = network_step(W, Wstar, V0, A0, x, zeta, **RULE)
    expected_W, expected_v = by_hand(W, Wstar, V0, x, zeta)
    np.testing.assert_allclose(moved, expected_W, rtol=0, atol=1e-14)
    np.testing.assert_allclose(second, expected_v, rtol=0, atol=1e-14)
    assert np.abs(moved - W).max() > 1e-2  # the step did something
    np.testing.assert_array_equal(W, before)  # and not to the caller's weights


def test_a_run_is_the_steps_on_its_own_draws() -> None:
    W, Wstar = draw_weights(Q0, R0, T0, 8, 1)
    run = run_network(W, Wstar, V0, A0, **RULE, times=[0, 0.25, 1.5], rng=9)
    draws = np.random.Generator(np.random.SFC64(9))
    v = V0
    seen = []
    for step in range(13):
        if step in (0, 2, 12):
            seen.append((W @ W.T / 8, W @ Wstar.T / 8, v))
        x = draws.standard_normal(8)
        W, v = by_hand(W, Wstar, v, x, draws.standard_normal())
    for column, recorded in zip(zip(*seen, strict=True), (run.Q, run.R, run.v), strict=True):
        np.testing.assert_allclose(recorded, np.stack(column), rtol=0, atol=1e-13)
    assert run.steps == 12 and math.isinf(run.divergence_time) and not run.diverged
    np.testing.assert_array_equal(run.times, [0, 0.25, 1.5])


def test_float32_run_is_the_steps_on_its_own_draws() -> None:
    """Also at dimensions that are not a whole number of SIMD blocks, and over pieces of 1024."""
    from hermiton.verification.networks.gaussians import BLOCK, normals, seeded_lanes

    for dimension in (5, 128, 1300):
        W, Wstar = draw_weights(Q0, R0, T0, dimension, 1)
        times = np.array([0.0, 2.0, 9.0]) / dimension
        run = run_network(W, Wstar, V0, A0, **RULE, times=times, rng=np.random.default_rng(3), precision="float32")
        draws = np.random.default_rng(3)
        lanes = seeded_lanes(draws)
        v = V0
        seen = []
        for step in range(10):
            if step in (0, 2, 9):
                seen.append((W @ W.T / dimension, W @ Wstar.T / dimension, v))
            x = normals(lanes, -(-dimension // BLOCK) * BLOCK)[:dimension].astype(float)
            zeta = draws.standard_normal()
            W, v = network_step(W, Wstar, v, A0, x, zeta, **RULE)
        for column, recorded in zip(zip(*seen, strict=True), (run.Q, run.R, run.v), strict=True):
            np.testing.assert_allclose(recorded, np.stack(column), rtol=0, atol=3e-6)
        assert np.abs(run.Q[-1] - run.Q[0]).max() > 1e-4


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_runs_repeat_and_long_calls_may_be_cut(precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    W, Wstar = draw_weights(Q0, R0, T0, 30, 2)
    first = run_network(W, Wstar, V0, A0, **RULE, times=[1, 4], rng=7, precision=precision)
    again = run_network(W, Wstar, V0, A0, **RULE, times=[1, 4], rng=7, precision=precision)
    other = run_network(W, Wstar, V0, A0, **RULE, times=[1, 4], rng=8, precision=precision)
    np.testing.assert_array_equal(first.Q, again.Q)
    assert np.abs(first.Q - other.Q).max() > 1e-3
    monkeypatch.setattr("hermiton.verification.networks.online_sgd._WORK_PER_BURST", 7 * 150)
    cut = run_network(W, Wstar, V0, A0, **RULE, times=[1, 4], rng=7, precision=precision)
    np.testing.assert_allclose(first.Q, cut.Q, rtol=0, atol=1e-14)


def test_times_round_to_steps() -> None:
    W, Wstar = draw_weights(Q0, R0, T0, 10, 2)
    run = run_network(W, Wstar, V0, A0, **RULE, times=[0.04, 0.06, 0.96], rng=7)
    assert run.steps == 10
    np.testing.assert_allclose(run.Q[0], Q0, atol=1e-14)  # 0.04 rounds to no step at all
    assert np.abs(run.Q[1] - Q0).max() > 1e-4
    with pytest.raises(FrozenInstanceError):
        run.steps = 3  # type: ignore[misc]


def test_drawn_weights_have_exactly_the_overlaps() -> None:
    for dimension in (5, 6, 400):
        W, Wstar = draw_weights(Q0, R0, T0, dimension, 3)
        np.testing.assert_allclose(W @ W.T / dimension, Q0, rtol=0, atol=1e-13)
        np.testing.assert_allclose(W @ Wstar.T / dimension, R0, rtol=0, atol=1e-13)
        np.testing.assert_allclose(Wstar @ Wstar.T / dimension, T0, rtol=0, atol=1e-13)
    other, _ = draw_weights(Q0, R0, T0, 400, 4)
    assert np.abs(other - W).max() > 0.1


def specialised() -> tuple[Array, Array]:
    """Three students, two teachers: two aligned, one idle; the Gram matrix has rank two."""
    Q, R = np.zeros((3, 3)), np.zeros((3, 2))
    Q[:2, :2], R[:2] = T0, T0
    return Q, R


def test_drawn_weights_of_a_singular_gram_matrix() -> None:
    Q, R = specialised()
    W, Wstar = draw_weights(Q, R, T0, 50, 3)
    np.testing.assert_allclose(W[:2], Wstar, rtol=0, atol=1e-6)
    np.testing.assert_allclose(W[2], 0, rtol=0, atol=1e-6)
    np.testing.assert_allclose(Wstar @ Wstar.T / 50, T0, rtol=0, atol=1e-13)


def test_square_root_of_singular_matrices() -> None:
    rng = np.random.default_rng(0)
    for rank in range(1, 6):
        for _ in range(20):
            factor = rng.integers(-3, 4, size=(5, rank)).astype(float)
            C = factor @ factor.T
            L = square_root(C)
            assert np.isfinite(L).all() and not np.triu(L, 1).any()
            np.testing.assert_allclose(L @ L.T, C, rtol=0, atol=3e-6 * max(np.abs(C).max(), 1))
    identical = square_root(np.ones((4, 4)))
    np.testing.assert_array_equal(identical, np.eye(4)[:, :1] * 0 + np.eye(1, 4))
    C = Q0 + np.eye(3)
    np.testing.assert_allclose(square_root(C), np.linalg.cholesky(C), rtol=0, atol=1e-15)


def test_chain_started_at_the_teacher_stays_there() -> None:
    """Without noise the error vanishes at the teacher; so it must, for the chain, although C is singular."""
    Q, R = specialised()
    rule = RULE | {"activation": tanh, "derivative": erf_slope, "noise": 0.0}
    run = run_overlaps(Q, R, T0, [1.0, 0.7, 0.0], A0, dimension=100, **rule, times=[0, 5], rng=1)
    np.testing.assert_allclose(run.Q[-1], Q, rtol=0, atol=1e-6)
    np.testing.assert_allclose(run.R[-1], R, rtol=0, atol=1e-6)
    noisy = run_overlaps(Q, R, T0, [1.0, 0.7, 0.5], A0, dimension=100, **RULE, times=[0, 5], rng=1)
    assert np.isfinite(noisy.Q).all() and np.abs(noisy.Q[-1] - Q).max() > 1e-3
    assert np.linalg.eigvalsh(np.block([[noisy.Q[-1], noisy.R[-1]], [noisy.R[-1].T, T0]]))[0] > -1e-9


def test_chain_accepts_the_least_and_the_largest_dimension() -> None:
    for dimension in (5, 10**12):
        run = run_overlaps(Q0, R0, T0, V0, A0, dimension=dimension, **RULE, times=[0, 30 / dimension], rng=1)
        assert run.steps == 30
        assert 0 < np.abs(run.Q[1] - Q0).max() < 300 / dimension


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_network_that_diverges_says_when(precision: Any) -> None:
    W, Wstar = draw_weights(Q0, R0, T0, 40, 2)
    rule = RULE | {"activation": cubic, "derivative": cubic_slope, "teacher_activation": cubic, "learning_rate": 40.0}
    times = np.array([0.0, 0.025, 100.0, 200.0])
    run = run_network(W, Wstar, V0, A0, **rule, times=times, rng=1, precision=precision)
    assert run.diverged and 0 <= run.divergence_time < 100
    assert run.divergence_time == run.steps / 40
    assert len(run.times) == len(run.Q) == len(run.R) == len(run.v) == (times <= run.divergence_time).sum() < 4
    assert np.isfinite(run.Q).all() and np.isfinite(run.R).all() and np.isfinite(run.v).all()
    # the state at the stated time is still finite, one step more is not to be had
    last = run_network(W, Wstar, V0, A0, **rule, times=[run.divergence_time], rng=1, precision=precision)
    assert not last.diverged and np.isfinite(last.Q).all()
    beyond = run_network(W, Wstar, V0, A0, **rule, times=[run.divergence_time + 1], rng=1, precision=precision)
    assert beyond.divergence_time == run.divergence_time
    assert beyond.Q.shape == (0, 3, 3) and beyond.R.shape == (0, 3, 2) and beyond.v.shape == (0, 3)


def test_a_chain_that_diverges_says_when() -> None:
    rule = RULE | {"activation": cubic, "derivative": cubic_slope, "teacher_activation": cubic, "learning_rate": 40.0}
    run = run_overlaps(Q0, R0, T0, V0, A0, dimension=40, **rule, times=[0, 100], rng=1)
    assert run.diverged and run.divergence_time == run.steps / 40 < 100
    assert run.Q.shape == (1, 3, 3) and np.isfinite(run.Q).all()


def arcsine_error(Q: Array, R: Array, T: Array, v: Array, A: Array) -> float:
    """E[(phi - phi*)^2]/2 for erf units, by the arcsine law of two erf's (Williams 1998)."""
    C = np.block([[Q, R], [R.T, T]])
    signs = np.concatenate([v, -A])
    scale = 1 + np.diag(C)
    return float(signs @ (2 / np.pi * np.arcsin(C / np.sqrt(np.outer(scale, scale)))) @ signs / 2)


def test_generalization_error_of_erf_units() -> None:
    for scale in (0.01, 1.0, 9.0, 50.0):
        expected = arcsine_error(scale * Q0, scale * R0, scale * T0, V0, A0)
        assert abs(generalization_error(scale * Q0, scale * R0, scale * T0, V0, A0, erf, erf) - expected) < 1e-12


def test_generalization_error_of_polynomials() -> None:
    """The mean of a polynomial of a Gaussian pair, by Gauss-Hermite quadrature, which is exact there."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    u, w = np.meshgrid(nodes, nodes)
    weight = np.outer(weights, weights).ravel() / (2 * np.pi)
    g = Polynomial([-0.3, -0.3, 0.3, 0.1])
    lam = math.sqrt(0.7) * u.ravel()
    nu = 0.4 / math.sqrt(0.7) * u.ravel() + math.sqrt(1.3 - 0.16 / 0.7) * w.ravel()
    expected = weight @ (0.9 * g(lam) - 1.1 * g(nu)) ** 2 / 2
    assert abs(generalization_error([[0.7]], [[0.4]], [[1.3]], [0.9], [1.1], cubic, cubic) - expected) < 1e-12


def relu_error(Q: Array, R: Array, T: Array, v: Array, A: Array) -> float:
    """The same for ReLU units, by the first-order arc-cosine kernel (Cho and Saul 2009)."""
    C = np.block([[Q, R], [R.T, T]])
    signs = np.concatenate([v, -A])
    norm = np.sqrt(np.outer(np.diag(C), np.diag(C)))
    r = np.clip(C / norm, -1, 1)
    return float(signs @ (norm / (2 * np.pi) * (np.sqrt(1 - r**2) + r * (np.pi - np.arccos(r)))) @ signs / 2)


@pytest.mark.parametrize("gap", [0.5, 1e-2, 1e-5, 1e-10, 0.0])
def test_generalization_error_of_relu_units(gap: float) -> None:
    """Up to full alignment and full anti-alignment, where one kink hides behind the other."""
    Q, T = np.eye(2), 1.7 * np.eye(2)
    R = math.sqrt(1.7) * (1 - gap) * np.diag([1.0, -1.0])
    v, A = np.array([1.0, 0.6]), np.array([0.8, 1.0])
    exact = relu_error(Q, R, T, v, A)
    error = generalization_error(Q, R, T, v, A, relu, relu, kinks=(0.0,), teacher_kinks=(0.0,))
    assert abs(error - exact) < 1e-10
    assert abs(generalization_error(Q, R, T, v, A, relu, relu) - exact) < 1e-2  # the kinks untold


def test_generalization_error_with_kinks_off_the_origin() -> None:
    """max(x, 1/2) - 1/2 has a kink at 1/2: told where, the rule finds what a fine one-dimensional sum finds."""

    @numba.njit
    def shifted(x):
        return max(x, 0.5) - 0.5

    error = generalization_error([[1.0]], [[0.0]], [[1.0]], [1.0], [0.0], shifted, shifted, kinks=(0.5,))
    x = np.linspace(0.5, 12.5, 2_000_001)
    density = (x - 0.5) ** 2 * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    assert abs(error - np.trapezoid(density, x) / 2) < 1e-10


def test_generalization_error_of_stacked_records() -> None:
    run = run_overlaps(Q0, R0, T0, V0, A0, dimension=1000, **RULE, times=[0, 1, 2], rng=1)
    errors = generalization_error(run.Q, run.R, T0, run.v, A0, erf, erf)
    assert errors.shape == (3,)
    for i in range(3):
        assert abs(errors[i] - arcsine_error(run.Q[i], run.R[i], T0, run.v[i], A0)) < 1e-12
    fixed = generalization_error(run.Q[None], run.R[None], T0, V0, A0, erf, erf)
    assert fixed.shape == (1, 3) and abs(fixed[0, 0] - errors[0]) < 1e-14 and abs(fixed[0, 2] - errors[2]) > 1e-6


def test_importing_the_network_does_not_load_numba() -> None:
    code = (
        "import sys, hermiton.verification.networks.online_sgd, hermiton.verification.networks.weights\n"
        "import hermiton.verification.networks.online_sgd_overlaps, hermiton.verification.networks.generalization\n"
        "assert 'numba' not in sys.modules, 'numba was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def network(**changes: Any) -> Any:
    W, Wstar = draw_weights(Q0, R0, T0, 10, 2)
    arguments = {"W": W, "Wstar": Wstar, "v": V0, "A": A0, "times": [1.0], "rng": 1} | RULE | changes
    return run_network(**arguments)


def chain(**changes: Any) -> Any:
    arguments = {"Q": Q0, "R": R0, "T": T0, "v": V0, "A": A0, "dimension": 10, "times": [1.0], "rng": 1}
    return run_overlaps(**(arguments | RULE | changes))


def plain(x: float) -> float:
    return x


@numba.njit
def pair(x):
    return x, x


@numba.cfunc("float32(float32)")
def single(x):
    return x


@numba.cfunc("float64(float64)")
def double(x):
    return math.tanh(x)


def test_function_pointers_serve_as_well() -> None:
    by_pointer, by_function = network(activation=double), network(activation=tanh)
    np.testing.assert_array_equal(by_pointer.Q, by_function.Q)
    assert np.abs(by_pointer.Q - network().Q).max() > 1e-4


@pytest.mark.parametrize("run", [network, chain])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"v": [1.0, 2.0]}, r"v=.* has shape \(2,\)"),
        ({"A": [[1.0, 2.0]]}, r"A=.* has shape \(1, 2\)"),
        ({"A": [1.0, math.nan]}, "A=.* has an entry that is NaN"),
        ({"v": ["one", "two", "three"]}, "v=.* is not an array of real numbers"),
        ({"learning_rate": -0.5}, "learning_rate=-0.5 is negative"),
        ({"second_layer_rate": math.inf}, "second_layer_rate=inf is not finite"),
        ({"noise": "loud"}, "noise='loud' is not a real number"),
        ({"times": [0.0, 2.0, 1.0]}, "times=.* is not increasing"),
        ({"times": [1.0, 1.0]}, "times=.* is not increasing"),
        ({"times": [-1.0, 1.0]}, "times=.* starts before 0"),
        ({"times": []}, "times=.* has shape"),
        ({"times": [1e16]}, "times=.* asks for"),
        ({"rng": None}, "rng=None is no source"),
        ({"rng": -1}, "rng=-1 is negative"),
        ({"activation": plain}, "activation=.* is not compiled"),
        ({"activation": single}, r"activation=.* is compiled for"),
        ({"derivative": pair}, "derivative=.* does not map a float"),
    ],
)
def test_runs_refuse_nonsense(run: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        run(**changes)
    assert ": " in str(refusal.value)  # the cure follows


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"W": np.ones((3, 9))}, r"Wstar=.* has shape \(2, 10\)"),
        ({"W": np.ones(10)}, "W=.* has shape"),
        ({"W": np.full((3, 10), 1e200)}, "W=.* beyond 1e"),
        ({"precision": "float16"}, "precision='float16' is unknown"),
    ],
)
def test_networks_refuse_nonsense(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        network(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Q": Q0[:2]}, r"Q=.* has shape \(2, 3\)"),
        ({"Q": Q0 + np.array([[0, 0.1, 0], [0, 0, 0], [0, 0, 0]])}, "Q=.* is not symmetric"),
        ({"R": 2 * R0 + 1}, "is not positive semidefinite"),
        ({"R": R0.T}, r"R=.* has shape \(2, 3\)"),
        ({"T": -T0}, "is not positive semidefinite"),
        ({"dimension": 4}, "dimension=4 is too small"),
        ({"dimension": 10.0}, "dimension=10.0 is not an integer"),
        ({"dimension": 10**13}, "dimension=10000000000000 is too large"),
    ],
)
def test_chains_refuse_nonsense(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        chain(**changes)


def test_the_rest_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="dimension=4 is too small"):
        draw_weights(Q0, R0, T0, 4, 1)
    with pytest.raises(ValueError, match="is not positive semidefinite"):
        draw_weights(Q0, R0 + 1, T0, 10, 1)
    with pytest.raises(ValueError, match=r"C=.* has shape"):
        square_root(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"R=.* has shape"):
        generalization_error(Q0[None], R0, T0, V0, A0, erf, erf)
    with pytest.raises(ValueError, match=r"v=.* has shape"):
        generalization_error(Q0, R0, T0, V0[:2], A0, erf, erf)
    with pytest.raises(ValueError, match=r"A=.* has shape"):
        generalization_error(Q0, R0, T0, V0, V0, erf, erf)
    with pytest.raises(ValueError, match=r"kinks=.* NaN"):
        generalization_error(Q0, R0, T0, V0, A0, relu, relu, kinks=(math.nan,))
    W, Wstar = draw_weights(Q0, R0, T0, 10, 2)
    with pytest.raises(ValueError, match="samples=1 is too small"):
        sampled_generalization_error(W, Wstar, V0, A0, erf, erf, 1, 1)
    with pytest.raises(ValueError, match=r"x=.* has shape"):
        network_step(W, Wstar, V0, A0, np.ones(9), 0.0, **RULE)
