"""Strip of analyticity: the distance from the real line to the nearest complex singularity, exact.

A formula is analytic where no denominator vanishes and no logarithm, root or inverse function meets its branch point.
These equations are solved exactly where they are polynomial in z or in one exponential; a solution counts once it is
shown not to cancel. What can't be solved or shown stays undecided.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import sympy as sp

from .facts.meromorphic import ENTIRE, INVERSE, Family, Quotient, Unsolved, W, quotient, shown, zeros
from .facts.numbers import InOrder, cartesian, complex_zero, real_zero
from .notation import z

if TYPE_CHECKING:
    from .activation import Activation

__all__ = ["Pole", "Strip", "strip"]

_TO_EXPONENTIALS = [
    sp.tanh,
    sp.coth,
    sp.sinh,
    sp.cosh,
    sp.sech,
    sp.csch,
    sp.sin,
    sp.cos,
    sp.tan,
    sp.cot,
    sp.sec,
    sp.csc,
]
_PARTS = (sp.Add, sp.Mul, *ENTIRE)
_DERIVATIVES = 3
_MAX_ORDER = 8


@dataclass(frozen=True)
class Pole:
    """A pole: near it the function is coefficient * (z - point)^(-order) to leading order.

    Parameters
    ----------
    point : sympy.Expr
        Where it is.
    order : int
        Its order.
    coefficient : sympy.Expr
        The leading coefficient; for a simple pole the residue.
    """

    point: sp.Expr
    order: int
    coefficient: sp.Expr


@dataclass(frozen=True)
class Strip:
    """The largest strip |Im z| < a in which a function is analytic.

    Parameters
    ----------
    half_width : sympy.Expr or None
        a; infinite for an entire function, 0 with a kink, None if undecided.
    singularities : tuple of sympy.Expr
        Singular points on the boundary; of a periodic family, those nearest the imaginary axis.
    kind : str
        ``'entire'``, ``'kink'``, ``'pole'``, ``'branch point'``, ``'essential singularity'`` or ``'undecided'``.
    reason : str
        Which structure puts them there, or what is missing.
    poles : tuple of Pole
        The poles on the boundary of the derivative of order `derivative`, if these are all its singularities there.
    derivative : int
        The least order at which the derivative is meromorphic; 0 for a meromorphic function.
    """

    half_width: sp.Expr | None
    singularities: tuple[sp.Expr, ...]
    kind: str
    reason: str
    poles: tuple[Pole, ...] = ()
    derivative: int = 0

    @property
    def decided(self) -> bool:
        """Whether the half-width is known."""
        return self.half_width is not None

    def __str__(self) -> str:
        if self.half_width is None:
            return "undecided"
        points = f", {self.kind} at {', '.join(map(str, self.singularities))}" if self.singularities else ""
        return f"half-width {self.half_width}{points}"


@lru_cache(maxsize=256)
def strip(activation: Activation) -> Strip:
    """The strip of analyticity of an activation around the real line.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    Strip

    Notes
    -----
    *Validity.* The statement is about the analytic continuation of sigma from the real line. An exact half-width is
    proved in both directions: no singular equation has a solution below it, and at one solution on it the function is
    shown to be singular.

    >>> from hermiton.theory.activation import Activation
    >>> strip(Activation("tanh")).half_width, strip(Activation("sigmoid")).half_width
    (pi/2, pi)
    """
    if len(activation.pieces) > 1:
        kinks = activation.kinks
        return Strip(sp.S.Zero, kinks, "kink", f"sigma is not analytic at its kink {kinks[0]}")
    expression = activation.pieces[0].expression.xreplace({z: W})
    form = expression.rewrite(_TO_EXPONENTIALS, sp.exp).replace(sp.erfc, lambda u: 1 - sp.erf(u))
    try:
        families = list(_families(form))
        if not families:
            return Strip(
                sp.oo,
                (),
                "entire",
                "built of entire functions: nothing in it is divided by, a root or a"
                " logarithm of a function that vanishes somewhere",
            )
        return _nearest(form, families)
    except Unsolved as missing:
        return Strip(None, (), "undecided", str(missing))


# -- the equations whose solutions may be singular --------------------------------------------------------------------


def _families(expr: sp.Expr) -> Iterator[Family]:
    """Solutions of every singular equation in `expr`."""
    if not expr.has(W):
        return
    for part in expr.args:
        yield from _families(part)
    equation = _equation(expr)
    if equation is not None:
        yield from zeros(equation)


def _equation(node: sp.Expr) -> sp.Expr | None:
    """What has to vanish for `node` to be singular where its arguments are analytic; None if it never is."""
    if isinstance(node, sp.Pow):
        if node.exp.is_Integer and node.exp.is_positive:
            return None
        return node.base if node.base.has(W) else None
    if isinstance(node, sp.log):
        return node.args[0]
    if isinstance(node, sp.atan | sp.asinh):
        return node.args[0] ** 2 + 1
    if isinstance(node, sp.asin | sp.acos | sp.atanh):
        return node.args[0] ** 2 - 1
    if node == W or isinstance(node, _PARTS):
        return None
    raise Unsolved(f"the singularities of {shown(node)} are not known")


# -- the nearest solution at which the function is singular -----------------------------------------------------------


def _height(point: sp.Expr) -> sp.Expr:
    return sp.Abs(point.as_real_imag()[1])


def _nearest(form: sp.Expr, families: Sequence[Family]) -> Strip:
    """Go up through the heights of the candidates until one is shown to be singular."""
    points = list(dict.fromkeys(p for family in families for p in family.points))
    upper = [(_height(p), p) for p in points if not bool(p.as_real_imag()[1] < 0)]
    reach = min((family.reach for family in families), key=InOrder)
    periodic = {p for family in families if family.periodic for p in family.points}
    local = _Local(form)
    while upper:
        height = min((h for h, _ in upper), key=InOrder)
        if height.is_zero:
            raise Unsolved(f"it is open whether {shown(form)} is singular at a real point")
        if bool(height > reach):
            break
        level = sorted((p for h, p in upper if h == height or _equal(h, height)), key=_distance)
        upper = [(h, p) for h, p in upper if p not in level]
        endless = any(p in periodic for p in level)
        singular: list[tuple[sp.Expr, str, Pole | None]] = []
        for point in level:
            kind, pole = local.at(point)
            if kind != _ANALYTIC:
                singular.append((point, kind, pole))
                if endless:  # one stands for all
                    break
        if singular:
            poles = [pole for _, _, pole in singular if pole is not None]
            finite = len(poles) == len(singular) and not endless
            return Strip(
                height,
                tuple(end for p, _, _ in singular for end in (p, sp.conjugate(p))),
                singular[0][1],
                local.reason(singular[0][1], singular[0][0]),
                tuple(poles) if finite else (),
                local.derivative,
            )
    raise Unsolved("the singularities that were tried all cancel")


def _distance(point: sp.Expr) -> InOrder:
    """From the imaginary axis."""
    return InOrder(sp.Abs(point.as_real_imag()[0]))


def _equal(first: sp.Expr, second: sp.Expr) -> bool:
    zero = real_zero(first - second)
    if zero is None and first.has(sp.CRootOf):  # known by isolating intervals, which are refined until they part
        zero = False if bool(abs((first - second).evalf(30)) > sp.Rational(1, 10**20)) else None
    if zero is None:
        raise Unsolved(f"it is open whether {first} and {second} are equal")
    return zero


class _Local:
    """The local type of a function at candidates: by its quotient, or by structure where a root prevents one."""

    def __init__(self, form: sp.Expr) -> None:
        self.form = form
        self.quotient: Quotient | None = None
        self.derivative = 0
        for order in range(_DERIVATIVES + 1):
            try:
                self.quotient, self.derivative = quotient(sp.diff(form, W, order)), order
                break
            except Unsolved:
                continue

    def at(self, point: sp.Expr) -> tuple[str, Pole | None]:
        """Kind of the point, and the pole of the meromorphic derivative if there is one."""
        if self.quotient is None:
            return _type(self.form, point), None
        below, low = self.quotient.leading(self.quotient.denominator, point)
        if not below:
            return _ANALYTIC, None
        above, high = self.quotient.leading(self.quotient.numerator, point)
        if above >= below:
            return _ANALYTIC, None
        order = below - above
        coefficient = high / low if point.has(sp.CRootOf) else _ratio(high, low)
        return "pole" if order > self.derivative else "branch point", Pole(point, order, coefficient)

    def reason(self, kind: str, point: sp.Expr) -> str:
        if self.quotient is None:
            return f"one part of the formula has its {kind} at {point}, the rest is analytic there"
        of = "sigma" if not self.derivative else f"its derivative of order {self.derivative}"
        return f"{of} is a quotient whose denominator vanishes to higher order than its numerator at {point}"


_ANALYTIC = "analytic"


def _ratio(numerator: sp.Expr, denominator: sp.Expr) -> sp.Expr:
    """The quotient of two complex numbers, its real and imaginary part apart."""
    a, b = cartesian(numerator).as_real_imag()
    c, d = cartesian(denominator).as_real_imag()
    size = sp.expand(c**2 + d**2)
    real, imaginary = (sp.cancel(sp.expand(part) / size) for part in (a * c + b * d, b * c - a * d))
    return real + sp.I * imaginary


def _type(expr: sp.Expr, point: sp.Expr) -> str:
    """What an expression is at a point, from what its parts are there."""
    if not expr.has(W) or expr == W:
        return _ANALYTIC
    parts = [_type(part, point) for part in expr.args]
    singular = [kind for kind in parts if kind != _ANALYTIC]
    equation = _equation(expr)
    if not singular:
        if equation is None or not _vanishes_at(equation, point):
            return _ANALYTIC
        order = _order_of_zero(equation, point)
        if isinstance(expr, sp.Pow) and (expr.exp * order).is_Integer:
            return "pole" if expr.exp.is_negative else _ANALYTIC
        # the inverse functions but log and atan have square roots at their branch points
        return _ANALYTIC if isinstance(expr, sp.asinh | sp.asin | sp.acos) and order % 2 == 0 else "branch point"
    if isinstance(expr, sp.Add):
        if len(singular) == 1 or (singular.count("branch point") == 1 and "essential singularity" not in singular):
            return "branch point" if "branch point" in singular else singular[0]
    elif isinstance(expr, sp.Mul):
        others = sp.Mul(*(part for part, kind in zip(expr.args, parts, strict=True) if kind == _ANALYTIC))
        if len(singular) == 1 and singular[0] != "pole":
            return singular[0]
        # at a pole the other factors count, and an inverse function may have left its principal value on the way
        if len(singular) == 1 and not others.has(*INVERSE) and not _vanishes_at(others, point):
            return "pole"
    elif isinstance(expr, ENTIRE) and singular == ["pole"]:
        return "essential singularity"
    elif isinstance(expr, sp.exp) and singular == ["branch point"] and _is_square_root(expr.args[0], point):
        return "branch point"  # the two values of the exponent differ by a function that is not constant
    elif isinstance(expr, sp.Pow) and expr.exp.is_Integer and singular == ["pole"]:
        return "pole" if expr.exp.is_positive else _ANALYTIC
    raise Unsolved(f"the local type of {shown(expr)} at {point} is not known")


def _vanishes_at(expr: sp.Expr, point: sp.Expr) -> bool:
    zero = complex_zero(expr.xreplace({W: point}))
    if zero is None:
        raise Unsolved(f"it is open whether {shown(expr)} vanishes at {point}")
    return zero


def _order_of_zero(expr: sp.Expr, point: sp.Expr) -> int:
    for order in range(1, _MAX_ORDER):
        if not _vanishes_at(sp.diff(expr, W, order), point):
            return order
    raise Unsolved(f"the order of the zero of {shown(expr)} at {point} is not known")


def _is_square_root(expr: sp.Expr, point: sp.Expr) -> bool:
    """Whether the only singular part is a half-integer power times analytic factors."""
    singular = [part for part in sp.Add.make_args(expr) if _type(part, point) != _ANALYTIC]
    factors = [f for f in sp.Mul.make_args(singular[0]) if _type(f, point) != _ANALYTIC]
    return len(singular) == 1 and len(factors) == 1 and isinstance(factors[0], sp.Pow) and factors[0].exp.q == 2
