"""The bridge from truncation: collapsed clusters under the standard cost are unconstrained features.

Where the hidden layers have truncated a cluster in all coordinates, all its samples sit at z_c = -beta_c, with the bias
beta_c of its layer in input space. So the standard cost of the network

    C_std = 1/2 sum_c m_c |W_out z_c + b_out - y_c|^2,    m_c the sum of the weights of the samples of cluster c,

is that of unconstrained features with one feature a class, and beta_c, W_out and b_out follow their flow: exactly so
for masses m_c = 1, and m times as fast for equal masses m. For other masses

    W' = -E M Z^T,  Z' = -W^T E M,  b' = -E m,    E = W Z + b 1^T - Y,  M = diag(m):

K = W^T W - Z Z^T is conserved as before, and the bound on the rate of the cost has the least of the masses.
"""

from __future__ import annotations

import sympy as sp

from ..derivation import Statement, Step
from ..systems import Array, Definition, IndexSet, IndexSum, OdeSystem
from .checks import AlongFlow, AtSizes, ByGradient, Rate, Slope, Solution, SolvesEquation
from .flow import CLASS, FEATURE, B, C, H, N, W, a, c, d, feature_flow, i, j, k, l, lambda_H, lambda_W, r, s
from .gap import mu, time
from .squares import BySquares
from .words import InWords, Trace, letters

__all__ = ["bridge_statements", "cluster_flow"]

# One cluster a class, but their numbers need not agree for what is said here.
CLUSTER = IndexSet("cluster", N, dimensions=("cluster",))
BETA = Array("beta", (FEATURE, CLUSTER), latex=r"\beta", meaning="biases in input space: cluster c sits at -beta_c")
MASS = Array("m", (CLUSTER,), field="masses", meaning="sum of the weights of a cluster's samples")
Y = Array("Y", (CLASS, CLUSTER), field="labels", meaning="the clusters' labels y_c")
E = Array("E", (CLASS, CLUSTER), meaning="residual W z_c + b - y_c")
TARGET = Array("ytilde", (FEATURE, CLUSTER), latex=r"\tilde y", meaning="labels pulled back: W ytilde_c + b = y_c")
LEAST, MASS_NOW = sp.symbols("m_0 m", positive=True)

_SIZES = ({C: 1, d: 1, N: 2}, {C: 2, d: 2, N: 1})
_LARGE = ({C: 2, d: 3, N: 2},)
_COLLAPSED = "every cluster is truncated in all coordinates: z_c = -beta_c"
_OURS = "notion: T. Chen, arXiv:2501.07400 (truncated clusters, standard cost, spectral gap); form and steps: hermiton"

_RATES = {
    "W": IndexSum(MASS[r] * E[a, r] * BETA[i, r], r, N),
    "beta": MASS[s] * IndexSum(W[a, i] * E[a, s], a, C),
    "b": -IndexSum(MASS[r] * E[a, r], r, N),
}


def _residual() -> Definition:
    return Definition(E, (a, s), B[a] - IndexSum(W[a, j] * BETA[j, s], j, d) - Y[a, s])


def _cost() -> sp.Expr:
    return IndexSum(MASS[r] * IndexSum(E[c, r] ** 2, c, C), r, N) / 2


def cluster_flow(rates: dict[str, sp.Expr] | None = None) -> OdeSystem:
    """The flow of W_out, beta_c and b_out by the standard cost; `rates` replaces right-hand sides by name."""
    values = {**_RATES, **(rates or {})}
    return OdeSystem(
        name="collapsed_clusters",
        sets=(CLASS, FEATURE, CLUSTER),
        states=(W, BETA, B),
        parameters=(Y, MASS),
        definitions=(_residual(),),
        moments=(),
        equations=(
            Definition(W, (a, i), values["W"]),
            Definition(BETA, (i, s), values["beta"]),
            Definition(B, (a,), values["b"]),
        ),
        observables=(),
        time="gradient-flow time s",
        assumptions=(_COLLAPSED, "gradient flow of the standard cost in W_out, beta_c and b_out"),
    )


def bridge_statements(flow: OdeSystem | None = None) -> tuple[Statement, ...]:
    """The flow of collapsed clusters, that it is the flow of unconstrained features, and what other masses change."""
    flow = flow or cluster_flow()
    velocities = {e.target.name: e.value for e in flow.equations}
    return (
        *_gradients(velocities),
        *_same_flow(velocities),
        *_masses(flow),
        *_fixed_output(velocities["beta"]),
    )


def _said(key: str, title: str, *steps: Step, given: tuple[str, ...] = ()) -> Statement:
    return Statement(key, title, steps, (_COLLAPSED, *given), source=_OURS)


def _gradients(velocities: dict[str, sp.Expr]) -> list[Statement]:
    statements = []
    for array, entry in ((W, W[a, i]), (BETA, BETA[i, s]), (B, B[a])):
        extents = dict(zip(entry.indices, (axis.size for axis in array.axes), strict=True))
        checker = ByGradient((_residual(),), extents, _SIZES, _LARGE)
        step = Step(-Slope(_cost(), entry), velocities[array.name], "differentiate the standard cost", checker)
        statements.append(_said(f"cluster_{array.name}", f"Collapsed clusters: gradient flow of {array.name}", step))
    return statements


def _same_flow(velocities: dict[str, sp.Expr]) -> list[Statement]:
    """Feature s is z_s = -beta_s: its velocity is minus that of beta."""
    features = feature_flow("mse", bias=True)
    (residual,) = (item for item in features.definitions if isinstance(item, Definition))
    known = {e.target.name: e.value for e in features.equations}
    numbers = {k: sp.S.One, lambda_W: sp.S.Zero, lambda_H: sp.S.Zero}

    def one_feature(value: sp.Expr) -> sp.Expr:
        entries = {entry: -BETA[tuple(entry.indices)] for entry in value.atoms(sp.Indexed) if entry.base == H.base}
        return value.xreplace({**numbers, **entries})

    equal = {MASS[r]: MASS_NOW, MASS[s]: MASS_NOW}
    given = ("equal masses m; for m = 1 the flows are one", "k = 1, n = 1, no decay")
    places = {"W": {a: C, i: d}, "beta": {i: d, s: N}, "b": {a: C}}
    step = Step(
        _residual().value,
        one_feature(residual.value),
        "put H = Z = -beta into the residual of unconstrained features",
        AtSizes({a: C, s: N}, (*_SIZES, *_LARGE)),
        symbol="E_{a s}",
    )
    statements = [_said("bridge_E", "The residual is that of unconstrained features with H = Z", step)]
    for name, state, sign in (("W", "W", 1), ("beta", "H", -1), ("b", "b", 1)):
        step = Step(
            velocities[name].xreplace(equal),
            MASS_NOW * sign * one_feature(known[state]),
            f"compare with the equation of {state}" + " at H = Z = -beta" * (state == "H"),
            AtSizes(places[name], (*_SIZES, *_LARGE)),
        )
        title = f"{name} moves as {'-' * (sign < 0)}{state} of unconstrained features does, m times as fast"
        statements.append(_said(f"bridge_{name}", title, step, given=given))
    return statements


def _masses(flow: OdeSystem) -> list[Statement]:
    imbalance = IndexSum(W[c, i] * W[c, j], c, C) - IndexSum(BETA[i, r] * BETA[j, r], r, N)
    conserved = Step(
        Rate(imbalance),
        sp.S.Zero,
        "the cost sees W and Z through W Z alone, whatever the masses",
        AlongFlow(flow, {i: d, j: d}, (*_SIZES, *_LARGE)),
        symbol=r"\frac{d}{ds}\,(W^\top W - Z Z^\top)_{ij}",
    )
    cost = IndexSum(MASS[r] * IndexSum(E[c, r] ** 2, c, C), r, N)
    moved = IndexSum(IndexSum(MASS[r] ** 2 * E[c, r] ** 2, r, N), c, C)
    spread = IndexSum(IndexSum(MASS[r] * (MASS[r] - LEAST) * E[c, r] ** 2, r, N), c, C)
    squares = [
        IndexSum(IndexSum((MASS[r] * IndexSum(W[c, l] * E[c, r], c, C)) ** 2, l, d), r, N),
        IndexSum(IndexSum(IndexSum(MASS[r] * E[c, r] * BETA[l, r], r, N) ** 2, l, d), c, C),
        IndexSum(IndexSum(MASS[r] * E[c, r], r, N) ** 2, c, C),
    ]
    falls = Step(
        Rate(_cost()),
        sp.Add(*(-square for square in squares)),
        "chain rule: minus the square of the gradient",
        BySquares(AlongFlow(flow, {}, _SIZES, inline=True), sp.S.Zero, below=True),
        symbol=r"\dot{\mathcal C}_{\mathrm{std}}",
    )
    least = Step(
        moved,
        LEAST * cost + spread,
        "m^2 = m_0 m + m (m - m_0)",
        BySquares(AtSizes({}, _SIZES), LEAST * cost, positive=(MASS[r], MASS[r] - LEAST)),
        symbol="|E M|^2",
    )
    gap = "square W, K_0 >= mu I > 0; |W'EM|^2 >= mu |EM|^2 as for equal masses, with EM for E"
    return [
        _said("cluster_conservation", "K = W'W - ZZ' is conserved for all masses", conserved),
        _said("cluster_cost", "The standard cost falls by |W'EM|^2 + |EMZ'|^2 + |Em|^2", falls),
        _said(
            "cluster_masses",
            "|EM|^2 >= 2 m_0 C_std, so that C_std(s) <= C_std(0) exp(-2 mu m_0 s), m_0 the least mass",
            least,
            given=("m_c >= m_0 > 0", gap),
        ),
    ]


def _fixed_output(velocity: sp.Expr) -> list[Statement]:
    """Where W_out and b_out rest, beta_c approaches -ytilde_c by the matrix m G."""
    labels = {Y[a, s]: B[a] + IndexSum(W[a, j] * TARGET[j, s], j, d)}
    missing = _residual().value.xreplace(labels)
    gram = IndexSum(IndexSum(W[a, i] * W[a, j], a, C) * (BETA[j, s] + TARGET[j, s]), j, d)
    pull = Step(
        velocity.xreplace({E[a, s]: missing}),
        -MASS[s] * gram,
        "y_c = W ytilde_c + b: the residual is -W (beta_c + ytilde_c)",
        AtSizes({i: d, s: N}, (*_SIZES, *_LARGE)),
        symbol=r"\frac{d}{ds}\,(\beta_c+\tilde y_c)_i",
    )
    mode, first, value, mass = sp.symbols("q q_0 g m", positive=True)
    G, x, vt, xt, R, Rt = letters("G x v^T x^T R R^T")
    bound = -2 * mass * mu * Trace(xt * x)
    eigen = Step(
        -mass * vt * G * x,
        -mass * value * vt * x,
        "G is symmetric and G v = g v",
        InWords(((vt * G, value * vt),), "v'G = g v'"),
        symbol=r"\frac{d}{ds}\,v^\top x",
    )
    decay = Step(
        Solution(-mass * value * mode, mode, first),
        first * sp.exp(-mass * value * time),
        "solve the linear equation",
        SolvesEquation(time),
    )
    least = Step(
        -2 * mass * Trace(xt * G * x),
        bound - 2 * mass * Trace(xt * Rt * R * x),
        "G = mu I + R'R with mu = lambda_min(G)",
        BySquares(InWords(((G, mu + Rt * R),), "G = mu I + R'R"), bound, below=True),
        symbol=r"\frac{d}{ds}\,|x|^2",
    )
    rest = ("W_out and b_out rest",)
    where = (*rest, "x = beta_c + ytilde_c, G = W'W, m = m_c")
    return [
        _said(
            "truncated_rate",
            "A truncated cluster at fixed output layer: x' = -m G x, x = beta + ytilde",
            pull,
            given=rest,
        ),
        _said("truncated_mode", "Its part along an eigenvector v of G has the rate m g", eigen, given=where),
        _said("truncated_decay", "and decays as exp(-m g s)", decay, given=where),
        _said("truncated_bound", "|x|^2 decays at the rate 2 m lambda_min(G) at least", least, given=where),
    ]
