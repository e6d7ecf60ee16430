"""Moment tables from Python, their error, and the level that a tolerance asks for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...theory.errors import AccuracyError, argument_error
from ..quadrature import LEVEL_POINTS, GaussianRule, rule
from .four_point import four_point_moments, four_point_scratch
from .pairs import pair_moments, pair_scratch
from .pointer import python_pointer

__all__ = ["MomentError", "MomentTables", "checked_covariance", "choose_level", "moment_error", "moment_tables"]

#: Levels above the one judged that :func:`moment_error` computes.
_LOOK_AHEAD = 2
_UNSETTLED = 0.1
_ROUNDING = 64.0 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class MomentTables:
    """Tables of one covariance.

    Attributes
    ----------
    pair
        Shape (3, F, F): E[g g], E[g' g'], E[g'' g]; see :func:`~hermiton.numerics.moments.pairs.pair_moments`.
    four_point
        Shape (K, K, F, F): E[g'(z_k) g'(z_l) g(z_a) g(z_b)].
    tail
        Bound on what the cut Mehler series left out of an entry of ``four_point``.
    """

    pair: NDArray[np.float64]
    four_point: NDArray[np.float64]
    tail: float


@dataclass(frozen=True)
class MomentError:
    """Estimated error of the tables of one level.

    Attributes
    ----------
    level
        The level judged.
    value
        Largest of ``pair`` and ``four_point``.
    pair, four_point
        Largest error of an entry of the pair tables and of the four-point table, divided by the largest entry of its
        table (the two pair tables with derivatives count as one). Infinite where no digit is settled or a table is not
        finite.
    """

    level: int
    value: float
    pair: float
    four_point: float


def moment_tables(
    covariance: ArrayLike, students: int, teachers: int, evaluate: Any, quadrature: GaussianRule
) -> MomentTables:
    """Compute all tables under one rule.

    Parameters
    ----------
    covariance
        Shape (F, F), symmetric, positive semi-definite, F = students + teachers; it may be singular.
    students, teachers
        Sizes K >= 1 and M >= 0 of the two blocks of fields.
    evaluate
        The functions: compiled by ``numba.njit(EVALUATE_SIGNATURE)``, or of type ``EVALUATE_TYPE``.
    quadrature
        A rule of :mod:`hermiton.numerics.quadrature`.

    Returns
    -------
    MomentTables
        The tables.

    Raises
    ------
    AssumptionError
        If a size is out of range or the covariance has the wrong shape, is not finite, not symmetric or has a negative
        variance.
    """
    flat = checked_covariance(covariance, students, teachers)
    fields = students + teachers
    pair = np.empty(3 * fields * fields)
    four = np.empty(students * students * fields * fields)
    pointer = python_pointer(evaluate)
    sizes, data = quadrature.sizes, quadrature.data
    scratch = np.empty(max(pair_scratch(fields, sizes), four_point_scratch(fields, sizes)))
    pair_moments(flat, students, teachers, sizes, data, pair, scratch, pointer)
    tail = four_point_moments(flat, students, teachers, sizes, data, four, scratch, pointer)
    return MomentTables(pair.reshape(3, fields, fields), four.reshape(students, students, fields, fields), float(tail))


def moment_error(covariance: ArrayLike, students: int, teachers: int, evaluate: Any, level: int) -> MomentError:
    """Estimate the error of a level's tables by the two levels above it.

    The rules converge geometrically in the number of nodes: two levels up, with twice the nodes, an error e is about
    e^2, so that twice the difference covers it. The level between guards against two levels that agree by chance.

    Parameters
    ----------
    covariance, students, teachers, evaluate
        As in :func:`moment_tables`.
    level
        Level to judge, 0 to ``len(LEVEL_POINTS) - 3``.

    Returns
    -------
    MomentError
        The estimate.

    Raises
    ------
    AssumptionError
        For a level out of range or an argument that :func:`moment_tables` refuses.
    """
    _checked_level("level", level)
    ladder = [moment_tables(covariance, students, teachers, evaluate, rule(level + i)) for i in range(_LOOK_AHEAD + 1)]
    return _estimate(level, ladder)


def choose_level(
    covariance: ArrayLike, students: int, teachers: int, evaluate: Any, tolerance: float, start: int = 0
) -> MomentError:
    """Find the lowest level, from ``start`` on, whose estimated error is within a tolerance.

    Parameters
    ----------
    covariance, students, teachers, evaluate
        As in :func:`moment_tables`.
    tolerance
        Largest error accepted, relative to the largest entry of a table.
    start
        First level to try.

    Returns
    -------
    MomentError
        The level and its estimated error.

    Raises
    ------
    AccuracyError
        If no level is good enough: the activation has a singularity too near the real line, in units of the fields'
        standard deviations, or is not analytic.
    AssumptionError
        For an argument out of range.
    """
    if not tolerance > 0.0:
        raise argument_error("tolerance", tolerance, "is not positive", "ask for a relative error such as 1e-9")
    _checked_level("start", start)
    ladder = [moment_tables(covariance, students, teachers, evaluate, rule(start + i)) for i in range(_LOOK_AHEAD)]
    best = np.inf
    for level in range(start, len(LEVEL_POINTS) - _LOOK_AHEAD):
        ladder.append(moment_tables(covariance, students, teachers, evaluate, rule(level + _LOOK_AHEAD)))
        found = _estimate(level, ladder)
        if found.value <= tolerance:
            return found
        best = min(best, found.value)
        del ladder[0]
    raise AccuracyError(
        f"Gaussian moments by quadrature: asked for a relative error of {tolerance:.1e}, achieved {best:.1e} with "
        f"{LEVEL_POINTS[-1 - _LOOK_AHEAD]} nodes; loosen the tolerance, "
        "lower the variances of the fields, or use a closed form"
    )


def _estimate(level: int, ladder: list[MomentTables]) -> MomentError:
    best = ladder[-1]
    values, slopes, largest = _size(best.pair[0]), _size(best.pair[1:]), _size(best.four_point)
    pair = max(
        _difference([tables.pair[0] for tables in ladder], values),
        _difference([tables.pair[1:] for tables in ladder], slopes),
    )
    four = _difference([tables.four_point for tables in ladder], largest) + ladder[0].tail / largest
    # Above this no digit is settled, and the geometric convergence that the estimate rests on has not begun.
    pair = pair if pair <= _UNSETTLED else np.inf
    four = four if four <= _UNSETTLED else np.inf
    return MomentError(level, max(pair, four), pair, four)


def _size(table: NDArray[np.float64]) -> float:
    """Largest entry; 1 for a table of zeros."""
    return float(np.max(np.abs(table))) or 1.0


def _difference(tables: list[NDArray[np.float64]], scale: float) -> float:
    """Error of the first of three tables, relative to ``scale``."""
    judged, between, best = tables
    error = 2.0 * max(np.max(np.abs(judged - best)), np.max(np.abs(judged - between))) + np.max(np.abs(between - best))
    return float(error) / scale + _ROUNDING


def checked_covariance(covariance: ArrayLike, students: int, teachers: int) -> NDArray[np.float64]:
    """A covariance as a flat array; refused, with the sizes, as :func:`moment_tables` says."""
    for name, size, least in (("students", students, 1), ("teachers", teachers, 0)):
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < least:
            raise argument_error(name, size, "is not a size", f"use an integer of at least {least}")
    matrix = np.array(covariance, dtype=np.float64)
    fields = students + teachers
    if matrix.shape != (fields, fields):
        raise argument_error(
            "covariance", matrix.shape, "is the wrong shape", f"give one row a field: ({fields}, {fields})"
        )
    if not np.all(np.isfinite(matrix)):
        raise argument_error("covariance", covariance, "is not finite", "check the overlaps that it is made of")
    if np.any(np.diag(matrix) < 0.0):
        raise argument_error(
            "covariance", covariance, "has a negative variance", "check the overlaps that it is made of"
        )
    if np.max(np.abs(matrix - matrix.T)) > 1e-12 * np.max(np.abs(matrix)):
        raise argument_error("covariance", covariance, "is not symmetric", "give C = [[Q, R], [R^T, T]]")
    return np.ascontiguousarray(matrix).ravel()


def _checked_level(name: str, level: int) -> None:
    last = len(LEVEL_POINTS) - 1 - _LOOK_AHEAD
    if isinstance(level, bool) or not isinstance(level, int | np.integer) or not 0 <= level <= last:
        raise argument_error(name, level, "is not a level that can be judged", f"use an integer from 0 to {last}")
