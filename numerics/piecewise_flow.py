"""Solve a `PiecewiseFlow`: bind its arrays, follow each coordinate exactly from event to event, evaluate observables.

No formula is known here: breakpoints, rates, offsets and observables are evaluated as the system has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hermiton.theory.errors import argument_error
from hermiton.theory.systems import Definition, PiecewiseFlow

from .events import EventPath, solve_by_events
from .indexed_values import IndexedValues, bound_array, index_arrays, shape_of
from .progress import reporter
from .provenance import provenance
from .solution import Solution

__all__ = ["PiecewiseSolution", "flow_source", "solve_flow"]

Real = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
# Inputs are changed by this share of themselves to see how the path responds, which is then scaled to rounding.
_NUDGE = 2.0**-30
# Roundings of an input and of the operations on it.
_ROUNDINGS = 8


@dataclass(frozen=True, eq=False)
class PiecewiseSolution(Solution):
    """A solved `PiecewiseFlow`.

    ``data`` holds the state and the observables at the asked times; beside them, along the state's dimension, labels
    ``events`` (their number), ``outcome`` (see `EventPath`) and ``limit`` (where the coordinate goes).

    Parameters
    ----------
    paths : tuple of EventPath
        The exact path of each coordinate, which can be evaluated at any other time.
    """

    paths: tuple[EventPath, ...] = field(default=(), repr=False)


# -- binding -----------------------------------------------------------------------------------------------------------


def _start(system: PiecewiseFlow, start: Any, values: IndexedValues, sizes: Mapping[str, int]) -> Real:
    """The state at time 0: given itself, by name, or by another array that it follows from."""
    state = system.states[0]

    def found(name: str) -> Any:
        if isinstance(start, Mapping):
            return start.get(name)
        return getattr(start, name, None)

    plural = f"{state.binding}s"
    names = {plural: state, state.binding: state, **{given.binding: given for given, _ in system.starts}}
    given = [name for name in names if found(name) is not None]
    if not given and not isinstance(start, Mapping):
        return np.array(bound_array(state, start, sizes))
    if len(given) != 1:
        problem = f"gives {' and '.join(given)}" if given else "has no value for the state"
        one_of = ", ".join(name for name in names if name != state.binding)
        raise argument_error("start", start, problem, f"give one of {one_of}")
    array = names[given[0]]
    value = bound_array(array, found(given[0]), sizes)
    if array is state:
        return np.array(value)
    definition = next(definition for other, definition in system.starts if other is array)
    return IndexedValues({**values.arrays, array.name: value}, values.extents).defined(definition, sizes)


def flow_source(system: PiecewiseFlow) -> str:
    """What is computed, as text: no kernel is generated for a flow whose path is exact.

    Parameters
    ----------
    system : PiecewiseFlow
        The equations.

    Returns
    -------
    str
    """
    (equation,) = system.equations
    (k,) = equation.indices
    lines = [f"# {system.name}: each entry of {equation.target.name} from event to event (hermiton.numerics.events)"]
    lines += [_text(item) for item in system.definitions if isinstance(item, Definition)]
    lines.append(f"d {_text(equation)}")
    for part in ("breakpoint", "rate", "offset"):
        lines.append(f"    {part}[{system.sample}, {k}] = {getattr(system, part)}")
    lines += [_text(item) for item in system.observables]
    return "\n".join(lines)


def _text(item: Definition) -> str:
    indices = f"[{', '.join(map(str, item.indices))}]" if item.indices else ""
    return f"{item.target.name}{indices} = {item.value}"


# -- the solution -----------------------------------------------------------------------------------------------------


def solve_flow(
    system: PiecewiseFlow,
    setting: Any,
    start: Any,
    times: Real,
    progress: bool | Callable[[float], object] = False,
) -> PiecewiseSolution:
    """Solve a piecewise affine flow exactly.

    Parameters
    ----------
    system : PiecewiseFlow
        The equations.
    setting : object
        Has ``sizes`` and, by name, the parameters of the system.
    start : (d,) array_like, mapping or object
        The state at time 0, or a mapping or object with it (or its plural) or one of ``system.starts`` by name.
    times : (T,) array of float64
        Increasing from 0 on.
    progress : bool or callable
        Whether to show a progress bar, or what to call with the fraction done.

    Returns
    -------
    PiecewiseSolution

    Raises
    ------
    AssumptionError
        If a value is missing, of another shape, or not finite, or a rate is not positive.

    Notes
    -----
    *Validity.* Exact but for rounding. Its effect on the state is estimated from the response of the path to a relative
    change of all offsets by 2^-30: a path is monotone in its offsets, so no other change of that size moves it farther.
    """
    sizes = dict(setting.sizes)
    extents = {axis.size: sizes[str(axis.size)] for axis in system.sets}
    values = IndexedValues({}, extents)
    indices = index_arrays(system)
    for array in system.parameters:
        bound = bound_array(array, getattr(setting, array.binding), sizes)
        values.arrays[array.name] = bound.astype(np.intp) if array.name in indices else bound
    for item in system.definitions:
        assert isinstance(item, Definition)
        values.arrays[item.target.name] = np.asfortranarray(values.defined(item, sizes))  # columns are read
    state = system.states[0]
    begin = _start(system, start, values, sizes)
    sample, (coordinate,) = system.sample, system.equations[0].indices
    count = extents[system.equations[0].value.size]

    def columns(at: int) -> tuple[Real, ...]:
        """Breakpoints, rates and offsets of one coordinate."""
        parts = (
            values(expression, (sample, coordinate), {coordinate: slice(at, at + 1)})
            for expression in (system.breakpoint, system.rate, system.offset)
        )
        return tuple(np.array(np.broadcast_to(part, (count, 1))[:, 0], dtype=np.float64) for part in parts)

    def follow(at: int) -> tuple[EventPath, Real]:
        u, p, q = columns(at)
        path = solve_by_events(u, p, q, begin[at])
        reach = max(float(np.abs(u).max()), abs(float(begin[at])))
        nudged = solve_by_events(u, p, q + _NUDGE * (np.abs(q) + p * reach), begin[at])
        response = np.abs(nudged(times) - path(times)) * (_ROUNDINGS * _EPS / _NUDGE)
        resting = path.passed_rate(times) == 0.0  # on a breakpoint, or where it began
        return path, np.where(resting, response, response + _EPS * np.abs(path(times)))

    dimension = shape_of(state, sizes)[0]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, dimension)) as pool, reporter(progress, "solve") as report:
        followed = []
        for done, one in enumerate(pool.map(follow, range(dimension)), 1):
            followed.append(one)
            if report is not None:
                report(done / dimension)
        paths = tuple(path for path, _ in followed)
        states = np.stack([path(times) for path in paths], axis=-1)
        errors = np.stack([error for _, error in followed], axis=-1)

        def observe(at: Real) -> dict[str, Real]:
            own = IndexedValues({**values.arrays, state.name: at}, extents)
            return {item.target.binding: own.defined(item, sizes) for item in system.observables}

        seen = list(pool.map(observe, states))
        moved = [list(pool.map(observe, states + sign * errors)) for sign in (1, -1)]
    data, uncertain = {state.binding: states}, {state.binding: errors}
    for name in seen[0]:
        exact, above, below = (np.stack([one[name] for one in run]) for run in (seen, *moved))
        data[name] = exact
        uncertain[name] = np.maximum(np.abs(above - exact), np.abs(below - exact)) + _ROUNDINGS * _EPS * np.abs(exact)
    record = provenance(method="event by event", events=str(sum(path.events for path in paths)))
    return PiecewiseSolution(
        setting,
        system,
        _labelled(system, data, times, paths),
        _labelled(system, uncertain, times),
        record,
        paths=paths,
    )


def _labelled(system: PiecewiseFlow, values: Mapping[str, Real], times: Real, paths: tuple[EventPath, ...] = ()) -> Any:
    """Values with named dimensions."""
    import xarray as xr

    state = system.states[0]
    targets = {a.binding: a for a in (state, *(item.target for item in system.observables))}
    variables: dict[str, Any] = {
        name: xr.DataArray(value, dims=("time", *targets[name].dimensions), attrs={"meaning": targets[name].meaning})
        for name, value in values.items()
    }
    coords: dict[str, Any] = {"time": xr.DataArray(times, dims="time", attrs={"meaning": system.time})}
    if paths:
        coords["outcome"] = (state.dimensions, [path.outcome for path in paths])
        coords["events"] = (state.dimensions, [path.events for path in paths])
        coords["limit"] = (state.dimensions, [path.limit for path in paths])
    return xr.Dataset(variables, coords=coords)
