"""The command line: exit codes, one sentence on bad input, nothing left behind, help without heavy imports."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sample_records import BOARD, make_foretold, make_profile, make_report, make_target

from hpmkd_edge.bench.reference import reference_file
from hpmkd_edge.bench.runtimes import cuda_driver
from hpmkd_edge.cli import main
from hpmkd_edge.record import write_report

HEAVY = {"torch", "numpy", "onnx", "onnxruntime", "sklearn", "pandas", "rich"}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command in an empty folder, and gives exit code, output and complaints."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["hpmkd-edge", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call


def csv(path, text):
    path.write_text(text)
    return path


GOOD = "a,b,y\n" + "\n".join(f"{i},{i % 7},{'up' if i % 2 else 'down'}" for i in range(60))


def bad_inputs(tmp_path):
    """Return arguments, and what the one sentence must say: found and needed."""
    good = csv(tmp_path / "good.csv", GOOD)
    x = np.zeros((40, 4, 4, 1), np.uint8)
    y = np.arange(40) % 2
    np.savez(tmp_path / "good.npz", x=x, y=y)
    np.savez(tmp_path / "range.npz", x=x, y=y - 1)
    np.savez(tmp_path / "float.npz", x=x.astype(np.float32), y=y)
    np.save(tmp_path / "seven.npy", np.zeros((60, 7), np.float32))
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "bad.yaml").write_text("targets:\n  box:\n    device: host\n    budgts: {}\n")
    (tmp_path / "net.py").write_text("def net():\n    raise ValueError('no weights')\n")
    (tmp_path / "far.yaml").write_text(
        "targets:\n  far: {device: host, runtime: onnxruntime, precisions: [fp32], host: 'ssh://me@board',"
        " budgets: {model_size_mb: {fail: 1}}}\n"
    )
    (tmp_path / "path.yaml").write_text(
        "targets:\n  ../box: {device: host, runtime: onnxruntime, precisions: [fp32],"
        " budgets: {model_size_mb: {fail: 1}}}\n"
    )
    (tmp_path / "stu.py").write_text(
        "import sys\nfrom torch import nn\n"
        "def net(width, out=2):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.Linear(width, out))\n"
        "def frozen(width):\n    return net(width).requires_grad_(False)\n"
        "def leave(width):\n    sys.exit(0)\n"
        "def narrow(width):\n    return net(width, 2 if width == 4 else 5)\n"
    )
    np.save(tmp_path / "two.npy", np.eye(2, dtype=np.float32)[y])
    images = ["--data", tmp_path / "good.npz", "--teacher", tmp_path / "two.npy", "--target", "host"]
    table = ["--data", good, "--label", "y", "--target", "host"]
    return {
        "missing file": (["--data", tmp_path / "no.csv", "--label", "y"], "no.csv"),
        "unknown set": (["--data", "digit"], "Did you mean 'digits'"),
        "no label": (["--data", good], "--label"),
        "missing column": (["--data", good, "--label", "z"], "Known: a, b, y"),
        "unknown target": (["--target", "jetsn"], "Did you mean 'jetson'"),
        "labels out of range": (["--data", tmp_path / "range.npz"], "-1"),
        "float images": (["--data", tmp_path / "float.npz"], "uint8"),
        "infinite value": (
            ["--data", csv(tmp_path / "inf.csv", GOOD.replace("\n3,3", "\n3,inf")), "--label", "y"],
            "row 4",
        ),
        "one class": (["--data", csv(tmp_path / "one.csv", GOOD.replace("down", "up")), "--label", "y"], "class"),
        "fewer rows than classes": (["--data", csv(tmp_path / "few.csv", "a,y\n1,p\n2,q\n3,r"), "--label", "y"], "row"),
        "teacher of other classes": ([*table, "--teacher", tmp_path / "seven.npy"], "7"),
        "unreadable model": ([*table, "--teacher", tmp_path / "broken.onnx"], "broken.onnx"),
        "pickle without trust": ([*table, "--teacher", tmp_path / "model.pkl"], "--trust"),
        "teacher that fails": ([*table, "--teacher", f"{tmp_path}/net.py:net"], "no weights"),
        "no such kind of teacher": ([*table, "--teacher", "model.doc"], "no kind of teacher"),
        "unknown student": ([*table, "--student", "mpl"], "Did you mean 'mlp'"),
        "convolution on a table": ([*table, "--student", "residual"], "table"),
        "output in the way": ([*table, "--output", tmp_path / "good.npz"], "exists already"),
        "output that cannot be": ([*table, "--output", tmp_path / "good.npz" / "run"], "cannot be written"),
        "bad targets file": ([*table, "--targets", tmp_path / "bad.yaml"], "line 4"),
        "unknown loss": ([*table, "--method", "kdd"], "Did you mean 'kd'"),
        "loss without gradient": ([*table, "--method", "dist"], "use 'kd'"),
        "no rounds": (["--rounds", "0"], "--rounds is 0"),
        "flips of a table": ([*table, "--flip"], "--flip and --mixup are for images"),
        "flags beside resume": (["--resume", tmp_path / "x", "--epochs", "2", "--seed", "1"], "--seed"),
        "a board's record that is not there": ([*table, "--profile-from", tmp_path / "none.json"], "--profile-from"),
        "no records": ([*table, "--records", tmp_path / "none"], "there is no folder"),
        "one board, two targets": ([*table, "--target", "rpi5", "--host", "ssh://me@board"], "name one of them"),
        "a board's address": ([*table, "--host", "board; rm -rf"], "ssh://"),
        "empty data": (["--data", ""], "--data is empty"),
        "normalize without teacher": (["--normalize", "unit"], "no --teacher"),
        "root as output": (["--target", "host", "--output", "/"], "no folder"),
        "root to resume": (["--resume", "/"], "no interrupted run"),
        "a path as target": ([*table, "--targets", tmp_path / "path.yaml", "--target", "../box"], "line 2"),
        "frozen student": (["--data", tmp_path / "good.npz", "--student", f"{tmp_path}/stu.py:frozen"], "to train"),
        "student that exits": (
            ["--data", tmp_path / "good.npz", "--student", f"{tmp_path}/stu.py:leave"],
            "sys.exit(0)",
        ),
        "student of one width": ([*images, "--student", f"{tmp_path}/stu.py:narrow"], "(2, 5)"),
        "nothing to resume": (["--resume", tmp_path / "nothing"], "no interrupted run"),
        "no such protocol": (["--protocol", "fast"], "Known: mlperf, quick, standard"),
        "no such flag": (["--taget", "host"], "--target"),
    }


def test_a_board_that_cannot_be_reached_stops_the_run_before_it_trains(run, tmp_path):
    """Exit 3, and nothing left behind."""
    bad_inputs(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    table = ("--data", tmp_path / "good.csv", "--label", "kind")
    code, out, said = run("compress", *table, "--targets", tmp_path / "far.yaml", "--target", "far")

    assert (code, out) == (3, "")
    assert "cannot be resolved" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_input_is_one_sentence_with_exit_2_and_nothing_left_behind(run, tmp_path):
    """What was found and what is needed, on stderr; no run folder, no traceback."""
    for name, (arguments, wanted) in bad_inputs(tmp_path).items():
        before = sorted(tmp_path.rglob("*"))
        code, out, said = run("compress", *arguments)

        assert code == 2, (name, code, said)
        assert wanted in said, (name, said)
        assert "Traceback" not in said
        assert out == ""
        assert sorted(tmp_path.rglob("*")) == before, name
        if name != "no such flag":
            assert said.startswith("hpmkd-edge: "), (name, said)
            assert said.count("\n") == 1, (name, said)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--target", "host"], "--target cannot"),
        (["--targets", "t.yaml", "--rounds", "2", "--protocol", "quick"], "--targets, --rounds, --protocol cannot"),
        (["--records", "r"], "--records cannot"),
    ],
)
def test_an_ablation_refuses_what_it_has_no_use_for(run, tmp_path, arguments, named):
    """A flag that would be ignored is a sentence with exit code 2, before anything is made."""
    code, out, said = run("ablate", *arguments)

    assert code == 2
    assert said.startswith(f"hpmkd-edge: {named} go with ablate")
    assert out == ""
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (make_report(), 0),
        (make_report(profile=make_profile(ms=20)), 1),
        (make_report(target=make_target(device=BOARD)), 5),
    ],
)
def test_the_gate_ends_with_the_verdict_s_code(run, tmp_path, report, code):
    """The same from text and from JSON, and JSON on stdout only."""
    write_report(report, tmp_path / "report.json")

    assert run("gate", tmp_path / "report.json")[0] == code
    ended, out, said = run("gate", tmp_path / "report.json", "--format", "json")
    assert ended == code
    assert said == ""
    assert json.loads(out)


@pytest.mark.parametrize(("high", "code"), [(4.2, 0), (8.1, 1)])
def test_the_gate_takes_a_prediction_where_it_is_told_to(run, tmp_path, high, code):
    """5 without the flag; with it by the upper bound, and the interval is printed."""
    latency = replace(make_target().budgets, peak_memory_mb=None)
    target = make_target(device=BOARD, budgets=latency)
    write_report(make_report(target, foretold=(make_foretold(2.5, 3.1, high),)), tmp_path / "report.json")
    without, with_it = run("gate", tmp_path / "report.json"), run("gate", tmp_path / "report.json", "--allow-predicted")

    assert (without[0], with_it[0]) == (5, code)
    assert f"2.5 to {high} ms" in with_it[1]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "hpmkd-edge/report/9"}', '{"schema": 1}'])
def test_a_report_that_cannot_be_read_is_exit_2(run, tmp_path, content):
    """Never a traceback, never a pass."""
    (tmp_path / "r.json").write_text(content)
    code, _, said = run("gate", tmp_path / "r.json")

    assert (code, said.count("\n")) == (2, 1)


def test_targets_are_listed_shown_and_checked(run, tmp_path):
    """The shipped ones by name; a file of one's own by line and key."""
    assert "jetson" in run("targets", "list")[1]
    assert "jetson" in json.loads(run("targets", "list", "--format", "json")[1])
    assert "8" in run("targets", "show", "jetson")[1]
    assert run("targets", "show", "jetsn")[0] == 2
    good = (
        "targets:\n  box: {device: host, runtime: onnxruntime, precisions: [fp32], budgets: {model_size_mb: {fail: 1}}}"
    )
    (tmp_path / "t.yaml").write_text(good)
    assert run("targets", "check", tmp_path / "t.yaml")[0] == 0
    (tmp_path / "t.yaml").write_text(good.replace("fail", "fial"))
    code, _, said = run("targets", "check", tmp_path / "t.yaml")
    assert code == 2
    assert "line 2" in said


@pytest.mark.skipif(cuda_driver.missing() is None, reason="this machine has a GPU")
def test_a_runtime_that_is_not_here_is_exit_3(run):
    """TensorRT without a driver says so, before any of its objects is made."""
    with reference_file() as path:
        code, out, said = run("profile", path, "--target", "jetson")

    assert (code, out) == (3, "")
    assert "driver" in said


def test_a_reader_that_leaves_changes_no_exit_code(tmp_path):
    """`| head` closes the pipe; the verdict's code stands, and nobody complains."""
    write_report(make_report(profile=make_profile(ms=20)), tmp_path / "report.json")
    program = "from hpmkd_edge.cli import main; main()"
    for arguments in (["gate", str(tmp_path / "report.json")], ["targets", "list"]):
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        process.stdout.close()
        said = process.stderr.read()

        assert (process.wait(), said) == (1 if arguments[0] == "gate" else 0, "")


def test_what_nobody_foresaw_is_a_failure_and_not_a_broken_budget(run, monkeypatch):
    """Exit 1 says that a budget is broken; a fault says 4, with its traceback for a report."""
    monkeypatch.setattr("hpmkd_edge.targets.load_targets", lambda _: 1 / 0)
    code, _, said = run("targets", "list")

    assert code == 4
    assert "ZeroDivisionError" in said


def test_a_model_that_is_not_there_cannot_be_profiled(run, tmp_path):
    """Nor on a target that does not exist."""
    assert run("profile", tmp_path / "no.onnx")[0] == 2
    code, _, said = run("profile", tmp_path / "no.onnx", "--target", "nowhere")
    assert code == 2
    assert "Known:" in said


def test_help_and_version_import_nothing_heavy(tmp_path):
    """They answer at once, in a fresh interpreter; every command's help has an example or says what it takes."""
    for arguments in (["--help"], ["--version"], ["compress", "--help"], ["gate", "--help"], ["profile", "--help"]):
        program = (
            "import sys\nfrom hpmkd_edge.cli import main\n"
            f"sys.argv = ['hpmkd-edge', *{arguments!r}]\n"
            "try:\n    main()\nexcept SystemExit: pass\n"
            f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
        )
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

        assert result.stderr.strip() == "[]"
        assert "Examples:" in result.stdout or arguments[0].startswith("--")


def test_the_gate_reads_a_report_without_torch(tmp_path):
    """In a CI job there is none."""
    write_report(make_report(), tmp_path / "report.json")
    program = (
        "import sys\nfrom hpmkd_edge.cli import main\n"
        f"sys.argv = ['hpmkd-edge', 'gate', {str(tmp_path / 'report.json')!r}]\n"
        "try:\n    main()\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'sklearn'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")


def test_help_names_every_loss_family_and_protocol(run):
    """The help is written by hand, since the tables import torch; it must not fall behind them."""
    from hpmkd_edge.bench.protocol import SAMPLINGS
    from hpmkd_edge.distill.methods.table import METHODS
    from hpmkd_edge.students.choose import FAMILIES

    words = set(run("compress", "--help")[1].replace(",", " ").replace(".", " ").split())

    assert {*METHODS, *FAMILIES, *SAMPLINGS} <= words


def test_flags_that_would_do_nothing_are_refused(run, table_csv):
    """Before anything is read twice: a schedule without a temperature, taps without features, unknown names."""
    table = ("--data", str(table_csv), "--label", "kind", "--target", "host")
    for arguments, wanted in (
        ((*table, "--method", "logit_mse", "--schedule", "cosine"), "the loss logit_mse has no temperature"),
        ((*table, "--method", "logit_mse", "--temperature", "3"), "the loss logit_mse has no temperature"),
        ((*table, "--schedule", "cosin"), "Did you mean 'cosine'?"),
        ((*table, "--teacher-tap", "x"), "are for --stages by features"),
        ((*table, "--stage-weighting", "tcp"), "--stage-weighting is for --stages"),
        ((*table, "--stages", "fitnet,kd"), "have no features"),
        ((*table, "--stages", "dist,kd"), "cannot teach 2 classes"),
        ((*table, "--workers", "9999999"), "at most 1024"),
        (("--stages", "fitnet,kd", "--student-tap", "hed"), "tap of the student 'hed'"),
        (("--unlabeled", "more.txt"), "--unlabeled is for texts, and this task has images"),
    ):
        code, _, said = run("compress", *arguments)

        assert (code, wanted in said) == (2, True), (arguments, said)
