"""Breakpoints of a stream in bins: constant memory, and a path whose error is of second order in the width of a bin."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from ..theory.errors import argument_error
from .events import EventPath, breakpoint_arrays, solve_by_events

__all__ = ["BinnedBreakpoints"]

Real = NDArray[np.float64]


class BinnedBreakpoints:
    """Rates, offsets and centroids of breakpoints that arrive in portions, in bins of one width.

    Each bin acts as one breakpoint at its centroid. Where a portion lies outside all bins, neighbouring bins are
    merged and the width doubles, so that memory does not depend on how many breakpoints there are or where they lie.

    Parameters
    ----------
    bins : int
        Number of bins, even, at least 4.

    Attributes
    ----------
    width : float
        Width of a bin; 0 before the first portion.
    count : int
        Breakpoints seen.
    """

    def __init__(self, bins: int = 4096) -> None:
        if isinstance(bins, bool) or not isinstance(bins, int) or bins < 4 or bins % 2:
            raise argument_error("bins", bins, "is not an even count of at least 4", "use a count such as 4096")
        self.width = 0.0
        self.count = 0
        self._first = 0.0  # left edge of bin 0
        self._sums = np.zeros((3, bins))  # sums of p, q and p u

    def add(self, breakpoints: ArrayLike, rates: ArrayLike, offsets: ArrayLike) -> None:
        """Add a portion: u_i, p_i, q_i as in :func:`hermiton.numerics.events.solve_by_events`."""
        u, p, q = breakpoint_arrays(breakpoints, rates, offsets)
        low, high = float(u.min()), float(u.max())
        bins = self._sums.shape[1]
        if not self.width:
            # A margin of half the range on either side; twins need some width too.
            self.width = 2.0 * max(high - low, 1e-9 * max(abs(low), abs(high), 1e-300)) / bins
            self._first = 0.5 * (low + high) - 0.5 * bins * self.width
        while low < self._first or high >= self._first + bins * self.width:
            self._double(below=low < self._first)
        _fill(self._sums, u, p, q, self._first, self.width)
        self.count += u.size

    def solve(self, start: float, scale: float = 1.0) -> EventPath:
        """The path from a start.

        Parameters
        ----------
        start : float
            y(0).
        scale : float
            All rates and offsets are multiplied by this.

        Returns
        -------
        EventPath
            ``error`` is the largest distance, over all its events, from the path with bins twice as wide: about three
            times its own error as far as that is of second order.

        Raises
        ------
        AssumptionError
            If nothing was added, or the start is not finite.
        """
        if not self.count:
            raise argument_error("start", start, "has no breakpoints to move by", "add a portion first")
        sums = scale * self._sums
        fine = self._path(sums, start)
        coarse = self._path(sums.reshape(3, sums.shape[1] // 2, 2).sum(axis=2), start)
        times = np.union1d(fine.times, coarse.times)
        error = max(float(np.max(np.abs(fine(times) - coarse(times)))), abs(fine.limit - coarse.limit))
        return replace(fine, error=error)

    @staticmethod
    def _path(sums: Real, start: float) -> EventPath:
        p, q, moment = sums[:, sums[0] > 0.0]
        return solve_by_events(moment / p, p, q, start)

    def _double(self, *, below: bool) -> None:
        """Twice the width; the merged bins take the upper half if room is needed below, the lower half otherwise."""
        bins = self._sums.shape[1]
        merged = self._sums.reshape(3, bins // 2, 2).sum(axis=2)
        self._sums[:] = 0.0
        self._sums[:, bins // 2 if below else 0 :][:, : bins // 2] = merged
        if below:
            self._first -= bins * self.width
        self.width *= 2.0
        if not math.isfinite(self._first + bins * self.width):
            raise argument_error("breakpoints", self._first, "lie too far apart", "use numbers below 1e300")


@njit(cache=True, nogil=True)
def _fill(sums: Real, u: Real, p: Real, q: Real, first: float, width: float) -> None:
    last = sums.shape[1] - 1
    for i in range(u.size):
        j = i if p.size > 1 else 0
        b = min(int((u[i] - first) / width), last)  # rounding may reach the end
        sums[0, b] += p[j]
        sums[1, b] += q[j]
        sums[2, b] += p[j] * u[i]
