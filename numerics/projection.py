"""A Python function as an activation: projected on Hermite polynomials, checked at fresh points, or refused.

The rest of the engine works on formulas. A function that only computes is replaced by its best polynomial under the
standard normal law, sum_k h_k He_k(z)/k!, whose distance is measured, not assumed: at quadrature nodes, and at points
that had no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy import special

from ..theory.activation import Activation, register_projector
from ..theory.errors import AssumptionError, argument_error
from ..theory.gaussian.hermite import hermite_he
from ..theory.notation import z
from .one_dimensional import weighted_hermite

__all__ = ["MAX_AUTOMATIC_DEGREE", "MAX_ORDER", "Projection", "project"]

Real = NDArray[np.float64]

MAX_AUTOMATIC_DEGREE = 24
"""Largest degree that is chosen without being asked for."""

MAX_ORDER = 64
"""Largest degree that can be asked for."""

# Panel ends at odd places: a kink at 0 or 1/2 lies inside a panel, where it shows.
_LEFT, _RIGHT, _PANELS, _NODES = -11.63, 11.71, 32, 20
_CENTRE = 3.0
_FRESH = 4001
_ROUNDING = 1e-14
_KINK_LEVELS = 6
_LITTLE = 1e-6  # a panel whose Legendre coefficients fall below this fraction of its values has no kink to speak of
_SMALLEST = 1e-100
_SETTLED = 1e-10  # share of E[f^2] at the ends


@dataclass(frozen=True)
class Projection:
    """How a function became a polynomial.

    Attributes
    ----------
    degree : int
        Degree of the polynomial p.
    l2_error : float
        sqrt(E[(f(x) - p(x))^2]), x ~ N(0, 1).
    norm : float
        sqrt(E[f(x)^2]).
    check : float
        Root mean square of f - p at fresh points, equally likely under the law.
    max_error : float
        Largest |f - p| found on `interval`.
    interval : tuple of float
        (-3, 3), which holds 99.7 % of the law.
    nodes : int
        Number of points at which f was computed.
    note : str
        In words.
    """

    degree: int
    l2_error: float
    norm: float
    check: float
    max_error: float
    interval: tuple[float, float]
    nodes: int
    note: str


def project(
    function: Callable[[Real], Any], *, order: int | None = None, tolerance: float = 1e-6, name: str | None = None
) -> Activation:
    """Replace a vectorised Python function by its projection on Hermite polynomials.

    Parameters
    ----------
    function : callable
        Takes a float64 array of shape (n,), returns n real numbers; the same ones each time.
    order : int, optional
        Degree of the polynomial, 1 to 64. By default the least that meets the tolerance, at most 24.
    tolerance : float
        Largest sqrt(E[(f - p)^2]) that is accepted, relative to sqrt(E[f^2]), x ~ N(0, 1).
    name : str, optional
        Name of the activation; by default "projection of" the function's.

    Returns
    -------
    Activation
        sum_k h_k He_k(z)/k! with exact rational coefficients (those of the doubles found); its ``projection`` is a
        :class:`Projection`.

    Raises
    ------
    AssumptionError
        If an option is out of range, or the function is refused: it does not take or give arrays of real numbers, is
        random or constant, is not finite, grows too fast, has a kink or jump, or no polynomial meets the tolerance.

    Notes
    -----
    *Validity.* Everything computed from the activation holds for the polynomial. At means and deviations other than 0
    and 1 the distance to the function is another one, and far outside (-3, 3) the two have nothing to do with another.

    Examples
    --------
    >>> act = project(lambda x: np.sin(x) / 2, tolerance=1e-8)
    >>> act.projection.degree, act.parity
    (17, 'odd')
    """
    degree, limit = _options(function, order, tolerance, name)
    probe = _Probe(function)
    nodes, weights = _panels()
    values = probe.at(nodes)
    probe.look_again(nodes, values)
    probe.not_extreme(nodes, values)
    density = weights * np.exp(-0.5 * nodes**2) / math.sqrt(2.0 * math.pi)
    with np.errstate(over="ignore"):
        squares = density * values**2
        norm = math.sqrt(float(squares.sum()))
    probe.not_too_steep(nodes, squares, norm)
    probe.no_kink(nodes, values)
    table = weighted_hermite(nodes, degree or MAX_AUTOMATIC_DEGREE)
    coefficients = (weights * values) @ table / _factorials(table.shape[1] - 1)
    errors = _tails(coefficients, nodes, values, density)
    enough = np.flatnonzero(errors <= limit * norm)
    if (not enough.size or enough[0] > degree) if degree else not enough.size:
        raise _too_far(function, errors, norm, limit, degree)
    kept = _cleaned(coefficients, norm)
    varying = np.flatnonzero(kept[1:]) + 1
    if not varying.size or (degree and varying[0] > degree):
        cure = "ask for a higher order, or write it as a formula, Activation('...')"
        raise probe.refusal("has a constant for its projection", cure)
    degree = degree or max(int(varying[0]), int(enough[0]))
    kept = kept[: degree + 1]
    return _activation(probe, kept, float(errors[degree]), norm, name or _default_name(function))


def _options(function: object, order: object, tolerance: object, name: object) -> tuple[int | None, float]:
    if not callable(function) or isinstance(function, type):
        cure = "pass a function of an array; Activation(...) takes names, formulas and SymPy expressions"
        raise argument_error("function", function, f"is a {type(function).__name__}, not a function", cure)
    if order is not None and (type(order) is not int or not 1 <= order <= MAX_ORDER):
        raise argument_error("order", order, "is not a degree", f"use an integer from 1 to {MAX_ORDER}, or None")
    wrong = isinstance(tolerance, bool) or not isinstance(tolerance, int | float | np.integer | np.floating)
    if wrong or not 0.0 < float(tolerance) < 1.0:  # type: ignore[arg-type]
        raise argument_error("tolerance", tolerance, "is not between 0 and 1", "use a relative error such as 1e-6")
    if name is not None and (not isinstance(name, str) or not name):
        raise argument_error("name", name, "is not a name", "use a text, or None")
    return order, float(tolerance)  # type: ignore[arg-type]


def _default_name(function: object) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return f"projection of {'a function' if name == '<lambda>' else name}"


def _panels() -> tuple[Real, Real]:
    t, w = np.polynomial.legendre.leggauss(_NODES)
    ends = np.linspace(_LEFT, _RIGHT, _PANELS + 1)
    middle, half = 0.5 * (ends[:-1] + ends[1:]), 0.5 * np.diff(ends)
    return (middle[:, None] + half[:, None] * t).ravel(), (half[:, None] * w).ravel()


def _factorials(order: int) -> Real:
    return np.array([float(math.factorial(k)) for k in range(order + 1)])


class _Probe:
    """The function, watched."""

    def __init__(self, function: Callable[[Real], Any]) -> None:
        self.function = function
        self.count = 0

    def refusal(self, problem: str, cure: str) -> AssumptionError:
        return argument_error("function", self.function, problem, cure)

    def at(self, points: Real) -> Real:
        """Values as float64, finite."""
        try:
            with np.errstate(all="ignore"):
                given = np.asarray(self.function(points.copy()))
        except Exception as error:
            raise self.failed(error) from error
        self.count += points.size
        if np.iscomplexobj(given):
            raise self.refusal("returns complex numbers", "return real ones, such as its real part")
        if given.shape != points.shape:
            problem = f"returns the shape {given.shape} for an argument of shape {points.shape}"
            raise self.refusal(problem, "return one number for each entry")
        if given.dtype.kind not in "fiub":
            raise self.refusal(f"returns entries of type {given.dtype}", "return real numbers")
        values = given.astype(np.float64)
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            place = wrong[np.argmin(np.abs(points[wrong]))]
            problem = f"returns {values[place]} at z = {points[place]:.6g}"
            if np.isinf(values[place]) and abs(points[place]) > _CENTRE:
                raise self.refusal(f"{problem}: it grows too fast", "use a function of finite Gaussian variance")
            raise self.refusal(problem, "return a finite number for every real z")
        return values

    def failed(self, error: Exception) -> AssumptionError:
        said = f"{type(error).__name__}: {error}"
        said = " ".join(said.split())
        try:
            with np.errstate(all="ignore"):
                number = float(self.function(0.3))  # type: ignore[arg-type]
        except Exception:
            return self.refusal(f"raises {said} for an array", "pass a function of a float64 array")
        return self.refusal(
            f"takes single numbers (it gives {number:.6g} at 0.3) but raises {said} for an array",
            "pass numpy.vectorize(function), or write it with NumPy functions",
        )

    def look_again(self, points: Real, values: Real) -> None:
        """The same values in a second call, and in one with fewer points in another order."""
        if not np.array_equal(self.at(points), values):
            raise self.refusal("gives other values in a second call", "remove its randomness or state")
        some = np.flatnonzero(points > 1.0)[::-1]
        difference = np.abs(self.at(points[some]) - values[some])
        if np.any(difference > 1e-6 * (np.abs(values[some]) + np.max(np.abs(values[np.abs(points) < _CENTRE])))):
            raise self.refusal(
                "gives an entry another value in another array", "compute each entry from its own argument alone"
            )

    def not_extreme(self, points: Real, values: Real) -> None:
        """Neither constant nor of a size whose squares leave double precision."""
        if np.ptp(values) <= _ROUNDING * np.max(np.abs(values)):
            raise self.refusal(f"is the constant {values[0] + 0.0:.6g}", "use a function that depends on its argument")
        size = float(np.max(np.abs(values[np.abs(points) < _CENTRE])))
        if not _SMALLEST < size < 1.0 / _SMALLEST:
            problem = f"has values of size {size:.1e} on ({-_CENTRE:g}, {_CENTRE:g})"
            raise self.refusal(problem, "rescale it to values near 1")

    def not_too_steep(self, points: Real, squares: Real, norm: float) -> None:
        if not math.isfinite(norm):
            raise self.refusal("grows too fast: E[f^2] overflows", "use a function of finite Gaussian variance")
        outer = np.abs(points) > min(-_LEFT, _RIGHT) - 1.0
        share = float(np.sum(squares[outer])) / norm**2
        if share > _SETTLED:
            problem = f"grows too fast: {share:.1e} of E[f^2] comes from |z| > {min(-_LEFT, _RIGHT) - 1.0:.3g}"
            raise self.refusal(problem, "use a function that grows slower than exp(z**2/4)")

    def no_kink(self, points: Real, values: Real) -> None:
        """Halve each suspicious panel where it is worst: a kink's roughness halves too, a bend straightens out."""
        rows = values.reshape(_PANELS, _NODES)
        size = float(np.max(np.abs(rows[np.abs(points.reshape(_PANELS, _NODES)).min(axis=1) < _CENTRE])))
        ends = np.linspace(_LEFT, _RIGHT, _PANELS + 1)
        for left, right, row in zip(ends[:-1], ends[1:], rows, strict=True):
            first = last = _roughness(row)
            if min(abs(left), abs(right)) > 2.0 * _CENTRE or first <= _LITTLE * size:
                continue
            a, b = float(left), float(right)
            for _ in range(_KINK_LEVELS):
                quarter = 0.25 * (b - a)  # near the end of a panel a kink shows little: hence the half in the middle
                halves = [(a, a + 2.0 * quarter), (a + quarter, b - quarter), (b - 2.0 * quarter, b)]
                last, (a, b) = max((_roughness(self.at(_nodes_on(*half))), half) for half in halves)
            if last > 0.1 * first * 0.5**_KINK_LEVELS:
                problem = f"has a kink or jump near z = {0.5 * (a + b):.3g}: its Hermite coefficients decay slowly"
                raise self.refusal(problem, "write it as a formula with Max, Abs, sign or Piecewise: Activation('...')")


def _nodes_on(left: float, right: float) -> Real:
    return 0.5 * (left + right) + 0.5 * (right - left) * np.polynomial.legendre.leggauss(_NODES)[0]


def _roughness(values: Real) -> float:
    """Size of the last Legendre coefficients of a panel."""
    t, w = np.polynomial.legendre.leggauss(_NODES)
    degrees = np.arange(_NODES)
    coefficients = (0.5 + degrees) * ((w * values) @ np.polynomial.legendre.legvander(t, _NODES - 1))
    return float(np.max(np.abs(coefficients[-4:])))


# -- the polynomial ---------------------------------------------------------------------------------------------------


def _tails(coefficients: Real, nodes: Real, values: Real, density: Real) -> Real:
    """sqrt(E[(f - p)^2]) for p of degree 0, 1, ...: at the nodes, where nothing cancels."""
    before, now = np.zeros_like(nodes), np.ones_like(nodes)
    rest, errors = values.copy(), np.empty(coefficients.size)
    for k, coefficient in enumerate(coefficients):
        rest -= coefficient * now
        errors[k] = math.sqrt(float(density @ rest**2))
        before, now = now, nodes * now - k * before
    return errors


def _cleaned(coefficients: Real, norm: float) -> Real:
    """Coefficients below rounding are zero: an odd function stays odd."""
    sizes = np.abs(coefficients) * np.sqrt(_factorials(coefficients.size - 1))
    return np.where(sizes > _ROUNDING * norm, coefficients, 0.0)


def _polynomial(coefficients: Real, points: Real) -> Real:
    before, now = np.zeros_like(points), np.ones_like(points)
    total = np.zeros_like(points)
    for k, coefficient in enumerate(coefficients):
        total += coefficient * now
        before, now = now, points * now - k * before
    return total


def _too_far(function: object, errors: Real, norm: float, limit: float, degree: int | None) -> AssumptionError:
    best = float(errors[-1]) / norm
    worth = f"tolerance={float(f'{1.2 * best:.1e}')!r}" if best < 0.5 else "another function"
    return argument_error(
        "function",
        function,
        f"is no polynomial of degree {degree or MAX_AUTOMATIC_DEGREE}: its projection leaves {best:.1e} of "
        f"sqrt(E[f^2]), more than tolerance={limit:g}",
        f"write it as a formula, Activation('...'), or accept the distance with {worth}",
    )


def _activation(probe: _Probe, coefficients: Real, l2_error: float, norm: float, name: str) -> Activation:
    fresh = np.sqrt(2.0) * special.erfinv(2.0 * (np.arange(_FRESH) + 0.5) / _FRESH - 1.0)
    check = math.sqrt(float(np.mean((probe.at(fresh) - _polynomial(coefficients, fresh)) ** 2)))
    if check > 3.0 * l2_error + 100.0 * _ROUNDING * norm:
        raise probe.refusal(
            f"differs from its projection by {check:.1e} at fresh points, where {l2_error:.1e} was expected: it has "
            "features too narrow to be sampled",
            "write it as a formula, Activation('...')",
        )
    centre = np.linspace(-_CENTRE, _CENTRE, 2001)
    largest = float(np.max(np.abs(probe.at(centre) - _polynomial(coefficients, centre))))
    terms = [(k, Fraction(float(c))) for k, c in enumerate(coefficients) if c]
    expression = sp.Add(*(sp.Rational(c.numerator, c.denominator) * hermite_he(k, z) for k, c in terms))
    degree = terms[-1][0]
    projection = Projection(
        degree,
        l2_error,
        norm,
        check,
        largest,
        (-_CENTRE, _CENTRE),
        probe.count,
        f"{name}: a polynomial of degree {degree}: sqrt(E[(f - p)^2]) = {l2_error:.1e} for a standard normal "
        f"argument, |f - p| <= {largest:.1e} at 2001 points of [-{_CENTRE:g}, {_CENTRE:g}]",
    )
    activation = Activation(expression)
    object.__setattr__(activation, "name", name)
    object.__setattr__(activation, "projection", projection)
    return activation


register_projector(project)
