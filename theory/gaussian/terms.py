"""Gaussian expectations in closed form, term by term.

A term is a product of powers of the fields, ``exp`` of linear forms and of squares, ``erf`` and ``sin``/``cos`` of
linear forms. Exponentials are absorbed into the law (tilting), powers are removed by Stein's lemma, and what is left is
one of a few base cases. Functions of one field with kinks go component by component.
"""

from dataclasses import dataclass, replace

import sympy as sp
from sympy.simplify.fu import TR8

from ..notation import z
from ..pieces import NotPiecewiseError, Piece, smooth_pieces
from ..real_line import NotRealError
from .components import NoClosedForm, components_of
from .erf_family import ErfFunction, derive_i2
from .expectation import KINKED, GaussianExpectation
from .stein_system import stein_systems

__all__ = ["NoClosedForm", "expectation_of_sum", "piecewise_expectation"]

_HYPERBOLIC = [sp.sinh, sp.cosh]


@dataclass(frozen=True)
class _Law:
    """A Gaussian law, and the weight collected on the way to it."""

    covariance: sp.ImmutableMatrix
    mean: sp.ImmutableMatrix
    weight: sp.Expr = sp.S.One

    def along(self, u: sp.ImmutableMatrix, v: sp.ImmutableMatrix) -> sp.Expr:
        return (u.T * self.covariance * v)[0]

    def absorb_square(self, u: sp.ImmutableMatrix, shift: sp.Expr, beta: sp.Expr) -> "_Law":
        """Absorb exp(-beta (u.z + shift)^2): tilting along u."""
        direction = self.covariance * u
        den = 1 + 2 * beta * self.along(u, u)
        if den.is_nonpositive:
            raise NoClosedForm
        centre = (u.T * self.mean)[0] + shift
        covariance = (self.covariance - 2 * beta * direction * direction.T / den).applyfunc(sp.cancel)
        mean = (self.mean - 2 * beta * direction * centre / den).applyfunc(sp.cancel)
        weight = sp.exp(sp.cancel(-beta * centre**2 / den)) / sp.sqrt(den)
        return _Law(covariance.as_immutable(), mean.as_immutable(), self.weight * weight)

    def absorb_linear(self, b: sp.ImmutableMatrix) -> "_Law":
        """Absorb exp(b.z): a shift of the mean."""
        weight = sp.exp((b.T * self.mean)[0] + self.along(b, b) / 2)
        return _Law(self.covariance, (self.mean + self.covariance * b).as_immutable(), self.weight * weight)


@dataclass(frozen=True)
class _Form:
    """A function of one linear form, f(u.z + shift)."""

    kind: type[sp.Function]
    direction: sp.ImmutableMatrix
    shift: sp.Expr


def expectation_of_sum(
    body: sp.Expr, fields: tuple[sp.Symbol, ...], covariance: sp.ImmutableMatrix, mean: sp.ImmutableMatrix
) -> sp.Expr:
    """Evaluate E[body] term by term; terms without a closed form stay unevaluated.

    Parameters
    ----------
    body : sympy.Expr
        Function of `fields`.
    fields : tuple of sympy.Symbol
        Gaussian variables.
    covariance, mean : sympy.ImmutableMatrix
        Their law, shapes (n, n) and (n, 1).

    Returns
    -------
    sympy.Expr
    """
    used = [f for f in fields if body.has(f)]
    if len(used) == 1 and body.has(*KINKED) and body.free_symbols == set(used):
        a = fields.index(used[0])
        try:
            return piecewise_expectation(smooth_pieces(body.subs(used[0], z)), mean[a], sp.sqrt(covariance[a, a]))
        except (NotPiecewiseError, NotRealError, NoClosedForm):
            return GaussianExpectation(body, fields, covariance, mean)
    if body.has(*_HYPERBOLIC):
        body = body.rewrite(_HYPERBOLIC, sp.exp)
    known: list[sp.Expr] = []
    rest: list[sp.Expr] = []
    for term in sp.Add.make_args(sp.expand(body)):
        linearised = sp.expand(TR8(term)) if term.has(sp.sin, sp.cos) else term  # products of sines to sums
        for part in sp.Add.make_args(linearised):
            constant, dependent = part.as_independent(*fields, as_Add=False)
            try:
                known.append(constant * _term(dependent, fields, _Law(covariance, mean)))
            except NoClosedForm:
                rest.append(part)
    if rest:
        known.append(GaussianExpectation(sp.Add(*rest), fields, covariance, mean))
    return sp.Add(*known)


def _unit(fields: tuple[sp.Symbol, ...], a: int) -> sp.ImmutableMatrix:
    return sp.ImmutableMatrix(len(fields), 1, lambda i, _: sp.Integer(int(int(i) == a)))


def _linear(argument: sp.Expr, fields: tuple[sp.Symbol, ...]) -> tuple[sp.ImmutableMatrix, sp.Expr]:
    """Direction and shift of u.z + shift."""
    if not argument.is_polynomial(*fields):
        raise NoClosedForm
    poly = sp.Poly(argument, *fields)
    if poly.total_degree() > 1:
        raise NoClosedForm
    direction = [poly.coeff_monomial(f) for f in fields]
    return sp.ImmutableMatrix(len(fields), 1, direction), poly.coeff_monomial(1)


def _term(dependent: sp.Expr, fields: tuple[sp.Symbol, ...], law: _Law) -> sp.Expr:
    powers = [0] * len(fields)
    forms: list[_Form] = []
    exponent: sp.Expr = sp.S.Zero
    for factor in sp.Mul.make_args(dependent):
        if not factor.has(*fields):
            law = replace(law, weight=law.weight * factor)
            continue
        base, power = factor.as_base_exp()
        if factor.func is sp.exp:
            exponent += factor.args[0]
        elif base in fields and power.is_Integer and power.is_positive:
            powers[fields.index(base)] += int(power)
        elif base.func in (sp.erf, sp.sin, sp.cos) and power.is_Integer and power.is_positive:
            forms += [_Form(base.func, *_linear(base.args[0], fields))] * int(power)
        elif base.is_positive and not base.has(*fields):
            exponent += power * sp.log(base)
        else:
            raise NoClosedForm
    if sum(form.kind is not sp.erf for form in forms) > 1:
        raise NoClosedForm
    law = _absorbed(exponent, fields, law)
    return law.weight * _moment(tuple(powers), tuple(forms), replace(law, weight=sp.S.One), fields)


def _absorbed(exponent: sp.Expr, fields: tuple[sp.Symbol, ...], law: _Law) -> _Law:
    """Absorb exp(exponent) for an exponent of linear terms and squares."""
    if not exponent.is_polynomial(*fields):
        raise NoClosedForm
    poly = sp.Poly(exponent, *fields)
    if poly.total_degree() > 2:
        raise NoClosedForm
    linear = [sp.S.Zero] * len(fields)
    for powers, coefficient in poly.terms():
        used = [a for a, n in enumerate(powers) if n]
        if sum(powers) == 2:
            if len(used) == 2:
                raise NoClosedForm
            law = law.absorb_square(_unit(fields, used[0]), sp.S.Zero, -coefficient)
        elif used:
            linear[used[0]] = coefficient
        else:
            law = replace(law, weight=law.weight * sp.exp(coefficient))
    if any(linear):
        law = law.absorb_linear(sp.ImmutableMatrix(len(fields), 1, linear))
    return law


def _moment(powers: tuple[int, ...], forms: tuple[_Form, ...], law: _Law, fields: tuple[sp.Symbol, ...]) -> sp.Expr:
    """E[prod z^n prod f(u.z + shift)], lowering the powers by Stein's lemma."""
    centred = law.mean.is_zero_matrix and all(f.shift.is_zero for f in forms)
    if centred and (sum(powers) + sum(f.kind is not sp.cos for f in forms)) % 2:
        return sp.S.Zero  # the integrand is odd
    if not any(powers):
        return _base(forms, law)
    b = next(a for a, n in enumerate(powers) if n)
    lowered = tuple(n - (a == b) for a, n in enumerate(powers))
    total: sp.Expr = sp.S.Zero
    if law.mean[b] != 0:
        total += law.mean[b] * _moment(lowered, forms, law, fields)
    for a, n in enumerate(lowered):
        if n and law.covariance[b, a] != 0:
            again = tuple(k - (i == a) for i, k in enumerate(lowered))
            total += law.covariance[b, a] * n * _moment(again, forms, law, fields)
    for index, form in enumerate(forms):
        weight = law.along(_unit(fields, b), form.direction)
        if weight == 0:
            continue
        others = forms[:index] + forms[index + 1 :]
        if form.kind is sp.erf:
            tilted = law.absorb_square(form.direction, form.shift, sp.S.One)
            factor = 2 / sp.sqrt(sp.pi) * tilted.weight
            total += weight * factor * _moment(lowered, others, replace(tilted, weight=sp.S.One), fields)
        elif form.kind is sp.sin:
            total += weight * _moment(lowered, (*others, replace(form, kind=sp.cos)), law, fields)
        else:
            total -= weight * _moment(lowered, (*others, replace(form, kind=sp.sin)), law, fields)
    return total


def _base(forms: tuple[_Form, ...], law: _Law) -> sp.Expr:
    if not forms:
        return sp.S.One
    centres = [(f.direction.T * law.mean)[0] + f.shift for f in forms]
    variances = [law.along(f.direction, f.direction) for f in forms]
    if len(forms) == 1:
        if forms[0].kind is sp.erf:
            # erf(y) is a probability of a Gaussian of variance 1/2 that is independent of y: the variances add
            return sp.erf(centres[0] / sp.sqrt(1 + 2 * variances[0]))
        return sp.exp(-variances[0] / 2) * forms[0].kind(centres[0])
    if len(forms) == 2 and all(f.kind is sp.erf for f in forms) and all(c.is_zero for c in centres):
        plain = ErfFunction(sp.S.One, sp.S.One)
        crossed = law.along(forms[0].direction, forms[1].direction)
        matrix = sp.ImmutableMatrix([[variances[0], crossed], [crossed, variances[1]]])
        return derive_i2(plain, plain).at(matrix, (0, 1))
    raise NoClosedForm


def piecewise_expectation(pieces: tuple[Piece, ...], mean: sp.Expr, std: sp.Expr) -> sp.Expr:
    """E[sigma(z)] for z ~ N(mean, std^2) and sigma in pieces.

    Parameters
    ----------
    pieces : tuple of Piece
        As :func:`hermiton.theory.pieces.smooth_pieces` gives them.
    mean, std : sympy.Expr
        Exact or symbolic; std positive.

    Returns
    -------
    sympy.Expr

    Raises
    ------
    NoClosedForm
        If a piece is no sum of components.
    """
    return sp.Add(*(system.coefficient(0) for system in stein_systems(components_of(pieces), mean, std)))
