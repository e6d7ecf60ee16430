"""Forward and backward passes of a deep ReLU network over all samples, with sums over them: cost and gradients.

Samples are taken in blocks that stay in cache, stored as (width, samples) to run along samples. The derivative of ReLU
at 0 is taken to be 0, so that a unit whose output is 0 counts as truncated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .relu_network import Array, LabelledData

_BLOCK = 2**13  # entries of a block of features: 64 kB


@dataclass(eq=False)
class Sums:
    """Sums over samples, in the cost 1/2 sum_i w_i |B r_i|^2 with residuals r = x^(L+1) - y, B = I unless given.

    Attributes
    ----------
    cost : float
        The cost.
    biases : list of L+1 arrays, shapes (d,), the last (m,)
        Its gradients by b_l.
    weights : list of L+1 arrays or None, shapes (d, d), the last (m, d)
        Its gradients by W_l, for the wanted layers.
    moment : ndarray, shape (m, m)
        sum_i w_i (B r_i)(B r_i)^T.
    truncated : ndarray, shape (L, C, d)
        Sample weight of each class that a unit sends to 0; zeros unless asked for.
    """

    cost: float
    biases: list[Array]
    weights: list[Array | None]
    moment: Array
    truncated: Array


class _Block:
    """Samples that go through the network together, and room for their features and errors."""

    def __init__(self, data: LabelledData, targets: Array, which: slice, room: _Room) -> None:
        self.inputs = np.ascontiguousarray(data.inputs[which].T)
        self.targets = np.ascontiguousarray(targets[data.labels[which]].T)
        self.labels = data.labels[which]
        self.sample_weights = data.sample_weights[which]
        self.room = room


class _Room:
    def __init__(self, d: int, m: int, hidden: int, count: int) -> None:
        self.features = [np.empty((d, count)) for _ in range(hidden)]
        self.errors = [np.empty((d, count)) for _ in range(hidden)]
        self.active = np.empty((d, count), dtype=bool)
        self.residual = np.empty((m, count))
        self.weighted = np.empty((m, count))


class Passes:
    """Passes over one set of samples, whose network changes from call to call."""

    def __init__(self, data: LabelledData, targets: Array, hidden: int) -> None:
        """Prepare `hidden` layers; `targets` (C, m) stand in for those of the data."""
        (count, d), (self._classes, m) = data.inputs.shape, targets.shape
        self._shape = (hidden, self._classes, d)
        size = max(1, _BLOCK // max(d, m))
        whole = _Room(d, m, hidden, min(size, count))
        self._blocks = []
        for start in range(0, count, size):
            length = min(size, count - start)
            room = whole if length == whole.active.shape[1] else _Room(d, m, hidden, length)
            self._blocks.append(_Block(data, targets, slice(start, start + length), room))

    def sums(
        self,
        weights: Sequence[Array],
        biases: Sequence[Array],
        wanted: Sequence[bool],
        metric: Array | None = None,
        truncated: bool = False,
    ) -> Sums:
        """Pass forward and backward.

        Parameters
        ----------
        weights, biases : sequences of L+1 arrays
            The network.
        wanted : sequence of L+1 bool
            Layers whose gradient by W_l is wanted.
        metric : ndarray, shape (m, m), optional
            B.
        truncated : bool
            Whether to sum the truncated sample weights.
        """
        m = len(biases[-1])
        total = Sums(
            0.0,
            [np.zeros(len(b)) for b in biases],
            [np.zeros(W.shape) if want else None for W, want in zip(weights, wanted, strict=True)],
            np.zeros((m, m)),
            np.zeros(self._shape),
        )
        columns = [b[:, None] for b in biases]
        for block in self._blocks:
            _forward(block, weights, columns)
            error = _output_error(block, metric, total)
            _backward(block, weights, error, total)
            if truncated:
                self._truncated(block, total)
        return total

    def _truncated(self, block: _Block, total: Sums) -> None:
        for layer, features in enumerate(block.room.features):
            for unit, x in enumerate(features):
                lost = np.where(x > 0.0, 0.0, block.sample_weights)
                total.truncated[layer, :, unit] += np.bincount(block.labels, lost, self._classes)


def _forward(block: _Block, weights: Sequence[Array], columns: Sequence[Array]) -> None:
    room, below = block.room, block.inputs
    for W, b, x in zip(weights, columns, room.features, strict=False):
        np.matmul(W, below, out=x)
        np.add(x, b, out=x)
        np.maximum(x, 0.0, out=x)
        below = x
    np.matmul(weights[-1], below, out=room.residual)
    np.add(room.residual, columns[-1], out=room.residual)
    np.subtract(room.residual, block.targets, out=room.residual)


def _output_error(block: _Block, metric: Array | None, total: Sums) -> Array:
    """Add up the cost, and return its derivative by the output, (m, samples)."""
    residual, weighted = block.room.residual, block.room.weighted
    if metric is not None:
        residual = metric @ residual
    np.multiply(residual, block.sample_weights, out=weighted)
    total.cost += 0.5 * float(np.vdot(weighted, residual))
    if metric is None:
        return weighted
    total.moment += weighted @ residual.T
    return (metric.T @ weighted).astype(np.float64, copy=False)


def _backward(block: _Block, weights: Sequence[Array], error: Array, total: Sums) -> None:
    room = block.room
    for layer in range(len(weights) - 1, -1, -1):
        x = room.features[layer - 1] if layer else block.inputs
        gradient = total.weights[layer]
        if gradient is not None:
            gradient += error @ x.T
        total.biases[layer] += error.sum(axis=1)
        if layer:
            below = room.errors[layer - 1]
            np.matmul(weights[layer].T, error, out=below)
            np.greater(x, 0.0, out=room.active)
            np.multiply(below, room.active, out=below)
            error = below
