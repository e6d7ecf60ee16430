"""Rules that integrate one function against every Hermite polynomial at once: one evaluation a node serves each order.

For a function that is analytic in a strip around the real axis the trapezoidal rule converges geometrically, and its
error has a bound in terms of the function on the rim of the strip (Trefethen and Weideman, SIAM Review 56, 2014): with
F(x) = f(x) He_k(x) phi(x) and the half width y,

    |h sum_i F(i h) - int F| <= 2 / (exp(2 pi y / h) - 1) * int |F(x + i y)| dx.

By Cauchy and Schwarz the integral is at most exp(y^2/2) ||f(. + i y)|| ||He_k(. + i y)||, norms in L2(phi), and
||He_k(. + i y)||^2 = sum_j C(k, j)^2 y^(2j) (k - j)!. How wide the strip is, is decided numerically by Cauchy's formula
(:func:`strip_half_width`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .array_function import UNIT, ArrayFunction

__all__ = ["LEVELS", "Grid", "best_level", "grid", "level_of", "reach", "strip_half_width", "weighted_hermite"]

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]

LEVELS = 21
"""Grids for half widths 3, 3/2^(1/4), ..., 3/32 standard deviations."""

_WIDEST = 3.0
_GOAL = 2.0**-59  # of the discretisation, relative to the norm of f on the rim: below rounding even if that is larger
_TAIL = 2.0**-58
# Beyond the last node |f| may grow by exp(4) a standard deviation without spoiling the bound of the tail.
_GROWTH = 4.0


# -- Hermite polynomials ----------------------------------------------------------------------------------------------


def _two_sum(a: Real, b: Real) -> tuple[Real, Real]:
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


def _two_product(a: Real, b: Real) -> tuple[Real, Real]:
    product = a * b
    split = 134217729.0  # 2^27 + 1 (Dekker)
    high_a, high_b = a * split, b * split
    high_a, high_b = high_a - (high_a - a), high_b - (high_b - b)
    low_a, low_b = a - high_a, b - high_b
    return product, ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b


def weighted_hermite(nodes: Real, order: int) -> Real:
    """He_k(x) phi(x) for k = 0, ..., order, each to a few units in its last place.

    The recurrence loses digits at the zeros and for high orders, so it runs in pairs of doubles.

    Parameters
    ----------
    nodes : array, shape (n,)
        x.
    order : int
        Largest k.

    Returns
    -------
    array, shape (n, order + 1)
    """
    table = np.empty((nodes.size, order + 1))
    square, low = _two_product(nodes, nodes)
    density = np.exp(-0.5 * square) * (1.0 - 0.5 * low) / math.sqrt(2.0 * math.pi)
    before = (np.zeros_like(nodes), np.zeros_like(nodes))
    now = (np.ones_like(nodes), np.zeros_like(nodes))
    for k in range(order + 1):
        table[:, k] = (now[0] + now[1]) * density
        up, up_low = _two_product(nodes, now[0])
        down, down_low = _two_product(np.full_like(nodes, float(k)), before[0])
        total, rest = _two_sum(up, -down)
        rest = rest + (up_low - down_low) + (nodes * now[1] - k * before[1])
        before, now = now, _two_sum(total, rest)
    return table


@lru_cache(maxsize=64)
def reach(order: int) -> float:
    """Half width beyond which no He_k(x) phi(x)/sqrt(k!), k <= order, has any weight in double precision.

    Parameters
    ----------
    order : int
        Largest k.

    Returns
    -------
    float
    """
    nodes = np.arange(0.0, 2.0 * math.sqrt(order + 1.0) + 16.0, 0.125)
    sizes = np.abs(weighted_hermite(nodes, order)) / _root_factorials(order)
    return float(nodes[np.flatnonzero(sizes.max(axis=1) > _TAIL)[-1]] + 0.125)


def _root_factorials(order: int) -> Real:
    return np.exp(0.5 * np.array([math.lgamma(k + 1.0) for k in range(order + 1)]))


# -- the trapezoidal rule ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Grid:
    """A trapezoidal rule for E[f(x) He_k(x)], k = 0, ..., order.

    Attributes
    ----------
    half_width : float
        Half width y of the strip in which f has to be analytic.
    step : float
        Distance h of the nodes.
    nodes, distances, weights : array, shape (n,)
        x_i, their absolute values, and h phi(x_i).
    basis, sizes : array, shape (n, order + 1)
        h He_k(x_i) phi(x_i), and its absolute values.
    rim : complex array, shape (r,)
        Points x_i + i y, for the norm of f on the rim.
    rim_weights : array, shape (2 r,)
        The weights of the squares of Re f and Im f, in turns, in the square of that norm.
    discretisation : array, shape (order + 1,)
        Bound of the discretisation error for a norm of 1.
    tail : array, shape (order + 1,)
        Bound of what lies beyond the last node, for |f| = 1 there, growing by exp(4) a standard deviation at most.
    rounding : float
        Relative error of a sum over the nodes.
    """

    half_width: float
    step: float
    nodes: Real = field(repr=False)
    distances: Real = field(repr=False)
    weights: Real = field(repr=False)
    basis: Real = field(repr=False)
    sizes: Real = field(repr=False)
    rim: Complex = field(repr=False)
    rim_weights: Real = field(repr=False)
    discretisation: Real = field(repr=False)
    tail: Real = field(repr=False)
    rounding: float


def _half_width(level: int) -> float:
    return _WIDEST * math.exp2(-0.25 * level)


def level_of(half_width: float) -> int:
    """The level whose strip just fits into one of the given half width, in standard deviations.

    Parameters
    ----------
    half_width : float
        Positive.

    Returns
    -------
    int
        At least 0; ``LEVELS`` or more if the strip is too narrow for every level.
    """
    return max(0, math.ceil(4.0 * math.log2(_WIDEST / half_width)))


def _rim_factors(order: int, y: float) -> Real:
    """exp(y^2/2) ||He_k(. + i y)|| for each k."""
    sums = [
        math.fsum(math.comb(k, j) ** 2 * y ** (2 * j) * math.factorial(k - j) for j in range(k + 1))
        for k in range(order + 1)
    ]
    return math.exp(0.5 * y * y) * np.sqrt(sums)


def _step(order: int, y: float) -> float:
    """The widest step that meets the goal, with few digits: then each node i h is exact."""
    worst = float(np.max(_rim_factors(order, y) / _root_factorials(order)))
    step = 2.0 * math.pi * y / math.log1p(2.0 * worst / _GOAL)
    unit = math.ldexp(1.0, math.frexp(step)[1] - 12)
    return math.floor(step / unit) * unit


@lru_cache(maxsize=64)
def best_level(order: int) -> int:
    """The level with the fewest nodes: for high orders the widest strip is not the best.

    Parameters
    ----------
    order : int
        Largest k.

    Returns
    -------
    int
    """
    return max(range(LEVELS), key=lambda level: _step(order, _half_width(level)))


@lru_cache(maxsize=48)
def grid(order: int, level: int) -> Grid:
    """The trapezoidal rule for a strip of half width ``3 / 2**(level/4)``.

    Parameters
    ----------
    order : int
        Largest k.
    level : int
        0 to ``LEVELS - 1``.

    Returns
    -------
    Grid
    """
    y = _half_width(level)
    step = _step(order, y)
    half = math.ceil(reach(order) / step)
    nodes = step * np.arange(-half, half + 1, dtype=np.float64)
    basis = step * weighted_hermite(nodes, order)
    beyond = step * np.arange(half + 1, half + 1 + math.ceil(12.0 / step), dtype=np.float64)
    growth = np.exp(_GROWTH * (beyond - nodes[-1]))
    tail = 2.0 * step * (growth @ np.abs(weighted_hermite(beyond, order)))
    coarse = min(0.5, 0.5 * y)
    count = math.ceil(nodes[-1] / coarse)
    rim = coarse * np.arange(-count, count + 1, dtype=np.float64)
    made = Grid(
        half_width=y,
        step=step,
        nodes=nodes,
        distances=np.abs(nodes),
        weights=basis[:, 0].copy(),
        basis=basis,
        sizes=np.abs(basis),
        rim=np.asarray(rim + 1j * y, np.complex128),
        rim_weights=np.repeat(coarse / math.sqrt(2.0 * math.pi) * np.exp(-0.5 * rim**2), 2),
        discretisation=2.0 * _rim_factors(order, y) / math.expm1(2.0 * math.pi * y / step),
        tail=np.asarray(tail),
        # An entry of the basis is good to 4 units; the errors of a sum of n terms add up like sqrt(n).
        rounding=(8.0 + math.sqrt(nodes.size)) * UNIT,
    )
    for array in vars(made).values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return made


# -- how wide is the strip --------------------------------------------------------------------------------------------

_FINENESS = 16  # nodes of the rim a half width
_WINDOW = 11  # half widths on either side that the Gaussian factor leaves
_NARROWEST = 1.0 / 128.0
_LARGEST_RATIO = 100.0


def strip_half_width(function: ArrayFunction, centre: float, radius: float, local: bool) -> float:
    """Half width of a strip around [centre - radius, centre + radius] in which a function is analytic.

    Cauchy's formula for f(x) exp(-(x - x0)^2/(2 a^2)) on the lines Im = a and -a gives back f(x0) if there is no
    singularity between them, however narrow the feature that it makes on the real axis: the smallest of a few widths
    passes at every x0, a/2 apart, to the last digits of the integrand, or the strip counts as narrower.

    Parameters
    ----------
    function : ArrayFunction
        f, real on the real axis.
    centre, radius : float
        The interval.
    local : bool
        Whether |f| on the lines may exceed only its size near x0; otherwise a small fraction of its largest value on
        the interval does not matter.

    Returns
    -------
    float
        Between radius/128 and radius/3; 0 if the strip is narrower.

    Notes
    -----
    *Validity.* A numerical test, not a proof: a singularity whose effect is below rounding everywhere passes.
    """
    widths = [radius / 3.0 * 2.0 ** (-0.25 * i) for i in range(64)]
    widths = [a for a in widths if a >= radius * _NARROWEST]
    low, high = 0, len(widths)  # the widest that passes: if one passes, the narrower ones do
    while low < high:
        middle = (low + high) // 2
        if _is_analytic(function, centre, radius, widths[middle], local):
            high = middle
        else:
            low = middle + 1
    return widths[low] if low < len(widths) else 0.0


def _is_analytic(function: ArrayFunction, centre: float, radius: float, a: float, local: bool) -> bool:
    step = a / _FINENESS
    window = _WINDOW * _FINENESS
    stride = _FINENESS // 2
    tests = 2 * math.ceil(radius / (step * stride)) + 1
    first = centre - (tests // 2) * stride * step
    points = first + step * np.arange(-window, (tests - 1) * stride + window + 1, dtype=np.float64)
    if not np.all(np.diff(points[:: points.size - 1]) > 0.0) or step < 64.0 * UNIT * abs(centre):
        return False  # the interval is too short for its distance from zero
    shift = step * np.arange(-window, window + 1) + 1j * a
    kernel = step / math.pi * np.exp(-0.5 * (shift / a) ** 2) / shift
    rim = function.off_axis(np.asarray(points + 1j * a, np.complex128))
    windows = np.lib.stride_tricks.sliding_window_view(rim, 2 * window + 1)[::stride]
    values, errors = function.with_error(points, np.zeros_like(points))
    inner = slice(window, points.size - window)
    with np.errstate(all="ignore"):  # a NaN is not good
        by_cauchy = -(windows @ kernel).imag
        integrand = np.abs(windows) @ np.abs(kernel)
        sizes = np.abs(values)
        near = _sliding_maximum(sizes, 2 * _FINENESS)[inner][::stride]
        noise = np.lib.stride_tricks.sliding_window_view(errors, 2 * window + 1)[::stride] @ np.abs(kernel)
        largest = near if local else np.maximum(near, 1e-6 * np.max(sizes))
        mismatch = np.abs(by_cauchy - values[inner][::stride])
        allowed = 4.0 * function.noise * np.maximum(integrand, largest) + 16.0 * noise
        return bool(np.all((mismatch <= allowed) & (integrand <= _LARGEST_RATIO * largest)))


def _sliding_maximum(values: Real, half: int) -> Real:
    """Largest entry within `half` places."""
    padded = np.pad(values, half, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1).max(axis=1))
