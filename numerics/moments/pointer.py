"""An activation as a function pointer, so that the moment routines compile once for all activations.

An evaluator fills g, g' and g'' at n points::

    @njit(EVALUATE_SIGNATURE, cache=True)
    def evaluate(set_index, x, n, out0, out1, out2): ...

``set_index`` selects the function set (0 for the first block of fields, 1 for the rest).
"""

from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["EVALUATE_SIGNATURE", "EVALUATE_TYPE", "compiled_pointer", "python_pointer"]

_VECTOR = types.float64[::1]

#: Signature of an evaluator: ``(set_index, x, n, out0, out1, out2) -> None``.
EVALUATE_SIGNATURE = types.void(types.int64, _VECTOR, types.int64, _VECTOR, _VECTOR, _VECTOR)

#: The first-class function type of an evaluator.
EVALUATE_TYPE = types.FunctionType(EVALUATE_SIGNATURE)


def compiled_pointer(evaluate: Any) -> Callable[[], Any]:
    """Make ``pointer()``, to be called inside compiled code for the pointer of a compiled evaluator.

    Passing the evaluator's name itself would be shorter, but Numba then embeds the address of a Python object and
    refuses to cache the caller ("uses dynamic globals"). This links the evaluator's code instead, and the caller is
    cached whole.

    Parameters
    ----------
    evaluate
        A function compiled by ``numba.njit(EVALUATE_SIGNATURE, cache=True)``.

    Returns
    -------
    Callable
        An intrinsic without arguments; assign it to a global of the module whose kernels call it.
    """

    @intrinsic
    def pointer(typing_context: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            compiled = evaluate.get_compile_result(EVALUATE_SIGNATURE)
            address = context.get_value_type(types.voidptr)
            pair = cgutils.create_struct_proxy(EVALUATE_TYPE)(context, builder)
            wrapper_type = context.get_value_type(EVALUATE_TYPE.ftype).pointee
            wrapper = cgutils.get_or_insert_function(
                builder.module, wrapper_type, compiled.fndesc.llvm_cfunc_wrapper_name
            )
            pair.c_addr = builder.bitcast(wrapper, address)
            pair.jit_addr = builder.bitcast(context.declare_function(builder.module, compiled.fndesc), address)
            pair.py_addr = cgutils.get_null_value(address)
            context.active_code_library.add_linking_library(compiled.library)
            return pair._getvalue()

        return EVALUATE_TYPE(), codegen

    return pointer  # type: ignore[return-value]


class _Pointer(types.WrapperAddressProtocol):
    """The address of a compiled evaluator, and the evaluator, kept alive."""

    def __init__(self, evaluate: Any) -> None:
        self._evaluate = evaluate

    def __wrapper_address__(self) -> int:
        compiled = self._evaluate.get_compile_result(EVALUATE_SIGNATURE)
        return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name))

    def signature(self) -> Any:
        return EVALUATE_SIGNATURE


def python_pointer(evaluate: Any) -> Any:
    """Wrap a compiled evaluator so that Python may pass it to the moment routines.

    Parameters
    ----------
    evaluate
        A function compiled by ``numba.njit(EVALUATE_SIGNATURE)``, or the result of ``numba.cfunc(EVALUATE_SIGNATURE)``.

    Returns
    -------
    object
        Something that Numba types as :data:`EVALUATE_TYPE`.
    """
    return _Pointer(evaluate) if hasattr(evaluate, "get_compile_result") else evaluate
