"""Closed forms of the moments that a pair of activations has, with the checks that hold them.

A moment is an expectation of a product of activations or derivatives, one factor a field. Where a rule of our calculus
gives it in closed form (the erf family by tilting and Price, polynomials by Wick), `closed_form` returns the formula in
the covariance symbols ``c11, c12, ...`` as a chain of equations; else None, and numerics integrates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp

from ..activation import Activation
from ..balls import evaluate, gaussian_integral_1d, working_digits
from ..derivation import CheckResult, Step
from ..errors import AccuracyError, AssumptionError, DerivationError
from ..notation import z
from .erf_family import ClosedForm, ErfFunction, covariance_symbols, derive_h2, derive_i2, derive_i4, derive_j2
from .expectation import GaussianExpectation
from .rule import Equation
from .wick import wick

__all__ = ["AtRationalPoints", "ByPairings", "closed_form"]

# Beyond degree 3 the four-point polynomial has thousands of terms; quadrature is exact there too, and faster.
_LARGEST_DEGREE = 3
_DIGITS = 36
_DERIVATIONS = {(0, 0): derive_i2, (1, 1): derive_j2, (2, 0): derive_h2, (1, 1, 0, 0): derive_i4}


@lru_cache(maxsize=64)
def closed_form(orders: tuple[int, ...], activation: Activation, symbol: str) -> tuple[Step, ...] | None:
    """The chain of checked steps from ``E[prod g^(orders[i])(z_i)]`` to its closed form.

    Parameters
    ----------
    orders : tuple of int
        Order of the derivative in each slot.
    activation : Activation
        The activation in all slots.
    symbol : str
        LaTeX of the moment.

    Returns
    -------
    tuple of Step or None
        The last right-hand side is the closed form; None where no rule applies.
    """
    expression = activation.expression
    if activation.is_polynomial and sp.degree(expression, z) <= _LARGEST_DEGREE:
        return _polynomial(orders, expression, symbol)
    erf = _erf_function(expression)
    if erf is not None and orders in _DERIVATIONS:
        return _erf(orders, erf, symbol)
    return None


def _erf_function(expression: sp.Expr) -> ErfFunction | None:
    """Alpha and beta of alpha*erf(beta*z), or None."""
    alpha, rest = expression.as_independent(sp.erf, as_Add=False)
    if not isinstance(rest, sp.erf):
        return None
    beta = sp.cancel(rest.args[0] / z)
    if beta.has(z) or not (beta**2).is_Rational:
        return None
    return ErfFunction(alpha, beta) if beta.is_positive else ErfFunction(-alpha, -beta)


# -- the erf family ---------------------------------------------------------------------------------------------------


def _erf(orders: tuple[int, ...], function: ErfFunction, symbol: str) -> tuple[Step, ...]:
    derived = _DERIVATIONS[orders](*([function] * len(orders)))
    checker = AtRationalPoints(derived.covariance)
    steps: list[Step] = []
    for equation in _chain(derived):
        steps.append(Step(equation.lhs, equation.rhs, equation.reason, checker, symbol=symbol if not steps else ""))
    return tuple(steps)


def _chain(derived: ClosedForm) -> list[Equation]:
    """The equations that lead from the expectation to the closed form, one after the other."""
    last = next(n for n, equation in enumerate(derived.steps) if equation.rhs == derived.expression)
    chain = [derived.steps[last]]
    for equation in reversed(derived.steps[:last]):
        if equation.rhs == chain[0].lhs:
            chain.insert(0, equation)
    if isinstance(chain[0].lhs, GaussianExpectation):
        return chain
    raise DerivationError(f"{derived.name}: the equations do not lead to its closed form")


@dataclass(frozen=True)
class AtRationalPoints:
    """Both sides enclosed in balls at random rational covariances; the balls must overlap and be tiny.

    An expectation is computed on a route of its own: Gaussian factors tilt the law (exact rational arithmetic), a lone
    error function goes by Stein's lemma, and for two of them the second is averaged at a fixed value of the first,
    E[erf(c y) | x] = erf(c m x / sqrt(1 + 2 c^2 s^2)) with conditional mean m x and variance s^2, which leaves one
    integral, enclosed rigorously.

    Parameters
    ----------
    covariance : sympy matrix
        The covariance symbols.
    points : int
        Number of random covariances.
    """

    covariance: sp.ImmutableMatrix
    points: int = 2

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare at every point."""
        size = self.covariance.shape[0]
        for number in range(self.points):
            law = _random_covariance(size, number)
            point = {self.covariance[i, j]: law[i, j] for i in range(size) for j in range(size)}
            try:
                with working_digits(_DIGITS):
                    difference = _enclose(lhs.xreplace(point)) - _enclose(rhs.xreplace(point))
            except (AccuracyError, AssumptionError) as error:
                raise DerivationError(f"{lhs} = {rhs} is not a real number at {law.tolist()}: {error}") from error
            if not difference.contains(0):
                raise DerivationError(
                    f"not equal at the covariance {law.tolist()}:\n  lhs = {lhs}\n  rhs = {rhs}\n"
                    f"  lhs - rhs = {difference.str(10)}"
                )
            if not difference.rad() * 10**30 < 1:
                raise DerivationError(f"the ball of {lhs} - {rhs} has radius {difference.rad()}, not below 1e-30")
        return CheckResult(
            "ball", "derived", f"the difference encloses 0 with radius below 1e-30 at {self.points} rational points"
        )


def _random_covariance(size: int, number: int) -> sp.Matrix:
    """Rational and positive definite, different for each number."""
    vectors = sp.Matrix(
        size, size, lambda i, j: sp.Rational((7 * i + 3 * j + 5 * number + i * j * (number + 2)) % 11 - 5, 12)
    )
    return vectors * vectors.T + sp.eye(size) / (3 + number)


def _enclose(expression: sp.Expr) -> Any:
    """A ball around a number that may hold expectations, linearly."""
    nodes = sorted(expression.atoms(GaussianExpectation), key=sp.default_sort_key)
    if not nodes:
        return evaluate(expression, {}, _DIGITS)
    names = [sp.Dummy() for _ in nodes]
    total: Any = 0
    for powers, coefficient in sp.Poly(expression.xreplace(dict(zip(nodes, names, strict=True))), *names).terms():
        if sum(powers) > 1:
            raise DerivationError(f"a product of expectations is not enclosed here: {expression}")
        term = evaluate(coefficient, {}, _DIGITS)
        total += term * _expectation(nodes[powers.index(1)]) if any(powers) else term
    return total


def _expectation(node: GaussianExpectation) -> Any:
    """A ball around E of a product of monomials, Gaussians exp(-c z^2) and at most two error functions erf(b z)."""
    fields = list(node.variables)
    law = sp.Matrix(node.covariance)
    polynomial: sp.Expr = sp.S.One
    weight: sp.Expr = sp.S.One
    rates = [sp.S.Zero] * len(fields)
    functions: list[tuple[int, sp.Expr]] = []
    for factor in sp.Mul.make_args(sp.powsimp(node.integrand)):
        if isinstance(factor, sp.exp):
            rates = [rate - factor.args[0].coeff(field, 2) for rate, field in zip(rates, fields, strict=True)]
        elif isinstance(factor, sp.erf):
            (field,) = factor.args[0].free_symbols
            functions.append((fields.index(field), factor.args[0] / field))
        else:
            polynomial *= factor
    for i, rate in enumerate(rates):
        if rate:
            denominator = 1 + 2 * rate * law[i, i]
            weight /= sp.sqrt(denominator)
            law -= 2 * rate / denominator * law[:, i] * law[i, :]
    if not functions:
        return evaluate(weight * wick(polynomial, fields, law), {}, _DIGITS)
    if len(functions) == 1:
        j, scale = functions[0]
        slope = 2 * scale / sp.sqrt(sp.pi) / sp.sqrt(1 + 2 * scale**2 * law[j, j])
        linear = sp.Poly(polynomial, *fields)
        if linear.total_degree() != 1 or linear.coeff_monomial(1) != 0:
            raise DerivationError(f"no ball for {node}: one error function needs a linear factor")
        mean = sp.Add(*(linear.coeff_monomial(field) * law[i, j] for i, field in enumerate(fields)))
        return evaluate(weight * slope * mean, {}, _DIGITS)
    if len(functions) > 2 or polynomial.free_symbols:
        raise DerivationError(f"no ball for {node}: at most two error functions, and then nothing else")
    (i, first), (j, second) = functions
    ratio = law[i, j] / law[i, i]
    spread = sp.cancel(law[j, j] - law[i, j] * ratio)
    x = fields[i]
    integrand = sp.erf(first * x) * sp.erf(second * ratio / sp.sqrt(1 + 2 * second**2 * spread) * x)
    return evaluate(weight * polynomial, {}, _DIGITS) * gaussian_integral_1d(integrand, x, law[i, i], _DIGITS)


# -- polynomials ------------------------------------------------------------------------------------------------------


def _factors(orders: tuple[int, ...], expression: sp.Expr, fields: Sequence[sp.Symbol]) -> sp.Expr:
    return sp.Mul(
        *(sp.diff(expression, z, order).xreplace({z: field}) for order, field in zip(orders, fields, strict=True))
    )


def _polynomial(orders: tuple[int, ...], expression: sp.Expr, symbol: str) -> tuple[Step, ...]:
    covariance = covariance_symbols(len(orders))
    fields = sp.symbols(f"z1:{len(orders) + 1}", real=True)
    integrand = _factors(orders, expression, fields)
    value = wick(integrand, fields, covariance)
    node = GaussianExpectation(integrand, fields, covariance)
    return (Step(node, value, "Isserlis' theorem", ByPairings(covariance), symbol=symbol),)


@dataclass(frozen=True)
class ByPairings:
    """An expectation of a polynomial held against the enumeration of all pairings at a rational covariance."""

    covariance: sp.ImmutableMatrix

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare exactly at two rational covariances."""
        size = self.covariance.shape[0]
        # An expectation drops the fields that its integrand does not use, and a constant is its own expectation.
        bare = not isinstance(lhs, GaussianExpectation)
        terms = [((), lhs)] if bare else sp.Poly(lhs.integrand, *lhs.variables).terms()
        for number in (0, 1):
            law = _random_covariance(size, number)
            point = {self.covariance[i, j]: law[i, j] for i in range(size) for j in range(size)}
            used = sp.zeros(0, 0) if bare else lhs.covariance.xreplace(point)
            known: dict[tuple[int, ...], sp.Rational] = {}
            total = sp.Add(*(c * _matchings(powers, used, known) for powers, c in terms))
            if sp.expand(total - rhs.xreplace(point)) != 0:
                raise DerivationError(f"not equal at the covariance {law.tolist()}:\n  lhs = {lhs}\n  rhs = {rhs}")
        return CheckResult("Wick", "derived", "sum over all pairings at 2 random rational covariances")


def _matchings(powers: tuple[int, ...], law: sp.Matrix, known: dict[tuple[int, ...], sp.Rational]) -> sp.Rational:
    """E[prod z_i^powers[i]] as a sum over symmetric matrices of pair counts, an enumeration unlike Wick's recursion."""
    if powers not in known:
        total = sp.Integer(0)
        for counts in _pair_counts(powers):
            term = sp.Mul(*(sp.factorial(p) for p in powers))
            for (i, j), count in counts.items():
                term *= law[i, j] ** count / sp.factorial(count)
                if i == j:
                    term /= sp.Integer(2) ** count
            total += term
        known[powers] = total
    return known[powers]


def _pair_counts(powers: tuple[int, ...]) -> Iterator[dict[tuple[int, int], int]]:
    """All ways to use up the given powers by pairs (i, j), i <= j; a pair (i, i) uses two."""
    size = len(powers)
    pairs = [(i, j) for i in range(size) for j in range(i, size)]

    def place(position: int, left: tuple[int, ...]) -> Iterator[dict[tuple[int, int], int]]:
        if position == len(pairs):
            if not any(left):
                yield {}
            return
        i, j = pairs[position]
        largest = left[i] // 2 if i == j else min(left[i], left[j])
        for count in range(largest + 1):
            rest = list(left)
            rest[i] -= count
            rest[j] -= count
            for tail in place(position + 1, tuple(rest)):
                yield {(i, j): count, **tail}

    yield from place(0, powers)
