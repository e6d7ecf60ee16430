"""Activations as compiled scalar functions for the networks.

They are printed by SymPy's own code printer, not by hermiton's, so that networks and kernels share no printer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp
from sympy.printing.pycode import PythonCodePrinter

from ..numerics.codegen.cache import load_module
from ..theory.activation import Activation
from ..theory.errors import CodegenError
from ..theory.notation import z

__all__ = ["ScalarFunctions", "scalar_functions"]

_HEADER = """\
\"\"\"{name} and its derivative, for simulated networks.\"\"\"

import math

from numba import cfunc


"""
_FUNCTION = """\
@cfunc("float64(float64)", cache=True, error_model="numpy")
def {name}(z):
    return float({value})


"""


@dataclass(frozen=True)
class ScalarFunctions:
    """An activation for a simulation.

    Parameters
    ----------
    value, derivative : functions compiled by numba, float64 -> float64
        g and g'.
    kinks : tuple of float
        Where g is not smooth.
    """

    value: Callable[[float], float]
    derivative: Callable[[float], float]
    kinks: tuple[float, ...]


def _printed(expression: sp.Expr) -> str:
    # A derivative of a jump is zero wherever an input falls; on the kinks themselves the value has no weight.
    plain = expression.replace(sp.DiracDelta, lambda *_: sp.Integer(0)).rewrite(sp.Piecewise, deep=True)
    printer = PythonCodePrinter({"fully_qualified_modules": True, "strict": False})
    text = str(printer.doprint(plain))
    if "Not supported" in text or "\n" in text:
        raise CodegenError(f"no compiled function for {expression}: {text}")
    return text


@functools.cache
def scalar_functions(activation: Activation) -> ScalarFunctions:
    """Compile an activation and its derivative, or load them from the kernel cache.

    Parameters
    ----------
    activation : Activation
        Any activation, kinks and jumps included.

    Returns
    -------
    ScalarFunctions

    Raises
    ------
    CodegenError
        If a function in the formula has no numerical counterpart.
    """
    expression = activation.expression
    source = _HEADER.replace("{name}", str(expression))
    for name, value in (("value", expression), ("derivative", sp.diff(expression, z))):
        source += _FUNCTION.replace("{name}", name).replace("{value}", _printed(value))
    module = load_module(source, "activation")
    return ScalarFunctions(module.value, module.derivative, tuple(float(kink) for kink in activation.kinks))
