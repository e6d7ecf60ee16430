"""Descents of the real ReLU network as the theory names them, and what `verify` says of a right and of a finding."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import hermiton as hm
from hermiton.theory.derivation import Derivation, Statement
from hermiton.theory.errors import AccuracyError, AssumptionError
from hermiton.theory.truncation import Truncation, truncation_flow
from hermiton.theory.truncation import statements as chapter
from hermiton.verification import truncation as room
from hermiton.verification.report import Report
from hermiton.verification.truncation import default_start, default_truncation

POINTS, LABELS = np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1]


@functools.cache
def by_classes() -> Statement:
    """The statement on classes, checked on single samples only; tests of theory take more."""
    with mock.patch.object(chapter, "_class_cases", lambda: (case for case, *_ in chapter._scalar_cases((1,), 2))):
        return next(chapter._clusters())


def quick(setting: Truncation, by_class: bool = False) -> Derivation:
    """The equation without the statements behind it, whose checks take seconds; tests of theory run them."""
    return Derivation("truncation", setting, (by_classes(),) if by_class else (), (truncation_flow(chapter.RATE),))


def small(count: int = 90, size: int = 2, **changes: Any) -> Truncation:
    """Three clusters; targets ahead of the data in a rotated frame."""
    rng = np.random.default_rng(3)
    labels = np.arange(count) % 3
    centres = rng.normal(size=(3, size))
    angle = 0.4
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = centres[labels] + rng.normal(size=(count, size))
    return Truncation(points, labels, centres + 3 * rotation.sum(axis=0), rotation=rotation, **changes)


def verdicts(report: Report) -> dict[str, str]:
    return {claim.claim: claim.verdict for claim in report.verdicts}


# -- simulate ---------------------------------------------------------------------------------------------------------


def test_a_step_by_hand() -> None:
    """Two of four points are truncated, of weight 1/4, their targets 5 and 5: theta' = 1/4 (5 - 1.5) 2."""
    setting = Truncation(POINTS, LABELS, [[5.0], [7.0]])
    data = hm.simulate(setting, [1.5], [0, 0.1], step=0.1).data
    assert data.sizes == {"replica": 1, "time": 2, "coordinate": 1, "component": 1, "class": 2}
    assert data.threshold.values[0, :, 0] == pytest.approx([1.5, 1.5 + 0.1 * 0.5 * 3.5], abs=1e-15)
    assert data.bias.values[0, :, 0] == pytest.approx(-data.threshold.values[0, :, 0], abs=1e-15)
    assert data.truncated_mass.values[0, :, 0].tolist() == [0.5, 0.5]
    assert data.class_mass.values[0, 0, :, 0].tolist() == [0.5, 0]
    residuals = np.array([1.5 - 5, 1.5 - 5, 2 - 7, 3 - 7])
    assert data.loss.values[0, 0] == pytest.approx((residuals**2).sum() / 8, rel=1e-14)


@pytest.mark.parametrize("given", [{"thresholds": [0.5, 0.2]}, [0.5, 0.2]])
def test_starts_say_the_same(given: Any) -> None:
    setting = small()
    rotation = np.asarray(setting.rotation)
    other = hm.simulate(setting, {"biases": -rotation.T @ [0.5, 0.2]}, [0.5]).data
    for scales in (None, [0.3, 4.0]):
        sample = hm.simulate(setting, given, [0.5], scales=scales)
        for name in sample.data.data_vars:
            np.testing.assert_allclose(sample.data[name], other[name], rtol=1e-12, atol=1e-14)


def test_layers_have_a_dimension_and_what_moves_is_recorded() -> None:
    setting = small(layers=2, cost="standard", moving=("rotation", "output"))
    data = hm.simulate(setting, np.zeros((2, 2)), [0, 0.5]).data
    assert data.threshold.dims == data.truncated_mass.dims == ("replica", "time", "layer", "coordinate")
    assert data.class_mass.dims == ("replica", "time", "layer", "class", "coordinate")
    assert data.rotation.dims == ("replica", "time", "layer", "coordinate", "component")
    assert data.output_weights.dims == ("replica", "time", "output", "component")
    np.testing.assert_allclose(data.rotation.values[0, 0], np.stack([np.asarray(setting.rotation[0])] * 2), atol=1e-15)
    assert float(np.abs(data.rotation[0, 1] - data.rotation[0, 0]).max()) > 1e-3
    assert float(np.abs(data.output_bias[0, 1]).max()) > 1e-3


def test_metrics_of_collapse_need_an_output_a_class() -> None:
    square = Truncation(np.eye(2).repeat(4, axis=0) + 0.1 * np.arange(16).reshape(8, 2), [0] * 4 + [1] * 4, np.eye(2))
    assert {"nc1", "nc4"} <= set(hm.simulate(square, [0.0, 0.0], [0.1]).data.data_vars)
    assert "nc1" not in hm.simulate(small(), [0.0, 0.0], [0.1]).data


def test_ordinary_coordinates_are_another_clock() -> None:
    """With one layer b = D R beta: at D = 1 the two descents agree, at another D they don't."""
    setting = small()
    one, other = (hm.simulate(setting, [0.5, 0.2], [0.5], coordinates=c).data for c in ("cumulative", "ordinary"))
    assert float(np.abs(one.threshold - other.threshold).max()) > 1e-3  # C_in pulls its labels along with b^(2)
    standard = small(cost="standard", output_weights=np.eye(2)[[0, 1]])
    scaled = hm.simulate(standard, [0.5, 0.2], [0.5], coordinates="ordinary", scales=[1.0, 2.0]).data
    assert np.isfinite(scaled.threshold).all()


def test_stored_descents_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = hm.simulate(small(), [0.5, 0.2], [0.5], store=tmp_path)
    monkeypatch.setattr(room, "_descent", lambda *arguments: pytest.fail("ran again"))
    again = hm.simulate(small(), [0.5, 0.2], [0.5], store=tmp_path)
    assert first.data.equals(again.data)


def test_divergence_is_an_error_with_its_time() -> None:
    setting = small(cost="standard", moving=("output",))
    with pytest.raises(AccuracyError, match=r"step 4 diverges at t="):
        hm.simulate(setting, [5.0, 5.0], [4000.0], step=4.0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"times": [0.13]}, "times=0.13 is no multiple of the step 0.05"),
        ({"times": [1.0, 0.5]}, "times"),
        ({"step": 0.0}, "step=0"),
        ({"step": True}, "step=True"),
        ({"start": [0.0]}, "start"),
        ({"start": {"thresholds": [0.0, 0.0], "biases": [0.0, 0.0]}}, "gives thresholds and biases"),
        ({"start": {}}, "gives neither"),
        ({"start": ["a", "b"]}, "is not an array of numbers"),
        ({"start": [0.0, np.nan]}, "NaN"),
        ({"coordinates": "polar"}, "coordinates='polar'"),
        ({"scales": [1.0, -1.0]}, "scales"),
        ({"scales": [1.0, 1.0, 1.0]}, "scales"),
        ({"store": 3}, "store=3"),
        ({"executor": 3}, "executor=3"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], named: str) -> None:
    given = {"start": [0.0, 0.0], "times": [0.5], **arguments}
    with pytest.raises(AssumptionError, match=named.replace(".", r"\.")):
        hm.simulate(small(), given.pop("start"), given.pop("times"), **given)


def test_ordinary_weights_cannot_stay_adapted() -> None:
    with pytest.raises(AssumptionError, match="coordinates='ordinary'"):
        hm.simulate(small(moving=("rotation",)), [0.0, 0.0], [0.5], coordinates="ordinary")


# -- verify -----------------------------------------------------------------------------------------------------------


def test_the_flow_is_consistent_with_networks() -> None:
    setting = small()
    report = hm.verify(setting, derivation=quick(setting, by_class=True), progressive=True)
    found = verdicts(report)
    assert set(found.values()) == {"consistent"}
    for words in ("thresholds follow", "first order", "velocity at the network", "the rate is the truncated mass"):
        assert any(words in claim for claim in found)
    assert all(part.false_alarm_rate == 0 and part.samples == 1 for c in report.verdicts for part in c.components)
    for claim in report.verdicts:
        if "velocity" in claim.claim:  # to rounding
            assert all(abs(part.discrepancy) < 1e-11 for part in claim.components)
    assert report.exit_code == 0


def test_a_release_refutes_that_truncation_is_progressive() -> None:
    """Targets behind the thresholds: points come free again. The theory says so, and is consistent."""
    setting = replace_targets(small(), -3.0)
    start = np.quantile(np.asarray(setting.points) @ np.asarray(setting.rotation).T, 0.6, axis=0)
    report = hm.verify(setting, start, [0.5, 1.0, 2.0], derivation=quick(setting), progressive=True)
    found = {claim.claim: claim for claim in report.verdicts}
    progressive = found.pop(room._PROGRESSIVE)
    assert progressive.verdict == "refuted"
    assert set(progressive.decisive.context) == {"time", "coordinate"}
    assert {claim.verdict for claim in found.values()} == {"consistent"}
    (direction,) = (claim for claim in found.values() if claim.claim == room._DIRECTION)
    assert {part.theory for part in direction.components} == {-1.0}
    assert room._PROGRESSIVE not in verdicts(hm.verify(setting, start, [0.5], derivation=quick(setting)))


def replace_targets(setting: Truncation, shift: float) -> Truncation:
    return replace(setting, targets=np.asarray(setting.targets) * 0 + shift)


def test_frozen_thresholds_leave_no_order_to_fit() -> None:
    """In front of all data nothing moves, and nothing is refuted for it."""
    setting = small()
    start = (np.asarray(setting.points) @ np.asarray(setting.rotation).T).min(axis=0) - 1
    found = verdicts(hm.verify(setting, start, [0.5, 1.0], derivation=quick(setting)))
    assert set(found.values()) == {"consistent"}
    assert room._ORDER not in found and room._DIRECTION not in found


def test_a_foreign_sample_refutes_separation() -> None:
    setting = small(truncates=(1,))
    run = hm.simulate(setting, default_start(small()), [0.5]).data.isel(replica=0)
    from hermiton.verification.decide import aggregate, decide_all

    (claim,) = aggregate(decide_all([room._foreign((1,), run)], family_false_alarm_rate=1e-3))
    assert claim.verdict == "refuted" and claim.decisive.context["class"] != 1
    own = run.assign(class_mass=run.class_mass.where(run["class"] == 1, 0.0) if "class" in run else run.class_mass)
    own.class_mass[:, [0, 2]] = 0.0
    (claim,) = aggregate(decide_all([room._foreign((1,), own)], family_false_alarm_rate=1e-3))
    assert claim.verdict == "consistent"


def test_metrics_that_cease_to_exist_are_no_claims() -> None:
    """When all samples are truncated in all coordinates the class means agree; one run gets there before another."""
    rng = np.random.default_rng(0)
    setting = Truncation(rng.normal(size=(20, 2)), np.arange(20) % 2, [[3.0, 2.0], [2.0, 4.0]])
    found = verdicts(hm.verify(setting, [0.2, -0.1], step=0.1, derivation=quick(setting)))
    assert set(found.values()) == {"consistent"}


def test_default_times_follow_the_clock() -> None:
    """Weights 1 instead of 1/N run N times as fast."""
    fast = small(weights=1.0)
    times = room._default_times(fast, 0.001)
    assert times[-1] == pytest.approx(6 / 90, abs=0.001)
    assert room._default_times(small(), 0.05)[-1] == pytest.approx(6)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"margin": 0.0}, "margin=0"),
        ({"halvings": 0}, "halvings=0"),
        ({"halvings": 2.5}, "halvings=2.5"),
        ({"false_alarm_rate": 0.7}, "false_alarm_rate=0.7"),
        ({"times": [0.0]}, "ends at the start"),
        ({"times": [0.51]}, "times=0.51"),
    ],
)
def test_bad_verifications_are_refused_before_the_derivation(
    arguments: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "derive", lambda setting: pytest.fail("derived first"))
    with pytest.raises(AssumptionError, match=named.replace(".", r"\.")):
        hm.verify(small(), **arguments)


def test_the_default_setting_is_generic() -> None:
    setting = default_truncation()
    assert setting.sizes == {"N": 600, "d": 3, "C": 3, "M": 3, "L": 1}
    mass = (np.asarray(setting.points) @ np.asarray(setting.rotation).T < default_start(setting)["thresholds"]).mean(
        axis=0
    )
    assert mass.tolist() == [0.1, 0.1, 0.1]


def test_the_report_can_be_shown(tmp_path: Path) -> None:
    setting = small()
    report = hm.verify(setting, times=[0.5, 1.0], halvings=2, derivation=quick(setting))
    names = {curve.name for curve in report.curves}
    assert {"threshold[0]", "loss", "class_mass[2,1]"} <= names
    assert "event to event" in report.kernel
    assert report.to_json(tmp_path / "report.json").stat().st_size > 1000
    assert "no run has any randomness" in str(report.table())
