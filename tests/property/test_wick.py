"""Wick's theorem with symbols in mean and covariance, against routes that share nothing with it.

Pairings are listed one by one, and SymPy's own normal moments give those of independent variables. Wrong versions of
the counting have to be told apart by the same comparison.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.stats import E as sympy_expectation
from sympy.stats import Normal

from hermiton.theory.gaussian import wick as module
from hermiton.theory.gaussian.wick import MomentTable, gaussian_moment, wick

# A few in each run; HERMITON_EXAMPLES=2000 for a thorough one.
SOME = settings(max_examples=int(os.environ.get("HERMITON_EXAMPLES", "20")), deadline=None)
SYMBOLS = sp.symbols("u v w p q", positive=True)
Law = tuple[sp.Matrix, list[sp.Expr]]

numbers = st.builds(sp.Rational, st.integers(-4, 4), st.integers(1, 3))
# symbols that occur twice, zeros and numbers among symbols
entries = st.one_of(st.sampled_from(SYMBOLS), st.just(sp.S.Zero), numbers)


@st.composite
def laws(draw: st.DrawFn, size: int) -> Law:
    """Any symmetric matrix with a symbol in it: the moments are polynomials, whether it is positive or not."""
    upper = {(a, b): draw(entries) for a in range(size) for b in range(a, size)}
    matrix = sp.Matrix(size, size, lambda a, b: upper[min(a, b), max(a, b)])
    matrix[0, 0] = draw(st.sampled_from(SYMBOLS))
    return matrix, [draw(entries) for _ in range(size)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Law, tuple[int, ...]]:
    size = draw(st.integers(1, 4))
    exponents = st.tuples(*[st.integers(0, 4)] * size).filter(lambda n: sum(n) <= 7)
    return draw(laws(size)), draw(exponents)


def matchings(items: Sequence[int]) -> Iterator[tuple[list[tuple[int, int]], list[int]]]:
    """All ways to pair some of the items; the others are left single."""
    if not items:
        yield [], []
        return
    first, *others = items
    for pairs, single in matchings(others):
        yield pairs, [first, *single]
    for i, partner in enumerate(others):
        for pairs, single in matchings([*others[:i], *others[i + 1 :]]):
            yield [(first, partner), *pairs], single


def by_matchings(law: Law, exponents: tuple[int, ...]) -> sp.Expr:
    covariance, mean = law
    items = [a for a, n in enumerate(exponents) for _ in range(n)]
    terms = (
        sp.prod([covariance[a, b] for a, b in pairs]) * sp.prod([mean[a] for a in single])
        for pairs, single in matchings(items)
    )
    return sp.expand(sp.Add(*terms))


def check_matchings(case: tuple[Law, tuple[int, ...]]) -> None:
    law, exponents = case
    assert sp.expand(gaussian_moment(exponents, *law)) == by_matchings(law, exponents)


@SOME
@given(case=cases())
def test_moments_are_sums_over_matchings(case: tuple[Law, tuple[int, ...]]) -> None:
    check_matchings(case)


def normal_moment(n: int) -> sp.Expr:
    """E[g^n] by SymPy's integrals over the density."""
    return sympy_expectation(Normal("g", 0, 1) ** n) if n else sp.S.One


NORMAL = [normal_moment(n) for n in range(9)]


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[sp.Matrix, list[sp.Expr], sp.Expr]:
    """z = F g + m with independent g: covariance F F^T, and a polynomial in z of degree at most 5."""
    factor = sp.Matrix(2, 2, [draw(entries) for _ in range(4)])
    powers = st.tuples(st.integers(0, 3), st.integers(0, 2))
    terms = draw(st.lists(st.tuples(powers, entries), min_size=1, max_size=3))
    x, y = FIELDS
    return factor, [draw(entries) for _ in range(2)], sp.Add(*(c * x**i * y**j for (i, j), c in terms))


FIELDS = sp.symbols("x y", real=True)


def check_independent(case: tuple[sp.Matrix, list[sp.Expr], sp.Expr]) -> None:
    factor, mean, polynomial = case
    g = sp.symbols("g1 g2", real=True)
    inserted = polynomial.subs(
        {f: mean[a] + factor[a, 0] * g[0] + factor[a, 1] * g[1] for a, f in enumerate(FIELDS)}, simultaneous=True
    )
    expected = sp.Add(*(c * NORMAL[i] * NORMAL[j] for (i, j), c in sp.Poly(inserted, *g).terms()))
    found = wick(polynomial, FIELDS, factor * factor.T, mean)
    assert sp.expand(found - expected) == 0


@SOME
@given(case=mixtures())
def test_polynomials_in_mixtures_of_independent_normals(case: tuple[sp.Matrix, list[sp.Expr], sp.Expr]) -> None:
    check_independent(case)


# -- wrong versions ---------------------------------------------------------------------------------------------------

_right = module._multiplicity


def _without_half(available: int, others: tuple[int, ...], way: tuple[int, ...]) -> int:
    """Forgets that a pair of two factors of one variable has no order."""
    return _right(available, others, way) << way[-2]


def _wrong_sign(available: int, others: tuple[int, ...], way: tuple[int, ...]) -> int:
    return -_right(available, others, way) if way[-2] % 2 else _right(available, others, way)


def _unordered_partners(available: int, others: tuple[int, ...], way: tuple[int, ...]) -> int:
    """Forgets to choose which factors of the later variables are paired."""
    return _right(available, tuple(way[: len(others)]), way)


def _means_in_order(available: int, others: tuple[int, ...], way: tuple[int, ...]) -> int:
    """Counts the factors replaced by the mean in order."""
    return _right(available, others, way) * int(sp.factorial(way[-1]))


def refuted() -> bool:
    """Whether a few moments of low degree differ from the sums over matchings."""
    u, v, w, p, q = SYMBOLS
    law = (sp.Matrix([[u, w], [w, v]]), [p, q])
    return any(
        sp.expand(MomentTable(law[0].as_immutable(), sp.ImmutableMatrix(law[1])).moment(n)) != by_matchings(law, n)
        for n in ((1, 1), (2, 0), (1, 2), (2, 2), (3, 1))
    )


@pytest.mark.parametrize("wrong", [_without_half, _wrong_sign, _unordered_partners, _means_in_order])
def test_a_wrong_count_is_refuted(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not refuted()
    monkeypatch.setattr(module, "_multiplicity", wrong)
    assert refuted()
