"""An engine for the theory of two-layer neural networks: derive, solve, simulate, verify.

This package is the front door: the public names and nothing else. Each name is fetched from its layer when it is first
used (PEP 562), so that ``import hermiton`` loads neither SymPy nor Numba and compiles nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the same table for mypy, pyright and editors; tests/packaging holds the two together
    from hermiton.numerics.activation import Activation
    from hermiton.numerics.derive import derive
    from hermiton.numerics.features import CollapsedFeatures, ExtendedFeatures, Features
    from hermiton.numerics.field_moment import field_moment
    from hermiton.numerics.hermite import hermite_coefficients
    from hermiton.numerics.overlaps import Overlaps
    from hermiton.numerics.population import PopulationStart
    from hermiton.numerics.solve import solve
    from hermiton.numerics.stream import solve_stream
    from hermiton.theory.errors import (
        AccuracyError,
        AssumptionError,
        CodegenError,
        DerivationError,
        VerificationError,
    )
    from hermiton.theory.gaussian.expectation import gaussian_expectation
    from hermiton.theory.notation import z
    from hermiton.theory.online_sgd import Isotropic, OnlineSGD
    from hermiton.theory.truncated_population import TruncatedPopulation
    from hermiton.theory.truncation import Truncation
    from hermiton.theory.unconstrained_features import UnconstrainedFeatures
    from hermiton.verification.report import Report
    from hermiton.verification.sweep import sweep
    from hermiton.verification.verbs import simulate, verify

    __version__: str

__all__ = [
    "AccuracyError",
    "Activation",
    "AssumptionError",
    "CodegenError",
    "CollapsedFeatures",
    "DerivationError",
    "ExtendedFeatures",
    "Features",
    "Isotropic",
    "OnlineSGD",
    "Overlaps",
    "PopulationStart",
    "Report",
    "TruncatedPopulation",
    "Truncation",
    "UnconstrainedFeatures",
    "VerificationError",
    "__version__",
    "derive",
    "field_moment",
    "gaussian_expectation",
    "hermite_coefficients",
    "simulate",
    "solve",
    "solve_stream",
    "sweep",
    "verify",
    "z",
]

# public name -> (module, attribute)
_HOME = {
    "AccuracyError": ("hermiton.theory.errors", "AccuracyError"),
    "Activation": ("hermiton.numerics.activation", "Activation"),
    "AssumptionError": ("hermiton.theory.errors", "AssumptionError"),
    "CodegenError": ("hermiton.theory.errors", "CodegenError"),
    "CollapsedFeatures": ("hermiton.numerics.features", "CollapsedFeatures"),
    "DerivationError": ("hermiton.theory.errors", "DerivationError"),
    "ExtendedFeatures": ("hermiton.numerics.features", "ExtendedFeatures"),
    "Features": ("hermiton.numerics.features", "Features"),
    "Isotropic": ("hermiton.theory.online_sgd", "Isotropic"),
    "OnlineSGD": ("hermiton.theory.online_sgd", "OnlineSGD"),
    "Overlaps": ("hermiton.numerics.overlaps", "Overlaps"),
    "PopulationStart": ("hermiton.numerics.population", "PopulationStart"),
    "Report": ("hermiton.verification.report", "Report"),
    "TruncatedPopulation": ("hermiton.theory.truncated_population", "TruncatedPopulation"),
    "Truncation": ("hermiton.theory.truncation", "Truncation"),
    "UnconstrainedFeatures": ("hermiton.theory.unconstrained_features", "UnconstrainedFeatures"),
    "VerificationError": ("hermiton.theory.errors", "VerificationError"),
    "derive": ("hermiton.numerics.derive", "derive"),
    "field_moment": ("hermiton.numerics.field_moment", "field_moment"),
    "gaussian_expectation": ("hermiton.theory.gaussian.expectation", "gaussian_expectation"),
    "hermite_coefficients": ("hermiton.numerics.hermite", "hermite_coefficients"),
    "simulate": ("hermiton.verification.verbs", "simulate"),
    "solve": ("hermiton.numerics.solve", "solve"),
    "solve_stream": ("hermiton.numerics.stream", "solve_stream"),
    "sweep": ("hermiton.verification.sweep", "sweep"),
    "verify": ("hermiton.verification.verbs", "verify"),
    "z": ("hermiton.theory.notation", "z"),
}

if not TYPE_CHECKING:  # hidden from static tools, which would otherwise accept any misspelt name

    def __getattr__(name: str) -> object:
        """Fetch a public name from its layer and keep it."""
        if name == "__version__":
            from importlib.metadata import version

            value: object = version("hermiton")  # pyproject.toml is the one place where the version is written
        elif name in _HOME:
            from importlib import import_module

            module, attribute = _HOME[name]
            value = getattr(import_module(module), attribute)
        else:
            raise AttributeError(f"module 'hermiton' has no attribute {name!r}; its public names: {', '.join(__all__)}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names, fetched or not."""
    return sorted({*globals(), *__all__})
