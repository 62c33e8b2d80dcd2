"""Copies of sentences for a teacher to label: sentences of a user's own first, then changed ones; on disk, as Arrow."""

# Shape suffixes: N = rows, U = sentences without labels.

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hpmkd_edge.errors import BadData, BadOutput
from hpmkd_edge.kernels.text_views import Words, add_alike, copy_texts, find_words
from hpmkd_edge.students.alike import Alike
from hpmkd_edge.tasks.task import Texts

if TYPE_CHECKING:
    import pyarrow as pa

ORDER_SEED: Final = 4001  # of the sentences without labels; another than that of any copy


def places_for_unlabeled(copies: int, rows: int) -> int:
    """Return how many sentences of a user's own so many copies of *rows* each have room for: every other one."""
    return (copies + 1) // 2 * rows


def copies_of(
    texts: Texts,
    *,
    count: int,
    seed: int,
    unlabeled: Texts | None,
    folder: Path | None,
    alike: Alike | None = None,
) -> Iterator[Texts]:
    """Yield *count* copies of *texts*, N sentences each; see `kernels.text_views.copy_texts`.

    Where there are *unlabeled* sentences, every other copy, the first among them, is made of these instead: each once,
    in a drawn order, until all are used up. What then is missing of its N are changed sentences.

    Args:
        seed: a copy follows from it, from its own number, from *texts* and from *unlabeled* alone.
        folder: where each copy is written as an Arrow file, which is mapped into memory; None keeps it there.
        alike: words that copies may have in the place of others.

    Raises:
        BadData: a copy is larger than an Arrow array of strings can be.
        BadOutput: *folder* cannot be written.
    """
    import pyarrow

    lengths_N, bytes_B = texts.blocks()
    words, rows, used = find_words(bytes_B, lengths_N), len(texts), 0
    if alike is not None:
        words = _with_alike(words, alike)
    own = Texts.of(()) if unlabeled is None else unlabeled
    order_U = np.random.Generator(np.random.Philox(ORDER_SEED)).permutation(len(own))
    for number in range(count):
        drawn = order_U[used : used + rows] if number % 2 == 0 else order_U[:0]
        used += len(drawn)
        copy = own.take(drawn).sentences
        if len(drawn) < rows:
            try:
                characters, offsets = copy_texts(words, seed=seed + number)
            except OverflowError as error:
                raise BadData(
                    f"the training sentences are too long to be copied: {error} Use --views 1, or shorter ones."
                ) from error
            buffers = [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(characters)]
            changed = pyarrow.Array.from_buffers(pyarrow.string(), rows, buffers)
            copy = pyarrow.concat_arrays([copy, changed[len(drawn) :]]) if len(drawn) else changed
        yield Texts(sentences=copy if folder is None else _on_disk(copy, folder / f"copy-{number + 1}.arrow"))


def _with_alike(words: Words, alike: Alike) -> Words:
    """Look each word up in *alike*, as it is spelled and in small letters."""
    import pyarrow
    from pyarrow import compute

    # Words and what lies between them are the items of an array whose offsets are starts and ends in turn.
    ends = np.stack([words.starts, words.ends], axis=1).reshape(-1)
    buffers = [None, pyarrow.py_buffer(ends), pyarrow.py_buffer(words.content)]
    items = pyarrow.Array.from_buffers(pyarrow.large_string(), max(0, len(ends) - 1), buffers)
    spelled_W = items.take(pyarrow.array(np.arange(0, len(items), 2)))
    known = pyarrow.array(alike.words, pyarrow.large_string())
    found_W = compute.index_in(spelled_W, value_set=known)
    found_W = compute.coalesce(found_W, compute.index_in(compute.utf8_lower(spelled_W), value_set=known), -1)
    names = Texts.of(alike.others)
    lengths_C, bytes_B = names.blocks()
    return add_alike(
        words,
        kinds_W=found_W.to_numpy(zero_copy_only=False).astype(np.int32),
        nearest_AL=alike.nearest.astype(np.int64),
        bytes_B=bytes_B,
        lengths_C=lengths_C,
    )


def _on_disk(sentences: pa.StringArray, path: Path) -> pa.StringArray:
    """Write *sentences* to *path*, whole or not at all, and return them as they lie there."""
    import pyarrow

    beside = path.with_suffix(".new")
    table = pyarrow.record_batch([sentences], names=["text"])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pyarrow.OSFile(str(beside), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
            writer.write_batch(table)
        beside.replace(path)
    except OSError as error:
        raise BadOutput(f"{path} cannot be written: {error.strerror or error}.") from error
    return pyarrow.ipc.open_file(pyarrow.memory_map(str(path))).get_batch(0).column(0)
