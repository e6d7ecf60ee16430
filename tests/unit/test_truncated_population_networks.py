"""Truncated populations against networks: what is drawn, how it is truncated, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from scipy.stats import kstest, norm

from hermiton.numerics.derive import derive
from hermiton.numerics.events import solve_by_events
from hermiton.numerics.population import PopulationStart
from hermiton.theory.derivation import Derivation
from hermiton.theory.errors import AccuracyError, AssumptionError
from hermiton.theory.notation import z
from hermiton.theory.truncated_population import TruncatedPopulation, population_flow
from hermiton.theory.truncated_population.flow import RATES
from hermiton.verification import truncated_population as chapter
from hermiton.verification.truncated_population import (
    default_start,
    simulate_truncated_population,
    verify_truncated_population,
)

UNIFORM = TruncatedPopulation("uniform", 1.5)


@pytest.mark.parametrize(
    ("distribution", "exact"),
    [
        ("normal", norm.cdf),
        ("uniform", lambda x: np.clip(x, 0, 1)),
        ("Max(0, 1 - exp(-z/100))", lambda x: 1 - np.exp(-np.maximum(x, 0) / 100)),
        (sp.Piecewise((0, z < 3), (1 - 27 / z**3, True)), lambda x: 1 - 27 / np.maximum(x, 3) ** 3),
    ],
)
def test_points_are_drawn_from_the_distribution(distribution: Any, exact: Any) -> None:
    levels = np.random.default_rng(3).random(4000)
    points = chapter._points(TruncatedPopulation(distribution, 1), levels)
    assert np.abs(exact(points) - levels).max() < 1e-12
    assert kstest(points, exact).pvalue > 1e-4


def test_a_replica_is_the_descent_of_its_points() -> None:
    """Against the exact path of the same points: the deviation is of first order in the step."""
    gaps = []
    for step in (0.05, 0.025):
        sample = simulate_truncated_population(UNIFORM, 0.2, [0.5, 1.0, 2.0], samples=50, step=step, replicas=3, rng=5)
        for r in range(3):
            levels = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(r,))).random(50)
            path = solve_by_events(levels, 1 / 50, 1.5 / 50, 0.2)
            found = sample.data.isel(replica=r)
            gaps.append(float(np.abs(found["threshold"] - path([0.5, 1.0, 2.0])).max()))
            clamped = np.maximum(levels, found["threshold"].values[:, None])
            assert found["truncated_fraction"].values == pytest.approx((clamped > levels).mean(axis=1))
            assert found["within_class_mean"].values == pytest.approx(clamped.mean(axis=1))
            assert found["within_class_variance"].values == pytest.approx(clamped.var(axis=1))
    coarse, fine = np.mean(gaps[:3]), np.mean(gaps[3:])
    assert fine < 0.03 and 1.5 < coarse / fine < 2.5


def test_replicas_do_not_depend_on_their_number() -> None:
    few, many = (simulate_truncated_population(UNIFORM, 0.2, [1.0], samples=40, replicas=n, rng=1) for n in (3, 27))
    for name in few.data:
        assert few.data[name].values == pytest.approx(many.data[name].values[:3], rel=1e-12)
    assert len(np.unique(many.data["threshold"])) == 27


def test_default_start() -> None:
    assert default_start(UNIFORM) == 0.2
    assert default_start(TruncatedPopulation("uniform", -1)) == 0.8


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"start": "0"}, "start"),
    ({"start": np.nan}, "start"),
    ({"times": [0.51]}, "times"),
    ({"times": [2.0, 1.0]}, "times"),
    ({"samples": 0}, "samples"),
    ({"samples": 2.5}, "samples"),
    ({"replicas": 0}, "replicas"),
    ({"step": 0}, "step"),
    ({"executor": 3}, "executor"),
    ({"store": 3}, "store"),
]


@pytest.mark.parametrize(("arguments", "name"), REFUSED)
def test_what_can_not_be_simulated(arguments: dict[str, Any], name: str) -> None:
    given = {"start": 0.2, "times": [1.0], "step": 0.05, **arguments}
    with pytest.raises(AssumptionError, match=name):
        simulate_truncated_population(UNIFORM, given.pop("start"), given.pop("times"), **given)


def test_a_start_of_another_population() -> None:
    start = PopulationStart(TruncatedPopulation("Max(0, 1 - exp(-z))", 2), 0.5)
    with pytest.raises(AssumptionError, match="another distribution"):
        simulate_truncated_population(UNIFORM, start, [1.0])


def test_steps_that_diverge() -> None:
    with pytest.raises(AccuracyError, match="diverge"):
        simulate_truncated_population(TruncatedPopulation("uniform", 1.5, 1e14), 0.2, [400.0], step=100, samples=20)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"times": [0.0, 1.0]}, "times"),
        ({"times": [0.05]}, "times"),
        ({"samples": 20}, "samples"),
        ({"replicas": 7}, "replicas"),
        ({"margin": 0}, "margin"),
        ({"fluctuation_margin": 1.5}, "fluctuation_margin"),
        ({"false_alarm_rate": 0}, "false_alarm_rate"),
    ],
)
def test_what_can_not_be_verified(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(AssumptionError, match=name):
        verify_truncated_population(UNIFORM, 0.2, **{"times": [1.0], "step": 0.05, **arguments})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks do not depend on the theory: they run once."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [(), ("v", "V")])
def test_networks_tell_right_from_wrong(wrong: tuple[str, ...], runs: Path) -> None:
    """The theory is consistent with networks; with a tenth of a rate the claim on its state is refuted."""
    theory = derive(UNIFORM)
    if wrong:
        flow = population_flow(UNIFORM.cumulative, UNIFORM.density, {state: RATES[state] / 10 for state in wrong})
        theory = Derivation(theory.title, UNIFORM, theory.statements, (flow,))
    report = verify_truncated_population(
        UNIFORM,
        0.2,
        [0.5, 1.0],
        samples=400,
        step=0.05,
        replicas=300,
        margin=0.1,
        fluctuation_margin=0.8,
        rng=1,
        derivation=theory,
        store=runs,
    )
    verdicts = {claim.claim: claim.verdict for claim in report.verdicts}
    refuted = ("within_class_variance", "fluctuation_variance") if wrong else ()
    for key, claim in chapter.CLAIMS.items():
        assert verdicts[claim] == ("refuted" if key in refuted else "consistent"), key
    assert report.table()
