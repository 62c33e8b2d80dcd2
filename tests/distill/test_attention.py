"""Attention over teachers: it finds who is right where, never from a row's own label, and repeats by its seed."""

import numpy as np
import pytest
import torch

from hpmkd_edge.distill.attention import compact, cross_fit
from hpmkd_edge.distill.ensemble import mixture_logits, worth_of
from hpmkd_edge.errors import BadData, TrainingFailed

ROWS, CLASSES = 800, 4
GENERATOR = np.random.default_rng(0)
FEATURES = torch.from_numpy(GENERATOR.normal(size=(ROWS, 3)).astype(np.float32))
LABELS = GENERATOR.integers(CLASSES, size=ROWS)
LEFT = FEATURES[:, 0].numpy() < 0


def noise(seed):
    return np.random.default_rng(seed).normal(size=(ROWS, CLASSES)).astype(np.float32)


def teacher_of(known, seed):
    """Return a teacher that tells the label of the *known* rows, and is as sure of a random class elsewhere."""
    told = np.where(known, LABELS, np.random.default_rng(seed).integers(CLASSES, size=ROWS))
    return 4 * np.eye(CLASSES, dtype=np.float32)[told] + noise(seed)


ALL = np.ones(ROWS, bool)
EXPERTS = np.stack([teacher_of(LEFT, 1), teacher_of(~LEFT, 2)])
WITH_RANDOM = np.stack([teacher_of(ALL, 1), teacher_of(ALL, 2), teacher_of(~ALL, 3)])


@pytest.fixture(scope="module")
def attention():
    return cross_fit(FEATURES, EXPERTS, LABELS, seed=0)


def test_weights_follow_the_region_that_a_teacher_knows(attention):
    """Each of two experts gets most of the weight on its side, so the weights differ between rows."""
    weights = attention.weights(FEATURES, EXPERTS)

    assert weights[LEFT, 0].mean() > 0.8
    assert weights[~LEFT, 1].mean() > 0.8
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert weights.min() >= 0


def test_attention_beats_equal_weights_and_each_expert_alone(attention):
    """Out of fold, by more than its noise."""
    worth = worth_of(attention.weights(FEATURES, EXPERTS), EXPERTS, LABELS)

    assert worth.weighted < min(worth.uniform, *worth.singles)
    assert worth.pays
    assert worth.spread > 0.2


def test_rows_that_no_net_has_seen_are_weighed_alike(attention):
    """The mean of both nets knows the regions too, and is a share."""
    weights = attention.weights_of_new(FEATURES[:50], EXPERTS[:, :50])

    assert ((weights[:, 0] > 0.5) == LEFT[:50]).mean() > 0.9
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)


def test_one_teacher_has_weight_one_of_attention():
    """To the bit, for known and new rows."""
    alone = cross_fit(FEATURES, EXPERTS[:1], LABELS, seed=0)

    np.testing.assert_array_equal(alone.weights(FEATURES, EXPERTS[:1]), np.ones((ROWS, 1)))
    np.testing.assert_array_equal(alone.weights_of_new(FEATURES, EXPERTS[:1]), np.ones((ROWS, 1)))


def test_attention_takes_nearly_all_weight_from_a_random_teacher():
    """It is right by chance, which no other row can tell."""
    weights = cross_fit(FEATURES, WITH_RANDOM, LABELS, seed=0).weights(FEATURES, WITH_RANDOM)

    assert weights.mean(0)[2] < 0.1


def test_weights_of_a_row_do_not_depend_on_its_label(attention):
    """With other labels on all rows of one half, its rows keep their weights to the bit; the other half's change."""
    half = attention.judge == 0
    flipped = np.where(half, (LABELS + 1) % CLASSES, LABELS)
    before = attention.weights(FEATURES, EXPERTS)
    after = cross_fit(FEATURES, EXPERTS, flipped, seed=0).weights(FEATURES, EXPERTS)

    np.testing.assert_array_equal(after[half], before[half])
    assert (after[~half] != before[~half]).any()


def test_a_row_of_a_view_is_judged_by_the_same_net(attention):
    """Rows that the view leaves as they are keep their weights."""
    view = FEATURES.clone()
    view[::2] += 0.1

    np.testing.assert_allclose(
        attention.weights(view, EXPERTS)[1::2], attention.weights(FEATURES, EXPERTS)[1::2], atol=1e-6
    )


def test_there_is_nothing_to_gain_where_all_teachers_are_the_same():
    """The mixture is that teacher, whatever the weights."""
    same = np.stack([teacher_of(LEFT, 1)] * 3)
    weights = cross_fit(FEATURES, same, LABELS, seed=0).weights(FEATURES, same)

    np.testing.assert_allclose(
        mixture_logits(same, weights), mixture_logits(same[:1], np.ones((ROWS, 1), np.float32)), atol=1e-5
    )
    assert not worth_of(weights, same, LABELS).pays


def test_teachers_right_on_rows_at_random_teach_equal_weights_at_best():
    """What a net could only learn from the rows' own labels, it does not learn across the halves."""
    chance = np.random.default_rng(8).random(ROWS) < 0.5
    # Equally sure where right and where wrong, and right where nothing that the net sees can tell.
    lucky = np.stack([teacher_of(chance, 1), teacher_of(~chance, 2)])
    worth = worth_of(cross_fit(FEATURES, lucky, LABELS, seed=0).weights(FEATURES, lucky), lucky, LABELS)

    assert not worth.pays
    assert worth.mean_weights[0] == pytest.approx(0.5, abs=0.1)


def test_the_seed_decides_and_torch_keeps_its_state(attention):
    """The same seed gives the same bits, another seed others; threads and the global generator stay as they were."""
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    weights = attention.weights(FEATURES, EXPERTS)
    again = cross_fit(FEATURES, EXPERTS, LABELS, seed=0).weights(FEATURES, EXPERTS)
    other = cross_fit(FEATURES, EXPERTS, LABELS, seed=1).weights(FEATURES, EXPERTS)

    np.testing.assert_array_equal(again, weights)
    assert (other != weights).any()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_units_of_features_and_logit_offsets_do_not_matter(attention):
    """Features are standardized and logits row-centered: up to rounding, the weights are the same."""
    scaled = cross_fit(FEATURES * 64, EXPERTS + np.float32(8), LABELS, seed=0)

    np.testing.assert_allclose(
        scaled.weights(FEATURES * 64, EXPERTS + np.float32(8)), attention.weights(FEATURES, EXPERTS), atol=1e-2
    )


def test_a_constant_feature_is_ignored():
    """Its deviation is zero, and the weights stay finite where a new row has another value."""
    features = torch.cat([FEATURES, torch.full((ROWS, 1), 0.1)], 1)
    attention = cross_fit(features, EXPERTS, LABELS, seed=0)
    features[:, 3] = 0.2

    assert np.isfinite(attention.weights_of_new(features, EXPERTS)).all()


@pytest.mark.parametrize(
    ("shape", "width"), [((5, 3, 32, 32), 192), ((5, 1, 28, 30), 64), ((5, 1, 6, 12), 48), ((5, 7), 7)]
)
def test_compact_rows_are_at_most_8_by_8_a_channel(shape, width):
    """Pooling keeps the mean of an image whose sides 8 divides; small images and tables are as they were."""
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    rows = compact(features)

    assert rows.shape == (5, width)
    if shape != (5, 1, 28, 30) and shape != (5, 1, 6, 12):
        torch.testing.assert_close(rows.mean(1), features.flatten(1).mean(1), rtol=0, atol=1e-5)


def test_other_rows_are_refused_where_the_training_rows_are_needed(attention):
    """A part of the rows cannot be matched with the nets."""
    with pytest.raises(ValueError, match=r"10 rows are not the 800 .* weights_of_new"):
        attention.weights(FEATURES[:10], EXPERTS[:, :10])


def test_too_few_rows_and_numbers_that_are_not_finite_are_sentences():
    """What was found, then what is needed."""
    with pytest.raises(BadData, match="3 rows to learn from; 4 are needed"):
        cross_fit(FEATURES[:3], EXPERTS[:, :3], LABELS[:3], seed=0)
    broken = FEATURES.clone()
    broken[0, 0] = torch.nan

    with pytest.raises(TrainingFailed, match="half 1 of 2: the loss is nan"):
        cross_fit(broken, EXPERTS, LABELS, seed=0)


def test_four_rows_are_enough():
    """One to learn from and one to stop by, in each half."""
    weights = cross_fit(FEATURES[:4], EXPERTS[:, :4], LABELS[:4], seed=0).weights(FEATURES[:4], EXPERTS[:, :4])

    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)


def test_a_feature_far_out_weighs_no_more_than_one_at_five_deviations(attention):
    """A rare piece of a text is hundreds of them from its mean where it occurs."""
    far, at_five = FEATURES.clone(), FEATURES.clone()
    far[:, 0], at_five[:, 0] = 1e4, attention.scales.mean[0] + 5.01 * attention.scales.deviation[0]

    np.testing.assert_array_equal(attention.weights(far, EXPERTS), attention.weights(at_five, EXPERTS))
