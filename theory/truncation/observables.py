"""What is observed of a truncation beside its thresholds: truncated mass class by class, and neural collapse."""

from __future__ import annotations

import sympy as sp

from ..neural_collapse import classifier
from ..systems import Array, Definition, IndexSum
from .entries import CLASS, COORDINATE, LABEL, LAST, OUTPUT_BIAS, OUTPUT_WEIGHTS, SAMPLE, THETA, R, U, d
from .statements import a, i, j, k

__all__ = ["CLAMPED", "CLASS_MASS", "COLLAPSE", "class_mass", "of_each_class", "truncated_samples"]

CLAMPED = Array("v", (SAMPLE, COORDINATE), meaning="truncated samples in the coordinates of the layer")
CLASS_MASS = Array(
    "class_mass", (CLASS, COORDINATE), latex="F", meaning="weight of the samples of a class that a unit truncates"
)
COLLAPSE = classifier(
    LAST,
    LABEL,
    OUTPUT_WEIGHTS,
    OUTPUT_BIAS,
    "in the space of the inputs, h = z^(L) and W = W^(L+1); a sample counts 1/N",
)


def of_each_class(mass: IndexSum) -> IndexSum:
    """A sum over samples, with those of the class a alone.

    Parameters
    ----------
    mass : IndexSum
        That of all samples.

    Returns
    -------
    IndexSum
    """
    return IndexSum(sp.KroneckerDelta(LABEL[i], a) * mass.body, mass.index, mass.size)


def class_mass(mass: IndexSum) -> Definition:
    """The truncated mass of each class, from that of all samples."""
    return Definition(CLASS_MASS, (a, j), of_each_class(mass))


def truncated_samples() -> tuple[Definition, Definition]:
    """Truncated samples in the coordinates of the layer, where truncation is a clamp, and turned back to inputs."""
    clamp = Definition(CLAMPED, (i, j), sp.Max(U[i, j], THETA[j]))
    return clamp, Definition(LAST, (i, k), IndexSum(R[j, k] * CLAMPED[i, j], j, d))
