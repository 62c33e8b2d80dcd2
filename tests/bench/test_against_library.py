"""The two sides get the same rows and the same teacher, and each goal is checked by itself."""

import json
import sys

import joblib
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from hpmkd_edge.bench.scripts import against_library, library_side
from hpmkd_edge.errors import BadConfiguration, EdgeError
from hpmkd_edge.tasks.source import open_task


def side(name, which, **changes):
    row = {
        "set": name,
        "side": which,
        "cpu_s": 100.0 if which == "library" else 10.0,
        "accuracy": 0.9,
        "rows": 400,
        "answers": 400,
        "file_bytes": 1000,
        "most_bytes": 1000.0,
    }
    return {**row, **changes}


def summary_of(name, library=None, ours=None):
    return against_library.summarize([side(name, "library", **(library or {})), side(name, "ours", **(ours or {}))])


def small_set(tmp_path, calls=None):
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(60, 3)), np.arange(60) % 3

    def fit(x, y):
        if calls is not None:
            calls.append(len(x))
        return DecisionTreeClassifier(random_state=0).fit(x, y)

    return against_library.write_set(features, labels, tmp_path / "set", fit)


def test_both_sides_read_the_same_rows_in_the_same_order(tmp_path):
    """To the bit, though one is text and the other arrays; a fifth is for testing."""
    files = small_set(tmp_path)
    task = open_task(str(files.table), label="class", split="split")
    with np.load(files.arrays) as arrays:
        columns = np.stack([column.values for column in task.test.inputs.columns], axis=1)
        np.testing.assert_array_equal(columns, arrays["x_test"])
        np.testing.assert_array_equal(
            [task.classes[one] for one in task.test.labels], [f"c{y}" for y in arrays["y_test"]]
        )

    assert len(task.test) == 12
    assert len(task.train) + len(task.validation) == 48


def test_the_teacher_is_fitted_once(tmp_path):
    """On the training rows; a later run takes it from the disk."""
    calls = []
    first, second = small_set(tmp_path, calls), small_set(tmp_path, calls)

    assert calls == [48]
    assert first == second
    assert joblib.load(first.teacher).n_features_in_ == 3


def test_figures_exactly_at_their_goals_reach_them():
    """A tenth of the time, the library's accuracy, the whole budget."""
    assert summary_of("digits")["holds"]
    assert not summary_of("made", ours={"accuracy": 0.86})["holds"]
    assert summary_of("made", ours={"accuracy": 0.861})["holds"]


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"cpu_s": 10.1}, "at most 0.1 of the library's CPU time"),
        ({"accuracy": 0.89}, "accuracy no lower than the library's"),
        ({"answers": 399}, "as many answers as rows"),
        ({"file_bytes": 1001}, "a file within its budget"),
    ],
)
def test_each_goal_is_checked_by_itself(changes, missed):
    """One that is missed is enough, and is named."""
    summary = summary_of("digits", ours=changes)

    assert [goal for goal, reached in summary["sets"]["digits"]["goals"].items() if not reached] == [missed]
    assert not summary["holds"]


def test_answers_that_are_not_as_many_as_the_rows_have_no_accuracy():
    """They cannot be told apart from answers to other rows; the table says so."""
    labels = np.array([0, 1, 1, 0])
    short = library_side.answers_of(lambda rows: rows[:3, 0], np.zeros((4, 1)), labels)
    whole = library_side.answers_of(lambda rows: np.array([0, 1, 0, 0]), np.zeros((4, 1)), labels)
    rows = [side("digits", "library", **short), side("digits", "ours")]

    assert short == {"rows": 4, "answers": 3, "accuracy": None}
    assert whole == {"rows": 4, "answers": 4, "accuracy": 0.75}
    assert "invalid" in against_library.table_of(against_library.summarize(rows), rows)


def test_a_kept_outcome_is_read_back_unless_something_changed(tmp_path, monkeypatch):
    """The command and the files decide; a side can be asked for again."""
    files, folder, runs = small_set(tmp_path), tmp_path / "set", []

    def run(files, folder):
        runs.append(files)
        return {"cpu_s": float(len(runs))}

    monkeypatch.setattr(against_library, "run_ours", run)
    first = against_library.outcome_of("ours", files, folder, again=False)

    assert against_library.outcome_of("ours", files, folder, again=False) == first
    assert against_library.outcome_of("ours", files, folder, again=True)["cpu_s"] == 2
    files.table.write_text(files.table.read_text() + "\n")
    assert against_library.outcome_of("ours", files, folder, again=False)["cpu_s"] == 3


def test_cpu_time_is_that_of_the_child(tmp_path):
    """Waiting costs none; a failure names the log."""
    busy = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    idle = timed(tmp_path, "import time; time.sleep(0.5)")

    assert timed(tmp_path, busy)["cpu_s"] > 0.3
    assert idle["cpu_s"] < 0.45 < idle["wall_s"]
    with pytest.raises(EdgeError, match=r"ended with 3; see .*log"):
        timed(tmp_path, "raise SystemExit(3)")


def timed(tmp_path, code):
    return against_library.timed([sys.executable, "-c", code], tmp_path / "log", tmp_path / "cache")


def test_an_environment_that_is_complete_is_used_again(tmp_path, monkeypatch):
    """Nothing is installed twice; a Python that the library does not know is refused before anything is made."""
    (tmp_path / "installed.txt").write_text("\n".join(against_library.PACKAGES))

    assert against_library.make_environment(tmp_path) == tmp_path / "bin" / "python"
    monkeypatch.setattr(against_library.sys, "version_info", (3, 13))
    with pytest.raises(BadConfiguration, match=r"the library needs 3\.10 to 3\.12"):
        against_library.make_environment(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_result_has_a_row_for_each_side(tmp_path, monkeypatch, capsys):
    """A missed goal gives exit code 1."""
    monkeypatch.setattr(against_library, "make_environment", lambda folder: folder)
    monkeypatch.setattr(against_library, "write_set", lambda *_: None)
    monkeypatch.setattr(against_library, "outcome_of", lambda which, *_, again: side("digits", which, cpu_s=50.0))
    output = tmp_path / "result.json"
    code = against_library.main(["digits", "--folder", str(tmp_path), "--output", str(output)])
    written = json.loads(output.read_text())

    assert code == 1
    assert [(row["set"], row["side"]) for row in written["rows"]] == [("digits", "library"), ("digits", "ours")]
    assert not written["sets"]["digits"]["goals"]["at most 0.1 of the library's CPU time"]
    assert "1.000 of the library's CPU time" in capsys.readouterr().out
