"""Distribution functions F(z) that a user writes as formulas: read, checked, and written without loss of digits."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import pairwise

import mpmath
import sympy as sp

from ..errors import argument_error
from ..formula import parse_formula
from ..notation import z
from ..pieces import NotPiecewiseError, Piece, smooth_pieces
from ..real_line import NotRealError

__all__ = ["NAMES", "checked_pieces", "density", "joined", "read_distribution", "stable"]

NAMES: dict[str, sp.Expr] = {
    "normal": (1 + sp.erf(z / sp.sqrt(2))) / 2,
    "uniform": sp.Min(sp.Max(z, 0), 1),
}
"""Distributions by name: the standard normal one, and the uniform one on [0, 1]."""

_CURE = "pass the distribution function P(x < z) as a formula in hermiton.z, or one of 'normal', 'uniform'"
# Where the sign of the density is looked at: distances from an end or from the origin, and shares of a bounded piece.
_DISTANCES = tuple(sp.Rational(3, 2) ** n for n in range(-16, 17))
_SHARES = tuple(sp.Rational(n, 34) for n in range(1, 34))
# The ends, the tail, and how near is near enough.
_FAR, _CLOSE = 2**100, sp.Rational(1, 10**6)
_TAIL, _LEAST_INDEX = (40, 60), sp.Rational(2001, 1000)
_DIGITS, _NO_TAIL = 150, sp.Rational(1, 10**70)


def read_distribution(given: object) -> sp.Expr:
    """F(z) in exact numbers, from a name, a formula as text, or a SymPy expression.

    Raises
    ------
    AssumptionError
        If it is no formula in z alone.
    """
    if isinstance(given, str):
        if given.strip() in NAMES:
            return NAMES[given.strip()]
        if given.strip().isidentifier() and given.strip() != "z":
            raise argument_error("distribution", given, "is not a known name", _CURE)
        expression = parse_formula(given)
    elif isinstance(given, sp.Expr):
        expression = given
    else:
        raise argument_error("distribution", given, f"is a {type(given).__name__}", _CURE)
    others = sorted(str(s) for s in expression.free_symbols if s.name != "z")
    if others:
        problem = f"has other variables than z ({', '.join(others)})"
        raise argument_error("distribution", given, problem, "give parameters their numbers")
    if expression.has(sp.I, sp.oo, -sp.oo, sp.nan, sp.zoo, sp.Integral, sp.Sum, sp.Derivative, sp.Limit):
        problem = "has a complex, infinite or unevaluated part"
        raise argument_error("distribution", given, problem, "write it in closed form")
    exact: dict[sp.Basic, sp.Basic] = {s: z for s in expression.free_symbols}
    exact |= {number: sp.nsimplify(number, rational=True) for number in expression.atoms(sp.Float)}
    return expression.xreplace(exact)


@functools.lru_cache(maxsize=64)
def checked_pieces(expression: sp.Expr) -> tuple[Piece, ...]:
    """The smooth pieces of F, if it can be a continuous distribution function with a finite variance.

    Parameters
    ----------
    expression : sympy.Expr
        F(z).

    Returns
    -------
    tuple of Piece

    Raises
    ------
    AssumptionError
        If F jumps, decreases where it is looked at, does not run from 0 to 1, or has so heavy an upper tail that the
        variance of max(x, theta) is not shown to be finite.
    """
    try:
        pieces = smooth_pieces(expression)
    except NotRealError as error:
        problem = f"is not shown to be real and finite: {error.sub_expression} {error.reason}"
        raise argument_error("distribution", expression, problem, "keep it between 0 and 1 on the whole line") from None
    except NotPiecewiseError as error:
        problem = f"can't be cut into smooth pieces: {error}"
        raise argument_error("distribution", expression, problem, "use finitely many kinks at exact points") from None
    for far, piece, level in ((-_FAR, pieces[0], 0), (_FAR, pieces[-1], 1)):
        found = _value(piece.expression, far)
        if not abs(found - level) < _CLOSE:
            problem = f"is {mpmath.nstr(found, 6)} and not {level} at z = {mpmath.nstr(mpmath.mpf(far), 2)}"
            raise argument_error("distribution", expression, problem, _CURE)
    for before, after in pairwise(pieces):
        jump = sp.simplify(after.expression.subs(z, after.lo) - before.expression.subs(z, after.lo))
        if jump != 0:
            problem = f"jumps by {jump} at z = {after.lo}"
            raise argument_error("distribution", expression, problem, "samples that coincide have no smooth limit")
    for piece in pieces:
        slope = sp.diff(piece.expression, z)
        if slope.is_nonnegative:
            continue
        for point in _inside(piece):
            if slope.subs(z, point).evalf(30) < 0:
                problem = f"decreases at z = {point}"
                raise argument_error("distribution", expression, problem, "a distribution function does not")
    _refuse_heavy_tail(expression, pieces[-1].expression)
    return pieces


def _inside(piece: Piece) -> Iterator[sp.Expr]:
    """Points of a piece."""
    if piece.lo.is_finite and piece.hi.is_finite:
        yield from (piece.lo + (piece.hi - piece.lo) * share for share in _SHARES)
        return
    if piece.lo.is_finite:
        yield from (piece.lo + distance for distance in _DISTANCES)
    elif piece.hi.is_finite:
        yield from (piece.hi - distance for distance in _DISTANCES)
    else:
        yield from (sign * distance for distance in _DISTANCES for sign in (1, -1))


def _refuse_heavy_tail(expression: sp.Expr, last: sp.Expr) -> None:
    """Where 1 - F falls like z^-alpha the variance is finite for alpha > 2; alpha is read off two far points."""
    near, far = (_value(1 - last, 2**power) for power in _TAIL)
    if abs(far) < _NO_TAIL:
        return
    index = mpmath.log(near / far, 2) / (_TAIL[1] - _TAIL[0])
    if not index > _LEAST_INDEX:
        problem = f"has a tail 1 - F like z^-{mpmath.nstr(index, 4)}, under which the variance of a truncated sample"
        cure = "use a distribution with more than two moments"
        raise argument_error("distribution", expression, f"{problem} is not finite", cure)


def _value(expression: sp.Expr, at: int) -> mpmath.mpf:
    """A value with digits enough for differences; SymPy's limits of error functions are not to be relied on."""
    with mpmath.workdps(_DIGITS):
        return mpmath.mpmathify(sp.lambdify(z, expression, "mpmath")(mpmath.mpf(at)))


def stable(pieces: tuple[Piece, ...]) -> sp.Expr:
    """F(z) where small values are no small differences: 1 + erf(u) and 1 + tanh(u) by functions of their own."""
    return joined([(_without_cancellation(piece.expression), piece) for piece in pieces])


def density(pieces: tuple[Piece, ...]) -> sp.Expr:
    """F'(z), from the right at kinks."""
    return joined([(sp.diff(piece.expression, z), piece) for piece in pieces])


def joined(rows: list[tuple[sp.Expr, Piece]]) -> sp.Expr:
    """One expression in z from the expressions on its pieces."""
    if len(rows) == 1:
        return rows[0][0]
    return sp.Piecewise(*((value, z < piece.hi) for value, piece in rows[:-1]), (rows[-1][0], True))


def _without_cancellation(value: sp.Expr) -> sp.Expr:
    """Write 1 + erf and 1 + tanh so that constants cancel before they are numbers."""
    values: dict[sp.Basic, sp.Expr] = {}
    replaced: dict[sp.Basic, sp.Expr] = {}
    for call in value.atoms(sp.erf, sp.erfc, sp.tanh):
        sign = -1 if sp.diff(call.args[0], z).is_negative else 1
        u, share = sign * call.args[0], sp.Dummy("share", positive=True)  # (1 + erf(u))/2 or (1 + tanh(u))/2
        odd = sign * (2 * share - 1)
        replaced[call] = 1 - odd if isinstance(call, sp.erfc) else odd
        if isinstance(call, sp.tanh):
            values[share] = 1 / (1 + sp.exp(-2 * u))
        else:  # SymPy writes erfc(-u) as 2 - erfc(u), hence the absolute value
            values[share] = sp.Piecewise((sp.erfc(sp.Abs(u)) / 2, u < 0), (1 - sp.erfc(u) / 2, True))
    return sp.expand(value.xreplace(replaced)).xreplace(values) if replaced else value
