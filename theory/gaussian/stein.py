"""Stein's lemma: a Gaussian factor under an expectation becomes derivatives."""

from collections.abc import Callable, Sequence

import sympy as sp

from ..errors import argument_error
from .expectation import GaussianExpectation
from .rule import Equation, RuleCheck, compare, trial_law
from .wick import check_gaussian

__all__ = ["check_stein", "stein"]


def stein(
    b: int,
    integrand: sp.Expr,
    fields: Sequence[sp.Symbol],
    covariance: sp.MatrixBase,
    mean: Sequence[sp.Expr] | sp.MatrixBase | None = None,
) -> Equation:
    """E[z_b Phi] = m_b E[Phi] + sum_a C_ba E[d_a Phi].

    Parameters
    ----------
    b : int
        Index of the Gaussian factor, from 0.
    integrand : sympy.Expr
        Phi, a function of `fields`.
    fields : sequence of sympy.Symbol
        The Gaussian variables.
    covariance : sympy matrix, shape (n, n)
        Symmetric.
    mean : sequence or sympy matrix of length n, optional
        Zero by default.

    Returns
    -------
    Equation
        Both sides in unevaluated expectations.

    Raises
    ------
    AssumptionError
        If the index or the law is not valid.

    Notes
    -----
    *Validity.* Phi absolutely continuous with E|d_a Phi| finite; a jump of Phi enters as a ``DiracDelta``.
    """
    names = tuple(fields)
    matrix, vector = check_gaussian(covariance, mean, len(names))
    if isinstance(b, bool) or not isinstance(b, int) or not 0 <= b < len(names):
        raise argument_error("b", b, "is not the index of a field", f"use 0 to {len(names) - 1}")
    lhs = GaussianExpectation(names[b] * integrand, names, matrix, vector)
    rhs = vector[b] * GaussianExpectation(integrand, names, matrix, vector)
    for a, field in enumerate(names):
        rhs += matrix[b, a] * GaussianExpectation(sp.diff(integrand, field), names, matrix, vector)
    return Equation(lhs, rhs, "Stein's lemma")


def check_stein(dimension: int, degree: int = 6, rule: Callable[..., Equation] = stein) -> RuleCheck:
    """Check Stein's lemma exactly on every polynomial Phi up to a degree, for symbolic mean and covariance.

    Parameters
    ----------
    dimension : int
        Number of Gaussian variables.
    degree : int
        Largest total degree of Phi.
    rule : callable
        The rule to check, with the signature of :func:`stein`.

    Returns
    -------
    RuleCheck

    Raises
    ------
    DerivationError
        If the two sides differ for a monomial.
    """
    law = trial_law(dimension, degree)
    held = 0
    for b in range(dimension):
        step = rule(b, law.test_function, law.fields, law.covariance, law.mean)
        # the left side is formed here, so that a rule can't choose what it is checked against
        lhs = GaussianExpectation(law.fields[b] * law.test_function, law.fields, law.covariance, law.mean)
        held += compare("Stein's lemma", law.table, law.coefficients(lhs), law.coefficients(step.rhs))
    return RuleCheck("Stein's lemma", dimension, degree, held)
