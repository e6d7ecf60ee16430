"""Many trajectories in lockstep with an explicit Runge-Kutta method.

One lane is one trajectory. The lane is the last axis of every array, so each line of the step runs over a contiguous
row of fixed width and becomes vector instructions. Each lane has its own time and step size; a lane that has finished
or diverged idles with h = 0.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .assemble import assemble
from .control import (
    ACCEPTED,
    DIVERGED,
    EVALUATIONS,
    FINISHED,
    LARGEST,
    REJECTED,
    ROWS,
    STEP_LIMIT,
    STRETCH,
    Integers,
    Reals,
    Rhs,
    combined_error,
    next_proposal,
    shrunk,
    single_error,
    too_small,
)
from .explicit_rk import combination, constants
from .tableaux import ExplicitTableau

__all__ = ["IDLE", "RUNNING", "advance", "emit_lanes_step", "first_steps", "lanes_source"]

RUNNING = -1
IDLE = -2

if TYPE_CHECKING:
    # Set in the module that `lanes_source` writes.
    EXPONENT, STAGES, STAGE_EVALUATIONS, FIRST_SAME_AS_LAST, WIDTH = 0.0, 0, 0, False, 0

    def step(
        rhs: Rhs,
        t: Reals,
        h: Reals,
        y: Reals,
        k: Reals,
        dy: Reals,
        trial: Reals,
        moment: Reals,
        squares: Reals,
        parameters: Reals,
        sizes: Integers,
        work: Reals,
        rtol: float,
        atol: float,
        errors: Reals,
    ) -> None:
        """Try one step in every lane: in dy = f(t, y), out trial = the new points and the errors."""


def emit_lanes_step(tableau: ExplicitTableau) -> str:
    """Return the text of `step` for a tableau; k[i, j, lane] is component i, stage j, lane l."""
    size = len(tableau.weights)
    lines = [
        "def step(",
        "    rhs, t, h, y, k, dy, trial, moment, squares, parameters, sizes, work, rtol, atol, errors",
        "):",
        "    n = y.size // WIDTH",
    ]

    def known(j: int) -> list[str]:
        return [f"k[i, {q}, lane]" for q in range(j - 1)] + ["slope"]

    for j in range(1, size):
        lines += [
            "    for i in range(n):",
            "        for lane in range(WIDTH):",
            "            slope = dy[i * WIDTH + lane]",
            f"            k[i, {j - 1}, lane] = slope",
            "            trial[i * WIDTH + lane] = y[i * WIDTH + lane] + h[lane] * (",
            f"                {combination(tableau.stages[j], known(j))}",
            "            )",
            "    for lane in range(WIDTH):",
            f"        moment[lane] = t[lane] + {tableau.nodes[j]!r} * h[lane]",
            "    rhs(moment, trial, parameters, sizes, work, dy)",
        ]
    rows = range(len(tableau.errors))
    lines += [
        "    squares[:] = 0.0",
        "    for i in range(n):",
        "        for lane in range(WIDTH):",
        "            slope = dy[i * WIDTH + lane]",
        "            old = y[i * WIDTH + lane]",
    ]
    if tableau.first_same_as_last:
        lines += ["            new = trial[i * WIDTH + lane]"]
    else:
        lines += [
            f"            new = old + h[lane] * ({combination(tableau.weights, known(size))})",
            "            trial[i * WIDTH + lane] = new",
        ]
    lines += ["            weight = 1.0 / (atol + rtol * max(abs(old), abs(new)))"]
    for row in rows:
        lines += [
            f"            error = weight * ({combination(tableau.errors[row], known(size))})",
            f"            squares[{row} * WIDTH + lane] += error * error",
        ]
    norm = {1: "single_error", 2: "combined_error"}[len(rows)]
    sums = ", ".join(f"squares[{row} * WIDTH + lane]" for row in rows)
    lines += ["    for lane in range(WIDTH):", f"        errors[lane] = {norm}({sums}, h[lane], n)", ""]
    return "\n".join(lines)


def first_steps(
    rhs: Rhs,
    t: Reals,
    span: float,
    y: Reals,
    dy: Reals,
    parameters: Reals,
    sizes: Integers,
    work: Reals,
    trial: Reals,
    moment: Reals,
    slope: Reals,
    rtol: float,
    atol: float,
    h: Reals,
    proposal: Reals,
) -> None:
    """First step size of every lane, as `first_step` of `control` finds it. One evaluation."""
    n = y.size // WIDTH
    for lane in range(WIDTH):
        size = 0.0
        speed = 0.0
        for i in range(n):
            weight = 1.0 / (atol + rtol * abs(y[i * WIDTH + lane]))
            size += (weight * y[i * WIDTH + lane]) ** 2
            speed += (weight * dy[i * WIDTH + lane]) ** 2
        size = np.sqrt(size / n)
        speed = np.sqrt(speed / n)
        h[lane] = min(span, 1e-6 if size < 1e-5 or speed < 1e-5 else 0.01 * size / speed)
        moment[lane] = t[lane] + h[lane]
        for i in range(n):
            trial[i * WIDTH + lane] = y[i * WIDTH + lane] + h[lane] * dy[i * WIDTH + lane]
        proposal[lane] = speed
    rhs(moment, trial, parameters, sizes, work, slope)
    for lane in range(WIDTH):
        bend = 0.0
        for i in range(n):
            weight = 1.0 / (atol + rtol * abs(y[i * WIDTH + lane]))
            bend += (weight * (slope[i * WIDTH + lane] - dy[i * WIDTH + lane])) ** 2
        fastest = max(proposal[lane], np.sqrt(bend / n) / h[lane])
        if fastest <= LARGEST:
            ideal = max(1e-6, h[lane] * 1e-3) if fastest <= 1e-15 else (0.01 / fastest) ** EXPONENT
            proposal[lane] = min(100.0 * h[lane], ideal, span)
        else:
            proposal[lane] = h[lane]


def advance(
    rhs: Rhs,
    times: Reals,
    y: Reals,
    parameters: Reals,
    sizes: Integers,
    work: Reals,
    rtol: float,
    atol: float,
    max_steps: int,
    status: Integers,
    start: float,
    counts: Integers,
    reached: Reals,
    states: NDArray[np.float64],
) -> None:
    """Take every lane from start through the increasing times.

    On entry status is RUNNING for the lanes to integrate, anything else for idle ones; on return it says how each
    ended. reached is the time of the last accepted state.
    """
    n = y.size // WIDTH
    k = np.empty((n, STAGES, WIDTH))
    dy = np.empty(y.size)
    trial = np.empty(y.size)
    slope = np.empty(y.size)
    moment = np.empty(WIDTH)
    squares = np.empty(2 * WIDTH)
    errors = np.empty(WIDTH)
    h = np.zeros(WIDTH)
    t = np.empty(WIDTH)
    proposal = np.empty(WIDTH)
    lands = np.zeros(WIDTH, np.int64)
    after_rejection = np.zeros(WIDTH, np.int64)
    running = 0
    t[:] = start
    rhs(t, y, parameters, sizes, work, dy)
    for lane in range(WIDTH):
        if status[lane] == RUNNING:
            counts[EVALUATIONS, lane] += 2
            running += 1
            for i in range(n):
                if not (abs(dy[i * WIDTH + lane]) <= LARGEST):
                    status[lane] = DIVERGED
            if status[lane] == DIVERGED:
                running -= 1
    first_steps(
        rhs,
        t,
        times[times.size - 1] - start,
        y,
        dy,
        parameters,
        sizes,
        work,
        trial,
        moment,
        slope,
        rtol,
        atol,
        h,
        proposal,
    )
    while running > 0:
        for lane in range(WIDTH):
            if status[lane] == RUNNING and counts[ACCEPTED, lane] + counts[REJECTED, lane] >= max_steps:
                status[lane] = STEP_LIMIT
                running -= 1
            h[lane] = 0.0
            if status[lane] == RUNNING:
                target = times[counts[ROWS, lane]]
                lands[lane] = t[lane] + STRETCH * proposal[lane] >= target
                h[lane] = target - t[lane] if lands[lane] else proposal[lane]
                counts[EVALUATIONS, lane] += STAGE_EVALUATIONS
        step(rhs, t, h, y, k, dy, trial, moment, squares, parameters, sizes, work, rtol, atol, errors)
        for lane in range(WIDTH):
            if status[lane] != RUNNING:
                continue
            if errors[lane] <= 1.0:
                blown = False
                for i in range(n):
                    if not (abs(trial[i * WIDTH + lane]) <= LARGEST):
                        blown = True
                if blown:
                    status[lane] = DIVERGED
                    running -= 1
                    continue
                counts[ACCEPTED, lane] += 1
                row = counts[ROWS, lane]
                t[lane] = times[row] if lands[lane] else t[lane] + h[lane]
                for i in range(n):
                    y[i * WIDTH + lane] = trial[i * WIDTH + lane]
                proposal[lane] = next_proposal(
                    h[lane], proposal[lane], errors[lane], EXPONENT, after_rejection[lane] != 0
                )
                after_rejection[lane] = 0
                if lands[lane]:
                    for i in range(n):
                        states[row, i, lane] = y[i * WIDTH + lane]
                    counts[ROWS, lane] = row + 1
                    if row + 1 == times.size:
                        status[lane] = FINISHED
                        running -= 1
                if not FIRST_SAME_AS_LAST:
                    counts[EVALUATIONS, lane] += 1
            else:
                counts[REJECTED, lane] += 1
                if FIRST_SAME_AS_LAST:
                    for i in range(n):
                        dy[i * WIDTH + lane] = k[i, 0, lane]
                proposal[lane] = shrunk(h[lane], errors[lane], EXPONENT)
                after_rejection[lane] = 1
                if too_small(proposal[lane], t[lane]):
                    status[lane] = DIVERGED
                    running -= 1
        if not FIRST_SAME_AS_LAST and running > 0:
            rhs(t, y, parameters, sizes, work, dy)
    for lane in range(WIDTH):
        reached[lane] = t[lane]


def lanes_source(tableau: ExplicitTableau, width: int) -> str:
    """Return the module text of the integrator with this tableau for width lanes."""
    norm = single_error if len(tableau.errors) == 1 else combined_error
    return assemble(
        f"{tableau.name} for {width} trajectories in lockstep.",
        "LANES_TYPE",
        {**constants(tableau), "WIDTH": width, "RUNNING": RUNNING},
        [norm, first_steps, next_proposal, shrunk, too_small, emit_lanes_step(tableau)],
        advance,
    )
