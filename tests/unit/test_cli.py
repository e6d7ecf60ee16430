"""The command line: outputs, exit statuses, what is kept when it is interrupted."""

import functools
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import hermiton as hm
from hermiton.numerics.codegen.cache import CacheWarning
from hermiton.theory import online_sgd
from hermiton.theory.systems import OdeSystem
from hermiton.verification import cli_console, cli_runs, cli_verify
from hermiton.verification import online_sgd as chapter
from hermiton.verification import simulate as simulate_module
from hermiton.verification.cli import main

# A network whose equations need no time: linear, one unit on one unit.
SMALL = [
    "--activation",
    "identity",
    "--hidden",
    "1",
    "--teacher-hidden",
    "1",
    "--times",
    "0.5,1",
    "--learning-rate",
    "0.2",
]
CHAIN = ["--method", "overlaps", "--dimension", "4000", "--replicas", "8"]
# Kept apart from what other tests derive.
QUICK = functools.cache(online_sgd._specialised.__wrapped__)


@pytest.fixture(autouse=True)
def quick_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the statements that hold for every activation, whose checks take seconds; tests of theory run them."""
    monkeypatch.setattr(online_sgd, "_general", lambda train_second_layer: online_sgd._increments())
    monkeypatch.setattr(online_sgd, "_specialised", QUICK)
    monkeypatch.setattr(chapter, "_MEASURING_REPLICAS", 20)


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make statements new: those of an earlier test are in memory, and not checked before one's eyes."""
    fresh = online_sgd._increments.__wrapped__
    monkeypatch.setattr(online_sgd, "_general", lambda train_second_layer: fresh())
    monkeypatch.setattr(online_sgd, "_specialised", QUICK.__wrapped__)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write only the numbers of a report: pictures take seconds, and one test looks at them."""
    monkeypatch.setattr(cli_verify, "_write", lambda report, folder: report.to_json(folder / "report.json"))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def verify(*more: str) -> int:
    return main(["verify", "online-sgd", *SMALL, *CHAIN, "--store", "runs", *more])


def config(text: str) -> str:
    Path("run.toml").write_text(text)
    return "run.toml"


RUN = """
[setting]
student = "identity"
teacher = "identity"
learning_rate = 0.2
[start]
Q = [[0.2]]
R = [[0.1]]
T = [[1]]
v = [1]
A = [1]
[run]
times = [0.5, 1]
dimension = 40
replicas = 3
seed = 4
rtol = 1e-7
"""


# -- light and well-behaved -------------------------------------------------------------------------------------------


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "hermiton.verification.cli", "--help"], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "verify" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
    heavy = (
        "import sys, hermiton.verification.cli; print({'numpy', 'sympy', 'numba', 'xarray', 'scipy'} & {*sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hermiton {hm.__version__}\n"
    assert main([]) == 0
    assert "Usage: hermiton" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["frobnicate"], "frobnicate"),
        (["verify", "--nope"], "--nope"),
        (["verify", "--hidden", "two"], "--hidden"),
        (["derive"], "SETTING"),
        (["verify", "one-line-sgd"], "one-line-sgd"),
        (["verify", "online-sdg"], "did you mean online-sgd?"),
        (["derive", "online-sgd", "--latex", "--source"], "--latex"),
        (["solve", "online-sgd"], "--times"),
        (["verify", "--budget", "soon"], "soon"),
        (["verify", "--budget", "60s", "--replicas", "8"], "--replicas 8"),
        (["verify", "--executor", "threads"], "local:2"),
        (["verify", "--executor", "local:0"], "local:0"),
        (["verify", "--times", "1;2"], "1;2"),
        (["verify", "--replicas", "4"], "replicas=4"),
        (["verify", "--margin", "-1"], "margin=-1"),
        (["verify", "--false-alarm-rate", "2"], "false_alarm_rate=2"),
        (["verify", "--seed", "-1"], "rng=-1"),
        (["verify", "--method", "guess"], "guess"),
        (["verify", "--precision", "float8"], "float8"),
    ],
)
def test_usage_errors_are_one_line_and_status_3(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(setting: object) -> None:
        raise RuntimeError("the derivation began before the arguments were checked")

    monkeypatch.setattr("hermiton.numerics.derive.derive", too_late)
    assert main([*arguments, "-q"] if arguments[0] in ("verify", "derive") else arguments) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert named in err
    assert err.startswith("hermiton: ") and err.count("\n") == 1
    assert list(Path().iterdir()) == []


# -- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unseen")
def test_verify_writes_a_report_and_shows_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--margin", "0.5") == 0
    out, err = capsys.readouterr()
    assert "consistent" in out and "test error follows the theory" in out
    assert "report: report/index.html" in out
    for shown in ("Change of Q in one step", "symbolic", "solve", "simulate networks"):
        assert shown in err
    assert {file.name for file in Path("report").iterdir()} == {"index.html", "report.json", "plot.png"}
    content = json.loads(Path("report/report.json").read_text())
    assert content["verdict"] == "consistent" and content["provenance"]["seed"] == "0"
    assert Path("report/plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("no_pictures")
def test_json_is_alone_on_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--margin", "0.001", "--json") == 2
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert content["exit_code"] == 2
    (name,) = content["settings"]
    assert name == "online-sgd"
    assert content["settings"][name] == json.loads(Path("report/report.json").read_text())
    assert "undecided: test error follows the theory" in err


@pytest.mark.usefixtures("no_pictures")
def test_a_wrong_theory_is_refuted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    right = online_sgd.order_parameter_system

    def wrong(train_second_layer: bool, *arguments: object, **options: object) -> OdeSystem:
        rates = {"R": -online_sgd._RATES["R"]}
        return right(train_second_layer, *arguments, **{**options, "rates": rates})  # type: ignore[arg-type]

    monkeypatch.setattr(online_sgd, "order_parameter_system", wrong)
    monkeypatch.setattr(online_sgd, "_specialised", QUICK.__wrapped__)
    assert verify("-q") == 1
    out, err = capsys.readouterr()
    assert "refuted: teacher-student overlaps R" in out
    assert err == ""


@pytest.mark.usefixtures("no_pictures")
def test_weights_give_widths_dimension_and_start(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(1, 50))
    np.savez(
        "net.npz", student=rng.normal(size=(2, 50)), teacher=teacher, second_layer=[1, 1], teacher_second_layer=[1]
    )
    options = ["--activation", "identity", "--weights", "net.npz", "--times", "0.1", "--replicas", "8", "--json", "-q"]
    assert main(["verify", "online-sgd", *options, "--store", "runs"]) in (0, 2)
    report = json.loads(capsys.readouterr().out)["settings"]["online-sgd"]
    assert "with K=2" in report["setting"] and "with M=1" in report["setting"] and "N=50" in report["setting"]


def test_an_error_of_ours_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(setting: object) -> None:
        raise RuntimeError("a bolt is loose")

    monkeypatch.setattr("hermiton.numerics.derive.derive", broken)
    assert main(["derive", "online-sgd", "-q"]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" in err and "in broken" in err
    assert "hermiton: internal error: RuntimeError: a bolt is loose" in err


def test_a_failed_check_is_an_internal_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuted(setting: object) -> None:
        raise hm.DerivationError("lhs - rhs = 1")

    monkeypatch.setattr("hermiton.numerics.derive.derive", refuted)
    assert main(["derive", "online-sgd", "-q"]) == 4
    assert "DerivationError: lhs - rhs = 1" in capsys.readouterr().err


def test_a_closed_pipe_is_no_verdict() -> None:
    command = [sys.executable, "-m", "hermiton.verification.cli", "cache", "info", "--store", "runs"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 141


def test_warnings_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def warning(setting: object) -> None:
        warnings.warn("the folder\ncan't be written", CacheWarning, stacklevel=1)
        raise hm.AssumptionError("stop here")

    monkeypatch.setattr("hermiton.numerics.derive.derive", warning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["derive", "online-sgd", "-q"]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "hermiton: warning (CacheWarning): the folder can't be written",
        "hermiton: error: stop here",
    ]


# -- interrupted ------------------------------------------------------------------------------------------------------


def interrupt_after(count: int) -> Callable[..., Iterator[Callable[[str], Callable[[float], object]]]]:
    """Stages of a display at which Ctrl-C is pressed when so many networks are done."""

    @contextmanager
    def stages(display: object) -> Iterator[Callable[[str], Callable[[float], object]]]:
        seen = [0]

        def report(fraction: float) -> None:
            seen[0] += 1
            if seen[0] == count:
                raise KeyboardInterrupt

        yield lambda stage: report if "network" in stage else lambda fraction: None

    return stages  # type: ignore[return-value]


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("command", ["verify", "simulate"])
def test_ctrl_c_keeps_finished_networks_and_the_same_command_resumes(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> int:
        if command == "verify":
            return verify("--margin", "0.5")
        return main(["simulate", "online-sgd", "--config", config(RUN), "--replicas", "8", "--store", "runs"])

    replica = chapter._replica

    def slowing(specification: dict[str, object], setting: object) -> object:
        if int(specification["replica"]) >= 3:  # type: ignore[call-overload]
            time.sleep(0.5)  # a real network would still be training when Ctrl-C comes
        return replica(specification, setting)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(cli_console.Display, "stages", interrupt_after(3))
        patched.setattr(chapter, "_replica", slowing)
        patched.setattr(simulate_module, "ThreadPoolExecutor", lambda count: ThreadPoolExecutor(1))
        assert run() == 130
    err = capsys.readouterr().err
    kept = len(list(Path("runs").glob("*.nc")))
    assert 4 <= kept < 8  # the fourth was under way
    assert f"interrupted: {kept} runs finished in this session are stored in runs; the same command resumes" in err
    assert not Path("report").exists()

    made: list[int] = []
    saving = cli_runs.SessionStore.save

    def counting(store: cli_runs.SessionStore, spec: dict[str, object], data: object) -> Path:
        made.append(int(spec.get("replica", -1)))  # type: ignore[call-overload]
        return saving(store, spec, data)  # type: ignore[arg-type]

    monkeypatch.setattr(cli_runs.SessionStore, "save", counting)
    assert run() == 0
    assert sum(replica >= 0 for replica in made) == 8 - kept


def test_fresh_runs_everything_again(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["simulate", "online-sgd", "--config", config(RUN), "--store", "runs", "--json", "-q"]
    assert main(command) == 0
    first = capsys.readouterr().out
    files = {file: file.stat().st_mtime_ns for file in Path("runs").glob("*.nc")}
    assert main(command) == 0
    assert {file: file.stat().st_mtime_ns for file in files} == files
    assert main([*command, "--fresh"]) == 0
    assert all(file.stat().st_mtime_ns > time for file, time in files.items())
    outputs = [json.loads(text) for text in capsys.readouterr().out.replace("}\n{", "}\0{").split("\0")]
    assert [output["mean"] for output in outputs] == [json.loads(first)["mean"]] * 2


# -- budget and executors ---------------------------------------------------------------------------------------------


class Bench:
    """A clock, and verifications that take a known time on it."""

    def __init__(self, each: float, stored: int, folder: Path) -> None:
        self.now, self.each, self.done = 100.0, each, stored
        self.asked: list[int] = []
        self.store = cli_runs.SessionStore(folder)

    def monotonic(self) -> float:
        return self.now

    def run(self, replicas: int, mark: Callable[[str], None]) -> None:
        self.asked.append(replicas)
        for stage, seconds in (("solve", 1.0), ("simulate networks", 0.0), ("measure c/N", 5.0)):
            mark(stage)
            self.now += seconds
            if stage == "simulate networks":
                for number in range(self.done, replicas):
                    self.now += self.each
                    self.store._own.add(Path(str(number)))
                self.done = max(self.done, replicas)


@pytest.mark.parametrize(
    ("each", "stored", "budget", "chosen", "asked"),
    [
        (0.1, 0, 60.0, 64, [8]),
        (1.0, 0, 40.0, 29, [8]),  # 0.9 * 40 - 14 so far - 1 for solving again = 21 more
        (100.0, 0, 60.0, 8, [8]),
        (1.0, 20, 60.0, 64, [8, 16, 32]),  # 12 new ones are timed, after 30 s
        (1.0, 64, 60.0, 64, [8, 16, 32, 64]),
    ],
)
def test_a_budget_chooses_the_number_of_networks(
    each: float, stored: int, budget: float, chosen: int, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(each, stored, Path("runs"))
    monkeypatch.setattr(cli_runs.time, "monotonic", bench.monotonic)
    found, why = cli_runs.replicas_within(budget, bench.run, bench.store, 100.0)
    assert bench.asked == asked
    if (each, stored) == (1.0, 20):
        # two passes without a new network, one with 12: 3 * (1 + 5) + 12 = 30; solving again costs 1
        chosen = 32 + int(0.9 * budget - 30 - 1)
    assert found == chosen
    assert str(chosen) in why


@pytest.mark.usefixtures("no_pictures")
def test_budget_end_to_end(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL, "--method", "overlaps", "--dimension", "200", "--store", "runs", "--json", "--margin", "0.9"]
    assert main(["verify", "online-sgd", *arguments, "--budget", "0.001s"]) in (0, 2)
    out, err = capsys.readouterr()
    assert json.loads(out)["settings"]["online-sgd"]["claims"][0]["samples"] == 8
    assert "8 networks fit the budget of 0.001 s" in " ".join(err.split())


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("60", 60), ("1.5min", 90), ("2m", 120), ("1h", 3600), (" .5 s ", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    from hermiton.verification.cli_options import read_budget

    assert read_budget(text) == seconds


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert verify("--executor", "dask:tcp://127.0.0.1:8786", "-q") == 3
    err = capsys.readouterr().err
    assert "hermiton[cluster]" in err and "Traceback" not in err


def test_local_processes_and_threads_give_the_same_networks() -> None:
    setting = hm.OnlineSGD(student="identity", teacher="identity", hidden=1, teacher_hidden=1)
    start = hm.Overlaps(Q=[[0.2]], R=[[0.1]], T=[[1]], v=[1], A=[1])
    with cli_runs.open_executor("local:1") as pool:
        assert pool is not None
        processes = hm.simulate(setting, start, [0.5], dimension=20, replicas=2, executor=pool)
    with ThreadPoolExecutor(2) as threads:
        same = hm.simulate(setting, start, [0.5], dimension=20, replicas=2, executor=threads)
    assert processes.data.equals(same.data)


# -- the other verbs --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unseen")
def test_derive(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["derive", "online-sgd", "--activation", "identity"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    # the fixture leaves most statements out, so the equations rest on nothing that is shown
    assert "standing: stated" in out and r"\frac{d" in out and "Saad" in out
    assert "Change of R in one step" in err
    assert main([*command, "-q"]) == 0
    out, err = capsys.readouterr()
    assert "Change of R in one step" in out and err == ""
    assert main([*command, "-q", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {step["check"] for s in content["statements"] for step in s["steps"]} >= {"symbolic", "Wick"}
    assert main([*command, "-q", "--latex"]) == 0
    assert capsys.readouterr().out.startswith(r"\section*{")
    assert main([*command, "-q", "--source"]) == 0
    source = capsys.readouterr().out
    compile(source, "kernel", "exec")
    assert "def rhs(" in source


def test_solve_and_simulate_from_one_file_and_show_them(capsys: pytest.CaptureFixture[str]) -> None:
    import xarray as xr

    file = config(RUN)
    assert main(["solve", "online-sgd", "--config", file, "--out", "s.nc"]) == 0
    out, err = capsys.readouterr()
    assert "test error" in out and "largest estimated error" in out and "written: s.nc" in err
    assert main(["simulate", "online-sgd", "--config", file, "--out", "m.nc", "--store", "runs", "-q"]) == 0
    assert "mean ± standard error of 3 networks" in capsys.readouterr().out
    with xr.open_dataset("s.nc") as solution, xr.open_dataset("m.nc") as sample:
        assert dict(solution.sizes) == {"time": 2, "i": 1, "k": 1, "n": 1}
        assert dict(sample.sizes) == {"replica": 3, "time": 2, "i": 1, "k": 1, "n": 1}
        assert sample.attrs["seed"] == "4" and sample.attrs["dimension"] == "40"
        assert solution.attrs["rtol"] == "1e-07" and "learning_rate=0.2" in solution.attrs["setting"]
    assert main(["solve", "online-sgd", "--config", file, "--times", "1", "--json", "-q"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["times"] == [1.0] and len(content["values"]["generalization_error"]) == 1
    stored = str(next(Path("runs").glob("*.nc")))
    assert main(["report", "s.nc", "m.nc", stored, "--out", "page/runs.html"]) == 0
    assert capsys.readouterr().out == "report: page/runs.html\n"
    page = Path("page/runs.html").read_text()
    assert page.count("<img src=") == 3
    for text in ("sample of 3 networks", "solution;", "one network;", "learning_rate=0.2", hm.__version__):
        assert text in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_options_win_over_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--replicas", "2", "--dimension", "30", "--seed", "9", "--times", "0.25", "--activation", "he2"]
    command = ["simulate", "online-sgd", "--config", config(RUN), "--store", "runs", "--json", "-q", *options]
    assert main(command) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["times"] == [0.25] and content["replicas"] == 2
    assert (content["provenance"]["dimension"], content["provenance"]["seed"]) == ("30", "9")


def test_cache(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HERMITON_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache/kernels").mkdir(parents=True)
    (tmp_path / "cache/kernels/some_kernel.py").write_text("")
    assert main(["simulate", "online-sgd", "--config", config(RUN), "-q"]) == 0
    capsys.readouterr()
    assert main(["cache", "info", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["runs"]["count"] == 3 and content["kernels"]["count"] >= 1
    assert content["runs"]["folder"] == str(tmp_path / "cache/runs")
    assert main(["cache", "clear"]) == 0
    assert main(["cache", "info"]) == 0
    assert f"kernels: 0 in {tmp_path / 'cache/kernels'}" in (out := capsys.readouterr().out) and "runs: 3 in" in out
    assert main(["cache", "clear", "--runs"]) == 0
    assert "deleted 3 runs" in capsys.readouterr().out
    assert list((tmp_path / "cache/runs").iterdir()) == []


# -- other settings ---------------------------------------------------------------------------------------------------

TRUNCATION = """
[setting]
points = "data.npz"
[start]
thresholds = [0.2, -0.1]
[run]
times = [0.5, 1]
step = 0.1
"""


@pytest.fixture
def truncation_file(monkeypatch: pytest.MonkeyPatch) -> str:
    """Data of two classes in a file, and the equation without the statements behind it."""
    from hermiton.numerics import derive as verb
    from hermiton.theory.derivation import Derivation
    from hermiton.theory.truncation import Truncation, truncation_flow
    from hermiton.theory.truncation.statements import RATE

    def quick(setting: Truncation) -> Derivation:
        return Derivation("Truncation", setting, (), (truncation_flow(RATE),), kernel_source=verb.system_source)

    monkeypatch.setattr(verb, "derive", quick)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 2))
    np.savez("data.npz", points=points, labels=np.arange(20) % 2, targets=[[3.0, 2.0], [2.0, 4.0]])
    return config(TRUNCATION)


@pytest.mark.usefixtures("no_pictures")
def test_truncation_from_a_file(truncation_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["truncation", "--config", truncation_file, "-q"]
    assert main(["solve", *common, "--json"]) == 0
    solved = json.loads(capsys.readouterr().out)
    assert main(["simulate", *common, "--json", "--store", "runs", "--step", "0.001"]) == 0
    simulated = json.loads(capsys.readouterr().out)
    assert simulated["replicas"] == 1 and simulated["standard_error"] is None
    assert simulated["provenance"]["step"] == "0.001"
    np.testing.assert_allclose(simulated["mean"]["threshold"], solved["values"]["threshold"], atol=0.01)
    assert main(["verify", *common, "--json", "--store", "runs"]) == 0
    report = json.loads(capsys.readouterr().out)["settings"]["truncation"]
    assert report["verdict"] == "consistent" and "20 samples in 2 classes" in report["setting"]
    assert all(claim["samples"] == 1 and claim["false_alarm_rate"] == 0 for claim in report["claims"])
    assert main(["derive", *common, "--source"]) == 0
    assert "event to event" in capsys.readouterr().out


def test_unconstrained_features_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    start = "[setting]\nclasses = 2\nper_class = 1\ndimension = 2\n[start]\nalpha = 0.2\neta = 0.1\n"
    common = ["unconstrained-features", "--config", config(start), "--times", "0.5"]
    assert main(["simulate", *common, "--json", "-q", "--store", "runs"]) == 0
    assert json.loads(capsys.readouterr().out)["mean"]["alpha"][0] > 0.2


@pytest.mark.parametrize(
    ("command", "text", "named"),
    [
        ("simulate", "[setting]\npoint = []", "did you mean points?"),
        ("simulate", "[setting]\npoints = [[0.0]]", "lacks labels, targets"),
        ("simulate", "[setting]\npoints = 'none.npz'", "setting.points='none.npz'"),
        ("simulate", "[starts]", "did you mean start?"),
        ("solve", "[start]\nthreshold = [1]", "did you mean thresholds?"),
        ("verify", "[run]\ntimes = [0.33]", "times=0.33"),
    ],
)
def test_bad_files_of_truncation(command: str, text: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    times = [] if command == "verify" else ["--times", "0.5"]
    assert main([command, "truncation", "--config", config(text), *times]) == 3
    err = capsys.readouterr().err
    assert named in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["verify", "truncation", "--replicas", "8"], "--replicas=8 has no meaning for truncation"),
        (["simulate", "unconstrained-features", "--dimension", "9", "--times", "1"], "--dimension=9"),
        (["derive", "truncation", "--activation", "erf"], "--activation='erf'"),
        (["verify", "online-sgd", "--step", "0.1"], "--step=0.1"),
        (["verify", "--config", "run.toml"], "name that SETTING"),
        (["solve", "unconstrained-features"], "--times"),
    ],
)
def test_options_of_other_settings_are_refused(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 3
    err = capsys.readouterr().err
    assert named in err and err.count("\n") == 1


def test_every_setting_is_verified_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its own options; those without a choice of runs go first where time is short."""
    seen: list[tuple[str, dict[str, object]]] = []

    def one(job: cli_verify.Job, *rest: object) -> object:
        seen.append((type(job.setting).__name__, dict(job.run)))
        raise KeyboardInterrupt if len(seen) == 3 else hm.VerificationError("stop")

    def all_of(*arguments: object) -> object:
        try:
            return one(*arguments)  # type: ignore[arg-type]
        except hm.VerificationError:
            return _Empty()

    class _Empty:
        exit_code = 0

    monkeypatch.setattr(cli_verify, "_verify_one", all_of)
    monkeypatch.setattr(cli_verify, "_write", lambda report, folder: _noted(folder))
    monkeypatch.setattr(cli_verify, "_show", lambda *arguments: None)
    assert main(["verify", "-q", "--budget", "30s", "--hidden", "3", "--store", "runs"]) == 130
    names = [name for name, _ in seen]
    assert names[-1] == "OnlineSGD" and set(names[:2]) == {"Truncation", "UnconstrainedFeatures"}
    assert "dimension" in seen[-1][1] and "dimension" not in seen[0][1]


def _noted(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("{}")
    return folder
