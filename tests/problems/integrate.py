"""Gaussian expectations by mpmath alone: Gauss-Legendre on panels cut at kinks and graded towards singularities."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mpmath import mp, mpf
from mpmath.calculus.quadrature import GaussLegendre

from .functions import FUNCTIONS, Function, Map
from .piecewise import PIECES, piecewise_mean

__all__ = ["Part", "Route", "coefficients", "common_factors", "norm", "on_a_half_line_each", "product"]


class Route(NamedTuple):
    """How to integrate: two routes with different panels, rules and precision have to agree.

    The rule has 3 * 2**(degree - 1) points. Panels are at most `reach` times as wide as they are far from a complex
    singularity, and at most `widest`. At a cut where a piece is singular, x = cut + t**power.
    """

    digits: int
    degree: int
    reach: float
    widest: float
    power: int
    step: float = 0.125


class Part(NamedTuple):
    """A function of one Gaussian variable: the product of the fields that are equal to it up to a mean."""

    value: Map
    cuts: list[mpf]
    centres: list[tuple[float, float]]
    frequency: float
    bell: float
    gauss: float
    rate: float
    mean: Callable[[mpf, mpf], mpf] | None = None  # E[value(t + noise u)] where there is a formula


class _Panel(NamedTuple):
    lo: mpf
    hi: mpf
    singular: int  # -1, 1: at lo, at hi


@functools.lru_cache(maxsize=64)
def _rule(degree: int, precision: int) -> list[tuple[mpf, mpf]]:
    return list(GaussLegendre(mp).calc_nodes(degree, precision))


def _panels(
    reach: mpf, cuts: Sequence[mpf], centres: Sequence[tuple[float, float]], frequency: float, route: Route
) -> list[_Panel]:
    singular = [place for place, distance in centres if distance == 0]
    graded = [(place, distance) for place, distance in centres if distance > 0]
    widest = min(route.widest, 12 * route.widest / frequency) if frequency else route.widest
    edges = [-reach, *sorted({cut for cut in cuts if -reach < cut < reach}), reach]
    done: list[_Panel] = []
    waiting = list(itertools.pairwise(edges))
    while waiting:
        lo, hi = waiting.pop()
        a, b = float(lo), float(hi)
        near = min((math.hypot(max(0.0, a - c, c - b), d) for c, d in graded), default=math.inf)
        if b - a > min(widest, route.reach * near):
            middle = (lo + hi) / 2
            waiting += [(lo, middle), (middle, hi)]
            continue
        ends = [side for side, end in ((-1, a), (1, b)) if any(abs(end - s) < 1e-12 for s in singular)]
        done.append(_Panel(lo, hi, ends[0] if ends else 0))
    return done


def _points(panel: _Panel, route: Route) -> Iterator[tuple[mpf, mpf]]:
    width = panel.hi - panel.lo
    for node, weight in _rule(route.degree, mp.prec):
        if not panel.singular:
            yield panel.lo + width * (1 + node) / 2, weight * width / 2
            continue
        t = (1 + node) / 2
        power = t ** (route.power - 1)
        moved = width * power * t
        x = panel.lo + moved if panel.singular < 0 else panel.hi - moved
        yield x, weight * width * route.power * power / 2


def _half_width(digits: int, mean: float, std: float, gauss: float, rate: float, order: int = 0) -> mpf:
    """Beyond which exp(-x^2/2) |sigma(mean + std x)| x^order (and powers up to 24) is below 10**-digits."""
    width = 6.0
    while True:
        size = abs(mean) + std * width
        log = gauss * size**2 + rate * size + (24 + order) * math.log1p(width) - width**2 / 2
        if log < -digits * math.log(10):
            return mpf(width)
        width += 0.5


def coefficients(function: Function, mean: float, std: float, order: int, route: Route) -> tuple[list[mpf], mpf]:
    """E[sigma(mean + std x) He_k(x)] for k <= order, and the root of E[sigma^2]."""
    with mp.workdps(route.digits + 15):
        m, s = mpf(mean), mpf(std)
        cuts = [(cut - m) / s for cut in function.cut_points()]
        centres = [((c - mean) / std, d / std) for c, d in function.centres]
        if function.bell:  # entire, but it turns from one limit to the other on the scale 1 around 0
            centres.append((-mean / std, 1 / std))
        reach = _half_width(route.digits + 5, mean, std, function.gauss, function.rate, order)
        # a kink in the far tail is followed there, so that the integral is known relative to its own size
        reach += max((abs(cut) for cut in cuts if abs(cut) < 45), default=mpf(0))
        sums, square = [mpf(0)] * (order + 1), mpf(0)
        for panel in _panels(reach, cuts, centres, function.frequency * std, route):
            for x, w in _points(panel, route):
                value = function.value(m + s * x)
                if not value:
                    continue
                weighted = w * mp.exp(-x * x / 2) * value
                square += weighted * value
                previous, current = mpf(0), weighted
                for k in range(order + 1):
                    sums[k] += current
                    previous, current = current, x * current - k * previous
        norm = mp.sqrt(2 * mp.pi)
        return [total / norm for total in sums], mp.sqrt(square / norm)


def _mean_power(degree: mpf, mean: mpf, noise: mpf) -> mpf:
    """E[|mean + noise u|^degree], Kummer's function of -(mean/noise)^2/2."""
    size = noise**degree * mp.mpf(2) ** (degree / 2) * mp.gamma((degree + 1) / 2) / mp.sqrt(mp.pi)
    return size * mp.hyp1f1(-degree / 2, mpf(1) / 2, -((mean / noise) ** 2) / 2)


def product(names: Sequence[str], derivatives: Sequence[int], means: Sequence[float]) -> Part:
    """The product of fields g_i^(n_i)(mean_i + c) as a function of c."""
    functions = [FUNCTIONS[name] for name in names]
    parts = [(f.part(n), mpf(m)) for f, n, m in zip(functions, derivatives, means, strict=True)]

    def value(c: mpf) -> mpf:
        total = mpf(1)
        for part, mean in parts:
            total *= part(mean + c)
            if not total:
                break
        return total

    formula: Callable[[mpf, mpf], mpf] | None = None
    if len(parts) == 1 and names[0] in PIECES:
        start = mpf(means[0])

        def formula(c: mpf, noise: mpf) -> mpf:
            return piecewise_mean(names[0], derivatives[0], start + c, noise)

    elif len(parts) == 1 and functions[0].parity == "even" and functions[0].degree is not None and not derivatives[0]:
        middle, degree = mpf(means[0]), functions[0].degree

        def formula(c: mpf, noise: mpf) -> mpf:
            return _mean_power(mpf(degree), middle + c, noise)

    both = list(zip(functions, means, strict=True))
    return Part(
        value if len(parts) > 1 or means[0] else parts[0][0],
        [cut - mpf(m) for f, m in both for cut in f.cut_points()],
        [(c - m, d) for f, m in both for c, d in f.centres],
        sum(f.frequency for f in functions),
        sum(f.bell for f in functions),
        sum(f.gauss for f in functions),
        sum(f.rate for f in functions),
        formula,
    )


def _trapezoid_step(part: Part, noise: float, digits: int) -> float | None:
    """Step at which the trapezoidal rule in u gives E[value(t + noise u)] for an analytic function, None for others."""
    if part.cuts or part.gauss or part.rate:
        return None
    near = min((d / noise for _, d in part.centres), default=math.inf)
    if near < 0.5:
        return None
    size = digits * math.log(10)
    return min(
        2 * math.pi * 0.9 * near / size,
        2 * math.pi / (math.sqrt(2 * size * (1 + part.bell * noise**2)) + part.frequency * noise + 2),
    )


def _smoothed(part: Part, noise: mpf, route: Route) -> Map:
    """The map t -> E[value(t + noise u)], u standard normal."""
    if not noise:
        return functools.lru_cache(maxsize=None)(part.value)
    b = float(noise)
    root = mp.sqrt(2 * mp.pi)
    step = _trapezoid_step(part, b, route.digits)
    reach = _half_width(route.digits + 3, 20.0 if part.rate else 0.0, b, part.gauss, part.rate)
    if step is not None:
        h = mpf(step)
        count = int(reach / h) + 1
        rule = [(noise * h * n, h * mp.exp(-((h * n) ** 2) / 2) / root) for n in range(-count, count + 1)]
        return functools.lru_cache(maxsize=None)(lambda t: mp.fdot((w, part.value(t + u)) for u, w in rule))

    def smoothed(t: mpf) -> mpf:
        place = float(t)
        cuts = [(cut - t) / noise for cut in part.cuts]
        centres = [((c - place) / b, d / b) for c, d in part.centres]
        total = mpf(0)
        for panel in _panels(reach, cuts, centres, part.frequency * b, route):
            for u, w in _points(panel, route):
                value = part.value(t + noise * u)
                if value:
                    total += w * mp.exp(-u * u / 2) * value
        return total / root

    if part.mean is not None:
        formula = part.mean
        for t in (mpf(0), noise):  # the formula has to agree with the integral
            assert abs(smoothed(t) - formula(t, noise)) < mpf(10) ** (10 - route.digits)
        return functools.lru_cache(maxsize=None)(lambda t: formula(t, noise))
    return functools.lru_cache(maxsize=None)(smoothed)


def common_factors(parts: Sequence[Part], loadings: Sequence[Sequence[mpf]], noise: Sequence[mpf], route: Route) -> mpf:
    """E[prod_v value_v(loadings_v . w + noise_v u_v)], w and u standard normal, given w the parts are independent."""
    maps = [_smoothed(part, b, route) for part, b in zip(parts, noise, strict=True)]
    constant, moving = mpf(1), []
    for part, load, b, smoothed in zip(parts, loadings, noise, maps, strict=True):
        if any(load):
            moving.append((part, load, b, smoothed))
        else:
            constant *= smoothed(mpf(0))
    if not moving or not constant:
        return constant
    if len(moving[0][1]) == 1:
        return constant * _one_factor(moving, route)
    return constant * _grid(moving, route)


_Moving = list[tuple[Part, Sequence[mpf], mpf, Map]]


def _one_factor(moving: _Moving, route: Route) -> mpf:
    cuts: list[mpf] = []
    centres: list[tuple[float, float]] = []
    frequency, log_rate, log_gauss = 0.0, 0.0, 0.0
    smooth = True
    for part, (load,), b, _ in moving:
        a, noise = float(load), float(b)
        if noise:
            # a kink seen through noise is entire, and varies on the scale of the noise
            centres += [(float(cut) / a, noise / abs(a)) for cut in part.cuts]
            centres += [(c / a, max(d, noise) / abs(a)) for c, d in part.centres]
            smooth &= noise > 0.45
        else:
            cuts += [cut / load for cut in part.cuts]
            centres += [(c / a, d / abs(a)) for c, d in part.centres]
            smooth = False
        frequency += part.frequency * abs(a)
        log_rate += part.rate * abs(a)
        log_gauss += part.gauss / (1 - 2 * part.gauss * noise**2) * a * a
    reach = _half_width(route.digits + 3, 0.0, 1.0, log_gauss, log_rate)
    if smooth and not frequency and not log_rate and not log_gauss:
        return _grid(moving, route)
    total = mpf(0)
    for panel in _panels(reach, cuts, centres, frequency, route):
        for w, weight in _points(panel, route):
            term = weight * mp.exp(-w * w / 2)
            for _, (load,), _, smoothed in moving:
                term *= smoothed(load * w)
                if not term:
                    break
            total += term
    return total / mp.sqrt(2 * mp.pi)


def _grid(moving: _Moving, route: Route) -> mpf:
    """The trapezoidal rule in one or two factors, for integrands analytic in a wide strip.

    The loadings are short binary fractions, so the arguments of a map repeat and its memory pays.
    """
    h = mpf(route.step)
    count = int(_half_width(route.digits - 8, 0.0, 1.0, 0.0, 0.0) / h) + 1
    line = [(n * h, mp.exp(-((n * h) ** 2) / 2)) for n in range(-count, count + 1)]
    total = mpf(0)
    if len(moving[0][1]) == 1:
        for w, weight in line:
            term = weight
            for _, (load,), _, smoothed in moving:
                term *= smoothed(load * w)
            total += term
        return total * h / mp.sqrt(2 * mp.pi)
    floor = mpf(10) ** (-route.digits)
    for w, weight in line:
        for v, other in line:
            term = weight * other
            if term < floor:
                continue
            for _, (a, b), _, smoothed in moving:
                term *= smoothed(a * w + b * v)
            total += term
    return total * h * h / (2 * mp.pi)


def norm(part: Part, std: float, route: Route) -> mpf:
    """The root of E[value(std x)^2]."""
    squared = part._replace(
        value=lambda c: part.value(c) ** 2,
        frequency=2 * part.frequency,
        gauss=2 * part.gauss,
        rate=2 * part.rate,
        mean=None,
    )
    with mp.workdps(route.digits + 15):
        return mp.sqrt(common_factors([squared], [[mpf(std)]], [mpf(0)], route))


def on_a_half_line_each(
    functions: Sequence[Callable[[mpf], mpf]], loadings: Sequence[Sequence[mpf]], degree: mpf, route: Route
) -> mpf:
    """E[prod g_i(a_i . w)] over two standard normals w, for g_i homogeneous on each half-line, of total `degree`.

    In polar coordinates the radius gives a Gamma function; the angle is cut where a field vanishes.
    """
    with mp.workdps(route.digits + 15):
        zeros = sorted({mp.atan2(-a, b) % mp.pi for a, b in loadings})
        cuts = [zero + turn * mp.pi for turn in (0, 1) for zero in zeros]
        cuts.append(cuts[0] + 2 * mp.pi)
        total = mpf(0)
        for lo, hi in itertools.pairwise(cuts):
            middle = (lo + hi) / 2
            for a, b in ((lo, middle), (middle, hi)):
                for angle, w in _points(_Panel(a, b, 0), route):
                    x, y = mp.cos(angle), mp.sin(angle)
                    term = w
                    for g, (p, q) in zip(functions, loadings, strict=True):
                        term *= g(p * x + q * y)
                    total += term
        return total * mp.gamma(degree / 2 + 1) * mpf(2) ** (degree / 2) / (2 * mp.pi)
