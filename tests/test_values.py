"""Values through the whole line: what ships answers in raw units, and every figure is that of its answers."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score

from hpmkd_edge.cli import main
from hpmkd_edge.compress import compress
from hpmkd_edge.distillation import distill
from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.record import read_report
from hpmkd_edge.report.gate import gate
from hpmkd_edge.report.terminal import show
from hpmkd_edge.request import Request
from hpmkd_edge.targets import load_targets
from hpmkd_edge.tasks.source import open_task

pytestmark = pytest.mark.slow

QUICK = {"epochs": 20, "rounds": 1, "size": "8x1", "without": ("configuration", "chain"), "accept_weak_teacher": True}


def frame_of(times=1.0):
    """Scikit-learn's own diabetes table, its label *times* as large."""
    frame = load_diabetes(as_frame=True).frame
    frame["target"] *= times
    return frame


@pytest.fixture
def table(tmp_path):
    """Return a request about the table, and about answers of a teacher that knows it well."""

    def write(times=1.0, shuffled=(), name="d"):
        """*shuffled*: the parts of the task whose rows have each other's answers."""
        frame = frame_of(times)
        path = tmp_path / f"{name}.csv"
        frame.to_csv(path, index=False)
        inputs = frame.drop(columns="target")
        answers = 0.5 * frame["target"] + 0.5 * Ridge(alpha=0.01).fit(inputs, frame["target"]).predict(inputs)
        answers = answers.to_numpy(np.float64).copy()
        task, generator = open_task(str(path), label="target"), np.random.default_rng(0)
        for part in shuffled:
            rows = getattr(task, part).positions
            answers[rows] = generator.permutation(answers[rows])
        teacher = tmp_path / f"{name}-teacher.npy"
        np.save(teacher, answers)
        return Request(data=str(path), label="target", targets=("host",), teachers=(str(teacher),), **QUICK)

    return write


def answers_of(path, rows):
    """Answer *rows* by the file alone, without any code of ours."""
    session = onnxruntime.InferenceSession(path)
    return session.run(["value"], rows.inputs.feeds())[0][:, 0]


def test_every_figure_is_that_of_the_file_s_answers_to_raw_rows(table, tmp_path, brief):
    """R² as scikit-learn computes it of the shipped file's answers, MAE alike, in the label's own units."""
    request = table()
    (report,) = compress(request, output=tmp_path / "run")
    test = open_task(request.data, label="target").test
    given = answers_of(tmp_path / "run" / "student.onnx", test)
    wanted = test.labels.astype(np.float64)  # in float32 scikit-learn's sums would be rounded

    assert report.student.test_accuracy == pytest.approx(r2_score(wanted, given.astype(np.float64)), abs=1e-9)
    assert report.student.misses.mae == pytest.approx(mean_absolute_error(wanted, given), rel=1e-6)
    assert 0 < report.student.test_standard_error < 1
    assert report.answers is None
    assert report.data.goal == "value"
    assert report.classes == ()
    assert report.rounds[0].parity_max_error < 1e-4
    assert "is learned by value" in report.notes[0]
    assert [rival.method for rival in report.rounds[0].rivals] == ["labels", "squares"]


def test_the_label_s_unit_changes_the_errors_and_nothing_else(table, tmp_path, brief):
    """A thousand times the label: a thousand times the MAE, the same R²."""
    small = distill(table(), output=tmp_path / "small")
    large = distill(table(times=1000.0, name="large"), output=tmp_path / "large")

    assert large.misses.mae == pytest.approx(1000 * small.misses.mae, rel=1e-3)
    assert large.test_accuracy == pytest.approx(small.test_accuracy, abs=1e-3)
    assert large.teachers[0].test_accuracy == pytest.approx(small.teachers[0].test_accuracy, abs=1e-3)


def test_a_shuffled_teacher_teaches_worse(table, tmp_path, brief):
    """Training rows with each other's answers: the student that learns them is another one, and worse."""
    true, shuffled = (
        distill(replace(table(shuffled=parts, name=f"t{len(parts)}"), epochs=100), output=tmp_path / f"run{len(parts)}")
        for parts in ((), ("train",))
    )

    assert true.rivals[0].validation_accuracy == shuffled.rivals[0].validation_accuracy
    assert true.rivals[1].validation_accuracy > shuffled.rivals[1].validation_accuracy + 0.02


def test_a_teacher_that_knows_nothing_is_refused(table, tmp_path):
    """A share of nothing is none, whatever is accepted."""
    with pytest.raises(BadTeacher, match=r"has an R² of -\d.*no better than their mean"):
        distill(table(shuffled=("validation",)), output=tmp_path / "run")


def test_the_gate_needs_the_report_alone(table, tmp_path, brief, capsys):
    """It comes to the run's verdict; budgets of R² and MAE are judged, one of accuracy is read as R²."""
    compress(table(), output=tmp_path / "run")
    report = read_report(tmp_path / "run" / "report.json")
    path = tmp_path / "targets.yaml"
    path.write_text(
        "targets:\n  host: {device: host, runtime: onnxruntime, precisions: [fp32], budgets: {r2: {min: 0.99},"
        " mae: {max: 10000}, accuracy: {min: 0.1}}}\n"
    )
    (own,) = gate([report])
    (other,) = gate([report], targets=load_targets(path))
    show(report)
    said = capsys.readouterr().out

    assert own == report.verdict
    assert next(one for one in own.judgements if one.budget == "accuracy").reason.startswith("read as R²")
    assert [(one.budget, one.outcome.value) for one in other.judgements] == [
        ("r2", "broken"),
        ("accuracy.min", "inconclusive"),
        ("mae", "met"),
    ]
    assert "R², test" in said
    assert "MAE, test" in said
    assert "accuracy, test" not in said


def test_several_teachers_of_values_are_averaged(table, tmp_path, brief):
    """Their mean is one more rival, and what it does is said."""
    one, two = table(name="one"), table(shuffled=("train",), name="two")
    made = distill(replace(one, teachers=(*one.teachers, *two.teachers)), output=tmp_path / "run")

    assert [rival.name for rival in made.rivals][2] == "KD from the mean of 2"
    assert next(found for found in made.components if found.component == "attention").sentence.startswith(
        "shares equal, as always for values"
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--method", "kd"], "'kd' cannot teach values: it compares classes; use 'squares'"),
        (["--stages", "kd,kd"], "this task's label is a value; leave them out"),
        (["--temperature", "3"], "the loss squares has no temperature; leave it out."),
    ],
)
def test_what_is_for_classes_is_refused_for_values(table, tmp_path, monkeypatch, capsys, flags, said):
    """In one sentence, with exit code 2."""
    path = table().data
    monkeypatch.setattr("sys.argv", ["hpmkd-edge", "distill", "--data", path, "--label", "target", *flags])
    with pytest.raises(SystemExit, match=r"^2$"):
        main()

    assert said in capsys.readouterr().err
