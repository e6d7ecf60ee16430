"""Exact Taylor coefficients by power series arithmetic, without derivatives of expressions."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from ..errors import AccuracyError
from ..notation import z

__all__ = ["taylor"]

Series = list[sp.Expr]


def taylor(expr: sp.Expr, order: int, point: sp.Expr = sp.S.Zero) -> tuple[sp.Expr, ...]:
    """Coefficients s_0, ..., s_order of sum_k s_k (z - point)^k.

    Parameters
    ----------
    expr : sympy.Expr
        Analytic at the point; of powers and the functions that an activation may use.
    order : int
        Largest k.
    point : sympy.Expr
        Where to expand.

    Returns
    -------
    tuple of sympy.Expr
        Exact, not divided or multiplied by k!.

    Raises
    ------
    AccuracyError
        If a part has no series known here.

    >>> taylor(sp.tanh(z), 5)
    (0, 1, 0, -1/3, 0, 2/15)
    """
    return tuple(_Series(order, sp.sympify(point, strict=True)).of(expr))


class _Series:
    def __init__(self, order: int, point: sp.Expr) -> None:
        self.order = order
        self.point = point
        self.known: dict[sp.Expr, Series] = {}

    def of(self, expr: sp.Expr) -> Series:
        if expr not in self.known:
            self.known[expr] = self._compute(expr)
        return self.known[expr]

    def _compute(self, expr: sp.Expr) -> Series:
        if not expr.has(z):
            return self._constant(expr)
        if expr == z:
            series = self._constant(self.point)
            series[1:2] = [sp.S.One] * (self.order > 0)
            return series
        if isinstance(expr, sp.Add):
            return [sp.expand(sp.Add(*column)) for column in zip(*(self.of(a) for a in expr.args), strict=True)]
        if isinstance(expr, sp.Mul):
            product = self._constant(sp.S.One)
            for factor in expr.args:
                product = self._times(product, self.of(factor))
            return product
        if isinstance(expr, sp.Pow) and not expr.exp.has(z):
            return self._power(self.of(expr.base), expr.exp)
        if isinstance(expr, sp.Pow):
            return self.of(sp.exp(expr.exp * sp.log(expr.base)))
        return self._function(expr)

    def _constant(self, value: sp.Expr) -> Series:
        return [value, *[sp.S.Zero] * self.order]

    def _times(self, a: Series, b: Series) -> Series:
        return [sp.expand(sp.Add(*(a[j] * b[k - j] for j in range(k + 1) if a[j] != 0))) for k in range(self.order + 1)]

    def _power(self, u: Series, exponent: sp.Expr) -> Series:
        if exponent.is_Integer and exponent.is_nonnegative:
            result = self._constant(sp.S.One)
            for _ in range(int(exponent)):
                result = self._times(result, u)
            return result
        if u[0].is_zero:
            raise AccuracyError(f"no Taylor series at {self.point}: a base vanishes there")
        y = [u[0] ** exponent]
        for k in range(1, self.order + 1):  # u y' = r u' y
            terms = (((exponent * j) - (k - j)) * u[j] * y[k - j] for j in range(1, k + 1) if u[j] != 0)
            y.append(sp.expand(sp.Add(*terms) / (k * u[0])))
        return y

    def _integral(self, start: sp.Expr, slope: Series) -> Series:
        return [start, *(slope[k] / (k + 1) for k in range(self.order))]

    def _slope(self, u: Series) -> Series:
        return [*((k + 1) * u[k + 1] for k in range(self.order)), sp.S.Zero]

    def _exponential(self, u: Series) -> Series:
        y = [sp.exp(u[0])]
        for k in range(1, self.order + 1):  # y' = u' y
            y.append(sp.expand(sp.Add(*(j * u[j] * y[k - j] for j in range(1, k + 1) if u[j] != 0)) / k))
        return y

    def _riccati(self, start: sp.Expr, u: Series, sign: int) -> Series:
        """Solution of y' = u' (1 + sign y^2): tanh and tan."""
        slope, y, square = self._slope(u), [start], []
        for k in range(self.order):
            square.append(sp.expand(sp.Add(*(y[j] * y[k - j] for j in range(k + 1)))))
            right = slope[k] + sign * sp.Add(*(slope[j] * square[k - j] for j in range(k + 1) if slope[j] != 0))
            y.append(sp.expand(right / (k + 1)))
        return y

    def _trigonometric(self, u: Series) -> tuple[Series, Series]:
        slope, sine, cosine = self._slope(u), [sp.sin(u[0])], [sp.cos(u[0])]
        for k in range(self.order):
            pairs = [(slope[j], k - j) for j in range(k + 1) if slope[j] != 0]
            up = sp.Add(*(a * cosine[i] for a, i in pairs)) / (k + 1)
            down = sp.Add(*(-a * sine[i] for a, i in pairs)) / (k + 1)
            sine.append(sp.expand(up))
            cosine.append(sp.expand(down))
        return sine, cosine

    def _function(self, expr: sp.Expr) -> Series:
        kind = type(expr)
        if kind in (sp.sinh, sp.cosh, sp.sech, sp.csch, sp.coth):
            return self.of(expr.rewrite(sp.tanh) if kind is sp.coth else _as_exponentials(expr))
        if kind not in _SLOPES and kind not in (sp.exp, sp.sin, sp.cos, sp.tanh, sp.tan):
            raise AccuracyError(f"no Taylor series of {kind.__name__} is known here")
        u = self.of(expr.args[0])
        if kind is sp.exp:
            return self._exponential(u)
        if kind in (sp.sin, sp.cos):
            return self._trigonometric(u)[kind is sp.cos]
        if kind in (sp.tanh, sp.tan):
            return self._riccati(kind(u[0]), u, -1 if kind is sp.tanh else 1)
        return self._integral(kind(u[0]), self._times(self._slope(u), _SLOPES[kind](self, u)))


def _as_exponentials(expr: sp.Expr) -> sp.Expr:
    return expr.func(expr.args[0]).rewrite(sp.exp, deep=False)


def _quadratic(series: _Series, u: Series, sign: int, exponent: sp.Expr) -> Series:
    """(1 + sign u^2)^exponent."""
    base = [sign * c for c in series._times(u, u)]
    return series._power([base[0] + 1, *base[1:]], exponent)


def _gaussian(series: _Series, u: Series, sign: int) -> Series:
    return [2 / sp.sqrt(sp.pi) * c for c in series._exponential([sign * c for c in series._times(u, u)])]


_HALF = sp.Rational(1, 2)
# d/du of the functions that are integrals of simpler ones
_SLOPES: dict[type[sp.Function], Callable[[_Series, Series], Series]] = {
    sp.log: lambda s, u: s._power(u, sp.S.NegativeOne),
    sp.atan: lambda s, u: _quadratic(s, u, 1, sp.S.NegativeOne),
    sp.atanh: lambda s, u: _quadratic(s, u, -1, sp.S.NegativeOne),
    sp.asinh: lambda s, u: _quadratic(s, u, 1, -_HALF),
    sp.asin: lambda s, u: _quadratic(s, u, -1, -_HALF),
    sp.acos: lambda s, u: [-c for c in _quadratic(s, u, -1, -_HALF)],
    sp.erf: lambda s, u: _gaussian(s, u, -1),
    sp.erfc: lambda s, u: [-c for c in _gaussian(s, u, -1)],
    sp.erfi: lambda s, u: _gaussian(s, u, 1),
}
