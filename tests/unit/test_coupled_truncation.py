"""The coupled flow through the front door: starts, dimensions, the metrics of collapse, the exact flow as a case."""

import numpy as np
import pytest

import hermiton as hm
from hermiton.verification.networks.neural_collapse import collapse_of

COUNT, SIZE = 90, 2
LABELS = np.arange(COUNT) % 2
RNG = np.random.default_rng(4)
POINTS = np.array([[0.0, 0.0], [1.5, 1.0]])[LABELS] + RNG.normal(size=(COUNT, SIZE))
TARGETS = np.array([[1.5, 1.5], [3.0, 2.5]])
START = np.quantile(POINTS, 0.1, axis=0)
TIMES = [0.0, 0.5, 2.0]


@pytest.fixture(scope="module")
def coupled() -> hm.Truncation:
    return hm.Truncation(POINTS, LABELS, TARGETS, cost="standard")


def test_with_an_identity_for_output_both_costs_have_one_flow(coupled) -> None:
    flow = hm.solve(coupled, START, TIMES)
    exact = hm.solve(hm.Truncation(POINTS, LABELS, TARGETS), START, TIMES)
    for name in ("threshold", "bias", "loss", "nc1", "nc2", "nc3"):
        assert flow.data[name].dims == exact.data[name].dims
        deviation = np.abs(flow.data[name].values - exact.data[name].values)
        assert (deviation <= flow.errors[name].values + exact.errors[name].values).all(), name
        assert flow.errors[name].values.max() < 0.05


def test_an_array_means_thresholds(coupled) -> None:
    plain, named = (hm.solve(coupled, start, [0.0]).data for start in (START, {"biases": -START}))
    np.testing.assert_allclose(plain.threshold.values, [START], rtol=1e-15)
    np.testing.assert_allclose(plain.bias.values, named.bias.values, rtol=1e-15)


def test_collapse_is_that_of_the_truncated_points(coupled) -> None:
    data = hm.solve(coupled, START, TIMES).data
    for time in TIMES:
        at = data.sel(time=time)
        found = collapse_of(
            np.maximum(POINTS, at.threshold.values), LABELS, np.eye(SIZE), np.zeros(SIZE), "input space"
        )
        for name in ("nc1", "nc2", "nc3", "nc4"):
            assert float(at[name]) == pytest.approx(getattr(found, name), rel=1e-10, abs=1e-12)


def test_a_metric_without_meaning_is_left_out_with_the_reason() -> None:
    one_class = hm.Truncation(POINTS, np.zeros(COUNT, int), TARGETS[:1], cost="standard")
    data = hm.solve(one_class, START, [0.0, 0.5]).data
    assert "nc2" not in data
    assert "one class" in data.attrs["nc2"]
