"""Dual kernels: kappa(rho) = E[f(x) g(y)] for standard Gaussians x, y of correlation rho.

Four routes lead to a closed form, all derived:

* A polynomial f or g ends Mehler's sum.
* Polynomials on the two half lines (ReLU, sign, abs, z^n step(z), ...) reduce to the quadrant moments
  E[x^i y^j 1(x > 0) 1(y > 0)], which Stein's lemma lowers, with boundary terms, to the quadrant probability; that one
  has the derivative 1/(2 pi sqrt(1 - rho^2)) by Price's theorem and the value 1/4 at 0: the arc-cosine kernels.
* A function with kinks and a smooth one: E[f(x) | y] is in closed form and smooth.
* Two smooth functions: tilting, Stein and Price (:mod:`hermiton.theory.gaussian.terms`).

Each closed form is a checked step: kappa' is the kernel of f' and g' (Price), kappa(0) = E[f] E[g], and Mehler's series
with coefficients enclosed by quadrature, a route of its own, gives the same value. Otherwise the series is all we have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp

from ..activation import Activation
from ..balls import encloses_zero, evaluate, gaussian_integral_1d, working_digits
from ..derivation import CheckResult, Step
from ..errors import AssumptionError, DerivationError, argument_error
from ..notation import z
from .dual_forms import RHO, PiecewiseFunction, pair_expectation, quadrant_moment, tidy
from .expectation import GaussianExpectation
from .mehler_series import MehlerSeries
from .terms import NoClosedForm, expectation_of_sum

__all__ = ["DualKernel", "MehlerSeries", "dual_kernel", "quadrant_moment"]

_x, _y = sp.symbols("x y", real=True)
_POINTS = (sp.Rational(1, 5), sp.Rational(-2, 9))
_SERIES_DIGITS = 8
_LARGEST = 120  # operations of a difference that is worth simplifying


# -- checks -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ByPrice:
    """A closed form in rho: its derivative is the kernel of f' and g', it is E[f] E[g] at 0, and Mehler agrees."""

    first: Activation
    second: Activation

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Check the right-hand side."""
        f, g = PiecewiseFunction(self.first.pieces), PiecewiseFunction(self.second.pieces)
        if rhs.has(GaussianExpectation):
            return self._by_conditioning(lhs, rhs)
        start = rhs.subs(RHO, 0) - f.mean(sp.S.Zero, sp.S.One) * g.mean(sp.S.Zero, sp.S.One)
        self._require(lhs, start, "kappa(0) differs from E[f] E[g]")
        slope = sp.diff(rhs, RHO) - _price(f, g)
        how = self._require(lhs, slope, "kappa' differs from the kernel of f' and g'")
        for point in _POINTS:
            try:
                ball = MehlerSeries(self.first, self.second).enclose(point, _SERIES_DIGITS)
            except AssumptionError:
                return CheckResult("Price", "derived", f"kappa' is the kernel of f' and g' {how}; kappa(0) = E[f] E[g]")
            self._overlap(lhs, ball - evaluate(rhs, {RHO: point}), point)
        detail = (
            f"kappa' is the kernel of f' and g' {how}; kappa(0) = E[f] E[g]; Mehler's series, coefficients in balls, "
        )
        return CheckResult("Price, ball", "derived", f"{detail}agrees to 1e-{_SERIES_DIGITS} at 2 rational points")

    def _by_conditioning(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """For a polynomial f: E[f(x) g(y)] = E[p(y) g(y)] with the polynomial p(y) = E[f(x) | y]."""
        f, g = (self.first, self.second) if self.first.degree is not None else (self.second, self.first)
        for point in _POINTS:
            law = (sp.ImmutableMatrix([[1 - point**2]]), sp.ImmutableMatrix([[point * z]]))
            inner = expectation_of_sum(f.expression.subs(z, _x), (_x,), *law)
            with working_digits(40):
                ball = gaussian_integral_1d(sp.expand(inner) * g.expression, z, sp.S.One)
                total = evaluate(sp.S.Zero, {})
                nodes = sorted(rhs.atoms(GaussianExpectation), key=sp.default_sort_key)
                for node in nodes:
                    factor = evaluate(rhs.coeff(node).subs(RHO, point), {})
                    total += factor * gaussian_integral_1d(node.integrand, node.variables[0], sp.S.One)
                rest = rhs.xreplace({node: sp.S.Zero for node in nodes})
                self._overlap(lhs, ball - total - evaluate(rest, {RHO: point}), point)
        return CheckResult("ball", "derived", "agrees with E[g(y) E[f(x) | y]] to 1e-20 at 2 rational points")

    @staticmethod
    def _require(lhs: sp.Expr, difference: sp.Expr, what: str) -> str:
        """Zero symbolically, or in balls of radius 1e-30 at rational points; says which."""
        if sp.expand(difference) == 0 or (difference.count_ops() < _LARGEST and sp.simplify(difference) == 0):
            return "symbolically"
        if any(not encloses_zero(difference, {RHO: point}) for point in _POINTS):
            raise DerivationError(f"{lhs}: {what} by {difference}")
        return "in balls of radius 1e-30 at 2 rational points" if difference.has(RHO) else "to 1e-30"

    @staticmethod
    def _overlap(lhs: sp.Expr, difference: Any, point: sp.Rational) -> None:
        if not difference.contains(0):
            raise DerivationError(f"{lhs} at rho = {point}: closed form and integral differ by {difference.str(10)}")


def _price(f: PiecewiseFunction, g: PiecewiseFunction) -> sp.Expr:
    """The kernel of f' and g', whose jumps are point masses."""
    df, dg = f.derivative(), g.derivative()
    spread = sp.sqrt(1 - RHO**2)
    total: sp.Expr = sp.S.Zero
    if not any(all(p.expression.is_zero for p in h.pieces) for h in (df, dg)):
        total += pair_expectation(df, dg, sp.S.One, RHO, sp.S.One)[0]
    for here, other in ((df, dg), (dg, df)):
        for t, weight in here.masses:
            total += weight * sp.exp(-(t**2) / 2) / sp.sqrt(2 * sp.pi) * other.mean(RHO * t, spread)
    for t, weight in df.masses:
        for u, height in dg.masses:
            density = sp.exp(-(t**2 - 2 * RHO * t * u + u**2) / (2 * (1 - RHO**2))) / (2 * sp.pi * spread)
            total += weight * height * density
    return total


# -- the kernel -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DualKernel:
    """kappa(rho) = E[f(x) g(y)] for standard Gaussians x, y of correlation rho.

    Parameters
    ----------
    first, second : Activation
        f and g.
    correlation : sympy.Expr
        rho: a symbol, or a number in [-1, 1].
    expression : sympy.Expr or None
        The closed form at `correlation`; None if none is known.
    step : Step or None
        The closed form in the symbol ``rho`` as a checked step.
    series : MehlerSeries
        The series, which always holds.
    """

    first: Activation
    second: Activation
    correlation: sp.Expr
    expression: sp.Expr | None
    step: Step | None
    series: MehlerSeries

    @property
    def is_closed(self) -> bool:
        """Whether a closed form is known."""
        return self.expression is not None

    @property
    def reason(self) -> str:
        """The route to the closed form, or that there is none."""
        return self.step.reason if self.step is not None else "no closed form is known: Mehler's series"

    def check(self) -> CheckResult:
        """Run the check of the closed form again.

        Raises
        ------
        AssumptionError
            If there is no closed form.
        DerivationError
            If it fails.
        """
        if self.step is None:
            raise self._refusal("use series.enclose, whose radius holds its tail")
        return self.step.check()

    def at_covariance(self, c11: sp.Expr, c12: sp.Expr, c22: sp.Expr) -> sp.Expr:
        """E[f(x) g(y)] for centred Gaussians of variances c11, c22 and covariance c12.

        Parameters
        ----------
        c11, c12, c22 : sympy.Expr
            Exact numbers or symbols; variances positive.

        Returns
        -------
        sympy.Expr
            For f and g homogeneous of degrees a and b it is c11^(a/2) c22^(b/2) kappa(c12/sqrt(c11 c22)).

        Raises
        ------
        AssumptionError
            If there is no closed form, or the entries are no exact covariance.
        """
        a, c, b = (sp.sympify(entry, strict=True) for entry in (c11, c12, c22))
        if any(entry.has(sp.Float) for entry in (a, c, b)):
            raise argument_error("c11", c11, f"or {c12}, {c22} is a float", "theory is exact: use sympy.Rational")
        if a.is_positive is False or b.is_positive is False or (a * b - c**2).is_negative:
            raise argument_error(
                "c11", c11, f"with {c12}, {c22} is no covariance", "keep c11 c22 >= c12^2, variances > 0"
            )
        try:
            value, _ = pair_expectation(
                PiecewiseFunction(self.first.pieces), PiecewiseFunction(self.second.pieces), a, c, b
            )
        except NoClosedForm:
            raise self._refusal("use numbers from hermiton.field_moment") from None
        return value

    def _refusal(self, cure: str) -> AssumptionError:
        return argument_error(
            "activation", f"{self.first.name}, {self.second.name}", "have no closed dual kernel", cure
        )

    def latex(self) -> str:
        """The kernel as LaTeX."""
        left = rf"\kappa\left({sp.latex(self.correlation)}\right)"
        if self.expression is None:
            return rf"{left} = \sum_n \frac{{f_n g_n}}{{n!}} {sp.latex(self.correlation)}^n"
        return f"{left} = {sp.latex(self.expression, inv_trig_style='full')}"

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex()}$"

    def __str__(self) -> str:
        return str(self.expression) if self.expression is not None else str(self.series)


def dual_kernel(
    first: Activation | str | sp.Expr,
    second: Activation | str | sp.Expr | None = None,
    correlation: sp.Expr | None = None,
) -> DualKernel:
    """The dual kernel E[f(x) g(y)], in closed form where one is known and checked.

    Parameters
    ----------
    first, second : Activation, str or sympy.Expr
        f and g; g = f by default.
    correlation : sympy.Expr, optional
        An exact number in [-1, 1] or a real symbol; ``rho`` by default.

    Returns
    -------
    DualKernel

    Raises
    ------
    AssumptionError
        If the correlation is a number outside [-1, 1], or not exact.

    >>> dual_kernel("erf").expression
    2*asin(rho/2)/pi
    >>> dual_kernel("sign", correlation=sp.Rational(1, 2)).expression
    1/3
    """
    f, g = Activation(first), Activation(first if second is None else second)
    rho = RHO if correlation is None else sp.sympify(correlation, strict=True)
    if rho.has(sp.Float) or rho.is_real is False or (rho.is_number and bool(abs(rho) > 1)):
        raise argument_error("correlation", correlation, "is not an exact number in [-1, 1]", "use sympy.Rational")
    step = _step(f, g)
    if step is None:
        return DualKernel(f, g, rho, None, None, MehlerSeries(f, g))
    expression = step.rhs if rho == RHO else sp.expand(step.rhs.subs(RHO, rho))
    if expression.has(sp.nan, sp.zoo, sp.oo):
        raise argument_error("correlation", correlation, f"is a singular point of {step.rhs}", "take the limit")
    return DualKernel(f, g, rho, expression, step, MehlerSeries(f, g))


@lru_cache(maxsize=256)
def _step(f: Activation, g: Activation) -> Step | None:
    try:
        value, reason = pair_expectation(
            PiecewiseFunction(f.pieces), PiecewiseFunction(g.pieces), sp.S.One, RHO, sp.S.One
        )
    except NoClosedForm:
        return None
    value = tidy(value)
    body = f.expression.subs(z, _x) * g.expression.subs(z, _y)
    lhs = GaussianExpectation(body, (_x, _y), sp.Matrix([[1, RHO], [RHO, 1]]))
    return Step(lhs, value, reason, _ByPrice(f, g), symbol=r"\kappa(\rho)")
