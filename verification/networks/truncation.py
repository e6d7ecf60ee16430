"""Gradient descent on a deep ReLU network, in cumulative or in ordinary parameters: the arbiter of the truncation flow.

Both rules descend the same cost on the same network and differ in what they hold fixed. In cumulative coordinates

    beta_l  <-  beta_l - h dC/dbeta_l            at fixed W^(1..L)                          (`descend_cumulative`)

and, if the output layer moves, W^(L+1) and b^(L+1) follow their gradients at fixed beta_l. In ordinary parameters

    b_l  <-  b_l - h dC/db_l,    W_l  <-  W_l - h dC/dW_l  if weights move                  (`descend_ordinary`)

with old values on every right-hand side. Time is step size x steps. Whole batches, no randomness.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import non_negative, refused
from .online_sgd_run import checked_times
from .relu_gradients import CumulativeGradient, CumulativeSlope, OrdinarySlope, checked_cost
from .relu_network import (
    LARGEST_PARAMETER,
    Array,
    Cost,
    LabelledData,
    ReLUNetwork,
    cumulative_parameters,
    input_biases,
    invertible,
)
from .relu_passes import Sums

Progress = Callable[[float], object]

_REPORTS = 100  # calls of `progress` in a run


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
        The cost that was descended, with the sample weights as given.
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


class _Descent(Protocol):
    def evaluate(self, record: bool) -> _Record | None:
        """Pass through the network at the present parameters; record the state if asked to and if it can be."""

    def step(self, size: float) -> bool:
        """Take a step from the evaluated state, or none and say False if it would leave the range of the numbers."""


class _InCumulative:
    def __init__(self, network: ReLUNetwork, data: LabelledData, cost: Cost, move_output: bool) -> None:
        self._slope = CumulativeSlope(network, data, cost)
        self._move_output = move_output
        weights, biases = cumulative_parameters(network.weights, network.biases)
        self._fixed_output = weights[-1], biases[-1]
        self._hidden_weights = np.stack(weights[:-1])
        self._gradient: CumulativeGradient | None = None

    def evaluate(self, record: bool) -> _Record | None:
        at = self._slope
        self._gradient, found = at.gradient(self._move_output, truncated=record)
        if not record:
            return None
        output = (at.output_weights, at.output_bias) if self._move_output else self._fixed_output
        return _Record(found.cost, at.input_biases, self._hidden_weights, *output, found.truncated)

    def step(self, size: float) -> bool:
        at, gradient = self._slope, self._gradient
        assert gradient is not None
        moved = [at.input_biases - size * gradient.input_biases]
        if gradient.output_weights is not None and gradient.output_bias is not None:
            moved += [at.output_weights - size * gradient.output_weights, at.output_bias - size * gradient.output_bias]
        if not _in_range(moved):
            return False
        at.input_biases = moved[0]
        if len(moved) > 1:
            at.output_weights, at.output_bias = moved[1:]
        return True


class _InOrdinary:
    def __init__(
        self, network: ReLUNetwork, data: LabelledData, cost: Cost, move_weights: bool, move_output: bool
    ) -> None:
        network.cumulative()  # refused now rather than at the first record
        hidden = len(network.weights) - 1
        self._moving_biases = [True] * hidden + [move_output]
        self._slope = OrdinarySlope(network, data, cost, [move_weights] * hidden + [move_output])
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
        weights = [W if g is None else W - size * g for W, g in zip(self._weights, found.weights, strict=True)]
        biases = [
            b - size * g if moving else b
            for b, g, moving in zip(self._biases, found.biases, self._moving_biases, strict=True)
        ]
        if not _in_range([*weights, *biases]):
            return False
        if self._inverts_moving_weights and not all(map(invertible, cumulative_parameters(weights, biases)[0])):
            return False
        self._weights, self._biases = weights, biases
        return True


def _in_range(arrays: list[Array]) -> bool:
    return all(bool((np.abs(array) <= LARGEST_PARAMETER).all()) for array in arrays)


def _run(
    network: ReLUNetwork,
    data: LabelledData,
    descent: _Descent,
    step: float,
    times: ArrayLike,
    progress: Progress | None,
) -> TruncationRun:
    size = non_negative("step", step)
    if size == 0:
        raise refused("step", step, "is zero", "give the size of a step of descent")
    if progress is not None and not callable(progress):
        raise refused("progress", progress, "is no function", "give a function of the fraction done, or None")
    grid = checked_times(times)
    if not grid[-1] / size < 2.0**53:
        raise refused("times", grid, f"asks for {grid[-1] / size:.3g} steps", "keep time/step below 2^53")
    targets = np.rint(grid / size).astype(np.int64)
    last, steps, divergence_time = int(targets[-1]), 0, math.inf
    between_reports = -(-last // _REPORTS)
    seen: list[_Record] = []
    # An overflow is no surprise here: the step that makes one is not taken, and the run says when.
    with np.errstate(over="ignore", invalid="ignore"):
        while True:
            due = targets[len(seen)] == steps
            record = descent.evaluate(bool(due))
            if due and (record is None or not math.isfinite(record.cost)):
                divergence_time = steps * size
            elif record is not None:
                seen += [record] * int((targets == steps).sum())
            if progress is not None and (steps == last or steps % between_reports == 0):
                progress(steps / last if last else 1.0)
            if steps == last or math.isfinite(divergence_time):
                break
            if not descent.step(size):
                divergence_time = steps * size
                break
            steps += 1
    hidden, (m, d), classes = len(network.weights) - 1, network.weights[-1].shape, len(data.targets)
    count = len(seen)  # 0 if the run diverged before the first time: empty records of the right shapes
    return TruncationRun(
        times=grid[:count].copy(),
        steps=targets[:count].copy(),
        cost=np.array([record.cost for record in seen]),
        input_biases=np.array([record.input_biases for record in seen]).reshape(count, hidden, d),
        hidden_weights=np.array([record.hidden_weights for record in seen]).reshape(count, hidden, d, d),
        output_weights=np.array([record.output_weights for record in seen]).reshape(count, m, d),
        output_biases=np.array([record.output_biases for record in seen]).reshape(count, m),
        truncated=np.array([record.truncated for record in seen]).reshape(count, hidden, classes, d),
        divergence_time=divergence_time,
    )


def descend_cumulative(
    network: ReLUNetwork,
    data: LabelledData,
    *,
    cost: Cost = "input",
    step: float,
    times: ArrayLike,
    move_output: bool = False,
    progress: Progress | None = None,
) -> TruncationRun:
    """Descend a cost in the input-space biases beta_l, at fixed cumulative hidden weights.

    Parameters
    ----------
    network : ReLUNetwork
        Start: L hidden layers of width d, output width m. The cumulative hidden weights must be invertible; they need
        not be adapted.
    data : LabelledData
        Samples, labels and sample weights, which set the clock: nothing is normalised.
    cost : {"input", "standard"}
        C_in or C_std.
    step : float
        Size h of a step, > 0.
    times : array_like, shape (T,)
        Increasing times; time t is reached after round(t/h) steps.
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
        cumulative hidden weight cannot be inverted, for the input cost if W^(L+1) has not full rank, or if the output
        layer shall move under the input cost.
    """
    _checked(network, data, cost, move_output)
    return _run(network, data, _InCumulative(network, data, cost, move_output), step, times, progress)


def descend_ordinary(
    network: ReLUNetwork,
    data: LabelledData,
    *,
    cost: Cost = "standard",
    step: float,
    times: ArrayLike,
    move_weights: bool = False,
    move_output: bool = False,
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

    Returns
    -------
    TruncationRun
        Cumulative coordinates, cost and truncated mass at `times`; if the run diverges it stops and says when.

    Raises
    ------
    ValueError
        As for `descend_cumulative`, and for the input cost if W^(L+1) is not square.

    Notes
    -----
    With weights and output layer fixed, b_cum = A b for a constant block lower triangular A: this is the flow of
    cumulative biases under the metric (A A^T)^-1, with b^(L+1) not held fixed.
    """
    _checked(network, data, cost, move_output)
    descent = _InOrdinary(network, data, cost, move_weights, move_output)
    return _run(network, data, descent, step, times, progress)


def _checked(network: ReLUNetwork, data: LabelledData, cost: Cost, move_output: bool) -> None:
    checked_cost(network, data, cost)
    if move_output and cost == "input":
        problem = "lets the output layer carry the pulled-back labels to the data"
        raise refused("move_output", move_output, problem, "use cost='standard', or keep the output layer fixed")
