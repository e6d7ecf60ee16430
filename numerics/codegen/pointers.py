"""What generated modules import: raw rows of flat arguments, and how helpers are compiled.

A NumPy slice inside Numba carries a reference count and wraps negative indices; on systems of ten numbers that costs
more than the arithmetic, at run time and at compile time. Offsets in generated code are never negative and never out of
range by construction, so a kernel may address its rows directly.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

__all__ = ["INLINED", "row", "shift"]

# Options of a function that compiled code alone calls. Without wrappers for Python it compiles a fifth faster. As a
# call, it would be bound to its own machine code in the process that compiles the caller, but to the copy inside the
# caller's in one that loads the caller from the cache: the two are optimised apart and differ in the last bit.
INLINED = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}


@intrinsic
def row(typingctx: Any, array: Any, offset: Any) -> Any:
    """Pointer to ``array[offset]`` of a contiguous array; indexing it neither wraps nor checks."""
    signature = types.CPointer(array.dtype)(array, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.gep(data, [args[1]])

    return signature, codegen


@intrinsic
def shift(typingctx: Any, pointer: Any, offset: Any) -> Any:
    """Pointer to ``pointer[offset]``: a row of a matrix, so that an inner loop needs no multiplication."""
    signature = pointer(pointer, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return signature, codegen
