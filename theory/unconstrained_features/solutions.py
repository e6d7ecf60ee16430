"""Solutions in closed form: each is put into its equation, and starts where it should."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import sympy as sp

from ..checks import refute
from ..derivation import CheckResult, Statement, Step
from ..systems import OdeSystem
from .checks import ByAlgebra, Solution, SolvesEquation, positive
from .collapsed import C, alpha, balanced_ridge_rate, collapsed_flow, eta, kappa, n, p, product_rate, zeta
from .flow import k, lambda_H, lambda_W
from .riccati import riccati, riccati_integral

__all__ = ["closed_forms", "cross_entropy_solutions", "mse_solutions"]

s = sp.Symbol("s", positive=True)
p0, zeta0, decay = sp.symbols("p_0 zeta_0 lambda", positive=True)
c, X, X0 = sp.symbols("c X X_0", positive=True)

_TIME = SolvesEquation(s)
_OURS = "hermiton"


def _positive(value: sp.Expr) -> sp.Expr:
    """The expression in symbols that are known to be positive."""
    return value.xreplace({x: positive(x) for x in value.free_symbols})


_n, _k, _p, _C, _zeta = (positive(x) for x in (n, k, p, C, zeta))


def balanced() -> sp.Expr:
    """p(s) for kappa = 0, without decay."""
    return 1 / (1 + (1 / p0 - 1) * sp.exp(-2 * sp.sqrt(_n) * s / _k))


def ridge() -> sp.Expr:
    """p(s) for kappa = 0 and equal decay."""
    end = 1 - _k * decay / sp.sqrt(_n)
    return end / (1 + (end / p0 - 1) * sp.exp(-2 * sp.sqrt(_n) / _k * end * s))


def unbalanced() -> sp.Expr:
    """X(s) with p = (c/2)(X - 1/X), c = |kappa|/(2 sqrt(n)), without decay."""
    root = sp.sqrt(1 + c**2)
    above, below = (1 + root) / c, (1 - root) / c
    A = (X0 - below) / (above - X0) * sp.exp(2 * sp.sqrt(_n) * root * s / _k)
    return (A * above + below) / (1 + A)


def within_class() -> sp.Expr:
    """Ratio of a difference within a class to its start, in the row space of W, balanced and without decay."""
    return 1 / sp.sqrt(1 + p0 * (sp.exp(2 * sp.sqrt(_n) * s / _k) - 1))


def within_class_ridge() -> sp.Expr:
    """Ratio of a difference within a class to its start, in the row space of W, balanced and with equal decay."""
    end = 1 - _k * decay / sp.sqrt(_n)
    growth = sp.exp(2 * sp.sqrt(_n) / _k * end * s) - 1
    return sp.exp(-decay * s) / sp.sqrt(1 + p0 / end * growth)


def fixed_point() -> dict[str, sp.Expr]:
    """p, alpha and eta at the fixed point with decay."""
    w, h = positive(lambda_W), positive(lambda_H)
    end = 1 - _k * sp.sqrt(w * h / _n)
    return {"p": end, "alpha": sp.sqrt(end * sp.sqrt(_n * h / w)), "eta": sp.sqrt(end * sp.sqrt(w / (_n * h)))}


def implicit() -> sp.Expr:
    """What grows linearly in time under the cross-entropy, for kappa = 0 and without decay."""
    return (_C - 1) * sp.log(_p) + sp.Ei(_p)


def closed_forms() -> dict[str, sp.Expr]:
    """The solutions by name, in the positive symbols s, n, k, p_0, X_0, c, lambda and zeta_0."""
    return {
        "balanced": balanced(),
        "ridge": ridge(),
        "unbalanced": unbalanced(),
        "within_class": within_class(),
        "within_class_ridge": within_class_ridge(),
        "zeta": 1 / _C + (zeta0 - 1 / _C) * sp.exp(-_n * _C * s / _k),
        "implicit": implicit(),
    }


@functools.cache
def mse_solutions() -> tuple[Statement, ...]:
    """Solutions for the squared loss."""
    free, even = _positive(product_rate("mse")), _positive(balanced_ridge_rate("mse"))
    even = even.xreplace({positive(lambda_W): decay})
    curved = free.xreplace({positive(kappa): 2 * sp.sqrt(_n) * c, _p: c / 2 * (X - 1 / X)})
    quadratic = sp.sqrt(_n) / _k * (2 * X - c * X**2 + c)
    flow = collapsed_flow("mse", bias=True)
    (bias,) = (e.value for e in flow.equations if e.target.name == "zeta")
    h, h0 = sp.symbols("h h_0", positive=True)
    forms = closed_forms()

    def solved(
        key: str, title: str, rate: sp.Expr, y: sp.Symbol, start: sp.Expr, form: sp.Expr, *given: str
    ) -> Statement:
        step = Step(Solution(rate, y, start), form, "solve the scalar equation", _TIME)
        return Statement(key, title, (step,), given, source=_OURS)

    return (
        solved(
            "p_balanced",
            "p(s), balanced start",
            sp.simplify(free.xreplace({positive(kappa): sp.S.Zero})),
            _p,
            p0,
            forms["balanced"],
            "kappa = 0",
            "no decay",
        ),
        Statement(
            "p_substitution",
            "With p = (c/2)(X - 1/X) the rate is quadratic in X",
            (
                Step(
                    curved / sp.diff(c / 2 * (X - 1 / X), X),
                    quadratic,
                    "kappa^2 + 4 n p^2 = n c^2 (X + 1/X)^2",
                    ByAlgebra(),
                    symbol=r"\dot X",
                ),
            ),
            ("c = |kappa|/(2 sqrt(n)) > 0", "no decay"),
            source=_OURS,
        ),
        solved(
            "p_unbalanced", "X(s), unbalanced start", quadratic, X, X0, forms["unbalanced"], "kappa != 0", "no decay"
        ),
        solved(
            "p_ridge",
            "p(s), balanced start and equal decay",
            even,
            _p,
            p0,
            forms["ridge"],
            "kappa = 0",
            "lambda_W = lambda_H = lambda != sqrt(n)/k",
        ),
        solved("zeta", "The bias approaches 1/C", _positive(bias), _zeta, zeta0, forms["zeta"], "squared loss"),
        solved(
            "within_class_decay",
            "Differences within a class, to first order, in the row space of W",
            -sp.sqrt(_n) * forms["balanced"] / _k * h,
            h,
            h0,
            h0 * forms["within_class"],
            "kappa = 0: W'W = sqrt(n) p(s) on its row space",
            "no decay",
        ),
        solved(
            "within_class_ridge",
            "Differences within a class, to first order, in the row space of W, with equal decay",
            (-sp.sqrt(_n) * forms["ridge"] / _k - decay) * h,
            h,
            h0,
            h0 * forms["within_class_ridge"],
            "kappa = 0: W'W = sqrt(n) p(s) on its row space",
            "lambda_W = lambda_H = lambda != sqrt(n)/k",
        ),
        solved(
            "within_class_kernel",
            "Differences within a class in the kernel of W, to first order: decay alone moves them",
            -decay * h,
            h,
            h0,
            h0 * sp.exp(-decay * s),
            "lambda_H = lambda; without decay they stay",
        ),
        *_fixed_point(flow),
        riccati(),
        riccati_integral(),
    )


def _fixed_point(flow: OdeSystem) -> tuple[Statement, ...]:
    end = fixed_point()
    values = {alpha: end["alpha"], eta: end["eta"]}
    rates = {e.target.name: e.value for e in flow.equations}
    names = {x: positive(x) for x in (n, k, lambda_W, lambda_H)}
    exists = ("k sqrt(lambda_W lambda_H/n) < 1",)
    zero = sp.Integer(0)
    statements = []
    for name in ("alpha", "eta"):
        velocity = rates[name].xreplace(values).xreplace(names)
        step = Step(velocity, zero, "insert the fixed point", _AtFixedPoint(), symbol=rf"\dot{{\{name}}}")
        statements.append(
            Statement(
                f"fixed_point_{name}",
                f"With decay, {name} stops at p = 1 - k sqrt(lambda_W lambda_H/n)",
                (step,),
                exists,
                source="p_inf for k = N: Tirer & Bruna 2022; the check is ours",
            )
        )
    first, second = rates["alpha"], rates["eta"]
    jacobian = sp.Matrix([[sp.diff(f, y) for y in (alpha, eta)] for f in (first, second)]).xreplace(
        {alpha: zero, eta: zero}
    )
    determinant = Step(
        jacobian.det(),
        lambda_W * lambda_H - n / k**2,
        "linearise at alpha = eta = 0, where the trace is -lambda_W - lambda_H",
        ByAlgebra(),
        symbol=r"\det J(0)",
    )
    statements.append(
        Statement(
            "threshold",
            "The origin attracts exactly if k sqrt(lambda_W lambda_H/n) > 1",
            (determinant,),
            ("small alpha, eta",),
            source=_OURS,
        )
    )
    return tuple(statements)


@dataclass(frozen=True)
class _AtFixedPoint:
    """A velocity vanishes at the fixed point, for 1 - k sqrt(lambda_W lambda_H / n) = q > 0."""

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Write the parameters as squares, so that no root of a product is left."""
        q, x, y, z = sp.symbols("q x y z", positive=True)
        w, h = positive(lambda_W), positive(lambda_H)
        # lambda_W = x^4, lambda_H = y^4, n = z^4 and k = (1 - q) z^2 / (x^2 y^2): all with 0 < q < 1, symbolic
        point = {w: x**4, h: y**4, _n: z**4, _k: (1 - q) * z**2 / (x**2 * y**2)}
        left = sp.simplify(sp.powdenest(sp.simplify((lhs - rhs).xreplace(point)), force=False))
        if left != 0:
            raise refute(lhs, rhs, left, "at the fixed point")
        return CheckResult("substitution", "derived", "vanishes for all positive parameters with 0 < p < 1")


@functools.cache
def cross_entropy_solutions() -> tuple[Statement, ...]:
    """The implicit solution for the cross-entropy."""
    rate = _positive(product_rate("cross_entropy")).xreplace({positive(kappa): sp.S.Zero})
    step = Step(
        sp.diff(implicit(), _p) * sp.simplify(rate),
        2 * sp.sqrt(_n) * _C / _k,
        "d/ds of (C - 1) log p + Ei(p) by the chain rule",
        ByAlgebra(),
        symbol=r"\frac{d}{ds}\left((C-1)\log p+\mathrm{Ei}(p)\right)",
    )
    return (
        Statement(
            "p_implicit",
            "(C - 1) log p + Ei(p) grows linearly in time: p is of the order of log s",
            (step,),
            ("kappa = 0", "no decay"),
            source=_OURS,
        ),
    )
