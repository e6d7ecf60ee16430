"""Dynamical truncation: the effective gradient flow of ReLU layers, in cumulative coordinates."""

from .chapter import Truncation, derive_truncation, truncation_flow

__all__ = ["Truncation", "derive_truncation", "truncation_flow"]
