"""`export`: a model file in another precision, and whether a board's runtime takes model files."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpmkd_edge.commands.options import Format, Output, Quiet, TargetsFile
from hpmkd_edge.conduct import reader_may_leave
from hpmkd_edge.errors import BadConfiguration, RuntimeUnavailable
from hpmkd_edge.flags import is_typed

if TYPE_CHECKING:
    from hpmkd_edge.bench.building import Outcome

EXAMPLES = """\b
Examples:
  hpmkd-edge export model.onnx --precision int8 --rows rows.npz --label y --output model-int8.onnx
  hpmkd-edge export model.onnx --precision fp16 --form tensorrt --output model-fp16.onnx --check tensorrt
  hpmkd-edge export student.onnx teacher.onnx --check tensorrt --target jetson --format json
  hpmkd-edge export student.onnx --check tensorrt --output student.engine"""

# What only one of the two does anything with.
OF_PRECISION = ("form", "rows", "label", "max_drop", "force")
OF_CHECK = ("target", "targets", "batch", "dla", "capability")


class Check(str, Enum):
    """The runtimes that a file can be tried in."""

    TENSORRT = "tensorrt"


class Precision(str, Enum):
    """What a file in fp32 can be made to."""

    FP16 = "fp16"
    INT8 = "int8"


class Form(str, Enum):
    """Whom a file is for."""

    X86 = "x86"
    TENSORRT = "tensorrt"


def export(
    context: typer.Context,
    models: Annotated[list[Path], typer.Argument(help="ONNX files; one with --precision.", metavar="MODEL...")],
    precision: Annotated[
        Precision | None, typer.Option(help="Write the model in this precision, beside its own answers and time.")
    ] = None,
    form: Annotated[Form, typer.Option(help="Whose int8 it is, and whose runtime times it.")] = Form.X86,
    rows: Annotated[
        Path | None,
        typer.Option(
            help="Arrays by the names of the model's inputs, N rows each: int8 is calibrated on one half.",
            metavar="FILE.npz",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="The array of labels in --rows. [default: grade by the model's own answers]", metavar="NAME"),
    ] = None,
    max_drop: Annotated[
        float, typer.Option(help="Accuracy, agreement or R² that may be lost, as a share.", metavar="SHARE")
    ] = 0.005,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="The sizes of an open input, as ids=64,128, for --check and without --rows; repeatable.",
            metavar="NAME=SIZES",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file at --output.")] = False,
    check: Annotated[Check | None, typer.Option(help="Parse and build with the runtime that is here.")] = None,
    target: Annotated[str | None, typer.Option(help="Whose memory a build may use a quarter of.")] = None,
    targets: TargetsFile = None,
    batch: Annotated[int, typer.Option(help="Rows of the largest batch of a build.", min=1)] = 1,
    dla: Annotated[int | None, typer.Option(help="The DLA core that runs what it can.", metavar="CORE", min=0)] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option(help="Build for GPUs of this compute capability; TensorRT-RTX; repeatable.", metavar="8.9"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The new .onnx file; with --check alone the .engine, its manifest beside.", metavar="FILE"),
    ] = None,
    format: Output = Format.TEXT,  # noqa: A002
    quiet: Quiet = False,
) -> None:
    """Write a model in fp16 or int8, with --precision, or try files in a board's runtime, with --check, or both.

    0 if written, taken and built; 1 if a file loses more than --max-drop and was not written; 4 if one answers
    otherwise than the model, or is refused by the runtime.
    """
    from hpmkd_edge.bench.building import Wish, try_to_build
    from hpmkd_edge.bench.profile import Shape
    from hpmkd_edge.bench.runtimes import tensor_rt
    from hpmkd_edge.bench.runtimes.feeds import parse_shapes
    from hpmkd_edge.json_file import lay_out
    from hpmkd_edge.progress import hide_bars
    from hpmkd_edge.report.engines import outcomes_as_json, outcomes_as_text
    from hpmkd_edge.report.export_text import exported_as_json, exported_grid, notes_of, title_of
    from hpmkd_edge.report.terminal import open_console, say, show_grid
    from hpmkd_edge.targets import find_target, load_targets

    if precision is None and check is None:
        raise BadConfiguration("nothing was asked for; --precision fp16 or int8, --check tensorrt, or both are needed.")
    for name in [*(OF_PRECISION if precision is None else ()), *(OF_CHECK if check is None else ())]:
        if is_typed(context, name):
            needed = "--check" if name in OF_CHECK else "--precision"
            raise BadConfiguration(f"--{name.replace('_', '-')} was given without {needed}, which it belongs to.")
    if output is not None and len(models) > 1:
        raise BadConfiguration(f"{len(models)} models and one --output were given; one model is needed for it.")
    if quiet:
        hide_bars()
    shapes = parse_shapes(shape or ())
    memory_mb = None
    if check is not None:  # asked for before minutes are spent on a file
        memory_mb = find_target(target, load_targets(targets)).device.memory_mb if target else None
        reason = tensor_rt.cannot_build()
        if reason:
            raise RuntimeUnavailable(f"TensorRT cannot build here: {reason}")
    made = None
    if precision is not None:
        if output is None or len(models) > 1:
            given = "no" if output is None else "one"
            raise BadConfiguration(f"{len(models)} models and {given} --output were given; one of each is needed.")
        from hpmkd_edge.exporting import ExportWish
        from hpmkd_edge.exporting import export as make

        made = make(
            ExportWish(
                model=models[0],
                output=output,
                precision=precision.value,
                form=form.value,
                rows=rows,
                label=label,
                max_drop=max_drop,
                shapes=shapes,
                force=force,
            )
        )
        if made.output is not None:
            models, output = [output], None
    outcomes: list[Outcome] = []
    if check is not None and (made is None or made.output is not None):
        outcomes = [
            try_to_build(
                Wish(
                    model=model.absolute(),
                    batch=batch,
                    shapes=tuple(Shape(name=name, sizes=sizes) for name, sizes in shapes.items()),
                    workspace_bytes=round(memory_mb * 1e6 / 4) if memory_mb else None,
                    dla_core=dla,
                    capabilities=tuple(capability or ()),
                    output=output and output.absolute(),
                )
            )
            for model in models
        ]
    code = 4 if any(one.failure for one in outcomes) else made.exit_code if made else 0
    with reader_may_leave():
        if format is Format.JSON:
            tried = outcomes_as_json(outcomes)
            if made is not None:
                tried = {**exported_as_json(made), "exit_code": code, "check": tried if check else None}
            print(lay_out(tried))
        else:
            if made is not None and not quiet:
                console = open_console()
                say(console, title_of(made), "bold")
                show_grid(console, exported_grid(made))
                for note in notes_of(made):
                    say(console, f"• {note}")
            if outcomes:
                print(outcomes_as_text(outcomes))
    raise typer.Exit(code)
