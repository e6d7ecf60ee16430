"""Error estimates are honest, and the tables transform as the fields do."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from hermiton.numerics.moments.accuracy import choose_level, moment_error, moment_tables
from hermiton.numerics.moments.pointer import EVALUATE_SIGNATURE
from hermiton.numerics.quadrature import rule
from hermiton.theory.errors import AccuracyError

Array = NDArray[np.float64]


@functools.cache
def evaluator(name: str) -> Any:
    g0, g1, g2 = (njit(error_model="numpy")(part) for part in FUNCTIONS[name])

    @njit(EVALUATE_SIGNATURE, error_model="numpy")
    def evaluate(which, x, n, out0, out1, out2):  # type: ignore[no-untyped-def]
        for i in range(n):
            out0[i] = g0(x[i])
            out1[i] = g1(x[i])
            out2[i] = g2(x[i])

    return evaluate


def _gelu2(x: float) -> float:
    return math.exp(-0.5 * x * x) * (2.0 - x * x) / math.sqrt(2.0 * math.pi)


FUNCTIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float], Callable[[float], float]]] = {
    "tanh": (
        lambda x: math.tanh(x),
        lambda x: 1.0 / math.cosh(x) ** 2,
        lambda x: -2.0 * math.tanh(x) / math.cosh(x) ** 2,
    ),
    "steep tanh": (
        lambda x: math.tanh(5.0 * x),
        lambda x: 5.0 / math.cosh(5.0 * x) ** 2,
        lambda x: -50.0 * math.tanh(5.0 * x) / math.cosh(5.0 * x) ** 2,
    ),
    "erf": (
        lambda x: math.erf(x / math.sqrt(2.0)),
        lambda x: math.sqrt(2.0 / math.pi) * math.exp(-0.5 * x * x),
        lambda x: -x * math.sqrt(2.0 / math.pi) * math.exp(-0.5 * x * x),
    ),
    "gelu": (
        lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2.0)),
        lambda x: 0.5 * math.erfc(-x / math.sqrt(2.0)) + x * math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi),
        _gelu2,
    ),
    "softplus": (
        lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
        lambda x: 0.5 * (1.0 + math.tanh(0.5 * x)),
        lambda x: 0.25 / math.cosh(0.5 * x) ** 2,
    ),
    "silu": (
        lambda x: 0.5 * x * (1.0 + math.tanh(0.5 * x)),
        lambda x: 0.5 * (1.0 + math.tanh(0.5 * x)) + 0.25 * x / math.cosh(0.5 * x) ** 2,
        lambda x: 0.5 / math.cosh(0.5 * x) ** 2 * (1.0 - 0.5 * x * math.tanh(0.5 * x)),
    ),
    "sin 3z": (lambda x: math.sin(3.0 * x), lambda x: 3.0 * math.cos(3.0 * x), lambda x: -9.0 * math.sin(3.0 * x)),
    "bump": (
        lambda x: x * math.exp(-0.5 * x * x),
        lambda x: (1.0 - x * x) * math.exp(-0.5 * x * x),
        lambda x: x * (x * x - 3.0) * math.exp(-0.5 * x * x),
    ),
    "pole": (
        lambda x: 1.0 / (1.0 + x * x),
        lambda x: -2.0 * x / (1.0 + x * x) ** 2,
        lambda x: (6.0 * x * x - 2.0) / (1.0 + x * x) ** 3,
    ),
    "He2": (lambda x: x * x - 1.0, lambda x: 2.0 * x, lambda x: 2.0),
    "He3": (lambda x: x**3 - 3.0 * x, lambda x: 3.0 * x * x - 3.0, lambda x: 6.0 * x),
}


def values(name: str, z: Array) -> list[Array]:
    outputs = [np.empty(z.size) for _ in range(3)]
    evaluator(name)(0, np.ascontiguousarray(z.ravel()), z.size, *outputs)
    return [output.reshape(z.shape) for output in outputs]


def plain_tables(name: str, covariance: Array, students: int, points: int, width: float) -> tuple[Array, Array]:
    """Tensor trapezoidal rule over the principal axes of all fields: another route, dear and simple."""
    fields = len(covariance)
    e = np.linspace(-width, width, points)
    w = np.exp(-0.5 * e**2)
    w /= w.sum()
    eigenvalues, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
    kept = [c for c in range(fields) if eigenvalues[c] > 1e-16 * eigenvalues[-1]]
    grids = np.meshgrid(*[e] * len(kept), indexing="ij")
    weight = functools.reduce(np.multiply, np.meshgrid(*[w] * len(kept), indexing="ij"))
    parts = [values(name, sum(root[a, c] * grid for c, grid in zip(kept, grids, strict=True))) for a in range(fields)]
    pair = np.zeros((3, fields, fields))
    four = np.zeros((students, students, fields, fields))
    for i in range(fields):
        for j in range(fields):
            pair[0, i, j] = np.sum(weight * parts[i][0] * parts[j][0])
            if i < students:
                pair[1, i, j] = np.sum(weight * parts[i][1] * parts[j][1])
                pair[2, i, j] = np.sum(weight * parts[i][2] * parts[j][0])
            for k in range(students):
                for l in range(students):
                    four[k, l, i, j] = np.sum(weight * parts[k][1] * parts[l][1] * parts[i][0] * parts[j][0])
    return pair, four


def assert_honest(name: str, covariance: Array, students: int, level: int, truth: tuple[Array, Array]) -> float:
    """The true error of a level is at most the stated one; returns the stated one."""
    fields = len(covariance)
    stated = moment_error(covariance, students, fields - students, evaluator(name), level)
    tables = moment_tables(covariance, students, fields - students, evaluator(name), rule(level))
    for which in (slice(0, 1), slice(1, 3)):
        scale = np.max(np.abs(truth[0][which])) or 1.0
        error = np.max(np.abs(tables.pair[which] - truth[0][which]))
        assert error <= (stated.pair + 1e-13) * scale, (which, stated)
    scale = np.max(np.abs(truth[1])) or 1.0
    assert np.max(np.abs(tables.four_point - truth[1])) <= stated.four_point * scale + 1e-13 * scale, stated
    return stated.value


def random_covariance(rng: np.random.Generator, fields: int, kind: str) -> Array:
    rows = rng.normal(size=(fields, fields))
    if kind == "nearly singular":
        rows[-1] = rows[0] + 1e-5 * rows[-1]
    if kind == "singular":
        rows[-1] = -rows[0]
    matrix = rows @ rows.T
    size = np.sqrt(np.diag(matrix))
    matrix /= np.outer(size, size)
    if kind == "wide range":
        size = 10.0 ** rng.uniform(-4.0, 0.0, fields)
        matrix *= np.outer(size, size)
    return np.asarray(0.5 * (matrix + matrix.T))


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "nearly singular") for name in FUNCTIONS if name != "steep tanh"]
    + [(name, kind) for name in ("tanh", "gelu") for kind in ("plain", "singular", "wide range")],
)
def test_error_estimate_is_honest_for_three_fields(name: str, kind: str) -> None:
    covariance = random_covariance(np.random.default_rng(7), 3, kind)
    truth = plain_tables(name, covariance, 2, 121, 9.5)
    stated = [assert_honest(name, covariance, 2, level, truth) for level in (1, 3, 5)]
    assert stated[-1] < 1e-6


@pytest.mark.parametrize("variance", [1e-8, 1e-3, 0.3, 4.0, 25.0])
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_error_estimate_is_honest_for_two_fields_of_any_variance(name: str, variance: float) -> None:
    kind = "nearly singular" if variance in (1e-3, 4.0) else "plain"
    covariance = variance * random_covariance(np.random.default_rng(11), 2, kind)
    truth = plain_tables(name, covariance, 1, 1801 if variance > 4.0 else 801, 10.5)
    for level in (0, 2, 4, 6):
        assert_honest(name, covariance, 1, level, truth)


def test_chosen_level_meets_the_tolerance_and_an_impossible_one_is_refused() -> None:
    covariance = random_covariance(np.random.default_rng(3), 3, "plain")
    truth = plain_tables("tanh", covariance, 2, 121, 9.5)
    found = choose_level(covariance, 2, 1, evaluator("tanh"), 1e-9)
    tables = moment_tables(covariance, 2, 1, evaluator("tanh"), rule(found.level))
    assert np.max(np.abs(tables.four_point - truth[1])) <= 1e-9 * np.max(np.abs(truth[1]))
    with pytest.raises(AccuracyError, match=r"asked for a relative error of 1\.0e-12, achieved"):
        choose_level(np.array([[2500.0]]), 1, 0, evaluator("steep tanh"), 1e-12)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["plain", "nearly singular", "singular", "wide range"]))
def test_reordering_the_fields_reorders_the_tables(seed: int, kind: str) -> None:
    """The engine conditions in index order: another order takes other nodes, and one branch checks another."""
    rng = np.random.default_rng(seed)
    covariance = random_covariance(rng, 4, kind)
    order = rng.permutation(4)
    tables = moment_tables(covariance, 4, 0, evaluator("erf"), rule(5))
    other = moment_tables(covariance[np.ix_(order, order)], 4, 0, evaluator("erf"), rule(5))
    np.testing.assert_allclose(
        other.pair, tables.pair[np.ix_(range(3), order, order)], rtol=0, atol=1e-12 * np.max(np.abs(tables.pair))
    )
    np.testing.assert_allclose(
        other.four_point,
        tables.four_point[np.ix_(order, order, order, order)],
        rtol=0,
        atol=1e-12 * np.max(np.abs(tables.four_point)),
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_steins_lemma_links_the_pair_tables(seed: int) -> None:
    """d/dC_ij of E[g(z_i) g(z_j)] is E[g' g'] for i != j (Price), by central differences of the table itself."""
    covariance = random_covariance(np.random.default_rng(seed), 3, "plain")
    step = 1e-4 * np.linalg.eigvalsh(covariance)[0]
    tables = moment_tables(covariance, 3, 0, evaluator("gelu"), rule(6))
    shifted = []
    for sign in (1.0, -1.0):
        moved = covariance.copy()
        moved[0, 1] += sign * step
        moved[1, 0] += sign * step
        shifted.append(moment_tables(moved, 3, 0, evaluator("gelu"), rule(6)).pair[0, 0, 1])
    slope = (shifted[0] - shifted[1]) / (2.0 * step)
    assert abs(slope - tables.pair[1, 0, 1]) <= 1e-13 / step + 1e-6
