"""Augmentation follows from its seed alone."""

import naive_kernels as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpmkd_edge.kernels.augment import mix_images, shift_images


def pixels(rows=5, height=6, width=7, channels=2):
    return np.random.default_rng(0).integers(0, 256, (rows, height, width, channels), dtype=np.uint8)


@given(st.integers(0, 2**40), st.integers(0, 9), st.booleans(), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_the_kernel_equals_its_slow_twin(seed, reach, flip, height, width):
    """Byte for byte, also where the reach is larger than the image."""
    images = pixels(height=height, width=width)

    np.testing.assert_array_equal(
        shift_images(images, seed=seed, reach=reach, flip=flip),
        naive.shift_images(images, seed=seed, reach=reach, flip=flip),
    )


def test_no_reach_and_no_flip_is_the_identity():
    """A view of shift zero is the rows themselves."""
    np.testing.assert_array_equal(shift_images(pixels(), seed=3, reach=0), pixels())


def test_a_row_s_draw_does_not_depend_on_the_other_rows():
    """So a teacher can be asked about any part of a view."""
    images = pixels(rows=9)

    np.testing.assert_array_equal(shift_images(images, seed=1, reach=2)[:4], shift_images(images[:4], seed=1, reach=2))


def test_different_seeds_move_differently():
    """Otherwise eight views would be one."""
    images = pixels(rows=50)

    assert not np.array_equal(shift_images(images, seed=1, reach=2), shift_images(images, seed=2, reach=2))


def test_every_shift_within_reach_is_drawn_about_equally_often():
    """Read back from a ramp image, whose corner pixel tells the shift; chi-square at 8 degrees of freedom."""
    ramp = np.add.outer(np.arange(7) * 10, np.arange(7)).astype(np.uint8)[None, :, :, None]
    corner = shift_images(np.repeat(ramp, 9_000, 0), seed=5, reach=1)[:, 3, 3, 0].astype(int) - 33
    counts = np.array([(corner == down * 10 + right).sum() for down in (-1, 0, 1) for right in (-1, 0, 1)])

    assert counts.sum() == 9_000
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 26.1  # the 99.9 % point


@pytest.mark.parametrize(
    ("images", "reach", "message"),
    [
        (pixels().astype(np.float32), 1, "uint8"),
        (pixels()[0], 1, "uint8"),
        (pixels(), -1, "at least 0"),
    ],
)
def test_what_is_no_image_is_refused(images, reach, message):
    """The kernel under it would read past the array."""
    with pytest.raises(ValueError, match=message):
        shift_images(images, seed=0, reach=reach)


@given(st.integers(0, 2**40), st.floats(0, 1), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_mixing_equals_its_slow_twin(seed, strength, rows):
    """Byte for byte: mixtures, the other rows, and the shares."""
    images = pixels(rows=rows)

    for found, wanted in zip(
        mix_images(images, seed=seed, strength=strength),
        naive.mix_images(images, seed=seed, strength=strength),
        strict=True,
    ):
        np.testing.assert_array_equal(found, wanted)


def test_a_mixture_is_what_its_partner_and_share_say():
    """Within half a level, which is the rounding; and the row itself is never the smaller part, nor the other."""
    images = pixels(rows=40)
    mixed, partner, share = mix_images(images, seed=9)
    parts = share[:, None, None, None].astype(float)

    np.testing.assert_allclose(mixed, parts * images + (1 - parts) * images[partner], rtol=0, atol=0.5 + 1e-6)
    assert (share >= 0.5).all()
    assert (partner != np.arange(40)).all()


def test_no_strength_and_a_single_row_mix_nothing():
    """λ is 1 there, or the other is the row itself."""
    np.testing.assert_array_equal(mix_images(pixels(), seed=3, strength=0)[0], pixels())
    np.testing.assert_array_equal(mix_images(pixels(rows=1), seed=3)[0], pixels(rows=1))


def test_shares_and_partners_are_uniform():
    """Chi-square over tenths of [0.5, 1], and over the nine others of ten rows; the 99.9 % points."""
    one = np.zeros((1, 1, 1, 1), np.uint8)
    share = mix_images(np.repeat(one, 10_000, 0), seed=5)[2]
    tenths = np.histogram(share, 10, (0.5, 1))[0]
    partners = np.concatenate([mix_images(np.repeat(one, 10, 0), seed=seed)[1] for seed in range(900)])
    steps = np.bincount((partners - np.tile(np.arange(10), 900)) % 10, minlength=10)

    assert ((tenths - 1_000) ** 2 / 1_000).sum() < 27.9
    assert steps[0] == 0
    assert ((steps[1:] - 1_000) ** 2 / 1_000).sum() < 26.1


@pytest.mark.parametrize(
    ("images", "strength", "message"), [(pixels()[0], 1, "uint8"), (pixels(), 1.5, "0 … 1"), (pixels(), -0.1, "0 … 1")]
)
def test_what_cannot_be_mixed_is_refused(images, strength, message):
    """As for shifts."""
    with pytest.raises(ValueError, match=message):
        mix_images(images, seed=0, strength=strength)
