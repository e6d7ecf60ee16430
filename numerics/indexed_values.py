"""Values of indexed expressions on arrays, without compilation: what binds and observes a system outside kernels.

An expression of theory in entries of arrays, `IndexSum`, `Passed` and `Inverse` is evaluated over all its free indices
at once by NumPy, sums in windows that fit into a processor's cache. No formula is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial, reduce
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
# Products of matrices with fewer multiplications for each entry of the longest axis go without BLAS and its threads.
_THIN = 256
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
        return _plan(expression, axes, frozenset(window))(self, window)

    def defined(self, item: Definition, sizes: Mapping[str, int]) -> Real:
        """All entries of a definition."""
        result = np.asarray(self(item.value, item.indices, {}))
        shape = shape_of(item.target, sizes)
        # Entries alone are a view of an array, anything else is new.
        if result.shape == shape and result.dtype == np.float64 and not isinstance(item.value, sp.Indexed):
            return result
        return np.array(np.broadcast_to(result, shape), dtype=np.float64)


# How an expression is evaluated is found out once, not at each call.
_Plan = Callable[[IndexedValues, _Window], Any]


@cache
def _plan(expression: sp.Expr, axes: tuple[sp.Symbol, ...], windowed: frozenset[sp.Symbol]) -> _Plan:
    if isinstance(expression, sp.Indexed):
        return _entries(expression, axes, windowed)
    if isinstance(expression, IndexSum):
        return _sum(expression, axes, windowed)
    if isinstance(expression, Inverse):
        (entry,) = expression.args
        name, chosen = entry.base.label.name, _entries(entry, axes, windowed)

        def inverted(values: IndexedValues, window: _Window) -> Any:
            return chosen(IndexedValues({name: _inverse(name, values.arrays[name])}, values.extents), window)

        return inverted
    atoms = _atoms(expression)
    function = _function(expression, atoms)
    parts = [_plan(atom, axes, windowed) for atom in atoms]
    return lambda values, window: function(*(part(values, window) for part in parts))


def _entries(entry: sp.Indexed, axes: tuple[sp.Symbol, ...], windowed: frozenset[sp.Symbol]) -> _Plan:
    """Entries of an array, with an axis of length 1 for each index that it does not have."""
    name = entry.base.label.name
    has: list[sp.Symbol] = []
    picks: list[Callable[[NDArray[Any], IndexedValues, _Window], NDArray[Any]]] = []
    for index in entry.indices:
        before = (slice(None),) * len(has)
        if index.is_Integer:
            picks.append(partial(_fixed, (*before, int(index))))
            continue
        if isinstance(index, sp.Indexed):  # the values of one array are indices of another
            other, place = index.base.label.name, len(has)
            (index,) = index.indices
            picks.append(partial(_taken, other, index, place))
        elif index in windowed:
            picks.append(partial(_windowed, before, index))
        has.append(index)
    order = [has.index(axis) for axis in axes if axis in has]
    key = tuple(slice(None) if axis in has else None for axis in axes)

    def chosen(values: IndexedValues, window: _Window) -> Any:
        array = values.arrays[name]
        for pick in picks:
            array = pick(array, values, window)
        return array.transpose(order)[key]

    return chosen


def _fixed(key: tuple[slice | int, ...], array: NDArray[Any], values: IndexedValues, window: _Window) -> NDArray[Any]:
    """Entries of which one index is a number."""
    return array[key]


def _windowed(
    before: tuple[slice, ...], index: sp.Symbol, array: NDArray[Any], values: IndexedValues, window: _Window
) -> NDArray[Any]:
    """Entries whose index runs over a window."""
    return array[(*before, window[index])]


def _taken(
    other: str, index: sp.Symbol, place: int, array: NDArray[Any], values: IndexedValues, window: _Window
) -> NDArray[Any]:
    """Entries whose index is the value of another array; the long axis is the one that is contiguous."""
    chosen = values.arrays[other][window.get(index, slice(None))]
    return np.take(array.T, chosen, axis=array.ndim - 1 - place).T


# -- sums -------------------------------------------------------------------------------------------------------------


def _sum(total: IndexSum, axes: tuple[sp.Symbol, ...], windowed: frozenset[sp.Symbol]) -> _Plan:
    inner = (*axes, total.index)
    factors = sp.Mul.make_args(total.body)
    spread = {axis for axis in inner if any(axis in f.free_symbols for f in factors if not isinstance(f, sp.Indexed))}
    if len(spread) < len(inner) and any(isinstance(factor, sp.Indexed) for factor in factors):
        return _contraction(factors, axes, total, windowed)
    body = _plan(total.body, inner, windowed | {total.index})

    def summed(values: IndexedValues, window: _Window) -> Any:
        extent = values.extents[total.size]
        length = _WINDOW if extent > _SHORT else 1
        result: Any = 0.0
        for first in range(0, extent, length):
            view = slice(first, min(first + length, extent))
            terms = np.asarray(body(values, {**window, total.index: view}))
            if terms.ndim == 0 or terms.shape[-1] == 1:  # the same for all
                terms = np.broadcast_to(terms, (*terms.shape[:-1], view.stop - first))
            result = result + (terms.sum(axis=-1) if length > 1 else terms[..., 0])
        return result

    return summed


def _contraction(
    factors: tuple[sp.Expr, ...], axes: tuple[sp.Symbol, ...], total: IndexSum, windowed: frozenset[sp.Symbol]
) -> _Plan:
    """A sum of products of entries, which needs no array of all the products.

    A factor whose indices another one has too is multiplied into that; what remains is a product of matrices or, where
    it is not, left to NumPy.
    """
    inner = (*axes, total.index)
    have = [tuple(axis for axis in inner if axis in factor.free_symbols) for factor in factors]
    parts = [_plan(factor, own, windowed) for factor, own in zip(factors, have, strict=True)]
    left = sorted(range(len(factors)), key=lambda place: len(have[place]))
    products: list[tuple[int, int, tuple[slice | None, ...]]] = []
    for place in tuple(left):
        into = next((o for o in left if o != place and set(have[place]) <= set(have[o])), None)
        if into is not None:
            products.append((into, place, tuple(slice(None) if axis in have[place] else None for axis in have[into])))
            left.remove(place)
    kept = [axis for axis in axes if any(axis in own for own in have)]
    key = tuple(slice(None) if axis in kept else None for axis in axes)
    finish = _product([have[place] for place in left], kept, total)

    def contracted(values: IndexedValues, window: _Window) -> Any:
        operands = [np.asarray(part(values, window), dtype=np.float64) for part in parts]
        for into, place, spread in products:
            operands[into] = operands[into] * operands[place][spread]
        return finish([operands[place] for place in left], values)[key]

    return contracted


def _product(
    have: list[tuple[sp.Symbol, ...]], kept: list[sp.Symbol], total: IndexSum
) -> Callable[[list[NDArray[Any]], IndexedValues], Any]:
    """The sum over one index of a product of arrays, by the indices that they have."""
    index = total.index
    if len(have) == 1:
        (own,) = have
        if index not in own:
            return lambda operands, values: operands[0] * values.extents[total.size]
        place = own.index(index)
        return lambda operands, values: operands[0].sum(axis=place)
    numbers = {axis: place for place, axis in enumerate((*kept, index))}
    factors = [[numbers[axis] for axis in own] for own in have]

    def looped(operands: list[NDArray[Any]], values: IndexedValues) -> Any:
        arguments = [argument for pair in zip(operands, factors, strict=True) for argument in pair]
        extents = {a: n for o, own in zip(operands, factors, strict=True) for a, n in zip(own, o.shape, strict=True)}
        out = sorted(range(len(kept)), key=lambda axis: extents[axis])  # the long axis last, where it is contiguous
        result = np.einsum(*arguments, out, optimize=len(have) > 2)
        return result.transpose([out.index(axis) for axis in range(len(kept))])

    if len(have) > 2 or set(have[0]) & set(have[1]) != {index}:
        return looped
    rest = [[axis for axis in own if axis != index] for own in have]
    orders = [[[*pair[0], *pair[1]].index(axis) for axis in kept] for pair in (rest, rest[::-1])]
    places = [own.index(index) for own in have]

    def multiplied(operands: list[NDArray[Any]], values: IndexedValues) -> Any:
        swapped = int(operands[0].size > operands[1].size)  # the long axis last
        first, second = operands[swapped], operands[1 - swapped]
        if first.size * second.size <= _THIN * first.shape[places[swapped]] * max(second.shape):
            return looped(operands, values)
        axes = ([places[swapped]], [places[1 - swapped]])
        return np.tensordot(first, second, axes).transpose(orders[swapped])

    return multiplied


def _inverse(name: str, matrix: Real) -> Real:
    """The inverse of a matrix, or its pseudo-inverse if it is not square; refused if its rank is not full."""
    values = np.linalg.svd(matrix, compute_uv=False)
    if not values[-1] * _SINGULAR > values[0]:
        problem = f"is singular: its singular values reach from {values[0]:.3g} to {values[-1]:.3g}"
        raise argument_error(name, matrix.shape, problem, "give a matrix of full rank")
    if matrix.shape[0] != matrix.shape[1]:
        return np.asarray(np.linalg.pinv(matrix), dtype=np.float64)
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


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
    return tuple(sizes[_text(axis.size)] for axis in array.axes)


@cache
def _text(size: sp.Expr) -> str:
    return str(size)


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
