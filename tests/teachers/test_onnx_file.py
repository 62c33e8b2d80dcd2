"""Teachers from ONNX files."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.teachers.open import open_teacher
from hpmkd_edge.teachers.teacher import OnnxGraph

WEIGHTS = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
FLOAT, UINT8, STRING, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.STRING, TensorProto.INT64
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 2)]


def saved(folder, nodes, inputs, outputs, weights=()):
    """Write a graph of *nodes*; inputs and outputs are (name, type, shape)."""
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
        "g",
        [helper.make_tensor_value_info(*entry) for entry in inputs],
        [helper.make_tensor_value_info(*entry) for entry in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=10)
    onnx.save(model, folder / "m.onnx")
    return str(folder / "m.onnx")


def linear(folder, shape, kind=FLOAT, output="out", classes=3, softmax=False):
    """Write a linear model of flattened pixels."""
    nodes = [
        ("Cast", ["x"], ["f"], {"to": FLOAT}),
        ("Flatten", ["f"], ["flat"]),
        ("MatMul", ["flat", "w"], ["z"]),
        ("Softmax" if softmax else "Identity", ["z"], [output]),
    ]
    weights = np.resize(WEIGHTS, (60, classes))
    return saved(folder, nodes, [("x", kind, shape)], [(output, FLOAT, ["n", classes])], [("w", weights)])


def opened(path, task, **flags):
    return open_teacher(path, **({"task": task, "weights": None, "normalize": None, "trust": False} | flags))


@pytest.mark.parametrize(
    ("shape", "kind", "order", "scale", "phrase"),
    [
        (["n", 3, 4, 5], FLOAT, (0, 3, 1, 2), 255, "pixels over 255, NCHW"),
        (["n", "c", "h", "w"], FLOAT, (0, 3, 1, 2), 255, "pixels over 255, NCHW"),
        ([None, 4, 5, 3], FLOAT, (0, 1, 2, 3), 255, "pixels over 255, NHWC"),
        ([7, 3, 4, 5], FLOAT, (0, 3, 1, 2), 255, "pixels over 255, NCHW"),
        (["n", 60], FLOAT, (0, 1, 2, 3), 255, "pixels over 255, flat"),
        (["n", 3, 4, 5], UINT8, (0, 3, 1, 2), 1, "raw bytes, NCHW"),
        (["n", "h", "w", 3], UINT8, (0, 1, 2, 3), 1, "raw bytes, NHWC"),
    ],
)
def test_the_declared_input_decides_layout_and_scale(tmp_path, images, shape, kind, order, scale, phrase):
    """Bytes are raw, floats over 255; a fixed batch is padded."""
    teacher = opened(linear(tmp_path, shape, kind), images)
    pixels = images.test.inputs.pixels.transpose(order).reshape(-1, 60) / scale

    np.testing.assert_allclose(teacher.logits(images.test), pixels @ WEIGHTS, rtol=1e-4, atol=1e-3)
    assert teacher.preprocessing == phrase
    assert teacher.parameters == 180


@pytest.mark.parametrize("shape", [["n", "c", "h", "w"], ["n", 3, 4, 5], [1, 3, 4, 5]])
def test_the_graph_is_fed_one_real_row(tmp_path, images, shape):
    """Prepared as for the answers, so that open axes have the sizes of the task."""
    teacher = opened(linear(tmp_path, shape), images)
    graph = teacher.graph()
    pixels = images.train.inputs.pixels[:1].transpose(0, 3, 1, 2)

    assert isinstance(graph, OnnxGraph)
    assert graph.path == tmp_path / "m.onnx"
    np.testing.assert_allclose(graph.feeds["x"], pixels / 255, rtol=1e-6)
    np.testing.assert_allclose(
        teacher.session.run(None, graph.feeds)[0], teacher.logits(images.train)[:1], rtol=1e-5, atol=1e-5
    )


def test_a_file_of_a_fixed_number_of_rows_is_not_timed(tmp_path, images):
    """Seven rows of the teacher beside one of the student would compare nothing."""
    assert opened(linear(tmp_path, [7, 3, 4, 5]), images).graph() is None


def test_weights_in_attributes_are_no_count_of_zero(tmp_path, numbers):
    """scikit-learn's exports have no initializers; a student cannot be smaller than nothing."""
    attributes = {"coefficients": [1.0, 0.0, -1.0, 0.0], "intercepts": [0.0, 0.0], "classlabels_ints": [0, 1]}
    nodes = [("LinearClassifier", ["x"], ["label", "scores"], {**attributes, "domain": "ai.onnx.ml"})]
    outputs = [("label", INT64, [None]), ("scores", FLOAT, [None, 2])]

    assert opened(saved(tmp_path, nodes, [("x", FLOAT, [None, 2])], outputs), numbers).parameters is None


@pytest.mark.parametrize(("output", "logged"), [("out", True), ("probabilities", True), ("logits", False)])
def test_probabilities_are_read_as_logarithms_unless_named_logits(tmp_path, images, output, logged):
    """The rows of a softmax lie in [0, 1] and sum to 1."""
    teacher = opened(linear(tmp_path, ["n", 3, 4, 5], output=output, softmax=True), images)
    answers = teacher.logits(images.test)

    total = (np.exp(answers) if logged else answers).sum(1)

    np.testing.assert_allclose(total, 1, atol=1e-4)


def test_columns_go_to_the_inputs_of_their_names(tmp_path, mixed):
    """Text as text, numbers as numbers."""
    is_red = {"domain": "ai.onnx.ml", "keys_strings": ["red"], "values_floats": [1.0], "default_float": 0.0}
    nodes = [
        ("LabelEncoder", ["color"], ["is_red"], is_red),
        ("Concat", ["size", "is_red"], ["scores"], {"axis": 1}),
    ]
    inputs = [("color", STRING, [None, 1]), ("size", FLOAT, [None, 1])]
    path = saved(tmp_path, nodes, inputs, [("scores", FLOAT, [None, 2])])
    teacher = opened(path, full(mixed))
    size, color = (column.values for column in full(mixed).test.inputs.columns)

    np.testing.assert_array_equal(teacher.logits(full(mixed).test), np.stack([size, color == "red"], axis=1))
    assert teacher.preprocessing == "raw columns by name"
    assert {name: value.shape for name, value in teacher.graph().feeds.items()} == {"color": (1, 1), "size": (1, 1)}
    assert teacher.graph().feeds["color"] == full(mixed).train.inputs.columns[1].values[:1]


def full(task):
    """Return the task with zeros for missing numbers."""
    for rows in (task.train, task.validation, task.test):
        np.nan_to_num(rows.inputs.columns[0].values, copy=False)
    return task


def test_numbers_of_a_table_may_go_in_as_one_matrix(tmp_path, numbers):
    """One float input of as many columns."""
    path = saved(tmp_path, [("Neg", ["x"], ["y"])], [("x", FLOAT, [None, 2])], [("y", FLOAT, [None, 2])])
    matrix = np.stack([column.values for column in numbers.test.inputs.columns], axis=1)

    np.testing.assert_array_equal(opened(path, numbers).logits(numbers.test), -matrix)


def test_of_a_label_and_probabilities_the_probabilities_are_read(tmp_path, numbers):
    """As the files look that come from scikit-learn."""
    nodes = [("Softmax", ["x"], ["probabilities"]), ("ArgMax", ["x"], ["label"], {"axis": 1, "keepdims": 0})]
    outputs = [("label", INT64, [None]), ("probabilities", FLOAT, [None, 2])]
    teacher = opened(saved(tmp_path, nodes, [("x", FLOAT, [None, 2])], outputs), numbers)

    assert teacher.output == "probabilities"
    np.testing.assert_allclose(np.exp(teacher.logits(numbers.test)).sum(1), 1, atol=1e-5)


def test_missing_values_do_not_become_integers(tmp_path, mixed):
    """NaN has no integer."""
    nodes = [
        ("Cast", ["size"], ["f"], {"to": FLOAT}),
        ("Concat", ["f", "f"], ["y"], {"axis": 1}),
    ]
    path = saved(tmp_path, nodes, [("size", INT64, [None, 1])], [("y", FLOAT, [None, 2])])

    with pytest.raises(BadTeacher, match="takes int64 for 'size', which has missing values"):
        opened(path, mixed)


def test_dictionaries_are_refused_with_the_way_out(tmp_path, numbers):
    """ZipMap's outputs hold no matrix."""
    graph = helper.make_graph(
        [helper.make_node("ZipMap", ["x"], ["p"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, [None, 2])],
        [onnx.ValueInfoProto(name="p")],
    )
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, [])))
    graph.output[0].type.CopyFrom(kind)
    onnx.save(helper.make_model(graph, opset_imports=OPSETS, ir_version=10), tmp_path / "m.onnx")

    with pytest.raises(BadTeacher, match="zipmap=False"):
        opened(str(tmp_path / "m.onnx"), numbers)


def test_weights_beside_the_file_count(tmp_path, images):
    """Their bytes are part of the digest and of the size."""
    path = linear(tmp_path, ["n", 3, 4, 5])
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    before = opened(path, images)
    content = bytearray((tmp_path / "w.bin").read_bytes())
    content[2] ^= 1
    (tmp_path / "w.bin").write_bytes(content)

    assert before.model_bytes > WEIGHTS.nbytes
    assert opened(path, images).digest != before.digest


@pytest.mark.parametrize(
    ("shape", "classes", "match"),
    [
        (["n", 3, 4, 5], 100, "gives 100 classes; the task has 3: ant, bee, cat"),
        (["n", 3, 2, 10], 3, r"takes images of shape \[N, 3, 2, 10\]; the task's images are 4×5×3"),
        (["n", 12, 5], 3, r"takes images of shape \[N, 12, 5\]"),
    ],
)
def test_other_shapes_are_refused(tmp_path, images, shape, classes, match):
    """What it takes or gives, and what the task has."""
    with pytest.raises(BadTeacher, match=match):
        opened(linear(tmp_path, shape, classes=classes), images)


def test_bytes_cannot_be_normalized(tmp_path, images):
    """The file does that itself."""
    with pytest.raises(BadConfiguration, match="takes raw bytes"):
        opened(linear(tmp_path, ["n", 3, 4, 5], UINT8), images, normalize="imagenet")


def test_an_unreadable_file_is_refused(tmp_path, images):
    """With its path."""
    (tmp_path / "m.onnx").write_bytes(b"\x00nothing")

    with pytest.raises(BadTeacher, match=r"m\.onnx cannot be read as ONNX"):
        opened(str(tmp_path / "m.onnx"), images)
