"""Facts of activations: every value exact, with a reason; what is not known says so."""

import pickle
import time

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from hermiton.theory.activation import CATALOGUE, Activation
from hermiton.theory.errors import AccuracyError, AssumptionError
from hermiton.theory.facts.decay import decay, k
from hermiton.theory.facts.exponents import generative_exponent
from hermiton.theory.facts.extrema import extrema
from hermiton.theory.facts.numbers import Incomparable, InOrder, complex_zero, real_zero
from hermiton.theory.facts.polynomials import parity_split, why_not_polynomial
from hermiton.theory.facts.shape import kinks
from hermiton.theory.facts.table import STANDINGS, Fact, Facts
from hermiton.theory.facts.taylor import taylor
from hermiton.theory.facts.vanishing import vanishing
from hermiton.theory.notation import z
from hermiton.theory.singularities import strip

R, pi, oo = sp.Rational, sp.pi, sp.oo
ELU = sp.Piecewise((z, z > 0), (sp.exp(z) - 1, True))
MISH = "z*tanh(log(1 + exp(z)))"
root = sp.sqrt(2 / pi)

# range, monotone, Lipschitz constant, generative exponent, zeros at mean 0, half-width, decay, arc-cosine order, and
# the kind of goodness
TABLE = {
    "erf": ((-1, 1), "strictly increasing", root, 1, "even k", oo, "|c_k|^(1/k) -> sqrt(2)/2", "none", "odd"),
    "relu": ((0, oo), "increasing", 1, 1, "odd k >= 3", 0, "|c_k| ~ k^(-5/4)", 1, "homogeneous"),
    "leaky_relu": ((-oo, oo), "strictly increasing", 1, 1, "odd k >= 3", 0, "|c_k| ~ k^(-5/4)", 1, "homogeneous"),
    "abs": ((0, oo), "no", 1, 2, "odd k", 0, "|c_k| ~ k^(-5/4)", 1, "homogeneous"),
    "sign": ((-1, 1), "increasing", oo, 1, "even k", 0, "|c_k| ~ k^(-3/4)", 0, "homogeneous"),
    "tanh": ((-1, 1), "strictly increasing", 1, 1, "even k", pi / 2, "log|c_k| ~ -(pi/2) sqrt(k)", "none", "odd"),
    "sigmoid": (
        (0, 1),
        "strictly increasing",
        R(1, 4),
        1,
        "even k >= 2",
        pi,
        "log|c_k| ~ -(pi) sqrt(k)",
        "none",
        "constant + odd",
    ),
    "softplus": (
        (0, oo),
        "strictly increasing",
        1,
        1,
        "odd k >= 3",
        pi,
        "log|c_k| ~ -(pi) sqrt(k)",
        "none",
        "polynomial + even",
    ),
    "gelu": (
        "unbounded",
        "no",
        R(1, 2) + sp.erf(1) / 2 + sp.exp(-1) / sp.sqrt(pi),
        1,
        "odd k >= 3",
        oo,
        "|c_k|^(1/k) -> sqrt(2)/2",
        "none",
        "polynomial + even",
    ),
    "silu": ("unbounded", "no", None, 1, "odd k >= 3", pi, "log|c_k| ~ -(pi) sqrt(k)", "none", "polynomial + even"),
    "sin": ((-1, 1), "no", 1, 1, "even k", oo, "|c_k| ~ (1)^k/sqrt(k!)", "none", "odd"),
    "cos": ((-1, 1), "no", 1, 2, "odd k", oo, "|c_k| ~ (1)^k/sqrt(k!)", "none", "even"),
    "exp": ((0, oo), "strictly increasing", oo, 1, "none", oo, "|c_k| ~ (1)^k/sqrt(k!)", "none", "generic"),
    "identity": ((-oo, oo), "strictly increasing", 1, 1, "all k but 1", oo, "none beyond k = 1", "none", "polynomial"),
    "square": ((0, oo), "no", oo, 2, "all k but 0, 2", oo, "none beyond k = 2", "none", "polynomial"),
    "he3": ((-oo, oo), "no", oo, 1, "all k but 1, 3", oo, "none beyond k = 3", "none", "polynomial"),
    "z**2*Heaviside(z)": ((0, oo), "increasing", oo, 1, "even k >= 4", 0, "|c_k| ~ k^(-7/4)", 2, "homogeneous"),
    "Max(-1, Min(1, z))": ((-1, 1), "increasing", 1, 1, "even k", 0, "|c_k| ~ k^(-5/4)", "none", None),
    "z*Abs(z)": ((-oo, oo), "strictly increasing", oo, 1, "even k", 0, "|c_k| ~ k^(-7/4)", 2, "homogeneous"),
    "sqrt(1 + z**2)": ((1, oo), "no", 1, 2, "odd k", 1, "log|c_k| ~ -(1) sqrt(k)", "none", "even"),
    "1/(1 + z**2)": ((0, 1), "no", 3 * sp.sqrt(3) / 8, 2, "odd k", 1, "log|c_k| ~ -(1) sqrt(k)", "none", "even"),
    "exp(-z**2)": (
        (0, 1),
        "no",
        sp.sqrt(2) * sp.exp(R(-1, 2)),
        2,
        "odd k",
        oo,
        "|c_k|^(1/k) -> sqrt(6)/3",
        "none",
        "even",
    ),
    "z**2*exp(-z**2)": (
        (0, sp.exp(-1)),
        "no",
        None,
        4,
        "odd k",
        oo,
        "|c_k|^(1/k) -> sqrt(6)/3",
        "none",
        "even",
    ),
    "cos(z**3)": ("bounded", "no", None, 2, "odd k", oo, None, "none", "even"),
    MISH: ("unbounded", "no", None, 1, "none", 3 * pi / 4, "log|c_k| ~ -(3*pi/4) sqrt(k)", "none", "generic"),
    "sin(z) + cos(z)": ("bounded", "no", None, 1, "none", oo, "|c_k| ~ (1)^k/sqrt(k!)", "none", "generic"),
    "elu": ((-1, oo), "strictly increasing", 1, 1, "none", 0, "|c_k| ~ k^(-7/4)", "none", None),
}


def activation(name: str) -> Activation:
    return Activation(ELU if name == "elu" else name)


def test_the_table_covers_the_catalogue() -> None:
    assert set(CATALOGUE) <= set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_facts(name: str) -> None:
    act = activation(name)
    start = time.process_time()
    facts = act.facts()
    assert time.process_time() - start < 2
    span, monotone, lipschitz, generative, zeros, width, decays, order, kind = TABLE[name]
    if isinstance(span, tuple):
        assert all(sp.simplify(a - b) == 0 or a == b for a, b in zip(facts["range"].value, span, strict=True))
    else:
        assert facts["range"].value == span
    assert facts["monotone"].value == monotone
    found = facts["Lipschitz constant"].value
    if lipschitz is None:
        assert found is None or found.is_finite
    else:
        assert found == lipschitz or sp.simplify(found - lipschitz) == 0
    assert facts["information exponent"].value == act.information_exponent
    assert facts["generative exponent"].value == generative == act.generative_exponent
    assert facts["zeros of h_k at mean 0"].text == zeros
    assert sp.simplify(facts["strip of analyticity"].value.half_width - width) == 0 or width is oo
    assert (facts["strip of analyticity"].value.half_width is oo) == (width is oo)
    assert (facts["decay of c_k"].text if decays else facts["decay of c_k"].value) == decays
    assert facts["arc-cosine order"].value == order
    assert (facts["good activation"].value.kind if kind else facts["good activation"].value) == kind
    assert facts["degree"].value == (act.degree if act.is_polynomial else "no polynomial")
    assert facts["parity"].value == (act.parity or "neither")
    assert pickle.loads(pickle.dumps(facts)) == facts
    for fact in facts:
        assert fact.reason and fact.standing in STANDINGS
        assert fact.decided == (fact.value is not None)


def test_a_table_shows_every_entry() -> None:
    facts = Activation("softplus").facts()
    text, page = str(facts), facts._repr_html_()
    assert text.startswith("sigma(z) = log(exp(z) + 1)")
    assert len(text.splitlines()) == len(facts) + 1
    assert repr(facts) == text
    for fact in facts:
        assert any(line.startswith(fact.name) and fact.reason in line for line in text.splitlines())
        assert f">{fact.name}<" in page
    assert "log(1 + e" not in page and "&lt;" in page  # reasons hold < signs
    with pytest.raises(AssumptionError, match="did you mean 'parity'"):
        facts["party"]


def test_a_fact_has_a_reason_and_a_known_standing() -> None:
    Fact("parity", "odd", "an identity", "proved")
    with pytest.raises(AssumptionError, match="unknown"):
        Fact("parity", "odd", "an identity", "guessed")
    with pytest.raises(AssumptionError, match="missing"):
        Fact("parity", "odd", "", "proved")
    with pytest.raises(AssumptionError, match="no value"):
        Fact("parity", "odd", "no proof", "undecided")
    with pytest.raises(AssumptionError, match="no value"):
        Fact("parity", None, "no proof", "proved")
    entry = Fact("parity", "odd", "an identity", "proved")
    with pytest.raises(AssumptionError, match="repeat"):
        Facts("f", z, (entry, entry))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("sign(z)", [(0, 0, 2)]),
        ("Heaviside(z - 1)*exp(z)", [(1, 0, sp.E)]),
        ("Max(-1, Min(1, z))", [(-1, 1, 1), (1, 1, -1)]),
        ("Abs(z)**3", [(0, 3, 12)]),
        ("Max(0, z)*sin(z)", [(0, 2, 2)]),
        ("z/(1 + Abs(z))", [(0, 2, -4)]),
        ("Abs(z**2 - 2)", [(-sp.sqrt(2), 1, 4 * sp.sqrt(2)), (sp.sqrt(2), 1, 4 * sp.sqrt(2))]),
    ],
)
def test_kinks_have_order_and_jump(formula: str, expected: list[tuple[sp.Expr, int, sp.Expr]]) -> None:
    found = kinks(Activation(formula))
    assert [(kink.point, kink.order) for kink in found] == [(p, n) for p, n, _ in expected]
    assert all(sp.simplify(kink.jump - jump) == 0 for kink, (_, _, jump) in zip(found, expected, strict=True))


def test_what_is_open_is_said_to_be_open() -> None:
    facts = Activation("sqrt(abs(z))").facts()
    assert "one-sided" in facts["kinks"].reason and not facts["kinks"].decided
    assert facts["homogeneity"].value.degree == R(1, 2)
    facts = Activation("1/(2 + erf(z))").facts()
    assert "no exact solution" in facts["strip of analyticity"].reason
    assert {fact.name for fact in facts.undecided} >= {"strip of analyticity", "decay of c_k"}


# ---- exponents ----


def test_generative_exponent_below_the_information_exponent() -> None:
    for name, information, generative in (("he3", 3, 1), ("he4", 4, 2), ("cos(z) + exp(-1/2)*he2(z)/2", 4, 2)):
        act = Activation(name)
        assert (act.information_exponent, act.generative_exponent) == (information, generative)


def test_generative_exponent_four() -> None:
    found = generative_exponent(Activation("z**2*exp(-z**2)"))
    assert found.value == 4 and found.standing == "proved"
    assert "k=2: He_2(z) exp(-z^2/2) is a multiple of sigma^(-1/2) sigma'" in found.reason


def test_generative_exponent_is_not_guessed() -> None:
    """A monotone function of z^2 exp(-z^2) has the same level sets, but the proof is not found."""
    with pytest.raises(AccuracyError, match="undecided at order 2"):
        _ = Activation("sinh(z**2*exp(-z**2))").generative_exponent


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "silu", "gelu", "he3", "z**2 + tanh(z)", "exp"])
def test_the_rule_of_zeros_against_quadrature(name: str) -> None:
    """The trapezoidal rule in double precision: exponentially accurate for analytic functions."""
    act = Activation(name)
    rule = vanishing(act)
    assert rule is not None
    sigma = sp.lambdify(z, act.expression, ["scipy", "numpy"])
    x = np.arange(-640, 641) / 64
    weight = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) / 64
    for std in (1.0, 1.5):
        for n in range(7):
            he = np.polynomial.hermite_e.hermeval(x, [0] * n + [1])
            value = abs(np.sum(weight * he * sigma(std * x)))
            if n in rule:
                assert value < 1e-10, (name, n)
            elif not act.is_polynomial:
                assert value > 1e-6, (name, n)


# ---- strips ----

STRIPS = {
    "(z**2 + pi**2/4)*tanh(z)": (3 * pi / 2, "pole"),  # the first pole cancels
    "tanh(z + 1)": (pi / 2, "pole"),
    "tanh(z/7)**2*exp(z)": (7 * pi / 2, "pole"),
    "1/(3 + z**2)": (sp.sqrt(3), "pole"),
    "1/(1 + z**4)": (sp.sqrt(2) / 2, "pole"),
    "1/(2 + cos(z))": (sp.log(2 + sp.sqrt(3)), "pole"),
    "log(2 + sin(z))": (sp.log(2 + sp.sqrt(3)), "branch point"),
    "tanh(z**2)": (sp.sqrt(pi) / 2, "pole"),
    "asinh(z)": (1, "branch point"),
    "atan(z**2)": (sp.sqrt(2) / 2, "branch point"),
    "asinh(z**3)": (R(1, 2), "branch point"),
    "(1 + z**2)**(1/3)": (1, "branch point"),
    "log(1 + exp(z) + exp(2*z))": (2 * pi / 3, "branch point"),
    "atan(sinh(z))": (pi / 2, "branch point"),
    "exp(-sqrt(1 + z**2))": (1, "branch point"),
    "exp(1/(1 + z**2))": (1, "essential singularity"),
    "exp(tanh(z))": (pi / 2, "essential singularity"),
    "erf(z)/(1 + z**2)": (1, "pole"),
    "tanh(z) - tanh(2*z)": (pi / 4, "pole"),
    "2**z/(1 + 2**z)": (pi / sp.log(2), "pole"),
    "sqrt(1 + z**2) - sqrt(1 + z**2 + z**4)": (sp.sqrt(3) / 2, "branch point"),
    "1/(1 + z**2) - 1/(1 + z**2)**2 - z**2/(1 + z**2)**2 + tanh(z)": (pi / 2, "pole"),
    "exp(sin(z))": (oo, "entire"),
    "1/(1 + z**2 + exp(z))": (None, "undecided"),
    "1/(2 + erf(z))": (None, "undecided"),
    "1/(exp(z) + exp(-2*z) + 5)": (None, "undecided"),
}


@pytest.mark.parametrize("formula", STRIPS)
def test_strip(formula: str) -> None:
    found = strip(Activation(formula))
    width, kind = STRIPS[formula]
    assert found.kind == kind and found.reason
    if width is None:
        assert found.half_width is None and not found.decided and str(found) == "undecided"
    else:
        assert found.half_width == width or sp.simplify(found.half_width - width) == 0
        for point in found.singularities:
            assert sp.simplify(abs(sp.im(point)) - width) == 0


def test_roots_without_radicals_are_exact_too() -> None:
    found = strip(Activation("1/(z**6 + z + 5)"))
    assert found.half_width is not None and found.half_width.has(sp.CRootOf)
    roots = [complex(r) for r in sp.Poly(z**6 + z + 5, z).nroots(n=30)]
    assert abs(float(found.half_width) - min(abs(r.imag) for r in roots)) < 1e-12


# ---- decay ----


def test_decay_follows_mean_and_std() -> None:
    s, b = R(3, 2), R(2, 3)
    erf = decay(Activation("erf(2*z/3)"), R(1, 5), s)
    assert erf is not None and sp.simplify(erf.rate**2 - 2 * b**2 * s**2 / (1 + 2 * b**2 * s**2)) == 0
    assert decay(Activation("tanh"), 0, 2).rate == pi / 4  # type: ignore[union-attr]
    assert decay(Activation("sin"), 0, 2).rate == 2  # type: ignore[union-attr]
    shifted = decay(Activation("relu"), R(1, 2), 2)
    assert shifted is not None and shifted.rate == R(5, 4) and shifted.standing == "cited"
    assert shifted.envelope is not None and shifted.envelope.free_symbols == {k}
    assert decay(Activation("cos(z**3)")) is None
    with pytest.raises(AssumptionError, match="positive std"):
        decay(Activation("tanh"), 0, 0)


def test_decay_of_sums_is_that_of_the_worst_term() -> None:
    assert decay(Activation("erf(z) + exp(-4*z**2)")).rate == sp.sqrt(R(8, 9))  # type: ignore[union-attr]
    assert decay(Activation("sin(z) + cos(3*z)")).rate == 3  # type: ignore[union-attr]
    assert decay(Activation("relu(z) + sign(z)")).rate == R(3, 4)  # type: ignore[union-attr]
    assert decay(Activation("exp(z**2/8)")).rate == sp.sqrt(R(1, 3))  # type: ignore[union-attr]
    assert decay(Activation("tanh(z)**3")).leading.has(k ** R(3, 4))  # type: ignore[union-attr]
    assert decay(Activation("exp(-z**4)")).kind == "entire"  # type: ignore[union-attr]


# ---- the parts ----


def test_polynomial_parts() -> None:
    assert parity_split(Activation("cosh(z) + z + z**3")).odd == z + z**3
    assert parity_split(Activation("relu")).odd == z / 2
    assert parity_split(Activation("relu")).even is None  # |z|/2
    assert parity_split(Activation("sign")).odd is None
    assert parity_split(Activation("z**2*Heaviside(z)")).even == z**2 / 2
    assert "different polynomials" in parity_split(Activation("Max(-1, Min(1, z))")).odd_reason


def test_reasons_against_polynomials() -> None:
    assert "derivative of order 1" in why_not_polynomial(sp.tanh(z))
    assert "faster than every power" in why_not_polynomial(sp.cosh(z))
    assert "coefficient of exp" in why_not_polynomial(sp.sinh(z) * sp.sin(z))
    assert why_not_polynomial(z**2 + 1) == ""
    assert why_not_polynomial(sp.log(sp.exp(z**2) * 2)) == ""  # a polynomial in disguise


def test_extrema() -> None:
    found = extrema(z**4 - 2 * z**2)
    assert (found.inf, found.sup) == (-1, oo)
    found = extrema(z * sp.exp(-(z**2) / 2))
    assert (found.inf, found.sup) == (-sp.exp(R(-1, 2)), sp.exp(R(-1, 2)))
    found = extrema(sp.exp(z), -oo, sp.S.Zero)
    assert (found.inf, found.sup) == (0, 1)
    assert extrema(z / (1 + sp.exp(-z))).inf is None  # at a root of 1 + z + exp(z)... no exact form


def test_taylor_coefficients_against_derivatives() -> None:
    for formula in (
        sp.tanh(z + R(1, 3)),
        sp.log(1 + sp.exp(z)),
        sp.erf(z) * sp.exp(-(z**2)),
        sp.asinh(z + 1),
        sp.atan(z) / (2 + sp.cos(z)),
        sp.sqrt(2 + sp.sin(z)) ** 3,
        sp.tan(z / 2) + sp.erfc(z) + sp.erfi(z) + sp.asin(z) + sp.acos(z / 2) + sp.atanh(z) + sp.cosh(z) + sp.sech(z),
        sp.S(2) ** z,
    ):
        with mp.workdps(60):
            exact = mp.taylor(sp.lambdify(z, formula, "mpmath"), 0, 5)
            for n, coefficient in enumerate(taylor(formula, 5)):
                assert abs(mp.mpmathify(coefficient.evalf(50)) - exact[n]) < mp.mpf(10) ** -30, (formula, n)
    assert taylor(z, 0, R(1, 2)) == (R(1, 2),)
    with pytest.raises(AccuracyError, match="vanishes"):
        taylor(sp.sqrt(z), 2)
    with pytest.raises(AccuracyError, match="besselj"):
        taylor(sp.besselj(0, z), 2)


def test_zero_is_decided_or_left_open() -> None:
    assert real_zero(sp.sin(1) ** 2 + sp.cos(1) ** 2 - 1) is True
    assert real_zero(sp.pi - R(22, 7)) is False
    assert real_zero(z - z**2, {z: R(1)}) is True
    assert complex_zero(sp.erf(sp.I) - sp.I * sp.erfi(1)) is True
    assert complex_zero(sp.erf(1 + sp.I)) is None
    assert InOrder(sp.S.One) < InOrder(sp.oo)
    tiny = sp.sin(sp.pi * sp.exp(sp.pi * sp.sqrt(163)))  # no proof of anything here
    assert not InOrder(sp.sqrt(2) + sp.sqrt(3)) < InOrder(sp.sqrt(5 + 2 * sp.sqrt(6)))
    assert real_zero(tiny) in (False, None)
    with pytest.raises(Incomparable):
        _ = InOrder(sp.gamma(z)) < InOrder(sp.zeta(z + 2))
