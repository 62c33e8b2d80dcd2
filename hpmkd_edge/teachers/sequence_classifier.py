"""A teacher of texts from a folder of Hugging Face: a transformer that classifies sequences."""

# Shape suffixes: N = rows, T = pieces of the longest row of a batch, K = classes.

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.tasks.task import Inputs, Rows, Texts
from hpmkd_edge.teachers.answers import answer_in_batches, running
from hpmkd_edge.teachers.class_order import label_order
from hpmkd_edge.teachers.digest import digest_of
from hpmkd_edge.teachers.hub import folder_of, is_hub_name
from hpmkd_edge.teachers.pieces import SENTENCES_AT_ONCE, Pieces
from hpmkd_edge.teachers.request import TeacherRequest
from hpmkd_edge.teachers.teacher import TorchGraph
from hpmkd_edge.teachers.torch_file import code_digests, weight_digests
from hpmkd_edge.teachers.transformer_folder import read_classifier

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceTeacher:
    """A transformer with its tokenizer.

    Attributes:
        folder: with its config, weights and tokenizer.
        module: from ids [N, T] to logits, in eval mode, on *device*.
        pieces: from sentences to ids.
        order: the column of its answer for each class of the task.
        example: the ids of one training row, [1, T], on the CPU.
    """

    name: str
    digest: str
    parameters: int
    model_bytes: int
    preprocessing: str
    folder: Path
    module: torch.nn.Module
    pieces: Pieces
    order: tuple[int, ...]
    example: torch.Tensor
    device: str
    kind: str = "transformers"
    answers_new_rows: bool = True

    def _forward(self, inputs: Inputs) -> NDArray[np.float32]:
        assert isinstance(inputs, Texts)
        return self.pieces.answer(inputs.strings(), self._ask)

    def _ask(self, ids_NT: NDArray[np.int64]) -> NDArray[Any]:
        import torch

        with running(self.name, ids_NT.shape), torch.inference_mode():
            logits_NK = self.module(torch.from_numpy(ids_NT).to(self.device))
            answer: NDArray[Any] = logits_NK.float().cpu().numpy()[:, list(self.order)]
        return answer

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Answer *rows*: float32 [N, K].

        Raises:
            BadTeacher: the model fails.
        """
        return answer_in_batches(self.name, rows.inputs, self._forward, size=SENTENCES_AT_ONCE)

    def graph(self) -> TorchGraph:
        """Return the model from ids to logits with one row, on the CPU."""
        module = self.module if self.device == "cpu" else copy.deepcopy(self.module).cpu()
        return TorchGraph(module=module, example=self.example, tokenizer=self.pieces.tokenizer.to_str())


def open_sequence_classifier(request: TeacherRequest) -> SequenceTeacher:
    """Open a folder of Hugging Face with a config, weights and a tokenizer; or a model of the hub by its name.

    Its classes are those of the task by name; see `class_order.label_order`. Sentences are cut where the tokenizer or
    the positions of the model end.

    Raises:
        BadTeacher: no such folder, no head for classes, weights or pieces that do not fit, other classes, a package
            that is missing, or code of its own without `--trust`.
        BadConfiguration: `--weights` or `--normalize`, which have nothing to apply to.
    """
    import torch

    from hpmkd_edge.teachers.ids_module import FromIds

    spec, task = request.spec, request.task
    request.refuse_weights(spec)
    request.refuse_normalization(f"{spec} takes text")
    sample = request.probe().inputs
    if not isinstance(sample, Texts):
        raise BadTeacher(f"{spec} is a folder, which can hold a classifier of text; {request.task_has}.")
    name = spec if is_hub_name(spec) else Path(spec).expanduser().resolve().name
    folder = folder_of(spec)
    read = read_classifier(folder, spec, trust=request.trust)
    tokenizer = read.tokenizer.backend_tokenizer
    tokenizer.enable_truncation(read.longest)
    tokenizer.no_padding()
    pieces = Pieces(tokenizer=tokenizer, padding=int(read.tokenizer.pad_token_id))
    order, about = label_order(name, read.labels, task.classes)
    module = FromIds(read.model, pieces.padding).eval()
    parts = (digest_of_file(folder / "config.json"), tokenizer.to_str(), str(pieces.padding), *task.classes)
    return SequenceTeacher(
        name=name,
        digest=digest_of(("transformers", *parts, *code_digests(module), *weight_digests(module))),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        model_bytes=sum(tensor.nbytes for tensor in module.state_dict().values()),
        preprocessing=f"its own tokenizer, {read.longest} pieces at most{about}",
        folder=folder,
        module=module.to(request.device),
        pieces=pieces,
        order=order,
        example=torch.from_numpy(pieces.ids(sample.strings()[:1])),
        device=request.device,
    )
