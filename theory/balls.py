"""Ball arithmetic: rigorous enclosures of SymPy expressions and of one-dimensional Gaussian integrals, through Arb.

A ball is a number with a proved error bound. Points are exact rationals and come from a generator seeded by text, so
that nothing here is random: the same claim is checked at the same points in every run.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import flint
import sympy as sp
from flint import acb, arb

from .errors import AccuracyError, argument_error
from .notation import z
from .pieces import NotPiecewiseError, Piece, smooth_pieces
from .real_line import NotRealError, real_range
from .straight_line import ENTIRE, Step, complex_code, lowered, real_code

__all__ = [
    "BallProgram",
    "Step",
    "ball_program",
    "encloses_zero",
    "evaluate",
    "gaussian_integral_1d",
    "precision",
    "rational_points",
    "working_digits",
]

RADIUS = sp.Rational(1, 10**30)
"""The radius below which a ball that contains zero counts as zero."""

_MAX_BITS = 20000


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Let Arb work with so many bits within this context; its working precision is global, and is restored.

    Parameters
    ----------
    bits : int
        Bits of a mantissa.
    """
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
    with precision(_bits(digits)):
        yield


def _rational(value: sp.Rational) -> Any:
    return flint.fmpq(int(value.p), int(value.q))


_EVEN = frozenset({"abs", "cos", "cosh", "sec", "sech"})
_ODD = frozenset({"sin", "tan", "cot", "csc", "sinh", "tanh", "coth", "csch", "asin", "atan", "asinh", "atanh"})
_ODD |= {"erf", "erfi"}


class BallProgram:
    """An expression, compiled once, whose value is enclosed at real and at complex balls.

    Attributes
    ----------
    steps : tuple of Step
        The operations in order; the last one is the value.
    symbols : tuple of sympy.Symbol
        The arguments.
    """

    def __init__(self, expr: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> None:
        self.steps = lowered(expr)
        self.symbols = symbols
        self._makers: dict[bool, Callable[..., Callable[..., Any]]] = {}
        self._functions: dict[tuple[bool, int], Callable[..., Any]] = {}

    @property
    def is_entire(self) -> bool:
        """Whether each step is an entire function: true is a proof, false leaves it open."""
        plain = {"number", "symbol", "add", "mul"} | ENTIRE
        constants = self._constants()
        return all(
            s.kind in plain or (s.kind == "pow" and s.value >= 0) or i in constants for i, s in enumerate(self.steps)
        )

    @property
    def parity(self) -> str | None:
        """``'even'`` or ``'odd'`` in its one symbol where the structure shows it, else None."""
        found: list[str | None] = []
        constants = self._constants()
        for i, step in enumerate(self.steps):
            parts = [found[j] for j in step.args if step.kind not in ("mul", "add") or j not in constants]
            if i in constants:
                found.append("even")
            elif step.kind == "symbol":
                found.append("odd")
            elif step.kind == "add":
                whole = [found[j] for j in step.args]
                found.append(whole[0] if len(set(whole)) == 1 else None)
            elif None in parts:
                found.append(None)
            elif step.kind == "mul" or step.kind == "pow":
                odd = parts.count("odd") if step.kind == "mul" else step.value * (parts[0] == "odd")
                found.append("odd" if odd % 2 else "even")
            elif parts[0] == "even" or step.kind in _EVEN:
                found.append("even")
            else:
                found.append("odd" if step.kind in _ODD else None)
        return found[-1]

    def real(self) -> Callable[..., Any]:
        """The function of real balls, one for each symbol, with its constants at the current precision.

        Returns
        -------
        callable
            Non-finite outside the real domain of a part.
        """
        return self._function(False)

    def complex(self) -> Callable[..., Any]:
        """The function of one complex ball, with its constants at the current precision.

        Returns
        -------
        callable
            ``f(ball, analytic=True)``. With `analytic`, a finite value proves that the function is analytic on the
            closed box of the ball: a pole or a branch cut in a part of the expression gives NaN.

        Raises
        ------
        AssumptionError
            If the expression holds ``Abs``, ``Max`` or ``Min`` of the variable.
        """
        return self._function(True)

    def _function(self, complex_: bool) -> Callable[..., Any]:
        key = (complex_, flint.ctx.prec)
        if key not in self._functions:
            if complex_ not in self._makers:
                self._makers[complex_] = self._compile(complex_)
            numbers = (_atom(s.value) for s in self.steps if s.kind == "number")
            self._functions[key] = self._makers[complex_](*numbers)
        return self._functions[key]

    def _constants(self) -> frozenset[int]:
        found: set[int] = set()
        for i, step in enumerate(self.steps):
            if step.kind == "number" or (step.args and found.issuperset(step.args)):
                found.add(i)
        return frozenset(found)

    def _compile(self, complex_: bool) -> Callable[..., Callable[..., Any]]:
        """Straight-line source; what does not depend on the arguments stands before the function, and is run once."""
        constants = self._constants()
        outer, inner, numbers = [], [], []
        for i, step in enumerate(self.steps):
            if step.kind == "number":
                numbers.append(f"t{i}")
            elif step.kind != "symbol":
                if i in constants:
                    outer.append(f"t{i} = {real_code(step)}")
                    continue
                inner.append(f"t{i} = {(complex_code if complex_ else real_code)(step)}")
                if complex_:
                    # Arb's sine of an infinite ball is finite: a pole inside has to be noticed where it occurs
                    inner.append(f"if not t{i}.is_finite(): return NAN")
        places = {s.value: f"t{i}" for i, s in enumerate(self.steps) if s.kind == "symbol"}
        arguments = [places.get(symbol, f"unused{i}") for i, symbol in enumerate(self.symbols)]
        if complex_:
            arguments.append("analytic=True")
        last = f"t{len(self.steps) - 1}"
        inner.append(f"return acb({last})" if complex_ else f"return {last}")
        lines = [f"def make({', '.join(numbers)}):", *(f"    {line}" for line in outer)]
        lines += [f"    def f({', '.join(arguments)}):", *(f"        {line}" for line in inner), "    return f"]
        namespace: dict[str, Any] = dict(_HELPERS)
        exec(compile("\n".join(lines), "<ball program>", "exec"), namespace)
        make: Callable[..., Callable[..., Any]] = namespace["make"]
        return make


def _power(base: Any, n: int) -> Any:
    """An integer power; that of a real ball that holds zero is NaN as python-flint has it."""
    value = base**n
    if n < 0 or value.is_finite():
        return value
    value = base
    for bit in bin(n)[3:]:  # below the leading one
        value = value * value * base if bit == "1" else value * value
    return value


def _cut_real(u: Any) -> bool:
    return bool(u.imag.contains(0)) and not bool(abs(u.real) < 1)


def _cut_imaginary(u: Any) -> bool:
    return bool(u.real.contains(0)) and not bool(abs(u.imag) < 1)


# On wide balls Arb's generic algorithms lose the bounds below, which hold by elementary estimates and prove analyticity
# on whole strips at once. Each helper falls back to Arb on narrow balls and near the singularities.
_ZERO, _WIDE, _I = arb(0), arb(1) / 4, acb(0, 1)


def _is_wide(u: Any) -> bool:
    return bool(u.real.rad() + u.imag.rad() > _WIDE)


def _square(bound: Any) -> Any:
    side = arb(0, bound.upper())
    return acb(side, side)


def _tanh(u: Any) -> Any:
    """|tanh(x + iy)|^2 = (sinh^2 x + sin^2 y)/(sinh^2 x + cos^2 y) <= max(1, tan^2 y) for |y| < pi/2."""
    if _is_wide(u):
        y = abs(u.imag).upper()
        if y < arb.pi() / 2:
            return _square(arb(1).max(y.tan()))
    return u.tanh()


def _sigmoid(u: Any) -> Any:
    """|1 + exp(-u)| >= 1 for |y| <= pi/2, and >= |sin y| for |y| < pi."""
    if _is_wide(u):
        y = abs(u.imag).upper()
        if y < arb.pi():
            return _square(1 / _distance(y))
    return (1 + (u / 2).tanh()) / 2


def _distance(y: Any) -> Any:
    """A lower bound, over all x, on |1 + exp(x + it)| for |t| <= y < pi."""
    return arb(1) if y <= arb.pi() / 2 else y.sin().min(arb(1))


def _softplus(u: Any, analytic: bool) -> Any:
    """log(1 + exp u), analytic off the cuts Re u = 0, |Im u| >= pi: for Re u > 0 it is u + log(1 + exp(-u)).

    The principal logarithm would add cuts along |Im u| = pi, Re u > 0. Both formulas agree for |Im u| < pi. There
    log|1 + exp u| is at most log(1 + exp x), and the argument of 1 + exp u lies between 0 and y.
    """
    x, y = u.real, abs(u.imag).upper()
    within = bool(y < arb.pi())
    if within and _is_wide(u):
        low, high = x.lower(), x.upper()
        least = (low.exp() - 1).max(_distance(y)).log()
        return acb(least.union(high.exp().log1p()), u.imag.union(_ZERO))
    if (within and x.mid() > 0) or x > 0:
        return u + (1 + (-u).exp()).log(analytic=analytic)
    return (1 + u.exp()).log(analytic=analytic) if within or x < 0 or not analytic else acb("nan")


def _asinh(u: Any) -> Any:
    """log(u + sqrt(1 + u^2)): the radicand avoids (-oo, 0] off the cuts, and then the argument of log does."""
    if not _is_wide(u):
        return u.asinh()
    if u.real.mid() < 0:
        return -_asinh(-u)
    return (u + (1 + u * u).sqrt(analytic=True)).log(analytic=True)


def _asin(u: Any) -> Any:
    """-i asinh(iu)."""
    return -_I * _asinh(_I * u) if _is_wide(u) else u.asin()


def _acos(u: Any) -> Any:
    return arb.pi() / 2 - _asin(u) if _is_wide(u) else u.acos()


def _erf(u: Any) -> Any:
    """|erf(x + iy)| <= 1 + 2/sqrt(pi) exp(-x^2) int_0^|y| exp(t^2) dt, and exp(t^2) <= exp(t |y|)."""
    if not _is_wide(u):
        return u.erf()
    x, y = abs(u.real).lower().max(_ZERO), abs(u.imag).upper()
    size = (y * y - x * x).exp()
    return _square(1 + 2 * (size / y if y > 1 else size * y))


_HELPERS = {
    "NAN": acb("nan"),
    "acb": acb,
    "acos": _acos,
    "asin": _asin,
    "asinh": _asinh,
    "cut_imaginary": _cut_imaginary,
    "cut_real": _cut_real,
    "erf": _erf,
    "power": _power,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "tanh": _tanh,
}


def _atom(value: sp.Expr) -> Any:
    if value is sp.pi:
        return arb.pi()
    return arb(1).exp() if value is sp.E else arb(_rational(value))


@lru_cache(maxsize=512)
def ball_program(expr: sp.Expr, symbols: tuple[sp.Symbol, ...] = (z,)) -> BallProgram:
    """Compile an expression for ball arithmetic, or fetch it.

    Parameters
    ----------
    expr : sympy.Expr
        As in :func:`evaluate`.
    symbols : tuple of sympy.Symbol
        Its arguments.

    Returns
    -------
    BallProgram

    Raises
    ------
    AssumptionError
        If the expression holds an unknown function.
    """
    return BallProgram(expr, symbols)


# -- Values at exact points -------------------------------------------------------------------------------------------


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
    symbols = tuple(exact)
    program = ball_program(body, symbols)
    bits = _bits(digits)
    while bits <= _MAX_BITS:
        with precision(bits):
            value = program.real()(*(arb(_rational(exact[s])) for s in symbols))
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
        with precision(bits):
            value = _enclosure(pieces, scale, bound, rate, digits)
            if value.is_finite() and value.rad() < arb(10) ** (-digits) * abs(value).max(arb(1)):
                return value
        bits *= 2
    raise AccuracyError(f"E[{body}] at variance {scale}: asked for {digits} digits, got {value} with {bits // 2} bits")


def _constant(expr: sp.Expr) -> Any:
    return ball_program(expr, ()).real()()


def _enclosure(pieces: tuple[Piece, ...], variance: sp.Rational, bound: sp.Expr, rate: sp.Expr, digits: int) -> Any:
    s2 = arb(_rational(variance))
    s = s2.sqrt()
    c, b = _constant(bound), _constant(rate)
    cuts = [_constant(p.lo) for p in pieces[1:]]
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

        function = ball_program(piece.expression).complex()

        def integrand(x: Any, analytic: bool, f: Callable[..., Any] = function) -> Any:
            return f(x, analytic) * (-x * x / (2 * s2)).exp()

        total += acb.integral(integrand, acb(left), acb(right))
    value = (total * normalisation).real
    return value + arb(0, tail.upper())
