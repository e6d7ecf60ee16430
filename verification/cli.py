"""The command line: ``hermiton verify | derive | solve | simulate | report | cache``.

Exit statuses: 0 all claims consistent, 1 a claim refuted, 2 undecided, 3 input that can't be used, 4 an error of
hermiton's own, 130 interrupted (141 if the reader of the output has gone). Results go to the output stream, everything
else to the error stream. The verbs are imported by the commands that use them, so that ``--help`` is quick.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..theory.errors import AssumptionError, argument_error
from . import cli_options as options
from .cli_console import INTERRUPTED, USAGE, Display, error_line, show_warnings, status_of

__all__ = ["app", "main"]

_EPILOG = (
    "Exit status: 0 all consistent, 1 a claim refuted, 2 undecided, 3 unusable input, 4 internal error, "
    "130 interrupted."
)
_CONTEXT = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="hermiton",
    help="An engine for the theory of two-layer neural networks: derive, solve, simulate, verify.",
    epilog=_EPILOG,
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings=_CONTEXT,
)
cache_app = typer.Typer(help="Compiled kernels and stored runs on disk.", context_settings=_CONTEXT)
app.add_typer(cache_app, name="cache")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        In place of those of the process.

    Returns
    -------
    int
        The exit status.
    """
    # The class of usage errors: click's, or typer's own copy of it, depending on typer's version.
    kinds: tuple[type[Any], ...] = typer.BadParameter.__mro__
    refusal: type[Exception] = next(kind for kind in kinds if kind.__name__ == "ClickException")
    with show_warnings():
        try:
            status = app(
                list(sys.argv[1:] if arguments is None else arguments), prog_name="hermiton", standalone_mode=False
            )
        except refusal as error:
            context = getattr(error, "ctx", None)
            path = context.command_path if context is not None else "hermiton"
            message = error.format_message() if hasattr(error, "format_message") else str(error)
            error_line("usage", f"{message.rstrip('.')}. See `{path} --help`")
            status = USAGE
        except typer.Abort:
            error_line("interrupted", "nothing was begun")
            status = INTERRUPTED
    return int(status or 0)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"hermiton {version('hermiton')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command(epilog=_EPILOG)
@status_of
def verify(
    settings: options.Settings = None,
    config: options.Config = None,
    activation: options.ActivationOption = None,
    teacher_activation: options.TeacherActivation = None,
    hidden: options.Hidden = None,
    teacher_hidden: options.TeacherHidden = None,
    learning_rate: options.LearningRate = None,
    second_layer_rate: options.SecondLayerRate = None,
    noise: options.Noise = None,
    weights: options.Weights = None,
    times: options.Times = None,
    dimension: options.Dimension = None,
    replicas: options.Replicas = None,
    step: options.Step = None,
    method: options.Method = None,
    precision: options.Precision = None,
    margin: options.Margin = None,
    progressive: options.Progressive = None,
    false_alarm_rate: options.FalseAlarmRate = None,
    seed: options.Seed = None,
    budget: options.Budget = None,
    executor: options.ExecutorOption = None,
    store: options.Store = None,
    fresh: options.Fresh = False,
    report: options.ReportFolder = Path("report"),
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> int:
    """Hold the theory of settings against simulated networks; write a report.

    Without a SETTING, all that exist; an option is for those for which it has a meaning. Networks are kept: an
    interrupted run resumes.
    """
    started = time.monotonic()
    from .cli_chapters import chapter, own_options
    from .cli_runs import check_folder
    from .cli_verify import Job, verify_settings

    names = options.chosen_settings(settings)
    seconds = None if budget is None else options.read_budget(budget)
    if seconds is not None and replicas is not None:
        raise argument_error("--budget", budget, f"comes with --replicas {replicas}", "give one of the two")
    if config is not None and len(names) > 1:
        raise argument_error("--config", str(config), "describes one setting", "name that SETTING")
    given = {
        "config": config,
        "activation": activation,
        "teacher_activation": teacher_activation,
        "hidden": hidden,
        "teacher_hidden": teacher_hidden,
        "learning_rate": learning_rate,
        "second_layer_rate": second_layer_rate,
        "noise": noise,
        "weights": weights,
        "times": None if times is None else options.read_times(times),
        "dimension": dimension,
        "replicas": replicas,
        "step": step,
        "method": method,
        "precision": precision,
        "margin": margin,
        "progressive": progressive,
        "false_alarm_rate": false_alarm_rate,
        "seed": seed,
        "budget": budget,
    }
    jobs = {}
    for name in names:
        own = own_options(name, "verify", given, bool(settings))
        described = chapter(name).describe(own)
        folder = report if len(names) == 1 else report / name
        jobs[name] = Job(chapter(name), described.setting, chapter(name).verification(described, own), folder)
    for job in jobs.values():
        check_folder("--report", job.folder)
    return verify_settings(
        jobs,
        replicas=replicas,
        budget=seconds,
        started=started,
        executor=executor,
        store=store,
        fresh=fresh,
        as_json=as_json,
        display=Display(quiet),
    )


@app.command(epilog=_EPILOG)
@status_of
def derive(
    setting: options.Setting,
    config: options.Config = None,
    activation: options.ActivationOption = None,
    teacher_activation: options.TeacherActivation = None,
    second_layer_rate: options.SecondLayerRate = None,
    latex: Annotated[bool, typer.Option("--latex", help="The derivation in LaTeX.")] = False,
    source: Annotated[bool, typer.Option("--source", help="The generated kernels.")] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> int:
    """Derive the equations of a setting, each step checked."""
    options.chosen_settings([setting])
    if latex + source + as_json > 1:
        raise AssumptionError("--latex, --source and --json are different outputs: give one of them")
    from .cli_chapters import chapter, own_options

    given = {
        "config": config,
        "activation": activation,
        "teacher_activation": teacher_activation,
        "second_layer_rate": second_layer_rate,
    }
    own = own_options(setting, "derive", given, named=True)
    display = Display(quiet)
    with display.watching("derive"):
        from ..numerics.derive import derive as verb

        derivation = verb(chapter(setting).describe(own).setting)
    from .cli_show import derivation_json, show_derivation

    if latex:
        print(derivation.latex())
    elif source:
        print(derivation.source())
    elif as_json:
        print(derivation_json(derivation))
    else:
        show_derivation(derivation, with_statements=quiet)
    return 0


@app.command(epilog=_EPILOG)
@status_of
def solve(
    setting: options.Setting,
    config: options.Config = None,
    activation: options.ActivationOption = None,
    teacher_activation: options.TeacherActivation = None,
    times: options.Times = None,
    out: options.Out = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> int:
    """Solve the equations of a setting, as a TOML file describes it."""
    display = Display(quiet)
    given = {
        "config": config,
        "activation": activation,
        "teacher_activation": teacher_activation,
        "times": times,
    }
    theirs, described, start, grid = _described(setting, "solve", given, out)
    chosen = {theirs.solution[key]: value for key, value in described.run.items() if key in theirs.solution}
    from ..numerics.derive import derive as derive_verb
    from ..numerics.solve import solve as verb

    with display.watching("derive"):
        derivation = theirs.equations(derive_verb(described.setting), start)
    with display.stages() as stages:
        solution = verb(described.setting, start, grid, derivation=derivation, progress=stages("solve"), **chosen)
    from .cli_show import solution_json, solution_table

    return _result(solution, out, as_json, solution_json, solution_table)


@app.command(epilog=_EPILOG)
@status_of
def simulate(
    setting: options.Setting,
    config: options.Config = None,
    activation: options.ActivationOption = None,
    teacher_activation: options.TeacherActivation = None,
    times: options.Times = None,
    dimension: options.Dimension = None,
    replicas: options.Replicas = None,
    step: options.Step = None,
    seed: options.Seed = None,
    executor: options.ExecutorOption = None,
    store: options.Store = None,
    fresh: options.Fresh = False,
    out: options.Out = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> int:
    """Train the networks of a setting, as a TOML file describes it. Networks are kept: an interrupted run resumes."""
    display = Display(quiet)
    given = {
        "config": config,
        "activation": activation,
        "teacher_activation": teacher_activation,
        "times": times,
        "dimension": dimension,
        "replicas": replicas,
        "step": step,
        "seed": seed,
    }
    theirs, described, start, grid = _described(setting, "simulate", given, out)
    run = described.run | {key: value for key, value in given.items() if value is not None}
    chosen = {theirs.sample[key]: value for key, value in run.items() if key in theirs.sample}
    from .cli_runs import default_store, open_executor, resumable
    from .verbs import simulate as verb

    with (
        resumable(default_store() if store is None else store, fresh) as kept,
        open_executor(executor) as pool,
        display.stages() as stages,
    ):
        sample = verb(
            described.setting,
            start,
            grid,
            store=kept,
            executor=pool,
            progress=stages("simulate networks"),
            **chosen,
        )
    from .cli_show import sample_json, sample_table

    return _result(sample, out, as_json, sample_json, sample_table)


def _described(setting: str, command: str, given: dict[str, Any], out: Path | None) -> tuple[Any, Any, Any, Any]:
    """Chapter, description, start and times of a run described by a file and by options."""
    from .cli_runs import check_folder

    options.chosen_settings([setting])
    if out is not None:
        check_folder("--out", out.expanduser().parent, make=False)
    from .cli_chapters import chapter, own_options

    theirs = chapter(setting)
    times = given["times"]
    own = own_options(setting, command, given, named=True)
    described = theirs.describe(own)
    grid = described.run.get("times") if times is None else options.read_times(times)
    if grid is None:
        raise argument_error(
            "times", None, "is missing", "pass --times '1,2,5', or write times = [1, 2, 5] under [run]"
        )
    start = theirs.default_start(described.setting) if described.start is None else described.start
    return theirs, described, start, grid


def _result(
    result: Any, out: Path | None, as_json: bool, to_json: Callable[[Any], str], to_table: Callable[[Any], None]
) -> int:
    if out is not None:
        result.save(out)
        print(f"written: {out}", file=sys.stderr)
    if as_json:
        print(to_json(result))
    else:
        to_table(result)
    return 0


@app.command(epilog=_EPILOG)
@status_of
def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Stored runs and solutions (.nc).")],
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="The page.")] = Path("report/runs.html"),
) -> int:
    """Show stored runs and solutions on a page, with plots and provenance."""
    from .cli_runs import check_folder
    from .runs_page import runs_page

    check_folder("--out", out.expanduser().parent)
    print(f"report: {runs_page(files, out)}")
    return 0


StoreOption = Annotated[Path | None, typer.Option("--store", metavar="DIR", help="The folder of stored runs.")]


@cache_app.command("info")
@status_of
def cache_info(store: StoreOption = None, as_json: options.AsJson = False) -> int:
    """Show where kernels and runs are kept, and how much there is."""
    from .cli_show import cache_lines

    print(cache_lines(store, as_json))
    return 0


@cache_app.command("clear")
@status_of
def cache_clear(
    runs: Annotated[bool, typer.Option("--runs", help="Delete the stored runs too.")] = False,
    store: StoreOption = None,
) -> int:
    """Delete compiled kernels, and with --runs the stored runs."""
    from ..numerics.codegen.cache import clear_cache

    kernels = clear_cache()
    print(f"deleted {kernels.modules} kernels in {kernels.directory}")
    if runs:
        from .cli_runs import default_store
        from .store import RunStore

        stored = RunStore(default_store() if store is None else store).clear()
        print(f"deleted {stored.count} runs in {stored.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
