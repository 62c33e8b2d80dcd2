"""`export`: a file is tried in TensorRT, and the exit code says what became of it."""

import json
import sys

import pytest
from onnx import TensorProto, helper, save
from sample_readers import reader

from hpmkd_edge.bench.reference import reference_file
from hpmkd_edge.bench.runtimes import cuda_driver, tensor_rt
from hpmkd_edge.cli import main
from hpmkd_edge.export.conversion import save_student


@pytest.fixture
def run(monkeypatch, capfd):
    """Return a function that runs the command, and gives exit code, output and complaints."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["hpmkd-edge", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def refused_file(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="shrink")],
        "refused",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("q", TensorProto.UINT8, [1, 3])],
    )
    path = tmp_path / "refused.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_an_engine_is_built_and_saved(rtx, run, tmp_path):
    """One line on stdout; the progress is on stderr."""
    engine = tmp_path / "reference.engine"
    with reference_file() as path:
        code, out, err = run("export", path, "--check", "tensorrt", "--target", "jetson", "--output", engine)
    manifest = json.loads((tmp_path / "reference.engine.json").read_text())

    assert code == 0
    assert out.startswith("reference.onnx: built by tensorrt_rtx ")
    assert out.count("\n") == 1
    assert "building a tensorrt_rtx engine from reference.onnx" in err
    assert manifest["engine_bytes"] == engine.stat().st_size
    assert manifest["workspace_bytes"] == 8000 * 10**6 // 4


def test_what_is_refused_is_named_and_ends_with_4(rtx, run, refused_file):
    """Beside a file that is taken; for people and for machines."""
    with reference_file() as path:
        code, out, _ = run("export", path, refused_file, "--check", "tensorrt")
        machine_code, machine_out, _ = run("export", path, refused_file, "--check", "tensorrt", "--format", "json")
    lines, found = out.splitlines(), json.loads(machine_out)

    assert code == machine_code == found["exit_code"] == 4
    assert lines[1].startswith("refused.onnx: not taken by tensorrt_rtx")
    assert lines[2].startswith("  DynamicQuantizeLinear (shrink): ")
    assert [one["built"] for one in found["files"]] == [True, False]
    assert [one["operator"] for one in found["files"][1]["refused"]] == ["DynamicQuantizeLinear"]


def test_without_tensorrt_it_ends_with_3(run, monkeypatch, refused_file):
    """In one sentence, with what is missing."""
    monkeypatch.setattr(tensor_rt, "PACKAGES", ("no_trt", "no_rtx"))
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libnone.so.1")
    code, out, err = run("export", refused_file, "--check", "tensorrt")

    assert (code, out) == (3, "")
    assert err == (
        "hpmkd-edge: TensorRT cannot build here: neither no_trt nor no_rtx is installed and there is no NVIDIA driver"
        " (libnone.so.1 is not found).\n"
    )


def test_a_text_student_is_checked_with_the_shape_of_its_ids(rtx, run, tmp_path):
    """The flag that the sentence asks for is one that a check takes."""
    _, inlet, module = reader()
    path = save_student(module, inlet, tmp_path / "student.onnx", facts={}).path
    asked = run("export", path, "--check", "tensorrt")
    given = run("export", path, "--check", "tensorrt", "--shape", "ids=1,9")

    assert asked[0] == 2
    assert "--shape ids=1,SIZE" in asked[2]
    assert given[0] == 0
    assert given[1].startswith("student.onnx: ")


@pytest.mark.parametrize(("target", "code"), [("jetson", 3), ("jetsn", 2)])
def test_what_a_check_lacks_is_said_before_a_file_is_made(run, monkeypatch, tmp_path, target, code):
    """No runtime or no such target: nothing is written."""
    monkeypatch.setattr(tensor_rt, "PACKAGES", ("no_trt", "no_rtx"))
    output = tmp_path / "half.onnx"
    with reference_file() as path:
        found, out, err = run(
            "export", path, "--precision", "fp16", "--output", output, "--check", "tensorrt", "--target", target
        )

    assert (found, out) == (code, "")
    assert ("TensorRT cannot build here" if code == 3 else "no target 'jetsn'") in err
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("none.onnx",), "there is no file"),
        (("refused.onnx", "refused.onnx", "--output", "m.engine"), "2 models and one --output were given"),
        (("refused.onnx", "--target", "jetsn"), "there is no target 'jetsn'. Did you mean 'jetson'?"),
        (("refused.onnx", "--output", "m.onnx"), "m.onnx was asked for; a name that ends in .engine"),
    ],
)
def test_what_cannot_be_asked_ends_with_2(rtx, run, monkeypatch, refused_file, arguments, sentence):
    """Found, then needed."""
    monkeypatch.chdir(refused_file.parent)
    code, out, err = run("export", *arguments, "--check", "tensorrt")

    assert (code, out) == (2, "")
    assert sentence in err
