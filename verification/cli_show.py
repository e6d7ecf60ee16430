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
    from rich.console import Console
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

_FILE_WIDTH = 140
_TIME_WIDTH, _NUMBER_WIDTH, _SPREAD_WIDTH = 11, 14, 20  # of columns, rules included


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
    largest = max(float(variable.max()) for variable in solution.errors.data_vars.values())
    console = _console()
    console.print(_table(solution.data, None, f"largest estimated error {number_text(largest, 2)}", console.width))


def sample_table(sample: Sample) -> None:
    """Print the mean and standard error of a sample: one row a time."""
    errors = sample.standard_error() if sample.replicas > 1 else None
    words = f"mean \u00b1 standard error of {sample.replicas} networks" if errors is not None else "one network"
    console = _console()
    console.print(_table(sample.mean(), errors, words, console.width))


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


def _table(values: xr.Dataset, errors: xr.Dataset | None, caption: str, width: int) -> Table:
    """Build a table of as many entries as a line holds; a symmetric matrix shows its upper triangle."""
    import numpy as np
    from rich.table import Table

    table = Table(header_style="bold", show_edge=False, pad_edge=False, caption=caption, caption_justify="left")
    table.add_column("time", justify="right", no_wrap=True)
    entries: list[tuple[str, tuple[int, ...]]] = []
    for name, variable in values.data_vars.items():
        places = np.ndindex(*variable.transpose("time", ...).shape[1:])
        entries += [(str(name), place) for place in places if name != "Q" or place[0] <= place[1]]
    shown = entries[: max(1, (width - _TIME_WIDTH) // (_SPREAD_WIDTH if errors is not None else _NUMBER_WIDTH))]
    for name, place in shown:
        title = "test error" if name == "generalization_error" else name
        table.add_column(f"{title}[{','.join(map(str, place))}]" if place else title, justify="right", no_wrap=True)
    if len(entries) > len(shown):
        table.caption = f"{caption}; {len(entries) - len(shown)} more entries: --out FILE.nc or --json"
    for number, moment in enumerate(values["time"].values):
        cells = []
        for name, place in shown:
            at = (number, *place)
            value = float(values[name].transpose("time", ...).values[at])
            spread = None if errors is None else float(errors[name].transpose("time", ...).values[at])
            cells.append(number_text(value, 6) if spread is None else spread_text(value, spread))
        table.add_row(number_text(float(moment), 6), *cells)
    return table


def _console() -> Console:
    from rich.console import Console

    # Text for files and pipes must not depend on a terminal.
    return Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)


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
