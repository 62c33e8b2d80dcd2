"""Inputs are made up from a file's own signature, and from the shapes that its user gives."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from hpmkd_edge.bench.runtimes import onnx_runtime
from hpmkd_edge.bench.runtimes.feeds import feeds_for, feeds_of_file, parse_shapes
from hpmkd_edge.bench.runtimes.runtime import Input
from hpmkd_edge.cli import app
from hpmkd_edge.errors import BadConfiguration, MeasurementFailed


def declared(*shape, name="x", dtype=np.float32):
    return Input(name=name, dtype=np.dtype(dtype), shape=shape)


@pytest.fixture
def saved(tmp_path):
    def save(inputs, nodes, weights=()):
        graph = helper.make_graph(
            nodes,
            "model",
            [helper.make_tensor_value_info(*one) for one in inputs],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            weights,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        path = tmp_path / "m.onnx"
        path.write_bytes(made.SerializeToString())
        return path

    return save


def test_ids_index_any_table(saved):
    """Two open axes, two inputs, an embedding of two rows."""
    path = saved(
        [("ids", TensorProto.INT64, ["batch", "words"]), ("mask", TensorProto.FLOAT, ["batch", "words"])],
        [
            helper.make_node("Gather", ["table", "ids"], ["words"]),
            helper.make_node("Mul", ["words", "mask"], ["y"]),
        ],
        [numpy_helper.from_array(np.float32([3, 5]), "table")],
    )
    feeds = feeds_of_file(path, shapes={"ids": (2, 7), "mask": (2, 7)})

    assert onnx_runtime.load(path, 1, feeds).run(feeds).shape == (2, 7)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.FLOAT, TensorProto.BOOL])
@pytest.mark.parametrize("shape", [[], [3], ["batch", 2], [-1, 2], [None, 2]])
def test_scalars_and_all_precisions_are_fed(kind, shape, saved):
    """An axis of -1 is an open one."""
    path = saved([("x", kind, shape)], [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)])
    feeds = feeds_of_file(path)

    assert onnx_runtime.load(path, 1, feeds).run(feeds).shape == tuple(
        1 if size in ("batch", -1, None) else size for size in shape
    )


def test_an_input_of_any_rank_takes_the_given_shape(saved):
    """It declares none."""
    path = saved([("x", TensorProto.FLOAT, None)], [helper.make_node("Relu", ["x"], ["y"])])
    feeds = feeds_of_file(path, shapes={"x": (2, 3, 4)})

    assert onnx_runtime.load(path, 1, feeds).run(feeds).shape == (2, 3, 4)


def test_a_type_that_numpy_has_not_is_said(saved):
    """With the input's name."""
    path = saved([("x", TensorProto.BFLOAT16, ["n"])], [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)])

    with pytest.raises(MeasurementFailed, match=r"takes a tensor\(bfloat16\) as x; a tensor of a type that numpy has"):
        feeds_of_file(path)


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        ({}, "the input x has an open axis 2; its sizes are needed, as --shape x=1,3,SIZE"),
        ({"x": (1, 4, 2)}, "--shape x=1,4,2 was given; the file declares x=open,3,open"),
        ({"x": (1, 3)}, "--shape x=1,3 was given; the file declares x=open,3,open"),
        ({"X": (1, 3, 2)}, "no input 'X'. .*Known: x"),
        ({"x": (10**8, 3, 10**8)}, r"the input x would have 30,000,000,000,000,000 numbers; at most 268,435,456"),
    ],
)
def test_a_shape_that_is_open_or_does_not_fit_is_said(shapes, sentence):
    """What the file declares counts."""
    with pytest.raises(BadConfiguration, match=sentence):
        feeds_for([declared(None, 3, None)], shapes=shapes)


def test_shapes_are_read_from_flags():
    """Names may hold any sign; a scalar has no size."""
    assert parse_shapes(["x=1,128", "a=b/c:0= 2 , 3", "gain="]) == {"x": (1, 128), "a=b/c:0": (2, 3), "gain": ()}


@pytest.mark.parametrize("text", ["x", "=1,2", "x=1,,2", "x=0", "x=-1", "x=1.5", "x=n", "x=" + "9" * 5000, "x=²"])
def test_a_shape_in_another_form_is_refused(text):
    """What was given, then what is needed."""
    with pytest.raises(BadConfiguration, match=r"--shape .* was given; an input's name and its sizes, as x=1,128"):
        parse_shapes([text])


def test_a_shape_given_twice_is_refused():
    """Neither is taken."""
    with pytest.raises(BadConfiguration, match="gives the input x twice"):
        parse_shapes(["x=1", "x=2"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "as --shape x=1,SIZE"),
        (["--shape", "x=1"], "the file declares x=open,open"),
        (["--shape", "z=1,1"], "there is no input 'z'"),
    ],
)
def test_profile_asks_for_the_shapes_that_it_needs(arguments, sentence, saved):
    """With exit code 2, before anything is measured."""
    path = saved([("x", TensorProto.FLOAT, ["a", "b"])], [helper.make_node("Relu", ["x"], ["y"])])
    found = CliRunner().invoke(app, ["profile", str(path), *arguments])

    assert isinstance(found.exception, BadConfiguration)
    assert sentence in str(found.exception)


def test_profile_does_not_hand_a_hostile_file_to_a_runtime(saved, tmp_path):
    """It is inspected before."""
    path = saved([("x", TensorProto.FLOAT, [1])], [helper.make_node("Reluu", ["x"], ["y"])])
    found = CliRunner().invoke(app, ["profile", str(path)])

    assert isinstance(found.exception, BadConfiguration)
    assert "Did you mean 'Relu'" in str(found.exception)
