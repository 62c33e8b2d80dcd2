"""A torch module as an ONNX graph, clean enough to ship."""

# Shape suffixes: N = rows, H = height, W = width, C = channels, F = features, T = pieces of text, K = classes.

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from hpmkd_edge.errors import ConversionFailed
from hpmkd_edge.export.versions import IR_VERSION, OPSET
from hpmkd_edge.students.inlet import ImageInlet
from hpmkd_edge.tasks.values import Scale

if TYPE_CHECKING:
    import onnx

LARGEST_BATCH: Final = 65_536
_COLOR: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class FromPixels(nn.Module):
    """The student behind its inlet: uint8 [N, H, W, C] to probabilities [N, K]."""

    scale: Tensor
    offset: Tensor

    def __init__(self, body: nn.Module, inlet: ImageInlet) -> None:
        super().__init__()
        self.body = body
        # One product and one sum a pixel: (x/255 − m)/d = x·s + o.
        scale = 1 / (255 * torch.tensor(inlet.deviation, dtype=torch.float64))
        offset = -torch.tensor(inlet.mean, dtype=torch.float64) / torch.tensor(inlet.deviation, dtype=torch.float64)
        self.register_buffer("scale", scale.float().view(1, -1, 1, 1))
        self.register_buffer("offset", offset.float().view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        features_NCHW = images.float().permute(0, 3, 1, 2) * self.scale + self.offset
        return torch.softmax(self.body(features_NCHW), dim=1)


class FromFeatures(nn.Module):
    """The student of an encoded table: float32 [N, F] to probabilities [N, K], or to values [N, 1] in their units."""

    def __init__(self, body: nn.Module, scale: Scale | None) -> None:
        super().__init__()
        self.body, self.scale = body, scale

    def forward(self, features: Tensor) -> Tensor:
        answers: Tensor = self.body(features)
        if self.scale is not None:
            return answers * self.scale.deviation + self.scale.mean
        return torch.softmax(answers, dim=1)


class FromIds(nn.Module):
    """The student of a text: ids int64 [N, T] to probabilities [N, K]."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, ids: Tensor) -> Tensor:
        return torch.softmax(self.body(ids), dim=1)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress text and its notes on its own internals off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def torch_graph(
    module: nn.Module, example: Tensor, *, name_in: str, name_out: str, free: Sequence[str] = ("rows",)
) -> onnx.ModelProto:
    """Export *module* as a graph with one input, one output and free first axes.

    Args:
        module: in eval mode.
        example: a batch of at least 2 rows, and of as many along every free axis: torch.export takes an axis of 1 for a
            constant.
        free: what lies along each of the free axes, the batch's rows first.

    Raises:
        ConversionFailed: the exporter cannot trace the module, or it fixes the length of a free axis.
    """
    # How long the others may be hangs on the module, as on its table of positions: the exporter finds out.
    axes = {0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH), **dict(enumerate(free[1:], start=1))}
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                dynamic_shapes=(axes,),
                input_names=[name_in],
                output_names=[name_out],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the exporter raises many kinds, the user's module any
        raise ConversionFailed(
            f"torch cannot export the model to ONNX: {cause_of(error)}; a module that torch.export"
            " can trace, without data-dependent control flow, of operators that ONNX has, is needed."
        ) from error
    assert program is not None
    graph = cleaned(program.model_proto)
    for axis, what in enumerate(free):
        if not graph.graph.input or not graph.graph.input[0].type.tensor_type.shape.dim[axis].dim_param:
            raise ConversionFailed(
                f"the model fixes the number of {what}, as len(x) or reshape(2, …) in its code would; one that takes"
                f" any number of {what} is needed."
            )
    return graph


def cause_of(error: BaseException) -> str:
    """Return the first line of the innermost error's message, or its class's name where it has none.

    Where the line ends in a colon the next belongs to it.

    The exporter's own message says in which of its steps it failed, and only what it wraps says why.
    """
    chain = [error]
    while (inner := _wrapped(chain[-1])) is not None and inner not in chain:
        chain.append(inner)
    lines = [" ".join(line.split()) for line in _COLOR.sub("", str(chain[-1])).splitlines() if line.strip()]
    shown = lines[:2] if lines and lines[0].endswith(":") else lines[:1]
    return " ".join(shown).rstrip(".") or type(chain[-1]).__name__


def _wrapped(error: BaseException) -> BaseException | None:
    return error.__cause__ if error.__suppress_context__ else error.__context__


def cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what only a debugger reads: stack traces with local paths, and shapes of inner values."""
    model.ir_version = IR_VERSION
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    model.doc_string = ""
    model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    return model
