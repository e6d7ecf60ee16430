"""The setting: one cluster of infinitely many samples, one coordinate, one threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import sympy as sp

from ..errors import argument_error
from ..pieces import Piece
from .distribution import checked_pieces, density, read_distribution, stable

__all__ = ["TruncatedPopulation"]


@dataclass(frozen=True)
class TruncatedPopulation:
    r"""One coordinate of a cluster that a ReLU unit truncates at a threshold, for infinitely many samples.

    Parameters
    ----------
    distribution : str or sympy.Expr
        Distribution function F(z) = P(x < z) of the coordinate, a formula in `hermiton.z`; or ``"normal"``, the
        standard normal one, or ``"uniform"``, that on [0, 1]. Others of a family come by substitution, as in
        ``F.subs(z, (z - mean)/scale)``.
    target : float
        Label of the cluster in this coordinate, pulled back to the inputs.
    mass : float
        Total weight of the cluster in the cost. It sets the clock.

    Raises
    ------
    AssumptionError
        If F is no continuous distribution function with a finite variance above each point, or a number is out of
        range.

    Notes
    -----
    *Validity.* N -> infinity independent samples of weight mass/N each, gradient flow of the cost in the input layer,
    adapted weights. That F increases is proved where SymPy knows the sign of F', and is otherwise looked at in some 30
    points a piece; its ends and its upper tail are looked at up to 2^100.

    Examples
    --------
    >>> TruncatedPopulation("uniform", target=0.8).kinks
    (0, 1)
    """

    distribution: str | sp.Expr
    target: float | sp.Rational
    mass: float | sp.Rational = 1

    def __post_init__(self) -> None:
        """Refuse what is no distribution, and what is no number."""
        for name in ("target", "mass"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real | sp.Rational) or not math.isfinite(value):
                raise argument_error(name, value, "is not a finite number", "pass a number")
        if not self.mass > 0:
            raise argument_error("mass", self.mass, "is not positive", "leave clusters without weight out")
        self.pieces  # noqa: B018  read it once: it raises

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """Smooth pieces of F, left to right."""
        return checked_pieces(read_distribution(self.distribution))

    @property
    def kinks(self) -> tuple[sp.Expr, ...]:
        """Where F is not smooth, in increasing order."""
        return tuple(piece.lo for piece in self.pieces[1:])

    @cached_property
    def cumulative(self) -> sp.Expr:
        """F(z), written so that small values keep their digits where it is made of erf and tanh."""
        return stable(self.pieces)

    @cached_property
    def density(self) -> sp.Expr:
        """F'(z)."""
        return density(self.pieces)

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes by the names that systems use: there are none."""
        return {}
