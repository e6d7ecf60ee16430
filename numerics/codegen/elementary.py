"""Vectorised elementary functions, generated: one branch-free loop over a contiguous buffer.

libm's functions are not vectorised without a vendor library. Here a function is reduced to a small interval and
replaced there by a Chebyshev interpolant, fitted in 40-digit arithmetic when the module is generated; nothing is copied
from a table. Accuracy is part of the unit tests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mpmath

__all__ = ["array_map_source", "map_source"]


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
        middle, half = mpmath.mpf(low + high) / 2, mpmath.mpf(high - low) / 2
        nodes = [middle + half * mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * terms)) for k in range(terms)]
        # Newton's divided differences, then Horner's scheme on their nested form
        differences = [function(x) for x in nodes]
        for order in range(1, terms):
            for k in range(terms - 1, order - 1, -1):
                differences[k] = (differences[k] - differences[k - 1]) / (nodes[k] - nodes[k - order])
        powers = [differences[-1]]
        for node, difference in zip(nodes[-2::-1], differences[-2::-1], strict=True):
            shifted = [mpmath.mpf(0), *powers]
            powers = [s - node * p for s, p in zip(shifted, [*powers, mpmath.mpf(0)], strict=True)]
            powers[0] += difference
        return tuple(float(c) for c in powers)


def _asin_tail(y: mpmath.mpf) -> mpmath.mpf:
    """(asin(x)/x - 1)/x^2 as a function of y = x^2."""
    if y < mpmath.mpf(10) ** -15:
        return mpmath.mpf(1) / 6 + 3 * y / 40
    x = mpmath.sqrt(y)
    return (mpmath.asin(x) / x - 1) / y


@dataclass(frozen=True)
class _Dialect:
    """How a body is written: for one number in a compiled loop, or for whole NumPy arrays."""

    module: str
    choose: Callable[[str, str, str], str]
    smaller: str

    def call(self, function: str, *arguments: str) -> str:
        return f"{self.module}.{function}({', '.join(arguments)})"


_LOOP = _Dialect("math", lambda condition, yes, no: f"{yes} if {condition} else {no}", "min")
_ARRAY = _Dialect("numpy", lambda condition, yes, no: f"numpy.where({condition}, {yes}, {no})", "numpy.minimum")


def _asin(to: _Dialect) -> list[str]:
    """Lines that turn u into asin(u)."""
    # |u| <= 1/2: u + u^3 P(u^2); above: asin(u) = pi/2 - 2 asin(sqrt((1 - u)/2)), so P is only needed on [0, 1/4].
    lines, tail = _estrin(_fit(_asin_tail, 0.0, 0.25, 13), "r")
    return [
        f"a = {to.smaller}(abs(u), 1.0)",  # rounding near alignment may leave the domain by an ulp
        "large = a > 0.5",
        f"r = {to.choose('large', '0.5*(1.0 - a)', 'a*a')}",
        f"root = {to.call('sqrt', 'r')}",
        f"s = {to.choose('large', 'root', 'a')}",
        *lines,
        f"q = s + s*r*{tail}",
        f"q = {to.choose('large', f'{float(mpmath.pi / 2)!r} - 2.0*q', 'q')}",
        f"u = {to.call('copysign', 'q', 'u')}",
    ]


_BODIES: dict[str, Callable[[_Dialect], list[str]]] = {"asin": _asin}


def map_source(function: str) -> str:
    """Source of ``map_<function>(x, n)``, which replaces the first n entries of x by their function values."""
    body = "\n".join(f"        {line}" for line in ["u = x[i]", *_BODIES[function](_LOOP), "x[i] = u"])
    return f"@helper\ndef map_{function}(x, n):\n    for i in range(n):\n{body}\n"


def array_map_source(function: str) -> str:
    """Source of ``map_<function>(x, n)`` in NumPy arithmetic.

    NumPy's own arcsin may differ by an ulp with the place of an array in memory; sums, products and roots do not.
    """
    body = "\n".join(f"    {line}" for line in ["u = x[:n]", *_BODIES[function](_ARRAY), "x[:n] = u"])
    return f"def map_{function}(x, n):\n{body}\n"
