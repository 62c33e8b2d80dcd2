"""The TensorRT adapter: real parsing and building by TensorRT-RTX, running over a stub of the driver."""

import ctypes
import gc
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from hpmkd_edge.bench.reference import reference_feeds, reference_file
from hpmkd_edge.bench.runtimes import cuda_driver, tensor_rt
from hpmkd_edge.bench.runtimes.feeds import feeds_for
from hpmkd_edge.bench.runtimes.tensor_rt_session import EngineSession
from hpmkd_edge.errors import BadConfiguration, MeasurementFailed, RuntimeUnavailable


def test_the_reference_model_becomes_an_engine(rtx, capfd):
    """Serialized, with its progress on stderr and nothing on stdout."""
    with reference_file() as path:
        (declared,) = tensor_rt.inputs(path)
        plan = tensor_rt.build_engine(path, reference_feeds())
    out, err = capfd.readouterr()

    assert (declared.name, declared.dtype, declared.shape) == ("x", np.float32, (1, 16, 32, 32))
    assert len(plan) > 1000
    assert out == ""
    assert "built reference.onnx in" in err


def test_a_model_of_bytes_and_an_open_batch_becomes_an_engine(rtx, images_file):
    """The cast in the file is taken, and the batch axis gets a range."""
    declared = tensor_rt.inputs(images_file)
    plan = tensor_rt.build_engine(images_file, feeds_for(declared, batch=4))

    assert declared[0].shape == (None, 8, 8, 3)
    assert declared[0].dtype == np.uint8
    assert len(plan) > 1000


def test_an_operator_that_the_parser_refuses_is_named(rtx, tmp_path):
    """DynamicQuantizeLinear is what dynamic quantization writes."""
    outputs = [("y", TensorProto.UINT8), ("scale", TensorProto.FLOAT), ("zero", TensorProto.UINT8)]
    graph = helper.make_graph(
        [helper.make_node("DynamicQuantizeLinear", ["x"], [name for name, _ in outputs], name="shrink")],
        "refused",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
    )
    path = tmp_path / "refused.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)

    with pytest.raises(MeasurementFailed, match=r"cannot parse refused\.onnx: .*DynamicQuantizeLinear"):
        tensor_rt.inputs(path)


def test_a_file_that_is_no_model_is_refused(rtx, tmp_path):
    """As is one that is not there, or that is an engine already."""
    (tmp_path / "text.onnx").write_text("no model")

    with pytest.raises(MeasurementFailed, match=r"cannot parse text\.onnx"):
        tensor_rt.inputs(tmp_path / "text.onnx")
    with pytest.raises(BadConfiguration, match="there is no file"):
        tensor_rt.inputs(tmp_path / "none.onnx")
    with pytest.raises(MeasurementFailed, match="is a built engine"):
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


@pytest.fixture(scope="session")
def stub_library(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build the stub of the driver")
    library = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    source = Path(__file__).with_name("driver_stub.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return library


@pytest.fixture
def driver(stub_library, monkeypatch):
    """The stub in place of NVIDIA's driver."""
    monkeypatch.setattr(cuda_driver, "LIBRARY", str(stub_library))
    cuda_driver._driver.cache_clear()
    yield ctypes.CDLL(str(stub_library))
    cuda_driver._driver.cache_clear()


class FakeContext:
    """Doubles x [n, 3] into y, at the addresses it was given; takes batches up to *most*."""

    def __init__(self, most):
        self.most, self.rows, self.addresses = most, 0, {}

    def set_input_shape(self, name, shape):
        self.rows = shape[0]
        return shape[1:] == (3,) and shape[0] <= self.most

    def get_tensor_shape(self, name):
        return (self.rows, 3)

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        kind = ctypes.c_float * (3 * self.rows)
        x, y = (kind.from_address(self.addresses[name]) for name in "xy")
        y[:] = [2 * value for value in x]
        return stream != 0


class FakeEngine:
    num_io_tensors = 2
    device_memory_size_v2 = 1000

    def __init__(self, most):
        self.most = most

    def get_tensor_name(self, i):
        return "xy"[i]

    def get_tensor_mode(self, name):
        return {"x": "in", "y": "out"}[name]

    def get_tensor_dtype(self, name):
        return np.float32

    def create_execution_context(self):
        return FakeContext(self.most)


def session_of(rows, most=8, plan=b"plan"):
    """A session over a fake engine that was loaded for *rows*."""
    module = SimpleNamespace(
        __name__="fake",
        TensorIOMode=SimpleNamespace(INPUT="in"),
        nptype=lambda dtype: dtype,
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda plan: FakeEngine(most) if plan else None),
    )
    logger = SimpleNamespace(last_error=lambda: "of another GPU.")
    feeds = {"x": np.zeros((rows, 3), np.float32)}
    return EngineSession(module, logger, Path("m.engine"), plan, feeds, 1.5)


def test_an_engine_answers_what_it_was_given(driver):
    """Through the device's memory and back; smaller batches too, and non-contiguous ones."""
    session = session_of(rows=4)
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)

    for batch in (whole[:, ::2], whole[:1, :3], whole[2:, 3:]):
        np.testing.assert_array_equal(session.run({"x": batch}), 2 * batch)


def test_an_engine_says_what_it_takes(driver):
    """Memory of inputs, outputs, activations and the plan; the build as it was timed; the share as it ran."""
    session = session_of(rows=4)
    assert session.enqueue_share() is None
    session.run({"x": np.zeros((4, 3), np.float32)})

    assert session.device_bytes == 2 * 4 * 3 * 4 + 1000 + len(b"plan")
    assert session.engine_build_s == 1.5
    assert session.providers == ("fake",)
    assert session.enqueue_share() > 0


def test_a_batch_larger_than_the_memory_is_refused(driver):
    """Though the engine would take it, the memory was allocated for less."""
    session = session_of(rows=2)

    with pytest.raises(MeasurementFailed, match="was loaded for smaller batches"):
        session.run({"x": np.zeros((3, 3), np.float32)})


def test_what_the_engine_does_not_take_is_refused(driver):
    """Another shape, another type."""
    session = session_of(rows=2)

    with pytest.raises(MeasurementFailed, match=r"does not take x in the shape \(1, 4\)"):
        session.run({"x": np.zeros((1, 4), np.float32)})
    with pytest.raises(MeasurementFailed, match="was fed float64 as x; it needs float32"):
        session.run({"x": np.zeros((2, 3))})


def test_an_engine_of_another_gpu_is_refused(driver):
    """With the reason that TensorRT logged."""
    with pytest.raises(MeasurementFailed, match="cannot be loaded: of another GPU"):
        session_of(rows=1, plan=b"")


def test_the_memory_goes_with_the_session(driver):
    """Nothing is left on the device."""
    before = driver.stub_allocated()
    session = session_of(rows=2)
    during = driver.stub_allocated()
    del session
    gc.collect()

    assert (during - before, driver.stub_allocated()) == (2, before)


def test_a_driver_without_a_gpu_is_said(driver, monkeypatch):
    """It is there, and finds none."""
    assert cuda_driver.missing() is None
    monkeypatch.setenv("STUB_GPUS", "0")
    assert cuda_driver.missing() == "the NVIDIA driver finds no GPU."


def test_what_the_driver_refuses_is_said(driver):
    """The call, the meaning and the number."""
    with pytest.raises(MeasurementFailed, match=r"the GPU refused cuMemAlloc_v2: out of memory \(2\)"):
        cuda_driver.allocate(1 << 50)
