"""Checkers for the steps of a derivation of Hermite coefficients.

None of them knows a closed form: expectations are enclosed by rigorous quadrature at exact points, densities are
compared as functions, and functions in pieces at exact points between the kinks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import sympy as sp

from ..balls import evaluate, gaussian_integral_1d, rational_points, working_digits
from ..derivation import CheckResult
from ..errors import AccuracyError, AssumptionError, DerivationError
from ..notation import z
from .expectation import GaussianExpectation

__all__ = ["AtPoints", "Identity", "OnPieces", "SameDensity"]

_DIGITS = 36
_RADIUS = sp.Rational(1, 10**30)


def _refuse(lhs: sp.Expr, rhs: sp.Expr, where: str, difference: object) -> DerivationError:
    text = str(difference)
    return DerivationError(f"not equal {where}:\n  lhs = {lhs}\n  rhs = {rhs}\n  lhs - rhs = {text[:400]}")


def _require_zero(difference: Any, lhs: sp.Expr, rhs: sp.Expr, where: str) -> None:
    if not difference.contains(0):
        raise _refuse(lhs, rhs, where, difference.str(10))
    if not difference.rad() * 10**30 < 1:
        raise DerivationError(f"the ball of {lhs} - {rhs} has radius {difference.rad()} {where}, not below 1e-30")


@dataclass(frozen=True)
class AtPoints:
    """Both sides enclosed at random exact points; expectations by rigorous quadrature.

    Parameters
    ----------
    symbols : tuple of sympy.Symbol
        m and s, as far as they occur. Points have -1 < m < 1 and 1/5 < s < 6/5.
    count : int
        Number of points.
    """

    symbols: tuple[sp.Symbol, ...]
    count: int = 2

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare at every point."""
        for point in self._points():
            try:
                with working_digits(_DIGITS):
                    difference = _enclose(lhs, point) - _enclose(rhs, point)
            except (AccuracyError, AssumptionError) as error:
                raise DerivationError(f"{lhs} = {rhs} can't be enclosed at {point}: {error}") from error
            _require_zero(difference, lhs, rhs, f"at {point}" if point else "as numbers")
        where = f"at {self.count} random exact points" if self.symbols else "as numbers"
        return CheckResult("ball", "derived", f"the difference encloses 0 with radius below 1e-30 {where}")

    def _points(self) -> Iterator[dict[sp.Symbol, sp.Rational]]:
        if not self.symbols:
            yield {}
            return
        for point in rational_points(self.symbols, self.count, "Hermite coefficients"):
            yield {k: v + sp.Rational(1, 5) if k.is_positive else v for k, v in point.items()}


@dataclass(frozen=True)
class Identity:
    """An equality of formulas without expectations: by expansion, or else at random exact points.

    Parameters
    ----------
    symbols : tuple of sympy.Symbol
        m and s, as far as they occur.
    """

    symbols: tuple[sp.Symbol, ...]

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Differentiate, expand and compare."""
        if not (lhs.has(GaussianExpectation) or rhs.has(GaussianExpectation)) and sp.expand(lhs.doit() - rhs) == 0:
            return CheckResult("symbolic", "derived", "the difference expands to 0")
        return AtPoints(self.symbols, 3)(lhs, rhs)


@dataclass(frozen=True)
class SameDensity:
    """Tilting: exp(-c z^2 + d z) times one normal density is a weight times another, for all z.

    Parameters
    ----------
    exponent : sympy.Expr
        -c z^2 + d z.
    law, tilted : tuple of sympy.Expr
        Mean and variance of z, before and after.
    weight : sympy.Expr
        A product of exponentials and an algebraic factor.
    """

    exponent: sp.Expr
    law: tuple[sp.Expr, sp.Expr]
    tilted: tuple[sp.Expr, sp.Expr]
    weight: sp.Expr

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare logarithms of the densities as polynomials in z, and the squares of the factors."""
        (mean, variance), (new_mean, new_variance) = self.law, self.tilted
        self._require_sides(lhs, rhs)
        factor: sp.Expr = sp.S.One
        logarithm: sp.Expr = sp.S.Zero
        for part in sp.Mul.make_args(self.weight):
            if isinstance(part, sp.exp):
                logarithm += part.args[0]
            else:
                factor *= part
        difference = (
            self.exponent - (z - mean) ** 2 / (2 * variance) - logarithm + (z - new_mean) ** 2 / (2 * new_variance)
        )
        for n in range(3):
            rest = sp.cancel(sp.diff(difference, z, n).subs(z, 0))
            if rest != 0:
                raise _refuse(lhs, rhs, f"in the exponent of the density at order z^{n}", rest)
        ratio = sp.cancel(sp.expand(factor**2) * variance / new_variance)
        if ratio != 1:
            raise _refuse(lhs, rhs, "in the weight of the density, whose square is off by the factor", ratio)
        return CheckResult("symbolic", "derived", "the two densities are the same function of z")

    def _require_sides(self, lhs: sp.Expr, rhs: sp.Expr) -> None:
        """The sides must be the expectations that the densities stand for."""
        (mean, variance), (new_mean, new_variance) = self.law, self.tilted
        if not isinstance(lhs, GaussianExpectation):
            raise DerivationError(f"tilting starts from an expectation, not from {lhs}")
        bare = _without_exponential(lhs.integrand, self.exponent)
        before = GaussianExpectation(lhs.integrand, (z,), sp.Matrix([[variance]]), [mean])
        after = GaussianExpectation(bare, (z,), sp.Matrix([[new_variance]]), [new_mean])
        if lhs != before or rhs != self.weight * after:
            raise _refuse(lhs, rhs, "as expectations under the two laws", f"{lhs} and {self.weight * after}")


@dataclass(frozen=True)
class OnPieces:
    """Two functions of z with the same kinks, compared exactly between them.

    Parameters
    ----------
    kinks : tuple of sympy.Expr
        All points where either side may have a kink, increasing.
    count : int
        Points in each interval.
    """

    kinks: tuple[sp.Expr, ...]
    count: int = 12

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare at rational points of every interval."""
        if not self.kinks and sp.expand(lhs - rhs) == 0:
            return CheckResult("symbolic", "derived", "the difference expands to 0")
        lowest, highest = (self.kinks[0], self.kinks[-1]) if self.kinks else (sp.S.Zero, sp.S.Zero)
        for left, right in pairwise([lowest - 5, *self.kinks, highest + 5]):
            for n in range(1, self.count + 1):
                # a rational point strictly inside, whatever the ends are
                step = (right - left) / (self.count + 1)
                at = sp.Rational(sp.floor((left + n * step) * 10**6), 10**6)
                if not bool(at > left) or not bool(at < right):
                    raise DerivationError(f"the kinks {left} and {right} are too close to be told apart")
                try:
                    with working_digits(_DIGITS):
                        difference = evaluate((lhs - rhs).subs(z, at), {}, _DIGITS)
                except (AccuracyError, AssumptionError) as error:
                    raise DerivationError(f"{lhs} = {rhs} can't be enclosed at z = {at}: {error}") from error
                _require_zero(difference, lhs, rhs, f"at z = {at}")
        return CheckResult("ball", "derived", f"equal at {self.count} exact points of every interval between the kinks")


# -- enclosures -------------------------------------------------------------------------------------------------------


def _enclose(expression: sp.Expr, point: dict[sp.Symbol, sp.Rational]) -> Any:
    """A ball around a formula in which expectations occur linearly."""
    nodes = sorted(expression.atoms(GaussianExpectation), key=sp.default_sort_key)
    names = [sp.Dummy() for _ in nodes]
    bare = expression.xreplace(dict(zip(nodes, names, strict=True))).doit()
    total = evaluate(bare.xreplace(dict.fromkeys(names, sp.S.Zero)), point, _DIGITS)
    for node, name in zip(nodes, names, strict=True):
        coefficient = sp.diff(bare, name)
        if coefficient.free_symbols & set(names):
            raise DerivationError(f"a product of expectations is not enclosed here: {expression}")
        total += evaluate(coefficient, point, _DIGITS) * _expectation(node.xreplace(point))
    return total


@lru_cache(maxsize=512)
def _expectation(node: sp.Expr) -> Any:
    """A ball around E[f(z)] for numbers as mean and variance."""
    if not isinstance(node, GaussianExpectation):
        return evaluate(node, {}, _DIGITS)
    mean, variance = node.mean[0], node.covariance[0, 0]
    body = node.integrand.xreplace({z: z + mean})
    rate = max((_square(e.args[0]) for e in body.atoms(sp.exp)), default=sp.S.Zero)
    if rate > 0:
        body, variance = _reweighted(body, variance, rate)
    return gaussian_integral_1d(body, z, variance, _DIGITS)


def _without_exponential(body: sp.Expr, exponent: sp.Expr) -> sp.Expr:
    """The body over exp(exponent); SymPy does not cancel exponentials of sums with fractions."""
    factors = sp.Mul.make_args(body)
    rest = sp.Mul(*(f for f in factors if not isinstance(f, sp.exp)))
    return rest * sp.exp(sp.expand(sp.Add(*(f.args[0] for f in factors if isinstance(f, sp.exp))) - exponent))


def _square(exponent: sp.Expr) -> sp.Expr:
    return sp.expand(exponent).coeff(z, 2)


def _reweighted(body: sp.Expr, variance: sp.Rational, rate: sp.Rational) -> tuple[sp.Expr, sp.Rational]:
    """The same expectation under a wider law, for a body that grows like exp(rate z^2): then the integrand decays."""
    wide = 2 * variance / (1 - 2 * rate * variance)
    ratio = z**2 / (2 * wide) - z**2 / (2 * variance)
    total: sp.Expr = sp.S.Zero
    for term in sp.Add.make_args(sp.expand(body)):
        rest, exponentials = term.as_independent(sp.exp, as_Add=False)
        exponent = sp.Add(*(f.args[0] for f in sp.Mul.make_args(exponentials) if isinstance(f, sp.exp)))
        total += rest * sp.exp(sp.expand(exponent + ratio))
    return sp.sqrt(wide / variance) * total, wide
