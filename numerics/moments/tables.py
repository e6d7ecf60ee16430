"""The moment tables as generated kernels fill them: contiguous, symmetric where the moments are."""

from __future__ import annotations

from typing import Any

from numba import njit

from .four_point import four_point_moments
from .options import OPTIONS
from .pairs import pair_moments

__all__ = ["fill_four_point", "fill_pairs"]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def fill_pairs(
    covariance: Any, students: int, teachers: int, sizes: Any, data: Any, out: Any, scratch: Any, evaluate: Any
) -> None:
    """Fill the (3, F, F) pair tables; entries (teacher, student) of E[g' g'] are copied from (student, teacher)."""
    pair_moments(covariance, students, teachers, sizes, data, out, scratch, evaluate)
    fields = students + teachers
    second = fields * fields
    for i in range(students, fields):
        for k in range(students):
            out[second + i * fields + k] = out[second + k * fields + i]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def fill_four_point(
    covariance: Any, students: int, teachers: int, sizes: Any, data: Any, out: Any, scratch: Any, evaluate: Any
) -> None:
    """Fill the (K, K, F, F) four-point table."""
    four_point_moments(covariance, students, teachers, sizes, data, out, scratch, evaluate)
