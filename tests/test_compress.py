"""The whole line on small real input: what it writes, what it decides, what it refuses to hide."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from sample_data import blobs
from sample_readers import reader
from sample_records import make_target

from hpmkd_edge import compress as compress_module
from hpmkd_edge.answers import digest_of_labeled, student_right
from hpmkd_edge.bench.profile import write_profile
from hpmkd_edge.bench.runtimes import tensor_rt
from hpmkd_edge.bench.scoring import score
from hpmkd_edge.cli import main
from hpmkd_edge.compress import compress, resume
from hpmkd_edge.entrance import timed_row
from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.export.artifact import precision_of
from hpmkd_edge.export.conversion import save_student
from hpmkd_edge.manifest import check_manifest, read_manifest
from hpmkd_edge.record import read_report
from hpmkd_edge.recording import files_of
from hpmkd_edge.report.gate import exit_code_of, gate
from hpmkd_edge.request import Request
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.verdict import Outcome, Provenance

pytestmark = pytest.mark.slow

TARGETS = """
targets:
  box: {{device: host, runtime: onnxruntime, precisions: [fp32], budgets: {budgets}}}
"""


def budgets(tmp_path, text, name="targets.yaml"):
    path = tmp_path / name
    path.write_text(TARGETS.format(budgets=text))
    return {"targets": ("box",), "targets_file": str(path)}


def test_a_run_folder_holds_everything_and_the_file_alone_is_enough(images_npz, tmp_path, brief):
    """Report, manifest, weights, and a student that says what it is and takes the raw images."""
    folder = tmp_path / "run"
    request = Request(data=str(images_npz), targets=("host",), epochs=6, command="hpmkd-edge compress …")
    (report,) = compress(request, output=folder)
    task = open_task(str(images_npz))
    session = onnxruntime.InferenceSession(folder / "student.onnx")
    facts = session.get_modelmeta().custom_metadata_map

    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "profile.json",
        "report.html",
        "report.json",
        "report.md",
        "student.onnx",
        "student.pt",
    ]
    assert check_manifest(folder) == ()
    assert read_manifest(folder).command == request.command
    assert read_report(folder / "report.json") == report
    assert tuple(json.loads(facts["hpmkd_edge.classes"])) == report.classes == task.classes
    assert facts["hpmkd_edge.run_id"] == report.run_id
    # The accuracy of the report is that of the file, on the test rows.
    scored = score(folder / "student.onnx", task.test.inputs.feeds(), task.test.labels)
    assert scored.accuracy == report.student.test_accuracy > 0.8
    assert scored.standard_error == report.student.test_standard_error
    assert report.answers.sha256 == digest_of_labeled(task.test, task.classes)
    np.testing.assert_array_equal(student_right(report.answers), scored.predictions == scored.labels)
    teacher_right = report.answers.both_right + report.answers.teacher_alone_right
    assert teacher_right == round(report.best_teacher.test_accuracy * len(task.test))
    for rival in report.rounds[0].rivals:
        assert len(rival.losses) == len(rival.accuracies) == rival.epochs
        assert rival.validation_accuracy in rival.accuracies
    for cost in (report.student.cost, report.best_teacher.cost):
        assert cost.p90_bound_ms >= cost.p90_ms
        assert cost.host == report.host.name
    assert report.student.cost.parameters * 10 <= report.teachers[0].cost.parameters
    assert report.teachers[0].trained_here
    assert any("No teacher was given" in note for note in report.notes)
    assert exit_code_of(gate([report])) == report.verdict.exit_code
    assert not (tmp_path / "run.partial").exists()


def test_the_same_request_ships_the_same_bytes(images_npz, tmp_path, brief):
    """Every figure can be repeated because the file can; another seed gives another file."""
    files = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        request = Request(data=str(images_npz), targets=("host",), student="mlp", epochs=2, seed=seed)
        compress(request, output=tmp_path / name)
        files.append((tmp_path / name / "student.onnx").read_bytes())

    assert files[0] == files[1] != files[2]


def test_a_board_that_is_not_here_is_not_called_measured(images_npz, tmp_path, brief):
    """Unknown on it, with this host's number beside and the command that settles it."""
    request = Request(data=str(images_npz), student="mlp", epochs=2, targets=("jetson",))
    (report,) = compress(request, output=tmp_path / "run")
    latency = next(found for found in report.verdict.judgements if found.budget == "latency_ms.p90")

    assert latency.provenance is Provenance.UNKNOWN
    assert latency.outcome is Outcome.INCONCLUSIVE
    assert latency.value is None
    assert latency.here > 0
    assert "unknown on jetson" in latency.reason
    assert f"{tmp_path / 'run'}/student.onnx" in report.board_command
    assert exit_code_of(gate([report])) == 5


def test_every_precision_is_made_and_compared_and_the_report_says_what_ships(images_npz, tmp_path, brief):
    """The shipped file carries in its graph what its record says, and the fp32 file lies beside another."""
    own = budgets(tmp_path, "{model_size_mb: {fail: 4}}")
    text = (tmp_path / "targets.yaml").read_text().replace("[fp32]", "[int8, fp16]")
    (tmp_path / "targets.yaml").write_text(text)
    folder = tmp_path / "run"
    (report,) = compress(Request(data=str(images_npz), student="mlp", epochs=2, rounds=1, **own), output=folder)
    tried = report.rounds[-1].precisions
    shipped = [one for one in tried if one.ships]

    assert [one.precision for one in tried] == ["int8", "fp16", "fp32"]
    assert [one.precision for one in shipped] == [report.student.precision] == [report.profile.precision]
    assert precision_of(folder / "student.onnx") == report.student.precision
    assert (folder / "student-fp32.onnx").exists() == (report.student.precision != "fp32")
    assert tried[0].file_bytes < tried[2].file_bytes
    assert tried[1].agreement >= 0.99
    assert all((one.over_fp32 is None) == (one.precision == "fp32") for one in tried)


def test_a_record_taken_by_hand_takes_the_place_of_the_measurement(images_npz, tmp_path, brief):
    """The same command makes the same file, so the record finds it; one of another file is said to be unused."""
    own = budgets(tmp_path, "{latency_ms: {p90: {fail: 50}}}")
    request = Request(data=str(images_npz), student="mlp", epochs=2, rounds=1, **own)
    (first,) = compress(request, output=tmp_path / "first")
    by_hand = replace(first.profile, taken_at="2001-01-01T00:00:00+00:00")
    write_profile(by_hand, tmp_path / "board.json")
    write_profile(replace(by_hand, model_sha256="0" * 64), tmp_path / "other.json")
    given = (str(tmp_path / "board.json"), str(tmp_path / "other.json"))
    (second,) = compress(replace(request, profiles=given), output=tmp_path / "second")

    assert second.profile == by_hand
    assert second.student_sha256 == first.student_sha256
    assert [note.split(",")[0] for note in second.notes if "--profile-from" in note] == [f"--profile-from {given[1]}"]


def test_a_shuffled_teacher_gives_a_different_and_worse_student(tmp_path, brief):
    """The first law, through the whole line: logits moved between rows must show in the student that learns them."""
    x, y = blobs(rows=600, lift=20)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    right = (6 * np.eye(3)[y]).astype(np.float32)
    found = {}
    for name, logits in (("right", right), ("wrong", np.random.default_rng(0).permutation(right))):
        np.save(tmp_path / f"{name}.npy", logits)
        request = Request(
            data=str(tmp_path / "d.npz"),
            teachers=(str(tmp_path / f"{name}.npy"),),
            targets=("host",),
            student="mlp",
            epochs=10,
            rounds=1,
            # A configuration of its own would learn to listen to the labels instead.
            without=("configuration",),
            accept_weak_teacher=True,
        )
        (report,) = compress(request, output=tmp_path / f"run-{name}")
        found[name] = next(rival for rival in report.rounds[0].rivals if rival.name.startswith("KD"))
        assert any("not augmented" in note for note in report.notes)

    assert found["wrong"].validation_accuracy < found["right"].validation_accuracy - 0.05
    assert found["wrong"].validation_loss > found["right"].validation_loss


def test_an_impossible_budget_is_broken_and_named(images_npz, tmp_path, brief):
    """Exit 1 by the gate, the smallest student shipped, the budget in the reason."""
    request = Request(
        data=str(images_npz), student="mlp", epochs=2, **budgets(tmp_path, "{model_size_mb: {fail: 0.0001}}")
    )
    (report,) = compress(request, output=tmp_path / "run")

    assert report.verdict.exit_code == 1
    assert [found.budget for found in report.verdict.judgements if found.outcome is Outcome.BROKEN] == ["model_size_mb"]
    assert "no size fits" in report.rounds[0].reason
    assert len(report.rounds) == 1


def test_a_loose_budget_picks_a_larger_student_than_a_tight_one(images_npz, tmp_path, brief):
    """By the size of the file, which repeats to the byte; both fit what they were given."""
    sizes = []
    for name, limit in (("tight", 0.004), ("loose", 0.02)):
        request = Request(
            data=str(images_npz),
            student="mlp",
            epochs=2,
            rounds=1,
            **budgets(tmp_path, f"{{model_size_mb: {{fail: {limit}}}}}", f"{name}.yaml"),
        )
        (report,) = compress(request, output=tmp_path / name)
        assert report.student.cost.file_bytes <= limit * 1e6
        sizes.append(report.student.cost.parameters)

    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(("without", "chains"), [(("chain", "configuration"), [1, 2]), (("configuration",), [1])])
def test_an_accuracy_that_is_missed_goes_round_again_and_says_why(tmp_path, brief, without, chains):
    """No larger size fits, so the second round goes through an intermediate, unless the race has had one already."""
    x, y = blobs(lift=12)
    np.savez(tmp_path / "hard.npz", x=x, y=y)
    request = Request(
        data=str(tmp_path / "hard.npz"),
        student="mlp",
        epochs=1,
        compression=1,
        without=without,
        **budgets(tmp_path, "{accuracy: {min: 1.0}, model_size_mb: {fail: 0.02}}"),
    )
    (report,) = compress(request, output=tmp_path / "run")

    assert [len(turn.chain) for turn in report.rounds] == chains
    # Trained, and in the race, or refused by the gate.
    assert "chain" in [one.component for one in report.rounds[-1].components]
    assert len(chains) == 1 or "accuracy" in report.rounds[1].reason
    # Each intermediate is on record, and timed where the round ships.
    for turn in report.rounds:
        assert {member.size for member in turn.members} >= set(turn.chain[:-1])
    assert report.rounds[-1].members
    assert sum(any(member.p90_bound_ms for member in turn.members) for turn in report.rounds) <= 1
    assert report.verdict.exit_code == 1


def test_text_for_tensorrt_ships_as_two_files_measured_as_one(table_csv, tmp_path, brief):
    """Both in the manifest, in the size and in the score; the board's command has both, and their order is said."""
    folder, targets = tmp_path / "run", tmp_path / "targets.yaml"
    targets.write_text(
        "targets:\n  board: {device: jetson-orin-nano-8gb, runtime: tensorrt, precisions: [fp32],"
        " budgets: {latency_ms: {p90: {fail: 50}}}}\n"
    )
    request = Request(
        data=str(table_csv), label="kind", targets=("board",), targets_file=str(targets), epochs=2, rounds=1
    )
    (report,) = compress(request, output=folder)
    files = {one.file: one for one in read_manifest(folder).artifacts}
    first, second = files["preprocessing.onnx"], files["student.onnx"]
    rows = open_task(str(table_csv), label="kind").test
    scored = score(
        folder / "student.onnx", rows.inputs.feeds(), rows.labels, preprocessing=folder / "preprocessing.onnx"
    )

    assert check_manifest(folder) == ()
    assert report.profile.files == (first.sha256, second.sha256)
    assert report.student_sha256 == second.sha256
    assert report.student.cost.file_bytes == report.profile.model_bytes == first.bytes + second.bytes
    assert scored.accuracy == report.student.test_accuracy
    assert f"{folder}/student.onnx --preprocessing {folder}/preprocessing.onnx --target" in report.board_command
    assert any("preprocessing.onnx, which onnxruntime runs on the CPU" in note for note in report.notes)
    assert any("Timed in ONNX Runtime on this host" in note for note in report.notes)
    assert exit_code_of(gate([report])) == report.verdict.exit_code


def test_a_table_goes_the_whole_way_for_several_targets(table_csv, tmp_path, brief):
    """Columns by name, a folder and a report for each target."""
    request = Request(data=str(table_csv), label="kind", targets=("host", "rpi5"), epochs=4)
    reports = compress(request, output=tmp_path / "run")
    session = onnxruntime.InferenceSession(tmp_path / "run" / "rpi5" / "student.onnx")

    assert [report.target for report in reports] == ["host", "rpi5"]
    assert {i.name for i in session.get_inputs()} == {"size", "heat", "color"}
    assert reports[0].student.test_accuracy > 0.75
    assert reports[0].answers.sha256 == reports[1].answers.sha256
    # A boosted ensemble has no count of parameters: its file is what the student's is ten times smaller than.
    for report in reports:
        assert report.student.cost.file_bytes * 10 <= report.teachers[0].cost.file_bytes
    assert check_manifest(tmp_path / "run" / "host") == ()


@pytest.mark.parametrize(
    ("without", "together"),
    [(("attention",), ["KD from the mean of 2"]), ((), ["KD from 2, weighed by label", "KD from 2, by attention"])],
)
def test_several_teachers_teach_alone_and_together(tmp_path, brief, without, together):
    """The best on validation rows is the one to compare with; the mean, or weights by row, compete too."""
    x, y = blobs(rows=240)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    generator = np.random.default_rng(0)
    for name, noise in (("good", 0.5), ("fair", 5.0)):
        np.save(
            tmp_path / f"{name}.npy", (4 * np.eye(3)[y] + noise * generator.normal(size=(240, 3))).astype(np.float32)
        )
    request = Request(
        data=str(tmp_path / "d.npz"),
        teachers=(str(tmp_path / "fair.npy"), str(tmp_path / "good.npy")),
        targets=("host",),
        student="mlp",
        epochs=2,
        rounds=1,
        without=("configuration", "chain", "temperature", *without),
        accept_weak_teacher=True,
    )
    (report,) = compress(request, output=tmp_path / "run")

    assert "good" in report.teachers[0].name
    assert [rival.name for rival in report.rounds[0].rivals] == ["direct", "KD from good.npy", *together]


def test_a_weak_teacher_is_refused_and_nothing_is_left(tmp_path, brief):
    """With its accuracy and the student's, exit 2; the trainings stay in the memory, not in a folder."""
    x, y = blobs(rows=240)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    np.save(tmp_path / "weak.npy", np.random.default_rng(0).normal(size=(240, 3)).astype(np.float32))
    request = Request(
        data=str(tmp_path / "d.npz"), teachers=(str(tmp_path / "weak.npy"),), targets=("host",), student="mlp", epochs=4
    )
    with pytest.raises(BadTeacher, match=r"weak.npy has \d+\.\d+% of the validation rows, .*--accept-weak-teacher"):
        compress(request, output=tmp_path / "out" / "run")

    assert not list(tmp_path.glob("out/run*"))


def test_a_second_run_asks_the_teacher_nothing(images_npz, tmp_path, brief):
    """On the same teacher and data, with other epochs: its answers are in the memory, and so are equal trainings."""
    first = Request(data=str(images_npz), student="mlp", targets=("host",), epochs=2, rounds=1, without=("chain",))
    for name in ("t", "again"):
        np.save(tmp_path / "t.npy", 5 * np.eye(3)[np.load(images_npz)["y"]].astype(np.float32))
        request = replace(first, teachers=(str(tmp_path / "t.npy"),), accept_weak_teacher=True)
        (report,) = compress(request, output=tmp_path / name)
        forwards = report.teacher_forwards
    (other,) = compress(replace(request, epochs=3), output=tmp_path / "other")

    assert (forwards, other.teacher_forwards) == (0, 0)


def test_bad_input_leaves_nothing_behind(images_npz, tmp_path):
    """Not even the folder of the run."""
    np.save(tmp_path / "t.npy", np.zeros((240, 7), np.float32))
    with pytest.raises(BadTeacher, match="7"):
        compress(Request(data=str(images_npz), teachers=(str(tmp_path / "t.npy"),)), output=tmp_path / "out" / "run")

    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_is_taken_up_and_ends_the_same(images_npz, tmp_path, brief):
    """Ctrl-C in the middle of the training: exit 130, state kept; --resume ships the bytes of an unbroken run."""
    arguments = ["--data", str(images_npz), "--target", "host", "--epochs", "40", "--rounds", "1"]
    command = [sys.executable, "-c", "from hpmkd_edge.cli import main; main()", "compress", *arguments]
    process = subprocess.Popen([*command, "--output", str(tmp_path / "run")], stderr=subprocess.PIPE, text=True)
    trainings = tmp_path / "run.partial" / "state" / "trainings"
    deadline = time.monotonic() + 120
    while not trainings.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)

    assert process.returncode == 130, said
    assert not (tmp_path / "run").exists()
    assert "--resume" in said
    (taken_up,) = resume(tmp_path / "run")
    request = Request(data=str(images_npz), targets=("host",), epochs=40, rounds=1)
    (unbroken,) = compress(request, output=tmp_path / "whole")
    assert taken_up.student_sha256 == unbroken.student_sha256
    assert taken_up.answers == unbroken.answers
    first, second = (
        [replace(one, p50_ms=None, p90_bound_ms=None) for one in report.rounds[0].members]
        for report in (taken_up, unbroken)
    )
    assert first == second
    assert not (tmp_path / "run.partial").exists()


@pytest.mark.parametrize(("flags", "code"), [([], 0), (["--strict"], 5)])
def test_what_is_inconclusive_ends_with_0_and_strictly_with_5(images_npz, tmp_path, brief, monkeypatch, flags, code):
    """Nothing is known to be broken on a board that is not here; a strict user wants to know all."""
    arguments = ["compress", "--target", "rpi4", "--data", images_npz, "--student", "mlp", "--epochs", 8, "-q", "-v"]
    monkeypatch.setattr(sys, "argv", list(map(str, ["hpmkd-edge", *arguments, "--output", tmp_path / "run", *flags])))
    with pytest.raises(SystemExit) as stop:
        main()

    assert (stop.value.code or 0) == code
    assert (tmp_path / "run" / "student.onnx").is_file()


def test_a_teacher_that_cannot_be_timed_costs_its_ratio_and_not_the_student(images_npz, tmp_path, brief):
    """Data-dependent control flow answers well and cannot be exported: the run ends, and its report says so."""
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        bright = torch.stack([x[:, 0, :4, :4], x[:, 0, :4, 4:], x[:, 0, 4:, :4]], 1).mean((2, 3))\n"
        "        return 40 * bright if float(x.sum()) > 0 else -bright\n"
        "def net():\n"
        "    return Net()\n"
    )
    request = Request(
        data=str(images_npz),
        teachers=(f"{tmp_path}/net.py:net",),
        targets=("host",),
        student="mlp",
        epochs=4,
        views=1,
        compression=1,
    )
    (report,) = compress(request, output=tmp_path / "run")

    assert report.best_teacher.test_accuracy > 0.9
    assert report.best_teacher.cost.p50_ms is None
    assert report.student.cost.p50_ms > 0
    assert any("could not be timed" in note for note in report.notes)
    assert any("0 parameters" in note or "No size" in note for note in report.notes)


def test_bad_input_that_shows_late_leaves_nothing_either(images_npz, tmp_path, brief):
    """A teacher that answers the first rows and not a later one is found before anything is trained."""
    _, y = blobs()
    logits = np.eye(3)[y].astype(np.float32)
    np.save(tmp_path / "t.npy", logits)
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        out = x.flatten(1)[:, :3].clone()\n"
        "        out[x.sum((1, 2, 3)) > 21.2] = float('nan')\n"
        "        return out\n"
        "def net():\n"
        "    return Net()\n"
    )
    with pytest.raises(BadTeacher, match="row"):
        compress(Request(data=str(images_npz), teachers=(f"{tmp_path}/net.py:net",)), output=tmp_path / "run")

    assert not (tmp_path / "run.partial").exists()


def test_a_text_student_is_tried_by_a_tensorrt_that_cannot_run_it(tmp_path, monkeypatch):
    """For as many pieces as the timed sentence has: the note says whether it is built, and nothing ends the run."""
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(tensor_rt, "PACKAGES", ("tensorrt_rtx",))
    task, inlet, module = reader()
    artifact = save_student(module, inlet, tmp_path / "student.onnx", facts={})
    target = make_target(runtime="tensorrt")
    (note,) = compress_module._tried_by_tensorrt(target, "there is no GPU.", artifact, timed_row(task, inlet))

    assert "parses and builds student.onnx here, without a GPU" in note


def test_the_record_names_the_tokenizer_that_was_given(tmp_path):
    """A file is an input as any other; the names of two kinds are none."""
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    request = Request(data="digits", targets=("host",), tokenizer=str(path))

    assert [name for name, _ in files_of(request)] == [str(path)]
    assert files_of(replace(request, tokenizer="wordpiece")) == []
