"""Closed forms of E[f(x) g(y)] for two correlated Gaussians, by what f and g are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import sympy as sp

from ..formula import hermite_he
from ..notation import z
from ..pieces import Piece
from ..real_line import NotRealError, real_range
from .expectation import GaussianExpectation
from .mehler import mehler
from .terms import NoClosedForm, expectation_of_sum, piecewise_expectation

__all__ = ["RHO", "PiecewiseFunction", "pair_expectation", "quadrant_moment", "tidy"]

RHO = sp.Symbol("rho", real=True)
"""The correlation."""

_x, _y = sp.symbols("x y", real=True)
_LARGEST = 120  # operations of a closed form that is worth simplifying


@lru_cache(maxsize=512)
def quadrant_moment(i: int, j: int) -> sp.Expr:
    """E[x^i y^j 1(x > 0) 1(y > 0)] for standard Gaussians of correlation rho.

    Stein's lemma for a factor x, with the boundary terms of both steps:
    J_ij = (i-1) J_(i-2)j + rho j J_(i-1)(j-1), plus phi(0) E[y^j 1(y > 0) | x = 0] if i = 1, plus
    rho phi(0) E[x^(i-1) 1(x > 0) | y = 0] if j = 0.

    Parameters
    ----------
    i, j : int
        Powers >= 0.

    Returns
    -------
    sympy.Expr
        In the symbol ``rho``: a polynomial times asin(rho), plus one times sqrt(1 - rho^2), plus one. With i = j = n it
        is the arc-cosine kernel of order n, J_n(theta)/(2 pi) of Cho and Saul 2009 at rho = cos(theta).

    >>> quadrant_moment(0, 0)
    asin(rho)/(2*pi) + 1/4
    """
    if i < j:
        return quadrant_moment(j, i)
    if i == 0:
        return sp.Rational(1, 4) + sp.asin(RHO) / (2 * sp.pi)
    total: sp.Expr = sp.S.Zero
    if i > 1:
        total += (i - 1) * quadrant_moment(i - 2, j)
    if j:
        total += RHO * j * quadrant_moment(i - 1, j - 1)
    density, spread = 1 / sp.sqrt(2 * sp.pi), sp.sqrt(1 - RHO**2)
    if i == 1:
        total += density * spread**j * _half_moment(j)
    if j == 0:
        total += RHO * density * spread ** (i - 1) * _half_moment(i - 1)
    return sp.expand(total)


def _half_moment(n: int) -> sp.Expr:
    """E[u^n 1(u > 0)] for a standard Gaussian u."""
    return sp.sqrt(2) ** n * sp.gamma(sp.Rational(n + 1, 2)) / (2 * sp.sqrt(sp.pi))


@dataclass(frozen=True)
class PiecewiseFunction:
    """A function of z in smooth pieces, plus point masses."""

    pieces: tuple[Piece, ...]
    masses: tuple[tuple[sp.Expr, sp.Expr], ...] = ()  # (where, weight)

    @property
    def smooth(self) -> bool:
        """Whether it is one formula on the whole line."""
        return len(self.pieces) == 1

    @property
    def expression(self) -> sp.Expr:
        """The formula, without the point masses."""
        if self.smooth:
            return self.pieces[0].expression
        last = self.pieces[-1].expression
        return sp.Piecewise(*((p.expression, z < p.hi) for p in self.pieces[:-1]), (last, True))

    @property
    def degree(self) -> int | None:
        """Of a polynomial on the whole line."""
        value = self.pieces[0].expression
        return max(0, int(sp.Poly(value, z).degree())) if self.smooth and value.is_polynomial(z) else None

    @property
    def on_half_lines(self) -> bool:
        """Whether it is a polynomial on each side of 0."""
        return all(p.expression.is_polynomial(z) for p in self.pieces) and all(p.lo.is_zero for p in self.pieces[1:])

    def derivative(self) -> PiecewiseFunction:
        """The derivative; jumps become point masses."""
        pieces = tuple(Piece(p.lo, p.hi, sp.diff(p.expression, z)) for p in self.pieces)
        masses = []
        for left, right in pairwise(self.pieces):
            jump = sp.expand(right.expression.subs(z, right.lo) - left.expression.subs(z, right.lo))
            if not jump.is_finite:
                raise NoClosedForm
            if not jump.is_zero:
                masses.append((right.lo, jump))
        if all(p.expression == pieces[0].expression for p in pieces):
            pieces = (Piece(pieces[0].lo, pieces[-1].hi, pieces[0].expression),)
        return PiecewiseFunction(pieces, tuple(masses))

    def times(self, factor: sp.Expr) -> PiecewiseFunction:
        """The product with a smooth function."""
        return PiecewiseFunction(tuple(Piece(p.lo, p.hi, p.expression * factor) for p in self.pieces))

    def mean(self, centre: sp.Expr, spread: sp.Expr) -> sp.Expr:
        """E[f(centre + spread * u)] in closed form, without the point masses; raises NoClosedForm."""
        if all(p.expression.is_zero for p in self.pieces):
            return sp.S.Zero
        if not self.smooth:
            return piecewise_expectation(self.pieces, centre, spread)
        law = (sp.ImmutableMatrix([[spread**2]]), sp.ImmutableMatrix([[centre]]))
        value = expectation_of_sum(self.pieces[0].expression, (z,), *law)
        if value.has(GaussianExpectation):
            raise NoClosedForm
        return value

    def coefficient(self, n: int, std: sp.Expr) -> sp.Expr:
        """E[f(std * x) He_n(x)], unevaluated where no closed form is known."""
        try:
            return self.times(hermite_he(n, z / std)).mean(sp.S.Zero, std)
        except NoClosedForm:
            body = self.expression.subs(z, std * _x) * hermite_he(n, _x)
            return GaussianExpectation(body, (_x,), sp.Matrix([[1]]))


def pair_expectation(
    f: PiecewiseFunction, g: PiecewiseFunction, c11: sp.Expr, c12: sp.Expr, c22: sp.Expr
) -> tuple[sp.Expr, str]:
    """E[f(x) g(y)] for centred Gaussians with this covariance, and the route; raises NoClosedForm."""
    s1, s2 = sp.sqrt(c11), sp.sqrt(c22)
    correlation = c12 / (s1 * s2)
    degrees = [d for d in (f.degree, g.degree) if d is not None]
    if degrees:
        first, second = ([h.coefficient(n, s) for n in range(min(degrees) + 1)] for h, s in ((f, s1), (g, s2)))
        return mehler(first, second, correlation), f"Mehler's sum ends at order {min(degrees)}"
    if f.on_half_lines and g.on_half_lines:
        return _quadrants(f, g, s1, s2, correlation), "quadrant moments by Stein's lemma with boundary terms"
    if f.smooth and g.smooth:
        body = f.expression.subs(z, _x) * g.expression.subs(z, _y)
        law = (sp.ImmutableMatrix([[c11, c12], [c12, c22]]), sp.ImmutableMatrix([0, 0]))
        value, reason = expectation_of_sum(body, (_x, _y), *law), "tilting, Stein's lemma and Price's theorem"
    elif g.smooth:
        # x given y is Gaussian with mean c12/c22 y; the spread is held by a symbol of its own, positive
        spread = sp.Dummy("q", positive=True)
        inner = piecewise_expectation(f.pieces, c12 / c22 * _y, spread)
        law = (sp.ImmutableMatrix([[c22]]), sp.ImmutableMatrix([0]))
        value = expectation_of_sum(inner * g.expression.subs(z, _y), (_y,), *law)
        value, reason = (
            value.subs(spread, sp.sqrt(c11 - c12**2 / c22)),
            "E[f(x) | y] in closed form, then tilting and Price",
        )
    elif f.smooth:
        return pair_expectation(g, f, c22, c12, c11)
    else:
        raise NoClosedForm
    if value.has(GaussianExpectation):
        raise NoClosedForm
    return value, reason


def _quadrants(f: PiecewiseFunction, g: PiecewiseFunction, s1: sp.Expr, s2: sp.Expr, correlation: sp.Expr) -> sp.Expr:
    total: sp.Expr = sp.S.Zero
    for side, left in ((-1, f.pieces[0]), (1, f.pieces[-1])):
        for other, right in ((-1, g.pieces[0]), (1, g.pieces[-1])):
            # reflected to the quadrant x, y > 0, where the correlation has the sign side * other
            first = sp.Poly(left.expression.subs(z, side * s1 * z), z).terms()
            second = sp.Poly(right.expression.subs(z, other * s2 * z), z).terms()
            for (i,), a in first:
                for (j,), b in second:
                    total += a * b * quadrant_moment(i, j).subs(RHO, side * other * correlation)
    return sp.expand(total)


def tidy(value: sp.Expr) -> sp.Expr:
    """Roots of quotients as quotients of roots, where the denominator is positive for |rho| < 1; then collect."""

    def split(base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        numerator, denominator = sp.fraction(sp.cancel(sp.together(base)))
        if denominator.subs(RHO, 0).is_negative:
            numerator, denominator = -numerator, -denominator
        try:
            positive = real_range(sp.expand(denominator.subs(RHO, z)), -sp.S.One, sp.S.One).nonnegative
        except NotRealError:
            positive = False
        content, numerator = numerator.primitive()
        return (
            (content * numerator) ** exponent
            if not positive
            else sp.sqrt(content) ** (2 * exponent) * numerator**exponent / sp.sqrt(denominator) ** (2 * exponent)
        )

    plain = value.replace(
        lambda e: isinstance(e, sp.Pow) and e.exp.is_Rational and e.exp.q == 2 and e.base.free_symbols == {RHO},
        lambda e: split(e.base, e.exp),
    )
    plain = plain.replace(sp.asin, lambda u: sp.asin(sp.cancel(u)))
    if plain.has(sp.exp, GaussianExpectation) or plain.count_ops() > _LARGEST:
        return plain
    return min((value, plain, sp.expand(sp.simplify(plain))), key=sp.count_ops)
