"""Moments of Gaussian fields: CPU seconds a call, and the error reached, against adaptive cubature from SciPy.

Exits with 1 if a moment is slower than its target.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import integrate

import hermiton as hm

COVARIANCE = np.array([[1, 0.3, 0.4, 0.2], [0.3, 1.2, -0.1, 0.5], [0.4, -0.1, 0.9, 0.25], [0.2, 0.5, 0.25, 1.1]])
MEAN = np.array([0.3, -0.2, 0.5, 0.1])

# name, activations, derivatives, digits, CPU seconds that it may take
CASES: list[tuple[str, list[str], list[int], int, float]] = [
    ("ReLU, two fields", ["relu"] * 2, [0, 0], 15, 0.005),
    ("ReLU I4", ["relu"] * 4, [1, 1, 0, 0], 15, 0.01),
    ("erf I4", ["erf"] * 4, [1, 1, 0, 0], 15, 0.5),
    ("tanh, two fields", ["tanh"] * 2, [0, 0], 15, 0.05),
    ("tanh, four fields", ["tanh"] * 4, [0, 0, 0, 0], 15, 2.0),
    ("ReLU and GELU, three fields", ["relu", "gelu", "relu"], [0, 0, 0], 15, 0.5),
    ("He3, four fields, exact", ["he3"] * 4, [0, 0, 0, 0], 15, 0.5),
    ("tanh, two fields, 30 digits", ["tanh"] * 2, [0, 0], 30, 1.0),
]


def best(call: Callable[[], Any], repeats: int = 5) -> tuple[float, Any]:
    """Least CPU time of a few calls."""
    times, result = [], call()
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        times.append(time.process_time() - start)
    return min(times), result


def peer() -> tuple[float, float]:
    """tanh of two fields by SciPy's dblquad in whitened variables."""
    root = np.linalg.cholesky(COVARIANCE[:2, :2])

    def integrand(y: float, x: float) -> float:
        first = MEAN[0] + root[0, 0] * x
        second = MEAN[1] + root[1, 0] * x + root[1, 1] * y
        return float(np.tanh(first) * np.tanh(second) * np.exp(-0.5 * (x * x + y * y)) / (2.0 * np.pi))

    value, error = integrate.dblquad(integrand, -9, 9, -9, 9, epsabs=1e-12, epsrel=1e-12)
    return value, error


def main() -> int:
    """Print the table; 1 if a target is missed."""
    missed = 0
    print(f"{'moment':32} {'CPU ms':>9} {'target':>8} {'error':>9}  method")
    for name, activations, derivatives, digits, target in CASES:
        n = len(activations)
        covariance, mean = COVARIANCE[:n, :n], MEAN[:n]
        seconds, found = best(
            lambda a=activations, c=covariance, m=mean, d=derivatives, k=digits: hm.field_moment(a, c, m, d, k)
        )
        missed += seconds > target
        print(f"{name:32} {1e3 * seconds:9.2f} {1e3 * target:8.0f} {float(found.error):9.1e}  {found.method}")
    seconds, (value, _) = best(peer, 1)
    ours = hm.field_moment("tanh", COVARIANCE[:2, :2], MEAN[:2])
    print(f"{'the same by scipy dblquad, two tanh':32} {1e3 * seconds:6.0f}   differs by {abs(value - ours.value):.1e}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
