"""The setting of the truncation chapter, its derivation, its system, and how it is bound to numbers."""

from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp

import hermiton as hm
from hermiton.numerics.piecewise_flow import PiecewiseSolution, solve_flow
from hermiton.theory.errors import AssumptionError, DerivationError
from hermiton.theory.systems import Array, Definition, IndexSet, IndexSum, Passed, PiecewiseFlow
from hermiton.theory.truncation import Truncation, truncation_flow
from hermiton.theory.truncation.entries import THETA
from hermiton.theory.truncation.statements import RATE

POINTS = [[0.0, 1.0], [2.0, 3.0], [1.0, 0.5]]
LABELS = [0, 1, 0]
TARGETS = [[3.0, 4.0], [5.0, 6.0]]
TURN = [[0.6, 0.8], [-0.8, 0.6]]


class TestSetting:
    def test_defaults(self) -> None:
        setting = Truncation(POINTS, LABELS, TARGETS)
        assert setting.weights == sp.Rational(1, 3)
        assert setting.rotation == ((1, 0), (0, 1))
        assert setting.sizes == {"N": 3, "d": 2, "C": 2, "M": 2, "L": 1}
        assert setting.output_weights == ((1, 0), (0, 1))
        assert setting.output_bias == (0, 0)
        assert repr(setting) == "Truncation(samples=3, dimension=2, classes=2)"

    def test_arrays_are_kept_as_given(self) -> None:
        points = np.array(POINTS)
        assert Truncation(points, np.array(LABELS), np.array(TARGETS)).points is points

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"labels": [0, 2, 0]}, "labels=2 names no class: there are 2 targets"),
            ({"labels": [0, -1, 0]}, "labels=-1 names no class"),
            ({"labels": [0, 0.5, 0]}, "labels=0.5 names no class"),
            ({"labels": [0, 1]}, "2 labels for 3 points"),
            ({"labels": 3}, "is not an array"),
            ({"weights": [1, 1]}, "2 weights for 3 points"),
            ({"weights": [1, 0, 1]}, "weights=0 is not a positive number"),
            ({"weights": [1, float("nan"), 1]}, "weights=nan is not a positive number"),
            ({"weights": -1}, "weights=-1 is not a positive number"),
            ({"weights": ["a", 1, 1]}, "weights='a' is not a positive number"),
            ({"rotation": [[1, 0], [0.1, 1]]}, "is not orthogonal"),
            ({"rotation": [[2, 0], [0, 2]]}, "is not orthogonal"),
            ({"rotation": [[float("nan"), 0], [0, 1]]}, "rotation=nan is not a finite number"),
            ({"rotation": [[1]]}, "another shape"),
            ({"points": []}, "points=.* is empty"),
            ({"points": [[], [], []]}, "is empty"),
            ({"points": [[0, 1], [2, 3], [1]]}, "row of 1 numbers"),
            ({"points": [[0.0, 1.0], [1.0], [1.0, 0.5]]}, "row of 1 numbers"),
            ({"targets": [[3, 4], [5]]}, "row of 1 numbers"),
            ({"targets": []}, "is empty"),
            ({"points": 7}, "points=7 is not an array"),
            ({"targets": [[3], [5]]}, "or the output_weights of shape"),
            ({"output_weights": [[1, 2]]}, "does not take 2 coordinates to the 2 of a target"),
            ({"output_bias": [1]}, "has 1 numbers for 2 outputs"),
            ({"cost": "both"}, "cost='both' is unknown"),
            ({"layers": 0}, "layers=0 is not a positive integer"),
            ({"rotation": [TURN, TURN]}, "has 2 matrices for 1 layers"),
            ({"truncates": [0, 1]}, "has 2 classes for 1 layers"),
            ({"truncates": [2]}, "truncates=2 names no class"),
            ({"layers": 2, "truncates": [1, 1]}, "names a class twice"),
            ({"truncates": [0], "cost": "standard"}, "couple"),
            ({"truncates": [0], "moving": "rotation"}, "couple"),
            ({"moving": ["biases"]}, "moving='biases' is unknown"),
            ({"moving": ["output"]}, "carry the pulled-back labels to the data"),
        ],
    )
    def test_nonsense_is_refused(self, change: dict, message: str) -> None:
        arguments = {"points": POINTS, "labels": LABELS, "targets": TARGETS} | change
        with pytest.raises(AssumptionError, match=message):
            Truncation(**arguments)


class TestDerivation:
    def test_every_statement_is_derived(self) -> None:
        derivation = hm.derive(Truncation(POINTS, LABELS, TARGETS))
        assert derivation.standing == "derived"
        assert {s.standing for s in derivation.statements} == {"derived"}
        wanted = {"pullback", "clamp", "bias_general", "adaptedness", "bias_adapted", "rate_biases", "rate_threshold"}
        wanted |= {"rate_classes", "rate_separated", "rate_rotation", "metric_joint_conserved", "piece", "event_time"}
        assert wanted | {"dissipation", "uniform", "clamped_variance", "clamped_covariance"} <= {
            s.key for s in derivation.statements
        }

    def test_sources_do_not_claim_a_quotation(self) -> None:
        derivation = hm.derive(Truncation(POINTS, LABELS, TARGETS))
        for statement in derivation.statements:
            assert "hermiton" in statement.source, statement.key
            if "arXiv" in statement.source:
                assert statement.source.startswith("notion")

    def test_it_prints(self) -> None:
        derivation = hm.derive(Truncation(POINTS, LABELS, TARGETS))
        assert r"\mathbf{1}[" in derivation.latex()
        assert derivation._repr_html_().count("<h4>") == len(derivation.statements)


class TestSystem:
    def test_terms_are_read_off_the_equation(self) -> None:
        flow = hm.derive(Truncation(POINTS, LABELS, TARGETS)).systems[0]
        assert isinstance(flow, PiecewiseFlow)
        assert [str(e) for e in (flow.breakpoint, flow.rate, flow.offset)] == ["u[i, j]", "w[i]", "t[i, j]*w[i]"]

    @pytest.mark.parametrize("change", [lambda y, f: y**2 * f, lambda y, f: y * f + 1, lambda y, f: y])
    def test_another_form_is_refused(self, change) -> None:
        flag = RATE.body.atoms(Passed).pop()
        with pytest.raises(DerivationError, match=r"Passed|passes"):
            truncation_flow(IndexSum(change(flag.args[1], flag), RATE.index, RATE.size))

    def test_not_a_sum_is_refused(self) -> None:
        with pytest.raises(DerivationError, match="not one sum"):
            truncation_flow(THETA[RATE.body.atoms(Passed).pop().args[1].indices[0]])

    def test_passed(self) -> None:
        y = sp.Symbol("y", real=True)
        assert [Passed(1, 2), Passed(2, 2), Passed(2, 1), Passed(y - 1, y)] == [1, 0, 0, 1]
        assert Passed(y, 0).is_number is not True

    def test_a_flow_of_another_name(self) -> None:
        """Nothing in the solver knows the chapter: other names, a rate and an offset in two parameters."""
        count, size, i, j = sp.symbols("n m i j", integer=True)
        samples, places = IndexSet("event", count), IndexSet("place", size, dimensions=("place",))
        level, at = Array("y", (places,)), Array("at", (samples, places))
        pull, aim = Array("pull", (samples,)), Array("aim", (samples,))
        rate = IndexSum(Passed(at[i, j], level[j]) * (aim[i] ** 2 - 2 * pull[i] * level[j]), i, count)
        flow = PiecewiseFlow(
            "other", (samples, places), (level,), (at, pull, aim), (), (), (Definition(level, (j,), rate),), ()
        )

        setting = SimpleNamespace(sizes={"n": 2, "m": 2}, at=[[0.0, 1.0], [5.0, 5.0]], pull=0.5, aim=[2.0, 2.0])
        solution = solve_flow(flow, setting, {"y": [1.0, 1.0]}, np.array([0.0, 2.0]))
        # first place: y' = 4 - y from 1; second: nothing is passed
        np.testing.assert_allclose(solution.data.y.values[1], [4 - 3 * np.exp(-2.0), 1.0], rtol=1e-14)
        assert solution.data.outcome.values.tolist() == ["approaches", "frozen"]


class TestSolving:
    def solve(self, start, times=(0.0, 1.0, 4.0), **options) -> PiecewiseSolution:
        solution = hm.solve(Truncation(POINTS, LABELS, TARGETS, **options), start, times)
        assert isinstance(solution, PiecewiseSolution)
        return solution

    def test_dimensions(self) -> None:
        data = self.solve([0.5, 0.7]).data
        assert data.threshold.dims == data.truncated_mass.dims == ("time", "coordinate")
        assert (data.loss.dims, data.bias.dims) == (("time",), ("time", "component"))
        assert data.events.values.tolist() == [2, 2]

    def test_observables_by_hand(self) -> None:
        data = self.solve([0.5, 0.7], rotation=TURN, weights=[0.5, 1.0, 2.0]).data
        turn, points, targets = np.array(TURN), np.array(POINTS), np.array(TARGETS)[LABELS]
        weights = np.array([0.5, 1.0, 2.0])
        for threshold, loss, mass, bias in zip(
            data.threshold.values, data.loss.values, data.truncated_mass.values, data.bias.values, strict=True
        ):
            u = points @ turn.T
            clamped = np.maximum(u, threshold) @ turn
            assert loss == pytest.approx(0.5 * weights @ ((clamped - targets) ** 2).sum(axis=1), rel=1e-14)
            np.testing.assert_allclose(mass, weights @ (u < threshold))
            np.testing.assert_allclose(bias, -turn.T @ threshold, rtol=1e-14)

    def test_starts(self) -> None:
        turn = np.array(TURN)
        begin = np.array([0.5, 0.7])

        class Start:
            thresholds = begin

        wanted = self.solve(begin, rotation=TURN).data
        for start in ({"thresholds": begin}, {"threshold": begin}, {"biases": -turn.T @ begin}, Start()):
            np.testing.assert_allclose(self.solve(start, rotation=TURN).data.threshold, wanted.threshold, rtol=1e-14)

    @pytest.mark.parametrize(
        ("start", "message"),
        [
            ([0.5], "another shape"),
            ([0.5, float("nan")], "NaN"),
            ({"other": 1}, "give one of thresholds, biases"),
            ({"thresholds": [1, 2], "biases": [1, 2]}, "gives thresholds and biases"),
            ("zero", "is not an array of numbers"),
        ],
    )
    def test_bad_starts_are_refused(self, start, message: str) -> None:
        with pytest.raises(AssumptionError, match=message):
            self.solve(start)

    def test_points_that_are_not_finite_are_refused(self) -> None:
        setting = Truncation([[0.0, 1.0], [float("inf"), 3.0], [1.0, 0.5]], LABELS, TARGETS)
        with pytest.raises(AssumptionError, match=r"points=.* NaN or an infinity"):
            hm.solve(setting, [0.5, 0.7], [1.0])

    def test_a_singular_output_layer_is_refused(self) -> None:
        with pytest.raises(AssumptionError, match=r"output_weights=.* is singular"):
            self.solve([0.5, 0.7], output_weights=[[1, 2], [2, 4]])

    @pytest.mark.parametrize("times", [[float("inf")], [0.0, float("nan")], [-1.0], [1.0, 1.0], []])
    def test_times_that_are_no_times_are_refused(self, times) -> None:
        with pytest.raises(AssumptionError, match="times="):
            self.solve([0.5, 0.7], times)

    def test_a_start_on_a_sample_keeps_it(self) -> None:
        """Truncated means below the threshold: a sample on it is kept until the threshold moves on."""
        alone = hm.solve(Truncation([[1.0], [2.0]], [0, 0], [[5.0]]), [1.0], [0.0, 9.0])
        assert alone.data.truncated_mass.values.tolist() == [[0], [0]]
        assert alone.data.outcome.values[0] == "frozen"  # nothing is truncated, so nothing moves
        pushed = hm.solve(Truncation([[0.0], [1.0], [2.0]], [0, 0, 0], [[5.0]]), [1.0], [0.0, 0.1])
        np.testing.assert_allclose(pushed.data.truncated_mass.values[:, 0], [1 / 3, 2 / 3])
        assert pushed.data.threshold.values[1, 0] == pytest.approx(5 - 4 * np.exp(-0.1 * 2 / 3))

    def test_weights_and_labels_of_many_kinds(self) -> None:
        """A scalar weight, labels as lists or arrays of any integers, weights that differ by many orders."""
        wanted = self.solve([0.5, 0.7]).data.threshold
        for labels in (tuple(LABELS), np.array(LABELS, dtype=np.uint8)):
            data = hm.solve(Truncation(POINTS, labels, TARGETS, weights=1 / 3), [0.5, 0.7], [0.0, 1.0, 4.0]).data
            np.testing.assert_allclose(data.threshold, wanted, rtol=1e-14)
        uneven = self.solve([0.5, 0.7], weights=[1e-300, 1e300, 1e-300])
        assert np.isfinite(uneven.data.threshold).all()

    def test_sums_over_many_windows(self) -> None:
        rng = np.random.default_rng(3)
        points, labels = rng.normal(size=(40_000, 2)), rng.integers(2, size=40_000)
        solution = hm.solve(Truncation(points, labels, TARGETS), [0.1, 0.2], [0.0, 1.0])
        clamped = np.maximum(points, solution.data.threshold.values[1])
        loss = 0.5 * ((clamped - np.array(TARGETS)[labels]) ** 2).sum() / 40_000
        assert solution.data.loss.values[1] == pytest.approx(loss, rel=1e-12)

    def test_saving_and_plotting(self, tmp_path) -> None:
        solution = self.solve([0.5, 0.7])
        assert solution.save(tmp_path / "flow.nc").exists()
        solution.plot(tmp_path / "flow.png")
        assert (tmp_path / "flow.png").stat().st_size > 0
