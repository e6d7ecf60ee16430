"""Good activations: when the functions sigma(w.x), and their derivatives in w, of different weights are independent.

The functions x^alpha sigma^(p)(w_i.x), |alpha| = p <= P, are linearly independent for every P, every dimension and any
weights w_i != 0 that are

* distinct, if infinitely many even and infinitely many odd Taylor coefficients of sigma at 0 do not vanish;
* distinct up to sign, if infinitely many of one parity do not vanish: sigma is then even, odd, or one of these plus a
  polynomial, and sigma(z) +- sigma(-z) is a polynomial, a dependency between opposite weights.

A part of sigma has finitely many Taylor coefficients just if it is a polynomial, so both classes are decided by
symbolic identities. Polynomials and positively homogeneous functions (ReLU) are bad. For given weights, the rank of the
matrix of Taylor coefficients is a rigorous lower bound on the dimension of the span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import sympy as sp
from sympy.polys.matrices import DomainMatrix

from .errors import AccuracyError, argument_error
from .facts.numbers import real_zero
from .facts.polynomials import parity_split
from .facts.shape import homogeneity
from .facts.taylor import taylor
from .notation import z

if TYPE_CHECKING:
    from .activation import Activation

__all__ = ["Goodness", "TaylorRank", "goodness", "relation", "taylor_minor", "taylor_rank"]

GOOD, UP_TO_SIGN, BAD, UNDECIDED = "good", "good up to sign", "bad", "undecided"


@dataclass(frozen=True)
class Goodness:
    """Whether sigma is a good activation.

    Parameters
    ----------
    status : str
        ``'good'`` (for distinct weights), ``'good up to sign'`` (for weights distinct up to sign), ``'bad'`` or
        ``'undecided'``.
    kind : str
        ``'generic'``, ``'even'``, ``'odd'``, ``'polynomial + even'``, ``'polynomial + odd'``, ``'constant + odd'``,
        ``'polynomial'``, ``'homogeneous'``, ``'kinked'`` or ``'analytic'``.
    polynomial : sympy.Expr or None
        The polynomial part p, where sigma = p + even or odd.
    null_block : bool
        Whether sigma(0) = 0, so that a neuron of weight zero is silent.
    reason : str
        The proof, or what is missing.
    """

    status: str
    kind: str
    polynomial: sp.Expr | None
    null_block: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.status} ({self.kind})"


@lru_cache(maxsize=256)
def goodness(activation: Activation) -> Goodness:
    """Decide whether an activation is good.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    Goodness

    Notes
    -----
    *Validity.* Good is proved for analytic functions: along a line x = t v the Taylor coefficients of a combination are
    s_k times sums of polynomials in k times w^k, which vanish for infinitely many k only if each is zero.

    >>> from hermiton.theory.activation import Activation
    >>> for name in ("tanh", "softplus", "exp", "relu", "square"):
    ...     print(name, goodness(Activation(name)))
    tanh good up to sign (odd)
    softplus good up to sign (polynomial + even)
    exp good (generic)
    relu bad (homogeneous)
    square bad (polynomial)
    """
    null = _vanishes_at_zero(activation)
    if activation.degree is not None:
        reason = (
            f"sigma(w.x) lies in the space of polynomials of degree {activation.degree}, whatever the number of weights"
        )
        return Goodness(BAD, "polynomial", activation.pieces[0].expression, null, reason)
    split = parity_split(activation)
    if len(activation.pieces) > 1:
        power = homogeneity(activation)
        if power is None:
            reason = "sigma is not analytic; the theorem needs infinitely many Taylor coefficients at 0"
            return Goodness(UNDECIDED, "kinked", None, null, reason)
        also = f", and {split.odd_reason}" if split.odd is not None else ""
        return Goodness(BAD, "homogeneous", None, null, f"sigma(c w.x) = c^{power.degree} sigma(w.x) for c > 0{also}")
    if split.even is None and split.odd is None:
        if split.even_reason and split.odd_reason:
            return Goodness(GOOD, "generic", None, null, f"{split.even_reason}; {split.odd_reason}")
        missing = "even" if not split.even_reason else "odd"
        return Goodness(UNDECIDED, "analytic", None, null, f"whether the {missing} part of sigma is a polynomial")
    polynomial, rest = (split.even, "odd") if split.even is not None else (split.odd, "even")
    other = split.odd_reason if split.even is not None else split.even_reason
    if not other or polynomial is None:
        return Goodness(UNDECIDED, "analytic", None, null, f"whether the {rest} part of sigma is a polynomial")
    word = "constant" if not polynomial.has(z) else "polynomial"
    kind = rest if polynomial.is_zero else f"{word} + {rest}"
    identity = split.even_reason if split.even is not None else split.odd_reason
    return Goodness(UP_TO_SIGN, kind, polynomial, null, f"{identity}, a dependency of opposite weights; {other}")


def _vanishes_at_zero(activation: Activation) -> bool:
    """Whether sigma(0) = 0; at a jump it is not."""
    values = [p.expression.subs(z, 0) for p in activation.pieces if bool(p.lo <= 0) and bool(p.hi >= 0)]
    return all(real_zero(value) is True for value in values)


# -- dependencies -----------------------------------------------------------------------------------------------------


def relation(activation: Activation, first: sp.Rational, second: sp.Rational) -> tuple[tuple[sp.Expr, sp.Expr], ...]:
    """An exact dependency of sigma(w z) for the weights +-`first`, +-`second`.

    Parameters
    ----------
    activation : Activation
        Not a good one.
    first, second : sympy.Rational
        Positive and different.

    Returns
    -------
    tuple of (coefficient, weight)
        The sum of coefficient * sigma(weight * z) vanishes for every z.

    Raises
    ------
    AssumptionError
        If the weights are not positive and different, or no such dependency of these weights is known.

    >>> from hermiton.theory.activation import Activation
    >>> relation(Activation("sigmoid"), sp.Integer(1), sp.Integer(2))
    ((1, 1), (1, -1), (-1, 2), (-1, -2))
    """
    w, v = sp.sympify(first, strict=True), sp.sympify(second, strict=True)
    if not (w.is_Rational and v.is_Rational and w.is_positive and v.is_positive and w != v):
        raise argument_error("first", first, f"and {second} are not positive, rational and different", "use 1 and 2")
    power = homogeneity(activation)
    if power is not None and power.degree.is_Integer:
        return (v**power.degree, w), (-(w**power.degree), v)
    found = goodness(activation)
    if found.status == UP_TO_SIGN and found.polynomial is not None:
        sign = sp.S.One if found.kind.endswith("odd") else sp.S.NegativeOne
        if found.polynomial.is_zero:
            return (sp.S.One, w), (sign, -w)
        terms = sp.Poly(found.polynomial, z).terms()
        if len(terms) == 1:
            ((n,), _) = terms[0]
            return (v**n, w), (sign * v**n, -w), (-(w**n), v), (-sign * w**n, -v)
    raise argument_error(
        "activation",
        activation.name,
        f"is {found}: no dependency of four weights is known",
        "use a bad one or one up to sign",
    )


# -- Taylor certificates ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TaylorRank:
    """Rank of the Taylor coefficients of x^p sigma^(p)(w x), p <= P: a lower bound on the dimension of their span.

    Parameters
    ----------
    rank, rows : int
        Rank and number of functions; equal ranks and rows certify independence.
    support : tuple of int
        The k below the order with s_k != 0. The rank depends on nothing else of sigma: a column may be scaled.
    """

    rank: int
    rows: int
    support: tuple[int, ...]

    @property
    def independent(self) -> bool:
        """Whether the functions are certified to be linearly independent."""
        return self.rank == self.rows

    def __str__(self) -> str:
        return f"{self.rank}/{self.rows}"


def taylor_rank(
    activation: Activation, weights: Sequence[sp.Rational | int], order: int, derivatives: int = 0
) -> TaylorRank:
    """Rank over the rationals of the Taylor coefficients of x^p sigma^(p)(w x) for all weights and p <= P.

    Parameters
    ----------
    activation : Activation
        Analytic at 0.
    weights : sequence of sympy.Rational or int
        The w, also equal or opposite ones.
    order : int
        Number of Taylor coefficients, from s_0 on.
    derivatives : int
        P.

    Returns
    -------
    TaylorRank

    Raises
    ------
    AssumptionError
        If sigma has a kink at 0, or an argument is not of this kind.
    AccuracyError
        If it is open whether some s_k vanishes.

    >>> from hermiton.theory.activation import Activation
    >>> str(taylor_rank(Activation("sigmoid"), [1, -1, 2, -2], 24))
    '3/4'
    """
    numbers = _rationals(weights)
    for name, value, least in (("order", order, 1), ("derivatives", derivatives, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise argument_error(name, value, "is not a count", f"use an integer >= {least}")
    coefficients = _at_zero(activation, order - 1)
    support = []
    for k, coefficient in enumerate(coefficients):
        zero = real_zero(coefficient)
        if zero is None:
            raise AccuracyError(
                f"it is open whether the Taylor coefficient {k} of {activation.name}, {coefficient}, is zero"
            )
        if not zero:
            support.append(k)
    rows = [[_entry(w, p, k) for k in support] for w in numbers for p in range(derivatives + 1)]
    if not support:
        return TaylorRank(0, len(rows), ())
    matrix = DomainMatrix.from_list_sympy(len(rows), len(support), rows).convert_to(sp.QQ)
    return TaylorRank(int(matrix.rank()), len(rows), tuple(support))


def taylor_minor(activation: Activation, weights: Sequence[sp.Rational | int], exponents: Sequence[int]) -> sp.Expr:
    """Determinant of the matrix s_k w^k, one row a weight and one column an exponent k.

    For positive weights it is the product of the s_k and a generalised Vandermonde determinant, which is not zero.

    Parameters
    ----------
    activation : Activation
        Analytic at 0.
    weights : sequence of sympy.Rational or int
        As many as exponents.
    exponents : sequence of int
        The k.

    Returns
    -------
    sympy.Expr
        Exact.

    Raises
    ------
    AssumptionError
        If the numbers of weights and exponents differ, or sigma has a kink at 0.

    >>> from hermiton.theory.activation import Activation
    >>> taylor_minor(Activation("tanh"), [sp.Rational(1, 2), 1, sp.Rational(3, 2)], [1, 3, 5])
    -1/16
    """
    numbers = _rationals(weights)
    if len(numbers) != len(exponents) or any(isinstance(k, bool) or not isinstance(k, int) or k < 0 for k in exponents):
        raise argument_error(
            "exponents", exponents, "are not one count a weight", "give as many integers >= 0 as weights"
        )
    coefficients = _at_zero(activation, max(exponents))
    plain = DomainMatrix.from_list_sympy(len(numbers), len(numbers), [[w**k for k in exponents] for w in numbers])
    determinant = plain.convert_to(sp.QQ).det()
    return sp.expand(
        sp.Rational(determinant.numerator, determinant.denominator) * sp.Mul(*(coefficients[k] for k in exponents))
    )


def _entry(weight: sp.Rational, p: int, k: int) -> sp.Rational:
    """Coefficient of x^k in x^p sigma^(p)(w x), divided by s_k."""
    return sp.ff(k, p) * weight ** (k - p) if k >= p else sp.S.Zero


def _rationals(weights: Sequence[sp.Rational | int]) -> list[sp.Rational]:
    numbers = [sp.sympify(w, strict=True) for w in weights]
    if not numbers or not all(w.is_Rational and not w.is_zero for w in numbers):
        raise argument_error("weights", weights, "are not non-zero rationals", "use sympy.Rational")
    return numbers


def _at_zero(activation: Activation, order: int) -> tuple[sp.Expr, ...]:
    if any(kink.is_zero for kink in activation.kinks):
        raise argument_error("activation", activation.name, "has a kink at 0", "use a function that is analytic there")
    piece = next(p for p in activation.pieces if bool(p.lo < 0) and bool(p.hi > 0))
    return taylor(piece.expression, order)
