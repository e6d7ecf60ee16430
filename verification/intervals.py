"""Confidence limits of a mean from independent replicas, column by column.

What makes a Student interval dishonest is skewness: a sample that happens to miss the long tail has its mean too low
and its standard error too small at once. The limits here correct for the skewness the sample shows, taken one standard
error further out, by inverting Hall's cubic transformation of the studentised mean (J. R. Statist. Soc. B 54 (1992)
221), and never lie inside Student's.
"""

from functools import lru_cache
from math import inf, nan, sqrt

import numpy as np
from numpy.typing import NDArray

__all__ = ["binary_interval", "largest_share", "student_interval", "widened_critical_value"]

Array = NDArray[np.float64]


def student_interval(sample: Array, rate: float) -> tuple[Array, Array, Array, Array, Array]:
    """Mean, standard error, limits (n, c) -> (c,), and the largest share of the spread one replica carries."""
    n = sample.shape[0]
    mean = sample.mean(axis=0)
    if n < 3:
        # No skewness without three numbers; fewer than 8 are undecided anyway.
        nothing = np.full(mean.shape, nan)
        return mean, nothing if n == 1 else sample.std(axis=0, ddof=1) / sqrt(n), mean - inf, mean + inf, nothing
    deviation = sample - mean
    largest = np.abs(deviation).max(axis=0)
    scale = np.where(largest > 0, largest, 1.0)  # squares of tiny spreads must not underflow
    unit = deviation / scale
    square = unit * unit
    total = square.sum(axis=0)
    safe = np.where(total > 0, total, 1.0)
    error = scale * np.sqrt(total / (n - 1) / n)
    skewness = (square * unit).sum(axis=0) / n / (safe / n) ** 1.5 * sqrt(n * (n - 1)) / (n - 2)
    # The mean's skewness, one standard error of the sample skewness (sqrt(6/n)) further out on either side.
    noise = sqrt(6.0) / n
    reach_up = widened_critical_value(np.maximum(skewness, 0.0) / sqrt(n) + noise, n, rate)
    reach_down = widened_critical_value(np.maximum(-skewness, 0.0) / sqrt(n) + noise, n, rate)
    return mean, error, mean - reach_down * error, mean + reach_up * error, square.max(axis=0) / safe


def widened_critical_value(skew: Array, n: int, rate: float) -> Array:
    """Critical value of the studentised mean on the side its skewness ``skew`` (of the mean, >= 0) makes heavier.

    Inverts Hall's cubic g(T) = T + u T^2/3 + u^2 T^3/27 + u/6 at Student's t. Past its largest value over u the
    correction shrinks again, which more skewness never should: the largest value is kept.
    """
    quantile, peak = _critical(n, rate)
    u = np.clip(skew, 1e-9, peak)
    return np.maximum(_hall(u, quantile), quantile)


def _hall(u: Array, quantile: float) -> Array:
    width: Array = 3 / u * (1 - np.cbrt(1 - u * (quantile + u / 6)))
    return width


@lru_cache(maxsize=256)
def _critical(n: int, rate: float) -> tuple[float, float]:
    """Two-sided Student quantile for n replicas, and the skewness of the mean at which Hall's correction is widest."""
    from scipy.stats import t

    quantile = float(t.isf(rate / 2, n - 1))
    grid = np.geomspace(1e-6, 100.0, 20001)
    return quantile, float(grid[np.argmax(_hall(grid, quantile))])


@lru_cache(maxsize=256)
def largest_share(n: int) -> float:
    """Largest share of the spread one replica may carry: half, or what a normal sample exceeds once in a thousand."""
    from scipy.stats import t

    square = float(t.isf(1e-3 / (2 * n), n - 2)) ** 2
    return max(0.5, (n - 1) / n * square / (n - 2 + square))  # Grubbs' test for one outlier


def binary_interval(sample: Array, rate: float) -> tuple[Array, Array, Array, Array]:
    """Mean, standard error and Clopper-Pearson limits of 0/1 outcomes (n, c)."""
    from scipy.stats import beta

    n = sample.shape[0]
    hits = sample.sum(axis=0)
    lower = np.where(hits > 0, beta.ppf(rate / 2, np.maximum(hits, 1), n - hits + 1), 0.0)
    upper = np.where(hits < n, beta.isf(rate / 2, hits + 1, np.maximum(n - hits, 1)), 1.0)
    guess = (hits + 1) / (n + 2)  # Laplace's estimate: the standard error of equal outcomes is not zero
    return hits / n, np.sqrt(guess * (1 - guess) / n), lower, upper
