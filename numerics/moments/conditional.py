"""Hermite coefficients c_n(m) = E[g(m + s e) He_n(e)] of one field at many conditional means m.

The trapezoidal rule keeps its accuracy when its grid is shifted, so g is evaluated on one uniform grid of step h s,
shared by all means. On that grid a row of coefficients costs only multiplications; between rows

    c_n(m + x s) = sum_k x^k/k! c_(n+k)(m),    |x| <= h/2,

converges in a few terms. Directions of small variance use a few Gauss-Hermite nodes instead.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from .options import (
    AT_SMALL_NODES,
    AT_SMALL_WEIGHTS,
    INTERNAL,
    LARGEST,
)

__all__ = ["evaluate_grid", "extend_table", "fill_shifted", "fill_small", "nearest", "shifted_mean", "small_count"]


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def small_count(ratio: float, limits: int, sizes: Any, data: Any) -> int:
    """Number of Gauss-Hermite nodes that do for this ratio of deviations; 0 if the uniform grid is needed.

    ``limits`` is AT_LIMITS or AT_MEAN_LIMITS.
    """
    if ratio == 0.0:
        return 1
    for count in range(sizes[LARGEST]):
        if ratio <= data[sizes[limits] + count]:
            return count + 1
    return 0


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def evaluate_grid(which: int, step: float, half: int, x: Any, out0: Any, out1: Any, out2: Any, evaluate: Any) -> None:
    """Evaluate a function set at step * (-half, ..., half)."""
    for i in range(2 * half + 1):
        x[i] = step * (i - half)
    evaluate(which, x, 2 * half + 1, out0, out1, out2)


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def extend_table(
    values: Any, rows: int, points: int, hermite: Any, columns: int, begin: int, end: int, table: Any, stride: int
) -> None:
    """Columns begin <= m < end of table[J, m] = sum_j He_m(x_j) w_j values[J + j], J < rows, rows ``stride`` apart."""
    wide = np.uint64(columns)
    for row in range(np.uint64(rows)):
        base = row * np.uint64(stride)
        for m in range(np.uint64(begin), np.uint64(end)):
            table[base + m] = values[row] * hermite[m]
        # Four nodes at a time: a row of the table is read and written a quarter as often. Nodes number 4 i + 1.
        for j in range(np.uint64(1), np.uint64(points), np.uint64(4)):
            v0 = values[row + j]
            v1 = values[row + j + np.uint64(1)]
            v2 = values[row + j + np.uint64(2)]
            v3 = values[row + j + np.uint64(3)]
            h0 = j * wide
            h1 = h0 + wide
            h2 = h1 + wide
            h3 = h2 + wide
            for m in range(np.uint64(begin), np.uint64(end)):
                table[base + m] += (v0 * hermite[h0 + m] + v1 * hermite[h1 + m]) + (
                    v2 * hermite[h2 + m] + v3 * hermite[h3 + m]
                )


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def fill_shifted(
    table: Any,
    first: int,
    columns: int,
    mean: Any,
    count: int,
    step: float,
    deviation: float,
    taylor: int,
    terms: int,
    roots: Any,
    inverse: Any,
    work: Any,
    out: Any,
    place: int,
    stride: int,
) -> None:
    """out[place + n stride + i] = c_n(mean_i)/sqrt(n!), n < terms, from the table whose row for mean zero is ``first``.

    ``inverse`` holds 1/(k + 1), ``work`` is scratch, both of length ``taylor``. ``terms`` is rounded up to a multiple
    of four.
    """
    # Unsigned indices: signed ones may be negative, and the test for that keeps the loops from being unrolled well.
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    leap = np.uint64(stride)
    depth = np.uint64(taylor)
    for i in range(np.uint64(count)):
        row = nearest(mean[i], step)
        x = (mean[i] - row * step) / deviation
        base = np.uint64((first + row) * columns)
        for k in range(depth):
            work[k] = x * inverse[k]
        for n in range(np.uint64(0), np.uint64(terms), np.uint64(4)):
            start = base + n + depth - one
            v0 = table[start]
            v1 = table[start + one]
            v2 = table[start + two]
            v3 = table[start + three]
            for k in range(one, depth):
                y = work[depth - one - k]
                at = start - k
                v0 = table[at] + y * v0
                v1 = table[at + one] + y * v1
                v2 = table[at + two] + y * v2
                v3 = table[at + three] + y * v3
            to = np.uint64(place) + n * leap + i
            out[to] = v0 * roots[n]
            out[to + leap] = v1 * roots[n + one]
            out[to + leap + leap] = v2 * roots[n + two]
            out[to + leap + leap + leap] = v3 * roots[n + three]


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def shifted_mean(table: Any, base: int, x: float, taylor: int, inverse: Any) -> float:
    """c_0(m + x s) from the row of coefficients that starts at ``base``."""
    depth = np.uint64(taylor)
    last = np.uint64(base) + depth - np.uint64(1)
    v = table[last]
    for k in range(np.uint64(1), depth):
        v = table[last - k] + x * inverse[depth - np.uint64(1) - k] * v
    return v  # type: ignore[no-any-return]


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def fill_small(
    which: int,
    mean: Any,
    count: int,
    deviation: float,
    nodes: int,
    sizes: Any,
    data: Any,
    roots: Any,
    x: Any,
    out0: Any,
    out1: Any,
    out2: Any,
    coefficients: Any,
    place: int,
    stride: int,
    squares: Any,
    squares_place: int,
    evaluate: Any,
) -> None:
    """Coefficients c_n/sqrt(n!), n < nodes, and E g^2, at ``count`` means by Gauss-Hermite.

    Terms beyond ``nodes`` are below the tolerance by the choice of :func:`small_count`.
    """
    at = (nodes * (nodes - 1)) // 2
    e = data[sizes[AT_SMALL_NODES] + at : sizes[AT_SMALL_NODES] + at + nodes]
    w = data[sizes[AT_SMALL_WEIGHTS] + at : sizes[AT_SMALL_WEIGHTS] + at + nodes]
    for j in range(nodes):
        for i in range(count):
            x[j * count + i] = mean[i] + deviation * e[j]
    evaluate(which, x, nodes * count, out0, out1, out2)
    for i in range(count):
        squares[squares_place + i] = 0.0
    for n in range(nodes):
        for i in range(count):
            coefficients[place + n * stride + i] = 0.0
    for j in range(nodes):
        for i in range(count):
            squares[squares_place + i] += w[j] * out0[j * count + i] ** 2
        before = 0.0
        now = w[j]
        for n in range(nodes):
            scaled = now * roots[n]
            for i in range(count):
                coefficients[place + n * stride + i] += scaled * out0[j * count + i]
            after = e[j] * now - n * before
            before = now
            now = after


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def nearest(mean: float, step: float) -> int:
    """Index of the grid point next to a mean."""
    return math.floor(mean / step + 0.5)
