"""Descents of classifier and features as the theory names them, and what `verify` says of right and wrong flows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import hermiton as hm
from hermiton.numerics.features import CollapsedFeatures, ExtendedFeatures, Features
from hermiton.theory.derivation import Derivation
from hermiton.theory.errors import AccuracyError, AssumptionError
from hermiton.theory.unconstrained_features import UnconstrainedFeatures
from hermiton.theory.unconstrained_features.collapsed import collapsed_flow
from hermiton.theory.unconstrained_features.flow import feature_flow
from hermiton.verification import unconstrained_features as room
from hermiton.verification.report import Report
from hermiton.verification.unconstrained_features import default_features, default_step, frame

SETTING = UnconstrainedFeatures(classes=3, per_class=2, dimension=3)


def quick(setting: UnconstrainedFeatures, rates: Any = None) -> Derivation:
    """The equations without the statements behind them, whose checks take seconds; tests of theory run them."""
    systems = (feature_flow(setting.loss, setting.bias), collapsed_flow(setting.loss, setting.bias, rates))
    return Derivation("features", setting, (), systems)


def verdicts(report: Report) -> dict[str, str]:
    return {claim.claim: claim.verdict for claim in report.verdicts}


# -- simulate ---------------------------------------------------------------------------------------------------------


def test_a_step_by_hand() -> None:
    """One class pair, one sample each, one dimension: W <- W - h (W H + b - Y) H' and so on."""
    setting = UnconstrainedFeatures(classes=2, per_class=1, dimension=1)
    W, H, b, h = np.array([[0.5], [-0.2]]), np.array([[1.0, 2.0]]), np.array([0.1, 0.3]), 0.01
    data = hm.simulate(setting, Features(W, H, b), [0, h], step=h).data.isel(replica=0)
    E = W @ H + b[:, None] - np.eye(2)
    np.testing.assert_allclose(data.W[1], W - h * E @ H.T, rtol=1e-14)
    np.testing.assert_allclose(data.H[1], H - h * W.T @ E, rtol=1e-14)
    np.testing.assert_allclose(data.b[1], b - h * E.sum(axis=1), rtol=1e-14)
    assert float(data.loss[0]) == pytest.approx((E**2).sum() / 2, rel=1e-14)
    np.testing.assert_allclose(data.imbalance[0], W.T @ W - H @ H.T, rtol=1e-14)


def test_a_collapsed_start_stays_on_its_frame() -> None:
    U = frame(SETTING)
    np.testing.assert_allclose(U @ U.T, np.eye(3) - 1 / 3, atol=1e-15)
    orthogonal = frame(replace(SETTING, bias=False))
    np.testing.assert_allclose(orthogonal @ orthogonal.T, np.eye(3), atol=1e-15)
    data = hm.simulate(SETTING, CollapsedFeatures(0.3, 0.2, 0.1), [0, 0.5]).data.isel(replica=0)
    assert [float(data[name][0]) for name in ("alpha", "eta", "zeta")] == pytest.approx([0.3, 0.2, 0.1], abs=1e-15)
    assert float(data.p[0]) == pytest.approx(0.06)
    assert float(data.kappa[0]) == pytest.approx(0.09 - 2 * 0.04)
    assert float(data.off_frame.max()) < 1e-14
    assert float(data.nc2.max()) < 1e-7 and float(data.nc4.max()) == 0


def test_two_layers() -> None:
    setting = UnconstrainedFeatures(classes=2, per_class=2, dimension=2, bias=False, layers=2)
    start = default_features(setting)
    assert isinstance(start, ExtendedFeatures)
    data = hm.simulate(setting, start, [0, 0.1]).data.isel(replica=0)
    np.testing.assert_allclose(data.imbalance_weights[0], start.W2.T @ start.W2 - start.W1 @ start.W1.T, atol=1e-14)
    np.testing.assert_allclose(data.imbalance[0], start.W1.T @ start.W1 - start.H @ start.H.T, atol=1e-14)


def test_the_default_step_is_round_and_small() -> None:
    assert default_step(SETTING) == 0.005  # 0.05/6 = 0.0083
    assert default_step(replace(SETTING, normalisation="samples")) == 0.05
    assert default_step(replace(SETTING, per_class=100)) == 0.0001


def test_divergence_is_an_error_with_its_time() -> None:
    with pytest.raises(AccuracyError, match=r"step 5 diverges at t="):
        hm.simulate(SETTING, default_features(SETTING), [500.0], step=5.0)


@pytest.mark.parametrize(
    ("start", "named"),
    [
        ([0.1], "start"),
        (ExtendedFeatures(np.ones((3, 3)), np.ones((3, 3)), np.ones((3, 6))), "start"),
        (Features(np.ones((3, 3)), np.ones((3, 5))), "H"),
        (Features(np.ones((2, 3)), np.ones((3, 6))), "W"),
    ],
)
def test_bad_starts_are_refused(start: Any, named: str) -> None:
    with pytest.raises(AssumptionError, match=f"^{named}="):
        hm.simulate(SETTING, start, [0.5])


# -- verify -----------------------------------------------------------------------------------------------------------


def test_both_flows_are_consistent_with_descents() -> None:
    full = verdicts(hm.verify(SETTING, derivation=quick(SETTING)))
    assert set(full.values()) == {"consistent"}
    assert {room._ORDER, room._DRIFT, room.CLAIMS["W"], room.CLAIMS["imbalance"]} <= set(full)
    reduced = hm.verify(SETTING, CollapsedFeatures(0.3, 0.2), derivation=quick(SETTING))
    assert set(verdicts(reduced).values()) == {"consistent"}
    assert {room._ON_FRAME, room.CLAIMS["alpha"], room.CLAIMS["p"]} <= set(verdicts(reduced))
    assert all(part.false_alarm_rate == 0 for claim in reduced.verdicts for part in claim.components)


def test_a_balanced_start_has_no_drift_to_fit() -> None:
    """W'W = H H' to the last bit, and the descent keeps it: rounding has no order."""
    found = verdicts(hm.verify(SETTING, CollapsedFeatures(np.sqrt(2) * 0.3, 0.3), derivation=quick(SETTING)))
    assert room._DRIFT not in found and set(found.values()) == {"consistent"}


def test_with_decay_nothing_is_conserved() -> None:
    setting = replace(SETTING, decay_weights=0.02, decay_features=0.02)
    found = verdicts(hm.verify(setting, CollapsedFeatures(0.3, 0.2), derivation=quick(setting)))
    assert room._DRIFT not in found and set(found.values()) == {"consistent"}


@pytest.mark.parametrize("name", ["alpha", "eta", "zeta"])
def test_a_wrong_reduced_flow_is_refuted(name: str) -> None:
    right = collapsed_flow("mse", True)
    rates = {e.target.name: e.value for e in right.equations}
    wrong = quick(SETTING, {name: rates[name] * 11 / 10})
    found = verdicts(hm.verify(SETTING, CollapsedFeatures(0.3, 0.2, 0.1), derivation=wrong))
    assert found[room.CLAIMS[name]] == "refuted"
    assert found[room._ON_FRAME] == "consistent"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"margin": 1.0}, "margin=1"), ({"halvings": 0}, "halvings=0"), ({"times": [0.0012]}, "times=0.0012")],
)
def test_bad_verifications_are_refused_before_the_derivation(
    arguments: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "derive", lambda setting: pytest.fail("derived first"))
    with pytest.raises(AssumptionError, match=named.replace(".", r"\.")):
        hm.verify(SETTING, **arguments)
