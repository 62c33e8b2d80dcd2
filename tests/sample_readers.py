"""A text student for tests of its files: small, untrained, of the sample sentences."""

import torch
from sample_texts import text_task
from torch import nn

from hpmkd_edge.students.inlet import fit_inlet
from hpmkd_edge.students.lexicon import lexicon_of


class Reader(nn.Module):
    """Embeddings, one gated convolution, mean and largest value over the pieces, a linear head."""

    def __init__(self, pieces, classes=2, width=8):
        super().__init__()
        self.embedding = nn.Embedding(pieces, width)
        self.convolution = nn.Conv1d(width, 2 * width, 3, padding=1)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, ids):
        real = (ids != 0).unsqueeze(1)
        found = nn.functional.glu(self.convolution(self.embedding(ids).transpose(1, 2) * real), 1)
        mean = (found * real).sum(2) / real.sum(2).clamp(min=1)
        most = found.masked_fill(~real, -1e4).amax(2) * real.any(2)
        return self.head(torch.cat([mean, most], 1))


def reader(tokenizer="wordpiece", pieces=400):
    """Return a task of sentences, its inlet and a student."""
    task = text_task()
    inlet = fit_inlet(task, lexicon_of(task.train.inputs, tokenizer=tokenizer, pieces=pieces))
    torch.manual_seed(0)
    return task, inlet, Reader(inlet.lexicon.pieces).eval()
