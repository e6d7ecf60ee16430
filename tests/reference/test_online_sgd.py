"""Solutions of the order-parameter equations against printed digits and against equations written a second time.

The tables were made by a separate code (DOP853 at rtol 1e-13); every printed digit is compared.
"""

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import sympy as sp
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

import hermiton as hm
from hermiton.theory.derivation import Derivation
from hermiton.theory.gaussian.closed_forms import closed_form
from hermiton.theory.notation import z
from hermiton.theory.systems import covariance_symbol

Array = NDArray[np.float64]

Q2 = np.array([[0.2, 0.05], [0.05, 0.25]])
R2 = np.array([[0.1, 0.02], [0.03, 0.12]])
Q3 = np.array([[0.2, 0.05, 0.02], [0.05, 0.25, -0.03], [0.02, -0.03, 0.3]])
R3 = np.array([[0.1, 0.02], [0.03, 0.12], [-0.05, 0.04]])
TWO = np.ones(2)
TIMES = (0, 1, 5, 10, 20, 40, 60, 80, 100)
CUBIC = sp.Rational(3, 10) * (z**2 - 1) + sp.Rational(1, 10) * (z**3 - 3 * z)


@dataclass(frozen=True)
class Case:
    setting: hm.OnlineSGD
    start: hm.Overlaps
    error: tuple[float, ...]
    digits: float
    last: dict[str, list[Any]]


def cases() -> dict[str, Case]:
    return {
        "A": Case(
            hm.OnlineSGD(learning_rate=0.5),
            hm.Overlaps(Q=Q2, R=R2, T=np.eye(2), v=TWO, A=TWO),
            (
                0.366941589282,
                0.181730709354,
                0.025258376147,
                0.015102318805,
                0.014339443077,
                0.013251140961,
                0.010927759200,
                0.007380667664,
                0.004025628078,
            ),
            1e-9,
            {
                "Q": [[0.6394437103, 0.1781504], [0.1781504, 0.6484303164]],
                "R": [[0.7784482769, 0.1230573423], [0.1264916948, 0.7835972226]],
            },
        ),
        "B": Case(
            hm.OnlineSGD(hidden=3, teacher_hidden=2, learning_rate=0.5, second_layer_rate=0.5, noise=0.1),
            hm.Overlaps(Q=Q3, R=R3, T=np.eye(2), v=np.array([0.8, 0.9, 1.0]), A=TWO),
            (
                0.416953169379,
                0.192316201661,
                0.027354956307,
                0.019724943069,
                0.018557706987,
                0.016790042187,
                0.015123000053,
                0.013306044648,
                0.011205289698,
            ),
            1e-9,
            {
                "v": [0.6960323113, 0.7418713961, 0.736739316],
                "Q": [
                    [0.5317250597, None, None],
                    [None, 0.4721911283, None],
                    [None, None, 0.3895676227],
                ],
                "R": [
                    [0.6735294065, 0.12320896],
                    [0.274706312, 0.5603712381],
                    [0.2561673678, 0.4760955205],
                ],
            },
        ),
        "D": Case(
            hm.OnlineSGD(student="relu", teacher="relu", learning_rate=0.2, noise=0.1),
            hm.Overlaps(Q=Q2, R=R2, T=np.eye(2), v=TWO, A=TWO),
            (
                0.447324653627,
                0.392096354390,
                0.219099581470,
                0.120546124079,
                0.073635018308,
                0.041885055079,
                0.013011720406,
                0.002932393208,
                0.000970699149,
            ),
            1e-9,
            {},
        ),
        "E": Case(
            hm.OnlineSGD(student=CUBIC, teacher=CUBIC, learning_rate=0.1),
            hm.Overlaps(Q=Q2 + 0.3 * np.eye(2), R=[[0.2, 0.02], [0.03, 0.25]], T=np.eye(2), v=TWO, A=TWO),
            (
                0.331082025000,
                0.329520113003,
                0.322253221847,
                0.310240589454,
                0.272259026180,
                0.140667269061,
                0.041398617039,
                0.009617904050,
                0.002109966823,
            ),
            1e-8,
            {},
        ),
    }


@functools.cache
def derived(name: str) -> Derivation:
    return hm.derive(cases()[name].setting)


@functools.cache
def solved(name: str, rtol: float) -> Any:
    case = cases()[name]
    return hm.solve(case.setting, case.start, TIMES, rtol=rtol, derivation=derived(name))


# -- printed trajectories ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["A", "B", "D", "E"])
def test_error_to_every_printed_digit(name: str) -> None:
    case = cases()[name]
    actual = solved(name, 1e-12).data["generalization_error"].values
    np.testing.assert_allclose(actual, case.error, rtol=0, atol=5e-13 + case.digits * case.error[-1])


@pytest.mark.parametrize("name", ["A", "B"])
def test_order_parameters_to_every_printed_digit(name: str) -> None:
    case = cases()[name]
    for variable, printed in case.last.items():
        wanted = np.array(printed, dtype=np.float64)  # None becomes NaN: not printed
        known = np.isfinite(wanted)
        actual = solved(name, 1e-12).data[variable].sel(time=100).values
        np.testing.assert_allclose(actual[known], wanted[known], rtol=0, atol=1e-9)


@pytest.mark.parametrize("rtol", [1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("name", ["A", "B", "D", "E"])
def test_reported_errors_are_honest(name: str, rtol: float) -> None:
    """The estimate is at least the true deviation, at every time and in every variable, and no caricature."""
    best, solution = solved(name, 1e-12), solved(name, rtol)
    for variable in solution.data.data_vars:
        deviation = np.abs(solution.data[variable] - best.data[variable])
        floor = best.errors[variable]
        assert (deviation <= solution.errors[variable] + floor).all(), variable
        assert float(solution.errors[variable].max()) <= rtol


@pytest.mark.parametrize("method", ["Tsit5", "SDIRK4"])
def test_other_integrators_agree(method: Any) -> None:
    case = cases()["A"]
    solution = hm.solve(case.setting, case.start, (1, 5, 10), rtol=1e-9, method=method, derivation=derived("A"))
    np.testing.assert_allclose(solution.data["generalization_error"], case.error[1:4], rtol=1e-8, atol=0)


def test_noise_and_rates_reach_the_equations() -> None:
    """Parameters are bound by name; each one matters."""
    case = cases()["B"]
    reference = solved("B", 1e-8).data["R"].sel(time=5).values
    for name, value in (("learning_rate", 0.4), ("second_layer_rate", 0.1), ("noise", 0.5)):
        changed = hm.OnlineSGD(
            **{
                **{"hidden": 3, "teacher_hidden": 2, "learning_rate": 0.5, "second_layer_rate": 0.5, "noise": 0.1},
                name: value,
            }
        )
        other = hm.solve(changed, case.start, [5.0], derivation=derived("B")).data["R"].sel(time=5).values
        assert np.abs(other - reference).max() > 1e-3


# -- an activation without closed forms, its equations written a second time ------------------------------------------


def _tensor_slopes(
    fields: Array, weights: Array, Q: Array, R: Array, v: Array, A: Array, eta: float, eta_v: float, noise: float
) -> tuple[Array, Array, Array, float]:
    """d/dt of Q, R, v and the test error, each an average over all fields at once, straight from the update rule.

    No Stein's lemma and no closed form: E[Delta g'_k z_b], E[Delta^2 g'_k g'_l], E[Delta g_k], E[Delta^2]/2 as sums
    over a tensor grid in K + M dimensions. The label noise is averaged by hand.
    """
    width = len(v)
    values = np.tanh(fields)
    slopes = 1 - values[:width] ** 2
    signal = v @ values[:width] - A @ values[width:]
    gradient = v[:, None] * slopes * signal * weights
    drift = gradient @ fields.T
    square = (v[:, None] * slopes * (signal**2 + noise**2) * weights) @ (v[:, None] * slopes).T
    dQ = -eta * (drift[:, :width] + drift[:, :width].T) + eta**2 * square
    return dQ, -eta * drift[:, width:], -eta_v * (values[:width] @ (signal * weights)), float(signal**2 @ weights) / 2


def _reference_of_tanh(setting: hm.OnlineSGD, start: hm.Overlaps, times: Array, order: int) -> dict[str, Array]:
    width, teacher_width = start.R.shape
    count = width + teacher_width
    nodes, line = np.polynomial.hermite_e.hermegauss(order)
    grid = np.stack([g.ravel() for g in np.meshgrid(*[nodes] * count, indexing="ij")])
    weights = functools.reduce(np.multiply.outer, [line / math.sqrt(2 * math.pi)] * count).ravel()
    eta, eta_v, noise = (float(x) for x in (setting.learning_rate, setting.second_layer_rate, setting.noise))

    def unpack(state: Array) -> tuple[Array, Array, Array]:
        q, r = width * width, width * teacher_width
        return state[:q].reshape(width, width), state[q : q + r].reshape(width, teacher_width), state[q + r :]

    def averages(state: Array) -> tuple[Array, Array, Array, float]:
        Q, R, v = unpack(state)
        factor = np.linalg.cholesky(np.block([[Q, R], [R.T, start.T]]))
        return _tensor_slopes(factor @ grid, weights, Q, R, v, start.A, eta, eta_v, noise)

    def rhs(_: float, state: Array) -> Array:
        dQ, dR, dv, _ = averages(state)
        return np.concatenate([dQ.ravel(), dR.ravel(), dv])

    first = np.concatenate([start.Q.ravel(), start.R.ravel(), start.v])
    states = [first]
    for begin, end in itertools.pairwise(times):
        path = solve_ivp(rhs, (begin, end), states[-1], method="DOP853", rtol=1e-10, atol=1e-12)
        states.append(path.y[:, -1])
    Q, R, v = (np.stack(part) for part in zip(*map(unpack, states), strict=True))
    return {"Q": Q, "R": R, "v": v, "generalization_error": np.array([averages(s)[3] for s in states])}


@pytest.mark.parametrize("widths", [(1, 1), (2, 1)])
def test_tanh_against_a_tensor_grid(widths: tuple[int, int]) -> None:
    """The reference knows the update rule and tanh, and nothing of ours; its own accuracy is seen at two grids."""
    width, teacher_width = widths
    setting = hm.OnlineSGD(
        student="tanh",
        teacher="tanh",
        hidden=width,
        teacher_hidden=teacher_width,
        learning_rate=0.4,
        second_layer_rate=0.3,
        noise=0.2,
    )
    start = hm.Overlaps(
        Q=Q2[:width, :width],
        R=R2[:width, :teacher_width],
        T=0.3 * np.eye(teacher_width),
        v=np.array([0.8, 0.9])[:width],
        A=np.array([1.1, -0.7])[:teacher_width],
    )
    times = np.array([0.0, 1.0, 3.0, 5.0])
    wanted, coarse = (_reference_of_tanh(setting, start, times, order) for order in (40, 34))
    solution = hm.solve(setting, start, times, rtol=1e-9)
    for name, value in wanted.items():
        np.testing.assert_allclose(coarse[name], value, rtol=0, atol=2e-9, err_msg=f"the reference's own {name}")
        np.testing.assert_allclose(solution.data[name], value, rtol=0, atol=1e-8, err_msg=name)


# -- moments ----------------------------------------------------------------------------------------------------------

COVARIANCE = (
    sp.Matrix([[10, 3, 4, 2], [3, 12, -1, 5], [4, -1, 9, sp.Rational(5, 2)], [2, 5, sp.Rational(5, 2), 11]]) / 10
)


def _moment(orders: tuple[int, ...], *fields: int) -> sp.Expr:
    steps = closed_form(orders, hm.Activation("erf"), "X")
    assert steps is not None
    point = {
        covariance_symbol(i, j): COVARIANCE[fields[i], fields[j]]
        for i in range(len(fields))
        for j in range(i, len(fields))
    }
    return steps[-1].rhs.xreplace(point)


@pytest.mark.parametrize(
    ("orders", "fields", "printed"),
    [
        ((0, 0), (0, 1), "0.091362257011207"),
        ((1, 1), (0, 1), "0.306648954191235"),
        ((1, 1, 0, 0), (0, 1, 2, 3), "0.025354374280339"),
    ],
)
def test_erf_moments_to_every_printed_digit(orders: tuple[int, ...], fields: tuple[int, ...], printed: str) -> None:
    assert f"{sp.N(_moment(orders, *fields), 30):.15f}" == printed


def test_erf_three_point_moment_to_every_printed_digit() -> None:
    """E[g'(z0) z1 g(z2)] by Stein's lemma, as the equations use it: C_12 E[g'_0 g'_2] + C_01 E[g''_0 g_2]."""
    value = COVARIANCE[1, 2] * _moment((1, 1), 0, 2) + COVARIANCE[0, 1] * _moment((2, 0), 0, 2)
    assert f"{sp.N(value, 30):.15f}" == "-0.053388708330424"
