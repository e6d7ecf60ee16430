"""Expectations over the local fields, as expressions: what the steps of a derivation are written in.

The random variables are the fields z_a (jointly Gaussian, mean 0, covariance C), the label noise zeta ~ N(0, 1) and the
normalised square length |x|^2/N of an input. ``Activated(n, a)`` is the n-th derivative of the activation of unit a at
its own field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .gaussian.wick import wick
from .systems import Array, MomentFunction, OdeSystem, canonical, instantiate

__all__ = [
    "FIELD",
    "LENGTH",
    "NOISE",
    "Activated",
    "Expectation",
    "linear_form",
    "moments_as_expectations",
    "wick_value",
]

FIELD = sp.IndexedBase(sp.Symbol("z", real=True))
NOISE = sp.Symbol("zeta", real=True)
LENGTH = sp.Symbol("X", positive=True)


class Activated(sp.Function):  # type: ignore[misc]
    """``Activated(n, a)``: g_a^(n)(z_a)."""

    @classmethod
    def eval(cls, order: sp.Expr, index: sp.Expr) -> None:
        """Stay as it is."""

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        order, index = self.args
        primes = "'" * int(order)
        text = rf"g{primes}_{{{printer._print(index)}}}"
        return text if exp is None else rf"{text}^{{{exp}}}"


class Expectation(sp.Expr):  # type: ignore[misc]
    """``Expectation(X)``: the mean of X over fields and noise; it stays as it is."""

    is_commutative = True

    def __new__(cls, body: sp.Expr) -> Expectation:
        """Keep the argument."""
        return sp.Expr.__new__(cls, sp.sympify(body))  # type: ignore[no-any-return]

    def _latex(self, printer: Any) -> str:
        return rf"\mathbb{{E}}\left[{printer._print(self.args[0])}\right]"

    def _sympystr(self, printer: Any) -> str:
        return f"E[{printer._print(self.args[0])}]"


def moments_as_expectations(value: sp.Expr, orders: Mapping[str, tuple[int, ...]]) -> sp.Expr:
    """Replace named moments by the expectations that they stand for."""
    replace = {}
    for call in value.atoms(MomentFunction):
        name, *indices = call.args
        factors = [Activated(order, index) for order, index in zip(orders[str(name)], indices, strict=True)]
        replace[call] = Expectation(sp.Mul(*factors))
    return value.xreplace(replace)


def _is_random(factor: sp.Expr) -> bool:
    if isinstance(factor, sp.Pow):
        return _is_random(factor.base)
    return (
        factor in (NOISE, LENGTH)
        or isinstance(factor, Activated)
        or (isinstance(factor, sp.Indexed) and factor.base == FIELD)
    )


def linear_form(
    value: sp.Expr,
    sizes: Mapping[sp.Symbol, int],
    arrays: Mapping[str, Array],
    orders: Mapping[str, tuple[int, ...]],
) -> sp.Expr:
    """Normal form at concrete sizes by linearity of the expectation and the moments of the noise alone.

    What remains is a sum of coefficients times expectations of products; two expressions that are equal for every
    activation, by linearity and independence of the noise, have the same form.
    """
    value = canonical(instantiate(value, sizes), arrays, orders)
    value = moments_as_expectations(value, orders)

    def mean(body: sp.Expr) -> sp.Expr:
        total: sp.Expr = sp.Integer(0)
        for term in sp.Add.make_args(sp.expand(body)):
            factors = sp.Mul.make_args(term)
            noise = sum(int(f.exp) if isinstance(f, sp.Pow) else 1 for f in factors if NOISE in f.free_symbols)
            if noise % 2:
                continue
            random = [f for f in factors if _is_random(f) and NOISE not in f.free_symbols]
            fixed = [f for f in factors if not _is_random(f)]
            product = sp.Mul(*random)
            moment = sp.factorial2(noise - 1) if noise else 1
            total += sp.Mul(moment, *fixed, Expectation(product) if random else 1)
        return total

    replaced = value.replace(lambda e: isinstance(e, Expectation), lambda e: mean(e.args[0]))
    return sp.expand(replaced)


def wick_value(
    value: sp.Expr,
    sizes: Mapping[sp.Symbol, int],
    covariance: sp.Matrix,
    activations: Mapping[int, sp.Expr],
    entries: Mapping[sp.Expr, sp.Expr],
) -> sp.Expr:
    """Exact value at concrete sizes for polynomial activations, every expectation by Wick's theorem.

    Parameters
    ----------
    value : sympy.Expr
        In `Expectation`, `Activated`, fields, arrays.
    sizes : mapping
        Size symbols to integers.
    covariance : sympy.Matrix, shape (F, F)
        Of the fields; exact numbers or symbols.
    activations : mapping of int to sympy.Expr
        For each field its activation, a polynomial in the symbol ``x``.
    entries : mapping
        Values of array entries and scalars.
    """
    x = sp.Symbol("x")
    count = covariance.shape[0]
    fields = sp.symbols(f"_z0:{count}")
    variables = (*fields, NOISE)
    law = sp.diag(covariance, sp.Matrix([[1]]))

    def mean(body: sp.Expr) -> sp.Expr:
        replace: dict[sp.Expr, sp.Expr] = {}
        for item in body.atoms(Activated):
            order, index = (int(a) for a in item.args)
            replace[item] = sp.diff(activations[index], x, order).xreplace({x: fields[index]})
        for item in body.atoms(sp.Indexed):
            if item.base == FIELD:
                replace[item] = fields[int(item.indices[0])]
        return wick(body.xreplace(replace).xreplace(dict(entries)), variables, law)

    value = instantiate(value, sizes)
    value = value.replace(lambda e: isinstance(e, Expectation), lambda e: mean(e.args[0]))
    return sp.expand(value.xreplace(dict(entries)))


def moment_by_wick(system: OdeSystem, activations: Mapping[int, sp.Expr]) -> Any:
    """Moment values for polynomial activations, for `evaluate`: by Wick instead of closed forms."""
    x = sp.Symbol("x")

    def value(name: str, indices: tuple[int, ...], covariance: Mapping[tuple[int, ...], sp.Expr]) -> sp.Expr:
        count = 1 + max(i for i, _ in covariance)
        fields = sp.symbols(f"_z0:{count}")
        law = sp.Matrix(count, count, lambda i, j: covariance[i, j])
        orders = system.moment(name).orders
        factors = [
            sp.diff(activations[i], x, order).xreplace({x: fields[i]}) for order, i in zip(orders, indices, strict=True)
        ]
        return wick(sp.Mul(*factors), fields, law)

    return value
