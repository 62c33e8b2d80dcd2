"""The command line: parse, call one function, turn errors into exit codes."""

from __future__ import annotations

import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge import __version__
from hpmkd_edge.commands import (
    benching,
    doctoring,
    exporting,
    finetuning,
    gating,
    memory,
    planning,
    predicting,
    profiling,
    reporting,
    schemas,
    targets,
)
from hpmkd_edge.commands.options import Format, Output, Quiet, Verbose
from hpmkd_edge.conduct import (
    before_a_run,
    escape_unencodable,
    folder_of,
    reader_may_leave,
    refuse,
    refuse_targets,
    stopped_at_once,
)
from hpmkd_edge.errors import EdgeError
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
app.add_typer(targets.app, name="targets")
app.add_typer(memory.app, name="memory")
app.add_typer(benching.app, name="bench")
app.add_typer(schemas.app, name="schemas")


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
    refuse(context, "ablate", ("log",), "which trains many runs and writes one record of all")
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


app.command(epilog=gating.EXAMPLES)(gating.gate)
app.command(epilog=reporting.EXAMPLES)(reporting.report)
app.command(epilog=profiling.EXAMPLES)(profiling.profile)
app.command(epilog=planning.EXAMPLES)(planning.plan)
app.command(epilog=predicting.EXAMPLES)(predicting.predict)
app.command(epilog=exporting.EXAMPLES)(exporting.export)
app.command(epilog=finetuning.EXAMPLES)(finetuning.finetune)
app.command(epilog=doctoring.EXAMPLES)(doctoring.doctor)


def main() -> None:
    """Run the command line, and end with the exit code of what happened."""
    escape_unencodable()
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
