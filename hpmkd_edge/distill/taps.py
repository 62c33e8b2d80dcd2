"""Taps: named parts of a torch module whose outputs are read while it runs.

A part that runs several times in a forward counts where it ran last. What a later part changes in place is read as
changed; student and teacher are read alike.
"""

# Shape suffixes: N = rows.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hpmkd_edge.errors import BadConfiguration, unknown


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put *module* into eval mode, and each part back into its own: some may have been frozen one by one."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def _heard(module: nn.Module, parts: dict[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """Keep what the *parts* gave in the latest forward of *module*, in the order in which they ended."""
    if hasattr(module, "_orig_mod"):  # hooks set after a compilation are passed over in silence
        raise BadConfiguration("the parts of a compiled module cannot be read; the module before torch.compile can.")
    outputs: dict[str, Any] = {}

    def hook_of(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_part: nn.Module, _given: object, output: object) -> None:
            outputs.pop(name, None)
            outputs[name] = output

        return hook

    with ExitStack() as hooks:
        hooks.callback(outputs.clear)
        hooks.callback(module.register_forward_pre_hook(lambda *_: outputs.clear()).remove)
        for name, part in parts.items():
            hooks.callback(part.register_forward_hook(hook_of(name)).remove)
        yield outputs


def list_taps(module: nn.Module, example: Tensor) -> dict[str, tuple[int, ...]]:
    """Return every tap of *module* with the shape of one row, in the order in which the parts end.

    A tap gives one tensor of floating point with the batch as its first axis. A part that gives the module's own
    answer is none, nor is the last part where it gives as many values as the answer, as a head does to which another is
    added: losses on logits read those.

    Args:
        example: a batch that the module takes. A single row is doubled, so that a first axis of 1 is no batch.

    Raises:
        BadConfiguration: the module is compiled.
    """
    rows = example if len(example) > 1 else torch.cat([example, example])
    parts = {name: part for name, part in module.named_modules() if name}
    # Not inference mode: what a module keeps from this forward must still be fit for training.
    with _evaluating(module), torch.no_grad(), _heard(module, parts) as outputs:
        answer = module(rows)
        last = next(reversed(outputs), None)
        return {
            name: tuple(output.shape[1:])
            for name, output in outputs.items()
            if isinstance(output, Tensor)
            and output is not answer
            and output.is_floating_point()
            and output.ndim > 1
            and len(output) == len(rows)
            and not (name == last and output.shape == getattr(answer, "shape", None))
        }


def choose_tap(taps: dict[str, tuple[int, ...]], whose: str = "model") -> str:
    """Return the last feature map [C, H, W] of more than one place, else the last vector [C].

    Where parts give sequences [places, C], as in a transformer, what ran before them is passed over: its only map
    is that of the patches.

    Args:
        taps: of `list_taps`.
        whose: "student" or "teacher", for the error.

    Raises:
        BadConfiguration: there is neither.
    """
    found = _last_of(taps)
    if found is None:
        known = f"name a tap: {', '.join(sorted(taps))}" if taps else "another loss, such as 'kd', is needed"
        raise BadConfiguration(f"no part of the {whose} gives maps or vectors at its end; {known}.")
    return found


def has_end(module: nn.Module, example: Tensor) -> bool:
    """Tell whether `choose_tap` finds one in *module*; for *example* see `list_taps`."""
    return _last_of(list_taps(module, example)) is not None


def _last_of(taps: dict[str, tuple[int, ...]]) -> str | None:
    names = list(taps)
    after = max((place + 1 for place, name in enumerate(names) if len(taps[name]) == 2), default=0)
    maps = [name for name in names[after:] if len(taps[name]) == 3 and taps[name][1] * taps[name][2] > 1]
    vectors = [name for name in names[after:] if len(taps[name]) == 1]
    return next(reversed(maps or vectors), None)


def find_tap(name: str, taps: dict[str, tuple[int, ...]], whose: str) -> tuple[int, ...]:
    """Return the shape of one row of the tap called *name*.

    Args:
        taps: of `list_taps`.
        whose: "student" or "teacher", for the error.

    Raises:
        BadConfiguration: there is no such tap; the nearest is offered.
    """
    if not taps:
        raise BadConfiguration(f"the {whose} has no taps: none of its parts gives a tensor of rows.")
    if name not in taps:
        raise unknown(f"tap of the {whose}", name, taps)
    return taps[name]


def tap_of(module: nn.Module, example: Tensor, name: str | None, whose: str) -> tuple[str, tuple[int, ...]]:
    """Return the tap called *name*, or the one that `choose_tap` takes, and the shape of one row of it.

    Args:
        example: see `list_taps`.
        whose: "student" or "teacher", for the error.

    Raises:
        BadConfiguration: the module is compiled, or there is no such tap.
    """
    taps = list_taps(module, example)
    chosen = name or choose_tap(taps, whose)
    return chosen, find_tap(chosen, taps, whose)


@contextmanager
def tapped(module: nn.Module, names: Sequence[str]) -> Iterator[Callable[[], dict[str, Tensor]]]:
    """Read taps of *module* while the block runs, with their gradients; may be held open for a whole training.

    Yields:
        A function that returns what the taps called *names* gave in the latest forward, [N, …] each, in whatever
        precision it ran.

    Raises:
        BadConfiguration: a part does not exist or the module is compiled; on reading, a part gave no tensor.
    """
    own = dict(module.named_modules())
    for name in names:
        if name not in own:
            raise unknown("tap", name, filter(None, own))
    with _heard(module, {name: own[name] for name in names}) as outputs:

        def read() -> dict[str, Tensor]:
            for name in names:
                if not isinstance(outputs.get(name), Tensor):
                    raise BadConfiguration(
                        f"the tap {name!r} gave no tensor in the latest forward: it did not run, gave something else,"
                        " or is compiled; a part that runs for every batch is needed."
                    )
            return {name: outputs[name] for name in names}

        yield read


def tap_features(module: nn.Module, name: str, batches: Iterable[Tensor]) -> NDArray[np.float16]:
    """Return what a teacher's tap gives for all *batches*: float16 [N, …], half the room in a cache.

    Args:
        module: put into eval mode, and back.
        batches: at least one, on the module's device.

    Raises:
        BadConfiguration: there is no such part, it gives no tensor, or its values do not fit in half precision.
    """
    stored = []
    with _evaluating(module), torch.inference_mode(), tapped(module, [name]) as read:
        for batch in batches:
            module(batch)
            features = read()[name]
            halves = features.half()
            if not bool(halves.isfinite().all()):
                raise BadConfiguration(
                    f"the tap {name!r} gives values up to {float(features.abs().max()):g}; finite ones of at most"
                    f" {torch.finfo(torch.half).max:,.0f} are needed: choose another tap, such as after a norm."
                )
            stored.append(halves.cpu().numpy())
    return np.concatenate(stored)
