"""How fast the Hermite coefficients c_k = h_k/sqrt(k!) of sigma(m + s x) decay, from where sigma is not smooth.

Kinks give a power of k, singularities at height a above the real line exp(-a sqrt(k)/s), and entire functions more. The
reasons, in the order in which they are tried:

* A polynomial has none beyond its degree.
* Stein's lemma, h_k = s^j E[sigma^(j)(m + s x) He_(k-j)(x)], is an identity for a sigma with kinks if the jumps of the
  derivatives enter as point masses: a jump D of derivative p at t gives s^p D phi(u) He_(k-p-1)(u), u = (t - m)/s. What
  is left is at most a multiple of k^(-(p+2)/2) by Parseval, and that is less than the first jumps give, k^(-(2p+3)/4).
* sum_k h_k t^k/k! = E[sigma(m + s (x + t))] is entire in t for functions sigma of exponential or Gaussian type, and its
  order and type give limsup |h_k|^(1/k), or limsup |c_k|^(1/k).
* sigma analytic for |Im z| < a, and not in a wider strip: limsup log|c_k|/sqrt(k) = -a/s (Hille 1940). Mind the
  variable: for the weight exp(-y^2), y = x/sqrt(2), the strip has the half-width a/sqrt(2), and the law
  exp(-(a/sqrt(2)) sqrt(2k)) is the same. A pole A (z - z0)^(-q) of the derivative n at height a contributes
  2 Re(A E[(x - z0)^(-q) He_(k-n)])/sqrt(k!), a parabolic cylinder function whose saddle point gives `leading`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import sympy as sp

from ..errors import argument_error
from ..notation import z
from ..real_line import NotRealError, Undecided, growth
from ..singularities import Strip, strip
from .numbers import InOrder
from .shape import kinks
from .table import Fact

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["Decay", "decay", "decay_fact"]

k = sp.Symbol("k", positive=True, integer=True)
"""The order of the coefficient, in the formulas of :class:`Decay`."""

_HILLE = "Hille 1940, Contributions to the theory of Hermitian series II"
_LEVIN = "Levin, Lectures on entire functions, section 1.3"
_SZEGO = "Szego, Orthogonal polynomials, theorem 8.22.6"
_HYPERBOLIC = [sp.sinh, sp.cosh]


@dataclass(frozen=True)
class Decay:
    """Law of the coefficients c_k = h_k/sqrt(k!) for large k.

    Parameters
    ----------
    kind : str
        ``'finite'`` (a polynomial), ``'exponential type'`` (|h_k|^(1/k) -> rate), ``'geometric'`` (|c_k|^(1/k) ->
        rate), ``'entire'`` (faster than exp(-a sqrt(k)) for every a), ``'strip'`` (log|c_k|/sqrt(k) -> -rate) or
        ``'algebraic'`` (|c_k| k^rate bounded); limits are upper limits.
    rate : sympy.Expr or None
        As said; the degree of a polynomial, None for ``'entire'``.
    leading : sympy.Expr or None
        A function of the symbol `k` with c_k = leading + o(envelope), where it is known: from kinks and poles.
    envelope : sympy.Expr or None
        The size of `leading` without its oscillation.
    reason : str
        Why.
    standing : str
        ``'proved'`` or ``'cited'``.
    """

    kind: str
    rate: sp.Expr | None
    leading: sp.Expr | None
    envelope: sp.Expr | None
    reason: str
    standing: str

    def __str__(self) -> str:
        return {
            "finite": f"none beyond k = {self.rate}",
            "exponential type": f"|c_k| ~ ({self.rate})^k/sqrt(k!)",
            "geometric": f"|c_k|^(1/k) -> {self.rate}",
            "entire": "faster than exp(-a sqrt(k)) for every a",
            "strip": f"log|c_k| ~ -({self.rate}) sqrt(k)",
            "algebraic": f"|c_k| ~ k^(-{self.rate})",
        }[self.kind]


@lru_cache(maxsize=256)
def decay(activation: Activation, mean: sp.Expr = sp.S.Zero, std: sp.Expr = sp.S.One) -> Decay | None:
    """The law of decay of the Hermite coefficients of sigma(m + s x).

    Parameters
    ----------
    activation : Activation
        sigma.
    mean, std : sympy.Expr
        m and s > 0, exact.

    Returns
    -------
    Decay or None
        None if it is undecided; :func:`decay_fact` says what is missing.

    Raises
    ------
    AssumptionError
        If `std` is not positive.

    >>> from hermiton.theory.activation import Activation
    >>> str(decay(Activation("tanh"))), str(decay(Activation("relu"))), str(decay(Activation("erf")))
    ('log|c_k| ~ -(pi/2) sqrt(k)', '|c_k| ~ k^(-5/4)', '|c_k|^(1/k) -> sqrt(2)/2')
    """
    found = _decay(activation, sp.sympify(mean, strict=True), sp.sympify(std, strict=True))
    return found if isinstance(found, Decay) else None


def decay_fact(activation: Activation) -> Fact:
    """The law of decay at mean 0 and standard deviation 1.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    Fact
    """
    name = "decay of c_k"
    found = _decay(activation, sp.S.Zero, sp.S.One)
    if isinstance(found, str):
        return Fact(name, None, found, "undecided")
    return Fact(name, found, found.reason, found.standing)


def _decay(activation: Activation, mean: sp.Expr, std: sp.Expr) -> Decay | str:
    """The law, or what is missing."""
    if not std.is_positive or not mean.is_real:
        raise argument_error("std", std, f"or the mean {mean} is not admissible", "use a real mean and a positive std")
    if activation.degree is not None:
        degree = sp.Integer(activation.degree)
        return Decay("finite", degree, None, None, "sigma is a polynomial of this degree", "proved")
    if len(activation.pieces) > 1:
        return _algebraic(activation, mean, std)
    expression = activation.pieces[0].expression
    gaussian = _entire_of_order_two(expression, std)
    if gaussian is not None:
        return gaussian
    band = strip(activation)
    if band.half_width is None:
        return f"the strip of analyticity: {band.reason}"
    if not _tame(expression):
        return "the growth of sigma within complex strips is not known to stay below exp(z^2/4)"
    if band.half_width.is_infinite:
        reason = "sigma is entire and of tame growth in every strip"
        return Decay("entire", None, None, None, f"{reason}; {_HILLE}", "cited")
    return _from_strip(band, mean, std)


# -- kinks ------------------------------------------------------------------------------------------------------------


def _algebraic(activation: Activation, mean: sp.Expr, std: sp.Expr) -> Decay | str:
    found = kinks(activation)
    if any(kink.order is None for kink in found):
        return "the order of a kink"
    order = min(kink.order for kink in found if kink.order is not None)
    for piece, direction in ((activation.pieces[0], -1), (activation.pieces[-1], 1)):
        try:
            rate = growth(sp.diff(piece.expression, z, order + 2), direction, piece.lo, piece.hi)
        except (Undecided, NotRealError):
            return f"the growth of the derivative of order {order + 2}"
        q, _, a = rate.exponents[0] if rate.exponents else (sp.S.Zero, sp.S.Zero, sp.S.Zero)
        if rate.grows and (bool(q > 2) or (q == 2 and bool(4 * a * std**2 >= 1))):
            return f"the derivative of order {order + 2} has no Gaussian second moment"
    leading, size, central = sp.S.Zero, sp.S.Zero, True
    n = k - order - 1
    power = sp.Rational(2 * order + 3, 4)
    for kink in found:
        if kink.order != order:
            continue
        u = (kink.point - mean) / std
        central = central and bool(u.is_zero)
        # phi(u) He_n(u)/sqrt(n!) = (2 pi)^(-1/2) (2/(pi n))^(1/4) e^(-u^2/4) cos(sqrt(n + 1/2) u - n pi/2) + ...
        height = kink.jump * std**order * sp.exp(-(u**2) / 4) / sp.sqrt(2 * sp.pi) * (2 / sp.pi) ** sp.Rational(1, 4)
        leading += height * k**-power * sp.cos(sp.sqrt(n + sp.S.Half) * u - n * sp.pi / 2)
        size += abs(height)
    where = ", ".join(str(kink) for kink in found if kink.order == order)
    reason = f"Stein's lemma leaves phi(u) He_n(u), n = k - {order + 1}, at each kink: {where}"
    law = "He_n(0) is known in closed form" if central else f"asymptotics of He_n: {_SZEGO}"
    return Decay("algebraic", power, leading, size * k**-power, f"{reason}; {law}", "proved" if central else "cited")


# -- entire functions of order at most two ----------------------------------------------------------------------------


def _entire_of_order_two(expression: sp.Expr, std: sp.Expr) -> Decay | None:
    """Sums of polynomials times exp(quadratic), sin and cos of linear forms, and at most one erf(linear) a term.

    A term exp(q z^2 + ...) gives E[sigma(m + s(x + t))] the exponent q' t^2 with q' = q s^2/(1 - 2 q s^2); the factor
    erf(b z + ...) adds the term with q - b^2 to the one with q, since it is exp(-b^2 z^2) in the imaginary direction.
    Different terms can't cancel: products of powers and these functions are linearly independent.
    """
    terms = _terms(expression)
    if terms is None:
        return None
    slopes: set[sp.Expr] = set()
    quadratic: set[sp.Expr] = set()
    for q, slope in terms:
        if q.is_zero:
            slopes.add(abs(slope))
        else:
            quadratic.add(q)
    if quadratic:
        types = [abs(q) * std**2 / (1 - 2 * q * std**2) for q in quadratic]
        largest = max(types, key=InOrder)
        ratio = sp.sqrt(sp.cancel(2 * largest))
        reason = (
            f"E[sigma(m + s(x + t))] is entire in t of order 2 and type {largest}, so that |c_k|^(1/k) -> sqrt(2 type)"
        )
        return Decay("geometric", ratio, None, None, f"{reason}; {_LEVIN}", "cited")
    rate = max(slopes, key=InOrder) * std
    if rate.is_zero:
        return None
    reason = (
        "a sum of polynomials times exp(b z): E[exp(b s x) He_k(x)] = (b s)^k exp(b^2 s^2/2), and the largest |b| wins"
    )
    return Decay("exponential type", rate, None, None, reason, "proved")


def _terms(expression: sp.Expr) -> list[tuple[sp.Expr, sp.Expr]] | None:
    """(q, b) for every function exp(q z^2 + b z) in it, an erf counted as two; None if there is another function."""
    body = expression.rewrite(_HYPERBOLIC, sp.exp).rewrite([sp.sin, sp.cos], sp.exp)
    body = body.replace(sp.erfc, lambda u: 1 - sp.erf(u))
    collected: dict[tuple[sp.Expr, sp.Expr, sp.Expr | None], sp.Expr] = {}
    for term in sp.Add.make_args(sp.expand(body, power_exp=False)):
        exponent, rest, form = sp.S.Zero, sp.S.One, None
        for factor in sp.Mul.make_args(term):
            base, power = factor.as_base_exp()
            if isinstance(factor, sp.exp):
                exponent += factor.args[0]
            elif isinstance(base, sp.erf) and power == 1 and form is None:
                form = sp.expand(base.args[0])
            else:
                rest *= factor
        exponent = sp.expand(exponent)
        if not rest.is_polynomial(z) or not exponent.is_polynomial(z) or sp.degree(exponent, z) > 2:
            return None
        if form is not None and not (form.is_polynomial(z) and sp.degree(form, z) == 1):
            return None
        q, b = exponent.coeff(z, 2), exponent.coeff(z, 1)
        if q.has(sp.I):
            return None
        key = (q, b, form)
        collected[key] = collected.get(key, sp.S.Zero) + rest * sp.exp(exponent - q * z**2 - b * z)
    found = []
    for (q, b, form), coefficient in collected.items():
        if sp.expand(coefficient).is_zero:
            continue
        found.append((q, b))
        if form is not None:
            found.append((q - form.coeff(z, 1) ** 2, b))
    return found or None


# -- strips -----------------------------------------------------------------------------------------------------------


def _tame(expression: sp.Expr) -> bool:
    """Whether sigma(x + i y) stays below exp(a x^2), a < 1/4, in every closed strip without singularities.

    Real growth is known to do so. Off the axis exp, sin and cos may grow faster: sin(z^3) grows like exp(3 x^2 |y|).
    """
    for node in sp.preorder_traversal(expression):
        if not isinstance(node, sp.exp | sp.sin | sp.cos | sp.sinh | sp.cosh | sp.erf | sp.erfc | sp.erfi):
            continue
        argument = node.args[0]
        if argument.is_polynomial(z):
            poly = sp.Poly(argument, z)
            decaying = isinstance(node, sp.exp) and poly.degree() % 2 == 0 and poly.LC().is_negative
            if poly.degree() <= 2 or decaying or isinstance(node, sp.erf | sp.erfc):
                continue
            return False
        if not _at_most_linear(argument):
            return False
    return True


def _at_most_linear(expr: sp.Expr) -> bool:
    """Whether an expression is shown to grow at most linearly in strips: saturating functions, roots, logarithms."""
    if not expr.has(z) or expr == z:
        return True
    if isinstance(expr, sp.tanh | sp.atan | sp.log | sp.asinh | sp.erf | sp.sech):
        return _tame(expr)
    if isinstance(expr, sp.sin | sp.cos) and expr.args[0].is_polynomial(z):
        return bool(sp.degree(expr.args[0], z) <= 1)
    if isinstance(expr, sp.Add):
        return all(_at_most_linear(a) for a in expr.args)
    if isinstance(expr, sp.Mul):
        dependent = [a for a in expr.args if a.has(z)]
        return len(dependent) == 1 and _at_most_linear(dependent[0])
    if isinstance(expr, sp.Pow) and expr.base.is_polynomial(z) and expr.exp.is_Rational:
        return bool(sp.degree(expr.base, z) * expr.exp <= 1)
    return False


def _from_strip(band: Strip, mean: sp.Expr, std: sp.Expr) -> Decay:
    rate = band.half_width / std
    reason = (
        f"sigma is analytic exactly for |Im z| < {band.half_width} ({band.kind} at {band.singularities[0]}); {_HILLE}"
    )
    if not band.poles:
        return Decay("strip", rate, None, None, reason, "cited")
    order = max(pole.order for pole in band.poles)
    n = band.derivative
    power = sp.Rational(2 * order - 3 - 2 * n, 4)
    leading, size = sp.S.Zero, sp.S.Zero
    for pole in band.poles:
        if pole.order != order:
            continue
        point = sp.expand((pole.point - mean) / std)
        # d^n/dx^n of sigma(m + s x) has the pole A s^(n-q) (x - x0)^(-q); E[(x - x0)^(-q) He_j(x)] is
        # i^q (-i)^j/(q-1)! times the integral over s > 0 of s^(j+q-1) exp(-s^2/2 + i s x0), taken at its saddle sqrt(k)
        height = 2 * pole.coefficient * std ** (n - order) * sp.sqrt(sp.pi) * (2 * sp.pi) ** sp.Rational(-1, 4)
        height = height * sp.I ** (order + n) * sp.exp(-(point**2) / 4) / sp.factorial(order - 1)
        real, imaginary = sp.expand(height, complex=True).as_real_imag()
        across, up = point.as_real_imag()
        phase = sp.sqrt(k) * across - k * sp.pi / 2
        leading += k**power * sp.exp(-up * sp.sqrt(k)) * (real * sp.cos(phase) - imaginary * sp.sin(phase))
        size += sp.sqrt(real**2 + imaginary**2)
    return Decay("strip", rate, leading, size * k**power * sp.exp(-rate * sp.sqrt(k)), reason, "cited")
