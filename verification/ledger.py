"""Which claim rests on which statements, and how firm the weakest of them is.

A statement's own standing says how it was obtained; what a claim can rely on is the weakest standing among the
statement it tests and everything that statement rests on. Whether networks agree is a second, separate answer, kept
beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from ..theory.errors import argument_error
from .verdicts import ClaimVerdict

__all__ = ["STANDINGS", "Entry", "Ledger"]

#: From firm to loose: derived with checked steps, confirmed by a second route, taken from the literature, only said.
STANDINGS = ("derived", "cross-checked", "cited", "stated")


@dataclass(frozen=True)
class Entry:
    """A statement of the ledger.

    Attributes
    ----------
    name : str
        Its identifier.
    standing : {"derived", "cross-checked", "cited", "stated"}
        How it was obtained.
    rests_on : tuple of str
        Names of the statements it uses.
    citation : str
        Its source.
    """

    name: str
    standing: str
    rests_on: tuple[str, ...] = ()
    citation: str = ""


@dataclass
class Ledger:
    """Statements, what they rest on, and the verdicts on them.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.add("Gaussian equivalence", "cited", citation="[G]")
    >>> ledger.add("overlap equations", "derived", rests_on=["Gaussian equivalence"])
    >>> ledger.weakest("overlap equations").name
    'Gaussian equivalence'
    >>> ledger.standing("overlap equations")
    'cited'
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    verdicts: dict[str, list[ClaimVerdict]] = field(default_factory=dict)

    def add(self, name: str, standing: str, *, rests_on: Sequence[str] = (), citation: str = "") -> None:
        """Enter a statement; those it rests on must be there already, so no circle can arise.

        Raises
        ------
        AssumptionError
            Unknown standing, a name that is taken, or a dependency that is not in the ledger.
        """
        if standing not in STANDINGS:
            raise argument_error("standing", standing, "is unknown", f"use one of {', '.join(STANDINGS)}")
        if name in self.entries:
            raise argument_error("name", name, "is in the ledger already", "give each statement its own name")
        for other in rests_on:
            self._entry(other)
        self.entries[name] = Entry(name, standing, tuple(rests_on), citation)

    def record(self, name: str, verdict: ClaimVerdict) -> None:
        """Keep a simulation's verdict on a statement."""
        self._entry(name)
        self.verdicts.setdefault(name, []).append(verdict)

    def support(self, name: str) -> list[Entry]:
        """Return the statement and everything it rests on, foundations first."""
        graph: dict[str, tuple[str, ...]] = {}
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current not in graph:
                graph[current] = self._entry(current).rests_on
                waiting.extend(graph[current])
        try:
            return [self.entries[part] for part in TopologicalSorter(graph).static_order()]
        except CycleError as error:  # only by editing `entries` by hand
            raise argument_error("entries", error.args[1], "rest on each other", "enter statements with add") from None

    def weakest(self, name: str) -> Entry:
        """Return the loosest entry in the statement's support: its weakest link, the foundation among equals."""
        return max(self.support(name), key=lambda entry: STANDINGS.index(entry.standing))

    def standing(self, name: str) -> str:
        """Return the standing a claim about this statement can rely on."""
        return self.weakest(name).standing

    def _entry(self, name: str) -> Entry:
        if name not in self.entries:
            known = ", ".join(sorted(self.entries)) or "none"
            raise argument_error("name", name, "is not in the ledger", f"enter it first; known: {known}")
        return self.entries[name]
