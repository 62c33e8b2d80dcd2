"""Fake quantization computes what ONNX's int8 does, and lets gradients through; folding changes no answer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hpmkd_edge.distill.fake_quantization import (
    Span,
    TensorGrid,
    WeightGrid,
    copy_weights,
    fake_quantized,
    folded,
    rounded_reads,
    spans_of,
    traced,
    weight_scales,
)
from hpmkd_edge.errors import BadStudent
from hpmkd_edge.students.choose import FAMILIES
from hpmkd_edge.students.family import Shape

FORMS = ("x86", "tensorrt")
IMAGES = Shape(features=(3, 8, 8), classes=4)
SPAN = Span(lowest=-1.0, highest=3.0)


def quantized(x, scale, zero_point, least, most):
    """QuantizeLinear, then DequantizeLinear, as ONNX's text defines them."""
    steps = np.clip(np.rint(np.asarray(x, np.float64) / scale) + zero_point, least, most)
    return (steps - zero_point) * scale


def settled(family, rung=0, seed=0):
    """Return a student of images whose norms have seen something, and images."""
    made = FAMILIES[family]
    module = made.build(made.ladder(IMAGES)[rung], IMAGES, seed)
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(64, *IMAGES.features, generator=generator)
    module.train()
    for _ in range(20):
        module(images)
    with torch.no_grad():  # scales and shifts of norms as a training leaves them
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return module.eval(), images


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=50)
@given(
    ends=st.tuples(*[st.integers(-(10**6), 10**6).map(lambda thousandths: thousandths / 1000)] * 2),
    seed=st.integers(0, 1000),
)
def test_inputs_are_quantized_as_onnx_does(form, ends, seed):
    """Against the slow twin, inside and outside of the range; a tie of float32 may go to the other side."""
    span = Span(lowest=min(ends), highest=max(ends))
    grid = TensorGrid(span, form)
    x = 1.5 * max(map(abs, ends)) * torch.randn(200, generator=torch.Generator().manual_seed(seed))
    low, high = min(span.lowest, 0), max(span.highest, 0)
    if form == "x86":
        scale = (high - low) / 255 or 1.0
        twin = quantized(x, scale, round(-low / scale), 0, 255)
    else:
        scale = max(-low, high) / 127 or 1.0
        twin = quantized(x, scale, 0, -128, 127)
    steps = x.double().numpy() / scale
    clear = np.abs(np.abs(steps - np.floor(steps)) - 0.5) > 1e-3

    np.testing.assert_allclose(grid(x).numpy()[clear], twin[clear], rtol=1e-4, atol=1e-5 * scale)
    np.testing.assert_allclose(grid(x), twin, rtol=1e-4, atol=1.001 * scale)


@settings(deadline=None, max_examples=50)
@given(shape=st.sampled_from([(3, 5), (4, 1, 3, 3), (2, 6, 3)]), seed=st.integers(0, 1000))
def test_weights_are_quantized_by_output_channel(shape, seed):
    """Against the slow twin: 127 steps to the largest weight of each channel, which is met exactly."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    weight *= torch.logspace(-6, 4, shape[0]).view(-1, *(1,) * (len(shape) - 1))
    twin = np.stack([quantized(row, float(row.abs().max()) / 127, 0, -127, 127) for row in weight])
    steps = weight.double().flatten(1) / weight_scales(weight).double()[:, None]
    clear = ((steps - steps.floor() - 0.5).abs() > 1e-3).view(shape)
    found = WeightGrid()(weight)

    torch.testing.assert_close(found[clear], torch.from_numpy(twin).float()[clear], rtol=1e-5, atol=1e-30)
    torch.testing.assert_close(found.flatten(1).abs().amax(1), weight.flatten(1).abs().amax(1), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("form", "low", "high"), [("x86", -1.0, 3.0), ("tensorrt", -3.0 * 128 / 127, 3.0)], ids=FORMS)
def test_the_gradient_is_one_inside_the_range_and_zero_outside(form, low, high):
    """Straight through the rounding, and none where a number is cut off."""
    step = (high - low) / 255
    inside = torch.linspace(low + step, high - step, 99)
    outside = torch.tensor([low - 2 * step, high + 2 * step, -50.0, 50.0])
    x = torch.cat([inside, outside]).requires_grad_()
    upstream = torch.arange(1.0, len(x) + 1)
    (TensorGrid(SPAN, form)(x) * upstream).sum().backward()

    torch.testing.assert_close(x.grad, torch.cat([upstream[:99], torch.zeros(4)]), rtol=0, atol=0)


def test_every_weight_gets_its_gradient():
    """The scale follows the weights, so none is outside; and through the scale nothing flows."""
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)
    upstream = torch.randn(4, 3, 3, 3)
    (WeightGrid()(weight) * upstream).sum().backward()

    torch.testing.assert_close(weight.grad, upstream, rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_what_lies_on_a_grid_stays_there(form):
    """Quantizing twice is quantizing once; 0 is always on the grid."""
    x, weight = 2 * torch.randn(500), torch.randn(8, 5)
    grid, weights = TensorGrid(SPAN, form), WeightGrid()

    torch.testing.assert_close(grid(grid(x)), grid(x), rtol=0, atol=0)
    torch.testing.assert_close(weights(weights(weight)), weights(weight), rtol=1e-6, atol=0)
    torch.testing.assert_close(grid(torch.zeros(1)), torch.zeros(1), rtol=0, atol=0)


@pytest.mark.parametrize("power", [-8, 3, 10])
@pytest.mark.parametrize("form", FORMS)
def test_the_unit_does_not_matter(form, power):
    """Numbers and range times a power of two give the same steps; each channel of a weight by a unit of its own."""
    x, weight, unit = torch.randn(500), torch.randn(6, 5), 2.0**power
    units_O = unit ** torch.arange(-1.0, 2.0).repeat(2)[:, None]
    far = TensorGrid(Span(lowest=SPAN.lowest * unit, highest=SPAN.highest * unit), form)

    torch.testing.assert_close(far(x * unit), TensorGrid(SPAN, form)(x) * unit, rtol=1e-6, atol=0)
    torch.testing.assert_close(WeightGrid()(weight * units_O), WeightGrid()(weight) * units_O, rtol=1e-6, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_a_range_without_width_and_a_channel_of_zeros_are_left_alone(form):
    """No division by zero: dead units are usual."""
    dead = torch.zeros(2, 3, requires_grad=True)
    WeightGrid()(dead).sum().backward()

    assert TensorGrid(Span(lowest=0.0, highest=0.0), form)(torch.zeros(3)).tolist() == [0, 0, 0]
    assert WeightGrid()(dead).abs().max() == 0
    assert dead.grad.isfinite().all()


def test_tensorrt_takes_zero_for_the_middle():
    """Its parser refuses other zero points; x86 uses all 256 steps of a one-sided range."""
    relu = Span(lowest=0.0, highest=2.55)
    symmetric, one_sided = TensorGrid(relu, "tensorrt"), TensorGrid(relu, "x86")

    assert int(TensorGrid(SPAN, "tensorrt").zero_point) == int(one_sided.zero_point) == 0
    assert float(one_sided.scale) == pytest.approx(0.01)
    assert float(symmetric.scale) == pytest.approx(2.55 / 127)


@pytest.mark.parametrize("family", ["residual", "depthwise"])
def test_folding_changes_no_answer(family):
    """All of our students' norms go, and the module that was given keeps its own."""
    module, images = settled(family, rung=2)
    before = module(images).detach()
    plain = folded(module)

    torch.testing.assert_close(plain(images), before, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in plain.modules())
    assert any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
    torch.testing.assert_close(module(images), before, rtol=0, atol=0)


class ReadTwice(nn.Module):
    """A convolution whose output goes to its norm, and past it."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        inner = self.layer(x)
        return (self.norm(inner) + inner).mean((2, 3))


class SharedNorm(ReadTwice):
    """One norm after two calls of one convolution."""

    def forward(self, x):
        return self.norm(self.layer(self.norm(self.layer(x)))).mean((2, 3))


@pytest.mark.parametrize(
    "module",
    [
        ReadTwice(),
        SharedNorm(),
        nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)),
        nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.BatchNorm2d(2)),
        nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)),
    ],
    ids=["read twice", "shared", "before", "after a relu", "of the batch"],
)
def test_a_norm_that_cannot_be_folded_stays(module):
    """Better a norm too many than another function."""
    images = torch.randn(32, 3, 5, 5)
    module.train()(images)
    module.eval()
    plain = folded(module)

    torch.testing.assert_close(plain(images), module(images), rtol=1e-5, atol=1e-6)
    assert any(isinstance(part, nn.BatchNorm2d) for part in plain.modules())


def test_the_norm_of_a_linear_layer_is_folded():
    """As tables' students of a user may have them."""
    module = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    rows = torch.randn(50, 5)
    module.train()(rows)
    module.eval()

    torch.testing.assert_close(folded(module)(rows), module(rows), rtol=1e-5, atol=1e-6)
    assert type(folded(module)[1]) is nn.Identity


class Untraceable(nn.Module):
    """Looks at numbers to decide what to do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x) if x.sum() > 0 else -self.layer(x)


def test_a_module_that_cannot_be_traced_is_refused():
    """With the cause, and what is needed."""
    with pytest.raises(BadStudent, match=r"cannot trace.*control flow.*without data-dependent control flow is needed"):
        folded(Untraceable())


def test_spans_are_those_of_all_batches():
    """Of what every node makes, whatever order the rows come in."""
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    rows = torch.randn(60, 4)
    inner = module[:2](rows).detach()
    spans = spans_of(traced(module), rows.split(7))

    assert spans == spans_of(traced(module), rows.flip(0).split(13))
    assert spans["input_1"] == Span(lowest=float(rows.min()), highest=float(rows.max()))
    assert spans["_1"] == Span(lowest=float(inner.min()), highest=float(inner.max()))


@pytest.mark.parametrize(
    ("family", "form", "names"),
    [
        ("mlp", "x86", "_0 _2"),
        ("mlp", "tensorrt", "_0 _2"),
        ("residual", "x86", "x_nchw relu relu_1 blocks_0_second relu_2"),
        ("residual", "tensorrt", "x_nchw relu relu_1 relu_2"),
    ],
)
def test_int8_rounds_what_its_file_rounds(family, form, names):
    """On x86 both sides of a sum too, ReLUs with what is before them; for TensorRT what layers read; logits never."""
    graph = traced(folded(FAMILIES[family].build(FAMILIES[family].ladder(IMAGES)[0], IMAGES, 0)))
    rounded = [node.name for node in rounded_reads(graph, form)]

    assert rounded[: len(names.split())] == names.split()
    assert not {"head", "_3"}.intersection(rounded)


def test_a_shortcut_goes_on_in_floats_for_tensorrt():
    """There the sum reads what the layer's input was before it was rounded; on x86 both read the same integers."""
    graph = traced(folded(FAMILIES["residual"].build(FAMILIES["residual"].ladder(IMAGES)[0], IMAGES, 0)))
    reads = {
        form: {node.name: [reader.name for reader in readers] for node, readers in rounded_reads(graph, form).items()}
        for form in FORMS
    }

    assert reads["tensorrt"]["relu"] == ["blocks_0_first"]
    assert reads["x86"]["relu"] == ["blocks_0_first", "add"]


class OwnLayer(nn.Linear):
    """A layer of a user's own class."""


def test_layers_of_own_classes_are_quantized_too():
    """They are seen as one layer, not as what their class does inside."""
    module = nn.Sequential(OwnLayer(4, 3), nn.ReLU(), nn.Linear(3, 2))
    fake = fake_quantized(module, spans_of(traced(module), [torch.randn(8, 4)]), "x86")

    assert sum("parametrizations" in name for name in fake.state_dict()) == 2


def test_dropout_stops():
    """What it scales up would leave the spans."""
    module = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 2))
    rows = torch.randn(8, 4)
    fake = fake_quantized(module, spans_of(traced(module), [rows]), "x86")

    torch.testing.assert_close(fake.train()(rows), fake.eval()(rows), rtol=0, atol=0)
    assert module[1].p == 0.5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", ["mlp", "residual", "depthwise"])
def test_a_quantized_student_is_near_and_not_the_same(family, form):
    """Off differs from on, and the module that was copied keeps its weights."""
    module, images = settled(family, rung=3)
    plain = folded(module)
    before = plain(images).detach()
    fake = fake_quantized(plain, spans_of(traced(plain), [images]), form)
    away = (fake(images) - before).abs().max() / before.abs().max()

    assert 1e-5 < away < 0.2
    torch.testing.assert_close(plain(images), before, rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_weights_come_back_on_their_grids(form):
    """Into a module as plain as before; to quantize it again is to get the same answers."""
    module, images = settled("depthwise", rung=1)
    plain = folded(module)
    spans = spans_of(traced(plain), [images])
    fake = fake_quantized(plain, spans, form)
    with torch.no_grad():
        for parameter in fake.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    answers = fake(images)
    names = list(plain.state_dict())
    back = copy_weights(fake, plain)

    assert back is plain
    assert list(back.state_dict()) == names
    for weight in (part.weight.detach() for part in back.modules() if isinstance(part, nn.Conv2d | nn.Linear)):
        steps = weight.flatten(1) / weight_scales(weight)[:, None]
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
    torch.testing.assert_close(fake_quantized(back, spans, form)(images), answers, rtol=1e-4, atol=1e-4)


def test_a_tied_weight_stays_tied():
    """A head that shares the embedding's table trains one tensor."""
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False))
    module[2].weight = module[0].weight
    fake = fake_quantized(module, spans_of(traced(module), [torch.randn(8, 4)]), "x86")

    assert len(list(fake.parameters())) == 1
