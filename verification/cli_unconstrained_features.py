"""Unconstrained features on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..theory.errors import argument_error
from .cli_chapters import Chapter
from .cli_config import RunConfig, filled, read_tables

__all__ = ["UNCONSTRAINED_FEATURES"]

_SOLUTION = {"rtol": "rtol", "integrator": "method"}
_SAMPLE = {"step": "step"}
_ARRAYS = ("W", "H", "b", "W2", "W1")
_NUMBERS = ("alpha", "eta", "zeta")
_COMMON = frozenset({"config", "times"})


def _describe(given: Mapping[str, Any]) -> RunConfig:
    """Setting, start and table ``run``."""
    from ..theory.unconstrained_features import UnconstrainedFeatures

    path = given.get("config")
    names = [part.name for part in fields(UnconstrainedFeatures)]
    known = {"setting": names, "start": (*_ARRAYS, *_NUMBERS), "run": ("times", *_SOLUTION, *_SAMPLE)}
    tables = read_tables(path, known)
    setting = UnconstrainedFeatures(**tables["setting"])
    folder = Path() if path is None else path.parent
    start = _start(filled(tables["start"], "start", _ARRAYS, folder)) if tables["start"] else None
    return RunConfig(setting, start, tables["run"] | {key: given[key] for key in ("step",) if key in given})


def _start(table: dict[str, Any]) -> Any:
    from ..numerics.features import CollapsedFeatures, ExtendedFeatures, Features

    for kind, needed in (
        (Features, {"W", "H"}),
        (ExtendedFeatures, {"W2", "W1", "H"}),
        (CollapsedFeatures, {"alpha", "eta"}),
    ):
        own = {part.name for part in fields(kind)}
        if needed <= table.keys() <= own:
            return kind(**table)
    cure = "give W, H and perhaps b; or W2, W1, H; or alpha, eta and perhaps zeta"
    raise argument_error("start", sorted(table), "is no start", cure)


def _default_start(setting: Any) -> Any:
    from .unconstrained_features import default_features

    return default_features(setting)


def _verification(described: RunConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {key: described.run[key] for key in ("step",) if key in described.run}
    chosen |= {key: given[key] for key in ("margin", "false_alarm_rate") if key in given}
    return {"start": described.start, "times": given.get("times", described.run.get("times")), **chosen}


def _check(setting: Any, run: Mapping[str, Any]) -> None:
    from .unconstrained_features import check_verification

    known = ("start", "times", "step", "margin", "false_alarm_rate")
    check_verification(setting, **{key: run[key] for key in known if key in run})


def _equations(derivation: Any, start: Any) -> Any:
    from .unconstrained_features import equations_for

    return equations_for(derivation, start)


UNCONSTRAINED_FEATURES = Chapter(
    describe=_describe,
    default_start=_default_start,
    verification=_verification,
    check=_check,
    warm_up=lambda setting, run: None,
    equations=_equations,
    solution=_SOLUTION,
    sample=_SAMPLE,
    options={
        "verify": _COMMON | {"step", "margin", "false_alarm_rate"},
        "derive": frozenset({"config"}),
        "solve": _COMMON,
        "simulate": _COMMON | {"step"},
    },
)
