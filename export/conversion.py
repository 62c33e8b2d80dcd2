"""Turn a student, or a teacher, into an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.export.parity import check_parity, compare_answers
from hpmkd_edge.export.table_graph import join_graphs, table_graph
from hpmkd_edge.export.torch_graph import FromFeatures, FromPixels, torch_graph
from hpmkd_edge.students.inlet import ImageInlet, Inlet
from hpmkd_edge.tasks.task import Rows
from hpmkd_edge.teachers.teacher import TorchGraph

if TYPE_CHECKING:
    import onnx

Answer = Callable[[Path, Mapping[str, NDArray[np.generic]]], NDArray[np.float32]]


def student_graph(module: nn.Module, inlet: Inlet) -> onnx.ModelProto:
    """Build the graph from raw rows to `probabilities` [N, K].

    Images enter as `images`, uint8 [N, H, W, C]; a table's columns each by their own name, [N, 1], float32 or string.

    Raises:
        ConversionFailed: torch cannot export the module.
    """
    module = module.cpu().eval()
    if isinstance(inlet, ImageInlet):
        pixels = torch.zeros((2, *inlet.sides, len(inlet.mean)), dtype=torch.uint8)
        return torch_graph(FromPixels(module, inlet).eval(), pixels, name_in="images", name_out="probabilities")
    body = torch_graph(
        FromFeatures(module).eval(),
        torch.zeros((2, *inlet.features)),
        name_in="features",
        name_out="probabilities",
    )
    return join_graphs(table_graph(inlet.encoding), body, via="features")


def save_graph(graph: onnx.ModelProto, path: Path, facts: Mapping[str, str]) -> None:
    """Check *graph*, put *facts* into its metadata, and write it whole or not at all."""
    import onnx

    onnx.helper.set_model_props(graph, dict(facts))
    graph.producer_name = "hpmkd-edge"
    onnx.checker.check_model(graph, full_check=False)
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(graph.SerializeToString())
    beside.replace(path)


def convert(
    module: nn.Module, inlet: Inlet, rows: Rows, path: Path, *, facts: Mapping[str, str], answer: Answer
) -> Artifact:
    """Export a trained student to *path*, and compare the file with it from raw rows on.

    Args:
        rows: real rows for the comparison.
        facts: the file's metadata: class names, preprocessing, versions.
        answer: runs a model file on named arrays, and gives probabilities [N, K].

    Raises:
        ConversionFailed: torch cannot export the module.
        ParityBroken: the file does not answer as the module does.
    """
    save_graph(student_graph(module, inlet), path, facts)
    with torch.inference_mode():
        logits = module(inlet.open(inlet.store(rows.inputs)))
        wanted = torch.softmax(logits.float(), dim=1).numpy()
    parity = compare_answers(answer(path, rows.inputs.feeds()), wanted)
    check_parity(parity, "fp32")
    return Artifact(path=path, precision="fp32", parity=parity)


def export_teacher(graph: TorchGraph, path: Path) -> Path:
    """Export a torch teacher, from its preprocessed input to logits, so that it can be timed beside the student.

    Raises:
        ConversionFailed: torch cannot export the module.
    """
    example = torch.cat([graph.example, graph.example])
    save_graph(torch_graph(graph.module, example, name_in="input", name_out="logits"), path, {})
    return path
