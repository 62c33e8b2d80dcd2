"""A run's folder is whole or marked as partial."""

import os
from pathlib import Path

import pytest

from hpmkd_edge.errors import BadConfiguration, BadOutput
from hpmkd_edge.request import Request
from hpmkd_edge.run_folder import find_interrupted, open_folder, plan_folder


def test_planning_writes_nothing(tmp_path):
    """Bad input is found after it, and must leave nothing."""
    plan_folder(tmp_path / "a" / "run")

    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_is_found_with_or_without_its_ending(tmp_path, monkeypatch):
    """The request comes back as it was; from the folder where its relative paths hold, and no other."""
    request = Request(data="x.csv", label="y", targets=("host", "jetson"), compression=4.5, started_in=str(Path.cwd()))
    open_folder(plan_folder(tmp_path / "run"), request)

    for name in ("run", "run.partial"):
        folder, found = find_interrupted(tmp_path / name)
        assert found == request
        assert folder.final == tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadConfiguration, match="resume it from there"):
        find_interrupted(tmp_path / "run")


def test_what_is_finished_is_not_called_missing(tmp_path):
    """Neither by its name, nor by that of the folder in which it was made."""
    (tmp_path / "run").mkdir()
    for name in ("run", "run.partial"):
        with pytest.raises(BadConfiguration, match=r"/run is there already and is not interrupted; nothing is left"):
            find_interrupted(tmp_path / name)


def test_a_finished_run_holds_no_state(tmp_path):
    """Moved in one piece, without request and state."""
    folder = plan_folder(tmp_path / "run")
    open_folder(folder, Request())
    (folder.made / "student.onnx").write_bytes(b"x")
    folder.finish()

    assert [path.name for path in (tmp_path / "run").iterdir()] == ["student.onnx"]
    assert not folder.partial.exists()


def test_what_is_there_is_not_written_over(tmp_path):
    """Neither a finished run nor an interrupted one."""
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "report.json").write_text("{}")
    with pytest.raises(BadOutput, match="exists already"):
        plan_folder(tmp_path / "done")
    open_folder(plan_folder(tmp_path / "run"), Request())
    with pytest.raises(BadOutput, match="--resume"):
        plan_folder(tmp_path / "run")
    with pytest.raises(BadConfiguration, match="no interrupted run"):
        find_interrupted(tmp_path / "other")


def test_a_damaged_request_is_refused(tmp_path):
    """With its file, not with a traceback."""
    folder = plan_folder(tmp_path / "run")
    open_folder(folder, Request())
    (folder.partial / "request.json").write_text('{"data": 3}')
    with pytest.raises(BadConfiguration, match="not a request"):
        find_interrupted(tmp_path / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path):
    """Before anything is computed."""
    tmp_path.chmod(0o500)
    with pytest.raises(BadOutput, match="cannot be written"):
        plan_folder(tmp_path / "run")


def test_a_file_in_the_way_is_refused(tmp_path):
    """Root or not."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadOutput, match="cannot be written"):
        plan_folder(tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds": 0}, "--rounds is 0; a number from 1"),
        ({"epochs": -1}, "--epochs is -1"),
        ({"compression": float("nan")}, "--compression is nan"),
        ({"protocol": "quik"}, "Did you mean 'quick'"),
        ({"device": "tpu"}, "Known: auto, cpu, cuda"),
        ({"targets": ()}, "no target"),
        ({"targets": ("host", "host")}, "twice"),
        ({"weights": ("a.pt",)}, "--weights is given 1 times for 0 teachers"),
    ],
)
def test_a_request_that_no_run_can_use_is_refused(change, message):
    """The flag, what was found, what is needed."""
    with pytest.raises(BadConfiguration, match=message):
        Request(**change).check()
