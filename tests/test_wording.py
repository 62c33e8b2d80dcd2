"""What flags say of texts: the tokenizer, where students begin, and that no other data takes them."""

from dataclasses import replace

import pytest
from sample_classifiers import write_classifier
from sample_encoders import write_encoder
from sample_lessons import SETTINGS
from sample_texts import text_task, write_tsv

from hpmkd_edge.errors import BadConfiguration, BadData
from hpmkd_edge.request import Request
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.task import Texts
from hpmkd_edge.teachers.open import open_teacher
from hpmkd_edge.wording import lexicon_for, unlabeled_for, with_room


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


def test_words_are_alike_as_the_teacher_says(task, teacher):
    """Also where students begin at random; without an encoder nobody knows."""
    lexicons = [lexicon_for(Request(start=start), task, [teacher]) for start in (None, "random")]

    assert all(lexicon.alike is not None and "film" in lexicon.alike.words for lexicon in lexicons)
    assert lexicon_for(Request(), task, []).alike is None


def test_another_encoder_can_be_begun_from(task, teacher, tmp_path):
    """Then its vectors are taken, for the pieces of the teacher's tokenizer."""
    folder = write_encoder(tmp_path / "encoder", hidden_size=16)

    lexicon = lexicon_for(Request(start=str(folder)), task, [teacher])

    assert lexicon.origin is not None
    assert lexicon.origin.vectors.shape[1] == 16


def test_a_start_that_is_not_there_is_refused(task):
    """By its own flag, not as a tokenizer that is missing."""
    with pytest.raises(
        BadConfiguration, match=r"--start no/such is no folder; that of an encoder, or random, is needed"
    ):
        lexicon_for(Request(start="no/such"), task, [])


def test_a_start_without_a_tokenizer_is_refused(task, tmp_path):
    """Its embeddings are of pieces that nobody knows."""
    with pytest.raises(BadConfiguration, match=r"--start .* has no tokenizer\.json, which tells its pieces apart"):
        lexicon_for(Request(start=str(tmp_path)), task, [])


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


def test_more_sentences_are_read_from_the_file_that_is_named(task, tmp_path):
    """None where none is named."""
    path = tmp_path / "more.txt"
    path.write_text("a fine film\n\na dull one\n", encoding="utf-8")

    texts, notes = unlabeled_for(Request(unlabeled=str(path)), task)

    assert unlabeled_for(Request(), task) == (None, ())
    assert (texts.strings(), notes) == (["a fine film", "a dull one"], ())


def test_more_sentences_are_in_the_column_that_those_of_the_data_are_in(tmp_path):
    """Though no flag names it there."""
    task = open_task(str(write_tsv(tmp_path / "praise.tsv", 60)), label="label")
    path = tmp_path / "more.csv"
    path.write_text("id,text\n7,a fine film\n", encoding="utf-8")

    texts, _ = unlabeled_for(Request(unlabeled=str(path)), task)

    assert task.text == "text"
    assert texts.strings() == ["a fine film"]


def test_sentences_that_students_are_measured_on_are_left_out(task, tmp_path):
    """And a note says how many; where they are all there is, they are refused."""
    path = tmp_path / "more.txt"
    measured = {task.validation.inputs.strings()[0], task.test.inputs.strings()[0]}
    path.write_text("\n".join(["a fine film", *measured]), encoding="utf-8")
    texts, notes = unlabeled_for(Request(unlabeled=str(path)), task)

    assert texts.strings() == ["a fine film"]
    assert notes == ("2 of 3 sentences of --unlabeled are also validation or test rows; they were left out.",)
    path.write_text("\n".join(measured), encoding="utf-8")
    with pytest.raises(BadData, match="all sentences of --unlabeled are also validation or test rows; others"):
        unlabeled_for(Request(unlabeled=str(path)), task)


@pytest.mark.parametrize(
    ("sentences", "asked", "epochs", "views", "used"),
    [
        (10, None, 30, 2, 10),
        (241, None, 30, 4, 241),
        (100_000, None, 30, 30, 15 * 240),
        (100_000, None, 300, 64, 32 * 240),
        (500, 2, 30, 2, 240),
        (500, 9, 3, 9, 240),
    ],
)
def test_there_are_views_for_all_sentences_where_no_number_is_named(task, sentences, asked, epochs, views, used):
    """No more than epochs, and 64; a note says how many sentences were used."""
    texts, request = Texts.of(["more"] * sentences), Request(views=asked)
    settings, note = with_room(replace(SETTINGS, epochs=epochs, views=asked or 2), texts, request, task)

    assert settings.views == views
    assert note == f"{used:,} of {sentences:,} sentences of --unlabeled were used."


@pytest.mark.parametrize(("views", "epochs"), [(1, 30), (2, 1)])
def test_sentences_without_a_view_are_refused(task, views, epochs):
    """None would be read."""
    settings = replace(SETTINGS, views=views, epochs=epochs)

    with pytest.raises(BadConfiguration, match=f"--views is {views} and --epochs {epochs}; at least 2 of both"):
        with_room(settings, Texts.of(["more"]), Request(views=views), task)


@pytest.mark.parametrize(("student", "taken"), [(None, False), ("bag", False), ("encoder", True), ("own.py:net", True)])
def test_layers_are_read_for_families_that_take_them(task, teacher, student, taken):
    """What a user's own takes is not known."""
    assert bool(lexicon_for(Request(student=student), task, [teacher]).origin.weights) == taken
