"""Exact paths from event to event: against sorting alone, and against gradient descent to an error.

Breakpoints are standard normal, y(0) = -1, targets near 3: y meets 84 % of them. Run: python benchmarks/events.py
CPU time, one thread, all in this run. The candidates take turns, so that a busy machine slows all of them alike; each
figure is the best of its rounds. Exits with 1 if a target is missed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import math
import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from hermiton.numerics.binned_events import BinnedBreakpoints
from hermiton.numerics.events import solve_by_events

SIZES = (10**4, 10**5, 10**6, 10**7)
START, ROUNDS = -1.0, 3
STEP, STEPS, WANTED = 0.02, 100, 1e-6


def best(tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    """CPU seconds of one call, tasks in turns."""
    found = dict.fromkeys(tasks, math.inf)
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            begin = time.process_time()
            task()
            found[name] = min(found[name], time.process_time() - begin)
    return found


def check(name: str, ratio: float, target: float, *, most: bool = True) -> bool:
    """Print a ratio; whether its target is missed."""
    met = ratio <= target if most else ratio >= target
    print(f"  {name:58s} {ratio:12.2f}   target {'<=' if most else '>='} {target:g}   {'met' if met else 'MISSED'}")
    return not met


def main() -> int:
    """Print CPU seconds and ratios; 0 if all targets are met."""
    rng = np.random.default_rng(0)
    missed = 0
    solve_by_events([0.0, 1.0], [1.0, 1.0], [2.0, 2.0], 0.5)  # compiled, or read from disk
    solve_by_events([0.0, 1.0], 1.0, 2.0, 0.5)
    for size in SIZES:
        u = rng.normal(size=size)
        p = rng.uniform(0.5, 1.5, size) / size
        q = p * rng.normal(3.0, 0.1, size)
        seconds = best(
            {
                "numpy.argsort": lambda u=u: np.argsort(u),
                "numpy.sort": lambda u=u: np.sort(u),
                "weights and targets": lambda u=u, p=p, q=q: solve_by_events(u, p, q, START),
                "equal weights, one target": lambda u=u: solve_by_events(u, 1 / u.size, 3 / u.size, START),
            }
        )
        print(f"{size:.0e} breakpoints, CPU s: " + ", ".join(f"{name} {s:.4f}" for name, s in seconds.items()))
        per = 1e9 * seconds["weights and targets"] / (size * math.log2(size))
        print(f"  {'with weights, CPU ns / (N log2 N)':58s} {per:12.2f}")
    missed += check("with weights / numpy.argsort", seconds["weights and targets"] / seconds["numpy.argsort"], 3)
    missed += check("equal weights / numpy.sort", seconds["equal weights, one target"] / seconds["numpy.sort"], 3)
    tracemalloc.start()
    solve_by_events(u, p, q, START)
    peak = tracemalloc.get_traced_memory()[1] / (8 * size) + 3
    tracemalloc.stop()
    missed += check("memory, doubles a breakpoint, its 3 inputs included", peak, 10)
    missed += descent(rng)
    return int(missed > 0)


def descent(rng: np.random.Generator) -> int:
    """Plain gradient descent on 1e6 points; steps to reach an error follow from its first order in the step."""
    size = 10**6
    u = rng.normal(size=size)

    def descend(step: float, steps: int) -> float:
        y = START
        for _ in range(steps):
            y -= step * (y - 3.0) * float(np.count_nonzero(u < y)) / size
        return y

    path = solve_by_events(u, 1 / size, 3 / size, START)
    seconds = best(
        {
            "events": lambda: solve_by_events(u, 1 / size, 3 / size, START),
            "descent": lambda: descend(STEP, STEPS),
        }
    )
    end = STEP * STEPS
    error = abs(descend(STEP, STEPS) - float(path(end)))
    half = abs(descend(STEP / 2, 2 * STEPS) - float(path(end)))
    needed = seconds["descent"] * error / WANTED
    print(f"descent, 1e6 points, to s = {end:g}: {STEPS} steps {seconds['descent']:.3f} CPU s, error {error:.1e}")
    print(f"  halved steps: error {half:.1e}; {WANTED:g} would take {needed:.0f} CPU s; events {seconds['events']:.3f}")
    missed = check(f"descent to {WANTED:g} / events", needed / seconds["events"], 1000, most=False)
    binned = BinnedBreakpoints(4096)
    begin = time.process_time()
    for portion in np.array_split(u, 100):
        binned.add(portion, 1 / size, 3 / size)
    bins = binned.solve(START)
    spent = time.process_time() - begin
    s = np.linspace(0, 12, 2001)
    off = float(np.max(np.abs(bins(s) - path(s))))
    print(f"4096 bins, a stream of 100 portions: {spent:.3f} CPU s, error {off:.1e}, reported {bins.error:.1e}")
    return int(missed or off > bins.error)


if __name__ == "__main__":
    sys.exit(main())
