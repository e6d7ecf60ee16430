r"""Statements on the cost of the outputs, C_std = 1/2 sum_i w_i |W z_i + b - y_c(i)|^2, W and b the output layer.

It begins the way back with e^(L) = W^T (W z + b - y). For any W of full rank, square or not, that is G (z - ytilde),
G = W^T W, labels being pulled back by the (pseudo-)inverse of W. Where W reaches all outputs, C_std lies between C_in
times the smallest and the largest eigenvalue of G, and clusters that are truncated fully go to their labels at rates
m eig(G).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import sympy as sp

from ..checks import rationals
from ..derivation import Statement, Step
from ..systems import Array
from ..unconstrained_features.squares import BySquares
from ..unconstrained_features.words import InWords, letters
from .entries import (
    BETA,
    ERROR,
    INPUT,
    LABEL,
    LAST,
    OUTPUT_BIAS,
    OUTPUT_WEIGHTS,
    TARGET,
    WEIGHT,
    AtCases,
    BySubstitution,
    C,
    Case,
    E,
    Gradient,
    M,
    N,
    Y,
    cayley,
    d,
    of_matrix,
    of_vector,
    symbol_matrix,
)
from .layers import COST, SAMPLE_COST, o, total
from .network_cases import output_cases
from .statements import COMPANION, NOTION, OURS, i, k, l, m, n

__all__ = ["standard_cost_statements"]

_SYMBOLIC = "symbolic entries where W is square, 1 x 1 and 2 x 2; rational points for 2 x 3 and 3 x 2"
_REACHES = ((1, 1), (2, 2), (2, 3))


def _outputs(free: dict[sp.Symbol, sp.Symbol], shapes: tuple[tuple[int, int], ...] | None = None) -> AtCases:
    if shapes is None:
        return AtCases(output_cases, _SYMBOLIC, free)
    return AtCases(functools.partial(output_cases, shapes), _SYMBOLIC.replace(" and 3 x 2", ""), free)


_ERROR = total(OUTPUT_WEIGHTS[o, k] * LAST[i, k], k) + OUTPUT_BIAS[o] - TARGET[LABEL[i], o]
_GRAM = total(OUTPUT_WEIGHTS[o, k] * OUTPUT_WEIGHTS[o, n], o)  # G
_DISTANCE = LAST[i, n] - Y[LABEL[i], n]
_RESIDUAL = total(OUTPUT_WEIGHTS[o, k] * ERROR[i, o], o)
_WEIGHTS_LAW = -total(WEIGHT[i] * ERROR[i, o] * LAST[i, k], i)
_BIAS_LAW = -total(WEIGHT[i] * ERROR[i, o], i)


# -- where the way back begins ----------------------------------------------------------------------------------------


def _residuals() -> Iterator[Statement]:
    yield Statement(
        "residual",
        "Where the way back begins, C_in",
        (
            Step(
                Gradient(SAMPLE_COST["input"], LAST[i, k]),
                LAST[i, k] - Y[LABEL[i], k],
                "differentiate",
                _outputs({i: N, k: d}),
                symbol="e^{(L)}_{ik}",
            ),
        ),
        source=OURS,
    )
    yield Statement(
        "error",
        "The error of the outputs",
        (Step(ERROR[i, o], _ERROR, "output less label vector", _outputs({i: N, o: M})),),
        source=OURS,
    )
    yield Statement(
        "residual_standard",
        "Where the way back begins, C_std",
        (
            Step(
                Gradient(SAMPLE_COST["standard"], LAST[i, k]),
                _RESIDUAL,
                "differentiate",
                _outputs({i: N, k: d}),
                symbol="e^{(L)}_{ik}",
            ),
        ),
        source=OURS,
    )
    yield Statement(
        "residual_pulled_back",
        "The same in the space of the inputs: G (z - ytilde)",
        (
            Step(
                _RESIDUAL,
                total(_GRAM * _DISTANCE, n),
                "W^T W W^+ = W^T",
                _outputs({i: N, k: d}),
                symbol="e^{(L)}_{ik}",
            ),
        ),
        ("W of full rank, square or not; labels pulled back by its inverse or pseudo-inverse",),
        source=OURS,
    )
    for key, title, lhs, rhs in (
        ("loss", "C_in by the residuals", COST["input"], total(total(WEIGHT[i] * E[i, k] ** 2, k), i) / 2),
        (
            "loss_standard",
            "C_std by the errors",
            COST["standard"],
            total(total(WEIGHT[i] * ERROR[i, o] ** 2, o), i) / 2,
        ),
    ):
        symbol = r"C_\mathrm{in}" if key == "loss" else r"C_\mathrm{std}"
        step = Step(lhs, rhs, "insert the definitions, e being e^(L)", _outputs({}), symbol=symbol)
        yield Statement(key, title, (step,), source=NOTION)


def _squares(residual: sp.Expr, index: sp.Symbol) -> sp.Expr:
    return total(total(WEIGHT[i] * residual**2, index), i) / 2


def _output_layer() -> Iterator[Statement]:
    for key, title, entry, rhs, free, symbol in (
        (
            "rate_output_weights",
            "Gradient flow of the output weights",
            OUTPUT_WEIGHTS[o, k],
            _WEIGHTS_LAW,
            {o: M, k: d},
            "W_{ok}'",
        ),
        (
            "rate_output_bias",
            "Gradient flow of the output bias",
            OUTPUT_BIAS[o],
            _BIAS_LAW,
            {o: M},
            "b_o'",
        ),
    ):
        words = "symbolic entries, W of 1 x 1, 2 x 2, 2 x 3 and 3 x 2"
        # The cost has an index of its own for outputs.
        cost = COST["standard"].xreplace({o: m})
        step = Step(-Gradient(cost, entry), rhs, "differentiate", AtCases(_free_outputs, words, free), symbol=symbol)
        yield Statement(
            key, title, (step,), ("the standard cost; hidden layers held fixed while it varies",), source=OURS
        )


@functools.cache
def _free_outputs() -> tuple[Case, ...]:
    """Samples behind all layers, labels and any output layer: all symbols."""
    cases = []
    for outputs, size in ((1, 1), (2, 2), (2, 3), (3, 2)):
        count = 2
        weights, bias = symbol_matrix("W", outputs, size), symbol_matrix("b", outputs)
        last, targets = symbol_matrix("z", count, size), symbol_matrix("y", count, outputs)
        entries = {
            **of_matrix(LAST, last),
            **of_matrix(ERROR, last * weights.T + sp.ones(count, 1) * bias.T - targets),
            **of_vector(WEIGHT, symbol_matrix("w", count)),
            **of_vector(LABEL, map(sp.Integer, range(count))),
            **of_matrix(OUTPUT_WEIGHTS, weights),
            **of_vector(OUTPUT_BIAS, bias),
            **of_matrix(TARGET, targets),
        }
        cases.append(Case({N: count, d: size, C: count, M: outputs}, entries))
    return tuple(cases)


# -- between the eigenvalues of G -------------------------------------------------------------------------------------

AXES = Array("O", (INPUT, INPUT), meaning="orthogonal matrix of the eigenvectors of G = W^T W, a row each")
EIGENVALUE = Array("g", (INPUT,), meaning="eigenvalues of G")
ABOVE = Array("g_above", (INPUT,), latex="g - lambda", meaning="how far an eigenvalue is above the smallest")
BELOW = Array("g_below", (INPUT,), latex=r"\Lambda - g", meaning="how far an eigenvalue is below the largest")
_smallest, _largest = sp.symbols("lambda Lambda", nonnegative=True)

_SPECTRAL = "G = O^T diag(g) O: g symbols at d = 1 and 2, rational points at d = 3"
_ALONG = total(AXES[k, n] * _DISTANCE, n)  # of one eigenvector
_QUADRATIC = total(WEIGHT[i] * total(total(_GRAM * _DISTANCE, n) * _DISTANCE.xreplace({n: k}), k), i) / 2
_INPUT_COST = total(WEIGHT[i] * total(_DISTANCE**2, n), i) / 2


def _by_axes(factor: sp.Expr) -> sp.Expr:
    return total(WEIGHT[i] * total(factor * _ALONG**2, k), i) / 2


@functools.cache
def _spectral_cases() -> tuple[Case, ...]:
    """An output layer by its singular values and vectors: W = P diag(s) O."""
    cases = []
    for size in (1, 2, 3):
        count = 2 if size == 3 else 1
        draw = rationals(f"axes {size}")
        left, axes = (
            cayley(upper - upper.T)
            for upper in (sp.Matrix(size, size, lambda r, c: next(draw) if r < c else 0) for _ in range(2))  # noqa: B023
        )
        values = symbol_matrix("s", size) if size < 3 else sp.Matrix(3, 1, lambda *_: next(draw))  # noqa: B023
        last, labels = symbol_matrix("z", count, size), symbol_matrix("y", count, size)
        squares = [value**2 for value in values]
        entries = {
            **of_matrix(OUTPUT_WEIGHTS, left * sp.diag(*values) * axes),
            **of_matrix(AXES, axes),
            **of_vector(EIGENVALUE, squares),
            **of_vector(ABOVE, [g - _smallest for g in squares]),
            **of_vector(BELOW, [_largest - g for g in squares]),
            **of_matrix(LAST, last),
            **of_matrix(Y, labels),
            **of_vector(BETA, symbol_matrix("beta", size)),
            **of_vector(WEIGHT, symbol_matrix("w", count)),
            **of_vector(LABEL, map(sp.Integer, range(count))),
        }
        cases.append(Case({N: count, d: size, C: count, M: size}, entries))
    return tuple(cases)


def _gap() -> Iterator[Statement]:
    reaches = ("W of full rank with no more outputs than inputs: it reaches all labels",)
    spectral = AtCases(_spectral_cases, _SPECTRAL)
    yield Statement(
        "cost_standard",
        "C_std in the space of the inputs",
        (
            Step(
                COST["standard"],
                _QUADRATIC,
                "W ytilde + b = y",
                _outputs({}, _REACHES),
                symbol=r"C_\mathrm{std}",
            ),
            Step(_QUADRATIC, _by_axes(EIGENVALUE[k]), "along the eigenvectors of G", spectral),
        ),
        reaches,
        source=NOTION,
    )
    for key, words, bound, rest, side, below in (
        ("gap_below", "C_std is at least the smallest eigenvalue of G times C_in", _smallest, ABOVE, 1, False),
        ("gap_above", "C_std is at most the largest eigenvalue of G times C_in", _largest, BELOW, -1, True),
    ):
        step = Step(
            _by_axes(EIGENVALUE[k]),
            bound * _INPUT_COST + side * _by_axes(rest[k]),
            "eigenvectors are orthogonal; what is left is a sum of squares",
            BySquares(spectral, bound * _INPUT_COST, below, positive=(WEIGHT[i], rest[k])),
            symbol=r"C_\mathrm{std}",
        )
        yield Statement(key, words, (step,), (*reaches, "weights are positive"), source=NOTION)


# -- a cluster that is truncated fully --------------------------------------------------------------------------------

_OF_CLUSTER = BETA[n] + Y[0, n]
_CLUSTER_COST = (
    total(WEIGHT[i], i) * total((OUTPUT_BIAS[o] - total(OUTPUT_WEIGHTS[o, l] * BETA[l], l) - TARGET[0, o]) ** 2, o) / 2
)
_CLUSTER_LAW = -total(WEIGHT[i], i) * total(_GRAM * _OF_CLUSTER, n)

s = sp.Symbol("s", nonnegative=True)
_mass = sp.Symbol("m", positive=True)
_gap_, _amplitude = sp.Symbol("gamma", nonnegative=True), sp.Symbol("a_0", real=True)
_mode = _amplitude * sp.exp(-_mass * (_smallest + _gap_) * s)


def _cluster() -> Iterator[Statement]:
    truncated = (
        "every sample of the cluster is truncated in every coordinate of one layer and kept by those behind it",
    )
    yield Statement(
        "cluster_standard",
        "A fully truncated cluster, z = -beta, goes to its label",
        (
            Step(
                -Gradient(_CLUSTER_COST, BETA[k]),
                _CLUSTER_LAW,
                "differentiate; W ytilde + b = y up to what W^T does not see",
                _outputs({k: d}),
                symbol=r"\beta_k'",
            ),
        ),
        (*truncated, "W and b fixed, W of full rank"),
        source=NOTION,
    )
    along = total(AXES[k, n] * _OF_CLUSTER, n)
    yield Statement(
        "cluster_modes",
        "Its modes are the eigenvectors of G, and mass times eigenvalue their rates",
        (
            Step(
                total(AXES[k, m] * _CLUSTER_LAW.xreplace({k: m}), m),
                -total(WEIGHT[i], i) * EIGENVALUE[k] * along,
                "O G = diag(g) O",
                AtCases(_spectral_cases, _SPECTRAL, {k: d}),
                symbol=r"(O\,(\beta + \tilde y))_k'",
            ),
        ),
        truncated,
        source=OURS,
    )
    yield Statement(
        "cluster_mode",
        "A mode is an exponential",
        (
            Step(
                sp.Derivative(_mode, s),
                -_mass * (_smallest + _gap_) * _mode,
                "differentiate",
                BySubstitution("the exponential put into a' = -m g a"),
                symbol="a'",
            ),
        ),
        source=OURS,
    )
    yield Statement(
        "cluster_bound",
        "Spectral gap: |beta + ytilde| <= exp(-m lambda s) |beta + ytilde|_0, lambda = lambda_min(G), mode by mode",
        (
            Step(
                sp.Derivative(_mode**2 * sp.exp(2 * _mass * _smallest * s), s),
                -2 * _mass * _gap_ * _amplitude**2 * sp.exp(-2 * _mass * _gap_ * s),
                "differentiate; g = lambda + gamma with gamma >= 0",
                BySquares(BySubstitution("the exponential put in"), sp.S.Zero, below=True),
                symbol=r"\frac{d}{ds}\left(a^2 e^{2 m \lambda s}\right)",
            ),
        ),
        truncated,
        source=NOTION,
    )


# -- in the space of the outputs --------------------------------------------------------------------------------------

_J, _JT, _K = letters("J J^T K")  # K = (J J^T)^-1
_GRAMIAN, _PSEUDO = _JT * _J, _JT * _K * _K * _J
_x, _wanted = sp.symbols("x_0 y", real=True)


def _output_space() -> Iterator[Statement]:
    full = ("the Jacobian J of the outputs by the parameters has full row rank, K = (J J^T)^-1",)
    rank = InWords(((_J * _JT * _K, sp.S.One), (_K * _J * _JT, sp.S.One)), "J J^T K = K J J^T = 1")
    rows = (
        ("pseudo_inverse_first", _GRAMIAN * _PSEUDO * _GRAMIAN, _GRAMIAN, "A A^+ A = A, A = J^T J"),
        ("pseudo_inverse_second", _PSEUDO * _GRAMIAN * _PSEUDO, _PSEUDO, "A^+ A A^+ = A^+"),
        ("pseudo_inverse_left", _PSEUDO * _GRAMIAN, _JT * _K * _J, "A^+ A is symmetric, as K is"),
        ("pseudo_inverse_right", _GRAMIAN * _PSEUDO, _JT * _K * _J, "A A^+ is symmetric, as K is"),
        ("output_space", -_J * _PSEUDO * _JT, -sp.S.One, "x' = -J A^+ J^T (x - y) = -(x - y)"),
    )
    for key, lhs, rhs, reason in rows:
        title = (
            "The flow preconditioned by the pseudo-inverse of J^T J takes outputs straight to their labels"
            if key == "output_space"
            else "J^T K K J is the pseudo-inverse of J^T J, as Penrose's conditions say"
        )
        yield Statement(key, title, (Step(lhs, rhs, reason, rank),), full, source=COMPANION)
    path = _wanted + (_x - _wanted) * sp.exp(-s)
    yield Statement(
        "output_space_path",
        "An output on its way",
        (Step(sp.Derivative(path, s), -(path - _wanted), "differentiate", BySubstitution("put in"), symbol="x'"),),
        (*full, "weights 1"),
        source=COMPANION,
    )
    yield Statement(
        "output_space_cost",
        "C_std(s) = C_std(0) exp(-2 s)",
        (
            Step(
                (path - _wanted) ** 2 / 2,
                (_x - _wanted) ** 2 / 2 * sp.exp(-2 * s),
                "of each output",
                BySubstitution("put in"),
                symbol=r"C_\mathrm{std}",
            ),
        ),
        (*full, "weights 1"),
        source=COMPANION,
    )


def standard_cost_statements() -> Iterator[Statement]:
    """Statements on the standard cost, its output layer and its spectral gap.

    Yields
    ------
    Statement
    """
    yield from _residuals()
    yield from _output_layer()
    yield from _gap()
    yield from _cluster()
    yield from _output_space()
