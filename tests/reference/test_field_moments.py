"""Moments of Gaussian fields against numbers that were found by other routes, at more digits."""

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from flint import arb

import hermiton as hm
from hermiton.numerics import field_moment as module
from hermiton.theory.balls import working_digits

COVARIANCE = np.array([[1, 0.3, 0.4, 0.2], [0.3, 1.2, -0.1, 0.5], [0.4, -0.1, 0.9, 0.25], [0.2, 0.5, 0.25, 1.1]])
MEAN = np.array([0.3, -0.2, 0.5, 0.1])

# Two routes each (closed form or recursion, and quadrature or sampling), zero mean and MEAN; 15 decimals.
PRINTED = [
    ("erf", (0, 1), (0, 0), 0.091362257011207, 0.070299335054940),
    ("erf", (0, 1, 2), (1, None, 0), -0.053388708330424, -0.084053651115133),
    ("erf", (0, 1), (1, 1), 0.306648954191235, 0.295679680378491),
    ("erf", (0, 1, 2, 3), (1, 1, 0, 0), 0.025354374280339, 0.028311710823142),
    ("relu", (0, 1), (0, 0), 0.255925275104224, 0.280535237673658),
    ("relu", (0, 1, 2), (1, None, 0), 0.009145860232457, -0.089317094818399),
    ("relu", (0, 1), (1, 1), 0.294150459190349, 0.305317136780237),
    ("relu", (0, 1, 2, 3), (1, 1, 1, 1), 0.129136529046465, 0.176017689962857),
    ("relu", (0, 1, 2, 3), (1, 1, 0, 0), 0.120234961482823, 0.212978381829573),
    ("relu", (0, 1, 0, 2), (1, 1, 0, 0), 0.151664192989577, 0.283047137527999),
]
ONE_UNIT = 1.0e-15  # of the last printed digit


def without_closed_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_by_orthants", lambda *_: None)


@pytest.mark.parametrize("way", ["as dispatched", "nested"])
@pytest.mark.parametrize(("name", "fields", "orders", "centred", "shifted"), PRINTED)
def test_printed_values(
    name: str,
    fields: tuple[int, ...],
    orders: tuple[int | None, ...],
    centred: float,
    shifted: float,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if way == "nested":
        without_closed_forms(monkeypatch)
    activations = ["identity" if n is None else name for n in orders]
    covariance = COVARIANCE[np.ix_(fields, fields)]
    for mean, printed in ((None, centred), (MEAN[list(fields)], shifted)):
        found = hm.field_moment(activations, covariance, mean, [n or 0 for n in orders])
        assert abs(found.value - printed) < ONE_UNIT
        assert found.error < 1e-14
        assert (found.method == "nested quadrature") or way == "as dispatched"


# -- arc-sine and arc-cosine ------------------------------------------------------------------------------------------

CORRELATIONS = [0.0, 0.3, -0.7, 0.999, 1 - 1e-6, 1 - 1e-12, -(1 - 1e-12), 1.0, -1.0]


def arcsine(r: Any) -> Any:
    return 2 / mpmath.pi * mpmath.asin(r)


def arccosine(r: Any) -> Any:
    return (mpmath.sqrt(1 - r * r) + r * (mpmath.pi - mpmath.acos(r))) / (2 * mpmath.pi)


def steps(r: Any) -> Any:
    return mpmath.mpf(1) / 4 + mpmath.asin(r) / (2 * mpmath.pi)


def smooth_arcsine(r: Any) -> Any:
    return 2 / mpmath.pi * mpmath.asin(r / 2)


@pytest.mark.parametrize("way", ["as dispatched", "nested"])
@pytest.mark.parametrize("r", CORRELATIONS)
def test_closed_forms_of_two_fields(r: float, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "nested":
        without_closed_forms(monkeypatch)
    with mpmath.workdps(50):
        for name, order, form in (
            ("sign", 0, arcsine),
            ("relu", 0, arccosine),
            ("relu", 1, steps),
            ("erf", 0, smooth_arcsine),
        ):
            truth = form(mpmath.mpf(r))
            found = hm.field_moment(name, [[1.0, r], [r, 1.0]], derivatives=[order, order])
            assert abs(mpmath.mpf(found.value) - truth) <= found.error, (name, order)
            assert found.error < 1e-12, (name, order)


@pytest.mark.parametrize("r", [Fraction(1, 2), Fraction(-9, 10), Fraction(1), Fraction(-1)])
def test_closed_forms_to_many_digits(r: Fraction) -> None:
    with mpmath.workdps(70):
        for name, form in (("relu", arccosine), ("erf", smooth_arcsine)):
            truth = form(mpmath.mpf(r.numerator) / r.denominator)
            found = hm.field_moment(name, [[1, r], [r, 1]], digits=30)
            assert found.kind == "rigorous"
            assert abs(found.value - truth) <= found.error < mpmath.mpf(10) ** -30, name
            with working_digits(70):
                assert found.ball.contains(arb(mpmath.nstr(truth, 60))), name


def test_a_series_that_is_too_slow_is_refused() -> None:
    with pytest.raises(hm.AccuracyError, match="asked for digits=30, 1025 terms of Mehler's series reach"):
        hm.field_moment("sign", [[1, Fraction(999, 1000)], [Fraction(999, 1000), 1]], digits=30)
    assert hm.field_moment("sign", [[1, -1], [-1, 1]], digits=30).value == -1


def test_two_fields_with_means_to_many_digits() -> None:
    """tanh times erf: the mean of erf given the other field is an erf, and one integral is left."""
    with mpmath.workdps(60):
        r, m, n = mpmath.mpf(2) / 5, mpmath.mpf(1) / 3, -mpmath.mpf(1) / 2
        width = mpmath.sqrt(2 * (1 + 2 - r * r))
        # the trapezoidal rule: its error is exp(-2 pi y/h), the pole of tanh is y = pi/2 off the axis
        h = mpmath.mpf(1) / 13
        truth = h * mpmath.fsum(
            mpmath.tanh(m + x) * mpmath.erf((n + r * x) / width) * mpmath.npdf(x) for x in mpmath.arange(-16, 16, h)
        )
        found = hm.field_moment(
            ["tanh", "erf"], [[1, Fraction(2, 5)], [Fraction(2, 5), 2]], [Fraction(1, 3), Fraction(-1, 2)], digits=45
        )
        assert abs(found.value - truth) <= found.error + mpmath.mpf(10) ** -55
        assert found.error < mpmath.mpf(10) ** -44


# -- fields that are independent given one of them --------------------------------------------------------------------


def _step(m: Any, s: Any) -> Any:
    return mpmath.ncdf(m / s) if s else (mpmath.sign(m) + 1) / 2


def _relu(m: Any, s: Any) -> Any:
    return m * mpmath.ncdf(m / s) + s * mpmath.npdf(m / s) if s else max(m, mpmath.mpf(0))


def _sine(m: Any, s: Any) -> Any:
    return mpmath.sin(m) * mpmath.exp(-s * s / 2)


def _erf(m: Any, s: Any) -> Any:
    return mpmath.erf(m / mpmath.sqrt(2 * (1 + s * s)))


GIVEN: dict[str, tuple[str, int, Callable[[Any, Any], Any]]] = {
    "relu": ("relu", 0, _relu),
    "step": ("relu", 1, _step),
    "sin": ("sin", 0, _sine),
    "erf": ("erf", 0, _erf),
    "cube": ("z**3", 0, lambda m, s: m**3 + 3 * m * s * s),
}
OUTER: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "tanh": ("tanh", mpmath.tanh),
    "gelu": ("gelu", lambda x: x * mpmath.ncdf(x)),
    "relu": ("relu", lambda x: max(x, mpmath.mpf(0))),
    "steep": ("tanh(30*z)", lambda x: mpmath.tanh(30 * x)),
}
NEARLY = (1 - Fraction(1, 10**12)) / (1 + Fraction(1, 10**12))  # sqrt(1 - NEARLY^2) is rational
REST = 2 * Fraction(1, 10**6) / (1 + Fraction(1, 10**12))
# outer function, its deviation and mean; then (function, slope, rest of the deviation, mean) of each other field
CHAINS = [
    ("tanh", Fraction(1), Fraction(1, 2), [("relu", Fraction(3, 5), Fraction(4, 5), Fraction(-1, 3))]),
    ("tanh", Fraction(3), Fraction(0), [("step", NEARLY, REST, Fraction(0))]),
    ("gelu", Fraction(2), Fraction(-1), [("relu", -NEARLY, REST, Fraction(1, 2))]),
    ("relu", Fraction(1), Fraction(1, 4), [("sin", Fraction(1), Fraction(0), Fraction(1))]),
    ("steep", Fraction(1), Fraction(0), [("relu", Fraction(-4, 5), Fraction(3, 5), Fraction(0))]),
    (
        "tanh",
        Fraction(1),
        Fraction(0),
        [("relu", Fraction(1), Fraction(0), Fraction(0)), ("erf", Fraction(1, 2), Fraction(1), Fraction(2))],
    ),
    (
        "gelu",
        Fraction(1, 100),
        Fraction(1),
        [("step", Fraction(3, 5), Fraction(4, 5), Fraction(0)), ("cube", NEARLY, REST, Fraction(1))],
    ),
    (
        "relu",
        Fraction(1),
        Fraction(-1),
        [("step", Fraction(1, 2), Fraction(1), Fraction(0)), ("sin", Fraction(2), Fraction(1), Fraction(0))],
    ),
    pytest.param(
        (
            "tanh",
            Fraction(2),
            Fraction(1, 5),
            [
                ("relu", Fraction(3, 5), Fraction(4, 5), Fraction(0)),
                ("step", Fraction(-1), Fraction(1, 2), Fraction(1)),
                ("erf", Fraction(1), Fraction(1), Fraction(0)),
            ],
        ),
        marks=pytest.mark.slow,
    ),
    (
        "gelu",
        Fraction(1),
        Fraction(0),
        [
            ("relu", Fraction(1), Fraction(0), Fraction(0)),
            ("relu", Fraction(-1), Fraction(1, 3), Fraction(1)),
            ("sin", Fraction(1, 2), Fraction(2), Fraction(1)),
        ],
    ),
]


def chain_by_one_integral(outer: str, std: Fraction, mean: Fraction, others: Sequence[Any]) -> Any:
    """E[f(x) prod_i E[g_i | x]], the inner means in closed form."""

    def real(x: Fraction) -> Any:
        return mpmath.mpf(x.numerator) / x.denominator

    s, m = real(std), real(mean)
    terms = [(GIVEN[name][2], real(b), real(d), real(n)) for name, b, d, n in others]

    def integrand(x: Any) -> Any:
        value = OUTER[outer][1](m + s * x) * mpmath.npdf(x)
        for function, b, d, n in terms:
            value *= function(n + b * x, d)
        return value

    cuts = {mpmath.mpf(k) for k in (-11, -6, -3, 0, 3, 6, 11)} | {-m / s + k for k in (-0.4, -0.1, 0, 0.1, 0.4)}
    for _, b, d, n in terms:
        width = d / abs(b)
        cuts |= {-n / b + k * width for k in ((-8, -3, 0, 3, 8) if width < 0.3 else (0,))}
    return mpmath.quad(integrand, sorted(c for c in cuts if abs(c) <= 11), method="gauss-legendre")


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: "-".join([chain[0], *(o[0] for o in chain[3])]))
def test_errors_bound_the_distance_to_one_integral(chain: Any) -> None:
    outer, std, mean, others = chain
    size = len(others) + 1
    slopes, rests = [std, *(o[1] for o in others)], [Fraction(0), *(o[2] for o in others)]
    covariance = [[slopes[a] * slopes[b] + (rests[a] ** 2 if a == b else 0) for b in range(size)] for a in range(size)]
    names = [OUTER[outer][0], *(GIVEN[o[0]][0] for o in others)]
    orders = [0, *(GIVEN[o[0]][1] for o in others)]
    with mpmath.workdps(24):
        truth = chain_by_one_integral(*chain)
        for order in (list(range(size)), list(range(size))[::-1]):
            found = hm.field_moment(
                [names[a] for a in order],
                [[covariance[a][b] for b in order] for a in order],
                [[mean, *(o[3] for o in others)][a] for a in order],
                [orders[a] for a in order],
            )
            assert abs(mpmath.mpf(found.value) - truth) <= found.error
            assert found.error <= 2e-12 * max(1.0, abs(found.value)), found


# -- Kibble and Slepian -----------------------------------------------------------------------------------------------


def kibble_slepian(coefficients: Sequence[Sequence[float]], correlations: np.ndarray[Any, Any], order: int) -> float:
    """Sum over symmetric integer matrices with zero diagonal: E of d functions from their Hermite coefficients."""
    fields = len(coefficients)
    pairs = list(itertools.combinations(range(fields), 2))
    total = 0.0

    def descend(at: int, left: list[int], used: list[int], weight: float) -> None:
        nonlocal total
        if at == len(pairs):
            total += weight * math.prod(c[n] for c, n in zip(coefficients, used, strict=True))
            return
        i, j = pairs[at]
        r = correlations[i, j]
        term = weight
        for count in range(min(left[i], left[j]) + 1):
            if count:
                term *= r / count
            here = left.copy()
            here[i] -= count
            here[j] -= count
            now = used.copy()
            now[i] += count
            now[j] += count
            descend(at + 1, here, now, term)

    descend(0, [order] * fields, [0] * fields, 1.0)
    return total


def coefficients_of_tanh(order: int, mean: float) -> list[float]:
    """By the trapezoidal rule, whose error is exp(-2 pi y/h), y = pi/2."""
    h = 0.2
    x = h * np.arange(-65, 66)
    hermite = np.polynomial.hermite_e.hermevander(x, order)
    weights = h * np.exp(-0.5 * x**2) / math.sqrt(2.0 * math.pi)
    return [float(c) for c in hermite.T @ (weights * np.tanh(mean + x))]


@pytest.mark.parametrize(("fields", "order", "mean"), [(3, 16, 0.3), (4, 8, 0.0)])
def test_kibble_slepian_series_at_small_correlations(fields: int, order: int, mean: float) -> None:
    signs = np.array([[0, 1, -1, 1], [1, 0, 1, -1], [-1, 1, 0, 1], [1, -1, 1, 0]])[:fields, :fields]
    covariance = np.eye(fields) + 0.08 * signs
    tanh = coefficients_of_tanh(order, mean)
    series = kibble_slepian([tanh] * fields, covariance, order)
    shorter = kibble_slepian([tanh] * fields, covariance, order - 3)
    found = hm.field_moment("tanh", covariance, [mean] * fields)
    assert abs(series - found.value) <= found.error + 4.0 * abs(series - shorter) + 1e-15
    assert abs(series - shorter) < 1e-8
