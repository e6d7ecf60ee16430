"""The verbs that reach networks, with every chapter registered: what the front door and the command line use."""

from . import online_sgd as online_sgd
from . import truncated_population as truncated_population
from . import truncation as truncation
from . import unconstrained_features as unconstrained_features
from .simulate import simulate
from .verify import verify

__all__ = ["simulate", "verify"]
