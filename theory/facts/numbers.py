"""Whether an exact number is zero: decided, or left open; a digit is never taken for a proof."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from ..balls import evaluate
from ..errors import AccuracyError, AssumptionError

__all__ = ["InOrder", "Incomparable", "cartesian", "complex_zero", "is_nonzero", "real_zero"]

_DIGITS = 30


class Incomparable(Exception):
    """Two exact numbers are too close to be told apart, and not shown to be equal."""


class InOrder:
    """Sort key for exact real numbers.

    Parameters
    ----------
    value : sympy.Expr
        Real or infinite. A comparison that can't be decided raises `Incomparable`.
    """

    def __init__(self, value: sp.Expr) -> None:
        self.value = value

    def __lt__(self, other: InOrder) -> bool:
        try:
            return bool(self.value < other.value)
        except TypeError:  # SymPy finds no sign: the numbers are equal, or nearly so
            difference = self.value - other.value
            zero = real_zero(difference)
            if zero is None:
                raise Incomparable(f"{self.value} and {other.value}") from None
            return not zero and bool(evaluate(difference, {}, _DIGITS) < 0)


def real_zero(number: sp.Expr, point: Mapping[sp.Symbol, sp.Rational] | None = None) -> bool | None:
    """Whether a real number, or a real expression at a rational point, is zero.

    Parameters
    ----------
    number : sympy.Expr
        Of rationals, pi, E, algebraic numbers and the functions that have ball arithmetic.
    point : mapping, optional
        An exact rational for each symbol.

    Returns
    -------
    bool or None
        True is proved symbolically, False by a ball that excludes zero; None if neither succeeds.

    >>> real_zero(sp.sqrt(2) * sp.sqrt(3) - sp.sqrt(6)), real_zero(sp.pi - sp.Rational(355, 113))
    (True, False)
    """
    if number.is_zero:
        return True
    if is_nonzero(number, point):
        return False
    value = number.xreplace(dict(point)) if point else number
    return True if sp.simplify(value).is_zero else None


def is_nonzero(number: sp.Expr, point: Mapping[sp.Symbol, sp.Rational] | None = None) -> bool:
    """Whether a real number is shown not to be zero: the quick half of :func:`real_zero`.

    Parameters
    ----------
    number, point
        As there.

    Returns
    -------
    bool
        False decides nothing.
    """
    try:
        return not evaluate(number, point or {}, _DIGITS).contains(0)
    except (AccuracyError, AssumptionError):
        return number.is_zero is False and not number.free_symbols


def cartesian(number: sp.Expr) -> sp.Expr:
    """Real part + i * imaginary part.

    Parameters
    ----------
    number : sympy.Expr
        A complex number.

    Returns
    -------
    sympy.Expr

    >>> cartesian(sp.exp(1 + sp.I * sp.pi / 2) + sp.erf(sp.I))
    I*(erfi(1) + E)
    """
    plain = number.replace(sp.erf, lambda u: sp.I * sp.erfi(-sp.I * u) if u.is_imaginary else sp.erf(u))
    real, imaginary = sp.expand(plain, complex=True).as_real_imag()
    return real + sp.I * imaginary


def complex_zero(number: sp.Expr) -> bool | None:
    """Whether a complex number is zero, through its real and imaginary part.

    Parameters
    ----------
    number : sympy.Expr
        Exact.

    Returns
    -------
    bool or None
        As :func:`real_zero`.

    >>> complex_zero(sp.exp(sp.I * sp.pi) + 1), complex_zero(sp.sqrt(sp.I) - sp.I)
    (True, False)
    """
    if number.is_zero:
        return True
    parts = [sp.expand(part) for part in cartesian(number).as_real_imag()]
    if any(part.has(sp.I, sp.re, sp.im, sp.nan, sp.zoo) for part in parts):
        return None
    answers = [real_zero(part) for part in parts]
    if False in answers:
        return False
    return True if answers == [True, True] else None
