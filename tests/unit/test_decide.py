"""Arguments, words and shapes of the decision procedure; its properties are in tests/mutants/test_decide_mutants.py."""

import pickle
from typing import Any

import numpy as np
import pytest

from hermiton.theory.errors import AssumptionError, VerificationError
from hermiton.verification.decide import Comparison, aggregate, decide, decide_all, sample_size

GOOD: dict[str, Any] = {
    "theory": 0.0,
    "theory_error": 0.0,
    "sample": np.linspace(-1, 1, 20),
    "margin": 0.5,
    "false_alarm_rate": 1e-3,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("theory", np.nan),
        ("theory", np.inf),
        ("theory", "one"),
        ("theory", None),
        ("theory", [0.0, 1.0]),
        ("theory", 1j),
        ("theory_error", -1e-9),
        ("theory_error", np.nan),
        ("allowance", -1.0),
        ("margin", -0.1),
        ("margin", np.inf),
        ("false_alarm_rate", 0.0),
        ("false_alarm_rate", 0.5),
        ("false_alarm_rate", np.nan),
        ("missed_alarm_rate", -0.1),
        ("missed_alarm_rate", 1.0),
        ("sample", []),
        ("sample", 3.0),
        ("sample", np.zeros((4, 4))),
        ("sample", ["a", "b"]),
        ("sample", np.ones(9, dtype=complex)),
        ("binary", True),  # the sample holds other numbers than 0 and 1
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(AssumptionError, match=f"^{name}="):
        decide("claim", **{**GOOD, name: value})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_runs_that_blew_up_are_an_error_that_names_them(bad: float) -> None:
    sample = np.linspace(-1, 1, 20)
    sample[[3, 7]] = bad
    with pytest.raises(VerificationError, match=r"2 of 20 sample values .*replicas 3, 7"):
        decide("claim", **{**GOOD, "sample": sample})


def test_a_verdict_keeps_what_it_was_asked() -> None:
    verdict = decide("Q at t=2", **GOOD, allowance=0.01, seed=17, context={"time": 2.0, "i": 0})
    assert verdict.claim == "Q at t=2"
    assert (verdict.samples, verdict.seed, verdict.false_alarm_rate) == (20, 17, 1e-3)
    assert (verdict.theory, verdict.theory_error, verdict.allowance, verdict.margin) == (0.0, 0.0, 0.01, 0.5)
    assert verdict.component == "time=2, i=0"
    assert verdict.lower < verdict.mean < verdict.upper
    assert pickle.loads(pickle.dumps(verdict)) == verdict
    assert hash(verdict) == hash(pickle.loads(pickle.dumps(verdict)))


@pytest.mark.parametrize("scale", [1e-120, 1e-30, 1.0, 1e30, 1e120])
def test_the_decision_does_not_depend_on_the_unit(scale: float) -> None:
    sample = np.random.default_rng(2).standard_exponential(40)
    for theory, margin, expected in ((1.0, 3.0, "consistent"), (9.0, 3.0, "refuted"), (1.0, 0.1, "undecided")):
        verdict = decide(
            "unit", theory=theory * scale, theory_error=0, sample=sample * scale, margin=margin * scale,
            false_alarm_rate=1e-3,
        )  # fmt: skip
        assert verdict.verdict == expected


def test_rounding_around_zero_is_deterministic() -> None:
    # Overlaps set to zero by orthogonalisation: a few 1e-17, far below any margin, of any distribution.
    sample = np.zeros(12)
    sample[5] = 3e-17
    verdict = decide("R", theory=0.0, theory_error=0.0, sample=sample, margin=1e-3, false_alarm_rate=1e-3)
    assert verdict.verdict == "consistent"
    assert verdict.resolution < 1e-16
    assert "deterministic" in verdict.reason


def test_the_discrepancy_at_the_margin_has_no_needed_number() -> None:
    verdict = decide(
        "edge", theory=1.0, theory_error=0, sample=np.linspace(-1, 1, 21), margin=1.0, false_alarm_rate=1e-3
    )
    assert verdict.verdict == "undecided"
    assert verdict.needed is None
    assert "sits at the margin" in verdict.reason


def test_components_carry_their_coordinates() -> None:
    times = np.array([0.5, 2.0])
    theory = np.arange(8.0).reshape(2, 2, 2)
    sample = theory + np.linspace(-0.1, 0.1, 30)[:, None, None, None]
    upper = np.triu(np.ones((2, 2), dtype=bool))
    q = Comparison(
        "Q", theory=theory, sample=sample, margin=0.2, where=upper, seed=3,
        coordinates={"time": times, "i": range(2), "k": range(2)},
    )  # fmt: skip
    wrong = Comparison("v", theory=np.zeros(2), sample=np.ones((30, 2)), margin=np.array([0.1, 2.0]))
    verdicts = decide_all([q, wrong], family_false_alarm_rate=1e-3)
    assert len(verdicts) == 8
    assert verdicts[1].component == "time=0.5, i=0, k=1"
    assert [v.theory for v in verdicts[:6]] == [0.0, 1.0, 3.0, 4.0, 5.0, 7.0]
    assert {v.false_alarm_rate for v in verdicts} == {1e-3 / 8}
    claims = aggregate(verdicts)
    assert [(c.claim, c.verdict, len(c.components)) for c in claims] == [("Q", "consistent", 6), ("v", "refuted", 2)]
    assert claims[0].seed == 3
    assert claims[0].false_alarm_rate == pytest.approx(1e-3 * 6 / 8)
    assert claims[0].samples == 30
    assert "6 of 6 components consistent" in claims[0].reason
    assert claims[1].decisive.context == {"index": 0}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"sample": np.ones((30, 3))}, "sample"),
        ({"sample": np.ones(30)}, "sample"),
        ({"margin": np.ones(3)}, "margin"),
        ({"margin": -1.0}, "margin"),
        ({"theory": np.array([0.0, np.nan])}, "theory"),
        ({"allowance": np.array([0.0, np.inf])}, "allowance"),
        ({"theory_error": np.zeros((2, 1, 3))}, "theory_error"),
        ({"where": np.ones(5, dtype=bool)}, "where"),
        ({"where": False}, "comparisons"),
        ({"coordinates": {"time": [1.0, 2.0, 3.0]}}, "coordinates"),
    ],
)
def test_comparisons_that_do_not_fit_are_refused(change: dict[str, Any], name: str) -> None:
    given = {"theory": np.zeros(2), "sample": np.ones((30, 2)), "margin": 0.1, **change}
    with pytest.raises(AssumptionError, match=f"^{name}="):
        decide_all([Comparison("c", **given)], family_false_alarm_rate=1e-3)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(AssumptionError, match=r"^comparisons="):
        decide_all([], family_false_alarm_rate=1e-3)
    assert aggregate([]) == []


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0.0, 1.0, 1e-3, 1e-2), "sigma"),
        ((np.nan, 1.0, 1e-3, 1e-2), "sigma"),
        ((1.0, 0.0, 1e-3, 1e-2), "margin"),
        ((1.0, 1e-9, 1e-3, 1e-2), "margin"),
        ((1.0, 1.0, 0.7, 1e-2), "false_alarm_rate"),
        ((1.0, 1.0, 1e-3, 0.0), "missed_alarm_rate"),
    ],
)
def test_sample_sizes_of_nonsense_are_refused(arguments: tuple[float, ...], name: str) -> None:
    with pytest.raises(AssumptionError, match=f"^{name}="):
        sample_size(*arguments)


def test_a_coarse_question_still_needs_eight_replicas() -> None:
    assert sample_size(1e-6, 1.0, 1e-2, 1e-1) == 8


# -- experiments without randomness -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "verdict"), [(0.0, "consistent"), (0.16, "consistent"), (-0.17, "refuted")])
def test_one_run_without_randomness_decides(value: float, verdict: str) -> None:
    """Band: error 0.01, allowance 0.05, margin 0.1."""
    given = {"theory": 0.0, "theory_error": 0.01, "allowance": 0.05, "margin": 0.1, "false_alarm_rate": 1e-3}
    found = decide("claim", sample=[value], deterministic=True, **given)
    assert (found.verdict, found.samples, found.standard_error, found.false_alarm_rate) == (verdict, 1, 0.0, 0.0)
    assert found.threshold == 1.0 and found.needed is None
    assert found.statistic == pytest.approx(max(abs(value) - 0.06, 0) / 0.1)
    assert "deterministic observable" in found.reason
    undeclared = decide("claim", sample=[value], **given)
    assert undeclared.verdict == "undecided" and undeclared.needed == 7


@pytest.mark.parametrize(("value", "verdict"), [(1.0, "consistent"), (np.nextafter(1.0, 2), "refuted")])
def test_without_a_margin_it_has_to_be_exact(value: float, verdict: str) -> None:
    found = decide(
        "claim", theory=1, theory_error=0, sample=[value], margin=0, false_alarm_rate=1e-3, deterministic=True
    )
    assert found.verdict == verdict


def test_a_deterministic_claim_costs_the_others_nothing() -> None:
    random = Comparison("random", theory=[0.0, 0.0], sample=np.zeros((9, 2)), margin=1.0)
    fixed = Comparison("fixed", theory=np.zeros(98), sample=np.zeros((1, 98)), margin=0.0, deterministic=True)
    verdicts = decide_all([random, fixed], family_false_alarm_rate=1e-2)
    assert [v.false_alarm_rate for v in verdicts[:3]] == [5e-3, 5e-3, 0.0]
    assert {claim.claim: claim.verdict for claim in aggregate(verdicts)} == {
        "random": "consistent",
        "fixed": "consistent",
    }
    assert decide_all([fixed], family_false_alarm_rate=1e-2)[0].verdict == "consistent"


def test_runs_that_differ_count_by_their_range() -> None:
    given = {"theory": 0.0, "theory_error": 0.0, "margin": 0.1, "false_alarm_rate": 1e-3, "deterministic": True}
    assert decide("claim", sample=[0.05, 0.09], **given).verdict == "consistent"
    straddling = decide("claim", sample=[0.05, 0.12], **given)
    assert straddling.verdict == "undecided" and straddling.needed is None
    assert decide("claim", sample=[0.3, 0.31], **given).verdict == "refuted"


def test_nothing_random_is_binary() -> None:
    with pytest.raises(AssumptionError, match="binary=True comes with"):
        decide(
            "claim", theory=1, theory_error=0, sample=[1.0], margin=0.1, false_alarm_rate=1e-3, binary=True,
            deterministic=True,
        )  # fmt: skip
