"""The command line: parse, call one function, turn errors into exit codes."""

from __future__ import annotations

import sys
import traceback
from contextlib import redirect_stdout
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge import __version__
from hpmkd_edge.conduct import before_a_run, folder_of, reader_may_leave, refuse_targets, stopped_at_once
from hpmkd_edge.errors import BadConfiguration, EdgeError
from hpmkd_edge.flags import takes_request
from hpmkd_edge.request import Request

app = typer.Typer(
    name="hpmkd-edge",
    help="Distill a trained model into one that fits a board, and prove that it fits.",
    epilog="Exit codes: 0 met, 1 a budget is broken, 2 usage, 3 device or runtime missing, 4 failed, 5 inconclusive,"
    " 130 interrupted.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
targets_app = typer.Typer(help="Look at targets and check a file of them.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(targets_app, name="targets")
memory_app = typer.Typer(
    help="Look at what is kept between runs, and make room.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(memory_app, name="memory")


class Format(str, Enum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"


TargetsFile = Annotated[
    Path | None,
    typer.Option("--targets", help="Your own targets, in the form of targets.yaml.", metavar="FILE"),
]
Output = Annotated[Format, typer.Option("--format", help="For people, or for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, no table.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr what is done.")]


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Distill a trained model into one that fits a board, and prove that it fits."""
    if version:
        print(f"hpmkd-edge {__version__}")
        raise typer.Exit


@app.command(
    epilog="""\b
Examples:
  hpmkd-edge compress --target jetson
  hpmkd-edge compress --target host --data adult.csv --label income --split split
  hpmkd-edge compress --target rpi5 --data photos.npz --teacher net.py:resnet56 --weights resnet56.pt
  hpmkd-edge compress --resume runs/digits-jetson-20260102-030405"""
)
@takes_request
def compress(
    context: typer.Context,
    request: Request,
    output: Annotated[
        Path | None, typer.Option(help="The run's folder. [default: runs/DATA-TARGET-TIME]", metavar="DIR")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 5 where a budget is inconclusive.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Take up an interrupted run.", metavar="DIR")] = None,
    format: Output = Format.TEXT,  # noqa: A002
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Hand in a trained model and a board; get a smaller model that fits, with the proof."""
    before_a_run(context, resume, quiet=quiet, verbose=verbose)
    request.check()

    from hpmkd_edge.compress import compress as run
    from hpmkd_edge.compress import resume as take_up
    from hpmkd_edge.report.gate import exit_code_of
    from hpmkd_edge.report.machine import reports_to_json
    from hpmkd_edge.report.terminal import show
    from hpmkd_edge.run_folder import default_output

    folder = folder_of(output or default_output(request), resume)
    # What a user's own code prints is no result.
    with stopped_at_once(folder), redirect_stdout(sys.stderr):
        reports = run(request, output=folder) if resume is None else take_up(resume)
    print(f"hpmkd-edge: the run is in {folder}", file=sys.stderr)
    with reader_may_leave():
        if format is Format.JSON:
            print(reports_to_json(reports))
        elif not quiet:
            for report in reports:
                show(report)
    code = exit_code_of([report.verdict for report in reports])
    raise typer.Exit(0 if code == 5 and not strict else code)


@app.command(
    epilog="""\b
Examples:
  hpmkd-edge distill --data digits
  hpmkd-edge distill --data adult.csv --label income --split split --compression 15
  hpmkd-edge distill --data photos.npz --teacher net.py:resnet56 --weights resnet56.pt --size 16x1
  hpmkd-edge distill --resume runs/digits-distilled-20260102-030405"""
)
@takes_request
def distill(
    context: typer.Context,
    request: Request,
    output: Annotated[
        Path | None, typer.Option(help="The run's folder. [default: runs/DATA-distilled-TIME]", metavar="DIR")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Take up an interrupted run.", metavar="DIR")] = None,
    format: Output = Format.TEXT,  # noqa: A002
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train and export a student, without a target and without measuring its latency."""
    before_a_run(context, resume, quiet=quiet, verbose=verbose)
    refuse_targets(context, "distill")
    request.check()

    from hpmkd_edge.distillation import distill as run
    from hpmkd_edge.distillation import distillation_output, resume_distillation
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.report.terminal import show_distilled

    folder = folder_of(output or distillation_output(request), resume)
    with stopped_at_once(folder), redirect_stdout(sys.stderr):
        distilled = run(request, output=folder) if resume is None else resume_distillation(resume)
    print(f"hpmkd-edge: the student is in {folder}", file=sys.stderr)
    with reader_may_leave():
        if format is Format.JSON:
            print(to_json(distilled))
        elif not quiet:
            show_distilled(distilled)


@app.command(
    epilog="""\b
Examples:
  hpmkd-edge ablate --seeds 5
  hpmkd-edge ablate --data adult.csv --label income --split split --arm full --arm plain-kd --arm direct
  hpmkd-edge ablate --resume runs/digits-ablation-20260102-030405"""
)
@takes_request
def ablate(
    context: typer.Context,
    request: Request,
    seeds: Annotated[int, typer.Option(help="Runs of each arm; an interval needs two.")] = 5,
    arm: Annotated[
        list[str] | None, typer.Option(help="Run these arms alone; repeatable. [default: all]", metavar="ARM")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="A folder for the evidence. [default: runs/DATA-ablation-TIME]", metavar="DIR")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Take up an interrupted ablation.", metavar="DIR")] = None,
    format: Output = Format.TEXT,  # noqa: A002
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Turn off each component in turn, and see what it is worth."""
    before_a_run(context, resume, quiet=quiet, verbose=verbose)
    refuse_targets(context, "ablate")
    request.check()

    from hpmkd_edge.ablation import ablate as run
    from hpmkd_edge.ablation import ablation_output, resume_ablation
    from hpmkd_edge.report.ablation_text import show
    from hpmkd_edge.report.machine import to_json

    folder = folder_of(output or ablation_output(request), resume)
    with stopped_at_once(folder):
        evidence = resume_ablation(resume) if resume else run(request, output=folder, seeds=seeds, arms=arm)
    print(f"hpmkd-edge: the evidence is in {folder}", file=sys.stderr)
    with reader_may_leave():
        if format is Format.JSON:
            print(to_json(evidence))
        elif not quiet:
            show(evidence)


@app.command(
    epilog="""\b
Examples:
  hpmkd-edge gate runs/first/report.json
  hpmkd-edge gate runs/first/report.json --profile jetson-profile.json
  hpmkd-edge gate runs/*/report.json --targets targets.yaml --format json"""
)
def gate(
    reports: Annotated[list[Path], typer.Argument(help="report.json of one run or several.", metavar="REPORT...")],
    targets: TargetsFile = None,
    profile: Annotated[
        list[Path] | None,
        typer.Option(help="A measurement of the same student, taken on the board; repeatable."),
    ] = None,
    format: Output = Format.TEXT,  # noqa: A002
) -> None:
    """End with the verdict's exit code: 0 met, 1 broken, 5 where a number is unknown or too noisy."""
    from hpmkd_edge.bench.profile import read_profile
    from hpmkd_edge.record import read_report
    from hpmkd_edge.report.gate import exit_code_of
    from hpmkd_edge.report.gate import gate as judge_again
    from hpmkd_edge.report.machine import verdicts_to_json
    from hpmkd_edge.report.terminal import show_verdicts
    from hpmkd_edge.targets import load_targets

    verdicts = judge_again(
        [read_report(path) for path in reports],
        targets=load_targets(targets) if targets else None,
        profiles=[read_profile(path) for path in profile or ()],
    )
    with reader_may_leave():
        if format is Format.JSON:
            print(verdicts_to_json(verdicts))
        else:
            show_verdicts(verdicts)
    raise typer.Exit(exit_code_of(verdicts))


@app.command(
    epilog="""\b
Examples:
  hpmkd-edge profile student.onnx --target host
  hpmkd-edge profile student.onnx --target jetson --protocol standard --output jetson-profile.json"""
)
def profile(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    target: Annotated[str, typer.Option(help="Whose runtime, threads and cost budgets to use.")] = "host",
    targets: TargetsFile = None,
    preprocessing: Annotated[
        Path | None, typer.Option(help="The ONNX file that runs before it, of a student in two.", metavar="FILE")
    ] = None,
    protocol: Annotated[str, typer.Option(help="How long to measure: quick, standard or mlperf.")] = "quick",
    output: Annotated[Path | None, typer.Option(help="Write the measurement here.", metavar="FILE")] = None,
    format: Output = Format.TEXT,  # noqa: A002
) -> None:
    """Measure a model file here, and judge what it costs; accuracy is the gate's."""
    from hpmkd_edge.bench.measurement import measure
    from hpmkd_edge.bench.profile import write_profile
    from hpmkd_edge.bench.protocol import SAMPLINGS
    from hpmkd_edge.bench.runtimes.feeds import feeds_of_file
    from hpmkd_edge.errors import unknown
    from hpmkd_edge.export.artifact import follows_another
    from hpmkd_edge.report.gate import exit_code_of
    from hpmkd_edge.report.machine import verdicts_to_json
    from hpmkd_edge.report.terminal import show_verdicts
    from hpmkd_edge.targets import find_target, load_targets
    from hpmkd_edge.verdict import judge_cost

    wanted = find_target(target, load_targets(targets))
    if protocol not in SAMPLINGS:
        raise unknown("protocol", protocol, SAMPLINGS)
    for path in filter(None, (model, preprocessing)):
        if not path.is_file():
            raise BadConfiguration(f"there is no file {path.absolute()}; an ONNX file is needed.")
    feeds = feeds_of_file(preprocessing or model)
    if preprocessing is None and follows_another(model):
        raise BadConfiguration(f"{model} is the second file of a student in two; --preprocessing is needed, the first.")
    measured = measure(
        model,
        runtime=wanted.runtime,
        feeds=feeds,
        sampling=SAMPLINGS[protocol],
        threads=wanted.threads,
        precision="fp32",
        preprocessing=preprocessing,
    )
    if output is not None:
        write_profile(measured, output)
    verdict = judge_cost(
        wanted,
        profile=measured,
        model_bytes=sum(path.stat().st_size for path in (model, preprocessing) if path is not None),
    )
    with reader_may_leave():
        if format is Format.JSON:
            print(verdicts_to_json([verdict]))
        else:
            show_verdicts([verdict])
    raise typer.Exit(exit_code_of([verdict]))


@targets_app.command("list")
def list_targets(targets: TargetsFile = None, format: Output = Format.TEXT) -> None:  # noqa: A002
    """List the targets by name."""
    from hpmkd_edge.report.catalog import targets_as_text
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.targets import load_targets

    known = load_targets(targets)
    with reader_may_leave():
        print(to_json(known) if format is Format.JSON else targets_as_text(known))


@targets_app.command("show")
def show_target(name: str, targets: TargetsFile = None, format: Output = Format.TEXT) -> None:  # noqa: A002
    """Show one target: its device's facts, runtime and budgets.

    Of a label that is a value, r2 and mae are judged; without r2, the max_drop of accuracy is read as R².
    """
    from hpmkd_edge.report.catalog import target_as_text
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.targets import find_target, load_targets

    found = find_target(name, load_targets(targets))
    with reader_may_leave():
        print(to_json(found) if format is Format.JSON else target_as_text(found))


@targets_app.command("check")
def check_targets(file: Annotated[Path, typer.Argument(help="A file in the form of targets.yaml.")]) -> None:
    """Check a file of targets: 0 if it can be used, else 2 with the line and the key."""
    from hpmkd_edge.targets import load_targets

    print(f"{file}: {len(load_targets(file))} targets can be used with it.")


@memory_app.command("show")
def show_memory(format: Output = Format.TEXT) -> None:  # noqa: A002
    """Say what is kept: teachers' answers, trainings, and what was tried on which task."""
    from hpmkd_edge.plan.memory import summarize
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.report.memory import summary_as_text
    from hpmkd_edge.store.opening import open_store

    summary = summarize(open_store())
    with reader_may_leave():
        print(to_json(summary) if format is Format.JSON else summary_as_text(summary))


@memory_app.command(
    "prune",
    epilog="""\b
Examples:
  hpmkd-edge memory prune --gb 2
  hpmkd-edge memory prune --trials 1000""",
)
def prune_memory(
    gb: Annotated[float | None, typer.Option(help="Keep at most so many GB of files, those used last.", min=0)] = None,
    trials: Annotated[int | None, typer.Option(help="Keep at most so many trials, the latest.", min=0)] = None,
) -> None:
    """Remove what was used longest ago."""
    from hpmkd_edge.plan.memory import Memory
    from hpmkd_edge.store.opening import open_store

    if gb is None and trials is None:
        raise BadConfiguration("nothing says how much to keep; give --gb, --trials, or both.")
    store = open_store()
    if gb is not None:
        print(f"{store.prune(round(gb * 1e9)) / 1e6:,.1f} MB of files were removed.")
    if trials is not None:
        print(f"{Memory(store.engine).prune(trials):,} trials were removed.")


def main() -> None:
    """Run the command line, and end with the exit code of what happened."""
    try:
        app()
    except EdgeError as error:
        # What a user's code has raised may hold codes that a terminal would obey.
        said = "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in str(error))
        print(f"hpmkd-edge: {said}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        # A full disk, a file taken away: whatever the system refuses in the middle of a run.
        print(f"hpmkd-edge: the system refused: {error}.", file=sys.stderr)
        sys.exit(4)
    except Exception:  # noqa: BLE001  a fault of ours, or of the user's own module: not 1, which says that a budget is broken
        traceback.print_exc()
        print("hpmkd-edge: failed as shown above, which nothing here foresaw.", file=sys.stderr)
        sys.exit(4)
