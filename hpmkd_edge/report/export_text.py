"""A model file in another precision, beside its fp32 file: for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpmkd_edge.export.passes.calibration import told
from hpmkd_edge.exported import SCHEMA, Exported, Grade
from hpmkd_edge.report.figures import NONE, megabytes, quantity, score, signed
from hpmkd_edge.report.matrix import change_as_json, percent
from hpmkd_edge.report.rows import Grid
from hpmkd_edge.verdict import Goal


def exported_as_json(exported: Exported) -> dict[str, Any]:
    """Return all fields, and what follows from them."""
    found = asdict(exported)
    if exported.grade is not None:
        found["grade"] |= {"drop": exported.grade.drop, "fits": exported.grade.fits}
    if exported.timing is not None:
        found["timing"]["change"] = change_as_json(exported.timing.change)
    notes = list(notes_of(exported))
    size = exported.bytes / exported.model_bytes
    return {"schema": SCHEMA, "exit_code": exported.exit_code, **found, "bytes_ratio": size, "notes": notes}


def title_of(exported: Exported) -> str:
    """Return what became of which file."""
    made = f"{Path(exported.model).name} in {exported.precision}"
    if exported.precision == "int8":
        made += f", in the form of {exported.form}"
    return f"{made}: {'not written' if exported.output is None else exported.output}"


def exported_grid(exported: Exported) -> Grid:
    """Return both files, side by side."""
    rows = [
        (
            "file",
            quantity(megabytes(exported.model_bytes), " MB"),
            quantity(megabytes(exported.bytes), " MB"),
            f"{exported.bytes / exported.model_bytes:.2f}×",
        )
    ]
    if exported.grade is not None:
        rows += _graded(exported.grade)
    if exported.timing is not None:
        timing, change = exported.timing, exported.timing.change
        rows.append(
            (
                "p50",
                quantity(timing.fp32_p50_ms, " ms"),
                quantity(timing.p50_ms, " ms"),
                f"{change.ratio:.2f}× ({change.low:.2f} to {change.high:.2f})",
            )
        )
    header = ("", "fp32", exported.precision, "over fp32")
    return Grid(title="Beside the model itself", header=header, numbers=header[1:3], rows=tuple(rows))


def notes_of(exported: Exported) -> Iterator[str]:
    """Yield, in sentences, what is to be known of the new file."""
    grade, made, timing = exported.grade, exported.quantized, exported.timing
    if grade is not None and not grade.fits:
        yield (
            f"It loses {_points(grade)} of {grade.measure}; --max-drop allows {100 * grade.max_drop:g}. Nothing was"
            " written: keep fp32, or allow more."
        )
    if exported.slower and timing is not None:
        yield f"It is slower here, {percent(timing.change)}: keep fp32 for this machine."
    elif timing is not None and timing.change.verdict == "inconclusive":
        yield f"Whether it is faster here was not settled: {percent(timing.change)}."
    if timing is not None:
        yield f"Timed in turn in {timing.runtime} on one thread, a batch of {timing.batch}."
    if exported.not_timed is not None:
        yield f"It was not timed: {exported.not_timed}"
    if exported.made_up:
        yield (
            f"It was compared on {exported.parity.rows} made-up rows; --rows FILE.npz is needed to know what it"
            " loses on real ones."
        )
    if grade is not None and grade.measure == "agreement":
        yield "Without --label, agreement is the share of rows with the fp32 file's own class, by its first output."
    elif grade is not None and grade.measure == "R²":
        # By its own values the fp32 file has an R² of 1, and no error.
        whose = "the labels" if grade.full_loss else "the fp32 file's own values"
        yield f"R² is that of the first output, taken as values, against {whose}."
    off = "" if exported.parity.of == "probability" else " deviations"
    yield (
        f"On {exported.parity.rows:,} rows a {exported.parity.of} differs by at most"
        f" {exported.parity.max_error:.2g}{off} from the fp32 file's."
    )
    if made is not None:
        kept = f"; in float32 stay {', '.join(made.kept)}" if made.kept else ""
        yield (
            f"{told(made.calibration).capitalize()} on {made.calibration_rows} rows,"
            f" {made.layers - len(made.kept)} of {made.layers} layers in int8{kept}."
        )
        yield from made.failures


def _graded(grade: Grade) -> list[tuple[str, str, str, str]]:
    goal: Goal = "value" if grade.measure == "R²" else "classes"
    before, after = (score(one, goal) for one in (grade.full_score, grade.score))
    return [
        (f"{grade.measure}, {grade.rows:,} rows", before, after, f"{_points(grade, sign=True)} points"),
        (grade.loss_kind, f"{grade.full_loss:.4g}", f"{grade.loss:.4g}", NONE),
    ]


def _points(grade: Grade, *, sign: bool = False) -> str:
    # Rounded first, and 0 added: a loss of nothing is no −0.00.
    return signed(round(-100 * grade.drop, 2) + 0.0) if sign else f"{100 * grade.drop:.2f} points"
