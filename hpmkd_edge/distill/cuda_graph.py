"""A training step recorded as a CUDA graph: a small student's kernels take less time than Python needs to launch them.

After PyTorch's notes on whole-network capture (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

WARM_UP_STEPS: Final = 3  # as the notes have it: lazy allocations and the choice of algorithms happen in them


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedStep:
    """A recorded step: forward, loss, backward, clipping and optimizer.

    Attributes:
        inputs: the tensors that the recording reads.
        loss: the scalar that it writes, without a gradient.
    """

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    loss: Tensor
    optimizer: torch.optim.Optimizer

    def __call__(self, *inputs: Tensor, rate: float) -> Tensor:
        """Do one step on *inputs* at a learning rate; return its loss, which the next step overwrites.

        Raises:
            ValueError: an input has another shape than the one recorded.
        """
        for kept, given in zip(self.inputs, inputs, strict=True):
            if kept.shape != given.shape:
                raise ValueError(f"the step was recorded for {tuple(kept.shape)}, not {tuple(given.shape)}.")
            kept.copy_(given, non_blocking=True)
        for group in self.optimizer.param_groups:
            group["lr"].fill_(rate)
        self.graph.replay()
        return self.loss


def captured_step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[..., Tensor],
    examples: Sequence[Tensor],
    *,
    longest_gradient: float,
) -> CapturedStep:
    """Record a training step of *module*; its weights and the optimizer's state are as before when this returns.

    Args:
        module: on a GPU, in train mode; its parameters must be the ones the optimizer holds, and stay in place.
        optimizer: made with `capturable=True` where it has that option, and a tensor on the GPU for each group's "lr".
        loss_of: from tensors like *examples* to a scalar, without a look at values and without branches on them.
        examples: inputs of a batch's shape; every step must have the same.
        longest_gradient: to which the gradient is clipped.

    Raises:
        ValueError: the module is not on a GPU, or the optimizer cannot be recorded.
    """
    device = next(module.parameters()).device
    if device.type != "cuda":
        raise ValueError(f"the module is on the {device.type}; a CUDA graph needs it on a GPU.")
    # Optimizers without the option, such as SGD, keep nothing on the host.
    groups = optimizer.param_groups
    if not all(group.get("capturable", True) and isinstance(group["lr"], Tensor) for group in groups):
        raise ValueError("the optimizer keeps its state on the host; capturable=True and a tensor for lr are needed.")
    inputs = tuple(example.detach().to(device).clone(memory_format=torch.preserve_format) for example in examples)
    parameters = list(module.parameters())

    def step() -> Tensor:
        loss = loss_of(*inputs)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, longest_gradient)
        optimizer.step()
        return loss.detach()

    before = _snapshot(module, optimizer)
    # One stream for warm-up and capture: handles of BLAS are a stream's own, and cannot be made while recording.
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.random.fork_rng([device]):
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                optimizer.zero_grad(set_to_none=True)
                step()
        torch.cuda.current_stream(device).wait_stream(stream)
        # None, so that the gradients are allocated in the graph's own memory and set, not added to, on each replay.
        optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            loss = step()
    _restore(module, optimizer, before)
    return CapturedStep(graph=graph, inputs=inputs, loss=loss, optimizer=optimizer)


_Snapshot = tuple[dict[str, Tensor], dict[Any, dict[str, Tensor]]]


def _snapshot(module: nn.Module, optimizer: torch.optim.Optimizer) -> _Snapshot:
    weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
    moments = {key: {name: value.clone() for name, value in state.items()} for key, state in optimizer.state.items()}
    return weights, moments


@torch.no_grad()
def _restore(module: nn.Module, optimizer: torch.optim.Optimizer, before: _Snapshot) -> None:
    """Write the state back in place: the recording knows addresses."""
    weights, moments = before
    for name, value in module.state_dict().items():
        value.copy_(weights[name])
    for key, state in optimizer.state.items():
        for name, value in state.items():
            if key in moments:
                value.copy_(moments[key][name])
            else:
                value.zero_()  # made in the warm-up: step and moments begin at zero
