"""Which provider executes how many multiply-adds, by the runtime's own profile."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from hpmkd_edge.bench.placement import Ran, nodes_run, off_macs, read_events, share_on
from hpmkd_edge.bench.runtimes.feeds import feeds_of_file

CPU = "CPUExecutionProvider"


def array(name, *shape):
    return numpy_helper.from_array(np.sin(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape), name)


@pytest.fixture
def convolutions(tmp_path):
    """A convolution that will be fused with its activation, a depthwise one, a linear layer, a product."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "second", pads=[1, 1, 1, 1], group=8),
        helper.make_node("GlobalAveragePool", ["c2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["z"], "third"),
        helper.make_node("MatMul", ["z", "w4"], ["y"], "fourth"),
    ]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 10, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])],
        [array("w1", 8, 3, 3, 3), array("w2", 8, 1, 3, 3), array("w3", 8, 4), array("b3", 4), array("w4", 4, 5)],
    )
    path = tmp_path / "convolutions.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_fused_nodes_keep_their_multiply_adds(convolutions):
    """Channels out × positions × weights of each; what the runtime fuses or renames is counted as it runs."""
    batch = 2
    ran = nodes_run(convolutions, 1, [CPU], feeds_of_file(convolutions, batch=batch))

    macs = sorted(node.macs for node in ran if node.macs)
    assert macs == sorted(batch * each for each in (8 * 100 * 3 * 9, 8 * 100 * 9, 8 * 4, 4 * 5))
    assert {node.provider for node in ran} == {CPU}


def test_what_runs_elsewhere_is_off(convolutions):
    """All on the CPU: none is off it, all are off any other."""
    ran = nodes_run(convolutions, 1, [CPU], feeds_of_file(convolutions))
    every = sum(node.macs for node in ran)

    assert (off_macs(ran, CPU), off_macs(ran, "CUDAExecutionProvider")) == (0, every)
    assert share_on(0, every) == 1.0
    assert share_on(every, every) == 0.0
    assert share_on(0, 0) is None


def test_a_part_that_a_provider_compiled_is_what_is_left():
    """It shows as one node without shapes; the layer that stayed behind is a quarter of 400."""
    events = [
        {"cat": "Session", "name": "model_run"},
        {"cat": "Node", "name": "trt_0_kernel_time", "args": {
            "op_name": "TRTKernel", "provider": "TRT", "input_type_shape": [], "output_type_shape": []}},
        {"cat": "Node", "name": "last_kernel_time", "args": {
            "op_name": "Gemm", "provider": CPU, "input_type_shape": [{"float": [1, 10]}, {"float": [10, 10]}],
            "output_type_shape": [{"float": [1, 10]}]}},
    ]  # fmt: skip
    ran = read_events(events)

    assert ran == (
        Ran(name="trt_0", operator="TRTKernel", provider="TRT", macs=0),
        Ran(name="last", operator="Gemm", provider=CPU, macs=100),
    )
    assert share_on(off_macs(ran, "TRT"), 400) == 0.75
