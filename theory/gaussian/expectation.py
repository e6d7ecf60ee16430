"""Expectations over jointly Gaussian variables: an unevaluated SymPy node, and the call that evaluates what it can."""

from collections.abc import Mapping, Sequence
from typing import Any

import mpmath
import sympy as sp

from ..errors import argument_error
from ..notation import z
from ..pieces import NotPiecewiseError, smooth_pieces
from ..real_line import NotRealError
from .wick import check_gaussian, wick

__all__ = ["KINKED", "GaussianExpectation", "gaussian_expectation"]

KINKED = (sp.Abs, sp.sign, sp.Heaviside, sp.Max, sp.Min, sp.Piecewise)


class GaussianExpectation(sp.Expr):  # type: ignore[misc]  # SymPy has no types
    """The unevaluated expectation E[integrand] over z ~ N(mean, covariance).

    Parameters
    ----------
    integrand : sympy.Expr
        A function of `variables`; other symbols are parameters.
    variables : sequence of sympy.Symbol
        The Gaussian variables; they are bound. Variables that the integrand does not use are dropped.
    covariance : sympy matrix, shape (n, n)
        Symmetric.
    mean : sequence or sympy matrix of length n, optional
        Zero by default.

    Notes
    -----
    ``diff`` differentiates under the expectation: in a parameter of the integrand directly, in one of mean or
    covariance through E[d_a Phi] and Price's theorem, or, when the integrand has kinks, through the score of the
    density. ``evalf`` integrates numerically with mpmath, for at most two variables; ``doit`` calls
    :func:`gaussian_expectation`.

    *Validity.* The expectations, and those of the derivatives that are taken, must be finite. This is not checked here.
    """

    is_commutative = True

    def __new__(
        cls,
        integrand: sp.Expr,
        variables: Sequence[sp.Symbol],
        covariance: sp.MatrixBase,
        mean: Sequence[sp.Expr] | sp.MatrixBase | None = None,
    ) -> Any:
        """Drop unused variables; an integrand that uses none is its own expectation."""
        body = sp.sympify(integrand, strict=True)
        fields = tuple(variables)
        matrix, vector = check_gaussian(covariance, mean, len(fields))
        used = [a for a, field in enumerate(fields) if body.has(field)]
        if not used:
            return body
        if len(used) < len(fields):
            matrix = matrix.extract(used, used)
            vector = vector.extract(used, [0])
            fields = tuple(fields[a] for a in used)
        return super().__new__(cls, body, sp.Tuple(*fields), matrix, vector)

    @property
    def integrand(self) -> sp.Expr:
        """The function under the expectation."""
        return self.args[0]

    @property
    def variables(self) -> tuple[sp.Symbol, ...]:
        """The Gaussian (bound) variables."""
        return tuple(self.args[1])

    @property
    def covariance(self) -> sp.ImmutableMatrix:
        """Their covariance, shape (n, n)."""
        return self.args[2]

    @property
    def mean(self) -> sp.ImmutableMatrix:
        """Their mean, shape (n, 1)."""
        return self.args[3]

    @property
    def bound_symbols(self) -> list[sp.Symbol]:
        """The variables that are integrated out."""
        return list(self.variables)

    @property
    def free_symbols(self) -> set[sp.Basic]:
        """Parameters: the symbols of the integrand that are not bound, and those of mean and covariance."""
        inside = self.integrand.free_symbols - set(self.variables)
        return set(inside | self.covariance.free_symbols | self.mean.free_symbols)

    def _eval_is_extended_real(self) -> bool | None:
        return True if self.integrand.is_extended_real else None

    def _eval_subs(self, old: sp.Basic, new: sp.Basic) -> sp.Expr | None:
        if old in self.variables:
            return self
        fields = self.variables
        body = self.integrand
        if sp.sympify(new).free_symbols & set(fields):
            fresh = {f: sp.Dummy(f.name, **f.assumptions0) for f in fields}
            body, fields = body.xreplace(fresh), tuple(fresh.values())
        return GaussianExpectation(
            body._subs(old, new), fields, self.covariance.subs(old, new), self.mean.subs(old, new)
        )

    def _eval_derivative(self, parameter: sp.Symbol) -> sp.Expr:
        if parameter in self.variables:
            return sp.S.Zero
        total = self._same_law(sp.diff(self.integrand, parameter))
        mean = self.mean.diff(parameter)
        covariance = self.covariance.diff(parameter)
        if mean.is_zero_matrix and covariance.is_zero_matrix:
            return total
        if self.integrand.has(*KINKED):
            return total + self._same_law(self.integrand * self._score(mean, covariance))
        fields = self.variables
        for a, x in enumerate(fields):
            first = sp.diff(self.integrand, x)
            total += mean[a] * self._same_law(first)
            for b, y in enumerate(fields[: a + 1]):
                if covariance[a, b] != 0:
                    factor = sp.Rational(1, 2) if a == b else sp.S.One
                    total += factor * covariance[a, b] * self._same_law(sp.diff(first, y))
        return total

    def _same_law(self, body: sp.Expr) -> sp.Expr:
        return GaussianExpectation(body, self.variables, self.covariance, self.mean)

    def _score(self, mean: sp.MatrixBase, covariance: sp.MatrixBase) -> sp.Expr:
        """Derivative of the log-density along (mean, covariance): needs no derivative of the integrand."""
        precision = self.covariance.inv()
        centred = precision * (sp.Matrix(self.variables) - self.mean)
        quadratic = (centred.T * covariance * centred)[0] - (precision * covariance).trace()
        return (mean.T * centred)[0] + quadratic / 2

    def doit(self, **hints: object) -> sp.Expr:
        """Evaluate exactly what has a closed form, and keep the rest.

        Returns
        -------
        sympy.Expr
        """
        return gaussian_expectation(self.integrand, self.variables, covariance=self.covariance, mean=self.mean)

    def _eval_evalf(self, prec: int) -> sp.Expr:
        if self.free_symbols or len(self.variables) > 2:
            return self
        with mpmath.workprec(prec + 20):
            value = _integrate_one(self) if len(self.variables) == 1 else _integrate_two(self)
        return sp.Float._new(value._mpf_, prec)

    def _latex(self, printer: Any, *_: object) -> str:
        return rf"\mathbb{{E}}\left[{printer._print(self.integrand)}\right]"

    def _sympystr(self, printer: Any, *_: object) -> str:
        return f"E[{printer._print(self.integrand)}]"


def _reach(prec: int) -> int:
    """Standard deviations beyond which a Gaussian tail is below 2^-prec, with room for a growing integrand."""
    return int(mpmath.sqrt(2 * prec * mpmath.log(2))) + 6


def _integrate_one(node: GaussianExpectation) -> Any:
    (field,) = node.variables
    mean = mpmath.mpf(node.mean[0].evalf(mpmath.mp.dps + 5))
    variance = mpmath.mpf(node.covariance[0, 0].evalf(mpmath.mp.dps + 5))
    function = sp.lambdify(field, node.integrand, "mpmath")
    if variance == 0:
        return mpmath.mpf(function(mean))
    std = mpmath.sqrt(variance)
    reach = _reach(mpmath.mp.prec)
    points = [mpmath.mpf(k) for k in range(-reach, reach + 1, 2)]
    try:
        pieces = smooth_pieces(node.integrand.subs(field, z))
    except (NotPiecewiseError, NotRealError):
        pieces = ()  # an integrand outside the whitelist: the quadrature gets no cuts
    for piece in pieces[1:]:
        cut = (mpmath.mpf(piece.lo.evalf(mpmath.mp.dps + 5)) - mean) / std
        if -reach < cut < reach:
            points.append(cut)

    def weighted(x: Any) -> Any:
        return function(mean + std * x) * mpmath.npdf(x)

    return mpmath.re(mpmath.quad(weighted, sorted(points), method="gauss-legendre"))


def _integrate_two(node: GaussianExpectation) -> Any:
    """Trapezoidal rule on the whitened plane, halved until it settles: exponentially accurate if analytic."""
    digits = mpmath.mp.dps + 5
    m1, m2 = (mpmath.mpf(v.evalf(digits)) for v in node.mean)
    c11, c12, c22 = (mpmath.mpf(node.covariance[i].evalf(digits)) for i in (0, 1, 3))
    s1 = mpmath.sqrt(c11)
    slope = c12 / s1 if s1 else mpmath.mpf(0)
    s2 = mpmath.sqrt(max(c22 - slope**2, 0))
    function = sp.lambdify(node.variables, node.integrand, "mpmath")
    reach = _reach(mpmath.mp.prec)

    def rule(step: Any) -> Any:
        count = int(reach / step)
        nodes = [k * step for k in range(-count, count + 1)]
        weights = [mpmath.npdf(x) * step for x in nodes]
        return mpmath.fsum(
            function(m1 + s1 * x, m2 + slope * x + s2 * y) * u * v
            for x, u in zip(nodes, weights, strict=True)
            for y, v in zip(nodes, weights, strict=True)
            if u * v > mpmath.ldexp(1, -mpmath.mp.prec - 30)
        )

    step = mpmath.mpf(1) / 2
    old = rule(step)
    for _ in range(3):
        step /= 2
        new = rule(step)
        if abs(new - old) <= mpmath.ldexp(1, -mpmath.mp.prec // 2) * (1 + abs(new)):
            return mpmath.re(new)  # the error squares (at least) with each halving
        old = new
    return mpmath.re(old)


def gaussian_expectation(
    expr: sp.Expr,
    variables: Mapping[sp.Symbol, object] | Sequence[sp.Symbol],
    *,
    mean: Mapping[sp.Symbol, sp.Expr] | Sequence[sp.Expr] | sp.MatrixBase | None = None,
    covariance: Mapping[tuple[sp.Symbol, sp.Symbol], sp.Expr]
    | sp.MatrixBase
    | Sequence[Sequence[sp.Expr]]
    | None = None,
) -> sp.Expr:
    """Exact expectation of an expression in jointly Gaussian variables.

    Polynomials are evaluated by Wick's theorem; products of powers, ``erf(b*x)``, ``exp`` of quadratics in one variable
    and of linear forms, and ``sin``/``cos`` of linear forms by Stein's lemma, tilting and Price's theorem; piecewise
    polynomials of one variable by truncated moments. Terms outside these stay as :class:`GaussianExpectation`.

    Parameters
    ----------
    expr : sympy.Expr
        Function of the Gaussian symbols; other symbols are parameters.
    variables : mapping or sequence of sympy.Symbol
        The Gaussian symbols. A mapping gives each symbol its variance (``...`` where `covariance` gives it); without
        `covariance` the symbols of a sequence are standard and independent.
    mean : mapping, sequence or matrix, optional
        Means, by symbol or in order; zero by default.
    covariance : mapping or matrix, optional
        The matrix, shape (n, n), or a mapping ``{(x, y): value}``; pairs not named are uncorrelated.

    Returns
    -------
    sympy.Expr
        E[expr].

    Raises
    ------
    AssumptionError
        If the law is not given consistently.

    >>> x, y, r = sp.symbols("x y r")
    >>> gaussian_expectation(x**2 * y**2, {x: 1, y: 1}, covariance={(x, y): r})
    2*r**2 + 1
    """
    body = sp.sympify(expr, strict=True)
    fields = tuple(variables)
    if not fields or not all(isinstance(f, sp.Symbol) for f in fields) or len(set(fields)) != len(fields):
        raise argument_error("variables", variables, "are not distinct symbols", "pass SymPy symbols, each once")
    matrix, vector = check_gaussian(_covariance(variables, fields, covariance), _mean(fields, mean), len(fields))
    if body.is_polynomial(*fields):
        return wick(body, fields, matrix, vector)
    from .terms import expectation_of_sum

    return expectation_of_sum(body, fields, matrix, vector)


def _mean(fields: tuple[sp.Symbol, ...], mean: object) -> object:
    if not isinstance(mean, Mapping):
        return mean
    unknown = [s for s in mean if s not in fields]
    if unknown:
        raise argument_error("mean", mean, f"names {unknown[0]}, which is not a variable", f"use {fields}")
    return [sp.sympify(mean.get(f, 0), strict=True) for f in fields]


def _covariance(variables: object, fields: tuple[sp.Symbol, ...], covariance: object) -> sp.MatrixBase:
    variances: list[sp.Expr | None] = [None] * len(fields)
    if isinstance(variables, Mapping):
        given = [variables[f] for f in fields]
        variances = [None if v is None or v is Ellipsis else sp.sympify(v, strict=True) for v in given]
    if covariance is not None and not isinstance(covariance, Mapping):
        matrix = sp.ImmutableMatrix(covariance)
        for a, value in enumerate(variances):
            if value is not None and matrix.shape == (len(fields), len(fields)) and matrix[a, a] != value:
                raise argument_error(
                    "covariance", matrix, f"gives {fields[a]} another variance than {value}", "give each variance once"
                )
        return matrix
    table: dict[tuple[int, int], sp.Expr] = {}
    for pair, value in (covariance or {}).items():
        if len(pair) != 2 or any(s not in fields for s in pair):
            raise argument_error("covariance", covariance, f"names the pair {pair}", f"use pairs of {fields}")
        a, b = sorted(fields.index(s) for s in pair)
        entry = sp.sympify(value, strict=True)
        if table.setdefault((a, b), entry) != entry:
            raise argument_error("covariance", covariance, f"gives {pair} two values", "give each pair once")
    for a, variance in enumerate(variances):
        if variance is None:
            if isinstance(variables, Mapping) and (a, a) not in table:
                raise argument_error(
                    "variables", variables, f"leaves the variance of {fields[a]} open", "give its variance"
                )
            table.setdefault((a, a), sp.S.One)
        elif table.setdefault((a, a), variance) != variance:
            raise argument_error("covariance", covariance, f"gives {fields[a]} two variances", "give each once")
    return sp.ImmutableMatrix(
        len(fields), len(fields), lambda a, b: table.get((min(int(a), int(b)), max(int(a), int(b))), sp.S.Zero)
    )
