"""Evaluate a system as it is written, entry by entry, in exact arithmetic.

This is the slow reading of a system, without lowering or code generation: the oracle for derivation checks and for the
generated kernels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sympy as sp

from .errors import DerivationError
from .systems import Array, BlockDefinition, Definition, MomentFunction, OdeSystem, canonical, instantiate

__all__ = ["Evaluation", "evaluate", "moment_from_closed_form"]

MomentValue = Callable[[str, tuple[int, ...], Mapping[tuple[int, ...], sp.Expr]], sp.Expr]


@dataclass(frozen=True)
class Evaluation:
    """Values of everything in a system at one point.

    Parameters
    ----------
    values : dict
        For each array (states, parameters, definitions, observables) its entries by index tuple.
    derivatives : dict
        For each state the entries of its time derivative.
    """

    values: dict[str, dict[tuple[int, ...], sp.Expr]] = field(default_factory=dict)
    derivatives: dict[str, dict[tuple[int, ...], sp.Expr]] = field(default_factory=dict)


def moment_from_closed_form(system: OdeSystem) -> MomentValue:
    """Moments by their closed forms, exactly."""

    def value(name: str, indices: tuple[int, ...], covariance: Mapping[tuple[int, ...], sp.Expr]) -> sp.Expr:
        moment = system.moment(name)
        inlined = moment.inline(tuple(sp.Integer(i) for i in indices))
        entries = {e: covariance[tuple(int(i) for i in e.indices)] for e in inlined.atoms(sp.Indexed)}
        return inlined.xreplace(entries)

    return value


def evaluate(
    system: OdeSystem,
    sizes: Mapping[str, int],
    values: Mapping[str, Mapping[tuple[int, ...], sp.Expr]],
    moment: MomentValue | None = None,
) -> Evaluation:
    """Evaluate definitions, equations and observables at concrete sizes.

    Parameters
    ----------
    system : OdeSystem
        What to evaluate.
    sizes : mapping of str to int
        Size of each basic index set by its symbol's name, as in ``{"K": 2, "M": 1}``.
    values : mapping
        For each state and parameter its entries by index tuple (scalars under the empty tuple), numbers or symbols.
    moment : callable, optional
        ``moment(name, indices, covariance)``; by default the closed forms.

    Returns
    -------
    Evaluation
    """
    value_of = moment_from_closed_form(system) if moment is None else moment
    numbers = {s: sizes[s.name] for basic in system.sets for s in basic.size.free_symbols}
    orders = {m.name: m.orders for m in system.moments}
    arrays = {a.name: a for a in (*system.states, *system.parameters, *(d.target for d in system.definitions))}
    known: dict[str, dict[tuple[int, ...], sp.Expr]] = {name: dict(entries) for name, entries in values.items()}

    def extents(array: Array) -> tuple[int, ...]:
        return tuple(int(sp.sympify(axis.size).xreplace(numbers)) for axis in array.axes)

    def entry(expression: sp.Expr) -> sp.Expr:
        expression = canonical(instantiate(expression, numbers), arrays, orders)
        calls = {}
        for call in expression.atoms(MomentFunction):
            name = str(call.args[0])
            covariance = known[system.moment(name).covariance.name]
            calls[call] = value_of(name, tuple(int(i) for i in call.args[1:]), covariance)
        entries = {}
        for item in expression.atoms(sp.Indexed):
            name = str(item.base.label)
            if name not in known:
                raise DerivationError(f"system {system.name}: no value for {name}")
            entries[item] = known[name][tuple(int(i) for i in item.indices)]
        scalars = {s: known[s.name][()] for s in expression.free_symbols if s.name in known and () in known[s.name]}
        return expression.xreplace({**calls, **entries, **scalars})

    def fill(item: Definition) -> dict[tuple[int, ...], sp.Expr]:
        result = {}
        for index in itertools.product(*(range(n) for n in extents(item.target))):
            replace = {symbol: sp.Integer(i) for symbol, i in zip(item.indices, index, strict=True)}
            result[index] = entry(item.value.xreplace(replace))
        return result

    def blocks(item: BlockDefinition) -> dict[tuple[int, ...], sp.Expr]:
        result = {}
        for sets, value in item.blocks:
            for local in itertools.product(*(range(int(sp.sympify(s.size).xreplace(numbers))) for s in sets)):
                offsets = [
                    axis.offset(part).xreplace(numbers) for axis, part in zip(item.target.axes, sets, strict=True)
                ]
                replace = {symbol: sp.Integer(i) for symbol, i in zip(item.indices, local, strict=True)}
                place = tuple(int(o) + i for o, i in zip(offsets, local, strict=True))
                result[place] = entry(value.xreplace(replace))
        return result

    for definition in system.definitions:
        known[definition.target.name] = (
            blocks(definition) if isinstance(definition, BlockDefinition) else fill(definition)
        )
    derivatives = {e.target.name: fill(e) for e in system.equations}
    for observable in system.observables:
        known[observable.target.name] = fill(observable)
    return Evaluation(known, derivatives)
