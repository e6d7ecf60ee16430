"""Identities between products of matrices, checked as words in noncommuting letters: so for matrices of any size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sympy as sp

from ..checks import refute
from ..derivation import CheckResult

__all__ = ["InWords", "Trace", "letters"]

Word = tuple[sp.Symbol, ...]


class Trace(sp.Function):  # type: ignore[misc]
    """``Trace(A)``: the trace of a matrix that is written as a sum of words."""

    nargs = 1

    def _eval_is_commutative(self) -> bool:
        return True

    def _latex(self, printer: Any) -> str:
        return rf"\operatorname{{tr}}\left({printer._print(self.args[0])}\right)"


def letters(names: str) -> list[sp.Symbol]:
    """Noncommuting symbols, one a matrix."""
    return [sp.Symbol(name, commutative=False) for name in names.split()]


@dataclass(frozen=True)
class InWords:
    """Equal in the free algebra, where some words have another value.

    Rules are only ever used as equalities, so no order of using them can make a wrong identity pass.

    Parameters
    ----------
    rules : tuple of (sympy.Expr, sympy.Expr)
        Products of letters and what each equals: numbers times products.
    given : str
        What the rules say, in words.
    """

    rules: tuple[tuple[sp.Expr, sp.Expr], ...] = ()
    given: str = ""

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Expand the difference into words, use the rules while one applies, and compare."""
        if (left := self._reduced(lhs - rhs)) != 0:
            raise refute(lhs, rhs, left, f"as words{f' with {self.given}' if self.given else ''}")
        detail = "words in noncommuting letters, so for matrices of any size"
        return CheckResult("symbolic", "derived", f"{detail}; {self.given}" if self.given else detail)

    def _reduced(self, value: sp.Expr) -> sp.Expr:
        value = sp.expand(value)
        traces = {
            t: sp.expand(sp.Add(*(self._term(x, cyclic=True) for x in _terms(t.args[0])))) for t in _traces(value)
        }
        value = sp.expand(value.xreplace(traces))
        return sp.expand(sp.Add(*(self._term(x, cyclic=False) for x in _terms(value))))

    def _term(self, term: sp.Expr, cyclic: bool) -> sp.Expr:
        """One term with the rules used until none applies; a trace may be turned round before."""
        number, word = _split(term)
        for rotation in _rotations(word) if cyclic else (word,):
            for pattern, replacement in self.rules:
                _, wanted = _split(pattern)
                for place in range(len(rotation) - len(wanted) + 1):
                    if rotation[place : place + len(wanted)] == wanted:
                        before, after = rotation[:place], rotation[place + len(wanted) :]
                        new = sp.expand(number * sp.Mul(*before) * replacement * sp.Mul(*after))
                        return sp.Add(*(self._term(x, cyclic) for x in _terms(new)))
        if cyclic:
            return number * Trace(sp.Mul(*min(_rotations(word), key=lambda w: [x.name for x in w])))
        return number * sp.Mul(*word)


def _terms(value: sp.Expr) -> Iterable[sp.Expr]:
    return sp.Add.make_args(sp.expand(value))  # type: ignore[no-any-return]


def _traces(value: sp.Expr) -> list[Trace]:
    return sorted(value.atoms(Trace), key=sp.default_sort_key)


def _split(term: sp.Expr) -> tuple[sp.Expr, Word]:
    """A term's commuting factor and its word, powers written out."""
    numbers, factors = term.args_cnc()
    word: list[sp.Symbol] = []
    for factor in factors:
        base, exponent = factor.as_base_exp()
        word.extend([base] * int(exponent))
    return sp.Mul(*numbers), tuple(word)


def _rotations(word: Word) -> list[Word]:
    return [word[i:] + word[:i] for i in range(max(1, len(word)))]
