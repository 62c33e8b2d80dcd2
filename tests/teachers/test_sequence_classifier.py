"""Teachers from folders of Hugging Face."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_classifiers import write_classifier
from sample_encoders import write_encoder
from sample_texts import text_task

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.tasks.task import Rows, Texts
from hpmkd_edge.teachers.open import open_teacher

STRANGE = ("", " ", "film " * 25_000, "画像は美しい", "très émouvant 😀", "\u200b\x07\ufffd", "[PAD] [SEP]")


@pytest.fixture(scope="module")
def task():
    return text_task(train=60, validation=20, test=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("teachers") / "praise-bert"
    write_classifier(path)
    return path


def opened(spec, task, **flags):
    nothing = {"weights": None, "normalize": None, "trust": False}
    return open_teacher(str(spec), **({"task": task} | nothing | flags))


def rows_of(strings):
    count = len(strings)
    return Rows(inputs=Texts.of(strings), labels=np.zeros(count, np.int64), positions=np.arange(count))


def change(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_it_answers_as_transformers_does(folder, task):
    """Its own tokenizer and model, a sentence at a time."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        alone = [model(**tokenizer(text, return_tensors="pt")).logits for text in task.test.inputs.strings()]
    logits = opened(folder, task).logits(task.test)

    np.testing.assert_allclose(logits, torch.cat(alone).numpy(), rtol=0, atol=1e-5)
    assert logits.std(0).min() > 1e-3
    assert logits.dtype == np.float32


def test_neither_order_nor_neighbors_change_an_answer(folder, task):
    """Rows are sorted by length and padded, which no row may notice."""
    teacher = opened(folder, task)
    turned = np.random.default_rng(0).permutation(len(task.test))
    logits = teacher.logits(task.test)
    beside_long = teacher.logits(rows_of([*task.test.inputs.strings(), "film " * 60]))

    np.testing.assert_allclose(teacher.logits(task.test.take(turned)), logits[turned], rtol=0, atol=1e-5)
    np.testing.assert_allclose(beside_long[:-1], logits, rtol=0, atol=1e-5)


def test_any_string_has_a_finite_answer_and_a_long_one_that_of_its_beginning(folder, task):
    """Nothing, controls, other languages, 125,000 characters: cut at the 64 positions that the model has."""
    teacher = opened(folder, task)
    logits = teacher.logits(rows_of([*STRANGE, "film " * 62]))

    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits[2], logits[-1], rtol=0, atol=1e-5)
    assert teacher.preprocessing == "its own tokenizer, 64 pieces at most"


def test_a_folder_says_what_callers_ask(folder, task):
    """The fields of the Protocol."""
    teacher = opened(folder, task)

    assert (teacher.name, teacher.kind, teacher.folder) == ("praise-bert", "transformers", folder)
    assert teacher.model_bytes == 4 * teacher.parameters
    assert teacher.answers_new_rows


def test_classes_are_found_by_their_names(tmp_path, folder, task):
    """A task or a model that lists them the other way round gets the columns the other way round."""
    logits = opened(folder, task).logits(task.test)
    turned = replace(task, classes=task.classes[::-1])
    other = shutil.copytree(folder, tmp_path / "other")
    change(other / "config.json", id2label={"0": "Good", "1": "BAD"})

    np.testing.assert_array_equal(opened(folder, turned).logits(task.test), logits[:, ::-1])
    np.testing.assert_array_equal(opened(other, task).logits(task.test), logits[:, ::-1])


def test_other_classes_are_refused(tmp_path, task):
    """Names, and how many there are."""
    write_classifier(tmp_path / "names", labels=("dog", "cat"))
    write_classifier(tmp_path / "three", labels=("bad", "good", "neither"))

    with pytest.raises(BadTeacher, match="names knows the classes dog, cat; the task has bad, good"):
        opened(tmp_path / "names", task)
    with pytest.raises(BadTeacher, match="three gives 3 classes; the task has 2: bad, good"):
        opened(tmp_path / "three", task)


def test_an_encoder_without_a_head_is_refused_with_the_command_that_makes_one(tmp_path, folder, task):
    """By what it says it is; or where the head's weights are not in the file, and would be random."""
    from safetensors.torch import load_file, save_file

    path = write_encoder(tmp_path / "encoder")
    write_classifier(tmp_path / "headless")
    weights = load_file(tmp_path / "headless" / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("classifier")}
    save_file(kept, tmp_path / "headless" / "model.safetensors", metadata={"format": "pt"})

    for spec in (path, tmp_path / "headless"):
        with pytest.raises(BadTeacher, match=f"{spec} is an encoder without a head.*hpmkd-edge finetune {spec}"):
            opened(spec, task)


def test_weights_that_are_missing_inside_are_named(tmp_path, task):
    """They would be random, too."""
    from safetensors.torch import load_file, save_file

    write_classifier(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1.output.dense" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(
        BadTeacher, match=r"lacks weights of its bert, .*: bert\.encoder.*bias and 1 more; a whole model"
    ):
        opened(tmp_path, task)


def test_a_tokenizer_of_another_vocabulary_is_refused(tmp_path, task):
    """Its ids would lie beyond the embedding."""
    write_classifier(tmp_path, vocab_size=50)

    with pytest.raises(BadTeacher, match=r"has ids up to \d+, and its model knows 50 pieces; the two must belong"):
        opened(tmp_path, task)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path, task):
    """transformers would go on with five pieces."""
    write_classifier(tmp_path)
    (tmp_path / "tokenizer.json").unlink()

    with pytest.raises(BadTeacher, match=r"has no tokenizer; a tokenizer\.json is needed"):
        opened(tmp_path, task)


@pytest.mark.parametrize(
    ("file", "content", "match"),
    [
        ("config.json", b"{", r"config\.json cannot be read"),
        ("config.json", b"[]", r"config\.json cannot be read"),
        ("model.safetensors", b"\x00" * 64, "cannot be read as a classifier of text"),
        ("tokenizer.json", b"{}", "cannot be read as a tokenizer"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, task, file, content, match):
    """What fails, and what is needed."""
    write_classifier(tmp_path)
    (tmp_path / file).write_bytes(content)

    with pytest.raises(BadTeacher, match=match):
        opened(tmp_path, task)


def test_a_model_of_many_labels_a_row_is_refused(tmp_path, task):
    """The softmax of its answers would mean nothing."""
    write_classifier(tmp_path)
    change(tmp_path / "config.json", problem_type="multi_label_classification")

    with pytest.raises(BadTeacher, match="was trained for multi_label_classification"):
        opened(tmp_path, task)


def test_code_of_its_own_runs_only_with_trust(tmp_path, task):
    """The folder names a class of a file that lies in it."""
    write_classifier(tmp_path)
    own = {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Model"}
    change(tmp_path / "config.json", model_type="of-its-own", auto_map=own)
    (tmp_path / "own.py").write_text("raise SystemExit('this code ran')")

    with pytest.raises(BadTeacher, match="runs code of its own when it is loaded; --trust is needed"):
        opened(tmp_path, task)


def test_flags_that_would_do_nothing_are_refused(folder, task, images, tmp_path):
    """Weights beside a folder, and a folder for images."""
    with pytest.raises(BadConfiguration, match="takes no --weights"):
        opened(folder, task, weights=tmp_path / "w.pt")
    with pytest.raises(BadConfiguration, match="is for images; the task has text"):
        opened(folder, task, normalize="unit")
    with pytest.raises(BadTeacher, match="can hold a classifier of text; the task has images"):
        opened(folder, images)
    with pytest.raises(BadTeacher, match=r"has no config\.json"):
        opened(tmp_path, task)


def test_the_digest_follows_weights_pieces_and_classes_and_not_the_place(tmp_path, folder, task):
    """What is cached under it must not be another teacher's."""
    from transformers import BertForSequenceClassification

    same, other, shorter = (shutil.copytree(folder, tmp_path / name) for name in ("same", "other", "shorter"))
    model = BertForSequenceClassification.from_pretrained(other)
    model.classifier.bias.data += 1e-3
    model.save_pretrained(other)
    change(shorter / "tokenizer_config.json", model_max_length=32)
    one = opened(folder, task).digest
    others = [opened(path, task).digest for path in (other, shorter)]
    others.append(opened(folder, replace(task, classes=task.classes[::-1])).digest)
    padded = shutil.copytree(folder, tmp_path / "padded")
    change(padded / "tokenizer_config.json", pad_token="[MASK]")
    others.append(opened(padded, task).digest)

    assert opened(same, task).digest == one
    assert len({one, *others}) == 5


def test_the_graph_gives_the_same_logits_at_any_length(folder, task):
    """One tensor of ids, from which it makes the mask."""
    teacher = opened(folder, task)
    graph = teacher.graph()
    padded = torch.nn.functional.pad(graph.example, (0, 9))
    with torch.inference_mode():
        plain, longer = graph.module(graph.example), graph.module(padded)

    assert graph.example.shape[0] == 1
    torch.testing.assert_close(plain, longer, rtol=0, atol=1e-5)
    np.testing.assert_allclose(plain.numpy(), teacher.logits(task.train)[:1], rtol=0, atol=1e-5)
