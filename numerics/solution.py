"""The result of `solve`: labelled numbers with their errors and where they come from."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hermiton.theory.errors import argument_error
from hermiton.theory.systems import OdeSystem

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Solution", "write_netcdf"]


def write_netcdf(dataset: xr.Dataset, path: str | Path) -> Path:
    """Write a dataset to a netCDF file, whole or not at all.

    Parameters
    ----------
    dataset : xarray.Dataset
        What to write.
    path : path
        The file; replaced only when the new one is complete.

    Returns
    -------
    Path

    Raises
    ------
    AssumptionError
        If the file can't be written.
    """
    try:
        target = Path(path).expanduser()
    except TypeError:
        raise argument_error("path", path, "is not a path", "name a file, such as 'run.nc'") from None
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}-", suffix=".part", dir=target.parent)
        os.close(handle)
        dataset.to_netcdf(temporary, engine="h5netcdf")
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would keep colleagues from reading
        os.replace(temporary, target)
    except OSError as error:
        problem = f"can't be written ({error.strerror or error})"
        raise argument_error("path", str(path), problem, "name a file in a folder that exists") from None
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
    return target


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved system.

    Parameters
    ----------
    setting : object
        What was solved.
    system : OdeSystem
        The equations.
    data : xarray.Dataset
        Observables and states with named dimensions; the first is ``time``.
    errors : xarray.Dataset
        The same variables: estimated absolute errors (integration and, where moments are integrated, quadrature).
    provenance : dict of str
        Versions, kernel hash, tolerances.
    error_kind : str
        ``"estimated"``: the distance between this solution and a less accurate one.
    """

    setting: Any
    system: OdeSystem = field(repr=False)
    data: xr.Dataset = field(repr=False)
    errors: xr.Dataset = field(repr=False)
    provenance: dict[str, str] = field(repr=False)
    error_kind: str = "estimated"

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw every observable and state against time.

        Parameters
        ----------
        path : path, optional
            Where to save the picture, by its ending.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .picture import Picture

        names = list(self.data.data_vars)
        figure = Picture(figsize=(4.2 * len(names), 3.2), layout="constrained")
        symmetric = {array.binding for array in self.system.states if array.symmetric}
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            variable = self.data[name]
            entries = [i for i in np.ndindex(*variable.shape[1:]) if name not in symmetric or i == tuple(sorted(i))]
            for number, entry in enumerate(entries):
                # Entries that coincide by a symmetry of the start both show if every second one is dashed.
                label = f"${name}_{{{','.join(str(i + 1) for i in entry)}}}$" if entry else None
                values = variable.values[(slice(None), *entry)]
                axes.plot(self.data["time"], values, "--" if number % 2 else "-", label=label)
            if entries[0] and len(entries) <= 9:
                axes.legend(frameon=False, fontsize="small")
            if name == "generalization_error" and float(variable.min()) > 0:
                axes.set_yscale("log")
            axes.set(xlabel="time  $t$", title=str(name).replace("_", " "))
            axes.grid(axis="y", alpha=0.4, linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        if path is not None:
            try:
                figure.savefig(path)
            except (OSError, ValueError) as error:  # ValueError: an ending that names no known format
                problem = f"can't be written ({error})"
                raise argument_error("path", str(path), problem, "name a .png, .pdf or .svg file") from None
        return figure

    def save(self, path: str | Path) -> Path:
        """Write data, errors and provenance to one netCDF file.

        Parameters
        ----------
        path : path
            The file; replaced only when the new one is complete.

        Returns
        -------
        Path

        Raises
        ------
        AssumptionError
            If the file can't be written.
        """
        both = self.data.merge(self.errors.rename({name: f"{name}_error" for name in self.errors.data_vars}))
        both.attrs.update({**self.provenance, "setting": repr(self.setting), "error_kind": self.error_kind})
        return write_netcdf(both, path)

    def _repr_html_(self) -> str:
        return str(self.data._repr_html_())
