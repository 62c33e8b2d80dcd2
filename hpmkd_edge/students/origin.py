"""A trained encoder in a Hugging Face folder, as far as students begin from it."""

# Shape suffixes: V = pieces, D = the encoder's dimensions.

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadStudent

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# What encoders and decoders of Hugging Face call the embeddings of their pieces, after a prefix of their own.
EMBEDDINGS: Final = (
    "embeddings.word_embeddings.weight",
    "embeddings.tok_embeddings.weight",
    "embed_tokens.weight",
    "shared.weight",
    "wte.weight",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """A trained encoder that students begin from.

    Attributes:
        name: of its folder, for reports.
        vectors: float32 [V, D], its embedding of each piece of the student's vocabulary, in their order; zeros for
            padding.
        weights: its state dict by the names of `transformers.BertModel`, float32, without the embeddings of its pieces;
            empty where it is no such encoder, or where nobody asked for its layers.
        heads: of its attention; 0 where there are no weights.
    """

    name: str
    vectors: NDArray[np.float32]
    weights: dict[str, NDArray[np.float32]]
    heads: int = 0


HEADS: Final = 12  # of `transformers.BertConfig`, where a folder says nothing


def read_origin(folder: Path, whole: Tokenizer, own: Tokenizer, *, layers: bool) -> Origin | None:
    """Read the encoder of *folder* for the pieces of a student, or return None where it has no table of embeddings.

    A piece that the encoder has too takes its vector; any other the mean over the pieces that the encoder spells it
    with.

    Args:
        whole: the encoder's tokenizer.
        own: the student's.
        layers: whether students take its layers too; they are large, and go to every worker.

    Raises:
        BadStudent: the weights cannot be read, or lack pieces of the encoder's tokenizer.
    """
    state = read_weights(folder)
    table = _table_in(state)
    if table is None:
        return None
    embeddings = state[table].astype(np.float32)
    ids = whole.get_vocab()
    if max(ids.values()) >= len(embeddings):
        raise BadStudent(
            f"the tokenizer of {folder} has ids up to {max(ids.values())}, but its model embeds {len(embeddings)}; the"
            " two must belong together."
        )
    prefix = table.removesuffix(EMBEDDINGS[0])
    config = _read_config(folder)
    taken = layers and (config.get("model_type"), config.get("hidden_act", "gelu")) == ("bert", "gelu")
    weights = {
        name.removeprefix(prefix): np.ascontiguousarray(value, np.float32)
        for name, value in state.items()
        if taken and name.startswith((f"{prefix}embeddings.", f"{prefix}encoder.")) and value.dtype.kind == "f"
        if name != table
    }
    return Origin(
        name=folder.resolve().name,
        vectors=_vectors(embeddings, whole, own),
        weights=weights,
        heads=int(config.get("num_attention_heads", HEADS)) if weights else 0,
    )


def read_embeddings(folder: Path) -> NDArray[np.float32] | None:
    """Read the embeddings of pieces of the encoder in *folder*: [W, D], or None where it has none.

    Raises:
        BadStudent: the weights cannot be read.
    """
    state = read_weights(folder)
    table = _table_in(state)
    return None if table is None else state[table].astype(np.float32)


def _table_in(state: Mapping[str, NDArray[Any]]) -> str | None:
    return next((name for ending in EMBEDDINGS for name in state if _ends(name, ending)), None)


def _ends(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")


def _vectors(embeddings_WD: NDArray[np.float32], whole: Tokenizer, own: Tokenizer) -> NDArray[np.float32]:
    """Return the student's pieces as the encoder sees them: [V, D]; W are the encoder's own pieces."""
    ids = whole.get_vocab()
    vectors_VD = np.zeros((own.get_vocab_size(), embeddings_WD.shape[1]), np.float32)
    for piece, number in own.get_vocab().items():
        if number == 0:
            continue
        # "##ing" and a piece of bytes are no words: what they stand for is.
        spelled = [ids[piece]] if piece in ids else whole.encode(_surface(own, number), add_special_tokens=False).ids
        if spelled:
            vectors_VD[number] = embeddings_WD[spelled].mean(0)
    return vectors_VD


def _surface(own: Tokenizer, number: int) -> str:
    return own.decode([number], skip_special_tokens=False).removeprefix("##").strip()


def read_weights(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the weights of a Hugging Face *folder* by their names: model.safetensors, or pytorch_model.bin.

    bfloat16 becomes float32, since numpy has none.

    Raises:
        BadStudent: neither file is there, or it cannot be read.
    """
    import torch

    safe, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    try:
        if safe.is_file():
            state = _load_safe(safe)
        elif pickled.is_file():
            state = torch.load(pickled, map_location="cpu", weights_only=True)
        else:
            raise BadStudent(f"{folder} has neither model.safetensors nor pytorch_model.bin; one is needed.")
    except BadStudent:
        raise
    except Exception as error:  # a damaged file raises whatever its reader comes upon
        raise BadStudent(f"the weights in {folder} cannot be read: {type(error).__name__}: {error}.") from error
    return {name: (value.float() if value.is_floating_point() else value).numpy() for name, value in state.items()}


def _load_safe(path: Path) -> dict[str, Any]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise BadStudent(
            f"{path} needs the safetensors package, which is not installed; pip install 'hpmkd-edge[text]'."
        ) from error
    return load_file(path)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadStudent(f"{folder / 'config.json'} cannot be read: {error}; the encoder's own is needed.") from error
    if not isinstance(config, dict):
        raise BadStudent(f"{folder / 'config.json'} holds no settings; the encoder's own are needed.")
    return config
