"""Vectorised elementary functions, generated: one branch-free loop over a contiguous buffer.

libm's functions are not vectorised without a vendor library. Here a function is reduced to a small interval and
replaced there by a Chebyshev interpolant, fitted in 40-digit arithmetic when the module is generated; nothing is copied
from a table. Accuracy is part of the unit tests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import mpmath

__all__ = ["map_source"]


def _estrin(coefficients: Sequence[float], variable: str) -> tuple[list[str], str]:
    """Lines and final expression of a polynomial (constant term first) in Estrin's scheme: a short dependency chain."""
    lines: list[str] = []
    terms = [repr(c) for c in coefficients]
    power = variable
    level = 0
    while len(terms) > 1:
        pairs = [terms[i : i + 2] for i in range(0, len(terms), 2)]
        terms = [f"({p[0]} + {p[1]}*{power})" if len(p) == 2 else p[0] for p in pairs]
        if len(terms) > 1:
            level += 1
            lines.append(f"{variable}_{level} = {power}*{power}")
            power = f"{variable}_{level}"
    return lines, terms[0]


@functools.cache
def _fit(function: Callable[[mpmath.mpf], mpmath.mpf], low: float, high: float, terms: int) -> tuple[float, ...]:
    """Coefficients, constant term first, of the Chebyshev interpolant on [low, high]."""
    with mpmath.workdps(40):
        return tuple(float(c) for c in mpmath.chebyfit(function, [mpmath.mpf(low), mpmath.mpf(high)], terms)[::-1])


def _asin_tail(y: mpmath.mpf) -> mpmath.mpf:
    """(asin(x)/x - 1)/x^2 as a function of y = x^2."""
    if y < mpmath.mpf(10) ** -15:
        return mpmath.mpf(1) / 6 + 3 * y / 40
    x = mpmath.sqrt(y)
    return (mpmath.asin(x) / x - 1) / y


def _asin() -> list[str]:
    # |x| <= 1/2: x + x^3 P(x^2); above: asin(x) = pi/2 - 2 asin(sqrt((1 - x)/2)), so P is only needed on [0, 1/4].
    lines, tail = _estrin(_fit(_asin_tail, 0.0, 0.25, 13), "r")
    return [
        "a = min(abs(x[i]), 1.0)",  # rounding near alignment may leave the domain by an ulp
        "large = a > 0.5",
        "r = 0.5*(1.0 - a) if large else a*a",
        "s = math.sqrt(r) if large else a",
        *lines,
        f"q = s + s*r*{tail}",
        f"q = {float(mpmath.pi / 2)!r} - 2.0*q if large else q",
        "x[i] = math.copysign(q, x[i])",
    ]


_BODIES: dict[str, Callable[[], list[str]]] = {"asin": _asin}


def map_source(function: str) -> str:
    """Source of ``map_<function>(x, n)``, which replaces the first n entries of x by their function values."""
    body = "\n".join(f"        {line}" for line in _BODIES[function]())
    return (
        "@njit(types.void(types.CPointer(types.float64), types.int64), **FLAGS)\n"
        f"def map_{function}(x, n):\n    for i in range(n):\n{body}\n"
    )
