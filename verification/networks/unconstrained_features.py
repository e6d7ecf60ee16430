"""Gradient descent on a linear classifier and free features: the arbiter of the unconstrained-features flows.

The features h_i of N samples are parameters themselves, columns of H (d, N), in the order of the classes; Y (C, N) has
the unit vector of its class in each column. With scores S = W H + b 1^T the objective is

    mse              (1/2k) |S - Y|^2            + (l_W/2) |W|^2 + (l_H/2) |H|^2
    cross_entropy    -(1/k) sum_i log p_c(i),i   + (l_W/2) |W|^2 + (l_H/2) |H|^2,    p = softmax of the columns of S

(`descend_features`), and with one more linear layer (`descend_extended_features`)

    (1/2k) |W_2 W_1 H - Y|^2 + (l_2/2) |W_2|^2 + (l_1/2) |W_1|^2 + (l_H/2) |H|^2

All parameters take a step against their gradient at once, with old values on every right-hand side. Time is step size x
steps. No randomness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import LARGEST_PARAMETER, non_negative, real_array, refused, whole_number
from .descent import Array, Progress, descend, in_range, stacked
from .losses import Loss, ScoreLoss, one_hot
from .neural_collapse import NeuralCollapse, collapse_of

Level = Literal["free", "hidden"]


@dataclass(frozen=True, eq=False)
class FeaturesRun:
    """Record of one descent of classifier and features.

    Attributes
    ----------
    times : ndarray, shape (T,)
        The asked times that the run reached, in units of step size x steps.
    steps : ndarray of int, shape (T,)
        Number of steps, round(time/step), after which each record was taken.
    W, H, b : ndarray, shapes (T, C, d), (T, d, N), (T, C)
        Classifier, features and bias; without a bias b is 0.
    cost : ndarray, shape (T,)
        The objective, with the decay terms.
    loss : ndarray, shape (T,)
        The objective without the decay terms.
    labels : ndarray of int, shape (N,)
        Class of each column of H.
    divergence_time : float
        Time of the last state before a parameter exceeded 1e15, or of the first asked state whose objective is beyond
        the range of the numbers; infinity if nothing of that happened. The run stops there, and all arrays end at the
        last time it reached.
    """

    times: Array
    steps: NDArray[np.int64]
    W: Array
    H: Array
    b: Array
    cost: Array
    loss: Array
    labels: NDArray[np.intp]
    divergence_time: float

    @property
    def diverged(self) -> bool:
        """Whether the run stopped before the last asked time."""
        return math.isfinite(self.divergence_time)

    def collapse(self, index: int) -> NeuralCollapse:
        """Compute NC1 to NC4 at ``times[index]``.

        Raises
        ------
        ValueError
            If all class means agree, or the classifier is zero.

        Notes
        -----
        Features are centred, the classifier is not. Without a bias features may become an orthogonal frame, which is a
        simplex once centred; then NC1 and NC2 vanish, and NC3 is sqrt(2 - 2 sqrt(1 - 1/C)).
        """
        return collapse_of(self.H[index].T, self.labels, self.W[index], self.b[index])


@dataclass(frozen=True, eq=False)
class ExtendedFeaturesRun:
    """Record of one descent of classifier, hidden linear layer and features.

    Attributes
    ----------
    times, steps, cost, loss, labels, divergence_time
        As for `FeaturesRun`.
    W2, W1, H : ndarray, shapes (T, C, m), (T, m, d), (T, d, N)
        Classifier, hidden layer and features.
    """

    times: Array
    steps: NDArray[np.int64]
    W2: Array
    W1: Array
    H: Array
    cost: Array
    loss: Array
    labels: NDArray[np.intp]
    divergence_time: float

    @property
    def diverged(self) -> bool:
        """Whether the run stopped before the last asked time."""
        return math.isfinite(self.divergence_time)

    def collapse(self, index: int, level: Level = "hidden") -> NeuralCollapse:
        """Compute NC1 to NC4 at ``times[index]``.

        Parameters
        ----------
        index : int
            Which record.
        level : {"hidden", "free"}
            Features W_1 H under the classifier W_2, or H under W_2 W_1.

        Raises
        ------
        ValueError
            If all class means agree, the classifier is zero, or the level is unknown.
        """
        W2, W1, H = self.W2[index], self.W1[index], self.H[index]
        if level == "hidden":
            features, classifier = W1 @ H, W2
        elif level == "free":
            features, classifier = H, W2 @ W1
        else:
            raise refused("level", level, "is unknown", "choose 'hidden' or 'free'")
        return collapse_of(features.T, self.labels, classifier, np.zeros(len(W2)))


class _State(NamedTuple):
    cost: float
    loss: float
    parameters: tuple[Array, ...]


class _Layers:
    """Matrices whose product is that of a deep linear network on free features, M_1 M_2 ... M_n [+ b 1^T]."""

    def __init__(self, matrices: list[Array], b: Array | None, decays: list[float], loss: ScoreLoss) -> None:
        self._matrices, self._b, self._decays, self._loss = matrices, b, decays, loss
        self._slopes: list[Array] = []

    def evaluate(self, record: bool) -> _State | None:
        matrices = self._matrices
        below = [matrices[-1]]  # M_n, M_{n-1} M_n, ..., the scores
        for matrix in matrices[-2::-1]:
            below.append(matrix @ below[-1])
        scores = below.pop()
        if self._b is not None:
            scores += self._b[:, None]
        state = self._recorded(scores) if record else None
        error, self._slopes = self._loss.slope(scores), []
        by_bias = error.sum(axis=1)
        for matrix, decay in zip(matrices[:-1], self._decays[:-1], strict=True):
            self._slopes.append(error @ below.pop().T + decay * matrix)
            error = matrix.T @ error
        self._slopes += [error + self._decays[-1] * matrices[-1], by_bias]
        return state

    def _recorded(self, scores: Array) -> _State:
        loss = self._loss.value(scores)
        squares = [decay / 2 * float((each**2).sum()) for decay, each in zip(self._decays, self._matrices, strict=True)]
        bias = np.zeros(len(scores)) if self._b is None else self._b
        return _State(loss + sum(squares), loss, (*self._matrices, bias))

    def step(self, size: float) -> bool:
        moved = [each - size * slope for each, slope in zip(self._matrices, self._slopes[:-1], strict=True)]
        b = None if self._b is None else self._b - size * self._slopes[-1]
        if not in_range(moved if b is None else [*moved, b]):
            return False
        self._matrices, self._b = moved, b
        return True


def descend_features(
    W: ArrayLike,
    H: ArrayLike,
    b: ArrayLike | None = None,
    per_class: ArrayLike | None = None,
    *,
    loss: Loss = "mse",
    scale: float = 1.0,
    decay_weights: float = 0.0,
    decay_features: float = 0.0,
    bias: bool = True,
    step: float,
    times: ArrayLike,
    progress: Progress | None = None,
) -> FeaturesRun:
    """Descend a loss in a linear classifier and in free features.

    Parameters
    ----------
    W, H : array_like, shapes (C, d), (d, N)
        Start of the classifier and of the features, a column a sample, in the order of the classes.
    b : array_like, shape (C,), optional
        Start of the bias, by default 0.
    per_class : int or array_like of int, shape (C,), optional
        Number n of samples of every class, or one number a class; by default N/C.
    loss : {"mse", "cross_entropy"}
        Summed over the samples and divided by `scale`.
    scale : float
        k > 0, which sets the clock: 1 for the plain sum, N for the mean over samples.
    decay_weights, decay_features : float
        l_W and l_H, >= 0. The bias does not decay.
    bias : bool
        Whether there is a bias, which moves then; without it b must be None.
    step : float
        Size h of a step, > 0.
    times : array_like, shape (T,)
        Increasing times; time t is reached after round(t/h) steps.
    progress : callable, optional
        Called about a hundred times with the fraction of steps done. What it raises ends the run.

    Returns
    -------
    FeaturesRun
        Parameters and objective at `times`; if the run diverges it stops and says when.

    Raises
    ------
    ValueError
        If shapes disagree, the samples are not as many as `per_class` says, a number is not finite, a decay is
        negative, scale or step is not positive, times do not increase, the loss is unknown, or a bias is given to a
        classifier without one.
    """
    first = _matrix("W", W, (None, None))
    features = _matrix("H", H, (first.shape[1], None))
    labels = _labels(per_class, len(first), features.shape[1])
    if not bias and b is not None:
        raise refused("b", b, "is the start of a bias that is not there", "leave b out, or set bias=True")
    offset = (np.zeros(len(first)) if b is None else _matrix("b", b, (len(first),))) if bias else None
    decays = [non_negative("decay_weights", decay_weights), non_negative("decay_features", decay_features)]
    score_loss = ScoreLoss(loss, one_hot(labels, len(first)), _positive("scale", scale))
    course = descend(_Layers([first, features], offset, decays, score_loss), step, times, progress)
    seen = course.records
    return FeaturesRun(
        times=course.times,
        steps=course.steps,
        W=stacked((state.parameters[0] for state in seen), first.shape),
        H=stacked((state.parameters[1] for state in seen), features.shape),
        b=stacked((state.parameters[2] for state in seen), (len(first),)),
        cost=stacked((state.cost for state in seen), ()),
        loss=stacked((state.loss for state in seen), ()),
        labels=labels,
        divergence_time=course.divergence_time,
    )


def descend_extended_features(
    W2: ArrayLike,
    W1: ArrayLike,
    H: ArrayLike,
    per_class: ArrayLike | None = None,
    *,
    scale: float | None = None,
    decay_classifier: float = 0.0,
    decay_hidden: float = 0.0,
    decay_features: float = 0.0,
    step: float,
    times: ArrayLike,
    progress: Progress | None = None,
) -> ExtendedFeaturesRun:
    """Descend the squared error in a classifier, a hidden linear layer and free features, without bias.

    Parameters
    ----------
    W2, W1, H : array_like, shapes (C, m), (m, d), (d, N)
        Start of the classifier, of the hidden layer and of the features.
    per_class, step, times, progress
        As for `descend_features`.
    scale : float, optional
        k > 0, by default the number N of samples.
    decay_classifier, decay_hidden, decay_features : float
        l_2, l_1 and l_H, >= 0.

    Returns
    -------
    ExtendedFeaturesRun
        Parameters and objective at `times`; if the run diverges it stops and says when.

    Raises
    ------
    ValueError
        As for `descend_features`.
    """
    classifier = _matrix("W2", W2, (None, None))
    hidden = _matrix("W1", W1, (classifier.shape[1], None))
    features = _matrix("H", H, (hidden.shape[1], None))
    count = features.shape[1]
    labels = _labels(per_class, len(classifier), count)
    decays = [
        non_negative("decay_classifier", decay_classifier),
        non_negative("decay_hidden", decay_hidden),
        non_negative("decay_features", decay_features),
    ]
    k = float(count) if scale is None else _positive("scale", scale)
    score_loss = ScoreLoss("mse", one_hot(labels, len(classifier)), k)
    course = descend(_Layers([classifier, hidden, features], None, decays, score_loss), step, times, progress)
    seen = course.records
    return ExtendedFeaturesRun(
        times=course.times,
        steps=course.steps,
        W2=stacked((state.parameters[0] for state in seen), classifier.shape),
        W1=stacked((state.parameters[1] for state in seen), hidden.shape),
        H=stacked((state.parameters[2] for state in seen), features.shape),
        cost=stacked((state.cost for state in seen), ()),
        loss=stacked((state.loss for state in seen), ()),
        labels=labels,
        divergence_time=course.divergence_time,
    )


def _matrix(name: str, value: ArrayLike, shape: tuple[int | None, ...]) -> Array:
    array = real_array(name, value, shape)
    if not in_range([array]):
        raise refused(name, array, f"has an entry beyond {LARGEST_PARAMETER:g}", "rescale the start")
    return array


def _positive(name: str, value: float) -> float:
    number = non_negative(name, value)
    if number == 0:
        raise refused(name, value, "is zero", "give a number > 0")
    return number


def _labels(per_class: ArrayLike | None, classes: int, count: int) -> NDArray[np.intp]:
    """Classes of the columns."""
    if per_class is None:
        if count % classes:
            problem = f"is not said, and {count} samples are no multiple of {classes} classes"
            raise refused("per_class", per_class, problem, "give one number of samples a class")
        counts = [count // classes] * classes
    elif isinstance(per_class, (int, np.integer)) and not isinstance(per_class, bool):
        counts = [whole_number("per_class", int(per_class), 1, "every class has a sample")] * classes
    else:
        given = np.array(per_class)
        if given.shape != (classes,) or given.dtype.kind not in "iu":
            raise refused("per_class", per_class, "does not give a whole number a class", f"give {classes} integers")
        counts = [whole_number("per_class", each, 1, "every class has a sample") for each in given]
    if sum(counts) != count:
        problem = f"makes {sum(counts)} samples, but H has {count} columns"
        raise refused("per_class", per_class, problem, "make them agree")
    return np.repeat(np.arange(classes), counts)
