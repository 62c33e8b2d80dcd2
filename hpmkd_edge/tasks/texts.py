"""A column of sentences: which one is one, how it is read, and what in it is of no use."""

# Shape suffixes: N = rows.

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hpmkd_edge.errors import BadData
from hpmkd_edge.tasks.columns import IDENTIFIER_SHARE, IDENTIFIER_WORDS, ROWS_COUNT, TEXT, decoded
from hpmkd_edge.tasks.task import Texts

if TYPE_CHECKING:
    import pyarrow

# What Arrow's ends of strings can count to, in 32 bits.
MOST_BYTES: Final = 2**31 - 1
# Two words, or five letters of scripts that put no space between words.
_UNSPACED: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
SEVERAL: Final = rf"\S\s+\S|(?:[{_UNSPACED}][^{_UNSPACED}]*){{5}}"


def texts_of(name: str, values_N: pyarrow.ChunkedArray) -> Texts:
    """Return a column of text, or of bytes that are UTF-8, as sentences; a missing one is "".

    Raises:
        BadData: it holds something else, or more than 2.1 GB.
    """
    import pyarrow
    from pyarrow import compute, types

    values_N = decoded(values_N)
    if types.is_null(values_N.type):
        raise BadData(f"column {name!r} has no sentence in any row; sentences are needed.")
    if str(values_N.type) not in TEXT and not _is_bytes(values_N.type):
        raise BadData(f"column {name!r} holds {values_N.type}; text is needed to learn from sentences.")
    # Readers of Parquet take its word that text is UTF-8; a cast of bytes to text looks.
    bytes_N = values_N.cast(pyarrow.large_binary())
    size = compute.sum(compute.binary_length(bytes_N)).as_py() or 0
    if size > MOST_BYTES:
        raise BadData(f"column {name!r} holds {size / 1e9:.1f} GB of text; at most {MOST_BYTES / 1e9:.1f} GB are read.")
    try:
        sentences = bytes_N.cast(pyarrow.string())
    except pyarrow.ArrowInvalid as error:
        row = next(row for row, content in enumerate(bytes_N.to_pylist(), 1) if not _is_utf8(content))
        raise BadData(
            f"row {row} of column {name!r} holds text that is not UTF-8; UTF-8 is needed {ROWS_COUNT}."
        ) from error
    return Texts(sentences=sentences.fill_null("").combine_chunks())


def looks_like_sentences(values_N: pyarrow.ChunkedArray) -> bool:
    """Return whether text differs in most rows, and is of several words in most, or too varied for a category."""
    import pyarrow
    from pyarrow import compute

    values_N, rows = decoded(values_N), len(values_N)
    if str(values_N.type) not in TEXT:
        # In a CSV file, bytes are text that is not UTF-8: to be refused by its row.
        return _is_bytes(values_N.type)
    # Not all functions take string_view.
    words_N = values_N.cast(pyarrow.large_string())
    distinct = compute.count_distinct(words_N).as_py()
    several = compute.sum(compute.match_substring_regex(words_N, SEVERAL)).as_py() or 0
    return distinct > IDENTIFIER_SHARE * rows and (distinct > IDENTIFIER_WORDS or several > rows / 2)


def text_notes(train: Texts, validation: Texts, test: Texts) -> tuple[str, ...]:
    """Return sentences about empty rows, and about rows that training shows beforehand.

    Raises:
        BadData: all training sentences are the same.
    """
    import pyarrow
    from pyarrow import compute

    if compute.all(compute.equal(train.sentences, train.sentences[0])).as_py():
        raise BadData("all training sentences are the same; sentences that differ are needed.")
    lengths = np.concatenate([part.blocks()[0] for part in (train, validation, test)])
    empty = int((lengths == 0).sum())
    notes = [f"{empty:,} of {len(lengths):,} sentences are empty; they are kept."] if empty else []
    held_out = (validation, test)
    # Both at once: the training sentences are hashed for it, in 0.6 s a million.
    is_seen = compute.is_in(pyarrow.concat_arrays([part.sentences for part in held_out]), value_set=train.sentences)
    for name, part, start in zip(("validation", "test"), held_out, (0, len(validation)), strict=True):
        seen = is_seen.slice(start, len(part)).true_count
        if seen:
            notes.append(f"{seen:,} of {len(part):,} {name} sentences are also in the training rows.")
    return tuple(notes)


def _is_bytes(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_utf8(content: bytes | None) -> bool:
    try:
        (content or b"").decode()
    except UnicodeDecodeError:
        return False
    return True
