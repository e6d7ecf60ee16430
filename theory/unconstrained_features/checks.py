"""Checkers of this chapter's steps: gradients, rates along a flow, invariant frames, solutions of scalar equations."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

from ..checks import rationals, refute
from ..derivation import CheckResult
from ..systems import Definition, OdeSystem, instantiate

__all__ = [
    "AlongFlow",
    "AtSizes",
    "ByAlgebra",
    "ByGradient",
    "OnFrame",
    "Rate",
    "Slope",
    "Solution",
    "SolvesEquation",
    "Written",
    "frame",
    "positive",
    "symbol",
]

Sizes = Mapping[sp.Symbol, int]
Place = dict[sp.Symbol, sp.Integer]


class Slope(sp.Function):  # type: ignore[misc]
    """``Slope(cost, y)``: the derivative of a cost by an entry y."""

    nargs = 2

    def _latex(self, printer: Any) -> str:
        return (
            rf"\frac{{\partial}}{{\partial {printer._print(self.args[1])}}}\left({printer._print(self.args[0])}\right)"
        )


class Rate(sp.Function):  # type: ignore[misc]
    """``Rate(x)``: the time derivative of x along a flow."""

    nargs = 1

    def _latex(self, printer: Any) -> str:
        return rf"\frac{{d}}{{ds}}\left({printer._print(self.args[0])}\right)"


class Solution(sp.Function):  # type: ignore[misc]
    """``Solution(rate, y, y0)``: the solution at time s of y' = rate, y(0) = y0."""

    nargs = 3

    def _latex(self, printer: Any) -> str:
        return rf"{printer._print(self.args[1])}(s)"


@dataclass(frozen=True)
class Written:
    """Expressions at concrete sizes, every array entry a symbol of its own."""

    sizes: Sizes
    definitions: tuple[Definition, ...] = ()

    def __call__(self, value: sp.Expr) -> sp.Expr:
        """Write sums and definitions out."""
        value = instantiate(value, self.sizes)
        defined = {d.target.name: d for d in self.definitions}
        while True:
            entries = {}
            for entry in value.atoms(sp.Indexed):
                definition = defined.get(str(entry.base.label))
                if definition is not None:
                    place = dict(zip(definition.indices, entry.indices, strict=True))
                    entries[entry] = instantiate(definition.value.xreplace(place), self.sizes)
            if not entries:
                return value.xreplace({e: symbol(e) for e in value.atoms(sp.Indexed)})
            value = value.xreplace(entries)


def symbol(entry: sp.Indexed) -> sp.Symbol:
    """The symbol that stands for an array entry."""
    return sp.Symbol("_".join(map(str, (entry.base.label, *entry.indices))), real=True)


def _extents(item: Definition) -> dict[sp.Symbol, sp.Expr]:
    return {i: axis.size for i, axis in zip(item.indices, item.target.axes, strict=True)}


def _places(extents: Mapping[sp.Symbol, sp.Expr], sizes: Sizes) -> Iterator[Place]:
    """Every assignment of the free indices."""
    ranges = [
        range(int(sp.sympify(n).xreplace({k: sp.Integer(v) for k, v in sizes.items()}))) for n in extents.values()
    ]
    for values in itertools.product(*ranges):
        yield dict(zip(extents, map(sp.Integer, values), strict=True))


def _zero(value: sp.Expr) -> sp.Expr:
    """An expression that is 0 where `value` vanishes as a rational function of its symbols and exponentials."""
    value = sp.expand(value, power_exp=False)
    return value if value == 0 else sp.expand(sp.together(value).as_numer_denom()[0], power_exp=False)


@dataclass(frozen=True)
class ByGradient:
    """A velocity is minus a `Slope` of a cost, as written in the left-hand side.

    Parameters
    ----------
    definitions : tuple of Definition
        What abbreviations in the cost and the velocity mean.
    extents : mapping
        Extent of each free index.
    small, large : tuple of mappings
        Sizes with symbolic entries, and sizes where the other entries are rational numbers.
    """

    definitions: tuple[Definition, ...]
    extents: Mapping[sp.Symbol, sp.Expr]
    small: tuple[Sizes, ...]
    large: tuple[Sizes, ...]

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Differentiate the cost at every size and place."""
        for sizes in (*self.small, *self.large):
            write = Written(sizes, self.definitions)
            costs = {slope.args[0]: write(slope.args[0]) for slope in lhs.atoms(Slope)}
            for place in _places(self.extents, sizes):
                slopes = {
                    slope.xreplace(place): sp.diff(costs[slope.args[0]], symbol(slope.args[1].xreplace(place)))
                    for slope in lhs.atoms(Slope)
                }
                difference = write(lhs.xreplace(place).xreplace(slopes)) - write(rhs.xreplace(place))
                if sizes in self.large:
                    stream = rationals(f"gradient {sizes} {place}")
                    points = sorted(difference.free_symbols, key=lambda s: str(s.name))
                    difference = difference.xreplace({point: next(stream) for point in points})
                if (left := _zero(difference)) != 0:
                    raise refute(lhs, rhs, left, f"at {sizes}, {place}")
        return CheckResult(
            "symbolic",
            "derived",
            f"cost differentiated with symbolic entries at {_listed(self.small)}; at rational points of "
            f"{_listed(self.large)}",
        )


def _listed(many: tuple[Sizes, ...]) -> str:
    return " and ".join(", ".join(f"{name}={n}" for name, n in sizes.items()) for sizes in many)


@dataclass(frozen=True)
class AtSizes:
    """Equal when every sum is written out, whatever the entries are.

    Parameters
    ----------
    extents : mapping
        Extent of each free index.
    sizes : tuple of mappings
        Sizes to write out, all entries symbolic.
    definitions : tuple of Definition
        What abbreviations mean; one that is not here may mean anything.
    """

    extents: Mapping[sp.Symbol, sp.Expr]
    sizes: tuple[Sizes, ...]
    definitions: tuple[Definition, ...] = ()

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare at every size and place."""
        for sizes in self.sizes:
            write = Written(sizes, self.definitions)
            for place in _places(self.extents, sizes):
                if (left := _zero(write((lhs - rhs).xreplace(place)))) != 0:
                    raise refute(lhs, rhs, left, f"at {sizes}, {place}")
        return CheckResult("symbolic", "derived", f"sums written out, symbolic entries at {_listed(self.sizes)}")


@dataclass(frozen=True)
class AlongFlow:
    """``Rate(x)`` by the chain rule and the equations of a system.

    Parameters
    ----------
    system : OdeSystem
        Whose equations are inserted.
    extents : mapping
        Extent of each free index.
    sizes : tuple of mappings
        Sizes to write out, all entries symbolic.
    inline : bool
        Whether abbreviations are written out; otherwise the identity holds whatever they mean.
    same_labels : tuple of sympy.Symbol
        Two free indices of samples with equal labels; empty for none.
    labels : str
        Name of the array of labels.
    """

    system: OdeSystem
    extents: Mapping[sp.Symbol, sp.Expr]
    sizes: tuple[Sizes, ...]
    inline: bool = False
    same_labels: tuple[sp.Symbol, ...] = ()
    labels: str = ""

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare at every size and place."""
        definitions = tuple(d for d in self.system.definitions if isinstance(d, Definition)) if self.inline else ()
        for sizes in self.sizes:
            write = Written(sizes, definitions)
            velocity = {}
            for equation in self.system.equations:
                for place in _places(_extents(equation), sizes):
                    name = equation.target.symbol
                    if equation.indices:
                        name = symbol(equation.target.base[tuple(place[i] for i in equation.indices)])
                    velocity[name] = write(equation.value.xreplace(place))
            for place in _places(self.extents, sizes):
                rates = {}
                for rate in lhs.xreplace(place).atoms(Rate):
                    value = write(rate.args[0])
                    rates[rate] = sp.Add(*(sp.diff(value, y) * v for y, v in velocity.items() if value.has(y)))
                difference = lhs.xreplace(place).xreplace(rates) - write(rhs.xreplace(place))
                if self.same_labels:
                    first, second = (place[i] for i in self.same_labels)
                    columns = {
                        s: sp.Symbol(str(s.name).rsplit("_", 1)[0] + f"_{first}", real=True)
                        for s in difference.free_symbols
                        if str(s.name).startswith(f"{self.labels}_") and str(s.name).endswith(f"_{second}")
                    }
                    difference = difference.xreplace(columns)
                if (left := _zero(difference)) != 0:
                    raise refute(lhs, rhs, left, f"along the flow at {sizes}, {place}")
        detail = f"chain rule, symbolic entries at {_listed(self.sizes)}" if self.extents else "chain rule"
        return CheckResult("symbolic", "derived", detail)


@dataclass(frozen=True)
class OnFrame:
    """The velocity of one state at collapsed states is tangent to them, and their coordinate has rate = rhs.

    Collapsed states are W = alpha U, H = eta U' Y, b = zeta 1, with U U' = I - 11'/C or U U' = I.

    Parameters
    ----------
    system : OdeSystem
        The equations of W, H and b.
    state : str
        Which state's velocity is compared.
    simplex : bool
        Whether U U' = I - 11'/C.
    symbols : tuple of sympy.Symbol
        alpha, eta, zeta.
    numbers : tuple of sympy.Symbol
        C and n in the right-hand side.
    shapes : tuple of (int, int, int)
        C, d and n to try.
    """

    system: OdeSystem
    state: str
    simplex: bool
    symbols: tuple[sp.Symbol, sp.Symbol, sp.Symbol]
    numbers: tuple[sp.Symbol, sp.Symbol]
    shapes: tuple[tuple[int, int, int], ...] = ((2, 2, 3), (2, 3, 1), (3, 3, 2), (4, 4, 1))

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Insert frames in general position: all others are rotations of these, which the flow commutes with."""
        alpha, eta, zeta = self.symbols
        (equation,) = (e for e in self.system.equations if e.target.name == self.state)
        definitions = tuple(d for d in self.system.definitions if isinstance(d, Definition))
        for shape in self.shapes:
            numbers = dict(zip(self.numbers, map(sp.Integer, (shape[0], shape[2])), strict=True))
            sizes = {b.size: m for b, m in zip(self.system.sets, (*shape[:2], shape[0] * shape[2]), strict=True)}
            entries, directions = _collapsed(definitions, tuple(sizes), shape, self.simplex, self.symbols)
            write = Written(sizes)
            for place in _places(_extents(equation), sizes):
                direction = directions[symbol(equation.target.base[tuple(place[i] for i in equation.indices)])]
                velocity = write(equation.value.xreplace(place)).xreplace(entries)
                difference = velocity - rhs.xreplace(numbers) * direction
                if (left := _zero(_exponentials(difference, alpha * eta, zeta, shape[0]))) != 0:
                    raise refute(lhs, rhs, left, f"on the frame with (C, d, n) = {shape}, {place}")
        shapes = ", ".join(map(str, self.shapes))
        return CheckResult(
            "symbolic",
            "derived",
            f"symbolic alpha, eta, zeta on frames in general position, (C, d, n) = {shapes}; the flow commutes with "
            "rotations, which take every frame to such a one",
        )


@functools.lru_cache(maxsize=32)
def _collapsed(
    definitions: tuple[Definition, ...],
    names: tuple[sp.Symbol, ...],
    shape: tuple[int, int, int],
    simplex: bool,
    symbols: tuple[sp.Symbol, sp.Symbol, sp.Symbol],
) -> tuple[dict[sp.Symbol, sp.Expr], dict[sp.Symbol, sp.Expr]]:
    """Every entry of W, H, b, Y and the abbreviations at a collapsed state, and the direction of W, H and b."""
    classes, dimension, per_class = shape
    alpha, eta, zeta = symbols
    U, samples = frame(classes, dimension, simplex), classes * per_class
    entries: dict[sp.Symbol, sp.Expr] = {}
    directions: dict[sp.Symbol, sp.Expr] = {}

    def put(array: str, place: tuple[int, ...], coordinate: sp.Expr, direction: sp.Expr) -> None:
        name = symbol(sp.IndexedBase(array)[place])
        entries[name], directions[name] = coordinate * direction, direction

    for c in range(classes):
        put("b", (c,), zeta, sp.S.One)
        for i in range(dimension):
            put("W", (c, i), alpha, U[c, i])
        for s in range(samples):
            put("Y", (c, s), sp.S.One, sp.Integer(int(s // per_class == c)))
    for i, s in itertools.product(range(dimension), range(samples)):
        put("H", (i, s), eta, U[s // per_class, i])
    sizes = dict(zip(names, (classes, dimension, samples), strict=True))
    write = Written(sizes)
    for d in definitions:  # in order: each uses those before it
        for place in _places(_extents(d), sizes):
            value = write(d.value.xreplace(place)).xreplace(entries)
            name = symbol(d.target.base[tuple(place[i] for i in d.indices)])
            entries[name] = sp.cancel(_exponentials(value, alpha * eta, zeta, classes))
    return entries, directions


def frame(classes: int, dimension: int, simplex: bool) -> sp.Matrix:
    """A rational (C, d) matrix U, d >= C, in general position, with U U' = I - 11'/C or U U' = I."""
    stream = rationals(f"frame {classes} {dimension} {simplex}")
    v = sp.Matrix(dimension, 1, lambda i, j: next(stream))
    reflection = sp.eye(dimension) - 2 * v * v.T / (v.T * v)[0]
    mean = sp.Rational(1, classes) if simplex else sp.S.Zero  # I - 11'/C is its own square root
    return sp.Matrix(classes, dimension, lambda c, i: int(c == i) - (mean if i < classes else 0)) * reflection


def _exponentials(value: sp.Expr, p: sp.Expr, zeta: sp.Symbol, classes: int) -> sp.Expr:
    """Exponentials of rational multiples of p and zeta as powers of exp(p / C) and exp(zeta)."""
    t, g = sp.Symbol("exp_p_over_C", positive=True), sp.Symbol("exp_zeta", positive=True)
    product = sp.Dummy("p", real=True)
    replace = {}
    for e in value.atoms(sp.exp):
        argument = sp.expand(e.args[0]).subs(p, product)
        first, second = argument.coeff(product), argument.coeff(zeta)
        if sp.expand(argument - first * product - second * zeta) == 0:
            replace[e] = t ** (classes * first) * g**second
    return value.xreplace(replace)


@dataclass(frozen=True)
class ByAlgebra:
    """Equal for positive symbols, after roots of squares are taken.

    Parameters
    ----------
    positive : bool
        Whether symbols may be taken to be positive.
    """

    positive: bool = True

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Simplify the difference."""
        difference = lhs - rhs
        if self.positive:
            difference = difference.xreplace({s: positive(s) for s in difference.free_symbols})
        left = difference
        if _differs(difference) or (left := _plain(difference)) != 0:
            raise refute(lhs, rhs, left, "for positive symbols" if self.positive else "")
        return CheckResult("symbolic", "derived", "difference simplifies to 0" + ", symbols > 0" * self.positive)


def positive(s: sp.Symbol) -> sp.Symbol:
    """The symbol of the same name that is known to be positive."""
    return sp.Symbol(s.name, positive=True)


def _plain(value: sp.Expr) -> sp.Expr:
    """Simplify, roots of factored polynomials first."""
    roots = {
        power: sp.Pow(sp.factor(power.base), power.exp)
        for power in value.atoms(sp.Pow)
        if not power.exp.is_Integer and not power.base.is_Atom
    }
    return sp.simplify(sp.expand(value.xreplace(roots)))


def _differs(value: sp.Expr) -> bool:
    """Whether a value is visibly no 0 at one point: cheaper than simplifying what can't be simplified to 0."""
    names = sorted(value.free_symbols, key=lambda s: str(s.name))
    point = {name: sp.Rational(2 * m + 3, 3 * m + 7) for m, name in enumerate(names)}
    return bool(abs(sp.N(value.xreplace(point), 30)) > sp.Rational(1, 10**20))


@dataclass(frozen=True)
class SolvesEquation:
    """The right-hand side, as a function of `time`, solves the equation in the `Solution` on the left from its start.

    Parameters
    ----------
    time : sympy.Symbol
        The symbol s.
    """

    time: sp.Symbol

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Substitute, and set s = 0."""
        rate, y, start = lhs.args
        defect = sp.diff(rhs, self.time) - rate.xreplace({y: rhs})
        if _differs(defect) or (defect := sp.simplify(sp.together(defect))) != 0:
            raise refute(lhs, rhs, defect, "on substitution into the equation")
        begin = sp.simplify(rhs.subs(self.time, 0) - start)
        if begin != 0:
            raise refute(lhs, rhs, begin, "at s = 0")
        return CheckResult("substitution", "derived", "solves the equation identically, and starts where it should")
