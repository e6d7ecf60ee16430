"""The derivation of a truncated population."""

from __future__ import annotations

import functools

from ..derivation import Derivation, Statement
from ..derive import derive
from ..pieces import Piece
from ..systems import OdeSystem
from .flow import population_flow
from .fluctuation import fluctuation_statements
from .moments import moment_statements
from .setting import TruncatedPopulation
from .solutions import distribution_statements

__all__ = ["derive_truncated_population"]

SOURCES = (
    "T. Chen, Derivation of effective gradient flow equations and dynamical truncation of training data in Deep "
    "Learning, arXiv:2501.07400 (abstract and introduction; its displayed formulas were not at hand)",
)


@functools.cache
def _general() -> tuple[Statement, ...]:
    return (*moment_statements(), *fluctuation_statements())


@functools.lru_cache(maxsize=32)
def _of(pieces: tuple[Piece, ...]) -> tuple[tuple[Statement, ...], OdeSystem]:
    special = distribution_statements(pieces)
    formulas = {statement.key: statement.rhs for statement in special}
    return special, population_flow(formulas["cumulative"], formulas["density"])


@derive.register
def derive_truncated_population(setting: TruncatedPopulation) -> Derivation:
    """Derive the population limit of the flow of a threshold, and the fluctuation of a finite sample about it.

    Parameters
    ----------
    setting : TruncatedPopulation
        The setting; all but the last statements hold for every distribution.

    Returns
    -------
    Derivation
        Ends in one `OdeSystem`.

    Raises
    ------
    DerivationError
        If a check fails.
    """
    special, system = _of(setting.pieces)
    title = "Population limit of a truncated cluster"
    return Derivation(title, setting, (*_general(), *special), (system,), SOURCES)
