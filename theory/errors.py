"""The errors of hermiton, one class a phase.

Every message says what failed, with the numbers, and what to do about it.
"""

__all__ = [
    "AccuracyError",
    "AssumptionError",
    "CodegenError",
    "DerivationError",
    "HermitonError",
    "VerificationError",
    "argument_error",
]


class HermitonError(Exception):
    """Base of every error that hermiton raises on purpose."""


class AssumptionError(HermitonError, ValueError):
    """The theory does not apply: names the argument or assumption and the value that broke it."""


class DerivationError(HermitonError):
    """A step of a derivation failed its check: prints the step and the difference of its sides."""


class CodegenError(HermitonError):
    """An expression can't be turned into a kernel: prints the sub-expression."""


class AccuracyError(HermitonError, ArithmeticError):
    """A number could not be had to the accuracy asked for: says what was asked and what was achieved."""


class VerificationError(HermitonError):
    """A comparison of theory and sample can't be carried out as asked."""


def argument_error(name: str, value: object, problem: str, cure: str) -> AssumptionError:
    """The one wording for a bad argument: its name, its value, what is wrong and what to do.

    >>> str(argument_error("hidden", 0, "is not positive", "give the student at least one hidden unit"))
    'hidden=0 is not positive: give the student at least one hidden unit'
    """
    text = repr(value)
    if "\n" in text:  # a message is one line
        text = " ".join(text.split())
    if len(text) > 200:
        text = text[:197] + "..."
    return AssumptionError(f"{name}={text} {problem}: {cure}")
