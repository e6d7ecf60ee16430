"""Stein's recursion on the few functions of the mean that a component needs: closed forms that stay short.

With h_k = E[sigma(m + s x) He_k(x)], two consequences of Stein's lemma give everything from the expectation of a bare
factor:

    E[(z - e) g(z)] = (m - e + s^2 d/dm) E[g(z)],        h_(k+1) = s dh_k/dm.

A component leads to one to three functions of m, its atoms, which s d/dm maps into sums of polynomials times atoms:
exponentials give one atom, sines a cosine and a sine, an error function itself and the Gaussian that is its derivative,
a step a probability and the density at its kink. All steps at one kink share that density, so that what cancels in a
continuous function does. The coefficients live in a polynomial ring in m - e, or (m - e)/s, and the few parameters that
are no numbers: expressions are built once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import sympy as sp
from sympy.polys.rings import PolyElement, PolyRing

from .components import Component, NoClosedForm

__all__ = ["Atom", "SteinSystem", "stein_systems"]

_Vector = list[PolyElement]
# Longer coefficients are nested.
_FLAT_TERMS = 12


class Atom(NamedTuple):
    """A function of the mean.

    Parameters
    ----------
    value : sympy.Expr
        In terms of m and s.
    is_density : bool
        Whether it is the Gaussian that another atom's derivative leads to.
    """

    value: sp.Expr
    is_density: bool


class SteinSystem:
    """The Hermite coefficients of components that share their atoms.

    Parameters
    ----------
    components : sequence of Component
        One component, or steps at one and the same kink.
    mean, std : sympy.Expr
        m and s, exact or symbolic.

    Raises
    ------
    NoClosedForm
        If the expectation is infinite at this s.
    """

    def __init__(self, components: Sequence[Component], mean: sp.Expr, std: sp.Expr) -> None:
        self.components = tuple(components)
        self.mean, self.std = mean, std
        self._origin = components[0].origin
        self._held: dict[sp.Expr, sp.Symbol] = {}
        # The mean enters as m - e, or, at a kink, as t = (m - e)/s.
        stepwise = components[0].is_step
        self._x = sp.Dummy("x")
        self._values: dict[sp.Symbol, sp.Expr] = {
            self._x: (mean - self._origin) / std if stepwise else mean - self._origin
        }
        self._s = self._hold(std)
        self._distance = self._s * self._x if stepwise else self._x  # m - e
        # what s d/dm makes of the generators that depend on m
        self._moves: dict[sp.Symbol, sp.Expr] = {self._x: sp.S.One if stepwise else self._s}
        self._relations: list[sp.Expr] = []  # polynomials in the generators that vanish at their values
        self.atoms: list[Atom] = []
        self._matrix: list[dict[int, sp.Expr]] = []
        starts = [self._add(component) for component in components]
        weights = [[self._hold(c) for c in component.coefficients] for component in components]
        self._ring = PolyRing([*self._values], sp.QQ, sp.polys.orderings.lex)
        element: Callable[[sp.Expr], PolyElement] = self._ring.from_expr
        self._rows = [[(j, element(e)) for j, e in row.items()] for row in self._matrix]
        self._derivations = [(self._ring.index(self._ring(g)), element(e)) for g, e in self._moves.items()]
        self._ideal = [element(e) for e in self._relations]
        self._position, self._scale = element(self._distance), element(self._s)
        first = [self._ring.zero] * len(self.atoms)
        for start, coefficients in zip(starts, weights, strict=True):
            vector = [self._ring.zero] * len(self.atoms)
            vector[start] = self._ring.one
            for place, c in enumerate(coefficients):
                if place:
                    vector = self._times_position(vector)
                first = [a + element(c) * b for a, b in zip(first, vector, strict=True)]
        self._known: list[_Vector] = [first]

    # -- the atoms of a component -------------------------------------------------------------------------------------

    def _hold(self, value: sp.Expr) -> sp.Expr:
        """A number as it is, anything else as a generator of the ring."""
        if value.is_Rational:
            return value
        if value not in self._held:
            self._held[value] = sp.Dummy("p")
            self._values[self._held[value]] = value
        return self._held[value]

    def _rate(self, c: sp.Expr, d: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """(u, 1/D) with s dF/dm = -u F for F = E[exp(-c z^2 + d z)] and D = 1 + 2 c s^2: u = s (2 c m - d)/D."""
        s, m, e = self.std, self.mean, self._origin
        den = 1 + 2 * c * s**2
        if den.is_nonpositive:
            raise NoClosedForm
        inverse = self._hold(1 / den)
        if c.is_Rational and c and not inverse.is_Rational:
            self._relations.append(inverse * (1 + 2 * c * self._s**2) - 1)
        growth = 2 * self._hold(c) * self._s**2 * inverse  # s du/dm
        offset = 2 * c * e - d
        if offset == 0 or c == 0 or all(v.is_Rational for v in (s, c, d, e)):
            return self._s * inverse * (self._hold(offset) + 2 * self._hold(c) * self._distance), inverse
        value = s * (2 * c * m - d) / den
        u = self._held.setdefault(value, sp.Dummy("u"))
        self._values[u], self._moves[u] = value, growth
        return u, inverse

    def _new(self, value: sp.Expr, is_density: bool = False) -> int:
        self.atoms.append(Atom(value, is_density))
        self._matrix.append({})
        return len(self.atoms) - 1

    def _add(self, component: Component) -> int:
        """The atoms of a component; the place of the one that is the expectation without the polynomial."""
        if component.is_step:
            return self._add_step(component)
        if component.factor == "erf":
            return self._add_erf(component)
        if component.factor in ("sin", "cos"):
            return self._add_wave(component)
        rate, _ = self._rate(component.rate, component.slope)
        place = self._new(tilting_weight(component.rate, component.slope, self.mean, self.std))
        self._matrix[place] = {place: -rate}
        return place

    def _add_step(self, component: Component) -> int:
        """F Phi(T) for 1(z > e), and the density at e: s d/dm (F Phi(T)) = -u F Phi(T) + (F exp.. phi(t))/D."""
        c, d, e = component.rate, component.slope, component.origin
        rate, inverse = self._rate(c, d)
        weight = tilting_weight(c, d, self.mean, self.std)
        place = self._new(weight * step_probability(component, self.mean, self.std))
        density = next((i for i, atom in enumerate(self.atoms) if atom.is_density), None)
        if density is None:
            density = self._new(normal_density((self.mean - e) / self.std), True)
            self._matrix[density] = {density: -self._x}
        jump = {"right": 1, "left": -1, "sign": 2}[component.factor]
        self._matrix[place] = {place: -rate, density: jump * self._hold(sp.exp(-c * e**2 + d * e)) * inverse}
        return place

    def _add_erf(self, component: Component) -> int:
        """F erf(Y), and G = E[exp(-c z^2 + d z) exp(-(a z + b)^2)], which its derivative brings in."""
        c, d, a, b = component.rate, component.slope, component.inner, component.shift
        rate, inverse = self._rate(c, d)
        steeper, moved = sp.expand(c + a**2), sp.expand(d - 2 * a * b)
        inner_rate, _ = self._rate(steeper, moved)
        place = self._new(tilting_weight(c, d, self.mean, self.std) * mean_of_erf(component, self.mean, self.std))
        density = self._new(
            2 * a / sp.sqrt(sp.pi) * sp.exp(-(b**2)) * tilting_weight(steeper, moved, self.mean, self.std), True
        )
        self._matrix[place] = {place: -rate, density: self._s * inverse}
        self._matrix[density] = {density: -inner_rate}
        return place

    def _add_wave(self, component: Component) -> int:
        """R cos(theta) and R sin(theta): real and imaginary part of the tilting weight for the slope d + i a."""
        c, d, a, b = component.rate, component.slope, component.inner, component.shift
        m, s = self.mean, self.std
        rate, inverse = self._rate(c, d)
        turn = self._hold(a) * self._s * inverse
        den = 1 + 2 * c * s**2
        size = tilting_weight(c, d, m, s) * sp.exp(-(a**2) * s**2 / (2 * den))
        phase = a * (m + d * s**2) / den + b
        cosine, sine = self._new(size * sp.cos(phase)), self._new(size * sp.sin(phase))
        self._matrix[cosine] = {cosine: -rate, sine: -turn}
        self._matrix[sine] = {sine: -rate, cosine: turn}
        return cosine if component.factor == "cos" else sine

    # -- the recursion ------------------------------------------------------------------------------------------------

    def _derivative(self, vector: _Vector) -> _Vector:
        """The operator s d/dm."""
        result = [self._ring.zero] * len(vector)
        for i, a in enumerate(vector):
            if not a:
                continue
            for generator, move in self._derivations:
                slope = a.diff(generator)
                if slope:
                    result[i] += slope * move
            for j, entry in self._rows[i]:
                result[j] += a * entry
        return result

    def _times_position(self, vector: _Vector) -> _Vector:
        """What a factor z - e under the expectation does: m - e + s^2 d/dm."""
        moved = self._derivative(vector)
        return [self._position * a + self._scale * b for a, b in zip(vector, moved, strict=True)]

    def coefficient(self, k: int) -> sp.Expr:
        """h_k of the sum of the components.

        Parameters
        ----------
        k : int
            Order.

        Returns
        -------
        sympy.Expr
        """
        while len(self._known) <= k:
            self._known.append(self._derivative(self._known[-1]))
        pairs = zip(self._known[k], self.atoms, strict=True)
        return sp.Add(*(self._expression(a, atom.is_density) * atom.value for a, atom in pairs if a))

    def _expression(self, element: PolyElement, with_content: bool) -> sp.Expr:
        """A ring element with the generators' values; powers common to all terms in front where asked for."""
        if self._ideal:  # 2 c s^2/D = 1 - 1/D, where that makes it shorter
            common = _common(element)
            rest = element.quo_term((common, sp.QQ.one))
            element = min(element, rest.rem(self._ideal).mul_monom(common), key=len)
        numbers: list[tuple[int, Any]] = []
        values = [self._values[symbol] for symbol in self._ring.symbols]
        for i, value in enumerate(values):
            if value.is_Rational:
                numbers.append((i, sp.QQ(int(value.p), int(value.q))))
        collected: dict[tuple[int, ...], Any] = {}
        for monomial, coefficient in element.items():
            rest = list(monomial)
            for i, number in numbers:
                coefficient, rest[i] = coefficient * number ** rest[i], 0
            collected[tuple(rest)] = collected.get(tuple(rest), 0) + coefficient
        terms = {monomial: c for monomial, c in collected.items() if c}
        if not terms:
            return sp.S.Zero
        common = _common(terms) if with_content and len(terms) > 1 else (0,) * len(values)
        rest = {tuple(n - k for n, k in zip(monomial, common, strict=True)): c for monomial, c in terms.items()}
        return self._product(common, values) * self._sum(rest, values)

    def _sum(self, terms: dict[tuple[int, ...], Any], values: Sequence[sp.Expr], place: int = 0) -> sp.Expr:
        """A long sum is nested: by the powers of the first generator, then of the next, and so on."""
        if len(terms) <= _FLAT_TERMS or place == len(values):
            return sp.Add(*(sp.QQ.to_sympy(c) * self._product(monomial, values) for monomial, c in terms.items()))
        groups: dict[int, dict[tuple[int, ...], Any]] = {}
        for monomial, c in terms.items():
            rest = (*monomial[:place], 0, *monomial[place + 1 :])
            groups.setdefault(monomial[place], {})[rest] = c
        return sp.Add(*(values[place] ** n * self._sum(group, values, place + 1) for n, group in groups.items()))

    @staticmethod
    def _product(powers: Sequence[int], values: Sequence[sp.Expr]) -> sp.Expr:
        return sp.Mul(*(value**n for value, n in zip(values, powers, strict=True) if n))


def _common(terms: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """The largest monomial that divides all."""
    return tuple(map(min, zip(*terms, strict=True)))


def tilting_weight(c: sp.Expr, d: sp.Expr, mean: sp.Expr, std: sp.Expr) -> sp.Expr:
    """F = E[exp(-c z^2 + d z)] for z ~ N(mean, std^2), with D = 1 + 2 c std^2.

    F = exp((-c m^2 + d m + d^2 s^2/2)/D)/sqrt(D), for c != 0 with a full square:
    F = exp(-c (m - d/(2 c))^2/D + d^2/(4 c))/sqrt(D).
    """
    if c == 0:
        return sp.exp(d * mean + d**2 * std**2 / 2)
    den = 1 + 2 * c * std**2
    return sp.exp(d**2 / (4 * c)) * sp.exp(-c * (mean - d / (2 * c)) ** 2 / den) / sp.sqrt(den)


def normal_density(x: sp.Expr) -> sp.Expr:
    """exp(-x^2/2)/sqrt(2 pi)."""
    return sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)


def step_probability(component: Component, mean: sp.Expr, std: sp.Expr) -> sp.Expr:
    """E[factor] under the tilted law: Phi(T), Phi(-T) or 2 Phi(T) - 1 = erf(T/sqrt 2).

    T = (m + d s^2 - e D)/(s sqrt(D)) is the distance of the tilted mean from the kink in tilted standard deviations.
    """
    den = 1 + 2 * component.rate * std**2
    t = (mean + component.slope * std**2 - component.origin * den) / (std * sp.sqrt(2 * den))
    if component.factor == "sign":
        return sp.erf(t)
    if component.factor == "left":
        t = -t
    tail = sp.erfc(-t) / 2  # small without a cancellation where the probability is
    return (1 + sp.erf(t)) / 2 if tail.is_Add else tail


def mean_of_erf(component: Component, mean: sp.Expr, std: sp.Expr) -> sp.Expr:
    """E[erf(a z + b)] under the tilted law: erf(Y), Y = (a mu + b)/sqrt(1 + 2 a^2 tau^2).

    erf(y) = P(|g| < y) sign(y) for g of variance 1/2, independent of y: variances add. With the tilted mean
    mu = (m + d s^2)/D and variance tau^2 = s^2/D this is Y = (a (m + d s^2) + b D)/sqrt(D (D + 2 a^2 s^2)).
    """
    c, d, a, b = component.rate, component.slope, component.inner, component.shift
    den = 1 + 2 * c * std**2
    return sp.erf((a * (mean + d * std**2) + b * den) / sp.sqrt(den * (den + 2 * a**2 * std**2)))


@lru_cache(maxsize=256)
def stein_systems(components: tuple[Component, ...], mean: sp.Expr, std: sp.Expr) -> tuple[SteinSystem, ...]:
    """The systems whose coefficients add up to those of the components.

    Parameters
    ----------
    components : tuple of Component
        Their sum is the function.
    mean, std : sympy.Expr
        m and s, exact or symbolic.

    Returns
    -------
    tuple of SteinSystem
        One for each kink, and one for each component on the whole line.

    Raises
    ------
    NoClosedForm
        If the expectation is infinite at this s.
    """
    groups: dict[object, list[Component]] = {}
    for number, component in enumerate(components):
        groups.setdefault(("kink", component.origin) if component.is_step else number, []).append(component)
    return tuple(SteinSystem(group, mean, std) for group in groups.values())
