"""Hermite coefficients of piecewise polynomials in closed form: ReLU, |z|, sign, clipped ramps, ...

Around the piece that holds the mean, sigma is a polynomial plus terms d (z - c)_+^n beyond each kink c above the mean
and d (c - z)_+^n beyond each one below. With t = |c - m|/s >= 0 and x standard normal, Stein's lemma gives

    E[(x - t)_+^n He_k(x)] = n!/(n - k)! E[(x - t)_+^(n - k)]   for k <= n,
                           = n! He_(k-n-1)(t) phi(t)             for k > n,

and I_n = E[(x - t)_+^n] obeys I_n = (n - 1) I_(n-2) - t I_(n-1). That recursion loses digits of I_n, but not of
sqrt(E[sigma^2]): it is at home where t is small, and where t is large sqrt(I_2n) is far above I_n. Taking the terms on
the far side of each kink keeps large polynomials from cancelling at small deviations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from ..theory.notation import z
from .array_function import UNIT

__all__ = ["HalfLineTable", "HalfLineValues", "half_line_table", "half_line_values"]

_LARGEST_DEGREE = 8
_ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
_TINY = 1e-280  # what underflow may hide
_VANISHED = 80.0
_ENVELOPE = 0.434  # |He_k(t)| phi(t) <= 0.434 sqrt(k!) exp(-t^2/4)


@dataclass(frozen=True)
class _Kink:
    """A kink: its place and the Taylor coefficients, at that place, of the right piece minus the left one."""

    place: float
    place_error: float
    jump: tuple[float, ...]


@dataclass(frozen=True)
class HalfLineTable:
    """A piecewise polynomial: its pieces' coefficients, constant term first, its kinks in order, and its square."""

    pieces: tuple[tuple[float, ...], ...]
    kinks: tuple[_Kink, ...]
    square: HalfLineTable | None


@dataclass(frozen=True)
class HalfLineValues:
    """h_k, bounds of their errors, and sqrt(E[sigma^2]), from below if rounding hides it."""

    values: list[float]
    errors: list[float]
    scale: float


def half_line_table(pieces: Sequence[tuple[sp.Expr, sp.Expr, sp.Expr]]) -> HalfLineTable | None:
    """Tables for a piecewise polynomial.

    Parameters
    ----------
    pieces : sequence of (lo, hi, expression)
        Smooth pieces from left to right.

    Returns
    -------
    HalfLineTable or None
        None if a piece is no polynomial of degree at most 8 or sigma has no kink.
    """
    if len(pieces) == 1 or not all(p.is_polynomial(z) and sp.degree(p, z) <= _LARGEST_DEGREE for _, _, p in pieces):
        return None
    places = [lo for lo, _, _ in pieces[1:]]
    polynomials = [sp.Poly(p, z) for _, _, p in pieces]
    return _table(places, polynomials, _table(places, [p**2 for p in polynomials], None))


def _table(places: list[sp.Expr], polynomials: list[sp.Poly], square: HalfLineTable | None) -> HalfLineTable:
    kinks = []
    for place, left, right in zip(places, polynomials, polynomials[1:], strict=False):
        shifted = sp.Poly((right - left).as_expr().subs(z, z + place), z)
        rounded = float(place.evalf(40))
        exact = place.is_Rational and sp.Rational(rounded) == place
        kinks.append(_Kink(rounded, 0.0 if exact else UNIT * abs(rounded), _floats(shifted)))
    return HalfLineTable(tuple(_floats(p) for p in polynomials), tuple(kinks), square)


def _floats(polynomial: sp.Poly) -> tuple[float, ...]:
    return tuple(float(c.evalf(40)) for c in reversed(polynomial.all_coeffs()))


@lru_cache(maxsize=16)
def _recurrence_errors(count: int) -> tuple[float, ...]:
    """Bounds of the rounding errors of He_k(t) phi(t), divided by exp(-t^2/4)."""
    return tuple(_ENVELOPE * (4.0 + 2.0 * k) * UNIT * math.exp(0.5 * math.lgamma(k + 1.0)) for k in range(count))


def half_line_values(
    table: HalfLineTable, mean: float, std: float, order: int, mean_error: float = 0.0, std_error: float = 0.0
) -> HalfLineValues:
    """E[sigma(m + s x) He_k(x)] for k = 0, ..., order.

    Parameters
    ----------
    table : HalfLineTable
        sigma.
    mean, std : float
        m and s.
    order : int
        Largest k.
    mean_error, std_error : float
        How far m and s may be from the floats given.

    Returns
    -------
    HalfLineValues
    """
    values, errors = _values(table, mean, std, order, mean_error, std_error)
    errors = [error + _TINY for error in errors]
    scale = 0.0
    if table.square is not None:
        (square,), (error,) = _values(table.square, mean, std, 0, mean_error, std_error)
        scale = math.sqrt(max(square - error, 0.0))
    return HalfLineValues(values, errors, scale)


def _values(
    table: HalfLineTable, mean: float, std: float, order: int, mean_error: float, std_error: float
) -> tuple[list[float], list[float]]:
    relative = std_error / std
    below = 0
    while below < len(table.kinks) and table.kinks[below].place <= mean:
        below += 1
    values, errors = _polynomial(table.pieces[below], mean, std, order, mean_error, relative)
    for i, kink in enumerate(table.kinks):
        upper = i >= below
        distance = kink.place - mean if upper else mean - kink.place
        t = distance / std
        shift = (UNIT * distance + mean_error + kink.place_error) / std + (2.0 * UNIT + relative) * t
        tail = _Tail(t, shift, order, len(kink.jump))
        power = 1.0
        for n, coefficient in enumerate(kink.jump):
            size = (1.0 if upper or n % 2 else -1.0) * coefficient * power
            if size:
                values, errors = tail.added(n, size, (2.0 * n + 6.0) * UNIT + n * relative, upper, values, errors)
            power *= std
    return values, errors


def _polynomial(
    coefficients: tuple[float, ...], mean: float, std: float, order: int, mean_error: float, relative: float
) -> tuple[list[float], list[float]]:
    """Coefficients of a polynomial p(m + s x) on the whole line."""
    values, errors = [0.0] * (order + 1), [0.0] * (order + 1)
    degree = len(coefficients) - 1
    for i in range(degree + 1):  # p(m + y) = sum_i q_i y^i, E[x^i He_k] = i!/(2^j j!), j = (i - k)/2
        if not any(coefficients[i:]):
            break
        terms = [math.comb(l, i) * coefficients[l] * mean ** (l - i) for l in range(i, degree + 1)]
        slopes = [(l - i) * math.comb(l, i) * coefficients[l] * mean ** (l - i - 1) for l in range(i + 1, degree + 1)]
        q = math.fsum(terms) * std**i
        error = (degree + 4.0) * UNIT * math.fsum(map(abs, terms)) + mean_error * math.fsum(map(abs, slopes))
        error = error * std**i + (2.0 * i * UNIT + i * relative) * abs(q)
        for k in range(i % 2, min(i, order) + 1, 2):
            half = (i - k) // 2
            moment = math.factorial(i) / (2.0**half * math.factorial(half))
            values[k] += q * moment
            errors[k] += (error + 4.0 * UNIT * abs(q)) * moment
    return values, errors


class _Tail:
    """E[(x - t)_+^n He_k(x)] for all n and k at one t >= 0; `shift` bounds the error of t."""

    def __init__(self, t: float, shift: float, order: int, powers: int) -> None:
        if t > _VANISHED and shift < 0.5 * t:  # nothing is left there, whatever the exact t
            t, shift = _VANISHED, 0.0
        self.shift = shift
        density = math.exp(-0.5 * t * t) / _ROOT_TWO_PI if t < 39.0 else 0.0
        # He_k(t) phi(t)
        count = order + 2
        self.peaks, self.peak_errors = [0.0] * count, [_TINY] * count
        if density:
            before, now = 0.0, density
            for k in range(count):
                self.peaks[k] = now
                before, now = now, t * now - k * before
            envelope, slack = math.exp(-0.25 * t * t), 0.5 * t * t * UNIT
            bounds = _recurrence_errors(count)
            self.peak_errors = [
                envelope * bound + slack * abs(peak) for bound, peak in zip(bounds, self.peaks, strict=True)
            ]
        # I_n
        self.moments = [0.5 * math.erfc(t / math.sqrt(2.0))]
        self.moments.append(density - t * self.moments[0])
        self.moment_errors = [(8.0 + 2.0 * t * t) * UNIT * self.moments[0] + _TINY]
        self.moment_errors.append((8.0 + t * t) * UNIT * density + t * self.moment_errors[0] + _TINY)
        for n in range(2, powers):
            up, down = (n - 1) * self.moments[n - 2], t * self.moments[n - 1]
            self.moments.append(up - down)
            error = (n - 1) * self.moment_errors[n - 2] + t * self.moment_errors[n - 1]
            self.moment_errors.append(error + 2.0 * UNIT * (abs(up) + abs(down)))

    def added(
        self, n: int, size: float, relative: float, upper: bool, values: list[float], errors: list[float]
    ) -> tuple[list[float], list[float]]:
        """`values` and `errors` with the term size * (x - t)_+^n, or its mirror image, added."""
        factors = [math.perm(n, k) for k in range(n + 1)]
        top = float(factors[-1])
        entries = [f * moment for f, moment in zip(factors, self.moments[n::-1], strict=True)]
        slack = [f * error for f, error in zip(factors, self.moment_errors[n::-1], strict=True)]
        entries += [top * peak for peak in self.peaks]
        slack += [top * error for error in self.peak_errors]
        bound = abs(size)
        # The derivative of an entry in t is minus the next entry.
        errors = [
            error + bound * (rounding + relative * abs(entry) + self.shift * (abs(after) + 2.0 * more))
            for error, entry, after, rounding, more in zip(errors, entries, entries[1:], slack, slack[1:], strict=False)
        ]
        if upper:
            return [value + size * entry for value, entry in zip(values, entries, strict=False)], errors
        signed = [size, -size] * (len(values) // 2 + 1)
        return [value + sign * entry for value, sign, entry in zip(values, signed, entries, strict=False)], errors
