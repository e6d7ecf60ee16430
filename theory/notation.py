"""Every symbol of the theory once: its SymPy object, LaTeX, meaning, shape and scaling, and its names in the papers."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field

import sympy as sp

from .errors import argument_error

__all__ = ["NOTATION", "Notation", "Symbol", "symbol", "z"]

z = sp.Symbol("z", real=True)
"""The variable every activation is written in."""


@dataclass(frozen=True)
class Symbol:
    """One entry of the notation.

    Parameters
    ----------
    key : str
        Name in code.
    sympy : sympy.Symbol, sympy.IndexedBase or sympy.Function
        The object that stands for it in derivations.
    latex : str
        How it prints.
    meaning : str
        In words, with its definition.
    shape : tuple of str
        Index ranges in terms of N, K, M; empty for a scalar.
    scaling : str
        Order in N for N to infinity.
    aliases : dict
        Its name in papers: paper to LaTeX.
    """

    key: str
    sympy: sp.Basic | type[sp.Function]
    latex: str
    meaning: str
    shape: tuple[str, ...] = ()
    scaling: str = "O(1)"
    aliases: dict[str, str] = field(default_factory=dict, hash=False)

    def _repr_latex_(self) -> str:
        return f"${self.latex}$"


class Notation:
    """The registry of symbols, in reading order.

    Parameters
    ----------
    entries : tuple of Symbol
        Keys must differ.

    Raises
    ------
    AssumptionError
        If two entries have one key.
    """

    def __init__(self, entries: tuple[Symbol, ...]) -> None:
        self._entries: dict[str, Symbol] = {}
        for entry in entries:
            if self._entries.setdefault(entry.key, entry) is not entry:
                raise argument_error("entries", entry.key, "occurs twice", "give each symbol one entry")

    def __getitem__(self, key: str) -> Symbol:
        try:
            return self._entries[key]
        except (KeyError, TypeError):
            close = difflib.get_close_matches(str(key), self._entries, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(self._entries)}"
            raise argument_error("key", key, "names no symbol", hint) from None

    def __iter__(self) -> Iterator[Symbol]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def table(self) -> str:
        """The registry as aligned text.

        Returns
        -------
        str
        """
        rows = [("key", "shape", "scaling", "meaning", "elsewhere"), *(_row(entry) for entry in self)]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[4]]).rstrip() for row in rows]
        return "\n".join(lines)

    __str__ = table

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("symbol", "key", "shape", "scaling", "meaning", "elsewhere"))
        body = "".join(
            "<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in (f"${e.latex}$", *_row(e, latex=True))) + "</tr>"
            for e in self
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(entry: Symbol, latex: bool = False) -> tuple[str, str, str, str, str]:
    quote = "$" if latex else ""
    elsewhere = "; ".join(f"{paper}: {quote}{name}{quote}" for paper, name in entry.aliases.items())
    return entry.key, f"({', '.join(entry.shape)})" if entry.shape else "", entry.scaling, entry.meaning, elsewhere


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _scalar(name: str, **assumptions: bool) -> sp.Symbol:
    return sp.Symbol(name, **(assumptions or {"real": True}))


def _base(name: str) -> sp.IndexedBase:
    return sp.IndexedBase(name, real=True)


_SAAD = "Saad & Solla 1995"
_GOLDT = "Goldt et al. 2019"

_SIZES = (
    Symbol("N", _scalar("N", integer=True, positive=True), "N", "input dimension", scaling="N"),
    Symbol("K", _scalar("K", integer=True, positive=True), "K", "student width"),
    Symbol("M", _scalar("M", integer=True, positive=True), "M", "teacher width"),
)
_NETWORK = (
    Symbol("x", _base("x"), "x", "input vector, standard Gaussian entries", ("N",), aliases={_SAAD: r"\xi"}),
    Symbol("w", _base("w"), "w", "student first-layer weights", ("K", "N"), aliases={_SAAD: "J"}),
    Symbol("w*", _base("w^*"), "w^*", "teacher first-layer weights", ("M", "N"), aliases={_SAAD: "B"}),
    Symbol("v", _base("v"), "v", "student second-layer weights", ("K",)),
    Symbol("A", _base("A"), "A", "teacher second-layer weights", ("M",), aliases={_GOLDT: "v^*"}),
    Symbol("lambda", _base("lambda"), r"\lambda", "student fields w.x/sqrt(N)", ("K",), aliases={_SAAD: "x"}),
    Symbol("nu", _base("nu"), r"\nu", "teacher fields w*.x/sqrt(N)", ("M",), aliases={_SAAD: "y", _GOLDT: r"\rho"}),
    Symbol("z", z, "z", "argument of an activation; as a vector z_a, the fields (lambda, nu)"),
)
_TRAINING = (
    Symbol("eta", _scalar("eta", nonnegative=True), r"\eta", "learning rate of the first layer"),
    Symbol("eta_v", _scalar("eta_v", nonnegative=True), r"\eta_v", "learning rate of the second layer"),
    Symbol("sigma", _scalar("sigma", nonnegative=True), r"\sigma", "standard deviation of the label noise"),
    Symbol("zeta", _scalar("zeta"), r"\zeta", "label noise of one sample, standard Gaussian"),
    Symbol(
        "Delta", _scalar("Delta"), r"\Delta", "error signal sum_k v_k g(lambda_k) - sum_m A_m g*(nu_m) - sigma*zeta"
    ),
    Symbol("t", _scalar("t", nonnegative=True), "t", "time, steps/N", aliases={_SAAD: r"\alpha", _GOLDT: r"\alpha"}),
)
_ORDER_PARAMETERS = (
    Symbol("Q", _base("Q"), "Q", "student overlaps w.w/N", ("K", "K")),
    Symbol("R", _base("R"), "R", "student-teacher overlaps w.w*/N", ("K", "M")),
    Symbol("T", _base("T"), "T", "teacher overlaps w*.w*/N", ("M", "M")),
    Symbol("C", _base("C"), "C", "covariance of the fields, [[Q, R], [R^T, T]]", ("K+M", "K+M")),
    Symbol("s", _base("s"), "s", "signed second layers (v, -A)", ("K+M",)),
    Symbol(
        "generalization_error",
        _scalar("epsilon_g", nonnegative=True),
        r"\epsilon_g",
        "generalization error E[(phi-phi*)^2]/2, no noise",
    ),
)
_MOMENTS = (
    Symbol("f", _base("f"), "f", "E[Delta g'(lambda_k) z_b]", ("K", "K+M")),
    Symbol("H", _base("H"), "H", "E[(sum_a s_a g_a(z_a)) g''(lambda_k)]", ("K",)),
    Symbol("D", _base("D"), "D", "E[d(Delta g'(lambda_k))/dz_a]", ("K", "K+M")),
    Symbol("G", _base("G"), "G", "E[Delta^2 g'(lambda_k) g'(lambda_l)]", ("K", "K")),
    Symbol("h", _base("h"), "h", "E[Delta g(lambda_k)]", ("K",)),
    Symbol("I2", sp.Function("I_2"), "I_2", "E[g_a(z_a) g_b(z_b)], of a 2x2 covariance"),
    Symbol("J2", sp.Function("J_2"), "J_2", "E[g_a'(z_a) g_b'(z_b)], of a 2x2 covariance"),
    Symbol("H2", sp.Function("H_2"), "H_2", "E[g_a''(z_a) g_b(z_b)], of a 2x2 covariance"),
    Symbol("I3", sp.Function("I_3"), "I_3", "E[g'(z_k) z_b g_a(z_a)], of a 3x3 covariance"),
    Symbol("I4", sp.Function("I_4"), "I_4", "E[g'(z_k) g'(z_l) g_a(z_a) g_b(z_b)], of a 4x4 covariance"),
    Symbol("He_n", sp.Function("He"), r"\mathrm{He}_n", "probabilists' Hermite polynomials: He_2(x) = x^2 - 1"),
)

NOTATION = Notation((*_SIZES, *_NETWORK, *_TRAINING, *_ORDER_PARAMETERS, *_MOMENTS))
"""The notation of online SGD."""


def symbol(key: str) -> Symbol:
    """Look a symbol up.

    Parameters
    ----------
    key : str
        For example ``"Q"``.

    Returns
    -------
    Symbol

    Raises
    ------
    AssumptionError
        If there is no such symbol; the message names the closest.

    >>> symbol("Q").meaning
    'student overlaps w.w/N'
    """
    return NOTATION[key]
