"""The command ``verify``: settings one after another, with a report each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cli_console import Display
from .cli_runs import SessionStore, default_store, open_executor, replicas_within, resumable
from .report import number_text

if TYPE_CHECKING:
    from rich.table import Table

    from .report import Report

__all__ = ["verify_settings"]

_DEFAULT_REPLICAS = 64
_WIDE = 125  # columns of a terminal that the full table of verdicts needs


def verify_settings(
    settings: Mapping[str, Any],
    folders: Mapping[str, Path],
    run: Mapping[str, Any],
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
    settings, folders : mapping of str
        By name: the setting, and the folder of its report.
    run : mapping of str
        Arguments of `hermiton.verify` apart from those below.
    replicas : int, optional
        Number of networks; 64 by default.
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
    with (
        resumable(default_store() if store is None else store, fresh) as kept,
        open_executor(executor) as pool,
    ):
        for name, setting in settings.items():
            # An even share of what is left of the time.
            share = None if budget is None else budget / len(settings)
            begun = started + (len(reports) * share if share is not None else 0.0)
            result = _verify_one(setting, run, replicas, share, begun, pool, kept, display)
            reports[name] = result
            page = _write(result, folders[name])
            contents[name] = json.loads((folders[name] / "report.json").read_text(encoding="utf-8"))
            _show(result, page, as_json)
    codes = {report.exit_code for report in reports.values()}
    worst = 1 if 1 in codes else max(codes)
    if as_json:
        print(json.dumps({"exit_code": worst, "settings": contents}, indent=1))
    return worst


def _verify_one(
    setting: Any,
    run: Mapping[str, Any],
    replicas: int | None,
    budget: float | None,
    begun: float,
    pool: Executor | None,
    kept: SessionStore,
    display: Display,
) -> Report:
    arguments = dict(run)
    with display.watching("compile"):
        _warm_up(setting, arguments, _DEFAULT_REPLICAS if replicas is None else replicas)
    with display.watching("derive"):
        from ..numerics.derive import derive

        derivation = derive(setting)

    def verified(count: int, mark: Callable[[str], None] | None = None) -> Report:
        from .verbs import verify

        with display.stages() as stages:

            def progress(stage: str) -> Callable[[float], object]:
                if mark is not None:
                    mark(stage)
                return stages(stage)

            return verify(
                setting,
                derivation=derivation,
                replicas=count,
                store=kept,
                executor=pool,
                progress=progress,
                **arguments,
            )

    if budget is None:
        return verified(_DEFAULT_REPLICAS if replicas is None else replicas)
    passes: dict[int, Report] = {}

    def first(count: int, mark: Callable[[str], None]) -> None:
        passes[count] = verified(count, mark)

    chosen, why = replicas_within(budget, first, kept, begun)
    display.say(why)
    return passes[chosen] if chosen in passes else verified(chosen)


def _warm_up(setting: Any, run: Mapping[str, Any], replicas: int) -> None:
    """Check the arguments and compile the networks, so that neither waits for the derivation or spoils the timing."""
    from .online_sgd import check_verification, default_start, simulate_online_sgd

    start = run["start"] or default_start(setting)
    method, precision = run["method"], run["precision"]
    names = ("margin", "false_alarm_rate")
    _, size = check_verification(
        setting, start, run["times"], run["dimension"], method, replicas, precision, *(run[name] for name in names)
    )
    simulate_online_sgd(
        setting, start, [1 / size], dimension=size, method=method, precision=precision, replicas=1, rng=run["rng"]
    )


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
