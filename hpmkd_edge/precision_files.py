"""A model's file in another precision, to be timed: made by the passes of `export`, once for each form."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hpmkd_edge.bench.runtimes import onnx_runtime
from hpmkd_edge.bench.runtimes.feeds import feeds_for
from hpmkd_edge.errors import ConversionFailed, MeasurementFailed, ParityBroken
from hpmkd_edge.export.passes.calibration import told
from hpmkd_edge.export.passes.fold import fold
from hpmkd_edge.export.passes.half import halve
from hpmkd_edge.export.passes.quantize import Form, observe, write_int8
from hpmkd_edge.exporting import MADE_UP_ROWS, ExportWish, export
from hpmkd_edge.targets import Precision

AS_IT_IS: Final = "as it is"
HALVED: Final = "weights and inner values in float16"
MADE_UP: Final = "calibrated on made-up values"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionFile:
    """A file to time, or why there is none.

    Attributes:
        how: a phrase: "as it is", "calibrated by entropy on 512 rows", …; None where there is none.
        reason: why there is none, in a sentence; *failed* where making it went wrong.
    """

    path: Path | None
    how: str | None
    reason: str | None = None
    failed: bool = False


@dataclass(slots=True, kw_only=True)
class Maker:
    """Makes files in a folder, each once.

    Attributes:
        rows: an .npz to calibrate int8 on; None for made-up values, on which no answer can be trusted.
        shapes: of inputs whose axes are open, to make values up.
    """

    folder: Path
    rows: Path | None
    shapes: Mapping[str, tuple[int, ...]]
    _made: dict[tuple[Path, Precision, Form], PrecisionFile] = field(default_factory=dict)

    def file(self, model: Path, own: Precision, wanted: Precision, form: Form) -> PrecisionFile:
        """Return the file of *model* in the *wanted* precision.

        Args:
            model: an inspected ONNX file.
            own: the precision that it carries.
            wanted: int8, fp16, or its own.
            form: whom an int8 file is for.
        """
        if wanted == own:
            return PrecisionFile(path=model, how=AS_IT_IS)
        if own != "fp32":
            reason = f"{model.name} is of {own} already; an fp32 file is needed to make {wanted} of."
            return PrecisionFile(path=None, how=None, reason=reason)
        key = (model, wanted, form)
        if key not in self._made:
            try:
                self._made[key] = self._make(model, wanted, form)
            except (ConversionFailed, MeasurementFailed, ParityBroken) as error:
                self._made[key] = _none(f"{wanted} cannot be made of {model.name}: {error}", failed=True)
        return self._made[key]

    def _make(self, model: Path, wanted: Precision, form: Form) -> PrecisionFile:
        # Two models may share a name, which the record of a measurement shows.
        folder = self.folder / str(len(self._made))
        folder.mkdir()
        output = folder / f"{model.stem}-{wanted}.onnx"
        if wanted == "int8" and self.rows is not None:
            return self._calibrated(model, output, form, self.rows)
        with tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as name:
            folded = Path(name) / model.name
            fold(model, folded)
            if wanted == "fp16":
                halve(folded, output)
                return PrecisionFile(path=output, how=HALVED)
            inputs = onnx_runtime.inputs(model)
            names = {one.name for one in inputs}
            shapes = {name: sizes for name, sizes in self.shapes.items() if name in names}
            fixed = next((one.shape[0] for one in inputs if one.shape and one.shape[0] is not None), None)
            made_up = feeds_for(inputs, batch=fixed or MADE_UP_ROWS, shapes=shapes)
            write_int8(observe(folded, made_up, form), output, calibration="minmax")
        return PrecisionFile(path=output, how=MADE_UP)

    def _calibrated(self, model: Path, output: Path, form: Form, rows: Path) -> PrecisionFile:
        # The matrix times it, in turn with all others.
        made = export(ExportWish(model=model, output=output, precision="int8", form=form, rows=rows, timed=False))
        assert made.quantized is not None
        assert made.grade is not None
        if made.output is None:
            return _none(
                f"int8 of {model.name} loses {100 * made.grade.drop:.2f} points of {made.grade.measure} on"
                f" {made.grade.rows} rows; at most {100 * made.grade.max_drop:g} may be lost."
            )
        kept = (
            f", {len(made.quantized.kept)} of {made.quantized.layers} layers in float32" if made.quantized.kept else ""
        )
        return PrecisionFile(
            path=output,
            how=f"{told(made.quantized.calibration)} on {made.quantized.calibration_rows} rows{kept}",
        )


def _none(reason: str, *, failed: bool = False) -> PrecisionFile:
    return PrecisionFile(path=None, how=None, reason=reason, failed=failed)
