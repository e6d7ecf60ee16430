"""Until when a condition on a piecewise flow holds, for all samples at all times: certified, not sampled.

Every entry of the state is monotone in time, so over any span of time the state lies in the box between its values at
the ends. On a box the quantity that has to stay positive has a lower bound by interval arithmetic, read off its
formula; spans are halved until the bound decides. No formula is known here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from hermiton.theory.errors import DerivationError, argument_error
from hermiton.theory.systems import Condition, IndexSum, PiecewiseFlow

from .events import EventPath
from .indexed_values import IndexedValues

__all__ = ["holds_until"]

Real = NDArray[np.float64]

_LOW, _HIGH = "state_low", "state_high"
# Roundings in the value of a condition, relative to the largest number that enters it.
_ROUNDINGS = 32
_EPS = float(np.finfo(np.float64).eps)
# A span of time is not halved below this share of its end.
_RESOLUTION = 2.0**-33
# Spans that are looked at before what is left counts as undecided.
_SPANS = 20_000


@dataclass(frozen=True, eq=False)
class _Part:
    """The condition for the samples that share all labels, with every other index that matters written out."""

    place: Mapping[str, int]  # by name of dimension or label
    bound: sp.Expr
    arrays: Mapping[str, tuple[NDArray[Any], int | None]]  # what the bound needs, and where its axis of samples is
    members: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Doubt:
    """Samples of a part whose condition is not certified on a span, and the lowest bound among them."""

    part: _Part
    members: NDArray[np.intp]  # places among those of the part
    lowest: float
    sample: int
    rest: int


def holds_until(
    system: PiecewiseFlow, condition: Condition, values: IndexedValues, paths: Sequence[EventPath], last: float
) -> float:
    """Time up to which a condition holds.

    Parameters
    ----------
    system : PiecewiseFlow
        The equations.
    condition : Condition
        One of its conditions.
    values : IndexedValues
        Parameters, and definitions that do not depend on the state.
    paths : sequence of EventPath
        The path of each entry of the state, in row order.
    last : float
        Until when it must hold.

    Returns
    -------
    float
        The condition is certified up to this time and, up to the resolution of the search (2^-33 of the time, or
        rounding errors of the condition), not beyond. Infinity: it holds for ever.

    Raises
    ------
    AssumptionError
        If it is broken up to the time `last`: says where and when.
    """
    watch = _Watch(system, condition, values, paths)
    broken = watch.first(0.0, last)
    if broken is not None:
        since, doubt = broken
        raise watch.error(since, doubt)
    broken = watch.first(last, np.inf)
    return np.inf if broken is None else broken[0]


class _Watch:
    def __init__(
        self, system: PiecewiseFlow, condition: Condition, values: IndexedValues, paths: Sequence[EventPath]
    ) -> None:
        self._condition, self._values, self._paths = condition, values, paths
        self._state = system.states[0]
        self._shape = tuple(values.extents[axis.size] for axis in self._state.axes)
        self._count = system.equations[0].value.size
        arrays = (*system.states, *system.parameters, *(item.target for item in system.definitions))
        self._axes = {array.name: array.axes for array in arrays}
        item = condition.definition
        self._sample = next(
            index for index, axis in zip(item.indices, item.target.axes, strict=True) if axis.size == self._count
        )
        self._parts = list(self._written_out(system))
        sizes = [np.abs(array).max() for part in self._parts for array, _ in part.arrays.values() if array.size]
        reach = max(float(np.abs(self._at(time)).max()) for time in (0.0, np.inf))
        terms = max((len(part.bound.atoms(sp.Indexed)) for part in self._parts), default=1) * max(self._shape)
        self._slack = _ROUNDINGS * terms * _EPS * max([reach, *map(float, sizes)])

    def _written_out(self, system: PiecewiseFlow) -> Iterator[_Part]:
        """Parts in which the arrays that say where the condition applies are numbers."""
        item, where = self._condition.definition, self._condition.where
        values = self._values
        selecting = {str(entry.base.label) for entry in where.atoms(sp.Indexed)}
        labels = [name for name in selecting if any(axis.size == self._count for axis in self._axes[name])]
        bindings = {array.name: array.binding for array in system.parameters}
        combinations, member = np.unique(
            np.stack([values.arrays[name] for name in labels], axis=-1), axis=0, return_inverse=True
        )
        split = [
            (index, axis)
            for index, axis in zip(item.indices, item.target.axes, strict=True)
            if index != self._sample and where.has(index)
        ]
        names = {index: item.target.dimensions[item.indices.index(index)] for index in item.indices}
        ranges = (range(values.extents[axis.size]) for _, axis in split)
        for place in itertools.product(*ranges):
            chosen = dict(zip((index for index, _ in split), place, strict=True))
            for number, combination in enumerate(combinations):
                known = dict(zip(labels, combination, strict=True))

                def numbers(value: sp.Expr, chosen: Any = chosen, known: Any = known) -> sp.Expr:
                    """With every selecting entry as a number, as far as its indices are."""
                    value = value.xreplace({index: sp.Integer(at) for index, at in chosen.items()})
                    found = {}
                    for entry in value.atoms(sp.Indexed):
                        name = str(entry.base.label)
                        if name in known:
                            found[entry] = sp.Integer(int(known[name]))
                        elif name in selecting and all(index.is_Integer for index in entry.indices):
                            found[entry] = sp.Integer(int(values.arrays[name][tuple(map(int, entry.indices))]))
                    return value.xreplace(found)

                if numbers(where) == 0:
                    continue
                at = {names[index]: int(v) for index, v in chosen.items()}
                at |= {bindings[name]: int(v) for name, v in known.items()}
                lower, _ = _bounds(_unrolled(item.value, selecting, numbers, values), self._state.name)
                yield self._part(at, lower, np.flatnonzero(member.ravel() == number))

    def _part(self, place: Mapping[str, int], bound: sp.Expr, members: NDArray[np.intp]) -> _Part:
        """With arrays of its own: entries at fixed indices become arrays without these."""
        names: dict[sp.Expr, sp.Expr] = {}
        arrays: dict[str, tuple[NDArray[Any], int | None]] = {}
        for entry in bound.atoms(sp.Indexed):
            name = str(entry.base.label)
            if name in (_LOW, _HIGH):
                continue
            fixed = tuple(int(index) if index.is_Integer else slice(None) for index in entry.indices)
            free = [(k, axis) for k, axis in zip(entry.indices, self._axes[name], strict=True) if not k.is_Integer]
            own = f"{name}{''.join(f'_{at}' for at in fixed if isinstance(at, int))}"
            names[entry] = sp.IndexedBase(sp.Symbol(own, real=True))[tuple(k for k, _ in free)]
            along = next((n for n, (_, axis) in enumerate(free) if axis.size == self._count), None)
            if own not in arrays:
                array = self._values.arrays[name][fixed]
                arrays[own] = (array if along is None else np.take(array, members, axis=along)), along
        return _Part(place, bound.xreplace(names), arrays, members)

    def _at(self, time: float) -> Real:
        return np.array([float(path(time)) for path in self._paths]).reshape(self._shape)

    def first(self, begin: float, end: float) -> tuple[float, _Doubt] | None:
        """When the condition is first not certified from `begin` to `end`, and for whom; None if always."""
        everyone = [_Doubt(part, np.arange(len(part.members)), 0.0, -1, -1) for part in self._parts]
        stack = [(begin, end, everyone), (begin, begin, everyone)]  # the last is looked at first
        for _ in range(_SPANS):
            if not stack:
                return None
            since, until, suspects = stack.pop()
            low, high = self._box(since, until)
            doubts = [doubt for one in suspects if (doubt := self._doubt(one, low, high)) is not None]
            if not doubts:
                continue
            middle = 2.0 * since + 1.0 if until == np.inf else 0.5 * (since + until)
            tiny = until < np.inf and until - since <= _RESOLUTION * until  # above all a point in time
            tiny |= float(np.max(high - low)) <= self._slack
            if tiny or not since < middle < until:
                return since, min(doubts, key=lambda doubt: doubt.lowest)
            stack += [(middle, until, doubts), (since, middle, doubts)]
        since, _, doubts = stack.pop()
        return since, min(doubts, key=lambda doubt: doubt.lowest)

    def _box(self, since: float, until: float) -> tuple[Real, Real]:
        ends = self._at(since), self._at(until)
        return np.minimum(*ends), np.maximum(*ends)

    def _doubt(self, one: _Doubt, low: Real, high: Real) -> _Doubt | None:
        """Those of the samples for which the lower bound on the box is not positive."""
        part = one.part
        arrays: dict[str, Any] = {_LOW: low, _HIGH: high}
        for name, (array, along) in part.arrays.items():
            whole = along is None or len(one.members) == array.shape[along]
            arrays[name] = array if whole else np.take(array, one.members, axis=along)
        extents = {**self._values.extents, self._count: len(one.members)}
        rest = tuple(index for index in self._condition.definition.indices if index != self._sample)
        bounds = IndexedValues(arrays, extents)(part.bound, (self._sample, *rest), {})
        bounds = np.broadcast_to(bounds, (len(one.members), *np.shape(bounds)[1:])).reshape(len(one.members), -1)
        lowest = bounds.min(axis=1)
        open_ = np.flatnonzero(~(lowest > self._slack))
        if not open_.size:
            return None
        worst = int(open_[np.argmin(lowest[open_])])
        return _Doubt(
            part,
            one.members[open_],
            float(lowest[worst]),
            int(part.members[one.members[worst]]),
            int(np.argmin(bounds[worst])),
        )

    def error(self, since: float, doubt: _Doubt) -> Exception:
        """What is broken, where and when."""
        item = self._condition.definition
        places = dict(doubt.part.place)
        free = [name for name in item.target.dimensions if name not in places and name != self._name(self._sample)]
        extents = [self._values.extents[item.target.axes[item.target.dimensions.index(name)].size] for name in free]
        places |= dict(zip(free, map(int, np.unravel_index(doubt.rest, extents)), strict=True))
        places[self._name(self._sample)] = doubt.sample
        given = self._values.arrays[self._condition.asserted.name]
        given = given.astype(np.intp) if (given == np.rint(given)).all() else given
        problem = f"does not hold after time {since:.6g}: {self._condition.broken.format(**places)}"
        return argument_error(self._condition.asserted.binding, given.tolist(), problem, self._condition.cure)

    def _name(self, index: sp.Symbol) -> str:
        item = self._condition.definition
        return item.target.dimensions[item.indices.index(index)]


def _unrolled(
    value: sp.Expr, selecting: set[str], numbers: Callable[[sp.Expr], sp.Expr], values: IndexedValues
) -> sp.Expr:
    """With every selecting entry as a number; sums over an index of such entries are written out."""
    if isinstance(value, IndexSum):
        chosen = (entry for entry in value.body.atoms(sp.Indexed) if str(entry.base.label) in selecting)
        if any(entry.has(value.index) for entry in chosen):
            factors = sorted(sp.Mul.make_args(value.body), key=lambda factor: bool(factor.has(IndexSum)))
            terms = []
            for at in range(values.extents[value.size]):
                term = sp.S.One
                for factor in factors:  # most terms vanish by their first factors
                    term *= _unrolled(factor.xreplace({value.index: sp.Integer(at)}), selecting, numbers, values)
                    if term == 0:
                        break
                terms.append(term)
            return sp.Add(*terms)
    if value.has(IndexSum):
        return value.func(*(_unrolled(arg, selecting, numbers, values) for arg in value.args))
    return numbers(value)


@cache
def _bounds(value: sp.Expr, state: str) -> tuple[sp.Expr, sp.Expr]:
    """Lower and upper bound of an expression on a box, in entries of the ends of the box instead of the state's."""
    if not any(str(entry.base.label) == state for entry in value.atoms(sp.Indexed)):
        return value, value
    if isinstance(value, sp.Indexed):
        low, high = (sp.IndexedBase(sp.Symbol(name, real=True))[value.indices] for name in (_LOW, _HIGH))
        return low, high
    if isinstance(value, sp.Add | sp.Max | sp.Min):
        lower, upper = zip(*(_bounds(arg, state) for arg in value.args), strict=True)
        return value.func(*lower), value.func(*upper)
    if isinstance(value, IndexSum):
        lower, upper = _bounds(value.body, state)
        return IndexSum(lower, value.index, value.size), IndexSum(upper, value.index, value.size)
    if isinstance(value, sp.Mul):
        moving = [f for f in value.args if any(str(e.base.label) == state for e in f.atoms(sp.Indexed))]
        if len(moving) == 1:
            scale = sp.Mul(*(f for f in value.args if f is not moving[0]))
            lower, upper = _bounds(moving[0], state)
            plus, minus = (scale, 0) if scale.is_nonnegative else (sp.Max(scale, 0), sp.Max(-scale, 0))
            if scale.is_nonpositive:
                plus, minus = sp.S.Zero, -scale
            return plus * lower - minus * upper, plus * upper - minus * lower
    raise DerivationError(f"{value} is not known to be monotone in each entry of {state}")
