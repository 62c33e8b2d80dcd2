"""`bench` and `bench compare`: what they print, refuse and end with."""

import json
import os
import re
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, load, numpy_helper, save
from sample_records import make_profile

from hpmkd_edge.bench import measurement, protocol
from hpmkd_edge.bench.profile import Preprocessing, Shape, write_profile
from hpmkd_edge.bench.reference import reference_file
from hpmkd_edge.cli import main
from hpmkd_edge.export.artifact import PREPROCESSING_SHA256
from hpmkd_edge.history import open_history

FIRST = Preprocessing(file="p.onnx", sha256="2" * 64, bytes=9, runtime="onnxruntime", runtime_version="1.31.0")


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the command, and gives exit code, output and complaints."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["hpmkd-edge", "bench", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def files(tmp_path):
    """Two files of one model."""
    with reference_file() as path:
        content = path.read_bytes()
    made = [tmp_path / "before.onnx", tmp_path / "after.onnx"]
    for one in made:
        one.write_bytes(content)
    return made


@pytest.fixture
def timed(monkeypatch):
    """Let measuring give profiles of these milliseconds, in order, and keep what it was asked."""
    asked = []

    def stand_in(*ms):
        def compare(paths, **options):
            asked.append(options)
            return tuple(
                make_profile(ms=one, model=path.name, precision=precision, threads=options["threads"])
                for path, one, precision in zip(paths, ms, options["precisions"], strict=True)
            )

        monkeypatch.setattr(measurement, "compare", compare)
        return asked

    return stand_in


def test_files_are_measured_side_by_side(run, files, brief, tmp_path):
    """Really, on this host: a row each, the whole of it in the file."""
    code, out, _ = run(*files, "--precision-of", "after=int8", "--output", tmp_path / "all.json")
    found = json.loads((tmp_path / "all.json").read_text())

    assert code in (0, 5)
    assert "before.onnx" in out
    assert [cell["profile"]["precision"] for cell in found["cells"]] == ["fp32", "int8"]
    assert found["cells"][0]["against_first"] is None
    assert found["cells"][1]["against_first"]["ratio"] == pytest.approx(1, rel=0.5)
    assert found["exit_code"] == code


MINE = """
targets:
  strict: {device: host, runtime: onnxruntime, precisions: [fp32], budgets: {latency_ms: {p90: {fail: 5}}}}
  patient: {device: host, runtime: onnxruntime, precisions: [fp32], budgets: {latency_ms: {p90: {fail: 50}}}}
"""


def test_targets_of_one_runtime_share_a_measurement(run, files, timed, tmp_path):
    """Two targets, one comparison; each judges by its own budgets: 6 ms are too many for one of them."""
    asked = timed(1.0, 6.0)
    (tmp_path / "mine.yaml").write_text(MINE)
    both = ("--targets", tmp_path / "mine.yaml", "--target", "strict", "--target", "patient")
    code, out, _ = run(*files, *both, "--format", "json")
    cells = json.loads(out)["cells"]

    assert len(asked) == 1
    assert [cell["outcome"] for cell in cells] == ["met", "broken", "met", "met"]
    assert code == 1
    assert cells[1]["against_first"]["verdict"] == "slower"


def test_a_board_that_is_not_here_leaves_the_rest_alone(run, files, timed):
    """Its cells say why; its budgets are open. Alone, nothing could be measured."""
    timed(1.0, 1.0)
    code, out, _ = run(*files, "--target", "host", "--target", "rpi4")
    alone = run(*files, "--target", "rpi4")

    assert (code, alone[0]) == (5, 3)
    assert "rpi4 is a raspberry-pi-4, and this machine is" in " ".join(out.split())


def test_an_interrupted_benchmark_is_taken_up_by_its_output(run, files, timed, monkeypatch, tmp_path):
    """By --resume alone; what else is given is refused, and the history has it once."""
    timed(1.0, 2.0)
    real = measurement.compare

    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments, **options)

    (tmp_path / "mine.yaml").write_text(MINE.replace("runtime: onnxruntime", "runtime: onnxruntime, threads: 2", 1))
    both = ("--targets", tmp_path / "mine.yaml", "--target", "strict", "--target", "patient")
    output = tmp_path / "bench.json"
    monkeypatch.setattr(measurement, "compare", interrupted)
    stopped = run(*files, *both, "--output", output)
    monkeypatch.setattr(measurement, "compare", real)
    refused = [run("--resume", output, "--protocol", "quick"), run(files[0], "--resume", output)]
    code, _, _ = run("--resume", output)

    assert stopped[0] == 130
    assert f"hpmkd-edge bench --resume {output}" in stopped[2]
    assert [one[0] for one in refused] == [2, 2]
    assert "--protocol cannot go with --resume" in refused[0][2]
    assert "before.onnx cannot go with --resume" in refused[1][2]
    assert code == 0
    assert len(json.loads(output.read_text())["cells"]) == 4
    assert len(open_history()) == 4


def test_a_benchmark_is_kept_in_the_history_unless_it_is_not_to_be(run, files, timed):
    """Under the names of the models as they were handed in."""
    timed(1.0, 2.0)
    run(*files, "--no-history")
    nothing = len(open_history())
    run(*files)

    assert nothing == 0
    assert {entry.model for entry in open_history().entries()} == {"before.onnx", "after.onnx"}


def test_two_benchmarks_are_compared_cell_by_cell(run, files, timed, tmp_path):
    """The same is not slower; flags of measuring are refused, and so is a record of another kind."""
    timed(1.0, 2.0)
    run(*files, "--output", tmp_path / "old.json")
    write_profile(make_profile(), tmp_path / "profile.json")
    code, out, _ = run("compare", tmp_path / "old.json", tmp_path / "old.json", "--format", "json")
    refused = run("compare", tmp_path / "old.json", tmp_path / "old.json", "--target", "host")
    other = run("compare", tmp_path / "old.json", tmp_path / "profile.json")

    assert code == 0
    assert [cell["verdict"] for cell in json.loads(out)["cells"]] == ["no change"] * 2
    assert (refused[0], other[0]) == (2, 2)
    assert "--target cannot go with two records, which were measured already" in refused[2]
    assert "'hpmkd-edge/bench/2' is needed" in other[2]


def test_a_precision_that_is_slower_is_said_to_be(run, files, timed):
    """Not chosen for its label; of another model nothing is said."""
    timed(1.0, 1.2)
    _, own, _ = run(files[0], "--precision", "fp32", "--precision", "fp16")
    _, other, _ = run(*files, "--precision-of", "after.onnx=int8")

    assert "before.onnx: fp16 is slower here than fp32, by 20.0 %" in " ".join(own.split())
    assert "slower here" not in other


def test_flags_of_measuring_are_refused_beside_two_profiles(run, tmp_path):
    """They were measured already."""
    write_profile(make_profile(), tmp_path / "old.json")
    code, _, err = run("compare", tmp_path / "old.json", tmp_path / "old.json", "--shape", "x=1", "--target", "host")

    assert code == 2
    assert "--target, --shape cannot go with two records" in err


def test_a_model_that_is_gone_is_not_taken_up(run, files, timed, monkeypatch, tmp_path):
    """In a sentence, and what is saved stays."""
    timed(1.0, 2.0)
    real = measurement.compare

    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments, **options)

    (tmp_path / "mine.yaml").write_text(MINE.replace("runtime: onnxruntime", "runtime: onnxruntime, threads: 2", 1))
    monkeypatch.setattr(measurement, "compare", interrupted)
    both = ("--targets", tmp_path / "mine.yaml", "--target", "strict", "--target", "patient")
    run(*files, *both, "--output", tmp_path / "bench.json")
    files[1].unlink()
    code, _, err = run("--resume", tmp_path / "bench.json")

    assert code == 2
    assert f"there is no file {files[1]}; an ONNX file is needed" in err
    assert (tmp_path / "bench.json.partial" / "plan.json").is_file()


@pytest.mark.parametrize(
    ("ms", "options", "code", "sentence"),
    [
        (1.1, (), 1, "slower by 10.0 %"),
        (1.1, ("--tolerance", "15"), 0, "no change beyond 15%: slower by 10.0 %"),
        (0.8, (), 0, "faster by 20.0 %"),
        (1.0, (), 0, "no change beyond 5%"),
    ],
)
def test_a_change_is_said_in_a_sentence(run, files, timed, ms, options, code, sentence):
    """With its interval, and an exit code that stops a build where it is slower."""
    timed(1.0, ms)
    found, out, _ = run("compare", *files, *options)

    assert found == code
    assert sentence in " ".join(out.split())


def test_two_files_are_really_compared(run, files, monkeypatch):
    """In turn, in several processes."""
    short = replace(protocol.PAIRED, processes=2, least_seconds=0.1, warmup_seconds=0.01, warmup_limit_seconds=0.1)
    monkeypatch.setattr(protocol, "PAIRED", short)
    code, out, _ = run("compare", *files, "--format", "json")
    found = json.loads(out)

    assert found["interleaved"]
    assert found["low"] <= found["ratio"] <= found["high"]
    assert found["exit_code"] == code
    assert len(found["after"]["runs"]) == 2


def test_two_records_are_compared_by_their_reference(run, tmp_path):
    """A record of today, on a machine half as fast as it was, against yesterday's."""
    write_profile(make_profile(ms=1.0), tmp_path / "old.json")
    write_profile(make_profile(ms=2.0, reference_ns=(600_001,) * 1000), tmp_path / "new.json")
    code, out, _ = run("compare", tmp_path / "old.json", tmp_path / "new.json", "--tolerance", "10")

    assert code == 0
    assert "each relative to the reference model" in " ".join(out.split())


ROWS = (Shape(name="x", sizes=(3, 4)),)


def open_file(path, *names):
    """Write a sum of inputs of which two axes are open; constants in half precision are beside it."""
    half = numpy_helper.from_array(np.ones(2, np.float16), "half")
    graph = helper.make_graph(
        [helper.make_node("Sum", names, ["y"]), helper.make_node("Identity", ["half"], ["z"])],
        "open",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "m"]) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [half],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.mark.parametrize("command", [(), ("compare",)])
def test_each_file_is_fed_the_shapes_that_it_declares(run, tmp_path, timed, command):
    """Of those given; a name that no file has is refused."""
    asked = timed(1.0, 1.0)
    pair = [open_file(tmp_path / "one.onnx", "x"), open_file(tmp_path / "two.onnx", "x", "mask")]
    shapes = ("--shape", "x=3,4", "--shape", "mask=3,4")
    run(*command, *pair, *shapes)
    code, _, err = run(*command, *pair, *shapes, "--shape", "maks=3,4")

    assert [{name: array.shape for name, array in feeds.items()} for feeds in asked[0]["feeds"]] == [
        {"x": (3, 4)},
        {"x": (3, 4), "mask": (3, 4)},
    ]
    assert (code, len(asked)) == (2, 1)
    assert "there is no input 'maks'. Did you mean 'mask'" in err


def test_a_precision_is_read_from_the_graph_of_each_path(run, files, tmp_path, timed):
    """Two files of one name are two; what is said of one by its path is not said of the other."""
    asked = timed(1.0, 1.0)
    (tmp_path / "other").mkdir()
    other = open_file(tmp_path / "other" / "before.onnx", "x")
    (tmp_path / "free.onnx").write_bytes(other.read_bytes())
    run(tmp_path / "free.onnx", other, "--shape", "x=1,1")
    run(tmp_path / "free.onnx", other, "--shape", "x=1,1", "--precision-of", f"{other}=int8")
    code, _, err = run(files[0], other, "--shape", "x=1,1", "--precision-of", "before=int8")

    assert [one["precisions"] for one in asked] == [["fp16", "fp16"], ["fp16", "int8"]]
    assert code == 2
    assert "2 files have that name; a path is needed" in err


@pytest.mark.parametrize("command", [(), ("compare",)])
def test_the_second_file_of_a_student_in_two_is_refused(run, files, timed, command):
    """Alone it would be timed without what its preprocessing takes."""
    timed(1.0, 1.0)
    model = load(files[1])
    helper.set_model_props(model, {PREPROCESSING_SHA256: "1" * 64})
    save(model, files[1])
    code, out, err = run(*command, *files)

    assert (code, out) == (2, "")
    assert "after.onnx is the second file of a student in two" in err


def test_files_that_take_different_inputs_are_put_side_by_side(run, files, monkeypatch):
    """A teacher's numbers and a student's words: their ratio is one of what a user waits for."""

    def compare(paths, **options):
        return make_profile(shapes=ROWS, io="bound"), make_profile(ms=2.0)

    monkeypatch.setattr(measurement, "compare", compare)
    _, out, _ = run(*files, "--format", "json")

    assert json.loads(out)["cells"][1]["against_first"]["ratio"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({}, "without the shapes that were fed"), ({"shapes": ROWS, "preprocessing": FIRST}, "of a student in two files")],
)
def test_a_record_that_a_file_cannot_be_measured_like_is_refused(run, files, tmp_path, changes, sentence):
    """Before anything is measured."""
    write_profile(make_profile(**changes), tmp_path / "old.json")
    code, _, err = run("compare", tmp_path / "old.json", files[1])

    assert code == 2
    assert re.search(f"the record of student.onnx is {sentence}; a second record", err)


def test_a_record_and_a_file_can_be_compared(run, tmp_path, monkeypatch):
    """The file is measured as the record was, on inputs of the same sizes."""
    asked, path = [], open_file(tmp_path / "after.onnx", "x")

    def measure(path, **options):
        asked.append(options)
        return make_profile(ms=1.5, model=path.name, threads=2, shapes=ROWS, reference_ns=(300_001,) * 1000)

    monkeypatch.setattr(measurement, "measure", measure)
    write_profile(make_profile(ms=1.0, threads=2, shapes=ROWS), tmp_path / "old.json")
    code, out, _ = run("compare", tmp_path / "old.json", path)

    assert (code, asked[0]["threads"], asked[0]["sampling"].name) == (1, 2, "quick")
    assert asked[0]["feeds"]["x"].shape == (3, 4)
    assert "slower by 50.0 %" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.onnx"], "there is no file .*none.onnx"),
        (["compare", "{0}", "none.onnx"], "there is no file .*none.onnx"),
        (["{0}", "--precision-of", "int8"], "--precision-of is 'int8'; NAME=PRECISION is needed"),
        (["{0}", "--precision-of", "befor=int8"], "no model 'befor'. Did you mean 'before'"),
        (["{0}", "--precision-of", "before=int9"], "no precision 'int9'. Did you mean 'int8'"),
        (["{0}", "--protocol", "fast"], "no protocol 'fast'"),
        (["{0}", "--precision", "int9"], "no precision 'int9'. Did you mean 'int8'"),
        (["{0}", "--rows", "rows.npz"], "--rows calibrates int8, and --precision int8 is not asked for"),
        (["{0}", "--precision", "int8", "--rows", "none.npz"], "there is no file .*none.npz"),
        (["--protocol", "quick"], "no model was given"),
        (["--resume", "none.json"], "there is no interrupted benchmark at none.json.partial"),
        (["{0}", "--target", "jetsn"], "no target 'jetsn'. Did you mean 'jetson'"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(run, files, arguments, sentence):
    """What was found, what is needed; exit code 2."""
    code, out, err = run(*(one.format(*files) for one in arguments))

    assert (code, out) == (2, "")
    assert re.search(sentence, err)


def test_help_shows_both_ways(run):
    """Files first, or compare; with the flags of the first, which is the one that is typed without its name."""
    code, out, _ = run("--help")

    assert code == 0
    assert "compare" in out
    assert "files" in out
    assert all(flag in out for flag in ("--precision", "--rows", "--output", "--resume"))
