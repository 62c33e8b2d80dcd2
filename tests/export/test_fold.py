"""Folding changes the nodes, and nothing that a user sees."""

import numpy as np
import onnx
import pytest
from sample_graphs import FACTS, SAMPLES, images_graph

from hpmkd_edge.bench.scoring import answer
from hpmkd_edge.errors import ConversionFailed
from hpmkd_edge.export.passes.fold import fold
from hpmkd_edge.export.versions import IR_VERSION, OPSET


def signature(model):
    return [(one.name, one.type) for one in (*model.graph.input, *model.graph.output)]


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_folded_file_answers_the_same(kind, tmp_path, capfd):
    """With the inputs, outputs, metadata, opset and IR of before, in no more nodes, and without a word."""
    source, feeds = SAMPLES[kind](tmp_path / "s.onnx")
    fold(source, tmp_path / "f.onnx")
    before, after = onnx.load(source), onnx.load(tmp_path / "f.onnx")

    np.testing.assert_allclose(answer(tmp_path / "f.onnx", feeds(40)), answer(source, feeds(40)), atol=1e-5)
    assert signature(after) == signature(before)
    assert {fact.key: fact.value for fact in after.metadata_props} == FACTS
    assert {one.version for one in after.opset_import if one.domain == ""} == {OPSET}
    assert {one.domain for one in after.opset_import} == {one.domain for one in before.opset_import}
    assert after.ir_version == IR_VERSION
    assert len(after.graph.node) <= len(before.graph.node)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["f.onnx", "s.onnx"]
    assert capfd.readouterr() == ("", "")


def test_a_batch_normalization_goes_into_its_convolution(tmp_path):
    """It is an affine map of what a linear one makes."""
    source, _ = images_graph(tmp_path / "s.onnx")
    fold(source, tmp_path / "f.onnx")
    operators = [node.op_type for node in onnx.load(tmp_path / "f.onnx").graph.node]

    assert "BatchNormalization" in [node.op_type for node in onnx.load(source).graph.node]
    assert "BatchNormalization" not in operators
    assert operators.count("Conv") == 2


@pytest.mark.parametrize("kind", SAMPLES)
def test_folding_twice_is_folding_once(kind, tmp_path):
    """Nothing is left to be folded."""
    source, _ = SAMPLES[kind](tmp_path / "s.onnx")
    fold(source, tmp_path / "f.onnx")
    fold(tmp_path / "f.onnx", tmp_path / "g.onnx")

    assert (tmp_path / "g.onnx").read_bytes() == (tmp_path / "f.onnx").read_bytes()


def test_a_file_can_be_folded_in_place(tmp_path):
    """It is read before it is written."""
    source, feeds = images_graph(tmp_path / "s.onnx")
    before = answer(source, feeds(5))
    fold(source, source)

    np.testing.assert_allclose(answer(source, feeds(5)), before, atol=1e-5)


def test_what_is_no_graph_is_a_sentence(tmp_path):
    """And leaves nothing behind."""
    source, _ = images_graph(tmp_path / "s.onnx")
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConversionFailed, match=r"cannot be read as ONNX|is of ONNX operator set"):
        fold(source, tmp_path / "f.onnx")

    assert [one.name for one in tmp_path.iterdir()] == ["s.onnx"]
