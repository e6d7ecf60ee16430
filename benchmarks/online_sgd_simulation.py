"""Steps per CPU second of the online-SGD simulators against what one would write in NumPy, in one run.

N = 1000, K = 4, M = 2, erf units, learning rate 1/2. Run: OMP_NUM_THREADS=1 python benchmarks/online_sgd_simulation.py
Every figure is the best of five rounds; the candidates take turns, so that a busy machine slows all of them alike.
Exits with 1 if a target is missed.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from scipy.special import erf as erf_elementwise

from hermiton.verification.networks.gaussians import normals, seeded_lanes
from hermiton.verification.networks.online_sgd import run_network
from hermiton.verification.networks.online_sgd_overlaps import run_overlaps
from hermiton.verification.networks.weights import draw_weights

sys.path.insert(0, str(Path(__file__).parent))
from peers.chunked_sgd import CHUNK, chunked_sgd
from peers.numpy_sgd import numpy_sgd

N, K, M, ROUNDS = 1000, 4, 2, 5


@numba.njit
def erf(x):
    return math.erf(x / math.sqrt(2.0))


@numba.njit
def erf_slope(x):
    return math.sqrt(2.0 / math.pi) * math.exp(-x * x / 2.0)


def candidates() -> dict[str, tuple[int, Callable[[int], Any]]]:
    """Name -> number of steps in a round, function that takes so many."""
    Q, R, T = np.eye(K) / 2, np.full((K, M), 0.05), np.eye(M)
    v, A = np.ones(K), np.ones(M)
    W, Wstar = draw_weights(Q, R, T, N, 0)
    rng = np.random.Generator(np.random.SFC64(1))
    rates = {"learning_rate": 0.5, "second_layer_rate": 0.0, "noise": 0.0}
    functions = {"activation": erf, "derivative": erf_slope, "teacher_activation": erf}
    elementwise = {
        "activation": lambda x: erf_elementwise(x / math.sqrt(2.0)),
        "derivative": lambda x: math.sqrt(2.0 / math.pi) * np.exp(-x * x / 2.0),
        "teacher_activation": lambda x: erf_elementwise(x / math.sqrt(2.0)),
    }

    def network(precision: Any) -> Callable[[int], Any]:
        return lambda steps: run_network(
            W, Wstar, v, A, **functions, **rates, times=[steps / N], rng=rng, precision=precision
        )

    def chain(dimension: int) -> Callable[[int], Any]:
        return lambda steps: run_overlaps(
            Q, R, T, v, A, dimension=dimension, **functions, **rates, times=[steps / dimension], rng=rng
        )

    lanes = seeded_lanes(rng)
    single = W.astype(np.float32), Wstar.astype(np.float32)
    return {
        "numpy loop": (4000, lambda steps: numpy_sgd(W, Wstar, v, A, **elementwise, **rates, steps=steps, rng=rng)),
        "numba step, numpy float32 normals": (
            40 * CHUNK,
            lambda steps: chunked_sgd(*single, learning_rate=0.5, steps=steps, rng=rng),
        ),
        "network, float64": (20_000, network("float64")),
        "network, float32": (100_000, network("float32")),
        "its normals alone": (100_000, lambda steps: [normals(lanes, 8 * 1024) for _ in range(steps // 8)]),
        "chain, N=1e3": (300_000, chain(10**3)),
        "chain, N=1e9": (300_000, chain(10**9)),
    }


def best_speeds() -> dict[str, float]:
    """Steps per CPU second."""
    tasks = candidates()
    for _, task in tasks.values():
        task(CHUNK)  # compiles
    best = dict.fromkeys(tasks, 0.0)
    for _ in range(ROUNDS):
        for name, (steps, task) in tasks.items():
            start = time.process_time()
            task(steps)
            best[name] = max(best[name], steps / (time.process_time() - start))
    return best


def main() -> int:
    speed = best_speeds()
    for name, value in speed.items():
        print(f"{name:36s} {value:12,.0f} steps/s   {1e6 / value:8.3f} us/step")
    single, chain = speed["network, float32"], speed["chain, N=1e3"]
    targets = [
        ("network, float32 / numpy loop", single / speed["numpy loop"], ">=", 10.0),
        ("network, float32 / numba step", single / speed["numba step, numpy float32 normals"], ">=", 4.0),
        ("cost of a step / its normals", speed["its normals alone"] / single, "<=", 4.0),
        ("chain / numpy loop", chain / speed["numpy loop"], ">=", 50.0),
        ("chain, cost at N=1e9 / at N=1e3", chain / speed["chain, N=1e9"], "<=", 1.2),
    ]
    missed = 0
    print()
    for name, ratio, sense, target in targets:
        met = ratio >= target if sense == ">=" else ratio <= target
        missed += not met
        print(f"{name:36s} {ratio:8.2f}   target {sense} {target:g}   {'met' if met else 'MISSED'}")
    print(f"{'network, float64 / numpy loop':36s} {speed['network, float64'] / speed['numpy loop']:8.2f}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
