"""Online SGD of real networks against the order-parameter equations, case by case.

Each `verify` refutes a true theory with probability 1e-4 at most. The rule of thumb, |mean - theory| <= 4 standard
errors + c/N, is asserted for the test error: with 64 networks it fails by chance with probability 1.7e-4 a time
(Student's t).
"""

import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import sympy as sp
import xarray as xr

import hermiton as hm
from hermiton.theory.notation import z
from hermiton.verification.store import RunStore

pytestmark = pytest.mark.statistical

FALSE_ALARMS = 1e-4
# Declared in advance, as a share of the test error and of the largest overlap.
MARGIN = 0.05
DIMENSION, REPLICAS, SEED = 500, 64, 7
TIMES = [1.0, 2.0, 5.0]
Q2 = np.array([[0.2, 0.05], [0.05, 0.25]])
Q3 = np.array([[0.2, 0.05, 0.02], [0.05, 0.25, -0.03], [0.02, -0.03, 0.3]])
R2 = np.array([[0.1, 0.02], [0.03, 0.12]])
R3 = np.array([[0.1, 0.02], [0.03, 0.12], [-0.05, 0.04]])
ONES = np.ones(2)
CUBIC = sp.Rational(3, 10) * (z**2 - 1) + sp.Rational(1, 10) * (z**3 - 3 * z)


def erf_22() -> tuple[hm.OnlineSGD, hm.Overlaps]:
    return hm.OnlineSGD(learning_rate=0.5), hm.Overlaps(Q=Q2, R=R2, T=np.eye(2), v=ONES, A=ONES)


def erf_32() -> tuple[hm.OnlineSGD, hm.Overlaps]:
    return (
        hm.OnlineSGD(hidden=3, teacher_hidden=2, learning_rate=0.5, second_layer_rate=0.5, noise=0.1),
        hm.Overlaps(Q=Q3, R=R3, T=np.eye(2), v=[0.8, 0.9, 1.0], A=ONES),
    )


def cubic_22() -> tuple[hm.OnlineSGD, hm.Overlaps]:
    return (
        hm.OnlineSGD(student=CUBIC, teacher=CUBIC, learning_rate=0.1),
        hm.Overlaps(Q=Q2 + 0.3 * np.eye(2), R=[[0.2, 0.02], [0.03, 0.25]], T=np.eye(2), v=ONES, A=ONES),
    )


def tanh_22() -> tuple[hm.OnlineSGD, hm.Overlaps]:
    return (
        hm.OnlineSGD(student="tanh", teacher="tanh", learning_rate=0.5, second_layer_rate=0.2, noise=0.1),
        hm.Overlaps(Q=Q2, R=R2, T=np.eye(2), v=ONES, A=ONES),
    )


def relu_22() -> tuple[hm.OnlineSGD, hm.Overlaps]:
    return (
        hm.OnlineSGD(student="relu", teacher="relu", learning_rate=0.2, second_layer_rate=0.1, noise=0.1),
        hm.Overlaps(Q=Q2, R=R2, T=np.eye(2), v=ONES, A=ONES),
    )


class MemoryStore(RunStore):
    """The runs that the allowance is measured from serve both precisions."""

    def __init__(self) -> None:
        super().__init__("unused")
        self.runs: dict[str, xr.Dataset] = {}

    def load(self, spec: Any) -> xr.Dataset | None:
        return self.runs.get(self.key(spec))

    def save(self, spec: Any, dataset: xr.Dataset) -> Any:
        self.runs[self.key(spec)] = dataset
        return self.path


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return MemoryStore()


# The gradient noise of a polynomial of degree 3 grows with power 10 of the fields: heavy tails need more networks.
CASES = [(erf_22, REPLICAS), (erf_32, REPLICAS), (cubic_22, 2 * REPLICAS), (tanh_22, REPLICAS), (relu_22, REPLICAS)]
# Every activation in float32 only where HERMITON_EXAMPLES is set: each is a compilation of the network.
SINGLE = [case for case in CASES if case[0] in (erf_32, relu_22) or "HERMITON_EXAMPLES" in os.environ]


@pytest.mark.parametrize(
    ("precision", "case", "replicas"),
    [*(("float32", *case) for case in SINGLE), *(("float64", *case) for case in CASES)],
)
def test_networks_follow_the_equations(
    case: Callable[[], tuple[hm.OnlineSGD, hm.Overlaps]],
    replicas: int,
    precision: Literal["float32", "float64"],
    store: MemoryStore,
) -> None:
    setting, start = case()
    report = hm.verify(
        setting,
        start,
        TIMES,
        dimension=DIMENSION,
        replicas=replicas,
        precision=precision,
        margin=MARGIN,
        false_alarm_rate=FALSE_ALARMS,
        rng=SEED,
        store=store,
    )
    assert report.provenance["precision"] == precision and report.provenance["method"] == "network"
    verdicts = {claim.claim: claim.verdict for claim in report.verdicts}
    assert set(verdicts.values()) == {"consistent"}
    (error,) = (claim for claim in report.verdicts if claim.claim.startswith("test error"))
    assert len(error.components) == len(TIMES)
    for component in error.components:
        assert abs(component.mean - component.theory) <= 4 * component.standard_error + component.allowance


def test_allowance_is_of_the_order_of_1_over_n(store: MemoryStore) -> None:
    """A margin of the size of the effect would let anything pass: the measured c/N stays a small part of the value."""
    setting, start = erf_22()
    report = hm.verify(setting, start, TIMES, dimension=DIMENSION, rng=SEED, store=store)
    for claim in report.verdicts:
        for component in claim.components:
            assert 0 < component.allowance < 0.05


def test_a_run_continues_from_the_given_weights() -> None:
    """Overlaps.from_weights keeps the weights: every replica starts at them, to the last bit."""
    rng = np.random.default_rng(3)
    student, teacher = rng.normal(size=(2, 200)) / 2, rng.normal(size=(2, 200))
    start = hm.Overlaps.from_weights(student, teacher, [0.9, 1.1], [1.0, -0.8])
    setting = hm.OnlineSGD(learning_rate=0.3, second_layer_rate=0.2)
    sample = hm.simulate(setting, start, [0.0, 1.0], replicas=3, rng=5)
    assert sample.provenance["dimension"] == "200"
    first = sample.data.isel(time=0)
    for replica in range(3):
        np.testing.assert_allclose(first["Q"][replica], student @ student.T / 200, rtol=1e-14)
        np.testing.assert_allclose(first["R"][replica], student @ teacher.T / 200, rtol=0, atol=1e-15)
        assert first["v"][replica].values.tolist() == [0.9, 1.1]
    assert float(sample.data.isel(time=1)["Q"].std("replica").min()) > 0


def test_given_weights_follow_the_equations(store: MemoryStore) -> None:
    """Not only the drawn weights: any weights have only their overlaps to tell."""
    rng = np.random.default_rng(3)
    signs = rng.choice([-1.0, 1.0], size=(2, DIMENSION))
    teacher = rng.normal(size=(2, DIMENSION))
    start = hm.Overlaps.from_weights(0.5 * signs + 0.1 * teacher, teacher, [0.9, 1.1], [1.0, 0.8])
    setting = hm.OnlineSGD(learning_rate=0.5, second_layer_rate=0.3, noise=0.2)
    report = hm.verify(
        setting,
        start,
        TIMES,
        replicas=REPLICAS,
        margin=MARGIN,
        false_alarm_rate=FALSE_ALARMS,
        rng=SEED,
        store=store,
    )
    assert report.provenance["dimension"] == str(DIMENSION)
    assert {claim.verdict for claim in report.verdicts} == {"consistent"}
