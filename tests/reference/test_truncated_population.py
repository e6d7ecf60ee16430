"""Population limits against numbers of another make: reference values, quadratures, and exact paths of samples."""

import functools
from itertools import pairwise

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import quad
from scipy.stats import chi2, kstest, norm

from hermiton.numerics.events import solve_by_events
from hermiton.numerics.population import PopulationStart
from hermiton.numerics.solution import Solution
from hermiton.numerics.solve import solve
from hermiton.theory.notation import z
from hermiton.theory.truncated_population import TruncatedPopulation

SAMPLES, SIZE = 200, 1000
# The sample variance of SAMPLES normal variables of known mean leaves this interval once in 1e4: declared in advance.
LOW, HIGH = (chi2.ppf(share, SAMPLES) / SAMPLES for share in (5e-5, 1 - 5e-5))


@functools.cache
def solution(name: str, start: float, target: float) -> Solution:
    setting = TruncatedPopulation(name, target)
    return solve(setting, PopulationStart(setting, start), [1, 2, 3, 5, 10])


# Computed with a solver of its own (scipy, closed forms of the normal distribution) before this code was written. As
# printed: each is good to half a unit of its last digit.
REFERENCES = {
    "threshold": {1: "0.01678338", 2: "1.62651452", 5: "2.92983863", 10: "2.9995239"},
    "truncated_fraction": {1: "0.50669529", 2: "0.94807988", 5: "0.99830431"},
    "within_class_variance": {
        1: "0.3341754",
        2: "0.01594105",
        3: "0.001258055",
        5: "0.0002640044",
        10: "0.0002036527",
    },
}


@pytest.mark.parametrize("name", REFERENCES)
def test_standard_normal(name: str) -> None:
    found = solution("normal", -1, 3)
    for time, printed in REFERENCES[name].items():
        half = 0.5 * 10.0 ** -len(printed.partition(".")[2])
        error = float(found.errors[name].sel(time=time))
        assert abs(found.data[name].sel(time=time) - float(printed)) <= error + half, time


def test_start_of_the_standard_normal() -> None:
    start = PopulationStart(TruncatedPopulation("normal", 3), -1)
    assert abs(start.within_class_variance - 0.7510878078) < 5e-11


def test_standard_normal_fluctuation() -> None:
    assert np.sqrt(solution("normal", -1, 3).data["fluctuation_variance"].sel(time=2)) == pytest.approx(2.238, abs=5e-4)


def test_uniform() -> None:
    data = solution("uniform", 0.1, 0.8)
    for time, wanted in ((2, 0.3314996395), (5, 0.7090881788)):
        assert abs(data.data["threshold"].sel(time=time) - wanted) <= data.errors["threshold"].sel(time=time) + 5e-11


# -- formulas with integrals, at the solved threshold ----------------------------------------------------------------

LAWS = {
    "normal": norm.cdf,
    "uniform": lambda x: np.clip(x, 0, 1),
    "1/(1 + exp(-z))": lambda x: 1 / (1 + np.exp(-x)),
    "Max(0, 1 - exp(-z))": lambda x: np.maximum(0, 1 - np.exp(-x)),
}
CASES = [
    ("normal", -1, 3),
    ("normal", 3, -1),
    ("uniform", 0.1, 0.8),
    ("uniform", 0.9, -0.5),
    ("1/(1 + exp(-z))", -1.5, 2),
    ("Max(0, 1 - exp(-z))", 0.2, 5),
]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(80)


def bridge_variance(F, start: float, end: float, target: float) -> float:
    """V from the double integral over the covariance of the bridge, on the triangle between start and end, twice."""
    x, wx = start + (end - start) * (1 + NODES) / 2, (end - start) * WEIGHTS / 2
    y = start + (x[:, None] - start) * (1 + NODES[None, :]) / 2
    wy = (x[:, None] - start) * WEIGHTS[None, :] / 2
    covariance = F(np.minimum(x[:, None], y)) - F(x)[:, None] * F(y)
    integrand = covariance / ((target - x[:, None]) * F(x)[:, None] ** 2 * (target - y) * F(y) ** 2)
    return float((F(end) * (target - end)) ** 2 * 2 * np.einsum("i,ij,ij", wx, wy, integrand))


def integral_above(F, theta: float, power: int, ends: list[float]) -> float:
    return sum(quad(lambda y: (y - theta) ** power * (1 - F(y)), *pair, epsabs=1e-13)[0] for pair in pairwise(ends))


@pytest.mark.parametrize(("name", "start", "target"), CASES)
def test_integrals_of_the_definition(name: str, start: float, target: float) -> None:
    """Time, fraction, mean, variance and fluctuation from the solved threshold alone, by quadrature."""
    found, F = solution(name, start, target), LAWS[name]
    for time in (1, 2):
        values = {key: float(found.data[key].sel(time=time)) for key in found.data}
        errors = {key: float(found.errors[key].sel(time=time)) for key in found.data}
        theta = values["threshold"]
        assert abs(quad(lambda y: 1 / (F(y) * (target - y)), start, theta)[0] - time) < 1e-6
        ends = [theta, *(b for b in (0, 1, 4) if b > theta), 40]  # what lies beyond is below 1e-16
        above, second = (integral_above(F, theta, power, ends) for power in (0, 1))
        wanted = {
            "truncated_fraction": F(theta),
            "within_class_mean": theta + above,
            "within_class_variance": 2 * second - above**2,
        }
        for key, value in wanted.items():
            assert abs(values[key] - value) <= errors[key] + 2 * errors["threshold"] + 1e-10, key
        variance = bridge_variance(F, start, theta, target)
        # The fluctuation changes with the threshold: at a threshold that is off it is off in proportion.
        assert abs(values["fluctuation_variance"] - variance) <= 1e-6 * (1 + variance)


# -- samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "start", "target"), CASES[:4])
def test_fluctuation_of_samples(name: str, start: float, target: float) -> None:
    """Variance of sqrt(N) (theta_N - theta) over samples of N = 1000, whose paths are exact."""
    time = 2.0
    theta = float(solution(name, start, target).data["threshold"].sel(time=time))
    variance = float(solution(name, start, target).data["fluctuation_variance"].sel(time=time))
    deviations = []
    for seed in range(SAMPLES):
        rng = np.random.default_rng([seed, 20261126])
        points = rng.standard_normal(SIZE) if name == "normal" else rng.random(SIZE)
        path = solve_by_events(points, 1 / SIZE, target / SIZE, start)
        deviations.append(np.sqrt(SIZE) * (float(path(time)) - theta))
    ratio = np.mean(np.square(deviations)) / variance
    assert LOW < ratio < HIGH


def test_normal_law_of_the_fluctuation() -> None:
    """Not only its variance: Kolmogorov and Smirnov's test, at a false-alarm rate of 1e-4."""
    found = solution("normal", -1, 3)
    theta = float(found.data["threshold"].sel(time=1))
    std = float(np.sqrt(found.data["fluctuation_variance"].sel(time=1)))
    scaled = []
    for seed in range(SAMPLES):
        points = np.random.default_rng([seed, 7]).standard_normal(4 * SIZE)
        path = solve_by_events(points, 0.25 / SIZE, 0.75 / SIZE, -1)
        scaled.append(np.sqrt(4 * SIZE) * (float(path(1.0)) - theta) / std)
    assert kstest(scaled, norm.cdf).pvalue > 1e-4


def test_text_and_sympy_are_one_distribution() -> None:
    assert TruncatedPopulation("1/(1 + exp(-z))", 1).pieces == TruncatedPopulation(1 / (1 + sp.exp(-z)), 1).pieces
