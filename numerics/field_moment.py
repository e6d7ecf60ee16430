"""E[prod_a g_a^(n_a)(z_a)] for jointly Gaussian fields: exact, rigorous, or in doubles with an error."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from ..theory.activation import Activation
from ..theory.errors import AccuracyError, AssumptionError, argument_error
from .field_functions import FieldFunction, field_function
from .field_law import MAX_FIELDS, FieldLaw, read_law
from .field_numbers import ball_mpf, rounded, rounded_ball

if TYPE_CHECKING:
    import flint
    import mpmath

__all__ = ["FieldMoment", "field_moment"]

DOUBLE_DIGITS = 15
"""Most digits that double precision is used for."""

_EPS = float(np.finfo(np.float64).eps)
_MOST_WICK_TERMS = 20000
_EXACT_DIGITS = 60
_KINDS = ("exact", "rigorous", "estimated")


@dataclass(frozen=True)
class FieldMoment:
    """A Gaussian moment E[prod_a g_a^(n_a)(z_a)].

    Attributes
    ----------
    value : float; mpmath.mpf beyond 15 digits
        The moment.
    error : the same
        Absolute: ``|value - moment| <= error``.
    kind : str
        ``'exact'`` (in rational numbers, rounded once), ``'rigorous'`` (a proved enclosure) or ``'estimated'`` (double
        precision; rounding, discretisation and tail are all part of the error).
    method : str
        How it was found.
    digits : int
        The digits that were asked for.
    ball : flint.arb or None
        The enclosure, beyond 15 digits.
    """

    value: float | mpmath.mpf
    error: float | mpmath.mpf
    kind: str
    method: str
    digits: int
    ball: flint.arb | None = field(default=None, repr=False)


def field_moment(
    activations: Sequence[Activation | str | sp.Expr] | Activation | str | sp.Expr,
    covariance: Any,
    mean: Any = None,
    derivatives: Sequence[int] | None = None,
    digits: int = 15,
) -> FieldMoment:
    """The moment E[prod_a g_a^(n_a)(z_a)] of fields z ~ N(mean, covariance).

    Parameters
    ----------
    activations : Activation, str or sympy.Expr, or a sequence of them
        The g_a, one a field, or one for all.
    covariance : array, nested sequence or SymPy matrix, shape (n, n)
        n = 1 to 4; it may be singular in any way. Numbers are exact: a float stands for the rational that it stores.
    mean : array, sequence or SymPy matrix of length n, optional
        Zero by default.
    derivatives : sequence of int, optional
        The n_a: 0 or 1, or 2 for activations without kinks; zero by default.
    digits : int
        Up to 15: doubles; an error of 10^-digits E[prod |g_a|] is aimed at, and the one reached is given. More: balls,
        for one and two correlated fields at a time: a radius below 10^-digits max(1, |value|) for one field, below
        10^-digits sqrt(E[g_1^2] E[g_2^2]) for two.

    Returns
    -------
    FieldMoment

    Raises
    ------
    AssumptionError
        If an argument is not of this kind, or the product is not integrable.
    AccuracyError
        If no digit, or not the digits beyond 15 that were asked for, can be had.

    Notes
    -----
    Groups of fields without covariance between them factorise. Polynomials are done by Wick's theorem in rational
    numbers. Sums of erf's, Gaussian bumps and piecewise-linear functions, and derivatives of these, are orthant
    probabilities (arc sines, with means integrals along a path) after tilting. All else is done by nested quadrature
    that is cut at the kinks. Beyond 15 digits one field takes a certified integral, two fields Mehler's series with
    certified coefficients and the bound of its tail by Cauchy and Schwarz.

    *Validity.* Each g_a is analytic between finitely many kinks. A field without variance at a jump takes the mean of
    both sides. A covariance that rounding has left indefinite is replaced by one with variances larger by a share of
    rounding size, and the error covers the difference. The kind 'estimated' rests on convergence that was observed, not
    proved.

    Examples
    --------
    >>> found = field_moment("relu", [[1.0, 0.5], [0.5, 1.0]])
    >>> round(found.value, 12), found.error < 1e-13
    (0.304498890522, True)
    >>> field_moment(["he2", "he2"], [[1, 0.5], [0.5, 1]]).value
    0.5
    """
    law = read_law(covariance, mean)
    functions = _functions(activations, derivatives, law.size)
    if (type(digits) is not int and not isinstance(digits, np.integer)) or int(digits) < 1:
        raise argument_error("digits", digits, "is not a positive integer", "use 15, or more for balls")
    _check_integrable(functions, law)
    share = law.missing_share()
    if not share:
        return _moment(functions, law, int(digits)).result(int(digits))
    if digits > DOUBLE_DIGITS:
        raise argument_error(
            "covariance",
            _doubles(law),
            f"is indefinite by {float(share):.1e} of its variances",
            f"give exact numbers for digits={digits}, such as sympy.Rational or sympy.sqrt",
        )
    found, other = (_moment(functions, law.raised(s), int(digits)) for s in (share, 4 * share))
    error = found.error + other.error + abs(found.value - other.value)
    return FieldMoment(found.value, error, "estimated", f"{found.method}, variances raised by rounding", int(digits))


# -- arguments --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _named(formula: str | sp.Expr) -> Activation:
    return Activation(formula)


def _activation(given: object) -> Activation:
    if isinstance(given, Activation):
        return given
    if isinstance(given, str | sp.Expr):
        return _named(given)
    raise argument_error(
        "activations",
        given,
        f"is a {type(given).__name__}",
        "pass an Activation, a name, a formula in z or a SymPy expression, or a sequence of these",
    )


def _functions(activations: Any, derivatives: Any, size: int) -> list[FieldFunction]:
    several = isinstance(activations, Sequence) and not isinstance(activations, str)
    if several and len(activations) > MAX_FIELDS:
        raise argument_error(
            "activations", activations, "are too many", f"give 1 to {MAX_FIELDS}: longer products don't occur"
        )
    given = list(activations) if several else [activations] * size
    if len(given) != size:
        raise argument_error(
            "activations", activations, f"don't fit the covariance of {size} fields", "give one a field, or one for all"
        )
    orders = [0] * size
    if derivatives is not None:
        listed = derivatives.tolist() if isinstance(derivatives, np.ndarray) else derivatives
        if not isinstance(listed, Sequence) or isinstance(listed, str) or len(listed) != size:
            raise argument_error("derivatives", derivatives, "are not one a field", f"give {size} integers")
        orders = list(listed)
    for n in orders:
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 0 <= n <= 2:
            raise argument_error("derivatives", derivatives, "has an entry that is no order", "use 0, 1 or 2")
    return [field_function(_activation(g), int(n)) for g, n in zip(given, orders, strict=True)]


def _check_integrable(functions: Sequence[FieldFunction], law: FieldLaw) -> None:
    """E exp(sum_a e_a z_a^2) is finite if and only if 2 sqrt(e_a e_b) C_ab has all its eigenvalues below 1."""
    rates = [f.activation.growth_exponent for f in functions]
    if all(rate.is_zero for rate in rates):
        return
    roots = np.sqrt([float(rate) for rate in rates])
    largest = float(np.linalg.eigvalsh(2.0 * roots[:, None] * roots * np.array(_doubles(law)))[-1])
    if largest > 1.0 - 1e-12:
        fastest = max(functions, key=lambda f: float(f.activation.growth_exponent))
        raise argument_error(
            "covariance",
            _doubles(law),
            f"makes the moment infinite: {fastest.name} grows like exp(({fastest.activation.growth_exponent})*z**2)",
            f"scale it by less than {1.0 / largest:.6g}",
        )


def _doubles(law: FieldLaw) -> list[list[float]]:
    return [[float(x) for x in row] for row in law.covariance]


# -- the ways ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """A moment, in doubles or as a ball."""

    value: float
    error: float
    kind: str
    method: str
    ball: Any = None

    @classmethod
    def of_ball(cls, ball: Any, kind: str, method: str) -> _Found:
        value, error = rounded_ball(ball)
        return cls(value, error, kind, method, ball)

    def result(self, digits: int) -> FieldMoment:
        if digits > DOUBLE_DIGITS:
            assert self.ball is not None
            value, error = ball_mpf(self.ball.mid()), ball_mpf(self.ball.rad())
            return FieldMoment(value, error, self.kind, self.method, digits, self.ball)
        if not math.isfinite(self.value):
            raise AccuracyError(f"the moment is beyond the range of doubles: use digits={DOUBLE_DIGITS + 1}")
        return FieldMoment(self.value, self.error, self.kind, self.method, digits)


def _moment(functions: Sequence[FieldFunction], law: FieldLaw, digits: int) -> _Found:
    if all(f.polynomial is not None for f in functions):
        terms = math.prod(sum(1 for c in f.polynomial or () if c) for f in functions)
        if terms <= _MOST_WICK_TERMS or digits > DOUBLE_DIGITS:
            return _by_wick(functions, law, digits)
    parts = list(law.independent_parts())
    found = [_connected([functions[a] for a in part], law.part(part), digits) for part in parts]
    if len(found) == 1:
        return found[0]
    return _product(found, digits)


def _product(parts: Sequence[_Found], digits: int) -> _Found:
    kind = max((p.kind for p in parts), key=_KINDS.index)
    method = "product of " + ", ".join(dict.fromkeys(p.method for p in parts))
    if digits > DOUBLE_DIGITS:
        from ..theory.balls import working_digits

        with working_digits(digits + 10):
            return _Found.of_ball(math.prod(p.ball for p in parts), "rigorous", method)
    value, error = 1.0, 0.0
    for part in parts:
        error = abs(value) * part.error + error * (abs(part.value) + part.error)
        value *= part.value
        error += _EPS * abs(value) + 5e-324
    return _Found(value, error * (1.0 + 4.0 * _EPS), "estimated" if kind == "estimated" else "rigorous", method)


def _connected(functions: Sequence[FieldFunction], law: FieldLaw, digits: int) -> _Found:
    """Fields that can't be taken apart."""
    if law.size == 1 and law.covariance[0][0] == 0:
        return _constant(functions[0], law, digits)
    if digits > DOUBLE_DIGITS:
        return _in_balls(functions, law, digits)
    closed = _by_orthants(functions, law)
    if closed is not None and closed.error <= 100.0 * 10.0**-digits * abs(closed.value):
        return closed
    if closed is not None and any(f.order and f.jumps for f in functions):
        return closed
    try:
        found = _by_quadrature(functions, law, digits)
    except AccuracyError:
        if closed is not None:
            return closed
        rescued = _rescued(functions, law)
        if rescued is None:
            raise
        return rescued
    return closed if closed is not None and closed.error <= found.error else found


def _constant(function: FieldFunction, law: FieldLaw, digits: int) -> _Found:
    from ..theory.balls import evaluate

    ball = evaluate(function.at(law.exact_mean[0]), {}, max(_EXACT_DIGITS, digits + 10))
    return _Found.of_ball(ball, "rigorous", "a constant")


def _in_balls(functions: Sequence[FieldFunction], law: FieldLaw, digits: int) -> _Found:
    from .mehler import one_field, two_fields

    for function in functions:
        function.require_no_impulses()
    if law.size == 1:
        return _Found.of_ball(*_with_kind(one_field(functions[0], law, digits)))
    if law.size == 2:
        return _Found.of_ball(*_with_kind(two_fields(functions[0], functions[1], law, digits)))
    raise AccuracyError(
        f"field_moment of {law.size} correlated fields: asked for digits={digits}, {DOUBLE_DIGITS} can be had; no bound"
        " of a truncated series is computable from integrals over one field beyond two fields (polynomials apart):"
        f" use digits={DOUBLE_DIGITS}"
    )


def _rescued(functions: Sequence[FieldFunction], law: FieldLaw) -> _Found | None:
    """Balls where doubles fail; None if they can't be had."""
    if law.size > 2:
        return None
    try:
        return _in_balls(functions, law, DOUBLE_DIGITS + 2)
    except (AccuracyError, AssumptionError):
        return None


def _with_kind(found: tuple[Any, str]) -> tuple[Any, str, str]:
    ball, method = found
    return ball, "exact" if method == "balls: closed form" else "rigorous", method


def _by_wick(functions: Sequence[FieldFunction], law: FieldLaw, digits: int) -> _Found:
    from ..theory.balls import evaluate
    from ..theory.gaussian.wick import MomentTable

    size = law.size
    rows = law.exact_covariance
    table = MomentTable(
        sp.ImmutableMatrix(size, size, lambda a, b: rows[int(a)][int(b)]), sp.ImmutableMatrix(size, 1, law.exact_mean)
    )
    coefficients = [[(n, c) for n, c in enumerate(f.polynomial or ()) if c] for f in functions]
    total = sp.Add(
        *(
            sp.Mul(*(c for _, c in term)) * table.moment(tuple(n for n, _ in term))
            for term in itertools.product(*coefficients)
        )
    )
    method = "Wick's theorem, rational arithmetic"
    if total.is_Rational and digits <= DOUBLE_DIGITS:
        return _Found(*rounded(Fraction(int(total.p), int(total.q))), "exact", method)
    return _Found.of_ball(evaluate(total, {}, max(_EXACT_DIGITS, digits + 10)), "exact", method)


def _by_orthants(functions: Sequence[FieldFunction], law: FieldLaw) -> _Found | None:
    from .moments.erf_means import moment_of_noisy_forms

    forms = [f.forms for f in functions]
    if any(f is None for f in forms):
        return None
    found = moment_of_noisy_forms(forms, law.covariance, law.mean)
    if found is None:
        return None
    value, error = found
    return _Found(value, error + 5e-324, "estimated", "tilting and orthant probabilities")  # 0 may be an underflow


def _by_quadrature(functions: Sequence[FieldFunction], law: FieldLaw, digits: int) -> _Found:
    from .moments.nested import nested_moment

    found = nested_moment([f.factor for f in functions], law.covariance, [float(m) for m in law.mean], digits)
    if not found.error <= 0.5 * found.size and found.size > 0.0:
        names = ", ".join(f.name for f in functions)
        raise AccuracyError(
            f"field_moment of {names}: asked for digits={digits}, achieved none: the error is {found.error:.1e} where"
            f" E[prod |g|] is {found.size:.1e}; use lower variances or functions with fewer oscillations"
        )
    return _Found(found.value, found.error, "estimated", "nested quadrature")
