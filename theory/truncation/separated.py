r"""The flow of cluster-separated truncations: L hidden layers, each of which truncates samples of one class alone.

Where every layer keeps the samples of all classes but its own, c_l, a sample reaches its own layer as it came in and
leaves it for the outputs as it is. So each threshold goes its own way,

    theta_lj' = -sum_{i in c_l: u_lij < theta_lj} w_i (theta_lj - t_lj),    u_l = R_l x,    t_l = R_l ytilde_c_l,

and L d paths are exact. That layers stay separated is an assumption that may break as thresholds move: the system
carries it as a `Condition`, in the samples that reach each layer.
"""

from __future__ import annotations

import sympy as sp

from ..systems import Array, Condition, Definition, IndexSet, IndexSum, Passed, PiecewiseFlow
from .entries import BETA as ONE_BETA
from .entries import (
    CLASS,
    COORDINATE,
    INPUT,
    LABEL,
    LAST,
    OUTPUT,
    OUTPUT_BIAS,
    OUTPUT_WEIGHTS,
    SAMPLE,
    TARGET,
    THETA,
    WEIGHT,
    N,
    R,
    T,
    U,
    X,
    Y,
    d,
)
from .labels import PULLED_BACK
from .observables import COLLAPSE, of_each_class
from .statements import BETA_OF_THETA, LOSS, THETA_OF_BETA, TRUNCATED_MASS, a, i, j, k, l, m

__all__ = ["ALONE", "LAYER", "separated_flow"]

L = sp.Symbol("L", integer=True, positive=True)
p = sp.Symbol("p", integer=True)

LAYER = IndexSet("layer", L, dimensions=("layer",))
OWN = Array("own", (LAYER,), field="truncates", meaning="class that each layer truncates")
ROTATION = Array("R", (LAYER, COORDINATE, INPUT), field="rotation", meaning=R.meaning)
THRESHOLD = Array("theta", (LAYER, COORDINATE), field="threshold", latex=r"\theta", meaning=THETA.meaning)
BETA = Array("beta", (LAYER, INPUT), field="biases", latex=r"\beta", meaning=ONE_BETA.meaning)
IN_LAYER = Array("u", (LAYER, SAMPLE, COORDINATE), meaning="samples in the coordinates of each layer, R_l x")
LABEL_IN_LAYER = Array("t", (LAYER, CLASS, COORDINATE), meaning="labels in the coordinates of each layer")
OWNED = Array("owned", (SAMPLE,), meaning="1 where some layer truncates the class of a sample, else 0")
TURN = Array("Q", (LAYER, LAYER, COORDINATE, COORDINATE), meaning="from the coordinates of one layer to another's")
CLAMPED = Array("v", (LAYER, SAMPLE, COORDINATE), meaning="samples of the layer's own class, truncated, else 0")

_LOSS = Array("loss", latex=r"C_\mathrm{in}", meaning="cost in the input layer, 1/2 sum_i w_i |z_i^(L) - ytilde|^2")
_MASS = Array("truncated_mass", (LAYER, COORDINATE), latex="F", meaning="weight of the samples that a unit truncates")
_CLASS_MASS = Array(
    "class_mass",
    (LAYER, CLASS, COORDINATE),
    latex="F",
    meaning="weight of samples of a class that a unit truncates",
)
_BIAS = Array("bias", (LAYER, INPUT), latex=r"\beta", meaning="biases in the space of the inputs, -R_l^T theta_l")
_SEPARATED = Array(
    "separated", (LAYER, SAMPLE, COORDINATE), meaning="by how much a sample that reaches a layer exceeds its threshold"
)

_OWN_TARGET = sp.IndexedBase(sp.Symbol("T", real=True))[sp.S.Zero, j]
ALONE = -IndexSum(sp.KroneckerDelta(LABEL[i], sp.S.Zero) * WEIGHT[i] * Passed(U[i, j], THETA[j]), i, N) * (
    THETA[j] - _OWN_TARGET
)
"""Rate of a threshold that truncates the first class alone (B4)."""


_MEMBER = sp.KroneckerDelta(LABEL[i], OWN[l])
_IN_LAYER = {
    U[i, j]: IN_LAYER[l, i, j],
    T[i, j]: LABEL_IN_LAYER[l, LABEL[i], j],
    _OWN_TARGET: LABEL_IN_LAYER[l, LABEL[i], j],
    THETA[j]: THRESHOLD[l, j],
    sp.KroneckerDelta(LABEL[i], sp.S.Zero): _MEMBER,
    R[j, k]: ROTATION[l, j, k],
}


def _of_members(value: sp.Expr) -> sp.Expr:
    """A sum over samples in one layer, of those of its own class."""
    return value.xreplace({**_IN_LAYER, WEIGHT[i]: _MEMBER * WEIGHT[i]})


def _rate(alone: sp.Expr) -> sp.Expr:
    """The rate of each threshold, from that of a layer of the first class."""
    (mass,) = alone.atoms(IndexSum)
    return IndexSum((mass.body * (alone / mass)).xreplace(_IN_LAYER), mass.index, mass.size)


def separated_flow(alone: sp.Expr = ALONE, loss: sp.Expr = LOSS, mass: sp.Expr = TRUNCATED_MASS) -> PiecewiseFlow:
    """The system of cluster-separated layers.

    Parameters
    ----------
    alone, loss, mass : sympy.Expr
        Rate of a threshold of a layer that truncates class 0 alone, cost and truncated mass of one layer, as statements
        of the derivation end in them.

    Returns
    -------
    PiecewiseFlow

    Raises
    ------
    DerivationError
        If the rate is not affine between breakpoints.

    Notes
    -----
    *Validity.* A layer truncates samples of its own class alone, at all times; solutions say until when that holds.
    """
    untouched = {
        WEIGHT[i]: (1 - OWNED[i]) * WEIGHT[i],
        sp.Max(U[i, j], THETA[j]): X[i, j],
        T[i, j]: Y[LABEL[i], j],
    }
    masses = _of_members(mass)
    return PiecewiseFlow(
        name="separated_truncation",
        sets=(SAMPLE, COORDINATE, INPUT, CLASS, OUTPUT, LAYER),
        states=(THRESHOLD,),
        parameters=(X, LABEL, TARGET, WEIGHT, ROTATION, OUTPUT_WEIGHTS, OUTPUT_BIAS, OWN),
        definitions=(
            PULLED_BACK,
            Definition(IN_LAYER, (l, i, j), IndexSum(ROTATION[l, j, k] * X[i, k], k, d)),
            Definition(LABEL_IN_LAYER, (l, a, j), IndexSum(ROTATION[l, j, k] * Y[a, k], k, d)),
            Definition(OWNED, (i,), IndexSum(_MEMBER, l, L)),
            Definition(TURN, (l, p, j, m), IndexSum(ROTATION[l, j, k] * ROTATION[p, m, k], k, d)),
            Definition(CLAMPED, (l, i, j), _MEMBER * sp.Max(IN_LAYER[l, i, j], THRESHOLD[l, j])),
            Definition(
                LAST,
                (i, k),
                (1 - OWNED[i]) * X[i, k] + IndexSum(IndexSum(ROTATION[l, j, k] * CLAMPED[l, i, j], j, d), l, L),
            ),
        ),
        moments=(),
        equations=(Definition(THRESHOLD, (l, j), _rate(alone)),),
        observables=(
            Definition(_LOSS, (), IndexSum(_of_members(loss), l, L) + loss.xreplace(untouched)),
            Definition(_MASS, (l, j), masses),
            Definition(_CLASS_MASS, (l, a, j), of_each_class(masses)),
            Definition(_BIAS, (l, k), BETA_OF_THETA.xreplace(_IN_LAYER)),
        ),
        time="time of the gradient flow",
        assumptions=(
            "W^(l) = D_l R_l with D_l positive diagonal and R_l orthogonal",
            "R_l and targets fixed",
            "each layer keeps all samples but those of its own class",
        ),
        starts=((BETA, Definition(THRESHOLD, (l, j), THETA_OF_BETA.xreplace({**_IN_LAYER, ONE_BETA[k]: BETA[l, k]}))),),
        classifier=COLLAPSE,
        conditions=(_separation(),),
    )


def _separation() -> Condition:
    """Samples of other classes are kept as they come from the layers in front: moved by their own, if it is there."""
    moved = sp.Max(IN_LAYER[p, i, m], THRESHOLD[p, m]) - IN_LAYER[p, i, m]
    before = Passed(p, l) * sp.KroneckerDelta(LABEL[i], OWN[p])
    reached = IN_LAYER[l, i, j] + IndexSum(before * IndexSum(TURN[l, p, j, m] * moved, m, d), p, L)
    return Condition(
        Definition(_SEPARATED, (l, i, j), reached - THRESHOLD[l, j]),
        1 - _MEMBER,
        OWN,
        "layer {layer} truncates sample {sample} of class {labels} in unit {coordinate}",
        "ask for earlier times, or leave truncates out: the coupled flow of all layers",
    )
