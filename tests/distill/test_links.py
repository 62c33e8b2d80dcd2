"""The progressive chain: dense guidance, the gate, inherited weights, and going on where it was left."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_lessons import SETTINGS, Stop, assert_same, sure, weights_of

from hpmkd_edge.distill.lesson import taught
from hpmkd_edge.distill.links import answers_of, forge
from hpmkd_edge.distill.workshop import Assignment
from hpmkd_edge.errors import Interrupted

EVERY = -1.0  # an accuracy that every link beats


@pytest.fixture
def lesson(task, untaught, views):
    """Of a teacher that knows the labels."""
    return taught(untaught, views, sure(task), sources="right")


def train_end(links, end, workshop):
    """Train a chain's last member."""
    return workshop.train(end, links.lesson, "end", start=links.start)


def test_every_later_member_has_one_guide_more(make, lesson, views, sizes):
    """The nearest first, each with its own answers to every view, the teacher last."""
    links = forge(sizes[6:3:-2], sizes[1], lesson, make(), least=EVERY)

    assert [member.size for member in links.members] == [sizes[6], sizes[4]]
    assert links.weak is None
    assert len(links.lesson.guides) == 3
    assert links.lesson.guides[2] is lesson.guides[0]
    for guide, member in zip(links.lesson.guides, reversed(links.members), strict=False):
        for logits, view in zip(guide, views, strict=True):
            np.testing.assert_array_equal(logits, answers_of(member.trained.module, lesson)(view.rows))


def test_each_member_begins_with_weights_cut_from_the_one_before(make, lesson, views, sizes):
    """The first from random ones: nobody before it is of its family. It acts on the last member."""
    workshop = make()
    links = forge(sizes[6:3:-2], sizes[3], lesson, workshop, least=EVERY)
    first, second = links.members
    alone = workshop.train(sizes[6], lesson, "the first, read back")
    cut = links.start.weights["1.weight"]
    with_start, without = (
        workshop.train_all([Assignment(size=sizes[3], lesson=links.lesson, label="end", start=start)])[0]
        for start in (links.start, None)
    )

    assert_same(first.trained, alone)
    assert links.start.source == second.size.label
    torch.testing.assert_close(cut, second.trained.module.state_dict()["1.weight"][:16])
    assert not torch.equal(weights_of(with_start), weights_of(without))


def test_a_teacher_is_heard_through_a_chain(make, task, lesson, untaught, views, sizes):
    """Where its answers go to other rows, the chain's end is another student, and a worse one."""
    shuffled = taught(untaught, views, sure(task, shuffled=True), sources="wrong")
    workshop = make(settings=replace(SETTINGS, epochs=8, learning_rate=1e-2, kd_weight=3.0))
    right, wrong = (
        train_end(forge(sizes[5:6], sizes[3], one, workshop, least=EVERY), sizes[3], workshop)
        for one in (lesson, shuffled)
    )

    assert not torch.equal(weights_of(right), weights_of(wrong))
    assert right.accuracy > wrong.accuracy + 0.05


def test_a_chain_trains_another_student_than_plain_distillation(make, lesson, views, sizes):
    """Off differs from on."""
    workshop = make()
    chained = train_end(forge(sizes[5:6], sizes[1], lesson, workshop, least=EVERY), sizes[1], workshop)

    assert not torch.equal(weights_of(chained), weights_of(workshop.train(sizes[1], lesson, "plain")))


def test_a_chain_ends_before_a_link_that_does_not_beat_the_labels(make, lesson, views, sizes):
    """It is named, and neither it nor those after it teach or hand down weights."""
    order, workshop = (sizes[6], sizes[0], sizes[4]), make()
    strong, weak, _ = (
        member.trained.accuracy for member in forge(order, sizes[3], lesson, workshop, least=EVERY).members
    )
    links = forge(order, sizes[3], lesson, workshop, least=weak)

    assert strong > weak
    assert [member.size for member in links.members] == [sizes[6]]
    assert (links.weak.size, links.weak.trained.accuracy) == (sizes[0], weak)
    assert len(links.lesson.guides) == 2
    assert links.start.source == sizes[6].label


def test_where_the_first_link_is_weak_the_lesson_is_the_teacher_s(make, lesson, views, sizes):
    """A chain without members is plain distillation."""
    links = forge(sizes[4:6], sizes[3], lesson, make(), least=1.0)

    assert links.members == ()
    assert links.lesson is lesson
    assert links.start is None


def test_a_chain_goes_on_at_the_link_where_it_was_stopped(make, lesson, views, sizes):
    """The finished link is not trained again, and the end is that of an unbroken chain."""
    order, end = (sizes[6], sizes[4]), sizes[1]
    unbroken = train_end(forge(order, end, lesson, make("a"), least=EVERY), end, make("a"))
    with pytest.raises(Interrupted, match=rf"link {sizes[4].label}: stopped after epoch 2 of 4"):
        forge(order, end, lesson, make("b", stop=Stop(after=6)), least=EVERY)
    stop = Stop()
    resumed = forge(order, end, lesson, make("b", stop=stop), least=EVERY)

    assert stop.asked == 2
    assert_same(train_end(resumed, end, make("b")), unbroken)


def test_the_chain_that_taught_is_in_the_key_of_what_it_taught(make, lesson, views, sizes):
    """Through another size, or begun from other weights: another lesson."""
    workshop = make(settings=replace(SETTINGS, epochs=1))
    orders = (sizes[4:5], sizes[5:6], (sizes[5], sizes[4]))
    sources = {forge(order, sizes[1], lesson, workshop, least=EVERY).lesson.sources for order in orders}

    assert len(sources | {lesson.sources}) == 4
