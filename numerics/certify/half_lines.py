r"""Closed forms for pieces that are sums of polynomials times exp of quadratic polynomials.

On an interval from t to T let g(x) = exp(-alpha x^2/2 + beta x + delta)/sqrt(2 pi). The moments J_i = integral of x^i
g(x) dx follow from J_0, a difference of error functions, by integration by parts:

    alpha J_(i+1) = beta J_i + i J_(i-1) + t^i g(t) - T^i g(T).
"""

from functools import lru_cache
from typing import Any, NamedTuple

import sympy as sp
from flint import arb, arb_poly

from ...theory.balls import ball_program
from ...theory.notation import z
from .law import Law
from .taylor import from_moments

__all__ = ["ExponentialTerm", "exponential_terms", "interval_integrals"]

_MAX_DEGREE = 256
_MAX_TERMS = 64


class ExponentialTerm(NamedTuple):
    """(sum_d coefficients[d] z^d) exp(linear z + quadratic z^2)."""

    coefficients: tuple[sp.Expr, ...]
    linear: sp.Expr
    quadratic: sp.Expr


_Sum = dict[tuple[sp.Expr, sp.Expr], list[sp.Expr]]


@lru_cache(maxsize=512)
def exponential_terms(expr: sp.Expr) -> tuple[ExponentialTerm, ...] | None:
    """Write an expression as a sum of polynomials times exponentials of quadratic polynomials.

    Parameters
    ----------
    expr : sympy.Expr
        An expression in ``z``.

    Returns
    -------
    tuple of ExponentialTerm or None
        None if it is not of this form, or too long.
    """
    found = _terms(expr)
    if found is None:
        return None
    terms = []
    for (linear, quadratic), coefficients in found.items():
        while coefficients and coefficients[-1].is_zero:
            coefficients = coefficients[:-1]
        if coefficients:
            terms.append(ExponentialTerm(tuple(coefficients), linear, quadratic))
    return tuple(terms)


def _terms(expr: sp.Expr) -> _Sum | None:
    zero = (sp.S.Zero, sp.S.Zero)
    if not expr.has(z):
        return {zero: [expr]}
    if expr == z:
        return {zero: [sp.S.Zero, sp.S.One]}
    if isinstance(expr, sp.Add | sp.Mul):
        total: _Sum | None = None
        for part in expr.args:
            terms = _terms(part)
            if terms is None:
                return None
            total = terms if total is None else (_plus if isinstance(expr, sp.Add) else _times)(total, terms)
            if total is None:
                return None
        return total
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer and 0 < expr.exp <= _MAX_DEGREE:
        base = _terms(expr.base)
        result: _Sum | None = {zero: [sp.S.One]}
        for _ in range(int(expr.exp)):
            result = None if base is None or result is None else _times(result, base)
        return result
    if isinstance(expr, sp.exp | sp.sinh | sp.cosh):
        poly = expr.args[0].as_poly(z)
        if poly is None or poly.degree() > 2 or any(c.has(z) for c in poly.coeffs()):
            return None
        c0, c1, c2 = (poly.coeff_monomial(z**i) for i in range(3))
        plus: _Sum = {(c1, c2): [sp.exp(c0)]}
        if isinstance(expr, sp.exp):
            return plus
        sign = 1 if isinstance(expr, sp.cosh) else -1
        return _plus({(c1, c2): [sp.exp(c0) / 2]}, {(-c1, -c2): [sign * sp.exp(-c0) / 2]})
    return None


def _plus(a: _Sum, b: _Sum) -> _Sum:
    total = dict(a)
    for key, more in b.items():
        old = total.get(key, [])
        size = max(len(old), len(more))
        padded = [[*c, *([sp.S.Zero] * (size - len(c)))] for c in (old, more)]
        total[key] = [x + y for x, y in zip(*padded, strict=True)]
    return total


def _times(a: _Sum, b: _Sum) -> _Sum | None:
    total: _Sum = {}
    for (l1, q1), c1 in a.items():
        for (l2, q2), c2 in b.items():
            product = [sp.S.Zero] * (len(c1) + len(c2) - 1)
            for i, x in enumerate(c1):
                for j, y in enumerate(c2):
                    product[i + j] += x * y
            total = _plus(total, {(l1 + l2, q1 + q2): product})
            if len(product) > _MAX_DEGREE + 1 or len(total) > _MAX_TERMS:
                return None
    return total


def _ball(expr: sp.Expr) -> Any:
    return ball_program(expr, ()).real()()


def interval_integrals(
    terms: tuple[ExponentialTerm, ...], field: Law, low: sp.Expr, high: sp.Expr, order: int
) -> list[Any] | None:
    """(integral of sigma(m + s x) He_k(x) phi(x) over m + s x in (low, high))/k!, k = 0, ..., order.

    Parameters
    ----------
    terms : tuple of ExponentialTerm
        sigma on the interval.
    field : Law
        m and s.
    low, high : sympy.Expr
        Exact ends of the interval of z; may be infinite.
    order : int
        Largest k.

    Returns
    -------
    list of flint.arb or None
        None if an exponential outweighs the Gaussian, where the formula does not apply.
    """
    m, s = field.balls()
    left = None if low.is_infinite else (_ball(low) - m) / s
    right = None if high.is_infinite else (_ball(high) - m) / s
    total = [arb(0)] * (order + 1)
    for term in terms:
        b, c = _ball(term.linear), _ball(term.quadratic)
        alpha = 1 - 2 * c * s * s
        if not alpha > 0:
            return None
        beta, delta = (b + 2 * c * m) * s, (b + c * m) * m
        polynomial = arb_poly([_ball(p) for p in term.coefficients])
        factors = polynomial(arb_poly([m, s])).coeffs() if len(term.coefficients) > 1 else polynomial.coeffs()
        moments = _moments(alpha, beta, delta, left, right, order + len(factors))
        mine = moments[: order + 1]
        if len(factors) != 1 or factors[0] != 1:
            mine = [sum((p * moments[i + d] for d, p in enumerate(factors)), arb(0)) for i in range(order + 1)]
        found = from_moments(arb(0), mine, order)
        for k in range(order + 1):
            total[k] += found[k]
    return total


def _moments(alpha: Any, beta: Any, delta: Any, left: Any, right: Any, count: int) -> list[Any]:
    root = alpha.sqrt()
    centre = beta / alpha
    half = root / arb(2).sqrt()
    u = None if left is None else half * (left - centre)
    v = None if right is None else half * (right - centre)
    moments = [(delta + beta * centre / 2).exp() / (2 * root) * _error_difference(u, v)]
    ends = []
    for end, sign in ((left, 1), (right, -1)):
        if end is not None:
            weight = sign * (delta + (beta - alpha * end / 2) * end).exp() / (2 * arb.pi()).sqrt()
            ends.append([weight, end])
    for i in range(count - 1):
        value = beta * moments[i]
        if i:
            value += i * moments[i - 1]
        for pair in ends:
            value += pair[0]
            pair[0] *= pair[1]
        moments.append(value / alpha)
    return moments


def _error_difference(u: Any, v: Any) -> Any:
    """erf(v) - erf(u) without the cancellation on one side of zero; None is an infinite end."""
    if u is None and v is None:
        return arb(2)
    if u is None:
        return (-v).erfc()
    if v is None:
        return u.erfc()
    if u > 0:
        return u.erfc() - v.erfc()
    return (-v).erfc() - (-u).erfc() if v < 0 else v.erf() - u.erf()
