"""A report as a page: what the template shows, prepared as text and small pictures."""

import math
from typing import TYPE_CHECKING, Any

from .plotting import data_uri, draw, set_equation, to_svg
from .report import number_text, spread_text
from .verdicts import ClaimVerdict, Verdict

if TYPE_CHECKING:
    from .report import Report

__all__ = ["render"]

#: Components listed under a claim; the rest is in the JSON.
MOST_COMPONENTS = 40
_WIDTH = 150.0


def render(report: "Report", *, whole: bool) -> str:
    """Return the report as a page of its own, or as a fragment for a notebook.

    Parameters
    ----------
    report : Report
        What to show.
    whole : bool
        True: a page with everything. False: a fragment with verdicts and curves.

    Returns
    -------
    str
        HTML without scripts and without references to anything outside.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hermiton.verification"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    counts = {
        outcome: sum(1 for claim in report.verdicts if claim.verdict == outcome)
        for outcome in ("consistent", "refuted", "undecided")
    }
    replicas = sorted({part.samples for claim in report.verdicts for part in claim.components})
    return environment.get_template("report.html.jinja").render(
        whole=whole,
        report=report,
        counts=counts,
        total=len(report.verdicts),
        comparisons=sum(len(claim.components) for claim in report.verdicts),
        replicas=str(replicas[0]) if len(replicas) == 1 else f"{replicas[0]}\u2013{replicas[-1]}",
        rate=_html_number(min(1.0, sum(claim.false_alarm_rate for claim in report.verdicts)), 2),
        claims=[_claim(report, claim) for claim in report.verdicts],
        plot=data_uri(to_svg(draw(report.curves))) if report.curves else "",
        equations=[_equation(latex) for latex in report.equations] if whole else [],
        provenance=sorted(report.provenance.items()),
    )


def _claim(report: "Report", claim: ClaimVerdict) -> dict[str, Any]:
    ordered = sorted(claim.components, key=_order)
    return {
        "claim": claim.claim,
        "verdict": claim.verdict,
        "reason": claim.reason,
        "standing": report.standing(claim.claim),
        "statement": report.tests.get(claim.claim, ""),
        "count": len(claim.components),
        "decisive": _component(claim.decisive),
        "components": [_component(part) for part in ordered[:MOST_COMPONENTS]] if len(ordered) > 1 else [],
        "hidden": max(len(ordered) - MOST_COMPONENTS, 0),
    }


def _order(part: Verdict) -> tuple[int, float]:
    """Refuted first, then undecided; within each, nearest to refutation first."""
    rank = {"refuted": 0, "undecided": 1, "consistent": 2}[part.verdict]
    near = part.statistic / part.threshold if part.threshold > 0 else 0.0
    return rank, -near if math.isfinite(near) else 0.0


def _component(part: Verdict) -> dict[str, Any]:
    return {
        "name": part.component,
        "verdict": part.verdict,
        "theory": _html_number(part.theory, 5),
        "measured": spread_text(part.mean, part.standard_error),
        "discrepancy": _html_number(part.discrepancy, 2),
        "resolution": _html_number(part.resolution, 2),
        "margin": _html_number(part.margin, 2),
        "tolerance": _html_number(part.theory_error + part.allowance, 2),
        "statistic": _html_number(part.statistic, 3),
        "threshold": _html_number(part.threshold, 3),
        "rate": _html_number(part.false_alarm_rate, 2),
        "samples": part.samples,
        "seed": part.seed,
        "reason": part.reason,
        "bar": _bar(part),
    }


def _bar(part: Verdict) -> dict[str, float]:
    """Return where to draw the band of agreement and the interval of mean - theory, in units of a small picture."""
    band = part.theory_error + part.allowance + part.margin
    low, high = part.lower - part.theory, part.upper - part.theory
    reach = max([1.7 * band, *(1.12 * abs(limit) for limit in (low, high) if math.isfinite(limit))])
    reach = reach if reach > 0 else 1.0

    def place(value: float) -> float:
        return round(_WIDTH / 2 * (1 + max(-1.0, min(1.0, value / reach))), 2)

    # A band or an interval of no visible width is still there.
    left, right = place(-band), place(band)
    if right - left < 2:
        left, right = _WIDTH / 2 - 1, _WIDTH / 2 + 1
    return {
        "band": left,
        "width": round(right - left, 2),
        "low": place(low),
        "high": place(high),
        "mean": place(part.discrepancy),
    }


def _equation(latex: str) -> dict[str, str]:
    svg = set_equation(latex)
    return {"latex": latex, "image": data_uri(svg) if svg else ""}


def _html_number(value: float, digits: int) -> str:
    """Write powers of ten as people do."""
    from markupsafe import Markup

    mantissa, letter, exponent = number_text(value, digits).partition("e")
    mantissa = mantissa.replace("-", "\u2212").replace("inf", "\u221e")
    if not letter:
        return mantissa
    power = exponent.replace("-", "\u2212")
    front = "" if mantissa == "1" else f"{mantissa}\u2009\u00d7\u2009"
    return Markup("{}10<sup>{}</sup>").format(front, power)
