"""Checkers of steps: each kind of step has its own way of being decided.

All are deterministic and exact. Random points are rational numbers from a generator seeded by text, so that a check
does the same in every process.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sympy as sp

from .derivation import CheckResult
from .errors import DerivationError
from .fields import linear_form, wick_value
from .systems import Array, instantiate

__all__ = ["ByComponents", "ByLinearity", "ByWick", "FiniteDimension", "rationals", "refute"]

X = sp.Symbol("x")


def rationals(seed: str, denominator: int = 7, bound: int = 9) -> Iterator[sp.Rational]:
    """An endless stream of small non-zero rationals that depends on the seed alone.

    >>> stream = rationals("example")
    >>> all(next(stream) != 0 for _ in range(100))
    True
    """
    state = int.from_bytes(seed.encode(), "big") % (2**61 - 1) or 1
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        numerator = (state >> 33) % (2 * bound + 1) - bound
        if numerator:
            yield sp.Rational(numerator, 1 + (state >> 40) % denominator)


def refute(lhs: sp.Expr, rhs: sp.Expr, difference: sp.Expr, where: str) -> DerivationError:
    """The error of a step whose sides differ."""
    text = str(difference)
    return DerivationError(
        f"not equal {where}:\n  lhs = {lhs}\n  rhs = {rhs}\n"
        f"  lhs - rhs = {text[:400]}{' ...' if len(text) > 400 else ''}"
    )


@dataclass(frozen=True)
class _Sized:
    """What all checkers under index sums share: the sizes to write out and the free indices to run through."""

    students: sp.Symbol
    teachers: sp.Symbol
    student_indices: tuple[sp.Symbol, ...] = ()
    field_indices: tuple[sp.Symbol, ...] = ()
    teacher_indices: tuple[sp.Symbol, ...] = ()

    def places(self, width: int, teacher_width: int) -> Iterator[dict[sp.Symbol, sp.Integer]]:
        """Every assignment of the free indices at the given sizes."""
        ranges = [
            *((i, width) for i in self.student_indices),
            *((i, width + teacher_width) for i in self.field_indices),
            *((i, teacher_width) for i in self.teacher_indices),
        ]
        for values in itertools.product(*(range(n) for _, n in ranges)):
            yield {i: sp.Integer(value) for (i, _), value in zip(ranges, values, strict=True)}


@dataclass(frozen=True)
class ByLinearity(_Sized):
    """Equal by algebra, linearity of the expectation and the noise's own moments, for every activation.

    Parameters
    ----------
    arrays : mapping of str to Array
        For the symmetries of array entries.
    orders : mapping of str to tuple of int
        Derivative orders of the named moments.
    substitutions : mapping
        Abbreviations to write out first.
    largest : tuple of int
        Sizes K <= largest[0], M <= largest[1] are all tried, entries symbolic.
    """

    arrays: Mapping[str, Array] = field(default_factory=dict)
    orders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    substitutions: Mapping[sp.Expr, sp.Expr] = field(default_factory=dict)
    largest: tuple[int, int] = (3, 2)

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare normal forms at every small size."""
        for width, teacher_width in itertools.product(*(range(1, n + 1) for n in self.largest)):
            sizes = {self.students: width, self.teachers: teacher_width}
            for place in self.places(width, teacher_width):
                both = [
                    linear_form(
                        side.xreplace(dict(self.substitutions)).xreplace(place), sizes, self.arrays, self.orders
                    )
                    for side in (lhs, rhs)
                ]
                difference = sp.expand(both[0] - both[1])
                if difference != 0:
                    raise refute(lhs, rhs, difference, f"at K={width}, M={teacher_width}, {place}")
        return CheckResult(
            "symbolic", "derived", f"symbolic entries at every K <= {self.largest[0]}, M <= {self.largest[1]}"
        )


@dataclass(frozen=True, kw_only=True)
class ByComponents(_Sized):
    """Equal as polynomials in the components of weights and input, written out at small N.

    Parameters
    ----------
    dimension : sympy.Symbol
        The symbol N.
    expand_fields : callable
        ``expand_fields(width, teacher_width, n)`` gives the replacements of fields by components at N = n.
    """

    dimension: sp.Symbol
    expand_fields: Callable[[int, int, int], Mapping[sp.Expr, sp.Expr]]

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare at N = 1, 2, 3 with symbolic components."""
        width, teacher_width = 2, 2
        for n in (1, 2, 3):
            sizes = {self.students: width, self.teachers: teacher_width, self.dimension: n}
            fields = dict(self.expand_fields(width, teacher_width, n))
            for place in self.places(width, teacher_width):
                sides = [instantiate(side.xreplace(place), sizes).xreplace(fields) for side in (lhs, rhs)]
                difference = sp.expand(sides[0] - sides[1])
                if difference != 0:
                    raise refute(lhs, rhs, difference, f"at N={n}, {place}")
        return CheckResult("symbolic", "derived", "symbolic components at N = 1, 2, 3")


def _gram(seed: str, size: int) -> sp.Matrix:
    """A random rational covariance: the Gram matrix of random rational vectors."""
    stream = rationals(seed)
    vectors = sp.Matrix(size, size + 1, lambda i, j: next(stream) / 5)
    return vectors * vectors.T


@dataclass(frozen=True, kw_only=True)
class ByWick(_Sized):
    """Both sides computed exactly for polynomial activations: polynomials are dense, so a wrong rule can't pass.

    Parameters
    ----------
    expand : callable
        Turns named moments and abbreviations into expectations.
    covariance : Array
        The covariance of the fields, whose entries get values.
    amplitudes : Array
        The signs and second-layer weights s of the fields.
    degree : int
        Degree of the test activations, whose coefficients are symbols.
    """

    expand: Callable[[sp.Expr], sp.Expr]
    covariance: Array
    amplitudes: Array
    degree: int = 6

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Symbolic coefficients at the smallest size and symbolic covariance; rational covariances at larger ones."""
        student = sp.Add(*(sp.Symbol(f"p{i}") * X**i for i in range(self.degree + 1)))
        teacher = sp.Add(*(sp.Symbol(f"q{i}") * X**i for i in range(self.degree + 1)))
        for width, teacher_width in ((1, 1), (2, 1), (2, 2), (3, 2)):
            count = width + teacher_width
            small = count == 2
            law = (
                sp.Matrix(2, 2, lambda i, j: sp.Symbol(f"C{min(i, j)}{max(i, j)}"))
                if small
                else _gram(f"covariance {width} {teacher_width}", count)
            )
            stream = rationals(f"amplitudes {width} {teacher_width}")
            weights = [sp.Symbol(f"s{i}") if small else next(stream) for i in range(count)]
            if small:
                activations = {i: student if i < width else teacher for i in range(count)}
            else:
                polynomials = [sp.Add(*(next(stream) * X**i for i in range(4))) for _ in range(2)]
                activations = {i: polynomials[0 if i < width else 1] for i in range(count)}
            entries: dict[sp.Expr, sp.Expr] = {
                **{self.covariance.base[i, j]: law[i, j] for i in range(count) for j in range(count)},
                **{self.amplitudes.base[i]: weights[i] for i in range(count)},
            }
            sizes = {self.students: width, self.teachers: teacher_width}
            for place in self.places(width, teacher_width):
                sides = [
                    wick_value(self.expand(side).xreplace(place), sizes, law, activations, entries)
                    for side in (lhs, rhs)
                ]
                difference = sp.expand(sides[0] - sides[1])
                if difference != 0:
                    raise refute(lhs, rhs, difference, f"at K={width}, M={teacher_width}, {place}")
        return CheckResult(
            "Wick",
            "derived",
            f"both sides exact for test activations of degree {self.degree} with symbolic coefficients and covariance, "
            "and at rational covariances up to K=3, M=2",
        )


@dataclass(frozen=True)
class FiniteDimension:
    """A limit N -> infinity: exact finite-N values by Wick have the form (claim) + c/N.

    Parameters
    ----------
    exact : callable
        ``exact(n)``: the exact values at N = n, by brute force over the components of the input.
    claim : callable
        ``claim(rhs)``: the values that the right-hand side claims for the limit.
    dimensions : tuple of int
        At least three values of N.
    """

    exact: Callable[[int], Sequence[sp.Expr]]
    claim: Callable[[sp.Expr], Sequence[sp.Expr]]
    dimensions: tuple[int, ...] = (2, 3, 4, 5)

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """N (exact - claim) must not depend on N."""
        claimed = [sp.nsimplify(c) for c in self.claim(rhs)]
        coefficients = []
        for n in self.dimensions:
            values = self.exact(n)
            coefficients.append([sp.expand(n * (value - c)) for value, c in zip(values, claimed, strict=True)])
        for later, n in zip(coefficients[1:], self.dimensions[1:], strict=True):
            for first, other in zip(coefficients[0], later, strict=True):
                if sp.expand(first - other) != 0:
                    raise refute(lhs, rhs, sp.expand(first - other), f"in the limit N -> oo (exact values up to N={n})")
        largest = max((abs(c) for c in coefficients[0]), default=sp.Integer(0))
        return CheckResult(
            "finite N",
            "derived",
            f"exact expectation by Wick at N = {', '.join(map(str, self.dimensions))} is the claim + c/N "
            f"(largest c at the test point: {sp.N(largest, 3)})",
        )
