"""Four-point moments E[f'(z_k) f'(z_l) g(z_a) g(z_b)] of jointly Gaussian fields.

For each pair (k, l) the outer rule runs over the law of (z_k, z_l), two-dimensional at most. Given the two, any other
fields a, b are Gaussian with a conditional correlation r, and Mehler's formula

    E[g(z_a) g(z_b) | z_k, z_l] = sum_n c_n(m_a) c_n(m_b) r^n/n!

splits their product. The number of terms is the least for which |r|^p tau_a tau_b is below the tolerance, tau_a^2 =
E g_a^2 - sum_(n<p) c_n^2/n!; if there is none, the pair is integrated directly. The cost grows like K^2 F^2, never like
n^F.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from .conditional import (
    evaluate_grid,
    extend_table,
    fill_shifted,
    fill_small,
    nearest,
    shifted_mean,
    small_count,
)
from .geometry import condition, factor
from .options import (
    AREA,
    AT_FIRST,
    AT_HERMITE,
    AT_LIMITS,
    AT_MEAN_LIMITS,
    AT_NODES,
    AT_PLANE,
    AT_ROOTS,
    AT_SCALARS,
    AT_SECOND,
    AT_SMALL_NODES,
    AT_SMALL_WEIGHTS,
    AT_WEIGHTS,
    COLUMNS,
    INTERNAL,
    LARGEST,
    OPTIONS,
    POINTS,
    REACH,
    SERIES,
    STEP,
    TAYLOR,
    TOLERANCE,
    WIDTH,
)

__all__ = ["four_point_moments", "four_point_scratch"]

# Outer nodes treated together: the coefficients of eight fields then stay in the second-level cache.
_CHUNK = 128
# Distance of two coefficients of a node; not a power of two, or all of them fall into one set of the first-level cache.
_STRIDE = _CHUNK + 8
# Rounding of a difference from E g^2, relative to it.
_NOISE = 64.0 * float(np.finfo(np.float64).eps)
# Relative difference at which g(x) and g(-x) count as the same size.
_SAME = 1e-15


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _layout(fields: int, sizes: Any) -> Any:
    """Offsets of the parts of the scratch array; the last is its length."""
    square = fields * fields
    rows = 2 * sizes[REACH] + 1
    grid = rows + sizes[POINTS] + 2
    buffer = max(3 * sizes[REACH] + sizes[POINTS] + 16, max(_CHUNK, sizes[POINTS]) * max(1, sizes[LARGEST]))
    lengths = (
        square,  # 0 factor of the covariance
        square,  # 1 remainders of its rows
        square,  # 2 conditional correlations
        fields,  # 3 coordinates along e1
        fields,  # 4 coordinates along e2
        fields,  # 5 conditional deviations
        fields * rows * sizes[COLUMNS],  # 6 tables of coefficients of g
        fields * rows * 8 * ((sizes[TAYLOR] + 7) // 8),  # 7 tables of coefficients of g^2
        fields * grid,  # 8 g on the grids
        grid,  # 9 g^2 on one grid
        fields * (sizes[COLUMNS] + 1),  # 10 squared remainders of the series
        4 * buffer,  # 11 arguments and values
        fields * (sizes[SERIES] + 4) * _STRIDE,  # 12 coefficients at the outer nodes
        fields * _CHUNK,  # 13 E[g^2 | .] at the outer nodes
        4 * _CHUNK,  # 14 z_k or a mean, weights, g_k, g_l
        2 * sizes[COLUMNS],  # 15 reciprocals of 1, 2, ..., and work of a shift
    )
    offsets = np.empty(len(lengths) + 2, np.int64)
    offsets[0] = 0
    place = 0
    for length in lengths:
        offsets[place + 1] = offsets[place] + length
        place += 1
    offsets[place + 1] = buffer
    return offsets


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def four_point_scratch(fields: int, sizes: Any) -> int:
    """Length of the scratch array of :func:`four_point_moments`."""
    offsets = _layout(fields, sizes)
    return offsets[offsets.size - 2]  # type: ignore[no-any-return]


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def four_point_moments(
    covariance: Any, students: int, teachers: int, sizes: Any, data: Any, out: Any, scratch: Any, evaluate: Any
) -> float:
    """Fill the four-point table.

    Parameters
    ----------
    covariance
        Flat (F, F) covariance of the fields, F = students + teachers.
    students, teachers
        Sizes K and M of the two blocks; fields below K use function set 0, the others set 1.
    sizes, data
        A packed :class:`~hermiton.numerics.quadrature.GaussianRule`.
    out
        Flat (K, K, F, F): E[g'(z_k) g'(z_l) g(z_a) g(z_b)], symmetric in k, l and in a, b.
    scratch
        At least ``four_point_scratch(F, sizes)`` numbers; with fewer, all of ``out`` is NaN.
    evaluate
        The functions, of type ``EVALUATE_TYPE``.

    Returns
    -------
    float
        Largest bound on what the cut of a Mehler series left out of an entry of ``out``.
    """
    fields = students + teachers
    square = fields * fields
    offsets = _layout(fields, sizes)
    if scratch.size < offsets[offsets.size - 2]:
        out[:] = np.nan
        return np.nan
    factor(covariance, fields, scratch[offsets[0] : offsets[1]])
    small = np.empty(fields, np.int64)
    reach = np.empty(fields, np.int64)
    built = np.empty(fields, np.int64)
    terms = np.empty(square, np.int64)
    for i in range(sizes[COLUMNS]):
        scratch[offsets[15] + i] = 1.0 / (i + 1)
    symmetric = _symmetric(covariance, students, fields, sizes, data, scratch, offsets, evaluate)
    worst = 0.0
    for k in range(students):
        for l in range(k, students):
            at = (k * students + l) * square
            tail = _block(
                fields,
                students,
                k,
                l,
                sizes,
                data,
                out[at : at + square],
                scratch,
                offsets,
                small,
                reach,
                built,
                terms,
                symmetric,
                evaluate,
            )
            worst = max(worst, tail)
            for a in range(fields):
                for b in range(a):
                    out[at + a * fields + b] = out[at + b * fields + a]
            other = (l * students + k) * square
            if l != k:
                for i in range(square):
                    out[other + i] = out[at + i]
    return worst


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _share(weights: Any, i: int, outer: int, symmetric: bool) -> float:
    """Weight of an outer node; the nodes i and outer - 1 - i are opposite."""
    return 2.0 * weights[i] if symmetric and 2 * i + 1 != outer else weights[i]  # type: ignore[no-any-return]


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _symmetric(
    covariance: Any, students: int, fields: int, sizes: Any, data: Any, scratch: Any, offsets: Any, evaluate: Any
) -> bool:
    """Whether both function sets are odd, or both even, to the last digits on grids of every field's width."""
    points = sizes[POINTS]
    buffer = offsets[offsets.size - 1]
    x = scratch[offsets[11] : offsets[11] + buffer]
    out0 = scratch[offsets[11] + buffer : offsets[11] + 2 * buffer]
    out1 = scratch[offsets[11] + 2 * buffer : offsets[11] + 3 * buffer]
    out2 = scratch[offsets[11] + 3 * buffer : offsets[11] + 4 * buffer]
    odd, even = True, True
    for a in range(fields):
        for i in range(points):
            x[i] = math.sqrt(max(0.0, covariance[a * fields + a])) * data[sizes[AT_NODES] + i]
        evaluate(0 if a < students else 1, x, points, out0, out1, out2)
        size0, size1, sum0, sum1, difference0, difference1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(points):
            other = points - 1 - i
            size0 = max(size0, abs(out0[i]))
            size1 = max(size1, abs(out1[i]))
            sum0 = max(sum0, abs(out0[i] + out0[other]))
            sum1 = max(sum1, abs(out1[i] + out1[other]))
            difference0 = max(difference0, abs(out0[i] - out0[other]))
            difference1 = max(difference1, abs(out1[i] - out1[other]))
        odd = odd and sum0 <= _SAME * size0 and difference1 <= _SAME * size1
        even = even and difference0 <= _SAME * size0 and sum1 <= _SAME * size1
    return odd or even


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _block(
    fields: int,
    students: int,
    k: int,
    l: int,
    sizes: Any,
    data: Any,
    out: Any,
    scratch: Any,
    offsets: Any,
    small: Any,
    reach: Any,
    built: Any,
    terms: Any,
    symmetric: bool,
    evaluate: Any,
) -> float:
    """All a <= b for one (k, l)."""
    points, columns, taylor = sizes[POINTS], sizes[COLUMNS], sizes[TAYLOR]
    rows_most = 2 * sizes[REACH] + 1
    square_columns = 8 * ((taylor + 7) // 8)
    grid_most = rows_most + points + 2
    correlation = scratch[offsets[2] : offsets[3]]
    first = scratch[offsets[3] : offsets[4]]
    second = scratch[offsets[4] : offsets[5]]
    deviation = scratch[offsets[5] : offsets[6]]
    tables = scratch[offsets[6] : offsets[7]]
    squares = scratch[offsets[7] : offsets[8]]
    values = scratch[offsets[8] : offsets[9]]
    squared = scratch[offsets[9] : offsets[10]]
    remainders = scratch[offsets[10] : offsets[11]]
    buffer = offsets[offsets.size - 1]
    x = scratch[offsets[11] : offsets[11] + buffer]
    out0 = scratch[offsets[11] + buffer : offsets[11] + 2 * buffer]
    out1 = scratch[offsets[11] + 2 * buffer : offsets[11] + 3 * buffer]
    out2 = scratch[offsets[11] + 3 * buffer : offsets[11] + 4 * buffer]
    coefficients = scratch[offsets[12] : offsets[13]]
    means_of_squares = scratch[offsets[13] : offsets[14]]
    mean = scratch[offsets[14] : offsets[14] + _CHUNK]
    weight = scratch[offsets[14] + _CHUNK : offsets[14] + 2 * _CHUNK]
    inverse = scratch[offsets[15] : offsets[15] + columns]
    shift = scratch[offsets[15] + columns : offsets[16]]
    hermite = data[sizes[AT_HERMITE] : sizes[AT_HERMITE] + points * columns]
    roots = data[sizes[AT_ROOTS] : sizes[AT_ROOTS] + columns]
    step = data[sizes[AT_SCALARS] + STEP]
    width = data[sizes[AT_SCALARS] + WIDTH]

    condition(
        scratch[offsets[0] : offsets[1]],
        fields,
        k,
        l,
        first,
        second,
        deviation,
        correlation,
        scratch[offsets[1] : offsets[2]],
    )
    start_columns = min(columns, 8 * ((taylor + 23) // 8))
    for a in range(fields):
        spread = math.sqrt(first[a] ** 2 + second[a] ** 2)
        total = math.sqrt(spread**2 + deviation[a] ** 2)
        small[a] = small_count(deviation[a] / total if deviation[a] > 0.0 else 0.0, AT_LIMITS, sizes, data)
        if small[a] == 0:
            reach[a] = min(sizes[REACH], math.ceil(width * spread / (step * deviation[a])) + 1)
            half = reach[a] + points // 2
            evaluate_grid(0 if a < students else 1, step * deviation[a], half, x, out0, out1, out2, evaluate)
            for i in range(2 * half + 1):
                values[a * grid_most + i] = out0[i]
                squared[i] = out0[i] ** 2
            rows = 2 * reach[a] + 1
            extend_table(
                squared,
                rows,
                points,
                hermite,
                columns,
                0,
                square_columns,
                squares[a * rows_most * square_columns :],
                square_columns,
            )
            built[a] = 0
            _grow(
                a,
                start_columns,
                spread,
                deviation[a],
                step,
                sizes,
                hermite,
                roots,
                values,
                tables,
                squares,
                remainders,
                reach,
                built,
            )
    bound = _choose_terms(
        fields,
        sizes,
        data,
        first,
        second,
        deviation,
        correlation,
        hermite,
        roots,
        values,
        tables,
        squares,
        remainders,
        small,
        reach,
        built,
        terms,
    )

    outer = points
    nodes1 = data[sizes[AT_NODES] : sizes[AT_NODES] + points]
    nodes2 = nodes1
    weights = data[sizes[AT_WEIGHTS] : sizes[AT_WEIGHTS] + points]
    flat = second[l] == 0.0
    if not flat:
        outer = sizes[AREA]
        nodes1 = data[sizes[AT_FIRST] : sizes[AT_FIRST] + outer]
        nodes2 = data[sizes[AT_SECOND] : sizes[AT_SECOND] + outer]
        weights = data[sizes[AT_PLANE] : sizes[AT_PLANE] + outer]
    stride = (sizes[SERIES] + 4) * _STRIDE
    for i in range(fields * fields):
        out[i] = 0.0
    largest = 0.0
    # Under z -> -z the integrand keeps its value: one half of the nodes does, with twice the weight.
    start = outer // 2 if symmetric else 0
    for begin in range(start, outer, _CHUNK):
        count = min(_CHUNK, outer - begin)
        # z_k, then z_l: their derivatives make the weights, their values are coefficients of fields k and l.
        for i in range(count):
            x[i] = first[k] * nodes1[begin + i]
        evaluate(0, x, count, out0, out1, out2)
        for i in range(count):
            weight[i] = _share(weights, begin + i, outer, symmetric) * out1[i]
            coefficients[k * stride + i] = out0[i]
            means_of_squares[k * _CHUNK + i] = out0[i] ** 2
        if l == k:
            for i in range(count):
                weight[i] *= out1[i]
        else:
            for i in range(count):
                x[i] = first[l] * nodes1[begin + i] + second[l] * nodes2[begin + i]
            evaluate(0, x, count, out0, out1, out2)
            for i in range(count):
                weight[i] *= out1[i]
                coefficients[l * stride + i] = out0[i]
                means_of_squares[l * _CHUNK + i] = out0[i] ** 2
        for i in range(count):
            largest = max(largest, abs(weight[i]) / _share(weights, begin + i, outer, symmetric))
        for a in range(fields):
            if a == k or a == l:
                continue
            for i in range(count):
                mean[i] = first[a] * nodes1[begin + i] + second[a] * nodes2[begin + i]
            if small[a] > 0:
                fill_small(
                    0 if a < students else 1,
                    mean,
                    count,
                    deviation[a],
                    small[a],
                    sizes,
                    data,
                    roots,
                    x,
                    out0,
                    out1,
                    out2,
                    coefficients,
                    a * stride,
                    _STRIDE,
                    means_of_squares,
                    a * _CHUNK,
                    evaluate,
                )
                continue
            grid_step = step * deviation[a]
            fill_shifted(
                tables,
                a * rows_most + reach[a],
                columns,
                mean,
                count,
                grid_step,
                deviation[a],
                taylor,
                terms[a * fields + a],
                roots,
                inverse,
                shift,
                coefficients,
                a * stride,
                _STRIDE,
            )
            for i in range(count):
                row = nearest(mean[i], grid_step)
                means_of_squares[a * _CHUNK + i] = shifted_mean(
                    squares,
                    (a * rows_most + reach[a] + row) * square_columns,
                    (mean[i] - row * grid_step) / deviation[a],
                    taylor,
                    inverse,
                )
        _accumulate(fields, count, terms, correlation, weight, coefficients, stride, means_of_squares, out)
    for a in range(fields):
        for b in range(a + 1, fields):
            if terms[a * fields + b] == 0:
                out[a * fields + b] = _direct(
                    a,
                    b,
                    fields,
                    students,
                    k,
                    l,
                    sizes,
                    data,
                    scratch,
                    offsets,
                    nodes1,
                    nodes2,
                    weights,
                    outer,
                    symmetric,
                    evaluate,
                )
    return bound * largest  # type: ignore[no-any-return]


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _accumulate(
    fields: int,
    count: int,
    terms: Any,
    correlation: Any,
    weight: Any,
    coefficients: Any,
    stride: int,
    squares: Any,
    out: Any,
) -> None:
    """Add the Mehler sums of one chunk of outer nodes."""
    size = np.uint64(count)
    for a in range(fields):
        total = 0.0
        left = np.uint64(a * _CHUNK)
        for i in range(size):
            total += weight[i] * squares[left + i]
        out[a * fields + a] += total
        for b in range(a + 1, fields):
            power = 1.0
            sum_terms = 0.0
            for n in range(terms[a * fields + b]):
                total = 0.0
                left = np.uint64(a * stride + n * _STRIDE)
                right = np.uint64(b * stride + n * _STRIDE)
                for i in range(size):
                    total += weight[i] * coefficients[left + i] * coefficients[right + i]
                sum_terms += power * total
                power *= correlation[a * fields + b]
            out[a * fields + b] += sum_terms


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _grow(
    a: int,
    end: int,
    spread: float,
    deviation: float,
    step: float,
    sizes: Any,
    hermite: Any,
    roots: Any,
    values: Any,
    tables: Any,
    squares: Any,
    remainders: Any,
    reach: Any,
    built: Any,
) -> None:
    """Extend field a's table to ``end`` columns, and its squared remainders.

    remainders[a, p] is the mean over m of E[g^2|m] - sum_(n<p) c_n^2/n!, the sum over n >= p of c_n^2/n!.
    """
    points, columns = sizes[POINTS], sizes[COLUMNS]
    rows_most = 2 * sizes[REACH] + 1
    square_columns = 8 * ((sizes[TAYLOR] + 7) // 8)
    rows = 2 * reach[a] + 1
    table = tables[a * rows_most * columns : (a + 1) * rows_most * columns]
    extend_table(values[a * (rows_most + points + 2) :], rows, points, hermite, columns, built[a], end, table, columns)
    built[a] = end
    at = a * (columns + 1)
    for p in range(end + 1):
        remainders[at + p] = 0.0
    mass = 0.0
    for row in range(rows):
        offset = (row - reach[a]) * step * deviation
        if spread > 0.0:
            share = math.exp(-0.5 * (offset / spread) ** 2)
        else:
            share = 1.0 if row == reach[a] else 0.0
        if share < 1e-30:
            continue
        mass += share
        remainders[at] += share * squares[(a * rows_most + row) * square_columns]
        for p in range(end):
            remainders[at + p + 1] += share * (table[row * columns + p] * roots[p]) ** 2
    for p in range(end + 1):
        remainders[at + p] /= mass
    # Summed from the far end: a difference from E g^2 stops at rounding, and where it comes out negative it would end
    # the series too early, since the other field's remainder multiplies the square root of this one. What lies beyond
    # the last column is that difference if it stands out from rounding, else no more than the last columns themselves.
    left = remainders[at]
    for p in range(end):
        left -= remainders[at + p + 1]
    beyond = 0.0
    for p in range(end - 4, end):
        beyond += remainders[at + p + 1]
    if left > _NOISE * remainders[at]:
        beyond = left
    for p in range(end, 0, -1):
        square = remainders[at + p]
        remainders[at + p] = beyond
        beyond += square


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _choose_terms(
    fields: int,
    sizes: Any,
    data: Any,
    first: Any,
    second: Any,
    deviation: Any,
    correlation: Any,
    hermite: Any,
    roots: Any,
    values: Any,
    tables: Any,
    squares: Any,
    remainders: Any,
    small: Any,
    reach: Any,
    built: Any,
    terms: Any,
) -> float:
    """Choose the number of Mehler terms of each pair a < b; 0 where none is enough.

    On the diagonal of ``terms`` stand those that a field has to offer. Returns the largest bound on a tail, for outer
    weights of at most one.
    """
    tolerance = data[sizes[AT_SCALARS] + TOLERANCE]
    step = data[sizes[AT_SCALARS] + STEP]
    taylor, columns, series = sizes[TAYLOR], sizes[COLUMNS], sizes[SERIES]
    bound = 0.0
    for a in range(fields):
        terms[a * fields + a] = 1
    for a in range(fields):
        for b in range(a + 1, fields):
            place = a * fields + b
            if small[a] > 0 or small[b] > 0:
                # So many Gauss-Hermite nodes were taken that the terms beyond them are below the tolerance.
                count = small[a] if small[b] == 0 else small[b] if small[a] == 0 else min(small[a], small[b])
                if correlation[place] == 0.0:
                    count = 1
            else:
                goal = tolerance * math.sqrt(remainders[a * (columns + 1)] * remainders[b * (columns + 1)])
                count, tail = _terms_of_pair(
                    a, b, correlation[place], goal, min(built[a], built[b]) - taylor, columns, remainders
                )
                if count == 0:
                    for c in (a, b):
                        if built[c] < columns:
                            spread = math.sqrt(first[c] ** 2 + second[c] ** 2)
                            _grow(
                                c,
                                columns,
                                spread,
                                deviation[c],
                                step,
                                sizes,
                                hermite,
                                roots,
                                values,
                                tables,
                                squares,
                                remainders,
                                reach,
                                built,
                            )
                    count, tail = _terms_of_pair(a, b, correlation[place], goal, series, columns, remainders)
                bound = max(bound, tail)
            terms[place] = count
            terms[a * fields + a] = max(terms[a * fields + a], count)
            terms[b * fields + b] = max(terms[b * fields + b], count)
    for a in range(fields):
        wanted = min(columns, 8 * ((terms[a * fields + a] + 3 + taylor + 7) // 8))
        if small[a] == 0 and built[a] < wanted:
            spread = math.sqrt(first[a] ** 2 + second[a] ** 2)
            _grow(
                a,
                wanted,
                spread,
                deviation[a],
                step,
                sizes,
                hermite,
                roots,
                values,
                tables,
                squares,
                remainders,
                reach,
                built,
            )
    return bound


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _terms_of_pair(
    a: int, b: int, correlation: float, goal: float, most: int, columns: int, remainders: Any
) -> tuple[int, float]:
    """Least p with |r|^p tau_a tau_b <= goal, and that tail; 0 if there is none up to ``most``."""
    power = abs(correlation)
    for p in range(1, most + 1):
        tail = power * math.sqrt(remainders[a * (columns + 1) + p] * remainders[b * (columns + 1) + p])
        if tail <= goal:
            return p, tail
        power *= abs(correlation)
    return 0, 0.0


@njit(**INTERNAL)  # type: ignore[untyped-decorator]
def _direct(
    a: int,
    b: int,
    fields: int,
    students: int,
    k: int,
    l: int,
    sizes: Any,
    data: Any,
    scratch: Any,
    offsets: Any,
    nodes1: Any,
    nodes2: Any,
    weights: Any,
    outer: int,
    symmetric: bool,
    evaluate: Any,
) -> float:
    """One entry by an inner rule over z_a given (z_k, z_l) and the conditional mean of g(z_b) given all three."""
    points, columns, taylor = sizes[POINTS], sizes[COLUMNS], sizes[TAYLOR]
    first = scratch[offsets[3] : offsets[4]]
    second = scratch[offsets[4] : offsets[5]]
    deviation = scratch[offsets[5] : offsets[6]]
    r = scratch[offsets[2] + a * fields + b]
    table = scratch[offsets[6] : offsets[7]]
    buffer = offsets[offsets.size - 1]
    x = scratch[offsets[11] : offsets[11] + buffer]
    out0 = scratch[offsets[11] + buffer : offsets[11] + 2 * buffer]
    out1 = scratch[offsets[11] + 2 * buffer : offsets[11] + 3 * buffer]
    out2 = scratch[offsets[11] + 3 * buffer : offsets[11] + 4 * buffer]
    inverse = scratch[offsets[15] : offsets[16]]
    inner = scratch[offsets[8] : offsets[8] + points]
    weight = scratch[offsets[14] + _CHUNK : offsets[14] + 2 * _CHUNK]
    hermite = data[sizes[AT_HERMITE] : sizes[AT_HERMITE] + points * columns]
    nodes = data[sizes[AT_NODES] : sizes[AT_NODES] + points]
    inner_weights = data[sizes[AT_WEIGHTS] : sizes[AT_WEIGHTS] + points]
    set_a = 0 if a < students else 1
    set_b = 0 if b < students else 1
    last = deviation[b] * math.sqrt(max(0.0, (1.0 - r) * (1.0 + r)))
    spread = math.sqrt(first[b] ** 2 + second[b] ** 2)
    count = small_count(last / math.sqrt(spread**2 + deviation[b] ** 2), AT_MEAN_LIMITS, sizes, data)
    at = (count * (count - 1)) // 2
    e = data[sizes[AT_SMALL_NODES] + at : sizes[AT_SMALL_NODES] + at + max(count, 1)]
    w = data[sizes[AT_SMALL_WEIGHTS] + at : sizes[AT_SMALL_WEIGHTS] + at + max(count, 1)]
    grid_step = data[sizes[AT_SCALARS] + STEP] * last
    reach = 0
    if count == 0:
        reach = math.ceil(data[sizes[AT_SCALARS] + WIDTH] * (spread + abs(r) * deviation[b]) / grid_step) + 1
        evaluate_grid(set_b, grid_step, reach + points // 2, x, out0, out1, out2, evaluate)
        extend_table(out0, 2 * reach + 1, points, hermite, columns, 0, 8 * ((taylor + 7) // 8), table, columns)
    total = 0.0
    for begin in range(outer // 2 if symmetric else 0, outer, _CHUNK):
        size = min(_CHUNK, outer - begin)
        for i in range(size):
            x[i] = first[k] * nodes1[begin + i]
        evaluate(0, x, size, out0, out1, out2)
        for i in range(size):
            weight[i] = _share(weights, begin + i, outer, symmetric) * out1[i]
            x[i] = first[l] * nodes1[begin + i] + second[l] * nodes2[begin + i]
        evaluate(0, x, size, out0, out1, out2)
        for i in range(size):
            weight[i] *= out1[i]
        for i in range(size):
            mean_a = first[a] * nodes1[begin + i] + second[a] * nodes2[begin + i]
            mean_b = first[b] * nodes1[begin + i] + second[b] * nodes2[begin + i]
            for j in range(points):
                x[j] = mean_a + deviation[a] * nodes[j]
            evaluate(set_a, x, points, out0, out1, out2)
            for j in range(points):
                inner[j] = inner_weights[j] * out0[j]
            if count == 0:
                sub_total = 0.0
                for j in range(points):
                    y = mean_b + r * deviation[b] * nodes[j]
                    row = nearest(y, grid_step)
                    sub_total += inner[j] * shifted_mean(
                        table, (row + reach) * columns, (y - row * grid_step) / last, taylor, inverse
                    )
                total += weight[i] * sub_total
            else:
                for q in range(count):
                    for j in range(points):
                        x[q * points + j] = mean_b + r * deviation[b] * nodes[j] + last * e[q]
                evaluate(set_b, x, count * points, out0, out1, out2)
                for q in range(count):
                    sub_total = 0.0
                    for j in range(points):
                        sub_total += inner[j] * out0[q * points + j]
                    total += weight[i] * w[q] * sub_total
    return total
