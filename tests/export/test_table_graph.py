"""The encoding in ONNX is the encoding in NumPy, and joins any body."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hpmkd_edge.errors import ConversionFailed
from hpmkd_edge.export.table_graph import join_graphs, table_graph
from hpmkd_edge.tasks.encoding import encode, fit_encoding
from hpmkd_edge.tasks.task import MISSING_NUMBER, Column, Table

NUMBERS = st.one_of(
    st.floats(width=32, allow_infinity=False),
    st.sampled_from([np.nan, 0.0, 1.0, 3.4e38, -3.4e38, 1e-45]),
)
WORDS = st.text(max_size=3) | st.sampled_from(["", "a", "ü", "一"])
CODES = st.integers(-3, 3) | st.sampled_from([MISSING_NUMBER, 2**63 - 1])
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4) | st.sampled_from(
    ["features", "table/numbers", "table/", "_features", "body/hidden", "a b", "ü"]
)


@st.composite
def tables(draw, rows):
    """Draw two tables of the same columns, of *rows* and of any number of rows."""
    others = draw(st.integers(1, 5))
    columns = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        kind = draw(st.sampled_from(["number", "category", "code"]))
        cell, dtype = {"number": (NUMBERS, np.float32), "category": (WORDS, object), "code": (CODES, np.int64)}[kind]
        kind = "number" if kind == "number" else "category"
        pair = [np.array(draw(st.lists(cell, min_size=size, max_size=size)), dtype) for size in (rows, others)]
        columns.append([Column(name=name, kind=kind, values=values) for values in pair])
    return tuple(Table(columns=columns) for columns in zip(*columns, strict=True))


def run(model, feeds):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert {value.name for value in session.get_inputs()} == set(feeds)
    (answer,) = session.run(None, feeds)
    return answer


def body(width, hidden="hidden", name="features", opset=18, output="probabilities"):
    """Return softmax(x W) with names that a column may also have."""
    weights = np.random.default_rng(0).normal(size=(width, 3)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", [name, "weights"], [hidden], name="fill"),
        helper.make_node("Softmax", [hidden], [output], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "body",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 3])],
        initializer=[numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return model, weights


def table_of(**columns):
    return Table(
        columns=tuple(
            Column(name=name, kind="number" if values.dtype == np.float32 else "category", values=values)
            for name, values in columns.items()
        )
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6).flatmap(tables))
def test_the_graph_is_the_encoding(pair):
    """On rows that the fit saw and on others: missing, unseen, Unicode, near the limits of float32."""
    train, other = pair
    encoding = fit_encoding(train)
    model = table_graph(encoding)

    for table in (train, other):
        np.testing.assert_allclose(run(model, table.feeds()), encode(encoding, table), rtol=0, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.just(4).flatmap(tables), NAMES)
def test_a_joined_body_answers_to_the_raw_rows(pair, hidden):
    """softmax(encode(x) W), and the columns keep their names, whatever the body calls its values."""
    train, other = pair
    encoding = fit_encoding(train)
    model, weights = body(encoding.width, hidden if hidden != "features" else "h")
    joined = join_graphs(table_graph(encoding), model, via="features")
    logits = encode(encoding, other) @ weights
    expected = np.exp(logits - logits.max(1, keepdims=True))

    np.testing.assert_allclose(run(joined, other.feeds()), expected / expected.sum(1, keepdims=True), rtol=0, atol=1e-5)
    assert joined.ir_version == 10
    assert [value.name for value in joined.graph.output] == ["probabilities"]


def large_table():
    """Return enough rows for bins: skewed, with ties, missing and extreme numbers, words and codes."""
    generator = np.random.default_rng(0)
    skewed, tied = generator.lognormal(sigma=3, size=3000), generator.integers(0, 12, 3000)
    skewed[::7] = np.nan
    extreme = np.where(tied < 3, generator.choice([-3.4e38, 3.4e38, 1e-45], 3000), skewed)
    numbers = {"s": skewed, "t": tied, "e": extreme, "d": tied**2}
    columns = {name: values.astype(np.float32) for name, values in numbers.items()}
    codes = generator.choice([1, 5, MISSING_NUMBER], 3000)
    return table_of(**columns, w=generator.choice(["a", "b", ""], 3000).astype(object), c=codes)


def test_the_shares_of_bins_are_those_of_the_encoding():
    """To 1e-6, for rows of train and for any other number, missing and unseen values."""
    train = large_table()
    encoding = fit_encoding(train)
    model = table_graph(encoding)
    raw = [np.nan, np.inf, -np.inf, 0, 3.4e38, -3.4e38, 5.5, 1e-45]
    values = {column.name: np.array(raw, np.float32) for column in train.columns if column.kind == "number"}
    words = np.array(["", "a", "c", "b"] * 2, object)
    other = table_of(**values, w=words, c=np.array([1, 2, MISSING_NUMBER, 5] * 2))

    assert encoding.width > 4 * 8
    for table in (train, other):
        np.testing.assert_allclose(run(model, table.feeds()), encode(encoding, table), rtol=0, atol=1e-6)


def test_nodes_do_not_grow_with_the_columns_of_numbers():
    """Nor with categories of whole numbers: a row's latency is that of a few operators."""
    column, code = large_table().columns[0].values, large_table().columns[5].values
    counts = [
        len(
            table_graph(
                fit_encoding(
                    table_of(**{f"n{i}": column for i in range(count)}, **{f"c{i}": code for i in range(count)})
                )
            ).graph.node
        )
        for count in (1, 9)
    ]

    assert counts[0] == counts[1] < 20


def test_unseen_and_missing_values_are_zero_unless_train_had_them():
    """In the shipped file: of words, of whole numbers, and of numbers, which the median stands in for."""
    encoding = fit_encoding(
        table_of(n=np.float32([1, 2, 6]), w=np.array(["a", "b", "a"], object), c=np.array([4, 5, 4]))
    )
    answers = run(
        table_graph(encoding),
        table_of(n=np.float32([np.nan, 2]), w=np.array(["", "new"], object), c=np.array([MISSING_NUMBER, 6])).feeds(),
    )

    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[:, 1:], np.zeros((2, 4)))


def test_one_row_and_many_are_the_same_rows():
    """The batch axis is free."""
    generator = np.random.default_rng(0)
    table = table_of(
        n=generator.normal(size=300).astype(np.float32), w=generator.choice(["a", "b"], 300).astype(object)
    )
    encoding = fit_encoding(table)
    model = table_graph(encoding)
    whole = run(model, table.feeds())

    np.testing.assert_array_equal(whole, encode(encoding, table))
    for row in (0, 299):
        np.testing.assert_array_equal(run(model, table.take(np.array([row])).feeds())[0], whole[row])


def test_only_words_need_more_than_standard_operators():
    """So that runtimes without ai.onnx.ml take numbers and categories of whole numbers."""
    model = table_graph(fit_encoding(table_of(a=np.float32([1, 2]), b=np.float32([np.nan, 2]), c=np.array([1, 2]))))

    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version == 10
    assert {node.domain for node in model.graph.node} == {""}


def test_joining_renames_inside_branches_too():
    """A value of the outer graph that a branch reads has one name in both."""
    encoding = fit_encoding(table_of(n=np.float32([1, 2, 3])))
    branch = [
        helper.make_graph(
            [helper.make_node(operator, ["features", "table/mean"], [f"{operator}/out"])],
            operator,
            [],
            [helper.make_tensor_value_info(f"{operator}/out", TensorProto.FLOAT, ["batch", 1])],
        )
        for operator in ("Add", "Sub")
    ]
    graph = helper.make_graph(
        [helper.make_node("If", ["yes"], ["probabilities"], then_branch=branch[0], else_branch=branch[1])],
        "body",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 1])],
        initializer=[
            numpy_helper.from_array(np.array(True), "yes"),
            numpy_helper.from_array(np.float32([10]), "table/mean"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    joined = join_graphs(table_graph(encoding), model, via="features")

    np.testing.assert_allclose(run(joined, {"n": np.float32([[2]])}), [[10]])


def test_joining_changes_neither_graph():
    """Both can be joined again."""
    encoding = fit_encoding(table_of(n=np.float32([1, 2, 3])))
    first, (second, _) = table_graph(encoding), body(encoding.width)
    before = first.SerializeToString(), second.SerializeToString()
    join_graphs(first, second, via="features")

    assert (first.SerializeToString(), second.SerializeToString()) == before


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("n", {"opset": 20}, "versions 18 and 20 of operator set 'ai.onnx'"),
        ("n", {"name": "pixels"}, "takes pixels; features alone is needed"),
        ("probabilities", {}, "'probabilities' names an input and an output"),
        ("n", {"output": "features"}, "'features' is in both graphs"),
    ],
)
def test_graphs_that_do_not_fit_are_a_sentence(column, change, message):
    """Before any runtime sees them."""
    encoding = fit_encoding(table_of(**{column: np.float32([1, 2])}))
    if change.get("output") == "features":
        change = {**change, "name": "x"}
    model, _ = body(encoding.width, **change)
    with pytest.raises(ConversionFailed, match=message):
        join_graphs(table_graph(encoding), model, via="x" if "output" in change else "features")


def test_the_graph_is_valid_onnx():
    """By ONNX's own checker, with its shapes."""
    table = table_of(n=np.float32([1, np.nan]), w=np.array(["", "b"], object))
    model = table_graph(fit_encoding(table))

    onnx.checker.check_model(model, full_check=True)
    shape = model.graph.output[0].type.tensor_type.shape
    assert [dim.dim_param or dim.dim_value for dim in shape.dim] == ["batch", 4]
