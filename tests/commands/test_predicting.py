"""`predict` and `targets check --table`, as they are typed."""

import hashlib
import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from sample_latencies import write_table
from sample_records import make_host, make_profile
from typer.testing import CliRunner

from hpmkd_edge.bench.profile import Shape, write_profile
from hpmkd_edge.cli import app

BOARD = make_host(model="Raspberry Pi 4 Model B Rev 1.4", memory_mb=3800.0)


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def save_layers(path, width, layers):
    nodes, weights, entering = [], [], "x"
    for layer in range(layers):
        weights.append(numpy_helper.from_array(np.ones((width, width), np.float32), f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [entering, f"w{layer}"], [f"h{layer}"]))
        nodes.append(helper.make_node("Relu", [f"h{layer}"], [f"y{layer}"]))
        entering = f"y{layer}"
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info(entering, TensorProto.FLOAT, ["batch", width])],
        weights,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture
def records(tmp_path):
    """Six perceptrons, as a board would have timed them: 1 ns a multiply-add and 0.1 ms a layer."""
    folder = tmp_path / "records"
    folder.mkdir()
    for width in (32, 64, 128):
        for layers in (2, 8):
            path = save_layers(folder / f"{width}-{layers}.onnx", width, layers)
            profile = make_profile(
                ms=width * width * layers * 1e-6 + 0.1 * layers,
                model=path.name,
                model_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                shapes=(Shape(name="x", sizes=(1, width)),),
                host=BOARD,
            )
            write_profile(profile, path.with_suffix(".json"))
    return folder


def test_a_model_is_predicted_from_records_of_the_board(tmp_path, records):
    """The latency between theirs, its interval and provenance; 0, for people and for machines."""
    model = save_layers(tmp_path / "m.onnx", 96, 4)
    text = run("predict", model, "--target", "rpi4", "--records", records)
    found = json.loads(run("predict", model, "--target", "rpi4", "--records", records, "--format", "json").stdout)

    assert text.exit_code == 0
    assert text.stdout.startswith("predicted on rpi4: p50 ")
    assert found["prediction"]["provenance"] == "predicted"
    assert found["prediction"]["ms"] == pytest.approx(96 * 96 * 4 * 1e-6 + 0.4, rel=0.02)
    assert found["features"]["dense_macs"] == 96 * 96 * 4


def test_records_of_another_machine_are_no_calibration(tmp_path, records):
    """A Raspberry Pi 4's say nothing of a Raspberry Pi 5: unknown, 5, and why."""
    model = save_layers(tmp_path / "m.onnx", 96, 4)
    found = run("predict", model, "--target", "rpi5", "--records", records)

    assert found.exit_code == 5
    assert "unknown on rpi5: 0 models in fp32 were measured on the device; 5 are needed." in found.stdout


def test_without_records_published_figures_or_unknown(tmp_path):
    """A perceptron is like none of the models with published figures."""
    found = run("predict", save_layers(tmp_path / "m.onnx", 96, 4), "--target", "rpi4")

    assert found.exit_code == 5
    assert "models with convolutions" in found.stdout


def test_a_table_or_a_file_is_checked(tmp_path):
    """One of the two; JSON has the same figures as the text."""
    table = write_table(tmp_path / "t.csv")
    text = run("targets", "check", "--table", table)
    found = json.loads(run("targets", "check", "--table", table, "--format", "json").stdout)

    assert text.exit_code == 0
    assert f"{found['rows']:,} latencies" in text.stdout
    assert found["pools"][0]["boards"] == 4
    assert run("targets", "check").exception is not None
    assert run("targets", "check", tmp_path / "a.yaml", "--table", table).exception is not None
