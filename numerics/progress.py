"""Progress of long work: silent by default, a bar on request, or the caller's own function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

__all__ = ["reporter", "statements"]


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


class _Follow(logging.Handler):
    """Shows the latest record of a derivation as the text of a status line."""

    def __init__(self, status: Status) -> None:
        super().__init__(logging.INFO)
        self.status = status

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        self.status.update(record.getMessage())


@contextmanager
def statements(progress: bool | Callable[[float], object]) -> Iterator[None]:
    """Follow a derivation, whose number of statements is not known in advance.

    Parameters
    ----------
    progress : bool or callable
        False for silence, True for a line that names the latest checked statement, or a function of the fraction,
        which is called once, with 1, at the end.
    """
    if progress is True:
        from rich.console import Console

        logger = logging.getLogger("hermiton.theory.derivation")
        level = logger.level
        with Console(stderr=True).status("derive") as status:
            handler = _Follow(status)
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            try:
                yield
            finally:
                logger.removeHandler(handler)
                logger.setLevel(level)
        return
    yield
    if callable(progress):
        progress(1.0)
