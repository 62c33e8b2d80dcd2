"""A run that is followed ships the same bytes, shares the same trainings, and is found in TensorBoard as it was."""

import pytest
from sample_records import make_profile, make_report
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from hpmkd_edge.distillation import distill
from hpmkd_edge.export.artifact import STUDENT
from hpmkd_edge.manifest import check_manifest, read_manifest
from hpmkd_edge.request import Request
from hpmkd_edge.tracked import summary_of


def test_the_summary_of_a_report_has_its_numbers_and_names(tmp_path):
    """What was not measured is left out; so are files that are not there."""
    report = make_report(profile=make_profile(ms=1.5))
    told = summary_of(report, tmp_path)
    numbers, tags = dict(told.numbers), dict(told.tags)

    assert told.target == report.target
    assert numbers["test_accuracy"] == report.student.test_accuracy
    assert numbers["p90_bound_ms"] == report.student.p90_bound_ms
    assert numbers["model_size_mb"] == report.student.cost.file_bytes / 1e6
    assert numbers["budgets_met"] == sum(one.outcome.value == "met" for one in report.verdict.judgements)
    assert (tags["data_sha256"], tags["student_sha256"]) == (report.data.sha256, report.student_sha256)
    assert set(report.settings) < set(told.settings)
    assert report.verdict.outcome.value in told.text
    assert told.files == ()


@pytest.mark.slow
def test_following_changes_nothing_of_a_run(table_csv, tmp_path):
    """The same bytes; trainings are shared, and told of from their curves; every curve is that of the record."""
    asked = {"data": str(table_csv), "label": "kind", "epochs": 4, "without": ("configuration", "chain")}
    plain = distill(Request(**asked), output=tmp_path / "plain")
    followed = distill(Request(**asked, log=("tensorboard",)), output=tmp_path / "followed")
    curves = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "followed" / "tensorboard"))
    curves.Reload()
    found = {
        run: [(one.step, one.value) for one in curves.Scalars(run, "loss")]
        for run, tags in curves.Runs().items()
        if "loss" in tags["scalars"]
    }

    assert followed.run_id == plain.run_id
    assert (tmp_path / "followed" / STUDENT).read_bytes() == (tmp_path / "plain" / STUDENT).read_bytes()
    assert [rival.seconds for rival in followed.rivals] == [rival.seconds for rival in plain.rivals]
    assert len(found) == len(plain.rivals)
    assert all([step for step, _ in steps] == [1, 2, 3, 4] for steps in found.values())
    direct = next(steps for run, steps in found.items() if "direct" in run)
    assert [value for _, value in direct] == pytest.approx(followed.rivals[0].losses)
    assert [one.value for one in curves.Scalars("student", "summary/test_accuracy")] == [
        pytest.approx(followed.test_accuracy)
    ]
    assert check_manifest(tmp_path / "followed") == ()
    assert not any("tensorboard" in one.file for one in read_manifest(tmp_path / "followed").artifacts)
    assert not (tmp_path / "plain" / "tensorboard").exists()
