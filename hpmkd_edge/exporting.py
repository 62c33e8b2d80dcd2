"""Any ONNX file in half precision or in eight bits: made, compared with its own fp32 file, graded, timed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hpmkd_edge.bench.change import change_between
from hpmkd_edge.bench.fidelity import Standard, standard_of
from hpmkd_edge.bench.isolation import isolated
from hpmkd_edge.bench.measurement import compare
from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.bench.runtimes import onnx_runtime
from hpmkd_edge.bench.runtimes.choose import RUNTIMES
from hpmkd_edge.bench.runtimes.feeds import feeds_for
from hpmkd_edge.bench.runtimes.runtime import Feeds, Input
from hpmkd_edge.bench.scoring import outputs
from hpmkd_edge.errors import BadConfiguration, BadData, BadOutput, MeasurementFailed
from hpmkd_edge.export.artifact import Parity, precision_of
from hpmkd_edge.export.inspection import inspect_file, weight_files
from hpmkd_edge.export.layer_parity import Divergence, differing_node
from hpmkd_edge.export.parity import settle
from hpmkd_edge.export.passes.fold import fold
from hpmkd_edge.export.passes.half import halve
from hpmkd_edge.export.passes.quantize import Form
from hpmkd_edge.export.precision import Int8, best_int8
from hpmkd_edge.export.text_graph import DOMAIN, takes_strings
from hpmkd_edge.exported import Exported, Grade, Precision, Quantized, Timing
from hpmkd_edge.labeled_rows import LabeledRows, read_rows
from hpmkd_edge.progress import hidden
from hpmkd_edge.tasks.values import Scale

RUNTIME_OF: Final[dict[Form, str]] = {"x86": "onnxruntime", "tensorrt": "tensorrt"}
CALIBRATION_ROWS: Final = 512
MADE_UP_ROWS: Final = 64
ROWS_A_RUN: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportWish:
    """What is to be made of a model file.

    Attributes:
        model: an ONNX file in fp32.
        output: of the new file, an .onnx that does not exist, unless *force*.
        form: whom an int8 file is for; the runtime of either precision to be timed in.
        rows: an .npz with an array for each input of the model; None for made-up values, of fp16 only.
        label: the array of *rows* that holds labels.
        max_drop: how much of the score may be lost.
        shapes: of inputs whose axes are open, to make values up.
        timed: whether both files are timed, which takes seconds.
    """

    model: Path
    output: Path
    precision: Precision
    form: Form = "x86"
    rows: Path | None = None
    label: str | None = None
    max_drop: float = 0.005
    shapes: Mapping[str, tuple[int, ...]] | None = None
    force: bool = False
    timed: bool = True


def export(wish: ExportWish) -> Exported:
    """Make the file that is wished for, and write it if it answers well enough: whole or not at all.

    int8 is calibrated on half of the rows and graded on the others; fp16 is graded on all. Files are graded in ONNX
    Runtime, each in a process of its own.

    Raises:
        BadConfiguration: the wish cannot be, or the model must not be handed to a runtime.
        BadData: the rows or labels do not fit the model.
        BadOutput: the file cannot be written.
        ConversionFailed: the model has nothing to change, or cannot be run.
        MeasurementFailed: a file cannot be run or timed.
        ParityBroken: the new file does not answer as the model does; the first layer that differs is named.
    """
    _check(wish)
    inputs = onnx_runtime.inputs(wish.model)
    fixed = next((one.shape[0] for one in inputs if one.shape and one.shape[0] is not None), None)
    rows = _rows_of(wish, inputs, fixed)
    calibration, graded = _split(rows, fixed) if wish.precision == "int8" else (rows, rows)
    bar = tqdm(total=5, desc="folding", unit="step", disable=hidden(), leave=False)
    with tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as name, bar:
        folded, made = Path(name) / "folded.onnx", Path(name) / wish.output.name
        fold(wish.model, folded)
        _step(bar, "answers of the fp32 file")
        trial = _trial_of(wish, graded, fixed)
        _step(bar, f"making {wish.precision}")
        quantized = None
        if wish.precision == "fp16":
            halve(folded, made)
        else:
            few = calibration.evenly(CALIBRATION_ROWS).feeds
            found = best_int8(
                folded, made, feeds=few, form=wish.form, loss_of=trial.grade, most_drop=_room(wish, trial, folded)
            )
            quantized = _quantized(found, len(next(iter(few.values()))))
        _step(bar, "comparing")
        answers = trial.answers(made)
        parity = _compared(trial, wish, made, folded, answers)
        grade = None if wish.rows is None else _grade(trial, answers, wish.max_drop)
        _step(bar, "timing")
        one = {key: array[: fixed or 1] for key, array in graded.feeds.items()}
        not_timed = _not_timed(wish)
        timing = None if not_timed else _timed(wish, made, one)
        written = grade is None or grade.fits
        size = made.stat().st_size
        if written:
            _place(made, wish)
    return Exported(
        model=str(wish.model),
        output=str(wish.output) if written else None,
        precision=wish.precision,
        form=wish.form,
        model_bytes=sum(file.stat().st_size for file in (wish.model, *weight_files(wish.model))),
        bytes=size,
        parity=parity,
        made_up=wish.rows is None,
        grade=grade,
        quantized=quantized,
        timing=timing,
        not_timed=not_timed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """Rows that files are graded on, and what they are graded by.

    Attributes:
        fixed: rows that the model takes at once; None where their number is free.
    """

    feeds: Feeds
    fixed: int | None
    standard: Standard

    def answers(self, path: Path) -> NDArray[np.float32]:
        """Return a file's answers as probabilities or values, from a process of its own."""
        return self.standard.read(_answers(path, self.feeds, self.fixed or ROWS_A_RUN))

    def grade(self, path: Path) -> tuple[float, float]:
        """Return a file's score and loss."""
        return self.standard.grade(self.answers(path))


def _answers(path: Path, feeds: Feeds, batch: int) -> NDArray[np.float32]:
    return isolated(partial(outputs, batch=batch), path, feeds)


def _step(bar: tqdm[Any], name: str) -> None:
    bar.update()
    bar.set_description(name)


def _check(wish: ExportWish) -> None:
    """Stop before any work where the end is known."""
    if wish.output.suffix != ".onnx":
        raise BadConfiguration(f"--output {wish.output} was asked for; a name that ends in .onnx is needed.")
    if not wish.output.parent.is_dir():
        raise BadOutput(f"there is no folder {wish.output.parent.absolute()}; it is needed to write the file.")
    inspect_file(wish.model)
    if wish.output.exists():
        if wish.output.samefile(wish.model):
            raise BadConfiguration(f"--output {wish.output} is the model itself; another name is needed.")
        if not wish.force or wish.output.is_dir():
            raise BadOutput(f"{wish.output} exists; another --output, or --force to replace a file, is needed.")
    if not 0 <= wish.max_drop <= 1:
        raise BadConfiguration(f"--max-drop is {wish.max_drop:g}; a share from 0 to 1 is needed, as 0.005.")
    if wish.rows is None and (wish.precision == "int8" or wish.label is not None):
        what = "int8 is calibrated and graded" if wish.label is None else f"the labels {wish.label!r} are"
        raise BadConfiguration(
            f"{what} on real rows; --rows FILE.npz is needed, with an array for each input of {wish.model.name}."
        )
    if wish.precision == "int8" and takes_strings(wish.model):
        raise BadConfiguration(
            f"{wish.model.name} reads text by operators of {DOMAIN}, which int8 cannot be calibrated through; the file"
            " behind them, which has the weights, is needed, as student.onnx beside student-text.onnx."
        )
    carried = precision_of(wish.model)
    if carried != "fp32":
        raise BadConfiguration(f"{wish.model.name} is of {carried} already; an fp32 file is needed.")


def _rows_of(wish: ExportWish, inputs: tuple[Input, ...], fixed: int | None) -> LabeledRows:
    if wish.rows is not None:
        return read_rows(wish.rows, inputs, label=wish.label).whole(fixed or 1)
    # Of each axis 0 that is open at least: an input may well fix its own.
    return LabeledRows(feeds=feeds_for(inputs, batch=fixed or MADE_UP_ROWS, shapes=wish.shapes), labels=None)


def _split(rows: LabeledRows, fixed: int | None) -> tuple[LabeledRows, LabeledRows]:
    """Return the half to calibrate on and the half to grade by, drawn at random, always the same."""
    step = fixed or 1
    half = len(rows) // (2 * step) * step
    if not half:
        raise BadData(f"{len(rows)} rows were given; {2 * step} are needed, half of them to calibrate int8 on.")
    order = np.random.default_rng(0).permutation(len(rows))
    return rows.take(np.sort(order[:half])), rows.take(np.sort(order[half:])).whole(step)


def _trial_of(wish: ExportWish, rows: LabeledRows, fixed: int | None) -> _Trial:
    answers = _answers(wish.model, rows.feeds, fixed or ROWS_A_RUN)
    standard = standard_of(answers, rows.labels, graded=wish.rows is not None)
    return _Trial(feeds=rows.feeds, fixed=fixed, standard=standard)


def _room(wish: ExportWish, trial: _Trial, folded: Path) -> float:
    """Return how much the int8 file may lose against the folded file, that it loses no more against the model."""
    full, _ = trial.standard.grade(trial.standard.origin)
    return wish.max_drop - (full - trial.grade(folded)[0])


def _quantized(found: Int8, rows: int) -> Quantized:
    return Quantized(
        calibration=found.calibration,
        calibration_rows=rows,
        layers=found.layers,
        kept=found.kept,
        tried=found.tried,
        failures=found.failures,
    )


def _compared(trial: _Trial, wish: ExportWish, made: Path, folded: Path, answers: NDArray[np.float32]) -> Parity:
    """Stop unless the new file answers as the model does."""
    standard = trial.standard
    wanted, scale = standard.origin, None
    if not standard.classes:
        scale = Scale(mean=float(wanted.mean()), deviation=float(wanted.std()) or 1.0)
        wanted = scale.standardized(wanted)

    def search(places: NDArray[np.int64]) -> Divergence | None:
        # A file of a fixed batch takes no fewer rows.
        some = places if trial.fixed is None else np.resize(places, trial.fixed)
        few = {name: array[some] for name, array in trial.feeds.items()}
        return differing_node(made, folded, few, wish.precision) or differing_node(folded, wish.model, few, "fp32")

    return settle(answers, wanted, scale, precision=wish.precision, search=search)


def _grade(trial: _Trial, answers: NDArray[np.float32], max_drop: float) -> Grade:
    standard = trial.standard
    full_score, full_loss = standard.grade(standard.origin)
    score, loss = standard.grade(answers)
    return Grade(
        measure=standard.measure,
        loss_kind=standard.loss,
        rows=len(answers),
        full_score=full_score,
        score=score,
        full_loss=full_loss,
        loss=loss,
        max_drop=max_drop,
    )


def _not_timed(wish: ExportWish) -> str | None:
    """Return why the files are not timed, or None."""
    if not wish.timed:
        return "nobody asked for it."
    missing = RUNTIMES[RUNTIME_OF[wish.form]].missing()
    return f"{RUNTIME_OF[wish.form]} cannot run here: {missing}" if missing else None


def _timed(wish: ExportWish, made: Path, feeds: Feeds) -> Timing:
    runtime = RUNTIME_OF[wish.form]
    before, after = compare(
        [wish.model, made],
        feeds=[feeds, feeds],
        runtime=runtime,
        sampling=SAMPLINGS["quick"],
        precisions=["fp32", wish.precision],
    )
    if before.p50_ms is None or after.p50_ms is None:
        raise MeasurementFailed(f"{wish.model.name} was timed without a single run; one at least is needed.")
    return Timing(
        runtime=f"{runtime} {after.runtime_version}",
        batch=after.batch,
        fp32_p50_ms=before.p50_ms,
        p50_ms=after.p50_ms,
        change=change_between(before, after),
    )


def _place(made: Path, wish: ExportWish) -> None:
    """Put the file where it was asked for, whole or not at all."""
    draft = wish.output.with_name(f".{wish.output.name}.{os.getpid()}.partial")
    try:
        shutil.copyfile(made, draft)
        if wish.force:
            draft.replace(wish.output)
        else:
            os.link(draft, wish.output)  # fails where somebody was faster
    except FileExistsError as error:
        raise BadOutput(f"{wish.output} exists by now; another --output is needed.") from error
    except OSError as error:
        raise BadOutput(f"{wish.output} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)
