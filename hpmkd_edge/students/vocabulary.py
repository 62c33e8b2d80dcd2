"""Tokenizers of few pieces: trained on the texts, or pruned to what the texts use."""

# Shape suffixes: N = rows, V = pieces.

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.students.alike import Alike
from hpmkd_edge.tasks.task import Texts

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Kind = Literal["wordpiece", "bytes"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
# With spaces in it, which tokenizers split at or replace before they look a piece up: no sentence has it.
PADDING: Final = "[ PAD ]"
UNKNOWN: Final = "[UNK]"
MASK: Final = "[MASK]"
MOST_PIECES: Final = 8000  # where nothing else is asked for
FEWEST_PIECES: Final = 300  # all bytes, or the letters and signs of a language, and the special pieces
LEAST_COUNT: Final = 2  # a piece that occurs once tells nothing of other rows
SIGNS: Final = string.ascii_lowercase + string.digits + string.punctuation
AT_ONCE: Final = 4096  # sentences that are Python strings at a time


def read_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json, or that of a folder; truncation and padding are taken off.

    Raises:
        BadConfiguration: it is not there or no tokenizer, or the library is not installed.
    """
    check_library()
    from tokenizers import Tokenizer

    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise BadConfiguration(
            f"there is no tokenizer {file}; wordpiece, bytes, a tokenizer.json or its folder is needed."
        )
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises Exception itself
        raise BadConfiguration(f"{file} is no tokenizer: {error}; a tokenizer.json is needed.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def check_library() -> None:
    """Stop where `tokenizers` is not here.

    Raises:
        BadConfiguration: so.
    """
    if find_spec("tokenizers") is None:
        raise BadConfiguration(
            "text needs the tokenizers package, which is not installed; pip install 'hpmkd-edge[text]'."
        )


def encoded(tokenizer: Tokenizer, texts: Texts) -> Iterator[list[Encoding]]:
    """Yield the pieces of *texts*, a block of rows at a time, without those that a model would have around them."""
    for block in _blocks(texts):
        yield tokenizer.encode_batch_fast(block, add_special_tokens=False)


def count_pieces(tokenizer: Tokenizer, texts: Texts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count how often each id occurs in *texts*, [V], and how many pieces each row has, [N]."""
    counts_V = np.zeros(1 + max(tokenizer.get_vocab().values()), np.int64)
    lengths: list[int] = []
    for block in encoded(tokenizer, texts):
        ids = [row.ids for row in block]
        lengths += map(len, ids)
        counts_V += np.bincount(np.fromiter((one for row in ids for one in row), np.int64), minlength=len(counts_V))
    return counts_V, np.array(lengths, np.int64)


def trained(kind: Kind, texts: Texts, most: int) -> Tokenizer:
    """Train a tokenizer of at most *most* pieces: padding is 0, an unknown piece 1, a masked one 2.

    "wordpiece" is lower-cased and split as BERT's; "bytes" is byte-level BPE, to which nothing is unknown. The same
    texts give the same tokenizer.
    """
    check_library()
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    special = [PADDING, UNKNOWN, MASK]
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        letters = _letters(tokenizer, texts, most // 4)
        # The trainer would number the letters within words as they come from a table in random order, and break ties
        # between merges by these numbers. What it is given as special it takes in this order.
        given = [*special, *letters, *(f"##{letter}" for letter in letters)]
        trainer: Any = trainers.WordPieceTrainer(
            vocab_size=most, min_frequency=LEAST_COUNT, special_tokens=given, limit_alphabet=0, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=most,
            min_frequency=LEAST_COUNT,
            special_tokens=special,
            initial_alphabet=alphabet,
            show_progress=False,
        )
    tokenizer.train_from_iterator(_blocks(texts), trainer)
    return _with_added(tokenizer, {UNKNOWN, MASK})


def _letters(tokenizer: Tokenizer, texts: Texts, most: int) -> list[str]:
    """Return common signs, and then the characters of *texts* that occur most."""
    counts: Counter[str] = Counter()
    for block in _blocks(texts):
        counts.update(tokenizer.normalizer.normalize_str(" ".join(block)))
    found = sorted((sign for sign in counts if not sign.isspace()), key=lambda sign: (-counts[sign], sign))
    return list(dict.fromkeys([*SIGNS, *found]))[:most]


def _blocks(texts: Texts) -> Iterator[list[str]]:
    """Yield the sentences as Python strings, not all at once: of a million these would take gigabytes."""
    for first in range(0, len(texts), AT_ONCE):
        yield Texts(sentences=texts.sentences.slice(first, AT_ONCE)).strings()


def pruned(tokenizer: Tokenizer, texts: Texts, most: int, alike: Alike | None = None) -> Tokenizer:
    """Keep the pieces of *tokenizer* that *texts* use most, *most* of them; padding becomes 0, an unknown piece 1.

    Those of words that copies have in the place of others, *alike*, count as often as a copy has them.

    Single characters of the texts come first, so that what is dropped can still be spelled. A WordPiece finds the
    longest piece that there is, so any subset of a vocabulary is one. A BPE builds a piece by merges, so those that it
    is built of are kept with it. Pieces of a Unigram keep their scores.
    """
    spec = json.loads(tokenizer.to_str())
    ids, model = tokenizer.get_vocab(), spec["model"]
    special = [one["content"] for one in sorted(spec["added_tokens"], key=lambda one: one["id"]) if one["special"]]
    padding, unknown = _padding_of(spec, special), _unknown_of(model) or _first(special, ("<unk>",), UNKNOWN)
    others = [name for name in special if name != padding]
    counts_V, _ = count_pieces(tokenizer, texts)
    times_V = counts_V.astype(np.float64)
    if alike is not None:
        for row, often in zip(
            tokenizer.encode_batch(alike.others, add_special_tokens=False), alike.spread(), strict=True
        ):
            times_V[row.ids] += often
    times = {piece: float(times_V[number]) for piece, number in ids.items() if times_V[number]}
    used = sorted(times, key=lambda piece: (-times[piece], ids[piece]))
    # The letters of rare words too, and a language's common signs: other texts will have them.
    letters = set(SIGNS + string.ascii_uppercase).union(*used)
    merges: list[tuple[str, str]] = [(left, right) for left, right in model.get("merges", ())]
    made = _parts(merges, model.get("continuing_subword_prefix") or "")
    singles = [piece for piece in sorted(ids, key=ids.__getitem__) if _is_single(piece, letters)]
    kept = dict.fromkeys([PADDING, unknown, *others, *singles][:most])
    for piece in used:
        if times[piece] >= LEAST_COUNT and piece not in kept:
            closed = _closure(piece, made, kept)
            if len(kept) + len(closed) <= most:
                kept.update(dict.fromkeys(closed))
    return _rebuilt(spec, tuple(kept))


def _padding_of(spec: dict[str, Any], special: Sequence[str]) -> str | None:
    """Return the piece that *spec* pads with; students have one of their own."""
    if spec["padding"] is not None:
        return str(spec["padding"]["pad_token"])
    return next((name for name in ("[PAD]", "<pad>") if name in special), None)


def _first(special: Sequence[str], known: Sequence[str], otherwise: str) -> str:
    return next((name for name in known if name in special), otherwise)


def _unknown_of(model: dict[str, Any]) -> str | None:
    """Return the piece that stands for what cannot be spelled; bytes spell everything."""
    if model["type"] == "Unigram":
        return None if model["unk_id"] is None else str(model["vocab"][model["unk_id"]][0])
    return model.get("unk_token")


def _is_single(piece: str, letters: set[str]) -> bool:
    """Tell whether *piece* is one character of the texts, at the beginning of a word or within, or one byte."""
    bare = piece.removeprefix("##").removeprefix("▁") or piece
    return (len(bare) == 1 and bare in letters) or (len(piece) == 6 and piece.startswith("<0x"))


def _parts(merges: Iterable[tuple[str, str]], prefix: str) -> dict[str, tuple[str, str]]:
    """Return what each piece of a BPE is first merged from."""
    found: dict[str, tuple[str, str]] = {}
    for left, right in merges:
        found.setdefault(left + right.removeprefix(prefix), (left, right))
    return found


def _closure(piece: str, made: dict[str, tuple[str, str]], kept: dict[str, None]) -> list[str]:
    """Return *piece* after all that it is built of, without what is *kept* already."""
    found: dict[str, None] = {}
    waiting = [piece]
    while waiting:
        one = waiting.pop()
        if one not in kept:
            found[one] = None
            waiting += made.get(one, ())
    return list(found)[::-1]


def _rebuilt(spec: dict[str, Any], kept: Sequence[str]) -> Tokenizer:
    from tokenizers import Tokenizer

    model, numbers = spec["model"], {piece: number for number, piece in enumerate(kept)}
    if model["type"] == "Unigram":
        scores = dict(model["vocab"])
        least = min(scores.values())
        model["vocab"] = [[piece, scores.get(piece, least)] for piece in kept]
        model["unk_id"] = None if model["unk_id"] is None else 1
    else:
        model["vocab"] = numbers
    if model["type"] == "BPE":
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [
            (left, right)
            for left, right in model["merges"]
            if {left, right, left + right.removeprefix(prefix)} <= numbers.keys()
        ]
    spec["post_processor"] = spec["truncation"] = spec["padding"] = None
    added = [{**one, "id": numbers[one["content"]]} for one in spec["added_tokens"] if one["content"] in numbers]
    spec["added_tokens"] = sorted(added, key=lambda one: int(one["id"]))
    return _with_added(Tokenizer.from_str(json.dumps(spec)), set(kept[1:]))


def _with_added(tokenizer: Tokenizer, names: set[str]) -> Tokenizer:
    """Find only the added pieces of these *names* in a sentence as they are written.

    Never padding, which no sentence has.
    """
    from tokenizers import Tokenizer

    spec = json.loads(tokenizer.to_str())
    spec["added_tokens"] = [one for one in spec["added_tokens"] if one["content"] in names]
    return Tokenizer.from_str(json.dumps(spec))
