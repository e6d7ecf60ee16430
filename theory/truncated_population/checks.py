"""Checkers of this chapter's steps: rules on laws by point masses, rates along the flow, and plain calculus."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from ..checks import refute
from ..derivation import CheckResult
from ..pieces import Piece, smooth_pieces
from ..systems import Passed, instantiate

__all__ = [
    "AlongFlow",
    "AtEverySample",
    "AtStart",
    "ByCalculus",
    "ByPieces",
    "DerivativeByPieces",
    "ForPointMass",
    "FromInfinity",
    "Linearised",
    "Mean",
    "OfBridge",
    "Rate",
    "SquareOfIntegral",
    "Symmetrised",
    "bridge",
    "law",
]

law = sp.Function("F", real=True)
"""The distribution function, whatever it is."""
bridge = sp.Function("B", real=True)
"""The limit of sqrt(N) (F_N - F)."""
_above = sp.Function("S", real=True)  # 1 - F


class Mean(sp.Function):  # type: ignore[misc]
    """``Mean(g)``: the expectation of g over the coordinate x, or over samples."""

    nargs = 1

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        text = rf"\mathrm{{E}}\left[{printer._print(self.args[0])}\right]"
        return text if exp is None else rf"{text}^{{{exp}}}"


class Rate(sp.Function):  # type: ignore[misc]
    """``Rate(g)``: the time derivative of g along the flow."""

    nargs = 1

    def _latex(self, printer: Any) -> str:
        return rf"\frac{{d}}{{ds}}\left({printer._print(self.args[0])}\right)"


def _left(value: sp.Expr) -> sp.Expr:
    """0 if a difference vanishes: its numerator, simplified where it is no rational function of what it is made of."""
    value = sp.expand(value)
    value = sp.expand(sp.numer(sp.together(value))) if value != 0 else value
    elementary = value.has(sp.exp, sp.erf, sp.erfc, sp.tanh)
    return sp.simplify(value) if elementary else value


def _termwise(value: sp.Expr) -> sp.Expr:
    """Integrals of polynomials in y and 1 - F(y) as sums over their terms, factors free of y outside."""
    split = {}
    for integral in value.atoms(sp.Integral):
        y, *_ = integral.limits[0]
        body = integral.function.xreplace({law(y): 1 - _above(y)})
        if len(integral.limits) == 1 and body.is_polynomial(y, _above(y)):
            terms = (term.as_independent(y, as_Add=False) for term in sp.Add.make_args(sp.expand(body)))
            split[integral] = sp.Add(*(c * sp.Integral(rest, integral.limits[0]) for c, rest in terms))
    return value.xreplace(split)


@dataclass(frozen=True)
class ByCalculus:
    """Equal after abbreviations are written out and integrals taken term by term.

    Parameters
    ----------
    words : str
        What was done.
    values : mapping
        What stands for what.
    """

    words: str
    values: Mapping[sp.Expr, sp.Expr] = field(default_factory=dict)

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Simplify the difference."""
        difference = _termwise((lhs - rhs).xreplace(dict(self.values)))
        if (left := _left(difference)) != 0:
            raise refute(lhs, rhs, left, "after both sides are written out")
        return CheckResult("symbolic", "derived", self.words)


@dataclass(frozen=True)
class ForPointMass:
    """A rule that is linear in the law of x, for x = u with certainty: laws are mixtures of such.

    Parameters
    ----------
    sample, level : sympy.Symbol
        x, and the level that it is truncated at.
    """

    sample: sp.Symbol
    level: sp.Symbol

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Try x in front of the level and behind it."""
        gap = sp.Symbol("gap", positive=True)
        for u in (self.level + gap, self.level - gap):
            left = lhs.replace(Mean, lambda g: g).subs(self.sample, u)
            integrals = {i: self._integral(i.function, i.limits[0], u) for i in rhs.atoms(sp.Integral)}
            difference = sp.expand(left - rhs.xreplace(integrals))
            if difference != 0:
                raise refute(lhs, rhs, difference, f"for x = {u} with certainty")
        return CheckResult("symbolic", "derived", "for x = u with certainty, u in front of the level and behind it")

    def _integral(self, integrand: sp.Expr, limits: sp.Tuple, u: sp.Expr) -> sp.Expr:
        """The integral up to u, behind which F = 1 and the integrand must vanish."""
        y, low, _ = limits
        below, behind = (sp.expand(integrand.subs(law(y), sp.Integer(value))) for value in (0, 1))
        if behind != 0:
            raise refute(integrand, sp.S.Zero, behind, "where F = 1: the integral diverges")
        return sp.integrate(below, (y, low, u)) if (u - low).is_positive else sp.S.Zero


@dataclass(frozen=True)
class AtEverySample:
    """Equal for samples of one, two and three, every pattern of truncation.

    Parameters
    ----------
    size : sympy.Symbol
        Their number N.
    values : mapping
        What stands for what.
    """

    size: sp.Symbol
    values: Mapping[sp.Expr, sp.Expr]

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Write the sums out."""
        for count in (1, 2, 3):
            written = instantiate((lhs - rhs).xreplace(dict(self.values)), {self.size: count})
            flags = sorted(written.atoms(Passed), key=str)
            for pattern in itertools.product((sp.S.Zero, sp.S.One), repeat=len(flags)):
                difference = sp.expand(written.xreplace(dict(zip(flags, pattern, strict=True))))
                if difference != 0:
                    raise refute(lhs, rhs, difference, f"for {count} samples")
        return CheckResult("symbolic", "derived", "samples of one, two and three, every pattern of truncation")


@dataclass(frozen=True)
class OfBridge:
    """N Cov(F_N(x), F_N(y)) by enumeration of independent samples, which lie below both points, between, or above.

    Parameters
    ----------
    first, second : sympy.Symbol
        The points x and y.
    """

    first: sp.Symbol
    second: sp.Symbol

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Enumerate samples of one and two, for x < y and y < x; larger ones are sums of independent ones."""
        below, between = sp.symbols("p q", positive=True)
        cells = ((below, 1, 1), (between, 0, 1), (1 - below - between, 0, 0))
        for low, high in ((self.first, self.second), (self.second, self.first)):
            claim = rhs.xreplace({sp.Min(self.first, self.second): low})
            claim = claim.xreplace({law(low): below, law(high): below + between})
            for count in (1, 2):
                means = [sp.S.Zero] * 3
                for drawn in itertools.product(cells, repeat=count):
                    shares = [sp.Rational(sum(cell[k] for cell in drawn), count) for k in (1, 2)]
                    for k, value in enumerate((*shares, shares[0] * shares[1])):
                        means[k] += sp.Mul(*(cell[0] for cell in drawn)) * value
                difference = sp.expand(count * (means[2] - means[0] * means[1]) - claim)
                if difference != 0:
                    raise refute(lhs, rhs, difference, f"for {low} < {high} and N = {count}")
        return CheckResult("symbolic", "derived", "samples of one and two enumerated, x < y and y < x")


@dataclass(frozen=True)
class Linearised:
    """The derivative of a velocity by a small parameter, at 0, for every differentiable F.

    Parameters
    ----------
    small : sympy.Symbol
        The parameter.
    values : mapping
        What abbreviations stand for.
    """

    small: sp.Symbol
    values: Mapping[sp.Expr, sp.Expr]

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Differentiate; the left-hand side holds the derivative."""
        left = lhs.doit().subs(self.small, 0).doit()
        difference = left - rhs.xreplace(dict(self.values))
        if (left := _left(difference)) != 0:
            raise refute(lhs, rhs, left, f"at {self.small} = 0")
        return CheckResult("symbolic", "derived", f"derivative by {self.small} at 0, for every differentiable F")


@dataclass(frozen=True)
class AlongFlow:
    """``Rate(g)`` by the chain rule and the equations, for every differentiable F.

    Parameters
    ----------
    rates : mapping of sympy.Symbol to sympy.Expr
        Time derivatives.
    values : mapping
        What abbreviations stand for, in terms of F(theta) and its derivative.
    known : mapping
        Integrals that have names.
    """

    rates: Mapping[sp.Symbol, sp.Expr]
    values: Mapping[sp.Expr, sp.Expr]
    known: Mapping[sp.Expr, sp.Expr] = field(default_factory=dict)

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Differentiate."""
        rates = {y: rate.xreplace(dict(self.values)) for y, rate in self.rates.items()}
        left = lhs.replace(Rate, lambda g: sp.Add(*(sp.diff(g, y) * rate for y, rate in rates.items() if g.has(y))))
        named = {integral: value.xreplace(dict(self.values)) for integral, value in self.known.items()}
        difference = _termwise(left - rhs.xreplace(dict(self.values))).xreplace(
            {_termwise(i): value for i, value in named.items()}
        )
        if (left := _left(difference)) != 0:
            raise refute(lhs, rhs, left, "along the flow")
        return CheckResult("symbolic", "derived", "chain rule, for every differentiable F")


@dataclass(frozen=True)
class SquareOfIntegral:
    """E[(int c B)^2] = int int c c E[B B], for sums over three points in place of integrals: both sides are linear."""

    covariance: sp.Expr
    first: sp.Symbol
    second: sp.Symbol

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Write the sums out, with a weight for each point."""
        points, weights = sp.symbols("x_1:4", real=True), sp.symbols("w_1:4", positive=True)

        def total(integral: sp.Integral) -> sp.Expr:
            value = integral.function
            for variable, *_ in integral.limits:
                value = sp.Add(*(w * value.xreplace({variable: x}) for w, x in zip(weights, points, strict=True)))
            return value

        sides = []
        for side in (lhs.args[0], rhs):
            sums = {integral: total(integral) for integral in side.atoms(sp.Integral)}
            sides.append(sp.expand(side.xreplace(sums)))
        pairs = {}
        for x, y in itertools.combinations_with_replacement(points, 2):
            covariance = self.covariance.xreplace({self.first: x, self.second: y})
            pairs[bridge(x) * bridge(y)] = covariance.xreplace({sp.Min(x, x): x}) if x == y else covariance
        left = sp.Add(
            *(
                sp.Mul(term.as_independent(bridge)[0], pairs[term.as_independent(bridge)[1]])
                for term in sp.Add.make_args(sides[0])
            )
        )
        if sp.expand(left - sides[1]) != 0:
            raise refute(lhs, rhs, sp.expand(left - sides[1]), "for sums over three points")
        return CheckResult("symbolic", "derived", "sums over three points in place of the integrals, symbolic")


@dataclass(frozen=True)
class Symmetrised:
    """A double integral over a square as twice that over its half: equal derivatives, and both are 0 at the start.

    Parameters
    ----------
    start, end : sympy.Symbol
        The square is [start, end]^2.
    rising : sympy.Symbol
        1 for start < end, 0 for end < start; both are tried.
    """

    start: sp.Symbol
    end: sp.Symbol
    rising: sp.Symbol

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Differentiate by the end; which of end and a point before it is smaller is known."""
        (factor, square), (other, half) = (side.as_independent(sp.Integral, as_Add=False) for side in (lhs, rhs))
        ratio = sp.simplify(other / factor)
        if not ratio.is_number:
            raise refute(lhs, rhs, ratio, "in front of the integrals")
        y = sp.Symbol("y", real=True)
        for flag in (sp.S.One, sp.S.Zero):
            smaller = y if flag else self.end
            slope = sp.diff(square, self.end) - ratio * sp.diff(half, self.end)
            slope = slope.xreplace({self.rising: flag})
            bodies = {}
            for integral in slope.atoms(sp.Integral):
                body = integral.function.xreplace({integral.limits[0][0]: y})
                bodies[integral] = body.xreplace({sp.Min(y, self.end): smaller})
            if (left := _left(slope.xreplace(bodies))) != 0:
                words = f"after differentiation, for a threshold that {'rises' if flag else 'falls'}"
                raise refute(lhs, rhs, left, words)
        for integral in (square, half):
            if any(limit[1] != self.start for limit in integral.limits):
                raise refute(lhs, rhs, integral, "where the square is a point")
        return CheckResult("symbolic", "derived", "derivatives by the end agree, rising and falling; both start at 0")


@dataclass(frozen=True)
class ByPieces:
    """Equal between any two kinks of either side.

    Parameters
    ----------
    pieces : tuple of Piece
        The left-hand side.
    """

    pieces: tuple[Piece, ...]

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare where pieces of both sides overlap."""
        for mine, other in itertools.product(self.pieces, smooth_pieces(rhs)):
            if sp.Max(mine.lo, other.lo) < sp.Min(mine.hi, other.hi):
                difference = (mine.expression - other.expression).rewrite(sp.erf).rewrite(sp.exp)
                if (left := _left(difference)) != 0:
                    raise refute(lhs, rhs, left, f"between {mine.lo} and {mine.hi}")
        return CheckResult("symbolic", "derived", "piece by piece")


@dataclass(frozen=True)
class DerivativeByPieces:
    """A derivative, given piece by piece.

    Parameters
    ----------
    pieces : tuple of Piece
        What is differentiated.
    variable : sympy.Symbol
        By what.
    """

    pieces: tuple[Piece, ...]
    variable: sp.Symbol

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Differentiate each piece."""
        rows = next(zip(*rhs.args, strict=True)) if isinstance(rhs, sp.Piecewise) else (rhs,)
        if len(rows) != len(self.pieces):
            raise refute(lhs, rhs, sp.Integer(len(rows) - len(self.pieces)), "in the number of pieces")
        for piece, value in zip(self.pieces, rows, strict=True):
            if (left := _left(sp.diff(piece.expression, self.variable) - value)) != 0:
                raise refute(lhs, rhs, left, f"between {piece.lo} and {piece.hi}")
        return CheckResult("symbolic", "derived", "piece by piece")


@dataclass(frozen=True)
class AtStart:
    """A solution: its derivative is the velocity, and it starts where it should.

    Parameters
    ----------
    time : sympy.Symbol
        s.
    solution, start : sympy.Expr
        The solution, and its value at 0.
    """

    time: sp.Symbol
    solution: sp.Expr
    start: sp.Expr

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Differentiate, and put in s = 0."""
        (decay,) = self.solution.atoms(sp.exp)
        power = sp.Dummy("power", positive=True)
        difference = (lhs.doit() - rhs).replace(sp.exp, lambda u: power ** sp.cancel(u / decay.args[0]))
        if sp.cancel(sp.together(difference)) != 0:
            raise refute(lhs, rhs, difference, "on substitution into the equation")
        begin = self.solution.subs(self.time, 0) - self.start
        if (left := _left(begin)) != 0:
            raise refute(lhs, rhs, left, "at s = 0")
        return CheckResult("substitution", "derived", "solves the equation identically, and starts where it should")


@dataclass(frozen=True)
class FromInfinity:
    """Equal derivatives by the level, and a difference that tends to 0 as the level tends to infinity.

    Parameters
    ----------
    level : sympy.Symbol
        The level, from which integrals run to infinity.
    values : mapping
        F at the level as a formula.
    standard : sympy.Expr
        The level in terms of a symbol w that tends to infinity with it, in which the limit is taken.
    known : mapping
        Integrals that have a closed form already.
    """

    level: sp.Symbol
    values: Mapping[sp.Expr, sp.Expr]
    standard: sp.Expr
    known: Mapping[sp.Expr, sp.Expr] = field(default_factory=dict)

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Differentiate; integrals from the level on are 0 at infinity."""
        known = {_termwise(integral): value for integral, value in self.known.items()}
        slope = (
            _termwise(sp.diff(lhs - rhs, self.level))
            .xreplace(known)
            .xreplace({_above(self.level): 1 - law(self.level)})
        )
        slope = slope.xreplace(dict(self.values)).rewrite(sp.erf)
        if (left := _left(slope)) != 0:
            raise refute(lhs, rhs, left, f"after differentiation by {self.level}")
        outside = lhs.xreplace(dict.fromkeys(lhs.atoms(sp.Integral), sp.S.Zero))
        (w,) = self.standard.free_symbols
        rest = sp.limit(sp.expand(sp.simplify((rhs - outside).subs(self.level, self.standard))), w, sp.oo)
        if rest != 0:
            raise refute(lhs, rhs, rest, f"as {self.level} tends to infinity")
        return CheckResult("symbolic", "derived", f"derivatives by {self.level} agree, and so do limits at infinity")
