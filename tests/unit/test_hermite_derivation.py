"""Proofs of closed forms of Hermite coefficients: what they state, and that wrong steps are refused."""

import pytest
import sympy as sp

from hermiton.theory.activation import Activation
from hermiton.theory.derivation import Derivation
from hermiton.theory.errors import AssumptionError, DerivationError
from hermiton.theory.gaussian import hermite_derivation
from hermiton.theory.gaussian.expectation import GaussianExpectation
from hermiton.theory.gaussian.hermite import exact_coefficient
from hermiton.theory.gaussian.hermite_checks import AtPoints, Identity, OnPieces, SameDensity
from hermiton.theory.gaussian.hermite_derivation import derive_hermite
from hermiton.theory.notation import z

R = sp.Rational
m = sp.Symbol("m", real=True)
s = sp.Symbol("s", positive=True)


@pytest.fixture(scope="module")
def relu() -> Derivation:
    return derive_hermite(Activation("relu"), 4)


@pytest.fixture(scope="module")
def erf() -> Derivation:
    return derive_hermite(Activation("erf"), 3)


def test_relu_is_proved(relu: Derivation) -> None:
    """The formulas as they are worked out by hand: h_0 = m Phi(m/s) + s phi(m/s), h_1 = s Phi, h_k = s phi^(k-2)."""
    t = m / s
    phi = sp.exp(-(t**2) / 2) / sp.sqrt(2 * sp.pi)
    cumulative = (1 + sp.erf(t / sp.sqrt(2))) / 2
    by_hand = [m * cumulative + s * phi, s * cumulative, s * phi, -m * phi, (m**2 / s - s) * phi]
    for k, expected in enumerate(by_hand):
        difference = relu.statement(f"h{k}").rhs - expected
        assert sp.simplify(difference.rewrite(sp.erf)) == 0
    assert relu.standing == "derived"
    reasons = [step.reason for step in relu.steps]
    assert "probability of a half-line" in reasons
    assert any("boundary term at the kink" in reason for reason in reasons)
    assert reasons.count("Stein's recursion: h_(k+1) = s dh_k/dm") == 4


def test_erf_is_proved(erf: Derivation) -> None:
    v = 1 + s**2  # the activation is erf(z/sqrt(2)), so that the variances add up to this
    h1 = s * sp.sqrt(2 / (sp.pi * v)) * sp.exp(-(m**2) / (2 * v))
    by_hand = [sp.erf(m / sp.sqrt(2 * v)), h1, -s * m / v * h1, (m**2 / v - 1) * s**2 / v * h1]
    for k, expected in enumerate(by_hand):
        assert sp.simplify(erf.statement(f"h{k}").rhs - expected) == 0
    assert erf.standing == "derived"


@pytest.mark.parametrize("name", ["relu", "erf"])
def test_every_statement_starts_at_the_definition(name: str, request: pytest.FixtureRequest) -> None:
    proof: Derivation = request.getfixturevalue(name)
    he = [sp.S.One, (z - m) / s, ((z - m) / s) ** 2 - 1]
    for k, polynomial in enumerate(he):
        lhs = proof.statement(f"h{k}").lhs
        assert isinstance(lhs, GaussianExpectation)
        assert sp.expand(lhs.integrand - Activation(name).expression * polynomial) == 0
        assert lhs.mean[0] == m
        assert lhs.covariance[0, 0] == s**2


def test_the_checks_run_again(erf: Derivation) -> None:
    results = erf.check()
    assert len(results) == len(erf.steps)
    assert all(result.standing == "derived" for result in results)


def test_it_prints_in_a_notebook(relu: Derivation) -> None:
    html = relu._repr_html_()
    assert "probability of a half-line" in html
    assert html.count("<table>") == len(relu.statements)
    latex = relu.latex()
    assert sp.latex(relu.statement("h1").rhs) in latex
    assert "checked: ball" in latex
    assert relu._repr_latex_().startswith("$$")


@pytest.mark.parametrize(
    "formula",
    [
        "leaky_relu",
        "abs",
        "Max(-1, Min(1, z))",
        "gelu",
        "z**3 - z",
        "z*exp(-z**2/2 + z)",
        "z*sin(2*z + 1)",
        "erf(z)*exp(-z**2)",
        "relu(z)*exp(z/2)",
        "exp(z**2/8)",
    ],
)
def test_other_activations_are_proved(formula: str) -> None:
    proof = derive_hermite(Activation(formula), 2)
    assert proof.standing == "derived"
    for k in range(3):
        assert proof.statement(f"h{k}").rhs == exact_coefficient(Activation(formula), k, m, s)


def test_numbers_and_symbols_of_ones_own() -> None:
    proof = derive_hermite(Activation("relu"), 2, 0, 1)
    values = [proof.statement(f"h{k} at the point").rhs for k in range(3)]
    expected = [1 / sp.sqrt(2 * sp.pi), R(1, 2), 1 / sp.sqrt(2 * sp.pi)]
    assert [sp.simplify(a - b) for a, b in zip(values, expected, strict=True)] == [0, 0, 0]
    mu, q = sp.Symbol("mu", real=True), sp.Symbol("q", positive=True)
    renamed = derive_hermite(Activation("erf"), 0, mu, q)
    assert renamed.statement("h0").rhs == sp.erf(sp.sqrt(2) * mu / (2 * sp.sqrt(1 + q**2)))
    assert all("point" not in statement.key for statement in renamed.statements)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("erf", -1), "order=-1 is not a count"),
        (("erf", True), "order=True is not a count"),
        (("erf", 1.0), "order=1.0 is not a count"),
        (("erf", 1, 0.5), "mean=0.5 is not an exact"),
        (("erf", 1, 0, 0), "std=0 is not positive"),
        (("erf", 1, 0, -1), "std=-1 is not positive"),
        (("erf", 1, z), "mean=z is not an exact"),
        (("tanh", 1), "no closed form of h_0: ask hermite_coefficients"),
        (("softplus", 1), "no closed form of h_0: ask hermite_coefficients"),
    ],
)
def test_refusals(arguments: tuple[object, ...], found: str) -> None:
    name, *rest = arguments
    with pytest.raises(AssumptionError, match=found):
        derive_hermite(Activation(name), *rest)  # type: ignore[arg-type]


# -- wrong steps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "erf"])
@pytest.mark.parametrize("wrong", [-1, 1 + R(1, 10**6)])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_wrong_coefficient_is_refused(name: str, wrong: sp.Expr, order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong sign, and a factor off by a millionth, in one coefficient."""

    def mutant(activation: Activation, k: int, mean: sp.Expr, std: sp.Expr) -> sp.Expr | None:
        value = exact_coefficient(activation, k, mean, std)
        return value * wrong if k == order and value is not None else value

    monkeypatch.setattr(hermite_derivation, "exact_coefficient", mutant)
    with pytest.raises(DerivationError, match="not equal"):
        derive_hermite(Activation(name), 2)


def test_a_wrong_moment_of_a_part_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = hermite_derivation._Builder.closed
    monkeypatch.setattr(hermite_derivation._Builder, "closed", lambda self, c, power: right(self, c, power) + m / 10**9)
    with pytest.raises(DerivationError, match="probability of a half-line: not equal"):
        derive_hermite(Activation("relu"), 0)


def test_a_wrong_tilting_weight_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = hermite_derivation.tilting_weight
    for wrong in (lambda *a: 2 * right(*a), lambda *a: right(*a) * sp.exp(a[2] / 1000)):
        monkeypatch.setattr(hermite_derivation, "tilting_weight", wrong)
        with pytest.raises(DerivationError, match="tilting: the exponential is absorbed into the law: not equal"):
            derive_hermite(Activation("exp(-z**2)"), 0)


def test_the_checkers_tell_apart() -> None:
    law = GaussianExpectation(z**2, (z,), sp.Matrix([[s**2]]), [m])
    AtPoints((m, s))(law, m**2 + s**2)
    with pytest.raises(DerivationError, match="not equal at"):
        AtPoints((m, s))(law, m**2 + s**2 + R(1, 10**28))
    with pytest.raises(DerivationError, match="not equal at"):
        Identity((m, s))(sp.Derivative(m**3, m), 2 * m**2)
    assert Identity((m, s))(sp.Derivative(m**3, m), 3 * m**2).kind == "symbolic"
    OnPieces((sp.S.Zero,))(sp.Abs(z), z * sp.sign(z))
    with pytest.raises(DerivationError, match="not equal at z"):
        OnPieces((sp.S.Zero,))(sp.Abs(z), z)
    with pytest.raises(DerivationError, match="tilting starts from an expectation"):
        SameDensity(z, (m, s**2), (m + s**2, s**2), sp.exp(m + s**2 / 2))(m, s)
