"""Probabilities that up to four jointly Gaussian fields are all positive.

With mean zero, two and three fields have elementary probabilities, and four take one-dimensional integrals: Plackett's
identity dP/d asin(r_ij) = P(others > 0 | z_i = z_j = 0)/(2 pi) along a path that switches off the correlations between
two blocks of fields. The minors along that path are known in closed form, so that its only nearby singularities are
multiple correlations of +-1, one of which the variable of integration removes and the choice of blocks avoids. Means
are switched on along the straight path from zero,

    dP/dt = sum_i h_i phi(t h_i) P(others > 0 | z_i = 0, means t m),    h_i = m_i/deviation_i,

on which the covariance does not move: there is no singularity at all, only features of known widths 1/h.

Conditional covariances of nearly degenerate fields are differences that cancel. They are computed in double-double
arithmetic, so that 1 - r^2 keeps its digits for the very numbers given, and one of rounding size is told from zero.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import ArrayLike, NDArray

from ...theory.errors import argument_error

__all__ = [
    "COLUMNS",
    "DROP",
    "HALVE",
    "INTERVAL",
    "KEEP",
    "NEVER",
    "NODES",
    "checked_law",
    "height",
    "mean",
    "orthant_probability",
    "plackett_rule",
    "positive",
    "reduced",
    "shift_means",
    "split",
]

# No fastmath: reassociation would undo the error-free sums and products.
_EXACT: dict[str, Any] = {"cache": True, "error_model": "numpy"}
_INTERNAL: dict[str, Any] = {**_EXACT, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# A law is an array of shape (16, COLUMNS): row A holds the fields' law given that those of the bit set A are zero.
_LOW, _MEAN, _MEAN_LOW, _NOISE, _SIZE, _VALUE, _ERROR, _PIVOT = 16, 32, 36, 40, 44, 48, 64, 80
#: Columns of a law.
COLUMNS = 81

_EPS = float(np.finfo(np.float64).eps)
_DOUBLE_DOUBLE = 2.0**-100
# A mean of a field without variance counts as zero below this share of the terms that it is a sum of.
_NO_MEAN = 32.0 * _EPS
# Stands for an infinite ratio of mean and deviation; its square is finite.
_BEYOND = 1e100
# Normal probabilities beyond this are 0 or 1 to far below rounding.
_CERTAIN = 38.0
# Panels of one integral at most, and the ratio of neighbours in a row that shrinks towards a layer.
_MOST_PANELS = 200
_SHRINK = 8.0
# Bisections of a dyadic panel of the path that switches on means.
_DEEPEST = 12
# Factors of 4 from rounding up to what `checked_law` still accepts.
_ATTEMPTS = 12
# What rounding may make of the smallest eigenvalue of correlations.
_INDEFINITE = 1e-10
# Rounding of one probability of four fields, in units of the last place of 1, seen from its number of terms.
_ROUNDING = 16.0 * _EPS
_TWO_PI = 2.0 * math.pi
_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1.0 / math.sqrt(_TWO_PI)

_NODES_16, _WEIGHTS_16 = np.polynomial.legendre.leggauss(16)
_OWEN_NODES, _OWEN_WEIGHTS = 0.5 * (1.0 + _NODES_16), _WEIGHTS_16 / (2.0 * _TWO_PI)

#: Node counts n of :func:`plackett_rule`; each panel is integrated with n and with 2 n nodes.
NODES = (8, 12, 16, 24)


@lru_cache(maxsize=8)
def plackett_rule(nodes: int) -> NDArray[np.float64]:
    """Gauss-Legendre rules with n and 2 n nodes on [0, 1], packed for the compiled routines.

    Parameters
    ----------
    nodes
        n, one of :data:`NODES`.

    Returns
    -------
    ndarray
        n, then nodes and weights of the smaller and of the larger rule.
    """
    if nodes not in NODES:
        raise argument_error("nodes", nodes, "is not a number of nodes", f"use one of {NODES}")
    parts: list[Any] = [[float(nodes)]]
    for count in (nodes, 2 * nodes):
        x, w = np.polynomial.legendre.leggauss(count)
        parts += [0.5 * (1.0 + x), 0.5 * w]
    # It stays writable: Numba gives read-only arrays another type, and the kernels would compile again.
    return np.concatenate(parts)


# -- double-double arithmetic ------------------------------------------------------------------------------------------


@intrinsic
def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a b + c, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), codegen


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _add(a: float, a_low: float, b: float, b_low: float) -> Any:
    s = a + b
    v = s - a
    e = (a - (s - v)) + (b - v)
    t = a_low + b_low
    v = t - a_low
    f = (a_low - (t - v)) + (b_low - v)
    e += t
    high = s + e
    e = e - (high - s) + f
    s = high + e
    return s, e - (s - high)


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _multiply(a: float, a_low: float, b: float, b_low: float) -> Any:
    p = a * b
    e = _fma(a, b, -p) + (a * b_low + a_low * b)  # type: ignore[call-arg]
    s = p + e
    return s, e - (s - p)


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _divide(a: float, a_low: float, b: float, b_low: float) -> Any:
    q = a / b
    p, p_low = _multiply(q, 0.0, b, b_low)
    r, r_low = _add(a, a_low, -p, -p_low)
    q2 = r / b
    p, p_low = _multiply(q2, 0.0, b, b_low)
    r, r_low = _add(r, r_low, -p, -p_low)
    s = q + q2
    return _add(s, q2 - (s - q), r / b, 0.0)


# -- the law given some fields -----------------------------------------------------------------------------------------


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def condition_all(law: Any, fields: int) -> bool:
    """Fill the covariances of all rows from those of row 0 (upper columns may hold low-order parts).

    A variance within its own rounding noise becomes zero, with all its covariances.

    Parameters
    ----------
    law
        Shape (16, COLUMNS).
    fields
        Number of fields, 1 to 4.

    Returns
    -------
    bool
        Whether a variance is negative beyond its noise.
    """
    indefinite = False
    for i in range(fields):
        law[0, _NOISE + i] = _DOUBLE_DOUBLE * law[0, 5 * i]
        if not law[0, 5 * i] > 0.0 and law[0, 5 * i] == law[0, 5 * i]:
            _forget(law, 0, i)
    for given in range(1, (1 << fields) - 1):
        pivot, best = -1, 0.0
        for p in range(fields):
            if given >> p & 1 and law[0, 5 * p] > 0.0:
                ratio = law[given ^ (1 << p), 5 * p] / law[0, 5 * p]
                if ratio > best:
                    pivot, best = p, ratio
        law[given, _PIVOT] = pivot
        if pivot < 0:  # the last field given is determined by the others, or NaN
            pivot = 0
            while not given >> pivot & 1:
                pivot += 1
            for c in range(_NOISE + 4):
                law[given, c] = law[given ^ (1 << pivot), c]
            continue
        parent = given ^ (1 << pivot)
        base, base_low = law[parent, 5 * pivot], law[parent, _LOW + 5 * pivot]
        for i in range(fields):
            if given >> i & 1:
                continue
            at = 4 * i + pivot
            slope, slope_low = _divide(law[parent, at], law[parent, _LOW + at], base, base_low)
            for j in range(i, fields):
                if given >> j & 1:
                    continue
                at = 4 * pivot + j
                x, x_low = _multiply(slope, slope_low, law[parent, at], law[parent, _LOW + at])
                at = 4 * i + j
                x, x_low = _add(law[parent, at], law[parent, _LOW + at], -x, -x_low)
                law[given, at], law[given, _LOW + at] = x, x_low
                at = 4 * j + i
                law[given, at], law[given, _LOW + at] = x, x_low
            root = math.sqrt(law[parent, _NOISE + i]) + abs(slope) * math.sqrt(law[parent, _NOISE + pivot])
            law[given, _NOISE + i] = root * root + _DOUBLE_DOUBLE * law[parent, 5 * i]
        for i in range(fields):
            if not given >> i & 1 and law[given, 5 * i] <= 4.0 * law[given, _NOISE + i]:
                indefinite = indefinite or law[given, 5 * i] < -4.0 * law[given, _NOISE + i]
                _forget(law, given, i)
    return indefinite


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _forget(law: Any, given: int, i: int) -> None:
    for j in range(4):
        law[given, 4 * i + j] = law[given, 4 * j + i] = 0.0
        law[given, _LOW + 4 * i + j] = law[given, _LOW + 4 * j + i] = 0.0


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def set_means(law: Any, fields: int) -> None:
    """Fill the means of all rows from those of row 0, and drop the probabilities known so far."""
    for given in range(1 << fields):
        for c in range(_VALUE, _ERROR):
            law[given, c] = np.nan
    for given in range(1, (1 << fields) - 1):
        pivot = int(law[given, _PIVOT])
        if pivot < 0:
            pivot = 0
            while not given >> pivot & 1:
                pivot += 1
            for c in range(_MEAN, _VALUE):
                if c < _NOISE or c >= _SIZE:
                    law[given, c] = law[given ^ (1 << pivot), c]
            continue
        parent = given ^ (1 << pivot)
        base, base_low = law[parent, 5 * pivot], law[parent, _LOW + 5 * pivot]
        m, m_low = _divide(law[parent, _MEAN + pivot], law[parent, _MEAN_LOW + pivot], base, base_low)
        for i in range(fields):
            if given >> i & 1:
                continue
            c = law[parent, 4 * i + pivot]
            x, x_low = _multiply(c, law[parent, _LOW + 4 * i + pivot], m, m_low)
            x, x_low = _add(law[parent, _MEAN + i], law[parent, _MEAN_LOW + i], -x, -x_low)
            law[given, _MEAN + i], law[given, _MEAN_LOW + i] = x, x_low
            law[given, _SIZE + i] = law[parent, _SIZE + i] + abs(c / base) * law[parent, _SIZE + pivot]


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def shift_means(law: Any, fields: int, means: Any, means_low: Any, shifts: Any) -> None:
    """Replace the fields by their distances from thresholds, shape (fields, 2), two parts each."""
    for i in range(fields):
        law[0, _MEAN + i], law[0, _MEAN_LOW + i] = _add(means[i], means_low[i], -shifts[i, 0], -shifts[i, 1])
        law[0, _SIZE + i] = abs(means[i]) + abs(shifts[i, 0])
    set_means(law, fields)


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def mean(law: Any, given: int, i: int) -> float:
    """Mean of a field given that those of ``given`` are zero; that of a constant is zero below rounding."""
    m = law[given, _MEAN + i]
    if law[given, 5 * i] == 0.0 and abs(m) <= _NO_MEAN * law[given, _SIZE + i]:
        return 0.0
    return m  # type: ignore[no-any-return]


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def height(law: Any, given: int, i: int) -> float:
    """Mean over deviation, at most :data:`_BEYOND` in size; 0 for a constant zero."""
    m = mean(law, given, i)
    v = law[given, 5 * i]
    if v > 0.0:
        return min(_BEYOND, max(-_BEYOND, m / math.sqrt(v)))  # type: ignore[no-any-return]
    return _BEYOND if m > 0.0 else -_BEYOND if m < 0.0 else m * 0.0


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _height_beside(law: Any, given: int, k: int, l: int) -> float:
    """Height of z_l given that z_k is zero too; a constant z_k tells nothing, and its being zero may be impossible."""
    if law[given, 5 * k] > 0.0:
        return height(law, given | 1 << k, l)  # type: ignore[no-any-return]
    return height(law, given, l)  # type: ignore[no-any-return]


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _angle(law: Any, given: int, i: int, j: int) -> float:
    """Angle: asin of the correlation of two fields given others; 0 if one of them is constant."""
    left = math.sqrt(law[given, 5 * i]) * math.sqrt(law[given | 1 << i, 5 * j])
    return math.atan2(law[given, 4 * i + j], left)


# -- two fields --------------------------------------------------------------------------------------------------------


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _half(x: float) -> float:
    """P(0 < e < x), e standard normal."""
    return 0.5 * math.erf(_ROOT_HALF * x)


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _owen(b: float, d: float) -> float:
    """Integral over 0 < t < 1 of b phi(t b) P(0 < e < t d): atan(d/b)/(2 pi) less Owen's T(b, d/b).

    As an integral over a = d/b its integrand (1 - exp(-b^2 (1 + x^2)/2))/(1 + x^2) is entire, and the larger of the two
    arguments can be made b by parts: sixteen nodes reach rounding for all b and d.
    """
    if b == 0.0 or d == 0.0:
        return b * d * 0.0
    if abs(d) > abs(b):
        return _half(b) * _half(d) - _owen_of(d, b / d)  # type: ignore[no-any-return]
    return _owen_of(b, d / b)  # type: ignore[no-any-return]


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _owen_of(b: float, slope: float) -> float:
    total = 0.0
    for n in range(16):
        q = 1.0 + (slope * _OWEN_NODES[n]) ** 2
        total += _OWEN_WEIGHTS[n] * (1.0 - math.exp(-0.5 * b * b * q)) / q
    return slope * total


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _two(angle: float, b: float, d: float, c: float, e: float) -> float:
    """P(z_i, z_j > 0), heights b and c, heights e of z_i given z_j = 0 and d of z_j given z_i = 0."""
    return 0.25 + angle / _TWO_PI + 0.5 * (_half(b) + _half(c)) + _owen(b, d) + _owen(c, e)  # type: ignore[no-any-return]


# -- four fields of mean zero ------------------------------------------------------------------------------------------


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _apart(law: Any, one: int) -> float:
    """1 - R^2 of one field and the two others that it depends on most."""
    least = 1.0
    for left in range(4):
        if left != one:
            least = min(least, law[15 ^ (1 << one) ^ (1 << left), 5 * one] / law[0, 5 * one])
    return least


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _blocks_apart(law: Any, i: int, k: int, j: int, l: int) -> float:
    """1 - R^2 of one field of a block and the other block, the least of four."""
    first, second = 1 << i | 1 << k, 1 << j | 1 << l
    return min(  # type: ignore[no-any-return]
        law[first, 5 * j] / law[0, 5 * j],
        law[first, 5 * l] / law[0, 5 * l],
        law[second, 5 * i] / law[0, 5 * i],
        law[second, 5 * k] / law[0, 5 * k],
    )


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _four_centered(law: Any, rule: Any) -> Any:
    """P(all four positive) at mean zero, and its error; no two of the fields are fully correlated."""
    best, choice = -1.0, 0
    for i in range(4):
        apart = _apart(law, i)
        if apart > best:
            best, choice = apart, i
    for k in range(1, 4):
        j = 2 if k == 1 else 1
        apart = _blocks_apart(law, 0, k, j, 6 - k - j)
        if apart > best:
            best, choice = apart, 3 + k
    constants = np.empty((4, 11))
    if choice < 4:
        i = choice
        j, k, l = (i + 1) % 4, (i + 2) % 4, (i + 3) % 4
        value = 0.5 * _three_centered(law, 0, j, k, l)
        end = _one_to_three(law, i, j, k, l, constants)
        layer = _layer(law, 1 << i, 0.5 * math.pi - end, 1.0 - law[15 ^ (1 << i), 5 * i] / law[0, 5 * i])
        terms = 3
        for n in range(3):
            value += constants[n, 9] / (4.0 * _TWO_PI)
    else:
        k = choice - 3
        j = 2 if k == 1 else 1
        l = 6 - k - j
        value = (0.25 + _angle(law, 0, 0, k) / _TWO_PI) * (0.25 + _angle(law, 0, j, l) / _TWO_PI)
        end = _two_to_two(law, 0, k, j, l, constants)
        layer = _layer(law, 1 | 1 << k, math.sqrt(constants[0, 2]), constants[0, 3])
        terms = 4
        for n in range(4):
            value += constants[n, 9] / (4.0 * _TWO_PI)
    total, error = _along(terms, end, layer, constants, rule)
    value += total / (_TWO_PI * _TWO_PI)
    return min(1.0, max(0.0, value)), error / (_TWO_PI * _TWO_PI) + _ROUNDING


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _one_to_three(law: Any, i: int, a: int, b: int, c: int, constants: Any) -> float:
    """Constants of the path that scales the correlations of field i by t = sin(phi)/R; returns the end of phi.

    With x = 1 - t^2, 1 - t^2 r^2 = (1 - r^2) + r^2 x and 1 - t^2 R^2 = (1 - R^2) + R^2 x: sums of positive terms. Given
    z_i and z_j, fields k and l have covariance and determinant, times (1 - t^2 r^2) and its square,

        C_kl|ij (1 - r^2) + x (C_kl|j r^2 + C_ik|j C_il|j / C_ii),    C_kk|j C_ll|jk (1 - t^2 r^2)(1 - t^2 R^2).
    """
    own = law[0, 5 * i]
    left = law[15 ^ (1 << i), 5 * i] / own
    square = max(0.0, 1.0 - left)
    root = math.sqrt(square)
    for n in range(3):
        j, k, l = (a, b, c) if n == 0 else (b, c, a) if n == 1 else (c, a, b)
        rest = law[1 << j, 5 * i] / own
        r = law[0, 4 * i + j] / math.sqrt(own) / math.sqrt(law[0, 5 * j])
        given = 1 << j
        scale = math.sqrt(law[given, 5 * k]) * math.sqrt(law[given | 1 << k, 5 * l])
        constants[n, 0] = rest
        constants[n, 1] = r * r
        constants[n, 2] = left
        constants[n, 3] = square
        constants[n, 4] = law[given | 1 << i, 4 * k + l] * rest
        constants[n, 5] = law[given, 4 * k + l] * r * r + law[given, 4 * i + k] / own * law[given, 4 * i + l]
        constants[n, 6] = scale
        constants[n, 7] = r / root if root > 0.0 else 0.0
        constants[n, 8] = root
        constants[n, 9] = _angle(law, 0, i, j)
    # y runs from 0 at t = 1 to pi/2 - y_0 at t = 0, x = sin(y) sin(y + 2 y_0)/R^2
    return 0.5 * math.pi - math.atan2(math.sqrt(left), root)


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _two_to_two(law: Any, i: int, k: int, j: int, l: int, constants: Any) -> float:
    """The same for the path that scales the correlations between blocks (i, k) and (j, l); returns the end of y.

    The determinant is det(i, k) det(j, l) (1 - t^2 K_1^2)(1 - t^2 K_2^2) with the canonical correlations K. The
    integrand is odd in t, so that y = cos(phi) - cos(phi_1), t = sin(phi)/K_1, is a variable without singularity.
    """
    # T = (1 - K_1^2) + (1 - K_2^2) as the trace of C_first^-1 C_first|second
    second = 1 << j | 1 << l
    slope, slope_low = _divide(law[0, 4 * i + k], law[0, _LOW + 4 * i + k], law[0, 5 * i], law[0, _LOW + 5 * i])
    v, v_low = _multiply(slope, slope_low, law[second, 5 * i], law[second, _LOW + 5 * i])
    v, v_low = _add(v, v_low, -2.0 * law[second, 4 * i + k], -2.0 * law[second, _LOW + 4 * i + k])
    v, v_low = _multiply(v, v_low, slope, slope_low)
    v, v_low = _add(v, v_low, law[second, 5 * k], law[second, _LOW + 5 * k])
    v, v_low = _divide(v, v_low, law[1 << i, 5 * k], law[1 << i, _LOW + 5 * k])
    s, s_low = _divide(law[second, 5 * i], law[second, _LOW + 5 * i], law[0, 5 * i], law[0, _LOW + 5 * i])
    trace, trace_low = _add(v, v_low, s, s_low)
    both, _ = _add(2.0, 0.0, -trace, -trace_low)
    both = max(0.0, both)
    left = law[second, 5 * i] / law[0, 5 * i] * (law[second | 1 << i, 5 * k] / law[1 << i, 5 * k])
    m, m_low = _multiply(law[0, 4 * i + j], law[0, _LOW + 4 * i + j], law[0, 4 * k + l], law[0, _LOW + 4 * k + l])
    w, w_low = _multiply(law[0, 4 * i + l], law[0, _LOW + 4 * i + l], law[0, 4 * k + j], law[0, _LOW + 4 * k + j])
    minor, _ = _add(m, m_low, -w, -w_low)
    ratio = minor / math.sqrt(law[0, 5 * i]) / math.sqrt(law[1 << i, 5 * k])
    ratio = ratio / math.sqrt(law[0, 5 * j]) / math.sqrt(law[1 << j, 5 * l])
    large = 0.5 * (both + math.sqrt(max(0.0, both * both - 4.0 * ratio * ratio)))
    small = ratio * ratio / large if large > 0.0 else 0.0
    far = 0.5 * (trace + math.sqrt(max(0.0, trace * trace - 4.0 * left)))
    near = left / far if far > 0.0 else 0.0
    # Of 1 - K^2 and K^2 the smaller one has its digits.
    large, near = (1.0 - near, near) if near < 0.5 else (large, 1.0 - large)
    small, far = (1.0 - far, far) if far < 0.5 else (small, 1.0 - small)
    for n in range(4):
        p, q = (i, k) if n < 2 else (k, i)
        o, u = (j, l) if n % 2 == 0 else (l, j)
        sign = 1.0 if n == 0 or n == 3 else -1.0
        rest = law[1 << p, 5 * o] / law[0, 5 * o]
        r = law[0, 4 * p + o] / math.sqrt(law[0, 5 * p]) / math.sqrt(law[0, 5 * o])
        scale = math.sqrt(law[1 << p, 5 * q]) * math.sqrt(law[1 << o, 5 * u])
        constants[n, 0] = rest
        constants[n, 1] = r * r
        constants[n, 2] = near
        constants[n, 3] = large
        constants[n, 4] = law[1 << p | 1 << o, 4 * q + u] * rest
        constants[n, 5] = sign * r * minor / math.sqrt(law[0, 5 * p]) / math.sqrt(law[0, 5 * o])
        constants[n, 6] = scale
        constants[n, 7] = far
        constants[n, 8] = small
        constants[n, 9] = _angle(law, 0, p, o)
        constants[n, 10] = r / large if large > 0.0 else 0.0
    return large / (1.0 + math.sqrt(near))


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _plackett_rate(terms: int, constants: Any, y: float) -> float:
    """Sum over the pairs of the path of d asin(r_ij t)/dy asin(partial correlation of the other two)."""
    total = 0.0
    if terms == 3:
        root = constants[0, 8]
        if root == 0.0:
            return 0.0
        start = math.atan2(math.sqrt(constants[0, 2]), root)
        x = math.sin(y) / root * (math.sin(y + 2.0 * start) / root)
        cosine = math.sqrt(constants[0, 2] + constants[0, 3] * x)
        for n in range(3):
            one = constants[n, 0] + constants[n, 1] * x
            above = constants[n, 4] + constants[n, 5] * x
            root_one = math.sqrt(one)
            angle = math.atan2(above, constants[n, 6] * root_one * cosine)
            total += constants[n, 7] * angle * (cosine / root_one if root_one > 0.0 else 1.0)
        return total
    large = constants[0, 3]
    if large == 0.0:
        return 0.0
    start = math.sqrt(constants[0, 2])
    x = y * (y + 2.0 * start) / large
    t = math.sqrt(max(0.0, 1.0 - x))
    if t == 0.0:
        return 0.0
    cosine = y + start
    other = math.sqrt(constants[0, 7] + constants[0, 8] * x)
    for n in range(4):
        one = constants[n, 0] + constants[n, 1] * x
        above = t * (constants[n, 4] + constants[n, 5] * x)
        root_one = math.sqrt(one)
        angle = math.atan2(above, constants[n, 6] * root_one * cosine * other)
        total += constants[n, 10] * angle * (cosine / root_one if root_one > 0.0 else 1.0)
    return total / t


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _layer(law: Any, block: int, start: float, square: float) -> float:
    """Distance from y = 0 at which the nearest singularity of the path shows: a multiple correlation across the blocks.

    The minors of fields e in one block with sets of the other vanish at t^2 = 1/R^2; those that are singular at t = 1
    already leave nothing to resolve.
    """
    least = 1.0
    for e in range(4):
        own = block if block >> e & 1 else 15 ^ block
        partner = own ^ (1 << e)
        for inside in range(2):
            if inside and (not partner or partner & (partner - 1)):
                continue
            given = partner * inside
            for others in range(1, 16):
                if others & own or ((others | own | given) == 15 and others | given | 1 << e == 15):
                    continue
                if law[given, 5 * e] > 0.0 and law[given | others, 5 * e] > 0.0:
                    least = min(least, law[given | others, 5 * e] / law[given, 5 * e])
    least *= square
    return least / (start + math.sqrt(start * start + least)) if least > 0.0 else 0.0


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _along(terms: int, end: float, layer: float, constants: Any, rule: Any) -> Any:
    """The integral of :func:`_plackett_rate` over 0 < y < end.

    Panels shrink geometrically towards the layer at y = 0, which no node would find otherwise; a panel whose two rules
    differ is bisected.
    """
    count = int(rule[0])
    stack = np.empty((_MOST_PANELS, 2))
    top, panels = 0, 0
    width = end
    while width > _SHRINK * layer and width > _EPS * end:
        stack[top, 0], stack[top, 1] = width / _SHRINK, width - width / _SHRINK
        width /= _SHRINK
        top += 1
    stack[top, 0], stack[top, 1] = 0.0, width
    top += 1
    value, error = 0.0, 0.0
    while top > 0:
        top -= 1
        begin, length = stack[top, 0], stack[top, 1]
        coarse, fine = 0.0, 0.0
        for n in range(count):
            coarse += rule[1 + count + n] * _plackett_rate(terms, constants, begin + length * rule[1 + n])
        for n in range(2 * count):
            at = 1 + 2 * count + n
            fine += rule[at + 2 * count] * _plackett_rate(terms, constants, begin + length * rule[at])
        difference = length * abs(fine - coarse)
        panels += 1
        if difference > 4.0 * _EPS and panels + top < _MOST_PANELS - 2 and length > _EPS * end:
            stack[top, 0], stack[top, 1] = begin + 0.5 * length, 0.5 * length
            stack[top + 1, 0], stack[top + 1, 1] = begin, 0.5 * length
            top += 2
            continue
        value += length * fine
        error += difference
    return value, error


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _three_centered(law: Any, given: int, i: int, j: int, k: int) -> float:
    """P(z_i, z_j, z_k > 0) at mean zero."""
    angles = _angle(law, given, i, j) + _angle(law, given, i, k) + _angle(law, given, j, k)
    return min(0.5, max(0.0, 0.125 + angles / (2.0 * _TWO_PI)))  # type: ignore[no-any-return]


# -- three and four fields with means ----------------------------------------------------------------------------------


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _switch_on(law: Any, given: int, fields: Any, count: int, rule: Any, gain: Any, error: Any) -> None:
    """What the means add to the probability of three or four fields, along the straight path from zero.

    ``gain[0]`` is what they add to P(all positive). Of four fields, the probability of three given z_i = 0 changes by
    gain[1 + i] = sum_j int a_ij phi(t a_ij) P_kl|ij(t) dt, a_ij the height of z_j given z_i = 0, and exchanging the
    order of the two integrals makes their part in gain[0] one integral, sum_ij int (Phi(h_i) - Phi(t h_i)) a_ij phi(t
    a_ij) P_kl|ij(t) dt.
    """
    pairs = 3 if count == 3 else 6
    data = np.empty((pairs, 9))
    which = np.empty((pairs, 2), np.int64)
    largest = 0.0
    n = 0
    for p in range(count):
        for q in range(p + 1 if count == 4 else count, count if count == 4 else count + 1):
            i = fields[p]
            under = given | 1 << i
            data[n, 0] = height(law, given, i)
            which[n, 0] = p
            if count == 4:
                j = fields[q]
                under |= 1 << j
                which[n, 1] = q
                data[n, 1] = height(law, given, j)
                data[n, 2] = height(law, given | 1 << i, j)
                data[n, 3] = height(law, given | 1 << j, i)
            k, l = -1, -1
            for r in range(count):
                if r != p and (count == 3 or r != q):
                    if k < 0:
                        k = fields[r]
                    else:
                        l = fields[r]
            data[n, 4] = _angle(law, under, k, l)
            data[n, 5] = height(law, under, k)
            data[n, 6] = _height_beside(law, under, k, l)
            data[n, 7] = height(law, under, l)
            data[n, 8] = _height_beside(law, under, l, k)
            for c in range(9):
                if c != 4 and abs(data[n, c]) < _BEYOND and (count == 4 or c == 0 or c > 4):
                    largest = max(largest, abs(data[n, c]))
            n += 1
    # Dyadic panels down to the narrowest feature: each is smooth on its own scale.
    panels = 0
    while panels < 200 and largest > 1.5:
        largest *= 0.5
        panels += 1
    nodes = int(rule[0])
    coarse, fine = np.empty(5), np.empty(5)
    stack = np.empty((_DEEPEST + 2, 3))
    for panel in range(panels + 1):
        width = 2.0 ** -(panels - panel + 1) if panel > 0 else 2.0**-panels
        stack[0, 0], stack[0, 1], stack[0, 2] = width if panel > 0 else 0.0, width, 0.0
        top = 1
        while top > 0:
            top -= 1
            begin, length, depth = stack[top, 0], stack[top, 1], stack[top, 2]
            for c in range(5):
                coarse[c] = fine[c] = 0.0
            for n in range(nodes):
                _mean_rate(data, which, pairs, begin + length * rule[1 + n], length * rule[1 + nodes + n], coarse)
            for n in range(2 * nodes):
                at = 1 + 2 * nodes + n
                _mean_rate(data, which, pairs, begin + length * rule[at], length * rule[at + 2 * nodes], fine)
            worst = 0.0
            for c in range(5):
                worst = max(worst, abs(fine[c] - coarse[c]))
            if worst > 4.0 * _EPS and depth < _DEEPEST:
                stack[top, 0], stack[top, 1], stack[top, 2] = begin + 0.5 * length, 0.5 * length, depth + 1.0
                stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2] = begin, 0.5 * length, depth + 1.0
                top += 2
                continue
            for c in range(5):
                gain[c] += fine[c]
                error[c] += abs(fine[c] - coarse[c])


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _mean_rate(data: Any, which: Any, pairs: int, t: float, weight: float, out: Any) -> None:
    for n in range(pairs):
        h = data[n, 0]
        two = _two(data[n, 4], t * data[n, 5], t * data[n, 6], t * data[n, 7], t * data[n, 8]) * weight
        if pairs == 3:
            out[0] += h * _DENSITY * math.exp(-0.5 * (t * h) ** 2) * two
            continue
        g, a, b = data[n, 1], data[n, 2], data[n, 3]
        first = a * _DENSITY * math.exp(-0.5 * (t * a) ** 2) * two
        second = b * _DENSITY * math.exp(-0.5 * (t * b) ** 2) * two
        out[1 + which[n, 0]] += first
        out[1 + which[n, 1]] += second
        out[0] += (_half(h) - _half(t * h)) * first + (_half(g) - _half(t * g)) * second


# -- the probability of any set ----------------------------------------------------------------------------------------

# What :func:`reduced` finds about a product of indicators.
KEEP, DROP, HALVE, NEVER, INTERVAL = range(5)


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def reduced(law: Any, given: int, wanted: int) -> Any:
    """Simplify the product of the indicators z_i > 0 of a set where fields determine each other.

    Returns
    -------
    case, first, second
        ``KEEP``: nothing to do. ``DROP``: the set ``first`` has the same product. ``HALVE``: it is one half of that of
        ``first``, since a field is constantly zero. ``NEVER``: it is zero. ``INTERVAL``: the sum of those of ``first``
        and ``second`` less that of their common part.
    """
    for i in range(4):
        if not wanted >> i & 1:
            continue
        h = height(law, given, i)
        if abs(h) > _CERTAIN:
            return DROP if h > 0.0 else NEVER, wanted ^ (1 << i), 0
        if law[given, 5 * i] == 0.0 and h == 0.0:
            return HALVE, wanted ^ (1 << i), 0
    for i in range(4):
        for j in range(i + 1, 4):
            if not (wanted >> i & 1 and wanted >> j & 1):
                continue
            if law[given | 1 << i, 5 * j] == 0.0 or law[given | 1 << j, 5 * i] == 0.0:
                h, g = height(law, given, i), height(law, given, j)
                if law[given, 4 * i + j] > 0.0:
                    return DROP, wanted ^ (1 << (j if h <= g else i)), 0
                return INTERVAL if h + g > 0.0 else NEVER, wanted ^ (1 << i), wanted ^ (1 << j)
    for left in range(4):
        if wanted | 1 << left != 15 or (wanted == 15 and left > 0):
            continue
        # Three fields, one a combination of the others: of three such half-planes one is redundant, or they exclude
        # each other. Of four fields any three may be so.
        for other in range(4):
            if wanted == 15 or other == left:
                case, first = _concurrent(law, given, 15 ^ (1 << other))
                if case != KEEP:
                    return case, first | (wanted & 1 << other), 0
    return KEEP, wanted, 0


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _concurrent(law: Any, given: int, three: int) -> Any:
    """``DROP`` or ``NEVER`` for three fields of which one is a combination of the other two, without a constant."""
    i = 0
    while not three >> i & 1:
        i += 1
    j = i + 1
    while not three >> j & 1:
        j += 1
    k = j + 1
    while not three >> k & 1:
        k += 1
    if given & three or law[given | 1 << i | 1 << j, 5 * k] != 0.0 or mean(law, given | 1 << i | 1 << j, k) != 0.0:
        return KEEP, three
    first, second = law[given | 1 << j, 4 * i + k] > 0.0, law[given | 1 << i, 4 * j + k] > 0.0
    if not first and not second:
        return NEVER, three
    return DROP, three ^ (1 << (k if first and second else i if first else j))


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def positive(law: Any, given: int, wanted: int, rule: Any) -> Any:
    """P(the fields of ``wanted`` are positive | those of ``given`` are zero), and a bound on its error.

    Parameters
    ----------
    law
        Filled by :func:`condition_all` and :func:`set_means`.
    given, wanted
        Bit sets without a common member.
    rule
        From :func:`plackett_rule`.
    """
    if wanted == 0:
        return 1.0, 0.0
    if law[given, _VALUE + wanted] == law[given, _VALUE + wanted]:
        return law[given, _VALUE + wanted], law[given, _ERROR + wanted]
    case, first, second = reduced(law, given, wanted)
    if case == KEEP:
        value, error = _independent(law, given, wanted, rule)
    elif case == NEVER:
        value, error = 0.0, 0.0
    else:
        value, error = positive(law, given, first, rule)
        if case == HALVE:
            value, error = 0.5 * value, 0.5 * error
        elif case == INTERVAL:
            more, e1 = positive(law, given, second, rule)
            neither, e2 = positive(law, given, first & second, rule)
            value, error = max(0.0, value + more - neither), error + e1 + e2
    law[given, _VALUE + wanted], law[given, _ERROR + wanted] = value, error
    return value, error


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def _independent(law: Any, given: int, wanted: int, rule: Any) -> Any:
    """The same where no field determines another one."""
    fields = np.empty(4, np.int64)
    count = 0
    centered = True
    for i in range(4):
        if wanted >> i & 1:
            fields[count] = i
            count += 1
            centered = centered and height(law, given, i) == 0.0
    if count == 1:
        return 0.5 + _half(height(law, given, fields[0])), _ROUNDING
    i, j = fields[0], fields[1]
    if count == 2:
        value = _two(
            _angle(law, given, i, j),
            height(law, given, i),
            height(law, given | 1 << i, j),
            height(law, given, j),
            height(law, given | 1 << j, i),
        )
        return value, _ROUNDING
    value, error = _three_centered(law, given, i, j, fields[2]), _ROUNDING
    if count == 4:
        value, error = _four_centered(law, rule)
    if centered:
        return value, error
    gain, errors = np.zeros(5), np.zeros(5)
    _switch_on(law, given, fields, count, rule, gain, errors)
    if count == 4:
        for p in range(4):
            i = fields[p]
            under, others = given | 1 << i, wanted ^ (1 << i)
            three = _three_centered(law, under, fields[p - 3], fields[p - 2], fields[p - 1])
            value += _half(height(law, given, i)) * three
            law[under, _VALUE + others] = min(1.0, max(0.0, three + gain[1 + p]))
            law[under, _ERROR + others] = errors[1 + p] + _ROUNDING
    return min(1.0, max(0.0, value + gain[0])), error + errors[0]


@njit(**_INTERNAL)  # type: ignore[untyped-decorator]
def split(
    law: Any, fields: int, covariance: Any, covariance_low: Any, means: Any, means_low: Any, share: float
) -> float:
    """Start a law from a covariance (flat, fields x fields) and means, each the sum of two parts.

    All variances are first increased by ``share`` of themselves, and as long as the covariance is indefinite by more:
    by about as little as the rounding that has left it so. Returns the share in the end.
    """
    for attempt in range(_ATTEMPTS):
        for i in range(fields):
            for j in range(fields):
                x, x_low = covariance[i * fields + j], covariance_low[i * fields + j]
                if i == j:
                    x, x_low = _add(x, x_low, share * x, 0.0)
                law[0, 4 * i + j], law[0, _LOW + 4 * i + j] = x, x_low
            law[0, _MEAN + i], law[0, _MEAN_LOW + i] = means[i], means_low[i]
            law[0, _SIZE + i] = abs(means[i])
        if not condition_all(law, fields) or attempt == _ATTEMPTS - 1:
            break
        share = max(0.25 * _EPS, 4.0 * share)
    set_means(law, fields)
    return share


@njit(**_EXACT)  # type: ignore[untyped-decorator]
def _probability(fields: int, covariance: Any, means: Any, rule: Any, share: float) -> Any:
    law = np.zeros((16, COLUMNS))
    none = np.zeros(16)
    share = split(law, fields, covariance, none, means, none, share)
    # Not the literal 0: a cached recursion with two signatures crashes when it is loaded (Numba issue 6061).
    value, error = positive(law, np.int64(0), np.int64((1 << fields) - 1), rule)
    return value, error, share


def orthant_probability(covariance: ArrayLike, mean: ArrayLike | None = None, nodes: int = 12) -> tuple[float, float]:
    """P(z_1 > 0, ..., z_n > 0) of n = 1 to 4 jointly Gaussian fields.

    Parameters
    ----------
    covariance
        Shape (n, n), symmetric, positive semi-definite; it may be singular in any way.
    mean
        Shape (n,); by default zero.
    nodes
        Nodes of the smaller rule on a panel, one of :data:`NODES`.

    Returns
    -------
    value, error
        The probability, and an absolute error that covers quadrature and rounding.

    Raises
    ------
    AssumptionError
        If the covariance or the mean has the wrong shape, is not finite, or no covariance.

    Notes
    -----
    *Validity.* A field without variance counts as positive if its mean is, and as one half if its mean is zero: the
    limit of a small variance.

    Examples
    --------
    >>> value, error = orthant_probability([[2, 1, 1], [1, 2, 1], [1, 1, 2]])
    >>> abs(value - 1 / 4) <= error < 1e-14
    True
    """
    matrix, means = checked_law(covariance, mean)
    arguments = (len(means), matrix.ravel(), means, plackett_rule(nodes))
    value, error, share = _probability(*arguments, 0.0)
    if share > 0.0:
        other, _, _ = _probability(*arguments, 4.0 * share)
        error += abs(other - value)
    return float(value), float(error)


def checked_law(covariance: ArrayLike, mean: ArrayLike | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A covariance and a mean as arrays.

    Raises
    ------
    AssumptionError
        See :func:`orthant_probability`.
    """
    matrix = np.array(covariance, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not 1 <= matrix.shape[0] <= 4:
        raise argument_error(
            "covariance", matrix.shape, "is the wrong shape", "give one row a field, for 1 to 4 fields"
        )
    fields = matrix.shape[0]
    means = np.zeros(fields) if mean is None else np.array(mean, dtype=np.float64)
    if means.shape != (fields,):
        raise argument_error("mean", means.shape, "is the wrong shape", f"give one number a field: ({fields},)")
    if not np.isfinite(matrix).all():
        raise argument_error("covariance", matrix.tolist(), "is not finite", "pass finite numbers")
    if not np.isfinite(means).all():
        raise argument_error("mean", means.tolist(), "is not finite", "pass finite numbers")
    variances = np.diag(matrix).copy()
    if (variances < 0.0).any():
        raise argument_error("covariance", matrix.tolist(), "has a negative variance", "pass a covariance")
    if np.abs(matrix - matrix.T).max() > 1e-12 * np.abs(matrix).max():
        raise argument_error("covariance", matrix.tolist(), "is not symmetric", "pass a covariance")
    matrix = np.ascontiguousarray(0.5 * (matrix + matrix.T))
    deviations = np.sqrt(variances)
    scaled = matrix / np.outer(*[np.where(deviations > 0.0, deviations, np.sqrt(variances.max()) or 1.0)] * 2)
    least = float(np.linalg.eigvalsh(scaled)[0])
    if least < -_INDEFINITE:
        raise argument_error(
            "covariance",
            matrix.tolist(),
            f"is not positive semi-definite: an eigenvalue of its correlations is {least:.1e}",
            "pass a covariance",
        )
    constant = deviations == 0.0
    matrix[constant, :] = matrix[:, constant] = 0.0
    return matrix, means
