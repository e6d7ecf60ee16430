"""What is known of g^(n), the n-th derivative of an activation, in the forms that the ways to a moment ask for."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..theory.activation import Activation
from ..theory.errors import CodegenError, argument_error
from ..theory.notation import z
from .array_function import ArrayFunction, array_function
from .moments.nested import Factor

__all__ = ["FieldFunction", "field_function"]

Array = NDArray[np.float64]


class _Piece(NamedTuple):
    """A smooth expression in z on the interval (lo, hi)."""

    lo: sp.Expr
    hi: sp.Expr
    expression: sp.Expr


@lru_cache(maxsize=512)
def field_function(activation: Activation, order: int) -> FieldFunction:
    """The (shared) n-th derivative of an activation."""
    return FieldFunction(activation, order)


class FieldFunction:
    """The derivative g^(n) of an activation.

    Parameters
    ----------
    activation : Activation
        g.
    order : int
        n: 0, 1, or 2 if g has no kinks.

    Raises
    ------
    AssumptionError
        If a kink forbids the derivative.
    """

    def __init__(self, activation: Activation, order: int) -> None:
        if order > 1 and activation.kinks:
            raise argument_error(
                "derivatives",
                order,
                f"is too high for {activation.name}, which has a kink at z = {activation.kinks[0]}",
                "use 0 or 1; second derivatives are for smooth activations",
            )
        self.activation = activation
        self.order = order
        self.pieces = tuple(_Piece(p.lo, p.hi, sp.diff(p.expression, z, order)) for p in activation.pieces)

    @property
    def name(self) -> str:
        """For messages."""
        return self.activation.name + "'" * self.order

    @cached_property
    def polynomial(self) -> tuple[sp.Expr, ...] | None:
        """Coefficients of a polynomial on the whole line, the constant first."""
        expression = self.pieces[0].expression
        if len(self.pieces) > 1 or not expression.is_polynomial(z):
            return None
        return tuple(sp.Poly(expression, z).all_coeffs()[::-1])

    @cached_property
    def jumps(self) -> tuple[sp.Expr, ...]:
        """Kinks of g at which g itself is not shown to be continuous."""
        places = []
        for before, after in zip(self.activation.pieces, self.activation.pieces[1:], strict=False):
            jump = before.expression.subs(z, after.lo) - after.expression.subs(z, after.lo)
            if not (jump.is_zero or bool(sp.simplify(jump).is_zero)):
                places.append(after.lo)
        return tuple(places)

    @cached_property
    def forms(self) -> Any:
        """As sums of noisy piecewise-linear functions (a tuple of NoisyForm), or None."""
        from .moments.erf_means import NoisyForm, erf_forms
        from .moments.piecewise_linear import linear_pieces

        if len(self.pieces) == 1:
            return erf_forms(self.pieces[0].expression)
        form = linear_pieces(self.activation)
        if form is None:
            return None
        return (NoisyForm(form.derivative() if self.order else form, Fraction(0)),)

    @cached_property
    def factor(self) -> Factor:
        """Compiled pieces.

        Raises
        ------
        AssumptionError
            If a derivative has impulses, or the formula a function that arrays don't know.
        """
        self.require_no_impulses()
        try:
            functions = [_compiled(p.expression) for p in self.pieces]
        except CodegenError as reason:
            raise argument_error(
                "activations", self.name, f"can't be evaluated on arrays: {reason}", "rewrite it"
            ) from None
        polynomial = self.polynomial
        return Factor(
            tuple(float(p.lo.evalf(30)) for p in self.pieces[1:]),
            tuple(None if f is None else partial(_values, f) for f in functions),
            None if polynomial is None else len(polynomial) - 1,
            self._continuous,
            tuple(None if f is None else partial(_errors, f) for f in functions),
        )

    @cached_property
    def _continuous(self) -> bool:
        if not self.order:
            return not self.jumps
        return len(self.pieces) == 1

    def require_no_impulses(self) -> None:
        """Refuse the derivative of a jump."""
        if self.order and self.jumps:
            raise argument_error(
                "derivatives",
                self.order,
                f"takes {self.activation.name} across its jump at z = {self.jumps[0]}, which adds a delta function",
                "use 0, or an activation without jumps: impulses are taken only where every function is piecewise"
                " linear or of the erf family",
            )

    def at(self, point: sp.Expr) -> sp.Expr:
        """The exact value at a point; at a jump the mean of both sides.

        Raises
        ------
        AssumptionError
            If it is an impulse or infinite there.
        """
        if self.order and any((point - place).equals(0) for place in self.jumps):
            raise argument_error(
                "covariance",
                0,
                f"leaves a field constant at the impulse of {self.name} at z = {point}",
                "give it a variance",
            )
        values = []
        for piece in self.pieces:
            if _not_above(piece.lo, point) and _not_above(point, piece.hi):
                values.append(piece.expression.subs(z, point))
        value = sp.Add(*values) / len(values)
        if value.has(sp.zoo, sp.nan, sp.oo, -sp.oo):
            raise argument_error(
                "covariance",
                0,
                f"leaves a field constant at z = {point}, where {self.name} is infinite",
                "give it a variance",
            )
        return value


def _not_above(a: sp.Expr, b: sp.Expr) -> bool:
    return bool(a <= b) or bool((a - b).equals(0))


def _compiled(expression: sp.Expr) -> ArrayFunction | None:
    return None if expression.is_zero else array_function(expression)


def _values(function: ArrayFunction, x: Array) -> Array:
    return function.with_error(x, np.zeros_like(x))[0]


def _errors(function: ArrayFunction, x: Array, known: Array) -> Array:
    return function.with_error(x, known)[1]
