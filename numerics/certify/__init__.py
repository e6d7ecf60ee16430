"""Rigorous Gaussian moments of activations: Hermite coefficients and second moments in ball arithmetic.

Rounding, discretisation and tails are all bounded by theorems whose assumptions are checked with balls.
"""

from .coefficients import (
    MAX_DIGITS,
    MAX_ORDER,
    CertifiedCoefficients,
    certified_coefficients,
    certified_second_moment,
)

__all__ = ["MAX_DIGITS", "MAX_ORDER", "CertifiedCoefficients", "certified_coefficients", "certified_second_moment"]
