"""Values of indexed expressions on arrays, without compilation: what binds and observes a system outside kernels.

An expression of theory in entries of arrays, `IndexSum`, `Passed` and `Inverse` is evaluated over all its free indices
at once by NumPy, sums in windows that fit into a processor's cache. No formula is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from hermiton.theory.errors import argument_error
from hermiton.theory.systems import Array, Definition, IndexSum, Inverse, OdeSystem, Passed

__all__ = ["IndexedValues", "bound_array", "index_arrays", "shape_of"]

Real = NDArray[np.float64]

# Terms of a sum that are evaluated together: they fit into a processor's cache.
_WINDOW = 1 << 14
# Up to here a sum goes term by term, each over all other indices.
_SHORT = 8
# A matrix whose condition number is larger has no inverse in floating point.
_SINGULAR = 1e12

_Window = Mapping[sp.Symbol, slice]


@dataclass(frozen=True)
class IndexedValues:
    """Arrays by name, and the extent of each size."""

    arrays: dict[str, NDArray[Any]]
    extents: Mapping[sp.Expr, int]

    def __call__(self, expression: sp.Expr, axes: tuple[sp.Symbol, ...], window: _Window) -> Any:
        """An expression over its free indices, an axis each in the order of `axes`, up to broadcasting.

        Indices with a window run over that alone.
        """
        if isinstance(expression, sp.Indexed):
            return self._entries(expression, axes, window)
        if isinstance(expression, IndexSum):
            return self._sum(expression, axes, window)
        if isinstance(expression, Inverse):
            (entry,) = expression.args
            inverse = _inverse(entry.base.label.name, self.arrays[entry.base.label.name])
            own = IndexedValues({entry.base.label.name: inverse}, self.extents)
            return own._entries(entry, axes, window)
        atoms = _atoms(expression)
        return _function(expression, atoms)(*(self(atom, axes, window) for atom in atoms))

    def _entries(self, entry: sp.Indexed, axes: tuple[sp.Symbol, ...], window: _Window) -> NDArray[Any]:
        """Entries of an array, with an axis of length 1 for each index that it does not have."""
        array = self.arrays[entry.base.label.name]
        has: list[sp.Symbol] = []
        for index in entry.indices:
            if index.is_Integer:
                array = array[(slice(None),) * len(has) + (int(index),)]
                continue
            if isinstance(index, sp.Indexed):  # the values of one array are indices of another
                chosen = self.arrays[index.base.label.name]
                (index,) = index.indices
                array = np.take(array, chosen[window.get(index, slice(None))], axis=len(has))
            elif index in window:
                array = array[(slice(None),) * len(has) + (window[index],)]
            has.append(index)
        array = array.transpose([has.index(axis) for axis in axes if axis in has])
        return array[tuple(slice(None) if axis in has else None for axis in axes)]

    def _sum(self, total: IndexSum, axes: tuple[sp.Symbol, ...], window: _Window) -> Any:
        inner = (*axes, total.index)
        factors = sp.Mul.make_args(total.body)
        if all(isinstance(factor, sp.Indexed) for factor in factors):
            return self._contraction(factors, axes, inner, window)
        extent = self.extents[total.size]
        length = _WINDOW if extent > _SHORT else 1
        parts = []
        for first in range(0, extent, length):
            view = slice(first, min(first + length, extent))
            values = np.asarray(self(total.body, inner, {**window, total.index: view}))
            if values.ndim == 0 or values.shape[-1] == 1:  # the same for all
                values = np.broadcast_to(values, (*values.shape[:-1], view.stop - first))
            parts.append(values.sum(axis=-1) if length > 1 else values[..., 0])
        return np.sum(parts, axis=0)

    def _contraction(
        self,
        factors: tuple[sp.Indexed, ...],
        axes: tuple[sp.Symbol, ...],
        inner: tuple[sp.Symbol, ...],
        window: _Window,
    ) -> Any:
        """A sum of products of entries, which needs no array of all the products."""
        operands: list[Any] = []
        for factor in factors:
            own = [factor.has(axis) for axis in inner]
            entries = self._entries(factor, inner, window)[tuple(slice(None) if has else 0 for has in own)]
            operands += [entries, [place for place, has in enumerate(own) if has]]
        kept = [any(factor.has(axis) for factor in factors) for axis in axes]
        result = np.einsum(*operands, [place for place, has in enumerate(kept) if has], optimize=True)
        return result[tuple(slice(None) if has else None for has in kept)]

    def defined(self, item: Definition, sizes: Mapping[str, int]) -> Real:
        """All entries of a definition."""
        result = self(item.value, item.indices, {})
        return np.array(np.broadcast_to(result, shape_of(item.target, sizes)), dtype=np.float64)


def _inverse(name: str, matrix: Real) -> Real:
    """The inverse of a matrix, or its pseudo-inverse if it is not square; refused if its rank is not full."""
    values = np.linalg.svd(matrix, compute_uv=False)
    if not values[-1] * _SINGULAR > values[0]:
        problem = f"is singular: its singular values reach from {values[0]:.3g} to {values[-1]:.3g}"
        raise argument_error(name, matrix.shape, problem, "give a matrix of full rank")
    if matrix.shape[0] != matrix.shape[1]:
        return np.asarray(np.linalg.pinv(matrix), dtype=np.float64)
    return np.linalg.inv(matrix)


@cache
def _atoms(expression: sp.Expr) -> tuple[sp.Expr, ...]:
    """The outermost entries, inverses and sums, in a fixed order."""
    if isinstance(expression, sp.Indexed | IndexSum | Inverse):
        return (expression,)
    found = {atom for arg in expression.args for atom in _atoms(arg)}
    return tuple(sorted(found, key=sp.default_sort_key))


@cache
def _function(expression: sp.Expr, atoms: tuple[sp.Expr, ...]) -> Callable[..., Any]:
    """An expression as a function of arrays."""
    names = {atom: sp.Dummy() for atom in atoms}
    largest = sp.Function("largest")
    body = expression.xreplace(names).replace(sp.Max, lambda *args: reduce(largest, args))
    body = body.replace(sp.KroneckerDelta, sp.Function("same"))
    modules = [{Passed.__name__: np.less, "largest": np.maximum, "same": np.equal}, "numpy"]
    return sp.lambdify(list(names.values()), body, modules)  # type: ignore[no-any-return]


def shape_of(array: Array, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The extents of its axes."""
    return tuple(sizes[str(axis.size)] for axis in array.axes)


def bound_array(array: Array, given: Any, sizes: Mapping[str, int]) -> NDArray[Any]:
    """A value as an array of finite numbers; a scalar stands for all entries."""
    shape = shape_of(array, sizes)
    name = array.binding
    try:
        value = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise argument_error(name, given, "is not an array of numbers", f"pass shape {shape}") from None
    if value.shape not in ((), shape):
        raise argument_error(name, value.shape, "is another shape than the setting has", f"pass shape {shape}")
    if not np.isfinite(value).all():
        raise argument_error(name, given, "has NaN or an infinity", "use finite numbers")
    return np.broadcast_to(value, shape)


def index_arrays(system: OdeSystem) -> set[str]:
    """Names of the arrays whose values are indices of others."""
    values = [item.value for item in (*system.definitions, *system.equations, *system.observables)]  # type: ignore[union-attr]
    entries = [entry for value in values for entry in value.atoms(sp.Indexed)]
    return {str(i.base.label) for entry in entries for i in entry.indices if isinstance(i, sp.Indexed)}
