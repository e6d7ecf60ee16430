"""E[f(z_1) g(z_2)] to any number of digits: Mehler's series in balls, its tail bounded by Cauchy and Schwarz.

With f_n = E[f(m_1 + s_1 x) He_n(x)], g_n alike and the correlation r,

    E[f g] = sum_n f_n g_n r^n/n!,
    |tail beyond p| <= |r|^(p+1) tau_f tau_g,    tau_f^2 = E[f^2] - sum_(n<=p) f_n^2/n!.

Everything on the right is enclosed by :mod:`~hermiton.numerics.certify`, so that the bound is proved once computed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import sympy as sp

from ..theory.activation import Activation
from ..theory.balls import evaluate, working_digits
from ..theory.errors import AccuracyError, AssumptionError
from ..theory.notation import z

if TYPE_CHECKING:
    from .field_functions import FieldFunction
    from .field_law import FieldLaw

__all__ = ["one_field", "two_fields"]

_MOST_TERMS = 1024
_GUARD = 12


def one_field(function: FieldFunction, law: FieldLaw, digits: int) -> tuple[Any, str]:
    """E[g^(n)(z)] of one field with variance.

    Parameters
    ----------
    function : FieldFunction
        g^(n).
    law : FieldLaw
        Of one field.
    digits : int
        The radius is below 10^-digits max(1, |value|).

    Returns
    -------
    ball : flint.arb
    method : str
    """
    from .certify import certified_coefficients

    mean, std = _mean_and_std(law, 0)
    found = certified_coefficients(function.activation, 0, mean, std, digits, derivative=function.order)
    return found.coefficients[0], f"balls: {found.method}"


def two_fields(first: FieldFunction, second: FieldFunction, law: FieldLaw, digits: int) -> tuple[Any, str]:
    """E[g_1^(n)(z_1) g_2^(k)(z_2)] of two fields with variance.

    Parameters
    ----------
    first, second : FieldFunction
        The functions.
    law : FieldLaw
        Of two fields.
    digits : int
        The radius is below 10^-digits sqrt(E[f^2] E[g^2]), which bounds the moment.

    Returns
    -------
    ball : flint.arb
    method : str

    Raises
    ------
    AccuracyError
        If 1024 terms leave more; with correlation +-1 the moment is one of one field, and has no series.
    """
    (c11, c12), (_, c22) = law.exact_covariance
    if bool((c12**2 - c11 * c22).equals(0)):
        return _one_variable(first, second, law, digits)
    working = digits + _GUARD
    norms = [_second_moment(function, law, a, working) for a, function in enumerate((first, second))]
    # radii of coefficients are relative to 1, not to a small function
    working += sum(math.ceil(max(0.0, -0.5 * _log10(norm.abs_upper()))) for norm in norms)
    norms = [_second_moment(function, law, a, 2 * working) for a, function in enumerate((first, second))]
    correlation = evaluate(c12 / sp.sqrt(c11 * c22), {}, working)
    degrees = [len(f.polynomial) - 1 for f in (first, second) if f.polynomial is not None]
    terms = most = min(degrees, default=_MOST_TERMS)
    if not degrees:
        terms = 16
    while True:
        sides = [_coefficients(function, law, a, terms, working) for a, function in enumerate((first, second))]
        with working_digits(2 * working):
            total, taken = evaluate(sp.S.Zero, {}, working), list(norms)
            power = weight = correlation**0
            for n, (f, g) in enumerate(zip(*sides, strict=True)):
                if n:
                    power, weight = power * correlation, weight / n
                total += f * g * power * weight
                taken = [taken[0] - f * f * weight, taken[1] - g * g * weight]
            if degrees:
                return total, f"Mehler's series, {terms + 1} terms: all there are"
            left = taken[0].abs_upper() * taken[1].abs_upper()
            tail = (abs(power * correlation) * left.sqrt()).abs_upper()
            scale = (norms[0] * norms[1]).sqrt().abs_lower()
            allowed = scale * evaluate(sp.Rational(1, 10**digits), {}, working)
            value = (total - tail).union(total + tail)
            if value.rad() < allowed:
                return value, f"Mehler's series, {terms + 1} terms, Cauchy-Schwarz bound of the tail"
        if terms >= most:
            raise AccuracyError(
                f"field_moment of {first.name} and {second.name} at correlation {float(correlation):.6g}: asked for"
                f" digits={digits}, {terms + 1} terms of Mehler's series reach {_reached(tail, scale)}: ask for fewer"
                " digits"
            )
        terms = min(most, _next(terms, tail, allowed, correlation))


def _log10(ball: Any) -> float:
    return float(ball.log()) / math.log(10.0) if ball > 0 else -300.0


def _reached(tail: Any, scale: Any) -> int:
    """Digits, relative to the scale."""
    return max(0, math.floor(float((scale / tail).log()) / math.log(10.0)))


def _next(terms: int, tail: Any, allowed: Any, correlation: Any) -> int:
    """Terms that suffice if coefficients stay as they are, or twice as many: they decay as well."""
    rate = -float(abs(correlation).log())
    missing = max(0.0, float((tail / allowed).log()))
    return min(2 * terms, terms + 1 + math.ceil(missing / rate)) if rate > 0.0 else 2 * terms


def _mean_and_std(law: FieldLaw, field: int) -> tuple[sp.Expr, sp.Expr]:
    return law.exact_mean[field], sp.sqrt(law.exact_covariance[field][field])


def _coefficients(function: FieldFunction, law: FieldLaw, field: int, order: int, digits: int) -> Any:
    from .certify import certified_coefficients

    mean, std = _mean_and_std(law, field)
    found = certified_coefficients(function.activation, order, mean, std, digits, derivative=function.order)
    return found.coefficients


def _second_moment(function: FieldFunction, law: FieldLaw, field: int, digits: int) -> Any:
    from .certify import certified_second_moment

    mean, std = _mean_and_std(law, field)
    return certified_second_moment(function.activation, mean, std, digits, derivative=function.order)


def _one_variable(first: FieldFunction, second: FieldFunction, law: FieldLaw, digits: int) -> tuple[Any, str]:
    """Correlation +-1: both fields are functions of one standard variable."""
    from .certify import certified_coefficients

    (c11, _), (_, c22) = law.exact_covariance
    signs = (sp.S.One, sp.S.One if law.covariance[0][1] > 0 else -sp.S.One)
    product: sp.Expr = sp.S.One
    for function, mean, variance, sign in zip((first, second), law.exact_mean, (c11, c22), signs, strict=True):
        product *= _whole(function).xreplace({z: mean + sign * sp.sqrt(variance) * z})
    try:
        pieces = Activation(product + z).pieces  # a constant is no activation, but this is one
        rest = sp.simplify(pieces[0].expression - z)
        if len(pieces) == 1 and not rest.has(z):
            return evaluate(rest, {}, digits + _GUARD), "one variable: a constant"
        activation = Activation(product)
    except AssumptionError as reason:
        raise AccuracyError(
            f"field_moment of {first.name} and {second.name} at correlation {signs[1]}: asked for digits={digits}, but"
            f" their product is no activation ({reason}): use digits=15"
        ) from None
    found = certified_coefficients(activation, 0, 0, 1, digits)
    return found.coefficients[0], f"one variable: {found.method}"


def _whole(function: FieldFunction) -> sp.Expr:
    """The pieces as one expression; its values at the kinks themselves don't matter."""
    if len(function.pieces) == 1:
        return function.pieces[0].expression
    branches = [(p.expression, z < p.hi) for p in function.pieces[:-1]]
    return sp.Piecewise(*branches, (function.pieces[-1].expression, True))
