"""Two files that run one after the other are loaded, measured and scored as one."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from hpmkd_edge.bench.__main__ import main
from hpmkd_edge.bench.measurement import compare, measure
from hpmkd_edge.bench.profile import read_profile
from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.bench.runtimes import onnx_runtime
from hpmkd_edge.bench.runtimes.chain import open_model
from hpmkd_edge.bench.runtimes.feeds import feeds_of_file
from hpmkd_edge.bench.scoring import answer
from hpmkd_edge.errors import BadConfiguration, MeasurementFailed

WEIGHTS = np.array([[1.0, -1.0, 0.5], [2.0, 0.0, -3.0]], np.float32)


def product(path, taken="shares"):
    """Two features to three numbers: [batch, 2] to [batch, 3]."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", [taken, "weights"], ["answers"])],
        "product",
        [helper.make_tensor_value_info(taken, TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("answers", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture
def pair(table_file, tmp_path):
    """A file with text columns, and the one that follows it."""
    return table_file, product(tmp_path / "second.onnx")


class OtherRuntime:
    """A runtime with a device, and the session that it loads."""

    providers = ("a device",)
    engine_build_s = 2.0
    device_bytes = 7

    def load(self, path, threads, feeds):
        self.asked = path, threads, feeds
        return self

    def run(self, feeds):
        (features,) = feeds.values()
        return features @ WEIGHTS

    def enqueue_share(self):
        return 0.5


def test_a_chain_is_the_composition_of_its_files(pair):
    """For any number of rows, and in any batches."""
    feeds = feeds_of_file(pair[0], batch=10)
    wanted = answer(pair[0], feeds) @ WEIGHTS

    np.testing.assert_allclose(answer(pair[1], feeds, preprocessing=pair[0]), wanted, rtol=1e-5)
    np.testing.assert_allclose(answer(pair[1], feeds, preprocessing=pair[0], batch=3), wanted, rtol=1e-5)


def test_the_second_file_runs_where_it_should_and_the_first_in_onnx_runtime(pair):
    """The device, its engine and its memory are those of the second; it is loaded for the features of the batch."""
    other, feeds = OtherRuntime(), feeds_of_file(pair[0], batch=4)
    session = open_model(other, pair[1], 1, feeds, preprocessing=pair[0])
    path, _, given = other.asked

    assert path == pair[1]
    assert {name: array.shape for name, array in given.items()} == {"shares": (4, 2)}
    assert (session.providers, session.engine_build_s, session.device_bytes) == (("a device",), 2.0, 7)
    assert session.enqueue_share() == 0.5
    np.testing.assert_allclose(session.run(feeds), answer(pair[1], feeds, preprocessing=pair[0]), rtol=1e-5)


def test_without_a_preprocessing_file_a_model_is_itself(images_file):
    """One file is loaded as ever."""
    session = open_model(onnx_runtime, images_file, 1, feeds_of_file(images_file))

    assert isinstance(session, onnx_runtime.OnnxSession)


def test_both_files_are_in_the_record(pair, brief):
    """One profile, the bytes of both, the digest of each, in the order in which they run."""
    taken = measure(
        pair[1], runtime="onnxruntime", feeds=feeds_of_file(pair[0]), sampling=brief(), preprocessing=pair[0]
    )
    before = taken.preprocessing

    assert taken.files == tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in pair)
    assert taken.model_bytes == sum(path.stat().st_size for path in pair)
    assert (taken.model, before.file) == ("second.onnx", "table.onnx")
    assert (before.runtime, before.runtime_version) == ("onnxruntime", onnx_runtime.version())
    assert taken.placement_share == 1.0
    assert len(taken.samples_ns) == 64


def test_a_chain_is_compared_with_a_model_of_one_file(pair, images_file, brief):
    """Each is fed what its own first file takes."""
    chain, single = compare(
        [pair[1], images_file],
        feeds=[feeds_of_file(pair[0]), feeds_of_file(images_file)],
        runtime="onnxruntime",
        sampling=brief(),
        preprocessing=[pair[0], None],
    )

    assert chain.preprocessing.file == "table.onnx"
    assert single.preprocessing is None


def test_the_command_for_a_board_takes_both_files(pair, tmp_path, brief, monkeypatch, capsys):
    """Made-up rows are those of the first file."""
    monkeypatch.setitem(SAMPLINGS, "quick", brief())
    output = tmp_path / "p.json"
    code = main([str(pair[1]), "--preprocessing", str(pair[0]), "--protocol", "quick", "--output", str(output)])

    assert code == 0
    assert read_profile(output).preprocessing.file == "table.onnx"
    assert "behind table.onnx in onnxruntime" in capsys.readouterr().out


def test_the_spread_that_a_gpu_may_have_is_not_asked_of_a_chain(profile, pair, brief):
    """Its first file is run by a CPU, whose runs vary more."""
    alone = profile(runtime="tensorrt", samples_ns=tuple(1_000_000 + 50_000 * (i % 3) for i in range(99)))
    before = measure(
        pair[1], runtime="onnxruntime", feeds=feeds_of_file(pair[0]), sampling=brief(), preprocessing=pair[0]
    ).preprocessing

    assert any("the runs vary" in flag for flag in alone.flags)
    assert not any("the runs vary" in flag for flag in replace(alone, preprocessing=before).flags)


def test_files_that_do_not_fit_together_are_named(pair, tmp_path):
    """By what the second takes; and a missing first file by its path."""
    feeds = feeds_of_file(pair[0])
    with pytest.raises(MeasurementFailed, match=r"second\.onnx was fed shares; it needs other"):
        open_model(onnx_runtime, product(tmp_path / "second.onnx", "other"), 1, feeds, preprocessing=pair[0])
    with pytest.raises(BadConfiguration, match=r"there is no file .*nothing\.onnx"):
        open_model(onnx_runtime, pair[1], 1, feeds, preprocessing=tmp_path / "nothing.onnx")
