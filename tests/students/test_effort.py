"""Multiply-adds and layers of a size, counted without computing."""

import pytest
import torch
from torch import nn

from hpmkd_edge.errors import BadStudent
from hpmkd_edge.students.choose import FAMILIES, open_family
from hpmkd_edge.students.effort import Effort, effort_of
from hpmkd_edge.students.family import Shape
from hpmkd_edge.tasks.source import open_task

TABLE, IMAGE = Shape(features=(30,), classes=5), Shape(features=(3, 32, 32), classes=10)


def test_a_perceptron_does_the_products_of_its_widths():
    """64-64 on 30 features: two hidden layers and the head, biases not counted."""
    size = next(one for one in FAMILIES["mlp"].ladder(TABLE) if (one.width, one.depth) == (64, 2))

    assert effort_of(FAMILIES["mlp"], size, TABLE) == Effort(macs=30 * 64 + 64 * 64 + 64 * 5, layers=3)


def test_a_convolution_does_its_kernel_at_each_place():
    """Of a residual 4×1: the stem at 32×32, and three stages that halve the sides and double the channels."""
    size = next(one for one in FAMILIES["residual"].ladder(IMAGE) if (one.width, one.depth) == (4, 1))
    stem, first = 3 * 4 * 9 * 1024, 2 * 4 * 4 * 9 * 1024
    second = (4 * 8 * 9 + 8 * 8 * 9 + 4 * 8) * 256
    third = (8 * 16 * 9 + 16 * 16 * 9 + 8 * 16) * 64

    assert effort_of(FAMILIES["residual"], size, IMAGE).macs == stem + first + second + third + 160


@pytest.mark.parametrize("family", ["mlp", "residual", "depthwise"])
def test_counting_leaves_torch_s_generator_alone(family):
    """A search may count before anything is trained."""
    before = torch.random.get_rng_state()
    ladder = FAMILIES[family].ladder(IMAGE)
    efforts = [effort_of(FAMILIES[family], size, IMAGE) for size in ladder[:3]]

    assert torch.equal(torch.random.get_rng_state(), before)
    assert [one.macs for one in efforts] == sorted(one.macs for one in efforts)


def test_a_module_that_reads_values_is_counted_on_the_cpu(tmp_path):
    """The meta device has none."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, width):\n"
        "        super().__init__()\n"
        "        self.one, self.two = nn.Linear(64, width), nn.Linear(width, 10)\n"
        "    def forward(self, rows):\n"
        "        rows = rows.flatten(1)\n"
        "        return self.two(self.one(rows / (1 + float(rows.abs().max()))))\n"
    )
    family = open_family(f"{file}:Net", open_task("digits"))
    shape = Shape(features=(1, 8, 8), classes=10)
    size = family.ladder(shape)[0]

    assert effort_of(family, size, shape) == Effort(macs=74 * size.width, layers=2)


def test_a_family_that_cannot_take_the_shape_says_so():
    """As when it is built."""
    size = FAMILIES["residual"].ladder(IMAGE)[0]
    with pytest.raises(BadStudent, match="--student mlp"):
        effort_of(FAMILIES["residual"], size, TABLE)


def test_a_module_s_hooks_are_not_left_behind():
    """The count is of one pass."""
    module = nn.Linear(3, 2)

    class Fixed:
        def build(self, *_):
            return module

    shape = Shape(features=(3,), classes=2)

    assert effort_of(Fixed(), None, shape) == effort_of(Fixed(), None, shape) == Effort(macs=6, layers=1)
