"""Where files are measured: each once, those that belong together in turn, and none that a record was handed in for."""

from dataclasses import replace

import numpy as np
import pytest
from sample_records import make_profile, make_target

from hpmkd_edge import desk
from hpmkd_edge.bench.profile import write_profile
from hpmkd_edge.desk import Desk, Fed, read_given
from hpmkd_edge.errors import BadConfiguration, BadReport, Interrupted
from hpmkd_edge.export.artifact import Artifact


@pytest.fixture
def files(tmp_path):
    made = []
    for precision in ("int8", "fp32"):
        path = tmp_path / f"{precision}.onnx"
        path.write_bytes(precision.encode())
        made.append(Artifact(path=path, precision=precision, parity=None))
    return made


@pytest.fixture
def asked(monkeypatch):
    """Note what is measured, instead of measuring it: times are counted."""
    calls = []

    def compare(paths, *, precisions, host, **_):
        calls.append([path.name for path in paths])
        taken = (len(calls),) * 100
        return tuple(
            make_profile(
                model=path.name,
                model_sha256=Artifact(path=path, precision=precision, parity=None).sha256,
                precision=precision,
                reference_ns=taken,
            )
            for path, precision in zip(paths, precisions, strict=True)
        )

    monkeypatch.setattr(desk, "compare", compare)
    return calls


def make_desk(**changes):
    asked = Desk(
        target=make_target(),
        runtime="onnxruntime",
        protocol="quick",
        row={"x": np.zeros((1, 2), np.float32)},
        stop=lambda: False,
    )
    return replace(asked, **changes)


def test_what_was_measured_in_turn_is_read_back_and_not_measured_again(files, asked):
    """A resumed run sees the same numbers."""
    first = make_desk().in_turn(files)
    again = make_desk().in_turn(files)

    assert asked == [["int8.onnx", "fp32.onnx"]]
    assert again == first


def test_files_that_were_measured_apart_are_measured_again_together(files, asked):
    """A ratio of times from two processes is worth less."""
    for one in files:
        make_desk().measured(one)
    int8, fp32 = make_desk().in_turn(files)

    assert asked[-1] == ["int8.onnx", "fp32.onnx"]
    assert int8.reference_ns == fp32.reference_ns


def test_another_file_of_the_same_name_is_measured_anew(files, asked):
    """By its content."""
    make_desk().in_turn(files)
    files[0].path.write_bytes(b"other weights")
    profiles = make_desk().in_turn(files)

    assert len(asked) == 2
    assert profiles[0].model_sha256 == files[0].sha256


def test_a_record_that_is_handed_in_stands_for_its_own_file_alone(files, asked, tmp_path):
    """Matched by the file's sha256 and the target's runtime."""
    record = make_profile(ms=7.0, model_sha256=files[0].sha256)
    write_profile(record, tmp_path / "board.json")
    given = read_given([str(tmp_path / "board.json")])
    elsewhere = (replace(record, runtime="tensorrt"),)
    int8, fp32 = make_desk(given=given).in_turn(files)

    assert asked == [["fp32.onnx"]]
    assert (int8, fp32.model_sha256) == (record, files[1].sha256)
    assert make_desk(given=elsewhere).in_turn(files)[0].p50_ms != 7.0


def test_a_second_measurement_is_kept_beside_the_first_and_read_back(files, asked):
    """A resumed run makes the choices of an unbroken one."""
    first = make_desk().in_turn(files)
    second = make_desk().in_turn(files, again=True)

    assert len(asked) == 2
    assert make_desk().in_turn(files) == first
    assert make_desk().in_turn(files, again=True) == second
    assert len(asked) == 2


def test_a_record_of_half_a_student_is_of_none(files, asked, tmp_path):
    """A student in two files is measured with both, or not at all."""
    before = tmp_path / "preprocessing.onnx"
    before.write_bytes(b"first")
    whole = replace(files[1], preprocessing=before)
    half = make_profile(ms=7.0, model_sha256=whole.sha256)

    assert make_desk(given=(half,)).measured(whole) != half
    assert make_desk(given=(half,)).measured(files[1]) == half


def test_a_teacher_is_measured_last_and_on_its_own_row(files, monkeypatch, tmp_path):
    """What is between has its times alone; none of it is read back, or taken from a record that was handed in."""
    asked = {}

    def compare(paths, **rest):
        asked.update(rest, paths=paths)
        return tuple(make_profile(model=path.name) for path in paths)

    monkeypatch.setattr(desk, "compare", compare)
    teacher = Fed(path=tmp_path / "teacher.onnx", feeds={"y": np.ones((1, 3), np.float32)})
    given = (make_profile(model_sha256=files[0].sha256),)
    profiles = make_desk(given=given).beside(files[0], larger=files[1:], teacher=teacher)

    assert [one.model for one in profiles] == ["int8.onnx", "fp32.onnx", "teacher.onnx"]
    assert [list(feeds) for feeds in asked["feeds"]] == [["x"], ["x"], ["y"]]
    assert asked["precisions"] == ["int8", "fp32", "fp32"]
    assert asked["with_memory"] == [True, False, True]


def test_a_stop_comes_after_the_measurements_are_saved(files, asked):
    """Whoever takes the run up measures nothing twice."""
    with pytest.raises(Interrupted, match=r"int8 was measured; the state is saved"):
        make_desk(stop=lambda: True).in_turn(files)
    make_desk().in_turn(files)

    assert len(asked) == 1


def test_a_record_that_is_none_is_refused_by_name(tmp_path):
    """Before anything is trained."""
    (tmp_path / "list.json").write_text("[]")

    with pytest.raises(BadConfiguration, match=r"none\.json: there is no such file"):
        read_given([str(tmp_path / "none.json")])
    with pytest.raises(BadReport, match=r"list\.json is not a profile"):
        read_given([str(tmp_path / "list.json")])
