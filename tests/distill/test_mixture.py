"""Lessons of several teachers: who is weighed how, and that a guessing one loses its say."""

from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import torch
from sample_lessons import SETTINGS, guessing, sure, weights_of

from hpmkd_edge.distill.ensemble import mixture_logits
from hpmkd_edge.distill.mixture import Source, mixtures


def right_about(task, classes):
    """Return a teacher that knows the labels of some *classes*, and has no idea of the others."""
    known = sure(task)

    def answer(rows):
        logits = known(rows)
        return logits * np.isin(logits.argmax(1), classes)[:, None].astype(np.float32)

    return answer


def sources_of(*answers):
    return [Source(name=f"t{number}", digest=f"d{number}", answer=answer) for number, answer in enumerate(answers)]


@pytest.fixture(scope="module")
def three(task):
    """Two teachers that know half of the classes each, and one that guesses and is sure of it."""
    return sources_of(right_about(task, range(5)), right_about(task, range(5, 10)), guessing(10))


@pytest.fixture(scope="module")
def mix(untaught, views):
    return lambda sources, *, attention=True, seed=0: mixtures(untaught, views, sources, attention=attention, seed=seed)


@pytest.fixture(scope="module")
def attended(mix, three):
    """The lessons of the three, weighed by label and by a net."""
    return mix(three)


@pytest.mark.parametrize("attention", [True, False])
def test_one_teacher_has_no_mixture(mix, three, attention):
    """Its own lesson is all there is."""
    assert mix(three[:1], attention=attention) == ()


def test_without_attention_all_teachers_are_heard_alike(mix, three, views):
    """The lesson is the logarithm of their mean probability, for each view."""
    (mean,) = mix(three, attention=False)
    even = np.full((400, 3), 1 / 3, np.float32)

    assert (mean.name, mean.worth) == ("KD from the mean of 3", None)
    for logits, view in zip(mean.lesson.guides[0], views, strict=True):
        wanted = mixture_logits(np.stack([source.answer(view.rows) for source in three]), even)
        np.testing.assert_allclose(logits, wanted, rtol=1e-6)


def test_with_attention_the_teachers_are_weighed_by_label_and_by_a_net(mix, attended, three, untaught):
    """Two lessons of one guide each, which differ from each other and from the mean, under names of their own."""
    by_label, by_net = attended
    (mean,) = mix(three, attention=False)
    lessons = [mixture.lesson for mixture in (by_label, by_net, mean)]

    assert [mixture.name for mixture in (by_label, by_net)] == [
        "KD from 3, weighed by label",
        "KD from 3, by attention",
    ]
    assert all(len(lesson.guides) == 1 for lesson in lessons)
    assert len({lesson.sources for lesson in (*lessons, untaught)}) == 4
    assert not torch.equal(lessons[0].guides[0][0], lessons[1].guides[0][0])
    assert not torch.equal(lessons[1].guides[0][0], lessons[2].guides[0][0])


def test_a_guessing_teacher_loses_nearly_all_its_weight(attended):
    """By attention, on rows whose labels the net has not seen; the mixture is better than any one teacher."""
    worth = attended[1].worth

    assert worth.mean_weights[2] < 0.1
    assert sum(worth.mean_weights) == pytest.approx(1.0, abs=1e-5)
    assert worth.weighted < min(worth.best_single, worth.uniform)


def test_the_weights_differ_between_rows(attended):
    """Each of the other two is heard about the classes that it knows: the lesson names them all."""
    attention = attended[1]
    labels = attention.lesson.labels

    assert attention.worth.spread > 0.2
    assert float((attention.lesson.guides[0][0].argmax(1) == labels).float().mean()) > 0.9


def test_the_seed_of_the_net_decides_the_lesson(mix, attended, three):
    """Same seed, same answers and name; another, others."""
    one, same, other = attended[1].lesson, *(mix(three, seed=seed)[1].lesson for seed in (0, 1))

    assert torch.equal(one.guides[0][1], same.guides[0][1])
    assert one.sources == same.sources != other.sources
    assert not torch.equal(one.guides[0][1], other.guides[0][1])


@pytest.mark.parametrize("number", [0, 1], ids=["by label", "by attention"])
def test_what_the_teachers_say_reaches_the_student_through_a_mixture(make, mix, task, sizes, number):
    """Shuffled between rows, they give another student, and a worse one."""
    settings = replace(SETTINGS, epochs=8, learning_rate=1e-2)
    pairs = (
        sources_of(sure(task), right_about(task, range(5))),
        [replace(one, digest=f"shuffled {one.digest}") for one in sources_of(sure(task, shuffled=True), guessing(10))],
    )
    right, wrong = (make(settings=settings).train(sizes[3], mix(sources)[number].lesson, "x") for sources in pairs)

    assert not torch.equal(weights_of(right), weights_of(wrong))
    assert right.accuracy > wrong.accuracy + 0.02


@pytest.mark.slow
def test_a_student_hardly_suffers_from_a_guessing_teacher(make, mix, three, sizes):
    """By attention it loses less than half a point against leaving that one out, in the mean over three seeds."""
    settings = replace(SETTINGS, epochs=30)
    with_it, without = (
        fmean(
            make(settings=settings, seed=seed).train(sizes[5], mix(sources, seed=seed)[1].lesson, "x").accuracy
            for seed in range(3)
        )
        for sources in (three, three[:2])
    )

    assert with_it > without - 0.005
