"""The last link: int8 loses nothing that matters, the file answers as the training said, a stop costs nothing."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from sample_lessons import SETTINGS, Stop, assert_same, guessing, sure, weights_of

from hpmkd_edge.distill import quantization_link
from hpmkd_edge.distill.fake_quantization import fake_quantized, folded, spans_of, traced, weight_scales
from hpmkd_edge.distill.lesson import taught
from hpmkd_edge.distill.quantization_link import settings_of_link, train_quantized, with_own_logits
from hpmkd_edge.distill.training import predict
from hpmkd_edge.errors import Interrupted, TrainingFailed
from hpmkd_edge.export.conversion import student_graph
from hpmkd_edge.export.passes.fold import fold
from hpmkd_edge.export.passes.quantize import quantize
from hpmkd_edge.students.choose import FAMILIES

FORMS = ("x86", "tensorrt")
LEARNED = replace(SETTINGS, epochs=20, learning_rate=1e-2)


@pytest.fixture(scope="module")
def right(task, untaught, views):
    """The lesson of a teacher that knows the labels."""
    return taught(untaught, views, sure(task), sources="right")


@pytest.fixture(scope="module")
def student(right, shape, sizes, tmp_path_factory):
    """A perceptron that has learned digits in fp32."""
    saved = tmp_path_factory.mktemp("student") / "x.pt"
    return quantization_link.train_link(
        FAMILIES["mlp"].build(sizes[3], shape, 0), right, LEARNED, seed=0, saved=saved, stop=Stop(), label="x"
    )


@pytest.fixture
def link(task, right, student, tmp_path):
    """Return a function that gives the student its last link."""

    def trained(lesson=right, name="a", *, module=student.module, settings=LEARNED, form="x86", seed=0, stop=None):
        return train_quantized(
            module,
            lesson,
            settings,
            form=form,
            seed=seed,
            saved=tmp_path / f"{name}.pt",
            stop=stop or Stop(),
            label="x in int8",
            calibration_rows=task.train,
        )

    return trained


@pytest.mark.parametrize("form", FORMS)
def test_a_student_of_digits_loses_nothing_that_matters(form, link, student):
    """In 8 bits it is within two of 200 rows of itself in fp32."""
    assert link(form=form).accuracy >= student.accuracy - 0.01


@pytest.mark.parametrize("form", FORMS)
def test_no_link_is_worse_than_none_on_the_validation_rows(form, link, student, right, inlet, task):
    """An epoch that does not beat the student as it came is not kept; then nothing was learned, and this is said."""
    plain = folded(student.module)
    spans = spans_of(traced(plain), [inlet.open(inlet.store(task.train.inputs))])
    untrained = predict(fake_quantized(plain, spans, form), right, right.validation)
    hasty = link(form=form, settings=replace(LEARNED, learning_rate=20.0))

    assert hasty.best_epoch == 0
    assert hasty.accuracy == float((untrained.argmax(1) == right.validation_labels).double().mean())
    torch.testing.assert_close(torch.from_numpy(hasty.logits), untrained, rtol=0, atol=0)


def test_a_broken_teacher_does_not_matter(link, student, task, untaught, views):
    """The student hears itself, and the validation rows have the last word."""
    broken = taught(untaught, views, guessing(len(task.classes)), sources="broken")

    assert link(broken).accuracy >= student.accuracy - 0.01


def test_the_student_hears_itself_first_and_its_teachers_after(right, student):
    """Its own logits on each view are one more guide; features and earlier stages have no part."""
    lesson = with_own_logits(replace(right, maps=(torch.zeros(len(right.labels), 2),) * 2), student.module)

    assert len(lesson.guides) == 2
    assert lesson.guides[1] is right.guides[0]
    assert (lesson.maps, lesson.reference) == ((), None)
    for own, view in zip(lesson.guides[0], right.views, strict=True):
        torch.testing.assert_close(own, predict(student.module, right, view), rtol=0, atol=0)


def test_the_link_acts(link, student):
    """Other weights than those that came, all on the grid; the student that was given keeps its own."""
    before = weights_of(student)
    trained = link(settings=replace(LEARNED, epochs=60, learning_rate=0.03))

    assert trained.best_epoch > 0
    for layer in (part for part in trained.module if isinstance(part, torch.nn.Linear)):
        steps = layer.weight / weight_scales(layer.weight)[:, None]
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
    assert not torch.allclose(weights_of(trained), before, atol=1e-2)
    torch.testing.assert_close(weights_of(student), before, rtol=0, atol=0)


def test_the_seed_decides_every_weight(link):
    """Same seed, same bytes; other seed, others."""
    fast = replace(LEARNED, epochs=60, learning_rate=0.03)
    one, same, other = (link(name=name, seed=seed, settings=fast) for name, seed in (("a", 1), ("b", 1), ("c", 2)))

    assert_same(one, same)
    assert not torch.equal(weights_of(one), weights_of(other))


def test_an_interrupted_link_ends_as_an_unbroken_one_does(link):
    """Stopped after each epoch and taken up again, byte for byte."""
    settings = replace(LEARNED, epochs=60, learning_rate=0.03)
    unbroken = link(settings=settings)
    for epoch in range(1, 7):
        with pytest.raises(Interrupted, match=f"x in int8: stopped after epoch {epoch} of 6"):
            link(name="b", settings=settings, stop=Stop(after=1))

    assert unbroken.best_epoch > 0
    assert_same(link(name="b", settings=settings), unbroken)


def test_a_link_that_diverges_says_so(link):
    """As any training does."""
    with pytest.raises(TrainingFailed, match="x in int8: the loss is nan"):
        link(settings=replace(LEARNED, ce_weight=float("inf")))


def test_a_link_is_short_gentle_and_by_logits():
    """A tenth of the epochs, at least one; a loss on features has nothing to read."""
    short = settings_of_link(replace(SETTINGS, epochs=4, method="fitnet", schedule="auto"))

    assert (short.epochs, short.method, short.schedule) == (1, "kd", "constant")
    assert short.learning_rate < SETTINGS.learning_rate
    assert settings_of_link(replace(SETTINGS, epochs=100)).epochs == 10
    assert settings_of_link(replace(SETTINGS, method="dist")).method == "dist"


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", ["mlp", "residual"])
def test_the_int8_file_answers_as_the_training_said(family, form, link, right, shape, task, inlet, student, tmp_path):
    """Exported, calibrated on the same rows and quantized: class by class, but for rounding's ties."""
    module = student.module
    if family == "residual":
        size = FAMILIES[family].ladder(shape)[0]
        module = quantization_link.train_link(
            FAMILIES[family].build(size, shape, 0),
            right,
            replace(LEARNED, epochs=8),
            seed=0,
            saved=tmp_path / "base.pt",
            stop=Stop(),
            label="x",
        ).module
    trained = link(module=module, form=form)
    answers = int8_answers(student_graph(trained.module, inlet), form, task.train, task.validation, tmp_path)
    agreement = (answers.argmax(1) == trained.logits.argmax(1)).mean()
    probabilities = torch.softmax(torch.from_numpy(trained.logits), 1).numpy()

    assert agreement >= 0.98
    assert np.abs(answers - probabilities).mean() < 0.01


def int8_answers(graph, form, calibration, rows, folder):
    """Quantize *graph* as the target wants it, and return what the file answers to *rows*."""
    source, output = folder / "fp32.onnx", folder / "int8.onnx"
    source.write_bytes(graph.SerializeToString())
    fold(source, source)
    quantize(source, output, feeds=calibration.inputs.feeds(), form=form, calibration="minmax")
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    return session.run(None, rows.inputs.feeds())[0]
