"""Orthant probabilities: closed forms, degenerate covariances, refusals."""

import itertools
import math
import subprocess
import sys

import mpmath as mp
import numpy as np
import pytest
from numpy.typing import NDArray

from hermiton.numerics.moments import orthants, piecewise_linear
from hermiton.numerics.moments.orthants import NODES, orthant_probability, plackett_rule
from hermiton.theory.activation import Activation
from hermiton.theory.errors import AssumptionError

Array = NDArray[np.float64]


def close(covariance: object, mean: object, truth: object, most: float = 1e-13) -> None:
    """The error bounds the true one, and is small."""
    value, error = orthant_probability(covariance, mean)  # type: ignore[arg-type]
    assert abs(mp.mpf(value) - mp.mpf(truth)) <= error <= most


def phi(x: float) -> mp.mpf:
    with mp.workdps(50):
        return mp.ncdf(mp.mpf(x))


def one_factor(mean: Array, noise: Array, loading: Array) -> mp.mpf:
    """P(m_i + sqrt(d_i) e_i + l_i x > 0 for all i): fields that are independent given x."""
    with mp.workdps(40):

        def integrand(x: mp.mpf) -> mp.mpf:
            value = mp.npdf(x)
            for m, d, l in zip(mean.tolist(), noise.tolist(), loading.tolist(), strict=True):
                value *= mp.ncdf((mp.mpf(m) + mp.mpf(l) * x) / mp.sqrt(mp.mpf(d)))
            return value

        return mp.quad(integrand, [-13, -8, -5, -3, -2, -1, 0, 1, 2, 3, 5, 8, 13])


def wedge(rows: Array) -> mp.mpf:
    """P(L_i . x > 0 for all i) for x in the plane: the share of the circle that is left."""
    with mp.workdps(40):
        angles = [mp.atan2(mp.mpf(b), mp.mpf(a)) for a, b in rows.tolist()]
        ends = sorted(mp.fmod(a + s * mp.pi / 2 + 4 * mp.pi, 2 * mp.pi) for a in angles for s in (1, -1))
        total = mp.mpf(0)
        for begin, end in zip(ends, [*ends[1:], ends[0] + 2 * mp.pi], strict=True):
            if all(mp.cos((begin + end) / 2 - a) > 0 for a in angles):
                total += end - begin
        return total / (2 * mp.pi)


@pytest.mark.parametrize("fields", [1, 2, 3, 4])
def test_equal_correlations_of_one_half(fields: int) -> None:
    close(np.full((fields, fields), 0.5) + 0.5 * np.eye(fields), None, mp.mpf(1) / (fields + 1))


@pytest.mark.parametrize("mean", [0.0, 0.7, -3.1, -9.0])
def test_independent_fields(mean: float) -> None:
    close(np.eye(4), [mean, 0.5, -0.25, 1.0], phi(mean) * phi(0.5) * phi(-0.25) * phi(1.0))


@pytest.mark.parametrize("r", [-0.3, 0.25, 0.875])
@pytest.mark.parametrize("nodes", NODES)
def test_three_fields_and_one_more(r: float, nodes: int) -> None:
    # Independent pairs factorise; three fields have the elementary form.
    three = np.array([[1.0, r, 0.25], [r, 1.0, 0.125], [0.25, 0.125, 1.0]])
    with mp.workdps(40):
        truth = mp.mpf(1) / 8 + (mp.asin(mp.mpf(r)) + mp.asin(mp.mpf(0.25)) + mp.asin(mp.mpf(0.125))) / (4 * mp.pi)
        value, error = orthant_probability(three, nodes=nodes)
        assert abs(mp.mpf(value) - truth) <= error <= 1e-13
        blocks = np.zeros((4, 4))
        blocks[:3, :3], blocks[3, 3] = three, 2.0
        value, error = orthant_probability(blocks, [0.0, 0.0, 0.0, 0.0], nodes)
        assert abs(mp.mpf(value) - truth / 2) <= error <= 1e-13


# Dyadic numbers: their covariances are exact in double precision.
@pytest.mark.parametrize(
    ("mean", "noise", "loading"),
    [
        ([0.0, 0.0, 0.0, 0.0], [1.0, 0.5, 0.25, 2.0], [0.5, -0.75, 1.0, 0.25]),
        ([0.5, -0.25, 1.0, 0.125], [1.0, 0.5, 0.25, 2.0], [0.5, -0.75, 1.0, 0.25]),
        ([-2.0, 3.0, -1.5, 4.0], [0.125, 0.25, 0.0625, 1.0], [1.0, 1.0, 1.0, -1.0]),
        ([0.5, 0.5, 0.5], [0.015625, 0.25, 0.5], [1.0, -1.0, 2.0]),
        ([0.0009765625, -0.0009765625, 0.0], [0.5, 0.5, 0.5], [1.0, 1.0, 1.0]),
    ],
)
def test_one_common_factor(mean: list[float], noise: list[float], loading: list[float]) -> None:
    l = np.array(loading)
    close(np.outer(l, l) + np.diag(noise), mean, one_factor(np.array(mean), np.array(noise), l))


@pytest.mark.parametrize("gap", [1e-3, 1e-7, 1e-12, 2.0**-52])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_nearly_full_correlation(gap: float, sign: float) -> None:
    r = sign * (1.0 - gap)
    with mp.workdps(50):
        two = mp.mpf(1) / 4 + mp.asin(mp.mpf(r)) / (2 * mp.pi)
        close([[1.0, r], [r, 1.0]], None, two)
        # A pair beside another one, each nearly determined.
        four = np.zeros((4, 4))
        four[:2, :2] = four[2:, 2:] = [[1.0, r], [r, 1.0]]
        close(four, None, two * two)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_full_correlation_with_means(sign: float) -> None:
    covariance = [[1.0, sign * 2.0], [sign * 2.0, 4.0]]
    # z_2 = 3 + sign 2 (z_1 - 1/2), z_1 = 1/2 + x
    truth = phi(0.5) if sign > 0 else phi(1.5) - phi(-0.5)
    close(covariance, [0.5, 3.0], truth)


def test_opposite_fields_exclude_each_other() -> None:
    assert orthant_probability([[1.0, -1.0], [-1.0, 1.0]], [0.5, -0.75])[0] == 0.0


@pytest.mark.parametrize(("mean", "share"), [(1e-300, 1.0), (-1e-300, 0.0), (0.0, 0.5)])
def test_a_constant_field(mean: float, share: float) -> None:
    covariance = np.zeros((4, 4))
    covariance[:3, :3] = 0.5 + 0.5 * np.eye(3)
    close(covariance, [0.0, 0.0, 0.0, mean], share * mp.mpf(1) / 4)


def test_identical_fields_count_once() -> None:
    pair = np.array([[1.0, 0.5], [0.5, 1.0]])
    index = [0, 1, 0, 1]
    close(pair[np.ix_(index, index)], None, mp.mpf(1) / 3)


@pytest.mark.parametrize("seed", range(12))
def test_four_fields_in_a_plane(seed: int) -> None:
    rows = np.random.default_rng(seed).integers(-16, 17, size=(4, 2)) / 8.0
    rows[(rows == 0.0).all(axis=1)] = 1.0
    close(rows @ rows.T, None, wedge(rows), 1e-12)


def test_four_fields_in_a_plane_with_means() -> None:
    # Given that three of them are zero, which is impossible, nothing may be asked of the fourth.
    rows = np.array([[0.640625, -0.609375], [-0.59375, 0.21875], [0.046875, -0.390625], [0.796875, -0.765625]])
    mean = np.array([-1.40625, -0.25, 1.90625, -0.46875])

    with mp.workdps(40):
        lines = [[mp.mpf(c) for c in (*row, m)] for row, m in zip(rows.tolist(), mean.tolist(), strict=True)]

        def inner(x: mp.mpf) -> mp.mpf:
            low, high = -mp.inf, mp.inf
            for a, b, m in lines:
                bound = -(m + a * x) / b
                low, high = (max(low, bound), high) if b > 0 else (low, min(high, bound))
            return mp.npdf(x) * (mp.ncdf(high) - mp.ncdf(low)) if low < high else mp.mpf(0)

        corners = {
            (a2[2] * a1[1] - a1[2] * a2[1]) / (a1[0] * a2[1] - a2[0] * a1[1])
            for a1, a2 in itertools.combinations(lines, 2)
        }
        truth = mp.quad(inner, [-15, *sorted(c for c in corners if abs(c) < 15), 15])
    assert truth > 1e-8
    close(rows @ rows.T, mean, truth)


def test_scale_and_order_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 4))
    covariance, mean = root @ root.T, rng.normal(size=4)
    value, error = orthant_probability(covariance, mean)
    scale = np.array([1e-150, 1.0, 1e3, 1e120])
    for order in itertools.permutations(range(4)):
        index = list(order)
        s = scale[index]
        other, e = orthant_probability(covariance[np.ix_(index, index)] * np.outer(s, s), mean[index] * s)
        # The scaled numbers are rounded, by some units of the last place of each
        assert abs(value - other) <= error + e + 1e-14


def test_complements_add_up() -> None:
    rng = np.random.default_rng(2)
    root, mean = rng.normal(size=(4, 4)), rng.normal(size=4)
    covariance = root @ root.T
    total, errors = 0.0, 0.0
    for signs in itertools.product([1.0, -1.0], repeat=4):
        s = np.array(signs)
        value, error = orthant_probability(covariance * np.outer(s, s), mean * s)
        total, errors = total + value, errors + error
    assert abs(total - 1.0) <= errors <= 1e-12


@pytest.mark.parametrize(
    ("covariance", "mean", "reason"),
    [
        ([[1.0, 2.0], [2.0, 1.0]], None, "positive semi-definite"),
        ([[1.0, 0.5, -0.9], [0.5, 1.0, 0.9], [-0.9, 0.9, 1.0]], None, "positive semi-definite"),
        ([[-1.0]], None, "negative variance"),
        ([[1.0, 0.5], [0.25, 1.0]], None, "not symmetric"),
        ([[0.0, 0.5], [0.5, 1.0]], None, "positive semi-definite"),
        ([[math.nan]], None, "not finite"),
        ([[1.0]], [math.inf], "not finite"),
        ([[1.0]], [0.0, 0.0], "wrong shape"),
        (np.eye(5), None, "wrong shape"),
        (np.zeros((0, 0)), None, "wrong shape"),
        ([1.0, 2.0], None, "wrong shape"),
    ],
)
def test_refusals(covariance: object, mean: object, reason: str) -> None:
    with pytest.raises(AssumptionError, match=reason):
        orthant_probability(covariance, mean)  # type: ignore[arg-type]


def test_rules_with_other_numbers_of_nodes_are_refused() -> None:
    with pytest.raises(AssumptionError, match="nodes"):
        plackett_rule(13)


def test_recursions_have_one_signature_and_run_from_the_cache() -> None:
    """Numba crashes where it loads a cached recursion with two signatures (its issue 6061); a literal 0 makes two.

    Compiling them takes half a minute: here they are compiled where no test has needed them yet, and a second process
    loads them from the same cache.
    """
    code = """
from numba.core import event
from hermiton.numerics.moments import orthants, piecewise_linear as linear
from hermiton.theory.activation import Activation

relu = linear.linear_pieces(Activation("relu"))
with event.install_recorder("numba:compile") as recorder:
    print(repr(linear.piecewise_linear_moment([relu, relu], [[1, 0.5], [0.5, 1]])))
print(len(linear.moment_of_powers.signatures), len(orthants.positive.signatures), len(recorder.buffer))
"""
    relu = piecewise_linear.linear_pieces(Activation("relu"))
    here = piecewise_linear.piecewise_linear_moment([relu, relu], [[1, 0.5], [0.5, 1]])
    for recursion in (piecewise_linear.moment_of_powers, orthants.positive):
        assert len(recursion.signatures) in (0, 1)  # loaded, as part of their callers, or compiled
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert second.stdout.splitlines() == [repr(here), "0 0 0"]  # nothing was compiled
