"""Steps of order 4 on R^n x O(d) x ... x O(d) for right-hand sides that may jump, and where to put them.

A rotation R moves by R' = Omega R, with R = exp(Theta) R_0 and Theta' = dexp^-1_Theta(Omega) in the Lie algebra (the
method of Munthe-Kaas), anything else by y' = slope; both by the tableau of the classical method of order 4.

Where the right-hand side jumps the order is lost: an error proportional to the step and to the jump remains, however
high the order. So jumps are not searched for. A pair of steps is held to the tolerance if no flag flips in it, and to
a looser one if one does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["JUMP_TOLERANCE", "Path", "Slope", "State", "Stopped", "follow", "nearest_orthogonal", "refollow"]

Real = NDArray[np.float64]
State = list[Real]
# Slopes (antisymmetric for rotations) and the flags whose flips make them jump.
Slope = tuple[State, tuple[NDArray[np.bool_], ...]]

JUMP_TOLERANCE = 3e-5
"""Tolerance of a pair of steps in which the right-hand side jumps, relative to the largest entry so far.

Errors of jumps add up like a random walk: this is where they stay below the deviation of 1e4 samples from their
population. An `rtol` above it replaces it; one below the default of `solve`, 1e-8, scales it down.
"""
_DEFAULT_RTOL = 1e-8
# Pairs with a jump get no shorter than this share of the whole time, unless their error is larger than _COARSEST.
_SHORTEST = 1.0 / 2000
_COARSEST = 1e-3
# Root mean square of the error that a pair makes of a unit jump at a random place in it, as a share of its length.
_SPREAD = 1.0 / 12
# The first pair's share of the whole time.
_FIRST = 1e-3
# A pair changes its length by factors in this range, towards this share of its tolerance.
_SHRINK, _GROW, _AIM = 0.2, 3.0, 0.8
# Exponents of the error in the length: 5 without jumps; between 1 and 3/2 with them, and noisy.
_SMOOTH, _ROUGH = 0.2, 0.5
_ATTEMPTS = 10**6
_HUGE = 1e100
_DRIFT = 1e-13


class Stopped(Exception):
    """The state left all bounds, or too many steps were tried, at `time`: for the caller, who knows the whole run."""

    def __init__(self, diverged: bool, time: float) -> None:
        super().__init__(diverged, time)
        self.diverged = diverged
        self.time = time


@dataclass
class Path:
    """States at the ends of pairs of steps.

    Attributes
    ----------
    times, states : list
        From the start on; all output times are among them.
    defects : list of float
        Estimated error of each pair of steps; of the start 0.
    crossings : int
        Flags that changed over a step.
    evaluations : int
        Of the right-hand side.
    """

    times: list[float] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    defects: list[float] = field(default_factory=list)
    crossings: int = 0
    evaluations: int = 0


@dataclass(frozen=True)
class _Flow:
    """The right-hand side, and which states are rotations."""

    rhs: Callable[[State], Slope]
    rotates: tuple[bool, ...]

    def moved(self, state: State, by: State) -> State:
        return [
            exponential(change) @ array if rotates else array + change
            for array, change, rotates in zip(state, by, self.rotates, strict=True)
        ]

    def pulled(self, slope: State, by: State) -> State:
        """Slopes at a state that was moved, as derivatives of what it was moved by."""
        return [
            _pulled_back(change, omega) if rotates else omega
            for omega, change, rotates in zip(slope, by, self.rotates, strict=True)
        ]

    def step(self, state: State, slope: State, h: float) -> tuple[State, Slope, list[Slope]]:
        """The state after a step, what the right-hand side is there, and what it was at the stages between."""
        stages: list[Slope] = []
        known = [slope]
        for share in (h / 2, h / 2, h):
            by = _scaled(known[-1], share)
            stages.append(self.rhs(self.moved(state, by)))
            known.append(self.pulled(stages[-1][0], by))
        total = [h / 6 * (a + 2 * (b + c) + d) for a, b, c, d in zip(*known, strict=True)]
        end = [_cleaned(array) if r else array for array, r in zip(self.moved(state, total), self.rotates, strict=True)]
        return end, self.rhs(end), stages

    def simpson(self, state: State, slopes: list[State], h: float) -> State:
        """The state after two steps of length h by Simpson's rule through their ends (for rotations that of Magnus)."""
        total = []
        for a, b, c, rotates in zip(*slopes, self.rotates, strict=True):
            by = h / 3 * (a + 4 * b + c)
            total.append(by - h**2 / 3 * _commutator(a, c) if rotates else by)
        return self.moved(state, total)


def follow(
    rhs: Callable[[State], Slope],
    rotates: tuple[bool, ...],
    start: State,
    outputs: Real,
    rtol: float,
    atol: float,
    report: Callable[[float], object],
) -> Path:
    """Follow a flow, in pairs of equal steps whose length adapts.

    Parameters
    ----------
    rhs : callable
        Slopes and flags at a state, a list of arrays.
    rotates : tuple of bool
        Which of them are rotations.
    start : list of array
        The state at time 0.
    outputs : (T,) array
        Times to step onto, increasing, from 0 or later.
    rtol, atol : float
        Tolerance of a pair of steps without jumps: atol + rtol times the largest entry of the state so far.
    report : callable
        Called with the fraction done.

    Returns
    -------
    Path

    Raises
    ------
    Stopped
        If the state diverges or too many pairs were tried.

    Notes
    -----
    *Validity.* The error of a pair is its distance from Simpson's rule through the same slopes: of order 5 without
    jumps, and with them as large as the error that they make.
    """
    flow = _Flow(rhs, rotates)
    path = Path([0.0], [start], [0.0], 0, 1)
    state, (slope, flags) = start, rhs(start)
    now, end = 0.0, float(outputs[-1])
    largest, length, lowest = _size(state), end * _FIRST, np.inf
    jump = max(rtol, JUMP_TOLERANCE * min(1.0, rtol / _DEFAULT_RTOL))
    attempts = 0
    for output in outputs[outputs > 0]:
        while now < output:
            attempts += 1
            left = float(output) - now
            pairs = max(1.0, np.ceil(left / length - 1e-9))
            taken = left / pairs if pairs < 3 else length
            if attempts > _ATTEMPTS or now + taken / 4 <= now:
                raise Stopped(attempts <= _ATTEMPTS, now)
            h = taken / 2
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                middle, at_middle, stages = flow.step(state, slope, h)
                last, at_last, more = flow.step(middle, at_middle[0], h)
                guess = flow.simpson(state, [slope, at_middle[0], at_last[0]], h)
                size, error = max(largest, _size(last)), _distance(last, guess)
            path.evaluations += 8
            if not (size < _HUGE and error < _HUGE):
                length = taken * _SHRINK
                continue
            rough = any(_flipped(flags, seen[1]) for seen in (at_middle, at_last, *stages, *more))
            if rough:
                # Errors of several jumps may cancel in the estimate: no less than they are expected to be.
                flips = max(1, _flipped(flags, at_middle[1]) + _flipped(at_middle[1], at_last[1]))
                change = _distance(at_middle[0], slope) + _distance(at_last[0], at_middle[0])
                lowest = min(lowest, change / flips)
                error = max(error, _SPREAD * taken * lowest * np.sqrt(flips))
                allowed = (jump if taken > _SHORTEST * end else max(jump, _COARSEST)) * size
            else:
                allowed = atol + rtol * size
            ratio = (allowed * _AIM / error) ** (_ROUGH if rough else _SMOOTH) if error > 0 else _GROW
            length = taken * min(max(ratio, _SHRINK), _GROW)
            if error > allowed:
                continue
            path.crossings += _flipped(flags, at_middle[1]) + _flipped(at_middle[1], at_last[1])
            state, (slope, flags), largest = last, at_last, size
            now = float(output) if pairs == 1 else now + taken
            path.times.append(now)
            path.states.append(state)
            path.defects.append(error)
            report(now / end)
    return path


def refollow(
    rhs: Callable[[State], Slope],
    rotates: tuple[bool, ...],
    before: Path,
    report: Callable[[float], object],
) -> Path:
    """Follow a flow again, at half the steps.

    Parameters
    ----------
    rhs, rotates, report
        As for `follow`.
    before : Path
        What `follow` found.

    Returns
    -------
    Path
        At the same times.

    Raises
    ------
    Stopped
        If the state diverges.
    """
    flow = _Flow(rhs, rotates)
    path = Path(before.times, before.states[:1], before.defects, 0, 1)
    state, (slope, flags) = before.states[0], rhs(before.states[0])
    for now, later in zip(before.times, before.times[1:], strict=False):
        for _ in range(4):
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                state, (slope, seen), _ = flow.step(state, slope, (later - now) / 4)
            path.crossings += _flipped(flags, seen)
            flags = seen
        path.evaluations += 16
        if not _size(state) < _HUGE:
            raise Stopped(True, now)
        path.states.append(state)
        report(later / before.times[-1])
    return path


def _size(state: State) -> float:
    """The largest entry; not a number if there is one that isn't."""
    return float(np.max([np.abs(array).max() for array in state]))


def _distance(one: State, other: State) -> float:
    """The largest difference of entries."""
    return _size([a - b for a, b in zip(one, other, strict=True)])


def _scaled(state: State, share: float) -> State:
    return [share * array for array in state]


def _flipped(before: tuple[NDArray[np.bool_], ...], after: tuple[NDArray[np.bool_], ...]) -> int:
    return sum(int(np.count_nonzero(a != b)) for a, b in zip(before, after, strict=True))


# -- rotations --------------------------------------------------------------------------------------------------------


def exponential(theta: Real) -> Real:
    """The exponential of an antisymmetric matrix, through the eigenvalues of the Hermitian i Theta."""
    if not np.isfinite(theta).all():
        return np.full_like(theta, np.nan)
    values, vectors = np.linalg.eigh(1j * theta)
    return np.ascontiguousarray(((vectors * np.exp(-1j * values)) @ vectors.conj().T).real)


def nearest_orthogonal(matrix: Real) -> Real:
    """The orthogonal polar factor."""
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ right, dtype=np.float64)


def _cleaned(matrix: Real) -> Real:
    """A rotation whose rounding errors have not added up."""
    defect = np.abs(matrix @ matrix.T - np.eye(len(matrix))).max()
    return nearest_orthogonal(matrix) if _DRIFT < defect < 1.0 else matrix


def _commutator(a: Real, b: Real) -> Real:
    product = a @ b
    return product - product.T  # of antisymmetric matrices: (a b)^T = b a


def _pulled_back(theta: Real, omega: Real) -> Real:
    """dexp^-1_theta(omega) up to and including the second commutator; the third has the coefficient 0."""
    once = _commutator(theta, omega)
    return omega - once / 2 + _commutator(theta, once) / 12
