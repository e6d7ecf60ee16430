"""Tilting: a Gaussian factor exp(-beta z_k^2) is absorbed into the law."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import sympy as sp
from sympy.polys.domains.domain import Domain
from sympy.polys.matrices import DomainMatrix
from sympy.polys.polyerrors import CoercionFailed

from ..errors import DerivationError, argument_error
from .rule import RuleCheck
from .wick import check_gaussian

__all__ = ["Tilt", "TiltWithMean", "check_tilting", "tilt", "tilt_with_mean"]


class Tilt(NamedTuple):
    """E[exp(-beta z_k^2) Phi(z)] = weight * E~[Phi(z)] with the new covariance."""

    weight: sp.Expr
    covariance: sp.ImmutableMatrix


class TiltWithMean(NamedTuple):
    """As :class:`Tilt`, for a law with a mean."""

    weight: sp.Expr
    covariance: sp.ImmutableMatrix
    mean: sp.ImmutableMatrix


def tilt(covariance: sp.MatrixBase, k: int, beta: sp.Expr) -> Tilt:
    """Absorb exp(-beta z_k^2) into a centred Gaussian law.

    With den = 1 + 2 beta C_kk: weight = den^(-1/2) and C~ = C - 2 beta C_k C_k^T / den.

    Parameters
    ----------
    covariance : sympy matrix, shape (n, n)
        Symmetric.
    k : int
        Index of the field, from 0.
    beta : sympy.Expr
        Coefficient.

    Returns
    -------
    Tilt
        Weight and covariance; each entry of the covariance is one fraction in lowest terms.

    Raises
    ------
    AssumptionError
        If the index or the covariance is not valid.

    Notes
    -----
    *Validity.* 1 + 2 beta C_kk > 0.
    """
    weight, matrix, _ = tilt_with_mean(covariance, None, k, beta)
    return Tilt(weight, matrix)


def tilt_with_mean(
    covariance: sp.MatrixBase, mean: Sequence[sp.Expr] | sp.MatrixBase | None, k: int, beta: sp.Expr
) -> TiltWithMean:
    """Absorb exp(-beta z_k^2) into the law N(mean, covariance).

    With den = 1 + 2 beta C_kk: weight = den^(-1/2) exp(-beta m_k^2/den), m~ = m - 2 beta m_k C_k/den, C~ as in
    :func:`tilt`.

    Parameters
    ----------
    covariance : sympy matrix, shape (n, n)
        Symmetric.
    mean : sequence or sympy matrix of length n, or None
        Zero if None.
    k : int
        Index of the field, from 0.
    beta : sympy.Expr
        Coefficient; 1 + 2 beta C_kk must be positive.

    Returns
    -------
    TiltWithMean

    Raises
    ------
    AssumptionError
        If the index or the law is not valid.
    """
    matrix, vector = check_gaussian(covariance, mean)
    size = matrix.shape[0]
    if isinstance(k, bool) or not isinstance(k, int) or not 0 <= k < size:
        raise argument_error("k", k, "is not the index of a field", f"use 0 to {size - 1}")
    coefficient = sp.sympify(beta, strict=True)
    den = 1 + 2 * coefficient * matrix[k, k]
    if den.is_nonpositive:
        raise argument_error("beta", beta, f"makes 1 + 2*beta*C_kk = {den}", "use a beta above -1/(2 C_kk)")
    new = matrix.as_mutable()
    for a in range(size):
        for b in range(a + 1):
            new[a, b] = new[b, a] = sp.cancel(matrix[a, b] - 2 * coefficient * matrix[k, a] * matrix[k, b] / den)
    shifted = [sp.cancel(vector[a] - 2 * coefficient * vector[k] * matrix[k, a] / den) for a in range(size)]
    weight = sp.exp(-coefficient * vector[k] ** 2 / den) / sp.sqrt(sp.cancel(den))
    return TiltWithMean(weight, new.as_immutable(), sp.ImmutableMatrix(size, 1, shifted))


def check_tilting(size: int, rule: Callable[..., TiltWithMean] = tilt_with_mean) -> RuleCheck:
    """Check the tilting rule as an identity of densities, for symbolic mean, covariance and beta.

    exp(-beta z_k^2) times the density of N(m, C) is `weight` times the density of N(m~, C~) exactly when

    * C~ (C^-1 + 2 beta e_k e_k^T) = 1            (quadratic terms),
    * C~ C^-1 m = m~                              (linear terms),
    * weight^2 = det C~/det C * exp(m~.C^-1 m - m.C^-1 m)   (constant).

    The test is made free of inverses by m = C u, so that C^-1 m = u.

    Parameters
    ----------
    size : int
        Number of fields.
    rule : callable
        The rule to check, with the signature of :func:`tilt_with_mean`.

    Returns
    -------
    RuleCheck

    Raises
    ------
    DerivationError
        If one of the identities fails.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise argument_error("size", size, "is not a positive integer", "use at least 1")
    covariance = sp.ImmutableMatrix(
        size, size, lambda a, b: sp.Symbol(f"c{min(int(a), int(b)) + 1}{max(int(a), int(b)) + 1}")
    )
    u = sp.Matrix(sp.symbols(f"u1:{size + 1}"))
    beta = sp.Symbol("beta")
    ring = sp.QQ[(*dict.fromkeys(covariance), *u, beta)]
    plain = DomainMatrix.from_Matrix(covariance).convert_to(ring)
    vector = DomainMatrix.from_Matrix(u).convert_to(ring)
    held = 0
    for k in range(size):
        new, shifted, weight = _rational_parts(rule(covariance, covariance * u, k, beta), covariance, u, k, beta, ring)
        den = ring.from_sympy(1 + 2 * beta * covariance[k, k])
        # new and shifted stand for den C~ and den m~, so that every identity is one between polynomials
        selected = sp.zeros(size)
        selected[k, k] = 2 * beta
        projector = DomainMatrix.from_Matrix(selected).convert_to(ring)
        identity = DomainMatrix.eye(size, ring).to_dense()
        _hold("quadratic terms", size, k, new * (identity + projector * plain) - plain * den)
        _hold("linear terms", size, k, new * vector - shifted)
        difference = new.charpoly()[-1] - den ** (size - 1) * plain.charpoly()[-1]
        _hold("determinant", size, k, DomainMatrix([[difference]], (1, 1), ring))
        if sp.cancel(weight**2 * (1 + 2 * beta * covariance[k, k])) != 1:
            raise DerivationError(f"tilting fails in the weight at size {size}, k = {k}: {weight}")
        held += size * size + size + 2
    return RuleCheck("Tilting", size, 2, held)


def _rational_parts(
    result: TiltWithMean, covariance: sp.ImmutableMatrix, u: sp.Matrix, k: int, beta: sp.Symbol, ring: Domain
) -> tuple[DomainMatrix, DomainMatrix, sp.Expr]:
    """Den C~ and den m~ over the polynomial ring, and weight / exp((m~ - m).C^-1 m / 2)."""
    den = 1 + 2 * beta * covariance[k, k]
    exponent = sp.cancel((u.T * (result.mean - covariance * u))[0] / 2)
    factor, rest = result.weight.as_independent(sp.exp, as_Add=False)
    found = sum((f.args[0] for f in sp.Mul.make_args(rest) if isinstance(f, sp.exp)), sp.S.Zero)
    if sp.cancel(found - exponent) != 0:
        raise DerivationError(f"tilting fails in the exponent of the weight at k = {k}: {found} is not {exponent}")
    scaled = [m.applyfunc(lambda entry: sp.cancel(entry * den)) for m in (result.covariance, result.mean)]
    try:
        new, shifted = (DomainMatrix.from_Matrix(sp.Matrix(m)).convert_to(ring) for m in scaled)
    except CoercionFailed:
        raise DerivationError(f"tilting fails at k = {k}: the new law has another denominator than {den}") from None
    return new, shifted, factor


def _hold(name: str, size: int, k: int, difference: DomainMatrix) -> None:
    for value in difference.to_dense().to_list_flat():
        if value:
            raise DerivationError(f"tilting fails in the {name} at size {size}, k = {k}: {value} is not 0")
