"""Generated kernels: all printers say what the system says, the text is deterministic, the cache is careful."""

import functools
import hashlib
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

from hermiton.numerics.codegen import cache, hoist, lower
from hermiton.numerics.codegen.cache import CacheWarning, cache_directory, cache_info, clear_cache, content_hash
from hermiton.numerics.codegen.elementary import map_source
from hermiton.numerics.codegen.kernel import CompiledSystem, compile_system, kernel_source
from hermiton.numerics.codegen.lower import lower_observables, lower_rhs
from hermiton.numerics.codegen.program import Accumulate, Assign
from hermiton.theory.activation import Activation
from hermiton.theory.checks import rationals
from hermiton.theory.errors import CodegenError
from hermiton.theory.evaluate import Evaluation, evaluate, moment_from_closed_form
from hermiton.theory.gaussian.closed_forms import closed_form
from hermiton.theory.gaussian.erf_family import ErfFunction, derive_h2, derive_i2, derive_i4, derive_j2
from hermiton.theory.online_sgd import _MOMENTS, ORDERS, order_parameter_system
from hermiton.theory.systems import Array, Definition, IndexSum, OdeSystem

Entries = dict[str, dict[tuple[int, ...], sp.Expr]]
DIGITS = 40


@functools.cache
def system(name: str, train: bool) -> OdeSystem:
    """The system of online SGD, its closed forms without their proofs: those are tested elsewhere."""
    if name == "erf":
        erf = ErfFunction(sp.Integer(1), 1 / sp.sqrt(2))
        rules = {"I2": derive_i2, "J2": derive_j2, "H2": derive_h2, "I4": derive_i4}
        forms = {key: rule(*([erf] * len(ORDERS[key]))).expression for key, rule in rules.items()}
    else:
        steps = {key: closed_form(orders, Activation(name), key) for key, orders in ORDERS.items()}
        forms = {key: chain[-1].rhs for key, chain in steps.items() if chain is not None}
    moments = [replace(moment, closed_form=forms[key]) for key, moment in _MOMENTS.items()]
    return order_parameter_system(train, moments)


def random_point(width: int, teacher_width: int, number: int) -> Entries:
    """An exact rational point with overlaps that vectors have."""
    stream = rationals(f"codegen {width} {teacher_width} {number}")
    count = width + teacher_width
    vectors = sp.Matrix(count, count + 1, lambda i, j: next(stream) / 5)
    gram = vectors * vectors.T
    students, teachers = range(width), range(teacher_width)
    return {
        "Q": {(i, k): gram[i, k] for i in students for k in students},
        "R": {(i, m): gram[i, width + m] for i in students for m in teachers},
        "T": {(n, m): gram[width + n, width + m] for n in teachers for m in teachers},
        "v": {(i,): next(stream) / 4 for i in students},
        "A": {(m,): next(stream) / 4 for m in teachers},
        **{name: {(): abs(next(stream)) / 3} for name in ("eta", "eta_v", "sigma")},
    }


@functools.cache
def oracle(name: str, train: bool, width: int, teacher_width: int, number: int) -> Evaluation:
    """The slow reading of the system, exact but for the moments, which have 40 digits."""
    of = system(name, train)
    exact = moment_from_closed_form(of)

    @functools.cache
    def number_of(moment: str, values: tuple[int, ...]) -> sp.Expr:
        return sp.N(exact(moment, values, covariance), DIGITS)

    covariance: Mapping[tuple[int, ...], sp.Expr] = {}

    def moment(which: str, indices: tuple[int, ...], entries: Mapping[tuple[int, ...], sp.Expr]) -> sp.Expr:
        nonlocal covariance
        covariance = entries
        return number_of(which, indices)

    values = random_point(width, teacher_width, number)
    return evaluate(of, {"K": width, "M": teacher_width}, values, moment)


def ordered(entries: Mapping[tuple[int, ...], sp.Expr], packed: bool) -> list[sp.Expr]:
    """In the order of flat arguments: rows after another, of a packed matrix the upper triangle."""
    return [value for index, value in sorted(entries.items()) if not packed or index[0] <= index[1]]


def flat_arguments(of: OdeSystem, values: Entries) -> tuple[list[sp.Expr], list[sp.Expr]]:
    state = [v for a in of.states for v in ordered(values[a.name], a.symmetric)]
    return state, [v for a in of.parameters for v in ordered(values[a.name], False)]


def expected(of: OdeSystem, result: Evaluation) -> tuple[list[sp.Expr], list[sp.Expr]]:
    slopes = [v for a in of.states for v in ordered(result.derivatives[a.name], a.symmetric)]
    return slopes, [v for o in of.observables for v in ordered(result.values[o.target.name], False)]


def floats(values: list[sp.Expr]) -> np.ndarray:
    return np.array([float(sp.N(v, 30)) for v in values])


def close(actual: np.ndarray, wanted: list[sp.Expr], digits: float) -> None:
    """Equal up to rounding on the scale of the largest entry: entries may cancel."""
    reference = floats(wanted)
    scale = np.abs(reference).max()
    np.testing.assert_allclose(actual, reference, rtol=0, atol=10.0**-digits * scale)


CASES = [
    (name, train, width, teacher_width)
    for name, train, largest in (("erf", True, 3), ("erf", False, 2), ("he2", True, 2))
    for width in range(1, largest + 1)
    for teacher_width in range(1, largest + 1)
]


def run(target: str, case: tuple[str, bool, int, int], number: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    """One right-hand side and, where the module has them, the observables."""
    name, train, width, teacher_width = case
    compiled = compile_system(system(name, train), target)  # type: ignore[arg-type]
    sizes = {"K": width, "M": teacher_width}
    state, parameters = (floats(v) for v in flat_arguments(compiled.system, random_point(width, teacher_width, number)))
    outputs: list[np.ndarray | None] = []
    functions: list[Callable[..., None] | None] = [compiled.rhs, getattr(compiled.module, "observables", None)]
    for count, function in zip((len(state), 1), functions, strict=True):
        work, out = np.full(compiled.work_size(sizes), np.nan), np.full(count, np.nan)
        if function is not None:
            function(0.0, state, parameters, compiled.size_vector(sizes), work, out)
        outputs.append(out if function is not None else None)
    assert outputs[0] is not None
    return outputs[0], outputs[1]


# -- printers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("target", ["scalar", "python"])
def test_doubles(target: str, case: tuple[str, bool, int, int]) -> None:
    if case[0] == "he2" and target == "scalar":
        pytest.skip("one compilation less: he2 differs from erf only in its closed forms, which plain Python tests")
    slopes, observables = run(target, case)
    wanted = expected(system(*case[:2]), oracle(*case, 0))
    close(slopes, wanted[0], 13)
    if target == "python":
        assert observables is not None
    if observables is not None:
        close(observables, wanted[1], 13)


@pytest.mark.parametrize("case", [("erf", True, 3, 2), ("erf", False, 1, 1), ("he2", True, 2, 2)], ids=str)
def test_mpmath_has_all_digits(case: tuple[str, bool, int, int]) -> None:
    compiled = compile_system(system(*case[:2]), "mpmath")
    sizes = {"K": case[2], "M": case[3]}
    with mpmath.workdps(DIGITS):
        exact = flat_arguments(compiled.system, random_point(case[2], case[3], 0))
        state, parameters = (np.array([mpmath.mpf(v.p) / v.q for v in part], dtype=object) for part in exact)
        wanted = expected(compiled.system, oracle(*case, 0))
        for function, values in zip((compiled.rhs, compiled.observables), wanted, strict=True):
            work = np.array([mpmath.mpf(0)] * compiled.work_size(sizes), dtype=object)
            out = np.array([mpmath.mpf("nan")] * len(values), dtype=object)
            function(mpmath.mpf(0), state, parameters, compiled.size_vector(sizes), work, out)
            scale = max(abs(mpmath.mpf(str(v))) for v in map(sp.N, values))
            for actual, value in zip(out, values, strict=True):
                assert abs(actual - mpmath.mpf(str(sp.N(value, DIGITS)))) < mpmath.mpf(10) ** (5 - DIGITS) * scale


@pytest.mark.parametrize("case", [("erf", True, 3, 2), ("erf", True, 1, 2), ("he2", False, 2, 3)], ids=str)
def test_numpy_takes_many_points(case: tuple[str, bool, int, int]) -> None:
    name, train, width, teacher_width = case
    compiled = compile_system(system(name, train), "numpy")
    sizes = {"K": width, "M": teacher_width}
    points = [flat_arguments(compiled.system, random_point(width, teacher_width, n)) for n in range(3)]
    states, parameters = (np.stack([floats(point[i]) for point in points], axis=1) for i in range(2))
    wanted = [expected(compiled.system, oracle(*case, n)) for n in range(3)]
    for which, function in enumerate((compiled.rhs, compiled.observables)):
        work = np.full((compiled.work_size(sizes), 3), np.nan)
        out = np.full((len(wanted[0][which]), 3), np.nan)
        function(0.0, states, parameters, compiled.size_vector(sizes), work, out)
        for n in range(3):
            close(out[:, n], wanted[n][which], 13)


@pytest.mark.parametrize("lanes", [1, 5])
@pytest.mark.parametrize("widths", [(1, 1), (3, 2)])
def test_lanes_equal_scalar(widths: tuple[int, int], lanes: int) -> None:
    case = ("erf", True, *widths)
    compiled = compile_system(system("erf", True), "lanes")
    sizes = dict(zip("KM", widths, strict=True))
    points = [flat_arguments(compiled.system, random_point(*widths, n)) for n in range(lanes)]
    states, parameters = (np.stack([floats(point[i]) for point in points], axis=1) for i in range(2))
    work = np.full(compiled.work_size(sizes) * lanes, np.nan)
    slopes = np.full(states.size, np.nan)
    times = np.zeros(lanes)
    compiled.rhs(times, states.ravel(), parameters.ravel(), compiled.size_vector(sizes), work, slopes)
    for n, row in enumerate(slopes.reshape(states.shape).T):
        scalar, _ = run("scalar", case, n)
        np.testing.assert_allclose(row, scalar, rtol=0, atol=1e-14 * np.abs(scalar).max())


def test_layout_of_flat_arguments() -> None:
    compiled = compile_system(system("erf", True), "python")
    sizes = {"K": 2, "M": 1}
    values = {"Q": [[1.0, 2.0], [2.0, 3.0]], "R": [[4.0], [5.0]], "v": [6.0, 7.0]}
    flat = compiled.pack(compiled.system.states, values, sizes)
    assert flat.tolist() == [1, 2, 3, 4, 5, 6, 7]
    back = compiled.unpack(np.stack([flat, 2 * flat]), sizes)
    for name, value in values.items():
        assert back[name].tolist() == [value, (2 * np.array(value)).tolist()]
    with pytest.raises(CodegenError, match=r"R has shape \(1, 2\), the kernel wants \(2, 1\)"):
        compiled.pack(compiled.system.states, {**values, "R": [[4.0, 5.0]]}, sizes)


# -- what can't be generated ------------------------------------------------------------------------------------------


def _small(value: sp.Expr, target: Array | None = None) -> OdeSystem:
    """dy/dt = value with one state y[k]."""
    base = system("he2", True)
    state = replace(base.states[2], name="y")
    (k,) = base.equations[2].indices
    definitions = (Definition(target, base.equations[0].indices, value),) if target is not None else ()
    slope = state[k] if target is not None else value
    return OdeSystem(
        name="small",
        sets=base.sets,
        states=(state,),
        parameters=(),
        definitions=definitions,
        moments=(),
        equations=(Definition(state, (k,), slope),),
        observables=(),
    )


K = sp.Symbol("K", integer=True, positive=True)
k, l, a, b = sp.symbols("k l a b", integer=True)
y = sp.IndexedBase(sp.Symbol("y", real=True))


@pytest.mark.parametrize("target", ["scalar", "lanes", "numpy", "python", "mpmath"])
def test_an_unknown_function_is_named(target: str) -> None:
    wrong = sp.Function("mystery")(y[k])
    with pytest.raises(CodegenError, match=r"mystery.* in mystery\(y\[k\]\)"):
        kernel_source(_small(1 + 2 * wrong), target)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["scalar", "python"])
def test_what_doubles_can_not_hold_is_named(target: str) -> None:
    with pytest.raises(CodegenError, match="besselj"):
        kernel_source(_small(sp.besselj(0, y[k])), target)  # type: ignore[arg-type]
    with pytest.raises(CodegenError, match="complex constant"):
        kernel_source(_small(sp.I * y[k]), target)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (sp.exp(IndexSum(y[a], a, K)), r"a sum inside a function.*exp\(sum\[a\]\(y\[a\]\)\)"),
        (IndexSum(y[a], a, K) * IndexSum(y[b] ** 2, b, K), "a product of sums"),
        (IndexSum(y[a] * (1 + IndexSum(y[b], b, K)), a, K), "a sum of mixed depth"),
    ],
)
def test_sums_that_can_not_be_lowered_are_named(value: sp.Expr, message: str) -> None:
    with pytest.raises(CodegenError, match=message):
        kernel_source(_small(value))


def test_an_asymmetric_value_of_a_symmetric_array_is_refused() -> None:
    symmetric = Array("P", (system("he2", True).sets[0],) * 2, symmetric=True)
    first, second = system("he2", True).equations[0].indices
    with pytest.raises(CodegenError, match=r"P is declared symmetric, but its value is not: .*y\[l\]"):
        lower_rhs(_used(_small(y[first] * y[second] ** 2, symmetric)))
    lower_rhs(_used(_small(y[first] * y[second], symmetric)))
    with pytest.raises(CodegenError, match="Q is declared symmetric"):
        lower_rhs(order_parameter_system(True, system("he2", True).moments, rates={"Q": _half_of_the_drift()}))


def _used(of: OdeSystem) -> OdeSystem:
    """With the symmetric array in the equation, since what isn't used isn't lowered."""
    (equation,) = of.equations
    diagonal = of.definitions[0].target
    return replace(of, equations=(replace(equation, value=diagonal[equation.indices * 2]),))


def _half_of_the_drift() -> sp.Expr:
    f, v, eta = sp.IndexedBase(sp.Symbol("f", real=True)), sp.IndexedBase(sp.Symbol("v", real=True)), sp.Symbol("eta")
    return -2 * sp.Symbol(eta.name, real=True) * v[k] * f[k, l]


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(CodegenError, match="target='fortran' is not one of"):
        kernel_source(system("he2", True), "fortran")  # type: ignore[arg-type]


# -- text -------------------------------------------------------------------------------------------------------------

_PRINT_HASHES = """
import json, sys
from importlib import util

spec = util.spec_from_file_location("test_codegen", sys.argv[1])
module = util.module_from_spec(spec)
sys.modules["test_codegen"] = module
spec.loader.exec_module(module)
print(json.dumps(module.text_hashes()))
"""


def text_hashes() -> dict[str, list[str]]:
    hashes = {}
    for train in (True, False):
        for target in ("scalar", "lanes", "numpy", "python", "mpmath"):
            source = kernel_source(system("erf", train), target)  # type: ignore[arg-type]
            hashes[f"{train} {target}"] = [hashlib.sha256(source.encode()).hexdigest(), content_hash(source)]
    return hashes


def _python(*arguments: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_text_is_the_same_in_every_process() -> None:
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "4242"
    assert json.loads(_python("-c", _PRINT_HASHES, __file__, PYTHONHASHSEED=seed)) == text_hashes()


def test_hash_depends_on_the_text() -> None:
    sources = [kernel_source(system(name, train)) for name in ("erf", "he2") for train in (True, False)]
    assert len({content_hash(source) for source in sources}) == 4
    assert content_hash(sources[0]) != content_hash(sources[0] + "\n")


def test_hash_depends_on_the_toolchain(monkeypatch: pytest.MonkeyPatch) -> None:
    before = content_hash("x = 1")
    monkeypatch.setattr(cache, "_toolchain", lambda: "another compiler")
    assert content_hash("x = 1") != before


@pytest.mark.parametrize("name", ["erf", "he2"])
def test_constants_stay_exact_until_printed(name: str) -> None:
    of = system(name, True)
    for program in (lower_rhs(of), lower_observables(of)):
        for statement in program.walk():
            if isinstance(statement, Assign | Accumulate):
                assert not statement.value.atoms(sp.Float)


def test_equations_are_comments() -> None:
    source = kernel_source(system("erf", True))
    for equation in system("erf", True).equations:
        entry = ", ".join(map(str, equation.indices))
        assert f"# d {equation.target.name}[{entry}]/dt = {equation.value}" in source
    assert all(len(line) < 2000 for line in source.splitlines())


# -- passes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["erf", "he2"])
def test_hoisting_changes_no_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = (name, True, 3, 2)
    hoisted, _ = run("python", case)
    with_rows = kernel_source(system(name, True), "python")
    monkeypatch.setattr(hoist.Hoister, "hoist", lambda self, value, within: value)
    monkeypatch.setattr(lower, "separate", lambda value, index, other: value)
    plain = compile_system(replace(system(name, True)), "python")
    assert plain.source != with_rows
    sizes = {"K": 3, "M": 2}
    state, parameters = (floats(v) for v in flat_arguments(plain.system, random_point(3, 2, 0)))
    slopes = np.full(len(state), np.nan)
    plain.rhs(0.0, state, parameters, plain.size_vector(sizes), np.full(plain.work_size(sizes), np.nan), slopes)
    np.testing.assert_allclose(hoisted, slopes, rtol=0, atol=1e-14 * np.abs(slopes).max())


_asin_error_points = np.concatenate(
    [
        np.linspace(-1, 1, 20001),
        [0.5, np.nextafter(0.5, 0), np.nextafter(0.5, 1), 0.0, -0.0],
        *(sign * (1 - np.geomspace(2**-53, 0.5, 1000)) for sign in (1, -1)),
        *(sign * np.geomspace(5e-324, 1, 1000) for sign in (1, -1)),
    ]
)


@functools.cache
def _map_asin() -> Callable[[np.ndarray], np.ndarray]:
    source = (
        "import math\n\nfrom numba import njit, types\n\n"
        "from hermiton.numerics.codegen.pointers import INLINED, row\n\n"
        'helper = njit(error_model="numpy", fastmath={"contract", "nsz", "reassoc"}, **INLINED)\n\n\n'
        + map_source("asin")
        + "\n\n@njit(types.void(types.float64[::1]), cache=True)\ndef apply(x):\n    map_asin(row(x, 0), x.size)\n"
    )
    module = cache.load_module(source, "asin_of_the_tests")

    def apply(x: np.ndarray) -> np.ndarray:
        y = np.array(x, dtype=np.float64)
        module.apply(y)
        return y

    return apply


def test_vectorised_asin_has_two_ulp() -> None:
    """In units of the last place of the value's binade at most two, and never more than 4e-16."""
    actual = _map_asin()(_asin_error_points)
    with mpmath.workdps(30):
        exact = [mpmath.asin(mpmath.mpf(float(x))) for x in _asin_error_points]
        errors = np.array([float(abs(mpmath.mpf(float(y)) - e)) for y, e in zip(actual, exact, strict=True)])
    assert errors.max() <= 4e-16
    sizes = np.abs([float(e) for e in exact])
    assert (errors <= 2 * 2.0**-52 * sizes + 5e-324).all()


def test_vectorised_asin_at_and_beyond_its_ends() -> None:
    beyond = np.nextafter(1.0, 2.0)
    values = _map_asin()(np.array([1.0, -1.0, 1 + 1e-16, beyond, -beyond, 0.0, np.nan]))
    assert values[:6].tolist() == [math.pi / 2, -math.pi / 2, math.pi / 2, math.pi / 2, -math.pi / 2, 0.0]
    assert math.isnan(values[6]), "a NaN must stay one: the step control relies on it"
    assert _map_asin()(np.zeros(0)).size == 0


# -- cache ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and a temporary folder for fallbacks."""
    monkeypatch.setenv("HERMITON_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return tmp_path


def test_a_module_is_written_once(folder: Path) -> None:
    first = cache.load_module("value = 1\n", "one")
    assert cache.load_module("value = 1\n", "one") is first
    path = Path(first.__file__ or "")
    assert path.parent == cache_directory() and path.is_relative_to(folder / "cache")
    assert path.name == f"one_{content_hash('value = 1' + chr(10))}.py"
    stamp = path.stat().st_mtime_ns
    cache.load_module("value = 1\n", "one")
    assert path.stat().st_mtime_ns == stamp
    assert cache.load_module("value = 2\n", "one").value == 2
    assert cache_info().modules == 2


def test_a_folder_that_can_not_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("in the way")
    monkeypatch.setenv("HERMITON_CACHE_DIR", str(folder / "file"))
    with pytest.warns(CacheWarning, match="set HERMITON_CACHE_DIR to a folder that you can write"):
        module = cache.load_module("value = 3\n", "one")
    assert module.value == 3
    assert Path(module.__file__ or "").is_relative_to(folder / "temporary")
    cache.load_module("value = 4\n", "one")  # warns once: a second warning would be an error here
    assert cache_info().directory.is_relative_to(folder / "temporary")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs the owner of a folder")
def test_a_planted_fallback_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a shared /tmp somebody else may have made our folder, to have us import theirs."""
    (folder / "file").write_text("in the way")
    (folder / "trap").mkdir()
    (folder / "temporary" / f"hermiton-{os.getuid()}").symlink_to(folder / "trap")
    monkeypatch.setenv("HERMITON_CACHE_DIR", str(folder / "file"))
    with pytest.warns(CacheWarning):
        chosen = cache_directory()
    assert not chosen.resolve().is_relative_to(folder / "trap")
    assert list((folder / "trap").iterdir()) == []


def test_a_failed_write_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: Any, target: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("hermiton.numerics.codegen.cache.os.replace", fail)
        with pytest.raises(OSError, match="disk full"):
            cache.load_module("value = 5\n", "one")
    assert list(cache_directory().iterdir()) == []
    assert cache.load_module("value = 5\n", "one").value == 5


def test_nobody_sees_half_a_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has its name only when it is whole."""
    source = "value = 6\n" + "# padding\n" * 1000
    seen: list[tuple[list[str], int]] = []
    real = os.replace

    def watch(temporary: Any, target: Any) -> None:
        seen.append((sorted(p.suffix for p in cache_directory().iterdir()), Path(temporary).stat().st_size))
        real(temporary, target)

    monkeypatch.setattr("hermiton.numerics.codegen.cache.os.replace", watch)
    cache.load_module(source, "one")
    assert seen == [([".tmp"], len(source))]
    assert Path(cache.load_module(source, "one").__file__ or "").read_text() == source


def test_threads_share_a_module(folder: Path) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(cache.load_module("value = 7\n", "one").value)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [7] * 8
    assert cache_info().modules == 1


def test_clearing(folder: Path) -> None:
    for value in (8, 9):
        cache.load_module(f"value = {value}\n", "one")
    (cache_directory() / "__pycache__").mkdir(exist_ok=True)
    (cache_directory() / "__pycache__" / "left.nbi").write_bytes(b"1234")
    before = clear_cache()
    assert before.modules == 2 and before.size > 4
    after = cache_info()
    assert (after.modules, after.size, after.directory) == (0, 0, before.directory)
    assert cache.load_module("value = 8\n", "one").value == 8
    assert cache_info().modules == 1


_COMPILE = """
import json, sys
from importlib import util

spec = util.spec_from_file_location("test_codegen", sys.argv[1])
module = util.module_from_spec(spec)
sys.modules["test_codegen"] = module
spec.loader.exec_module(module)
print(json.dumps(module.compilations()))
"""


def compilations() -> dict[str, object]:
    """Compile a system; how often Numba compiled and how often it loaded, and a value."""
    from numba.core import event

    compiled: CompiledSystem
    with event.install_recorder("numba:compile") as recorder:
        compiled = compile_system(system("he2", True))
    stats = compiled.rhs.stats  # type: ignore[attr-defined]
    slopes, _ = run("scalar", ("he2", True, 2, 2))
    return {
        "hash": compiled.hash,
        "compiled": len(recorder.buffer),
        "hits": sum(stats.cache_hits.values()),
        "misses": sum(stats.cache_misses.values()),
        "value": slopes.tolist(),
    }


@pytest.mark.slow
def test_a_second_process_does_not_compile(tmp_path: Path) -> None:
    places = {"HERMITON_CACHE_DIR": str(tmp_path / "kernels"), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    first, second = (json.loads(_python("-W", "error", "-c", _COMPILE, __file__, **places)) for _ in range(2))
    assert first["compiled"] > 0 and first["misses"] > 0
    assert second["compiled"] == 0 and second["misses"] == 0 and second["hits"] > 0
    assert (first["hash"], first["value"]) == (second["hash"], second["value"])
    close(np.array(second["value"]), expected(system("he2", True), oracle("he2", True, 2, 2, 0))[0], 13)
