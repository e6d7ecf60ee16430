"""Truncation in the verification room: descents of the real ReLU network, and what is claimed of them.

The network itself is in `networks/truncation.py`; here a setting is turned into its arguments and its records into the
observables of the theory. Nothing is random: a descent is run once a step size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..numerics.derive import derive
from ..numerics.indexed_values import IndexedValues, shape_of
from ..numerics.piecewise_flow import bound_values
from ..numerics.provenance import provenance
from ..numerics.solution import Solution
from ..numerics.solve import solve
from ..theory.derivation import Derivation
from ..theory.errors import AccuracyError, VerificationError, argument_error
from ..theory.systems import IndexSum, PiecewiseFlow
from ..theory.truncation import Truncation
from ..theory.truncation.entries import Y
from .decide import Comparison
from .halving import check_step, checked_descent, coordinates, follows, order_of_deviation, steps_of, whole
from .report import Report
from .simulate import Sample, opened, run_replicas, simulate
from .store import RunStore
from .verify import refined, report_on, staged, verify

if TYPE_CHECKING:
    import xarray as xr

    from .networks.relu_network import LabelledData, ReLUNetwork
    from .networks.truncation import TruncationRun

__all__ = [
    "CLAIMS",
    "check_verification",
    "default_start",
    "default_truncation",
    "simulate_truncation",
    "verify_truncation",
]

Array = NDArray[np.float64]
Variables = dict[str, tuple[tuple[str, ...], Array]]

DEFAULT_TIMES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0)
"""Times of a comparison that names none, in units of 1/(sum of the sample weights): the thresholds sweep the data."""

CLAIMS = {
    "threshold": "thresholds follow the flow",
    "bias": "input-space biases follow the flow",
    "rotation": "rotations follow the flow",
    "output_weights": "output weights follow the flow",
    "output_bias": "output biases follow the flow",
    "loss": "the cost follows the flow",
    "nc1": "NC1 of the truncated data follows the flow",
    "nc2": "NC2 of the truncated data follows the flow",
    "nc3": "NC3 of the truncated data follows the flow",
}
"""What `verify` claims of each observable along the path."""

COUNTED = {
    "truncated_mass": "the truncated mass at a state is the network's",
    "class_mass": "the truncated mass of each class at a state is the network's",
    "nc4": "NC4 at a state is the network's",
}
"""What it claims of those that count samples, which jump, at the states of the flow."""

_ORDER = "descent deviates from the flow in first order of the step"
_VELOCITY = "in one step thresholds move with the flow's velocity at the network's state"
_RATE = "the rate is the truncated mass: the velocity is the pull of what the network truncates"
_DIRECTION = "thresholds truncate or release as the flow says"
_PROGRESSIVE = "truncation is progressive: no unit ever releases a sample"
_SEPARATED = "truncations are cluster-separated: no foreign sample is truncated"

_QUANTILE = 0.1  # of each coordinate, at which thresholds start: they cut the data, so that they move
_NUDGE = 1e-12  # relative size of what decides on which side of a threshold a sample lies
_ROUNDING = 1e-9  # relative margin where network and theory differ by rounding alone
_DENSE = 40  # further times of a solution, whose observables each go over all samples
_EPS = float(np.finfo(np.float64).eps)


def default_truncation() -> Truncation:
    """The setting that `hermiton verify truncation` takes: 600 points in three Gaussian clusters, targets ahead.

    Returns
    -------
    Truncation
        d = 3, a rotation other than the identity, C = 3; every threshold sweeps the data as the flow goes on.
    """
    rng = np.random.default_rng(20250113)
    count, size = 600, 3
    centres = 1.2 * rng.normal(size=(3, size))
    labels = np.arange(count) % 3
    points = centres[labels] + rng.normal(size=(count, size))
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
    targets = centres + 2.5 * rotation.sum(axis=0) + 0.5 * rng.normal(size=(3, size))
    return Truncation(points, labels, targets, rotation=rotation)


def default_start(setting: Truncation) -> dict[str, Array]:
    """A generic start: in each layer thresholds at the 10 % quantile of each coordinate.

    Parameters
    ----------
    setting : Truncation
        Whose data are cut; where it asserts separation, in each layer those of the class that the layer truncates.

    Returns
    -------
    dict
        ``thresholds``, shape (d,) or (L, d).
    """
    points, rotations = np.asarray(setting.points, dtype=np.float64), _rotations(setting)
    labels = np.asarray(setting.labels)
    chosen = [np.full(len(labels), True)] * len(rotations)
    if setting.truncates is not None:
        chosen = [labels == label for label in setting.truncates]
    for label, members in zip(setting.truncates or (), chosen, strict=False):
        if not members.any():
            raise argument_error("truncates", label, "is a class without samples", "name the start yourself")
    start = [np.quantile(points[own] @ R.T, _QUANTILE, axis=0) for own, R in zip(chosen, rotations, strict=True)]
    return {"thresholds": np.stack(start) if len(start) > 1 else start[0]}


# -- simulate ----------------------------------------------------------------------------------------------------------


@simulate.register
def simulate_truncation(
    setting: Truncation,
    start: Any,
    times: ArrayLike,
    *,
    step: float = 0.05,
    coordinates: Literal["cumulative", "ordinary"] = "cumulative",
    scales: ArrayLike | None = None,
    store: str | Path | RunStore | None = None,
    executor: Executor | None = None,
    progress: bool | Callable[[float], object] = False,
) -> Sample:
    """Descend the cost on the real ReLU network, the whole batch at once.

    Parameters
    ----------
    setting : Truncation
        Data, cost, depth and what moves.
    start : array_like, mapping or object
        Thresholds, shape (d,) or (L, d); or a mapping or an object with ``thresholds`` or ``biases`` of that shape.
    times : (T,) array
        Increasing multiples of the step at which the state is recorded.
    step : float
        Size of a step. Time is step size x steps.
    coordinates : {"cumulative", "ordinary"}
        Whether the input-space biases beta_l move at fixed cumulative weights, as in the theory, or the ordinary biases
        b_l at fixed W_l.
    scales : array_like, shape (d,) or (L, d), optional
        Positive diagonals D_l of the cumulative weights W^(l) = D_l R_l, by default 1. They don't change the flow of
        the biases.
    store : path or RunStore, optional
        Folder of stored runs: a descent found there is not run again.
    executor : concurrent.futures.Executor, optional
        Where the descent runs; by default a thread.
    progress : bool or callable
        Whether to show a progress bar, or what to call with the fraction done.

    Returns
    -------
    Sample
        Of one replica, since nothing is random: ``threshold``, ``bias``, ``loss``, ``truncated_mass``, ``class_mass``,
        what moves of ``rotation``, ``output_weights``, ``output_bias``, and for one output a class ``nc1`` to ``nc4``
        of the truncated data; with several layers along a dimension ``layer``.

    Raises
    ------
    AssumptionError
        If an argument is out of range or does not fit.
    AccuracyError
        If the descent diverges; says when.
    """
    specification = _specification(setting, start, coordinates, scales)
    (run,) = run_replicas(
        _descent,
        [{**specification, "step": step, "times": whole(times, step)[0]}],
        setting,
        opened(store),
        executor,
        progress,
    )
    data = run.expand_dims("replica")
    return Sample(setting, data, provenance(method=f"descent, {coordinates} coordinates", step=repr(float(step))))


def _rotations(setting: Truncation) -> Array:
    rotations = np.asarray(setting.rotation, dtype=np.float64)
    return rotations[None] if rotations.ndim == 2 else rotations


def _biases(setting: Truncation, start: Any) -> Array:
    """Input-space biases (L, d) of a start."""
    sizes = setting.sizes
    shape = (sizes["d"],) if sizes["L"] == 1 else (sizes["L"], sizes["d"])

    def found(name: str) -> Any:
        return start.get(name) if isinstance(start, Mapping) else getattr(start, name, None)

    given = [name for name in ("thresholds", "biases") if found(name) is not None]
    if len(given) > 1 or (not given and isinstance(start, Mapping)):
        problem = f"gives {' and '.join(given)}" if given else "gives neither thresholds nor biases"
        raise argument_error("start", start, problem, "give one of thresholds, biases")
    name = given[0] if given else "start"
    try:
        value = np.asarray(found(name) if given else start, dtype=np.float64)
    except (TypeError, ValueError):
        raise argument_error(name, start, "is not an array of numbers", f"pass shape {shape}") from None
    if value.shape != shape:
        raise argument_error(name, value.shape, "is another shape than the setting has", f"pass shape {shape}")
    if not np.isfinite(value).all():
        raise argument_error(name, start, "has NaN or an infinity", "use finite numbers")
    value = value.reshape(sizes["L"], sizes["d"])
    return value if name == "biases" else _biases_of(value, _rotations(setting))


def _biases_of(thresholds: Array, rotations: Array) -> Array:
    along: Array = np.einsum("ljk,lj->lk", rotations, thresholds)
    return -along


def _scales(setting: Truncation, scales: ArrayLike | None) -> Array:
    shape = (setting.sizes["L"], setting.sizes["d"])
    try:
        value = np.broadcast_to(np.asarray(1.0 if scales is None else scales, dtype=np.float64), shape)
    except (TypeError, ValueError):
        problem = "are no numbers of a shape that fits"
        raise argument_error("scales", scales, problem, f"pass shape {shape[1:]} or {shape}") from None
    if not (np.isfinite(value) & (value > 0)).all():
        raise argument_error("scales", scales, "are not all positive", "pass the diagonals of W = D R")
    return np.array(value)


def _specification(setting: Truncation, start: Any, coordinates: str, scales: ArrayLike | None) -> dict[str, Any]:
    """What a descent is run from, but for its step and times."""
    if coordinates not in ("cumulative", "ordinary"):
        raise argument_error("coordinates", coordinates, "is unknown", "choose 'cumulative' or 'ordinary'")
    if coordinates == "ordinary" and "rotation" in setting.moving:
        problem = "can't keep the weights adapted while they move"
        raise argument_error("coordinates", coordinates, problem, "use cumulative coordinates, or keep rotations fixed")
    count = setting.sizes["N"]
    weights = setting.weights if hasattr(setting.weights, "__len__") else np.full(count, float(setting.weights))
    return {
        "chapter": "truncation",
        "points": np.asarray(setting.points, dtype=np.float64),
        "labels": np.asarray(setting.labels, dtype=np.int64),
        "targets": np.asarray(setting.targets, dtype=np.float64),
        "weights": np.asarray(weights, dtype=np.float64),
        "rotation": _rotations(setting),
        "scales": _scales(setting, scales),
        "output_weights": np.asarray(setting.output_weights, dtype=np.float64),
        "output_bias": np.asarray(setting.output_bias, dtype=np.float64),
        "cost": setting.cost,
        "moving": list(setting.moving),
        "biases": _biases(setting, start),
        "coordinates": coordinates,
    }


def _descent(specification: Mapping[str, Any], setting: Truncation) -> Variables:
    """One descent, from its specification alone."""
    from .networks.truncation import descend_cumulative, descend_ordinary

    given = specification
    step = given["step"]
    try:
        network, data = _network(given), _data(given)
        common: dict[str, Any] = {"cost": given["cost"], "step": step, "times": given["times"]}
        common["move_output"] = "output" in given["moving"]
        if given["coordinates"] == "cumulative":
            run = descend_cumulative(network, data, move_rotation="rotation" in given["moving"], **common)
        else:
            run = descend_ordinary(network, data, **common)
    except ValueError as error:
        raise VerificationError(f"the descent with step {step:g}: {error}") from error
    if run.diverged:
        problem = f"the descent with step {step:g} diverges at t={run.divergence_time:.6g}"
        raise AccuracyError(f"{problem}: take smaller steps, or stop earlier")
    return _observables(run, data, given["moving"])


def _data(given: Mapping[str, Any]) -> LabelledData:
    from .networks.relu_network import LabelledData

    return LabelledData(given["points"], given["labels"], given["targets"], given["weights"])


def _network(given: Mapping[str, Any], **state: Array) -> ReLUNetwork:
    """The network of a specification, in its start or another state."""
    from .networks.relu_network import ReLUNetwork

    now = {name: state.get(name, given[name]) for name in ("rotation", "biases", "output_weights", "output_bias")}
    weights = [*(given["scales"][:, :, None] * now["rotation"]), now["output_weights"]]
    return ReLUNetwork.from_cumulative(weights, now["biases"], now["output_bias"])


def _observables(run: TruncationRun, data: LabelledData, moving: Sequence[str]) -> Variables:
    """Records of a network as the theory names them."""
    rotations = run.hidden_weights / np.linalg.norm(run.hidden_weights, axis=-1, keepdims=True)
    thresholds = -np.einsum("tljk,tlk->tlj", rotations, run.input_biases)
    layered: Variables = {
        "threshold": (("coordinate",), thresholds),
        "bias": (("component",), run.input_biases),
        "truncated_mass": (("coordinate",), run.truncated.sum(axis=2)),
        "class_mass": (("class", "coordinate"), run.truncated),
    }
    if "rotation" in moving:
        layered["rotation"] = (("coordinate", "component"), rotations)
    single = run.hidden_weights.shape[1] == 1
    found: Variables = {"loss": (("time",), run.cost)}
    for name, (dims, values) in layered.items():
        found[name] = (("time", *dims), values[:, 0]) if single else (("time", "layer", *dims), values)
    if "output" in moving:
        found["output_weights"] = (("time", "output", "component"), run.output_weights)
        found["output_bias"] = (("time", "output"), run.output_biases)
    return found | _collapse(run, data)


def _collapse(run: TruncationRun, data: LabelledData) -> Variables:
    """NC1 to NC4 of the truncated data; nothing where there are none."""
    from .networks.neural_collapse import neural_collapse

    classes = len(data.targets)
    if classes < 2 or data.targets.shape[1] != classes or not data.class_weights.all():
        return {}
    try:
        seen = [neural_collapse(run.network(at), data, "input space") for at in range(len(run.times))]
    except ValueError:  # at some time all class means agree: the metrics are not defined on this path
        return {}
    return {name: (("time",), np.array([getattr(one, name) for one in seen])) for name in ("nc1", "nc2", "nc3", "nc4")}


# -- verify ------------------------------------------------------------------------------------------------------------


@verify.register
def verify_truncation(
    setting: Truncation,
    start: Any = None,
    times: ArrayLike | None = None,
    *,
    step: float = 0.05,
    halvings: int = 3,
    margin: float = 1e-3,
    false_alarm_rate: float = 1e-4,
    progressive: bool = False,
    scales: ArrayLike | None = None,
    derivation: Derivation | None = None,
    store: str | Path | RunStore | None = None,
    executor: Executor | None = None,
    progress: bool | Callable[[str], Callable[[float], object]] = False,
) -> Report:
    """Hold the truncation flow against gradient descent on the real ReLU network, at halved steps.

    Parameters
    ----------
    setting : Truncation
        What to verify.
    start : array_like, mapping or object, optional
        As in `simulate_truncation`; by default thresholds at the 10 % quantile of each coordinate.
    times : (T,) array, optional
        Times of the comparison, multiples of the step; by default twelve up to 6 over the total sample weight.
    step : float
        The largest step; the others are its halves, quarters, ...
    halvings : int
        How often the step is halved, at least once.
    margin : float
        Largest discrepancy that counts as agreement beyond what the step amounts to, declared in advance: of the cost
        relative to its value at each time, else to the largest entry over time.
    false_alarm_rate : float
        Kept for a common signature: without randomness no alarm is false.
    progressive : bool
        Claim literally too that truncation is progressive. Where the flow releases samples that is refuted, with the
        coordinate and the time: a finding.
    scales : array_like, optional
        As in `simulate_truncation`.
    derivation : Derivation, optional
        The theory to test; by default ``derive(setting)``.
    store, executor
        As in `simulate_truncation`.
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
        If a descent diverges; says when.

    Notes
    -----
    The claims, each decided exactly since nothing is random:

    - thresholds, biases, whatever else moves, the cost and NC1 to NC3 of the finest descent follow the flow, to within
      `margin` beyond twice the error that the distances between successive descents show for an error of first order;
    - the root-mean-square deviation of states is of first order in the step: the order fitted over all steps is 1
      within 0.15 and six standard errors of the fit, by its scatter. Left out with fewer than two halvings, and where
      the deviation is less than 100 times the solution's error;
    - truncated masses and NC4, which jump, are those of a network put into the states of the flow; samples nearer to a
      threshold than 1e-12 or its error may count on either side;
    - where thresholds decouple: the velocity over one of the largest steps is that of the flow at the network's state,
      and the pull of the masses that the network itself truncates, both to 1e-9 of the largest velocity;
    - every threshold moves forwards (truncating) or back (releasing) as the flow says;
    - where the setting asserts separation: no sample of a foreign class is truncated.

    *Validity.* What the step amounts to is measured from the descents alone; it bounds their distance to the flow while
    the error is of first order, which the fitted order shows.
    """
    # Everything is checked before the derivation, which takes its time.
    first, grid, specification = check_verification(
        setting, start, times, step, halvings, margin, false_alarm_rate, scales
    )
    counts = whole(grid, step)[1]

    report = staged(progress)
    theory = derive(setting) if derivation is None else derivation
    solution = solve(setting, first, refined(grid, _DENSE), derivation=theory, progress=report("solve"))
    pairs = np.unique(np.concatenate([counts, counts + 1]))
    steps = steps_of(step, halvings)
    specifications = [{**specification, "step": h, "times": grid} for h in steps]
    stepped = {**specification, "step": step, "times": pairs * step}
    stepped["times"][np.searchsorted(pairs, counts)] = grid
    runs = run_replicas(
        _descent, [*specifications[1:], stepped], setting, opened(store), executor, report("simulate networks")
    )
    before, after = (runs[-1].isel(time=np.searchsorted(pairs, at)) for at in (counts, counts + 1))
    runs = [before, *runs[:-1]]

    comparisons = follows(
        solution, runs, CLAIMS, margin=margin, relative=("loss",), dimensionless=("nc1", "nc2", "nc3")
    )
    states = [array.binding for array in solution.system.states if array.binding in runs[-1]]
    comparisons += order_of_deviation(solution, runs, list(dict.fromkeys(states)), _ORDER)
    comparisons += _counted(solution, specification, grid)
    if isinstance(solution.system, PiecewiseFlow):
        comparisons += _velocities(theory, solution, setting, before, after, step)
        comparisons += _directions(solution, runs, grid)
    if progressive:
        comparisons.append(_never_falls(runs[-1]))
    if setting.truncates is not None:
        comparisons.append(_foreign(setting.truncates, runs[-1]))
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
    setting: Truncation,
    start: Any = None,
    times: ArrayLike | None = None,
    step: float = 0.05,
    halvings: int = 3,
    margin: float = 1e-3,
    false_alarm_rate: float = 1e-4,
    scales: ArrayLike | None = None,
) -> tuple[Any, Array, dict[str, Any]]:
    """Start and times (T,) of the comparison, and what descents are run from.

    Raises
    ------
    AssumptionError
        If an argument of `verify_truncation` is out of range or does not fit.
    """
    named = start is None or isinstance(start, Mapping) or hasattr(start, "thresholds") or hasattr(start, "biases")
    first = default_start(setting) if start is None else start if named else {"thresholds": start}
    check_step(step)
    grid, _ = whole(_default_times(setting, step) if times is None else times, step)
    checked_descent(margin, halvings, false_alarm_rate, grid)
    return first, grid, _specification(setting, first, "cumulative", scales)


def _default_times(setting: Truncation, step: float) -> Array:
    """Multiples of the step nearest to the default times."""
    weights = setting.weights
    total = float(np.sum(np.asarray(weights, dtype=np.float64)))
    if not hasattr(weights, "__len__"):
        total *= setting.sizes["N"]
    counts: Array = np.unique(np.maximum(np.rint(np.array(DEFAULT_TIMES) / total / step), 1))
    return counts * step


def _state_at(solution: Solution, specification: Mapping[str, Any], at: int | float, nudge: float) -> dict[str, Array]:
    """The flow's state as arguments of a network, its thresholds moved by their error and rounding, `nudge` times."""
    data, errors = solution.data.sel(time=at), solution.errors.sel(time=at)
    shape = specification["biases"].shape
    state: dict[str, Array] = {}
    for name in ("rotation", "output_weights", "output_bias"):
        if name in data:
            state[name] = data[name].values.reshape(specification[name].shape)
    rotations = state.get("rotation", specification["rotation"])
    if "threshold" in data:
        thresholds, error = data["threshold"].values.reshape(shape), errors["threshold"].values.reshape(shape)
    else:
        biases, error = data["bias"].values.reshape(shape), errors["bias"].values.reshape(shape)
        thresholds = -np.einsum("ljk,lk->lj", rotations, biases)
        error = np.broadcast_to(np.linalg.norm(error, axis=-1, keepdims=True), shape)
    reach = float(np.abs(specification["points"]).max())
    thresholds = thresholds + nudge * (error + _NUDGE * (reach + np.abs(thresholds)))
    return {**state, "biases": _biases_of(thresholds, rotations)}


def _counted(solution: Solution, specification: Mapping[str, Any], grid: Array) -> list[Comparison]:
    """Observables that count samples, of networks put into the states of the flow."""
    from .networks.truncation import descend_cumulative

    names = [name for name in COUNTED if name in solution.data]
    data = _data(specification)
    seen: list[list[Variables]] = []
    for nudge in (0.0, 1.0, -1.0):
        networks = [_network(specification, **_state_at(solution, specification, t, nudge)) for t in grid]
        # A descent that records its start and makes no step.
        runs = [descend_cumulative(one, data, cost=specification["cost"], step=1.0, times=[0.0]) for one in networks]
        seen.append([_observables(run, data, ()) for run in runs])
    comparisons = []
    for name in names:
        if not all(name in found for run in seen for found in run):
            continue
        exact, *nudged = (np.stack([found[name][1][0] for found in run]) for run in seen)
        theory = solution.data[name].sel(time=grid)
        comparisons.append(
            Comparison(
                claim=COUNTED[name],
                theory=theory.values,
                theory_error=solution.errors[name].sel(time=grid).values,
                sample=exact.reshape(theory.shape)[None],
                allowance=np.max([np.abs(one - exact) for one in nudged], axis=0).reshape(theory.shape),
                margin=_ROUNDING * max(float(np.abs(theory).max()), _EPS),
                coordinates=coordinates(theory),
                deterministic=True,
            )
        )
    return comparisons


def _velocities(
    theory: Derivation, solution: Solution, setting: Truncation, before: xr.Dataset, after: xr.Dataset, step: float
) -> list[Comparison]:
    """What a step of the network does, against the equation and against its own truncated masses."""
    system = solution.system
    assert isinstance(system, PiecewiseFlow)
    thresholds = before["threshold"]
    velocity = (after["threshold"].values - thresholds.values) / step
    values, sizes = bound_values(system, setting), setting.sizes
    state, (equation,) = system.states[0], system.equations
    flow = np.stack(
        [
            IndexedValues({**values.arrays, state.name: at.reshape(shape_of(state, sizes))}, values.extents)
            .defined(equation, sizes)
            .reshape(at.shape)
            for at in thresholds.values
        ]
    )
    claims = {_VELOCITY: flow}
    pull = next((s.rhs for s in theory.statements if s.key == "rate_classes"), None)
    if pull is not None:
        claims[_RATE] = _pull_of_masses(pull, values.arrays[Y.name], setting, before)
    rounding = 8 * _EPS * float(np.abs(thresholds).max()) / step
    largest = float(np.abs(velocity).max())
    return [
        Comparison(
            claim=claim,
            theory=rates,
            sample=velocity[None],
            allowance=rounding,
            margin=_ROUNDING * largest,
            coordinates=coordinates(thresholds),
            deterministic=True,
        )
        for claim, rates in claims.items()
    ]


def _pull_of_masses(pull: Any, labels: Array, setting: Truncation, run: xr.Dataset) -> Array:
    """The right-hand side by classes, (B3), with the network's own masses in the place of its sum over samples.

    `labels` are those of the classes, (C, d), in the space of the inputs.
    """
    import sympy as sp

    from ..theory.systems import Array as Entries
    from ..theory.truncation.entries import CLASS, COORDINATE, THETA, C, d

    masses = Entries("class_mass", (CLASS, COORDINATE))
    (j,) = {entry.indices[0] for entry in pull.atoms(sp.Indexed) if entry.base.label == THETA[0].base.label}
    sums = [part for part in pull.atoms(IndexSum) if part.has(sp.KroneckerDelta) and not part.body.has(IndexSum)]
    by_mass = pull.xreplace({part: masses[pull.atoms(IndexSum).difference(sums).pop().index, j] for part in sums})
    rotations = _rotations(setting)
    extents = {C: setting.sizes["C"], d: setting.sizes["d"]}
    shape = (len(run["time"]), len(rotations))
    theta = run["threshold"].values.reshape(*shape, -1)
    mass = run["class_mass"].values.reshape(*shape, extents[C], extents[d])
    result = np.empty_like(theta)
    for time, layer in np.ndindex(*shape):
        arrays = {
            "class_mass": mass[time, layer],
            THETA.name: theta[time, layer],
            "T": labels @ rotations[layer].T,
        }
        result[time, layer] = IndexedValues(arrays, extents)(by_mass, (j,), {})
    return result.reshape(run["threshold"].shape)


def _directions(solution: Solution, runs: Sequence[xr.Dataset], grid: Array) -> list[Comparison]:
    """Signs of how far thresholds have moved, where the flow says more than the step amounts to."""
    path, error = (data["threshold"].sel(time=[0.0, *grid]).values for data in (solution.data, solution.errors))
    moved = path[1:] - path[:1]
    apart = 2 * np.abs(runs[-1]["threshold"].values - runs[-2]["threshold"].values)
    clear = np.abs(moved) > 2 * (apart + error[1:])
    if not clear.any():
        return []
    thresholds = runs[-1]["threshold"]
    return [
        Comparison(
            claim=_DIRECTION,
            theory=np.sign(moved),
            sample=np.sign(thresholds.values - path[:1])[None],
            margin=0.0,
            where=clear,
            coordinates=coordinates(thresholds),
            deterministic=True,
        )
    ]


def _never_falls(run: xr.Dataset) -> Comparison:
    """By how much the truncated mass falls from one recorded time to the next."""
    mass = run["truncated_mass"]
    later = mass.isel(time=slice(1, None))
    fall = np.maximum(mass.values[:-1] - mass.values[1:], 0.0)
    return Comparison(
        claim=_PROGRESSIVE,
        theory=np.zeros(fall.shape),
        sample=fall[None],
        margin=_ROUNDING * float(mass.max()),
        coordinates=coordinates(later),
        deterministic=True,
    )


def _foreign(truncates: Sequence[int], run: xr.Dataset) -> Comparison:
    """The weight of samples that a layer truncates of classes other than its own."""
    mass = run["class_mass"] if "layer" in run["class_mass"].dims else run["class_mass"].expand_dims("layer", axis=1)
    own = np.asarray(truncates)[:, None] == np.arange(mass.sizes["class"])
    return Comparison(
        claim=_SEPARATED,
        theory=np.zeros(mass.shape),
        sample=mass.values[None],
        margin=0.0,
        where=~own[None, :, :, None],
        coordinates=coordinates(mass),
        deterministic=True,
    )


def _setting_text(setting: Truncation, steps: Sequence[float], margin: float) -> str:
    sizes = setting.sizes
    parts = [
        f"{sizes['N']} samples in {sizes['C']} classes, d={sizes['d']}",
        f"{sizes['L']} hidden ReLU layer{'s' if sizes['L'] > 1 else ''}",
        f"{setting.cost} cost",
    ]
    if setting.truncates is not None:
        parts.append(f"layers truncate classes {', '.join(map(str, setting.truncates))}")
    if setting.moving:
        parts.append(f"moving: biases, {', '.join(setting.moving)}")
    parts.append(f"descent with steps {', '.join(f'{h:g}' for h in steps)}")
    parts.append(f"declared margin {100 * margin:g} %")
    return ", ".join(parts)
