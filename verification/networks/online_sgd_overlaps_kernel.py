"""Compiled step of the overlap chain. Fields are ordered teacher first: its block of the square root never changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from .compiled import GENERATOR, SCALAR_FUNCTION, compiled, compiled_for
from .online_sgd_kernels import LIMIT, increments

Vector = NDArray[np.float64]
Scalar = Callable[[float], float]

# A residual variance below this share of the variance itself is rounding noise: some ten times the rounding of its n
# terms.
PIVOT = 1e-14


@compiled
def cholesky_rows(C: Vector, root: Vector, inverse: Vector, first: int) -> None:
    """Compute rows `first`, ... of the Cholesky factor of a positive semidefinite matrix; earlier rows are given.

    Only the lower triangle of C is read. `inverse` holds 1/diagonal, or 0 for a column that is dropped because its
    pivot vanishes: then the rest of the column vanishes with it, by Cauchy-Schwarz, and no division by noise occurs.
    """
    for i in range(first, C.shape[0]):
        residual = C[i, i]
        for j in range(i):
            entry = C[i, j]
            for n in range(j):
                entry -= root[i, n] * root[j, n]
            entry *= inverse[j]
            root[i, j] = entry
            residual -= entry * entry
        if residual > PIVOT * C[i, i]:
            root[i, i] = np.sqrt(residual)
            inverse[i] = 1.0 / root[i, i]
        else:
            root[i, i] = 0.0
            inverse[i] = 0.0


def semidefinite_cholesky(C: Vector) -> Vector:
    """Return the lower triangular square root of a positive semidefinite matrix (n, n)."""
    root = np.zeros_like(C)
    cholesky_rows(C, root, np.zeros(len(C)), 0)
    return root


def _chain_steps(
    Q: Vector,
    R: Vector,
    v: Vector,
    teacher_root: Vector,
    A: Vector,
    dimension: float,
    rates: Vector,
    activation: Scalar,
    derivative: Scalar,
    teacher_activation: Scalar,
    count: int,
    rng: np.random.Generator,
) -> int:
    K, M = R.shape
    units = K + M
    C = np.zeros((units, units))
    root = np.zeros((units, units))
    inverse = np.zeros(units)
    for m in range(M):
        for n in range(m + 1):
            root[m, n] = teacher_root[m, n]
        if root[m, m] > 0.0:
            inverse[m] = 1.0 / root[m, m]
    e = np.empty(units)
    fields = np.empty(units)  # students first, as the error wants them
    slopes = np.empty(K)
    v_increments = np.empty(K)
    for taken in range(count):
        for k in range(K):
            for m in range(M):
                C[M + k, m] = R[k, m]
            for j in range(k + 1):
                C[M + k, M + j] = Q[k, j]
        cholesky_rows(C, root, inverse, M)
        square = 0.0
        for a in range(units):
            e[a] = rng.standard_normal()
            square += e[a] * e[a]
        if dimension > units:
            square += 2.0 * rng.standard_gamma((dimension - units) / 2.0)
        zeta = rng.standard_normal()
        for a in range(units):
            field = 0.0
            for b in range(a + 1):
                field += root[a, b] * e[b]
            fields[(a + K) % units] = field
        if not increments(
            fields, v, A, rates, zeta, activation, derivative, teacher_activation, slopes, v_increments, LIMIT
        ):
            return taken
        for k in range(K):
            v[k] -= rates[1] / dimension * v_increments[k]
            slopes[k] *= rates[0] / dimension
        for k in range(K):
            for m in range(M):
                R[k, m] -= slopes[k] * fields[K + m]
            for j in range(k + 1):
                Q[k, j] += slopes[k] * slopes[j] * square - slopes[k] * fields[j] - slopes[j] * fields[k]
                Q[j, k] = Q[k, j]
    return count


@cache
def chain_steps() -> Any:
    """Kernel of many steps of the chain; changes Q, R, v in place and returns how many steps were taken."""
    matrix, vector = types.float64[:, ::1], types.float64[::1]
    functions = (SCALAR_FUNCTION, SCALAR_FUNCTION, SCALAR_FUNCTION)
    return compiled_for(
        types.int64(matrix, matrix, vector, matrix, vector, types.float64, vector, *functions, types.int64, GENERATOR),
        _chain_steps,
    )
