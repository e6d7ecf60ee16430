"""Results on the output stream: for people as tables, for programs as JSON."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .report import number_text, spread_text

if TYPE_CHECKING:
    import xarray as xr
    from rich.table import Table

    from ..numerics.solution import Solution
    from ..theory.derivation import Derivation
    from .simulate import Sample

__all__ = [
    "cache_lines",
    "derivation_json",
    "sample_json",
    "sample_table",
    "show_derivation",
    "solution_json",
    "solution_table",
]

_MOST_COLUMNS = 8
_FILE_WIDTH = 140


def show_derivation(derivation: Derivation, with_statements: bool) -> None:
    """Print a derivation: its equations in LaTeX and, unless they were shown as they came, its statements."""
    print(derivation.title)
    print(f"standing: {derivation.standing}")
    for statement in derivation.statements if with_statements else ():
        print(f"  {statement.standing:<14}{statement.title}  {', '.join(statement.checks)}")
    for system in derivation.systems:
        print(f"\nassumptions: {'; '.join(system.assumptions)}")
        print(f"neglected: {system.remainder}\n")
        for left, right in system.latex_equations():
            print(f"{left} = {right}")
    print("\nliterature:")
    for citation in derivation.citations:
        print(f"  {citation}")


def derivation_json(derivation: Derivation) -> str:
    """Return a derivation as JSON: statements with their steps, equations in LaTeX."""
    return _json(
        {
            "title": derivation.title,
            "standing": derivation.standing,
            "statements": [
                {
                    "key": statement.key,
                    "title": statement.title,
                    "standing": statement.standing,
                    "assumptions": statement.assumptions,
                    "remainder": statement.remainder,
                    "source": statement.source,
                    "latex": statement.latex(),
                    "steps": [
                        {
                            "reason": step.reason,
                            "check": step.result.kind,
                            "detail": step.result.detail,
                            "latex": step.latex(),
                        }
                        for step in statement.steps
                    ],
                }
                for statement in derivation.statements
            ],
            "equations": [
                f"{left} = {right}" for system in derivation.systems for left, right in system.latex_equations()
            ],
            "citations": derivation.citations,
        }
    )


def solution_json(solution: Solution) -> str:
    """Return a solution as JSON: values and estimated errors by name."""
    return _json(
        {
            "times": solution.data["time"].values.tolist(),
            "values": _arrays(solution.data),
            "errors": _arrays(solution.errors),
            "error_kind": solution.error_kind,
            "provenance": solution.provenance,
        }
    )


def sample_json(sample: Sample) -> str:
    """Return a sample as JSON: mean and standard error by name; the standard error of one network is null."""
    return _json(
        {
            "times": sample.data["time"].values.tolist(),
            "replicas": sample.replicas,
            "mean": _arrays(sample.mean()),
            "standard_error": _arrays(sample.standard_error()) if sample.replicas > 1 else None,
            "provenance": sample.provenance,
        }
    )


def solution_table(solution: Solution) -> None:
    """Print a solution: one row a time."""
    _print(_table(solution.data, solution.errors, "value \u00b1 estimated error"))


def sample_table(sample: Sample) -> None:
    """Print the mean and standard error of a sample: one row a time."""
    errors = sample.standard_error() if sample.replicas > 1 else None
    words = "mean \u00b1 standard error" if errors is not None else "values"
    _print(_table(sample.mean(), errors, f"{words} of {sample.replicas} networks"))


def cache_lines(store: Path | None, as_json: bool) -> str:
    """Return where kernels and runs are kept and how much there is, as lines or as JSON."""
    from ..numerics.codegen.cache import cache_info
    from .cli_runs import default_store
    from .store import RunStore

    kernels = cache_info()
    runs = RunStore(default_store() if store is None else store).info()
    if as_json:
        return _json(
            {
                "kernels": {"folder": str(kernels.directory), "count": kernels.modules, "bytes": kernels.size},
                "runs": {"folder": str(runs.path), "count": runs.count, "bytes": runs.bytes},
            }
        )
    return (
        f"kernels: {kernels.modules} in {kernels.directory} ({kernels.size / 1e6:.1f} MB)\n"
        f"runs: {runs.count} in {runs.path} ({runs.bytes / 1e6:.1f} MB)"
    )


def _table(values: xr.Dataset, errors: xr.Dataset | None, caption: str) -> Table:
    import numpy as np
    from rich.table import Table

    table = Table(header_style="bold", show_edge=False, pad_edge=False, caption=caption, caption_justify="left")
    table.add_column("time", justify="right")
    columns: list[tuple[str, tuple[int, ...]]] = []
    for name, variable in values.data_vars.items():
        columns += [(str(name), index) for index in np.ndindex(*variable.transpose("time", ...).shape[1:])]
    hidden = len(columns) - _MOST_COLUMNS
    for name, index in columns[:_MOST_COLUMNS]:
        title = "error" if name == "generalization_error" else name
        table.add_column(f"{title}[{','.join(map(str, index))}]" if index else title, justify="right", no_wrap=True)
    if hidden > 0:
        table.caption = f"{caption}; {hidden} more entries: --out FILE.nc or --json"
    for number, moment in enumerate(values["time"].values):
        cells = []
        for name, index in columns[:_MOST_COLUMNS]:
            value = float(values[name].transpose("time", ...).values[(number, *index)])
            if errors is None:
                cells.append(number_text(value, 6))
            else:
                cells.append(spread_text(value, float(errors[name].transpose("time", ...).values[(number, *index)])))
        table.add_row(number_text(float(moment), 6), *cells)
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    # Text for files and pipes must not depend on a terminal.
    Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False).print(table)


def _arrays(data: xr.Dataset) -> dict[str, Any]:
    return {str(name): variable.transpose("time", ...).values.tolist() for name, variable in data.data_vars.items()}


def _json(content: object) -> str:
    return json.dumps(_finite(content), indent=1, allow_nan=False)


def _finite(content: object) -> object:
    """Write numbers that JSON has no word for as text."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return str(content)
    return content
