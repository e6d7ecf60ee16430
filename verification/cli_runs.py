"""Where the command line's networks run and where they are kept: executors, the store of a session, the time budget."""

from __future__ import annotations

import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..theory.errors import VerificationError, argument_error
from .store import RunStore

if TYPE_CHECKING:
    import xarray

__all__ = [
    "FEWEST",
    "MOST",
    "SessionStore",
    "check_folder",
    "default_store",
    "open_executor",
    "replicas_within",
    "resumable",
]

FEWEST, MOST = 8, 64
"""Between how many networks a time budget chooses."""

_SAFETY = 0.9  # of the budget: writing the report takes time too
# Stages of `verify` whose runs are stored, so that a second pass does not repeat them.
_NETWORKS = "simulate networks"
_KEPT = (_NETWORKS, "measure c/N")


class SessionStore(RunStore):
    """A store that counts what this session adds to it.

    Parameters
    ----------
    path : str or Path
        The folder.
    fresh : bool
        Ignore what was stored before this session; it is run again and replaced.

    Attributes
    ----------
    made : int
        Number of runs stored in this session.
    """

    def __init__(self, path: str | Path, fresh: bool = False) -> None:
        super().__init__(path)
        self.fresh = fresh
        self._own: set[Path] = set()

    @property
    def made(self) -> int:
        """Number of runs stored in this session."""
        return len(self._own)

    def load(self, spec: Mapping[str, object]) -> xarray.Dataset | None:
        """Return the stored run of this specification, as `RunStore.load` does."""
        if self.fresh and self.file(spec) not in self._own:
            return None
        return super().load(spec)

    def save(self, spec: Mapping[str, object], dataset: xarray.Dataset) -> Path:
        """Store a run and count it."""
        file = super().save(spec, dataset)
        self._own.add(file)
        return file


def default_store() -> Path:
    """Return the folder of runs in the user's cache folder, or in ``HERMITON_CACHE_DIR``."""
    from ..numerics.codegen.cache import cache_directory

    return cache_directory("runs")


def _ignore_interrupts() -> None:
    # Ctrl-C reaches every process of the terminal; only the one that keeps the results answers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def open_executor(text: str | None) -> Iterator[Executor | None]:
    """Yield the executor that ``local:2`` or ``dask:ADDRESS`` names; None, for threads, where nothing is named.

    Raises
    ------
    AssumptionError
        If the text names no executor.
    VerificationError
        If dask.distributed is missing, or its scheduler can't be reached.
    """
    if text is None:
        yield None
        return
    kind, _, where = text.partition(":")
    if kind == "local" and re.fullmatch("[1-9][0-9]{0,3}", where):
        import multiprocessing

        # spawned: a fork would copy the locks of threads that don't exist in the copy
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(int(where), mp_context=context, initializer=_ignore_interrupts) as pool:
            yield pool
        return
    if kind != "dask" or not where:
        raise argument_error(
            "--executor", text, "names no executor", "write local:2 for two processes, or dask:ADDRESS"
        )
    try:
        from distributed import Client
    except ImportError:
        raise VerificationError(
            f"--executor={text!r} needs dask.distributed, which is not installed: pip install 'hermiton[cluster]'"
        ) from None
    try:
        client = Client(where, timeout="10s")
    except (OSError, ValueError) as error:
        raise VerificationError(
            f"--executor={text!r}: no scheduler answers at {where} ({error}); start one with `dask scheduler`"
        ) from error
    with client:
        yield client.get_executor()


def replicas_within(
    budget: float, run: Callable[[int, Callable[[str], None]], None], store: SessionStore, started: float
) -> tuple[int, str]:
    """Find how many networks fit a time budget, from the time that the first 8 take.

    Parameters
    ----------
    budget : float
        Seconds, from `started` on.
    run : callable
        Verifies with so many networks, and calls its second argument with the name of each stage that begins.
    store : SessionStore
        Where the networks are kept: those of a first pass are not run again in the next one.
    started : float
        ``time.monotonic()`` at the beginning.

    Returns
    -------
    replicas : int
        Between 8 and 64.
    why : str
        In words.

    Notes
    -----
    Only the time decides, never the outcome of a pass: the false-alarm rate stays what was declared.
    """
    replicas = FEWEST
    while True:
        clock = _StageClock(store)
        run(replicas, clock)
        clock("end")
        if clock.fresh:
            break
        if replicas == MOST:
            return MOST, f"all {MOST} networks were stored"
        replicas = min(2 * replicas, MOST)  # all stored: they took no time that could be scaled
    each = clock.seconds[_NETWORKS] / clock.fresh
    again = sum(spent for stage, spent in clock.seconds.items() if stage not in _KEPT)
    left = _SAFETY * budget - (time.monotonic() - started) - again
    chosen = max(replicas, min(MOST, replicas + int(left / each))) if left > 0 else replicas
    return chosen, f"a network takes {each:.2g} s: {chosen} networks fit the budget of {budget:g} s"


class _StageClock:
    """Time of each stage, and number of new runs in the stage in which networks are simulated."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.seconds: dict[str, float] = {}
        self.fresh = 0
        self._stage = ""
        self._since = (0, 0.0)

    def __call__(self, stage: str) -> None:
        made, now = self.store.made, time.monotonic()
        if self._stage:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since[1]
        if self._stage == _NETWORKS:
            self.fresh += made - self._since[0]
        self._stage, self._since = stage, (made, now)


@contextmanager
def resumable(path: Path, fresh: bool) -> Iterator[SessionStore]:
    """Yield a store; an interruption then says what it keeps."""
    store = SessionStore(path, fresh)
    try:
        yield store
    except KeyboardInterrupt as interruption:
        again = "the same command without --fresh" if fresh else "the same command"
        interruption.add_note(f"{store.made} runs finished in this session are stored in {path}; {again} resumes")
        raise


def check_folder(name: str, folder: Path, make: bool = True) -> None:
    """Refuse a folder that can't be written, before hours of work; nothing is left behind.

    Raises
    ------
    AssumptionError
        If it can't be written, or does not exist and is not to be made.
    """
    folder = folder.expanduser()
    made = [path for path in (folder, *folder.parents) if not path.exists()] if make else []
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        problem = f"can't be written ({error.strerror or error})"
        raise argument_error(name, str(folder), problem, "name a folder that exists and can be written") from None
    finally:
        for path in made:
            if path.is_dir():
                path.rmdir()
