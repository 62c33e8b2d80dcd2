"""What ships beside a text student and its tokenizer: a runner, and where that can be one file that takes sentences."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from hpmkd_edge.errors import ConversionFailed, MeasurementFailed
from hpmkd_edge.export.artifact import PREPROCESSING_SHA256, Artifact
from hpmkd_edge.export.conversion import FILES, save_graph
from hpmkd_edge.export.parity import Answer
from hpmkd_edge.export.table_graph import join_graphs
from hpmkd_edge.export.text_graph import cannot_take_strings, string_graph
from hpmkd_edge.tasks.task import Rows

RUNNER: Final = "run_text.py"
TEXT_STUDENT: Final = "student-text.onnx"
# Of a probability: the same graph behind the same ids.
MOST_ERROR: Final = 1e-5


def ship_text(artifact: Artifact, folder: Path, *, rows: Rows, answer: Answer) -> str:
    """Put a runner into *folder*, and `student-text.onnx`, which takes sentences, where the operators read them alike.

    Args:
        artifact: the student that ships, a tokenizer.json before it.
        folder: of the run.
        rows: real sentences, all of which both must answer alike.
        answer: runs a file.

    Returns:
        A sentence for the report: what it takes and needs, or why there is none.
    """
    shutil.copyfile(Path(__file__).with_name(RUNNER), folder / RUNNER)
    assert artifact.preprocessing is not None
    tokenizer = artifact.preprocessing.read_text(encoding="utf-8")
    reason = cannot_take_strings(tokenizer)
    if reason is not None:
        return f"There is no {TEXT_STUDENT}, which would take sentences: {reason}"
    path = folder / TEXT_STUDENT
    try:
        save_text_student(artifact, tokenizer, path)
        off = _sentences_off(artifact, path, rows, answer)
    except (ConversionFailed, MeasurementFailed) as error:
        path.unlink(missing_ok=True)
        return f"There is no {TEXT_STUDENT}, which would take sentences: {error}"
    if off:
        path.unlink()
        return (
            f"There is no {TEXT_STUDENT}, which would take sentences: onnxruntime-extensions reads {off} of {len(rows)}"
            " validation sentences otherwise than the tokenizer does."
        )
    return (
        f"{TEXT_STUDENT} takes sentences, `text` [N], by operators of onnxruntime-extensions, and answers {len(rows)}"
        " validation sentences as the two files do. It reads otherwise: words with a letter that the vocabulary lacks,"
        " accents beyond Latin-1, as of č, Hangul, names of special pieces, as [MASK], and rare signs: docs/text.md."
    )


def save_text_student(artifact: Artifact, tokenizer: str, path: Path) -> None:
    """Write the student and what reads text for it as one graph to *path*: `text`, strings [N], to its own output.

    Raises:
        ConversionFailed: the graphs cannot be joined.
    """
    import onnx

    student = onnx.load(artifact.path)
    facts = {one.key: one.value for one in student.metadata_props if one.key not in (PREPROCESSING_SHA256, FILES)}
    (only,) = student.graph.input
    save_graph(join_graphs(string_graph(tokenizer), student, via=only.name), path, facts)


def _sentences_off(artifact: Artifact, path: Path, rows: Rows, answer: Answer) -> int:
    feeds = rows.inputs.feeds()
    wanted_NK = answer(artifact.path, feeds, preprocessing=artifact.preprocessing)
    return int((abs(answer(path, feeds) - wanted_NK).max(1) > MOST_ERROR).sum())
