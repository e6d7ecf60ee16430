"""What the tables of piecewise-linear activations are computed from, packed for compiled kernels.

Where fields coincide, factors of one field meet: a product of four has on each field a power of g' times a power of g,
at most two of each. On every piece such a product is a polynomial of degree two at most, and

    g'^p g^q = sum_r c_r z^r + sum_j 1(z > t_j) sum_r c_jr (z - t_j)^r,    r = 0, 1, 2,

is its *form*. Forms are computed exactly and rounded at the end, so that a coefficient that vanishes is zero.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ...theory.activation import Activation
from ...theory.errors import argument_error
from .orthants import plackett_rule

__all__ = ["AT_FORMS", "AT_RULE", "FORMS", "HEAD", "KINK", "RULE_LENGTH", "PiecewiseRule", "piecewise_rule"]

#: Entries of ``sizes``: offset and length of Plackett's rule, then the offsets of the forms of each function set.
AT_RULE, RULE_LENGTH, AT_FORMS = range(3)
#: Forms of a function set, (p, q) at 3 p + q.
FORMS = 9
#: Numbers of a form before its first kink (their count, c_0, c_1, c_2) and of a kink (t, its low part, c_0, c_1, c_2).
HEAD, KINK = 4, 5

_DIGITS = 40
# An exact coefficient below this is none.
_NONE = sp.Rational(1, 10**25)


@dataclass(frozen=True)
class PiecewiseRule:
    """The activations of two blocks of fields, with the rule for the probabilities that are integrals.

    Attributes
    ----------
    nodes
        Nodes of the smaller rule on a panel; see :func:`~hermiton.numerics.moments.orthants.plackett_rule`.
    sizes, data
        What the kernels of :mod:`~hermiton.numerics.moments.piecewise_tables` take.
    """

    nodes: int
    sizes: NDArray[np.int64] = field(repr=False)
    data: NDArray[np.float64] = field(repr=False)


@lru_cache(maxsize=32)
def piecewise_rule(expressions: tuple[sp.Expr, ...], nodes: int) -> PiecewiseRule:
    """Pack the activations of two blocks of fields.

    Parameters
    ----------
    expressions
        The activations in z: students', teachers'.
    nodes
        See :class:`PiecewiseRule`.

    Returns
    -------
    PiecewiseRule
        The rule.

    Raises
    ------
    AssumptionError
        If an activation is not continuous and piecewise linear.
    """
    plackett = plackett_rule(nodes)
    parts: list[NDArray[np.float64]] = [plackett]
    sizes = [0, plackett.size]
    for expression in expressions:
        activation = Activation(expression)
        lines = activation.lines
        if lines is None:
            raise argument_error("expressions", expression, "is not piecewise linear", "use quadrature")
        for p in range(3):
            for q in range(3):
                sizes.append(sum(part.size for part in parts))
                parts.append(_form(lines, activation.kinks, p, q))
    # Both stay writable: Numba gives read-only arrays another type, and the kernels would compile again.
    return PiecewiseRule(nodes, np.array(sizes, np.int64), np.ascontiguousarray(np.concatenate(parts)))


def _form(
    lines: tuple[tuple[sp.Expr, sp.Expr], ...], points: tuple[sp.Expr, ...], p: int, q: int
) -> NDArray[np.float64]:
    """The form of g'^p g^q, g being ``a + b z`` piece by piece."""
    a, b = lines[0]
    numbers = [*_polynomial(a, [b], p, q)]
    kinks = []
    for (c, left), (_, right), point in zip(lines, lines[1:], points, strict=False):
        high = float(point.evalf(_DIGITS))
        low = float((point - sp.Rational(high)).evalf(_DIGITS))
        # g is continuous: on both sides it is its value at the kink plus a multiple of z - t.
        coefficients = _polynomial(c + left * point, [right, left], p, q)
        if any(coefficients):
            kinks.append([high, low, *coefficients])
    return np.array([float(len(kinks)), *numbers, *(x for kink in kinks for x in kink)])


def _polynomial(value: sp.Expr, slopes: list[sp.Expr], p: int, q: int) -> list[float]:
    """Coefficients of b^p (value + b u)^q in u for the first slope b, less those for the second one, if there is."""
    coefficients = []
    for r in range(3):
        powers = [slope ** (p + r) for slope in slopes]
        jump = powers[0] - sp.Add(*powers[1:])
        exact = (sp.binomial(q, r) * value ** (q - r) * jump).evalf(_DIGITS) if r <= q else sp.S.Zero
        coefficients.append(float(exact) if abs(exact) > _NONE else 0.0)
    return coefficients
