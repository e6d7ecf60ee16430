"""The flow of the threshold, and the truncated fraction, mean and variance that follow it, for every F."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sympy as sp

from ..derivation import Cited, Defined, Statement, Step
from ..systems import IndexSum, Passed
from ..truncation.entries import THETA as THRESHOLD
from ..truncation.entries import WEIGHT
from ..truncation.entries import N as SAMPLES
from ..truncation.entries import T as LABEL
from ..truncation.entries import U as BREAKPOINT
from ..truncation.statements import RATE as SAMPLE_RATE
from ..truncation.statements import i, j
from .checks import AlongFlow, AtEverySample, ByCalculus, ForPointMass, Mean, Rate, law
from .flow import DEFINED, RATES, D, E, F, f, h, m, t, theta, theta_0, up

__all__ = ["MEAN_ABOVE", "NAMES", "NOTION", "OURS", "SURVIVAL", "above", "moment_statements"]

OURS = "hermiton"
NOTION = "notion: abstract of T. Chen, arXiv:2501.07400; population form: hermiton"

x, y = sp.symbols("x y", real=True)

_DEFINED = {array.symbol: value for array, value in DEFINED.items()}
_LAW = {F: law(theta), f: sp.Derivative(law(theta), theta)}
NAMES: Mapping[sp.Expr, sp.Expr] = {
    **_LAW,
    D: _DEFINED[D],
    E: _DEFINED[E],
    h: _DEFINED[h].xreplace(_LAW),
}
"""What abbreviations in the equations stand for, in terms of F(theta) and its derivative."""


def above(power: int = 0) -> sp.Expr:
    """The integral of (y - theta)^power (1 - F(y)) from theta on."""
    return sp.Integral((y - theta) ** power * (1 - law(y)), (y, theta, sp.oo))


SURVIVAL = above()
MEAN_ABOVE = theta + SURVIVAL
VARIANCE_ABOVE = 2 * above(1) - SURVIVAL**2


def moment_statements(rates: Mapping[str, sp.Expr] = RATES) -> tuple[Statement, ...]:
    """The statements; `rates` are the right-hand sides that they have to end in."""
    return (*_threshold(rates), *_clamped(), *_moments(rates))


def _threshold(rates: Mapping[str, sp.Expr]) -> Iterator[Statement]:
    point = sp.IndexedBase(sp.Symbol("u", real=True))
    single = SAMPLE_RATE.xreplace(
        {WEIGHT[i]: m / SAMPLES, LABEL[i, j]: t, THRESHOLD[j]: theta, BREAKPOINT[i, j]: point[i]}
    )
    empirical = m * IndexSum(Passed(point[i], theta), i, SAMPLES) / SAMPLES * D
    theorem = Cited(
        "Glivenko and Cantelli, with Gronwall's lemma",
        "independent samples of a continuous F, N -> infinity at fixed s",
    )
    yield Statement(
        "rate_threshold",
        "Population flow of the threshold: it relaxes at the rate of the truncated mass",
        (
            Step(
                single,
                empirical,
                "flow of the thresholds of N samples (B2), each of weight m/N, with one label",
                AtEverySample(SAMPLES, {D: _DEFINED[D]}),
                symbol=r"\theta_N'",
            ),
            Step(empirical, rates["theta"], "the truncated share F_N(theta) tends to F(theta)", theorem),
        ),
        ("one cluster of mass m", "N -> infinity at fixed s"),
        r"O(1/\sqrt{N})",
        NOTION,
    )
    for array in (D, E, up, h):
        step = Step(array, _DEFINED[array], "definition", Defined("an abbreviation"))
        yield Statement(f"definition_{array}", f"The abbreviation {array}", (step,), source=OURS)


def _clamped() -> Iterator[Statement]:
    point = ForPointMass(x, theta)
    clamped = sp.Max(x, theta)
    square = theta**2 + 2 * sp.Integral(y * (1 - law(y)), (y, theta, sp.oo))
    rows = (
        ("clamped_mean", "Mean of a truncated coordinate", Mean(clamped), MEAN_ABOVE, r"\mu"),
        ("clamped_square", "Its second moment", Mean(clamped**2), square, ""),
    )
    for key, title, lhs, rhs, symbol in rows:
        step = Step(lhs, rhs, "integrate by parts", point, symbol=symbol)
        yield Statement(key, title, (step,), ("the variance is finite",), source="textbook; the check is ours")
    yield Statement(
        "clamped_variance",
        "Its variance",
        (
            Step(
                Mean(clamped**2) - Mean(clamped) ** 2,
                VARIANCE_ABOVE,
                "insert both",
                ByCalculus("integrals term by term", {Mean(clamped): MEAN_ABOVE, Mean(clamped**2): square}),
                symbol="v",
            ),
        ),
        ("the variance is finite",),
        source=OURS,
    )


def _moments(rates: Mapping[str, sp.Expr]) -> Iterator[Statement]:
    flow = {theta: rates["theta"]}
    along = AlongFlow(flow, NAMES, {SURVIVAL: E})
    rows = (
        ("rate_fraction", "Rate of the truncated fraction", law(theta), "phi", "chain rule"),
        ("rate_mean", "Rate of the mean of the truncated coordinate", MEAN_ABOVE, "mu", "differentiate by the limit"),
        ("rate_variance", "Rate of its variance", VARIANCE_ABOVE, "v", "differentiate; the integral is mu - theta"),
    )
    for key, title, quantity, state, reason in rows:
        yield Statement(key, title, (Step(Rate(quantity), rates[state], reason, along),), source=OURS)
    time = sp.Integral(1 / (m * law(y) * (t - y)), (y, theta_0, theta))
    yield Statement(
        "time_to_reach",
        "The time at which the threshold is at theta is the integral of dy / (m F(y) (t - y))",
        (Step(Rate(time), sp.S.One, "theta' = m F (t - theta)", AlongFlow(flow, NAMES)),),
        ("F(theta_0) > 0", "no target between theta_0 and theta"),
        source=OURS,
    )
