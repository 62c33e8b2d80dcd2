"""How sentences become the ids that a student reads."""

# Shape suffixes: N = rows, L = most pieces of a row, T = pieces of the longest row of a batch.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpmkd_edge.students.lexicon import Lexicon
from hpmkd_edge.students.vocabulary import check_library, encoded
from hpmkd_edge.tasks.task import Inputs, Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class TextInlet:
    """The ids of a sentence's pieces, padded at the right with 0.

    Attributes:
        length: L; what comes after is not read.
    """

    lexicon: Lexicon
    length: int

    @property
    def scale(self) -> None:
        """None: of texts classes are learned."""

    @property
    def features(self) -> tuple[int, ...]:
        """(L,)."""
        return (self.length,)

    def facts(self) -> dict[str, object]:
        """Describe the preprocessing that the exported file holds, for its metadata."""
        return {
            "input": "ids of tokenizer.json, int64 [N, T], padded at the right with 0",
            "vocabulary": self.lexicon.source,
            "pieces": self.lexicon.pieces,
            "most_pieces_of_a_row": self.length,
            "sha256": self.lexicon.digest,
        }

    def store(self, inputs: Inputs) -> Tensor:
        """Return what training keeps in memory: int16 [N, L], or int32 where there are more ids than that holds."""
        assert isinstance(inputs, Texts)
        check_library()
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.lexicon.tokenizer)
        tokenizer.enable_truncation(self.length)
        tokenizer.enable_padding(pad_id=0, pad_token=tokenizer.id_to_token(0), length=self.length)
        small = self.lexicon.pieces <= np.iinfo(np.int16).max
        ids_NL = np.empty((len(inputs), self.length), np.int16 if small else np.int32)
        row = 0
        for block in encoded(tokenizer, inputs):
            ids_NL[row : row + len(block)] = [one.ids for one in block]
            row += len(block)
        return torch.from_numpy(ids_NL)

    def lengths(self, stored_NL: Tensor) -> Tensor:
        """Return the pieces of each row, up to the last that is none of padding: int64 [N]."""
        places_L = torch.arange(1, stored_NL.shape[1] + 1, dtype=torch.int16, device=stored_NL.device)
        return ((stored_NL != 0) * places_L).amax(1).long()

    def open(self, stored_NL: Tensor) -> Tensor:
        """Return stored rows as features: int64 [N, T], T at least 1."""
        longest = max(1, int(self.lengths(stored_NL).max())) if len(stored_NL) else 1
        return stored_NL[:, :longest].long()
