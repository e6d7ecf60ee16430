"""Pair moments E[f_p(z_i) f_q(z_j)], f_0 = g, f_1 = g', f_2 = g''."""

import math
from typing import Any

import numpy as np
from numba import njit

from .conditional import evaluate_grid, nearest, small_count
from .geometry import condition, factor
from .options import (
    AT_MEAN_LIMITS,
    AT_NODES,
    AT_SCALARS,
    AT_SMALL_NODES,
    AT_SMALL_WEIGHTS,
    AT_WEIGHTS,
    INTERNAL,
    LARGEST,
    OPTIONS,
    POINTS,
    REACH,
    STEP,
)

__all__ = ["pair_moments", "pair_scratch"]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def pair_scratch(fields: int, sizes: Any) -> int:
    """Length of the scratch array of :func:`pair_moments`."""
    points = sizes[POINTS]
    grid = _grid(points, sizes)
    return 3 * fields * fields + 3 * fields + 6 * points + 4 * grid + points  # type: ignore[no-any-return]


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _grid(points: int, sizes: Any) -> int:
    return max(2 * sizes[REACH] + points + 3, points * sizes[LARGEST])  # type: ignore[no-any-return]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def pair_moments(
    covariance: Any, students: int, teachers: int, sizes: Any, data: Any, out: Any, scratch: Any, evaluate: Any
) -> None:
    """Fill the pair tables.

    Parameters
    ----------
    covariance
        Flat (F, F) covariance of the fields, F = students + teachers.
    students, teachers
        Sizes K and M of the two blocks; fields below K use function set 0, the others set 1.
    sizes, data
        A packed :class:`~hermiton.numerics.quadrature.GaussianRule`.
    out
        Flat (3, F, F): E[g(z_i) g(z_j)] for all i, j; E[g'(z_i) g'(z_j)] for i < K, all j; E[g''(z_i) g(z_j)] for i <
        K, all j. Rows i >= K of the last two are set to zero.
    scratch
        At least ``pair_scratch(F, sizes)`` numbers; with fewer, all of ``out`` is NaN.
    evaluate
        The functions, of type ``EVALUATE_TYPE``.
    """
    fields = students + teachers
    if scratch.size < pair_scratch(fields, sizes):
        out[:] = np.nan
        return
    points = sizes[POINTS]
    square = fields * fields
    rows = scratch[:square]
    rest = scratch[square : 2 * square]
    correlation = scratch[2 * square : 3 * square]
    at = 3 * square
    first = scratch[at : at + fields]
    second = scratch[at + fields : at + 2 * fields]
    deviation = scratch[at + 2 * fields : at + 3 * fields]
    at += 3 * fields
    mine = scratch[at : at + 3 * points]
    at += 3 * points
    other = scratch[at : at + 3 * points]
    at += 3 * points
    half = points // 2
    bell = scratch[at : at + points]
    at += points
    grid = _grid(points, sizes)
    x = scratch[at : at + grid]
    out0 = scratch[at + grid : at + 2 * grid]
    out1 = scratch[at + 2 * grid : at + 3 * grid]
    out2 = scratch[at + 3 * grid : at + 4 * grid]
    nodes = data[sizes[AT_NODES] : sizes[AT_NODES] + points]
    weights = data[sizes[AT_WEIGHTS] : sizes[AT_WEIGHTS] + points]
    step = data[sizes[AT_SCALARS] + STEP]
    for j in range(half + 1):
        bell[j] = math.exp(-0.5 * (j * step) ** 2)
    for i in range(3 * square):
        out[i] = 0.0
    factor(covariance, fields, rows)
    for i in range(fields):
        condition(rows, fields, i, i, first, second, deviation, correlation, rest)
        own = 0 if i < students else 1
        for n in range(points):
            x[n] = first[i] * nodes[n]
        evaluate(own, x, points, out0, out1, out2)
        s0, s1, s2 = 0.0, 0.0, 0.0
        for n in range(points):
            mine[n] = weights[n] * out0[n]
            mine[points + n] = weights[n] * out1[n]
            mine[2 * points + n] = weights[n] * out2[n]
            s0 += mine[n] * out0[n]
            s1 += mine[points + n] * out1[n]
            s2 += mine[2 * points + n] * out0[n]
        out[i * fields + i] = s0
        if i < students:
            out[square + i * fields + i] = s1
            out[2 * square + i * fields + i] = s2
        for j in range(i + 1, fields):
            _other_means(
                0 if j < students else 1,
                first[j],
                deviation[j],
                nodes,
                sizes,
                data,
                bell,
                x,
                out0,
                out1,
                out2,
                other,
                evaluate,
            )
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for n in range(points):
                s0 += mine[n] * other[n]
                s1 += mine[points + n] * other[points + n]
                s2 += mine[2 * points + n] * other[n]
                s3 += mine[n] * other[2 * points + n]
            out[i * fields + j] = s0
            out[j * fields + i] = s0
            if i < students:
                out[square + i * fields + j] = s1
                out[2 * square + i * fields + j] = s2
            if j < students:
                out[square + j * fields + i] = s1
                out[2 * square + j * fields + i] = s3


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _other_means(
    which: int,
    slope: float,
    deviation: float,
    nodes: Any,
    sizes: Any,
    data: Any,
    bell: Any,
    x: Any,
    out0: Any,
    out1: Any,
    out2: Any,
    other: Any,
    evaluate: Any,
) -> None:
    """other[q, n] = E[f_q(slope e_n + deviation xi)] at every node e_n."""
    points = nodes.size
    total = math.sqrt(slope**2 + deviation**2)
    count = small_count(deviation / total if total > 0.0 else 0.0, AT_MEAN_LIMITS, sizes, data)
    if count > 0:
        at = (count * (count - 1)) // 2
        e = data[sizes[AT_SMALL_NODES] + at : sizes[AT_SMALL_NODES] + at + count]
        w = data[sizes[AT_SMALL_WEIGHTS] + at : sizes[AT_SMALL_WEIGHTS] + at + count]
        for j in range(count):
            for n in range(points):
                x[j * points + n] = slope * nodes[n] + deviation * e[j]
        evaluate(which, x, count * points, out0, out1, out2)
        for n in range(3 * points):
            other[n] = 0.0
        for j in range(count):
            for n in range(points):
                other[n] += w[j] * out0[j * points + n]
                other[points + n] += w[j] * out1[j * points + n]
                other[2 * points + n] += w[j] * out2[j * points + n]
        return
    width = data[sizes[AT_SCALARS] + STEP]
    step = width * deviation
    half = points // 2
    reach = math.ceil(abs(slope) * nodes[points - 1] / step) + 1
    evaluate_grid(which, step, reach + half, x, out0, out1, out2, evaluate)
    for n in range(points):
        mean = slope * nodes[n]
        row = nearest(mean, step)
        # Grid point row + j lies (offset + j h) deviations from the mean; its weight is proportional to
        # exp(-(offset + j h)^2/2), which is bell(j) times a power of u.
        offset = (row * step - mean) / deviation
        up = math.exp(-offset * width)
        down = 1.0 / up
        center = row + reach + half
        mass = bell[0]
        s0 = mass * out0[center]
        s1 = mass * out1[center]
        s2 = mass * out2[center]
        right, left = 1.0, 1.0
        for j in range(1, half + 1):
            right *= up
            left *= down
            r = right * bell[j]
            l = left * bell[j]
            mass += r + l
            s0 += r * out0[center + j] + l * out0[center - j]
            s1 += r * out1[center + j] + l * out1[center - j]
            s2 += r * out2[center + j] + l * out2[center - j]
        other[n] = s0 / mass
        other[points + n] = s1 / mass
        other[2 * points + n] = s2 / mass
