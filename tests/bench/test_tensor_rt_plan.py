"""Saved engines: refused before TensorRT sees them unless GPU, version and content are those of the manifest."""

import json
from dataclasses import replace

import pytest

from hpmkd_edge.bench.runtimes.cuda_driver import Gpu
from hpmkd_edge.bench.runtimes.tensor_rt_build import Allowance, Built, Range
from hpmkd_edge.bench.runtimes.tensor_rt_plan import manifest_path, read_engine, read_manifest, save_engine
from hpmkd_edge.bench.runtimes.timing_cache import open_timing_cache
from hpmkd_edge.errors import BadOutput, MeasurementFailed

ORIN = Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30, integrated=True)
TENSORRT = "tensorrt 10.3.0"
BUILT = Built(
    plan=b"code of a GPU",
    seconds=12.5,
    inputs=(Range(name="x", least=(1, 3), usual=(4, 3), most=(4, 3), dtype="float32"),),
    flags=("TF32",),
    precision="int8",
    timing_cache=b"timings",
)


@pytest.fixture
def save(tmp_path):
    """A function that saves an engine, by default Orin's, and returns its path."""

    def saved(gpu=ORIN, allowance=Allowance(dla_core=1), built=BUILT):  # noqa: B008  frozen
        (tmp_path / "m.onnx").write_bytes(b"a model")
        engine = tmp_path / "m.engine"
        save_engine(
            built,
            engine,
            model=tmp_path / "m.onnx",
            gpu=gpu,
            tensorrt=TENSORRT,
            allowance=allowance,
            tool_version="1",
        )
        return engine

    return saved


def test_an_engine_of_this_gpu_and_version_is_read(save):
    """What was saved comes back, with what it was built with."""
    plan, manifest = read_engine(save(), ORIN, TENSORRT)

    assert plan == BUILT.plan
    assert (manifest.inputs, manifest.dla_core, manifest.precision) == (BUILT.inputs, 1, "int8")
    assert (manifest.gpu, manifest.compute_capability, manifest.build_s) == ("Orin", "8.7", 12.5)


def test_the_timings_lie_beside(save):
    """So that a board of the same kind builds from the ONNX file in a fraction of the time."""
    engine = save()

    assert engine.with_name(read_manifest(engine).timing_cache).read_bytes() == b"timings"


@pytest.mark.parametrize(
    ("gpu", "tensorrt", "sentence"),
    [
        (replace(ORIN, name="NVIDIA A10", compute_capability="8.6"), TENSORRT, r"built for Orin .*8\.7.*is NVIDIA A10"),
        (replace(ORIN, name="Orin NX"), TENSORRT, r"built for Orin \(.*this is Orin NX"),
        (ORIN, "tensorrt 10.16.1", r"by tensorrt 10\.3\.0; this is tensorrt 10\.16\.1: build it here from m\.onnx"),
        (ORIN, "tensorrt_rtx 1.7.1", "built by tensorrt 10"),
    ],
)  # fmt: skip
def test_an_engine_of_another_gpu_or_version_is_refused(save, gpu, tensorrt, sentence):
    """With what it was built for, and what to do."""
    with pytest.raises(MeasurementFailed, match=sentence):
        read_engine(save(), gpu, tensorrt)


def test_an_engine_of_no_single_gpu_runs_on_those_it_was_built_for(save):
    """TensorRT-RTX's: the capabilities that were asked for, or all of its own choice."""
    chosen, some = save(gpu=None, allowance=Allowance()), Allowance(capabilities=("8.9", "12.0"))

    assert read_engine(chosen, ORIN, TENSORRT)[0] == BUILT.plan
    with pytest.raises(MeasurementFailed, match=r"for GPUs of compute capability 8\.9, 12\.0; this is Orin"):
        read_engine(save(gpu=None, allowance=some), ORIN, TENSORRT)
    assert read_engine(save(gpu=None, allowance=some), replace(ORIN, compute_capability="8.9"), TENSORRT)


def test_an_engine_that_is_not_its_manifests_is_refused(save):
    """Cut off, changed, without one, or with one that is none."""
    engine = save()
    engine.write_bytes(BUILT.plan[:-1])
    with pytest.raises(MeasurementFailed, match="is not the engine of its manifest, or was cut off"):
        read_engine(engine, ORIN, TENSORRT)

    engine = save()
    found = json.loads(manifest_path(engine).read_text())
    manifest_path(engine).write_text(json.dumps({**found, "gpus": 1}))
    with pytest.raises(MeasurementFailed, match=r"cannot be read as the manifest of an engine: .*gpus"):
        read_engine(engine, ORIN, TENSORRT)
    manifest_path(engine).unlink()
    with pytest.raises(MeasurementFailed, match="has no manifest"):
        read_engine(engine, ORIN, TENSORRT)


def test_a_folder_that_cannot_be_written_is_said(save, tmp_path):
    """As the system says it."""
    (tmp_path / "m.engine").mkdir()

    with pytest.raises(BadOutput, match=r"m\.engine cannot be written: Is a directory"):
        save()


class FakeCache:
    def __init__(self, content):
        self.content = content

    def serialize(self):
        return self.content


class FakeConfig:
    """Takes a cache that is empty or begins with *device*, and adds to it what a build measures."""

    def __init__(self, device):
        self.device, self.timing = device, None

    def create_timing_cache(self, content):
        return FakeCache(content)

    def set_timing_cache(self, timing, ignore_mismatch):
        assert not ignore_mismatch
        fits = timing.content in (b"",) or timing.content.startswith(self.device)
        if fits:
            self.timing = timing
        return fits

    def get_timing_cache(self):
        return self.timing

    def build(self):
        self.timing.content = (self.timing.content or self.device) + b"+"


def test_a_second_build_begins_with_what_the_first_has_measured():
    """Kept in the user's cache, by version and GPU."""
    cache, grown = open_timing_cache(TENSORRT, ORIN), []
    for _ in range(2):
        config = FakeConfig(b"orin")
        assert cache.attach(config) is config.timing
        config.build()
        grown.append(cache.keep(config))

    assert grown == [b"orin+", b"orin++"]
    assert cache.path.read_bytes() == b"orin++"
    assert cache.path != open_timing_cache("tensorrt 10.4.0", ORIN).path
    assert cache.path != open_timing_cache(TENSORRT, replace(ORIN, name="Orin NX")).path


def test_timings_that_tensorrt_does_not_take_are_begun_anew():
    """A build is slower then, and nothing worse."""
    cache = open_timing_cache(TENSORRT, ORIN)
    cache.path.parent.mkdir(parents=True)
    cache.path.write_bytes(b"broken")
    config = FakeConfig(b"orin")
    cache.attach(config)
    config.build()

    assert cache.keep(config) == cache.path.read_bytes() == b"orin+"
