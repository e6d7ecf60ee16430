"""Plain functions, constants and emitted text to the source of one module.

The integrators are ordinary Python functions, so that they can be read, checked and run as such. Compiled together in
one module they need no imports from each other, and the content hash of that module covers all of them: a change in
any of them makes a new module, which Numba's own cache, that looks at one file only, would miss.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["assemble"]

_HEADER = '''"""{title} Written by hermiton.numerics.integrators; edits are lost."""

from __future__ import annotations

import numpy as np
from numba import njit

from hermiton.numerics.codegen.pointers import INLINED
from hermiton.numerics.integrators.signatures import {signature}
'''
# nnan and ninf stay out: the step control lives on comparisons with NaN.
_FLAGS = 'error_model="numpy", fastmath={"contract", "nsz", "reassoc"}, nogil=True'


def assemble(
    title: str,
    signature: str,
    constants: Mapping[str, float],
    helpers: Sequence[Callable[..., Any] | str],
    advance: Callable[..., Any],
) -> str:
    """Return the source of a module whose function `advance` is compiled with the named signature and cached.

    Parameters
    ----------
    title : str
        First line of the module's docstring, a sentence.
    signature : str
        Name in `hermiton.numerics.integrators.signatures`.
    constants : mapping of str to number
        Module constants, printed with repr, so exactly.
    helpers : sequence of functions or of function texts
        What advance calls, callees first.
    advance : function
        The integrator; its text is copied.
    """
    blocks = [_HEADER.format(title=title, signature=signature)]
    blocks.append("\n".join(f"{name} = {value!r}" for name, value in constants.items()) + "\n")
    for helper in helpers:
        text = helper if isinstance(helper, str) else inspect.getsource(helper)
        blocks.append(f"\n@njit({_FLAGS}, **INLINED)\n{text}")
    blocks.append(f"\n@njit({signature}, cache=True, {_FLAGS})\n{inspect.getsource(advance)}")
    return "\n".join(blocks)
