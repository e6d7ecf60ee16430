"""Adapted weights W = D R, D positive diagonal and R orthogonal, and the descent of their orthogonal parts.

In the metric <A, B> = tr(A^T B) of antisymmetric matrices, along R(t) = exp(t A) R at fixed D a function C(W) changes
at the rate tr(A^T D dC/dW R^T), so that it descends fastest along

    R' = Omega R,    Omega = -(M - M^T)/2,    M = D dC/dW R^T
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np

from .arguments import refused
from .relu_network import Array, over

ADAPTED = 1e-8  # largest cosine between two rows of adapted weights


def adapted_parts(weights: Sequence[Array]) -> tuple[Array, Array]:
    """Split W^(l) = D_l R_l into the diagonals, shape (L, d), and the orthogonal parts, shape (L, d, d).

    Raises
    ------
    ValueError
        If two rows of a weight matrix are not orthogonal: if their cosine exceeds 1e-8.
    """
    diagonals, parts = [], []
    for layer, W in zip(count(1), weights, strict=False):
        lengths = np.linalg.norm(W, axis=1)
        R = W / lengths[:, None]
        cosine = float(np.abs(R @ R.T - np.eye(len(R))).max())
        if not cosine <= ADAPTED:
            problem = f"of layer {layer} is not adapted: W W^T is not diagonal (cosine of two rows {cosine:.3g})"
            cure = "give W = D R, D positive diagonal and R orthogonal, or keep the rotations fixed"
            raise refused("cumulative weight", W, problem, cure)
        diagonals.append(lengths)
        parts.append(R)
    return np.stack(diagonals), orthogonal(np.stack(parts))


def orthogonal(near: Array) -> Array:
    """Bring matrices (L, d, d) from near the orthogonal ones onto these, by Newton's method for the polar factor.

    A distance delta becomes 3/2 delta^2: from 1e-8, or from the rounding errors of a step, that of rounding.
    """
    return np.asarray(1.5 * near - 0.5 * near @ near.swapaxes(1, 2) @ near)


def angular_velocity(diagonals: Array, parts: Array, gradient: Array) -> Array:
    """Omega (L, d, d) of steepest descent, from D (L, d), R (L, d, d) and dC/dW (L, d, d)."""
    M = diagonals[:, :, None] * gradient @ parts.swapaxes(1, 2)
    return np.asarray((M.swapaxes(1, 2) - M) / 2)


def turned(parts: Array, turn: Array) -> Array:
    """Turn R (L, d, d) by antisymmetric matrices (L, d, d): (I - A/2)^-1 (I + A/2) R = exp(A) R + O(A^3)."""
    half, one = turn / 2, np.eye(turn.shape[-1])
    return orthogonal(over(one - half, (one + half) @ parts))
