"""Gradient descent on a deep ReLU network, in cumulative or in ordinary parameters: the arbiter of the truncation flow.

Both rules descend the same cost on the same network and differ in what they hold fixed. In cumulative coordinates

    beta_l  <-  beta_l - h dC/dbeta_l            at fixed W^(1..L)                          (`descend_cumulative`)

and, if the output layer moves, W^(L+1) and b^(L+1) follow their gradients at fixed beta_l; if rotations move, the
orthogonal parts of adapted weights W^(l) = D_l R_l follow theirs, at fixed D_l and fixed beta_l (so that the cumulative
biases b^(l) = W^(l) beta_l turn along):

    R_l  <-  Cayley(h Omega_l) R_l,    Omega_l = -(M_l - M_l^T)/2,    M_l = D_l dC/dW^(l) R_l^T

which is the descent in the metric tr(A^T B) of antisymmetric matrices. In ordinary parameters

    b_l  <-  b_l - h dC/db_l,    W_l  <-  W_l - h (dC/dW_l + lambda W_l)  if weights move   (`descend_ordinary`)

with old values on every right-hand side. Time is step size x steps. Whole batches, no randomness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import non_negative, refused
from .descent import Course, Progress, descend, in_range, stacked
from .relu_gradients import CumulativeGradient, CumulativeSlope, OrdinarySlope, checked_cost
from .relu_network import (
    Array,
    Cost,
    LabelledData,
    ReLUNetwork,
    cumulative_parameters,
    input_biases,
    invertible,
)
from .relu_passes import Sums
from .rotations import adapted_parts, angular_velocity, turned


@dataclass(frozen=True, eq=False)
class TruncationRun:
    """Record of one descent, in cumulative coordinates whichever parameters were moved.

    Attributes
    ----------
    times : ndarray, shape (T,)
        The asked times that the run reached, in units of step size x steps.
    steps : ndarray of int, shape (T,)
        Number of steps, round(time/step), after which each record was taken.
    cost : ndarray, shape (T,)
        The cost, with the sample weights as given and without the term of a weight decay.
    input_biases : ndarray, shape (T, L, d)
        beta_l = (W^(l))^-1 b^(l).
    hidden_weights : ndarray, shape (T, L, d, d)
        W^(1..L).
    output_weights, output_biases : ndarray, shapes (T, m, d), (T, m)
        W^(L+1) and b^(L+1).
    truncated : ndarray, shape (T, L, C, d)
        Sample weight of each class that unit j of layer l sends to 0: the truncated mass, between 0 and the total
        weight of the class.
    divergence_time : float
        Time of the last state before a parameter exceeded 1e15 (or before the input cost ceased to exist), or of the
        first asked state without cumulative coordinates, a condition number being beyond 1e12; infinity if nothing of
        that happened. The run stops there, and all arrays end at the last time it reached.
    """

    times: Array
    steps: NDArray[np.int64]
    cost: Array
    input_biases: Array
    hidden_weights: Array
    output_weights: Array
    output_biases: Array
    truncated: Array
    divergence_time: float

    @property
    def diverged(self) -> bool:
        """Whether the run stopped before the last asked time."""
        return math.isfinite(self.divergence_time)

    def network(self, index: int) -> ReLUNetwork:
        """Rebuild the network at ``times[index]``."""
        weights = (*self.hidden_weights[index], self.output_weights[index])
        return ReLUNetwork.from_cumulative(weights, self.input_biases[index], self.output_biases[index])


class _Record(NamedTuple):
    cost: float
    input_biases: Array
    hidden_weights: Array
    output_weights: Array
    output_biases: Array
    truncated: Array


class _InCumulative:
    def __init__(
        self, network: ReLUNetwork, data: LabelledData, cost: Cost, move_rotation: bool, move_output: bool
    ) -> None:
        self._slope = CumulativeSlope(network, data, cost)
        self._move_rotation, self._move_output = move_rotation, move_output
        weights, biases = cumulative_parameters(network.weights, network.biases)
        self._fixed_output = weights[-1], biases[-1]
        self._gradient: CumulativeGradient | None = None
        if move_rotation:
            self._diagonals, self._rotations = adapted_parts(self._slope.hidden_weights)
            self._slope.hidden_weights = self._rebuilt(self._rotations)

    def _rebuilt(self, rotations: Array) -> tuple[Array, ...]:
        return tuple(self._diagonals[:, :, None] * rotations)

    def evaluate(self, record: bool) -> _Record | None:
        at = self._slope
        self._gradient, found = at.gradient(hidden=self._move_rotation, output=self._move_output, truncated=record)
        if not record:
            return None
        output = (at.output_weights, at.output_bias) if self._move_output else self._fixed_output
        return _Record(found.cost, at.input_biases, np.stack(at.hidden_weights), *output, found.truncated)

    def step(self, size: float) -> bool:
        at, gradient = self._slope, self._gradient
        assert gradient is not None
        beta = at.input_biases - size * gradient.input_biases
        moved = [beta]
        if gradient.output_weights is not None and gradient.output_bias is not None:
            moved += [at.output_weights - size * gradient.output_weights, at.output_bias - size * gradient.output_bias]
        turn = None
        if gradient.hidden_weights is not None:
            turn = size * angular_velocity(self._diagonals, self._rotations, gradient.hidden_weights)
        if not in_range(moved if turn is None else [*moved, turn]):
            return False
        at.input_biases = beta
        if len(moved) > 1:
            at.output_weights, at.output_bias = moved[1:]
        if turn is not None:
            self._rotations = turned(self._rotations, turn)
            at.hidden_weights = self._rebuilt(self._rotations)
        return True


class _InOrdinary:
    def __init__(
        self,
        network: ReLUNetwork,
        data: LabelledData,
        cost: Cost,
        move_weights: bool,
        move_output: bool,
        weight_decay: float,
    ) -> None:
        network.cumulative()  # refused now rather than at the first record
        hidden = len(network.weights) - 1
        self._moving_biases = [True] * hidden + [move_output]
        self._slope = OrdinarySlope(network, data, cost, [move_weights] * hidden + [move_output])
        self._weight_decay = weight_decay
        self._inverts_moving_weights = cost == "input" and move_weights
        self._weights, self._biases = list(network.weights), list(network.biases)
        self._found: Sums | None = None

    def evaluate(self, record: bool) -> _Record | None:
        self._found = found = self._slope.sums(self._weights, self._biases, truncated=record)
        if not record:
            return None
        weights, biases = cumulative_parameters(self._weights, self._biases)
        if not all(map(invertible, weights[:-1])):
            return None
        beta = input_biases(weights, biases)
        return _Record(found.cost, beta, np.stack(weights[:-1]), weights[-1], biases[-1], found.truncated)

    def step(self, size: float) -> bool:
        found = self._found
        assert found is not None
        decay = self._weight_decay
        weights = [
            W if g is None else W - size * (g + decay * W) for W, g in zip(self._weights, found.weights, strict=True)
        ]
        biases = [
            b - size * g if moving else b
            for b, g, moving in zip(self._biases, found.biases, self._moving_biases, strict=True)
        ]
        if not in_range([*weights, *biases]):
            return False
        if self._inverts_moving_weights and not all(map(invertible, cumulative_parameters(weights, biases)[0])):
            return False
        self._weights, self._biases = weights, biases
        return True


def _record(network: ReLUNetwork, data: LabelledData, course: Course[_Record]) -> TruncationRun:
    hidden, (m, d), classes = len(network.weights) - 1, network.weights[-1].shape, len(data.targets)
    seen = course.records
    return TruncationRun(
        times=course.times,
        steps=course.steps,
        cost=stacked((record.cost for record in seen), ()),
        input_biases=stacked((record.input_biases for record in seen), (hidden, d)),
        hidden_weights=stacked((record.hidden_weights for record in seen), (hidden, d, d)),
        output_weights=stacked((record.output_weights for record in seen), (m, d)),
        output_biases=stacked((record.output_biases for record in seen), (m,)),
        truncated=stacked((record.truncated for record in seen), (hidden, classes, d)),
        divergence_time=course.divergence_time,
    )


def descend_cumulative(
    network: ReLUNetwork,
    data: LabelledData,
    *,
    cost: Cost = "input",
    step: float,
    times: ArrayLike,
    move_rotation: bool = False,
    move_output: bool = False,
    progress: Progress | None = None,
) -> TruncationRun:
    """Descend a cost in the input-space biases beta_l, and in rotations of the cumulative hidden weights if asked to.

    Parameters
    ----------
    network : ReLUNetwork
        Start: L hidden layers of width d, output width m. The cumulative hidden weights must be invertible; they need
        not be adapted unless rotations move.
    data : LabelledData
        Samples, labels and sample weights, which set the clock: nothing is normalised.
    cost : {"input", "standard"}
        C_in or C_std.
    step : float
        Size h of a step, > 0.
    times : array_like, shape (T,)
        Increasing times; time t is reached after round(t/h) steps.
    move_rotation : bool
        Whether the orthogonal parts of the cumulative hidden weights move, at fixed D_l. Weights that are adapted to
        1e-8 only are replaced by adapted ones. Otherwise W^(1..L) are fixed.
    move_output : bool
        Whether W^(L+1) and b^(L+1) follow their gradients too; for the standard cost only. Otherwise they are fixed,
        and so are the pulled-back labels.
    progress : callable, optional
        Called about a hundred times with the fraction of steps done. What it raises ends the run.

    Returns
    -------
    TruncationRun
        Parameters, cost and truncated mass at `times`; if the run diverges it stops and says when.

    Raises
    ------
    ValueError
        If data and network do not fit, the cost is unknown, the step is not positive, times do not increase, a
        cumulative hidden weight cannot be inverted, for the input cost if W^(L+1) has not full rank, if the output
        layer shall move under the input cost, or if rotations shall move of weights that are not adapted.
    """
    _checked(network, data, cost, move_output)
    descent = _InCumulative(network, data, cost, move_rotation, move_output)
    return _record(network, data, descend(descent, step, times, progress))


def descend_ordinary(
    network: ReLUNetwork,
    data: LabelledData,
    *,
    cost: Cost = "standard",
    step: float,
    times: ArrayLike,
    move_weights: bool = False,
    move_output: bool = False,
    weight_decay: float = 0.0,
    progress: Progress | None = None,
) -> TruncationRun:
    """Descend a cost in the ordinary biases b_l of the hidden layers, and in weights if asked to.

    Parameters
    ----------
    network, data, step, times, progress
        As for `descend_cumulative`.
    cost : {"standard", "input"}
        C_std, or C_in, whose pulled-back labels move with b^(L+1) = W_{L+1} b^(L) + b_{L+1}; it needs m = d.
    move_weights : bool
        Whether W_1, ..., W_L move.
    move_output : bool
        Whether W_{L+1} and b_{L+1} move; for the standard cost only.
    weight_decay : float
        lambda >= 0. What is descended is the cost plus (lambda/2) sum |W_l|^2 over the weight matrices that move.
        Biases do not decay, and the recorded cost is that without this term.

    Returns
    -------
    TruncationRun
        Cumulative coordinates, cost and truncated mass at `times`; if the run diverges it stops and says when.

    Raises
    ------
    ValueError
        As for `descend_cumulative`, for the input cost if W^(L+1) is not square, and if the weight decay is negative or
        no weights move that could decay.

    Notes
    -----
    With weights and output layer fixed, b_cum = A b for a constant block lower triangular A: this is the flow of
    cumulative biases under the metric (A A^T)^-1, with b^(L+1) not held fixed.
    """
    _checked(network, data, cost, move_output)
    decay = non_negative("weight_decay", weight_decay)
    if decay > 0 and not (move_weights or move_output):
        raise refused("weight_decay", weight_decay, "has no weights to act on", "move weights or the output layer")
    descent = _InOrdinary(network, data, cost, move_weights, move_output, decay)
    return _record(network, data, descend(descent, step, times, progress))


def _checked(network: ReLUNetwork, data: LabelledData, cost: Cost, move_output: bool) -> None:
    checked_cost(network, data, cost)
    if move_output and cost == "input":
        problem = "lets the output layer carry the pulled-back labels to the data"
        raise refused("move_output", move_output, problem, "use cost='standard', or keep the output layer fixed")
