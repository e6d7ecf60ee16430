"""Which part of an activation is a polynomial: all of it, its even or its odd part, or none; with proofs both ways."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import sympy as sp

from ..notation import z
from ..pieces import Piece
from ..real_line import NotRealError, Rate, Undecided, growth
from ..symmetry import vanishes
from .numbers import InOrder, complex_zero, is_nonzero, real_zero

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["ParitySplit", "parity_split", "why_not_polynomial"]

_LARGEST_DEGREE = 8  # tried where the growth gives no bound on the degree
_POINTS = (sp.Rational(1, 3), sp.Rational(-5, 7), sp.Rational(11, 13))
_HYPERBOLIC = [sp.tanh, sp.coth, sp.sinh, sp.cosh, sp.sech, sp.csch]


@dataclass(frozen=True)
class ParitySplit:
    """The even and the odd part of sigma, as far as they are polynomials.

    Parameters
    ----------
    even, odd : sympy.Expr or None
        The part, if it is a polynomial in z.
    even_reason, odd_reason : str
        Why it is a polynomial, or why it is none; empty if neither is known.
    """

    even: sp.Expr | None
    odd: sp.Expr | None
    even_reason: str
    odd_reason: str

    def part(self, parity: int) -> tuple[sp.Expr | None, str]:
        """The part of that parity (0 even, 1 odd) and its reason."""
        return (self.odd, self.odd_reason) if parity else (self.even, self.even_reason)


@lru_cache(maxsize=256)
def parity_split(activation: Activation) -> ParitySplit:
    """Find out whether sigma(z) + sigma(-z) or sigma(z) - sigma(-z) is a polynomial.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    ParitySplit

    >>> from hermiton.theory.activation import Activation
    >>> parity_split(Activation("sigmoid")).even, parity_split(Activation("softplus")).odd
    (1/2, z/2)
    """
    even, odd = (_part(activation, sign) for sign in (1, -1))
    return ParitySplit(even[0], odd[0], even[1], odd[1])


def _part(activation: Activation, sign: int) -> tuple[sp.Expr | None, str]:
    what = f"sigma(z) {'+' if sign > 0 else '-'} sigma(-z)"
    segments = _mirrored(activation.pieces, sign)
    reason = next((r for r in (why_not_polynomial(s.expression, s.lo, s.hi) for s in segments) if r), "")
    if reason:
        return None, f"{what} is no polynomial: {reason}"
    polynomial = _common_polynomial(segments)
    if polynomial is None:
        if all(s.expression.is_polynomial(z) for s in segments):
            return None, f"{what} is no polynomial: it is different polynomials on different intervals"
        return None, ""
    if sp.expand(polynomial - sign * polynomial.subs(z, -z)).is_zero:
        return polynomial / 2, f"{what} = {polynomial} for every z"
    # segments stand for z > 0 only: an even function may be z there, and is |z| then
    mirrored = sign * polynomial.subs(z, -z)
    return None, f"{what} is no polynomial: it is {polynomial} for z > 0 and {mirrored} for z < 0"


def _mirrored(pieces: tuple[Piece, ...], sign: int) -> list[Piece]:
    """sigma(z) + sign * sigma(-z) on z > 0, cut at every |kink|."""
    cuts: list[sp.Expr] = []
    for kink in (abs(p.lo) for p in pieces[1:]):
        if not kink.is_zero and not any(real_zero(kink - cut) is True for cut in cuts):
            cuts.append(kink)
    ends = [sp.S.Zero if len(pieces) > 1 else -sp.oo, *sorted(cuts, key=InOrder), sp.oo]
    segments = []
    for lo, hi in pairwise(ends):
        right = next(p for p in pieces if bool(p.hi >= hi))
        left = next(p for p in reversed(pieces) if bool(p.lo <= -hi))
        segments.append(Piece(lo, hi, right.expression + sign * left.expression.subs(z, -z)))
    return segments


def _common_polynomial(segments: list[Piece]) -> sp.Expr | None:
    """The polynomial that all segments are equal to."""
    first = segments[0]
    polynomial = _as_polynomial(first.expression, first.lo, segments[-1])
    if polynomial is None or not all(vanishes(s.expression - polynomial) for s in segments):
        return None
    return polynomial


def _as_polynomial(expr: sp.Expr, lo: sp.Expr, last: Piece) -> sp.Expr | None:
    """The only polynomial that `expr` can be: its Taylor polynomial, of the degree that the growth allows."""
    plain = sp.expand(expr)
    if plain.is_polynomial(z):
        return plain
    degree = _degree_bound(last.expression, last.lo, last.hi)
    if degree is None:
        return None
    centre = sp.S.Zero if lo.is_infinite or lo.is_zero else lo
    total, derivative = sp.S.Zero, expr
    for order in range(degree + 1):
        coefficient = sp.simplify(derivative.subs(z, centre))
        if not coefficient.is_finite:
            return None
        total += coefficient * (z - centre) ** order / sp.factorial(order)
        derivative = sp.diff(derivative, z)
    return sp.expand(total)


def _rate(expr: sp.Expr, lo: sp.Expr, hi: sp.Expr, direction: int) -> Rate | None:
    try:
        return growth(expr, direction, lo, hi)
    except (Undecided, NotRealError):
        return None


def _degree_bound(expr: sp.Expr, lo: sp.Expr, hi: sp.Expr) -> int | None:
    """Largest degree that a polynomial with the growth of `expr` can have; None if it can't be one."""
    bound = _LARGEST_DEGREE
    for direction, end in ((1, hi), (-1, lo)):
        if not end.is_infinite:
            continue
        rate = _rate(expr, lo, hi, direction)
        if rate is None:
            continue
        if rate.grows:
            if rate.exact:
                return None
            continue
        if not rate.exponents or rate.decays:
            power = 0 if rate.decays or bool(rate.power < 0) else int(sp.floor(rate.power))
            bound = min(bound, power)
    return bound


def why_not_polynomial(expr: sp.Expr, lo: sp.Expr = -sp.oo, hi: sp.Expr = sp.oo) -> str:
    """Prove that an expression is no polynomial on an interval.

    Parameters
    ----------
    expr : sympy.Expr
        Smooth in z on [`lo`, `hi`].
    lo, hi : sympy.Expr
        At least one end is infinite, or nothing is proved.

    Returns
    -------
    str
        The reason; empty if none was found.
    """
    if expr.is_polynomial(z):
        return ""
    for direction, end in ((1, hi), (-1, lo)):
        if not end.is_infinite:
            continue
        rate = _rate(expr, lo, hi, direction)
        where = "+oo" if direction > 0 else "-oo"
        if rate is None:
            continue
        if rate.grows:
            if rate.exact:
                return f"it grows faster than every power at {where}"
            continue
        if rate.exponents and not rate.decays:
            continue
        order = 1 + (0 if rate.decays or bool(rate.power < 0) else max(0, int(sp.floor(rate.power))))
        point = _moved(_POINTS, lo, hi)
        for place in point:
            if is_nonzero(sp.diff(expr, z, order).subs(z, place)):
                bound = "is bounded" if order == 1 else f"grows at most like |z|^{order - 1}"
                return f"it {bound} at {where}, but its derivative of order {order} is not zero at {place}"
    return _why_not_by_exponentials(expr)


def _moved(points: tuple[sp.Rational, ...], lo: sp.Expr, hi: sp.Expr) -> list[sp.Rational]:
    """Rational points within (lo, hi)."""
    if lo.is_infinite and hi.is_infinite:
        return list(points)
    shift = sp.floor(lo) + 1 if hi.is_infinite else sp.ceiling(hi) - 1
    return [shift + abs(p) if hi.is_infinite else shift - abs(p) for p in points]


def _why_not_by_exponentials(expr: sp.Expr) -> str:
    """Functions z^n exp(c z) with different c are linearly independent."""
    body = sp.expand(expr.rewrite([*_HYPERBOLIC, sp.sin, sp.cos], sp.exp), power_exp=False)
    found: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(sp.powsimp(body)):
        rate: sp.Expr = sp.S.Zero
        rest: sp.Expr = sp.S.One
        for factor in sp.Mul.make_args(term):
            if isinstance(factor, sp.exp):
                rate += factor.args[0]
            else:
                rest *= factor
        slope = sp.expand(rate).coeff(z, 1)
        if not rest.is_polynomial(z) or sp.expand(rate - slope * z).has(z):
            return ""
        found[slope] = found.get(slope, sp.S.Zero) + rest * sp.exp(rate - slope * z)
    for slope, coefficient in found.items():
        if slope != 0 and not slope.has(z) and complex_zero(sp.expand(coefficient).subs(z, _POINTS[0])) is False:
            return f"the coefficient of exp(({slope})*z) in it is not zero"
    return ""
