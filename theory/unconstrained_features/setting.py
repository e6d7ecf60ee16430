"""The setting: a linear classifier W h + b of features h that are free parameters themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal

import sympy as sp

from ..errors import argument_error

__all__ = ["UnconstrainedFeatures"]

_CHOICES = {"loss": ("mse", "cross_entropy"), "normalisation": ("one", "samples")}


@dataclass(frozen=True)
class UnconstrainedFeatures:
    r"""Gradient flow of a classifier W h + b and of all features h of its N = C n samples (layer-peeled model).

    With two layers the outputs are W2 W1 h: the extended model of Tirer and Bruna.

    Parameters
    ----------
    classes, per_class : int
        Number C of classes and number n of samples in each.
    dimension : int
        Dimension d of the features.
    loss : {"mse", "cross_entropy"}
        Half the squared distance to one-hot labels, or the cross-entropy of the softmax.
    decay_weights, decay_features : float
        lambda_W and lambda_H of the cost (lambda_W/2) \|W\|^2 + (lambda_H/2) \|H\|^2; with two layers lambda_2 of
        (lambda_2/2) \|W2\|^2 for lambda_W.
    bias : bool
        Whether there is a bias b; it has no decay.
    normalisation : {"one", "samples"}
        The k that the summed loss is divided by: 1, or the number N of samples.
    layers : {1, 2}
        Number of linear layers above the features. Two need the squared loss and no bias; W1 is (d, d).
    decay_hidden : float
        lambda_1 of the cost (lambda_1/2) \|W1\|^2, with two layers.

    Raises
    ------
    AssumptionError
        If an argument is out of range.

    Notes
    -----
    *Validity.* Samples are ordered by class: sample s belongs to class s // n. The collapsed state is a frame of C
    vectors in d dimensions, so d must be at least C - 1, or C for the squared loss without bias.
    """

    classes: int = 3
    per_class: int = 4
    dimension: int = 5
    loss: Literal["mse", "cross_entropy"] = "mse"
    decay_weights: float | sp.Rational = 0
    decay_features: float | sp.Rational = 0
    bias: bool = True
    normalisation: Literal["one", "samples"] = "one"
    layers: Literal[1, 2] = 1
    decay_hidden: float | sp.Rational = 0

    def __post_init__(self) -> None:
        """Refuse what the theory does not cover."""
        for name, least in (("classes", 2), ("per_class", 1), ("dimension", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise argument_error(name, value, f"is not an integer of at least {least}", "pass one")
            object.__setattr__(self, name, int(value))
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                raise argument_error(name, value, "is unknown", f"choose {' or '.join(map(repr, choices))}")
        for name in ("decay_weights", "decay_features", "decay_hidden"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real | sp.Rational) or not math.isfinite(value):
                raise argument_error(name, value, "is not a finite number", "pass a number that is at least 0")
            if value < 0:
                raise argument_error(name, value, "is negative", "pass a number that is at least 0")
        if not isinstance(self.bias, bool):
            raise argument_error("bias", self.bias, "is neither True nor False", "say whether there is a bias")
        self._check_layers()
        least = self.classes - 1 if self.simplex else self.classes
        if self.dimension < least:
            problem = f"has no room for the collapsed frame of {self.classes} classes"
            raise argument_error("dimension", self.dimension, problem, f"pass at least {least}")

    def _check_layers(self) -> None:
        """Refuse what there is no second layer for."""
        if isinstance(self.layers, bool) or not isinstance(self.layers, Integral) or self.layers not in (1, 2):
            raise argument_error("layers", self.layers, "is neither 1 nor 2", "pass the number of linear layers")
        object.__setattr__(self, "layers", int(self.layers))
        if self.layers == 1 and self.decay_hidden != 0:
            cure = "pass layers=2, or leave it at 0"
            raise argument_error("decay_hidden", self.decay_hidden, "belongs to a second layer", cure)
        if self.layers == 2 and self.loss != "mse":
            raise argument_error("loss", self.loss, "is not covered with two layers", "pass 'mse'")
        if self.layers == 2 and self.bias:
            raise argument_error("bias", self.bias, "is not covered with two layers", "pass bias=False")

    @property
    def simplex(self) -> bool:
        """Whether the collapsed frame is a simplex, U U' = I - 11'/C; else it is orthogonal, U U' = I."""
        return self.bias or self.loss == "cross_entropy"

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes by the names that systems use."""
        return {"C": self.classes, "d": self.dimension, "N": self.classes * self.per_class}

    @property
    def labels(self) -> tuple[tuple[int, ...], ...]:
        """One-hot labels, (C, N)."""
        samples = range(self.classes * self.per_class)
        return tuple(tuple(int(s // self.per_class == c) for s in samples) for c in range(self.classes))

    @property
    def normaliser(self) -> int:
        """The number k that the summed loss is divided by."""
        return 1 if self.normalisation == "one" else self.classes * self.per_class
