"""The script that holds the measurement against its claims: its models run, its figures say what its rows say."""

import json

import numpy as np
import pytest

from hpmkd_edge.bench.runtimes import onnx_runtime
from hpmkd_edge.bench.runtimes.feeds import feeds_of_file
from hpmkd_edge.bench.scripts import measuring
from hpmkd_edge.bench.scripts.small_models import extra_work


@pytest.mark.parametrize("name", measuring.MODELS)
def test_the_models_run_and_extra_work_leaves_their_answers(tmp_path, name):
    """Ten finite numbers, which the extra work does not move by more than a rounding."""
    plain = measuring.MODELS[name](tmp_path / "plain.onnx")
    more = extra_work(plain, tmp_path / "more.onnx", size=1000)
    feeds = feeds_of_file(plain)
    answers = [onnx_runtime.load(path, 1, feeds).run(feeds) for path in (plain, more)]

    assert answers[0].shape == (1, 10)
    assert np.isfinite(answers[0]).all()
    np.testing.assert_allclose(*answers, rtol=1e-5, atol=1e-6)


def test_a_bare_loop_measures_what_a_run_takes():
    """By a clock of its own, of which a run takes a thousand."""

    class Watch:
        now = 0

    def run():
        Watch.now += 1000

    measured = measuring.bare_ns.__globals__
    real = measured["time"].perf_counter_ns
    try:
        measured["time"].perf_counter_ns = lambda: Watch.now
        found = measuring.bare_ns(run, 50_000_000)
    finally:
        measured["time"].perf_counter_ns = real

    assert found == 1000


def rows(*, right=19, noisy=False):
    standards = [
        {"part": "standard", "of": name, "number": number, "at": 600.0 * number, "p90_bound_ms": 1 + 0.1 * number,
         "flags": ["noisy"] if noisy else []}
        for number in range(2) for name in measuring.MODELS
    ]  # fmt: skip
    loops = [{"part": "loop", "of": name, "ratios": [0.9, 1.02, 1.5]} for name in measuring.MODELS]
    changes = [
        {"part": "change", "of": condition, "verdict": said if number < right else "inconclusive"}
        for condition in measuring.CONDITIONS
        for said in ["slower" if condition.startswith("planted") else "no change"]
        for number in range(20)
    ]
    quick = [{"part": "quick", "of": "residual", "seconds": 5.5, "warmup": 1.0, "not_timed": 2.5}]
    memory = [{"part": "memory", "of": "residual", "whole_over_outside": 0.95, "above_over_outside": 1.0}]
    return [*standards, *loops, *changes, *quick, *memory]


def test_goals_follow_from_rows():
    """Medians of the loop, 19 of 20; bounds that lie apart are well where a record says so."""
    said, silent = (measuring.summarize(rows(noisy=noisy))["goals"] for noisy in (True, False))

    assert all(said.values())
    assert [name for name, met in silent.items() if not met] == ["two p90 bounds within 5 %, or said to be noisy"]


def test_a_planted_slow_down_that_is_missed_twice_misses_the_goal():
    """Inconclusive is not found; of nothing, it is no false alarm."""
    goals = measuring.summarize(rows(right=18, noisy=True))["goals"]

    assert [name for name, met in goals.items() if not met] == [
        "planted, alone: right in 19 of 20",
        "planted, beside a load: right in 19 of 20",
    ]


def test_a_call_stops_in_time_and_the_next_goes_on(tmp_path, monkeypatch, capsys):
    """Each row once, whatever the number of calls."""
    for part in ("standard", "loop", "memory", "quick"):
        example = next(row for row in rows(noisy=True) if row["part"] == part)
        found = {key: value for key, value in example.items() if key not in ("part", "of", "number")}
        monkeypatch.setattr(measuring, part, lambda path, found=found: found)
    asked = ["--trials", "0", "--output", str(tmp_path / "m.json")]

    assert measuring.main([*asked, "--seconds", "-1"]) == 5
    (tmp_path / "m.json").unlink()
    monkeypatch.setattr(measuring, "tasks", lambda trials: [("loop", "residual", 0)])
    assert measuring.main(asked) == 0
    monkeypatch.undo()
    assert [row["part"] for row in json.loads((tmp_path / "m.json").read_text())["rows"]] == ["loop"]
