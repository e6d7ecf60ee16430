"""The verb `derive` as users call it: theory's derivation, which can also show its kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hermiton.theory.derivation import Derivation
from hermiton.theory.derive import derive as derive_in_theory
from hermiton.theory.rotating_flow import RotatingFlow
from hermiton.theory.systems import OdeSystem, PiecewiseFlow

from .codegen.kernel import kernel_source
from .progress import statements

__all__ = ["derive", "system_source"]


def derive(setting: object, *, progress: bool | Callable[[float], object] = False, **options: Any) -> Derivation:
    """Derive the equations of a setting, or the Hermite coefficients of an activation, as a chain of checked steps.

    Parameters
    ----------
    setting : OnlineSGD, Truncation, TruncatedPopulation, UnconstrainedFeatures or Activation
        What to derive the equations, or the coefficients, of.
    progress : bool or callable
        Whether to show the latest checked statement, or what to call when all are.
    **options
        For an activation those of :func:`hermiton.theory.gaussian.hermite_derivation.derive_hermite`: ``order``,
        ``mean``, ``std``. A setting has none.

    Returns
    -------
    Derivation
        ``.steps``, ``.statements``, ``.systems``, ``.check()``, ``.latex()``, ``.source()``.

    Raises
    ------
    AssumptionError
        If `setting` is neither, or the theory does not cover it.
    DerivationError
        If a check fails.

    Examples
    --------
    >>> from hermiton.theory.online_sgd import OnlineSGD
    >>> derivation = derive(OnlineSGD(student="he2", teacher="he2", hidden=1, teacher_hidden=1))
    >>> derivation.statement("rate_Q").standing, derivation.standing  # that a run follows its mean is cited
    ('derived', 'cited')
    >>> from hermiton.theory.activation import Activation
    >>> derive(Activation("he2"), order=2, std=2).statement("h2 at the point").rhs
    8
    """
    with statements(progress):
        return replace(derive_in_theory(setting, **options), kernel_source=system_source)


def system_source(system: OdeSystem) -> str:
    """What is computed for a system: its kernel, or the text of what is evaluated without one."""
    if isinstance(system, PiecewiseFlow):
        from .piecewise_flow import flow_source

        return flow_source(system)
    if isinstance(system, RotatingFlow):
        from .rotating_flow import rotating_source

        return rotating_source(system)
    return kernel_source(system)
