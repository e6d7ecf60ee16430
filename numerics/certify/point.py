"""The value of an activation, or of its derivative, at one point: the Gaussian field of deviation zero."""

import math
from typing import Any

import sympy as sp
from flint import arb

from ...theory.activation import Activation
from ...theory.balls import ball_program, precision
from ...theory.errors import AccuracyError, argument_error
from ...theory.notation import z

__all__ = ["value_at"]

_ATTEMPTS = 6


def value_at(
    activation: Activation, point: sp.Expr, digits: int, derivative: int = 0, power: int = 1
) -> tuple[Any, int]:
    """Enclose a power of a derivative of sigma at an exact point.

    Parameters
    ----------
    activation : Activation
        sigma.
    point : sympy.Expr
        An exact real number.
    digits : int
        The radius is below 10^-digits max(1, |value|).
    derivative : int
        Its order.
    power : int
        The exponent.

    Returns
    -------
    tuple
        The ball, and the bits it took. At a kink it holds the values of both sides, which have to agree.

    Raises
    ------
    AssumptionError
        If sigma or a derivative up to this order jumps at the point.
    AccuracyError
        If the radius can't be had.
    """
    touching = [p for p in activation.pieces if not (point - p.lo).is_negative and not (p.hi - point).is_negative]
    wanted = 4 * digits + 64
    value = arb.pos_inf()
    for _ in range(_ATTEMPTS):
        with precision(wanted):
            at = ball_program(point, ()).real()()
            for n in range(derivative + 1):
                sides = [ball_program(sp.diff(p.expression, z, n)).real()(at) for p in touching]
                value = sides[0]
                for side in sides[1:]:
                    if not side.overlaps(value):
                        primes = "'" * n
                        raise argument_error(
                            "std",
                            0,
                            f"leaves no value where {activation.name}{primes} jumps, at z = {point}",
                            "use a positive one",
                        )
                    value = value.union(side)
            value = math.prod([value] * power, start=arb(1))  # arb's own power takes a logarithm
            if value.is_finite() and value.rad() * arb(10) ** digits < abs(value).max(arb(1)):
                return value, wanted
        wanted *= 2
    raise AccuracyError(
        f"{activation.name} at {point}: asked for {digits} digits, got {value.str(3)}; ask for fewer digits"
    )
