"""The one place where a theory value meets a sample.

A theory says a number, with a bound on its own numerical error and a declared model error (what the neglected order may
amount to, for example c/N). A simulation gives n independent replicas. `decide` answers one of three things:

- *consistent* at a resolution: the confidence interval of the mean lies inside theory +- (error + allowance + margin);
- *refuted*: the confidence interval lies outside that band;
- *undecided*: neither, with the number of further replicas that would settle it.

"Not significantly different" is never a pass: a sample too small to see a discrepancy of the declared margin is
undecided. A discrepancy smaller than the margin is never refuted, however large the sample: that is what the margin
declares.

An experiment without randomness is declared deterministic: one run then decides, and no alarm of it can be false.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..theory.errors import VerificationError, argument_error
from .intervals import binary_interval, largest_share, student_interval, widened_critical_value
from .verdicts import ClaimVerdict, Outcome, Verdict, aggregate

__all__ = ["ClaimVerdict", "Comparison", "Outcome", "Verdict", "aggregate", "decide", "decide_all", "sample_size"]

Array = NDArray[np.float64]

#: With fewer replicas than this the standard error itself is a guess.
FEWEST = 8
#: Larger magnitudes come from runs that blew up; their squares overflow.
LARGEST = 1e150
#: A spread below this share of the declared tolerance can't matter: the observable is deterministic for this purpose.
NEGLIGIBLE = 1e-9


@dataclass(frozen=True, eq=False)
class Comparison:
    r"""A claim of many components: an observable at many times and indices.

    Attributes
    ----------
    claim : str
        What is claimed.
    theory : array of shape S
        Theory values.
    sample : (n, \*S) array
        n independent replicas; the replica is the first axis.
    margin : array broadcastable to S
        Largest discrepancy that still counts as agreement, beyond error and allowance.
    theory_error, allowance : array broadcastable to S
        Numerical error bound of the theory; declared model error.
    where : array of bool broadcastable to S, optional
        Which components to compare, for example the upper triangle of a symmetric matrix. All by default.
    coordinates : Mapping from axis name to values, in axis order, optional
        Names the components: ``{"time": times, "i": range(K), "k": range(K)}``.
    seed : object
        What replays the sample.
    binary : bool
        The sample holds outcomes 0 and 1; see `decide`.
    deterministic : bool
        The experiment has no randomness; see `decide`.
    """

    claim: str
    theory: ArrayLike
    sample: ArrayLike
    margin: ArrayLike
    theory_error: ArrayLike = 0.0
    allowance: ArrayLike = 0.0
    where: ArrayLike | None = None
    coordinates: Mapping[str, Sequence[object]] | None = None
    seed: object = None
    binary: bool = False
    deterministic: bool = False


def decide(
    claim: str,
    *,
    theory: float,
    theory_error: float,
    sample: ArrayLike,
    margin: float,
    false_alarm_rate: float,
    allowance: float = 0.0,
    missed_alarm_rate: float = 1e-2,
    binary: bool = False,
    deterministic: bool = False,
    seed: object = None,
    context: Mapping[str, object] | None = None,
) -> Verdict:
    """Decide between a theory value and the mean of independent replicas.

    Parameters
    ----------
    claim : str
        What is claimed.
    theory : float
        The theory's value of the mean.
    theory_error : float
        Bound on its numerical error, >= 0.
    sample : (n,) array
        Independent replicas.
    margin : float
        The largest discrepancy that still counts as agreement, beyond ``theory_error + allowance``; >= 0. At margin 0 a
        random sample can only be refuted or undecided.
    false_alarm_rate : float
        Largest probability, in (0, 0.5), of refuting a theory that agrees.
    allowance : float
        Declared model error, for example c/N with c known in advance; >= 0.
    missed_alarm_rate : float
        Probability in (0, 0.5) that ``needed`` further replicas still do not decide.
    binary : bool
        The sample holds outcomes 0 and 1. The interval is then Clopper and Pearson's, which is exact; a sample of equal
        outcomes has an honest width instead of none.
    deterministic : bool
        The experiment has no randomness: a repetition gives the same number. One replica is enough then and is compared
        exactly: "consistent" if it is within ``theory_error + allowance + margin``, else "refuted". The statistic is
        the discrepancy beyond error and allowance in units of the margin, the threshold 1, the false-alarm rate 0.
        Replicas that differ anyway count by their whole range.
    seed : object
        What replays the sample; kept.
    context : Mapping
        Kept.

    Returns
    -------
    Verdict

    Raises
    ------
    AssumptionError
        An argument makes no sense.
    VerificationError
        The sample holds NaN, an infinity or a number beyond 1e150: a run that blew up.

    Notes
    -----
    The interval of the mean is the hull of Student's t interval and its correction for skewness by Hall's cubic
    transformation [1]_, with the sample skewness taken one standard error further out. It decides on both sides: two
    one-sided tests of equivalence for *consistent*, the same limits for *refuted*. A sample in which one replica
    carries most of the spread (more than half, and more than a normal sample shows once in a thousand) is undecided,
    and so is one of fewer than 8.

    Equal replicas, or replicas whose spread is below rounding or below 1e-9 of the declared tolerance, are taken as a
    deterministic observable and compared exactly.

    Measured false alarms at nominal 1e-3: verdicts "refuted" in 10^5 on true theories (last row scaled from 2*10^4),
    with neither margin nor allowance, which is the worst case. The 99 % binomial bound of 1e-3 is 124. Generated and
    held by tests/statistical/test_false_alarms.py.

    ======================= ==== ==== ==== ====
    one replica             n=8  n=16 n=32 n=64
    ======================= ==== ==== ==== ====
    normal                  0    3    19   43
    mean of 200 relu(Z)^2   0    8    24   38
    exponential             6    38   40   59
    exp(Z)                  29   147  190  178
    mean of 200 exp(2Z)     0    85   240  225
    ======================= ==== ==== ==== ====

    The price: the interval is wider than Student's by 4.0, 1.35, 1.11, 1.05 for near-normal replicas at these n.

    Validity
    --------
    Replicas are independent with finite variance. The rate holds up to the skewness of an exponential law. It does not
    hold for exponentials of Gaussians (last two rows; plain Student t gives about 1150 in the last one at n=64): a
    sample that has not drawn from the tail can't know of it. Test those through their logarithm or by quadrature.

    References
    ----------
    .. [1] P. Hall, On the removal of skewness by transformation, J. R. Statist. Soc. B 54 (1992) 221-228.

    Examples
    --------
    >>> import numpy as np
    >>> sample = np.random.default_rng(1).normal(0.5, 0.1, size=400)
    >>> decide("mean", theory=0.5, theory_error=0, sample=sample, margin=0.05, false_alarm_rate=1e-3).verdict
    'consistent'
    >>> decide("mean", theory=0.6, theory_error=0, sample=sample, margin=0.05, false_alarm_rate=1e-3).verdict
    'refuted'
    >>> decide("mean", theory=0.5, theory_error=0, sample=sample, margin=0.005, false_alarm_rate=1e-3).verdict
    'undecided'
    """
    values = _numbers("sample", sample)
    if values.ndim != 1:
        raise argument_error(
            "sample", values.shape, "is not the shape (n,)", "pass one number a replica, or use decide_all"
        )
    judged = _judge(
        claim,
        values[:, None],
        np.array([_number("theory", theory)]),
        np.array([_number("theory_error", theory_error)]),
        np.array([_number("allowance", allowance)]),
        np.array([_number("margin", margin)]),
        rate=_rate("false_alarm_rate", false_alarm_rate),
        binary=binary,
        declared=deterministic,
    )
    return judged.verdict(0, claim, _rate("missed_alarm_rate", missed_alarm_rate), seed, dict(context or {}))


def decide_all(
    comparisons: Sequence[Comparison], *, family_false_alarm_rate: float, missed_alarm_rate: float = 1e-2
) -> list[Verdict]:
    """Decide every component of several claims, with one false-alarm rate for all of them together.

    Parameters
    ----------
    comparisons : sequence of Comparison
        The claims.
    family_false_alarm_rate : float
        Bound on the probability that any true component of any claim is refuted; split equally (Bonferroni) among the
        components that are random, which needs no independence of them.
    missed_alarm_rate : float
        As in `decide`.

    Returns
    -------
    list of Verdict
        Claims in the given order, components in row-major order; `aggregate` joins them again.

    Raises
    ------
    AssumptionError
        Shapes that do not fit, or no component at all.
    VerificationError
        A sample with NaN or infinities.
    """
    rate = _rate("family_false_alarm_rate", family_false_alarm_rate)
    missed = _rate("missed_alarm_rate", missed_alarm_rate)
    flat = [_flatten(comparison) for comparison in comparisons]
    counts = [columns.shape[1] for _, columns, *_ in flat]
    if not any(counts):
        raise argument_error("comparisons", len(flat), "hold no component to compare", "pass at least one")
    random = sum(count for count, comparison in zip(counts, comparisons, strict=True) if not comparison.deterministic)
    verdicts: list[Verdict] = []
    for comparison, (contexts, columns, theory, error, allowance, margin) in zip(comparisons, flat, strict=True):
        judged = _judge(
            comparison.claim,
            columns,
            theory,
            error,
            allowance,
            margin,
            rate=rate / max(random, 1),
            binary=comparison.binary,
            declared=comparison.deterministic,
        )
        for index, context in enumerate(contexts):
            verdicts.append(judged.verdict(index, comparison.claim, missed, comparison.seed, context))
    return verdicts


def sample_size(sigma: float, margin: float, false_alarm_rate: float, missed_alarm_rate: float = 1e-2) -> int:
    """Replicas for which a true theory is found consistent with probability 1 - missed_alarm_rate.

    The same number refutes a theory that is off by twice the margin with at least that probability.

    Parameters
    ----------
    sigma : float
        Standard deviation of one replica, > 0.
    margin : float
        Discrepancy to resolve, > 0.
    false_alarm_rate, missed_alarm_rate : float
        Both in (0, 0.5).

    Returns
    -------
    int
        At least 8.

    Notes
    -----
    To leading order (z_{1-a/2} + z_{1-b/2})^2 sigma^2 / margin^2, both tails of b since the test of equivalence can
    miss on both sides. Added are Student's t, the noise of the standard error and the usual width of the skewness
    correction.

    Validity
    --------
    Near-normal replicas. Skewed ones need more.

    Examples
    --------
    >>> sample_size(1.0, 0.1, 1e-3, 1e-2)
    3454
    """
    from scipy.stats import norm

    sigma, margin = _number("sigma", sigma), _number("margin", margin)
    rate, missed = _rate("false_alarm_rate", false_alarm_rate), _rate("missed_alarm_rate", missed_alarm_rate)
    if sigma <= 0:
        raise argument_error("sigma", sigma, "is not positive", "give the standard deviation of one replica")
    if margin <= 0:
        raise argument_error("margin", margin, "is not positive", "no finite sample resolves a discrepancy of zero")
    z = float(norm.ppf(1 - missed / 2))
    ratio = margin / sigma

    def enough(n: int) -> bool:
        # Skewness of a normal sample has standard error sqrt(6/n): two of them cover the usual widening.
        width = float(widened_critical_value(np.array(2 * sqrt(6.0) / n), n, rate))
        return ratio * sqrt(n) >= width + z * sqrt(1 + width**2 / (2 * n))

    if 40 / ratio**2 > 1e15:
        raise argument_error(
            "margin", margin, f"is too far below sigma={sigma!r}", "no sample of feasible size resolves it"
        )
    high = FEWEST
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(high, FEWEST)


@dataclass(frozen=True, eq=False)
class _Judgement:
    """The decisions on many columns of one sample, as arrays over the columns."""

    samples: int
    rate: float
    theory: Array
    theory_error: Array
    allowance: Array
    margin: Array
    mean: Array
    standard_error: Array
    lower: Array
    upper: Array
    share: Array
    trusted: NDArray[np.bool_]
    deterministic: NDArray[np.bool_]
    statistic: Array
    threshold: Array
    resolution: Array
    refuted: NDArray[np.bool_]
    consistent: NDArray[np.bool_]

    def verdict(self, at: int, claim: str, missed: float, seed: object, context: Mapping[str, object]) -> Verdict:
        outcome: Outcome = "undecided"
        if self.refuted[at]:
            outcome = "refuted"
        elif self.consistent[at]:
            outcome = "consistent"
        needed = self._needed(at, missed) if outcome == "undecided" else None
        return Verdict(
            claim=claim,
            verdict=outcome,
            statistic=float(self.statistic[at]),
            threshold=float(self.threshold[at]),
            resolution=float(self.resolution[at]),
            false_alarm_rate=self.rate,
            samples=self.samples,
            seed=seed,
            theory=float(self.theory[at]),
            theory_error=float(self.theory_error[at]),
            allowance=float(self.allowance[at]),
            margin=float(self.margin[at]),
            mean=float(self.mean[at]),
            standard_error=float(self.standard_error[at]),
            lower=float(self.lower[at]),
            upper=float(self.upper[at]),
            needed=needed,
            reason=self._reason(at, outcome, needed),
            context=context,
        )

    def _excess(self, at: int) -> float:
        return float(_excess(self.mean, self.theory, self.theory_error + self.allowance)[at])

    def _needed(self, at: int, missed: float) -> int | None:
        few = 0 if self.deterministic[at] else max(FEWEST - self.samples, 0)
        sigma = float(self.standard_error[at]) * sqrt(self.samples)
        margin = float(self.margin[at])
        gap = abs(margin - self._excess(at))
        # If the true discrepancy is what the sample shows, an interval narrower than the gap decides.
        if margin > 0 and sigma > 0 and gap > 0 and (gap / sigma) ** 2 > 1e-9 and (few or self.trusted[at]):
            planned = sample_size(sigma, gap, self.rate, missed) - self.samples
            return max(planned, few, 1)
        return few or None

    def _reason(self, at: int, outcome: Outcome, needed: int | None) -> str:
        margin = float(self.margin[at])
        excess = self._excess(at)
        if outcome == "undecided":
            if self.samples < FEWEST and not self.deterministic[at]:
                return f"{self.samples} replicas can't tell their own standard error: {FEWEST} is the least"
            if not self.trusted[at]:
                return (
                    f"heavy tail: one replica carries {self.share[at]:.0%} of the spread, so the standard error is not "
                    "to be trusted; test a bounded or logarithmic observable, or take many more replicas"
                )
            if margin == 0:
                return "no margin declared: a sample can't show agreement to within nothing"
            more = f"needs {needed} more replicas" if needed else "the discrepancy sits at the margin"
            return f"resolution {self.resolution[at]:.3g}, declared margin {margin:.3g}: {more}"
        exactly = "deterministic observable, " if self.deterministic[at] else ""
        if outcome == "refuted":
            sign = "above" if self.mean[at] > self.theory[at] else "below"
            return (
                f"{exactly}mean {sign} theory by {excess:.3g} more than its error and allowance; the sample excludes "
                f"everything up to the margin {margin:.3g}"
            )
        return f"{exactly}every discrepancy larger than {self.resolution[at]:.3g} is excluded (margin {margin:.3g})"


def _judge(
    claim: str,
    sample: Array,
    theory: Array,
    theory_error: Array,
    allowance: Array,
    margin: Array,
    *,
    rate: float,
    binary: bool = False,
    declared: bool = False,
) -> _Judgement:
    """Decide on every column of ``sample`` (n, c) against ``theory`` (c,), at ``rate`` each.

    ``declared``: the experiment was declared deterministic.
    """
    n, columns = sample.shape
    if n == 0:
        raise argument_error("sample", sample.shape, "holds no replica", "simulate at least 8")
    _check_sample(claim, sample)
    for name, values in (("theory_error", theory_error), ("allowance", allowance), ("margin", margin)):
        if np.any(values < 0):
            raise argument_error(name, float(values.min()), "is negative", "give a bound, zero or larger")
    tolerance = theory_error + allowance
    if declared and binary:
        raise argument_error("binary", True, "comes with deterministic", "declare one of the two")
    if declared:
        rate = 0.0
        deterministic, trusted = np.full(columns, True), np.full(columns, True)
        share, error = np.zeros(columns), np.zeros(columns)
        lower, upper = sample.min(axis=0), sample.max(axis=0)
        mean = np.clip(sample.mean(axis=0), lower, upper)
    elif binary:
        wrong = sample[(sample != 0) & (sample != 1)]
        if wrong.size:
            raise argument_error("binary", True, f"but the sample holds {float(wrong[0])!r}", "pass outcomes 0 and 1")
        mean, error, lower, upper = binary_interval(sample, rate)
        share, trusted = np.zeros(columns), np.full(columns, n >= FEWEST)
        deterministic = np.zeros(columns, dtype=np.bool_)
    else:
        mean, error, lower, upper, share = student_interval(sample, rate)
        spread = np.ptp(sample, axis=0)
        rounding = 64 * np.finfo(np.float64).eps * np.abs(sample).max(axis=0)
        deterministic = (n >= FEWEST) & (spread <= np.maximum(rounding, NEGLIGIBLE * (tolerance + margin)))
        # Such a sample knows its mean up to its own spread, and nothing finer. The mean of equal numbers is that
        # number, which a floating-point sum can miss.
        low, high = sample.min(axis=0), sample.max(axis=0)
        mean = np.where(deterministic, np.clip(mean, low, high), mean)
        error = np.where(deterministic, 0.0, error)
        lower = np.where(deterministic, low, lower)
        upper = np.where(deterministic, high, upper)
        trusted = (n >= FEWEST) & (deterministic | (share <= largest_share(max(n, FEWEST))))
    excess = _excess(mean, theory, tolerance)
    # The side on which a refutation would lie: the interval reaches towards the theory by this much.
    towards = np.where(mean >= theory, mean - lower, upper - mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(error > 0, excess / error, np.where(excess > towards + margin, inf, 0.0))
        threshold = np.where(error > 0, (towards + margin) / error, 0.0)
    farthest = np.maximum(upper - theory, theory - lower)
    if declared:  # there is no error to measure the excess by, but what was declared
        in_margins = excess / np.where(margin > 0, margin, 1.0)
        above = np.where(margin > 0, np.maximum(in_margins, np.nextafter(1.0, 2.0)), inf)
        statistic = np.where(excess > margin, above, np.minimum(in_margins, 1.0))
        threshold = np.ones(columns)
    # An infinite limit comes from a sample of one or two: nothing is resolved.
    resolution = np.where(trusted, np.maximum(farthest - tolerance, 0.0), inf)
    refuted = trusted & (statistic > threshold)
    consistent = trusted & ~refuted & (resolution <= margin)
    return _Judgement(
        n, rate, theory, theory_error, allowance, margin, mean, error, lower, upper, share, trusted, deterministic,
        statistic, threshold, resolution, refuted, consistent,
    )  # fmt: skip


def _excess(mean: Array, theory: Array, tolerance: Array) -> Array:
    return np.maximum(np.abs(mean - theory) - tolerance, 0.0)


def _flatten(
    comparison: Comparison,
) -> tuple[list[dict[str, object]], Array, Array, Array, Array, Array]:
    """Contexts, sample columns (n, c), theory, theory_error, allowance, margin (c,) of the chosen components."""
    theory = _numbers("theory", comparison.theory)
    _check_finite("theory", theory)
    sample = _numbers("sample", comparison.sample)
    shape = theory.shape
    if sample.ndim != theory.ndim + 1 or sample.shape[1:] != shape:
        raise argument_error(
            "sample",
            sample.shape,
            f"does not fit the theory's shape {shape}",
            "put the replica first: (n, *theory.shape)",
        )
    given = {name: _numbers(name, getattr(comparison, name)) for name in ("theory_error", "allowance", "margin")}
    where = np.asarray(True if comparison.where is None else comparison.where, dtype=bool)
    try:
        chosen = np.broadcast_to(where, shape).ravel()
    except ValueError:
        raise argument_error("where", where.shape, f"does not broadcast to {shape}", "give a mask") from None
    parts = []
    for name, values in given.items():
        _check_finite(name, values)
        try:
            parts.append(np.broadcast_to(values, shape).ravel()[chosen])
        except ValueError:
            raise argument_error(
                name, values.shape, f"does not broadcast to {shape}", "give a number or an array"
            ) from None
    contexts = [_context(comparison.coordinates, shape, int(flat)) for flat in np.flatnonzero(chosen)]
    columns = sample.reshape(sample.shape[0], -1)[:, chosen]
    return contexts, columns, theory.ravel()[chosen], parts[0], parts[1], parts[2]


def _context(
    coordinates: Mapping[str, Sequence[object]] | None, shape: tuple[int, ...], flat: int
) -> dict[str, object]:
    index = [int(i) for i in np.unravel_index(flat, shape)]
    if coordinates is None:
        return {"index": tuple(index)} if len(index) > 1 else {"index": index[0]} if index else {}
    lengths = tuple(len(values) for values in coordinates.values())
    if lengths != shape:
        raise argument_error("coordinates", lengths, f"are not the theory's shape {shape}", "name each axis in order")
    return {name: values[i] for (name, values), i in zip(coordinates.items(), index, strict=True)}


def _check_sample(claim: str, sample: Array) -> None:
    bad = ~np.isfinite(sample) | (np.abs(np.nan_to_num(sample, nan=0.0)) > LARGEST)
    if bad.any():
        replicas = np.flatnonzero(bad.any(axis=1))
        shown = ", ".join(str(i) for i in replicas[:5]) + (", ..." if len(replicas) > 5 else "")
        raise VerificationError(
            f"{claim}: {int(bad.sum())} of {bad.size} sample values are NaN, infinite or beyond {LARGEST:g} "
            f"(replicas {shown}): those runs blew up. Dropping them biases the mean: report them as divergences, and "
            "lower the learning rate or compare at earlier times"
        )


def _numbers(name: str, value: object) -> Array:
    try:
        raw = np.asarray(value)
        if raw.dtype.kind not in "fiub":
            raise TypeError
        return raw.astype(np.float64)
    except (TypeError, ValueError):
        raise argument_error(name, value, "does not hold real numbers", "pass a float array") from None


def _number(name: str, value: object) -> float:
    number = _numbers(name, value)
    if number.ndim != 0:
        raise argument_error(name, value, "is not one number", "use decide_all for arrays")
    _check_finite(name, number)
    return float(number)


def _check_finite(name: str, values: Array) -> None:
    bad = values[~np.isfinite(values)]
    if bad.size:
        raise argument_error(name, float(bad[0]), "is not finite", "give a finite number")


def _rate(name: str, value: object) -> float:
    rate = _number(name, value)
    if not 0 < rate < 0.5:
        raise argument_error(name, rate, "is not in (0, 0.5)", "give a probability such as 1e-3")
    return rate
