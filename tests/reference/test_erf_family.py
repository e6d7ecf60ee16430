"""Derived closed forms of the erf integrals: the literature's formulas, reference values, and 50-digit quadrature."""

import mpmath
import pytest
import sympy as sp

from hermiton.theory.balls import evaluate, rational_points
from hermiton.theory.errors import AssumptionError
from hermiton.theory.gaussian.erf_family import (
    ErfFunction,
    covariance_symbols,
    derive_h2,
    derive_i2,
    derive_i3,
    derive_i4,
    derive_j2,
)

R = sp.Rational
LAW = sp.Matrix(
    [
        [1, R(3, 10), R(2, 5), R(1, 5)],
        [R(3, 10), R(6, 5), R(-1, 10), R(1, 2)],
        [R(2, 5), R(-1, 10), R(9, 10), R(1, 4)],
        [R(1, 5), R(1, 2), R(1, 4), R(11, 10)],
    ]
)
OTHER = ErfFunction(R(-3, 2), R(2, 3))


# The reference table of notes/online-sgd.md, section 3.6, zero mean.
@pytest.mark.parametrize(
    ("derived", "indices", "value"),
    [
        (derive_i2(), (0, 1), "0.091362257011207"),
        (derive_i3(), (0, 1, 2), "-0.053388708330424"),
        (derive_j2(), (0, 1), "0.306648954191235"),
        (derive_i4(), (0, 1, 2, 3), "0.025354374280339"),
    ],
    ids=["I2", "I3", "J2", "I4"],
)
def test_reference_values(derived, indices, value) -> None:  # type: ignore[no-untyped-def]
    found = derived.at(LAW, indices).evalf(25)
    assert abs(found - sp.Rational(value)) < R(1, 10**15)


def _saad_solla() -> dict[str, sp.Expr]:
    """Saad and Solla 1995 in the symbols of the derivation (zero mean)."""
    c = covariance_symbols(4)
    c11, c22, c33, c44 = (c[i, i] for i in range(4))
    c12, c13, c14, c23, c24, c34 = (c[i, j] for i in range(4) for j in range(i + 1, 4))
    l3 = (1 + c11) * (1 + c33) - c13**2
    l4 = (1 + c11) * (1 + c22) - c12**2
    l0 = l4 * c34 - c23 * c24 * (1 + c11) - c13 * c14 * (1 + c22) + c12 * c13 * c24 + c12 * c14 * c23
    l1 = l4 * (1 + c33) - c23**2 * (1 + c11) - c13**2 * (1 + c22) + 2 * c12 * c13 * c23
    l2 = l4 * (1 + c44) - c24**2 * (1 + c11) - c14**2 * (1 + c22) + 2 * c12 * c14 * c24
    return {
        "I2": 2 / sp.pi * sp.asin(c12 / sp.sqrt((1 + c11) * (1 + c22))),
        "J2": 2 / sp.pi / sp.sqrt(l4),
        "I3": 2 / sp.pi / sp.sqrt(l3) * (c23 * (1 + c11) - c12 * c13) / (1 + c11),
        "I4": 4 / sp.pi**2 / sp.sqrt(l4) * sp.asin(l0 / (sp.sqrt(l1) * sp.sqrt(l2))),
    }


@pytest.mark.parametrize("derived", [derive_i2(), derive_j2(), derive_i3(), derive_i4()], ids=lambda d: d.name)
def test_the_formulas_of_the_literature(derived) -> None:  # type: ignore[no-untyped-def]
    difference = derived.expression - _saad_solla()[derived.name]
    symbols = sorted(derived.expression.free_symbols, key=str)
    for point in rational_points(symbols, 8, derived.name):
        # a positive definite covariance: halved off-diagonal entries over a diagonal of at least 2
        law = {s: v + 2 if s.is_positive else v / 2 for s, v in point.items()}
        ball = evaluate(difference, law, 40)
        assert ball.contains(0)
        assert ball.rad() < 1e-30


def _density(rows: list[int], law: sp.Matrix):  # type: ignore[no-untyped-def]
    sub = law.extract(rows, rows)
    precision = sub.inv()
    scale = 1 / mpmath.sqrt((2 * mpmath.pi) ** len(rows) * mpmath.mpf(sub.det().p) / sub.det().q)
    entries = [[mpmath.mpf(int(e.p)) / int(e.q) for e in precision.row(i)] for i in range(len(rows))]

    def density(*z):  # type: ignore[no-untyped-def]
        quadratic = sum(entries[i][j] * z[i] * z[j] for i in range(len(z)) for j in range(len(z)))
        return scale * mpmath.exp(-quadratic / 2)

    return density


def _trapezoid(f, step, reach):  # type: ignore[no-untyped-def]
    """Exponentially accurate on the plane for entire integrands with Gaussian decay."""
    grid = [k * step for k in range(-int(reach / step), int(reach / step) + 1)]
    return step**2 * mpmath.fsum(f(x, y) for x in grid for y in grid)


@pytest.mark.parametrize("function", [ErfFunction(), OTHER], ids=["erf(z/sqrt 2)", "alpha*erf(beta*z)"])
def test_two_point_functions_against_50_digit_quadrature(function: ErfFunction) -> None:
    """J2, H2 by one-dimensional quadrature at 50 digits: the second field is integrated out by E[erf] of a shift."""
    with mpmath.workdps(60):
        alpha, beta = (mpmath.mpf(v.evalf(70)) for v in (function.alpha, function.beta))
        c11, c12, c22 = (mpmath.mpf(v.evalf(70)) for v in (LAW[0, 0], LAW[0, 1], LAW[1, 1]))
        slope, rest = c12 / c11, c22 - c12**2 / c11
        width = mpmath.sqrt(1 + 2 * beta**2 * rest)

        def g(x):  # type: ignore[no-untyped-def]
            return alpha * mpmath.erf(beta * x)

        def dg(x):  # type: ignore[no-untyped-def]
            return 2 * alpha * beta / mpmath.sqrt(mpmath.pi) * mpmath.exp(-((beta * x) ** 2))

        def inner(x):  # type: ignore[no-untyped-def]
            return alpha * mpmath.erf(beta * slope * x / width)

        def inner_derivative(x):  # type: ignore[no-untyped-def]
            argument = beta * slope * x / width
            return 2 * alpha * beta / mpmath.sqrt(mpmath.pi) / width * mpmath.exp(-(argument**2))

        def expectation(f):  # type: ignore[no-untyped-def]
            points = list(range(-18, 19, 2))
            return mpmath.quad(lambda x: f(x) * mpmath.npdf(x, 0, mpmath.sqrt(c11)), points, method="gauss-legendre")

        values = {
            derive_i2: expectation(lambda x: g(x) * inner(x)),
            derive_j2: expectation(lambda x: dg(x) * inner_derivative(x)),
            derive_h2: expectation(lambda x: -2 * beta**2 * x * dg(x) * inner(x)),
        }
        for derive, value in values.items():
            found = derive(function, function).at(LAW, (0, 1))
            assert abs(mpmath.mpf(found.evalf(60)) - value) < mpmath.mpf(10) ** -50, derive.__name__


def test_i3_against_quadrature() -> None:
    """E[g'(z0) z1 g(z2)]: z1 is linear, so its conditional mean given (z0, z2) stands for it."""
    rows = [0, 2]
    regression = LAW.extract([1], rows) * LAW.extract(rows, rows).inv()
    a, b = (mpmath.mpf(int(v.p)) / int(v.q) for v in regression)
    density = _density(rows, LAW)
    root = mpmath.sqrt(2)

    def integrand(x, y):  # type: ignore[no-untyped-def]
        derivative = root / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x / 2)
        return derivative * (a * x + b * y) * mpmath.erf(y / root) * density(x, y)

    with mpmath.workdps(20):
        value = _trapezoid(integrand, mpmath.mpf(1) / 5, 8)
        assert abs(mpmath.mpf(derive_i3().at(LAW, (0, 1, 2)).evalf(25)) - value) < mpmath.mpf(10) ** -12


def test_i4_with_repeated_fields_is_a_two_dimensional_integral() -> None:
    root = mpmath.sqrt(2)
    density = _density([0, 1], LAW)

    def integrand(x, y):  # type: ignore[no-untyped-def]
        derivatives = 2 / mpmath.pi * mpmath.exp(-x * x)
        return derivatives * mpmath.erf(x / root) * mpmath.erf(y / root) * density(x, y)

    with mpmath.workdps(20):
        value = _trapezoid(integrand, mpmath.mpf(1) / 5, 8)
        assert abs(mpmath.mpf(derive_i4().at(LAW, (0, 0, 0, 1)).evalf(25)) - value) < mpmath.mpf(10) ** -12


def test_i4_of_different_functions_scales_and_flips() -> None:
    """alpha is a factor; beta is a rescaling of the field; an odd function flips with its field."""
    general = derive_i4(OTHER, ErfFunction(), OTHER, ErfFunction())
    rescaled = sp.diag(OTHER.beta * sp.sqrt(2), 1, OTHER.beta * sp.sqrt(2), 1)
    plain = derive_i4().at(rescaled * LAW * rescaled, (0, 1, 2, 3))
    factor = OTHER.alpha**2 * OTHER.beta * sp.sqrt(2)
    assert abs((general.at(LAW, (0, 1, 2, 3)) - factor * plain).evalf(40)) < R(1, 10**35)
    flipped = sp.diag(1, 1, -1, 1)
    assert derive_i4().at(flipped * LAW * flipped, (0, 1, 2, 3)).equals(-derive_i4().at(LAW, (0, 1, 2, 3)))


def test_steps_lead_from_the_definition_to_the_closed_form() -> None:
    for derived in (derive_i2(), derive_j2(), derive_h2(), derive_i3(), derive_i4()):
        assert all(step.reason for step in derived.steps)
        assert any(step.rhs == derived.expression or step.lhs == derived.expression for step in derived.steps)
        assert not derived.expression.has(sp.Float)


def test_a_wrong_tilting_weight_changes_or_stops_the_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    """No formula is typed: with a wrong rule underneath, the result is wrong too, or a check refuses it."""
    from hermiton.theory.gaussian import erf_family
    from hermiton.theory.gaussian.tilting import Tilt, tilt

    def wrong(covariance: sp.MatrixBase, k: int, beta: sp.Expr) -> Tilt:
        right = tilt(covariance, k, beta)
        return right._replace(covariance=2 * covariance - right.covariance)

    monkeypatch.setattr(erf_family, "tilt", wrong)
    changed = erf_family.derive_j2.__wrapped__(ErfFunction(), ErfFunction())
    assert not sp.simplify(changed.expression - derive_j2().expression).is_zero


@pytest.mark.parametrize("kwargs", [{"beta": -1}, {"beta": 0}, {"alpha": 0}, {"alpha": sp.I}, {"beta": 0.5}])
def test_functions_outside_the_family_are_refused(kwargs: dict[str, object]) -> None:
    with pytest.raises(AssumptionError):
        ErfFunction(**kwargs)  # type: ignore[arg-type]


def test_a_wrong_number_of_slots_is_refused() -> None:
    with pytest.raises(AssumptionError, match="slots"):
        derive_i2().at(LAW, (0, 1, 2))
