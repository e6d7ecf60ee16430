"""An activation as a sum of components whose Gaussian expectations are known: polynomial * exp(quadratic) * one factor.

The factor is 1, ``erf``, ``sin`` or ``cos`` of a linear form on the whole line, or a step at a kink. A function in
pieces becomes a smooth function and steps: with the pieces p_0, p_1, ... between the kinks e_1, e_2, ...,

    sigma(z) = p_0(z) + sum_i (p_i - p_(i-1))(z) 1(z > e_i),

so that each kink enters once, with the jump across it, and a polynomial jump is written in powers of z - e_i: a
continuous function has no constant term there.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import sympy as sp
from sympy.simplify.fu import TR8

from ..notation import z
from ..pieces import Piece
from ..symmetry import vanishes

__all__ = ["Component", "NoClosedForm", "components_of"]

_HYPERBOLIC = (sp.sinh, sp.cosh)
_FUNCTIONS = {sp.erf: "erf", sp.sin: "sin", sp.cos: "cos"}
_y = sp.Dummy("y", real=True)


class NoClosedForm(Exception):
    """An expectation of this kind has no closed form here."""


@dataclass(frozen=True)
class Component:
    """sum_j coefficients[j] (z - origin)^j * exp(-rate z^2 + slope z) * factor(z).

    Parameters
    ----------
    coefficients : tuple of sympy.Expr
        Of the polynomial, ascending.
    rate, slope : sympy.Expr
        Of the exponential.
    factor : str
        ``"one"``; ``"erf"``, ``"sin"`` or ``"cos"`` of inner * z + shift; ``"right"`` for 1(z > origin), ``"left"`` for
        1(z < origin), ``"sign"`` for sign(z - origin).
    inner, shift : sympy.Expr
        The linear form under ``erf``, ``sin`` and ``cos``.
    origin : sympy.Expr
        The kink of a step; else the centre of the exponential or of ``erf``, about which formulas are shortest.
    """

    coefficients: tuple[sp.Expr, ...]
    rate: sp.Expr = sp.S.Zero
    slope: sp.Expr = sp.S.Zero
    factor: str = "one"
    inner: sp.Expr = sp.S.Zero
    shift: sp.Expr = sp.S.Zero
    origin: sp.Expr = sp.S.Zero

    @property
    def is_step(self) -> bool:
        """Whether the factor jumps at the kink."""
        return self.factor in ("right", "left", "sign")

    @property
    def polynomial(self) -> sp.Expr:
        """The polynomial as an expression in z."""
        return sp.Add(*(c * (z - self.origin) ** j for j, c in enumerate(self.coefficients)))

    @property
    def exponential(self) -> sp.Expr:
        """exp(-rate z^2 + slope z)."""
        return sp.exp(-self.rate * z**2 + self.slope * z)

    @property
    def factor_expression(self) -> sp.Expr:
        """The factor as an expression in z; steps are written with ``Heaviside`` and ``sign``."""
        argument = self.inner * z + self.shift
        return {
            "one": sp.S.One,
            "erf": sp.erf(argument),
            "sin": sp.sin(argument),
            "cos": sp.cos(argument),
            "right": sp.Heaviside(z - self.origin),
            "left": sp.Heaviside(self.origin - z),
            "sign": sp.sign(z - self.origin),
        }[self.factor]

    @property
    def expression(self) -> sp.Expr:
        """The component as an expression in z."""
        return self.polynomial * self.exponential * self.factor_expression


_Key = tuple[sp.Expr, sp.Expr, str, sp.Expr, sp.Expr]  # rate, slope, factor, inner, shift
_ZERO = sp.Poly(0, z)


@lru_cache(maxsize=256)
def components_of(pieces: tuple[Piece, ...]) -> tuple[Component, ...]:
    """Write a function in pieces as a sum of components.

    Parameters
    ----------
    pieces : tuple of Piece
        As :func:`hermiton.theory.pieces.smooth_pieces` gives them.

    Returns
    -------
    tuple of Component
        Their sum is the function, up to its values at the kinks.

    Raises
    ------
    NoClosedForm
        If a piece is no such sum, or ``erf``, ``sin`` or ``cos`` changes its polynomial at a kink.
    """
    split = [_split(piece.expression) for piece in pieces]
    kinks = [piece.lo for piece in pieces[1:]]
    found: list[Component] = []
    for key in dict.fromkeys(key for terms in split for key in terms):
        rate, slope, factor, inner, shift = key
        polynomials = [terms.get(key, _ZERO) for terms in split]
        jumps = [_about(b - a, kink) for (a, b), kink in zip(pairwise(polynomials), kinks, strict=True)]
        if factor != "one" and any(jumps):
            raise NoClosedForm
        base, step, scale = _base(polynomials[0], polynomials[-1])
        origin = _origin(rate, slope, factor, inner, shift)
        whole = _about(base, origin)
        if whole:
            found.append(Component(whole, rate, slope, factor, inner, shift, origin))
        for jump, kink in zip(jumps, kinks, strict=True):
            if jump:
                found.append(Component(tuple(scale * c for c in jump), rate, slope, step, origin=kink))
    return tuple(found)


def _base(first: sp.Poly, last: sp.Poly) -> tuple[sp.Poly, str, sp.Rational]:
    """What holds on the whole line, and how the jumps are written: so that what is zero on one side stays small.

    In p_0 + sum_i q_i 1(z > e_i) the step may be replaced by -1(z < e_i) or sign(z - e_i)/2, if p_0 is replaced by the
    last piece or by the mean of the first and the last.
    """
    mean = (first + last) * sp.S.Half
    if not first.is_zero and not _ascending(mean):
        return _ZERO, "sign", sp.S.Half
    if first.is_zero:
        return first, "right", sp.S.One
    return (last, "left", sp.S.NegativeOne) if last.is_zero else (mean, "sign", sp.S.Half)


def _ascending(polynomial: sp.Poly) -> tuple[sp.Expr, ...]:
    """Coefficients, ascending, without vanishing ones at the end; empty for zero."""
    found = [sp.S.Zero if _is_zero(c) else c for c in reversed(polynomial.all_coeffs())]
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)


def _about(polynomial: sp.Poly, origin: sp.Expr) -> tuple[sp.Expr, ...]:
    """Coefficients in powers of z - origin, ascending."""
    if polynomial.is_zero or origin == 0:
        return _ascending(polynomial)
    return _ascending(sp.Poly(sp.expand(polynomial.as_expr().xreplace({z: _y + origin})), _y))


def _origin(rate: sp.Expr, slope: sp.Expr, factor: str, inner: sp.Expr, shift: sp.Expr) -> sp.Rational:
    """The centre of the bump, or of the error function, where it is rational."""
    centre = slope / (2 * rate) if rate != 0 else -shift / inner if factor == "erf" else sp.S.Zero
    return centre if centre.is_Rational else sp.S.Zero


def _is_zero(value: sp.Expr) -> bool:
    """A proved zero; a zero that isn't seen costs a term, no more."""
    if value.is_Rational:
        return bool(value == 0)
    return False if value.has(sp.CRootOf) else vanishes(value)


def _split(expression: sp.Expr) -> dict[_Key, sp.Poly]:
    """A smooth expression as a sum of polynomials times exponentials times at most one factor."""
    if expression.has(*_HYPERBOLIC):
        expression = expression.rewrite(_HYPERBOLIC, sp.exp)
    if expression.has(sp.erfc):
        expression = expression.rewrite(sp.erfc, sp.erf)
    found: dict[_Key, sp.Poly] = {}
    for term in sp.Add.make_args(sp.expand(expression)):
        linearised = sp.expand(TR8(term)) if term.has(sp.sin, sp.cos) else term  # products of sines to sums
        for part in sp.Add.make_args(linearised):
            key, polynomial = _term(part)
            found[key] = found.get(key, _ZERO) + polynomial
    return {key: polynomial for key, polynomial in found.items() if not polynomial.is_zero}


def _term(term: sp.Expr) -> tuple[_Key, sp.Poly]:
    polynomial: sp.Expr = sp.S.One
    exponent: sp.Expr = sp.S.Zero
    factor: tuple[str, sp.Expr, sp.Expr] = ("one", sp.S.Zero, sp.S.Zero)
    for part in sp.Mul.make_args(term):
        if part.is_polynomial(z):
            polynomial *= part
        elif isinstance(part, sp.exp):
            exponent += part.args[0]
        elif part.is_Pow and part.base.is_positive and not part.base.has(z):
            exponent += part.exp * sp.log(part.base)
        elif type(part) in _FUNCTIONS and factor[0] == "one":
            shift, inner = _coefficients(part.args[0], 1)
            factor = (_FUNCTIONS[type(part)], inner, shift)
        else:
            raise NoClosedForm
    constant, slope, curvature = _coefficients(exponent, 2)
    return (-curvature, slope, *factor), sp.Poly(polynomial * sp.exp(constant), z)


def _coefficients(expression: sp.Expr, degree: int) -> list[sp.Expr]:
    """Ascending coefficients of a polynomial of at most this degree."""
    if not expression.is_polynomial(z):
        raise NoClosedForm
    polynomial = sp.Poly(expression, z)
    if polynomial.degree() > degree:
        raise NoClosedForm
    return [polynomial.coeff_monomial(z**n) for n in range(degree + 1)]
