"""Information exponent and generative exponent, each with the reason for every order before it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import sympy as sp

from ..balls import gaussian_integral_1d
from ..errors import AccuracyError, AssumptionError
from ..formula import hermite_he
from ..gaussian.hermite import exact_coefficient, zero_by_parity
from ..gaussian.wick import wick
from ..notation import z
from ..real_line import NotRealError, Undecided, growth
from .extrema import extrema
from .numbers import is_nonzero, real_zero
from .polynomials import parity_split
from .table import Fact

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["GenerativeExponent", "generative_exponent", "information_exponent_fact"]

_positive = sp.Dummy("r", positive=True)
_LARGEST = 6
_POINTS = (sp.Rational(2, 7), sp.Rational(16, 7))
_POWERS = (1, 2, 3)
_DIGITS = 20


def information_exponent_fact(activation: Activation) -> Fact:
    """The information exponent with its reasons.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    Fact
    """
    name = "information exponent"
    try:
        value = activation.information_exponent
    except (AccuracyError, AssumptionError) as error:
        return Fact(name, None, str(error), "undecided")
    reasons = []
    for k in range(1, value):
        by_parity = zero_by_parity(activation, k)
        reasons.append(f"h_{k} = 0 {'by parity' if by_parity else 'exactly'}")
    shown = _shown(activation, value)
    if shown:
        return Fact(name, value, "; ".join([*reasons, f"h_{value} {shown}"]), "proved")
    ball = gaussian_integral_1d(activation.expression * hermite_he(value, z), z, sp.S.One)
    return Fact(name, value, "; ".join([*reasons, f"h_{value} is in {ball.str(6)}"]), "enclosed")


@dataclass(frozen=True)
class GenerativeExponent:
    """Least k >= 1 for which E[He_k(Z) | sigma(Z)] does not vanish, Z ~ N(0, 1).

    Parameters
    ----------
    value : int
        The exponent.
    reason : str
        Why it vanishes for every lower k, and which transformation shows that it does not for this one.
    standing : str
        ``'proved'`` or ``'enclosed'``.
    """

    value: int
    reason: str
    standing: str


@lru_cache(maxsize=256)
def generative_exponent(activation: Activation) -> GenerativeExponent:
    """The generative exponent of noiseless labels y = sigma(Z).

    Order k is passed over if E[T(sigma(Z)) He_k(Z)] = 0 is shown for every T, and taken if it is shown not to vanish
    for one T.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    GenerativeExponent

    Raises
    ------
    AccuracyError
        If for some order neither is found.

    Notes
    -----
    Source: Damian, Pillaud-Vivien, Lee and Bruna 2024, Computational-statistical gaps in Gaussian single-index models.

    >>> from hermiton.theory.activation import Activation
    >>> generative_exponent(Activation("he3")).value, generative_exponent(Activation("square")).value
    (1, 2)
    """
    reasons = []
    for k in range(1, _LARGEST + 1):
        if k % 2 and activation.parity == "even":
            reasons.append(f"k={k}: sigma is even, so that Z given sigma(Z) is symmetric")
            continue
        witness = _witness(activation, k)
        if witness is None:
            vanishing = _closed_path(activation, k)
            if vanishing:
                reasons.append(f"k={k}: {vanishing}")
                continue
            raise AccuracyError(
                f"the generative exponent of {activation.name} is undecided at order {k}: for T = y, y^2, y^3, tanh(y)"
                f" E[T(y) He_{k}] is zero to {_DIGITS} digits or can't be had, and no reason for a zero is known"
            )
        text, standing = witness
        return GenerativeExponent(k, "; ".join([*reasons, text]), standing)
    raise AccuracyError(f"the generative exponent of {activation.name} is larger than {_LARGEST}: {'; '.join(reasons)}")


def _closed_path(activation: Activation, k: int) -> str:
    """Show E[T(sigma) He_k] = 0 for every T, for an even sigma and even k; empty if it is not shown.

    If He_k phi = C sigma^a sigma' on z > 0, then E[T(sigma) He_k] = 2 C int T(y) y^a dy from sigma(0) to sigma(oo), and
    there is nothing in between if both are equal.
    """
    if activation.parity != "even" or len(activation.pieces) > 1:
        return ""
    sigma = activation.pieces[0].expression
    if not (sigma.subs(z, 0).is_zero and sigma.subs(z, _positive).is_positive):
        return ""
    try:
        if not growth(sigma, 1).decays:
            return ""
    except (NotRealError, Undecided):
        return ""
    slope, polynomial = sp.diff(sigma, z), hermite_he(k, z)
    # a is the ratio of the logarithmic derivatives of He_k phi/sigma' and of sigma
    ratio = (sp.diff(polynomial, z) / polynomial - z - sp.diff(slope, z) / slope) * sigma / slope
    if is_nonzero(ratio.subs(z, _POINTS[0]) - ratio.subs(z, _POINTS[1])):
        return ""
    power = sp.cancel(sp.simplify(ratio))
    if power.has(z):
        return ""
    return (
        f"He_{k}(z) exp(-z^2/2) is a multiple of sigma^({power}) sigma' for z > 0, and sigma is 0 at both ends, so"
        f" that E[T(sigma) He_{k}] is an integral over a closed path for every T"
    )


def _shown(activation: Activation, k: int) -> str | None:
    """The coefficient h_k where it is exact, or why it can't vanish; empty if it is zero, None if nothing is known."""
    exact = None
    if activation.degree is None:
        exact = exact_coefficient(activation, k)
    if exact is None:
        polynomial, _ = parity_split(activation).part(k % 2)
        if polynomial is not None:
            exact = wick(sp.expand(polynomial * hermite_he(k, z)), (z,), sp.Matrix([[1]]))
    if exact is not None:
        return {False: f"= {exact}", True: "", None: None}[real_zero(exact)]
    if k == 1 and len(activation.pieces) == 1:
        slope = extrema(sp.diff(activation.pieces[0].expression, z))
        if slope.nonnegative or slope.nonpositive:
            return f"= E[sigma'], and sigma' is nowhere {'negative' if slope.nonnegative else 'positive'}"
    return None


def _witness(activation: Activation, k: int) -> tuple[str, str] | None:
    """A transformation T with E[T(sigma) He_k] != 0, and how well that stands."""
    for j in _POWERS:
        if activation.degree is not None:
            value = wick(sp.expand(activation.expression**j * hermite_he(k, z)), (z,), sp.Matrix([[1]]))
            if value != 0:
                return f"k={k}: E[T(y) He_{k}] = {value} for T(y) = y^{j}", "proved"
            continue
        try:
            power = activation if j == 1 else type(activation)(activation.expression**j)
        except AssumptionError:
            break  # no second moment, or the constant 1 of a sign
        if zero_by_parity(power, k):
            continue
        transformation = "y" if j == 1 else f"y^{j}"
        shown = _shown(power, k)
        if shown:
            return f"k={k}: E[T(y) He_{k}] {shown} for T(y) = {transformation}", "proved"
        if shown is not None:
            continue
        found = _enclosed(power.expression, k)
        if found:
            return f"k={k}: E[T(y) He_{k}] is in {found} for T(y) = {transformation}", "enclosed"
    found = _enclosed(sp.tanh(activation.expression), k)
    return (f"k={k}: E[T(y) He_{k}] is in {found} for T(y) = tanh(y)", "enclosed") if found else None


def _enclosed(expression: sp.Expr, k: int) -> str:
    """A ball around E[f He_k] that excludes zero, as text."""
    try:
        ball = gaussian_integral_1d(expression * hermite_he(k, z), z, sp.S.One, _DIGITS)
    except (AccuracyError, AssumptionError):
        return ""
    return "" if ball.contains(0) else str(ball.str(6))
