"""The report: exit codes, table, plot, page, JSON, and files that are written whole or not at all."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from hermiton.numerics.provenance import provenance
from hermiton.theory.errors import AssumptionError, VerificationError
from hermiton.verification.decide import Comparison, aggregate, decide_all
from hermiton.verification.ledger import Ledger
from hermiton.verification.plotting import MOST_POINTS, set_equation
from hermiton.verification.report import Curve, DerivationRow, Report

TIMES = np.array([0.0, 1.0, 2.0])
CODES = {"consistent": 0, "refuted": 1, "undecided": 2}


def claims(*outcomes: str) -> list[Any]:
    """Claims of three components each, with the outcomes asked for, from real decisions."""
    half = np.linspace(0.1, 1.0, 50)
    sample = np.concatenate([half, -half])[:, None] + np.zeros(3)
    wanted = {"consistent": (0.0, 1.0), "refuted": (5.0, 1.0), "undecided": (0.0, 0.01)}
    comparisons = [
        Comparison(
            f"claim {number}", theory=np.full(3, wanted[outcome][0]), sample=sample, margin=wanted[outcome][1],
            coordinates={"time": TIMES}, seed=4,
        )
        for number, outcome in enumerate(outcomes)
    ]  # fmt: skip
    return aggregate(decide_all(comparisons, family_false_alarm_rate=1e-3))


def curves() -> list[Curve]:
    time = np.linspace(0, 2, 41)
    error = Curve(
        "generalization_error", time, np.exp(-time), sample_time=TIMES, sample_mean=np.exp(-TIMES) * 1.01,
        sample_standard_error=np.full(3, 0.02), samples=100, unit="error",
    )  # fmt: skip
    entries = [Curve(f"Q[{i},1]", time, time * i, f"Q_{{{i}1}}", theory_error=np.full(41, 0.1)) for i in range(2)]
    return [error, *entries]


def report(*outcomes: str, **given: Any) -> Report:
    arguments: dict[str, Any] = {
        "title": "Online SGD",
        "setting": "erf student",
        "verdicts": claims(*(outcomes or ("consistent",))),
        "provenance": provenance(seed=4),
        "curves": curves(),
        **given,
    }
    return Report(**arguments)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (("consistent",), "consistent"),
        (("consistent", "consistent"), "consistent"),
        (("consistent", "undecided"), "undecided"),
        (("undecided", "refuted", "consistent"), "refuted"),
        (("refuted",), "refuted"),
    ],
)
def test_the_worst_claim_decides_the_exit_code(outcomes: tuple[str, ...], expected: str) -> None:
    made = report(*outcomes)
    assert [claim.verdict for claim in made.verdicts] == list(outcomes)
    assert made.verdict == expected
    assert made.exit_code == CODES[expected]
    assert expected in repr(made)


def test_a_report_on_nothing_or_from_nowhere_can_not_be_made() -> None:
    with pytest.raises(VerificationError, match="no verdict"):
        report(verdicts=[])
    with pytest.raises(VerificationError, match="no provenance"):
        report(provenance={})


def test_the_table_names_every_claim_with_its_numbers() -> None:
    ledger = Ledger()
    ledger.add("theorem", "cited")
    ledger.add("equations", "derived", rests_on=["theorem"])
    made = report("consistent", "refuted", ledger=ledger, tests={"claim 1": "equations"})
    text = str(made.table())
    for word in ("claim 0", "claim 1", "consistent", "refuted", "0.000 \u00b1 0.061", "100", "cited", "at most 0.001"):
        assert word in text
    assert made.table().rich.row_count == 2
    assert made.standing("claim 1") == "cited"
    assert made.standing("claim 0") == ""
    with pytest.raises(AssumptionError, match=r"^tests='claim 1'"):
        report("consistent", tests={"claim 1": "equations"})
    with pytest.raises(AssumptionError, match="not in the ledger"):
        report("consistent", ledger=ledger, tests={"claim 1": "nothing"})


def test_the_plot_shows_theory_sample_and_bars() -> None:
    figure = report().plot()
    error, overlaps = figure.axes
    assert (error.get_yscale(), overlaps.get_yscale()) == ("log", "linear")
    assert error.get_title(loc="left") == "Generalization error"
    assert len(overlaps.get_lines()) == 2
    line = error.get_lines()[0]
    np.testing.assert_array_equal(line.get_ydata(), np.exp(-np.linspace(0, 2, 41)))
    (bars,) = error.containers
    np.testing.assert_array_equal(bars.lines[0].get_ydata(), np.exp(-TIMES) * 1.01)
    segments = bars.lines[2][0].get_segments()
    half = student.isf(0.025, 99) * 0.02
    for segment, mean in zip(segments, np.exp(-TIMES) * 1.01, strict=True):
        np.testing.assert_allclose(segment[:, 1], [mean - half, mean + half])
    assert "mean of 100 simulated replicas" in figure.get_supxlabel()
    assert "95 %" in figure.get_supxlabel()


def test_curves_of_many_points_are_thinned_and_say_so() -> None:
    time = np.linspace(0, 1, 100)
    many = Curve("v[0]", time, time, sample_mean=time, sample_standard_error=time * 0 + 0.1, samples=20)
    figure = report(curves=[many]).plot()
    (bars,) = figure.axes[0].containers
    assert 10 < len(bars.lines[0].get_ydata()) <= MOST_POINTS
    assert "Not every compared time is drawn" in figure.get_supxlabel()


def test_an_error_curve_that_touches_zero_is_drawn_linearly() -> None:
    figure = report(curves=[Curve("generalization_error", TIMES, TIMES)]).plot()
    assert figure.axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_any_number_of_panels_is_laid_out_without_overlap(count: int) -> None:
    figure = report(curves=[Curve(f"o{k}", TIMES, TIMES) for k in range(count)]).plot()
    figure.draw_without_rendering()
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == count
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:i])


@pytest.mark.parametrize(("count", "named"), [(9, True), (10, False)])
def test_many_curves_keep_their_room(count: int, named: bool) -> None:
    """Names of many entries would be wider than their panel: the panels beside it stay as wide as it."""
    many = [Curve(f"imbalance[{k},0]", TIMES, TIMES, rf"\mathrm{{imbalance}}_{{{k}1}}") for k in range(count)]
    figure = report(curves=[*many, Curve("v", TIMES, TIMES)]).plot()
    figure.draw_without_rendering()
    panels = figure.axes
    assert (panels[0].get_legend() is not None) == named
    assert ("entries" in panels[0].get_title(loc="left")) != named
    assert all(panel.get_position().width > 0.3 for panel in panels)


def test_a_run_without_randomness_is_called_so() -> None:
    zero = np.zeros(len(TIMES))
    only = Curve("v", TIMES, TIMES, sample_mean=TIMES, sample_standard_error=zero, samples=1)
    figure = report(curves=[only]).plot()
    assert "a run that has no randomness" in figure.get_supxlabel()


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_plot_is_saved_in_the_format_of_its_name(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "new" / f"curves.{ending}"
    report().plot(path)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(start)


def test_plots_that_can_not_be_made_say_why(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="no curves"):
        report(curves=[]).plot()
    with pytest.raises(AssumptionError, match=r"^path=.*curves\.xyz"):
        report().plot(tmp_path / "curves.xyz")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"theory": np.ones(4)}, "theory"),
        ({"theory": np.array([1.0, np.nan, 1.0])}, "theory"),
        ({"theory_error": np.ones(2)}, "theory_error"),
        ({"sample_mean": np.ones(2)}, "sample_mean"),
        ({"sample_mean": np.ones(3)}, "sample_standard_error"),
        ({"sample_mean": np.ones(3), "sample_standard_error": np.ones(3), "samples": 1}, "samples"),
    ],
)
def test_curves_that_do_not_fit_are_refused(change: dict[str, Any], name: str) -> None:
    with pytest.raises(AssumptionError, match=f"^{name}="):
        Curve(**{"name": "Q[0,0]", "time": TIMES, "theory": np.ones(3), **change})


def test_the_page_is_complete_and_needs_nothing_else(tmp_path: Path) -> None:
    made = report(
        "consistent", "refuted", "undecided",
        derivation=[DerivationRow("drift of R", "derived", ["Stein", "Wick"], "[S, Eq. 7]")],
        equations=[r"\frac{d R}{d t} = \operatorname{asin}{\left(\frac{Q}{2} \right)}", r"\begin{matrix}a\end{matrix}"],
        kernel="def rhs(t, y):\n    return y",
    )  # fmt: skip
    path = made.to_html(tmp_path / "report.html")
    page = path.read_text()
    assert page.startswith("<!DOCTYPE html>")
    # No scripts, no references to other files: pictures are data.
    assert "<script" not in page
    assert not re.search(r"@import|<link|<iframe|javascript:", page)
    for reference in re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)|url\(([^)]*)\)""", page):
        assert "".join(reference).startswith("data:image/svg+xml;base64,")
    pictures = [base64.b64decode(found).decode() for found in re.findall(r"svg\+xml;base64,([A-Za-z0-9+/=]+)", page)]
    assert len(pictures) == 2  # the plot and the formula that could be set
    assert all("<svg" in picture for picture in pictures)
    for claim in made.verdicts:
        assert len(re.findall(rf'<span class="badge {claim.verdict}">', page)) >= 1
    for text in ("drift of R", "Stein, Wick", "[S, Eq. 7]", "def rhs(t, y):", r"<code>\begin{matrix}a", "needs"):
        assert text in page
    for name, value in made.provenance.items():
        assert f"<dt>{name}</dt>" in page
        assert value.split("(")[0] in page
    assert page.count("<section") == page.count("</section>") == 5
    assert page.count("<div") == page.count("</div>")


def test_text_of_the_user_is_text_on_the_page(tmp_path: Path) -> None:
    made = report(title="<b>K</b> & <script>alert(1)</script>", kernel="if a < b:")
    page = made.to_html(tmp_path / "r.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "if a &lt; b:" in page


def test_notebooks_get_a_fragment() -> None:
    fragment = report("refuted")._repr_html_()
    assert "<html" not in fragment
    assert "<body" not in fragment
    assert "claim 0" in fragment
    assert 'class="badge refuted' in fragment


def test_what_no_parser_sets_is_left_to_the_text() -> None:
    assert set_equation(r"$\frac{1}{2}$") is not None
    assert set_equation(r"x^{\frac{a}{b}} + \sqrt{\frac{1}{1 + \left\{q\right\}}}") is not None
    for latex in (r"\begin{cases} 1 \end{cases}", r"\undefinedcommand{x}", r"\frac{1}{", "x_1_2", ""):
        assert set_equation(latex) is None


def test_json_holds_every_component_and_only_json(tmp_path: Path) -> None:
    made = report("consistent", "refuted")
    few = aggregate(decide_all([Comparison("few", theory=0.0, sample=[1.0], margin=1.0)], family_false_alarm_rate=1e-3))
    made = report(verdicts=[*made.verdicts, *few])

    def refuse(name: str) -> None:
        raise ValueError(name)

    content = json.loads(made.to_json(tmp_path / "r.json").read_text(), parse_constant=refuse)
    assert content["exit_code"] == 1
    assert [claim["verdict"] for claim in content["claims"]] == ["consistent", "refuted", "undecided"]
    part = content["claims"][1]["components"][2]
    original = made.verdicts[1].components[2]
    assert part["mean"] == original.mean
    assert part["context"] == {"time": 2.0}
    assert part["seed"] == 4
    assert content["claims"][2]["resolution"] == "inf"
    assert content["curves"][0]["sample_mean"] == list(np.exp(-TIMES) * 1.01)
    assert content["provenance"]["seed"] == "4"


@pytest.mark.parametrize("method", ["to_html", "to_json", "plot"])
def test_files_that_can_not_be_written_are_named_with_the_cure(tmp_path: Path, method: str) -> None:
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / "file" / "report.png"
    with pytest.raises(VerificationError, match=rf"can't write the .* to {re.escape(str(target))}: .*Give a file"):
        getattr(report(), method)(target)
    with pytest.raises(AssumptionError, match=r"^path=3"):
        report().to_json(3)  # type: ignore[arg-type]


def test_a_failed_write_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = report().to_html(tmp_path / "report.html")
    before = path.read_bytes()

    def fail(source: str, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(VerificationError, match="No space left"):
        report("refuted").to_html(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_the_module_is_light_and_never_touches_pyplot() -> None:
    code = (
        "import sys; import hermiton.verification.report as r, numpy as np;"
        "heavy = {'matplotlib', 'rich', 'jinja2', 'xarray', 'scipy', 'numba'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "from hermiton.verification.plotting import draw, to_svg;"
        "to_svg(draw([r.Curve('v', np.ones(3), np.ones(3))])); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
