"""The command ``verify``: settings one after another, with a report each."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cli_console import Display
from .cli_runs import SessionStore, default_store, open_executor, replicas_within, resumable
from .report import number_text

if TYPE_CHECKING:
    from rich.table import Table

    from .cli_chapters import Chapter
    from .report import Report

__all__ = ["Job", "verify_settings"]

_DEFAULT_REPLICAS = 64
_WIDE = 125  # columns of a terminal that the full table of verdicts needs


@dataclass(frozen=True)
class Job:
    """A setting to verify.

    Attributes
    ----------
    chapter : Chapter
        What is known of it.
    setting : object
        The setting.
    run : mapping of str
        Arguments of `hermiton.verify` apart from those of `verify_settings`.
    folder : Path
        Of its report.
    """

    chapter: Chapter
    setting: Any
    run: Mapping[str, Any]
    folder: Path


def verify_settings(
    jobs: Mapping[str, Job],
    *,
    replicas: int | None,
    budget: float | None,
    started: float,
    executor: str | None,
    store: Path | None,
    fresh: bool,
    as_json: bool,
    display: Display,
) -> int:
    """Verify settings, show the verdicts and write the reports.

    Parameters
    ----------
    jobs : mapping of str to Job
        Settings by name.
    replicas : int, optional
        Number of networks where they are random; 64 by default.
    budget : float, optional
        Seconds for all settings together, in place of `replicas`.
    started : float
        ``time.monotonic()`` when the command began.
    executor : str, optional
        As in `open_executor`.
    store : Path, optional
        Folder of stored runs.
    fresh : bool
        Ignore stored runs.
    as_json : bool
        Write the reports to the output stream, and nothing else.
    display : Display
        Where to show what happens.

    Returns
    -------
    int
        0 if every claim is consistent, 1 if one is refuted, else 2.
    """
    reports: dict[str, Report] = {}
    contents: dict[str, Any] = {}
    for job in jobs.values():  # all are checked before the first takes its time
        job.chapter.check(job.setting, job.run if replicas is None else {**job.run, "replicas": replicas})
    order = list(jobs)
    if budget is not None:  # what is left by those whose runs are no choice is shared by the others
        order.sort(key=lambda name: jobs[name].chapter.sampled)
    with (
        resumable(default_store() if store is None else store, fresh) as kept,
        open_executor(executor) as pool,
    ):
        for name in order:
            job = jobs[name]
            begun = time.monotonic() if reports else started
            share = None
            if budget is not None:
                # An even share of what is left of the time.
                left = sum(jobs[other].chapter.sampled for other in order if other not in reports)
                share = max(budget - (begun - started), 0.0) / max(left, 1)
            result = _verify_one(job, replicas, share, begun, pool, kept, display)
            reports[name] = result
            page = _write(result, job.folder)
            contents[name] = json.loads((job.folder / "report.json").read_text(encoding="utf-8"))
            _show(result, page, as_json)
    codes = {report.exit_code for report in reports.values()}
    worst = 1 if 1 in codes else max(codes)
    if as_json:
        print(json.dumps({"exit_code": worst, "settings": contents}, indent=1))
    return worst


def _verify_one(
    job: Job,
    replicas: int | None,
    budget: float | None,
    begun: float,
    pool: Executor | None,
    kept: SessionStore,
    display: Display,
) -> Report:
    with display.watching("compile"):
        job.chapter.warm_up(job.setting, job.run)
    with display.watching("derive"):
        from ..numerics.derive import derive

        derivation = derive(job.setting)

    def verified(mark: Callable[[str], None] | None = None, **count: int) -> Report:
        from .verbs import verify

        with display.stages() as stages:

            def progress(stage: str) -> Callable[[float], object]:
                if mark is not None:
                    mark(stage)
                return stages(stage)

            return verify(
                job.setting,
                derivation=derivation,
                store=kept,
                executor=pool,
                progress=progress,
                **count,
                **job.run,
            )

    if not job.chapter.sampled:
        return verified()
    if budget is None:
        return verified(replicas=_DEFAULT_REPLICAS if replicas is None else replicas)
    passes: dict[int, Report] = {}

    def first(count: int, mark: Callable[[str], None]) -> None:
        passes[count] = verified(mark, replicas=count)

    chosen, why = replicas_within(budget, first, kept, begun)
    display.say(why)
    return passes[chosen] if chosen in passes else verified(replicas=chosen)


def _write(report: Report, folder: Path) -> Path:
    report.to_json(folder / "report.json")
    if report.curves:
        report.plot(folder / "plot.png")
    return report.to_html(folder / "index.html")


def _narrow_table(report: Report) -> Table:
    """Build the verdicts for a terminal in which the full table would lose its words."""
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    table.add_column("claim", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for name in ("resolution", "margin", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    colours = {"consistent": "green", "refuted": "red", "undecided": "yellow"}
    for claim in report.verdicts:
        part = claim.decisive
        numbers = (number_text(part.resolution, 2), number_text(part.margin, 2), str(part.samples))
        table.add_row(Text(claim.claim), Text(claim.verdict, colours[claim.verdict]), *numbers)
    return table


def _show(report: Report, page: Path, as_json: bool) -> None:
    stream = sys.stderr if as_json else sys.stdout
    if stream.isatty():
        from rich.console import Console

        console = Console(file=stream)
        console.print(report.table() if console.width >= _WIDE else _narrow_table(report))
    else:
        print(report.table(), file=stream)
    for claim in report.verdicts:
        if claim.verdict != "consistent":
            print(f"{claim.verdict}: {claim.claim}: {claim.reason}", file=stream)
    print(f"report: {page}", file=stream)
