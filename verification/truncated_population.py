"""Truncated populations in the verification room: samples of N points, truncated by real ReLU networks.

The network is in `networks/truncation.py`; here points are drawn from a distribution, and what finite samples and
finite steps amount to is measured from networks alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from ..numerics.derive import derive
from ..numerics.population import PopulationStart
from ..numerics.provenance import provenance
from ..numerics.solution import Solution
from ..numerics.solve import solve
from ..theory.derivation import Derivation
from ..theory.errors import AccuracyError, VerificationError, argument_error
from ..theory.notation import z
from ..theory.truncated_population import TruncatedPopulation
from .decide import Comparison
from .halving import whole
from .report import Report
from .simulate import Sample, Seed, opened, run_replicas, seed_of, simulate
from .store import RunStore
from .verify import refined, report_on, staged, verify

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "CLAIMS",
    "DEFAULT_TIMES",
    "check_verification",
    "default_start",
    "simulate_truncated_population",
    "verify_truncated_population",
]

Array = NDArray[np.float64]

DEFAULT_TIMES = (0.5, 1.0, 2.0, 3.0, 5.0)
"""Times of a comparison that names none, in units of 1/mass."""

CLAIMS = {
    "threshold": "the threshold follows the population",
    "truncated_fraction": "the truncated fraction follows the population",
    "within_class_variance": "the variance of the truncated coordinate follows the population",
    "fluctuation_variance": "the threshold of a sample has the variance of the central limit theorem",
}
"""What `verify` claims of each observable."""

# Streams of random numbers: the sample that is judged, those that c/N is measured from, and that of the step.
_JUDGED, _SMALLER, _SMALL, _STEPS = range(4)
_STEP_REPLICAS = 64
_FRACTIONS = (16, 4)  # of N: the sizes that c/N is measured at
_SHARE = 0.2  # of the population, which the default threshold has behind or ahead of it
_STEPS_A_UNIT = 40  # of time, which is 1/mass
_BATCH = 25  # samples that one network truncates, each in a coordinate of its own
_BISECTIONS = 64
_FARTHEST = 2.0**200


def default_start(setting: TruncatedPopulation) -> float:
    """A generic start: the threshold has a fifth of the population behind it and rises, or ahead of it and falls.

    Parameters
    ----------
    setting : TruncatedPopulation
        Where its target lies decides which.

    Returns
    -------
    float
    """
    low, high = _points(setting, np.array([_SHARE, 1 - _SHARE]))
    rises = float(setting.target) - low >= high - float(setting.target)
    return float(f"{low if rises else high:.4g}")


@functools.lru_cache(maxsize=16)
def _vectorised(cumulative: sp.Expr) -> Callable[[Array], Array]:
    return sp.lambdify(z, cumulative, ["scipy", "numpy"])  # type: ignore[no-any-return]


def _points(setting: TruncatedPopulation, levels: Array) -> Array:
    """Points at which F has given levels, all at once by bisection."""
    cumulative = _vectorised(setting.cumulative)
    low, high = np.full(levels.shape, -1.0), np.full(levels.shape, 1.0)
    with np.errstate(all="ignore"):  # branches of F are computed where they are not taken
        while (cumulative(low) > levels.min()).any() and low[0] > -_FARTHEST:
            low *= 2
        while (cumulative(high) < levels.max()).any() and high[0] < _FARTHEST:
            high *= 2
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            below = cumulative(middle) < levels
            low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(high, dtype=np.float64)


# -- simulate ----------------------------------------------------------------------------------------------------------


@simulate.register
def simulate_truncated_population(
    setting: TruncatedPopulation,
    start: float | PopulationStart,
    times: ArrayLike,
    *,
    samples: int = 1000,
    step: float | None = None,
    replicas: int = 16,
    rng: Seed = 0,
    store: str | Path | RunStore | None = None,
    executor: Executor | None = None,
    progress: bool | Callable[[float], object] = False,
) -> Sample:
    """Truncate samples of a distribution by gradient descent of a ReLU network.

    Parameters
    ----------
    setting : TruncatedPopulation
        The distribution, the target and the mass; each of N points has the weight mass/N.
    start : float or PopulationStart
        The threshold at time 0.
    times : (T,) array
        Increasing multiples of the step at which the state is recorded.
    samples : int
        Number N of points of a replica.
    step : float, optional
        Size of a step of descent, by default 1/(40 mass). Time is step size x steps.
    replicas : int
        Number of independent samples.
    rng : int, SeedSequence or Generator
        Seed. Replica r draws from a stream of its own, whatever the number of replicas and workers.
    store : path or RunStore, optional
        Folder of stored runs: replicas found there are not run again.
    executor : concurrent.futures.Executor, optional
        Where replicas run; by default one thread a core.
    progress : bool or callable
        Whether to show a progress bar, or what to call with the fraction done.

    Returns
    -------
    Sample
        ``threshold``, ``truncated_fraction``, ``within_class_mean``, ``within_class_variance`` with dimensions replica,
        time: of the points as the network truncates them, means over points with 1/N. Each replica is a coordinate of a
        network whose cumulative weights are the identity: coordinates of such a network don't act on each other.

    Raises
    ------
    AssumptionError
        If an argument is out of range.
    AccuracyError
        If a descent diverges; says when.
    """
    threshold = _threshold(setting, start)
    step = _step(setting) if step is None else step
    grid, _ = whole(times, step)
    _whole_number("samples", samples, "draw at least one point")
    _whole_number("replicas", replicas, "run at least one network")
    entropy, key = seed_of(rng)
    common: dict[str, Any] = {
        "chapter": "truncated_population",
        "distribution": str(setting.cumulative),
        "target": float(setting.target),
        "mass": float(setting.mass),
        "threshold": threshold,
        "times": grid,
        "samples": int(samples),
        "step": float(step),
        "entropy": entropy,
        "spawn_key": list(key),
    }
    firsts = range(0, replicas, _BATCH)
    specifications = [{**common, "first": first, "replicas": min(_BATCH, replicas - first)} for first in firsts]
    runs = run_replicas(_batch, specifications, setting, opened(store), executor, progress)
    import xarray as xr

    data = xr.concat(runs, dim="replica", join="exact", combine_attrs="drop")
    record = provenance(seed=entropy, spawn_key=key, samples=samples, step=repr(float(step)), replicas=replicas)
    return Sample(setting, data, record)


def _threshold(setting: TruncatedPopulation, start: float | PopulationStart) -> float:
    if isinstance(start, PopulationStart):
        if start.population.pieces != setting.pieces:
            problem = "belongs to another distribution"
            raise argument_error("start", start, problem, "make it from the setting, or pass the threshold alone")
        return start.threshold
    if isinstance(start, bool) or not isinstance(start, Real) or not np.isfinite(start):
        raise argument_error("start", start, "is no threshold", "pass a number, or a PopulationStart")
    return float(start)


def _step(setting: TruncatedPopulation) -> float:
    return 1 / (_STEPS_A_UNIT * float(setting.mass))


def _whole_number(name: str, value: int, cure: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise argument_error(name, value, "is not a positive integer", cure)


def _batch(
    specification: Mapping[str, Any], setting: TruncatedPopulation
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
    """Samples, one a coordinate of a network whose weights are the identity."""
    from .networks.relu_network import LabelledData, ReLUNetwork
    from .networks.truncation import descend_cumulative

    given = specification
    count, members = given["samples"], range(given["first"], given["first"] + given["replicas"])
    seeds = (np.random.SeedSequence(given["entropy"], spawn_key=(*given["spawn_key"], r)) for r in members)
    points = np.stack([_points(setting, np.random.default_rng(seed).random(count)) for seed in seeds], axis=1)
    same = np.ones(len(members))
    try:
        # relu(x - theta), and an output layer that adds theta again: the labels are in the space of the inputs
        weights, level = [np.eye(len(members))] * 2, -given["threshold"] * same
        network = ReLUNetwork.from_cumulative(weights, [level], 0 * same)
        shares = np.full(count, given["mass"] / count)
        data = LabelledData(points, np.zeros(count, dtype=np.int64), [given["target"] * same], shares)
        run = descend_cumulative(network, data, cost="input", step=given["step"], times=given["times"])
    except ValueError as error:
        raise VerificationError(f"replicas {members[0]} to {members[-1]}: {error}") from error
    if run.diverged:
        raise AccuracyError(
            f"descents of replicas {members[0]} to {members[-1]} diverge at t={run.divergence_time:.6g}: take smaller "
            "steps"
        )
    truncated = np.stack([run.network(at).truncated(points) for at in range(len(run.times))])
    found = {
        "threshold": -run.input_biases[:, 0],
        "truncated_fraction": run.truncated[:, 0, 0] / given["mass"],
        "within_class_mean": truncated.mean(axis=1),
        "within_class_variance": truncated.var(axis=1),
    }
    return {name: (("replica", "time"), value.T) for name, value in found.items()}


# -- verify ------------------------------------------------------------------------------------------------------------


@verify.register
def verify_truncated_population(
    setting: TruncatedPopulation,
    start: float | PopulationStart | None = None,
    times: ArrayLike | None = None,
    *,
    samples: int = 1000,
    step: float | None = None,
    replicas: int = 800,
    margin: float = 0.02,
    fluctuation_margin: float = 0.4,
    false_alarm_rate: float = 1e-4,
    rtol: float = 1e-8,
    rng: Seed = 0,
    derivation: Derivation | None = None,
    store: str | Path | RunStore | None = None,
    executor: Executor | None = None,
    progress: bool | Callable[[str], Callable[[float], object]] = False,
) -> Report:
    """Hold the population limit against samples that real ReLU networks truncate.

    Parameters
    ----------
    setting : TruncatedPopulation
        What to verify.
    start : float or PopulationStart, optional
        Threshold at time 0; by default a fifth of the population is behind it and it rises, or ahead and it falls.
    times : (T,) array, optional
        Times of the comparison, multiples of the step; by default five up to 5/mass.
    samples, step, replicas
        As in `simulate_truncated_population`.
    margin : float
        Largest discrepancy that counts as agreement beyond what N and step amount to, declared in advance: of the
        threshold relative to its distance from the target at each time, of the truncated fraction to its value, of the
        variance of the truncated coordinate to its largest value over time.
    fluctuation_margin : float
        The same for the variance of sqrt(N) theta_N, relative to its value at each time.
    false_alarm_rate : float
        Probability at most allowed for refuting any claim of a true theory, over all components together.
    rtol : float
        Tolerance of the solver.
    rng : int, SeedSequence or Generator
        Seed.
    derivation : Derivation, optional
        The theory to test; by default ``derive(setting)``.
    store, executor
        As in `simulate_truncated_population`.
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
        If a number can't be had; says which.

    Notes
    -----
    *Validity.* At finite N means over samples differ from the limit by c/N, and descent differs from the flow in first
    order of the step. The allowance for the one is |c| plus three standard errors, over N, from networks at N/4 and
    N/16; that for the other is the distance between descents of the same points at the step and its double, plus three
    standard errors. Neither knows the theory. After a complete collapse few samples have a point that is not truncated:
    means over such rare ones stay undecided, so compare before it.
    """
    chosen = np.divide(DEFAULT_TIMES, float(setting.mass)) if times is None else times
    first = default_start(setting) if start is None else start
    step = _step(setting) if step is None else step
    grid = check_verification(
        setting, first, chosen, samples, step, replicas, (margin, fluctuation_margin), false_alarm_rate
    )
    entropy, key = seed_of(rng)
    shelf = opened(store)

    report = staged(progress)
    theory = derive(setting) if derivation is None else derivation
    begin = first if isinstance(first, PopulationStart) else PopulationStart(setting, first, derivation=theory)
    solution = solve(setting, begin, refined(grid), rtol=rtol, derivation=theory, progress=report("solve"))

    def drawn(what: str, stream: int, count: int, size: float, runs: int) -> Sample:
        sample = simulate_truncated_population(
            setting,
            first,
            grid,
            samples=count,
            step=size,
            replicas=runs,
            rng=np.random.SeedSequence(entropy, spawn_key=(*key, stream)),
            store=shelf,
            executor=executor,
            progress=report(what),
        )
        return _with_fluctuation(sample, count)

    judged = drawn("simulate networks", _JUDGED, samples, step, replicas)
    sizes = (samples // _FRACTIONS[0], samples // _FRACTIONS[1])
    smaller = [
        drawn("measure c/N", stream, n, step, replicas) for stream, n in zip((_SMALLER, _SMALL), sizes, strict=True)
    ]
    fine, coarse = (drawn("measure the step", _STEPS, samples, size, _STEP_REPLICAS) for size in (step, 2 * step))
    allowance = _finite_size(smaller, sizes) / samples + _finite_step(fine, coarse)
    margins = _margins(setting, solution, grid, margin, fluctuation_margin)
    comparisons = [
        Comparison(
            claim=claim,
            theory=solution.data[name].sel(time=grid).values,
            theory_error=solution.errors[name].sel(time=grid).values,
            sample=judged.data[name].values,
            allowance=allowance[name].values,
            margin=margins[name],
            coordinates={"time": [float(t) for t in grid]},
            seed=entropy,
        )
        for name, claim in CLAIMS.items()
    ]
    return report_on(
        theory,
        solution,
        judged,
        comparisons,
        setting=_setting_text(setting, begin, samples, step, replicas, margin, fluctuation_margin),
        false_alarm_rate=false_alarm_rate,
        seed=entropy,
    )


def check_verification(
    setting: TruncatedPopulation,
    start: float | PopulationStart,
    times: ArrayLike,
    samples: int,
    step: float,
    replicas: int,
    margins: tuple[float, float],
    false_alarm_rate: float,
) -> Array:
    """Times (T,) of the comparison.

    Raises
    ------
    AssumptionError
        If an argument of `verify_truncated_population` is out of range or does not fit.
    """
    _threshold(setting, start)
    grid, counts = whole(times, step)
    if counts[0] == 0:
        raise argument_error("times", grid.tolist(), "begins at the start", "compare at times after 0")
    if (counts % 2).any():
        problem = f"is no multiple of {2 * step:g}, twice the step, which the error of the step is measured with"
        raise argument_error("times", grid.tolist(), problem, "use even numbers of steps")
    _whole_number("samples", samples, "draw at least 32 points")
    _whole_number("replicas", replicas, "run at least 8 networks")
    if samples < 2 * _FRACTIONS[0]:
        problem = f"is too small: c/N is measured at N/{_FRACTIONS[0]}"
        raise argument_error("samples", samples, problem, f"draw at least {2 * _FRACTIONS[0]} points")
    if replicas < 8:
        raise argument_error("replicas", replicas, "is too small", "a standard error needs at least 8 networks")
    for name, value in zip(("margin", "fluctuation_margin"), margins, strict=True):
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < 1:
            raise argument_error(name, value, "is out of range", "declare a relative margin between 0 and 1")
    if not isinstance(false_alarm_rate, Real) or not 0 < false_alarm_rate < 0.5:
        cure = "declare a probability between 0 and 0.5"
        raise argument_error("false_alarm_rate", false_alarm_rate, "is out of range", cure)
    return grid


def _with_fluctuation(sample: Sample, count: int) -> Sample:
    """The sample with N (theta_N - its mean)^2, unbiased: what N and step do to the mean is another claim's matter."""
    deviation = sample.data["threshold"] - sample.data["threshold"].mean("replica")
    square = count * sample.replicas / (sample.replicas - 1) * deviation**2
    return Sample(sample.setting, sample.data.assign(fluctuation_variance=square), sample.provenance)


def _finite_size(samples: list[Sample], sizes: tuple[int, int]) -> xr.Dataset:
    """Bound on |c| in the finite-N mean = limit + c/N."""
    lever = 1 / sizes[0] - 1 / sizes[1]
    slope = (samples[0].mean() - samples[1].mean()) / lever
    spread = (samples[0].standard_error() ** 2 + samples[1].standard_error() ** 2) ** 0.5 / lever
    return abs(slope) + 3 * spread


def _finite_step(fine: Sample, coarse: Sample) -> xr.Dataset:
    """Bound on the error of the finer step: an error of first order is the distance to twice the step."""
    distance = Sample(fine.setting, coarse.data - fine.data, {})
    return abs(distance.mean()) + 3 * distance.standard_error()


def _margins(
    setting: TruncatedPopulation, solution: Solution, grid: Array, margin: float, fluctuation_margin: float
) -> dict[str, Array]:
    """Margins (T,) by observable, from relative ones; see `verify_truncated_population`."""
    theory = {name: np.abs(solution.data[name].sel(time=grid).values) for name in CLAIMS}
    ahead = np.abs(solution.data["threshold"].sel(time=grid).values - float(setting.target))
    return {
        "threshold": margin * ahead,  # where zero lies has no meaning
        "truncated_fraction": margin * theory["truncated_fraction"],
        "within_class_variance": np.full(len(grid), margin * float(solution.data["within_class_variance"].max())),
        "fluctuation_variance": fluctuation_margin * theory["fluctuation_variance"],
    }


def _setting_text(
    setting: TruncatedPopulation,
    start: PopulationStart,
    samples: int,
    step: float,
    replicas: int,
    margin: float,
    fluctuation_margin: float,
) -> str:
    parts = [
        f"F(z) = {setting.distribution if isinstance(setting.distribution, str) else setting.cumulative}",
        f"target {float(setting.target):g}, mass {float(setting.mass):g}, threshold {start.threshold:g} at the start",
        f"{replicas} samples of N={samples}, descent with step {step:g}",
        f"declared margins {100 * margin:g} % and {100 * fluctuation_margin:g} % (fluctuation)",
    ]
    return ", ".join(parts)
