"""The derivation of a setting with unconstrained features."""

from __future__ import annotations

import functools

from ..derivation import Derivation, Statement
from ..derive import derive
from .bridge import bridge_statements
from .central_path import central_path
from .collapsed import collapsed_flow, collapsed_statements
from .endpoint import aligned_statements, end_statements
from .extended import extended_collapsed_flow, extended_flow, extended_statements
from .extended_solutions import extended_solutions
from .flow import feature_flow, flow_statements
from .gap import gap_statements
from .setting import UnconstrainedFeatures
from .solutions import cross_entropy_solutions, mse_solutions

__all__ = ["derive_unconstrained_features"]

SOURCES = (
    "D. G. Mixon, H. Parshall and J. Pi, Neural collapse with unconstrained features (2020), arXiv:2011.11619",
    "T. Tirer and J. Bruna, Extended unconstrained features model for exploring deep neural collapse, ICML (2022), "
    "arXiv:2202.08087",
    "X. Y. Han, V. Papyan and D. L. Donoho, Neural collapse under MSE loss: proximity to and dynamics on the central "
    "path, ICLR (2022), arXiv:2106.02073",
    "T. Chen, Derivation of effective gradient flow equations and dynamical truncation of training data in deep "
    "learning (2025), arXiv:2501.07400 (notion of the spectral gap)",
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
        and zeta on collapsed states; with two layers that of W2, W1 and H, and that of a2, a1 and eta.

    Raises
    ------
    DerivationError
        If a check fails.
    """
    if setting.layers == 2:
        title = "Extended unconstrained features: two linear layers, squared loss"
        return Derivation(title, setting, _extended(), (extended_flow(), extended_collapsed_flow()), SOURCES)
    full, reduced = feature_flow(setting.loss, setting.bias), collapsed_flow(setting.loss, setting.bias)
    clusters = setting.per_class == 1 and setting.normaliser == 1 and setting.loss == "mse" and setting.bias
    loss = "squared loss" if setting.loss == "mse" else "cross-entropy"
    title = f"Unconstrained features, {loss}, {'with' if setting.bias else 'without'} bias"
    statements = _statements(setting.loss, setting.bias)
    if clusters:
        statements = (*statements, *_bridge())
    return Derivation(title, setting, statements, (full, reduced), SOURCES)


@functools.cache
def _statements(loss: str, bias: bool) -> tuple[Statement, ...]:
    """All statements; they depend neither on sizes nor on decay."""
    full, reduced = feature_flow(loss, bias), collapsed_flow(loss, bias)
    solutions = mse_solutions() if loss == "mse" else cross_entropy_solutions()
    if loss == "mse" and bias:
        solutions = (*solutions, *central_path())
    solutions = (*gap_statements(full, loss), *solutions)
    if loss == "mse":
        solutions = (*solutions, *aligned_statements(), *(() if bias else end_statements()))
    return (*flow_statements(full, loss), *collapsed_statements(full, reduced, loss), *solutions)


@functools.cache
def _extended() -> tuple[Statement, ...]:
    """All statements on two layers."""
    return (*extended_statements(extended_flow(), extended_collapsed_flow()), *extended_solutions())


@functools.cache
def _bridge() -> tuple[Statement, ...]:
    """One feature a class, and the summed loss: collapsed clusters of truncated data are such features."""
    return bridge_statements()
