"""From a system to functions: lower it, print it, write the module, import it.

`kernel_source` is a pure function of the system and the target, so its text, its hash and its compiled code are the
same in every process.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from hermiton.theory.errors import CodegenError
from hermiton.theory.notation import z
from hermiton.theory.systems import Array, OdeSystem

from .cache import content_hash, load_module
from .elementary import array_map_source, map_source
from .lower import has_forms, lower_observables, lower_rhs
from .printers import (
    LanePrinter,
    MpmathPrinter,
    NumpyPrinter,
    ProgramPrinter,
    PythonPrinter,
    ScalarPrinter,
    expression_printer,
)
from .program import Call, Program, VectorMap

__all__ = ["CompiledSystem", "Target", "compile_system", "kernel_source"]

Target = Literal["scalar", "lanes", "numpy", "python", "mpmath"]
_PRINTERS: dict[str, type[ProgramPrinter]] = {
    "scalar": ScalarPrinter,
    "lanes": LanePrinter,
    "numpy": NumpyPrinter,
    "python": PythonPrinter,
    "mpmath": MpmathPrinter,
}

_INTERPRETED = {"numpy": "import numpy", "python": "import math", "mpmath": "import mpmath as mp"}

# contract, nsz and reassoc let loops vectorise; nnan and ninf would break the step control, which relies on NaN.
_HEADER = """\
import math

from numba import njit, types

from hermiton.numerics.codegen.pointers import INLINED, row, shift

ARITHMETIC = {"error_model": "numpy", "fastmath": {"contract", "nsz", "reassoc"}, "nogil": True}
FLAGS = {**ARITHMETIC, "cache": True}
helper = njit(**ARITHMETIC, **INLINED)
VECTOR = types.float64[::1]
kernel = njit(types.void(types.float64, VECTOR, VECTOR, types.int64[::1], VECTOR, VECTOR), **FLAGS)
lane_kernel = njit(types.void(VECTOR, VECTOR, VECTOR, types.int64[::1], VECTOR, VECTOR), **FLAGS)
"""


_QUADRATURE = """\
from hermiton.numerics.moments import entry
from hermiton.numerics.moments.pointer import EVALUATE_SIGNATURE, compiled_pointer

# compiled against the moment routines {fingerprint}
entry.install()
pair_moments = entry.pair_routine
four_point_moments = entry.four_point_routine


@njit(EVALUATE_SIGNATURE, **FLAGS)
def evaluate(which, x, n, g0, g1, g2):
{body}

activation_pointer = compiled_pointer(evaluate)
"""


_PIECEWISE = """\
from hermiton.numerics.moments import entry

# compiled against the moment routines {fingerprint}
entry.install_piecewise()
pair_moments = entry.pair_forms_routine
four_point_moments = entry.four_point_forms_routine
"""


def piecewise_source() -> str:
    """Source of the calls for piecewise-linear activations, which come as numbers behind the parameters."""
    from ..moments.entry import fingerprint

    return _PIECEWISE.replace("{fingerprint}", fingerprint()[:16])


def activation_source(expressions: Sequence[sp.Expr]) -> str:
    """Source of the evaluator of activations and their first two derivatives, one branch a set of fields."""
    printer = expression_printer()
    lines = []
    for number, expression in enumerate(expressions):
        wanted = [expression, sp.diff(expression, z), sp.diff(expression, z, 2)]
        names = (sp.Symbol(f"u{n}") for n in itertools.count())
        shared, values = sp.cse(wanted, symbols=names, order="none")
        lines += [f"    {'if' if number == 0 else 'elif'} which == {number}:", "        for i in range(n):"]
        lines += ["            z = x[i]"]
        lines += [f"            {name} = {printer._print(value)}" for name, value in shared]
        lines += [f"            g{order}[i] = {printer._print(value)}" for order, value in enumerate(values)]
    from ..moments.entry import fingerprint

    return _QUADRATURE.replace("{fingerprint}", fingerprint()[:16]).replace("{body}", "\n".join(lines) + "\n")


def _docstring(system: OdeSystem, target: str) -> str:
    sets = ", ".join(f"{s.name} ({s.size})" for s in system.sets)
    lines = [f'"""{system.name}: generated {target} kernel, generic in the sizes of {sets}.', ""]
    lines += [f"time: {system.time}"] if system.time else []
    lines += [f"assumes: {assumption}" for assumption in system.assumptions]
    lines += [f"neglects: {system.remainder}"] if system.remainder else []
    return "\n".join(lines).rstrip() + '\n"""\n'


def _functions(system: OdeSystem) -> tuple[Program, ...]:
    programs = [lower_rhs(system)]
    if system.observables:
        programs.append(lower_observables(system))
    return tuple(programs)


@functools.lru_cache(maxsize=64)
def _lowered(system: _Identity) -> tuple[Program, ...]:
    return _functions(system.of)


@dataclass(frozen=True, eq=False)
class _Identity:
    """A system as a cache key, compared by identity: hashing its expressions costs as much as lowering them."""

    of: OdeSystem

    def __hash__(self) -> int:
        return id(self.of)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.of is self.of


def _integrates(program: Program) -> bool:
    return any(isinstance(s, Call) for s in program.walk())


def _printed_programs(system: OdeSystem, target: str) -> list[Program]:
    rhs, *observables = _lowered(_Identity(system))
    return [rhs, *(o for o in observables if target in _INTERPRETED or _integrates(o))]


def kernel_source(system: OdeSystem, target: Target = "scalar") -> str:
    """The readable source of a system's kernels, equations as comments.

    Parameters
    ----------
    system : OdeSystem
        What to compile.
    target : {"scalar", "lanes", "numpy", "python", "mpmath"}
        One trajectory in doubles; many in lockstep; many points at once without compilation; plain Python; any
        precision.

    Returns
    -------
    str
        A module with a function ``rhs`` (``rhs_lanes`` for lanes) and, if the system has observables, ``observables``.
        A compiled module leaves closed observables to the NumPy one: at a few times they are not worth a compilation.

    Raises
    ------
    CodegenError
        If an expression can't be lowered or printed; the message holds the sub-expression.
    """
    if target not in _PRINTERS:
        raise CodegenError(f"target={target!r} is not one of {sorted(_PRINTERS)}: choose one of them")
    programs = _printed_programs(system, target)
    printed = ["\n".join(_PRINTERS[target](program).function()) + "\n" for program in programs]
    maps = sorted({s.function for program in programs for s in program.walk() if isinstance(s, VectorMap)})
    if target in _INTERPRETED:
        own = [array_map_source(m) for m in maps] if target == "numpy" else []
        return "\n\n".join([f"{_docstring(system, target)}\n{_INTERPRETED[target]}\n", *own, *printed])
    parts = [_docstring(system, target) + "\n" + _HEADER]
    if any(map(_integrates, programs)):
        forms = has_forms(system)
        parts.append(
            piecewise_source() if forms else activation_source([system.activations[s.name] for s in system.sets])
        )
    return "\n\n".join([*parts, *(map_source(m) for m in maps), *printed])


@dataclass(frozen=True)
class CompiledSystem:
    """A system with its compiled functions and the layout of its flat arguments.

    Parameters
    ----------
    system : OdeSystem
        What was compiled.
    target : str
        Which printer.
    source : str
        The text of the generated module.
    module : ModuleType
        The imported module.
    programs : tuple of Program
        The lowered programs, whose places define the layout.
    """

    system: OdeSystem
    target: str
    source: str
    module: ModuleType
    programs: tuple[Program, ...]

    @property
    def hash(self) -> str:
        """Content hash of the generated module."""
        return content_hash(self.source)

    @property
    def quadrature(self) -> bool:
        """Whether the kernels fill tables of moments, and so take a rule behind their parameters and sizes."""
        return any(map(_integrates, self.programs))

    @property
    def piecewise_linear(self) -> bool:
        """Whether that rule is a `PiecewiseRule`, and no quadrature rule."""
        return self.quadrature and has_forms(self.system)

    @property
    def rhs(self) -> Callable[..., None]:
        """``rhs(t, y, p, sizes, work, dy)``."""
        return getattr(self.module, "rhs_lanes" if self.target == "lanes" else "rhs")  # type: ignore[no-any-return]

    @property
    def observables(self) -> Callable[..., None]:
        """``observables(t, y, p, sizes, work, out)``, where the module has them."""
        return self.module.observables  # type: ignore[no-any-return]

    def _numbers(self, sizes: Mapping[str, int]) -> dict[sp.Symbol, sp.Integer]:
        return {symbol: sp.Integer(sizes[symbol.name]) for symbol in self.programs[0].sizes}

    def size_vector(self, sizes: Mapping[str, int]) -> NDArray[np.int64]:
        """The sizes in the order in which kernels take them."""
        return np.array([sizes[symbol.name] for symbol in self.programs[0].sizes], dtype=np.int64)

    def length(self, storage: str, sizes: Mapping[str, int], function: int = 0) -> int:
        """Number of doubles in a storage at concrete sizes; lanes multiply it."""
        program = self.programs[function]
        extra = len(program.scalars) if storage == "work" and self.target == "lanes" else 0
        return int(program.length(storage).subs(self._numbers(sizes))) + extra

    def work_size(self, sizes: Mapping[str, int]) -> int:
        """Scratch that every function of the module fits in."""
        return max(self.length("work", sizes, n) for n in range(len(self.programs))) + 1

    def offset(self, name: str, sizes: Mapping[str, int]) -> int:
        """Where a work array of the right-hand side begins."""
        total: sp.Expr = sp.Integer(0)
        for place in self.programs[0].stored("work"):
            if place.name == name:
                return int(total.subs(self._numbers(sizes)))
            total += place.length
        raise CodegenError(f"the kernel has no work array {name!r}")

    def shape(self, array: Array, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Extents of an array at concrete sizes."""
        numbers = self._numbers(sizes)
        return tuple(int(axis.size.xreplace(numbers)) for axis in array.axes)

    def pack(
        self, arrays: tuple[Array, ...], values: Mapping[str, Any], sizes: Mapping[str, int]
    ) -> NDArray[np.float64]:
        """Flatten named values in the kernel's order; of symmetric states the upper triangle."""
        parts = []
        states = set(self.system.states)
        for array in arrays:
            value = np.asarray(values[array.binding], dtype=np.float64)
            if value.shape != self.shape(array, sizes):
                expected = self.shape(array, sizes)
                raise CodegenError(f"{array.binding} has shape {value.shape}, the kernel wants {expected}")
            packed = array.symmetric and array in states
            parts.append(value[np.triu_indices(value.shape[0])] if packed else value.ravel())
        return np.concatenate([np.atleast_1d(p) for p in parts]) if parts else np.zeros(0)

    def unpack(self, flat: NDArray[np.float64], sizes: Mapping[str, int]) -> dict[str, NDArray[np.float64]]:
        """Named states from flat ones; leading axes (times) are kept, symmetric matrices are written out."""
        values: dict[str, NDArray[np.float64]] = {}
        offset = 0
        lead = flat.shape[:-1]
        for state in self.system.states:
            shape = self.shape(state, sizes)
            if state.symmetric:
                rows, columns = np.triu_indices(shape[0])
                full = np.empty((*lead, *shape))
                full[..., rows, columns] = full[..., columns, rows] = flat[..., offset : offset + len(rows)]
                offset += len(rows)
            else:
                count = int(np.prod(shape, dtype=int))
                full = flat[..., offset : offset + count].reshape(*lead, *shape)
                offset += count
            values[state.binding] = full
        return values


def compile_system(system: OdeSystem, target: Target = "scalar") -> CompiledSystem:
    """Generate, cache, compile and import a system's kernels.

    Parameters
    ----------
    system : OdeSystem
        What to compile.
    target : {"scalar", "lanes", "numpy", "python", "mpmath"}
        See `kernel_source`.

    Returns
    -------
    CompiledSystem
        With functions whose compiled code is kept on disk: a second process does not compile.
    """
    source = kernel_source(system, target)
    module = load_module(source, f"{system.name}_{target}")
    return CompiledSystem(system, target, source, module, _lowered(_Identity(system)))
