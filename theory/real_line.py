"""What an expression does on the real line: where its values lie, and how fast it grows.

Both questions are answered by structure (one recursion over the expression, exact numbers), not by ``sympy.limit``.
Answers are enclosures: a range contains all values, a rate bounds the growth from above and, where `exact`, from below.
An expression without kinks is expected here; :mod:`hermiton.theory.pieces` cuts the others.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import NamedTuple

import sympy as sp

from .notation import z

__all__ = ["Interval", "NotRealError", "Rate", "Undecided", "growth", "less", "real_range"]

_DIGITS = 2000  # by which two numbers are told apart at most


class NotRealError(Exception):
    """A sub-expression is complex or infinite, or not shown to be real and finite: what it is and why."""

    def __init__(self, kind: str, sub_expression: sp.Basic, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.sub_expression = sub_expression
        self.reason = reason


class Undecided(Exception):
    """The growth of an expression can't be read off its structure."""


def less(a: sp.Expr, b: sp.Expr) -> bool:
    """Whether a < b is shown, for exact numbers.

    SymPy compares to 100 digits and then gives up, as on tanh(200) < 1; here 2000 digits are tried. What they don't
    tell apart counts as equal.
    """
    relation = a < b
    if relation not in (sp.true, sp.false):
        difference = (a - b).evalf(5, maxn=_DIGITS)
        return bool(difference.is_comparable and difference < 0)
    return bool(relation)


class Interval(NamedTuple):
    """An interval with exact ends; an open end is not attained."""

    lo: sp.Expr
    hi: sp.Expr
    lo_open: bool = False
    hi_open: bool = False

    @property
    def positive(self) -> bool:
        """Whether it lies in (0, oo)."""
        return less(sp.S.Zero, self.lo) or (self.lo_open and bool(sp.Eq(self.lo, 0)))

    @property
    def negative(self) -> bool:
        """Whether it lies in (-oo, 0)."""
        return less(self.hi, sp.S.Zero) or (self.hi_open and bool(sp.Eq(self.hi, 0)))

    @property
    def nonnegative(self) -> bool:
        """Whether it lies in [0, oo)."""
        return less(sp.S.Zero, self.lo) or (self.lo >= 0) == sp.true

    @property
    def bounded(self) -> bool:
        """Whether both ends are finite."""
        return not (self.lo.is_infinite or self.hi.is_infinite)


_REALS = Interval(-sp.oo, sp.oo, True, True)


class _End(NamedTuple):
    value: sp.Expr
    open: bool


def _hull(ends: Iterable[_End]) -> Interval:
    ends = list(ends)
    lo = reduce(lambda a, b: b if less(b.value, a.value) else a, ends)
    hi = reduce(lambda a, b: b if less(a.value, b.value) else a, ends)
    lo_open = all(e.open for e in ends if e.value == lo.value)
    hi_open = all(e.open for e in ends if e.value == hi.value)
    return Interval(lo.value, hi.value, lo_open, hi_open)


def _add(a: Interval, b: Interval) -> Interval:
    return Interval(a.lo + b.lo, a.hi + b.hi, a.lo_open or b.lo_open, a.hi_open or b.hi_open)


def _multiply(a: Interval, b: Interval) -> Interval:
    ends = []
    for x in (_End(a.lo, a.lo_open), _End(a.hi, a.hi_open)):
        for y in (_End(b.lo, b.lo_open), _End(b.hi, b.hi_open)):
            if (
                x.value.is_zero or y.value.is_zero
            ):  # 0 * oo is 0 here: the product is zero wherever the zero is attained
                attained = (x.value.is_zero and not x.open) or (y.value.is_zero and not y.open)
                ends.append(_End(sp.S.Zero, not attained))
            else:
                ends.append(_End(x.value * y.value, x.open or y.open))
    return _hull(ends)


def _increasing(f: Callable[[sp.Expr], sp.Expr], a: Interval) -> Interval:
    return Interval(f(a.lo), f(a.hi), a.lo_open, a.hi_open)


def _even(a: Interval, f: Callable[[sp.Expr], sp.Expr]) -> Interval:
    """Range of f(|u|) for f increasing on [0, oo)."""
    if a.nonnegative:
        return _increasing(f, a)
    if not less(sp.S.Zero, a.hi):
        return Interval(f(-a.hi), f(-a.lo), a.hi_open, a.lo_open)
    far = _hull([_End(-a.lo, a.lo_open), _End(a.hi, a.hi_open)])
    return Interval(f(sp.S.Zero), f(far.hi), False, far.hi_open)


_MONOTONE: dict[type[sp.Function], Callable[[sp.Expr], sp.Expr]] = {
    sp.exp: sp.exp,
    sp.tanh: sp.tanh,
    sp.sinh: sp.sinh,
    sp.atan: sp.atan,
    sp.asinh: sp.asinh,
    sp.erf: sp.erf,
    sp.erfi: sp.erfi,
}
_TRIGONOMETRIC = (sp.sin, sp.cos)
_HYPERBOLIC = [sp.tanh, sp.coth, sp.sinh, sp.cosh, sp.sech, sp.csch]
_POLES = {sp.tan: sp.cos, sp.sec: sp.cos, sp.cot: sp.sin, sp.csc: sp.sin, sp.coth: sp.sinh, sp.csch: sp.sinh}


def real_range(expr: sp.Expr, lo: sp.Expr = -sp.oo, hi: sp.Expr = sp.oo) -> Interval:
    """Enclose the values of `expr` for z in [`lo`, `hi`].

    Parameters
    ----------
    expr : sympy.Expr
        A smooth expression in ``z``.
    lo, hi : sympy.Expr
        Ends of the closed interval (infinite ends are open).

    Returns
    -------
    Interval
        Contains every value; it is not always the smallest such interval.

    Raises
    ------
    NotRealError
        If a part of `expr` is complex or infinite somewhere on the interval, or can't be shown not to be.
    """
    return _Ranges(lo, hi).of(expr)


class _Ranges:
    def __init__(self, lo: sp.Expr, hi: sp.Expr) -> None:
        self.domain = Interval(lo, hi, bool(lo.is_infinite), bool(hi.is_infinite))
        self.memo: dict[sp.Expr, Interval] = {}

    def of(self, expr: sp.Expr) -> Interval:
        found = self.memo.get(expr)
        if found is None:
            found = self._tightened(expr, self._compute(expr))
            self.memo[expr] = found
        return found

    def _tightened(self, expr: sp.Expr, found: Interval) -> Interval:
        """Add what SymPy's assumptions know (they hold for every real z)."""
        if not found.positive and expr.is_positive:
            found = Interval(sp.S.Zero, found.hi, True, found.hi_open)
        elif not found.nonnegative and expr.is_nonnegative:
            found = Interval(sp.S.Zero, found.hi, False, found.hi_open)
        if not found.negative and expr.is_negative:
            found = Interval(found.lo, sp.S.Zero, found.lo_open, True)
        elif less(sp.S.Zero, found.hi) and expr.is_nonpositive:
            found = Interval(found.lo, sp.S.Zero, found.lo_open, False)
        return found

    def _compute(self, expr: sp.Expr) -> Interval:
        if not expr.has(z):
            if expr.is_extended_real is False or expr.has(sp.I):
                raise NotRealError("complex", expr, "is not a real number")
            return Interval(expr, expr)
        if expr == z:
            return self.domain
        polynomial = self._polynomial(expr)
        if polynomial is not None:
            return polynomial
        if isinstance(expr, sp.Add):
            return reduce(_add, (self.of(a) for a in expr.args))
        if isinstance(expr, sp.Mul):
            return reduce(_multiply, (self.of(a) for a in expr.args))
        if isinstance(expr, sp.Pow):
            return self._power(expr)
        return self._function(expr)

    def _polynomial(self, expr: sp.Expr) -> Interval | None:
        """Exact range of a rational polynomial, from its values at the critical points."""
        if not isinstance(expr, sp.Add | sp.Mul) or not expr.is_polynomial(z):
            return None
        poly = sp.Poly(expr, z)
        if (not poly.domain.is_QQ and not poly.domain.is_ZZ) or poly.degree() > 12:
            return None
        ends = [self._polynomial_end(poly, self.domain.lo), self._polynomial_end(poly, self.domain.hi)]
        if poly.degree() > 1:
            for root in set(poly.diff().real_roots()):
                if less(self.domain.lo, root) and less(root, self.domain.hi):
                    ends.append(_End(poly.as_expr().subs(z, root), False))
        return _hull(ends)

    @staticmethod
    def _polynomial_end(poly: sp.Poly, end: sp.Expr) -> _End:
        if not end.is_infinite:
            return _End(poly.as_expr().subs(z, end), False)
        sign = poly.LC() if end.is_extended_positive else poly.LC() * (-1) ** poly.degree()
        return _End(sp.oo * sp.sign(sign), True)

    def _power(self, expr: sp.Pow) -> Interval:
        base, exponent = expr.base, expr.exp
        if not exponent.is_Rational:
            inside = self.of(base)
            if not inside.positive:
                raise NotRealError("complex", expr, f"has the base {base}, which is not shown to be positive")
            exponents = _multiply(self.of(exponent), self.of(sp.log(base)))
            return _increasing(sp.exp, exponents)
        if exponent.is_negative:
            below = self.of(base**-exponent)
            if not (below.positive or below.negative):
                raise NotRealError("pole", expr, self._zero_of(base))
            return self._reciprocal(below)
        inside = self.of(base)
        if exponent.is_Integer:
            if exponent.is_even:
                return _even(inside, lambda u: u**exponent)
            return _increasing(lambda u: u**exponent, inside)
        if not inside.nonnegative:
            raise NotRealError("complex", expr, f"is a root of {base}, which is not shown to be non-negative")
        return _increasing(lambda u: u**exponent, inside)

    @staticmethod
    def _reciprocal(a: Interval) -> Interval:
        def end(value: sp.Expr, is_open: bool) -> _End:
            if value.is_zero:
                return _End(sp.oo if a.positive else -sp.oo, True)
            return _End(sp.S.Zero, True) if value.is_infinite else _End(1 / value, is_open)

        lo, hi = end(a.hi, a.hi_open), end(a.lo, a.lo_open)
        return Interval(lo.value, hi.value, lo.open, hi.open)

    def _zero_of(self, base: sp.Expr) -> str:
        """Say where a denominator vanishes, if that is known."""
        if base.is_polynomial(z):
            for root in sp.Poly(base, z).real_roots() if not base.has(sp.pi, sp.E) else ():
                if not (less(root, self.domain.lo) or less(self.domain.hi, root)):
                    return f"is infinite at z = {root}"
        return f"divides by {base}, which is not shown to be non-zero"

    def _function(self, expr: sp.Expr) -> Interval:
        kind = type(expr)
        if kind in _MONOTONE:
            return _increasing(_MONOTONE[kind], self.of(expr.args[0]))
        if kind in _TRIGONOMETRIC:
            return self._trigonometric(expr)
        if kind is sp.cosh:
            return _even(self.of(expr.args[0]), sp.cosh)
        if kind is sp.sech:
            return self._reciprocal(self.of(sp.cosh(expr.args[0])))
        if kind is sp.erfc:
            inside = self.of(expr.args[0])
            return Interval(sp.erfc(inside.hi), sp.erfc(inside.lo), inside.hi_open, inside.lo_open)
        if kind is sp.log:
            inside = self.of(expr.args[0])
            if not inside.nonnegative:
                raise NotRealError("complex", expr, f"is a logarithm of {expr.args[0]}, not shown to be positive")
            if not inside.positive:
                raise NotRealError("pole", expr, f"is a logarithm of {expr.args[0]}, not shown to be non-zero")
            return Interval(
                -sp.oo if inside.lo.is_zero else sp.log(inside.lo), sp.log(inside.hi), inside.lo_open, inside.hi_open
            )
        if kind in (sp.asin, sp.acos, sp.atanh):
            return self._inverse(expr)
        if kind in _POLES:
            argument = self.of(expr.args[0])
            if kind is sp.tan and less(-sp.pi / 2, argument.lo) and less(argument.hi, sp.pi / 2):
                return _increasing(sp.tan, argument)
            below = _POLES[kind](expr.args[0])
            inside = self.of(below)
            if not (inside.positive or inside.negative):
                raise NotRealError("pole", expr, f"is infinite where {below} vanishes")
            return _REALS
        raise NotRealError("unknown", expr, f"is a {kind.__name__}, which hermiton does not know")

    def _trigonometric(self, expr: sp.Expr) -> Interval:
        inside = self.of(expr.args[0])
        shifted = inside if isinstance(expr, sp.sin) else _add(inside, Interval(sp.pi / 2, sp.pi / 2))
        if not (less(shifted.lo, -sp.pi / 2) or less(sp.pi / 2, shifted.hi)):
            return _increasing(sp.sin, shifted)
        if isinstance(expr, sp.cos) and less(-sp.pi / 2, inside.lo) and less(inside.hi, sp.pi / 2):
            least = _hull([_End(sp.cos(inside.lo), inside.lo_open), _End(sp.cos(inside.hi), inside.hi_open)])
            return Interval(least.lo, sp.S.One, least.lo_open, False)
        return Interval(-sp.S.One, sp.S.One)

    def _inverse(self, expr: sp.Expr) -> Interval:
        inside = self.of(expr.args[0])
        within = not (less(inside.lo, sp.S.NegativeOne) or less(sp.S.One, inside.hi))
        if isinstance(expr, sp.atanh):
            above = less(sp.S.NegativeOne, inside.lo) or inside.lo_open
            below = less(inside.hi, sp.S.One) or inside.hi_open
            if not (within and above and below):
                raise NotRealError("pole", expr, f"needs {expr.args[0]} within (-1, 1)")
            return _increasing(sp.atanh, inside)
        if not within:
            raise NotRealError("complex", expr, f"needs {expr.args[0]} within [-1, 1]")
        if isinstance(expr, sp.asin):
            return _increasing(sp.asin, inside)
        return Interval(sp.acos(inside.hi), sp.acos(inside.lo), inside.hi_open, inside.lo_open)


class Rate(NamedTuple):
    """Growth for t -> +oo: ``c * t**power * exp(sum of a_q t**q)``.

    Each exponent is (q, least a, greatest a), largest q first. `least` and `greatest` enclose c asymptotically; when
    c's enclosure contains 0 the rate is an upper bound only. Not `pure`: the exponent holds up to terms of smaller
    order.
    """

    exponents: tuple[tuple[sp.Expr, sp.Expr, sp.Expr], ...]
    power: sp.Expr
    least: sp.Expr
    greatest: sp.Expr
    pure: bool = True

    @property
    def exact(self) -> bool:
        """Whether it bounds the growth from below as well."""
        return bool(self.least > 0) or bool(self.greatest < 0)

    @property
    def grows(self) -> bool:
        """Whether it may grow faster than every power."""
        return bool(self.exponents) and bool(self.exponents[0][2] > 0)

    @property
    def decays(self) -> bool:
        """Whether it decays faster than every power."""
        return bool(self.exponents) and bool(self.exponents[0][2] < 0)


def _constant(least: sp.Expr, greatest: sp.Expr) -> Rate:
    return Rate((), sp.S.Zero, least, greatest)


_NEGLIGIBLE = _constant(sp.S.Zero, sp.S.Zero)
_SUBLINEAR = Rate((), sp.S.One, sp.S.Zero, sp.S.Zero)
_TOO_FAST = Rate(((sp.oo, sp.S.One, sp.S.One),), sp.S.Zero, -sp.S.One, sp.S.One, False)


def growth(expr: sp.Expr, direction: int, lo: sp.Expr = -sp.oo, hi: sp.Expr = sp.oo) -> Rate:
    """Growth of `expr` as z goes to +oo (`direction` 1) or -oo (`direction` -1).

    Parameters
    ----------
    expr : sympy.Expr
        A smooth expression in ``z``, real on [`lo`, `hi`].
    direction : int
        1 or -1.
    lo, hi : sympy.Expr
        The interval on which `expr` stands; infinite in the given direction.

    Returns
    -------
    Rate

    Raises
    ------
    Undecided
        If the growth can't be read off the structure.
    """
    try:
        return _Growth(sp.Integer(direction), _Ranges(lo, hi)).of(expr)
    except Undecided:
        rewritten = sp.together(expr.rewrite(_HYPERBOLIC, sp.exp))
        if rewritten == expr:
            raise
        return _Growth(sp.Integer(direction), _Ranges(lo, hi)).of(rewritten)


# Limits at +-oo of functions that saturate, and the slope at zero of those that vanish there.
_SATURATING = {sp.tanh: sp.S.One, sp.erf: sp.S.One, sp.atan: sp.pi / 2}
_SLOPE = {sp.erf: 2 / sp.sqrt(sp.pi)}


class _Growth:
    def __init__(self, direction: sp.Integer, ranges: _Ranges) -> None:
        self.direction = direction
        self.ranges = ranges

    def of(self, expr: sp.Expr) -> Rate:
        try:
            return self._compute(expr)
        except Undecided:
            found = self.ranges.of(expr)
            if found.bounded:
                return _constant(found.lo, found.hi)
            raise

    def _compute(self, expr: sp.Expr) -> Rate:
        if not expr.has(z):
            return _constant(expr, expr)
        if expr == z:
            return Rate((), sp.S.One, self.direction, self.direction)
        if expr.is_polynomial(z):
            degree = sp.degree(expr, z)
            leading = sp.Poly(expr, z).LC() * self.direction**degree
            return Rate((), sp.Integer(degree), leading, leading)
        if isinstance(expr, sp.Add):
            return self._sum([self.of(a) for a in expr.args])
        if isinstance(expr, sp.Mul):
            return reduce(self._product, (self.of(a) for a in expr.args))
        if isinstance(expr, sp.Pow):
            return self._power(expr)
        return self._function(expr)

    def _sum(self, rates: list[Rate]) -> Rate:
        growing = [r for r in rates if r.grows]
        if not growing:
            if any(r.exponents and not r.decays for r in rates):
                raise Undecided
            slow = [r for r in rates if not r.exponents]
            if not slow:
                return self._dominant(rates) or _NEGLIGIBLE
            power = reduce(lambda a, b: b if bool(b > a) else a, (r.power for r in slow))
            same = [r for r in slow if r.power == power]
            return Rate((), power, sum((r.least for r in same), sp.S.Zero), sum((r.greatest for r in same), sp.S.Zero))
        winner = self._dominant(rates)
        if winner is not None:
            return winner
        q = reduce(lambda a, b: b if bool(b > a) else a, (r.exponents[0][0] for r in growing))
        a = [r.exponents[0][2] for r in growing if r.exponents[0][0] == q]
        greatest = reduce(lambda x, y: y if bool(y > x) else x, a)
        same_sign = all(bool(r.least > 0) for r in rates) or all(bool(r.greatest < 0) for r in rates)
        least_rates = [r.exponents[0][1] for r in growing if r.exponents[0][0] == q]
        least = reduce(lambda x, y: y if bool(y > x) else x, least_rates)
        if same_sign:
            sign = sp.S.One if bool(rates[0].least > 0) else -sp.S.One
            return Rate(((q, least, greatest),), sp.S.Zero, sign, sign, False)
        return Rate(((q, least, greatest),), sp.S.Zero, -sp.S.One, sp.S.One, False)

    @staticmethod
    def _dominant(rates: list[Rate]) -> Rate | None:
        """The term that outgrows each other term, if there is one and it is exact."""
        for candidate in rates:
            if candidate.exact and all(_outgrows(candidate, r) for r in rates if r is not candidate):
                return candidate
        return None

    @staticmethod
    def _product(a: Rate, b: Rate) -> Rate:
        least, greatest = _bounds_of_product((a.least, a.greatest), (b.least, b.greatest))
        table: dict[sp.Expr, tuple[sp.Expr, sp.Expr]] = {}
        for q, lo, hi in (*a.exponents, *b.exponents):
            old = table.get(q, (sp.S.Zero, sp.S.Zero))
            table[q] = (old[0] + lo, old[1] + hi)
        pure = a.pure and b.pure
        exponents = sorted(((q, *v) for q, v in table.items()), key=lambda item: item[0], reverse=True)
        while exponents and exponents[0][1].is_zero and exponents[0][2].is_zero:
            if not pure:
                raise Undecided
            exponents.pop(0)
        return Rate(tuple(exponents), a.power + b.power, least, greatest, pure)

    def _power(self, expr: sp.Pow) -> Rate:
        exponent = expr.exp
        if not exponent.is_Rational:
            return self._exponential(exponent * sp.log(expr.base))
        base = self.of(expr.base)
        if exponent.is_negative and not base.exact:
            raise Undecided
        if exponent.is_Integer and exponent.is_even and not base.exact:
            greatest = reduce(lambda x, y: y if bool(y > x) else x, (abs(base.least), abs(base.greatest)))
            least, greatest = sp.S.Zero, greatest**exponent
        elif exponent.is_Integer or bool(base.least >= 0):
            ends = (base.least**exponent, base.greatest**exponent)
            least, greatest = ends if bool(ends[0] <= ends[1]) else ends[::-1]
        else:
            raise Undecided
        exponents = []
        for q, lo, hi in base.exponents:
            scaled = (lo * exponent, hi * exponent)
            exponents.append((q, *(scaled if exponent.is_positive else scaled[::-1])))
        return Rate(tuple(exponents), base.power * exponent, least, greatest, base.pure)

    def _exponential(self, argument: sp.Expr) -> Rate:
        if argument.is_polynomial(z):
            poly = sp.Poly(argument, z)
            terms = sorted(((sp.Integer(n), c * self.direction**n) for (n,), c in poly.terms()), reverse=True)
            value = sp.exp(poly.coeff_monomial(1))
            return Rate(tuple((n, c, c) for n, c in terms if n > 0), sp.S.Zero, value, value)
        inside = self.of(argument)
        if inside.grows:
            return _NEGLIGIBLE if bool(inside.greatest < 0) else _TOO_FAST
        if inside.decays or bool(inside.power < 0):
            return _constant(sp.S.One, sp.S.One)
        if inside.exponents:
            raise Undecided
        if inside.power.is_zero:
            return _constant(sp.exp(inside.least), sp.exp(inside.greatest))
        if inside.greatest.is_zero and inside.least.is_zero:  # o(t): smaller than any exp(a t)
            raise Undecided
        exponent = (inside.power, inside.least, inside.greatest)
        return Rate((exponent,), sp.S.Zero, sp.S.One, sp.S.One, False)

    def _function(self, expr: sp.Expr) -> Rate:
        kind, argument = type(expr), expr.args[0]
        if kind is sp.exp:
            return self._exponential(argument)
        if kind in (sp.sinh, sp.cosh, sp.sech, sp.csch, sp.coth):
            return self.of(expr.rewrite(sp.exp))
        inside = self.of(argument)
        vanishing = inside.decays or (not inside.exponents and bool(inside.power < 0))
        diverging = inside.exact and (inside.grows or (not inside.exponents and bool(inside.power > 0)))
        if kind is sp.log:
            return self._logarithm(inside)
        if kind in _SATURATING:
            limit = _SATURATING[kind]
            if diverging:
                sign = sp.S.One if bool(inside.least > 0) else -sp.S.One
                return _constant(sign * limit, sign * limit)
            if vanishing:
                slope = _SLOPE.get(kind, sp.S.One)
                return inside._replace(least=slope * inside.least, greatest=slope * inside.greatest)
            if not inside.exponents and inside.power.is_zero:
                return _constant(kind(inside.least), kind(inside.greatest))
            return _constant(-limit, limit)
        if kind is sp.erfc:
            tail = self._sum([_constant(sp.S.One, sp.S.One), _negated(self.of(sp.erf(argument)))])
            return tail
        if kind is sp.sin and vanishing:
            return inside
        if kind is sp.asinh and diverging:
            magnitude = self._logarithm(inside._replace(least=abs(inside.least), greatest=abs(inside.greatest)))
            return magnitude if bool(inside.least > 0) else _negated(magnitude)
        if kind is sp.erfi:
            return self._exponential(argument**2)
        raise Undecided  # the range may still bound it

    @staticmethod
    def _logarithm(inside: Rate) -> Rate:
        if inside.exponents and not bool(inside.exponents[0][1] * inside.exponents[0][2] > 0):
            raise Undecided
        if not bool(inside.least > 0):
            raise Undecided
        if inside.exponents:
            q, least, greatest = inside.exponents[0]
            return Rate((), q, least, greatest)
        if not inside.power.is_zero:
            return _SUBLINEAR
        return _constant(sp.log(inside.least), sp.log(inside.greatest))


def _negated(rate: Rate) -> Rate:
    return rate._replace(least=-rate.greatest, greatest=-rate.least)


def _bounds_of_product(a: tuple[sp.Expr, sp.Expr], b: tuple[sp.Expr, sp.Expr]) -> tuple[sp.Expr, sp.Expr]:
    products = [x * y for x in a for y in b]
    least = reduce(lambda x, y: y if bool(y < x) else x, products)
    greatest = reduce(lambda x, y: y if bool(y > x) else x, products)
    return least, greatest


def _outgrows(a: Rate, b: Rate) -> bool:
    """Whether b / a -> 0 (for an exact a)."""
    powers: dict[sp.Expr, sp.Expr] = {q: lo for q, lo, _ in a.exponents}
    for q, _, hi in b.exponents:
        powers[q] = powers.get(q, sp.S.Zero) - hi
    for q in sorted(powers, reverse=True):
        if bool(powers[q] > 0):
            return True
        if not powers[q].is_zero:
            return False
        if not (a.pure and b.pure):
            return False
    return bool(a.power > b.power)
