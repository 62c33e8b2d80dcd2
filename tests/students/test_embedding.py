"""Embeddings that begin as the leading directions of a larger model's."""

import numpy as np
import torch
from sample_lexicons import lexicon

from hpmkd_edge.students.embedding import SCALE, directions, embed, start_embedding


def test_directions_are_a_rotation_of_the_vectors():
    """Scores along orthonormal axes, and the mean, are the vectors again; padding has none."""
    known = lexicon(dimensions=12)
    found = directions(known)

    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(12), atol=1e-6)
    np.testing.assert_allclose((found.scores @ found.axes + found.mean)[1:], known.origin.vectors[1:], atol=1e-5)
    np.testing.assert_array_equal(found.scores[0], 0)


def test_leading_directions_are_the_best_of_their_rank():
    """What they miss is the rest of the singular values (Eckart and Young 1936)."""
    known = lexicon(dimensions=12)
    found = directions(known)
    centered = known.origin.vectors[1:] - found.mean
    singular = np.linalg.svd(centered, compute_uv=False)
    for rank in (1, 4, 11):
        missed = centered - found.scores[1:, :rank] @ found.axes[:rank]

        np.testing.assert_allclose(np.linalg.norm(missed), np.linalg.norm(singular[rank:]), rtol=1e-4)


def test_signs_do_not_depend_on_the_solver():
    """The largest part of each axis is positive."""
    axes = directions(lexicon(dimensions=12)).axes

    assert (np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1) > 0).all()


def test_a_started_embedding_has_the_size_of_a_random_one():
    """Root mean square; smaller widths are its leading columns but for their factor."""
    known = lexicon(dimensions=12)
    wide, narrow = embed(300, 8), embed(300, 3)
    start_embedding(wide, known)
    factor = start_embedding(narrow, known)

    for one in (wide, narrow, embed(300, 8)):
        assert abs(float(one.weight[1:].detach().square().mean().sqrt()) / SCALE - 1) < 0.1
        assert not one.weight[0].any()
    torch.testing.assert_close(
        narrow.weight.detach(), torch.from_numpy(directions(known).scores[:, :3] * np.float32(factor))
    )
    ratios = narrow.weight[1:] / wide.weight[1:, :3]
    torch.testing.assert_close(ratios, ratios[:1, :1].expand_as(ratios), rtol=1e-4, atol=0)


def test_columns_beyond_the_origin_stay_random():
    """It has no more directions to give."""
    embedding = embed(300, 8)
    before = embedding.weight.detach().clone()
    start_embedding(embedding, lexicon(dimensions=5))

    assert torch.equal(embedding.weight[:, 5:], before[:, 5:])
    assert not torch.equal(embedding.weight[:, :5], before[:, :5])


def test_without_an_origin_nothing_changes():
    """Neither the values nor their scale."""
    embedding = embed(300, 8)
    before = embedding.weight.detach().clone()

    assert start_embedding(embedding, lexicon()) == 1.0
    assert torch.equal(embedding.weight, before)


def test_directions_do_not_depend_on_the_number_of_threads():
    """To the bit, at the width of a small encoder."""
    known, threads = lexicon(pieces=2000, dimensions=384), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            directions.cache_clear()
            one = directions(known)
            found.append((one.scores.tobytes(), one.axes.tobytes(), one.mean.tobytes()))
    finally:
        torch.set_num_threads(threads)

    assert found[0] == found[1]
