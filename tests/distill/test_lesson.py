"""What a training reads: views that any teacher can be asked about, and guides in their order."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_lessons import guessing, sure

from hpmkd_edge.distill.lesson import direct_lesson, guided, taught, training_views
from hpmkd_edge.students.inlet import fit_inlet
from hpmkd_edge.tasks.source import open_task


def test_view_zero_is_the_rows_themselves_and_the_others_keep_their_labels(task):
    """A teacher's answer to a row of a file is an answer to view zero."""
    views = training_views(task.train, count=3, flip=False)

    assert views[0].rows is task.train
    for view in views[1:]:
        assert not np.array_equal(view.rows.inputs.pixels, task.train.inputs.pixels)
        np.testing.assert_array_equal(view.rows.labels, task.train.labels)
        np.testing.assert_array_equal(view.rows.positions, task.train.positions)
    assert not np.array_equal(views[1].rows.inputs.pixels, views[2].rows.inputs.pixels)


@pytest.mark.parametrize("mixup", [False, True])
def test_the_views_are_the_same_for_every_call(task, mixup):
    """A teacher answers once for all trainings, and more views begin with those of fewer."""
    few, many = (training_views(task.train, count=count, flip=True, mixup=mixup) for count in (3, 4))

    assert (len(few), len(many)) == (3, 4)
    for one, other in zip(few, many, strict=False):
        np.testing.assert_array_equal(one.rows.inputs.pixels, other.rows.inputs.pixels)
        np.testing.assert_array_equal(one.partner, other.partner)
        np.testing.assert_array_equal(one.share, other.share)


def test_a_mixed_view_is_the_rounded_mean_of_each_shifted_row_and_its_partner(task):
    """`share · own + (1 − share) · partner`, pixel by pixel; the shifts are those of a view that is not mixed."""
    (own, shifted), (_, mixed) = (
        training_views(task.train, count=2, flip=True, mixup=mixup) for mixup in (False, True)
    )
    share = mixed.share[:, None, None, None].astype(np.float64)
    pixels = shifted.rows.inputs.pixels.astype(np.float64)
    wanted = share * pixels + (1 - share) * pixels[mixed.partner]

    assert (own.partner, own.share, shifted.partner, shifted.share) == (None,) * 4
    assert (mixed.partner != np.arange(len(task.train))).all()
    np.testing.assert_array_equal(mixed.rows.inputs.pixels, np.floor(wanted + 0.5))


def test_copies_of_a_table_have_some_cells_of_other_rows_and_no_labels(table_csv):
    """The same columns and kinds, words that the column has, and the same copies for every call."""
    rows = open_task(str(table_csv), label="kind").train
    views = training_views(rows, count=3, flip=False)

    assert views[0].rows is rows
    assert [view.labels_hold for view in views] == [True, False, False]
    for view, again in zip(views[1:], training_views(rows, count=4, flip=False)[1:], strict=False):
        for own, copy, same in zip(
            rows.inputs.columns, view.rows.inputs.columns, again.rows.inputs.columns, strict=True
        ):
            assert (copy.name, copy.kind, copy.values.dtype) == (own.name, own.kind, own.values.dtype)
            assert 0.02 < np.mean(copy.values != own.values) < 0.35
            assert own.kind == "number" or set(copy.values) <= set(own.values)
            np.testing.assert_array_equal(copy.values, same.values)
        np.testing.assert_array_equal(view.rows.positions, rows.positions)
    assert not np.array_equal(*(view.rows.inputs.columns[0].values for view in views[1:]))


def test_who_learns_from_labels_alone_sees_only_rows_that_have_them(untaught, views, task):
    """A guide answers every view; without one an epoch goes over the views whose labels hold, one after the other."""
    lesson = replace(untaught, unlabeled=frozenset({1}))
    guided_too = taught(lesson, views, sure(task), sources="sure")

    assert [untaught.view_of(epoch) for epoch in range(4)] == [0, 1, 0, 1]
    assert [lesson.view_of(epoch) for epoch in range(4)] == [0, 0, 0, 0]
    assert [guided_too.view_of(epoch) for epoch in range(4)] == [0, 1, 0, 1]
    assert [lesson.labels_hold(view) for view in (0, 1)] == [True, False]


def test_a_lesson_knows_which_views_have_labels(table_csv):
    """From the views."""
    task = open_task(str(table_csv), label="kind")
    views = training_views(task.train, count=3, flip=False)
    lesson = direct_lesson(task, fit_inlet(task), views, device=torch.device("cpu"), sources="spunged")

    assert lesson.unlabeled == {1, 2}
    assert len(lesson.views) == len(lesson.mixes) == 3


def test_a_lesson_without_a_guide_holds_labels_and_mixtures(task):
    """Of a mixed view the partner's labels; of others nothing."""
    views = training_views(task.train, count=2, flip=False, mixup=True)
    lesson = direct_lesson(task, fit_inlet(task), views, device=torch.device("cpu"), sources="mixed")
    plain, mixed = lesson.mixes

    assert (lesson.guides, lesson.reference, lesson.maps) == ((), None, ())
    assert plain is None
    np.testing.assert_array_equal(mixed.labels, task.train.labels[views[1].partner])
    np.testing.assert_array_equal(mixed.share, views[1].share)
    assert task.digest in lesson.sources


def test_the_latest_guide_is_the_nearest(task, untaught, views):
    """It comes first, with its answer to each view; the others stay, and the lesson's name grows."""
    first = taught(untaught, views, sure(task), sources="first")
    both = taught(first, views, guessing(10), sources="second")

    assert (len(first.guides), len(both.guides)) == (1, 2)
    assert both.guides[1] is first.guides[0]
    for logits, view in zip(both.guides[0], views, strict=True):
        np.testing.assert_array_equal(logits, guessing(10)(view.rows))
    assert len({untaught.sources, first.sources, both.sources}) == 3


def test_a_guide_s_answers_are_copied_to_float32(untaught):
    """A cached answer is a read-only map of a file, in half precision."""
    answers = [np.ones((len(untaught.labels), 10), np.float16) for _ in untaught.views]
    for answer in answers:
        answer.flags.writeable = False
    lesson = guided(untaught, answers, sources="half")
    lesson.guides[0][0].add_(1)

    assert lesson.guides[0][0].dtype == torch.float32
    assert (answers[0] == 1).all()
    assert replace(lesson, guides=(), sources=untaught.sources) == untaught
