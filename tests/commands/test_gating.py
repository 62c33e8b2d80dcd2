"""`gate` from the command line: every exit code, files whole or not at all, nothing heavy."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as Xml
from dataclasses import replace
from pathlib import Path

import pytest
from sample_records import BOARD, make_foretold, make_profile, make_report, make_target

from hpmkd_edge import cli
from hpmkd_edge.bench.profile import write_profile
from hpmkd_edge.record import write_report

HEAVY = ("torch", "onnx", "onnxruntime", "scipy", "pandas", "plotly", "sklearn", "jinja2")
SLOW = make_profile(ms=20.0)
LATENCY = replace(make_target().budgets, peak_memory_mb=None)
TIGHT = "targets: {host: {device: host, runtime: onnxruntime, precisions: [fp32], budgets: %s}}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder to stand in, with reports and files that a gate may be given."""
    monkeypatch.chdir(tmp_path)
    met, unknown = make_report(), make_report(make_target(device=BOARD))
    slower = make_report(profile=make_profile(ms=2.0, reference_ns=(301_000,) * 1000))
    foretold = make_report(make_target(device=BOARD, budgets=LATENCY), foretold=(make_foretold(2.5, 3.1, 4.2),))
    for name, report in (
        ("met", met),
        ("warned", make_report(profile=make_profile(ms=7.5))),
        ("broken", make_report(profile=SLOW)),
        ("unknown", unknown),
        ("foretold", foretold),
        ("slower", slower),
        ("birds", replace(met, data=replace(met.data, name="birds"))),
        ("denied", replace(met, student=replace(met.student, test_accuracy=0.5))),
    ):
        write_report(report, tmp_path / f"{name}.json")
    write_profile(make_profile(model_sha256="6" * 64), tmp_path / "other-profile.json")
    (tmp_path / "loose.yaml").write_text(TIGHT % "{model_size_mb: {fail: 5}}")
    (tmp_path / "tight.yaml").write_text(TIGHT % "{model_size_mb: {fail: 0.5}}")
    (tmp_path / "curve.yaml").write_text(TIGHT % "{accuracy_for_size: [{model_size_mb: 1, min: 0.92}]}")
    (tmp_path / "wrong.yaml").write_text(TIGHT % "{model_size: {fail: 5}}")
    (tmp_path / "run" / "host").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    write_report(met, tmp_path / "run" / "host" / "report.json")
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys, folder):
    """Return a function that runs the gate there, and gives exit code, output and complaints."""

    def call(line):
        monkeypatch.setattr(sys, "argv", ["hpmkd-edge", "gate", *line.split()])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code or 0, *capsys.readouterr()

    return call


# 3 is of a device or a runtime that is not there, and the gate opens none. 4 is of what the system refuses and 130 of
# an interruption; both have tests of their own below.
CODES = [
    ("met.json", 0),
    ("warned.json", 0),
    ("run", 0),
    ("met.json --baseline met.json --max-size-growth 0", 0),
    ("slower.json --baseline met.json --max-latency-growth 150", 0),
    ("foretold.json --allow-predicted", 0),
    ("broken.json --targets loose.yaml", 0),
    ("broken.json", 1),
    ("met.json broken.json unknown.json", 1),
    ("met.json --targets tight.yaml", 1),
    ("met.json --targets curve.yaml", 1),
    ("slower.json --baseline met.json", 1),
    ("none.json", 2),
    ("empty", 2),
    ("denied.json", 2),
    ("met.json --targets wrong.yaml", 2),
    ("met.json --targets none.yaml", 2),
    ("unknown.json --targets tight.yaml", 2),
    ("met.json --profile other-profile.json", 2),
    ("met.json --profile none.json", 2),
    ("met.json --baseline met.json --baseline slower.json", 2),
    ("met.json --baseline denied.json", 2),
    ("met.json --baseline none.json", 2),
    ("met.json --max-accuracy-drop 1", 2),
    ("met.json --baseline met.json --max-accuracy-drop -1", 2),
    ("met.json --baseline met.json --max-latency-growth nan", 2),
    ("met.json --junit none/j.xml", 2),
    ("met.json --summary empty", 2),
    ("met.json --format xml", 2),
    ("", 2),
    ("unknown.json", 5),
    ("foretold.json", 5),
    ("met.json --baseline birds.json", 5),
    ("unknown.json --baseline met.json", 5),
]


@pytest.mark.parametrize(("line", "code"), CODES)
def test_the_exit_code_says_how_it_came_out(run, folder, line, code):
    """A usable input has a result on stdout; another has a sentence on stderr, and nothing is written."""
    before = sorted(folder.rglob("*"))
    ended, out, said = run(line)

    assert ended == code
    assert (out == "") == (code == 2)
    assert (said != "") == (code == 2)
    assert sorted(folder.rglob("*")) == before


def test_an_interruption_is_130(run, monkeypatch):
    """Nothing is judged then."""

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("hpmkd_edge.record.read_report", interrupt)

    assert run("met.json")[:2] == (130, "")


def test_a_full_disk_is_4(folder):
    """What could not be said is no verdict."""
    program = "from hpmkd_edge.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", program, "gate", "met.json"], stdout=full, stderr=subprocess.PIPE)

    assert done.returncode == 4
    assert b"the system refused: [Errno 28] No space left" in done.stderr


def test_every_output_says_the_same(run, folder):
    """JSON alone on stdout, commands on stderr, XML and Markdown in their files, the latter after what was there."""
    (folder / "s.md").write_text("before\n")
    code, out, said = run(
        "met.json slower.json --baseline met.json --junit j.xml --summary s.md --annotations --format json"
    )

    assert code == json.loads(out)["exit_code"] == 1
    assert [one["outcome"] for one in json.loads(out)["verdicts"]] == ["met", "broken"]
    assert Xml.parse(folder / "j.xml").getroot().get("failures") == "1"
    assert (folder / "s.md").read_text().startswith("before\n## hpmkd-edge gate: ✗ broken\n")
    assert [line.split()[0] for line in said.splitlines()] == ["::error", "::notice", "::notice"]


def test_a_misspelled_target_is_not_judged_by_shipped_budgets(run, folder):
    """The file has no such target, and says which it has."""
    (folder / "hots.yaml").write_text((folder / "tight.yaml").read_text().replace("{host:", "{hots:"))

    assert run("met.json --targets hots.yaml") == (
        2,
        "",
        "hpmkd-edge: there is no target 'host' in hots.yaml. Did you mean 'hots'? Known: hots.\n",
    )


@pytest.mark.parametrize("how", ["json", "text"])
def test_a_terminal_that_lacks_a_letter_is_told_the_rest(folder, how):
    """JSON is read back as it was; a table has another sign there."""
    name = "é日🙂"
    report = make_report()
    write_report(replace(report, data=replace(report.data, name=name)), folder / "named.json")
    program = "from hpmkd_edge.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "gate", "named.json", "--baseline", "named.json", "--format", how],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )

    assert (done.returncode, done.stderr) == (0, b"")
    if how == "json":
        assert json.loads(done.stdout.decode("ascii"))["baseline"][0]["data"] == name


def test_a_file_that_cannot_be_written_leaves_nothing_said(run, folder):
    """Neither a table that could be taken for the verdict, nor half a file."""
    code, out, said = run("met.json --summary s.md --junit empty")

    assert (code, out, said.count("\n")) == (2, "", 1)
    assert not (folder / "s.md").exists()


def test_nothing_heavy_is_imported(folder):
    """In a CI job there is no torch, and a gate has to answer within a second."""
    program = (
        "import sys\nfrom hpmkd_edge.cli import main\n"
        "sys.argv = ['hpmkd-edge', 'gate', 'slower.json', '--baseline', 'met.json', '--junit', 'j.xml',"
        " '--summary', 's.md', '--annotations', '--targets', 'curve.yaml', '--format', 'json']\n"
        "try:\n    main()\nexcept SystemExit as stop: assert stop.code == 1\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "error"}
    )

    assert done.stderr.splitlines()[-1] == "[]"
