"""I4 = E[g'(z_1) g'(z_2) g(z_3) g(z_4)] of ReLU against two-dimensional adaptive quadrature with SciPy.

The quadrature is what one writes by hand: given z_1 and z_2, of which only the positive quadrant counts, the mean of
relu(z_3) relu(z_4) is smooth and dblquad does the rest. Fields 3 and 4 are taken independent given 1 and 2, so that
this mean is elementary: that favours the quadrature, which in general would need a third integral. Its tolerance is the
loosest at which its true error is below the error that hermiton claims.
CPU time, one thread, both in this run, taking turns: ``python benchmarks/piecewise_linear.py``. Exits with 1 if a
value is wrong or hermiton isn't faster.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import math
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy.integrate import dblquad

from hermiton.numerics.moments.piecewise_linear import linear_pieces, piecewise_linear_moment
from hermiton.theory.activation import Activation

ROUNDS, REPEATS = 5, 50
TOLERANCES = (1e-6, 1e-8, 1e-10, 1e-12, 1e-13)
FIRST = np.array([[1.0, 0.3], [0.3, 1.2]])
# Rows: slopes of z_3 and z_4 on z_1 and z_2, and variances that are left.
SLOPES, LEFT = np.array([[0.4, -0.2], [0.1, 0.4]]), np.array([0.7, 0.9])


def cpu(function: Callable[[], object], repeats: int) -> float:
    """CPU seconds of a call, the mean of some."""
    begin = time.process_time()
    for _ in range(repeats):
        function()
    return (time.process_time() - begin) / repeats


def relu_mean(m: float, s: float) -> float:
    """E relu(m + s e)."""
    h = m / s
    return m * 0.5 * math.erfc(-h / math.sqrt(2.0)) + s * math.exp(-0.5 * h * h) / math.sqrt(2.0 * math.pi)


def quadrature(mean: np.ndarray, tolerance: float) -> float:
    """The same moment by dblquad over the quadrant z_1, z_2 > 0."""
    inverse = np.linalg.inv(FIRST)
    (p, q), r = (inverse[0, 0], inverse[0, 1]), inverse[1, 1]
    scale = 1.0 / (2.0 * math.pi * math.sqrt(np.linalg.det(FIRST)))
    (a, b), (c, d) = SLOPES.tolist()
    s, t = (math.sqrt(v) for v in LEFT)
    m1, m2, m3, m4 = mean.tolist()

    def integrand(y: float, x: float) -> float:
        u, v = x - m1, y - m2
        density = scale * math.exp(-0.5 * (p * u * u + 2.0 * q * u * v + r * v * v))
        return density * relu_mean(m3 + a * u + b * v, s) * relu_mean(m4 + c * u + d * v, t)

    # Beyond 10 deviations nothing is left.
    far = (m1 + 10.0 * math.sqrt(FIRST[0, 0]), m2 + 10.0 * math.sqrt(FIRST[1, 1]))
    return float(dblquad(integrand, 0.0, far[0], 0.0, far[1], epsabs=tolerance, epsrel=0.0)[0])


def main() -> int:
    """Print ratios; 0 if hermiton is faster and right."""
    relu = linear_pieces(Activation("relu"))
    assert relu is not None
    forms = [relu.derivative(), relu.derivative(), relu, relu]
    cross = SLOPES @ FIRST
    covariance = np.block([[FIRST, cross.T], [cross, SLOPES @ FIRST @ SLOPES.T + np.diag(LEFT)]])
    missed = 0
    print("I4 of ReLU; CPU ms (best of rounds)")
    for name, mean in (("mean 0", np.zeros(4)), ("mean m", np.array([0.3, -0.2, 0.5, 0.1]))):
        value, error = piecewise_linear_moment(forms, covariance, mean)
        reference = quadrature(mean, 1e-14)
        for tolerance in TOLERANCES:
            if abs(quadrature(mean, tolerance) - reference) <= error:
                break
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(cpu(lambda mean=mean: piecewise_linear_moment(forms, covariance, mean), REPEATS))
            theirs.append(cpu(lambda mean=mean, tolerance=tolerance: quadrature(mean, tolerance), 1))
        # dblquad at 1e-14 is at rounding level itself
        right = abs(value - reference) <= error + 1e-14
        faster = min(theirs) > min(ours)
        missed += not (right and faster)
        print(
            f"{name}: hermiton {1e3 * min(ours):7.3f} (value {value:.15f}, error claimed {error:.1e}, "
            f"off dblquad by {abs(value - reference):.1e})  dblquad at {tolerance:g} {1e3 * min(theirs):8.1f} "
            f"(off {abs(quadrature(mean, tolerance) - reference):.1e})  ratio {min(theirs) / min(ours):7.1f}  "
            f"{'ok' if right and faster else 'MISSED'}"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
