"""Activations: exact facts of the catalogue, and refusals with a cure."""

import pickle

import pytest
import sympy as sp

from hermiton.theory.activation import CATALOGUE, Activation
from hermiton.theory.errors import AccuracyError, AssumptionError
from hermiton.theory.gaussian.expectation import GaussianExpectation
from hermiton.theory.gaussian.hermite import hermite_he
from hermiton.theory.notation import z

R = sp.Rational

# name: parity, kinks, degree, growth, information exponent
FACTS = {
    "erf": ("odd", (), None, "bounded", 1),
    "relu": (None, (0,), None, "polynomial", 1),
    "leaky_relu": (None, (0,), None, "polynomial", 1),
    "abs": ("even", (0,), None, "polynomial", 2),
    "sign": ("odd", (0,), None, "bounded", 1),
    "tanh": ("odd", (), None, "bounded", 1),
    "sigmoid": (None, (), None, "bounded", 1),
    "softplus": (None, (), None, "polynomial", 1),
    "gelu": (None, (), None, "polynomial", 1),
    "silu": (None, (), None, "polynomial", 1),
    "sin": ("odd", (), None, "bounded", 1),
    "cos": ("even", (), None, "bounded", 2),
    "exp": (None, (), None, "exponential", 1),
    "identity": ("odd", (), 1, "polynomial", 1),
    "square": ("even", (), 2, "polynomial", 2),
    "he2": ("even", (), 2, "polynomial", 2),
    "he3": ("odd", (), 3, "polynomial", 3),
    "he4": ("even", (), 4, "polynomial", 4),
    "z*tanh(z)": ("even", (), None, "polynomial", 2),
    "exp(-z**2)": ("even", (), None, "bounded", 2),
    "Max(-1, Min(1, z))": ("odd", (-1, 1), None, "bounded", 1),
    "relu(z) - relu(-z)": ("odd", (), 1, "polynomial", 1),
    "1/(1 + exp(-z)) - 1/2": ("odd", (), None, "bounded", 1),
    "cos(z) + exp(-1/2)*he2(z)/2": ("even", (), None, "polynomial", 4),
    "log(1 + z**2)": ("even", (), None, "polynomial", 2),
}


def test_the_facts_cover_the_catalogue() -> None:
    assert set(CATALOGUE) <= set(FACTS)


@pytest.mark.parametrize("name", FACTS)
def test_facts(name: str) -> None:
    act = Activation(name)
    parity, kinks, degree, growth, exponent = FACTS[name]
    assert (act.parity, act.kinks, act.degree, act.growth) == (parity, kinks, degree, growth)
    assert act.is_polynomial == (degree is not None)
    assert act.is_analytic_on_reals == (not kinks)
    assert act.information_exponent == exponent
    assert Activation(act) == act
    assert pickle.loads(pickle.dumps(act)) == act
    assert hash(pickle.loads(pickle.dumps(act))) == hash(act)
    assert act.latex


def test_erf_has_the_scale_of_the_field() -> None:
    assert Activation("erf").expression == sp.erf(z / sp.sqrt(2))
    assert Activation("erf(z)").expression == sp.erf(z)


def test_floats_become_rationals_and_other_symbols_named_z_are_z() -> None:
    act = Activation(0.1 * sp.Symbol("z") + sp.tanh(0.5 * sp.Symbol("z")))
    assert act.expression == z / 10 + sp.tanh(z / 2)


def test_pieces_of_a_piecewise() -> None:
    elu = Activation(sp.Piecewise((z, z > 0), (sp.exp(z) - 1, True)))
    assert [(p.lo, p.hi, p.expression) for p in elu.pieces] == [(-sp.oo, 0, sp.exp(z) - 1), (0, sp.oo, z)]
    band = Activation(sp.Piecewise((z, z**2 < 2), (0, True)))
    assert band.kinks == (-sp.sqrt(2), sp.sqrt(2))
    assert Activation(sp.Piecewise((z**2, z > 0), (sp.Abs(z) ** 2, True))).kinks == ()


def test_smooth_seams_are_not_analytic() -> None:
    assert Activation(z * sp.Abs(z)).kinks == (0,)
    assert Activation(sp.Abs(z) ** 3).kinks == (0,)
    assert Activation(sp.sqrt(sp.Abs(z))).kinks == (0,)


def test_derivative() -> None:
    assert Activation("tanh").derivative == 1 - sp.tanh(z) ** 2
    assert Activation("relu").derivative == sp.Heaviside(z)


@pytest.mark.parametrize(
    ("formula", "found"),
    [
        ("tahn", "did you mean 'tanh'"),
        ("nonsense", "not a known name"),
        ("x + z", "other variables"),
        (sp.Symbol("x") * z, "other variables"),
        (sp.Integer(3), "has no z"),
        (sp.Symbol("z") - sp.Symbol("z"), "has no z"),
        (sp.sin(z) ** 2 + sp.cos(z) ** 2, "constant"),
        (sp.sign(z) ** 2, "constant"),
        (sp.log(z), "not shown to be positive"),
        (sp.sqrt(z), "negative"),
        (z**z, "not shown to be positive"),
        (sp.I * z, "complex"),
        ("1/z", "infinite at z = 0"),
        ("1/(z**2 - 2)", "sqrt"),
        (sp.tan(z), "infinite where"),
        (sp.exp(z**2), "second moment"),
        (sp.exp(z**2 / 4), "second moment"),
        (z * sp.exp(z**2 / 3) + z, "second moment"),
        (sp.exp(z**3), "second moment"),
        (sp.exp(sp.exp(z)), "second moment"),
        (sp.besselj(0, z), "does not know"),
        (sp.DiracDelta(z), "does not know"),
        (sp.Function("f")(z), "undefined function"),
        (sp.Integral(sp.Symbol("z"), (sp.Symbol("z"), 0, 1)) + z, "unevaluated"),
        (sp.Max(0, sp.sin(z)), "kinks"),
        (None, "NoneType"),
        (3.0, "float"),
        (abs, "pass a name"),
        (sp.Eq(z, 1), "pass a name"),
    ],
)
def test_refusals(formula: object, found: str) -> None:
    with pytest.raises(AssumptionError, match=found) as caught:
        Activation(formula)  # type: ignore[arg-type]
    assert ": " in str(caught.value)


def test_growth_below_the_threshold_is_accepted() -> None:
    act = Activation(sp.exp(z**2 / 8))
    assert (act.growth, act.growth_exponent) == ("gaussian", R(1, 8))
    assert act.hermite(2)[0] == 2 / sp.sqrt(3)
    with pytest.raises(AssumptionError, match="infinite"):
        act.hermite(2, std=2)


def test_a_zero_without_a_reason_is_not_taken_for_zero() -> None:
    first = Activation("tanh").hermite(1)[1].evalf(60)
    slope = sp.Rational(str(first))
    with pytest.raises(AccuracyError, match="no reason"):
        _ = Activation(sp.tanh(z) - slope * z).information_exponent


@pytest.mark.parametrize("name", ["erf", "relu", "gelu", "sin", "Max(-1, Min(1, z))", "cosh(z)*z"])
def test_hermite_coefficients_against_quadrature(name: str) -> None:
    act = Activation(name)
    x = sp.Symbol("x", real=True)
    mean, std = R(1, 3), R(3, 4)
    series = act.hermite(4, mean, std)
    assert series.is_exact
    for k in (0, 1, 4):
        h = series[k]
        body = act.expression.subs(z, mean + std * x) * hermite_he(k, x)
        by_quadrature = GaussianExpectation(body, (x,), sp.eye(1)).evalf(25)
        assert abs(h.evalf(30) - by_quadrature) < R(1, 10**20)


def test_hermite_with_symbols_follows_stein() -> None:
    m, s = sp.Symbol("m", real=True), sp.Symbol("s", positive=True)
    series = Activation("erf").hermite(3, m, s)
    assert sp.simplify(series[0] - sp.erf(m / sp.sqrt(2 * (1 + s**2)))) == 0
    for k in range(3):
        assert sp.simplify(s * sp.diff(series[k], m) - series[k + 1]) == 0


def test_hermite_of_tanh_stays_unevaluated_and_still_works() -> None:
    m = sp.Symbol("m", real=True)
    h = Activation("tanh").hermite(1, mean=m)
    assert not h.is_exact
    step = R(1, 10**8)
    slope = (h[0].subs(m, R(1, 2) + step).evalf(40) - h[0].subs(m, R(1, 2) - step).evalf(40)) / (2 * step)
    assert abs(sp.diff(h[0], m).subs(m, R(1, 2)).evalf(30) - slope) < R(1, 10**14)
    assert r"\mathbb{E}" in h.latex()
    centred = Activation("tanh").hermite(4)
    assert [centred[k] for k in (0, 2, 4)] == [0, 0, 0]


def test_zeros_of_sigmoid_and_softplus_have_their_reason() -> None:
    assert Activation("sigmoid").hermite(4)[2] == 0
    assert Activation("softplus").hermite(5)[5] == 0
    assert Activation("softplus").hermite(5)[4] != 0


def test_truncated_series_of_a_polynomial_is_the_polynomial() -> None:
    act = Activation("z**3 - 2*z + 1")
    series = act.hermite(3, R(1, 2), R(2, 3))
    assert sp.expand(series.truncated() - act.expression) == 0
    assert series.energy() == Activation("(z**3 - 2*z + 1)**2").hermite(0, R(1, 2), R(2, 3))[0]


@pytest.mark.parametrize(
    ("order", "kwargs"), [(-1, {}), (True, {}), (2, {"std": 0}), (2, {"std": -1}), (2, {"mean": 0.5})]
)
def test_hermite_refuses(order: int, kwargs: dict[str, object]) -> None:
    with pytest.raises(AssumptionError):
        Activation("tanh").hermite(order, **kwargs)  # type: ignore[arg-type]


def test_values_near_a_jump_that_no_comparison_decides() -> None:
    activation = Activation("sign(z - 2) + tanh(100*z)")  # tanh(200) - 1 is -1e-174
    assert activation.kinks == (2,)
    assert activation.growth == "bounded"


def test_a_range_whose_end_is_nearer_to_another_than_any_usual_comparison_tells() -> None:
    product = Activation("erf(9*z/4 + 9/8)*Min(1, Max(-1, z/4 - 3/4))")  # 1 - erf(135/8) is 1e-125
    assert product.kinks == (-1, 7)
