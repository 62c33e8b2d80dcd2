"""Classifiers that read the mean over a sentence's pieces, in folders as sentence-transformers lays them out."""

# Shape suffixes: N = rows, T = pieces, D = the encoder's dimensions, K = classes.

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.json_file import parse
from hpmkd_edge.teachers.answers import first_line
from hpmkd_edge.text_file import write_text

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

MODULES: Final = "modules.json"
WEIGHTS: Final = "model.safetensors"
POOLING: Final = "1_Pooling"
HEAD: Final = "2_Dense"
ENCODER, MEAN, DENSE = "Transformer", "mean", "Dense"
LINEAR: Final = "torch.nn.modules.linear.Identity"  # what a Dense applies where it is a head for classes
DROPOUT: Final = 0.1  # where a configuration says nothing, as BERT's
SPREAD: Final = 0.02  # of new weights, as BERT's


class Answer(NamedTuple):
    """What a classifier of transformers gives, as far as we read it."""

    logits: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a folder of sentence-transformers does with an encoder's vectors.

    Attributes:
        pooling: how the pieces' vectors become one of the sentence, as "mean"; "" where it is no one way.
        head: the folder of a linear layer that reads the mean and nothing else; None where there is none.
    """

    pooling: str
    head: Path | None


def read_layout(folder: Path) -> Layout | None:
    """Read how sentence-transformers would go on from the encoder in *folder*; None where it has nothing to do with it.

    Raises:
        BadTeacher: a file of the layout is missing or damaged.
    """
    path = folder / MODULES
    if not path.is_file():
        return None
    try:
        modules = [(str(one["type"]).rpartition(".")[2], folder / one["path"]) for one in _parsed(path)]
        kinds = [kind for kind, _ in modules]
        if kinds[:2] != [ENCODER, "Pooling"] or modules[0][1] != folder:
            return Layout(pooling="", head=None)
        pooling = _mode(_parsed(modules[1][1] / "config.json"))
        whole = pooling == MEAN and kinds == [ENCODER, "Pooling", DENSE] and _is_linear(modules[2][1])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise BadTeacher(
            f"{path} and the files that it names cannot be read: {first_line(fault)}; all that sentence-transformers"
            " wrote is needed."
        ) from fault
    return Layout(pooling=pooling, head=modules[2][1] if whole else None)


def _parsed(path: Path) -> Any:
    return parse(path.read_text(encoding="utf-8"))


def _mode(config: dict[str, Any]) -> str:
    """Return the way that a pooling works: of its newer form with a name, or its older one with switches."""
    named = config.get("pooling_mode")
    if named is not None:
        return named if isinstance(named, str) else ""
    ways = [name for name, on in config.items() if name.startswith("pooling_mode_") and on is True]
    return MEAN if ways == ["pooling_mode_mean_tokens"] else ""


def _is_linear(folder: Path) -> bool:
    config = _parsed(folder / "config.json")
    return config["activation_function"] == LINEAR and not config.get("use_residual")


class PooledClassifier(nn.Module):
    """An encoder, the mean over the pieces of a row, dropout, and a linear head.

    Encoders that were trained to embed sentences were trained through that mean (Reimers and Gurevych 2019, section
    3), and not through the vector of a first piece, which the classifiers of transformers read.

    Args:
        encoder: gives a vector for each piece; a pooler of its own is dropped.
        classes: how many.
    """

    def __init__(self, encoder: PreTrainedModel, classes: int) -> None:
        super().__init__()
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # type: ignore[assignment]  # as encoders do that were made without
        config = encoder.config
        own = getattr(config, "classifier_dropout", None)
        self.encoder = encoder
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", DROPOUT) if own is None else own)
        self.classifier = nn.Linear(config.hidden_size, classes)
        nn.init.normal_(self.classifier.weight, std=getattr(config, "initializer_range", SPREAD))
        nn.init.zeros_(self.classifier.bias)

    @property
    def config(self) -> PreTrainedConfig:
        """The encoder's, which names the classes too."""
        return self.encoder.config

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.classifier.weight.device

    def get_input_embeddings(self) -> nn.Module:
        """Return the table of its pieces."""
        found: nn.Module = self.encoder.get_input_embeddings()
        return found

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Answer:
        """Return logits [N, K] of ids [N, T] and what of them is no padding [N, T]; a row of nothing has the bias."""
        states_NTD = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        real_NT1 = attention_mask.unsqueeze(-1).to(states_NTD.dtype)
        mean_ND = (states_NTD * real_NT1).sum(1) / real_NT1.sum(1).clamp(min=1)
        return Answer(logits=self.classifier(self.dropout(mean_ND)))

    def save_pretrained(self, folder: Path, *, max_shard_size: str, longest: int) -> None:
        """Write the layout of sentence-transformers into *folder*; its `encode` then gives the logits.

        Args:
            longest: most pieces of a row.
        """
        from safetensors.torch import save_file

        self.encoder.save_pretrained(folder, max_shard_size=max_shard_size)
        width, classes = self.classifier.in_features, self.classifier.out_features
        kinds = ((ENCODER, ""), ("Pooling", POOLING), (DENSE, HEAD))
        modules = [
            {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for place, (kind, path) in enumerate(kinds)
        ]
        head = {"in_features": width, "out_features": classes, "bias": True, "activation_function": LINEAR}
        for path, value in (
            (MODULES, modules),
            ("sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False}),
            (f"{POOLING}/config.json", {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}),
            (f"{HEAD}/config.json", head),
        ):
            (folder / path).parent.mkdir(exist_ok=True)
            write_text(json.dumps(value, indent=2) + "\n", folder / path)
        layer = {f"linear.{name}": tensor.contiguous() for name, tensor in self.classifier.state_dict().items()}
        save_file(layer, folder / HEAD / WEIGHTS)

    def read_head(self, folder: Path, name: str) -> None:
        """Take the head's weights from its *folder*.

        Raises:
            BadTeacher: they are missing, damaged, or of another shape.
        """
        from safetensors.torch import load_file

        try:
            layer = load_file(folder / WEIGHTS)
            self.classifier.load_state_dict({key.removeprefix("linear."): tensor for key, tensor in layer.items()})
        except Exception as fault:  # of safetensors, which has a class of its own, and of torch
            raise BadTeacher(
                f"{name} has a head that cannot be read from {folder / WEIGHTS}: {first_line(fault)}; a linear layer"
                f" from {self.classifier.in_features} to {self.classifier.out_features} is needed."
            ) from fault
