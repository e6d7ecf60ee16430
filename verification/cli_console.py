"""What the command line says and how it ends: error lines, exit statuses, what happens as it happens.

Everything here goes to the error stream; the output stream belongs to results.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from ..theory.errors import DerivationError, HermitonError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["INTERNAL", "INTERRUPTED", "USAGE", "Display", "error_line", "show_warnings", "status_of"]

USAGE, INTERNAL, INTERRUPTED, CLOSED_PIPE = 3, 4, 130, 141
_RESUMES = "the same command starts again"


def error_line(kind: str, message: object) -> None:
    """Write one line to the error stream, whatever line breaks the message has."""
    print(f"hermiton: {kind}: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


def status_of(command: Callable[..., int]) -> Callable[..., int]:
    """Make a command return an exit status whatever happens in it.

    Errors that the input causes are one line (3); an error of hermiton's own keeps its traceback (4); an interruption
    says what is kept (130).
    """

    @functools.wraps(command)
    def guarded(*arguments: Any, **options: Any) -> int:
        try:
            status = command(*arguments, **options)
            sys.stdout.flush()  # a closed pipe is to show here, not at exit
            return status
        except KeyboardInterrupt as interruption:
            notes = getattr(interruption, "__notes__", [])
            error_line("interrupted", " ".join(notes) or _RESUMES)
            return INTERRUPTED
        except BrokenPipeError:
            # The reader of the output has gone, as `head` does: nobody to tell, and no verdict to report.
            if (
                sys.__stdout__ is not None and sys.stdout is sys.__stdout__
            ):  # or the interpreter would fail to flush it when it ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return CLOSED_PIPE
        except DerivationError as error:
            return _internal(error)
        except HermitonError as error:
            error_line("error", error)
            return USAGE
        except Exception as error:
            return _internal(error)

    return guarded


def _internal(error: Exception) -> int:
    traceback.print_exc()
    error_line(
        "internal error", f"{type(error).__name__}: {error}. This is a defect of hermiton: please report it, with this"
    )
    return INTERNAL


@contextmanager
def show_warnings() -> Iterator[None]:
    """Show each warning as one line instead of its source code."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        error_line(f"warning ({category.__name__})", message)

    before = warnings.showwarning
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


class Display:
    """Shows on the error stream what is being done; silent if asked to be.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    @functools.cached_property
    def console(self) -> Console:
        """The console of the error stream, as it is when first asked for."""
        from rich.console import Console

        return Console(stderr=True, quiet=self.quiet, highlight=False)

    def say(self, text: str) -> None:
        """Write a line of text, without markup."""
        self.console.print(text, markup=False)

    @contextmanager
    def watching(self, what: str) -> Iterator[None]:
        """Show derived statements with their checks, and compiled kernels, as they come; the step in a spinner."""
        if self.quiet:
            yield
            return
        with (
            self.console.status(what) as spinner,
            _listening(self.console, lambda step: spinner.update(f"{what}: {step}")),
        ):
            yield

    @contextmanager
    def stages(self) -> Iterator[Callable[[str], Callable[[float], object]]]:
        """Yield what the verbs take as ``progress``: a bar for each stage that they name."""
        if self.quiet:
            # not False: compiled loops listen to Ctrl-C only where they report
            yield lambda what: lambda fraction: None
            return
        from rich.progress import (
            BarColumn,
            Progress,
            TaskID,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description:<18}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console) as bars, _listening(self.console):
            running: list[TaskID] = []

            def close() -> None:
                for task in running:
                    bars.update(task, completed=1.0)
                    bars.stop_task(task)
                running.clear()

            def stage(what: str) -> Callable[[float], object]:
                close()
                task = bars.add_task(what, total=1.0)
                running.append(task)
                return lambda fraction: bars.update(task, completed=min(fraction, 1.0))

            yield stage
            close()


@contextmanager
def _listening(console: Console, on_step: Callable[[str], object] = lambda step: None) -> Iterator[None]:
    """Show what hermiton logs: statements and kernels as lines, single steps through a function."""
    logger = logging.getLogger("hermiton")
    before = logger.level
    handler = _Lines(console, on_step)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


class _Lines(logging.Handler):
    def __init__(self, console: Console, on_step: Callable[[str], object]) -> None:
        super().__init__()
        self.console, self.on_step = console, on_step

    def emit(self, record: logging.LogRecord) -> None:
        from rich.markup import escape
        from rich.text import Text

        statement = getattr(record, "statement", None)
        if statement is not None:
            mark = "green" if statement.standing in ("derived", "cross-checked") else "yellow"
            checks = ", ".join(statement.checks)
            self.console.print(
                Text.assemble((f"  {statement.standing:<14}", mark), f"{statement.title}  ", (checks, "dim"))
            )
        elif record.levelno >= logging.INFO:
            self.console.print(Text(f"  {record.getMessage()}", "dim"))
        else:
            self.on_step(escape(record.getMessage()))
