"""E[prod_a f_a(z_a)] for up to four factors with kinks, jumps and any covariance, by nested one-dimensional rules.

The fields are written as z = m + L x, x independent standard normals, with L lower trapezoidal; what the fields share
exactly lowers the number of variables. The integral over x_k of the factors whose last variable is x_k is cut at their
kinks, so that each inner integral is of smooth functions. What is left of a kink on the levels outside is a transition
whose place and width follow from the conditional law (three fields that meet in a plane, two that are almost equal),
and panels are graded towards it. Where nothing is cut, the trapezoidal rule converges faster than any panel.

Nothing here decides by the size of a float whether fields are dependent: the covariance is eliminated in rational
arithmetic, where two equal rows cancel exactly and 1 - 1e-12 is no rounding error.
"""

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ...theory.errors import AccuracyError

__all__ = ["Factor", "NestedMoment", "nested_moment"]

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
ErrorFunction = Callable[[Array, Array], Array]

_EPS = float(np.finfo(np.float64).eps)
_NARROW = 0.4  # a transition of this width, in standard deviations, needs no panels of its own
_LONGEST = 3.0  # panels are no longer than this
_CHUNK = 2**17  # nodes held at a time
_PLACES = np.array([-1.0 + 1e-6, -0.5, 0.0, 0.5, 1.0 - 1e-6])  # of an interval (-1, 1)
_MESH_ORDER = 32  # Chebyshev nodes by which a function counts as resolved on an interval
_UNDERFLOW = -670.0  # logarithm of a moment that counts as 0
_TINY = 1e-290
_BOX = 1e-3  # half the width of a box that stands for a point, in standard deviations
_REACH = 40.0  # exp(-40^2/2) is beyond the range of doubles
_RULES = 7  # resolutions, each sqrt(2) finer than the one before
_SAFETY = 2.0
_MAGNIFIED = 2.0**40  # rounding errors, where they are integrated next to the values
_SLOWEST = 0.95  # ratio of neighbouring changes beyond which none is believed
_DEEPEST = 40  # bisections of an interval of a table
_MOST_INTERVALS = 2000  # bisected at once
_WITNESSES = np.array([-0.61, 0.0, 0.37])  # of the smoothness of a table, between -1 and 1
_TRANSITION = np.array([-9.0, -3.0, 0.0, 3.0, 9.0])  # of a Gaussian step function, in its standard deviations


@dataclass(frozen=True, eq=False)
class Factor:
    """A function of one field, in smooth pieces.

    Parameters
    ----------
    cuts : tuple of float
        Where it is not smooth, increasing.
    pieces : tuple of callable or None
        One more than `cuts`: vectorised functions, or None for the function 0.
    degree : int, optional
        Of a polynomial on the whole line.
    continuous : bool
        Whether it has no jump.
    errors : tuple of callable or None
        One a piece: a bound of the rounding error of its values, from points and the errors of the points; by default
        a unit in the last place.
    """

    cuts: tuple[float, ...]
    pieces: tuple[Function | None, ...]
    degree: int | None = None
    continuous: bool = True
    errors: tuple[ErrorFunction | None, ...] | None = None

    def values(self, x: Array, piece: NDArray[np.int64] | None) -> Array:
        """Evaluate at points of the given pieces; None finds them, where no point is close to a cut."""
        if piece is None:
            if not self.cuts:
                return self._one(0, x)
            piece = self.piece_of(x)
        out = np.empty_like(x)
        for p in range(len(self.pieces)):
            chosen = piece == p
            if chosen.any():
                out[chosen] = self._one(p, x[chosen])
        return out

    def error(self, x: Array, known: Array, piece: NDArray[np.int64] | None) -> Array:
        """Bound of the rounding errors of :meth:`values` at points that are known up to `known`."""
        out = np.zeros_like(x)
        piece = self.piece_of(x) if piece is None else piece
        for p, function in enumerate(self.errors or ()):
            chosen = piece == p
            if function is not None:
                out[chosen] = function(x[chosen], known[chosen])
        return out if self.errors is not None else _EPS * np.abs(self.values(x, piece))

    def piece_of(self, x: Array) -> NDArray[np.int64]:
        """Index of the piece that holds x."""
        return np.searchsorted(self.cuts, x)

    def _one(self, p: int, x: Array) -> Array:
        function = self.pieces[p]
        return np.zeros_like(x) if function is None else function(x)


@dataclass(frozen=True)
class NestedMoment:
    """A moment by quadrature.

    Attributes
    ----------
    value, error : float
        The error is the difference of two independent resolutions times a safety factor, what geometric convergence
        predicts from the last three, the bound on the cut tail, and rounding: that of the factors is integrated
        with them.
    size : float
        E[prod |f_a|], to a few digits: what the error is measured by.
    nodes : int
        Points at which the innermost rule was evaluated, all resolutions together.
    """

    value: float
    error: float
    size: float
    nodes: int


def nested_moment(
    factors: Sequence[Factor],
    covariance: Sequence[Sequence[Fraction]],
    mean: Sequence[float],
    digits: float = 15,
    work: float = 1e7,
) -> NestedMoment:
    """E[prod_a f_a(z_a)] for z ~ N(mean, covariance).

    Parameters
    ----------
    factors : sequence of Factor
        One to four.
    covariance : sequence of sequences of Fraction, shape (n, n)
        Symmetric and positive semidefinite up to rounding, with positive variances; pivots below zero count as zero.
    mean : sequence of float
        Length n.
    digits : float
        The error aimed at is 10^-digits E[prod |f_a|]; no less than rounding can be had.
    work : float
        Largest number of evaluations of the innermost rule in one resolution; where more would be needed, the error
        that was reached is returned.

    Returns
    -------
    NestedMoment

    Raises
    ------
    AccuracyError
        If a factor grows beyond the range of doubles where the integral needs it.
    """
    problem = _Problem(tuple(factors), covariance, np.asarray(mean, dtype=np.float64))
    if problem.log_tail[0] < _UNDERFLOW:
        return NestedMoment(0.0, _TINY, 0.0, 0)
    radius = problem.radius(problem.least_log_size())
    size = _Pass(problem, radius, 0, absolute=True).value()
    for _ in range(4):  # a moment far smaller than its factors lives in the tails
        wider = problem.radius(math.log(size) if size > 0.0 else -math.inf)
        if wider <= radius * (1.0 + 1e-9):
            break
        radius = wider
        size = _Pass(problem, radius, 0, absolute=True).value()
    if not math.isfinite(size):
        raise AccuracyError("the moment or one of its factors is beyond the range of doubles: lower the variances")
    noisy = _Pass(problem, radius, 0, absolute=True, magnified=_MAGNIFIED).value()
    evaluation = max(0.0, noisy - size) / _MAGNIFIED
    if not math.isfinite(evaluation):
        raise AccuracyError("a factor has no digit in double precision where the moment needs it: lower the variances")
    rounding = 8.0 * _EPS * size * problem.rank + 2.0 * evaluation + problem.tail(radius)
    rounding += _moved_jumps(problem.factors, covariance, problem.mean)
    goal = max(10.0**-digits * size, rounding)
    values: list[float] = []
    nodes, last = 0, 0.0
    error = math.inf
    for resolution in range(_RULES):
        if len(values) > 1 and last * 2.0 ** (0.5 * problem.dimension) > work:
            break
        one = _Pass(problem, radius, resolution)
        values.append(one.value())
        nodes, last = nodes + one.nodes, float(one.nodes)
        if len(values) > 1:
            error = _remaining(values, size)
            if error <= goal:
                break
    return NestedMoment(values[-1], error + rounding + _TINY, size, nodes)


def _moved_jumps(factors: tuple[Factor, ...], covariance: Sequence[Sequence[Fraction]], mean: Array) -> float:
    """What the rounding of the places of jumps makes of the moment.

    A jump J of f_a at c that moves by d changes it by d J times the density of z_a at c times E[prod_b |f_b|; z_a = c]:
    the moment with a narrow box of area J in place of f_a.
    """
    total = 0.0
    for a, factor in enumerate(factors):
        std = math.sqrt(float(covariance[a][a]))
        for i, cut in enumerate(() if factor.continuous else factor.cuts):
            jump = float(abs(factor._one(i + 1, np.array([cut])) - factor._one(i, np.array([cut])))[0])
            if jump == 0.0 or abs(cut - mean[a]) > _REACH * std:
                continue
            half = _BOX * std
            box = Factor((cut - half, cut + half), (None, partial(np.full_like, fill_value=0.5 * jump / half), None))
            replaced = _Problem((*factors[:a], box, *factors[a + 1 :]), covariance, mean)
            radius = replaced.radius(replaced.least_log_size())
            moved = _EPS * (abs(cut) + abs(mean[a]) + std)
            total += moved * _Pass(replaced, radius, 0, absolute=True).value()
    return total


def _remaining(values: list[float], size: float) -> float:
    """Error of the last of a row of resolutions."""
    change = abs(values[-1] - values[-2])
    if len(values) == 2:
        return _SAFETY * change
    before = abs(values[-2] - values[-3])
    # algebraic convergence: the changes to come are a geometric series
    ratio = min(change / before, _SLOWEST) if before > 0.0 else 0.0
    geometric = before**2 / size if size > 0.0 else 0.0
    return _SAFETY * change * max(1.0, ratio / (1.0 - ratio)) + geometric


# -- the law ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Crossing:
    """Where, in x_k, the mean of field a reaches its mark given that the fields `others` are at theirs."""

    field: int
    others: tuple[int, ...]
    weights: tuple[float, ...]
    slope: float
    deviation: float


@dataclass(frozen=True)
class _Law:
    """z = m + rows x, and what is random about each field given x_0, ..., x_k."""

    rows: Array  # (n, r)
    last: tuple[int, ...]  # the last variable of each field
    spread: Array  # (r, n): standard deviation of z_a given x_0, ..., x_k
    crossings: tuple[tuple[_Crossing, ...], ...]  # one tuple a level


def _eliminate(
    covariance: Sequence[Sequence[Fraction]], late: Sequence[bool], floors: Sequence[Fraction], marked: Sequence[bool]
) -> _Law:
    """Cholesky's method in rationals; late fields are taken last, the least determined first."""
    n = len(covariance)
    rest = [list(row) for row in covariance]
    columns: list[list[float]] = []
    spread: list[list[float]] = []
    crossings: list[tuple[_Crossing, ...]] = []
    while True:
        for a in range(n):
            if rest[a][a] <= floors[a]:
                for b in range(n):
                    rest[a][b] = rest[b][a] = Fraction(0)
        open_ = [a for a in range(n) if rest[a][a] > 0]
        if not open_:
            break
        pivot = max(open_, key=lambda a: (not late[a], rest[a][a] / covariance[a][a], -a))
        column = [rest[a][pivot] for a in range(n)]
        root = math.sqrt(float(column[pivot]))
        rest = [[rest[a][b] - column[a] * column[b] / column[pivot] for b in range(n)] for a in range(n)]
        columns.append([float(c) / root for c in column])
        spread.append([math.sqrt(max(0.0, float(rest[a][a]))) for a in range(n)])
        crossings.append(tuple(_crossings(rest, column, root, marked)))
    rows = np.array(columns, dtype=np.float64).reshape(len(columns), n).T
    last = tuple(int(np.flatnonzero(row)[-1]) for row in rows)
    return _Law(rows, last, np.array(spread), tuple(crossings))


def _crossings(
    rest: list[list[Fraction]], column: list[Fraction], root: float, marked: Sequence[bool]
) -> list[_Crossing]:
    """Narrow transitions in this variable that appear only where other fields are at their kinks."""
    fields = [a for a in range(len(rest)) if rest[a][a] > 0 and marked[a]]
    found = []
    for a in fields:
        alone = math.sqrt(float(rest[a][a]))
        for count in (1, 2):
            for others in itertools.combinations([b for b in fields if b != a], count):
                solved = _regress(rest, a, others)
                if solved is None:
                    continue
                weights, variance = solved
                deviation = math.sqrt(max(0.0, float(variance)))
                if deviation > 0.3 * alone:
                    continue  # as wide as the transition of the field itself, and in the same place
                slope = column[a] - sum((w * column[b] for w, b in zip(weights, others, strict=True)), Fraction(0))
                if slope and deviation < _NARROW * abs(float(slope)) / root:
                    parts = tuple(float(w) for w in weights)
                    found.append(_Crossing(a, others, parts, float(slope) / root, deviation))
    return found


def _regress(
    rest: list[list[Fraction]], a: int, others: tuple[int, ...]
) -> tuple[tuple[Fraction, ...], Fraction] | None:
    """Weights of E[z_a | z_others] and the variance left; None if the others determine each other."""
    b = others[0]
    if len(others) == 1:
        weight = rest[a][b] / rest[b][b]
        return (weight,), rest[a][a] - weight * rest[a][b]
    c = others[1]
    determinant = rest[b][b] * rest[c][c] - rest[b][c] ** 2
    if determinant <= 0:
        return None
    first = (rest[a][b] * rest[c][c] - rest[a][c] * rest[b][c]) / determinant
    second = (rest[a][c] * rest[b][b] - rest[a][b] * rest[b][c]) / determinant
    return (first, second), rest[a][a] - first * rest[a][b] - second * rest[a][c]


# -- what the functions look like -------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _chebyshev(order: int) -> tuple[Array, Array]:
    """Nodes on (-1, 1), increasing, and the matrix from values to coefficients."""
    angle = math.pi * (np.arange(order) + 0.5) / order
    matrix = 2.0 / order * np.cos(np.outer(np.arange(order), angle))
    matrix[0] *= 0.5
    return np.cos(angle)[::-1].copy(), matrix[:, ::-1].copy()


def _mesh(factor: Factor, mean: float, std: float, radius: float) -> Array:
    """Intervals on which f(z) times the density of the field is resolved by few nodes; the cuts are among the ends.

    Parameters
    ----------
    factor : Factor
        f.
    mean, std : float
        Of the field.
    radius : float
        Half the range, in standard deviations.

    Returns
    -------
    ndarray, shape (intervals + 1,)
    """
    lo, hi = mean - radius * std, mean + radius * std
    ends = np.array([lo, *(c for c in factor.cuts if lo < c < hi), hi])
    left, right = ends[:-1], ends[1:]
    nodes, matrix = _chebyshev(_MESH_ORDER)
    done: list[Array] = [ends]
    scale = 0.0
    for _ in range(60):
        half = 0.5 * (right - left)
        points = (0.5 * (left + right))[:, None] + half[:, None] * nodes
        piece = np.repeat(factor.piece_of(0.5 * (left + right)), _MESH_ORDER)
        values = factor.values(points.ravel(), piece).reshape(points.shape)
        values = values * np.exp(-0.5 * ((points - mean) / std) ** 2)
        coefficients = np.abs(values @ matrix.T)
        scale = max(scale, float(np.max(half * np.mean(np.abs(values), axis=1))))
        bad = half * coefficients[:, -6:].max(axis=1) > 1e-13 * scale
        bad &= half > 1e-9 * std
        if not bad.any() or len(left) > 2000:
            break
        middle = 0.5 * (left + right)[bad]
        done.append(middle)
        left, right = np.concatenate([left[bad], middle]), np.concatenate([middle, right[bad]])
    return np.unique(np.concatenate(done))


def _thin(points: Array, gap: float) -> Array:
    """Leave out points until neighbours are `gap` apart."""
    kept = [points[0]]
    for p in points[1:]:
        if p - kept[-1] >= gap:
            kept.append(p)
    return np.array(kept)


@dataclass(frozen=True)
class _Marks:
    """Panel ends in x_k: (z - u_a)/slope for the conditional mean u_a."""

    field: int
    places: Array
    slope: float


@dataclass(frozen=True)
class _Meeting:
    """Panel ends in x_k around a crossing of marks."""

    crossing: _Crossing
    origin: float  # what the linear form of the crossing is at its place
    offsets: Array


@dataclass(frozen=True)
class _Level:
    """How the integral over one variable is done."""

    own: tuple[int, ...]  # factors whose last variable it is
    later: tuple[int, ...]
    rule: str  # "hermite", "uniform" or "panels"
    count: int  # nodes of "hermite"
    step: float  # coarsest step of "uniform"
    marks: tuple[_Marks, ...]
    meetings: tuple[_Meeting, ...]


class _Problem:
    """Everything that does not depend on the resolution."""

    def __init__(self, factors: tuple[Factor, ...], covariance: Sequence[Sequence[Fraction]], mean: Array) -> None:
        self.factors = factors
        self.mean = mean
        n = len(factors)
        self.std = np.array([math.sqrt(float(covariance[a][a])) for a in range(n)])
        self.rough = rough = [_mesh(f, mean[a], self.std[a], 9.0) for a, f in enumerate(factors)]
        self.centres = [_centres(f, mesh, self.std[a]) for a, (f, mesh) in enumerate(zip(factors, rough, strict=True))]
        late = [f.degree is not None for f in factors]
        floors = [covariance[a][a] * Fraction(_negligible(f, rough[a], self.std[a])) for a, f in enumerate(factors)]
        self.law = _eliminate(covariance, late, floors, [len(c[0]) > 0 for c in self.centres])
        self.rank = self.law.rows.shape[1]
        self._planned: tuple[float, list[_Level]] | None = None
        self._envelope()

    # -- the tail -----------------------------------------------------------------------------------------------------

    def _envelope(self) -> None:
        """Log of a majorant of the product on the shell between neighbouring radii, for each factor its maximum."""
        reach = _REACH
        while True:
            self.shells = np.arange(0.0, reach + 0.0625, 0.125)
            total = np.zeros(self.shells.size)
            for a, factor in enumerate(self.factors):
                x = np.concatenate([self.mean[a] - self.std[a] * self.shells, self.mean[a] + self.std[a] * self.shells])
                with np.errstate(divide="ignore"):
                    logs = np.maximum(*np.split(np.log(np.abs(factor.values(x, None))), 2))
                    places, between = self._between_ends(a)
                    shell = np.ceil(np.abs(places - self.mean[a]) / (0.125 * self.std[a])).astype(np.int64)
                    near = shell < self.shells.size
                    np.maximum.at(logs, shell[near], np.log(np.abs(between[near])))
                total += np.maximum.accumulate(logs)
            usable = self.shells.size if np.all(total < math.inf) else int(np.argmin(total < math.inf))
            beyond = float(self.shells[usable]) if usable < self.shells.size else math.inf
            self.shells, total = self.shells[:usable], total[:usable]
            if usable < 2:
                raise AccuracyError("a factor exceeds the range of doubles at its mean: use digits=16")
            # the larger end of each shell bounds the factors, the smaller one the density
            outer = np.append(total[1:], total[-1])
            density = -0.5 * self.shells**2 + (self.rank - 1) * np.log(np.maximum(self.shells, 0.125))
            self.log_shell = outer + density
            if self.log_shell[-1] < np.max(self.log_shell) - 60.0:
                break
            if beyond < math.inf:
                raise AccuracyError(
                    f"a factor exceeds the range of doubles {beyond:.0f} standard deviations from its mean: lower the"
                    " variances"
                )
            reach *= 2.0
            if reach > 400.0 and np.max(self.log_shell) < 2.0 * _UNDERFLOW:
                break
            if reach > 400.0:
                raise AccuracyError("a factor grows too fast for its variance: lower the variances of the fields")
        norm = math.log(0.125) + math.log(2.0) * (1.0 - 0.5 * self.rank) - math.lgamma(0.5 * self.rank)
        self.log_tail = norm + np.logaddexp.accumulate(self.log_shell[::-1])[::-1]

    def _between_ends(self, a: int) -> tuple[Array, Array]:
        """Places in every interval of the mesh and between neighbouring cuts, with the values there.

        A piece can be narrower than a shell.
        """
        factor = self.factors[a]
        ends = np.unique(np.concatenate([self.rough[a], factor.cuts]))
        middle = 0.5 * (ends[:-1] + ends[1:])
        places = middle[:, None] + 0.5 * np.diff(ends)[:, None] * _PLACES
        piece = np.repeat(factor.piece_of(middle), _PLACES.size)
        return places.ravel(), factor.values(places.ravel(), piece)

    def least_log_size(self) -> float:
        """A guess of log E[prod |f_a|] from below."""
        return float(np.max(self.log_shell)) - 3.0

    def radius(self, log_size: float) -> float:
        """Radius of the ball outside of which nothing counts."""
        enough = np.flatnonzero(self.log_tail <= log_size + math.log(0.25 * _EPS))
        return float(self.shells[enough[0]]) if enough.size else float(self.shells[-1])

    def tail(self, radius: float) -> float:
        """Bound on E[prod |f_a|; |x| > radius]."""
        return math.exp(float(self.log_tail[np.searchsorted(self.shells, radius)]))

    # -- the levels ---------------------------------------------------------------------------------------------------

    def plan(self, radius: float) -> list[_Level]:
        """Choose the rule of every level."""
        if self._planned is None or self._planned[0] != radius:
            meshes = [_mesh(f, self.mean[a], self.std[a], radius) for a, f in enumerate(self.factors)]
            self._planned = radius, [self._level(k, meshes, radius) for k in range(self.rank)]
        return self._planned[1]

    @property
    def dimension(self) -> int:
        """How fast the work grows with the resolution."""
        return max(1, self.rank - 1) if self.rank > 2 and self.tabulated else int(self.rank)

    @property
    def tabulated(self) -> bool:
        """Whether the innermost integral is a function of one conditional mean."""
        return bool(self.rank > 1 and sum(l == self.rank - 1 for l in self.law.last) == 1)

    def _level(self, k: int, meshes: list[Array], radius: float) -> _Level:
        own = tuple(a for a, l in enumerate(self.law.last) if l == k)
        later = tuple(a for a, l in enumerate(self.law.last) if l > k)
        if all(self.factors[a].degree is not None for a in own + later):
            total = sum(self.factors[a].degree or 0 for a in own + later)
            return _Level(own, later, "hermite", total // 2 + 1, 0.0, (), ())
        marks: list[_Marks] = []
        finest = math.inf
        cut = False
        for a in own + later:
            slope = float(self.law.rows[a, k])
            if slope == 0.0:
                continue
            spread = 0.0 if a in own else float(self.law.spread[k, a])
            places, gap, sharp = _places(self.factors[a], meshes[a], spread, abs(slope))
            finest, cut = min(finest, gap), cut or sharp
            if places.size:
                marks.append(_Marks(a, places, slope))
        meetings = tuple(self._meetings(k))
        step = min(0.5, 0.4 * finest)
        panels = sum(m.places.size for m in marks) + 5 * len(meetings) + 2.0 * radius / _LONGEST
        if not cut and not meetings and 2.0 * radius / step <= 20.0 * panels:
            return _Level(own, later, "uniform", 0, step, (), ())
        return _Level(own, later, "panels", 0, 0.0, tuple(marks), meetings)

    def _meetings(self, k: int) -> list[_Meeting]:
        found = []
        for crossing in self.law.crossings[k]:
            fields = (crossing.field, *crossing.others)
            for marks in itertools.product(*(range(len(self.centres[a][0])) for a in fields)):
                places = [self.centres[a][0][i] for a, i in zip(fields, marks, strict=True)]
                widths = [self.centres[a][1][i] for a, i in zip(fields, marks, strict=True)]
                weights = (1.0, *(-w for w in crossing.weights))
                own = [w * abs(x) for w, x in zip(widths, weights, strict=True)]
                width = math.hypot(crossing.deviation, *own) / abs(crossing.slope)
                if width < _NARROW:
                    origin = sum(w * p for w, p in zip(weights, places, strict=True))
                    found.append(_Meeting(crossing, origin, width * _TRANSITION if width else np.zeros(1)))
        return found


def _centres(factor: Factor, mesh: Array, std: float) -> tuple[Array, Array]:
    """Places where f changes abruptly and over which widths: its cuts, and the finest intervals if it is steep."""
    places = [c for c in factor.cuts if mesh[0] < c < mesh[-1]]
    widths = [0.0] * len(places)
    gaps = np.diff(mesh)
    for i, gap in enumerate(gaps):
        before, after = gaps[i - 1] if i else math.inf, gaps[i + 1] if i + 1 < gaps.size else math.inf
        middle = 0.5 * (mesh[i] + mesh[i + 1])
        if gap < 0.1 * std and gap <= before and gap < after and all(abs(middle - c) > 2.0 * gap for c in factor.cuts):
            places.append(float(middle))
            widths.append(float(gap))
    if len(places) > 8 and len(places) > len(factor.cuts):  # it oscillates: there is no place to grade towards
        places, widths = places[: len(factor.cuts)], widths[: len(factor.cuts)]
    return np.array(places), np.array(widths)


def _negligible(factor: Factor, mesh: Array, std: float) -> float:
    """Part of a field's variance that may be left out without a trace in doubles.

    A direction of relative deviation d moves a jump by d, but changes the mean of a function that is continuous, and
    smooth on the scale of d elsewhere, by d^2 only.
    """
    fine = float(np.min(np.diff(mesh))) / std
    return 0.25 * _EPS if factor.continuous and fine > 1e-3 else 1e-34


def _places(factor: Factor, mesh: Array, spread: float, slope: float) -> tuple[Array, float, bool]:
    """Panel ends that a factor asks for on a level, in units of its field.

    Parameters
    ----------
    factor : Factor
        f.
    mesh : ndarray
        Intervals on which it is resolved.
    spread : float
        Standard deviation over which the levels inside have averaged it.
    slope : float
        Units of the field a unit of x_k.

    Returns
    -------
    places : ndarray
    gap : float
        Finest interval, in units of x_k.
    sharp : bool
        Whether there is a cut or a narrow transition, where the trapezoidal rule would fail.
    """
    inside = mesh[1:-1]
    cuts = np.array([c for c in factor.cuts if mesh[0] < c < mesh[-1]])
    if spread == 0.0:
        gaps = np.diff(mesh)
        fine = np.minimum(gaps[:-1], gaps[1:]) < 1.5 * slope
        return np.union1d(cuts, inside[fine]), float(np.min(gaps)) / slope, cuts.size > 0
    thin = _thin(mesh, spread)
    gaps = np.diff(thin)
    gap = float(np.min(gaps)) / slope if gaps.size else math.inf
    fine = np.minimum(gaps[:-1], gaps[1:]) < _NARROW * slope
    places = thin[1:-1][fine]
    if spread < _NARROW * slope:
        places = np.union1d(places, (cuts[:, None] + spread * _TRANSITION).ravel())
        return places, gap, cuts.size > 0
    return places, gap if places.size else math.inf, False


# -- one resolution ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _legendre(count: int) -> tuple[Array, Array]:
    """Nodes and weights to the last bit; NumPy's outer weights are off by up to 1e-12."""
    from flint import arb

    roots = [arb.legendre_p_root(count, k, weight=True) for k in range(count)]
    return np.array([float(x) for x, _ in roots]), np.array([float(w) for _, w in roots])


@lru_cache(maxsize=64)
def _hermite(count: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def _density(x: Array) -> Array:
    return np.exp(-0.5 * x**2) / math.sqrt(2.0 * math.pi)


@dataclass(frozen=True)
class _Resolution:
    """How fine the rules are; neighbouring ones share neither nodes nor panel ends."""

    order: int  # nodes of a panel
    fineness: float  # of uniform grids
    longest: float  # panel
    shift: float  # of uniform grids, in steps

    @classmethod
    def number(cls, n: int, least: float = 0.0) -> "_Resolution":
        """Each sqrt(2) finer than the one before, from `least` on."""
        fineness = max(2.0 ** (0.5 * n), least * (1.0 + 0.07 * (n % 3)))
        return cls(round(10 * fineness), fineness, _LONGEST * (1.0 - 0.07 * (n % 3)), 0.5 * (n % 2) + 0.19 * (n % 3))


class _Pass:
    """One evaluation of the nested integral."""

    def __init__(
        self, problem: _Problem, radius: float, resolution: int, absolute: bool = False, magnified: float = 0.0
    ) -> None:
        self.problem = problem
        self.magnified = magnified
        self.radius = radius
        self.levels = problem.plan(radius)
        self.resolution = _Resolution.number(resolution)
        self.absolute = absolute
        self.nodes = 0
        self.table: _Table | None = None
        if problem.rank > 2 and problem.tabulated and self.levels[-1].rule != "hermite":
            self.table = self._tabulate(resolution)

    def value(self) -> float:
        """The moment."""
        start = self.problem.mean[None, :].copy()
        return float(self._integrate(0, start, np.array([self.radius**2]))[0])

    def _tabulate(self, resolution: int) -> "_Table":
        """The innermost integral as a function of the mean of its field: few evaluations, so that it may be accurate.

        An error here would be one of a function that is no longer smooth, and the table would chase it.
        """
        k = self.problem.rank - 1
        (a,) = self.levels[k].own
        row = self.problem.law.rows[a]
        mean = float(self.problem.mean[a])
        reach = self.radius * math.sqrt(float(np.sum(row[:k] ** 2))) + 1e-9 * self.problem.std[a]
        inside = self.radius + 2.0  # the end of the range shows as a jump of the size of the tail beyond it
        fine = copy.copy(self)
        fine.resolution = _Resolution.number(resolution, 2.0)
        fine.radius = inside

        def smoothed(u: Array, absolute: bool = False, magnified: float = 0.0) -> Array:
            fine.absolute, fine.magnified = self.absolute or absolute, self.magnified or magnified
            means = np.tile(self.problem.mean, (u.size, 1))
            means[:, a] = u
            return fine._integrate(k, means, np.full(u.size, inside**2))

        cuts = np.array(self.problem.factors[a].cuts)
        starts = (cuts[:, None] + abs(float(row[k])) * _TRANSITION).ravel()
        order = 16 + 2 * (resolution % 3)
        floor = 10.0 * math.erfc(inside / math.sqrt(2.0))
        # a size is not smooth, and few of its digits are wanted; relative to itself, lest a bump be missed
        precision = 1e-3 if self.absolute else 0.0
        table = _Table(smoothed, (mean - reach, mean + reach), starts, order, floor, precision)
        self.nodes = fine.nodes
        return table

    def _integrate(self, k: int, means: Array, room: Array) -> Array:
        """E[prod over fields that end at x_k or later | conditional means], one a row of `means`."""
        level = self.levels[k]
        if self.table is not None and k == self.problem.rank - 1:
            self.nodes += len(means)
            return self.table(means[:, level.own[0]])
        per_row = self._expected(level)
        rows = max(1, int(_CHUNK / per_row))
        if len(means) <= rows:
            return self._slice(k, level, means, room)
        parts = [slice(i, i + rows) for i in range(0, len(means), rows)]
        return np.concatenate([self._slice(k, level, means[part], room[part]) for part in parts])

    def _expected(self, level: _Level) -> float:
        """Nodes a row."""
        if level.rule == "hermite":
            return float(level.count)
        if level.rule == "uniform":
            return 2.0 * self.radius * self.resolution.fineness / level.step
        ends = sum(m.places.size for m in level.marks) + sum(m.offsets.size for m in level.meetings)
        return (ends + 2.0 * self.radius / self.resolution.longest) * self.resolution.order

    def _slice(self, k: int, level: _Level, means: Array, room: Array) -> Array:
        pieces: dict[int, NDArray[np.int64] | None] = dict.fromkeys(level.own)
        if level.rule == "hermite":
            nodes, weights = _hermite(level.count)
            row = np.repeat(np.arange(len(means)), level.count)
            x, product = np.tile(nodes, len(means)), np.tile(weights, len(means))
        elif level.rule == "uniform":
            row, x, product = self._uniform(level.step / self.resolution.fineness, room)
        else:
            row, x, product, pieces = self._panels(k, level, means, room)
        slopes = self.problem.law.rows[:, k]
        for a in level.own:
            product = product * self._factor(a, means[row, a] + slopes[a] * x, pieces[a])
        if k + 1 < self.problem.rank:
            live = product != 0.0
            row, x, product = row[live], x[live], product[live]
            inner = means[row] + slopes * x[:, None]
            product = product * self._integrate(k + 1, inner, np.maximum(room[row] - x**2, 0.0))
        else:
            self.nodes += x.size
        return np.bincount(row, product, minlength=len(means)).astype(np.float64, copy=False)

    def _factor(self, a: int, points: Array, piece: NDArray[np.int64] | None) -> Array:
        factor = self.problem.factors[a]
        values = factor.values(points, piece)
        if not self.absolute:
            return values
        sizes = np.abs(values)
        if self.magnified:
            known = 2.0 * _EPS * (np.abs(points) + abs(self.problem.mean[a]) + self.problem.std[a])
            sizes += self.magnified * factor.error(points, known, piece)
        return sizes

    def _uniform(self, step: float, room: Array) -> tuple[NDArray[np.int64], Array, Array]:
        half = math.ceil(self.radius / step) + 1
        nodes = step * (np.arange(-half, half + 1, dtype=np.float64) + self.resolution.shift)
        weights = _density(nodes)
        weights /= weights.sum()
        row, column = np.nonzero(nodes**2 <= room[:, None])
        return row, nodes[column], weights[column]

    def _panels(
        self, k: int, level: _Level, means: Array, room: Array
    ) -> tuple[NDArray[np.int64], Array, Array, dict[int, NDArray[np.int64] | None]]:
        reach = np.sqrt(room)
        ends = [-reach[:, None], reach[:, None]]
        for mark in level.marks:
            ends.append((mark.places - means[:, mark.field, None]) / mark.slope)
        for meeting in level.meetings:
            crossing = meeting.crossing
            form = means[:, crossing.field] - meeting.origin
            for b, weight in zip(crossing.others, crossing.weights, strict=True):
                form = form - weight * means[:, b]
            ends.append(-form[:, None] / crossing.slope + meeting.offsets)
        grid = np.sort(np.clip(np.concatenate(ends, axis=1), -reach[:, None], reach[:, None]), axis=1)
        row, column = np.nonzero(np.diff(grid, axis=1) > 0.0)
        left, right = grid[row, column], grid[row, column + 1]
        parts = np.maximum(1, np.ceil((right - left) / self.resolution.longest)).astype(np.int64)
        index = np.repeat(np.arange(row.size), parts)
        part = np.arange(index.size) - np.repeat(np.cumsum(parts) - parts, parts)
        half = 0.5 * ((right - left) / parts)[index]
        middle = left[index] + (2 * part + 1) * half
        row = row[index]
        nodes, weights = _legendre(self.resolution.order)
        x = (middle[:, None] + half[:, None] * nodes).ravel()
        mass = (half[:, None] * weights).ravel() * _density(x)
        pieces: dict[int, NDArray[np.int64] | None] = {}
        for a in level.own:
            factor = self.problem.factors[a]
            here = means[row, a] + self.problem.law.rows[a, k] * middle
            pieces[a] = np.repeat(factor.piece_of(here), self.resolution.order) if factor.cuts else None
        return np.repeat(row, self.resolution.order), x, mass, pieces


class _Table:
    """A smooth function of one variable as Chebyshev series on intervals, bisected until each has converged."""

    def __init__(
        self,
        function: Callable[..., Array],
        ends: tuple[float, float],
        starts: Array,
        order: int,
        floor: float,
        precision: float,
    ) -> None:
        lo, hi = ends
        nodes, matrix = _chebyshev(order)
        witness = np.cos(np.outer(np.arange(order), np.arccos(_WITNESSES)))
        first = np.unique(np.concatenate([[lo, hi], starts[(starts > lo) & (starts < hi)]]))
        left, right = first[:-1], first[1:]
        kept: list[tuple[Array, Array, Array]] = []
        scale = 0.0
        for depth in range(_DEEPEST + 1):
            half = 0.5 * (right - left)
            middle = 0.5 * (left + right)
            points = middle[:, None] + half[:, None] * nodes
            values = function(points.ravel()).reshape(points.shape)
            coefficients = values @ matrix.T
            largest = np.max(np.abs(values), axis=1)
            size = np.maximum(function(middle, absolute=True), largest)
            scale = max(scale, float(np.max(size)))
            # a bump between the nodes shows at points that are none
            seen = function((middle[:, None] + half[:, None] * _WITNESSES).ravel()).reshape(-1, _WITNESSES.size)
            missed = np.max(np.abs(seen - coefficients @ witness), axis=1)
            # rounding of the factor, of the sums, and of the points where the function is steep
            three = np.concatenate([left, middle, right])
            sizes, noisy = (function(three, absolute=True, magnified=m) for m in (0.0, _MAGNIFIED))
            rounding = np.max((np.abs(noisy - sizes) / _MAGNIFIED).reshape(3, -1), axis=0)
            slope = np.max(np.abs(np.diff(values, axis=1)) / np.diff(points, axis=1), axis=1)
            noise = rounding + 4.0 * _EPS * (size + np.maximum(np.abs(left), np.abs(right)) * slope)
            noise = np.maximum(noise, np.maximum(floor * scale, precision * largest))
            tail, before = (np.max(np.abs(coefficients[:, part]), axis=1) for part in (slice(-3, None), slice(-8, -4)))
            good = (tail <= noise) | ((tail <= 16.0 * noise) & (before <= 2.0 * tail))  # a plateau is rounding
            good &= missed <= 32.0 * noise
            good |= depth == _DEEPEST or left.size > _MOST_INTERVALS
            kept.append((left[good], right[good], coefficients[good]))
            if good.all():
                break
            middle = middle[~good]
            left, right = np.concatenate([left[~good], middle]), np.concatenate([middle, right[~good]])
        ends_left, ends_right = (np.concatenate([k[i] for k in kept]) for i in (0, 1))
        order_ = np.argsort(ends_left)
        self.left = ends_left[order_]
        self.middle = 0.5 * (ends_left + ends_right)[order_]
        self.half = 0.5 * (ends_right - ends_left)[order_]
        self.coefficients = np.ascontiguousarray(np.concatenate([k[2] for k in kept])[order_].T)

    def __call__(self, u: Array) -> Array:
        """Clenshaw's recurrence on the interval of each point."""
        at = np.maximum(np.searchsorted(self.left, u, side="right") - 1, 0)
        t = (u - self.middle[at]) / self.half[at]
        b1 = np.zeros_like(u)
        b2 = np.zeros_like(u)
        for row in self.coefficients[:0:-1]:
            b1, b2 = row[at] + 2.0 * t * b1 - b2, b1
        total: Array = self.coefficients[0][at] + t * b1 - b2
        return total
