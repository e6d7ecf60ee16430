"""One trajectory with a diagonally implicit Runge-Kutta method, for stiff systems.

Each stage solves z = h gamma f(t + c h, base + z) by simplified Newton steps: one finite-difference Jacobian J and one
LU factorisation of 1 - h gamma J serve all stages, and are kept from step to step while they work. After E. Hairer,
G. Wanner, Solving Ordinary Differential Equations II, section IV.8.
"""

import numpy as np

from .assemble import assemble
from .control import (
    ACCEPTED,
    CONSTANTS,
    DIVERGED,
    EVALUATIONS,
    FINISHED,
    LARGEST,
    MIN_FACTOR,
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
    first_step,
    next_proposal,
    rms_norm,
    shrunk,
    too_small,
)
from .tableaux import SDIRK4

__all__ = ["advance", "factorise", "implicit_source", "jacobian", "substitute"]

NEWTON_STEPS = 8
REUSE_RATE = 1e-3  # a Jacobian whose Newton steps contract faster than this is kept
KEEP_FACTOR = 1.2  # a step size that would grow by less than this is kept, and the factorisation with it
EXPONENT = 1 / (SDIRK4.error_order + 1)
GAMMA = float(SDIRK4.gamma)
DIVISOR = 1.1e-16  # unit roundoff, which guards divisions


def factorise(a: Reals, pivots: Integers) -> bool:
    """LU factorisation of a in place, rows exchanged for the largest pivot; False if a is singular or not finite."""
    n = a.shape[0]
    for j in range(n):
        best = j
        for i in range(j + 1, n):
            if abs(a[i, j]) > abs(a[best, j]):
                best = i
        pivots[j] = best
        if not (abs(a[best, j]) > 0.0 and abs(a[best, j]) <= LARGEST):
            return False
        if best != j:
            for q in range(n):
                kept = a[j, q]
                a[j, q] = a[best, q]
                a[best, q] = kept
        for i in range(j + 1, n):
            ratio = a[i, j] / a[j, j]
            a[i, j] = ratio
            for q in range(j + 1, n):
                a[i, q] -= ratio * a[j, q]
    return True


def substitute(lu: Reals, pivots: Integers, x: Reals) -> None:
    """Solve in place for the right-hand side x with the factors of `factorise`."""
    n = x.size
    for j in range(n):
        best = pivots[j]
        kept = x[j]
        x[j] = x[best]
        x[best] = kept
    for i in range(n):
        for j in range(i):
            x[i] -= lu[i, j] * x[j]
    for back in range(n):
        i = n - 1 - back
        for j in range(i + 1, n):
            x[i] -= lu[i, j] * x[j]
        x[i] /= lu[i, i]


def jacobian(
    rhs: Rhs,
    t: float,
    y: Reals,
    parameters: Reals,
    sizes: Integers,
    work: Reals,
    trial: Reals,
    here: Reals,
    moved: Reals,
    result: Reals,
) -> None:
    """Forward differences of f in y, n + 1 evaluations; trial, here and moved are scratch.

    f(t, y) is evaluated anew: the integrator's own slope carries the error of the Newton steps, which differences
    would magnify by 1e8.
    """
    n = y.size
    for i in range(n):
        trial[i] = y[i]
    rhs(t, y, parameters, sizes, work, here)
    for j in range(n):
        trial[j] = y[j] + np.sqrt(2.2e-16 * max(1e-5, abs(y[j])))
        shift = trial[j] - y[j]
        rhs(t, trial, parameters, sizes, work, moved)
        for i in range(n):
            result[i, j] = (moved[i] - here[i]) / shift
        trial[j] = y[j]


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
    slope: Reals,
    clock: Reals,
    counts: Integers,
    states: Reals,
    stages: Reals,
    nodes: Reals,
    errors: Reals,
) -> int:
    """Take y from clock[TIME] through the increasing times, a state at each of them; returns how it ended.

    stages holds a_ij / gamma, errors (b_i - embedded_i) / gamma: the unknowns are z_i = h gamma k_i.
    """
    n = y.size
    size = nodes.size
    z = np.zeros((size, n))
    base = np.empty(n)
    trial = np.empty(n)
    dy = np.empty(n)
    residual = np.empty(n)
    derivative = np.empty((n, n))
    lu = np.empty((n, n))
    pivots = np.empty(n, np.int64)
    t = clock[TIME]
    proposal = clock[PROPOSAL]
    if clock[STARTED] == 0.0:
        clock[STARTED] = 1.0
        rhs(t, y, parameters, sizes, work, slope)
        counts[EVALUATIONS] += 1
        if not bounded(slope):
            return DIVERGED
        if proposal <= 0.0:
            span = clock[SPAN]
            proposal = first_step(rhs, t, span, y, slope, parameters, sizes, work, trial, dy, EXPONENT, rtol, atol)
            counts[EVALUATIONS] += 1
    # Newton stops when the remaining error, in units of the tolerance, is below this.
    newton_tolerance = max(10.0 * 2.2e-16 / rtol, min(0.03, np.sqrt(rtol)))
    status = FINISHED
    have_derivative = False
    derivative_is_new = False
    factored_h = 0.0
    after_rejection = False
    contraction = 1.0  # of the last Newton iteration, carried over as the guess for the next
    for row in range(times.size):
        target = times[row]
        while t < target:
            if counts[ACCEPTED] + counts[REJECTED] >= max_steps:
                status = STEP_LIMIT
                break
            lands = t + STRETCH * proposal >= target
            h = target - t if lands else proposal
            if not have_derivative:
                jacobian(rhs, t, y, parameters, sizes, work, trial, residual, dy, derivative)
                counts[EVALUATIONS] += n + 1
                have_derivative = True
                derivative_is_new = True
                factored_h = 0.0
            solved = True
            if h != factored_h:
                for i in range(n):
                    for j in range(n):
                        lu[i, j] = -h * GAMMA * derivative[i, j]
                    lu[i, i] += 1.0
                solved = factorise(lu, pivots)
                factored_h = h if solved else 0.0
                contraction = 1.0
            slowest = 0.0
            for stage in range(size):
                if not solved:
                    break
                for i in range(n):
                    total = y[i]
                    for j in range(stage):
                        total += stages[stage, j] * z[j, i]
                    base[i] = total
                    # the slope at the last known point is the guess: f(t, y) for the first stage, k_{j-1} after
                    z[stage, i] = h * GAMMA * slope[i] if stage == 0 else z[stage - 1, i]
                factor = max(contraction, DIVISOR) ** 0.8
                last = 0.0
                solved = False
                for iteration in range(NEWTON_STEPS):
                    for i in range(n):
                        trial[i] = base[i] + z[stage, i]
                    rhs(t + nodes[stage] * h, trial, parameters, sizes, work, dy)
                    counts[EVALUATIONS] += 1
                    for i in range(n):
                        residual[i] = h * GAMMA * dy[i] - z[stage, i]
                    substitute(lu, pivots, residual)
                    size_of_change = rms_norm(residual, y, rtol, atol)
                    if not (size_of_change <= LARGEST):
                        break
                    for i in range(n):
                        z[stage, i] += residual[i]
                    if iteration > 0:
                        rate = size_of_change / max(last, DIVISOR)
                        if rate >= 0.99:
                            break
                        slowest = max(slowest, rate)
                        factor = rate / (1.0 - rate)
                        left = NEWTON_STEPS - 1 - iteration
                        if factor * size_of_change * rate**left > newton_tolerance:
                            break
                    last = size_of_change
                    if factor * size_of_change <= newton_tolerance:
                        solved = True
                        break
                contraction = factor
            if not solved:
                counts[REJECTED] += 1
                contraction = 1.0
                after_rejection = True
                if derivative_is_new:
                    proposal = h * MIN_FACTOR
                    if too_small(proposal, t):
                        status = DIVERGED
                        break
                else:
                    have_derivative = False
                continue
            for i in range(n):
                trial[i] = base[i] + z[size - 1, i]
                total = 0.0
                for j in range(size):
                    total += errors[j] * z[j, i]
                residual[i] = total
                # the error is measured against the larger of the two points
                dy[i] = max(abs(y[i]), abs(trial[i]))
            # The raw estimate does not go to zero for infinitely stiff components; filtered by the inverse it does.
            substitute(lu, pivots, residual)
            error = rms_norm(residual, dy, rtol, atol)
            if error <= 1.0:
                if not bounded(trial):
                    status = DIVERGED
                    break
                counts[ACCEPTED] += 1
                t = target if lands else t + h
                for i in range(n):
                    y[i] = trial[i]
                    slope[i] = z[size - 1, i] / (h * GAMMA)  # k of the last stage, which is f at the new point
                proposal = next_proposal(h, proposal, error, EXPONENT, after_rejection)
                after_rejection = False
                derivative_is_new = False
                if slowest > REUSE_RATE:
                    have_derivative = False
                elif h == factored_h and h <= proposal and proposal <= KEEP_FACTOR * h:
                    proposal = h
            else:
                counts[REJECTED] += 1
                after_rejection = True
                proposal = shrunk(h, error, EXPONENT)
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


def implicit_source() -> str:
    """Return the module text of the implicit integrator."""
    return assemble(
        f"{SDIRK4.name} for one trajectory.",
        "IMPLICIT_TYPE",
        {
            **CONSTANTS,
            "NEWTON_STEPS": NEWTON_STEPS,
            "REUSE_RATE": REUSE_RATE,
            "KEEP_FACTOR": KEEP_FACTOR,
            "EXPONENT": EXPONENT,
            "GAMMA": GAMMA,
            "DIVISOR": DIVISOR,
        },
        [
            bounded,
            rms_norm,
            first_step,
            next_proposal,
            shrunk,
            too_small,
            factorise,
            substitute,
            jacobian,
        ],
        advance,
    )
