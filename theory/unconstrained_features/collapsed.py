"""Collapsed states W = alpha U, H = eta U' Y, b = zeta 1: the flow stays on them, and three numbers say all.

U is a frame of C vectors: a simplex, U U' = I - 11'/C, or for the squared loss without bias orthogonal, U U' = I.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from ..derivation import Statement, Step
from ..systems import Array, Definition, OdeSystem
from .checks import AlongFlow, ByAlgebra, OnFrame, Rate
from .flow import K_, LH, LW, k, lambda_H, lambda_W

__all__ = ["collapsed_flow", "collapsed_statements"]

ALPHA = Array("alpha", latex=r"\alpha", meaning="W = alpha U")
ETA = Array("eta", latex=r"\eta", meaning="H = eta U' Y")
ZETA = Array("zeta", latex=r"\zeta", meaning="b = zeta 1")
CLASSES = Array("C", field="classes", meaning="number of classes")
PER_CLASS = Array("n", field="per_class", meaning="samples of a class")
PRODUCT = Array("p", meaning="alpha eta: outputs are p U U' Y + zeta")
KAPPA = Array("kappa", latex=r"\kappa", meaning="alpha^2 - n eta^2")

alpha, eta, zeta, C, n = ALPHA.symbol, ETA.symbol, ZETA.symbol, CLASSES.symbol, PER_CLASS.symbol
p, kappa = PRODUCT.symbol, KAPPA.symbol

_REDUCTION = "the collapsed state is known from the neural-collapse literature; the reduction is ours"


def residual(loss: str, product: sp.Expr) -> sp.Expr:
    """What is missing to the labels on the frame: minus the residual E is this times U U' Y."""
    return 1 - product if loss == "mse" else C / (sp.exp(product) + C - 1)


def collapsed_flow(loss: str, bias: bool, rates: Mapping[str, sp.Expr] | None = None) -> OdeSystem:
    """The equations of alpha, eta and zeta; `rates` replaces right-hand sides by name."""
    missing = residual(loss, alpha * eta)
    values = {
        "alpha": n / k * missing * eta - lambda_W * alpha,
        "eta": missing * alpha / k - lambda_H * eta,
        "zeta": -n * C / k * (zeta - 1 / C) if loss == "mse" else sp.Integer(0),
        **(rates or {}),
    }
    states = (ALPHA, ETA, ZETA) if bias else (ALPHA, ETA)
    return OdeSystem(
        name=f"collapsed_features_{loss}",
        sets=(),
        states=states,
        parameters=(CLASSES, PER_CLASS, K_, LW, LH),
        definitions=(),
        moments=(),
        equations=tuple(Definition(state, (), values[state.name]) for state in states),
        observables=(Definition(PRODUCT, (), alpha * eta), Definition(KAPPA, (), alpha**2 - n * eta**2)),
        time="gradient-flow time s",
        assumptions=("the start is collapsed: W = alpha U, H = eta U' Y, b = zeta 1",),
    )


def collapsed_statements(full: OdeSystem, reduced: OdeSystem, loss: str) -> tuple[Statement, ...]:
    """The collapsed states are invariant; the rates of their coordinates and of p = alpha eta and kappa."""
    simplex = loss == "cross_entropy" or ZETA in reduced.states
    rates = {e.target.name: e.value for e in reduced.equations}
    statements = []
    for state, coordinate in (("W", ALPHA), ("H", ETA), ("b", ZETA)):
        if coordinate not in reduced.states:
            continue
        checker = OnFrame(full, state, simplex, (alpha, eta, zeta), (C, n))
        step = Step(
            Rate(coordinate.symbol),
            rates[coordinate.name],
            f"insert the collapsed state: the velocity of {state} is a multiple of its direction",
            checker,
        )
        statements.append(
            Statement(
                f"collapsed_{coordinate.name}",
                f"Collapsed states are invariant: rate of {coordinate.name}",
                (step,),
                ("W = alpha U, H = eta U' Y, b = zeta 1", "U U' = I - 11'/C" if simplex else "U U' = I"),
                source=_REDUCTION,
            )
        )
    return (*statements, *_invariants(reduced, loss))


def product_rate(loss: str) -> sp.Expr:
    """The rate of p without decay, in p and kappa."""
    return sp.sqrt(kappa**2 + 4 * n * p**2) * residual(loss, p) / k


def balanced_ridge_rate(loss: str) -> sp.Expr:
    """The rate of p for kappa = 0 and equal decay, in p."""
    return 2 * sp.sqrt(n) / k * p * residual(loss, p) - 2 * lambda_W * p


def _invariants(reduced: OdeSystem, loss: str) -> tuple[Statement, ...]:
    along = AlongFlow(reduced, {}, ({},))
    difference = Step(
        Rate(alpha**2 - n * eta**2),
        -2 * lambda_W * alpha**2 + 2 * n * lambda_H * eta**2,
        "the loss cancels",
        along,
        symbol=r"\dot\kappa",
    )
    missing = residual(loss, alpha * eta)
    general = (n * eta**2 + alpha**2) * missing / k - (lambda_W + lambda_H) * alpha * eta
    product = Step(Rate(alpha * eta), general, "product rule", along, symbol=r"\dot p")
    free = general.xreplace({lambda_W: sp.S.Zero, lambda_H: sp.S.Zero})
    root = Step(
        free,
        product_rate(loss).xreplace({p: alpha * eta, kappa: alpha**2 - n * eta**2}),
        "(alpha^2 + n eta^2)^2 = kappa^2 + 4 n p^2",
        ByAlgebra(),
        symbol=r"\dot p",
    )
    balanced = {alpha: sp.sqrt(sp.sqrt(n) * p), eta: sp.sqrt(p / sp.sqrt(n)), lambda_H: lambda_W}
    ridge = Step(
        general.subs(balanced, simultaneous=True),
        balanced_ridge_rate(loss),
        "alpha^2 = sqrt(n) p, n eta^2 = sqrt(n) p",
        ByAlgebra(),
        symbol=r"\dot p",
    )
    return (
        Statement("rate_kappa", "kappa is conserved without decay", (difference,), source=_REDUCTION),
        Statement("rate_p", "Rate of the product p", (product,), source="hermiton"),
        Statement(
            "rate_p_free",
            "Rate of p without decay, closed in p",
            (root,),
            ("lambda_W = lambda_H = 0", "p > 0"),
            source="hermiton",
        ),
        Statement(
            "rate_p_balanced",
            "Rate of p for a balanced start and equal decay",
            (ridge,),
            ("kappa = 0", "lambda_W = lambda_H", "p > 0"),
            source="hermiton",
        ),
    )
