"""The central path: squared loss, classifier at its least-squares fit, features whitened within classes.

On it Sigma_W = I, and omega is a singular value of the centred class means. The renormalisation that keeps Sigma_W = I
sets the clock: (a) the gradient projected on the tangent space, or (b) a gradient step, then whitening.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import sympy as sp

from ..checks import refute
from ..derivation import CheckResult, Statement, Step
from ..systems import Definition, OdeSystem
from .checks import ByAlgebra, Rate, Written, symbol
from .flow import CLASS, FEATURE, SAMPLE, B, H, W, Y, feature_flow, k, lambda_H, lambda_W

__all__ = ["central_path", "clocks"]

omega, C, n, m, v = sp.symbols("omega C n m v", positive=True)

_SOURCE = (
    "form: X. Y. Han, V. Papyan and D. L. Donoho, Neural collapse under MSE loss, ICLR (2022), arXiv:2106.02073; "
    "constants and steps are ours"
)
_GIVEN = ("squared loss over N = C n, no decay", "W and b are the least-squares fit", "Sigma_W = I")

# Four classes, two directions: the columns are twice orthonormal and orthogonal to 1, the rows have covariance I.
_SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
_CLASSES, _PER_CLASS = 4, 4
_OMEGAS = sp.symbols("omega_0 omega_1", positive=True)


def velocities() -> dict[str, sp.Expr]:
    """Rates of a class mean's component omega along its singular direction, and of the within-class variance there."""
    return {
        "mean": omega / (n * (C + omega**2) ** 2),
        "spread": -2 * omega**2 / (C * n * (C + omega**2) ** 2),
    }


def clocks() -> dict[str, sp.Expr]:
    """What grows linearly in time for each singular value: (a) with rate 1/n, (b) with rate 1/(C n)."""
    return {
        "projected": C**2 * sp.log(omega) + C * omega**2 + omega**4 / 4,
        "whitened": C * sp.log(omega) + omega**2 / 2,
    }


@dataclass(frozen=True)
class _AtLeastSquares:
    """W and b rest at w = omega/(C + omega^2), b = 1/C; means and deviations move as claimed in every direction.

    Parameters
    ----------
    system : OdeSystem
        The equations of W, H and b.
    quantity : {"mean", "spread"}
        What the right-hand side is the rate of.
    """

    system: OdeSystem
    quantity: str

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compare in every direction, for every class and sample."""
        resting, moving = _velocities(self.system.equations, self.system.definitions)
        for moved in resting:
            if moved != 0:
                raise refute(lhs, rhs, moved, "W and b are no least-squares fit")
        for x, value in enumerate(_OMEGAS):
            claim = rhs.xreplace({omega: value, C: sp.Integer(_CLASSES), n: sp.Integer(_PER_CLASS)})
            for c in range(_CLASSES):
                own = moving[x][c * _PER_CLASS : (c + 1) * _PER_CLASS]
                mean = sp.Add(*own) / _PER_CLASS
                found = [2 * mean / _SIGNS[c][x]]
                if self.quantity == "spread":
                    # each deviation moves along itself: v' = 2 (its rate) / (its value) at v = 1
                    found = [2 * (moved - mean) / _SIGNS[r][x] for r, moved in enumerate(own)]
                for each in found:
                    if (left := sp.cancel(each - claim)) != 0:
                        raise refute(lhs, rhs, left, f"in direction {x} of class {c}")
        return CheckResult("symbolic", "derived", "symbolic omegas, C = 4, d = 2, n = 4; W and b rest there")


@functools.lru_cache(maxsize=4)
def _velocities(
    equations: tuple[Definition, ...], definitions: tuple[Definition, ...]
) -> tuple[list[sp.Expr], list[list[sp.Expr]]]:
    """Of W and b, and of H by component and sample, at a point of the path with symbolic omegas."""
    samples, half = _CLASSES * _PER_CLASS, sp.S.Half
    point: dict[sp.Expr, sp.Expr] = {k: sp.Integer(samples), lambda_W: sp.S.Zero, lambda_H: sp.S.Zero}
    for c in range(_CLASSES):
        point[symbol(B[c])] = sp.Rational(1, _CLASSES)
        for x, size in enumerate(_OMEGAS):
            point[symbol(W[c, x])] = half * _SIGNS[c][x] * size / (_CLASSES + size**2)
        for t in range(samples):
            point[symbol(Y[c, t])] = sp.Integer(int(t // _PER_CLASS == c))
    for t, (x, size) in itertools.product(range(samples), enumerate(_OMEGAS)):
        point[symbol(H[x, t])] = half * _SIGNS[t // _PER_CLASS][x] * size + _SIGNS[t % _PER_CLASS][x]
    write = Written({CLASS.size: _CLASSES, FEATURE.size: len(_OMEGAS), SAMPLE.size: samples})

    def value(item: Definition, *place: int) -> sp.Expr:
        index = dict(zip(item.indices, map(sp.Integer, place), strict=True))
        return write(item.value.xreplace(index)).xreplace(point)

    (residual,) = definitions
    for c, t in itertools.product(range(_CLASSES), range(samples)):
        point[symbol(residual.target[c, t])] = value(residual, c, t)
    weights, features, bias = equations
    resting = [value(bias, c) for c in range(_CLASSES)]
    resting += [value(weights, c, x) for c in range(_CLASSES) for x in range(len(_OMEGAS))]
    moving = [[sp.cancel(value(features, x, t)) for t in range(samples)] for x in range(len(_OMEGAS))]
    return [sp.cancel(v) for v in resting], moving


def central_path() -> tuple[Statement, ...]:
    """How class means and deviations move on the path, and the two clocks."""
    system, rates, invariants = feature_flow("mse", bias=True), velocities(), clocks()
    mean = Step(Rate(m), rates["mean"], "insert the least-squares fit", _AtLeastSquares(system, "mean"))
    spread = Step(Rate(v), rates["spread"], "insert the least-squares fit", _AtLeastSquares(system, "spread"))
    whitened = rates["mean"] - omega * rates["spread"] / 2
    projected = sp.diff(invariants["projected"], omega) * rates["mean"]
    clock = sp.diff(invariants["whitened"], omega) * whitened
    return (
        Statement("central_mean", "Class means on the central path", (mean,), _GIVEN, source=_SOURCE),
        Statement("central_spread", "Within-class variance before whitening", (spread,), _GIVEN, source=_SOURCE),
        Statement(
            "central_projected",
            "Projected gradient: C^2 log(omega) + C omega^2 + omega^4/4 = s/n + const",
            (
                Step(
                    projected,
                    1 / n,
                    "deviations move by a symmetric matrix, normal to Sigma_W = I: the projection leaves m' alone",
                    ByAlgebra(),
                ),
            ),
            _GIVEN,
            source=_SOURCE,
        ),
        Statement(
            "central_whitened",
            "Gradient, then whitening: C log(omega) + omega^2/2 = s/N + const",
            (Step(clock, 1 / (C * n), "omega = m/sqrt(v): omega' = m' - omega v'/2 at v = 1", ByAlgebra()),),
            _GIVEN,
            source=_SOURCE,
        ),
    )
