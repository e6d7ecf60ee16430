"""Starts of gradient flows of a classifier and of the features that it classifies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from hermiton.theory.errors import argument_error

from .start_array import start_array

__all__ = ["CollapsedFeatures", "ExtendedFeatures", "Features"]


@dataclass(frozen=True, eq=False)
class Features:
    """A classifier W h + b and features h, at the start of training.

    Parameters
    ----------
    W : (C, d) array
        Classifier.
    H : (d, N) array
        Features, one column a sample, samples ordered by class.
    b : (C,) array, optional
        Bias; by default 0. A setting without bias does not read it.

    Raises
    ------
    AssumptionError
        If shapes don't match or an entry is not finite.
    """

    W: NDArray[np.float64]
    H: NDArray[np.float64]
    b: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Check shapes and finiteness."""
        object.__setattr__(self, "W", start_array("W", self.W, 2))
        object.__setattr__(self, "H", start_array("H", self.H, 2))
        classes, dimension = self.W.shape
        object.__setattr__(self, "b", start_array("b", np.zeros(classes) if self.b is None else self.b, 1))
        if len(self.H) != dimension:
            problem = f"has {len(self.H)} rows, but W has shape {self.W.shape}"
            raise argument_error("H", self.H.shape, problem, f"pass features with {dimension} components, as columns")
        if self.b is not None and self.b.shape != (classes,):
            problem = f"has shape {self.b.shape}, but W has shape {self.W.shape}"
            raise argument_error("b", self.b.tolist(), problem, f"pass shape {(classes,)}")


@dataclass(frozen=True)
class CollapsedFeatures:
    """A collapsed start: W = alpha U, H = eta U' Y and b = zeta 1, with a frame U.

    Parameters
    ----------
    alpha, eta, zeta : float
        The three numbers; a setting without bias does not read zeta.

    Raises
    ------
    AssumptionError
        If one is not a finite number.
    """

    alpha: float
    eta: float
    zeta: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no number."""
        for name in ("alpha", "eta", "zeta"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise argument_error(name, value, "is not a finite number", "pass a number")


@dataclass(frozen=True, eq=False)
class ExtendedFeatures:
    """Two linear layers W2 W1 h and features h, at the start of training.

    Parameters
    ----------
    W2 : (C, d) array
        Classifier.
    W1 : (d, d) array
        Layer above the features.
    H : (d, N) array
        Features, one column a sample, samples ordered by class.

    Raises
    ------
    AssumptionError
        If shapes don't match or an entry is not finite.
    """

    W2: NDArray[np.float64]
    W1: NDArray[np.float64]
    H: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check shapes and finiteness."""
        for name in ("W2", "W1", "H"):
            object.__setattr__(self, name, start_array(name, getattr(self, name), 2))
        dimension = self.W2.shape[1]
        if self.W1.shape != (dimension, dimension):
            problem = f"has shape {self.W1.shape}, but W2 has shape {self.W2.shape}"
            raise argument_error("W1", self.W1.tolist(), problem, f"pass shape {(dimension, dimension)}")
        if len(self.H) != dimension:
            problem = f"has {len(self.H)} rows, but W2 has shape {self.W2.shape}"
            raise argument_error("H", self.H.shape, problem, f"pass features with {dimension} components, as columns")
