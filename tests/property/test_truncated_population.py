"""What holds for every start, target and mass: units, the logistic law, and laws of the moments."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hermiton.numerics.population import PopulationStart
from hermiton.numerics.solution import Solution
from hermiton.numerics.solve import solve
from hermiton.theory.truncated_population import TruncatedPopulation

STARTS = st.floats(0.05, 0.95)
TARGETS = st.floats(-0.5, 1.5).filter(lambda target: abs(target) > 0.02)
MASSES = st.floats(0.1, 10)
TIMES = np.array([0.25, 1.0, 3.0])


def solved(start: float, target: float, mass: float, times: np.ndarray) -> Solution:
    setting = TruncatedPopulation("uniform", target, mass)
    return solve(setting, PopulationStart(setting, start), times)


@settings(max_examples=12, deadline=None)
@given(STARTS, TARGETS, MASSES)
def test_mass_is_the_unit_of_time(start: float, target: float, mass: float) -> None:
    one, other = solved(start, target, 1.0, TIMES), solved(start, target, mass, TIMES / mass)
    for name in one.data:
        gap = np.abs(one.data[name].values - other.data[name].values)
        assert np.all(gap <= one.errors[name].values + other.errors[name].values), name


@settings(max_examples=12, deadline=None)
@given(STARTS, TARGETS)
def test_logistic_law_and_moments(start: float, target: float) -> None:
    """Rising and falling, as long as the threshold is between the ends of the uniform distribution."""
    found = solved(start, target, 1.0, TIMES)
    data, errors = found.data, found.errors
    ratio = (target - start) / start * np.exp(-target * TIMES)
    wanted = target / (1 + ratio)
    inside = (wanted < 1) & (wanted > 0)
    theta, error = data["threshold"].values, errors["threshold"].values
    assert np.all(np.abs(theta - wanted)[inside] <= error[inside] + 1e-12)
    clipped = np.clip(theta, 0, 1)
    mean = theta + (1 - clipped) ** 2 / 2
    variance = (1 - clipped) ** 3 / 3 - (1 - clipped) ** 4 / 4
    moments = {"truncated_fraction": clipped, "within_class_mean": mean, "within_class_variance": variance}
    for name, value in moments.items():
        assert np.all(np.abs(data[name].values - value) <= errors[name].values + error + 1e-12), name
    assert np.all(data["fluctuation_variance"].values >= -errors["fluctuation_variance"].values)
    if start < target:
        response = data["response"].values - TIMES * clipped
        assert np.all(np.abs(response) <= errors["response"].values + TIMES * error + 1e-12)
