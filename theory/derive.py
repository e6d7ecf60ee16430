"""The verb `derive`: from a setting to checked equations. Chapters register themselves for their settings."""

from __future__ import annotations

from functools import singledispatch

from .derivation import Derivation
from .errors import argument_error

__all__ = ["derive"]


@singledispatch
def derive(setting: object) -> Derivation:
    """Derive the equations of a setting as a chain of machine-checked steps.

    Parameters
    ----------
    setting : OnlineSGD
        What to derive the equations of.

    Returns
    -------
    Derivation
        Its steps are checked when it is built; it ends in the systems that `solve` compiles.

    Raises
    ------
    AssumptionError
        If `setting` is no setting, or the theory does not cover it.
    DerivationError
        If a check fails.
    """
    raise argument_error("setting", setting, "is not a setting", "pass one of hermiton's settings, such as OnlineSGD()")
