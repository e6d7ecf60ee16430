"""The Gaussian calculus against brute force, for laws that hypothesis chooses."""

from collections.abc import Iterator, Sequence

import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from hermiton.theory.activation import Activation
from hermiton.theory.formula import hermite_he
from hermiton.theory.gaussian.stein import stein
from hermiton.theory.gaussian.wick import gaussian_moment, wick

FEW = settings(max_examples=30, deadline=None)
small = st.integers(-3, 3)


@st.composite
def laws(draw: st.DrawFn, size: int) -> tuple[sp.Matrix, list[sp.Rational]]:
    """An exact covariance F F^T (also singular ones) and a mean."""
    factor = sp.Matrix(size, size, [sp.Rational(draw(small), draw(st.integers(1, 3))) for _ in range(size * size)])
    return factor * factor.T, [sp.Rational(draw(small), 2) for _ in range(size)]


def pairings(items: Sequence[int]) -> Iterator[list[tuple[int, int]]]:
    if not items:
        yield []
        return
    for i in range(1, len(items)):
        rest = [*items[1:i], *items[i + 1 :]]
        for tail in pairings(rest):
            yield [(items[0], items[i]), *tail]


@FEW
@given(law=laws(3), exponents=st.tuples(*[st.integers(0, 3)] * 3).filter(lambda e: sum(e) <= 8))
def test_moments_are_sums_over_pairings(law: tuple[sp.Matrix, list[sp.Rational]], exponents: tuple[int, ...]) -> None:
    covariance, _ = law
    items = [a for a, n in enumerate(exponents) for _ in range(n)]
    expected = sum((sp.prod(covariance[i, j] for i, j in pairing) for pairing in pairings(items)), sp.S.Zero)
    assert gaussian_moment(exponents, covariance) == (expected if len(items) % 2 == 0 else 0)


@FEW
@given(law=laws(2), exponents=st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_means_shift_the_variables(law: tuple[sp.Matrix, list[sp.Rational]], exponents: tuple[int, int]) -> None:
    covariance, mean = law
    x, y = sp.symbols("x y", real=True)
    shifted = (x + mean[0]) ** exponents[0] * (y + mean[1]) ** exponents[1]
    assert gaussian_moment(exponents, covariance, mean) == wick(shifted, (x, y), covariance)


@FEW
@given(law=laws(3), exponents=st.tuples(*[st.integers(0, 3)] * 3), b=st.integers(0, 2))
def test_stein(law: tuple[sp.Matrix, list[sp.Rational]], exponents: tuple[int, ...], b: int) -> None:
    covariance, mean = law
    fields = sp.symbols("z1:4", real=True)
    phi = sp.prod(f**n for f, n in zip(fields, exponents, strict=True))
    step = stein(b, phi, fields, covariance, mean)
    raised = tuple(n + (a == b) for a, n in enumerate(exponents))
    assert sp.expand(step.rhs.replace(lambda e: hasattr(e, "integrand"), lambda e: e.doit())) == gaussian_moment(
        raised, covariance, mean
    )


@FEW
@given(n=st.integers(0, 7), k=st.integers(0, 7), numerator=st.integers(-9, 9))
def test_orthogonality(n: int, k: int, numerator: int) -> None:
    r = sp.Rational(numerator, 9)
    x, y = sp.symbols("x y", real=True)
    found = wick(hermite_he(n, x) * hermite_he(k, y), (x, y), sp.Matrix([[1, r], [r, 1]]))
    assert found == (sp.factorial(n) * r**n if n == k else 0)


@FEW
@given(law=laws(2), exponents=st.tuples(st.integers(0, 4), st.integers(0, 4)), scale=st.integers(-3, 3))
def test_scaling(law: tuple[sp.Matrix, list[sp.Rational]], exponents: tuple[int, int], scale: int) -> None:
    covariance, mean = law
    stretch = sp.diag(scale, 1)
    stretched = gaussian_moment(exponents, stretch * covariance * stretch, [scale * mean[0], mean[1]])
    assert stretched == sp.Integer(scale) ** exponents[0] * gaussian_moment(exponents, covariance, mean)


@settings(max_examples=12, deadline=None)
@given(coefficients=st.lists(small, min_size=2, max_size=6).filter(lambda c: any(c[1:])))
def test_hermite_series_of_a_polynomial_gives_it_back(coefficients: list[int]) -> None:
    z = sp.Symbol("z", real=True)
    act = Activation(sp.Add(*(c * z**n for n, c in enumerate(coefficients))))
    series = act.hermite(len(coefficients), sp.Rational(1, 3), sp.Rational(5, 2))
    assert sp.expand(series.truncated() - act.expression) == 0
    lowest = next(k for k, h in enumerate(act.hermite(len(coefficients)).coefficients) if k and h != 0)
    assert act.information_exponent == lowest
