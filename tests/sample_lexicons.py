"""A lexicon without a tokenizer, for what reads ids alone."""

import numpy as np

from hpmkd_edge.students.lexicon import Lexicon
from hpmkd_edge.students.origin import Origin


def lexicon(pieces=300, dimensions=None, seed=0, weights=None, heads=0):
    """Return a lexicon of so many *pieces*, with an origin of random vectors if it has *dimensions*."""
    origin = None
    if dimensions:
        # Uneven directions, and a mean, as embeddings have.
        vectors = np.random.default_rng(seed).standard_normal((pieces, dimensions)) / np.arange(1, dimensions + 1)
        vectors = (vectors + 0.5).astype(np.float32)
        vectors[0] = 0
        origin = Origin(name="origin", vectors=vectors, weights=weights or {}, heads=heads)
    return Lexicon(
        tokenizer='{"truncation":{"max_length":16}}',
        pieces=pieces,
        source="a test",
        origin=origin,
        digest=f"{pieces} {dimensions} {seed} {heads}",
    )
