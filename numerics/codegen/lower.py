"""Lowering: from a system in indexed form to a loop program.

The passes, in order, each named where it happens:

1. *inline*: moments with a closed form become expressions in covariance entries, the others become entries of tables;
2. *share*: roots that several equations need become arrays;
3. *symmetry*: targets that are symmetric fill one triangle, and sums of a symmetric summand run over a <= b;
4. *separate*: arguments are split into coefficients and the entries of one index;
5. *hoist*: values move out of the loops on whose indices they don't depend;
6. *split*: transcendental functions of one right-hand side run over one contiguous buffer.

No equation of any theory appears here: everything comes from the system.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sympy as sp

from hermiton.theory.activation import Activation
from hermiton.theory.errors import CodegenError
from hermiton.theory.systems import (
    Array,
    BlockDefinition,
    Definition,
    IndexSum,
    Moment,
    MomentFunction,
    OdeSystem,
    canonical,
)

from .hoist import Hoister, separate
from .program import Accumulate, Assign, Call, Comment, Counter, Loop, Place, Program, Statement, VectorMap
from .share import Sharing

__all__ = ["FOUR_POINT_ORDERS", "PAIR_ORDERS", "VECTORISED", "lower_observables", "lower_rhs"]

# Functions that have a vectorised kernel of ours (`elementary`); others go through libm, entry by entry.
VECTORISED = {sp.asin: "asin"}

_PAIRS = sp.IndexedBase(sp.Symbol("pair_table", real=True))
_FOUR_POINT = sp.IndexedBase(sp.Symbol("four_point_table", real=True))
# Derivative orders of the moments that `hermiton.numerics.moments` fills tables of.
PAIR_ORDERS = ((0, 0), (1, 1), (2, 0))
FOUR_POINT_ORDERS = (1, 1, 0, 0)


@dataclass
class _Lowering:
    """State of one lowering: the program under construction."""

    system: OdeSystem
    outputs: Mapping[str, Place]
    arrays: dict[str, Array] = field(init=False)
    orders: dict[str, tuple[int, ...]] = field(init=False)
    places: list[Place] = field(default_factory=list)
    scalars: list[str] = field(default_factory=list)
    body: list[Statement] = field(default_factory=list)
    rows: int = 0
    sharing: Sharing = field(init=False)
    extents: dict[sp.Symbol, sp.Expr] = field(default_factory=dict)
    packed: set[str] = field(default_factory=set)  # symmetric states that are only read as a triangle

    def __post_init__(self) -> None:
        system = self.system
        targets = [d.target for d in (*system.definitions, *system.observables)]
        self.arrays = {a.name: a for a in (*system.states, *system.parameters, *targets)}
        self.orders = {m.name: m.orders for m in system.moments}
        axes = dict.fromkeys(axis for array in self.arrays.values() for axis in array.axes if axis.parts)
        self.sharing = Sharing((*system.sets, *axes), lambda value: canonical(value, self.arrays, self.orders))

    # -- names and places -------------------------------------------------------------------------------------------

    def place(self, place: Place) -> None:
        if place.name not in {p.name for p in self.places}:
            self.places.append(place)

    def work(self, name: str, shape: tuple[sp.Expr, ...], symmetric: bool = False) -> None:
        self.place(Place(name, shape, "work", symmetric=symmetric))

    def scalar(self, name: str) -> sp.Symbol:
        if name not in self.scalars:
            self.scalars.append(name)
        return sp.Symbol(name, real=True)

    # -- passes 1 and 2: inline, share -------------------------------------------------------------------------------

    def inline_moments(self, value: sp.Expr) -> sp.Expr:
        """Write closed forms out, and the other moments as entries of tables."""
        replacements = {}
        for call in value.atoms(MomentFunction):
            moment = self.system.moment(str(call.args[0]))
            indices = tuple(call.args[1:])
            if moment.closed_form is None:
                replacements[call] = self.table_entry(moment, indices)
            else:
                replacements[call] = moment.inline(indices)
        return value.xreplace(replacements)

    def inline(self, value: sp.Expr) -> sp.Expr:
        """Inline the moments, and take shared roots from their arrays."""
        return self.sharing.replace(self.inline_moments(value), self.extents)

    def table_entry(self, moment: Moment, indices: tuple[sp.Expr, ...]) -> sp.Expr:
        """An entry of a table that quadrature fills."""
        if moment.orders in PAIR_ORDERS:
            if moment.orders[0] and self.extents.get(indices[0]) != moment.axes[0].size:
                indices = indices[::-1]  # the table has rows for students only
            return _PAIRS[(sp.Integer(PAIR_ORDERS.index(moment.orders)), *indices)]
        if moment.orders == FOUR_POINT_ORDERS:
            return _FOUR_POINT[indices]
        raise CodegenError(
            f"moment {moment.name} has derivative orders {moment.orders}: no quadrature fills such a table"
        )

    def tables(self, covariance: Array, finals: Sequence[Definition]) -> list[Statement]:
        """Calls that fill the tables needed, once the covariance of the fields is known."""
        needed = [m for m in self.system.moments if m.closed_form is None and m.covariance == covariance]
        items = [*needed_definitions(self.system, finals), *finals]
        called = {str(c.args[0]) for item in items for value in _values(item) for c in value.atoms(MomentFunction)}
        orders = {m.orders for m in needed if m.name in called}
        if not orders:
            return []
        if len(self.system.sets) != 2 or set(self.system.activations) != {s.name for s in self.system.sets}:
            raise CodegenError(
                f"system {self.system.name}: quadrature needs two sets of fields, each with its activation"
            )
        fields = covariance.axes[0].size
        width = self.system.sets[0].size
        smooth = not has_forms(self.system)
        statements: list[Statement] = []
        if orders & set(PAIR_ORDERS):
            self.place(Place("pair_table", (sp.Integer(len(PAIR_ORDERS)), fields, fields), "work", shared=True))
            statements.append(Call("pair_moments", covariance.name, "pair_table", smooth))
        if FOUR_POINT_ORDERS in orders:
            self.place(Place("four_point_table", (width, width, fields, fields), "work", shared=True))
            statements.append(Call("four_point_moments", covariance.name, "four_point_table", smooth))
        return statements

    # -- pass 3: symmetry -------------------------------------------------------------------------------------------

    def is_symmetric(self, value: sp.Expr, i: sp.Symbol, j: sp.Symbol) -> bool:
        swapped = value.xreplace({i: j, j: i})
        return bool(canonical(swapped, self.arrays, self.orders) == canonical(value, self.arrays, self.orders))

    # -- statements -------------------------------------------------------------------------------------------------

    def blocks(self, definition: BlockDefinition) -> list[Statement]:
        """Fill an array over concatenated index sets, block by block."""
        shape = tuple(axis.size for axis in definition.target.axes)
        shared = any(m.closed_form is None and m.covariance == definition.target for m in self.system.moments)
        symmetric = definition.target.symmetric
        if symmetric and len(definition.indices) == 2:
            self.refuse_asymmetric(definition)
        self.place(Place(definition.target.name, shape, "work", symmetric=symmetric, shared=shared))
        base = definition.target.base
        statements: list[Statement] = []
        for sets, value in definition.blocks:
            places = [axis.parts.index(part) for axis, part in zip(definition.target.axes, sets, strict=True)]
            mirrored = symmetric and len(sets) == 2
            if mirrored and places[0] > places[1]:
                continue  # written together with its transpose
            axes = zip(definition.target.axes, sets, definition.indices, strict=True)
            entry = tuple(axis.offset(part) + index for axis, part, index in axes)
            body: list[Statement] = [Assign(base[entry], self.read_packed(self.inline(value)))]
            if mirrored:
                body.append(Assign(base[entry[::-1]], base[entry]))
            nest = tuple(body)
            for n in range(len(sets) - 1, -1, -1):
                triangle = mirrored and n == 1 and places[0] == places[1]
                start = definition.indices[0] if triangle else sp.Integer(0)
                nest = (Loop(definition.indices[n], start, sets[n].size, nest),)
            statements.extend(nest)
        return statements

    def refuse_asymmetric(self, definition: BlockDefinition) -> None:
        """Blocks of a symmetric array have to be each other's transposes, since only one of them is computed."""
        i, j = definition.indices
        values = {sets: canonical(value, self.arrays, self.orders) for sets, value in definition.blocks}
        for sets, value in values.items():
            if canonical(value.xreplace({i: j, j: i}), self.arrays, self.orders) != values.get(sets[::-1]):
                names = " x ".join(part.name for part in sets)
                raise CodegenError(
                    f"{definition.target.name} is declared symmetric, but its block {names} is not the transpose of "
                    f"the opposite one: {value}"
                )

    def read_packed(self, value: sp.Expr) -> sp.Expr:
        """Entries of symmetric states from their triangle, where the loops run over that triangle only."""
        entries = {}
        for entry in value.atoms(sp.Indexed):
            name = str(entry.base.label)
            if name in self.packed:
                entries[entry] = sp.IndexedBase(sp.Symbol(f"{name}_packed", real=True))[entry.indices]
        return value.xreplace(entries)

    def definition(self, definition: Definition, output: str | None = None) -> list[Statement]:
        """Loops that evaluate ``target[indices] = value``; into the named output if given, else into work."""
        target, indices = definition.target, definition.indices
        symmetric = target.symmetric and len(indices) == 2
        if symmetric and not self.is_symmetric(definition.value, *indices):
            raise CodegenError(f"{target.name} is declared symmetric, but its value is not: {definition.value}")
        if output is None:
            if target.axes:
                self.work(target.name, tuple(axis.size for axis in target.axes), symmetric)
            else:
                self.scalar(target.name)
        name = output or target.name
        base = sp.IndexedBase(sp.Symbol(name, real=True))
        constant, sums = _split_sums(definition.value)
        extent = {i: axis.size for i, axis in zip(indices, target.axes, strict=True)}
        self.extents = {**extent, **_bound(definition.value)}

        before: dict[int, list[Statement]] = {}  # statements on entering each level of the free loops
        buffered: dict[int, list[Statement]] = {}  # the same for the loops that fill buffers
        parts: list[sp.Expr] = []
        inner: list[Statement] = []
        filling: list[Statement] = []
        maps: list[Statement] = []
        resets: list[Statement] = []
        for coefficient, nest, summand in sums:
            term = self.sum(coefficient, nest, summand, indices, extent)
            (buffered if term.maps else before).update(
                {n: [*(buffered if term.maps else before).get(n, []), *s] for n, s in term.before.items()}
            )
            filling.extend(term.filling)
            maps.extend(term.maps)
            resets.extend(term.resets)
            inner.extend(term.reduction)
            parts.append(term.value)
        hoister = self._hoister(indices, (), extent)
        rest = hoister.hoist(self.inline(constant), frozenset(indices))
        for level in range(len(indices) + 1):
            before[level] = [*before.get(level, []), *self._hoisted(hoister, level)]
        value = sp.Add(rest, *parts)
        if not indices:
            final: list[Statement] = [Assign(base[0] if output else sp.Symbol(name, real=True), value)]
        elif symmetric and output is None:
            i, j = indices
            final = [Assign(base[i, j], value), Assign(base[j, i], base[i, j])]
        else:
            final = [Assign(base[tuple(indices)], value)]

        def wrap(levels: dict[int, list[Statement]], core: list[Statement]) -> list[Statement]:
            nest = [*levels.get(len(indices), []), *core]
            for level in range(len(indices) - 1, -1, -1):
                start = indices[0] if symmetric and level == 1 else sp.Integer(0)
                loop = Loop(indices[level], start, extent[indices[level]], tuple(nest))
                nest = [*levels.get(level, []), loop]
            return nest

        statements: list[Statement] = []
        if filling:
            statements += [*resets, *wrap(buffered, filling), *maps, *resets]
        return [*statements, *wrap(before, [*inner, *final])]

    def _hoister(
        self, free: tuple[sp.Symbol, ...], summed: tuple[sp.Symbol, ...], extent: dict[sp.Symbol, sp.Expr]
    ) -> Hoister:
        self.rows += 1
        return Hoister(free, summed, extent, f"h{self.rows}_")

    def _hoisted(self, hoister: Hoister, level: int) -> list[Statement]:
        statements: list[Statement] = []
        index = sp.Symbol("_i", integer=True)
        for hoisted in hoister.at_level(level):
            if hoisted.row is None:
                statements.append(Assign(self.scalar(hoisted.name), hoisted.value))
            else:
                self.work(hoisted.name, (hoisted.row,))
                row = sp.IndexedBase(sp.Symbol(hoisted.name, real=True))
                assignment = Assign(row[index], hoisted.at(index))
                last = statements[-1] if statements else None
                if isinstance(last, Loop) and last.index == index and last.stop == hoisted.row:
                    statements[-1] = Loop(index, last.start, last.stop, (*last.body, assignment))
                else:
                    statements.append(Loop(index, sp.Integer(0), hoisted.row, (assignment,)))
        return statements

    def sum(
        self,
        coefficient: sp.Expr,
        nest: Sequence[tuple[sp.Symbol, sp.Expr]],
        summand: sp.Expr,
        free: tuple[sp.Symbol, ...],
        extent: dict[sp.Symbol, sp.Expr],
    ) -> _Term:
        """One term ``coefficient * sum_a sum_b summand``: through a buffer if a factor has a vectorised function."""
        loops = _SumLoops(free, tuple(index for index, _ in nest), {**extent, **dict(nest)})
        loops.triangle = len(nest) == 2 and nest[0][1] == nest[1][1] and self.is_symmetric(summand, *loops.summed)
        value = self.inline(summand)
        everywhere = [
            f
            for f in sp.Mul.make_args(value)
            if isinstance(f, tuple(VECTORISED)) and _indices(f, loops.all) == loops.all
        ]
        if len(everywhere) == 1:
            return self.buffered_sum(coefficient, value, everywhere[0], loops)
        return self.direct_sum(coefficient, value, loops)

    def buffered_sum(self, coefficient: sp.Expr, value: sp.Expr, function: sp.Expr, loops: _SumLoops) -> _Term:
        """Arguments first, then the function of all of them at once, then the weighted sum (pass 6, *split*)."""
        hoister = self._hoister(loops.free, loops.summed, loops.extent)
        buffer = f"{VECTORISED[type(function)]}_{self.rows}"
        self.work(buffer, tuple(loops.extent[i] for i in (*loops.free, *loops.summed)))
        counter = sp.Symbol(f"n{self.rows}", integer=True)
        entry = sp.IndexedBase(sp.Symbol(buffer, real=True))[counter]
        argument = function.args[0]
        if len(loops.summed) == 2:
            argument = separate(argument, *loops.summed)
        filling: tuple[Statement, ...] = (Assign(entry, hoister.hoist(argument, loops.all)), Counter(counter))
        factors = [f for f in sp.Mul.make_args(value) if f is not function]
        scale, weights = loops.split(factors)
        reduction, accumulated = self.reduce(loops, weights, entry, [Counter(counter)], f"s{self.rows}_")
        return _Term(
            before={level: self._hoisted(hoister, level) for level in range(len(loops.free) + 1)},
            filling=list(loops.nest(filling)),
            maps=[VectorMap(VECTORISED[type(function)], buffer, counter)],
            resets=[Counter(counter, reset=True)],
            reduction=reduction,
            value=sp.Mul(coefficient, *scale, accumulated),
        )

    def direct_sum(self, coefficient: sp.Expr, value: sp.Expr, loops: _SumLoops) -> _Term:
        """A sum whose summand is evaluated where it is added."""
        hoister = self._hoister(loops.free, loops.summed, loops.extent)
        if len(loops.summed) == 2:
            value = separate(value, *loops.summed)
        scale, rest = loops.split(list(sp.Mul.make_args(value)))
        weights = [f for f in rest if len(_indices(f, frozenset(loops.summed))) == 1 and (f.is_Atom or f.is_Indexed)]
        core = sp.Mul(*(f for f in rest if f not in weights))
        core = hoister.hoist(core, _indices(core, loops.all))
        reduction, accumulated = self.reduce(loops, weights, core, [], f"s{self.rows}_")
        return _Term(
            before={level: self._hoisted(hoister, level) for level in range(len(loops.free) + 1)},
            reduction=reduction,
            value=sp.Mul(coefficient, *scale, accumulated),
        )

    def reduce(
        self, loops: _SumLoops, weights: list[sp.Expr], core: sp.Expr, after: list[Statement], prefix: str
    ) -> tuple[list[Statement], sp.Symbol]:
        """Nested accumulation of ``weights * core``; in a triangle the diagonal enters with one half, then all doubles.

        For a symmetric summand f_a f_b x_ab the sum is sum_a 2 f_a (f_a x_aa / 2 + sum_{b > a} f_b x_ab).
        """
        summed = loops.summed
        own = {i: sp.Mul(*(w for w in weights if _indices(w, frozenset(summed)) == frozenset((i,)))) for i in summed}
        core = sp.Mul(core, *(w for w in weights if len(_indices(w, frozenset(summed))) > 1))
        names = [self.scalar(f"{prefix}{n}") for n in range(len(summed))]
        step = Accumulate(names[-1], own[summed[-1]] * core)
        if loops.triangle:
            a, b = summed
            body = (
                Assign(names[1], (sp.S.Half * own[b] * core).xreplace({b: a})),
                *after,
                Loop(b, a + 1, loops.extent[b], (step, *after)),
                Accumulate(names[0], 2 * own[a] * names[1]),
            )
            return [Assign(names[0], sp.S.Zero), Loop(a, sp.S.Zero, loops.extent[a], body)], names[0]
        nest: list[Statement] = [step, *after]
        for n in range(len(summed) - 1, -1, -1):
            nest = [Assign(names[n], sp.S.Zero), Loop(summed[n], sp.S.Zero, loops.extent[summed[n]], tuple(nest))]
            if n:
                nest.append(Accumulate(names[n - 1], own[summed[n - 1]] * names[n]))
        return nest, names[0]

    # -- the whole program ------------------------------------------------------------------------------------------

    def unpack_states(self, items: Sequence[Definition | BlockDefinition]) -> list[Statement]:
        """Symmetric states arrive as their upper triangle; they are written out in full if an equation needs that."""
        statements: list[Statement] = []
        for state in self.system.states:
            shape = tuple(axis.size for axis in state.axes)
            if not state.symmetric:
                self.place(Place(state.name, shape, "state"))
                continue
            self.place(Place(f"{state.name}_packed", shape, "state", packed=True))
            users = [item for item in items if state.name in _used(item)]
            if all(_reads_triangle(item, state) for item in users):
                self.packed.add(state.name)
                continue
            self.work(state.name, shape, symmetric=True)
            i, j = sp.symbols("_i _j", integer=True)
            full = state.base
            packed = sp.IndexedBase(sp.Symbol(f"{state.name}_packed", real=True))
            inner = (Assign(full[i, j], packed[i, j]), Assign(full[j, i], full[i, j]))
            statements.append(Loop(i, sp.Integer(0), shape[0], (Loop(j, i, shape[1], inner),)))
        return statements

    def share(self, item: Definition | BlockDefinition) -> None:
        """Compute the shared roots that an equation is the first to use."""
        if isinstance(item, BlockDefinition):
            return
        for definition in self.sharing.definitions(self.inline_moments(item.value), _extents(item)):
            if definition.target.name not in self.arrays:
                self.arrays[definition.target.name] = definition.target
                self.body.append(Comment(_comment(definition)))
                sharing, self.sharing = self.sharing, Sharing(self.sharing.sets, self.sharing.standard)
                self.body.extend(self.definition(definition))
                self.sharing = sharing

    def program(self, name: str, finals: Sequence[tuple[Definition, str]]) -> Program:
        """Everything that the `finals` (definition, output name) need, in order."""
        system = self.system
        needed = needed_definitions(system, [d for d, _ in finals])
        self.body.extend(self.unpack_states([*needed, *(d for d, _ in finals)]))
        for parameter in system.parameters:
            self.place(Place(parameter.name, tuple(axis.size for axis in parameter.axes), "parameter"))
        plain = [item for item in (*needed, *(d for d, _ in finals)) if isinstance(item, Definition)]
        for definition in plain:
            self.sharing.scan(self.inline_moments(definition.value), _extents(definition))
        covariances = {m.covariance for m in system.moments if m.closed_form is None}
        for item in needed:
            self.share(item)
            self.body.append(Comment(_comment(item)))
            self.body.extend(self.blocks(item) if isinstance(item, BlockDefinition) else self.definition(item))
            if item.target in covariances:
                self.body.extend(self.tables(item.target, [d for d, _ in finals]))
        for place in self.outputs.values():
            self.place(place)
        for item, output in finals:
            self.share(item)
            self.body.append(Comment(_comment(item, derivative=output.startswith("d_"))))
            self.body.extend(self.definition(item, output))
        sizes = tuple(s.size for s in system.sets)
        axes = {axis for a in self.arrays.values() for axis in a.axes if axis.parts}
        derived = tuple((sp.Symbol(f"n_{axis.name}"), axis.size) for axis in sorted(axes, key=lambda axis: axis.name))
        return Program(name, sizes, derived, tuple(self.places), tuple(self.scalars), tuple(self.body))


@dataclass
class _SumLoops:
    """The loops around a summand: the target's, then the sum's."""

    free: tuple[sp.Symbol, ...]
    summed: tuple[sp.Symbol, ...]
    extent: dict[sp.Symbol, sp.Expr]
    triangle: bool = False

    @property
    def all(self) -> frozenset[sp.Symbol]:
        """All loop indices."""
        return frozenset((*self.free, *self.summed))

    def split(self, factors: Sequence[sp.Expr]) -> tuple[list[sp.Expr], list[sp.Expr]]:
        """Factors that can be pulled out of the sum, and the others."""
        inside = [f for f in factors if _indices(f, frozenset(self.summed))]
        return [f for f in factors if f not in inside], inside

    def nest(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        """The sum's loops around a body."""
        for n in range(len(self.summed) - 1, -1, -1):
            start = self.summed[0] if self.triangle and n == 1 else sp.S.Zero
            body = (Loop(self.summed[n], start, self.extent[self.summed[n]], body),)
        return body


@dataclass
class _Term:
    """What one sum contributes: loops that fill a buffer, its map, and the reduction with its value."""

    before: dict[int, list[Statement]] = field(default_factory=dict)
    filling: list[Statement] = field(default_factory=list)
    maps: list[Statement] = field(default_factory=list)
    resets: list[Statement] = field(default_factory=list)
    reduction: list[Statement] = field(default_factory=list)
    value: sp.Expr = sp.S.Zero


def _bound(value: sp.Expr) -> dict[sp.Symbol, sp.Expr]:
    """Extents of the indices that a value sums over."""
    if isinstance(value, IndexSum):
        return {value.index: value.size, **_bound(value.body)}
    return {} if value.is_Atom else {i: n for arg in value.args for i, n in _bound(arg).items()}


def _extents(item: Definition) -> dict[sp.Symbol, sp.Expr]:
    return {i: axis.size for i, axis in zip(item.indices, item.target.axes, strict=True)}


def _indices(value: sp.Expr, among: frozenset[sp.Symbol]) -> frozenset[sp.Symbol]:
    return frozenset(value.free_symbols) & among


def _split_sums(
    value: sp.Expr,
) -> tuple[sp.Expr, list[tuple[sp.Expr, list[tuple[sp.Symbol, sp.Expr]], sp.Expr]]]:
    """Write a value as (part without sums) + sum of coefficient * (nested sums of a summand)."""
    constant: list[sp.Expr] = []
    sums = []
    for term in sp.Add.make_args(sp.expand(value, deep=False, power_base=False, power_exp=False, log=False)):
        inner = [f for f in sp.Mul.make_args(term) if isinstance(f, IndexSum)]
        if not inner:
            if term.has(IndexSum):
                raise CodegenError(f"a sum inside a function can't be lowered: {term}; define it as an array first")
            constant.append(term)
            continue
        if len(inner) > 1:
            raise CodegenError(f"a product of sums can't be lowered: {term}; define one of them as an array first")
        coefficient = sp.Mul(*(f for f in sp.Mul.make_args(term) if f is not inner[0]))
        nest = []
        body: sp.Expr = inner[0]
        while isinstance(body, IndexSum):
            nest.append((body.index, body.size))
            body = body.body
        if body.has(IndexSum):
            raise CodegenError(f"a sum of mixed depth can't be lowered: {term}; define the inner sum as an array first")
        sums.append((coefficient, nest, body))
    return sp.Add(*constant), sums


def _values(item: Definition | BlockDefinition) -> list[sp.Expr]:
    return [value for _, value in item.blocks] if isinstance(item, BlockDefinition) else [item.value]


def _used(item: Definition | BlockDefinition) -> set[str]:
    return {str(entry.base.label) for value in _values(item) for entry in value.atoms(sp.Indexed)}


def _reads_triangle(item: Definition | BlockDefinition, state: Array) -> bool:
    """Whether an item reads a symmetric state only in a block on the diagonal of a symmetric array, as it stands."""
    if not isinstance(item, BlockDefinition) or not item.target.symmetric:
        return False
    for sets, value in item.blocks:
        entries = [e for e in value.atoms(sp.Indexed) if str(e.base.label) == state.name]
        if entries and (sets[0] != sets[1] or any(tuple(e.indices) != item.indices for e in entries)):
            return False
    return True


def needed_definitions(system: OdeSystem, finals: Sequence[Definition]) -> list[Definition | BlockDefinition]:
    """The definitions that the finals depend on, directly or not, in the system's order."""
    covariances = {m.name: m.covariance.name for m in system.moments}

    def uses(item: Definition | BlockDefinition) -> set[str]:
        names: set[str] = set()
        for value in _values(item):
            names |= {s.name for s in value.free_symbols if isinstance(s, sp.Symbol)}
            names |= {str(e.base.label) for e in value.atoms(sp.Indexed)}
            names |= {covariances[str(c.args[0])] for c in value.atoms(MomentFunction)}
        return names

    wanted = set().union(*(uses(f) for f in finals)) if finals else set()
    kept: list[Definition | BlockDefinition] = []
    for item in reversed(system.definitions):
        if item.target.name in wanted:
            kept.append(item)
            wanted |= uses(item)
    return kept[::-1]


def _comment(item: Definition | BlockDefinition, derivative: bool = False) -> str:
    indices = ", ".join(str(i) for i in item.indices)
    entry = f"{item.target.name}[{indices}]" if indices else item.target.name
    if isinstance(item, BlockDefinition):
        return f"{entry} = blocks " + "; ".join(f"{' x '.join(s.name for s in sets)}: {v}" for sets, v in item.blocks)
    return f"d {entry}/dt = {item.value}" if derivative else f"{entry} = {item.value}"


def has_forms(system: OdeSystem) -> bool:
    """Whether the activations are piecewise linear and not all smooth, so that their moments need no quadrature."""
    return _piecewise_linear(tuple(system.activations[s.name] for s in system.sets if s.name in system.activations))


@functools.lru_cache(maxsize=64)
def _piecewise_linear(expressions: tuple[sp.Expr, ...]) -> bool:
    activations = [Activation(expression) for expression in expressions]
    return any(a.kinks for a in activations) and all(a.lines is not None for a in activations)


def lower_rhs(system: OdeSystem) -> Program:
    """The program that evaluates the time derivative of the packed state."""
    outputs = {
        s.name: Place(f"d_{s.name}", tuple(a.size for a in s.axes) or (sp.Integer(1),), "output", packed=s.symmetric)
        for s in system.states
    }
    finals = [(e, f"d_{e.target.name}") for e in system.equations]
    return _Lowering(system, outputs).program("rhs", finals)


def lower_observables(system: OdeSystem) -> Program:
    """The program that evaluates the observables at a packed state."""
    outputs = {
        o.target.name: Place(f"o_{o.target.name}", tuple(a.size for a in o.target.axes) or (sp.Integer(1),), "output")
        for o in system.observables
    }
    finals = [(o, f"o_{o.target.name}") for o in system.observables]
    return _Lowering(system, outputs).program("observables", finals)
