"""Hermite coefficients in double precision against printed tables and against mpmath at 50 digits and more."""

import functools
import math
import os
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import pytest

from hermiton.numerics.hermite import HermiteCoefficients, hermite_coefficients

# -- tables printed elsewhere: h_0, ..., h_5, with all their digits ---------------------------------------------------

TABLE = {
    ("relu", 0.0, 1.0): ("0.3989422804", "0.5", "0.3989422804", "0", "-0.3989422804", "0"),
    ("tanh", 0.0, 1.0): ("0", "0.6057055096", "0", "-0.3635953763", "0", "0.6851737935"),
    ("sigmoid", 0.0, 1.0): ("0.5", "0.2066209641", "0", "-0.06239648396", "0", "0.06437997325"),
    ("relu", 0.7, 1.3): (
        "0.9420449712",
        "0.9163320066",
        "0.4486354291",
        "-0.2415729234",
        "-0.3185577011",
        "0.6546769166",
    ),
    ("sigmoid", 0.7, 1.3): (
        "0.629215406",
        "0.2306445427",
        "-0.05062231108",
        "-0.08179978757",
        "0.06487017436",
        "0.09187450388",
    ),
    ("relu", 0.0, 0.993620326082): ("", "0.496810163"),
    ("tanh", 0.0, 0.993620326082): ("0", "0.6041526374", "0", "-0.3609999244"),
    ("sigmoid", 0.0, 0.993620326082): ("0.5", "0.2056983565"),
}


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_printed_tables(case: tuple[str, float, float]) -> None:
    name, mean, std = case
    found = hermite_coefficients(name, 5, mean, std)
    for value, printed in zip(found.values, TABLE[case], strict=False):
        if printed:
            last = Decimal(printed).as_tuple().exponent
            assert abs(value - float(printed)) <= 0.5000001 * 10.0 ** float(last), (value, printed)


def test_second_moments_and_what_the_series_leaves_out() -> None:
    """E[sigma^2] - sum_(k <= l) h_k^2/k! as printed, from the coefficients up to l and an exact second moment."""
    found = hermite_coefficients("relu", 3)
    left = 0.5 - np.cumsum(found.values**2 / np.array([1.0, 1.0, 2.0, 6.0]))
    assert left[1:] == pytest.approx([0.090845057, 0.011267585, 0.011267585], abs=5.1e-10)
    found = hermite_coefficients("tanh", 3)
    left = 0.3942944904 - np.cumsum(found.values**2 / np.array([1.0, 1.0, 2.0, 6.0]))
    assert left[1:] == pytest.approx([0.027415326, 0.027415326, 0.0053817264], abs=6e-10)


# -- 50 digits by Gauss-Legendre panels in mpmath ---------------------------------------------------------------------

ORDER = 12
DIGITS = 60
NODES = 40
UNDERFLOW = 1e-240
WORST = 1.001 * 2.0**-46  # of an error, relative to sqrt(k! E[sigma^2]): what double precision promises, or balls do


class Case(NamedTuple):
    """A formula, the same in mpmath, and for the panels of the reference where they have to be narrow, (place, width).

    `reach` says how many deviations matter, `wave` is the largest frequency.
    """

    formula: str
    function: Callable[[Any], Any]
    places: tuple[tuple[float, float], ...] = ()
    reach: int = 20
    wave: float = 0.0


def _relu(z: Any) -> Any:
    return z if z > 0 else mp.mpf(0)


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + mp.exp(-z))


CASES = {
    case.formula: case
    for case in (
        # kinks
        Case("relu", _relu, ((0, 0),)),
        Case("leaky_relu", lambda z: z if z > 0 else z / 100, ((0, 0),)),
        Case("abs", abs, ((0, 0),)),
        Case("Max(-1, Min(1, z))", lambda z: max(mp.mpf(-1), min(mp.mpf(1), z)), ((-1, 0), (1, 0))),
        Case("Max(0, z)**3", lambda z: _relu(z) ** 3, ((0, 0),)),
        Case("Max(0, z)*tanh(z)", lambda z: _relu(z) * mp.tanh(z), ((0, 1),)),
        Case("Abs(z - 1/4)*exp(-z)", lambda z: abs(z - mp.mpf(1) / 4) * mp.exp(-z), ((0.25, 0),), 50),
        Case("z*Max(0, Min(1, z/6 + 1/2))", lambda z: z * min(mp.mpf(1), _relu(z / 6 + 0.5)), ((-3, 0), (3, 0))),
        # jumps
        Case("sign", mp.sign, ((0, 0),)),
        Case("Heaviside(z - 1/2)*cos(3*z)", lambda z: mp.cos(3 * z) if z > 0.5 else mp.mpf(0), ((0.5, 0),), wave=3),
        Case("Heaviside(z + 2)*exp(-z) + z", lambda z: z + (mp.exp(-z) if z > -2 else 0), ((-2, 0),)),
        # smooth
        Case("tanh", mp.tanh, ((0, 1),)),
        Case("sigmoid", _sigmoid, ((0, 2),)),
        Case("silu", lambda z: z * _sigmoid(z), ((0, 2),)),
        Case("softplus", lambda z: mp.log1p(mp.exp(z)) if z < 0 else z + mp.log1p(mp.exp(-z)), ((0, 2),)),
        Case("erf", lambda z: mp.erf(z / mp.sqrt(2)), ((0, 1),)),
        Case("gelu", lambda z: z * mp.erfc(-z / mp.sqrt(2)) / 2, ((0, 1),)),
        Case("z*tanh(log(1 + exp(z)))", lambda z: z * mp.tanh(mp.log1p(mp.exp(z))), ((0, 1),)),
        Case("log(cosh(z))", lambda z: mp.log(mp.cosh(z)), ((0, 1),)),
        Case("atan(z)", mp.atan, ((0, 0.5),)),
        Case("z/sqrt(1 + z**2)", lambda z: z / mp.sqrt(1 + z * z), ((0, 0.5),)),
        Case("exp(-z**2)", lambda z: mp.exp(-z * z), ((0, 0.5),)),
        Case("z*exp(-z**2/2)", lambda z: z * mp.exp(-z * z / 2), ((0, 0.5),)),
        Case("log(1 + z**2)", lambda z: mp.log1p(z * z), ((0, 0.5),)),
        # nearly singular
        Case("tanh(50*z)", lambda z: mp.tanh(50 * z), ((0, 0.02),)),
        Case("sqrt(z**2 + 1/10000)", lambda z: mp.sqrt(z * z + mp.mpf(1) / 10000), ((0, 0.005),)),
        Case("1/(1 + 400*(z - 1)**2)", lambda z: 1 / (1 + 400 * (z - 1) ** 2), ((1, 0.03),)),
        # oscillating
        Case("sin", mp.sin, wave=1),
        Case("cos(10*z)", lambda z: mp.cos(10 * z), wave=10),
        Case("sin(z)*tanh(z)", lambda z: mp.sin(z) * mp.tanh(z), ((0, 1),), wave=1),
        Case("z + sin(4*z)**2/4", lambda z: z + mp.sin(4 * z) ** 2 / 4, wave=8),
        # growing fast
        Case("exp(z)", mp.exp, (), 50),
        Case("sinh(2*z)", lambda z: mp.sinh(2 * z), (), 50),
        Case("exp(z**2/8)", lambda z: mp.exp(z * z / 8), (), 50),
        Case("z**9", lambda z: z**9),
        Case("1/3 - z**4/7 + z", lambda z: mp.mpf(1) / 3 - z**4 / 7 + z),
    )
}
LAWS = ((0.0, 1.0), (0.7, 1.3), (0.0, 1e-6), (0.3, 1e-3), (-10.0, 1.0), (10.0, 2.0), (0.4, 30.0), (2.5, 0.1))


@functools.cache
def gauss() -> list[tuple[Any, Any]]:
    """Nodes and weights on [-1, 1]: Newton's iteration on the recurrence."""
    rule = []
    with mp.workdps(DIGITS + 10):
        for i in range(1, NODES + 1):
            t = mp.cos(mp.pi * (i - mp.mpf(1) / 4) / (NODES + mp.mpf(1) / 2))
            for _ in range(7):
                before, now = mp.mpf(1), t
                for n in range(2, NODES + 1):
                    before, now = now, ((2 * n - 1) * t * now - (n - 1) * before) / n
                slope = NODES * (t * now - before) / (t * t - 1)
                t -= now / slope
            rule.append((t, 2 / ((1 - t * t) * slope * slope)))
    return rule


def shares(left: Any, right: Any) -> tuple[list[Any], list[list[Any]]]:
    """The nodes x of one panel, and the weights of He_k(x) phi(x) for each k."""
    nodes, columns = [], [[] for _ in range(ORDER + 1)]
    middle, half = (left + right) / 2, (right - left) / 2
    for t, w in gauss():
        x = middle + half * t
        before, now = mp.mpf(0), half * w * mp.npdf(x)
        for k in range(ORDER + 1):
            columns[k].append(now)
            before, now = now, x * now - k * before
        nodes.append(x)
    return nodes, columns


@functools.cache
def unit_shares(left: int) -> tuple[list[Any], list[list[Any]]]:
    return shares(mp.mpf(left), mp.mpf(left + 1))


def inside(case: Case, m: Any, s: Any, left: int) -> list[Any]:
    """Where the unit panel [left, left + 1] has to be cut."""
    cuts = set()
    for place, narrowest in case.places:
        middle, width = (mp.mpf(place) - m) / s, mp.mpf(narrowest) / s
        cuts.add(middle)
        while narrowest and width < 2 * case.reach:
            cuts |= {middle - width, middle + width}
            width *= 2
    parts = math.ceil(case.wave * s / 20)
    cuts |= {left + mp.mpf(i) / parts for i in range(1, parts)}
    return sorted(cut for cut in cuts if left < cut < left + 1)


def truth(case: Case, mean: float, std: float) -> tuple[list[Any], Any]:
    """h_0, ..., h_ORDER and sqrt(E[sigma^2]), to 50 digits of the latter."""
    with mp.workdps(DIGITS):
        m, s = mp.mpf(mean), mp.mpf(std)
        sums, square = [mp.mpf(0)] * (ORDER + 1), mp.mpf(0)
        for left in range(-case.reach, case.reach):
            cuts = inside(case, m, s, left)
            edges = [mp.mpf(left), *cuts, mp.mpf(left + 1)]
            for a, b in pairwise(edges):
                nodes, columns = shares(a, b) if cuts else unit_shares(left)
                values = [case.function(m + s * x) for x in nodes]
                sums = [total + mp.fdot(values, column) for total, column in zip(sums, columns, strict=True)]
                square += mp.fdot((f * f for f in values), columns[0])
        return sums, mp.sqrt(square)


def check(case: Case, mean: float, std: float, found: HermiteCoefficients, worst: float = WORST) -> None:
    """Each error bounds the distance to the truth, and is as small as promised."""
    exact, scale = truth(case, mean, std)
    with mp.workdps(DIGITS):
        for k, (value, error) in enumerate(zip(found.values, found.errors, strict=True)):
            root = mp.sqrt(mp.factorial(k))
            distance = abs(mp.mpf(float(value)) - exact[k])
            assert distance <= mp.mpf(float(error)) + mp.mpf(10) ** -50 * scale * root, (k, value, exact[k])
            assert error <= (worst * scale + UNDERFLOW) * root, (k, error, scale)


def laws(case: Case) -> list[tuple[float, float]]:
    """Those where E[sigma^2] is finite and a double, and for which the panels are not too many."""
    if case.formula == "exp(z**2/8)":
        return [law for law in LAWS if law[1] < math.sqrt(2.0)]
    if case.formula == "sinh(2*z)":
        return [law for law in LAWS if law[1] < 30.0]
    return [law for law in LAWS if case.wave * law[1] <= 60.0]


def few_and_many() -> list[Any]:
    """One law of each case at once, one more with the slow tests; all of them where HERMITON_EXAMPLES is set."""
    listed = []
    for i, case in enumerate(CASES.values()):
        chosen = laws(case)
        now = chosen[i % len(chosen)]
        if "HERMITON_EXAMPLES" not in os.environ:
            chosen = list(dict.fromkeys([now, chosen[(i + 3) % len(chosen)]]))
        listed += [pytest.param(case.formula, *law, marks=() if law == now else pytest.mark.slow) for law in chosen]
    return listed


@pytest.mark.parametrize(("formula", "mean", "std"), few_and_many())
def test_errors_bound_the_truth(formula: str, mean: float, std: float) -> None:
    check(CASES[formula], mean, std, hermite_coefficients(formula, ORDER, mean, std))


@pytest.mark.parametrize("formula", ["tanh", "Max(0, z)*tanh(z)", "z + sin(4*z)**2/4"])
def test_few_digits_are_honest_too(formula: str) -> None:
    check(CASES[formula], 0.7, 1.3, hermite_coefficients(formula, ORDER, 0.7, 1.3, digits=3), 1e-3)


# -- closed forms, of any order, which are also what the panels above are tried on -----------------------------------


def erf_form(k: int, m: Any, s: Any) -> Any:
    """E[erf(m + s x) He_k(x)]."""
    d = mp.sqrt(1 + 2 * s * s)
    if k == 0:
        return mp.erf(m / d)
    he = mp.hermite(k - 1, m / d) / mp.sqrt(2) ** (k - 1)  # He_(k-1)(sqrt2 m/d)
    return s**k * 2 / mp.sqrt(mp.pi) / d * (mp.sqrt(2) / d) ** (k - 1) * (-1) ** (k - 1) * he * mp.exp(-((m / d) ** 2))


def relu_form(k: int, m: Any, s: Any) -> Any:
    if k < 2:
        return s * mp.ncdf(m / s) if k else m * mp.ncdf(m / s) + s * mp.npdf(m / s)
    u = m / s
    return s * (-1) ** k * mp.hermite(k - 2, u / mp.sqrt(2)) / mp.sqrt(2) ** (k - 2) * mp.npdf(u)


FORMS = {
    "erf(z)": erf_form,
    "relu": relu_form,
    "sin": lambda k, m, s: s**k * mp.exp(-s * s / 2) * mp.sin(m + k * mp.pi / 2),
    "cos(10*z)": lambda k, m, s: (10 * s) ** k * mp.exp(-50 * s * s) * mp.cos(10 * m + k * mp.pi / 2),
    "exp(z)": lambda k, m, s: s**k * mp.exp(m + s * s / 2),
}


LEAST = mp.mpf(10) ** -200  # rounding of the closed forms in 400 digits


@pytest.mark.parametrize(
    ("order", "where"),
    [(1, LAWS), (40, LAWS), (128, LAWS[1:2]), pytest.param(128, LAWS, marks=pytest.mark.slow)],
    ids=["1", "40", "128", "128 everywhere"],
)
@pytest.mark.parametrize("formula", FORMS)
def test_closed_forms(formula: str, order: int, where: Iterable[tuple[float, float]]) -> None:
    for mean, std in where:
        if formula == "exp(z)" and std > 10.0:
            continue
        found = hermite_coefficients(formula, order, mean, std)
        with mp.workdps(400):  # deep in the tails Hermite polynomials cancel
            exact = [FORMS[formula](k, mp.mpf(mean), mp.mpf(std)) for k in range(order + 1)]
        distances = [abs(mp.mpf(float(v)) - e) for v, e in zip(found.values, exact, strict=True)]
        worse = [k for k in range(order + 1) if distances[k] > mp.mpf(float(found.errors[k])) + LEAST]
        assert not worse, (mean, std, worse, found.method)


@pytest.mark.parametrize("formula", ["sin", "relu", "exp(z)"])
def test_the_reference_has_fifty_digits(formula: str) -> None:
    for mean, std in ((0.7, 1.3), (2.5, 0.1)):
        exact, scale = truth(CASES[formula], mean, std)
        with mp.workdps(DIGITS):
            for k, value in enumerate(exact):
                closed = FORMS[formula](k, mp.mpf(mean), mp.mpf(std))
                assert abs(value - closed) <= mp.mpf(10) ** -50 * scale * mp.sqrt(mp.factorial(k))
