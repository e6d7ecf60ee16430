"""Conditioning jointly Gaussian fields on one or two of them, safe for every singular covariance.

Fields are rows of a factor G with C = G G^T. Projecting rows keeps the joint law to rounding whatever the condition
number: a direction that rounding has turned is still a unit vector, and what it misses stays in the remainders. The
textbook Schur complement loses the correlation of two fields that are determined by an almost singular pair.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from .options import INTERNAL

__all__ = ["condition", "factor"]

_EPS = float(np.finfo(np.float64).eps)


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def factor(covariance: Any, fields: int, rows: Any) -> None:
    """Fill ``rows`` (flat, fields x fields) with G, C = G G^T, by Cholesky's method with the largest pivot first.

    Where rounding or an integrator's error has left a covariance that is not positive semi-definite, the variance of
    the smaller field is raised to what its covariances ask for: a change of second order in the error.
    """
    for i in range(fields * fields):
        rows[i] = 0.0
    taken = np.zeros(fields, np.bool_)
    for column in range(fields):
        pivot, largest = -1, 0.0
        for i in range(fields):
            if not taken[i]:
                left = covariance[i * fields + i]
                for c in range(column):
                    left -= rows[i * fields + c] ** 2
                if left > 8.0 * _EPS * covariance[i * fields + i] and left > largest:
                    pivot, largest = i, left
                elif not left == left:  # NaN goes on to the result
                    rows[i * fields + column] = left
        if pivot < 0:
            break
        taken[pivot] = True
        root = math.sqrt(largest)
        rows[pivot * fields + column] = root
        for i in range(fields):
            if not taken[i]:
                left = covariance[i * fields + pivot]
                for c in range(column):
                    left -= rows[i * fields + c] * rows[pivot * fields + c]
                rows[i * fields + column] = left / root


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def condition(
    rows: Any, fields: int, k: int, l: int, first: Any, second: Any, deviation: Any, correlation: Any, rest: Any
) -> None:
    """Write every field as z_a = first_a e1 + second_a e2 + deviation_a xi_a given z_k and z_l.

    e1 and e2 are independent standard normal, e1 spans z_k and (e1, e2) span (z_k, z_l); the xi_a are standard normal,
    independent of both, with the given ``correlation`` (flat, fields x fields). For k = l, or where z_l is a multiple
    of z_k, ``second`` is zero. ``rest`` is scratch of fields * fields.
    """
    small = 4.0 * fields * _EPS
    for i in range(fields * fields):
        rest[i] = rows[i]
    _project(rest, fields, k, 0.0, first)
    if k == l:
        for a in range(fields):
            second[a] = 0.0
    else:
        size = 0.0
        for c in range(fields):
            size += rows[l * fields + c] ** 2
        _project(rest, fields, l, small * math.sqrt(size), second)
    for a in range(fields):
        size = 0.0
        left = 0.0
        for c in range(fields):
            size += rows[a * fields + c] ** 2
            left += rest[a * fields + c] ** 2
        left = math.sqrt(left)
        if left <= small * math.sqrt(size) or a == k or a == l:
            left = 0.0
        deviation[a] = left
    for a in range(fields):
        correlation[a * fields + a] = 1.0
        for b in range(a):
            r = 0.0
            if deviation[a] > 0.0 and deviation[b] > 0.0:
                for c in range(fields):
                    r += rest[a * fields + c] * rest[b * fields + c]
                r = min(1.0, max(-1.0, r / deviation[a] / deviation[b]))
            correlation[a * fields + b] = r
            correlation[b * fields + a] = r


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _project(rest: Any, fields: int, pivot: int, least: float, coordinate: Any) -> None:
    """Split every row into its part along row ``pivot`` and the remainder.

    Nothing is split off if that row is not longer than ``least``.
    """
    length = 0.0
    for c in range(fields):
        length += rest[pivot * fields + c] ** 2
    length = math.sqrt(length)
    if length <= least:
        for a in range(fields):
            coordinate[a] = 0.0
        return
    unit = np.empty(fields)
    for c in range(fields):
        unit[c] = rest[pivot * fields + c] / length
    for a in range(fields):
        along = 0.0
        for c in range(fields):
            along += rest[a * fields + c] * unit[c]
        coordinate[a] = along
        for c in range(fields):
            rest[a * fields + c] -= along * unit[c]
    for c in range(fields):
        rest[pivot * fields + c] = 0.0
    coordinate[pivot] = length
