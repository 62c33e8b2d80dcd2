"""A job and its answer cross the folder between two processes unchanged."""

from pathlib import Path

import numpy as np
import pytest

from hpmkd_edge.bench.host import describe_host, read_state
from hpmkd_edge.bench.job import Answer, Job, Seen, read_answer, read_job, write_answer, write_job
from hpmkd_edge.bench.profile import Shape

FEEDS = {
    "file": np.array([["a"], ["ü"], [""]], np.object_),
    "a/b": np.array([[1.5], [np.nan], [-np.inf]], np.float32),
    "images": np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1),
    "flag": np.array([[True], [False], [True]]),
    "": np.array([[2**40]], np.int64),
}
SEEN = Seen(
    runtime_version="1",
    providers=("CPU",),
    load_ms=1.0,
    first_run_ms=2.0,
    warmup_ms=3.0,
    warmup_settled=True,
    engine_build_s=None,
    enqueue_share=0.5,
    peak_memory_mb=4.0,
    sampled_memory_mb=3.5,
    shapes=(Shape(name="x", sizes=(1, 3)), Shape(name="scalar", sizes=())),
)


@pytest.mark.parametrize("timed", [True, False])
def test_a_job_reads_back_as_it_was_written(tmp_path, brief, timed):
    """Names of any kind, strings as objects again, NaN, dtypes and shapes."""
    job = Job(
        runtime="onnxruntime",
        threads=2,
        models=(Path("/a b/m.onnx"), Path("/n.onnx")),
        preprocessing=(None, Path("/c d/p.onnx")),
        names=(tuple(FEEDS), ()),
        sampling=brief() if timed else None,
    )
    write_job(tmp_path, job, (FEEDS, {}))
    found, (feeds, nothing) = read_job(tmp_path)

    assert found == job
    assert nothing == {}
    assert list(feeds) == list(FEEDS)
    for name, array in FEEDS.items():
        assert feeds[name].dtype == array.dtype
        np.testing.assert_array_equal(feeds[name], array)


def test_an_answer_reads_back_as_it_was_written(tmp_path):
    """Samples keep their order; the machine is named."""
    answer = Answer(models=(SEEN,), failure=(), host=describe_host(), states=(read_state(),))
    samples = (np.arange(5), np.arange(5) * 2)
    write_answer(tmp_path, answer, samples)
    found, arrays = read_answer(tmp_path)

    assert found == answer
    np.testing.assert_array_equal(arrays, samples)


def test_no_answer_is_none(tmp_path):
    """A process that crashed has written none."""
    assert read_answer(tmp_path) is None
