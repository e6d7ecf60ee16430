"""The generalisation error of a student, E[(phi - phi*)^2]/2 over fresh inputs: by quadrature, and by fresh inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import Seed, generator, gram, real_array, refused, whole_number

Scalar = Callable[[float], float]


def generalization_error(
    Q: ArrayLike,
    R: ArrayLike,
    T: ArrayLike,
    v: ArrayLike,
    A: ArrayLike,
    activation: Scalar,
    teacher_activation: Scalar,
    *,
    kinks: Sequence[float] = (),
    teacher_kinks: Sequence[float] = (),
) -> NDArray[np.float64]:
    """Compute E[(phi - phi*)^2]/2 for Gaussian inputs from the overlaps; the label noise does not count.

    Parameters
    ----------
    Q, R : array_like, shapes (..., K, K), (..., K, M)
        Overlaps, for example those of a `NetworkRun`; the leading dimensions must be equal.
    T : array_like, shape (M, M)
        Overlaps of the teacher.
    v : array_like, shape (..., K) or (K,)
        Second layer of the student.
    A : array_like, shape (M,)
        Second layer of the teacher.
    activation, teacher_activation : functions compiled by numba, float64 -> float64
        g and g*.
    kinks, teacher_kinks : sequence of float
        Where g and g* are not smooth: (0,) for ReLU.

    Returns
    -------
    ndarray, shape (...)
        The error for each set of overlaps.

    Raises
    ------
    ValueError
        If shapes disagree, a number is not finite, a Gram matrix is not positive semidefinite, or a function is not
        compiled.

    Notes
    -----
    *Accuracy.* Pairs of fields are integrated on their own (see `pair_expectation`), with steps that shrink as the
    largest standard deviation among Q_kk and T_mm grows, up to 8. Absolute error, for second layers and variances of
    order one: below 1e-12 for erf, tanh and polynomials; below 1e-10 for piecewise smooth functions whose kinks are
    given; about 1e-3 if they are not. Beyond a standard deviation of 8 the error grows.
    """
    from .compiled import scalar_function
    from .pair_expectation import FINEST, half_mean_square, line_rule, piece_rule

    Q, R, v = (np.asarray(each, dtype=np.float64) for each in (Q, R, v))
    if Q.ndim < 2 or R.ndim != Q.ndim or R.shape[:-1] != Q.shape[:-1]:
        raise refused("R", R, f"has shape {R.shape}", f"give (..., K, M) to fit Q of shape {Q.shape}")
    leading = Q.shape[:-2]
    if v.shape not in {(Q.shape[-1],), (*leading, Q.shape[-1])}:
        raise refused("v", v, f"has shape {v.shape}", f"give {(*leading, Q.shape[-1])} or {(Q.shape[-1],)}")
    v = np.broadcast_to(v, (*leading, Q.shape[-1]))
    A = real_array("A", A, (R.shape[-1],))
    functions = scalar_function("activation", activation), scalar_function("teacher_activation", teacher_activation)
    cuts = tuple(
        np.sort(real_array(name, each, (None,))) if len(each) else np.empty(0)
        for name, each in (("kinks", kinks), ("teacher_kinks", teacher_kinks))
    )
    errors = np.empty(leading)
    kernel = half_mean_square()
    for index in np.ndindex(*leading):
        q, r, t, C = gram(Q[index], R[index], T)
        second = real_array("v", v[index], (len(q),))
        # steps in quarters of a unit, so that few rules are ever made
        fineness = min(FINEST, max(1.0, np.ceil(4 * np.sqrt(C.diagonal().max())) / 4))
        rules = (*line_rule(fineness), *piece_rule(fineness))
        errors[index] = kernel(q, r, t, second, A, *functions, *cuts, *rules)
    return errors


def sampled_generalization_error(
    W: ArrayLike,
    Wstar: ArrayLike,
    v: ArrayLike,
    A: ArrayLike,
    activation: Scalar,
    teacher_activation: Scalar,
    samples: int,
    rng: Seed,
) -> tuple[float, float]:
    """Estimate E[(phi - phi*)^2]/2 from fresh Gaussian inputs, with real weights.

    Parameters
    ----------
    W, Wstar, v, A, activation, teacher_activation
        As for `run_network`.
    samples : int
        Number of inputs, at least 2.
    rng : int, SeedSequence or Generator
        Source of randomness.

    Returns
    -------
    mean, standard_error : float
        The estimate and its standard error.

    Raises
    ------
    ValueError
        If shapes disagree, a number is not finite, there are fewer than 2 samples, or a function is not compiled.
    """
    from .compiled import elementwise, scalar_function

    W = real_array("W", W, (None, None))
    Wstar = real_array("Wstar", Wstar, (None, W.shape[1]))
    v, A = real_array("v", v, (len(W),)), real_array("A", A, (len(Wstar),))
    samples = whole_number("samples", samples, 2, "a standard error needs two")
    functions = scalar_function("activation", activation), scalar_function("teacher_activation", teacher_activation)
    rng = generator(rng)
    dimension = W.shape[1]
    losses = np.empty(samples)
    size = max(1, 2**20 // dimension)  # inputs at a time: eight megabytes
    for start in range(0, samples, size):
        part = losses[start : start + size]
        x = rng.standard_normal((len(part), dimension))
        outputs = np.zeros(len(part))
        for weights, second, function in ((W, v, functions[0]), (Wstar, -A, functions[1])):
            fields = x @ weights.T / np.sqrt(dimension)
            values = np.empty(fields.size)
            elementwise()(function, fields.ravel(), values)
            outputs += values.reshape(fields.shape) @ second
        part[:] = outputs**2 / 2
    return float(losses.mean()), float(losses.std(ddof=1) / np.sqrt(samples))
