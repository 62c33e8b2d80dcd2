"""Where students are trained: what is finished is found, what differs has another key, and workers change nothing."""

import math
import threading
from dataclasses import asdict, fields, replace

import pytest
import torch
from sample_lessons import CLASSES, FEATURES, SETTINGS, Stop, assert_same, sure, table_lesson, weights_of

from hpmkd_edge.distill import workshop as workshop_module
from hpmkd_edge.distill.executors import LocalProcesses
from hpmkd_edge.distill.lesson import taught
from hpmkd_edge.distill.pipeline import Rates, run_jobs
from hpmkd_edge.distill.step import PLAIN, StepPlan
from hpmkd_edge.distill.torch_link import train_link
from hpmkd_edge.distill.workshop import Assignment, key_of
from hpmkd_edge.errors import Interrupted, TrainingFailed
from hpmkd_edge.store.objects import Store
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.students.choose import FAMILIES, open_family
from hpmkd_edge.students.family import Shape
from hpmkd_edge.students.inherit import inherited

QUICK = replace(SETTINGS, epochs=1)
DIVERGES = replace(SETTINGS, ce_weight=math.inf)


def assignment(size, lesson, **more):
    return Assignment(size=size, lesson=lesson, label="x", **more)


def test_a_training_that_the_store_has_is_not_trained_again(make, tmp_path, untaught, task, views, sizes):
    """Not one epoch, in another run's folder and when asked to stop at once; it costs what it cost."""
    store, lesson = open_store(tmp_path / "shared"), taught(untaught, views, sure(task), sources="right")
    first = make("a", store=store).train(sizes[1], lesson, "x")
    stop = Stop(after=1)
    later = make("b", store=store, stop=stop)
    found = later.train(sizes[1], lesson, "x")

    assert_same(found, first)
    assert (found.seconds, found.epochs, stop.asked) == (first.seconds, 4, 0)
    assert list(later.spent.values()) == [first.seconds]
    assert list((tmp_path / "b").glob("*.pt")) == []
    assert not found.module.training


def test_what_decides_an_outcome_is_in_its_key(make, tmp_path, untaught, shape, sizes):
    """Seed, size, start weights, plan, content of the lesson: each differs in another training; equal ones are one."""
    store, plain = open_store(tmp_path / "shared"), assignment(sizes[1], untaught)
    larger = make(settings=QUICK, store=store).train(sizes[4], untaught, "larger").module
    family = make().family
    start = inherited(family.build(sizes[1], shape, 0), larger, "larger")
    other_start = inherited(family.build(sizes[1], shape, 0), family.build(sizes[4], shape, 9), "larger")
    spent = {}

    def train(asked, **more):
        make(settings=QUICK, store=store, spent=spent, **more).attempt_all([asked])
        return len(spent)

    counts = [
        train(plain),
        train(replace(plain, label="the same, by another name")),
        train(plain, seed=1),
        train(replace(plain, size=sizes[2])),
        train(replace(plain, start=start)),
        train(replace(plain, start=other_start)),
        train(plain, plan_of=lambda *_: StepPlan(channels_last=True)),
        train(replace(plain, lesson=replace(untaught, sources="other rows"))),
        train(replace(plain, settings=replace(QUICK, batch=16))),
    ]

    assert counts == [1, 1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("name", [field.name for field in fields(SETTINGS)])
def test_every_setting_is_in_the_key(name, untaught):
    """Also one that is added later."""
    value = asdict(SETTINGS)[name]
    other = {bool: lambda: not value, str: lambda: f"{value}x"}.get(type(value), lambda: value + 1)()
    one, two = (
        key_of(untaught, settings, seed=0, student="s", plan=PLAIN, threads=1)
        for settings in (SETTINGS, replace(SETTINGS, **{name: other}))
    )

    assert one != two


def test_the_threads_of_a_training_are_in_its_key(untaught):
    """Sums in another order round differently."""
    keys = {key_of(untaught, SETTINGS, seed=0, student="s", plan=PLAIN, threads=count) for count in (1, 2)}

    assert len(keys) == 2


def refuse_to_train(bad):
    """Return a `train_link` that must not be asked for what *bad* asks."""

    def train(module, lesson, settings, **more):
        assert settings != bad.settings, "it was tried again"
        return train_link(module, lesson, settings, **more)

    return train


@pytest.mark.parametrize("alone", [False, True])
def test_a_training_that_fails_and_may_leaves_the_others_alone(alone, make, untaught, sizes, tmp_path, monkeypatch):
    """None in its place; it is not tried again, not even in another run: the store has it, and a folder without one."""
    store = None if alone else open_store(tmp_path / "shared")
    good, bad = assignment(sizes[0], untaught, settings=QUICK), assignment(sizes[0], untaught, settings=DIVERGES)
    asked = [replace(bad, may_fail=True), good]
    failed, trained = make("a", store=store).attempt_all(asked)
    monkeypatch.setattr(workshop_module, "train_link", refuse_to_train(bad))
    stop = Stop()
    again = make("a" if alone else "b", store=store, stop=stop).attempt_all(asked)

    assert failed is None
    assert trained.accuracy > 0
    assert again[0] is None
    assert stop.asked == 0


def test_a_training_that_fails_and_may_not_ends_the_run(make, untaught, sizes):
    """Also when it failed before where it was allowed to."""
    bad = assignment(sizes[0], untaught, settings=DIVERGES)
    for _ in range(2):
        with pytest.raises(TrainingFailed, match="x: the loss is nan"):
            make().train_all([bad])
        make().attempt_all([replace(bad, may_fail=True)])


def test_an_assignment_that_is_asked_for_twice_is_trained_once(make, untaught, sizes):
    """As when the best lesson of a race is that of a rival before it."""
    stop = Stop()
    one, other = make(stop=stop).train_all([assignment(sizes[0], untaught, settings=QUICK)] * 2)

    assert stop.asked == 1
    assert_same(one, other)


@pytest.fixture
def in_threads(make):
    """Makes workshops whose trainings are compiled, with assignments for them that differ in their rates."""
    shape = Shape(features=(FEATURES,), classes=CLASSES)
    family, material = FAMILIES["mlp"], table_lesson()
    asked = [
        assignment(family.ladder(shape)[2], material, settings=replace(SETTINGS, learning_rate=rate))
        for rate in (1e-3, 3e-3, 1e-2)
    ]
    return lambda *name, **more: replace(make(*name, **more), family=family, shape=shape), asked


def test_compiled_trainings_side_by_side_end_as_one_after_the_other(in_threads, tmp_path):
    """Threads give the same bytes; one that fails and may costs only itself, and is not tried again."""
    make, asked = in_threads
    store = open_store(tmp_path / "shared")
    bad = replace(asked[0], settings=replace(SETTINGS, learning_rate=1e18), may_fail=True)
    beside = make("a", workers=2, store=store).attempt_all([*asked, bad])
    here = [make("b").train_all([one])[0] for one in asked]
    stop = Stop()
    again = make("c", store=store, stop=stop).attempt_all([bad, *asked])

    assert beside[3] is again[0] is None
    assert stop.asked == 0
    for one, other, found in zip(beside[:3], here, again[1:], strict=True):
        assert_same(one, other)
        assert_same(one, found)
    assert not torch.equal(weights_of(here[0]), weights_of(here[1]))


def test_students_that_are_trained_in_threads_are_built_in_the_main_one(in_threads):
    """Their weights are drawn from the process's one generator, which no two threads may move."""
    make, asked = in_threads
    built = []

    class Watched:
        name, digest = "mlp", "mlp-1"

        def build(self, size, shape, seed):
            built.append(threading.current_thread() is threading.main_thread())
            return FAMILIES["mlp"].build(size, shape, seed)

    trained = replace(make("a", workers=2), family=Watched()).train_all(asked)

    assert len(trained) == 3
    assert all(built)


def test_what_waits_for_a_thread_when_the_user_stops_is_not_begun(in_threads):
    """Two are under way, and the third trains no epoch."""
    make, asked = in_threads
    stop = Stop(after=3)
    with pytest.raises(Interrupted, match="stopped"):
        make("a", workers=2, stop=stop).train_all(asked)

    assert stop.asked <= 6


def test_a_compiled_training_that_may_not_fail_stops_those_beside_it(in_threads):
    """The error is its own, not that of a neighbor which was stopped; who was stopped can be taken up."""
    make, asked = in_threads
    bad = replace(asked[0], settings=replace(SETTINGS, learning_rate=1e18))
    long = replace(asked[1], settings=replace(SETTINGS, epochs=100_000))

    with pytest.raises(TrainingFailed, match=r"the loss is|not finite"):
        make("a", workers=2).train_all([long, bad])


def test_a_training_that_was_evicted_between_find_and_open_is_trained_again(make, untaught, sizes, monkeypatch):
    """Another process may do that at any moment."""
    workshop = make(settings=QUICK)
    first = workshop.train(sizes[0], untaught, "x")
    find = Store.find
    monkeypatch.setattr(
        Store,
        "find",
        lambda self, key, *, kind: path.with_name("gone") if (path := find(self, key, kind=kind)) else None,
    )

    assert_same(workshop.train(sizes[0], untaught, "x"), first)


@pytest.mark.parametrize(("usual_s", "threads", "processes"), [(1e-30, 4, 0), (1.0, 2, 1)])
def test_little_work_gets_all_threads_and_much_is_divided(
    usual_s, threads, processes, make, untaught, sizes, monkeypatch
):
    """By the arithmetic alone: whether worker processes are used and the threads of each are one decision."""
    given, called = [], []

    def train(module, lesson, settings, *, threads, **more):
        given.append(threads)
        return train_link(module, lesson, settings, threads=1, **more)

    def run(jobs, executor, **more):
        called.append([job.name for job in jobs])
        return run_jobs(jobs, executor, **more)

    monkeypatch.setattr(workshop_module, "USUAL_S", usual_s)
    monkeypatch.setattr(workshop_module, "train_link", train)
    monkeypatch.setattr(workshop_module, "run_jobs", run)
    monkeypatch.setattr(workshop_module, "trains_alone", lambda *_: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    asked = [assignment(size, untaught, settings=QUICK) for size in sizes[:2]]
    slow = Rates(measured={"training": (1.0, 1e9)})
    make(workers=2, rates=slow).attempt_all(asked)

    assert set(given) == {threads}
    assert called == [["x", "x (2)"]] * processes


def test_several_assignments_resume_where_they_were(make, untaught, sizes):
    """The finished one is not trained again, the one under way goes on, and both end as unbroken ones do."""
    asked = [assignment(size, untaught) for size in sizes[:2]]
    unbroken = make("a").train_all(asked)
    with pytest.raises(Interrupted, match="after epoch 2 of 4"):
        make("b", stop=Stop(after=6)).train_all(asked)
    stop = Stop()
    resumed = make("b", stop=stop).train_all(asked)

    assert stop.asked == 2
    for one, other in zip(resumed, unbroken, strict=True):
        assert_same(one, other)


@pytest.mark.slow
def test_trainings_side_by_side_end_as_one_after_the_other(make, monkeypatch, untaught, task, views, sizes):
    """Worker processes give the same bytes, and one that fails and may costs only itself."""
    monkeypatch.setattr(workshop_module, "WORTH_PROCESSES_S", 0.0)
    lesson = taught(untaught, views, sure(task), sources="right")
    bad = assignment(sizes[0], untaught, settings=DIVERGES, may_fail=True)
    asked = [assignment(sizes[1], untaught), assignment(sizes[1], lesson), bad]
    with LocalProcesses(2, 1) as processes:
        rates = Rates(measured={"training": (1.0, 1.0)})
        beside = make("a", executor=processes, workers=2, rates=rates).attempt_all(asked)
        here = make("b", workers=2).attempt_all(asked)

    assert rates.measured["training"] > (1.0, 1.0), "the processes had nothing to do"
    assert beside[2] is here[2] is None
    for one, other in zip(beside[:2], here[:2], strict=True):
        assert_same(one, other)
    assert not torch.equal(weights_of(beside[0]), weights_of(beside[1]))


@pytest.mark.slow
def test_a_student_of_the_user_s_own_file_is_trained_in_a_worker_process(
    make, monkeypatch, untaught, task, shape, tmp_path
):
    """To the same bytes as here: the file is run again there."""
    monkeypatch.setattr(workshop_module, "WORTH_PROCESSES_S", 0.0)
    path = tmp_path / "own.py"
    path.write_text(
        "from torch import nn\n"
        "def net(width, features, classes):\n"
        "    layers = nn.Linear(64, width), nn.BatchNorm1d(width), nn.Linear(width, classes)\n"
        "    return nn.Sequential(nn.Flatten(), *layers)\n"
    )
    family = open_family(f"{path}:net", task)
    asked = [assignment(size, untaught) for size in family.ladder(shape)[:2]]
    with LocalProcesses(2, 1) as processes:
        rates = Rates(measured={"training": (1.0, 1.0)})
        beside = replace(make("a", executor=processes, workers=2, rates=rates), family=family).train_all(asked)
    here = replace(make("b", workers=2), family=family).train_all(asked)

    assert rates.measured["training"] > (1.0, 1.0), "the processes had nothing to do"
    for one, other in zip(beside, here, strict=True):
        assert_same(one, other)
