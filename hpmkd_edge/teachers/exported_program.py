"""A teacher from a file of torch.export.save: `.pt2`."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.tasks.task import Inputs, Rows, Table
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
from hpmkd_edge.teachers.digest import digest_of
from hpmkd_edge.teachers.features import ImageInput, check_numbers, image_input, number_matrix
from hpmkd_edge.teachers.request import TeacherRequest
from hpmkd_edge.teachers.teacher import TorchGraph

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedTeacher:
    """A traced torch program with the shapes that it was traced for.

    Attributes:
        module: the program, on *device*.
        images: how it takes images, or None where it takes a matrix of numbers.
        dtype: of its input, as numpy names it.
        least, most: the rows that it takes at once.
        example: one training row, prepared; None if the program's number of rows is fixed.
    """

    name: str
    digest: str
    parameters: int
    model_bytes: int
    preprocessing: str
    module: torch.nn.Module
    images: ImageInput | None
    dtype: str
    least: int
    most: int
    example: torch.Tensor | None
    device: str
    gives_probabilities: bool = False
    values: bool = False
    kind: str = "exported program"
    answers_new_rows: bool = True

    def _forward(self, inputs: Inputs) -> NDArray[Any]:
        import torch

        given = _prepare(self.images, self.dtype, inputs)
        with running(self.name, tuple(given.shape)), torch.inference_mode():
            answer = self.module(given.to(self.device))
        if not isinstance(answer, torch.Tensor):
            raise BadTeacher(f"{self.name} answers with {type(answer).__name__}; a tensor of logits is needed.")
        given_back = answer.float().cpu().numpy()
        return as_column(given_back) if self.values else given_back

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Answer *rows*: float32 [N, K], or values [N, 1].

        Raises:
            BadTeacher: the program fails.
        """
        answers = answer_in_batches(self.name, rows.inputs, self._forward, size=min(BATCH, self.most), least=self.least)
        return logarithms(answers) if self.gives_probabilities else answers

    def graph(self) -> TorchGraph | None:
        """Return the program with one prepared row, or None if its number of rows is fixed."""
        if self.example is None:
            return None
        module = self.module if self.device == "cpu" else copy.deepcopy(self.module).cpu()
        return TorchGraph(module=module, example=self.example)


def _prepare(images: ImageInput | None, dtype: str, inputs: Inputs) -> torch.Tensor:
    import torch

    if images is not None:
        return torch.from_numpy(images.prepare(inputs))
    assert isinstance(inputs, Table)
    return torch.from_numpy(number_matrix(inputs).astype(dtype))


def _refuse_training_mode(program: ExportedProgram, name: str) -> None:
    """Stop if the program drops units or normalizes by the batch: its answers would depend on the batch."""
    flags = {"aten.dropout.default": 2, "aten.batch_norm.default": 5}
    for node in program.graph.nodes:
        place = flags.get(str(node.target))
        if place is not None and node.args[place]:
            raise BadTeacher(f"{name} was exported in training mode ({node.target}); model.eval() is needed first.")


def _only_input(program: ExportedProgram, name: str) -> torch.Tensor:
    """Return the shape and type, without values, of the program's one input."""
    import torch

    inputs = program.graph_signature.user_inputs
    found = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs]
    if len(inputs) != 1 or len(found) != 1 or not isinstance(found[0], torch.Tensor) or not found[0].ndim:
        raise BadTeacher(f"{name} takes {len(inputs)} inputs; one tensor of rows is needed.")
    return found[0]


def _rows_at_once(program: ExportedProgram, axis: Any) -> tuple[int, int]:
    """Return the least and the most rows of a batch *axis*, an int or a symbol with its bounds."""
    if isinstance(axis, int):
        return axis, axis
    bounds = program.range_constraints.get(axis.node.expr)
    if bounds is None:
        return 1, BATCH
    most = float(bounds.upper)
    return max(1, int(bounds.lower)), int(most) if math.isfinite(most) else BATCH


def open_exported_program(request: TeacherRequest) -> ExportedTeacher:
    """Read a `.pt2` file; its own signature tells how rows reach it.

    torch.export.load unpickles constants and evaluates shape expressions, so it asks for `--trust`.

    Raises:
        BadTeacher: not trusted, unreadable, or its input is not one batch of the task's rows.
        BadConfiguration: `--normalize` for a program that takes bytes.
    """
    path = request.file()
    if request.task.kind == "text":
        raise BadTeacher(
            f"{path.name} is an exported program, which takes no text; an .onnx file with its tokenizer.json, or a"
            " folder of Hugging Face, is needed."
        )
    request.require_trust(path, "an .onnx file")
    import torch
    from torch.export.passes import move_to_device_pass

    needed = "a file of torch.export.save is needed"
    # torch prints a traceback for such a file before it raises.
    if not is_zipfile(path):
        raise BadTeacher(f"{path} cannot be read as an exported program: no zip archive; {needed}.")
    try:
        program = torch.export.load(path)
        # A program carries the device that it was traced on.
        program = move_to_device_pass(program, request.device)
    except Exception as fault:  # a broken zip, schema or pickle: each raises something else
        raise BadTeacher(f"{path} cannot be read as an exported program: {first_line(fault)}; {needed}.") from fault
    name = path.name
    _refuse_training_mode(program, name)
    value = _only_input(program, name)
    least, most = _rows_at_once(program, value.shape[0])
    declared = [axis if isinstance(axis, int) else None for axis in value.shape]
    dtype = str(value.dtype).removeprefix("torch.")
    table = request.task.train.inputs
    images: ImageInput | None = None
    if isinstance(table, Table):
        if len(declared) != 2 or dtype not in ("float32", "float64"):
            raise BadTeacher(f"{name} takes {dtype} of {len(declared)} axes; a float matrix of rows is needed.")
        check_numbers(name, table, declared[1])
    else:
        images = image_input(name, declared, dtype, request)
    phrase = "the columns of numbers as one matrix" if images is None else images.phrase
    probe = request.probe()
    module = program.module()
    # Traced in eval mode (checked above), but its flag says training, which exporters warn about.
    module.training = False
    teacher = ExportedTeacher(
        name=name,
        digest=digest_of(("exported program", digest_of_file(path), phrase)),
        parameters=sum(parameter.numel() for parameter in program.parameters()),
        model_bytes=path.stat().st_size,
        preprocessing=phrase,
        module=module,
        images=images,
        dtype=dtype,
        least=least,
        most=most,
        # torch takes an axis without named bounds to be 2 or more; one row runs all the same once exported.
        example=_prepare(images, dtype, probe.inputs.take(np.zeros(1, np.int64))) if least <= 2 <= most else None,
        device=request.device,
        values=request.task.goal == "value",
    )
    if not teacher.values and are_probabilities(teacher.logits(probe)):
        return replace(teacher, gives_probabilities=True, preprocessing=f"{phrase}; {AS_LOGARITHMS}")
    return teacher
