"""How the threshold of a finite sample fluctuates about that of the population, for every F."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sympy as sp

from ..derivation import Cited, Statement, Step
from .checks import AlongFlow, Linearised, Mean, OfBridge, Rate, SquareOfIntegral, Symmetrised, bridge, law
from .flow import RATES, D, F, V, f, m, r, t, theta, theta_0, up
from .moments import NAMES, OURS

__all__ = ["fluctuation_statements"]

x, y = sp.symbols("x y", real=True)
delta, epsilon = sp.symbols("delta epsilon", real=True)
N = sp.Symbol("N", positive=True)
s = sp.Symbol("s", nonnegative=True)

_COVARIANCE = law(sp.Min(x, y)) - law(x) * law(y)
_SPEED = law(theta) * (t - theta)


def _a(at: sp.Symbol) -> sp.Expr:
    return 1 / ((t - at) * law(at) ** 2)


def _left_behind(at: sp.Symbol) -> sp.Expr:
    return up * law(at) + (1 - up) * (1 - law(at))


DEVIATION = _SPEED * sp.Integral(_a(x) * bridge(x), (x, theta_0, theta))
BY_SQUARE = _SPEED**2 * sp.Integral(_a(x) * _a(y) * _COVARIANCE, (y, theta_0, theta), (x, theta_0, theta))
_INNER = sp.Integral(_a(y) * _left_behind(y), (y, theta_0, x))
_HALF = sp.Integral(_a(x) * (1 - _left_behind(x)) * _INNER, (x, theta_0, theta))
BY_HALF = 2 * _SPEED**2 * _HALF
_RESPONSE = _INNER.xreplace({x: theta})


def fluctuation_statements(rates: Mapping[str, sp.Expr] = RATES) -> tuple[Statement, ...]:
    """The statements; `rates` are the right-hand sides that they have to end in."""
    return (*_linear(rates), *_variance(), *_states(rates))


def _linear(rates: Mapping[str, sp.Expr]) -> Iterator[Statement]:
    empirical = sp.Function("F_N", real=True)
    covariance = N * (Mean(empirical(x) * empirical(y)) - Mean(empirical(x)) * Mean(empirical(y)))
    yield Statement(
        "bridge",
        "Covariance of the empirical distribution function, times N",
        (Step(covariance, _COVARIANCE, "samples are independent", OfBridge(x, y)),),
        source="textbook; the check is ours",
    )
    moved = theta + epsilon * delta
    velocity = m * (law(moved) + epsilon * bridge(moved)) * (t - moved)
    linear = m * (f * D - F) * delta + m * D * bridge(theta)
    yield Statement(
        "deviation_rate",
        "A sample moves the threshold by epsilon delta, epsilon = 1/sqrt(N): rate of delta",
        (
            Step(
                sp.Derivative(velocity, epsilon),
                linear,
                "F_N = F + epsilon B; first order in epsilon",
                Linearised(epsilon, NAMES),
                symbol=r"\delta'",
            ),
        ),
        ("F is differentiable where the threshold is",),
        r"O(1/\sqrt{N})",
        OURS,
    )
    law_of_rate = linear.xreplace({delta: DEVIATION})
    yield Statement(
        "deviation",
        "Its solution with delta = 0 at the start: the integrating factor is theta'",
        (
            Step(
                Rate(DEVIATION),
                law_of_rate,
                "differentiate the solution",
                AlongFlow({theta: rates["theta"]}, NAMES),
            ),
        ),
        ("F(theta_0) > 0", "no target between theta_0 and theta"),
        source=OURS,
    )
    theorem = Cited(
        "Donsker's theorem and the functional delta method (A. van der Vaart, Asymptotic Statistics, 1998, 19.3, 20.2)",
        "independent samples, F continuous, F' continuous but for finitely many points, F(theta_0) > 0",
    )
    yield Statement(
        "central_limit",
        "sqrt(N) (F_N - F) tends to a Brownian bridge B, and with it sqrt(N) (theta_N - theta) to a normal variable",
        (Step(sp.sqrt(N) * (sp.Symbol("theta_N", real=True) - theta), DEVIATION, "N -> infinity", theorem),),
        ("N -> infinity at fixed s",),
        r"O(1/\sqrt{N})",
        OURS,
    )


def _variance() -> Iterator[Statement]:
    yield Statement(
        "deviation_variance",
        "Variance of the deviation",
        (
            Step(
                Mean(DEVIATION**2),
                BY_SQUARE,
                "exchange mean and integrals",
                SquareOfIntegral(_COVARIANCE, x, y),
                symbol="V",
            ),
            Step(
                BY_SQUARE,
                BY_HALF,
                "the integrand is symmetric; of two points the one that is passed first leaves h behind",
                Symmetrised(theta_0, theta, up),
            ),
        ),
        ("up = 1 for theta_0 < t, up = 0 for t < theta_0",),
        source=OURS,
    )


def _states(rates: Mapping[str, sp.Expr]) -> Iterator[Statement]:
    flow = {theta: rates["theta"]}
    known = {_RESPONSE: r / F, _HALF: V / (2 * F**2 * D**2)}
    yield Statement(
        "rate_response",
        "Rate of the response r = F int a h",
        (
            Step(
                Rate(law(theta) * _RESPONSE),
                rates["r"],
                "differentiate by the limit",
                AlongFlow(flow, NAMES, known),
            ),
        ),
        source=OURS,
    )
    yield Statement(
        "rate_fluctuation",
        "Rate of the variance of the fluctuation",
        (Step(Rate(BY_HALF), rates["V"], "differentiate by the limit", AlongFlow(flow, NAMES, known)),),
        source=OURS,
    )
    rising = {up: sp.S.One}
    names = {name: value.xreplace(rising) for name, value in NAMES.items()}
    yield Statement(
        "response_rising",
        "The response of a threshold that rises is m s F: int dy/(F (t - y)) is m times the time",
        (
            Step(
                Rate(m * s * law(theta)),
                rates["r"].xreplace({r: m * s * F}),
                "product rule",
                AlongFlow({**flow, s: sp.S.One}, names),
            ),
        ),
        ("theta_0 < t",),
        source=OURS,
    )
