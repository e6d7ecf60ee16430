"""Ball arithmetic: rigorous enclosures of SymPy expressions and of one-dimensional Gaussian integrals, through Arb.

A ball is a number with a proved error bound. Points are exact rationals and come from a generator seeded by text, so
that nothing here is random: the same claim is checked at the same points in every run.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import flint
import sympy as sp
from flint import acb, arb

from .errors import AccuracyError, argument_error
from .notation import z
from .pieces import NotPiecewiseError, Piece, smooth_pieces
from .real_line import NotRealError, real_range

__all__ = ["encloses_zero", "evaluate", "gaussian_integral_1d", "rational_points", "working_digits"]

RADIUS = sp.Rational(1, 10**30)
"""The radius below which a ball that contains zero counts as zero."""

_MAX_BITS = 20000


@contextmanager
def _precision(bits: int) -> Iterator[None]:
    """Arb's working precision is global: restore it."""
    old = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        yield
    finally:
        flint.ctx.prec = old


@contextmanager
def working_digits(digits: int) -> Iterator[None]:
    """Let sums and products of balls within this context carry so many decimal digits, and a few more.

    Parameters
    ----------
    digits : int
        Decimal digits.
    """
    with _precision(_bits(digits)):
        yield


def _rational(value: sp.Rational) -> Any:
    return flint.fmpq(int(value.p), int(value.q))


_REAL: dict[type[sp.Function], Callable[[Any], Any]] = {
    sp.exp: lambda u: u.exp(),
    sp.log: lambda u: u.log(),
    sp.sin: lambda u: u.sin(),
    sp.cos: lambda u: u.cos(),
    sp.tan: lambda u: u.tan(),
    sp.tanh: lambda u: u.tanh(),
    sp.sinh: lambda u: u.sinh(),
    sp.cosh: lambda u: u.cosh(),
    sp.sech: lambda u: u.sech(),
    sp.erf: lambda u: u.erf(),
    sp.erfc: lambda u: u.erfc(),
    sp.erfi: lambda u: u.erfi(),
    sp.asin: lambda u: u.asin(),
    sp.acos: lambda u: u.acos(),
    sp.atan: lambda u: u.atan(),
    sp.asinh: lambda u: u.asinh(),
    sp.atanh: lambda u: u.atanh(),
    sp.Abs: abs,
}


def _ball(expr: sp.Expr, point: Mapping[sp.Symbol, Any]) -> Any:
    """One evaluation at the current precision."""
    if expr.is_Rational:
        return arb(_rational(expr))
    if expr.is_Symbol:
        return point[expr]
    if expr is sp.pi:
        return arb.pi()
    if expr is sp.E:
        return arb(1).exp()
    if isinstance(expr, sp.Add):
        total = arb(0)
        for a in expr.args:
            total += _ball(a, point)
        return total
    if isinstance(expr, sp.Mul):
        product = arb(1)
        for a in expr.args:
            product *= _ball(a, point)
        return product
    if isinstance(expr, sp.Pow):
        return _real_power(_ball(expr.base, point), expr.exp, point)
    if isinstance(expr, sp.Max | sp.Min):
        values = [_ball(a, point) for a in expr.args]
        best = values[0]
        for value in values[1:]:
            best = best.max(value) if isinstance(expr, sp.Max) else best.min(value)
        return best
    if type(expr) in _REAL:
        return _REAL[type(expr)](_ball(expr.args[0], point))
    raise argument_error(
        "expr",
        expr,
        f"holds a {type(expr).__name__}, which has no ball arithmetic here",
        "use elementary functions and erf",
    )


def _real_power(base: Any, exponent: sp.Expr, point: Mapping[sp.Symbol, Any]) -> Any:
    if exponent.is_Integer:
        return base ** int(exponent)
    if exponent.is_Rational and exponent.q == 2:
        return base.sqrt() ** int(exponent.p)
    if exponent.is_Rational:
        return base.root(int(exponent.q)) ** int(exponent.p)
    return (base.log() * _ball(exponent, point)).exp()


def _bits(digits: int) -> int:
    return 10 * digits // 3 + 32  # log2(10) < 10/3


def evaluate(expr: sp.Expr, point: Mapping[sp.Symbol, sp.Rational], digits: int = 30) -> Any:
    """Enclose a real expression at an exact point.

    Parameters
    ----------
    expr : sympy.Expr
        Of rationals, symbols, pi, E, + * **, exp log sin cos tan tanh sinh cosh erf erfc asin acos atan asinh atanh Abs
        Max Min.
    point : mapping
        An exact rational for each free symbol.
    digits : int
        The ball's radius is below 10^-digits times max(1, |value|).

    Returns
    -------
    flint.arb
        A ball that contains the value.

    Raises
    ------
    AssumptionError
        If the point is not exact or misses a symbol, or the expression holds an unknown function.
    AccuracyError
        If the precision can't be had, as at a pole or outside the real domain of a function.

    >>> evaluate(sp.sqrt(2) ** 2, {}, 20).contains(2)
    True
    """
    body = sp.sympify(expr, strict=True)
    if isinstance(digits, bool) or not isinstance(digits, int) or digits < 1:
        raise argument_error("digits", digits, "is not a positive integer", "use 30, for example")
    exact = {}
    for symbol, value in point.items():
        number = sp.sympify(value, strict=True)
        if not number.is_Rational:
            raise argument_error("point", value, f"is not rational at {symbol}", "use sympy.Rational")
        exact[symbol] = number
    missing = sorted(body.free_symbols - exact.keys(), key=str)
    if missing:
        raise argument_error("point", point, f"has no value for {missing[0]}", "give one for each symbol")
    bits = _bits(digits)
    while bits <= _MAX_BITS:
        with _precision(bits):
            value = _ball(body, {s: arb(_rational(v)) for s, v in exact.items()})
            limit = arb(10) ** (-digits)
            if value.is_finite() and value.rad() < limit * abs(value).max(arb(1)):
                return value
        bits *= 2
    raise AccuracyError(f"{body} at {dict(exact)}: asked for {digits} digits, got {value} with {bits // 2} bits")


def encloses_zero(expr: sp.Expr, point: Mapping[sp.Symbol, sp.Rational], radius: sp.Rational = RADIUS) -> bool:
    """Whether an expression is zero at a point, up to a ball of the given radius.

    Parameters
    ----------
    expr : sympy.Expr
        As in :func:`evaluate`.
    point : mapping
        An exact rational for each free symbol.
    radius : sympy.Rational
        The ball's radius is below this.

    Returns
    -------
    bool
        False is a proof that the expression is not zero there. True means |expr| < 2 * radius.

    Raises
    ------
    AccuracyError
        If the radius can't be reached.
    """
    limit = sp.sympify(radius, strict=True)
    if not limit.is_Rational or not limit.is_positive:
        raise argument_error("radius", radius, "is not a positive rational", "use sympy.Rational(1, 10**30)")
    digits = len(str(sp.ceiling(1 / limit)))
    while digits < _MAX_BITS:
        ball = evaluate(expr, point, digits)
        if not ball.contains(0):
            return False
        if ball.rad() < arb(_rational(limit)):
            return True
        digits *= 2
    raise AccuracyError(f"{expr} at {dict(point)}: no ball of radius {limit} was reached")


def rational_points(
    symbols: Sequence[sp.Symbol], count: int, seed_text: str
) -> tuple[dict[sp.Symbol, sp.Rational], ...]:
    """Exact points for checks, the same in every run: a linear congruential generator seeded by a hash of text.

    Parameters
    ----------
    symbols : sequence of sympy.Symbol
        Positive symbols get values in (0, 1), others in (-1, 1); no value is 0.
    count : int
        Number of points.
    seed_text : str
        Names the claim.

    Returns
    -------
    tuple of dict
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise argument_error("count", count, "is not a positive integer", "use at least 1")
    state = int.from_bytes(hashlib.sha256(seed_text.encode()).digest()[:8], "big")
    denominator = 997  # prime and odd: no value is a special angle or a dyadic fraction
    points = []
    for _ in range(count):
        point = {}
        for symbol in symbols:
            state = (6364136223846793005 * state + 1442695040888963407) % 2**64  # Knuth's MMIX constants
            numerator = 1 + (state >> 33) % (denominator - 1)
            sign = 1 if symbol.is_positive or not state >> 63 else -1
            point[symbol] = sp.Rational(sign * numerator, denominator)
        points.append(point)
    return tuple(points)


# -- Gaussian integrals -----------------------------------------------------------------------------------------------


_COMPLEX_ENTIRE: dict[type[sp.Function], Callable[[Any], Any]] = {
    sp.exp: lambda u: u.exp(),
    sp.sin: lambda u: u.sin(),
    sp.cos: lambda u: u.cos(),
    sp.sinh: lambda u: u.sinh(),
    sp.cosh: lambda u: u.cosh(),
    sp.erf: lambda u: u.erf(),
    sp.erfc: lambda u: u.erfc(),
    sp.erfi: lambda u: u.erfi(),
    # meromorphic: a pole inside the ball gives a non-finite ball
    sp.tan: lambda u: u.tan(),
    sp.tanh: lambda u: u.tanh(),
    sp.sech: lambda u: u.sech(),
}
# Branch cuts: on the real axis outside [-1, 1], or on the imaginary axis outside [-i, i].
_CUT_REAL: dict[type[sp.Function], Callable[[Any], Any]] = {
    sp.asin: lambda u: u.asin(),
    sp.acos: lambda u: u.acos(),
    sp.atanh: lambda u: u.atanh(),
}
_CUT_IMAGINARY: dict[type[sp.Function], Callable[[Any], Any]] = {
    sp.atan: lambda u: u.atan(),
    sp.asinh: lambda u: u.asinh(),
}


def _complex_ball(expr: sp.Expr, x: Any, analytic: bool) -> Any:
    """Evaluate at a complex ball; where `analytic` is asked for, a ball that touches a branch cut gives NaN."""
    if not expr.has(z):
        return acb(_ball(expr, {}))
    if expr == z:
        return x
    if isinstance(expr, sp.Add):
        total = acb(0)
        for a in expr.args:
            total += _complex_ball(a, x, analytic)
        return total
    if isinstance(expr, sp.Mul):
        product = acb(1)
        for a in expr.args:
            product *= _complex_ball(a, x, analytic)
        return product
    if isinstance(expr, sp.Pow):
        base, exponent = expr.base, expr.exp
        if exponent.is_Integer:
            return _complex_ball(base, x, analytic) ** int(exponent)
        if exponent.is_Rational and exponent.q == 2:
            return _complex_ball(base, x, analytic).sqrt(analytic=analytic) ** int(exponent.p)
        logarithm = _complex_ball(base, x, analytic).log(analytic=analytic)
        return (logarithm * _complex_ball(exponent, x, analytic)).exp()
    kind = type(expr)
    argument = _complex_ball(expr.args[0], x, analytic)
    if kind in _COMPLEX_ENTIRE:
        return _COMPLEX_ENTIRE[kind](argument)
    if kind is sp.log:
        return argument.log(analytic=analytic)
    if kind in _CUT_REAL:
        touches = argument.imag.contains(0) and not abs(argument.real) < 1
        return acb("nan") if analytic and touches else _CUT_REAL[kind](argument)
    if kind in _CUT_IMAGINARY:
        touches = argument.real.contains(0) and not abs(argument.imag) < 1
        return acb("nan") if analytic and touches else _CUT_IMAGINARY[kind](argument)
    raise argument_error("expr", expr, f"holds a {kind.__name__}, which has no ball arithmetic here", "rewrite it")


class _NoBound(Exception):
    """No bound on the tail was found."""


def _envelope(expr: sp.Expr, piece: Piece) -> tuple[sp.Expr, sp.Expr]:
    """Constants (c, b) with |expr| <= c*exp(b|z|) on a piece: crude, but proved."""
    if not expr.has(z):
        return abs(expr), sp.S.Zero
    try:
        values = real_range(expr, piece.lo, piece.hi)
        if values.bounded:
            return sp.Max(abs(values.lo), abs(values.hi)), sp.S.Zero
    except NotRealError as error:
        raise _NoBound(str(error)) from None
    if expr == z:
        return sp.S.One, sp.S.One  # |z| <= exp|z|
    if isinstance(expr, sp.Add):
        parts = [_envelope(a, piece) for a in expr.args]
        return sp.Add(*(c for c, _ in parts)), sp.Max(*(b for _, b in parts))
    if isinstance(expr, sp.Mul):
        parts = [_envelope(a, piece) for a in expr.args]
        return sp.Mul(*(c for c, _ in parts)), sp.Add(*(b for _, b in parts))
    if isinstance(expr, sp.Pow) and expr.base == z and expr.exp.is_positive:
        # |z|^n <= n! exp|z|, far below exp(n|z|)
        return sp.factorial(sp.ceiling(expr.exp)), sp.S.One
    if isinstance(expr, sp.Pow) and expr.exp.is_Rational and expr.exp.is_positive:
        c, b = _envelope(expr.base, piece)
        return c**expr.exp, b * expr.exp
    if isinstance(expr, sp.exp | sp.sinh | sp.cosh):
        argument = expr.args[0]
        if argument.is_polynomial(z) and sp.Poly(argument, z).degree() <= 1:
            poly = sp.Poly(argument, z)
            return sp.exp(abs(poly.coeff_monomial(1))), abs(poly.coeff_monomial(z))
    if isinstance(expr, sp.log):
        inside = real_range(expr.args[0], piece.lo, piece.hi)
        c, b = _envelope(expr.args[0], piece)
        if bool(inside.lo > 0):  # |log u| <= log(max(u, 1/u)), and log(c exp(b|z|)) <= c + b|z|
            return sp.Max(1, c, 1 / inside.lo) + b, sp.Min(b, 1)
    if isinstance(expr, sp.asinh | sp.atan | sp.tanh | sp.erf):  # each is at most twice its argument in size
        c, b = _envelope(expr.args[0], piece)
        return 2 * c, b
    raise _NoBound(f"no bound c*exp(b|z|) is known for {expr}")


def gaussian_integral_1d(expr: sp.Expr, variable: sp.Symbol, variance: sp.Rational, digits: int = 30) -> Any:
    """Rigorous E[f(x)] for x ~ N(0, variance).

    The integral over |x| <= L is enclosed by Arb's adaptive Gauss-Legendre rule, piece by piece between the kinks; the
    tail is bounded through |f| <= c exp(b|x|), which is proved on the structure of f, and added to the radius.

    Parameters
    ----------
    expr : sympy.Expr
        f, a real expression in `variable` alone; kinks are allowed.
    variable : sympy.Symbol
        x.
    variance : sympy.Rational
        Positive and exact.
    digits : int
        The ball's radius is below 10^-digits times max(1, |value|).

    Returns
    -------
    flint.arb
        A ball that contains the expectation.

    Raises
    ------
    AssumptionError
        If an argument is not of this kind or no bound on the tail is known (f grows too fast).
    AccuracyError
        If the precision can't be had.
    """
    body = sp.sympify(expr, strict=True)
    scale = sp.sympify(variance, strict=True)
    if not scale.is_Rational or not scale.is_positive:
        raise argument_error("variance", variance, "is not a positive rational", "use sympy.Rational")
    if body.free_symbols - {variable}:
        raise argument_error("expr", expr, f"has other symbols than {variable}", "give them exact values")
    try:
        pieces = smooth_pieces(body.subs(variable, z))
        outer = [_envelope(p.expression, p) for p in (pieces[0], pieces[-1])]
    except (NotPiecewiseError, NotRealError, _NoBound) as error:
        raise argument_error(
            "expr", expr, f"can't be integrated rigorously: {error}", "use a bounded function"
        ) from None
    bound, rate = sp.Add(*(c for c, _ in outer)), sp.Max(*(b for _, b in outer))
    bits = _bits(digits)
    while bits <= _MAX_BITS:
        with _precision(bits):
            value = _enclosure(pieces, scale, bound, rate, digits)
            if value.is_finite() and value.rad() < arb(10) ** (-digits) * abs(value).max(arb(1)):
                return value
        bits *= 2
    raise AccuracyError(f"E[{body}] at variance {scale}: asked for {digits} digits, got {value} with {bits // 2} bits")


def _enclosure(pieces: tuple[Piece, ...], variance: sp.Rational, bound: sp.Expr, rate: sp.Expr, digits: int) -> Any:
    s2 = arb(_rational(variance))
    s = s2.sqrt()
    c, b = _ball(bound, {}), _ball(rate, {})
    cuts = [_ball(p.lo, {}) for p in pieces[1:]]
    # an integer end L beyond all kinks, where the tail c exp(b^2 s^2/2) erfc((L - b s^2)/(s sqrt 2)) is negligible
    reach = arb(digits + 5) * arb(10).log() * 2 + 2 * (1 + c).log()
    end = int((b * s2 + s * (reach.sqrt() + b * s + 2)).upper().ceil().unique_fmpz())
    for cut in cuts:
        end = max(end, int(abs(cut).upper().ceil().unique_fmpz()) + 1)
    tail = c * (b * b * s2 / 2).exp() * ((end - b * s2) / (s * arb(2).sqrt())).erfc()
    normalisation = 1 / (s * (2 * arb.pi()).sqrt())
    total = acb(0)
    ends = [arb(-end), *cuts, arb(end)]
    for piece, left, right in zip(pieces, ends[:-1], ends[1:], strict=True):
        if piece.expression.is_zero:
            continue

        def integrand(x: Any, analytic: bool, expression: sp.Expr = piece.expression) -> Any:
            return _complex_ball(expression, x, analytic) * (-x * x / (2 * s2)).exp()

        total += acb.integral(integrand, acb(left), acb(right))
    value = (total * normalisation).real
    return value + arb(0, tail.upper())
