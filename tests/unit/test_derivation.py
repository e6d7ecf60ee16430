"""Derivations hold, and refute what is wrong: one planted error in any step is caught at that step."""

import copy
import functools
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sympy as sp

from hermiton.theory.derivation import STANDINGS, CheckResult, Cited, Defined, Derivation, Statement, Step
from hermiton.theory.derive import derive
from hermiton.theory.errors import AssumptionError, DerivationError
from hermiton.theory.fields import FIELD, Activated, Expectation
from hermiton.theory.gaussian.expectation import GaussianExpectation
from hermiton.theory.notation import NOTATION, z
from hermiton.theory.online_sgd import OnlineSGD
from hermiton.theory.systems import BlockDefinition, IndexSum, MomentFunction, OdeSystem, covariance_symbol

CUBIC = sp.Rational(3, 10) * (z**2 - 1) + sp.Rational(1, 10) * (z**3 - 3 * z)
ACTIVATIONS = {"erf": "erf", "cubic": CUBIC, "tanh": "tanh", "relu": "relu"}
GENERAL = (
    "increment_Q",
    "increment_R",
    "length",
    "stein",
    "fluctuation",
    "rate_Q",
    "rate_R",
    "rate_v",
    "concentration",
    "error",
)
MOMENTS = ("moment_I2", "moment_J2", "moment_H2", "moment_I4")


@functools.cache
def derivation(name: str) -> Derivation:
    activation = ACTIVATIONS[name]
    return derive(OnlineSGD(student=activation, teacher=activation, second_layer_rate=0.5))


# -- what holds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_has_every_statement_in_order(name: str) -> None:
    assert [s.key for s in derivation(name).statements] == [*GENERAL, *MOMENTS]


@pytest.mark.parametrize("name", ["erf", "cubic"])
def test_every_step_passes_again(name: str) -> None:
    # The general statements are the same objects in every derivation: erf runs them, the others only their moments.
    keys = (*GENERAL, *MOMENTS) if name == "erf" else MOMENTS
    for step in (step for key in keys for step in derivation(name).statement(key).steps):
        assert step.check() == step.result
        assert step.result.standing == ("cited" if step.result.kind == "cited" else "derived")
        assert step.result.detail


def test_general_statements_are_shared() -> None:
    for key in GENERAL:
        assert derivation("tanh").statement(key) is derivation("erf").statement(key)


@pytest.mark.parametrize("name", ["erf", "cubic"])
def test_closed_forms_start_at_the_moment_they_name(name: str) -> None:
    system = derivation(name).systems[0]
    for moment in system.moments:
        statement = derivation(name).statement(f"moment_{moment.name}")
        assert statement.rhs == moment.closed_form
        assert statement.lhs.has(GaussianExpectation)
        assert not statement.rhs.has(GaussianExpectation)


@pytest.mark.parametrize(("name", "way"), [("tanh", "quadrature"), ("relu", "orthant probabilities")])
def test_moments_without_closed_form_say_how_they_are_found(name: str, way: str) -> None:
    for key in MOMENTS:
        statement = derivation(name).statement(key)
        assert statement.checks == ("definition",)
        assert way in statement.title
    assert not derivation(name).systems[0].closed


def test_system_is_what_the_statements_say() -> None:
    """The kernel is compiled from the system: it holds the very right-hand sides that were checked."""
    for name in ACTIVATIONS:
        system = derivation(name).systems[0]
        for equation in system.equations:
            assert equation.value == derivation(name).statement(f"rate_{equation.target.name}").rhs
        (error,) = system.observables
        assert error.value == derivation(name).statement("error").rhs
        values = {d.target.name: d.value for d in system.definitions if not isinstance(d, BlockDefinition)}
        assert values["G"] == derivation(name).statement("fluctuation").rhs


def test_fixed_second_layer_has_no_equation_for_it() -> None:
    fixed = derive(OnlineSGD(student="tanh", teacher="tanh"))
    assert [a.name for a in fixed.systems[0].states] == ["Q", "R"]
    assert "rate_v" not in [s.key for s in fixed.statements]


@pytest.mark.parametrize("student", ["he2", z, z + 1, sp.Rational(1, 2) * z**2])
def test_polynomials_whose_derivatives_are_constant(student: str | sp.Expr) -> None:
    """E[g'_k g_a] of a constant slope is an expectation of fewer fields, or none."""
    statements = derive(OnlineSGD(student=student, teacher=student, second_layer_rate=0.5))
    assert all(s.standing == "derived" for s in statements.statements if s.key != "concentration")
    assert statements.systems[0].closed


def test_an_equation_that_no_statement_ends_in_is_only_stated() -> None:
    proved = derivation("erf")
    (system,) = proved.systems
    first = replace(system.equations[0], value=-system.equations[0].value)
    changed = replace(system, equations=(first, *system.equations[1:]))
    assert proved.standing == "cited"
    assert replace(proved, systems=(changed,)).standing == "stated"


# -- what is refuted --------------------------------------------------------------------------------------------------


def _largest_sum(value: sp.Expr) -> sp.Add | None:
    sums = [node for node in sp.preorder_traversal(value) if isinstance(node, sp.Add) and _holds_terms(node)]
    return max(sums, key=lambda node: (len(node.args), sp.default_sort_key(node)), default=None)


def _holds_terms(node: sp.Add) -> bool:
    return not all(arg.is_Symbol or arg.is_number for arg in node.args)


def mutants(value: sp.Expr) -> Iterator[tuple[str, sp.Expr]]:
    """One wrong sign, a dropped term, a factor 2, a swapped index: each alone."""
    yield "sign of everything", -value
    yield "factor 2", 2 * value
    total = _largest_sum(value)
    if total is not None:
        first, *_, last = sorted(total.args, key=sp.default_sort_key)
        yield f"sign of {first}", value.xreplace({total: total - 2 * first})
        yield f"dropped {last}", value.xreplace({total: total - last})
    for item in sorted(value.atoms(sp.Indexed), key=sp.default_sort_key)[:1]:
        for other in sorted(value.atoms(sp.Symbol), key=sp.default_sort_key):
            if other.is_integer and other.name in "klabn" and other not in item.indices:
                yield f"index of {item}", value.xreplace({item: item.base[(other, *item.indices[1:])]})
                break
    c11, c12 = covariance_symbol(0, 0), covariance_symbol(0, 1)
    if value.has(c11) and not value.has(GaussianExpectation):  # whose covariance would be none
        yield "c11 for c12", value.xreplace({c11: c12})


# A citation can't be checked, and says so.
@pytest.mark.parametrize("key", [key for key in GENERAL if key != "concentration"])
def test_one_wrong_sign_in_a_general_step_is_caught(key: str) -> None:
    for step in derivation("erf").statement(key).steps:
        count = 0
        for what, wrong in mutants(step.rhs):
            with pytest.raises(DerivationError, match="not equal"):
                replace(step, rhs=wrong)
                pytest.fail(f"{key}, {step.reason}: {what} passed")
            count += 1
        assert count >= 2


@pytest.mark.parametrize("name", ["erf", "cubic"])
@pytest.mark.parametrize("key", MOMENTS)
def test_one_wrong_sign_in_a_closed_form_is_caught(name: str, key: str) -> None:
    for step in derivation(name).statement(key).steps:
        count = 0
        for what, wrong in mutants(step.rhs):
            if sp.expand(wrong - step.rhs) == 0:
                continue
            with pytest.raises(DerivationError, match=r"not equal|not a real number"):
                replace(step, rhs=wrong)
                pytest.fail(f"{key}, {step.reason}: {what} passed")
            count += 1
        assert count >= 2


K, M = sp.symbols("K M", integer=True, positive=True)
k, l, a, b, n = sp.symbols("k l a b n", integer=True)
eta, sigma = sp.Symbol("eta", real=True), sp.Symbol("sigma", real=True)


def _named(name: str) -> sp.IndexedBase:
    return sp.IndexedBase(sp.Symbol(name, real=True))


@functools.cache
def _subtle() -> dict[str, tuple[str, sp.Expr]]:
    """Errors that an expert would make, by step: each differs from the truth in one place."""
    v, f, G, C, s = (_named(name) for name in "vfGCs")
    eta_v, Delta = sp.symbols("eta_v Delta", real=True)
    slope = Delta * Activated(1, k)
    general = derivation("tanh")
    moments = {m.name: m for m in general.systems[0].moments}
    I2, J2, H2, I4 = (moments[name] for name in ("I2", "J2", "H2", "I4"))
    everything = K + M
    return {
        "eta for eta^2": (
            "rate_Q",
            -eta * (v[k] * f[k, l] + v[l] * f[l, k]) + eta * v[k] * v[l] * G[k, l],
        ),
        "Q's drift not symmetrised": ("rate_Q", -2 * eta * v[k] * f[k, l] + eta**2 * v[k] * v[l] * G[k, l]),
        "noise-like half": ("rate_Q", -eta * (v[k] * f[k, l] + v[l] * f[l, k]) + eta**2 * v[k] * v[l] * G[k, l] / 2),
        "one v missing": ("rate_Q", -eta * (v[k] * f[k, l] + v[l] * f[l, k]) + eta**2 * v[k] * G[k, l]),
        "student for teacher field": ("rate_R", -eta * v[k] * f[k, n]),
        "first teacher only": ("rate_R", -eta * v[k] * f[k, K]),
        "v missing": ("rate_R", -eta * f[k, K + n]),
        "error signal without teachers": ("rate_v", -eta_v * IndexSum(s[a] * I2(a, k), a, K)),
        "no curvature term": ("stein", IndexSum(s[a] * J2(k, a) * C[a, b], a, everything)),
        "curvature of the wrong field": (
            "stein",
            IndexSum(s[a] * J2(k, a) * C[a, b], a, everything) + C[k, k] * IndexSum(s[a] * H2(k, a), a, everything),
        ),
        "noise dropped": ("fluctuation", IndexSum(IndexSum(s[a] * s[b] * I4(k, l, a, b), b, K + M), a, K + M)),
        "sigma for sigma^2": (
            "fluctuation",
            IndexSum(IndexSum(s[a] * s[b] * I4(k, l, a, b), b, K + M), a, K + M) + sigma * J2(k, l),
        ),
        "I4 slots exchanged": (
            "fluctuation",
            IndexSum(IndexSum(s[a] * s[b] * I4(k, a, l, b), b, K + M), a, K + M) + sigma**2 * J2(k, l),
        ),
        "no cross terms": ("error", IndexSum(s[a] ** 2 * I2(a, a), a, everything) / 2),
        "no half": ("error", IndexSum(IndexSum(s[a] * s[b] * I2(a, b), b, everything), a, everything)),
        "students alone": ("error", IndexSum(IndexSum(s[a] * s[b] * I2(a, b), b, K), a, K) / 2),
        "length is not 1": (
            "length",
            2 * Expectation(Delta**2 * Activated(1, k) * Activated(1, l)),
        ),
        "field of the other student": (
            "increment_R",
            -eta / sp.Symbol("N", integer=True, positive=True) * v[k] * slope * FIELD[K + k],
        ),
    }


@pytest.mark.parametrize(
    "what",
    [
        "eta for eta^2",
        "Q's drift not symmetrised",
        "noise-like half",
        "one v missing",
        "student for teacher field",
        "first teacher only",
        "v missing",
        "error signal without teachers",
        "no curvature term",
        "curvature of the wrong field",
        "noise dropped",
        "sigma for sigma^2",
        "I4 slots exchanged",
        "no cross terms",
        "no half",
        "students alone",
        "length is not 1",
        "field of the other student",
    ],
)
def test_subtle_errors_are_caught(what: str) -> None:
    key, wrong = _subtle()[what]
    (step,) = derivation("tanh").statement(key).steps
    assert wrong != step.rhs
    with pytest.raises(DerivationError, match="not equal"):
        replace(step, rhs=wrong)


def test_subtle_errors_are_all_tried() -> None:
    (mark,) = test_subtle_errors_are_caught.pytestmark
    assert set(mark.args[1]) == set(_subtle())


def _corrupted(step: Step) -> Step:
    """A step whose right-hand side was changed behind its back, as by a slip in a file."""
    wrong = copy.copy(step)
    object.__setattr__(wrong, "rhs", -step.rhs)
    return wrong


@pytest.mark.parametrize("key", ["increment_R", "length"])
def test_checking_a_derivation_stops_at_the_planted_error(key: str) -> None:
    whole = derivation("tanh")
    (step,) = whole.statement(key).steps
    statements = tuple(replace(s, steps=(_corrupted(step),)) if s.key == key else s for s in whole.statements)
    with pytest.raises(DerivationError) as caught:
        replace(whole, statements=statements).check()
    assert f"lhs = {step.lhs}" in str(caught.value)
    assert f"rhs = {-step.rhs}" in str(caught.value)
    assert "lhs - rhs = " in str(caught.value)


# -- the rules of the game --------------------------------------------------------------------------------------------

x, y = sp.symbols("x y")
_DEFINED = Defined("for the test")
_CITED = Cited("A. Author, A theorem (2000)", "its hypotheses")


def test_a_broken_chain_is_refused() -> None:
    first, second = Step(x, y, "one", _DEFINED), Step(y, 2 * x, "two", _DEFINED)
    assert Statement("s", "title", (first, second)).rhs == 2 * x
    with pytest.raises(DerivationError, match=r"step 'two' starts at y, but the step before it ended at -y"):
        Statement("s", "title", (replace(first, rhs=-y), second))
    chain = derivation("erf").statement("moment_I4")
    with pytest.raises(DerivationError, match="ended at"):
        replace(chain, steps=(chain.steps[0], *chain.steps[2:]))


def test_a_statement_without_steps_is_refused() -> None:
    with pytest.raises(DerivationError, match="has no steps"):
        Statement("s", "title", ())


@pytest.mark.parametrize(("source", "hypotheses"), [("", "some"), ("some", ""), ("", "")])
def test_a_citation_names_source_and_hypotheses(source: str, hypotheses: str) -> None:
    with pytest.raises(DerivationError, match="names its source and its hypotheses"):
        Step(x, y, "by a theorem", Cited(source, hypotheses))


def test_a_definition_defines_something() -> None:
    with pytest.raises(DerivationError, match="defines nothing"):
        Step(x, x, "definition", _DEFINED)


def test_standing_is_the_weakest() -> None:
    defined, cited = Step(x, y, "definition", _DEFINED), Step(y, x, "theorem", _CITED)
    strong, weak = Statement("strong", "t", (defined,)), Statement("weak", "t", (defined, cited))
    assert (strong.standing, weak.standing) == ("derived", "cited")
    assert weak.checks == ("definition", "cited")
    assert Derivation("t", None, (strong,), ()).standing == "derived"
    assert Derivation("t", None, (weak, strong), ()).standing == "cited"
    assert "A. Author" in cited.result.detail and "its hypotheses" in cited.result.detail


@pytest.mark.parametrize("worse", range(1, len(STANDINGS)))
def test_standings_are_ordered(worse: int) -> None:
    def said(standing: str) -> Step:
        return Step(x, x + 1, standing, lambda lhs, rhs: CheckResult("by hand", standing, ""))

    both = (Statement("a", "t", (said(STANDINGS[worse]),)), Statement("b", "t", (said(STANDINGS[worse - 1]),)))
    assert Derivation("t", None, both, ()).standing == STANDINGS[worse]


def test_keys_are_unique_and_known() -> None:
    one = Statement("one", "t", (Step(x, y, "definition", _DEFINED),))
    with pytest.raises(DerivationError, match="keys repeat"):
        Derivation("t", None, (one, one), ())
    with pytest.raises(DerivationError, match="no statement 'two': there are \\['one'\\]"):
        Derivation("t", None, (one,), ()).statement("two")
    with pytest.raises(DerivationError, match=r"hermiton\.derive"):
        Derivation("t", None, (one,), ()).source()


def test_what_is_no_setting_is_refused() -> None:
    with pytest.raises(AssumptionError, match="setting='erf' is not a setting"):
        derive("erf")
    with pytest.raises(AssumptionError, match="has kinks at z = 0"):
        derive(OnlineSGD(student="relu", teacher="erf"))


# -- what it is written in --------------------------------------------------------------------------------------------


def _values(system: OdeSystem) -> Iterator[sp.Expr]:
    for item in (*system.definitions, *system.equations, *system.observables):
        yield from (value for _, value in item.blocks) if isinstance(item, BlockDefinition) else (item.value,)
    yield from (m.closed_form for m in system.moments if m.closed_form is not None)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nothing_is_rounded(name: str) -> None:
    for step in derivation(name).steps:
        assert not (step.lhs.atoms(sp.Float) | step.rhs.atoms(sp.Float))
    for value in _values(derivation(name).systems[0]):
        assert not value.atoms(sp.Float)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_symbol_is_in_the_notation(name: str) -> None:
    system = derivation(name).systems[0]
    arrays = (*system.states, *system.parameters, *(d.target for d in (*system.definitions, *system.observables)))
    for array in arrays:
        entry = NOTATION[array.name]
        assert len(entry.shape) == len(array.axes)
        assert entry.latex == (array.latex or array.name)
    for moment in system.moments:
        assert moment.name in NOTATION
    for value in _values(system):
        for call in value.atoms(MomentFunction):
            assert str(call.args[0]) in NOTATION


def _balanced(text: str) -> bool:
    text = text.replace(r"\{", "").replace(r"\}", "")
    return text.count("{") == text.count("}") and text.count(r"\left") == text.count(r"\right")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_latex_of_statements(name: str) -> None:
    whole = derivation(name)
    for latex in (s.latex() for s in (*whole.statements, *whole.steps)):
        assert latex.strip()
        assert "$" not in latex
        assert _balanced(latex)
    for rows in whole.systems[0].latex_equations():
        assert all(side and "$" not in side and _balanced(side) for side in rows)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_latex_of_the_whole(name: str) -> None:
    text = derivation(name).latex()
    assert "$" not in text
    assert _balanced(text)
    outside = re.sub(r"\\\[.*?\\\]|\\\(.*?\\\)", "", text, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)[_^#%&<>]", outside), "special characters of LaTeX in words"
    for statement in derivation(name).statements:
        assert statement.title in text and statement.standing in text


def test_html_says_how_each_step_was_checked() -> None:
    html = derivation("erf")._repr_html_()
    for step in derivation("erf").steps:
        assert f"<i>{step.result.kind}</i>" in html
    assert html.count("<tr>") == len(derivation("erf").steps) == html.count("</tr>")
