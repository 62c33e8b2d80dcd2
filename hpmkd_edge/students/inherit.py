"""Start a student from the weights of a larger model of its family, cut to size."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Weights to begin from, and the name of the model that they were cut from."""

    source: str
    weights: dict[str, Tensor]


def digest_of_weights(weights: Mapping[str, Tensor]) -> str:
    """Return the sha256 of the names and values of weights and buffers, as a state dict has them, in hex."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def inherited(student: nn.Module, larger: nn.Module, source: str) -> Start | None:
    """Cut *larger*'s weights to the shapes of *student*, or return None where too little of it has a counterpart.

    A tensor of the same name is cut to its leading channels, the same ones in every layer, so that what one layer
    gives the next one still expects. A sum over fewer inputs is smaller, so weights that mix inputs grow by the ratio's
    root, as their initial variance would have. An embedding is looked up, not summed, and stays as it is.
    """
    own, other = student.state_dict(), larger.state_dict()
    looked_up = {f"{name}.weight" for name, part in student.named_modules() if isinstance(part, nn.Embedding)}
    weights: dict[str, Tensor] = {}
    for name, value in own.items():
        source_value = other.get(name)
        if source_value is None or source_value.ndim != value.ndim:
            continue
        if any(least > most for least, most in zip(value.shape, source_value.shape, strict=True)):
            continue
        cut = source_value[tuple(slice(0, side) for side in value.shape)].clone()
        if value.ndim > 1 and name not in looked_up:
            entering = source_value[0].numel() / max(value[0].numel(), 1)
            cut *= entering**0.5
        weights[name] = cut.to(value.dtype)
    # The embedding of rows and the head alone would be a start in name only.
    covered = sum(weights[name].numel() for name in weights)
    if 2 * covered < sum(value.numel() for value in own.values()):
        return None
    return Start(source=source, weights=weights)


def begin(student: nn.Module, start: Start | None) -> nn.Module:
    """Load the weights of *start* into *student*; what it lacks keeps its random values."""
    if start is not None:
        with torch.no_grad():
            student.load_state_dict(start.weights, strict=False)
    return student
