"""Hoisting by index dependence: each sub-expression is computed where its own indices, and no others, are fixed.

Inside the loops (k, l, a, b) a factor that depends on (k, l) becomes a scalar of the l-loop, and one that depends on
(k, l, b) becomes a row over b that is filled once for each (k, l). A factor in a and the same factor in b share a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import sympy as sp

__all__ = ["Hoisted", "Hoister", "separate"]

_ROW = sp.Symbol("_row", integer=True)
# A row costs a store and a load for each entry: worth it from a few operations, or for any division or root.
_ROW_OPERATIONS = 3
# An argument with more monomials than this in one index is better left to common sub-expressions.
_MOST_SEPARATED = 8


@dataclass(frozen=True)
class Hoisted:
    """A hoisted value: a scalar at a loop level, or a row over one more index.

    Parameters
    ----------
    name : str
        Its name in the kernel.
    level : int
        Number of enclosing loops within which it is computed.
    value : sympy.Expr
        What it is; rows in terms of the placeholder index.
    row : sympy.Expr or None
        Extent of the row, None for a scalar.
    """

    name: str
    level: int
    value: sp.Expr
    row: sp.Expr | None

    def at(self, index: sp.Expr) -> sp.Expr:
        """The row's definition with its index replaced."""
        return self.value.xreplace({_ROW: index})


@dataclass
class Hoister:
    """Hoists out of one loop nest.

    Parameters
    ----------
    free : tuple of sympy.Symbol
        The outer loops' indices: those of the target.
    summed : tuple of sympy.Symbol
        The inner loops' indices.
    extent : dict
        Extent of each index's range.
    prefix : str
        Beginning of the names given.
    """

    free: tuple[sp.Symbol, ...]
    summed: tuple[sp.Symbol, ...]
    extent: dict[sp.Symbol, sp.Expr]
    prefix: str
    values: list[Hoisted] = field(default_factory=list)
    _known: dict[tuple[int, sp.Expr | None, sp.Expr], sp.Expr] = field(default_factory=dict)

    def indices(self, value: sp.Expr) -> frozenset[sp.Symbol]:
        """The loop indices that a value depends on."""
        return frozenset(value.free_symbols) & frozenset((*self.free, *self.summed))

    def hoist(self, value: sp.Expr, within: frozenset[sp.Symbol]) -> sp.Expr:
        """Replace all sub-expressions that depend on fewer indices than `within` by hoisted values."""
        if value.is_Atom or isinstance(value, sp.Indexed):
            return value
        if not isinstance(value, sp.Add | sp.Mul):
            return value.func(*(self.hoist(arg, within) for arg in value.args))
        groups: dict[frozenset[sp.Symbol], list[sp.Expr]] = {}
        for arg in value.args:
            groups.setdefault(self.indices(arg), []).append(arg)
        parts: list[sp.Expr] = []
        for depends, args in sorted(groups.items(), key=lambda g: sorted(str(i) for i in g[0])):
            if depends == within:
                parts.extend(self.hoist(arg, within) for arg in args)
            else:
                parts.append(self._place(value.func(*args), depends))
        return value.func(*parts)

    def _place(self, value: sp.Expr, depends: frozenset[sp.Symbol]) -> sp.Expr:
        if not depends or value.is_Atom or isinstance(value, sp.Indexed):
            return value
        sums = [i for i in self.summed if i in depends]
        rest = sums or [i for n, i in enumerate(self.free) if i in depends and not set(self.free[:n]) <= depends]
        if len(rest) > 1:
            return self.hoist(value, depends)
        level = max((n + 1 for n, i in enumerate(self.free) if i in depends and i not in rest), default=0)
        expensive = any(not (p.exp.is_Integer and p.exp > 0) for p in value.atoms(sp.Pow)) or value.has(sp.Function)
        if rest and not expensive and value.count_ops() < _ROW_OPERATIONS:
            return value
        inner = self.hoist(value, depends)
        if inner.is_Atom or isinstance(inner, sp.Indexed):
            return inner
        row = self.extent[rest[0]] if rest else None
        definition = inner.xreplace({rest[0]: _ROW}) if rest else inner
        key = (level, row, definition)
        if key not in self._known:
            hoisted = Hoisted(f"{self.prefix}{len(self.values)}", level, definition, row)
            self.values.append(hoisted)
            self._known[key] = sp.Symbol(hoisted.name, real=True)
        name = self._known[key]
        return sp.IndexedBase(name)[rest[0]] if rest else name

    def at_level(self, level: int) -> Iterable[Hoisted]:
        """The values to compute on entering a level, in the order in which they depend on each other."""
        return [v for v in self.values if v.level == level]


def separate(value: sp.Expr, index: sp.Symbol, other: sp.Symbol) -> sp.Expr:
    """Write polynomials in entries of both indices as short sums of (entries in `index`) x (coefficients free of it).

    The coefficients can then be hoisted out of the loop over `index`; an argument quadratic in both indices becomes a
    few multiplications.
    """
    if not {index, other} <= value.free_symbols:
        return value
    if isinstance(value, sp.Add):
        entries = sorted((e for e in value.atoms(sp.Indexed) if e.has(index)), key=sp.default_sort_key)
        if entries and value.is_polynomial(*entries):
            terms = sp.Poly(value, *entries).terms()
            if len(terms) <= _MOST_SEPARATED:
                return sp.Add(
                    *(
                        sp.Mul(sp.collect_const(coefficient), *(e**n for e, n in zip(entries, powers, strict=True)))
                        for powers, coefficient in terms
                    )
                )
        return value
    if value.is_Atom or isinstance(value, sp.Indexed):
        return value
    return value.func(*(separate(arg, index, other) for arg in value.args))
