"""21 Hermite coefficients to 15 digits: one evaluation a node for all orders against Gauss-Hermite and mpmath.

tanh against NumPy's Gauss-Hermite rule with 180 nodes, which is what 15 digits take there (and, for information, with
nodes from an earlier call); ReLU against mpmath.quad, order by order, cut at the kink; some more activations, for
information. The mean changes from call to call, so that no
value can come from a memory. Run: python benchmarks/hermite_coefficients.py
CPU time, one thread, all in this run. The candidates take turns, so that a busy machine slows all of them alike; each
figure is the best of its rounds. Exits with 1 if a target is missed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator

import mpmath
import numpy as np
from numpy.typing import NDArray

import hermiton as hm
from hermiton.numerics.hermite import hermite_coefficients

ORDER, ROUNDS, NODES = 20, 7, 180
ROOTS = np.array([math.sqrt(math.factorial(k)) for k in range(ORDER + 1)])


def means() -> Iterator[float]:
    """Slightly different ones."""
    return (1e-3 * (1.0 + 1e-6 * n) for n in itertools.count())


def gauss_hermite(mean: float, count: int = NODES) -> NDArray[np.float64]:
    """What one writes with NumPy."""
    return gauss_hermite_sum(mean, *np.polynomial.hermite_e.hermegauss(count))


def gauss_hermite_sum(mean: float, nodes: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same with nodes that are there already."""
    values = np.tanh(mean + nodes) * weights / math.sqrt(2.0 * math.pi)
    found = np.empty(ORDER + 1)
    before, now = np.zeros_like(nodes), np.ones_like(nodes)
    for k in range(ORDER + 1):
        found[k] = values @ now
        before, now = now, nodes * now - k * before
    return found


def quad(mean: float) -> NDArray[np.float64]:
    """What one writes with mpmath."""
    m = mpmath.mpf(mean)

    def coefficient(k: int) -> mpmath.mpf:
        def integrand(x: mpmath.mpf) -> mpmath.mpf:
            before, now = mpmath.mpf(0), mpmath.mpf(1)
            for j in range(k):
                before, now = now, x * now - j * before
            return (m + x) * now * mpmath.npdf(x)

        return mpmath.quad(integrand, [-m, 2, 5, 13])

    with mpmath.workdps(15):
        return np.array([float(coefficient(k)) for k in range(ORDER + 1)])


def best(tasks: dict[str, tuple[Callable[[float], object], int]]) -> dict[str, float]:
    """CPU seconds of one call, tasks in turns."""
    found = dict.fromkeys(tasks, math.inf)
    mean = means()
    for task, _ in tasks.values():
        task(next(mean))  # imports and plans
    for _ in range(ROUNDS):
        for name, (task, calls) in tasks.items():
            begin = time.process_time()
            for _ in range(calls):
                task(next(mean))
            found[name] = min(found[name], (time.process_time() - begin) / calls)
    return found


def main() -> int:
    """Print CPU times and ratios; 0 if all targets are met."""
    activations = {name: hm.Activation(name) for name in ("tanh", "relu", "erf", "gelu", "softplus", "silu")}

    def ours(name: str) -> Callable[[float], object]:
        return lambda mean: hermite_coefficients(activations[name], ORDER, mean)

    tasks: dict[str, tuple[Callable[[float], object], int]] = {name: (ours(name), 300) for name in activations}
    kept = np.polynomial.hermite_e.hermegauss(NODES)
    tasks |= {
        "Gauss-Hermite, 180 nodes": (gauss_hermite, 30),
        "the same, nodes kept": (lambda mean: gauss_hermite_sum(mean, *kept), 300),
        "mpmath.quad": (quad, 1),
    }
    seconds = best(tasks)
    for name, value in seconds.items():
        print(f"{name:26s} {1e3 * value:10.3f} CPU ms")
    for name, peer in (("tanh", gauss_hermite), ("relu", quad)):
        ours_now = hermite_coefficients(activations[name], ORDER, 1e-3).values
        distance = float(np.max(np.abs(ours_now - peer(1e-3)) / ROOTS))
        print(f"{name}: differs from {peer.__name__} by {distance:.1e} sqrt(k!) at most")
    exact = np.array([float(v) for v in hermite_coefficients(activations["tanh"], ORDER, 1e-3, digits=30).values])
    for count in (100, 140, 160, NODES):
        distance = float(np.max(np.abs(gauss_hermite(1e-3, count) - exact) / ROOTS))
        print(f"tanh: Gauss-Hermite with {count} nodes is off by {distance:.1e} sqrt(k!)")
    print(f"nodes kept / tanh: {seconds['the same, nodes kept'] / seconds['tanh']:.2f}, for information")
    missed = 0
    for name, peer_name, target in (("tanh", "Gauss-Hermite, 180 nodes", 25.0), ("relu", "mpmath.quad", 3000.0)):
        ratio = seconds[peer_name] / seconds[name]
        missed += ratio < target
        verdict = "met" if ratio >= target else "MISSED"
        print(f"{peer_name + ' / ' + name:34s} {ratio:8.1f}   target >= {target:g}   {verdict}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
