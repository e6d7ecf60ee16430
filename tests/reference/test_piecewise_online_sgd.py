"""Right-hand sides for piecewise-linear activations against averages over an angle at 30 digits.

Where all fields lie in a plane, z_a = rho (u_a cos(theta) + w_a sin(theta)) with rho^2/2 exponential, and a homogeneous
function of degree d has the mean E[rho^d] times its average over theta: an integral of a trigonometric polynomial
between known angles. No Stein's lemma, no orthants, no impulses. Four fields in a plane are a singular covariance; the
regular one is that of a table of two-route values.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import hermiton as hm
from hermiton.numerics.moments.piecewise_rule import piecewise_rule
from hermiton.numerics.moments.piecewise_tables import piecewise_tables
from hermiton.numerics.solve import bind
from hermiton.theory.activation import Activation
from hermiton.theory.derive import derive

ETA, ETA_V, NOISE = 0.4, 0.3, 0.2
V, A = [0.8, -1.1], [1.2, 0.7]
# Slopes on the left and on the right of zero.
SLOPES = {"relu": (0, 1), "leaky_relu": (mp.mpf(1) / 100, 1), "abs(z)": (-1, 1), "z": (1, 1)}


def average(function: Callable[[Any], Any], rows: Any, degree: int) -> Any:
    """E of a homogeneous function of the fields ``rows @ (x, y)``, x and y standard normal."""

    def along(t: Any) -> Any:
        cosine, sine = mp.cos(t), mp.sin(t)
        return function([u * cosine + w * sine for u, w in rows])

    cuts = {mp.mpf(0), 2 * mp.pi}
    for u, w in rows:
        angle = mp.atan2(-u, w)  # u cos + w sin vanishes
        cuts |= {angle % mp.pi, angle % mp.pi + mp.pi}
    nodes = sorted(cuts)
    total = mp.mpf(0)
    for begin, end in itertools.pairwise(nodes):
        if end - begin > mp.mpf(10) ** -25:
            total += mp.quad(along, [begin, end], method="gauss-legendre")
    return mp.sqrt(2) ** degree * mp.gamma(1 + mp.mpf(degree) / 2) * total / (2 * mp.pi)


@functools.cache
def planar_rows(seed: int, width: int) -> Any:
    rng = np.random.default_rng(seed)
    # Multiples of 1/64: the overlaps are exact in double precision.
    return [[mp.mpf(int(n)) / 64 for n in row] for row in rng.integers(-90, 90, size=(width + 2, 2))]


@pytest.mark.parametrize(("student", "teacher"), [("relu", "relu"), ("leaky_relu", "abs(z)"), ("abs(z)", "z")])
@pytest.mark.parametrize("seed", [1, 2])
def test_right_hand_side_against_30_digits(student: str, teacher: str, seed: int) -> None:
    width = 2
    with mp.workdps(30):
        rows = planar_rows(seed, width)
        gram = np.array([[float(a[0] * b[0] + a[1] * b[1]) for b in rows] for a in rows])

        def g(name: str, x: Any) -> Any:
            return SLOPES[name][1 if x > 0 else 0] * x

        def slope(x: Any) -> Any:
            return mp.mpf(SLOPES[student][1 if x > 0 else 0])

        def signal(z: Any) -> Any:
            students = sum(mp.mpf(v) * g(student, x) for v, x in zip(V, z[:width], strict=True))
            return students - sum(mp.mpf(a) * g(teacher, x) for a, x in zip(A, z[width:], strict=True))

        drift = [
            [average(lambda z, k=k, b=b: signal(z) * slope(z[k]) * z[b], rows, 2) for b in range(width + 2)]
            for k in range(width)
        ]
        square = [
            [
                average(lambda z, k=k, l=l: signal(z) ** 2 * slope(z[k]) * slope(z[l]), rows, 2)
                + mp.mpf(NOISE) ** 2 * average(lambda z, k=k, l=l: slope(z[k]) * slope(z[l]), rows, 0)
                for l in range(width)
            ]
            for k in range(width)
        ]
        second = [-mp.mpf(ETA_V) * average(lambda z, k=k: signal(z) * g(student, z[k]), rows, 2) for k in range(width)]
        eta = mp.mpf(ETA)
        dQ = [
            float(-eta * (V[k] * drift[k][l] + V[l] * drift[l][k]) + eta**2 * V[k] * V[l] * square[k][l])
            for k in range(width)
            for l in range(k, width)
        ]
        dR = [float(-eta * V[k] * drift[k][width + n]) for k in range(width) for n in range(2)]
        expected = np.array([*dQ, *dR, *map(float, second)])
        error = float(average(lambda z: signal(z) ** 2, rows, 2) / 2)

    setting = hm.OnlineSGD(student, teacher, learning_rate=ETA, second_layer_rate=ETA_V, noise=NOISE)
    start = hm.Overlaps(Q=gram[:width, :width], R=gram[:width, width:], T=gram[width:, width:], v=V, A=A)
    bound = bind(derive(setting).systems[0], setting, start)
    rule = piecewise_rule((Activation(student).expression, Activation(teacher).expression), 12)
    arguments = bound.arguments(rule)
    found, work = np.zeros_like(bound.start), np.zeros(arguments["work_size"])
    bound.compiled.rhs(0.0, bound.start, arguments["parameters"], arguments["sizes"], work, found)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    observed = bound.observe(bound.start[None], rule)["generalization_error"][0]
    assert abs(observed - error) <= 1e-13 * (1 + error)


def test_a_regular_covariance() -> None:
    """Values of two routes each: a recursion of another code, and closed forms or adaptive quadrature."""
    covariance = np.array([[1, 0.3, 0.4, 0.2], [0.3, 1.2, -0.1, 0.5], [0.4, -0.1, 0.9, 0.25], [0.2, 0.5, 0.25, 1.1]])
    relu = Activation("relu").expression
    tables = piecewise_tables(covariance, 2, 2, piecewise_rule((relu, relu), 12))
    assert tables.pair[0, 0, 1] == pytest.approx(0.255925275104224, abs=1e-15)
    assert tables.pair[1, 0, 1] == pytest.approx(0.294150459190349, abs=1e-15)
    assert tables.four_point[0, 1, 2, 3] == pytest.approx(0.120234961482823, abs=1e-15)
    assert tables.four_point[0, 1, 0, 2] == pytest.approx(0.151664192989577, abs=1e-15)
    # E[g'(z_0) z_1 g(z_2)] by Stein: the form in which impulses of g'' enter.
    stein = covariance[1, 0] * tables.pair[2, 0, 2] + covariance[1, 2] * tables.pair[1, 0, 2]
    assert stein == pytest.approx(0.009145860232457, abs=1e-15)
