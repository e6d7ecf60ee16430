"""A wrong sign in the truncation chapter is refused when its step is built; a wrong equation changes the numbers."""

import numpy as np
import pytest
import sympy as sp

from hermiton.numerics.piecewise_flow import solve_flow
from hermiton.theory.errors import AssumptionError, DerivationError
from hermiton.theory.systems import IndexSum
from hermiton.theory.truncation import Truncation, truncation_flow
from hermiton.theory.truncation import statements as chapter
from hermiton.theory.truncation.statements import KEPT, RATE, THETA, WEIGHT, T, a, i, j


def refused(build) -> None:
    with pytest.raises(DerivationError):
        list(build())


MUTANTS = {
    "B1, sign": ("_VECTOR_LAW", -chapter._VECTOR_LAW, "_thresholds"),
    "B1, kept instead of truncated": (
        "_VECTOR_LAW",
        chapter._VECTOR_LAW.xreplace({1 - KEPT[i, j]: KEPT[i, j]}),
        "_thresholds",
    ),
    "general law, sign": ("_GENERAL_LAW", -chapter._GENERAL_LAW, "_biases"),
    "general law, W^T W": (
        "_GENERAL_LAW",
        chapter._GENERAL_LAW.xreplace({chapter._GRAM: sp.Integer(1)}),
        "_biases",
    ),
    "adapted law, D": ("_ADAPTED_LAW", chapter._ADAPTED_LAW * chapter.D[j], "_biases"),
    "B2, sign of the target": (
        "_IN_COORDINATES",
        chapter._IN_COORDINATES.xreplace({T[i, j]: -T[i, j]}),
        "_thresholds",
    ),
    "B2, sides of the threshold": (
        "RATE",
        IndexSum((1 - RATE.body.atoms(chapter.Passed).pop()) * WEIGHT[i] * (T[i, j] - THETA[j]), i, chapter.N),
        "_thresholds",
    ),
    "metric, g": ("_G", -chapter._G, "_metrics"),
    "metric, radius": ("_RADIUS", chapter._scale**2 - chapter._bias**2, "_metrics"),
    "closed form, growth": ("_piece", chapter._piece.subs(chapter.s, -chapter.s), "_pieces"),
    "closed form, attractor": ("_piece", 2 * chapter._star - chapter._piece, "_pieces"),
    "event time": ("_event", sp.log(1 + chapter._rest / chapter._length) / chapter._mass, "_pieces"),
    "rotation, sign": ("_OMEGA", -chapter._OMEGA, "_rotation"),
    "rotation, factor": ("_OMEGA", 2 * chapter._OMEGA, "_rotation"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_formula_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute, wrong, where = MUTANTS[name]
    assert wrong != getattr(chapter, attribute)
    build = getattr(chapter, where)
    monkeypatch.setattr(chapter, attribute, wrong)
    refused(build)


def test_a_wrong_variance_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chapter, "_tail", lambda at: sp.erfc(-at / sp.sqrt(2)) / 2)
    refused(chapter._gaussian)


def test_grouping_by_class_needs_the_right_target_and_separation() -> None:
    grouped, separated = (statement.steps[0] for statement in chapter._clusters())
    wrong = grouped.rhs.xreplace({chapter._CLASS_TARGET[a, j]: chapter._CLASS_TARGET[0, j]})
    with pytest.raises(DerivationError):
        grouped.checker(grouped.lhs, wrong)
    with pytest.raises(DerivationError):  # without separation
        grouped.checker(separated.lhs, separated.rhs)


def test_a_changed_sign_changes_the_numbers() -> None:
    """The solver has the equation from the derivation alone."""
    setting = Truncation([[0.0], [1.0], [2.0], [3.0]], [0] * 4, [[5.0]])
    times = np.array([0.0, 1.0, 50.0])
    true = solve_flow(truncation_flow(RATE), setting, [0.5], times).data.threshold.values.ravel()
    wrong_target = truncation_flow(RATE.xreplace({T[i, j]: -T[i, j]}))
    wrong = solve_flow(wrong_target, setting, [0.5], times).data.threshold.values.ravel()
    assert true[-1] == pytest.approx(5)
    assert wrong[-1] == pytest.approx(0)  # released to the first point, where it freezes
    with pytest.raises(AssumptionError, match="not positive"):
        solve_flow(truncation_flow(IndexSum(-RATE.body, RATE.index, RATE.size)), setting, [0.5], times)
