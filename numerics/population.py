"""Starts of population limits: a threshold, and the moments that belong to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import mpmath
import sympy as sp

from hermiton.theory.derivation import Derivation
from hermiton.theory.derive import derive
from hermiton.theory.errors import AccuracyError, DerivationError, argument_error
from hermiton.theory.notation import z

__all__ = ["PopulationStart"]

# What follows the threshold and has a value at the start; each is a statement of the derivation, in the threshold.
_MOMENTS = ("truncated_fraction", "within_class_mean", "within_class_variance")
_DIGITS = 30
# Two quadratures with breaks at different quantiles have to agree.
_LEVELS = (("0.001", "0.1", "0.5", "0.9", "0.999"), ("0.01", "0.3", "0.7", "0.97"))
_AGREEMENT = 1e-13
# The kernel's F and F' are looked at in so many points between threshold and target.
_PROBES = 33
_DIGITS_LOST = 1e-9
_UNDERFLOW = 1e-300
_FARTHEST = 2**200


@dataclass(frozen=True, eq=False)
class PopulationStart:
    """A threshold of a truncated population at time 0.

    Parameters
    ----------
    population : TruncatedPopulation
        The population that is solved.
    threshold : float
        theta_0, on either side of the target.
    derivation : Derivation, optional
        Where the moments come from; by default ``derive(population)``.

    Attributes
    ----------
    truncated_fraction, within_class_mean, within_class_variance : float
        F(theta_0), mean and variance of max(x, theta_0), as the derivation has them, integrated in 30 digits: two
        quadratures agree to 1e-13.
    response, fluctuation_variance : float
        0: samples start where the population starts.

    Raises
    ------
    AssumptionError
        If the threshold is no finite number.
    AccuracyError
        If the formula of F, or that of F', loses its digits in double precision between threshold and target, or an
        integral can't be had.
    """

    population: Any
    threshold: float
    derivation: Derivation | None = field(default=None, repr=False)
    truncated_fraction: float = field(init=False)
    within_class_mean: float = field(init=False)
    within_class_variance: float = field(init=False)
    response: float = field(init=False, repr=False, default=0.0)
    fluctuation_variance: float = field(init=False, repr=False, default=0.0)

    def __post_init__(self) -> None:
        """Check the formulas in doubles, and integrate."""
        level = self.threshold
        if isinstance(level, bool) or not isinstance(level, Real | sp.Rational) or not math.isfinite(level):
            raise argument_error("threshold", level, "is not a finite number", "pass theta_0")
        object.__setattr__(self, "threshold", float(level))
        theory = derive(self.population) if self.derivation is None else self.derivation
        try:
            formulas = {name: theory.statement(name).rhs for name in _MOMENTS}
        except DerivationError:
            problem = "is no population with a threshold"
            raise argument_error("population", self.population, problem, "pass a TruncatedPopulation") from None
        _refuse_lost_digits(self.population, self.threshold)
        (symbol,) = (state.symbol for state in theory.systems[0].states if state.binding == "threshold")
        with mpmath.workdps(_DIGITS):
            breaks = [_breaks(self.population, self.threshold, levels) for levels in _LEVELS]
            for name, formula in formulas.items():
                first, second = (_value(formula.xreplace({symbol: sp.Rational(self.threshold)}), b) for b in breaks)
                if not abs(first - second) <= _AGREEMENT * max(1, abs(first)):
                    raise AccuracyError(
                        f"{name} at threshold {self.threshold:.17g} can't be integrated: two quadratures give "
                        f"{mpmath.nstr(first, 17)} and {mpmath.nstr(second, 17)}; write F with a lighter upper tail"
                    )
                object.__setattr__(self, name, float(first))


def _value(formula: sp.Expr, breaks: list[mpmath.mpf]) -> mpmath.mpf:
    """A formula with integrals over half-lines that begin at the first break."""
    integrals = {}
    for integral in formula.atoms(sp.Integral):
        variable, *_ = integral.limits[0]
        body = sp.lambdify(variable, integral.function, "mpmath")
        integrals[integral] = sp.Float(mpmath.quad(body, breaks), _DIGITS)
    return mpmath.mpmathify(sp.N(formula.xreplace(integrals), _DIGITS))


def _breaks(population: Any, start: float, levels: tuple[str, ...]) -> list[mpmath.mpf]:
    """Where the integrands may bend: kinks and quantiles beyond the start."""
    cumulative = sp.lambdify(z, population.cumulative, "mpmath")
    places = [mpmath.mpmathify(sp.N(kink, _DIGITS)) for kink in population.kinks]
    places += [_quantile(cumulative, mpmath.mpf(level)) for level in levels]
    return [mpmath.mpf(start), *sorted({place for place in places if place > start}), mpmath.inf]


def _quantile(cumulative: Callable[[mpmath.mpf], mpmath.mpf], level: mpmath.mpf) -> mpmath.mpf:
    """A point where F is about `level`: a few digits are enough for a break."""
    low, high = mpmath.mpf(-1), mpmath.mpf(1)
    while cumulative(low) > level and low > -_FARTHEST:
        low *= 2
    while cumulative(high) < level and high < _FARTHEST:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if cumulative(middle) < level else (low, middle)
    return high


def _refuse_lost_digits(population: Any, start: float) -> None:
    """Compare F and F' in doubles, as kernels compute them, with 30 digits, from the start to the target."""
    end = float(population.target)
    points = [start + (end - start) * k / (_PROBES - 1) for k in range(_PROBES)]
    for name, formula in (("F", population.cumulative), ("F'", population.density)):
        doubles, exact = sp.lambdify(z, formula, "math"), sp.lambdify(z, formula, "mpmath")
        for point in points:
            try:
                value = float(doubles(point))
            except (ArithmeticError, ValueError):
                value = math.nan
            with mpmath.workdps(_DIGITS):
                try:
                    true = exact(mpmath.mpf(point))
                except ZeroDivisionError:
                    true = mpmath.inf
                if not mpmath.isfinite(true):
                    problem = f"{name} of the population is infinite at {point:.6g}: start beyond that point"
                    raise AccuracyError(problem)
                scale = abs(true) if name == "F" else 1 + abs(true)
                if not abs(value - true) <= _DIGITS_LOST * scale + _UNDERFLOW:
                    raise AccuracyError(
                        f"{name} of the population at {point:.6g} is {value:.6g} in double precision, but "
                        f"{mpmath.nstr(true, 6)}: write the distribution without differences of nearly equal numbers, "
                        "or start and aim where it has its digits"
                    )
