"""The matrix Riccati equation of balanced starts: solved in noncommuting symbols, so for matrices of any size."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from ..checks import refute
from ..derivation import CheckResult, Statement, Step
from .checks import Rate, Solution, SolvesEquation

__all__ = ["riccati", "riccati_integral", "riccati_solution"]

_F, _e, _Q, _Qt, _M, _G = (sp.Symbol(x, commutative=False) for x in ("F", "e^{Fs}", "Q_0", "Q_0^T", "M", "G"))


def riccati_solution() -> sp.Expr:
    """P(s) = e^{Fs} Q_0 G^{-1} Q_0' e^{Fs}, G = 1 + Q_0' M Q_0, M the integral of e^{2Fr} from 0 to s."""
    return _e * _Q * _G**-1 * _Qt * _e


@dataclass(frozen=True)
class _MatrixSolution:
    """P' = rhs with e^{Fs}' = F e^{Fs}, M' = e^{2Fs}, in the free algebra where F and e^{Fs} alone commute."""

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Differentiate by the product rule, compare words, and look at s = 0."""
        (solution,) = lhs.args
        difference = sp.expand(_sorted(sp.expand(_derivative(solution) - rhs)))
        if difference != 0:
            raise refute(lhs, rhs, difference, "as words in F, e^{Fs}, Q_0, G^{-1}")
        start = solution.xreplace({_e: sp.S.One, _G: sp.S.One})
        if start != _Q * _Qt:
            raise refute(solution, _Q * _Qt, start - _Q * _Qt, "at s = 0")
        return CheckResult("symbolic", "derived", "product rule in noncommuting symbols, so for matrices of any size")


def _derivative(value: sp.Expr) -> sp.Expr:
    if isinstance(value, sp.Add):
        return sp.Add(*map(_derivative, value.args))
    if isinstance(value, sp.Mul):
        args = value.args
        return sp.Add(*(sp.Mul(*args[:m], _derivative(x), *args[m + 1 :]) for m, x in enumerate(args)))
    if value == _e:
        return _F * _e
    if value == _G**-1:
        return -(_G**-1) * _Qt * _e * _e * _Q * _G**-1
    if isinstance(value, sp.Pow) and value.base == _e and value.exp.is_Integer and value.exp > 0:
        return value.exp * _F * value
    if value.is_number or value in (_Q, _Qt, _F):
        return sp.S.Zero
    raise refute(value, value, value, "no derivative is known")


def _sorted(value: sp.Expr) -> sp.Expr:
    """Words with F moved to the left of the e^{Fs} before it."""
    terms = []
    for term in sp.Add.make_args(value):
        numbers, word = term.args_cnc()
        letters = [x.base if isinstance(x, sp.Pow) and x.base == _e else x for x in word for _ in range(_copies(x))]
        moved = True
        while moved:
            moved = False
            for m in range(len(letters) - 1):
                if letters[m] == _e and letters[m + 1] == _F:
                    letters[m : m + 2] = [_F, _e]
                    moved = True
        terms.append(sp.Mul(*numbers, *letters))
    return sp.Add(*terms)


def _copies(letter: sp.Expr) -> int:
    return int(letter.exp) if isinstance(letter, sp.Pow) and letter.base == _e else 1


def riccati() -> Statement:
    """P = Q Q' in closed form."""
    P = riccati_solution()
    step = Step(
        Rate(P),
        _F * P + P * _F - P * P,
        "differentiate: M' = e^{2Fs}, and e^{Fs} commutes with F",
        _MatrixSolution(),
        symbol=r"\dot P",
    )
    return Statement(
        "riccati",
        "P = Q Q' for a balanced start without bias, within-class parts included",
        (step,),
        (
            "W_0'W_0 = H_0H_0', equal decay lambda, no bias",
            "time in units of k; F = [[0, Y], [Y', 0]] - k lambda I",
            "G = I + Q_0' M Q_0, M the integral of e^{2Fr} over 0 < r < s",
        ),
        source="hermiton",
    )


def riccati_integral() -> Statement:
    """The integral M in closed form, eigenvalue by eigenvalue of F."""
    f, s = sp.Symbol("f", real=True, nonzero=True), sp.Symbol("s", positive=True)
    step = Step(
        Solution(sp.exp(2 * f * s), sp.Symbol("M"), sp.S.Zero),
        (sp.exp(2 * f * s) - 1) / (2 * f),
        "integrate",
        SolvesEquation(s),
    )
    return Statement(
        "riccati_integral",
        "M has the eigenvalues (e^{2fs} - 1)/(2f) for those f of F: computed as expm1(2fs)/(2f), and s for f = 0",
        (step,),
        ("F is symmetric",),
        source="hermiton",
    )
