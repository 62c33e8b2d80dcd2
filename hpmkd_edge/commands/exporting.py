"""`export`: see whether a runtime of a board takes model files, and build its engine."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge.commands.options import Format, Output, TargetsFile
from hpmkd_edge.conduct import reader_may_leave
from hpmkd_edge.errors import BadConfiguration

EXAMPLES = """\b
Examples:
  hpmkd-edge export student.onnx --check tensorrt
  hpmkd-edge export student.onnx teacher.onnx --check tensorrt --target jetson --format json
  hpmkd-edge export student.onnx --check tensorrt --output student.engine"""


class Check(str, Enum):
    """The runtimes that a file can be tried in."""

    TENSORRT = "tensorrt"


def export(
    models: Annotated[list[Path], typer.Argument(help="ONNX files.", metavar="MODEL...")],
    check: Annotated[Check, typer.Option(help="Parse and build with the runtime that is here.")],
    target: Annotated[str | None, typer.Option(help="Whose memory a build may use a quarter of.")] = None,
    targets: TargetsFile = None,
    batch: Annotated[int, typer.Option(help="Rows of the largest batch.", min=1)] = 1,
    dla: Annotated[int | None, typer.Option(help="The DLA core that runs what it can.", metavar="CORE", min=0)] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option(help="Build for GPUs of this compute capability; TensorRT-RTX; repeatable.", metavar="8.9"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Save the engine here, its manifest beside.", metavar="FILE")
    ] = None,
    format: Output = Format.TEXT,  # noqa: A002
) -> None:
    """Try model files in a board's runtime: 0 if it takes and builds all of them, else 4 with what it refuses."""
    from hpmkd_edge.bench.building import Wish, try_to_build
    from hpmkd_edge.report.engines import outcomes_as_text, outcomes_to_json
    from hpmkd_edge.targets import find_target, load_targets

    assert check is Check.TENSORRT
    if output is not None and len(models) > 1:
        raise BadConfiguration(f"{len(models)} models and one --output were given; one model is needed for it.")
    memory_mb = find_target(target, load_targets(targets)).device.memory_mb if target else None
    outcomes = [
        try_to_build(
            Wish(
                model=model.absolute(),
                batch=batch,
                workspace_bytes=round(memory_mb * 1e6 / 4) if memory_mb else None,
                dla_core=dla,
                capabilities=tuple(capability or ()),
                output=output and output.absolute(),
            )
        )
        for model in models
    ]
    with reader_may_leave():
        print(outcomes_to_json(outcomes) if format is Format.JSON else outcomes_as_text(outcomes))
    raise typer.Exit(4 if any(one.failure for one in outcomes) else 0)
