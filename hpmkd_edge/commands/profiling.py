"""`profile`: measure one model file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge.commands.options import Format, Output, TargetsFile
from hpmkd_edge.conduct import reader_may_leave
from hpmkd_edge.errors import BadConfiguration

EXAMPLES = """\b
Examples:
  hpmkd-edge profile student.onnx --target host
  hpmkd-edge profile student.onnx --target jetson --protocol standard --output jetson-profile.json
  hpmkd-edge profile student.onnx --target jetson --host ssh://me@jetson.local
  hpmkd-edge profile text.onnx --shape ids=1,128 --shape mask=1,128
  hpmkd-edge profile student.onnx --preprocessing tokenizer.json --text 'not a word too much'"""


def profile(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    target: Annotated[str, typer.Option(help="Whose runtime, threads and cost budgets to use.")] = "host",
    targets: TargetsFile = None,
    preprocessing: Annotated[
        Path | None,
        typer.Option(help="What runs before it, of a student in two: an .onnx or a tokenizer.json.", metavar="FILE"),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="The sentence to time. [default: 32 pieces of the tokenizer's words]")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(help="The sizes of an input whose axes are open, as ids=1,128; repeatable.", metavar="NAME=SIZES"),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Measure there; without it, at the target's own host.", metavar="ssh://USER@BOARD[:PORT]"),
    ] = None,
    protocol: Annotated[str, typer.Option(help="How long to measure: quick, standard or mlperf.")] = "quick",
    output: Annotated[Path | None, typer.Option(help="Write the measurement here.", metavar="FILE")] = None,
    no_history: Annotated[bool, typer.Option("--no-history", help="Keep nothing in the history.")] = False,
    format: Output = Format.TEXT,  # noqa: A002
) -> None:
    """Measure a model file here or on a board, and judge what it costs; accuracy is the gate's."""
    from hpmkd_edge.bench.measurement import measure
    from hpmkd_edge.bench.profile import write_profile
    from hpmkd_edge.bench.protocol import SAMPLINGS
    from hpmkd_edge.bench.runtimes.feeds import feeds_of_student, parse_shapes
    from hpmkd_edge.errors import unknown
    from hpmkd_edge.export.artifact import follows_another, is_tokenizer, precision_of
    from hpmkd_edge.export.inspection import inspect_file
    from hpmkd_edge.history import entry_of, keep
    from hpmkd_edge.report.gate import exit_code_of
    from hpmkd_edge.report.machine import verdicts_to_json
    from hpmkd_edge.report.terminal import show_verdicts
    from hpmkd_edge.targets import find_target, load_targets
    from hpmkd_edge.verdict import judge_cost

    wanted = find_target(target, load_targets(targets))
    if protocol not in SAMPLINGS:
        raise unknown("protocol", protocol, SAMPLINGS)
    for path in filter(None, (model, preprocessing)):
        if not path.exists():
            raise BadConfiguration(f"there is no file {path.absolute()}; an ONNX file is needed.")
        if not (path is preprocessing and is_tokenizer(path)):
            inspect_file(path)
    if preprocessing is None and follows_another(model):
        raise BadConfiguration(f"{model} is the second file of a student in two; --preprocessing is needed, the first.")
    feeds = feeds_of_student(model, preprocessing, shapes=parse_shapes(shape or ()), text=text)
    measured = measure(
        model,
        runtime=wanted.runtime,
        feeds=feeds,
        sampling=SAMPLINGS[protocol],
        threads=wanted.threads,
        precision=precision_of(model),
        preprocessing=preprocessing,
        host=host or wanted.host,
    )
    if output is not None:
        write_profile(measured, output)
    if not no_history:
        logging.basicConfig(level=logging.WARNING, format="hpmkd-edge: %(message)s")
        keep(entry_of(measured, target=wanted))
    verdict = judge_cost(wanted, profile=measured, model_bytes=measured.model_bytes)
    with reader_may_leave():
        if format is Format.JSON:
            print(verdicts_to_json([verdict]))
        else:
            show_verdicts([verdict])
    raise typer.Exit(exit_code_of([verdict]))
