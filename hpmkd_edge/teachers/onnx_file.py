"""A teacher from an ONNX file, run by ONNX Runtime on the CPU."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.tasks.task import Column, Inputs, Rows, Table, Texts
from hpmkd_edge.teachers.answers import (
    AS_LOGARITHMS,
    BATCH,
    answer_in_batches,
    are_probabilities,
    as_column,
    first_line,
    logarithms,
    running,
)
from hpmkd_edge.teachers.class_order import label_order
from hpmkd_edge.teachers.digest import digest_of
from hpmkd_edge.teachers.features import check_numbers, image_input, number_matrix, numbers_in
from hpmkd_edge.teachers.onnx_text import IdsFeed, StringFeed, labels_beside, text_feed
from hpmkd_edge.teachers.pieces import SENTENCES_AT_ONCE
from hpmkd_edge.teachers.request import TeacherRequest
from hpmkd_edge.teachers.teacher import OnnxGraph

# ONNX Runtime's names of element types, and numpy's.
NUMBERS: Final = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}
FLOATS: Final = ("tensor(float16)", "tensor(float)", "tensor(double)")
# The domain of the operators that onnxruntime_extensions brings, tokenizers among them.
CONTRIBUTED: Final = "ai.onnx.contrib"

Feed = Callable[[Inputs], dict[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxTeacher:
    """A session over an ONNX file.

    Attributes:
        path: the file.
        session: an onnxruntime.InferenceSession.
        feed: from raw rows to the session's inputs by name.
        output: the name of the output that is read.
        batch: the rows that the file takes at once, or None where any number will do.
        row: what the session takes for one training row.
        order: the column of its answer for each class of the task, or None where they are in its order.
    """

    name: str
    digest: str
    parameters: int | None
    model_bytes: int
    preprocessing: str
    path: Path
    session: Any
    feed: Feed
    output: str
    batch: int | None
    row: dict[str, NDArray[Any]]
    order: tuple[int, ...] | None = None
    gives_probabilities: bool = False
    values: bool = False
    kind: str = "onnx"
    answers_new_rows: bool = True

    def _forward(self, inputs: Inputs) -> NDArray[Any]:
        if isinstance(self.feed, IdsFeed):
            assert isinstance(inputs, Texts)
            of_ids = self.feed.of_ids
            return self.feed.pieces.answer(inputs.strings(), lambda ids_NT: self._ask(of_ids(ids_NT)))
        return self._ask(self.feed(inputs))

    def _ask(self, given: dict[str, NDArray[Any]]) -> NDArray[Any]:
        with running(self.name, next(iter(given.values())).shape):
            answer = np.asarray(self.session.run([self.output], given)[0])
            if self.order is not None:
                answer = answer[:, list(self.order)]
        return as_column(answer) if self.values else answer

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Answer *rows*: float32 [N, K], or values [N, 1].

        Raises:
            BadTeacher: the session fails.
        """
        size = SENTENCES_AT_ONCE if isinstance(self.feed, IdsFeed) else self.batch or BATCH
        answers = answer_in_batches(self.name, rows.inputs, self._forward, size=size, least=self.batch or 1)
        return logarithms(answers) if self.gives_probabilities else answers

    def graph(self) -> OnnxGraph | None:
        """Return the file with one row, or None if it takes another number of rows: the student is timed on one."""
        if self.batch not in (None, 1):
            return None
        of_text = isinstance(self.feed, StringFeed | IdsFeed)
        return OnnxGraph(
            path=self.path,
            feeds=self.row,
            read=self._read if of_text else None,
            tokenized=isinstance(self.feed, IdsFeed),
        )

    def _read(self, sentences: Sequence[str]) -> dict[str, NDArray[Any]]:
        return self.feed(Texts.of(sentences))


def _content(path: Path) -> tuple[int, tuple[Path, ...], bool]:
    """Return how many floats the initializers hold, the files beside that hold some, and whether it tokenizes."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
    count = sum(
        int(np.prod(tensor.dims, dtype=np.int64)) for tensor in model.graph.initializer if tensor.data_type in floats
    )
    beside = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    extended = any(entry.domain == CONTRIBUTED for entry in model.opset_import)
    return count, tuple(path.parent / location for location in sorted(beside)), extended


def _register_operators(options: Any, name: str) -> None:
    try:
        from onnxruntime_extensions import get_library_path
    except ImportError as fault:
        raise BadTeacher(
            f"{name} has operators of onnxruntime_extensions, which is not installed; pip install 'hpmkd-edge[text]'"
            " brings it."
        ) from fault
    options.register_custom_ops_library(get_library_path())


def _axes(declared: list[Any]) -> list[int | None]:
    """Return a declared shape with None for each named or unknown axis."""
    return [axis if isinstance(axis, int) and axis > 0 else None for axis in declared]


def _column_feed(name: str, inputs: list[Any], table: Table) -> Feed:
    """Return what feeds each column to the input of its name."""
    ranks: dict[str, int] = {}
    types: dict[str, str | None] = {}
    columns = {column.name: column for column in table.columns}
    for entry in inputs:
        text = entry.type == "tensor(string)"
        if not text and entry.type not in NUMBERS:
            raise BadTeacher(f"{name} takes {entry.type} for {entry.name!r}; a tensor of numbers or text is needed.")
        if text != columns[entry.name].holds_text:
            kind = "text" if columns[entry.name].holds_text else "numbers"
            raise BadTeacher(f"{name} takes {entry.type} for {entry.name!r}; the task's column is of {kind}.")
        ranks[entry.name] = len(entry.shape)
        types[entry.name] = NUMBERS.get(entry.type)

    def value(column: Column) -> NDArray[Any]:
        dtype = types[column.name]
        values = column.values if column.holds_text else numbers_in(column)
        if dtype is not None and np.issubdtype(dtype, np.integer) and not np.isfinite(values).all():
            raise BadTeacher(f"{name} takes {dtype} for {column.name!r}, which has missing values; floats are needed.")
        typed = values if dtype is None else values.astype(dtype)
        return typed.reshape(-1, 1) if ranks[column.name] == 2 else typed

    def feed(rows: Inputs) -> dict[str, NDArray[Any]]:
        assert isinstance(rows, Table)
        return {column.name: value(column) for column in rows.columns if column.name in ranks}

    return feed


def _feed(name: str, inputs: list[Any], request: TeacherRequest) -> tuple[Feed, str]:
    """Return what makes the session's inputs from raw rows, and a phrase about it."""
    rows = request.task.train.inputs
    first = inputs[0]
    if isinstance(rows, Texts):
        request.refuse_normalization(f"{name} takes text")
        return text_feed(request.file(), inputs)
    if not isinstance(rows, Table):
        if len(inputs) != 1:
            names = ", ".join(entry.name for entry in inputs)
            raise BadTeacher(f"{name} takes {len(inputs)} inputs ({names}); one input of images is needed.")
        images = image_input(name, _axes(first.shape), NUMBERS.get(first.type, first.type), request)
        return lambda given: {first.name: images.prepare(given)}, images.phrase
    columns = {column.name for column in rows.columns}
    strange = [entry.name for entry in inputs if entry.name not in columns]
    if not strange:
        return _column_feed(name, inputs, rows), "raw columns by name"
    if len(inputs) != 1 or len(first.shape) != 2 or first.type not in FLOATS:
        raise BadTeacher(
            f"{name} takes {', '.join(map(repr, strange[:3]))}, which are not columns of the task; "
            "inputs named as the columns, or one float matrix of the numbers, are needed."
        )
    check_numbers(name, rows, _axes(first.shape)[1])
    dtype = NUMBERS[first.type]

    def feed(given: Inputs) -> dict[str, NDArray[Any]]:
        assert isinstance(given, Table)
        return {first.name: number_matrix(given).astype(dtype)}

    return feed, "the columns of numbers as one matrix"


def _output(name: str, outputs: list[Any], classes: int, *, values: bool) -> str:
    """Choose the output that holds a number for each class, or a value."""
    shown = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in outputs)
    if any(entry.type.startswith("seq(map") for entry in outputs):
        raise BadTeacher(
            f"{name} gives its probabilities as dictionaries ({shown}); an export with zipmap=False is needed."
        )
    ranks = (0, 1, 2) if values else (0, 2)
    matrices = [entry for entry in outputs if entry.type in FLOATS and len(entry.shape) in ranks]
    fitting = [entry for entry in matrices if len(entry.shape) < 2 or _axes(entry.shape)[1] in (None, classes)]
    # Where none fits, the one matrix is read, and the check of the teacher names its number of classes.
    found = fitting or matrices
    if len(found) > 1:
        named = [[entry for entry in found if part in entry.name.lower()] for part in ("logit", "prob")]
        found = next((entries for entries in named if len(entries) == 1), found)
    if len(found) != 1:
        raise BadTeacher(f"{name} gives {shown}; one float output of {classes} column{'s' * (classes > 1)} is needed.")
    return str(found[0].name)


def open_onnx_file(request: TeacherRequest) -> OnnxTeacher:
    """Open an ONNX file; its declared inputs and outputs tell how rows reach it.

    Images go to one input, uint8 (raw) or float (normalized, by default over 255), NHWC, NCHW or flat.
    Tables go to one input a column, or to one matrix of the number columns. Texts go to one input of strings, or as
    ids of the tokenizer.json beside it; there a config.json tells the names of its classes. An output that holds
    probabilities is read as logarithms, unless its name says logits.

    Raises:
        BadTeacher: unreadable, or its inputs and outputs do not fit the task.
        BadConfiguration: `--normalize` for a file that takes bytes.
    """
    import onnxruntime

    path = request.file()
    name = path.name
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: its warnings on unused initializers are not the user's
    try:
        count, beside, extended = _content(path)
        if extended:
            _register_operators(options, name)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except BadTeacher:
        raise
    except Exception as fault:  # protobuf's and ONNX Runtime's own errors share no class
        raise BadTeacher(f"{path} cannot be read as ONNX: {first_line(fault)}; a valid file is needed.") from fault
    inputs = session.get_inputs()
    if not inputs:
        raise BadTeacher(f"{name} takes no input; rows of the task are needed.")
    feed, phrase = _feed(name, inputs, request)
    values = request.task.goal == "value"
    output = _output(name, session.get_outputs(), request.task.outputs, values=values)
    labels = labels_beside(path) if isinstance(feed, IdsFeed) else None
    order, about = (None, "") if labels is None else label_order(name, labels, request.task.classes)
    own = (str(order), feed.pieces.tokenizer.to_str(), str(feed.pieces.padding)) if isinstance(feed, IdsFeed) else ()
    files = (path, *beside)
    probe = request.probe()
    teacher = OnnxTeacher(
        name=name,
        digest=digest_of(("onnx", phrase, output, *own, *(digest_of_file(file) for file in files))),
        # Trees and linear models of scikit-learn keep their weights in attributes, which are not counted.
        parameters=count or None,
        model_bytes=sum(file.stat().st_size for file in files),
        preprocessing=phrase + about,
        path=path,
        session=session,
        feed=feed,
        output=output,
        batch=_axes(inputs[0].shape)[0] if inputs[0].shape else None,
        row=feed(probe.inputs.take(np.zeros(1, np.int64))),
        order=order,
        values=values,
    )
    if not values and "logit" not in output.lower() and are_probabilities(teacher.logits(probe)):
        return replace(teacher, gives_probabilities=True, preprocessing=f"{phrase}; {AS_LOGARITHMS}{about}")
    return teacher
