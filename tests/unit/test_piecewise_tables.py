"""Tables of moments of piecewise-linear activations: forms, coinciding and degenerate fields, refusals, the cache."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from numpy.typing import NDArray

import hermiton as hm
from hermiton.numerics.codegen.kernel import kernel_source
from hermiton.numerics.moments.piecewise_linear import PiecewiseLinear, linear_pieces, piecewise_linear_moment
from hermiton.numerics.moments.piecewise_rule import AT_FORMS, FORMS, HEAD, KINK, piecewise_rule
from hermiton.numerics.moments.piecewise_tables import four_point_forms, pair_forms, piecewise_error, piecewise_tables
from hermiton.numerics.solve import bind
from hermiton.theory.activation import Activation
from hermiton.theory.derive import derive
from hermiton.theory.errors import AssumptionError
from hermiton.theory.online_sgd import order_parameter_system
from hermiton.theory.systems import OdeSystem

Array = NDArray[np.float64]

HARD_TANH = "Max(-1, Min(1, z))"
FUNCTIONS = ["relu", "leaky_relu", "abs(z)", "relu(z - 1/2)", "z + 1/3"]
ALL = [*FUNCTIONS, HARD_TANH]
Q2, R2 = [[0.2, 0.05], [0.05, 0.25]], [[0.1, 0.02], [0.03, 0.12]]


def rule_of(*names: str, nodes: int = 12) -> Any:
    return piecewise_rule(tuple(Activation(name).expression for name in names), nodes)


def pieces_of(name: str) -> PiecewiseLinear:
    found = linear_pieces(Activation(name))
    assert found is not None
    return found


def random_covariance(fields: int, rank: int, seed: int) -> Array:
    # Multiples of 1/16: the product is exact, and so is its rank.
    rows = np.random.default_rng(seed).integers(-24, 25, size=(fields, rank)) / 16
    return np.asarray(rows @ rows.T)


# -- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_forms_are_the_products(name: str) -> None:
    """g'^p g^q at points, from the form and from the activation itself."""
    rule = rule_of(name)
    x = np.linspace(-3.07, 3.02, 41)
    g = sp.lambdify(hm.z, Activation(name).expression, "numpy")
    values, slopes = g(x), (g(x + 1e-6) - g(x - 1e-6)) / 2e-6
    for p in range(3):
        for q in range(3):
            at = rule.sizes[AT_FORMS + 3 * p + q]
            total = sum(rule.data[at + 1 + r] * x**r for r in range(3))
            for j in range(int(rule.data[at])):
                t, low, *c = rule.data[at + HEAD + KINK * j : at + HEAD + KINK * (j + 1)]
                total = total + np.where(x > t + low, sum(c[r] * (x - t) ** r for r in range(3)), 0.0)
            np.testing.assert_allclose(total, slopes**p * values**q, rtol=1e-9, atol=1e-9)


def test_a_coefficient_that_vanishes_is_zero() -> None:
    """|z|^2 = z^2 and (d|z|/dz)^2 = 1 have no kinks left."""
    rule = rule_of("abs(z)")
    for power in (2, 6):
        assert rule.data[rule.sizes[AT_FORMS + power]] == 0.0
    assert rule.sizes.size == AT_FORMS + FORMS


def test_curved_functions_are_refused() -> None:
    for name in ("erf", "z*abs(z)", "sign(z)"):
        with pytest.raises(AssumptionError, match="is not piecewise linear"):
            rule_of(name)


def test_lines_of_a_continuous_function() -> None:
    lines = Activation(HARD_TANH).lines
    assert lines == ((-1, 0), (0, 1), (1, 0))
    assert Activation("relu(z - sqrt(2))").lines == ((0, 0), (-sp.sqrt(2), 1))
    assert Activation("Heaviside(z)").lines is None
    assert Activation("z*relu(z)").lines is None


# -- tables against the products taken one by one ---------------------------------------------------------------------


def one_by_one(forms: list[PiecewiseLinear], which: list[int], covariance: Array) -> tuple[float, float]:
    return piecewise_linear_moment(forms, covariance[np.ix_(which, which)])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("rank", "seed"), [(4, 1), (2, 2), (1, 3)])
def test_tables_are_products_one_by_one(name: str, rank: int, seed: int) -> None:
    """Factors of coinciding fields merged, against equal rows of a singular covariance; K = 2, M = 1 or mixed pairs."""
    other = "relu" if name != "relu" else "leaky_relu"
    covariance = random_covariance(3, min(rank, 3), seed)
    students = 2
    tables = piecewise_tables(covariance, students, 1, rule_of(name, other))
    error = tables.tail
    assert error < 1e-11
    g = [pieces_of(name), pieces_of(name), pieces_of(other)]
    slope = [f.derivative() for f in g]
    for i in range(3):
        for j in range(3):
            value, e = one_by_one([g[i], g[j]], [i, j], covariance)
            assert abs(tables.pair[0, i, j] - value) <= e + error
            if i < students:
                value, e = one_by_one([slope[i], slope[j]], [i, j], covariance)
                if rank > 1 and i != j:  # fields that are multiples of each other meet in jumps
                    assert abs(tables.pair[1, i, j] - value) <= e + error
                value, e = one_by_one([slope[i].derivative(), g[j]], [i, j], covariance)
                assert abs(tables.pair[2, i, j] - value) <= e + error
    for k, l, a, b in [
        (0, 0, 0, 0),
        (0, 0, 1, 2),
        (0, 1, 0, 2),
        (0, 1, 0, 0),
        (1, 1, 2, 2),
        (0, 1, 2, 2),
        (0, 1, 1, 1),
    ]:
        value, e = one_by_one([slope[k], slope[l], g[a], g[b]], [k, l, a, b], covariance)
        assert abs(tables.four_point[k, l, a, b] - value) <= e + error
        for first, second in ((k, l), (l, k)):
            assert tables.four_point[first, second, a, b] == tables.four_point[k, l, b, a]


def test_four_distinct_fields() -> None:
    """Four different fields, a teacher's activation of its own, ranks 4 and 3."""
    for rank in (4, 3):
        covariance = random_covariance(4, rank, 7)
        tables = piecewise_tables(covariance, 2, 2, rule_of("leaky_relu", "relu(z - 1/2)"))
        g = [pieces_of("leaky_relu")] * 2 + [pieces_of("relu(z - 1/2)")] * 2
        value, e = one_by_one([g[0].derivative(), g[1].derivative(), g[2], g[3]], [0, 1, 2, 3], covariance)
        assert abs(tables.four_point[0, 1, 2, 3] - value) <= e + tables.tail < 1e-11


def test_linear_functions_are_known_exactly() -> None:
    """E[z_a z_b] = C_ab, all slopes 1, no impulse."""
    covariance = random_covariance(3, 3, 5)
    tables = piecewise_tables(covariance, 2, 1, rule_of("z", "z"))
    np.testing.assert_allclose(tables.pair[0], covariance, rtol=0, atol=1e-14)
    assert (tables.pair[1, :2] == 1.0).all() and (tables.pair[2] == 0.0).all()
    np.testing.assert_allclose(tables.four_point, np.broadcast_to(covariance, (2, 2, 3, 3)), rtol=0, atol=1e-14)


# -- degenerate covariances -------------------------------------------------------------------------------------------


def test_an_idle_unit() -> None:
    """A field without variance: g' counts as the mean of both sides, and there is no impulse."""
    covariance = np.diag([1.0, 0.0, 2.0])
    tables = piecewise_tables(covariance, 2, 1, rule_of("relu", "relu"))
    assert np.isfinite(tables.four_point).all() and tables.tail < 1e-13
    assert tables.pair[1, 1, 0] == pytest.approx(0.25, abs=1e-15)
    assert (tables.pair[2, 1] == 0.0).all()


def test_rounding_below_zero_is_accepted() -> None:
    """Specialised students, an eigenvalue at -1e-12: the tables are those of a covariance nearby."""
    covariance = np.array([[1.0, 1.0 + 5e-13], [1.0 + 5e-13, 1.0]])
    found = piecewise_tables(covariance, 1, 1, rule_of("relu", "relu"))
    clean = piecewise_tables(np.ones((2, 2)), 1, 1, rule_of("relu", "relu"))
    assert 0.0 < found.tail < 1e-10
    np.testing.assert_allclose(found.pair[0], clean.pair[0], rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.pair[1], clean.pair[1], rtol=0, atol=1e-5)  # an angle, so a square root


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_number_in_no_number_out(bad: float) -> None:
    """A step control has to see that a state is lost."""
    rule = rule_of("relu", "relu")
    covariance = np.array([1.0, bad, bad, 1.0])
    for routine, size in ((pair_forms, 12), (four_point_forms, 4)):
        out = np.zeros(size)
        assert np.isnan(routine(covariance, 1, 1, rule.sizes, rule.data, out)) and np.isnan(out).all()
    with pytest.raises(AssumptionError, match="is not finite"):
        piecewise_error(covariance.reshape(2, 2), 1, 1, rule)


# -- what is derived, and what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("student", "teacher", "named"),
    [("relu", "erf", "erf"), ("tanh", "relu", "tanh"), ("relu", "sign(z)", "sign"), ("z*abs(z)", "z*abs(z)", "abs")],
)
def test_other_pairs_with_kinks_are_refused(student: str, teacher: str, named: str) -> None:
    with pytest.raises(AssumptionError, match=r"both continuous and piecewise linear") as caught:
        derive(hm.OnlineSGD(student=student, teacher=teacher))
    assert named in str(caught.value) and "softplus" in str(caught.value)


def test_kernels_do_not_depend_on_the_activation() -> None:
    """It comes as numbers behind the parameters, so one compilation serves all."""
    system = order_parameter_system(False)
    sources = set()
    for name in ("relu", "leaky_relu"):
        given = {"student": Activation(name).expression, "teacher": Activation("relu").expression}
        object.__setattr__(system, "activations", given)
        sources.add(kernel_source(system))
    assert len(sources) == 1 and "pair_forms_routine" in sources.pop()


# -- compiled once ----------------------------------------------------------------------------------------------------


SETTING = hm.OnlineSGD("relu", "relu", learning_rate=0.2, noise=0.1)


def solve_and_count(system: OdeSystem) -> dict[str, Any]:
    """One right-hand side and error; how much Numba compiled for them."""
    from numba.core import event

    start = hm.Overlaps(Q=Q2, R=R2, T=np.eye(2), v=np.ones(2), A=np.ones(2))
    with event.install_recorder("numba:compile") as recorder:
        bound = bind(system, SETTING, start)
        rule = rule_of("relu", "relu")
        arguments = bound.arguments(rule)
        slope = np.zeros_like(bound.start)
        work = np.zeros(arguments["work_size"])
        bound.compiled.rhs(0.0, bound.start, arguments["parameters"], arguments["sizes"], work, slope)
        errors = bound.observe(bound.start[None], rule)["generalization_error"]
    return {"compiled": len(recorder.buffer), "slope": slope.tolist(), "error": errors.tolist()}


# The system comes from here: a derivation in each process would take longer than all compilation.
_COUNT = """
import json, pathlib, pickle, runpy, sys
system = pickle.loads(pathlib.Path(sys.argv[2]).read_bytes())
print(json.dumps(runpy.run_path(sys.argv[1])["solve_and_count"](system)))
"""


@pytest.mark.slow
def test_a_second_process_does_not_compile(tmp_path: Path) -> None:
    # The kernel is new there, so the first process compiles it; the routines may come from the cache of all tests
    places = {"HERMITON_CACHE_DIR": str(tmp_path / "kernels")}
    (tmp_path / "system").write_bytes(pickle.dumps(derive(SETTING).systems[0]))
    found = []
    for _ in range(2):
        command = [sys.executable, "-W", "error", "-c", _COUNT, __file__, str(tmp_path / "system")]
        done = subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    assert found[0]["compiled"] > 0 and found[1]["compiled"] == 0
    assert found[0]["slope"] == found[1]["slope"]
    assert found[0]["error"][0] == pytest.approx(0.447324653627, abs=1e-12)
