"""Online SGD on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..theory.errors import argument_error
from .cli_chapters import Chapter
from .cli_config import RunConfig, read_tables
from .cli_options import load_weights, widths

if TYPE_CHECKING:
    from ..numerics.overlaps import Overlaps

__all__ = ["ONLINE_SGD"]

_OVERLAPS = ("Q", "R", "T", "v", "A")
_SOLUTION = {"rtol": "rtol", "integrator": "method"}
_SAMPLE = {
    "dimension": "dimension",
    "replicas": "replicas",
    "method": "method",
    "precision": "precision",
    "seed": "rng",
}
_FIELDS = ("learning_rate", "second_layer_rate", "noise")
_NETWORK = frozenset({"activation", "teacher_activation"})
_CHECKED_REPLICAS = 64


def _describe(given: Mapping[str, Any]) -> RunConfig:
    """Setting, start and table ``run``; options win over the file."""
    from ..theory.online_sgd import OnlineSGD

    path = given.get("config")
    names = [part.name for part in fields(OnlineSGD) if part.name != "inputs"]
    known = {"setting": names, "start": (*_OVERLAPS, "weights"), "run": ("times", *_SOLUTION, *_SAMPLE)}
    tables = read_tables(path, known)
    start = _start(tables["start"], Path(path).parent) if path is not None and tables["start"] else None
    if "weights" in given:
        start = load_weights(given["weights"])
    setting = tables["setting"]
    chosen = {"hidden": setting.get("hidden"), "teacher_hidden": setting.get("teacher_hidden")}
    chosen |= {name: given[name] for name in chosen if name in given}
    setting |= widths(chosen["hidden"], chosen["teacher_hidden"], start)
    if "activation" in given:
        setting |= {"student": given["activation"], "teacher": given["activation"]}
    if "teacher_activation" in given:
        setting["teacher"] = given["teacher_activation"]
    setting |= {name: given[name] for name in _FIELDS if name in given}
    return RunConfig(OnlineSGD(**setting), start, tables["run"])


def _start(table: dict[str, Any], folder: Path) -> Overlaps:
    from ..numerics.overlaps import Overlaps

    if "weights" in table:
        others = [key for key in table if key != "weights"]
        if others:
            raise argument_error(
                "start.weights", table["weights"], f"comes with {', '.join(others)}", "give weights or overlaps"
            )
        if not isinstance(table["weights"], str):
            raise argument_error("start.weights", table["weights"], "is no file name", "write weights = 'file.npz'")
        return load_weights(folder / Path(table["weights"]).expanduser())
    missing = [key for key in _OVERLAPS if key not in table]
    if missing:
        raise argument_error(
            "start", table, f"lacks {', '.join(missing)}", "give Q, R, T, v, A, or weights = 'file.npz'"
        )
    return Overlaps(**table)


def _default_start(setting: Any) -> Overlaps:
    from .online_sgd import default_start

    return default_start(setting)


def _verification(described: RunConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    run = described.run
    chosen = {"margin": 0.05, "false_alarm_rate": 1e-4, "method": "network", "precision": "float32", "dimension": None}
    chosen |= {key: run[key] for key in ("dimension", "method", "precision") if key in run}
    chosen |= {key: given[key] for key in chosen if key in given}
    seed = given.get("seed", run.get("seed", 0))
    return {"start": described.start, "times": given.get("times", run.get("times")), "rng": seed, **chosen}


def _check(setting: Any, run: Mapping[str, Any]) -> None:
    _checked(setting, run)


def _checked(setting: Any, run: Mapping[str, Any]) -> tuple[Any, int]:
    """The start and the dimension."""
    from .online_sgd import check_verification, default_start
    from .simulate import seed_of

    start = run["start"] or default_start(setting)
    replicas = run.get("replicas", _CHECKED_REPLICAS)
    names = ("margin", "false_alarm_rate")
    _, size = check_verification(
        setting,
        start,
        run["times"],
        run["dimension"],
        run["method"],
        replicas,
        run["precision"],
        *(run[name] for name in names),
    )
    seed_of(run["rng"])
    return start, size


def _warm_up(setting: Any, run: Mapping[str, Any]) -> None:
    """Run one step of a network."""
    from .online_sgd import simulate_online_sgd

    start, size = _checked(setting, run)
    options = {name: run[name] for name in ("method", "precision", "rng")}
    simulate_online_sgd(setting, start, [1 / size], dimension=size, replicas=1, **options)


ONLINE_SGD = Chapter(
    describe=_describe,
    default_start=_default_start,
    verification=_verification,
    check=_check,
    warm_up=_warm_up,
    solution=_SOLUTION,
    sample=_SAMPLE,
    options={
        "verify": _NETWORK
        | {"config", "hidden", "teacher_hidden", *_FIELDS, "weights", "times", "dimension", "replicas", "method"}
        | {"precision", "margin", "false_alarm_rate", "seed", "budget"},
        "derive": _NETWORK | {"config", "second_layer_rate"},
        "solve": _NETWORK | {"config", "times"},
        "simulate": _NETWORK | {"config", "times", "dimension", "replicas", "seed"},
    },
    sampled=True,
)
