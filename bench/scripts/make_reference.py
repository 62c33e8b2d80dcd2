"""Write bench/reference.onnx, the fixed model that every timing on a shared machine is compared with.

Six 3×3 convolutions of 16 channels over 32×32 pixels: 14 million multiplications, about 0.3 ms on one
core. All of them share one set of weights, so the file stays small; the weights are a formula, so that
it comes out the same everywhere. A changed file makes old and new ratios incomparable: don't.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

REFERENCE = Path(__file__).parents[1] / "reference.onnx"
CHANNELS, PIXELS, LAYERS = 16, 32, 6


def main() -> None:
    """Write the file anew."""
    weights = np.sin(np.arange(CHANNELS * CHANNELS * 9, dtype=np.float64)) / 2
    kernel = numpy_helper.from_array(weights.astype(np.float32).reshape(CHANNELS, CHANNELS, 3, 3), "kernel")
    shape = [1, CHANNELS, PIXELS, PIXELS]
    nodes, last = [], "x"
    for i in range(LAYERS):
        nodes.append(helper.make_node("Conv", [last, "kernel"], [f"conv{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"conv{i}"], [f"relu{i}"]))
        last = f"relu{i}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "reference",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CHANNELS])],
        [kernel],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model)
    save(model, REFERENCE)


if __name__ == "__main__":
    main()
