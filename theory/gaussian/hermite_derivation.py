"""The proof of a closed form of Hermite coefficients, as a derivation of checked steps.

The order is that of a calculation by hand: split at the kinks, tilt the exponentials into the law, lower the powers by
Stein's lemma with its boundary terms, and run Stein's recursion h_(k+1) = s dh_k/dm. Every step is checked when it is
built, on a route that shares nothing with the recursion that proposed the formula.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import sympy as sp

from ..derivation import Checker, Derivation, Statement, Step
from ..errors import DerivationError, argument_error
from ..formula import hermite_he
from ..notation import z
from .components import Component, NoClosedForm, components_of
from .expectation import GaussianExpectation
from .hermite import exact_coefficient, exact_number
from .hermite_checks import AtPoints, Identity, OnPieces, SameDensity
from .stein_system import SteinSystem, tilting_weight

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["derive_hermite"]

_m = sp.Symbol("m", real=True)
_s = sp.Symbol("s", positive=True)
_FACTOR_REASONS = {
    "erf": "erf is a probability of an independent Gaussian of variance 1/2: variances add",
    "sin": "characteristic function of the Gaussian",
    "cos": "characteristic function of the Gaussian",
    "right": "probability of a half-line",
    "left": "probability of a half-line",
    "sign": "probabilities of the two half-lines",
}


def derive_hermite(
    activation: "Activation", order: int, mean: sp.Expr | int | None = None, std: sp.Expr | int | None = None
) -> Derivation:
    """Derive h_k = E[sigma(m + s x) He_k(x)], x ~ N(0, 1), for k = 0, ..., `order`, with the proof.

    Parameters
    ----------
    activation : Activation
        sigma; h_0 must have a closed form.
    order : int
        Largest k, at least 0.
    mean, std : sympy.Expr or int, optional
        m and s > 0. By default, and where they are symbols, the formulas hold for all m and s; numbers are put in at
        the end, each with a check of its own.

    Returns
    -------
    Derivation
        Statements ``"parts"`` (the function as a sum), ``"1.0"``, ``"1.1"``, ... (expectation of the first part's
        factor, alone and times powers), and ``"h0"``, ``"h1"``, ...; with numbers also ``"h0 at the point"``, ...

    Raises
    ------
    AssumptionError
        If an argument is not of this kind, or h_0 has no closed form.
    DerivationError
        If a check fails: the message starts with the step's reason.

    Notes
    -----
    *Validity.* E[sigma(m + s x)^2] finite: with a growing exp(a z^2) the formulas hold for 2 a s^2 < 1.

    >>> from hermiton.theory.activation import Activation
    >>> derive_hermite(Activation("relu"), 2).statement("h2").rhs
    sqrt(2)*s*exp(-m**2/(2*s**2))/(2*sqrt(pi))
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        raise argument_error("order", order, "is not a count", "use an integer >= 0")
    values = {
        symbol: exact_number(name, value)
        for name, symbol, value in (("mean", _m, mean), ("std", _s, std))
        if value is not None
    }
    if _s in values and (values[_s].is_nonpositive or (values[_s].is_number and not values[_s].is_positive)):
        raise argument_error("std", std, "is not positive", "use a positive standard deviation")
    symbols = tuple(values[x] if x in values and values[x].is_Symbol else x for x in (_m, _s))
    try:
        components = components_of(activation.pieces)
    except NoClosedForm:
        raise argument_error(
            "activation", activation, "has no closed form of h_0", "ask hermite_coefficients for numbers"
        ) from None
    builder = _Builder(activation, *symbols)
    statements = [*builder.parts(components)]
    for number, component in enumerate(components, 1):
        statements += builder.component(number, component)
    statements += builder.coefficients(order, components)
    point = {new: values[old] for old, new in zip((_m, _s), symbols, strict=True) if old in values}
    if any(symbol != value for symbol, value in point.items()):
        statements += builder.at(order, point)
    return Derivation(f"Hermite coefficients of {activation.name}", activation, tuple(statements), ())


def _step(lhs: sp.Expr, rhs: sp.Expr, reason: str, checker: Checker, symbol: str = "") -> Step:
    """A step whose failure says which step it was."""
    try:
        return Step(lhs, rhs, reason, checker, symbol=symbol)
    except DerivationError as error:
        raise DerivationError(f"{reason}: {error}") from error


class _Builder:
    """The statements of one activation, in m and s."""

    def __init__(self, activation: "Activation", mean: sp.Symbol, std: sp.Symbol) -> None:
        self.activation = activation
        self.mean, self.std = mean, std
        self.by_balls = AtPoints((mean, std))
        self.by_algebra = Identity((mean, std))

    def expectation(self, body: sp.Expr, mean: sp.Expr | None = None, variance: sp.Expr | None = None) -> sp.Expr:
        law = (self.mean, self.std**2) if mean is None else (mean, variance)
        return GaussianExpectation(body, (z,), sp.Matrix([[law[1]]]), [law[0]])

    def parts(self, components: tuple[Component, ...]) -> Iterator[Statement]:
        """The activation as a sum of components."""
        whole = sp.Add(*(c.expression for c in components))
        if whole == self.activation.expression:
            return
        kinks = tuple(c.origin for c in components if c.is_step)
        reason = "split at the kinks: each jump of a piece is a step" if kinks else "expand into sums"
        checker = OnPieces(tuple(sorted(set(kinks), key=lambda e: e.evalf(50))))
        step = _step(self.activation.expression, whole, reason, checker, r"\sigma(z)")
        yield Statement("parts", "The activation as a sum", (step,), source="hermiton")

    # -- one component ------------------------------------------------------------------------------------------------

    def component(self, number: int, component: Component) -> Iterator[Statement]:
        """Its factor alone, then times powers of z - origin: every power that occurs, and those below."""
        trivial = component.factor == "one" and component.rate == component.slope == 0
        for power in range(1 if trivial else 0, len(component.coefficients)):
            steps = tuple(self._moment(component, power))
            words = f"times {(z - component.origin) ** power}" if power else "alone"
            title = f"Part {number}, {component.exponential * component.factor_expression}, {words}"
            yield Statement(f"{number}.{power}", title, steps, source="hermiton")

    def closed(self, component: Component, power: int) -> sp.Expr:
        """E[(z - origin)^power * exponential * factor] as the recursion on the mean proposes it."""
        monomial = replace(component, coefficients=(sp.S.Zero,) * power + (sp.S.One,))
        return SteinSystem((monomial,), self.mean, self.std).coefficient(0)

    def _moment(self, component: Component, power: int) -> Iterator[Step]:
        c, d = component.rate, component.slope
        position = z - component.origin
        rest = position**power * component.factor_expression
        closed = self.closed(component, power)
        den = 1 + 2 * c * self.std**2
        mean, variance = (self.mean + d * self.std**2) / den, self.std**2 / den
        weight = tilting_weight(c, d, self.mean, self.std)
        current = self.expectation(component.exponential * rest)
        if c != 0 or d != 0:
            tilted = weight * self.expectation(rest, mean, variance)
            checker = SameDensity(-c * z**2 + d * z, (self.mean, self.std**2), (mean, variance), weight)
            yield _step(current, tilted, "tilting: the exponential is absorbed into the law", checker)
            current = tilted
        if not power:
            if current != closed:
                yield _step(current, closed, _FACTOR_REASONS[component.factor], self.by_balls)
            return
        lowered = weight * self._by_stein(component, power, mean, variance)
        reason = "Stein's lemma"
        if component.is_step and power == 1:
            reason = "half-line moments by Stein's lemma, with the boundary term at the kink"
        elif component.is_step:
            reason = "half-line moments by Stein's lemma; the boundary term vanishes at the kink"
        yield _step(current, lowered, reason, self.by_balls)
        if lowered != closed:
            yield _step(lowered, closed, "insert the lower moments", self.by_balls)

    def _by_stein(self, component: Component, power: int, mean: sp.Expr, variance: sp.Expr) -> sp.Expr:
        """E[y g] = E[y] E[g] + Var E[g'] for y = z - origin, g = y^(power - 1) * factor; g' has the jump's density."""
        position = z - component.origin
        factor = component.factor_expression
        slope = {
            "erf": 2 * component.inner / sp.sqrt(sp.pi) * sp.exp(-((component.inner * z + component.shift) ** 2)),
            "sin": component.inner * sp.cos(component.inner * z + component.shift),
            "cos": -component.inner * sp.sin(component.inner * z + component.shift),
        }.get(component.factor, sp.S.Zero)
        total = (mean - component.origin) * self.expectation(position ** (power - 1) * factor, mean, variance)
        if power > 1:
            total += (power - 1) * variance * self.expectation(position ** (power - 2) * factor, mean, variance)
        if slope != 0:
            total += variance * self.expectation(position ** (power - 1) * slope, mean, variance)
        if component.is_step and power == 1:
            jump = {"right": 1, "left": -1, "sign": 2}[component.factor]
            distance = component.origin - mean
            total += jump * variance * sp.exp(-(distance**2) / (2 * variance)) / sp.sqrt(2 * sp.pi * variance)
        return total

    # -- the coefficients ---------------------------------------------------------------------------------------------

    def coefficients(self, order: int, components: tuple[Component, ...]) -> Iterator[Statement]:
        """h_0 by linearity, the others by Stein's recursion."""
        body = self.activation.expression
        closed = [exact_coefficient(self.activation, k, self.mean, self.std) for k in range(order + 1)]
        current = self.expectation(body)
        terms = sp.Add(
            *(
                a * self.expectation((z - c.origin) ** j * c.exponential * c.factor_expression)
                for c in components
                for j, a in enumerate(c.coefficients)
            )
        )
        steps = []
        if terms != current:
            steps.append(_step(current, terms, "linearity of the expectation", self.by_balls, self._name(0)))
        symbol = "" if steps else self._name(0)
        steps.append(_step(terms, closed[0], "insert the expectations of the parts", self.by_balls, symbol))
        yield Statement("h0", "h_0", tuple(steps), source="hermiton")
        for k in range(1, order + 1):
            lhs = self.expectation(body * hermite_he(k, (z - self.mean) / self.std))
            middle = self.std * sp.Derivative(closed[k - 1], self.mean)
            steps = [_step(lhs, middle, "Stein's recursion: h_(k+1) = s dh_k/dm", self.by_balls, self._name(k))]
            if middle != closed[k]:
                steps.append(_step(middle, closed[k], "differentiate", self.by_algebra))
            yield Statement(f"h{k}", f"h_{k}", tuple(steps), source="hermiton")

    def at(self, order: int, point: dict[sp.Symbol, sp.Expr]) -> Iterator[Statement]:
        """The coefficients at given numbers."""
        mean, std = (symbol.xreplace(point) for symbol in (self.mean, self.std))
        left = tuple(sorted((mean.free_symbols | std.free_symbols), key=str))
        for k in range(order + 1):
            body = self.activation.expression * hermite_he(k, (z - mean) / std)
            value = exact_coefficient(self.activation, k, mean, std)
            step = _step(
                self.expectation(body, mean, std**2), value, f"put m = {mean}, s = {std}", AtPoints(left), self._name(k)
            )
            yield Statement(f"h{k} at the point", f"h_{k} at m = {mean}, s = {std}", (step,), source="hermiton")

    @staticmethod
    def _name(k: int) -> str:
        return f"h_{{{k}}}"
