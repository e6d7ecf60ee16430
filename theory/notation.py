"""Every symbol of the theory once: its SymPy object, LaTeX, meaning, shape and scaling, and its names in the papers."""

import sympy as sp

__all__ = ["z"]

z = sp.Symbol("z", real=True)
"""The variable every activation is written in."""
