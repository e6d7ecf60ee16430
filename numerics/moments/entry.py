"""Calling the moment routines from generated kernels without compiling them into each.

A kernel that calls :func:`pair_moments` by name gets its whole code linked in and optimised again: seconds for each
kernel. Here the compiled routines are registered once in a process under fixed symbols, and a kernel only refers to the
symbol, as Numba's code does to its own helpers. Such a kernel is cached like any other. A generated module reads::

    from hermiton.numerics.moments import entry

    entry.install()  # before anything below is compiled or loaded
    pair_routine = entry.pair_routine
    ...
    pair_routine()(covariance, students, teachers, sizes, data, out, scratch, evaluate)

with ``entry.pair_routine`` and ``entry.four_point_routine`` bound to globals of the module. Tables of piecewise-linear
activations have routines of their own, which take neither scratch nor functions: ``entry.install_piecewise()``,
``entry.pair_forms_routine`` and ``entry.four_point_forms_routine``.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import llvmlite.binding
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .four_point import four_point_moments
from .pairs import pair_moments
from .pointer import EVALUATE_TYPE

__all__ = [
    "FORMS_TYPE",
    "FOUR_POINT_TYPE",
    "PAIR_TYPE",
    "fingerprint",
    "four_point_forms_routine",
    "four_point_routine",
    "install",
    "install_piecewise",
    "pair_forms_routine",
    "pair_routine",
]

_VECTOR = types.float64[::1]
_ARGUMENTS = (_VECTOR, types.int64, types.int64, types.int64[::1], _VECTOR, _VECTOR, _VECTOR, EVALUATE_TYPE)

#: Function type of :func:`~hermiton.numerics.moments.pairs.pair_moments`.
PAIR_TYPE = types.FunctionType(types.none(*_ARGUMENTS))

#: Function type of :func:`~hermiton.numerics.moments.four_point.four_point_moments`.
FOUR_POINT_TYPE = types.FunctionType(types.float64(*_ARGUMENTS))

#: Function type of the routines of :mod:`~hermiton.numerics.moments.piecewise_tables`.
FORMS_TYPE = types.FunctionType(types.float64(*_ARGUMENTS[:-2]))


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Hash of the sources of the moment routines, for the name of a kernel that has been compiled against them."""
    digest = sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def install() -> None:
    """Compile the routines, or load them from Numba's cache, and register their symbols in this process."""
    _register("pair", pair_moments, PAIR_TYPE)
    _register("four_point", four_point_moments, FOUR_POINT_TYPE)


@lru_cache(maxsize=1)
def install_piecewise() -> None:
    """The same for the routines of piecewise-linear activations."""
    from .piecewise_tables import four_point_forms, pair_forms

    _register("pair_forms", pair_forms, FORMS_TYPE)
    _register("four_point_forms", four_point_forms, FORMS_TYPE)


def _register(name: str, function: Any, kind: Any) -> None:
    function.compile(kind.signature)
    compiled = function.get_compile_result(kind.signature)
    llvmlite.binding.add_symbol(_symbol(name), compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


def _symbol(name: str) -> str:
    return f"hermiton_moments_{name}"


def _routine(name: str, kind: Any) -> Callable[[], Any]:
    @intrinsic
    def routine(typing_context: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address = context.get_value_type(types.voidptr)
            value = cgutils.create_struct_proxy(kind)(context, builder)
            function_type = context.call_conv.get_function_type(kind.signature.return_type, kind.signature.args)
            function = cgutils.get_or_insert_function(builder.module, function_type, _symbol(name))
            value.jit_addr = builder.bitcast(function, address)
            value.c_addr = cgutils.get_null_value(address)
            value.py_addr = cgutils.get_null_value(address)
            return value._getvalue()

        return kind(), codegen

    return routine  # type: ignore[return-value]


#: ``pair_routine()`` in compiled code: the registered pair_moments.
pair_routine = _routine("pair", PAIR_TYPE)

#: ``four_point_routine()`` in compiled code: the registered four_point_moments.
four_point_routine = _routine("four_point", FOUR_POINT_TYPE)

#: ``pair_forms_routine()`` in compiled code: the registered pair_forms.
pair_forms_routine = _routine("pair_forms", FORMS_TYPE)

#: ``four_point_forms_routine()`` in compiled code: the registered four_point_forms.
four_point_forms_routine = _routine("four_point_forms", FORMS_TYPE)
