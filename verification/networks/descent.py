"""The course of a descent: steps, records at the asked times, and the step that would leave the range of the numbers.

What is descended and how a step is made is the business of a `Descent`; here is the clock, time = step size x steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import LARGEST_PARAMETER, checked_times, non_negative, refused

Array = NDArray[np.float64]
Progress = Callable[[float], object]

_REPORTS = 100  # calls of `progress` in a run


class _Record(Protocol):
    @property
    def cost(self) -> float: ...


Record = TypeVar("Record", bound=_Record)
Made = TypeVar("Made", bound=_Record, covariant=True)


class Descent(Protocol[Made]):
    """A rule of descent together with its present parameters."""

    def evaluate(self, record: bool) -> Made | None:
        """Compute the slope at the present parameters; record the state if asked to and if it can be."""

    def step(self, size: float) -> bool:
        """Take a step from the evaluated state, or none and say False if it would leave the range of the numbers."""


@dataclass(frozen=True, eq=False)
class Course(Generic[Record]):
    """What a descent left behind.

    Attributes
    ----------
    times : ndarray, shape (T,)
        The asked times that the run reached.
    steps : ndarray of int, shape (T,)
        Number of steps, round(time/step), after which each record was taken.
    records : list of T records
        One a time.
    divergence_time : float
        Time of the last state before a step that could not be taken, or of the first asked state that could not be
        recorded; infinity if there was none.
    """

    times: Array
    steps: NDArray[np.int64]
    records: list[Record]
    divergence_time: float


def descend(
    descent: Descent[Record], step: float, times: ArrayLike, progress: Progress | None = None
) -> Course[Record]:
    """Take steps of one size and record the states at round(t/step) steps.

    Raises
    ------
    ValueError
        If the step is not positive, times do not increase from 0 on or ask for 2^53 steps, or `progress` cannot be
        called.
    """
    size = non_negative("step", step)
    if size == 0:
        raise refused("step", step, "is zero", "give the size of a step of descent")
    if progress is not None and not callable(progress):
        raise refused("progress", progress, "is no function", "give a function of the fraction done, or None")
    grid = checked_times(times)
    if not grid[-1] / size < 2.0**53:
        raise refused("times", grid, f"asks for {grid[-1] / size:.3g} steps", "keep time/step below 2^53")
    targets = np.rint(grid / size).astype(np.int64)
    last, steps, divergence_time = int(targets[-1]), 0, math.inf
    between_reports = -(-last // _REPORTS)
    seen: list[Record] = []
    # An overflow is no surprise here: the step that makes one is not taken, and the run says when.
    with np.errstate(over="ignore", invalid="ignore"):
        while True:
            due = targets[len(seen)] == steps
            record = descent.evaluate(bool(due))
            if due and (record is None or not math.isfinite(record.cost)):
                divergence_time = steps * size
            elif record is not None:
                seen += [record] * int((targets == steps).sum())
            if progress is not None and (steps == last or steps % between_reports == 0):
                progress(steps / last if last else 1.0)
            if steps == last or math.isfinite(divergence_time):
                break
            if not descent.step(size):
                divergence_time = steps * size
                break
            steps += 1
    count = len(seen)
    return Course(grid[:count].copy(), targets[:count].copy(), seen, divergence_time)


def in_range(arrays: Iterable[Array]) -> bool:
    """Whether all entries are finite and not beyond 1e15."""
    return all(bool((np.abs(array) <= LARGEST_PARAMETER).all()) for array in arrays)


def stacked(parts: Iterable[ArrayLike], shape: tuple[int, ...]) -> Array:
    """Stack the records of one quantity of the given shape along time; no records give an empty array (0, *shape)."""
    return np.array(list(parts), dtype=np.float64).reshape(-1, *shape)
