"""Online SGD as one writes it in NumPy: a Python loop of vectorised arithmetic. The simulators are timed against it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Elementwise = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def numpy_sgd(
    W: NDArray[np.float64],
    Wstar: NDArray[np.float64],
    v: NDArray[np.float64],
    A: NDArray[np.float64],
    *,
    activation: Elementwise,
    derivative: Elementwise,
    teacher_activation: Elementwise,
    learning_rate: float,
    second_layer_rate: float,
    noise: float,
    steps: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights W (K, N) and v (K,) after the given number of steps; arguments as for `run_network`."""
    W, v = W.copy(), v.copy()
    dimension = W.shape[1]
    root = np.sqrt(dimension)
    for _ in range(steps):
        x = rng.standard_normal(dimension)
        student_fields = W @ x / root
        outputs = activation(student_fields)
        error = v @ outputs - A @ teacher_activation(Wstar @ x / root) - noise * rng.standard_normal()
        slopes = v * derivative(student_fields) * error
        v -= second_layer_rate / dimension * error * outputs
        W -= (learning_rate / root) * np.outer(slopes, x)
    return W, v
