"""The setting of unconstrained features, its derivation, and its starts: what is refused, and what is shown."""

from typing import Any

import numpy as np
import pytest
import sympy as sp

import hermiton as hm
from hermiton.numerics.features import CollapsedFeatures, Features
from hermiton.theory.errors import AssumptionError, DerivationError
from hermiton.theory.systems import OdeSystem
from hermiton.theory.unconstrained_features import UnconstrainedFeatures
from hermiton.theory.unconstrained_features.checks import Slope, frame


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", 1),
        ("classes", True),
        ("classes", 2.0),
        ("per_class", 0),
        ("per_class", "4"),
        ("dimension", 0),
        ("dimension", 1),  # no room for the frame of 3 classes
        ("loss", "hinge"),
        ("loss", None),
        ("normalisation", "N"),
        ("decay_weights", -0.1),
        ("decay_weights", float("nan")),
        ("decay_features", float("inf")),
        ("decay_features", "0.1"),
        ("decay_features", True),
        ("bias", 1),
    ],
)
def test_bad_settings_are_refused(name: str, value: Any) -> None:
    with pytest.raises(AssumptionError, match=f"^{name}="):
        UnconstrainedFeatures(**{name: value})


def test_room_for_the_frame() -> None:
    """A simplex of C vectors needs C - 1 dimensions, an orthogonal frame C."""
    assert UnconstrainedFeatures(3, 1, 2).simplex
    assert UnconstrainedFeatures(3, 1, 2, loss="cross_entropy", bias=False).simplex
    assert not UnconstrainedFeatures(3, 1, 3, bias=False).simplex
    with pytest.raises(AssumptionError, match="dimension=2 has no room"):
        UnconstrainedFeatures(3, 1, 2, bias=False)


def test_what_systems_are_bound_to() -> None:
    setting = UnconstrainedFeatures(2, 2, 3, normalisation="samples", decay_weights=sp.Rational(1, 3))
    assert setting.sizes == {"C": 2, "d": 3, "N": 4}
    assert setting.labels == ((1, 1, 0, 0), (0, 0, 1, 1))
    assert setting.normaliser == 4
    assert UnconstrainedFeatures().normaliser == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"W": [[1.0, 2.0]], "H": [[1.0]]},
        {"W": [1.0], "H": [[1.0]]},
        {"W": [[np.nan]], "H": [[1.0]]},
        {"W": [[1.0]], "H": [["x"]]},
        {"W": [[1.0]], "H": [[1.0]], "b": [1.0, 2.0]},
        {"W": np.zeros((0, 1)), "H": [[1.0]]},
    ],
)
def test_bad_features_are_refused(arguments: Any) -> None:
    with pytest.raises(AssumptionError):
        Features(**arguments)


def test_features_are_copies_and_cannot_be_changed() -> None:
    W = np.ones((2, 1))
    start = Features(W, np.ones((1, 4)))
    W[0, 0] = 5
    assert start.W[0, 0] == 1
    assert start.b is not None
    assert not start.b.any()
    with pytest.raises(ValueError, match="read-only"):
        start.W[0, 0] = 2


@pytest.mark.parametrize("value", [float("nan"), "1", True, None])
def test_bad_collapsed_features_are_refused(value: Any) -> None:
    with pytest.raises(AssumptionError, match=r"^eta="):
        CollapsedFeatures(1.0, value)


def test_a_start_of_other_sizes_is_refused() -> None:
    with pytest.raises(AssumptionError, match="has shape"):
        hm.solve(UnconstrainedFeatures(3, 2, 4), Features(np.ones((3, 4)), np.ones((4, 5))), [1.0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_every_statement_is_derived(loss: Any, bias: bool) -> None:
    setting = UnconstrainedFeatures(loss=loss, bias=bias)
    derivation = hm.derive(setting)
    assert derivation.setting == setting
    assert derivation.standing == "derived"
    assert all(type(system) is OdeSystem for system in derivation.systems)
    assert [[s.name for s in system.states] for system in derivation.systems] == (
        [["W", "H", "b"], ["alpha", "eta", "zeta"]] if bias else [["W", "H"], ["alpha", "eta"]]
    )
    keys = {statement.key for statement in derivation.statements}
    wanted = {"rate_W", "rate_H", "conservation", "collapsed_alpha", "collapsed_eta", "rate_p", "rate_p_free"}
    wanted |= {"p_balanced", "p_unbalanced", "p_ridge", "threshold", "riccati"} if loss == "mse" else {"p_implicit"}
    assert wanted <= keys
    assert all(statement.source for statement in derivation.statements)
    assert r"\alpha" in derivation.latex()
    assert "d H[i, s]/dt" in derivation.source()


def test_sizes_and_decays_share_one_proof() -> None:
    first, second = (hm.derive(UnconstrainedFeatures(classes=n, decay_weights=n)) for n in (2, 4))
    assert first.statements == second.statements


def test_the_reduced_equations_at_numbers() -> None:
    """By hand: alpha = 2, eta = 1/2, n = 3, k = 2, decays 1/5 and 1/7, p = 1."""
    for loss, missing in (("mse", 0.0), ("cross_entropy", 4 / (np.e + 3))):
        reduced = hm.derive(UnconstrainedFeatures(loss=loss)).systems[1]  # type: ignore[arg-type]
        point = {"alpha": 2.0, "eta": 0.5, "zeta": 0.5, "n": 3, "C": 4, "k": 2, "lambda_W": 0.2, "lambda_H": 1 / 7}
        rates = [float(e.value.subs({s: point[s.name] for s in e.value.free_symbols})) for e in reduced.equations]
        bias = -6 * 0.25 if loss == "mse" else 0.0
        np.testing.assert_allclose(rates, [0.75 * missing - 0.4, missing - 1 / 14, bias], rtol=1e-14)


@pytest.mark.parametrize("simplex", [True, False])
def test_frames_are_exact(simplex: bool) -> None:
    for classes, dimension in ((2, 2), (3, 4)):
        U = frame(classes, dimension, simplex)
        ones = sp.ones(classes, classes) / classes if simplex else sp.zeros(classes, classes)
        assert U * U.T == sp.eye(classes) - ones
        assert all(x.is_Rational for x in U)


def test_slopes_and_rates_print() -> None:
    x, y = sp.symbols("x y")
    assert sp.latex(Slope(x * y, y)) == r"\frac{\partial}{\partial y}\left(x y\right)"


def test_a_rate_off_by_a_factor_is_refuted_with_the_place() -> None:
    from hermiton.theory.derivation import Step
    from hermiton.theory.unconstrained_features.checks import AlongFlow, Rate
    from hermiton.theory.unconstrained_features.collapsed import alpha, collapsed_flow, eta

    along = AlongFlow(collapsed_flow("mse", True), {}, ({},))
    with pytest.raises(DerivationError, match="along the flow"):
        Step(Rate(alpha), 2 * eta, "wrong", along)
