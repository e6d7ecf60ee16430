"""E[f(a) g(b)] for two jointly Gaussian numbers of mean zero, by quadrature in the whitened pair.

With a = sqrt(C_aa) u and b = sqrt(C_bb) (r u + sqrt(1 - r^2) w), u and w are independent standard normals. The
trapezoidal rule converges geometrically on each of their lines if f and g are analytic near the real axis. Where a
function has kinks, the lines are cut there and each piece gets the tanh-sinh rule, which tolerates what happens at the
ends: the kink itself, and the boundary layer that the other kink leaves behind when |r| is nearly 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from .compiled import SCALAR_FUNCTION, compiled, compiled_for

Vector = NDArray[np.float64]
Scalar = Callable[[float], float]

REACH = 9.0  # a standard normal lies farther out with probability 2e-19
STEP = 1 / 6  # trapezoidal step at variances up to 1; divided by the largest standard deviation
FINEST = 8.0  # ... but by no more than this
PIECE_STEP = 0.06  # step of the tanh-sinh rule, divided likewise; 0.85 in the middle of a piece that is the whole line
NEGLIGIBLE = 1e-19  # weight of a node that is not worth the sum over the other line
PIECE_REACH = 3.15  # its range: the ends of a piece are met to 1e-15 of its length


@cache
def line_rule(fineness: float) -> tuple[Vector, Vector]:
    """Nodes and weights, density included, of the trapezoidal rule for a standard normal; odd number of nodes."""
    count = int(np.ceil(REACH * fineness / STEP))
    nodes = np.linspace(-REACH, REACH, 2 * count + 1)
    weights: Vector = np.exp(-(nodes**2) / 2) * (REACH / count / np.sqrt(2 * np.pi))
    return nodes, weights


@cache
def piece_rule(fineness: float) -> tuple[Vector, Vector]:
    """Nodes and weights of the tanh-sinh rule on [-1, 1]."""
    count = int(np.ceil(PIECE_REACH * fineness / PIECE_STEP))
    step = PIECE_REACH / count
    t = np.arange(-count, count + 1) * step
    inner = np.pi / 2 * np.sinh(t)
    return np.tanh(inner), np.pi / 2 * np.cosh(t) / np.cosh(inner) ** 2 * step


@compiled
def conditional_mean(
    g: Scalar,
    centre: float,
    spread: float,
    reach: float,
    kinks: Vector,
    line: Vector,
    line_weights: Vector,
    piece: Vector,
    piece_weights: Vector,
) -> float:
    """Compute E[g(centre + spread w)] over a standard normal w, |w| <= reach."""
    if spread == 0.0:
        return g(centre)
    total = 0.0
    if kinks.size == 0:
        middle = line.size // 2
        extent = int(reach / line[middle + 1])
        for i in range(middle - extent, middle + extent + 1):
            total += line_weights[i] * g(centre + spread * line[i])
        return total
    low = -reach
    for n in range(kinks.size + 1):
        high = reach
        if n < kinks.size:
            high = min(reach, max(low, (kinks[n] - centre) / spread))
        half = (high - low) / 2
        if half > 0.0:
            for i in range(piece.size):
                w = (high + low) / 2 + half * piece[i]
                weight = half * piece_weights[i] * np.exp(-w * w / 2) / np.sqrt(2 * np.pi)
                total += weight * g(centre + spread * w)
        low = high
    return total


@compiled
def pair_expectation(
    f: Scalar,
    g: Scalar,
    f_kinks: Vector,
    g_kinks: Vector,
    caa: float,
    cbb: float,
    cab: float,
    line: Vector,
    line_weights: Vector,
    piece: Vector,
    piece_weights: Vector,
) -> float:
    """Compute E[f(a) g(b)] for variances caa, cbb and covariance cab; kinks ascend."""
    a, b = np.sqrt(max(caa, 0.0)), np.sqrt(max(cbb, 0.0))
    r = 0.0
    if a * b > 0.0:
        r = min(1.0, max(-1.0, cab / (a * b)))
    spread = b * np.sqrt((1 - r) * (1 + r))
    cuts = np.empty(f_kinks.size + g_kinks.size + 2)
    cuts[0], cuts[1] = -REACH, REACH
    used = 2
    for kink in f_kinks:
        if abs(kink) < REACH * a:
            cuts[used] = kink / a
            used += 1
    for kink in g_kinks:
        if abs(kink) < REACH * b * abs(r):
            cuts[used] = kink / (b * r)
            used += 1
    cuts = np.sort(cuts[:used])
    total = 0.0
    if used == 2:
        for i in range(line.size):
            u = line[i]
            reach = np.sqrt(max(REACH * REACH - u * u, 0.0))
            mean = conditional_mean(g, b * r * u, spread, reach, g_kinks, line, line_weights, piece, piece_weights)
            total += line_weights[i] * f(a * u) * mean
        return total
    for n in range(used - 1):
        half = (cuts[n + 1] - cuts[n]) / 2
        if half > 0.0:
            for i in range(piece.size):
                u = (cuts[n + 1] + cuts[n]) / 2 + half * piece[i]
                weight = half * piece_weights[i] * np.exp(-u * u / 2) / np.sqrt(2 * np.pi)
                if weight < NEGLIGIBLE:
                    continue
                reach = np.sqrt(max(REACH * REACH - u * u, 0.0))
                mean = conditional_mean(g, b * r * u, spread, reach, g_kinks, line, line_weights, piece, piece_weights)
                total += weight * f(a * u) * mean
    return total


def _half_mean_square(
    Q: Vector,
    R: Vector,
    T: Vector,
    v: Vector,
    A: Vector,
    f: Scalar,
    g: Scalar,
    f_kinks: Vector,
    g_kinks: Vector,
    line: Vector,
    line_weights: Vector,
    piece: Vector,
    piece_weights: Vector,
) -> float:
    rules = (line, line_weights, piece, piece_weights)
    total = 0.0
    for k in range(v.size):
        for j in range(k + 1):
            pair = pair_expectation(f, f, f_kinks, f_kinks, Q[k, k], Q[j, j], Q[k, j], *rules)
            total += (0.5 if j == k else 1.0) * v[k] * v[j] * pair
        for m in range(A.size):
            pair = pair_expectation(f, g, f_kinks, g_kinks, Q[k, k], T[m, m], R[k, m], *rules)
            total -= v[k] * A[m] * pair
    for m in range(A.size):
        for j in range(m + 1):
            pair = pair_expectation(g, g, g_kinks, g_kinks, T[m, m], T[j, j], T[m, j], *rules)
            total += (0.5 if j == m else 1.0) * A[m] * A[j] * pair
    return total


@cache
def half_mean_square() -> Any:
    """Kernel of E[(sum_k v_k f(lambda_k) - sum_m A_m g(nu_m))^2]/2."""
    matrix, vector = types.float64[:, ::1], types.float64[::1]
    functions = (SCALAR_FUNCTION, SCALAR_FUNCTION)
    return compiled_for(
        types.float64(matrix, matrix, matrix, vector, vector, *functions, *(vector,) * 6), _half_mean_square
    )
