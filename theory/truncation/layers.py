r"""Statements on L hidden layers without separation: what goes backwards, and the flow of every layer's parameters.

The network is z^(0) = x, z^(k) = tau_k(z^(k-1)), and e_i^(k) is the derivative of the cost of sample i by z_i^(k). Each
statement is about one layer of any network; q = 1 where the layer truncates, p = R_k (z^(k-1) + beta_k), r = R_k e^(k):

    e^(k-1)  = P_k e^(k) = e^(k) - R_k^T (q r),
    beta_k'  = sum_i w_i R_k^T (q_i r_i),
    R_k'     = Omega_k R_k,  Omega_k = 1/2 sum_i w_i (q_ij - q_in) (r_ij p_in + p_ij r_in).

Both costs share them: they differ in where e^(L) begins.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import sympy as sp

from ..derivation import Statement, Step
from ..systems import Array, IndexSum, Passed
from .entries import (
    BETA,
    KEPT,
    LABEL,
    LAST,
    OUTPUT_BIAS,
    OUTPUT_WEIGHTS,
    PRE,
    TARGET,
    THETA,
    WEIGHT,
    AtCases,
    C,
    E,
    F,
    Gradient,
    M,
    N,
    Q,
    R,
    U,
    X,
    Y,
    Z,
    adapted_cases,
    d,
)
from .network_cases import Cost, layer_cases, lone_cases, separated_cases, turned_cases
from .statements import BETA_OF_THETA, NOTION, OURS, THETA_OF_BETA, OnEitherSide, a, i, j, k, l, m, n, tau

__all__ = ["COST", "SAMPLE_COST", "layer_statements", "o", "total"]

o = sp.Symbol("o", integer=True)
_angle = sp.Symbol("phi")

_ADAPTED = ("W^(l) = D_l R_l with D_l positive diagonal and R_l orthogonal",)
_FIXED = ("the pattern of truncation is that of an open piece: no sample lies on a threshold of any layer",)
_WORDS = (
    "symbolic entries, every pattern, d = 1, a layer behind; rational points at d = 2 and 3, none to two layers behind"
)


def total(body: sp.Expr, index: sp.Symbol) -> IndexSum:
    """The sum over samples, classes, outputs or, for any other index, coordinates."""
    return IndexSum(body, index, {i: N, a: C, o: M}.get(index, d))


# -- the cost of a sample ---------------------------------------------------------------------------------------------

SAMPLE_COST: dict[Cost, sp.Expr] = {
    "input": total((LAST[i, l] - Y[LABEL[i], l]) ** 2, l) / 2,
    "standard": total((total(OUTPUT_WEIGHTS[o, l] * LAST[i, l], l) + OUTPUT_BIAS[o] - TARGET[LABEL[i], o]) ** 2, o) / 2,
}
"""The cost of one sample, of weight 1."""
COST: dict[Cost, sp.Expr] = {cost: total(WEIGHT[i] * value, i) for cost, value in SAMPLE_COST.items()}
"""C_in and C_std in the samples behind all layers."""

# -- laws -------------------------------------------------------------------------------------------------------------

_PROJECTED = total(R[j, m] * KEPT[i, j] * total(R[j, n] * E[i, n], n), j)
_BACKWARD = E[i, m] - total(R[j, m] * Q[i, j] * F[i, j], j)
_BIAS_LAW = total(R[j, n] * total(WEIGHT[i] * Q[i, j] * F[i, j], i), j)


def _pull(first: sp.Symbol, second: sp.Symbol, left: Array, right: Array) -> IndexSum:
    """One part of sum_i w_i [H_i, r_i p_i^T] and its transpose."""
    return total(WEIGHT[i] * Q[i, first] * left[i, first] * right[i, second], i)


_COMMUTATOR = total(WEIGHT[i] * (KEPT[i, j] - KEPT[i, n]) * (F[i, j] * PRE[i, n] + PRE[i, j] * F[i, n]), i)
_OMEGA_LAW = (_pull(j, n, F, PRE) + _pull(j, n, PRE, F) - _pull(n, j, F, PRE) - _pull(n, j, PRE, F)) / 2


_COSTS: tuple[tuple[Cost, str, str], ...] = (("input", "", "C_in"), ("standard", "_standard", "C_std"))


def _at(cost: Cost, free: sp.Symbol, samples: bool = False) -> AtCases:
    cases = functools.partial(layer_cases, cost, "samples" if samples else "bias")
    return AtCases(cases, _WORDS, {i: N, free: d} if samples else {free: d})


def _map() -> Iterator[Statement]:
    words = "symbolic entries, every pattern, d = 1; rational points at d = 2 and 3"
    ahead = total(R[j, k] * (X[i, k] + BETA[k]), k)
    for key, title, lhs, rhs, free, reason in (
        ("threshold", "Thresholds by the input-space bias", THETA[j], THETA_OF_BETA, {j: d}, "theta = -R beta"),
        ("bias_of_threshold", "The input-space bias by thresholds", BETA[k], BETA_OF_THETA, {k: d}, "R is orthogonal"),
        (
            "distance",
            "How far a sample is in front of a threshold",
            ahead,
            U[i, j] - THETA[j],
            {i: N, j: d},
            "u = R z, theta = -R beta",
        ),
    ):
        step = Step(lhs, rhs, reason, AtCases(lone_cases, words, free), symbol="p_{ij}" if lhs == ahead else "")
        yield Statement(key, title, (step,), _ADAPTED, source=OURS)
    flag, reason = Passed(U[i, j], THETA[j]), "H = 1[u >= theta], q = 1 - H"
    truncated = Step(1 - KEPT[i, j], flag, reason, OnEitherSide(), symbol="q_{ij}")
    yield Statement("truncated", "Which unit truncates which sample", (truncated,), _ADAPTED, source=OURS)
    clamped = total(R[j, k] * (KEPT[i, j] * U[i, j] + (1 - KEPT[i, j]) * THETA[j]), j)
    yield Statement(
        "layer_map",
        "A truncated sample in the space of the inputs",
        (
            Step(
                tau(k),
                clamped,
                "the clamp, turned back by R^T",
                AtCases(adapted_cases, "as for the clamp", {i: N, k: d}),
                symbol=r"\tau(x_i)_k",
            ),
            Step(clamped, total(R[j, k] * sp.Max(U[i, j], THETA[j]), j), "H = 1[u >= theta]", OnEitherSide()),
        ),
        _ADAPTED,
        source=NOTION,
    )


def _backwards() -> Iterator[Statement]:
    yield Statement(
        "backward",
        "The slope of the cost by a sample goes backwards through a layer by its projection, e^(k-1) = P_k e^(k)",
        (
            Step(
                Gradient(SAMPLE_COST["input"], Z[i, m]),
                _PROJECTED,
                "chain rule at fixed pattern, P = R^T H R",
                _at("input", m, samples=True),
                symbol=r"e^{(k-1)}_{im}",
            ),
            Step(_PROJECTED, _BACKWARD, "H = 1 - q, and R is orthogonal; r = R e", _at("input", m, samples=True)),
        ),
        (*_ADAPTED, *_FIXED),
        source=OURS,
    )


def _biases() -> Iterator[Statement]:
    for cost, suffix, words in _COSTS:
        step = Step(
            -Gradient(COST[cost], BETA[n]),
            _BIAS_LAW,
            "differentiate at fixed pattern",
            _at(cost, n),
            symbol=r"\beta_n^{(k)\prime}",
        )
        yield Statement(
            f"layer_biases{suffix}",
            f"Gradient flow of the input-space bias of a layer, {words}",
            (step,),
            (*_ADAPTED, "R_l fixed, or held fixed while beta varies", *_FIXED),
            source=NOTION,
        )


def _rotations() -> Iterator[Statement]:
    for cost, suffix, words in _COSTS:
        turned = AtCases(
            functools.partial(turned_cases, cost, j, n, _angle),
            "rational points at d = 2 and 3, none to two layers behind; every pair of units",
        )
        steps = (
            Step(
                -Gradient(COST[cost], _angle) / 2,
                -_COMMUTATOR / 2,
                "differentiate by the angle in the plane of units j and n; the metric is tr(A^T B)",
                turned,
                symbol=r"\Omega^{(k)}_{jn}",
            ),
            Step(-_COMMUTATOR / 2, _OMEGA_LAW, "H = 1 - q; multiply out", turned),
        )
        yield Statement(
            f"layer_rotation{suffix}",
            f"Gradient flow of the orthogonal part of a layer, R' = Omega R, {words}",
            steps,
            (*_ADAPTED, "the input-space biases are held fixed while R varies", *_FIXED),
            source=OURS,
        )


def _one_layer(laws: Mapping[str, sp.Expr]) -> Iterator[Statement]:
    """For one layer and C_in the laws are (B1) and (R1)."""
    words = "symbolic entries, every pattern, d = 1; rational points at d = 2 and 3; no layer behind"
    rows = (
        ("one_layer_biases", "the bias law is (B1)", _BIAS_LAW, laws["rate_biases"], {n: d}, r"\beta_n'"),
        (
            "one_layer_rotation",
            "Omega is that of (R1)",
            _OMEGA_LAW,
            laws["rate_rotation"],
            {j: d, n: d},
            r"\Omega_{jn}",
        ),
    )
    for key, title, law, known, free, symbol in rows:
        check = AtCases(lone_cases, words, free)
        step = Step(law, known, "e = z - ytilde where no layer follows", check, symbol=symbol)
        yield Statement(key, f"For the last layer and C_in {title}", (step,), (*_ADAPTED, *_FIXED), source=OURS)


_CLASS_TARGET = total(R[j, k] * Y[a, k], k)  # t_c of the class a


def _separated() -> Iterator[Statement]:
    law = -total(R[j, k] * _BIAS_LAW.xreplace({j: l}).xreplace({n: k}), k)
    mass = total(sp.KroneckerDelta(LABEL[i], a) * WEIGHT[i] * Q[i, j], i)
    words = (
        "two layers and classes in either order, every pattern of the sample that is truncated: symbolic entries at "
        "d = 1, rational points at d = 2"
    )
    step = Step(
        law,
        -mass * (THETA[j] - _CLASS_TARGET),
        "a sample of the class is kept by all other layers: their projections leave it and its slope alone",
        AtCases(functools.partial(separated_cases, a), words, {j: d}),
        symbol=r"\theta_j^{(k)\prime}",
    )
    yield Statement(
        "layers_separated",
        "Cluster-separated truncation: every layer obeys (B4) as if it were alone",
        (step,),
        (*_ADAPTED, "every layer keeps all samples but those of its own class a, which no other layer truncates"),
        source=NOTION,
    )


def layer_statements(laws: Mapping[str, sp.Expr]) -> Iterator[Statement]:
    """Statements on any number of layers.

    Parameters
    ----------
    laws : mapping of str to sympy.Expr
        Right-hand sides of the statements on one layer, by key.

    Yields
    ------
    Statement
    """
    yield from _map()
    yield from _backwards()
    yield from _biases()
    yield from _rotations()
    yield from _one_layer(laws)
    yield from _separated()
