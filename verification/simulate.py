"""The verb `simulate`: from a setting to runs of real networks, replicated, stored and resumable.

A replica is a pure function of a picklable specification, so replicas may run in threads, processes or on a cluster,
and a stored replica is never run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..numerics.progress import reporter
from ..numerics.solution import write_netcdf
from ..theory.errors import AccuracyError, argument_error
from .store import RunStore

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Sample", "Seed", "opened", "run_replicas", "seed_of", "simulate"]

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
    setting : OnlineSGD, Truncation, TruncatedPopulation or UnconstrainedFeatures
        What to simulate; further arguments depend on it: see its chapter, such as `hermiton.verification.online_sgd`.

    Returns
    -------
    Sample

    Raises
    ------
    AssumptionError
        If `setting` is no setting or an argument is out of range.
    """
    raise argument_error("setting", setting, "is not a setting", "pass one of hermiton's settings, such as OnlineSGD()")


def opened(store: str | Path | RunStore | None) -> RunStore | None:
    """A store from itself or from the name of its folder.

    Raises
    ------
    AssumptionError
        If it is neither.
    """
    if store is not None and not isinstance(store, str | Path | RunStore):
        raise argument_error("store", store, "is no store", "pass a folder, such as 'runs/', or a RunStore")
    return RunStore(store) if isinstance(store, str | Path) else store


def run_replicas(
    task: Callable[[dict[str, Any], Any], dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]],
    specifications: list[dict[str, Any]],
    setting: Any,
    store: RunStore | None,
    executor: Executor | None,
    progress: bool | Callable[[float], object],
) -> list[xr.Dataset]:
    """Run a task for each specification, except where its result is stored.

    Parameters
    ----------
    task : callable
        Pure and picklable: from a specification and the setting to variables, as ``{name: (dimensions, array)}``.
    specifications : list of dict
        What to run; each names its result in the store.
    setting : object
        Handed through.
    store : RunStore, optional
        Stored results.
    executor : concurrent.futures.Executor, optional
        Where tasks run; one thread a core by default.
    progress : bool or callable
        As in `reporter`.

    Returns
    -------
    list of xarray.Dataset
        In the order given.

    Raises
    ------
    AssumptionError
        If the executor is none.
    """
    import xarray as xr

    if executor is not None and not isinstance(executor, Executor):
        raise argument_error("executor", executor, "is no executor", "pass one of concurrent.futures, or leave it out")
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
