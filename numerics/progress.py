"""Progress of long work: silent by default, a bar on request, or the caller's own function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["reporter"]


@contextmanager
def reporter(progress: bool | Callable[[float], object], label: str) -> Iterator[Callable[[float], object] | None]:
    """What to call with the fraction done.

    Parameters
    ----------
    progress : bool or callable
        False for silence, True for a bar on the terminal's error stream, or a function of the fraction.
    label : str
        What the bar says.

    Yields
    ------
    callable or None
        None for silence, so that compiled loops need not be interrupted to report.
    """
    if callable(progress):
        yield progress
    elif not progress:
        yield None
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=1.0)
            yield lambda fraction: bar.update(task, completed=fraction)
            bar.update(task, completed=1.0)
