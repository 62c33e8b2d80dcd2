"""The TensorRT adapter: real parsing and building by TensorRT-RTX, which needs no GPU for that."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from hpmkd_edge.bench.reference import reference_feeds, reference_file
from hpmkd_edge.bench.runtimes import cuda_driver, tensor_rt
from hpmkd_edge.bench.runtimes.feeds import feeds_for
from hpmkd_edge.bench.runtimes.tensor_rt_build import Allowance
from hpmkd_edge.bench.runtimes.tensor_rt_plan import read_manifest
from hpmkd_edge.errors import BadConfiguration, MeasurementFailed, RuntimeUnavailable


def test_the_reference_model_becomes_an_engine(rtx, capfd):
    """Serialized, with its progress on stderr and nothing on stdout."""
    with reference_file() as path:
        (declared,) = tensor_rt.inputs(path)
        built = tensor_rt.build_engine(path, reference_feeds())
    out, err = capfd.readouterr()

    assert (declared.name, declared.dtype, declared.shape) == ("x", np.float32, (1, 16, 32, 32))
    assert len(built.plan) > 1000
    assert built.precision == "fp32"
    assert out == ""
    assert "built reference.onnx in" in err


def test_a_model_of_bytes_and_an_open_batch_becomes_an_engine(rtx, images_file):
    """The cast in the file is taken, and the batch axis gets a range."""
    declared = tensor_rt.inputs(images_file)
    built = tensor_rt.build_engine(images_file, feeds_for(declared, batch=4))

    assert declared[0].shape == (None, 8, 8, 3)
    assert declared[0].dtype == np.uint8
    assert len(built.plan) > 1000
    assert (built.inputs[0].least, built.inputs[0].most) == ((1, 8, 8, 3), (4, 8, 8, 3))


def refused_file(path):
    """What dynamic quantization writes, what nobody knows, and one operator that TensorRT has."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"], name="shrink"),
        helper.make_node("MatMulInteger", ["q", "w"], ["product"], name="multiply"),
        helper.make_node("Relu", ["x"], ["r"], name="taken"),
        helper.make_node("Spell", ["r"], ["y"], name="cast", domain="our.own"),
    ]
    graph = helper.make_graph(
        nodes,
        "refused",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [
            helper.make_tensor_value_info("product", TensorProto.INT32, None),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(np.ones((3, 2), np.int8), "w")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("our.own", 1)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def test_every_operator_that_the_parser_refuses_is_named(rtx, tmp_path):
    """Not the first one alone, and nothing that it takes."""
    path = refused_file(tmp_path / "refused.onnx")
    refused = tensor_rt.refused(path)

    assert [(one.operator, one.node) for one in refused] == [
        ("DynamicQuantizeLinear", "shrink"),
        ("MatMulInteger", "multiply"),
        ("Spell", "cast"),
    ]
    with pytest.raises(MeasurementFailed, match=r"cannot parse refused\.onnx: Dynamic.* \(shrink\).*MatMul.*Spell"):
        tensor_rt.inputs(path)


def test_what_is_taken_has_no_refusals(rtx, images_file):
    """The survey of the parser and the parse agree."""
    assert tensor_rt.refused(images_file) == ()


@pytest.mark.parametrize("capabilities", [("8.6",), ("8.9", "12.0")])
def test_an_engine_is_built_for_gpus_that_are_not_here(rtx, images_file, capabilities):
    """TensorRT-RTX builds for those that it is told to."""
    feeds = feeds_for(tensor_rt.inputs(images_file), batch=1)
    built = tensor_rt.build_engine(images_file, feeds, Allowance(capabilities=capabilities))

    assert len(built.plan) > 1000


def test_hardware_that_is_not_here_is_not_built_for(rtx, images_file):
    """Not an accelerator, not a GPU that TensorRT-RTX knows nothing of, such as Orin's."""
    feeds = feeds_for(tensor_rt.inputs(images_file), batch=1)

    with pytest.raises(RuntimeUnavailable, match="DLA core 0 was asked for, and TensorRT finds 0 here"):
        tensor_rt.build_engine(images_file, feeds, Allowance(dla_core=0))
    with pytest.raises(RuntimeUnavailable, match=r"does not build for GPUs of compute capability 8\.7; .* 8\.9"):
        tensor_rt.build_engine(images_file, feeds, Allowance(capabilities=("8.7",)))


def one_input(name, nodes, kind, initializers=()):
    """A graph from x [1, 3] to y."""
    x, y = (helper.make_tensor_value_info(*one, [1, 3]) for one in (("x", TensorProto.FLOAT), ("y", kind)))
    return helper.make_graph(nodes, name, [x], [y], initializers)


def test_the_precision_of_an_engine_is_that_of_its_file(rtx, tmp_path):
    """Halves are fp16, quantized values int8; nothing else says so."""
    halves = [helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16), helper.make_node("Exp", ["h"], ["y"])]
    integers = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Exp", ["d"], ["y"]),
    ]
    constants = [numpy_helper.from_array(*one) for one in ((np.float32(0.1), "s"), (np.int8(0), "z"))]
    graphs = [
        one_input("halves", halves, TensorProto.FLOAT16),
        one_input("integers", integers, TensorProto.FLOAT, constants),
    ]
    found = []
    for graph in graphs:
        path = tmp_path / f"{graph.name}.onnx"
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
        found.append(tensor_rt.build_engine(path, feeds_for(tensor_rt.inputs(path))).precision)

    assert found == ["fp16", "int8"]


def test_a_saved_engine_says_what_it_takes(rtx, images_file, tmp_path):
    """Its manifest has the inputs of the file, and the file's digest."""
    declared = tensor_rt.inputs(images_file)
    engine = tmp_path / "images.engine"
    built = tensor_rt.build_engine(images_file, feeds_for(declared, batch=4), output=engine)
    manifest = read_manifest(engine)

    assert tensor_rt.inputs(engine) == declared
    assert engine.read_bytes() == built.plan
    assert manifest.model_sha256 == sha256(images_file.read_bytes()).hexdigest()
    assert manifest.tensorrt == tensor_rt.version()
    # TensorRT-RTX ties an engine to no GPU, and keeps no timings.
    assert (manifest.gpu, manifest.timing_cache) == (None, None)


def test_a_file_that_is_no_model_is_refused(rtx, tmp_path):
    """As is one that is not there, or that is an engine already."""
    (tmp_path / "text.onnx").write_text("no model")

    with pytest.raises(MeasurementFailed, match=r"cannot parse text\.onnx"):
        tensor_rt.inputs(tmp_path / "text.onnx")
    with pytest.raises(BadConfiguration, match="there is no file"):
        tensor_rt.inputs(tmp_path / "none.onnx")
    (tmp_path / "student.engine").write_bytes(b"built elsewhere")
    with pytest.raises(MeasurementFailed, match=r"has no manifest student\.engine\.json"):
        tensor_rt.inputs(tmp_path / "student.engine")


def test_feeds_under_other_names_are_refused(rtx, images_file):
    """Before anything is built."""
    with pytest.raises(MeasurementFailed, match="was fed x; it needs images"):
        tensor_rt.build_engine(images_file, {"x": np.zeros(1)})


def test_what_is_absent_is_said(monkeypatch):
    """The package, the driver, or both in one sentence."""
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libnone.so.1")
    monkeypatch.setattr(tensor_rt, "PACKAGES", ("no_tensorrt", "no_tensorrt_rtx"))
    assert tensor_rt.missing() == (
        "neither no_tensorrt nor no_tensorrt_rtx is installed"
        " and there is no NVIDIA driver (libnone.so.1 is not found)."
    )

    monkeypatch.setattr(tensor_rt, "PACKAGES", ("numpy",))
    assert tensor_rt.missing() == "there is no NVIDIA driver (libnone.so.1 is not found)."
    with pytest.raises(RuntimeUnavailable, match="no NVIDIA driver"):
        tensor_rt.load(Path("any.onnx"), 1, {})
