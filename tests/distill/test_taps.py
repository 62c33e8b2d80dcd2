"""Taps: what is listed, chosen and read, and that nothing of the reading stays behind."""

import numpy as np
import pytest
import torch
from torch import nn

from hpmkd_edge.distill.taps import choose_tap, find_tap, has_end, list_taps, tap_features, tapped
from hpmkd_edge.errors import BadConfiguration


class Net(nn.Module):
    """A map, a part that runs twice, a part that gives a tuple, one that may be skipped, and logits."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(4, 6, 2, 2)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.split = Split()
        self.extra = nn.Identity()
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 5)
        self.skips = False

    def forward(self, x):
        x = self.relu(self.second(self.relu(self.norm(self.stem(x)))))
        x, _ = self.split(self.squeeze(x).flatten(1))
        return self.head(self.drop(x if self.skips else self.extra(x)))


class Split(nn.Module):
    def forward(self, x):
        return x, x.argmax(1)


class Transformer(nn.Module):
    """Patches as a map, then a sequence, then what *pool* makes of it."""

    def __init__(self, pool):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.norm = nn.LayerNorm(8)
        self.pool = pool
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        tokens = self.norm(self.patches(x).flatten(2).mT)
        return self.head(self.pool(tokens.mean(1)) if self.pool else tokens.mean(1))


IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def hooks_of(module):
    return [hook for part in module.modules() for hook in (*part._forward_hooks, *part._forward_pre_hooks)]


def test_taps_are_listed_in_the_order_of_the_forward_with_the_shape_of_a_row():
    """A part that runs twice counts where it ran last; tuples and the module's own answer are no taps."""
    taps = list_taps(Net(), IMAGES)

    assert list(taps.items()) == [
        ("stem", (4, 8, 8)),
        ("norm", (4, 8, 8)),
        ("second", (6, 4, 4)),
        ("relu", (6, 4, 4)),
        ("squeeze", (6, 1, 1)),
        ("extra", (6,)),
        ("drop", (6,)),
    ]
    assert list_taps(Net(), IMAGES[:1]) == taps


def test_listing_leaves_the_module_as_it_was():
    """Modes part by part, running statistics, and no hook."""
    net = Net().train()
    net.norm.eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    list_taps(net, IMAGES)

    assert (net.training, net.norm.training, net.drop.training) == (True, False, True)
    assert hooks_of(net) == []
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)


def test_a_single_row_is_not_taken_for_a_batch_axis():
    """A table of positions [1, C] has a first axis of 1, as a batch of one row has."""

    class Positioned(nn.Module):
        def __init__(self):
            super().__init__()
            self.positions = nn.Linear(1, 8)
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            return self.head(x + self.positions(torch.ones(1, 1)))

    assert list_taps(Positioned(), torch.zeros(1, 8)) == {}


def test_the_last_map_of_more_than_one_place_is_chosen():
    """Attention over one place says nothing; a pooled map is a vector with two axes more."""
    assert choose_tap(list_taps(Net(), IMAGES)) == "relu"


def test_without_maps_the_last_hidden_vector_is_chosen():
    """Of a perceptron the last activation before the logits."""
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))

    assert choose_tap(list_taps(net, torch.zeros(2, 3))) == "3"


def test_the_patches_of_a_transformer_are_not_chosen():
    """They are its only map, and its first layer."""
    assert choose_tap(list_taps(Transformer(nn.Tanh()), IMAGES)) == "pool"
    with pytest.raises(BadConfiguration, match=r"no part of the teacher gives .* name a tap: norm, patches"):
        choose_tap(list_taps(Transformer(None), IMAGES), "teacher")
    with pytest.raises(BadConfiguration, match=r"no part of the student gives .* another loss"):
        choose_tap({}, "student")


def test_a_module_has_an_end_where_a_tap_can_be_chosen():
    """So that who chooses the losses can look before a training fails."""
    assert has_end(Net(), IMAGES)
    assert has_end(Transformer(nn.Tanh()), IMAGES)
    assert not has_end(Transformer(None), IMAGES)


def test_an_unknown_tap_is_refused_with_the_nearest():
    """And the known ones give their shape."""
    taps = list_taps(Net(), IMAGES)

    assert find_tap("second", taps, "student") == (6, 4, 4)
    with pytest.raises(BadConfiguration, match=r"no tap of the student 'seconds'. Did you mean 'second'"):
        find_tap("seconds", taps, "student")
    with pytest.raises(BadConfiguration, match="the teacher has no taps"):
        find_tap("second", {}, "teacher")
    with pytest.raises(BadConfiguration, match=r"no tap 'norms'. Did you mean 'norm'"), tapped(Net(), ["norms"]):
        pass


def test_what_is_read_is_what_the_part_gave_and_carries_its_gradient():
    """By hand through the same layers; several forwards in one block read the latest."""
    net = Net().eval()
    with tapped(net, ["norm", "second"]) as read:
        net(torch.zeros_like(IMAGES))
        net(IMAGES)
        maps = read()
    maps["second"].sum().backward()

    torch.testing.assert_close(maps["norm"], net.norm(net.stem(IMAGES)))
    torch.testing.assert_close(maps["second"], net.second(net.relu(maps["norm"])))
    assert net.stem.weight.grad.abs().max() > 0
    assert net.head.weight.grad is None


def test_reading_works_under_autocast():
    """In the precision in which the part ran."""
    net = Net()
    with tapped(net, ["second"]) as read, torch.autocast("cpu", torch.bfloat16):
        net(IMAGES)

        assert read()["second"].dtype == torch.bfloat16


def test_hooks_are_gone_afterwards_also_after_an_error():
    """A training that fails must not leave a module that keeps its maps alive."""
    net = Net()
    with tapped(net, ["stem"]):
        during = len(hooks_of(net))
    with pytest.raises(RuntimeError, match="size"), tapped(net, ["stem"]) as read:
        net(torch.zeros(1, 7))

    assert during == 2
    assert hooks_of(net) == []
    with pytest.raises(BadConfiguration, match="gave no tensor"):
        read()


def test_a_part_that_did_not_run_is_named():
    """Nor is what it gave for an earlier batch read in its place."""
    net = Net()
    with tapped(net, ["extra"]) as read:
        net(IMAGES)
        read()
        net.skips = True
        net(IMAGES)

        with pytest.raises(BadConfiguration, match="'extra' gave no tensor in the latest forward: it did not run"):
            read()
    with tapped(net, ["split"]) as read:
        net(IMAGES)

        with pytest.raises(BadConfiguration, match="'split' gave no tensor"):
            read()


def test_a_compiled_module_is_refused():
    """Its parts may run without their hooks."""
    with pytest.raises(BadConfiguration, match="compiled module cannot be read"):
        list_taps(torch.compile(Net(), backend="eager"), IMAGES)


def test_features_of_all_batches_are_those_of_the_whole_in_half_precision():
    """In eval mode whatever mode the teacher was in, row by row."""
    net = Net().train()
    features = tap_features(net, "relu", torch.split(IMAGES, 4))
    net.eval()
    with tapped(net, ["relu"]) as read:
        net(IMAGES)
        whole = read()["relu"]

    assert (features.dtype, features.shape) == (np.float16, (6, 6, 4, 4))
    np.testing.assert_allclose(features, whole.detach().numpy(), rtol=1e-3, atol=1e-6)
    net.train()
    tap_features(net, "relu", [IMAGES])
    assert net.training


def test_features_that_half_precision_cannot_hold_are_refused():
    """Infinity in a cache would make every loss NaN."""
    net = Net()
    nn.init.constant_(net.second.bias, 7e4)

    with pytest.raises(BadConfiguration, match=r"'second' gives values up to 7\d{4}.*; finite ones of at most 65,504"):
        tap_features(net, "second", [IMAGES])


def test_a_head_that_is_a_summand_of_the_answer_is_no_tap():
    """A loss on features would read half of the logits."""

    class Summed(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(3, 8)
            self.head = nn.Linear(8, 5)

        def forward(self, x):
            return self.head(self.hidden(x)) + 1

    assert list_taps(Summed(), torch.zeros(2, 3)) == {"hidden": (8,)}
