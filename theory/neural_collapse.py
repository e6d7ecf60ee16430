r"""The four metrics of neural collapse, of features h_i of N samples in C classes and a linear classifier (W, b).

With class means mu_c, the mean m of all samples, M = [mu_c - m], Sigma_W = (1/N) sum_i (h_i - mu_c(i))(h_i -
mu_c(i))^T, Sigma_B = M M^T / C and Pi = I - 1 1^T / C:

    NC1 = tr(Sigma_W pinv(Sigma_B)) / C                          variability within classes
    NC2 = | M^T M / |M^T M| - Pi / sqrt(C - 1) |                 class means against a simplex equiangular tight frame
    NC3 = | W / |W| - M^T / |M| |                                the classifier against class means
    NC4 = fraction of samples where argmax(W h + b) is not the class of the nearest mean

in Frobenius norms; all vanish at full collapse. Samples count alike, whatever their weights in a cost.
"""

from __future__ import annotations

import sympy as sp
from sympy.matrices.expressions.diagonal import DiagonalOf

from .systems import Array, Classifier, Definition, Disagreement, Norm, PseudoInverse

__all__ = ["BETWEEN", "METRICS", "NC1", "NC2", "NC3", "NC4", "classifier"]

_N, _d, _C = sp.symbols("N d C", integer=True, positive=True)
H = sp.MatrixSymbol("H", _d, _N)
M = sp.MatrixSymbol("M", _d, _C)
MEAN = sp.MatrixSymbol("m", _d, 1)
WITHIN = sp.MatrixSymbol("Sigma_W", _d, _d)
W = sp.MatrixSymbol("W", _C, _d)
B = sp.MatrixSymbol("b", _C, 1)

BETWEEN = M * M.T / _C
"""Between-class scatter Sigma_B."""

_PI = sp.Identity(_C) - sp.OneMatrix(_C, _C) / _C
_ONES = sp.OneMatrix(1, _N)

# pinv(M M^T / C) = C pinv(M)^T pinv(M): in floating point the square would lose half the digits of M.
NC1 = sp.Trace(WITHIN * PseudoInverse(M).T * PseudoInverse(M))
NC2 = Norm(M.T * M / Norm(M.T * M) - _PI / sp.sqrt(_C - 1))
NC3 = Norm(W / Norm(W) - M.T / Norm(M))
# |h - mu_c|^2 = |h - m|^2 - 2 (mu_c - m).(h - m) + |mu_c - m|^2, and the first term is the same for all classes.
_NEARNESS = M.T * (H - MEAN * _ONES) - DiagonalOf(M.T * M) * _ONES / 2
NC4 = Disagreement(W * H + B * _ONES, _NEARNESS)

METRICS = (
    ("nc1", NC1, "variability within classes, tr(Sigma_W pinv(Sigma_B))/C"),
    ("nc2", NC2, "distance of the Gram matrix of class means from that of a simplex equiangular tight frame"),
    ("nc3", NC3, "distance of the direction of W from that of the class means"),
    ("nc4", NC4, "fraction of samples whose class by W h + b is not that of the nearest class mean"),
)
"""Name, value and meaning of each."""


def classifier(features: Array, labels: Array, weights: Array, bias: Array, picture: str) -> Classifier:
    """A classifier with its four metrics.

    Parameters
    ----------
    features, labels, weights, bias : Array
        As for `Classifier`.
    picture : str
        What h and W are, for the meanings.

    Returns
    -------
    Classifier
    """
    metrics = tuple(Definition(Array(name, meaning=f"{words}; {picture}"), (), value) for name, value, words in METRICS)
    return Classifier(features, labels, weights, bias, metrics)
