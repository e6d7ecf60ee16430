"""Moments of products of up to four piecewise-linear functions of jointly Gaussian fields.

A function g(z) = c_0 + c_1 z + sum_j (d_j Max(0, z - t_j) + e_j 1(z > t_j)) is a sum over its kinks, so that a product
becomes a sum of terms E[prod_i z_i^(n_i) prod_(S) 1(z_s > 0)] in fields shifted by thresholds. Stein's lemma lowers the
powers,

    E[z_c X 1_S] = m_c E[X 1_S] + sum_d C_cd E[dX/dz_d 1_S]
                   + sum_(a in S) C_ca N(0; m_a, C_aa) E[X 1_(S - a) | z_a = 0],

until only probabilities are left, those of :mod:`~hermiton.numerics.moments.orthants`. Derivatives of kinks are steps,
derivatives of steps are impulses; an impulse p delta(z - t) conditions the others on z = t.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp
from numba import njit
from numpy.typing import ArrayLike, NDArray

from ...theory.activation import Activation
from ...theory.errors import argument_error
from ...theory.notation import z
from .orthants import (
    COLUMNS,
    HALVE,
    INTERVAL,
    KEEP,
    NEVER,
    checked_law,
    height,
    mean,
    plackett_rule,
    positive,
    reduced,
    shift_means,
    split,
)

__all__ = [
    "PiecewiseLinear",
    "exact_piecewise_linear_moment",
    "linear_pieces",
    "moment_of_powers",
    "piecewise_linear_moment",
]

_EXACT: dict[str, Any] = {"cache": True, "error_model": "numpy"}
_INTERNAL: dict[str, Any] = {**_EXACT, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

_EPS = float(np.finfo(np.float64).eps)
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
# Rounding of one term of a sum, relative to it.
_ROUNDING = 4.0 * _EPS
_DIGITS = 40
# A jump of an exact activation below this is none.
_NO_JUMP = sp.Rational(1, 10**25)


# -- the functions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PiecewiseLinear:
    """g(z) = constant + slope z + sum_j (bends_j Max(0, z - t_j) + jumps_j 1(z > t_j) + impulses_j delta(z - t_j)).

    Parameters
    ----------
    constant, slope
        The part without kinks.
    points
        The thresholds t_j, shape (J,).
    bends, jumps, impulses
        Shape (J,); by default zero. At a jump itself, the value is the mean of both sides.
    points_low
        What the exact thresholds exceed ``points`` by; by default nothing.
    """

    constant: float = 0.0
    slope: float = 0.0
    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    bends: NDArray[np.float64] | None = None
    jumps: NDArray[np.float64] | None = None
    impulses: NDArray[np.float64] | None = None
    points_low: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Refuse what is no finite function."""
        points = np.array(self.points, dtype=np.float64)
        if points.ndim != 1:
            raise argument_error("points", points.shape, "is not a list", "give one threshold a kink")
        object.__setattr__(self, "points", points)
        for name in ("bends", "jumps", "impulses", "points_low"):
            given = getattr(self, name)
            value = np.zeros(points.size) if given is None else np.array(given, dtype=np.float64)
            if value.shape != points.shape:
                raise argument_error(name, value.shape, "is the wrong shape", f"give one a threshold: {points.shape}")
            object.__setattr__(self, name, value)
        for name in ("constant", "slope", "points", "bends", "jumps", "impulses"):
            if not np.isfinite(getattr(self, name)).all():
                raise argument_error(name, getattr(self, name), "is not finite", "pass finite numbers")

    @property
    def is_function(self) -> bool:
        """Whether there are no impulses."""
        return not np.any(self.impulses)

    @property
    def is_continuous(self) -> bool:
        """Whether there are neither jumps nor impulses."""
        return self.is_function and not np.any(self.jumps)

    def derivative(self) -> "PiecewiseLinear":
        """The derivative, kinks becoming jumps and jumps impulses.

        Raises
        ------
        AssumptionError
            If there are impulses: their derivative is not of this form.
        """
        if not self.is_function:
            raise argument_error("self", self, "has impulses, whose derivative is no measure", "lower the order")
        return PiecewiseLinear(self.slope, 0.0, self.points, None, self.bends, self.jumps, self.points_low)

    def packed(self) -> NDArray[np.float64]:
        """Constant, slope, number of kinks, and (threshold, its low part, bend, jump) of each, for compiled code."""
        table = np.stack([self.points, self.points_low, self.bends, self.jumps], axis=1)  # type: ignore[list-item]
        return np.concatenate([[self.constant, self.slope, float(self.points.size)], table.ravel()])


def linear_pieces(activation: Activation) -> PiecewiseLinear | None:
    """An activation as a sum of kinks and jumps, or None if a piece is not linear.

    Parameters
    ----------
    activation
        The activation; its thresholds, slopes and jumps are taken from the exact formula.

    Returns
    -------
    PiecewiseLinear or None
        Without impulses.
    """
    lines: list[tuple[sp.Expr, sp.Expr]] = []
    for piece in activation.pieces:
        expression = sp.expand(piece.expression)
        if not expression.is_polynomial(z) or sp.degree(expression, z) > 1:
            return None
        lines.append((expression.coeff(z, 0), expression.coeff(z, 1)))
    kinks = []
    for (a, b), (c, d), point in zip(lines, lines[1:], activation.kinks, strict=False):
        jump = (c - a + (d - b) * point).evalf(_DIGITS)
        high = float(point.evalf(_DIGITS))
        low = float((point - sp.Rational(high)).evalf(_DIGITS))
        kinks.append((high, low, float((d - b).evalf(_DIGITS)), float(jump) if abs(jump) > _NO_JUMP else 0.0))
    points, points_low, bends, jumps = np.array(kinks).T if kinks else np.zeros((4, 0))
    constant, slope = (float(c.evalf(_DIGITS)) for c in lines[0])
    return PiecewiseLinear(constant, slope, points, bends, jumps, None, points_low)


# -- powers and indicators ---------------------------------------------------------------------------------------------


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def moment_of_powers(law: Any, given: int, wanted: int, powers: int, rule: Any) -> Any:
    """E[prod_i z_i^(n_i) prod_(s in wanted) 1(z_s > 0) | the fields of ``given`` are zero], and a bound on its error.

    Parameters
    ----------
    law
        See :mod:`~hermiton.numerics.moments.orthants`.
    given, wanted
        Bit sets without a common member.
    powers
        The n_i, three bits a field, the first field lowest; zero for the fields of ``given``.
    rule
        From :func:`~hermiton.numerics.moments.orthants.plackett_rule`.
    """
    if powers == 0:
        return positive(law, given, wanted, rule)
    case, first, second = reduced(law, given, wanted)
    if case == NEVER:
        return 0.0, 0.0
    if case != KEEP:
        value, error = moment_of_powers(law, given, first, powers, rule)
        if case == HALVE:
            return 0.5 * value, 0.5 * error
        if case == INTERVAL:
            more, e1 = moment_of_powers(law, given, second, powers, rule)
            neither, e2 = moment_of_powers(law, given, first & second, powers, rule)
            error += e1 + e2 + _ROUNDING * (abs(value) + abs(more) + abs(neither))
            value += more - neither
        return value, error
    # Of the fields with a power the last: where it carries no indicator, the powers of the others meet less.
    c = 3
    while not powers >> 3 * c & 7:
        c -= 1
    rest = powers - (1 << 3 * c)
    value, error = 0.0, 0.0
    m = mean(law, given, c)
    if m != 0.0:
        part, e = moment_of_powers(law, given, wanted, rest, rule)
        value += m * part
        error += abs(m) * (e + _ROUNDING * abs(part))
    for a in range(4):
        covariance = law[given, 4 * c + a]
        if covariance == 0.0 or given >> a & 1:
            continue
        power = rest >> 3 * a & 7
        if power:
            part, e = moment_of_powers(law, given, wanted, rest - (1 << 3 * a), rule)
            factor = covariance * power
        elif wanted >> a & 1:
            # z_a times its own impulse is zero, so a field with a power left has no such term.
            part, e = moment_of_powers(law, given | 1 << a, wanted ^ (1 << a), rest, rule)
            h = height(law, given, a)
            factor = covariance / math.sqrt(law[given, 5 * a]) * _DENSITY * math.exp(-0.5 * h * h)
            e += _ROUNDING * h * h * abs(part)
        else:
            continue
        value += factor * part
        error += abs(factor) * (e + _ROUNDING * abs(part))
    return value, error


# -- products of functions ---------------------------------------------------------------------------------------------


@njit(**_EXACT)  # type: ignore[untyped-decorator]
def _product(
    fields: int,
    covariance: Any,
    covariance_low: Any,
    means: Any,
    means_low: Any,
    forms: Any,
    at: Any,
    rule: Any,
    share: float,
) -> Any:
    """E of a product of functions without impulses, its error, and the share that the variances were raised by."""
    law = np.zeros((16, COLUMNS))
    share = split(law, fields, covariance, covariance_low, means, means_low, share)
    choice = np.zeros(4, np.int64)
    lines = np.zeros((4, 2))
    shifts = np.zeros((4, 2))
    value, error = 0.0, 0.0
    while True:
        wanted = 0
        vanishes = False
        for i in range(fields):
            j = choice[i]
            if j == 0:
                lines[i, 0], lines[i, 1] = forms[at[i]], forms[at[i] + 1]
                shifts[i, 0] = shifts[i, 1] = 0.0
            else:
                kink = at[i] + 4 * j - 1
                shifts[i, 0], shifts[i, 1] = forms[kink], forms[kink + 1]
                lines[i, 0], lines[i, 1] = forms[kink + 3], forms[kink + 2]
                wanted |= 1 << i
            vanishes = vanishes or (lines[i, 0] == 0.0 and lines[i, 1] == 0.0)
        if not vanishes:
            shift_means(law, fields, means, means_low, shifts)
            for subset in range(1 << fields):
                factor = 1.0
                powers = 0
                for i in range(fields):
                    factor *= lines[i, subset >> i & 1]
                    powers += (subset >> i & 1) << 3 * i
                if factor != 0.0:
                    # Not the literal 0: a cached recursion with two signatures crashes when it is loaded
                    # (Numba issue 6061).
                    part, e = moment_of_powers(law, np.int64(0), np.int64(wanted), np.int64(powers), rule)
                    value += factor * part
                    error += abs(factor) * (e + _ROUNDING * abs(part))
        i = 0
        while i < fields:
            choice[i] += 1
            if choice[i] <= forms[at[i] + 2]:
                break
            choice[i] = 0
            i += 1
        if i == fields:
            return value, error, share


def _parts(values: list[Fraction]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact numbers as sums of two doubles."""
    high = [float(x) for x in values]
    return np.array(high), np.array([float(x - Fraction(h)) for x, h in zip(values, high, strict=True)])


def piecewise_linear_moment(
    forms: Sequence[PiecewiseLinear], covariance: ArrayLike, mean: ArrayLike | None = None, nodes: int = 12
) -> tuple[float, float]:
    """E[g_1(z_1) ... g_n(z_n)], z ~ N(mean, covariance), for n = 1 to 4 piecewise-linear functions.

    A field that occurs several times has equal rows and columns: the covariance may be singular in any way.

    Parameters
    ----------
    forms
        The functions, for instance from :func:`linear_pieces`, or derivatives of them.
    covariance
        Shape (n, n), symmetric, positive semi-definite.
    mean
        Shape (n,); by default zero.
    nodes
        See :func:`~hermiton.numerics.moments.orthants.orthant_probability`.

    Returns
    -------
    value, error
        The moment, and an absolute error that covers quadrature and rounding.

    Raises
    ------
    AssumptionError
        If an argument is out of range, or an impulse meets a field without variance, another impulse on the same field
        or more than one jump at the same point: such a product has no value.

    Notes
    -----
    *Validity.* A constant field at a jump takes the mean of both sides. A covariance that rounding has left indefinite
    is replaced by the nearest one that is not, and the error covers the difference.

    Examples
    --------
    >>> relu = linear_pieces(Activation("relu"))
    >>> value, error = piecewise_linear_moment([relu, relu], [[1, 1], [1, 1]])
    >>> abs(value - 1 / 2) <= error < 1e-14
    True
    """
    matrix, means = checked_law(covariance, mean)
    functions = list(forms)
    if len(functions) != len(means) or not all(isinstance(f, PiecewiseLinear) for f in functions):
        raise argument_error(
            "forms", functions, f"does not fit {len(means)} fields", "give one PiecewiseLinear a field"
        )
    law = [[Fraction(float(x)) for x in row] for row in matrix]
    return exact_piecewise_linear_moment(functions, law, [Fraction(float(m)) for m in means], plackett_rule(nodes))


def exact_piecewise_linear_moment(
    functions: list[PiecewiseLinear], covariance: list[list[Fraction]], means: list[Fraction], rule: Any
) -> tuple[float, float]:
    """Compute the same for exact numbers, with impulses: they are taken out one by one, their neighbours conditioned.

    Parameters
    ----------
    functions
        One to four.
    covariance, means
        Of the fields; the covariance positive semi-definite, which is not checked.
    rule
        From :func:`~hermiton.numerics.moments.orthants.plackett_rule`.

    Returns
    -------
    tuple of float
        Value and error.
    """
    if not functions:
        return 1.0, 0.0
    impulsive = next((i for i, f in enumerate(functions) if not f.is_function), None)
    if impulsive is None:
        return _without_impulses(functions, covariance, means, rule)
    form = functions[impulsive]
    assert form.jumps is not None and form.impulses is not None and form.points_low is not None
    value, error = 0.0, 0.0
    if form.constant or form.slope or np.any(form.bends) or np.any(form.jumps):
        smooth = PiecewiseLinear(form.constant, form.slope, form.points, form.bends, form.jumps, None, form.points_low)
        regular = [*functions[:impulsive], smooth, *functions[impulsive + 1 :]]
        value, error = exact_piecewise_linear_moment(regular, covariance, means, rule)
    own = covariance[impulsive][impulsive]
    others = [a for a in range(len(functions)) if a != impulsive]
    for high, low, weight in zip(form.points, form.points_low, form.impulses, strict=True):
        if not weight:
            continue
        point = Fraction(float(high)) + Fraction(float(low))
        if own == 0:
            if point != means[impulsive]:
                continue
            raise argument_error(
                "covariance", 0.0, f"leaves a field constant at its impulse z = {float(point)}", "give it a variance"
            )
        slopes = {a: covariance[a][impulsive] / own for a in others}
        given = [[covariance[a][b] - slopes[a] * covariance[impulsive][b] for b in others] for a in others]
        centers = [means[a] + slopes[a] * (point - means[impulsive]) for a in others]
        _refuse_products(point, [functions[a] for a in others], given, centers)
        rest, e = exact_piecewise_linear_moment([functions[a] for a in others], given, centers, rule)
        distance = float((point - means[impulsive]) ** 2 / own)
        density = float(weight) * _DENSITY / math.sqrt(own) * math.exp(-0.5 * distance)
        value += density * rest
        error += abs(density) * (e + _ROUNDING * (1.0 + distance) * abs(rest))
    return value, error


def _refuse_products(
    point: Fraction, functions: list[PiecewiseLinear], covariance: list[list[Fraction]], means: list[Fraction]
) -> None:
    """Refuse an impulse times what is not determined at its place; one jump there counts half (it is (g^2)'/2)."""
    jumping = 0
    for a, form in enumerate(functions):
        if covariance[a][a] != 0:
            continue
        assert form.jumps is not None and form.impulses is not None and form.points_low is not None
        here = [
            Fraction(float(high)) + Fraction(float(low)) == means[a]
            for high, low in zip(form.points, form.points_low, strict=True)
        ]
        if np.any(form.impulses[here]):
            raise argument_error(
                "forms", float(point), "is the place of two impulses on one field", "lower an order of a derivative"
            )
        jumping += bool(np.any(form.jumps[here]))
    if jumping > 1:
        raise argument_error(
            "forms", float(point), "is the place of an impulse and of several jumps", "lower an order of a derivative"
        )


def _without_impulses(
    functions: list[PiecewiseLinear], covariance: list[list[Fraction]], means: list[Fraction], rule: Any
) -> tuple[float, float]:
    packed = [f.packed() for f in functions]
    at = np.cumsum([0] + [p.size for p in packed])[:-1].astype(np.int64)
    arguments = (
        len(functions),
        *_parts([x for row in covariance for x in row]),
        *_parts(means),
        np.concatenate(packed),
        at,
        rule,
    )
    value, error, share = _product(*arguments, 0.0)
    if share > 0.0:
        other, _, _ = _product(*arguments, 4.0 * share)
        error += abs(other - value)
    return float(value), float(error)
