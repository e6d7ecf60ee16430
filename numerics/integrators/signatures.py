"""The Numba types of right-hand sides and integrators. Importing this imports Numba, so it is imported late."""

from typing import Any

from numba import types

__all__ = ["ADVANCE_TYPE", "IMPLICIT_TYPE", "LANES_TYPE", "RHS_LANES_TYPE", "RHS_TYPE", "function_pointer"]

_real: Any = types.float64
_integer: Any = types.int64
_reals: Any = types.Array(_real, 1, "C")
_integers: Any = types.Array(_integer, 1, "C")
_table: Any = types.Array(_real, 2, "C")
_block: Any = types.Array(_real, 3, "C")

# rhs(t, y, parameters, sizes, work, dy)
RHS_TYPE: Any = types.FunctionType(types.void(_real, _reals, _reals, _integers, _reals, _reals))
# rhs_lanes(t, y, parameters, sizes, work, dy), all arrays flat, the lane running fastest
RHS_LANES_TYPE: Any = types.FunctionType(types.void(_reals, _reals, _reals, _integers, _reals, _reals))

# rhs, times, y, parameters, sizes, work, rtol, atol, max_steps
_common: Any = (_reals, _reals, _reals, _integers, _reals, _real, _real, _integer)
# ..., dy, clock, counts, states
ADVANCE_TYPE: Any = _integer(RHS_TYPE, *_common, _reals, _reals, _integers, _table)
# ..., slope, clock, counts, states, stages, nodes, errors
IMPLICIT_TYPE: Any = _integer(RHS_TYPE, *_common, _reals, _reals, _integers, _table, _table, _reals, _reals)
# ..., status, start, counts, reached, states
LANES_TYPE: Any = types.void(RHS_LANES_TYPE, *_common, _integers, _real, types.Array(_integer, 2, "C"), _reals, _block)


class _FunctionPointer(types.WrapperAddressProtocol):
    """The address of one compiled signature; keeps the code alive."""

    def __init__(self, function: Any, signature: Any) -> None:
        compiled = function.overloads[signature.args]
        self._function = function
        self._signature = signature
        self._address = int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name))

    def __wrapper_address__(self) -> int:
        return self._address

    def signature(self) -> Any:
        return self._signature


def function_pointer(function: Any, signature: Any) -> Any:
    """Return a compiled function as something that Numba takes for a first-class function of that signature."""
    return _FunctionPointer(function, signature)
