"""One worker and several do the same jobs, in turn."""

import argparse
import json

import pytest

from hpmkd_edge.bench.scripts import parallel
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.teachers.open import open_teacher


def row(number, arm, seconds, *, students=None):
    return {
        "round": number,
        "arm": arm,
        "wall_s": seconds,
        "race_s": seconds / 2,
        "training_s": seconds,
        "students": students or {"direct": "a", "KD": "b"},
    }


def rows(*seconds, **changes):
    """A row of each arm for each triple of *seconds*."""
    arms = parallel.arms_of(2)
    return [
        row(number, arm.name, one, **changes)
        for number, triple in enumerate(seconds)
        for arm, one in zip(arms, triple, strict=True)
    ]


def test_ratios_are_those_within_a_round():
    """Other work slows all arms of a round alike; the median and the range of rounds are kept."""
    summary = parallel.summarize(rows((100, 60, 80), (200, 130, 160), (100, 70, 90)), 2)
    ratio = summary["ratios"]["2 workers over 1 worker"]

    assert (ratio["median"], ratio["low"], ratio["high"]) == pytest.approx((0.65, 0.6, 0.7))
    assert summary["holds"]
    assert summary["side_by_side"]["2 workers"] == 2
    assert not parallel.summarize(rows((100, 66, 80)), 2)["holds"]


def test_other_students_are_noticed():
    """With more threads they may differ, and that is said apart."""
    one, several, threads = rows((100, 60, 80))
    other = {"direct": "a", "KD": "c"}

    assert parallel.summarize([one, several, threads], 2)["equal_bytes"] == {
        "1 worker and 2 workers": True,
        "all arms": True,
    }
    assert parallel.summarize([one, several, {**threads, "students": other}], 2)["equal_bytes"] == {
        "1 worker and 2 workers": True,
        "all arms": False,
    }
    assert not any(parallel.summarize([one, {**several, "students": other}, threads], 2)["equal_bytes"].values())


def test_arms_take_turns_and_a_stopped_script_goes_on(tmp_path, monkeypatch):
    """Each round begins with another arm; a short run before the first is not kept."""
    began = []

    def run_arm(arm, request):
        began.append((arm.name, request.epochs))
        if len(began) == 6:
            raise KeyboardInterrupt
        return row(0, arm.name, 1.0)

    monkeypatch.setattr(parallel, "run_arm", run_arm)
    monkeypatch.setattr(parallel, "fit_teachers", lambda *_: ("a.joblib",))
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1})
    arguments = ["--rounds", "3", "--epochs", "5", "--output", str(tmp_path / "parallel.json")]
    with pytest.raises(KeyboardInterrupt):
        parallel.main(arguments)
    assert parallel.main(arguments) == 0
    one, several, threads = (arm.name for arm in parallel.arms_of(2))
    kept = json.loads((tmp_path / "parallel.json").read_text())["rows"]

    assert [one["arm"] for one in kept[:6]] == [one, several, threads, several, threads, one]
    assert len(kept) == 9
    assert [name for name, epochs in began if epochs == 1] == [several, several]


@pytest.mark.parametrize("kind", ["table", "images"])
def test_the_classifiers_that_are_fitted_can_teach(kind, table_csv, images_npz, tmp_path):
    """Of a table with text and missing values, and of images."""
    task = open_task(str(table_csv), label="kind") if kind == "table" else open_task(str(images_npz))
    files = parallel.fit_teachers(task, tmp_path)

    assert len(files) == parallel.TEACHERS
    for file in files:
        teacher = open_teacher(file, task=task, weights=None, normalize=None, trust=True)
        assert (teacher.logits(task.test).argmax(1) == task.test.labels).mean() > 0.6


@pytest.mark.slow
def test_the_jobs_make_every_rival(table_csv, tmp_path):
    """Labels alone, the best teacher, closed-form and learned weights; in two workers as in one."""
    asked = argparse.Namespace(
        data=str(table_csv), label="kind", split=None, student=None, size="8x1", epochs=2, weights=[], normalize=None
    )
    teachers = parallel.fit_teachers(open_task(asked.data, label=asked.label), tmp_path)
    request = parallel.request_of(asked, teachers, own=True)
    one, several, _ = (parallel.run_arm(arm, request) for arm in parallel.arms_of(2))

    assert len(one["students"]) == 4
    assert (one["students"], one["student_sha256"]) == (several["students"], several["student_sha256"])
