"""Runs described in a TOML file: tables ``setting``, ``start`` and ``run``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..theory.errors import argument_error
from .cli_options import closest, load_weights, widths

if TYPE_CHECKING:
    from ..numerics.overlaps import Overlaps
    from ..theory.online_sgd import OnlineSGD

__all__ = ["RUN_KEYS", "RunConfig", "read_config"]

_START_KEYS = ("Q", "R", "T", "v", "A", "weights")
RUN_KEYS = ("times", "rtol", "integrator", "dimension", "replicas", "method", "precision", "seed")
"""Keys of the table ``run``. `solve` uses times, rtol, integrator; `simulate` times and the rest."""


@dataclass(frozen=True)
class RunConfig:
    """What to run.

    Attributes
    ----------
    setting : OnlineSGD
        The setting.
    start : Overlaps
        The start.
    run : dict
        Values of `RUN_KEYS`, as far as they are given.
    """

    setting: OnlineSGD
    start: Overlaps
    run: dict[str, Any] = field(default_factory=dict)


def read_config(
    path: Path | None, *, activation: str | None = None, teacher_activation: str | None = None
) -> RunConfig:
    """Read a run of online SGD from a TOML file.

    Parameters
    ----------
    path : Path, optional
        The file; without one, the default setting and its default start. Names of files in it are relative to its
        folder.
    activation, teacher_activation : str, optional
        In place of the file's.

    Returns
    -------
    RunConfig

    Raises
    ------
    AssumptionError
        If the file can't be read, a key is unknown (names the nearest known one), or a value is out of range.
    """
    from ..numerics.overlaps import Overlaps
    from ..theory.online_sgd import OnlineSGD
    from .online_sgd import default_start

    tables = _tables(path) if path is not None else {}
    names = [part.name for part in fields(OnlineSGD) if part.name != "inputs"]
    for table, known in (("setting", names), ("start", _START_KEYS), ("run", RUN_KEYS)):
        for key, value in tables.get(table, {}).items():
            if key not in known:
                raise argument_error(f"{table}.{key}", value, f"is an unknown key in {path}", closest(key, known))
    start = _start(tables["start"], path, Overlaps) if path is not None and "start" in tables else None
    given = dict(tables.get("setting", {}))
    given |= widths(given.get("hidden"), given.get("teacher_hidden"), start)
    if activation is not None:
        given |= {"student": activation, "teacher": activation}
    if teacher_activation is not None:
        given["teacher"] = teacher_activation
    setting = OnlineSGD(**given)
    return RunConfig(setting, default_start(setting) if start is None else start, dict(tables.get("run", {})))


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise argument_error("--config", str(path), f"can't be opened ({error.strerror})", "name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise argument_error("--config", str(path), f"is no TOML ({error})", "mend that place") from None
    known = ("setting", "start", "run")
    for name, table in content.items():
        if name not in known:
            raise argument_error(name, table, f"is an unknown table in {path}", closest(name, known))
        if not isinstance(table, dict):
            raise argument_error(name, table, f"is no table in {path}", f"write [{name}] and its keys below it")
    return content


def _start(table: dict[str, Any], path: Path, kind: type[Overlaps]) -> Overlaps:
    if "weights" in table:
        others = [key for key in table if key != "weights"]
        if others:
            raise argument_error(
                "start.weights", table["weights"], f"comes with {', '.join(others)}", "give weights or overlaps"
            )
        if not isinstance(table["weights"], str):
            raise argument_error("start.weights", table["weights"], "is no file name", "write weights = 'file.npz'")
        return load_weights(path.parent / Path(table["weights"]).expanduser())
    missing = [key for key in ("Q", "R", "T", "v", "A") if key not in table]
    if missing:
        raise argument_error(
            "start", table, f"lacks {', '.join(missing)}", "give Q, R, T, v, A, or weights = 'file.npz'"
        )
    return kind(**table)
