"""What a run of online SGD is made of: rates, clock and record, shared by the network and its overlap chain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arguments import non_negative, refused

Overlaps = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class NetworkRun:
    """Record of one run of online SGD.

    Attributes
    ----------
    times : ndarray, shape (T,)
        The asked times that the run reached, in units of N steps.
    Q, R, v : ndarray, shapes (T, K, K), (T, K, M), (T, K)
        Overlaps w.w/N and w.w*/N, and the second layer, at these times.
    steps : int
        Number of steps taken in all.
    divergence_time : float
        Time of the last state before the run left the range of its numbers; infinity if it did not. A run that diverges
        stops there, and `times` and all arrays end at the last time it reached.
    """

    times: NDArray[np.float64]
    Q: NDArray[np.float64]
    R: NDArray[np.float64]
    v: NDArray[np.float64]
    steps: int
    divergence_time: float

    @property
    def diverged(self) -> bool:
        """Whether the run stopped before the last asked time."""
        return math.isfinite(self.divergence_time)


@dataclass(frozen=True)
class Rates:
    """Learning rates eta and eta_v of the two layers, and the standard deviation sigma of the label noise."""

    learning_rate: float
    second_layer_rate: float
    noise: float

    def __post_init__(self) -> None:
        """Refuse rates that are negative or not finite."""
        for name in ("learning_rate", "second_layer_rate", "noise"):
            non_negative(name, getattr(self, name))


def record(
    times: NDArray[np.float64],
    dimension: int,
    burst: int,
    advance: Callable[[int], int],
    measure: Callable[[], Overlaps],
) -> NetworkRun:
    """Advance to step round(t N) for each time t and measure there.

    `advance(n)` takes up to n steps and returns how many it took: fewer means that the run diverged. It is called for
    at most `burst` steps at once, so that a keyboard interrupt is heard between two calls.
    """
    targets = np.rint(times * dimension)
    if targets[-1] >= 2.0**53:
        raise refused("times", times, f"asks for {targets[-1]:.3g} steps", "keep time x dimension below 2^53")
    seen: list[Overlaps] = []
    steps, divergence_time = 0, math.inf
    for target in targets:
        while steps < target and math.isinf(divergence_time):
            wanted = min(burst, int(target) - steps)
            taken = advance(wanted)
            steps += taken
            if taken < wanted:
                divergence_time = steps / dimension
        if steps < target:
            break
        seen.append(measure())
    if not seen:  # diverged before the first time: empty records of the right shapes
        seen, empty = [measure()], slice(0, 0)
    else:
        empty = slice(None)
    Q, R, v = (np.stack(column)[empty] for column in zip(*seen, strict=True))
    return NetworkRun(times[: len(Q)].copy(), Q, R, v, steps, divergence_time)
