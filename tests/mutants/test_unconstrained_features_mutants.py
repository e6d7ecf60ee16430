"""Wrong versions of the collapse equations: each is refuted while its derivation is built."""

from collections.abc import Callable
from typing import Any

import pytest
import sympy as sp

from hermiton.theory.errors import DerivationError
from hermiton.theory.unconstrained_features import (
    bridge,
    central_path,
    collapsed,
    endpoint,
    extended,
    extended_solutions,
    flow,
    gap,
    riccati,
    solutions,
)
from hermiton.theory.unconstrained_features.flow import (
    C,
    E,
    H,
    IndexSum,
    N,
    W,
    a,
    feature_flow,
    flow_statements,
    i,
    k,
    lambda_H,
    lambda_W,
    s,
)

LOSSES = ["mse", "cross_entropy"]
_W, _H, _b = (flow._RATES[name] for name in ("W", "H", "b"))

FLOWS: dict[str, dict[str, sp.Expr]] = {
    "W: sign": {"W": -_W},
    "W: sign of the fit": {"W": IndexSum(E[a, s] * H[i, s], s, N) / k - lambda_W * W[a, i]},
    "W: sign of the decay": {"W": _W + 2 * lambda_W * W[a, i]},
    "W: normalisation dropped": {"W": -IndexSum(E[a, s] * H[i, s], s, N) - lambda_W * W[a, i]},
    "W: decay of the features": {"W": _W + (lambda_W - lambda_H) * W[a, i]},
    "H: sign": {"H": -_H},
    "H: own residual alone": {"H": -W[a, i].subs(a, 0) * E[0, s] / k - lambda_H * H[i, s]},
    "H: twice the fit": {"H": -2 * IndexSum(W[a, i] * E[a, s], a, C) / k - lambda_H * H[i, s]},
    "b: sign": {"b": -_b},
    "b: decay": {"b": _b - lambda_W * flow.B[a]},
}

_alpha, _eta, _zeta = collapsed.alpha, collapsed.eta, collapsed.zeta


def _reduced(loss: str) -> dict[str, dict[str, sp.Expr]]:
    rates = {e.target.name: e.value for e in collapsed.collapsed_flow(loss, True).equations}
    zeta = rates["zeta"] - (0 if loss == "mse" else _zeta)
    return {
        "alpha: sign": {"alpha": -rates["alpha"]},
        "alpha: n dropped": {"alpha": rates["alpha"].xreplace({collapsed.n: sp.S.One})},
        "eta: sign of the decay": {"eta": rates["eta"] + 2 * collapsed.lambda_H * _eta},
        "eta: n for 1": {"eta": rates["eta"] * collapsed.n},
        "eta: p for 1 - p": {"eta": _alpha * _alpha * _eta / k - lambda_H * _eta},
        "zeta: changed": {"zeta": zeta / 2 if loss == "mse" else zeta},
    }


@pytest.mark.parametrize(
    ("name", "loss"), [*((name, "mse") for name in FLOWS), ("W: sign", "cross_entropy"), ("H: sign", "cross_entropy")]
)
def test_wrong_flow_is_refuted(name: str, loss: str) -> None:
    with pytest.raises(DerivationError, match="not equal"):
        flow_statements(feature_flow(loss, True, FLOWS[name]), loss)


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        *((name, "mse") for name in _reduced("mse")),
        ("alpha: sign", "cross_entropy"),
        ("eta: sign of the decay", "cross_entropy"),
    ],
)
def test_wrong_reduction_is_refuted(name: str, loss: str) -> None:
    with pytest.raises(DerivationError, match="on the frame"):
        collapsed.collapsed_statements(
            feature_flow(loss, True), collapsed.collapsed_flow(loss, True, _reduced(loss)[name]), loss
        )


def test_reduction_of_a_wrong_flow_is_refuted() -> None:
    with pytest.raises(DerivationError, match="on the frame"):
        collapsed.collapsed_statements(
            feature_flow("mse", True, FLOWS["H: sign"]), collapsed.collapsed_flow("mse", True), "mse"
        )


def test_orthogonal_frame_for_a_simplex_is_refuted() -> None:
    """With bias the orthogonal frame is not invariant."""
    with pytest.raises(DerivationError, match="on the frame"):
        collapsed.collapsed_statements(feature_flow("mse", True), collapsed.collapsed_flow("mse", False), "mse")


def _minus(name: str) -> Callable[[pytest.MonkeyPatch], Any]:
    """A closed form that runs backwards in time."""
    true = getattr(solutions, name)()
    return lambda patch: patch.setattr(solutions, name, lambda: true.xreplace({solutions.s: -solutions.s}))


def _changed(name: str, change: Callable[[Any], Any]) -> Callable[[pytest.MonkeyPatch], Any]:
    true = getattr(solutions, name)()
    return lambda patch: patch.setattr(solutions, name, lambda: change(true))


_k = solutions._k
FORMS: dict[str, Callable[[pytest.MonkeyPatch], Any]] = {
    "balanced: time reversed": _minus("balanced"),
    "balanced: start forgotten": _changed("balanced", lambda y: y.xreplace({solutions.p0: 2 * solutions.p0})),
    "balanced: n for sqrt(n)": _changed("balanced", lambda y: y.xreplace({sp.sqrt(solutions._n): solutions._n})),
    "unbalanced: time reversed": _minus("unbalanced"),
    "unbalanced: c": _changed("unbalanced", lambda y: y.xreplace({solutions.c: 2 * solutions.c})),
    "ridge: time reversed": _minus("ridge"),
    "ridge: sign of the decay": _changed("ridge", lambda y: y.xreplace({solutions.decay: -solutions.decay})),
    "within class: time reversed": _minus("within_class"),
    "within class: root forgotten": _changed("within_class", lambda y: y**2),
    "within class, ridge: time reversed": _minus("within_class_ridge"),
    "within class, ridge: decay forgotten": _changed(
        "within_class_ridge", lambda y: y * sp.exp(solutions.decay * solutions.s)
    ),
    "fixed point: alpha for eta": _changed(
        "fixed_point", lambda y: {"p": y["p"], "alpha": y["eta"], "eta": y["alpha"]}
    ),
    "fixed point: k dropped": _changed(
        "fixed_point", lambda y: {name: value.xreplace({_k: sp.S.One}) for name, value in y.items()}
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_wrong_closed_form_is_refuted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FORMS[name](monkeypatch)
    with pytest.raises(DerivationError, match="not equal"):
        solutions.mse_solutions.__wrapped__()


@pytest.mark.parametrize("change", [lambda y: y - 2 * sp.Ei(solutions._p), lambda y: y - sp.log(solutions._p)])
def test_wrong_implicit_solution_is_refuted(change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    true = solutions.implicit()
    monkeypatch.setattr(solutions, "implicit", lambda: change(true))
    with pytest.raises(DerivationError, match="not equal"):
        solutions.cross_entropy_solutions.__wrapped__()


@pytest.mark.parametrize(
    "change",
    [
        lambda P: -P,
        lambda P: P.xreplace({riccati._e: sp.S.One}),
        lambda P: riccati._e * riccati._Q * riccati._Qt * riccati._e,
        lambda P: 2 * P,
    ],
)
def test_wrong_riccati_solution_is_refuted(change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    true = riccati.riccati_solution()
    monkeypatch.setattr(riccati, "riccati_solution", lambda: change(true))
    with pytest.raises(DerivationError, match="not equal"):
        riccati.riccati()


@pytest.mark.parametrize(("name", "factor"), [("mean", central_path.C), ("spread", -1)])
def test_wrong_central_path_is_refuted(name: str, factor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    true = central_path.velocities()
    monkeypatch.setattr(central_path, "velocities", lambda: {**true, name: factor * true[name]})
    with pytest.raises(DerivationError, match="not equal in direction"):
        central_path.central_path()


@pytest.mark.parametrize("name", ["cost", "nc1"])
def test_wrong_metric_on_the_path_is_refuted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true = central_path.path_metrics()
    monkeypatch.setattr(central_path, "path_metrics", lambda: {**true, name: 2 * true[name]})
    with pytest.raises(DerivationError, match="not equal for the"):
        central_path.central_path()


@pytest.mark.parametrize("name", ["projected", "whitened"])
def test_wrong_clock_is_refuted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true = central_path.clocks()
    monkeypatch.setattr(central_path, "clocks", lambda: {**true, name: true[name] + central_path.omega**2})
    with pytest.raises(DerivationError, match="not equal"):
        central_path.central_path()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
def test_rebuilding_gives_the_true_equations(loss: str, bias: bool) -> None:
    """Otherwise the mutants might die of being rebuilt; that the true equations pass is seen wherever they are used."""
    true = collapsed.collapsed_flow(loss, bias)
    rates = {e.target.name: e.value for e in true.equations}
    assert feature_flow(loss, bias, flow._RATES) == feature_flow(loss, bias)
    assert collapsed.collapsed_flow(loss, bias, rates) == true


# -- the spectral gap, the bridge and the end of the flow -------------------------------------------------------------


@pytest.mark.parametrize("name", ["W: sign", "W: sign of the decay", "H: sign", "H: twice the fit", "b: sign"])
def test_gap_of_a_wrong_flow_is_refuted(name: str) -> None:
    with pytest.raises(DerivationError, match="not equal"):
        gap.gap_statements(feature_flow("mse", True, FLOWS[name]), "mse")


def test_wrong_imbalance_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    true = gap.imbalance
    monkeypatch.setattr(gap, "imbalance", lambda x, y: -true(x, y))
    with pytest.raises(DerivationError, match="not equal"):
        gap.gap_statements(feature_flow("mse", True), "mse")


@pytest.mark.parametrize("factor", [2, -1])
def test_wrong_rate_of_the_cost_is_refuted(factor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    true = gap.cost_decay()
    monkeypatch.setattr(gap, "cost_decay", lambda: factor * true)
    with pytest.raises(DerivationError, match="not equal"):
        gap.cost_gap()


_cluster = bridge._RATES
CLUSTERS: dict[str, dict[str, sp.Expr]] = {
    "W: sign": {"W": -_cluster["W"]},
    "W: mass dropped": {"W": IndexSum(E[a, flow.r] * bridge.BETA[i, flow.r], flow.r, N)},
    "beta: sign": {"beta": -_cluster["beta"]},
    "beta: mass squared": {"beta": _cluster["beta"] * bridge.MASS[s]},
    "b: sign": {"b": -_cluster["b"]},
}


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("part", ["gradients", "same_flow"])
def test_wrong_flow_of_clusters_is_refuted(part: str, name: str) -> None:
    velocities = {e.target.name: e.value for e in bridge.cluster_flow(CLUSTERS[name]).equations}
    with pytest.raises(DerivationError, match="not equal"):
        getattr(bridge, f"_{part}")(velocities)


@pytest.mark.parametrize("name", ["W: sign", "beta: sign", "b: sign"])
def test_conservation_and_cost_of_wrong_clusters_are_refuted(name: str) -> None:
    with pytest.raises(DerivationError, match="not equal"):
        bridge._masses(bridge.cluster_flow(CLUSTERS[name]))


@pytest.mark.parametrize("name", ["W: sign", "H: sign", "H: twice the fit", "b: sign"])
def test_bridge_to_a_wrong_flow_is_refuted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "feature_flow", lambda loss, bias: feature_flow(loss, bias, FLOWS[name]))
    velocities = {e.target.name: e.value for e in bridge.cluster_flow().equations}
    with pytest.raises(DerivationError, match="not equal"):
        bridge._same_flow(velocities)


@pytest.mark.parametrize("change", [lambda y: -y, lambda y: y / bridge.MASS[s]])
def test_wrong_pull_of_a_truncated_cluster_is_refuted(change: Callable[[Any], Any]) -> None:
    with pytest.raises(DerivationError, match="not equal"):
        bridge._fixed_output(change(_cluster["beta"]))


@pytest.mark.parametrize(
    "change", [lambda y: y - 2 * sp.sqrt(endpoint.x**2 + 4 * endpoint.n), lambda y: 2 * y, lambda y: y - endpoint.x]
)
def test_wrong_end_is_refuted(change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative root solves the same equation: the example, which is at rest, refutes it."""
    true = endpoint.end_eigenvalue()
    monkeypatch.setattr(endpoint, "end_eigenvalue", lambda: change(true))
    with pytest.raises(DerivationError, match="not equal"):
        endpoint.end_statements()


@pytest.mark.parametrize("name", ["nc2", "nc3"])
def test_wrong_metric_at_the_end_is_refuted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true = endpoint.end_metrics()
    monkeypatch.setattr(endpoint, "end_metrics", lambda: {**true, name: 2 - true[name]})
    with pytest.raises(DerivationError, match="not equal"):
        endpoint.end_statements()


@pytest.mark.parametrize("changed", range(4))
def test_alignment_needs_each_of_its_premises(changed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = list(endpoint._ENDS)
    rules[changed] = (rules[changed][0], -2 * rules[changed][1])
    monkeypatch.setattr(endpoint, "_ENDS", tuple(rules))
    with pytest.raises(DerivationError, match="not equal"):
        endpoint.aligned_statements()


# -- two layers -------------------------------------------------------------------------------------------------------

_W2, _W1, _H2 = (extended._RATES[name] for name in ("W2", "W1", "H"))
EXTENDED: dict[str, dict[str, sp.Expr]] = {
    "W2: sign": {"W2": -_W2},
    "W2: sign of the decay": {"W2": _W2 + 2 * extended.lambda_2 * extended.W2[a, i]},
    "W1: sign": {"W1": -_W1},
    "W1: decay of the classifier": {"W1": _W1 + (extended.lambda_1 - extended.lambda_2) * extended.W1[i, extended.j]},
    "W1: features of the layer above": {
        "W1": -IndexSum(extended.D[i, s] * extended.F[extended.j, s], s, N) / k
        - extended.lambda_1 * extended.W1[i, extended.j]
    },
    "H: transposed": {
        "H": -IndexSum(extended.W1[i, extended.j] * extended.D[extended.j, s], extended.j, extended.d) / k
        - lambda_H * extended.H[i, s]
    },
}


@pytest.mark.parametrize("name", EXTENDED)
def test_wrong_flow_of_two_layers_is_refuted(name: str) -> None:
    with pytest.raises(DerivationError, match="not equal"):
        extended.extended_statements(extended.extended_flow(EXTENDED[name]), extended.extended_collapsed_flow())


_reduced2 = {e.target.name: e.value for e in extended.extended_collapsed_flow().equations}
LAYERS: dict[str, dict[str, sp.Expr]] = {
    "a2: sign": {"a2": -_reduced2["a2"]},
    "a1: n dropped": {"a1": _reduced2["a1"].xreplace({extended.n: sp.S.One})},
    "eta: n for 1": {"eta": _reduced2["eta"] * extended.n},
    "eta: decay of W1": {"eta": _reduced2["eta"] + (lambda_H - extended.lambda_1) * extended.eta},
}


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_reduction_of_two_layers_is_refuted(name: str) -> None:
    wrong = extended.extended_collapsed_flow(LAYERS[name])
    (changed,) = LAYERS[name]
    state = {"a2": "W2", "a1": "W1", "eta": "H"}[changed]
    with pytest.raises(DerivationError, match="on frames"):
        extended._OnFrames(extended.extended_flow(), state)(
            sp.S.One, next(e.value for e in wrong.equations if e.target.name == changed)
        )
    with pytest.raises(DerivationError, match="not equal"):
        extended_solutions.extended_solutions(wrong)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("equilibrium", lambda y: y / (1 - extended_solutions.p)),
        ("equilibrium", lambda y: -y),
        ("largest_decay", lambda y: (y[0], y[1] / 2)),
        ("largest_decay", lambda y: (y[0] * 2, y[1])),
        ("square_of_product", lambda y: lambda x, first, second: y(x, second, first)),
        ("balanced_rate", lambda y: -y),
        ("balanced_rate", lambda y: y.xreplace({extended_solutions._n: 2 * extended_solutions._n})),
        ("implicit", lambda y: -y),
        ("implicit", lambda y: y + 2 / extended_solutions.y),
    ],
)
def test_wrong_solution_of_two_layers_is_refuted(
    name: str, change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = getattr(extended_solutions, name)
    wrong = change(true) if name == "square_of_product" else lambda: change(true())
    monkeypatch.setattr(extended_solutions, name, wrong)
    with pytest.raises(DerivationError, match="not equal"):
        extended_solutions.extended_solutions()
