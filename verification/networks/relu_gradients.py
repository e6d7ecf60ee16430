"""Gradients of the two costs of a deep ReLU network, in ordinary and in cumulative coordinates.

A backward pass gives the gradients with respect to the ordinary parameters W_l, b_l. At fixed weights the cumulative
biases are b^(l) = W_l b^(l-1) + b_l, so that b_l = b^(l) - W_l b^(l-1), and b^(l) = W^(l) beta_l:

    dC/dbeta_l = (W^(l))^T (dC/db_l - W_{l+1}^T dC/db_{l+1}),        l = 1..L

A cumulative hidden weight enters W_l = W^(l) (W^(l-1))^-1, W_{l+1} = W^(l+1) (W^(l))^-1 and b_l = W^(l) (beta_l -
beta_{l-1}). At fixed beta and fixed other cumulative weights, with beta_0 = 0 and W^(0) = I,

    dC/dW^(l) = dC/dW_l (W^(l-1))^-T - W_{l+1}^T dC/dW_{l+1} (W^(l))^-T + dC/db_l (beta_l - beta_{l-1})^T
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arguments import refused
from .relu_network import (
    Array,
    Cost,
    LabelledData,
    ReLUNetwork,
    cumulative_parameters,
    fitting,
    ordinary_biases,
    ordinary_weights,
    over,
    pulled_back_targets,
    under,
)
from .relu_passes import Passes, Sums


@dataclass(frozen=True, eq=False)
class OrdinaryGradient:
    """Gradient with respect to the ordinary parameters.

    Attributes
    ----------
    weights : tuple of L+1 arrays, shapes (d, d), the last (m, d)
        dC/dW_l.
    biases : tuple of L+1 arrays, shapes (d,), the last (m,)
        dC/db_l.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class CumulativeGradient:
    """Partial derivatives by the input-space biases and the cumulative weights, each with all others held fixed.

    Attributes
    ----------
    input_biases : ndarray, shape (L, d)
        dC/dbeta_l.
    hidden_weights : ndarray, shape (L, d, d); or None
        dC/dW^(l), l = 1..L, at fixed beta and fixed W^(L+1), b^(L+1), thus at fixed pulled-back labels; None if it was
        not wanted.
    output_weights, output_bias : ndarray, shapes (m, d), (m,); or None
        dC/dW^(L+1) and dC/db^(L+1) of the standard cost; None for the input cost.
    """

    input_biases: Array
    hidden_weights: Array | None
    output_weights: Array | None
    output_bias: Array | None


class OrdinarySlope:
    """Cost and gradients in ordinary parameters, again and again on the same samples."""

    def __init__(self, network: ReLUNetwork, data: LabelledData, cost: Cost, wanted: Sequence[bool]) -> None:
        """`wanted` says of which layers the gradient by the weights is wanted."""
        checked_cost(network, data, cost)
        m, d = network.weights[-1].shape
        if cost == "input" and m != d:
            problem = f"needs a square output layer in ordinary coordinates, not {(m, d)}"
            raise refused("cost", cost, problem, "use cost='standard', or cumulative coordinates")
        if cost == "input":
            pulled_back_targets(network.cumulative(), data)  # refused now rather than at the first inversion
        self._cost, self._wanted = cost, tuple(wanted)
        self._passes = Passes(data, data.targets, len(network.weights) - 1)

    def sums(self, weights: Sequence[Array], biases: Sequence[Array], truncated: bool = False) -> Sums:
        """Cost, gradients, and if asked for the truncated sample weights."""
        if self._cost == "standard":
            return self._passes.sums(weights, biases, self._wanted, truncated=truncated)
        # C_in = 1/2 sum w |A^-1 r|^2 with A = W^(L+1), r = x^(L+1) - y. By way of r its gradient is that of a backward
        # pass; by way of A = S W_l W^(l-1), where A^-1 S = (W^(l))^-1, it is what is subtracted below.
        cumulative, _ = cumulative_parameters(weights, biases)
        metric = over(cumulative[-1], np.eye(len(cumulative[-1])))
        found = self._passes.sums(weights, biases, self._wanted, metric, truncated)
        for layer, gradient in enumerate(found.weights):
            if gradient is not None:
                carried = over(cumulative[layer].T, found.moment)
                gradient -= carried if layer == 0 else carried @ cumulative[layer - 1].T
        return found


class CumulativeSlope:
    """Cost and gradients in cumulative coordinates, again and again on the same samples.

    The input cost is the standard cost of the same hidden layers under another output layer and other labels: the layer
    that undoes all hidden ones, W^(L+1) = I and b^(L+1) = 0, so that the network puts out z^(L), and ytilde.
    """

    def __init__(self, network: ReLUNetwork, data: LabelledData, cost: Cost) -> None:
        """All parameters start as those of `network`, and may be set: hidden weights to other invertible ones."""
        checked_cost(network, data, cost)
        own = network.cumulative()
        self.hidden_weights = own.weights[:-1]
        self.input_biases = own.input_biases
        self.output_weights, self.output_bias, targets = own.weights[-1], own.output_bias, data.targets
        if cost == "input":
            d = data.inputs.shape[1]
            self.output_weights, self.output_bias = np.eye(d), np.zeros(d)
            targets = pulled_back_targets(own, data)
        self._passes = Passes(data, targets, len(own.weights) - 1)

    @property
    def hidden_weights(self) -> tuple[Array, ...]:
        """W^(1..L)."""
        return self._cumulative

    @hidden_weights.setter
    def hidden_weights(self, weights: Sequence[Array]) -> None:
        self._cumulative = tuple(weights)
        self._ordinary = ordinary_weights(self._cumulative)

    def gradient(
        self, *, hidden: bool = False, output: bool = False, truncated: bool = False
    ) -> tuple[CumulativeGradient, Sums]:
        """Gradients by beta_l, if `hidden` by W^(1..L), if `output` by W^(L+1) and b^(L+1), and their sums."""
        W = self.hidden_weights[-1]
        weights = [*self._ordinary, under(self.output_weights, W)]
        biases = ordinary_biases((*self.hidden_weights, self.output_weights), self.input_biases, self.output_bias)
        wanted = [hidden] * len(self.hidden_weights) + [hidden or output]
        found = self._passes.sums(weights, biases, wanted, truncated=truncated)
        by_bias, by_output = found.biases, found.weights[-1]
        beta = np.array(
            [
                own.T @ (by_bias[layer] - weights[layer + 1].T @ by_bias[layer + 1])
                for layer, own in enumerate(self.hidden_weights)
            ]
        )
        by_hidden = self._by_hidden_weights(weights, found) if hidden else None
        if by_output is None or not output:
            return CumulativeGradient(beta, by_hidden, None, None), found
        # W_{L+1} = W^(L+1) (W^(L))^-1 and b_{L+1} = b^(L+1) - W_{L+1} b^(L)
        moved = by_output - np.outer(by_bias[-1], W @ self.input_biases[-1])
        return CumulativeGradient(beta, by_hidden, under(moved, W.T), by_bias[-1]), found

    def _by_hidden_weights(self, weights: Sequence[Array], found: Sums) -> Array:
        by_weight = [each for each in found.weights if each is not None]
        steps = np.diff(self.input_biases, axis=0, prepend=0.0)
        gradients = []
        for layer, W in enumerate(self.hidden_weights):
            own = by_weight[layer] if layer == 0 else under(by_weight[layer], self.hidden_weights[layer - 1].T)
            above = under(weights[layer + 1].T @ by_weight[layer + 1], W.T)
            gradients.append(own - above + np.outer(found.biases[layer], steps[layer]))
        return np.stack(gradients)


def checked_cost(network: ReLUNetwork, data: LabelledData, cost: Cost) -> None:
    """Refuse data that do not fit the network, and an unknown cost."""
    fitting(network, data)
    if cost not in ("input", "standard"):
        raise refused("cost", cost, "is unknown", "choose 'input' or 'standard'")


def ordinary_gradient(network: ReLUNetwork, data: LabelledData, cost: Cost = "standard") -> OrdinaryGradient:
    """Compute the gradient of a cost with respect to all ordinary parameters.

    Parameters
    ----------
    network : ReLUNetwork
        Where.
    data : LabelledData
        Samples, labels and sample weights; nothing is normalised.
    cost : {"standard", "input"}
        C_std, or C_in, in which the pulled-back labels depend on all weights and biases. C_in needs m = d.

    Returns
    -------
    OrdinaryGradient

    Raises
    ------
    ValueError
        If data and network do not fit, the cost is unknown, or for the input cost if W^(L+1) is not square or cannot be
        inverted.
    """
    found = OrdinarySlope(network, data, cost, [True] * len(network.weights)).sums(network.weights, network.biases)
    return OrdinaryGradient(tuple(each for each in found.weights if each is not None), tuple(found.biases))


def cumulative_gradient(network: ReLUNetwork, data: LabelledData, cost: Cost = "input") -> CumulativeGradient:
    """Compute the gradient of a cost with respect to beta_l, W^(1..L) and the cumulative output layer.

    Parameters
    ----------
    network : ReLUNetwork
        Where.
    data : LabelledData
        Samples, labels and sample weights; nothing is normalised.
    cost : {"input", "standard"}
        C_in or C_std.

    Returns
    -------
    CumulativeGradient
        Of the input cost only the parts by beta_l and W^(1..L).

    Raises
    ------
    ValueError
        If data and network do not fit, the cost is unknown, a cumulative hidden weight cannot be inverted, or for the
        input cost if W^(L+1) has not full rank.
    """
    gradient, _ = CumulativeSlope(network, data, cost).gradient(hidden=True, output=cost == "standard")
    return gradient
