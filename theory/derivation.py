"""Derivations: proofs as chains of machine-checked steps.

A `Step` says lhs = rhs and why. It carries its own checker, which runs when the step is built and again by `check()`: a
step whose check fails can't exist. A `Statement` chains steps into a result; a `Derivation` collects the statements of
a setting and the systems that they end in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any, Protocol

import sympy as sp

from .errors import DerivationError
from .systems import OdeSystem

__all__ = ["STANDINGS", "CheckResult", "Checker", "Cited", "Defined", "Derivation", "Statement", "Step"]

# A derivation takes seconds: who wants to watch it listens here, to steps at level DEBUG and to statements at INFO.
_LOG = logging.getLogger(__name__)

STANDINGS = ("derived", "cross-checked", "cited", "stated")
"""How well a statement stands, best first. A statement stands as its weakest step."""


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Parameters
    ----------
    kind : str
        How it was checked: ``"symbolic"``, ``"Wick"``, ``"finite N"``, ``"ball"``, ``"definition"``, ``"cited"``.
    standing : str
        One of `STANDINGS`.
    detail : str
        What was compared, at which sizes or points.
    """

    kind: str
    standing: str
    detail: str


class Checker(Protocol):
    """Decides whether lhs = rhs; raises `DerivationError` with both sides if not."""

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Check one step."""


@dataclass(frozen=True)
class Defined:
    """A definition: true by what the symbols mean."""

    meaning: str

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """Nothing to check but that the two sides differ in form."""
        if lhs == rhs:
            raise DerivationError(f"{lhs} = {rhs} defines nothing")
        return CheckResult("definition", "derived", self.meaning)


@dataclass(frozen=True)
class Cited:
    """An appeal to a theorem that is not checked here: names the source and its hypotheses."""

    source: str
    hypotheses: str

    def __call__(self, lhs: sp.Expr, rhs: sp.Expr) -> CheckResult:
        """A citation can't be checked, only shown."""
        if not self.source or not self.hypotheses:
            raise DerivationError(f"{lhs} = {rhs}: a citation names its source and its hypotheses")
        return CheckResult("cited", "cited", f"{self.source}; needs {self.hypotheses}")


@dataclass(frozen=True)
class Step:
    """One checked equality.

    Parameters
    ----------
    lhs, rhs : sympy.Expr
        The two sides.
    reason : str
        Why they are equal: ``"Stein's lemma"``, ``"collect"``.
    checker : Checker
        Decides; runs on construction.
    source : str
        Paper and equation where known.
    symbol : str
        LaTeX of the name that the left-hand side has, if any.

    Raises
    ------
    DerivationError
        If the check fails.
    """

    lhs: sp.Expr
    rhs: sp.Expr
    reason: str
    checker: Checker = field(repr=False)
    source: str = ""
    symbol: str = ""
    result: CheckResult = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Run the check."""
        object.__setattr__(self, "result", self.checker(self.lhs, self.rhs))
        _LOG.debug("%s: %s", self.reason, self.result.kind)

    def check(self) -> CheckResult:
        """Run the check again."""
        return self.checker(self.lhs, self.rhs)

    def latex(self) -> str:
        """LaTeX of lhs = rhs, after the name of both where there is one."""
        name = [self.symbol] if self.symbol else []
        return " = ".join([*name, _tex(self.lhs), _tex(self.rhs)])

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"


@dataclass(frozen=True)
class Statement:
    """A result: the first step's left-hand side equals the last step's right-hand side.

    Parameters
    ----------
    key : str
        Short name, unique in its derivation.
    title : str
        What it says, in words.
    steps : tuple of Step
        The chain; each left-hand side is the right-hand side before it.
    assumptions : tuple of str
        Under which it holds.
    remainder : str
        Order of the neglected term, in LaTeX; empty if exact.
    source : str
        Where it is known from, or ``"hermiton"`` for a reconstruction of ours.
    """

    key: str
    title: str
    steps: tuple[Step, ...]
    assumptions: tuple[str, ...] = ()
    remainder: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        """The steps must chain."""
        if not self.steps:
            raise DerivationError(f"statement {self.key}: has no steps")
        for before, after in zip(self.steps, self.steps[1:], strict=False):
            if before.rhs != after.lhs:
                raise DerivationError(
                    f"statement {self.key}: step {after.reason!r} starts at {after.lhs}, "
                    f"but the step before it ended at {before.rhs}"
                )
        _LOG.info("%s: %s (%s)", self.title, self.standing, ", ".join(self.checks), extra={"statement": self})

    @property
    def lhs(self) -> sp.Expr:
        """What the statement is about."""
        return self.steps[0].lhs

    @property
    def rhs(self) -> sp.Expr:
        """What it equals."""
        return self.steps[-1].rhs

    @property
    def standing(self) -> str:
        """The weakest standing among the steps."""
        return max((s.result.standing for s in self.steps), key=STANDINGS.index)

    @property
    def checks(self) -> tuple[str, ...]:
        """The kinds of check used, in order, each once."""
        return tuple(dict.fromkeys(s.result.kind for s in self.steps))

    def latex(self) -> str:
        """The chain as an aligned LaTeX block."""
        symbol, lhs = self.steps[0].symbol, _tex(self.lhs)
        sides = [_tex(s.rhs) for s in self.steps]
        lines = [f"{symbol} &= {lhs}"] if symbol else [f"{lhs} &= {sides.pop(0)}"]
        lines += [f"&= {side}" for side in sides]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$${self.latex()}$$"


@dataclass(frozen=True)
class Derivation:
    """A setting's equations with their proof.

    Parameters
    ----------
    title : str
        What is derived.
    setting : object
        The setting that it was derived for.
    statements : tuple of Statement
        In logical order.
    systems : tuple of OdeSystem
        What numerics compiles.
    citations : tuple of str
        The literature used.
    kernel_source : callable, optional
        How a system prints as a kernel; numerics provides it, since theory knows no kernels.
    """

    title: str
    setting: Any
    statements: tuple[Statement, ...]
    systems: tuple[OdeSystem, ...]
    citations: tuple[str, ...] = ()
    kernel_source: Callable[[OdeSystem], str] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keys must be unique."""
        keys = [s.key for s in self.statements]
        if len(set(keys)) != len(keys):
            raise DerivationError(f"derivation {self.title!r}: statement keys repeat: {keys}")

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps of all statements."""
        return tuple(step for statement in self.statements for step in statement.steps)

    @property
    def standing(self) -> str:
        """The weakest standing among the statements; "stated" if a system has an equation that no statement ends in."""
        proved = {statement.rhs for statement in self.statements}
        if any(equation.value not in proved for system in self.systems for equation in system.equations):
            return STANDINGS[-1]
        return max((s.standing for s in self.statements), key=STANDINGS.index)

    def statement(self, key: str) -> Statement:
        """The statement of that key."""
        for statement in self.statements:
            if statement.key == key:
                return statement
        raise DerivationError(f"no statement {key!r}: there are {[s.key for s in self.statements]}")

    def check(self) -> tuple[CheckResult, ...]:
        """Run every check again.

        Returns
        -------
        tuple of CheckResult

        Raises
        ------
        DerivationError
            At the first step that fails.
        """
        return tuple(step.check() for step in self.steps)

    def source(self) -> str:
        """The generated kernels of all systems, equations as comments."""
        if self.kernel_source is None:
            raise DerivationError("this derivation has no printer of kernels: get it from hermiton.derive")
        return "\n\n".join(self.kernel_source(system) for system in self.systems)

    def latex(self) -> str:
        """The whole derivation in LaTeX: each statement with its chain, reasons, checks and remainder."""
        parts = [rf"\section*{{{_escaped(self.title)}}}"]
        for statement in self.statements:
            parts.append(rf"\paragraph{{{_escaped(statement.title)}}} ({statement.standing})")
            parts.append(rf"\[{statement.latex()}\]")
            for step in statement.steps:
                words = f"{step.reason} --- checked: {step.result.kind}, {step.result.detail}."
                parts.append(rf"\noindent {_escaped(words)}")
            if statement.remainder:
                parts.append(rf"\noindent Neglected: \({statement.remainder}\).")
        return "\n\n".join(parts)

    def _repr_latex_(self) -> str:
        rows = []
        for statement in self.statements:
            rows.append(rf"&\textbf{{{statement.title}}} \quad \textit{{{statement.standing}}} \\")
            first = statement.steps[0]
            rows.append(rf"&\quad {first.symbol or _tex(first.lhs)} = {_tex(statement.rhs)} \\")
        return "$$\\begin{aligned}\n" + "\n".join(rows) + "\n\\end{aligned}$$"

    def _repr_html_(self) -> str:
        """The proof for a notebook: one row a step, with reason and check."""
        rows = [f"<h3>{escape(self.title)}</h3>", f"<p>standing: <b>{self.standing}</b></p>"]
        cell = "<td style='text-align:left; vertical-align:top'>"
        for n, statement in enumerate(self.statements, 1):
            rows.append(f"<h4>{n}. {escape(statement.title)} <small>({statement.standing})</small></h4>")
            # A closed form may be wider than the page: it scrolls, the page doesn't.
            rows.append("<div style='overflow-x:auto'><table>")
            for place, step in enumerate(statement.steps):
                # In a chain the left-hand side is the right-hand side of the row above.
                formula = escape(f"= {_tex(step.rhs)}" if place else step.latex(), quote=False)
                rows.append(
                    f"<tr>{cell}$\\displaystyle {formula}$</td>{cell}{escape(step.reason)}</td>"
                    f"{cell}<i>{step.result.kind}</i>: {escape(step.result.detail)}</td></tr>"
                )
            rows.append("</table></div>")
            if statement.remainder:
                rows.append(f"<p>Neglected: ${statement.remainder}$</p>")
        return "\n".join(rows)


def _tex(value: sp.Expr) -> str:
    return str(sp.latex(value, inv_trig_style="full"))


def _escaped(text: str) -> str:
    """Plain words as LaTeX text: reasons speak of z_b and |x|^2."""
    special = {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}", "<": r"\textless{}", ">": r"\textgreater{}"}
    return "".join(special.get(c, f"\\{c}" if c in "_#%&${}" else c) for c in text)
