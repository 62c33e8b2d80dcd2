"""The pieces that a text student reads: its tokenizer, and what a larger model knows of each piece."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.students.alike import Alike, alike_words
from hpmkd_edge.students.origin import Origin, read_embeddings, read_origin
from hpmkd_edge.students.vocabulary import (
    FEWEST_PIECES,
    KINDS,
    MOST_PIECES,
    PADDING,
    Kind,
    count_pieces,
    pruned,
    read_tokenizer,
    trained,
)
from hpmkd_edge.tasks.task import Texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHORTEST_CUT: Final = 8
LONGEST_CUT: Final = 128
SHARE_WHOLE: Final = 0.999  # of the rows are read to their end
STEP: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lexicon:
    """A tokenizer, and where its pieces come from.

    Two of one digest are equal.

    Attributes:
        tokenizer: the text of a tokenizer.json, which `tokenizers` reads. Padding is on, with id 0, to the longest of a
            batch; truncation is on.
        pieces: how many ids there are, padding among them.
        source: one phrase for the report: where the vocabulary comes from.
        origin: what students begin from, or None for random weights.
        alike: words that copies of the texts may have in the place of others; None where no encoder tells. It changes
            what students learn from and not what they read, so the digest is without it.
        digest: sha256 over the tokenizer and the origin, hex.
    """

    tokenizer: str
    pieces: int
    source: str
    origin: Origin | None
    digest: str
    alike: Alike | None = None

    @property
    def cut(self) -> int:
        """The pieces after which the tokenizer cuts a row."""
        return int(json.loads(self.tokenizer)["truncation"]["max_length"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lexicon) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def lexicon_of(
    texts: Texts,
    *,
    tokenizer: str | None = None,
    pieces: int | None = None,
    folder: Path | None = None,
    also: Texts | None = None,
    layers: bool = True,
    like: Path | None = None,
) -> Lexicon:
    """Make the lexicon of students of *texts*, the training rows.

    The tokenizer cuts rows where 99.9 % of these have ended, and of *also*, at 8 … 128 pieces.

    Args:
        tokenizer: "wordpiece" or "bytes" to train one, or a tokenizer.json or its folder; None for that of *folder*,
            or without one for "wordpiece".
        pieces: the most ids of the vocabulary; 8,000 by default. Those that occur once are left out in any case.
        folder: of a Hugging Face encoder, which students begin from.
        also: the validation rows: a set may train on phrases and be asked about whole sentences.
        layers: whether students take the layers of the encoder too, and not its embeddings alone.
        like: of a Hugging Face encoder that tells which words are alike.

    Raises:
        BadConfiguration: there is no such tokenizer, or too few pieces are asked for.
        BadStudent: the encoder cannot be read, or is not of its tokenizer.
    """
    most = MOST_PIECES if pieces is None else pieces
    if most < FEWEST_PIECES:
        raise BadConfiguration(
            f"a vocabulary of {most} pieces is asked for; at least {FEWEST_PIECES} are needed, so that any word can be"
            " spelled."
        )
    alike = None if like is None else _alike(like, texts)
    asked = tokenizer or ("wordpiece" if folder is None else str(folder))
    if asked in KINDS:
        own = trained(cast(Kind, asked), texts, most)
        source = f"{own.get_vocab_size():,} {asked} pieces trained on the texts"
    else:
        whole = read_tokenizer(Path(asked))
        own = pruned(whole, texts, most, alike)
        source = (
            f"{own.get_vocab_size():,} of the {whole.get_vocab_size():,} pieces of {Path(asked).resolve().name}, those"
            f" that {'the texts use' if alike is None else 'the texts and their copies use'}"
        )
    origin = None if folder is None else read_origin(folder, read_tokenizer(folder), own, layers=layers)
    if folder is not None and origin is None:
        source += f"; {folder.resolve().name} has no embeddings of pieces to begin from"
    own.enable_truncation(max(_cut(own, part) for part in (texts, also) if part is not None))
    own.enable_padding(pad_id=0, pad_token=own.id_to_token(0) or PADDING)
    text = own.to_str()
    return Lexicon(
        tokenizer=text,
        pieces=own.get_vocab_size(),
        source=source,
        origin=origin,
        digest=_digest(text, origin),
        alike=alike,
    )


def _alike(folder: Path, texts: Texts) -> Alike | None:
    whole, embeddings_VD = read_tokenizer(folder), read_embeddings(folder)
    return None if embeddings_VD is None else alike_words(embeddings_VD, whole, count_pieces(whole, texts)[0])


def _cut(own: Tokenizer, texts: Texts) -> int:
    """Return the pieces after which a row is cut, a multiple of 8."""
    _, lengths_N = count_pieces(own, texts)
    most = float(np.quantile(lengths_N, SHARE_WHOLE, method="inverted_cdf"))
    return int(min(max(SHORTEST_CUT, -(-most // STEP) * STEP), LONGEST_CUT))


def _digest(tokenizer: str, origin: Origin | None) -> str:
    digest = hashlib.sha256(tokenizer.encode())
    if origin is not None:
        digest.update(f"{origin.name} {origin.heads}".encode())
        for name, value in (("vectors", origin.vectors), *sorted(origin.weights.items())):
            digest.update(f"{name} {value.shape}".encode() + value.tobytes())
    return digest.hexdigest()
