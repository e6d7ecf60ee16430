r"""The statements of the truncation chapter, each a chain of checked steps.

One hidden layer of a ReLU network in cumulative parameters, x -> relu(W x + b), undone again by the inverse affine map,
truncates the data: tau(x) = W^-1 (relu(W x + b) - b). Sources say what is known of each statement. The displayed
formulas of Chen's article (arXiv:2501.07400) were not at hand: nothing here quotes them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp

from ..activation import Activation
from ..checks import rationals, refute
from ..derivation import CheckResult, Statement, Step
from ..errors import DerivationError
from ..gaussian.expectation import GaussianExpectation
from ..gaussian.hermite_checks import AtPoints
from ..gaussian.hermite_derivation import derive_hermite
from ..gaussian.mehler import check_mehler, mehler
from ..notation import z
from ..systems import IndexSum, Passed
from .entries import (
    BETA,
    KEPT,
    LABEL,
    THETA,
    WEIGHT,
    AtCases,
    B,
    BySubstitution,
    C,
    Case,
    D,
    Gradient,
    N,
    R,
    T,
    U,
    V,
    W,
    X,
    Y,
    adapted_cases,
    d,
    general_cases,
    rotated_cases,
)

__all__ = ["OnEitherSide", "statements", "tau"]

i, j, k, l, m, n, a = sp.symbols("i j k l m n a", integer=True)

NOTION = "notion: abstract of T. Chen, arXiv:2501.07400; form: hermiton, not compared with the article's displays"
COMPANION = "notion: companion papers of T. Chen and P. Munoz Ewald, such as arXiv:2309.10639; form and proof: hermiton"
OURS = "hermiton"

_ALL_PATTERNS = "symbolic entries, every pattern of truncation, d = 1 and 2; rational points at d = 3"
_ADAPTED = ("W = D R with D positive diagonal and R orthogonal",)
_FIXED = ("the pattern of truncation is that of an open piece: no sample lies on a threshold",)


def _sum(body: sp.Expr, index: sp.Symbol) -> IndexSum:
    return IndexSum(body, index, {i: N, a: C}.get(index, d))


def _general(free: dict[sp.Symbol, sp.Symbol]) -> AtCases:
    return AtCases(general_cases, _ALL_PATTERNS, free)


def _adapted(free: dict[sp.Symbol, sp.Symbol]) -> AtCases:
    return AtCases(adapted_cases, f"{_ALL_PATTERNS}; R of either determinant", free)


# -- the truncation map -----------------------------------------------------------------------------------------------

_TRUNCATED = KEPT[i, l] * (_sum(W[l, m] * X[i, m], m) + B[l]) - B[l]


def tau(component: sp.Symbol) -> sp.Expr:
    """Entry of tau(x_i) in the space of the inputs, relu written with the pattern H."""
    return _sum(V[component, l] * _TRUNCATED, l)


COST = _sum(WEIGHT[i] * _sum((tau(k) - Y[LABEL[i], k]) ** 2, k), i) / 2


@dataclass(frozen=True)
class _ThroughNetwork:
    """x^(l) = W^(l) z^(l) + b^(l) in a network, its pattern any diagonal H or that of the real ReLU."""

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Pass through the network; in every layer the two sides, with their symbols replaced, must agree."""
        for size in (1, 2):
            patterns = sp.Matrix(2, size, sp.symbols(f"h:{2 * size}"))
            self._compare(lhs, rhs, size, sp.numbered_symbols("q"), patterns)
        for number in range(3):
            self._compare(lhs, rhs, 3, rationals(f"pullback {number}"), None)
        words = "two layers, symbols for patterns too, d = 1 and 2; three layers with ReLUs, rational points, d = 3"
        return CheckResult("symbolic", "derived", words)

    def _compare(self, lhs: sp.Expr, rhs: sp.Expr, size: int, draw: Iterator[sp.Expr], kept: sp.Matrix | None) -> None:
        layers = 3 if kept is None else 2
        features = truncated = sp.Matrix(size, 1, lambda *_: next(draw))
        weights, bias = sp.eye(size), sp.zeros(size, 1)
        for layer in range(layers):
            own, shift = sp.Matrix(size, size, lambda *_: next(draw)), sp.Matrix(size, 1, lambda *_: next(draw))
            weights, bias = (own * weights).applyfunc(sp.cancel), (own * bias + shift).applyfunc(sp.cancel)
            inverse = weights.inv()
            before = [own * features + shift, weights * truncated + bias]
            masks = [(v.applyfunc(_positive) if kept is None else kept.row(layer).T) for v in before]
            features = before[0].multiply_elementwise(masks[0])
            truncated = inverse * (before[1].multiply_elementwise(masks[1]) - bias)
            for unit in range(size):
                values = {
                    **{W[j, s].xreplace({j: sp.Integer(unit)}): weights[unit, s] for s in range(size)},
                    B[unit]: bias[unit],
                    **{_Z[s]: truncated[s] for s in range(size)},
                    _FEATURE[unit]: features[unit],
                }
                case = Case({d: size}, values)
                sides = [case.value(side.xreplace({j: sp.Integer(unit)})) for side in (lhs, rhs)]
                difference = sp.cancel(sp.together(sides[0] - sides[1]))
                if difference != 0:
                    raise refute(lhs, rhs, difference, f"in layer {layer + 1} at d={size}")


_Z, _FEATURE = (sp.IndexedBase(sp.Symbol(name, real=True)) for name in ("z", "x^l"))


def _positive(value: sp.Expr) -> sp.Expr:
    return sp.Integer(int(bool(value > 0)))


@dataclass(frozen=True)
class OnEitherSide:
    """Equal for a sample in front of the threshold, on it, and behind it; H = 1[u >= theta]."""

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Put in u = theta + gap, theta and theta - gap."""
        level, gap = sp.Symbol("y", real=True), sp.Symbol("gap", positive=True)
        for kept, at in ((1, level + gap), (1, level), (0, level - gap)):
            values = {U[i, j]: at, THETA[j]: level, KEPT[i, j]: sp.Integer(kept)}
            sides = [sp.expand(_summand(side).subs(values)) for side in (lhs, rhs)]
            if sp.expand(sides[0] - sides[1]) != 0:
                raise refute(lhs, rhs, sides[0] - sides[1], f"for u = {at}")
        return CheckResult("symbolic", "derived", "sample in front of the threshold, on it, behind it")


def _summand(value: sp.Expr) -> sp.Expr:
    return value.body if isinstance(value, IndexSum) else value


def _map() -> Iterator[Statement]:
    pullback = Step(
        _FEATURE[j],
        _sum(W[j, m] * _Z[m], m) + B[j],
        "the affine maps of the layers compose",
        _ThroughNetwork(),
        symbol=r"x^{(l)}_j",
    )
    yield Statement(
        "pullback",
        "Features are the truncated data, mapped by the cumulative parameters",
        (pullback,),
        ("cumulative weights invertible", "z^(l) = tau_l(z^(l-1)), z^(0) = x"),
        source=COMPANION,
    )
    kept_or_level = KEPT[i, j] * U[i, j] + (1 - KEPT[i, j]) * THETA[j]
    yield Statement(
        "clamp",
        "In the coordinates of the layer truncation is a clamp from below; D drops out",
        (
            Step(
                _sum(R[j, k] * tau(k), k),
                kept_or_level,
                "relu commutes with D; theta = -R beta",
                _adapted({i: N, j: d}),
                symbol=r"(R\,\tau(x_i))_j",
            ),
            Step(kept_or_level, sp.Max(U[i, j], THETA[j]), "H = 1[u >= theta]", OnEitherSide()),
        ),
        _ADAPTED,
        source=NOTION,
    )


# -- biases -----------------------------------------------------------------------------------------------------------

_GRAM = _sum(V[m, j] * V[m, k], m)  # (W W^T)^-1
_DISTANCE = KEPT[i, k] * (_sum(W[k, l] * X[i, l], l) + B[k]) - B[k] - _sum(W[k, l] * Y[LABEL[i], l], l)
_GENERAL_LAW = _sum(WEIGHT[i] * (1 - KEPT[i, j]) * _sum(_GRAM * _DISTANCE, k), i)
_ADAPTED_LAW = _sum(WEIGHT[i] * (1 - KEPT[i, j]) * (THETA[j] - T[i, j]), i) / D[j]
_PROJECTION = _sum(R[j, n] * (1 - KEPT[i, j]) * R[j, m], j)
_VECTOR_LAW = -_sum(WEIGHT[i] * _sum(_PROJECTION * (BETA[m] + Y[LABEL[i], m]), m), i)
_IN_COORDINATES = _sum((1 - KEPT[i, j]) * (WEIGHT[i] * T[i, j] - WEIGHT[i] * THETA[j]), i)
RATE = _sum(Passed(U[i, j], THETA[j]) * (WEIGHT[i] * T[i, j] - WEIGHT[i] * THETA[j]), i)
LOSS = _sum(_sum(WEIGHT[i] * (sp.Max(U[i, j], THETA[j]) - T[i, j]) ** 2, j), i) / 2
TRUNCATED_MASS = _sum(WEIGHT[i] * Passed(U[i, j], THETA[j]), i)
THETA_OF_BETA = -_sum(R[j, k] * BETA[k], k)
BETA_OF_THETA = -_sum(R[j, k] * THETA[j], j)


def _vector_law(component: sp.Symbol) -> sp.Expr:
    """(B1) for another component, its bound indices renamed where they would clash."""
    return _VECTOR_LAW.xreplace({j: l}).xreplace({n: component})


def _biases() -> Iterator[Statement]:
    yield Statement(
        "bias_general",
        "Gradient flow of the bias for any invertible W",
        (Step(-Gradient(COST, B[j]), _GENERAL_LAW, "differentiate at fixed pattern", _general({j: d}), symbol="b_j'"),),
        ("W invertible", *_FIXED),
        source=OURS,
    )
    coupling = _sum((1 - KEPT[i, j]) * _GRAM * KEPT[i, k], k)
    yield Statement(
        "adaptedness",
        "What adapted weights buy: kept coordinates drop out",
        (
            Step(
                coupling,
                sp.S.Zero,
                "W W^T is diagonal",
                _adapted({i: N, j: d}),
                symbol=r"(H^\perp (W W^T)^{-1} H\, \mathbf 1)_j",
            ),
        ),
        _ADAPTED,
        source=OURS,
    )
    yield Statement(
        "bias_adapted",
        "The bias law for adapted weights",
        (Step(_GENERAL_LAW, _ADAPTED_LAW, "kept coordinates drop out", _adapted({j: d}), symbol="b_j'"),),
        (*_ADAPTED, *_FIXED),
        source=OURS,
    )


def _thresholds() -> Iterator[Statement]:
    yield Statement(
        "rate_biases",
        "Gradient flow of the input-space bias (B1)",
        (
            Step(
                -Gradient(COST, BETA[n]),
                _VECTOR_LAW,
                "differentiate at fixed pattern",
                _adapted({n: d}),
                symbol=r"\beta_n'",
            ),
        ),
        (*_ADAPTED, "R fixed", *_FIXED),
        source=NOTION,
    )
    rotated = -_sum(R[j, k] * _vector_law(k), k)
    yield Statement(
        "rate_threshold",
        "Each threshold by itself (B2)",
        (
            Step(rotated, _IN_COORDINATES, "theta = -R beta; R is orthogonal", _adapted({j: d}), symbol=r"\theta_j'"),
            Step(_IN_COORDINATES, RATE, "a sample is truncated where u < theta", OnEitherSide()),
        ),
        (*_ADAPTED, "R and targets fixed"),
        source=NOTION,
    )
    yield Statement(
        "relaxation",
        "The rate of relaxation is the truncated mass",
        (Step(-Gradient(RATE, _LEVEL), TRUNCATED_MASS, "differentiate", AtCases(_level_cases, _LEVEL_WORDS, {j: d})),),
        ("on a piece",),
        source=NOTION,
    )
    yield Statement(
        "cost",
        "The input-space cost in the coordinates of the layer",
        (
            Step(COST, _LOSS_WITH_PATTERN, "R is orthogonal", _adapted({}), symbol=r"C_\mathrm{in}"),
            Step(_LOSS_WITH_PATTERN, LOSS, "H = 1[u >= theta]", AtCases(_loss_cases, "as for the clamp")),
        ),
        _ADAPTED,
        source=NOTION,
    )


_LEVEL = THETA[j]
_LEVEL_WORDS = "symbolic entries, N = 1 and 2, every pattern"
_LOSS_WITH_PATTERN = (
    _sum(_sum(WEIGHT[i] * (KEPT[i, j] * U[i, j] + (1 - KEPT[i, j]) * THETA[j] - T[i, j]) ** 2, j), i) / 2
)


def _scalar_cases(counts: tuple[int, ...], classes: int) -> Iterator[tuple[Case, tuple[int, ...], tuple[int, ...]]]:
    """One coordinate, symbols for breakpoints and targets: every assignment of samples to classes, every pattern."""
    for count in counts:
        for labels in itertools.product(range(classes), repeat=count):
            for passed in itertools.product((0, 1), repeat=count):
                level = sp.Symbol("y")
                entries: dict[sp.Expr, sp.Expr] = {THETA[0]: level}
                for sample, (label, flag) in enumerate(zip(labels, passed, strict=True)):
                    u = sp.Symbol(f"u{sample}")
                    entries |= {
                        LABEL[sample]: sp.Integer(label),
                        WEIGHT[sample]: sp.Symbol(f"w{sample}", positive=True),
                        U[sample, 0]: u,
                        T[sample, 0]: sp.Symbol(f"t{label}"),
                        Passed(U[sample, 0], THETA[0]): sp.Integer(flag),
                        KEPT[sample, 0]: sp.Integer(1 - flag),
                        sp.Max(U[sample, 0], THETA[0]): level if flag else u,
                    }
                entries |= {_CLASS_TARGET[label, 0]: sp.Symbol(f"t{label}") for label in range(classes)}
                yield Case({N: count, d: 1, C: classes}, entries), labels, passed


_CLASS_TARGET = sp.IndexedBase(sp.Symbol("T", real=True))


def _level_cases() -> Iterator[Case]:
    return (case for case, _, _ in _scalar_cases((1, 2), 1))


def _loss_cases() -> Iterator[Case]:
    return (case for case, _, _ in _scalar_cases((1, 2), 1))


def _class_cases() -> Iterator[Case]:
    return (case for case, _, _ in _scalar_cases((1, 3), 2))


def _separated_cases() -> Iterator[Case]:
    """The layer truncates samples of the class 0 alone."""
    for case, labels, passed in _scalar_cases((1, 3), 2):
        if not any(flag and label for label, flag in zip(labels, passed, strict=True)):
            yield case


def _clusters() -> Iterator[Statement]:
    flag = Passed(U[i, j], THETA[j])
    mass = _sum(sp.KroneckerDelta(LABEL[i], a) * WEIGHT[i] * flag, i)
    grouped = -_sum(mass * (THETA[j] - _CLASS_TARGET[a, j]), a)
    words = "symbolic entries, up to three samples in two classes, every pattern"
    group = Step(RATE, grouped, "collect by class", AtCases(_class_cases, words, {j: d}), symbol=r"\theta_j'")
    yield Statement("rate_classes", "Grouped by class (B3)", (group,), (*_ADAPTED,), source=NOTION)
    zero = sp.S.Zero
    alone = -mass.xreplace({a: zero}) * (THETA[j] - _CLASS_TARGET[zero, j])
    separate = Step(
        grouped,
        alone,
        "no sample of another class is truncated",
        AtCases(_separated_cases, f"{words} that truncates the first class alone", {j: d}),
        symbol=r"\theta_j'",
    )
    yield Statement(
        "rate_separated",
        "Cluster-separated truncation (B4): one class at a time",
        (separate,),
        ("the layer truncates one class alone, at all times: to be monitored, not a consequence",),
        source=NOTION,
    )


# -- the orthogonal part ----------------------------------------------------------------------------------------------

_angle = sp.Symbol("phi")
_KERNEL = (U[i, j] - T[i, j]) * (U[i, n] - T[i, n]) - (T[i, j] - THETA[j]) * (T[i, n] - THETA[n])
_OMEGA = -_sum(WEIGHT[i] * (KEPT[i, j] - KEPT[i, n]) * _KERNEL, i) / 2


def _rotation() -> Iterator[Statement]:
    step = Step(
        -Gradient(COST, _angle) / 2,
        _OMEGA,
        "differentiate by the angle in the plane of units j and n; the metric is tr(A^T B)",
        AtCases(functools.partial(rotated_cases, j, n, _angle), f"{_ALL_PATTERNS}; every pair of units"),
        symbol=r"\Omega_{jn}",
    )
    yield Statement(
        "rate_rotation",
        "Gradient flow of the orthogonal part, R' = Omega R (R1): only samples that are cut in part contribute",
        (step,),
        (*_ADAPTED, "the input-space bias is held fixed while R varies", *_FIXED),
        source=OURS,
    )


# -- other metrics ----------------------------------------------------------------------------------------------------

_scale, _bias, _theta, _speed = sp.symbols("D b theta g", real=True)
_level = -_bias / _scale
_COST_OF_BIAS = _sum(WEIGHT[i] * (KEPT[i, 0] * U[i, 0] + (1 - KEPT[i, 0]) * _level - T[i, 0]) ** 2, i) / 2
_G = _sum((1 - KEPT[i, 0]) * WEIGHT[i] * (_level - T[i, 0]), i)
_RADIUS = _scale**2 + _bias**2


def _metrics() -> Iterator[Statement]:
    check = AtCases(_level_cases, _LEVEL_WORDS)
    by_bias, by_scale = Gradient(_COST_OF_BIAS, _bias), Gradient(_COST_OF_BIAS, _scale)
    rows = (
        ("metric_bias", "If b follows the Euclidean gradient, D fixed", by_bias / _scale, -_G / _scale**2, r"\theta'"),
        ("metric_joint_scale", "If (D, b) follow it: the scale", -by_scale, _G * _level / _scale, "D'"),
        ("metric_joint_bias", "If (D, b) follow it: the bias", -by_bias, _G / _scale, "b'"),
        (
            "metric_joint_conserved",
            "If (D, b) follow it: what is conserved",
            -2 * (_scale * by_scale + _bias * by_bias),
            sp.S.Zero,
            r"\frac{d}{ds}(D^2 + b^2)",
        ),
        (
            "metric_joint_threshold",
            "If (D, b) follow it: the threshold",
            by_bias / _scale - _bias * by_scale / _scale**2,
            -_G * (1 + _level**2) ** 2 / _RADIUS,
            r"\theta'",
        ),
    )
    for key, title, lhs, rhs, symbol in rows:
        step = Step(lhs, rhs, "differentiate at fixed pattern; theta = -b/D", check, symbol=symbol)
        yield Statement(key, title, (step,), (*_ADAPTED, "R fixed", *_FIXED), source=OURS)


# -- pieces -----------------------------------------------------------------------------------------------------------

s = sp.Symbol("s", nonnegative=True)
_mass, _gap, _rest = sp.symbols("F g_0 r", positive=True)
_start, _length = sp.Symbol("theta_0", real=True), sp.Symbol("ell", positive=True)
_star = _start + _length + _rest  # the attractor lies behind the next breakpoint, theta_0 + length
_piece = _star + (_start - _star) * sp.exp(-_mass * s)
_event = sp.log(1 + _length / _rest) / _mass


def _pieces() -> Iterator[Statement]:
    motion = Step(
        sp.Derivative(_piece, s),
        -_mass * (_piece - _star),
        "differentiate",
        BySubstitution("the solution put into theta' = -F (theta - theta*)"),
        symbol=r"\theta'",
    )
    yield Statement("piece", "A piece is an exponential", (motion,), ("between two events",), source=OURS)
    arrival = Step(
        _piece.subs(s, _event),
        _start + _length,
        "put in s = log(1 + (u - theta_0)/(theta* - u))/F",
        BySubstitution("the time put into the solution"),
        symbol=r"\theta(\Delta)",
    )
    yield Statement("event_time", "When the next breakpoint is reached", (arrival,), (), source=OURS)
    potential = _mass * (_theta - _star) ** 2 / 2
    drop = potential.subs(_theta, _start) - potential.subs(_theta, _piece)
    dissipation = Step(
        drop,
        _mass * (_start - _star) ** 2 * (1 - sp.exp(-2 * _mass * s)) / 2,
        "put the solution into the cost of the piece",
        BySubstitution("the solution put into F (theta - theta*)^2/2, the cost up to a constant"),
        symbol=r"C_\mathrm{in}(0) - C_\mathrm{in}(s)",
    )
    yield Statement("dissipation", "What the cost loses on a piece", (dissipation,), (), source=OURS)
    low = sp.Symbol("a", real=True)
    width, ahead, ratio = sp.symbols("delta h q", positive=True)
    target = low + ahead  # t > a; q = (t - theta_0)/(theta_0 - a)
    logistic = (target + low * ratio * sp.exp(-ahead * s / width)) / (1 + ratio * sp.exp(-ahead * s / width))
    law = Step(
        sp.Derivative(logistic, s),
        -(logistic - low) / width * (logistic - target),
        "differentiate",
        BySubstitution("the logistic function put into theta' = -F(theta) (theta - t), F = (theta - a)/(b - a)"),
        symbol=r"\theta'",
    )
    yield Statement(
        "uniform", "Population flow of a uniform cluster", (law,), ("a < theta < b", "N -> infinity"), source=OURS
    )


# -- a Gaussian coordinate --------------------------------------------------------------------------------------------

_a, _b = sp.symbols("a b", real=True)
_rho = sp.Symbol("rho", real=True)
_g, _h = sp.symbols("x y", real=True)
_ORDER = 6


def _density(at: sp.Symbol) -> sp.Expr:
    return sp.exp(-(at**2) / 2) / sp.sqrt(2 * sp.pi)


def _tail(at: sp.Symbol) -> sp.Expr:
    return sp.erfc(at / sp.sqrt(2)) / 2


@dataclass(frozen=True)
class _ByMehler:
    """A Mehler sum of proved coefficients; the rule itself is checked on every pair of monomials up to degree 6."""

    coefficients: tuple[sp.Expr, ...]

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare with the sum that the rule gives, without the term of order 0."""
        law = (lhs.args[1] if isinstance(lhs, GaussianExpectation) else (_g, _h)) and sp.Matrix([[1, _rho], [_rho, 1]])
        product = sp.Max(_g, _a) * sp.Max(_h, _b)
        if lhs != GaussianExpectation(product, (_g, _h), law) - _mean(_a) * _mean(_b):
            raise DerivationError(f"{lhs} is not the covariance of two clamped Gaussians")
        check_mehler()
        other = [value.subs(_a, _b) for value in self.coefficients]
        expected = mehler(self.coefficients, other, _rho) - self.coefficients[0] * other[0]
        if sp.expand(expected - rhs) != 0:
            raise refute(lhs, rhs, expected - rhs, "from Mehler's formula")
        return CheckResult("Wick", "derived", "Mehler's formula on monomials up to degree 6; coefficients proved above")


def _mean(at: sp.Symbol) -> sp.Expr:
    return at + _density(at) - at * _tail(at)


def _clamped(order: int) -> sp.Expr:
    """E[max(x, a) He_k(x)]."""
    from ..formula import hermite_he

    if order == 0:
        return _mean(_a)
    return _tail(_a) if order == 1 else _density(_a) * hermite_he(order - 2, _a)


def _gaussian() -> Iterator[Statement]:
    points = AtPoints((_a,))
    shifted = derive_hermite(Activation("relu"), _ORDER, -_a, 1)
    conditions = ("the coordinate of the cluster is a standard Gaussian x", "max(x, a) = a + relu(x - a)")
    for order in range(_ORDER + 1):
        proof = shifted.statement(f"h{order} at the point").steps
        last = proof[-1].rhs
        steps = [*proof]
        claim = _clamped(order) - (_a if order == 0 else 0)
        if last != claim:
            steps.append(Step(last, claim, "c_k = phi(a) He_(k-2)(a)" if order > 1 else "collect", points))
        yield Statement(
            f"clamped_h{order}",
            f"Hermite coefficient c_{order} of the clamped Gaussian" + (", less a" if order == 0 else ""),
            tuple(steps),
            conditions,
            source=OURS,
        )
    square = derive_hermite(Activation(sp.Max(z, 0) ** 2), 0, -_a, 1).statement("h0 at the point").steps
    yield Statement("clamped_square", "E[relu(x - a)^2]", square, conditions, source=OURS)
    from_parts = square[-1].rhs - (_mean(_a) - _a) ** 2
    variance = (1 + _a**2) * _tail(_a) - _a * _density(_a) - (_density(_a) - _a * _tail(_a)) ** 2
    yield Statement(
        "clamped_variance",
        "Within-class variance of a clamped Gaussian coordinate",
        (Step(from_parts, variance, "second moment less square of the mean", points, symbol=r"\mathrm{Var}"),),
        conditions,
        source=OURS,
    )
    coefficients = tuple(_clamped(order) for order in range(_ORDER + 1))
    law = sp.Matrix([[1, _rho], [_rho, 1]])
    covariance = GaussianExpectation(sp.Max(_g, _a) * sp.Max(_h, _b), (_g, _h), law) - _mean(_a) * _mean(_b)
    series = sp.Add(*(c * c.subs(_a, _b) * _rho**n / sp.factorial(n) for n, c in enumerate(coefficients) if n))
    yield Statement(
        "clamped_covariance",
        "Covariance of two clamped Gaussian coordinates",
        (Step(covariance, series, "Mehler's formula", _ByMehler(coefficients), symbol=r"\mathrm{Cov}"),),
        (*conditions, "correlation rho"),
        rf"O(\rho^{{{_ORDER + 1}}})",
        OURS,
    )


@functools.cache
def statements() -> tuple[Statement, ...]:
    """All statements, in logical order; they do not depend on the data."""
    return (*_map(), *_biases(), *_thresholds(), *_clusters(), *_rotation(), *_metrics(), *_pieces(), *_gaussian())
