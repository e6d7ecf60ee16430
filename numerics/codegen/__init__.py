"""SymPy to Python source with loops, to Numba, cached on disk by content."""
