"""Starts of teacher-student dynamics: overlaps, given or computed from a user's own weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hermiton.theory.errors import argument_error

from .start_array import start_array

__all__ = ["Overlaps"]

# Rounding of a Gram matrix: smaller negative eigenvalues than this times the largest are zeros.
_EIGENVALUE_ROUNDING = 1e-10


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Order parameters of a student and a teacher, at the start of training.

    Parameters
    ----------
    Q : (K, K) array
        Student overlaps w_k . w_l / N.
    R : (K, M) array
        Teacher-student overlaps w_k . w*_n / N.
    T : (M, M) array
        Teacher overlaps w*_n . w*_m / N.
    v : (K,) array
        Second layer of the student.
    A : (M,) array
        Second layer of the teacher.
    weights : tuple of arrays, optional
        Student (K, N) and teacher (M, N) weights that have these overlaps; a simulation then starts from exactly
        these.

    Raises
    ------
    AssumptionError
        If shapes don't match, an entry is not finite, or no weights can have these overlaps (the matrix
        [[Q, R], [R', T]] is not positive semidefinite).
    """

    Q: NDArray[np.float64]
    R: NDArray[np.float64]
    T: NDArray[np.float64]
    v: NDArray[np.float64]
    A: NDArray[np.float64]
    weights: tuple[NDArray[np.float64], NDArray[np.float64]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check shapes, finiteness, symmetry and that weights with these overlaps exist."""
        for name, dimensions in (("Q", 2), ("R", 2), ("T", 2), ("v", 1), ("A", 1)):
            object.__setattr__(self, name, start_array(name, getattr(self, name), dimensions))
        width, teacher_width = self.R.shape
        wanted = {"Q": (width, width), "T": (teacher_width, teacher_width), "v": (width,), "A": (teacher_width,)}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                problem = f"has shape {getattr(self, name).shape}, but R has shape {self.R.shape}"
                raise argument_error(name, getattr(self, name).tolist(), problem, f"pass shape {shape}")
        for name in ("Q", "T"):
            matrix = getattr(self, name)
            if not np.allclose(matrix, matrix.T, rtol=1e-12, atol=1e-12):
                raise argument_error(name, matrix.tolist(), "is not symmetric", f"pass a matrix with {name} = {name}'")
        eigenvalues = np.linalg.eigvalsh(self.covariance)
        if eigenvalues[0] < -_EIGENVALUE_ROUNDING * max(eigenvalues[-1], 1.0):
            raise argument_error(
                "[[Q, R], [R', T]]",
                self.covariance.tolist(),
                f"is not positive semidefinite (smallest eigenvalue {eigenvalues[0]:.3g})",
                "overlaps are inner products of weights; take them from weights with Overlaps.from_weights",
            )

    @property
    def covariance(self) -> NDArray[np.float64]:
        """The (K + M, K + M) covariance [[Q, R], [R', T]] of the local fields."""
        return np.block([[self.Q, self.R], [self.R.T, self.T]])

    @classmethod
    def from_weights(
        cls, student: ArrayLike, teacher: ArrayLike, second_layer: ArrayLike, teacher_second_layer: ArrayLike
    ) -> Overlaps:
        """Overlaps of given weights.

        Parameters
        ----------
        student, teacher : (K, N) and (M, N) arrays
            First layers, with fields w . x / sqrt(N) and rows of norm O(sqrt(N)). Weights of a network with fields
            w . x are to be multiplied by sqrt(N).
        second_layer, teacher_second_layer : (K,) and (M,) arrays
            Second layers.

        Returns
        -------
        Overlaps
            It keeps the weights, so that `simulate` continues from exactly these.

        Raises
        ------
        AssumptionError
            If shapes don't match or an entry is not finite.
        """
        first = start_array("student", student, 2)
        target = start_array("teacher", teacher, 2)
        if first.shape[1] != target.shape[1]:
            problem = f"has {target.shape[1]} columns, but student has {first.shape[1]}"
            raise argument_error("teacher", target.shape, problem, "both layers act on the same N inputs")
        dimension = first.shape[1]
        return cls(
            Q=first @ first.T / dimension,
            R=first @ target.T / dimension,
            T=target @ target.T / dimension,
            v=np.asarray(second_layer),
            A=np.asarray(teacher_second_layer),
            weights=(first, target),
        )
