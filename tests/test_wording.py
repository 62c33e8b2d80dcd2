"""What flags say of texts: the tokenizer, where students begin, and that no other data takes them."""

import pytest
from sample_classifiers import write_classifier
from sample_encoders import write_encoder
from sample_texts import text_task

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.request import Request
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.teachers.open import open_teacher
from hpmkd_edge.wording import lexicon_for, unlabeled_for


@pytest.fixture(scope="module")
def task():
    """A small task of sentences."""
    return text_task()


@pytest.fixture(scope="module")
def teacher(task, tmp_path_factory):
    """A classifier from a folder, opened."""
    folder = tmp_path_factory.mktemp("teacher")
    write_classifier(folder)
    return open_teacher(str(folder), task=task, weights=None, normalize=None, trust=False)


def test_students_begin_from_the_teacher(task, teacher):
    """Its tokenizer and its embeddings, unless flags say others."""
    lexicon = lexicon_for(Request(), task, [teacher])

    assert lexicon.origin is not None
    assert lexicon.origin.vectors.shape == (lexicon.pieces, 32)
    assert teacher.folder.name in lexicon.source


def test_a_random_start_keeps_the_teachers_tokenizer(task, teacher):
    """Words and weights are two choices."""
    begun, random = (lexicon_for(Request(start=start), task, [teacher]) for start in (None, "random"))

    assert random.origin is None
    assert random.tokenizer == begun.tokenizer
    assert random != begun


def test_another_encoder_can_be_begun_from(task, teacher, tmp_path):
    """Then its vectors are taken, for the pieces of the teacher's tokenizer."""
    folder = write_encoder(tmp_path / "encoder", hidden_size=16)

    lexicon = lexicon_for(Request(start=str(folder)), task, [teacher])

    assert lexicon.origin is not None
    assert lexicon.origin.vectors.shape[1] == 16


def test_without_a_teacher_that_has_one_a_tokenizer_is_trained(task):
    """And begins at random."""
    lexicon = lexicon_for(Request(), task, [])

    assert lexicon.origin is None
    assert "trained on the texts" in lexicon.source


@pytest.mark.parametrize(
    ("field", "value"), [("tokenizer", "bytes"), ("vocabulary", 500), ("start", "random"), ("unlabeled", "more.txt")]
)
def test_flags_of_texts_are_refused_elsewhere(field, value):
    """A flag that would change nothing is a mistake of the user's."""
    digits = open_task("digits")

    with pytest.raises(BadConfiguration, match=f"--{field} is for texts, and this task has images"):
        lexicon_for(Request(**{field: value}), digits, [])


def test_images_and_tables_have_no_lexicon():
    """Nor do they need the libraries of texts."""
    assert lexicon_for(Request(), open_task("digits"), []) is None


def test_more_sentences_are_read_from_the_file_that_is_named(tmp_path):
    """None where none is named."""
    path = tmp_path / "more.txt"
    path.write_text("a fine film\n\na dull one\n", encoding="utf-8")

    assert unlabeled_for(Request()) is None
    assert unlabeled_for(Request(unlabeled=str(path))).strings() == ["a fine film", "a dull one"]
