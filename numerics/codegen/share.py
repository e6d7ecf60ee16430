"""Sharing: an expensive factor that several equations need is computed once and kept as an array.

Two occurrences are the same if renaming their indices makes them equal. The array runs over the largest index set that
any occurrence needs in each place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sympy as sp

from hermiton.theory.systems import Array, Definition, IndexSet, IndexSum

__all__ = ["Sharing"]

_PLACES = (sp.Symbol("_p", integer=True), sp.Symbol("_q", integer=True))
Extents = Mapping[sp.Symbol, sp.Expr]


@dataclass
class _Shared:
    array: str
    value: sp.Expr
    axes: list[IndexSet]
    uses: int = 0


@dataclass
class Sharing:
    """Finds factors that occur more than once and replaces them by entries of arrays.

    Parameters
    ----------
    sets : tuple of IndexSet
        All index sets, parts before the sets that concatenate them.
    standard : callable
        Brings entries of symmetric arrays into their standard order.
    """

    sets: tuple[IndexSet, ...]
    standard: Callable[[sp.Expr], sp.Expr]
    _found: dict[sp.Expr, _Shared] = field(default_factory=dict)
    _keys: dict[tuple[object, ...], tuple[sp.Expr, tuple[sp.Symbol, ...]]] = field(default_factory=dict)

    def scan(self, value: sp.Expr, extents: Extents) -> None:
        """Count the expensive factors of one right-hand side."""
        for factor, inside in self._factors(value, dict(extents)):
            key, order = self._key(factor, inside)
            axes = [self._set(inside[i]) for i in order]
            shared = self._found.setdefault(key, _Shared(f"shared_{len(self._found)}", key, axes))
            shared.axes = [max(pair, key=self.sets.index) for pair in zip(shared.axes, axes, strict=True)]
            shared.uses += 1

    def replace(self, value: sp.Expr, extents: Extents) -> sp.Expr:
        """The right-hand side with shared factors as array entries."""
        replacements = {}
        for factor, inside in self._factors(value, dict(extents)):
            key, order = self._key(factor, inside)
            if self._shared(key):
                replacements[factor] = sp.IndexedBase(sp.Symbol(self._found[key].array, real=True))[order]
        return value.xreplace(replacements)

    def definitions(self, value: sp.Expr, extents: Extents) -> list[Definition]:
        """Definitions of the arrays that a right-hand side uses."""
        keys = dict.fromkeys(self._key(factor, inside)[0] for factor, inside in self._factors(value, dict(extents)))
        return [
            Definition(Array(found.array, tuple(found.axes)), _PLACES[: len(found.axes)], found.value)
            for found in (self._found[key] for key in keys if self._shared(key))
        ]

    def _shared(self, key: sp.Expr) -> bool:
        return key in self._found and self._found[key].uses > 1

    def _factors(self, value: sp.Expr, extents: dict[sp.Symbol, sp.Expr]) -> list[tuple[sp.Expr, Extents]]:
        """Roots that depend on one or two indices, largest first, with the extents of the indices in scope."""
        if isinstance(value, IndexSum):
            return self._factors(value.body, {**extents, value.index: value.size})
        if isinstance(value, sp.Pow) and not value.exp.is_Integer:
            if 1 <= len(value.free_symbols & extents.keys()) <= len(_PLACES):
                return [(value, extents)]
        if value.is_Atom or isinstance(value, sp.Indexed):
            return []
        return [found for arg in value.args for found in self._factors(arg, extents)]

    def _set(self, extent: sp.Expr) -> IndexSet:
        return next(s for s in self.sets if s.size == extent)

    def _key(self, factor: sp.Expr, extents: Extents) -> tuple[sp.Expr, tuple[sp.Symbol, ...]]:
        """The factor with its indices renamed, small sets first, and the indices in that order."""
        used = [i for i in extents if i in factor.free_symbols]
        known = (factor, *((i, extents[i]) for i in used))
        if known in self._keys:
            return self._keys[known]
        ranked = sorted(used, key=lambda i: (self.sets.index(self._set(extents[i])), str(i)))
        orders = [tuple(ranked)]
        if len(ranked) == 2 and extents[ranked[0]] == extents[ranked[1]]:
            orders.append((ranked[1], ranked[0]))
        candidates = [
            (self.standard(factor.xreplace(dict(zip(order, _PLACES, strict=False)))), order) for order in orders
        ]
        self._keys[known] = min(candidates, key=lambda candidate: sp.default_sort_key(candidate[0]))
        return self._keys[known]
