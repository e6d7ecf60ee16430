"""Closed forms of Hermite coefficients with symbolic mean and deviation, against quadrature to 50 digits.

The reference knows nothing of closed forms: Gauss-Legendre panels between the kinks, which are listed here by hand,
with Arb's nodes at 256 bits, and one evaluation of the activation a node for all orders.
"""

import math
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import flint
import mpmath
import pytest
import sympy as sp
from flint import arb, fmpq

from hermiton.theory.activation import Activation
from hermiton.theory.balls import evaluate
from hermiton.theory.notation import z

R = sp.Rational
ORDER = 6
NODES = 64
BITS = 256
_TINY = arb("1e-1000")  # a kink farther than 70 deviations has a smaller share
m = sp.Symbol("m", real=True)
s = sp.Symbol("s", positive=True)


class Case(NamedTuple):
    """An activation with what quadrature has to know of it.

    Between the kinks it changes on the length `near` within 30 of zero and on `far` beyond (0: on none of its own); it
    grows like exp(slope*|z|), or like exp(growing*z^2), and a part of it falls like exp(-rate*z^2).
    """

    formula: object
    kinks: tuple[object, ...] = ()
    slope: sp.Rational = R(0)
    near: sp.Rational = R(0)
    far: sp.Rational = R(0)
    growing: sp.Rational = R(0)
    rate: sp.Rational = R(0)


def piecewise(*arguments: tuple[sp.Expr, object]) -> sp.Expr:
    return sp.Piecewise(*arguments)


ELU = piecewise((z, z > 0), (sp.exp(z) - 1, True))
SELU = R("1.0507") * piecewise((z, z > 0), (R("1.67326") * (sp.exp(z) - 1), True))
WAVE = {"near": R(6), "far": R(6)}
GENTLE = {"near": R(5), "rate": R(1)}
STEEP = {"near": R(5, 2), "rate": R(4)}
SLOW = {"slope": R(1), "near": R(30), "far": R(30)}
GROUPS: dict[str, tuple[Case, ...]] = {
    "polynomials": (
        Case("z**3 - 2*z + 1"),
        Case("he6"),
        Case("(2*z - 1/3)**4"),
        Case("sqrt(2)*z**2 + pi*z"),
    ),
    "error functions": (
        Case("erf", **GENTLE),
        Case("erf(3*z/2 - 1/4)", **STEEP),
        Case("(1 + erf(z/sqrt(2)))/2", **GENTLE),
        Case("erfc(2*z - 1)", **STEEP),
        Case("z*erf(z)", **GENTLE),
        Case("z**2*erf(z/2 - 1)", **GENTLE),
        Case("gelu", **GENTLE),
        Case("gelu(2*z - 1)", **STEEP),
        Case("(1 + z**2)*erf(z) - z**3", **GENTLE),
    ),
    "kinks": (
        Case("relu", (0,)),
        Case("relu(2*z - 1)", (R(1, 2),)),
        Case("relu(1 - z)", (1,)),
        Case("leaky_relu", (0,)),
        Case("leaky_relu(1/2 - 3*z)", (R(1, 6),)),
        Case("abs", (0,)),
        Case("sign", (0,)),
        Case("Heaviside(z - 1/2)", (R(1, 2),)),
        Case("Max(z, 1/3)", (R(1, 3),)),
        Case("Max(-1, Min(1, z))", (-1, 1)),
        Case("Min(2, Max(-1/2, 3*z + 1))", (R(-1, 2), R(1, 3))),
        Case("relu(z)**3", (0,)),
        Case("z*abs(z)", (0,)),
        Case("Max(0, 1 - abs(z))", (-1, 0, 1)),
        Case("abs(z - 1) - abs(z + 2)", (-2, 1)),
        Case("Max(0, z**2 - 2)", (-sp.sqrt(2), sp.sqrt(2))),
        Case(piecewise((0, z < -1), ((z + 1) ** 2 / 2, z < 0), (1 - (1 - z) ** 2 / 2, z < 1), (1, True)), (-1, 0, 1)),
        Case("sign(z)*z**3 + z", (0,)),
        Case("z**2*Max(-1, Min(1, z))", (-1, 1)),
    ),
    "kinks and smooth functions": (
        Case(ELU, (0,), **SLOW),
        Case(3 * ELU.subs(z, 2 * z - 1) + 1, (R(1, 2),), R(2), R(15), R(15)),
        Case(z * ELU, (0,), **SLOW),
        Case(SELU, (0,), **SLOW),
        Case("exp(-abs(z))", (0,), **SLOW),
        Case("z*exp(-abs(z - 1/3))", (R(1, 3),), **SLOW),
        Case("sign(z)*(1 - exp(-abs(z)))", (0,), **SLOW),
        Case("abs(z)*cosh(z)", (0,), **SLOW),
        Case("relu(z)*exp(z/2)", (0,), **SLOW),
        Case("abs(z)*exp(-z**2/2)", (0,), **GENTLE),
        Case("relu(z - 1)*exp(-z**2 + z)", (1,), **GENTLE),
        Case("relu(z) + sin(z)", (0,), **WAVE),
        Case("relu(z + 1) + erf(z)", (-1,), **GENTLE),
        Case("abs(z)/2 + gelu(z) + exp(-z**2)", (0,), **GENTLE),
        Case("sign(z) + exp(z)", (0,), R(1)),
    ),
    "waves": (
        Case("sin", **WAVE),
        Case("cos", **WAVE),
        Case("sin(2*z + 1)", **WAVE),
        Case("sin(z)**2", **WAVE),
        Case("z*sin(z)", **WAVE),
        Case("z**2*cos(3*z)", **WAVE),
        Case("sin(z)*cos(2*z) + z", **WAVE),
        Case("sin(z)*exp(z/2)", (), R(1, 2), **WAVE),
    ),
    "exponentials": (
        Case("exp", (), R(1)),
        Case("exp(z/2 - 1)", (), R(1, 2)),
        Case("sinh(z)", (), R(1)),
        Case("z*cosh(z)", (), R(1)),
        Case("cosh(z)**2 - z**3*exp(-z)", (), R(2)),
        Case(sp.Integer(2) ** z, (), R(1)),
    ),
    "bumps": (
        Case("exp(-z**2)", **GENTLE),
        Case("exp(-z**2 + z)", **GENTLE),
        Case("z*exp(-z**2/2)", **GENTLE),
        Case("exp(-(z - 1)**2/3)*(z**2 + 1)", **GENTLE),
        Case("exp(z**2/8)", growing=R(1, 8)),
        Case("sin(z)*exp(-z**2)", **GENTLE),
        Case("z*cos(2*z)*exp(-z**2/2 + z)", **STEEP),
        Case("erf(z)*exp(-z**2)", **STEEP),
        Case("erf(z + 1)*exp(-z**2/2)", **STEEP),
        Case("z*erf(z - 1)*exp(-z**2)", **STEEP),
        Case("erf(z)*exp(z/2)", (), R(1, 2), **GENTLE),
    ),
}
EXTREME = (
    (R(0), R(1, 1000)),
    (R(1, 3), R(1, 1000)),
    (R(30), R(1, 1000)),
    (R(-30), R(1, 1000)),
    (R(1, 7), R(50)),
    (R(30), R(50)),
    (R(30), R(1)),
    (R(-30), R(4)),
)


def points(count: int, seed: int) -> list[tuple[sp.Rational, sp.Rational]]:
    """Random rational (m, s): |m| < 3, s between 1/30 and 5/4."""
    found = []
    for _ in range(count):
        draws = []
        for _ in range(4):
            seed = (6364136223846793005 * seed + 1442695040888963407) % 2**64
            draws.append(seed >> 33)
        q = 7 + draws[1] % 90
        found.append((R(draws[0] % (6 * q) - 3 * q, q), R(1 + draws[2] % 36, 30) + R(draws[3] % 97, 97 * 200)))
    return found


# -- the reference ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _legendre() -> tuple[tuple[Any, Any], ...]:
    return tuple(arb.legendre_p_root(NODES, k, weight=True) for k in range(NODES))


def _arb(value: sp.Expr) -> Any:
    return arb(fmpq(int(value.p), int(value.q))) if value.is_Rational else evaluate(value, {}, BITS // 3)


_METHODS = {
    sp.exp: "exp",
    sp.erf: "erf",
    sp.erfc: "erfc",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.sinh: "sinh",
    sp.cosh: "cosh",
}


def _source(expr: sp.Expr, constants: dict[str, Any]) -> str:
    """Python text for the expression as a function of a ball x that touches no kink."""
    if expr == z:
        return "x"
    if not expr.has(z):
        constants[f"c{len(constants)}"] = _arb(expr)
        return f"c{len(constants) - 1}"
    if isinstance(expr, sp.Piecewise):
        text = "None"
        for value, condition in reversed(expr.args):
            if condition == sp.true:
                text = _source(value, constants)
            else:
                difference = _source(condition.gts - condition.lts, constants)
                text = f"({_source(value, constants)} if {difference} > 0 else {text})"
        return text
    parts = [_source(a, constants) for a in expr.args]
    if isinstance(expr, sp.Add | sp.Mul):
        return "(" + ("+" if isinstance(expr, sp.Add) else "*").join(parts) + ")"
    if isinstance(expr, sp.Pow):
        return f"{parts[0]}**{int(expr.exp)}" if expr.exp.is_Integer else f"({parts[0]}.log()*{parts[1]}).exp()"
    if isinstance(expr, sp.Max | sp.Min):
        return f"{'max' if isinstance(expr, sp.Max) else 'min'}({', '.join(parts)})"
    if isinstance(expr, sp.Abs):
        return f"abs({parts[0]})"
    if isinstance(expr, sp.sign):
        return f"(1 if {parts[0]} > 0 else -1)"
    if isinstance(expr, sp.Heaviside):
        return f"(1 if {parts[0]} > 0 else 0)"
    return f"{parts[0]}.{_METHODS[type(expr)]}()"


def _compiled(expr: sp.Expr) -> Callable[[Any], Any]:
    constants: dict[str, Any] = {}
    text = _source(expr, constants)
    return eval(f"lambda x: {text}", constants)  # our own text


def _ends(case: Case, mean: sp.Rational, std: sp.Rational) -> list[Any]:
    """Ends of the panels, as balls, in increasing order."""
    # A bump or the tail of an error function pulls the centre of the integrand from the mean towards zero, growth
    # pushes it away, and a function that is zero on one side of a kink has its largest integrand there.
    half = (20 + case.slope * std) * std + abs(mean) * min(1, 2 * case.rate * std**2)
    if case.growing:
        half *= 4  # the points of such a case keep 4*growing*std^2 below 1
    distances = [abs(sp.sympify(k) - mean) for k in case.kinks]
    half += max([d for d in distances if d < 70 * std], default=0)
    lo, hi = mean - half, mean + half
    cuts = sorted({sp.sympify(k) for k in case.kinks if lo < k < hi} | {R(e) for e in (-30, 30) if lo < e < hi})
    ends = [_arb(lo)]
    for left, right in pairwise([lo, *cuts, hi]):
        scale = case.near if abs((left + right) / 2) < 30 else case.far
        # the density falls like exp(-distance*|z - kink|/std^2) next to a far kink
        widths = [8 * std, *([scale] if scale else []), *(40 * std**2 / d for d in distances if 0 < d < 70 * std)]
        count = int(sp.ceiling((right - left) / min(widths)))
        start, step = _arb(left), (_arb(right) - _arb(left)) / count
        ends += [start + (i + 1) * step for i in range(count)]
    return ends


def quadrature(
    case: Case, function: Callable[[Any], Any], mean: sp.Rational, std: sp.Rational
) -> tuple[list[Any], Any]:
    """h_0, ..., h_6 and E[sigma^2]; by Cauchy-Schwarz |h_k| <= sqrt(k! E[sigma^2])."""
    sums, square = [arb(0)] * (ORDER + 1), arb(0)
    m0, s0 = _arb(mean), _arb(std)
    for left, right in pairwise(_ends(case, mean, std)):
        middle, half = (left + right) / 2, (right - left) / 2
        scaled = half / (s0 * (2 * arb.pi()).sqrt())
        for node, weight in _legendre():
            y = middle + half * node
            x = (y - m0) / s0
            value = function(y)
            part = value * weight * scaled * (-x * x / 2).exp()
            square += value * part
            before, part_he = arb(0), part  # part * He_k(x), by the recurrence of He_k
            for k in range(ORDER + 1):
                sums[k] += part_he
                before, part_he = part_he, x * part_he - k * before
    return sums, square


def closed_value(expr: sp.Expr, mean: sp.Rational, std: sp.Rational, scale: Any) -> Any:
    """The closed form as a ball of at least 80 digits, and of 60 digits relative to the scale."""
    digits = 80
    while True:
        value = evaluate(expr, {m: mean, s: std}, digits)
        if value.rad() < scale * arb(10) ** -60:
            return value
        digits *= 2


def compare(case: Case, at: Sequence[tuple[sp.Rational, sp.Rational]]) -> None:
    activation = Activation(case.formula)  # type: ignore[arg-type]
    series = activation.hermite(ORDER, m, s)
    assert series.is_exact
    old, flint.ctx.prec = flint.ctx.prec, BITS
    try:
        function = _compiled(activation.expression)
        for mean, std in at:
            values, square = quadrature(case, function, mean, std)
            for k, value in enumerate(values):
                # The radius tells how far the terms of the activation itself cancel, as in 1 + erf(-30).
                scale = (abs(square).upper() * math.factorial(k)).sqrt() + value.rad() * arb(10) ** 55 + _TINY
                error = abs(closed_value(series[k], mean, std, scale) - value) / scale
                assert error < arb(10) ** -50, (activation, k, mean, std, error)
    finally:
        flint.ctx.prec = old


def admissible(case: Case, at: Sequence[tuple[sp.Rational, sp.Rational]]) -> list[tuple[sp.Rational, sp.Rational]]:
    return [(a, b) for a, b in at if 4 * case.growing * b**2 < 1]


CASES = [(name, i) for name, group in GROUPS.items() for i in range(len(group))]


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 45


@pytest.mark.parametrize(("group", "i"), CASES)
def test_closed_forms(group: str, i: int) -> None:
    """100 random points a group, shared by its activations."""
    share = -(-100 // len(GROUPS[group]))
    seed = 1000 * (1 + list(GROUPS).index(group)) + i
    case = GROUPS[group][i]
    compare(case, admissible(case, points(share, seed)))


@pytest.mark.parametrize(("group", "i"), CASES)
def test_closed_forms_at_extreme_scales(group: str, i: int) -> None:
    case = GROUPS[group][i]
    place = CASES.index((group, i))
    compare(case, admissible(case, [EXTREME[(place + shift) % len(EXTREME)] for shift in (0, 3)]))


@pytest.mark.slow
@pytest.mark.parametrize(("group", "i"), CASES)
def test_closed_forms_at_many_points(group: str, i: int) -> None:
    """A random point and two extreme ones for each activation; HERMITON_EXAMPLES=200 for many, and all extreme ones."""
    case = GROUPS[group][i]
    place = CASES.index((group, i))
    count = int(os.environ.get("HERMITON_EXAMPLES", "1"))
    extreme = EXTREME if count > 1 else [EXTREME[(place + shift) % len(EXTREME)] for shift in (1, 2)]
    compare(case, admissible(case, [*points(count, 77 * (1 + place)), *extreme]))


# -- and once with no ball at all -------------------------------------------------------------------------------------

PLAIN = (
    ("relu(2*z - 1)", lambda y: max(2 * y - 1, 0), (0.5,)),
    ("erf(3*z/2 - 1/4)", lambda y: mpmath.erf(3 * y / 2 - mpmath.mpf(1) / 4), ()),
    ("Max(-1, Min(1, z))", lambda y: max(-1, min(1, y)), (-1, 1)),
    ("exp(-z**2 + z)", lambda y: mpmath.exp(-(y**2) + y), ()),
)


@pytest.mark.parametrize(("formula", "function", "kinks"), PLAIN)
def test_closed_forms_by_mpmath_alone(formula: str, function: Callable[[Any], Any], kinks: tuple[float, ...]) -> None:
    """The closed form printed into mpmath, and mpmath's quadrature of the activation written down by hand."""
    series = Activation(formula).hermite(3, m, s)
    mean, std = R(2, 7), R(5, 6)
    with mpmath.workdps(60):
        a, b = mpmath.mpf(2) / 7, mpmath.mpf(5) / 6
        ends = sorted([*(a + b * i for i in range(-16, 17, 4)), *(mpmath.mpf(k) for k in kinks)])
        for k in (0, 3):
            closed = sp.lambdify((m, s), series[k], "mpmath")(mpmath.mpf(mean.p) / mean.q, mpmath.mpf(std.p) / std.q)

            def integrand(y: Any, k: int = k) -> Any:
                x = (y - a) / b
                he = (1, x, x**2 - 1, x**3 - 3 * x)[k]
                return function(y) * he * mpmath.npdf(x) / b

            assert abs(mpmath.quad(integrand, ends) - closed) < mpmath.mpf(10) ** -50
