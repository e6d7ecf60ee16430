"""Checks of the truncation chapter: both sides of a step with every array written out.

A step is a formula in entries of arrays. A `Case` gives each entry a value: symbols in one and two dimensions, for
every pattern of kept and truncated units, and rational numbers in three. Gradients are taken of the written-out cost.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from ..checks import rationals, refute
from ..derivation import CheckResult
from ..errors import DerivationError
from ..systems import Array, IndexSet, Passed, instantiate

__all__ = [
    "AtCases",
    "BySubstitution",
    "Case",
    "Gradient",
    "adapted_cases",
    "cayley",
    "general_cases",
    "of_matrix",
    "of_vector",
    "patterns",
    "rotated_cases",
    "symbol_matrix",
]

N, d, C, M = sp.symbols("N d C M", integer=True, positive=True)
SAMPLE = IndexSet("sample", N, dimensions=("sample",))
COORDINATE = IndexSet("coordinate", d, dimensions=("coordinate",))
INPUT = IndexSet("component", d, dimensions=("component",))
CLASS = IndexSet("class", C, dimensions=("class",))
OUTPUT = IndexSet("output", M, dimensions=("output",))

X = Array("x", (SAMPLE, INPUT), field="points", meaning="samples")
LABEL = Array("c", (SAMPLE,), field="labels", meaning="class of each sample")
TARGET = Array("y", (CLASS, OUTPUT), field="targets", meaning="label vector of each class")
Y = Array("ytilde", (CLASS, INPUT), latex=r"\tilde y", meaning="label of each class, pulled back to inputs")
OUTPUT_WEIGHTS = Array("output_weights", (OUTPUT, INPUT), latex=r"W^{(L+1)}", meaning="weights of the output layer")
OUTPUT_BIAS = Array("output_bias", (OUTPUT,), latex=r"b^{(L+1)}", meaning="bias of the output layer")
WEIGHT = Array("w", (SAMPLE,), field="weights", meaning="weight of each sample in the cost")
R = Array("R", (COORDINATE, INPUT), field="rotation", meaning="orthogonal part of the adapted weights W = D R")
U = Array("u", (SAMPLE, COORDINATE), meaning="samples in the coordinates of the layer, R x")
T = Array("t", (SAMPLE, COORDINATE), meaning="labels in the coordinates of the layer, R y_c")
THETA = Array("theta", (COORDINATE,), field="threshold", latex=r"\theta", meaning="thresholds of the layer, -R beta")
BETA = Array("beta", (INPUT,), field="biases", latex=r"\beta", meaning="bias in the space of the inputs, W^-1 b")
W = Array("W", (COORDINATE, INPUT), meaning="cumulative weights")
V = Array("V", (INPUT, COORDINATE), latex="W^{-1}", meaning="their inverse")
B = Array("b", (COORDINATE,), meaning="cumulative bias")
D = Array("D", (COORDINATE,), meaning="positive diagonal part of the adapted weights W = D R")
KEPT = Array("H", (SAMPLE, COORDINATE), meaning="1 where a unit keeps a sample, 0 where it truncates it")
Q = Array("q", (SAMPLE, COORDINATE), latex=r"H^\perp", meaning="1 where a unit truncates a sample, else 0")
PRE = Array("p", (SAMPLE, COORDINATE), meaning="how far a sample is in front of the threshold, u - theta")
Z = Array("z", (SAMPLE, INPUT), latex="z^{(k-1)}", meaning="samples as the layers before the layer left them")
LAST = Array("z_L", (SAMPLE, INPUT), latex="z^{(L)}", meaning="samples as all layers left them")
ERROR = Array("E", (SAMPLE, OUTPUT), meaning="error of the outputs")
E = Array("e", (SAMPLE, INPUT), latex="e^{(k)}", meaning="slope of a sample's cost by the sample behind the layer")
F = Array("r", (SAMPLE, COORDINATE), meaning="the same in the coordinates of the layer, R e")

_REFLECTIONS = {1: ((1,), (-1,)), 2: ((1, 1), (1, -1))}
_POINTS = 3


class Gradient(sp.Expr):  # type: ignore[misc]
    """``Gradient(f, v)``: the derivative of f by an entry v, taken when both are written out."""

    is_commutative = True

    def __new__(cls, value: sp.Expr, variable: sp.Expr) -> Gradient:
        """Keep both as they are."""
        return sp.Expr.__new__(cls, sp.sympify(value), variable)  # type: ignore[no-any-return]

    def _latex(self, printer: Any) -> str:
        value, variable = map(printer._print, self.args)
        return rf"\frac{{\partial}}{{\partial {variable}}}\left[{value}\right]"

    def _sympystr(self, printer: Any) -> str:
        value, variable = map(printer._print, self.args)
        return f"d[{value}]/d{variable}"


@dataclass(frozen=True)
class Case:
    """Values of all entries at one size and one pattern.

    Parameters
    ----------
    sizes : mapping of sympy.Symbol to int
        N, d and C.
    entries : mapping
        Entries of arrays, and what is known of `Passed`; symbols where a gradient is taken.
    point : mapping
        Numbers for those symbols, put in last; empty to leave them free.
    place : mapping
        Values of free indices that the entries depend on.
    """

    sizes: Mapping[sp.Symbol, int]
    entries: Mapping[sp.Expr, sp.Expr]
    point: Mapping[sp.Expr, sp.Expr] = field(default_factory=dict)
    place: Mapping[sp.Symbol, sp.Expr] = field(default_factory=dict)

    def value(self, expression: sp.Expr) -> sp.Expr:
        """An expression without free indices, written out."""
        written = _written_out(expression.xreplace(dict(self.place)), tuple(self.sizes.items()))
        labels = {LABEL[i]: self.entries[LABEL[i]] for i in range(self.sizes.get(N, 0)) if LABEL[i] in self.entries}
        written = written.xreplace(labels).xreplace(dict(self.entries))
        return _differentiated(written).xreplace(dict(self.point))


@functools.lru_cache(maxsize=256)
def _written_out(expression: sp.Expr, sizes: tuple[tuple[sp.Symbol, int], ...]) -> sp.Expr:
    """Sums written out: the same for every pattern."""
    return instantiate(expression, dict(sizes))


def _differentiated(value: sp.Expr) -> sp.Expr:
    if isinstance(value, Gradient):
        return _derivative(_differentiated(value.args[0]), value.args[1])
    return value.func(*map(_differentiated, value.args)) if value.has(Gradient) else value


@dataclass(frozen=True)
class AtCases:
    """Equal entry by entry in every case.

    Parameters
    ----------
    cases : callable
        Makes the cases.
    words : str
        What they cover.
    indices : mapping of sympy.Symbol to sympy.Symbol
        The free indices of the step, each with its size.
    """

    cases: Callable[[], Iterable[Case]]
    words: str
    indices: Mapping[sp.Symbol, sp.Symbol] = field(default_factory=dict)

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare; a difference of rational functions is zero if its numerator expands to zero."""
        count = 0
        for case in self.cases():
            for values in itertools.product(*(range(case.sizes[size]) for size in self.indices.values())):
                place = dict(zip(self.indices, map(sp.Integer, values), strict=True))
                sides = [case.value(side.xreplace(place)) for side in (lhs, rhs)]
                difference = sides[0] - sides[1]
                if not _vanishes(difference):
                    sizes = ", ".join(f"{name}={size}" for name, size in case.sizes.items())
                    raise refute(lhs, rhs, difference, f"at {sizes}, {place}")
                count += 1
        if not count:
            raise DerivationError(f"{lhs} = {rhs}: there is no case to check it at")
        return CheckResult("symbolic", "derived", self.words)


def _field(value: sp.Expr) -> Any:
    """The field of rational functions of all symbols in a value: far faster than general formulas."""
    symbols = sorted(value.free_symbols, key=str)
    return sp.QQ.frac_field(*symbols) if symbols else sp.QQ


def _derivative(value: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    """Of a rational function."""
    if not value.has(variable):
        return sp.S.Zero
    rational = _field(value)
    return rational.to_sympy(rational.from_sympy(value).diff(rational.from_sympy(variable)))


def _vanishes(value: sp.Expr) -> bool:
    """Whether a rational function is zero."""
    return not _field(value).from_sympy(value)


@dataclass(frozen=True)
class BySubstitution:
    """Equal after derivatives are taken, by simplification.

    Parameters
    ----------
    words : str
        What is put in where.
    """

    words: str

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Simplify the difference."""
        difference = sp.simplify(sp.powsimp(sp.expand_log(sp.simplify(lhs.doit() - rhs.doit()), force=True)))
        if difference != 0:
            raise refute(lhs, rhs, difference, "after substitution")
        return CheckResult("symbolic", "derived", self.words)


# -- cases ------------------------------------------------------------------------------------------------------------


def of_matrix(array: Array, values: sp.Matrix) -> dict[sp.Expr, sp.Expr]:
    """Entries of an array with two axes, each with its value."""
    rows, columns = values.shape
    return {array[i, j]: values[i, j] for i in range(rows) for j in range(columns)}


def of_vector(array: Array, values: Iterable[sp.Expr]) -> dict[sp.Expr, sp.Expr]:
    """Entries of an array with one axis, each with its value."""
    return {array[i]: value for i, value in enumerate(values)}


def symbol_matrix(name: str, rows: int, columns: int = 1) -> sp.Matrix:
    """A matrix of symbols."""
    return sp.Matrix(rows, columns, lambda i, j: sp.Symbol(f"{name}_{i}{j}"))


def _data(count: int, size: int, numbers: Iterator[sp.Rational] | None) -> tuple[sp.Matrix, sp.Matrix, list[sp.Expr]]:
    """Samples, a label each, and weights."""
    if numbers is None:
        return symbol_matrix("x", count, size), symbol_matrix("y", count, size), list(symbol_matrix("w", count))
    points, targets = (sp.Matrix(count, size, lambda i, j: next(numbers)) for _ in range(2))
    return points, targets, [abs(next(numbers)) for _ in range(count)]


def patterns(count: int, size: int) -> Iterator[sp.Matrix]:
    """Every pattern H of kept and truncated units."""
    for kept in itertools.product((0, 1), repeat=count * size):
        yield sp.Matrix(count, size, kept)


def _settings(seed: str) -> Iterator[tuple[int, int, sp.Matrix, Iterator[sp.Rational] | None]]:
    """Samples, dimension, pattern and, in three dimensions, a source of numbers."""
    for count, size in ((1, 1), (2, 1), (1, 2)):
        for kept in patterns(count, size):
            yield count, size, kept, None
    for number in range(_POINTS):
        numbers = rationals(f"{seed} {number}")
        kept = sp.Matrix(2, 3, lambda i, j, number=number: (number + i + j + i * j * number) % 2)
        yield 2, 3, kept, numbers


def _common(count: int, points: sp.Matrix, targets: sp.Matrix, weights: list[sp.Expr], kept: sp.Matrix) -> Any:
    return {
        **of_matrix(X, points),
        **of_matrix(Y, targets),
        **of_vector(WEIGHT, weights),
        **of_vector(LABEL, map(sp.Integer, range(count))),
        **of_matrix(KEPT, kept),
    }


@functools.cache
def general_cases() -> tuple[Case, ...]:
    """Any invertible W; the bias is free."""
    cases = []
    for count, size, kept, numbers in _settings("general weights"):
        points, targets, weights = _data(count, size, numbers)
        matrix = sp.Matrix(size, size, lambda i, j: next(numbers)) if numbers else symbol_matrix("W", size, size)  # noqa: B023
        while numbers is not None and matrix.det() == 0:
            matrix = sp.Matrix(size, size, lambda i, j: next(numbers))  # noqa: B023
        bias = symbol_matrix("b", size)
        entries = {
            **_common(count, points, targets, weights, kept),
            **of_matrix(W, matrix),
            **of_matrix(V, matrix.inv()),
            **of_vector(B, bias),
        }
        point = {} if numbers is None else {symbol: next(numbers) for symbol in bias}
        cases.append(Case({N: count, d: size, C: count}, entries, point))
    return tuple(cases)


def _rotations(size: int, numbers: Iterator[sp.Rational] | None) -> Iterator[sp.Matrix]:
    """Orthogonal matrices of either determinant, by Cayley's formula from an antisymmetric one."""
    if numbers is None:
        p = sp.Symbol("p")
        antisymmetric = sp.Matrix(size, size, lambda i, j: (j - i) * p)
        for signs in _REFLECTIONS[size]:
            yield sp.diag(*signs) * cayley(antisymmetric)
        return
    upper = sp.Matrix(size, size, lambda i, j: next(numbers) if i < j else 0)
    antisymmetric = upper - upper.T
    yield cayley(antisymmetric)


def cayley(antisymmetric: sp.Matrix) -> sp.Matrix:
    """A rotation, rational in the entries of an antisymmetric matrix."""
    one = sp.eye(antisymmetric.shape[0])
    return ((one - antisymmetric) * (one + antisymmetric).inv()).applyfunc(sp.cancel)


@functools.cache
def adapted_cases() -> tuple[Case, ...]:
    """Adapted weights W = D R with any orthogonal R; the input-space bias is free, the rest follows from it."""
    cases = []
    for count, size, kept, numbers in _settings("adapted weights"):
        points, targets, weights = _data(count, size, numbers)
        scale = list(symbol_matrix("D", size)) if numbers is None else [abs(next(numbers)) for _ in range(size)]
        for rotation in _rotations(size, numbers):
            bias = symbol_matrix("beta", size)
            moved = rotation * bias
            entries = {
                **_common(count, points, targets, weights, kept),
                **of_matrix(R, rotation),
                **of_vector(BETA, bias),
                **of_vector(D, scale),
                **of_matrix(W, sp.diag(*scale) * rotation),
                **of_matrix(V, rotation.T * sp.diag(*(1 / s for s in scale))),
                **of_vector(B, [s * m for s, m in zip(scale, moved, strict=True)]),
                **of_vector(THETA, -moved),
                **of_matrix(U, points * rotation.T),
                **of_matrix(T, targets * rotation.T),
                **{Passed(U[i, j], THETA[j]): 1 - kept[i, j] for i in range(count) for j in range(size)},
            }
            point = {} if numbers is None else {symbol: next(numbers) for symbol in bias}
            cases.append(Case({N: count, d: size, C: count}, entries, point))
    return tuple(cases)


def rotated_cases(first: sp.Symbol, second: sp.Symbol, angle: sp.Symbol) -> Iterator[Case]:
    """W = R rotated by a small angle in the plane of two units, from `second` to `first`.

    The input-space bias is fixed. The derivative by the angle is exact although R is rotated to first order, since the
    angle is set to 0 after it.
    """
    for case in adapted_cases():
        count, size = case.sizes[N], case.sizes[d]
        for units in itertools.combinations(range(size), 2):
            generator = sp.zeros(size)
            generator[units], generator[units[::-1]] = 1, -1
            rotation = sp.Matrix(size, size, lambda i, j, case=case: case.entries[R[i, j]])
            turned = (sp.eye(size) + angle * generator) * rotation
            bias = sp.Matrix([case.entries[BETA[i]] for i in range(size)])
            entries = {
                **case.entries,
                **of_matrix(W, turned),
                **of_matrix(V, rotation.T * (sp.eye(size) - angle * generator)),
                **of_vector(B, turned * bias),
            }
            place = {first: sp.Integer(units[0]), second: sp.Integer(units[1])}
            yield Case({N: count, d: size, C: count}, entries, {**case.point, angle: sp.S.Zero}, place)
