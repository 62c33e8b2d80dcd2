"""Every family's export is parsed and built by the real TensorRT-RTX, which needs no GPU for that."""

import pytest

from hpmkd_edge.bench.runtimes.tensor_rt import build_engine
from hpmkd_edge.export.conversion import save_graph, student_graph
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
