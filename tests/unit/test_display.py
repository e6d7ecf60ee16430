"""What objects show of themselves in a notebook."""

import numpy as np
import pytest
import sympy as sp

import hermiton as hm
from hermiton.numerics.picture import Picture
from hermiton.theory.derivation import Defined, Statement, Step
from hermiton.theory.online_sgd import Increment
from hermiton.theory.systems import IndexSum
from hermiton.verification.decide import Comparison, aggregate, decide_all
from hermiton.verification.plotting import draw
from hermiton.verification.report import Curve, Report

a, b, K = sp.symbols("a b K")
s, c = sp.IndexedBase("s"), sp.IndexedBase("c")


def test_a_power_of_a_sum_is_in_brackets() -> None:
    total = IndexSum(s[a], a, K)
    assert sp.latex(total) == r"\sum_{a} {s}_{a}"
    assert sp.latex(total**2) == r"\left(\sum_{a} {s}_{a}\right)^{2}"
    assert str(2 * total) == "2*sum[a](s[a])"


def test_a_negative_summand_is_in_brackets() -> None:
    assert sp.latex(IndexSum(-s[a], a, K)) == r"\sum_{a} \left(- {s}_{a}\right)"


def test_an_increment_prints_as_a_difference() -> None:
    change = Increment(sp.Symbol("Q"), a, b)
    assert sp.latex(change) == "Q_{ab}' - Q_{ab}"
    assert sp.latex(2 * change) == r"2 \left(Q_{ab}' - Q_{ab}\right)"


def test_a_named_chain_shows_the_name_and_what_it_names() -> None:
    x = sp.Symbol("x")
    named = Step(x + 1, sp.asin(x), "test", Defined("test"), symbol="y")
    assert named.latex() == r"y = x + 1 = \arcsin{\left(x \right)}"
    bare = Step(sp.asin(x), x**2, "test", Defined("test"))
    assert Statement("key", "Title", (named, bare)).latex().splitlines()[1:-1] == [
        r"y &= x + 1 \\",
        r"&= \arcsin{\left(x \right)} \\",
        r"&= x^{2}",
    ]
    assert Statement("key", "Title", (bare,)).latex().splitlines()[1] == r"\arcsin{\left(x \right)} &= x^{2}"


def test_a_picture_shows_itself() -> None:
    figure = Picture(figsize=(1, 1))
    assert figure._repr_png_().startswith(b"\x89PNG")
    times = np.linspace(0, 1, 3)
    assert isinstance(draw([Curve("generalization_error", times, times)]), Picture)


def test_a_solution_draws_each_entry_once() -> None:
    setting = hm.OnlineSGD(student="he2", teacher="he2", learning_rate=0.1)
    start = hm.Overlaps(Q=np.eye(2) / 4, R=np.eye(2) / 10, T=np.eye(2), v=np.ones(2), A=np.ones(2))
    figure = hm.solve(setting, start, [0.0, 0.1, 0.2], rtol=1e-4).plot()
    assert isinstance(figure, Picture)
    assert [len(axes.lines) for axes in figure.axes] == [1, 3, 4]
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == [
        "$Q_{1,1}$",
        "$Q_{1,2}$",
        "$Q_{2,2}$",
    ]


@pytest.mark.parametrize(("mean", "verdict"), [(1.0, "consistent"), (2.0, "refuted")])
def test_a_table_of_verdicts_as_html(mean: float, verdict: str) -> None:
    sample = np.random.default_rng(0).normal(mean, 0.01, size=64)
    claims = aggregate(decide_all([Comparison("a < b", 1.0, sample, 0.1)], family_false_alarm_rate=1e-3))
    table = Report("title", "setting", claims, {"seed": "0"}).table()
    html = table._repr_html_()
    assert f"<b>{verdict}</b>" in html
    assert "a &lt; b" in html
    assert html.count("<tr>") == html.count("</tr>") == 2
    assert verdict in str(table)
