"""A compiled epoch is the epoch of its slow twin and of torch, and the same bytes each time."""

import copy

import naive_kernels as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from hpmkd_edge.distill.methods.response import soft_kl
from hpmkd_edge.kernels.losses import loss_gradient, soft_targets
from hpmkd_edge.kernels.perceptron import Perceptron, logits, parameters, side_by_side, train_epoch, untrained

KNOBS = {"ce_weight": 0.6, "label_smoothing": 0.1, "weight_decay": 0.1, "longest_gradient": 1.0}
TEMPERATURE = 3.0


def lesson(rows, widths, teachers=1, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((rows, widths[0]), np.float32)
    taught = list(2 * generator.standard_normal((teachers, rows, widths[-1]), np.float32))
    weights = [generator.uniform(0.1, 1, rows).astype(np.float32) for _ in taught]
    values = widths[-1] == 1
    labels = generator.standard_normal(rows, np.float32) if values else generator.integers(0, widths[-1], rows)
    return features, labels, taught, weights, generator.permutation(rows)


def guidance_of(taught, weights, method="kd"):
    return soft_targets(taught, weights, method=method, temperature=TEMPERATURE)


def rates_of(rows, batch):
    return np.linspace(1e-3, 1e-2, max(1, rows // batch)).astype(np.float32)


def train(network, rows=130, batch=50, epochs=2, seed=0):
    """Train on a lesson of the seed, and return the last epoch's loss."""
    features, labels, taught, weights, order = lesson(rows, network.widths.tolist(), seed=seed)
    for _ in range(epochs):
        loss = train_epoch(
            network, features, labels, guidance_of(taught, weights), order, rates_of(rows, batch), batch=batch, **KNOBS
        )
    return loss


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.integers(1, 9),
    st.integers(1, 90),
    st.integers(1, 100),
    st.integers(1, 2),
)
@settings(max_examples=25, deadline=None)
def test_an_epoch_equals_its_slow_twin_s(hidden, outputs, rows, batch, teachers):
    """Any widths, rows, batches; classes or, with one output, values. The last incomplete batch is left out."""
    widths, method = [*hidden, outputs], "squares" if outputs == 1 else "kd"
    features, labels, taught, weights, order = lesson(rows, widths, teachers)
    network = untrained(widths, seed=1)
    batch = max(batch, rows // 4, 1)  # few steps: rounding grows with each
    rates = rates_of(rows, batch)
    vector, losses = naive.train_epoch(
        network.weights.copy(), widths, features, labels, taught, weights, order, rates,
        batch=batch, method=method, temperature=TEMPERATURE, **KNOBS,
    )  # fmt: skip
    found = train_epoch(
        network, features, labels, guidance_of(taught, weights, method), order, rates, batch=batch, **KNOBS
    )

    np.testing.assert_allclose(found.losses, losses[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.on_labels, losses[1], rtol=1e-4, atol=1e-5)
    # A slope of nothing but rounding is a whole step of Adam's: a rate is the most that this can be.
    np.testing.assert_allclose(network.weights, vector, atol=2.2 * rates.sum())
    assert np.mean(np.abs(network.weights - vector) > 1e-4 * (1 + np.abs(vector))) < 0.02
    assert network.taken == len(rates)


def test_three_epochs_agree_with_torch():
    """Autograd, clip_grad_norm_ and AdamW, step for step."""
    widths, rows, batch = (30, 64, 32, 5), 600, 64
    features, labels, taught, _weights, _ = lesson(rows, widths)
    network = untrained(widths, seed=3)
    module = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5))
    nn.utils.vector_to_parameters(torch.from_numpy(network.weights.copy()), module.parameters())
    groups = [
        {"params": [one for one in module.parameters() if one.ndim > 1], "weight_decay": KNOBS["weight_decay"]},
        {"params": [one for one in module.parameters() if one.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups)
    rates = rates_of(rows, batch)
    guidance = soft_targets(taught, [np.full(rows, 0.5, np.float32)], method="kd", temperature=TEMPERATURE)
    for epoch in range(3):
        order, losses = np.random.default_rng(epoch).permutation(rows), []
        found = train_epoch(network, features, labels, guidance, order, rates, batch=batch, **KNOBS)
        for step, rate in enumerate(rates):
            chosen = order[step * batch : (step + 1) * batch]
            answers = module(torch.from_numpy(features[chosen]))
            loss = 0.6 * functional.cross_entropy(answers, torch.from_numpy(labels[chosen]), label_smoothing=0.1)
            loss = loss + 0.5 * soft_kl(answers, torch.from_numpy(taught[0][chosen]), TEMPERATURE)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = float(rate)
            optimizer.step()
            losses.append(loss.item())
        np.testing.assert_allclose(found.losses, losses, rtol=1e-4)
    wanted = nn.utils.parameters_to_vector(module.parameters()).detach().numpy()

    np.testing.assert_allclose(network.weights, wanted, rtol=1e-4, atol=1e-4)


def test_the_gradient_is_the_loss_s_slope():
    """Adam's first moment after one step is a tenth of it; each parameter's slope by central differences."""
    widths, rows = (3, 9, 4), 20
    features, labels, taught, weights, order = lesson(rows, widths)
    network, guidance = untrained(widths, seed=0), guidance_of(taught, weights)
    before = network.weights.copy()
    train_epoch(network, features, labels, guidance, order, np.ones(1, np.float32), batch=rows)

    def loss(vector):
        answers = naive.perceptron_inputs(vector, widths, features)[-1]
        options = {"method": "kd", "temperature": TEMPERATURE, "ce_weight": 1.0, "label_smoothing": 0.0}
        return naive.loss_rows(answers, labels, taught, weights, **options)[0].mean()

    steps = 1e-6 * np.eye(len(before))
    slopes = [(loss(before + step) - loss(before - step)) / 2e-6 for step in steps]

    np.testing.assert_allclose(10 * network.first, slopes, rtol=1e-3, atol=1e-5)


@given(st.lists(st.integers(1, 70), min_size=2, max_size=5), st.integers(1, 140))
@settings(max_examples=30, deadline=None)
def test_answers_equal_the_slow_twin_s(widths, rows):
    """Few rows go another way than many."""
    network, features = untrained(widths, seed=0), lesson(rows, widths)[0]

    np.testing.assert_allclose(
        logits(network.weights, network.widths, features),
        naive.perceptron_inputs(network.weights, widths, features)[-1],
        rtol=1e-4,
        atol=1e-5,
    )


def test_an_epoch_leaves_the_same_bytes_beside_others_and_alone():
    """On one thread or two, twice, and with other students beside."""
    start = [untrained((6, width, 3), seed=width) for width in (5, 20, 33)]
    networks = [copy.deepcopy(start) for _ in range(3)]
    for threads, group in zip((1, 2, 2), networks, strict=True):
        side_by_side([lambda one=one: train(one) for one in group], threads)
    first, *others = [[one.weights.tobytes() + one.second.tobytes() for one in group] for group in networks]

    assert others == [first, first]
    assert first[0] != start[0].weights.tobytes() + start[0].second.tobytes()


def test_jobs_answer_in_their_order():
    """Whichever is done first."""
    assert side_by_side([lambda n=n: n for n in range(5)], 2) == list(range(5))


def test_two_epochs_in_one_run_and_from_a_kept_state_are_the_same():
    """All that evolves is in the fields."""
    whole, parts = untrained((6, 12, 3), seed=0), untrained((6, 12, 3), seed=0)
    train(whole, epochs=2)
    train(parts, epochs=1)
    kept = Perceptron(
        widths=parts.widths, weights=parts.weights, first=parts.first, second=parts.second, taken=parts.taken
    )
    train(kept, epochs=1)

    np.testing.assert_array_equal(kept.weights, whole.weights)


def test_an_epoch_s_first_loss_is_that_of_the_loss_alone():
    """One step over all rows: both see the same logits."""
    network, (features, labels, taught, weights, order) = untrained((4, 8, 3), seed=0), lesson(40, (4, 8, 3))
    guidance = guidance_of(taught, weights)
    wanted = loss_gradient(logits(network.weights, network.widths, features), labels, guidance, ce_weight=0.5)[0]
    found = train_epoch(network, features, labels, guidance, order, np.zeros(1, np.float32), batch=99, ce_weight=0.5)

    np.testing.assert_allclose(found.mean, wanted, rtol=1e-5)


def test_blocks_are_split_as_torch_splits():
    """The temperature's schedule reads them."""
    loss = train(untrained((4, 3), seed=0), rows=130, batch=10, epochs=1)
    wanted = [float(part.mean()) for part in torch.tensor_split(torch.from_numpy(loss.on_labels), 8)]

    np.testing.assert_allclose(loss.blocks(8), wanted)
    assert len(loss.blocks(99)) == 13


def test_features_that_are_not_numbers_show_in_the_loss():
    """ReLU and clipping let NaN pass, so that a failed training is seen."""
    network, (features, labels, _, _, order) = untrained((4, 8, 3), seed=0), lesson(16, (4, 8, 3))
    features[5, 2] = np.nan

    assert np.isnan(train_epoch(network, features, labels, None, order, np.ones(1, np.float32), batch=16).mean)


def test_a_student_learns_what_can_be_learned():
    """Whether a point is in a circle: no line tells, and 16 hidden units do."""
    features = np.random.default_rng(0).standard_normal((2_000, 2), np.float32)
    labels = ((features**2).sum(1) > 1.4).astype(np.int64)
    network = untrained((2, 16, 2), seed=0)
    for epoch in range(30):
        order = np.random.default_rng(epoch).permutation(2_000)
        train_epoch(network, features, labels, None, order, np.full(31, 1e-2, np.float32), batch=64)

    assert (logits(network.weights, network.widths, features).argmax(1) == labels).mean() > 0.97


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((20, 3), np.float32)}, r"features: float32 \(20, 3\) is given; float32 \[any, 4\]"),
        ({"features": np.zeros((4, 20), np.float32).T}, "features are not C-contiguous"),
        ({"order": np.arange(1, 21)}, "an order of 1 … 20"),
        ({"order": np.arange(19)}, r"order: int64 \(19,\) is given; int64 \[20\]"),
        ({"rates": np.zeros(1, np.float32)}, r"rates: float32 \(1,\) is given; float32 \[2\]"),
        ({"batch": 0}, "a batch of 0"),
        ({"labels": np.full(20, 3)}, "labels are classes 3 … 3"),
        ({"guidance": soft_targets([np.zeros((9, 3), np.float32)], [np.ones(9, np.float32)], method="kd")}, "guidance"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    """Compiled loops read past the end instead."""
    features, labels, _, _, order = lesson(20, (4, 3))
    given_ = {"features": features, "labels": labels, "guidance": None, "order": order}
    given_ |= {"rates": np.zeros(2, np.float32), "batch": 10, **change}
    batch = given_.pop("batch")

    with pytest.raises(ValueError, match=message):
        train_epoch(untrained((4, 3), seed=0), *given_.values(), batch=batch)


def test_a_network_of_other_vectors_is_refused():
    """As many weights as the widths ask for, and none that a step could not write."""
    widths = np.array([4, 3])

    with pytest.raises(ValueError, match=r"weights: float32 \(14,\) is given; float32 \[15\] is needed"):
        Perceptron(widths=widths, weights=np.zeros(14, np.float32))
    with pytest.raises(ValueError, match="not contiguous, or read-only"):
        Perceptron(widths=widths, weights=np.zeros(30, np.float32)[::2])
    with pytest.raises(ValueError, match=r"widths are int64 \[4\]; int64, 2 or more"):
        untrained([4], seed=0)
    with pytest.raises(ValueError, match=r"features: float32 \(2, 5\) is given"):
        logits(np.zeros(parameters([4, 3]), np.float32), widths, np.zeros((2, 5), np.float32))
    with pytest.raises(ValueError, match="0 threads"):
        side_by_side([], 0)
