"""Cut an expression with kinks into smooth pieces at exact points."""

from itertools import pairwise
from typing import NamedTuple

import sympy as sp

from .notation import z
from .real_line import NotRealError, less, real_range
from .symmetry import vanishes

__all__ = ["NotPiecewiseError", "Piece", "continuous_lines", "smooth_pieces"]

_MAX_PIECES = 100


class NotPiecewiseError(Exception):
    """The points where an expression is not smooth are infinitely many or have no exact form."""


class Piece(NamedTuple):
    """A smooth expression in z on the interval (lo, hi)."""

    lo: sp.Expr
    hi: sp.Expr
    expression: sp.Expr


def smooth_pieces(expr: sp.Expr) -> tuple[Piece, ...]:
    """Write an expression in z as smooth pieces, left to right.

    Cuts at the sign changes in ``Abs``, ``sign``, ``Heaviside``, ``Max``, ``Min`` and ``Piecewise``, and at the zeros
    of a base with a fractional exponent. Neighbouring pieces differ (as functions) or meet at such a zero.

    Parameters
    ----------
    expr : sympy.Expr
        An expression in ``z``.

    Returns
    -------
    tuple of Piece
        They cover the real line; values at the cuts themselves are not part of any piece.

    Raises
    ------
    NotPiecewiseError
        If the cuts are infinitely many or have no exact form.
    NotRealError
        If a function of the whitelist is complex or has a pole on the real line.
    """
    cutter = _Cutter()
    return cutter.merged(cutter.cut(expr, -sp.oo, sp.oo, frozenset()))


def continuous_lines(pieces: tuple[Piece, ...]) -> tuple[tuple[sp.Expr, sp.Expr], ...] | None:
    """Write a continuous piecewise-linear function as lines.

    Parameters
    ----------
    pieces : tuple of Piece
        From `smooth_pieces`.

    Returns
    -------
    tuple of (sympy.Expr, sympy.Expr), or None
        Constant and slope of each piece; None if a piece is not linear or the function jumps.
    """
    lines = []
    for piece in pieces:
        expression = sp.expand(piece.expression)
        if not expression.is_polynomial(z) or sp.degree(expression, z) > 1:
            return None
        lines.append((expression.coeff(z, 0), expression.coeff(z, 1)))
    for (a, b), (c, d), piece in zip(lines, lines[1:], pieces[1:], strict=False):
        if not vanishes(sp.expand(c - a + (d - b) * piece.lo)):
            return None
    return tuple(lines)


def _is_kinked(node: sp.Basic, settled: frozenset[sp.Basic]) -> bool:
    if node in settled or not node.has(z):
        return False
    if isinstance(node, sp.Pow):
        return bool(node.exp.is_Rational) and not node.exp.is_Integer
    return isinstance(node, sp.Abs | sp.sign | sp.Heaviside | sp.Max | sp.Min | sp.Piecewise)


def _next(expr: sp.Expr, settled: frozenset[sp.Basic]) -> sp.Expr | None:
    """The kink to resolve next: an outer Piecewise first, since it may shield its branches, then inner before outer."""
    for node in sp.preorder_traversal(expr):
        if isinstance(node, sp.Piecewise) and _is_kinked(node, settled):
            inner = (_innermost(condition, settled) for _, condition in node.args)
            return next((found for found in inner if found is not None), node)
    return _innermost(expr, settled)


def _innermost(expr: sp.Basic, settled: frozenset[sp.Basic]) -> sp.Expr | None:
    for node in sp.postorder_traversal(expr):
        if isinstance(node, sp.Expr) and _is_kinked(node, settled):
            return node
    return None


class _Cutter:
    def __init__(self) -> None:
        self.forced: set[sp.Expr] = set()

    def cut(self, expr: sp.Expr, lo: sp.Expr, hi: sp.Expr, settled: frozenset[sp.Basic]) -> list[Piece]:
        node = _next(expr, settled)
        if node is None:
            if not (expr.is_polynomial(z) and expr.is_real):  # those need no proof that they are real and finite
                real_range(expr, lo, hi)
            return [Piece(lo, hi, expr)]
        cuts = sorted({r for switch in _switches(node) for r in _roots(switch, lo, hi)}, key=_Order)
        if isinstance(node, sp.Pow):
            self.forced.update(cuts)
        pieces: list[Piece] = []
        ends = [lo, *cuts, hi]
        for left, right in pairwise(ends):
            branch = _branch(node, _between(left, right))
            kept = settled | {branch} if isinstance(branch, sp.Pow) else settled
            pieces += self.cut(expr.xreplace({node: branch}), left, right, kept)
            if len(pieces) > _MAX_PIECES:
                raise NotPiecewiseError(f"it has more than {_MAX_PIECES} pieces")
        return pieces

    def merged(self, pieces: list[Piece]) -> tuple[Piece, ...]:
        """Join neighbours with one and the same expression: their common end was no kink."""
        done = [pieces[0]]
        for piece in pieces[1:]:
            last = done[-1]
            if piece.lo not in self.forced and _same(last.expression, piece.expression):
                done[-1] = Piece(last.lo, piece.hi, last.expression)
            else:
                done.append(piece)
        return tuple(done)


def _same(a: sp.Expr, b: sp.Expr) -> bool:
    difference = a - b
    if difference.is_zero:
        return True
    sample = difference.subs(z, sp.Rational(5, 7)).evalf(30)
    if sample.is_comparable and bool(abs(sample) > sp.Rational(1, 10**20)):
        return False
    return bool(sp.simplify(difference).is_zero)


class _Order:
    """Sort key for exact real numbers."""

    def __init__(self, value: sp.Expr) -> None:
        self.value = value

    def __lt__(self, other: "_Order") -> bool:
        return less(self.value, other.value)


def _switches(node: sp.Expr) -> list[sp.Expr]:
    """Functions whose zeros are the only points where `node` may fail to be smooth."""
    if isinstance(node, sp.Max | sp.Min):
        return [a - b for i, a in enumerate(node.args) for b in node.args[:i]]
    if isinstance(node, sp.Piecewise):
        found = []
        for _, condition in node.args:
            for relation in condition.atoms(sp.core.relational.Relational):
                found.append(relation.lhs - relation.rhs)
            if condition.has(sp.Contains):
                raise NotPiecewiseError(f"the condition {condition} is not a comparison")
        return found
    return [node.base if isinstance(node, sp.Pow) else node.args[0]]


def _branch(node: sp.Expr, point: sp.Rational) -> sp.Expr:
    """The smooth expression that `node` equals near `point`."""
    if isinstance(node, sp.Max | sp.Min):
        best = node.args[0]
        for candidate in node.args[1:]:
            ahead = _sign(candidate - best, point) > 0
            if ahead == isinstance(node, sp.Max):
                best = candidate
        return best
    if isinstance(node, sp.Piecewise):
        for value, condition in node.args:
            if condition.subs(z, point) == sp.true:
                return value
        raise NotRealError("complex", node, f"has no value at z = {point}")
    if isinstance(node, sp.Pow):
        if _sign(node.base, point) < 0:
            raise NotRealError("complex", node, f"is a root of {node.base}, which is negative at z = {point}")
        return node
    argument = node.args[0]
    sign = _sign(argument, point)
    if isinstance(node, sp.Abs):
        return sign * argument
    if isinstance(node, sp.sign):
        return sp.Integer(sign)
    return sp.S.One if sign > 0 else sp.S.Zero


def _sign(expr: sp.Expr, point: sp.Rational) -> int:
    value = expr.subs(z, point)
    if value.is_zero:
        return 0
    if value.is_positive:
        return 1
    if value.is_negative:
        return -1
    raise NotPiecewiseError(f"the sign of {expr} at z = {point} is not known")


def _between(lo: sp.Expr, hi: sp.Expr) -> sp.Rational:
    """A rational number strictly between two exact ones."""
    if lo.is_infinite and hi.is_infinite:
        return sp.Rational(1, 7)
    if lo.is_infinite:
        return sp.Rational(sp.floor(hi) - 1)
    if hi.is_infinite:
        return sp.Rational(sp.floor(lo) + 2)
    digits = 1
    while True:
        step = sp.Integer(10) ** digits
        middle = sp.Rational(sp.floor((lo + hi) / 2 * step), step)
        if bool(middle > lo) and bool(middle < hi):
            return middle
        digits *= 2


def _roots(u: sp.Expr, lo: sp.Expr, hi: sp.Expr) -> list[sp.Expr]:
    """Exact zeros of a smooth expression in the open interval."""
    if not u.has(z):
        return []
    if u.is_polynomial(z):
        poly = sp.Poly(u, z)
        if poly.domain.is_ZZ or poly.domain.is_QQ:
            return [r for r in dict.fromkeys(poly.real_roots()) if less(lo, r) and less(r, hi)]
    values = real_range(u, lo, hi)
    if values.positive or values.negative:
        return []
    factors = sp.Mul.make_args(u)
    if len(factors) > 1:
        return list(dict.fromkeys(r for f in factors for r in _roots(f, lo, hi)))
    if isinstance(u, sp.tanh | sp.sinh | sp.erf | sp.atan | sp.asinh) or (isinstance(u, sp.Pow) and u.exp.is_positive):
        return _roots(u.args[0], lo, hi)
    found = sp.solveset(u, z, sp.Interval(lo, hi))
    if not isinstance(found, sp.FiniteSet):
        raise NotPiecewiseError(f"the zeros of {u} are infinitely many or have no exact form")
    return [r for r in found if less(lo, r) and less(r, hi)]
