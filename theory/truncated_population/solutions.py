"""What one distribution adds: its formula in the equations, and closed forms for ramps and normal distributions."""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from ..activation import Activation
from ..derivation import Defined, Statement, Step
from ..gaussian.hermite_derivation import derive_hermite
from ..notation import z
from ..pieces import Piece
from .checks import AtStart, ByCalculus, ByPieces, DerivativeByPieces, FromInfinity, law
from .distribution import density, joined, stable
from .flow import m, t, theta, theta_0
from .moments import MEAN_ABOVE, OURS, SURVIVAL, VARIANCE_ABOVE, y

__all__ = ["distribution_statements"]

s = sp.Symbol("s", nonnegative=True)


def distribution_statements(pieces: tuple[Piece, ...]) -> tuple[Statement, ...]:
    """The statements on a distribution F with the given smooth pieces."""
    return (*_formula(pieces), *_ramp(pieces), *_normal(pieces))


def _formula(pieces: tuple[Piece, ...]) -> Iterator[Statement]:
    given, kernel = joined([(piece.expression, piece) for piece in pieces]), stable(pieces)
    steps = [Step(law(z), given, "definition", Defined("the distribution of the setting"))]
    if kernel != given:
        steps.append(Step(given, kernel, "small values are no differences", ByPieces(pieces)))
    yield Statement("cumulative", "The distribution function", tuple(steps), source=OURS)
    slope = Step(
        sp.Derivative(given, z), density(pieces), "differentiate", DerivativeByPieces(pieces, z), symbol="F'(z)"
    )
    yield Statement("density", "Its derivative", (slope,), source=OURS)
    inserted = {law(theta): kernel.xreplace({z: theta}), law(y): given.xreplace({z: y})}
    for key, title, value in (
        ("truncated_fraction", "Truncated fraction as a function of the threshold", law(theta)),
        ("within_class_mean", "Mean of the truncated coordinate as a function of the threshold", MEAN_ABOVE),
        ("within_class_variance", "Its variance as a function of the threshold", VARIANCE_ABOVE),
    ):
        check = ByCalculus("the formula put in", inserted)
        step = Step(value, value.xreplace(inserted), "insert the distribution", check)
        yield Statement(key, title, (step,), source=OURS)


def _ramp(pieces: tuple[Piece, ...]) -> Iterator[Statement]:
    """A uniform distribution: the flow is logistic."""
    if len(pieces) != 3 or pieces[0].expression != 0 or pieces[2].expression != 1:
        return
    low, high, line = pieces[1]
    if sp.expand(line - (z - low) / (high - low)) != 0:
        return
    decay = (t - theta_0) / (theta_0 - low) * sp.exp(-m * (t - low) * s / (high - low))
    logistic = (t + low * decay) / (1 + decay)
    step = Step(
        sp.Derivative(logistic, s),
        m * line.xreplace({z: logistic}) * (t - logistic),
        "differentiate",
        AtStart(s, logistic, theta_0),
        symbol=r"\theta'",
    )
    yield Statement(
        "logistic",
        "Between the ends of a uniform distribution the threshold is a logistic function of time",
        (step,),
        (f"{low} < theta_0, theta < {high}",),
        source="logistic equation; the check is ours",
    )


def _normal(pieces: tuple[Piece, ...]) -> Iterator[Statement]:
    """A normal distribution: moments of the truncated coordinate by the Hermite coefficients of a shifted ReLU."""
    found = _mean_and_std(pieces)
    if found is None:
        return
    mean, std = found
    a = sp.Symbol("a", real=True)
    level, standard = (theta - mean) / std, mean + std * sp.Symbol("w", positive=True)
    excess = derive_hermite(Activation("relu"), 0, -a, 1).statement("h0 at the point").rhs
    square = derive_hermite(Activation(sp.Max(z, 0) ** 2), 0, -a, 1).statement("h0 at the point").rhs
    here = {law(theta): pieces[0].expression.xreplace({z: theta})}
    closed = theta + std * excess.xreplace({a: level})
    yield Statement(
        "normal_mean",
        "Mean of a truncated normal coordinate",
        (
            Step(
                MEAN_ABOVE,
                closed,
                "max(x, a) = a + relu(x - a), h_0 of the shifted ReLU",
                FromInfinity(theta, here, standard),
            ),
        ),
        (f"x ~ N({mean}, {std}^2)",),
        source=OURS,
    )
    spread = std**2 * (square - excess**2).xreplace({a: level})
    known = {SURVIVAL: closed - theta}
    yield Statement(
        "normal_variance",
        "Variance of a truncated normal coordinate",
        (
            Step(
                VARIANCE_ABOVE,
                spread,
                "h_0 of the square of the shifted ReLU, less the square of its h_0",
                FromInfinity(theta, here, standard, known),
            ),
        ),
        (f"x ~ N({mean}, {std}^2)",),
        source=OURS,
    )


def _mean_and_std(pieces: tuple[Piece, ...]) -> tuple[sp.Expr, sp.Expr] | None:
    """Mean and standard deviation, if F(z) = (1 + erf(u))/2 with an increasing straight line u."""
    if len(pieces) != 1:
        return None
    value = sp.expand(pieces[0].expression.rewrite(sp.erf))
    calls = value.atoms(sp.erf)
    if len(calls) != 1:
        return None
    (call,) = calls
    u = sp.expand(call.args[0])
    slope = u.coeff(z)
    if sp.expand(value - (1 + call) / 2) != 0 or sp.expand(u - slope * z - u.subs(z, 0)) != 0 or slope.has(z):
        return None
    return -u.subs(z, 0) / slope, 1 / (slope * sp.sqrt(2))
