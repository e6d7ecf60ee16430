"""A figure that a notebook shows by itself. Import it where something is drawn: matplotlib takes its time."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["Picture"]

_DOTS_PER_INCH = 100


class Picture(Figure):
    """A matplotlib figure made without pyplot, so there is nothing to close; Jupyter shows it all the same.

    Parameters
    ----------
    **options
        As for `matplotlib.figure.Figure`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        # Jupyter knows how to show figures only once pyplot is loaded.
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
        return buffer.getvalue()
