"""Hermite coefficients h_k = E[sigma(m + s x) He_k(x)], exact where a closed form is known."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import sympy as sp

from ..errors import argument_error
from ..formula import hermite_he
from ..notation import z
from ..symmetry import parity_of
from .expectation import GaussianExpectation
from .terms import NoClosedForm, expectation_of_sum, piecewise_expectation

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["HermiteSeries", "exact_coefficient", "hermite_he", "hermite_series", "zero_by_parity"]

_x = sp.Symbol("x", real=True)
_m = sp.Dummy("m", real=True)
_s = sp.Dummy("s", positive=True)


@dataclass(frozen=True)
class HermiteSeries:
    """Expansion sigma(m + s x) = sum_k h_k He_k(x)/k! in probabilists' Hermite polynomials.

    Parameters
    ----------
    expression : sympy.Expr
        sigma(z).
    mean, std : sympy.Expr
        m and s.
    coefficients : tuple of sympy.Expr
        h_0, h_1, ...: E[sigma(m + s x) He_k(x)], x ~ N(0, 1). Not divided by k!.
    """

    expression: sp.Expr
    mean: sp.Expr
    std: sp.Expr
    coefficients: tuple[sp.Expr, ...]

    def __getitem__(self, k: int) -> sp.Expr:
        return self.coefficients[k]

    def __len__(self) -> int:
        return len(self.coefficients)

    @property
    def order(self) -> int:
        """Largest k."""
        return len(self.coefficients) - 1

    @property
    def is_exact(self) -> bool:
        """Whether each coefficient is in closed form."""
        return not any(c.has(GaussianExpectation) for c in self.coefficients)

    def truncated(self, argument: sp.Expr | None = None) -> sp.Expr:
        """The polynomial sum_k h_k He_k((z - m)/s)/k!.

        Parameters
        ----------
        argument : sympy.Expr, optional
            Written for x; by default x = (z - m)/s, so that the polynomial approximates sigma(z).

        Returns
        -------
        sympy.Expr
        """
        x = (z - self.mean) / self.std if argument is None else argument
        return sp.Add(*(h / sp.factorial(k) * hermite_he(k, x) for k, h in enumerate(self.coefficients)))

    def energy(self) -> sp.Expr:
        """sum_k h_k^2/k!, the part of E[sigma^2] that the series holds.

        Returns
        -------
        sympy.Expr
        """
        return sp.Add(*(h**2 / sp.factorial(k) for k, h in enumerate(self.coefficients)))

    def latex(self) -> str:
        """The series as LaTeX, with He_k left as symbols.

        Returns
        -------
        str
        """
        terms = []
        for k, h in enumerate(self.coefficients):
            if h != 0:
                terms.append(rf"\frac{{{sp.latex(h)}}}{{{k}!}}\,\mathrm{{He}}_{{{k}}}(x)")
        argument = sp.latex(self.mean + self.std * _x)
        return rf"\sigma\left({argument}\right) = " + (" + ".join(terms) or "0") + r" + \ldots"

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex()}$"


def hermite_series(
    activation: "Activation", order: int, mean: sp.Expr | int = 0, std: sp.Expr | int = 1
) -> HermiteSeries:
    """Hermite coefficients of an activation at a mean and standard deviation.

    Parameters
    ----------
    activation : Activation
        sigma.
    order : int
        Largest k, at least 0.
    mean, std : sympy.Expr or int
        m and s > 0; may be symbols. Floats are refused.

    Returns
    -------
    HermiteSeries
        Closed forms come from E[sigma(m + s x)] and Stein's recursion h_(k+1) = s dh_k/dm; without a closed form a
        coefficient is an unevaluated expectation.

    Raises
    ------
    AssumptionError
        If an argument is not of this kind, or E[sigma(m + s x)^2] is infinite.
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        raise argument_error("order", order, "is not a count", "use an integer >= 0")
    m, s = _exact("mean", mean), _exact("std", std)
    if s.is_number and not s.is_positive:
        raise argument_error("std", std, "is not positive", "use a positive standard deviation")
    exponent = activation.growth_exponent
    if s.is_number and bool(4 * exponent * s**2 >= 1):
        raise argument_error(
            "std", std, f"makes E[sigma^2] infinite: sigma grows like exp(({exponent})*z**2)", "use std^2 below 1/(4a)"
        )
    coefficients = []
    for k in range(order + 1):
        exact = exact_coefficient(activation, k, m, s)
        if exact is None and m == 0 and zero_by_parity(activation, k):
            exact = sp.S.Zero
        if exact is None:
            body = activation.expression.subs(z, m + s * _x) * hermite_he(k, _x)
            exact = GaussianExpectation(body, (_x,), sp.Matrix([[1]]))
        coefficients.append(exact)
    return HermiteSeries(activation.expression, m, s, tuple(coefficients))


def _exact(name: str, value: object) -> sp.Expr:
    try:
        expr = sp.sympify(value, strict=True)
    except sp.SympifyError:
        raise argument_error(
            name, value, "is not a SymPy expression or integer", "use exact numbers or symbols"
        ) from None
    if not isinstance(expr, sp.Expr) or expr.has(sp.Float, sp.I, sp.nan, sp.zoo, sp.oo, -sp.oo) or expr.has(z):
        raise argument_error(name, value, "is not an exact real number or symbol", "use sympy.Rational or a symbol")
    return expr


def zero_by_parity(activation: "Activation", k: int) -> bool:
    """Whether h_k vanishes at mean 0 because sigma, sigma' or sigma'' is even or odd.

    By Stein's lemma h_k = s^j E[sigma^(j)(s x) He_(k-j)(x)] for j <= k: a sigmoid is odd up to a constant, which shows
    in its derivative.

    Parameters
    ----------
    activation : Activation
        sigma.
    k : int
        Order.

    Returns
    -------
    bool
    """
    if activation.parity is not None:
        return activation.parity == ("odd", "even")[k % 2]
    return any(k >= j and parity == ("odd", "even")[(k - j) % 2] for j, parity in _derivative_parities(activation))


@lru_cache(maxsize=256)
def _derivative_parities(activation: "Activation") -> tuple[tuple[int, str | None], ...]:
    if not activation.is_analytic_on_reals:
        return ()
    derivatives = [sp.diff(activation.pieces[0].expression, z, j) for j in (1, 2)]
    return tuple((j, parity_of(expr)) for j, expr in zip((1, 2), derivatives, strict=True))


def exact_coefficient(
    activation: "Activation", k: int, mean: sp.Expr = sp.S.Zero, std: sp.Expr = sp.S.One
) -> sp.Expr | None:
    """h_k in closed form, or None if none is known.

    Parameters
    ----------
    activation : Activation
        sigma.
    k : int
        Order.
    mean, std : sympy.Expr
        m and s.

    Returns
    -------
    sympy.Expr or None
    """
    chain = _chain(activation)
    return None if chain is None else chain.coefficient(k, mean, std)


class _Chain:
    """Stein's recursion h_(k+1) = s dh_k/dm from h_0(m, s), remembered as far as it was used.

    Sums in s alone, such as 1 + 2 s^2, are held by placeholders: they are constants of the recursion, and as single
    symbols their powers merge, so that the number of terms grows only linearly with k.
    """

    def __init__(self, first: sp.Expr) -> None:
        self.held: dict[sp.Symbol, sp.Expr] = {}
        self.known = [self._expanded(self._hold(first))]

    def _hold(self, expr: sp.Expr) -> sp.Expr:
        if expr.is_Add and expr.free_symbols == {_s}:
            content, primitive = expr.primitive()
            for symbol, value in self.held.items():
                if value == primitive:
                    return content * symbol
            fresh = sp.Dummy(f"u{len(self.held)}", positive=True if primitive.is_positive else None)
            self.held[fresh] = primitive
            return content * fresh
        return expr.func(*(self._hold(a) for a in expr.args)) if expr.args else expr

    @staticmethod
    def _expanded(expr: sp.Expr) -> sp.Expr:
        return sp.expand(expr, power_exp=False, power_base=False, log=False, trig=False)

    def coefficient(self, k: int, mean: sp.Expr, std: sp.Expr) -> sp.Expr:
        while len(self.known) <= k:
            self.known.append(self._expanded(_s * sp.diff(self.known[-1], _m)))
        value = self.known[k].subs(_m, mean) if mean != _m else self.known[k]
        return value.xreplace(self.held).subs(_s, std)


@lru_cache(maxsize=256)
def _chain(activation: "Activation") -> _Chain | None:
    """The recursion of an activation, or None if E[sigma(m + s x)] has no closed form."""
    try:
        if len(activation.pieces) > 1:
            return _Chain(piecewise_expectation(activation.pieces, _m, _s))
        law = (sp.ImmutableMatrix([[_s**2]]), sp.ImmutableMatrix([[_m]]))
        value = expectation_of_sum(activation.pieces[0].expression, (z,), *law)
    except NoClosedForm:
        return None
    return None if value.has(GaussianExpectation) else _Chain(value)
