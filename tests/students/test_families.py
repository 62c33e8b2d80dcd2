"""Every family's ladder rises, and each rung is what it says."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from hpmkd_edge.errors import BadStudent
from hpmkd_edge.students.choose import FAMILIES, open_family
from hpmkd_edge.students.family import Shape, count_parameters
from hpmkd_edge.students.inlet import fit_inlet
from hpmkd_edge.tasks.source import open_task

IMAGES = Shape(features=(3, 32, 32), classes=10)
TABLE = Shape(features=(17,), classes=3)
CASES = [("mlp", IMAGES), ("mlp", TABLE), ("residual", IMAGES), ("depthwise", IMAGES)]


@pytest.fixture(scope="module")
def digits():
    return open_task("digits")


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_ladder_rises_from_a_few_thousand_to_over_a_hundred_times_that(name, shape):
    """Strictly, so that the next larger size is larger; and far enough for any board."""
    counts = [size.parameters for size in FAMILIES[name].ladder(shape)]

    assert all(a < b for a, b in pairwise(counts))
    assert counts[-1] > 100 * counts[0]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_built_size_has_the_parameters_that_the_ladder_says(name, shape):
    """The ladder counts on the meta device; building must agree."""
    family = FAMILIES[name]
    for size in family.ladder(shape)[:4]:
        assert count_parameters(family.build(size, shape, 0)) == size.parameters


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_student_maps_features_to_logits_and_its_seed_decides_its_weights(name, shape):
    """[N, *features] to [N, classes]; same seed same weights, other seed others; torch's own state untouched."""
    family = FAMILIES[name]
    size = family.ladder(shape)[1]
    before = torch.random.get_rng_state()
    one, same, other = (family.build(size, shape, seed).eval() for seed in (1, 1, 2))
    features = torch.randn(3, *shape.features, generator=torch.Generator().manual_seed(0))

    assert one(features).shape == (3, shape.classes)
    torch.testing.assert_close(one(features), same(features), rtol=0, atol=0)
    assert not torch.equal(one(features), other(features))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("side", [8, 28, 96, 224])
def test_convolutions_take_images_of_any_side(side):
    """Large images are strided down in the stem."""
    shape = Shape(features=(1, side, side), classes=2)
    for name in ("residual", "depthwise"):
        size = FAMILIES[name].ladder(shape)[0]
        assert FAMILIES[name].build(size, shape, 0).eval()(torch.zeros(2, 1, side, side)).shape == (2, 2)


def test_a_convolution_refuses_a_table():
    """It says what to use."""
    with pytest.raises(BadStudent, match="--student mlp"):
        FAMILIES["residual"].ladder(TABLE)


def test_an_unknown_family_offers_the_nearest(digits):
    """A typo costs one look."""
    with pytest.raises(BadStudent, match="Did you mean 'residual'"):
        open_family("residul", digits)


def test_a_user_s_function_is_a_family(digits, tmp_path):
    """It is called with a width, and with the shape where it names it."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n"
        "def net(width, features, classes):\n"
        "    pixels = features[1] * features[2]\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), nn.Linear(width, classes))\n"
        "def wrong(width):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))\n"
        "def failing(width):\n"
        "    raise RuntimeError('no')\n"
        "def text(width):\n"
        "    return 'net'\n"
    )
    shape = Shape(features=(1, 8, 8), classes=10)

    assert open_family(f"{file}:net", digits).ladder(shape)[0].parameters == 64 * 4 + 4 + 4 * 10 + 10
    for name, message in (
        ("wrong", r"gives \(2, 3\)"),
        ("failing", "RuntimeError: no"),
        ("text", "returned str"),
    ):
        with pytest.raises(BadStudent, match=message):
            open_family(f"{file}:{name}", digits).ladder(shape)
    with pytest.raises(BadStudent, match="Did you mean 'net'"):
        open_family(f"{file}:nett", digits)
    with pytest.raises(BadStudent, match="there is no file"):
        open_family(f"{tmp_path}/other.py:net", digits)


STUDENTS = """
import torch
from torch import nn

SHAPE = ("features", "classes")

def linear(width, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Dropout(0.5), nn.Linear(width, classes))

class Two(nn.Module):
    def __init__(self, width, classes, always):
        super().__init__()
        self.net, self.always = linear(width, classes), always
    def forward(self, rows):
        answer = self.net(rows)
        return (answer, answer) if self.training or self.always else answer

def always(width, classes):
    return Two(width, classes, True)

def in_training(width, classes):
    return Two(width, classes, False)

class Short(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.net = linear(width, classes)
    def forward(self, rows):
        return self.net(rows)[: 1 if self.training else None]

class Failing(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.net = linear(width, classes)
    def forward(self, rows):
        assert not self.training, "not ready"
        return self.net(rows)

def lazy(width, classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.Linear(width, classes))

def reading(width, classes):
    net = linear(width, classes)
    assert net[1].weight.abs().max().item() > 0
    return net
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("always", "gives tuple in eval mode; one tensor of logits is needed"),
        ("in_training", "gives tuple in train mode; one tensor of logits is needed"),
        ("Short", r"gives \(1, 10\) in train mode; \(2, 10\) is needed"),
        ("Failing", r"does not take features of shape \(2, 1, 8, 8\) in train mode: AssertionError: not ready"),
        ("lazy", "parameters without a shape, as lazy modules have; fixed shapes are needed"),
    ],
)
def test_a_module_that_could_not_be_trained_is_refused(digits, tmp_path, name, message):
    """One sentence each, before any training; some modules answer otherwise while they are trained."""
    file = tmp_path / "mine.py"
    file.write_text(STUDENTS)

    with pytest.raises(BadStudent, match=message):
        open_family(f"{file}:{name}", digits).ladder(Shape(features=(1, 8, 8), classes=10))


def test_a_module_that_reads_its_weights_is_counted_all_the_same(digits, tmp_path):
    """The meta device has no values to read; torch's own state stays untouched."""
    file = tmp_path / "mine.py"
    file.write_text(STUDENTS)
    shape = Shape(features=(1, 8, 8), classes=10)
    before = torch.random.get_rng_state()
    reading = open_family(f"{file}:reading", digits).ladder(shape)
    plain = open_family(f"{file}:linear", digits).ladder(shape)

    assert [size.parameters for size in reading] == [size.parameters for size in plain]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_digest_of_a_user_s_family_follows_helpers_beside_the_file(digits, tmp_path):
    """An edited helper builds another module of the same size."""
    shape = Shape(features=(1, 8, 8), classes=10)
    file = tmp_path / "mine.py"
    file.write_text("from blocks import net\n")
    digests = []
    for layers in ("nn.Flatten(), nn.Linear(64, 10)", "nn.Flatten(), nn.Linear(64, 10), nn.Tanh()"):
        (tmp_path / "blocks.py").write_text(
            f"from torch import nn\ndef net(width):\n    return nn.Sequential({layers})\n"
        )
        family = open_family(f"{file}:net", digits)
        digests += [family.digest, open_family(f"{file}:net", digits).digest]

    assert digests[0] == digests[1] != digests[2] == digests[3]
    assert len(family.build(family.ladder(shape)[0], shape, 0)) == 3


def test_the_inlet_gives_each_channel_mean_zero_and_deviation_one(digits):
    """Fitted on training rows; the histogram's moments are those of the floats."""
    inlet = fit_inlet(digits)
    features = inlet.open(inlet.store(digits.train.inputs)).double()

    assert features.shape[1:] == inlet.features
    np.testing.assert_allclose(features.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(features.std((0, 2, 3), correction=0), 1, atol=1e-5)
