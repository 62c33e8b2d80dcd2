"""Teachers of text from ONNX files: strings, or ids of the tokenizer beside them."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sample_classifiers import write_classifier
from sample_encoders import write_tokenizer
from sample_texts import text_task

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.export.conversion import export_teacher
from hpmkd_edge.tasks.task import Rows, Texts
from hpmkd_edge.teachers.open import open_teacher

FLOAT, STRING, INT64, INT32 = TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64, TensorProto.INT32
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 2)]
FREE = ["rows", "pieces"]
# What each id adds to the logits; far more ids than the tokenizer has.
TABLE = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def task():
    return text_task(train=40, validation=10, test=30)


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder / "tokenizer.json"


def saved(folder, nodes, inputs, weights=(), opsets=OPSETS, output=("logits", FLOAT, ["n", 2])):
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
        "g",
        [helper.make_tensor_value_info(*entry) for entry in inputs],
        [helper.make_tensor_value_info(*output)],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), folder / "m.onnx")
    return folder / "m.onnx"


def bag(folder, names=("input_ids", "attention_mask"), kind=INT64, shape=FREE):
    """Write a model whose logits are the sum over the pieces that are no padding."""
    nodes = [
        ("Gather", ["table", names[0]], ["vectors"]),
        ("Cast", [names[1] if len(names) > 1 else "ones"], ["mask"], {"to": FLOAT}),
        ("Unsqueeze", ["mask", "last"], ["wide"]),
        ("Mul", ["vectors", "wide"], ["kept"]),
        ("ReduceSum", ["kept", "axis"], ["logits"], {"keepdims": 0}),
    ]
    if len(names) == 1:
        nodes.insert(0, ("Cast", [names[0]], ["as_numbers"], {"to": FLOAT}))
        nodes.insert(1, ("Sign", ["as_numbers"], ["ones"]))
    weights = [("table", TABLE), ("last", np.array([2])), ("axis", np.array([1]))]
    return saved(folder, nodes, [(name, kind, shape) for name in names], weights)


def opened(path, task, **flags):
    nothing = {"weights": None, "normalize": None, "trust": False}
    return open_teacher(str(path), **({"task": task} | nothing | flags))


def sums(tokenizer_file, strings, most=10**6):
    """Return the logits of `bag`, a sentence at a time."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    rows = []
    for text in strings:
        ids = tokenizer.encode(text).ids
        rows.append(TABLE[ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]].sum(0))
    return np.stack(rows)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("input_ids", "attention_mask"), INT64),
        (("input_ids", "attention_mask", "token_type_ids"), INT64),
        (("ids",), INT64),
        (("anything",), INT32),
    ],
)
def test_ids_of_the_tokenizer_beside_it_go_in_padded(tmp_path, tokenizer_file, task, names, kind):
    """In batches of like lengths, in the order of the rows; with the mask and the types that it asks for."""
    shutil.copy(tokenizer_file, tmp_path)
    teacher = opened(bag(tmp_path, names, kind), task)

    np.testing.assert_allclose(
        teacher.logits(task.test), sums(tokenizer_file, task.test.inputs.strings()), rtol=1e-5, atol=1e-5
    )
    assert teacher.preprocessing == "the tokenizer beside it, 512 pieces at most"


def test_the_graph_is_fed_one_real_row(tmp_path, tokenizer_file, task):
    """As the answers are."""
    shutil.copy(tokenizer_file, tmp_path)
    teacher = opened(bag(tmp_path), task)
    feeds = teacher.graph().feeds

    assert {name: len(value) for name, value in feeds.items()} == {"input_ids": 1, "attention_mask": 1}
    np.testing.assert_allclose(
        teacher.session.run(None, feeds)[0], teacher.logits(task.train)[:1], rtol=1e-5, atol=1e-5
    )


def test_the_settings_beside_it_tell_lengths_and_classes(tmp_path, tokenizer_file, task):
    """As exporters of Hugging Face's models leave them there."""
    shutil.copy(tokenizer_file, tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 1e30}')
    (tmp_path / "config.json").write_text(
        '{"max_position_embeddings": 8, "id2label": {"0": "good", "1": "bad"}}', encoding="utf-8"
    )
    teacher = opened(bag(tmp_path), task)
    wanted = sums(tokenizer_file, task.test.inputs.strings(), most=8)[:, ::-1]

    np.testing.assert_allclose(teacher.logits(task.test), wanted, rtol=1e-5, atol=1e-5)
    assert teacher.preprocessing == "the tokenizer beside it, 8 pieces at most"


@pytest.mark.parametrize(
    ("config", "most"),
    [
        ({"model_type": "bert", "max_position_embeddings": 16, "pad_token_id": 0}, 16),
        ({"model_type": "roberta", "max_position_embeddings": 16, "pad_token_id": 1}, 14),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 16}, 14),
        ({"model_type": "camembert", "max_position_embeddings": 16, "pad_token_id": 0}, 15),
        ({"model_type": "roberta"}, 512),
    ],
)
def test_positions_behind_the_one_that_pads_are_fewer(tmp_path, tokenizer_file, task, config, most):
    """In RoBERTa and its kin: a piece beyond them would be looked up outside of the table."""
    shutil.copy(tokenizer_file, tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 1e30}')
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert opened(bag(tmp_path), task).preprocessing == f"the tokenizer beside it, {most} pieces at most"


def test_the_graph_reads_any_sentence(tmp_path, tokenizer_file, task):
    """As its own answers do; it says that a tokenizer was run for that."""
    shutil.copy(tokenizer_file, tmp_path)
    graph = opened(bag(tmp_path), task).graph()
    text = "the plot is good"

    assert graph.tokenized
    assert graph.read([text])["input_ids"].shape == (1, graph.read([f"{text} good"])["input_ids"].shape[1] - 1)


def test_the_piece_that_pads_is_part_of_the_digest(tmp_path, tokenizer_file, task):
    """The mask hangs on it."""
    path, digests = bag(tmp_path), []
    for place in (0, 4):
        content = json.loads(tokenizer_file.read_text()) | {
            "padding": {
                "strategy": "BatchLongest",
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": place,
                "pad_type_id": 0,
                "pad_token": "[PAD]",
            }
        }
        (tmp_path / "tokenizer.json").write_text(json.dumps(content))
        digests.append(opened(path, task).digest)

    assert digests[0] != digests[1]


def test_the_tokenizer_is_part_of_the_digest(tmp_path, tokenizer_file, task):
    """Other pieces, other answers."""
    path = bag(tmp_path)
    shutil.copy(tokenizer_file, tmp_path)
    before = opened(path, task).digest
    content = json.loads(tokenizer_file.read_text())
    content["normalizer"]["lowercase"] = not content["normalizer"]["lowercase"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))

    assert opened(path, task).digest != before


@pytest.mark.parametrize("shape", [["n"], ["n", 1], [4], [None, 1]])
def test_strings_go_in_as_they_are(tmp_path, task, shape):
    """One input of them; a file of a fixed number of rows gets so many."""
    is_one = {"domain": "ai.onnx.ml", "default_float": 0.0}
    text = task.test.inputs.strings()[3]
    nodes = [
        ("Reshape", ["text", "column"], ["tall"]),
        ("LabelEncoder", ["tall"], ["found"], is_one | {"keys_strings": [text], "values_floats": [2.0]}),
        ("Concat", ["found", "found"], ["logits"], {"axis": 1}),
    ]
    path = saved(tmp_path, nodes, [("text", STRING, shape)], [("column", np.array([-1, 1]))])
    teacher = opened(path, task)
    expected = [[2.0 * (one == text)] * 2 for one in task.test.inputs.strings()]

    np.testing.assert_array_equal(teacher.logits(task.test), expected)
    assert teacher.preprocessing == "sentences as strings"


def test_operators_of_the_extensions_are_there(tmp_path, task):
    """A tokenizer inside the graph."""
    opsets = [*OPSETS, helper.make_opsetid("ai.onnx.contrib", 1)]
    nodes = [
        ("StringLength", ["text"], ["length"], {"domain": "ai.onnx.contrib"}),
        ("Cast", ["length"], ["number"], {"to": FLOAT}),
        ("Reshape", ["number", "column"], ["tall"]),
        ("Concat", ["tall", "tall"], ["logits"], {"axis": 1}),
    ]
    path = saved(tmp_path, nodes, [("text", STRING, ["n"])], [("column", np.array([-1, 1]))], opsets)

    np.testing.assert_array_equal(
        opened(path, task).logits(task.test)[:, 0], [len(text) for text in task.test.inputs.strings()]
    )


def test_any_string_has_an_answer(tmp_path, tokenizer_file, task):
    """Nothing, a very long one, other languages."""
    shutil.copy(tokenizer_file, tmp_path)
    strings = ["", "film " * 20_000, "画像は美しい", "\u200b\ufffd"]
    rows = Rows(inputs=Texts.of(strings), labels=np.zeros(4, np.int64), positions=np.arange(4))

    np.testing.assert_allclose(
        opened(bag(tmp_path), task).logits(rows), sums(tokenizer_file, strings, most=512), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize(
    ("names", "kind", "shape", "match"),
    [
        (("input_ids", "position_ids"), INT64, FREE, "takes input_ids .*position_ids.*; one input of strings, or"),
        (("mask", "attention_mask"), INT64, FREE, "takes mask .*; one input of strings, or"),
        (("input_ids", "attention_mask"), FLOAT, FREE, "takes input_ids .*float.*; one input of strings, or"),
        (("input_ids", "attention_mask"), INT64, ["n", 16], "of shape .*16.*; free axes of rows and pieces"),
    ],
)
def test_other_inputs_are_refused(tmp_path, tokenizer_file, task, names, kind, shape, match):
    """What it takes, and what is needed."""
    shutil.copy(tokenizer_file, tmp_path)
    nodes = [("Shape", [names[0]], ["s"]), ("Cast", ["s"], ["f"], {"to": FLOAT}), ("Expand", ["f", "to"], ["logits"])]
    inputs = [(name, kind, shape) for name in names]
    path = saved(tmp_path, nodes, inputs, [("to", np.array([1, 2]))], output=("logits", FLOAT, [None, None]))

    with pytest.raises(BadTeacher, match=match):
        opened(path, task)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, r"takes ids of pieces, and no tokenizer\.json lies beside it; one is needed"),
        ("{}", r"tokenizer\.json cannot be read as a tokenizer"),
        (
            '{"version": "1.0", "added_tokens": [],'
            ' "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}',
            "names no piece that pads",
        ),
    ],
)
def test_ids_need_a_tokenizer_that_pads(tmp_path, task, content, match):
    """One sentence for what is wrong with it."""
    path = bag(tmp_path)
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)

    with pytest.raises(BadTeacher, match=match):
        opened(path, task)


def test_settings_that_are_no_json_are_refused(tmp_path, tokenizer_file, task):
    """They would tell the order of the classes."""
    shutil.copy(tokenizer_file, tmp_path)
    (tmp_path / "config.json").write_text("{")

    with pytest.raises(BadTeacher, match=r"config\.json cannot be read: .*JSON is needed"):
        opened(bag(tmp_path), task)


def test_pixels_normalization_is_refused(tmp_path, tokenizer_file, task):
    """There are none."""
    shutil.copy(tokenizer_file, tmp_path)

    with pytest.raises(BadConfiguration, match="is for images; the task has text"):
        opened(bag(tmp_path), task, normalize="unit")


@pytest.mark.slow
def test_a_transformer_and_its_export_are_the_same_teacher(tmp_path):
    """By the folder, and by the file that is timed beside a student."""
    task = text_task(train=16, validation=4, test=20)
    write_classifier(tmp_path, labels=("good", "bad"))
    teacher = opened(tmp_path, task)
    path = export_teacher(teacher.graph(), tmp_path / "teacher.onnx")

    np.testing.assert_allclose(opened(path, task).logits(task.test), teacher.logits(task.test), rtol=0, atol=1e-4)
