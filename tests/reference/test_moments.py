"""Quadrature tables against closed forms and published numbers."""

import math

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from hermiton.numerics.moments.accuracy import moment_tables
from hermiton.numerics.moments.pointer import EVALUATE_SIGNATURE
from hermiton.numerics.quadrature import gauss_rule, rule

COVARIANCE = np.array([[1, 0.3, 0.4, 0.2], [0.3, 1.2, -0.1, 0.5], [0.4, -0.1, 0.9, 0.25], [0.2, 0.5, 0.25, 1.1]])


@njit(EVALUATE_SIGNATURE, error_model="numpy")
def erf(which, x, n, out0, out1, out2):  # type: ignore[no-untyped-def]
    for i in range(n):
        out0[i] = math.erf(x[i] / math.sqrt(2.0))
        out1[i] = math.sqrt(2.0 / math.pi) * math.exp(-0.5 * x[i] ** 2)
        out2[i] = -x[i] * out1[i]


@njit(EVALUATE_SIGNATURE, error_model="numpy")
def tanh(which, x, n, out0, out1, out2):  # type: ignore[no-untyped-def]
    for i in range(n):
        out0[i] = math.tanh(x[i])
        out1[i] = 1.0 - out0[i] ** 2
        out2[i] = -2.0 * out0[i] * out1[i]


@njit(EVALUATE_SIGNATURE, error_model="numpy")
def cubic_and_square(which, x, n, out0, out1, out2):  # type: ignore[no-untyped-def]
    for i in range(n):
        if which == 0:
            out0[i] = x[i] ** 3 - x[i] + 0.5
            out1[i] = 3.0 * x[i] ** 2 - 1.0
            out2[i] = 6.0 * x[i]
        else:
            out0[i] = x[i] ** 2 - 2.0
            out1[i] = 2.0 * x[i]
            out2[i] = 2.0


def saad_solla(c: NDArray[np.float64], k: int, l: int, a: int, b: int) -> float:
    """E[g'_k g'_l g_a g_b] for g = erf(x/sqrt 2)."""
    l4 = (1 + c[k, k]) * (1 + c[l, l]) - c[k, l] ** 2
    l0 = (
        l4 * c[a, b]
        - c[l, a] * c[l, b] * (1 + c[k, k])
        - c[k, a] * c[k, b] * (1 + c[l, l])
        + c[k, l] * (c[k, a] * c[l, b] + c[k, b] * c[l, a])
    )
    sizes = [
        l4 * (1 + c[x, x])
        - c[l, x] ** 2 * (1 + c[k, k])
        - c[k, x] ** 2 * (1 + c[l, l])
        + 2 * c[k, l] * c[k, x] * c[l, x]
        for x in (a, b)
    ]
    return float(4 / math.pi**2 / math.sqrt(l4) * math.asin(l0 / math.sqrt(sizes[0] * sizes[1])))


def assert_erf_tables(c: NDArray[np.float64], students: int, level: int, tolerance: float) -> None:
    fields = len(c)
    tables = moment_tables(c, students, fields - students, erf, rule(level))
    for i in range(fields):
        for j in range(fields):
            size = (1 + c[i, i]) * (1 + c[j, j])
            assert tables.pair[0, i, j] == pytest.approx(
                2 / math.pi * math.asin(c[i, j] / math.sqrt(size)), abs=tolerance
            )
            if i < students:
                slope = 2 / math.pi / math.sqrt(size - c[i, j] ** 2)
                assert tables.pair[1, i, j] == pytest.approx(slope, abs=tolerance)
                # Stein: E[g''_i g_j] = -E[g'_i z_i g_j], I3 with its middle index equal to the first.
                third = -2 / math.pi / math.sqrt(size - c[i, j] ** 2) * c[i, j] / (1 + c[i, i])
                assert tables.pair[2, i, j] == pytest.approx(third, abs=tolerance)
            for k in range(students):
                for l in range(students):
                    assert tables.four_point[k, l, i, j] == pytest.approx(saad_solla(c, k, l, i, j), abs=tolerance)


def test_erf_reference_values() -> None:
    tables = moment_tables(COVARIANCE, 2, 2, erf, rule(6))
    assert abs(tables.pair[0, 0, 1] - 0.091362257011207) < 1e-13
    assert abs(tables.pair[1, 0, 1] - 0.306648954191235) < 1e-13
    assert abs(tables.four_point[0, 1, 2, 3] - 0.025354374280339) < 1e-13


@pytest.mark.parametrize("students", [1, 2, 4])
def test_erf_closed_forms(students: int) -> None:
    assert_erf_tables(COVARIANCE, students, 6, 1e-13)
    assert_erf_tables(9.0 * COVARIANCE, students, 9, 1e-13)


@pytest.mark.parametrize("gap", [1e-12, 1e-9, 1e-6, 1e-3, 1e-2])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_erf_near_specialisation(gap: float, sign: float) -> None:
    """Two students, their teachers at correlation +-(1 - gap): conditional deviations of every size."""
    r = sign * (1.0 - gap)
    c = np.array([[1.0, 0.3, r, 0.3 * r], [0.3, 1.0, 0.3 * r, r], [r, 0.3 * r, 1.0, 0.3], [0.3 * r, r, 0.3, 1.0]])
    assert_erf_tables(c, 2, 6, 1e-13)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]],  # identical units
        [[1, 0, 0], [-1, 0, 0], [1, 1e-6, 0], [1, 0, 1e-6]],  # opposite ones; two close to both
        [[0, 0, 0], [1, 0, 0], [0, 0, 0], [1, 0, 0]],  # idle units of variance zero
        [[1e-10, 0, 0], [1, 1, 0], [0, 1e-4, 0], [1, 1, 0]],  # small ones
        [[1, 0, 0], [1, 1e-6, 0], [0, 1, 0], [0, 1, 1e-7]],  # a field in the direction of a small difference
        [[2, 0, 0], [0, 2, 0], [1.9, 0.1, 0.6], [1.9, 0.1, 0.7]],  # near 1 given the students: the longest series
    ],
)
def test_erf_singular_covariances(rows: list[list[float]]) -> None:
    factor = np.array(rows, dtype=float)
    assert_erf_tables(factor @ factor.T, 2, 7, 1e-13)


def test_erf_where_the_series_does_not_converge() -> None:
    """Wide fields at conditional correlation 0.99: integrated directly."""
    factor = np.array([[1.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.5, 5.0, 0.7]])
    assert_erf_tables(factor @ factor.T, 1, 8, 1e-12)


def test_tanh_four_point_moments_by_a_tensor_rule_over_all_fields() -> None:
    nodes = np.linspace(-7.6, 7.6, 57)
    weights = np.exp(-0.5 * nodes**2)
    weights /= weights.sum()
    eigenvalues, vectors = np.linalg.eigh(COVARIANCE)
    root = vectors * np.sqrt(eigenvalues)
    grid = np.meshgrid(nodes, nodes, nodes, indexing="ij")
    cube = weights[:, None, None] * weights[:, None] * weights
    indices = [(0, 1, 2, 3), (0, 0, 1, 2), (0, 1, 0, 3), (1, 1, 1, 0), (0, 1, 2, 2)]
    totals = np.zeros(len(indices))
    for node, weight in zip(nodes, weights, strict=True):
        g = [np.tanh(row[0] * node + row[1] * grid[0] + row[2] * grid[1] + row[3] * grid[2]) for row in root]
        d = [1.0 - part**2 for part in g]
        totals += [weight * np.sum(cube * d[k] * d[l] * g[a] * g[b]) for k, l, a, b in indices]
    four = moment_tables(COVARIANCE, 2, 2, tanh, rule(5)).four_point
    np.testing.assert_allclose([four[index] for index in indices], totals, rtol=0, atol=2e-14)


def test_polynomials_are_exact_under_the_gauss_rule() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    weights = weights / weights.sum()
    root = np.linalg.cholesky(COVARIANCE)
    grid = np.stack([part.ravel() for part in np.meshgrid(*[nodes] * 4, indexing="ij")])
    weight = np.prod(np.stack([part.ravel() for part in np.meshgrid(*[weights] * 4, indexing="ij")]), axis=0)
    z = root @ grid
    g = [z[a] ** 3 - z[a] + 0.5 if a < 2 else z[a] ** 2 - 2.0 for a in range(4)]
    d = [3.0 * z[a] ** 2 - 1.0 if a < 2 else 2.0 * z[a] for a in range(4)]
    four = np.einsum("kn,ln,an,bn,n->klab", d[:2], d[:2], g, g, weight)
    pair = np.array([[np.sum(weight * g[a] * g[b]) for b in range(4)] for a in range(4)])
    for quadrature in (gauss_rule(3), gauss_rule(6), rule(8)):
        tables = moment_tables(COVARIANCE, 2, 2, cubic_and_square, quadrature)
        np.testing.assert_allclose(tables.four_point, four, rtol=0, atol=2e-14 * np.max(np.abs(four)))
        np.testing.assert_allclose(tables.pair[0], pair, rtol=0, atol=2e-14 * np.max(np.abs(pair)))
