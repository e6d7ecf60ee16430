r"""Trapezoidal rule for the Hermite coefficients of an analytic activation, with a proof of its error.

Let f(x) = sigma(m + s x) He_k(x) phi(x), h > 0, L = (n + 1/2) h, and let f be analytic on the closed rectangle
|Re x| <= L, |Im x| <= a. By residues of pi cot(pi x/h)/h, whose poles in the rectangle are the nodes j h, |j| <= n,

    h sum_j f(j h) = (1/2i) (integral around the rectangle of f(x) cot(pi x/h)).

In the upper half plane cot(pi x/h)/(2i) = -1/2 - q/(1 - q), q = exp(2 pi i x/h); in the lower one it is +1/2 + q'/(1 -
q'), q' = exp(-2 pi i x/h). The halves of the contour with -1/2 and +1/2 are deformed to the real line and give the
integral over [-L, L]. What remains is the error:

* on Im x = +-a, |q/(1 - q)| <= 1/(exp(2 pi a/h) - 1). By Cauchy-Schwarz the integral of |f(x + ia)| over [-L, L] is at
  most exp(a^2/2) S H_k, S^2 = integral over [-L, L] of |sigma(m + s (x + ia))|^2 phi, and, since He_k(x + ia) =
  sum_j binom(k, j) (ia)^j He_(k-j)(x), H_k^2 = E|He_k(x + ia)|^2 = sum_j binom(k, j)^2 (k - j)! a^(2j), which is
  k! times the Laguerre polynomial L_k(-a^2). The lines above and below give the same.
* on Re x = +-L, q = -exp(-2 pi y/h), so |q/(1 - q)| = 1/(1 + exp(2 pi y/h)) <= exp(-2 pi y/h). There |phi(L + iy)| =
  phi(L) exp(y^2/2) <= phi(L) exp(a y/2), and |He_k(x)| <= |x|^k <= (L^2 + a^2)^(k/2) if L^2 - a^2 >= 2k: a zero r of
  He_k has r^2 < 4k, so |x^2 - r^2|^2 = (L^2 - y^2 - r^2)^2 + 4 L^2 y^2 <= (L^2 - y^2)^2 + 4 L^2 y^2 = |x|^4. Each of
  the four sides adds at most (L^2 + a^2)^(k/2) phi(L) sum_i P_i exp(-y_i R)/R, R = 2 pi/h - a/2, over layers
  y_i <= y <= y_(i+1) in which |sigma| is at most P_i.

Divided by sqrt(k!) all bounds grow with k, so that the bound at the largest k serves all. The integrals over |x| > L
are bounded by :func:`hermiton.numerics.certify.envelope.tail_bound`. Rounding is carried by the balls.

Source: L. N. Trefethen and J. A. C. Weideman, The exponentially convergent trapezoidal rule, SIAM Review 56 (2014),
section 5; the finite rectangle, whose sides stand midway between nodes, needs no analyticity outside it.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import flint
from flint import arb, arb_mat

from ...theory.balls import BallProgram, precision
from . import strip
from .envelope import Envelope, envelope, least_reach, reach, tail_bound
from .law import BOUND_BITS, Law, NotEnclosed
from .taylor import from_moments

__all__ = ["Grid", "choose_step", "horizontal_error", "line_size", "plan", "sum_on", "vertical_error"]

_WIDEST_STEP = 0.5
_LARGEST_HEIGHT = 40.0
_BLOCK = 256
# Of the strip found, the upper part is left unused, where the nearest singularity makes the function large.
_MARGIN = 0.96


@dataclass(frozen=True)
class Grid:
    """A trapezoidal rule with a proved error.

    Attributes
    ----------
    step
        h, exact in binary.
    count
        n: nodes are j h, -n <= j <= n.
    height
        a.
    error
        Bound on |h sum_j f_k(j h) - E[sigma He_k]|/sqrt(k!), each k up to the order.
    parity
        "even" or "odd" if sigma(m + s x) is, in x; else None.
    """

    step: float
    count: int
    height: float
    error: Any
    parity: str | None

    @property
    def nodes(self) -> int:
        """Evaluations of the activation."""
        return self.count + 1 if self.parity else 2 * self.count + 1


def line_size(norm: Any, height: Any, order: int) -> Any:
    """Bound on the integrals of |f| over both lines Im x = +-a together, in units of sqrt(k!).

    Parameters
    ----------
    norm : flint.arb
        S.
    height : flint.arb
        a.
    order : int
        Largest k.

    Returns
    -------
    flint.arb
    """
    square = height * height
    total = term = arb(1)  # L_k(-a^2) = sum_j C(k, j) a^(2j)/j!, without Arb's own function, which gives NaN at k > 100
    for j in range(order):
        term = term * square * (order - j) / (j + 1) ** 2
        total += term
    return 2 * (square / 2).exp() * norm * total.sqrt()


def horizontal_error(size: Any, height: Any, step: Any) -> Any:
    """Error from the lines Im x = +-a, in units of sqrt(k!).

    Parameters
    ----------
    size : flint.arb
        Of :func:`line_size`.
    height, step : flint.arb
        a and h.

    Returns
    -------
    flint.arb
    """
    return (size / (2 * arb.pi() * height / step).expm1()).upper()


def vertical_error(peaks: list[Any], end: Any, height: Any, step: Any, order: int) -> Any:
    """Error from the sides Re x = +-L, in units of sqrt(k!).

    Parameters
    ----------
    peaks : list of flint.arb
        Largest |sigma| on the right side plus that on the left side, in layers of equal height from the real line up.
    end, height, step : flint.arb
        L, a, h, with L^2 >= a^2 + 2k and 4 pi > a h.
    order : int
        Largest k.

    Returns
    -------
    flint.arb
    """
    rate = 2 * arb.pi() / step - height / 2
    if not (rate > 0 and end * end - height * height >= 2 * order):
        raise NotEnclosed("the rectangle is too narrow for its height")
    exponent = (end * end + height * height).log() * order / 2 - arb(order + 1).lgamma() / 2 - end * end / 2
    layer = height / len(peaks)
    total = sum((peak * (-rate * layer * i).exp() for i, peak in enumerate(peaks)), arb(0))
    return (2 * total * exponent.exp() / ((2 * arb.pi()).sqrt() * rate)).upper()


def plan(program: BallProgram, field: Law, order: int, log_goal: float) -> Grid:
    """Choose a grid whose error is about exp(log_goal), and prove its error.

    Parameters
    ----------
    program : BallProgram
        sigma, smooth on the whole real line.
    field : Law
        Mean and deviation.
    order : int
        Largest k.
    log_goal : float
        Logarithm of the error wanted, in units of sqrt(k!).

    Returns
    -------
    Grid

    Raises
    ------
    NotEnclosed
        If no strip of analyticity or no bound is found.
    """
    with precision(BOUND_BITS):
        m, s = field.balls()
        function = program.complex()
        parity = program.parity if field.mean.is_zero else None
        end, right, left = _ends(program, m, s, order, log_goal - 2.0, parity is not None)
        goal = _best_height(program, m, s, end, -log_goal, parity is not None)
        end = max(end, math.sqrt(goal * goal + 2.0 * order) * (1.0 + 1e-9))
        outer = end + _WIDEST_STEP
        inner = 0.0 if parity else -outer
        height = goal
        if not program.is_entire:
            found = strip.analytic_height(function, m, s, inner, outer, goal)
            height = goal if found == goal else _MARGIN * found
        square = strip.line_norm(function, m, s, inner, outer, height)
        norm = (2 * square if parity else square).sqrt()
        a = arb(height)
        size = line_size(norm, a, order)
        step = choose_step(size, height, log_goal - 0.7)
        count = max(1, math.ceil(end / step - 0.5))
        h = arb(step)
        last = (count + arb(0.5)) * h
        if not last >= end:  # the quotient was rounded
            count, last = count + 1, last + h
        if not (last >= end and last <= outer):  # what was bounded above is the rectangle between these ends
            raise NotEnclosed("the ends of the trapezoidal rule missed the rectangle")
        error = horizontal_error(size, a, h)
        beyond = tail_bound(right, m, s, last, order)
        error += beyond + (beyond if parity else tail_bound(left, m, s, last, order))
        error += _sides(function, m, s, (end, outer, height), (last, a, h), order, log_goal, parity is not None)
        if not error.log() < log_goal + 1.0:
            raise NotEnclosed(f"the bound for the trapezoidal rule stays at {error.str(2, radius=False)}")
        return Grid(step, count, height, error.upper(), parity)


def _sides(
    function: Any,
    m: Any,
    s: Any,
    area: tuple[float, float, float],
    lengths: tuple[Any, Any, Any],
    order: int,
    log_goal: float,
    symmetric: bool,
) -> Any:
    """The error of both vertical sides, from more and more layers until it is small enough."""
    end, outer, height = area
    layers = 1
    while True:
        peaks = strip.peaks(function, m, s, end, outer, height, layers)
        other = peaks if symmetric else strip.peaks(function, m, s, -outer, -end, height, layers)
        error = vertical_error([a + b for a, b in zip(peaks, other, strict=True)], *lengths, order)
        if layers == 64 or (error.is_finite() and error.log() < log_goal - 1.0):
            return error
        layers *= 4


def _ends(
    program: BallProgram, m: Any, s: Any, order: int, log_goal: float, symmetric: bool
) -> tuple[float, Envelope, Envelope]:
    """Where the tails are small enough, and the envelopes of sigma on both of them."""
    start = least_reach(order, log_goal)
    right = envelope(program, m + s * start, arb.pos_inf())
    left = right if symmetric else envelope(program, arb.neg_inf(), m - s * start)
    return max(start, *(reach(e, m, s, order, log_goal) for e in (right, left))), right, left


def _best_height(program: BallProgram, m: Any, s: Any, end: float, digits: float, symmetric: bool) -> float:
    """The height at which the step may be largest, from the size of sigma at a few points: a guess.

    The step is 2 pi a/(digits + log|sigma phi| on the line), up to terms that vary little.
    """
    function = program.complex()
    height = best = min(math.sqrt(2.0 * digits), _LARGEST_HEIGHT)
    least = math.inf
    while height > 0.01:
        size = 0.5 * height * height
        points = (0.0, 0.5 * height, end)
        for x in points if symmetric else (*points, -0.5 * height, -end):
            value = function(m + s * strip.box(x - 0.5, x + 0.5, height, height)).abs_upper()
            if value.is_finite():
                size = max(size, 0.5 * height**2 + float(value.max(arb(1)).log().mid()) - 0.25 * x * x)
            elif program.is_entire:  # elsewhere it says nothing: the height is found by looking at the whole strip
                size = math.inf
        cost = (digits + size) / height
        if cost > least and least * best < 20.0 * digits:
            break
        if cost < least:
            least, best = cost, height
        height *= 0.75
    return best


def choose_step(size: Any, height: float, log_goal: float) -> float:
    """The largest step, of 10 bits, whose horizontal error is below exp(log_goal).

    Parameters
    ----------
    size : flint.arb
        Of :func:`line_size`.
    height : float
        a.
    log_goal : float
        Logarithm of the error wanted.

    Returns
    -------
    float
    """
    log_size = float(size.max(arb(2) ** -1000).log().mid())
    h = min(2.0 * math.pi * height / max(log_size - log_goal, 1.0), _WIDEST_STEP)
    mantissa, exponent = math.frexp(h)
    return math.ldexp(math.floor(mantissa * 1024.0), exponent - 10)


@lru_cache(maxsize=24)
def _powers(first: int, stride: int, order: int, bits: int) -> Any:
    """The matrix i^l, rows l = first, first + stride, ... <= order, columns i = 0, ..., _BLOCK - 1."""
    ratios = [arb(i) ** stride for i in range(_BLOCK)]
    rows = [[arb(i) ** first for i in range(_BLOCK)]]
    for _ in range(first + stride, order + 1, stride):
        rows.append([v * r for v, r in zip(rows[-1], ratios, strict=True)])
    return arb_mat(rows)


def sum_on(grid: Grid, program: BallProgram, field: Law, order: int) -> list[Any]:
    """(h sum_j sigma(m + s j h) He_k(j h) phi(j h))/k! at the current precision; k = 0, ..., order.

    Parameters
    ----------
    grid : Grid
        The nodes.
    program, field, order
        As in :func:`plan`.

    Returns
    -------
    list of flint.arb
    """
    even, odd = _folded(grid, program, field)
    bits = flint.ctx.prec
    h = arb(grid.step)
    total = [arb(0)] * (order + 1)
    for start in range(0, grid.count + 1, _BLOCK):
        # He_k(-x) = (-1)^k He_k(x): even k see the sum, odd k the difference of the values at x and -x
        for first, values in ((0, even), (1, odd)):
            if values is None or first > order:
                continue
            block = values[start : start + _BLOCK]
            block += [arb(0)] * (_BLOCK - len(block))
            column = arb_mat(_BLOCK, 1, block)
            moments = [arb(0)] * (order + 1)
            if start == 0:  # about zero, He_k needs only the powers of its own parity
                moments[first::2] = (_powers(first, 2, order, bits) * column).entries()
            else:
                moments = (_powers(0, 1, order, bits) * column).entries()
            scale = arb(1)
            for l in range(order + 1):
                moments[l] *= scale
                scale *= h
            found = from_moments(start * h, moments, order)
            for k in range(first, order + 1, 2):
                total[k] += found[k]
    return total


def _folded(grid: Grid, program: BallProgram, field: Law) -> tuple[list[Any] | None, list[Any] | None]:
    """Weighted values h phi(x_j) (sigma(m + s x_j) +- sigma(m - s x_j)), j = 0, ..., n; None if zero by parity."""
    f = program.real()
    m, s = field.balls()
    h = arb(grid.step)
    step = s * h
    # phi(j h) by its ratios: w_(j+1) = w_j r_j, r_(j+1) = r_j exp(-h^2)
    weight, ratio, shrink = h / (2 * arb.pi()).sqrt(), (-h * h / 2).exp(), (-h * h).exp()
    if grid.parity:
        values = [weight * f(m)] if grid.parity == "even" else [arb(0)]
        weight *= 2
        for j in range(1, grid.count + 1):
            weight *= ratio
            ratio *= shrink
            values.append(weight * f(step * j))
        return (values, None) if grid.parity == "even" else (None, values)
    first = weight * f(m)
    even, odd = [first], [arb(0)]
    for j in range(1, grid.count + 1):
        weight *= ratio
        ratio *= shrink
        shift = step * j
        above, below = weight * f(m + shift), weight * f(m - shift)
        even.append(above + below)
        odd.append(above - below)
    return even, odd
