"""Exact expectations of polynomials in jointly Gaussian variables (Isserlis' theorem), with means.

A moment E[prod z_a^n_a] is a sum over the ways to use up the n_a factors of each variable: r_a of them are replaced by
the mean, the others are paired, p_ab times a with b. Counting the ways,

    E[prod z_a^n_a] = sum_(p, r) prod_a n_a!/(r_a! 2^p_aa p_aa!) prod_(a<b) 1/p_ab! prod C_ab^p_ab prod m_a^r_a

over all counts with r_a + 2 p_aa + sum_(b != a) p_ab = n_a. With symbols in mean and covariance each choice of
counts is one monomial, and the sum is written down variable by variable into a polynomial ring whose generators are the
distinct entries. A law of numbers has no monomials to tell apart; there the recursion

    E[z_a z^n] = m_a E[z^n] + sum_b C_ab n_b E[z^(n - e_b)]

is faster, since it shares the lower moments. No expression is expanded.
"""

from collections.abc import Iterator, Sequence
from functools import cmp_to_key, lru_cache
from math import factorial, perm
from typing import Any, NamedTuple

import sympy as sp
from sympy.polys.rings import PolyElement, PolyRing

from ..errors import argument_error

__all__ = ["MomentTable", "check_gaussian", "gaussian_moment", "moment_table", "wick"]

# Longer moments are computed again when asked for again: their tuples would fill the memory of a long session.
_REMEMBERED_TERMS = 2000


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
        places = {entry: i for i, entry in enumerate(self.symbols)}

        def entry(value: sp.Expr) -> _Entry:
            return _Entry(None, _number(value)) if value.is_Rational else _Entry(places[value], sp.QQ.one)

        self._covariance = [[entry(covariance[a, b]) for b in range(self.size)] for a in range(self.size)]
        self._mean = [entry(value) for value in mean]
        self._known: dict[tuple[int, ...], PolyElement] = {}
        self._numbers: dict[tuple[int, ...], Any] = {(0,) * self.size: sp.QQ.one}
        self._printer = _MonomialPrinter(self.symbols) if all(s.is_Symbol for s in self.symbols) else None

    def element(self, exponents: tuple[int, ...]) -> PolyElement:
        """E[prod z_a^n_a] as an element of `ring`, whose generators stand for `symbols`."""
        found = self._known.get(exponents)
        if found is None:
            found = self._by_counting(exponents) if self.symbols else self.ring(self._by_recursion(exponents))
            if len(found) <= _REMEMBERED_TERMS:
                self._known[exponents] = found
        return found

    def _by_recursion(self, exponents: tuple[int, ...]) -> Any:
        """E[prod z_a^n_a] of a law of numbers."""
        found = self._numbers.get(exponents)
        if found is not None:
            return found
        # lower the variable with the smallest exponent first: it has the fewest partners
        first = min((n, a) for a, n in enumerate(exponents) if n)[1]
        rest = list(exponents)
        rest[first] -= 1
        total = sp.QQ.zero
        if self._mean[first].number:
            total += self._mean[first].number * self._by_recursion(tuple(rest))
        for b, n in enumerate(rest):
            weight = self._covariance[first][b].number
            if n and weight:
                lowered = rest.copy()
                lowered[b] -= 1
                total += weight * n * self._by_recursion(tuple(lowered))
        self._numbers[exponents] = total
        return total

    def _by_counting(self, exponents: tuple[int, ...]) -> PolyElement:
        """E[prod z_a^n_a] as the sum over all counts of pairs and means, one variable after the other.

        A monomial is one integer that holds its exponents side by side, so that a product of monomials is a sum of
        integers; sums over ways are collected by what the later variables have left.
        """
        active = [a for a, n in enumerate(exponents) if n]
        width = sum(exponents).bit_length()
        states: dict[tuple[int, ...], dict[int, Any]] = {tuple(exponents[a] for a in active): {0: 1}}
        for place, a in enumerate(active):
            later = active[place + 1 :]
            entries = [*(self._covariance[a][b] for b in later), self._covariance[a][a], self._mean[a]]
            following: dict[tuple[int, ...], dict[int, Any]] = {}
            for left, monomials in states.items():
                for way in _ways(left[0], left[1:], entries):
                    monomial = sum(
                        n << width * e.place for n, e in zip(way, entries, strict=True) if e.place is not None
                    )
                    factor = _multiplicity(left[0], left[1:], way)
                    for n, e in zip(way, entries, strict=True):
                        if n and e.place is None:
                            factor = factor * e.number**n
                    rest = tuple(n - used for n, used in zip(left[1:], way, strict=False))
                    target = following.setdefault(rest, {})
                    for old, coefficient in monomials.items():
                        new = old + monomial
                        target[new] = target.get(new, 0) + coefficient * factor
            states = following
        (collected,) = states.values() if states else ({},)
        mask = (1 << width) - 1
        shifts = [width * i for i in range(len(self.symbols))]
        numbers: dict[Any, Any] = {}  # few different numbers occur
        result = self.ring.zero
        for packed, coefficient in collected.items():
            if coefficient:
                number = numbers.get(coefficient)
                if number is None:
                    number = numbers[coefficient] = sp.QQ.dtype(coefficient)
                result[tuple(packed >> shift & mask for shift in shifts)] = number
        return result

    def moment(self, exponents: tuple[int, ...]) -> sp.Expr:
        """E[prod z_a^n_a] as an expression."""
        return self.expression(self.element(exponents))

    def expectation(self, polynomial: sp.Poly) -> PolyElement:
        """E of a polynomial with rational coefficients, whose generators are the variables, as an element of `ring`."""
        total: dict[tuple[int, ...], Any] = {}
        for powers, coefficient in polynomial.terms():
            number = _number(coefficient)
            for monomial, value in self.element(powers).items():
                total[monomial] = total.get(monomial, 0) + value * number
        return self.ring.from_dict({monomial: value for monomial, value in total.items() if value})

    def expression(self, element: PolyElement) -> sp.Expr:
        """Turn a ring element into a SymPy expression in `symbols`."""
        return element.as_expr(*self.symbols) if self._printer is None else self._printer.expression(element)


class _Entry(NamedTuple):
    """An entry of mean or covariance: a generator by its place, or a number."""

    place: int | None
    number: Any


class _MonomialPrinter:
    """Sums of monomials in SymPy's own order, without SymPy's search for it: factors and terms arrive sorted."""

    def __init__(self, symbols: tuple[sp.Symbol, ...]) -> None:
        self._symbols = symbols

    def expression(self, element: PolyElement) -> sp.Expr:
        numbers = {value: sp.QQ.to_sympy(value) for value in set(element.values())}
        powers = {(i, n): self._symbols[i] ** n for i, n in {p for m in element for p in enumerate(m)} if n}
        in_order = sorted({*numbers.values(), *powers.values()}, key=cmp_to_key(sp.Basic.compare))
        rank = {factor: place for place, factor in enumerate(in_order)}
        ranks = {key: rank[factor] for key, factor in powers.items()}
        sorted_terms = []
        for monomial, value in element.items():
            places = sorted(ranks[key] for key in enumerate(monomial) if key[1])
            if value != 1 or not places:
                places.insert(0, rank[numbers[value]])
            sorted_terms.append((len(places), places))
        sorted_terms.sort()
        terms = []
        for count, places in sorted_terms:
            factors = [in_order[place] for place in places]
            terms.append(factors[0] if count == 1 else sp.Mul._from_args(factors, is_commutative=True))
        return sp.Add(*terms)


def _number(value: sp.Rational) -> Any:
    return sp.QQ(int(value.p), int(value.q))


def _ways(available: int, others: tuple[int, ...], entries: Sequence[_Entry]) -> Iterator[tuple[int, ...]]:
    """How often a variable is paired with each later one, with itself, and replaced by its mean; zeros are left out.

    Parameters
    ----------
    available : int
        Factors of the variable that are left.
    others : tuple of int
        Factors of each later variable that are left.
    entries : sequence of _Entry
        The covariances with the later variables, the variance, the mean.

    Yields
    ------
    tuple of int
        One count for each of `entries`.
    """
    possible = [e.place is not None or bool(e.number) for e in entries]

    def place(position: int, rest: int) -> Iterator[tuple[int, ...]]:
        if position < len(others):
            largest = min(rest, others[position]) if possible[position] else 0
            for count in range(largest + 1):
                for tail in place(position + 1, rest - count):
                    yield count, *tail
            return
        for pairs in range(rest // 2 + 1 if possible[-2] else 1):
            if rest == 2 * pairs or possible[-1]:
                yield pairs, rest - 2 * pairs

    yield from place(0, available)


def _multiplicity(available: int, others: tuple[int, ...], way: tuple[int, ...]) -> int:
    """In how many ways such counts arise: which factors are paired with which."""
    *pairs, own, means = way
    ordered = factorial(available)
    for count, n in zip(pairs, others, strict=True):
        ordered *= perm(n, count)
    repeated = factorial(means) * factorial(own) << own
    for count in pairs:
        repeated *= factorial(count)
    return ordered // repeated


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
    if poly.domain.is_ZZ or poly.domain.is_QQ:
        return table.expression(table.expectation(poly))
    rational = sp.Poly({p: c for p, c in poly.terms() if c.is_Rational} or 0, *fields)
    others = (c * table.moment(powers) for powers, c in poly.terms() if not c.is_Rational)
    return sp.Add(table.expression(table.expectation(rational)), *others)
