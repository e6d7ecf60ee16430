"""The settings that the command line knows: one entry of a table each, and what it needs to know of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..theory.errors import argument_error

if TYPE_CHECKING:
    from .cli_config import RunConfig

__all__ = ["CHAPTERS", "Chapter", "chapter", "own_options"]


@dataclass(frozen=True)
class Chapter:
    """What the command line needs to know of a setting.

    Attributes
    ----------
    describe : callable
        From options, a file among them, to a `RunConfig`.
    default_start : callable
        From a setting to a start, where none is given.
    verification : callable
        From a `RunConfig` and options to the arguments of `hermiton.verify`.
    check : callable
        Refuses a setting with such arguments, before the derivation takes its time.
    warm_up : callable
        Compiles what a setting with such arguments will simulate, so that it does not spoil the timing.
    solution, sample : mapping of str to str
        Keys of the table ``run``, each with the argument of `solve`, or of `simulate`, that it gives.
    options : mapping of str to frozenset of str
        By command, the options that have a meaning for this setting.
    sampled : bool
        Whether its runs are random, so that their number is a choice.
    equations : callable
        From a derivation and a start to the derivation with the equations that `solve` is to take.
    """

    describe: Callable[[Mapping[str, Any]], RunConfig]
    default_start: Callable[[Any], Any]
    verification: Callable[[RunConfig, Mapping[str, Any]], dict[str, Any]]
    check: Callable[[Any, Mapping[str, Any]], None]
    warm_up: Callable[[Any, Mapping[str, Any]], None]
    solution: Mapping[str, str]
    sample: Mapping[str, str]
    options: Mapping[str, frozenset[str]]
    sampled: bool = False
    equations: Callable[[Any, Any], Any] = lambda derivation, start: derivation


def _online_sgd() -> Chapter:
    from .cli_online_sgd import ONLINE_SGD

    return ONLINE_SGD


def _truncation() -> Chapter:
    from .cli_truncation import TRUNCATION

    return TRUNCATION


def _unconstrained_features() -> Chapter:
    from .cli_unconstrained_features import UNCONSTRAINED_FEATURES

    return UNCONSTRAINED_FEATURES


CHAPTERS: Mapping[str, Callable[[], Chapter]] = {
    "online-sgd": _online_sgd,
    "truncation": _truncation,
    "unconstrained-features": _unconstrained_features,
}
"""Settings by their names on the command line; each is loaded when it is asked for."""


def chapter(name: str) -> Chapter:
    """Return what is known of a setting."""
    return CHAPTERS[name]()


def own_options(name: str, command: str, given: Mapping[str, Any], named: bool) -> dict[str, Any]:
    """Return the options that have a meaning for a setting.

    Parameters
    ----------
    name : str
        The setting.
    command : str
        The command.
    given : mapping
        Options by name; None where not given.
    named : bool
        Whether the setting was named; options that belong to others are refused then, and left out else.

    Raises
    ------
    AssumptionError
        If an option has no meaning for the setting.
    """
    known = chapter(name).options[command]
    set_ones = {option: value for option, value in given.items() if value is not None}
    for option, value in set_ones.items():
        if named and option not in known:
            shown = ", ".join(f"--{one.replace('_', '-')}" for one in sorted(known))
            problem = f"has no meaning for {name}"
            raise argument_error(f"--{option.replace('_', '-')}", value, problem, f"{command} takes {shown}")
    return {option: value for option, value in set_ones.items() if option in known}
