"""Formulas known from the literature, as a route of their own where a problem has one.

Sources: Saad & Solla (1995) for the error function; Cho & Saul (2009), the arc-cosine kernels, for ReLU; Sheppard
(1899) for the sign; integration by parts for piecewise polynomials; Isserlis (1918) for polynomials.
"""

from collections.abc import Sequence
from fractions import Fraction

from mpmath import mp, mpf

from .functions import FUNCTIONS
from .gaussian_integrals import Coefficients, Moment
from .piecewise import PIECES, density, hermite, number, right_of, shifted

__all__ = ["closed_coefficients", "closed_moment", "pairings"]


def closed_coefficients(problem: Coefficients) -> list[mpf] | None:
    """The coefficients of a problem from its formula, at the current precision; None if no formula is kept here."""
    name, order = problem.function, problem.order
    m, s = mpf(problem.mean), mpf(problem.std)
    orders = range(order + 1)
    polynomial = FUNCTIONS[name].polynomial
    if polynomial is not None:
        return right_of(None, shifted([number(str(c)) for c in polynomial], m, s), order)
    if name in PIECES:
        total = [mpf(0)] * (order + 1)
        for cut, text in PIECES[name]:
            p = shifted([number(c) for c in text.split()], m, s)
            t = None if cut is None else (number(str(cut)) - m) / s
            total = [a + b for a, b in zip(total, right_of(t, p, order), strict=True)]
        return total
    if name in ("exp", "exp 2z", "exp -3z"):
        a = mpf({"exp": 1, "exp 2z": 2, "exp -3z": -3}[name])
        return [(a * s) ** k * mp.exp(a * m + (a * s) ** 2 / 2) for k in orders]
    waves = {"sin": (1, 0, 1), "cos": (1, 0, 0), "sin 3z": (3, 0, 1), "sin 10z": (10, 0, 1), "cos(25z+1)": (25, 1, 0)}
    if name in waves:
        a, shift, imaginary = waves[name]
        found = []
        for k in orders:
            value = (mp.j * a * s) ** k * mp.exp(mp.j * (a * m + shift) - (a * s) ** 2 / 2)
            found.append(value.imag if imaginary else value.real)
        return found
    if name == "erf":
        d = mp.sqrt(1 + s * s)
        slopes = [2 * s * (-s / d) ** k * h * density(m / d) / d for k, h in enumerate(hermite(order - 1, m / d))]
        return [mp.erf(m / d / mp.sqrt(2)), *slopes]
    return None


def closed_moment(problem: Moment) -> mpf | None:
    """E of a moment problem from its formula, or None."""
    functions = [FUNCTIONS[f] for f in problem.functions]
    if all(f.polynomial is not None for f in functions):
        return number(str(_polynomial_moment(problem)))
    c = [[mpf(entry) for entry in row] for row in problem.covariance]
    if any(problem.mean) or len(c) < 2:
        return None
    key = (problem.functions, problem.derivatives)
    if len(c) == 2 and not (c[0][0] and c[1][1]):
        return None
    if problem.functions[0] == "erf" and set(problem.functions) <= {"erf", "identity"}:
        if len(c) == 3:
            return _erf_three(c)
        if len(c) == 4:
            return _erf_four(c)
        top = (1 + c[0][0]) * (1 + c[1][1])
        if problem.derivatives == (0, 0):
            return 2 / mp.pi * mp.asin(c[0][1] / mp.sqrt(top))
        return 2 / mp.pi / mp.sqrt(top - c[0][1] ** 2) if problem.derivatives == (1, 1) else None
    if len(c) > 2:
        return None
    size = mp.sqrt(c[0][0] * c[1][1])
    r = c[0][1] / size
    root = mp.sqrt((1 - r) * (1 + r))
    angle = mp.atan2(root, r)  # acos(r), accurate near 0 and pi
    if key == (("relu", "relu"), (0, 0)):
        return size * (root + r * (mp.pi - angle)) / (2 * mp.pi)
    if key == (("relu", "relu"), (1, 1)):
        return (mp.pi - angle) / (2 * mp.pi)
    if key == (("abs", "abs"), (0, 0)):
        return 2 * size * (root + r * (mp.pi / 2 - angle)) / mp.pi
    if key == (("sign", "sign"), (0, 0)):
        return 1 - 2 * angle / mp.pi
    return None


def _erf_three(c: list[list[mpf]]) -> mpf:
    top = (1 + c[0][0]) * (1 + c[2][2]) - c[0][2] ** 2
    return 2 / mp.pi / mp.sqrt(top) * (c[1][2] * (1 + c[0][0]) - c[0][1] * c[0][2]) / (1 + c[0][0])


def _erf_four(c: list[list[mpf]]) -> mpf:
    k, l = 1 + c[0][0], 1 + c[1][1]
    l4 = k * l - c[0][1] ** 2

    def partial(a: int, b: int) -> mpf:
        plus = l4 * (c[a][b] + (1 if a == b else 0))
        cross = c[0][1] * (c[0][a] * c[1][b] + c[0][b] * c[1][a])
        return plus - c[1][a] * c[1][b] * k - c[0][a] * c[0][b] * l + cross

    # in the arcsine's numerator the unit of the diagonal is absent even if the last two fields agree
    numerator = partial(2, 3)
    return 4 / mp.pi**2 / mp.sqrt(l4) * mp.asin(numerator / mp.sqrt(partial(2, 2) * partial(3, 3)))


def pairings(items: Sequence[int]) -> list[list[tuple[int, int]]]:
    """All ways to pair the items off."""
    if not items:
        return [[]]
    first, *rest = items
    found = []
    for i, partner in enumerate(rest):
        found += [[(first, partner), *more] for more in pairings(rest[:i] + rest[i + 1 :])]
    return found


def _polynomial_moment(problem: Moment) -> Fraction:
    """Isserlis: multiply out the polynomials of the centred fields, then sum over all pairings of each monomial."""
    law = [[Fraction(entry) for entry in row] for row in problem.covariance]
    powers: dict[tuple[int, ...], Fraction] = {(): Fraction(1)}
    for name, n, mean in zip(problem.functions, problem.derivatives, problem.mean, strict=True):
        p = list(FUNCTIONS[name].polynomial or ())
        for _ in range(n):
            p = [k * c for k, c in enumerate(p)][1:]
        centred: list[Fraction] = []
        for c in reversed(p):  # Horner at mean + x
            centred = [Fraction(0), *centred] if centred else [Fraction(0)]
            for i in range(len(centred) - 1):
                centred[i] += Fraction(mean) * centred[i + 1]
            centred[0] += c
        powers = {(*key, k): a * b for key, a in powers.items() for k, b in enumerate(centred) if a * b}
    total = Fraction(0)
    for exponents, coefficient in powers.items():
        fields = [i for i, k in enumerate(exponents) for _ in range(k)]
        if len(fields) % 2:
            continue
        for pairing in pairings(fields):
            term = coefficient
            for a, b in pairing:
                term *= law[a][b]
            total += term
    return total
