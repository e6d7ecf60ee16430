"""The verb `sweep`: one verb over many settings, stored and resumable, in one process or many.

Solutions that share their equations run together in the lanes of one kernel; everything else is a map of a pure
function over picklable pieces of work, over any `concurrent.futures.Executor`.
"""

from __future__ import annotations

import functools
import inspect
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, field, fields, is_dataclass
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..numerics.overlaps import Overlaps
from ..numerics.progress import reporter
from ..numerics.solution import Solution
from ..numerics.solve import UnfinishedError, output_times, solve, tolerances
from ..numerics.solve_many import LANES, Failure, solve_many
from ..theory.derivation import Derivation
from ..theory.derive import derive
from ..theory.errors import AccuracyError, argument_error
from ..theory.online_sgd import OnlineSGD
from ..theory.systems import OdeSystem
from .online_sgd import DEFAULT_TIMES, default_start
from .report import Report
from .simulate import Sample, Seed, seed_of
from .store import RunStore, canonical_json
from .verbs import simulate, verify

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Failure", "SweepResult", "sweep"]

Outcome = Solution | Sample | Report | Failure
# What a worker sends back for a solution: its setting and equations are known here.
_Numbers = tuple["xr.Dataset", "xr.Dataset", dict[str, str]]

_VERBS = ("solve", "simulate", "verify")
# Solutions in one piece of work: what a killed sweep loses at most. Workers get smaller pieces, to share them evenly.
_BATCH, _WORKER_BATCH = 8 * LANES, 2 * LANES
# Fewer solutions than this are quicker one by one than in lanes most of which idle.
_FEWEST = 8
# What a sweep sets itself; everything else that a verb takes by name may be handed through.
_OWN = frozenset({"setting", "start", "times", "rtol", "rng", "store", "executor", "progress", "derivation"})


@dataclass(frozen=True, eq=False, repr=False)
class SweepResult(Sequence[Outcome]):
    """The results of a sweep, in the order of its settings.

    Parameters
    ----------
    verb : str
        What was done with each setting.
    settings : tuple of n settings
        What was asked.
    results : tuple of n Solution, Sample, Report or Failure
        What came of each.
    """

    verb: str
    settings: tuple[Any, ...]
    results: tuple[Outcome, ...] = field(repr=False)

    def __len__(self) -> int:
        """Number of settings."""
        return len(self.results)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Outcome, ...]: ...

    def __getitem__(self, index: int | slice) -> Outcome | tuple[Outcome, ...]:
        """What came of one setting, or of several."""
        return self.results[index]

    def __iter__(self) -> Iterator[Outcome]:
        """Results one after the other."""
        return iter(self.results)

    def __repr__(self) -> str:
        return f"SweepResult({self.verb!r}, {len(self)} settings, {len(self.failures)} failures)"

    @property
    def failures(self) -> dict[int, Failure]:
        """Members without a result, by their place."""
        return {n: result for n, result in enumerate(self.results) if isinstance(result, Failure)}

    @property
    def data(self) -> xr.Dataset:
        """All results in one dataset whose first dimension is ``setting``.

        The numbers in which the settings differ are coordinates along it, and so is ``status``; a member that failed
        is NaN.

        Raises
        ------
        AssumptionError
            If the results do not fit into common arrays.
        """
        import xarray as xr

        datasets = {n: r.data for n, r in enumerate(self.results) if isinstance(r, Solution | Sample)}
        if not datasets:
            problem = "has no arrays" if self.verb == "verify" else "has no member that succeeded"
            raise argument_error("sweep", self, problem, "read its results and failures one by one")
        some = next(iter(datasets.values()))
        if any(dict(d.sizes) != dict(some.sizes) for d in datasets.values()):
            problem = "has settings of different sizes"
            raise argument_error("sweep", self, problem, "read its results one by one, or sweep each size by itself")
        nothing = xr.full_like(some, np.nan)
        joined = xr.concat([datasets.get(n, nothing) for n in range(len(self))], dim="setting", combine_attrs="drop")
        status = [r.status if isinstance(r, Failure) else "finished" for r in self.results]
        return joined.assign_coords(status=("setting", status), **_varied(self.settings))


def sweep(
    settings: Sequence[Any],
    starts: Any = None,
    times: ArrayLike | None = None,
    *,
    verb: Literal["solve", "simulate", "verify"] = "solve",
    executor: Executor | None = None,
    store: str | Path | RunStore | None = None,
    rtol: float = 1e-8,
    rng: Seed = 0,
    progress: bool | Callable[[float], object] = False,
    **options: Any,
) -> SweepResult:
    """Solve, simulate or verify many settings.

    Parameters
    ----------
    settings : sequence of n settings
        What to do; they may differ in anything.
    starts : Overlaps or sequence of n Overlaps, optional
        One start for all, or one for each setting; by default small generic overlaps with an orthonormal teacher.
    times : (T,) array, optional
        Output times, common to all, in units of steps/N; by default ten up to 100.
    verb : {"solve", "simulate", "verify"}
        What to do with each setting.
    executor : concurrent.futures.Executor, optional
        Where to work: a process pool, a cluster's executor. By default this process, in which solutions that share
        their equations run in the lanes of one kernel, and networks in one thread a core.
    store : path or RunStore, optional
        Folder of stored runs, one file a solution or a network: what exists there is not run again.
    rtol : float
        Relative tolerance of solutions.
    rng : int, SeedSequence or Generator
        Seed of simulations. Each setting draws from streams named by its own content: neither its place in the sweep
        nor the other settings nor the number of workers change its numbers.
    progress : bool or callable
        Whether to show a progress bar, or what to call with the fraction done.
    **options
        Handed to the verb: ``atol``, ``method``; ``dimension``, ``replicas``, ...

    Returns
    -------
    SweepResult
        A sequence of what the verb returns for each setting, in order. Where a member diverges, or misses its
        accuracy, it holds a `Failure` that says how and when; the others are not touched by it.

    Raises
    ------
    AssumptionError
        If an argument is out of range or does not fit.

    Notes
    -----
    Equations are derived once for all settings that differ only in the numbers that enter them as parameters.

    Examples
    --------
    >>> import hermiton as hm
    >>> settings = [hm.OnlineSGD("he2", "he2", 1, 1, learning_rate=rate) for rate in (0.01, 0.02)]
    >>> hm.sweep(settings, times=[0.0, 1.0]).data["generalization_error"].dims
    ('setting', 'time')
    """
    members = _settings(settings)
    if verb not in _VERBS:
        raise argument_error("verb", verb, "is unknown", f"choose one of {_VERBS}")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise argument_error("executor", executor, "is no executor", "pass a concurrent.futures.Executor or None")
    first = _starts(members, starts)
    grid = output_times(DEFAULT_TIMES if times is None else times)
    tolerances(rtol, options.get("atol"))
    _check_options(verb, members, options)
    keep = RunStore(store) if isinstance(store, str | Path) else store
    if keep is not None and not isinstance(keep, RunStore):
        raise argument_error("store", store, "is no store", "pass a folder, such as 'runs/'")
    plan = _Solve if verb == "solve" else _Networks
    work = plan(members, first, grid, verb, keep, {**options, "rtol": rtol}, rng, executor is not None)
    with reporter(progress, "sweep") as report:
        _run(work, executor, report)
    return SweepResult(verb, members, tuple(work.results[n] for n in range(len(members))))


# -- arguments --------------------------------------------------------------------------------------------------------


def _settings(settings: Sequence[Any]) -> tuple[Any, ...]:
    cure = "pass a list of hermiton's settings, such as [OnlineSGD(learning_rate=0.1), OnlineSGD(learning_rate=0.2)]"
    try:
        members = tuple(settings)
    except TypeError:
        raise argument_error("settings", settings, "is not a sequence", cure) from None
    if not members:
        raise argument_error("settings", settings, "is empty", cure)
    for n, setting in enumerate(members):
        if not is_dataclass(setting) or derive.dispatch(type(setting)) is derive.dispatch(object):
            raise argument_error(f"settings[{n}]", setting, "is not a setting", cure)
    return members


def _starts(settings: Sequence[Any], starts: Any) -> tuple[Any, ...]:
    if starts is None:
        return tuple(default_start(s) if isinstance(s, OnlineSGD) else None for s in settings)
    if isinstance(starts, Overlaps):
        first = (starts,) * len(settings)
    else:
        try:
            first = tuple(starts)
        except TypeError:
            cure = "pass one Overlaps, or one for each setting"
            raise argument_error("starts", starts, "is neither a start nor a sequence of starts", cure) from None
    if len(first) != len(settings):
        problem = f"has {len(first)} members, but there are {len(settings)} settings"
        raise argument_error("starts", starts, problem, "pass one start for all, or one for each setting")
    for n, (setting, start) in enumerate(zip(settings, first, strict=True)):
        if not isinstance(setting, OnlineSGD):
            continue
        if not isinstance(start, Overlaps):
            cure = "pass hermiton.Overlaps(Q=, R=, T=, v=, A=)"
            raise argument_error(f"starts[{n}]", start, "is not an Overlaps", cure)
        widths = (setting.hidden, setting.teacher_hidden)
        if start.R.shape != widths:
            problem = f"has widths {start.R.shape}, but its setting has {widths}"
            raise argument_error(f"starts[{n}]", start, problem, "pass starts that fit their settings")
    return first


def _check_options(verb: str, settings: Sequence[Any], options: Mapping[str, Any]) -> None:
    for kind in {type(setting) for setting in settings}:
        function: Any = {"solve": solve, "simulate": simulate, "verify": verify}[verb]
        if hasattr(function, "dispatch"):
            function = function.dispatch(kind)
        known = sorted(set(inspect.signature(function).parameters) - _OWN)
        for name, value in options.items():
            if name not in known:
                raise argument_error(name, value, f"is no option of {verb}", f"choose among {', '.join(known)}")


def _varied(settings: Sequence[Any]) -> dict[str, Any]:
    """Coordinates along a sweep: the numbers in which settings of one kind differ."""
    if len({type(s) for s in settings}) > 1:
        return {}
    columns = {part.name: [getattr(s, part.name) for s in settings] for part in fields(settings[0])}
    return {
        name: ("setting", np.array([float(v) for v in values]))
        for name, values in columns.items()
        if all(isinstance(v, Real) for v in values) and len(set(values)) > 1
    }


# -- pieces of work ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Piece:
    """A picklable piece of work: a function of these arguments returns the outcomes for these places."""

    places: tuple[int, ...]
    function: Callable[..., list[Any]]
    arguments: tuple[Any, ...]


class _Solve:
    """Solutions: grouped by their equations, stored one by one."""

    def __init__(
        self,
        settings: tuple[Any, ...],
        starts: tuple[Any, ...],
        times: NDArray[np.float64],
        verb: str,
        store: RunStore | None,
        options: dict[str, Any],
        rng: Seed,
        workers: bool,
    ) -> None:
        self.settings, self.starts, self.times, self.store, self.options = settings, starts, times, store, options
        self.batch = _WORKER_BATCH if workers else _BATCH
        self.results: dict[int, Outcome] = {}
        self.shared = _derivations(settings)
        if store is not None:
            for n in range(len(settings)):
                stored = store.load(self.specification(n))
                if stored is not None:
                    self.results[n] = _unpacked(stored, settings[n], self.shared[n].system)

    def specification(self, n: int) -> dict[str, Any]:
        """What a solution depends on."""
        return {
            "verb": "solve",
            "hermiton": version("hermiton"),
            "setting": self.settings[n],
            "start": self.starts[n],
            "times": self.times,
            "options": self.options,
        }

    def pieces(self) -> Iterator[_Piece]:
        """What is still to be done."""
        groups: dict[tuple[int, str], list[int]] = {}
        for n, setting in enumerate(self.settings):
            if n not in self.results:
                groups.setdefault((id(self.shared[n]), canonical_json(dict(setting.sizes))), []).append(n)
        for group in groups.values():
            shared = self.shared[group[0]]
            closed = all(moment.closed_form is not None for moment in shared.system.moments)
            together = closed and len(group) >= _FEWEST and self.options.get("method") != "SDIRK4"
            ordered = sorted(group, key=lambda n: _rate(self.settings[n], shared.system))
            size = self.batch if together else 1
            for begin in range(0, len(ordered), size):
                places = tuple(ordered[begin : begin + size])
                members = [self.settings[n] for n in places], [self.starts[n] for n in places]
                function = _solve_together if together else _solve_alone
                yield _Piece(places, function, (shared, *members, self.times, self.options))

    def keep(self, place: int, outcome: _Numbers | Failure) -> None:
        """Take a result and store it."""
        if self.store is not None:
            self.store.save(self.specification(place), _packed(outcome))
        if isinstance(outcome, Failure):
            self.results[place] = outcome
        else:
            self.results[place] = Solution(self.settings[place], self.shared[place].system, *outcome)


class _Networks:
    """Simulations and verifications: each stores its own networks, one by one."""

    def __init__(
        self,
        settings: tuple[Any, ...],
        starts: tuple[Any, ...],
        times: NDArray[np.float64],
        verb: str,
        store: RunStore | None,
        options: dict[str, Any],
        rng: Seed,
        workers: bool,
    ) -> None:
        entropy, key = seed_of(rng)
        self.results: dict[int, Outcome] = {}
        self.tasks: list[_Piece] = []
        shared = _derivations(settings) if verb == "verify" else [None] * len(settings)
        names = RunStore(".")
        for n, (setting, start) in enumerate(zip(settings, starts, strict=True)):
            content = int(names.key({"setting": setting, "start": start})[:15], 16)
            stream = (entropy, (*key, content))
            arguments = (verb, shared[n], setting, start, times, options, stream, store, workers)
            self.tasks.append(_Piece((n,), _network, arguments))

    def pieces(self) -> Iterator[_Piece]:
        """All of them: what is stored is found by the verb itself."""
        return iter(self.tasks)

    def keep(self, place: int, outcome: Outcome) -> None:
        """Take a result."""
        self.results[place] = outcome


def _run(work: _Solve | _Networks, executor: Executor | None, report: Callable[[float], object] | None) -> None:
    """Do all pieces and keep each as soon as it is done."""
    pieces = list(work.pieces())
    total = len(work.results) + sum(len(piece.places) for piece in pieces)

    def keep(piece: _Piece, outcomes: list[Any]) -> None:
        for place, outcome in zip(piece.places, outcomes, strict=True):
            work.keep(place, outcome)
        if report is not None:
            report(len(work.results) / total)

    if executor is None:
        for piece in pieces:
            keep(piece, piece.function(*piece.arguments))
        return
    futures: dict[Future[list[Any]], _Piece] = {}
    try:
        for piece in pieces:
            futures[executor.submit(piece.function, *piece.arguments)] = piece
        for future in as_completed(futures):
            keep(futures[future], future.result())
    except BaseException:
        for future in futures:
            future.cancel()
        raise


# -- equations --------------------------------------------------------------------------------------------------------


class _Shared:
    """A derivation that many pieces of work share: pickled by content, unpickled once in each process."""

    def __init__(self, derivation: Derivation) -> None:
        self.derivation = derivation

    @property
    def system(self) -> OdeSystem:
        """The equations."""
        system: OdeSystem = self.derivation.systems[0]
        return system

    def __reduce__(self) -> tuple[Any, ...]:
        return _shared, (pickle.dumps(self.derivation),)


@functools.lru_cache(maxsize=32)
def _shared(content: bytes) -> _Shared:
    return _Shared(pickle.loads(content))


def _derivations(settings: Sequence[Any]) -> list[_Shared]:
    """A derivation for each setting, made once for all that differ in parameters only.

    Parameters enter the equations as symbols, but a derivation may drop a term whose parameter is zero.
    """
    known: list[tuple[type, dict[str, object], frozenset[str], _Shared]] = []
    found = []
    for setting in settings:
        content = {part.name: getattr(setting, part.name) for part in fields(setting)}
        alike = (one for kind, other, names, one in known if kind is type(setting) and _alike(content, other, names))
        shared = next(alike, None)
        if shared is None:
            shared = _Shared(derive(setting))
            names = frozenset(array.binding for array in shared.system.parameters)
            known.append((type(setting), content, names, shared))
        found.append(shared)
    return found


def _alike(content: Mapping[str, object], other: Mapping[str, object], parameters: frozenset[str]) -> bool:
    """Whether two settings with these contents have the same equations."""
    return all(
        bool(value) == bool(other[name]) if name in parameters else canonical_json(value) == canonical_json(other[name])
        for name, value in content.items()
    )


def _rate(setting: Any, system: OdeSystem) -> float:
    """The first scalar parameter: a batch takes as many steps as its slowest member, and rates set their number."""
    for array in system.parameters:
        if not array.axes and hasattr(setting, array.binding):
            return float(getattr(setting, array.binding))
    return 0.0


# -- what workers do --------------------------------------------------------------------------------------------------


def _solve_together(
    shared: _Shared, settings: list[Any], starts: list[Any], times: NDArray[np.float64], options: dict[str, Any]
) -> list[_Numbers | Failure]:
    return [_numbers(one) for one in solve_many(settings, starts, times, system=shared.system, **options)]


def _solve_alone(
    shared: _Shared, settings: list[Any], starts: list[Any], times: NDArray[np.float64], options: dict[str, Any]
) -> list[_Numbers | Failure]:
    outcomes = []
    for setting, start in zip(settings, starts, strict=True):
        call = functools.partial(solve, setting, start, times, derivation=shared.derivation, **options)
        outcomes.append(_numbers(_or_failure(setting, call)))
    return outcomes


def _network(
    verb: str,
    shared: _Shared | None,
    setting: Any,
    start: Any,
    times: NDArray[np.float64],
    options: dict[str, Any],
    stream: tuple[int, tuple[int, ...]],
    store: RunStore | None,
    workers: bool,
) -> list[Sample | Report | Failure]:
    from concurrent.futures import ThreadPoolExecutor

    entropy, key = stream
    named = {**options, "rng": np.random.SeedSequence(entropy, spawn_key=key), "store": store}
    if shared is not None:
        named["derivation"] = shared.derivation
    else:
        del named["rtol"]
    function = verify if verb == "verify" else simulate
    if not workers:
        return [_or_failure(setting, functools.partial(function, setting, start, times, **named))]
    with ThreadPoolExecutor(1) as one:  # a worker is one of many: no threads beside its own
        return [_or_failure(setting, functools.partial(function, setting, start, times, executor=one, **named))]


def _or_failure(setting: Any, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except UnfinishedError as error:
        return Failure(setting, "diverged" if error.status == "diverged" else "step limit", error.time, str(error))
    except AccuracyError as error:
        return Failure(setting, "failed", None, str(error))


def _numbers(outcome: Solution | Failure) -> _Numbers | Failure:
    return outcome if isinstance(outcome, Failure) else (outcome.data, outcome.errors, outcome.provenance)


# -- stored solutions -------------------------------------------------------------------------------------------------

_ERROR = "_error"


def _packed(outcome: _Numbers | Failure) -> xr.Dataset:
    """One dataset for a solution or a failure."""
    import xarray as xr

    if isinstance(outcome, Failure):
        time = {} if outcome.time is None else {"failure_time": outcome.time}
        return xr.Dataset(attrs={"status": outcome.status, "message": outcome.message, **time})
    data, errors, record = outcome
    both = data.merge(errors.rename({name: f"{name}{_ERROR}" for name in errors.data_vars}))
    return both.assign_attrs(record, status="finished")


def _unpacked(stored: xr.Dataset, setting: Any, system: OdeSystem) -> Solution | Failure:
    """The solution or failure that a stored dataset holds."""
    record = {str(name): value for name, value in stored.attrs.items() if name not in ("spec", "status")}
    status = stored.attrs["status"]
    if status != "finished":
        time = record.get("failure_time")
        return Failure(setting, status, None if time is None else float(time), str(record["message"]))
    names = [str(name) for name in stored.data_vars]
    plain = [name for name in names if f"{name}{_ERROR}" in names]
    data = stored[plain].drop_attrs(deep=False)
    errors = stored[[f"{name}{_ERROR}" for name in plain]].rename({f"{name}{_ERROR}": name for name in plain})
    return Solution(setting, system, data, errors.drop_attrs(deep=False), record)
