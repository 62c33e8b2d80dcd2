"""An engine on a GPU, over a stub of the driver: copies, graphs, shapes, times, memory, and what is given back."""

import ctypes
import gc
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hpmkd_edge.bench.runtimes import cuda_driver, tensor_rt
from hpmkd_edge.bench.runtimes.feeds import feeds_of_file
from hpmkd_edge.bench.runtimes.tensor_rt_build import WORKSPACE_BYTES, Allowance
from hpmkd_edge.bench.runtimes.tensor_rt_parse import Library
from hpmkd_edge.bench.runtimes.tensor_rt_session import EngineSession
from hpmkd_edge.errors import MeasurementFailed

LAUNCH = ctypes.CFUNCTYPE(None)


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
    """Doubles x [n, 3] into y, at the addresses it was given; while a stream records, the launch does so."""

    def __init__(self, engine):
        self.engine, self.rows, self.addresses, self.profiler, self.enqueued = engine, 0, {}, None, 0
        engine.contexts.append(self)

    def set_input_shape(self, name, shape):
        self.rows = shape[0]
        return shape[1:] == (3,) and shape[0] <= self.engine.most

    def get_tensor_shape(self, name):
        return (-1, 3) if self.engine.open_output and name == "y" else (self.rows, 3)

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        self.enqueued += 1
        if self.engine.driver.stub_recording():
            if not self.engine.recordable:
                self.engine.driver.stub_spoil()
                return False
            self.engine.launch = LAUNCH(self.compute)
            self.engine.driver.stub_on_launch(self.engine.launch)
            return True
        self.compute()
        if self.profiler:
            self.profiler.report_layer_time("double", 0.5)
        return stream != 0

    def compute(self):
        kind = ctypes.c_float * (3 * self.rows)
        x, y = (kind.from_address(self.addresses[name]) for name in "xy")
        y[:] = [2 * value for value in x]


class FakeEngine:
    num_io_tensors = 2
    device_memory_size_v2 = 1000

    def __init__(self, driver, most, recordable, open_output):
        self.driver, self.most, self.recordable, self.open_output = driver, most, recordable, open_output
        self.contexts = []

    def get_tensor_name(self, i):
        return "xy"[i]

    def get_tensor_mode(self, name):
        return {"x": "in", "y": "out"}[name]

    def get_tensor_dtype(self, name):
        return np.float32

    def create_execution_context(self):
        return FakeContext(self)

    def create_engine_inspector(self):
        layer = {"Name": "double", "LayerType": "ElementWise", "Outputs": [{"Format/Datatype": "Row major FP32"}]}
        return SimpleNamespace(get_engine_information=lambda form: json.dumps({"Layers": [layer]}))


@pytest.fixture
def session_of(driver):
    """A function that loads a fake engine for so many rows."""

    def load(rows, most=8, plan=b"plan", recordable=True, open_output=False, feeds=None):
        engine = FakeEngine(driver, most, recordable, open_output) if plan else None
        module = SimpleNamespace(
            __name__="fake",
            TensorIOMode=SimpleNamespace(INPUT="in"),
            LayerInformationFormat=SimpleNamespace(JSON="json"),
            IProfiler=object,
            nptype=lambda dtype: dtype,
            Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda plan: engine),
        )
        library = Library(module, SimpleNamespace(last_error=lambda: "of another GPU."))
        feeds = feeds or {"x": np.zeros((rows, 3), np.float32)}
        session = EngineSession(library, Path("m.engine"), plan, feeds, 1.5)
        session.fake = engine
        return session

    return load


def test_an_engine_answers_what_it_was_given(session_of):
    """Through the device's memory and back; smaller batches too, and non-contiguous ones; recorded or not."""
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)

    for recordable in (True, False):
        session = session_of(rows=4, recordable=recordable)
        for batch in (whole[:, ::2], whole[:, 1::2], whole[:1, :3], whole[1:2, :3], whole[2:, 3:], whole[:, ::2]):
            np.testing.assert_array_equal(session.run({"x": batch}), 2 * batch)


def test_a_shape_is_enqueued_once_recorded_once_and_then_replayed(session_of):
    """TensorRT's own call comes twice for a shape; another shape is another recording."""
    session = session_of(rows=4)
    (context,) = session.fake.contexts
    counts = []
    for rows in (4, 4, 4, 2, 2, 2):
        session.run({"x": np.ones((rows, 3), np.float32)})
        counts.append(context.enqueued)

    assert counts == [2, 2, 2, 4, 4, 4]
    assert session.providers == ("fake with a CUDA graph",)


def test_what_cannot_be_recorded_is_enqueued_and_the_record_says_so(session_of, driver):
    """With the reason; nothing is tried again for the same shape."""
    session = session_of(rows=2, recordable=False)
    for _ in range(4):
        session.run({"x": np.ones((2, 3), np.float32)})

    assert session.fake.contexts[0].enqueued == 4 + 1
    assert session.providers == ("fake without a CUDA graph (TensorRT cannot run m.engine on these inputs)",)
    assert not driver.stub_recording()


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("STUB_NO_GRAPHS", r"cuStreamEndCapture: operation failed .* \(901\)"),
        ("STUB_NO_INSTANCES", "InstantiateWithFl"),
    ],
)
def test_a_driver_that_refuses_a_graph_is_quoted(session_of, driver, monkeypatch, variable, reason):
    """The answers are the same, and nothing is left of the attempt."""
    monkeypatch.setenv(variable, "1")
    session = session_of(rows=2)
    held = driver.stub_handles()
    x = np.ones((2, 3), np.float32)
    answers = [session.run({"x": x}) for _ in range(3)]

    np.testing.assert_array_equal(answers, [2 * x] * 3)
    assert driver.stub_handles() == held
    assert re.search(reason, session.providers[0])


def test_times_are_those_of_the_runs_that_are_replayed(session_of):
    """The stub's device takes a millisecond between two events."""
    session = session_of(rows=4)
    assert (session.enqueue_share(), session.device_ms()) == (None, None)
    for _ in range(3):
        session.run({"x": np.zeros((4, 3), np.float32)})

    assert session.device_ms() == 1.0
    assert 0 < session.enqueue_share() < 1000


def test_layers_are_timed_in_a_pass_of_their_own(session_of):
    """In another context, without a graph: the session's own runs are not slowed."""
    session = session_of(rows=2)
    feeds = {"x": np.ones((2, 3), np.float32)}
    (layer,) = session.time_layers(feeds)
    own, other = session.fake.contexts

    assert (layer.name, layer.kind, layer.format, layer.ms) == ("double", "ElementWise", "Row major FP32", 0.5)
    assert own.profiler is None
    assert other.profiler is not None
    np.testing.assert_array_equal(session.run(feeds), 2 * feeds["x"])


def test_an_engine_says_what_it_takes(session_of):
    """Memory of inputs, outputs, activations and the plan; the build as it was timed."""
    session = session_of(rows=4)

    assert session.device_bytes == 2 * 4 * 3 * 4 + 1000 + len(b"plan")
    assert session.engine_build_s == 1.5


@pytest.mark.parametrize(("integrated", "counted"), [(False, 1 << 20), (True, 96 + 1000 + 4)])
def test_what_went_from_the_device_counts_where_it_has_memory_of_its_own(
    session_of, driver, monkeypatch, integrated, counted
):
    """On a Jetson it may be the process's own, which is counted already."""
    if integrated:
        monkeypatch.setenv("STUB_INTEGRATED", "1")
    session = session_of(rows=4)
    driver.stub_take(ctypes.c_size_t(1 << 20))
    session.run({"x": np.zeros((4, 3), np.float32)})

    assert session.device_bytes == counted


def test_a_batch_larger_than_the_memory_is_refused(session_of):
    """Though the engine would take it, the memory was allocated for less."""
    session = session_of(rows=2)

    with pytest.raises(MeasurementFailed, match="was loaded for smaller batches"):
        session.run({"x": np.zeros((3, 3), np.float32)})


def test_what_the_engine_does_not_take_is_refused(session_of):
    """Another shape, another type, another name; an output that has no shape before it is there."""
    session = session_of(rows=2)

    with pytest.raises(MeasurementFailed, match=r"does not take x in the shape \(1, 4\)"):
        session.run({"x": np.zeros((1, 4), np.float32)})
    with pytest.raises(MeasurementFailed, match="was fed float64 as x; it needs float32"):
        session.run({"x": np.zeros((2, 3))})
    with pytest.raises(MeasurementFailed, match="was fed z; it needs x"):
        session_of(rows=2, feeds={"z": np.zeros((2, 3), np.float32)})
    with pytest.raises(MeasurementFailed, match="gives y, whose shape depends on the values"):
        session_of(rows=2, open_output=True)


def test_an_engine_that_tensorrt_refuses_is_refused(session_of):
    """With the reason that TensorRT logged."""
    with pytest.raises(MeasurementFailed, match="cannot be loaded: of another GPU"):
        session_of(rows=1, plan=b"")


def test_everything_goes_with_the_session(session_of, driver):
    """Memory of both sides, stream, events and graph; also after a load that failed."""

    def held():
        gc.collect()
        return driver.stub_allocated(), driver.stub_pinned(), driver.stub_handles()

    before = held()
    session = session_of(rows=2)
    for rows in (2, 1):
        session.run({"x": np.zeros((rows, 3), np.float32)})
    during = held()
    session.fake = None
    del session
    with pytest.raises(MeasurementFailed):
        session_of(rows=9)

    assert tuple(np.subtract(during, before)) == (2, 2, 5)
    assert held() == before


def test_the_device_says_what_it_is(driver, monkeypatch):
    """As manifests and timing caches name it."""
    gpu = cuda_driver.describe()
    monkeypatch.setenv("STUB_INTEGRATED", "1")

    assert (gpu.name, gpu.compute_capability, gpu.memory_bytes, gpu.integrated) == ("Stub GPU", "8.7", 8 << 30, False)
    assert cuda_driver.describe().integrated


def test_a_driver_without_a_gpu_is_said(driver, monkeypatch):
    """It is there, and finds none."""
    assert cuda_driver.missing() is None
    monkeypatch.setenv("STUB_GPUS", "0")
    assert cuda_driver.missing() == "the NVIDIA driver finds no GPU."


def test_what_the_driver_refuses_is_said(driver, monkeypatch):
    """The call, the meaning and the number; of two sides of which one is refused, neither is kept."""
    with pytest.raises(MeasurementFailed, match=r"the GPU refused cuMemAlloc_v2: out of memory \(2\)"):
        cuda_driver.allocate(1 << 50)
    before = driver.stub_allocated()
    monkeypatch.setenv("STUB_NO_PINNED", "1")
    with pytest.raises(MeasurementFailed, match="cuMemHostAlloc"):
        cuda_driver.allocate(8)
    assert driver.stub_allocated() == before


def test_a_saved_engine_of_another_gpu_is_refused_before_tensorrt_reads_it(rtx, driver, images_file, tmp_path):
    """TensorRT itself would have to read it to find out; without a GPU it could not even do that."""
    engine = tmp_path / "images.engine"
    feeds = feeds_of_file(images_file)
    tensor_rt.build_engine(images_file, feeds, Allowance(capabilities=("12.0",)), output=engine)

    with pytest.raises(MeasurementFailed, match=r"built for GPUs of compute capability 12\.0; this is Stub GPU"):
        tensor_rt.load(engine, 1, feeds)


def test_a_build_may_use_a_quarter_of_the_gpus_memory(rtx, driver, monkeypatch):
    """Without a GPU it is a quarter of the smallest board's."""
    with_gpu = tensor_rt.allowance_here().workspace_bytes
    monkeypatch.setenv("STUB_GPUS", "0")

    assert with_gpu == 8 << 30 >> 2
    assert tensor_rt.allowance_here().workspace_bytes == WORKSPACE_BYTES
