"""Measured error rates of `decide`: how often a true theory is refuted, a wrong one passed, a promised sample size
missed."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from hermiton.verification.decide import _judge, decide, sample_size

pytestmark = pytest.mark.statistical

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
RATE = 1e-3
VERDICTS = 100_000
CHUNK = 10_000


def relu_squared_means(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Means of 200 draws of relu(Z)^2: given the number k of positive draws, their squares sum to a chi-square of k."""
    positive = rng.binomial(200, 0.5, shape)
    return rng.chisquare(positive) / 200


def exp2_means(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    total = np.zeros(shape)
    for _ in range(200):
        total += np.exp(2 * rng.standard_normal(shape))
    return total / 200


# name -> (sampler, true mean)
CLASSES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, shape: rng.standard_normal(shape), 0.0),
    "uniform": (lambda rng, shape: rng.random(shape), 0.5),
    "relu squared": (relu_squared_means, 0.5),
    "exponential": (lambda rng, shape: rng.standard_exponential(shape), 1.0),
    "negative exponential": (lambda rng, shape: -rng.standard_exponential(shape), -1.0),
    "exp(Z)": (lambda rng, shape: np.exp(rng.standard_normal(shape)), float(np.exp(0.5))),
    "mean of exp(2Z)": (exp2_means, float(np.exp(2.0))),
}


def counts(name: str, n: int, *, margin: float = 0.0, shift: float = 0.0, verdicts: int = VERDICTS) -> tuple[int, int]:
    """Refuted and consistent verdicts of a theory that is off by ``shift``; seed made of the case, not chosen."""
    draw, mean = CLASSES[name]
    rng = np.random.default_rng([n, *name.encode()])
    refuted = consistent = 0
    zero = np.zeros(CHUNK)
    for _ in range(verdicts // CHUNK):
        sample = draw(rng, (n, CHUNK))
        judged = _judge(name, sample, zero + mean + shift, zero, zero, zero + margin, rate=RATE)
        refuted += int(judged.refuted.sum())
        consistent += int(judged.consistent.sum())
    return refuted, consistent


@pytest.mark.parametrize("n", [8, 16, 32, 64])
@pytest.mark.parametrize("name", ["normal", "uniform", "relu squared", "exponential", "negative exponential"])
def test_true_theories_are_refuted_at_most_at_the_nominal_rate(name: str, n: int) -> None:
    refuted, consistent = counts(name, n)
    assert refuted <= binom.ppf(0.99, VERDICTS, RATE)  # 124
    assert consistent == 0  # margin 0: no random sample shows agreement to within nothing


@pytest.mark.parametrize(("name", "verdicts"), [("exp(Z)", VERDICTS), ("mean of exp(2Z)", 20_000)])
def test_exponentials_of_gaussians_stay_within_what_the_docstring_admits(name: str, verdicts: int) -> None:
    # Not within the nominal rate: documented under Validity as up to 3e-3.
    refuted, _ = counts(name, 64, verdicts=verdicts)
    assert refuted <= binom.ppf(0.99, verdicts, 3e-3)


def test_the_rate_is_not_bought_by_never_refuting() -> None:
    # Normal samples at n = 256, where the corrections are small: the rate must be near its nominal value from below
    # too.
    refuted, _ = counts("normal", 256)
    assert refuted >= binom.ppf(0.01, VERDICTS, 0.5 * RATE)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("name", ["normal", "relu squared", "exponential"])
def test_theories_off_by_the_margin_pass_at_most_at_the_nominal_rate(name: str, sign: float) -> None:
    # The margin is such that most true theories pass: that wrong ones do not is then not for lack of data.
    scale = {"normal": 1.0, "relu squared": np.sqrt(1.25 / 200), "exponential": 1.0}[name]
    margin = 1.5 * scale
    _, passed_true = counts(name, 64, margin=margin, verdicts=CHUNK)
    assert passed_true > 0.5 * CHUNK
    refuted, passed_wrong = counts(name, 64, margin=margin, shift=sign * margin)
    assert passed_wrong <= binom.ppf(0.99, VERDICTS, RATE)
    assert refuted <= binom.ppf(0.99, VERDICTS, RATE)  # at the margin exactly it still counts as agreement


@pytest.mark.parametrize(("margin", "rate", "missed"), [(0.5, 1e-3, 1e-2), (0.8, 1e-5, 1e-2), (1.0, 1e-2, 0.1)])
def test_the_promised_sample_size_decides(margin: float, rate: float, missed: float) -> None:
    n = sample_size(1.0, margin, rate, missed)
    rng = np.random.default_rng([n, 7])
    zero = np.zeros(CHUNK)
    judged = [
        _judge("size", rng.standard_normal((n, CHUNK)), zero + shift * margin, zero, zero, zero + margin, rate=rate)
        for shift in (0.0, 2.0, -2.0)
    ]
    missed_bound = binom.ppf(0.999, CHUNK, missed)
    assert CHUNK - judged[0].consistent.sum() <= missed_bound
    assert CHUNK - judged[1].refuted.sum() <= missed_bound
    assert CHUNK - judged[2].refuted.sum() <= missed_bound


def test_one_verdict_is_the_vectorised_verdict() -> None:
    # What the counts above measure is what a user calls.
    rng = np.random.default_rng(11)
    sample = rng.standard_exponential((24, 200))
    theory = rng.uniform(0.0, 2.0, 200)
    judged = _judge("both", sample, theory, np.full(200, 0.01), np.full(200, 0.02), np.full(200, 0.6), rate=RATE)
    for at in range(200):
        verdict = decide(
            "both", theory=theory[at], theory_error=0.01, allowance=0.02, margin=0.6, sample=sample[:, at],
            false_alarm_rate=RATE,
        )  # fmt: skip
        assert (verdict.verdict == "refuted") == judged.refuted[at]
        assert (verdict.verdict == "consistent") == judged.consistent[at]
        assert verdict.statistic == pytest.approx(judged.statistic[at], rel=1e-12)
