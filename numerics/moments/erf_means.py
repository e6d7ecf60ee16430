"""Moments of erf's and Gaussian bumps, sums of them, and functions with straight pieces, in one way.

erf(b (z - t)) is the mean of sign(z - t + e) over Gaussian noise e of variance 1/(2 b^2), and exp(-b^2 (z - t)^2) that
of sqrt(pi)/b delta(z - t + e): tilting the law by the bump is conditioning on the noisy field. So a product of sums of
such functions is a sum of moments of kinks, jumps and impulses of fields with more variance, which
:mod:`~hermiton.numerics.moments.piecewise_linear` reduces to orthant probabilities, for any means.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import sympy as sp

from ...theory.notation import z
from .piecewise_linear import PiecewiseLinear

__all__ = ["NoisyForm", "erf_forms", "moment_of_noisy_forms"]

_EPS = float(np.finfo(np.float64).eps)
_DIGITS = 60
_MOST_TERMS = 256


@dataclass(frozen=True, eq=False)
class NoisyForm:
    """The mean of a piecewise-linear function of z + e over independent e ~ N(0, variance).

    Parameters
    ----------
    form : PiecewiseLinear
        With impulses or without.
    variance : Fraction
        0 for the function itself.
    """

    form: PiecewiseLinear
    variance: Fraction


def erf_forms(expression: sp.Expr) -> tuple[NoisyForm, ...] | None:
    """A sum of straight lines, erf's and Gaussian bumps.

    Parameters
    ----------
    expression : sympy.Expr
        In z.

    Returns
    -------
    tuple of NoisyForm or None
        Their sum is the expression; None if it is not of this kind.
    """
    line = sp.S.Zero
    forms: list[NoisyForm] = []
    for term in sp.Add.make_args(sp.expand(expression)):
        factor, rest = term.as_independent(z, as_Add=False)
        if rest.is_polynomial(z):
            line += term
            continue
        found = _step(factor, rest) or _bump(factor, rest)
        if found is None:
            return None
        forms.append(found)
    if not line.is_polynomial(z) or sp.degree(line, z) > 1:
        return None
    constant, slope = (float(line.coeff(z, k).evalf(_DIGITS)) for k in (0, 1))
    if constant or slope or not forms:
        forms.append(NoisyForm(PiecewiseLinear(constant, slope), Fraction(0)))
    return tuple(forms)


def _step(factor: sp.Expr, rest: sp.Expr) -> NoisyForm | None:
    """A multiple of erf(b z + c)."""
    if not isinstance(rest, sp.erf) or not rest.args[0].is_polynomial(z) or sp.degree(rest.args[0], z) != 1:
        return None
    slope, shift = (rest.args[0].coeff(z, k) for k in (1, 0))
    height = float((factor * sp.sign(slope)).evalf(_DIGITS))
    high, low = _two_parts(-shift / slope)
    form = PiecewiseLinear(-height, 0.0, np.array([high]), None, np.array([2.0 * height]), None, np.array([low]))
    return NoisyForm(form, _fraction(1 / (2 * slope**2)))


def _bump(factor: sp.Expr, rest: sp.Expr) -> NoisyForm | None:
    """A multiple of exp(-b^2 z^2 + c z + d), the exponent collected from all factors."""
    exponent = sp.S.Zero
    for part in sp.Mul.make_args(rest):
        if not isinstance(part, sp.exp):
            return None
        exponent += part.args[0]
    if not exponent.is_polynomial(z) or sp.degree(exponent, z) != 2:
        return None
    curvature, slope, shift = (sp.expand(exponent).coeff(z, k) for k in (2, 1, 0))
    if not curvature.is_negative:
        return None
    place = -slope / (2 * curvature)
    weight = factor * sp.exp(shift - slope**2 / (4 * curvature)) * sp.sqrt(sp.pi / -curvature)
    high, low = _two_parts(place)
    impulse = np.array([float(weight.evalf(_DIGITS))])
    form = PiecewiseLinear(0.0, 0.0, np.array([high]), None, None, impulse, np.array([low]))
    return NoisyForm(form, _fraction(-1 / (2 * curvature)))


def _fraction(value: sp.Expr) -> Fraction:
    exact = value if value.is_Rational else sp.Rational(value.evalf(_DIGITS))
    return Fraction(int(exact.p), int(exact.q))


def _two_parts(value: sp.Expr) -> tuple[float, float]:
    exact = _fraction(value)
    return float(exact), float(exact - Fraction(float(exact)))


def moment_of_noisy_forms(
    functions: Sequence[Sequence[NoisyForm]],
    covariance: Sequence[Sequence[Fraction]],
    mean: Sequence[Fraction],
) -> tuple[float, float] | None:
    """E[prod_a f_a(z_a)], f_a a sum of noisy forms, z ~ N(mean, covariance).

    Parameters
    ----------
    functions : sequence of sequences of NoisyForm
        One to four.
    covariance, mean
        Exact, shapes (n, n) and (n,); the covariance is positive semidefinite.

    Returns
    -------
    value, error : float
        None if the product has too many terms.

    Raises
    ------
    AssumptionError
        If an impulse without noise meets a jump or an impulse of the same field.
    """
    from .orthants import plackett_rule
    from .piecewise_linear import exact_piecewise_linear_moment

    if math.prod(len(f) for f in functions) > _MOST_TERMS:
        return None
    rule = plackett_rule(12)
    value, error = 0.0, 0.0
    for choice in itertools.product(*functions):
        noisy = [list(row) for row in covariance]
        for a, chosen in enumerate(choice):
            noisy[a][a] += chosen.variance
        part, e = exact_piecewise_linear_moment([c.form for c in choice], noisy, list(mean), rule)
        value += part
        error += e + 2.0 * len(functions) * _EPS * abs(part) + _EPS * abs(value)
    return value, error
