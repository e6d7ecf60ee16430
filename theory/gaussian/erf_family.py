"""Closed forms of the Gaussian integrals of g(z) = alpha*erf(beta*z), derived and never typed.

The derivative g' = (2 alpha beta/sqrt(pi)) exp(-beta^2 z^2) is a tilting factor, so every expectation with factors g'
reduces to one of g at a tilted covariance (by tilting and Stein's lemma); E[g_a g_b] itself follows from Price's
theorem.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from ..errors import DerivationError, argument_error
from .expectation import GaussianExpectation
from .price import price
from .rule import Equation
from .stein import stein
from .tilting import tilt

__all__ = [
    "ERF",
    "ClosedForm",
    "ErfFunction",
    "covariance_symbols",
    "derive_h2",
    "derive_i2",
    "derive_i3",
    "derive_i4",
    "derive_j2",
]


@dataclass(frozen=True)
class ErfFunction:
    """The activation g(z) = alpha*erf(beta*z); by default erf(z/sqrt(2)), the one of Saad and Solla.

    Parameters
    ----------
    alpha : sympy.Expr
        Height, real.
    beta : sympy.Expr
        Slope, positive.
    """

    alpha: sp.Expr = sp.S.One
    beta: sp.Expr = 1 / sp.sqrt(2)

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            value = sp.sympify(getattr(self, name), strict=True)
            if value.has(sp.Float):
                raise argument_error(name, value, "is a float", "theory is exact: use sympy.Rational")
            object.__setattr__(self, name, value)
        if not self.beta.is_positive or not self.alpha.is_extended_real or self.alpha.is_zero:
            raise argument_error("beta", self.beta, "or alpha is not admissible", "use beta > 0 and a real alpha != 0")

    def value(self, x: sp.Expr) -> sp.Expr:
        """g(x)."""
        return self.alpha * sp.erf(self.beta * x)

    @property
    def prefactor(self) -> sp.Expr:
        """The constant in g'(x) = prefactor * exp(-beta^2 x^2)."""
        return 2 * self.alpha * self.beta / sp.sqrt(sp.pi)

    @property
    def rate(self) -> sp.Expr:
        """beta^2, the tilting coefficient."""
        return self.beta**2


ERF = ErfFunction()
"""erf(z/sqrt(2))."""


@dataclass(frozen=True)
class ClosedForm:
    """A closed form of a Gaussian expectation with its derivation.

    Parameters
    ----------
    name : str
        For example ``"I2"``.
    expression : sympy.Expr
        In the entries c11, c12, ... of `covariance`.
    covariance : sympy.ImmutableMatrix
        The covariance symbols of the fields, in slot order.
    steps : tuple of Equation
        Each a (lhs, rhs, reason).

    Notes
    -----
    *Validity.* Zero mean and a positive semidefinite covariance; repeated fields are the limit in which their rows
    coincide.
    """

    name: str
    expression: sp.Expr
    covariance: sp.ImmutableMatrix
    steps: tuple[Equation, ...]

    def at(self, covariance: sp.MatrixBase, indices: Sequence[int]) -> sp.Expr:
        """The value for fields `indices` of another covariance matrix; indices may repeat.

        Parameters
        ----------
        covariance : sympy matrix
            Symmetric, with the entries to put in.
        indices : sequence of int
            One a slot.

        Returns
        -------
        sympy.Expr

        Raises
        ------
        AssumptionError
            If the number of indices differs from the number of slots.
        """
        size = self.covariance.shape[0]
        if len(indices) != size:
            raise argument_error("indices", indices, f"has {len(indices)} entries", f"{self.name} has {size} slots")
        table = {self.covariance[a, b]: covariance[indices[a], indices[b]] for a in range(size) for b in range(a + 1)}
        return self.expression.xreplace(table)

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.name[0]}_{{{self.name[1:]}}} = {sp.latex(self.expression)}$"


def covariance_symbols(size: int) -> sp.ImmutableMatrix:
    """Symmetric matrix of symbols c11 (positive), c12 (real), ...

    Parameters
    ----------
    size : int
        Number of fields.

    Returns
    -------
    sympy.ImmutableMatrix
    """

    def entry(a: sp.Integer, b: sp.Integer) -> sp.Symbol:
        i, j = sorted((int(a) + 1, int(b) + 1))
        return sp.Symbol(f"c{i}{j}", positive=True) if i == j else sp.Symbol(f"c{i}{j}", real=True)

    return sp.ImmutableMatrix(size, size, entry)


def _fields(size: int) -> tuple[sp.Symbol, ...]:
    return tuple(sp.symbols(f"z1:{size + 1}", real=True))


def _tidy(polynomial: sp.Expr, covariance: sp.MatrixBase) -> sp.Expr:
    """Write a polynomial with the part free of off-diagonal entries as a product, as (1+c11)(1+c22) - c12^2."""
    size = covariance.shape[0]
    cross = [covariance[a, b] for a in range(size) for b in range(a)]
    if not cross:
        return sp.factor(polynomial)
    terms = sp.Poly(polynomial, *cross).terms()
    return sp.Add(*(sp.factor(c * sp.prod(s**n for s, n in zip(cross, powers, strict=True))) for powers, c in terms))


class _Chain:
    """Collects the steps of one derivation; each new right-hand side becomes the next left-hand side."""

    def __init__(self, start: sp.Expr) -> None:
        self.current = start
        self.steps: list[Equation] = []

    def then(self, rhs: sp.Expr, reason: str) -> None:
        self.steps.append(Equation(self.current, rhs, reason))
        self.current = rhs


def _require_equal(name: str, a: sp.Expr, b: sp.Expr) -> None:
    """Two expressions with square roots of rational functions are equal: same square, same sign at one point."""
    if sp.cancel(sp.expand(a) ** 2 - sp.expand(b) ** 2) != 0:
        raise DerivationError(f"{name}: {a} differs from {b}")
    if bool(_sample(a * b) < 0):
        raise DerivationError(f"{name}: {a} and {b} differ in sign")


def _sample(expr: sp.Expr) -> sp.Expr:
    """The value at a covariance with a dominant diagonal and distinct entries, where every radicand is positive."""
    symbols = sorted(expr.free_symbols, key=str)
    point = {s: sp.Rational(1, 3) if s.is_positive else sp.Rational(1, 17 + i) for i, s in enumerate(symbols)}
    return expr.xreplace(point).evalf(30)


def _tilt_twice(
    first: ErfFunction, second: ErfFunction, covariance: sp.ImmutableMatrix
) -> tuple[sp.Expr, sp.Expr, sp.ImmutableMatrix]:
    """Weights of tilting by the fields 0 and 1, and the covariance after both."""
    once = tilt(covariance, 0, first.rate)
    twice = tilt(once.covariance, 1, second.rate)
    return once.weight, twice.weight, twice.covariance


@lru_cache(maxsize=64)
def derive_j2(first: ErfFunction = ERF, second: ErfFunction = ERF) -> ClosedForm:
    """J2 = E[g1'(z1) g2'(z2)], by tilting twice.

    Parameters
    ----------
    first, second : ErfFunction
        The functions in the two slots.

    Returns
    -------
    ClosedForm
        In c11, c12, c22.
    """
    covariance, (x, y) = covariance_symbols(2), _fields(2)
    factor = first.prefactor * second.prefactor
    gaussians = sp.exp(-second.rate * y**2)
    w1, w2, _ = _tilt_twice(first, second, covariance)
    tilted = tilt(covariance, 0, first.rate).covariance
    chain = _Chain(GaussianExpectation(sp.diff(first.value(x), x) * sp.diff(second.value(y), y), (x, y), covariance))
    chain.then(
        factor * GaussianExpectation(sp.exp(-first.rate * x**2) * gaussians, (x, y), covariance, None),
        "derivative of erf",
    )
    chain.then(factor * w1 * GaussianExpectation(gaussians, (x, y), tilted), "tilting by the first field")
    chain.then(factor * w1 * w2, "tilting by the second field")
    radicand = _tidy(sp.cancel(1 / (w1 * w2) ** 2), covariance)
    closed = factor / sp.sqrt(radicand)
    _require_equal("J2", chain.current, closed)
    chain.then(closed, "algebra: one square root")
    return ClosedForm("J2", closed, covariance, tuple(chain.steps))


@lru_cache(maxsize=64)
def derive_i2(first: ErfFunction = ERF, second: ErfFunction = ERF) -> ClosedForm:
    """I2 = E[g1(z1) g2(z2)], by Price's theorem and an integral in c12 that starts at 0.

    Parameters
    ----------
    first, second : ErfFunction
        The functions in the two slots.

    Returns
    -------
    ClosedForm
        In c11, c12, c22.
    """
    covariance, (x, y) = covariance_symbols(2), _fields(2)
    cross = covariance[0, 1]
    slope = derive_j2(first, second)
    start = price(0, 1, first.value(x) * second.value(y), (x, y), covariance)
    steps = [start, Equation(start.rhs, slope.expression, "J2, derived by tilting twice")]
    # the slope is K/sqrt(A - B c12^2); its primitive that vanishes at c12 = 0 is (K/sqrt B) asin(sqrt(B/A) c12)
    (base,) = {p.base for p in slope.expression.atoms(sp.Pow) if p.base.has(cross) and p.exp == -sp.Rational(1, 2)}
    radicand = sp.Poly(base, cross)
    if radicand.degree() != 2 or radicand.coeff_monomial(cross) != 0:
        raise DerivationError(f"I2: the radicand {base} is not of the form A - B*c12**2")
    top, bottom = sp.factor(radicand.coeff_monomial(1)), sp.sqrt(-radicand.coeff_monomial(cross**2))
    factor = slope.expression * sp.sqrt(base)
    roots = sp.Mul(*(sp.sqrt(f) for f in sp.Mul.make_args(top)))
    closed = factor / bottom * sp.asin(bottom * cross / roots)
    _require_equal("I2", sp.diff(closed, cross), slope.expression)
    if closed.xreplace({cross: sp.S.Zero}) != 0:
        raise DerivationError(f"I2: {closed} is not 0 at c12 = 0, where E[g1] E[g2] = 0")
    steps.append(
        Equation(
            GaussianExpectation(first.value(x) * second.value(y), (x, y), covariance),
            closed,
            "integral over c12 from 0, where the fields are independent and both functions odd",
        )
    )
    return ClosedForm("I2", closed, covariance, tuple(steps))


@lru_cache(maxsize=64)
def derive_h2(first: ErfFunction = ERF, second: ErfFunction = ERF) -> ClosedForm:
    """H2 = E[g1''(z1) g2(z2)], by tilting and Stein's lemma.

    Parameters
    ----------
    first, second : ErfFunction
        The functions in the two slots.

    Returns
    -------
    ClosedForm
        In c11, c12, c22. It is held against twice the derivative of I2 in c11 (Price's theorem on the diagonal).
    """
    covariance, (x, y) = covariance_symbols(2), _fields(2)
    factor = -2 * first.rate * first.prefactor
    chain = _Chain(GaussianExpectation(sp.diff(first.value(x), x, 2) * second.value(y), (x, y), covariance))
    once = tilt(covariance, 0, first.rate)
    chain.then(
        factor * once.weight * GaussianExpectation(x * second.value(y), (x, y), once.covariance),
        "g'' = -2 beta^2 z g', and tilting by the first field",
    )
    rest = _stein_and_tilt(chain, factor * once.weight, 0, 1, second, (x, y), once.covariance)
    closed = _as_fraction_times(rest, derive_j2(first, second).expression, "H2", chain)
    _require_equal("H2", closed, 2 * sp.diff(derive_i2(first, second).expression, covariance[0, 0]))
    chain.steps.append(
        Equation(
            closed,
            2 * sp.diff(derive_i2(first, second).expression, covariance[0, 0]),
            "Price's theorem on the diagonal",
        )
    )
    return ClosedForm("H2", closed, covariance, tuple(chain.steps))


@lru_cache(maxsize=64)
def derive_i3(first: ErfFunction = ERF, third: ErfFunction = ERF) -> ClosedForm:
    """I3 = E[g1'(z1) z2 g3(z3)], by tilting and Stein's lemma.

    Parameters
    ----------
    first, third : ErfFunction
        The functions in the slots 1 and 3.

    Returns
    -------
    ClosedForm
        In c11, c12, c13, c23, c33 (c22 does not occur).
    """
    covariance, fields = covariance_symbols(3), _fields(3)
    x, y, w = fields
    factor = first.prefactor
    chain = _Chain(GaussianExpectation(sp.diff(first.value(x), x) * y * third.value(w), fields, covariance))
    once = tilt(covariance, 0, first.rate)
    chain.then(
        factor * once.weight * GaussianExpectation(y * third.value(w), fields, once.covariance),
        "tilting by the first field",
    )
    rest = _stein_and_tilt(chain, factor * once.weight, 1, 2, third, fields, once.covariance)
    pair = derive_j2(first, third)
    closed = _as_fraction_times(rest, pair.at(covariance, (0, 2)), "I3", chain)
    return ClosedForm("I3", closed, covariance, tuple(chain.steps))


def _stein_and_tilt(
    chain: _Chain,
    factor: sp.Expr,
    linear: int,
    nonlinear: int,
    function: ErfFunction,
    fields: tuple[sp.Symbol, ...],
    covariance: sp.ImmutableMatrix,
) -> sp.Expr:
    """Continue `chain` with E[z_linear g(z_nonlinear)] = C E[g'], then E[g'] by tilting."""
    step = stein(linear, function.value(fields[nonlinear]), fields, covariance)
    chain.then(factor * step.rhs, step.reason)
    last = tilt(covariance, nonlinear, function.rate)
    chain.then(
        factor * covariance[linear, nonlinear] * function.prefactor * last.weight,
        "tilting by the field of the derivative",
    )
    return chain.current


def _as_fraction_times(value: sp.Expr, pair: sp.Expr, name: str, chain: _Chain) -> sp.Expr:
    """Write `value` as a rational function times the two-point function J2 of the same fields."""
    numerator, denominator = sp.fraction(sp.factor(sp.cancel((value / pair) ** 2)))
    rational: sp.Expr = sp.S.One
    for part, sign in ((numerator, 1), (denominator, -1)):
        constant, factors = sp.factor_list(part)
        rational *= sp.sqrt(constant) ** sign
        for base, power in factors:
            if power % 2:
                raise DerivationError(f"{name}: ({value})/({pair}) is not rational")
            rational *= base ** (sign * power // 2)
    closed = rational * pair
    if bool(_sample(closed * value) < 0):
        closed = -closed
    _require_equal(name, value, closed)
    chain.then(closed, "algebra: the square roots combine to that of J2")
    return closed


@lru_cache(maxsize=64)
def derive_i4(
    first: ErfFunction = ERF,
    second: ErfFunction = ERF,
    third: ErfFunction = ERF,
    fourth: ErfFunction = ERF,
) -> ClosedForm:
    """I4 = E[g1'(z1) g2'(z2) g3(z3) g4(z4)], by tilting twice and I2 at the tilted covariance.

    Parameters
    ----------
    first, second, third, fourth : ErfFunction
        The functions in the four slots.

    Returns
    -------
    ClosedForm
        In c11, ..., c44, as constant * asin(L0/(sqrt(L1) sqrt(L2)))/sqrt(L4) with polynomials L.
    """
    covariance, fields = covariance_symbols(4), _fields(4)
    w1, w2, tilted = _tilt_twice(first, second, covariance)
    factor = first.prefactor * second.prefactor
    product_tail = third.value(fields[2]) * fourth.value(fields[3])
    once = tilt(covariance, 0, first.rate).covariance
    derivatives = sp.diff(first.value(fields[0]), fields[0]) * sp.diff(second.value(fields[1]), fields[1])
    chain = _Chain(GaussianExpectation(derivatives * product_tail, fields, covariance))
    chain.then(
        first.prefactor
        * w1
        * GaussianExpectation(sp.diff(second.value(fields[1]), fields[1]) * product_tail, fields, once),
        "tilting by the first field",
    )
    chain.then(factor * w1 * w2 * GaussianExpectation(product_tail, fields, tilted), "tilting by the second field")
    pair = derive_i2(third, fourth)
    (inverse_sine,) = pair.expression.atoms(sp.asin)
    constant = pair.expression / inverse_sine
    chain.then(factor * w1 * w2 * pair.at(tilted, (2, 3)), "I2 at the tilted covariance")
    # C~ and 1 + 2 beta^2 C~ are polynomials over the one denominator L4 > 0, which drops out of the argument
    l4 = _tidy(sp.cancel(1 / (w1 * w2) ** 2), covariance)
    quotients = (tilted[2, 3], 1 + 2 * third.rate * tilted[2, 2], 1 + 2 * fourth.rate * tilted[3, 3])
    polynomials = [sp.cancel(q * l4) for q in quotients]
    if not all(part.is_polynomial(*dict.fromkeys(covariance)) for part in polynomials):
        raise DerivationError(f"I4: the tilted covariance has another denominator than {l4}")
    l0, l1, l2 = (_tidy(part, covariance) for part in polynomials)
    argument = 2 * third.beta * fourth.beta * l0 / (sp.sqrt(l1) * sp.sqrt(l2))
    _require_equal("I4", w1 * w2, 1 / sp.sqrt(l4))
    closed = factor * constant * sp.asin(argument) / sp.sqrt(l4)
    if bool(abs(_sample(closed - chain.current)) > sp.Rational(1, 10**25)):
        raise DerivationError(f"I4: {closed} differs from {chain.current}")
    chain.then(closed, "algebra: polynomials L0, L1, L2, L4")
    return ClosedForm("I4", closed, covariance, tuple(chain.steps))
