"""Norms and step sizes, shared by all methods.

Plain functions: `assemble` copies their text beside the method that uses them, where Numba compiles it. So they use
nothing but NumPy, `abs`, `min`, `max`, each other and the constants below.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CONSTANTS",
    "Integers",
    "Reals",
    "Rhs",
    "bounded",
    "combined_error",
    "first_step",
    "next_proposal",
    "rms_norm",
    "shrunk",
    "single_error",
    "too_small",
]

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]
Rhs = Callable[[Any, Reals, Reals, Integers, Reals, Reals], None]

FINISHED = 0
DIVERGED = 1
STEP_LIMIT = 2
LARGEST = 1e100  # a state beyond this has diverged
MIN_FACTOR = 0.2
SAFETY = 0.9  # explicit methods have their own SAFETY and MAX_FACTOR in their tableaux
MAX_FACTOR = 10.0
STRETCH = 1.01  # a step that would end just short of an output time is stretched to it
SMALLEST = 2.5e-15  # a step below this times |t| no longer moves t reliably (about 11 spacings of doubles)

# columns of counts
ACCEPTED = 0
REJECTED = 1
EVALUATIONS = 2
ROWS = 3
# entries of clock, which carries a run over from one compiled call to the next
TIME = 0
PROPOSAL = 1
SPAN = 2
STARTED = 3

CONSTANTS: dict[str, float] = {
    name: value for name, value in list(globals().items()) if name.isupper() and isinstance(value, int | float)
}


def bounded(x: Reals) -> bool:
    """Whether all entries are finite and below LARGEST; written so that a NaN says no."""
    for i in range(x.size):
        if not (abs(x[i]) <= LARGEST):
            return False
    return True


def rms_norm(x: Reals, y: Reals, rtol: float, atol: float) -> float:
    """Root mean square of x_i / (atol + rtol |y_i|)."""
    total = 0.0
    for i in range(x.size):
        ratio = x[i] / (atol + rtol * abs(y[i]))
        total += ratio * ratio
    return float(np.sqrt(total / x.size))


def single_error(squares: float, h: float, n: int) -> float:
    """Weighted root mean square of one error row, from its sum of squares."""
    return float(abs(h) * np.sqrt(squares / n))


def combined_error(squares5: float, squares3: float, h: float, n: int) -> float:
    """Error of DOP853 from its estimates of orders 5 and 3: |h| E5^2 / sqrt(E5^2 + 0.01 E3^2).

    E. Hairer, S. P. Norsett, G. Wanner, Solving Ordinary Differential Equations I, equation (10.17) of chapter II.
    """
    denominator = squares5 + 0.01 * squares3
    if denominator == 0.0:
        return 0.0
    return float(abs(h) * squares5 / np.sqrt(denominator * n))


def first_step(
    rhs: Rhs,
    t: float,
    span: float,
    y: Reals,
    dy: Reals,
    parameters: Reals,
    sizes: Integers,
    work: Reals,
    trial: Reals,
    slope: Reals,
    exponent: float,
    rtol: float,
    atol: float,
) -> float:
    """First step size: E. Hairer, S. P. Norsett, G. Wanner, Solving ODEs I, section II.4. One evaluation.

    dy is f(t, y); trial and slope are scratch. exponent is 1 / (q + 1), q the order of the error estimate.
    """
    size = rms_norm(y, y, rtol, atol)
    speed = rms_norm(dy, y, rtol, atol)
    h = 1e-6 if size < 1e-5 or speed < 1e-5 else 0.01 * size / speed
    h = min(h, span)
    for i in range(y.size):
        trial[i] = y[i] + h * dy[i]
    rhs(t + h, trial, parameters, sizes, work, slope)
    if not bounded(slope):
        return h
    for i in range(y.size):
        slope[i] -= dy[i]
    bend = rms_norm(slope, y, rtol, atol) / h
    fastest = max(speed, bend)
    ideal = max(1e-6, h * 1e-3) if fastest <= 1e-15 else (0.01 / fastest) ** exponent
    return min(100.0 * h, ideal, span)


def next_proposal(h: float, proposal: float, error: float, exponent: float, after_rejection: bool) -> float:
    """Step size to try after an accepted step of size h.

    h is below the proposal when the step was cut to end at an output time. The error of a cut step may lower the
    proposal, but the cut alone does not: what was proposed before it stays available.
    """
    ideal = h * MAX_FACTOR if error < 1e-30 else h * SAFETY * error ** (-exponent)
    growth = 1.0 if after_rejection else MAX_FACTOR
    return min(ideal, max(proposal, growth * h))


def shrunk(h: float, error: float, exponent: float) -> float:
    """Step size to try after a rejected step of size h; error may be NaN."""
    if error < LARGEST:
        return float(h * max(MIN_FACTOR, SAFETY * error ** (-exponent)))
    return h * MIN_FACTOR


def too_small(h: float, t: float) -> bool:
    """Whether a step of size h is lost in the rounding of t."""
    return h <= SMALLEST * abs(t) + 1e-300
