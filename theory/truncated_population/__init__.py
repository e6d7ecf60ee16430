"""Truncation of a cluster of infinitely many samples: the population limit of the flow of a threshold."""

from .chapter import derive_truncated_population
from .flow import population_flow
from .setting import TruncatedPopulation

__all__ = ["TruncatedPopulation", "derive_truncated_population", "population_flow"]
