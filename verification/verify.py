"""The verb `verify`: theory against simulated networks, claim by claim."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import singledispatch
from numbers import Real
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..numerics.codegen.kernel import kernel_source
from ..numerics.derive import derive
from ..numerics.overlaps import Overlaps
from ..numerics.provenance import provenance
from ..numerics.solution import Solution
from ..numerics.solve import solve
from ..theory.activation import Activation
from ..theory.derivation import Derivation
from ..theory.errors import argument_error
from ..theory.online_sgd import OnlineSGD
from .decide import Comparison, aggregate, decide_all
from .ledger import Ledger
from .report import Curve, DerivationRow, Report
from .simulate import Sample, Seed, check_run, seed_of, simulate_online_sgd
from .starts import default_start
from .store import RunStore

__all__ = ["check_verification", "verify", "verify_online_sgd"]

# Streams of random numbers: the sample that is judged and the samples that the allowance is measured from.
_NETWORK, _SMALL, _SMALLER = range(3)
_MEASURING_REPLICAS = 200
_DENSE = 200
_DEFAULT_TIMES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0)


@singledispatch
def verify(setting: object, *arguments: object, **options: object) -> Report:
    """Hold the theory of a setting against simulated networks.

    Parameters
    ----------
    setting : OnlineSGD
        What to verify; further arguments depend on it, see `verify_online_sgd`.

    Returns
    -------
    Report

    Raises
    ------
    AssumptionError
        If `setting` is no setting or an argument is out of range.
    """
    raise argument_error("setting", setting, "is not a setting", "pass one of hermiton's settings, such as OnlineSGD()")


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

    def report(what: str) -> bool | Callable[[float], object]:
        return progress(what) if callable(progress) else progress

    theory = derive(setting) if derivation is None else derivation
    solution = solve(setting, first, _refined(grid), rtol=rtol, derivation=theory, progress=report("solve"))
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
    comparisons = _comparisons(setting, solution, sample, grid, drift, size, margin, entropy)
    claims = aggregate(decide_all(comparisons, family_false_alarm_rate=false_alarm_rate))
    ledger, tests = _ledger(theory, [claim.claim for claim in claims])
    return Report(
        title=theory.title,
        setting=_setting_text(setting, size, replicas, margin),
        verdicts=claims,
        provenance=provenance(**{**solution.provenance, **sample.provenance, "seed": entropy}),
        derivation=[DerivationRow(s.title, s.standing, s.checks, s.source) for s in theory.statements],
        curves=_curves(solution, sample),
        equations=[f"{lhs} = {rhs}" for lhs, rhs in theory.systems[0].latex_equations()],
        kernel=kernel_source(theory.systems[0]),
        ledger=ledger,
        tests=tests,
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
    chosen = _DEFAULT_TIMES if times is None else times
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


def _refined(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """The times of the comparison and enough others for a smooth curve."""
    dense = np.concatenate([[0.0], np.geomspace(max(grid[-1] * 1e-3, 1e-6), grid[-1], _DENSE)])
    far = np.abs(dense[:, None] - grid[None, :]).min(axis=1) > 1e-9 * grid[-1]
    return np.sort(np.concatenate([grid, dense[far]]))


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


def _comparisons(
    setting: OnlineSGD,
    solution: Solution,
    sample: Sample,
    grid: NDArray[np.float64],
    drift: xr.Dataset,
    size: int,
    margin: float,
    seed: int,
) -> list[Comparison]:
    names = {
        "generalization_error": "test error follows the theory",
        "Q": "student overlaps Q follow the theory",
        "R": "teacher-student overlaps R follow the theory",
        "v": "second layer v follows the theory",
    }
    comparisons = []
    for name, claim in names.items():
        if name not in solution.data:
            continue
        theory = solution.data[name].sel(time=grid)
        axes = [d for d in theory.dims if d != "time"]
        upper = np.ones(theory.shape, dtype=bool)
        if name == "Q":
            upper &= np.triu(np.ones(theory.shape[1:], dtype=bool))
        scale = np.abs(theory) if name == "generalization_error" else float(np.abs(theory).max())
        comparisons.append(
            Comparison(
                claim=claim,
                theory=theory.values,
                theory_error=solution.errors[name].sel(time=grid).values,
                sample=sample.data[name].values,
                allowance=drift[name].values / size,
                margin=np.broadcast_to(margin * np.asarray(scale), theory.shape),
                where=upper,
                coordinates={"time": [float(t) for t in grid], **{str(d): range(theory.sizes[d]) for d in axes}},
                seed=seed,
            )
        )
    return comparisons


def _ledger(theory: Derivation, claims: list[str]) -> tuple[Ledger, dict[str, str]]:
    """Every claim rests on all statements of the derivation."""
    ledger = Ledger()
    keys = []
    for statement in theory.statements:
        ledger.add(statement.key, statement.standing, citation=statement.source)
        keys.append(statement.key)
    ledger.add(theory.title, theory.standing, rests_on=keys)
    return ledger, {claim: theory.title for claim in claims}


def _curves(solution: Solution, sample: Sample) -> list[Curve]:
    mean, spread = sample.mean(), sample.standard_error()
    latex = {"generalization_error": r"\epsilon_g"}
    curves = []
    for name in solution.data.data_vars:
        variable = solution.data[name]
        for index in np.ndindex(*variable.shape[1:]):
            if name == "Q" and index[0] > index[1]:
                continue
            place = (slice(None), *index)
            entry = ",".join(map(str, index))
            subscript = "".join(str(i + 1) for i in index)
            curves.append(
                Curve(
                    name=f"{name}[{entry}]" if index else str(name),
                    label=latex.get(str(name), f"{name}_{{{subscript}}}"),
                    time=solution.data["time"].values,
                    theory=variable.values[place],
                    theory_error=solution.errors[name].values[place],
                    sample_time=sample.data["time"].values,
                    sample_mean=mean[name].values[place],
                    sample_standard_error=spread[name].values[place],
                    samples=sample.replicas,
                )
            )
    return curves


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
