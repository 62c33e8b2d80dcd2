"""Two convolutional families of one plan: a stem, three stages, a mean over places, a linear head.

The residual family's blocks are those of He et al. 2016 (arXiv 1512.03385, CIFAR form); the depthwise family's
are inverted residuals, Sandler et al. 2018 (arXiv 1801.04381), which trade arithmetic for memory traffic.
"""

# Shape suffixes: N = rows, C = channels, H = height, W = width, K = classes.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from hpmkd_edge.students.family import Shape, Size, cannot_learn
from hpmkd_edge.students.rungs import build_seeded, sorted_rungs

# No gap above 1.6 times the parameters, but for the first: between 3×1 and 4×1 there is no width.
RESIDUAL_RUNGS: Final = (
    (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (10, 1), (12, 1), (8, 3), (16, 1), (11, 2), (13, 2), (16, 2),
    (16, 3), (24, 2), (24, 3), (28, 3), (32, 3), (40, 3), (48, 3), (56, 3), (64, 3), (64, 4),
)  # fmt: skip
DEPTHWISE_RUNGS: Final = (
    (4, 1), (6, 1), (8, 1), (12, 1), (12, 2), (16, 2), (24, 2), (24, 3), (32, 3), (48, 3), (64, 3), (64, 4), (96, 4),
)  # fmt: skip
EXPANSION: Final = 3
LARGEST_FIRST_MAP: Final = 64  # above this side the stem strides, as ImageNet stems do


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut, projected where the shape changes."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(entering, leaving, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(leaving)
        self.second = nn.Conv2d(leaving, leaving, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(leaving)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or entering != leaving:
            self.shortcut = nn.Sequential(nn.Conv2d(entering, leaving, 1, stride, bias=False), nn.BatchNorm2d(leaving))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        inner = functional.relu(self.first_norm(self.first(x_NCHW)))
        return functional.relu(self.second_norm(self.second(inner)) + self.shortcut(x_NCHW))


class DepthwiseBlock(nn.Module):
    """Expand by 1×1, filter each channel by 3×3, project by 1×1; a shortcut where the shape stays."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        inner = EXPANSION * entering
        self.steps = nn.Sequential(
            nn.Conv2d(entering, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, leaving, 1, bias=False),
            nn.BatchNorm2d(leaving),
        )
        self.keeps_shape = stride == 1 and entering == leaving

    def forward(self, x_NCHW: Tensor) -> Tensor:
        leaving: Tensor = self.steps(x_NCHW)
        return x_NCHW + leaving if self.keeps_shape else leaving


class ThreeStages(nn.Module):
    """Stem, three stages of *depth* blocks at 1, 2 and 4 times *width* channels, mean, linear head."""

    def __init__(self, shape: Shape, width: int, depth: int, block: Callable[[int, int, int], nn.Module]) -> None:
        super().__init__()
        channels, *sides = shape.features
        stride = 1
        while max(sides) / stride > LARGEST_FIRST_MAP:
            stride *= 2
        self.stem = nn.Conv2d(channels, width, max(3, 2 * stride - 1), stride, max(1, stride - 1), bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        entering = width
        for stage in range(3):
            leaving = width * 2**stage
            for place in range(depth):
                blocks.append(block(entering, leaving, 2 if stage and not place else 1))
                entering = leaving
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(entering, shape.classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        maps = self.blocks(functional.relu(self.stem_norm(self.stem(x_NCHW))))
        logits_NK: Tensor = self.head(maps.mean((2, 3)))
        return logits_NK


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """Three stages of one kind of *block*, scaled in width and depth."""

    name: str
    digest: str
    rungs: tuple[tuple[int, int], ...]
    block: Callable[[int, int, int], nn.Module]

    def _make(self, shape: Shape, width: int, depth: int) -> nn.Module:
        if shape.kind != "images":
            raise cannot_learn(self.name, "images", shape)
        return ThreeStages(shape, width, depth, self.block)

    def ladder(self, shape: Shape) -> tuple[Size, ...]:
        """Return the sizes for *shape*, fewest parameters first.

        Raises:
            BadStudent: the task is no images.
        """
        return sorted_rungs(self.name, self.rungs, lambda width, depth: self._make(shape, width, depth))

    def build(self, size: Size, shape: Shape, seed: int) -> nn.Module:
        """Return a module from [N, C, H, W] to logits [N, K].

        Raises:
            BadStudent: the task is no images.
        """
        return build_seeded(lambda: self._make(shape, size.width, size.depth), seed)


RESIDUAL: Final = Convolution(name="residual", digest="residual-1", rungs=RESIDUAL_RUNGS, block=ResidualBlock)
DEPTHWISE: Final = Convolution(name="depthwise", digest="depthwise-1", rungs=DEPTHWISE_RUNGS, block=DepthwiseBlock)
