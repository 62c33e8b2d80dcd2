"""Several sets are compared in bytes and in retention."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from sample_records import make_report

from hpmkd_edge.bench.scripts import tabular
from hpmkd_edge.errors import BadReport
from hpmkd_edge.record import write_report


def rows(name, *kept, ratio=20.0):
    return [
        {
            "set": name,
            "seed": seed,
            "retention": one,
            "file_ratio": ratio,
            "teacher_test_accuracy": 0.9,
            "student_test_accuracy": 0.9 * one,
        }
        for seed, one in enumerate(kept)
    ]


def summary_of(*sets):
    return tabular.summarize([row for one in sets for row in one], compression=15, retention=0.97)


def test_a_set_passes_by_its_mean_and_for_certain_by_its_interval():
    """And every one of its students must be small enough."""
    summary = summary_of(
        rows("sure", 0.98, 0.981, 0.982),
        rows("likely", 0.96, 0.98, 0.99),
        rows("worse", 0.96, 0.961, 0.962),
        rows("large", 0.99, 0.99, 0.99, ratio=14.9),
        rows("alone", 0.99),
    )

    assert summary["passing"] == ["sure", "likely", "alone"]
    assert summary["passing_for_certain"] == ["sure"]
    assert not summary["holds"]
    assert "one run" in tabular.table_of(summary)


def test_four_sets_are_enough():
    """The claim is one of four sets or more, whatever others there are."""
    summary = summary_of(*(rows(f"set {number}", 0.98, 0.981) for number in range(4)), rows("worse", 0.5, 0.5))

    assert summary["holds"]
    assert "4 of 5" in tabular.table_of(summary)


def test_a_teacher_without_a_file_is_refused():
    """Its ratio is unknown, and not taken for small or large."""
    with pytest.raises(BadReport, match="a teacher of pets has no file"):
        summary_of(rows("pets", 0.98, ratio=None))


def test_finished_runs_are_read_back(tmp_path, monkeypatch, capsys):
    """By set and seed; their commands name the set's own flags, and what stands after the two dashes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    passed = ["--target", "host", "--compression", "15", "--data", "digits", "--epochs", "3"]
    report = make_report()
    for seed in (0, 1):
        folder = Path("runs") / f"tabular-digits-{seed}"
        folder.mkdir(parents=True)
        seeds = ["--seed", str(seed), "--split-seed", str(seed)]
        command = ["hpmkd-edge", "compress", *passed, *seeds, "--output", str(folder), "--quiet"]
        write_report(replace(report, command=shlex.join(command)), folder / "report.json")
    code = tabular.main(["digits", "--seeds", "2", "--output", "tabular.json", "--", "--epochs", "3"])
    written = json.loads(Path("tabular.json").read_text())

    assert code == 0
    assert [(row["set"], row["seed"]) for row in written["rows"]] == [("digits", 0), ("digits", 1)]
    assert written["command"].endswith("tabular.py digits --seeds 2 --output tabular.json -- --epochs 3")
    assert written["sets"]["digits"]["least_file_ratio"] == pytest.approx(3.52)
    assert "false (0 of 1" in capsys.readouterr().out
