"""A teacher from the user's own Python file: `file.py:function`, with or without `--weights`."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.python_file import PythonFile, load_python_file
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.tasks.task import Images, Inputs, Rows, Table, Texts
from hpmkd_edge.teachers.answers import (
    AS_LOGARITHMS,
    answer_in_batches,
    are_probabilities,
    as_column,
    first_line,
    logarithms,
    running,
)
from hpmkd_edge.teachers.digest import digest_of, digest_of_array
from hpmkd_edge.teachers.features import ImageInput, check_numbers, number_matrix
from hpmkd_edge.teachers.normalization import UNIT
from hpmkd_edge.teachers.request import TeacherRequest
from hpmkd_edge.teachers.teacher import TorchGraph

if TYPE_CHECKING:
    import torch

PREPARERS: Final = ("to_input", "preprocess")
WRAPPERS: Final = ("state_dict", "model_state_dict", "model")
NAMED_KEYS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchTeacher:
    """A torch module and how raw rows become its input.

    Attributes:
        module: in eval mode, on *device*.
        prepare: from raw rows to the module's input, on the CPU.
        example: one training row, prepared: a CPU tensor without a gradient, which may be of half precision.
        gives_probabilities: the module ends in a softmax.
        values: it answers with values.
    """

    name: str
    digest: str
    parameters: int
    model_bytes: int
    preprocessing: str
    module: torch.nn.Module
    prepare: Callable[[Inputs], torch.Tensor]
    example: torch.Tensor
    device: str
    gives_probabilities: bool = False
    values: bool = False
    kind: str = "torch"
    answers_new_rows: bool = True

    def _forward(self, inputs: Inputs) -> NDArray[Any]:
        import torch

        given = self.prepare(inputs)
        if given.ndim == 4:
            # A ResNet-56 answers 1.2 times as many 32×32 images so; its logits differ by 1e-7.
            given = given.contiguous(memory_format=torch.channels_last)
        hint = f"; to_input in {self.name.partition(':')[0]} can change what the module is given"
        with running(self.name, tuple(given.shape), hint), torch.inference_mode():
            answer = self.module(given.to(self.device))
        if not isinstance(answer, torch.Tensor):
            raise BadTeacher(f"{self.name} answers with {type(answer).__name__}; a tensor of logits is needed.")
        given_back = answer.detach().float().cpu().numpy()
        return as_column(given_back) if self.values else given_back

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Answer *rows*: float32 [N, K], or values [N, 1].

        Raises:
            BadTeacher: the preparation or the module fails.
        """
        answers = answer_in_batches(self.name, rows.inputs, self._forward)
        return logarithms(answers) if self.gives_probabilities else answers

    def graph(self) -> TorchGraph:
        """Return the module with one prepared row, on the CPU; in float32 where the row is of half precision."""
        # numpy has no bfloat16, and few boards compute in it.
        widened = self.example.is_floating_point() and self.example.element_size() < 4
        # A copy, so that a teacher on a GPU stays there, and one of half precision what it is.
        module = copy.deepcopy(self.module).cpu() if widened or self.device != "cpu" else self.module
        if widened:
            return TorchGraph(module=module.float(), example=self.example.float())
        return TorchGraph(module=module, example=self.example)


def _build(file: PythonFile, name: str) -> torch.nn.Module:
    import torch

    try:
        module = file.get(file.function)()
    except Exception as fault:  # the user's code may raise anything
        raise BadTeacher(f"{name}() failed: {first_line(fault)}; it is called without arguments.") from fault
    if not isinstance(module, torch.nn.Module):
        raise BadTeacher(f"{name}() returned {type(module).__name__}; a torch.nn.Module is needed.")
    return module


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    import torch

    if not path.is_file():
        raise BadTeacher(f"there is no file {path.absolute()}; --weights needs a state dict.")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:  # a broken zip, a broken pickle, a class that weights_only refuses
        raise BadTeacher(
            f"{path} cannot be read as weights: {first_line(fault)}; "
            "a file of torch.save(model.state_dict(), …) is needed."
        ) from fault
    for key in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise BadTeacher(f"{path} holds {type(found).__name__}, not a state dict of tensors, which is needed.")
    return {str(key): value for key, value in found.items()}


def _fitting(given: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return *given* without the name that DataParallel puts before every key, where more keys fit so."""
    if not all(key.startswith("module.") for key in given):
        return given
    bare = {key.removeprefix("module."): value for key, value in given.items()}
    # A model may have a part called module: of two that fit as well, max takes the first.
    return max((given, bare), key=lambda state: len(state.keys() & own.keys()))


def _load_weights(module: torch.nn.Module, path: Path, name: str) -> None:
    own = module.state_dict()
    given = _fitting(_read_state(path), own)
    # A counter of training steps that no answer depends on; files older than torch 0.4.1 lack it.
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in own]
    misshapen = [
        f"{key} {tuple(given[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    faults = [
        f"{len(keys)} {what} ({', '.join(keys[:NAMED_KEYS])}{', …' if len(keys) > NAMED_KEYS else ''})"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
        if keys
    ]
    if faults:
        raise BadTeacher(f"{path} does not fit {name}: {'; '.join(faults)}. Weights of this module are needed.")
    module.load_state_dict(given, strict=False)


def code_digests(module: torch.nn.Module) -> list[str]:
    """Return the hashes of the files that define the module's parts: also those beside the user's file."""
    modules = {type(part).__module__ for part in module.modules()}
    files = {getattr(sys.modules.get(found), "__file__", None) for found in modules}
    return sorted(digest_of_file(Path(path)) for path in files if path is not None)


def weight_digests(module: torch.nn.Module) -> list[str]:
    """Return the names and hashes of the module's tensors: a function may have loaded them by itself."""
    import torch

    parts = []
    for name, tensor in module.state_dict().items():
        # As bytes: numpy has no bfloat16.
        values = tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy()
        parts += [name, str(tensor.dtype), str(tuple(tensor.shape)), digest_of_array(values)]
    return parts


def _raw(inputs: Inputs) -> NDArray[np.uint8] | Table | list[str]:
    """Return rows as a user's function takes them."""
    if isinstance(inputs, Images):
        return inputs.pixels
    return inputs.strings() if isinstance(inputs, Texts) else inputs


def _preparation(file: PythonFile, request: TeacherRequest, name: str) -> tuple[Callable[[Inputs], torch.Tensor], str]:
    """Return what makes the module's input from raw rows, and a phrase about it."""
    import torch

    preparer = next((found for found in PREPARERS if callable(file.get(found))), None)
    if preparer is not None:
        request.refuse_normalization(f"{file.path.name} prepares its input by {preparer}")
        function = file.get(preparer)

        def by_user(inputs: Inputs) -> torch.Tensor:
            raw = _raw(inputs)
            shape = raw.shape if isinstance(raw, np.ndarray) else (len(inputs),)
            with running(f"{preparer} of {file.path.name}", shape):
                prepared = function(raw)
            if not isinstance(prepared, torch.Tensor):
                raise BadTeacher(
                    f"{preparer} of {file.path.name} returned {type(prepared).__name__}; a tensor is needed."
                )
            return prepared

        return by_user, f"{preparer} of {file.path.name}"
    table = request.task.train.inputs
    if isinstance(table, Texts):
        raise BadTeacher(
            f"{name} is given text; a function to_input in {file.path.name}, from a list of strings to a tensor, is"
            " needed."
        )
    if isinstance(table, Table):
        check_numbers(name, table, None, f"; a function to_input(table) in {file.path.name} is needed")

        def by_matrix(inputs: Inputs) -> torch.Tensor:
            assert isinstance(inputs, Table)
            return torch.from_numpy(number_matrix(inputs))

        return by_matrix, "the columns of numbers as one matrix"
    images = ImageInput(layout="NCHW", dtype="float32", normalization=request.normalization or UNIT)
    return lambda inputs: torch.from_numpy(images.prepare(inputs)), images.phrase


def open_torch_file(request: TeacherRequest) -> TorchTeacher:
    """Build the module of `file.py:function`, load its weights, and put it into eval mode.

    The file may hold `to_input` (or `preprocess`), from uint8 [N, H, W, C], a Table or a list of N strings to the
    module's input; for text it must. Without it images are normalized as `--normalize` says (by default over 255),
    NCHW.

    Raises:
        BadTeacher: the file, the function, the weights or the preparation cannot be used.
        BadConfiguration: `--normalize` beside a `to_input`.
    """
    file = load_python_file(request.spec, BadTeacher)
    name = f"{file.path.name}:{file.function}"
    module = _build(file, name)
    if request.weights is not None:
        _load_weights(module, request.weights, name)
    module.eval()
    prepare, phrase = _preparation(file, request, name)
    probe = request.probe()
    example = prepare(probe.inputs.take(np.zeros(1, np.int64))).detach().cpu()
    teacher = TorchTeacher(
        name=name,
        digest="",
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        model_bytes=request.weights.stat().st_size
        if request.weights is not None
        else sum(tensor.nbytes for tensor in module.state_dict().values()),
        preprocessing=phrase,
        module=module.to(request.device),
        prepare=prepare,
        example=example,
        device=request.device,
        values=request.task.goal == "value",
    )
    soft = not teacher.values and are_probabilities(teacher.logits(probe))
    # Last: what the user's functions import only when they are called is loaded by now.
    code = (file.digest(), file.function, phrase, *code_digests(module))
    return replace(
        teacher,
        digest=digest_of(("torch", *code, *weight_digests(module))),
        gives_probabilities=soft,
        preprocessing=f"{phrase}; {AS_LOGARITHMS}" if soft else phrase,
    )
