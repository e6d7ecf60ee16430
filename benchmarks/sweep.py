"""A sweep of 1000 order-parameter systems: lanes, the same integrator one by one, and solve_ivp with NumPy.

K = M = 2 erf units, learning rates in [0.3, 1.2], t <= 1000, rtol 1e-8. Run: python benchmarks/sweep.py
CPU time, one thread, all in this run. The candidates take turns, so that a busy machine slows all of them alike; each
figure is the best of its rounds. Exits with 1 if a target is missed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

sys.path.insert(0, str(Path(__file__).parent))

from peers.numpy_order_parameters import right_hand_side

import hermiton as hm
from hermiton.numerics.codegen.kernel import compile_system
from hermiton.numerics.ode import integrate, integrate_lanes
from hermiton.numerics.solve import bind
from hermiton.numerics.solve_many import LANES, solve_many
from hermiton.verification.starts import default_start

SYSTEMS, SUBSET, ROUNDS = 1000, 8, 5
TIMES = np.array([0.0, 1000.0])
RTOL, ATOL = 1e-8, 1e-10
RATES = np.random.default_rng(0).uniform(0.3, 1.2, SYSTEMS)


def main() -> int:
    """Print CPU seconds and ratios; 0 if all targets are met."""
    settings = [hm.OnlineSGD(learning_rate=float(rate)) for rate in RATES]
    start = default_start(settings[0])
    system = hm.derive(settings[0]).systems[0]
    lanes = compile_system(system, "lanes")
    bound = [bind(system, setting, start) for setting in settings]
    y0 = np.stack([one.start for one in bound], axis=1)
    parameters = np.stack([one.parameters for one in bound], axis=1)
    sizes = bound[0].sizes
    final: dict[str, NDArray[np.float64]] = {}

    def in_lanes() -> None:
        final["lanes"] = integrate_lanes(
            lanes.rhs,
            y0,
            TIMES,
            parameters=parameters,
            sizes=lanes.size_vector(sizes),
            work_size=lanes.work_size(sizes) * LANES,
            lanes=LANES,
            sort_by=RATES,
            rtol=RTOL,
            atol=ATOL,
        ).states[-1]

    def one_by_one() -> None:
        runs = (integrate(one.compiled.rhs, one.start, TIMES, **one.arguments(), rtol=RTOL, atol=ATOL) for one in bound)
        final["one by one"] = np.stack([run.states[-1] for run in runs], axis=1)

    def with_scipy() -> None:
        ends = []
        for rate in RATES[:SUBSET]:
            f = right_hand_side(2, 2, start.T, start.v, start.A, float(rate))
            ends.append(solve_ivp(f, TIMES, bound[0].start, method="DOP853", rtol=RTOL, atol=ATOL).y[:, -1])
        final["solve_ivp + NumPy"] = np.stack(ends, axis=1)

    def verb() -> None:
        solve_many(settings, [start] * SYSTEMS, TIMES, system=system)

    tasks: dict[str, tuple[Callable[[], None], int]] = {
        "lanes": (in_lanes, SYSTEMS),
        "one by one": (one_by_one, SYSTEMS),
        "solve_ivp + NumPy": (with_scipy, SUBSET),
        "solve_many, with errors": (verb, SYSTEMS),
    }
    best = dict.fromkeys(tasks, np.inf)
    for task, _ in tasks.values():
        task()  # compiles
    for _ in range(ROUNDS):
        for name, (task, count) in tasks.items():
            begin = time.process_time()
            task()
            best[name] = min(best[name], (time.process_time() - begin) * SYSTEMS / count)
    for name, seconds in best.items():
        print(f"{name:26s} {seconds:9.3f} CPU s for {SYSTEMS}")
    for name in ("one by one", "solve_ivp + NumPy"):
        distance = np.abs(final["lanes"][:, : final[name].shape[1]] - final[name]).max()
        print(f"lanes and {name}: final states differ by {distance:.1e} at most")
    missed = 0
    for name, target in (("one by one", 3.0), ("solve_ivp + NumPy", 500.0)):
        ratio = best[name] / best["lanes"]
        missed += ratio < target
        print(f"{name + ' / lanes':30s} {ratio:7.1f}   target >= {target:g}   {'met' if ratio >= target else 'MISSED'}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
