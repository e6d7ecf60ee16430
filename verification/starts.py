"""Starts for settings that come without one."""

from __future__ import annotations

import numpy as np

from ..numerics.overlaps import Overlaps
from ..theory.online_sgd import OnlineSGD

__all__ = ["default_start"]


def default_start(setting: OnlineSGD) -> Overlaps:
    """A generic start of online SGD: short students with small, unequal overlaps, an orthonormal teacher, unit layers.

    A start without any overlap would be a fixed direction of the equations; students that are equal would stay equal.
    For K = M = 2 it is Q = [[.2, .05], [.05, .25]], R = [[.1, .02], [.03, .12]].

    Parameters
    ----------
    setting : OnlineSGD
        Its widths.

    Returns
    -------
    Overlaps
    """
    width, teacher_width = setting.hidden, setting.teacher_hidden
    i, n = np.arange(width), np.arange(teacher_width)
    aligned = i[:, None] % teacher_width == n[None, :]
    R = np.where(aligned, 0.1 + 0.02 * i[:, None], 0.02 + 0.01 * (i[:, None] % 4)) / np.sqrt(max(1, teacher_width / 4))
    # students = their part along the teacher + a part of their own, so that the Gram matrix is one
    own = np.where(np.eye(width, dtype=bool), 0.2 + 0.05 * (i % 3), 0.05 / max(1, width - 1))
    Q = own if width == teacher_width == 2 else own + R @ R.T
    return Overlaps(Q=Q, R=R, T=np.eye(teacher_width), v=np.ones(width), A=np.ones(teacher_width))
