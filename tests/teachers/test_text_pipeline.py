"""The classifier of words that is fitted where a text task has no teacher."""

from dataclasses import replace

import numpy as np
import pytest
from sample_texts import GOOD, text_task

from hpmkd_edge.errors import BadData, BadTeacher
from hpmkd_edge.tasks.task import Texts
from hpmkd_edge.teachers.open import check_teacher
from hpmkd_edge.teachers.text_pipeline import fit_text_pipeline


def labeled(rows, law):
    return replace(rows, labels=np.array([law(text) for text in rows.inputs.strings()], np.int64))


def accuracy(teacher, rows):
    return (teacher.logits(rows).argmax(1) == rows.labels).mean()


def test_it_learns_words_and_pairs():
    """Which adjective it is; and whether two words are neighbors."""
    task = text_task(train=1500)
    for law in (lambda text: any(word in text.split() for word in GOOD), lambda text: "is not" in text):
        splits = {name: labeled(getattr(task, name), law) for name in ("train", "validation", "test")}
        teacher = fit_text_pipeline(replace(task, **splits), 0)

        check_teacher(teacher, task)
        assert accuracy(teacher, splits["test"]) > 0.95
    np.testing.assert_allclose(np.exp(teacher.logits(task.test)).sum(1), 1, rtol=1e-5)
    assert teacher.parameters == teacher.estimator[-1].coef_.size + 1


def test_the_same_rows_and_seed_give_the_same_teacher():
    """Digest and answers."""
    one, same = fit_text_pipeline(text_task(), 0), fit_text_pipeline(text_task(), 0)

    assert one.digest == same.digest
    assert fit_text_pipeline(text_task(seed=1), 0).digest != one.digest
    np.testing.assert_array_equal(one.logits(text_task().test), same.logits(text_task().test))


def test_a_sentence_without_a_known_word_has_an_answer():
    """That of the constants."""
    task = text_task()
    strange = replace(task.test.take(np.arange(3)), inputs=Texts.of(["", "画像", "\u200b"]))
    answers = fit_text_pipeline(task, 0).logits(strange)

    assert np.isfinite(answers).all()
    np.testing.assert_array_equal(answers, np.tile(answers[:1], (3, 1)))


def test_what_cannot_be_learned_is_refused(images):
    """Images, a class without rows, rows without words."""
    task = text_task()
    one_class = replace(task.train, labels=np.zeros(len(task.train), np.int64))
    empty = replace(task.train, inputs=Texts.of(["", " "] * (len(task.train) // 2)))

    with pytest.raises(BadTeacher, match="no classifier of words is trained for images"):
        fit_text_pipeline(images, 0)
    with pytest.raises(BadData, match="class 'good' has no training row"):
        fit_text_pipeline(replace(task, train=one_class), 0)
    with pytest.raises(BadData, match="no training row of the text has a word"):
        fit_text_pipeline(replace(task, train=empty), 0)
