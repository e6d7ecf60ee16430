"""Which Hermite coefficients vanish identically: a rule with its proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sympy as sp

from ..notation import z
from .polynomials import parity_split
from .table import Fact

if TYPE_CHECKING:
    from ..activation import Activation

__all__ = ["Vanishing", "vanishing", "vanishing_facts"]


@dataclass(frozen=True)
class Vanishing:
    """Coefficients h_k(0, s) = E[sigma(s x) He_k(x)] that vanish for every s > 0.

    Parameters
    ----------
    even_from, odd_from : int or None
        All even (odd) k from this one on vanish; None if infinitely many of them do not.
    """

    even_from: int | None
    odd_from: int | None

    def __contains__(self, k: int) -> bool:
        first = self.odd_from if k % 2 else self.even_from
        return first is not None and k >= first

    def __str__(self) -> str:
        if self.even_from is not None and self.odd_from is not None:
            last = {k for k in range(max(self.even_from, self.odd_from)) if k not in self}
            return f"all k but {', '.join(map(str, sorted(last)))}"
        if self.even_from is not None:
            return "even k" if not self.even_from else f"even k >= {self.even_from}"
        if self.odd_from is not None:
            return "odd k" if self.odd_from == 1 else f"odd k >= {self.odd_from}"
        return "none"


def vanishing(activation: Activation) -> Vanishing | None:
    """The rule of zeros at mean 0.

    The even coefficients are those of the even part of sigma. If that part is a polynomial of degree d, they vanish
    beyond d for every s, since He_k is orthogonal to lower degrees; if it is none, infinitely many do not vanish, since
    the Hermite polynomials are complete.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    Vanishing or None
        None if it is open whether a part is a polynomial.

    >>> from hermiton.theory.activation import Activation
    >>> str(vanishing(Activation("sigmoid"))), str(vanishing(Activation("softplus")))
    ('even k >= 2', 'odd k >= 3')
    """
    split = parity_split(activation)
    first: list[int | None] = []
    for parity in (0, 1):
        polynomial, reason = split.part(parity)
        if polynomial is None and not reason:
            return None
        if polynomial is None:
            first.append(None)
        else:
            first.append(parity if polynomial.is_zero else int(sp.Poly(polynomial, z).degree()) + 2)
    return Vanishing(first[0], first[1])


def vanishing_facts(activation: Activation) -> list[Fact]:
    """The zeros at mean 0, and those at every mean.

    Parameters
    ----------
    activation : Activation
        sigma.

    Returns
    -------
    list of Fact
    """
    name, everywhere = "zeros of h_k at mean 0", "zeros of h_k at every mean"
    split = parity_split(activation)
    rule = vanishing(activation)
    if rule is None:
        missing = "even" if split.even is None and not split.even_reason else "odd"
        facts = [Fact(name, None, f"whether the {missing} part of sigma is a polynomial", "undecided")]
    else:
        reason = f"{split.even_reason}; {split.odd_reason}"
        if activation.degree is not None:
            left = [str(k) for k, h in enumerate(activation.hermite(activation.degree).coefficients) if h != 0]
            reason += f"; at s = 1 only those of k = {', '.join(left)} are not zero"
        facts = [Fact(name, rule, reason, "proved")]
    if activation.degree is not None:
        facts.append(
            Fact(everywhere, f"k > {activation.degree}", "sigma(m + s x) is a polynomial of this degree in x", "proved")
        )
    elif rule is not None and (rule.even_from is None or rule.odd_from is None):
        facts.append(
            Fact(
                everywhere,
                "none",
                "if h_k(m, s) = 0 for every m, then h_j = (s d/dm)^(j-k) h_k = 0 for j >= k, and sigma is a polynomial",
                "proved",
            )
        )
    else:
        facts.append(Fact(everywhere, None, "whether sigma is a polynomial", "undecided"))
    return facts
