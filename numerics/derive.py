"""The verb `derive` as users call it: theory's derivation, which can also show its kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hermiton.theory.derivation import Derivation
from hermiton.theory.derive import derive as derive_in_theory

from .codegen.kernel import kernel_source
from .progress import statements

__all__ = ["derive"]


def derive(setting: object, *, progress: bool | Callable[[float], object] = False) -> Derivation:
    """Derive the equations of a setting as a chain of machine-checked steps.

    Parameters
    ----------
    setting : OnlineSGD
        What to derive the equations of.
    progress : bool or callable
        Whether to show the latest checked statement, or what to call when all are.

    Returns
    -------
    Derivation
        ``.steps``, ``.statements``, ``.systems``, ``.check()``, ``.latex()``, ``.source()``.

    Raises
    ------
    AssumptionError
        If `setting` is no setting, or the theory does not cover it.
    DerivationError
        If a check fails.

    Examples
    --------
    >>> from hermiton.theory.online_sgd import OnlineSGD
    >>> derivation = derive(OnlineSGD(student="he2", teacher="he2", hidden=1, teacher_hidden=1))
    >>> derivation.statement("rate_Q").standing, derivation.standing  # that a run follows its mean is cited
    ('derived', 'cited')
    """
    with statements(progress):
        return replace(derive_in_theory(setting), kernel_source=kernel_source)
