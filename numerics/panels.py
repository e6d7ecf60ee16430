"""Gauss-Legendre panels between the kinks, bisected until two paths of integration agree.

An analytic integrand has the same integral along the straight panel and along an arc above it with the same ends. A
feature that falls between the nodes of the panel - a spike, a step, a fast oscillation - is large, or has a
singularity, close above it, so that the arc does not pass it by: the two sums differ until the panels are as narrow as
the feature. Panels thus become narrow where the function needs it, towards a kink with a fractional power, say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .array_function import UNIT, ArrayFunction
from .one_dimensional import reach, weighted_hermite

__all__ = ["PanelSums", "SmoothPiece", "integrate_panels"]

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]

_NODES = 20
_ARC = 0.35  # height of the arc over the half length of its panel
_PANELS = 6000
_NARROWEST = 1e-13
_END_OF_DOUBLES = 38.5  # standard deviations: there phi(x) underflows
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
# |He_k(x)| phi(x) <= 0.434 sqrt(k!) exp(-x^2/4); the recurrence is good to a few units of that for each step.
_ENVELOPE = 0.434


@dataclass(frozen=True)
class SmoothPiece:
    """A piece of an activation as an array function, analytic on (lo, hi)."""

    function: ArrayFunction
    lo: float
    hi: float


@dataclass(frozen=True)
class PanelSums:
    """What the panels gave.

    Attributes
    ----------
    values, errors : array, shape (order + 1,)
        h_k, and estimates of the absolute errors.
    scale : float
        sqrt(E[sigma^2]).
    panels : int
        Number of panels.
    unknown : float or None
        A node z at which sigma has no finite value and which matters.
    """

    values: Real
    errors: Real
    scale: float
    panels: int
    unknown: float | None


@lru_cache(maxsize=1)
def _rule() -> tuple[Real, Real, Complex, Complex]:
    """Nodes and weights on [-1, 1], and the same on the arc t + i b (1 - t^2)."""
    from flint import arb  # NumPy's weights are good to some 10 units only

    pairs = [arb.legendre_p_root(_NODES, k, weight=True) for k in range(_NODES - 1, -1, -1)]
    t, w = (np.array([float(pair[i]) for pair in pairs]) for i in (0, 1))
    return t, w, t + 1j * _ARC * (1.0 - t * t), w * (1.0 - 2j * _ARC * t)


@dataclass(frozen=True)
class _Sums:
    """Sums of panels, one row a panel, one column an order."""

    straight: Real
    arc: Real
    sizes: Real
    rounding: Real
    noise: Real
    square: Real
    unknown: float | None


class _Integrator:
    def __init__(
        self, pieces: Sequence[SmoothPiece], mean: float, std: float, mean_error: float, std_error: float, order: int
    ) -> None:
        self.pieces, self.mean, self.std, self.order = pieces, mean, std, order
        self.mean_error, self.std_error = mean_error, std_error
        self.root_factorials = np.exp(0.5 * np.array([math.lgamma(k + 1.0) for k in range(order + 1)]))

    def sums(self, piece: SmoothPiece, left: Real, right: Real) -> _Sums:
        t, w, arc, arc_weights = _rule()
        middle, half = 0.5 * (left + right), 0.5 * (right - left)
        x = middle[:, None] + half[:, None] * t
        nodes = np.clip(self.mean + self.std * x, piece.lo, piece.hi)
        sizes = np.abs(x)
        known = (2.0 * UNIT * self.std + self.std_error) * sizes + (UNIT * abs(self.mean) + self.mean_error)
        f, e = piece.function.with_error(nodes, known)
        v = middle[:, None] + half[:, None] * arc
        g = piece.function.off_axis(self.mean + self.std * v)
        shape = (left.size, self.order + 1)
        straight, over, total, rounding, noise = (np.empty(shape) for _ in range(5))
        with np.errstate(all="ignore"):
            square = (f * f * (w * np.exp(-0.5 * x * x))).sum(axis=1) * half * _DENSITY
            envelope = (np.abs(f) * (w * np.exp(-0.25 * x * x))).sum(axis=1) * half * _ENVELOPE
            now, before = np.exp(-0.5 * x * x) * (w * _DENSITY), np.zeros_like(x)
            above, below = np.exp(-0.5 * v * v) * (arc_weights * _DENSITY), np.zeros_like(v)
            for k in range(self.order + 1):
                weight, off = np.abs(now), above * g
                straight[:, k] = (f * now).sum(axis=1)
                total[:, k] = (np.abs(f) * weight).sum(axis=1)
                rounding[:, k] = (e * weight).sum(axis=1)
                over[:, k] = off.real.sum(axis=1)
                noise[:, k] = np.abs(off).sum(axis=1)
                now, before = x * now - k * before, now
                above, below = v * above - k * below, above
            scaled = half[:, None]
            loss = (4.0 + np.arange(self.order + 1.0)) * UNIT * self.root_factorials * envelope[:, None]
            rounding = rounding * scaled + 8.0 * UNIT * total * scaled + loss
            noise = (noise * scaled) * piece.function.noise + 4.0 * rounding
        wrong = ~(np.isfinite(f) & np.isfinite(e))
        unknown = float(nodes[wrong][0]) if np.any(wrong) else None
        return _Sums(straight * scaled, over * scaled, total * scaled, rounding, noise, square, unknown)

    def breaks(self) -> list[float]:
        """The kinks in standard deviations from the mean."""
        return [(piece.lo - self.mean) / self.std for piece in self.pieces[1:]]

    def misplaced_kinks(self) -> Real:
        """What the rounding of the kinks' places does to a function that jumps there."""
        errors = np.zeros(self.order + 1)
        for left, right, t in zip(self.pieces, self.pieces[1:], self.breaks(), strict=False):
            point, none = np.array([right.lo]), np.zeros(1)
            (before, e), (after, d) = left.function.with_error(point, none), right.function.with_error(point, none)
            jump = abs(float(before[0] - after[0])) + float(e[0] + d[0])
            shift = (UNIT * (abs(right.lo) + abs(self.mean)) + self.mean_error) / self.std
            shift += (2.0 * UNIT + self.std_error / self.std) * abs(t)
            if t * t < 1400.0:
                errors += jump * shift * _ENVELOPE * math.exp(-0.25 * t * t) * self.root_factorials
        return errors

    def last_that_matters(self, sign: float, tolerance: Real) -> tuple[float, Real]:
        """The distance beyond which a standard deviation of the integrand is below the tolerance, and what is cut."""
        distances = np.arange(reach(self.order), _END_OF_DOUBLES, 0.125)
        x = sign * distances
        z = self.mean + self.std * x
        sizes = np.zeros_like(x)
        for piece in self.pieces:
            inside = (z >= piece.lo) & (z <= piece.hi)
            if np.any(inside):
                sizes[inside] = np.abs(piece.function.with_error(z[inside], np.zeros(int(inside.sum())))[0])
        with np.errstate(all="ignore"):
            integrand = sizes[:, None] * np.abs(weighted_hermite(x, self.order))
        matter = np.flatnonzero(np.any(~(integrand <= tolerance), axis=1))
        if not matter.size:
            return 0.0, np.zeros(self.order + 1)
        last = int(matter[-1])
        cut = 4.0 * integrand[-1] if last == distances.size - 1 else np.zeros(self.order + 1)
        return min(float(distances[last]) + 1.0, _END_OF_DOUBLES), cut

    def cover(self, left: float, right: float) -> Iterator[tuple[int, Real, Real]]:
        """Panels of at most unit length on [left, right], piece by piece."""
        cuts = [-math.inf, *self.breaks(), math.inf]
        for i in range(len(self.pieces)):
            a, b = max(left, cuts[i]), min(right, cuts[i + 1])
            if a < b:
                ends = np.linspace(a, b, math.ceil(b - a) + 1)
                yield i, ends[:-1], ends[1:]


def integrate_panels(
    pieces: Sequence[SmoothPiece],
    mean: float,
    std: float,
    order: int,
    goal: float,
    mean_error: float = 0.0,
    std_error: float = 0.0,
) -> PanelSums:
    """E[sigma(m + s x) He_k(x)] for k = 0, ..., order.

    Parameters
    ----------
    pieces : sequence of SmoothPiece
        sigma, left to right.
    mean, std : float
        m and s.
    order : int
        Largest k.
    goal : float
        Error to aim at, relative to sqrt(k! E[sigma^2]).
    mean_error, std_error : float
        How far m and s may be from the floats given.

    Returns
    -------
    PanelSums
        The errors are what the two paths, the rounding errors and the ends tell; they may miss the goal.
    """
    integrator = _Integrator(pieces, mean, std, mean_error, std_error, order)
    collected = _Collected(integrator, goal)
    collected.add(integrator.cover(-reach(order), reach(order)))
    # Functions that grow like exp(c z) have their weight at c s, and what is flat here may be a flank of something.
    for sign in (-1.0, 1.0):
        end, left_out = integrator.last_that_matters(sign, collected.tolerance)
        collected.errors += left_out
        if end > reach(order):
            collected.add(integrator.cover(*sorted((sign * reach(order), sign * end))))
    return collected.result()


class _Collected:
    def __init__(self, integrator: _Integrator, goal: float) -> None:
        self.of, self.goal = integrator, goal
        count = integrator.order + 1
        self.values, self.errors = np.zeros(count), np.zeros(count)
        self.square, self.panels = 0.0, 0
        self.unknown: float | None = None

    @property
    def scale(self) -> float:
        return math.sqrt(self.square)

    @property
    def tolerance(self) -> Real:
        """Error of one panel that counts as none."""
        return self.goal / 64.0 * self.scale * self.of.root_factorials

    def add(self, cover: Iterator[tuple[int, Real, Real]]) -> None:
        waiting = [(i, left, right, self.of.sums(self.of.pieces[i], left, right)) for i, left, right in cover]
        # The scale has to be known before it can be said which panels are good enough.
        self.square += sum(float(np.sum(s.square[np.isfinite(s.square)])) for *_, s in waiting)
        for i, left, right, sums in waiting:
            self.bisect(i, left, right, sums)

    def bisect(self, i: int, left: Real, right: Real, sums: _Sums) -> None:
        while left.size:
            self.panels += left.size
            with np.errstate(all="ignore"):
                mismatch = np.abs(sums.straight - sums.arc)
                good = np.all(mismatch <= np.maximum(sums.noise, self.tolerance), axis=1)
            narrow = right - left <= _NARROWEST * np.maximum(1.0, np.maximum(np.abs(left), np.abs(right)))
            done = good | narrow
            if self.panels + 2 * int(np.sum(~done)) > _PANELS:
                done[:] = True
            self.accept(left, right, sums, mismatch, done)
            self.square -= float(np.sum(sums.square[~done & np.isfinite(sums.square)]))
            a, b = left[~done], right[~done]
            middle = 0.5 * (a + b)
            left, right = np.concatenate([a, middle]), np.concatenate([middle, b])
            sums = self.of.sums(self.of.pieces[i], left, right)
            self.square += float(np.sum(sums.square[np.isfinite(sums.square)]))

    def accept(self, left: Real, right: Real, sums: _Sums, mismatch: Real, which: NDArray[np.bool_]) -> None:
        with np.errstate(all="ignore"):
            # Where the arc gives nothing, all that the panel was seen to hold is in doubt.
            doubt = np.where(np.isfinite(mismatch), mismatch, 2.0 * sums.sizes)
            self.values += sums.straight[which].sum(axis=0)
            self.errors += (doubt + sums.rounding)[which].sum(axis=0)
            finite = bool(np.all(np.isfinite(self.values + self.errors)))
        if sums.unknown is not None and not finite:
            self.unknown = sums.unknown

    def result(self) -> PanelSums:
        # Beyond the ends the parts of a standard deviation that do not matter add up to less than two of them.
        errors = self.errors + 4.0 * self.tolerance + self.of.misplaced_kinks()
        return PanelSums(self.values, errors, self.scale, self.panels, self.unknown)
