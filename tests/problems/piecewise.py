"""Piecewise polynomials under the Gaussian law, by integration by parts."""

from collections.abc import Sequence
from fractions import Fraction

from mpmath import mp, mpf

__all__ = ["PIECES", "density", "hermite", "number", "piecewise_mean", "right_of", "shifted"]

# polynomial (from the constant upwards) that is added at each cut, going right; None for minus infinity
PIECES: dict[str, tuple[tuple[int | str | None, str], ...]] = {
    "relu": ((0, "0 1"),),
    "leaky": ((None, "0 1/100"), (0, "0 99/100")),
    "abs": ((None, "0 -1"), (0, "0 2")),
    "max(z,2)": ((None, "2"), (2, "-2 1")),
    "hard tanh": ((None, "-1"), (-1, "1 1"), (1, "1 -1")),
    "|z^2-1|": ((None, "-1 0 1"), (-1, "2 0 -2"), (1, "-2 0 2")),
    "relu^2": ((0, "0 0 1"),),
    "relu^3": ((0, "0 0 0 1"),),
    "|z|^3": ((None, "0 0 0 -1"), (0, "0 0 0 2")),
    "max(z-6,0)": ((6, "-6 1"),),
    "max(z-12,0)": ((12, "-12 1"),),
    "max(z-sqrt2,0)": (("sqrt2", "-sqrt2 1"),),
    "triangle": ((-1, "1 1"), (0, "0 -2"), (1, "-1 1")),
    "hard sigmoid": ((-3, "1/2 1/6"), (3, "1/2 -1/6")),
    "sign": ((None, "-1"), (0, "2")),
    "step(z-1)": ((1, "1"),),
    "step(z-8)": ((8, "1"),),
    "box": ((0, "1"), (1, "-1")),
    "thin box": ((1, "1"), ("1001/1000", "-1")),
    "three levels": ((None, "-1"), (-1, "1 0 1"), (1, "2 0 -1")),
    "staircase": ((None, "-2"), (-1, "1"), (0, "2"), (1, "1")),
    "max(z,z^2-2)": ((None, "-2 0 1"), (-1, "2 1 -1"), (2, "-2 -1 1")),
}


def number(text: str) -> mpf:
    """A ratio such as "-1/2", or a root such as "sqrt2" or "-sqrt2"."""
    sign, root, radicand = text.partition("sqrt")
    if root:
        return mp.sqrt(int(radicand)) * (-1 if sign else 1)
    fraction = Fraction(text)
    return mpf(fraction.numerator) / fraction.denominator


def density(x: mpf) -> mpf:
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def hermite(order: int, x: mpf) -> list[mpf]:
    values = [mpf(1), x]
    for k in range(1, order):
        values.append(x * values[k] - k * values[k - 1])
    return values[: order + 1]


def shifted(polynomial: Sequence[mpf], m: mpf, s: mpf) -> list[mpf]:
    """The coefficients of p(m + s x) in x."""
    found = [mpf(0)]
    for c in reversed(polynomial):
        times = [mpf(0), *(s * a for a in found)]
        for i, a in enumerate(found):
            times[i] += m * a
        times[0] += c
        found = times
    return found


def right_of(t: mpf | None, p: list[mpf], order: int) -> list[mpf]:
    """E[1(x > t) p(x) He_k(x)], k <= order: He_k phi = -(He_(k-1) phi)', by parts until nothing is left of k."""
    if t is None:
        moments = [mpf(1), mpf(0)]
        for n in range(2, len(p)):
            moments.append((n - 1) * moments[n - 2])
    else:
        moments = [mp.erfc(t / mp.sqrt(2)) / 2, density(t)]
        for n in range(2, len(p)):
            moments.append(t ** (n - 1) * density(t) + (n - 1) * moments[n - 2])
    found = [sum((c * a for c, a in zip(p, moments, strict=False)), mpf(0))]
    if not order:
        return found
    slope = [n * c for n, c in enumerate(p)][1:]
    below = right_of(t, slope, order - 1) if slope else [mpf(0)] * order
    if t is None:
        return found + below
    edge = mp.polyval(p[::-1], t) * density(t)
    return found + [edge * h + b for h, b in zip(hermite(order - 1, t), below, strict=True)]


def piecewise_mean(name: str, derivative: int, mean: mpf, std: mpf) -> mpf:
    """E[g^(n)(mean + std x)] for a function of the table; jumps of g^(n-1) would add to it and must not be there."""
    total = mpf(0)
    for cut, text in PIECES[name]:
        p = [number(c) for c in text.split()]
        for _ in range(derivative):
            p = [k * c for k, c in enumerate(p)][1:]
        if p:
            t = None if cut is None else (number(str(cut)) - mean) / std
            total += right_of(t, shifted(p, mean, std), 0)[0]
    return total
