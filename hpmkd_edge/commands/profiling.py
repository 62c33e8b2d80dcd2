"""`profile`: measure one model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge.commands.options import Format, Output, TargetsFile
from hpmkd_edge.conduct import reader_may_leave
from hpmkd_edge.errors import BadConfiguration

EXAMPLES = """\b
Examples:
  hpmkd-edge profile student.onnx --target host
  hpmkd-edge profile student.onnx --target jetson --protocol standard --output jetson-profile.json"""


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
