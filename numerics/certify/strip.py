"""Where an activation is analytic around the real line, and how large it is there: proved with complex balls.

A compiled expression that gives a finite value on a complex box is analytic on the closed box (see
:meth:`hermiton.theory.balls.BallProgram.complex`). All boxes are in the plane of x; the field is z = m + s x. Since the
function is real on the real line, the upper half plane is enough.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

from flint import acb, arb

from .law import NotEnclosed

__all__ = ["analytic_height", "box", "line_norm", "peaks"]

_MAX_BOXES = 4000
# A box that fails and whose sides are below this part of its distance from the real line ends the strip.
_RESOLUTION = 12.0
_LEAST_HEIGHT = 1e-6
_WIDER = 1.0 + 2.0**-40  # a box from rounded floats still holds its corners


def box(left: float, right: float, low: float, high: float) -> Any:
    """A complex ball that contains a rectangle.

    Parameters
    ----------
    left, right, low, high : float
        Its sides.

    Returns
    -------
    flint.acb
    """
    tiny = 2.0**-48 * (abs(left) + abs(right) + abs(low) + abs(high))
    real = arb(0.5 * (left + right), 0.5 * (right - left) * _WIDER + tiny)
    return acb(real, arb(0.5 * (low + high), 0.5 * (high - low) * _WIDER + tiny))


def analytic_height(function: Callable[..., Any], m: Any, s: Any, left: float, right: float, goal: float) -> float:
    """Height a <= goal such that sigma(m + s x) is analytic for left <= Re x <= right, |Im x| <= a.

    Boxes are halved where the function is not shown to be analytic, the lower half first; a small box that fails ends
    the strip.

    Parameters
    ----------
    function : callable
        sigma on complex balls, of a :class:`~hermiton.theory.balls.BallProgram`.
    m, s : flint.arb
        Mean and deviation.
    left, right : float
        Real sides.
    goal : float
        The height sought.

    Returns
    -------
    float

    Raises
    ------
    NotEnclosed
        If no strip is found.
    """
    height = goal
    boxes = [(left, right - left, 0.0, goal)]
    for _ in range(_MAX_BOXES):
        if not boxes:
            return height
        x0, wide, low, high = boxes.pop()
        high = min(high, height)
        if low >= height or function(m + s * box(x0, x0 + wide, low, high)).is_finite():
            continue
        tall = high - low
        if max(tall, wide) * _RESOLUTION <= low or tall < _LEAST_HEIGHT * goal:
            height = low
            if height < _LEAST_HEIGHT * goal:
                break
        elif wide > tall and tall <= max(low / 8.0, goal / 64.0):  # rows first: many functions fill one at once
            boxes += [(x0 + 0.5 * wide, 0.5 * wide, low, high), (x0, 0.5 * wide, low, high)]
        else:
            middle = low + 0.5 * tall
            boxes += [(x0, wide, middle, high), (x0, wide, low, middle)]
    raise NotEnclosed("it is not shown to be analytic near the real line")


def _halves(x0: float, x1: float) -> Iterator[tuple[float, float]]:
    middle = 0.5 * (x0 + x1)
    yield x0, middle
    yield middle, x1


def line_norm(function: Callable[..., Any], m: Any, s: Any, left: float, right: float, height: float) -> Any:
    """Bound the integral of |sigma(m + s (x + i a))|^2 phi(x) over left <= x <= right.

    Each interval gives sup |sigma|^2 times its length times the largest phi; the intervals that count most are halved
    as long as this pays.

    Parameters
    ----------
    function, m, s, left, right
        As in :func:`analytic_height`.
    height : float
        a.

    Returns
    -------
    flint.arb
        Upper bound.

    Raises
    ------
    NotEnclosed
        If the function is not bounded on the line.
    """

    def part(x0: float, x1: float) -> Any:
        size = function(m + s * box(x0, x1, height, height)).abs_upper()
        bound = size * size * (arb(x1) - arb(x0)) * _density(0.0 if x0 < 0.0 < x1 else min(abs(x0), abs(x1)))
        return bound.upper() if bound.is_finite() else arb.pos_inf()

    marks = [mark for mark in (-8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0) if left < mark < right]
    ends = [left, *marks, right]
    parts = [(part(x0, x1), x0, x1) for x0, x1 in pairwise(ends)]
    for _ in range(_MAX_BOXES):
        worst = max(range(len(parts)), key=lambda i: parts[i][0])
        size, x0, x1 = parts[worst]
        if x1 - x0 < _LEAST_HEIGHT:
            break
        halves = [(part(a, b), a, b) for a, b in _halves(x0, x1)]
        parts[worst : worst + 1] = halves
        if size.is_finite() and halves[0][0] + halves[1][0] > size / 4:
            break
    total = sum((p[0] for p in parts), arb(0))
    if not total.is_finite():
        raise NotEnclosed(f"it is not shown to be bounded {height:.3g} above the real line")
    return total.upper()


@lru_cache(maxsize=4096)
def _density(x: float) -> Any:
    """A bound on phi beyond x >= 0."""
    return ((-(arb(x) ** 2) / 2).exp() / (2 * arb.pi()).sqrt()).upper()


def peaks(
    function: Callable[..., Any], m: Any, s: Any, left: float, right: float, height: float, layers: int
) -> list[Any]:
    """Bound |sigma(m + s x)| for left <= Re x <= right, in layers of 0 <= Im x <= height.

    Parameters
    ----------
    function, m, s, left, right, height
        As in :func:`line_norm`.
    layers : int
        Their number; all are equally high.

    Returns
    -------
    list of flint.arb
        Upper bounds, from the real line up; infinite or NaN where none is found.
    """
    step = height / layers
    areas = (box(left, right, i * step, (i + 1) * step) for i in range(layers))
    return [function(m + s * area).abs_upper() for area in areas]
