"""Wrong order-parameter equations are refuted: each mutant changes the kernel, and simulated networks see it.

The setting is chosen so that every term matters: K = 3, M = 2, both layers trained with different rates, label noise,
unequal second layers, correlated teachers. The networks are simulated once, by the exact chain of their overlaps, and
judged against every mutant at one false-alarm rate.

A compiled kernel costs seconds, and a mutation is one of the equations and not of the compiler: the mutants' generated
kernels run as plain Python, but for one sign, which goes the whole way from the derivation to networks.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp
import xarray as xr
from scipy.integrate import solve_ivp

import hermiton as hm
from hermiton.numerics.codegen.cache import content_hash
from hermiton.numerics.codegen.kernel import CompiledSystem, compile_system, kernel_source
from hermiton.numerics.ode import Trajectory
from hermiton.theory.derivation import Derivation
from hermiton.theory.errors import CodegenError
from hermiton.theory.online_sgd import (
    _RATES,
    I2,
    I4,
    J2,
    STUDENT,
    TEACHER,
    A,
    C,
    F,
    G,
    H,
    K,
    M,
    Q,
    R,
    S,
    T,
    V,
    a,
    b,
    eta,
    eta_v,
    k,
    l,
    n,
    order_parameter_system,
    sigma,
)
from hermiton.theory.systems import BlockDefinition, IndexSet, IndexSum, OdeSystem
from hermiton.verification.store import RunStore

SETTING = hm.OnlineSGD(hidden=3, teacher_hidden=2, learning_rate=1.2, second_layer_rate=0.7, noise=0.3)
START = hm.Overlaps(
    Q=[[0.3, 0.05, 0.02], [0.05, 0.4, -0.06], [0.02, -0.06, 0.5]],
    R=[[0.2, 0.04], [0.03, 0.25], [-0.1, 0.15]],
    T=[[1.0, 0.3], [0.3, 0.8]],
    v=[0.7, 1.0, 1.3],
    A=[1.2, 0.8],
)
TIMES = [0.25, 0.5, 1.0]
# Declared in advance: 3 % of the test error, and of the largest overlap and second-layer weight.
MARGIN = 0.03
FALSE_ALARMS = 1e-4
DIMENSION, REPLICAS, SEED = 3000, 64, 20240503

FIELDS = K + M


class MemoryStore(RunStore):
    """Runs kept in memory under the same keys as on disk."""

    def __init__(self) -> None:
        super().__init__("unused")
        self.runs: dict[str, xr.Dataset] = {}

    def load(self, spec: Any) -> xr.Dataset | None:
        return self.runs.get(self.key(spec))

    def save(self, spec: Any, dataset: xr.Dataset) -> Any:
        self.runs[self.key(spec)] = dataset
        return self.path


@functools.cache
def truth() -> Derivation:
    return hm.derive(SETTING)


# -- mutants ----------------------------------------------------------------------------------------------------------


def _sum(body: sp.Expr, *indices: sp.Symbol, size: sp.Expr = FIELDS) -> sp.Expr:
    for index in indices:
        body = IndexSum(body, index, size)
    return body


DRIFT_Q = -eta * (V[k] * F[k, l] + V[l] * F[l, k])
NOISE_Q = eta**2 * V[k] * V[l] * G[k, l]
STEIN = _sum(S[a] * J2(k, a) * C[a, b], a)
CURVATURE = C[b, k] * H[k]
SQUARE = _sum(S[a] * S[b] * I4(k, l, a, b), b, a)

RATES: dict[str, dict[str, sp.Expr]] = {
    "Q: sign of the drift": {"Q": -DRIFT_Q + NOISE_Q},
    "Q: sign of the fluctuation": {"Q": DRIFT_Q - NOISE_Q},
    "Q: eta for eta^2": {"Q": DRIFT_Q + NOISE_Q / eta},
    "Q: half of the drift": {"Q": DRIFT_Q / 2 + NOISE_Q},
    "Q: second layer missing in the fluctuation": {"Q": DRIFT_Q + eta**2 * G[k, l]},
    "Q: v_k and v_l exchanged": {"Q": -eta * (V[l] * F[k, l] + V[k] * F[l, k]) + NOISE_Q},
    "R: v dropped": {"R": -eta * F[k, K + n]},
    "R: teachers exchanged": {"R": -eta * V[k] * F[k, K + M - 1 - n]},
    "v: sign": {"v": -_RATES["v"]},
    "v: students alone": {"v": -eta_v * _sum(S[a] * I2(a, k), a, size=K)},
}
DEFINITIONS: dict[str, dict[str, sp.Expr]] = {
    "f: curvature term dropped": {"f": STEIN},
    "f: curvature of the field with itself": {"f": STEIN + C[k, k] * H[k]},
    "f: covariance of the wrong fields": {"f": _sum(S[a] * J2(k, a) * C[a, k], a) + CURVATURE},
    "H: I2 for H2": {"H": _sum(S[a] * I2(k, a), a)},
    "G: noise dropped": {"G": SQUARE},
    "G: I4 with exchanged slots": {"G": _sum(S[a] * S[b] * I4(a, b, k, l), b, a) + sigma**2 * J2(k, l)},
    "G: diagonal alone": {"G": _sum(S[a] ** 2 * I4(k, l, a, a), a) + sigma**2 * J2(k, l)},
}
COVARIANCES: dict[str, dict[tuple[IndexSet, IndexSet], sp.Expr]] = {
    "C: Q for R": {(STUDENT, TEACHER): Q[a, b], (TEACHER, STUDENT): Q[b, a]},
    "C: half of T": {(TEACHER, TEACHER): T[a, b] / 2},
}
AMPLITUDES: dict[str, dict[tuple[IndexSet, ...], sp.Expr]] = {
    "s: sign of the teacher": {(TEACHER,): A[a]},
    "s: teachers of weight 1": {(TEACHER,): sp.Integer(-1)},
}
ERRORS: dict[str, Callable[[sp.Expr], sp.Expr]] = {
    "error: 1/2 missing": lambda value: 2 * value,
    "error: noise included": lambda value: value + sigma**2 / 2,
    "error: diagonal alone": lambda value: _sum(S[a] ** 2 * I2(a, a), a) / 2,
}
MUTANTS = (*RATES, *DEFINITIONS, *COVARIANCES, *AMPLITUDES, *ERRORS)

# Changes that must not be refuted, each with the reason: the limit of what this file can show.
EQUIVALENT: dict[str, tuple[dict[str, dict[str, sp.Expr]], str]] = {
    "G: summation indices exchanged": (
        {"definitions": {"G": _sum(S[b] * S[a] * I4(k, l, b, a), a, b) + sigma**2 * J2(k, l)}},
        "a and b are bound, and I4 is symmetric in them: the same equations",
    ),
    "v: a rate off by one in a thousand": (
        {"rates": {"v": _RATES["v"] * sp.Rational(1001, 1000)}},
        "below the declared margin of 3 %: agreement at that resolution is all that is claimed",
    ),
}


def _blocks(system: OdeSystem, name: str, changes: Mapping[Any, sp.Expr]) -> OdeSystem:
    def changed(item: Any) -> Any:
        if not isinstance(item, BlockDefinition) or item.target.name != name:
            return item
        assert set(changes) <= {sets for sets, _ in item.blocks}
        return replace(item, blocks=tuple((sets, changes.get(sets, value)) for sets, value in item.blocks))

    return replace(system, definitions=tuple(changed(item) for item in system.definitions))


def _changed_error(system: OdeSystem, change: Callable[[sp.Expr], sp.Expr]) -> OdeSystem:
    (error,) = system.observables
    return replace(system, observables=(replace(error, value=change(error.value)),))


def mutant(name: str) -> Derivation:
    """The derivation with its system changed in one place."""
    (true,) = truth().systems
    build = functools.partial(order_parameter_system, True, true.moments)
    if name in RATES:
        system = build(rates=RATES[name])
    elif name in DEFINITIONS:
        system = build(definitions=DEFINITIONS[name])
    elif name in EQUIVALENT:
        system = build(**EQUIVALENT[name][0])
    elif name in ERRORS:
        system = _changed_error(build(), ERRORS[name])
    else:
        system = _blocks(build(), *(("C", COVARIANCES[name]) if name in COVARIANCES else ("s", AMPLITUDES[name])))
    return replace(truth(), systems=(replace(system, activations=true.activations),))


def kernel_hash(derivation: Derivation) -> str:
    """Of all text that is generated: the right-hand side compiled and as it runs here, and the observables."""
    (system,) = derivation.systems
    return content_hash("".join(kernel_source(system, target) for target in ("scalar", "python", "numpy")))


# -- judgements -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """The simulated runs: made by whoever asks first, read by all others."""
    return MemoryStore()


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Solve with the generated kernels in plain Python, by SciPy's integrator; the hashes of the kernels that ran."""
    ran: list[str] = []

    def plain(system: OdeSystem, target: Any = "scalar") -> CompiledSystem:
        compiled = compile_system(system, "python" if target == "scalar" else target)
        if target == "scalar":
            ran.append(compiled.hash)
        return compiled

    def integrate(
        rhs: Any, y0: Any, times: Any, *, method: str, rtol: float, atol: float, **options: Any
    ) -> Trajectory:
        # A view of memory gives and takes Python's floats, many times faster than an array its scalars
        work, slope = np.zeros(options["work_size"]), np.zeros(len(y0))
        parameters, sizes = memoryview(options["parameters"]), options["sizes"].tolist()

        def slopes(t: float, y: Any) -> Any:
            rhs(t, memoryview(y), parameters, sizes, memoryview(work), memoryview(slope))
            return slope.copy()

        span = (times[0], times[-1])
        run = solve_ivp(slopes, span, y0, method=method, t_eval=times, rtol=rtol, atol=atol)
        assert run.success, run.message
        return Trajectory(times, run.y.T.copy(), "finished", len(run.t), 0, run.nfev)

    monkeypatch.setattr("hermiton.numerics.solve.compile_system", plain)
    monkeypatch.setattr("hermiton.numerics.solve.integrate", integrate)
    return ran


def judge(derivation: Derivation, store: MemoryStore) -> dict[str, str]:
    """Verdict of every claim."""
    report = hm.verify(
        SETTING,
        START,
        TIMES,
        dimension=DIMENSION,
        method="overlaps",
        replicas=REPLICAS,
        margin=MARGIN,
        false_alarm_rate=FALSE_ALARMS,
        rng=SEED,
        derivation=derivation,
        store=store,
    )
    return {claim.claim: claim.verdict for claim in report.verdicts}


@pytest.mark.statistical
def test_the_true_equations_are_consistent(store: MemoryStore, interpreted: list[str]) -> None:
    """Raises a false alarm with probability 1e-4 at most."""
    verdicts = judge(truth(), store)
    assert len(verdicts) == 4
    assert set(verdicts.values()) == {"consistent"}
    assert interpreted == [compile_system(truth().systems[0], "python").hash]


def test_interpreted_kernels_solve_as_compiled_ones_do(request: pytest.FixtureRequest) -> None:
    """So that a verdict on the one is a verdict on the other."""
    compiled = hm.solve(SETTING, START, TIMES, derivation=truth())
    request.getfixturevalue("interpreted")
    plain = hm.solve(SETTING, START, TIMES, derivation=truth())
    for name in compiled.data.data_vars:
        assert (abs(plain.data[name] - compiled.data[name]) <= plain.errors[name] + compiled.errors[name]).all(), name


def test_there_are_enough_mutants() -> None:
    assert len(MUTANTS) == len(set(MUTANTS)) >= 20
    assert all(reason for _, reason in EQUIVALENT.values())


def test_rebuilding_the_true_system_gives_the_true_kernel() -> None:
    """So that a mutant's kernel differs by its mutation alone."""
    (true,) = truth().systems
    rebuilt = replace(order_parameter_system(True, true.moments), activations=true.activations)
    assert kernel_hash(replace(truth(), systems=(rebuilt,))) == kernel_hash(truth())


def test_every_mutant_has_a_kernel_of_its_own() -> None:
    hashes = {name: kernel_hash(mutant(name)) for name in MUTANTS}
    assert len({*hashes.values(), kernel_hash(truth())}) == len(MUTANTS) + 1


@pytest.mark.statistical
@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_refuted(name: str, store: MemoryStore, interpreted: list[str]) -> None:
    wrong = mutant(name)
    assert "refuted" in judge(wrong, store).values()
    assert interpreted == [compile_system(wrong.systems[0], "python").hash]


@pytest.mark.statistical
@pytest.mark.parametrize("name", EQUIVALENT)
@pytest.mark.usefixtures("interpreted")
def test_what_is_equivalent_is_not_refuted(name: str, store: MemoryStore) -> None:
    assert set(judge(mutant(name), store).values()) == {"consistent"}, EQUIVALENT[name][1]


@pytest.mark.parametrize("blocks", [{(TEACHER, STUDENT): -R[b, a]}, {(STUDENT, STUDENT): Q[a, a]}])
def test_a_covariance_that_is_none_is_not_compiled(blocks: dict[Any, sp.Expr]) -> None:
    (true,) = truth().systems
    with pytest.raises(CodegenError, match="C is declared symmetric, but its block"):
        kernel_source(_blocks(true, "C", blocks))


@pytest.mark.statistical
def test_a_wrong_sign_meets_real_networks() -> None:
    """From the derivation through the kernel to networks: one sign in one equation, and the claim is refuted."""
    start = hm.Overlaps(Q=START.Q[:2, :2], R=START.R[:2], T=START.T, v=START.v[:2], A=START.A)
    setting = hm.OnlineSGD(learning_rate=0.8, second_layer_rate=0.7, noise=0.3)
    true = replace(truth(), setting=setting)
    wrong = mutant("Q: sign of the drift")
    assert kernel_hash(wrong) != kernel_hash(true)
    store = MemoryStore()
    reports = [
        hm.verify(
            setting,
            start,
            [0.5, 1.0],
            dimension=800,
            method="network",
            replicas=48,
            margin=0.05,
            false_alarm_rate=FALSE_ALARMS,
            rng=SEED,
            derivation=derivation,
            store=store,
        )
        for derivation in (true, wrong)
    ]
    assert [report.verdict for report in reports] == ["consistent", "refuted"]
    assert reports[0].kernel != reports[1].kernel
    assert reports[0].provenance["kernel"] != reports[1].provenance["kernel"]
