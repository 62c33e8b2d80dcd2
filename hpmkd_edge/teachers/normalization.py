"""How raw pixels become a teacher's floats: what `--normalize` says."""

# Shape suffixes: N = rows, H = height, W = width, C = channels.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadConfiguration

NEEDED: Final = (
    "unit, imagenet, cifar10, none, or MEAN/STD of pixels in 0…1 is needed, for example 0.5/0.5 or "
    "0.485,0.456,0.406/0.229,0.224,0.225"
)
# Mean and standard deviation a channel, of pixels in 0…1.
NAMED: Final = {
    # https://docs.pytorch.org/vision/stable/models.html
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # Computed over the 50,000 training images.
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "unit": ((0.0,), (1.0,)),
    "none": ((0.0,), (1 / 255,)),
}
PHRASES: Final = {"unit": "pixels over 255", "none": "pixels as they are, 0 … 255"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalization:
    """Pixels over 255, less the mean, over the standard deviation.

    Attributes:
        text: as the user wrote it.
        mean, deviation: one number for all channels or one a channel, of pixels in 0…1.
    """

    text: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def phrase(self) -> str:
        """What it does, for reports."""
        return PHRASES.get(self.text, f"pixels over 255, then mean and deviation of {self.text}")

    def apply(self, pixels_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return uint8 pixels as float32 of the same shape, [N, H, W, C]."""
        # In units of pixels, so that each pixel is touched twice and not three times.
        mean = np.asarray(self.mean, np.float32) * np.float32(255)
        factor = np.float32(1) / (np.asarray(self.deviation, np.float32) * np.float32(255))
        normalized: NDArray[np.float32] = (pixels_NHWC.astype(np.float32) - mean) * factor
        return normalized


UNIT: Final = Normalization(text="unit", mean=NAMED["unit"][0], deviation=NAMED["unit"][1])
RAW: Final = Normalization(text="none", mean=NAMED["none"][0], deviation=NAMED["none"][1])


def _numbers(text: str) -> tuple[float, ...] | None:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return None


def parse_normalization(text: str, channels: int) -> Normalization:
    """Read what `--normalize` says for images of *channels* channels.

    Raises:
        BadConfiguration: no such name, not two lists of numbers, another number of channels, a mean
            outside 0…1 or a deviation that is not positive.
    """
    named = NAMED.get(text)
    if named is None:
        halves = [_numbers(half) for half in text.split("/")]
        if len(halves) != 2 or halves[0] is None or halves[1] is None:
            raise BadConfiguration(f"--normalize {text!r} cannot be read; {NEEDED}.")
        named = (halves[0], halves[1])
    mean, deviation = named
    for numbers in named:
        if len(numbers) not in (1, channels):
            raise BadConfiguration(
                f"--normalize {text} holds {len(numbers)} numbers; the images have {channels} channel(s), "
                f"so 1 or {channels} are needed."
            )
    if not all(0 <= number <= 1 for number in mean):
        raise BadConfiguration(f"--normalize {text} has a mean outside 0…1; {NEEDED}.")
    if not all(math.isfinite(number) and number > 0 for number in deviation):
        raise BadConfiguration(f"--normalize {text} has a deviation that is not positive; {NEEDED}.")
    return Normalization(text=text, mean=mean, deviation=deviation)
