"""Closed forms of the moments that a pair of activations has, with the checks that hold them.

A moment is an expectation of a product of activations or derivatives, one factor a field. Where a rule of our calculus
gives it in closed form (the erf family by tilting and Price, polynomials by Wick), `closed_form` returns the formula in
the covariance symbols ``c11, c12, ...`` as a chain of equations; else None, and numerics integrates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import mpmath
import sympy as sp

from ..activation import Activation
from ..derivation import CheckResult, Step
from ..errors import DerivationError
from ..notation import z
from .erf_family import ClosedForm, ErfFunction, covariance_symbols, derive_h2, derive_i2, derive_i4, derive_j2
from .expectation import GaussianExpectation
from .rule import Equation
from .wick import wick

__all__ = ["AtRationalPoints", "ByPairings", "closed_form"]

# Beyond degree 3 the four-point polynomial has thousands of terms; quadrature is exact there too, and faster.
_LARGEST_DEGREE = 3
_DIGITS = 50
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
    if beta.has(z):
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
    """Both sides evaluated to 50 digits at random rational covariances, expectations by an independent representation.

    The error function is written as an integral over its argument's scale, erf(b z) = (2 b/sqrt(pi)) int_0^1 z
    exp(-(b u z)^2) du; what remains is a Gaussian expectation of a polynomial times exp(-z'Dz), elementary in
    D and C, and an integral over a unit cube by Gauss-Legendre rules of two orders that must agree.

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
        with mpmath.workdps(_DIGITS + 10):
            for number in range(self.points):
                law = _random_covariance(size, number)
                point = {self.covariance[i, j]: law[i, j] for i in range(size) for j in range(size)}
                left, right = (_value(side.xreplace(point)) for side in (lhs, rhs))
                if abs(left - right) > mpmath.mpf(10) ** (5 - _DIGITS) * (1 + abs(left)):
                    raise DerivationError(
                        f"not equal at the covariance {law.tolist()}:\n  lhs = {lhs} = {mpmath.nstr(left, 20)}\n"
                        f"  rhs = {rhs} = {mpmath.nstr(right, 20)}"
                    )
        return CheckResult(
            "quadrature", "derived", f"both sides to {_DIGITS - 5} digits at {self.points} random rational covariances"
        )


def _random_covariance(size: int, number: int) -> sp.Matrix:
    """Rational and positive definite, different for each number."""
    vectors = sp.Matrix(
        size, size, lambda i, j: sp.Rational((7 * i + 3 * j + 5 * number + i * j * (number + 2)) % 11 - 5, 12)
    )
    return vectors * vectors.T + sp.eye(size) / (3 + number)


def _value(expression: sp.Expr) -> mpmath.mpf:
    """A number, with every expectation computed."""
    nodes = sorted(expression.atoms(GaussianExpectation), key=sp.default_sort_key)
    names = [sp.Dummy() for _ in nodes]
    function = sp.lambdify(names, expression.xreplace(dict(zip(nodes, names, strict=True))), modules="mpmath")
    return mpmath.mpf(function(*(_expectation(node) for node in nodes)))


@lru_cache(maxsize=8)
def _legendre(order: int, precision: int) -> tuple[tuple[mpmath.mpf, mpmath.mpf], ...]:
    """Nodes and weights of Gauss-Legendre on [0, 1] at the working precision."""
    rule = []
    for i in range(order):
        x = mpmath.cos(mpmath.pi * (i + mpmath.mpf(3) / 4) / (order + mpmath.mpf(1) / 2))
        for _ in range(100):
            value, before = mpmath.mpf(1), mpmath.mpf(0)
            for n in range(order):
                value, before = ((2 * n + 1) * x * value - n * before) / (n + 1), value
            slope = order * (x * value - before) / (x * x - 1)
            step = value / slope
            x -= step
            if abs(step) < mpmath.mpf(2) ** (16 - precision):
                break
        rule.append(((1 + x) / 2, 1 / ((1 - x * x) * slope**2)))
    return tuple(rule)


@lru_cache(maxsize=64)  # a step's right-hand side is the next one's left-hand side
def _expectation(node: GaussianExpectation) -> mpmath.mpf:
    """E of a product of monomials, Gaussians exp(-c z^2) and error functions erf(b z), centred fields."""
    fields = list(node.variables)
    polynomial: sp.Expr = sp.Integer(1)
    exponents = [mpmath.mpf(0)] * len(fields)
    scales: list[tuple[int, mpmath.mpf]] = []
    constant: sp.Expr = sp.Integer(1)
    for factor in sp.Mul.make_args(sp.powsimp(node.integrand)):
        if isinstance(factor, sp.exp):
            for i, field in enumerate(fields):
                exponents[i] -= _number(factor.args[0].coeff(field, 2))
        elif isinstance(factor, sp.erf):
            (field,) = factor.args[0].free_symbols
            scales.append((fields.index(field), _number(factor.args[0] / field)))
            polynomial *= field
        elif factor.free_symbols:
            polynomial *= factor
        else:
            constant *= factor
    size = len(fields)
    law = [[_number(node.covariance[i, j]) for j in range(size)] for i in range(size)]
    weight = mpmath.mpf(1)
    for i, exponent in enumerate(exponents):
        if exponent:
            factor, law = _tilt(law, i, exponent)
            weight *= factor
    terms = [
        (_number(c), [i for i, power in enumerate(powers) for _ in range(power)])
        for powers, c in sp.Poly(polynomial, *fields).terms()
    ]

    def integral(rule: Sequence[tuple[mpmath.mpf, mpmath.mpf]], level: int, law: _Law) -> mpmath.mpf:
        if level == len(scales):
            return sum((c * _pairings(word, law) for c, word in terms), mpmath.mpf(0))
        place, scale = scales[level]
        total = mpmath.mpf(0)
        for u, w in rule:
            factor, tilted = _tilt(law, place, (scale * u) ** 2)
            total += w * factor * integral(rule, level + 1, tilted)
        return total

    values = [integral(_legendre(order, mpmath.mp.prec), 0, law) for order in ((32, 38) if scales else (1, 1))]
    if abs(values[0] - values[1]) > mpmath.mpf(10) ** (4 - _DIGITS) * (1 + abs(values[1])):
        raise DerivationError(f"the quadrature of {node} did not converge: {values[0]} against {values[1]}")
    weight *= _number(constant)
    for _, scale in scales:
        weight *= 2 * scale / mpmath.sqrt(mpmath.pi)
    return weight * values[-1]


_Law = list[list[mpmath.mpf]]


def _number(value: sp.Expr) -> mpmath.mpf:
    number = sp.N(value, _DIGITS + 10)
    if not number.is_real:
        raise DerivationError(f"not a real number: {value} = {number}")
    return mpmath.mpf(str(number))


def _tilt(law: _Law, i: int, rate: mpmath.mpf) -> tuple[mpmath.mpf, _Law]:
    """E[exp(-rate z_i^2) Phi] = factor * E~[Phi]: the factor and the covariance of E~."""
    shrink = 2 * rate / (1 + 2 * rate * law[i][i])
    column = [row[i] for row in law]
    tilted = [[entry - shrink * column[r] * column[c] for c, entry in enumerate(row)] for r, row in enumerate(law)]
    return 1 / mpmath.sqrt(1 + 2 * rate * law[i][i]), tilted


def _pairings(word: Sequence[int], covariance: _Law) -> mpmath.mpf:
    """Sum over perfect matchings of the word's letters of the product of covariances: Isserlis, by enumeration."""
    if not word:
        return mpmath.mpf(1)
    if len(word) % 2:
        return mpmath.mpf(0)
    first, rest = word[0], word[1:]
    return sum(
        (covariance[first][rest[i]] * _pairings([*rest[:i], *rest[i + 1 :]], covariance) for i in range(len(rest))),
        mpmath.mpf(0),
    )


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
