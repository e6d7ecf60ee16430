"""What a rule on Gaussian expectations returns, and the exact machinery that checks rules.

A rule is checked on a test function with symbolic coefficients: polynomials are dense in L2 of a Gaussian law, both
sides are linear in the test function, and Wick's theorem gives both exactly, so a wrong rule can't pass at the degrees
tested.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import sympy as sp
from sympy.polys.rings import PolyElement

from ..errors import DerivationError, argument_error
from .expectation import GaussianExpectation
from .wick import MomentTable, moment_table

__all__ = ["Equation", "RuleCheck", "TrialLaw", "compare", "monomials", "trial_law"]


class Equation(NamedTuple):
    """One step: `lhs` equals `rhs` for the stated reason."""

    lhs: sp.Expr
    rhs: sp.Expr
    reason: str


class RuleCheck(NamedTuple):
    """A check that held: the rule, the degree and dimension tested, and how many independent identities."""

    rule: str
    dimension: int
    degree: int
    identities: int


def monomials(dimension: int, degree: int) -> Iterator[tuple[int, ...]]:
    """Exponents of all monomials up to a total degree.

    Parameters
    ----------
    dimension, degree : int
        Number of variables and largest total degree.

    Yields
    ------
    tuple of int
    """
    return (powers for powers in product(range(degree + 1), repeat=dimension) if sum(powers) <= degree)


class TrialLaw(NamedTuple):
    """Symbolic Gaussian law and a test polynomial with symbolic coefficients."""

    fields: tuple[sp.Symbol, ...]
    covariance: sp.ImmutableMatrix
    mean: sp.ImmutableMatrix
    test_function: sp.Expr
    table: MomentTable

    def coefficients(self, expr: sp.Expr) -> dict[sp.Expr, PolyElement]:
        """Evaluate a sum of weight * E[...] by Wick: ring elements by coefficient of the test function."""
        ring = self.table.ring
        names = dict(zip(self.table.symbols, ring.symbols, strict=True))
        found: dict[sp.Expr, PolyElement] = {}
        for term in sp.Add.make_args(sp.expand_mul(expr)):
            nodes = [f for f in sp.Mul.make_args(term) if isinstance(f, GaussianExpectation)]
            symbols = [f for f in sp.Mul.make_args(term) if f in self.test_function.free_symbols]
            if not nodes and len(symbols) == 1:  # the expectation of a constant is the constant
                value = ring.from_expr((term / symbols[0]).xreplace(names))
                found[symbols[0]] = found.get(symbols[0], ring.zero) + value
                continue
            if len(nodes) != 1:
                raise DerivationError(
                    f"the term {term} is not a weight times one expectation: a rule must return sums of such terms"
                )
            node = nodes[0]
            kept = [self.fields.index(f) for f in node.variables]
            weight = ring.from_expr((term / node).xreplace(names))
            for powers, coefficient in sp.Poly(node.integrand, *node.variables).terms():
                full = [0] * len(self.fields)
                for a, n in zip(kept, powers, strict=True):
                    full[a] = n
                for part in sp.Add.make_args(coefficient):
                    number, symbol = part.as_coeff_Mul()
                    value = weight * self.table.element(tuple(full)) * sp.QQ(int(number.p), int(number.q))
                    found[symbol] = found.get(symbol, ring.zero) + value
        return found


def trial_law(dimension: int, degree: int, centred: bool = False) -> TrialLaw:
    """Build the test law of a rule check.

    Parameters
    ----------
    dimension : int
        Number of Gaussian variables.
    degree : int
        Degree of the test function.
    centred : bool
        Leave the means out.

    Returns
    -------
    TrialLaw

    Raises
    ------
    AssumptionError
        If a size is not positive.
    """
    for name, value in (("dimension", dimension), ("degree", degree)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise argument_error(name, value, "is not a positive integer", "use at least 1")
    fields = sp.symbols(f"z1:{dimension + 1}", real=True)
    covariance = sp.ImmutableMatrix(
        dimension, dimension, lambda a, b: sp.Symbol(f"c{min(int(a), int(b)) + 1}{max(int(a), int(b)) + 1}", real=True)
    )
    mean = sp.ImmutableMatrix([0] * dimension if centred else sp.symbols(f"m1:{dimension + 1}", real=True))
    terms = []
    for powers in monomials(dimension, degree):
        coefficient = sp.Symbol("t_" + "_".join(map(str, powers)), real=True)
        terms.append(coefficient * sp.prod(f**n for f, n in zip(fields, powers, strict=True)))
    return TrialLaw(fields, covariance, mean, sp.Add(*terms), moment_table(covariance, mean))


def compare(rule: str, table: MomentTable, left: dict[sp.Expr, PolyElement], right: dict[sp.Expr, PolyElement]) -> int:
    """Hold two sides against each other, coefficient by coefficient.

    Parameters
    ----------
    rule : str
        Name for the message.
    table : MomentTable
        Whose ring the elements are of.
    left, right : dict
        Ring elements by coefficient of the test function.

    Returns
    -------
    int
        The number of identities that held.

    Raises
    ------
    DerivationError
        At the first coefficient whose two sides differ.
    """
    for symbol in sorted(left.keys() | right.keys(), key=str):
        a, b = left.get(symbol, 0), right.get(symbol, 0)
        if a != b:
            difference = table.expression(table.ring(a - b))
            raise DerivationError(f"{rule} fails for the test monomial {symbol}: left side - right side = {difference}")
    return len(left.keys() | right.keys())
