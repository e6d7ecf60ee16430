"""Ordinary differential equations with compiled right-hand sides: one trajectory, or many in lockstep.

A right-hand side is a function compiled by Numba with the signature

    rhs(t, y, parameters, sizes, work, dy) -> None

of a float, the state (dim,), real and integer parameters, scratch memory, and the derivative (dim,) to be written.
The integrators take it as a function pointer, so they are compiled once a machine and not once a system. They step
exactly onto the output times: nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hermiton.theory.errors import argument_error

__all__ = ["LaneTrajectories", "Method", "Status", "Trajectory", "integrate", "integrate_lanes"]

Method = Literal["DOP853", "Tsit5", "SDIRK4"]
Status = Literal["finished", "diverged", "step limit"]

_STATUS: tuple[Status, Status, Status] = ("finished", "diverged", "step limit")
_EXPLICIT = ("DOP853", "Tsit5")
_METHODS = (*_EXPLICIT, "SDIRK4")
_SMALLEST_RTOL = 100 * float(np.finfo(np.float64).eps)
_TIGHTER = 10.0  # factor between the two tolerances of an error estimate
_CHUNKS = 100  # compiled calls in a run that reports its progress


@dataclass(frozen=True)
class Trajectory:
    """States of one system at the output times, as far as they were reached.

    Attributes
    ----------
    times : (T,) array
        The output times that were reached, the start included.
    states : (T, dim) array
        The state at each of them; always finite.
    status : {"finished", "diverged", "step limit"}
        "diverged": the state became infinite or left 1e100, or the step size fell below the rounding of t.
    steps_accepted, steps_rejected, evaluations : int
        Cost; with an error estimate that of both runs.
    failure_time : float or None
        Time of the last finite state, where the run did not finish.
    errors : (T, dim) array or None
        Estimate of |states - exact solution|, if it was asked for.
    error_kind : "estimated" or None
        What sort of statement errors is.
    """

    times: NDArray[np.float64]
    states: NDArray[np.float64]
    status: Status
    steps_accepted: int
    steps_rejected: int
    evaluations: int
    failure_time: float | None = None
    errors: NDArray[np.float64] | None = None
    error_kind: Literal["estimated"] | None = None


@dataclass(frozen=True)
class LaneTrajectories:
    """States of many systems of one form at common output times; n counts the trajectories.

    Attributes
    ----------
    times : (T,) array
        The output times.
    states : (T, dim, n) array
        The state of each trajectory; NaN at output times that it did not reach, which `reached` tells.
    reached : (n,) array of int
        How many of the output times each trajectory reached.
    status : tuple of n of {"finished", "diverged", "step limit"}
        As in `Trajectory`.
    steps_accepted, steps_rejected, evaluations : (n,) arrays of int
        Cost of each; with an error estimate that of both runs.
    failure_time : (n,) array
        Time of the last finite state where a trajectory did not finish, else NaN.
    errors : (T, dim, n) array or None
        Estimate of |states - exact solution|, if it was asked for.
    error_kind : "estimated" or None
        What sort of statement errors is.
    """

    times: NDArray[np.float64]
    states: NDArray[np.float64]
    reached: NDArray[np.int64]
    status: tuple[Status, ...]
    steps_accepted: NDArray[np.int64]
    steps_rejected: NDArray[np.int64]
    evaluations: NDArray[np.int64]
    failure_time: NDArray[np.float64]
    errors: NDArray[np.float64] | None = None
    error_kind: Literal["estimated"] | None = None

    def trajectory(self, index: int) -> Trajectory:
        """Return one of them by itself, cut where it ended.

        Parameters
        ----------
        index : int
            Its place in the last axis of states; negative indices count from the end.

        Returns
        -------
        Trajectory
            Copies of its times, states and errors.
        """
        count = len(self.status)
        if isinstance(index, bool) or not isinstance(index, int | np.integer) or not -count <= index < count:
            raise argument_error("index", index, "names no trajectory", f"give an integer below {count}")
        rows = int(self.reached[index])
        failure = float(self.failure_time[index])
        return Trajectory(
            times=self.times[:rows].copy(),
            states=self.states[:rows, :, index].copy(),
            status=self.status[index],
            steps_accepted=int(self.steps_accepted[index]),
            steps_rejected=int(self.steps_rejected[index]),
            evaluations=int(self.evaluations[index]),
            failure_time=None if np.isnan(failure) else failure,
            errors=None if self.errors is None else self.errors[:rows, :, index].copy(),
            error_kind=self.error_kind,
        )


def integrate(
    rhs: Any,
    y0: ArrayLike,
    times: ArrayLike,
    *,
    parameters: ArrayLike = (),
    sizes: ArrayLike = (),
    work_size: int = 0,
    method: Method = "DOP853",
    rtol: float = 1e-8,
    atol: float = 1e-10,
    max_steps: int = 10**7,
    first_step: float | None = None,
    estimate_error: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Trajectory:
    """Integrate dy/dt = rhs(t, y) from times[0] and return the states at all times.

    Each step keeps the weighted root mean square of its error estimate, in units of atol + rtol |y_i|, below one.

    Parameters
    ----------
    rhs : function compiled by numba.njit
        rhs(t, y, parameters, sizes, work, dy), see the module's docstring. It is compiled for this signature if it
        has not been yet.
    y0 : (dim,) array
        State at times[0].
    times : (T,) array
        Output times, increasing; the first is the start.
    parameters, sizes : (P,) and (S,) arrays, optional
        Real and integer parameters, handed through.
    work_size : int, optional
        Length of the scratch array that rhs gets. What it holds at a call is unspecified.
    method : {"DOP853", "Tsit5", "SDIRK4"}
        Orders 8, 5 and 4; SDIRK4 is L-stable, for stiff systems, with a finite-difference Jacobian.
    rtol, atol : float
        Relative and absolute tolerance of one step.
    max_steps : int
        Limit of steps, rejected ones included, of each run.
    first_step : float, optional
        Size of the first step to try; by default it is found from the derivatives at the start.
    estimate_error : bool
        Solve again at tolerances ten times tighter and with a time halfway between every two output times, return
        that solution and its distance from the first as `errors`.
    progress : callable, optional
        Called with the fraction done, at most about a hundred times. Ctrl-C is heard only between compiled calls:
        with progress there are about a hundred, without it one (two with an error estimate).

    Returns
    -------
    Trajectory
        Cut at the last output time reached if the solution diverges or max_steps is used up.

    Raises
    ------
    AssumptionError
        If an argument is of the wrong shape or outside its range.

    Notes
    -----
    *Validity*. The tolerances bound the errors of steps; the error of the solution is their propagated sum, which
    `errors` estimates and does not bound. The second solution is usually ten times better than its distance from the
    first. It is not where tightening gains nothing: in very unstable problems, or near rounding, for which a floor is
    added (4 eps sqrt(steps) times the component's largest value so far). Nor where the distance happens to pass
    through zero at an output time; so the largest over the output time and its neighbours is returned. Even so
    it can be too small: on a driven linear equation, van der Pol and a pendulum, at rtol 1e-5 to 1e-9, up to one entry
    in a hundred was, by a factor of up to 4.4.
    """
    kernel = _kernel(rhs, False)
    start = _array("y0", y0, 1)
    grid = _times(times)
    reals = _array("parameters", parameters, 1, may_be_empty=True)
    integers = _integers(sizes)
    scratch = _count("work_size", work_size, 0)
    _choice(method, _METHODS)
    limit = _count("max_steps", max_steps, 1)
    tolerance = _tolerances(rtol, atol, estimate_error)
    if first_step is not None:
        _positive("first_step", first_step)

    def run(
        grid: NDArray[np.float64], rtol: float, atol: float, report: Callable[[float], object] | None
    ) -> Trajectory:
        return _run(kernel, start, grid, reals, integers, scratch, method, rtol, atol, limit, first_step or 0.0, report)

    if not estimate_error:
        return run(grid, *tolerance, progress)
    loose = run(grid, *tolerance, None if progress is None else lambda fraction: progress(fraction / 2))
    tight = run(
        _halved(grid),
        tolerance[0] / _TIGHTER,
        tolerance[1] / _TIGHTER,
        None if progress is None else lambda fraction: progress((1 + fraction) / 2),
    )
    reached = (tight.times.size + 1) // 2
    rows = min(loose.times.size, reached)
    shorter = loose if loose.times.size < reached or tight.status == "finished" else tight
    states = tight.states[::2][:rows].copy()
    return replace(
        tight,
        times=grid[:rows],
        states=states,
        status=shorter.status,
        failure_time=shorter.failure_time,
        steps_accepted=loose.steps_accepted + tight.steps_accepted,
        steps_rejected=loose.steps_rejected + tight.steps_rejected,
        evaluations=loose.evaluations + tight.evaluations,
        errors=_distance(loose.states[:rows], states, tight.steps_accepted),
        error_kind="estimated",
    )


def integrate_lanes(
    rhs: Any,
    y0: ArrayLike,
    times: ArrayLike,
    *,
    parameters: ArrayLike | None = None,
    sizes: ArrayLike = (),
    work_size: int = 0,
    method: Literal["DOP853", "Tsit5"] = "DOP853",
    rtol: float = 1e-8,
    atol: float = 1e-10,
    max_steps: int = 10**7,
    lanes: int = 32,
    sort_by: ArrayLike | None = None,
    estimate_error: bool = False,
    progress: Callable[[float], object] | None = None,
) -> LaneTrajectories:
    """Integrate many trajectories of one system, a batch of lanes at a time in lockstep.

    Every trajectory has its own step size; the gain over one by one is that each operation of the right-hand side
    runs over all lanes of a batch and becomes vector instructions.

    Parameters
    ----------
    rhs : function compiled by numba.njit
        rhs(t, y, parameters, sizes, work, dy) with t (W,), y and dy (dim W,) and parameters (P W,) flat, entry i of
        lane l at i W + l. W is `lanes`; rhs can take it as t.size.
    y0 : (dim, n) array
        Starts; the last axis is the trajectory.
    times : (T,) array
        Output times, increasing; the first is the start.
    parameters : (P, n) array, optional
        Real parameters of each trajectory; none by default.
    sizes : (S,) array, optional
        Integer parameters, common to all.
    work_size : int, optional
        Length of the scratch array that rhs gets.
    method : {"DOP853", "Tsit5"}
        Orders 8 and 5.
    rtol, atol, max_steps : optional
        As in `integrate`, for each trajectory.
    lanes : int
        Trajectories in a batch. An integrator is compiled for each value, so keep to one; 32 is good with AVX.
    sort_by : (n,) array, optional
        Trajectories are packed in this order. A batch takes as many steps as its slowest lane: sort by something that
        the number of steps grows with. Results come in the order given.
    estimate_error : bool
        As in `integrate`.
    progress : callable, optional
        Called with the fraction done after each batch.

    Returns
    -------
    LaneTrajectories
        Results in the order of y0's last axis.

    Raises
    ------
    AssumptionError
        If an argument is of the wrong shape or outside its range.
    """
    kernel = _kernel(rhs, True)
    starts = _array("y0", y0, 2)
    grid = _times(times)
    count = starts.shape[1]
    if parameters is None:
        reals = np.empty((0, count))
    else:
        reals = _array("parameters", parameters, 2, may_be_empty=True)
        if reals.shape[1] != count:
            raise argument_error(
                "parameters", reals.shape, "has another number of columns than y0", f"give it the shape (P, {count})"
            )
    integers = _integers(sizes)
    scratch = _count("work_size", work_size, 0)
    _choice(method, _EXPLICIT)
    limit = _count("max_steps", max_steps, 1)
    tolerance = _tolerances(rtol, atol, estimate_error)
    width = _count("lanes", lanes, 1)
    order = np.arange(count)
    if sort_by is not None:
        key = _array("sort_by", sort_by, 1)
        if key.shape != (count,):
            raise argument_error("sort_by", key.shape, "is not of y0's length", f"give it the shape ({count},)")
        order = np.argsort(key, kind="stable")

    def run(
        grid: NDArray[np.float64], rtol: float, atol: float, report: Callable[[float], object] | None
    ) -> LaneTrajectories:
        return _run_lanes(
            kernel, starts, grid, reals, integers, scratch, method, rtol, atol, limit, width, order, report
        )

    if not estimate_error:
        return run(grid, *tolerance, progress)
    loose = run(grid, *tolerance, None if progress is None else lambda fraction: progress(fraction / 2))
    tight = run(
        _halved(grid),
        tolerance[0] / _TIGHTER,
        tolerance[1] / _TIGHTER,
        None if progress is None else lambda fraction: progress((1 + fraction) / 2),
    )
    reached = (tight.reached + 1) // 2
    shorter = [loose if loose.reached[i] < reached[i] or tight.status[i] == "finished" else tight for i in range(count)]
    states = tight.states[::2].copy()
    states[np.isnan(loose.states)] = np.nan
    errors = _distance(loose.states, states, tight.steps_accepted)
    return replace(
        tight,
        times=grid,
        states=states,
        reached=np.minimum(loose.reached, reached),
        status=tuple(one.status[i] for i, one in enumerate(shorter)),
        failure_time=np.array([one.failure_time[i] for i, one in enumerate(shorter)]),
        steps_accepted=loose.steps_accepted + tight.steps_accepted,
        steps_rejected=loose.steps_rejected + tight.steps_rejected,
        evaluations=loose.evaluations + tight.evaluations,
        errors=errors,
        error_kind="estimated",
    )


def _run(
    kernel: Any,
    start: NDArray[np.float64],
    times: NDArray[np.float64],
    parameters: NDArray[np.float64],
    sizes: NDArray[np.int64],
    work_size: int,
    method: str,
    rtol: float,
    atol: float,
    max_steps: int,
    first_step: float,
    progress: Callable[[float], object] | None,
) -> Trajectory:
    from .integrators.compiled import integrator

    advance = integrator(method)
    states = np.empty((times.size, start.size))
    states[0] = start
    y = start.copy()
    slope = np.empty(start.size)
    work = np.empty(work_size)
    clock = np.array([times[0], first_step, times[-1] - times[0], 0.0])
    counts = np.zeros(4, np.int64)
    extra = _implicit_tables() if method == "SDIRK4" else ()
    ahead = times.size - 1
    chunk = max(ahead, 1) if progress is None else max(1, -(-ahead // _CHUNKS))
    code = 0
    for first in range(1, times.size, chunk):
        part = slice(first, first + chunk)
        code = advance(
            kernel,
            times[part],
            y,
            parameters,
            sizes,
            work,
            rtol,
            atol,
            max_steps,
            slope,
            clock,
            counts,
            states[part],
            *extra,
        )
        if code != 0:
            break
        if progress is not None:
            progress(float((clock[0] - times[0]) / (times[-1] - times[0])))
    rows = 1 + int(counts[3])
    return Trajectory(
        times=times[:rows],
        states=states[:rows],
        status=_STATUS[code],
        steps_accepted=int(counts[0]),
        steps_rejected=int(counts[1]),
        evaluations=int(counts[2]),
        failure_time=None if code == 0 else float(clock[0]),
    )


def _implicit_tables() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """a_ij / gamma, c_i and (b_i - embedded_i) / gamma of SDIRK4, divided exactly and rounded once."""
    from .integrators.tableaux import SDIRK4

    size = len(SDIRK4.nodes)
    stages = np.zeros((size, size))
    for i, row in enumerate(SDIRK4.stages):
        stages[i, : i + 1] = [float(a / SDIRK4.gamma) for a in row]
    errors = [float((b - e) / SDIRK4.gamma) for b, e in zip(SDIRK4.weights, SDIRK4.embedded, strict=True)]
    return stages, np.array([float(c) for c in SDIRK4.nodes]), np.array(errors)


def _run_lanes(
    kernel: Any,
    starts: NDArray[np.float64],
    times: NDArray[np.float64],
    parameters: NDArray[np.float64],
    sizes: NDArray[np.int64],
    work_size: int,
    method: str,
    rtol: float,
    atol: float,
    max_steps: int,
    width: int,
    order: NDArray[np.intp],
    progress: Callable[[float], object] | None,
) -> LaneTrajectories:
    from .integrators.compiled import lanes_integrator
    from .integrators.lanes import IDLE, RUNNING

    advance = lanes_integrator(method, width)
    dim, total = starts.shape
    states = np.full((times.size, dim, total), np.nan)
    states[0] = starts
    counts = np.zeros((4, total), np.int64)
    codes = np.zeros(total, np.int64)
    reached = np.full(total, times[0])
    work = np.empty(work_size)
    buffer = np.empty((times.size - 1, dim, width))
    for first in range(0, total if times.size > 1 else 0, width):
        chosen = order[first : first + width]
        used = chosen.size
        # Lanes left over in the last batch repeat a trajectory, so that rhs sees sensible numbers, and idle.
        filled = np.concatenate([chosen, np.full(width - used, chosen[-1])])
        lane_codes = np.where(np.arange(width) < used, RUNNING, IDLE).astype(np.int64)
        lane_counts = np.zeros((4, width), np.int64)
        lane_reached = np.empty(width)
        buffer.fill(np.nan)
        advance(
            kernel,
            times[1:],
            starts[:, filled].ravel(),
            parameters[:, filled].ravel(),
            sizes,
            work,
            rtol,
            atol,
            max_steps,
            lane_codes,
            float(times[0]),
            lane_counts,
            lane_reached,
            buffer,
        )
        states[1:, :, chosen] = buffer[:, :, :used]
        counts[:, chosen] = lane_counts[:, :used]
        codes[chosen] = lane_codes[:used]
        reached[chosen] = lane_reached[:used]
        if progress is not None:
            progress(min(1.0, (first + width) / total))
    return LaneTrajectories(
        times=times,
        states=states,
        reached=1 + counts[3],
        status=tuple(_STATUS[code] for code in codes),
        steps_accepted=counts[0],
        steps_rejected=counts[1],
        evaluations=counts[2],
        failure_time=np.where(codes == 0, np.nan, reached),
    )


def _halved(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put a time in the middle of every two.

    Where the output times, not the tolerance, limit the steps, a tighter tolerance alone would repeat the same steps
    and so the same error: the second run of an error estimate has to halve them.
    """
    halved = np.empty(2 * times.size - 1)
    halved[::2] = times
    halved[1::2] = times[:-1] + np.diff(times) / 2
    if not np.all(np.diff(halved) > 0):
        raise argument_error("times", times, "has neighbours with no double between them", "space them out")
    return halved


def _distance(
    loose: NDArray[np.float64], tight: NDArray[np.float64], steps: int | NDArray[np.int64]
) -> NDArray[np.float64]:
    """|loose - tight|, the largest over neighbouring output times, and no less than rounding; NaN stays NaN.

    Rounding is taken to add up like a random walk of that many steps, at the largest size the component has had.
    """
    difference = np.abs(loose - tight)
    widened = difference.copy()
    widened[:-1] = np.fmax(widened[:-1], difference[1:])
    widened[1:] = np.fmax(widened[1:], difference[:-1])
    largest = np.maximum.accumulate(np.abs(tight), axis=0)
    widened = np.maximum(widened, 4 * float(np.finfo(np.float64).eps) * np.sqrt(1.0 + steps) * largest)
    widened[0] = 0.0  # the start is given
    widened[np.isnan(difference)] = np.nan
    return widened


@cache
def _kernel(rhs: Any, lanes: bool) -> Any:
    """Return rhs as a function pointer, looked up once (Numba would do so at every call), or refuse it."""
    from numba.core.dispatcher import Dispatcher
    from numba.core.errors import NumbaError

    from .integrators.signatures import RHS_LANES_TYPE, RHS_TYPE, function_pointer

    if not isinstance(rhs, Dispatcher):
        raise argument_error("rhs", rhs, "is not a function compiled by Numba", "decorate it with numba.njit")
    signature = (RHS_LANES_TYPE if lanes else RHS_TYPE).signature
    if signature.args not in rhs.overloads:
        cure = f"write it for the arguments {signature.args}, without a return value"
        try:
            rhs.compile(signature)
        except (NumbaError, TypeError) as error:  # TypeError: another number of arguments
            raise argument_error("rhs", rhs, "does not compile for the signature of a right-hand side", cure) from error
        except RuntimeError as error:  # what Numba raises where explicit signatures closed the dispatcher
            raise argument_error("rhs", rhs, "was compiled for another signature", cure) from error
    compiled: Any = rhs.overloads[signature.args]
    if str(compiled.signature.return_type) != "none":
        raise argument_error("rhs", rhs, "returns something", "write the derivative into the last argument instead")
    return function_pointer(rhs, signature)


def _array(name: str, value: ArrayLike, dimensions: int, *, may_be_empty: bool = False) -> NDArray[np.float64]:
    """Return a contiguous copy of finite doubles with that many axes."""
    try:
        raw = np.asarray(value)
        if raw.dtype.kind not in "fiu" and raw.size:
            raise TypeError
        result = np.array(raw, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise argument_error(name, value, "is not an array of real numbers", "give it as floats") from error
    if result.ndim != dimensions:
        raise argument_error(name, result.shape, f"has not {dimensions} axes", "see the shapes in the docstring")
    if result.size == 0 and not may_be_empty:
        raise argument_error(name, result.shape, "is empty", "give at least one number")
    if not np.all(np.isfinite(result)):
        raise argument_error(name, value, "is not finite", "give finite numbers")
    return result


def _times(value: ArrayLike) -> NDArray[np.float64]:
    times = _array("times", value, 1)
    if not np.all(np.diff(times) > 0):
        raise argument_error("times", value, "does not increase", "sort the output times and drop repeated ones")
    return times


def _integers(value: ArrayLike) -> NDArray[np.int64]:
    raw = np.asarray(value)
    if raw.size and raw.dtype.kind not in "iu":
        raise argument_error("sizes", value, "is not an array of integers", "put real numbers into parameters")
    if raw.ndim != 1:
        raise argument_error("sizes", raw.shape, "has not 1 axes", "flatten it")
    return np.array(raw, dtype=np.int64)


def _count(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise argument_error(name, value, "is not a count", f"give an integer of at least {least}")
    return int(value)


def _positive(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise argument_error(name, value, "is not a number", "give a positive number")
    number = float(value)
    if not (np.isfinite(number) and number > 0):
        raise argument_error(name, value, "is not positive and finite", "give a positive number")
    return number


def _tolerances(rtol: object, atol: object, estimate_error: bool) -> tuple[float, float]:
    relative, absolute = _positive("rtol", rtol), _positive("atol", atol)
    least = _SMALLEST_RTOL * (_TIGHTER if estimate_error else 1.0)
    if relative < least:
        raise argument_error("rtol", rtol, "is too near to the rounding of doubles", f"give at least {least:.1e}")
    return relative, absolute


def _choice(method: object, known: Sequence[str]) -> None:
    if method not in known:
        raise argument_error("method", method, "is not a method", "choose one of " + ", ".join(known))
