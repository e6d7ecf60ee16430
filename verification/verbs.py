"""The verbs that reach networks, with every chapter registered: what the front door and the command line use."""

from . import online_sgd as online_sgd
from .simulate import simulate
from .verify import verify

__all__ = ["simulate", "verify"]
