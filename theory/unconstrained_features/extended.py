"""Extended unconstrained features: two linear layers W_2 W_1 above the features H, squared loss, no bias.

The flow, what it conserves, and the rates of the three numbers of a collapsed state, see `extended_solutions`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from ..checks import refute
from ..derivation import CheckResult, Defined, Statement, Step
from ..systems import Array, Definition, IndexSum, OdeSystem
from .checks import AlongFlow, ByGradient, Rate, Slope, Written, frame, symbol
from .flow import CLASS, FEATURE, K_, LH, LOSS, SAMPLE, C, N, Y, a, c, d, i, j, k, l, lambda_H, r, s

__all__ = ["SOURCE", "extended_collapsed_flow", "extended_flow", "extended_statements"]

SOURCE = (
    "model: T. Tirer and J. Bruna, Extended unconstrained features model for exploring deep neural collapse, ICML "
    "(2022) (not at hand; from memory: model definition only); derivation: hermiton"
)

W2 = Array("W2", (CLASS, FEATURE), latex="W_2", meaning="classifier")
W1 = Array("W1", (FEATURE, FEATURE), latex="W_1", meaning="layer above the features")
H = Array("H", (FEATURE, SAMPLE), meaning="features, one column a sample")
L2 = Array("lambda_2", field="decay_weights", latex=r"\lambda_2", meaning="decay of the classifier")
L1 = Array("lambda_1", field="decay_hidden", latex=r"\lambda_1", meaning="decay of the layer above the features")
F = Array("F", (FEATURE, SAMPLE), meaning="hidden features W1 h")
E = Array("E", (CLASS, SAMPLE), meaning="residual W2 W1 h - y")
D = Array("D", (FEATURE, SAMPLE), meaning="residual as the hidden layer sees it, W2'E")
UPPER = Array("imbalance_weights", (FEATURE, FEATURE), meaning="W2'W2 - W1 W1'")
LOWER = Array("imbalance", (FEATURE, FEATURE), meaning="W1'W1 - HH'")

A2 = Array("a2", latex="a_2", meaning="W2 = a2 U2")
A1 = Array("a1", latex="a_1", meaning="W1 = a1 U2'U1")
ETA = Array("eta", latex=r"\eta", meaning="H = eta U1'Y")
PER_CLASS = Array("n", field="per_class", meaning="samples of a class")
PRODUCT = Array("p", meaning="a2 a1 eta: outputs are p Y")
KAPPA2 = Array("kappa2", latex=r"\kappa_2", meaning="a2^2 - a1^2")
KAPPA1 = Array("kappa1", latex=r"\kappa_1", meaning="a1^2 - n eta^2")

lambda_2, lambda_1 = L2.symbol, L1.symbol
a2, a1, eta, n = A2.symbol, A1.symbol, ETA.symbol, PER_CLASS.symbol

_SMALL = ({C: 1, d: 2, N: 1}, {C: 2, d: 1, N: 2})
_LARGE = ({C: 2, d: 2, N: 2},)

_DEFINITIONS = (
    Definition(F, (i, s), IndexSum(W1[i, j] * H[j, s], j, d)),
    Definition(E, (a, s), IndexSum(W2[a, j] * F[j, s], j, d) - Y[a, s]),
    Definition(D, (i, s), IndexSum(W2[a, i] * E[a, s], a, C)),
)

_RATES = {
    "W2": -IndexSum(E[a, s] * F[i, s], s, N) / k - lambda_2 * W2[a, i],
    "W1": -IndexSum(D[i, s] * H[j, s], s, N) / k - lambda_1 * W1[i, j],
    "H": -IndexSum(W1[j, i] * D[j, s], j, d) / k - lambda_H * H[i, s],
}


def _cost() -> sp.Expr:
    """The cost, in bound indices that no statement has free."""
    fit = IndexSum(IndexSum(E[c, r] ** 2, r, N), c, C)
    upper = IndexSum(IndexSum(W2[c, l] ** 2, l, d), c, C)
    lower = IndexSum(IndexSum(W1[l, r] ** 2, r, d), l, d)
    features = IndexSum(IndexSum(H[l, r] ** 2, r, N), l, d)
    return fit / (2 * k) + lambda_2 * upper / 2 + lambda_1 * lower / 2 + lambda_H * features / 2


def _upper() -> tuple[sp.Expr, sp.Expr]:
    return IndexSum(W2[c, i] * W2[c, j], c, C), IndexSum(W1[i, l] * W1[j, l], l, d)


def _lower() -> tuple[sp.Expr, sp.Expr]:
    return IndexSum(W1[l, i] * W1[l, j], l, d), IndexSum(H[i, r] * H[j, r], r, N)


def extended_flow(rates: Mapping[str, sp.Expr] | None = None) -> OdeSystem:
    """The equations of W2, W1 and H; `rates` replaces right-hand sides by name."""
    values = {**_RATES, **(rates or {})}
    return OdeSystem(
        name="extended_features",
        sets=(CLASS, FEATURE, SAMPLE),
        states=(W2, W1, H),
        parameters=(Y, K_, L2, L1, LH),
        definitions=_DEFINITIONS,
        moments=(),
        equations=(
            Definition(W2, (a, i), values["W2"]),
            Definition(W1, (i, j), values["W1"]),
            Definition(H, (i, s), values["H"]),
        ),
        observables=(
            Definition(LOSS, (), sp.expand(_cost())),
            Definition(UPPER, (i, j), _upper()[0] - _upper()[1]),
            Definition(LOWER, (i, j), _lower()[0] - _lower()[1]),
        ),
        time="gradient-flow time s",
        assumptions=("gradient flow of the cost in W2, W1 and H",),
    )


def extended_collapsed_flow(rates: Mapping[str, sp.Expr] | None = None) -> OdeSystem:
    """The equations of a2, a1 and eta; `rates` replaces right-hand sides by name."""
    missing = 1 - a2 * a1 * eta
    values = {
        "a2": n / k * missing * a1 * eta - lambda_2 * a2,
        "a1": n / k * missing * a2 * eta - lambda_1 * a1,
        "eta": missing * a2 * a1 / k - lambda_H * eta,
        **(rates or {}),
    }
    return OdeSystem(
        name="extended_collapsed_features",
        sets=(),
        states=(A2, A1, ETA),
        parameters=(PER_CLASS, K_, L2, L1, LH),
        definitions=(),
        moments=(),
        equations=tuple(Definition(state, (), values[state.name]) for state in (A2, A1, ETA)),
        observables=(
            Definition(PRODUCT, (), a2 * a1 * eta),
            Definition(KAPPA2, (), a2**2 - a1**2),
            Definition(KAPPA1, (), a1**2 - n * eta**2),
        ),
        time="gradient-flow time s",
        assumptions=("the start is collapsed: W2 = a2 U2, W1 = a1 U2'U1, H = eta U1'Y",),
    )


def extended_statements(full: OdeSystem, reduced: OdeSystem) -> tuple[Statement, ...]:
    """The equations are the gradient flow of the cost; two imbalances are conserved; collapsed states are invariant."""
    velocities = {e.target.name: e for e in full.equations}
    statements = [
        Statement(
            f"definition_{item.target.name}",
            f"The abbreviation {item.target.name}: {item.target.meaning}",
            (Step(item.target[item.indices], item.value, "definition", Defined("an abbreviation")),),
            source="hermiton",
        )
        for item in _DEFINITIONS
    ]
    for array in (W2, W1, H):
        equation = velocities[array.name]
        extents = dict(zip(equation.indices, (axis.size for axis in array.axes), strict=True))
        checker = ByGradient(_DEFINITIONS, extents, _SMALL, _LARGE)
        slope = -Slope(_cost(), array[equation.indices])
        step = Step(slope, equation.value, "differentiate the cost", checker)
        statements.append(Statement(f"rate_{array.name}", f"Gradient flow of {array.name}", (step,), source=SOURCE))
    for (first, second), decays, key, words in (
        (_upper(), (lambda_2, lambda_1), "conservation_weights", "W2'W2 - W1 W1'"),
        (_lower(), (lambda_1, lambda_H), "conservation", "W1'W1 - HH'"),
    ):
        step = Step(
            Rate(first - second),
            -2 * decays[0] * first + 2 * decays[1] * second,
            "the loss sees the product W2 W1 H alone: its terms cancel, whatever the residual E",
            AlongFlow(full, {i: d, j: d}, (*_SMALL, {C: 1, d: 2, N: 2}), inline=True),
        )
        title = f"{words} is conserved without decay, and decays with equal decays"
        statements.append(Statement(key, title, (step,), source="known for linear networks; the check is ours"))
    rates = {e.target.name: e.value for e in reduced.equations}
    for array, coordinate in ((W2, A2), (W1, A1), (H, ETA)):
        step = Step(
            Rate(coordinate.symbol),
            rates[coordinate.name],
            f"insert the collapsed state: the velocity of {array.name} is a multiple of its direction",
            _OnFrames(full, array.name),
        )
        title = f"Collapsed states are invariant: rate of {coordinate.name}"
        given = ("W2 = a2 U2, W1 = a1 U2'U1, H = eta U1'Y", "U2 U2' = U1 U1' = I")
        statements.append(Statement(f"collapsed_{coordinate.name}", title, (step,), given, source=SOURCE))
    return tuple(statements)


@dataclass(frozen=True)
class _OnFrames:
    """The velocity of one state at collapsed states is tangent to them, and their coordinate has rate = rhs.

    Parameters
    ----------
    system : OdeSystem
        The equations of W2, W1 and H.
    state : str
        Which state's velocity is compared.
    shapes : tuple of (int, int, int)
        C, d and n to try.
    """

    system: OdeSystem
    state: str
    shapes: tuple[tuple[int, int, int], ...] = ((1, 2, 2), (2, 2, 2), (2, 3, 1))

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Insert two frames: all others are rotations of these, which the flow commutes with."""
        (equation,) = (e for e in self.system.equations if e.target.name == self.state)
        definitions = tuple(x for x in self.system.definitions if isinstance(x, Definition))
        for classes, dimension, per_class in self.shapes:
            first = frame(classes, dimension, simplex=False)
            second = first[:, ::-1]
            labels = sp.Matrix(classes, classes * per_class, lambda c, s, m=per_class: int(s // m == c))
            directions = {"W2": second, "W1": second.T * first, "H": first.T * labels}
            sizes = {C: classes, d: dimension, N: classes * per_class}
            entries = {}
            for matrix, name, coordinate in (
                (labels, "Y", sp.S.One),
                (directions["W2"], "W2", a2),
                (directions["W1"], "W1", a1),
                (directions["H"], "H", eta),
            ):
                for place in itertools.product(*map(range, matrix.shape)):
                    entries[symbol(sp.IndexedBase(name)[place])] = coordinate * matrix[place]
            write = Written(sizes, definitions)
            direction = directions[self.state]
            for place in itertools.product(*map(range, direction.shape)):
                at = dict(zip(equation.indices, map(sp.Integer, place), strict=True))
                moved = write(equation.value.xreplace(at)).xreplace(entries)
                left = sp.expand(moved - rhs.xreplace({n: sp.Integer(per_class)}) * direction[place])
                if left != 0:
                    raise refute(lhs, rhs, left, f"on frames with (C, d, n) = {(classes, dimension, per_class)}, {at}")
        return CheckResult(
            "symbolic",
            "derived",
            f"symbolic a2, a1, eta on two frames in general position, (C, d, n) = {', '.join(map(str, self.shapes))}; "
            "the flow commutes with rotations of each layer, which take every pair of frames to such a pair",
        )
