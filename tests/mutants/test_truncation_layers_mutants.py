"""A wrong sign in a law of many layers or of the standard cost is refused, and so is a system that is made of it."""

from types import ModuleType

import pytest
import sympy as sp

from hermiton.theory.errors import DerivationError
from hermiton.theory.truncation import layers, standard_cost
from hermiton.theory.truncation.chapter import _laws as derived_laws
from hermiton.theory.truncation.coupled_flow import Shape, coupled_flow, flow_statements
from hermiton.theory.truncation.entries import KEPT, PRE, E, F, Q, U
from hermiton.theory.truncation.statements import a, i, j, m, n
from hermiton.theory.truncation.variations import Layer, Trial, gradient_flow

MUTANTS: dict[str, tuple[ModuleType, str, sp.Expr, str]] = {
    "projection, truncated instead of kept": (
        layers,
        "_PROJECTED",
        layers._PROJECTED.xreplace({KEPT[i, j]: 1 - KEPT[i, j]}),
        "_backwards",
    ),
    "backward, sign": (layers, "_BACKWARD", 2 * E[i, m] - layers._BACKWARD, "_backwards"),
    "biases, sign": (layers, "_BIAS_LAW", -layers._BIAS_LAW, "_biases"),
    "biases, kept instead of truncated": (
        layers,
        "_BIAS_LAW",
        layers._BIAS_LAW.xreplace({Q[i, j]: 1 - Q[i, j]}),
        "_biases",
    ),
    "biases, residual not turned": (layers, "_BIAS_LAW", layers._BIAS_LAW.xreplace({F[i, j]: E[i, j]}), "_biases"),
    "rotation, sign": (layers, "_COMMUTATOR", -layers._COMMUTATOR, "_rotations"),
    "rotation, factor": (layers, "_COMMUTATOR", 2 * layers._COMMUTATOR, "_rotations"),
    "rotation, in front of the origin": (
        layers,
        "_COMMUTATOR",
        layers._COMMUTATOR.xreplace({PRE[i, j]: U[i, j], PRE[i, n]: U[i, n]}),
        "_rotations",
    ),
    "rotation, Gamma + Gamma^T": (
        layers,
        "_OMEGA_LAW",
        (layers._pull(j, n, F, PRE) + layers._pull(j, n, PRE, F) + layers._pull(n, j, F, PRE)) / 2,
        "_rotations",
    ),
    "separation, label of another class": (
        layers,
        "_CLASS_TARGET",
        layers._CLASS_TARGET.xreplace({a: 1 - a}),
        "_separated",
    ),
    "residual, sign": (standard_cost, "_RESIDUAL", -standard_cost._RESIDUAL, "_residuals"),
    "error, sign of the label": (
        standard_cost,
        "_ERROR",
        standard_cost._ERROR + 2 * standard_cost.TARGET[standard_cost.LABEL[i], layers.o],
        "_residuals",
    ),
    "G, minus": (standard_cost, "_GRAM", -standard_cost._GRAM, "_residuals"),
    "distance, sign of the label": (
        standard_cost,
        "_DISTANCE",
        2 * standard_cost.LAST[i, n] - standard_cost._DISTANCE,
        "_residuals",
    ),
    "output weights, sign": (standard_cost, "_WEIGHTS_LAW", -standard_cost._WEIGHTS_LAW, "_output_layer"),
    "output bias, sign": (standard_cost, "_BIAS_LAW", -standard_cost._BIAS_LAW, "_output_layer"),
    "gap, sign of the label": (
        standard_cost,
        "_ALONG",
        standard_cost._ALONG.xreplace(
            {standard_cost._DISTANCE: 2 * standard_cost.LAST[i, n] - standard_cost._DISTANCE}
        ),
        "_gap",
    ),
    "gap, cost": (standard_cost, "_INPUT_COST", 2 * standard_cost._INPUT_COST, "_gap"),
    "cluster, sign": (standard_cost, "_CLUSTER_LAW", -standard_cost._CLUSTER_LAW, "_cluster"),
    "cluster, away from the label": (
        standard_cost,
        "_OF_CLUSTER",
        2 * standard_cost.BETA[n] - standard_cost._OF_CLUSTER,
        "_cluster",
    ),
    "mode, growth": (standard_cost, "_mode", 1 / standard_cost._mode, "_cluster"),
    "outputs, a pseudo-inverse of another power": (
        standard_cost,
        "_PSEUDO",
        standard_cost._JT * standard_cost._K * standard_cost._J,
        "_output_space",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_formula_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, wrong, where = MUTANTS[name]
    assert wrong != getattr(module, attribute)
    build = getattr(module, where)
    monkeypatch.setattr(module, attribute, wrong)
    with pytest.raises(DerivationError):
        list(build())


def test_bounds_need_their_direction() -> None:
    """What differs from the bound is a sum of squares on one side alone."""
    below, above = (s.steps[0] for s in standard_cost._gap() if s.key in ("gap_below", "gap_above"))
    below.check()
    for step, other in ((below, above), (above, below)):
        with pytest.raises(DerivationError):
            other.checker(step.lhs, step.rhs)


SHAPE = Shape(2, "standard", ("rotation", "output"))
OF_SYSTEM = {
    "threshold": lambda law: -law,
    "truncated": lambda law: 1 - law,
    "distance": lambda law: -law,
    "layer_map": lambda law: -law,
    "residual_standard": lambda law: -law,
    "backward": lambda law: 2 * E[i, m] - law,
    "layer_biases_standard": lambda law: -law,
    "layer_rotation_standard": lambda law: -law,
    "rate_output_weights": lambda law: -law,
    "rate_output_bias": lambda law: 2 * law,
    "loss_standard": lambda law: 2 * law,
}


@pytest.mark.parametrize("key", OF_SYSTEM)
def test_a_system_of_a_wrong_law_is_refused(key: str) -> None:
    """The system has every law from its statement; what it then says of its own cost is wrong."""
    laws = derived_laws()
    wrong = OF_SYSTEM[key](laws[key])
    with pytest.raises(DerivationError, match="not equal for"):
        flow_statements(coupled_flow(SHAPE, {**laws, key: wrong}), SHAPE)


def test_the_map_of_a_layer_is_made_of_the_clamp() -> None:
    laws = derived_laws()
    with pytest.raises(DerivationError, match="not made of the clamp"):
        coupled_flow(SHAPE, {**laws, "clamp": -laws["clamp"]})


def test_an_equation_that_is_zero_is_refused() -> None:
    """A comparison of zeros proves nothing."""
    laws = derived_laws()
    system = coupled_flow(SHAPE, {**laws, "rate_output_bias": sp.S.Zero})
    with pytest.raises(DerivationError, match="zero wherever it was tried"):
        flow_statements(system, SHAPE)


def test_omega_must_be_antisymmetric() -> None:
    laws = derived_laws()
    omega = laws["layer_rotation"]
    shape = Shape(1, "input", ("rotation",))
    # right in the planes j < n that the derivative by the angle sees, and wrong across the diagonal
    lopsided = omega * sp.KroneckerDelta(j, 0)
    system = coupled_flow(shape, {**laws, "layer_rotation": lopsided})
    sizes = dict.fromkeys((layers.N, layers.d, layers.C, layers.M), 2)
    point = Trial.found(system, sizes, (Layer(system.states[0], system.rotations[0], U),))
    with pytest.raises(DerivationError, match=r"for R\[1, 0\]"):
        gradient_flow(system, (point,))
