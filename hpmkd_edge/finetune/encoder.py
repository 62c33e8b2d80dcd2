"""A pretrained encoder as it is found: its tokenizer, its weights, and a head for the classes of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.finetune.request import Pooling
from hpmkd_edge.teachers.digest import digest_of, digest_of_array
from hpmkd_edge.teachers.pooled import PooledClassifier, read_layout
from hpmkd_edge.teachers.transformer_folder import (
    LIBRARIES,
    check_inner,
    check_pieces,
    hush,
    load,
    load_encoder,
    longest_of,
    missing_of,
    read_tokenizer,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

WHAT: Final = "an encoder of text"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoder:
    """An encoder with a head.

    Attributes:
        tokenizer: has a piece that pads.
        model: float32; its configuration names the classes of the task in their order.
        sha256: of the tokenizer and of the weights that were found, not of those that are new.
        longest: most pieces of a row that it takes.
        new: names of the weights that were not found and begin at random, those of the head.
    """

    tokenizer: PreTrainedTokenizerFast
    model: PreTrainedModel | PooledClassifier
    sha256: str
    longest: int
    new: tuple[str, ...]


def check_installed() -> None:
    """Stop where the libraries are missing that read encoders.

    Raises:
        BadConfiguration: they are.
    """
    missing = [library for library in LIBRARIES if find_spec(library) is None]
    if missing:
        raise BadConfiguration(
            f"finetune needs {' and '.join(missing)}, which is not installed; pip install 'hpmkd-edge[text]' brings it."
        )


def open_encoder(folder: Path, name: str, classes: Sequence[str], seed: int, pooling: Pooling = "auto") -> Encoder:
    """Read the encoder in *folder*, and give it a head for *classes* unless it has one of so many.

    Args:
        folder: as `save_pretrained` of transformers or `save` of sentence-transformers writes it.
        name: what the user called it, for errors.
        seed: of new weights; torch's own generator is set to it.
        pooling: see `FineTuning`.

    Raises:
        BadTeacher: it cannot be read, is no encoder of text, or lacks a tokenizer or weights.
    """
    hush()
    tokenizer = read_tokenizer(folder, name, trust=False)
    layout = read_layout(folder)
    by_mean = pooling == "mean" or (pooling == "auto" and layout is not None and layout.pooling == "mean")
    torch.manual_seed(seed)
    model: PreTrainedModel | PooledClassifier
    if by_mean:
        model, new = _open_pooled(folder, name, len(classes), None if layout is None else layout.head)
    else:
        model, new = _open_whole(folder, name, len(classes))
    model.config.id2label = dict(enumerate(classes))
    model.config.label2id = {label: number for number, label in enumerate(classes)}
    model.config.problem_type = "single_label_classification"
    check_pieces(name, tokenizer, model)
    known = [(key, digest_of_array(tensor.numpy())) for key, tensor in model.state_dict().items() if key not in new]
    return Encoder(
        tokenizer=tokenizer,
        model=model,
        sha256=digest_of((tokenizer.backend_tokenizer.to_str(), *(part for pair in known for part in pair))),
        longest=longest_of(tokenizer, model),
        new=new,
    )


def _open_whole(folder: Path, name: str, classes: int) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """Read the encoder with the head that transformers has for it; return it, and the names of new weights."""
    from transformers import AutoModelForSequenceClassification

    # A head for other classes does not fit; check_inner refuses anything else that does not.
    model, found = load(
        AutoModelForSequenceClassification, folder, name, WHAT, num_labels=classes, ignore_mismatched_sizes=True
    )
    new = missing_of(found)
    inner = f"{model.base_model_prefix}."
    check_inner(name, model, [one for one in new if one.startswith(inner) and ".pooler." not in one])
    return model, tuple(new)


def _open_pooled(folder: Path, name: str, classes: int, head: Path | None) -> tuple[PooledClassifier, tuple[str, ...]]:
    """Read the encoder, and give it a head that reads the mean over its pieces: the one in *head* if it fits."""
    encoder = load_encoder(folder, name, WHAT)
    fits = encoder.config.num_labels == classes
    encoder.config.num_labels = classes
    model = PooledClassifier(encoder, classes)
    if head is None or not fits:
        return model, ("classifier.bias", "classifier.weight")
    model.read_head(head, name)
    return model, ()


def chosen_length(asked: int | None, longest: int, needed: int) -> int:
    """Return the most pieces of a row that are read: what is asked for, or *needed* rounded up to eights.

    Raises:
        BadConfiguration: more is asked for than the encoder takes.
    """
    if asked is None:
        return min(-(-needed // 8) * 8, longest)
    if asked > longest:
        raise BadConfiguration(f"--length is {asked}, and the encoder takes {longest} pieces; no more is possible.")
    return asked
