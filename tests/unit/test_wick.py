"""Wick's theorem on exponent tuples."""

import time

import pytest
import sympy as sp

from hermiton.theory.errors import AssumptionError
from hermiton.theory.gaussian.expectation import GaussianExpectation, gaussian_expectation
from hermiton.theory.gaussian.wick import gaussian_moment, wick

R = sp.Rational
a, b, c, m, n = sp.symbols("a b c m n")
x, y = sp.symbols("x y", real=True)
C = sp.Matrix([[a, c], [c, b]])


def test_known_moments() -> None:
    assert gaussian_moment((0, 0), C) == 1
    assert gaussian_moment((1, 0), C) == 0
    assert gaussian_moment((1, 1), C) == c
    assert sp.expand(gaussian_moment((4, 0), C)) == 3 * a**2
    assert sp.expand(gaussian_moment((2, 2), C) - a * b - 2 * c**2) == 0
    assert sp.expand(gaussian_moment((3, 0), C, [m, n]) - m**3 - 3 * m * a) == 0


def test_isserlis_with_four_fields() -> None:
    law = sp.Matrix(4, 4, lambda i, j: sp.Symbol(f"c{min(i, j)}{max(i, j)}"))
    found = gaussian_moment((1, 1, 1, 1), law)
    c01, c02, c03, c12, c13, c23 = (law[i, j] for i in range(4) for j in range(i + 1, 4))
    assert sp.expand(found - (c01 * c23 + c02 * c13 + c03 * c12)) == 0


def test_generating_function() -> None:
    """All moments up to degree 6 in two fields, with means, are the Taylor coefficients of exp(t.m + t.C t/2)."""
    s, t, eps = sp.symbols("s t eps")
    exponent = eps * (s * m + t * n) + eps**2 * (a * s**2 + 2 * c * s * t + b * t**2) / 2
    series = sp.expand(sum(exponent**k / sp.factorial(k) for k in range(7)))
    poly = sp.Poly(series, s, t)
    for i in range(7):
        for j in range(7 - i):
            by_series = poly.coeff_monomial(s**i * t**j).subs(eps, 1) * sp.factorial(i) * sp.factorial(j)
            assert sp.expand(gaussian_moment((i, j), C, [m, n]) - by_series) == 0


def test_degree_twelve_in_four_fields_is_quick() -> None:
    law = sp.Matrix(4, 4, lambda i, j: sp.Symbol(f"q{min(i, j)}{max(i, j)}"))
    start = time.process_time()
    gaussian_moment((3, 3, 3, 3), law)
    assert time.process_time() - start < 1


def test_wick_keeps_other_symbols_and_irrational_entries() -> None:
    found = wick((x + m * y) ** 2, (x, y), sp.Matrix([[sp.sqrt(2), 0], [0, 1]]), [n, 0])
    assert sp.expand(found - (sp.sqrt(2) + n**2 + m**2)) == 0
    assert sp.expand(wick(x * y + a, (x, y), sp.Matrix([[a + b, a], [a, b]]))) == 2 * a


def test_degenerate_law() -> None:
    assert gaussian_moment((2, 2), sp.ones(2)) == 3
    assert gaussian_moment((1, 3), sp.zeros(2), [2, 3]) == 54


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: gaussian_moment((1, 2), sp.eye(3)), "entries"),
        (lambda: gaussian_moment((1, -1), C), "count"),
        (lambda: gaussian_moment((1, 1.0), C), "count"),
        (lambda: gaussian_moment((1, 1), sp.Matrix([[1, 2], [3, 4]])), "not symmetric"),
        (lambda: gaussian_moment((1, 1), sp.Matrix([[1, 2], [2, 1]])), "semidefinite"),
        (lambda: gaussian_moment((1, 1), sp.Matrix([[1, 2]])), "shape"),
        (lambda: gaussian_moment((1, 1), sp.eye(2) * 0.5), "floats"),
        (lambda: gaussian_moment((1, 1), C, [1]), "length"),
        (lambda: gaussian_moment((1, 1), "C"), "matrix"),
        (lambda: wick(sp.tanh(x), (x,), sp.eye(1)), "polynomial"),
        (lambda: wick("x", (x,), sp.eye(1)), "polynomial"),
    ],
)
def test_refusals(call, found) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AssumptionError, match=found):
        call()


LAW = {x: 1, y: 2}
CROSS = {(x, y): R(1, 3)}


@pytest.mark.parametrize(
    ("expr", "mean"),
    [
        (x**2 * y**2 + x, {x: 1}),
        (x * y * sp.erf(x / 2) * sp.erf(y / 2), None),
        (y * sp.erf((x + y) / 2) * sp.exp(-(x**2) / 3), [R(1, 2), R(-1, 3)]),
        (x * sp.sin(x + y) * sp.exp(y), {x: R(1, 5)}),
        (sp.sin(x) * sp.cos(y) * x, [1, 2]),
        (sp.exp(-(x**2) / 2 - y**2 / 3) * x**2, [1, 2]),
        (sp.sinh(x) * y, [1, 2]),
        (sp.Max(0, x) ** 2 + sp.Abs(x), [R(1, 2), 0]),
    ],
)
def test_closed_forms_against_quadrature(expr: sp.Expr, mean: object) -> None:
    found = gaussian_expectation(expr, LAW, covariance=CROSS, mean=mean)  # type: ignore[arg-type]
    assert not found.has(GaussianExpectation)
    vector = [mean.get(x, 0), mean.get(y, 0)] if isinstance(mean, dict) else mean
    node = GaussianExpectation(expr, (x, y), sp.Matrix([[1, R(1, 3)], [R(1, 3), 2]]), vector)
    assert abs(found.evalf(20) - node.evalf(10)) < R(1, 10**9) * (1 + abs(found.evalf(20)))


def test_what_has_no_closed_form_stays() -> None:
    r = sp.Symbol("r", real=True)
    found = gaussian_expectation(sp.tanh(x) * sp.tanh(y) + x * y, {x: 1, y: 1}, covariance={(x, y): r})
    node = GaussianExpectation(sp.tanh(x) * sp.tanh(y), (x, y), sp.Matrix([[1, r], [r, 1]]))
    assert found == r + node
    assert sp.latex(node).startswith(r"\mathbb{E}")
    assert node.free_symbols == {r}
    assert node.subs(x, 3) == node
    by_price = node.diff(r)
    assert isinstance(by_price, GaussianExpectation)
    assert sp.expand(by_price.integrand - (1 - sp.tanh(x) ** 2) * (1 - sp.tanh(y) ** 2)) == 0


def test_expectation_of_a_kink_is_differentiated_through_the_score() -> None:
    mean, var = sp.Symbol("mu", real=True), sp.Symbol("V", positive=True)
    node = GaussianExpectation(sp.Max(0, x), (x,), sp.Matrix([[var]]), [mean])
    at = {mean: R(1, 3), var: R(5, 4)}
    closed = node.doit()
    assert not closed.has(GaussianExpectation)
    for symbol in (mean, var):
        assert abs(node.diff(symbol).subs(at).evalf(25) - closed.diff(symbol).subs(at).evalf(25)) < R(1, 10**20)


def test_bound_variables_are_not_captured() -> None:
    t = sp.Symbol("t", real=True)
    node = GaussianExpectation(sp.tanh(x * t), (x,), sp.eye(1), [1])
    moved = node.subs(t, x)
    assert moved.free_symbols == {x}
    assert abs(moved.subs(x, 2).evalf(20) - node.subs(t, 2).evalf(20)) < R(1, 10**18)


@pytest.mark.parametrize(
    ("variables", "kwargs", "found"),
    [
        ([], {}, "distinct"),
        ([x, x], {}, "distinct"),
        ({x: 1}, {"mean": {y: 1}}, "not a variable"),
        ({x: 1}, {"covariance": {(x, y): 1}}, "pair"),
        ({x: 1}, {"covariance": sp.Matrix([[2]])}, "another variance"),
        ({x: ...}, {}, "open"),
        ({x: 1, y: 1}, {"covariance": {(x, y): 1, (y, x): 0}}, "two values"),
        ({x: 1, y: 1}, {"covariance": {(x, y): 2}}, "semidefinite"),
    ],
)
def test_inconsistent_laws_are_refused(variables: object, kwargs: dict[str, object], found: str) -> None:
    with pytest.raises(AssumptionError, match=found):
        gaussian_expectation(x**2, variables, **kwargs)  # type: ignore[arg-type]
