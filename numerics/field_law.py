"""The law of jointly Gaussian fields as a user writes it, in exact numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp

from ..theory.errors import argument_error
from .field_numbers import exact_number

__all__ = ["MAX_FIELDS", "FieldLaw", "read_law"]

MAX_FIELDS = 4
"""Most fields of one moment."""

_DIGITS = 60  # of an irrational entry where only its neighbourhood matters
_NOT_SYMMETRIC = 1e-12
_INDEFINITE = 1e-10  # what rounding may make of the smallest eigenvalue of correlations
_LEAST_SHARE = Fraction(1, 2**54)
_SHARES = 14


@dataclass(frozen=True)
class FieldLaw:
    """N(mean, covariance) of n fields.

    Attributes
    ----------
    covariance : tuple of tuples of Fraction, shape (n, n)
        Symmetric; irrational entries to 60 digits.
    mean : tuple of Fraction
    exact_covariance, exact_mean : the same of sympy.Expr
        The entries themselves.
    """

    covariance: tuple[tuple[Fraction, ...], ...]
    mean: tuple[Fraction, ...]
    exact_covariance: tuple[tuple[sp.Expr, ...], ...]
    exact_mean: tuple[sp.Expr, ...]

    @property
    def size(self) -> int:
        """Number of fields."""
        return len(self.mean)

    @property
    def is_rational(self) -> bool:
        """Whether every entry is a rational number."""
        return all(x.is_Rational for row in self.exact_covariance for x in row) and all(
            x.is_Rational for x in self.exact_mean
        )

    def part(self, fields: Sequence[int]) -> FieldLaw:
        """The law of some of the fields."""
        return FieldLaw(
            tuple(tuple(self.covariance[a][b] for b in fields) for a in fields),
            tuple(self.mean[a] for a in fields),
            tuple(tuple(self.exact_covariance[a][b] for b in fields) for a in fields),
            tuple(self.exact_mean[a] for a in fields),
        )

    def independent_parts(self) -> Iterator[list[int]]:
        """Groups of fields between which there are no covariances."""
        left = set(range(self.size))
        while left:
            group, new = set[int](), {min(left)}
            while new:
                group |= new
                new = {b for a in new for b in left if self.covariance[a][b] != 0} - group
            left -= group
            yield sorted(group)

    def raised(self, share: Fraction) -> FieldLaw:
        """The law with variances larger by a share of themselves."""
        rows = [list(row) for row in self.covariance]
        exact = [list(row) for row in self.exact_covariance]
        for a in range(self.size):
            rows[a][a] *= 1 + share
            exact[a][a] *= 1 + sp.Rational(share.numerator, share.denominator)
        return FieldLaw(tuple(map(tuple, rows)), self.mean, tuple(map(tuple, exact)), self.exact_mean)

    def missing_share(self) -> Fraction:
        """What rounding has taken from the variances: the share of themselves that they lack to be those of a law.

        0 if the covariance is positive semidefinite, decided in rational arithmetic.
        """
        # an irrational entry is known to 60 digits: what its last digits make of a singular covariance counts as zero
        slack = Fraction(0) if self.is_rational else Fraction(1, 10 ** (_DIGITS - 10))
        if _is_semidefinite(self.covariance, slack):
            return Fraction(0)
        share = _LEAST_SHARE
        for _ in range(_SHARES):
            if _is_semidefinite(self.raised(share).covariance, slack):
                return share
            share *= 4
        raise argument_error(
            "covariance", _shown(self.covariance), "is not positive semidefinite", "pass the covariance of a law"
        )


def _is_semidefinite(covariance: Sequence[Sequence[Fraction]], slack: Fraction) -> bool:
    rest = [list(row) for row in covariance]
    size = len(rest)
    scale = [covariance[a][a] for a in range(size)]
    left = set(range(size))
    while left:
        pivot = max(left, key=lambda a: rest[a][a] / scale[a] if scale[a] else Fraction(0))
        least = slack * scale[pivot]
        if rest[pivot][pivot] <= least:
            return all(rest[a][a] >= -slack * scale[a] for a in left) and all(
                rest[a][b] ** 2 <= (slack * 10**5) * scale[a] * scale[b] for a in left for b in left if a != b
            )
        left.remove(pivot)
        for a in left:
            for b in left:
                rest[a][b] -= rest[a][pivot] * rest[pivot][b] / rest[pivot][pivot]
    return True


def read_law(covariance: Any, mean: Any) -> FieldLaw:
    """Check a covariance and a mean.

    Parameters
    ----------
    covariance : array, nested sequence or SymPy matrix, shape (n, n)
        n = 1 to 4; entries as for :func:`~hermiton.numerics.field_numbers.exact_number`.
    mean : array, sequence or SymPy matrix of length n, or None
        Zero if None.

    Returns
    -------
    FieldLaw

    Raises
    ------
    AssumptionError
        If a shape is wrong, an entry is no finite real number, or the covariance is not symmetric or not positive
        semidefinite; what rounding does is let through (1e-12 of the deviations, and eigenvalues of the correlations
        down to -1e-10).
    """
    rows = _rows(covariance)
    size = len(rows)
    if not 1 <= size <= MAX_FIELDS:
        raise argument_error(
            "covariance",
            _shape(covariance),
            "is the shape of too many fields" if size else "is empty",
            f"give 1 to {MAX_FIELDS} fields: longer products don't occur in the theory",
        )
    if any(len(row) != size for row in rows):
        raise argument_error(
            "covariance", _shape(covariance), "is not the shape of a square matrix", "use shape (n, n)"
        )
    means = [0] * size if mean is None else _entries("mean", mean, size)
    exact = [[exact_number("covariance", x) for x in row] for row in rows]
    exact_mean = [exact_number("mean", x) for x in means]
    values = [[_rational(x) for x in row] for row in exact]
    numbers = np.array([[_double("covariance", x) for x in row] for row in values])
    for m in exact_mean:
        _double("mean", _rational(m))
    _check_covariance(values, numbers)
    symmetric = [[(values[a][b] + values[b][a]) / 2 for b in range(size)] for a in range(size)]
    # the exact entries of both triangles agree where they are exact; rounding makes no difference to the average
    symbolic = [
        [_sympy(exact[a][b]) if values[a][b] == values[b][a] else _sympy(symmetric[a][b]) for b in range(size)]
        for a in range(size)
    ]
    return FieldLaw(
        tuple(map(tuple, symmetric)),
        tuple(_rational(m) for m in exact_mean),
        tuple(map(tuple, symbolic)),
        tuple(_sympy(m) for m in exact_mean),
    )


def _rows(covariance: Any) -> list[list[Any]]:
    cure = "pass an array, nested lists or a SymPy matrix of shape (n, n)"
    given = covariance.tolist() if hasattr(covariance, "tolist") else covariance
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise argument_error("covariance", covariance, "is not a matrix", cure)
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in given]
    if any(isinstance(row, str) or not isinstance(row, Sequence) for row in rows):
        raise argument_error("covariance", covariance, "is not a matrix", cure)
    return [list(row) for row in rows]


def _entries(name: str, given: Any, size: int) -> list[Any]:
    if isinstance(given, sp.MatrixBase):
        entries: Any = list(given)
    else:
        entries = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(entries, str) or not isinstance(entries, Sequence) or len(entries) != size:
        raise argument_error(name, given, f"is not a sequence of length {size}", f"give one number a field: {size}")
    return list(entries)


def _shape(given: Any) -> Any:
    return getattr(given, "shape", given)


def _rational(exact: Fraction | sp.Expr) -> Fraction:
    if isinstance(exact, Fraction):
        return exact
    value = sp.Rational(exact.evalf(_DIGITS + 5))
    return Fraction(int(value.p), int(value.q))


def _sympy(exact: Fraction | sp.Expr) -> sp.Expr:
    return sp.Rational(exact.numerator, exact.denominator) if isinstance(exact, Fraction) else exact


def _double(name: str, value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        raise argument_error(name, value, "is too large for a double", "use numbers below 1e308") from None


def _shown(values: Sequence[Sequence[Fraction]]) -> list[list[float]]:
    return [[float(x) for x in row] for row in values]


def _check_covariance(values: list[list[Fraction]], numbers: np.ndarray[Any, Any]) -> None:
    size = len(values)
    cure = "pass the covariance of a law, as A @ A.T"
    if np.any(numbers.diagonal() < 0.0):
        raise argument_error("covariance", numbers.tolist(), "has a negative variance", cure)
    deviations = np.sqrt(numbers.diagonal())
    for a in range(size):
        for b in range(a):
            size_of = float(deviations[a] * deviations[b])
            if abs(float(values[a][b] - values[b][a])) > _NOT_SYMMETRIC * size_of:
                raise argument_error("covariance", numbers.tolist(), "is not symmetric", cure)
            if size_of == 0.0 and values[a][b] != 0 and 0 in (values[a][a], values[b][b]):
                raise argument_error(
                    "covariance",
                    numbers.tolist(),
                    "is not positive semidefinite: a field without variance covaries",
                    cure,
                )
    scale = np.where(deviations > 0.0, deviations, 1.0)
    least = float(np.linalg.eigvalsh(numbers / scale[:, None] / scale)[0])
    if not least >= -_INDEFINITE or not math.isfinite(least):
        raise argument_error(
            "covariance",
            numbers.tolist(),
            f"is not positive semidefinite: an eigenvalue of its correlations is {least:.1e}",
            cure,
        )
