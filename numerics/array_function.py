"""A formula in z on whole arrays: its values, what rounding may have done to them, and its continuation off the axis.

A smooth SymPy expression becomes a short list of array operations. Overflow is avoided where a formula invites it
(softplus, logistic functions, 1 + erf), and a running bound of the rounding errors comes with the values: each
operation passes on the errors of its arguments by a bound of its slope on the whole interval that they may lie in, and
adds its own. A cancellation, or a node that is known only to an absolute 1e-13, thus shows in the numbers that rest on
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy import special

from ..theory.errors import CodegenError
from ..theory.notation import z

__all__ = ["UNIT", "ArrayFunction", "array_function"]

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]

UNIT = 2.0**-53
"""Half the distance of 1 to the next double."""

# Relative error of one library function: NumPy's vector library promises 4 ulp, Cephes and Faddeeva less near zeros.
_LIBRARY = 8.0 * UNIT
_LOG_TWO = math.log(2.0)
_SLOPE_OF_ERF = 2.0 / math.sqrt(math.pi)

_Error = Callable[[Any, tuple[Any, ...], tuple[Any, ...]], Any]


@dataclass(frozen=True)
class _Operation:
    """One array operation: value on the real axis, error from (value, arguments, their errors), value off the axis."""

    real: Callable[..., Any]
    error: _Error
    off_axis: Callable[..., Any]
    noise: float = 16.0 * UNIT


# -- sums, products, powers -------------------------------------------------------------------------------------------


def _add(*terms: Any) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _add_error(value: Any, arguments: tuple[Any, ...], errors: tuple[Any, ...]) -> Any:
    if len(arguments) == 2:
        return errors[0] + errors[1] + UNIT * abs(value)
    return _add(*errors) + (len(arguments) - 1) * UNIT * _add(*(abs(a) for a in arguments))


def _multiply(a: Any, b: Any) -> Any:
    return a * b


def _multiply_error(value: Any, arguments: tuple[Any, ...], errors: tuple[Any, ...]) -> Any:
    a, b = arguments
    ea, eb = errors
    if isinstance(a, float):  # a constant: its relative error and the product's rounding
        relative = ea / abs(a) + UNIT
        return abs(a) * eb * (1.0 + relative) + relative * abs(value)
    return abs(a) * eb + (abs(b) + eb) * ea + UNIT * abs(value)


def _integer_power(n: int) -> _Operation:
    """b**n, n >= 2, by repeated squaring."""

    def power(b: Any) -> Any:
        result, square, left = None, b, n
        while left:
            if left & 1:
                result = square if result is None else result * square
            left >>= 1
            if left:
                square = square * square
        return result

    def error(value: Any, arguments: tuple[Any, ...], errors: tuple[Any, ...]) -> Any:
        (b,), (e,) = arguments, errors
        slope = (abs(b) + e) ** (n - 1) if n > 2 else abs(b) + e
        return n * slope * e + n * UNIT * abs(value)

    return _Operation(power, error, power)


def _reciprocal_error(value: Any, arguments: tuple[Any, ...], errors: tuple[Any, ...]) -> Any:
    (b,), (e,) = arguments, errors
    least = abs(b) - e
    return np.where(least > 0.0, abs(value) * e / least, np.inf) + UNIT * abs(value)


def _root_error(value: Any, arguments: tuple[Any, ...], errors: tuple[Any, ...]) -> Any:
    # |sqrt(a) - sqrt(b)| <= |a - b|/sqrt(b) and <= sqrt|a - b|
    (e,) = errors
    return np.fmin(e / value, np.sqrt(e)) + UNIT * value


def _rational_power(r: float) -> _Operation:
    """b**r for b >= 0 and r > 0, not an integer."""

    def power(b: Any) -> Any:
        return np.maximum(b, 0.0) ** r

    def error(value: Any, arguments: tuple[Any, ...], errors: tuple[Any, ...]) -> Any:
        (b,), (e,) = arguments, errors
        if r > 1.0:
            return r * e * (abs(b) + e) ** (r - 1.0) + _LIBRARY * value
        # |a^r - b^r| <= |a - b|^r; away from zero the slope is smaller
        least = np.maximum(b - e, 0.0)
        return np.fmin(r * e * least ** (r - 1.0), e**r) + _LIBRARY * value

    return _Operation(power, error, lambda b: b**r)


# -- functions --------------------------------------------------------------------------------------------------------


def _function(
    real: Callable[[Any], Any],
    slope: Callable[[Any, Any, Any], Any],
    off_axis: Callable[[Any], Any] | None = None,
    library: float = _LIBRARY,
    noise: float = 16.0 * UNIT,
) -> _Operation:
    """An operation from a bound ``slope(value, argument, error)`` of its derivative within the argument's error."""

    def error(value: Any, arguments: tuple[Any, ...], errors: tuple[Any, ...]) -> Any:
        return slope(value, arguments[0], errors[0]) * errors[0] + library * abs(value)

    return _Operation(real, error, real if off_axis is None else off_axis, noise)


def _logistic_off_axis(u: Any) -> Any:
    right = u.real > 0.0
    small = np.exp(np.where(right, -u, u))
    value = 1.0 / (1.0 + small)
    return np.where(right, value, small * value)


def _softplus_off_axis(u: Any) -> Any:
    right = u.real > 0.0
    return np.where(right, u, 0.0) + _log1p(np.exp(np.where(right, -u, u)))


def _log1p(u: Any) -> Any:
    """NumPy's complex log1p loses the digits of small arguments; Kahan's quotient keeps them."""
    shifted = 1.0 + u
    return np.where(shifted == 1.0, u, np.log(shifted) * (u / (shifted - 1.0)))


def _log_cosh(u: Any) -> Any:
    size = np.abs(u)
    return np.where(size < 0.5, np.log1p(2.0 * np.sinh(0.5 * u) ** 2), size + np.log1p(np.exp(-2.0 * size)) - _LOG_TWO)


def _log_cosh_error(value: Any, arguments: tuple[Any, ...], errors: tuple[Any, ...]) -> Any:
    u, e = abs(arguments[0]), errors[0]
    return np.minimum(u + e, 1.0) * e + _LIBRARY * (abs(value) + np.where(u < 0.5, 0.0, 1.0))


def _log_cosh_off_axis(u: Any) -> Any:
    right = np.where(u.real > 0.0, u, -u)
    return right + _log1p(np.exp(-2.0 * right)) - _LOG_TWO


def _nearest(u: Any, e: Any) -> Any:
    """Least |x| within e of u."""
    return np.maximum(abs(u) - e, 0.0)


def _erf_slope(value: Any, u: Any, e: Any) -> Any:
    return _SLOPE_OF_ERF * np.exp(-(_nearest(u, e) ** 2))


def _erfi_slope(value: Any, u: Any, e: Any) -> Any:
    return _SLOPE_OF_ERF * np.exp((abs(u) + e) ** 2)


def _erfc_error(value: Any, arguments: tuple[Any, ...], errors: tuple[Any, ...]) -> Any:
    # exp(-u^2) loses u^2 rounding units in Cephes where erfc is small
    u, e = arguments[0], errors[0]
    return _erf_slope(value, u, e) * e + np.where(u > 0.0, 2.0 + u * u, 0.5) * _LIBRARY * value


def _inside_unit(u: Any, e: Any) -> Any:
    """Least 1 - x^2 within e of u, not below zero."""
    return np.maximum(1.0 - (abs(u) + e) ** 2, 0.0)


# A slope whose own logarithmic derivative is at most c may be exp(c e) times larger within e of the argument.
_FUNCTIONS: dict[type[sp.Function], _Operation] = {
    sp.exp: _function(np.exp, lambda v, u, e: v * np.exp(e)),
    sp.log: _function(np.log, lambda v, u, e: np.where(u > e, 1.0 / (u - e), np.inf)),
    sp.sin: _function(np.sin, lambda v, u, e: 1.0),
    sp.cos: _function(np.cos, lambda v, u, e: 1.0),
    sp.tan: _function(np.tan, lambda v, u, e: np.where(abs(v) * e < 0.1, 1.5 * (1.0 + v * v), np.inf)),
    sp.tanh: _function(np.tanh, lambda v, u, e: (1.0 + 2.0 * _LIBRARY - v * v) * np.exp(2.0 * e)),
    sp.sinh: _function(np.sinh, lambda v, u, e: (1.0 + abs(v)) * np.exp(e)),
    sp.cosh: _function(np.cosh, lambda v, u, e: v * np.exp(e)),
    sp.asin: _function(np.arcsin, lambda v, u, e: 1.0 / np.sqrt(_inside_unit(u, e))),
    sp.acos: _function(np.arccos, lambda v, u, e: 1.0 / np.sqrt(_inside_unit(u, e))),
    sp.atanh: _function(np.arctanh, lambda v, u, e: 1.0 / _inside_unit(u, e)),
    sp.atan: _function(np.arctan, lambda v, u, e: np.exp(e) / (1.0 + u * u)),
    sp.asinh: _function(np.arcsinh, lambda v, u, e: np.exp(e) / np.sqrt(1.0 + u * u)),
    sp.erf: _function(special.erf, _erf_slope, noise=200.0 * UNIT),
    sp.erfc: _Operation(special.erfc, _erfc_error, special.erfc, 200.0 * UNIT),
    sp.erfi: _function(special.erfi, _erfi_slope, library=64.0 * UNIT, noise=400.0 * UNIT),
}
_LOGISTIC = _function(special.expit, lambda v, u, e: v * (1.0 + _LIBRARY - v) * np.exp(e), _logistic_off_axis)
_SOFTPLUS = _function(
    lambda u: np.logaddexp(0.0, u), lambda v, u, e: -np.expm1(-v) * np.exp(e), _softplus_off_axis, noise=64.0 * UNIT
)
_LOG_COSH = _Operation(_log_cosh, _log_cosh_error, _log_cosh_off_axis, 64.0 * UNIT)
_ADD = _Operation(_add, _add_error, _add)
_MULTIPLY = _Operation(_multiply, _multiply_error, _multiply)
_RECIPROCAL = _Operation(lambda b: 1.0 / b, _reciprocal_error, lambda b: 1.0 / b)
_ROOT = _Operation(lambda b: np.sqrt(np.maximum(b, 0.0)), _root_error, np.sqrt)


# -- the list of operations -------------------------------------------------------------------------------------------


class ArrayFunction:
    """A smooth function of z on arrays.

    Made by :func:`array_function`. Results of overflow or of a domain error are infinite or NaN, never a warning.

    Attributes
    ----------
    noise : float
        Size of the rounding errors of :meth:`off_axis`, relative to its values, cancellation apart.
    """

    def __init__(self, constants: list[tuple[float, float]], steps: list[tuple[_Operation, tuple[int, ...]]]) -> None:
        # Register 0 is z, then come the constants, then the results.
        self._values = [0.0, *(value for value, _ in constants)]
        self._errors = [0.0, *(error for _, error in constants)]
        self._steps = tuple(steps)
        self.noise = max((operation.noise for operation, _ in steps), default=UNIT)

    def with_error(self, nodes: Real, error: Real) -> tuple[Real, Real]:
        """Values at nodes that are themselves known up to an error, and a bound of the values' errors.

        Parameters
        ----------
        nodes, error : array, shape (...)
            Arguments and absolute bounds of their errors.

        Returns
        -------
        values, errors : array, shape (...)
            ``|values - f(x)| <= errors`` for each x within `error` of its node, up to terms of second order in the
            unit of rounding and to underflow; infinite where nothing is known.
        """
        values: list[Any] = [nodes, *self._values[1:]]
        errors: list[Any] = [error, *self._errors[1:]]
        with np.errstate(all="ignore"):
            for operation, places in self._steps:
                arguments = tuple([values[i] for i in places])
                value = operation.real(*arguments)
                errors.append(operation.error(value, arguments, tuple([errors[i] for i in places])))
                values.append(value)
        return _spread(values[-1], nodes), _spread(errors[-1], nodes)

    def off_axis(self, points: Complex) -> Complex:
        """The analytic continuation at complex points near the real axis.

        Parameters
        ----------
        points : complex array, shape (...)
            Arguments.

        Returns
        -------
        complex array, shape (...)
            Beyond the nearest singularity the values are those of the principal branches.
        """
        values: list[Any] = [points, *self._values[1:]]
        with np.errstate(all="ignore"):
            for operation, places in self._steps:
                values.append(operation.off_axis(*[values[i] for i in places]))
        last = values[-1]
        return last if isinstance(last, np.ndarray) else np.full(points.shape, last, np.complex128)


def _spread(value: Any, like: Real) -> Real:
    """A function without z has scalars for values."""
    return value if isinstance(value, np.ndarray) else np.full(like.shape, value)


def array_function(expression: sp.Expr) -> ArrayFunction:
    """Turn a smooth expression in z into array operations.

    Parameters
    ----------
    expression : sympy.Expr
        Real and analytic where it will be used: a piece of an :class:`~hermiton.theory.activation.Activation`.

    Returns
    -------
    ArrayFunction
        The function.

    Raises
    ------
    CodegenError
        If the expression holds a function that is not known here.

    Examples
    --------
    >>> softplus = array_function(sp.log(1 + sp.exp(z)))
    >>> value, error = softplus.with_error(np.array([1000.0]), np.array([0.0]))
    >>> float(value[0])
    1000.0
    """
    return _Builder().build(expression)


class _Builder:
    def __init__(self) -> None:
        self.constants: list[tuple[float, float]] = []
        self.steps: list[tuple[_Operation, tuple[int, ...]]] = []
        # Constants are counted only in the end: until then they have negative places -1, -2, ...
        self.places: dict[sp.Expr, int] = {z: 0}

    def build(self, expression: sp.Expr) -> ArrayFunction:
        last = self.place(expression)
        first = 1 + len(self.constants)

        def final(place: int) -> int:
            return -place if place <= 0 else place - 1 + first

        steps = [(operation, tuple(final(p) for p in places)) for operation, places in self.steps]
        if last <= 0:  # z itself or a constant
            steps.append((_Operation(lambda u: u, lambda v, u, e: e[0], lambda u: u), (final(last),)))
        return ArrayFunction(self.constants, steps)

    def place(self, expr: sp.Expr) -> int:
        found = self.places.get(expr)
        if found is None:
            found = self.constant(expr) if not expr.has(z) else self.compound(expr)
            self.places[expr] = found
        return found

    def constant(self, expr: sp.Expr) -> int:
        exact = expr.evalf(40)
        if not exact.is_Float and not exact.is_Rational:
            raise CodegenError(f"the constant {expr} has no real value")
        value = float(exact)
        self.constants.append((value, 0.0 if expr.is_Rational and sp.Rational(value) == expr else UNIT * abs(value)))
        return -len(self.constants)

    def step(self, operation: _Operation, *places: int) -> int:
        self.steps.append((operation, places))
        return len(self.steps)

    def compound(self, expr: sp.Expr) -> int:
        if isinstance(expr, sp.Add):
            return self.sum(expr)
        if isinstance(expr, sp.Mul):
            return self.product(expr)
        if isinstance(expr, sp.Pow):
            return self.power(expr.base, expr.exp)
        if isinstance(expr, sp.log):
            stable = self.logarithm(expr.args[0])
            if stable is not None:
                return stable
        if type(expr) in _FUNCTIONS:
            return self.step(_FUNCTIONS[type(expr)], self.place(expr.args[0]))
        for function, rewritten in _BY_OTHERS.items():
            if isinstance(expr, function):
                return self.place(rewritten(expr.args[0]))
        raise CodegenError(f"no array function for {type(expr).__name__} in {expr}")

    def sum(self, expr: sp.Add) -> int:
        # c + c erf(u) = c erfc(-u), which keeps its digits where it is small
        number = expr.as_coeff_Add()[0]
        for term in expr.args if number else ():
            factor, rest = term.as_coeff_Mul()
            if isinstance(rest, sp.erf) and factor in (number, -number):
                argument = -rest.args[0] if factor == number else rest.args[0]
                tail = number * sp.erfc(argument, evaluate=False)  # SymPy would write 2 - erfc(u)
                return self.place(expr - number - term + tail) if len(expr.args) > 2 else self.place(tail)
        return self.step(_ADD, *(self.place(a) for a in expr.args))

    def product(self, expr: sp.Mul) -> int:
        stable = self.logistic_product(expr)
        if stable is not None:
            return stable
        number = sp.Mul(*(a for a in expr.args if not a.has(z)))
        factors = [a for a in expr.args if a.has(z)]
        last = self.place(factors[0])
        for factor in factors[1:]:
            last = self.step(_MULTIPLY, last, self.place(factor))
        return last if number == 1 else self.step(_MULTIPLY, self.place(number), last)

    def logistic_product(self, expr: sp.Mul) -> int | None:
        """exp(j u)/(c + k exp(u))^n, 0 < j <= n, as logistic functions: the exponential alone may overflow."""
        for factor in expr.args:
            shape = _logistic_shape(factor)
            if shape is None:
                continue
            c, k, u, n = shape
            for other in expr.args:
                j = sp.cancel(other.args[0] / u) if isinstance(other, sp.exp) else sp.S.Zero
                if j.is_Integer and 0 < j <= n:
                    shift = u + sp.log(k / c)
                    up, down = self._raised(shift, int(j)), self._raised(-shift, int(n - j))
                    both = up if down is None else down if up is None else self.step(_MULTIPLY, up, down)
                    rest = sp.Mul(*(a for a in expr.args if a is not factor and a is not other)) / (k**j * c ** (n - j))
                    assert both is not None
                    return both if rest == 1 else self.step(_MULTIPLY, self.place(rest), both)
        return None

    def _raised(self, argument: sp.Expr, n: int) -> int | None:
        if n == 0:
            return None
        place = self.step(_LOGISTIC, self.place(argument))
        return place if n == 1 else self.step(_integer_power(n), place)

    def power(self, base: sp.Expr, exponent: sp.Expr) -> int:
        if not exponent.is_Rational:
            return self.place(sp.exp(exponent * sp.log(base), evaluate=False))
        shape = _logistic_shape(sp.Pow(base, exponent, evaluate=False))
        if shape is not None:
            c, k, u, n = shape
            place = self._raised(-u - sp.log(k / c), int(n))
            assert place is not None
            return place if c == 1 else self.step(_MULTIPLY, self.place(c**-n), place)
        if exponent.is_negative:
            return self.step(_RECIPROCAL, self.place(base) if exponent == -1 else self.power(base, -exponent))
        place = self.place(base)
        if exponent.is_Integer:
            return self.step(_integer_power(int(exponent)), place)
        if exponent.q == 2:
            root = self.step(_ROOT, place)
            return root if exponent.p == 1 else self.step(_integer_power(int(exponent.p)), root)
        return self.step(_rational_power(float(exponent)), place)

    def logarithm(self, inside: sp.Expr) -> int | None:
        """log(c + k exp(u)) and log(cosh(u)), which overflow as they stand."""
        if isinstance(inside, sp.cosh):
            return self.step(_LOG_COSH, self.place(inside.args[0]))
        shape = _logistic_shape(1 / inside)
        if shape is None:
            return None
        c, k, u, n = shape
        place = self.step(_SOFTPLUS, self.place(u + sp.log(k / c)))
        if n != 1:
            place = self.step(_MULTIPLY, self.place(n), place)
        return place if c == 1 else self.step(_ADD, place, self.place(n * sp.log(c)))


def _logistic_shape(factor: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr, sp.Integer] | None:
    """(c, k, u, n) if the factor is (c + k exp(u))**-n with positive numbers c and k."""
    if not isinstance(factor, sp.Pow) or not factor.exp.is_Integer or not factor.exp.is_negative:
        return None
    base = factor.base
    if not isinstance(base, sp.Add) or len(base.args) != 2:
        return None
    c, other = base.as_independent(z, as_Add=True)
    k, exponential = other.as_independent(z, as_Add=False)
    if not isinstance(exponential, sp.exp) or not c.is_positive or not k.is_positive:
        return None
    return c, k, exponential.args[0], -factor.exp


_BY_OTHERS: dict[type[sp.Function], Callable[[sp.Expr], sp.Expr]] = {
    sp.sec: lambda u: 1 / sp.cos(u),
    sp.csc: lambda u: 1 / sp.sin(u),
    sp.cot: lambda u: sp.cos(u) / sp.sin(u),
    sp.sech: lambda u: 1 / sp.cosh(u),
    sp.csch: lambda u: 1 / sp.sinh(u),
    sp.coth: lambda u: 1 / sp.tanh(u),
}
