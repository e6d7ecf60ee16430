"""One-dimensional rules for the standard normal law, packed for compiled kernels.

The trapezoidal rule on a uniform grid converges geometrically for an activation that is analytic in a strip around the
real line, with the rate set by the nearest singularity; Gauss-Hermite converges only like exp(-c sqrt n) there (7.7
digits for tanh with 64 nodes). For polynomials Gauss-Hermite is exact, so both kinds are offered.

A rule is handed to a kernel as two arrays, ``sizes`` and ``data``: a new level changes numbers, never a compiled
signature.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..theory.errors import argument_error

__all__ = ["LEVEL_POINTS", "MAX_GAUSS_DEGREE", "GaussianRule", "gauss_rule", "rule"]

#: Number of 1-D nodes of each level of :func:`rule`.
LEVEL_POINTS: tuple[int, ...] = (17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769)

#: Largest polynomial degree of an activation for :func:`gauss_rule`.
MAX_GAUSS_DEGREE = 10

# Mehler terms at most, and the widest grid worth having: exp(-10.5^2/2) z^20 is below rounding.
_SERIES = 112
_WIDEST = 10.5
_ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class GaussianRule:
    """A rule for E[f(e)], e standard normal, and its products for two dimensions.

    Attributes
    ----------
    kind
        ``"trapezoidal"`` (uniform nodes) or ``"gauss"`` (Gauss-Hermite, exact for polynomials of degree ``2 points -
        1``).
    points
        Number of 1-D nodes n.
    half_width
        Largest node L.
    step
        Distance h of neighbouring nodes; 0 for ``"gauss"``.
    tolerance
        Relative size at which Mehler series and small-variance rules are cut; matched to the rule's own accuracy.
    nodes, weights
        The 1-D rule, shape (n,); the weights sum to one.
    sizes, data
        The same and all tables derived from it, packed for the kernels of :mod:`hermiton.numerics.moments`.
    """

    kind: Literal["trapezoidal", "gauss"]
    points: int
    half_width: float
    step: float
    tolerance: float
    nodes: NDArray[np.float64] = field(repr=False)
    weights: NDArray[np.float64] = field(repr=False)
    sizes: NDArray[np.int64] = field(repr=False)
    data: NDArray[np.float64] = field(repr=False)


@lru_cache(maxsize=32)
def rule(level: int) -> GaussianRule:
    """Trapezoidal rule of a level, 0 to ``len(LEVEL_POINTS) - 1``.

    Step h and half width L share the error between the cut tail, exp(-L^2/2), and the grid, exp(-2 pi a/h), for a strip
    of half width a near pi/2 (tanh at unit variance). Once the tail is below rounding, all further nodes go into the
    step.

    Parameters
    ----------
    level
        Index into :data:`LEVEL_POINTS`.

    Returns
    -------
    GaussianRule
        The rule.

    Raises
    ------
    AssumptionError
        If the level is not an integer in range.
    """
    if isinstance(level, bool) or not isinstance(level, int | np.integer) or not 0 <= level < len(LEVEL_POINTS):
        raise argument_error("level", level, "is not a level", f"use an integer from 0 to {len(LEVEL_POINTS) - 1}")
    points = LEVEL_POINTS[level]
    half = points // 2
    width = min(_WIDEST, (7.0 * (points - 1)) ** (1.0 / 3.0))
    step = width / half
    nodes = step * np.arange(-half, half + 1, dtype=np.float64)
    weights = np.exp(-0.5 * nodes**2)
    weights /= weights.sum()
    first, second = np.meshgrid(nodes, nodes, indexing="ij")
    inside = first**2 + second**2 <= width**2 * (1.0 + 1e-12)
    plane_weights = np.outer(weights, weights)[inside]
    plane = (first[inside], second[inside], plane_weights / plane_weights.sum())
    # Half width of the strip for which this step is meant, in standard deviations; it tells how few Gauss-Hermite nodes
    # do for a direction whose standard deviation is a small fraction of the field's.
    strip = width**2 * step / (4.0 * math.pi)
    tolerance = max(32.0 * _ROUNDING, math.exp(-0.5 * width**2))
    largest = 12 if points <= 65 else 16 if points <= 193 else 24
    limits = np.array([_small_variance_limits(count, tolerance, strip) for count in range(1, largest + 1)]).T
    return _packed("trapezoidal", width, step, tolerance, nodes, weights, plane, limits, _taylor_terms(step, tolerance))


@lru_cache(maxsize=16)
def gauss_rule(degree: int) -> GaussianRule:
    """Gauss-Hermite rule under which moments of polynomial activations are exact.

    The four-point moment of a polynomial of degree d has degree 4 d - 2 in one direction, so 2 d nodes are enough.

    Parameters
    ----------
    degree
        Largest degree of the activations, 1 to :data:`MAX_GAUSS_DEGREE`.

    Returns
    -------
    GaussianRule
        The rule.

    Raises
    ------
    AssumptionError
        If the degree is not an integer in range.
    """
    if isinstance(degree, bool) or not isinstance(degree, int | np.integer) or not 1 <= degree <= MAX_GAUSS_DEGREE:
        raise argument_error("degree", degree, "is out of range", f"use an integer from 1 to {MAX_GAUSS_DEGREE}")
    points = 2 * int(degree)
    nodes, weights = _gauss(points)
    first, second = np.meshgrid(nodes, nodes, indexing="ij")
    plane = (first.ravel(), second.ravel(), np.outer(weights, weights).ravel())
    limits = np.full((2, points), -1.0)
    limits[:, -1] = np.inf
    return _packed("gauss", float(nodes[-1]), 0.0, 32.0 * _ROUNDING, nodes, weights, plane, limits, 8)


def _gauss(points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return np.asarray(nodes, np.float64), np.asarray(weights / weights.sum(), np.float64)


def _small_variance_limits(count: int, tolerance: float, strip: float) -> tuple[float, float]:
    """Largest ratios (conditional/total standard deviation) at which ``count`` = q Gauss-Hermite nodes do.

    The first is for Hermite coefficients: a Mehler series loses the terms n >= q, the first with c_q/sqrt(q!) of size
    s^q f^(q)(m)/sqrt(q!), or sqrt(q!) (s/a)^q with f^(q) of size q!/a^q for a strip of half width a. The second is for
    the mean E[f(m + s e)] alone, which loses s^(2q) f^(2q)(m)/(2^q q!), or (2q - 1)!! (s/a)^(2q).
    """
    goal = 0.1 * tolerance
    double_factorial = math.prod(range(1, 2 * count, 2))
    return (
        strip * (goal / math.sqrt(math.factorial(count))) ** (1.0 / count),
        strip * (goal / double_factorial) ** (1.0 / (2 * count)),
    )


def _taylor_terms(step: float, tolerance: float) -> int:
    """Terms of the shift expansion sum_k x^k/k! c_(n+k), |x| <= h/2, c_m at most sqrt(m!)."""
    terms = 8
    while terms < 32:
        if (0.5 * step) ** terms * math.sqrt(math.comb(12 + terms, terms) / math.factorial(terms)) < 0.1 * tolerance:
            break
        terms += 1
    return terms


def _packed(
    kind: Literal["trapezoidal", "gauss"],
    width: float,
    step: float,
    tolerance: float,
    nodes: NDArray[np.float64],
    weights: NDArray[np.float64],
    plane: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    limits: NDArray[np.float64],
    taylor: int,
) -> GaussianRule:
    columns = 8 * ((_SERIES + taylor + 7) // 8)
    points, area, largest = nodes.size, plane[0].size, limits.shape[1]
    # He_m(x_j) w_j, nodes outside, orders inside: one row is added to a whole row of coefficients.
    hermite = np.empty((points, columns))
    hermite[:, 0] = 1.0
    hermite[:, 1] = nodes
    for order in range(1, columns - 1):
        hermite[:, order + 1] = nodes * hermite[:, order] - order * hermite[:, order - 1]
    hermite *= weights[:, None]
    small = [_gauss(count) for count in range(1, largest + 1)]
    inverse_root_factorial = np.array([math.exp(-0.5 * math.lgamma(order + 1.0)) for order in range(columns)])
    # Grid rows on either side of zero that a conditional mean can reach before the small-variance rule takes over.
    reach = 0 if kind == "gauss" else math.ceil(width / (step * float(limits[0, -1]))) + 2
    parts = (
        np.array([step, width, tolerance]),
        nodes,
        weights,
        *plane,
        hermite.ravel(),
        inverse_root_factorial,
        *limits,
        np.concatenate([pair[0] for pair in small]),
        np.concatenate([pair[1] for pair in small]),
    )
    offsets = np.cumsum([0] + [part.size for part in parts])[:-1]
    head = [0 if kind == "gauss" else 1, points, area, largest, taylor, _SERIES, columns, reach]
    sizes = np.array([*head, *offsets], np.int64)
    data = np.ascontiguousarray(np.concatenate(parts))
    # sizes and data stay writable: Numba gives read-only arrays another type, and the kernels would compile again.
    nodes.flags.writeable = weights.flags.writeable = False
    return GaussianRule(kind, points, width, step, tolerance, nodes, weights, sizes, data)
