"""The gradient flow of W, H and b, what it conserves, and how samples of a class approach each other."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from ..derivation import Defined, Statement, Step
from ..systems import Array, Definition, IndexSet, IndexSum, OdeSystem
from .checks import AlongFlow, ByGradient, Rate, Slope

__all__ = ["feature_flow", "flow_statements"]

C, d, N = sp.symbols("C d N", integer=True, positive=True)
a, c, i, j, l, s, r = sp.symbols("a c i j l s r", integer=True)

CLASS = IndexSet("class", C, dimensions=("class",))
FEATURE = IndexSet("feature", d, dimensions=("i", "j"))
SAMPLE = IndexSet("sample", N, dimensions=("sample",))

W = Array("W", (CLASS, FEATURE), meaning="classifier")
H = Array("H", (FEATURE, SAMPLE), meaning="features, one column a sample")
B = Array("b", (CLASS,), meaning="bias")
Y = Array("Y", (CLASS, SAMPLE), field="labels", meaning="one-hot labels")
K_ = Array("k", field="normaliser", meaning="what the summed loss is divided by")
LW = Array("lambda_W", field="decay_weights", latex=r"\lambda_W", meaning="weight decay")
LH = Array("lambda_H", field="decay_features", latex=r"\lambda_H", meaning="decay of the features")
Z = Array("Z", (CLASS, SAMPLE), meaning="outputs W h + b")
S = Array("S", (SAMPLE,), meaning="sum of exponentials of the outputs")
E = Array("E", (CLASS, SAMPLE), meaning="derivative of the summed loss by the outputs")
LOSS = Array("loss", meaning="cost, decay included")
IMBALANCE = Array("imbalance", (FEATURE, FEATURE), meaning="W'W - HH'")

k, lambda_W, lambda_H = K_.symbol, LW.symbol, LH.symbol

_KNOWN = {
    "mse": "Mixon, Parshall & Pi 2020 (k = 1); Tirer & Bruna 2022 (k = N); the steps are ours",
    "cross_entropy": "layer-peeled models of the neural-collapse literature; the steps are ours",
}
_SMALL = ({C: 1, d: 1, N: 1}, {C: 2, d: 1, N: 2}, {C: 2, d: 2, N: 2}, {C: 3, d: 2, N: 1})
_LARGE = ({C: 3, d: 3, N: 2},)
_FLOW_SIZES = ({C: 1, d: 1, N: 1}, {C: 2, d: 2, N: 3}, {C: 3, d: 2, N: 2})

_RATES = {
    "W": -IndexSum(E[a, s] * H[i, s], s, N) / k - lambda_W * W[a, i],
    "H": -IndexSum(W[a, i] * E[a, s], a, C) / k - lambda_H * H[i, s],
    "b": -IndexSum(E[a, s], s, N) / k,
}


def _definitions(loss: str, bias: bool) -> tuple[Definition, ...]:
    outputs = IndexSum(W[a, j] * H[j, s], j, d) + (B[a] if bias else 0)
    if loss == "mse":
        return (Definition(E, (a, s), outputs - Y[a, s]),)
    return (
        Definition(Z, (a, s), outputs),
        Definition(S, (s,), IndexSum(sp.exp(Z[c, s]), c, C)),
        Definition(E, (a, s), sp.exp(Z[a, s]) / S[s] - Y[a, s]),
    )


def _cost(loss: str) -> sp.Expr:
    """The cost, in bound indices that no statement has free."""
    if loss == "mse":
        fit = IndexSum(IndexSum(E[c, r] ** 2, r, N), c, C) / 2
    else:
        fit = IndexSum(sp.log(S[r]), r, N) - IndexSum(IndexSum(Y[c, r] * Z[c, r], r, N), c, C)
    weights = IndexSum(IndexSum(W[c, l] ** 2, l, d), c, C)
    features = IndexSum(IndexSum(H[l, r] ** 2, r, N), l, d)
    return fit / k + lambda_W * weights / 2 + lambda_H * features / 2


def feature_flow(loss: str, bias: bool, rates: Mapping[str, sp.Expr] | None = None) -> OdeSystem:
    """The equations of W, H and b; `rates` replaces right-hand sides by name."""
    values = {**_RATES, **(rates or {})}
    equations = [Definition(W, (a, i), values["W"]), Definition(H, (i, s), values["H"])]
    if bias:
        equations.append(Definition(B, (a,), values["b"]))
    imbalance = IndexSum(W[c, i] * W[c, j], c, C) - IndexSum(H[i, r] * H[j, r], r, N)
    return OdeSystem(
        name=f"unconstrained_features_{loss}",
        sets=(CLASS, FEATURE, SAMPLE),
        states=(W, H, B) if bias else (W, H),
        parameters=(Y, K_, LW, LH),
        definitions=_definitions(loss, bias),
        moments=(),
        equations=tuple(equations),
        observables=(Definition(LOSS, (), sp.expand(_cost(loss))), Definition(IMBALANCE, (i, j), imbalance)),
        time="gradient-flow time s",
        assumptions=("gradient flow of the cost in W, H and b",),
    )


def flow_statements(system: OdeSystem, loss: str) -> tuple[Statement, ...]:
    """The equations are the gradient flow of the cost; the imbalance is conserved; classes contract."""
    bias = B in system.states
    velocities = {e.target.name: e.value for e in system.equations}
    statements = [
        Statement(
            f"definition_{definition.target.name}",
            f"The abbreviation {definition.target.name}: {definition.target.meaning}",
            (Step(definition.target[definition.indices], definition.value, "definition", Defined("an abbreviation")),),
            source="hermiton",
        )
        for definition in _definitions(loss, bias)
    ]
    for array, entry in ((W, W[a, i]), (H, H[i, s]), (B, B[a])):
        if array not in system.states:
            continue
        extents = dict(zip(entry.indices, (axis.size for axis in array.axes), strict=True))
        checker = ByGradient(_definitions(loss, bias), extents, _SMALL, _LARGE)
        step = Step(-Slope(_cost(loss), entry), velocities[array.name], "differentiate the cost", checker)
        statements.append(
            Statement(f"rate_{array.name}", f"Gradient flow of {array.name}", (step,), source=_KNOWN[loss])
        )
    statements.append(_conservation(system))
    if loss == "mse":
        statements.append(_within_class(system))
        if not bias:
            statements.extend(_riccati(system))
    return tuple(statements)


def _conservation(system: OdeSystem) -> Statement:
    weights, features = IndexSum(W[c, i] * W[c, j], c, C), IndexSum(H[i, r] * H[j, r], r, N)
    step = Step(
        Rate(weights - features),
        -2 * lambda_W * weights + 2 * lambda_H * features,
        "the loss sees W and H through W H alone: its terms cancel, whatever the residual E",
        AlongFlow(system, {i: d, j: d}, _FLOW_SIZES),
        symbol=r"\frac{d}{ds}\,(W^\top W - H H^\top)_{ij}",
    )
    return Statement(
        "conservation",
        "W'W - HH' is conserved without decay, and decays with equal decays",
        (step,),
        source="known for linear networks; the check is ours",
    )


def _within_class(system: OdeSystem) -> Statement:
    gap = H[i, s] - H[i, r]
    pull = IndexSum(IndexSum(W[c, i] * W[c, j] * (H[j, s] - H[j, r]), j, d), c, C)
    step = Step(
        Rate(gap),
        -pull / k - lambda_H * gap,
        "samples of one class have the same label",
        AlongFlow(system, {i: d, s: N, r: N}, _FLOW_SIZES, inline=True, same_labels=(s, r), labels="Y"),
        symbol=r"\frac{d}{ds}\,(h_s - h_r)_i",
    )
    return Statement(
        "within_class",
        "Differences within a class decay by W'W: exactly, at the current W; in the kernel of W by decay alone",
        (step,),
        ("samples s and r have the same label",),
        source="hermiton",
    )


def _riccati(system: OdeSystem) -> list[Statement]:
    """With Q = [W; H'], F = [[0, Y], [Y', 0]]: Q' = (F Q - Q Q'Q/2)/k up to the imbalance and decay."""
    gram = IndexSum(W[c, i] * W[c, j], c, C) + IndexSum(H[i, r] * H[j, r], r, N)
    imbalance = IndexSum(W[c, i] * W[c, j], c, C) - IndexSum(H[i, r] * H[j, r], r, N)
    statements = []
    for array, entry, drive, decay, sign in (
        (W, W[a, i], IndexSum(Y[a, s] * H[i, s], s, N), lambda_W * W[a, i], 1),
        (H, H[i, s], IndexSum(Y[a, s] * W[a, i], a, C), lambda_H * H[i, s], -1),
    ):
        other = W[a, j] if array is W else H[j, s]
        rhs = (
            drive / k
            - IndexSum(other * gram, j, d) / (2 * k)
            + sign * IndexSum(other * imbalance, j, d) / (2 * k)
            - decay
        )
        extents = dict(zip(entry.indices, (axis.size for axis in array.axes), strict=True))
        step = Step(
            Rate(entry),
            rhs,
            "HH' and W'W are half the sum and half the difference of each other",
            AlongFlow(system, extents, _FLOW_SIZES, inline=True),
        )
        statements.append(
            Statement(
                f"riccati_{array.name}",
                f"The flow of {array.name} as part of Q' = (F Q - Q Q'Q/2)/k, Q = [W; H'], where the imbalance is 0",
                (step,),
                source="hermiton",
            )
        )
    return statements
