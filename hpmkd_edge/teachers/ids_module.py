"""A Hugging Face classifier as a module of one tensor, which can be timed and exported."""

# Shape suffixes: N = rows, T = pieces, K = classes.

from __future__ import annotations

from torch import Tensor, nn


class FromIds(nn.Module):
    """A classifier behind its mask: int64 ids [N, T] to logits [N, K].

    Args:
        model: of transformers, one that classifies sequences.
        padding: the id of what is no piece of the row.
    """

    def __init__(self, model: nn.Module, padding: int) -> None:
        super().__init__()
        self.model, self.padding = model, padding

    def forward(self, ids_NT: Tensor) -> Tensor:
        logits_NK: Tensor = self.model(input_ids=ids_NT, attention_mask=(ids_NT != self.padding).long()).logits
        return logits_NK
