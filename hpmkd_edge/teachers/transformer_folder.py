"""A folder of Hugging Face, read by transformers: a classifier of sequences and its tokenizer."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.teachers.answers import first_line
from hpmkd_edge.teachers.pieces import MOST_PIECES, UNBOUNDED

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from hpmkd_edge.teachers.pooled import PooledClassifier

LIBRARIES: Final = ("transformers", "tokenizers", "safetensors")
VOCABULARIES: Final = ("tokenizer.json", "vocab*", "*.model", "*.spm")  # the latter of older folders
HEAD: Final = "ForSequenceClassification"
WHAT: Final = "a classifier of text"
# The plain form of attention, which every exporter can trace; on a CPU the fused one is no faster.
TRACEABLE: Final = {"attn_implementation": "eager"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SequenceClassifier:
    """What a folder holds.

    Attributes:
        model: float32, in eval mode.
        labels: what the model calls its outputs, in their order.
        longest: most pieces of a row that tokenizer and model take.
    """

    model: PreTrainedModel | PooledClassifier
    tokenizer: PreTrainedTokenizerFast
    labels: tuple[str, ...]
    longest: int


def read_classifier(folder: Path, name: str, *, trust: bool) -> SequenceClassifier:
    """Read the classifier of *folder*; nothing is asked of the hub.

    Args:
        folder: with a config.json.
        name: what the user called it, for errors.
        trust: whether code of its own may be run.

    Raises:
        BadTeacher: a library is missing; the folder cannot be read, has no head for classes, no tokenizer, or one of
            another vocabulary.
    """
    missing = [library for library in LIBRARIES if find_spec(library) is None]
    if missing:
        raise BadTeacher(
            f"{name} needs {' and '.join(missing)}, which is not installed; pip install 'hpmkd-edge[text]' brings it."
        )
    from hpmkd_edge.teachers.pooled import read_layout

    hush()
    layout = read_layout(folder)
    head = None if layout is None else layout.head
    if head is None:
        _check_architecture(folder, name)
    tokenizer = read_tokenizer(folder, name, trust=trust)
    model: PreTrainedModel | PooledClassifier = (
        _read_whole(folder, name, trust=trust) if head is None else _read_pooled(folder, name, trust=trust, head=head)
    )
    check_pieces(name, tokenizer, model)
    config: Any = model.config
    return SequenceClassifier(
        model=model.eval(),
        tokenizer=tokenizer,
        labels=tuple(str(config.id2label[place]) for place in range(config.num_labels)),
        longest=longest_of(tokenizer, model),
    )


def hush() -> None:
    """Keep transformers from printing a table of the weights that it found and did not find; we say what matters."""
    prints: Any = import_module("transformers.utils.logging")
    prints.set_verbosity_error()
    prints.disable_progress_bar()


def _read_whole(folder: Path, name: str, *, trust: bool) -> PreTrainedModel:
    """Read encoder and head as transformers has them in one."""
    from transformers import AutoModelForSequenceClassification

    model, found = load(AutoModelForSequenceClassification, folder, name, WHAT, trust=trust, **TRACEABLE)
    lost = missing_of(found)
    check_inner(name, model, [one for one in lost if one.startswith(f"{model.base_model_prefix}.")])
    if lost:
        raise _headless(name)
    return model


def _read_pooled(folder: Path, name: str, *, trust: bool, head: Path) -> PooledClassifier:
    """Read an encoder, and a *head* that reads the mean over its pieces."""
    from hpmkd_edge.teachers.pooled import PooledClassifier

    encoder = load_encoder(folder, name, WHAT, trust=trust, **TRACEABLE)
    config: Any = encoder.config
    model = PooledClassifier(encoder, config.num_labels)
    model.read_head(head, name)
    return model


def load_encoder(folder: Path, name: str, what: str, *, trust: bool = False, **given: Any) -> PreTrainedModel:
    """Read an encoder without a head; see `load`. A pooler that it lacks is random, and for nobody to read.

    Raises:
        BadTeacher: it cannot be read, or lacks weights.
    """
    from transformers import AutoModel

    encoder, found = load(AutoModel, folder, name, what, trust=trust, **given)
    check_inner(name, encoder, [one for one in missing_of(found) if not one.startswith("pooler.")])
    return encoder


def load(
    kind: Any, folder: Path, name: str, what: str, *, trust: bool = False, **given: Any
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Read a model of a *kind* of transformers in float32; nothing is asked of the hub.

    Args:
        kind: one of its Auto classes.
        name: what the user called it, and *what* it should be, for errors.
        given: to `from_pretrained`.

    Returns:
        The model, and what was found of its weights.

    Raises:
        BadTeacher: it cannot be read.
    """
    import torch

    try:
        model, found = kind.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=trust,
            output_loading_info=True,
            dtype=torch.float32,
            **given,
        )
    except Exception as fault:  # of the folder's own code, of json, of safetensors: they share no class
        raise _unreadable(name, what, fault, trust=trust) from fault
    return model, found


def missing_of(found: dict[str, Any]) -> list[str]:
    """Return the names of the weights that files lack or have in another shape, as transformers has *found*, sorted."""
    return sorted(
        {*found["missing_keys"], *(one if isinstance(one, str) else one[0] for one in found["mismatched_keys"])}
    )


def _check_architecture(folder: Path, name: str) -> None:
    """Stop at an encoder that was never given a head for classes, or one for several labels a row."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architectures, problem = config.get("architectures") or (), config.get("problem_type")
    except (OSError, ValueError, AttributeError) as fault:
        raise BadTeacher(f"{folder / 'config.json'} cannot be read: {first_line(fault)}.") from fault
    if not any(HEAD in one for one in architectures):
        raise _headless(name)
    if problem not in (None, "single_label_classification"):
        raise BadTeacher(f"{name} was trained for {problem}; one for single_label_classification is needed.")


def _headless(name: str) -> BadTeacher:
    return BadTeacher(
        f"{name} is an encoder without a head for this task; make a teacher of it with: hpmkd-edge finetune"
        f" {shlex.quote(name)} --data … --output …"
    )


def check_inner(name: str, model: PreTrainedModel, lost: Sequence[str]) -> None:
    """Stop where weights of the encoder are *lost*: they would be random.

    Raises:
        BadTeacher: names the first.
    """
    if lost:
        raise BadTeacher(
            f"{name} lacks weights of its {model.config.model_type}, or has them in another shape: {lost[0]}"
            f"{f' and {len(lost) - 1} more' if len(lost) > 1 else ''}; a whole model is needed."
        )


def read_tokenizer(folder: Path, name: str, *, trust: bool) -> PreTrainedTokenizerFast:
    """Read the tokenizer of *folder*, one that has a form as tokenizer.json and a piece that pads.

    Where it names none that pads, the one that ends a text does.

    Raises:
        BadTeacher: there is no such tokenizer.
    """
    from transformers import AutoTokenizer

    # Without any, transformers makes a tokenizer of the special pieces alone.
    if not any(any(folder.glob(pattern)) for pattern in VOCABULARIES):
        raise BadTeacher(f"{name} has no tokenizer; a tokenizer.json is needed.")
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust)
    except Exception as fault:  # of the folder's own code, of json, of tokenizers, which raises Exception itself
        raise _unreadable(name, "a tokenizer", fault, trust=trust) from fault
    if not tokenizer.is_fast:
        raise BadTeacher(f"the tokenizer of {name} has no form as tokenizer.json, which is needed.")
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        raise BadTeacher(f"the tokenizer of {name} has no piece that pads and none that ends; one is needed.")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    found: PreTrainedTokenizerFast = tokenizer
    return found


def _unreadable(name: str, what: str, fault: Exception, *, trust: bool) -> BadTeacher:
    if "trust_remote_code" in str(fault) and not trust:
        return BadTeacher(f"{name} runs code of its own when it is loaded; --trust is needed.")
    return BadTeacher(f"{name} cannot be read as {what}: {first_line(fault)}; a folder of transformers is needed.")


def check_pieces(name: str, tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel | PooledClassifier) -> None:
    """Make sure that the model knows every id of the tokenizer, and the one that pads.

    Raises:
        BadTeacher: the two have different vocabularies.
    """
    embeddings: Any = model.get_input_embeddings()
    last, known = max(tokenizer.get_vocab().values()), int(embeddings.num_embeddings)
    if last >= known:
        raise BadTeacher(
            f"the tokenizer of {name} has ids up to {last:,}, and its model knows {known:,} pieces; the two must belong"
            " together."
        )
    # A decoder's classifier looks for the last piece that does not pad.
    model.config.pad_token_id = tokenizer.pad_token_id


def longest_of(tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel | PooledClassifier) -> int:
    """Return the most pieces of a row that tokenizer and model take; 512 where neither says."""
    from torch import nn

    bounds = [int(tokenizer.model_max_length)]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # In RoBERTa and its kin the first row counts from the one after the one that pads.
            bounds.append(module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1))
    bounds.append(getattr(model.config, "max_position_embeddings", None) or UNBOUNDED)
    least = min(bounds)
    return least if least < UNBOUNDED else MOST_PIECES
