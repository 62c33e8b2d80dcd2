"""The one session beside what taught the student: who cannot be timed costs its own figures, and nobody else's."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sample_records import make_profile, make_target
from torch import nn

from hpmkd_edge import turns
from hpmkd_edge.distill.candidates import Intermediate
from hpmkd_edge.errors import ConversionFailed, MeasurementFailed
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.students.family import Size
from hpmkd_edge.teachers.teacher import OnnxGraph, TorchGraph
from hpmkd_edge.turns import Workbench

SIZES = tuple(Size(family="mlp", width=width, depth=1, parameters=10 * width) for width in (32, 16))


class FakeDesk:
    """A desk that notes what lies on it, and refuses the files in *refused*."""

    def __init__(self, *refused, row=None):
        self.refused, self.calls, self.row = refused, [], row or {}

    def beside(self, artifact, *, larger, teacher):
        paths = [artifact.path, *(one.path for one in larger), *([teacher.path] if teacher else [])]
        self.calls.append([path.stem for path in paths])
        self.teacher = teacher
        for path in paths:
            if path.stem in self.refused:
                raise MeasurementFailed(f"{path.stem} cannot be run.")
        return tuple(make_profile(ms=place + 1.0, model=path.name) for place, path in enumerate(paths))


@pytest.fixture(autouse=True)
def too_wide(monkeypatch):
    """Let an export be a file of its name, unless that holds a text that is put here."""
    refused = []

    def save_student(module, inlet, path, *, facts, cut_for=None):
        if any(text in path.name for text in refused):
            raise ConversionFailed("it is too wide.")
        path.write_text(path.name)
        return Artifact(path=path, precision="fp32", parity=None)

    monkeypatch.setattr(turns, "save_student", save_student)
    return refused


@pytest.fixture
def shipped(tmp_path):
    """A round whose student was taught by two sizes, the larger of which two chains had trained."""
    (tmp_path / "student.onnx").write_bytes(b"student")
    trained = [
        Intermediate(
            size=size,
            trained=SimpleNamespace(module=nn.Identity(), accuracy=0.9),
            taught=True,
            rival="chain",
        )
        for size in (SIZES[0], *SIZES)
    ]
    return SimpleNamespace(
        race=SimpleNamespace(intermediates=trained),
        artifact=Artifact(path=tmp_path / "student.onnx", precision="int8", parity=None),
        profile=make_profile(ms=9.0),
    )


@pytest.fixture
def bench(tmp_path):
    """Return a workbench with a desk, and a teacher that is a file unless another *graph* is given."""

    def build(desk, graph=lambda: OnnxGraph(path=tmp_path / "teacher.onnx", feeds={"x": np.zeros(1)})):
        preparation = SimpleNamespace(
            best=SimpleNamespace(teacher=SimpleNamespace(graph=graph)),
            inlet=None,
            facts=lambda run_id: {"run": run_id},
        )
        return Workbench(target=make_target(), desk=desk, state=tmp_path, preparation=preparation, run_id="r")

    return build


def test_each_size_is_timed_once_between_student_and_teacher(bench, shipped):
    """In one session, in which the memory of intermediates is nobody's question."""
    desk = FakeDesk()
    found = bench(desk).beside_teacher(shipped)

    assert desk.calls == [["student", "host-intermediate-32x1", "host-intermediate-16x1", "teacher"]]
    assert (found.student.p50_ms, found.teacher.p50_ms, found.note) == (1.0, 4.0, None)
    assert {size: timed.profile.p50_ms for size, timed in found.intermediates.items()} == {SIZES[0]: 2.0, SIZES[1]: 3.0}
    assert all(timed.file_bytes > 0 for timed in found.intermediates.values())


def test_an_intermediate_that_cannot_be_run_costs_no_other_figure(bench, shipped, caplog):
    """The teacher's ratio holds, and the log says whose times are missing."""
    found = bench(FakeDesk("host-intermediate-16x1")).beside_teacher(shipped)

    assert (found.student.p50_ms, found.teacher.p50_ms, found.note) == (1.0, 2.0, None)
    assert found.intermediates == {}
    assert "mlp 32×1, mlp 16×1, the teacher: host-intermediate-16x1 cannot be run." in caplog.text


def test_a_teacher_that_cannot_be_run_costs_its_ratio_alone(bench, shipped):
    """With a note; its intermediates keep their times."""
    found = bench(FakeDesk("teacher")).beside_teacher(shipped)

    assert found.teacher is None
    assert found.note == "The teacher could not be timed beside the student: teacher cannot be run."
    assert list(found.intermediates) == list(SIZES)


def test_where_the_student_fails_its_own_record_stands(bench, shipped):
    """It was measured before; nothing is finished a second time."""
    desk = FakeDesk("student")
    found = bench(desk).beside_teacher(shipped)

    assert len(desk.calls) == 3
    assert (found.student, found.teacher, found.intermediates) == (shipped.profile, None, {})
    assert "student cannot be run" in found.note


def test_a_teacher_of_text_is_timed_on_the_students_sentence(bench, shipped):
    """Not on one of its own; a file without a tokenizer has a note, since the student's times are with one."""
    row = {"text": np.array(["the plot is good"], np.object_)}

    def graph(tokenized):
        return lambda: OnnxGraph(
            path=shipped.artifact.path.with_name("teacher.onnx"),
            feeds={"ids": np.zeros((1, 2))},
            read=lambda sentences: {"ids": np.full((1, 9), len(sentences[0]))},
            tokenized=tokenized,
        )

    desk, outside = FakeDesk(row=row), FakeDesk("host-intermediate-16x1", row=row)
    found = bench(desk, graph(False)).beside_teacher(shipped)
    noted = bench(outside, graph(True)).beside_teacher(shipped)

    assert desk.teacher.feeds["ids"].tolist() == [[16] * 9]
    assert found.note is None
    assert "its times are without its tokenizer" in noted.note


def test_a_module_of_ids_is_timed_behind_its_tokenizer(bench, shipped, monkeypatch):
    """From the very sentence that the student is timed on."""
    monkeypatch.setattr(turns, "export_teacher", lambda _graph, path: path)
    desk = FakeDesk(row={"text": np.array(["the plot is good"], np.object_)})
    graph = TorchGraph(module=nn.Identity(), example=torch.ones((1, 2), dtype=torch.int64), tokenizer="{}")
    found = bench(desk, lambda: graph).beside_teacher(shipped)

    assert desk.teacher.feeds == desk.row
    assert desk.teacher.preprocessing.read_text() == "{}"
    assert found.note is None


def test_a_teacher_that_is_no_graph_leaves_the_others(bench, shipped):
    """As one that is a file of answers: nothing is wrong with that, so there is no note."""
    desk, lonely = FakeDesk(), FakeDesk()
    found = bench(desk, graph=lambda: None).beside_teacher(shipped)
    shipped.race.intermediates.clear()
    alone = bench(lonely, graph=lambda: None).beside_teacher(shipped)

    assert (found.teacher, found.note, len(found.intermediates)) == (None, None, 2)
    assert (lonely.calls, alone.student) == ([], shipped.profile)


def test_what_cannot_be_exported_is_not_timed(bench, shipped, too_wide, caplog):
    """Neither a teacher nor an intermediate ends a run that is as good as finished."""

    def refuse():
        raise ConversionFailed("it branches on its data.")

    too_wide.append("32x1")
    found = bench(FakeDesk(), graph=refuse).beside_teacher(shipped)

    assert list(found.intermediates) == [SIZES[1]]
    assert found.note == "The teacher could not be timed beside the student: it branches on its data."
    assert "mlp 32×1 is not timed beside the student: it is too wide." in caplog.text
