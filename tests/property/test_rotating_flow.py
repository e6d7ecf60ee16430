"""What holds for every flow of vectors and rotations: orthogonality, symmetry, and errors that cover the true ones."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import expm

from hermiton.numerics.events import solve_by_events
from hermiton.numerics.rotating_flow import solve_rotating
from hermiton.theory.rotating_flow import RotatingFlow
from hermiton.theory.systems import Array, Definition, IndexSet, IndexSum, Passed

N, d, i, j, k, n = sp.symbols("N d i j k n", integer=True)
SAMPLE, ROW, COLUMN = IndexSet("sample", N), IndexSet("row", d), IndexSet("column", d)
X, A = Array("x", (SAMPLE, COLUMN)), Array("A", (ROW, COLUMN))
R, Y, LEVEL = Array("R", (ROW, COLUMN)), Array("y", (ROW,)), Array("level", (SAMPLE, ROW))
PULL, AIM, WEIGHT = (Array(name, (SAMPLE,)) for name in ("pull", "aim", "weight"))

# A threshold in every row of R, passed by the samples as R shows them; what is passed turns R towards A.
TURNED = RotatingFlow(
    name="turned",
    sets=(SAMPLE, ROW, COLUMN),
    states=(Y, R),
    parameters=(X, A),
    definitions=(Definition(LEVEL, (i, j), IndexSum(R[j, k] * X[i, k], k, d)),),
    moments=(),
    equations=(
        Definition(Y, (j,), IndexSum(Passed(LEVEL[i, j], Y[j]) * (LEVEL[i, j] - Y[j]), i, N) + 2 - Y[j]),
        Definition(R, (j, n), IndexSum(A[j, k] * R[n, k], k, d) - IndexSum(R[j, k] * A[n, k], k, d)),
    ),
    observables=(),
    rotations=(R,),
)
CLAMP = RotatingFlow(
    name="clamp",
    sets=(SAMPLE, ROW),
    states=(Y,),
    parameters=(PULL, AIM, WEIGHT),
    definitions=(),
    moments=(),
    equations=(Definition(Y, (j,), IndexSum(Passed(PULL[i], Y[j]) * WEIGHT[i] * (AIM[i] - Y[j]), i, N)),),
    observables=(),
)
SEEDS = st.integers(0, 10_000)


def turn(seed: int) -> NDArray[np.float64]:
    matrix = np.random.default_rng(seed).standard_normal((3, 3))
    return np.asarray(expm(matrix - matrix.T))


def solved(points: Any, aim: Any, start: NDArray[np.float64], end: float) -> Any:
    setting = SimpleNamespace(sizes={"N": len(points), "d": 3}, x=points, A=aim)
    return solve_rotating(TURNED, setting, {"y": [-1.0, 0.0, 0.5], "R": start}, np.array([end / 2, end]), 1e-3, 1e-5)


@settings(max_examples=4, deadline=None)
@given(seed=SEEDS, mirrored=st.booleans())
def test_rotations_stay_orthogonal_with_their_determinant(seed: int, mirrored: bool) -> None:
    rng = np.random.default_rng(seed)
    start = turn(seed) * (np.array([-1, 1, 1]) if mirrored else 1)
    solution = solved(rng.standard_normal((6, 3)), rng.standard_normal((3, 3)), start, 0.5)
    for matrix in solution.data["R"].values:
        assert np.abs(matrix @ matrix.T - np.eye(3)).max() < 2e-13
        assert np.linalg.det(matrix) * np.linalg.det(start) > 0.999


@settings(max_examples=4, deadline=None)
@given(seed=SEEDS)
def test_turning_the_inputs_turns_rotations_from_the_right(seed: int) -> None:
    """R x does not change if x is turned and R back: R -> R Q, x -> Q^T x, A -> A Q, and y stays."""
    rng = np.random.default_rng(seed)
    points, aim, start, q = rng.standard_normal((6, 3)), rng.standard_normal((3, 3)), turn(seed), turn(seed + 1)
    one, other = solved(points, aim, start, 0.5), solved(points @ q, aim @ q, start @ q, 0.5)
    for name, turned in (("R", one.data["R"].values @ q), ("y", one.data["y"].values)):
        allowed = one.errors[name].max() + other.errors[name].max()
        assert np.abs(turned - other.data[name].values).max() < 2 * allowed


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, count=st.sampled_from([20, 200, 2000]), start=st.floats(-1.5, 1.0), aim=st.floats(-1.0, 3.0))
def test_errors_cover_the_distance_from_the_exact_path(seed: int, count: int, start: float, aim: float) -> None:
    """One coordinate, samples and targets of any kind; several times of one path are one case."""
    points = np.random.default_rng(seed).standard_normal(count)
    setting = SimpleNamespace(sizes={"N": count, "d": 1}, pull=points, aim=aim, weight=1 / count)
    times = np.linspace(0.5, 4, 8)
    exact = solve_by_events(points, np.full(count, 1 / count), np.full(count, aim / count), start)(times)
    solution = solve_rotating(CLAMP, setting, [start], times, 1e-5, 1e-7)
    assert (np.abs(solution.data["y"].values[:, 0] - exact) <= solution.errors["y"].values[:, 0]).all()
