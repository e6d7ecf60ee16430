"""The options of the command line, and how their texts are read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..theory.errors import argument_error
from .cli_chapters import CHAPTERS

if TYPE_CHECKING:
    from ..numerics.overlaps import Overlaps

__all__ = [
    "SETTINGS",
    "chosen_settings",
    "closest",
    "load_arrays",
    "load_weights",
    "read_budget",
    "read_times",
    "widths",
]

SETTINGS = tuple(CHAPTERS)
"""Settings that exist, by their names on the command line."""

_NETWORK = "The network"
_RUN = "The run"
_OUTPUT = "Output"

Settings = Annotated[list[str] | None, typer.Argument(metavar="SETTING", help=f"Any of: {', '.join(SETTINGS)}.")]
Setting = Annotated[str, typer.Argument(metavar="SETTING", help=f"One of: {', '.join(SETTINGS)}.")]
ActivationOption = Annotated[
    str | None,
    typer.Option(
        "--activation", help="Of student and teacher: a name or a formula in z, 'tanh(z)'.", rich_help_panel=_NETWORK
    ),
]
TeacherActivation = Annotated[
    str | None,
    typer.Option("--teacher-activation", help="Of the teacher, where it is another.", rich_help_panel=_NETWORK),
]
Hidden = Annotated[int | None, typer.Option(help="Student width K. Default: 2.", rich_help_panel=_NETWORK)]
TeacherHidden = Annotated[int | None, typer.Option(help="Teacher width M. Default: 2.", rich_help_panel=_NETWORK)]
LearningRate = Annotated[
    float | None, typer.Option(help="eta of the first layer. Default: 0.5.", rich_help_panel=_NETWORK)
]
SecondLayerRate = Annotated[
    float | None, typer.Option(help="eta_v of the second layer. Default: 0, fixed.", rich_help_panel=_NETWORK)
]
Noise = Annotated[
    float | None, typer.Option(help="Standard deviation of the label noise. Default: 0.", rich_help_panel=_NETWORK)
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz",
        help="Start from these weights: student (K,N), teacher (M,N), second_layer, teacher_second_layer.",
        rich_help_panel=_NETWORK,
    ),
]
Config = Annotated[
    Path | None, typer.Option(metavar="RUN.toml", help="Tables setting, start and run.", rich_help_panel=_NETWORK)
]
Dimension = Annotated[int | None, typer.Option(help="Inputs N. Default: 1000.", rich_help_panel=_RUN)]
Replicas = Annotated[int | None, typer.Option(help="Number of networks.", rich_help_panel=_RUN)]
Times = Annotated[
    str | None,
    typer.Option(metavar="'1,2,5'", help="Times: steps/N, or step size x steps of a descent.", rich_help_panel=_RUN),
]
Step = Annotated[float | None, typer.Option(help="Size of a step of descent, the largest.", rich_help_panel=_RUN)]
Method = Annotated[
    str | None, typer.Option(help="network, or overlaps: the exact chain of overlaps.", rich_help_panel=_RUN)
]
Precision = Annotated[str | None, typer.Option(help="Of the weights: float64 or float32.", rich_help_panel=_RUN)]
Seed = Annotated[int | None, typer.Option(help="Seed of all randomness. Default: 0.", rich_help_panel=_RUN)]
Margin = Annotated[
    float | None,
    typer.Option(
        help="Largest relative discrepancy that counts as agreement. Default: 0.05, without randomness 0.001.",
        rich_help_panel=_RUN,
    ),
]
FalseAlarmRate = Annotated[
    float | None,
    typer.Option(help="Probability at most of refuting a true theory. Default: 1e-4.", rich_help_panel=_RUN),
]
Progressive = Annotated[
    bool | None,
    typer.Option("--progressive", help="Claim too that truncation never releases a sample.", rich_help_panel=_RUN),
]
Budget = Annotated[
    str | None,
    typer.Option(metavar="60s", help="Choose the number of networks to fit this time.", rich_help_panel=_RUN),
]
ExecutorOption = Annotated[
    str | None,
    typer.Option(
        "--executor", metavar="local:2|dask:ADDRESS", help="Where networks run. Default: threads.", rich_help_panel=_RUN
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Stored runs. Default: runs/ in the cache folder.", rich_help_panel=_RUN),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Ignore stored runs and replace them.", rich_help_panel=_RUN)]
ReportFolder = Annotated[
    Path, typer.Option("--report", metavar="DIR", help="Folder of the report.", rich_help_panel=_OUTPUT)
]
Out = Annotated[Path | None, typer.Option(metavar="FILE.nc", help="Save the result there.", rich_help_panel=_OUTPUT)]
AsJson = Annotated[
    bool, typer.Option("--json", help="Machine-readable result on the output stream.", rich_help_panel=_OUTPUT)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Don't show what is being done.", rich_help_panel=_OUTPUT)]


def closest(name: str, known: Sequence[str]) -> str:
    """Return a cure for a name that isn't known: the nearest one, or all."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def chosen_settings(names: Sequence[str] | None) -> list[str]:
    """Return the settings asked for, each once; all where none is named.

    Raises
    ------
    AssumptionError
        If a name is unknown.
    """
    chosen = list(dict.fromkeys(names or SETTINGS))
    for name in chosen:
        if name not in SETTINGS:
            raise argument_error("SETTING", name, "is not a setting", closest(name, SETTINGS))
    return chosen


def read_times(text: str) -> list[float]:
    """Read ``'1,2,5'``.

    Raises
    ------
    AssumptionError
        If a part is no number.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argument_error("--times", text, "is not a list of numbers", "write them as in '1,2,5'") from None


def read_budget(text: str) -> float:
    """Read ``60s``, ``1.5min``, ``2h`` or a number of seconds; return seconds.

    Raises
    ------
    AssumptionError
        If it is none of these, or not positive.

    Examples
    --------
    >>> read_budget("1.5min")
    90.0
    """
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+) *(s|sec|m|min|h)?", text.strip())
    seconds = float(match[1]) * {"m": 60, "min": 60, "h": 3600}.get(match[2] or "s", 1) if match else 0.0
    if not 0 < seconds < float("inf"):
        raise argument_error("--budget", text, "is not a duration", "write it as 60s, 5min or 1h")
    return seconds


def load_weights(path: Path) -> Overlaps:
    """Read a network's and its teacher's weights from an ``.npz`` file.

    Parameters
    ----------
    path : Path
        With the arrays student (K, N), teacher (M, N), second_layer (K,) and teacher_second_layer (M,).

    Returns
    -------
    Overlaps
        With these weights.

    Raises
    ------
    AssumptionError
        If the file can't be read, an array is missing, or they don't fit together.
    """
    from ..numerics.overlaps import Overlaps

    names = ("student", "teacher", "second_layer", "teacher_second_layer")
    cure = f"save it with numpy.savez(file, {', '.join(f'{name}=...' for name in names)})"
    arrays = load_arrays("weights", path, cure)
    missing = [name for name in names if name not in arrays]
    if missing:
        problem = f"has no array {', '.join(missing)} (it has {', '.join(arrays) or 'none'})"
        raise argument_error("weights", str(path), problem, cure)
    return Overlaps.from_weights(**{name: arrays[name] for name in names})


def load_arrays(name: str, path: Path, cure: str) -> dict[str, Any]:
    """Read the arrays of an ``.npz`` file.

    Parameters
    ----------
    name : str
        What names the file, for messages.
    path : Path
        The file.
    cure : str
        How to make such a file.

    Returns
    -------
    dict of str to ndarray
        Empty for an ``.npy`` file, whose array has no name.

    Raises
    ------
    AssumptionError
        If the file can't be read.
    """
    import zlib
    from zipfile import BadZipFile

    import numpy as np

    try:
        with path.expanduser().open("rb") as file:  # given a name, NumPy would leave a damaged file open
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.ndarray):  # an .npy file: one array without a name
                return {}
            with stored:
                return {array: stored[array] for array in stored.files}
    except OSError as error:
        problem = f"can't be opened ({error.strerror or error})"
        raise argument_error(name, str(path), problem, "name a file that numpy.savez wrote") from None
    except (ValueError, EOFError, KeyError, BadZipFile, NotImplementedError, zlib.error) as error:
        problem = f"is damaged or no .npz file ({type(error).__name__}: {error})"
        raise argument_error(name, str(path), problem, cure) from None


def widths(hidden: int | None, teacher_hidden: int | None, start: Overlaps | None) -> dict[str, int]:
    """Return the widths that were given, or those of the start."""
    chosen = {"hidden": hidden, "teacher_hidden": teacher_hidden}
    if start is not None:
        for name, own in zip(chosen, start.R.shape, strict=True):
            chosen[name] = own if chosen[name] is None else chosen[name]
    return {name: width for name, width in chosen.items() if width is not None}
