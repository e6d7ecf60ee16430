"""Solve a `PiecewiseFlow`: bind its arrays, follow each entry exactly from event to event, evaluate observables.

No formula is known here: breakpoints, rates, offsets and observables are evaluated as the system has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from hermiton.theory.errors import argument_error
from hermiton.theory.systems import Array, Definition, PiecewiseFlow

from .events import EventPath, solve_by_events
from .flow_text import definition_text, flow_text
from .grouped_sums import defined
from .indexed_values import IndexedValues, bound_array, index_arrays, shape_of
from .neural_collapse import CollapseMetrics, Undefined
from .progress import reporter
from .provenance import provenance
from .solution import Solution

__all__ = [
    "PiecewiseSolution",
    "acting_breakpoints",
    "bound_values",
    "flow_source",
    "follows_from_state",
    "labelled",
    "solve_flow",
    "start_of",
    "with_response",
]

Real = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
# Inputs are changed by this share of themselves to see how the path responds, which is then scaled to rounding.
_NUDGE = 2.0**-30
# Roundings of an input and of the operations on it.
_ROUNDINGS = 8


@dataclass(frozen=True, eq=False)
class PiecewiseSolution(Solution):
    """A solved `PiecewiseFlow`.

    ``data`` holds the state and the observables at the asked times; beside them, along the state's dimensions, labels
    ``events`` (their number), ``outcome`` (see `EventPath`) and ``limit`` (where the coordinate goes). Its attributes
    say until when conditions of the system hold (infinity: for ever), and why a metric that is left out has no value.

    Parameters
    ----------
    paths : tuple of EventPath
        The exact path of each entry of the state, in row order, which can be evaluated at any other time.
    """

    paths: tuple[EventPath, ...] = field(default=(), repr=False)


# -- binding -----------------------------------------------------------------------------------------------------------


def _bound(array: Array, given: Any, sizes: Mapping[str, int]) -> NDArray[Any]:
    """A value of an array; where its first axis has length one, a value without that axis will do."""
    shape = shape_of(array, sizes)
    if shape and shape[0] == 1 and np.shape(given) == shape[1:] and len(shape) > 1:
        given = np.asarray(given)[None]
    return bound_array(array, given, sizes)


def start_of(system: PiecewiseFlow, start: Any, values: IndexedValues, sizes: Mapping[str, int]) -> Real:
    """The state at time 0: given itself, by name, or by another array that it follows from.

    Parameters
    ----------
    system : PiecewiseFlow
        The equations.
    start : array_like, mapping or object
        As for `solve_flow`.
    values : IndexedValues
        As from `bound_values`.
    sizes : mapping of str to int
        Sizes by name.

    Returns
    -------
    array
    """
    state = system.states[0]

    def found(name: str) -> Any:
        if isinstance(start, Mapping):
            return start.get(name)
        return getattr(start, name, None)

    plural = f"{state.binding}s"
    names = {plural: state, state.binding: state, **{given.binding: given for given, _ in system.starts}}
    given = [name for name in names if found(name) is not None]
    if not given and not isinstance(start, Mapping):
        return np.array(_bound(state, start, sizes))
    if len(given) != 1:
        problem = f"gives {' and '.join(given)}" if given else "has no value for the state"
        one_of = ", ".join(name for name in names if name != state.binding)
        raise argument_error("start", start, problem, f"give one of {one_of}")
    array = names[given[0]]
    value = _bound(array, found(given[0]), sizes)
    if array is state:
        return np.array(value)
    definition = next(definition for other, definition in system.starts if other is array)
    return IndexedValues({**values.arrays, array.name: value}, values.extents).defined(definition, sizes)


def bound_values(system: PiecewiseFlow, setting: Any) -> IndexedValues:
    """Parameters of a system by name, and its definitions that do not depend on the state.

    Parameters
    ----------
    system : PiecewiseFlow
        The equations.
    setting : object
        Has ``sizes`` and, by name, the parameters.

    Returns
    -------
    IndexedValues
    """
    sizes = dict(setting.sizes)
    values = IndexedValues({}, {axis.size: sizes[str(axis.size)] for axis in system.sets})
    indices = index_arrays(system)
    for array in system.parameters:
        bound = _bound(array, getattr(setting, array.binding), sizes)
        values.arrays[array.name] = bound.astype(np.intp) if array.name in indices else bound
    for item in system.definitions:
        assert isinstance(item, Definition)
        if item not in system.following:
            entries = values.defined(item, sizes)
            along = _sample_axis(system, item.target)
            if along is not None:  # the samples of one entry of the state are read together
                entries = np.moveaxis(np.ascontiguousarray(np.moveaxis(entries, along, -1)), -1, along)
            values.arrays[item.target.name] = entries
    return values


def _sample_axis(system: PiecewiseFlow, array: Array) -> int | None:
    count = system.equations[0].value.size
    return next((place for place, axis in enumerate(array.axes) if axis.size == count), None)


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
    at = ", ".join(map(str, equation.indices))
    how = f"each entry of {equation.target.name} from event to event (hermiton.numerics.events)"
    parts = ("breakpoint", "rate", "offset")
    text = flow_text(system, how, (f"{part}[{system.sample}, {at}] = {getattr(system, part)}" for part in parts))
    conditions = (f"{definition_text(item.definition)} > 0 where {item.where} != 0" for item in system.conditions)
    return "\n".join((text, *conditions))


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
    start : array_like of the state's shape, mapping or object
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
        If a value is missing, of another shape, or not finite, a rate is not positive, or a condition of the system
        ceases to hold before the last asked time.

    Notes
    -----
    *Validity.* Exact but for rounding. Its effect on the state is estimated from the response of the path to a relative
    change of all offsets by 2^-30: a path is monotone in its offsets, so no other change of that size moves it farther.
    """
    sizes = dict(setting.sizes)
    values = bound_values(system, setting)
    state = system.states[0]
    begin = start_of(system, start, values, sizes)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, reporter(progress, "solve") as report:
        follow = partial(_follow, system, values, begin, times)
        followed = []
        for done, one in enumerate(pool.map(follow, np.ndindex(begin.shape)), 1):
            followed.append(one)
            if report is not None:
                report(done / begin.size)
        paths = tuple(path for path, _ in followed)
        attributes: dict[str, Any] = {}
        if system.conditions:
            from .separation import holds_until

            for condition in system.conditions:
                until = holds_until(system, condition, values, paths, float(times[-1]))
                attributes[f"{condition.definition.target.binding}_until"] = until
        shape = (times.size, *begin.shape)
        states = np.stack([path(times) for path in paths], axis=-1).reshape(shape)
        errors = np.stack([error for _, error in followed], axis=-1).reshape(shape)
        ahead = np.reshape([-1.0 if path.limit < path.values[0] else 1.0 for path in paths], begin.shape)
        look = partial(_observed, system, values, sizes, _measures(system, values), ahead)
        seen = list(pool.map(look, states, errors))
    data, uncertain = {state.binding: states}, {state.binding: errors}
    for name in seen[0]:
        found = [one[name] for one in seen]
        lost = next(((time, one) for time, one in zip(times, found, strict=True) if isinstance(one, Undefined)), None)
        if lost is not None:
            attributes[name] = f"not defined at time {lost[0]:.6g}: {lost[1].reason}"
            continue
        data[name], uncertain[name] = (np.stack(part) for part in zip(*found, strict=True))
    record = provenance(method="event by event", events=str(sum(path.events for path in paths)))
    return PiecewiseSolution(
        setting,
        system,
        labelled(system, data, times, paths, attributes),
        labelled(system, uncertain, times),
        record,
        paths=paths,
    )


def acting_breakpoints(system: PiecewiseFlow, values: IndexedValues, at: tuple[int, ...]) -> tuple[Real, Real, Real]:
    """Breakpoints, rates and offsets of one entry of the state, without those that have neither rate nor offset.

    Parameters
    ----------
    system : PiecewiseFlow
        The equations.
    values : IndexedValues
        As from `bound_values`.
    at : tuple of int
        Place of the entry.

    Returns
    -------
    tuple of (n,) arrays
    """
    sample, indices = system.sample, system.equations[0].indices
    window = {index: slice(place, place + 1) for index, place in zip(indices, at, strict=True)}
    shape = (values.extents[system.equations[0].value.size], *(1 for _ in indices))
    u, p, q = (
        np.array(np.broadcast_to(values(part, (sample, *indices), window), shape).ravel(), dtype=np.float64)
        for part in (system.breakpoint, system.rate, system.offset)
    )
    acting = (p != 0.0) | (q != 0.0)
    return (u, p, q) if acting.all() else (u[acting], p[acting], q[acting])


def _follow(
    system: PiecewiseFlow, values: IndexedValues, begin: Real, times: Real, at: tuple[int, ...]
) -> tuple[EventPath, Real]:
    """The path of one entry of the state, and the errors of its values."""
    u, p, q = acting_breakpoints(system, values, at)
    start = float(begin[at])
    if not u.size:  # nothing pulls, now or later
        still = np.array([start])
        path = EventPath(np.zeros(1), still, np.zeros(1), still, "frozen")
        return path, _EPS * np.abs(path(times))
    path = solve_by_events(u, p, q, start)
    reach = max(float(np.abs(u).max()), abs(start))
    nudged = solve_by_events(u, p, q + _NUDGE * (np.abs(q) + p * reach), start)
    response = np.abs(nudged(times) - path(times)) * (_ROUNDINGS * _EPS / _NUDGE)
    resting = path.passed_rate(times) == 0.0  # on a breakpoint, or where it began
    return path, np.where(resting, response, response + _EPS * np.abs(path(times)))


def _measures(system: PiecewiseFlow, values: IndexedValues) -> CollapseMetrics | None:
    if system.classifier is None:
        return None
    return CollapseMetrics(system.classifier, values.arrays[system.classifier.labels.name])


def _observed(
    system: PiecewiseFlow,
    values: IndexedValues,
    sizes: Mapping[str, int],
    measures: CollapseMetrics | None,
    ahead: Real,
    at: Real,
    error: Real,
) -> dict[str, tuple[Any, Any] | Undefined]:
    """Observables at a state, each with its error: that of rounding, and the response to the error of the state.

    Where samples enter, all entries of the state are moved at once, along their paths (`ahead` is 1 where an entry
    grows and -1 where it falls): a cost falls along each of them, and truncated mass depends on one entry alone, so
    that no responses cancel. Without samples the responses to each entry are cheap, and are added.
    """
    alone = [item for item in system.observables if follows_from_state(system, item)]
    others = [item for item in system.observables if item not in alone]
    wanted = {name for item in others for name in _entries(item)}
    for item in reversed(system.following):
        if item.target.name in wanted:
            wanted |= _entries(item)
    features = None if system.classifier is None else system.classifier.features
    runs: list[dict[str, Real]] = []
    traits: list[Real] = []
    for moved in (at, at + ahead * error, at - ahead * error):
        own = IndexedValues({**values.arrays, system.states[0].name: moved}, values.extents)
        for item in system.following:
            if len(runs) < 2 or item.target.name in wanted:
                own.arrays[item.target.name] = defined(own, item, sizes)
        runs.append({item.target.binding: defined(own, item, sizes) for item in others})
        if features is not None and len(traits) < 2:
            traits.append(own.arrays[features.name])
    found: dict[str, tuple[Any, Any] | Undefined] = {}
    for item in system.observables:
        name = item.target.binding
        if item in alone:
            exact, response = with_response(system, values, sizes, item, at, error)
        else:
            exact = runs[0][name]
            response = np.max([np.abs(run[name] - exact) for run in runs[1:]], axis=0)
        found[name] = exact, response + _ROUNDINGS * _EPS * np.abs(exact)
    if measures is not None and system.classifier is not None:
        weights, bias = (values.arrays[array.name] for array in (system.classifier.weights, system.classifier.bias))
        spread = float(np.linalg.norm(traits[1] - traits[0], axis=1).max())  # in no direction do responses cancel
        for name, one in measures(traits[0], weights, bias, spread).items():
            found[name] = one if isinstance(one, Undefined) else (np.array(one.value), np.array(one.error))
    return found


def follows_from_state(system: PiecewiseFlow, item: Definition) -> bool:
    """Whether an observable needs the state and parameters alone that do not depend on the samples.

    Parameters
    ----------
    system : PiecewiseFlow
        The equations.
    item : Definition
        One of its observables.

    Returns
    -------
    bool
    """
    count = system.equations[0].value.size
    plain = {array.name for array in system.parameters if all(axis.size != count for axis in array.axes)}
    return not _entries(item) - plain - {system.states[0].name}


def with_response(
    system: PiecewiseFlow, values: IndexedValues, sizes: Mapping[str, int], item: Definition, at: Real, error: Real
) -> tuple[Real, Real]:
    """An observable that follows from the state, and how far errors of its entries can move it.

    Parameters
    ----------
    system : PiecewiseFlow
        The equations.
    values : IndexedValues
        As from `bound_values`.
    sizes : mapping of str to int
        Sizes by name.
    item : Definition
        The observable.
    at, error : array
        The state and the errors of its entries.

    Returns
    -------
    tuple of arrays
        Its value, and the sum of its responses to each entry.
    """
    name = system.states[0].name

    def seen(state: Real) -> Real:
        return IndexedValues({**values.arrays, name: state}, values.extents).defined(item, sizes)

    exact = seen(at)
    response = np.zeros_like(exact)
    for place in np.ndindex(at.shape):
        moved = at.copy()
        moved[place] += error[place]
        response += np.abs(seen(moved) - exact)
    return exact, response


def _entries(item: Definition) -> set[str]:
    """Names of the arrays in a definition."""
    return {str(entry.base.label) for entry in item.value.atoms(sp.Indexed)}


def labelled(
    system: PiecewiseFlow,
    values: Mapping[str, Real],
    times: Real,
    paths: tuple[EventPath, ...] = (),
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """Values with named dimensions.

    Parameters
    ----------
    system : PiecewiseFlow
        Has the dimensions and meanings.
    values : mapping of str to array
        By name, time on the first axis.
    times : (T,) array
        The times.
    paths : tuple of EventPath
        If given, what they tell goes into labels of the state's dimensions.
    attributes : mapping, optional
        Attributes of the dataset.

    Returns
    -------
    xarray.Dataset
    """
    import xarray as xr

    state = system.states[0]
    metrics = () if system.classifier is None else system.classifier.metrics
    targets = {a.binding: a for a in (state, *(item.target for item in (*system.observables, *metrics)))}
    variables: dict[str, Any] = {
        name: xr.DataArray(value, dims=("time", *targets[name].dimensions), attrs={"meaning": targets[name].meaning})
        for name, value in values.items()
    }
    coords: dict[str, Any] = {"time": xr.DataArray(times, dims="time", attrs={"meaning": system.time})}
    if paths:
        shape = values[state.binding].shape[1:]
        for name in ("outcome", "events", "limit"):
            coords[name] = (state.dimensions, np.reshape([getattr(path, name) for path in paths], shape))
    return xr.Dataset(variables, coords=coords, attrs=dict(attributes or {}))
