"""Mean squared error and cross-entropy of the scores (C, N) of N samples, and their slopes by the scores."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .arguments import refused

Array = NDArray[np.float64]
Loss = Literal["mse", "cross_entropy"]


def one_hot(labels: NDArray[np.intp], classes: int) -> Array:
    """Unit vectors of the classes (N,) in the columns of an array (C, N)."""
    columns = np.zeros((classes, len(labels)))
    columns[labels, np.arange(len(labels))] = 1.0
    return columns


class ScoreLoss:
    """A loss summed over samples, and divided by `scale`.

        mse              (1/2 scale) sum_i |s_i - e_c(i)|^2, with the unit vector e_c of the class
        cross_entropy    -(1/scale) sum_i log p_c(i),   p = softmax(s_i)

    Scores are columns of one array (C, N), or of a stack of such arrays.
    """

    def __init__(self, loss: Loss, targets: Array, scale: float) -> None:
        """`targets` (..., C, N) are the unit vectors of the classes."""
        if loss not in ("mse", "cross_entropy"):
            raise refused("loss", loss, "is unknown", "choose 'mse' or 'cross_entropy'")
        self._entropy, self._targets, self._scale = loss == "cross_entropy", targets, scale

    def slope(self, scores: Array) -> Array:
        """Turn the scores, in their place, into the derivative of the loss by them."""
        if self._entropy:
            scores -= scores.max(axis=-2, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=-2, keepdims=True)
        scores -= self._targets
        if self._scale != 1.0:
            scores /= self._scale
        return scores

    def value(self, scores: Array) -> float:
        """The loss."""
        if not self._entropy:
            return float(((scores - self._targets) ** 2).sum() / 2 / self._scale)
        below_top = scores - scores.max(axis=-2, keepdims=True)
        own = (below_top * self._targets).sum(axis=-2)
        return float((np.log(np.exp(below_top).sum(axis=-2)) - own).sum() / self._scale)
