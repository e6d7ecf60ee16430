"""The integrators: coefficients, orders, exact solutions, stiffness, divergence, lanes, bad input, caching."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from itertools import combinations_with_replacement
from math import prod

import numpy as np
import pytest
from numba import njit
from scipy.integrate import DOP853 as SciPyDOP853
from scipy.integrate import solve_ivp

from hermiton.numerics.integrators.explicit_rk import combination
from hermiton.numerics.integrators.tableaux import DOP853, SDIRK4, TSIT5, ExplicitTableau
from hermiton.numerics.ode import integrate, integrate_lanes
from hermiton.theory.errors import AssumptionError

METHODS = ("DOP853", "Tsit5", "SDIRK4")
EXPLICIT = ("DOP853", "Tsit5")


@njit
def decay(t, y, p, sizes, work, dy):
    for i in range(y.size):
        dy[i] = -p[i] * y[i]


@njit
def logistic(t, y, p, sizes, work, dy):
    dy[0] = p[0] * y[0] * (1.0 - y[0])


@njit
def kepler(t, y, p, sizes, work, dy):
    cube = (y[0] ** 2 + y[1] ** 2) ** 1.5
    dy[0] = y[2]
    dy[1] = y[3]
    dy[2] = -y[0] / cube
    dy[3] = -y[1] / cube


@njit
def square(t, y, p, sizes, work, dy):
    dy[0] = y[0] * y[0]


@njit
def driven(t, y, p, sizes, work, dy):
    dy[0] = np.cos(t) * y[0]


@njit
def robertson(t, y, p, sizes, work, dy):
    dy[0] = -0.04 * y[0] + 1e4 * y[1] * y[2]
    dy[2] = 3e7 * y[1] * y[1]
    dy[1] = -dy[0] - dy[2]


@njit
def van_der_pol(t, y, p, sizes, work, dy):
    dy[0] = y[1]
    dy[1] = p[0] * ((1.0 - y[0] * y[0]) * y[1] - y[0])


@njit
def uses_everything(t, y, p, sizes, work, dy):
    for i in range(work.size):
        work[i] = p[i]
    total = 0.0
    for i in range(work.size):
        total += work[i]
    dy[0] = total * sizes[0] + 0.0 * t


@njit
def logistic_lanes(t, y, p, sizes, work, dy):
    for lane in range(t.size):
        dy[lane] = p[lane] * y[lane] * (1.0 - y[lane])


@njit
def kepler_lanes(t, y, p, sizes, work, dy):
    w = t.size
    for lane in range(w):
        x0, x1 = y[lane], y[w + lane]
        cube = (x0 * x0 + x1 * x1) ** 1.5
        dy[lane] = y[2 * w + lane]
        dy[w + lane] = y[3 * w + lane]
        dy[2 * w + lane] = -x0 / cube
        dy[3 * w + lane] = -x1 / cube


@njit
def square_lanes(t, y, p, sizes, work, dy):
    for lane in range(t.size):
        dy[lane] = p[lane] * y[lane] * y[lane]


def kepler_start(eccentricity):
    return [1 - eccentricity, 0.0, 0.0, np.sqrt((1 + eccentricity) / (1 - eccentricity))]


def kepler_position(eccentricity, times):
    """Position from Kepler's equation M = E - e sin E, semi-major axis and period / 2 pi equal to one."""
    anomaly = np.array(times, dtype=float)
    for _ in range(60):
        anomaly -= (anomaly - eccentricity * np.sin(anomaly) - times) / (1 - eccentricity * np.cos(anomaly))
    return np.cos(anomaly) - eccentricity, np.sqrt(1 - eccentricity**2) * np.sin(anomaly)


# --- coefficients: every order condition, one a rooted tree -------------------------------------------------------


def rooted_trees(order):
    """Rooted trees up to an order; a tree is the sorted tuple of its subtrees."""
    trees = {1: [()]}
    for n in range(2, order + 1):
        found = set()

        def extend(left, largest, parts, found=found):
            if left == 0:
                found.add(tuple(sorted(parts)))
                return
            for size in range(min(left, largest), 0, -1):
                for count in range(1, left // size + 1):
                    for chosen in combinations_with_replacement(trees[size], count):
                        extend(left - size * count, size - 1, parts + list(chosen))

        extend(n - 1, n - 1, [])
        trees[n] = sorted(found)
    return trees


def size_of(tree):
    return 1 + sum(size_of(branch) for branch in tree)


def density(tree):
    return size_of(tree) * prod(density(branch) for branch in tree)


def elementary(tree, stages):
    """Per stage, the products of sums that the tree stands for, and the same with absolute values."""
    size = len(stages)
    value, magnitude = [Fraction(1)] * size, [Fraction(1)] * size
    for branch in tree:
        inner, inner_magnitude = elementary(branch, stages)
        for i in range(size):
            value[i] *= sum((a * b for a, b in zip(stages[i], inner, strict=False)), Fraction(0))
            magnitude[i] *= sum((abs(a) * b for a, b in zip(stages[i], inner_magnitude, strict=False)), Fraction(0))
    return value, magnitude


def worst_residual(weights, stages, order, *, target=True):
    """Largest |sum_i b_i Phi_i(tree) - 1/density(tree)| over trees up to an order, as is and over its terms' sizes."""
    weights = [Fraction(b) for b in weights]
    stages = [[Fraction(a) for a in row] for row in stages]
    worst, relative = 0.0, 0.0
    for trees in rooted_trees(order).values():
        for tree in trees:
            value, magnitude = elementary(tree, stages)
            wanted = Fraction(1, density(tree)) if target else Fraction(0)
            residual = abs(sum((b * v for b, v in zip(weights, value, strict=True)), Fraction(0)) - wanted)
            terms = sum((abs(b) * v for b, v in zip(weights, magnitude, strict=True)), wanted)
            worst = max(worst, float(residual))
            relative = max(relative, float(residual / terms))
    return worst, relative


def test_trees_are_counted_right():
    assert [len(trees) for trees in rooted_trees(8).values()] == [1, 1, 2, 4, 9, 20, 48, 115]


def test_tsit5_coefficients_fulfil_the_conditions_of_order_five():
    """To the rounding of the coefficients, some of which exceed 12: so relative to the terms that cancel."""
    assert worst_residual(TSIT5.weights, TSIT5.stages, 5)[1] < 2e-16
    assert worst_residual(TSIT5.weights, TSIT5.stages, 6)[0] > 1e-5


def test_dop853_coefficients_fulfil_the_conditions_of_order_eight():
    assert worst_residual(DOP853.weights, DOP853.stages, 8)[1] < 2e-16


@pytest.mark.parametrize(
    ("tableau", "row", "order"), [(TSIT5, 0, 4), (DOP853, 0, 5), (DOP853, 1, 3)], ids=["Tsit5", "DOP853-5", "DOP853-3"]
)
def test_error_rows_vanish_up_to_the_lower_order_and_not_beyond(tableau, row, order):
    """The row is b minus the weights of a method of that order, so its elementary sums are zero up to there."""
    assert worst_residual(tableau.errors[row], tableau.stages, order, target=False)[1] < 4e-16
    assert worst_residual(tableau.errors[row], tableau.stages, order + 1, target=False)[0] > 1e-6


def test_sdirk4_coefficients_are_exact():
    assert worst_residual(SDIRK4.weights, SDIRK4.stages, 4)[0] == 0
    assert worst_residual(SDIRK4.weights, SDIRK4.stages, 5)[0] > 1e-4
    assert worst_residual(SDIRK4.embedded, SDIRK4.stages, 3)[0] == 0
    assert worst_residual(SDIRK4.embedded, SDIRK4.stages, 4)[0] > 1e-4
    assert all(sum(row) == c for row, c in zip(SDIRK4.stages, SDIRK4.nodes, strict=True))


def test_sdirk4_is_l_stable():
    """R(z) = 1 + z b (1 - z A)^-1 1 goes to zero at minus infinity and stays below one on the imaginary axis."""
    a = np.array([[float(x) for x in row] + [0.0] * (5 - len(row)) for row in SDIRK4.stages])

    def stability(z):
        return 1 + z * (a[-1] @ np.linalg.solve(np.eye(5) - z * a, np.ones(5)))

    assert abs(stability(-1e12)) < 1e-10
    assert max(abs(stability(1j * y)) for y in np.logspace(-2, 6, 400)) <= 1 + 1e-12


@pytest.mark.parametrize("tableau", [TSIT5, DOP853], ids=lambda tableau: tableau.name)
def test_nodes_are_row_sums(tableau: ExplicitTableau):
    for row, node in zip(tableau.stages, tableau.nodes, strict=True):
        assert abs(sum(map(Fraction, row)) - Fraction(node)) <= 4e-16 * sum(map(abs, row))


def test_dop853_is_scipys():
    size = SciPyDOP853.n_stages
    assert DOP853.nodes == tuple(SciPyDOP853.C[:size])
    assert DOP853.weights == tuple(SciPyDOP853.B[:size])
    assert DOP853.errors == (tuple(SciPyDOP853.E5[:size]), tuple(SciPyDOP853.E3[:size]))
    assert all(row == tuple(SciPyDOP853.A[j, :j]) for j, row in enumerate(DOP853.stages))


def test_combination_prints_signs_and_drops_zeros():
    assert combination((-0.5, 0.0, 2.0, -1.0), ("a", "b", "c", "d")) == "-0.5 * a + 2.0 * c - 1.0 * d"


# --- orders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "order", "steps"), [("Tsit5", 5, (10, 80)), ("DOP853", 8, (5, 20))])
def test_order_of_fixed_steps(method, order, steps):
    """With tolerances that never bind, each segment is one step, so the error falls with the number of segments."""
    errors, counts = [], np.unique(np.geomspace(*steps, 7).astype(int))
    for count in counts:
        times = np.linspace(0.0, 5.0, count + 1)
        result = integrate(driven, [1.0], times, method=method, rtol=1e6, atol=1e6, first_step=times[1])
        assert result.steps_accepted == count
        errors.append(abs(result.states[-1, 0] - np.exp(np.sin(5.0))))
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert abs(slope - order) < 0.5


def test_order_of_sdirk4_from_work_and_precision():
    errors, steps = [], []
    for rtol in np.logspace(-5, -9, 9):
        result = integrate(driven, [1.0], [0.0, 5.0], method="SDIRK4", rtol=rtol, atol=rtol)
        errors.append(abs(result.states[-1, 0] - np.exp(np.sin(5.0))))
        steps.append(result.steps_accepted)
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(slope - SDIRK4.order) < 0.5


# --- exact solutions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_linear_system(method):
    rates = np.array([0.1, 1.0, 3.0, 0.5, 2.0, 0.7, 1.3])
    times = np.linspace(0.0, 4.0, 33)
    result = integrate(decay, np.ones(7), times, parameters=rates, method=method)
    assert result.status == "finished" and result.failure_time is None
    assert np.array_equal(result.times, times)
    assert np.abs(result.states - np.exp(-np.outer(times, rates))).max() < 1e-7


@pytest.mark.parametrize("method", METHODS)
def test_logistic(method):
    times = np.linspace(0.0, 20.0, 15)
    result = integrate(logistic, [0.01], times, parameters=[1.0], method=method, rtol=1e-9)
    assert np.abs(result.states[:, 0] - 1 / (1 + 99 * np.exp(-times))).max() < 1e-7


@pytest.mark.parametrize("method", EXPLICIT)
def test_kepler_against_keplers_equation(method):
    times = np.linspace(0.0, 20.0, 41)
    result = integrate(kepler, kepler_start(0.5), times, method=method, rtol=1e-11, atol=1e-12)
    exact = np.column_stack(kepler_position(0.5, times))
    assert np.abs(result.states[:, :2] - exact).max() < 1e-8


def test_parameters_sizes_and_work_arrive():
    result = integrate(uses_everything, [1.0], [0.0, 2.0], parameters=[0.5, 0.25], sizes=[4], work_size=2)
    assert abs(result.states[-1, 0] - 7.0) < 1e-12


def test_arguments_are_not_changed():
    start, times, rates = np.ones(2), np.array([0.0, 1.0]), np.array([1.0, 2.0])
    integrate(decay, start, times, parameters=rates)
    assert np.array_equal(start, np.ones(2)) and np.array_equal(rates, [1.0, 2.0])


def test_one_time_gives_the_start():
    result = integrate(logistic, [0.3], [2.0], parameters=[1.0])
    assert result.states.tolist() == [[0.3]] and result.status == "finished"


# --- step control ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_output_times_cost_no_restart(method):
    """Ten cut steps add about ten steps: the step size proposed before a cut is resumed after it."""
    bare = integrate(kepler, kepler_start(0.3), [0.0, 20.0], method=method)
    some = integrate(kepler, kepler_start(0.3), np.linspace(0.0, 20.0, 11), method=method)
    assert abs(some.steps_accepted - bare.steps_accepted) <= 12


@pytest.mark.parametrize("method", EXPLICIT)
def test_progress_changes_nothing_and_is_told_the_truth(method):
    times = np.linspace(0.0, 20.0, 301)
    fractions = []
    quiet = integrate(kepler, kepler_start(0.3), times, method=method)
    told = integrate(kepler, kepler_start(0.3), times, method=method, progress=fractions.append)
    assert np.array_equal(quiet.states, told.states)
    assert (quiet.steps_accepted, quiet.evaluations) == (told.steps_accepted, told.evaluations)
    assert len(fractions) == 100 and fractions[-1] == 1.0 and np.all(np.diff(fractions) > 0)


def test_an_exception_in_progress_stops_the_run():
    class Stop(Exception):
        pass

    def stop(fraction):
        raise Stop

    with pytest.raises(Stop):
        integrate(logistic, [0.1], np.linspace(0, 1, 5), parameters=[1.0], progress=stop)


def test_step_limit():
    result = integrate(kepler, kepler_start(0.3), np.linspace(0.0, 100.0, 201), max_steps=50)
    assert result.status == "step limit"
    assert result.steps_accepted + result.steps_rejected == 50
    assert result.times.size == len(result.states) < 201
    assert result.times[-1] <= result.failure_time < 100


# --- divergence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_blow_up_is_told_with_its_time(method):
    times = np.linspace(0.0, 2.0, 22)  # none of them the time of the blow-up, which rounding moves
    result = integrate(square, [1.0], times, method=method)
    assert result.status == "diverged"
    assert abs(result.failure_time - 1.0) < 1e-6
    assert np.all(np.isfinite(result.states)) and result.times[-1] == times[10]
    assert np.abs(result.states[:, 0] * (1 - result.times) - 1).max() < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_growth_beyond_every_bound_has_diverged(method):
    result = integrate(decay, [1.0], [0.0, 100.0, 1000.0], parameters=[-1.0], method=method)
    assert result.status == "diverged" and result.times.tolist() == [0.0, 100.0]
    assert 200 < result.failure_time <= 100 * np.log(10) + 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_no_derivative_at_the_start_has_diverged(method):
    result = integrate(decay, [1.0], [0.0, 1.0], parameters=[np.finfo(float).max], method=method)
    assert result.status == "diverged" and result.failure_time == 0.0 and result.states.tolist() == [[1.0]]


# --- stiffness ---------------------------------------------------------------------------------------------------


def test_robertson_against_radau():
    times = np.concatenate([[0.0], np.logspace(-4, 6, 21)])
    ours = integrate(robertson, [1.0, 0.0, 0.0], times, method="SDIRK4", rtol=1e-7, atol=1e-12)

    def slope(t, y):
        fast, slow = 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
        return [-0.04 * y[0] + fast, 0.04 * y[0] - fast - slow, slow]

    reference = solve_ivp(slope, (0, 1e6), [1.0, 0.0, 0.0], "Radau", times, rtol=1e-10, atol=1e-14)
    assert ours.status == "finished" and ours.evaluations < 50_000
    assert np.abs(ours.states / np.maximum(reference.y.T, 1e-12) - 1)[1:].max() < 1e-4


def test_stiff_van_der_pol_against_radau():
    mu = 1e4
    times = np.linspace(0.0, 2.0, 9)
    ours = integrate(van_der_pol, [2.0, 0.0], times, parameters=[mu], method="SDIRK4", rtol=1e-7, atol=1e-9)
    reference = solve_ivp(
        lambda t, y: [y[1], mu * ((1 - y[0] ** 2) * y[1] - y[0])],
        (0, 2), [2.0, 0.0], "Radau", times, rtol=1e-8, atol=1e-10,
    )  # fmt: skip
    assert ours.status == "finished" and ours.steps_accepted < 10_000
    assert np.abs(ours.states[:, 0] - reference.y[0]).max() < 1e-4
    assert np.abs(ours.states[1:, 1] / reference.y[1, 1:] - 1).max() < 1e-3


def test_stiff_decay_takes_few_implicit_steps():
    fast = integrate(decay, [1.0, 1.0], [0.0, 10.0], parameters=[1e6, 1.0], method="SDIRK4", rtol=1e-5)
    slow = integrate(decay, [1.0, 1.0], [0.0, 10.0], parameters=[1e6, 1.0], method="Tsit5", rtol=1e-5, max_steps=10**4)
    assert fast.status == "finished" and fast.steps_accepted < 500
    assert abs(fast.states[-1, 1] - np.exp(-10.0)) < 1e-5
    assert slow.status == "step limit"


# --- lanes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", EXPLICIT)
def test_lanes_agree_with_one_by_one(method):
    rates = np.linspace(0.2, 3.0, 11)
    times = np.linspace(0.0, 10.0, 21)
    lanes = integrate_lanes(
        logistic_lanes, np.full((1, 11), 0.1), times, parameters=rates[None], method=method, lanes=4, sort_by=-rates
    )
    assert lanes.states.shape == (21, 1, 11)
    for i, rate in enumerate(rates):
        alone = integrate(logistic, [0.1], times, parameters=[rate], method=method)
        one = lanes.trajectory(i)
        # Rounding may tip a step size, so the two agree like two solutions at this tolerance.
        assert one.status == "finished" and np.abs(one.states - alone.states).max() < 1e-7
        assert abs(one.steps_accepted - alone.steps_accepted) <= 3


@pytest.mark.parametrize("method", EXPLICIT)
def test_lanes_keep_their_own_steps(method):
    eccentricities = np.linspace(0.0, 0.8, 6)
    start = np.column_stack([kepler_start(e) for e in eccentricities])
    times = np.linspace(0.0, 12.0, 13)
    lanes = integrate_lanes(kepler_lanes, start, times, method=method, rtol=1e-10, atol=1e-12, lanes=4)
    exact = np.stack([np.stack(kepler_position(e, times), 1) for e in eccentricities], 2)
    assert np.abs(lanes.states[:, :2] - exact).max() < 1e-6
    assert lanes.steps_accepted[-1] > 1.3 * lanes.steps_accepted[0]


@pytest.mark.parametrize("method", EXPLICIT)
def test_a_diverging_lane_leaves_the_others_alone(method):
    rates = np.array([[0.01, 1.0, 0.02, 2.0, 0.03]])
    times = np.linspace(0.0, 3.0, 8)
    lanes = integrate_lanes(square_lanes, np.ones((1, 5)), times, parameters=rates, method=method, lanes=4)
    assert lanes.status == ("finished", "diverged", "finished", "diverged", "finished")
    assert np.abs(lanes.failure_time[[1, 3]] - [1.0, 0.5]).max() < 1e-6
    assert np.all(np.isnan(lanes.failure_time[[0, 2, 4]]))
    for i in range(5):
        one = lanes.trajectory(i)
        assert np.all(np.isfinite(one.states)) and one.times.size == lanes.reached[i]
        assert np.abs(one.states[:, 0] * (1 - rates[0, i] * one.times) - 1).max() < 1e-6
    assert np.isnan(lanes.states[lanes.reached[1] :, :, 1]).all()


def test_lanes_report_steps_limit_and_progress():
    fractions = []
    lanes = integrate_lanes(
        kepler_lanes, np.column_stack([kepler_start(0.3)] * 6), [0.0, 100.0], lanes=4, max_steps=20,
        progress=fractions.append,
    )  # fmt: skip
    assert lanes.status == ("step limit",) * 6 and fractions == [4 / 6, 1.0]
    assert np.all(lanes.steps_accepted + lanes.steps_rejected == 20)


# --- bad input ---------------------------------------------------------------------------------------------------


def not_compiled(t, y, p, sizes, work, dy):
    dy[0] = 0.0


@njit
def returns_something(t, y, p, sizes, work, dy):
    return y[0]


@njit
def wrong_arguments(t, y):
    y[0] = t


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rhs", {"rhs": not_compiled}),
        ("rhs", {"rhs": returns_something}),
        ("rhs", {"rhs": wrong_arguments}),
        ("rhs", {"rhs": None}),
        ("y0", {"y0": [np.nan]}),
        ("y0", {"y0": [[1.0]]}),
        ("y0", {"y0": []}),
        ("y0", {"y0": ["one"]}),
        ("y0", {"y0": [1j]}),
        ("times", {"times": [0.0, 0.0]}),
        ("times", {"times": [1.0, 0.0]}),
        ("times", {"times": [0.0, np.inf]}),
        ("times", {"times": 1.0}),
        ("parameters", {"parameters": [np.nan]}),
        ("parameters", {"parameters": [[1.0]]}),
        ("sizes", {"sizes": [1.5]}),
        ("sizes", {"sizes": 3}),
        ("work_size", {"work_size": -1}),
        ("work_size", {"work_size": 1.0}),
        ("method", {"method": "Euler"}),
        ("method", {"method": []}),
        ("rtol", {"rtol": 0.0}),
        ("rtol", {"rtol": -1e-8}),
        ("rtol", {"rtol": np.nan}),
        ("rtol", {"rtol": 1e-15}),
        ("rtol", {"rtol": 1e-13, "estimate_error": True}),
        ("atol", {"atol": 0.0}),
        ("atol", {"atol": "small"}),
        ("max_steps", {"max_steps": 0}),
        ("max_steps", {"max_steps": True}),
        ("first_step", {"first_step": -1.0}),
    ],
)
def test_nonsense_is_refused_by_name(name, change):
    arguments = {"rhs": logistic, "y0": [0.5], "times": [0.0, 1.0], "parameters": [1.0], **change}
    with pytest.raises(AssumptionError, match=f"^{name}="):
        integrate(arguments.pop("rhs"), arguments.pop("y0"), arguments.pop("times"), **arguments)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rhs", {"rhs": wrong_arguments}),
        ("y0", {"y0": [0.5, 0.5]}),
        ("parameters", {"parameters": [[1.0]]}),
        ("parameters", {"parameters": [1.0, 1.0]}),
        ("method", {"method": "SDIRK4"}),
        ("lanes", {"lanes": 0}),
        ("sort_by", {"sort_by": [1.0]}),
        ("sort_by", {"sort_by": [1.0, np.nan]}),
    ],
)
def test_nonsense_for_lanes_is_refused_by_name(name, change):
    arguments = {"rhs": logistic_lanes, "y0": [[0.5, 0.5]], "times": [0.0, 1.0], "parameters": [[1.0, 1.0]], **change}
    with pytest.raises(AssumptionError, match=f"^{name}="):
        integrate_lanes(arguments.pop("rhs"), arguments.pop("y0"), arguments.pop("times"), **arguments)


@pytest.mark.parametrize("index", [2, -3, 0.0, True])
def test_a_trajectory_that_is_not_there(index):
    lanes = integrate_lanes(logistic_lanes, [[0.5, 0.5]], [0.0, 1.0], parameters=[[1.0, 1.0]], lanes=4)
    with pytest.raises(AssumptionError, match=r"^index="):
        lanes.trajectory(index)


# --- compiled once -----------------------------------------------------------------------------------------------

PROBE = """
import json, sys
import hermiton.numerics.ode
assert "numba" not in sys.modules, "importing the front compiles or imports Numba"
from hermiton.numerics.integrators.compiled import integrator, lanes_integrator
found = {}
for function in (integrator("Tsit5"), lanes_integrator("Tsit5", 32)):
    stats = function.stats
    found[function.__module__] = [sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]

import numpy as np
from numba import njit
from hermiton.numerics.ode import integrate_lanes

@njit
def pendulum(t, y, p, sizes, work, dy):
    w = t.size
    for i in range(w):
        dy[i] = y[w + i]
        dy[w + i] = -p[i] * np.sin(y[i])

rates = np.linspace(1.0, 7.0, 64)[None]
swings = integrate_lanes(pendulum, np.ones((2, 64)), [0.0, 3.0, 30.0], parameters=rates, method="Tsit5", lanes=32)
print(json.dumps({"counts": found, "states": swings.states.tobytes().hex()}))
"""


def test_the_second_process_compiles_nothing_and_finds_the_same(tmp_path):
    environment = {**os.environ, "HERMITON_CACHE_DIR": str(tmp_path)}

    def probe():
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROBE], env=environment, capture_output=True, text=True, check=True
        )
        return json.loads(run.stdout)

    first, second = probe(), probe()
    assert sorted(first["counts"]) == sorted(second["counts"])  # the same text in both processes
    assert all(counts == [0, 1] for counts in first["counts"].values())
    assert all(counts == [1, 0] for counts in second["counts"].values())
    assert first["states"] == second["states"]  # what was compiled rounds as what was loaded
