"""The curves of a training: one value an epoch, the whole curve however often it was broken off or read back."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from sample_lessons import CLASSES, FEATURES, SETTINGS, Stop, assert_same, sure, table_lesson

from hpmkd_edge.distill import workshop as workshop_module
from hpmkd_edge.distill.executors import LocalProcesses
from hpmkd_edge.distill.lesson import taught
from hpmkd_edge.distill.quantization_link import train_quantized
from hpmkd_edge.distill.sequential import follow
from hpmkd_edge.distill.stages import plan_stages
from hpmkd_edge.distill.workshop import Assignment
from hpmkd_edge.errors import Interrupted
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.family import Shape
from hpmkd_edge.tracking.journal import Journal, read_entries


@pytest.fixture
def lesson(task, untaught, views):
    """Of a teacher that knows the labels."""
    return taught(untaught, views, sure(task), sources="right")


@pytest.fixture
def compiled(make):
    """Returns a workshop whose trainings are compiled, with a size and a lesson for it."""
    shape = Shape(features=(FEATURES,), classes=CLASSES)
    size = FAMILIES["mlp"].ladder(shape)[2]
    return lambda *name, **more: replace(make(*name, **more), family=FAMILIES["mlp"], shape=shape), size, table_lesson()


def assert_whole(trained, epochs):
    assert len(trained.losses) == len(trained.accuracies) == epochs
    assert all(map(math.isfinite, (*trained.losses, *trained.accuracies)))
    assert max(trained.accuracies) == trained.accuracies[trained.best_epoch - 1] == trained.accuracy


def test_every_epoch_gives_a_loss_and_an_accuracy(make, lesson, sizes):
    """The best of the accuracies is the training's own, at its best epoch; a loss that is learned falls."""
    settings = replace(SETTINGS, epochs=8, learning_rate=1e-2)
    trained = make(settings=settings).train(sizes[3], lesson, "x")

    assert_whole(trained, 8)
    assert trained.losses[-1] < trained.losses[0]


def test_compiled_loops_give_them_too(compiled):
    """Also on labels alone, where there are no temperatures."""
    make, size, material = compiled
    trained = make().train(size, material, "x")
    alone = make("b").train(size, table_lesson(guides=0), "x")

    assert_whole(trained, SETTINGS.epochs)
    assert_whole(alone, SETTINGS.epochs)
    assert (len(trained.temperatures), len(alone.temperatures)) == (SETTINGS.epochs, 0)


def test_a_training_that_is_taken_up_has_the_whole_curve(make, lesson, sizes):
    """That of an unbroken one."""
    unbroken = make("a").train(sizes[1], lesson, "x")
    with pytest.raises(Interrupted, match="after epoch 3 of 4"):
        make("b", stop=Stop(after=3)).train(sizes[1], lesson, "x")
    resumed = make("b").train(sizes[1], lesson, "x")

    assert (resumed.losses, resumed.accuracies) == (unbroken.losses, unbroken.accuracies)
    assert_whole(resumed, 4)


def test_a_training_that_the_store_has_brings_its_curve(make, lesson, sizes, tmp_path):
    """As it was when it was trained."""
    store = open_store(tmp_path / "shared")
    trained, found = (make(name, store=store).train(sizes[1], lesson, "x") for name in ("a", "b"))

    assert_same(found, trained)
    assert_whole(found, 4)


def test_stages_join_their_curves(make, lesson, sizes):
    """The first stage's, then the second's; the best epoch is counted from the beginning."""
    stages = plan_stages(["logit_mse", "kd"], 5, known=("logit_mse", "kd"))
    both = follow(stages, sizes[1], lesson, make("a"), tuple)
    first = follow(replace(stages, stages=stages.stages[:1]), sizes[1], lesson, make("b"), tuple)

    assert both.losses[:3] == first.losses
    assert both.accuracies[:3] == first.accuracies
    assert len(both.losses) == len(both.accuracies) == len(both.temperatures) == both.epochs == 5
    assert both.accuracies[both.best_epoch - 1] == both.accuracy
    assert both.best_epoch > 3


def test_the_link_for_int8_has_a_curve(task, make, lesson, sizes, tmp_path):
    """Of its own, few epochs."""
    student = make().train(sizes[1], lesson, "x")
    told = []
    link = train_quantized(
        student.module,
        lesson,
        replace(SETTINGS, epochs=30),
        form="x86",
        seed=0,
        saved=tmp_path / "link.pt",
        stop=Stop(),
        label="x in int8",
        calibration_rows=task.train,
        tell=told.append,
    )

    assert len(link.losses) == len(link.accuracies) == 3
    assert tuple(epoch.loss for epoch in told) == link.losses


def steps_of(journal):
    """Return the epochs of each training that a journal tells of, each once."""
    found = {}
    for entry in read_entries(journal.path, 0)[0]:
        steps = found.setdefault(entry.training, {})
        assert steps.setdefault(entry.epoch.number, entry.epoch) == entry.epoch, "told in another way the second time"
    return {training: list(steps.values()) for training, steps in found.items()}


def test_whoever_follows_is_told_of_each_epoch(make, lesson, untaught, sizes, tmp_path):
    """What the training itself keeps, with the temperature where somebody teaches, and a rate that falls to nothing."""
    journal = Journal(path=tmp_path / "epochs.jsonl")
    workshop = make(journal=journal, settings=replace(SETTINGS, schedule="cosine", epochs=12))
    trained = workshop.train(sizes[1], lesson, "x: by KD")
    workshop.train(sizes[1], untaught, "x: direct")
    (by_kd, epochs), (direct, others) = steps_of(journal).items()

    assert by_kd.startswith("x-by-KD-")
    assert direct.startswith("x-direct-")
    assert [epoch.number for epoch in epochs] == list(range(1, 13))
    assert tuple(epoch.loss for epoch in epochs) == trained.losses
    assert tuple(epoch.accuracy for epoch in epochs) == trained.accuracies
    assert tuple(epoch.temperature for epoch in epochs) == trained.temperatures
    assert all(a.learning_rate > b.learning_rate > 0 for a, b in pairwise(epochs[1:]))
    assert {epoch.temperature for epoch in others} == {None}


def test_following_changes_no_training_and_no_key(make, lesson, sizes, tmp_path):
    """What was trained without it is found with it, and is told of from its curve."""
    store = open_store(tmp_path / "shared")
    trained = make("a", store=store).train(sizes[1], lesson, "x")
    journal, stop = Journal(path=tmp_path / "epochs.jsonl"), Stop(after=1)
    found = make("b", store=store, stop=stop, journal=journal).train(sizes[1], lesson, "x")
    (epochs,) = steps_of(journal).values()

    assert_same(found, trained)
    assert stop.asked == 0
    assert tuple(epoch.loss for epoch in epochs) == trained.losses


def test_a_resumed_training_tells_of_the_epochs_before(make, lesson, sizes, tmp_path):
    """A journal that is lost is whole again."""
    with pytest.raises(Interrupted, match="after epoch 2 of 4"):
        make(stop=Stop(after=2)).train(sizes[1], lesson, "x")
    journal = Journal(path=tmp_path / "epochs.jsonl")
    make(journal=journal).train(sizes[1], lesson, "x")
    (epochs,) = steps_of(journal).values()

    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4]


def test_trainings_in_threads_write_one_journal(compiled, tmp_path):
    """Every line whole, every training from its first epoch to its last."""
    make, size, material = compiled
    journal = Journal(path=tmp_path / "epochs.jsonl", scope="box")
    asked = [
        Assignment(size=size, lesson=material, label="same", settings=replace(SETTINGS, learning_rate=rate))
        for rate in (1e-3, 3e-3, 1e-2)
    ]
    trained = make(workers=2, journal=journal).train_all(asked)
    found = steps_of(journal)

    assert len(found) == 3
    assert sorted(tuple(epoch.loss for epoch in epochs) for epochs in found.values()) == sorted(
        one.losses for one in trained
    )


@pytest.mark.slow
def test_trainings_in_worker_processes_write_the_same_journal(make, lesson, sizes, tmp_path, monkeypatch):
    """What they tell is what their trainings keep."""
    monkeypatch.setattr(workshop_module, "WORTH_PROCESSES_S", 0.0)
    journal = Journal(path=tmp_path / "epochs.jsonl")
    asked = [
        Assignment(size=sizes[0], lesson=lesson, label="same", settings=replace(SETTINGS, learning_rate=rate))
        for rate in (1e-3, 3e-3)
    ]
    with LocalProcesses(2, 1) as processes:
        trained = make(executor=processes, workers=2, journal=journal).train_all(asked)

    assert sorted(tuple(epoch.loss for epoch in epochs) for epochs in steps_of(journal).values()) == sorted(
        one.losses for one in trained
    )
