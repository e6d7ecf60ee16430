"""The verb `derive`: from a setting to checked equations. Chapters register themselves for their settings."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from .derivation import Derivation
from .errors import argument_error

__all__ = ["derive"]


@singledispatch
def derive(setting: object, **options: Any) -> Derivation:
    """Derive the equations of a setting, or the Hermite coefficients of an activation, as a chain of checked steps.

    Parameters
    ----------
    setting : OnlineSGD, Truncation, TruncatedPopulation, UnconstrainedFeatures or Activation
        What to derive the equations, or the coefficients, of.
    **options
        For an activation those of :func:`hermiton.theory.gaussian.hermite_derivation.derive_hermite`: ``order``,
        ``mean``, ``std``. A setting has none.

    Returns
    -------
    Derivation
        Its steps are checked when it is built; for a setting it ends in the systems that `solve` compiles.

    Raises
    ------
    AssumptionError
        If `setting` is no setting, or the theory does not cover it.
    DerivationError
        If a check fails.
    """
    raise argument_error("setting", setting, "is not a setting", "pass a setting such as OnlineSGD(), or an Activation")
