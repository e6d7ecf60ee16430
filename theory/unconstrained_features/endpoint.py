"""Where the flow without decay ends: what the conserved K = W'W - HH' leaves of NC1, NC2 and NC3.

At zero loss W H = P Y, with P = I - 11'/C where b = 1/C, and P = I without bias; Y Y' = n I. If K = 0, then W W' =
sqrt(n) P and H = W'Y/sqrt(n): the features of a class are one vector (NC1), the class means form the frame (NC2), and
the classifier is aligned with them (NC3). Without bias and for d = C the end is known for every K,

    W'W = (K + (K^2 + 4 n)^{1/2})/2,    H H' = n (W'W)^{-1},

and NC2 and NC3, measured from the orthogonal frame, are functions of the eigenvalues of K alone. They vanish exactly if
these are equal: K need not be 0, but it has to be a multiple of I.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from ..checks import refute
from ..derivation import CheckResult, Statement, Step
from ..systems import Array, IndexSet, IndexSum, instantiate
from .checks import AtSizes, ByAlgebra
from .squares import BySquares
from .words import InWords, Trace, letters

__all__ = ["aligned_statements", "end_eigenvalue", "end_metrics", "end_statements"]

C = sp.Symbol("C", integer=True, positive=True)
a, c = sp.symbols("a c", integer=True)
n, x = sp.Symbol("n", positive=True), sp.Symbol("x", real=True)
EIGENVALUE = Array("g", (IndexSet("class", C),), meaning="eigenvalues of W'W at the end")

W, Wt, H, Ht, Y, Yt, P = letters("W W^T H H^T Y Y^T P")
V, Vt = letters("W^{-1} W^{-T}")

_KNOWN = "the collapsed state is that of Mixon, Parshall & Pi 2020 (strong neural collapse); the steps are hermiton's"
_SIZES = ({C: 1}, {C: 2}, {C: 3})
_REST = "W'W = HH', WH = PY, YY' = n I, PP = P"
_ENDS = ((W * H, P * Y), (Ht * Wt, Yt * P), (Y * Yt, n), (P * P, P))


def aligned_statements() -> tuple[Statement, ...]:
    """K = 0 at zero loss forces NC1, NC2 and NC3."""
    root = sp.sqrt(n)
    weights, features = (Wt * W, H * Ht), (H * Ht, Wt * W)
    gap = W * Wt - root * P
    given = ("W'W = HH'", "zero loss: WH = PY, YY' = n I", "P = I - 11'/C with b = 1/C, or P = I without bias")

    def said(key: str, title: str, *steps: Step) -> Statement:
        return Statement(key, title, steps, given, source=_KNOWN)

    return (
        said(
            "aligned_square",
            "At zero loss with K = 0: (WW')^2 = n P",
            Step(W * Wt * W * Wt, n * P, "W (W'W) W' = (WH)(WH)'", InWords((weights, *_ENDS), _REST)),
        ),
        said(
            "aligned_root",
            "W'X = 0 and P X = 0 for X = WW' - sqrt(n) P: the sum of their squares vanishes",
            Step(
                Trace(gap * (W * Wt) * gap) + root * Trace(gap * P * gap),
                sp.S.Zero,
                "tr X (S + T) X = 0 where S^2 = T^2, for S = WW' and T = sqrt(n) P",
                InWords(((W * Wt * W * Wt, n * P), (P * P, P)), "(WW')^2 = n P, PP = P"),
                symbol=r"|W^\top X|^2 + \sqrt{n}\,|P X|^2",
            ),
        ),
        said(
            "aligned_weights",
            "So X X = 0 and WW' = sqrt(n) P: the rows of the classifier form the frame",
            Step(gap * gap, W * (Wt * gap) - root * P * gap, "X = W W' - sqrt(n) P", InWords()),
        ),
        said(
            "aligned_features",
            "So H = W'Y/sqrt(n): |H - W'Y/sqrt(n)|^2 is twice tr X, and X = 0. NC1, NC2 and NC3 hold exactly",
            Step(
                Trace((Ht - Yt * W / root) * (H - Wt * Y / root)),
                2 * Trace(W * Wt) - 2 * root * Trace(P),
                "expand; tr HH' = tr W'W",
                InWords((features, *_ENDS), _REST),
                symbol=r"|H - W^\top Y/\sqrt{n}|^2",
            ),
        ),
    )


@dataclass(frozen=True)
class _Inserted:
    """Equal after some expressions are replaced by their values.

    Parameters
    ----------
    values : mapping
        What is replaced by what.
    given : str
        Why these are equal.
    """

    values: Mapping[sp.Expr, sp.Expr]
    given: str

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Replace and compare."""
        if (left := sp.simplify(lhs.xreplace(dict(self.values)) - rhs)) != 0:
            raise refute(lhs, rhs, left, f"where {self.given}")
        return CheckResult("substitution", "derived", self.given)


def end_eigenvalue() -> sp.Expr:
    """The eigenvalue of W'W at the end, where K has the eigenvalue x."""
    return (x + sp.sqrt(x**2 + 4 * n)) / 2


def end_metrics() -> dict[str, sp.Expr]:
    """Squares of NC2 and NC3 at the end, in the eigenvalues g of W'W.

    They are distances to the orthogonal frame, of class means that are not centred: | Z'Z/|Z'Z| - I/sqrt(C) | and
    | W/|W| - Z'/|Z| |.
    """
    return {
        "nc2": 2 - 2 * _power_sum(-1) / (sp.sqrt(C) * sp.sqrt(_power_sum(-2))),
        "nc3": 2 - 2 * C / (sp.sqrt(_power_sum(1)) * sp.sqrt(_power_sum(-1))),
    }


def end_statements() -> tuple[Statement, ...]:
    """Without bias and for d = C: the end as a function of K, and an example where NC2 and NC3 stop above 0."""
    given = ("no bias, no decay, d = C", "zero loss: WH = Y; W is invertible, and H = ZY with Z = W^{-1}")
    inverse = ((W * V, sp.S.One), (V * W, sp.S.One), (Wt * Vt, sp.S.One), (Vt * Wt, sp.S.One))
    exact = InWords((*inverse, (H, V * Y), (Ht, Yt * Vt), (Y * Yt, n)), "H = W^{-1}Y, YY' = n I")
    root, g = end_eigenvalue(), EIGENVALUE

    def said(key: str, title: str, *steps: Step) -> Statement:
        return Statement(key, title, steps, given, source="hermiton")

    squared = (Wt * W) * (Wt * W) - (Wt * W - H * Ht) * (Wt * W)
    traces = {
        Trace(sp.S.One): C,
        Trace(W * Wt): _power_sum(1),
        Trace(V * Vt): _power_sum(-1),
        Trace(V * Vt * V * Vt): _power_sum(-2),
    }
    eigenvalues = _Inserted(traces, "tr (W'W)^m is the sum of the powers g^m of the eigenvalues of W'W")
    one, weights, means, grams = traces
    apart = {
        "nc2": (Vt * V / sp.sqrt(grams) - 1 / sp.sqrt(one), Vt * V / sp.sqrt(grams) - 1 / sp.sqrt(one)),
        "nc3": (W / sp.sqrt(weights) - Vt / sp.sqrt(means), Wt / sp.sqrt(weights) - V / sp.sqrt(means)),
    }
    expanded = {
        "nc2": 2 - 2 * means / (sp.sqrt(one) * sp.sqrt(grams)),
        "nc3": 2 - 2 * one / (sp.sqrt(weights) * sp.sqrt(means)),
    }
    names = {
        "nc2": "of the class means: |Z'Z/|Z'Z| - I/sqrt(C)|^2",
        "nc3": "of classifier and means: |W/|W| - Z'/|Z||^2",
    }
    metrics = [
        said(
            f"end_{name}",
            f"{name.upper()} at the end, from the orthogonal frame, {names[name]}",
            Step(Trace(apart[name][0] * apart[name][1]), expanded[name], "expand the square", exact),
            Step(expanded[name], form, "traces by eigenvalues", eigenvalues, symbol=rf"\mathrm{{{name.upper()}}}^2"),
        )
        for name, form in end_metrics().items()
    ]
    spread = IndexSum(IndexSum((g[a] - g[c]) ** 2 / (g[a] * g[c]), c, C), a, C) / 2
    inverse_spread = IndexSum(IndexSum((1 / g[a] - 1 / g[c]) ** 2, c, C), a, C) / 2
    known = (g[a], g[c])
    equal = [
        said(
            f"end_{name}_zero",
            f"{name.upper()} vanishes at the end only where all eigenvalues of K are equal",
            Step(
                value,
                squares,
                "Cauchy and Schwarz, with the rest",
                BySquares(AtSizes({}, _SIZES), sp.S.Zero, False, known),
            ),
        )
        for name, value, squares in (
            ("nc2", C * _power_sum(-2) - _power_sum(-1) ** 2, inverse_spread),
            ("nc3", _power_sum(1) * _power_sum(-1) - C**2, spread),
        )
    ]
    return (
        said(
            "end_gram",
            "G = W'W at the end solves G^2 - K G = n I, with the conserved K = W'W - HH'",
            Step(squared, n, "HH' = n W^{-1}W^{-T}", exact, symbol="G^2 - K G"),
        ),
        said(
            "end_eigenvalue",
            "The positive root: G = (K + (K^2 + 4 n)^{1/2})/2, eigenvalue x by eigenvalue of K",
            Step(
                root**2 - x * root, n, "K = G - n G^{-1} commutes with G", ByAlgebra(positive=False), symbol="g^2 - x g"
            ),
        ),
        *metrics,
        *equal,
        *_example(),
    )


def _power_sum(power: int) -> sp.Expr:
    return IndexSum(EIGENVALUE[c] ** power, c, C)


def _example() -> tuple[Statement, ...]:
    """K_0 = diag(3/2, 8/3) > 0, so that the cost decays to 0 exponentially, yet NC2 and NC3 do not."""
    given = ("C = d = 2, n = 1, no bias, no decay", "K_0 = diag(3/2, 8/3)")
    at = {n: sp.S.One}
    ends = [end_eigenvalue().xreplace({**at, x: sp.Rational(*value)}) for value in ((3, 2), (8, 3))]
    values = {EIGENVALUE[sp.Integer(m)]: end for m, end in enumerate(ends)}
    found = {"nc2": 2 - 5 * sp.sqrt(26) / 13, "nc3": 2 - 4 * sp.sqrt(6) / 5}
    return tuple(
        Statement(
            f"example_{name}",
            f"{name.upper()}^2 ends at {sp.N(found[name], 4)} though the cost decays at the rate 3 at least",
            (
                Step(
                    instantiate(form, {C: 2}),
                    found[name],
                    "W'W ends at diag(2, 3)",
                    _Inserted(values, "W'W = diag(2, 3)"),
                    symbol=rf"\mathrm{{{name.upper()}}}^2",
                ),
            ),
            given,
            source="hermiton",
        )
        for name, form in end_metrics().items()
    )
