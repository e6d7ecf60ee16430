r"""Online SGD of a two-layer student on a two-layer teacher: order-parameter equations.

The network and its training rule, for inputs x with N components and a fresh sample at each step:

    phi(x) = sum_k v_k g(lambda_k),    lambda_k = w_k . x / sqrt(N)
    w_k <- w_k - (eta / sqrt(N)) v_k g'(lambda_k) Delta x,    v_k <- v_k - (eta_v / N) g(lambda_k) Delta
    Delta = phi(x) - phi*(x) - sigma zeta

From these `derive` obtains closed equations for the overlaps Q = w w'/N, R = w w*'/N and the second layer v in the
limit N -> infinity at fixed t = steps/N, for smooth activations and for piecewise-linear ones. The equations are those
of Saad & Solla (1995) and Biehl & Schwarze (1995); the steps and their checks are ours.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE

from .activation import Activation
from .checks import ByComponents, ByLinearity, ByWick, FiniteDimension, rationals
from .derivation import Cited, Defined, Derivation, Statement, Step
from .derive import derive
from .errors import AssumptionError, argument_error
from .evaluate import evaluate
from .fields import FIELD, LENGTH, NOISE, Activated, Expectation, moment_by_wick, moments_as_expectations, wick_value
from .gaussian.closed_forms import closed_form
from .gaussian.wick import wick
from .systems import Array, BlockDefinition, Definition, IndexSet, IndexSum, Moment, OdeSystem

__all__ = ["Isotropic", "OnlineSGD", "derive_online_sgd", "order_parameter_system"]


# -- the setting ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Isotropic:
    """Inputs x ~ N(0, I_N)."""


@dataclass(frozen=True)
class OnlineSGD:
    r"""One-pass SGD of a two-layer student on the labels of a two-layer teacher.

    Parameters
    ----------
    student, teacher : str, sympy.Expr or Activation
        Activations: a name (``"erf"``, which means erf(z/sqrt(2))), a formula in z, or an `Activation`.
    hidden, teacher_hidden : int
        Widths K and M of student and teacher.
    learning_rate : float
        eta of the first layer; a step moves w_k by ``eta / sqrt(N)`` times its gradient.
    second_layer_rate : float
        eta_v of the second layer; 0 keeps it fixed.
    noise : float
        Standard deviation sigma of the label noise.
    inputs : Isotropic
        Law of the inputs.

    Raises
    ------
    AssumptionError
        If an argument is out of range or an activation is not admissible.

    Notes
    -----
    *Validity.* The loss of a sample is (phi - y)^2 / 2; a code without the 1/2 uses half of this learning rate. Weights
    have norm O(sqrt(N)), so that overlaps and fields are O(1). The equations cover pairs of smooth activations, and
    pairs of continuous piecewise-linear ones (``"relu"``, ``"leaky_relu"``, ``"abs(z)"``, ``"Max(-1, Min(1, z))"``);
    networks train with any activation.
    """

    student: Activation | str | sp.Expr = "erf"
    teacher: Activation | str | sp.Expr = "erf"
    hidden: int = 2
    teacher_hidden: int = 2
    learning_rate: float | sp.Rational = sp.S.Half
    second_layer_rate: float | sp.Rational = 0
    noise: float | sp.Rational = 0
    inputs: Isotropic = Isotropic()

    def __post_init__(self) -> None:
        """Refuse what the theory does not cover."""
        object.__setattr__(self, "student", Activation(self.student))
        object.__setattr__(self, "teacher", Activation(self.teacher))
        for name in ("hidden", "teacher_hidden"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise argument_error(name, value, "is not a positive integer", "give the network at least one unit")
            object.__setattr__(self, name, int(value))
        for name in ("learning_rate", "second_layer_rate", "noise"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real | sp.Rational) or not math.isfinite(value):
                raise argument_error(name, value, "is not a finite number", "pass a number that is at least 0")
            if value < 0:
                raise argument_error(name, value, "is negative", "pass a number that is at least 0")
        if self.learning_rate == 0 and self.second_layer_rate == 0:
            raise argument_error("learning_rate", 0, "leaves nothing to train", "make one of the two rates positive")
        if not isinstance(self.inputs, Isotropic):
            raise argument_error("inputs", self.inputs, "is not a law of inputs known here", "use hermiton.Isotropic()")

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes by the names that systems use."""
        return {"K": self.hidden, "M": self.teacher_hidden}


# -- names ------------------------------------------------------------------------------------------------------------

K, M = sp.symbols("K M", integer=True, positive=True)
N = sp.Symbol("N", integer=True, positive=True)
k, l, a, b, n, tau = sp.symbols("k l a b n tau", integer=True)

STUDENT = IndexSet("student", K, dimensions=("i", "k"))
TEACHER = IndexSet("teacher", M, dimensions=("n", "m"))
FIELDS = IndexSet("field", K + M, (STUDENT, TEACHER))

Q = Array("Q", (STUDENT, STUDENT), symmetric=True, meaning="student overlaps w_k . w_l / N")
R = Array("R", (STUDENT, TEACHER), meaning="teacher-student overlaps w_k . w*_n / N")
T = Array("T", (TEACHER, TEACHER), symmetric=True, meaning="teacher overlaps w*_n . w*_m / N")
V = Array("v", (STUDENT,), meaning="second layer of the student")
A = Array("A", (TEACHER,), meaning="second layer of the teacher")
ETA = Array("eta", field="learning_rate", latex=r"\eta", meaning="learning rate of the first layer")
ETA_V = Array("eta_v", field="second_layer_rate", latex=r"\eta_v", meaning="learning rate of the second layer")
SIGMA = Array("sigma", field="noise", latex=r"\sigma", meaning="standard deviation of the label noise")
C = Array("C", (FIELDS, FIELDS), symmetric=True, meaning="covariance of the fields")
S = Array("s", (FIELDS,), meaning="second-layer weights with sign: v for students, -A for teachers")
H = Array("H", (STUDENT,), meaning="E[(sum_a s_a g_a) g''_k]")
F = Array("f", (STUDENT, FIELDS), meaning="E[Delta g'_k z_b]")
G = Array("G", (STUDENT, STUDENT), symmetric=True, meaning="E[Delta^2 g'_k g'_l]")
ERROR = Array("generalization_error", latex=r"\epsilon_g", meaning="E[(phi - phi*)^2]/2, without noise")

DELTA = sp.Symbol("Delta", real=True)
W, TEACHER_W, INPUT = (sp.IndexedBase(sp.Symbol(name, real=True)) for name in ("w", "w^*", "x"))
eta, eta_v, sigma = ETA.symbol, ETA_V.symbol, SIGMA.symbol
DELTA_DEFINITION = IndexSum(S[a] * Activated(0, a), a, K + M) - sigma * NOISE

ORDERS = {"I2": (0, 0), "J2": (1, 1), "H2": (2, 0), "I4": (1, 1, 0, 0)}
_ARRAYS = {array.name: array for array in (Q, R, T, C, G)}
_SLOTS = {
    "I2": (FIELDS, FIELDS),
    "J2": (STUDENT, FIELDS),
    "H2": (STUDENT, FIELDS),
    "I4": (STUDENT, STUDENT, FIELDS, FIELDS),
}
_MOMENTS = {name: Moment(name, ORDERS[name], _SLOTS[name], C) for name in ORDERS}
I2, J2, H2, I4 = _MOMENTS["I2"], _MOMENTS["J2"], _MOMENTS["H2"], _MOMENTS["I4"]

SOURCES = (
    "D. Saad and S. A. Solla, On-line learning in soft committee machines, Phys. Rev. E 52, 4225 (1995)",
    "M. Biehl and H. Schwarze, Learning by on-line gradient descent, J. Phys. A 28, 643 (1995)",
    "S. Goldt et al., Dynamics of stochastic gradient descent for two-layer neural networks in the teacher-student "
    "setup, NeurIPS (2019), arXiv:1906.08632",
)
_LITERATURE = "Saad & Solla 1995; Biehl & Schwarze 1995; the steps are ours"


# -- the lemmas -------------------------------------------------------------------------------------------------------


def _activated(order: int, index: sp.Expr) -> sp.Expr:
    return Activated(sp.Integer(order), index)


def _components(width: int, teacher_width: int, size: int) -> dict[sp.Expr, sp.Expr]:
    """Fields and length of an input written out in components."""
    root = sp.sqrt(size)
    replace: dict[sp.Expr, sp.Expr] = {LENGTH: sp.Add(*(INPUT[i] ** 2 for i in range(size))) / size}
    for unit in range(width + teacher_width):
        vector = [W[unit, i] if unit < width else TEACHER_W[unit - width, i] for i in range(size)]
        replace[FIELD[unit]] = sp.Add(*(c * INPUT[i] for i, c in enumerate(vector))) / root
    return replace


def _gradient_step(unit: sp.Expr) -> sp.Expr:
    """Component tau of w_k after one step."""
    return W[unit, tau] - eta / sp.sqrt(N) * V[unit] * _activated(1, unit) * DELTA * INPUT[tau]


@functools.cache
def _increments() -> tuple[Statement, ...]:
    """The update rule, multiplied out: changes of Q, R and v in one step, exact at every N."""
    q_before = IndexSum(_gradient_step(k) * _gradient_step(l) - W[k, tau] * W[l, tau], tau, N) / N
    gradient = {unit: V[unit] * _activated(1, unit) * DELTA for unit in (k, l)}
    q_after = (
        -(eta / N) * (gradient[k] * FIELD[l] + gradient[l] * FIELD[k]) + eta**2 / N * gradient[k] * gradient[l] * LENGTH
    )
    r_before = IndexSum((_gradient_step(k) - W[k, tau]) * TEACHER_W[n, tau], tau, N) / N
    r_after = -(eta / N) * gradient[k] * FIELD[K + n]
    two_students = ByComponents(K, M, student_indices=(k, l), dimension=N, expand_fields=_components)
    with_teacher = ByComponents(
        K, M, student_indices=(k,), teacher_indices=(n,), dimension=N, expand_fields=_components
    )
    reason = "insert the update rule and multiply out"
    return (
        Statement(
            "increment_Q",
            "Change of Q in one step",
            (Step(q_before, q_after, reason, two_students, symbol=r"Q_{kl}' - Q_{kl}"),),
            source="hermiton",
        ),
        Statement(
            "increment_R",
            "Change of R in one step",
            (Step(r_before, r_after, reason, with_teacher, symbol=r"R_{kn}' - R_{kn}"),),
            source="hermiton",
        ),
    )


def _linear(*students: sp.Symbol, teachers: tuple[sp.Symbol, ...] = ()) -> ByLinearity:
    return ByLinearity(
        K, M, students, (), teachers, arrays=_ARRAYS, orders=ORDERS, substitutions={DELTA: DELTA_DEFINITION}
    )


def _expand_names(value: sp.Expr) -> sp.Expr:
    return moments_as_expectations(value, ORDERS).xreplace({DELTA: DELTA_DEFINITION})


@functools.cache
def _lemmas() -> tuple[Statement, ...]:
    """What the means of the increments need."""
    product = DELTA**2 * _activated(1, k) * _activated(1, l)
    length = Statement(
        "length",
        "The length of the input concentrates",
        (
            Step(
                Expectation(product * LENGTH),
                Expectation(product),
                "|x|^2/N = 1 + O(1/N) under the expectation",
                FiniteDimension(_exact_with_length, _limit_of_length),
            ),
        ),
        ("x ~ N(0, I_N)",),
        r"\frac{1}{N} \sum_{ab} C_{ab} \mathbb{E}[\partial_a \partial_b (\Delta^2 g'_k g'_l)]",
        "hermiton",
    )
    drift = _activated(1, k) * DELTA * FIELD[b]
    stein = Statement(
        "stein",
        "Mean of error signal times field",
        (
            Step(
                Expectation(drift),
                IndexSum(S[a] * J2(k, a) * C[a, b], a, K + M) + C[b, k] * IndexSum(S[a] * H2(k, a), a, K + M),
                "Stein's lemma: E[z_b X] = sum_a C_ab E[dX/dz_a]",
                ByWick(K, M, (k,), (b,), expand=_expand_names, covariance=C, amplitudes=S, degree=6),
                symbol="f_{kb}",
            ),
        ),
        (
            "fields jointly Gaussian with mean 0 and covariance C",
            "g twice differentiable, or continuous and piecewise linear with impulses of g'' at its kinks",
        ),
        source=_LITERATURE,
    )
    fluctuation = Statement(
        "fluctuation",
        "Mean square of the error signal",
        (
            Step(
                Expectation(product),
                IndexSum(IndexSum(S[a] * S[b] * I4(k, l, a, b), b, K + M), a, K + M) + sigma**2 * J2(k, l),
                "expand the error signal, average over the label noise, collect",
                _linear(k, l),
                symbol="G_{kl}",
            ),
        ),
        source=_LITERATURE,
    )
    return length, stein, fluctuation


# -- exact expectations at finite N, by brute force ------------------------------------------------------------------

_X = sp.Symbol("x")
# Two of each, so that a wrong index shows.
_WIDTH, _TEACHER_WIDTH = 2, 2


@dataclass(frozen=True)
class _TestPoint:
    """A network small enough for brute force: rational weights, quadratic activations, rational rates."""

    vectors: sp.Matrix
    amplitudes: tuple[sp.Rational, ...]
    activations: dict[int, sp.Expr]
    rates: dict[sp.Symbol, sp.Rational]

    @property
    def covariance(self) -> sp.Matrix:
        """Overlaps of the vectors u = w / sqrt(N): the same at every N, since the vectors are padded with zeros."""
        return self.vectors * self.vectors.T


@functools.cache
def _test_point() -> _TestPoint:
    stream = rationals("online sgd at finite N")
    count = _WIDTH + _TEACHER_WIDTH
    student, teacher = (sp.Add(*(next(stream) * _X**i for i in range(3))) for _ in range(2))
    return _TestPoint(
        sp.Matrix(count, 2, lambda i, j: next(stream) / 4),
        tuple(next(stream) for _ in range(count)),
        {i: student if i < _WIDTH else teacher for i in range(count)},
        {eta: abs(next(stream)), eta_v: abs(next(stream)), sigma: abs(next(stream))},
    )


@functools.cache
def _polynomials(size: int) -> tuple[list[sp.Poly], list[sp.Poly], list[sp.Poly], sp.Poly]:
    """Components of the input, g(z_a), g'(z_a) and the error signal as polynomials in input and noise at N = size."""
    point = _test_point()
    variables = (*sp.symbols(f"_x0:{size}"), NOISE)

    def poly(value: sp.Expr) -> sp.Poly:
        return sp.Poly(value, *variables, domain=sp.QQ)

    inputs = [poly(x) for x in variables[:-1]]
    units = range(_WIDTH + _TEACHER_WIDTH)
    fields = [sum((inputs[j] * u for j, u in enumerate(point.vectors.row(i))), poly(0)) for i in units]

    def compose(formula: sp.Expr, argument: sp.Poly) -> sp.Poly:
        total = poly(0)
        for coefficient in sp.Poly(formula, _X).all_coeffs():
            total = total * argument + coefficient
        return total

    values = [compose(point.activations[i], z) for i, z in enumerate(fields)]
    slopes = [compose(sp.diff(point.activations[i], _X), z) for i, z in enumerate(fields)]
    signal = sum((v * s for v, s in zip(values, point.amplitudes, strict=True)), -poly(NOISE) * point.rates[sigma])
    return inputs, values, slopes, signal


def _mean(value: sp.Poly) -> sp.Expr:
    return wick(value, value.gens, sp.eye(len(value.gens)))


def _exact_increments(size: int) -> dict[str, list[sp.Expr]]:
    """N E[Q' - Q], N E[R' - R], N E[v' - v] of one real step at N = size, straight from the update rule."""
    point = _test_point()
    inputs, values, slopes, signal = _polynomials(size)
    old = [[sp.Integer(0)] * size for _ in range(_WIDTH + _TEACHER_WIDTH)]
    for i in range(_WIDTH + _TEACHER_WIDTH):
        old[i][:2] = list(point.vectors.row(i))
    new = []
    for i in range(_WIDTH):
        gradient = slopes[i] * signal * point.amplitudes[i]
        # u = w / sqrt(N) moves by (eta / N) v g' Delta x
        new.append([old[i][j] - gradient * inputs[j] * (point.rates[eta] / size) for j in range(size)])
    q, r, v = [], [], []
    for i in range(_WIDTH):
        for j in range(i, _WIDTH):
            before = sum(old[i][c] * old[j][c] for c in range(size))
            after = sum(new[i][c] * new[j][c] for c in range(size))
            q.append(size * _mean(after - before))
        for teacher in old[_WIDTH:]:
            r.append(size * _mean(sum((new[i][c] - old[i][c]) * teacher[c] for c in range(size))))
        v.append(-point.rates[eta_v] * _mean(values[i] * signal))
    return {"Q": q, "R": r, "v": v}


def _exact_with_length(size: int) -> Sequence[sp.Expr]:
    inputs, _, slopes, signal = _polynomials(size)
    length = sum((x * x for x in inputs), 0 * inputs[0]) * sp.Rational(1, size)
    return [_mean(signal**2 * slopes[i] * slopes[j] * length) for i in range(_WIDTH) for j in range(i, _WIDTH)]


def _limit_of_length(claim: sp.Expr) -> Sequence[sp.Expr]:
    point = _test_point()
    entries: dict[sp.Expr, sp.Expr] = {S.base[i]: s for i, s in enumerate(point.amplitudes)} | dict(point.rates)
    sizes = {K: _WIDTH, M: _TEACHER_WIDTH}
    expanded = _expand_names(claim)
    return [
        wick_value(
            expanded.xreplace({k: sp.Integer(i), l: sp.Integer(j)}), sizes, point.covariance, point.activations, entries
        )
        for i in range(_WIDTH)
        for j in range(i, _WIDTH)
    ]


def _limit_of(state: str, claim: sp.Expr) -> Sequence[sp.Expr]:
    """What a right-hand side claims for the test point, through the system that is handed to numerics."""
    point = _test_point()
    system = order_parameter_system(train_second_layer=True, rates={state: claim})
    covariance = point.covariance
    students, teachers = range(_WIDTH), range(_TEACHER_WIDTH)
    values: dict[str, dict[tuple[int, ...], sp.Expr]] = {
        "Q": {(i, j): covariance[i, j] for i in students for j in students},
        "R": {(i, m): covariance[i, _WIDTH + m] for i in students for m in teachers},
        "T": {(m, o): covariance[_WIDTH + m, _WIDTH + o] for m in teachers for o in teachers},
        "v": {(i,): point.amplitudes[i] for i in students},
        "A": {(m,): -point.amplitudes[_WIDTH + m] for m in teachers},
        **{symbol.name: {(): value} for symbol, value in point.rates.items()},
    }
    result = evaluate(system, {"K": _WIDTH, "M": _TEACHER_WIDTH}, values, moment_by_wick(system, point.activations))
    return [value for index, value in sorted(result.derivatives[state].items()) if state != "Q" or index[0] <= index[1]]


# -- the theorem ------------------------------------------------------------------------------------------------------


class Increment(sp.Function):  # type: ignore[misc]
    """``Increment(Q, k, l)``: the change of Q_kl in one step."""

    precedence = PRECEDENCE["Add"]  # it prints as a difference

    def _latex(self, printer: Any) -> str:
        state, *indices = map(printer._print, self.args)
        entry = f"{state}_{{{''.join(indices)}}}"
        return f"{entry}' - {entry}"


_RATES = {
    "Q": -eta * (V[k] * F[k, l] + V[l] * F[l, k]) + eta**2 * V[k] * V[l] * G[k, l],
    "R": -eta * V[k] * F[k, K + n],
    "v": -eta_v * IndexSum(S[a] * I2(a, k), a, K + M),
}


def order_parameter_system(
    train_second_layer: bool,
    moments: Sequence[Moment] = tuple(_MOMENTS.values()),
    rates: dict[str, sp.Expr] | None = None,
    definitions: dict[str, sp.Expr] | None = None,
) -> OdeSystem:
    """The system with the given moments; `rates` and `definitions` replace right-hand sides by name."""
    rates = {**_RATES, **(rates or {})}
    values = {
        "H": IndexSum(S[a] * H2(k, a), a, K + M),
        "f": IndexSum(S[a] * J2(k, a) * C[a, b], a, K + M) + C[b, k] * H[k],
        "G": IndexSum(IndexSum(S[a] * S[b] * I4(k, l, a, b), b, K + M), a, K + M) + sigma**2 * J2(k, l),
        **(definitions or {}),
    }
    blocks = (
        ((STUDENT, STUDENT), Q[a, b]),
        ((STUDENT, TEACHER), R[a, b]),
        ((TEACHER, STUDENT), R[b, a]),
        ((TEACHER, TEACHER), T[a, b]),
    )
    equations = [Definition(Q, (k, l), rates["Q"]), Definition(R, (k, n), rates["R"])]
    if train_second_layer:
        equations.append(Definition(V, (k,), rates["v"]))
    error = IndexSum(IndexSum(S[a] * S[b] * I2(a, b), b, K + M), a, K + M) / 2
    return OdeSystem(
        name="online_sgd",
        sets=(STUDENT, TEACHER),
        states=(Q, R, V) if train_second_layer else (Q, R),
        parameters=(T, A, ETA, SIGMA, ETA_V) if train_second_layer else (V, T, A, ETA, SIGMA),
        definitions=(
            BlockDefinition(C, (a, b), blocks),
            BlockDefinition(S, (a,), (((STUDENT,), V[a]), ((TEACHER,), -A[a]))),
            Definition(H, (k,), values["H"]),
            Definition(F, (k, b), values["f"]),
            Definition(G, (k, l), values["G"]),
        ),
        moments=tuple(moments),
        equations=tuple(equations),
        observables=(Definition(ERROR, (), error),),
        time="steps / N",
        assumptions=("x ~ N(0, I_N), a fresh sample at each step", "N -> infinity at fixed K, M and t"),
        remainder="O(1/N) in the mean of the order parameters, O(1/sqrt(N)) in a single run",
    )


def _theorem(train_second_layer: bool) -> tuple[Statement, ...]:
    """Mean change per dt = 1/N, in the limit: the order-parameter equations."""
    statements = []
    lhs = {
        "Q": N * Expectation(Increment(sp.Symbol("Q"), k, l)),
        "R": N * Expectation(Increment(sp.Symbol("R"), k, n)),
        "v": N * Expectation(Increment(sp.Symbol("v"), k)),
    }
    symbols = {"Q": r"\frac{dQ_{kl}}{dt}", "R": r"\frac{dR_{kn}}{dt}", "v": r"\frac{dv_k}{dt}"}
    for state in ("Q", "R", "v") if train_second_layer else ("Q", "R"):
        checker = FiniteDimension(
            functools.partial(_exact_increment, state), functools.partial(_limit_of, state), dimensions=(2, 3, 4)
        )
        step = Step(lhs[state], _RATES[state], "mean of the increment, lemmas inserted", checker, symbol=symbols[state])
        statements.append(
            Statement(
                f"rate_{state}",
                f"Equation of motion of {state}",
                (step,),
                ("x ~ N(0, I_N), a fresh sample at each step", "N -> infinity at fixed K, M and t"),
                "O(1/N)" if state != "v" else "",
                _LITERATURE,
            )
        )
    return tuple(statements)


def _exact_increment(state: str, size: int) -> Sequence[sp.Expr]:
    return _exact_increments_cached(size)[state]


@functools.cache
def _exact_increments_cached(size: int) -> dict[str, list[sp.Expr]]:
    return _exact_increments(size)


@functools.cache
def _general(train_second_layer: bool) -> tuple[Statement, ...]:
    """All statements that hold for every activation."""
    half = sp.Rational(1, 2)
    error = Statement(
        "error",
        "Test error",
        (
            Step(
                half * Expectation(IndexSum(S[a] * Activated(sp.Integer(0), a), a, K + M) ** 2),
                IndexSum(IndexSum(S[a] * S[b] * I2(a, b), b, K + M), a, K + M) / 2,
                "expand the square",
                _linear(),
                symbol=r"\epsilon_g",
            ),
        ),
        source=_LITERATURE,
    )
    return (*_increments(), *_lemmas(), *_theorem(train_second_layer), _concentration(), error)


def _concentration() -> Statement:
    """What the proof does not contain: that a single run follows the mean increments."""
    t = sp.Symbol("t", nonnegative=True)
    cited = Cited(
        "S. Goldt et al., NeurIPS (2019), arXiv:1906.08632",
        "independent samples, increments with bounded moments, N -> infinity at fixed K, M and t",
    )
    run, solution = sp.Function("Q_N")(t), sp.Function("Q")(t)
    step = Step(run, solution, "the increments of many steps average out", cited, symbol=r"Q_N(t)")
    return Statement(
        "concentration",
        "A run follows the equations of motion",
        (step,),
        ("N -> infinity at fixed K, M and t",),
        "O(1/sqrt(N)) in a single run",
        "Goldt et al. 2019",
    )


@derive.register
def derive_online_sgd(setting: OnlineSGD) -> Derivation:
    """Derive the order-parameter equations of a setting.

    Parameters
    ----------
    setting : OnlineSGD
        The setting.

    Returns
    -------
    Derivation
        Ends in one `OdeSystem`, generic in K and M.

    Raises
    ------
    AssumptionError
        If an activation has kinks, unless both are continuous and piecewise linear.
    DerivationError
        If a check fails.
    """
    student, teacher = Activation(setting.student), Activation(setting.teacher)
    _refuse_kinks(student, teacher)
    statements, system = _specialised(student, teacher, setting.second_layer_rate > 0)
    title = f"Order-parameter equations of online SGD: student {student.name}, teacher {teacher.name}"
    return Derivation(title, setting, statements, (system,), SOURCES)


def _refuse_kinks(student: Activation, teacher: Activation) -> None:
    """Kinks are covered where both activations are continuous and piecewise linear."""
    pair = {"student": student, "teacher": teacher}
    kinked = {name: activation for name, activation in pair.items() if activation.kinks}
    if not kinked:
        return
    curved = {name: activation for name, activation in pair.items() if activation.lines is None}
    if not curved:
        return
    name, activation = next(iter(kinked.items()))
    other, cause = next(iter(curved.items()))
    raise AssumptionError(
        f"{name}={activation.name!r} has kinks at z = {', '.join(map(str, activation.kinks))}, and moments of kinked "
        "activations are known only where student and teacher are both continuous and piecewise linear, which "
        f"{other}={cause.name!r} is not: use such a pair, or smooth activations, for example 'softplus(8*z)/8' in "
        "place of 'relu' (hermiton.simulate runs the network with any activation)"
    )


@functools.lru_cache(maxsize=32)
def _specialised(student: Activation, teacher: Activation, train: bool) -> tuple[tuple[Statement, ...], OdeSystem]:
    """The statements and the system of a pair of activations; they don't depend on widths and rates."""
    statements = list(_general(train))
    moments = []
    for name, moment in _MOMENTS.items():
        symbol = f"{name[0]}_{{{name[1:]}}}"
        steps = closed_form(ORDERS[name], student, symbol) if student == teacher else None
        if steps is not None:
            moments.append(replace(moment, closed_form=steps[-1].rhs))
            source = (
                "hermiton" if student.is_polynomial else "for erf(z/sqrt(2)) Saad & Solla 1995; the derivation is ours"
            )
            statements.append(Statement(f"moment_{name}", f"Closed form of {name}", steps, source=source))
        else:
            moments.append(moment)
            body = Expectation(sp.Mul(*(Activated(sp.Integer(o), i) for i, o in enumerate(ORDERS[name]))))
            way, how = "quadrature", "integrates, with an error estimate"
            if student.kinks or teacher.kinks:
                way, how = "orthant probabilities", "sums orthant probabilities, with an error estimate"
            meaning = Defined(f"no closed form: numerics {how}")
            step = Step(sp.Symbol(name), body, "definition", meaning)
            statements.append(Statement(f"moment_{name}", f"{name} by {way}", (step,), source="hermiton"))
    system = order_parameter_system(train, moments)
    system = replace(system, activations={"student": student.expression, "teacher": teacher.expression})
    return tuple(statements), system
