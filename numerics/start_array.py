"""Arrays that a start is made of, checked and made read-only."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hermiton.theory.errors import argument_error

__all__ = ["start_array"]


def start_array(name: str, value: ArrayLike, dimensions: int) -> NDArray[np.float64]:
    """A read-only copy; AssumptionError names the argument if it is no finite array with so many axes."""
    try:
        result = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise argument_error(name, value, "is not an array of numbers", "pass nested lists or a NumPy array") from None
    if result.ndim != dimensions or 0 in result.shape:
        raise argument_error(name, value, f"has shape {result.shape}", f"pass a non-empty array with {dimensions} axes")
    if not np.isfinite(result).all():
        raise argument_error(name, value, "has entries that are not finite", "remove NaN and infinities")
    result.setflags(write=False)
    return result
