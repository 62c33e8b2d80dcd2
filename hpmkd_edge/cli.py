"""The command line: parse, call one function, turn errors into exit codes."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge import __version__
from hpmkd_edge.errors import BadConfiguration, EdgeError

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
def compress(
    context: typer.Context,
    target: Annotated[list[str] | None, typer.Option(help="What it must fit; repeatable. [default: jetson]")] = None,
    targets: TargetsFile = None,
    data: Annotated[
        str, typer.Option(help="'digits', a .csv, .tsv, .parquet or .npz file, or a folder of class folders.")
    ] = "digits",
    label: Annotated[str | None, typer.Option(help="The column, or NPZ array, to predict.")] = None,
    split: Annotated[
        str | None, typer.Option(help="The column that says train, validation or test.", metavar="COLUMN")
    ] = None,
    split_seed: Annotated[int, typer.Option(help="Of the split, where the data has none of its own.")] = 0,
    teacher: Annotated[
        list[str] | None,
        typer.Option(help="file.py:function, .pt2, .onnx, .skops, or logits (.npy, .npz, .csv); repeatable."),
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="Weights of a file.py:function teacher, in the same order.")
    ] = None,
    normalize: Annotated[
        str | None,
        typer.Option(help="Teachers' input: unit, imagenet, cifar10, none, or MEAN,…/STD,… a channel."),
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Load pickles, which may run any code.")] = False,
    student: Annotated[
        str | None, typer.Option(help="mlp, residual, depthwise, or file.py:function. [default: by the data]")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="The student's width and depth, such as 16x1. [default: the largest that fits]")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The run's folder. [default: runs/DATA-TARGET-TIME]", metavar="DIR")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    rounds: Annotated[int, typer.Option(help="Most turns of train, measure, resize.")] = 3,
    epochs: Annotated[int | None, typer.Option(help="Of each training. [default: by the rows]")] = None,
    views: Annotated[
        int | None,
        typer.Option(help="Shifted copies of the images, each labeled by the teacher. [default: by the rows]"),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Views may be mirrored (photographs, not digits).")] = False,
    mixup: Annotated[
        bool, typer.Option("--mixup", help="Views are mixtures, labeled by the teacher as they are.")
    ] = False,
    method: Annotated[
        str | None, typer.Option(help="kd, logit_mse, brier, dist, dkd, lskd or wttm. [default: by the task]")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Of that loss. [default: by the loss]")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="How it moves: constant, cosine, loss, convergence, gap or auto. [default: by the memory]"),
    ] = None,
    stages: Annotated[
        str, typer.Option(help="Losses one after the other, such as fitnet,kd, as a rival of one stage.")
    ] = "",
    stage_weighting: Annotated[
        str, typer.Option(help="Rows that stay near the stage before: inverse, tcp or uniform.")
    ] = "inverse",
    student_tap: Annotated[
        str | None, typer.Option(help="Module whose output a stage by features reads. [default: the last maps]")
    ] = None,
    teacher_tap: Annotated[str | None, typer.Option(help="The same, of the teacher.")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Turn off configuration, chain, attention, temperature, parallel or memory; repeatable.",
            metavar="COMPONENT",
        ),
    ] = None,
    accept_weak_teacher: Annotated[
        bool,
        typer.Option("--accept-weak-teacher", help="Go on with a teacher no better than the student on labels alone."),
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Trainings side by side. [default: one a core]")] = None,
    compression: Annotated[float, typer.Option(help="At least so many times smaller than the teacher.")] = 10.0,
    protocol: Annotated[str, typer.Option(help="How long to measure: quick, standard or mlperf.")] = "quick",
    device: Annotated[str, typer.Option(help="Train on auto, cpu or cuda.")] = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="End with 5 where a budget is inconclusive.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Take up an interrupted run.", metavar="DIR")] = None,
    format: Output = Format.TEXT,  # noqa: A002
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Hand in a trained model and a board; get a smaller model that fits, with the proof."""
    from hpmkd_edge.request import Request

    if resume is not None:
        _refuse_beside_resume(context)
    if quiet:
        os.environ["TQDM_DISABLE"] = "1"
    if verbose:
        logging.basicConfig(level=logging.WARNING, format="hpmkd-edge: %(message)s")
        logging.getLogger("hpmkd_edge").setLevel(logging.INFO)
    request = Request(
        data=data,
        label=label,
        split=split,
        split_seed=split_seed,
        teachers=tuple(teacher or ()),
        weights=tuple(weights or ()),
        normalize=normalize,
        trust=trust,
        student=student,
        size=size,
        targets=tuple(target or ("jetson",)),
        targets_file=str(targets) if targets else None,
        seed=seed,
        rounds=rounds,
        epochs=epochs,
        views=views,
        flip=flip,
        mixup=mixup,
        method=method,
        temperature=temperature,
        schedule=schedule,
        stages=stages,
        stage_weighting=stage_weighting,
        student_tap=student_tap,
        teacher_tap=teacher_tap,
        without=tuple(without or ()),
        accept_weak_teacher=accept_weak_teacher,
        workers=workers,
        compression=compression,
        protocol=protocol,
        device=device,
        command=shlex.join(["hpmkd-edge", *sys.argv[1:]]),
    )
    request.check()

    from hpmkd_edge.compress import compress as run
    from hpmkd_edge.compress import resume as take_up
    from hpmkd_edge.report.gate import exit_code_of
    from hpmkd_edge.report.machine import reports_to_json
    from hpmkd_edge.report.terminal import show
    from hpmkd_edge.run_folder import PARTIAL, default_output

    folder = output or default_output(request) if resume is None else Path(str(resume).removesuffix(PARTIAL))
    try:
        reports = run(request, output=folder) if resume is None else take_up(resume)
    except KeyboardInterrupt:
        print(f"hpmkd-edge: stopped at once; what was saved can be taken up: --resume {folder}", file=sys.stderr)
        raise typer.Exit(130) from None
    print(f"hpmkd-edge: the run is in {folder}", file=sys.stderr)
    with _reader_may_leave():
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
    with _reader_may_leave():
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
    from hpmkd_edge.report.gate import exit_code_of
    from hpmkd_edge.report.machine import verdicts_to_json
    from hpmkd_edge.report.terminal import show_verdicts
    from hpmkd_edge.targets import find_target, load_targets
    from hpmkd_edge.verdict import judge_cost

    wanted = find_target(target, load_targets(targets))
    if protocol not in SAMPLINGS:
        raise unknown("protocol", protocol, SAMPLINGS)
    if not model.is_file():
        raise BadConfiguration(f"there is no file {model.absolute()}; an ONNX file is needed.")
    measured = measure(
        model,
        runtime=wanted.runtime,
        feeds=feeds_of_file(model),
        sampling=SAMPLINGS[protocol],
        threads=wanted.threads,
        precision="fp32",
    )
    if output is not None:
        write_profile(measured, output)
    verdict = judge_cost(wanted, profile=measured, model_bytes=model.stat().st_size)
    with _reader_may_leave():
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
    with _reader_may_leave():
        print(to_json(known) if format is Format.JSON else targets_as_text(known))


@targets_app.command("show")
def show_target(name: str, targets: TargetsFile = None, format: Output = Format.TEXT) -> None:  # noqa: A002
    """Show one target: its device's facts, runtime and budgets."""
    from hpmkd_edge.report.catalog import target_as_text
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.targets import find_target, load_targets

    found = find_target(name, load_targets(targets))
    with _reader_may_leave():
        print(to_json(found) if format is Format.JSON else target_as_text(found))


@targets_app.command("check")
def check_targets(file: Annotated[Path, typer.Argument(help="A file in the form of targets.yaml.")]) -> None:
    """Check a file of targets: 0 if it can be used, else 2 with the line and the key."""
    from hpmkd_edge.targets import load_targets

    print(f"{file}: {len(load_targets(file))} targets can be used with it.")


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Let the reader of stdout close it, as `| head` does, without a complaint and without another exit code."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich turns the one into the other
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse_beside_resume(context: typer.Context) -> None:
    """Stop where a flag of the run is given again: it would be ignored for the one that the run was started with."""
    free = {"resume", "strict", "format", "quiet", "verbose"}
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in free and getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if given:
        raise BadConfiguration(
            f"{', '.join(given)} cannot go with --resume, which takes up a run as it was asked for; start a new run."
        )


def main() -> None:
    """Run the command line, and end with the exit code of what happened."""
    try:
        app()
    except EdgeError as error:
        print(f"hpmkd-edge: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        # A full disk, a file taken away: whatever the system refuses in the middle of a run.
        print(f"hpmkd-edge: the system refused: {error}.", file=sys.stderr)
        sys.exit(4)
    except Exception:  # noqa: BLE001  a fault of ours, or of the user's own module: not 1, which says that a budget is broken
        traceback.print_exc()
        print("hpmkd-edge: failed as shown above, which nothing here foresaw.", file=sys.stderr)
        sys.exit(4)
