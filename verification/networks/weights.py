"""Weights of a student and a teacher whose overlaps are exactly the given ones, at every finite dimension."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import Seed, generator, gram, whole_number


def draw_weights(
    Q: ArrayLike, R: ArrayLike, T: ArrayLike, dimension: int, rng: Seed
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw random weights with exactly the given overlaps.

    The rows are ``C^(1/2) sqrt(N) U`` with C = [[Q, R], [R^T, T]], its symmetric square root from eigenvectors (so C
    may be singular, as it is for a student that already equals its teacher), and U the K+M orthonormal rows of a
    uniformly random frame in N dimensions.

    Parameters
    ----------
    Q, R, T : array_like, shapes (K, K), (K, M), (M, M)
        Overlaps w.w/N, w.w*/N, w*.w*/N.
    dimension : int
        Input dimension N, at least K + M.
    rng : int, SeedSequence or Generator
        Source of randomness.

    Returns
    -------
    W, Wstar : ndarray, shapes (K, N), (M, N)
        Student and teacher weights, entries of order one.

    Raises
    ------
    ValueError
        If shapes disagree, an entry is not finite, Q or T is not symmetric, C has a negative eigenvalue, or N < K + M.
    """
    Q, R, T, C = gram(Q, R, T)
    units = len(C)
    dimension = whole_number("dimension", dimension, units, f"K + M = {units} directions need room")
    values, vectors = np.linalg.eigh(C)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    frame, triangle = np.linalg.qr(generator(rng).standard_normal((dimension, units)))
    frame *= np.where(np.diag(triangle) < 0, -1.0, 1.0)  # makes the frame uniform: QR alone fixes signs its own way
    weights = np.sqrt(dimension) * (root @ frame.T)
    return np.ascontiguousarray(weights[: len(Q)]), np.ascontiguousarray(weights[len(Q) :])
