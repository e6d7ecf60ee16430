"""Exact paths of a scalar flow whose right-hand side is affine between breakpoints, from event to event.

The flow is y' = sum over {i: u_i < y} of (q_i - p_i y), p_i > 0: each breakpoint u_i that y has passed pulls it towards
q_i/p_i with rate p_i. Between two breakpoints the solution is an exponential, so the path is known from its events
alone: no step size, no tolerance. One sort, one sweep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from ..theory.errors import argument_error
from .sorting import ascending_order

__all__ = ["EventPath", "breakpoint_arrays", "solve_by_events"]

Real = NDArray[np.float64]

_OUTCOMES = ("approaches", "pinned", "frozen", "at rest")


@dataclass(frozen=True, eq=False)
class EventPath:
    """The path y(s), s >= 0, of one coordinate.

    Attributes
    ----------
    times, values : array of float64, shape (events + 1,)
        The start, and every event: when y reaches a breakpoint, and where that is. Ties are one event.
    rates, targets : array of float64, shape (events + 1,)
        On the piece that begins there, y' = rate (target - y). A rate of 0 means that y stays.
    outcome : str
        ``'approaches'``: the last piece is an exponential approach of its target. ``'pinned'``: y stays on a breakpoint
        that both sides push it to (a sliding equilibrium). ``'frozen'``: no breakpoint is passed any more.
        ``'at rest'``: the start is an equilibrium inside a piece.
    error : float
        Estimate of the absolute error of y at any time: 0 for the points themselves, what binning changed for bins.
    """

    times: Real
    values: Real
    rates: Real
    targets: Real
    outcome: str
    error: float = 0.0

    @property
    def events(self) -> int:
        """Number of events."""
        return len(self.times) - 1

    @property
    def limit(self) -> float:
        """Where y goes as s grows."""
        return float(self.targets[-1] if self.outcome == "approaches" else self.values[-1])

    def __call__(self, times: ArrayLike) -> Any:
        """Evaluate y, by bisection on the event times.

        Parameters
        ----------
        times : array_like of float64
            s >= 0; infinity gives the limit.

        Returns
        -------
        array of float64, the same shape
        """
        piece, elapsed = self._locate(times)
        start = self.values[piece]
        with np.errstate(invalid="ignore"):  # 0 * inf on a piece where y stays
            share = np.where(self.rates[piece] > 0.0, -np.expm1(-self.rates[piece] * elapsed), 0.0)
        return start + share * (self.targets[piece] - start)

    def passed_rate(self, times: ArrayLike) -> Any:
        """The relaxation rate at given times: the sum of p_i over the breakpoints that y has passed."""
        return self.rates[self._locate(times)[0]]

    def dissipated(self, times: ArrayLike) -> Any:
        """Decrease of the potential V, y' = -V'(y), from the start up to given times."""
        piece, elapsed = self._locate(times)
        widths = np.diff(self.times, append=np.inf)
        drops = self._drop(np.arange(len(self.times)), widths)
        before = np.concatenate([[0.0], np.cumsum(drops[:-1])])
        return before[piece] + self._drop(piece, elapsed)

    def _drop(self, piece: Any, elapsed: Any) -> Any:
        gap = self.targets[piece] - self.values[piece]
        with np.errstate(invalid="ignore"):
            share = np.where(self.rates[piece] > 0.0, -np.expm1(-2.0 * self.rates[piece] * elapsed), 0.0)
        return 0.5 * self.rates[piece] * gap**2 * share

    def _locate(self, times: ArrayLike) -> tuple[Any, Any]:
        s = np.asarray(times, dtype=np.float64)
        if not np.all(s >= 0.0):
            raise argument_error("times", times, "has a time that is negative or NaN", "use times from 0 on")
        piece = np.searchsorted(self.times, s, side="right") - 1
        return piece, s - self.times[piece]


def solve_by_events(breakpoints: ArrayLike, rates: ArrayLike, offsets: ArrayLike, start: float) -> EventPath:
    """Solve y' = sum over {i: u_i < y} of (q_i - p_i y) from a start, exactly.

    Parameters
    ----------
    breakpoints : array_like of float64, shape (n,)
        u_i, in any order.
    rates, offsets : array_like of float64, shape (n,) or scalar
        p_i > 0 and q_i.
    start : float
        y(0). A breakpoint that equals it has not been passed.

    Returns
    -------
    EventPath

    Raises
    ------
    AssumptionError
        If an array has another shape or a number that is not finite, or a rate is not positive.

    Notes
    -----
    y is monotone, so each breakpoint is met at most once. Sums are compensated (they shrink when y turns back over
    breakpoints), times come from log1p of the ratio of velocities, and after each event the sign of the velocity is
    looked at again: where it has flipped, y stays. O(n log n), or O(n) if y never moves; only the breakpoints between
    the start and the farthest target are sorted.

    *Validity.* Exact up to rounding. Where both sides push y away from a breakpoint the continuation is not unique; a
    start there follows the side below, by the convention for `start`.

    Examples
    --------
    >>> path = solve_by_events([0, 1, 2, 3], 0.25, 0.25 * 5, 0.5)
    >>> path.times.round(6).tolist(), path.outcome
    ([0.0, 0.471132, 1.046496, 1.587116], 'approaches')
    """
    u, p, q = breakpoint_arrays(breakpoints, rates, offsets)
    y = float(start)
    if not math.isfinite(y):
        raise argument_error("start", start, "is not finite", "use a finite number")
    weighted = p.size > 1
    if not weighted:
        u = np.sort(u)
        passed = int(np.searchsorted(u, y))
        sums = (float(p[0]), 0.0, float(q[0]), 0.0)  # of each that is passed
    else:
        passed, sums, extremes = _passed(u, p, q, y)
    velocity = _velocity(*sums, y)
    if not passed or velocity == 0.0:
        rate, outcome = (sums[0] + sums[1], "at rest") if passed else (0.0, "frozen")
        return EventPath(np.zeros(1), np.array([y]), np.array([rate]), np.array([y]), outcome)
    upwards = velocity > 0.0
    if not weighted:
        u = u[passed:] if upwards else u[:passed]
    else:  # only what y may meet has to be in order
        ahead = _between(u, y, extremes[upwards], upwards)
        order = ahead[ascending_order(u[ahead])]
        u, p, q = u[order], p[order], q[order]
        del ahead, order  # a third of the memory
    times, values, rates, targets = (np.empty(u.size + 1) for _ in range(4))  # pages that stay unwritten cost nothing
    count, end = _sweep(u, p, q, weighted, y, passed, sums, upwards, times, values, rates, targets)
    np.log1p(times[:count], out=times[:count])
    _accumulate(times[:count], rates)
    return EventPath(times[:count], values[:count], rates[:count], targets[:count], _OUTCOMES[end])


def _finite(name: str, given: ArrayLike) -> Real:
    array = np.asarray(given, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise argument_error(name, given, "has NaN or an infinity", "use finite numbers")
    return array


def breakpoint_arrays(breakpoints: ArrayLike, rates: ArrayLike, offsets: ArrayLike) -> tuple[Real, Real, Real]:
    """Breakpoints, rates and offsets as checked arrays; rates and offsets of shape (1,) where both are scalars.

    Parameters
    ----------
    breakpoints, rates, offsets : array_like
        As for :func:`solve_by_events`, which lists the errors too.

    Returns
    -------
    tuple of arrays of float64
    """
    u, p, q = (_finite(n, g) for n, g in (("breakpoints", breakpoints), ("rates", rates), ("offsets", offsets)))
    if u.ndim != 1 or not u.size:
        raise argument_error("breakpoints", breakpoints, f"has shape {u.shape}", "pass a non-empty vector")
    for name, given, array in (("rates", rates, p), ("offsets", offsets, q)):
        if array.shape not in ((), u.shape):
            raise argument_error(name, given, f"has shape {array.shape}", f"use {u.shape} or a scalar")
    if not np.all(p > 0.0):
        raise argument_error("rates", rates, "has a rate that is not positive", "use positive rates")
    if p.ndim != q.ndim:
        p, q = (np.ascontiguousarray(np.broadcast_to(array, u.shape)) for array in (p, q))
    return np.ascontiguousarray(u), np.atleast_1d(p), np.atleast_1d(q)


# -- compiled ---------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, inline="always")
def _two_sum(a: float, b: float) -> tuple[float, float]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@njit(cache=True, nogil=True, inline="always")
def _added(high: float, low: float, x: float) -> tuple[float, float]:
    """A sum kept as two numbers, plus x."""
    total, rest = _two_sum(high, x)
    return _two_sum(total, low + rest)


@njit(cache=True, nogil=True, inline="always")
def _halves(a: float) -> tuple[float, float]:
    shifted = 134217729.0 * a
    high = shifted - (shifted - a)
    return high, a - high


@njit(cache=True, nogil=True, inline="always")
def _velocity(p: float, p_low: float, q: float, q_low: float, y: float) -> float:
    """The value of q - p y: near the target the two cancel, so the product is kept exactly (Dekker)."""
    product = p * y
    a, a_low = _halves(p)
    b, b_low = _halves(y)
    rest = ((a * b - product) + a * b_low + a_low * b) + a_low * b_low
    high, low = _two_sum(q, -product)
    return high + (low - rest + q_low - p_low * y)


@njit(cache=True, nogil=True)
def _passed(u: Real, p: Real, q: Real, y: float) -> Any:
    """Number and sums of the breakpoints below y, and the extreme targets."""
    count = 0
    p_sum = p_low = q_sum = q_low = 0.0
    least, most = np.inf, -np.inf
    for i in range(u.size):
        pi, qi = p[i], q[i]
        target = qi / pi
        least, most = min(least, target), max(most, target)
        if u[i] < y:
            count += 1
            p_sum, p_low = _added(p_sum, p_low, pi)
            q_sum, q_low = _added(q_sum, q_low, qi)
    return count, (p_sum, p_low, q_sum, q_low), (least, most)


@njit(cache=True, nogil=True)
def _between(u: Real, y: float, farthest: float, upwards: bool) -> NDArray[np.int64]:
    """Indices of the breakpoints that y may meet."""
    count = 0
    for i in range(u.size):
        count += (y <= u[i] <= farthest) if upwards else (farthest <= u[i] < y)
    found = np.empty(count, np.int64)
    count = 0
    for i in range(u.size):
        if (y <= u[i] <= farthest) if upwards else (farthest <= u[i] < y):
            found[count] = i
            count += 1
    return found


@njit(cache=True, nogil=True)
def _sweep(
    u: Real,
    p: Real,
    q: Real,
    weighted: bool,
    y: float,
    passed: int,
    sums: tuple[float, float, float, float],
    upwards: bool,
    ratios: Real,
    values: Real,
    rates: Real,
    targets: Real,
) -> tuple[int, int]:
    """From event to event through sorted breakpoints; number of pieces written, and how it ends.

    ``ratios[k]`` is what the velocity loses on the piece before event k, relative to what is left of it. Without
    weights the sums are those of one breakpoint, and the velocity's sign can't flip.
    """
    p_sum, p_low, q_sum, q_low = sums
    sign = 1.0 if upwards else -1.0
    ratio = 0.0
    k = done = 0
    velocity = _velocity(p_sum, p_low, q_sum, q_low, y)
    while True:
        rate = p_sum + p_low
        ratios[k], values[k], targets[k] = ratio, y, y + velocity / rate
        rates[k] = rate if weighted else rate * (passed + done if upwards else passed - done)
        k += 1
        if done == u.size:
            return k, 0
        i = done if upwards else u.size - 1 - done
        left = _velocity(p_sum, p_low, q_sum, q_low, u[i])
        if not sign * left > 0.0:
            return k, 0
        ratio = rate * (u[i] - y) / left
        y = u[i]
        while True:
            if weighted:
                p_sum, p_low = _added(p_sum, p_low, sign * p[i])
                q_sum, q_low = _added(q_sum, q_low, sign * q[i])
            done += 1
            if done == u.size:
                break
            i = done if upwards else u.size - 1 - done
            if u[i] != y:
                break
        velocity = _velocity(p_sum, p_low, q_sum, q_low, y) if weighted else left
        frozen = not upwards and done == passed
        if frozen or not sign * velocity > 0.0:
            ratios[k], values[k], rates[k], targets[k] = ratio, y, 0.0, y
            return k + 1, 2 if frozen else 1


@njit(cache=True, nogil=True)
def _accumulate(times: Real, rates: Real) -> None:
    """Times of events from log1p of the ratios, each divided by its rate, in a compensated sum."""
    now = low = 0.0
    for k in range(1, times.size):
        now, low = _added(now, low, times[k] / rates[k - 1])
        times[k] = now + low
