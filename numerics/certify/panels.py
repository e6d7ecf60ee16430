r"""Gauss-Legendre panels for the Hermite coefficients between kinks, with a proof of their error.

On a panel with centre c and half length r the nodes c + r xi and the values of sigma there serve every k: the moments
of xi^l are turned into coefficients by :func:`hermiton.numerics.certify.taylor.from_moments`.

Let f be analytic in the ellipse with foci c +- r and half axes r (rho +- 1/rho)/2, and |f| <= M there. Its Chebyshev
coefficients are at most 2 M rho^-j. The rule with N nodes is exact up to degree 2N - 1, so only T_j with even j >= 2N
leave an error (odd ones integrate to zero in both ways), at most |I(T_j)| + |Q(T_j)| <= 2/(4 N^2 - 1) + 2 each. So

    |integral - rule| <= r M 4 (1 + 1/(4 N^2 - 1)) rho^(-2N)/(1 - rho^-2).

M comes from one complex ball around the rectangle [c - r A, c + r A] x [0, r B] that holds the upper half of the
ellipse: |phi(x + iy)| = phi(x) exp(y^2/2), and by Cauchy's estimate on the generating function exp(xt - t^2/2),
|He_k(x)|/sqrt(k!) <= sqrt(k!) t^-k exp(|x| t + t^2/2) for each t > 0; the least of these bounds grows with k, since it
is reached at t < sqrt(k). Where no ellipse does, the panel is halved; where the integrand is negligible, its bound is
added to the error.

Source: L. N. Trefethen, Is Gauss quadrature better than Clenshaw-Curtis?, SIAM Review 50 (2008), theorem 4.5; K.
Petras, Self-validating integration and approximation of piecewise analytic functions, J. Comput. Appl. Math. 145
(2002).
"""

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import flint
from flint import acb, arb, arb_mat

from ...theory.balls import BallProgram
from .law import Law, NotEnclosed
from .taylor import from_moments

__all__ = ["Panel", "fit", "gauss_error", "panel_sum", "panels"]

# Foci of the ellipses tried, from wide to narrow.
_RHO = (16.0, 8.0, 4.0, 2.75, 2.0, 1.6)
_MAX_PANELS = 3000
_LONGEST = 4.0


class Panel(NamedTuple):
    """An interval with a rule; no ``nodes`` means that the integral is within the error of zero."""

    left: Any
    right: Any
    nodes: int
    error: Any


def gauss_error(half: Any, largest: Any, rho: float, count: int) -> Any:
    """Error of a Gauss-Legendre rule.

    Parameters
    ----------
    half, largest : flint.arb
        r and M.
    rho : float
        Sum of the half axes of the ellipse, over r.
    count : int
        N.

    Returns
    -------
    flint.arb
    """
    ratio = 1 / arb(rho)
    return (4 * half * largest * (1 + arb(1) / (4 * count**2 - 1)) * ratio ** (2 * count) / (1 - ratio**2)).upper()


def _largest(function: Callable[..., Any], m: Any, s: Any, area: Any, order: int, analytic: bool) -> Any:
    """Bound |sigma(m + s x) He_k(x) phi(x)|/sqrt(k!) on a complex ball; non-finite if sigma is not analytic there."""
    size = function(m + s * area, analytic).abs_upper()
    if not size.is_finite():
        return size
    height = abs(area.imag).upper()
    nearest, farthest = abs(area.real).lower().max(arb(0)), abs(area).upper()
    bound = size * ((height * height - nearest * nearest) / 2).exp() / (2 * arb.pi()).sqrt()
    if order:
        far = float(farthest.mid())
        t = arb(2.0 * order / (math.sqrt(far * far + 4.0 * order) + far))
        bound *= (arb(order + 1).lgamma() / 2 - t.log() * order + farthest * t + t * t / 2).exp()
    return bound.upper()


def fit(
    function: Callable[..., Any], m: Any, s: Any, left: Any, right: Any, order: int, log_goal: float, most: int
) -> Panel | None:
    """The rule for one panel, or None if the panel has to be halved.

    Parameters
    ----------
    function : callable
        sigma on complex balls.
    m, s : flint.arb
        Mean and deviation.
    left, right : flint.arb
        Ends.
    order : int
        Largest k.
    log_goal : float
        Logarithm of the error allowed, in units of sqrt(k!).
    most : int
        Most nodes worth having.

    Returns
    -------
    Panel or None
    """
    centre, half = (left + right) / 2, (right - left) / 2
    real = acb(centre + half * arb(0, 1))
    bound = 2 * half * _largest(function, m, s, real, order, False)
    if bound.is_finite() and (bound == 0 or bound.log() < log_goal):
        return Panel(left, right, 0, bound.upper())
    best: tuple[int, float, Any] | None = None
    for rho in _RHO:
        wide, high = (arb(rho) + 1 / arb(rho)) / 2, (arb(rho) - 1 / arb(rho)) / 2
        area = acb(centre + half * wide * arb(0, 1), half * high * arb(0.5, 0.5))
        largest = _largest(function, m, s, area, order, True)
        if not largest.is_finite():
            continue
        size = float((largest * half).max(arb(2) ** -1000).log().mid())
        count = max(2, math.ceil((size + 1.8 - log_goal) / (2.0 * math.log(rho))))
        if best is not None and count > best[0]:
            break
        best = count, rho, largest
    if best is None or best[0] > most:
        return None
    count = _rung(best[0])
    return Panel(left, right, count, gauss_error(half, best[2], best[1], count))


def _rung(count: int) -> int:
    """Few different rules, so that they are found again: multiples of an eighth of the size, and even."""
    grain = max(4, 1 << max(0, count.bit_length() - 3))
    return grain * -(-count // grain)


def panels(
    program: BallProgram, field: Law, left: Any, right: Any, order: int, log_goal: float, bits: int
) -> list[Panel]:
    """Cut an interval of x into panels whose rules are proved to be accurate.

    Parameters
    ----------
    program : BallProgram
        sigma on the interval.
    field : Law
        Mean and deviation.
    left, right : flint.arb
        Ends.
    order : int
        Largest k.
    log_goal : float
        Logarithm of the error of all panels together, in units of sqrt(k!); exceeded if there are very many.
    bits : int
        Bits of the sums to be taken: rules with far more nodes than digits are not worth their making.

    Returns
    -------
    list of Panel

    Raises
    ------
    NotEnclosed
        If too many panels are needed.
    """
    most = 24 + bits // 2
    done: list[Panel] = []
    # at full precision, so that a panel much shorter than its distance from zero is told from a singularity beside it
    m, s = field.balls()
    function = program.complex()
    pieces = max(1, math.ceil(float((right - left).mid()) / _LONGEST)) if bool(right - left < 64) else 1
    marks = [left + (right - left) * i / pieces for i in range(pieces + 1)]
    waiting = list(pairwise(marks))
    while waiting:
        a, b = waiting.pop()
        found = fit(function, m, s, a, b, order, log_goal - 5.0, most)
        if found is not None:
            done.append(found)
        else:
            middle = ((a + b) / 2).mid()
            waiting += [(a, middle), (middle, b)]
        if len(done) + len(waiting) > _MAX_PANELS:
            raise NotEnclosed(f"more than {_MAX_PANELS} panels are needed, as if it had more singularities than kinks")
    return done


@lru_cache(maxsize=64)
def _rule(count: int, order: int, bits: int) -> tuple[list[Any], Any]:
    """Gauss-Legendre nodes, and the matrix w_i xi_i^l, rows l = 0, ..., order."""
    nodes, weights = [], []
    for i in range(count):
        node, weight = arb.legendre_p_root(count, i, weight=True)
        nodes.append(node)
        weights.append(weight)
    rows = [weights]
    for _ in range(order):
        rows.append([v * x for v, x in zip(rows[-1], nodes, strict=True)])
    return nodes, arb_mat(rows)


def panel_sum(panel: Panel, program: BallProgram, field: Law, order: int) -> list[Any]:
    """The rule's value of (integral of sigma He_k phi over the panel)/k! at the current precision; k = 0, ..., order.

    Parameters
    ----------
    panel : Panel
        With nodes.
    program, field, order
        As in :func:`panels`.

    Returns
    -------
    list of flint.arb
    """
    nodes, matrix = _rule(panel.nodes, order, flint.ctx.prec)
    f = program.real()
    m, s = field.balls()
    centre, half = (panel.left + panel.right) / 2, (panel.right - panel.left) / 2
    scale = half / (2 * arb.pi()).sqrt()
    values = []
    for node in nodes:
        x = centre + half * node
        values.append(f(m + s * x) * (-x * x / 2).exp())
    moments = (matrix * arb_mat(panel.nodes, 1, values)).entries()
    for l in range(order + 1):
        moments[l] *= scale
        scale *= half
    found = from_moments(centre, moments, order)
    return [found[k] for k in range(order + 1)]
