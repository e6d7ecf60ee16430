"""Solve a `RotatingFlow`: bind its arrays, follow it at steps and at half the steps, evaluate observables.

No formula is known here: definitions, equations and observables are evaluated as the system has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from hermiton.theory.errors import DerivationError, argument_error
from hermiton.theory.rotating_flow import RotatingFlow
from hermiton.theory.systems import Array, Definition, Passed

from .flow_text import flow_text
from .indexed_values import IndexedValues, bound_array, index_arrays, shape_of
from .neural_collapse import CollapseMetrics, Undefined
from .ode import Status
from .progress import reporter
from .provenance import provenance
from .rotation_steps import Slope, State, Stopped, follow, nearest_orthogonal, refollow
from .solution import Solution
from .solve import UnfinishedError

__all__ = ["rotating_source", "solve_rotating"]

Real = NDArray[np.float64]

# An error is this many times the distance of the two runs, the largest around its time within this factor: where
# jumps dominate, the error of the run at half the steps is half that of the other and independent of it.
_SAFETY = 2.0
_AROUND = 1.25
_ROUNDING = 1e-15
# Antisymmetric and orthogonal to that.
_WITHIN = 1e-8


# -- binding ----------------------------------------------------------------------------------------------------------


def _together(arrays: Iterable[Array]) -> dict[str, list[Array]]:
    """Arrays by the value that they are slices of, in the order of their slots."""
    groups: dict[str, list[Array]] = {}
    for array in arrays:
        groups.setdefault(array.binding, []).append(array)
    return {name: sorted(group, key=lambda one: one.slot[1] if one.slot else 0) for name, group in groups.items()}


def _split(name: str, group: list[Array], value: Any, sizes: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """A value as the arrays that are slices of it."""
    if group[0].slot is None:
        return {group[0].name: bound_array(group[0], value, sizes)}
    dimension = group[0].slot[0]
    if not hasattr(value, "__len__") or len(value) != len(group):
        count = len(value) if hasattr(value, "__len__") else "no"
        problem = f"has {count} entries along the dimension {dimension!r}, which has {len(group)}"
        raise argument_error(name, value, problem, f"pass shape {(len(group), *shape_of(group[0], sizes))}")
    return {array.name: bound_array(array, value[place], sizes) for place, array in enumerate(group)}


@dataclass(frozen=True)
class _Bound:
    """A system with its numbers."""

    system: RotatingFlow
    sizes: Mapping[str, int]
    constants: IndexedValues
    flags: tuple[tuple[sp.Expr, tuple[sp.Symbol, ...]], ...]

    def at(self, state: State) -> IndexedValues:
        """All arrays at a state."""
        values = IndexedValues(dict(self.constants.arrays), self.constants.extents)
        for array, value in zip(self.system.states, state, strict=True):
            values.arrays[array.name] = value
        for item in self.system.definitions:
            if item.target.name not in values.arrays:
                assert isinstance(item, Definition)
                values.arrays[item.target.name] = values.defined(item, self.sizes)
        return values

    def rhs(self, state: State) -> Slope:
        """Slopes and flags."""
        values = self.at(state)
        slopes = [values.defined(item, self.sizes) for item in self.system.equations]
        flags = tuple(np.asarray(values(flag, axes, {})) for flag, axes in self.flags)
        return [
            _antisymmetric(array, slope) if array in self.system.rotations else slope
            for array, slope in zip(self.system.states, slopes, strict=True)
        ], flags

    def observe(self, state: State, measure: CollapseMetrics | None) -> dict[str, Real | Undefined]:
        """The state, the observables and the metrics, by name."""
        values = self.at(state)
        seen = {item.target.name: values.defined(item, self.sizes) for item in self.system.observables}
        groups = _together((*self.system.states, *(item.target for item in self.system.observables)))
        found: dict[str, Real | Undefined] = {
            name: np.stack([{**values.arrays, **seen}[array.name] for array in group])
            if group[0].slot
            else {**values.arrays, **seen}[group[0].name]
            for name, group in groups.items()
        }
        classifier = self.system.classifier
        if measure is not None and classifier is not None:
            arrays = (classifier.features, classifier.weights, classifier.bias)
            for name, one in measure(*(values.arrays[array.name] for array in arrays)).items():
                found[name] = one if isinstance(one, Undefined) else np.array(one.value)
        return found


def _antisymmetric(array: Array, omega: Real) -> Real:
    defect = np.abs(omega + omega.T).max()
    if defect > _WITHIN * max(1.0, float(np.abs(omega).max())):
        raise DerivationError(f"the equation of the rotation {array.name} is not antisymmetric: by {defect:.3g}")
    return (omega - omega.T) / 2


def _bind(system: RotatingFlow, setting: Any) -> _Bound:
    """Parameters, definitions that no state moves, and the flags whose flips make the right-hand side jump."""
    sizes = dict(setting.sizes)
    values = IndexedValues({}, {axis.size: sizes[str(axis.size)] for axis in system.sets})
    for name, group in _together(system.parameters).items():
        values.arrays.update(_split(name, group, getattr(setting, name), sizes))
    for name in index_arrays(system) & set(values.arrays):
        values.arrays[name] = values.arrays[name].astype(np.intp)
    # Sums go over the samples, and coordinates are few: the long axis should be the contiguous one.
    values.arrays.update({name: np.asfortranarray(array) for name, array in values.arrays.items()})
    moving = system.moving
    flags: dict[sp.Expr, tuple[sp.Symbol, ...]] = {}
    for item in (*system.definitions, *system.equations):
        assert isinstance(item, Definition)
        if item in system.definitions and item.target.name not in moving:
            values.arrays[item.target.name] = values.defined(item, sizes)
        for flag in item.value.atoms(Passed):
            flags[flag] = _indices(flag)
    return _Bound(system, sizes, values, tuple(flags.items()))


def _indices(expression: sp.Expr) -> tuple[sp.Symbol, ...]:
    """Free indices of an expression in entries of arrays."""
    labels = {entry.base.label for entry in expression.atoms(sp.Indexed)}
    free = {symbol for symbol in expression.free_symbols if isinstance(symbol, sp.Symbol)}
    return tuple(sorted(free - labels, key=sp.default_sort_key))


def _begin(bound: _Bound, setting: Any, start: Any) -> State:
    """The state at time 0: from the start, by name or through another array, else from the setting."""
    system, sizes = bound.system, bound.sizes
    states, others = _together(system.states), _together(given for given, _ in system.starts)
    names = (*states, *(name for name in others if name not in states))
    if isinstance(start, Mapping):
        for name in start:
            if name not in names:
                raise argument_error("start", name, "is no state", f"give some of {', '.join(names)}")
        given = dict(start)
    else:
        given = {name: getattr(start, name) for name in names if getattr(start, name, None) is not None}
        if not given and others and not system.plain:
            problem = "does not say what it gives"
            raise argument_error(
                "start", start, problem, f"give a mapping, or an object, with some of {', '.join(names)}"
            )
        if not given:
            given = {system.plain or system.states[0].binding: start}
    arrays: dict[str, NDArray[Any]] = {}
    for name, group in states.items():
        if name in given:
            arrays.update(_split(name, group, given[name], sizes))
    instead = [name for name in others if name in given]
    targets = {
        definition.target.name: name for name in instead for one, definition in system.starts if one.binding == name
    }
    for name, group in states.items():
        doubly = [array.name for array in group if array.name in targets and array.name in arrays]
        if doubly:
            problem = f"gives both {targets[doubly[0]]} and {name}"
            raise argument_error("start", sorted(given), problem, "give one of them")
        if name not in given and not all(array.name in targets for array in group):
            if getattr(setting, name, None) is None:
                one_of = ", ".join([name, *(o for o in others if o not in instead)])
                raise argument_error("start", sorted(given), f"has no value for {name}", f"give one of {one_of}")
            arrays.update(_split(name, group, getattr(setting, name), sizes))
    for array in system.rotations:
        matrix = arrays[array.name]
        if not np.abs(matrix @ matrix.T - np.eye(len(matrix))).max() < _WITHIN:
            raise argument_error(array.binding, matrix.tolist(), "is not orthogonal", "use its polar factor")
        arrays[array.name] = nearest_orthogonal(matrix)
    for name in instead:
        values = IndexedValues({**bound.constants.arrays, **arrays}, bound.constants.extents)
        values.arrays.update(_split(name, others[name], given[name], sizes))
        for one, definition in system.starts:
            if one.binding == name:
                arrays[definition.target.name] = values.defined(definition, sizes)
    return [np.array(arrays[array.name]) for array in system.states]


# -- the solution -----------------------------------------------------------------------------------------------------


def rotating_source(system: RotatingFlow) -> str:
    """What is computed, as text: no kernel is generated.

    Parameters
    ----------
    system : RotatingFlow
        The equations.

    Returns
    -------
    str
    """
    how = "Munthe-Kaas steps of order 4 (hermiton.numerics.rotation_steps)"
    return flow_text(system, how, (f"{array.name}' = d {array.name} {array.name}" for array in system.rotations))


def solve_rotating(
    system: RotatingFlow,
    setting: Any,
    start: Any,
    times: Real,
    rtol: float,
    atol: float,
    progress: bool | Callable[[float], object] = False,
) -> Solution:
    """Solve a flow of vectors and rotations whose right-hand side may jump.

    Parameters
    ----------
    system : RotatingFlow
        The equations.
    setting : object
        Has ``sizes`` and, by name, the parameters of the system, and those states that the start does not give.
    start : array_like, mapping or object
        A mapping or object with states at time 0 (or ``system.starts``) by name, or an array: what ``system.plain``
        names, or the first state where no other array could be meant.
    times : (T,) array of float64
        Increasing from 0 on.
    rtol, atol : float
        Tolerance of a step in which the right-hand side does not jump, relative to the largest entry of the state. One
        in which it jumps has the tolerance `JUMP_TOLERANCE`, or what a larger rtol says, and less only for an rtol
        below 1e-8.
    progress : bool or callable
        Whether to show a progress bar, or what to call with the fraction done.

    Returns
    -------
    Solution
        The run at half the steps.

    Raises
    ------
    AssumptionError
        If a value is missing, of another shape, or not finite, or a rotation is not orthogonal.
    AccuracyError
        If the solution diverges, with the time.
    DerivationError
        If the equation of a rotation is not antisymmetric.

    Notes
    -----
    *Validity.* Errors are estimates: twice the largest distance of the two runs within a quarter of the time around
    each output. Where no flag flips the order is 4 and they are far too large. A jump leaves an error proportional to
    itself and to the step, of either sign, whatever the order: expect errors near 1e-4 with 1e4 samples at the default
    tolerance, not `rtol`. Rotations are orthogonal to 1e-13.
    """
    bound = _bind(system, setting)
    begin = _begin(bound, setting, start)
    rotates = tuple(array in system.rotations for array in system.states)
    end = float(times[-1])
    with reporter(progress, "solve") as report:

        def show(done: float, share: float) -> Callable[[float], object]:
            return lambda fraction: None if report is None else report(done + share * fraction)

        try:
            coarse = follow(bound.rhs, rotates, begin, times, rtol, atol, show(0.0, 1 / 3))
            fine = refollow(bound.rhs, rotates, coarse, show(1 / 3, 2 / 3))
        except Stopped as stop:
            status: Status = "diverged" if stop.diverged else "step limit"
            raise UnfinishedError(status, stop.time, end, "stop earlier, or start elsewhere") from None
        measure = None
        if system.classifier is not None:
            measure = CollapseMetrics(system.classifier, bound.constants.arrays[system.classifier.labels.name])
        seen, rough = ([bound.observe(state, measure) for state in path.states] for path in (fine, coarse))
    nodes = np.array(fine.times)
    both: dict[str, tuple[Real, Real]] = {}
    attributes: dict[str, str] = {}
    for name in seen[0]:
        curves = [[one[name] for one in run] for run in (seen, rough)]
        lost = [(t, one) for curve in curves for t, one in zip(nodes, curve, strict=True) if isinstance(one, Undefined)]
        if lost:
            attributes[name] = f"not defined at time {lost[0][0]:.6g}: {lost[0][1].reason}"
        else:
            both[name] = np.stack(curves[0]), np.stack(curves[1])  # type: ignore[arg-type]
    shift = _shift(nodes, [both[name] for name in _together(system.states)], np.array(coarse.defects))
    values, errors = {}, {}
    for name, (one, other) in both.items():
        values[name] = one[np.searchsorted(nodes, times)]
        errors[name] = _errors(nodes, one, other, shift, times) + _rounding(values[name], len(nodes))
    record = provenance(
        method="Munthe-Kaas of order 4",
        rtol=repr(rtol),
        atol=repr(atol),
        steps=str(2 * (len(nodes) - 1)),
        crossings=str(fine.crossings),
        evaluations=str(coarse.evaluations + fine.evaluations),
    )
    data = _labelled(system, values, times).assign_attrs(attributes)
    return Solution(setting, system, data, _labelled(system, errors, times), record)


def _slope(nodes: Real, values: Real) -> Real:
    """Derivatives from neighbours in time."""
    return np.abs(np.gradient(values, nodes, axis=0)) if len(nodes) > 1 else np.zeros_like(values)


def _shift(nodes: Real, states: list[tuple[Real, Real]], defects: Real) -> Real:
    """The shift of time that the distance of the two runs amounts to: the largest so far, at most all of the time.

    And no less than what the errors of the single steps amount to, as a random walk: the runs may agree by chance.
    """
    flat = [np.concatenate([run[k].reshape(len(nodes), -1) for run in states], axis=1) for k in (0, 1)]
    speed = np.linalg.norm(_slope(nodes, flat[0]), axis=1)
    distance = np.linalg.norm(flat[0] - flat[1], axis=1)
    seen, walked = (np.divide(size, speed, out=np.zeros_like(speed), where=speed > 0) for size in (distance, defects))
    walk = np.sqrt(np.cumsum(walked**2))
    return np.asarray(np.minimum(np.maximum(np.maximum.accumulate(seen), walk), nodes))


def _errors(nodes: Real, values: Real, other: Real, shift: Real, times: Real) -> Real:
    """The largest distance around each time, and what the shift makes of the slope, with a factor for safety."""
    distance = np.maximum(np.abs(values - other), _slope(nodes, values) * _against(shift, values))
    first = np.searchsorted(nodes, times / _AROUND * (1 - _ROUNDING))
    last = np.searchsorted(nodes, times * _AROUND, side="right")
    return _SAFETY * np.stack([distance[a:b].max(axis=0) for a, b in zip(first, last, strict=True)])


def _against(shift: Real, values: Real) -> Real:
    return shift.reshape(-1, *(1,) * (values.ndim - 1))


def _rounding(values: Real, steps: int) -> Real:
    return np.asarray(_ROUNDING * np.sqrt(4.0 * steps) * (1 + np.abs(values)))


def _labelled(system: RotatingFlow, values: Mapping[str, Real], times: Real) -> Any:
    """Values with named dimensions."""
    import xarray as xr

    variables = {}
    metrics = () if system.classifier is None else system.classifier.metrics
    targets = (item.target for item in (*system.observables, *metrics))
    for name, group in _together((*system.states, *targets)).items():
        if name not in values:
            continue
        slot = (group[0].slot[0],) if group[0].slot else ()
        dims = ("time", *slot, *group[0].dimensions)
        variables[name] = xr.DataArray(values[name], dims=dims, attrs={"meaning": group[0].meaning})
    coords = {"time": xr.DataArray(times, dims="time", attrs={"meaning": system.time})}
    return xr.Dataset(variables, coords=coords)
