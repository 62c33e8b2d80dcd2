"""A pretrained encoder as it is found: its tokenizer, its weights, and a head for the classes of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hpmkd_edge.errors import BadConfiguration, BadTeacher
from hpmkd_edge.teachers.answers import first_line
from hpmkd_edge.teachers.digest import digest_of, digest_of_array
from hpmkd_edge.teachers.transformer_folder import LIBRARIES, check_pieces, longest_of, read_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


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
    model: PreTrainedModel
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


def open_encoder(folder: Path, name: str, classes: Sequence[str], seed: int) -> Encoder:
    """Read the encoder in *folder*, and give it a head for *classes* unless it has one of so many.

    Args:
        folder: as `save_pretrained` writes it.
        name: what the user called it, for errors.
        seed: of new weights; torch's own generator is set to it.

    Raises:
        BadTeacher: it cannot be read, is no encoder of text, or lacks a tokenizer or weights.
    """
    from transformers import AutoModelForSequenceClassification

    # It prints a table of the weights that it found and did not find; what of it matters is said below.
    prints: Any = import_module("transformers.utils.logging")
    prints.set_verbosity_error()
    prints.disable_progress_bar()
    tokenizer = read_tokenizer(folder, name, trust=False)
    torch.manual_seed(seed)
    try:
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=len(classes),
            id2label=dict(enumerate(classes)),
            label2id={label: number for number, label in enumerate(classes)},
            problem_type="single_label_classification",
            ignore_mismatched_sizes=True,  # of a head for other classes; _new_weights refuses any other
            local_files_only=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except Exception as fault:  # of json, of safetensors, of the model's own checks: they share no class
        raise BadTeacher(
            f"{name} cannot be read as an encoder of text: {first_line(fault)}; a folder of transformers is needed."
        ) from fault
    new = _new_weights(name, model, found)
    check_pieces(name, tokenizer, model)
    known = [(key, digest_of_array(tensor.numpy())) for key, tensor in model.state_dict().items() if key not in new]
    return Encoder(
        tokenizer=tokenizer,
        model=model,
        sha256=digest_of((tokenizer.backend_tokenizer.to_str(), *(part for pair in known for part in pair))),
        longest=longest_of(tokenizer, model),
        new=new,
    )


def _new_weights(name: str, model: PreTrainedModel, found: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of weights that were not in the files, in order; only a head and a pooler may be new."""
    new = {*found["missing_keys"], *(one if isinstance(one, str) else one[0] for one in found["mismatched_keys"])}
    inner = sorted(one for one in new if one.startswith(f"{model.base_model_prefix}.") and ".pooler." not in one)
    if inner:
        raise BadTeacher(
            f"{name} lacks weights of its {model.config.model_type}, or has them in another shape: {inner[0]}"
            f"{f' and {len(inner) - 1} more' if len(inner) > 1 else ''}; a whole encoder is needed."
        )
    return tuple(sorted(new))


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
