"""A table of published latencies is read strictly, and names say what they can."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_latencies import table_lines, write_table

from hpmkd_edge.bench.published_table import COLUMNS, board_of, family_of, kind_of, read_table
from hpmkd_edge.errors import BadData

HEAD = ",".join(COLUMNS)
GOOD = "resnet18-224,11.69,1.81,Board CPU,fp32,1,9.5,example.org (p50)"


def test_rows_without_features_or_of_other_batches_are_counted_and_not_used(tmp_path):
    """Empty params_m or gmacs, batch 8, and what is there twice."""
    path = tmp_path / "t.csv"
    lines = [HEAD, GOOD, GOOD, GOOD.replace("1.81", ""), GOOD.replace("fp32,1", "fp32,8")]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = read_table(path)
    (row,) = table.rows

    assert (table.incomplete, table.larger, table.repeated) == (1, 1, 1)
    assert (row.macs, row.parameters, row.ms, row.family, row.kind) == (1.81e9, 11.69e6, 9.5, "resnet", "cpu")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "line 1: nothing was found"),
        (["a,b"], "line 1: a,b was found; model,params_m"),
        ([HEAD, GOOD, GOOD + ",more"], "line 3: 9 values were found; 8 are needed"),
        ([HEAD, GOOD.replace("9.5", "fast")], "line 2: latency_ms is 'fast'; a number above 0 is needed"),
        ([HEAD, GOOD.replace("9.5", "-1")], "line 2: latency_ms is '-1'"),
        ([HEAD, GOOD.replace("9.5", "nan")], "line 2: latency_ms is 'nan'"),
        ([HEAD, GOOD.replace("1.81", "1e999")], "line 2: gmacs is '1e999'"),
        ([HEAD, GOOD.replace("Board CPU", "")], "line 2: device is empty"),
        ([HEAD, '"open'], "cannot be read as a CSV"),
    ],
)
def test_a_malformed_table_is_one_sentence_with_the_line(tmp_path, lines, sentence):
    """What was found, then what is needed."""
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines), encoding="utf-8")

    with pytest.raises(BadData, match=sentence):
        read_table(path)


@given(st.text(max_size=200))
def test_any_text_is_a_table_or_a_sentence(tmp_path_factory, text):
    """Nothing else is raised, whatever follows the head."""
    path = tmp_path_factory.mktemp("any") / "t.csv"
    path.write_text(f"{HEAD}\n{GOOD}\n{text}", encoding="utf-8", errors="replace")
    with contextlib.suppress(BadData):
        assert len(read_table(path).rows) >= 1


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("mobilenet-v1-0.25-128", "mobilenet-v1"),
        ("mobilenet_v2-224", "mobilenet-v2"),
        ("mobilenetv3_large_100-224", "mobilenet-v3"),
        ("mobilenet-v3-small-minimalistic-1.0-224", "mobilenet-v3"),
        ("efficientnet-lite0-224", "efficientnet-lite"),
        ("efficientnet_b4-380", "efficientnet"),
        ("resnet50-v1.5-224", "resnet"),
        ("wide_resnet50_2-176", "wide-resnet"),
        ("resnext50_32x4d-224", "resnext"),
        ("convnext_tiny-224", "convnext"),
        ("vit_base_patch16_224-224", "vit"),
        ("yolo11n-640", "yolo"),
        ("mnasnet0_5-224", "mnasnet"),
        ("7", "7"),
    ],
)
def test_a_family_is_the_words_before_a_size(model, family):
    """Versions are families of their own; widths, depths and resolutions are not."""
    assert family_of(model) == family


@pytest.mark.parametrize(
    ("device", "board", "kind"),
    [
        ("Jetson AGX Orin 32GB CPU (12x A78AE 2.2GHz) ArmNN-Neon [MLPerf v3.0]", "JETSON AGX ORIN", "cpu"),
        ("Jetson AGX Orin 64GB (JP6.2, ultralytics 8.3.133) GPU TensorRT", "JETSON AGX ORIN", "tensorrt"),
        ("Jetson Orin Nano Super 8GB (JP6.1) ONNX Runtime GPU", "JETSON ORIN NANO", "gpu"),
        ("Raspberry Pi 4B 8GB (4x A72 1.8GHz) TFLite-ruy [MLPerf v2.1]", "RASPBERRY PI 4B", "cpu"),
        ("ODROID-N2+ (S922X) ArmNN-OpenCL(Mali GPU) [MLPerf v2.1]", "ODROID N2+", "gpu"),
        ("Samsung Galaxy S24 onnx (mixed)", "SAMSUNG GALAXY S24", "npu"),
        ("microtvm_cmsis_nn/NUCLEO_L4R5ZI (OctoML) [MLPerf Tiny v1.0]", "NUCLEO L4R5ZI", "mcu"),
        ("NVIDIA T4 (Dell XE2420) TensorRT [MLPerf v3.0]", "NVIDIA T4", "tensorrt"),
    ],
)
def test_a_board_is_one_whatever_runs_on_it(device, board, kind):
    """Runtime, release, memory and power mode are no other machine: what leaves it out leaves all of it out."""
    assert (board_of(device), kind_of(device)) == (board, kind)


def test_boards_with_the_same_figures_are_one(tmp_path):
    """One chip under two names would be known by its twin when it is left out."""
    lines = table_lines()
    twins = [line.replace("Alpha 1", "Alias 9") for line in lines[1:] if "Alpha 1" in line]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines + twins), encoding="utf-8")

    assert {row.board for row in read_table(path).rows} == {"ALPHA 1", "BETA 2", "GAMMA 3", "DELTA 4"}
    assert len(read_table(write_table(tmp_path / "u.csv")).rows) == len(lines) - 1
