"""Mehler's formula: expectations of two functions of correlated Gaussians through their Hermite coefficients."""

from collections.abc import Callable, Sequence

import sympy as sp

from ..errors import argument_error
from ..formula import hermite_he
from .rule import RuleCheck, compare
from .wick import moment_table

__all__ = ["check_mehler", "mehler", "mehler_tail"]


def mehler(first: Sequence[sp.Expr], second: Sequence[sp.Expr], correlation: sp.Expr) -> sp.Expr:
    """sum_n f_n g_n r^n / n!, which is E[f(x) g(y)] for standard Gaussians of correlation r.

    Parameters
    ----------
    first, second : sequence of sympy.Expr
        f_n = E[f(x) He_n(x)] and g_n, n = 0, 1, ...; the shorter one ends the sum.
    correlation : sympy.Expr
        r.

    Returns
    -------
    sympy.Expr

    Notes
    -----
    *Validity.* Exact if one of the functions is a polynomial whose coefficients are all given; otherwise
    :func:`mehler_tail` bounds what is left out. Source: Mehler 1866; Kibble 1945.
    """
    r = sp.sympify(correlation, strict=True)
    return sp.Add(*(f * g * r**n / sp.factorial(n) for n, (f, g) in enumerate(zip(first, second, strict=False))))


def mehler_tail(
    first: Sequence[sp.Expr],
    second: Sequence[sp.Expr],
    correlation: sp.Expr,
    first_norm: sp.Expr,
    second_norm: sp.Expr,
) -> sp.Expr:
    """Bound |E[f g] - sum to order p| <= |r|^(p+1) tau_f tau_g, tau_f^2 = E[f^2] - sum_(n<=p) f_n^2/n!.

    Parameters
    ----------
    first, second : sequence of sympy.Expr
        The p + 1 coefficients of each function that were summed.
    correlation : sympy.Expr
        r.
    first_norm, second_norm : sympy.Expr
        E[f^2] and E[g^2].

    Returns
    -------
    sympy.Expr

    Raises
    ------
    AssumptionError
        If the two lists differ in length.
    """
    if len(first) != len(second):
        raise argument_error(
            "second", second, f"has {len(second)} coefficients", f"give {len(first)}, as for the first"
        )
    taus = []
    for coefficients, norm in ((first, first_norm), (second, second_norm)):
        taus.append(sp.sqrt(norm - sp.Add(*(c**2 / sp.factorial(n) for n, c in enumerate(coefficients)))))
    return sp.Abs(correlation) ** len(first) * taus[0] * taus[1]


def check_mehler(degree: int = 6, rule: Callable[..., sp.Expr] = mehler) -> RuleCheck:
    """Check Mehler's formula exactly on every pair of monomials up to a degree, for a symbolic correlation.

    Parameters
    ----------
    degree : int
        Largest degree of either function.
    rule : callable
        The rule to check, with the signature of :func:`mehler`.

    Returns
    -------
    RuleCheck

    Raises
    ------
    DerivationError
        If the two sides differ for a pair of monomials.
    """
    if isinstance(degree, bool) or not isinstance(degree, int) or degree < 1:
        raise argument_error("degree", degree, "is not a positive integer", "use at least 1")
    r = sp.Symbol("r", real=True)
    x = sp.Symbol("x", real=True)
    table = moment_table(sp.Matrix([[1, r], [r, 1]]))
    names = dict(zip(table.symbols, table.ring.symbols, strict=True))
    single = moment_table(sp.Matrix([[1]]))
    coefficients = []
    for i in range(degree + 1):
        row = []
        for n in range(degree + 1):
            terms = sp.Poly(x**i * hermite_he(n, x), x).terms()
            row.append(sp.Add(*(c * single.moment(powers) for powers, c in terms)))
        coefficients.append(row)
    left, right = {}, {}
    for i in range(degree + 1):
        for j in range(degree + 1):
            label = sp.Symbol(f"x^{i} y^{j}")
            left[label] = table.element((i, j))
            right[label] = table.ring.from_expr(rule(coefficients[i], coefficients[j], r).xreplace(names))
    return RuleCheck("Mehler's formula", 2, degree, compare("Mehler's formula", table, left, right))
