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
from ..systems import Array, Definition, IndexSet, IndexSum, OdeSystem, instantiate
from .checks import ByAlgebra, Rate, Written, symbol
from .flow import CLASS, FEATURE, SAMPLE, B, E, H, W, Y, feature_flow, k, lambda_H, lambda_W
from .words import Trace, letters

__all__ = ["central_path", "clocks", "path_metrics"]

omega, C, n, m, v = sp.symbols("omega C n m v", positive=True)
c, j, r = sp.symbols("c j r", integer=True)
RANK = sp.Symbol("R", integer=True, positive=True)
OMEGA = Array("omega", (IndexSet("direction", RANK),), latex=r"\omega", meaning="singular values of [mu_c - mu]")

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


def path_metrics() -> dict[str, sp.Expr]:
    """The cost at the least-squares fit, and NC1, in the singular values omega_j of the centred class means."""
    value = OMEGA[j]
    return {"cost": IndexSum(1 / (C + value**2), j, C - 1) / 2, "nc1": IndexSum(1 / value**2, j, RANK)}


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


@dataclass(frozen=True)
class _AtPoint:
    """The cost and NC1 at the same point of the path, from the residuals and the features there.

    Parameters
    ----------
    system : OdeSystem
        The equations of W, H and b.
    quantity : {"cost", "nc1"}
        What the right-hand side is the value of.
    """

    system: OdeSystem
    quantity: str

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Compute the quantity from its definition."""
        residuals, features = _point(tuple(x for x in self.system.definitions if isinstance(x, Definition)))
        samples, rank = _CLASSES * _PER_CLASS, len(_OMEGAS)
        if self.quantity == "cost":
            found = sum((e**2 for e in residuals), sp.S.Zero) / (2 * samples)
        else:
            H = sp.Matrix(rank, samples, features)
            average = sp.kronecker_product(sp.eye(_CLASSES), sp.ones(_PER_CLASS) / _PER_CLASS)
            means = H * average
            mean = means * sp.ones(samples, 1) / samples
            centred = means - mean * sp.ones(1, samples)
            within, between = (H - means) * (H - means).T / samples, centred * centred.T / samples
            found = (within * between.inv()).trace() / _CLASSES
        values = {OMEGA[m]: omega for m, omega in enumerate((*_OMEGAS, sp.S.Zero))}
        claim = instantiate(rhs.xreplace({C: sp.Integer(_CLASSES)}), {RANK: rank}).xreplace(values)
        if (left := sp.cancel(sp.together(found - claim))) != 0:
            raise refute(lhs, rhs, left, f"for the {self.quantity} at a point of the path")
        return CheckResult("symbolic", "derived", "symbolic omegas, C = 4, d = 2, n = 4, from the definition")


def _point(definitions: tuple[Definition, ...]) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """Residuals and features at a point of the path with symbolic omegas."""
    samples = _CLASSES * _PER_CLASS
    point, inverses, residual = _values(definitions)
    residuals = [point[symbol(residual.target[c, t])] for c, t in itertools.product(range(_CLASSES), range(samples))]
    features = [point[symbol(H[x, t])] for x, t in itertools.product(range(len(_OMEGAS)), range(samples))]
    return [e.xreplace(inverses) for e in residuals], features


@functools.lru_cache(maxsize=4)
def _velocities(
    equations: tuple[Definition, ...], definitions: tuple[Definition, ...]
) -> tuple[list[sp.Expr], list[list[sp.Expr]]]:
    """Of W and b, and of H by component and sample, at a point of the path with symbolic omegas."""
    samples = _CLASSES * _PER_CLASS
    point, inverses, _ = _values(definitions)
    weights, features, bias = equations

    def value(item: Definition, *place: int) -> sp.Expr:
        return _value(item, place, point)

    resting = [value(bias, c) for c in range(_CLASSES)]
    resting += [value(weights, c, x) for c in range(_CLASSES) for x in range(len(_OMEGAS))]
    moving = [
        [sp.cancel(value(features, x, t).xreplace(inverses)) for t in range(samples)] for x in range(len(_OMEGAS))
    ]
    return [sp.cancel(v.xreplace(inverses)) for v in resting], moving


def _value(item: Definition, place: tuple[int, ...], point: dict[sp.Expr, sp.Expr]) -> sp.Expr:
    """The right-hand side of an entry, entries replaced by their values."""
    write = Written({CLASS.size: _CLASSES, FEATURE.size: len(_OMEGAS), SAMPLE.size: _CLASSES * _PER_CLASS})
    index = dict(zip(item.indices, map(sp.Integer, place), strict=True))
    return sp.expand(write(item.value.xreplace(index)).xreplace(point))


@functools.lru_cache(maxsize=4)
def _values(
    definitions: tuple[Definition, ...],
) -> tuple[dict[sp.Expr, sp.Expr], dict[sp.Symbol, sp.Expr], Definition]:
    """Every entry at a point of the path, with letters for 1/(C + omega^2), what these are, and the residual."""
    samples, half = _CLASSES * _PER_CLASS, sp.S.Half
    # 1/(C + omega^2) is a letter while sums are expanded, which is faster than fractions.
    inverses = {sp.Dummy(f"q_{x}"): 1 / (_CLASSES + size**2) for x, size in enumerate(_OMEGAS)}
    point: dict[sp.Expr, sp.Expr] = {k: sp.Integer(samples), lambda_W: sp.S.Zero, lambda_H: sp.S.Zero}
    for c in range(_CLASSES):
        point[symbol(B[c])] = sp.Rational(1, _CLASSES)
        for x, (size, inverse) in enumerate(zip(_OMEGAS, inverses, strict=True)):
            point[symbol(W[c, x])] = half * _SIGNS[c][x] * size * inverse
        for t in range(samples):
            point[symbol(Y[c, t])] = sp.Integer(int(t // _PER_CLASS == c))
    for t, (x, size) in itertools.product(range(samples), enumerate(_OMEGAS)):
        point[symbol(H[x, t])] = half * _SIGNS[t // _PER_CLASS][x] * size + _SIGNS[t % _PER_CLASS][x]
    (residual,) = definitions
    for c, t in itertools.product(range(_CLASSES), range(samples)):
        point[symbol(residual.target[c, t])] = _value(residual, (c, t), point)
    return point, inverses, residual


def central_path() -> tuple[Statement, ...]:
    """How class means and deviations move on the path, and the two clocks."""
    system, rates, invariants = feature_flow("mse", bias=True), velocities(), clocks()
    mean = Step(Rate(m), rates["mean"], "insert the least-squares fit", _AtLeastSquares(system, "mean"))
    spread = Step(Rate(v), rates["spread"], "insert the least-squares fit", _AtLeastSquares(system, "spread"))
    metrics = path_metrics()
    residual = IndexSum(IndexSum(E[c, r] ** 2, r, C * n), c, C) / (2 * C * n)
    cost = Step(residual, metrics["cost"], "insert the least-squares fit", _AtPoint(system, "cost"))
    within, between = letters("Sigma_W Sigma_B^+")
    nc1 = Step(Trace(within * between) / C, metrics["nc1"], "Sigma_W = I", _AtPoint(system, "nc1"), symbol="NC1")
    whitened = rates["mean"] - omega * rates["spread"] / 2
    projected = sp.diff(invariants["projected"], omega) * rates["mean"]
    clock = sp.diff(invariants["whitened"], omega) * whitened
    return (
        Statement("central_mean", "Class means on the central path", (mean,), _GIVEN, source=_SOURCE),
        Statement("central_spread", "Within-class variance before whitening", (spread,), _GIVEN, source=_SOURCE),
        Statement("central_cost", "The cost at the least-squares fit", (cost,), _GIVEN, source=_SOURCE),
        Statement(
            "central_nc1", "NC1 on the central path, R directions with omega > 0", (nc1,), _GIVEN, source=_SOURCE
        ),
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
            "central_rate_whitened",
            "Rate of omega where a gradient step is followed by whitening",
            (
                Step(
                    whitened,
                    omega / (C * n * (C + omega**2)),
                    "omega = m/sqrt(v): omega' = m' - omega v'/2 at v = 1",
                    ByAlgebra(),
                    symbol=r"\dot\omega",
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
