"""Systems that are evaluated without a kernel, as text."""

from __future__ import annotations

from collections.abc import Iterable

from hermiton.theory.systems import Definition, OdeSystem

__all__ = ["definition_text", "flow_text"]


def flow_text(system: OdeSystem, how: str, terms: Iterable[str] = ()) -> str:
    """What is computed, as text: definitions, equations, observables and metrics as they are evaluated.

    Parameters
    ----------
    system : OdeSystem
        The equations; its definitions have no blocks.
    how : str
        What is done with them.
    terms : iterable of str
        Lines about the equations' terms.

    Returns
    -------
    str
    """
    lines = [f"# {system.name}: {how}"]
    lines += [definition_text(item) for item in system.definitions if isinstance(item, Definition)]
    lines += [f"d {definition_text(item)}" for item in system.equations]
    lines += [f"    {term}" for term in terms]
    lines += [definition_text(item) for item in system.observables]
    lines += [definition_text(item) for item in (system.classifier.metrics if system.classifier is not None else ())]
    return "\n".join(lines)


def definition_text(item: Definition) -> str:
    """An entry of the target and its value."""
    indices = f"[{', '.join(map(str, item.indices))}]" if item.indices else ""
    return f"{item.target.name}{indices} = {item.value}"
