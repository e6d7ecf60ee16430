"""Nonsense into any public argument: one of our errors, naming argument, value and cure, and nothing half-written."""

import functools
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hermiton as hm
from hermiton.numerics.codegen.cache import CacheWarning, cache_directory
from hermiton.numerics.solution import Solution
from hermiton.theory import online_sgd
from hermiton.verification.cli import main
from hermiton.verification.simulate import Sample

SPECIALISED = functools.cache(online_sgd._specialised.__wrapped__)


@pytest.fixture(autouse=True)
def quick_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the statements that hold for every activation, whose checks take seconds; tests of theory run them."""
    monkeypatch.setattr(online_sgd, "_general", lambda train_second_layer: online_sgd._increments())
    monkeypatch.setattr(online_sgd, "_specialised", SPECIALISED)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def linear(**changes: Any) -> hm.OnlineSGD:
    given = {"student": "identity", "teacher": "identity", "hidden": 1, "teacher_hidden": 1, "learning_rate": 0.2}
    return hm.OnlineSGD(**{**given, **changes})


def overlaps(**changes: Any) -> hm.Overlaps:
    return hm.Overlaps(**{"Q": [[0.2]], "R": [[0.1]], "T": [[1]], "v": [1], "A": [1], **changes})


def explosive() -> tuple[hm.OnlineSGD, hm.Overlaps]:
    """A cubic network with long weights and a large rate: its error signal feeds itself."""
    setting = linear(student="he3", teacher="he3", learning_rate=1.0)
    return setting, overlaps(Q=[[4.0]], v=[2.0])


def complaint(action: Callable[[], object], kind: type[Exception] = hm.AssumptionError) -> str:
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The complaint of the command line: one line, status 3, no traceback, nothing on the output."""
    assert main(list(arguments)) == 3
    out, err = capsys.readouterr()
    assert out == ""
    lines = [text for text in err.splitlines() if text.startswith("hermiton: ")]
    assert len(lines) == 1 and "Traceback" not in err
    return lines[0]


def config(**tables: str) -> str:
    """A file of a small run, with tables replaced."""
    text = {
        "setting": 'student = "identity"\nteacher = "identity"\nlearning_rate = 0.2',
        "start": "Q = [[0.2]]\nR = [[0.1]]\nT = [[1]]\nv = [1]\nA = [1]",
        "run": "times = [0.5]\ndimension = 20\nreplicas = 2",
    }
    Path("run.toml").write_text("\n".join(f"[{name}]\n{body}" for name, body in {**text, **tables}.items()))
    return "run.toml"


# -- activations ------------------------------------------------------------------------------------------------------

FORMULAS = [
    ("tnah", "'tnah'", "did you mean 'tanh'"),
    ("__import__('os').system('touch broken')", "__import__", "bare name"),
    ("__import__('os')", "unknown function __import__", "use one of"),
    ("__import__(z)", "unknown function __import__", "use one of"),
    ("z.real", "an attribute access", "tanh(z)"),
    ("2*pi", "has no z", "depends on z"),
    ("tanh(w)", "unknown variable w", "write the variable as z"),
    ("z + y", "other variables than z (y)", "z is the only variable"),
    ("x*y", "other variables than z (x, y)", "z is the only variable"),
    ("exp(z**2)", "infinite Gaussian second moment", "a < 1/4"),
    ("1/z", "'1/z'", ": "),
    ("9**9**9**z", "'9**9**9**z'", ": "),
]


@pytest.mark.parametrize(("formula", "problem", "cure"), FORMULAS)
def test_formulas(formula: str, problem: str, cure: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("student", "teacher"):
        message = complaint(functools.partial(linear, **{name: formula}))
        assert problem in message and cure in message and repr(formula) in message
    line = refused(capsys, "verify", "--activation", formula, "--report", "report", "-q")
    assert problem in line and cure in line
    assert not Path("broken").exists() and list(Path().iterdir()) == []


def test_kinks_that_no_theory_covers(capsys: pytest.CaptureFixture[str]) -> None:
    message = complaint(lambda: hm.derive(linear(student="relu", teacher="erf")))
    assert "'relu'" in message and "z = 0" in message and "'erf'" in message and "softplus" in message
    assert "softplus" in refused(capsys, "derive", "online-sgd", "--activation", "z*abs(z)", "-q")


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value", "option"),
    [
        ("hidden", 0, "--hidden"),
        ("hidden", -2, "--hidden"),
        ("teacher_hidden", 0, "--teacher-hidden"),
        ("hidden", 1.5, None),
        ("hidden", True, None),
        ("learning_rate", -0.1, "--learning-rate"),
        ("learning_rate", float("nan"), "--learning-rate"),
        ("learning_rate", "fast", None),
        ("second_layer_rate", float("inf"), "--second-layer-rate"),
        ("noise", -1.0, "--noise"),
        ("inputs", "gaussian", None),
    ],
)
def test_settings(argument: str, value: Any, option: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    start = f"{argument}={value!r} "
    message = complaint(lambda: linear(**{argument: value}))
    assert message.startswith(start) and ": " in message
    if option is not None:
        line = refused(capsys, "verify", "--activation", "identity", f"{option}={value}", "-q")
        assert line.startswith(f"hermiton: error: {start}")
    assert list(Path().iterdir()) == []


def test_nothing_to_train() -> None:
    assert "make one of the two rates positive" in complaint(lambda: linear(learning_rate=0))


def test_what_is_no_setting() -> None:
    verbs: list[Callable[[], object]] = [
        lambda: hm.derive("online"),
        lambda: hm.solve("online", overlaps(), [1]),
        lambda: hm.simulate("online", overlaps(), [1]),
        lambda: hm.verify("online"),
    ]
    for verb in verbs:
        message = complaint(verb)
        assert "setting='online'" in message and "OnlineSGD()" in message


# -- starts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named", "cure"),
    [
        ({"Q": [[0.001]]}, "not positive semidefinite (smallest eigenvalue -0.00891)", "from_weights"),
        ({"R": [[2.0]]}, "not positive semidefinite", "from_weights"),
        ({"Q": [[0.2, 0.1]]}, "Q=[[0.2, 0.1]] has shape (1, 2)", "pass shape (1, 1)"),
        ({"v": [1, 2]}, "v=[1.0, 2.0] has shape (2,)", "pass shape (1,)"),
        ({"Q": [[float("nan")]]}, "Q=[[nan]] has entries that are not finite", "remove NaN"),
        ({"A": [float("inf")]}, "A=[inf]", "remove NaN and infinities"),
        ({"T": []}, "T=[]", "non-empty"),
        ({"Q": "large"}, "Q='large' is not an array of numbers", "nested lists"),
        ({"v": None}, "v=None", "1 axes"),
        ({"Q": [[1, 2], [3, 4]], "R": [[0], [0]], "v": [1, 1]}, "is not symmetric", "Q = Q'"),
    ],
)
def test_starts(changes: dict[str, Any], named: str, cure: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = complaint(lambda: overlaps(**changes))
    assert named in message and cure in message
    if None in changes.values():
        return  # TOML has no null
    given = {"Q": [[0.2]], "R": [[0.1]], "T": [[1]], "v": [1], "A": [1], **changes}
    body = "\n".join(f"{name} = {value!r}" for name, value in given.items())
    assert cure in refused(capsys, "solve", "online-sgd", "--config", config(start=body), "--out", "s.nc", "-q")
    assert not Path("s.nc").exists()


@pytest.mark.parametrize("verb", [hm.solve, hm.simulate, hm.verify])
def test_a_start_of_other_widths(verb: Callable[..., object]) -> None:
    wide = hm.Overlaps(Q=np.eye(2), R=np.zeros((2, 1)), T=[[1]], v=[1, 1], A=[1])
    message = complaint(lambda: verb(linear(), wide, [0.5]))
    assert "shape (2, 2)" in message or "(2, 1)" in message


def test_weights_that_do_not_fit() -> None:
    ones = np.ones((1, 5))
    assert "has 4 columns, but student has 5" in complaint(
        lambda: hm.Overlaps.from_weights(ones, np.ones((1, 4)), [1], [1])
    )
    assert "has entries that are not finite" in complaint(
        lambda: hm.Overlaps.from_weights(ones * np.nan, ones, [1], [1])
    )
    start = hm.Overlaps.from_weights(ones, ones, [1], [1])
    assert "dimension=6 differs from the 5 inputs" in complaint(
        lambda: hm.simulate(linear(), start, [0.5], dimension=6, replicas=1)
    )


def test_weight_files(capsys: pytest.CaptureFixture[str]) -> None:
    whole = {"student": np.ones((1, 5)), "teacher": np.ones((1, 5)), "second_layer": [1.0]}
    np.savez("missing.npz", **whole, first_layer=np.ones(3))
    np.savez("whole.npz", **whole, teacher_second_layer=[1.0])
    content = bytearray(Path("whole.npz").read_bytes())
    Path("short.npz").write_bytes(content[: len(content) // 2])
    content[120] ^= 0xFF  # in the numbers of the first array: its checksum no longer fits
    Path("flipped.npz").write_bytes(content)
    Path("empty.npz").write_bytes(b"")
    np.save("single.npy", np.ones(3))
    np.savez("objects.npz", **whole, teacher_second_layer=np.array([{"a": 1}], dtype=object))
    np.savez("narrow.npz", **{**whole, "teacher": np.ones((1, 4))}, teacher_second_layer=[1.0])
    for file, problem in [
        ("missing.npz", "has no array teacher_second_layer (it has student, teacher, second_layer, first_layer)"),
        ("short.npz", "damaged"),
        ("flipped.npz", "damaged"),
        ("empty.npz", "damaged"),
        ("single.npy", "has no array student, teacher, second_layer, teacher_second_layer"),
        ("objects.npz", "damaged or no .npz file"),
        ("absent.npz", "No such file"),
        (".", "can't be opened"),
    ]:
        line = refused(capsys, "verify", "--weights", file, "-q")
        assert f"weights='{file}'" in line and problem in line and "numpy.savez" in line
    assert "both layers act on the same N inputs" in refused(capsys, "verify", "--weights", "narrow.npz", "-q")
    line = refused(capsys, "verify", "--activation", "identity", "--weights", "whole.npz", "--hidden", "3", "-q")
    assert "make hidden and teacher_hidden agree" in line
    assert not Path("report").exists()


# -- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [[2, 1], [1, 1], [-1, 2], [], None, "soon", [float("nan")], 5.0, [[1, 2]], [1j]])
def test_times(times: Any) -> None:
    for verb in (hm.solve, hm.simulate):
        message = complaint(lambda verb=verb: verb(linear(), overlaps(), times))  # type: ignore[misc]
        assert message.startswith("times=") and "increas" in message
    if times is not None:
        assert complaint(lambda: hm.verify(linear(), overlaps(), times, dimension=20)).startswith("times=")


def test_times_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    file = config()
    for command in ("solve", "simulate"):
        line = refused(capsys, command, "online-sgd", "--config", file, "--times", "2,1", "-q", "--out", "s.nc")
        assert "times=[2.0, 1.0] does not increase from 0 on: sort the times" in line
    assert "times=[0.0] ends at the start" in refused(capsys, "verify", "--times", "0", "-q")
    assert not Path("s.nc").exists() and not Path("report").exists()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("dimension", 1),
        ("dimension", 2.5),
        ("dimension", True),
        ("replicas", 0),
        ("replicas", 2.0),
        ("method", "guess"),
        ("precision", "float8"),
        ("rng", -1),
        ("rng", None),
        ("rng", np.random.SeedSequence([1, 2])),
        ("store", 5),
        ("executor", "local:2"),
    ],
)
def test_arguments_of_simulate(argument: str, value: Any) -> None:
    options = {"dimension": 20, "replicas": 1, argument: value}
    assert complaint(lambda: hm.simulate(linear(), overlaps(), [0.5], **options)).startswith(f"{argument}=")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("margin", 0), ("margin", "wide"), ("false_alarm_rate", 0), ("false_alarm_rate", 1), ("replicas", 4)],
)
def test_arguments_of_verify(argument: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(online_sgd, "_general")  # refused before anything is derived
    assert complaint(lambda: hm.verify(linear(), times=[0.5], **{argument: value})).startswith(f"{argument}=")


@pytest.mark.parametrize(
    ("argument", "value"), [("rtol", 0), ("rtol", "fine"), ("rtol", float("nan")), ("method", "euler"), ("atol", -1)]
)
def test_arguments_of_solve(argument: str, value: Any) -> None:
    assert complaint(lambda: hm.solve(linear(), overlaps(), [0.5], **{argument: value})).startswith(f"{argument}=")


def test_too_few_inputs_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "verify", "--dimension", "3", "-q")
    assert "dimension=3 is smaller than K + M = 4" in line and "directions" in line


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        ({"setting": 'student = "erf"\nlearningrate = 1'}, ["setting.learningrate=1", "did you mean learning_rate?"]),
        ({"start": "q = [[1]]"}, ["start.q=[[1]]", "known are Q, R, T, v, A, weights"]),
        ({"run": "time = [1]"}, ["run.time=[1]", "did you mean times?"]),
        ({"runs": "times = [1]"}, ["runs=", "unknown table", "did you mean run?"]),
        ({"start": "Q = [[1]]"}, ["lacks R, T, v, A"]),
        ({"start": 'weights = "gone.npz"'}, ["gone.npz", "No such file"]),
        ({"start": 'weights = "a.npz"\nQ = [[1]]'}, ["comes with Q"]),
        ({"run": "times = [1"}, ["run.toml", "is no TOML"]),
        ({"setting": "learning_rate = -1"}, ["learning_rate=-1 is negative"]),
        ({"setting": 'hidden = "two"'}, ["hidden='two'"]),
        ({"run": "dimension = 20"}, ["times", "--times '1,2,5'"]),
        ({"run": "times = [2, 1]"}, ["times=[2.0, 1.0]"]),
        ({"run": 'times = [1]\nrtol = "fine"'}, ["rtol='fine'"]),
        ({"run": 'times = [1]\nintegrator = "euler"'}, ["euler", "DOP853"]),
    ],
)
def test_configurations(tables: dict[str, str], named: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "solve", "online-sgd", "--config", config(**tables), "--out", "s.nc", "-q")
    for part in named:
        assert part in line
    assert sorted(file.name for file in Path().iterdir()) == ["run.toml"]


# -- divergence -------------------------------------------------------------------------------------------------------


def test_divergence_is_reported_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    setting, start = explosive()
    message = complaint(lambda: hm.solve(setting, start, [1, 50]), hm.AccuracyError)
    assert "the solution diverges at t=" in message and "lower the learning rate" in message
    for options in ({"precision": "float64"}, {"precision": "float32"}, {"method": "overlaps"}):
        message = complaint(
            lambda options=options: hm.simulate(setting, start, [1, 50], dimension=20, replicas=2, **options),  # type: ignore[misc]
            hm.AccuracyError,
        )
        assert "diverges at t=" in message and "(dimension 20)" in message and "lower the learning rate" in message
    tables = {
        "setting": 'student = "he3"\nteacher = "he3"\nlearning_rate = 1.0',
        "start": "Q = [[4.0]]\nR = [[0.1]]\nT = [[1]]\nv = [2.0]\nA = [1]",
        "run": "times = [1, 50]\ndimension = 20\nreplicas = 2",
    }
    file = config(**tables)
    for command, what in (("solve", "the solution diverges at t="), ("simulate", "the network of replica")):
        arguments = ["--config", file, "--out", "x.nc", "-q", *(["--store", "runs"] if command == "simulate" else [])]
        assert what in refused(capsys, command, "online-sgd", *arguments)
    assert sorted(path.name for path in Path().iterdir()) in (["run.toml"], ["run.toml", "runs"])
    assert not list(Path().glob("runs/*"))


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["/proc/xyz", "below a file"])
def unwritable(request: pytest.FixtureRequest) -> Path:
    """A folder that nobody can make, not even root."""
    if request.param == "/proc/xyz":
        if not Path("/proc/self").exists():
            pytest.skip("no /proc here")
        return Path("/proc/xyz")
    Path("file").write_text("kept")
    return Path("file/folder")


def test_an_unwritable_cache_folder_falls_back_and_says_so(unwritable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMITON_CACHE_DIR", str(unwritable))
    for kind in ("kernels", "runs"):
        with pytest.warns(CacheWarning) as caught:
            folder = cache_directory(kind)
        message = str(caught[0].message)
        assert str(unwritable / kind) in message and str(folder) in message and "HERMITON_CACHE_DIR" in message
        assert folder.is_dir() and folder.name == kind
        assert cache_directory(kind) == folder  # said once


def test_an_unwritable_cache_folder_on_the_command_line(tmp_path: Path) -> None:
    environment = {"HERMITON_CACHE_DIR": "/proc/xyz", "PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "hermiton.verification.cli", "cache", "info"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and all(line.startswith("hermiton: warning (CacheWarning): ") for line in lines)
    assert str(tmp_path) in done.stdout


def test_unwritable_results(unwritable: Path, capsys: pytest.CaptureFixture[str]) -> None:
    solution, sample = small_solution(), small_sample()
    Path("folder").mkdir()
    for result in (solution, sample):
        message = complaint(lambda result=result: result.save(unwritable / "x.nc"))  # type: ignore[misc]
        assert str(unwritable / "x.nc") in message and "folder that exists" in message
        assert "Is a directory" in complaint(lambda result=result: result.save("folder"))  # type: ignore[misc]
        assert "path=None" in complaint(lambda result=result: result.save(None))  # type: ignore[misc]
    assert "can't be written" in complaint(lambda: solution.plot(unwritable / "x.png"))
    assert "xyz" in complaint(lambda: solution.plot("picture.xyz"))
    assert "can't store the run" in complaint(
        lambda: hm.simulate(linear(), overlaps(), [0.5], dimension=20, replicas=2, store=unwritable / "runs"),
        hm.VerificationError,
    )
    file = config()
    for command in (
        ["verify", "--report", str(unwritable / "report"), "-q"],
        ["solve", "online-sgd", "--config", file, "--out", str(unwritable / "x.nc"), "-q"],
        ["simulate", "online-sgd", "--config", file, "--out", str(unwritable / "x.nc"), "-q"],
        ["simulate", "online-sgd", "--config", file, "--store", str(unwritable / "runs"), "-q"],
    ):
        assert str(unwritable) in refused(capsys, *command)
    solution.save("s.nc")
    line = refused(capsys, "report", "s.nc", "--out", str(unwritable / "page.html"))
    assert str(unwritable) in line
    assert {path.name for path in Path().iterdir()} <= {"run.toml", "s.nc", "file", "folder"}
    assert not list(Path("folder").iterdir())
    if Path("file").exists():
        assert Path("file").read_text() == "kept"


@functools.cache
def small_solution() -> Solution:
    return hm.solve(linear(), overlaps(), [0.5])


@functools.cache
def small_sample() -> Sample:
    return hm.simulate(linear(), overlaps(), [0.5], dimension=20, replicas=2)


def test_files_that_are_no_runs(capsys: pytest.CaptureFixture[str]) -> None:
    import xarray as xr

    file = small_solution().save("s.nc")
    Path("short.nc").write_bytes(file.read_bytes()[:500])
    Path("text.nc").write_text("not a run")
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf("other.nc", engine="h5netcdf")
    for name, problem in [
        ("short.nc", "can't be read"),
        ("text.nc", "can't be read"),
        ("other.nc", "holds no run"),
        ("absent.nc", "is no file"),
    ]:
        line = refused(capsys, "report", "s.nc", name)
        assert f"FILE='{name}'" in line and problem in line
    assert not Path("report").exists()


# -- interrupted and damaged runs -------------------------------------------------------------------------------------


class Counting(Executor):
    """Runs each task when it is submitted, and counts them; interrupts at a chosen one."""

    def __init__(self, interrupt_at: int = -1) -> None:
        self.ran = 0
        self.interrupt_at = interrupt_at

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.ran == self.interrupt_at:
            raise KeyboardInterrupt
        self.ran += 1
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def run(executor: Executor | None = None, **options: Any) -> Sample:
    return hm.simulate(
        linear(), overlaps(), [0.5], dimension=20, replicas=3, store="runs", executor=executor, **options
    )


def test_an_interrupted_simulation_resumes() -> None:
    done = []

    def interrupt(fraction: float) -> None:
        done.append(fraction)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hm.simulate(linear(), overlaps(), [0.5], dimension=20, replicas=3, store="runs", progress=interrupt)
    kept = {path.name for path in Path("runs").iterdir()}
    assert 2 <= len(kept) <= 3 and all(name.endswith(".nc") for name in kept)
    again = Counting()
    resumed = run(again)
    assert again.ran == 3 - len(kept)
    assert {path.name for path in Path("runs").iterdir()} >= kept
    afresh = hm.simulate(linear(), overlaps(), [0.5], dimension=20, replicas=3)
    assert resumed.data.drop_attrs().equals(afresh.data.drop_attrs())


def test_only_the_missing_networks_run() -> None:
    first = Counting(interrupt_at=2)
    with pytest.raises(KeyboardInterrupt):
        run(first)
    assert first.ran == 2
    assert not list(Path().glob("runs/*"))  # the executor was interrupted before it handed anything out
    run(progress=False)
    assert len(list(Path("runs").iterdir())) == 3
    for path in sorted(Path("runs").iterdir())[:2]:
        path.unlink()
    again = Counting()
    run(again)
    assert again.ran == 2
    idle = Counting()
    run(idle)
    assert idle.ran == 0


@pytest.mark.parametrize("damage", [b"not a netCDF file", None])
def test_a_damaged_run_is_run_again(damage: bytes | None) -> None:
    before = run()
    victim = sorted(Path("runs").iterdir())[0]
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) // 2] if damage is None else damage)
    again = Counting()
    with pytest.warns(RuntimeWarning, match="counts as missing"):
        after = run(again)
    assert again.ran == 1
    assert after.data.drop_attrs().equals(before.data.drop_attrs())
    idle = Counting()
    run(idle)  # repaired: no warning, nothing to run
    assert idle.ran == 0
    assert len(list(Path("runs").iterdir())) == 3


def test_a_failing_network_leaves_the_finished_ones() -> None:
    setting, start = explosive()
    calm = hm.simulate(setting, start, [0.0], dimension=20, replicas=2, store="runs")
    assert calm.replicas == 2
    kept = set(Path("runs").iterdir())
    complaint(lambda: hm.simulate(setting, start, [50.0], dimension=20, replicas=2, store="runs"), hm.AccuracyError)
    assert set(Path("runs").iterdir()) == kept
