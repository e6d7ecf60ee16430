"""Collapsed extended features: rates of p = a2 a1 eta, where it stops with decay, and its solution without.

With decay, p stops where p (1-p)^3 = k^3 lambda_2 lambda_1 lambda_H / n^2. The left-hand side is at most 27/256, at
p = 1/4: beyond that only the origin is left, and below there are two such p, of which the larger attracts. The origin
always attracts too, unlike with one layer: collapse needs a start that is large enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from ..checks import refute
from ..derivation import CheckResult, Statement, Step
from ..systems import OdeSystem
from .checks import AlongFlow, ByAlgebra, Rate, positive
from .extended import A1, A2, ETA, KAPPA1, KAPPA2, SOURCE, a1, a2, eta, extended_collapsed_flow, lambda_1, lambda_2, n
from .flow import k, lambda_H

__all__ = ["balanced_rate", "equilibrium", "extended_solutions", "implicit", "largest_decay", "square_of_product"]

p, y, decay = sp.symbols("p y lambda", positive=True)
mark = sp.Symbol("x")
C = sp.Symbol("C", positive=True)
_n, _k = positive(n), positive(k)
_AT_REST = ("at rest, a2, a1, eta != 0",)


def equilibrium() -> sp.Expr:
    """What equals k^3 lambda_2 lambda_1 lambda_H / n^2 where p rests."""
    return p * (1 - p) ** 3


def largest_decay() -> tuple[sp.Expr, sp.Expr]:
    """The p where `equilibrium` is largest, and its value there."""
    return sp.Rational(1, 4), sp.Rational(27, 256)


def balanced_rate() -> sp.Expr:
    """The rate of p for a2^2 = a1^2 = n eta^2 and equal decays, in p."""
    return 3 * _n ** sp.Rational(2, 3) / _k * p ** sp.Rational(4, 3) * (1 - p) - 3 * decay * p


def square_of_product(x: sp.Expr, kappa1: sp.Expr, kappa2: sp.Expr) -> sp.Expr:
    """``n p^2`` in x = n eta^2 and the two invariants."""
    return x * (x + kappa1) * (x + kappa1 + kappa2)


def implicit() -> sp.Expr:
    """What grows linearly in time, for a balanced start without decay, in y = p^{1/3} < 1."""
    root = sp.sqrt(3)
    return -1 / y - sp.log(1 - y) / 3 + sp.log(1 + y + y**2) / 6 - sp.atan((2 * y + 1) / root) / root


@dataclass(frozen=True)
class _AtRest:
    """Equal where the velocities of a2, a1 and eta vanish, which gives the decays in terms of a2, a1 and eta.

    Parameters
    ----------
    system : OdeSystem
        The equations of a2, a1 and eta.
    """

    system: OdeSystem

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Solve the equations for the decays, which they are affine in, and insert."""
        decays = {}
        for equation, decay in zip(self.system.equations, (lambda_2, lambda_1, lambda_H), strict=True):
            slope = sp.diff(equation.value, decay)
            decays[decay] = sp.cancel(-equation.value.xreplace({decay: sp.S.Zero}) / slope)
        difference = (lhs - rhs).xreplace(decays).xreplace({p: a2 * a1 * eta})
        if (left := sp.cancel(sp.together(difference))) != 0:
            raise refute(lhs, rhs, left, "at rest")
        return CheckResult(
            "substitution", "derived", "the equations at rest give the decays; rational identity in a2, a1, eta"
        )


def _said(key: str, title: str, *steps: Step, given: tuple[str, ...] = ()) -> Statement:
    return Statement(key, title, steps, given, source=SOURCE)


def extended_solutions(flow: OdeSystem | None = None) -> tuple[Statement, ...]:
    """Rates of invariants and of p, equilibria and their stability, and the solution of balanced starts."""
    flow = flow or extended_collapsed_flow()
    return (*_rates(flow), *_equilibria(flow), *_stability(flow), *_balanced(flow))


def _rates(flow: OdeSystem) -> list[Statement]:
    along = AlongFlow(flow, {}, ({},))
    decays = {A2: lambda_2, A1: lambda_1, ETA: lambda_H}
    squares = {A2: a2**2, A1: a1**2, ETA: n * eta**2}
    statements = []
    for name, first, second in ((KAPPA2, A2, A1), (KAPPA1, A1, ETA)):
        step = Step(
            Rate(squares[first] - squares[second]),
            -2 * decays[first] * squares[first] + 2 * decays[second] * squares[second],
            "the loss cancels",
            along,
            symbol=rf"\dot{{{name.latex}}}",
        )
        statements.append(_said(f"rate_{name.name}", f"{name.name} = {name.meaning} is conserved without decay", step))
    pull = (n * a1**2 * eta**2 + n * a2**2 * eta**2 + a2**2 * a1**2) * (1 - a2 * a1 * eta) / k
    step = Step(
        Rate(a2 * a1 * eta),
        pull - (lambda_2 + lambda_1 + lambda_H) * a2 * a1 * eta,
        "product rule",
        along,
        symbol=r"\dot p",
    )
    statements.append(_said("rate_p", "Rate of the product p", step))
    square = Step(
        Rate(n * eta**2),
        2 * n / k * a2 * a1 * eta * (1 - a2 * a1 * eta) - 2 * lambda_H * n * eta**2,
        "the equation of eta times 2 n eta",
        along,
        symbol=r"\dot x",
    )
    kappa2, kappa1 = a2**2 - a1**2, a1**2 - n * eta**2
    cubic = Step(
        n * (a2 * a1 * eta) ** 2,
        square_of_product(n * eta**2, kappa1, kappa2),
        "a1^2 = x + kappa1, a2^2 = x + kappa1 + kappa2",
        ByAlgebra(positive=False),
        symbol="n p^2",
    )
    statements += [
        _said("rate_x", "Rate of x = n eta^2", square),
        _said(
            "quadrature",
            "n p^2 = x (x + kappa1)(x + kappa1 + kappa2): without decay s is the integral of k dx / (2 n p (1-p))",
            cubic,
            given=("x = n eta^2", "no decay: kappa1 and kappa2 are conserved"),
        ),
    ]
    size = (sp.sqrt(_n) * p) ** sp.Rational(1, 3)  # a2 = a1 = sqrt(n) eta
    values = {
        a2: size,
        a1: size,
        eta: size / sp.sqrt(_n),
        n: _n,
        k: _k,
        lambda_2: decay,
        lambda_1: decay,
        lambda_H: decay,
    }
    step = Step(
        step.rhs.xreplace(values),
        balanced_rate(),
        "a2 = a1 = sqrt(n) eta = (sqrt(n) p)^{1/3}",
        ByAlgebra(),
        symbol=r"\dot p",
    )
    given = ("a2^2 = a1^2 = n eta^2", "equal decays lambda", "p > 0")
    statements.append(_said("rate_p_balanced", "Rate of p for a balanced start and equal decays", step, given=given))
    return statements


def _equilibria(flow: OdeSystem) -> list[Statement]:
    rest = _AtRest(flow)
    where, largest = largest_decay()
    product = Step(
        k**3 * lambda_2 * lambda_1 * lambda_H / n**2,
        equilibrium(),
        "multiply the three equations",
        rest,
    )
    statements = [_said("equilibrium", "Where p = a2 a1 eta rests", product, given=_AT_REST)]
    for name, left in (("a2", lambda_2 * a2**2), ("a1", lambda_1 * a1**2), ("eta", lambda_H * n * eta**2)):
        step = Step(left, n / k * p * (1 - p), "the equation times its coordinate", rest)
        statements.append(_said(f"equilibrium_{name}", f"The size of {name} where p rests", step, given=_AT_REST))
    slope = Step(
        sp.diff(equilibrium(), p),
        (1 - p) ** 2 * (1 - p / where),
        "differentiate",
        ByAlgebra(),
        symbol=r"\frac{d}{dp}\,p(1-p)^3",
    )
    top = Step(equilibrium().xreplace({p: where}), largest, "insert p = 1/4", ByAlgebra())
    given = ("0 < p < 1",)
    statements += [
        _said("equilibrium_slope", "p (1-p)^3 grows up to p = 1/4, and falls beyond", slope, given=given),
        _said(
            "equilibrium_exists",
            "So p rests above 0 exactly if k^3 lambda_2 lambda_1 lambda_H/n^2 <= 27/256, at two values if it is less",
            top,
            given=given,
        ),
    ]
    cost = (
        C * n * (1 - a2 * a1 * eta) ** 2 / (2 * k)
        + C * (lambda_2 * a2**2 + lambda_1 * a1**2 + n * lambda_H * eta**2) / 2
    )
    lower = Step(
        cost - C * n / (2 * k),
        -C * n / (2 * k) * p * (2 * p - 1),
        "insert the sizes; at the origin the cost is C n/(2k)",
        rest,
        symbol=r"\mathcal C(p) - \mathcal C(0)",
    )
    title = (
        "The cost where p rests is below that at the origin exactly if p > 1/2: if p(1-p)^3 < 1/16 on the larger branch"
    )
    statements.append(_said("equilibrium_cost", title, lower, given=_AT_REST))
    return statements


def _stability(flow: OdeSystem) -> list[Statement]:
    variables = (a2, a1, eta)
    jacobian = sp.Matrix([[sp.diff(e.value, v) for v in variables] for e in flow.equations])
    origin = jacobian.xreplace({v: sp.S.Zero for v in variables})
    characteristic = Step(
        (mark * sp.eye(3) - origin).det(),
        (mark + lambda_2) * (mark + lambda_1) * (mark + lambda_H),
        "linearise at a2 = a1 = eta = 0",
        ByAlgebra(positive=False),
        symbol=r"\det(x - J(0))",
    )
    # in logarithms of the coordinates: row m of the Jacobian is lambda_m (g 1' - 2 e_m'), g = (1-2p)/(1-p)
    logarithmic = sp.diag(*(1 / v for v in variables)) * jacobian * sp.diag(*variables)
    decays = sp.diag(lambda_2, lambda_1, lambda_H)
    scaled = decays.inv() * logarithmic
    polynomial = Step(
        (mark * sp.eye(3) - scaled).det(),
        (mark + 2) ** 2 * (mark - (1 - 4 * p) / (1 - p)),
        "J = Lambda A with Lambda = diag(lambda_2, lambda_1, lambda_H) in logarithms of a2, a1, eta",
        _AtRest(flow),
        symbol=r"\det(x - \Lambda^{-1}J)",
    )
    symmetric = Step(
        sum(((scaled[m, l] - scaled[l, m]) ** 2 for m in range(3) for l in range(m)), sp.S.Zero),
        sp.S.Zero,
        "A is symmetric, so J = Lambda A has as many positive eigenvalues as A",
        _AtRest(flow),
        symbol=r"|A - A^\top|^2/2",
    )
    return [
        _said(
            "origin",
            "The origin attracts if all decays are positive, however small: collapse needs a large enough start",
            characteristic,
        ),
        _said(
            "stability_symmetric",
            "Linearised where p rests: J = Lambda A with a symmetric A",
            symmetric,
            given=_AT_REST,
        ),
        _said(
            "stability",
            "A has the eigenvalues -2, -2 and (1-4p)/(1-p): p attracts if p > 1/4, and is a saddle if p < 1/4",
            polynomial,
            given=_AT_REST,
        ),
    ]


def _balanced(flow: OdeSystem) -> list[Statement]:
    free = balanced_rate().xreplace({decay: sp.S.Zero}).xreplace({p: y**3})
    grown = Step(
        sp.diff(implicit(), y) * free / (3 * y**2),
        _n ** sp.Rational(2, 3) / _k,
        "d/ds by the chain rule, y' = p'/(3 y^2)",
        ByAlgebra(),
    )
    late = Step(
        sp.diff(balanced_rate().xreplace({decay: sp.S.Zero}), p).xreplace({p: sp.S.One}),
        -3 * _n ** sp.Rational(2, 3) / _k,
        "linearise at p = 1",
        ByAlgebra(),
    )
    given = ("a2^2 = a1^2 = n eta^2", "no decay")
    title = "-1/y - log(1-y)/3 + log(1+y+y^2)/6 - atan((2y+1)/sqrt 3)/sqrt 3 = n^{2/3} s/k + const, y = p^{1/3}"
    return [
        _said("p_implicit", title, grown, given=given),
        _said("p_late", "1 - p decays at the rate 3 n^{2/3}/k in the end", late, given=given),
    ]
