"""How raw rows become a student's features: fitted on training rows, later part of the exported file."""

# Shape suffixes: N = rows, H = height, W = width, C = channels, F = features.

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from hpmkd_edge.students.family import Shape
from hpmkd_edge.students.lexicon import Lexicon, lexicon_of
from hpmkd_edge.students.text_inlet import TextInlet
from hpmkd_edge.tasks.encoding import Encoding, encode, fit_encoding
from hpmkd_edge.tasks.task import MISSING_NUMBER, Images, Inputs, Table, Task, Texts
from hpmkd_edge.tasks.values import Scale, scale_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInlet:
    """Pixels over 255, less the mean, over the standard deviation of each channel.

    Attributes:
        mean, deviation: one number a channel, of pixels in 0 … 1.
        sides: (H, W).
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    sides: tuple[int, int]

    @property
    def scale(self) -> None:
        """None: of images classes are learned."""

    @property
    def features(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return (len(self.mean), *self.sides)

    def facts(self) -> dict[str, object]:
        """Describe the preprocessing that the exported file holds, for its metadata."""
        return {
            "input": "uint8 [N, H, W, C]",
            "formula": "(x / 255 - mean) / deviation",
            "mean": self.mean,
            "deviation": self.deviation,
        }

    def store(self, inputs: Inputs) -> Tensor:
        """Return what training keeps in memory: uint8 [N, C, H, W], a quarter of the floats."""
        assert isinstance(inputs, Images)
        # A copy: for one channel a transposed view counts as contiguous and keeps strides that convolutions take for
        # channels_last, which another process does not get to see.
        return torch.from_numpy(inputs.pixels.transpose(0, 3, 1, 2).copy(order="C"))

    def lengths(self, stored: Tensor) -> None:
        """None: all rows are alike."""

    def open(self, stored_NCHW: Tensor) -> Tensor:
        """Return stored rows as features: float32 [N, C, H, W]."""
        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.mean, device=stored_NCHW.device).view(shape)
        deviation = torch.tensor(self.deviation, device=stored_NCHW.device).view(shape)
        return (stored_NCHW.float() / 255 - mean) / deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class TableInlet:
    """The encoding of a table's columns.

    Attributes:
        scale: what makes values of a student's answers, or None where these are logits of classes.
    """

    encoding: Encoding
    scale: Scale | None = None

    @property
    def features(self) -> tuple[int, ...]:
        """(F,)."""
        return (self.encoding.width,)

    def facts(self) -> dict[str, object]:
        """Describe the preprocessing that the exported file holds, for its metadata."""
        return {
            "input": "one array [N, 1] a column: float32 (NaN is missing), string ('' is missing) or int64"
            f" ({MISSING_NUMBER} is missing)",
            "columns": [asdict(column) for column in self.encoding.columns],
            "edges": self.encoding.edges,
            **({} if self.scale is None else {"value": "answer * deviation + mean", **asdict(self.scale)}),
        }

    def store(self, inputs: Inputs) -> Tensor:
        """Return what training keeps in memory: float32 [N, F]."""
        assert isinstance(inputs, Table)
        return torch.from_numpy(encode(self.encoding, inputs))

    def lengths(self, stored: Tensor) -> None:
        """None: all rows are alike."""

    def open(self, stored_NF: Tensor) -> Tensor:
        """Return stored rows as features: the same."""
        return stored_NF


Inlet = ImageInlet | TableInlet | TextInlet


def fit_inlet(task: Task, lexicon: Lexicon | None = None) -> Inlet:
    """Fit the inlet of *task* on its training rows.

    Args:
        lexicon: of texts; None trains a WordPiece on them.

    Raises:
        BadConfiguration: what texts need is not installed.
    """
    inputs = task.train.inputs
    if isinstance(inputs, Table):
        return TableInlet(encoding=fit_encoding(inputs), scale=scale_of(task))
    if isinstance(inputs, Texts):
        known = lexicon_of(inputs) if lexicon is None else lexicon
        return TextInlet(lexicon=known, length=known.cut)
    return _fit_images(inputs)


def _fit_images(inputs: Images) -> ImageInlet:
    pixels = inputs.pixels
    # Means over bytes by histogram: no float copy of the whole set.
    means, deviations = [], []
    levels = np.arange(256) / 255
    for channel in range(pixels.shape[-1]):
        share = np.bincount(pixels[..., channel].reshape(-1), minlength=256) / pixels[..., channel].size
        mean = float(share @ levels)
        means.append(mean)
        deviations.append(max(float(share @ (levels - mean) ** 2) ** 0.5, 1 / 255))
    return ImageInlet(mean=tuple(means), deviation=tuple(deviations), sides=pixels.shape[1:3])


def shape_of(inlet: Inlet, task: Task) -> Shape:
    """Return what a student of *task* takes and gives."""
    lexicon = inlet.lexicon if isinstance(inlet, TextInlet) else None
    return Shape(features=inlet.features, classes=task.outputs, lexicon=lexicon)
