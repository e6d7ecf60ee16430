"""Activations as users make them: theory's, which here can also be sampled from a Python function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hermiton.theory.activation import Activation, register_projector

__all__ = ["Activation"]


def _project(function: Callable[[Any], Any], **options: Any) -> Activation:
    from .projection import project  # arrays and SciPy, which a formula does not need

    return project(function, **options)


register_projector(_project)
