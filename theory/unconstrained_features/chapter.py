"""The derivation of a setting with unconstrained features."""

from __future__ import annotations

import functools

from ..derivation import Derivation, Statement
from ..derive import derive
from .central_path import central_path
from .collapsed import collapsed_flow, collapsed_statements
from .flow import feature_flow, flow_statements
from .setting import UnconstrainedFeatures
from .solutions import cross_entropy_solutions, mse_solutions

__all__ = ["derive_unconstrained_features"]

SOURCES = (
    "D. G. Mixon, H. Parshall and J. Pi, Neural collapse with unconstrained features (2020), arXiv:2011.11619",
    "T. Tirer and J. Bruna, Extended unconstrained features model for exploring deep neural collapse, ICML (2022), "
    "arXiv:2202.08087",
    "X. Y. Han, V. Papyan and D. L. Donoho, Neural collapse under MSE loss: proximity to and dynamics on the central "
    "path, ICLR (2022), arXiv:2106.02073",
)


@derive.register
def derive_unconstrained_features(setting: UnconstrainedFeatures) -> Derivation:
    """Derive the gradient flow of W, H and b and its reduction to collapsed states.

    Parameters
    ----------
    setting : UnconstrainedFeatures
        The setting.

    Returns
    -------
    Derivation
        Ends in two `OdeSystem`: that of W, H and b, generic in C, d and N, which `solve` takes, and that of alpha, eta
        and zeta on collapsed states.

    Raises
    ------
    DerivationError
        If a check fails.
    """
    full, reduced = feature_flow(setting.loss, setting.bias), collapsed_flow(setting.loss, setting.bias)
    loss = "squared loss" if setting.loss == "mse" else "cross-entropy"
    title = f"Unconstrained features, {loss}, {'with' if setting.bias else 'without'} bias"
    return Derivation(title, setting, _statements(setting.loss, setting.bias), (full, reduced), SOURCES)


@functools.cache
def _statements(loss: str, bias: bool) -> tuple[Statement, ...]:
    """All statements; they depend neither on sizes nor on decay."""
    full, reduced = feature_flow(loss, bias), collapsed_flow(loss, bias)
    solutions = mse_solutions() if loss == "mse" else cross_entropy_solutions()
    if loss == "mse" and bias:
        solutions = (*solutions, *central_path())
    return (*flow_statements(full, loss), *collapsed_statements(full, reduced, loss), *solutions)
