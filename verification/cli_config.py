"""Runs described in a TOML file: tables ``setting``, ``start`` and ``run``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..theory.errors import argument_error
from .cli_options import closest, load_arrays

__all__ = ["RunConfig", "filled", "read_tables"]

_TABLES = ("setting", "start", "run")


@dataclass(frozen=True)
class RunConfig:
    """What to run.

    Attributes
    ----------
    setting : object
        The setting.
    start : object, optional
        The start; the setting's default where it is None.
    run : dict
        Times and how to run, by the keys of the table ``run``.
    """

    setting: Any
    start: Any = None
    run: dict[str, Any] = field(default_factory=dict)


def read_tables(path: Path | None, known: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Read the tables of a TOML file.

    Parameters
    ----------
    path : Path, optional
        The file; without one, all tables are empty.
    known : mapping of str to sequence of str
        The keys of each table.

    Returns
    -------
    dict of str to dict

    Raises
    ------
    AssumptionError
        If the file can't be read, or a table or a key is unknown; names the nearest known one.
    """
    if path is None:
        return {name: {} for name in _TABLES}
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise argument_error("--config", str(path), f"can't be opened ({error.strerror})", "name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise argument_error("--config", str(path), f"is no TOML ({error})", "mend that place") from None
    for name, table in content.items():
        if name not in _TABLES:
            raise argument_error(name, table, f"is an unknown table in {path}", closest(name, _TABLES))
        if not isinstance(table, dict):
            raise argument_error(name, table, f"is no table in {path}", f"write [{name}] and its keys below it")
    for table in _TABLES:
        for key, value in content.get(table, {}).items():
            if key not in known[table]:
                raise argument_error(
                    f"{table}.{key}", value, f"is an unknown key in {path}", closest(key, known[table])
                )
    return {name: dict(content.get(name, {})) for name in _TABLES}


def filled(table: Mapping[str, Any], name: str, arrays: Sequence[str], folder: Path) -> dict[str, Any]:
    """A table whose arrays may stand in files.

    Parameters
    ----------
    table : mapping
        An array as nested lists, or as the name of an ``.npz`` file that has it under its own name. Arrays that the
        table does not name are taken from the same file if it has them.
    name : str
        The table's, for messages.
    arrays : sequence of str
        Which of its keys are arrays.
    folder : Path
        What file names are relative to.

    Returns
    -------
    dict

    Raises
    ------
    AssumptionError
        If a file can't be read, or lacks the array.
    """
    result = dict(table)
    for key in arrays:
        value = table.get(key)
        if not isinstance(value, str):
            continue
        path = folder / Path(value).expanduser()
        found = load_arrays(f"{name}.{key}", path, f"save it with numpy.savez(file, {key}=...)")
        if key not in found:
            problem = f"has no array {key} (it has {', '.join(found) or 'none'})"
            raise argument_error(f"{name}.{key}", str(path), problem, f"save it with numpy.savez(file, {key}=...)")
        result[key] = found[key]
        result |= {other: found[other] for other in arrays if other in found and other not in table}
    return result
