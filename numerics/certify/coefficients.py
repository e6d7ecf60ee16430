"""Hermite coefficients and second moments of an activation as balls that contain the true values."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import sympy as sp
from flint import arb

from ...theory.activation import Activation
from ...theory.balls import ball_program, precision
from ...theory.errors import AccuracyError, argument_error
from ...theory.notation import z
from .half_lines import exponential_terms
from .law import BOUND_BITS, Law, NotEnclosed, law
from .pieces import SmoothPiece, enclosed, tail
from .point import value_at

__all__ = ["MAX_DIGITS", "MAX_ORDER", "CertifiedCoefficients", "certified_coefficients", "certified_second_moment"]

MAX_DIGITS = 10000
"""Most decimal digits; more are refused with an estimate of their cost."""

MAX_ORDER = 2000
"""Largest order of a coefficient: the sums cancel about order/2 bits."""

_LOG2_10 = math.log2(10.0)


@dataclass(frozen=True)
class CertifiedCoefficients:
    """Enclosures of h_k = E[sigma(m + s x) He_k(x)], x ~ N(0, 1); not divided by k!.

    Attributes
    ----------
    coefficients : tuple of flint.arb
        h_0, ..., h_order; each ball contains the true value.
    digits : int
        Radii are below 10^-digits max(sqrt(k!), |h_k|).
    method : str
        How they were found: "closed form", "value at the mean", "trapezoidal rule ..." or "Gauss-Legendre
        panels ...".
    bits : int
        Working precision.
    """

    coefficients: tuple[Any, ...] = field(repr=False)
    digits: int
    method: str
    bits: int


def certified_coefficients(
    activation: Activation | str | sp.Expr,
    order: int,
    mean: sp.Expr | int = 0,
    std: sp.Expr | int = 1,
    digits: int = 50,
    derivative: int = 0,
) -> CertifiedCoefficients:
    """Enclose the Hermite coefficients of an activation, with proved errors.

    Rounding is carried by ball arithmetic; the errors of the quadrature and of the cut tails are bounded by the
    theorems in :mod:`~hermiton.numerics.certify.trapezoid`, :mod:`~hermiton.numerics.certify.panels` and
    :mod:`~hermiton.numerics.certify.envelope`, whose assumptions (analyticity, growth) are checked with balls. Pieces
    that are polynomials times exponentials of quadratic polynomials are integrated in closed form.

    Parameters
    ----------
    activation : Activation, str or sympy.Expr
        sigma.
    order : int
        Largest k, 0 to 2000.
    mean, std : sympy.Expr or int
        m and s >= 0, exact real numbers such as ``sympy.Rational(7, 10)`` or ``sympy.sqrt(2)``. At s = 0, h_0 is
        sigma(m), and all others are exactly 0.
    digits : int
        Each radius is below 10^-digits max(sqrt(k!), |h_k|); 1 to 10000.
    derivative : int
        0; 1 or 2 for the coefficients of sigma' or sigma'': by Stein's lemma E[sigma' He_k] = h_(k+1)/s.

    Returns
    -------
    CertifiedCoefficients

    Raises
    ------
    AssumptionError
        If an argument is not of this kind, E[sigma(m + s x)^2] is infinite, or a function to be differentiated jumps;
        at s = 0, if sigma jumps at m.
    AccuracyError
        If the accuracy can't be had: no strip of analyticity, no bound on a tail, or too many digits.

    Notes
    -----
    *Validity.* sigma is analytic between finitely many exact kinks, and E[sigma(m + s x)^2] is finite.
    """
    _check_count("order", order, 0, MAX_ORDER)
    number = _check_count("derivative", derivative, 0, 2)
    activation = activation if isinstance(activation, Activation) else Activation(activation)
    where = law(mean, std)
    _check_digits(activation, digits)
    if where.std.is_zero:
        value, bits = value_at(activation, where.mean, digits, number)
        return CertifiedCoefficients((value, *(arb(0) for _ in range(order))), digits, "value at the mean", bits)
    _check_growth(activation, where)
    pieces = _pieces(activation, 0)
    for n in range(1, number + 1):
        _check_continuous(activation, pieces, n)
        pieces = _pieces(activation, n)
        _check_integrable(activation, pieces, where, n)

    # a smooth piece knows its parity; that the halves of a kinked function cancel is known only here
    parity = activation.parity if len(pieces) > 1 and where.mean.is_zero else None

    def shifted(balls: list[Any]) -> list[Any]:
        """Stein: E[sigma^(n) He_k] = h_(k+n)/s^n."""
        if parity is not None:
            first = 1 if parity == "even" else 0
            balls[first::2] = [arb(0) for _ in balls[first::2]]
        if not number:
            return balls
        divisor = where.balls()[1] ** number
        return [b / divisor for b in balls[number:]]

    goal = -digits * math.log(10.0)
    if number:
        with precision(BOUND_BITS):
            goal += number * float(where.balls()[1].log().mid())
        goal -= 0.5 * sum(math.log(order + i) for i in range(1, number + 1))
    name = f"Hermite coefficients of {activation.name}"
    return CertifiedCoefficients(*enclosed(name, _pieces(activation, 0), where, order + number, goal, digits, shifted))


def certified_second_moment(
    activation: Activation | str | sp.Expr,
    mean: sp.Expr | int = 0,
    std: sp.Expr | int = 1,
    digits: int = 50,
    derivative: int = 0,
) -> Any:
    """Enclose E[sigma(m + s x)^2], x ~ N(0, 1): with the coefficients it bounds what a truncated series leaves out.

    Parameters
    ----------
    activation, mean, std
        As in :func:`certified_coefficients`.
    digits : int
        The radius is below 10^-digits max(1, |value|).
    derivative : int
        0; 1 or 2 for sigma' or sigma''.

    Returns
    -------
    flint.arb

    Raises
    ------
    AssumptionError, AccuracyError
        As in :func:`certified_coefficients`.
    """
    number = _check_count("derivative", derivative, 0, 2)
    activation = activation if isinstance(activation, Activation) else Activation(activation)
    where = law(mean, std)
    _check_digits(activation, digits)
    if where.std.is_zero:
        return value_at(activation, where.mean, digits, number, power=2)[0]
    _check_growth(activation, where)
    pieces = _pieces(activation, 0)
    for n in range(1, number + 1):
        _check_continuous(activation, pieces, n)
        pieces = _pieces(activation, n)
    squares = [p._replace(expression=p.expression**2) for p in pieces]
    name = f"second moment of {activation.name}"
    goal = -digits * math.log(10.0)
    return enclosed(name, squares, where, 0, goal, digits, lambda balls: balls)[0][0]


# -- Arguments --------------------------------------------------------------------------------------------------------


def _check_count(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise argument_error(name, value, "is not a count in range", f"use an integer from {least} to {most}")
    return value


def _check_digits(activation: Activation, digits: object) -> None:
    if isinstance(digits, bool) or not isinstance(digits, int) or digits < 1:
        raise argument_error("digits", digits, "is not a positive integer", "use 50, for example")
    if digits > MAX_DIGITS:
        evaluations, seconds = _cost(activation, digits)
        raise AccuracyError(
            f"digits={digits} is above {MAX_DIGITS}: about {evaluations:.2g} evaluations of {activation.name} and"
            f" {seconds:.2g} s would be needed; ask for at most {MAX_DIGITS} digits"
        )


def _cost(activation: Activation, digits: int) -> tuple[float, float]:
    """Evaluations and seconds, if work grows like digits^2 an evaluation: a guess to put into a refusal.

    They are those of the trapezoidal rule on a strip of half width 3/2; a closed form takes one error function a piece.
    """
    size = digits * math.log(10.0)
    evaluations = 2.0 * math.sqrt(2.0 * size) * size / (3.0 * math.pi)
    hard = [p.expression for p in activation.pieces if exponential_terms(p.expression) is None]
    if not hard:
        hard, evaluations = [sp.erf(z)], float(len(activation.pieces))
    sample = 1000
    with precision(int(sample * _LOG2_10)):
        f = ball_program(hard[-1]).real()
        x = arb(2).sqrt()
        f(x)
        start = time.process_time()
        f(x)
        seconds = max(time.process_time() - start, 1e-6)
    return evaluations, evaluations * seconds * (digits / sample) ** 2


@lru_cache(maxsize=256)
def _growth_exponent(activation: Activation) -> sp.Expr:
    """Symbolic comparisons that would cost a fifth of a whole call."""
    return activation.growth_exponent


def _check_growth(activation: Activation, where: Law) -> None:
    exponent = _growth_exponent(activation)
    if not exponent.is_zero and not bool(4 * exponent * where.std**2 < 1):
        raise argument_error(
            "std",
            where.std,
            f"makes E[sigma^2] infinite: sigma grows like exp(({exponent})*z**2)",
            "use std^2 below 1/(4a)",
        )


def _pieces(activation: Activation, derivative: int) -> list[SmoothPiece]:
    pieces = [SmoothPiece(*p) for p in activation.pieces]
    return [p._replace(expression=sp.diff(p.expression, z, derivative)) for p in pieces] if derivative else pieces


def _check_continuous(activation: Activation, pieces: Sequence[SmoothPiece], order: int) -> None:
    for before, after in pairwise(pieces):
        jump = before.expression.subs(z, after.lo) - after.expression.subs(z, after.lo)
        if jump.is_zero or bool(sp.simplify(jump).is_zero):
            continue
        raise argument_error(
            "derivative",
            order,
            f"needs {activation.name} differentiated across z = {after.lo}, where it is not shown to be continuous: a"
            " jump adds a delta function",
            "use a lower derivative, or a smoother activation",
        )


def _check_integrable(activation: Activation, pieces: Sequence[SmoothPiece], where: Law, order: int) -> None:
    """Stein's lemma needs E|sigma^(n)(m + s x) x^k| to be finite."""
    try:
        with precision(BOUND_BITS):
            for piece in pieces:
                for end, sign in ((piece.lo, -1), (piece.hi, 1)):
                    if end.is_infinite:
                        tail(piece, where, sign, 0, -1.0)
    except NotEnclosed as reason:
        raise argument_error(
            "derivative",
            order,
            f"of {activation.name} is not shown to be integrable: {reason}",
            "use a lower derivative",
        ) from None
