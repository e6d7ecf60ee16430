"""The Gaussian field m + s x at which an activation is expanded, with exact mean and deviation."""

from dataclasses import dataclass
from typing import Any

import sympy as sp

from ...theory.balls import ball_program, evaluate
from ...theory.errors import AccuracyError, AssumptionError, argument_error

__all__ = ["Law", "NotEnclosed", "law"]

#: Bits for bounds, where a few digits are enough, and for the floats that choose parameters.
BOUND_BITS = 64


class NotEnclosed(Exception):
    """One method has no enclosure to offer; the message says why."""


@dataclass(frozen=True)
class Law:
    """The field m + s x, x standard normal.

    Attributes
    ----------
    mean, std
        m and s >= 0, exact numbers.
    """

    mean: sp.Expr
    std: sp.Expr

    def balls(self) -> tuple[Any, Any]:
        """Enclose m and s at the current precision.

        Returns
        -------
        tuple of flint.arb
        """
        return ball_program(self.mean, ()).real()(), ball_program(self.std, ()).real()()


def law(mean: object, std: object) -> Law:
    """Check a mean and a standard deviation.

    Parameters
    ----------
    mean, std
        Exact real numbers: integers, fractions or SymPy numbers; std >= 0.

    Returns
    -------
    Law

    Raises
    ------
    AssumptionError
        If a number is a float, complex, infinite or symbolic, or std is negative.
    """
    m, s = _exact("mean", mean), _exact("std", std)
    if not s.is_zero and s.is_positive is not True:
        value = evaluate(s, {}, 100)
        if not value > 0:
            what = "is negative" if value < 0 else "is not shown to be zero or positive"
            raise argument_error("std", std, what, "use a standard deviation that is positive, or exactly 0")
    return Law(m, s)


def _exact(name: str, value: object) -> sp.Expr:
    cure = "use an integer, a fraction or an exact SymPy number such as sympy.Rational('0.7') or sympy.sqrt(2)"
    try:
        expr = sp.sympify(value, strict=True)
    except sp.SympifyError:
        raise argument_error(name, value, "is not a number", cure) from None
    if not isinstance(expr, sp.Expr) or expr.has(sp.Float):
        raise argument_error(name, value, "is not exact", cure)
    if not expr.is_Rational:
        if expr.free_symbols or expr.has(sp.I, sp.nan, sp.zoo, sp.oo, -sp.oo):
            raise argument_error(name, value, "is not a finite real number", cure)
        try:
            evaluate(expr, {}, 30)
        except (AccuracyError, AssumptionError) as error:
            raise argument_error(name, value, f"has no enclosure ({error})", cure) from None
    return expr
