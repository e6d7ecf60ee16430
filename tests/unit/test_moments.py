"""Rules, refusals, and the compiled interface of the Gaussian moment routines."""

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from hermiton.numerics.moments.accuracy import choose_level, moment_error, moment_tables
from hermiton.numerics.moments.four_point import four_point_moments, four_point_scratch
from hermiton.numerics.moments.pairs import pair_moments, pair_scratch
from hermiton.numerics.moments.pointer import EVALUATE_SIGNATURE, python_pointer
from hermiton.numerics.quadrature import LEVEL_POINTS, MAX_GAUSS_DEGREE, gauss_rule, rule
from hermiton.theory.errors import AssumptionError


@njit(EVALUATE_SIGNATURE, error_model="numpy")
def tanh(which, x, n, out0, out1, out2):  # type: ignore[no-untyped-def]
    for i in range(n):
        out0[i] = math.tanh(x[i])
        out1[i] = 1.0 - out0[i] ** 2
        out2[i] = -2.0 * out0[i] * out1[i]


@njit(EVALUATE_SIGNATURE, error_model="numpy")
def shifted_tanh_and_exponential(which, x, n, out0, out1, out2):  # type: ignore[no-untyped-def]
    for i in range(n):
        if which == 0:
            out0[i] = math.tanh(x[i] + 0.5)
            out1[i] = 1.0 - out0[i] ** 2
            out2[i] = -2.0 * out0[i] * out1[i]
        else:
            out0[i] = out1[i] = out2[i] = math.exp(0.5 * x[i])


@pytest.mark.parametrize("level", range(len(LEVEL_POINTS)))
def test_rule_of_every_level_is_symmetric_and_normalised(level: int) -> None:
    quadrature = rule(level)
    assert quadrature.points == LEVEL_POINTS[level] == quadrature.nodes.size
    np.testing.assert_array_equal(quadrature.nodes, -quadrature.nodes[::-1])
    assert abs(quadrature.weights.sum() - 1.0) < 1e-14
    tail = 40.0 * math.exp(-0.5 * quadrature.half_width**2)
    for degree, moment in ((2, 1.0), (4, 3.0)):
        assert (
            abs(quadrature.weights @ quadrature.nodes**degree - moment) < tail * quadrature.half_width**degree + 1e-13
        )


def test_levels_get_finer() -> None:
    steps = [rule(level).step for level in range(len(LEVEL_POINTS))]
    assert all(finer < coarser for coarser, finer in itertools.pairwise(steps))


@pytest.mark.parametrize("degree", [1, 2, 5, MAX_GAUSS_DEGREE])
def test_gauss_rule_is_exact_to_the_degree_of_a_four_point_moment(degree: int) -> None:
    quadrature = gauss_rule(degree)
    for power in range(0, 4 * degree - 1):
        moment = 0.0 if power % 2 else math.prod(range(1, power, 2))
        scale = math.prod(range(1, power + 2, 2))
        assert abs(quadrature.weights @ quadrature.nodes**power - moment) < 1e-12 * scale


@pytest.mark.parametrize("level", [-1, len(LEVEL_POINTS), 1.5, True, "3"])
def test_bad_level_is_refused(level: Any) -> None:
    with pytest.raises(AssumptionError, match="level="):
        rule(level)


@pytest.mark.parametrize("degree", [0, MAX_GAUSS_DEGREE + 1, 2.0, False])
def test_bad_degree_is_refused(degree: Any) -> None:
    with pytest.raises(AssumptionError, match="degree="):
        gauss_rule(degree)


@pytest.mark.parametrize(
    ("covariance", "students", "teachers", "name"),
    [
        (np.eye(2), 0, 2, "students"),
        (np.eye(2), 2, -1, "teachers"),
        (np.eye(2), 1, 2, "covariance"),
        ([[1.0, np.nan], [np.nan, 1.0]], 1, 1, "covariance"),
        ([[1.0, 0.2], [0.3, 1.0]], 1, 1, "covariance"),
        ([[-1.0, 0.0], [0.0, 1.0]], 1, 1, "covariance"),
    ],
)
def test_bad_fields_are_refused(covariance: Any, students: int, teachers: int, name: str) -> None:
    with pytest.raises(AssumptionError, match=f"{name}="):
        moment_tables(covariance, students, teachers, tanh, rule(0))


def test_bad_tolerances_and_levels_are_refused() -> None:
    for tolerance in (0.0, -1.0, math.nan):
        with pytest.raises(AssumptionError, match="tolerance="):
            choose_level(np.eye(2), 1, 1, tanh, tolerance)
    with pytest.raises(AssumptionError, match="level="):
        moment_error(np.eye(2), 1, 1, tanh, len(LEVEL_POINTS) - 2)


def test_short_scratch_gives_nan_not_a_wild_write() -> None:
    quadrature = rule(0)
    covariance = np.eye(2).ravel()
    pair, four = np.zeros(12), np.zeros(4)
    scratch = np.empty(pair_scratch(2, quadrature.sizes) - 1)
    pointer = python_pointer(tanh)
    pair_moments(covariance, 1, 1, quadrature.sizes, quadrature.data, pair, scratch, pointer)
    assert np.all(np.isnan(pair))
    scratch = np.empty(four_point_scratch(2, quadrature.sizes) - 1)
    tail = four_point_moments(covariance, 1, 1, quadrature.sizes, quadrature.data, four, scratch, pointer)
    assert math.isnan(tail) and np.all(np.isnan(four))


def test_two_function_sets_without_parity() -> None:
    """Student tanh(z + 1/2), teacher exp(z/2), by the shift E[e^(b/2) f(a)] = e^(C_bb/8) E[f(a + C_ab/2)]."""
    covariance = np.array([[1.1, 0.4], [0.4, 0.7]])
    tables = moment_tables(covariance, 1, 1, shifted_tanh_and_exponential, rule(6))
    nodes = np.linspace(-10.0, 10.0, 401)
    weights = np.exp(-0.5 * nodes**2)
    weights /= weights.sum()
    for count in (0, 1, 2):
        g = np.tanh(math.sqrt(1.1) * nodes + 0.5 + 0.2 * count)
        value = math.exp(count**2 * 0.7 / 8.0) * np.sum(weights * (1.0 - g**2) ** 2 * g ** (2 - count))
        where = ((0, 0), (0, 1), (1, 1))[count]
        assert tables.four_point[(0, 0, *where)] == pytest.approx(value, abs=1e-12)
    assert tables.pair[0, 0, 1] == pytest.approx(
        math.exp(0.7 / 8.0) * np.sum(weights * np.tanh(math.sqrt(1.1) * nodes + 0.7)), abs=1e-13
    )


def test_fields_of_variance_zero_take_the_value_at_zero() -> None:
    covariance = np.zeros((3, 3))
    covariance[0, 0] = 1.3
    tables = moment_tables(covariance, 2, 1, shifted_tanh_and_exponential, rule(5))
    g, slope = math.tanh(0.5), 1.0 - math.tanh(0.5) ** 2
    assert tables.four_point[1, 1, 1, 2] == pytest.approx(slope**2 * g, abs=1e-14)
    assert tables.pair[0, 1, 2] == pytest.approx(g, abs=1e-14)
    assert tables.pair[0, 0, 2] == pytest.approx(tables.pair[0, 0, 1] / g, abs=1e-14)


def test_a_copy_of_a_unit_changes_nothing() -> None:
    rows = np.array([[1.0, 0.0, 0.0], [0.3, 0.9, 0.0], [1.0, 0.0, 0.0], [0.5, -0.2, 0.7]])
    tables = moment_tables(rows @ rows.T, 3, 1, shifted_tanh_and_exponential, rule(6))
    for other, index in (((0, 2, 1, 3), (0, 0, 1, 3)), ((2, 2, 0, 1), (0, 0, 0, 1)), ((1, 2, 0, 3), (1, 0, 2, 3))):
        assert tables.four_point[other] == pytest.approx(tables.four_point[index], abs=1e-14)


def test_slightly_indefinite_covariance_moves_the_tables_by_no_more() -> None:
    """An idle unit whose overlap carries an integrator's error of 1e-11 while its variance is 1e-20."""
    clean = np.diag([1e-20, 1.0, 1.0])
    wrong = clean.copy()
    wrong[0, 1:] = wrong[1:, 0] = 1e-11
    tables = [moment_tables(c, 2, 1, tanh, rule(5)) for c in (clean, wrong)]
    assert np.max(np.abs(tables[0].four_point - tables[1].four_point)) < 1e-10
    assert np.max(np.abs(tables[0].pair - tables[1].pair)) < 1e-10


GENERATED = """
import math
from numba import njit, types
from hermiton.numerics.moments import entry
from hermiton.numerics.moments.pointer import EVALUATE_SIGNATURE, compiled_pointer

entry.install()
pair_routine = entry.pair_routine
four_point_routine = entry.four_point_routine


@njit(EVALUATE_SIGNATURE, cache=True, error_model="numpy")
def evaluate(which, x, n, out0, out1, out2):
    for i in range(n):
        out0[i] = math.tanh(x[i])
        out1[i] = 1.0 - out0[i] ** 2
        out2[i] = -2.0 * out0[i] * out1[i]


pointer = compiled_pointer(evaluate)
V = types.float64[::1]


@njit(types.float64(V, types.int64, types.int64, types.int64[::1], V, V, V, V), cache=True, error_model="numpy")
def rhs(covariance, students, teachers, sizes, data, pair, four, scratch):
    pair_routine()(covariance, students, teachers, sizes, data, pair, scratch, pointer())
    return four_point_routine()(covariance, students, teachers, sizes, data, four, scratch, pointer())
"""

DRIVER = """
import numpy as np
import generated
from hermiton.numerics.moments.accuracy import moment_tables
from hermiton.numerics.moments.four_point import four_point_moments, four_point_scratch
from hermiton.numerics.quadrature import rule

quadrature = rule(2)
covariance = np.eye(3) + 0.1
pair, four, scratch = np.empty(27), np.empty(36), np.empty(four_point_scratch(3, quadrature.sizes))
generated.rhs(covariance.ravel(), 2, 1, quadrature.sizes, quadrature.data, pair, four, scratch)
tables = moment_tables(covariance, 2, 1, generated.evaluate, quadrature)
assert np.array_equal(tables.pair.ravel(), pair) and np.array_equal(tables.four_point.ravel(), four)
print(sum(f.stats.cache_misses.total() for f in (generated.rhs, generated.evaluate, four_point_moments)))
"""


@pytest.mark.slow
def test_a_generated_kernel_is_cached_with_the_routines_it_calls(tmp_path: Path) -> None:
    # The module is new, so the first process compiles it; the routines may come from the cache of all tests
    (tmp_path / "generated.py").write_text(GENERATED)
    misses = [
        int(
            subprocess.run(
                [sys.executable, "-W", "error", "-c", DRIVER],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for _ in range(2)
    ]
    assert misses[0] > 0
    assert misses[1] == 0
