r"""Dynamical truncation: gradient flow of a hidden ReLU layer with adapted weights, in the space of its inputs.

In cumulative parameters a layer x -> relu(W x + b) truncates the data, tau(x) = W^-1 (relu(W x + b) - b). With adapted
weights W = D R (D positive diagonal, R orthogonal) the truncation is a clamp of the coordinates u = R x from below, at
the thresholds theta = -R beta, beta = W^-1 b; D drops out. The gradient flow of the cost

    C_in = 1/2 sum_i w_i |tau(x_i) - ytilde_c(i)|^2

in beta at fixed R and ytilde lets every threshold go its own way,

    theta_j' = -sum_{i: u_ij < theta_j} w_i (theta_j - t_ij),    t_i = R ytilde_c(i):

the rate at which a threshold relaxes is the mass it has truncated. `derive` proves this, and numerics follows the paths
exactly from event to event. The notions are those of T. Chen (arXiv:2501.07400); the formulas and proofs are ours.
"""

from __future__ import annotations

import functools

import sympy as sp

from ..derivation import Derivation, Statement
from ..derive import derive
from ..rotating_flow import RotatingFlow
from ..systems import Array, Definition, IndexSum, OdeSystem, PiecewiseFlow
from .coupled_flow import Shape, coupled_flow, flow_statements
from .entries import (
    BETA,
    CLASS,
    COORDINATE,
    INPUT,
    LABEL,
    OUTPUT,
    OUTPUT_BIAS,
    OUTPUT_WEIGHTS,
    SAMPLE,
    TARGET,
    THETA,
    WEIGHT,
    C,
    M,
    N,
    R,
    T,
    U,
    X,
    Y,
    d,
)
from .labels import PULLED_BACK
from .layers import layer_statements
from .observables import COLLAPSE, class_mass, truncated_samples
from .separated import L, separated_flow
from .setting import Truncation
from .standard_cost import standard_cost_statements
from .statements import BETA_OF_THETA, LOSS, THETA_OF_BETA, TRUNCATED_MASS, i, j, k, statements
from .variations import Trial, gradient_flow

__all__ = ["derive_truncation", "truncation_flow"]


# -- the system -------------------------------------------------------------------------------------------------------

_LOSS = Array("loss", latex=r"C_\mathrm{in}", meaning="cost in the input layer, 1/2 sum_i w_i |tau(x_i) - ytilde|^2")
_MASS = Array("truncated_mass", (COORDINATE,), latex="F", meaning="weight of the samples that a unit truncates")
_BIAS = Array("bias", (INPUT,), latex=r"\beta", meaning="bias in the space of the inputs, -R^T theta")


def truncation_flow(rate: sp.Expr, loss: sp.Expr = LOSS, mass: sp.Expr = TRUNCATED_MASS) -> PiecewiseFlow:
    """The system with theta_j' = `rate`.

    Parameters
    ----------
    rate, loss, mass : sympy.Expr
        Right-hand side, cost and truncated mass, as statements of the derivation end in them.

    Returns
    -------
    PiecewiseFlow

    Raises
    ------
    DerivationError
        If the right-hand side is not affine between breakpoints.
    """
    return PiecewiseFlow(
        name="truncation",
        sets=(SAMPLE, COORDINATE, INPUT, CLASS, OUTPUT),
        states=(THETA,),
        parameters=(X, LABEL, TARGET, WEIGHT, R, OUTPUT_WEIGHTS, OUTPUT_BIAS),
        definitions=(
            PULLED_BACK,
            Definition(U, (i, j), IndexSum(R[j, k] * X[i, k], k, d)),
            Definition(T, (i, j), IndexSum(R[j, k] * Y[LABEL[i], k], k, d)),
            *truncated_samples(),
        ),
        moments=(),
        equations=(Definition(THETA, (j,), rate),),
        observables=(
            Definition(_LOSS, (), loss),
            Definition(_MASS, (j,), mass),
            class_mass(mass),
            Definition(_BIAS, (k,), BETA_OF_THETA),
        ),
        time="time of the gradient flow",
        assumptions=("W = D R with D positive diagonal and R orthogonal", "R and targets fixed"),
        starts=((BETA, Definition(THETA, (j,), THETA_OF_BETA)),),
        classifier=COLLAPSE,
    )


# -- the theorem ------------------------------------------------------------------------------------------------------

SOURCES = (
    "T. Chen, Derivation of effective gradient flow equations and dynamical truncation of training data in Deep "
    "Learning, arXiv:2501.07400 (abstract and introduction; its displayed formulas were not at hand)",
    "T. Chen and P. Munoz Ewald, arXiv:2309.10639, 2405.07098, 2311.15487, 2408.01517 (companion papers; abstracts)",
)


@functools.cache
def _statements() -> tuple[Statement, ...]:
    """Those of one layer, then those of many layers and of either cost; they do not depend on the setting."""
    alone = statements()
    layered = layer_statements({statement.key: statement.rhs for statement in alone})
    return (*alone, *layered, *standard_cost_statements())


def _laws() -> dict[str, sp.Expr]:
    return {statement.key: statement.rhs for statement in _statements()}


@functools.cache
def _flow() -> PiecewiseFlow:
    found = _laws()
    return truncation_flow(found["rate_threshold"], found["cost"], found["relaxation"])


@functools.cache
def _coupled(shape: Shape) -> tuple[RotatingFlow, tuple[Statement, ...]]:
    """A coupled flow, and that it is a gradient flow."""
    system = coupled_flow(shape, _laws())
    return system, flow_statements(system, shape)


@functools.cache
def _separated() -> tuple[PiecewiseFlow, tuple[Statement, ...]]:
    """The flow of separated layers, and that it is a gradient flow."""
    found = _laws()
    system = separated_flow(found["rate_separated"], found["cost"], found["relaxation"])
    point = Trial.found(system, {N: 4, d: 2, C: 3, M: 2, L: 2})
    return system, gradient_flow(system, (point,))


def _title(setting: Truncation) -> str:
    number = "one truncation" if setting.layers == 1 else f"{setting.layers} truncations"
    title = f"Gradient flow of {number} with adapted weights"
    if setting.truncates is not None:
        title += ", cluster-separated"
    if setting.cost == "standard":
        title += ", standard cost"
    words = {"rotation": "orthogonal parts", "output": "output layer"}
    moving = " and ".join(words[name] for name in setting.moving)
    return f"{title}; {moving} moving" if moving else title


@derive.register
def derive_truncation(setting: Truncation) -> Derivation:
    """Derive the flow of a truncation and what follows from it.

    Parameters
    ----------
    setting : Truncation
        The setting. Which system is derived depends on its depth, its cost and what moves; statements on the laws hold
        for all.

    Returns
    -------
    Derivation
        Ends in one system, generic in N, d, C and M: a `PiecewiseFlow`, whose thresholds do not couple, or else a
        `RotatingFlow`.

    Raises
    ------
    DerivationError
        If a check fails.
    """
    title = _title(setting)
    system: OdeSystem
    if setting.truncates is not None:
        system, proof = _separated()
    elif setting.layers == 1 and setting.cost == "input" and not setting.moving:
        system, proof = _flow(), ()
    else:
        system, proof = _coupled(Shape.of(setting))
    return Derivation(title, setting, (*_statements(), *proof), (system,), SOURCES)
