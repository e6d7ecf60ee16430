"""Cases of deep networks: a layer with any samples in front of it and up to two layers behind it.

What the layers before it do to a sample does not depend on the layer's own parameters, so samples in front of it are
free, and a layer with two behind it is the first of three as well as the second of four.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import sympy as sp

from ..checks import rationals
from ..systems import Inverse
from .entries import (
    BETA,
    ERROR,
    KEPT,
    LABEL,
    LAST,
    OUTPUT_BIAS,
    OUTPUT_WEIGHTS,
    PRE,
    TARGET,
    THETA,
    WEIGHT,
    B,
    C,
    Case,
    E,
    F,
    M,
    N,
    Q,
    R,
    T,
    U,
    V,
    W,
    X,
    Y,
    Z,
    cayley,
    d,
    of_matrix,
    of_vector,
    patterns,
    symbol_matrix,
)

__all__ = ["layer_cases", "lone_cases", "output_cases", "separated_cases", "turned_cases"]

Cost = Literal["input", "standard"]

# Entries are polynomials: SymPy's rings compute with them far faster than its formulas.
Vector = list[Any]
Matrix = list[Vector]


def _product(matrix: Matrix, vector: Vector) -> Vector:
    return [sum(a * v for a, v in zip(row, vector, strict=True)) for row in matrix]


def _transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def _difference(first: Vector, second: Vector) -> Vector:
    return [p - q for p, q in zip(first, second, strict=True)]


def _sum(first: Vector, second: Vector) -> Vector:
    return [p + q for p, q in zip(first, second, strict=True)]


def _formulas(matrix: Matrix) -> sp.Matrix:
    return sp.Matrix([[entry.as_expr() for entry in row] for row in matrix])


@dataclass(frozen=True)
class _Draw:
    """Ring elements one after the other: its own symbols, or rational numbers from a seed."""

    ring: Any
    stream: Iterator[Any]

    @classmethod
    def symbols(cls, count: int) -> _Draw:
        """So many symbols of a ring of their own, and of the angle of `turned_cases`."""
        ring = sp.polys.rings.PolyRing([*(f"s{n}" for n in range(count)), _TURN], sp.QQ)
        return cls(ring, iter(ring.gens))

    @classmethod
    def rationals(cls, seed: str, names: Sequence[str] = ()) -> _Draw:
        """Numbers in a ring with the symbols `names` and that of the angle."""
        ring = sp.polys.rings.PolyRing([*names, _TURN], sp.QQ)
        return cls(ring, (ring(sp.QQ(r.p, r.q)) for r in rationals(seed)))

    def matrix(self, rows: int, columns: int) -> Matrix:
        return [[next(self.stream) for _ in range(columns)] for _ in range(rows)]

    def vector(self, size: int) -> Vector:
        return [next(self.stream) for _ in range(size)]

    def positive(self, size: int) -> Vector:
        """Positive, where they are numbers."""
        return [x if not x.is_ground else self.ring(abs(x.LC)) for x in self.vector(size)]

    def rotation(self, size: int, reflected: bool) -> Matrix:
        """An orthogonal matrix of rational numbers."""
        upper = sp.Matrix(size, size, lambda i, j: next(self.stream).as_expr() if i < j else 0)
        turned = sp.diag(-1 if reflected else 1, *[1] * (size - 1)) * cayley(upper - upper.T)
        return [[self.ring(sp.QQ(turned[i, j].p, turned[i, j].q)) for j in range(size)] for i in range(size)]


_TURN = "turn"


# -- a layer and those behind it --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layer:
    """z -> R^T H R (z + beta) - beta, one row of H a sample."""

    rotation: Matrix
    bias: Vector
    kept: Matrix

    def __call__(self, sample: Vector, number: int) -> Vector:
        """Truncate a sample."""
        moved = _product(self.rotation, _sum(sample, self.bias))
        masked = [h * u for h, u in zip(self.kept[number], moved, strict=True)]
        return _difference(_product(_transposed(self.rotation), masked), self.bias)


@dataclass(frozen=True)
class _Output:
    """The labels in the space of the inputs; or an output layer and labels; one label a sample."""

    pulled_back: Matrix
    weights: Matrix
    bias: Vector
    targets: Matrix

    @classmethod
    def drawn(cls, draw: _Draw, size: int, outputs: int, count: int) -> _Output:
        """All of it independent of each other."""
        weights = draw.matrix(outputs, size)
        return cls(draw.matrix(count, size), weights, draw.vector(outputs), draw.matrix(count, outputs))

    def error(self, last: Vector, number: int) -> Vector:
        """W z + b - y."""
        return _difference(_sum(_product(self.weights, last), self.bias), self.targets[number])

    def cost(self, last: Vector, number: int, cost: Cost) -> Any:
        """Twice the cost of a sample."""
        distance = _difference(last, self.pulled_back[number]) if cost == "input" else self.error(last, number)
        return sum(x**2 for x in distance)


@dataclass(frozen=True)
class _Deep:
    """A layer, the samples in front of it, the layers behind it, and what the cost compares with."""

    samples: Matrix
    weights: Vector
    layer: _Layer
    behind: tuple[_Layer, ...]
    output: _Output
    cost: Cost

    def _rest(self, sample: Vector, number: int) -> Vector:
        for layer in self.behind:
            sample = layer(sample, number)
        return sample

    def last(self, rotation: Matrix | None = None) -> Matrix:
        """Samples behind all layers, a row each; with another R of the layer."""
        layer = replace(self.layer, rotation=rotation or self.layer.rotation)
        return [self._rest(layer(z, i), i) for i, z in enumerate(self.samples)]

    def _slope(self, number: int) -> Vector:
        """Derivative of a sample's cost by the sample behind the layer.

        The cost is quadratic in it, so that a central difference is exact at any step.
        """
        place = self.layer(self.samples[number], number)
        slope = []
        for component in range(len(place)):
            there, back = ([p + s * (c == component) for c, p in enumerate(place)] for s in (1, -1))
            costs = [self.output.cost(self._rest(z, number), number, self.cost) for z in (there, back)]
            slope.append((costs[0] - costs[1]) / 4)
        return slope

    def at_end(self, last: Matrix) -> dict[sp.Expr, sp.Expr]:
        """Entries of what depends on samples behind all layers alone."""
        errors = [self.output.error(z, i) for i, z in enumerate(last)]
        return {**of_matrix(LAST, _formulas(last)), **of_matrix(ERROR, _formulas(errors))}

    def case(self) -> Case:
        """All entries."""
        count, size = len(self.samples), len(self.samples[0])
        rotation, layer, output = self.layer.rotation, self.layer, self.output
        slopes = [self._slope(i) for i in range(count)]
        (moved,) = _formulas([_product(rotation, layer.bias)]).tolist()
        kept, turn = sp.Matrix(layer.kept), _formulas(rotation)
        entries = {
            **self.at_end(self.last()),
            **of_matrix(X, _formulas(self.samples)),
            **of_matrix(Z, _formulas(self.samples)),
            **of_vector(WEIGHT, _formulas([self.weights])),
            **of_vector(LABEL, map(sp.Integer, range(count))),
            **of_matrix(KEPT, kept),
            **of_matrix(Q, sp.ones(count, size) - kept),
            **of_matrix(R, turn),
            **of_matrix(W, turn),
            **of_matrix(V, turn.T),
            **of_vector(BETA, _formulas([layer.bias])),
            **of_vector(B, moved),
            **of_vector(THETA, [-entry for entry in moved]),
            **of_matrix(U, _formulas([_product(rotation, z) for z in self.samples])),
            **of_matrix(PRE, _formulas([_product(rotation, _sum(z, layer.bias)) for z in self.samples])),
            **of_matrix(E, _formulas(slopes)),
            **of_matrix(F, _formulas([_product(rotation, e) for e in slopes])),
            **of_matrix(Y, _formulas(output.pulled_back)),
            **of_matrix(T, _formulas([_product(rotation, y) for y in output.pulled_back])),
            **of_matrix(OUTPUT_WEIGHTS, _formulas(output.weights)),
            **of_vector(OUTPUT_BIAS, _formulas([output.bias])),
            **of_matrix(TARGET, _formulas(output.targets)),
        }
        return Case({N: count, d: size, C: count, M: len(output.weights)}, entries)


def _symbolic(cost: Cost, behind: int = 1) -> Iterator[_Deep]:
    """One dimension, every pattern, everything a symbol but signs.

    A layer behind that keeps all samples is as good as none, and so is a sample without weight.
    """
    count = 2
    for number, kept in enumerate(patterns(behind + 1, count)):
        draw = _Draw.symbols(16)
        signs = [[[draw.ring(1 - 2 * (number // 2**n % 2))]] for n in range(2)]
        layers = [
            _Layer(sign, draw.vector(1), [[int(h)] for h in kept.row(n)]) for n, sign in enumerate(signs[: behind + 1])
        ]
        samples, weights = draw.matrix(count, 1), draw.vector(count)
        output = _Output.drawn(draw, 1, 1, count)
        yield _Deep(samples, weights, layers[0], tuple(layers[1:]), output, cost)


def _rational(cost: Cost, free: Literal["bias", "samples", ""] = "") -> Iterator[tuple[_Deep, dict[sp.Expr, sp.Expr]]]:
    """Two and three dimensions, up to two layers behind; C_std with other numbers of outputs than inputs.

    With them what is free, and its value.
    """
    count = 2
    for size, behind in itertools.product((2, 3), (0, 1, 2)):
        names = [f"free{n}" for n in range({"bias": size, "samples": count * size, "": 0}[free])]
        draw = _Draw.rationals(f"{size} dimensions, {behind} layers behind", names)
        outputs = size if cost == "input" else (size, size - 1, size + 1)[behind]
        layers = []
        for n in range(behind + 1):
            # Behind the layer a unit in `size` truncates: else no slope comes through.
            kept = [
                [(i + j) % 2 if n == 0 else int((i + j + n) % size != 0) for j in range(size)] for i in range(count)
            ]
            layers.append(_Layer(draw.rotation(size, reflected=n == 1), draw.vector(size), kept))
        samples, weights = draw.matrix(count, size), draw.positive(count)
        output = _Output.drawn(draw, size, outputs, count)
        point: dict[sp.Expr, sp.Expr] = {}
        if free:
            known = layers[0].bias if free == "bias" else [entry for row in samples for entry in row]
            freed = list(draw.ring.gens[: len(known)])
            point = {symbol.as_expr(): value.as_expr() for symbol, value in zip(freed, known, strict=True)}
            if free == "bias":
                layers[0] = replace(layers[0], bias=freed)
            else:
                samples = [freed[i * size : (i + 1) * size] for i in range(count)]
        yield _Deep(samples, weights, layers[0], tuple(layers[1:]), output, cost), point


@functools.cache
def layer_cases(cost: Cost, free: Literal["bias", "samples"]) -> tuple[Case, ...]:
    """A layer in a network; at d = 2 and 3 its bias or its samples are symbols until a gradient is taken."""
    rational = (replace(deep.case(), point=point) for deep, point in _rational(cost, free))
    return (*(deep.case() for deep in _symbolic(cost)), *rational)


@functools.cache
def lone_cases() -> tuple[Case, ...]:
    """The layer is the last, and the cost C_in."""
    deeps = (*_symbolic("input", 0), *(deep for deep, _ in _rational("input") if not deep.behind))
    return tuple(deep.case() for deep in deeps)


@functools.cache
def turned_cases(cost: Cost, first: sp.Symbol, second: sp.Symbol, angle: sp.Symbol) -> tuple[Case, ...]:
    """The layer's R turned by a small angle in the plane of two units, from `second` to `first`, beta being fixed.

    The derivative by the angle is exact although R is turned to first order, since the angle is set to 0 after it.
    """
    cases = []
    for deep, _ in _rational(cost):
        case, rotation = deep.case(), deep.layer.rotation
        turn = deep.weights[0].ring.gens[-1]
        for one, other in itertools.combinations(range(case.sizes[d]), 2):
            rows = {one: (other, turn), other: (one, -turn)}
            turned = [
                [entry + rows[j][1] * rotation[rows[j][0]][k] if j in rows else entry for k, entry in enumerate(row)]
                for j, row in enumerate(rotation)
            ]
            at_end = {key: value.subs(_TURN, angle) for key, value in deep.at_end(deep.last(turned)).items()}
            place = {first: sp.Integer(one), second: sp.Integer(other)}
            cases.append(Case(case.sizes, {**case.entries, **at_end}, {angle: sp.S.Zero}, place))
    return tuple(cases)


# -- the output layer alone -------------------------------------------------------------------------------------------


def _inverse(weights: sp.Matrix) -> sp.Matrix:
    """The inverse, or the pseudo-inverse of a matrix of full rank."""
    rows, columns = weights.shape
    if rows == columns:
        return weights.inv().applyfunc(sp.cancel)
    w = weights
    return (w.T * w).inv() * w.T if rows > columns else w.T * (w * w.T).inv()


@functools.cache
def output_cases(shapes: tuple[tuple[int, int], ...] = ((1, 1), (2, 2), (2, 3), (3, 2))) -> tuple[Case, ...]:
    """Samples behind all layers, and an output layer of full rank; `shapes` are those of its weights.

    Entries are symbols where it is square, else rational numbers but for the samples.
    """
    cases = []
    for outputs, size in shapes:
        count = 1 if outputs == size else 2
        draw = sp.numbered_symbols("o") if outputs == size else rationals(f"{outputs} outputs of {size}")
        weights, bias, targets = (
            sp.Matrix(rows, columns, list(itertools.islice(draw, rows * columns)))
            for rows, columns in ((outputs, size), (outputs, 1), (count, outputs))
        )
        inverse, last = _inverse(weights), symbol_matrix("z", count, size)
        pulled_back = sp.Matrix.vstack(*((inverse * (targets.row(i).T - bias)).T for i in range(count)))
        errors = sp.Matrix.vstack(*((weights * last.row(i).T + bias - targets.row(i).T).T for i in range(count)))
        entries = {
            **of_matrix(LAST, last),
            **of_matrix(ERROR, errors),
            **of_matrix(E, last - pulled_back),
            **of_vector(BETA, symbol_matrix("beta", size)),
            **of_vector(WEIGHT, [next(draw) for _ in range(count)]),
            **of_vector(LABEL, map(sp.Integer, range(count))),
            **of_matrix(OUTPUT_WEIGHTS, weights),
            **of_vector(OUTPUT_BIAS, bias),
            **of_matrix(TARGET, targets),
            **of_matrix(Y, pulled_back),
            **{Inverse(OUTPUT_WEIGHTS[k, m]): inverse[k, m] for k in range(size) for m in range(outputs)},
        }
        cases.append(Case({N: count, d: size, C: count, M: outputs}, entries))
    return tuple(cases)


# -- cluster-separated networks ---------------------------------------------------------------------------------------


@functools.cache
def separated_cases(own: sp.Symbol) -> tuple[Case, ...]:
    """Two layers and two classes, one sample each; `own` is the class that the layer truncates, in any pattern.

    The other class is kept by the layer, and fully truncated by the other layer, which comes before or after.
    """
    cases = []
    for label, first, size in itertools.product((0, 1), (True, False), (1, 2)):
        for kept in patterns(1, size):
            draw = _Draw.symbols(8) if size == 1 else _Draw.rationals(f"{label} {first} {kept}")
            masks = [[[*kept], [1] * size], [[1] * size, [0] * size]]
            turns = [[[draw.ring(-1)]]] * 2 if size == 1 else [draw.rotation(size, reflected=False) for _ in range(2)]
            mine, its = (
                _Layer(turn, draw.vector(size), [[int(h) for h in row] for row in mask])
                for turn, mask in zip(turns, masks, strict=True)
            )
            samples, weights, labels = draw.matrix(2, size), draw.vector(2), draw.matrix(2, size)
            if not first:
                samples = [its(z, i) for i, z in enumerate(samples)]
            one = [[draw.ring(int(k == m)) for m in range(size)] for k in range(size)]
            output = _Output(labels, one, [draw.ring(0)] * size, labels)
            case = _Deep(samples, weights, mine, (its,) if first else (), output, "input").case()
            entries = {
                **case.entries,
                **of_vector(LABEL, map(sp.Integer, (label, 1 - label))),
                **of_matrix(Y, _formulas(labels if label == 0 else labels[::-1])),
            }
            cases.append(replace(case, entries=entries, place={own: sp.Integer(label)}))
    return tuple(cases)
