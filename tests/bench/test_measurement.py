"""A measurement runs in processes of its own, and whatever becomes of them is said in a sentence."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from sample_records import make_target

from hpmkd_edge.bench import measurement, process
from hpmkd_edge.bench.__main__ import main
from hpmkd_edge.bench.measurement import compare, measure
from hpmkd_edge.bench.profile import Shape, read_profile
from hpmkd_edge.bench.runtimes.feeds import feeds_of_file
from hpmkd_edge.errors import BadConfiguration, MeasurementFailed
from hpmkd_edge.targets import Budgets, PlacementLimit
from hpmkd_edge.verdict import Outcome, judge_cost


def test_a_model_is_measured_beside_the_reference(images_file, brief):
    """As many samples of one as of the other; the record says of what, on what and how."""
    taken = measure(
        images_file,
        runtime="onnxruntime",
        feeds=feeds_of_file(images_file),
        sampling=brief(),
        precision="int8",
    )

    assert len(taken.samples_ns) == len(taken.reference_ns) == 64
    assert taken.relative > 0
    assert taken.percentile_bound_ms(90) >= taken.p90_ms
    assert 0 < taken.peak_memory_mb < 200
    assert taken.model_bytes == images_file.stat().st_size
    assert (taken.model, taken.batch, taken.threads, taken.precision) == ("images.onnx", 1, 1, "int8")
    assert (taken.protocol, taken.processes, taken.providers) == ("brief", 1, ("CPUExecutionProvider",))
    assert taken.shapes == (Shape(name="images", sizes=(1, 8, 8, 3)),)
    assert (taken.io, taken.inter_threads, taken.runs) == ("bound", 1, (64,))
    assert set(taken.states[0].affinity) <= set(range(taken.host.cores))


def test_weights_beside_the_file_are_part_of_its_size(weights_beside, brief):
    """A budget of size is on what ships."""
    feeds = feeds_of_file(weights_beside)
    taken = measure(weights_beside, runtime="onnxruntime", feeds=feeds, sampling=brief())

    assert taken.model_bytes == weights_beside.stat().st_size + 192 * 3 * 4


def test_memory_is_taken_three_ways(images_file, brief):
    """No look saw more than the peak; the arena is the graph's own."""
    taken = measure(images_file, runtime="onnxruntime", feeds=feeds_of_file(images_file), sampling=brief())

    assert 0 < taken.sampled_memory_mb <= taken.peak_memory_mb
    assert taken.baseline_memory_mb > 20
    # 192 bytes, as floats, flat: a view of them, and what comes out.
    assert 192 * 5 <= taken.activation_bytes <= 192 * 5 + 100


def test_a_record_names_the_machine_that_measured(monkeypatch, images_file, brief):
    """Which need not be the one that asks."""
    real = measurement.visit

    def visit(*arguments):
        seen = real(*arguments)
        return replace(seen, host=replace(seen.host, model="Some board"))

    monkeypatch.setattr(measurement, "visit", visit)
    taken = measure(images_file, runtime="onnxruntime", feeds=feeds_of_file(images_file), sampling=brief())

    assert taken.host.model == "Some board"


def test_strings_reach_the_other_process(table_file, brief):
    """With names of inputs that no archive would take; they cannot be bound."""
    feeds = feeds_of_file(table_file, batch=3)
    taken = measure(table_file, runtime="onnxruntime", feeds=feeds, sampling=brief())

    assert (taken.batch, taken.io) == (3, "copied")


def test_processes_are_pooled(images_file, brief):
    """Three processes give a third of the runs each, rounded up to whole turns."""
    feeds = feeds_of_file(images_file)
    taken = measure(images_file, runtime="onnxruntime", feeds=feeds, sampling=brief(processes=3))

    assert 3 * 22 <= len(taken.samples_ns) <= 3 * 27
    assert sum(taken.runs) == len(taken.samples_ns)
    assert (taken.processes, len(taken.runs), len(taken.states)) == (3, 3, 6)


def test_compared_models_keep_their_order_and_their_own_memory(tmp_path, images_file, brief):
    """The larger one takes more time and more memory, wherever it stands."""
    weights = numpy_helper.from_array(np.ones((192, 20_000), np.float32), "weights")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["floats"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["y"]),
        ],
        "large",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 8, 8, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 20_000])],
        [weights],
    )
    large = tmp_path / "large.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), large)
    feeds = feeds_of_file(images_file)
    first, second = compare(
        [large, images_file],
        feeds=[feeds, feeds],
        runtime="onnxruntime",
        sampling=brief(),
        precisions=["fp32", "int8"],
    )

    assert (first.model, second.model) == ("large.onnx", "images.onnx")
    assert (first.precision, second.precision) == ("fp32", "int8")
    assert first.reference_ns == second.reference_ns
    assert first.relative > second.relative
    assert first.peak_memory_mb > second.peak_memory_mb + 10


def test_a_memory_that_is_not_asked_for_costs_no_process(monkeypatch, images_file, brief):
    """One that times all, and one for each memory."""
    visits = []

    def visit(*arguments):
        visits.append(arguments[0])
        return process.visit(*arguments)

    monkeypatch.setattr(measurement, "visit", visit)
    feeds = feeds_of_file(images_file)
    first, second = compare(
        [images_file, images_file],
        feeds=[feeds, feeds],
        runtime="onnxruntime",
        sampling=brief(),
        with_memory=[True, False],
    )

    assert [len(job.models) for job in visits] == [2, 1]
    assert first.peak_memory_mb > 0
    assert (second.peak_memory_mb, second.sampled_memory_mb) == (None, None)
    assert len(second.samples_ns) == len(first.samples_ns)


def test_a_provider_that_is_alone_executes_the_whole_graph(images_file, brief):
    """So a budget of placement can be met, and no flag is raised against the latencies."""
    taken = measure(images_file, runtime="onnxruntime", feeds=feeds_of_file(images_file), sampling=brief())
    budgets = Budgets(placement=PlacementLimit(min_macs_share=1.0))
    (judgement,) = judge_cost(make_target(budgets=budgets), profile=taken, model_bytes=None).judgements

    assert taken.placement_share == 1.0
    assert judgement.outcome is Outcome.MET
    assert not any("ran off" in flag for flag in taken.flags)


TWO = ("CUDAExecutionProvider", "CPUExecutionProvider")


@pytest.mark.parametrize(
    ("providers", "off_macs", "share"),
    [(("tensorrt_rtx",), None, 1.0), (TWO, None, None), (TWO, 0, 1.0), (TWO, 144, 0.75), (TWO, 576, 0.0)],
)
def test_several_providers_share_the_multiply_adds(monkeypatch, images_file, brief, providers, off_macs, share):
    """192·3 there are; an engine is one provider; where nobody asked, nothing is known."""
    real = measurement.visit

    def visit(*arguments):
        seen = real(*arguments)
        changes = {"providers": providers, "off_macs": off_macs, "all_macs": off_macs}
        return replace(seen, seen=tuple(replace(one, **changes) for one in seen.seen))

    monkeypatch.setattr(measurement, "visit", visit)
    taken = measure(images_file, runtime="onnxruntime", feeds=feeds_of_file(images_file), sampling=brief())

    assert (taken.providers, taken.placement_share) == (providers, share)


def test_memory_does_not_depend_on_how_long_is_timed(images_file, brief):
    """What the measuring itself keeps is not counted; pages are, so a few of them may differ."""
    feeds = feeds_of_file(images_file)
    long = brief(warmup_seconds=0.5, warmup_limit_seconds=1.0, least_seconds=0.5)
    peaks = [
        measure(images_file, runtime="onnxruntime", feeds=feeds, sampling=sampling).peak_memory_mb
        for sampling in (brief(), long)
    ]

    assert peaks[0] == pytest.approx(peaks[1], abs=1.0)


def test_what_the_other_process_met_keeps_its_class_and_words(tmp_path, brief):
    """A file that is no model."""
    path = tmp_path / "text.onnx"
    path.write_text("no model")

    with pytest.raises(MeasurementFailed, match=r"ONNX Runtime cannot load .*text\.onnx"):
        measure(path, runtime="onnxruntime", feeds={}, sampling=brief())


def test_what_cannot_be_measured_is_refused_before_a_process_starts(tmp_path, images_file, brief):
    """A file that is not there, a runtime that does not exist, no thread."""
    ask = {"feeds": {}, "sampling": brief()}

    with pytest.raises(BadConfiguration, match=r"there is no file .*none"):
        measure(tmp_path / "none.onnx", runtime="onnxruntime", **ask)
    with pytest.raises(BadConfiguration, match="there is no runtime 'x'"):
        measure(images_file, runtime="x", **ask)
    with pytest.raises(BadConfiguration, match="0 threads were asked for; at least 1"):
        measure(images_file, runtime="onnxruntime", threads=0, **ask)


def stand_in(monkeypatch, code):
    """Let another program run instead of the worker; it is started by the same means."""
    real = process._run
    monkeypatch.setattr(process, "_run", lambda command, timeout_s: real([sys.executable, "-c", code], timeout_s))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"images\.onnx was killed by SIGSEGV\."),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL, as .* memory runs out"),
        ("import sys; sys.exit(7)", "ended with code 7 and no answer"),
        ("import time; time.sleep(60)", r"took longer than the 0\.3 s"),
    ],
)
def test_a_process_that_does_not_answer_is_said(monkeypatch, images_file, brief, code, reason):
    """A crash by its signal, a failure by its code, patience by its limit."""
    stand_in(monkeypatch, code)

    with pytest.raises(MeasurementFailed, match=reason):
        measure(images_file, runtime="onnxruntime", feeds={}, sampling=brief(), timeout_s=0.3)


def test_an_interrupt_leaves_no_process_behind(tmp_path):
    """The child has a session of its own, so that it must be ended by hand."""
    note = tmp_path / "pid"
    code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    def interrupt_when_started():
        while not note.exists() or not note.read_text():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_when_started).start()
    with pytest.raises(KeyboardInterrupt):
        process._run([sys.executable, "-c", code], 30)

    assert not Path(f"/proc/{note.read_text()}").exists()


def test_a_board_needs_one_command(tmp_path, images_file, capsys, monkeypatch, brief):
    """The profile is written, the table is printed, the exit code is 0."""
    monkeypatch.setattr("hpmkd_edge.bench.__main__.SAMPLINGS", {"quick": brief()})
    code = main([str(images_file), "--protocol", "quick", "--output", str(tmp_path / "p.json")])

    assert code == 0
    assert "p90, upper bound at 99 %" in capsys.readouterr().out
    assert read_profile(tmp_path / "p.json").model == "images.onnx"


@pytest.mark.parametrize(("content", "code"), [(None, 2), ("no model", 4)])
def test_the_command_ends_with_the_code_of_its_error(tmp_path, capsys, content, code):
    """And with one sentence on stderr."""
    path = tmp_path / "m.onnx"
    if content:
        path.write_text(content)

    assert main([str(path)]) == code
    assert capsys.readouterr().err.startswith("hpmkd_edge.bench: ")


def test_measuring_loads_no_heavy_library():
    """A board has numpy and a runtime; what else the tool uses elsewhere stays away."""
    code = (
        "import sys, hpmkd_edge.bench.__main__, hpmkd_edge.bench.worker, hpmkd_edge.bench.scoring,"
        "hpmkd_edge.bench.comparison\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'pydantic', 'psutil', 'pandas', 'tensorrt', 'yaml'}"
        " & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"
