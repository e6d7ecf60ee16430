"""A two-layer ReLU classifier trained by whole-batch descent, and the collapse of its features.

    h = relu(W_1 x + b_1),    scores = W_2 h + b_2

The loss is a mean over the N samples,

    mse              (1/2N) sum_i |scores_i - e_c(i)|^2,  with the unit vector e_c of the class
    cross_entropy    -(1/N) sum_i log p_c(i),  p = softmax of the scores

and what is descended is the loss plus (lambda/2) (|W_1|^2 + |W_2|^2): biases do not decay. With momentum mu a step is
v <- mu v - h gradient, parameters <- parameters + v, from v = 0. Time is step size x steps. The derivative of ReLU at 0
is taken to be 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import LARGEST_PARAMETER, Seed, generator, non_negative, real_array, refused, whole_number
from .descent import Array, Course, Progress, descend, in_range, stacked
from .losses import Loss, ScoreLoss, one_hot
from .neural_collapse import NeuralCollapse, collapse_of
from .relu_network import class_labels

# Multiplications in a product of blocks. OpenBLAS shares out 2^19 and more among threads, which gains nothing at this
# size, and wait for one another a hundred times as long where other processes keep the processors busy.
_PRODUCT = 2**19 - 1
_SMALLEST_BLOCK = 16


@dataclass(frozen=True, eq=False)
class Classifier:
    """Weights and biases of a two-layer ReLU network.

    Parameters
    ----------
    W1 : array_like, shape (m, d)
        Hidden layer of width m.
    b1 : array_like, shape (m,)
    W2 : array_like, shape (C, m)
        Output layer, one output a class.
    b2 : array_like, shape (C,)

    Raises
    ------
    ValueError
        If shapes disagree, or a number is not finite or beyond 1e15.
    """

    W1: Array
    b1: Array
    W2: Array
    b2: Array

    def __init__(self, W1: ArrayLike, b1: ArrayLike, W2: ArrayLike, b2: ArrayLike) -> None:
        hidden = real_array("W1", W1, (None, None))
        output = real_array("W2", W2, (None, len(hidden)))
        biases = real_array("b1", b1, (len(hidden),)), real_array("b2", b2, (len(output),))
        for name, array in (("W1", hidden), ("b1", biases[0]), ("W2", output), ("b2", biases[1])):
            if not in_range([array]):
                raise refused(name, array, f"has an entry beyond {LARGEST_PARAMETER:g}", "rescale the network")
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def drawn(cls, inputs: int, hidden: int, classes: int, rng: Seed) -> Classifier:
        """Draw Gaussian weights of variance 2/d and 1/m; biases are 0."""
        d = whole_number("inputs", inputs, 1, "the dimension of the samples")
        m = whole_number("hidden", hidden, 1, "the width of the hidden layer")
        C = whole_number("classes", classes, 1, "one output a class")
        random = generator(rng)
        W1 = math.sqrt(2 / d) * random.standard_normal((m, d))
        return cls(W1, np.zeros(m), random.standard_normal((C, m)) / math.sqrt(m), np.zeros(C))

    def features(self, points: ArrayLike) -> Array:
        """Compute h (N, m) for points (N, d)."""
        x = real_array("points", points, (None, self.W1.shape[1]))
        return (x @ self.W1.T + self.b1).clip(min=0.0)

    def scores(self, points: ArrayLike) -> Array:
        """Compute the outputs (N, C) for points (N, d)."""
        return self.features(points) @ self.W2.T + self.b2

    def accuracy(self, points: ArrayLike, labels: ArrayLike) -> float:
        """Compute the fraction of points (N, d) whose largest output, the first of equal ones, is at their label."""
        scores = self.scores(points)
        return float((scores.argmax(axis=1) == class_labels(labels, len(scores))).mean())


@dataclass(frozen=True, eq=False)
class ClassifierRun:
    """Record of one training.

    Attributes
    ----------
    times : ndarray, shape (T,)
        The asked times that the run reached, in units of step size x steps.
    steps : ndarray of int, shape (T,)
        Number of steps, round(time/step), after which each record was taken.
    loss : ndarray, shape (T,)
        The training loss, without the term of the weight decay.
    accuracy : ndarray, shape (T,)
        Fraction of the training samples whose largest output is at their label.
    collapse : tuple of T NeuralCollapse
        NC1 to NC4 of h, W_2, b_2 on the training samples.
    classifier : Classifier
        The network at the last of `times`, or the start if the run reached none.
    features : ndarray, shape (N, m)
        h of the training samples under this network.
    divergence_time : float
        Time of the last state before a parameter exceeded 1e15, or of the first asked state whose loss is beyond the
        range of the numbers or in which the metrics mean nothing: all class means of h agree, or W_2 = 0. Infinity if
        nothing of that happened. The run stops there, and all records end at the last time it reached.
    """

    times: Array
    steps: NDArray[np.int64]
    loss: Array
    accuracy: Array
    collapse: tuple[NeuralCollapse, ...]
    classifier: Classifier
    features: Array
    divergence_time: float

    @property
    def diverged(self) -> bool:
        """Whether the run stopped before the last asked time."""
        return math.isfinite(self.divergence_time)

    @property
    def nc1(self) -> Array:
        """NC1 at `times`, shape (T,)."""
        return stacked((each.nc1 for each in self.collapse), ())

    @property
    def nc2(self) -> Array:
        """NC2 at `times`, shape (T,)."""
        return stacked((each.nc2 for each in self.collapse), ())

    @property
    def nc3(self) -> Array:
        """NC3 at `times`, shape (T,)."""
        return stacked((each.nc3 for each in self.collapse), ())

    @property
    def nc4(self) -> Array:
        """NC4 at `times`, shape (T,)."""
        return stacked((each.nc4 for each in self.collapse), ())


class _State(NamedTuple):
    cost: float
    accuracy: float
    collapse: NeuralCollapse
    classifier: Classifier


class _Stack:
    """Samples in blocks of one size, block, row, sample: points and features with a 1 in their last row."""

    def __init__(self, points: Array, targets: Array, hidden: int, size: int, loss: Loss, scale: float) -> None:
        (count, d), classes = points.shape, len(targets)
        blocks = count // size
        self.points = np.ones((blocks, d + 1, size))
        self.points[:, :-1] = points.reshape(blocks, size, d).swapaxes(1, 2)
        self.targets = np.ascontiguousarray(targets.reshape(classes, blocks, size).swapaxes(0, 1))
        self.features = np.ones((blocks, hidden + 1, size))
        self.scores = np.empty((blocks, classes, size))
        self._loss = ScoreLoss(loss, self.targets, scale)
        self._errors = np.empty((blocks, hidden, size))
        self._active = np.empty((blocks, hidden, size), dtype=bool)
        self._by_first, self._by_second = np.empty((blocks, hidden, d + 1)), np.empty((blocks, classes, hidden + 1))

    def forward(self, first: Array, second: Array) -> None:
        h = self.features[:, :-1]
        np.matmul(first, self.points, out=h)
        np.maximum(h, 0.0, out=h)
        np.matmul(second, self.features, out=self.scores)

    def measured(self) -> tuple[float, int]:
        """Loss and number of samples whose largest score is at their class."""
        right = self.scores.argmax(axis=1) == self.targets.argmax(axis=1)
        return self._loss.value(self.scores), int(right.sum())

    def backward(self, second: Array) -> tuple[Array, Array]:
        """Slopes by both layers, after a forward pass, of which the scores are lost."""
        error = self._loss.slope(self.scores)
        np.matmul(second[:, :-1].T, error, out=self._errors)
        np.greater(self.features[:, :-1], 0.0, out=self._active)
        np.multiply(self._errors, self._active, out=self._errors)
        np.matmul(self._errors, self.points.swapaxes(1, 2), out=self._by_first)
        np.matmul(error, self.features.swapaxes(1, 2), out=self._by_second)
        return self._by_first.sum(axis=0), self._by_second.sum(axis=0)

    def rows(self) -> Array:
        """Features, a row a sample."""
        h = self.features[:, :-1].swapaxes(1, 2)
        return h.reshape(-1, h.shape[-1])


class _Training:
    """Each layer is one matrix with its bias in the last column."""

    def __init__(
        self,
        points: Array,
        labels: NDArray[np.intp],
        start: Classifier,
        loss: Loss,
        weight_decay: float,
        momentum: float,
    ) -> None:
        (count, d), (classes, m) = points.shape, start.W2.shape
        self._labels, self._decay, self._momentum = labels, weight_decay, momentum
        self._layers = [np.column_stack([start.W1, start.b1]), np.column_stack([start.W2, start.b2])]
        self._slopes = [np.zeros_like(layer) for layer in self._layers]
        self._velocities = [np.zeros_like(layer) for layer in self._layers]
        size = min(count, max(_SMALLEST_BLOCK, _PRODUCT // (m * (d + 1)) // 8 * 8))
        whole, targets = count - count % size, one_hot(labels, classes)
        parts = [(slice(0, whole), size), (slice(whole, count), count - whole)]
        self._stacks = [
            _Stack(points[part], targets[:, part], m, length, loss, float(count)) for part, length in parts if length
        ]

    def evaluate(self, record: bool) -> _State | None:
        for stack in self._stacks:
            stack.forward(*self._layers)
        state = self._recorded() if record else None
        slopes = [stack.backward(self._layers[1]) for stack in self._stacks]
        self._slopes = [np.sum(parts, axis=0) for parts in zip(*slopes, strict=True)]
        for layer, slope in zip(self._layers, self._slopes, strict=True):
            slope[:, :-1] += self._decay * layer[:, :-1]
        return state

    def _recorded(self) -> _State | None:
        first, second = self._layers
        losses, right = zip(*(stack.measured() for stack in self._stacks), strict=True)
        features = np.concatenate([stack.rows() for stack in self._stacks])
        try:
            collapse = collapse_of(features, self._labels, second[:, :-1], second[:, -1])
        except ValueError:  # the samples were checked before: what can fail here is the state of the network
            return None
        network = Classifier(first[:, :-1], first[:, -1], second[:, :-1], second[:, -1])
        return _State(sum(losses), sum(right) / len(self._labels), collapse, network)

    def step(self, size: float) -> bool:
        for velocity, slope in zip(self._velocities, self._slopes, strict=True):
            velocity *= self._momentum
            velocity -= size * slope
        moved = [layer + velocity for layer, velocity in zip(self._layers, self._velocities, strict=True)]
        if not in_range(moved):
            return False
        self._layers = moved
        return True


def train_classifier(
    points: ArrayLike,
    labels: ArrayLike,
    hidden: int,
    *,
    loss: Loss = "mse",
    step: float,
    times: ArrayLike,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    rng: Seed | None = None,
    start: Classifier | None = None,
    progress: Progress | None = None,
) -> ClassifierRun:
    """Train a two-layer ReLU classifier on whole batches.

    Parameters
    ----------
    points : array_like, shape (N, d)
        Samples.
    labels : array_like of int, shape (N,)
        The class of each, 0..C-1; every class has a sample, and there are at least two.
    hidden : int
        Width m of the hidden layer.
    loss : {"mse", "cross_entropy"}
        Mean over the samples.
    step : float
        Size h of a step, > 0.
    times : array_like, shape (T,)
        Increasing times; time t is reached after round(t/h) steps.
    weight_decay : float
        lambda >= 0; biases do not decay.
    momentum : float
        mu, 0 <= mu < 1. It speeds the run up by about 1/(1 - mu), which the times do not count.
    rng : int, SeedSequence or Generator, optional
        Draws the start, see `Classifier.drawn`; needed unless one is given, and not used then.
    start : Classifier, optional
        The network to start from.
    progress : callable, optional
        Called about a hundred times with the fraction of steps done. What it raises ends the run.

    Returns
    -------
    ClassifierRun
        Loss, accuracy and collapse at `times`, and the trained network; if the run diverges it stops and says when.

    Raises
    ------
    ValueError
        If shapes disagree, a number is not finite, a class has no sample, weight decay or momentum is out of range, the
        step is not positive, times do not increase, the loss is unknown, or there is neither a start nor an `rng`.
    """
    x = real_array("points", points, (None, None))
    if not in_range([x]):
        raise refused("points", x, f"has an entry beyond {LARGEST_PARAMETER:g}", "rescale the samples")
    c = class_labels(labels, len(x))
    counts = np.bincount(c)
    if len(counts) < 2:
        raise refused("labels", c, "has one class only", "a classifier needs at least two")
    if (counts == 0).any():
        problem = f"leaves class {int(np.argmin(counts))} without samples"
        raise refused("labels", c, problem, "number the classes that occur 0, 1, 2, ...")
    m = whole_number("hidden", hidden, 1, "the width of the hidden layer")
    decay, mu = non_negative("weight_decay", weight_decay), non_negative("momentum", momentum)
    if mu >= 1:
        raise refused("momentum", momentum, "is not below 1", "give 0 <= momentum < 1")
    network = _start(start, rng, x.shape[1], m, len(counts))
    course = descend(_Training(x, c, network, loss, decay, mu), step, times, progress)
    return _run(x, network, course)


def _start(start: Classifier | None, rng: Seed | None, inputs: int, hidden: int, classes: int) -> Classifier:
    if start is None:
        if rng is None:
            raise refused("rng", rng, "draws no start", "give a seed, or a network to start from")
        return Classifier.drawn(inputs, hidden, classes, rng)
    if not isinstance(start, Classifier):
        raise refused("start", start, "is not a Classifier", "build one from weights and biases")
    have, want = (start.W1.shape[1], *start.W2.shape[::-1]), (inputs, hidden, classes)
    if have != want:
        problem = f"has {have} inputs, hidden units and outputs"
        raise refused("start", start, problem, f"here a network needs {want}")
    return start


def _run(points: Array, start: Classifier, course: Course[_State]) -> ClassifierRun:
    seen = course.records
    last = seen[-1].classifier if seen else start
    return ClassifierRun(
        times=course.times,
        steps=course.steps,
        loss=stacked((state.cost for state in seen), ()),
        accuracy=stacked((state.accuracy for state in seen), ()),
        collapse=tuple(state.collapse for state in seen),
        classifier=last,
        features=last.features(points),
        divergence_time=course.divergence_time,
    )
