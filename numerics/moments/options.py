"""How the moment routines are compiled, and where a rule keeps its parts."""

from typing import Any

__all__ = ["INTERNAL", "OPTIONS"]

#: Reassociation is safe here; ``nnan`` and ``ninf`` are not: a step control downstream relies on NaN.
OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "reassoc"}}

#: The same for routines that only compiled code calls: no wrappers, which take longer to compile than most routines.
INTERNAL: dict[str, Any] = {**OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# Entries of GaussianRule.sizes.
UNIFORM, POINTS, AREA, LARGEST, TAYLOR, SERIES, COLUMNS, REACH = range(8)
# Entries of GaussianRule.sizes that are offsets into GaussianRule.data.
AT_SCALARS, AT_NODES, AT_WEIGHTS, AT_FIRST, AT_SECOND, AT_PLANE, AT_HERMITE, AT_ROOTS, AT_LIMITS = range(8, 17)
AT_MEAN_LIMITS, AT_SMALL_NODES, AT_SMALL_WEIGHTS = range(17, 20)
# Entries at AT_SCALARS.
STEP, WIDTH, TOLERANCE = range(3)
