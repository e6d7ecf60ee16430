"""Price's theorem: the derivative of a Gaussian expectation in a covariance entry."""

from collections.abc import Callable, Sequence

import sympy as sp

from ..errors import argument_error
from .expectation import GaussianExpectation
from .rule import Equation, RuleCheck, compare, trial_law
from .wick import check_gaussian

__all__ = ["check_price", "price"]


def price(
    a: int,
    b: int,
    integrand: sp.Expr,
    fields: Sequence[sp.Symbol],
    covariance: sp.MatrixBase,
    mean: Sequence[sp.Expr] | sp.MatrixBase | None = None,
) -> Equation:
    """d/dC_ab E[Phi] = E[d_a d_b Phi] for a != b, and half of it on the diagonal.

    Parameters
    ----------
    a, b : int
        Indices of the covariance entry, from 0; C_ab and C_ba are one symbol and vary together.
    integrand : sympy.Expr
        Phi, a function of `fields` that does not hold the entry C_ab.
    fields : sequence of sympy.Symbol
        The Gaussian variables.
    covariance : sympy matrix, shape (n, n)
        Symmetric; the entry C_ab must be a symbol that occurs nowhere else.
    mean : sequence or sympy matrix of length n, optional
        Zero by default.

    Returns
    -------
    Equation
        The derivative unevaluated on the left, expectations on the right.

    Raises
    ------
    AssumptionError
        If an index is not valid or C_ab is not a symbol of its own.

    Notes
    -----
    *Validity.* Phi twice weakly differentiable with E|d_a d_b Phi| finite.
    """
    names = tuple(fields)
    matrix, vector = check_gaussian(covariance, mean, len(names))
    for name, index in (("a", a), ("b", b)):
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(names):
            raise argument_error(name, index, "is not the index of a field", f"use 0 to {len(names) - 1}")
    entry = matrix[a, b]
    elsewhere = [matrix[i, j] for i in range(len(names)) for j in range(i + 1) if {i, j} != {a, b}]
    if not entry.is_Symbol or any(e.has(entry) for e in (*elsewhere, *vector, sp.sympify(integrand))):
        raise argument_error(
            "covariance", matrix, f"has no free symbol at ({a}, {b})", "make this entry a symbol of its own"
        )
    lhs = sp.Derivative(GaussianExpectation(integrand, names, matrix, vector), entry)
    factor = sp.Rational(1, 2) if a == b else sp.S.One
    second = sp.diff(integrand, names[a], names[b])
    rhs = factor * GaussianExpectation(second, names, matrix, vector)
    return Equation(lhs, rhs, "Price's theorem")


def check_price(dimension: int, degree: int = 6, rule: Callable[..., Equation] = price) -> RuleCheck:
    """Check Price's theorem exactly on every polynomial Phi up to a degree, for symbolic mean and covariance.

    Parameters
    ----------
    dimension : int
        Number of Gaussian variables.
    degree : int
        Largest total degree of Phi.
    rule : callable
        The rule to check, with the signature of :func:`price`.

    Returns
    -------
    RuleCheck

    Raises
    ------
    DerivationError
        If the two sides differ for a monomial.
    """
    law = trial_law(dimension, degree)
    expectation = law.coefficients(GaussianExpectation(law.test_function, law.fields, law.covariance, law.mean))
    generators = dict(zip(law.table.symbols, law.table.ring.gens, strict=True))
    held = 0
    for a in range(dimension):
        for b in range(a, dimension):
            step = rule(a, b, law.test_function, law.fields, law.covariance, law.mean)
            entry = generators[law.covariance[a, b]]
            derivative = {symbol: value.diff(entry) for symbol, value in expectation.items()}
            held += compare("Price's theorem", law.table, derivative, law.coefficients(step.rhs))
    return RuleCheck("Price's theorem", dimension, degree, held)
