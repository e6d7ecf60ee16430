"""Labels in the space of the inputs."""

from __future__ import annotations

from ..systems import Definition, IndexSum, Inverse
from .entries import OUTPUT_BIAS, OUTPUT_WEIGHTS, TARGET, M, Y
from .statements import a, k, m

__all__ = ["PULLED_BACK"]

PULLED_BACK = Definition(Y, (a, k), IndexSum(Inverse(OUTPUT_WEIGHTS[k, m]) * (TARGET[a, m] - OUTPUT_BIAS[m]), m, M))
"""Labels pulled back through the output layer, by its inverse or pseudo-inverse."""
