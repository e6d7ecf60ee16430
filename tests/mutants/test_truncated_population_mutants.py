"""Wrong versions of the population limit: each is refuted while its derivation is built, or changes what is solved."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sympy as sp

from hermiton.numerics.population import PopulationStart
from hermiton.numerics.solve import solve
from hermiton.theory.derivation import Defined, Derivation, Step
from hermiton.theory.derive import derive
from hermiton.theory.errors import DerivationError
from hermiton.theory.notation import z
from hermiton.theory.truncated_population import TruncatedPopulation, fluctuation, moments, population_flow, solutions
from hermiton.theory.truncated_population.checks import ByPieces, DerivativeByPieces, FromInfinity, law
from hermiton.theory.truncated_population.distribution import checked_pieces
from hermiton.theory.truncated_population.flow import RATES, D, E, F, V, f, h, m, r, t, theta, theta_0, up

x, y = moments.x, moments.y

WRONG_MOMENTS: dict[str, dict[str, sp.Expr]] = {
    "phi: sign": {"phi": -RATES["phi"]},
    "phi: F for its derivative": {"phi": m * F**2 * D},
    "phi: no mass": {"phi": F * D * f},
    "mu: sign": {"mu": -RATES["mu"]},
    "mu: velocity of the threshold": {"mu": m * F * D},
    "mu: what is above": {"mu": m * F * (1 - F) * D},
    "v: sign": {"v": -RATES["v"]},
    "v: factor 2": {"v": RATES["v"] / 2},
    "v: distance to the target": {"v": -2 * m * F**2 * D * D},
    "v: F once": {"v": -2 * m * F * D * E},
}
WRONG_FLUCTUATIONS: dict[str, dict[str, sp.Expr]] = {
    "r: sign of the source": {"r": m * f * D * r - m * h},
    "r: sign of the slope": {"r": -m * f * D * r + m * h},
    "r: slope of the speed": {"r": m * (f * D - F) * r + m * h},
    "r: ahead for behind": {"r": m * f * D * r + m * (1 - h)},
    "V: sign of the slope": {"V": -2 * m * f * D * V - 2 * m * F * V + 2 * m * D**2 * (1 - h) * r},
    "V: sign of the decay": {"V": 2 * m * f * D * V + 2 * m * F * V + 2 * m * D**2 * (1 - h) * r},
    "V: factor 2": {"V": RATES["V"] / 2},
    "V: one distance": {"V": 2 * m * f * D * V - 2 * m * F * V + 2 * m * D * (1 - h) * r},
    "V: behind for ahead": {"V": 2 * m * f * D * V - 2 * m * F * V + 2 * m * D**2 * h * r},
    "V: no mass": {"V": RATES["V"].subs(m, 1)},
    "V: rising only": {"V": 2 * m * f * D * V - 2 * m * F * V + 2 * m * D**2 * (1 - F) * r},
}


@pytest.mark.parametrize("name", WRONG_MOMENTS)
def test_wrong_rate_of_a_moment(name: str) -> None:
    with pytest.raises(DerivationError):
        moments.moment_statements({**RATES, **WRONG_MOMENTS[name]})


@pytest.mark.parametrize("name", WRONG_FLUCTUATIONS)
def test_wrong_rate_of_the_fluctuation(name: str) -> None:
    with pytest.raises(DerivationError):
        list(fluctuation._states({**RATES, **WRONG_FLUCTUATIONS[name]}))


@pytest.mark.parametrize("wrong", [-RATES["theta"], F * D, m * D, m * F * (1 - F) * D])
def test_wrong_velocity(wrong: sp.Expr) -> None:
    with pytest.raises(DerivationError):
        moments.moment_statements({**RATES, "theta": wrong})


def _a(at: sp.Symbol, power: int = 2) -> sp.Expr:
    return 1 / ((t - at) * law(at) ** power)


WRONG_FORMULAS: dict[str, tuple[Any, str, Any]] = {
    "mean: sign": (moments, "MEAN_ABOVE", theta - moments.SURVIVAL),
    "mean: F for 1 - F": (moments, "MEAN_ABOVE", theta + sp.Integral(law(y), (y, theta, sp.oo))),
    "variance: factor": (moments, "VARIANCE_ABOVE", moments.above(1) - moments.SURVIVAL**2),
    "variance: sign": (moments, "VARIANCE_ABOVE", 2 * moments.above(1) + moments.SURVIVAL**2),
    "bridge: sign": (fluctuation, "_COVARIANCE", law(sp.Min(x, y)) + law(x) * law(y)),
    "bridge: the larger point": (fluctuation, "_COVARIANCE", law(sp.Max(x, y)) - law(x) * law(y)),
    "deviation: F once": (
        fluctuation,
        "DEVIATION",
        law(theta) * (t - theta) * sp.Integral(_a(x, 1) * fluctuation.bridge(x), (x, theta_0, theta)),
    ),
    "deviation: integrating factor": (
        fluctuation,
        "DEVIATION",
        law(theta) * sp.Integral(_a(x) * fluctuation.bridge(x), (x, theta_0, theta)),
    ),
    "square: one factor": (fluctuation, "BY_SQUARE", fluctuation.BY_SQUARE / (t - theta)),
    "half: factor": (fluctuation, "BY_HALF", fluctuation.BY_HALF / 2),
    "half: rising and falling exchanged": (fluctuation, "BY_HALF", fluctuation.BY_HALF.xreplace({up: 1 - up})),
}


@pytest.mark.parametrize("name", WRONG_FORMULAS)
def test_wrong_formula(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, wrong = WRONG_FORMULAS[name]
    monkeypatch.setattr(module, attribute, wrong)
    build: Callable[[], object] = moments.moment_statements if module is moments else fluctuation.fluctuation_statements
    with pytest.raises(DerivationError):
        build()


@pytest.mark.parametrize("drop", ["delta: slope", "delta: decay", "delta: noise"])
def test_wrong_linearisation(drop: str) -> None:
    statement = next(s for s in fluctuation.fluctuation_statements() if s.key == "deviation_rate")
    (step,) = statement.steps
    delta = fluctuation.delta
    wrong = {
        "delta: slope": m * (-f * D - F) * delta + m * D * fluctuation.bridge(theta),
        "delta: decay": m * (f * D + F) * delta + m * D * fluctuation.bridge(theta),
        "delta: noise": m * (f * D - F) * delta - m * D * fluctuation.bridge(theta),
    }
    with pytest.raises(DerivationError):
        Step(step.lhs, wrong[drop], step.reason, step.checker)


def test_wrong_formulas_of_a_distribution() -> None:
    pieces = checked_pieces((1 + sp.erf(z / sp.sqrt(2))) / 2)
    given = pieces[0].expression
    with pytest.raises(DerivationError):
        Step(given, (1 - sp.erf(z / sp.sqrt(2))) / 2, "", ByPieces(pieces))
    with pytest.raises(DerivationError):
        Step(sp.Derivative(given, z), sp.exp(-(z**2)) / sp.sqrt(2 * sp.pi), "", DerivativeByPieces(pieces, z))
    ramp = solutions.distribution_statements(checked_pieces(sp.Min(sp.Max(z, 0), 1)))
    (step,) = next(s for s in ramp if s.key == "logistic").steps
    for wrong in (-step.rhs, 2 * step.rhs, step.rhs.xreplace({m: -m})):
        with pytest.raises(DerivationError):
            Step(step.lhs, wrong, step.reason, step.checker)
    here = {law(theta): given.xreplace({z: theta})}
    density = sp.exp(-(theta**2) / 2) / sp.sqrt(2 * sp.pi)
    tail = sp.erfc(theta / sp.sqrt(2)) / 2
    for wrong in (theta + density + theta * tail, theta + density - theta * tail + 1, theta - density - theta * tail):
        with pytest.raises(DerivationError):
            Step(moments.MEAN_ABOVE, wrong, "", FromInfinity(theta, here, sp.Symbol("w", positive=True)))


def test_a_changed_sign_changes_what_is_solved() -> None:
    setting = TruncatedPopulation("uniform", 0.8)
    start = PopulationStart(setting, 0.1)
    theory = derive(setting)
    right = solve(setting, start, [2.0]).data
    rates = {"v": -RATES["v"], "V": RATES["V"] - 4 * m * f * D * V}
    wrong = population_flow(setting.cumulative, setting.density, rates)
    other = solve(setting, start, [2.0], derivation=Derivation("wrong", setting, theory.statements, (wrong,))).data
    for name in right:
        changed = name in ("within_class_variance", "fluctuation_variance")
        assert (abs(other[name] - right[name]) > 1e-2 * abs(right[name])).all() == changed, name


def test_a_changed_moment_changes_the_start() -> None:
    setting = TruncatedPopulation("uniform", 0.8)
    theory = derive(setting)
    statement = theory.statement("within_class_mean")
    wrong = replace(statement, steps=(Step(statement.lhs, statement.rhs + 1, "", Defined("wrong on purpose")),))
    others = [s for s in theory.statements if s.key != statement.key]
    start = PopulationStart(setting, 0.1, replace(theory, statements=(*others, wrong)))
    assert start.within_class_mean == pytest.approx(PopulationStart(setting, 0.1).within_class_mean + 1)
