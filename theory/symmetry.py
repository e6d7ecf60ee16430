"""Whether an expression in ``z`` vanishes identically, and whether it is even or odd: proved, never sampled."""

import sympy as sp

from .notation import z

__all__ = ["parity_of", "vanishes"]

_SAMPLES = (sp.Rational(1, 3), sp.Rational(11, 7), sp.Rational(29, 13))


def vanishes(expr: sp.Expr) -> bool:
    """Whether an expression in z is identically zero, as far as SymPy can prove it.

    Parameters
    ----------
    expr : sympy.Expr
        Smooth expression in ``z`` or a number.

    Returns
    -------
    bool
        True is proved symbolically; False means a sample is clearly non-zero, or no proof was found.
    """
    if expr.is_zero:
        return True
    for sample in _SAMPLES:
        value = expr.subs(z, sample).evalf(30)
        if value.is_comparable and value != 0:  # a sum that cancels to the last digit is not comparable, however small
            return False
        if not expr.has(z):
            break
    return bool(sp.simplify(expr.rewrite(sp.exp)).is_zero or sp.simplify(expr).is_zero)


def parity_of(expr: sp.Expr) -> str | None:
    """Parity of a smooth expression in z.

    Parameters
    ----------
    expr : sympy.Expr
        Smooth expression in ``z``.

    Returns
    -------
    str or None
        ``'even'``, ``'odd'``, or None if neither is proved.
    """
    mirrored = expr.subs(z, -z)
    if vanishes(expr - mirrored):
        return "even"
    return "odd" if vanishes(expr + mirrored) else None
