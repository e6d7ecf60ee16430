"""The spectral gap: W'W never falls below W_0'W_0 - H_0H_0', which bounds how slowly the cost decays.

Every inequality is an identity whose rest is a sum of squares. With K = W'W - HH' conserved,

    v'W'W v = v'K v + |H'v|^2,   so   lambda_min(W'W) >= lambda_min(K_0) = mu,

and for a square W, mu > 0, the cost obeys C' <= -(2 mu/k) C. If W has more columns than rows, mu cannot be positive;
if it has fewer, the part of the residual that W does not reach need not decay.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from ..derivation import Statement, Step
from ..systems import Array, Definition, IndexSum, OdeSystem
from .checks import AlongFlow, AtSizes, ByAlgebra, Rate, Solution, SolvesEquation, positive
from .flow import FEATURE, C, E, H, N, W, c, d, i, j, k, l, lambda_H, lambda_W, r, s
from .squares import BySquares
from .words import InWords, Trace, letters

__all__ = ["cost_decay", "cost_gap", "gap_squares", "gap_statements", "imbalance", "with_decays"]

V = Array("v", (FEATURE,), meaning="any direction of the features")
time, mu, decay = sp.symbols("s mu lambda", positive=True)
K0, K_NOW = sp.symbols("K_0 K", real=True)

_SIZES = ({C: 1, d: 1, N: 2}, {C: 2, d: 2, N: 1})
_OURS = "notion: spectral gap, T. Chen, arXiv:2501.07400; form and steps: hermiton"


def imbalance(x: sp.Expr, y: sp.Expr) -> sp.Expr:
    """The entry of K = W'W - HH' at two features."""
    return IndexSum(W[c, x] * W[c, y], c, C) - IndexSum(H[x, r] * H[y, r], r, N)


def with_decays(system: OdeSystem, decays: Mapping[sp.Symbol, sp.Expr]) -> OdeSystem:
    """The same flow with other values for its decays."""
    equations = tuple(Definition(e.target, e.indices, e.value.xreplace(dict(decays))) for e in system.equations)
    return OdeSystem(
        name=system.name,
        sets=system.sets,
        states=system.states,
        parameters=system.parameters,
        definitions=system.definitions,
        moments=(),
        equations=equations,
        observables=(),
    )


def gap_statements(system: OdeSystem, loss: str) -> tuple[Statement, ...]:
    """The bound on W'W for either loss, and for the squared loss that on the cost."""
    statements = [_gram(), *_imbalance_decay(system)]
    if loss == "mse":
        statements += [_cost_rate(system), gap_squares(), cost_gap()]
    return tuple(statements)


def _gram() -> Statement:
    gram = IndexSum(IndexSum(V[i] * V[j] * IndexSum(W[c, i] * W[c, j], c, C), j, d), i, d)
    bound = IndexSum(IndexSum(V[i] * V[j] * imbalance(i, j), j, d), i, d)
    rest = IndexSum(IndexSum(V[i] * H[i, s], i, d) ** 2, s, N)
    step = Step(
        gram,
        bound + rest,
        "W'W = K + HH' with K = W'W - HH': what the features add is a square",
        BySquares(AtSizes({}, _SIZES), bound),
        symbol="v^\\top W^\\top W v",
    )
    return Statement(
        "gram_gap",
        "W'W is at least W_0'W_0 - H_0H_0' without decay: lambda_min(W'W) >= lambda_min(K_0)",
        (step,),
        ("K = W'W - HH' is K_0 without decay; with equal decay lambda it is exp(-2 lambda s) K_0",),
        source=_OURS,
    )


def _imbalance_decay(system: OdeSystem) -> tuple[Statement, Statement]:
    given = ("lambda_W = lambda_H = lambda",)
    equal = with_decays(system, {lambda_H: lambda_W})
    rate = Step(
        Rate(imbalance(i, j)),
        -2 * lambda_W * imbalance(i, j),
        "the law of W'W - HH' with equal decays",
        AlongFlow(equal, {i: d, j: d}, _SIZES),
        symbol=r"\dot K_{ij}",
    )
    form = K0 * sp.exp(-2 * decay * time)
    solved = Step(Solution(-2 * decay * K_NOW, K_NOW, K0), form, "solve the linear equation", SolvesEquation(time))
    return (
        Statement("imbalance_rate", "With equal decays K' = -2 lambda K", (rate,), given, source="hermiton"),
        Statement(
            "imbalance_decay", "and K = exp(-2 lambda s) K_0, entry by entry", (solved,), given, source="hermiton"
        ),
    )


def _cost_rate(system: OdeSystem) -> Statement:
    cost = IndexSum(IndexSum(E[c, r] ** 2, r, N), c, C) / (2 * k)
    squares = [
        IndexSum(IndexSum(IndexSum(W[c, l] * E[c, r], c, C) ** 2, l, d), r, N),
        IndexSum(IndexSum(IndexSum(E[c, r] * H[l, r], r, N) ** 2, l, d), c, C),
    ]
    if len(system.states) > 2:
        squares.append(IndexSum(IndexSum(E[c, r], r, N) ** 2, c, C))
    free = with_decays(system, {lambda_W: sp.S.Zero, lambda_H: sp.S.Zero})
    along = AlongFlow(free, {}, _SIZES, inline=True)
    step = Step(
        Rate(cost),
        sp.Add(*(-square / k**2 for square in squares)),
        "chain rule: minus the square of the gradient",
        BySquares(along, sp.S.Zero, below=True),
        symbol=r"\dot{\mathcal C}",
    )
    return Statement(
        "cost_rate",
        "The cost falls by |W'E|^2 + |EH'|^2 and, with bias, |E1|^2, over k^2",
        (step,),
        ("no decay",),
        source="hermiton",
    )


def gap_squares() -> Statement:
    """``|W'E|^2 >= mu |E|^2`` for a square W with W'W >= mu > 0."""
    W_, Wt, E_, Et, F, Ft, R, Rt = letters("W W^T E E^T F F^T R R^T")
    squares = mu * Trace(Ft * Rt * R * F) + Trace(Ft * Rt * R * Rt * R * F)
    rules = ((E_, W_ * F), (Et, Ft * Wt), (Wt * W_, mu + Rt * R))
    bound = mu * Trace(Et * E_)
    step = Step(
        Trace(Et * W_ * Wt * E_),
        bound + squares,
        "E = W F, and W'W = mu I + R'R",
        BySquares(InWords(rules, "E = W F, W'W = mu I + R'R"), bound, positive=(mu,)),
        symbol=r"|W^\top E|^2",
    )
    return Statement(
        "gap_squares",
        "|W'E|^2 >= mu |E|^2 for a square W with W'W >= mu I",
        (step,),
        ("d = C", "mu > 0: W is invertible, and E = W F with F = W^{-1} E"),
        source=_OURS,
    )


def cost_decay() -> sp.Expr:
    """The rate at which the cost decays at least."""
    return 2 * mu / positive(k)


def cost_gap() -> Statement:
    """The cost decays at the rate 2 mu/k at least."""
    cost = sp.Function("C")(time)
    residual, rest, other = sp.symbols("|E|^2 rho g", nonnegative=True)
    kk = positive(k)
    # k^2 C' = -(|W'E|^2 + g) with |W'E|^2 = mu |E|^2 + rho, and C = |E|^2/(2k)
    slope = -(mu * residual + rest + other) / kk**2
    factor = sp.exp(cost_decay() * time)
    grown = sp.diff(cost * factor, time).subs(sp.diff(cost, time), slope).subs(cost, residual / (2 * kk))
    step = Step(
        grown,
        -(rest + other) / kk**2 * factor,
        "product rule; C' by the squares above, and 2 k C = |E|^2",
        BySquares(ByAlgebra(), sp.S.Zero, below=True),
        symbol=r"\frac{d}{ds}\left(\mathcal C\,e^{2\mu s/k}\right)",
    )
    return Statement(
        "cost_gap",
        "C(s) <= C(0) exp(-2 mu s/k), mu = lambda_min(K_0): the cost times exp(2 mu s/k) never grows",
        (step,),
        (
            "d = C, no decay, mu > 0",
            "rho >= 0 is |W'E|^2 - mu |E|^2, and g >= 0 is |EH'|^2, with bias + |E1|^2",
        ),
        source=_OURS,
    )
