"""Hermite coefficients from moments about any centre, by one product of short power series.

With u = x - c the generating function is sum_k He_k(x) t^k/k! = exp(c t - t^2/2) exp(u t). So from the moments
mu_l = integral of u^l g(x) dx the numbers (integral of He_k g)/k! are the coefficients of the product of
exp(c t - t^2/2) and sum_l mu_l t^l/l!. About c = 0 the sum's rounding is magnified by at most
E[(sum of the absolute values of the terms of He_k(x))]/sqrt(k!), close to 2^(k/2).
"""

from functools import lru_cache
from typing import Any

import flint
from flint import arb, arb_poly

__all__ = ["factorials", "from_moments", "inverse_factorials", "root_factorials"]


def from_moments(centre: Any, moments: list[Any], order: int) -> Any:
    """(integral of He_k(x) g(x) dx)/k!, k = 0, ..., order.

    Parameters
    ----------
    centre : flint.arb
        c.
    moments : list of flint.arb
        mu_l = integral of (x - c)^l g(x) dx, l = 0, ..., order.
    order : int
        Largest k.

    Returns
    -------
    flint.arb_poly
        Its first order + 1 coefficients are the numbers.
    """
    scaled = [mu * f for mu, f in zip(moments, inverse_factorials(order, flint.ctx.prec), strict=True)]
    return arb_poly(_hermite_over_factorial(centre, order)) * arb_poly(scaled)


def _hermite_over_factorial(centre: Any, order: int) -> list[Any]:
    if centre == 0:
        return _at_zero(order, flint.ctx.prec)
    values = [arb(1), centre]
    for k in range(1, order):
        values.append((centre * values[k] - values[k - 1]) / (k + 1))
    return values[: order + 1]


@lru_cache(maxsize=64)
def _at_zero(order: int, bits: int) -> list[Any]:
    values = [arb(1), arb(0)]
    for k in range(1, order):
        values.append(-values[k - 1] / (k + 1))
    return values[: order + 1]


@lru_cache(maxsize=64)
def inverse_factorials(order: int, bits: int) -> list[Any]:
    """1/l! for l = 0, ..., order at the current precision.

    Parameters
    ----------
    order : int
        Largest l.
    bits : int
        The current precision; part of the key under which the list is kept.

    Returns
    -------
    list of flint.arb
    """
    return [1 / v for v in factorials(order, bits)]


@lru_cache(maxsize=64)
def factorials(order: int, bits: int) -> list[Any]:
    """Factorials k! for k = 0, ..., order at the current precision.

    Parameters
    ----------
    order, bits
        As in :func:`inverse_factorials`.

    Returns
    -------
    list of flint.arb
    """
    return [arb(k).fac() for k in range(order + 1)]


@lru_cache(maxsize=64)
def root_factorials(order: int, bits: int) -> list[Any]:
    """sqrt(k!) for k = 0, ..., order at the current precision.

    Parameters
    ----------
    order, bits
        As in :func:`inverse_factorials`.

    Returns
    -------
    list of flint.arb
    """
    return [v.sqrt() for v in factorials(order, bits)]
