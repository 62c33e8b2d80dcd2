"""A run in a used cache is compared with the one that filled it."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from sample_records import make_report

from hpmkd_edge.bench.scripts import repeat
from hpmkd_edge.record import write_report

# Stands in for the command: takes the report that is kept for a fresh cache, for a used one, or for another seed.
COMMAND = """#!/bin/sh
cache=used
[ -d "$HPMKD_EDGE_CACHE" ] || cache=fresh
mkdir -p "$HPMKD_EDGE_CACHE"
case "$*" in *"--seed 1"*) cache=other;; esac
while [ "$1" != --output ]; do shift; done
mkdir "$2" && cp "{reports}/$cache.json" "$2/report.json"
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A function that sets what the runs will report."""
    program = tmp_path / "bin" / "hpmkd-edge"
    program.parent.mkdir()
    program.write_text(COMMAND.format(reports=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}/usr/bin:/bin")

    def report(**changes):
        for cache, forwards in (("fresh", 3), ("used", 0), ("other", 0)):
            found = make_report(teacher_forwards=forwards)
            write_report(changes.get(cache, lambda one: one)(found), Path(tmp_path / f"{cache}.json"))

    return report


def run(tmp_path, *arguments):
    output = tmp_path / "repeat.json"
    code = repeat.main(["--output", str(output), *arguments, "--", "--teacher", "t.onnx"])
    return code, json.loads(output.read_text()) if output.exists() else None


def test_a_used_cache_asks_no_teacher(command, tmp_path):
    """Each repetition has a fresh cache, which the first run fills."""
    command()
    code, result = run(tmp_path, "--times", "2")

    assert code == 0
    assert result["teacher_forwards"] == {"first": [3, 3], "again": [0, 0], "other": [0, 0]}
    assert result["claims"]["a second run on the same teacher and data does no teacher forward"]["holds"]
    assert (result["equal_accuracy"], result["equal_bytes"]) == (True, True)
    assert len(result["rows"]) == 2


def test_a_forward_and_another_student_are_noticed(command, tmp_path):
    """The claims do not hold, and the exit code is still 0: the script has measured."""
    command(used=lambda one: replace(one, teacher_forwards=1, student_sha256="0" * 64))
    code, result = run(tmp_path, "--times", "1")

    assert code == 0
    assert not any(claim["holds"] for claim in result["claims"].values())
    assert (result["equal_accuracy"], result["equal_bytes"]) == (True, False)


def test_another_teacher_is_refused(command, tmp_path, capsys):
    """Its forwards are no sign of a cache that fails."""
    command(other=lambda one: replace(one, teachers=one.teachers[:1]))
    code, result = run(tmp_path, "--times", "1")

    assert code == 2
    assert "the run had other teachers than the first" in capsys.readouterr().err
    assert result is None


def test_a_new_seed_needs_a_teacher(capsys):
    """One that is trained on the spot follows from the seed."""
    with pytest.raises(SystemExit, match="2"):
        repeat.main(["--", "--target", "host"])

    assert "give a --teacher" in capsys.readouterr().err


def test_a_repetition_is_a_ratio_of_walls():
    """The median of the repetitions counts."""
    one = {"teacher_forwards": 0, "test_accuracy": 0.9, "student_sha256": "5"}
    rows = [
        {"first": {**one, "teacher_forwards": 2, "wall_s": wall}, "again": {**one, "wall_s": 10.0}, "other": one}
        for wall in (20.0, 31.0, 90.0)
    ]
    summary = repeat.summarize(rows)

    assert (summary["speedup"]["median"], summary["speedup"]["low"], summary["speedup"]["high"]) == (3.1, 2.0, 9.0)
    assert all(claim["holds"] for claim in summary["claims"].values())
