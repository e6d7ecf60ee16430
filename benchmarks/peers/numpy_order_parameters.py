"""The order-parameter equations of the erf committee in vectorised NumPy, as one writes them by hand for solve_ivp.

A peer for benchmarks: coded from the published integrals I2, I3, I4 with all units at once, no loops.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def right_hand_side(width: int, teacher_width: int, T: Array, v: Array, A: Array, eta: float):
    """``f(t, y)`` with y = (upper triangle of Q, R)."""
    fields = width + teacher_width
    rows, columns = np.triu_indices(width)
    pairs = rows.size
    C = np.empty((fields, fields))
    C[width:, width:] = T
    s = np.concatenate([v, -A])
    weights = np.outer(s, s)
    vv = np.outer(v, v)

    def f(_: float, y: Array) -> Array:
        C[rows, columns] = C[columns, rows] = y[:pairs]
        R = y[pairs:].reshape(width, teacher_width)
        C[:width, width:] = R
        C[width:, :width] = R.T
        one = 1.0 + np.diag(C)
        cross = C[:width]
        # E[g'_k z_b g_a], summed over a with s_a: by Stein's lemma
        L = one[:width, None] * one[None, :] - cross**2
        J = (2 / np.pi) * s / np.sqrt(L)
        H = -(J * cross).sum(axis=1) / one[:width]
        drift = J @ C + H[:, None] * cross
        L4 = L[:, :width]
        Ck, Cl = cross[:, None, :], cross[None, :, :]
        q = C[:width, :width, None]
        ok, ol = one[:width, None, None], one[None, :width, None]
        p = -Cl * ok + q * Ck
        r = -Ck * ol + q * Cl
        L1 = L4[:, :, None] * one - Cl**2 * ok - Ck**2 * ol + 2 * q * Ck * Cl
        L0 = L4[:, :, None, None] * C + Cl[..., :, None] * p[..., None, :] + Ck[..., :, None] * r[..., None, :]
        scale = 1.0 / np.sqrt(L1)
        I4 = np.arcsin(L0 * scale[..., :, None] * scale[..., None, :])
        G = (4 / np.pi**2) * (weights * I4).sum(axis=(2, 3)) / np.sqrt(L4)
        dR = -eta * v[:, None] * drift[:, width:]
        move = v[:, None] * drift[:, :width]
        dQ = -eta * (move + move.T) + eta**2 * vv * G
        return np.concatenate([dQ[rows, columns], dR.ravel()])

    return f
