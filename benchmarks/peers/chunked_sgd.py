"""Online SGD as one writes it with NumPy and Numba: NumPy draws chunks of float32 inputs, a compiled loop steps."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Single = NDArray[np.float32]
CHUNK = 256


@numba.njit(fastmath={"contract", "nsz", "reassoc"}, error_model="numpy")
def erf_steps(W: Single, Wstar: Single, inputs: Single, learning_rate: float) -> None:
    root = math.sqrt(W.shape[1])
    slopes = np.empty(len(W), dtype=np.float32)
    for x in inputs:
        error = 0.0
        for k in range(len(W)):
            total = np.float32(0.0)
            weights = W[k]
            for i in range(x.size):
                total += weights[i] * x[i]
            field = total / root
            error += math.erf(field / math.sqrt(2.0))
            slopes[k] = learning_rate / root * math.sqrt(2.0 / math.pi) * math.exp(-field * field / 2.0)
        for m in range(len(Wstar)):
            total = np.float32(0.0)
            weights = Wstar[m]
            for i in range(x.size):
                total += weights[i] * x[i]
            error -= math.erf(total / root / math.sqrt(2.0))
        for k in range(len(W)):
            factor = np.float32(slopes[k] * error)
            weights = W[k]
            for i in range(x.size):
                weights[i] -= factor * x[i]


def chunked_sgd(W: Single, Wstar: Single, *, learning_rate: float, steps: int, rng: np.random.Generator) -> Single:
    """Return the student's weights after `steps` steps, a multiple of CHUNK; erf units, second layers one, no noise."""
    W = W.copy()
    for _ in range(steps // CHUNK):
        erf_steps(W, Wstar, rng.standard_normal((CHUNK, W.shape[1]), dtype=np.float32), learning_rate)
    return W
