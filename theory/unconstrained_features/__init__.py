"""Unconstrained features: last-layer features as free parameters, and the equations of their collapse."""

from .chapter import derive_unconstrained_features
from .setting import UnconstrainedFeatures

__all__ = ["UnconstrainedFeatures", "derive_unconstrained_features"]
