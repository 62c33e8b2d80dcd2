"""Every family's export, in every precision, is parsed and built by TensorRT-RTX itself, which needs no GPU for it."""

import numpy as np
import pytest
import torch
from sample_data import blobs
from torch import nn

from hpmkd_edge.bench.runtimes.feeds import feeds_of_file
from hpmkd_edge.bench.runtimes.onnx_runtime import load
from hpmkd_edge.bench.runtimes.tensor_rt import build_engine, inputs, refused
from hpmkd_edge.errors import MeasurementFailed
from hpmkd_edge.export.conversion import export_teacher, save_graph, save_student, student_graph
from hpmkd_edge.export.passes.fold import fold
from hpmkd_edge.export.passes.half import halve
from hpmkd_edge.export.passes.quantize import quantize
from hpmkd_edge.export.torch_graph import torch_graph
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.teachers.teacher import TorchGraph

pytestmark = pytest.mark.slow
PRECISIONS = ("fp32", "fp16", "int8")


def in_every_precision(path, feeds):
    """Build an engine of each precision that *path* is rewritten to; return what the engines compute in."""
    folded, halved, quantized = (path.with_name(f"{name}.onnx") for name in PRECISIONS)
    fold(path, folded)
    halve(folded, halved)
    quantize(folded, quantized, feeds=feeds, form="tensorrt", calibration="minmax")
    return tuple(build_engine(one, feeds).precision for one in (folded, halved, quantized))


@pytest.mark.parametrize("family", ["mlp", "residual", "depthwise"])
def test_a_student_of_images_becomes_an_engine(rtx, family, tmp_path):
    """Bytes in, probabilities out, with a free batch axis: nothing that TensorRT does not take."""
    task = open_task("digits")
    inlet = fit_inlet(task)
    shape = shape_of(inlet, task)
    module = FAMILIES[family].build(FAMILIES[family].ladder(shape)[1], shape, 0)
    save_graph(student_graph(module, inlet), tmp_path / "student.onnx", {})
    feeds = {name: array[:32] for name, array in task.validation.inputs.feeds().items()}

    assert in_every_precision(tmp_path / "student.onnx", feeds) == PRECISIONS


def test_one_engine_takes_batches_from_one_row_on(rtx, tmp_path):
    """The batch axis is open in the file, and has a range in the engine."""
    np.savez(tmp_path / "blobs.npz", **dict(zip("xy", blobs(), strict=True)))
    task = open_task(str(tmp_path / "blobs.npz"))
    inlet = fit_inlet(task)
    shape = shape_of(inlet, task)
    module = FAMILIES["mlp"].build(FAMILIES["mlp"].ladder(shape)[0], shape, 0)
    save_graph(student_graph(module, inlet), tmp_path / "student.onnx", {})
    (declared,) = inputs(tmp_path / "student.onnx")
    (taken,) = build_engine(tmp_path / "student.onnx", feeds_of_file(tmp_path / "student.onnx", batch=64)).inputs

    assert declared.shape[0] is None
    assert (taken.least[0], taken.most[0]) == (1, 64)
    assert taken.least[1:] == taken.most[1:] == declared.shape[1:]


def table_student(path, lines, runtime):
    """Export an untrained student of a small table."""
    path.with_suffix(".csv").write_text("\n".join(lines))
    task = open_task(str(path.with_suffix(".csv")), label="y")
    inlet = fit_inlet(task)
    shape = shape_of(inlet, task)
    module = FAMILIES["mlp"].build(FAMILIES["mlp"].ladder(shape)[1], shape, 0)
    return task, save_student(module, inlet, path, facts={}, cut_for=runtime)


def test_a_table_of_numbers_becomes_an_engine_whole(rtx, tmp_path):
    """Missing values, their marks and the clipping are operators that TensorRT has."""
    lines = ["a,b,y", *(f"{i}.25,{'' if i % 7 == 0 else i},{i % 2}" for i in range(80))]
    task, student = table_student(tmp_path / "s.onnx", lines, None)

    assert student.preprocessing is None
    assert in_every_precision(student.path, task.validation.inputs.feeds()) == PRECISIONS


def test_a_table_whose_label_is_a_value_becomes_an_engine(rtx, tmp_path):
    """A value leaves in the label's units."""
    lines = ["a,b,y", *(f"{i}.25,{i % 7},{i * 1.5 + 0.25}" for i in range(80))]
    task, student = table_student(tmp_path / "s.onnx", lines, None)

    assert in_every_precision(student.path, task.validation.inputs.feeds()) == PRECISIONS


def test_what_follows_a_preprocessing_file_becomes_an_engine(rtx, tmp_path):
    """The whole file of a table with text is not even parsed; the second of two is."""
    lines = ["a,word,y", *(f"{i}.25,{'uv'[i % 3 == 0]},{i % 2}" for i in range(80))]
    task, whole = table_student(tmp_path / "w.onnx", lines, None)
    _, cut = table_student(tmp_path / "s.onnx", lines, "tensorrt")
    raw = task.validation.inputs.feeds()
    with pytest.raises(MeasurementFailed, match="TensorRT cannot parse"):
        build_engine(whole.path, raw)
    first = load(cut.preprocessing, 1, raw)

    assert refused(whole.path)
    assert refused(cut.path) == ()
    assert in_every_precision(cut.path, {first.output: first.run(raw)}) == PRECISIONS


class Reader(nn.Module):
    """A small transformer over token ids [N, T] int64."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 3)

    def forward(self, ids):
        return self.head(self.encoder(self.embedding(ids)).mean(dim=1)).softmax(dim=-1)


def test_a_transformer_of_token_ids_becomes_an_engine(rtx, tmp_path):
    """Attention, layer normalization, GELU and a lookup, of ids as text models take them."""
    torch.manual_seed(0)
    ids = torch.randint(0, 50, (4, 12))
    graph = torch_graph(Reader().eval(), ids, name_in="ids", name_out="probabilities")
    save_graph(graph, tmp_path / "reader.onnx", {})

    assert in_every_precision(tmp_path / "reader.onnx", {"ids": ids.numpy()}) == PRECISIONS


def test_a_teacher_becomes_an_engine(rtx, tmp_path):
    """It is timed beside the student."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    graph = TorchGraph(module=module.eval(), example=torch.zeros((1, 3, 8, 8)))
    path = export_teacher(graph, tmp_path / "teacher.onnx")

    assert build_engine(path, feeds_of_file(path)).precision == "fp32"
