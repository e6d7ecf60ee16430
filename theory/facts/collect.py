"""All facts of an activation, gathered in reading order."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import AccuracyError
from ..gaussian.dual import dual_kernel
from ..goodness import UNDECIDED, goodness
from ..singularities import strip
from .decay import decay_fact
from .exponents import generative_exponent, information_exponent_fact
from .shape import Homogeneity, kinks, shape_facts
from .table import Fact, Facts
from .vanishing import vanishing_facts

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["facts"]


@lru_cache(maxsize=256)
def facts(activation: Activation) -> Facts:
    """The facts of an activation, each with its reason and standing.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    Facts
    """
    shape = shape_facts(activation)
    homogeneous = next(fact for fact in shape if fact.name == "homogeneity")
    entries = [
        *shape,
        information_exponent_fact(activation),
        _generative(activation),
        *vanishing_facts(activation),
        _strip(activation),
        decay_fact(activation),
        _dual(activation),
        _arc_cosine(activation, homogeneous),
        _good(activation),
    ]
    return Facts(activation.name, activation.expression, tuple(entries))


def _generative(activation: Activation) -> Fact:
    name = "generative exponent"
    try:
        found = generative_exponent(activation)
    except AccuracyError as error:
        return Fact(name, None, str(error), "undecided")
    return Fact(name, found.value, found.reason, found.standing)


def _strip(activation: Activation) -> Fact:
    found = strip(activation)
    return Fact("strip of analyticity", found if found.decided else None, found.reason, _standing(found.decided))


def _dual(activation: Activation) -> Fact:
    """The kernel; without a closed form it is still Mehler's series, which converges for every sigma of L^2."""
    kernel = dual_kernel(activation)
    if kernel.step is None:
        return Fact("dual kernel", kernel, f"{kernel.reason}, with a bound on its tail", "proved")
    return Fact("dual kernel", kernel, f"{kernel.reason}; {kernel.step.result.detail}", "proved")


def _arc_cosine(activation: Activation, homogeneous: Fact) -> Fact:
    name = "arc-cosine order"
    power = homogeneous.value
    if isinstance(power, Homogeneity) and power.degree.is_Integer and kinks(activation):
        same, opposite = power.left**2 + power.right**2, 2 * power.left * power.right
        reason = f"the dual kernel is ({same}) J(rho) + ({opposite}) J(-rho), J(rho) = E[(xy)^n 1(x > 0) 1(y > 0)]"
        return Fact(name, int(power.degree), reason, "proved")
    if not activation.kinks:
        return Fact(name, "none", "sigma is smooth, and each z^n step(z) has a kink at 0", "proved")
    if power is not None:
        return Fact(name, "none", "sigma is not homogeneous of an integer degree", "proved")
    return Fact(name, None, "it is not shown to be homogeneous", "undecided")


def _good(activation: Activation) -> Fact:
    found = goodness(activation)
    decided = found.status != UNDECIDED
    return Fact("good activation", found if decided else None, found.reason, _standing(decided))


def _standing(decided: bool) -> str:
    return "proved" if decided else "undecided"
