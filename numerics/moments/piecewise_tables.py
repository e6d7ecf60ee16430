"""Tables of moments of piecewise-linear activations: what quadrature fills for smooth ones.

Entries are products of up to four functions; factors of one field are merged into a form (see
:mod:`~hermiton.numerics.moments.piecewise_rule`), so that the fields of an entry are distinct and an entry is a sum of
moments of powers on orthants. E[g''_k g_a] is elementary: g'' is a sum of impulses, which condition z_a.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from .accuracy import MomentTables, checked_covariance
from .orthants import COLUMNS, shift_means, split
from .piecewise_linear import moment_of_powers
from .piecewise_rule import AT_FORMS, AT_RULE, FORMS, HEAD, KINK, RULE_LENGTH, PiecewiseRule

__all__ = ["four_point_forms", "pair_forms", "piecewise_error", "piecewise_tables"]

_EXACT: dict[str, Any] = {"cache": True, "error_model": "numpy"}
_INTERNAL: dict[str, Any] = {**_EXACT, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

_EPS = float(np.finfo(np.float64).eps)
_ROUNDING = 8.0 * _EPS
_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _finite(covariance: Any, count: int) -> bool:
    for i in range(count):
        if not abs(covariance[i]) < np.inf:
            return False
    return True


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _start(law: Any, shifts: Any, covariance: Any, fields: int, members: Any, count: int) -> float:
    """Set up the law of some of the fields; returns the share that their variances were raised by."""
    part = np.empty(16)
    none = np.zeros(16)
    for i in range(count):
        for j in range(count):
            part[count * i + j] = covariance[fields * members[i] + members[j]]
    law[:] = 0.0
    shifts[:] = 0.0
    return split(law, count, part, none, none, none, 0.0)  # type: ignore[no-any-return]


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _product_of_forms(law: Any, shifts: Any, count: int, at: Any, data: Any, rule: Any) -> Any:
    """E of a product of forms, one a field, that begin at ``at``; and an estimate of its error.

    ``shifts`` are the thresholds that the means of the law are relative to; where they do not change from one choice of
    kinks to the next, the law keeps the probabilities that it knows.
    """
    choice = np.zeros(4, np.int64)
    place = np.zeros(4, np.int64)
    none = np.zeros(16)
    combinations = 3**count
    value, error = 0.0, 0.0
    stale = False
    while True:
        wanted = 0
        vanishes = False
        for i in range(count):
            t, low = 0.0, 0.0
            if choice[i] == 0:
                place[i] = at[i] + HEAD - 3
            else:
                kink = at[i] + HEAD + KINK * (choice[i] - 1)
                t, low = data[kink], data[kink + 1]
                place[i] = kink + 2
                wanted |= 1 << i
            if t != shifts[i, 0] or low != shifts[i, 1]:
                shifts[i, 0], shifts[i, 1] = t, low
                stale = True
            c = place[i]
            vanishes = vanishes or (data[c] == 0.0 and data[c + 1] == 0.0 and data[c + 2] == 0.0)
        if not vanishes:
            if stale:
                shift_means(law, count, none, none, shifts)
                stale = False
            for code in range(combinations):
                factor = 1.0
                powers = 0
                rest = code
                for i in range(count):
                    r = rest % 3
                    rest //= 3
                    factor *= data[place[i] + r]
                    powers += r << 3 * i
                if factor != 0.0:
                    # One type for all calls: a cached recursion with two signatures crashes when it is loaded
                    # (Numba issue 6061).
                    part, e = moment_of_powers(law, np.int64(0), np.int64(wanted), np.int64(powers), rule)
                    value += factor * part
                    error += abs(factor) * (e + _ROUNDING * abs(part))
        i = 0
        while i < count:
            choice[i] += 1
            if choice[i] <= data[at[i]]:
                break
            choice[i] = 0
            i += 1
        if i == count:
            break
    if stale:
        # The caller's next product starts from what the law holds.
        shift_means(law, count, none, none, shifts)
    return value, error


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _impulses(variance: float, covariance: float, left: float, mine: int, other: int, data: Any) -> Any:
    """E[g''(z_k) g(z_a)] and its rounding; ``left`` is the variance of z_a given z_k, ``covariance`` theirs.

    A field without variance meets no impulse: H = 0 is then consistent with g'(0) being the mean of both sides.
    """
    value, error = 0.0, 0.0
    if not variance > 0.0:
        return value, error
    deviation = math.sqrt(max(0.0, left))
    for n in range(int(data[mine])):
        kink = mine + HEAD + KINK * n
        t, bend = data[kink], data[kink + 3]
        m = covariance / variance * t
        mean = data[other + 1] + data[other + 2] * m
        size = abs(data[other + 1]) + abs(data[other + 2] * m)
        for j in range(int(data[other])):
            at = other + HEAD + KINK * j
            x = m - data[at]
            if deviation > 0.0:
                h = x / deviation
                x *= 0.5 * math.erfc(-_ROOT_HALF * h)
                x += deviation * _DENSITY * math.exp(-0.5 * h * h)
            else:
                x = max(0.0, x)
            mean += data[at + 3] * x
            size += abs(data[at + 3]) * (x + abs(m) + abs(data[at]))
        density = bend * _DENSITY / math.sqrt(variance) * math.exp(-0.5 * t * t / variance)
        value += density * mean
        error += _ROUNDING * abs(density) * (1.0 + t * t / variance) * size
    return value, error


@njit(**_EXACT)  # type: ignore[untyped-decorator]
def pair_forms(covariance: Any, students: int, teachers: int, sizes: Any, data: Any, out: Any) -> float:
    """Fill the pair tables.

    Parameters
    ----------
    covariance, students, teachers, out
        As for :func:`~hermiton.numerics.moments.pairs.pair_moments`.
    sizes, data
        A packed :class:`~hermiton.numerics.moments.piecewise_rule.PiecewiseRule`.

    Returns
    -------
    float
        The largest error of an entry, or the largest share that variances were raised by where a covariance is
        indefinite, if that is more.
    """
    fields = students + teachers
    square = fields * fields
    if not _finite(covariance, square):
        out[:] = np.nan
        return np.nan
    rule = data[sizes[AT_RULE] : sizes[AT_RULE] + sizes[RULE_LENGTH]]
    law = np.zeros((16, COLUMNS))
    shifts = np.zeros((4, 2))
    members = np.zeros(4, np.int64)
    at = np.zeros(4, np.int64)
    out[:] = 0.0
    worst = 0.0
    for i in range(fields):
        own = AT_FORMS + (0 if i < students else FORMS)
        for j in range(i, fields):
            other = AT_FORMS + (0 if j < students else FORMS)
            count = 1 if i == j else 2
            members[0], members[1] = i, j
            share = _start(law, shifts, covariance, fields, members, count)
            worst = max(worst, share)
            for slopes in range(2 if i < students else 1):
                step = 3 if slopes else 1
                at[0], at[1] = sizes[own + (2 * step if i == j else step)], sizes[other + step]
                value, error = _product_of_forms(law, shifts, count, at, data, rule)
                out[slopes * square + i * fields + j] = value
                if slopes == 0 or j < students:
                    out[slopes * square + j * fields + i] = value
                worst = max(worst, error)
            if i < students:
                left = law[1, 5] if i != j else 0.0
                c = law[0, 1] if i != j else law[0, 0]
                value, error = _impulses(law[0, 0], c, left, sizes[own + 1], sizes[other + 1], data)
                out[2 * square + i * fields + j] = value
                worst = max(worst, error)
                if i != j and j < students:
                    value, error = _impulses(law[0, 5], c, law[2, 0], sizes[other + 1], sizes[own + 1], data)
                    out[2 * square + j * fields + i] = value
                    worst = max(worst, error)
    return worst


@njit(**_EXACT)  # type: ignore[untyped-decorator]
def four_point_forms(covariance: Any, students: int, teachers: int, sizes: Any, data: Any, out: Any) -> float:
    """Fill the four-point table.

    Parameters
    ----------
    covariance, students, teachers, out
        As for :func:`~hermiton.numerics.moments.four_point.four_point_moments`.
    sizes, data
        A packed :class:`~hermiton.numerics.moments.piecewise_rule.PiecewiseRule`.

    Returns
    -------
    float
        As for :func:`pair_forms`.
    """
    fields = students + teachers
    square = fields * fields
    if not _finite(covariance, square):
        out[:] = np.nan
        return np.nan
    rule = data[sizes[AT_RULE] : sizes[AT_RULE] + sizes[RULE_LENGTH]]
    law = np.zeros((16, COLUMNS))
    shifts = np.zeros((4, 2))
    members = np.zeros(4, np.int64)
    power = np.zeros(4, np.int64)
    at = np.zeros(4, np.int64)
    factors = np.zeros(4, np.int64)
    worst = 0.0
    for k in range(students):
        for l in range(k, students):
            for a in range(fields):
                for b in range(a, fields):
                    factors[0], factors[1], factors[2], factors[3] = k, l, a, b
                    count = 0
                    for n in range(4):
                        i = 0
                        while i < count and members[i] != factors[n]:
                            i += 1
                        if i == count:
                            members[i] = factors[n]
                            power[i] = 0
                            count += 1
                        power[i] += 3 if n < 2 else 1
                    for i in range(count):
                        at[i] = sizes[AT_FORMS + (0 if members[i] < students else FORMS) + power[i]]
                    worst = max(worst, _start(law, shifts, covariance, fields, members, count))
                    value, error = _product_of_forms(law, shifts, count, at, data, rule)
                    worst = max(worst, error)
                    first, second = (k * students + l) * square, (l * students + k) * square
                    out[first + a * fields + b] = out[first + b * fields + a] = value
                    out[second + a * fields + b] = out[second + b * fields + a] = value
    return worst


@dataclass(frozen=True)
class PiecewiseError:
    """Errors of the tables of one covariance, divided by the largest entry of their table."""

    pair: float
    four_point: float

    @property
    def value(self) -> float:
        """The larger one."""
        return max(self.pair, self.four_point)


def _filled(
    covariance: ArrayLike, students: int, teachers: int, rule: PiecewiseRule
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float]:
    flat = checked_covariance(covariance, students, teachers)
    fields = students + teachers
    pair = np.empty(3 * fields * fields)
    four = np.empty(students * students * fields * fields)
    errors = [
        float(routine(flat, students, teachers, rule.sizes, rule.data, out))
        for routine, out in ((pair_forms, pair), (four_point_forms, four))
    ]
    return pair.reshape(3, fields, fields), four.reshape(students, students, fields, fields), errors[0], errors[1]


def piecewise_tables(covariance: ArrayLike, students: int, teachers: int, rule: PiecewiseRule) -> MomentTables:
    """Compute all tables.

    Parameters
    ----------
    covariance, students, teachers
        As for :func:`~hermiton.numerics.moments.accuracy.moment_tables`.
    rule
        The activations.

    Returns
    -------
    MomentTables
        Its ``tail`` is the larger of the two errors of the tables.

    Raises
    ------
    AssumptionError
        As from :func:`~hermiton.numerics.moments.accuracy.moment_tables`.
    """
    pair, four, pair_error, four_error = _filled(covariance, students, teachers, rule)
    return MomentTables(pair, four, max(pair_error, four_error))


def piecewise_error(covariance: ArrayLike, students: int, teachers: int, rule: PiecewiseRule) -> PiecewiseError:
    """Estimate the relative error of the tables of a covariance.

    Parameters
    ----------
    covariance, students, teachers, rule
        As for :func:`piecewise_tables`.

    Returns
    -------
    PiecewiseError
        The errors. They cover quadrature and rounding, for a covariance within a relative distance of them.
    """
    pair, four, pair_error, four_error = _filled(covariance, students, teachers, rule)
    return PiecewiseError(
        pair_error / (float(np.abs(pair).max()) or 1.0), four_error / (float(np.abs(four).max()) or 1.0)
    )
