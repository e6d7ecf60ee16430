"""Online SGD in the verification room: its runs, its starts, what is claimed, and what the neglected order amounts to.

The networks themselves are in `networks/online_sgd.py`; here a setting is turned into their arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..numerics.derive import derive
from ..numerics.overlaps import Overlaps
from ..numerics.provenance import provenance
from ..numerics.solve import output_times, solve
from ..theory.activation import Activation
from ..theory.derivation import Derivation
from ..theory.errors import AccuracyError, VerificationError, argument_error
from ..theory.online_sgd import OnlineSGD
from .functions import scalar_functions
from .report import Report
from .simulate import Sample, Seed, opened, run_replicas, seed_of, simulate
from .store import RunStore
from .verify import compare, refined, report_on, staged, verify

__all__ = [
    "CLAIMS",
    "DEFAULT_TIMES",
    "check_run",
    "check_verification",
    "default_start",
    "simulate_online_sgd",
    "verify_online_sgd",
]

DEFAULT_TIMES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0)
"""Times of a comparison that names none: descent, plateau and escape of the default start."""

CLAIMS = {
    "generalization_error": "test error follows the theory",
    "Q": "student overlaps Q follow the theory",
    "R": "teacher-student overlaps R follow the theory",
    "v": "second layer v follows the theory",
}
"""What `verify` claims of each observable."""

# Streams of random numbers: the sample that is judged and the samples that the allowance is measured from.
_NETWORK, _SMALL, _SMALLER = range(3)
_MEASURING_REPLICAS = 100


def default_start(setting: OnlineSGD) -> Overlaps:
    """A generic start of online SGD: short students with small, unequal overlaps, an orthonormal teacher, unit layers.

    Students that are equal would stay equal under the equations, so no two are.
    For K = M = 2 it is Q = [[.2, .05], [.05, .25]], R = [[.1, .02], [.03, .12]].

    Parameters
    ----------
    setting : OnlineSGD
        Its widths.

    Returns
    -------
    Overlaps
    """
    width, teacher_width = setting.hidden, setting.teacher_hidden
    i, n = np.arange(width), np.arange(teacher_width)
    aligned = i[:, None] % teacher_width == n[None, :]
    R = np.where(aligned, 0.1 + 0.02 * i[:, None], 0.02 + 0.01 * (i[:, None] % 4)) / np.sqrt(max(1, teacher_width / 4))
    # students = their part along the teacher + a part of their own, so that the Gram matrix is one
    own = np.where(np.eye(width, dtype=bool), 0.2 + 0.05 * (i % 3), 0.05 / max(1, width - 1))
    Q = own if width == teacher_width == 2 else own + R @ R.T
    return Overlaps(Q=Q, R=R, T=np.eye(teacher_width), v=np.ones(width), A=np.ones(teacher_width))


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
    grid, size = check_run(setting, start, times, dimension, method, replicas, precision)
    entropy, key = seed_of(rng)
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
    runs = run_replicas(
        _replica,
        [{**common, "replica": r} for r in range(replicas)],
        setting,
        opened(store),
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
    grid = output_times(times)
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


def _replica(
    specification: Mapping[str, Any], setting: OnlineSGD
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
    """One run, from its specification alone (the setting only names the activations)."""
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


@verify.register
def verify_online_sgd(
    setting: OnlineSGD,
    start: Overlaps | None = None,
    times: ArrayLike | None = None,
    *,
    dimension: int | None = None,
    method: Literal["network", "overlaps"] = "network",
    replicas: int = 64,
    precision: Literal["float64", "float32"] = "float32",
    margin: float = 0.05,
    false_alarm_rate: float = 1e-4,
    rtol: float = 1e-8,
    rng: Seed = 0,
    derivation: Derivation | None = None,
    store: str | Path | RunStore | None = None,
    executor: Executor | None = None,
    progress: bool | Callable[[str], Callable[[float], object]] = False,
) -> Report:
    """Hold the order-parameter equations against networks trained by online SGD.

    Parameters
    ----------
    setting : OnlineSGD
        What to verify.
    start : Overlaps, optional
        Start; by default small generic overlaps with an orthonormal teacher.
    times : (T,) array, optional
        Times of the comparison, in units of steps/N; by default ten up to 100.
    dimension : int, optional
        Input dimension N; by default that of the start's weights, else 1000.
    method, replicas, precision
        As in `simulate_online_sgd`.
    margin : float
        Largest discrepancy that counts as agreement, declared in advance: of the test error relative to its value at
        each time, of overlaps and second layer relative to their largest entry over time.
    false_alarm_rate : float
        Probability at most allowed for refuting any claim of a true theory, over all components together.
    rtol : float
        Tolerance of the solver.
    rng : int, SeedSequence or Generator
        Seed.
    derivation : Derivation, optional
        The theory to test; by default ``derive(setting)``.
    store : path or RunStore, optional
        Stored runs; a simulation that was interrupted resumes.
    executor : concurrent.futures.Executor, optional
        Where replicas run.
    progress : bool or callable
        Whether to show progress bars; or a function that, given what is being done, returns a function of the fraction.

    Returns
    -------
    Report
        One claim an observable.

    Raises
    ------
    AssumptionError
        If an argument is out of range.
    AccuracyError
        If the solution or a network diverges; says when.

    Notes
    -----
    *Validity.* At finite N the mean over networks differs from the theory by c/N. The allowance for it is measured
    from the exact chain of overlaps at the two sizes N/2 and N/4, by their difference alone: it doesn't know the
    theory. It is |c| plus three standard errors, over N.
    """
    # Everything is checked before the derivation, which takes its time.
    first = default_start(setting) if start is None else start
    grid, size = check_verification(
        setting, first, times, dimension, method, replicas, precision, margin, false_alarm_rate
    )
    entropy, key = seed_of(rng)
    store = RunStore(store) if isinstance(store, str | Path) else store

    report = staged(progress)
    theory = derive(setting) if derivation is None else derivation
    solution = solve(setting, first, refined(grid), rtol=rtol, derivation=theory, progress=report("solve"))
    sample = simulate_online_sgd(
        setting,
        first,
        grid,
        dimension=dimension,
        method=method,
        replicas=replicas,
        precision=precision,
        rng=np.random.SeedSequence(entropy, spawn_key=(*key, _NETWORK)),
        store=store,
        executor=executor,
        progress=report("simulate networks"),
    )
    drift = _finite_size_drift(setting, first, grid, size, entropy, key, store, executor, report("measure c/N"))
    comparisons = compare(solution, sample, CLAIMS, margin=margin, allowance=drift / size, seed=entropy)
    return report_on(
        theory,
        solution,
        sample,
        comparisons,
        setting=_setting_text(setting, size, replicas, margin),
        false_alarm_rate=false_alarm_rate,
        seed=entropy,
    )


def check_verification(
    setting: OnlineSGD,
    start: Overlaps,
    times: ArrayLike | None,
    dimension: int | None,
    method: str,
    replicas: int,
    precision: str,
    margin: float,
    false_alarm_rate: float,
) -> tuple[NDArray[np.float64], int]:
    """Times (T,) of the comparison and dimension of the networks.

    Raises
    ------
    AssumptionError
        If an argument of `verify_online_sgd` is out of range or does not fit.
    """
    chosen = DEFAULT_TIMES if times is None else times
    grid, size = check_run(setting, start, chosen, dimension, method, replicas, precision)
    if grid[-1] == 0:
        raise argument_error("times", grid.tolist(), "ends at the start", "compare at times after 0")
    if isinstance(margin, bool) or not isinstance(margin, Real) or not 0 < margin < 1:
        raise argument_error("margin", margin, "is out of range", "declare a relative margin between 0 and 1")
    if not isinstance(false_alarm_rate, Real) or not 0 < false_alarm_rate < 0.5:
        cure = "declare a probability between 0 and 0.5"
        raise argument_error("false_alarm_rate", false_alarm_rate, "is out of range", cure)
    if replicas < 8:
        raise argument_error("replicas", replicas, "is too small", "a standard error needs at least 8 networks")
    return grid, size


def _finite_size_drift(
    setting: OnlineSGD,
    start: Overlaps,
    grid: NDArray[np.float64],
    size: int,
    entropy: int,
    key: tuple[int, ...],
    store: RunStore | None,
    executor: Executor | None,
    progress: bool | Callable[[float], object],
) -> xr.Dataset:
    """Bound on |c| in the finite-N mean = limit + c/N, from the exact chain at two smaller sizes."""
    units = setting.hidden + setting.teacher_hidden
    sizes = [max(units + 1, size // 4), max(units + 2, size // 2)]
    # Stored as one: a chain of overlaps takes about as long to run as its file takes to write.
    specification: dict[str, object] = {
        "chapter": "online_sgd",
        "what": "bound on N (mean - limit)",
        "student": str(Activation(setting.student).expression),
        "teacher": str(Activation(setting.teacher).expression),
        "rates": [float(setting.learning_rate), float(setting.second_layer_rate), float(setting.noise)],
        "start": {name: getattr(start, name) for name in ("Q", "R", "T", "v", "A")},
        "times": grid,
        "dimensions": sizes,
        "replicas": _MEASURING_REPLICAS,
        "entropy": entropy,
        "spawn_key": list(key),
    }
    stored = None if store is None else store.load(specification)
    if stored is not None:
        return stored
    plain = Overlaps(Q=start.Q, R=start.R, T=start.T, v=start.v, A=start.A)
    samples = [
        simulate_online_sgd(
            setting,
            plain,
            grid,
            dimension=n,
            method="overlaps",
            replicas=_MEASURING_REPLICAS,
            rng=np.random.SeedSequence(entropy, spawn_key=(*key, stream)),
            executor=executor,
            progress=progress,
        )
        for n, stream in zip(sizes, (_SMALLER, _SMALL), strict=True)
    ]
    lever = 1 / sizes[0] - 1 / sizes[1]
    slope = (samples[0].mean() - samples[1].mean()) / lever
    spread = (samples[0].standard_error() ** 2 + samples[1].standard_error() ** 2) ** 0.5 / lever
    drift = abs(slope) + 3 * spread
    if store is not None:
        store.save(specification, drift)
    return drift


def _setting_text(setting: OnlineSGD, size: int, replicas: int, margin: float) -> str:
    student, teacher = Activation(setting.student), Activation(setting.teacher)
    parts = [
        f"student {student.expression} with K={setting.hidden}",
        f"teacher {teacher.expression} with M={setting.teacher_hidden}",
        f"learning rate {float(setting.learning_rate):g}",
        f"second-layer rate {float(setting.second_layer_rate):g}",
        f"label noise {float(setting.noise):g}",
        "inputs N(0, I)",
        f"{replicas} networks at N={size}",
        f"declared margin {100 * margin:g} %",
    ]
    return ", ".join(parts)
