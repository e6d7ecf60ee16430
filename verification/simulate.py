"""The verb `simulate`: from a setting to runs of real networks, replicated, stored and resumable.

A replica is a pure function of a picklable specification, so replicas may run in threads, processes or on a cluster,
and a stored replica is never run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..numerics.overlaps import Overlaps
from ..numerics.progress import reporter
from ..numerics.provenance import provenance
from ..numerics.solution import write_netcdf
from ..theory.errors import AccuracyError, VerificationError, argument_error
from ..theory.online_sgd import OnlineSGD
from .store import RunStore

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Sample", "check_run", "seed_of", "simulate"]

Seed = int | np.random.SeedSequence | np.random.Generator


@dataclass(frozen=True, eq=False)
class Sample:
    """Replicated runs of networks.

    Parameters
    ----------
    setting : object
        What was simulated.
    data : xarray.Dataset
        The observables of the theory with the further first dimension ``replica``.
    provenance : dict of str
        Versions, seed, method, dimension.
    """

    setting: Any
    data: xr.Dataset = field(repr=False)
    provenance: dict[str, str] = field(repr=False)

    @property
    def replicas(self) -> int:
        """Number of independent runs."""
        return int(self.data.sizes["replica"])

    def mean(self) -> xr.Dataset:
        """Mean over the replicas."""
        return self.data.mean("replica")

    def standard_error(self) -> xr.Dataset:
        """Standard error of the mean over the replicas."""
        spread: xr.Dataset = self.data.std("replica", ddof=1) / np.sqrt(self.replicas)
        return spread

    def save(self, path: str | Path) -> Path:
        """Write data and provenance to one netCDF file.

        Parameters
        ----------
        path : path
            The file; replaced only when the new one is complete.

        Returns
        -------
        Path

        Raises
        ------
        AssumptionError
            If the file can't be written.
        """
        return write_netcdf(self.data.assign_attrs({**self.provenance, "setting": repr(self.setting)}), path)

    def _repr_html_(self) -> str:
        return str(self.data._repr_html_())


def seed_of(rng: Seed) -> tuple[int, tuple[int, ...]]:
    """Entropy and spawn key that name a stream of random numbers; a generator gives a fresh entropy and advances.

    Raises
    ------
    AssumptionError
        If `rng` is no seed.
    """
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**63)), ()
    if isinstance(rng, np.random.SeedSequence):
        if not isinstance(rng.entropy, int):
            raise argument_error("rng", rng, "has no integer entropy", "make it as SeedSequence(some_integer)")
        return rng.entropy, tuple(int(k) for k in rng.spawn_key)
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0:
        raise argument_error("rng", rng, "is no seed", "pass an integer >= 0, a SeedSequence or a Generator")
    return int(rng), ()


@singledispatch
def simulate(setting: object, *arguments: object, **options: object) -> Sample:
    """Simulate the networks of a setting.

    Parameters
    ----------
    setting : OnlineSGD
        What to simulate; further arguments depend on it, see `simulate_online_sgd`.

    Returns
    -------
    Sample

    Raises
    ------
    AssumptionError
        If `setting` is no setting or an argument is out of range.
    """
    raise argument_error("setting", setting, "is not a setting", "pass one of hermiton's settings, such as OnlineSGD()")


@simulate.register
def simulate_online_sgd(
    setting: OnlineSGD,
    start: Overlaps,
    times: ArrayLike,
    *,
    dimension: int | None = None,
    method: Literal["network", "overlaps"] = "network",
    replicas: int = 16,
    precision: Literal["float64", "float32"] = "float64",
    rng: Seed = 0,
    store: str | Path | RunStore | None = None,
    executor: Executor | None = None,
    progress: bool | Callable[[float], object] = False,
) -> Sample:
    """Train real two-layer networks by online SGD, or run the exact chain of their overlaps.

    Parameters
    ----------
    setting : OnlineSGD
        Activations, widths, rates and noise.
    start : Overlaps
        Start of every replica. If it was made from weights, the network starts from exactly these; else each replica
        draws weights that have exactly these overlaps.
    times : (T,) array
        Increasing times in units of steps/N at which overlaps are recorded.
    dimension : int, optional
        Input dimension N, at least K + M; by default that of the start's weights, else 1000.
    method : {"network", "overlaps"}
        Real weights and inputs, or the exact Markov chain of the overlaps for Gaussian inputs, whose cost does not
        depend on N.
    replicas : int
        Number of independent runs.
    precision : {"float64", "float32"}
        Of the network's weights; float32 is several times faster.
    rng : int, SeedSequence or Generator
        Seed. Replica r draws from a stream of its own, whatever the number of replicas and workers.
    store : path or RunStore, optional
        Folder of stored runs: replicas found there are not run again, so an interrupted simulation resumes.
    executor : concurrent.futures.Executor, optional
        Where replicas run; by default one thread a core.
    progress : bool or callable
        Whether to show a progress bar, or what to call with the fraction done.

    Returns
    -------
    Sample
        ``generalization_error``, ``Q``, ``R``, ``v`` with dimensions replica, time, ... The error is computed from the
        overlaps, without test-set noise.

    Raises
    ------
    AssumptionError
        If an argument is out of range or does not fit.
    AccuracyError
        If a run diverges; says when.
    """
    import xarray as xr

    grid, size = check_run(setting, start, times, dimension, method, replicas, precision)
    entropy, key = seed_of(rng)
    if store is not None and not isinstance(store, str | Path | RunStore):
        raise argument_error("store", store, "is no store", "pass a folder, such as 'runs/', or a RunStore")
    if executor is not None and not isinstance(executor, Executor):
        raise argument_error("executor", executor, "is no executor", "pass one of concurrent.futures, or leave it out")
    exact = method == "network" and start.weights is not None
    common: dict[str, Any] = {
        "chapter": "online_sgd",
        "student": str(setting.student.expression),  # type: ignore[union-attr]
        "teacher": str(setting.teacher.expression),  # type: ignore[union-attr]
        "rates": [float(setting.learning_rate), float(setting.second_layer_rate), float(setting.noise)],
        "start": {name: getattr(start, name) for name in ("Q", "R", "T", "v", "A")},
        "weights": list(start.weights) if exact and start.weights is not None else None,
        "times": grid,
        "dimension": size,
        "method": method,
        "precision": precision if method == "network" else "float64",
        "entropy": entropy,
        "spawn_key": list(key),
    }
    runs = _map(
        _online_sgd_replica,
        [{**common, "replica": r} for r in range(replicas)],
        setting,
        RunStore(store) if isinstance(store, str | Path) else store,
        executor,
        progress,
    )
    data = xr.concat(runs, dim="replica", join="exact", combine_attrs="drop")
    record = provenance(
        seed=entropy, spawn_key=key, method=method, dimension=size, replicas=replicas, precision=common["precision"]
    )
    return Sample(setting, data, record)


def check_run(
    setting: OnlineSGD,
    start: Overlaps,
    times: ArrayLike,
    dimension: int | None,
    method: str,
    replicas: int,
    precision: str,
) -> tuple[NDArray[np.float64], int]:
    """Times (T,) and dimension of a run.

    Raises
    ------
    AssumptionError
        If an argument of `simulate_online_sgd` is out of range or does not fit.
    """
    from ..numerics.solve import _times

    grid = _times(times)
    if isinstance(replicas, bool) or not isinstance(replicas, int | np.integer) or replicas < 1:
        raise argument_error("replicas", replicas, "is not a positive integer", "run at least one network")
    for name, value, known in (
        ("method", method, ("network", "overlaps")),
        ("precision", precision, ("float64", "float32")),
    ):
        if value not in known:
            raise argument_error(name, value, "is unknown", f"choose one of {known}")
    return grid, _dimension(setting, start, dimension, method)


def _dimension(setting: OnlineSGD, start: Overlaps, dimension: int | None, method: str) -> int:
    if not isinstance(start, Overlaps):
        raise argument_error("start", start, "is not an Overlaps", "pass hermiton.Overlaps(Q=, R=, T=, v=, A=)")
    if start.R.shape != (setting.hidden, setting.teacher_hidden):
        problem = f"has widths {start.R.shape}, but the setting has {(setting.hidden, setting.teacher_hidden)}"
        raise argument_error("start", start.R.shape, problem, "make hidden and teacher_hidden agree with the start")
    own = start.weights[0].shape[1] if start.weights is not None else None
    size = (own or 1000) if dimension is None else dimension
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise argument_error("dimension", size, "is not an integer", "pass the number of inputs N")
    if method == "network" and own is not None and size != own:
        problem = f"differs from the {own} inputs of the start's weights"
        raise argument_error("dimension", size, problem, f"leave it out, or pass {own}")
    units = setting.hidden + setting.teacher_hidden
    if size < units:
        problem = f"is smaller than K + M = {units}"
        raise argument_error("dimension", size, problem, "weights with given overlaps need that many directions")
    return int(size)


def _map(
    task: Callable[[dict[str, Any], Any], dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]],
    specifications: list[dict[str, Any]],
    setting: Any,
    store: RunStore | None,
    executor: Executor | None,
    progress: bool | Callable[[float], object],
) -> list[xr.Dataset]:
    """Run a task for each specification, except where its result is stored; results in the order given."""
    import xarray as xr

    results: list[Any] = [store.load(s) if store is not None else None for s in specifications]
    missing = [n for n, found in enumerate(results) if found is None]
    own = executor is None
    pool = ThreadPoolExecutor(os.cpu_count() or 1) if executor is None else executor
    futures: dict[Future[Any], int] = {}

    def keep(future: Future[Any]) -> None:
        place = futures[future]
        dataset = xr.Dataset(future.result(), coords={"time": specifications[place]["times"]})
        if store is not None:
            store.save(specifications[place], dataset)
        results[place] = dataset

    try:
        with reporter(progress, "simulate") as report:
            futures.update({pool.submit(task, specifications[n], setting): n for n in missing})
            done = len(results) - len(missing)
            for future in as_completed(futures):
                keep(future)
                done += 1
                if report is not None:
                    report(done / len(results))
    except (KeyboardInterrupt, AccuracyError):
        # What was under way is finished and stored, so that the same call resumes behind it; the rest is dropped.
        waiting = [f for f, place in futures.items() if results[place] is None and not f.cancel()]
        for future in waiting if store is not None else []:
            if future.exception() is None:
                keep(future)
        raise
    finally:
        if own:
            pool.shutdown(wait=True, cancel_futures=True)
    return results


def _online_sgd_replica(
    specification: Mapping[str, Any], setting: OnlineSGD
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
    """One run, from its specification alone (the setting only names the activations)."""
    from .functions import scalar_functions
    from .networks.generalization import generalization_error
    from .networks.online_sgd import run_network
    from .networks.online_sgd_overlaps import run_overlaps
    from .networks.weights import draw_weights

    student = scalar_functions(setting.student)
    teacher = scalar_functions(setting.teacher)
    start = specification["start"]
    key = (*specification["spawn_key"], specification["replica"])
    weights_seed, steps_seed = (
        np.random.SeedSequence(specification["entropy"], spawn_key=(*key, stream)) for stream in range(2)
    )
    learning_rate, second_layer_rate, noise = specification["rates"]
    options: dict[str, Any] = {
        "activation": student.value,
        "derivative": student.derivative,
        "teacher_activation": teacher.value,
        "learning_rate": learning_rate,
        "second_layer_rate": second_layer_rate,
        "noise": noise,
        "times": specification["times"],
        "rng": steps_seed,
    }
    try:
        if specification["method"] == "overlaps":
            gram = (start["Q"], start["R"], start["T"])
            run = run_overlaps(*gram, start["v"], start["A"], dimension=specification["dimension"], **options)
        else:
            if specification["weights"] is not None:
                weights, teacher_weights = specification["weights"]
            else:
                weights, teacher_weights = draw_weights(
                    start["Q"], start["R"], start["T"], specification["dimension"], weights_seed
                )
            options["precision"] = specification["precision"]
            run = run_network(weights, teacher_weights, start["v"], start["A"], **options)
    except ValueError as error:
        raise VerificationError(f"replica {specification['replica']}: {error}") from error
    if run.diverged:
        raise AccuracyError(
            f"the network of replica {specification['replica']} diverges at t={run.divergence_time:.6g} "
            f"(dimension {specification['dimension']}): lower the learning rate, raise the dimension or stop earlier"
        )
    test_error = generalization_error(
        run.Q,
        run.R,
        start["T"],
        run.v,
        start["A"],
        student.value,
        teacher.value,
        kinks=student.kinks,
        teacher_kinks=teacher.kinks,
    )
    return {
        "generalization_error": (("time",), np.asarray(test_error)),
        "Q": (("time", "i", "k"), run.Q),
        "R": (("time", "i", "n"), run.R),
        "v": (("time", "i"), run.v),
    }
