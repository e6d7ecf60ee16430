"""A whole system put to the test: the derivative of its cost by a state, in exact arithmetic, against its equation.

Definitions and cost are evaluated in rational numbers with a first-order change, Max and Passed taken at their word, so
that nothing is left out between the abbreviations of a system and its right-hand sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

from ..checks import rationals, refute
from ..derivation import CheckResult, Statement, Step
from ..errors import DerivationError
from ..systems import Array, Definition, IndexSum, Inverse, OdeSystem, Passed
from .entries import C, Gradient, cayley
from .statements import OURS

__all__ = ["ByVariation", "Layer", "Trial", "gradient_flow"]

Place = Mapping[sp.Symbol, int]
Entry = tuple[str, tuple[int, ...]]

_ATTEMPTS = 10


_ZERO = sp.QQ(0)


@dataclass(frozen=True)
class _Varied:
    """A rational number and its change."""

    value: Any
    change: Any = _ZERO

    def __add__(self, other: _Varied) -> _Varied:
        return _Varied(self.value + other.value, self.change + other.change)

    def __mul__(self, other: _Varied) -> _Varied:
        return _Varied(self.value * other.value, self.value * other.change + self.change * other.value)


def _number(value: sp.Expr) -> _Varied:
    return _Varied(sp.QQ(int(value.p), int(value.q)))


class _Tie(Exception):
    """A sample lies on a threshold."""


@dataclass(frozen=True)
class _Values:
    """Entries of arrays."""

    sizes: Mapping[sp.Expr, int]
    entries: dict[Entry, _Varied]

    def __call__(self, value: sp.Expr, place: Place) -> _Varied:
        """An expression with its free indices at a place."""
        if isinstance(value, sp.Indexed):
            return self.entries[self._entry(value, place)]
        if isinstance(value, IndexSum):
            terms = (self(value.body, {**place, value.index: n}) for n in range(self.sizes[value.size]))
            return sum(terms, _Varied(_ZERO))
        if isinstance(value, Inverse):
            name, indices = self._entry(value.args[0], place)
            return self.entries[_inverse(name), indices]
        if value.is_Rational:
            return _number(value)
        if isinstance(value, sp.KroneckerDelta):
            first, second = (self._index(arg, place) for arg in value.args)
            return _Varied(sp.QQ(int(first == second)))
        values = [self(arg, place) for arg in value.args]
        if isinstance(value, sp.Add):
            return sum(values[1:], values[0])
        if isinstance(value, sp.Pow) and value.exp.is_Integer and value.exp > 0:
            values = [values[0]] * int(value.exp)
        elif isinstance(value, sp.Max | Passed):
            if len({v.value for v in values}) != len(values):
                raise _Tie
            if isinstance(value, sp.Max):
                return max(values, key=lambda v: v.value)
            return _Varied(sp.QQ(int(values[0].value < values[1].value)))
        elif not isinstance(value, sp.Mul):
            raise DerivationError(f"{value}: no rule for its value")
        product = values[0]
        for factor in values[1:]:
            product = product * factor
        return product

    def _entry(self, entry: sp.Indexed, place: Place) -> Entry:
        return _name(entry), tuple(self._index(index, place) for index in entry.indices)

    def _index(self, index: sp.Expr, place: Place) -> int:
        if isinstance(index, sp.Indexed):
            return int(self(index, place).value)
        return int(index) if index.is_Integer else place[index]

    def define(self, definitions: tuple[Definition, ...]) -> None:
        """Evaluate definitions one after the other."""
        for item in definitions:
            for at in self.places(item.target):
                place = dict(zip(item.indices, at, strict=True))
                self.entries[item.target.name, at] = self(item.value, place)

    def places(self, array: Array) -> Iterator[tuple[int, ...]]:
        """All indices of an array."""
        return itertools.product(*(range(self.sizes[axis.size]) for axis in array.axes))


def _inverse(name: str) -> str:
    return f"inverse of {name}"


@dataclass(frozen=True)
class Layer:
    """What a layer is called in a system.

    Parameters
    ----------
    bias, rotation, coordinates : Array
        beta, R and u = R z of the samples z in front of it.
    """

    bias: Array
    rotation: Array
    coordinates: Array


@dataclass(frozen=True)
class Trial:
    """States and parameters of a system in rational numbers, and what is defined by them.

    Parameters
    ----------
    definitions : tuple of Definition
        Those of the system.
    layers : tuple of Layer
        The arrays of the layers, from the first on.
    given : dict
        Entries of states and parameters.
    values : _Values
        Entries of all arrays.
    """

    definitions: tuple[Definition, ...]
    layers: tuple[Layer, ...]
    given: dict[Entry, _Varied]
    values: _Values

    @classmethod
    def found(cls, system: OdeSystem, sizes: Mapping[sp.Expr, int], layers: tuple[Layer, ...] = ()) -> Trial:
        """A point where no equation of a system is zero and no sample is on a threshold.

        Raises
        ------
        DerivationError
            If there is none among the first points of a sequence.
        """
        definitions = tuple(item for item in system.definitions if isinstance(item, Definition))
        for attempt in range(_ATTEMPTS):
            given = _drawn(system, layers, sizes, rationals(f"variation {attempt}"))
            try:
                _lower(definitions, layers, sizes, given)
                values = _Values(sizes, dict(given))
                values.define(definitions)
            except _Tie:
                continue
            trial = cls(definitions, layers, given, values)
            if all(any(trial.value(e, at) for at in values.places(e.target)) for e in system.equations):
                return trial
        raise DerivationError(f"{system.name}: an equation is zero wherever it was tried")

    def turns(self, state: Array) -> bool:
        """Whether a state is the rotation of a layer."""
        return any(state == layer.rotation for layer in self.layers)

    def value(self, item: Definition, at: tuple[int, ...]) -> Any:
        """An entry of a definition, or the right-hand side of an equation."""
        return self.values(item.value, dict(zip(item.indices, at, strict=True))).value

    def slope(self, cost: sp.Expr, state: Array, at: tuple[int, ...]) -> Any:
        """Derivative of the cost by an entry of a state; of a rotation, by the angle in the plane of two units."""
        changed = dict(self.given)
        if self.turns(state):
            for component in range(self.values.sizes[state.axes[1].size]):
                first, second = ((state.name, (unit, component)) for unit in at)
                changed[first] = _Varied(self.given[first].value, self.given[second].value)
                changed[second] = _Varied(self.given[second].value, -self.given[first].value)
        else:
            changed[state.name, at] = _Varied(self.given[state.name, at].value, sp.QQ(1))
        values = _Values(self.values.sizes, changed)
        values.define(self.definitions)
        return values(cost, {}).change


def _drawn(
    system: OdeSystem, layers: tuple[Layer, ...], sizes: Mapping[sp.Expr, int], draw: Iterator[sp.Rational]
) -> dict[Entry, _Varied]:
    """Numbers for states and parameters."""
    entries: dict[Entry, _Varied] = {}
    rotations = [layer.rotation for layer in layers]
    items = (*system.definitions, *system.equations, *system.observables)
    values = [item.value for item in items if isinstance(item, Definition)]
    inverted = {_name(e.args[0]) for value in values for e in value.atoms(Inverse)}
    classes = {_name(e) for value in values for e in _indices(value)}
    for array in (*system.parameters, *system.states):
        shape = [sizes[axis.size] for axis in array.axes]
        places = list(itertools.product(*map(range, shape)))
        if array.name in classes:
            entries |= {(array.name, at): _Varied(sp.QQ(at[0] % sizes[C])) for at in places}
            continue
        numbers = {at: next(draw) for at in places}
        matrix = sp.Matrix(shape[0], len(places) // shape[0], [numbers[at] for at in places])
        if array in rotations:
            turned = cayley(matrix - matrix.T)
            numbers = {at: turned[at] for at in places}
        entries |= {(array.name, at): _number(number) for at, number in numbers.items()}
        if array.name in inverted:
            inverse = matrix.inv() if shape[0] == shape[1] else matrix.pinv()
            entries |= {(_inverse(array.name), at[::-1]): _number(inverse[at[::-1]]) for at in places}
    return entries


def _indices(value: sp.Expr) -> Iterator[sp.Indexed]:
    """Entries whose values are indices."""
    users = (*value.atoms(sp.Indexed), *value.atoms(sp.KroneckerDelta))
    for user in users:
        yield from (arg for arg in user.args if isinstance(arg, sp.Indexed))


def _name(entry: sp.Indexed) -> str:
    return str(entry.base.label)


def _lower(
    definitions: tuple[Definition, ...],
    layers: tuple[Layer, ...],
    sizes: Mapping[sp.Expr, int],
    given: dict[Entry, _Varied],
) -> None:
    """Choose biases so that in each layer one unit truncates one sample: then much is left after many layers."""
    values = _Values(sizes, dict(given))
    places = {layer.coordinates: (number, layer) for number, layer in enumerate(layers)}
    for item in definitions:
        values.define((item,))
        if item.target not in places:
            continue
        number, layer = places[item.target]
        samples, units = (range(sizes[axis.size]) for axis in item.target.axes)
        levels = []
        for unit in units:
            lowest, following = sorted(values.entries[item.target.name, (i, unit)].value for i in samples)[:2]
            levels.append((lowest + following) / 2 if unit == number % len(units) else lowest - 1)
        for component in units:
            turned = sum(given[layer.rotation.name, (unit, component)].value * levels[unit] for unit in units)
            given[layer.bias.name, (component,)] = values.entries[layer.bias.name, (component,)] = _Varied(-turned)


@dataclass(frozen=True)
class ByVariation:
    """The right-hand side of an equation, entry by entry, is the multiple of the cost's derivative that the step says.

    Parameters
    ----------
    points : tuple of Trial
        Where.
    state : Array
        Whose equation.
    indices : tuple of sympy.Symbol
        Its indices; of a rotation the two units of Omega, which must be antisymmetric.
    """

    points: tuple[Trial, ...]
    state: Array
    indices: tuple[sp.Symbol, ...]

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare at each point."""
        (gradient,) = lhs.atoms(Gradient)
        factor = lhs.xreplace({gradient: sp.S.One})
        equation = Definition(self.state, self.indices, rhs)
        sizes = []
        for trial in self.points:
            turns = trial.turns(self.state)
            for at in trial.values.places(self.state):
                found = trial.value(equation, at)
                if turns and at[0] >= at[1]:
                    expected = -trial.value(equation, at[::-1])
                else:
                    expected = sp.QQ(factor.p, factor.q) * trial.slope(gradient.args[0], self.state, at)
                if found != expected:
                    difference = sp.Rational(str(expected - found))
                    raise refute(lhs, rhs, difference, f"for {self.state.name}{list(at)} at a rational point")
            sizes.append(", ".join(f"{name}={size}" for name, size in trial.values.sizes.items()))
        words = "the whole system at rational points, derivatives exact"
        return CheckResult("symbolic", "derived", f"{words}: {'; '.join(sizes)}")


_angle = sp.Symbol("phi")


def gradient_flow(system: OdeSystem, points: tuple[Trial, ...]) -> tuple[Statement, ...]:
    """Each equation of a system, its abbreviations included, is minus the gradient of the cost that it reports.

    Parameters
    ----------
    system : OdeSystem
        With an observable ``loss``.
    points : tuple of Trial
        Where to compare. The equation of a rotation of their layers is Omega of R' = Omega R, in the metric tr(A^T B).

    Returns
    -------
    tuple of Statement
        One for each state.

    Raises
    ------
    DerivationError
        If one is not.
    """
    loss = next(item.value for item in system.observables if item.target.name == "loss")
    found = []
    for equation in system.equations:
        state, turns = equation.target, points[0].turns(equation.target)
        step = Step(
            -Gradient(loss, _angle) / 2 if turns else -Gradient(loss, state[equation.indices]),
            equation.value,
            "the law, in the names of the system",
            ByVariation(points, state, equation.indices),
        )
        title = f"The equation of {state.name}" + (", Omega of R' = Omega R, by the angle" if turns else "")
        found.append(Statement(f"flow_{state.name}", title, (step,), system.assumptions, source=OURS))
    return tuple(found)
