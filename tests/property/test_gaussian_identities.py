"""Numbers for Gaussian expectations obey the identities of the calculus, for activations and laws drawn at random.

Each identity relates numbers that the engine finds in separate calls. They may miss it by their own errors and the
rounding of the few sums done here, by nothing else; and the errors themselves have to be small.

``HERMITON_EXAMPLES=2000 pytest tests/property/test_gaussian_identities.py`` draws more examples of each.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from hermiton.numerics.field_moment import field_moment
from hermiton.numerics.hermite import hermite_coefficients
from hermiton.theory.activation import Activation
from hermiton.theory.errors import AssumptionError
from hermiton.theory.formula import hermite_he
from hermiton.theory.notation import z

EXAMPLES = int(os.environ.get("HERMITON_EXAMPLES", "5"))
# not shrunk: a failure is readable as it is, and each try costs tens of milliseconds
FEW = settings(
    max_examples=EXAMPLES,
    derandomize="HERMITON_EXAMPLES" not in os.environ,  # the same few each time; a thorough run draws others
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
ROUNDING = 2.0**-49
ORDER = 9
FACTORIALS = np.array([math.factorial(k) for k in range(ORDER + 3)], dtype=float)


# --------------------------------------------------------------------------------------------------- what is drawn
@dataclass(frozen=True)
class Drawn:
    """An activation with its derivative; `jumps` if the derivative has delta functions besides `slope`."""

    value: sp.Expr
    slope: sp.Expr
    jumps: bool = False
    smooth: bool = True

    def __add__(self, other: "Drawn") -> "Drawn":
        return Drawn(
            self.value + other.value,
            self.slope + other.slope,
            self.jumps or other.jumps,
            self.smooth and other.smooth,
        )

    def __mul__(self, other: "Drawn") -> "Drawn":
        return Drawn(
            self.value * other.value,
            self.slope * other.value + self.value * other.slope,
            self.jumps or other.jumps,
            self.smooth and other.smooth,
        )


u = sp.Symbol("u", real=True)
_bell = sp.exp(-(u**2) / 2)
_cdf = (1 + sp.erf(u / sp.sqrt(2))) / 2
SMOOTH = (
    Drawn(sp.tanh(u), 1 - sp.tanh(u) ** 2),
    Drawn(sp.sin(u), sp.cos(u)),
    Drawn(_bell, -u * _bell),
    Drawn(sp.erf(u), 2 * sp.exp(-(u**2)) / sp.sqrt(sp.pi)),
    Drawn(1 / (1 + u**2), -2 * u / (1 + u**2) ** 2),
    Drawn(sp.atan(u), 1 / (1 + u**2)),
    Drawn(1 / (1 + sp.exp(-u)), 1 / (2 + sp.exp(-u) + sp.exp(u))),
    Drawn(sp.log(1 + sp.exp(u)), 1 / (1 + sp.exp(-u))),
    Drawn(u * _cdf, _cdf + u * _bell / sp.sqrt(2 * sp.pi)),
    Drawn(u**2, 2 * u),
    Drawn(u**3 - 3 * u, 3 * u**2 - 3),
    Drawn(sp.exp(u / 2), sp.exp(u / 2) / 2),
)
KINKED = (
    Drawn(sp.Max(u, 0), sp.Heaviside(u), smooth=False),
    Drawn(sp.Abs(u), sp.sign(u), smooth=False),
    Drawn(sp.Min(sp.Max(u, -1), 1), sp.Heaviside(u + 1) - sp.Heaviside(u - 1), smooth=False),
    Drawn(u / (1 + sp.Abs(u)), 1 / (1 + sp.Abs(u)) ** 2, smooth=False),
    Drawn(sp.exp(-sp.Abs(u)), -sp.sign(u) * sp.exp(-sp.Abs(u)), smooth=False),
)
JUMPING = (
    Drawn(sp.sign(u), sp.S.Zero, jumps=True, smooth=False),
    Drawn(sp.Heaviside(u) * u**2, 2 * u * sp.Heaviside(u), smooth=False),
    Drawn(sp.Heaviside(u), sp.S.Zero, jumps=True, smooth=False),
)
slopes = st.integers(-10, 10).filter(bool).map(lambda n: sp.Rational(n, 4))
shifts = st.integers(-16, 16).map(lambda n: sp.Rational(n, 8))
means = st.integers(-32, 32).map(lambda n: n / 16)
stds = st.integers(1, 32).map(lambda n: n / 16)


@st.composite
def atoms(draw: st.DrawFn, shapes: Sequence[Drawn]) -> Drawn:
    """A shape of an affine argument."""
    shape, a, b = draw(st.sampled_from(shapes)), draw(slopes), draw(shifts)
    return Drawn(shape.value.subs(u, a * z + b), a * shape.slope.subs(u, a * z + b), shape.jumps, shape.smooth)


@st.composite
def activations(draw: st.DrawFn, shapes: Sequence[Drawn] = (*SMOOTH, *KINKED, *JUMPING)) -> Drawn:
    """One shape, or the sum or product of two."""
    first = draw(atoms(shapes))
    how = draw(st.sampled_from("1+*"))
    if how == "1":
        return first
    second = draw(atoms(shapes))
    found = first + second if how == "+" else first * second
    assume(varies(found.value))
    return found


def varies(value: sp.Expr) -> bool:
    """Whether a sum or product is no constant, as sign(z)**2 is, or relu(z)*relu(-z): no activation."""
    try:
        return value.has(z) and bool(Activation(value))
    except AssumptionError as error:
        assert "is the constant" in str(error)
        return False


# ---------------------------------------------------------------------------------------------- numbers with errors
@dataclass(frozen=True)
class Numbers:
    """Numbers and bounds for their errors, added and scaled."""

    values: Any
    errors: Any

    def __add__(self, other: "Numbers") -> "Numbers":
        rounding = ROUNDING * (np.abs(self.values) + np.abs(other.values))
        return Numbers(self.values + other.values, self.errors + other.errors + rounding)

    def __mul__(self, factor: Any) -> "Numbers":
        values, size = self.values * factor, np.abs(factor)
        return Numbers(values, self.errors * size + ROUNDING * np.abs(values))

    def __getitem__(self, part: Any) -> "Numbers":
        return Numbers(self.values[part], self.errors[part])


def numbers(act: sp.Expr, order: int, mean: float, std: float) -> Numbers:
    """The coefficients h_0, ..., h_order, whose errors have to be small."""
    try:
        found = hermite_coefficients(act, order, mean, std)
    except AssumptionError as error:
        assert "is the constant" in str(error)  # such as sign(z)**2: refused as an activation, but not with z added
        line = np.zeros(order + 1)
        line[:2] = (mean, std)[: order + 1]
        return numbers(act + z, order, mean, std) + Numbers(-line, 0 * line)
    values, errors = np.array(found.values), np.array(found.errors)
    assert np.all(errors >= 0) and np.all(np.isfinite(values)), (act, mean, std)
    scale = float(np.sqrt(np.sum(values[: ORDER + 1] ** 2 / FACTORIALS[: len(values)][: ORDER + 1])))
    limit = 1e-11 * max(scale, 1e-3) * np.sqrt(FACTORIALS[: len(values)])
    assert np.all(errors <= limit), f"useless errors {errors} of {values}: {act}, {mean}, {std}, {found.method}"
    return Numbers(values, errors)


def assert_same(left: Numbers, right: Numbers, *context: object) -> None:
    gap = np.abs(left.values - right.values)
    allowed = left.errors + right.errors + ROUNDING * (np.abs(left.values) + np.abs(right.values))
    assert np.all(gap <= allowed), f"{context}: {left.values} and {right.values} differ by {gap}, more than {allowed}"


# ------------------------------------------------------------------------------------------------------- one field
@FEW
@given(
    series=st.lists(st.integers(-6, 6), min_size=2, max_size=ORDER + 1).filter(lambda c: any(c[1:])),
    mean=means,
    std=stds,
)
def test_orthogonality(series: list[int], mean: float, std: float) -> None:
    x = (z - sp.Rational(mean)) / sp.Rational(std)
    act = sp.expand(sum(c * hermite_he(k, x) for k, c in enumerate(series)))
    found = numbers(act, ORDER, mean, std)
    expected = np.array([*series, *[0] * (ORDER + 1 - len(series))]) * FACTORIALS[: ORDER + 1]
    assert_same(found, Numbers(expected, 0 * expected), act, mean, std)


@FEW
@given(act=activations(), mean=means, std=stds)
def test_parseval(act: Drawn, mean: float, std: float) -> None:
    """The squares add up to E[sigma^2], but for a tail that the derivative bounds."""
    found = numbers(act.value, ORDER, mean, std)
    power = numbers(act.value**2, 0, mean, std)[0]
    squares = found.values**2 / FACTORIALS[: ORDER + 1]
    errors = (2 * np.abs(found.values) + found.errors) * found.errors / FACTORIALS[: ORDER + 1]
    tail = power.values - squares.sum()
    allowed = power.errors + errors.sum() + ROUNDING * (power.values + squares.sum())
    assert tail >= -allowed, (act, mean, std, tail, allowed)
    if not act.jumps and act.slope.has(z):
        # sum_k k h_k^2 / k! = s^2 E[sigma'^2]
        energy = numbers(act.slope**2, 0, mean, std)[0] * std**2
        orders = np.arange(ORDER + 1)
        left = energy.values - orders @ squares
        unknown = energy.errors + orders @ errors + ROUNDING * (energy.values + orders @ squares)
        assert left >= -unknown and (ORDER + 1) * (tail - allowed) <= left + unknown, (act, mean, std, tail, left)


@FEW
@given(act=activations(), mean=means, std=stds)
def test_multiplication_by_the_variable(act: Drawn, mean: float, std: float) -> None:
    """E[x sigma He_k] = h_(k+1) + k h_(k-1)."""
    found = numbers(act.value, ORDER + 1, mean, std)
    times = act.value * (z - sp.Rational(mean)) / sp.Rational(std)
    assume(times.has(z))
    k = np.arange(1, ORDER + 1)
    assert_same(numbers(times, ORDER, mean, std)[1:], found[2:] + found[:-2] * k, act, mean, std)


@FEW
@given(act=activations((*SMOOTH, *KINKED)), mean=means, std=stds)
def test_stein(act: Drawn, mean: float, std: float) -> None:
    """h_(k+1) = s E[sigma' He_k]."""
    assume(act.slope.has(z))
    found = numbers(act.value, ORDER + 1, mean, std)
    assert_same(found[1:], numbers(act.slope, ORDER, mean, std) * std, act, mean, std)


@FEW
@given(act=activations(), mean=means, std=stds, a=st.sampled_from((-2, -1, -0.5, 0.25, 0.5, 2)), b=shifts)
def test_scaling(act: Drawn, mean: float, std: float, a: float, b: sp.Rational) -> None:
    """sigma(a z + b) under (m, s) is sigma under (a m + b, |a| s), mirrored if a < 0."""
    assume(abs(a) * std <= 2)
    inner = numbers(act.value.subs(z, sp.Rational(a) * z + b), ORDER, mean, std)
    outer = numbers(act.value, ORDER, a * mean + float(b), abs(a) * std)
    assert_same(inner, outer * np.sign(a) ** np.arange(ORDER + 1), act, mean, std, a, b)


@FEW
@given(f=activations(), g=activations(), c=st.integers(-5, 5).filter(bool), mean=means, std=stds)
def test_linearity(f: Drawn, g: Drawn, c: int, mean: float, std: float) -> None:
    both = f.value + c * g.value
    assume(both.has(z))
    parts = numbers(f.value, ORDER, mean, std) + numbers(g.value, ORDER, mean, std) * c
    assert_same(numbers(both, ORDER, mean, std), parts, f, g, c, mean, std)


# -------------------------------------------------------------------------------------------- two, three, four fields
SIMPLE = (SMOOTH[0], SMOOTH[3], SMOOTH[9], *KINKED[:3])
correlations = st.integers(-15, 15).map(lambda n: n / 16)
small = st.integers(-3, 3)


@st.composite
def laws(draw: st.DrawFn, size: int) -> tuple[Any, Any]:
    """A covariance F F^T, exact in doubles and at times singular, and means."""
    factor = np.array(draw(st.lists(st.integers(-6, 6), min_size=size**2, max_size=size**2))) / 8
    factor = factor.reshape(size, size)
    return factor @ factor.T, np.array(draw(st.lists(st.integers(-12, 12), min_size=size, max_size=size))) / 8


def power(act: sp.Expr, variance: float, mean: float) -> float:
    """The root of E[g^2]."""
    if not act.has(z) or not variance:
        return abs(float(act.subs(z, sp.Rational(mean))))
    return math.sqrt(abs(numbers(act**2, 0, mean, math.sqrt(variance)).values[0]))


def moment(
    acts: Sequence[sp.Expr], covariance: Any, mean: Any, derivatives: Sequence[int] | None = None, size: float = 0.0
) -> Numbers:
    """E[prod g_a^(n_a)(z_a)], whose error has to be small beside the sizes of the factors."""
    found = field_moment(acts, covariance, mean, derivatives)
    assert math.isfinite(found.value) and found.error >= 0
    if derivatives is None:
        size = math.prod(power(g, c, m) for g, c, m in zip(acts, np.diag(covariance), mean, strict=True))
    limit = (1e-9 if len(acts) < 3 else 1e-6) * max(size, 1e-6)
    told = f"useless error {found.error} of {found.value}: {acts}, {covariance}, {mean}, {derivatives}, {found.method}"
    assert found.error <= limit or not size, told
    return Numbers(found.value, found.error)


@FEW
@given(f=activations(), g=activations(), r=correlations, mean=st.tuples(means, means), std=st.tuples(stds, stds))
def test_mehler(f: Drawn, g: Drawn, r: float, mean: tuple[float, float], std: tuple[float, float]) -> None:
    """E[f(z1) g(z2)] = sum_k r^k h_k(f) h_k(g) / k!, and Cauchy-Schwarz bounds what the sum leaves out."""
    assume(not (f.value * g.value).has(sp.nan))
    total, tails, unknown = 0.0, 1.0, 0.0
    series = []
    for act, m, s in zip((f, g), mean, std, strict=True):
        h = numbers(act.value, ORDER, m, s)
        e = numbers(act.value**2, 0, m, s)[0]
        squares = h.values**2 / FACTORIALS[: ORDER + 1]
        slack = e.errors + ROUNDING * e.values + np.sum(2 * np.abs(h.values) * h.errors / FACTORIALS[: ORDER + 1])
        tails *= max(e.values - squares.sum(), 0.0) + 2 * slack
        series.append(h)
    powers = np.array([r**k for k in range(ORDER + 1)]) / FACTORIALS[: ORDER + 1]
    a, b = series
    total = float(np.sum(powers * a.values * b.values))
    sizes = np.abs(a.values) * b.errors + np.abs(b.values) * a.errors + a.errors * b.errors
    unknown = float(np.sum(np.abs(powers) * (sizes + ROUNDING * np.abs(a.values * b.values))))
    tail = abs(r) ** (ORDER + 1) * math.sqrt(tails)
    covariance = np.array([[std[0] ** 2, r * std[0] * std[1]], [r * std[0] * std[1], std[1] ** 2]])
    assert_same(moment([f.value, g.value], covariance, mean), Numbers(total, unknown + tail), f, g, r, mean, std)


@FEW
@given(f=activations((*SMOOTH, *KINKED)), g=activations((*SMOOTH, *KINKED)), law=laws(2))
def test_stein_for_two_fields(f: Drawn, g: Drawn, law: tuple[Any, Any]) -> None:
    """E[(z1 - m1) f(z1) g(z2)] = C11 E[f' g] + C12 E[f g']."""
    (c, mean), fields = law, [f.value, g.value]
    times = f.value * (z - sp.Rational(mean[0]))
    assume(times.has(z) and f.value.has(z) and g.value.has(z))
    size = power(f.value, c[0, 0], mean[0]) * power(g.value, c[1, 1], mean[1])
    size += power(f.slope, c[0, 0], mean[0]) * power(g.value, c[1, 1], mean[1])
    size += power(f.value, c[0, 0], mean[0]) * power(g.slope, c[1, 1], mean[1])
    right = moment(fields, c, mean, (1, 0), size) * c[0, 0] + moment(fields, c, mean, (0, 1), size) * c[0, 1]
    assert_same(moment([times, g.value], c, mean), right, f, g, c, mean)


@FEW
@given(data=st.data(), size=st.integers(1, 4))
def test_wick_against_brute_force(data: st.DataObject, size: int) -> None:
    """Polynomials: multiply out and sum over all pairings, in fractions."""
    covariance, mean = data.draw(laws(size))
    derivatives = data.draw(st.tuples(*[st.integers(0, 1)] * size))
    degree = {1: 8, 2: 4, 3: 3, 4: 2}[size]
    polynomials = data.draw(
        st.tuples(*[st.lists(small, min_size=2, max_size=degree + 1).filter(lambda p: any(p[1:]))] * size)
    )
    terms: dict[tuple[int, ...], Fraction] = {(): Fraction(1)}
    for p, n, m in zip(polynomials, derivatives, mean, strict=True):
        slope = [k * c for k, c in enumerate(p)][1:] if n else p
        centred = [
            sum(Fraction(m) ** (j - k) * math.comb(j, k) * slope[j] for j in range(k, len(slope)))
            for k in range(len(slope))
        ]
        terms = {(*key, k): a * b for key, a in terms.items() for k, b in enumerate(centred)}
    expected = sum(
        (
            factor * math.prod(Fraction(covariance[a, b]) for a, b in pairing)
            for powers, factor in terms.items()
            if factor
            for pairing in pairings([a for a, n in enumerate(powers) for _ in range(n)])
        ),
        Fraction(0),
    )
    acts = [sum(c * z**k for k, c in enumerate(p)) for p in polynomials]
    found = field_moment(acts, covariance, mean, derivatives)
    assert found.error <= 1e-12 * sum(abs(float(factor)) for factor in terms.values()) * 1e3
    assert abs(Fraction(found.value) - expected) <= Fraction(found.error), (acts, covariance, mean, derivatives)


def pairings(items: Sequence[int]) -> Iterator[list[tuple[int, int]]]:
    """All ways to pair the items off: none if their number is odd."""
    if not items:
        yield []
        return
    for i in range(1, len(items)):
        for rest in pairings([*items[1:i], *items[i + 1 :]]):
            yield [(items[0], items[i]), *rest]


@FEW
@given(f=activations(), g=activations(), law=laws(2), a=st.sampled_from((-2, -1, -0.5, 0.5, 2)))
def test_fields_scale(f: Drawn, g: Drawn, law: tuple[Any, Any], a: float) -> None:
    """f(a z1) under C is f under D C D with D = diag(a, 1)."""
    covariance, mean = law
    assume(f.value.has(z) and g.value.has(z))
    stretch = np.array([a, 1.0])
    inner = moment([f.value.subs(z, sp.Rational(a) * z), g.value], covariance, mean)
    outer = moment([f.value, g.value], np.outer(stretch, stretch) * covariance, stretch * mean)
    assert_same(inner, outer, f, g, law, a)


@FEW
@given(data=st.data(), size=st.integers(2, 4))
def test_fields_may_be_named_in_any_order(data: st.DataObject, size: int) -> None:
    covariance, mean = data.draw(laws(size))
    acts = [data.draw(atoms(SIMPLE)).value for _ in range(size)]
    order = data.draw(st.permutations(range(size)))
    there = moment(acts, covariance, mean)
    back = moment([acts[i] for i in order], covariance[np.ix_(order, order)], mean[order])
    assert_same(there, back, acts, covariance, mean, order)


@FEW
@given(f=atoms(SIMPLE), g=atoms(SIMPLE), h=atoms(SIMPLE), law=laws(2))
def test_equal_fields_are_one(f: Drawn, g: Drawn, h: Drawn, law: tuple[Any, Any]) -> None:
    """E[f(z1) g(z1) h(z2)] from three fields, two of them equal, and from two."""
    covariance, mean = law
    assume(varies(f.value * g.value))
    twice = [0, 0, 1]
    three = moment([f.value, g.value, h.value], covariance[np.ix_(twice, twice)], mean[twice])
    assert_same(three, moment([f.value * g.value, h.value], covariance, mean), f, g, h, law)


@FEW
@given(acts=st.tuples(*[atoms(SIMPLE)] * 4), first=laws(2), second=laws(2))
def test_uncorrelated_pairs_factorise(acts: tuple[Drawn, ...], first: tuple[Any, Any], second: tuple[Any, Any]) -> None:
    fields = [act.value for act in acts]
    covariance = np.zeros((4, 4))
    covariance[:2, :2], covariance[2:, 2:] = first[0], second[0]
    both = moment(fields, covariance, np.concatenate([first[1], second[1]]))
    a, b = moment(fields[:2], *first), moment(fields[2:], *second)
    errors = abs(a.values) * b.errors + abs(b.values) * a.errors + a.errors * b.errors
    assert_same(both, Numbers(a.values * b.values, errors), fields, first, second)
