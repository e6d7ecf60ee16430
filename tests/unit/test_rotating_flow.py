"""Flows of vectors and rotations: systems with known solutions, jumps against exact paths, binding, bad input."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from numpy.typing import NDArray
from scipy.linalg import expm, polar

import hermiton as hm
from hermiton.numerics.events import solve_by_events
from hermiton.numerics.indexed_values import IndexedValues
from hermiton.numerics.rotating_flow import rotating_source, solve_rotating
from hermiton.numerics.rotation_steps import Path, Slope, State, refollow
from hermiton.numerics.solution import Solution
from hermiton.numerics.solve import UnfinishedError
from hermiton.theory.errors import AssumptionError, DerivationError
from hermiton.theory.rotating_flow import RotatingFlow
from hermiton.theory.systems import Array, Definition, IndexSet, IndexSum, Moment, Passed

N, d, i, j, k, m, n = sp.symbols("N d i j k m n", integer=True)
SAMPLE = IndexSet("sample", N, dimensions=("sample",))
ROW, COLUMN = (IndexSet(name, d, dimensions=(name,)) for name in ("row", "column"))
A, B = Array("A", (ROW, COLUMN)), Array("B", (ROW, COLUMN))
R = Array("R", (ROW, COLUMN), field="rotation", slot=("layer", 0))
Q = Array("Q", (ROW, COLUMN), field="rotation", slot=("layer", 1))
Y = Array("y", (ROW,))


def over(body: sp.Expr, index: sp.Symbol) -> IndexSum:
    return IndexSum(body, index, N if index == i else d)


def system(equations: dict[Array, sp.Expr], rotations: tuple[Array, ...], **more: Any) -> RotatingFlow:
    """Equations in j, and n for matrices; parameters A and B."""
    return RotatingFlow(
        name="toy",
        sets=(ROW, COLUMN),
        states=tuple(equations),
        parameters=(A, B),
        definitions=more.pop("definitions", ()),
        moments=more.pop("moments", ()),
        equations=tuple(Definition(array, (j, n)[: len(array.axes)], value) for array, value in equations.items()),
        observables=more.pop("observables", ()),
        rotations=rotations,
        **more,
    )


# Q turns with B, and R with A as Q sees it: R = exp(t B) exp(t (A - B)) R_0 for Q_0 = 1.
FRAME = system({R: over(Q[j, k] * over(A[k, m] * Q[n, m], m), k), Q: B[j, n]}, (R, Q))
# Steepest descent of |R - A|^2: to the orthogonal polar factor.
NEAREST = system(
    {R: over(A[j, k] * R[n, k], k) / 2 - over(R[j, k] * A[n, k], k) / 2},
    (R,),
    observables=(
        Definition(Array("distance"), (), over(over((R[j, k] - A[j, k]) ** 2, k), j)),
        Definition(Array("transposed", (ROW, COLUMN)), (j, n), R[n, j]),
    ),
)
# Brockett's double bracket: H = R A R^T has H' = [H, [H, B]].
H = Array("H", (ROW, COLUMN), symmetric=True)
BRACKET = system(
    {R: over(B[j, k] * H[k, n], k) - over(H[j, k] * B[k, n], k)},
    (R,),
    definitions=(Definition(H, (j, n), over(R[j, k] * over(A[k, m] * R[n, m], m), k)),),
    observables=(Definition(Array("turned", (ROW, COLUMN)), (j, n), H[j, n]),),
)


def antisymmetric(seed: int, size: int = 3) -> NDArray[np.float64]:
    matrix = np.random.default_rng(seed).standard_normal((size, size))
    return matrix - matrix.T


def turn(seed: int, size: int = 3) -> NDArray[np.float64]:
    return np.asarray(expm(antisymmetric(seed, size)))


def solved(flow: RotatingFlow, setting: dict[str, Any], start: Any, times: Any, rtol: float = 1e-8) -> Solution:
    size = len(setting["A"])
    return solve_rotating(
        flow, SimpleNamespace(sizes={"d": size}, **setting), start, np.asarray(times, dtype=float), rtol, rtol / 100
    )


def bounded(solution: Solution, name: str, exact: NDArray[np.float64]) -> NDArray[np.float64]:
    """The true error, held against the estimate."""
    error = np.abs(solution.data[name].values - exact)
    assert (error <= solution.errors[name].values).all()
    return error


class TestKnownSolutions:
    def test_a_frame_that_turns(self) -> None:
        a, b, start = antisymmetric(1), antisymmetric(2), turn(3)
        times = np.linspace(0, 3, 7)
        solution = solved(FRAME, {"A": a, "B": b}, {"rotation": [start, np.eye(3)]}, times)
        exact = [[expm(t * b) @ expm(t * (a - b)) @ start, expm(t * b)] for t in times]
        assert bounded(solution, "rotation", np.array(exact)).max() < 1e-6
        assert np.linalg.det(solution.data["rotation"].values) == pytest.approx(1.0, abs=1e-12)
        assert solution.data["rotation"].dims == ("time", "layer", "row", "column")
        assert solution.errors["rotation"].max() < 1e-5

    def test_a_tighter_tolerance_is_closer(self) -> None:
        a, b = antisymmetric(1), antisymmetric(2)
        exact = expm(2 * b) @ expm(2 * (a - b))
        errors = [
            np.abs(
                solved(FRAME, {"A": a, "B": b}, {"rotation": [np.eye(3)] * 2}, [2.0], rtol).data.rotation[0, 0] - exact
            )
            for rtol in (1e-4, 1e-6, 1e-8)
        ]
        assert errors[0].max() > 10 * errors[1].max() > 100 * errors[2].max()

    def test_descent_ends_at_the_polar_factor(self) -> None:
        a = turn(5) @ np.diag([1.0, 2.0, 3.0]) @ turn(6)
        nearest = polar(a)[0]
        solution = solved(NEAREST, {"A": a, "B": 0.0}, {"rotation": [nearest @ turn(7)]}, [0.0, 1.0, 40.0])
        assert np.abs(solution.data["rotation"].values[-1, 0] - nearest).max() < 1e-8
        assert float(solution.data["distance"][-1]) == pytest.approx(0 + 1 + 4, abs=1e-8)
        assert (np.diff(solution.data["distance"]) < 0).all()
        np.testing.assert_array_equal(
            solution.data["transposed"].values, solution.data["rotation"].values[:, 0].transpose(0, 2, 1)
        )

    def test_the_double_bracket_sorts_eigenvalues(self) -> None:
        values = np.array([3.0, -1.0, 0.5])
        basis = turn(8)
        a, b = basis @ np.diag(values) @ basis.T, np.diag([1.0, 2.0, 3.0])
        solution = solved(BRACKET, {"A": a, "B": b}, {"rotation": [np.eye(3)]}, [0.0, 1.0, 30.0])
        turned = solution.data["turned"].values
        assert np.abs(np.linalg.eigvalsh(turned[1]) - np.sort(values)).max() < 1e-12
        assert np.abs(turned[-1] - np.diag(np.sort(values))).max() < 1e-8

    def test_vectors_alone(self) -> None:
        a = np.array([[-1.0, 2.0], [-2.0, -1.0]])
        flow = system({Y: over(A[j, k] * Y[k], k)}, ())
        solution = solved(flow, {"A": a, "B": 0.0}, [1.0, 0.5], [0.5, 2.0])
        exact = np.array([expm(t * a) @ [1.0, 0.5] for t in (0.5, 2.0)])
        assert bounded(solution, "y", exact).max() < 1e-7

    def test_nothing_moves(self) -> None:
        flow = system({Y: over(A[j, k] * Y[k], k)}, ())
        solution = solved(flow, {"A": np.zeros((2, 2)), "B": 0.0}, [1.0, 0.0], [0.0, 5.0])
        assert (solution.data["y"].values == [1.0, 0.0]).all()
        assert solution.errors["y"].max() < 1e-13
        assert solved(flow, {"A": np.zeros((2, 2)), "B": 0.0}, [1.0, 0.0], [0.0]).data["y"].shape == (1, 2)


# -- the steps themselves ---------------------------------------------------------------------------------------------


def fixed(rhs: Callable[[State], Slope], rotates: tuple[bool, ...], start: State, h: float, end: float) -> Path:
    """Steps of length h, recorded at every fourth."""
    count = round(end / h / 4)
    return refollow(rhs, rotates, Path(list(np.linspace(0, end, count + 1)), [start]), lambda fraction: None)


class TestSteps:
    def test_the_order_is_four(self) -> None:
        """On a problem with commutators, a vector along: halving steps divides errors by 16 within 2."""
        a, b = antisymmetric(1), antisymmetric(2)

        def rhs(state: State) -> Slope:
            _, q, y = state
            return [q @ a @ q.T, b, q @ a @ q.T @ y], ()

        exact = expm(b) @ expm(a - b)
        start = [np.eye(3), np.eye(3), np.array([1.0, -0.5, 2.0])]
        errors = []
        for h in (1 / 32, 1 / 64, 1 / 128):
            r, _, y = fixed(rhs, (True, True, False), start, h, 1.0).states[-1]
            errors.append([np.abs(r - exact).max(), np.abs(y - exact @ start[2]).max()])
        ratios = np.array(errors)[:-1] / np.array(errors)[1:]
        assert (np.abs(ratios - 16) < 2).all()

    def test_ten_thousand_steps_stay_orthogonal(self) -> None:
        a, start = antisymmetric(4, 4), turn(2, 4) * np.array([-1, 1, 1, 1])
        path = fixed(lambda state: ([a + 0.1 * (state[0] - state[0].T)], ()), (True,), [start], 0.01, 100.0)
        assert path.evaluations == 1 + 4 * 10_000
        defects = [np.abs(r @ r.T - np.eye(4)).max() for (r,) in path.states]
        assert max(defects) < 2e-13
        assert {round(float(np.linalg.det(r)), 9) for (r,) in path.states} == {-1}


# -- jumps ------------------------------------------------------------------------------------------------------------

PLACE = IndexSet("place", d, dimensions=("place",))
U, W, T, THETA = Array("u", (SAMPLE,)), Array("w", (SAMPLE,)), Array("t", (SAMPLE,)), Array("theta", (PLACE,))
CLAMP = RotatingFlow(
    name="clamp",
    sets=(SAMPLE, PLACE),
    states=(THETA,),
    parameters=(U, W, T),
    definitions=(),
    moments=(),
    equations=(Definition(THETA, (j,), over(Passed(U[i], THETA[j]) * W[i] * (T[i] - THETA[j]), i)),),
    observables=(Definition(Array("mass", (PLACE,)), (j,), over(Passed(U[i], THETA[j]) * W[i], i)),),
)


def clamped(count: int, seed: int) -> SimpleNamespace:
    """A standard Gaussian coordinate with its target at 3 (the note's problem, from theta = -1)."""
    u = np.random.default_rng(seed).standard_normal(count)
    return SimpleNamespace(sizes={"N": count, "d": 1}, u=u, w=1 / count, t=3.0)


def exact_path(setting: SimpleNamespace, times: NDArray[np.float64]) -> NDArray[np.float64]:
    count = setting.sizes["N"]
    one = np.full(count, 1 / count)
    return np.asarray(solve_by_events(setting.u, one, 3 * one, -1.0)(times))


class TestJumps:
    @pytest.mark.parametrize(("count", "largest"), [(100, 2e-3), (1000, 1e-3), (10_000, 1e-3)])
    def test_estimates_bound_the_error_where_the_path_is_known(self, count: int, largest: float) -> None:
        times = np.linspace(0, 10, 21)
        for seed in range(3):
            setting = clamped(count, 1000 + seed)
            solution = solve_rotating(CLAMP, setting, [-1.0], times, 1e-8, 1e-10)
            error = bounded(solution, "theta", exact_path(setting, times)[:, None])
            assert error.max() < largest
            assert solution.errors["theta"].max() < 5 * largest
            assert int(solution.provenance["crossings"]) == np.sum(
                (setting.u > -1) & (setting.u < solution.data["theta"].values[-1, 0])
            )

    def test_fixed_steps_have_the_floor_of_the_table(self) -> None:
        """Largest deviation of steps .5, .25, .125, .0625 with random data: within a factor of 4 in the mean."""
        table = {
            100: [1.8e-2, 7.8e-3, 5.1e-3, 3.4e-3],
            1000: [7.0e-3, 5.0e-3, 3.4e-3, 1.6e-3],
            10_000: [5.4e-3, 7.5e-4, 4.1e-4, 5.3e-4],
        }
        for count, expected in table.items():
            for h, known in zip((0.5, 0.25, 0.125, 0.0625), expected, strict=True):
                found = []
                for seed in range(3):
                    setting = clamped(count, seed)

                    def rhs(state: State, u: Any = setting.u) -> Slope:
                        passed = u < state[0][0]
                        return [np.array([passed.mean() * (3 - state[0][0])])], (passed,)

                    path = fixed(rhs, (False,), [np.array([-1.0])], h, 8.0)
                    states = np.array([y[0][0] for y in path.states])
                    found.append(np.abs(states - exact_path(setting, np.array(path.times))).max())
                assert known / 4 < np.exp(np.mean(np.log(found))) < known * 4, (count, h, found)

    def test_a_pinned_threshold_is_held_where_it_is(self) -> None:
        """g jumps through zero at u = 2 (the note's four points): steps don't collapse, and the error covers it."""
        setting = SimpleNamespace(
            sizes={"N": 4, "d": 1}, u=np.array([0, 0.2, 0.4, 2]), w=0.25, t=np.array([3.0, 3, 3, -4])
        )
        times = np.array([0.2, 1.0, 1.5, 1.8])
        solution = solve_rotating(CLAMP, setting, [0.1], times, 1e-8, 1e-10)
        exact = solve_by_events(setting.u, np.full(4, 0.25), setting.t / 4, 0.1)(times)
        assert exact[-1] == 2.0
        assert bounded(solution, "theta", exact[:, None]).max() < 5e-3
        assert int(solution.provenance["evaluations"]) < 20_000

    def test_a_loose_tolerance_costs_less(self) -> None:
        setting, times = clamped(1000, 7), np.array([5.0])
        cost = {
            rtol: int(solve_rotating(CLAMP, setting, [-1.0], times, rtol, rtol / 100).provenance["evaluations"])
            for rtol in (1e-9, 1e-8, 1e-6, 1e-3)
        }
        assert cost[1e-9] > 2 * cost[1e-8]
        assert cost[1e-8] >= cost[1e-6] > 2 * cost[1e-3]


# -- binding ----------------------------------------------------------------------------------------------------------

LEVEL = [Array(f"level{at}", (ROW,), field="levels", slot=("layer", at)) for at in range(2)]
BIAS = [Array(f"bias{at}", (ROW,), field="bias", slot=("layer", at)) for at in range(2)]
STACKED = system(
    {BIAS[0]: -BIAS[0][j], BIAS[1]: -2 * BIAS[1][j], R: A[j, n], Q: B[j, n]},
    (R, Q),
    observables=tuple(
        Definition(Array(f"seen{at}", (ROW,), field="seen", slot=("layer", at)), (j,), 3 * BIAS[at][j]) for at in (1, 0)
    ),
    starts=tuple((LEVEL[at], Definition(BIAS[at], (j,), over((R, Q)[at][k, j] * LEVEL[at][k], k))) for at in range(2)),
)
STILL = {"A": np.zeros((2, 2)), "B": np.zeros((2, 2))}
QUARTER = np.array([[0.0, 1.0], [-1.0, 0.0]])


class TestBinding:
    def test_stacked_values_are_split_and_joined(self) -> None:
        start = {"bias": [[1.0, 2.0], [3.0, 4.0]], "rotation": [np.eye(2), QUARTER]}
        solution = solved(STACKED, STILL, start, [0.0, 1.0])
        decay = np.exp([[-1.0], [-2.0]])
        assert solution.data["bias"].dims == ("time", "layer", "row")
        np.testing.assert_allclose(solution.data["bias"][1], decay * start["bias"], rtol=1e-6)
        np.testing.assert_allclose(solution.data["seen"], 3 * solution.data["bias"], rtol=1e-14)

    @pytest.mark.parametrize("kind", [dict, lambda **given: SimpleNamespace(**given)])
    def test_a_state_by_another_array_and_states_of_the_setting(self, kind: Callable[..., Any]) -> None:
        levels = np.array([[1.0, 2.0], [3.0, 4.0]])
        setting = {**STILL, "rotation": [np.eye(2), QUARTER]}
        solution = solved(STACKED, setting, kind(levels=levels), [0.0])
        np.testing.assert_allclose(solution.data["bias"].values[0], [levels[0], levels[1] @ QUARTER], atol=1e-15)

    def test_solve_dispatches_and_derive_shows_what_is_computed(self) -> None:
        setting = SimpleNamespace(sizes={"d": 2}, **STILL, rotation=[np.eye(2), QUARTER])
        source: Any = SimpleNamespace(systems=(STACKED,))
        solution = hm.solve(setting, {"bias": np.ones((2, 2))}, [1.0], derivation=source)
        assert isinstance(solution, Solution)
        assert solution.provenance["rtol"] == "1e-08"
        text = rotating_source(FRAME)
        assert "d Q[j, n] = B[j, n]" in text
        assert "R' = d R R" in text

    def test_progress_and_interruption(self) -> None:
        setting = SimpleNamespace(sizes={"d": 2}, **STILL, rotation=[np.eye(2), QUARTER])
        fractions: list[float] = []
        solve_rotating(
            STACKED, setting, {"bias": 1.0 + np.zeros((2, 2))}, np.array([1.0]), 1e-6, 1e-8, fractions.append
        )
        assert fractions == sorted(fractions)
        assert len(fractions) > 10
        assert fractions[-1] == pytest.approx(1.0)

        def interrupt(fraction: float) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            solve_rotating(STACKED, setting, {"bias": np.ones((2, 2))}, np.array([1.0]), 1e-6, 1e-8, interrupt)

    @pytest.mark.parametrize(
        ("start", "message"),
        [
            ({"bias": [[1.0, 2.0]]}, "1 entries along the dimension 'layer', which has 2"),
            ({"bias": [[1.0], [2.0]]}, "another shape"),
            ({"bias": 1.0}, "no entries along the dimension 'layer'"),
            ({"bias": [[1.0, np.nan], [0.0, 0.0]]}, "NaN"),
            ({"bias": np.ones((2, 2)), "levels": np.ones((2, 2))}, "gives both levels and bias"),
            ({"biases": np.ones((2, 2))}, "start='biases' is no state"),
            ({}, "has no value for bias"),
            (np.ones((2, 2)), "does not say what it gives"),
            ({"bias": np.ones((2, 2)), "rotation": [np.eye(2), np.ones((2, 2))]}, "is not orthogonal"),
        ],
    )
    def test_a_start_that_does_not_fit_is_refused(self, start: Any, message: str) -> None:
        with pytest.raises(AssumptionError, match=message):
            solved(STACKED, {**STILL, "rotation": [np.eye(2)] * 2}, start, [1.0])

    def test_a_solution_that_ends_says_when(self) -> None:
        flow = system({Y: Y[j] ** 2}, ())
        with pytest.raises(UnfinishedError, match="diverges at t=") as error:
            solved(flow, {"A": np.eye(2), "B": 0.0}, [1.0, 0.5], [0.5, 2.0])
        assert error.value.time == pytest.approx(1.0, abs=1e-3)

    def test_an_equation_that_is_not_antisymmetric_is_refused(self) -> None:
        with pytest.raises(DerivationError, match="rotation R is not antisymmetric"):
            solved(system({R: A[j, n]}, (R,)), {"A": np.eye(2), "B": 0.0}, {"rotation": [np.eye(2)]}, [1.0])


class TestSystem:
    def test_what_moves(self) -> None:
        assert BRACKET.moving == {"R", "H"}

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"rotations": (Y,)}, "y is not a square state"),
            ({"rotations": (Q,)}, "Q is not a square state"),
            ({"moments": (Moment("I2", (0, 0), (ROW, ROW), A),)}, "no moments"),
            ({"starts": ((LEVEL[0], Definition(BIAS[0], (j,), LEVEL[0][j])),)}, "no state"),
            ({"starts": ((LEVEL[0], Definition(Y, (j,), B[j, j] * LEVEL[1][j])),)}, "undeclared.*level1"),
            ({"starts": ((LEVEL[0], Definition(Y, (j,), Y[j] * LEVEL[0][j])),)}, "undeclared.*y"),
        ],
    )
    def test_another_form_is_refused(self, change: dict[str, Any], message: str) -> None:
        arguments: dict[str, Any] = {"rotations": (R,), **change}
        with pytest.raises(DerivationError, match=message):
            system({Y: Y[j], R: A[j, n] - A[n, j]}, **arguments)


class TestValues:
    """Sums of products, which take different ways by the indices of their factors."""

    @pytest.mark.parametrize("count", [7, 40_000])
    def test_sums_agree_with_loops_over_numpy(self, count: int) -> None:
        rng = np.random.default_rng(0)
        x, q, w, r, c = (rng.standard_normal(shape) for shape in ((count, 3), (count, 3), count, (3, 3), 3))
        label = rng.integers(0, 3, count)
        values = IndexedValues(
            {"x": np.asfortranarray(x), "q": q, "w": w, "r": r, "c": c, "l": label},
            {N: count, d: 3},
        )
        bases = {name: sp.IndexedBase(sp.Symbol(name, real=True)) for name in "xqwrcl"}
        X, P, V, S, G, L = bases.values()
        cases = [
            (over(S[j, k] * X[i, k], k), (i, j), x @ r.T),
            (over(V[i] * P[i, j] * X[i, n], i), (j, n), (w[:, None] * q).T @ x),
            (over(2 * V[i] * X[i, j], i), (j,), 2 * w @ x),
            (over(S[j, k] * sp.Max(X[i, j], G[j]), j), (i, k), np.maximum(x, c) @ r),
            (over(V[i] * Passed(X[i, j], G[j]) * (G[j] - X[i, j]), i), (j,), w @ ((x < c) * (c - x))),
            (over(G[L[i]] * V[i] * X[i, j], i), (j,), (c[label] * w) @ x),
            (over(S[j, k] * over(V[i] * X[i, k], i), k), (j,), r @ (w @ x)),
            (over(S[j, k] * S[k, n] * G[k], k), (j, n), (r * c) @ r),
            (over(over(X[i, k] * S[k, m] * P[i, m], m), k), (i,), np.einsum("ik,km,im->i", x, r, q)),
            (over(G[j] ** 2, i), (j,), count * c**2),
            (over(G[j] * S[j, k], i), (j, k), count * c[:, None] * r),
            (S[j, n] - S[n, j], (j, n), r - r.T),
            (X[i, 1] * P[i, j], (i, j), x[:, 1:2] * q),
        ]
        rounding = {"rtol": 1e-10, "atol": 1e-10 * np.sqrt(count)}
        for expression, axes, expected in cases:
            found = np.broadcast_to(values(expression, axes, {}), expected.shape)
            np.testing.assert_allclose(
                found, expected, rtol=1e-10, atol=1e-10 * np.sqrt(count), err_msg=str(expression)
            )
            window = {axes[0]: slice(1, 3)}
            part = np.broadcast_to(values(expression, axes, window), expected[1:3].shape)
            np.testing.assert_allclose(part, expected[1:3], **rounding)
