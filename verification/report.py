"""The report of a verification: verdicts, curves, derivation and provenance; as a table, a plot, a page, JSON."""

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..theory.errors import VerificationError, argument_error
from .ledger import Ledger
from .verdicts import ClaimVerdict, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

__all__ = ["ClaimTable", "Curve", "DerivationRow", "Report", "number_text", "spread_text", "write_whole"]

Array = NDArray[np.float64]
_COLOURS = {"consistent": "green", "refuted": "red", "undecided": "yellow"}


@dataclass(frozen=True, eq=False)
class Curve:
    """One observable over time: theory, and the mean of the sample where there is one.

    Attributes
    ----------
    name : str
        Its name in text, such as ``"Q[0,1]"``.
    time, theory : (n,) array
        The theory's curve.
    label : str
        Its name in LaTeX, such as ``"Q_{01}"``, with or without dollar signs.
    panel : str
        The observable it belongs to: by default the part of ``name`` before a bracket.
    theory_error : (n,) array or float
        Bound on the theory's numerical error.
    sample_mean, sample_standard_error : (m,) array
        Mean over the replicas and its standard error; empty for theory alone.
    sample_time : (m,) array, optional
        Times of the sample; ``time`` by default.
    samples : int
        Number of replicas, for the 95 % intervals of the mean; 1 for a run without randomness, whose standard error
        is 0.
    unit : str
        Text at the vertical axis.

    Raises
    ------
    AssumptionError
        Arrays of different lengths or with entries that are not finite, or a sample without replicas, or of one with a
        standard error.
    """

    name: str
    time: Array
    theory: Array
    label: str = ""
    panel: str = ""
    theory_error: Array = field(default_factory=lambda: np.zeros(()))
    sample_mean: Array = field(default_factory=lambda: np.zeros(0))
    sample_standard_error: Array = field(default_factory=lambda: np.zeros(0))
    sample_time: Array | None = None
    samples: int = 0
    unit: str = ""

    def __post_init__(self) -> None:
        """Turn the data into arrays and refuse what can't be drawn."""
        for name in ("time", "theory", "theory_error", "sample_mean", "sample_standard_error", "sample_time"):
            value = getattr(self, name)
            if value is None:
                continue
            array = np.asarray(value, dtype=np.float64)
            if not np.all(np.isfinite(array)):
                raise argument_error(name, value, "is not finite everywhere", "leave out what diverged, and say so")
            object.__setattr__(self, name, array)
        self._fit("theory", self.theory, self.time)
        if self.theory_error.ndim:
            self._fit("theory_error", self.theory_error, self.time)
        object.__setattr__(self, "theory_error", np.broadcast_to(self.theory_error, self.theory.shape))
        if self.sample_mean.size:
            self._fit("sample_mean", self.sample_mean, self.times_of_sample)
            self._fit("sample_standard_error", self.sample_standard_error, self.sample_mean)
            if self.samples < 1 or (self.samples == 1 and self.sample_standard_error.any()):
                raise argument_error("samples", self.samples, "has no standard error", "pass the number of replicas")
        if not self.panel:
            object.__setattr__(self, "panel", self.name.partition("[")[0])

    @property
    def times_of_sample(self) -> Array:
        """The times at which the sample was taken."""
        return self.time if self.sample_time is None else self.sample_time

    @staticmethod
    def _fit(name: str, values: Array, other: Array) -> None:
        if values.ndim != 1 or values.shape != other.shape:
            raise argument_error(name, values.shape, f"is not the shape {other.shape}", "pass one number a time")


@dataclass(frozen=True)
class DerivationRow:
    """One statement of the derivation.

    Attributes
    ----------
    statement : str
        What it says.
    standing : {"derived", "cross-checked", "cited", "stated"}
        How it was obtained.
    checks : tuple of str
        The kinds of checks its steps passed.
    citation : str
        Its source.
    """

    statement: str
    standing: str
    checks: Sequence[str] = ()
    citation: str = ""


@dataclass(frozen=True, eq=False)
class ClaimTable:
    """The verdicts as a table: prints as text, and `rich` consoles show it with colours.

    Attributes
    ----------
    rich : rich.table.Table
        The table.
    """

    rich: "Table"

    def __rich__(self) -> "Table":
        return self.rich

    def __str__(self) -> str:
        from rich.console import Console

        # A fixed width: text that goes into files and logs must not depend on the terminal.
        # Inside Jupyter rich would otherwise print the table there and then.
        console = Console(width=140, color_system=None, force_terminal=False, force_jupyter=False, legacy_windows=False)
        with console.capture() as capture:
            console.print(self.rich)
        return capture.get()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The table for a notebook, where 140 columns of text would wrap."""
        columns = self.rich.columns
        rows = [f"<tr>{''.join(f'<th>{escape(str(column.header))}</th>' for column in columns)}</tr>"]
        for row in zip(*(column.cells for column in columns), strict=True):
            cells = [f"<b>{escape(str(cell))}</b>" if str(cell) in _COLOURS else escape(str(cell)) for cell in row]
            rows.append(f"<tr><td style='text-align:left'>{'</td><td>'.join(cells)}</td></tr>")
        title, caption = escape(str(self.rich.title)), escape(str(self.rich.caption))
        return f"<p><b>{title}</b></p>\n<table>\n" + "\n".join(rows) + f"\n</table>\n<p>{caption}</p>"


@dataclass(frozen=True, eq=False)
class Report:
    """What was claimed, how it was tested and what came out.

    Attributes
    ----------
    title : str
        One line.
    setting : str
        The setting in words or as text.
    verdicts : tuple of ClaimVerdict
        One a claim, each with its components.
    provenance : Mapping of str to str
        Versions, seed, date; see `hermiton.numerics.provenance`. A report without it can't be made.
    derivation : sequence of DerivationRow
        The statements behind the theory values.
    curves : sequence of Curve
        What the plot shows.
    equations : sequence of str
        The equations, in LaTeX.
    kernel : str
        Source of the generated kernel.
    ledger : Ledger, optional
        What the statements rest on.
    tests : Mapping of str to str
        For each claim the statement of the ledger that it tests.

    Raises
    ------
    VerificationError
        No verdict, or no provenance.
    """

    title: str
    setting: str
    verdicts: Sequence[ClaimVerdict]
    provenance: Mapping[str, str]
    derivation: Sequence[DerivationRow] = ()
    curves: Sequence[Curve] = ()
    equations: Sequence[str] = ()
    kernel: str = ""
    ledger: Ledger | None = None
    tests: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a report that would look like a verification and is none."""
        if not self.verdicts:
            raise VerificationError(f"report {self.title!r} has no verdict: a report on nothing would read as a pass")
        if not self.provenance:
            raise VerificationError(f"report {self.title!r} has no provenance: pass hermiton.numerics.provenance()")
        object.__setattr__(self, "verdicts", tuple(self.verdicts))
        for claim, statement in self.tests.items():
            if self.ledger is None:
                raise argument_error("tests", claim, "names a statement but there is no ledger", "pass the ledger")
            self.ledger.standing(statement)

    @property
    def verdict(self) -> Outcome:
        """The verdict on all claims together: the worst of them."""
        outcomes = {claim.verdict for claim in self.verdicts}
        if "refuted" in outcomes:
            return "refuted"
        return "undecided" if "undecided" in outcomes else "consistent"

    @property
    def exit_code(self) -> int:
        """0 if every claim is consistent, 1 if one is refuted, 2 if none is refuted but one is undecided."""
        return {"consistent": 0, "refuted": 1, "undecided": 2}[self.verdict]

    def standing(self, claim: str) -> str:
        """Return the weakest standing among what the claim rests on; empty where the report does not know."""
        if self.ledger is None or claim not in self.tests:
            return ""
        return self.ledger.standing(self.tests[claim])

    def table(self) -> ClaimTable:
        """Return the verdicts as a table, one row a claim, with the numbers of its decisive component.

        Returns
        -------
        ClaimTable
            ``print`` it, or hand it to a rich console.
        """
        from rich.table import Table
        from rich.text import Text

        table = Table(title=self.title, title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
        table.add_column("claim", overflow="fold")
        table.add_column("verdict", no_wrap=True)
        for name in ("theory", "mean \u00b1 se", "resolution", "margin", "statistic", "threshold", "n"):
            table.add_column(name, justify="right", no_wrap=True)
        standings = [self.standing(claim.claim) for claim in self.verdicts]
        if any(standings):
            table.add_column("standing")
        for claim, standing in zip(self.verdicts, standings, strict=True):
            part = claim.decisive
            count = len(claim.components)
            label = Text(claim.claim)
            if count > 1:
                shown = f"; shown: {part.component}" if part.component else ""
                label.append(f"  ({count} components{shown})", "dim")
            numbers = [
                number_text(part.theory),
                spread_text(part.mean, part.standard_error),
                number_text(part.resolution, 2),
                number_text(part.margin, 2),
                number_text(part.statistic, 3),
                number_text(part.threshold, 3),
                str(part.samples),
                *([standing] if any(standings) else []),
            ]
            table.add_row(label, Text(claim.verdict, style=_COLOURS[claim.verdict]), *map(Text, numbers))
        total = min(1.0, sum(claim.false_alarm_rate for claim in self.verdicts))
        words = f"at most {number_text(total, 2)}" if total else "0, since no run has any randomness"
        table.caption = f"False-alarm rate of all claims together: {words}."
        table.caption_justify = "left"
        return ClaimTable(table)

    def plot(self, path: str | os.PathLike[str] | None = None) -> "Figure":
        """Draw the curves: one panel an observable, lines for theory, points with 95 % intervals for the sample.

        Parameters
        ----------
        path : str or os.PathLike, optional
            Save the figure there, in the format its ending names.

        Returns
        -------
        matplotlib.figure.Figure
            Made without pyplot: nothing to close.

        Raises
        ------
        VerificationError
            No curves, or the file can't be written.
        """
        from .plotting import draw

        if not self.curves:
            raise VerificationError(f"report {self.title!r} has no curves to plot: pass curves=[Curve(...), ...]")
        figure = draw(self.curves)
        if path is not None:
            suffix = Path(path).suffix.lstrip(".").lower() or "png"
            known = figure.canvas.get_supported_filetypes()
            if suffix not in known:
                raise argument_error("path", str(path), "names no known format", f"end it with one of {sorted(known)}")
            import io

            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=160)
            write_whole(path, buffer.getvalue(), "plot")
        return figure

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write a page of its own: no network, no scripts, all pictures inside.

        Returns
        -------
        Path
            The file, replaced whole or not at all.

        Raises
        ------
        VerificationError
            The file can't be written.
        """
        from .page import render

        return write_whole(path, render(self, whole=True).encode(), "report")

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Write everything but the pictures as JSON; numbers that are not finite become "inf", "-inf", "nan".

        Returns
        -------
        Path
            The file, replaced whole or not at all.

        Raises
        ------
        VerificationError
            The file can't be written.
        """
        content = {
            "title": self.title,
            "setting": self.setting,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "claims": [
                {
                    "claim": claim.claim,
                    "verdict": claim.verdict,
                    "standing": self.standing(claim.claim) or None,
                    "statistic": claim.statistic,
                    "threshold": claim.threshold,
                    "resolution": claim.resolution,
                    "false_alarm_rate": claim.false_alarm_rate,
                    "samples": claim.samples,
                    "seed": claim.seed,
                    "needed": claim.needed,
                    "reason": claim.reason,
                    "components": claim.components,
                }
                for claim in self.verdicts
            ],
            "derivation": self.derivation,
            "equations": self.equations,
            "curves": self.curves,
            "kernel": self.kernel,
            "provenance": self.provenance,
        }
        text = json.dumps(_jsonable(content), indent=1, allow_nan=False)
        return write_whole(path, text.encode(), "report")

    def _repr_html_(self) -> str:
        from .page import render

        return render(self, whole=False)

    def __repr__(self) -> str:
        return f"<Report {self.title!r}: {self.verdict}, {len(self.verdicts)} claims>"


def number_text(value: float, digits: int = 4) -> str:
    """Return a number for reading: ``digits`` significant ones, no needless zeros.

    Examples
    --------
    >>> number_text(0.30000000000000004), number_text(1.5e-9), number_text(float("inf"))
    ('0.3', '1.5e-9', 'inf')
    """
    if not math.isfinite(value):
        return str(float(value))
    text = f"{value:.{digits}g}"
    mantissa, letter, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if letter else text


def spread_text(mean: float, error: float) -> str:
    """Return mean and standard error, the error with two digits and the mean down to its last one.

    Examples
    --------
    >>> spread_text(0.123456, 0.00078), spread_text(1.0, 0.0)
    ('0.12346 ± 0.00078', '1 ± 0')
    """
    if not (math.isfinite(mean) and math.isfinite(error) and error > 0):
        return f"{number_text(mean)} \u00b1 {number_text(error, 2)}"
    last = 1 - math.floor(math.log10(error))
    if not 0 <= last <= 8 or abs(mean) >= 1e6:
        size = max(abs(mean), error)
        digits = max(2, last + math.floor(math.log10(size)) + 1)
        return f"{number_text(mean, min(digits, 12))} \u00b1 {number_text(error, 2)}"
    return f"{round(mean, last) + 0.0:.{last}f} \u00b1 {error:.{last}f}"  # + 0.0: no "-0.00"


def _jsonable(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic):
        return _jsonable(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, np.ndarray):
        return _jsonable(value.tolist())
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: _jsonable(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [_jsonable(entry) for entry in value]
    return str(value)


def write_whole(path: str | os.PathLike[str], content: bytes, what: str) -> Path:
    """Write a file whole or not at all: a reader never sees half of it, a failure leaves the old one.

    Parameters
    ----------
    path : str or os.PathLike
        The file; its folder is made.
    content : bytes
        What to write.
    what : str
        What it is, for the error message.

    Returns
    -------
    Path

    Raises
    ------
    VerificationError
        The file can't be written.
    """
    try:
        target = Path(path).expanduser()
    except TypeError:
        raise argument_error("path", path, "is not a path", "give the name of a file") from None
    temporary = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}-", suffix=".part", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except OSError as error:
        raise VerificationError(
            f"can't write the {what} to {target}: {error.strerror or error}. Give a file in a writable folder, "
            "or free space on its disk"
        ) from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
    return target
