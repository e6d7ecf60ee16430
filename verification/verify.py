"""The verb `verify`: theory against simulated networks, claim by claim.

Here is what every chapter shares: comparing the observables of a solution with those of a sample, and the report. What
is claimed, and how large the neglected order may be, is the chapter's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..numerics.derive import system_source
from ..numerics.provenance import provenance
from ..numerics.solution import Solution
from ..theory.derivation import Derivation
from ..theory.errors import argument_error
from .decide import Comparison, aggregate, decide_all
from .ledger import Ledger
from .report import Curve, DerivationRow, Report
from .simulate import Sample

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["compare", "entries_compared", "refined", "report_on", "staged", "verify"]

_DENSE = 200
# Curves of one observable that a picture shows.
_MOST_CURVES = 16


@singledispatch
def verify(setting: object, *arguments: object, **options: object) -> Report:
    """Hold the theory of a setting against simulated networks.

    Parameters
    ----------
    setting : OnlineSGD, Truncation, TruncatedPopulation or UnconstrainedFeatures
        What to verify; further arguments depend on it: see its chapter, such as `hermiton.verification.online_sgd`.

    Returns
    -------
    Report

    Raises
    ------
    AssumptionError
        If `setting` is no setting or an argument is out of range.
    """
    raise argument_error("setting", setting, "is not a setting", "pass one of hermiton's settings, such as OnlineSGD()")


def staged(
    progress: bool | Callable[[str], Callable[[float], object]],
) -> Callable[[str], bool | Callable[[float], object]]:
    """What shows the progress of a stage, given what is being done in it."""
    return progress if callable(progress) else lambda what: progress


def refined(grid: NDArray[np.float64], count: int = _DENSE) -> NDArray[np.float64]:
    """The times of a comparison and `count` others, from 0 on, for a smooth curve."""
    dense = np.concatenate([[0.0], np.geomspace(max(grid[-1] * 1e-3, 1e-6), grid[-1], count)])
    far = np.abs(dense[:, None] - grid[None, :]).min(axis=1) > 1e-9 * grid[-1]
    return np.sort(np.concatenate([grid, dense[far]]))


def entries_compared(solution: Solution, name: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which entries of an observable are degrees of freedom: of a symmetric matrix the upper triangle."""
    arrays = (*solution.system.states, *(o.target for o in solution.system.observables))
    symmetric = any(a.symmetric for a in arrays if a.binding == name)
    return np.triu(np.ones(shape, dtype=bool)) if symmetric else np.ones(shape, dtype=bool)


def compare(
    solution: Solution,
    sample: Sample,
    claims: Mapping[str, str],
    *,
    margin: float,
    allowance: xr.Dataset,
    seed: int,
) -> list[Comparison]:
    """Comparisons of a solution with a sample at the sample's times.

    Parameters
    ----------
    solution : Solution
        Solved at least at the sample's times.
    sample : Sample
        The networks.
    claims : mapping
        For each observable what is claimed; one that the solution doesn't have is left out.
    margin : float
        Relative: of a scalar to its value at each time, of an array to its largest entry over time.
    allowance : xarray.Dataset
        For each observable what the neglected order may amount to.
    seed : int
        What replays the sample.

    Returns
    -------
    list of Comparison
    """
    grid = sample.data["time"].values
    comparisons = []
    for name, claim in claims.items():
        if name not in solution.data:
            continue
        theory = solution.data[name].sel(time=grid)
        axes = [str(d) for d in theory.dims if d != "time"]
        scale = np.abs(theory.values) if not axes else np.full(theory.shape, float(np.abs(theory).max()))
        comparisons.append(
            Comparison(
                claim=claim,
                theory=theory.values,
                theory_error=solution.errors[name].sel(time=grid).values,
                sample=sample.data[name].values,
                allowance=allowance[name].values,
                margin=margin * scale,
                where=entries_compared(solution, name, theory.shape[1:]),
                coordinates={"time": [float(t) for t in grid], **{d: range(theory.sizes[d]) for d in axes}},
                seed=seed,
            )
        )
    return comparisons


def report_on(
    theory: Derivation,
    solution: Solution,
    sample: Sample,
    comparisons: list[Comparison],
    *,
    setting: str,
    false_alarm_rate: float,
    seed: int | None = None,
) -> Report:
    """Decide the comparisons and put verdicts, curves, derivation and kernel into a report.

    Parameters
    ----------
    theory : Derivation
        What is tested; every claim rests on all of its statements.
    solution, sample
        What is compared.
    comparisons : list of Comparison
        The claims.
    setting : str
        The setting in words.
    false_alarm_rate : float
        Of all claims together.
    seed : int, optional
        What replays the sample, where it is random.

    Returns
    -------
    Report
    """
    claims = aggregate(decide_all(comparisons, family_false_alarm_rate=false_alarm_rate))
    ledger = Ledger()
    for statement in theory.statements:
        ledger.add(statement.key, statement.standing, citation=statement.source)
    ledger.add(theory.title, theory.standing, rests_on=[s.key for s in theory.statements])
    system = solution.system
    seeded = {} if seed is None else {"seed": seed}
    return Report(
        title=theory.title,
        setting=setting,
        verdicts=claims,
        provenance=provenance(**{**solution.provenance, **sample.provenance, **seeded}),
        derivation=[DerivationRow(s.title, s.standing, s.checks, s.source) for s in theory.statements],
        curves=_curves(solution, sample),
        equations=[f"{lhs} = {rhs}" for lhs, rhs in system.latex_equations()],
        kernel=system_source(system),
        ledger=ledger,
        tests={claim.claim: theory.title for claim in claims},
    )


def _curves(solution: Solution, sample: Sample) -> list[Curve]:
    """Curves of what both have; of an observable with many entries the first ones."""
    mean = sample.mean()
    # A single run has no randomness: nothing else is verified with fewer than eight.
    spread = sample.standard_error() if sample.replicas > 1 else mean * 0.0
    arrays = {a.binding: a for a in (*solution.system.states, *(o.target for o in solution.system.observables))}
    curves = []
    for key in solution.data.data_vars:
        name = str(key)
        if name not in sample.data:
            continue
        variable = solution.data[name]
        latex = (arrays[name].latex if name in arrays else "") or _upright(name)
        chosen = np.argwhere(entries_compared(solution, name, variable.shape[1:])) if variable.ndim > 1 else [()]
        for index in chosen[:_MOST_CURVES]:
            place = (slice(None), *index)
            subscript = ("," if max(variable.shape[1:], default=0) > 9 else "").join(str(i + 1) for i in index)
            curves.append(
                Curve(
                    name=f"{name}[{','.join(map(str, index))}]" if len(index) else name,
                    label=_subscripted(latex, subscript) if subscript else latex,
                    time=solution.data["time"].values,
                    theory=variable.values[place],
                    theory_error=solution.errors[name].values[place],
                    sample_time=sample.data["time"].values,
                    sample_mean=mean[name].values[place],
                    sample_standard_error=spread[name].values[place],
                    samples=sample.replicas,
                )
            )
    return curves


def _upright(name: str) -> str:
    """A name of several letters as LaTeX."""
    words = name.replace("_", r"\ ")
    return rf"\mathrm{{{words}}}" if len(name) > 1 else name


def _subscripted(latex: str, subscript: str) -> str:
    return f"{{{latex}}}_{{{subscript}}}" if "_" in latex else f"{latex}_{{{subscript}}}"
