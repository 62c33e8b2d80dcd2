"""Every family's export is parsed and built by the real TensorRT-RTX, which needs no GPU for that."""

import pytest

from hpmkd_edge.bench.runtimes.feeds import feeds_of_file
from hpmkd_edge.bench.runtimes.tensor_rt import build_engine
from hpmkd_edge.errors import MeasurementFailed
from hpmkd_edge.export.conversion import save_graph, save_student, student_graph
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.tasks.source import open_task


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_of_images_becomes_an_engine(rtx, family, tmp_path):
    """Bytes in, probabilities out, with a free batch axis: nothing that TensorRT does not take."""
    task = open_task("digits")
    inlet = fit_inlet(task)
    shape = shape_of(inlet, task)
    module = FAMILIES[family].build(FAMILIES[family].ladder(shape)[1], shape, 0)
    save_graph(student_graph(module, inlet), tmp_path / "student.onnx", {})

    assert len(build_engine(tmp_path / "student.onnx", task.validation.inputs.feeds())) > 1000


def table_student(path, lines, runtime):
    """Export an untrained student of a small table."""
    path.with_suffix(".csv").write_text("\n".join(lines))
    task = open_task(str(path.with_suffix(".csv")), label="y")
    inlet = fit_inlet(task)
    shape = shape_of(inlet, task)
    module = FAMILIES["mlp"].build(FAMILIES["mlp"].ladder(shape)[1], shape, 0)
    return task, save_student(module, inlet, path, facts={}, cut_for=runtime)


@pytest.mark.slow
def test_a_table_of_numbers_becomes_an_engine_whole(rtx, tmp_path):
    """Missing values, their marks and the clipping are operators that TensorRT has."""
    lines = ["a,b,y", *(f"{i}.25,{'' if i % 7 == 0 else i},{i % 2}" for i in range(80))]
    task, student = table_student(tmp_path / "s.onnx", lines, None)

    assert student.preprocessing is None
    assert len(build_engine(student.path, task.validation.inputs.feeds())) > 1000


@pytest.mark.slow
def test_what_follows_a_preprocessing_file_becomes_an_engine(rtx, tmp_path):
    """The whole file of a table with text is not even parsed; the second of two is."""
    lines = ["a,word,y", *(f"{i}.25,{'uv'[i % 3 == 0]},{i % 2}" for i in range(80))]
    task, whole = table_student(tmp_path / "w.onnx", lines, None)
    _, cut = table_student(tmp_path / "s.onnx", lines, "tensorrt")
    with pytest.raises(MeasurementFailed, match="TensorRT cannot parse"):
        build_engine(whole.path, task.validation.inputs.feeds())

    assert len(build_engine(cut.path, feeds_of_file(cut.path, batch=4))) > 1000
