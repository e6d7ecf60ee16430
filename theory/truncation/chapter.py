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

from ..derivation import Derivation
from ..derive import derive
from ..systems import Array, Definition, IndexSum, Inverse, PiecewiseFlow
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
    M,
    R,
    T,
    U,
    X,
    Y,
    d,
)
from .setting import Truncation
from .statements import BETA_OF_THETA, LOSS, THETA_OF_BETA, TRUNCATED_MASS, a, i, j, k, m, statements

__all__ = ["derive_truncation", "truncation_flow"]


# -- the system -------------------------------------------------------------------------------------------------------

PULLED_BACK = Definition(Y, (a, k), IndexSum(Inverse(OUTPUT_WEIGHTS[k, m]) * (TARGET[a, m] - OUTPUT_BIAS[m]), m, M))
"""The labels in the space of the inputs."""

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
        ),
        moments=(),
        equations=(Definition(THETA, (j,), rate),),
        observables=(
            Definition(_LOSS, (), loss),
            Definition(_MASS, (j,), mass),
            Definition(_BIAS, (k,), BETA_OF_THETA),
        ),
        time="time of the gradient flow",
        assumptions=("W = D R with D positive diagonal and R orthogonal", "R and targets fixed"),
        starts=((BETA, Definition(THETA, (j,), THETA_OF_BETA)),),
    )


# -- the theorem ------------------------------------------------------------------------------------------------------

SOURCES = (
    "T. Chen, Derivation of effective gradient flow equations and dynamical truncation of training data in Deep "
    "Learning, arXiv:2501.07400 (abstract and introduction; its displayed formulas were not at hand)",
    "T. Chen and P. Munoz Ewald, arXiv:2309.10639, 2405.07098, 2311.15487, 2408.01517 (companion papers; abstracts)",
)


@functools.cache
def _flow() -> PiecewiseFlow:
    found = {statement.key: statement.rhs for statement in statements()}
    return truncation_flow(found["rate_threshold"], found["cost"], found["relaxation"])


@derive.register
def derive_truncation(setting: Truncation) -> Derivation:
    """Derive the flow of thresholds and what follows from it.

    Parameters
    ----------
    setting : Truncation
        The setting; the statements hold for all.

    Returns
    -------
    Derivation
        Ends in one `PiecewiseFlow`, generic in N, d and C.

    Raises
    ------
    DerivationError
        If a check fails.
    """
    title = "Gradient flow of one truncation with adapted weights"
    return Derivation(title, setting, statements(), (_flow(),), SOURCES)
