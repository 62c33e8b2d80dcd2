"""A race of text students: every component trains on sentences, and what decides its outcome is in its key."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_lessons import SETTINGS, Stop, assert_same, guessing
from sample_texts import BAD, GOOD, text_task

from hpmkd_edge.distill.attention import BUCKETS, compact
from hpmkd_edge.distill.configuration import Experience
from hpmkd_edge.distill.curriculum import Curriculum, train_best
from hpmkd_edge.distill.executors import LocalProcesses
from hpmkd_edge.distill.fake_quantization import copy_weights, fake_quantized, spans_of, traced, weight_scales
from hpmkd_edge.distill.lesson import direct_lesson, taught, training_views
from hpmkd_edge.distill.links import answers_of
from hpmkd_edge.distill.mixture import Source, mixtures
from hpmkd_edge.distill.quantization_link import train_quantized
from hpmkd_edge.distill.stages import parse_stages, plan_stages
from hpmkd_edge.distill.step import probe_step
from hpmkd_edge.distill.training import predict
from hpmkd_edge.distill.workshop import Assignment, Workshop
from hpmkd_edge.errors import Interrupted
from hpmkd_edge.plan.components import without
from hpmkd_edge.plan.traits import traits_of
from hpmkd_edge.store.opening import open_store
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.inlet import fit_inlet, shape_of
from hpmkd_edge.students.lexicon import lexicon_of
from hpmkd_edge.tasks.task import Texts

CPU = torch.device("cpu")
DENIAL = {"not", "never", "hardly", "anything", "far"}
QUICK = replace(SETTINGS, epochs=4, learning_rate=1e-2, temperature=2.0)


def knowing(rows):
    """Answer any sentence by its adjectives, turned around by a denial."""
    words = [set(sentence.split()) for sentence in rows.inputs.strings()]
    praise = [(-1 if known & DENIAL else 1) * (len(known & set(GOOD)) - len(known & set(BAD))) for known in words]
    return 4 * np.outer(praise, [-1, 1]).astype(np.float32)


@pytest.fixture(scope="module")
def task():
    return text_task(train=640)


@pytest.fixture(scope="module")
def inlet(task):
    return fit_inlet(task)


@pytest.fixture(scope="module")
def views(task, tmp_path_factory):
    return training_views(task.train, count=3, flip=False, folder=tmp_path_factory.mktemp("copies"))


@pytest.fixture(scope="module")
def untaught(task, inlet, views, tmp_path_factory):
    return direct_lesson(task, inlet, views, device=CPU, sources="views 3", folder=tmp_path_factory.mktemp("pieces"))


@pytest.fixture(scope="module")
def teachers():
    """One that knows the law of the sentences, and one that guesses."""
    answers = {"right": knowing, "random": guessing(2)}
    return [Source(name=name, digest=name, answer=answer) for name, answer in answers.items()]


@pytest.fixture
def make(task, inlet, tmp_path):
    def workshop(name="a", **more):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        options = {
            "family": FAMILIES["gated"],
            "shape": shape_of(inlet, task),
            "settings": QUICK,
            "seed": 0,
            "stop": Stop(),
            "store": open_store(folder / "store"),
        }
        return Workshop(folder=folder, **(options | more))

    return workshop


def sizes_of(workshop):
    return workshop.family.ladder(workshop.shape)


def test_a_lesson_of_texts_has_copies_without_labels_as_pieces_on_disk(task, inlet, untaught, views, tmp_path):
    """The same as in memory; the vocabulary and every sentence are in its name."""
    same = direct_lesson(task, inlet, views, device=CPU, sources="views 3")
    other = training_views(task.train, count=3, flip=False, unlabeled=Texts.of(["one more"]))
    fewer = fit_inlet(task, lexicon_of(task.train.inputs, pieces=300))

    assert untaught.unlabeled == {1, 2}
    for one, two in zip(untaught.views, same.views, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
        assert one.dtype == torch.int16
    assert same.sources == untaught.sources
    assert direct_lesson(task, inlet, other, device=CPU, sources="views 3").sources != same.sources
    assert direct_lesson(task, fewer, views, device=CPU, sources="views 3").sources != same.sources


def test_a_prediction_does_not_depend_on_the_order_of_the_rows(make, untaught):
    """Though rows of like length are answered together."""
    workshop = make()
    module = workshop.family.build(sizes_of(workshop)[3], workshop.shape, 0)
    order = torch.randperm(len(untaught.views[0]), generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(
        predict(module, untaught, untaught.views[0][order]), predict(module, untaught, untaught.views[0])[order]
    )


def test_what_attention_sees_of_a_text_is_the_share_of_its_pieces():
    """By their ids; padding is no piece, and a text of none is all zeros."""
    seen = compact(torch.tensor([[5, 5, BUCKETS + 5, 7], [9, 0, 0, 0], [0, 0, 0, 0]]))

    assert seen.shape == (3, BUCKETS)
    assert (seen[0, 5], seen[0, 7], seen[1, 9]) == (0.75, 0.25, 1.0)
    torch.testing.assert_close(seen.sum(1), torch.tensor([1.0, 1.0, 0.0]))


def test_steps_of_texts_are_neither_compiled_nor_recorded():
    """Their batches are of many lengths."""
    module = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Flatten(), torch.nn.Linear(32, 2))
    probe = probe_step(lambda: module, torch.ones(16, 8, dtype=torch.int64), 2, device=CPU, steps_planned=10**9)

    assert {rate.plan.label for rate in probe.rates} == {"plain", "bf16"}


def test_another_lexicon_is_another_training(make, untaught):
    """Where nothing else tells them apart, as embeddings that students begin from."""
    spent, shape = {}, make().shape
    for lexicon in (shape.lexicon, shape.lexicon, replace(shape.lexicon, digest="another")):
        workshop = make(shape=replace(shape, lexicon=lexicon), spent=spent, settings=replace(QUICK, epochs=1))
        workshop.train(sizes_of(workshop)[0], untaught, "x")

    assert len(spent) == 2


def test_worker_processes_change_nothing(make, untaught, views, teachers, monkeypatch):
    """Lexicon, mapped copies and lengths reach a worker."""
    lesson = taught(untaught, views, teachers[0].answer, sources="right")
    settings = replace(QUICK, epochs=2)

    def asked(workshop):
        return [Assignment(size=size, lesson=lesson, label=size.label) for size in sizes_of(workshop)[:2]]

    here = make("here", settings=settings)
    plain = here.train_all(asked(here))
    monkeypatch.setattr("hpmkd_edge.distill.workshop._beside", lambda *_: 2)
    with LocalProcesses(2, 1) as executor:
        beside = make("beside", settings=settings, executor=executor, workers=2)
        for one, two in zip(plain, beside.train_all(asked(beside)), strict=True):
            assert_same(one, two)


@pytest.mark.slow
def test_every_component_races_on_sentences(make, task, untaught, views, teachers):
    """Two teachers, attention, a moving temperature, a chain and stages; the best of them has learned the law."""
    workshop = make(settings=replace(QUICK, epochs=12))
    ladder = sizes_of(workshop)
    curriculum = Curriculum(
        workshop=workshop,
        components=without(()),
        untaught=untaught,
        views=views,
        teacher=("KD from right", taught(untaught, views, teachers[0].answer, sources="right")),
        teachers=(("right", 1.0),),
        teacher_parameters=20 * ladder[-1].parameters,
        refuse_weak=False,
        mixtures=mixtures(untaught, views, teachers, attention=True, seed=0),
        labels=task.validation.labels,
        ladder=ladder,
        settle=None,
        experience=Experience(
            memory=None, task=task.digest, name=task.name, traits=traits_of(task), teacher_accuracy=1.0, seed=0
        ),
        schedule="cosine",
        stages=plan_stages(parse_stages("kd,logit_mse"), 12, known=("kd", "logit_mse"), weighting="inverse"),
    )
    race = train_best(ladder[0], (ladder[10],), curriculum)
    names = [finish.rival.name for finish in race.finishes]

    assert {finding.component for finding in race.findings} == {"attention", "temperature", "chain", "stages"}
    assert len(names) == len(set(names)) == 7
    assert race.winner.trained.accuracy > 0.8
    assert all(np.isfinite(finish.trained.logits).all() for finish in race.finishes)


@pytest.mark.parametrize("family", ["gated", "bag", "encoder"])
def test_a_text_student_is_computed_as_its_int8_file_will_be(family, task, inlet, untaught):
    """Near to itself; its embeddings lie on a grid of one scale a column, where padding is still zeros."""
    made, shape = FAMILIES[family], shape_of(inlet, task)
    module = made.build(made.ladder(shape)[3], shape, 0).eval()
    features = inlet.open(untaught.views[0])
    fake = fake_quantized(module, spans_of(traced(module), [features]), "x86").eval()
    table = copy_weights(fake, deepcopy(module)).embedding.weight.detach()
    steps = table / weight_scales(table, 1)

    torch.testing.assert_close(fake(features), module(features), rtol=0, atol=0.05)
    assert not torch.equal(table, module.embedding.weight)
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
    assert (table[0] == 0).all()


def test_a_text_student_is_trained_for_int8(make, task, untaught, tmp_path):
    """On batches of many lengths; it answers as its logits say."""
    workshop = make()
    trained = train_quantized(
        workshop.family.build(sizes_of(workshop)[3], workshop.shape, 0),
        untaught,
        replace(QUICK, epochs=100, learning_rate=0.1),
        form="x86",
        seed=0,
        saved=tmp_path / "link.pt",
        stop=Stop(),
        label="int8",
        calibration_rows=task.train,
    )

    assert trained.best_epoch > 0
    np.testing.assert_allclose(trained.logits, answers_of(trained.module, untaught)(task.validation), atol=0.3)


def test_a_training_of_texts_that_is_taken_up_ends_as_an_unbroken_one(make, task, untaught, views):
    """Order, copies and dropout follow from seed and epoch, whatever was done before; the state is on disk."""
    lesson = taught(untaught, views, knowing, sources="right")
    settings = replace(QUICK, schedule="convergence")
    size = sizes_of(make("whole"))[4]
    unbroken = make("whole", settings=settings).train(size, lesson, "x")
    with pytest.raises(Interrupted, match="after epoch 2 of 4"):
        make("broken", settings=settings, stop=Stop(after=2)).train(size, lesson, "x")
    stop = Stop()
    resumed = make("broken", settings=settings, stop=stop).train(size, lesson, "x")

    assert stop.asked <= settings.epochs - 2
    assert_same(resumed, unbroken)
