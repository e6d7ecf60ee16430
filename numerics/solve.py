"""The verb `solve`: bind a system to numbers and solve it.

Values are bound by name: a system's states and parameters carry the names of the fields of a setting and its start. So
nothing here knows which theory it solves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from hermiton.theory.derivation import Derivation
from hermiton.theory.derive import derive
from hermiton.theory.errors import AccuracyError, argument_error
from hermiton.theory.notation import z
from hermiton.theory.rotating_flow import RotatingFlow
from hermiton.theory.systems import Array, OdeSystem, PiecewiseFlow

from .codegen.kernel import CompiledSystem, compile_system
from .ode import Method, Status, Trajectory, integrate
from .provenance import provenance
from .solution import Solution

if TYPE_CHECKING:
    import xarray as xr

    from .moments.piecewise_rule import PiecewiseRule
    from .quadrature import GaussianRule

    Rule = GaussianRule | PiecewiseRule

__all__ = ["BoundSystem", "UnfinishedError", "bind", "bind_compiled", "output_times", "solve", "tolerances"]

# The less accurate of the two runs, whose distance is the error estimate, has a tolerance this much larger.
_LOOSER = 10.0
# Where both runs' errors are alike, their distance is smaller than either.
_SAFETY = 2.0
_ROUNDING = 1e-15
_ATOL_PER_RTOL = 1e-2
# States along a solution at which the quadrature's error is examined.
_PROBES = 5
# Nodes of the two rules for orthant probabilities: both reach rounding, and their distance shows if they did not.
_ORTHANT_NODES = (12, 16)
_CURE = (
    "lower the learning rate or stop earlier; activations that grow faster than linearly have no bounded error signal"
)


@dataclass(frozen=True)
class BoundSystem:
    """A compiled system with its numbers: everything that an integrator needs.

    Parameters
    ----------
    compiled : CompiledSystem
        The kernels and their layout.
    sizes : dict
        Sizes of the index sets.
    start : (dim,) array
        Packed state at time 0.
    parameters : (P,) array
        Packed parameters.
    """

    compiled: CompiledSystem
    sizes: dict[str, int]
    start: NDArray[np.float64]
    parameters: NDArray[np.float64]

    def arguments(self, rule: Rule | None = None) -> dict[str, Any]:
        """Keyword arguments for `integrate`; the rule for moments follows the parameters and sizes."""
        sizes = self.compiled.size_vector(self.sizes)
        work = self.compiled.work_size(self.sizes)
        if rule is None:
            return {"parameters": self.parameters, "sizes": sizes, "work_size": work}
        scratch = 0
        if not self.compiled.piecewise_linear:
            from .moments.four_point import four_point_scratch
            from .moments.pairs import pair_scratch

            fields = int(sizes.sum())
            scratch = max(pair_scratch(fields, rule.sizes), four_point_scratch(fields, rule.sizes))
        return {
            "parameters": np.concatenate([self.parameters, rule.data]),
            "sizes": np.concatenate([sizes, rule.sizes]),
            "work_size": work + scratch,
        }

    def covariance(self, state: NDArray[np.float64], rule: Rule) -> NDArray[np.float64]:
        """The covariance of the fields at a packed state, as the kernel computes it; systems with tables only."""
        (array,) = {m.covariance for m in self.compiled.system.moments if m.closed_form is None}
        arguments = self.arguments(rule)
        work = np.zeros(arguments["work_size"])
        slope = np.zeros_like(state)
        self.compiled.rhs(0.0, state, arguments["parameters"], arguments["sizes"], work, slope)
        shape = self.compiled.shape(array, self.sizes)
        offset = self.compiled.offset(array.name, self.sizes)
        return work[offset : offset + shape[0] * shape[1]].reshape(shape).copy()

    def observe(self, states: NDArray[np.float64], rule: Rule | None = None) -> dict[str, NDArray[np.float64]]:
        """Observables at packed states, shape (T, dim), by name."""
        system = self.compiled.system
        if not system.observables:
            return {}
        out = np.zeros((self.compiled.length("output", self.sizes, function=1), len(states)))
        arguments = self.arguments(rule)
        if rule is None:
            pointwise = compile_system(system, "numpy")
            points = [
                np.repeat(a[:, None], len(states), axis=1) for a in (self.parameters, np.zeros(arguments["work_size"]))
            ]
            pointwise.observables(0.0, states.T, points[0], arguments["sizes"], points[1], out)
        else:
            work = np.zeros(arguments["work_size"])
            row = np.zeros(len(out))
            for n, state in enumerate(states):
                self.compiled.observables(0.0, state, arguments["parameters"], arguments["sizes"], work, row)
                out[:, n] = row
        values = {}
        offset = 0
        for observable in system.observables:
            shape = self.compiled.shape(observable.target, self.sizes)
            count = int(np.prod(shape, dtype=int))
            values[observable.target.binding] = out[offset : offset + count].T.reshape(len(states), *shape)
            offset += count
        return values


def _value(array: Array, sources: tuple[object, ...]) -> Any:
    for source in sources:
        if hasattr(source, array.binding):
            return getattr(source, array.binding)
    raise argument_error(
        "start", type(sources[0]).__name__, f"has no value for {array.binding}", "pass a start that fits the setting"
    )


def bind(system: OdeSystem, setting: Any, start: Any, target: str = "scalar") -> BoundSystem:
    """Compile a system and pack the values that a setting and a start give it, by name.

    Raises
    ------
    AssumptionError
        If a value is missing, of the wrong shape, or not finite.
    """
    return bind_compiled(compile_system(system, target), setting, start)  # type: ignore[arg-type]


def bind_compiled(compiled: CompiledSystem, setting: Any, start: Any) -> BoundSystem:
    """Pack the values that a setting and a start give a compiled system, by name; see `bind`."""
    system = compiled.system
    sizes = dict(setting.sizes)
    values: dict[str, NDArray[np.float64]] = {}
    for array in (*system.states, *system.parameters):
        value = np.asarray(_value(array, (start, setting)), dtype=np.float64)
        shape = compiled.shape(array, sizes)
        if value.shape != shape:
            widths = ", ".join(f"{name}={n}" for name, n in sizes.items())
            problem = f"has shape {value.shape}, but the setting has {widths}"
            raise argument_error(array.binding, value.tolist(), problem, f"pass shape {shape}")
        values[array.binding] = value
    return BoundSystem(
        compiled,
        sizes,
        compiled.pack(system.states, values, sizes),
        compiled.pack(system.parameters, values, sizes),
    )


def output_times(times: ArrayLike) -> NDArray[np.float64]:
    """Output times as an array; refused if they do not increase from 0 on."""
    try:
        grid = np.array(times, dtype=np.float64)
    except (TypeError, ValueError):
        raise argument_error("times", times, "is not an array of numbers", "pass increasing times from 0 on") from None
    if grid.ndim != 1 or grid.size == 0 or not np.isfinite(grid).all():
        raise argument_error("times", times, "is not a list of finite numbers", "pass increasing times from 0 on")
    if grid[0] < 0 or (np.diff(grid) <= 0).any():
        raise argument_error("times", grid.tolist(), "does not increase from 0 on", "sort the times, each once")
    return grid


def tolerances(rtol: float, atol: float | None) -> tuple[float, float]:
    """Relative and absolute tolerance, refused if the relative one is out of range."""
    if isinstance(rtol, bool) or not isinstance(rtol, Real) or not 1e-12 <= rtol <= 1e-2:
        raise argument_error("rtol", rtol, "is out of range", "ask for a relative tolerance between 1e-12 and 1e-2")
    return float(rtol), float(rtol * _ATOL_PER_RTOL if atol is None else atol)


class UnfinishedError(AccuracyError):
    """A run that ended before its last output time.

    Attributes
    ----------
    status : {"diverged", "step limit"}
        How it ended.
    time : float
        Time of the last finite state.
    """

    def __init__(self, status: Status, time: float, end: float, cure: str = _CURE) -> None:
        what = "diverges" if status == "diverged" else "needs too many steps"
        super().__init__(f"the solution {what} at t={time:.6g} of {end:.6g}: {cure}")
        self.status = status
        self.time = time
        self._arguments = (status, time, end, cure)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments: worker processes raise this too."""
        return UnfinishedError, self._arguments


def estimated_error(
    values: NDArray[np.float64], coarse: NDArray[np.float64], rtol: float, atol: float
) -> NDArray[np.float64]:
    """Error of a solution, time on the first axis, from the one at ten times its tolerance `rtol`, `atol`.

    Twice the largest distance among neighbours in time, since a difference that happens to pass through zero is no
    small error; and no less than the tolerance of the more accurate run's steps: where output times limit the steps,
    both runs take the same ones, and their distance says nothing.
    """
    distance = np.abs(values - coarse)
    wide = distance.copy()
    wide[:-1] = np.maximum(wide[:-1], distance[1:])
    wide[1:] = np.maximum(wide[1:], distance[:-1])
    step = (rtol * np.abs(values) + atol) / _LOOSER
    result: NDArray[np.float64] = _SAFETY * wide + np.maximum(step, _ROUNDING * (1 + np.abs(values)))
    return result


def solve(
    setting: Any,
    start: Any,
    times: ArrayLike,
    *,
    rtol: float = 1e-8,
    atol: float | None = None,
    method: Method = "DOP853",
    derivation: Derivation | None = None,
    progress: bool | Callable[[float], object] = False,
) -> Solution:
    """Solve the equations of a setting from a start.

    Parameters
    ----------
    setting : OnlineSGD, Truncation, TruncatedPopulation or UnconstrainedFeatures
        What to solve. A `Truncation` whose thresholds go separate ways is solved exactly, from event to event:
        tolerances and method play no role. One that couples them is followed at steps of order 4 (method plays no
        role), whose tolerance where samples cross thresholds is 3e-5, whatever a smaller `rtol` down to 1e-8 asks for.
    start : Overlaps, thresholds or Features
        The state at time 0: order parameters, an array of thresholds (or a mapping with ``biases``), or matrices.
    times : (T,) array
        Output times, increasing, in the setting's unit (steps/N for online SGD); 0 need not be among them.
    rtol : float
        Relative tolerance of a step, at least 1e-12.
    atol : float, optional
        Absolute tolerance of a step; by default rtol/100.
    method : {"DOP853", "Tsit5", "SDIRK4"}
        Integrator; SDIRK4 is for stiff systems.
    derivation : Derivation, optional
        Where the equations come from; by default ``derive(setting)``.
    progress : bool or callable
        Whether to show a progress bar, or what to call with the fraction done.

    Returns
    -------
    Solution
        ``.data`` holds ``generalization_error(time)`` and the states, ``.errors`` their estimated errors.

    Raises
    ------
    AssumptionError
        If an argument is out of range or does not fit.
    AccuracyError
        If the solution diverges (with the time), or a moment can't be integrated to the tolerance.

    Notes
    -----
    *Validity.* Errors are twice the distance to a solution at ten times the tolerance, and where moments are
    integrated, at a coarser quadrature, but no less than the tolerance of a step: an estimate, no bound.
    """
    grid = output_times(times)
    rtol, absolute = tolerances(rtol, atol)
    source = derive(setting) if derivation is None else derivation
    system = source.systems[0]
    if isinstance(system, PiecewiseFlow):  # exact: no tolerance, no method
        from .piecewise_flow import solve_flow

        return solve_flow(system, setting, start, grid, progress)
    if isinstance(system, RotatingFlow):
        from .rotating_flow import solve_rotating

        return solve_rotating(system, setting, start, grid, rtol, absolute, progress)
    bound = bind(system, setting, start)
    steps = np.concatenate([[0.0], grid]) if grid[0] > 0 else grid
    from .progress import reporter

    with reporter(progress, "solve") as report:

        def run(tolerance: float, floor: float, rule: Rule | None) -> Trajectory:
            trajectory = integrate(
                bound.compiled.rhs,
                bound.start,
                steps,
                method=method,
                rtol=tolerance,
                atol=floor,
                progress=report,
                **bound.arguments(rule),
            )
            if trajectory.status != "finished":
                assert trajectory.failure_time is not None
                raise UnfinishedError(trajectory.status, trajectory.failure_time, float(steps[-1]))
            return trajectory

        rules: tuple[Rule | None, Rule | None] = (None, None)
        level = "closed forms"
        if bound.compiled.piecewise_linear:
            tight, loose, rules, level = _with_orthants(bound, run, rtol, absolute)
        elif bound.compiled.quadrature:
            tight, loose, rules, level = _with_quadrature(bound, run, rtol, absolute)
        else:
            loose = run(rtol, absolute, None)
            tight = run(rtol / _LOOSER, absolute / _LOOSER, None)
    first = steps.size - grid.size
    values = _label(bound, tight.states[first:], grid, rules[1])
    coarse = _label(bound, loose.states[first:], grid, rules[0])
    errors = values.copy()
    for name in errors.data_vars:
        estimate = estimated_error(values[name].values, coarse[name].values, rtol, absolute)
        errors[name] = values[name].copy(data=estimate)
    record = provenance(
        kernel=bound.compiled.hash,
        method=method,
        rtol=repr(rtol),
        atol=repr(absolute),
        moments=level,
        evaluations=str(loose.evaluations + tight.evaluations),
    )
    return Solution(setting, system, values, errors, record)


def _label(
    bound: BoundSystem, states: NDArray[np.float64], times: NDArray[np.float64], rule: Rule | None
) -> xr.Dataset:
    """States and observables with named dimensions."""
    import xarray as xr

    system = bound.compiled.system
    arrays = {a.binding: a for a in (*system.states, *(o.target for o in system.observables))}
    values: Mapping[str, NDArray[np.float64]] = {
        **bound.observe(states, rule),
        **bound.compiled.unpack(states, bound.sizes),
    }
    return xr.Dataset(
        {
            name: xr.DataArray(value, dims=("time", *arrays[name].dimensions), attrs={"meaning": arrays[name].meaning})
            for name, value in values.items()
        },
        coords={"time": xr.DataArray(times, dims="time", attrs={"meaning": system.time})},
    )


def _with_quadrature(
    bound: BoundSystem,
    run: Callable[[float, float, Rule | None], Trajectory],
    rtol: float,
    atol: float,
) -> tuple[Trajectory, Trajectory, tuple[Rule, Rule], str]:
    """Solve at the lowest quadrature level that meets the tolerance along the whole solution, and at the next one.

    Polynomials need no ladder: a Gauss rule of their degree is exact.
    """
    from .moments.accuracy import choose_level
    from .quadrature import MAX_GAUSS_DEGREE, gauss_rule, rule

    system = bound.compiled.system
    activations = [system.activations[s.name] for s in system.sets]
    if all(a.is_polynomial(z) for a in activations):
        degree = max(int(sp.degree(a, z)) for a in activations)
        if degree <= MAX_GAUSS_DEGREE:
            exact = gauss_rule(degree)
            loose, tight = run(rtol, atol, exact), run(rtol / _LOOSER, atol / _LOOSER, exact)
            return tight, loose, (exact, exact), f"Gauss-Hermite with {exact.points} nodes, exact"
    evaluate = bound.compiled.module.evaluate
    students, teachers = (bound.sizes[s.size.name] for s in system.sets)

    def level_for(state: NDArray[np.float64], lowest: int) -> int:
        return choose_level(bound.covariance(state, rule(0)), students, teachers, evaluate, rtol, lowest).level

    level = level_for(bound.start, 0)
    while True:
        loose = run(rtol, atol, rule(level))
        needed = max(level_for(state, level) for state in _probes(loose))
        if needed == level:
            break
        level = needed
    tight = run(rtol / _LOOSER, atol / _LOOSER, rule(level + 1))
    nodes = f"quadrature with {rule(level).points} and {rule(level + 1).points} nodes"
    return tight, loose, (rule(level), rule(level + 1)), nodes


def _with_orthants(
    bound: BoundSystem,
    run: Callable[[float, float, Rule | None], Trajectory],
    rtol: float,
    atol: float,
) -> tuple[Trajectory, Trajectory, tuple[Rule, Rule], str]:
    """Solve with moments of piecewise-linear activations, whose own error estimates are held against the tolerance."""
    from .moments.piecewise_rule import piecewise_rule
    from .moments.piecewise_tables import piecewise_error

    system = bound.compiled.system
    activations = tuple(system.activations[s.name] for s in system.sets)
    students, teachers = (bound.sizes[s.size.name] for s in system.sets)
    rules = tuple(piecewise_rule(activations, nodes) for nodes in _ORTHANT_NODES)
    loose = run(rtol, atol, rules[0])
    for state in _probes(loose):
        error = piecewise_error(bound.covariance(state, rules[0]), students, teachers, rules[0])
        if not error.value <= rtol:
            raise AccuracyError(
                f"moments of piecewise-linear activations: asked for a relative error of {rtol:.1e}, achieved "
                f"{error.value:.1e}; loosen rtol"
            )
    tight = run(rtol / _LOOSER, atol / _LOOSER, rules[1])
    level = f"orthant probabilities with {rules[0].nodes} and {rules[1].nodes} nodes"
    return tight, loose, (rules[0], rules[1]), level


def _probes(trajectory: Trajectory) -> list[NDArray[np.float64]]:
    """A few states along a solution, its ends among them."""
    places = np.unique(np.linspace(0, len(trajectory.states) - 1, _PROBES).astype(int))
    return [trajectory.states[n] for n in places]
