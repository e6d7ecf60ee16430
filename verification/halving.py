"""Gradient descent at halved steps against a gradient flow: what follows the flow, and to which order in the step.

Descent has no randomness, so one run a step decides. What its finite step amounts to is measured from the descents
alone, by the distances between successive ones: for an error of first order that between the two finest is the error of
the finest, and the others are its multiples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..numerics.solution import Solution
from ..numerics.solve import output_times
from ..theory.errors import argument_error
from .decide import Comparison
from .verify import entries_compared

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "ORDER_MARGIN",
    "check_step",
    "checked_descent",
    "coordinates",
    "follows",
    "order_of_deviation",
    "order_of_drift",
    "steps_of",
    "whole",
]

Array = NDArray[np.float64]

ORDER_MARGIN = 0.15
"""Declared for the fitted order, beyond what its scatter allows."""

# The finest descent's error of first order is its distance to the next one; twice that leaves room for higher orders.
_SAFETY = 2.0
# Standard errors of a fitted order, from the scatter about the line. A right-hand side that jumps at samples is met by
# steps at random, so that the deviations of few samples scatter by tens of percent.
_SCATTER = 6.0
# Without three steps there is no scatter.
_FEWEST = 3
# The deviation counts as resolved where it exceeds the solution's error this many times.
_RESOLVED = 100.0
# Relative to the largest value over time, below which nothing is compared.
_FLOOR = 1e-12
# Largest value of a dimensionless observable that is not a zero with rounding.
_SMALL = 1e-9


def whole(times: ArrayLike, step: float) -> tuple[Array, NDArray[np.int64]]:
    """Times (T,) as an array, and the number of steps (T,) to each.

    Raises
    ------
    AssumptionError
        If times don't increase from 0 on, the step is not positive, or a time is no multiple of the step.
    """
    grid = output_times(times)
    check_step(step)
    counts = np.rint(grid / step)
    off = np.abs(grid - counts * step) > 1e-9 * np.maximum(grid, step)
    if off.any():
        nearest = float(np.round(counts[off][0] * step, 12))
        problem = f"is no multiple of the step {step:g}"
        raise argument_error("times", float(grid[off][0]), problem, f"a descent can stop at {nearest:g}")
    return grid, counts.astype(np.int64)


def check_step(step: float) -> None:
    """Refuse a step that is no positive number.

    Raises
    ------
    AssumptionError
        If it is none.
    """
    if isinstance(step, bool) or not isinstance(step, Real) or not 0 < step < np.inf:
        raise argument_error("step", step, "is no positive number", "give the size of a step of descent")


def checked_descent(margin: float, halvings: int, false_alarm_rate: float, grid: Array) -> None:
    """Refuse a verification that could not tell anything.

    Raises
    ------
    AssumptionError
        If an argument is out of range.
    """
    if isinstance(margin, bool) or not isinstance(margin, Real) or not 0 < margin < 1:
        raise argument_error("margin", margin, "is out of range", "declare a relative margin between 0 and 1")
    if isinstance(halvings, bool) or not isinstance(halvings, int | np.integer) or not 1 <= halvings <= 12:
        raise argument_error("halvings", halvings, "is out of range", "halve the step between 1 and 12 times")
    if not isinstance(false_alarm_rate, Real) or not 0 < false_alarm_rate < 0.5:
        cure = "declare a probability between 0 and 0.5"
        raise argument_error("false_alarm_rate", false_alarm_rate, "is out of range", cure)
    if grid[-1] == 0:
        raise argument_error("times", grid.tolist(), "ends at the start", "compare at times after 0")


def steps_of(step: float, halvings: int) -> list[float]:
    """The step and its halves, quarters, ..."""
    return [step / 2**n for n in range(halvings + 1)]


def _distance(runs: Sequence[xr.Dataset], name: str) -> Array:
    """What the finest step amounts to: a difference that happens to pass through zero in time is no small one."""
    values = [run[name].values for run in runs]
    apart = np.max([np.abs(b - a) / 2**n for n, (b, a) in enumerate(pairwise(reversed(values)))], axis=0)
    wide = apart.copy()
    wide[:-1] = np.maximum(wide[:-1], apart[1:])
    wide[1:] = np.maximum(wide[1:], apart[:-1])
    return np.asarray(_SAFETY * wide)


def follows(
    solution: Solution,
    runs: Sequence[xr.Dataset],
    claims: Mapping[str, str],
    *,
    margin: float,
    relative: Sequence[str] = (),
    dimensionless: Sequence[str] = (),
) -> list[Comparison]:
    """Comparisons of the finest descent with a solution at the descent's times.

    Parameters
    ----------
    solution : Solution
        Solved at least at the times of the runs.
    runs : sequence of xarray.Dataset
        Descents from one start, each at half the step of the one before.
    claims : mapping
        For each observable what is claimed; one that the solution or a run does not have is left out.
    margin : float
        Relative to the largest entry over time.
    relative : sequence of str
        Observables whose margin is relative to the value at each time.
    dimensionless : sequence of str
        Observables of which less than 1e-9 is a zero.

    Returns
    -------
    list of Comparison
    """
    grid = runs[-1]["time"].values
    comparisons = []
    for name, claim in claims.items():
        # Where a run comes to an end of what an observable is defined for, it has none.
        if name not in solution.data or not all(name in run for run in runs):
            continue
        theory = solution.data[name].sel(time=grid)
        largest = max(float(np.abs(theory).max()), _SMALL if name in dimensionless else 0.0)
        scale = np.abs(theory.values) + _FLOOR * largest if name in relative else largest
        comparisons.append(
            Comparison(
                claim=claim,
                theory=theory.values,
                theory_error=solution.errors[name].sel(time=grid).values,
                sample=runs[-1][name].values[None],
                allowance=_distance(runs, name),
                margin=margin * scale,
                where=entries_compared(solution, name, theory.shape[1:]),
                coordinates=coordinates(theory),
                deterministic=True,
            )
        )
    return comparisons


def coordinates(variable: xr.DataArray) -> dict[str, Sequence[object]]:
    """The axes of an observable with what they run over."""
    own = {"time": [float(t) for t in variable["time"].values]}
    return {str(dim): own[str(dim)] if dim == "time" else range(variable.sizes[dim]) for dim in variable.dims}


def order_of_deviation(
    solution: Solution, runs: Sequence[xr.Dataset], names: Sequence[str], claim: str
) -> list[Comparison]:
    """The order in the step at which descents deviate from a solution: 1, within `ORDER_MARGIN` and its scatter.

    Parameters
    ----------
    solution, runs
        As in `follows`.
    names : sequence of str
        The observables whose deviation is taken: its root mean square over times and entries, relative to the largest
        entry of each.
    claim : str
        What is claimed.

    Returns
    -------
    list of Comparison
        One; none where there are fewer than three descents, or the deviation of the finest is not resolved above the
        solution's error.
    """
    grid = runs[-1]["time"].values
    squares = np.zeros(len(runs))
    error = 0.0
    for name in names:
        theory = solution.data[name].sel(time=grid)
        scale = float(np.abs(theory).max()) or 1.0
        squares += [float((((run[name].values - theory.values) / scale) ** 2).mean()) for run in runs]
        error += float(((solution.errors[name].sel(time=grid).values / scale) ** 2).mean())
    if not squares[-1] > max(_RESOLVED**2 * error, _FLOOR**2):
        return []
    return _of_first_order(squares, claim)


def order_of_drift(
    runs: Sequence[xr.Dataset], begin: Mapping[str, Array], scale: float, claim: str
) -> list[Comparison]:
    """The order in the step at which what the flow conserves drifts in descents: 1, as in `order_of_deviation`.

    Parameters
    ----------
    runs : sequence of xarray.Dataset
        As in `follows`.
    begin : mapping
        By observable, its value at the start.
    scale : float
        Size of what the observables are differences of.
    claim : str
        What is claimed.

    Returns
    -------
    list of Comparison
        One; none where there are fewer than three descents, or the drift of the finest is within rounding.
    """
    squares = np.zeros(len(runs))
    for name, value in begin.items():
        squares += [float((((run[name].values - value) / scale) ** 2).mean()) for run in runs]
    return _of_first_order(squares, claim) if squares[-1] > _FLOOR**2 else []


def _of_first_order(squares: Array, claim: str) -> list[Comparison]:
    """The order fitted to mean squares, one a halving."""
    count = len(squares)
    if count < _FEWEST or not squares.all():
        return []
    halvings, logarithms = np.arange(count), np.log2(squares) / 2
    slope, level = np.polyfit(halvings, logarithms, 1)
    scatter = logarithms - (level + slope * halvings)
    error = float(np.sqrt((scatter**2).sum() / (count - 2) / ((halvings - halvings.mean()) ** 2).sum()))
    return [
        Comparison(
            claim=claim,
            theory=1.0,
            sample=[-float(slope)],
            allowance=_SCATTER * error,
            margin=ORDER_MARGIN,
            deterministic=True,
        )
    ]
