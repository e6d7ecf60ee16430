"""Flows of data that arrive in chunks, in bins."""

import tracemalloc
from functools import partial

import numpy as np
import pytest

from hermiton.numerics.binned_events import BinnedBreakpoints
from hermiton.numerics.events import solve_by_events
from hermiton.numerics.piecewise_flow import solve_flow
from hermiton.numerics.stream import solve_stream
from hermiton.theory.derivation import Derivation
from hermiton.theory.errors import AssumptionError
from hermiton.theory.truncation import Truncation, truncation_flow
from hermiton.theory.truncation.separated import separated_flow
from hermiton.theory.truncation.statements import RATE

TIMES = np.linspace(0, 6, 13)
TURN = np.array([[0.6, 0.8], [-0.8, 0.6]])
TARGETS = np.array([[2.0, 1.5], [1.0, 3.0]])
make = partial(Truncation, targets=TARGETS, rotation=TURN)


@pytest.fixture(autouse=True)
def _without_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system alone: its proof takes far longer than any stream here."""
    flows = {False: truncation_flow(RATE), True: separated_flow()}

    def unproved(setting: Truncation) -> Derivation:
        return Derivation("flow", setting, (), (flows[setting.truncates is not None],), ())

    monkeypatch.setattr("hermiton.numerics.stream.derive", unproved)


def data(count: int = 20_000, seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 2)), rng.integers(2, size=count), rng.uniform(0.5, 1.5, size=count) / count


def pieces(*arrays, number: int = 6):
    """Chunks of unequal lengths."""
    cuts = np.sort(np.random.default_rng(1).integers(1, len(arrays[0]), size=number - 1))
    return zip(*(np.split(array, cuts) for array in arrays), strict=True)


@pytest.mark.parametrize("weighted", [False, True])
def test_errors_bound_the_distance_from_the_exact_flow(weighted: bool) -> None:
    points, labels, weights = data()
    arrays = (points, labels, weights) if weighted else (points, labels)
    start = {"biases": -TURN.T @ [-0.5, -1.0]}
    setting = make(points=points, labels=labels, weights=weights if weighted else None)
    exact = solve_flow(truncation_flow(RATE), setting, start, TIMES)
    deviations = []
    for bins in (256, 1024, 4096):
        binned = solve_stream(make, pieces(*arrays), start, TIMES, bins=bins)
        for name in ("threshold", "bias"):
            assert binned.data[name].dims == exact.data[name].dims
            distance = np.abs(binned.data[name].values - exact.data[name].values)
            assert (distance <= binned.errors[name].values + 1e-13).all()
        deviations.append(float(np.abs(binned.data.threshold.values - exact.data.threshold.values).max()))
    assert deviations[-1] < 1e-3
    assert set(binned.data.data_vars) == {"threshold", "bias"}  # all else would need the samples again
    assert binned.provenance["samples"] == "20000"


def test_the_order_of_chunks_is_nothing_beyond_the_bins() -> None:
    points, labels, _ = data()
    chunks = list(pieces(points, labels))
    one, other = (solve_stream(make, c, [-0.5, -1.0], TIMES) for c in (chunks, chunks[::-1]))
    distance = np.abs(one.data.threshold - other.data.threshold)
    assert (distance <= one.errors.threshold + other.errors.threshold).all()


def test_memory_is_constant() -> None:
    def chunks(number: int):
        for seed in range(number):
            yield data(5_000, seed)[:2]

    peaks = []
    for number in (3, 3, 30):  # the first compiles
        tracemalloc.start()
        solve_stream(make, chunks(number), [-0.5, -1.0], TIMES)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.5 * peaks[1]


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([], "chunks=.* is empty"),
        ([([[0.0, 1.0]],)], "is no chunk"),
        ([([[0.0, 1.0]], [0]), ([[0.0, 1.0]], [0], [1.0])], "make all chunks alike"),
        ([([[0.0, 1.0]], [2])], "labels=2 names no class"),
        ([([[0.0, float("nan")]], [0])], "NaN or an infinity"),
    ],
)
def test_bad_chunks_are_refused(chunks, message: str) -> None:
    with pytest.raises(AssumptionError, match=message):
        solve_stream(make, chunks, [0.5, 0.5], TIMES)


def test_separation_needs_all_samples() -> None:
    points, labels, _ = data(100)
    with pytest.raises(AssumptionError, match=r"truncates=.*use solve"):
        solve_stream(partial(make, truncates=(0,)), [(points, labels)], [0.5, 0.5], TIMES)


def test_the_error_is_of_second_order_in_the_width() -> None:
    """A million normal points; a separate program found the largest deviations in the table."""
    table = {0.12: 3.3e-3, 0.06: 9.6e-4, 0.03: 2.2e-4, 0.015: 5.9e-5}
    u = np.random.default_rng(0).normal(size=1_000_000)
    times = np.linspace(0, 12, 4801)
    exact = solve_by_events(u, 1 / u.size, 3 / u.size, -1.0)(times)
    for width, deviation in table.items():
        binned = BinnedBreakpoints(4 * int(3 / width))
        binned.width, binned._first = width, -2 * int(3 / width) * width
        binned.add(u, 1 / u.size, 3 / u.size)
        assert binned.width == width
        path = binned.solve(-1.0)
        found = np.abs(path(times) - exact).max()
        assert found == pytest.approx(deviation, rel=0.15)
        assert found <= path.error
