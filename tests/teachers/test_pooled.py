"""Classifiers that read the mean over the pieces."""

import json
import shutil

import numpy as np
import pytest
import torch
from sample_encoders import write_encoder
from sample_texts import CLASSES, text_task

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.finetune.encoder import open_encoder
from hpmkd_edge.teachers.open import open_teacher
from hpmkd_edge.teachers.pooled import PooledClassifier, read_layout

NEWER = {"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": True}
OLDER = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


@pytest.fixture(scope="module")
def task():
    return text_task(train=60, validation=20, test=40)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a classifier, and the folder that it was written to."""
    found = open_encoder(write_encoder(tmp_path_factory.mktemp("encoder")), "tiny", CLASSES, 3, "mean")
    folder = tmp_path_factory.mktemp("teachers") / "praise-mean"
    folder.mkdir()
    torch.nn.init.normal_(found.model.classifier.weight, std=1.0)
    found.tokenizer.save_pretrained(folder)
    found.model.save_pretrained(folder, max_shard_size="1GB", longest=48)
    return found, folder


def opened(folder, task):
    return open_teacher(str(folder), task=task, weights=None, normalize=None, trust=False)


def lay_out(folder, *kinds, **configs):
    """Write modules.json and the configurations of its modules into *folder*."""
    modules = [
        {"idx": place, "name": str(place), "path": f"{place}_{kind}" if place else "", "type": f"some.where.{kind}"}
        for place, kind in enumerate(kinds)
    ]
    folder.mkdir(exist_ok=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    for one in modules[1:]:
        (folder / one["path"]).mkdir()
        (folder / one["path"] / "config.json").write_text(json.dumps(configs.get(one["type"].rpartition(".")[2], {})))
    return folder


def test_the_mean_is_over_the_pieces_and_not_over_the_padding(made):
    """By hand, a row at a time; a row of nothing but padding has the bias."""
    model = made[0].model.eval()
    ids = torch.tensor([[2, 7, 9, 3, 0, 0], [2, 8, 3, 0, 0, 0], [2, 9, 9, 9, 9, 3], [0, 0, 0, 0, 0, 0]])
    with torch.no_grad():
        logits = model(ids, (ids != 0).long()).logits
        for row, count in enumerate((4, 3, 6)):
            states = model.encoder(input_ids=ids[row : row + 1, :count]).last_hidden_state
            torch.testing.assert_close(logits[row], model.classifier(states[0].mean(0)), rtol=0, atol=1e-5)

    torch.testing.assert_close(logits[3], model.classifier.bias)


def test_what_is_written_answers_as_what_was_made(made, task):
    """Read as any teacher: by its own tokenizer, with classes by their names, rows beside each other."""
    found, folder = made
    teacher = opened(folder, task)
    model = found.model.eval()
    with torch.no_grad():
        alone = [
            model(**found.tokenizer(text, return_tensors="pt", return_token_type_ids=False)).logits
            for text in task.test.inputs.strings()
        ]

    np.testing.assert_allclose(teacher.logits(task.test), torch.cat(alone).numpy(), rtol=0, atol=1e-5)
    assert teacher.logits(task.test).std(0).min() > 1e-3
    assert read_layout(folder).head == folder / "2_Dense"


def test_another_reader_answers_alike(made, task):
    """sentence-transformers itself; what it embeds a sentence as are the logits."""
    library = pytest.importorskip("sentence_transformers")
    _, folder = made
    rows = task.test.take(np.arange(8))

    np.testing.assert_allclose(
        library.SentenceTransformer(str(folder)).encode(rows.inputs.strings()),
        opened(folder, task).logits(rows),
        rtol=0,
        atol=1e-5,
    )


def test_the_graph_gives_the_same_logits_at_any_length(made, task):
    """What is exported and timed is what answers."""
    graph = opened(made[1], task).graph()
    ids = torch.tensor([[2, 7, 9, 3, 0, 0]])
    with torch.no_grad():
        torch.testing.assert_close(graph.module(ids), graph.module(ids[:, :4]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("kinds", "pooling", "expected"),
    [
        (("Transformer", "Pooling"), OLDER, "mean"),
        (("Transformer", "Pooling", "Normalize"), NEWER, "mean"),
        (("Transformer", "Pooling"), NEWER | {"pooling_mode": "cls"}, "cls"),
        (("Transformer", "Pooling"), NEWER | {"pooling_mode": ["cls", "mean"]}, ""),
        (("Transformer", "Pooling"), OLDER | {"pooling_mode_max_tokens": True}, ""),
        (("WordEmbeddings", "Pooling"), OLDER, ""),
    ],
)
def test_how_sentences_were_embedded_is_read(tmp_path, kinds, pooling, expected):
    """In both forms that the library has written."""
    layout = read_layout(lay_out(tmp_path, *kinds, Pooling=pooling, Normalize={}))

    assert layout.pooling == expected
    assert layout.head is None


@pytest.mark.parametrize(
    "change", [{"activation_function": "torch.nn.modules.activation.Tanh"}, {"use_residual": True}, None]
)
def test_a_layer_that_is_no_head_for_classes_is_none(tmp_path, change):
    """One behind a tanh, one with a residual, and one before another module embed sentences."""
    linear = {"activation_function": "torch.nn.modules.linear.Identity"}
    kinds = ("Transformer", "Pooling", "Dense", *(() if change else ("Normalize",)))
    layout = read_layout(lay_out(tmp_path, *kinds, Pooling=NEWER, Dense=linear | (change or {})))

    assert layout.head is None


def test_what_is_missing_or_damaged_is_one_sentence(tmp_path, made, task):
    """Neither a mean nor a head is made up."""
    assert read_layout(tmp_path) is None
    for file, content, match in (
        ("1_Pooling/config.json", None, r"modules\.json and the files that it names cannot be read: .*; all that"),
        ("modules.json", "[{]", r"modules\.json and the files that it names cannot be read"),
        ("modules.json", "[3]", r"modules\.json and the files that it names cannot be read"),
        ("2_Dense/model.safetensors", None, "has a head that cannot be read from .*; a linear layer from 32 to 2"),
        ("2_Dense/model.safetensors", "no", "has a head that cannot be read from"),
    ):
        folder = tmp_path / "teacher"
        shutil.copytree(made[1], folder)
        if content is None:
            (folder / file).unlink()
        else:
            (folder / file).write_text(content)
        with pytest.raises(BadTeacher, match=match):
            opened(folder, task)
        shutil.rmtree(folder)


def test_an_encoder_of_sentences_without_a_head_is_refused_with_the_command_that_makes_one(tmp_path, task):
    """As any encoder."""
    folder = write_encoder(tmp_path / "encoder")
    lay_out(folder, "Transformer", "Pooling", Pooling=OLDER)
    with pytest.raises(BadTeacher, match=r"is an encoder without a head for this task; .* hpmkd-edge finetune"):
        opened(folder, task)


def test_fine_tuning_reads_what_the_encoder_was_trained_through(tmp_path, made):
    """The mean where the folder says so, unless another is asked for; a head of as many classes is kept."""
    folder = write_encoder(tmp_path / "encoder")
    plain = open_encoder(folder, "tiny", CLASSES, 0)
    lay_out(folder, "Transformer", "Pooling", Pooling=OLDER)
    found = open_encoder(folder, "tiny", CLASSES, 0)
    again, other, renewed = (
        open_encoder(made[1], "tiny", classes, 0) for classes in (CLASSES, CLASSES, (*CLASSES, "mixed"))
    )

    assert not isinstance(plain.model, PooledClassifier)
    assert not isinstance(open_encoder(folder, "tiny", CLASSES, 0, "head").model, PooledClassifier)
    assert isinstance(found.model, PooledClassifier)
    assert found.new == ("classifier.bias", "classifier.weight")
    assert found.model.config.id2label == dict(enumerate(CLASSES))
    assert not any("pooler" in name for name in found.model.state_dict())
    assert again.new == other.new == ()
    assert torch.equal(again.model.classifier.weight, made[0].model.classifier.weight)
    assert again.sha256 == other.sha256 != found.sha256
    assert renewed.new == found.new
    assert renewed.model.config.num_labels == 3
