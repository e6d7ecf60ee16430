"""Dynamical truncation: the effective gradient flow of ReLU layers, in cumulative coordinates."""

from .chapter import derive_truncation, truncation_flow
from .setting import Truncation

__all__ = ["Truncation", "derive_truncation", "truncation_flow"]
