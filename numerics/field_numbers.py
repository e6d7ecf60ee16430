"""Numbers as a user writes them and as results hand them out: a double, how far it is off, and the exact number."""

from __future__ import annotations

import math
import numbers
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import mpmath
import numpy as np
import sympy as sp

from ..theory.errors import argument_error

if TYPE_CHECKING:
    import flint

__all__ = ["FieldNumber", "ball_mpf", "exact_number", "field_number", "rounded", "rounded_ball"]

_UNIT = 2.0**-53
# Beyond this binary exponent a number is no double.
_EXPONENTS = 1100
_CURE = "use a float, an integer, a fractions.Fraction, or a real SymPy or mpmath number"


class FieldNumber(NamedTuple):
    """A real number.

    Attributes
    ----------
    value : float
        The double next to it.
    error : float
        Bound of ``|number - value|``; 0 for a number that is a double.
    """

    value: float
    error: float


def field_number(name: str, given: object) -> FieldNumber:
    """Read a mean or a standard deviation.

    Parameters
    ----------
    name : str
        The argument's name, for messages.
    given : float, int, Fraction, NumPy, mpmath or SymPy number
        The value. A float is the rational number that it stores.

    Returns
    -------
    FieldNumber

    Raises
    ------
    AssumptionError
        If it is no finite real number, or too large for a double.
    """
    if type(given) is float:
        if math.isfinite(given):
            return FieldNumber(given, 0.0)
        raise argument_error(name, given, "is not finite", "use a finite real number")
    if type(given) is int and -(2**53) <= given <= 2**53:
        return FieldNumber(float(given), 0.0)
    exact = exact_number(name, given)
    try:
        value = float(exact) if isinstance(exact, Fraction) else float(exact.evalf(40))
    except OverflowError:
        value = math.inf
    if math.isinf(value):
        raise argument_error(name, given, "is too large for a double", "use a number below 1e308")
    if isinstance(exact, Fraction) and Fraction(value) == exact:
        return FieldNumber(value, 0.0)
    return FieldNumber(value, _UNIT * abs(value) + 5e-324)


def exact_number(name: str, given: object) -> Fraction | sp.Expr:
    """The exact number: a fraction, or a SymPy number if it is irrational.

    Parameters
    ----------
    name, given
        As for :func:`field_number`.

    Returns
    -------
    Fraction or sympy.Expr

    Raises
    ------
    AssumptionError
        If it is no finite real number.
    """
    if isinstance(given, bool | np.bool_):
        raise argument_error(name, given, "is a truth value", _CURE)
    if isinstance(given, sp.Expr):
        return _from_sympy(name, given)
    try:
        if isinstance(given, numbers.Rational | np.integer):
            return Fraction(int(given.numerator), int(given.denominator))
        if isinstance(given, float | np.floating):
            return Fraction(*given.as_integer_ratio())
        if isinstance(given, mpmath.mpf):
            return _binary(given._mpf_)
    except (OverflowError, ValueError):
        raise argument_error(name, given, "is not finite", "use a finite real number") from None
    raise argument_error(name, given, f"is a {type(given).__name__}", _CURE)


def _binary(number: tuple[int, int, int, int]) -> Fraction:
    """A binary floating-point number (sign, mantissa, exponent, bits) of mpmath."""
    sign, mantissa, exponent, _ = number
    if not mantissa and exponent:
        raise OverflowError
    value = Fraction(int(mantissa)) * Fraction(2) ** exponent
    return -value if sign else value


@lru_cache(maxsize=256)
def _from_sympy(name: str, given: sp.Expr) -> Fraction | sp.Expr:
    if given.is_Rational:
        return Fraction(int(given.p), int(given.q))
    if given.is_Float:
        try:
            return _binary(given._mpf_)
        except OverflowError:
            raise argument_error(name, given, "is not finite", "use a finite real number") from None
    if given.free_symbols:
        raise argument_error(
            name, given, "has symbols", "give them numbers; Activation.hermite keeps means and deviations symbolic"
        )
    if not given.is_real or not given.is_finite or given.has(sp.Float):
        raise argument_error(name, given, "is not an exact finite real number", _CURE)
    return given


# -- rounding ---------------------------------------------------------------------------------------------------------


def rounded(exact: Fraction, radius: Fraction = Fraction(0)) -> FieldNumber:
    """The double next to a number that is known up to `radius`, and a bound of its distance; infinite on overflow."""
    try:
        value = float(exact)
    except OverflowError:
        return FieldNumber(math.inf, math.inf)
    distance = abs(Fraction(value) - exact) + radius
    error = float(distance)
    return FieldNumber(value, math.nextafter(error, math.inf) if Fraction(error) < distance else error)


def rounded_ball(ball: flint.arb) -> FieldNumber:
    """The double next to the middle of a ball, and a bound of its distance to everything within."""
    parts = [Fraction(0), Fraction(0)]
    for i, exact in enumerate((ball.mid(), ball.rad())):
        mantissa, exponent = (int(part) for part in exact.man_exp())
        size = exponent + mantissa.bit_length()
        if size > _EXPONENTS:
            return FieldNumber(math.inf, math.inf)
        if size >= -_EXPONENTS:
            parts[i] += Fraction(mantissa) * Fraction(2) ** exponent
        elif mantissa:  # the power of two itself may be too long to write down
            parts[1] += Fraction(1, 2**_EXPONENTS)
    return rounded(*parts)


def ball_mpf(exact: flint.arb) -> mpmath.mpf:
    """A flint.arb of radius 0 as an mpf with all its bits, whatever mpmath's precision."""
    from mpmath.libmp import from_man_exp

    mantissa, exponent = exact.man_exp()
    return mpmath.mp.make_mpf(from_man_exp(int(mantissa), int(exponent)))
