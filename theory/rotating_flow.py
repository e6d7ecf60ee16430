"""Flows of vectors and rotations together: a system some of whose states are orthogonal matrices."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from .errors import DerivationError
from .systems import Array, Definition, OdeSystem

__all__ = ["RotatingFlow"]


@dataclass(frozen=True)
class RotatingFlow(OdeSystem):
    """An `OdeSystem` on R^n x O(d) x ... x O(d), whose right-hand side may jump.

    The equation of a rotation R gives the antisymmetric Omega of R' = Omega R; that of any other state its derivative.
    Right-hand sides may jump where a `Passed` in them or in a definition flips. Arrays may be slices of stacked values
    (`Array.slot`).

    Parameters
    ----------
    rotations : tuple of Array
        The states that are orthogonal matrices.
    starts : tuple of (Array, Definition)
        Other arrays that a start may give instead of a state, each with the state in terms of it, of other states that
        are not given so, and of parameters. Those of one field, one for each slot, are given together.
    plain : str
        Name of the state or of the start that a bare array stands for, if any.

    Raises
    ------
    DerivationError
        If a rotation is no square state, a definition has blocks, there are moments, or a start doesn't fit.
    """

    rotations: tuple[Array, ...] = ()
    starts: tuple[tuple[Array, Definition], ...] = ()
    plain: str = ""

    def __post_init__(self) -> None:
        """Refuse what is not of this form."""
        super().__post_init__()
        if self.moments or not all(isinstance(item, Definition) for item in self.definitions):
            raise DerivationError(f"system {self.name}: may have no moments and no definitions in blocks")
        for array in self.rotations:
            if array not in self.states or len(array.axes) != 2 or array.axes[0].size != array.axes[1].size:
                raise DerivationError(f"system {self.name}: the rotation {array.name} is not a square state")
        if self.plain and self.plain not in {
            array.binding for array in (*self.states, *(one for one, _ in self.starts))
        }:
            raise DerivationError(f"system {self.name}: {self.plain} is neither a state nor a start")
        replaced: dict[str, set[Array]] = {}
        for given, start in self.starts:
            if start.target not in self.states or (start.target.axes and not start.indices):
                raise DerivationError(
                    f"system {self.name}: a start in {given.name} gives {start.target.name}, no state"
                )
            replaced.setdefault(given.binding, set()).add(start.target)
        sizes = {str(symbol) for basic in self.sets for symbol in basic.size.free_symbols}
        for given, start in self.starts:
            usable = {array.name for array in (*self.states, *self.parameters)}
            usable -= {array.name for array in replaced[given.binding]}
            unknown = _names(start.value) - usable - sizes - {given.name, *map(str, start.indices)}
            if unknown:
                raise DerivationError(f"system {self.name}: a start in {given.name} uses undeclared {sorted(unknown)}")

    @property
    def moving(self) -> frozenset[str]:
        """Names of the states and of the definitions that change with them."""
        names = {array.name for array in self.states}
        for item in self.definitions:
            assert isinstance(item, Definition)
            if _names(item.value) & names:
                names.add(item.target.name)
        return frozenset(names)


def _names(value: sp.Expr) -> set[str]:
    """Names of arrays, sizes and free indices."""
    return {str(symbol) for symbol in value.free_symbols if isinstance(symbol, sp.Symbol)}
