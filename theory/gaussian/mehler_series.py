"""Mehler's series of a pair of activations: exact coefficients, and rigorous values with the tail in the radius."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp

from ..activation import Activation
from ..balls import evaluate, gaussian_integral_1d, working_digits
from ..errors import AccuracyError, argument_error
from ..formula import MAX_DEGREE, hermite_he
from ..notation import z
from ..pieces import Piece
from .dual_forms import RHO, PiecewiseFunction
from .hermite import zero_by_parity
from .mehler import mehler, mehler_tail

__all__ = ["MehlerSeries"]


@dataclass(frozen=True)
class MehlerSeries:
    """kappa(rho) = sum_n f_n g_n rho^n/n!, with f_n = E[f(x) He_n(x)], and a bound on what a truncation leaves out.

    Parameters
    ----------
    first, second : Activation
        f and g.
    """

    first: Activation
    second: Activation

    def coefficients(self, order: int) -> tuple[sp.Expr, ...]:
        """f_n g_n/n!, n = 0, ..., order: exact, unevaluated expectations where no closed form is known."""
        f, g = (self._side(act, order) for act in (self.first, self.second))
        return tuple(a * b / sp.factorial(n) for n, (a, b) in enumerate(zip(f, g, strict=True)))

    def truncated(self, order: int, correlation: sp.Expr = RHO) -> sp.Expr:
        """The sum to an order."""
        return mehler(self._side(self.first, order), self._side(self.second, order), correlation)

    def tail(self, order: int, correlation: sp.Expr = RHO) -> sp.Expr:
        """Bound on |kappa - truncated(order)|: |rho|^(order+1) tau_f tau_g, tau^2 what Parseval leaves of E[f^2]."""
        sides = [self._side(act, order) for act in (self.first, self.second)]
        norms = [self._norm(act) for act in (self.first, self.second)]
        return mehler_tail(sides[0], sides[1], correlation, norms[0], norms[1])

    def enclose(self, correlation: sp.Rational, digits: int = 8) -> Any:
        """A ball around kappa(rho), its coefficients by rigorous quadrature and the tail added to its radius.

        Parameters
        ----------
        correlation : sympy.Rational
            rho, of size below 1.
        digits : int
            The radius is below 10^-digits.

        Returns
        -------
        flint.arb

        Raises
        ------
        AssumptionError
            If rho is not a rational of size below 1, or no bound on a tail of an integral is known.
        AccuracyError
            If 64 terms do not reach the digits.
        """
        rho = sp.sympify(correlation, strict=True)
        if not rho.is_Rational or not abs(rho) < 1:
            raise argument_error(
                "correlation", correlation, "is not a rational of size below 1", "use sympy.Rational(1, 2)"
            )
        working = digits + 30
        with working_digits(working):
            ratio = evaluate(rho, {}, working)
            limit = evaluate(sp.Rational(1, 10**digits), {}, working)
            total, power = evaluate(sp.S.Zero, {}, working), evaluate(sp.S.One, {}, working)
            left = [_square(act, working) for act in (self.first, self.second)]
            for n in range(MAX_DEGREE + 1):
                f, g = (_enclosed(act, n, working) for act in (self.first, self.second))
                weight = 1 / evaluate(sp.factorial(n), {}, working)
                total += f * g * power * weight
                left = [left[0] - f * f * weight, left[1] - g * g * weight]
                power *= ratio
                bound = abs(power) * (left[0].abs_upper() * left[1].abs_upper()).sqrt()
                if bound < limit:
                    return (total - bound).union(total + bound)
        raise AccuracyError(
            f"Mehler's series at rho = {rho}: {MAX_DEGREE} terms leave {bound.str(3)}, asked for {digits} digits"
        )

    @staticmethod
    def _side(activation: Activation, order: int) -> list[sp.Expr]:
        function = PiecewiseFunction(activation.pieces)
        return [
            sp.S.Zero if zero_by_parity(activation, n) else function.coefficient(n, sp.S.One) for n in range(order + 1)
        ]

    @staticmethod
    def _norm(activation: Activation) -> sp.Expr:
        return PiecewiseFunction(_squared(activation)).coefficient(0, sp.S.One)

    def __str__(self) -> str:
        return "sum over n of f_n g_n rho^n/n!"


def _squared(activation: Activation) -> tuple[Piece, ...]:
    return tuple(Piece(p.lo, p.hi, p.expression**2) for p in activation.pieces)


def _enclosed(activation: Activation, n: int, digits: int) -> Any:
    """A ball around f_n, from moments E[f(x) x^j]: they are quick to bound, and n is small."""
    total = evaluate(sp.S.Zero, {}, digits)
    if zero_by_parity(activation, n):
        return total
    for (j,), coefficient in sp.Poly(hermite_he(n, z), z).terms():
        total += evaluate(coefficient, {}, digits) * _moment(activation, j, digits)
    return total


@lru_cache(maxsize=1024)
def _moment(activation: Activation, j: int, digits: int) -> Any:
    return gaussian_integral_1d(activation.expression * z**j, z, sp.S.One, digits)


@lru_cache(maxsize=256)
def _square(activation: Activation, digits: int) -> Any:
    return gaussian_integral_1d(activation.expression**2, z, sp.S.One, digits)
