"""Small graphs of each kind that is shipped: images, a table, text; untrained, and made without torch."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hpmkd_edge.export.perceptron_graph import perceptron_graph
from hpmkd_edge.export.table_graph import join_graphs, table_graph
from hpmkd_edge.tasks.encoding import fit_encoding
from hpmkd_edge.tasks.task import Column, Table

FACTS = {"hpmkd_edge.classes": '["a", "b", "c"]'}


def save_nodes(path, inputs, nodes, constants, output, classes=3, opset=18):
    """Write a graph of *nodes*, each (operator, inputs, output, attributes), with facts in its metadata."""
    graph = helper.make_graph(
        [helper.make_node(kind, read, [made], name=f"n_{made}", **options) for kind, read, made, options in nodes],
        "sample",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    helper.set_model_props(model, FACTS)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def floats(*shape, seed=0, scale=0.3):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def images_graph(path, channels=8):
    """Bytes to probabilities: a convolution with batch normalization, a residual block, a mean, a product."""
    nodes = [
        ("Cast", ["images"], "x0", {"to": TensorProto.FLOAT}),
        ("Transpose", ["x0"], "x1", {"perm": [0, 3, 1, 2]}),
        ("Mul", ["x1", "scale"], "x2", {}),
        ("Add", ["x2", "offset"], "x3", {}),
        ("Conv", ["x3", "w1"], "y1", {"pads": [1, 1, 1, 1]}),
        ("BatchNormalization", ["y1", "gain", "shift", "mean", "var"], "y2", {}),
        ("Relu", ["y2"], "y3", {}),
        ("Conv", ["y3", "w2", "b2"], "y4", {"pads": [1, 1, 1, 1]}),
        ("Add", ["y4", "y3"], "y5", {}),
        ("Relu", ["y5"], "y6", {}),
        ("MaxPool", ["y6"], "y7", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("GlobalAveragePool", ["y7"], "y8", {}),
        ("Flatten", ["y8"], "y9", {}),
        ("Gemm", ["y9", "w3", "b3"], "logits", {"transB": 1, "alpha": 2.0}),
        ("Softmax", ["logits"], "probabilities", {"axis": 1}),
    ]
    weights = floats(channels, channels, 3, 3, seed=2)
    weights[0] = 0  # a dead channel
    constants = {
        "scale": np.full((1, 3, 1, 1), 1 / 128, np.float32),
        "offset": np.full((1, 3, 1, 1), -1, np.float32),
        "w1": floats(channels, 3, 3, 3, seed=1),
        "gain": 1 + floats(channels, seed=4),
        "shift": floats(channels, seed=5),
        "mean": floats(channels, seed=6),
        "var": np.full(channels, 0.7, np.float32),
        "w2": weights,
        "b2": floats(channels, seed=7),
        "w3": floats(3, channels, seed=3, scale=2),
        "b3": floats(3, seed=8),
    }
    return save_nodes(
        path, [("images", TensorProto.UINT8, ["batch", 8, 8, 3])], nodes, constants, "probabilities"
    ), lambda rows: {"images": np.random.default_rng(rows).integers(0, 256, (rows, 8, 8, 3), np.uint8)}


def text_graph(path, words=100, width=16, length=6):
    """Identifiers to probabilities: an embedding, attention that masks the identifier 0, a mean, a product."""
    nodes = [
        ("Gather", ["table", "ids"], "x0", {}),
        ("Add", ["x0", "places"], "x", {}),
        ("Equal", ["ids", "none"], "empty", {}),
        ("Unsqueeze", ["empty", "one"], "masked", {}),
        ("MatMul", ["x", "wq"], "q", {}),
        ("MatMul", ["x", "wk"], "k", {}),
        ("MatMul", ["x", "wv"], "v", {}),
        ("Transpose", ["k"], "kt", {"perm": [0, 2, 1]}),
        ("MatMul", ["q", "kt"], "scores", {}),
        ("Mul", ["scores", "quarter"], "scaled", {}),
        ("Where", ["masked", "lowest", "scaled"], "kept", {}),
        ("Softmax", ["kept"], "shares", {"axis": -1}),
        ("MatMul", ["shares", "v"], "mixed", {}),
        ("Add", ["mixed", "x"], "y", {}),
        ("ReduceMean", ["y", "one"], "pooled", {"keepdims": 0}),
        ("Gemm", ["pooled", "wc", "bc"], "logits", {}),
        ("Softmax", ["logits"], "probabilities", {"axis": 1}),
    ]
    constants = {
        "table": floats(words, width, seed=1, scale=1),
        "places": floats(length, width, seed=2, scale=0.2),
        "none": np.int64(0),
        "one": np.array([1], np.int64),
        **{name: floats(width, width, seed=seed) for seed, name in enumerate(("wq", "wk", "wv"), 3)},
        "quarter": np.float32(0.25),
        "lowest": np.float32(np.finfo(np.float32).min),
        "wc": floats(width, 3, seed=6, scale=3),
        "bc": floats(3, seed=7),
    }

    def feeds(rows):
        generator = np.random.default_rng(rows)
        ids = generator.integers(1, words, (rows, length))
        ids[np.arange(length) >= generator.integers(1, length + 1, (rows, 1))] = 0
        ids[0] = 0  # a text without words
        return {"ids": ids}

    return save_nodes(path, [("ids", TensorProto.INT64, ["batch", length])], nodes, constants, "probabilities"), feeds


def table_of(rows):
    """Return rows with numbers far beyond half precision, a word and a whole number, some of them missing."""
    generator = np.random.default_rng(rows)
    money = (3e6 + 1e6 * generator.standard_normal(rows)).astype(np.float32)
    money[::7] = np.nan
    small = generator.standard_normal(rows).astype(np.float32)
    words = generator.choice(["red", "blue", ""], rows).astype(object)
    codes = generator.integers(100_000, 100_003, rows)
    kinds = {"money": money, "small": small, "word": words, "code": codes}
    return Table(
        columns=tuple(
            Column(name=name, kind="number" if values.dtype == np.float32 else "category", values=values)
            for name, values in kinds.items()
        )
    )


def table_sample(path, scale=None, widths=(32, 24, 16)):
    """Raw columns to probabilities, or to a value where *scale* is given: the encoding, then a perceptron."""
    torch.manual_seed(0)
    encoding = fit_encoding(table_of(400))
    layers, entering = [], encoding.width
    for width in (*widths, 3 if scale is None else 1):
        layers.append(nn.Linear(entering, width))
        nn.init.normal_(layers[-1].weight, std=entering**-0.5 * 1.5)
        entering = width
    output = "probabilities" if scale is None else "value"
    body = perceptron_graph(layers, scale, name_in="features", name_out=output)
    model = join_graphs(table_graph(encoding), body, via="features")
    helper.set_model_props(model, FACTS)
    onnx.save(model, path)
    return path, lambda rows: table_of(rows).feeds()


SAMPLES = {"images": images_graph, "text": text_graph, "table": table_sample}
