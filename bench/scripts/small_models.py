"""Small networks as ONNX files, made without a library to train them: perceptron, residual network, transformer."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET: Final = 18
IR: Final = 10


class Draft:
    """A graph in the making; weights are sines, scaled so that values neither vanish nor burst."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, *shape: int) -> str:
        """Add an initializer."""
        name = f"w{len(self.weights)}"
        scale = np.sqrt(2 / max(1, math.prod(shape[1:]) if len(shape) == 4 else shape[0]))
        values = np.sin(np.arange(1, math.prod(shape) + 1, dtype=np.float32) * 12.9898) * scale
        self.weights.append(numpy_helper.from_array(values.reshape(shape).astype(np.float32), name))
        return name

    def constant(self, values: Any) -> str:
        """Add an initializer of these values."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"{operator}_{name}", **attributes))
        return name

    def save(self, path: Path, shape: tuple[int, ...], output: str) -> Path:
        """Write the graph from "x" to *output*."""
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.weights,
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR), path)
        return path


def perceptron(path: Path, widths: tuple[int, ...] = (64, 256, 256, 10)) -> Path:
    """Write a perceptron: [1, 64] to [1, 10]."""
    draft, value = Draft(), "x"
    for number, (entering, leaving) in enumerate(itertools.pairwise(widths)):
        value = draft.add("Gemm", value, draft.weight(entering, leaving), draft.weight(leaving))
        if number < len(widths) - 2:
            value = draft.add("Relu", value)
    return draft.save(path, (1, widths[0]), value)


def residual(path: Path, width: int = 16, blocks: int = 3, pixels: int = 32) -> Path:
    """Write a residual network: [1, 3, 32, 32] to [1, 10]."""
    draft = Draft()
    value = draft.add("Relu", _convolved(draft, "x", 3, width))
    for _ in range(blocks):
        inner = draft.add("Relu", _convolved(draft, value, width, width))
        value = draft.add("Relu", draft.add("Add", value, _convolved(draft, inner, width, width)))
    flat = draft.add("Flatten", draft.add("GlobalAveragePool", value))
    return draft.save(path, (1, 3, pixels, pixels), draft.add("Gemm", flat, draft.weight(width, 10), draft.weight(10)))


def _convolved(draft: Draft, value: str, entering: int, leaving: int) -> str:
    return draft.add("Conv", value, draft.weight(leaving, entering, 3, 3), draft.weight(leaving), pads=[1, 1, 1, 1])


def transformer(path: Path, width: int = 128, layers: int = 2, heads: int = 4, length: int = 32) -> Path:
    """Write an encoder without embeddings: [1, 32, 128] to [1, 10]."""
    draft, value = Draft(), "x"
    split = draft.constant(np.array([1, length, heads, width // heads], np.int64))
    joined = draft.constant(np.array([1, length, width], np.int64))
    scale = draft.constant(np.float32(1 / math.sqrt(width // heads)))
    for _ in range(layers):
        normed = _normed(draft, value, width)
        q, k, v = (draft.add("Reshape", draft.add("MatMul", normed, draft.weight(width, width)), split) for _ in "qkv")
        q, v = (draft.add("Transpose", one, perm=[0, 2, 1, 3]) for one in (q, v))
        scores = draft.add("Mul", draft.add("MatMul", q, draft.add("Transpose", k, perm=[0, 2, 3, 1])), scale)
        mixed = draft.add("MatMul", draft.add("Softmax", scores, axis=-1), v)
        mixed = draft.add("Reshape", draft.add("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
        value = draft.add("Add", value, draft.add("MatMul", mixed, draft.weight(width, width)))
        wide = draft.add("Relu", draft.add("MatMul", _normed(draft, value, width), draft.weight(width, 4 * width)))
        value = draft.add("Add", value, draft.add("MatMul", wide, draft.weight(4 * width, width)))
    pooled = draft.add("ReduceMean", value, draft.constant(np.array([1], np.int64)), keepdims=0)
    return draft.save(path, (1, length, width), draft.add("Gemm", pooled, draft.weight(width, 10), draft.weight(10)))


def _normed(draft: Draft, value: str, width: int) -> str:
    ones, zeros = draft.constant(np.ones(width, np.float32)), draft.constant(np.zeros(width, np.float32))
    return draft.add("LayerNormalization", value, ones, zeros, axis=-1)


def extra_work(source: Path, output: Path, *, size: int) -> Path:
    """Write *source* with sines of *size* numbers that hang on its answer and add next to nothing to it.

    The size is noted in a JSON beside it.
    """
    model = onnx.load(source)
    graph = model.graph
    answer = graph.output[0].name
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.linspace(0, 1, size, dtype=np.float32), "extra_values"),
            numpy_helper.from_array(np.float32(1e-9), "extra_weight"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("ReduceMean", [answer], ["extra_mean"], keepdims=0),
            helper.make_node("Add", ["extra_values", "extra_mean"], ["extra_sum"]),
            helper.make_node("Sin", ["extra_sum"], ["extra_sines"]),
            helper.make_node("ReduceMean", ["extra_sines"], ["extra_one"], keepdims=0),
            helper.make_node("Mul", ["extra_one", "extra_weight"], ["extra_little"]),
            helper.make_node("Add", [answer, "extra_little"], ["answer_after_extra"]),
        ]
    )
    graph.output[0].name = "answer_after_extra"
    onnx.save(model, output)
    output.with_suffix(".json").write_text(json.dumps({"size": size}), encoding="utf-8")
    return output
