"""Numba, behind one typed decorator: compiled at the first call, kept on disk, NaN-safe.

Numba's disk cache knows the file of the function itself, not the files of what it calls. Whoever edits `gaussians` or a
function that another file compiles in should delete ``__pycache__`` here, or old machine code runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba import types
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError, NumbaExperimentalFeatureWarning
from numba.core.types.function_type import WrapperAddressProtocol

from .arguments import refused

P = ParamSpec("P")
T = TypeVar("T")

# Sums may be reordered (that lets them vectorise); NaN and infinity keep their meaning, the divergence check needs
# them.
FASTMATH = {"contract", "nsz", "reassoc"}

SCALAR_FUNCTION = types.FunctionType(types.float64(types.float64))
GENERATOR = numba.typeof(np.random.Generator(np.random.SFC64(0)))


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Compile `function` when it is first called and cache the machine code on disk."""
    decorate = numba.njit(cache=True, error_model="numpy", fastmath=FASTMATH, nogil=True)
    return cast("Callable[P, T]", decorate(function))


def compiled_for(signature: Any, function: Callable[P, T]) -> Callable[P, T]:
    """Compile `function` for one signature now, or load it from the disk cache.

    With an explicit signature, scalar functions arrive as pointers (`SCALAR_FUNCTION`): one kernel serves every
    activation.
    """
    with warnings.catch_warnings():
        # Numba calls function pointers experimental; what they do here is held by the tests.
        warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)
        decorate = numba.njit([signature], cache=True, error_model="numpy", fastmath=FASTMATH, nogil=True)
        return cast("Callable[P, T]", decorate(function))


@cache
def _pointer(function: Any) -> Any:
    def call(x: float) -> float:
        value: float = function(x)
        return value

    return numba.cfunc(types.float64(types.float64))(call)


def scalar_function(name: str, function: Callable[[float], float]) -> Any:
    """Return a numba-compiled scalar function as a pointer float64 -> float64, compiling it once.

    It may come as a pointer already: a `numba.cfunc`, or an object that follows Numba's wrapper-address protocol.

    Raises
    ------
    ValueError
        If `function` isn't compiled by numba, or doesn't take one float to one float.
    """
    if isinstance(function, (CFunc, WrapperAddressProtocol)):
        found = numba.typeof(function)
        if found != SCALAR_FUNCTION:
            raise refused(name, function, f"is compiled for {found}", "compile it for float64(float64)")
        return function
    if not isinstance(function, Dispatcher):
        raise refused(name, function, "is not compiled", "decorate it with numba.njit")
    try:
        return _pointer(function)
    except NumbaError as error:
        raise refused(name, function, "does not map a float to a float", "give a function of one float") from error


def _apply(function: Callable[[float], float], inputs: np.ndarray, outputs: np.ndarray) -> None:
    for i in range(inputs.size):
        outputs[i] = function(inputs[i])


@cache
def elementwise() -> Callable[[Any, np.ndarray, np.ndarray], None]:
    """Return the kernel that applies a scalar function to every entry of a flat array."""
    vector = types.float64[::1]
    return compiled_for(types.void(SCALAR_FUNCTION, vector, vector), _apply)
