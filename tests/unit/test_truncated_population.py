"""The setting, start and derivation of a truncated population: what is refused, and what comes out."""

import numpy as np
import pytest
import sympy as sp

from hermiton.numerics.derive import derive
from hermiton.numerics.population import PopulationStart
from hermiton.numerics.solve import solve
from hermiton.theory.activation import Activation
from hermiton.theory.errors import AccuracyError, AssumptionError
from hermiton.theory.notation import z
from hermiton.theory.truncated_population import TruncatedPopulation

RAMP = sp.Min(sp.Max((z - 2) / 3, 0), 1)


# -- the setting -----------------------------------------------------------------------------------------------------

REFUSED = {
    "gamma": "not a known name",
    "z + ": "",
    "z": "and not 0 at z = -1.3e+30",
    "(1 + tanh(z))/3": "is 0.666667 and not 1 at z = 1.3e+30",
    "Max(0, 1 - exp(-z)) + z*exp(-z**2)": "decreases at",
    "Heaviside(z)": "jumps by 1 at z = 0",
    "1/2 + atan(z)/pi": "the variance of a truncated sample is not finite",
    "(1 + z/sqrt(1 + z**2))/2": "1 - F like z^-2.0,",
    "1/z": "",
}


@pytest.mark.parametrize("formula", REFUSED)
def test_what_is_no_distribution(formula: str) -> None:
    with pytest.raises(AssumptionError) as error:
        TruncatedPopulation(formula, 1)
    assert REFUSED[formula] in str(error.value)


@pytest.mark.parametrize("given", [sp.Symbol("y"), z + sp.Symbol("a"), 3, None, sp.Integral(sp.exp(-z), z), sp.I * z])
def test_what_is_no_formula_in_z(given: object) -> None:
    with pytest.raises(AssumptionError, match="distribution"):
        TruncatedPopulation(given, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"target": np.nan}, "target"),
        ({"target": True}, "target"),
        ({"target": "1"}, "target"),
        ({"target": 1, "mass": 0}, "mass"),
        ({"target": 1, "mass": -2.0}, "mass"),
        ({"target": 1, "mass": np.inf}, "mass"),
    ],
)
def test_what_is_no_number(arguments: dict[str, object], name: str) -> None:
    with pytest.raises(AssumptionError, match=name):
        TruncatedPopulation("uniform", **arguments)  # type: ignore[arg-type]


def test_location_and_scale_by_substitution() -> None:
    uniform = TruncatedPopulation("uniform", 4)
    moved = TruncatedPopulation(sp.Min(sp.Max(z, 0), 1).subs(z, (z - 2) / 3), 4)
    assert moved.kinks == (2, 5) and uniform.kinks == (0, 1)
    assert [piece.expression for piece in moved.pieces] == [0, z / 3 - sp.Rational(2, 3), 1]
    assert TruncatedPopulation(0.5 + sp.tanh(z) / 2, 1).pieces == TruncatedPopulation("1/2 + tanh(z)/2", 1).pieces


def test_small_values_keep_their_digits() -> None:
    """(1 + erf)/2 and (1 + tanh)/2 lose theirs as they stand; 1 - 1/(1 + exp(z)) is refused where it does."""
    for formula, point in (((1 + sp.erf(z)) / 2, -5), ((1 + sp.tanh(z)) / 2, -15), ((1 - sp.erf(-z - 1)) / 2, -6)):
        cumulative = TruncatedPopulation(formula, 1).cumulative
        in_doubles = sp.lambdify(z, cumulative, "math")(float(point))
        exact = float(formula.subs(z, point).evalf(30))
        assert abs(in_doubles - exact) < 1e-14 * exact < 1e-20
    with pytest.raises(AccuracyError, match="double precision"):
        PopulationStart(TruncatedPopulation(1 - 1 / (1 + sp.exp(z)), 2), -30)
    with pytest.raises(AccuracyError, match="F' of the population is infinite at 0"):
        PopulationStart(TruncatedPopulation("Min(1, Max(0, z)**(1/2))", 2), 0)


# -- the start -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [np.nan, np.inf, True, None, "0"])
def test_what_is_no_threshold(threshold: object) -> None:
    with pytest.raises(AssumptionError, match="threshold"):
        PopulationStart(TruncatedPopulation("uniform", 1), threshold)  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", [Activation("he2"), 3])
def test_what_is_no_population(setting: object) -> None:
    with pytest.raises(AssumptionError):
        PopulationStart(setting, 0.0)


def test_moments_at_the_start() -> None:
    """By hand: for x uniform on [0, 1] the mean of max(x, a) is (1 + a^2)/2 and of its square (1 + 2 a^3)/3."""
    for a in (0.0, 0.1, 0.75, 1.0):
        start = PopulationStart(TruncatedPopulation("uniform", 2), a)
        mean = (1 + a**2) / 2
        assert start.truncated_fraction == a
        assert start.within_class_mean == pytest.approx(mean, rel=1e-14)
        assert start.within_class_variance == pytest.approx((1 + 2 * a**3) / 3 - mean**2, abs=1e-15)
    exponential = PopulationStart(TruncatedPopulation("Max(0, 1 - exp(-z/1000))", 2), -3)
    assert exponential.within_class_mean == pytest.approx(1000, rel=1e-13)
    assert exponential.within_class_variance == pytest.approx(1e6, rel=1e-13)


# -- solutions that need no table ------------------------------------------------------------------------------------


def test_nothing_truncated_is_frozen() -> None:
    setting = TruncatedPopulation("uniform", 2)
    data = solve(setting, PopulationStart(setting, -0.5), [1.0, 50.0]).data
    assert (data["threshold"] == -0.5).all() and (data["fluctuation_variance"] == 0).all()
    assert (data["within_class_variance"] == pytest.approx(1 / 12)).all()


def test_start_at_the_target_stays() -> None:
    setting = TruncatedPopulation("uniform", 0.5)
    data = solve(setting, PopulationStart(setting, 0.5), [1.0, 50.0]).data
    assert (data["threshold"] == 0.5).all() and (data["fluctuation_variance"] == 0).all()


def test_complete_collapse_is_exponential() -> None:
    """Beyond the support the threshold relaxes with the whole mass, and no sample differs from another."""
    setting = TruncatedPopulation("uniform", 2, mass=3)
    solution = solve(setting, PopulationStart(setting, 1.25), [1.0])
    data, errors = solution.data.isel(time=0), solution.errors.isel(time=0)
    assert abs(data["threshold"] - (2 - 0.75 * np.exp(-3))) <= errors["threshold"]
    for name in ("within_class_variance", "fluctuation_variance"):
        assert abs(data[name]) <= errors[name]


# -- the derivation --------------------------------------------------------------------------------------------------


def test_derivation() -> None:
    theory = derive(TruncatedPopulation(RAMP, 4))
    assert theory.standing == "cited"  # Glivenko and Cantelli, Donsker
    assert {s.key for s in theory.statements if s.standing == "cited"} == {"rate_threshold", "central_limit"}
    proved = {s.rhs for s in theory.statements}
    assert all(equation.value in proved for equation in theory.systems[0].equations)
    theory.check()
    assert "rhs" in theory.source() and r"\section" in theory.latex() and "<h4>" in theory._repr_html_()
    assert theory.systems[0]._repr_latex_()


def test_logistic_solution() -> None:
    """The closed form of the derivation, against the solution of its equations."""
    setting = TruncatedPopulation(RAMP, 4, mass=2)
    statement = derive(setting).statement("logistic")
    (logistic,) = statement.lhs.args[:1]
    s, t, m, start = (next(x for x in logistic.free_symbols if x.name == n) for n in ("s", "t", "m", "theta_0"))
    times = np.array([0.5, 1.0, 4.0])
    wanted = sp.lambdify(s, logistic.subs({t: 4, m: 2, start: sp.Rational(5, 2)}))(times)
    solution = solve(setting, PopulationStart(setting, 2.5), times)
    assert (np.abs(solution.data["threshold"] - wanted) <= solution.errors["threshold"]).all()


def test_logistic_law() -> None:
    """In its textbook form: (t - theta)/(theta - a) falls like exp(-m (t - a) s/(b - a))."""
    (logistic,) = derive(TruncatedPopulation(RAMP, 4)).statement("logistic").lhs.args[:1]
    s, t, m, start = (next(x for x in logistic.free_symbols if x.name == n) for n in ("s", "t", "m", "theta_0"))
    odds = (t - start) / (start - 2) * sp.exp(-m * (t - 2) * s / 3)
    assert sp.simplify((t - logistic) / (logistic - 2) - odds) == 0


def test_normal_closed_forms() -> None:
    """Mean and variance at the start against the closed forms by Hermite coefficients, for another mean and scale."""
    setting = TruncatedPopulation((1 + sp.erf((z - 1) / 3)) / 2, 3)
    theory = derive(setting)
    theta = theory.systems[0].states[0].symbol
    for level in (-2.0, 1.0, 4.0):
        start = PopulationStart(setting, level)
        for key, value in (("mean", start.within_class_mean), ("variance", start.within_class_variance)):
            wanted = float(theory.statement(f"normal_{key}").rhs.subs(theta, sp.Rational(level)).evalf(30))
            assert value == pytest.approx(wanted, rel=1e-13), (level, key)
