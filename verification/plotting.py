"""Pictures of a report: curves of theory and sample, and equations set as images. No pyplot, so no global state."""

import base64
import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .report import Curve

__all__ = ["data_uri", "draw", "set_equation", "to_svg"]

INK = "#1f2937"
MUTED = "#6b7280"
RULE = "#d8dde4"
#: Distinct in hue and in lightness, also for most colour-blind readers.
PALETTE = ("#2563a8", "#c8553d", "#2a8f6d", "#8a5fb0", "#c58a12", "#3f9fc4", "#b0457b", "#59636f")
#: Every second curve is dashed and on top, so that two curves that coincide (R_12 and R_21 by symmetry) both show.
DASHES: tuple[Any, ...] = ("-", (0, (4, 2.5)))
TITLES = {
    "generalization_error": "Generalization error",
    "Q": "Student-student overlaps Q",
    "R": "Student-teacher overlaps R",
    "v": "Second layer v",
}
LOGARITHMIC = frozenset({"generalization_error"})
#: More points than this on one curve hide the line they are compared with.
MOST_POINTS = 24
#: More curves than this can't be told apart by colour, and their legend would leave no room for them.
MOST_NAMES = 9
#: Labels of more characters than this are set in fewer columns.
SHORT = 5


def draw(curves: "Sequence[Curve]") -> "Figure":
    """Draw one panel an observable: lines of theory, points of the sample with 95 % intervals of the mean."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from ..numerics.picture import Picture

    panels: dict[str, list[Curve]] = {}
    for curve in curves:
        panels.setdefault(curve.panel, []).append(curve)
    count = max(len(panels), 1)
    columns = 1 if count == 1 else 2
    # With an odd number of panels the first, usually the error, takes a whole row.
    wide = count % 2 == 1
    rows = (count + 1) // 2 if columns == 2 else 1
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.1, hspace=0.04, wspace=0.04)
    figure = Picture(figsize=(9.6, 3.5 * rows + 0.35), layout=layout, facecolor="white")
    grid = figure.add_gridspec(rows, columns)
    for place, (name, members) in enumerate(panels.items()):
        if wide and columns == 2:
            cell = grid[0, :] if place == 0 else grid[(place + 1) // 2, (place + 1) % 2]
        else:
            cell = grid[place // columns, place % columns]
        _panel(figure.add_subplot(cell), name, members)
    figure.supxlabel(_caption(curves), x=0.012, ha="left", fontsize=8.5, color=MUTED)
    return figure


def _panel(axes: "Axes", name: str, curves: "Sequence[Curve]") -> None:
    from scipy.stats import t as student

    logarithmic = name in LOGARITHMIC and all(np.all(curve.theory > 0) for curve in curves)
    if logarithmic:
        axes.set_yscale("log", nonpositive="clip")
    for number, curve in enumerate(curves):
        colour = PALETTE[number % len(PALETTE)]
        dashes, above = DASHES[number % 2], 2 + 0.5 * (number % 2)
        label = curve.label if "$" in curve.label else f"${curve.label}$" if curve.label else curve.name
        axes.plot(curve.time, curve.theory, color=colour, linestyle=dashes, linewidth=1.7, label=label, zorder=above)
        if np.any(curve.theory_error > 0):
            low, high = curve.theory - curve.theory_error, curve.theory + curve.theory_error
            axes.fill_between(curve.time, low, high, color=colour, alpha=0.18, linewidth=0, zorder=1)
        if curve.sample_mean.size:
            # Every k-th point, staggered from curve to curve so that bars of neighbouring curves stay apart.
            step = -(-curve.sample_mean.size // MOST_POINTS)
            chosen = slice(number % step, None, step)
            half = float(student.isf(0.025, max(curve.samples - 1, 1))) * curve.sample_standard_error
            axes.errorbar(
                curve.times_of_sample[chosen], curve.sample_mean[chosen], yerr=half[chosen], fmt="o", markersize=4.2,
                markerfacecolor="white", markeredgecolor=colour, markeredgewidth=1.2, ecolor=colour, elinewidth=1.2,
                capsize=2.2, capthick=1.0, zorder=3,
            )  # fmt: skip
    unit = next((curve.unit for curve in curves if curve.unit), "")
    axes.set_xlabel("time  $t$", fontsize=9.5, color=INK)
    axes.set_ylabel(unit, fontsize=9.5, color=INK)
    short = all(_characters(curve.label or curve.name) <= SHORT for curve in curves)
    columns = min(len(curves), 6 if short else 3)
    legend_rows = -(-len(curves) // columns)
    show_legend = 1 < len(curves) <= MOST_NAMES or (len(curves) == 1 and bool(curves[0].label))
    pad = 8 + (16 * legend_rows if show_legend else 0)
    title = TITLES.get(name, name.replace("_", " "))
    if len(curves) > MOST_NAMES:
        title += f": {len(curves)} entries"
    axes.set_title(title, loc="left", fontsize=10.5, color=INK, fontweight="bold", pad=pad)
    if show_legend:
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, frameon=False, fontsize=9.5, labelcolor=INK,
            handlelength=1.5, columnspacing=1.3, handletextpad=0.5, borderaxespad=0.15, labelspacing=0.25,
        )  # fmt: skip
    axes.grid(axis="y", color=RULE, linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9aa3af")
    axes.tick_params(which="both", colors=MUTED, labelsize=8.5, width=0.8)
    axes.margins(x=0.02)


def _characters(label: str) -> int:
    """About how many characters wide a label prints."""
    text = re.sub(r"\\(?:mathrm|tilde|hat|bar)\b|\\ ", "", label)
    return len(re.sub(r"[$_^{} ]", "", re.sub(r"\\[A-Za-z]+", "x", text)))


def _caption(curves: "Sequence[Curve]") -> str:
    simulated = sorted({curve.samples for curve in curves if curve.sample_mean.size})
    if not simulated:
        return "Lines: theory."
    replicas = str(simulated[0]) if len(simulated) == 1 else f"{simulated[0]} to {simulated[-1]}"
    text = f"Lines: theory.  Points: mean of {replicas} simulated replicas; bars: 95 % confidence interval of the mean."
    if simulated == [1]:
        text = "Lines: theory.  Points: a run that has no randomness."
    if any(curve.sample_mean.size > MOST_POINTS for curve in curves):
        text += "  Not every compared time is drawn."
    return text


def to_svg(figure: "Figure", **options: Any) -> str:
    """Return the figure as SVG text, without its date."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, **options)
    return buffer.getvalue()


def data_uri(svg: str) -> str:
    """Return an SVG as a data address: in an <img> its ids can't collide with those of other pictures of the page."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def set_equation(latex: str, size: float = 13.0) -> str | None:
    """Set one formula as SVG with matplotlib's own TeX parser.

    Parameters
    ----------
    latex : str
        The formula, with or without dollar signs.
    size : float
        Font size in points.

    Returns
    -------
    str or None
        None where the parser does not know a command or a glyph: the caller shows the LaTeX text instead.
    """
    from matplotlib.figure import Figure

    text = latex.strip().strip("$").strip()
    text = re.sub(r"\\(?:displaystyle|limits|nolimits)(?![A-Za-z])", "", text)
    text = _display(" ".join(re.sub(r"\\tfrac(?![A-Za-z])", r"\\frac", text).split()))
    if not text:
        return None
    figure = Figure(figsize=(0.1, 0.1))
    figure.text(0, 0, f"${text}$", fontsize=size, color=INK, math_fontfamily="cm")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a missing glyph is a warning, and would print as a box
            return to_svg(figure, bbox_inches="tight", pad_inches=0.03, transparent=True)
    except (ValueError, RuntimeError, Warning):
        return None


def _display(text: str) -> str:
    r"""Print the outer fractions in full size, as a displayed formula has them.

    Braces open an inner level, except those that SymPy puts around ``\left(...\right)``.
    """
    pieces: list[str] = []
    outer = [True]
    at = 0
    while at < len(text):
        if outer[-1] and re.match(r"\\frac(?![A-Za-z])", text[at:]):
            pieces.append(r"\dfrac")
            at += len(r"\frac")
            continue
        if text[at] == "\\":  # a command, or an escaped brace
            pieces.append(text[at : at + 2])
            at += 2
            continue
        if text[at] == "{":
            outer.append(outer[-1] and text.startswith(r"\left", at + 1))
        elif text[at] == "}" and len(outer) > 1:
            outer.pop()
        pieces.append(text[at])
        at += 1
    return "".join(pieces)
