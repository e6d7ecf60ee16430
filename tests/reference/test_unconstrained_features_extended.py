"""Two linear layers above unconstrained features: compiled flow, equilibria and closed forms against the cost alone.

The independent flow knows the cost only: its gradient is a complex step, integrated by SciPy.
"""

import functools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from numpy.typing import NDArray
from scipy.integrate import quad, solve_ivp
from scipy.optimize import minimize

import hermiton as hm
from hermiton.numerics.features import ExtendedFeatures
from hermiton.theory.derivation import Derivation
from hermiton.theory.unconstrained_features import UnconstrainedFeatures
from hermiton.theory.unconstrained_features.extended_solutions import (
    equilibrium,
    implicit,
    largest_decay,
    p,
    square_of_product,
    y,
)

Array = NDArray[np.float64]


@functools.cache
def derived() -> Derivation:
    return hm.derive(UnconstrainedFeatures(bias=False, layers=2))


def model(classes: int = 3, samples: int = 2, dimension: int = 4, **options: Any) -> UnconstrainedFeatures:
    return UnconstrainedFeatures(classes, samples, dimension, bias=False, layers=2, **options)


def decayed(decays: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("decay_weights", "decay_hidden", "decay_features"), decays, strict=True))


def solved(setting: UnconstrainedFeatures, start: Any, times: Any, rtol: float = 1e-10) -> Any:
    return hm.solve(setting, start, times, rtol=rtol, derivation=derived()).data


def frames(setting: UnconstrainedFeatures) -> tuple[Array, Array, Array]:
    """Directions of W2, W1 and H at a collapsed state, in general position."""
    rng = np.random.default_rng(7)
    second, first = (np.linalg.qr(rng.normal(size=(setting.dimension, setting.classes)))[0].T for _ in range(2))
    return second, second.T @ first, first.T @ np.array(setting.labels)


def collapsed(setting: UnconstrainedFeatures, *coordinates: float) -> ExtendedFeatures:
    return ExtendedFeatures(*(a * U for a, U in zip(coordinates, frames(setting), strict=True)))


def coordinates(setting: UnconstrainedFeatures, data: Any) -> Array:
    """a2, a1 and eta of a solution, (T, 3), which has to be collapsed."""
    values = []
    for name, direction in zip(("W2", "W1", "H"), frames(setting), strict=True):
        array = data[name].values
        value = (array * direction).sum(axis=(1, 2)) / (direction**2).sum()
        np.testing.assert_allclose(array, value[:, None, None] * direction, rtol=0, atol=1e-9)
        values.append(value)
    return np.transpose(values)


# -- a flow that knows the cost only ----------------------------------------------------------------------------------


def split(setting: UnconstrainedFeatures, states: Any) -> tuple[Any, Any, Any]:
    classes, d, samples = setting.classes, setting.dimension, setting.classes * setting.per_class
    first, second = classes * d, classes * d + d * d
    return (
        states[..., :first].reshape(*states.shape[:-1], classes, d),
        states[..., first:second].reshape(*states.shape[:-1], d, d),
        states[..., second:].reshape(*states.shape[:-1], d, samples),
    )


def cost(setting: UnconstrainedFeatures, states: Any) -> Any:
    """From the definition, for stacks of packed states, which may be complex."""
    W2, W1, H = split(setting, states)
    k = setting.classes * setting.per_class if setting.normalisation == "samples" else 1
    fit = ((W2 @ W1 @ H - np.repeat(np.eye(setting.classes), setting.per_class, axis=1)) ** 2).sum(axis=(-1, -2))
    decays = (setting.decay_weights, setting.decay_hidden, setting.decay_features)
    norms = ((array**2).sum(axis=(-1, -2)) for array in (W2, W1, H))
    return fit / (2 * k) + sum(float(w) / 2 * norm for w, norm in zip(decays, norms, strict=True))


def gradient(setting: UnconstrainedFeatures, state: Array) -> Array:
    return np.asarray(cost(setting, state + 1e-30j * np.eye(state.size)).imag / 1e-30)


def test_against_a_flow_from_the_cost_alone() -> None:
    """Generic start, unequal decays; every array at every time, the cost, and both imbalances."""
    setting = model(dimension=3, **decayed((0.07, 0.05, 0.03)), normalisation="samples")
    rng = np.random.default_rng(5)
    start = ExtendedFeatures(*(rng.normal(size=shape) for shape in ((3, 3), (3, 3), (3, 6))))
    first = np.concatenate([start.W2.ravel(), start.W1.ravel(), start.H.ravel()])
    times = np.array([0.5, 2.0, 8.0])
    states = solve_ivp(
        lambda _, state: -gradient(setting, state), (0, 8), first, "DOP853", times, rtol=1e-10, atol=1e-12
    ).y.T
    data = solved(setting, start, times)
    for name, wanted in zip(("W2", "W1", "H"), split(setting, states), strict=True):
        np.testing.assert_allclose(data[name].values, wanted, rtol=0, atol=1e-8)
    W2, W1, H = split(setting, states)
    upper, lower = ((M.swapaxes(1, 2) @ M) - N @ N.swapaxes(1, 2) for M, N in ((W2, W1), (W1, H)))
    np.testing.assert_allclose(data["imbalance_weights"].values, upper, rtol=0, atol=1e-7)
    np.testing.assert_allclose(data["imbalance"].values, lower, rtol=0, atol=1e-7)
    np.testing.assert_allclose(data["loss"].values, cost(setting, states), rtol=1e-8)


# -- collapsed states -------------------------------------------------------------------------------------------------


def test_collapsed_starts_follow_the_reduced_equations() -> None:
    setting = model(**decayed((0.02, 0.03, 0.01)))
    times = [0.3, 1.0, 3.0]
    reduced = replace(derived(), systems=derived().systems[1:])
    alone = hm.solve(setting, SimpleNamespace(a2=0.9, a1=0.4, eta=0.6), times, rtol=1e-10, derivation=reduced).data
    values = coordinates(setting, solved(setting, collapsed(setting, 0.9, 0.4, 0.6), times))
    for m, name in enumerate(("a2", "a1", "eta")):
        np.testing.assert_allclose(values[:, m], alone[name].values, rtol=0, atol=1e-9)
    np.testing.assert_allclose(alone["p"].values, values.prod(axis=1), rtol=1e-8)


def roots(setting: UnconstrainedFeatures) -> list[float]:
    """The values in (0, 1) where p rests, from the derived polynomial."""
    k, decays = setting.normaliser, (setting.decay_weights, setting.decay_hidden, setting.decay_features)
    level = k**3 * float(np.prod([float(w) for w in decays])) / setting.per_class**2
    polynomial = sp.Poly(equilibrium() - sp.Rational(level), p)
    return sorted(float(root) for root in polynomial.nroots(30) if sp.im(root) == 0 and 0 < root < 1)


def test_where_p_rests() -> None:
    """The larger branch attracts from above the smaller one; from below it, and beyond 27/256, all falls to 0."""
    setting = model(**decayed((0.3, 0.2, 0.4)))
    low, high = roots(setting)
    assert low < largest_decay()[0] < high
    k, n = setting.normaliser, setting.per_class
    decays = np.array([0.3, 0.2, n * 0.4])
    sizes = np.sqrt(n / k * np.array([[q * (1 - q)] for q in (low, high)]) / decays)
    np.testing.assert_allclose(sizes.prod(axis=1), [low, high], rtol=1e-12)

    def end(of: UnconstrainedFeatures, *start: float) -> Array:
        return np.asarray(coordinates(of, solved(of, collapsed(of, *start), [400.0]))[0])

    np.testing.assert_allclose(end(setting, 1, 1, 1), sizes[1], rtol=1e-7)
    np.testing.assert_allclose(end(setting, *(1.05 * sizes[0])), sizes[1], rtol=1e-7)
    np.testing.assert_allclose(end(setting, *(0.95 * sizes[0])), 0, atol=1e-9)
    beyond = model(**decayed((0.9, 0.9, 0.6)))
    assert roots(beyond) == []
    np.testing.assert_allclose(end(beyond, 1, 1, 1), 0, atol=1e-9)


@pytest.mark.parametrize(("decays", "collapses"), [((0.3, 0.2, 0.4), True), ((0.8, 0.75, 0.6), False)])
def test_the_cost_among_collapsed_states(decays: tuple[float, float, float], collapses: bool) -> None:
    """The lowest cost that descent finds from many starts: at p > 1/2, or else at the origin, though p could rest."""
    setting = model(2, 2, 2, **decayed(decays))
    _, high = roots(setting)
    assert (high > 0.5) == collapses
    rng, size = np.random.default_rng(3), 4 + 4 + 8

    def value(v: Array) -> float:
        return float(cost(setting, v))

    def slope(v: Array) -> Array:
        return gradient(setting, v)

    starts = [scale * rng.normal(size=size) for scale in (0.2, 0.5, 1.0, 2.0) for _ in range(3)]
    results = [minimize(value, start, jac=slope, tol=1e-12) for start in starts]
    found = min(results, key=lambda result: float(result.fun))
    origin = float(cost(setting, np.zeros(size)))
    wanted = min(0.0, -setting.classes * setting.per_class / 2 * high * (2 * high - 1))
    assert found.fun - origin == pytest.approx(wanted, abs=1e-7)
    W2, W1, H = split(setting, found.x)
    product = high if collapses else 0
    np.testing.assert_allclose(W2 @ W1 @ H, product * np.repeat(np.eye(2), 2, axis=1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("branch", [0, 1])
def test_stability(branch: int) -> None:
    """Eigenvalues of the reduced equations where p rests, by differences, against those of diag(decays) A."""
    decays = np.array([0.3, 0.2, 0.4])
    setting = model(**decayed((0.3, 0.2, 0.4)))
    q = roots(setting)[branch]
    equations = derived().systems[1].equations
    point = {"n": 2, "k": 1, "lambda_2": 0.3, "lambda_1": 0.2, "lambda_H": 0.4}

    def velocity(v: Array) -> Array:
        at = {**point, "a2": v[0], "a1": v[1], "eta": v[2]}
        return np.array([float(e.value.subs({s: at[s.name] for s in e.value.free_symbols})) for e in equations])

    rest = np.sqrt(2 * q * (1 - q) / (decays * [1, 1, 2]))
    np.testing.assert_allclose(velocity(rest), 0, atol=1e-12)
    jacobian = np.transpose([(velocity(rest + 1e-5 * e) - velocity(rest - 1e-5 * e)) / 2e-5 for e in np.eye(3)])
    A = (1 - 2 * q) / (1 - q) * np.ones((3, 3)) - 2 * np.eye(3)
    np.testing.assert_allclose(np.linalg.eigvalsh(A)[-1], max(-2, (1 - 4 * q) / (1 - q)), rtol=1e-12)
    values = np.sort(np.linalg.eigvals(jacobian).real)
    np.testing.assert_allclose(values, np.sort(np.linalg.eigvals(decays[:, None] * A).real), atol=1e-8)
    assert (values[-1] < 0) == (branch == 1)


@pytest.mark.parametrize("normalisation", ["one", "samples"])
def test_balanced_without_decay(normalisation: Any) -> None:
    """The implicit solution grows linearly; 1 - p decays at the rate 3 n^{2/3}/k in the end."""
    setting = model(samples=4, normalisation=normalisation)
    n, k = 4, setting.normaliser
    size = (np.sqrt(n) * 0.05) ** (1 / 3)
    times = k * np.array([0.2, 0.6, 1.0, 2.5, 2.6])
    values = coordinates(setting, solved(setting, collapsed(setting, size, size, size / 2), times, 1e-12)).prod(axis=1)
    grown = sp.lambdify(y, implicit(), "mpmath")
    steps = [float(grown(sp.Float(value, 30) ** sp.Rational(1, 3))) for value in (0.05, *values[:3])]
    np.testing.assert_allclose(np.diff(steps), n ** (2 / 3) * np.diff([0, *times[:3]]) / k, rtol=1e-8)
    late = -np.log((1 - values[4]) / (1 - values[3])) / (times[4] - times[3])
    assert late == pytest.approx(3 * n ** (2 / 3) / k, rel=1e-3)


def test_unbalanced_without_decay() -> None:
    """The time to reach a state is the integral of k dx/(2 n p (1-p)), x = n eta^2."""
    setting, n = model(), 2
    start = (1.1, 0.6, 0.3)
    kappas = start[1] ** 2 - n * start[2] ** 2, start[0] ** 2 - start[1] ** 2

    def inverse_rate(x: float) -> float:
        product = np.sqrt(square_of_product(x, *kappas) / n)
        return float(1 / (2 * n * product * (1 - product)))

    times = [0.3, 1.0]
    ends = coordinates(setting, solved(setting, collapsed(setting, *start), times, 1e-12))
    for time, (_, _, eta) in zip(times, ends, strict=True):
        spent, _ = quad(inverse_rate, n * start[2] ** 2, n * eta**2, epsabs=0, epsrel=1e-11)
        assert spent == pytest.approx(time, rel=1e-8)
