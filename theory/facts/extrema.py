"""Least and greatest value of a smooth expression on an interval, exact where its critical points are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from ..notation import z
from ..real_line import Interval, NotRealError, Undecided, growth, real_range
from .numbers import Incomparable, InOrder

__all__ = ["Extrema", "extrema"]

_HYPERBOLIC = [sp.tanh, sp.coth, sp.sinh, sp.cosh, sp.sech, sp.csch]
_TRIGONOMETRIC = (sp.sin, sp.cos, sp.tan, sp.sec, sp.csc, sp.cot)


@dataclass(frozen=True)
class Extrema:
    """Infimum and supremum over an interval.

    Parameters
    ----------
    inf, sup : sympy.Expr or None
        Exact, possibly infinite; None if only the enclosure is known.
    enclosure : Interval or None
        Contains all values; None if none is known.
    reason : str
        How they were found.
    """

    inf: sp.Expr | None
    sup: sp.Expr | None
    enclosure: Interval | None
    reason: str

    @property
    def nonnegative(self) -> bool:
        """Whether every value is known to be at least 0."""
        return bool(self.inf is not None and self.inf >= 0) or (
            self.enclosure is not None and self.enclosure.nonnegative
        )

    @property
    def nonpositive(self) -> bool:
        """Whether every value is known to be at most 0."""
        return bool(self.sup is not None and self.sup <= 0) or bool(
            self.enclosure is not None and self.enclosure.hi <= 0
        )


@lru_cache(maxsize=512)
def extrema(expr: sp.Expr, lo: sp.Expr = -sp.oo, hi: sp.Expr = sp.oo) -> Extrema:
    """Infimum and supremum of a smooth expression in z on (`lo`, `hi`).

    Parameters
    ----------
    expr : sympy.Expr
        Analytic on the closed interval.
    lo, hi : sympy.Expr
        The interval.

    Returns
    -------
    Extrema

    >>> found = extrema(sp.tanh(z))
    >>> found.inf, found.sup
    (-1, 1)
    """
    try:
        enclosure: Interval | None = real_range(expr, lo, hi)
    except NotRealError:
        enclosure = None
    ends = [_end(expr, lo, hi, at) for at in (lo, hi)]
    inside = _critical_points(expr, lo, hi)
    if inside is not None and None not in ends:
        values = [*ends, *(expr.subs(z, point) for point in inside)]
        at = f"critical points {', '.join(map(str, inside))}" if inside else "no critical point"
        try:
            least, greatest = min(values, key=InOrder), max(values, key=InOrder)
        except Incomparable as pair:
            return Extrema(None, None, enclosure, f"the values {pair} were not compared")
        return Extrema(least, greatest, enclosure, f"its values at the ends; {at}")
    # an end of the enclosure that is a value or a limit is attained
    places = (sp.S.Zero, sp.pi / 2, -sp.pi / 2, sp.pi) if expr.has(*_TRIGONOMETRIC) else (sp.S.Zero,)
    witnesses = [v for v in ends if v is not None]
    witnesses += [expr.subs(z, place) for place in places if bool(lo < place) and bool(place < hi)]
    exact = [None, None]
    if enclosure is not None:
        for i, bound in enumerate((enclosure.lo, enclosure.hi)):
            if any(w == bound or (w - bound).is_zero for w in witnesses):
                exact[i] = bound
    return Extrema(exact[0], exact[1], enclosure, "an enclosure of its values, whose ends are values or limits")


def _end(expr: sp.Expr, lo: sp.Expr, hi: sp.Expr, at: sp.Expr) -> sp.Expr | None:
    """Value or limit at an end of the interval; None if it is not known."""
    if not at.is_infinite:
        value = expr.subs(z, at)
        return value if value.is_finite else None
    try:
        rate = growth(expr, 1 if at.is_extended_positive else -1, lo, hi)
    except (Undecided, NotRealError):
        return None
    if rate.grows or (not rate.exponents and bool(rate.power > 0)):
        return sp.sign(rate.least) * sp.oo if rate.exact else None
    if rate.decays or bool(rate.power < 0):
        return sp.S.Zero
    return rate.least if not rate.exponents and (rate.least - rate.greatest).is_zero else None


def _critical_points(expr: sp.Expr, lo: sp.Expr, hi: sp.Expr) -> list[sp.Expr] | None:
    """All zeros of the derivative within the interval; None if they have no exact form here."""
    slope = sp.diff(expr, z)
    if slope.is_zero:
        return []
    if slope.has(*_TRIGONOMETRIC):
        return None
    numerator = sp.fraction(sp.together(slope.rewrite(_HYPERBOLIC, sp.exp)))[0]
    found: list[sp.Expr] = []
    for factor in sp.Mul.make_args(sp.factor(numerator)):
        base = factor.as_base_exp()[0]
        if not base.has(z) or isinstance(factor, sp.exp):
            continue
        roots = _real_zeros(base, lo, hi)
        if roots is None:
            return None
        found += roots
    return list(dict.fromkeys(r for r in found if bool(r > lo) and bool(r < hi)))


def _real_zeros(expr: sp.Expr, lo: sp.Expr, hi: sp.Expr) -> list[sp.Expr] | None:
    if expr.is_polynomial(z):
        return _polynomial_zeros(sp.Poly(expr, z))
    exponentials = [e for e in expr.atoms(sp.exp) if e.has(z)]
    slopes = [sp.expand(e.args[0]).coeff(z, 1) for e in exponentials]
    if exponentials and all(s.is_Rational and not s.is_zero for s in slopes):
        unit = sp.Rational(sp.gcd([s.p for s in slopes]), sp.lcm([s.q for s in slopes]))
        symbol = sp.Dummy("E", positive=True)
        replaced = {
            e: symbol ** (s / unit) * sp.exp(sp.expand(e.args[0] - s * z))
            for e, s in zip(exponentials, slopes, strict=True)
        }
        body = expr.xreplace(replaced)
        if not body.has(z):
            roots = _polynomial_zeros(sp.Poly(sp.fraction(sp.together(body))[0], symbol))
            if roots is not None:
                return [sp.log(r) / unit for r in roots if bool(r > 0)]
    try:
        values = real_range(expr, lo, hi)
    except NotRealError:
        return None
    return [] if values.positive or values.negative else None


def _polynomial_zeros(poly: sp.Poly) -> list[sp.Expr] | None:
    found = sp.roots(poly, cubics=False, quartics=False)
    if sum(found.values()) == poly.degree() and all(r.is_real is not None for r in found):
        return [r for r in found if r.is_real]
    rational = poly.domain.is_QQ or poly.domain.is_ZZ
    return list(dict.fromkeys(poly.real_roots())) if rational else None
