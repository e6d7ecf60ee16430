"""The equations: the threshold, the moments of the truncated coordinate, and how a sample of N fluctuates.

Beside the threshold, theta' = m F(theta) (t - theta), go states that follow it. A finite sample fluctuates about it,
sqrt(N) (theta_N - theta) -> normal of the variance V = (t - theta)^2 F^2 I with

    I = 2 int a (1 - h) J dx,   J = int a h dx,   a = 1/((t - x) F^2),

where h is F for a threshold that rises and 1 - F for one that falls. I and J overflow where F is small; V and r = F J
do not, and their equations divide by nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from ..notation import z
from ..systems import Array, Definition, OdeSystem

__all__ = ["DEFINED", "RATES", "population_flow"]

THETA = Array("theta", field="threshold", latex=r"\theta", meaning="threshold of the unit")
FRACTION = Array("phi", field="truncated_fraction", latex=r"\varphi", meaning="truncated fraction F(theta)")
MEAN = Array("mu", field="within_class_mean", latex=r"\mu", meaning="mean of the truncated coordinate max(x, theta)")
VARIANCE = Array("v", field="within_class_variance", meaning="variance of the truncated coordinate max(x, theta)")
RESPONSE = Array("r", field="response", meaning="F int a h dx; for a threshold that rises m s F")
FLUCTUATION = Array(
    "V", field="fluctuation_variance", meaning="variance of sqrt(N) (theta_N - theta) over samples of N, N -> infinity"
)
START = Array("theta_0", field="threshold", latex=r"\theta_0", meaning="threshold at time 0")
TARGET = Array("t", field="target", meaning="label of the cluster in this coordinate")
MASS = Array("m", field="mass", meaning="weight of the cluster in the cost")
AHEAD = Array("D", meaning="distance t - theta of the target")
EXCESS = Array("E", meaning="mean excess mu - theta")
CUMULATIVE = Array("F", meaning="F(theta)")
DENSITY = Array("f", meaning="F'(theta)")
RISING = Array("up", meaning="1 for a threshold that rises, 0 for one that falls")
BEHIND = Array("h", meaning="probability of what the threshold leaves behind: F if it rises, 1 - F if it falls")

theta, phi, mu, v, r, V = (a.symbol for a in (THETA, FRACTION, MEAN, VARIANCE, RESPONSE, FLUCTUATION))
theta_0, t, m = (a.symbol for a in (START, TARGET, MASS))
D, E, F, f, up, h = (a.symbol for a in (AHEAD, EXCESS, CUMULATIVE, DENSITY, RISING, BEHIND))

STATES = (THETA, FRACTION, MEAN, VARIANCE, RESPONSE, FLUCTUATION)
RATES: Mapping[str, sp.Expr] = {
    "theta": m * F * D,
    "phi": m * F * D * f,
    "mu": m * F**2 * D,
    "v": -2 * m * F**2 * D * E,
    "r": m * f * D * r + m * h,
    "V": 2 * m * f * D * V - 2 * m * F * V + 2 * m * D**2 * (1 - h) * r,
}
"""Right-hand sides by the name of the state."""

DEFINED: Mapping[Array, sp.Expr] = {
    AHEAD: t - theta,
    EXCESS: mu - theta,
    RISING: (1 + sp.sign(t - theta_0)) / 2,
    BEHIND: up * F + (1 - up) * (1 - F),
}
"""What abbreviations mean, beside F and F'."""


def population_flow(cumulative: sp.Expr, density: sp.Expr, rates: Mapping[str, sp.Expr] | None = None) -> OdeSystem:
    """The equations for one distribution.

    Parameters
    ----------
    cumulative, density : sympy.Expr
        F and F' in z.
    rates : mapping of str to sympy.Expr, optional
        Replaces right-hand sides by the name of the state.

    Returns
    -------
    OdeSystem
    """
    values = {**RATES, **(rates or {})}
    return OdeSystem(
        name="truncated_population",
        sets=(),
        states=STATES,
        parameters=(START, TARGET, MASS),
        definitions=(
            Definition(CUMULATIVE, (), cumulative.xreplace({z: theta})),
            Definition(DENSITY, (), density.xreplace({z: theta})),
            *(Definition(array, (), value) for array, value in DEFINED.items()),
        ),
        moments=(),
        equations=tuple(Definition(state, (), values[state.name]) for state in STATES),
        observables=(),
        time="time s of the gradient flow",
        assumptions=(
            "independent samples of one cluster, N -> infinity",
            "W = D R with D positive diagonal and R orthogonal; R and the target fixed",
        ),
        remainder="O(1/N) in means over samples, O(1/sqrt(N)) in a single one",
    )
