"""Compiled steps of online SGD on real weights: a plain one in float64 and a fast one in float32.

Both take the scalar functions as pointers, so that they compile once for every activation and load from the disk cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from .compiled import GENERATOR, SCALAR_FUNCTION, compiled, compiled_for
from .gaussians import fill_normals

Vector = NDArray[np.float64]
Single = NDArray[np.float32]
Scalar = Callable[[float], float]

# A run has diverged when a field or an increment leaves this range. Far below the largest number, so that the refused
# step leaves weights and overlaps (squares of weights) finite.
LIMIT = 1e100
LIMIT_SINGLE = 1e15

PIECE = 1024  # length of a float32 partial sum; the partial sums are added in float64


@compiled
def increments(
    fields: Vector,
    v: Vector,
    A: Vector,
    rates: Vector,
    zeta: float,
    activation: Scalar,
    derivative: Scalar,
    teacher_activation: Scalar,
    slopes: Vector,
    v_increments: Vector,
    limit: float,
) -> bool:
    """Compute one step from the local fields (lambda_1..K, nu_1..M); return whether all of it stays within `limit`.

    `slopes` gets v_k g'(lambda_k) Delta, by which x is multiplied; `v_increments` gets g(lambda_k) Delta.
    """
    K = v.size
    error = -rates[2] * zeta
    for k in range(K):
        v_increments[k] = activation(fields[k])
        error += v[k] * v_increments[k]
    for m in range(A.size):
        error -= A[m] * teacher_activation(fields[K + m])
    good: bool = abs(error) <= limit  # false for NaN
    for k in range(K):
        slopes[k] = v[k] * derivative(fields[k]) * error
        v_increments[k] *= error
        good = good and abs(slopes[k]) <= limit and abs(rates[0] * slopes[k]) <= limit
        good = good and abs(v[k]) + abs(rates[1] * v_increments[k]) <= limit
    for a in range(fields.size):
        good = good and abs(fields[a]) <= limit
    return good


@compiled
def inner(weights: Vector, x: Vector) -> float:
    """Inner product."""
    total = 0.0
    for i in range(x.size):
        total += weights[i] * x[i]
    return total


@compiled
def subtract(factor: float, x: Vector, weights: Vector) -> None:
    """Subtract ``factor * x`` from the weights in place."""
    for i in range(x.size):
        weights[i] -= factor * x[i]


def _step(
    W: Vector,
    Wstar: Vector,
    v: Vector,
    A: Vector,
    x: Vector,
    zeta: float,
    rates: Vector,
    activation: Scalar,
    derivative: Scalar,
    teacher_activation: Scalar,
) -> bool:
    K, N = W.shape
    M = A.size
    fields = np.empty(K + M)
    slopes = np.empty(K)
    v_increments = np.empty(K)
    for k in range(K):
        fields[k] = inner(W[k], x) / np.sqrt(N)
    for m in range(M):
        fields[K + m] = inner(Wstar[m], x) / np.sqrt(N)
    good = increments(
        fields, v, A, rates, zeta, activation, derivative, teacher_activation, slopes, v_increments, LIMIT
    )
    if good:
        for k in range(K):
            v[k] -= rates[1] / N * v_increments[k]
            subtract(rates[0] / np.sqrt(N) * slopes[k], x, W[k])
    return good


step = compiled(_step)


def _steps(
    W: Vector,
    Wstar: Vector,
    v: Vector,
    A: Vector,
    x: Vector,
    rates: Vector,
    activation: Scalar,
    derivative: Scalar,
    teacher_activation: Scalar,
    count: int,
    rng: np.random.Generator,
) -> int:
    for taken in range(count):
        for i in range(x.size):
            x[i] = rng.standard_normal()
        zeta = rng.standard_normal()
        if not step(W, Wstar, v, A, x, zeta, rates, activation, derivative, teacher_activation):
            return taken
    return count


@compiled
def partial_product(weights: Single, x: Single) -> np.float32:
    """Inner product in float32."""
    total = np.float32(0.0)
    for i in range(x.size):
        total += weights[i] * x[i]
    return total


@compiled
def partial_move(weights: Single, factor: np.float32, before: Single, x: Single) -> np.float32:
    """Subtract ``factor * before`` from the weights; return their inner product with `x` in float32."""
    total = np.float32(0.0)
    for i in range(x.size):
        moved = weights[i] - factor * before[i]
        weights[i] = moved
        total += moved * x[i]
    return total


@compiled
def project(weights: Single, x: Single) -> float:
    """Inner product: float32 products and partial sums, float64 total."""
    total = 0.0
    for start in range(0, x.size, PIECE):
        piece = slice(start, start + PIECE)
        total += np.float64(partial_product(weights[piece], x[piece]))
    return total


@compiled
def move_and_project(weights: Single, factor: np.float32, before: Single, x: Single) -> float:
    """Take the step that is still due, ``weights -= factor * before``, and project the result on the new input `x`."""
    total = 0.0
    for start in range(0, x.size, PIECE):
        piece = slice(start, start + PIECE)
        total += np.float64(partial_move(weights[piece], factor, before[piece], x[piece]))
    return total


def _fast_steps(
    W: Single,
    Wstar: Single,
    v: Vector,
    A: Vector,
    inputs: Single,
    words: NDArray[np.uint32],
    lanes: NDArray[np.uint32],
    dimension: int,
    rates: Vector,
    activation: Scalar,
    derivative: Scalar,
    teacher_activation: Scalar,
    count: int,
    rng: np.random.Generator,
) -> int:
    K = v.size
    M = A.size
    root = np.sqrt(dimension)
    fields = np.empty(K + M)
    slopes = np.empty(K)
    v_increments = np.empty(K)
    # The update of one step is taken together with the projection of the next: one pass over the weights a step. Before
    # the first step nothing is due.
    due = np.zeros(K, dtype=np.float32)
    taken = 0
    while taken < count:
        x = inputs[taken % 2]
        before = inputs[1 - taken % 2]
        fill_normals(lanes, words, x)
        x[dimension:] = np.float32(0.0)  # the weights are padded to whole blocks of normals
        for k in range(K):
            fields[k] = move_and_project(W[k], due[k], before, x) / root
            due[k] = np.float32(0.0)
        for m in range(M):
            fields[K + m] = project(Wstar[m], x) / root
        zeta = rng.standard_normal()
        if not increments(
            fields, v, A, rates, zeta, activation, derivative, teacher_activation, slopes, v_increments, LIMIT_SINGLE
        ):
            break
        for k in range(K):
            v[k] -= rates[1] / dimension * v_increments[k]
            due[k] = np.float32(rates[0] / root * slopes[k])
        taken += 1
    last = inputs[1 - taken % 2]
    for k in range(K):
        if due[k] != np.float32(0.0):
            for i in range(last.size):
                W[k, i] -= due[k] * last[i]
    return taken


_MATRIX, _VECTOR = types.float64[:, ::1], types.float64[::1]
_SINGLE, _WORDS = types.float32[:, ::1], types.uint32[:, ::1]
_FUNCTIONS = (SCALAR_FUNCTION, SCALAR_FUNCTION, SCALAR_FUNCTION)


@cache
def single_step() -> Any:
    """Kernel of one float64 step on a given input and label noise; returns whether the step was taken."""
    return compiled_for(
        types.boolean(_MATRIX, _MATRIX, _VECTOR, _VECTOR, _VECTOR, types.float64, _VECTOR, *_FUNCTIONS), _step
    )


@cache
def plain_steps() -> Any:
    """Kernel of many float64 steps on fresh inputs; returns how many were taken."""
    return compiled_for(
        types.int64(_MATRIX, _MATRIX, _VECTOR, _VECTOR, _VECTOR, _VECTOR, *_FUNCTIONS, types.int64, GENERATOR), _steps
    )


@cache
def fast_steps() -> Any:
    """Kernel of many float32 steps on fresh inputs; returns how many were taken."""
    buffers = (_SINGLE, _WORDS, _WORDS)
    return compiled_for(
        types.int64(
            _SINGLE, _SINGLE, _VECTOR, _VECTOR, *buffers, types.int64, _VECTOR, *_FUNCTIONS, types.int64, GENERATOR
        ),
        _fast_steps,
    )
