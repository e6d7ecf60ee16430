"""Wrong truncation flows are refuted by `verify`: the real network sees a changed sign, rate or target."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
import sympy as sp

import hermiton as hm
from hermiton.theory.derivation import Derivation
from hermiton.theory.systems import IndexSum, Passed
from hermiton.theory.truncation import Truncation, truncation_flow
from hermiton.theory.truncation.statements import LOSS, RATE, THETA, TRUNCATED_MASS, WEIGHT, T, U, i, j
from hermiton.verification import truncation as room
from hermiton.verification.report import Report

TIMES = [0.5, 1.0, 1.5, 2.0]


def problem() -> Truncation:
    rng = np.random.default_rng(11)
    labels = np.arange(60) % 2
    points = np.array([[0.0, 0.0], [1.0, -1.0]])[labels] + rng.normal(size=(60, 2))
    return Truncation(points, labels, [[3.0, 4.0], [4.0, 2.0]], rng.uniform(0.5, 1.5, size=60) / 60)


@functools.cache
def judged(rate: sp.Expr = RATE, loss: sp.Expr = LOSS, mass: sp.Expr = TRUNCATED_MASS) -> Report:
    setting = problem()
    theory = Derivation("mutant", setting, (), (truncation_flow(rate, loss, mass),))
    return hm.verify(setting, times=TIMES, halvings=2, derivation=theory)


def of_body(change: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
    return IndexSum(change(RATE.body), RATE.index, RATE.size)


RATES = {
    "the rate with the other sign of the target": RATE.xreplace({T[i, j]: -T[i, j]}),
    "half the rate": of_body(lambda body: body / 2),
    "the rate off by 2 %": of_body(lambda body: sp.Rational(102, 100) * body),
    "samples count alike": RATE.xreplace({WEIGHT[i]: sp.Rational(1, 60)}),
    "samples on the other side of the threshold": of_body(
        lambda body: Passed(U[i, j], THETA[j]) * WEIGHT[i] * (U[i, j] - THETA[j])
    ),
}


def test_the_right_flow_is_consistent() -> None:
    assert judged().verdict == "consistent"


@pytest.mark.parametrize("name", RATES)
def test_a_wrong_rate_is_refuted(name: str) -> None:
    found = {claim.claim: claim.verdict for claim in judged(RATES[name]).verdicts}
    assert found[room.CLAIMS["threshold"]] == "refuted"
    assert found[room._VELOCITY] == "refuted"


def test_wrong_observables_are_refuted() -> None:
    twice = IndexSum(2 * TRUNCATED_MASS.body, TRUNCATED_MASS.index, TRUNCATED_MASS.size)
    found = {claim.claim: claim.verdict for claim in judged(loss=LOSS * 101 / 100, mass=twice).verdicts}
    assert found[room.CLAIMS["loss"]] == "refuted"
    assert found[room.COUNTED["truncated_mass"]] == "refuted"
    assert found[room.CLAIMS["threshold"]] == found[room._VELOCITY] == "consistent"


def test_a_constant_deviation_is_no_first_order() -> None:
    found = {claim.claim: claim for claim in judged(RATES["half the rate"]).verdicts}
    assert found[room._ORDER].verdict == "refuted"
    assert abs(found[room._ORDER].components[0].mean) < 0.2
