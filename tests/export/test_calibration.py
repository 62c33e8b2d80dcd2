"""What eight bits are made to span."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto
from sample_graphs import images_graph, save_nodes

from hpmkd_edge.errors import ConversionFailed
from hpmkd_edge.export.passes import calibration as module
from hpmkd_edge.export.passes.calibration import BINS, CALIBRATIONS, Spread, spreads_of

FLOATS = arrays.arrays(np.float32, st.integers(1, 300), elements=st.floats(-1e6, 1e6, width=32))


def spread(values):
    reach = float(np.abs(values).max())
    counts = np.histogram(values, BINS, (-reach or -1, reach or 1))[0]
    return Spread(least=float(values.min()), most=float(values.max()), counts=counts)


def naive_clip(counts, levels):
    """Clip after each number of bins in turn, and return the one with the least divergence, loop by loop."""
    counts = [counts[1], *counts[1:]]
    best, least = len(counts), np.inf
    for kept in range(len(counts), levels - 1, -8):
        wanted = [float(count) for count in counts[:kept]]
        wanted[-1] += sum(counts[kept:])
        told = [0.0] * kept
        for level in range(levels):
            first, last = level * kept // levels, (level + 1) * kept // levels
            filled = [i for i in range(first, last) if counts[i]]
            for i in filled:
                told[i] = sum(counts[first:last]) / len(filled)
        if not sum(told):
            break
        divergence = sum(
            p / sum(wanted) * np.log((p / sum(wanted)) / (max(q, 1e-3) / sum(told)))
            for p, q in zip(wanted, told, strict=True)
            if p
        )
        if divergence < least:
            best, least = kept, divergence
    return best


@settings(max_examples=40, deadline=None)
@given(FLOATS, st.sampled_from([128, 255]))
def test_every_span_lies_within_all_values_and_zero(values, levels):
    """Zero has a number of its own in eight bits; nothing is spanned that never was."""
    least, most = min(0.0, float(values.min())), max(0.0, float(values.max()))

    for calibration in CALIBRATIONS:
        low, high = spread(values).limits(calibration, levels)
        assert least <= low <= 0 <= high <= most
    assert spread(values).limits("minmax", levels) == (least, most)


def test_a_single_value_far_out_is_cut_off():
    """By entropy and percentile; not by min-max, whose steps it makes wide."""
    values = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    values[0] = 40

    found = {one: spread(values).limits(one, 128)[1] for one in CALIBRATIONS}
    assert found["minmax"] == 40
    assert 2 < found["entropy"] < 6
    assert 3 < found["percentile"] < 6


def test_a_rectifier_s_zeros_do_not_decide():
    """Entropy spans the same, however many they are."""
    values = np.abs(np.random.default_rng(0).standard_normal(20_000)).astype(np.float32)
    with_zeros = np.concatenate([values, np.zeros(400_000, np.float32)])

    assert spread(with_zeros).limits("entropy", 255) == spread(values).limits("entropy", 255)


@pytest.mark.parametrize("levels", [16, 50])
def test_the_entropy_of_arrays_is_that_of_loops(levels):
    """On a long tail with empty bins."""
    values = np.random.default_rng(1).exponential(size=800)
    counts = np.histogram(values, 200, (0, values.max()))[0]

    assert module._least_divergent(counts, levels) == naive_clip(counts.tolist(), levels)


def test_the_batches_do_not_matter(tmp_path, monkeypatch):
    """Spreads of all rows are the same in one batch as in many."""
    source, feeds = images_graph(tmp_path / "s.onnx")
    model = onnx.load(source)
    once = spreads_of(model, ["y3", "logits"], feeds(50))
    monkeypatch.setattr(module, "MOST_ROWS", 7)
    parts = spreads_of(model, ["y3", "logits"], feeds(50))

    for name in once:
        assert once[name].least == pytest.approx(parts[name].least, abs=1e-5)
        assert once[name].counts.sum() == parts[name].counts.sum()
        assert np.abs(np.cumsum(once[name].counts) - np.cumsum(parts[name].counts)).max() <= 50


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((0, 2), np.float32), "no rows were given"),
        (np.zeros((3, 5), np.float32), "cannot be run"),
    ],
)
def test_rows_that_say_nothing_are_a_sentence(rows, message, tmp_path):
    """None, and those of another model."""
    source = save_nodes(
        tmp_path / "s.onnx",
        [("x", TensorProto.FLOAT, ["batch", 2])],
        [("MatMul", ["x", "w"], "y", {})],
        {"w": np.ones((2, 3), np.float32)},
        "y",
    )
    with pytest.raises(ConversionFailed, match=message):
        spreads_of(onnx.load(source), ["y"], {"x": rows})


@pytest.mark.parametrize("place", [0, 4, 9])
def test_one_value_that_is_no_number_is_seen(place, tmp_path, monkeypatch):
    """In whichever batch it is."""
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    rows = np.ones((10, 2), np.float32)
    rows[place, 0] = np.nan
    source = save_nodes(
        tmp_path / "s.onnx",
        [("x", TensorProto.FLOAT, ["batch", 2])],
        [("MatMul", ["x", "w"], "y", {})],
        {"w": np.ones((2, 3), np.float32)},
        "y",
    )
    found = spreads_of(onnx.load(source), ["x", "y"], {"x": rows})

    assert not found["x"].is_finite
    assert not found["y"].is_finite
