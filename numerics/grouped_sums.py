"""Definitions that sum over the members of each group, evaluated in one pass over all members.

A definition such as ``F[a, j] = sum_i KroneckerDelta(c[i], a) f(i, j)`` sorts the terms f(i, j) into groups. Every term
goes into one group only, so no comparison of each label with each group is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import prod

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from hermiton.theory.systems import Definition, IndexSum

from .indexed_values import IndexedValues, shape_of

__all__ = ["defined"]

Real = NDArray[np.float64]

# Members that are looked at together: they fit into a processor's cache.
_WINDOW = 1 << 14


def defined(values: IndexedValues, item: Definition, sizes: Mapping[str, int]) -> Real:
    """All entries of a definition.

    Parameters
    ----------
    values : IndexedValues
        The arrays.
    item : Definition
        What is defined.
    sizes : mapping of str to int
        Sizes by name.

    Returns
    -------
    array of float64
    """
    found = _grouping(item)
    if found is None:
        return values.defined(item, sizes)
    label, group, term = found
    labels = values.arrays[str(label.base.label)]
    (member,) = label.indices
    place = item.indices.index(group)
    shape = shape_of(item.target, sizes)
    others = shape[:place] + shape[place + 1 :]
    axes = (*(index for index in item.indices if index != group), member)
    totals = np.zeros((prod(others), shape[place]))
    for first in range(0, len(labels), _WINDOW):
        view = slice(first, min(first + _WINDOW, len(labels)))
        terms = np.broadcast_to(values(term, axes, {member: view}), (*others, view.stop - first))
        for row, entry in zip(totals, terms.reshape(len(totals), -1), strict=True):
            row += np.bincount(labels[view], entry, len(row))
    return np.moveaxis(totals.reshape(*others, shape[place]), -1, place)


@cache
def _grouping(item: Definition) -> tuple[sp.Indexed, sp.Symbol, sp.Expr] | None:
    """The label of a member, the index of the group and the term, if the definition is of this kind."""
    total = item.value
    if not isinstance(total, IndexSum):
        return None
    factors = sp.Mul.make_args(total.body)
    for factor in factors:
        if isinstance(factor, sp.KroneckerDelta):
            for label, group in (factor.args, factor.args[::-1]):
                labels = isinstance(label, sp.Indexed) and label.indices == (total.index,)
                if labels and group in item.indices:
                    rest = sp.Mul(*(other for other in factors if other is not factor))
                    return None if rest.has(group) else (label, group, rest)
    return None
