"""A deep ReLU network on arrays, its data, its cumulative parameters and its two costs.

    x^(0) = x,    x^(l) = relu(W_l x^(l-1) + b_l),  l = 1..L,    x^(L+1) = W_{L+1} x^(L) + b_{L+1}

The hidden layers are as wide as the input. Composing the affine maps without the ReLUs gives the cumulative parameters
W^(l) = W_l W^(l-1), b^(l) = W_l b^(l-1) + b_l, with W^(0) = I, b^(0) = 0, and the input-space biases beta_l =
(W^(l))^-1 b^(l). Undoing the affine maps on the features gives the truncated data in the space of the inputs:

    z^(l) = (W^(l))^-1 (x^(l) - b^(l))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import LARGEST_PARAMETER, real_array, refused, whole_number

Array = NDArray[np.float64]
Cost = Literal["input", "standard"]

LARGEST_CONDITION = 1e12  # beyond it an inverse has fewer than four digits


@dataclass(frozen=True, eq=False)
class LabelledData:
    """Samples with a class each, a label vector a class, and a weight a sample.

    Parameters
    ----------
    inputs : array_like, shape (N, d)
        The samples x_i.
    labels : array_like of int, shape (N,)
        The class c(i) of each, 0..C-1; a class may be empty.
    targets : array_like, shape (C, m)
        The label vector y_c of each class.
    sample_weights : array_like, shape (N,), optional
        Positive weights w_i of the samples in the costs, not normalised; by default 1/N each.

    Raises
    ------
    ValueError
        If shapes disagree, a number is not finite, a label names no class, or a weight is not positive.
    """

    inputs: Array
    labels: NDArray[np.intp]
    targets: Array
    sample_weights: Array

    def __init__(
        self, inputs: ArrayLike, labels: ArrayLike, targets: ArrayLike, sample_weights: ArrayLike | None = None
    ) -> None:
        points, vectors = real_array("inputs", inputs, (None, None)), real_array("targets", targets, (None, None))
        count = len(points)
        classes = class_labels(labels, count)
        if classes.max() >= len(vectors):
            problem = f"has the class {classes.max()}, but there are {len(vectors)} targets"
            raise refused("labels", classes, problem, "give one target a class, and classes from 0")
        if sample_weights is None:
            weights = np.full(count, 1.0 / count)
        else:
            weights = real_array("sample_weights", sample_weights, (count,))
            if not (weights > 0).all():
                raise refused("sample_weights", weights, "has an entry that is not positive", "leave that sample out")
        for name, array in (("inputs", points), ("targets", vectors), ("sample_weights", weights)):
            if np.abs(array).max() > LARGEST_PARAMETER:
                raise refused(name, array, f"has an entry beyond {LARGEST_PARAMETER:g}", "rescale the data")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        classes.flags.writeable = False
        object.__setattr__(self, "labels", classes)

    @property
    def class_weights(self) -> Array:
        """Total sample weight of each class, shape (C,)."""
        return np.bincount(self.labels, self.sample_weights, len(self.targets)).astype(np.float64)


def class_labels(labels: ArrayLike, count: int) -> NDArray[np.intp]:
    """Copy `labels` into an array of `count` whole numbers >= 0."""
    try:
        array = np.array(labels)
    except ValueError as error:
        raise refused("labels", labels, "is not an array", "give one class number a sample") from error
    if array.dtype.kind not in "iu":
        raise refused("labels", array, f"holds {array.dtype}, not whole numbers", "number the classes 0, 1, 2, ...")
    if array.shape != (count,):
        raise refused("labels", array, f"has shape {array.shape}", f"give an array of shape ({count},)")
    if array.min() < 0:
        raise refused("labels", array, "has a negative entry", "number the classes 0, 1, 2, ...")
    return array.astype(np.intp)


@dataclass(frozen=True, eq=False)
class CumulativeParameters:
    """The parameters of a network in cumulative coordinates.

    Attributes
    ----------
    weights : tuple of L+1 arrays, shapes (d, d), the last (m, d)
        W^(1), ..., W^(L+1).
    input_biases : ndarray, shape (L, d)
        beta_l = (W^(l))^-1 b^(l).
    output_bias : ndarray, shape (m,)
        b^(L+1).
    """

    weights: tuple[Array, ...]
    input_biases: Array
    output_bias: Array


@dataclass(frozen=True, eq=False)
class ReLUNetwork:
    """Weights and biases of L >= 1 hidden ReLU layers as wide as the input, and an affine output layer.

    Parameters
    ----------
    weights : sequence of L+1 array_like, shapes (d, d), the last (m, d)
        W_1, ..., W_{L+1}.
    biases : sequence of L+1 array_like, shapes (d,), the last (m,)
        b_1, ..., b_{L+1}.

    Raises
    ------
    ValueError
        If there is no hidden layer, shapes disagree, or a number is not finite or beyond 1e15.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def __init__(self, weights: Sequence[ArrayLike], biases: Sequence[ArrayLike]) -> None:
        if len(weights) < 2:
            problem = f"has {len(weights)} layers"
            raise refused("weights", weights, problem, "give at least one hidden layer and the output layer")
        if len(biases) != len(weights):
            raise refused("biases", biases, f"has {len(biases)} layers", f"give {len(weights)}, as many as weights")
        d = real_array("weights[0]", weights[0], (None, None)).shape[1]
        matrices, vectors = [], []
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            width = None if layer == len(weights) - 1 else d
            matrix = real_array(f"weights[{layer}]", weight, (width, d))
            vector = real_array(f"biases[{layer}]", bias, (len(matrix),))
            for name, array in ((f"weights[{layer}]", matrix), (f"biases[{layer}]", vector)):
                if np.abs(array).max() > LARGEST_PARAMETER:
                    raise refused(name, array, f"has an entry beyond {LARGEST_PARAMETER:g}", "rescale the network")
                array.flags.writeable = False
            matrices.append(matrix)
            vectors.append(vector)
        object.__setattr__(self, "weights", tuple(matrices))
        object.__setattr__(self, "biases", tuple(vectors))

    @classmethod
    def from_cumulative(
        cls, weights: Sequence[ArrayLike], input_biases: ArrayLike, output_bias: ArrayLike
    ) -> ReLUNetwork:
        """Build the network that has the given cumulative parameters.

        Parameters
        ----------
        weights : sequence of L+1 array_like, shapes (d, d), the last (m, d)
            W^(1), ..., W^(L+1); adapted weights are D_l R_l with D_l positive diagonal and R_l orthogonal.
        input_biases : array_like, shape (L, d)
            beta_1, ..., beta_L.
        output_bias : array_like, shape (m,)
            b^(L+1).

        Returns
        -------
        ReLUNetwork
            W_l = W^(l) (W^(l-1))^-1 and b_l = b^(l) - W_l b^(l-1) = W^(l) (beta_l - beta_{l-1}).

        Raises
        ------
        ValueError
            If shapes disagree, a number is not finite, or a hidden weight cannot be inverted.
        """
        if len(weights) < 2:
            problem = f"has {len(weights)} layers"
            raise refused("weights", weights, problem, "give at least one hidden layer and the output layer")
        d = real_array("weights[0]", weights[0], (None, None)).shape[1]
        beta = real_array("input_biases", input_biases, (len(weights) - 1, d))
        last = len(weights) - 1
        cumulative = [
            real_array(f"weights[{layer}]", weight, (None if layer == last else d, d))
            for layer, weight in enumerate(weights)
        ]
        bias = real_array("output_bias", output_bias, (len(cumulative[-1]),))
        checked_hidden(cumulative[:-1])
        return cls(ordinary_weights(cumulative), ordinary_biases(cumulative, beta, bias))

    def cumulative(self) -> CumulativeParameters:
        """Compute the cumulative parameters.

        Raises
        ------
        ValueError
            If a cumulative hidden weight cannot be inverted (condition number beyond 1e12).
        """
        weights, biases = cumulative_parameters(self.weights, self.biases)
        checked_hidden(weights[:-1])
        return CumulativeParameters(tuple(weights), input_biases(weights, biases), biases[-1])

    def layers(self, inputs: ArrayLike) -> list[Array]:
        """Compute x^(1), ..., x^(L+1) for inputs (N, d): L arrays (N, d) and one (N, m)."""
        x = real_array("inputs", inputs, (None, self.weights[0].shape[1]))
        seen = []
        for W, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = (x @ W.T + b).clip(min=0.0)
            seen.append(x)
        return [*seen, x @ self.weights[-1].T + self.biases[-1]]

    def truncated(self, inputs: ArrayLike, layer: int | None = None) -> Array:
        """Compute the truncated data z^(l) in the space of the inputs from the features x^(l).

        Parameters
        ----------
        inputs : array_like, shape (N, d)
            Samples.
        layer : int, optional
            l, from 1 to L; by default L.

        Returns
        -------
        ndarray, shape (N, d)

        Raises
        ------
        ValueError
            If there is no such layer, or a cumulative hidden weight cannot be inverted.
        """
        hidden = len(self.weights) - 1
        layer = hidden if layer is None else whole_number("layer", layer, 1, "the first hidden layer")
        if layer > hidden:
            raise refused("layer", layer, "is too large", f"the last hidden layer is {hidden}")
        own = self.cumulative()
        undone: Array = over(own.weights[layer - 1], self.layers(inputs)[layer - 1].T).T
        undone -= own.input_biases[layer - 1]
        return undone


def ordinary_weights(cumulative: Sequence[Array]) -> list[Array]:
    """W_l = W^(l) (W^(l-1))^-1."""
    return [cumulative[0], *(under(W, before) for before, W in pairwise(cumulative))]


def ordinary_biases(cumulative: Sequence[Array], input_biases: Array, output_bias: Array) -> list[Array]:
    """b_l = W^(l) (beta_l - beta_{l-1}) for the hidden layers, and b_{L+1} = b^(L+1) - W^(L+1) beta_L."""
    differences = np.diff(input_biases, axis=0, prepend=0.0)
    hidden = [W @ difference for W, difference in zip(cumulative[:-1], differences, strict=True)]
    return [*hidden, output_bias - cumulative[-1] @ input_biases[-1]]


def cumulative_parameters(weights: Sequence[Array], biases: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """W^(l) = W_l W^(l-1) and b^(l) = W_l b^(l-1) + b_l, l = 1..L+1."""
    matrices, vectors = [weights[0]], [biases[0]]
    for W, b in zip(weights[1:], biases[1:], strict=True):
        matrices.append(W @ matrices[-1])
        vectors.append(W @ vectors[-1] + b)
    return matrices, vectors


def input_biases(cumulative_weights: Sequence[Array], cumulative_biases: Sequence[Array]) -> Array:
    """beta_l = (W^(l))^-1 b^(l) of the hidden layers, shape (L, d); output layers are passed over."""
    return np.stack([over(W, b) for W, b in zip(cumulative_weights[:-1], cumulative_biases[:-1], strict=True)])


def over(matrix: Array, right: Array) -> Array:
    """The product matrix^-1 right."""
    return np.linalg.solve(matrix, right).astype(np.float64, copy=False)


def under(left: Array, matrix: Array) -> Array:
    """The product left matrix^-1."""
    return over(matrix.T, left.T).T


def invertible(matrix: Array) -> bool:
    """Whether a square matrix can be inverted to a few digits at least."""
    return bool(np.isfinite(matrix).all()) and bool(np.linalg.cond(matrix) < LARGEST_CONDITION)


def checked_hidden(cumulative: Sequence[Array]) -> None:
    """Refuse cumulative hidden weights without an inverse."""
    for layer, W in enumerate(cumulative, start=1):
        if not invertible(W):
            problem = f"of layer {layer} cannot be inverted (condition number beyond {LARGEST_CONDITION:g})"
            raise refused("cumulative weight", W, problem, "cumulative coordinates need invertible hidden weights")


def fitting(network: ReLUNetwork, data: LabelledData) -> None:
    """Refuse data of another dimension than the network's."""
    if not isinstance(network, ReLUNetwork):
        raise refused("network", network, "is not a ReLUNetwork", "build one from weights and biases")
    if not isinstance(data, LabelledData):
        raise refused("data", data, "is not a LabelledData", "build one from inputs, labels and targets")
    m, d = network.weights[-1].shape
    for name, array, width, end in (("inputs", data.inputs, d, "inputs"), ("targets", data.targets, m, "outputs")):
        if array.shape[1] != width:
            problem = f"have dimension {array.shape[1]}, but the network has {width} {end}"
            raise refused(f"data.{name}", array, problem, "make network and data agree")


def pulled_back_targets(own: CumulativeParameters, data: LabelledData) -> Array:
    """Labels in the space of the inputs, (W^(L+1))^+ (y_c - b^(L+1)), shape (C, d).

    The inverse of a square W^(L+1); else its pseudo-inverse, so that the shortest of many solutions, or the best fit,
    is taken.

    Raises
    ------
    ValueError
        If W^(L+1) has not full rank: its pseudo-inverse would jump under the smallest change.
    """
    output = own.weights[-1]
    if not invertible(output):
        problem = f"has not full rank (condition number beyond {LARGEST_CONDITION:g})"
        raise refused("cumulative weight W^(L+1)", output, problem, "the labels cannot be pulled back; use another")
    return (data.targets - own.output_bias) @ np.linalg.pinv(output).T


def standard_cost(network: ReLUNetwork, data: LabelledData) -> float:
    """C_std = 1/2 sum_i w_i |x_i^(L+1) - y_c(i)|^2."""
    fitting(network, data)
    errors = network.layers(data.inputs)[-1] - data.targets[data.labels]
    return float(data.sample_weights @ (errors**2).sum(axis=1) / 2)


def input_cost(network: ReLUNetwork, data: LabelledData) -> float:
    """C_in = 1/2 sum_i w_i |z_i^(L) - ytilde_c(i)|^2, with the labels pulled back to the space of the inputs."""
    fitting(network, data)
    errors = network.truncated(data.inputs) - pulled_back_targets(network.cumulative(), data)[data.labels]
    return float(data.sample_weights @ (errors**2).sum(axis=1) / 2)
