"""The whole path on a GPU: build, save, load, run as a CUDA graph, time, layer by layer."""

import numpy as np
import pytest

from hpmkd_edge.bench.reference import reference_feeds, reference_file
from hpmkd_edge.bench.runtimes import onnx_runtime, tensor_rt
from hpmkd_edge.bench.runtimes.feeds import feeds_of_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(tensor_rt.missing() is not None, reason=f"TensorRT cannot run here: {tensor_rt.missing()}"),
]


def test_an_engine_answers_as_onnx_runtime_does(images_file):
    """For each batch size up to the one that it was built for; TensorFloat-32 keeps ten bits."""
    whole = feeds_of_file(images_file, batch=8)
    session, reference = tensor_rt.load(images_file, 1, whole), onnx_runtime.load(images_file, 1, whole)

    for rows in (8, 8, 1, 3, 3):
        feeds = {name: array[:rows] for name, array in whole.items()}
        np.testing.assert_allclose(session.run(feeds), reference.run(feeds), atol=2e-3)


def test_an_engine_runs_as_a_cuda_graph_and_is_timed():
    """Replayed runs answer alike, and the device says how long they take."""
    feeds = reference_feeds()
    with reference_file() as path:
        built = tensor_rt.load(path, 1, feeds)
        answers = [built.run(feeds) for _ in range(20)]

    np.testing.assert_array_equal(answers[1:], answers[1])
    assert built.providers[0].endswith("with a CUDA graph")
    assert built.device_ms() > 0
    assert built.enqueue_share() > 0
    assert built.device_bytes > feeds["x"].nbytes


def test_a_saved_engine_is_read_where_it_was_built(tmp_path):
    """With the answers of the one that was never saved."""
    feeds, engine = reference_feeds(), tmp_path / "reference.engine"
    with reference_file() as path:
        tensor_rt.build_engine(path, feeds, output=engine)
        fresh = tensor_rt.load(path, 1, feeds).run(feeds)

    np.testing.assert_allclose(tensor_rt.load(engine, 1, feeds).run(feeds), fresh, atol=1e-3)


def test_layers_add_up_to_the_engine():
    """Within what the profiler itself costs."""
    feeds = reference_feeds()
    with reference_file() as path:
        layers = tensor_rt.time_layers(path, feeds)
        session = tensor_rt.load(path, 1, feeds)
    for _ in range(20):
        session.run(feeds)

    assert 0.5 < sum(layer.ms for layer in layers) / session.device_ms() < 20
