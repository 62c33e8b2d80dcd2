"""Turn a student, or a teacher, into an ONNX file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hpmkd_edge.export.artifact import (
    PREPROCESSING,
    PREPROCESSING_RUNTIME,
    PREPROCESSING_SHA256,
    STUDENT,
    TOKENIZER,
    Artifact,
    runtime_before,
    shipped_name,
)
from hpmkd_edge.export.layer_parity import Divergence, differing_module
from hpmkd_edge.export.parity import Answer, settle
from hpmkd_edge.export.perceptron_graph import perceptron_graph
from hpmkd_edge.export.table_graph import join_graphs, table_graph
from hpmkd_edge.export.torch_graph import FromFeatures, FromIds, FromPixels, torch_graph
from hpmkd_edge.students.inlet import ImageInlet, Inlet, TableInlet
from hpmkd_edge.students.mlp import linear_layers
from hpmkd_edge.students.text_inlet import TextInlet
from hpmkd_edge.tasks.task import OUTPUTS, Rows
from hpmkd_edge.teachers.teacher import TorchGraph

if TYPE_CHECKING:
    import onnx

FILES: Final = "hpmkd_edge.files"  # in the metadata of both files of a student that is cut
# What a text student takes of its tokenizer, and this of a user.
IDS: Final = "ids"
TEXT: Final = "text"
TEXT_AXES: Final = ("rows", "tokens")


def student_graph(module: nn.Module, inlet: Inlet) -> onnx.ModelProto:
    """Build the graph from raw rows to `probabilities` [N, K], or to `value` [N, 1].

    Images enter as `images`, uint8 [N, H, W, C]; a table's columns each by their own name, [N, 1], float32, string or
    int64; a text as `ids`, int64 [N, T], which its tokenizer gives.

    Raises:
        ConversionFailed: torch cannot export the module.
    """
    module = module.cpu().eval()
    if isinstance(inlet, ImageInlet):
        pixels = torch.zeros((2, *inlet.sides, len(inlet.mean)), dtype=torch.uint8)
        return torch_graph(FromPixels(module, inlet).eval(), pixels, name_in="images", name_out="probabilities")
    if isinstance(inlet, TextInlet):
        return _body(module, inlet, IDS)
    return join_graphs(table_graph(inlet.encoding), _body(module, inlet, "features"), via="features")


def _body(module: nn.Module, inlet: TableInlet | TextInlet, features: str) -> onnx.ModelProto:
    """Build the graph from *features*, float32 [N, F], or ids of a text, to `probabilities` or `value`."""
    if isinstance(inlet, TextInlet):
        # As long as half a row at most: the exporter takes a length that a table of positions has for a constant.
        ids = torch.ones((2, max(2, inlet.length // 2)), dtype=torch.int64)
        return torch_graph(FromIds(module).eval(), ids, name_in=features, name_out=_output(inlet), free=TEXT_AXES)
    layers = linear_layers(module)
    if layers:
        return perceptron_graph(layers, inlet.scale, name_in=features, name_out=_output(inlet))
    example, whole = torch.zeros((2, *inlet.features)), FromFeatures(module, inlet.scale).eval()
    return torch_graph(whole, example, name_in=features, name_out=_output(inlet))


def _output(inlet: Inlet) -> str:
    return OUTPUTS["classes" if inlet.scale is None else "value"]


def needs_cut(inlet: Inlet, runtime: str) -> bool:
    """Say whether *runtime* lacks operators for the raw rows, so that a preprocessing file must run before it.

    TensorRT takes ONNX's own operators on numbers, and nothing of text, nor of the ai.onnx.ml set. No runtime has a
    tokenizer of its own.
    """
    if isinstance(inlet, TextInlet):
        return True
    if runtime != "tensorrt" or isinstance(inlet, ImageInlet):
        return False
    from onnx import TensorProto

    graph = table_graph(inlet.encoding)
    text = any(one.type.tensor_type.elem_type == TensorProto.STRING for one in graph.graph.input)
    return text or any(opset.domain not in ("", "ai.onnx") for opset in graph.opset_import)


def save_graph(graph: onnx.ModelProto, path: Path, facts: Mapping[str, str]) -> None:
    """Check *graph*, put *facts* into its metadata, and write it whole or not at all."""
    import onnx

    onnx.helper.set_model_props(graph, dict(facts))
    graph.producer_name = "hpmkd-edge"
    onnx.checker.check_model(graph, full_check=False)
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(graph.SerializeToString())
    beside.replace(path)


def save_student(
    module: nn.Module, inlet: Inlet, path: Path, *, facts: Mapping[str, str], cut_for: str | None = None
) -> Artifact:
    """Export a student to *path*; where it is cut, to a preprocessing file beside it and, what follows, to *path*.

    A text's is always cut: beside it lies its tokenizer.json.

    Each of two files says in its metadata, as `hpmkd_edge.files`, which files there are, in the order in which they
    run, in which runtime, and what each takes and gives; the second has the sha256 of the first.

    Args:
        facts: of each file's metadata.
        cut_for: the runtime of the second file, or None for one file; of a text ONNX Runtime's then.

    Raises:
        ConversionFailed: torch cannot export the module.
    """
    if cut_for is None and not isinstance(inlet, TextInlet):
        save_graph(student_graph(module, inlet), path, facts)
        return Artifact(path=path, precision="fp32", parity=None)
    assert not isinstance(inlet, ImageInlet)  # none of which is cut
    before = path.with_name(f"{path.stem}-{preprocessing_of(inlet)}")
    first, takes, link = _first_of(inlet)
    files = [
        {"file": shipped_name(before), "runtime": runtime_before(before), "takes": takes, "gives": link},
        {"file": STUDENT, "runtime": cut_for or PREPROCESSING_RUNTIME, "takes": link, "gives": _output(inlet)},
    ]
    facts = {**facts, FILES: json.dumps(files, ensure_ascii=False)}
    if isinstance(first, str):
        before.write_bytes(first.encode())
    else:
        save_graph(first, before, facts)
    digest = hashlib.sha256(before.read_bytes()).hexdigest()
    save_graph(_body(module.cpu().eval(), inlet, link), path, {**facts, PREPROCESSING_SHA256: digest})
    return Artifact(path=path, precision="fp32", parity=None, preprocessing=before)


def _first_of(inlet: TableInlet | TextInlet) -> tuple[onnx.ModelProto | str, str, str]:
    """Return what runs before a student that is cut, what it takes, and the name of what it gives."""
    if isinstance(inlet, TextInlet):
        return inlet.lexicon.tokenizer, TEXT, IDS
    graph = table_graph(inlet.encoding)
    (link,) = (output.name for output in graph.graph.output)
    return graph, "raw columns", link


def preprocessing_of(inlet: TableInlet | TextInlet) -> str:
    """Return what ships before a student that is cut is called."""
    return TOKENIZER if isinstance(inlet, TextInlet) else PREPROCESSING


def convert(
    module: nn.Module,
    inlet: Inlet,
    rows: Rows,
    path: Path,
    *,
    facts: Mapping[str, str],
    answer: Answer,
    cut_for: str | None = None,
) -> Artifact:
    """Export a trained student, as `save_student`, and compare what is exported with it from raw rows on.

    Args:
        rows: real rows for the comparison.
        facts: the file's metadata: class names, preprocessing, versions.
        answer: runs a file on raw rows, behind its preprocessing, and gives its first output: probabilities [N, K],
            values [N, 1], or features [N, F].
        cut_for: the runtime of the second of two files, or None for one file.

    Raises:
        ConversionFailed: torch cannot export the module.
        ParityBroken: the file does not answer as the module does; the first layer that differs is named.
    """
    artifact = save_student(module, inlet, path, facts=facts, cut_for=cut_for)
    with torch.inference_mode():
        logits = module(inlet.open(inlet.store(rows.inputs))).float()
    wanted = (logits if inlet.scale is not None else torch.softmax(logits, dim=1)).numpy()

    def search(places: NDArray[np.int64]) -> Divergence | None:
        some = rows.inputs.take(places)
        features = inlet.open(inlet.store(some))
        feeds: Mapping[str, NDArray[np.generic]] = some.feeds()
        if isinstance(inlet, TextInlet):
            feeds = {IDS: features.numpy()}
        elif artifact.preprocessing is not None:
            feeds = {_input_of(path): answer(artifact.preprocessing, feeds)}
        return differing_module(module, features, path, feeds)

    given = answer(path, rows.inputs.feeds(), preprocessing=artifact.preprocessing)
    parity = settle(given, wanted, inlet.scale, precision=artifact.precision, search=search)
    return replace(artifact, parity=parity)


def _input_of(path: Path) -> str:
    import onnx

    (only,) = onnx.load(path).graph.input
    return str(only.name)


def export_teacher(graph: TorchGraph, path: Path) -> Path:
    """Export a torch teacher, from its preprocessed input to logits, so that it can be timed beside the student.

    One that a tokenizer runs before takes `ids`, any number of them; any other `input`.

    Raises:
        ConversionFailed: torch cannot export the module.
    """
    example = torch.cat([graph.example, graph.example])
    name_in, free = ("input", ("rows",)) if graph.tokenizer is None else (IDS, TEXT_AXES)
    save_graph(torch_graph(graph.module, example, name_in=name_in, name_out="logits", free=free), path, {})
    return path
