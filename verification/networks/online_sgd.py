"""Online SGD of a two-layer student on real weights and real Gaussian inputs: the arbiter of the theory.

Written from the definition of the network alone. A student phi(x) = sum_k v_k g(w_k.x/sqrt N) learns a teacher
phi*(x) = sum_m A_m g*(w*_m.x/sqrt N) from one fresh input x ~ N(0, I_N) a step:

    Delta = phi(x) - phi*(x) - sigma zeta,        zeta ~ N(0, 1)
    w_k  <-  w_k - (eta/sqrt N) v_k g'(lambda_k) Delta x
    v_k  <-  v_k - (eta_v/N) g(lambda_k) Delta

with old values on every right-hand side. Time t is steps/N.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import Seed, checked_times, generator, real_array, refused
from .online_sgd_run import NetworkRun, Overlaps, Rates, record

Scalar = Callable[[float], float]

# About a second of work between two chances to interrupt a run.
_WORK_PER_BURST = 10**9

_LARGEST_WEIGHT = 1e15  # keeps the first overlaps finite in either precision


def _checked_network(
    W: ArrayLike, Wstar: ArrayLike, v: ArrayLike, A: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    W = real_array("W", W, (None, None))
    Wstar = real_array("Wstar", Wstar, (None, W.shape[1]))
    v, A = real_array("v", v, (len(W),)), real_array("A", A, (len(Wstar),))
    for name, array in (("W", W), ("Wstar", Wstar), ("v", v), ("A", A)):
        if np.abs(array).max() > _LARGEST_WEIGHT:
            raise refused(name, array, f"has an entry beyond {_LARGEST_WEIGHT:g}", "weights are numbers of order one")
    return W, Wstar, v, A


def network_step(
    W: ArrayLike,
    Wstar: ArrayLike,
    v: ArrayLike,
    A: ArrayLike,
    x: ArrayLike,
    zeta: float,
    *,
    activation: Scalar,
    derivative: Scalar,
    teacher_activation: Scalar,
    learning_rate: float,
    second_layer_rate: float = 0.0,
    noise: float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take one step of online SGD on a given input.

    Parameters
    ----------
    W, Wstar, v, A, activation, derivative, teacher_activation, learning_rate, second_layer_rate, noise
        As for `run_network`.
    x : array_like, shape (N,)
        The input, entries of order one.
    zeta : float
        The label noise in units of `noise`.

    Returns
    -------
    W, v : ndarray, shapes (K, N), (K,)
        The weights after the step.

    Raises
    ------
    ValueError
        If an argument cannot be used, or if the step leaves the range of the numbers (1e100).
    """
    from .compiled import scalar_function
    from .online_sgd_kernels import LIMIT, single_step

    W, Wstar, v, A = _checked_network(W, Wstar, v, A)
    x = real_array("x", x, (W.shape[1],))
    zeta = float(real_array("zeta", zeta, ()))
    Rates(learning_rate, second_layer_rate, noise)
    functions = (
        scalar_function("activation", activation),
        scalar_function("derivative", derivative),
        scalar_function("teacher_activation", teacher_activation),
    )
    rates = np.array([learning_rate, second_layer_rate, noise])
    if not single_step()(W, Wstar, v, A, x, zeta, rates, *functions):
        raise refused("x", x, f"makes a step beyond {LIMIT:g}", "use smaller weights, inputs or learning rates")
    return W, v


def run_network(
    W: ArrayLike,
    Wstar: ArrayLike,
    v: ArrayLike,
    A: ArrayLike,
    *,
    activation: Scalar,
    derivative: Scalar,
    teacher_activation: Scalar,
    learning_rate: float,
    second_layer_rate: float = 0.0,
    noise: float = 0.0,
    times: ArrayLike,
    rng: Seed,
    precision: Literal["float64", "float32"] = "float64",
) -> NetworkRun:
    """Train a student network on fresh Gaussian inputs and record its overlaps.

    Parameters
    ----------
    W : array_like, shape (K, N)
        First layer of the student, entries of order one.
    Wstar : array_like, shape (M, N)
        First layer of the teacher.
    v, A : array_like, shapes (K,), (M,)
        Second layers of student and teacher.
    activation, derivative, teacher_activation : functions compiled by numba, float64 -> float64
        g, g' and g*. They are called through pointers: the step is compiled once for all activations.
    learning_rate, second_layer_rate, noise : float
        eta, eta_v and sigma, all >= 0.
    times : array_like, shape (T,)
        Increasing times; time t is reached after round(t N) steps.
    rng : int, SeedSequence or Generator
        Source of all randomness; a generator advances.
    precision : {"float64", "float32"}
        float64 draws inputs from NumPy's generator. float32 holds the first layers and inputs in single precision,
        draws them from the SIMD generator of `gaussians`, and is several times faster; fields are summed, errors,
        second layer and overlaps are computed in float64.

    Returns
    -------
    NetworkRun
        Overlaps and second layer at `times`; if the run diverges it stops and says when.

    Raises
    ------
    ValueError
        If shapes disagree, a number is not finite, a rate is negative, times do not increase, or a function is not
        compiled.

    Notes
    -----
    *Validity.* float32: a weight of order one cannot change by less than 6e-8 of itself, so generalisation errors below
    about 1e-10 are not resolved; and the inputs end at 6.66 standard deviations. Divergence means that a local field,
    the error or an increment exceeds 1e100 (float32: 1e15); that step is not taken.
    """
    from .compiled import scalar_function
    from .online_sgd_kernels import plain_steps

    W, Wstar, v, A = _checked_network(W, Wstar, v, A)
    dimension = W.shape[1]
    times = checked_times(times)
    Rates(learning_rate, second_layer_rate, noise)
    rates = np.array([learning_rate, second_layer_rate, noise])
    functions = (
        scalar_function("activation", activation),
        scalar_function("derivative", derivative),
        scalar_function("teacher_activation", teacher_activation),
    )
    rng = generator(rng)
    burst = max(1, _WORK_PER_BURST // ((len(W) + len(Wstar)) * dimension))
    if precision == "float64":
        steps = plain_steps()
        x = np.empty(dimension)

        def advance(count: int) -> int:
            return int(steps(W, Wstar, v, A, x, rates, *functions, count, rng))

        def measure() -> Overlaps:
            return W @ W.T / dimension, W @ Wstar.T / dimension, v.copy()

        return record(times, dimension, burst, advance, measure)
    if precision == "float32":
        return _run_single(W, Wstar, v, A, rates, functions, times, rng, burst)
    raise refused("precision", precision, "is unknown", "choose 'float64' or 'float32'")


def _run_single(
    W: NDArray[np.float64],
    Wstar: NDArray[np.float64],
    v: NDArray[np.float64],
    A: NDArray[np.float64],
    rates: NDArray[np.float64],
    functions: tuple[Scalar, ...],
    times: NDArray[np.float64],
    rng: np.random.Generator,
    burst: int,
) -> NetworkRun:
    from .gaussians import BLOCK, seeded_lanes
    from .online_sgd_kernels import fast_steps

    dimension = W.shape[1]
    padded = -(-dimension // BLOCK) * BLOCK
    margin = ((0, 0), (0, padded - dimension))
    student = np.pad(W.astype(np.float32), margin)
    teacher = np.pad(Wstar.astype(np.float32), margin)
    inputs = np.zeros((2, padded), dtype=np.float32)
    words = np.empty((2, padded // 2), dtype=np.uint32)
    lanes = seeded_lanes(rng)
    steps = fast_steps()
    exact_teacher = teacher.astype(np.float64)

    def advance(count: int) -> int:
        return int(steps(student, teacher, v, A, inputs, words, lanes, dimension, rates, *functions, count, rng))

    def measure() -> Overlaps:
        weights = student.astype(np.float64)
        return weights @ weights.T / dimension, weights @ exact_teacher.T / dimension, v.copy()

    return record(times, dimension, burst, advance, measure)
