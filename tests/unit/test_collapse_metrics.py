"""Neural collapse along truncation flows: the formulas, their evaluation, and what is left out."""

import dataclasses
import pickle

import numpy as np
import pytest
import sympy as sp

from hermiton.numerics.neural_collapse import CollapseMetrics, Undefined
from hermiton.numerics.piecewise_flow import PiecewiseSolution, solve_flow
from hermiton.theory import neural_collapse as formulas
from hermiton.theory.errors import DerivationError
from hermiton.theory.systems import Array, Definition, Norm, PseudoInverse
from hermiton.theory.truncation import Truncation, truncation_flow
from hermiton.theory.truncation.statements import RATE
from hermiton.verification.networks.neural_collapse import collapse_of

_ANY = Array("any")
CLASSIFIER = formulas.classifier(_ANY, _ANY, _ANY, _ANY, "test")
NAMES = ("nc1", "nc2", "nc3", "nc4")
FLOW = truncation_flow(RATE)


def problem(seed: int, count: int = 300, size: int = 4, classes: int = 3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % classes)
    features = rng.normal(size=(count, size)) + 2 * rng.normal(size=(classes, size))[labels] + 5
    return features, labels, rng.normal(size=(classes, size)), rng.normal(size=classes)


def solve(times, start, **options) -> PiecewiseSolution:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    centres = np.array([[2.0, 0, 0], [0, 2, 0], [0, 0, 2]])
    points = centres[labels] + 0.3 * rng.normal(size=(60, 3))
    arguments = {"points": points, "labels": labels, "targets": 2 * centres, **options}
    return solve_flow(FLOW, Truncation(**arguments), start, np.array(times))


class TestFormulas:
    def test_nc1_is_the_definition(self) -> None:
        """pinv(M M^T / C) = C pinv(M)^T pinv(M), for matrices of rational numbers of any rank."""
        within = sp.Matrix([[2, 1, 0], [1, 3, 1], [0, 1, 4]])
        for means in (sp.Matrix([[1, 2], [-1, -2], [0, 0]]), sp.Matrix([[1, -3, 2], [0, 1, -1], [2, 0, -2]])):
            classes = sp.Integer(means.shape[1])
            between = formulas.BETWEEN.xreplace({formulas._d: sp.Integer(3), formulas._C: classes})
            scatter = between.xreplace({formulas.M.xreplace({formulas._d: sp.Integer(3), formulas._C: classes}): means})
            wanted = (within * sp.Matrix(scatter.doit()).pinv()).trace() / classes
            assert sp.simplify(wanted - (within * means.pinv().T * means.pinv()).trace()) == 0

    def test_they_are_plain_values(self) -> None:
        for item in CLASSIFIER.metrics:
            assert pickle.loads(pickle.dumps(item)) == item
            assert sp.latex(item.value)
            assert str(item.value)
        assert hash(CLASSIFIER) == hash(pickle.loads(pickle.dumps(CLASSIFIER)))

    def test_a_classifier_of_unknown_arrays_is_refused(self) -> None:
        with pytest.raises(DerivationError, match="classifier uses undeclared"):
            dataclasses.replace(FLOW, classifier=CLASSIFIER)

    def test_shapes(self) -> None:
        assert PseudoInverse(formulas.M).shape == (formulas._C, formulas._d)


class TestEvaluation:
    @pytest.mark.parametrize("seed", range(5))
    def test_against_the_metrics_of_networks(self, seed: int) -> None:
        features, labels, weights, bias = problem(seed, size=2 + seed)
        found = CollapseMetrics(CLASSIFIER, labels)(features, weights, bias)
        wanted = collapse_of(features, labels, weights, bias)
        for name in NAMES:
            assert abs(found[name].value - getattr(wanted, name)) <= found[name].error + 1e-15
            assert found[name].error < 1e-10

    def test_errors_bound_the_response_to_features(self) -> None:
        features, labels, weights, bias = problem(1)
        metrics = CollapseMetrics(CLASSIFIER, labels)
        found = metrics(features, weights, bias, 1e-5)
        moved = [np.random.default_rng(k).uniform(-1e-5, 1e-5, features.shape) for k in range(20)]
        moved += [1e-5 * np.sign(features - features.mean(axis=0)), 1e-5 * np.sign(weights[labels])]
        for by in moved:
            other = metrics(features + by, weights, bias)
            for name in NAMES:
                assert abs(other[name].value - found[name].value) <= found[name].error + other[name].error

    def test_perfect_collapse(self) -> None:
        """The vertices of a simplex, many samples at each, and the classifier that points to them."""
        labels = np.arange(30) % 3
        vertices = np.eye(3) - 1 / 3
        found = CollapseMetrics(CLASSIFIER, labels)(7 * vertices[labels] + 4, vertices, np.zeros(3))
        for name in NAMES:
            assert found[name].value <= found[name].error + 1e-15
            assert found[name].error < 1e-12

    def test_means_on_a_line(self) -> None:
        """NC1 does not see the kernel of Sigma_B, although rounding fills it."""
        rng = np.random.default_rng(2)
        labels = np.arange(600) % 3
        direction, across = np.array([0.6, 0.8, 0.0]), np.array([0.8, -0.6, 0.0])
        spread = rng.normal(size=200)
        spread -= spread.mean()
        features = np.outer(labels + 1.0, direction) + np.outer(np.repeat(spread, 3), across)
        found = CollapseMetrics(CLASSIFIER, labels)(features, np.eye(3), np.zeros(3))["nc1"]
        assert found.value <= found.error < 1e-10

    def test_classes_without_samples_do_not_count(self) -> None:
        features, labels, weights, bias = problem(3)
        full = CollapseMetrics(CLASSIFIER, labels)(features, weights, bias)
        gapped, wide = np.array([0, 2, 5])[labels], np.zeros((7, 4))
        wide[[0, 2, 5]] = weights
        shifted = np.full(7, 50.0)
        shifted[[0, 2, 5]] = bias
        assert CollapseMetrics(CLASSIFIER, gapped)(features, wide, shifted) == full

    @pytest.mark.parametrize(
        ("change", "left_out", "reason"),
        [
            ({"labels": np.zeros(300, int)}, NAMES, "one class alone has samples|1 classes"),
            ({"features": np.ones((300, 4))}, NAMES, "all class means agree"),
            ({"weights": np.zeros((3, 4))}, ("nc3", "nc4"), "weights of the classifier are zero"),
            ({"weights": np.ones((2, 4))}, ("nc3", "nc4"), "2 outputs for 3 classes"),
        ],
    )
    def test_what_is_not_defined_is_said(self, change, left_out, reason: str) -> None:
        features, labels, weights, bias = problem(4)
        given = {"features": features, "labels": labels, "weights": weights} | change
        metrics = CollapseMetrics(CLASSIFIER, given["labels"])
        found = metrics(given["features"], given["weights"], bias[: len(given["weights"])])
        assert {name for name in NAMES if isinstance(found[name], Undefined)} == set(left_out)
        for name in left_out:
            assert any(part in found[name].reason for part in reason.split("|"))


class TestFlows:
    def test_against_the_metrics_of_networks(self) -> None:
        turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
        weights, bias = np.random.default_rng(6).normal(size=(3, 3)), np.array([0.3, 0, -0.2])
        targets = np.eye(3)
        solution = solve(
            [0.0, 0.5, 1.5], [-1.0, -0.5, 0.0], rotation=turn, output_weights=weights, output_bias=bias, targets=targets
        )
        setting = solution.setting
        for row, threshold in enumerate(solution.data.threshold.values):
            features = np.maximum(setting.points @ turn.T, threshold) @ turn
            wanted = collapse_of(features, setting.labels, weights, bias)
            for name in NAMES:
                got, error = (float(one[name][row]) for one in (solution.data, solution.errors))
                assert abs(got - getattr(wanted, name)) <= error + 1e-15
                assert error < 1e-11
        assert "input" in solution.data.nc1.attrs["meaning"]

    def test_full_truncation_leaves_metrics_out(self) -> None:
        solution = solve([0.0, 1.0, 100.0], [3.0, 3.0, 3.0])
        assert not set(NAMES) & set(solution.data.data_vars)
        assert all("all class means agree" in solution.data.attrs[name] for name in NAMES)
        assert all(np.isfinite(values).all() for values in solution.data.data_vars.values())

    def test_saved_with_the_reasons(self, tmp_path) -> None:
        import xarray as xr

        path = solve([0.0, 1.0], [3.0, 3.0, 3.0]).save(tmp_path / "flow.nc")
        with xr.open_dataset(path, engine="h5netcdf") as read:
            assert "all class means agree" in read.attrs["nc1"]

    def test_the_formula_is_the_system_s(self) -> None:
        """Another formula in the system gives another number."""
        doubled = tuple(Definition(m.target, (), 2 * Norm(formulas.W)) for m in FLOW.classifier.metrics)
        other = dataclasses.replace(FLOW, classifier=dataclasses.replace(FLOW.classifier, metrics=doubled))
        setting = Truncation([[0.0, 1.0], [2.0, 3.0]], [0, 1], np.eye(2))
        data = solve_flow(other, setting, [-1.0, -1.0], np.array([0.0])).data
        assert data.nc1.values[0] == pytest.approx(2 * np.sqrt(2))

    def test_mass_of_each_class(self) -> None:
        solution = solve([0.0, 0.7, 2.0], [1.0, 0.5, 0.1], weights=np.linspace(0.1, 1, 60))
        setting, data = solution.setting, solution.data
        assert data.class_mass.dims == ("time", "class", "coordinate")
        for threshold, mass in zip(data.threshold.values, data.class_mass.values, strict=True):
            below = (setting.points < threshold) * np.asarray(setting.weights)[:, None]
            for label in range(3):
                np.testing.assert_allclose(mass[label], below[setting.labels == label].sum(axis=0), rtol=1e-13)
        np.testing.assert_allclose(data.class_mass.sum("class"), data.truncated_mass, rtol=1e-13)

    def test_the_mass_of_an_empty_class_is_zero(self) -> None:
        data = solve([0.0, 1.0], [1.0, 1.0, 1.0], labels=np.zeros(60, int)).data
        assert (data.class_mass.values[:, 1:] == 0).all()
        assert (data.class_mass.values[:, 0] > 0).all()
