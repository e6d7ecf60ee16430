"""The loop program: what lowering makes of a system and what every printer prints.

A program is a list of statements over flat arrays; right-hand sides are SymPy expressions. The statements are ours:
`sympy.codegen.ast` refuses entries of arrays with symbolic extents and has no buffers and no vectorised calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import sympy as sp

__all__ = ["Accumulate", "Assign", "Call", "Comment", "Counter", "Loop", "Place", "Program", "Statement", "VectorMap"]


@dataclass(frozen=True)
class Place:
    """Where an array lives.

    Parameters
    ----------
    name : str
        Its name in the kernel.
    shape : tuple of sympy.Expr
        Its extents in the size symbols; empty for a scalar.
    storage : str
        ``"state"``, ``"parameter"``, ``"work"`` or ``"output"``: the flat argument that it is a slice of.
    packed : bool
        Whether only the upper triangle of a symmetric matrix is stored, row by row.
    symmetric : bool
        Whether the indices may be exchanged; printers then let the innermost loop run along rows.
    shared : bool
        Whether a library routine reads or writes it too, so that it has to be an array and not a bare row.
    """

    name: str
    shape: tuple[sp.Expr, ...]
    storage: str
    packed: bool = False
    symmetric: bool = False
    shared: bool = False

    @property
    def length(self) -> sp.Expr:
        """Number of doubles."""
        if self.packed:
            return self.shape[0] * (self.shape[0] + 1) / 2
        return sp.Mul(*self.shape)


@dataclass(frozen=True)
class Comment:
    """A line for the reader of the kernel."""

    text: str


@dataclass(frozen=True)
class Assign:
    """``target = value``."""

    target: sp.Expr
    value: sp.Expr


@dataclass(frozen=True)
class Accumulate:
    """``target += value``."""

    target: sp.Expr
    value: sp.Expr


@dataclass(frozen=True)
class Loop:
    """``for index in range(start, stop)``."""

    index: sp.Symbol
    start: sp.Expr
    stop: sp.Expr
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Counter:
    """An integer that numbers the entries of a buffer: set to zero, or advanced by one."""

    name: sp.Symbol
    reset: bool = False


@dataclass(frozen=True)
class VectorMap:
    """Replace the first `count` entries of a buffer by a function of them, in one vectorised loop."""

    function: str
    buffer: str
    count: sp.Symbol


@dataclass(frozen=True)
class Call:
    """Call of a library routine that fills an array of moments from a covariance.

    Parameters
    ----------
    function : str
        Name of the routine.
    source, target : str
        Names of the arrays read and written.
    evaluates : bool
        Whether the routine takes scratch and the functions to integrate; else they are part of its rule.
    """

    function: str
    source: str
    target: str
    evaluates: bool = True


Statement = Comment | Loop | Counter | VectorMap | Call | Assign | Accumulate


@dataclass(frozen=True)
class Program:
    """Statements, the places that they use, and the names of their sizes.

    Parameters
    ----------
    name : str
        Name of the function to print.
    sizes : tuple of sympy.Symbol
        Size symbols in the order of the integer argument.
    places : tuple of Place
        All arrays, in storage order.
    derived : tuple of (sympy.Symbol, sympy.Expr)
        Sizes of concatenated index sets, named so that offsets stay cheap.
    scalars : tuple of str
        Work scalars that are assigned within the program (accumulators, hoisted values).
    body : tuple of Statement
        The statements.
    """

    name: str
    sizes: tuple[sp.Symbol, ...]
    derived: tuple[tuple[sp.Symbol, sp.Expr], ...]
    places: tuple[Place, ...]
    scalars: tuple[str, ...]
    body: tuple[Statement, ...]
    by_name: dict[str, Place] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the places by name."""
        object.__setattr__(self, "by_name", {p.name: p for p in self.places})

    def stored(self, storage: str) -> list[Place]:
        """The places in one storage, in order."""
        return [p for p in self.places if p.storage == storage]

    def length(self, storage: str) -> sp.Expr:
        """Number of doubles that a storage needs, in the size symbols."""
        return sp.Add(*(p.length for p in self.stored(storage)))

    def walk(self) -> Iterator[Statement]:
        """All statements, outer ones first."""
        stack = list(reversed(self.body))
        while stack:
            statement = stack.pop()
            yield statement
            if isinstance(statement, Loop):
                stack.extend(reversed(statement.body))
