"""Numbers for Hermite coefficients h_k = E[sigma(m + s x) He_k(x)]: doubles with errors, or balls of any precision."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..theory.activation import Activation
from ..theory.errors import AccuracyError, argument_error
from ..theory.notation import z
from .array_function import UNIT, ArrayFunction, array_function
from .field_numbers import FieldNumber, ball_mpf, exact_number, field_number, rounded, rounded_ball
from .half_line import half_line_table, half_line_values
from .one_dimensional import LEVELS, Grid, best_level, grid, level_of, reach, strip_half_width
from .panels import SmoothPiece, integrate_panels

if TYPE_CHECKING:
    import flint

__all__ = ["HermiteCoefficients", "hermite_coefficients"]

Real = NDArray[np.float64]

DOUBLE_DIGITS = 15
"""Most digits that double precision is used for."""

MAX_DOUBLE_ORDER = 128
"""Largest order in double precision: beyond it sqrt(k!) and He_k come near overflow."""

# Radii of balls are absolute where a coefficient is below sqrt(k!): more places find small ones.
_MORE_PLACES = (40, 150, 330)
# What double precision can be asked for, relative to sqrt(k! E[sigma^2]); errors above it call for balls.
_REACHABLE = 2.0**-46
# Underflow may hide less than this.
_TINY = 1e-250
_SMALL = 1e-100
# Means and deviations up to here, and deviations down to its inverse, have powers that are doubles.
_LARGE = 1e30


@dataclass(frozen=True, eq=False)
class HermiteCoefficients:
    """Hermite coefficients h_k = E[sigma(m + s x) He_k(x)], x ~ N(0, 1), k = 0, ..., order; not divided by k!.

    Attributes
    ----------
    values : array of float64, shape (order + 1,), read-only; tuple of mpmath.mpf beyond 15 digits
        The coefficients.
    errors : the same
        Absolute errors: ``|values[k] - h_k| <= errors[k]``.
    kind : str
        ``'exact'`` (a closed form, rounded once), ``'rigorous'`` (a proved enclosure) or ``'estimated'`` (double
        precision; rounding, discretisation and tail are all part of the error).
    method : str
        How the numbers were found.
    digits : int
        The digits that were asked for.
    balls : tuple of flint.arb or None
        The enclosures, beyond 15 digits.
    """

    values: Any
    errors: Any
    kind: str
    method: str
    digits: int
    balls: tuple[flint.arb, ...] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def order(self) -> int:
        """Largest k."""
        return len(self.values) - 1


def hermite_coefficients(
    act: Activation | str | sp.Expr, order: int, mean: Any = 0, std: Any = 1, digits: int = 15
) -> HermiteCoefficients:
    """Hermite coefficients h_k = E[sigma(m + s x) He_k(x)], x ~ N(0, 1), as numbers with errors.

    He_k are the probabilists' polynomials; h_k is not divided by k!, so that sigma(m + s x) = sum_k h_k He_k(x)/k!.

    Parameters
    ----------
    act : Activation, str or sympy.Expr
        sigma.
    order : int
        Largest k.
    mean, std : float, int, Fraction, NumPy, mpmath or SymPy number
        m and s >= 0. Exact: a float stands for the rational number that it stores, so 0.1 is not 1/10.
    digits : int
        Up to 15: doubles, to full double precision where they can have it. More: ball arithmetic; each radius is below
        ``10**-digits * max(sqrt(k!), |h_k|)``.

    Returns
    -------
    HermiteCoefficients
        ``values`` and ``errors``, which bound the absolute error of each value. Errors in doubles are some 1e-14 of
        sqrt(k! E[sigma^2]); where they are larger than that (a formula that cancels, a mean known to fewer digits than
        sigma needs), balls are tried, and otherwise the larger error is given.

    Raises
    ------
    AssumptionError
        If an argument is not of this kind, E[sigma(m + s x)^2] is infinite, or sigma jumps at `mean` and `std` is 0.
    AccuracyError
        If no digit can be had, or sigma has no finite value at a node that matters.

    Notes
    -----
    Polynomials are computed in rational numbers; piecewise polynomials in closed form at their kinks; functions that
    are analytic in a strip around the real axis by the trapezoidal rule, one evaluation a node for all k, with the
    classical bound of its error on the strip; all others on Gauss-Legendre panels between the kinks.

    *Validity.* sigma is analytic between finitely many kinks. The kind 'estimated' says that the width of the strip and
    the accuracy of library functions were tested, not proved.

    Examples
    --------
    >>> found = hermite_coefficients("tanh", 3)
    >>> found.values.round(10).tolist()
    [0.0, 0.6057055096, 0.0, -0.3635953763]
    >>> bool(found.errors.max() < 1e-14)
    True
    """
    activation = act if isinstance(act, Activation) else _activation(act)
    _check_count("order", order, 0)
    _check_count("digits", digits, 1)
    m, s = field_number("mean", mean), field_number("std", std)
    if s.value < 0.0:
        raise argument_error("std", std, "is negative", "use a standard deviation of zero or more")
    if digits <= DOUBLE_DIGITS and order > MAX_DOUBLE_ORDER:
        cure = f"use at most {MAX_DOUBLE_ORDER}, or digits=16 or more, where numbers have no largest size"
        raise argument_error("order", order, "is too large for doubles", cure)
    if s == (0.0, 0.0):
        return _at_a_point(activation, int(order), mean, int(digits))
    plan = _plan(activation)
    if plan.exponent:
        _check_growth(activation, std)
    if digits > DOUBLE_DIGITS:
        return _in_balls(activation, order, mean, std, digits)
    if s.value == 0.0:
        raise argument_error("std", std, "is too small for doubles", "use digits=16 or more, or 0")
    if plan.polynomial:
        return _exact(activation, order, mean, std, digits)
    wanted = max(10.0**-digits, _REACHABLE)
    found = _in_doubles(plan, m, s, order, wanted)
    if found is None or not found.good(wanted):
        rigorous = _doubles_from_balls(activation, order, mean, std, digits, found.scale if found else 0.0)
        if rigorous is not None:
            return rigorous
        if found is None or not found.known():
            raise AccuracyError(_no_digit(activation, order, m, s, found))
    found.values.flags.writeable = found.errors.flags.writeable = False
    return HermiteCoefficients(found.values, found.errors, "estimated", found.method, digits)


# -- arguments --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _named(formula: str | sp.Expr) -> Activation:
    return Activation(formula)


def _activation(given: object) -> Activation:
    if isinstance(given, str | sp.Expr):
        return _named(given)
    raise argument_error(
        "act",
        given,
        f"is a {type(given).__name__}",
        "pass an Activation, a name, a formula in z, or a SymPy expression; Activation.from_callable reads functions",
    )


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or int(value) < least:
        raise argument_error(name, value, "is not a count", f"use an integer >= {least}")


def _check_growth(activation: Activation, std: object) -> None:
    exponent = activation.growth_exponent
    exact = sp.sympify(exact_number("std", std))
    if bool(4 * exponent * exact**2 >= 1):
        raise argument_error(
            "std", std, f"makes E[sigma^2] infinite: sigma grows like exp(({exponent})*z**2)", "use std^2 below 1/(4a)"
        )


# -- what is known of an activation whatever the mean and deviation ---------------------------------------------------


class _Plan:
    """Compiled pieces, closed forms, parity, and widths of strips as far as they were needed."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation
        self.polynomial = activation.is_polynomial
        self.exponent = bool(activation.growth_exponent > 0)
        self.steep = activation.growth in ("exponential", "gaussian")
        self.table = half_line_table(activation.pieces)
        self.smooth: ArrayFunction | None = None
        if activation.is_analytic_on_reals and not self.polynomial:
            self.smooth = array_function(activation.pieces[0].expression)
        self._pieces: tuple[SmoothPiece, ...] | None = None
        self._strips: dict[tuple[int, int], float] = {}

    @property
    def pieces(self) -> tuple[SmoothPiece, ...]:
        if self._pieces is None:
            self._pieces = tuple(
                SmoothPiece(array_function(p.expression), float(p.lo), float(p.hi)) for p in self.activation.pieces
            )
        return self._pieces

    def strip(self, function: ArrayFunction, centre: float, radius: float) -> float:
        """Half width of the strip of analyticity around an interval that holds [centre - radius, centre + radius]."""
        size = math.ceil(2.0 * math.log2(radius))
        larger = 2.0 ** (0.5 * size)
        place = round(4.0 * centre / larger)
        width = self._strips.get((size, place))
        if width is None:
            if len(self._strips) > 4096:
                self._strips.clear()
            width = strip_half_width(function, 0.25 * place * larger, 1.125 * larger, self.steep)
            self._strips[size, place] = width
        return width


@lru_cache(maxsize=256)
def _plan(activation: Activation) -> _Plan:
    return _Plan(activation)


# -- double precision -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _inverse_roots(order: int) -> Real:
    """1/sqrt(k!)."""
    return np.exp(-0.5 * np.array([math.lgamma(k + 1.0) for k in range(order + 1)]))


@dataclass
class _Doubles:
    """Coefficients with errors, and sqrt(E[sigma^2])."""

    values: Real
    errors: Real
    scale: float
    method: str
    unknown: float | None = None

    def good(self, wanted: float) -> bool:
        """Whether each error is within `wanted`, relative to sqrt(k! E[sigma^2])."""
        worst = float(np.maximum.reduce(self.errors * _inverse_roots(self.errors.size - 1)))
        return worst <= wanted * self.scale + _TINY < math.inf  # false for NaN

    def known(self) -> bool:
        """Whether everything is finite and some coefficient has a digit."""
        if not np.all(np.isfinite(self.values) & np.isfinite(self.errors)):
            return False
        best = float((self.errors * _inverse_roots(self.errors.size - 1)).min())
        return best < 0.5 * self.scale or best <= _TINY


def _in_doubles(plan: _Plan, mean: FieldNumber, std: FieldNumber, order: int, wanted: float) -> _Doubles | None:
    """The first method that is good enough, or panels; None where powers of m or s may leave the range of doubles."""
    m, s = mean.value, std.value
    if not 1.0 / _LARGE < s < _LARGE or abs(m) > _LARGE:
        return None
    found = None
    if plan.table is not None:
        closed = half_line_values(plan.table, m, s, order, mean.error, std.error)
        found = _Doubles(np.array(closed.values), np.array(closed.errors), closed.scale, "closed form at the kinks")
    elif plan.smooth is not None:
        found = _on_a_grid(plan, plan.smooth, mean, std, order)
    if found is None or not found.good(wanted):
        found = _on_panels(plan, mean, std, order, wanted)
    if m == 0.0 and mean.error == 0.0 and plan.activation.parity is not None:
        zero = slice(int(plan.activation.parity == "even"), None, 2)
        found.values[zero] = found.errors[zero] = 0.0
    return found


def _on_a_grid(
    plan: _Plan, function: ArrayFunction, mean: FieldNumber, std: FieldNumber, order: int
) -> _Doubles | None:
    """The trapezoidal rule; None if the strip of analyticity is too narrow for it."""
    m, s = mean.value, std.value
    width = plan.strip(function, m, s * reach(order)) / s
    if width <= 0.0:
        return None
    level = max(best_level(order), level_of(width))
    if level >= LEVELS:
        return None
    rule = grid(order, level)
    known = rule.distances * (2.0 * UNIT * s + std.error)
    known += UNIT * abs(m) + mean.error
    f, errors = function.with_error(s * rule.nodes + m, known)
    rim = function.off_axis(s * rule.rim + m).view(np.float64)
    with np.errstate(all="ignore"):  # what is not finite is noticed by its error
        sizes = np.abs(f)
        scale = math.sqrt(float((f * f) @ rule.weights))
        ends = float(sizes[0] + sizes[-1])
        if scale < _SMALL:  # a flank of something far away
            return None
        if (plan.steep or ends > 100.0 * scale) and _grows_too_fast(sizes, rule):
            return None
        norm = 2.0 * math.sqrt(float((rim * rim) @ rule.rim_weights))
        total = (errors + rule.rounding * sizes) @ rule.sizes
        total += norm * rule.discretisation
        total += (ends + norm + _TINY) * rule.tail
        return _Doubles(f @ rule.basis, total, scale, "trapezoidal rule")


def _grows_too_fast(sizes: Real, rule: Grid) -> bool:
    """Whether |f| grows by more than exp(3) in the last standard deviation: the bound of the tail allows exp(4)."""
    count = math.ceil(1.0 / rule.step)
    left, right = sizes[: 2 * count], sizes[: -2 * count - 1 : -1]
    return any(not end[:count].max() <= math.exp(3.0) * end[count:].max() for end in (left, right))


def _on_panels(plan: _Plan, mean: FieldNumber, std: FieldNumber, order: int, wanted: float) -> _Doubles:
    sums = integrate_panels(plan.pieces, mean.value, std.value, order, 0.25 * wanted, mean.error, std.error)
    method = f"Gauss-Legendre panels ({sums.panels})"
    return _Doubles(sums.values, sums.errors + _TINY, sums.scale, method, sums.unknown)


def _no_digit(activation: Activation, order: int, mean: FieldNumber, std: FieldNumber, found: _Doubles | None) -> str:
    where = f"Hermite coefficients of {activation.name} at mean {mean.value:g} and std {std.value:g}"
    if found is None:
        return f"{where} are beyond double precision: use digits=30"
    if found.unknown is not None:
        return f"{where}: sigma has no finite value in double precision at z = {found.unknown!r}; use digits=30"
    best = float((found.errors * _inverse_roots(order)).min())
    return (
        f"{where}: asked for 15 digits, achieved none: the error is {best:.1e} where sqrt(E[sigma^2]) is "
        f"{found.scale:.1e}; use digits=30, a smaller std, or a formula with fewer oscillations"
    )


# -- exact numbers ----------------------------------------------------------------------------------------------------


def _exact(activation: Activation, order: int, mean: object, std: object, digits: int) -> HermiteCoefficients:
    """A polynomial: rational numbers, rounded once; irrational ones from balls of twice the precision."""
    m, s = exact_number("mean", mean), exact_number("std", std)
    coefficients = sp.Poly(activation.pieces[0].expression, z).all_coeffs()[::-1]
    if isinstance(m, Fraction) and isinstance(s, Fraction) and all(c.is_Rational for c in coefficients):
        rational = [Fraction(int(c.p), int(c.q)) for c in coefficients]
        pairs = [rounded(h) for h in _polynomial_coefficients(rational, m, s, order)]
    else:
        from ..theory.balls import evaluate

        series = activation.hermite(order, sp.sympify(m), sp.sympify(s))
        balls = (evaluate(h, {}, 40) for h in series.coefficients)
        pairs = [rounded_ball(ball) for ball in balls]
    if any(math.isinf(value) for value, _ in pairs):
        raise AccuracyError(
            f"Hermite coefficients of {activation.name} at mean {mean} and std {std} overflow doubles: use digits=16"
        )
    values, errors = np.array([v for v, _ in pairs]), np.array([e for _, e in pairs])
    values.flags.writeable = errors.flags.writeable = False
    return HermiteCoefficients(values, errors, "exact", "rational arithmetic", digits)


def _polynomial_coefficients(p: list[Fraction], m: Fraction, s: Fraction, order: int) -> list[Fraction]:
    """h_k of sum_l p_l z^l: with p(m + s x) = sum_i q_i x^i and E[x^i He_k] = i!/(2^j j!), j = (i - k)/2."""
    shifted = list(p)
    for i in range(len(p)):  # Horner's scheme, again and again: the Taylor coefficients at m
        for l in range(len(p) - 2, i - 1, -1):
            shifted[l] += m * shifted[l + 1]
    values = [Fraction(0)] * (order + 1)
    power = Fraction(1)
    for i, q in enumerate(shifted):
        for k in range(i % 2, min(i, order) + 1, 2):
            half = (i - k) // 2
            values[k] += q * power * (math.factorial(i) // (2**half * math.factorial(half)))
        power *= s
    return values


# -- balls ------------------------------------------------------------------------------------------------------------


def _certified(activation: Activation, order: int, mean: object, std: object, digits: int) -> Any:
    from .certify import certified_coefficients

    m, s = (sp.sympify(exact_number(name, value)) for name, value in (("mean", mean), ("std", std)))
    return certified_coefficients(activation, int(order), m, s, int(digits))


def _in_balls(activation: Activation, order: int, mean: object, std: object, digits: int) -> HermiteCoefficients:
    found = _certified(activation, order, mean, std, digits)
    balls = tuple(found.coefficients)
    values, errors = tuple(ball_mpf(b.mid()) for b in balls), tuple(ball_mpf(b.rad()) for b in balls)
    kind = "exact" if found.method == "closed form" else "rigorous"
    return HermiteCoefficients(values, errors, kind, f"balls: {found.method}", digits, balls)


def _doubles_from_balls(
    activation: Activation, order: int, mean: object, std: object, digits: int, scale: float
) -> HermiteCoefficients | None:
    """Balls rounded to doubles, or None if they can't be had or don't fit into doubles."""
    small = math.ceil(-math.log10(scale)) if 0.0 < scale < 1.0 else 0
    for more in (small, *(places for places in _MORE_PLACES if places > small)):
        try:
            found = _certified(activation, order, mean, std, DOUBLE_DIGITS + 2 + more)
        except AccuracyError:
            return None
        pairs = [rounded_ball(ball) for ball in found.coefficients]
        values, errors = np.array([v for v, _ in pairs]), np.array([e for _, e in pairs])
        if not np.all(np.isfinite(values) & np.isfinite(errors)):
            return None
        size = float(np.max(np.abs(values) * _inverse_roots(order)))
        known = max(size, scale) if math.isfinite(scale) else size
        if float(np.max(errors * _inverse_roots(order))) <= _REACHABLE * known:
            break
    values.flags.writeable = errors.flags.writeable = False
    return HermiteCoefficients(values, errors, "rigorous", f"balls: {found.method}", digits)


def _at_a_point(activation: Activation, order: int, mean: object, digits: int) -> HermiteCoefficients:
    """A standard deviation of zero: h_0 = sigma(m), and no other."""
    if digits > DOUBLE_DIGITS:
        return _in_balls(activation, order, mean, 0, digits)
    found = _doubles_from_balls(activation, order, mean, 0, digits, 0.0)
    if found is None:
        raise AccuracyError(f"{activation.name} at {mean} overflows doubles: use digits=16")
    return found
