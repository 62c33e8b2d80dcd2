"""A student from the user's own Python file: `file.py:function`, called with a width."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from hpmkd_edge.errors import BadStudent
from hpmkd_edge.python_file import PythonFile
from hpmkd_edge.students.family import Shape, Size
from hpmkd_edge.students.rungs import build_seeded, sorted_rungs

if TYPE_CHECKING:
    from torch import nn

WIDTHS: Final = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFamily:
    """The modules that a function of the user returns for a width.

    The function is called as `function(width)`, and with the keywords `features` (the shape of one row's features,
    (C, H, W) or (F,), or of texts (L,), the most pieces of a row), `classes`, and of texts `pieces` (how many ids
    there are) where its signature names them. It returns a module from [N, *features] to logits [N, classes]; of texts
    from ids int64 [N, T], T <= L, padded at the right with 0.
    """

    name: str
    file: PythonFile

    @property
    def digest(self) -> str:
        """The digest of the file and of the helpers beside it; *ladder* has loaded them all."""
        return self.file.digest()

    def _make(self, shape: Shape, width: int) -> nn.Module:
        offered: dict[str, Any] = {"features": shape.features, "classes": shape.classes}
        if shape.lexicon is not None:
            offered["pieces"] = shape.lexicon.pieces
        function = self.file.get(self.file.function)
        named = inspect.signature(function).parameters
        try:
            module = function(width, **{key: value for key, value in offered.items() if key in named})
        except Exception as error:  # the user's code may raise anything
            raise BadStudent(f"{self.name} failed for width {width}: {type(error).__name__}: {error}.") from error
        if not isinstance(module, torch.nn.Module):
            raise BadStudent(f"{self.name} returned {type(module).__name__}; a torch.nn.Module is needed.")
        return module

    def ladder(self, shape: Shape) -> tuple[Size, ...]:
        """Return one size a width, fewest parameters first.

        Raises:
            BadStudent: the function fails, its module does not map features to the classes, also while it is
                trained, or its parameters have no fixed shapes.
        """
        sizes = sorted_rungs(self.name, ((width, 1) for width in WIDTHS), lambda width, _: self._make(shape, width))
        for size in sizes:
            self.build(size, shape, 0)
        return sizes

    def _check_answer(self, module: nn.Module, shape: Shape, *, training: bool) -> None:
        """Stop unless the module answers two rows with one tensor of logits; some answer otherwise in training."""
        mode = "train" if training else "eval"
        try:
            # Dropout draws numbers, which the caller's generator must not miss.
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                answer = module.train(training)(shape.example(2))
        except Exception as error:  # the user's code may raise anything
            raise BadStudent(
                f"{self.name} does not take features of shape {(2, *shape.features)} in {mode} mode: "
                f"{type(error).__name__}: {error}."
            ) from error
        if not isinstance(answer, torch.Tensor):
            raise BadStudent(
                f"{self.name} gives {type(answer).__name__} in {mode} mode; one tensor of logits is needed."
            )
        if answer.shape != (2, shape.classes):
            raise BadStudent(
                f"{self.name} gives {tuple(answer.shape)} in {mode} mode; (2, {shape.classes}) is needed for two rows."
            )

    def build(self, size: Size, shape: Shape, seed: int) -> nn.Module:
        """Return the function's module for the size's width, weights drawn by *seed*.

        Raises:
            BadStudent: the function fails, or its module for this width does not map features to the classes, also
                while it is trained, or has nothing to train.
        """
        module = build_seeded(lambda: self._make(shape, size.width), seed)
        if not any(parameter.requires_grad for parameter in module.parameters()):
            raise BadStudent(f"{self.name} has no parameter to train for width {size.width}; at least one is needed.")
        state = {name: value.clone() for name, value in module.state_dict().items()}
        for training in (False, True):
            self._check_answer(module, shape, training=training)
        module.load_state_dict(state)  # a forward in training moves the statistics of norms
        return module.eval()
