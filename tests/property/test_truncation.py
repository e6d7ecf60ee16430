"""What holds for the truncation flow of any data: dissipation, symmetries, scaling of time."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import hermiton as hm
from hermiton.theory.truncation import Truncation

TIMES = np.array([0.0, 0.3, 1.0, 2.5, 7.0, 40.0])
problems = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 4), st.integers(1, 3))


def problem(seed: int, count: int, size: int, classes: int):
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
    points = rng.normal(size=(count, size)).round(2)  # ties occur
    labels = rng.integers(classes, size=count)
    targets = 2 * rng.normal(size=(classes, size))
    return points, labels, targets, rng.uniform(0.1, 2.0, size=count), rotation, rng.normal(size=size)


def threshold(points, labels, targets, weights, rotation, start, times=TIMES):
    return hm.solve(Truncation(points, labels, targets, weights, rotation), start, times).data.threshold.values


@settings(deadline=None, max_examples=15)
@given(problems)
def test_the_cost_falls_by_what_is_dissipated(sizes) -> None:
    *data, start = problem(*sizes)
    solution = hm.solve(Truncation(*data), start, TIMES)
    loss = solution.data.loss.values
    dissipated = sum(path.dissipated(TIMES) for path in solution.paths)
    np.testing.assert_allclose(loss[0] - loss, dissipated, rtol=0, atol=1e-12 * (1 + loss[0]))
    assert (np.diff(loss) <= 1e-13 * (1 + loss[0])).all()


@settings(deadline=None, max_examples=8)
@given(problems)
def test_the_order_of_the_points_is_nothing(sizes) -> None:
    points, labels, targets, weights, rotation, start = problem(*sizes)
    order = np.random.default_rng(sizes[0]).permutation(len(points))
    np.testing.assert_allclose(
        threshold(points[order], labels[order], targets, weights[order], rotation, start),
        threshold(points, labels, targets, weights, rotation, start),
        rtol=1e-11,
        atol=1e-11,
    )


@settings(deadline=None, max_examples=8)
@given(problems, st.floats(0.01, 100))
def test_weights_set_the_clock(sizes, factor: float) -> None:
    points, labels, targets, weights, rotation, start = problem(*sizes)
    np.testing.assert_allclose(
        threshold(points, labels, targets, factor * weights, rotation, start, TIMES / factor),
        threshold(points, labels, targets, weights, rotation, start),
        rtol=1e-11,
        atol=1e-11,
    )


@settings(deadline=None, max_examples=8)
@given(problems)
def test_coordinates_may_be_relabelled(sizes) -> None:
    points, labels, targets, weights, rotation, start = problem(*sizes)
    order = np.random.default_rng(sizes[0]).permutation(len(start))
    np.testing.assert_allclose(
        threshold(points, labels, targets, weights, rotation[order], start[order]),
        threshold(points, labels, targets, weights, rotation, start)[:, order],
        rtol=1e-11,
        atol=1e-11,
    )


@settings(deadline=None, max_examples=8)
@given(problems)
def test_classes_with_one_target_are_one_class(sizes) -> None:
    points, labels, targets, weights, rotation, start = problem(*sizes)
    same = np.broadcast_to(targets[:1], targets.shape)
    np.testing.assert_array_equal(
        threshold(points, labels, same, weights, rotation, start),
        threshold(points, np.zeros_like(labels), targets[:1], weights, rotation, start),
    )


@settings(deadline=None, max_examples=12)
@given(problems)
def test_every_piece_loses_what_it_dissipates(sizes) -> None:
    """At the events themselves; crossings come in the order of the samples, and no piece passes its attractor."""
    points, labels, targets, weights, rotation, start = problem(*sizes)
    setting = Truncation(points, labels, targets, weights, rotation)
    paths = hm.solve(setting, start, [0.0]).paths
    times = np.unique(np.concatenate([[0.0], *(path.times for path in paths)]))
    loss = hm.solve(setting, start, times).data.loss.values
    dissipated = np.sum([path.dissipated(times) for path in paths], axis=0)
    np.testing.assert_allclose(-np.diff(loss), np.diff(dissipated), rtol=0, atol=1e-12 * (1 + loss[0]))
    u = points @ rotation.T
    for path, entry in zip(paths, u.T, strict=True):
        up = path.limit > path.values[0]
        steps = np.diff(path.values)
        # A start on a sample passes it at once: an event of no length.
        assert (steps[1:] > 0).all() if up else (steps < 0).all()
        assert all(np.isclose(entry, value, rtol=0, atol=1e-12).any() for value in path.values[1:])
        beyond = path.values[1:] - path.targets[:-1]
        assert (beyond < 1e-12).all() if up else (beyond > -1e-12).all()


@settings(deadline=None, max_examples=8)
@given(problems)
def test_errors_bound_a_change_of_rounding(sizes) -> None:
    """The same problem in other coordinates of the inputs differs by rounding alone, and by less than the errors."""
    points, labels, targets, weights, rotation, start = problem(*sizes)
    points = points + np.pi / 1000  # off the start's decimals: no sample on a threshold
    turn = np.linalg.qr(np.random.default_rng(sizes[0] + 1).normal(size=rotation.shape))[0]
    one = hm.solve(Truncation(points, labels, targets, weights, rotation), start, TIMES)
    other = hm.solve(Truncation(points @ turn.T, labels, targets @ turn.T, weights, rotation @ turn.T), start, TIMES)
    for name in ("threshold", "loss"):
        bound = one.errors[name] + other.errors[name] + 1e-13 * (1 + abs(one.data[name]))
        assert (abs(one.data[name] - other.data[name]) <= bound).all()
    for name in {"nc1", "nc2"} & set(one.data.data_vars) & set(other.data.data_vars):
        bound = one.errors[name] + other.errors[name] + 1e-13 * (1 + abs(one.data[name]))
        assert (abs(one.data[name] - other.data[name]) <= bound).all()
