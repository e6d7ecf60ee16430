"""From the name of a method to its compiled integrator: compiled once a machine, loaded once a process."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

from ..codegen.cache import load_module
from .explicit_rk import explicit_source
from .implicit import implicit_source
from .lanes import lanes_source
from .tableaux import SDIRK4, explicit_tableau

__all__ = ["integrator", "lanes_integrator"]


def _load(source: str, name: str) -> Callable[..., Any]:
    from numba.core.errors import NumbaExperimentalFeatureWarning

    with warnings.catch_warnings():
        # Numba calls function pointers experimental; the tests hold what is used of them here.
        warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)
        advance: Callable[..., Any] = load_module(source, name).advance
    return advance


@cache
def integrator(method: str) -> Callable[..., Any]:
    """Return the compiled `advance` of "Tsit5", "DOP853" or "SDIRK4"."""
    if method == SDIRK4.name:
        return _load(implicit_source(), "sdirk4")
    return _load(explicit_source(explicit_tableau(method)), method.lower())


@cache
def lanes_integrator(method: str, width: int) -> Callable[..., Any]:
    """Return the compiled `advance` of "Tsit5" or "DOP853" for width trajectories in lockstep."""
    return _load(lanes_source(explicit_tableau(method), width), f"{method.lower()}_lanes{width}")
