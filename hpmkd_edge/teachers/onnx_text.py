"""How sentences reach an ONNX file: as strings, or as ids of the tokenizer beside it."""

# Shape suffixes: N = rows, T = pieces of the longest row of a batch.

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.tasks.task import Inputs, Texts
from hpmkd_edge.teachers.answers import first_line
from hpmkd_edge.teachers.pieces import MOST_PIECES, UNBOUNDED, Pieces, padding_of

INTEGERS: Final[dict[str, np.dtype[Any]]] = {
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int64)": np.dtype(np.int64),
}
IDS: Final = ("input_ids", "ids")
MASK: Final = "attention_mask"
TYPES: Final = "token_type_ids"
# RoBERTa and its kin count positions from the one after the id that pads.
BEHIND_PADDING: Final = frozenset(
    (
        *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "xmod", "data2vec-text"),
        *("ibert", "longformer", "mpnet", "luke", "markuplm", "esm"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StringFeed:
    """Feeds sentences to the one input of a session.

    Attributes:
        name: of the input.
        rank: 1 for [N], 2 for [N, 1].
    """

    name: str
    rank: int

    def __call__(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """Return *inputs* as the session takes them."""
        assert isinstance(inputs, Texts)
        (strings_N,) = inputs.feeds().values()
        return {self.name: strings_N.reshape((-1, 1)[: self.rank])}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdsFeed:
    """Feeds ids of pieces to a session, with a mask and types where it takes them.

    Attributes:
        dtypes: of each input of the session, by name.
    """

    pieces: Pieces
    dtypes: dict[str, np.dtype[Any]]

    def __call__(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """Return *inputs* as the session takes them, padded to the longest."""
        assert isinstance(inputs, Texts)
        return self.of_ids(self.pieces.ids(inputs.strings()))

    def of_ids(self, ids_NT: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return padded ids as the session takes them."""
        arrays = {MASK: ids_NT != self.pieces.padding, TYPES: np.zeros_like(ids_NT)}
        return {name: arrays.get(name, ids_NT).astype(dtype) for name, dtype in self.dtypes.items()}


def text_feed(path: Path, inputs: Sequence[Any]) -> tuple[StringFeed | IdsFeed, str]:
    """Return what makes the inputs of a session over *path* from sentences, and a phrase about it.

    Args:
        path: the file; a tokenizer.json lies beside it unless it takes strings.
        inputs: that the session declares.

    Raises:
        BadTeacher: other inputs, or no tokenizer.
    """
    name, first = path.name, inputs[0]
    if len(inputs) == 1 and first.type == "tensor(string)" and len(first.shape) in (1, 2):
        return StringFeed(name=first.name, rank=len(first.shape)), "sentences as strings"
    named = sum(entry.name in IDS for entry in inputs) == 1 or len(inputs) == 1
    strange = [
        entry.name
        for entry in inputs
        if entry.type not in INTEGERS
        or len(entry.shape) != 2
        or not (entry.name in (*IDS, MASK, TYPES) or len(inputs) == 1)
    ]
    if strange or not named:
        shown = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs)
        raise BadTeacher(
            f"{name} takes {shown}; one input of strings, or whole numbers [rows, pieces] named input_ids with an"
            " attention_mask and token_type_ids if it needs them, are needed for text."
        )
    fixed = next((entry for entry in inputs if any(isinstance(axis, int) and axis > 0 for axis in entry.shape)), None)
    if fixed is not None:
        raise BadTeacher(f"{name} takes {fixed.name} of shape {fixed.shape}; free axes of rows and pieces are needed.")
    pieces, most = _pieces_beside(path)
    dtypes = {entry.name: INTEGERS[entry.type] for entry in inputs}
    return IdsFeed(pieces=pieces, dtypes=dtypes), f"the tokenizer beside it, {most} pieces at most"


def _pieces_beside(path: Path) -> tuple[Pieces, int]:
    """Return the tokenizer beside *path*, and the most pieces that it, or the model's configuration, allows."""
    try:
        from tokenizers import Tokenizer
    except ImportError as fault:
        raise BadTeacher(
            f"{path.name} needs tokenizers, which is not installed; pip install 'hpmkd-edge[text]' brings it."
        ) from fault
    file = path.parent / "tokenizer.json"
    if not file.is_file():
        raise BadTeacher(f"{path.name} takes ids of pieces, and no tokenizer.json lies beside it; one is needed.")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as fault:  # tokenizers raises Exception itself
        raise BadTeacher(f"{file} cannot be read as a tokenizer: {first_line(fault)}; one is needed.") from fault
    padding = padding_of(tokenizer)
    if padding is None:
        raise BadTeacher(
            f"{file} names no piece that pads; its section `padding`, or a piece [PAD] or <pad>, is needed."
        )
    bounds = (
        UNBOUNDED if tokenizer.truncation is None else tokenizer.truncation["max_length"],
        settings_beside(path, "tokenizer_config.json").get("model_max_length", UNBOUNDED),
        _positions(settings_beside(path, "config.json")),
    )
    least = int(min(bounds))
    most = least if least < UNBOUNDED else MOST_PIECES
    tokenizer.enable_truncation(most)
    tokenizer.no_padding()
    return Pieces(tokenizer=tokenizer, padding=padding), most


def _positions(config: dict[str, Any]) -> int:
    """Return the most pieces that the positions of a model hold, as its *config* tells."""
    count = config.get("max_position_embeddings")
    if count is None or config.get("model_type") not in BEHIND_PADDING:
        return UNBOUNDED if count is None else int(count)
    padding = config.get("pad_token_id")
    return int(count) - (1 if padding is None else int(padding)) - 1


def labels_beside(path: Path) -> tuple[str, ...] | None:
    """Return what the config.json beside *path* calls the outputs, in their order; None where it says nothing.

    Raises:
        BadTeacher: the file cannot be read.
    """
    named = settings_beside(path, "config.json").get("id2label")
    return None if not named else tuple(str(named[place]) for place in sorted(named, key=int))


def settings_beside(path: Path, name: str) -> dict[str, Any]:
    """Return what the JSON file *name* beside *path* holds; nothing where there is none.

    Raises:
        BadTeacher: it cannot be read.
    """
    file = path.parent / name
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise BadTeacher(f"{file} cannot be read: {first_line(fault)}; JSON is needed.") from fault
    if not isinstance(found, dict):
        raise BadTeacher(f"{file} holds {type(found).__name__}; settings by name are needed.")
    return found
