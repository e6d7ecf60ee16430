"""Wrong versions of the decision procedure, each of which the properties below must catch.

The mutants are edits of the real source, executed as modules of their own; a mutant whose text is no longer found
fails, so the list can't go stale. The properties take the module's public functions and know their meaning only.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from math import sqrt
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t as student

import hermiton.verification.decide
import hermiton.verification.intervals
import hermiton.verification.verdicts

Decide = Callable[..., Any]
Property = Callable[[ModuleType], None]
RATE = 1e-3


def spread(n: int, mean: float = 0.0, sigma: float = 1.0) -> NDArray[np.float64]:
    """A symmetric sample of n with exactly this mean and standard deviation: no luck in the properties."""
    half = np.linspace(0.1, 1.0, n // 2)
    sample = np.concatenate([half, -half])
    return mean + sigma * sample / sample.std(ddof=1)


def call(module: ModuleType, sample: Any, **given: Any) -> Any:
    arguments = {"theory": 0.0, "theory_error": 0.0, "allowance": 0.0, "margin": 0.0, "false_alarm_rate": RATE, **given}
    return module.decide("claim", sample=sample, **arguments)


def wrong_theories_are_refuted_on_both_sides(module: ModuleType) -> None:
    for sign in (-1.0, 1.0):
        verdict = call(module, spread(64), theory=sign * 2.0, margin=0.5)
        assert verdict.verdict == "refuted"
        assert verdict.statistic > verdict.threshold
        assert verdict.discrepancy == pytest.approx(-sign * 2.0)
        assert call(module, spread(64, mean=sign * 2.0), margin=0.5).verdict == "refuted"


def agreement_needs_a_small_enough_sample_error(module: ModuleType) -> None:
    assert call(module, spread(400), margin=0.5).verdict == "consistent"
    assert call(module, spread(10), margin=0.5).verdict == "undecided"
    assert call(module, spread(400), margin=0.0).verdict == "undecided"


def wrong_theories_are_never_passed_on_either_side(module: ModuleType) -> None:
    for sign in (-1.0, 1.0):
        # off by exactly the margin, then by a little more than the margin
        for off in (0.5, 0.52):
            assert call(module, spread(400), theory=sign * off, margin=0.5).verdict == "undecided"


def less_than_the_margin_is_never_refuted(module: ModuleType) -> None:
    for sign in (-1.0, 1.0):
        verdict = call(module, spread(4000), theory=sign * 0.3, margin=0.5)
        assert verdict.verdict == "consistent"
        assert verdict.statistic <= verdict.threshold
        assert call(module, spread(200), theory=sign * 0.49, margin=0.5).verdict == "undecided"
        # Beyond the margin, the critical value of a test without margin decides.
        reach = call(module, spread(200)).threshold / sqrt(200)
        assert call(module, spread(200), theory=sign * (0.5 + 0.99 * reach), margin=0.5).verdict == "undecided"
        assert call(module, spread(200), theory=sign * (0.5 + 1.01 * reach), margin=0.5).verdict == "refuted"


def the_threshold_is_students(module: ModuleType) -> None:
    # Large n: no visible correction for skewness. Small n: never below Student's quantile, far above the normal one.
    for n in (16, 10_000):
        sample = spread(n)
        quantile = student.isf(RATE / 2, n - 1)
        threshold = call(module, sample).threshold
        assert threshold >= quantile
        assert threshold == pytest.approx(quantile, rel=0.5 if n == 16 else 0.001)
        error = 1 / sqrt(n)
        for sign in (-1.0, 1.0):
            assert call(module, sample, theory=sign * 1.01 * threshold * error).verdict == "refuted"
            assert call(module, sample, theory=sign * 0.99 * threshold * error).verdict == "undecided"


def the_statistic_counts_standard_errors_of_the_mean(module: ModuleType) -> None:
    for n in (16, 100):
        verdict = call(module, spread(n, sigma=3.0), theory=-1.2, theory_error=0.1, allowance=0.2)
        assert verdict.standard_error == pytest.approx(3.0 / sqrt(n), rel=1e-12)
        assert verdict.statistic == pytest.approx(0.9 * sqrt(n) / 3.0, rel=1e-12)


def error_and_allowance_widen_the_theory_once_each(module: ModuleType) -> None:
    base = {"theory": 2.0, "margin": 0.0}
    edge = 2.0 - call(module, spread(64), **base).threshold / 8  # largest tolerance that still refutes
    for name in ("theory_error", "allowance"):
        assert call(module, spread(64), **base, **{name: edge - 0.01}).verdict == "refuted"
        assert call(module, spread(64), **base, **{name: edge + 0.01}).verdict == "undecided"
    assert call(module, spread(64), **base, theory_error=edge / 2, allowance=edge / 2 - 0.01).verdict == "refuted"
    assert call(module, spread(64), **base, theory_error=edge / 2, allowance=edge / 2 + 0.01).verdict == "undecided"


def the_resolution_is_the_smallest_margin_that_passes(module: ModuleType) -> None:
    for theory in (-0.3, 0.0, 0.3):
        given = {"theory": theory, "theory_error": 0.02, "allowance": 0.03}
        resolution = call(module, spread(100), **given, margin=0.1).resolution
        assert 0 < resolution < 1
        assert call(module, spread(100), **given, margin=1.001 * resolution).verdict == "consistent"
        assert call(module, spread(100), **given, margin=0.999 * resolution).verdict != "consistent"


def skewness_widens_the_side_of_the_missing_tail(module: ModuleType) -> None:
    skewed = -np.log(np.linspace(0.005, 0.995, 40))  # exponential quantiles: tail to the right
    right = call(module, skewed, theory=float(skewed.mean()))
    left = call(module, -skewed, theory=-float(skewed.mean()))
    assert right.upper - right.mean > 1.2 * (right.mean - right.lower)
    assert left.mean - left.lower > 1.2 * (left.upper - left.mean)
    above = call(module, skewed, theory=float(skewed.mean()) + 9)
    below = call(module, skewed, theory=float(skewed.mean()) - 9)
    assert above.threshold == pytest.approx((right.upper - right.mean) / right.standard_error)
    assert below.threshold == pytest.approx((right.mean - right.lower) / right.standard_error)
    assert right.mean - right.lower >= student.isf(RATE / 2, 39) * right.standard_error


def heavy_tails_are_undecided(module: ModuleType) -> None:
    sample = spread(64)
    sample[3] = 1e3
    for theory in (-1e6, 0.0, float(sample.mean()), 1e6):
        verdict = call(module, sample, theory=theory, margin=1e5)
        assert verdict.verdict == "undecided"
        assert "heavy tail" in verdict.reason
        assert verdict.resolution == np.inf


def few_replicas_are_undecided(module: ModuleType) -> None:
    for n in range(1, 8):
        for sample in (np.linspace(0.0, 1e-3, n), np.zeros(n)):
            verdict = call(module, sample, theory=5.0, margin=1.0)
            assert verdict.verdict == "undecided"
            assert verdict.needed >= 8 - n
            assert call(module, sample, margin=1.0).verdict == "undecided"
    assert call(module, np.linspace(0.0, 1e-3, 8), theory=5.0, margin=1.0).verdict == "refuted"


def deterministic_observables_are_compared_exactly(module: ModuleType) -> None:
    for n in range(8, 60):  # the floating-point mean of n times 0.1 is not 0.1 for some of them
        verdict = call(module, np.full(n, 0.1), theory=0.1)
        assert (verdict.verdict, verdict.mean, verdict.standard_error) == ("consistent", 0.1, 0.0)
    sample = np.full(10, 0.1)
    for sign in (-1.0, 1.0):
        assert call(module, sample, theory=0.1 + sign * 1e-12).verdict == "refuted"
        assert call(module, sample, theory=0.1 + sign * 1e-12, theory_error=2e-12).verdict == "consistent"
        assert call(module, sample, theory=0.1 + sign * 1e-12, margin=2e-12).verdict == "consistent"


def outcomes_have_an_honest_width(module: ModuleType) -> None:
    assert call(module, np.ones(60), theory=1.0, margin=0.1, binary=True).verdict == "undecided"
    assert call(module, np.ones(60), theory=1.0, margin=0.2, binary=True).verdict == "consistent"
    assert call(module, np.ones(60), theory=0.5, margin=0.1, binary=True).verdict == "refuted"
    assert call(module, np.zeros(60), theory=0.5, margin=0.1, binary=True).verdict == "refuted"
    assert call(module, np.zeros(60), theory=0.0, margin=0.1, binary=True).verdict == "undecided"
    assert call(module, np.ones(60), theory=1.0, margin=0.1, binary=True).resolution == pytest.approx(
        1 - (RATE / 2) ** (1 / 60)
    )
    limit = 1 - (RATE / 2) ** (1 / 60)
    assert call(module, np.zeros(60), theory=0.0, margin=0.1, binary=True).resolution == pytest.approx(limit)


def a_family_shares_its_rate(module: ModuleType) -> None:
    sample = np.stack([spread(64), spread(64)], axis=1)
    comparison = module.Comparison("two", theory=np.array([0.0, 2.0]), sample=sample, margin=0.6)
    alone = module.Comparison("one", theory=0.0, sample=spread(64), margin=0.6)
    verdicts = module.decide_all([comparison, alone], family_false_alarm_rate=RATE)
    assert [v.verdict for v in verdicts] == ["consistent", "refuted", "consistent"]
    assert sum(v.false_alarm_rate for v in verdicts) == pytest.approx(RATE)
    single = call(module, spread(64), margin=0.6, false_alarm_rate=RATE / 3)
    assert verdicts[0].threshold == pytest.approx(single.threshold)


def a_claim_is_as_good_as_its_worst_component(module: ModuleType) -> None:
    good = call(module, spread(400), margin=0.5)
    open_ = call(module, spread(10), margin=0.5)
    bad = call(module, spread(400), theory=2.0, margin=0.5)
    outcomes = [
        ([good, good], "consistent"),
        ([good, open_], "undecided"),
        ([good, open_, bad, good], "refuted"),
        ([open_], "undecided"),
    ]
    for parts, expected in outcomes:
        (claim,) = module.aggregate(parts)
        assert claim.verdict == expected
        assert claim.decisive.verdict == expected
        assert claim.resolution == max(part.resolution for part in parts)
    (claim,) = module.aggregate([good, bad])
    assert claim.statistic == bad.statistic


def needed_replicas_decide(module: ModuleType) -> None:
    verdict = call(module, spread(20), theory=0.1, margin=0.5)
    assert verdict.verdict == "undecided"
    assert 20 + verdict.needed == module.sample_size(1.0, 0.4, RATE, 1e-2)
    total = (20 + verdict.needed + 1) // 2 * 2
    assert call(module, spread(total), theory=0.1, margin=0.5).verdict == "consistent"
    assert total < 400  # (3.3 + 2.6)^2 / 0.4^2 = 218, and something for the corrections
    n = module.sample_size(2.0, 0.2, 1e-3, 1e-2)
    assert 3441 <= n <= 3600  # (z_{0.9995} + z_{0.995})^2 sigma^2 / margin^2 = 3441, then corrections
    assert module.sample_size(4.0, 0.2, 1e-3, 1e-2) == pytest.approx(4 * n, rel=0.02)


PROPERTIES: list[Property] = [
    wrong_theories_are_refuted_on_both_sides,
    agreement_needs_a_small_enough_sample_error,
    wrong_theories_are_never_passed_on_either_side,
    less_than_the_margin_is_never_refuted,
    the_threshold_is_students,
    the_statistic_counts_standard_errors_of_the_mean,
    error_and_allowance_widen_the_theory_once_each,
    the_resolution_is_the_smallest_margin_that_passes,
    skewness_widens_the_side_of_the_missing_tail,
    heavy_tails_are_undecided,
    few_replicas_are_undecided,
    deterministic_observables_are_compared_exactly,
    outcomes_have_an_honest_width,
    a_family_shares_its_rate,
    a_claim_is_as_good_as_its_worst_component,
    needed_replicas_decide,
]

# (name, module, text, its replacement)
MUTANTS = [
    ("no abs", "decide", "np.abs(mean - theory) - tolerance", "(mean - theory) - tolerance"),
    ("no abs, other side", "decide", "np.abs(mean - theory) - tolerance", "(theory - mean) - tolerance"),
    ("wrong sign of the theory", "decide", "np.abs(mean - theory) - tolerance", "np.abs(mean + theory) - tolerance"),
    ("tolerance added", "decide", "np.abs(mean - theory) - tolerance", "np.abs(mean - theory) + tolerance"),
    ("allowance ignored", "decide", "tolerance = theory_error + allowance", "tolerance = theory_error"),
    ("allowance twice", "decide", "tolerance = theory_error + allowance", "tolerance = theory_error + allowance * 2"),
    ("theory error ignored", "decide", "tolerance = theory_error + allowance", "tolerance = allowance"),
    ("theory error twice", "decide", "tolerance = theory_error +", "tolerance = 2 * theory_error +"),
    ("margin ignored in refuting", "decide", "(towards + margin) / error", "towards / error"),
    ("margin twice in refuting", "decide", "(towards + margin) / error", "(towards + 2 * margin) / error"),
    ("margin ignored in passing", "decide", "& (resolution <= margin)", "& (resolution <= np.inf)"),
    ("margin twice in passing", "decide", "& (resolution <= margin)", "& (resolution <= 2 * margin)"),
    ("not significant is a pass", "decide", "& (resolution <= margin)", ""),
    ("one-sided pass, above", "decide", "np.maximum(upper - theory, theory - lower)", "upper - theory"),
    ("one-sided pass, below", "decide", "np.maximum(upper - theory, theory - lower)", "theory - lower"),
    ("pass by the mean alone", "decide", "np.maximum(upper - theory, theory - lower)", "np.abs(mean - theory)"),
    ("wrong side of the interval", "decide", "mean >= theory, mean - lower", "mean < theory, mean - lower"),
    ("refuted below the threshold", "decide", "(statistic > threshold)", "(statistic < threshold)"),
    ("tails trusted", "decide", "deterministic | (share <= largest_share(max(n, FEWEST)))", "deterministic | True"),
    ("few replicas trusted", "decide", "FEWEST = 8", "FEWEST = 3"),
    ("too many replicas asked", "decide", "FEWEST = 8", "FEWEST = 9"),
    ("mean not clipped", "decide", "np.where(deterministic, np.clip(mean, low, high), mean)", "mean"),
    ("spread called rounding", "decide", "rounding = 64 * ", "rounding = 1e16 * "),
    ("rate not split", "decide", "rate=rate / max(random, 1)", "rate=rate"),
    ("needed ignores the margin", "decide", "gap = abs(margin - self._excess(at))", "gap = abs(self._excess(at))"),
    ("needed counts twice", "decide", "missed) - self.samples", "missed) - 2 * self.samples"),
    ("size without missed alarms", "decide", "width + z * sqrt(", "width + 0 * sqrt("),
    ("size linear in sigma", "decide", "ratio * sqrt(n) >= width", "sqrt(ratio * n) >= width"),
    ("no square root of n", "intervals", "scale * np.sqrt(total / (n - 1) / n)", "scale * np.sqrt(total / (n - 1))"),
    ("variance over n", "intervals", "scale * np.sqrt(total / (n - 1) / n)", "scale * np.sqrt(total / n / n)"),
    ("scale forgotten", "intervals", "error = scale * np.sqrt(", "error = np.sqrt("),
    ("normal threshold", "intervals", "float(t.isf(rate / 2, n - 1))", "float(t.isf(rate / 2, 10**9))"),
    ("one-sided threshold", "intervals", "float(t.isf(rate / 2, n - 1))", "float(t.isf(rate, n - 1))"),
    ("threshold inside Student's", "intervals", "np.maximum(_hall(u, quantile), quantile)", "0.9 * quantile + 0 * u"),
    ("no skewness", "intervals", "np.maximum(_hall(u, quantile), quantile)", "quantile + 0 * u"),
    ("skewness to the wrong side", "intervals", "reach_up = widened_critical_value(np.maximum(skew", "reach_up = widened_critical_value(np.maximum(-skew"),  # noqa: E501
    ("sides swapped", "intervals", "mean - reach_down * error, mean + reach_up * error", "mean - reach_up * error, mean + reach_down * error"),  # noqa: E501
    ("outcomes miscounted, above", "intervals", "hits + 1, np.maximum", "hits + 2, np.maximum"),
    ("outcomes miscounted, below", "intervals", "n - hits + 1), 0.0", "n - hits + 2), 0.0"),
    ("outcomes one-sided", "intervals", "beta.isf(rate / 2", "beta.isf(rate"),
    ("one refuted component overlooked", "verdicts", 'if "refuted" in kinds', 'if kinds == {"refuted"}'),
    ("one consistent component is enough", "verdicts", 'elif kinds == {"consistent"}', 'elif "consistent" in kinds'),
    ("best resolution shown", "verdicts", "max(part.resolution for", "min(part.resolution for"),
    ("mildest component shown", "verdicts", "max(carrying, key=_severity)", "min(self.components, key=_severity)"),
]  # fmt: skip

SOURCES = {
    "decide": hermiton.verification.decide,
    "intervals": hermiton.verification.intervals,
    "verdicts": hermiton.verification.verdicts,
}
PACKAGE = "hermiton.verification"


def text_of(name: str) -> str:
    return Path(str(SOURCES[name].__file__)).read_text()


@pytest.fixture
def build() -> Iterator[Callable[[str, str, str], ModuleType]]:
    """Executes an edited copy of one module, and `decide` on top of it, under names of their own."""
    made: list[str] = []

    def execute(name: str, source: str) -> ModuleType:
        alias = f"{PACKAGE}._mutant_{name}"
        spec = importlib.util.spec_from_loader(alias, loader=None)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        module.__package__ = PACKAGE
        sys.modules[alias] = module  # dataclasses look their module up
        made.append(alias)
        exec(compile(source, f"<mutant of {name}>", "exec"), module.__dict__)
        return module

    def make(name: str, old: str, new: str) -> ModuleType:
        source = text_of(name)
        assert old in source, f"no {old!r} in {name}.py any more: update the mutant"
        mutant = execute(name, source.replace(old, new))
        if name == "decide":
            return mutant
        return execute("decide", text_of("decide").replace(f"from .{name} import", f"from ._mutant_{name} import"))

    yield make
    for alias in made:
        sys.modules.pop(alias, None)


def failures(module: ModuleType) -> list[str]:
    failed = []
    for check in PROPERTIES:
        try:
            with np.errstate(all="ignore"):
                check(module)
        except Exception as error:  # a crash is caught as well as a wrong answer
            failed.append(f"{check.__name__}: {type(error).__name__}")
    return failed


@pytest.mark.parametrize("check", PROPERTIES, ids=lambda check: check.__name__)
def test_the_real_procedure_has_the_property(check: Property) -> None:
    check(hermiton.verification.decide)


def test_an_unchanged_copy_survives(build: Callable[[str, str, str], ModuleType]) -> None:
    # Otherwise the mutants might die of being copies.
    for name in SOURCES:
        assert failures(build(name, "import numpy as np", "import numpy as np")) == []


@pytest.mark.parametrize(("name", "module", "old", "new"), MUTANTS, ids=[mutant[0] for mutant in MUTANTS])
def test_every_mutant_is_caught(
    build: Callable[[str, str, str], ModuleType], name: str, module: str, old: str, new: str
) -> None:
    assert old != new
    assert failures(build(module, old, new)), f"no property notices: {name}"
