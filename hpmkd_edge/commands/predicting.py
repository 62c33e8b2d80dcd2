"""`predict`: the latency of a model file on a device that isn't here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpmkd_edge.commands.options import Format, Output, TargetsFile
from hpmkd_edge.conduct import reader_may_leave

EXAMPLES = """\b
Examples:
  hpmkd-edge predict student.onnx --target rpi4
  hpmkd-edge predict student.onnx --target jetson --records jetson-profiles --format json
  hpmkd-edge predict text.onnx --target rpi5 --shape ids=1,128"""


def predict(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    target: Annotated[str, typer.Option(help="The device and runtime that it is for.")],
    targets: TargetsFile = None,
    records: Annotated[
        Path | None,
        typer.Option(help="Profiles of at least 5 models taken on the device, with their ONNX files.", metavar="DIR"),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(help="The sizes of an input whose axes are open, as ids=1,128; repeatable.", metavar="NAME=SIZES"),
    ] = None,
    format: Output = Format.TEXT,  # noqa: A002
) -> None:
    """Predict the median latency on a device that isn't here; 0 with a number and its 90 % interval, 5 if unknown."""
    from hpmkd_edge.bench.prediction import calibrations_of, features_of, read_records
    from hpmkd_edge.bench.prediction import predict as predict_from
    from hpmkd_edge.bench.runtimes.feeds import feeds_of_file, parse_shapes
    from hpmkd_edge.bench.transferred import transfer
    from hpmkd_edge.export.inspection import inspect_file
    from hpmkd_edge.report.machine import to_json
    from hpmkd_edge.report.prediction_text import prediction_as_text
    from hpmkd_edge.targets import find_target, load_targets
    from hpmkd_edge.verdict import Provenance, provenance_of

    wanted = find_target(target, load_targets(targets))
    inspect_file(model)
    feeds = feeds_of_file(model, shapes=parse_shapes(shape or ()))
    features = features_of(model, {name: array.shape for name, array in feeds.items()})
    if records is None:
        prediction = transfer(features, wanted)
    else:
        found = read_records(records)
        for _, path in found:
            inspect_file(path)
        # Of another machine, mode, runtime or number of threads: no calibration of this target.
        prediction = predict_from(
            features,
            calibrations_of([one for one in found if provenance_of(one[0], wanted) is Provenance.MEASURED]),
        )
    with reader_may_leave():
        if format is Format.JSON:
            print(to_json({"target": target, "model": model.name, "features": features, "prediction": prediction}))
        else:
            print(prediction_as_text(prediction, target))
    raise typer.Exit(5 if prediction.provenance == "unknown" else 0)
