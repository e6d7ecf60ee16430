"""What a comparison of theory and sample says: a verdict for each component, joined to a verdict for each claim."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Literal

import numpy as np

__all__ = ["ClaimVerdict", "Outcome", "Verdict", "aggregate"]

Outcome = Literal["consistent", "refuted", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What one sample says about one theory value.

    Attributes
    ----------
    claim : str
        What is claimed.
    verdict : {"consistent", "refuted", "undecided"}
        The decision.
    statistic : float
        max(|mean - theory| - theory_error - allowance, 0) / standard_error.
    threshold : float
        Refuted if and only if the sample can be judged and ``statistic > threshold``: the critical value (Student's t,
        widened for skewness) plus ``margin / standard_error``.
    resolution : float
        The smallest margin at which this sample would make the claim consistent: every larger discrepancy beyond
        error and allowance is excluded. Infinite where the sample can't be judged.
    false_alarm_rate : float
        Probability at most allowed for refuting a theory that agrees, and for passing one that is off by the margin.
    samples : int
        Number of independent replicas.
    seed : object
        What replays the sample.
    theory, theory_error, allowance, margin : float
        The claim's value, its numerical error bound, the declared model error, the declared margin.
    mean, standard_error, lower, upper : float
        The sample's mean, its standard error and the confidence interval the decision was read from.
    needed : int or None
        How many more replicas would decide, where undecided and such a number exists.
    reason : str
        The decision in words, with its numbers.
    context : Mapping
        Which component of the claim this is, for example its time and its indices.
    """

    claim: str
    verdict: Outcome
    statistic: float
    threshold: float
    resolution: float
    false_alarm_rate: float
    samples: int
    seed: object = field(hash=False)
    theory: float
    theory_error: float
    allowance: float
    margin: float
    mean: float
    standard_error: float
    lower: float
    upper: float
    needed: int | None
    reason: str
    context: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def discrepancy(self) -> float:
        """Mean minus theory, with its sign."""
        return self.mean - self.theory

    @property
    def component(self) -> str:
        """The component in words, such as ``time=2, i=0, k=1``; empty for a claim of one number."""
        return ", ".join(f"{key}={_short(value)}" for key, value in self.context.items())


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim with all its components: refuted if one is, consistent if all are, undecided otherwise.

    Attributes
    ----------
    claim : str
        What is claimed.
    verdict : {"consistent", "refuted", "undecided"}
        The decision on the whole claim.
    components : tuple of Verdict
        The decisions it rests on.
    """

    claim: str
    verdict: Outcome
    components: tuple[Verdict, ...]

    @property
    def decisive(self) -> Verdict:
        """The component nearest to refutation among those that carry the claim's own verdict."""
        carrying = [part for part in self.components if part.verdict == self.verdict]
        return max(carrying, key=_severity)

    @property
    def statistic(self) -> float:
        """Statistic of the decisive component."""
        return self.decisive.statistic

    @property
    def threshold(self) -> float:
        """Threshold of the decisive component."""
        return self.decisive.threshold

    @property
    def resolution(self) -> float:
        """The coarsest resolution among the components."""
        return max(part.resolution for part in self.components)

    @property
    def false_alarm_rate(self) -> float:
        """Bound on the probability of a false alarm anywhere in the claim: the sum over its components."""
        return min(1.0, sum(part.false_alarm_rate for part in self.components))

    @property
    def samples(self) -> int:
        """The smallest number of replicas behind a component."""
        return min(part.samples for part in self.components)

    @property
    def seed(self) -> object:
        """What replays the decisive component's sample."""
        return self.decisive.seed

    @property
    def needed(self) -> int | None:
        """Further replicas that would decide every component for which such a number exists."""
        return max((part.needed for part in self.components if part.needed is not None), default=None)

    @property
    def reason(self) -> str:
        """The decision in words."""
        count = len(self.components)
        if count == 1:
            return self.components[0].reason
        part, name = self.decisive, self.decisive.component
        alike = sum(1 for other in self.components if other.verdict == self.verdict)
        where = f" ({name})" if name else ""
        return f"{alike} of {count} components {self.verdict}; nearest to refutation{where}: {part.reason}"


def aggregate(verdicts: Sequence[Verdict]) -> list[ClaimVerdict]:
    """Join the components of each claim, claims in order of first appearance.

    Parameters
    ----------
    verdicts : sequence of Verdict
        Components; those with the same ``claim`` belong together.

    Returns
    -------
    list of ClaimVerdict
    """
    claims: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        claims.setdefault(verdict.claim, []).append(verdict)
    joined = []
    for claim, parts in claims.items():
        kinds = {part.verdict for part in parts}
        outcome: Outcome = "undecided"
        if "refuted" in kinds:
            outcome = "refuted"
        elif kinds == {"consistent"}:
            outcome = "consistent"
        joined.append(ClaimVerdict(claim, outcome, tuple(parts)))
    return joined


def _severity(verdict: Verdict) -> float:
    """How near to refutation, at most 1 unless refuted; comparable between components of different scale."""
    if verdict.threshold > 0 and isfinite(verdict.threshold):
        return verdict.statistic / verdict.threshold
    return inf if verdict.verdict == "refuted" else 0.0


def _short(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{float(value):.6g}"
    return str(value)
