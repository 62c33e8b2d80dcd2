"""Files are tried in a process of their own: what becomes of one is an outcome, never a crash of ours."""

import json
from dataclasses import asdict

import pytest
from onnx import TensorProto, helper, save
from sample_readers import reader

from hpmkd_edge.bench import building
from hpmkd_edge.bench.building import Outcome, Wish, try_to_build
from hpmkd_edge.bench.profile import Shape
from hpmkd_edge.bench.runtimes import cuda_driver, tensor_rt
from hpmkd_edge.bench.runtimes.tensor_rt_plan import read_manifest
from hpmkd_edge.errors import BadConfiguration, BadOutput, RuntimeUnavailable
from hpmkd_edge.export.conversion import save_student


def test_a_file_that_is_taken_becomes_an_engine(rtx, images_file, tmp_path):
    """With what it takes and computes in; saved where it was asked for."""
    engine = tmp_path / "images.engine"
    outcome = try_to_build(Wish(model=images_file, batch=4, workspace_bytes=1 << 28, output=engine))
    manifest = read_manifest(engine)

    assert (outcome.failure, outcome.refused, outcome.precision) == (None, (), "fp32")
    assert outcome.engine_bytes == engine.stat().st_size
    assert (manifest.inputs[0].most[0], manifest.workspace_bytes) == (4, 1 << 28)


def test_a_file_that_is_not_taken_has_its_operators_named(rtx, tmp_path):
    """An outcome, as every user's first export may be one."""
    path = tmp_path / "words.onnx"
    graph = helper.make_graph(
        [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="shrink")],
        "words",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("q", TensorProto.UINT8, [1, 3])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    outcome = try_to_build(Wish(model=path))

    assert outcome.engine_bytes is None
    assert [(one.operator, one.node) for one in outcome.refused] == [("DynamicQuantizeLinear", "shrink")]
    assert "TensorRT cannot parse words.onnx" in outcome.failure


def test_a_text_student_is_built_for_as_many_pieces_as_are_wished(rtx, tmp_path):
    """Its pieces are open, and an engine fixes them; without a shape the sentence says how to give one."""
    _, inlet, module = reader()
    path = save_student(module, inlet, tmp_path / "student.onnx", facts={}).path
    engine = tmp_path / "student.engine"
    outcome = try_to_build(Wish(model=path, shapes=(Shape(name="ids", sizes=(1, 9)),), output=engine))

    assert outcome.failure is None
    assert read_manifest(engine).inputs[0].most == (1, 9)
    with pytest.raises(BadConfiguration, match=r"open axis 1; .* --shape ids=1,SIZE"):
        try_to_build(Wish(model=path))
    with pytest.raises(BadConfiguration, match="there is no input 'words'"):
        try_to_build(Wish(model=path, shapes=(Shape(name="words", sizes=(1, 9)),)))


@pytest.mark.parametrize(
    ("program", "end"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV"),
        ("raise SystemExit(3)", "ended with code 3; its message is above"),
        ("import time; time.sleep(60)", "took longer than the 0.5 s that it may"),
    ],
)
def test_a_crash_is_an_outcome(rtx, monkeypatch, images_file, program, end):
    """TensorRT is other people's native code, and the file may be anybody's."""
    run = building._run
    monkeypatch.setattr(building, "_run", lambda command, timeout_s: run([command[0], "-c", program], timeout_s))
    outcome = try_to_build(Wish(model=images_file), timeout_s=0.5 if "sleep" in program else 60)

    assert outcome == Outcome(model=images_file, failure=f"the process that built images.onnx {end}.")


def test_what_cannot_be_wished_is_an_error(rtx, images_file, tmp_path):
    """Before a process is started, or as that process says."""
    (tmp_path / "text.onnx").write_text("no model")

    with pytest.raises(BadConfiguration, match="a batch of 0 was asked for; at least 1"):
        try_to_build(Wish(model=images_file, batch=0))
    with pytest.raises(BadConfiguration, match=r"m\.bin was asked for; a name that ends in \.engine or \.plan"):
        try_to_build(Wish(model=images_file, output=tmp_path / "m.bin"))
    with pytest.raises(BadConfiguration, match=r"text\.onnx is cut off, or no ONNX at all"):
        try_to_build(Wish(model=tmp_path / "text.onnx"))
    with pytest.raises(RuntimeUnavailable, match="DLA core 1 was asked for"):
        try_to_build(Wish(model=images_file, dla_core=1))
    with pytest.raises(BadOutput, match="cannot be written"):
        try_to_build(Wish(model=images_file, output=tmp_path / "none" / "m.engine"))


def test_without_tensorrt_nothing_of_it_is_touched(monkeypatch, images_file):
    """The package and the driver are looked for; no process is started."""
    monkeypatch.setattr(building, "_run", None)
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libnone.so.1")
    for packages, reason in ((("no_trt", "no_rtx"), "nor no_rtx is installed"), (("json",), "no NVIDIA")):
        monkeypatch.setattr(tensor_rt, "PACKAGES", packages)

        with pytest.raises(RuntimeUnavailable, match=f"TensorRT cannot build here: .*{reason}"):
            try_to_build(Wish(model=images_file))


def test_what_is_asked_and_answered_is_plain_json(rtx, tmp_path, images_file):
    """The process could be another Python's."""
    wish = Wish(model=images_file, capabilities=("8.6",))
    (tmp_path / "wish.json").write_text(json.dumps(asdict(wish), default=str))
    building.main(tmp_path)

    assert json.loads((tmp_path / "answer.json").read_text())["outcome"]["precision"] == "fp32"
