"""The graph that is written by hand answers as the one that torch's exporter traces."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from hpmkd_edge.export.perceptron_graph import perceptron_graph
from hpmkd_edge.export.torch_graph import FromFeatures, torch_graph
from hpmkd_edge.students.mlp import linear_layers
from hpmkd_edge.tasks.values import Scale


def answers(graph, rows):
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"features": rows})[0]


@pytest.mark.parametrize(
    ("depth", "outputs", "scale"), [(0, 3, None), (2, 3, None), (1, 1, Scale(mean=40.0, deviation=7.0))]
)
def test_it_answers_as_the_traced_graph(depth, outputs, scale):
    """One row, several rows; classes, and values in their units."""
    torch.manual_seed(1)
    layers, entering = [nn.Flatten()], 5
    for _ in range(depth):
        layers += [nn.Linear(entering, 9), nn.ReLU()]
        entering = 9
    module = nn.Sequential(*layers, nn.Linear(entering, outputs)).eval()
    written = perceptron_graph(linear_layers(module), scale, name_in="features", name_out="answer")
    traced = torch_graph(FromFeatures(module, scale).eval(), torch.zeros(2, 5), name_in="features", name_out="answer")
    rows = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)

    for one in (rows, rows[:1]):
        np.testing.assert_allclose(answers(written, one), answers(traced, one), rtol=1e-5, atol=1e-6)
    assert [
        (value.name, [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim])
        for value in (*written.graph.input, *written.graph.output)
    ] == [("features", ["batch", 5]), ("answer", ["batch", outputs])]
