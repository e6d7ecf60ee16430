"""The four metrics of neural collapse, from features h_i of N samples in C classes and a linear classifier (W, b).

With class means mu_c, the mean mu of all samples, M = [mu_c - mu] (d x C), Sigma_W = (1/N) sum_i (h_i - mu_c(i))(h_i -
mu_c(i))^T, Sigma_B = (1/C) M M^T and Pi = I - 11^T/C:

    NC1 = tr(Sigma_W pinv(Sigma_B)) / C                          variability collapse
    NC2 = | M^T M/|M^T M| - Pi/sqrt(C-1) |                       class means form a simplex equiangular tight frame
    NC3 = | W/|W| - M^T/|M| |                                    the classifier aligns with them
    NC4 = fraction of samples where argmax(W h + b) is not the class of the nearest class mean

with Frobenius norms. For truncated data there are two pictures, which differ by the affine map of the hidden layers:
input space, h = z^(L) with the cumulative (W^(L+1), b^(L+1)), and feature space, h = x^(L) with (W_{L+1}, b_{L+1}). The
outputs W h + b agree; NC2, NC3 and the nearest means of NC4 do not, and NC1 agrees only when Sigma_B has the rank of
all d dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import real_array, refused
from .relu_network import Array, LabelledData, ReLUNetwork, class_labels, fitting

Picture = Literal["input space", "feature space"]


@dataclass(frozen=True)
class NeuralCollapse:
    """NC1 to NC4 of features and a classifier, in one picture.

    Attributes
    ----------
    picture : {"input space", "feature space"}
        Whether features are z^(L) or x^(L).
    nc1, nc2, nc3, nc4 : float
        The metrics, all 0 at full collapse; samples count alike, whatever their weights in the cost.
    """

    picture: Picture
    nc1: float
    nc2: float
    nc3: float
    nc4: float


@dataclass(frozen=True, eq=False)
class _Classes:
    features: Array  # (N, d)
    labels: NDArray[np.intp]  # (N,)
    means: Array  # (C, d)
    centred: Array  # M^T, (C, d)
    tolerance: float  # rounding errors of `centred`


def _classes(features: ArrayLike, labels: ArrayLike) -> _Classes:
    h = real_array("features", features, (None, None))
    c = class_labels(labels, len(h))
    counts = np.bincount(c)
    if len(counts) < 2:
        raise refused("labels", c, "has one class only", "collapse needs at least two classes")
    if (counts == 0).any():
        problem = f"leaves class {int(np.argmin(counts))} without samples"
        raise refused("labels", c, problem, "number the classes that occur 0, 1, 2, ...")
    # Means of the differences to one sample: a class that sits at one point has exactly that point as its mean.
    means = np.empty((len(counts), h.shape[1]))
    for label in range(len(counts)):
        members = h[c == label]
        means[label] = members[0] + (members - members[0]).mean(axis=0)
    centred = means - counts @ means / len(h)
    tolerance = float(max(means.shape) * np.finfo(np.float64).eps * np.abs(h).max())
    if np.linalg.norm(centred) <= tolerance:
        raise refused("features", h, "have equal class means", "the metrics compare class means that differ")
    return _Classes(h, c, means, centred, tolerance)


def _classifier(weights: ArrayLike, of: _Classes) -> Array:
    W = real_array("weights", weights, (len(of.means), of.means.shape[1]))
    if not W.any():
        raise refused("weights", W, "is zero", "a classifier without weights has no direction")
    return W


def _nc1(of: _Classes) -> float:
    # Sigma_B = (1/C) U s^2 U^T from M = U s V^T. Its rank is at most C-1, since the class means average to mu: what is
    # beyond that, or within rounding errors of 0, belongs to the kernel that pinv leaves out.
    _, s, U = np.linalg.svd(of.centred, full_matrices=False)
    rank = min(len(of.means) - 1, int((s > of.tolerance).sum()))
    within = (of.features - of.means[of.labels]) @ U[:rank].T / s[:rank]
    return float((within**2).sum() / len(of.features))


def _nc2(of: _Classes) -> float:
    classes = len(of.means)
    gram = of.centred @ of.centred.T
    simplex = (np.eye(classes) - 1.0 / classes) / np.sqrt(classes - 1.0)
    return float(np.linalg.norm(gram / np.linalg.norm(gram) - simplex))


def _nc3(of: _Classes, W: Array) -> float:
    return float(np.linalg.norm(W / np.linalg.norm(W) - of.centred / np.linalg.norm(of.centred)))


def _nc4(of: _Classes, W: Array, b: Array) -> float:
    distances = np.stack([((of.features - mean) ** 2).sum(axis=1) for mean in of.means], axis=1)
    chosen = np.argmax(of.features @ W.T + b, axis=1)
    return float((chosen != np.argmin(distances, axis=1)).mean())


def nc1(features: ArrayLike, labels: ArrayLike) -> float:
    """NC1 of features (N, d) with classes (N,): within-class variance relative to that between classes.

    Raises
    ------
    ValueError
        As for `neural_collapse`.
    """
    return _nc1(_classes(features, labels))


def nc2(features: ArrayLike, labels: ArrayLike) -> float:
    """NC2 of features (N, d) with classes (N,): distance of the Gram matrix of class means from a simplex ETF's.

    Raises
    ------
    ValueError
        As for `neural_collapse`.
    """
    return _nc2(_classes(features, labels))


def nc3(features: ArrayLike, labels: ArrayLike, weights: ArrayLike) -> float:
    """NC3 of features (N, d) with classes (N,) and classifier (C, d): distance of its direction from the class means'.

    Raises
    ------
    ValueError
        As for `neural_collapse`.
    """
    of = _classes(features, labels)
    return _nc3(of, _classifier(weights, of))


def nc4(features: ArrayLike, labels: ArrayLike, weights: ArrayLike, bias: ArrayLike) -> float:
    """NC4 of features (N, d) with classes (N,) and classifier (C, d), (C,): disagreement with the nearest class mean.

    Of equal scores, or of equal distances, the first class counts.

    Raises
    ------
    ValueError
        As for `neural_collapse`.
    """
    of = _classes(features, labels)
    return _nc4(of, _classifier(weights, of), real_array("bias", bias, (len(of.means),)))


def collapse_of(
    features: ArrayLike, labels: ArrayLike, weights: ArrayLike, bias: ArrayLike, picture: Picture = "feature space"
) -> NeuralCollapse:
    """Compute NC1 to NC4 of features (N, d) with classes (N,) and classifier (C, d), (C,).

    `picture` only says what the features are.

    Raises
    ------
    ValueError
        As for `neural_collapse`.
    """
    of = _classes(features, labels)
    W = _classifier(weights, of)
    b = real_array("bias", bias, (len(of.means),))
    return NeuralCollapse(picture, _nc1(of), _nc2(of), _nc3(of, W), _nc4(of, W, b))


def neural_collapse(network: ReLUNetwork, data: LabelledData, picture: Picture) -> NeuralCollapse:
    """Compute NC1 to NC4 of a network on data.

    Parameters
    ----------
    network : ReLUNetwork
        With one output a class, m = C.
    data : LabelledData
        Samples and labels; every class must have a sample. Label vectors and sample weights do not count.
    picture : {"input space", "feature space"}
        Features z^(L) with W^(L+1) and b^(L+1), or x^(L) with W_{L+1} and b_{L+1}.

    Returns
    -------
    NeuralCollapse

    Raises
    ------
    ValueError
        If a class has no sample, there is one class only, all class means agree (to rounding), the classifier is zero
        or has not one output a class, or the picture is unknown; in input space also if a cumulative hidden weight
        cannot be inverted.

    Notes
    -----
    NC1 does not see the kernel of Sigma_B. NC2 can vanish only if Sigma_B has rank C-1.
    """
    fitting(network, data)
    if picture == "input space":
        own = network.cumulative()
        features, weights, bias = network.truncated(data.inputs), own.weights[-1], own.output_bias
    elif picture == "feature space":
        features, weights, bias = network.layers(data.inputs)[-2], network.weights[-1], network.biases[-1]
    else:
        raise refused("picture", picture, "is unknown", "choose 'input space' or 'feature space'")
    return collapse_of(features, data.labels, weights, bias, picture)
