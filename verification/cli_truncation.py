"""Truncation on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..theory.errors import argument_error
from .cli_chapters import Chapter
from .cli_config import RunConfig, filled, read_tables

__all__ = ["TRUNCATION"]

_SOLUTION = {"rtol": "rtol", "integrator": "method"}
_SAMPLE = {"step": "step", "coordinates": "coordinates", "scales": "scales"}
_ARRAYS = ("points", "labels", "targets", "weights", "rotation", "output_weights", "output_bias")
_STARTS = ("thresholds", "biases")
_COMMON = frozenset({"config", "times"})


def _describe(given: Mapping[str, Any]) -> RunConfig:
    """Setting, start and table ``run``; without a table ``setting`` the default one."""
    import numpy as np

    from ..theory.truncation import Truncation
    from .truncation import default_truncation

    path = given.get("config")
    names = [part.name for part in fields(Truncation)]
    tables = read_tables(path, {"setting": names, "start": _STARTS, "run": ("times", *_SOLUTION, *_SAMPLE)})
    folder = Path() if path is None else path.parent
    start = filled(tables["start"], "start", _STARTS, folder) or None
    run = tables["run"] | {key: given[key] for key in ("step", "coordinates") if key in given}
    if not tables["setting"]:
        return RunConfig(default_truncation(), start, run)
    table = filled(tables["setting"], "setting", _ARRAYS, folder)
    missing = [key for key in ("points", "labels", "targets") if key not in table]
    if missing:
        raise argument_error(
            "setting",
            sorted(table),
            f"lacks {', '.join(missing)}",
            "give points, labels and targets, or a file of them",
        )
    given_arrays = {key: np.array(table[key]) for key in _ARRAYS[:3]}
    setting = Truncation(**{**table, **given_arrays})
    return RunConfig(setting, start, run)


def _default_start(setting: Any) -> Any:
    from .truncation import default_start

    return default_start(setting)


def _verification(described: RunConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {key: described.run[key] for key in ("step", "scales") if key in described.run}
    chosen |= {key: given[key] for key in ("margin", "false_alarm_rate", "progressive") if key in given}
    return {"start": described.start, "times": given.get("times", described.run.get("times")), **chosen}


def _check(setting: Any, run: Mapping[str, Any]) -> None:
    from .truncation import check_verification

    known = ("start", "times", "step", "margin", "false_alarm_rate", "scales")
    check_verification(setting, **{key: run[key] for key in known if key in run})


TRUNCATION = Chapter(
    describe=_describe,
    default_start=_default_start,
    verification=_verification,
    check=_check,
    warm_up=lambda setting, run: None,
    solution=_SOLUTION,
    sample=_SAMPLE,
    options={
        "verify": _COMMON | {"step", "margin", "false_alarm_rate", "progressive"},
        "derive": frozenset({"config"}),
        "solve": _COMMON,
        "simulate": _COMMON | {"step"},
    },
)
