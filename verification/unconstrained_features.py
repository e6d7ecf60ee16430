"""Unconstrained features in the verification room: descents of classifier and features, and what is claimed of them.

The model itself is in `networks/unconstrained_features.py`. Nothing is random: a descent is run once a step size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..numerics.derive import derive
from ..numerics.features import CollapsedFeatures, ExtendedFeatures, Features
from ..numerics.provenance import provenance
from ..numerics.solve import solve
from ..theory.derivation import Derivation
from ..theory.errors import AccuracyError, VerificationError, argument_error
from ..theory.unconstrained_features import UnconstrainedFeatures
from .decide import Comparison
from .halving import (
    check_step,
    checked_descent,
    coordinates,
    follows,
    order_of_deviation,
    order_of_drift,
    steps_of,
    whole,
)
from .report import Report
from .simulate import Sample, opened, run_replicas, simulate
from .store import RunStore
from .verify import refined, report_on, staged, verify

if TYPE_CHECKING:
    import xarray as xr

    from .networks.unconstrained_features import ExtendedFeaturesRun, FeaturesRun

__all__ = [
    "CLAIMS",
    "check_verification",
    "default_features",
    "default_step",
    "equations_for",
    "frame",
    "simulate_unconstrained_features",
    "verify_unconstrained_features",
]

Array = NDArray[np.float64]
Variables = dict[str, tuple[tuple[str, ...], Array]]
Start = Features | ExtendedFeatures | CollapsedFeatures

CLAIMS = {
    "W": "the classifier W follows the flow",
    "W2": "the classifier W2 follows the flow",
    "W1": "the hidden layer W1 follows the flow",
    "H": "the features H follow the flow",
    "b": "the bias follows the flow",
    "alpha": "alpha follows the reduced flow",
    "eta": "eta follows the reduced flow",
    "zeta": "zeta follows the reduced flow",
    "p": "p = alpha eta follows the reduced flow",
    "loss": "the cost follows the flow",
    "imbalance": "the imbalance of layers and features follows the flow",
    "imbalance_weights": "the imbalance of the two layers follows the flow",
    "nc1": "NC1 of the features follows the flow",
    "nc2": "NC2 of the features follows the flow",
    "nc3": "NC3 of the features follows the flow",
}
"""What `verify` claims of each observable."""

_ORDER = "descent deviates from the flow in first order of the step"
_DRIFT = "the imbalances are conserved: they drift in first order of the step"
_ON_FRAME = "collapsed states stay collapsed"

# Times of a comparison that names none, in units of k/sqrt(n), on which a small start collapses.
_DEFAULT_TIMES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0)
# The default step times the rate N/k of the bias, the fastest at the start.
_SHARE = 0.05
_SPREAD = 0.3  # of the entries of the default start
_ROUNDING = 1e-9  # relative margin where only rounding takes a descent off collapsed states


def default_features(setting: UnconstrainedFeatures) -> Features | ExtendedFeatures:
    """A generic start of a fixed seed: independent entries N(0, 0.09), no bias.

    Parameters
    ----------
    setting : UnconstrainedFeatures
        Its sizes.

    Returns
    -------
    Features or ExtendedFeatures
        The latter for two layers.
    """
    rng = np.random.default_rng(7)
    C, d, N = setting.classes, setting.dimension, setting.classes * setting.per_class
    first = _SPREAD * rng.normal(size=(C, d))
    features = _SPREAD * rng.normal(size=(d, N))
    if setting.layers == 2:
        return ExtendedFeatures(first, _SPREAD * rng.normal(size=(d, d)), features)
    return Features(first, features)


def default_step(setting: UnconstrainedFeatures) -> float:
    """The largest of 1, 2, 5, 10, ... times a power of ten that is no larger than 0.05 k/N."""
    wanted = _SHARE * setting.normaliser / (setting.classes * setting.per_class)
    power = 10.0 ** math.floor(math.log10(wanted))
    return float(f"{max(m for m in (1, 2, 5) if m * power <= wanted) * power:.1g}")


# -- simulate ----------------------------------------------------------------------------------------------------------


@simulate.register
def simulate_unconstrained_features(
    setting: UnconstrainedFeatures,
    start: Start,
    times: ArrayLike,
    *,
    step: float | None = None,
    store: str | Path | RunStore | None = None,
    executor: Executor | None = None,
    progress: bool | Callable[[float], object] = False,
) -> Sample:
    """Descend the cost in the classifier and in all features.

    Parameters
    ----------
    setting : UnconstrainedFeatures
        Sizes, loss and decays.
    start : Features, ExtendedFeatures or CollapsedFeatures
        The parameters themselves, for two layers an `ExtendedFeatures`; or a collapsed state, which is put on a frame
        U, all three matrices then being descended.
    times : (T,) array
        Increasing multiples of the step at which the state is recorded.
    step : float, optional
        Size of a step; by default `default_step`. Time is step size x steps.
    store : path or RunStore, optional
        Folder of stored runs: a descent found there is not run again.
    executor : concurrent.futures.Executor, optional
        Where the descent runs; by default a thread.
    progress : bool or callable
        Whether to show a progress bar, or what to call with the fraction done.

    Returns
    -------
    Sample
        Of one replica, since nothing is random: ``loss`` (decay included), the parameters, ``imbalance`` and, where the
        class means differ, ``nc1`` to ``nc4``. From a collapsed start also ``alpha``, ``eta``, ``zeta``, ``p``,
        ``kappa``, and the distance ``off_frame`` from collapsed states.

    Raises
    ------
    AssumptionError
        If an argument is out of range or does not fit.
    AccuracyError
        If the descent diverges; says when.
    """
    size = default_step(setting) if step is None else step
    specification = _specification(setting, start)
    one = {**specification, "step": size, "times": whole(times, size)[0]}
    (run,) = run_replicas(_descent, [one], setting, opened(store), executor, progress)
    return Sample(setting, run.expand_dims("replica"), provenance(method="descent", step=repr(float(size))))


def frame(setting: UnconstrainedFeatures) -> Array:
    """A frame U (C, d): U U' = I - 11'/C for a simplex, else U U' = I."""
    C, d = setting.classes, setting.dimension
    gram = np.eye(C) - np.full((C, C), 1 / C) if setting.simplex else np.eye(C)
    values, vectors = np.linalg.eigh(gram)
    own = vectors[:, values > 0.5]
    return np.hstack([own, np.zeros((C, d - own.shape[1]))])


def _specification(setting: UnconstrainedFeatures, start: Any) -> dict[str, Any]:
    """What a descent is run from, but for its step and times."""
    kinds = (ExtendedFeatures,) if setting.layers == 2 else (Features, CollapsedFeatures)
    if not isinstance(start, kinds):
        problem = f"is no start for {setting.layers} layer{'s' if setting.layers > 1 else ''}"
        raise argument_error("start", start, problem, f"pass {' or '.join(kind.__name__ for kind in kinds)}")
    C, d, N = setting.classes, setting.dimension, setting.classes * setting.per_class
    if isinstance(start, CollapsedFeatures):
        U = frame(setting)
        H = float(start.eta) * np.repeat(U.T, setting.per_class, axis=1)
        state: dict[str, Any] = {"W": float(start.alpha) * U, "H": H, "b": np.full(C, float(start.zeta))}
    elif isinstance(start, ExtendedFeatures):
        state = {"W2": start.W2, "W1": start.W1, "H": start.H}
    else:
        state = {"W": start.W, "H": start.H, "b": start.b}
    wanted = {"W": (C, d), "W2": (C, d), "W1": (d, d), "H": (d, N), "b": (C,)}
    for name, value in state.items():
        if value.shape != wanted[name]:
            widths = f"C={C}, d={d}, N={N}"
            problem = f"has shape {value.shape}, but the setting has {widths}"
            raise argument_error(name, value.shape, problem, f"pass shape {wanted[name]}")
    if not setting.bias:
        state.pop("b", None)
    return {
        "chapter": "unconstrained_features",
        "loss": setting.loss,
        "scale": setting.normaliser,
        "per_class": setting.per_class,
        "decays": [float(setting.decay_weights), float(setting.decay_hidden), float(setting.decay_features)],
        "state": state,
        "collapsed": isinstance(start, CollapsedFeatures),
    }


def _descent(specification: Mapping[str, Any], setting: UnconstrainedFeatures) -> Variables:
    """One descent, from its specification alone (the setting only gives the frame)."""
    from .networks.unconstrained_features import descend_extended_features, descend_features

    given, state, step = specification, specification["state"], specification["step"]
    upper, hidden, features = given["decays"]
    common: dict[str, Any] = {"per_class": given["per_class"], "scale": float(given["scale"]), "step": step}
    common |= {"times": given["times"], "decay_features": features}
    run: FeaturesRun | ExtendedFeaturesRun
    try:
        if "W2" in state:
            run = descend_extended_features(**state, decay_classifier=upper, decay_hidden=hidden, **common)
        else:
            run = descend_features(**state, loss=given["loss"], decay_weights=upper, bias="b" in state, **common)
    except ValueError as error:
        raise VerificationError(f"the descent with step {step:g}: {error}") from error
    if run.diverged:
        problem = f"the descent with step {step:g} diverges at t={run.divergence_time:.6g}"
        raise AccuracyError(f"{problem}: take smaller steps, or stop earlier")
    return _observables(run, given, setting)


def _observables(
    run: FeaturesRun | ExtendedFeaturesRun, given: Mapping[str, Any], setting: UnconstrainedFeatures
) -> Variables:
    """Records as the theory names them."""
    found: Variables = {"loss": (("time",), run.cost)}
    dims = {"W": ("class", "i"), "W2": ("class", "i"), "W1": ("i", "j"), "H": ("i", "sample"), "b": ("class",)}
    for name in given["state"]:
        found[name] = (("time", *dims[name]), getattr(run, name))
    classifier, features = given["state"].keys() - {"H", "b"}, found["H"][1]
    grams = {name: np.swapaxes(found[name][1], 1, 2) @ found[name][1] for name in classifier}
    lower = "W1" if "W1" in grams else "W"
    found["imbalance"] = (("time", "i", "j"), grams[lower] - features @ np.swapaxes(features, 1, 2))
    if "W2" in grams:
        hidden = found["W1"][1]
        found["imbalance_weights"] = (("time", "i", "j"), grams["W2"] - hidden @ np.swapaxes(hidden, 1, 2))
    if given["collapsed"]:
        found |= _on_frame(found, setting)
    return found | _collapse(run)


def _on_frame(found: Variables, setting: UnconstrainedFeatures) -> Variables:
    """The three numbers of a collapsed state, and how far the state is from it."""
    U = frame(setting)
    directions = {"W": U, "H": np.repeat(U.T, setting.per_class, axis=1), "b": np.ones(setting.classes)}
    names = {"W": "alpha", "H": "eta", "b": "zeta"}
    numbers: Variables = {}
    off = np.zeros(len(found["W"][1]))
    for array, direction in directions.items():
        if array not in found:
            continue
        values = found[array][1]
        axes = tuple(range(1, values.ndim))
        along = (values * direction).sum(axis=axes) / (direction**2).sum()
        rest = values - along.reshape(-1, *[1] * direction.ndim) * direction
        numbers[names[array]] = (("time",), along)
        off += (rest**2).sum(axis=axes)
    alpha, eta = numbers["alpha"][1], numbers["eta"][1]
    numbers["p"] = (("time",), alpha * eta)
    numbers["kappa"] = (("time",), alpha**2 - setting.per_class * eta**2)
    numbers["off_frame"] = (("time",), np.sqrt(off))
    return numbers


def _collapse(run: FeaturesRun | ExtendedFeaturesRun) -> Variables:
    """NC1 to NC4; nothing where class means agree or the classifier vanishes at some time."""
    try:
        seen = [run.collapse(at) for at in range(len(run.times))]
    except ValueError:
        return {}
    return {name: (("time",), np.array([getattr(one, name) for one in seen])) for name in ("nc1", "nc2", "nc3", "nc4")}


# -- verify ------------------------------------------------------------------------------------------------------------


@verify.register
def verify_unconstrained_features(
    setting: UnconstrainedFeatures,
    start: Start | None = None,
    times: ArrayLike | None = None,
    *,
    step: float | None = None,
    halvings: int = 3,
    margin: float = 1e-3,
    false_alarm_rate: float = 1e-4,
    rtol: float = 1e-9,
    derivation: Derivation | None = None,
    store: str | Path | RunStore | None = None,
    executor: Executor | None = None,
    progress: bool | Callable[[str], Callable[[float], object]] = False,
) -> Report:
    """Hold the flow of classifier and features, or that of collapsed states, against descent at halved steps.

    Parameters
    ----------
    setting : UnconstrainedFeatures
        What to verify.
    start : Features, ExtendedFeatures or CollapsedFeatures, optional
        By default `default_features`. A collapsed start tests the reduced equations, against all matrices.
    times : (T,) array, optional
        Times of the comparison, multiples of the step; by default twelve up to 6 k/sqrt(n).
    step : float, optional
        The largest step; by default `default_step`.
    halvings : int
        How often the step is halved, at least once.
    margin : float
        Largest discrepancy that counts as agreement beyond what the step amounts to, declared in advance: of the cost
        relative to its value at each time, else to the largest entry over time.
    false_alarm_rate : float
        Kept for a common signature: without randomness no alarm is false.
    rtol : float
        Tolerance of the solver.
    derivation : Derivation, optional
        The theory to test; by default ``derive(setting)``.
    store, executor
        As in `simulate_unconstrained_features`.
    progress : bool or callable
        Whether to show progress bars; or a function that, given what is being done, returns a function of the fraction.

    Returns
    -------
    Report

    Raises
    ------
    AssumptionError
        If an argument is out of range.
    AccuracyError
        If a descent or the solution diverges; says when.

    Notes
    -----
    The claims, each decided exactly since nothing is random:

    - parameters, cost, imbalances and NC1 to NC3 of the finest descent follow the flow, to within `margin` beyond twice
      the error that the distances between successive descents show for an error of first order;
    - the root-mean-square deviation of the states is of first order in the step: the order fitted over all steps is 1
      within 0.15 and six standard errors of the fit, by its scatter. Left out with fewer than two halvings, and where
      the deviation is less than 100 times the solution's error;
    - without decay the imbalances are conserved: the order of their root-mean-square drift in the step is 1, likewise.
      Known from the descents alone; left out where they drift by rounding only;
    - from a collapsed start the state stays collapsed, to 1e-9 of its norm.

    *Validity.* What the step amounts to is measured from the descents alone; it bounds their distance to the flow while
    the error is of first order, which the fitted order shows.
    """
    # Everything is checked before the derivation, which takes its time.
    first, grid, size, specification = check_verification(
        setting, start, times, step, halvings, margin, false_alarm_rate
    )

    report = staged(progress)
    theory = derive(setting) if derivation is None else derivation
    tested = equations_for(theory, first)
    solution = solve(setting, first, refined(grid), rtol=rtol, derivation=tested, progress=report("solve"))
    steps = steps_of(size, halvings)
    specifications = [{**specification, "step": h, "times": grid} for h in steps]
    runs = run_replicas(_descent, specifications, setting, opened(store), executor, report("simulate networks"))

    comparisons = follows(
        solution, runs, CLAIMS, margin=margin, relative=("loss",), dimensionless=("nc1", "nc2", "nc3")
    )
    states = [array.binding for array in solution.system.states if array.binding in runs[-1]]
    comparisons += order_of_deviation(solution, runs, states, _ORDER)
    if not any(specification["decays"]):
        held = [name for name in ("imbalance", "imbalance_weights") if name in runs[-1]]
        begin = {name: _beginning(specification, setting, name) for name in held}
        # The imbalances are differences of such squares.
        scale = max(float((run[name] ** 2).max()) for run in runs for name in ("W", "W2", "W1", "H") if name in run)
        comparisons += order_of_drift(runs, begin, scale, _DRIFT)
    if specification["collapsed"]:
        comparisons.append(_stays(runs[-1]))
    sample = Sample(setting, runs[-1].expand_dims("replica"), provenance(method="descent", step=repr(steps[-1])))
    return report_on(
        theory,
        solution,
        sample,
        comparisons,
        setting=_setting_text(setting, steps, margin),
        false_alarm_rate=false_alarm_rate,
    )


def check_verification(
    setting: UnconstrainedFeatures,
    start: Start | None = None,
    times: ArrayLike | None = None,
    step: float | None = None,
    halvings: int = 3,
    margin: float = 1e-3,
    false_alarm_rate: float = 1e-4,
) -> tuple[Start, Array, float, dict[str, Any]]:
    """Start, times (T,) and step of the comparison, and what descents are run from.

    Raises
    ------
    AssumptionError
        If an argument of `verify_unconstrained_features` is out of range or does not fit.
    """
    first = default_features(setting) if start is None else start
    size = default_step(setting) if step is None else step
    check_step(size)
    grid, _ = whole(_default_times(setting, size) if times is None else times, size)
    checked_descent(margin, halvings, false_alarm_rate, grid)
    return first, grid, size, _specification(setting, first)


def equations_for(derivation: Derivation, start: Start) -> Derivation:
    """The derivation with the equations that a start needs: of collapsed states the last, else the first."""
    system = derivation.systems[-1] if isinstance(start, CollapsedFeatures) else derivation.systems[0]
    return replace(derivation, systems=(system,))


def _default_times(setting: UnconstrainedFeatures, step: float) -> Array:
    """Multiples of the step nearest to the default times."""
    unit = setting.normaliser / math.sqrt(setting.per_class)
    counts: Array = np.unique(np.maximum(np.rint(np.array(_DEFAULT_TIMES) * unit / step), 1))
    return counts * step


def _beginning(specification: Mapping[str, Any], setting: UnconstrainedFeatures, name: str) -> Array:
    """An observable of the start: a descent that records it and makes no step."""
    start = _descent({**specification, "step": 1.0, "times": np.zeros(1)}, setting)
    begin: Array = start[name][1][0]
    return begin


def _stays(run: xr.Dataset) -> Comparison:
    """The distance from collapsed states, against the norm of what is on them."""
    off = run["off_frame"]
    size = float(np.sqrt(sum(float((run[name] ** 2).max("time").sum()) for name in ("W", "H"))))
    return Comparison(
        claim=_ON_FRAME,
        theory=np.zeros(off.shape),
        sample=off.values[None],
        margin=_ROUNDING * size,
        coordinates=coordinates(off),
        deterministic=True,
    )


def _setting_text(setting: UnconstrainedFeatures, steps: Sequence[float], margin: float) -> str:
    parts = [
        f"{setting.classes} classes of {setting.per_class} samples, d={setting.dimension}",
        "squared loss" if setting.loss == "mse" else "cross-entropy",
        f"{'with' if setting.bias else 'without'} bias",
        f"{setting.layers} linear layer{'s' if setting.layers > 1 else ''}",
        f"decays {', '.join(f'{float(getattr(setting, name)):g}' for name in ('decay_weights', 'decay_features'))}",
        f"loss over {setting.normaliser}",
        f"descent with steps {', '.join(f'{h:g}' for h in steps)}",
        f"declared margin {100 * margin:g} %",
    ]
    return ", ".join(parts)
