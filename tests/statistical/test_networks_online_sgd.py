"""The simulators of online SGD against each other and against the ODE of the large-N limit.

Every comparison is two-sided; a test that makes n of them judges each at 1e-4/n, so that it raises a false alarm with
probability 1e-4 at most.
"""

import math
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from hermiton.verification.networks.generalization import generalization_error, sampled_generalization_error
from hermiton.verification.networks.online_sgd import run_network
from hermiton.verification.networks.online_sgd_overlaps import run_overlaps
from hermiton.verification.networks.online_sgd_run import NetworkRun
from hermiton.verification.networks.weights import draw_weights

pytestmark = pytest.mark.statistical

Array = NDArray[np.float64]
FALSE_ALARMS = 1e-4
REPETITIONS = 4000


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


ERF = {"activation": erf, "derivative": erf_slope, "teacher_activation": erf}
CUBIC = {"activation": cubic, "derivative": cubic_slope, "teacher_activation": cubic}

Q2 = np.array([[0.2, 0.05], [0.05, 0.25]])
R2 = np.array([[0.1, 0.02], [0.03, 0.12]])
Q3 = np.array([[0.2, 0.05, 0.02], [0.05, 0.25, -0.03], [0.02, -0.03, 0.3]])
R3 = np.array([[0.1, 0.02], [0.03, 0.12], [-0.05, 0.04]])
T2 = np.eye(2)
ONES = np.ones(2)


def last_state(run: NetworkRun) -> Array:
    """Everything that is random in a state of K = M = 2: Q (3), R (4), v (2)."""
    return np.concatenate([run.Q[-1][np.triu_indices(2)], run.R[-1].ravel(), run.v[-1]])


def same_law(first: Array, second: Array) -> None:
    """Means, variances and distribution functions of each column of two samples agree."""
    columns = first.shape[1]
    level = FALSE_ALARMS / (3 * columns)
    z = stats.norm.isf(level / 2)
    for a, b in zip(first.T, second.T, strict=True):
        assert abs(a.mean() - b.mean()) <= z * math.sqrt(a.var() / len(a) + b.var() / len(b))
        a2, b2 = (a - a.mean()) ** 2, (b - b.mean()) ** 2
        assert abs(a2.mean() - b2.mean()) <= z * math.sqrt(a2.var() / len(a) + b2.var() / len(b))
        assert stats.ks_2samp(a, b).pvalue > level


@pytest.fixture(scope="module", params=[(20, 60), (4, 12)], ids=["N=20", "N=4=K+M"])
def small(request: pytest.FixtureRequest) -> tuple[int, Array, dict[str, Any]]:
    """Many runs of the chain far from the limit: small N, large learning rate, both layers, label noise."""
    dimension, steps = request.param
    rule = {"learning_rate": 1.5, "second_layer_rate": 0.7, "noise": 0.2, "times": [steps / dimension]} | ERF
    rng = np.random.Generator(np.random.SFC64(11))
    runs = [run_overlaps(Q2, R2, T2, ONES, ONES, dimension=dimension, rng=rng, **rule) for _ in range(REPETITIONS)]
    return dimension, np.array([last_state(run) for run in runs]), rule


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_chain_has_the_law_of_the_network(small: tuple[int, Array, dict[str, Any]], precision: Any) -> None:
    dimension, chain, rule = small
    rng = np.random.Generator(np.random.SFC64(12))
    W, Wstar = draw_weights(Q2, R2, T2, dimension, rng)  # the law depends on the overlaps alone
    runs = [run_network(W, Wstar, ONES, ONES, rng=rng, precision=precision, **rule) for _ in range(REPETITIONS)]
    same_law(chain, np.array([last_state(run) for run in runs]))


def test_same_law_can_tell_laws_apart(small: tuple[int, Array, dict[str, Any]]) -> None:
    """The test above has power: a learning rate off by a tenth and a label noise off by a half are seen."""
    dimension, chain, rule = small
    rng = np.random.Generator(np.random.SFC64(13))
    rule = rule | {"noise": 0.3, "learning_rate": 1.65}
    runs = [run_overlaps(Q2, R2, T2, ONES, ONES, dimension=dimension, rng=rng, **rule) for _ in range(REPETITIONS)]
    with pytest.raises(AssertionError):
        same_law(chain, np.array([last_state(run) for run in runs]))


def test_float32_network_has_the_law_of_the_float64_network() -> None:
    """At a later time and a dimension beyond one SIMD block."""
    rule = {"learning_rate": 0.5, "second_layer_rate": 0.3, "noise": 0.1, "times": [6.0]} | ERF
    samples = []
    for precision in ("float64", "float32"):
        rng = np.random.Generator(np.random.SFC64(14))
        W, Wstar = draw_weights(Q2, R2, T2, 200, rng)
        runs = [run_network(W, Wstar, ONES, ONES, rng=rng, precision=precision, **rule) for _ in range(500)]
        samples.append(np.array([last_state(run) for run in runs]))
    same_law(*samples)


# Reference trajectories of the generalisation error: integrated order-parameter ODEs, 12 digits.
TIMES = (1.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0)
CASES: dict[str, tuple[Any, ...]] = {
    "A": (
        (Q2, R2, T2, ONES, ONES),
        {"learning_rate": 0.5} | ERF,
        (
            0.181730709354,
            0.025258376147,
            0.015102318805,
            0.014339443077,
            0.013251140961,
            0.010927759200,
            0.007380667664,
            0.004025628078,
        ),
    ),
    "B": (
        (Q3, R3, T2, np.array([0.8, 0.9, 1.0]), ONES),
        {"learning_rate": 0.5, "second_layer_rate": 0.5, "noise": 0.1} | ERF,
        (
            0.192316201661,
            0.027354956307,
            0.019724943069,
            0.018557706987,
            0.016790042187,
            0.015123000053,
            0.013306044648,
            0.011205289698,
        ),
    ),
    "E": (
        (Q2 + 0.3 * np.eye(2), np.array([[0.2, 0.02], [0.03, 0.25]]), T2, ONES, ONES),
        {"learning_rate": 0.1} | CUBIC,
        (
            0.329520113003,
            0.322253221847,
            0.310240589454,
            0.272259026180,
            0.140667269061,
            0.041398617039,
            0.009617904050,
            0.002109966823,
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_chain_tends_to_the_ode(case: str) -> None:
    """The mean error is ODE + c/N + O(1/N^2): two sizes, N and 4N, give c, and what is left is the ODE's value."""
    start, rule, reference = CASES[case]
    runs = 64
    mean, variance = {}, {}
    for dimension in (250, 1000):
        rng = np.random.Generator(np.random.SFC64([dimension, 3]))
        records = [run_overlaps(*start, dimension=dimension, times=TIMES, rng=rng, **rule) for _ in range(runs)]
        assert not any(run.diverged for run in records)
        Q, R, v = (np.stack([getattr(run, name) for run in records]) for name in ("Q", "R", "v"))
        functions = rule["activation"], rule["teacher_activation"]
        errors = generalization_error(Q, R, start[2], v, start[4], *functions)
        mean[dimension], variance[dimension] = errors.mean(axis=0), errors.var(axis=0, ddof=1) / runs
    c = 1000 / 3 * (mean[250] - mean[1000])
    limit = mean[1000] - c / 1000
    standard_error = np.sqrt((4 / 3) ** 2 * variance[1000] + variance[250] / 9)
    quantile = stats.t.isf(FALSE_ALARMS / (2 * len(TIMES)), runs - 1)
    score = np.abs(limit - np.array(reference)) / standard_error
    assert (score <= quantile).all(), score


@pytest.mark.parametrize(("function", "kinks"), [(erf, ()), (tanh, ()), (relu, (0.0,)), (cubic, ())])
def test_quadrature_agrees_with_fresh_inputs(function: Any, kinks: tuple[float, ...]) -> None:
    rng = np.random.Generator(np.random.SFC64(15))
    v, A = np.array([0.8, -0.9, 1.1]), np.array([1.0, 0.7])
    W, Wstar = draw_weights(Q3, R3, T2, 20, rng)
    mean, standard_error = sampled_generalization_error(W, Wstar, v, A, function, erf, 200_000, rng)
    exact = float(generalization_error(Q3, R3, T2, v, A, function, erf, kinks=kinks))
    assert 0 < standard_error < 0.02 * exact
    assert abs(mean - exact) <= stats.norm.isf(FALSE_ALARMS / 2) * standard_error
