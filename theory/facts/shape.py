"""Facts of the graph: parity, kinks, degree, homogeneity, growth, range, monotonicity, Lipschitz constant."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import sympy as sp

from ..notation import z
from ..real_line import NotRealError, Rate, Undecided, growth
from .extrema import Extrema, extrema
from .numbers import Incomparable, InOrder, is_nonzero, real_zero
from .polynomials import parity_split
from .table import Fact

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["Homogeneity", "Kink", "homogeneity", "kinks", "shape_facts"]

_MAX_ORDER = 8
_SAMPLES = tuple(sp.Rational(n, 7) for n in (-41, -19, -11, -5, -2, 1, 4, 9, 16, 37))


@dataclass(frozen=True)
class Kink:
    """A point where sigma is not smooth.

    Parameters
    ----------
    point : sympy.Expr
        Where.
    order : int or None
        The least derivative that jumps: 0 for a jump of sigma itself, 1 for a kink, ...; None if it is not known.
    jump : sympy.Expr or None
        The size of that jump, right minus left.
    """

    point: sp.Expr
    order: int | None
    jump: sp.Expr | None

    def __str__(self) -> str:
        if self.order is None:
            return f"{self.point} (order open)"
        return f"{self.point} (derivative {self.order} jumps by {self.jump})"


@dataclass(frozen=True)
class Homogeneity:
    """sigma(z) = right * z^degree for z > 0 and left * |z|^degree for z < 0.

    Parameters
    ----------
    degree : sympy.Expr
        A number >= 0.
    left, right : sympy.Expr
        The coefficients.
    """

    degree: sp.Expr
    left: sp.Expr
    right: sp.Expr

    def __str__(self) -> str:
        left, right = (c * sp.Symbol(name) ** self.degree for c, name in ((self.left, "|z|"), (self.right, "z")))
        return f"degree {self.degree}: {right} for z > 0, {left} for z < 0"


@lru_cache(maxsize=256)
def kinks(activation: Activation) -> tuple[Kink, ...]:
    """The kinks with the least derivative that jumps and the exact size of the jump.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    tuple of Kink
        From left to right.

    >>> from hermiton.theory.activation import Activation
    >>> str(kinks(Activation("z*Abs(z)"))[0])
    '0 (derivative 2 jumps by 4)'
    """
    found = []
    for left, right in zip(activation.pieces, activation.pieces[1:], strict=False):
        point = right.lo
        below, above = left.expression, right.expression
        kink = Kink(point, None, None)
        for order in range(_MAX_ORDER):
            jump = sp.expand(above.subs(z, point) - below.subs(z, point))
            if not jump.is_finite:
                break
            zero = real_zero(jump)
            if zero is None:
                break
            if not zero:
                kink = Kink(point, order, jump)
                break
            below, above = sp.diff(below, z), sp.diff(above, z)
        found.append(kink)
    return tuple(found)


@lru_cache(maxsize=256)
def homogeneity(activation: Activation) -> Homogeneity | None:
    """Degree of positive homogeneity, sigma(c z) = c^n sigma(z) for c > 0; None if there is none or none is shown.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    Homogeneity or None

    >>> from hermiton.theory.activation import Activation
    >>> str(homogeneity(Activation("relu")))
    'degree 1: z for z > 0, 0 for z < 0'
    """
    if any(not kink.is_zero for kink in activation.kinks):
        return None
    half = sp.Dummy("r", positive=True)
    coefficients: list[sp.Expr] = []
    degrees: list[sp.Expr] = []
    for piece, direction in ((activation.pieces[0], -1), (activation.pieces[-1], 1)):
        value = sp.powsimp(sp.expand(piece.expression.subs(z, direction * half)))
        if value.is_zero:
            coefficients.append(sp.S.Zero)
            continue
        coefficient, power = value.as_independent(half, as_Add=False)
        base, exponent = power.as_base_exp() if power != 1 else (half, sp.S.Zero)
        if base != half or exponent.has(half):
            return None
        coefficients.append(coefficient)
        degrees.append(exponent)
    if any(d != degrees[0] for d in degrees):
        return None
    return Homogeneity(degrees[0], coefficients[0], coefficients[1])


def shape_facts(activation: Activation) -> list[Fact]:
    """The facts of this chapter, in reading order.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    list of Fact
    """
    slopes = [extrema(sp.diff(p.expression, z), p.lo, p.hi) for p in activation.pieces]
    facts = [f(activation) for f in (_parity, _kinks, _degree, _homogeneous, _growth)]
    for name, fact in (
        ("range", _range),
        ("monotone", partial(_monotone, slopes=slopes)),
        ("Lipschitz constant", partial(_lipschitz, slopes=slopes)),
    ):
        try:
            facts.append(fact(activation))
        except Incomparable as pair:
            facts.append(Fact(name, None, f"the numbers {pair} were not compared", "undecided"))
    return facts


# -- one fact each ----------------------------------------------------------------------------------------------------


def _at(activation: Activation, point: sp.Expr) -> sp.Expr:
    piece = next(p for p in activation.pieces if bool(p.lo < point) and bool(point <= p.hi))
    return piece.expression.subs(z, point)


def _parity(activation: Activation) -> Fact:
    name = "parity"
    if activation.parity is not None:
        operator = "-" if activation.parity == "even" else "+"
        return Fact(name, activation.parity, f"sigma(z) {operator} sigma(-z) = 0 for every z", "proved")
    shown = []
    for sign, word in ((-1, "even"), (1, "odd")):
        for point in _SAMPLES[5:]:
            if is_nonzero(_at(activation, point) + sign * _at(activation, -point)):
                shown.append(f"not {word}: sigma({point}) {'-' if sign < 0 else '+'} sigma(-{point}) is not 0")
                break
    if len(shown) == 2:
        return Fact(name, "neither", "; ".join(shown), "proved")
    return Fact(name, None, "neither an identity nor a point that refutes one was found", "undecided")


def _kinks(activation: Activation) -> Fact:
    found = kinks(activation)
    if not found:
        return Fact("kinks", (), "one analytic formula on the whole line", "proved")
    if any(kink.order is None for kink in found):
        open_at = next(k.point for k in found if k.order is None)
        return Fact("kinks", None, f"the one-sided derivatives at {open_at} are infinite or not compared", "undecided")
    return Fact("kinks", found, "one-sided derivatives compared at the ends of the smooth pieces", "proved")


def _degree(activation: Activation) -> Fact:
    name = "degree"
    if activation.degree is not None:
        return Fact(name, activation.degree, "a polynomial", "proved")
    if any(kink.order is not None for kink in kinks(activation)):
        return Fact(name, "no polynomial", "it has a kink", "proved")
    split = parity_split(activation)
    for part, reason in ((split.even, split.even_reason), (split.odd, split.odd_reason)):
        if part is None and reason:
            return Fact(name, "no polynomial", reason, "proved")
    return Fact(name, None, "it is not written as a polynomial, but no proof that it is none was found", "undecided")


def _homogeneous(activation: Activation) -> Fact:
    name = "homogeneity"
    found = homogeneity(activation)
    if found is not None:
        return Fact(name, found, "each half line has one power of z", "proved")
    shifted = next((k.point for k in kinks(activation) if k.order is not None and not k.point.is_zero), None)
    if shifted is not None:
        return Fact(name, "none", f"scaling would move its kink at {shifted}", "proved")
    for side in (1, -1):
        one, two, four = (_at(activation, sp.Integer(side * n)) for n in (1, 2, 4))
        if is_nonzero(one * four - two**2):
            points = ", ".join(str(side * n) for n in (1, 2, 4))
            return Fact(name, "none", f"its values at {points} are in no geometric progression", "proved")
    return Fact(name, None, "neither a power nor a point that refutes one was found", "undecided")


def _growth(activation: Activation) -> Fact:
    first, last = activation.pieces[0], activation.pieces[-1]
    rates = (growth(first.expression, -1, first.lo, first.hi), growth(last.expression, 1, last.lo, last.hi))
    exact = any(_size(rate) == max((_size(r) for r in rates), key=_Size) and rate.exact for rate in rates)
    reason = f"at -oo {_rate(rates[0])}, at +oo {_rate(rates[1])}"
    bound = "attained" if exact else "an upper bound"
    return Fact("growth", _words(activation, rates), f"read off the structure: {reason}; {bound}", "proved")


def _size(rate: Rate) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    if rate.exponents:
        q, _, a = rate.exponents[0]
        return (q, a, rate.power) if rate.grows else (sp.S.Zero, sp.S.Zero, -sp.oo)
    return sp.S.Zero, sp.S.Zero, rate.power


class _Size:
    """Sort key for growth rates."""

    def __init__(self, value: tuple[sp.Expr, sp.Expr, sp.Expr]) -> None:
        self.value = value

    def __lt__(self, other: _Size) -> bool:
        for a, b in zip(self.value, other.value, strict=True):
            if a != b:
                return bool(a < b)
        return False


def _rate(rate: Rate) -> str:
    if rate.grows:
        q, _, a = rate.exponents[0]
        return f"exp({a}*|z|^{q})"
    if rate.decays:
        return "faster decay than any power"
    return "a constant" if rate.power.is_zero else f"|z|^{rate.power}"


def _words(activation: Activation, rates: tuple[Rate, Rate]) -> str:
    kind = activation.growth
    if kind == "gaussian":
        return f"gaussian, exp({activation.growth_exponent}*z^2)"
    q, _, power = max((_size(r) for r in rates), key=_Size)
    if kind == "exponential":
        return f"exponential, exp(c*|z|^{q})"
    return f"polynomial, |z|^{power}" if kind == "polynomial" else "bounded"


def _range(activation: Activation) -> Fact:
    name = "range"
    parts = [extrema(p.expression, p.lo, p.hi) for p in activation.pieces]
    infs, sups = [p.inf for p in parts], [p.sup for p in parts]
    if None not in infs and None not in sups:
        low = min(infs, key=InOrder)
        high = max(sups, key=InOrder)
        return Fact(name, (low, high), f"infimum and supremum: {parts[-1].reason}", "proved")
    if activation.growth == "bounded":
        return Fact(name, "bounded", "it grows on neither side and is continuous between its kinks", "proved")
    known = [
        f"its {word} is {extreme(values, key=InOrder)}"
        for word, values, extreme in (("infimum", infs, min), ("supremum", sups, max))
        if None not in values
    ]
    if any(v is not None and v.is_infinite for v in (*infs, *sups)):
        return Fact(name, "unbounded", "; ".join(known) or "it diverges at an end of the line", "proved")
    return Fact(name, None, "its growth is bounded from above only", "undecided")


def _monotone(activation: Activation, slopes: list[Extrema]) -> Fact:
    name = "monotone"
    found = kinks(activation)
    jumps = [sp.S.Zero if k.order else k.jump for k in found]
    for trend, sign in (("increasing", 1), ("decreasing", -1)):
        steady = all(s.nonnegative if sign > 0 else s.nonpositive for s in slopes)
        if not steady or any(j is None or bool(sign * j < 0) for j in jumps):
            continue
        flat = [p for p in activation.pieces if sp.diff(p.expression, z).is_zero]
        strictly = "" if flat else "strictly "
        detail = "and is constant on an interval" if flat else "and vanishes at isolated points at most"
        return Fact(
            name, f"{strictly}{trend}", f"sigma' is nowhere {'negative' if sign > 0 else 'positive'} {detail}", "proved"
        )
    points = [p for p in _SAMPLES if p not in activation.kinks]
    values = [_at(activation, p) for p in points]
    steps: dict[int, str] = {}
    for (a, left), (b, right) in zip(
        zip(points, values, strict=True), list(zip(points, values, strict=True))[1:], strict=False
    ):
        difference = right - left
        if is_nonzero(difference):
            sign = 1 if bool(difference > 0) else -1
            steps.setdefault(sign, f"{'rises' if sign > 0 else 'falls'} from {a} to {b}")
    if len(steps) == 2:
        return Fact(name, "no", f"it {steps[1]} and {steps[-1]}", "proved")
    return Fact(name, None, "neither the sign of sigma' nor two opposite steps were found", "undecided")


def _lipschitz(activation: Activation, slopes: list[Extrema]) -> Fact:
    name = "Lipschitz constant"
    for kink in kinks(activation):
        if kink.order == 0:
            return Fact(name, sp.oo, f"it jumps at {kink.point}", "proved")
        if kink.order is None:
            return Fact(name, None, f"the slope at {kink.point} is not known", "undecided")
    ends = [v for s in slopes for v in (s.inf, s.sup)]
    if any(v is not None and v.is_infinite for v in ends) or _steep(activation):
        return Fact(name, sp.oo, "sigma' is unbounded", "proved")
    if None not in ends:
        largest = max((abs(v) for v in ends if v is not None), key=InOrder)
        return Fact(name, largest, f"sup |sigma'|: {slopes[-1].reason}", "proved")
    # one side may settle it: |inf| is at most the supremum where the enclosure says so
    boxes = [s.enclosure for s in slopes]
    bounds = [max(abs(b.lo), abs(b.hi), key=InOrder) for b in boxes if b is not None and b.bounded]
    if len(bounds) == len(slopes):
        bound = max(bounds, key=InOrder)
        if any(v is not None and real_zero(abs(v) - bound) is True for v in ends):
            return Fact(name, bound, "an enclosure of sigma', whose end is a value or limit", "proved")
        return Fact(name, None, f"at most {bound}; the extrema of sigma' have no exact form here", "undecided")
    return Fact(name, None, "the extrema of sigma' have no exact form here", "undecided")


def _steep(activation: Activation) -> bool:
    """Whether sigma' is unbounded at an end of the line."""
    for piece, direction, end in ((activation.pieces[0], -1, -sp.oo), (activation.pieces[-1], 1, sp.oo)):
        if (piece.lo if direction < 0 else piece.hi) != end:
            continue
        try:
            rate = growth(sp.diff(piece.expression, z), direction, piece.lo, piece.hi)
        except (Undecided, NotRealError):
            continue
        if rate.exact and (rate.grows or (not rate.exponents and bool(rate.power > 0))):
            return True
    return False
