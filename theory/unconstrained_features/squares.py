"""Inequalities as identities: one side equals a bound plus, or minus, a sum of squares."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from ..checks import refute
from ..derivation import Checker, CheckResult
from ..systems import IndexSum
from .words import Trace

__all__ = ["BySquares", "is_sum_of_squares"]


@dataclass(frozen=True)
class BySquares:
    """The two sides are equal, and differ from a bound by a sum of squares.

    Parameters
    ----------
    identity : Checker
        Decides whether the sides are equal.
    bound : sympy.Expr
        What the left-hand side is compared with.
    below : bool
        Whether the left-hand side is at most the bound; else it is at least the bound.
    positive : tuple of sympy.Expr
        Factors that are known not to be negative.
    """

    identity: Checker
    bound: sp.Expr
    below: bool = False
    positive: tuple[sp.Expr, ...] = ()

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Check the identity, then look at the form of what is left."""
        result = self.identity(lhs, rhs)
        rest = sp.expand_mul(self.bound - rhs if self.below else rhs - self.bound, deep=False)
        if not is_sum_of_squares(rest, self.positive):
            raise refute(lhs, self.bound, rest, "up to squares: the rest is no sum of squares,")
        relation = "at most" if self.below else "at least"
        detail = (
            f"{result.detail}; what differs from the bound is a sum of squares, so the left-hand side is {relation} it"
        )
        return CheckResult(result.kind, result.standing, detail)


def is_sum_of_squares(value: sp.Expr, positive: tuple[sp.Expr, ...] = ()) -> bool:
    """Whether a form shows that it is not negative: symbols are real, and ``X^T`` is the transpose of X.

    >>> x, y = sp.symbols("x y", real=True)
    >>> is_sum_of_squares(3 * x**2 + y**4), is_sum_of_squares(x**2 - y**2), is_sum_of_squares(x * y)
    (True, False, False)
    """
    if value in positive or value.is_nonnegative:
        return True
    if isinstance(value, sp.Add | sp.Mul):
        return all(is_sum_of_squares(x, positive) for x in value.args)
    if isinstance(value, IndexSum):
        return is_sum_of_squares(value.body, positive)
    if isinstance(value, Trace):
        return _is_gram(value.args[0])
    return isinstance(value, sp.Pow) and (value.exp.is_even is True or is_sum_of_squares(value.base, positive))


def _is_gram(word: sp.Expr) -> bool:
    """Whether a product reads X^T X."""
    number, factors = word.args_cnc()
    names = [f.as_base_exp()[0].name for f in factors for _ in range(int(f.as_base_exp()[1]))]
    half = len(names) // 2
    flipped = [n.removesuffix("^T") if n.endswith("^T") else f"{n}^T" for n in reversed(names[half:])]
    return bool(names[:half] == flipped and sp.Mul(*number).is_nonnegative)
