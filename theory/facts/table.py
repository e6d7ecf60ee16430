"""The table of facts: what is known of an activation, why, and how well it stands."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import sympy as sp

from ..errors import argument_error

__all__ = ["STANDINGS", "Fact", "Facts"]

STANDINGS = ("proved", "enclosed", "cited", "undecided")
"""How a fact is known: symbolically, by ball arithmetic, from the literature, or not."""


@dataclass(frozen=True)
class Fact:
    """One fact.

    Parameters
    ----------
    name : str
        What it is about, such as ``"parity"``.
    value : object
        An exact number, a word, or a small result type with more; None if undecided.
    reason : str
        Why it holds; for an undecided one, what is missing.
    standing : str
        One of `STANDINGS`.
    """

    name: str
    value: Any
    reason: str
    standing: str

    def __post_init__(self) -> None:
        """No fact without a reason, and none of an unknown standing."""
        if self.standing not in STANDINGS:
            raise argument_error("standing", self.standing, "is unknown", f"use one of {', '.join(STANDINGS)}")
        if not self.reason:
            raise argument_error("reason", self.reason, f"is missing for {self.name}", "say why it holds")
        if (self.standing == "undecided") != (self.value is None):
            raise argument_error("value", self.value, f"contradicts {self.standing}", "undecided facts have no value")

    @property
    def decided(self) -> bool:
        """Whether it has a value."""
        return self.standing != "undecided"

    @property
    def text(self) -> str:
        """The value in words."""
        if self.value is None:
            return "undecided"
        if isinstance(self.value, tuple):
            return ", ".join(map(str, self.value)) or "none"
        return (
            {True: "yes", False: "no"}.get(self.value, str(self.value))
            if isinstance(self.value, bool)
            else str(self.value)
        )

    def __str__(self) -> str:
        return f"{self.name}: {self.text} ({self.standing}: {self.reason})"


@dataclass(frozen=True, repr=False)
class Facts:
    """The facts of one activation, in reading order; by name as ``facts["parity"]``.

    Parameters
    ----------
    activation : str
        Its name.
    expression : sympy.Expr
        sigma(z).
    entries : tuple of Fact
        Names differ.
    """

    activation: str
    expression: sp.Expr
    entries: tuple[Fact, ...]

    def __post_init__(self) -> None:
        """Names are unique."""
        names = self.names
        if len(set(names)) != len(names):
            raise argument_error("entries", names, "repeat a name", "give each fact its own")

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(entry.name for entry in self.entries)

    @property
    def undecided(self) -> tuple[Fact, ...]:
        """What could not be decided."""
        return tuple(entry for entry in self.entries if not entry.decided)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, name: str) -> Fact:
        for entry in self.entries:
            if entry.name == name:
                return entry
        close = difflib.get_close_matches(str(name), self.names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(self.names)}"
        raise argument_error("name", name, "names no fact", hint)

    def __str__(self) -> str:
        """A table of fixed width columns; reasons run on."""
        rows = [(entry.name, entry.text, entry.standing, entry.reason) for entry in self.entries]
        widths = [
            max(len(row[i]) for row in rows) if i != 1 else min(max(len(row[1]) for row in rows), 48) for i in range(3)
        ]
        lines = [f"sigma(z) = {self.expression}"]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            lines.append("  ".join([*cells, row[3]]).rstrip())
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("fact", "value", "standing", "reason"))
        rows = []
        for entry in self.entries:
            value = _as_html(entry)
            cells = (escape(entry.name), value, entry.standing, escape(entry.reason))
            rows.append("<tr>" + "".join(f"<td style='text-align:left'>{cell}</td>" for cell in cells) + "</tr>")
        title = f"<p>$\\sigma(z) = {escape(sp.latex(self.expression), quote=False)}$</p>"
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _as_html(entry: Fact) -> str:
    """The value as a formula where it is one."""
    if isinstance(entry.value, sp.Basic) and not isinstance(entry.value, sp.logic.boolalg.BooleanAtom):
        return f"${escape(sp.latex(entry.value), quote=False)}$"
    if hasattr(entry.value, "_repr_latex_"):
        return escape(entry.value._repr_latex_(), quote=False)
    return escape(entry.text)
