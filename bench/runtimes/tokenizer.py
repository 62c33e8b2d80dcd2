"""A tokenizer.json before a model: sentences become ids by the `tokenizers` library, without torch."""

# Shape suffixes: N = rows, T = pieces of the longest row.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.bench.runtimes.runtime import Feeds, Input, check_feeds, check_file
from hpmkd_edge.errors import MeasurementFailed, RuntimeUnavailable
from hpmkd_edge.export.artifact import TOKENIZER_RUNTIME

INPUT: Final = Input(name="text", dtype=np.dtype(np.object_), shape=(None,))
OUTPUT: Final = "ids"
PADDING: Final = 0
# Pieces of the sentence that a text model is timed on where nobody gives one.
PIECES: Final = 32
# A word of more is cut into parts of so many: where nobody writes spaces, a whole sentence is one.
LONGEST_WORD: Final = 8
MOST_REFUSED: Final = 1000  # words that did not fit, after which a sentence stays shorter


@dataclass(frozen=True, slots=True)
class TokenizerSession:
    """A tokenizer that was read; what runs before a model."""

    path: Path
    native: Any
    output: str = OUTPUT

    def run(self, feeds: Feeds) -> NDArray[np.int64]:
        """Return the ids of each sentence, padded at the right with 0 to the longest of the batch: [N, T], T >= 1.

        Sentence by sentence, on one thread: the library's batches take all cores, whatever a run was given.

        Args:
            feeds: `text`, objects [N].

        Raises:
            MeasurementFailed: an element is no text that has UTF-8.
        """
        texts = feeds[INPUT.name]
        try:
            found = [self.native.encode(text).ids for text in texts]
        except (TypeError, ValueError) as error:  # ValueError of a lone surrogate
            raise MeasurementFailed(f"{self.path.name} cannot read a sentence: {error}; text is needed.") from error
        ids_NT = np.full((len(texts), max(map(len, found), default=0) or 1), PADDING, np.int64)
        for row, ids in zip(ids_NT, found, strict=True):
            row[: len(ids)] = ids
        return ids_NT


def feeds_of(texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return sentences as a tokenizer takes them."""
    return {INPUT.name: np.array(texts, np.object_)}


def check(path: Path) -> None:
    """Stop where the library is not here.

    Raises:
        RuntimeUnavailable: so.
    """
    if not find_spec(TOKENIZER_RUNTIME):
        raise RuntimeUnavailable(
            f"{path.name} cannot run here: the tokenizers package is not installed; pip install 'hpmkd-edge[text]', or"
            " on a board pip install tokenizers."
        )


def version() -> str:
    """Return the library's version."""
    import tokenizers

    return str(tokenizers.__version__)


def load(path: Path, feeds: Feeds) -> TokenizerSession:
    """Read the tokenizer.json at *path*; its own truncation stays, its padding is ours.

    Raises:
        RuntimeUnavailable: the library is not here.
        BadConfiguration: there is no such file.
        MeasurementFailed: it is no tokenizer, or *feeds* are not `text`.
    """
    check(path)
    from tokenizers import Tokenizer

    check_file(path)
    try:
        native = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises Exception itself
        raise MeasurementFailed(f"{path.name} is no tokenizer: {error}; a tokenizer.json is needed.") from error
    check_feeds(path, (INPUT,), feeds)
    native.no_padding()
    return TokenizerSession(path, native)


def made_up_text(path: Path, pieces: int = PIECES) -> str:
    """Return a sentence of so many pieces, or of as many as the tokenizer keeps: words of its vocabulary, drawn evenly.

    The same at every call.

    Raises:
        RuntimeUnavailable, BadConfiguration, MeasurementFailed: as `load`.
    """
    native = load(path, feeds_of([])).native
    if native.truncation is not None:
        pieces = min(pieces, native.truncation["max_length"])
    native.no_truncation()
    ids = np.random.default_rng(0).permutation(native.get_vocab_size())
    words = filter(str.isalpha, (native.decode([int(one)]).strip() for one in ids))
    return sentence_of(native, words, pieces)[0]


def sentence_of(native: Any, words: Iterable[str], wanted: int) -> tuple[str, int]:
    """Join *words* to a sentence of so many pieces, or of fewer where they do not suffice; return both.

    The sentence is counted as it stands: behind a space some tokenizers read a word otherwise than alone.

    Args:
        native: a tokenizer that does not truncate.
        words: in the order in which they are taken; one that would be too long is passed over.
        wanted: pieces.
    """
    text, pieces, refused = "", 0, 0
    for part in (part for word in words for part in _parts(native, word)):
        longer = f"{text} {part}" if text else part
        count = len(native.encode(longer).ids)
        if pieces < count <= wanted:
            text, pieces = longer, count
        else:
            refused += 1
        if pieces == wanted or refused == MOST_REFUSED:
            break
    return text, pieces


def _parts(native: Any, word: str) -> list[str]:
    """Cut a long word where its pieces end."""
    ends = [end for _, end in native.encode(word).offsets]
    places = sorted({0, *ends[LONGEST_WORD - 1 :: LONGEST_WORD], len(word)})
    return [word[first:last] for first, last in pairwise(places)]
