"""One trajectory with an explicit Runge-Kutta method.

The step is written out from the tableau, its coefficients as literals and zeros left out: for seven equations the
bookkeeping of loops over a tableau costs more than the arithmetic. The derivatives are stored by component,
k[i, j] for component i and stage j, so that all stages of a component lie at fixed offsets from one address.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .assemble import assemble
from .control import (
    ACCEPTED,
    CONSTANTS,
    DIVERGED,
    EVALUATIONS,
    FINISHED,
    PROPOSAL,
    REJECTED,
    ROWS,
    SPAN,
    STARTED,
    STEP_LIMIT,
    STRETCH,
    TIME,
    Integers,
    Reals,
    Rhs,
    bounded,
    combined_error,
    first_step,
    next_proposal,
    rms_norm,
    shrunk,
    single_error,
    too_small,
)
from .tableaux import ExplicitTableau

__all__ = ["advance", "combination", "constants", "emit_step", "explicit_source"]

if TYPE_CHECKING:
    # Set in the module that `explicit_source` writes.
    EXPONENT, STAGES, STAGE_EVALUATIONS, FIRST_SAME_AS_LAST = 0.0, 0, 0, False

    def step(
        rhs: Rhs,
        t: float,
        h: float,
        y: Reals,
        k: Reals,
        dy: Reals,
        trial: Reals,
        parameters: Reals,
        sizes: Integers,
        work: Reals,
        rtol: float,
        atol: float,
    ) -> float:
        """Try one step: in dy = f(t, y), out trial = the new point and the error in units of the tolerance."""


def combination(coefficients: Sequence[float], stages: Sequence[str]) -> str:
    """Print sum_j coefficients_j stages_j without its zero terms.

    >>> combination((0.5, 0.0, -0.25), ("k[i, 0]", "k[i, 1]", "slope"))
    '0.5 * k[i, 0] - 0.25 * slope'
    """
    text = ""
    for coefficient, stage in zip(coefficients, stages, strict=True):
        if coefficient == 0:
            continue
        sign = "-" if coefficient < 0 else "+"
        text += f" {sign} {abs(coefficient)!r} * {stage}"
    return text.removeprefix(" + ").replace(" - ", "-", 1) if text.startswith(" - ") else text.removeprefix(" + ")


def emit_step(tableau: ExplicitTableau) -> str:
    """Return the text of `step` for a tableau."""
    size = len(tableau.weights)
    lines = [
        "def step(rhs, t, h, y, k, dy, trial, parameters, sizes, work, rtol, atol):",
        "    n = y.size",
    ]

    def known(j: int) -> list[str]:
        """Names of the first j derivatives where the j-th has just been read into slope."""
        return [f"k[i, {q}]" for q in range(j - 1)] + ["slope"]

    for j in range(1, size):
        lines += [
            "    for i in range(n):",
            "        slope = dy[i]",
            f"        k[i, {j - 1}] = slope",
            f"        trial[i] = y[i] + h * ({combination(tableau.stages[j], known(j))})",
            f"    rhs(t + {tableau.nodes[j]!r} * h, trial, parameters, sizes, work, dy)",
        ]
    sums = [f"squares{row}" for row in range(len(tableau.errors))]
    lines += [f"    {name} = 0.0" for name in sums]
    lines += ["    for i in range(n):", "        slope = dy[i]"]
    if not tableau.first_same_as_last:  # otherwise trial is the new point already
        lines += [f"        trial[i] = y[i] + h * ({combination(tableau.weights, known(size))})"]
    lines += ["        weight = 1.0 / (atol + rtol * max(abs(y[i]), abs(trial[i])))"]
    for name, row in zip(sums, tableau.errors, strict=True):
        lines += [f"        error = weight * ({combination(row, known(size))})", f"        {name} += error * error"]
    norm = {1: "single_error", 2: "combined_error"}[len(sums)]
    lines += [f"    return {norm}({', '.join(sums)}, h, n)", ""]
    return "\n".join(lines)


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
    dy: Reals,
    clock: Reals,
    counts: Integers,
    states: Reals,
) -> int:
    """Take y from clock[TIME] through the increasing times, a state at each of them; returns how it ended."""
    n = y.size
    k = np.empty((n, STAGES))
    trial = np.empty(n)
    t = clock[TIME]
    proposal = clock[PROPOSAL]
    if clock[STARTED] == 0.0:
        clock[STARTED] = 1.0
        rhs(t, y, parameters, sizes, work, dy)
        counts[EVALUATIONS] += 1
        if not bounded(dy):
            return DIVERGED
        if proposal <= 0.0:
            slope = np.empty(n)
            span = clock[SPAN]
            proposal = first_step(rhs, t, span, y, dy, parameters, sizes, work, trial, slope, EXPONENT, rtol, atol)
            counts[EVALUATIONS] += 1
    status = FINISHED
    after_rejection = False
    for row in range(times.size):
        target = times[row]
        while t < target:
            if counts[ACCEPTED] + counts[REJECTED] >= max_steps:
                status = STEP_LIMIT
                break
            lands = t + STRETCH * proposal >= target
            h = target - t if lands else proposal
            error = step(rhs, t, h, y, k, dy, trial, parameters, sizes, work, rtol, atol)
            counts[EVALUATIONS] += STAGE_EVALUATIONS
            if error <= 1.0:
                if not bounded(trial):
                    status = DIVERGED
                    break
                counts[ACCEPTED] += 1
                t = target if lands else t + h
                for i in range(n):
                    y[i] = trial[i]
                proposal = next_proposal(h, proposal, error, EXPONENT, after_rejection)
                after_rejection = False
                if not FIRST_SAME_AS_LAST:
                    rhs(t, y, parameters, sizes, work, dy)
                    counts[EVALUATIONS] += 1
            else:
                counts[REJECTED] += 1
                for i in range(n):
                    dy[i] = k[i, 0]
                proposal = shrunk(h, error, EXPONENT)
                after_rejection = True
                if too_small(proposal, t):
                    status = DIVERGED
                    break
        if status != FINISHED:
            break
        for i in range(n):
            states[row, i] = y[i]
        counts[ROWS] += 1
    clock[TIME] = t
    clock[PROPOSAL] = proposal
    return status


def constants(tableau: ExplicitTableau) -> dict[str, float]:
    """Return the constants that `advance` needs, here and in `lanes`."""
    size = len(tableau.weights)
    return {
        **CONSTANTS,
        "SAFETY": tableau.safety,
        "MAX_FACTOR": tableau.growth,
        "EXPONENT": 1 / (tableau.error_order + 1),
        "STAGES": -(-size // 8) * 8,  # rows of k begin at cache lines
        "STAGE_EVALUATIONS": size - 1,
        "FIRST_SAME_AS_LAST": tableau.first_same_as_last,
    }


def explicit_source(tableau: ExplicitTableau) -> str:
    """Return the module text of the integrator with this tableau."""
    norm = single_error if len(tableau.errors) == 1 else combined_error
    return assemble(
        f"{tableau.name} for one trajectory.",
        "ADVANCE_TYPE",
        constants(tableau),
        [bounded, rms_norm, norm, first_step, next_proposal, shrunk, too_small, emit_step(tableau)],
        advance,
    )
