"""Wrong versions of the collapse equations: each is refuted while its derivation is built."""

from collections.abc import Callable
from typing import Any

import pytest
import sympy as sp

from hermiton.theory.errors import DerivationError
from hermiton.theory.unconstrained_features import central_path, collapsed, flow, riccati, solutions
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
