"""Hermite coefficients h_k = E[sigma(m + s x) He_k(x)], exact where a closed form is known."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import sympy as sp

from ..errors import argument_error
from ..formula import hermite_he
from ..notation import z
from ..pieces import Piece
from ..symmetry import parity_of, vanishes
from .components import NoClosedForm, components_of
from .expectation import GaussianExpectation
from .stein_system import normal_density, stein_systems
from .terms import expectation_of_sum

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["HermiteSeries", "exact_coefficient", "hermite_he", "hermite_series", "zero_by_parity"]

_x = sp.Symbol("x", real=True)
# How often a function without a closed form is differentiated in search of one.
_MOST_PARTS = 2


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
        coefficient is an unevaluated expectation. :func:`hermiton.theory.gaussian.hermite_derivation.derive_hermite`
        gives their proof.

    Raises
    ------
    AssumptionError
        If an argument is not of this kind, or E[sigma(m + s x)^2] is infinite.
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        raise argument_error("order", order, "is not a count", "use an integer >= 0")
    m, s = exact_number("mean", mean), exact_number("std", std)
    if s.is_nonpositive or (s.is_number and not s.is_positive):
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


def exact_number(name: str, value: object) -> sp.Expr:
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
    return _coefficient(activation.pieces, k, sp.sympify(mean), sp.sympify(std), _MOST_PARTS)


def _coefficient(pieces: tuple[Piece, ...], k: int, mean: sp.Expr, std: sp.Expr, parts: int) -> sp.Expr | None:
    try:
        systems = stein_systems(components_of(pieces), mean, std)
    except NoClosedForm:
        if parts and k:
            return _by_parts(pieces, k, mean, std, parts)
        return _at_zero_mean(pieces, k, std) if mean == 0 else None
    return sp.Add(*(system.coefficient(k) for system in systems))


def _by_parts(pieces: tuple[Piece, ...], k: int, mean: sp.Expr, std: sp.Expr, parts: int) -> sp.Expr | None:
    """Stein's lemma: h_k = s E[sigma' He_(k-1)] + sum_e (jump of sigma at e) phi(x_e) He_(k-1)(x_e), x_e = (e - m)/s.

    The derivative may have a closed form where the function has none: erf(z)^2, for example.
    """
    derivative = tuple(piece._replace(expression=sp.diff(piece.expression, z)) for piece in pieces)
    inner = _coefficient(derivative, k - 1, mean, std, parts - 1)
    if inner is None:
        return None
    total = std * inner
    for left, right in pairwise(pieces):
        jump = sp.expand((right.expression - left.expression).subs(z, right.lo))
        if not vanishes(jump):
            x = (right.lo - mean) / std
            total += jump * normal_density(x) * hermite_he(k - 1, x)
    return total


def _at_zero_mean(pieces: tuple[Piece, ...], k: int, std: sp.Expr) -> sp.Expr | None:
    """A smooth function at mean 0, where a product of two error functions has a closed form by Price's theorem."""
    if len(pieces) > 1:
        return None
    law = (sp.ImmutableMatrix([[std**2]]), sp.ImmutableMatrix([[0]]))
    value = expectation_of_sum(pieces[0].expression * hermite_he(k, z / std), (z,), *law)
    return None if value.has(GaussianExpectation) else value
