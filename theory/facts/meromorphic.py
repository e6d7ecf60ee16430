"""Meromorphic functions as quotients of polynomials in z and exponentials, and their exact zeros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp

from ..notation import z
from .numbers import cartesian, complex_zero

__all__ = ["ENTIRE", "INVERSE", "Family", "Quotient", "Unsolved", "W", "quotient", "shown", "zeros"]

W = sp.Dummy("w")
"""z as a complex variable: SymPy must not use that it is real."""

ENTIRE = (sp.exp, sp.erf, sp.erfi)
INVERSE = (sp.log, sp.atan, sp.asinh, sp.asin, sp.acos, sp.atanh)
_LEVELS = 4  # how many solutions of exp(u) = c are followed up and down
_MAX_ORDER = 8


class Unsolved(Exception):
    """The equation or the local type can't be decided; the message says which."""


@dataclass(frozen=True)
class Family:
    """Solutions of one equation.

    Parameters
    ----------
    points : tuple of sympy.Expr
        Exact.
    reach : sympy.Expr
        Solutions of a height |Im z| beyond this are not all listed.
    periodic : bool
        Whether there are infinitely many of one height, for which a few stand.
    """

    points: tuple[sp.Expr, ...]
    reach: sp.Expr = sp.oo
    periodic: bool = False


def shown(expr: sp.Basic) -> str:
    """The expression as text in z."""
    return str(expr.xreplace({W: z}))


@dataclass(frozen=True)
class Quotient:
    """A meromorphic function as a quotient of polynomials in W and in symbols that stand for entire functions of W.

    Parameters
    ----------
    numerator, denominator : sympy.Expr
        Coprime.
    exponents : dict
        For each symbol that stands for exp(u) the polynomial u.
    others : dict
        For each other symbol the function.
    """

    numerator: sp.Expr
    denominator: sp.Expr
    exponents: dict[sp.Symbol, sp.Expr]
    others: dict[sp.Symbol, sp.Expr]

    def derivative(self, polynomial: sp.Expr) -> sp.Expr:
        """d/dW of a polynomial in W and the symbols."""
        total = sp.diff(polynomial, W)
        for symbol, exponent in self.exponents.items():
            total += sp.diff(polynomial, symbol) * symbol * sp.diff(exponent, W)
        for symbol, function in self.others.items():
            total += sp.diff(polynomial, symbol) * sp.diff(function, W)
        return sp.expand(total)

    def at(self, polynomial: sp.Expr, point: sp.Expr) -> sp.Expr:
        """The value of such a polynomial at a point."""
        numbers = {symbol: sp.exp(u.xreplace({W: point})) for symbol, u in self.exponents.items()}
        numbers |= {symbol: f.xreplace({W: point}) for symbol, f in self.others.items()}
        return polynomial.xreplace({**numbers, W: point}).xreplace({W: point})

    def leading(self, polynomial: sp.Expr, point: sp.Expr) -> tuple[int, sp.Expr]:
        """Order of the zero at a point and the first non-zero Taylor coefficient there."""
        for order in range(_MAX_ORDER):
            value = self.at(polynomial, point)
            algebraic = isinstance(point, sp.CRootOf) and polynomial.free_symbols <= {W}
            vanishing = _vanishes_at_root(polynomial, point) if algebraic else complex_zero(value)
            if vanishing is False:
                return order, value / sp.factorial(order)
            if vanishing is None:
                break
            polynomial = self.derivative(polynomial)
        raise Unsolved(f"it is open whether the singularity at {point} cancels")


def _vanishes_at_root(polynomial: sp.Expr, root: sp.CRootOf) -> bool | None:
    """Whether a polynomial vanishes at a root that is known by its minimal polynomial."""
    poly = sp.Poly(polynomial, W)
    if not (poly.domain.is_QQ or poly.domain.is_ZZ):
        return None
    return bool(sp.rem(poly, sp.Poly(root.poly.as_expr(W), W)).is_zero)


def quotient(expr: sp.Expr) -> Quotient:
    """Write a meromorphic expression as a quotient of polynomials in W and entire functions.

    Parameters
    ----------
    expr : sympy.Expr
        Of rational operations, exp, erf and erfi with polynomial arguments.

    Returns
    -------
    Quotient

    Raises
    ------
    Unsolved
        If it holds something else.
    """
    for node in sp.preorder_traversal(expr):
        if isinstance(node, INVERSE) or (isinstance(node, sp.Pow) and node.base.has(W) and not node.exp.is_Integer):
            raise Unsolved(f"{shown(expr)} holds {shown(node)}, which is not meromorphic")
    replace: dict[sp.Expr, sp.Expr] = {}
    others: dict[sp.Symbol, sp.Expr] = {}
    groups: dict[sp.Expr, list[tuple[sp.Expr, sp.Rational, sp.Expr]]] = {}
    for node in sorted((n for n in expr.atoms(*ENTIRE, sp.Pow) if _is_entire(n)), key=sp.default_sort_key):
        power = isinstance(node, sp.Pow)  # c^u, which SymPy does not write as exp(u log(c))
        argument = sp.expand(node.exp * sp.log(node.base) if power else node.args[0])
        if not argument.is_polynomial(W):
            raise Unsolved(f"{shown(node)} has no polynomial argument")
        if power or isinstance(node, sp.exp):
            constant = argument.xreplace({W: sp.S.Zero})
            direction, ratio = _direction(argument - constant, groups)
            groups.setdefault(direction, []).append((node, ratio, constant))
        else:
            symbol = sp.Dummy("f")
            others[symbol], replace[node] = node, symbol
    exponents: dict[sp.Symbol, sp.Expr] = {}
    for direction, members in groups.items():
        ratios = [ratio for _, ratio, _ in members]
        unit = sp.Rational(sp.gcd([r.p for r in ratios]), sp.lcm([r.q for r in ratios]))
        symbol = sp.Dummy("E")
        exponents[symbol] = sp.expand(direction * unit)
        for node, ratio, constant in members:
            replace[node] = sp.exp(constant) * symbol ** (ratio / unit)
    generators = [W, *exponents, *others]
    try:
        numerator, denominator = sp.fraction(sp.cancel(sp.together(expr.xreplace(replace)), *generators))
    except sp.PolynomialError as error:
        raise Unsolved(f"{shown(expr)} is no quotient of entire functions ({error})") from None
    return Quotient(sp.expand(numerator), sp.expand(denominator), exponents, others)


def _is_entire(node: sp.Expr) -> bool:
    return node.has(W) and not (isinstance(node, sp.Pow) and node.base.has(W))


def _direction(
    exponent: sp.Expr, known: dict[sp.Expr, list[tuple[sp.Expr, sp.Rational, sp.Expr]]]
) -> tuple[sp.Expr, sp.Rational]:
    """Write an exponent as a rational multiple of one that is known already, if it is one."""
    for direction in known:
        ratio = sp.cancel(exponent / direction)
        if ratio.is_Rational:
            return direction, ratio
    return exponent, sp.S.One


def zeros(expr: sp.Expr) -> Iterator[Family]:
    """All zeros of a meromorphic expression, exact.

    Parameters
    ----------
    expr : sympy.Expr
        As for :func:`quotient`.

    Yields
    ------
    Family

    Raises
    ------
    Unsolved
        If a factor is neither a polynomial in W nor one in a single exponential.
    """
    form = quotient(expr)
    generators = [W, *form.exponents, *form.others]
    _, factors = sp.factor_list(form.numerator, *generators)
    for factor, _ in factors:
        used = [g for g in generators if factor.has(g)]
        if used == [W]:
            yield Family(tuple(_polynomial_roots(factor, W)))
        elif len(used) == 1 and used[0] in form.exponents:
            for root in _polynomial_roots(factor, used[0]):
                if not root.is_zero:
                    yield _logarithms(root, form.exponents[used[0]])
        else:
            raise Unsolved(f"the equation {shown(expr)} = 0 has no exact solution here")


def _polynomial_roots(polynomial: sp.Expr, variable: sp.Symbol) -> list[sp.Expr]:
    poly = sp.Poly(polynomial, variable)
    found = sp.roots(poly, cubics=False, quartics=False)
    if sum(found.values()) == poly.degree():
        return list(found)
    if poly.domain.is_QQ or poly.domain.is_ZZ:
        return list(dict.fromkeys(poly.all_roots()))
    raise Unsolved(f"the roots of {shown(polynomial)} have no exact form")


def _logarithms(value: sp.Expr, exponent: sp.Expr) -> Family:
    """Solutions of exp(exponent) = value."""
    if value.has(sp.CRootOf):
        raise Unsolved(f"the equation exp({shown(exponent)}) = {value} has no exact solution here")
    real, imaginary = (sp.simplify(part) for part in sp.expand(value, complex=True).as_real_imag())
    size = sp.sqrt(sp.expand(real**2 + imaginary**2)) if real != 0 and imaginary != 0 else abs(real) + abs(imaginary)
    modulus = sp.log(size)
    angle = sp.atan2(imaginary, real)
    poly = sp.Poly(exponent, W)
    constant, scale = poly.coeff_monomial(1), poly.LC()
    logarithms = [modulus + sp.I * (angle + 2 * sp.pi * n) - constant for n in range(-_LEVELS, _LEVELS + 1)]
    if not constant.is_real:
        raise Unsolved(f"the equation exp({shown(exponent)}) = {value} has no exact solution here")
    if poly.degree() == 1 and scale.is_real:
        return Family(tuple(cartesian(u / scale) for u in logarithms), 2 * sp.pi * (_LEVELS - 1) / abs(scale))
    if poly.degree() == 1 and scale.is_imaginary:
        return Family(tuple(cartesian(u / scale) for u in logarithms[_LEVELS - 1 : _LEVELS + 2]), periodic=True)
    if poly.degree() == 2 and scale.is_real and poly.coeff_monomial(W).is_zero:
        points = [root for u in logarithms for root in _square_roots(u / scale)]
        # a root of x + i y has |Im| = sqrt((|x + i y| - x)/2), which grows with |y|
        reach = sp.Abs(
            _square_roots((modulus + sp.I * 2 * sp.pi * (_LEVELS - 1) - constant) / scale)[0].as_real_imag()[1]
        )
        return Family(tuple(points), reach)
    raise Unsolved(f"the equation exp({shown(exponent)}) = {value} has no exact solution here")


def _square_roots(value: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    real, imaginary = sp.expand(value, complex=True).as_real_imag()
    modulus = sp.sqrt(real**2 + imaginary**2)
    sign = -1 if bool(imaginary < 0) else 1
    root = sp.sqrt((modulus + real) / 2) + sign * sp.I * sp.sqrt((modulus - real) / 2)
    return root, -root
