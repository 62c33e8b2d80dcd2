"""What a file may be off by, precision by precision, and what is said when it is off by more."""

from copy import deepcopy

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hpmkd_edge.bench.scoring import answer
from hpmkd_edge.errors import ParityBroken
from hpmkd_edge.export import conversion
from hpmkd_edge.export.artifact import Parity
from hpmkd_edge.export.conversion import student_graph
from hpmkd_edge.export.parity import check_parity, compare_answers, compare_files, settle, worst_rows
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.values import Scale

ROWS = {"x": np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)}


def parity(agreement=1.0, max_error=0.0):
    return Parity(rows=100, agreement=agreement, max_error=max_error)


@pytest.fixture
def classifier(tmp_path):
    """A file of two products: x [N, 8] to probabilities [N, 3], or to a value [N, 1]."""

    def save(name, *, values=False, change=0.0, axis=1):
        generator = np.random.default_rng(1)
        widths = (8, 16), (16, 1 if values else 3)
        weights = [generator.normal(size=pair).astype(np.float32) for pair in widths]
        weights[1][3, 0] += change
        last = helper.make_node("Identity" if values else "Softmax", ["b"], ["y"], name="last")
        if not values:
            last.attribute.append(helper.make_attribute("axis", axis))
        nodes = [
            helper.make_node("MatMul", ["x", "w0"], ["a"], name="first"),
            helper.make_node("Tanh", ["a"], ["t"], name="bend"),
            helper.make_node("MatMul", ["t", "w1"], ["b"], name="second"),
            last,
        ]
        graph = helper.make_graph(
            nodes,
            "classifier",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", widths[1][1]])],
            [numpy_helper.from_array(one, f"w{place}") for place, one in enumerate(weights)],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize(
    ("precision", "held", "broken"),
    [
        ("fp32", parity(0.999, 1e-3), [parity(0.998), parity(max_error=2e-3)]),
        ("fp16", parity(0.99, 2e-2), [parity(0.98), parity(max_error=3e-2)]),
        ("int8", parity(0.5, 0.9), [parity(max_error=np.inf)]),
    ],
)
def test_each_precision_has_its_tolerance(precision, held, broken):
    """Limits are inclusive; of int8, whose accuracy is judged, only numbers are asked for; NaN never passes."""
    check_parity(held, precision)
    for one in (*broken, parity(np.nan), parity(max_error=np.nan)):
        with pytest.raises(ParityBroken, match=rf"{precision} file .*is (needed|allowed)\.$"):
            check_parity(one, precision)


def test_a_file_beside_itself_has_full_parity(classifier):
    """Of probabilities and of values."""
    scale = Scale(mean=2.0, deviation=3.0)
    path, valued = classifier("a.onnx"), classifier("v.onnx", values=True)
    classes = compare_files(path, path, ROWS, precision="fp32", answer=answer)
    values = compare_files(valued, valued, ROWS, precision="fp32", answer=answer, scale=scale)

    assert classes == Parity(rows=64, agreement=1.0, max_error=0.0)
    assert (values.of, values.rows) == ("value", 64)
    assert values.max_error < 1e-6


@pytest.mark.parametrize("values", [False, True])
def test_a_broken_file_is_named_by_its_first_layer(classifier, values):
    """After what it is off by."""
    scale = Scale(mean=0.0, deviation=1.0) if values else None
    with pytest.raises(ParityBroken, match=r"is (needed|allowed)\. The first layer that differs is second \(MatMul\)"):
        compare_files(
            classifier("b.onnx", change=2.0, values=values),
            classifier("a.onnx", values=values),
            ROWS,
            precision="fp32",
            answer=answer,
            scale=scale,
        )


def test_a_changed_axis_is_named(classifier):
    """The last layer's too."""
    with pytest.raises(ParityBroken, match=r"The first layer that differs is last \(Softmax\)"):
        compare_files(classifier("b.onnx", axis=0), classifier("a.onnx"), ROWS, precision="fp32", answer=answer)


def test_integers_are_stated_and_not_stopped(classifier):
    """Their accuracy is judged."""
    found = compare_files(classifier("b.onnx", change=2.0), classifier("a.onnx"), ROWS, precision="int8", answer=answer)

    assert found.agreement < 1
    assert found.max_error > 0.1


def test_half_precision_is_within_its_tolerance(classifier, tmp_path):
    """An honest one."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    path = classifier("a.onnx")
    onnx.save(convert_float_to_float16(deepcopy(onnx.load(path)), keep_io_types=True), tmp_path / "h.onnx")
    found = compare_files(tmp_path / "h.onnx", path, ROWS, precision="fp16", answer=answer)

    assert 0 < found.max_error < 5e-3


def test_a_fault_of_the_runtime_alone_is_said_to_be_its(classifier):
    """Where no layer differs, no layer is blamed."""
    path = classifier("a.onnx")
    origin = classifier("o.onnx")

    def faulty(asked, feeds):
        return answer(asked, feeds)[:, ::-1] if asked == path else answer(asked, feeds)

    with pytest.raises(ParityBroken, match="No layer differs in ONNX Runtime without optimizations"):
        compare_files(path, origin, ROWS, precision="fp32", answer=faulty)


def test_the_search_is_asked_only_where_parity_is_broken():
    """It runs the model twice."""

    def search(rows):
        raise AssertionError(rows)

    probabilities = np.full((20, 2), 0.5, np.float32)

    assert settle(probabilities, probabilities, None, precision="fp32", search=search).agreement == 1


@pytest.mark.slow
def test_an_exported_student_s_fault_is_named_by_its_module(monkeypatch, tmp_path):
    """As PyTorch calls it, from raw rows on."""
    task = open_task("digits")
    inlet = fit_inlet(task)
    shape = shape_of(inlet, task)
    module = FAMILIES["mlp"].build(FAMILIES["mlp"].ladder(shape)[1], shape, 0)
    layers = [name for name, part in module.named_modules() if isinstance(part, torch.nn.Linear)]

    def faulty(*arguments):
        graph = student_graph(*arguments)
        (bias,) = (one for one in graph.graph.initializer if tuple(one.dims) == (10,))
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32([3, *[0] * 9]), bias.name))
        return graph

    monkeypatch.setattr(conversion, "student_graph", faulty)

    with pytest.raises(ParityBroken, match=rf"The first layer that differs is {layers[-1]} \(Linear\)"):
        conversion.convert(module, inlet, task.validation, tmp_path / "s.onnx", facts={}, answer=answer)


def test_the_worst_rows_are_searched():
    """NaN before all; no more than 16."""
    wanted = np.zeros((40, 2), np.float32)
    given = wanted.copy()
    given[7], given[9], given[30, 1] = 0.5, -0.7, np.nan

    assert worst_rows(given, wanted)[:3].tolist() == [30, 9, 7]
    assert len(worst_rows(given, wanted)) == 16


def test_another_shape_is_broken_parity():
    """And no matter of numpy's broadcasting."""
    with pytest.raises(ParityBroken, match=r"the file answers \[4, 1\]; \[4, 3\] is needed"):
        compare_answers(np.ones((4, 1), np.float32), np.ones((4, 3), np.float32))
    with pytest.raises(ParityBroken, match=r"\[4, 3\] is needed\. It differs on 4 rows"):
        settle(
            np.ones((4, 1), np.float32),
            np.ones((4, 3), np.float32),
            None,
            precision="fp32",
            search=lambda rows: f"It differs on {len(rows)} rows.",
        )
