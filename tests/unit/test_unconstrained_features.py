"""The setting of unconstrained features, its derivation, and its starts: what is refused, and what is shown."""

from typing import Any

import numpy as np
import pytest
import sympy as sp

import hermiton as hm
from hermiton.numerics.features import CollapsedFeatures, ExtendedFeatures, Features
from hermiton.theory.errors import AssumptionError, DerivationError
from hermiton.theory.systems import OdeSystem
from hermiton.theory.unconstrained_features import UnconstrainedFeatures
from hermiton.theory.unconstrained_features.checks import ByAlgebra, Slope, frame
from hermiton.theory.unconstrained_features.squares import BySquares, is_sum_of_squares
from hermiton.theory.unconstrained_features.words import InWords, Trace, letters


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
        ("layers", 3),
        ("layers", True),
        ("layers", "2"),
        ("decay_hidden", 0.1),  # there is no second layer
        ("decay_hidden", float("nan")),
    ],
)
def test_bad_settings_are_refused(name: str, value: Any) -> None:
    with pytest.raises(AssumptionError, match=f"^{name}="):
        UnconstrainedFeatures(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("loss", "cross_entropy"), ("bias", True), ("decay_hidden", -1.0), ("dimension", 2)]
)
def test_what_two_layers_do_not_cover_is_refused(name: str, value: Any) -> None:
    with pytest.raises(AssumptionError, match=f"^{name}="):
        UnconstrainedFeatures(**{"layers": 2, "bias": False, name: value})


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


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("W1", {"W2": np.ones((3, 4)), "W1": np.ones((4, 3)), "H": np.ones((4, 6))}),
        ("H", {"W2": np.ones((3, 4)), "W1": np.ones((4, 4)), "H": np.ones((3, 6))}),
        ("W2", {"W2": np.ones(4), "W1": np.ones((4, 4)), "H": np.ones((4, 6))}),
        ("W1", {"W2": np.ones((1, 1)), "W1": [[np.inf]], "H": np.ones((1, 2))}),
    ],
)
def test_bad_extended_features_are_refused(name: str, arguments: Any) -> None:
    with pytest.raises(AssumptionError, match=f"^{name}="):
        ExtendedFeatures(**arguments)


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
    wanted |= {"gram_gap", "imbalance_decay", *(("cost_rate", "cost_gap", "aligned_features") if loss == "mse" else ())}
    assert ("end_gram" in keys) == (loss == "mse" and not bias)
    assert ("central_cost" in keys) == (loss == "mse" and bias)
    assert "bridge_W" not in keys  # four features a class
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


def test_one_feature_a_class_is_a_collapsed_cluster() -> None:
    """The bridge holds for n = 1 and k = 1 alone, with bias."""
    derivation = hm.derive(UnconstrainedFeatures(per_class=1))
    keys = {statement.key for statement in derivation.statements}
    assert {
        "cluster_beta",
        "bridge_E",
        "bridge_W",
        "bridge_beta",
        "bridge_b",
        "cluster_masses",
        "truncated_rate",
    } <= keys
    assert derivation.standing == "derived"
    for other in (UnconstrainedFeatures(per_class=1, normalisation="samples"), UnconstrainedFeatures()):
        assert "bridge_W" not in {statement.key for statement in hm.derive(other).statements}


def test_two_layers_are_derived() -> None:
    setting = UnconstrainedFeatures(bias=False, layers=2, decay_hidden=sp.Rational(1, 10))
    derivation = hm.derive(setting)
    assert derivation.standing == "derived"
    assert [[s.name for s in system.states] for system in derivation.systems] == [
        ["W2", "W1", "H"],
        ["a2", "a1", "eta"],
    ]
    wanted = {"rate_W2", "rate_W1", "rate_H", "conservation", "conservation_weights", "collapsed_a1", "equilibrium"}
    assert wanted | {"equilibrium_exists", "equilibrium_cost", "origin", "stability", "p_implicit", "p_late"} <= {
        statement.key for statement in derivation.statements
    }
    assert all(statement.source for statement in derivation.statements)
    assert "definition only" in derivation.statement("rate_W1").source
    assert "d W1[i, j]/dt" in derivation.source()


def test_the_reduced_equations_of_two_layers_at_numbers() -> None:
    """By hand: a2 = 2, a1 = 3, eta = 1/4, n = 5, k = 2: p = 3/2."""
    reduced = hm.derive(UnconstrainedFeatures(bias=False, layers=2)).systems[1]
    point = {"a2": 2.0, "a1": 3.0, "eta": 0.25, "n": 5, "k": 2, "lambda_2": 0.5, "lambda_1": 0.1, "lambda_H": 0.2}
    rates = [float(e.value.subs({s: point[s.name] for s in e.value.free_symbols})) for e in reduced.equations]
    # n/k (1-p) a1 eta = -15/16, n/k (1-p) a2 eta = -5/8, (1-p) a2 a1/k = -3/2
    np.testing.assert_allclose(rates, [-15 / 16 - 1, -5 / 8 - 0.3, -1.5 - 0.05], rtol=1e-14)


def test_words() -> None:
    """A wrong identity is refuted, with rules and under a trace."""
    A, B, At = letters("A B A^T")
    assert InWords()((A + B) ** 2, A * A + A * B + B * A + B * B).standing == "derived"
    assert InWords()(Trace(A * B * A), Trace(A * A * B)).standing == "derived"
    assert InWords(((A * B, sp.Integer(1)),), "AB = I")(A * A * B * B, sp.Integer(1)).standing == "derived"
    assert InWords(((B * A, 2 * At),))(Trace(A * At * B), 2 * Trace(At * At)).standing == "derived"  # round the trace
    for lhs, rhs in (
        ((A + B) ** 2, A * A + 2 * A * B + B * B),
        (A * B * A, A * A * B),
        (Trace(A * At * B), Trace(At * A * B)),
        (Trace(A * B), A * B),
    ):
        with pytest.raises(DerivationError, match="as words"):
            InWords()(lhs, rhs)


def test_squares() -> None:
    """An inequality needs both the identity and a rest that is visibly of one sign."""
    x, y = sp.symbols("x y", real=True)
    R, Rt, F = letters("R R^T F")
    algebra = ByAlgebra(positive=False)
    assert "at least" in BySquares(algebra, 2 * x * y)(x**2 + y**2, 2 * x * y + (x - y) ** 2).detail
    assert "at most" in BySquares(algebra, x**2, below=True)(x**2 - y**2, x**2 - y**2).detail
    assert is_sum_of_squares(3 * Trace(Rt * R))
    assert not is_sum_of_squares(Trace(R * F))
    assert not is_sum_of_squares(-Trace(Rt * R))
    assert not is_sum_of_squares(x)
    with pytest.raises(DerivationError, match="no sum of squares"):
        BySquares(algebra, x**2)(x**2 - y**2, x**2 - y**2)
    with pytest.raises(DerivationError, match="not equal"):
        BySquares(algebra, sp.S.Zero)(x**2 + y**2, x**2)
