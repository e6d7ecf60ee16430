"""Online SGD without the weights: the exact Markov chain of the overlaps at finite N.

For x ~ N(0, I_N) the fields z = (lambda_1..K, nu_1..M) are N(0, C) with C = [[Q, R], [R^T, T]], and given z the squared
norm of x is |e|^2 plus an independent chi-square with N - K - M degrees of freedom, where z = L e, L L^T = C. The
updates of Q, R and v use nothing else of x, so one step needs K + M normals, one chi-square and the label noise,
whatever N is:

    c_k   =  (eta/N) v_k g'(lambda_k) Delta
    R_kn <-  R_kn - c_k nu_n
    Q_kl <-  Q_kl - c_k lambda_l - c_l lambda_k + c_k c_l |x|^2
    v_k  <-  v_k - (eta_v/N) g(lambda_k) Delta

The law of (Q, R, v) is that of the network in `online_sgd`, not an approximation to it. It rests on Gaussian inputs, as
the theory does; the network on real weights stays the arbiter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import Seed, checked_times, generator, gram, real_array, refused, whole_number
from .online_sgd_run import NetworkRun, Overlaps, Rates, record

Scalar = Callable[[float], float]

LARGEST_DIMENSION = 10**12  # beyond it one step changes overlaps of order one by less than 1e4 rounding errors


def run_overlaps(
    Q: ArrayLike,
    R: ArrayLike,
    T: ArrayLike,
    v: ArrayLike,
    A: ArrayLike,
    *,
    dimension: int,
    activation: Scalar,
    derivative: Scalar,
    teacher_activation: Scalar,
    learning_rate: float,
    second_layer_rate: float = 0.0,
    noise: float = 0.0,
    times: ArrayLike,
    rng: Seed,
) -> NetworkRun:
    """Run the exact overlap chain of online SGD at input dimension N.

    Parameters
    ----------
    Q, R, T : array_like, shapes (K, K), (K, M), (M, M)
        Overlaps at time 0. [[Q, R], [R^T, T]] may be singular.
    v, A : array_like, shapes (K,), (M,)
        Second layers of student and teacher.
    dimension : int
        N, from K + M to 1e12. The cost of a step does not depend on it.
    activation, derivative, teacher_activation, learning_rate, second_layer_rate, noise, times, rng
        As for `run_network`.

    Returns
    -------
    NetworkRun
        Overlaps and second layer at `times`; if the run diverges it stops and says when.

    Raises
    ------
    ValueError
        If shapes disagree, a number is not finite, Q or T is not symmetric, the Gram matrix has a negative eigenvalue,
        N < K + M, a rate is negative, times do not increase, or a function is not compiled.

    Notes
    -----
    *Validity.* Inputs are isotropic Gaussian. Exact up to rounding: the variance that one field keeps when those before
    it are known counts as zero below 1e-14 of its own size, so covariances are held to about 1e-7 at worst, and only at
    a student that coincides with its teacher or with itself. Divergence: see `run_network`.
    """
    from .compiled import scalar_function
    from .online_sgd_overlaps_kernel import chain_steps, semidefinite_cholesky

    Q, R, T, _ = gram(Q, R, T)
    v = real_array("v", v, (len(Q),))
    A = real_array("A", A, (len(T),))
    dimension = whole_number("dimension", dimension, len(Q) + len(T), "K + M directions need room")
    if dimension > LARGEST_DIMENSION:
        raise refused("dimension", dimension, "is too large", f"give at most {LARGEST_DIMENSION:g}")
    times = checked_times(times)
    Rates(learning_rate, second_layer_rate, noise)
    rates = np.array([learning_rate, second_layer_rate, noise])
    functions = (
        scalar_function("activation", activation),
        scalar_function("derivative", derivative),
        scalar_function("teacher_activation", teacher_activation),
    )
    rng = generator(rng)
    teacher_root = semidefinite_cholesky(T)
    steps = chain_steps()

    def advance(count: int) -> int:
        return int(steps(Q, R, v, teacher_root, A, dimension, rates, *functions, count, rng))

    def measure() -> Overlaps:
        return Q.copy(), R.copy(), v.copy()

    return record(times, dimension, 10**6, advance, measure)


def square_root(C: ArrayLike) -> NDArray[np.float64]:
    """Return the lower triangular L with L L^T = C that the chain uses, for a C that may be singular.

    Parameters
    ----------
    C : array_like, shape (n, n)
        Symmetric, positive semidefinite.

    Returns
    -------
    L : ndarray, shape (n, n)
        A column whose pivot is zero (below 1e-14 of its diagonal entry) is zero.

    Raises
    ------
    ValueError
        If C is not a finite square matrix.
    """
    from .online_sgd_overlaps_kernel import semidefinite_cholesky

    C = real_array("C", C, (None, None))
    if C.shape[0] != C.shape[1]:
        raise refused("C", C, f"has shape {C.shape}", "give a square matrix")
    return semidefinite_cholesky(C)
