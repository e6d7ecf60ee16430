"""Solve a `PiecewiseFlow` of data that arrive in portions, in constant memory: breakpoints in bins.

No formula is known here: breakpoints, rates and offsets of each portion are evaluated as the system has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hermiton.theory.derive import derive
from hermiton.theory.errors import argument_error
from hermiton.theory.systems import PiecewiseFlow

from .binned_events import BinnedBreakpoints
from .indexed_values import IndexedValues
from .piecewise_flow import (
    PiecewiseSolution,
    acting_breakpoints,
    bound_values,
    follows_from_state,
    labelled,
    start_of,
    with_response,
)
from .provenance import provenance
from .solve import output_times

__all__ = ["solve_stream"]

Real = NDArray[np.float64]


def solve_stream(
    make: Callable[..., Any], chunks: Iterable[tuple[Any, ...]], start: Any, times: ArrayLike, *, bins: int = 4096
) -> PiecewiseSolution:
    """Solve the flow of data that arrive in chunks and need not fit into memory.

    Parameters
    ----------
    make : callable
        Makes the setting of a chunk: called as ``make(points=..., labels=..., weights=...)``, such as
        ``functools.partial(Truncation, targets=targets)``.
    chunks : iterable of tuple
        (points, labels), each sample of weight 1/N with N the number of all, or (points, labels, weights), with the
        weights as they are; all chunks alike.
    start : array_like, mapping or object
        As for `solve`.
    times : (T,) array_like
        Output times, increasing, from 0 on.
    bins : int
        Number of bins for each threshold, even, at least 4.

    Returns
    -------
    PiecewiseSolution
        ``.data`` holds the state and observables that follow from it alone; ``.paths`` the paths of all entries.

    Raises
    ------
    AssumptionError
        If there is no chunk, chunks are not alike, a setting refuses its chunk, its flow is not piecewise affine, or it
        asserts a condition, which needs all samples at all times.

    Notes
    -----
    *Validity.* Each bin acts as one breakpoint at its centroid: errors are of second order in the width of a bin. What
    is reported is the largest distance in time from the path with bins twice as wide, about three times the error:
    an estimate, no bound. Memory does not depend on the number of samples, and the bins double their width where a
    chunk lies outside of all.

    Examples
    --------
    >>> from functools import partial
    >>> from hermiton import Truncation
    >>> import numpy as np
    >>> points = (np.arange(1000)[:, None] + 0.5) / 1000
    >>> chunks = ((part, np.zeros(len(part), int)) for part in np.array_split(points, 7))
    >>> solution = solve_stream(partial(Truncation, targets=[[0.8]]), chunks, [0.1], [2.0])
    >>> round(float(solution.data.threshold[0, 0]), 4)
    0.3315
    """
    grid = output_times(times)
    portions = (_setting(make, chunk) for chunk in chunks)
    setting, mean = next(portions, (None, False))
    if setting is None:
        raise argument_error("chunks", chunks, "is empty", "give at least one chunk of samples")
    system = _flow(setting)
    values = bound_values(system, setting)
    sizes = dict(setting.sizes)
    begin = start_of(system, start, values, sizes)
    collected = [BinnedBreakpoints(bins) for _ in range(begin.size)]
    count = _collect(system, values, begin.shape, collected)
    for other, other_mean in portions:
        if _flow(other) is not system or other_mean != mean:
            problem = "has other equations, or weights where there were none, than the first"
            raise argument_error("chunks", other, problem, "make all chunks alike")
        count += _collect(system, bound_values(system, other), begin.shape, collected)
    scale = 1.0 / count if mean else 1.0
    paths = tuple(one.solve(float(y), scale) for one, y in zip(collected, begin.ravel(), strict=True))
    shape = (grid.size, *begin.shape)
    states = np.stack([path(grid) for path in paths], axis=-1).reshape(shape)
    errors = np.broadcast_to(np.reshape([path.error for path in paths], begin.shape), shape).copy()
    found = {system.states[0].binding: (states, errors)}
    for item in system.observables:
        if follows_from_state(system, item):
            seen = [with_response(system, values, sizes, item, *one) for one in zip(states, errors, strict=True)]
            found[item.target.binding] = np.stack([one for one, _ in seen]), np.stack([error for _, error in seen])
    data, uncertain = ({name: pair[which] for name, pair in found.items()} for which in (0, 1))
    record = provenance(method="event by event, in bins", bins=str(bins), samples=str(count))
    return PiecewiseSolution(
        setting, system, labelled(system, data, grid, paths), labelled(system, uncertain, grid), record, paths=paths
    )


def _setting(make: Callable[..., Any], chunk: tuple[Any, ...]) -> tuple[Any, bool]:
    """The setting of a chunk, and whether its samples have no weights of their own."""
    if not isinstance(chunk, tuple | list) or len(chunk) not in (2, 3):
        raise argument_error(
            "chunks", chunk, "is no chunk", "give tuples (points, labels) or (points, labels, weights)"
        )
    mean = len(chunk) == 2
    return make(points=chunk[0], labels=chunk[1], weights=1 if mean else chunk[2]), mean


def _flow(setting: Any) -> PiecewiseFlow:
    system = derive(setting).systems[0]
    if not isinstance(system, PiecewiseFlow):
        raise argument_error(
            "make", setting, "has a flow with coupled thresholds", "use solve, with all samples at once"
        )
    if system.conditions:
        (condition, *_) = system.conditions
        problem = "is to be watched at all times, for which all samples are needed"
        value = getattr(setting, condition.asserted.binding)
        raise argument_error(condition.asserted.binding, value, problem, "use solve, with all samples at once")
    return system


def _collect(
    system: PiecewiseFlow, values: IndexedValues, shape: tuple[int, ...], collected: list[BinnedBreakpoints]
) -> int:
    """Put a portion into the bins; the number of its samples."""
    for at, binned in zip(np.ndindex(shape), collected, strict=True):
        binned.add(*acting_breakpoints(system, values, at))
    return values.extents[system.equations[0].value.size]
