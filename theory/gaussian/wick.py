"""Exact expectations of polynomials in jointly Gaussian variables (Isserlis' theorem), with means.

Moments are computed on exponent tuples by the recursion

    E[z_a z^n] = m_a E[z^n] + sum_b C_ab n_b E[z^(n - e_b)],

in a polynomial ring whose generators are the distinct entries of mean and covariance. No expression is expanded.
"""

from collections.abc import Sequence
from functools import lru_cache

import sympy as sp
from sympy.polys.rings import PolyElement, PolyRing

from ..errors import argument_error

__all__ = ["MomentTable", "check_gaussian", "gaussian_moment", "moment_table", "wick"]


class MomentTable:
    """Moments of one Gaussian law, remembered as they are computed.

    Parameters
    ----------
    covariance : sympy.ImmutableMatrix, shape (n, n)
        Symmetric; entries may be symbols, expressions or numbers.
    mean : sympy.ImmutableMatrix, shape (n, 1)
        Means.
    """

    def __init__(self, covariance: sp.ImmutableMatrix, mean: sp.ImmutableMatrix) -> None:
        self.size: int = covariance.shape[0]
        entries = [*covariance, *mean]
        self.symbols = tuple(dict.fromkeys(e for e in entries if not e.is_Rational))
        generators = [sp.Dummy(f"g{i}") for i in range(len(self.symbols))]
        self.ring = PolyRing(generators, sp.QQ, sp.polys.orderings.lex)
        table = dict(zip(self.symbols, self.ring.gens, strict=True))

        def element(entry: sp.Expr) -> PolyElement:
            return table[entry] if entry in table else self.ring(sp.QQ(int(entry.p), int(entry.q)))

        self._covariance = [[element(covariance[a, b]) for b in range(self.size)] for a in range(self.size)]
        self._mean = [element(entry) for entry in mean]
        self._known: dict[tuple[int, ...], PolyElement] = {(0,) * self.size: self.ring.one}

    def element(self, exponents: tuple[int, ...]) -> PolyElement:
        """E[prod z_a^n_a] as an element of `ring`, whose generators stand for `symbols`."""
        found = self._known.get(exponents)
        if found is not None:
            return found
        # lower the variable with the smallest exponent first: it has the fewest partners
        first = min((n, a) for a, n in enumerate(exponents) if n)[1]
        rest = list(exponents)
        rest[first] -= 1
        total = self.ring.zero
        if self._mean[first]:
            total += self._mean[first] * self.element(tuple(rest))
        for b, n in enumerate(rest):
            weight = self._covariance[first][b]
            if n and weight:
                lowered = rest.copy()
                lowered[b] -= 1
                total += (weight * n) * self.element(tuple(lowered))
        self._known[exponents] = total
        return total

    def moment(self, exponents: tuple[int, ...]) -> sp.Expr:
        """E[prod z_a^n_a] as an expression."""
        return self.expression(self.element(exponents))

    def expression(self, element: PolyElement) -> sp.Expr:
        """Turn a ring element into a SymPy expression in `symbols`."""
        return element.as_expr(*self.symbols)


@lru_cache(maxsize=256)
def _cached_table(covariance: sp.ImmutableMatrix, mean: sp.ImmutableMatrix) -> MomentTable:
    return MomentTable(covariance, mean)


@lru_cache(maxsize=256)
def _may_be_covariance(matrix: sp.ImmutableMatrix) -> bool:
    """Numbers are checked; symbols are the caller's word."""
    return not all(entry.is_Rational for entry in matrix) or bool(matrix.is_positive_semidefinite)


def check_gaussian(
    covariance: sp.MatrixBase, mean: Sequence[sp.Expr] | sp.MatrixBase | None, size: int | None = None
) -> tuple[sp.ImmutableMatrix, sp.ImmutableMatrix]:
    """Covariance and mean as immutable matrices of shapes (n, n) and (n, 1); bad ones are refused.

    Parameters
    ----------
    covariance : sympy matrix, shape (n, n)
        Symmetric.
    mean : sequence or sympy matrix of length n, or None
        Zero if None.
    size : int, optional
        The n that is expected.

    Returns
    -------
    tuple of sympy.ImmutableMatrix
        Covariance and mean.

    Raises
    ------
    AssumptionError
        If a shape is wrong, the covariance is not symmetric, has floats, or a numerical one is not positive
        semidefinite.
    """
    try:
        matrix = sp.ImmutableMatrix(covariance)
    except (TypeError, ValueError):
        raise argument_error("covariance", covariance, "is not a matrix", "pass a square SymPy matrix") from None
    rows, columns = matrix.shape
    if rows != columns or rows == 0 or (size is not None and rows != size):
        expected = f"({size}, {size})" if size is not None else "(n, n)"
        raise argument_error("covariance", covariance, f"has shape {matrix.shape}", f"pass shape {expected}")
    if not matrix.is_symmetric():
        raise argument_error("covariance", covariance, "is not symmetric", "pass C with C[a, b] = C[b, a]")
    try:
        vector = sp.zeros(rows, 1).as_immutable() if mean is None else sp.ImmutableMatrix(rows, 1, list(mean))
    except (TypeError, ValueError):
        raise argument_error("mean", mean, "has the wrong length", f"pass {rows} entries") from None
    for name, value in (("covariance", matrix), ("mean", vector)):
        if value.has(sp.Float):
            raise argument_error(name, value, "has floats", "theory is exact: use sympy.Rational")
        if value.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
            raise argument_error(name, value, "has infinite or undefined entries", "use finite entries")
    if not _may_be_covariance(matrix):
        raise argument_error("covariance", matrix, "is not positive semidefinite", "pass a covariance matrix")
    return matrix, vector


def moment_table(covariance: sp.MatrixBase, mean: Sequence[sp.Expr] | sp.MatrixBase | None = None) -> MomentTable:
    """The (shared) table of moments of a Gaussian law.

    Parameters
    ----------
    covariance : sympy matrix, shape (n, n)
        Symmetric.
    mean : sequence or sympy matrix of length n, optional
        Zero by default.

    Returns
    -------
    MomentTable
    """
    return _cached_table(*check_gaussian(covariance, mean))


def gaussian_moment(
    exponents: tuple[int, ...],
    covariance: sp.MatrixBase,
    mean: Sequence[sp.Expr] | sp.MatrixBase | None = None,
) -> sp.Expr:
    """Exact moment E[prod_a z_a^n_a] of z ~ N(mean, covariance).

    Parameters
    ----------
    exponents : tuple of int
        n_a >= 0, one a variable.
    covariance : sympy matrix, shape (n, n)
        Symmetric, symbolic or exact.
    mean : sequence or sympy matrix of length n, optional
        Zero by default.

    Returns
    -------
    sympy.Expr
        A polynomial in the entries of covariance and mean.

    Raises
    ------
    AssumptionError
        If an argument is not of this kind.

    >>> c11, c12, c22 = sp.symbols("c11 c12 c22")
    >>> gaussian_moment((2, 2), sp.Matrix([[c11, c12], [c12, c22]]))
    c11*c22 + 2*c12**2
    """
    table = moment_table(covariance, mean)
    powers = tuple(exponents)
    if len(powers) != table.size:
        raise argument_error("exponents", exponents, f"has {len(powers)} entries", f"pass {table.size}, one a variable")
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in powers):
        raise argument_error("exponents", exponents, "has an entry that is no count", "pass integers >= 0")
    return table.moment(powers)


def wick(
    expr: sp.Expr | sp.Poly,
    variables: Sequence[sp.Symbol],
    covariance: sp.MatrixBase,
    mean: Sequence[sp.Expr] | sp.MatrixBase | None = None,
) -> sp.Expr:
    """Exact expectation of a polynomial in jointly Gaussian variables.

    Parameters
    ----------
    expr : sympy.Expr or sympy.Poly
        A polynomial in `variables`; its coefficients may hold any other symbol.
    variables : sequence of sympy.Symbol
        The Gaussian variables, in the order of `covariance`.
    covariance : sympy matrix, shape (n, n)
        Symmetric, symbolic or exact.
    mean : sequence or sympy matrix of length n, optional
        Zero by default.

    Returns
    -------
    sympy.Expr
        E[expr].

    Raises
    ------
    AssumptionError
        If `expr` is not a polynomial in the variables.
    """
    fields = tuple(variables)
    matrix, vector = check_gaussian(covariance, mean, len(fields))
    table = _cached_table(matrix, vector)
    try:
        poly = (
            expr
            if isinstance(expr, sp.Poly) and expr.gens == fields
            else sp.Poly(sp.sympify(expr, strict=True), *fields)
        )
    except (sp.PolynomialError, sp.SympifyError, AttributeError):
        names = ", ".join(map(str, fields))
        raise argument_error(
            "expr", expr, f"is not a polynomial in {names}", "use gaussian_expectation, which keeps other functions"
        ) from None
    rational = table.ring.zero
    others: list[sp.Expr] = []
    for powers, coefficient in poly.terms():
        moment = table.element(powers)
        if coefficient.is_Rational:
            rational += moment * sp.QQ(int(coefficient.p), int(coefficient.q))
        elif moment:
            others.append(coefficient * table.expression(moment))
    return sp.Add(table.expression(rational), *others)
