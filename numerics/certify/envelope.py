"""Bounds |sigma(z)| <= c max(1, |z|)^p exp(b |z| + g z^2) on part of the real line, and the Gaussian tails they give.

One pass over the steps of a compiled expression carries for each step an interval that contains its values, an
envelope, and its coefficients if it is a polynomial of degree at most 2. A step whose values are bounded has the
constant envelope; sums, products and powers combine the envelopes of their parts; exp uses the quadratic polynomial or
the envelope of its argument.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

from flint import arb

from ...theory.balls import BallProgram, Step, ball_program
from .law import NotEnclosed

__all__ = ["Envelope", "envelope", "least_reach", "reach", "tail_bound"]

_INF, _MINUS_INF = arb.pos_inf(), arb.neg_inf()


class Envelope(NamedTuple):
    """|sigma(z)| <= factor * max(1, |z|)**power * exp(rate * |z| + square * z**2); power, rate, square >= 0."""

    factor: Any
    power: Any
    rate: Any
    square: Any


class _Facts(NamedTuple):
    lo: Any
    hi: Any
    envelope: Envelope | None
    quadratic: tuple[Any, Any, Any] | None


def envelope(program: BallProgram, lo: Any, hi: Any) -> Envelope:
    """Bound a real function on an interval, at the current precision.

    Parameters
    ----------
    program : BallProgram
        A function that is real on the interval.
    lo, hi : flint.arb
        Ends; may be infinite.

    Returns
    -------
    Envelope

    Raises
    ------
    NotEnclosed
        If no envelope of this form is found.
    """
    facts: list[_Facts] = []
    for step in program.steps:
        facts.append(_of_step(step, [facts[i] for i in step.args], lo, hi))
    found = facts[-1].envelope
    if found is None:
        raise NotEnclosed("no bound c*exp(b*|z| + g*z**2) is known for its tail")
    return found


def _of_step(step: Step, args: list[_Facts], lo: Any, hi: Any) -> _Facts:
    quadratic: tuple[Any, Any, Any] | None
    if step.kind == "number":
        value = ball_program(step.value, ()).real()()
        low, high, found, quadratic = value, value, None, (value, arb(0), arb(0))
    elif step.kind == "symbol":
        low, high, found = lo, hi, Envelope(arb(1), arb(1), arb(0), arb(0))
        quadratic = (arb(0), arb(1), arb(0))
    else:
        low, high = _RANGES[step.kind](step, args) if step.kind in _RANGES else _range_of_function(step.kind, args[0])
        found, quadratic = _grown(step, args), _quadratic(step, args)
    if bool(low > _MINUS_INF) and bool(high < _INF):
        found = Envelope(abs(low).max(abs(high)).upper(), arb(0), arb(0), arb(0))
    return _Facts(low.lower(), high.upper(), found, quadratic)


# -- The interval of the values ---------------------------------------------------------------------------------------


def _is_infinite(end: Any) -> bool:
    return bool(end == _INF) or bool(end == _MINUS_INF)


def _add_range(_: Step, args: list[_Facts]) -> tuple[Any, Any]:
    lows, highs = [a.lo for a in args], [a.hi for a in args]
    low = _MINUS_INF if any(v == _MINUS_INF for v in lows) else sum(lows, arb(0))
    high = _INF if any(v == _INF for v in highs) else sum(highs, arb(0))
    return low, high


def _mul_range(_: Step, args: list[_Facts]) -> tuple[Any, Any]:
    low, high = args[0].lo, args[0].hi
    for a in args[1:]:
        # the product of a zero and an infinite end is 0: the infinite end is a bound, not a value
        ends = [arb(0) if x == 0 or y == 0 else x * y for x in (low, high) for y in (a.lo, a.hi)]
        low, high = ends[0], ends[0]
        for end in ends[1:]:
            low, high = low.min(end), high.max(end)
    return low, high


def _power(end: Any, n: int) -> Any:
    if _is_infinite(end):
        return _INF if n % 2 == 0 or end > 0 else _MINUS_INF
    return end**n


def _reciprocal(low: Any, high: Any) -> tuple[Any, Any]:
    if not (low >= 0 or high <= 0):
        return _MINUS_INF, _INF
    ends = []
    for end, sign in ((high, -1), (low, 1)):
        ends.append((_INF if sign > 0 else _MINUS_INF) if end == 0 else arb(0) if _is_infinite(end) else 1 / end)
    return ends[0], ends[1]


def _pow_range(step: Step, args: list[_Facts]) -> tuple[Any, Any]:
    n, (low, high, _, _) = abs(step.value), args[0]
    if n % 2 == 0 and not low >= 0:
        low, high = (-high, -low) if high <= 0 else (arb(0), (-low).max(high))
    low, high = _power(low, n), _power(high, n)
    return _reciprocal(low, high) if step.value < 0 else (low, high)


def _root_range(step: Step, args: list[_Facts]) -> tuple[Any, Any]:
    p, q = step.value
    low, high = args[0].lo, args[0].hi
    low = arb(0) if not low > 0 else low.root(q)  # the base is non-negative wherever the function is real
    high = _INF if _is_infinite(high) else high.root(q)
    low, high = _power(low, abs(p)), _power(high, abs(p))
    return _reciprocal(low, high) if p < 0 else (low, high)


_RANGES = {"add": _add_range, "mul": _mul_range, "pow": _pow_range, "root": _root_range}
# Values at -oo and +oo of increasing functions.
_INCREASING: dict[str, tuple[Any, Any]] = {
    "exp": (arb(0), _INF),
    "sigmoid": (arb(0), arb(1)),
    "softplus": (arb(0), _INF),
    "tanh": (arb(-1), arb(1)),
    "erf": (arb(-1), arb(1)),
    "sinh": (_MINUS_INF, _INF),
    "asinh": (_MINUS_INF, _INF),
    "erfi": (_MINUS_INF, _INF),
}


def _increasing(kind: str, end: Any) -> Any:
    if _is_infinite(end):
        return _INCREASING[kind][int(end > 0)]
    if kind == "sigmoid":
        return 1 / (1 + (-end).exp())
    return end.exp().log1p() if kind == "softplus" else getattr(end, kind)()


def _range_of_function(kind: str, u: _Facts) -> tuple[Any, Any]:
    if kind in _INCREASING:
        return _increasing(kind, u.lo), _increasing(kind, u.hi)
    if kind == "erfc":
        return 1 - _increasing("erf", u.hi), 1 - _increasing("erf", u.lo)
    if kind in ("sin", "cos"):
        return arb(-1), arb(1)
    if kind in ("atan", "asin"):
        return -arb.pi() / 2, arb.pi() / 2
    if kind == "acos":
        return arb(0), arb.pi()
    if kind == "log":
        return (u.lo.log() if u.lo > 0 else _MINUS_INF), (_INF if _is_infinite(u.hi) else u.hi.log())
    if kind in ("cosh", "sech"):
        least = arb(0) if not (u.lo > 0 or u.hi < 0) else abs(u.lo).min(abs(u.hi))
        most = abs(u.lo).max(abs(u.hi))
        low, high = least.cosh(), _INF if _is_infinite(most) else most.cosh()
        return (low, high) if kind == "cosh" else _reciprocal(low, high)
    if kind in ("coth", "csch"):
        base = "tanh" if kind == "coth" else "sinh"
        return _reciprocal(_increasing(base, u.lo), _increasing(base, u.hi))
    if kind == "tan" and u.lo > -arb.pi() / 2 and u.hi < arb.pi() / 2:
        return u.lo.tan(), u.hi.tan()
    if kind == "atanh" and u.lo > -1 and u.hi < 1:
        return u.lo.atanh(), u.hi.atanh()
    return _MINUS_INF, _INF


# -- Growth -----------------------------------------------------------------------------------------------------------


def _quadratic(step: Step, args: list[_Facts]) -> tuple[Any, Any, Any] | None:
    parts = [a.quadratic for a in args]
    known = [p for p in parts if p is not None]
    if len(known) < len(parts):
        return None
    if step.kind == "add":
        return (
            sum((p[0] for p in known), arb(0)),
            sum((p[1] for p in known), arb(0)),
            sum((p[2] for p in known), arb(0)),
        )
    if step.kind == "pow" and step.value in (1, 2):
        known = known * step.value
    elif step.kind != "mul":
        return None
    product = known[0]
    for a, b, c in known[1:]:
        x, y, w = product
        if not (y * c + w * b == 0 and w * c == 0):
            return None
        product = (x * a, x * b + y * a, x * c + y * b + w * a)
    return product


def _grown(step: Step, args: list[_Facts]) -> Envelope | None:
    if step.kind in ("exp", "sinh", "cosh"):
        return _exponential(step.kind, args[0])
    if step.kind == "erfi":
        return _imaginary_error(args[0])
    found = [a.envelope for a in args]
    parts = [e for e in found if e is not None]
    if len(parts) < len(found):
        return None
    if step.kind == "add":
        return _sum(parts)
    if step.kind == "mul":
        product = parts[0]
        for e in parts[1:]:
            product = Envelope(product.factor * e.factor, *(x + y for x, y in zip(product[1:], e[1:], strict=True)))
        return product
    if step.kind in ("pow", "root"):
        exponent = arb(step.value) if step.kind == "pow" else arb(step.value[0]) / step.value[1]
        if not exponent > 0:
            return None
        first = parts[0]
        return Envelope((first.factor.log() * exponent).exp(), *(x * exponent for x in first[1:]))
    if step.kind == "asinh":  # |asinh u| <= |u|
        return parts[0]
    if step.kind == "softplus":  # log(1 + exp u) <= log 2 + |u|
        return _sum([Envelope(arb(2).log(), arb(0), arb(0), arb(0)), parts[0]])
    return _logarithm(args[0], parts[0]) if step.kind == "log" else None


def _sum(parts: list[Envelope]) -> Envelope:
    """Each part is at most its factor times the largest growth: max(1, |z|) >= 1 and all exponents are >= 0."""
    total = parts[0]
    for e in parts[1:]:
        total = Envelope(total.factor + e.factor, *(x.max(y) for x, y in zip(total[1:], e[1:], strict=True)))
    return total


def _exponential(kind: str, u: _Facts) -> Envelope | None:
    """Exp of a quadratic polynomial, or of |u| <= c max(1, |z|)^p, p <= 2; |sinh u| and cosh u are at most exp|u|."""
    if u.quadratic is not None:
        a, b, c = u.quadratic
        if kind != "exp":
            a, c = abs(a), abs(c)
        return Envelope(a.exp(), arb(0), abs(b).upper(), c.max(arb(0)).upper())
    if u.envelope is None or not (u.envelope.rate == 0 and u.envelope.square == 0 and u.envelope.power <= 2):
        return None
    c = u.envelope.factor
    if u.envelope.power <= 1:  # c max(1, |z|)^p <= c + c|z|
        return Envelope(c.exp(), arb(0), c, arb(0))
    return Envelope(c.exp(), arb(0), arb(0), c)


def _imaginary_error(u: _Facts) -> Envelope | None:
    """|erfi u| = 2/sqrt(pi) int_0^|u| exp(t^2) dt <= 2|u|/sqrt(pi) exp(u^2), for u = a + b z."""
    if u.quadratic is None or not u.quadratic[2] == 0:
        return None
    a, b = abs(u.quadratic[0]), abs(u.quadratic[1])
    factor = (2 / arb.pi().sqrt() * (a + b) * (a * a).exp()).upper()
    return Envelope(factor, arb(1), (2 * a * b).upper(), (b * b).upper())


def _logarithm(u: _Facts, e: Envelope) -> Envelope | None:
    """|log u| <= |log lo| + log of the envelope, and log max(1, |z|), |z| and z^2 are at most max(1, |z|)^q."""
    if not u.lo > 0:
        return None
    factor = abs(u.lo.log()) + e.factor.max(arb(1)).log() + e.power + e.rate + e.square
    return Envelope(factor, arb(2) if e.square > 0 else arb(1), arb(0), arb(0))


# -- Tails ------------------------------------------------------------------------------------------------------------


def tail_bound(bound: Envelope, mean: Any, std: Any, end: Any, order: int) -> Any:
    """Bound the integral of |sigma(m + s x) He_k(x)| phi(x)/sqrt(k!) over x > end (or x < -end), for each k <= order.

    All zeros r of He_k have |r| < 2 sqrt(k) (Gershgorin for its Jacobi matrix, whose rows sum to at most sqrt(k-2) +
    sqrt(k-1)). So where x^2 >= 2k, each factor of He_k has |x^2 - r^2| <= x^2, and |He_k(x)| <= |x|^k. With
    M = max(1, |m|) the integrand is at most

        B(x) = c (M + s x)^p exp(b (|m| + s x) + g (|m| + s x)^2) x^k phi(x)/sqrt(k!),

    and d/dx log B <= -D for x >= end, D = (1 - 2 g s^2) end - b s - 2 g s |m| - (p + k)/end. So the tail is at most
    B(end)/D. Both grow with k, since end^2 >= 2k: k = order serves all.

    Parameters
    ----------
    bound : Envelope
        On the part of the real line beyond ``end``.
    mean, std : flint.arb
        m and s.
    end : flint.arb
        Positive.
    order : int
        Largest k.

    Returns
    -------
    flint.arb
        Upper bound.

    Raises
    ------
    NotEnclosed
        If the end is too small for the bound.
    """
    m = abs(mean)
    slope = (1 - 2 * bound.square * std * std) * end - std * (bound.rate + 2 * bound.square * m)
    slope -= (bound.power + order) / end
    if not (slope > 0 and end * end >= 2 * order):
        raise NotEnclosed(f"its growth is not under control of the Gaussian beyond {float(end.mid()):.3g} deviations")
    size = m + std * end
    exponent = bound.rate * size + bound.square * size * size + (m.max(arb(1)) + std * end).log() * bound.power
    exponent += end.log() * order - arb(order + 1).lgamma() / 2 - end * end / 2
    return (bound.factor * exponent.exp() / ((2 * arb.pi()).sqrt() * slope)).upper()


def reach(bound: Envelope, mean: Any, std: Any, order: int, log_goal: float) -> float:
    """Find an end at which :func:`tail_bound` is about exp(log_goal); floats, since the bound itself is checked later.

    Parameters
    ----------
    bound, mean, std, order
        As in :func:`tail_bound`.
    log_goal : float
        Logarithm of the tail allowed.

    Returns
    -------
    float

    Raises
    ------
    NotEnclosed
        If there is no such end.
    """
    m, s = abs(float(mean.mid())), float(std.mid())
    p, b, g = (float(x.mid()) for x in bound[1:])
    log_factor = float(bound.factor.max(arb(2) ** -1000).log().mid())
    curvature = 1 - 2 * g * s * s
    if curvature <= 0:
        raise NotEnclosed("its growth outweighs the Gaussian")
    constant = log_factor - 0.5 * math.lgamma(order + 1) - log_goal

    def excess(end: float) -> float:
        size = m + s * end
        growth = b * size + g * size * size + p * math.log(max(m, 1.0) + s * end)
        return constant + growth + order * math.log(end) - 0.5 * end * end

    # Beyond the larger of these the logarithm of the bound falls, at a rate of at least 1/2
    shift = s * (b + 2 * g * m)
    low = max(
        1.0,
        math.sqrt(2 * order),
        (shift + 0.5 + math.sqrt((shift + 0.5) ** 2 + 4 * curvature * (p + order))) / (2 * curvature),
    )
    low *= 1 + 1e-9
    if excess(low) <= 0:
        return low
    high = 2 * low
    while excess(high) > 0:
        low, high = high, 2 * high
    while high - low > 4e-3 * low:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


@lru_cache(maxsize=256)
def least_reach(order: int, log_goal: float) -> float:
    """The end at which the tail of sigma = 1 is about exp(log_goal).

    Parameters
    ----------
    order, log_goal
        As in :func:`reach`.

    Returns
    -------
    float
    """
    return reach(Envelope(arb(1), arb(0), arb(0), arb(0)), arb(0), arb(1), order, log_goal)
