"""Many solutions of one system at once: trajectories in lockstep, errors and failures for each of them.

Settings that share their equations and sizes differ only in numbers, so they run in the lanes of one compiled kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hermiton.theory.derive import derive
from hermiton.theory.errors import argument_error
from hermiton.theory.systems import OdeSystem

from .codegen.kernel import CompiledSystem, compile_system
from .ode import LaneTrajectories, integrate_lanes
from .provenance import provenance
from .solution import Solution
from .solve import UnfinishedError, bind_compiled, estimated_error, output_times, tolerances

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["LANES", "Failure", "solve_many"]

# Trajectories in lockstep. An integrator is compiled for each number, so there is one.
LANES = 32
# The less accurate of the two runs, whose distance is the error estimate, has a tolerance this much larger.
_LOOSER = 10.0
# States at which observables are evaluated at once: what fits into a cache.
_POINTS = 1024

Values = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Failure:
    """A member of a sweep that has no result.

    Parameters
    ----------
    setting : object
        What was asked.
    status : {"diverged", "step limit", "failed"}
        How it ended: the solution diverged, it took too many steps, or it failed for the reason in the message.
    time : float or None
        Time of the last finite state, where one is known.
    message : str
        What happened and what to do.
    """

    setting: Any
    status: Literal["diverged", "step limit", "failed"]
    time: float | None
    message: str


def solve_many(
    settings: Sequence[Any],
    starts: Sequence[Any],
    times: ArrayLike,
    *,
    rtol: float = 1e-8,
    atol: float | None = None,
    method: Literal["DOP853", "Tsit5"] = "DOP853",
    max_steps: int = 10**7,
    system: OdeSystem | None = None,
    progress: Callable[[float], object] | None = None,
) -> list[Solution | Failure]:
    """Solve settings that differ in numbers only, together.

    Parameters
    ----------
    settings : sequence of n settings
        They share their sizes and a system whose moments have closed forms.
    starts : sequence of n starts
        The order parameters at time 0, one for each setting.
    times : (T,) array
        Output times, increasing, common to all; 0 need not be among them.
    rtol, atol, method : optional
        As in `solve`; explicit methods only.
    max_steps : int
        Limit of steps of each trajectory.
    system : OdeSystem, optional
        The equations of all of them; by default those of the first setting.
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    list of n Solution or Failure
        In the order of `settings`: what `solve` returns for each of them. A member that diverges is a `Failure` with
        the time, and the others are what they would be without it.

    Raises
    ------
    AssumptionError
        If an argument is out of range or does not fit.

    Notes
    -----
    *Validity.* That the settings share the equations is the caller's word; `hermiton.sweep` sees to it. Errors are
    estimated as in `solve`: by the distance to a solution at ten times the tolerance.
    """
    grid = output_times(times)
    relative, absolute = tolerances(rtol, atol)
    equations = _common_system(settings, starts, system)
    compiled = compile_system(equations, "lanes")
    sizes = dict(settings[0].sizes)
    bound = [bind_compiled(compiled, setting, start) for setting, start in zip(settings, starts, strict=True)]
    y0 = np.stack([member.start for member in bound], axis=1)
    parameters = np.stack([member.parameters for member in bound], axis=1)
    steps = np.concatenate([[0.0], grid]) if grid[0] > 0 else grid

    def run(tighter: float, sort_by: NDArray[np.float64] | None, begin: float) -> LaneTrajectories:
        return integrate_lanes(
            compiled.rhs,
            y0,
            steps,
            parameters=parameters,
            sizes=compiled.size_vector(sizes),
            work_size=compiled.work_size(sizes) * LANES,
            method=method,
            rtol=relative / tighter,
            atol=absolute / tighter,
            max_steps=max_steps,
            lanes=LANES,
            sort_by=sort_by,
            progress=None if progress is None else lambda fraction: progress(begin + fraction / 2),
        )

    loose = run(1.0, _rate(compiled, parameters, sizes), 0.0)
    # A batch takes as many steps as its slowest lane, and now these numbers are known.
    tight = run(_LOOSER, (loose.steps_accepted + loose.steps_rejected).astype(np.float64), 0.5)

    outcomes: list[Solution | Failure | None] = [
        _failure(setting, (loose, tight), n, float(steps[-1])) for n, setting in enumerate(settings)
    ]
    solved = [n for n, failure in enumerate(outcomes) if failure is None]
    if solved:
        first = steps.size - grid.size
        values, coarse = (
            _named(compiled, one.states[first:, :, solved], parameters[:, solved], sizes) for one in (tight, loose)
        )
        errors = {name: estimated_error(values[name], coarse[name], relative, absolute) for name in values}
        evaluations = loose.evaluations + tight.evaluations
        record = provenance(
            kernel=compiled.hash,
            method=method,
            rtol=repr(relative),
            atol=repr(absolute),
            moments="closed forms",
            lanes=LANES,
        )
        data, distance = (_datasets(equations, one, grid) for one in (values, errors))
        for n, one, error in zip(solved, data, distance, strict=True):
            outcomes[n] = Solution(settings[n], equations, one, error, {**record, "evaluations": str(evaluations[n])})
    return [outcome for outcome in outcomes if outcome is not None]


def _common_system(settings: Sequence[Any], starts: Sequence[Any], system: OdeSystem | None) -> OdeSystem:
    """The equations of all settings, or an error that says which one does not fit."""
    if len(settings) == 0:
        raise argument_error("settings", settings, "is empty", "pass at least one setting")
    if len(starts) != len(settings):
        problem = f"has {len(starts)} members, but settings has {len(settings)}"
        raise argument_error("starts", starts, problem, "pass one start for each setting")
    for setting in settings:
        if dict(setting.sizes) != dict(settings[0].sizes):
            problem = f"has other sizes than the first, {dict(settings[0].sizes)}"
            raise argument_error("settings", setting, problem, "solve the settings of each size by themselves")
    equations: OdeSystem = derive(settings[0]).systems[0] if system is None else system
    if any(moment.closed_form is None for moment in equations.moments):
        problem = "has moments without closed form, and quadrature runs one trajectory at a time"
        raise argument_error("settings", settings[0], problem, "solve these settings one by one")
    return equations


def _rate(
    compiled: CompiledSystem, parameters: NDArray[np.float64], sizes: Mapping[str, int]
) -> NDArray[np.float64] | None:
    """The first scalar parameter of each trajectory: rates set the number of steps, and systems list them first."""
    offset = 0
    for array in compiled.system.parameters:
        shape = compiled.shape(array, sizes)
        if not shape:
            rates: NDArray[np.float64] = parameters[offset]
            return rates
        offset += int(np.prod(shape))
    return None


def _failure(setting: Any, runs: Sequence[LaneTrajectories], n: int, end: float) -> Failure | None:
    """How a member ended early, if it did in one of the runs."""
    for run in runs:
        status = run.status[n]
        if status != "finished":
            time = float(run.failure_time[n])
            return Failure(setting, status, time, str(UnfinishedError(status, time, end)))
    return None


def _named(
    compiled: CompiledSystem, states: NDArray[np.float64], parameters: NDArray[np.float64], sizes: Mapping[str, int]
) -> Values:
    """Observables and states, each (T, n, ...), from packed states (T, dim, n) and parameters (P, n)."""
    rows, dim, members = states.shape
    values: Values = {}
    if compiled.system.observables:
        pointwise = compile_system(compiled.system, "numpy")
        # every state of every member is a point
        y = states.transpose(1, 0, 2).reshape(dim, rows * members)
        p = np.tile(parameters, (1, rows))
        out = np.empty((pointwise.length("output", sizes, function=1), rows * members))
        work = np.empty((pointwise.length("work", sizes, function=1), _POINTS))
        size_vector = pointwise.size_vector(sizes)
        for begin in range(0, rows * members, _POINTS):
            part = slice(begin, begin + _POINTS)
            count = out[:, part].shape[1]
            pointwise.observables(0.0, y[:, part], p[:, part], size_vector, work[:, :count], out[:, part])
        offset = 0
        for observable in compiled.system.observables:
            shape = compiled.shape(observable.target, sizes)
            count = int(np.prod(shape, dtype=int))
            block = out[offset : offset + count].reshape(*shape, rows, members)
            values[observable.target.binding] = np.moveaxis(block, (-2, -1), (0, 1))
            offset += count
    values.update(compiled.unpack(states.transpose(0, 2, 1), sizes))
    return values


def _datasets(system: OdeSystem, values: Values, times: NDArray[np.float64]) -> list[xr.Dataset]:
    """The arrays (T, n, ...) of n members with named dimensions, a dataset for each."""
    import xarray as xr

    arrays = {a.binding: a for a in (*system.states, *(o.target for o in system.observables))}
    members = next(iter(values.values())).shape[1]
    first = xr.Dataset(
        {
            name: (("time", *arrays[name].dimensions), value[:, 0].copy(), {"meaning": arrays[name].meaning})
            for name, value in values.items()
        },
        coords={"time": ("time", times, {"meaning": system.time})},
    )
    # A copy of a dataset with other numbers is cheaper than a new one, and a sweep makes thousands.
    return [first.copy(data={name: value[:, n].copy() for name, value in values.items()}) for n in range(members)]
