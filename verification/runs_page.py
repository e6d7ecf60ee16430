"""Stored runs and solutions as a page: one picture and the provenance a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..theory.errors import argument_error
from .plotting import INK, LOGARITHMIC, MOST_POINTS, MUTED, PALETTE, RULE, TITLES, data_uri, to_svg
from .report import write_whole

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_run", "read_run", "runs_page"]

_ERROR = "_error"
_MOST_LABELS = 9


def read_run(path: Path) -> xr.Dataset:
    """Read a file that `Solution.save`, `Sample.save` or a store wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    xarray.Dataset
        In memory.

    Raises
    ------
    AssumptionError
        If it can't be read, or is no run: has no time, or no variable over time.
    """
    import xarray as xr

    cure = "give a file that hermiton wrote, such as that of `hermiton solve --out run.nc`"
    if not path.is_file():
        raise argument_error("FILE", str(path), "is no file", cure)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            data = opened.load()
    except Exception as error:  # a damaged file raises whatever the damage leads to
        problem = f"can't be read ({type(error).__name__}: {error})"
        raise argument_error("FILE", str(path), problem, cure) from None
    if "time" not in data.coords or not any("time" in variable.dims for variable in data.data_vars.values()):
        raise argument_error("FILE", str(path), "holds no run: it has no variable over time", cure)
    return data


def runs_page(paths: Sequence[Path], target: Path) -> Path:
    """Write a page with the pictures and the provenance of stored runs.

    Parameters
    ----------
    paths : sequence of Path
        Files of runs.
    target : Path
        The page, replaced whole or not at all.

    Returns
    -------
    Path

    Raises
    ------
    AssumptionError
        If a file is no run.
    VerificationError
        If the page can't be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hermiton.verification"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    data = [read_run(path) for path in paths]  # all are read before the first is drawn
    runs = [_section(path, run) for path, run in zip(paths, data, strict=True)]
    page = environment.get_template("runs.html.jinja").render(runs=runs)
    return write_whole(target, page.encode(), "page")


def _section(path: Path, data: xr.Dataset) -> dict[str, Any]:
    times = data["time"].values
    attributes = {str(key): str(value) for key, value in data.attrs.items()}
    return {
        "name": path.name,
        "path": str(path),
        "kind": _kind(data),
        "times": f"{times.size} times from {float(times[0]):g} to {float(times[-1]):g}",
        "sizes": ", ".join(f"{name} {size}" for name, size in data.sizes.items()),
        "picture": data_uri(to_svg(draw_run(data))),
        "provenance": sorted(attributes.items()),
    }


def _kind(data: xr.Dataset) -> str:
    if "replica" in data.sizes:
        return f"sample of {data.sizes['replica']} networks"
    return "solution" if any(_is_error(data, name) for name in data.data_vars) else "one network"


def _is_error(data: xr.Dataset, name: object) -> bool:
    text = str(name)
    return text.endswith(_ERROR) and text.removesuffix(_ERROR) in data.data_vars


def draw_run(data: xr.Dataset) -> Figure:
    """Draw each variable against time; bands are estimated errors, of a sample 95 % intervals of the mean.

    Parameters
    ----------
    data : xarray.Dataset
        A run.

    Returns
    -------
    matplotlib.figure.Figure
        Made without pyplot: nothing to close.
    """
    from matplotlib.figure import Figure

    names = [name for name, v in data.data_vars.items() if "time" in v.dims and not _is_error(data, name)]
    columns = min(len(names), 2)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.8 * columns, 3.1 * rows + 0.35), layout="constrained", facecolor="white")
    for place, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, place + 1)
        _panel(axes, str(name), data)
    bands = {"sample": "bands: 95 % intervals of the mean", "soluti": "bands: estimated errors"}.get(
        _kind(data)[:6], ""
    )
    figure.supxlabel(f"Lines: {_kind(data)}" + (f"; {bands}" if bands else ""), x=0.012, ha="left", fontsize=8.5)
    return figure


def _panel(axes: Axes, name: str, data: xr.Dataset) -> None:
    variable = data[name]
    times = data["time"].values
    middle, half = variable, None
    if "replica" in variable.dims:
        middle = variable.mean("replica")
        half = _interval(variable)
    elif name + _ERROR in data.data_vars:
        half = data[name + _ERROR]
    others = [dim for dim in middle.dims if dim != "time"]
    middle = middle.transpose("time", *others)
    # Q is symmetric: its upper triangle says it all.
    entries = [index for index in np.ndindex(*middle.shape[1:]) if name != "Q" or index[0] <= index[1]]
    for number, index in enumerate(entries):
        colour = PALETTE[number % len(PALETTE)]
        place = (slice(None), *index)
        subscript = "".join(str(i + 1) for i in index)
        values = middle.values[place]
        label = f"${name}_{{{subscript}}}$" if index else name
        points = "o" if len(times) <= MOST_POINTS else ""
        axes.plot(times, values, points, linestyle="-", color=colour, linewidth=1.6, markersize=3, label=label)
        if half is not None:
            wide = half.transpose("time", *others).values[place]
            axes.fill_between(times, values - wide, values + wide, color=colour, alpha=0.2, linewidth=0)
    if name in LOGARITHMIC and bool((middle > 0).all()):
        axes.set_yscale("log", nonpositive="clip")
    if 1 < len(entries) <= _MOST_LABELS:
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    axes.set_title(TITLES.get(name, name), loc="left", fontsize=10.5, color=INK, fontweight="bold")
    axes.set_xlabel("time  $t$", fontsize=9.5, color=INK)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(which="both", colors=MUTED, labelsize=8.5)
    axes.margins(x=0.02)


def _interval(variable: xr.DataArray) -> xr.DataArray | None:
    """Half of the 95 % interval of the mean; None for a single network, which knows no error."""
    from scipy.stats import t as student

    count = variable.sizes["replica"]
    if count < 2:
        return None
    half: xr.DataArray = variable.std("replica", ddof=1) * float(student.isf(0.025, count - 1)) / np.sqrt(count)
    return half
