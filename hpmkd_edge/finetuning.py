"""`finetune`: train an encoder for a task of texts, so that it can teach.

Example:
    >>> from pathlib import Path
    >>> from hpmkd_edge.finetune.request import FineTuning
    >>> from hpmkd_edge.finetuning import finetune
    >>> asked = FineTuning(encoder="models/minilm", data="sst2", label="label")
    >>> finetuned = finetune(asked, output=Path("runs/teacher"))  # doctest: +SKIP
    >>> print(finetuned.test_accuracy, finetuned.test_error)  # doctest: +SKIP
"""

from __future__ import annotations

import platform
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch

from hpmkd_edge import __version__
from hpmkd_edge.bench.host import describe_host
from hpmkd_edge.errors import BadConfiguration, BadData, EdgeError, Interrupted, TrainingFailed
from hpmkd_edge.finetune.encoder import check_installed, chosen_length, open_encoder
from hpmkd_edge.finetune.pieces import cut, needed_length
from hpmkd_edge.finetune.request import FineTuning, read_request, write_request
from hpmkd_edge.finetune.training import Training, grade, standard_error
from hpmkd_edge.finetuned import EncoderRecord, Finetuned, write_finetuned
from hpmkd_edge.interruption import listening
from hpmkd_edge.preparation import choose_device
from hpmkd_edge.recording import data_record
from hpmkd_edge.run_folder import RunFolder, folder_at, plan_folder
from hpmkd_edge.settling import shown
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.tasks.source import open_task
from hpmkd_edge.tasks.task import Task
from hpmkd_edge.teachers.digest import digest_of
from hpmkd_edge.teachers.hub import folder_of
from hpmkd_edge.teachers.pooled import PooledClassifier

STATE: Final = "training.pt"
REQUEST: Final = "finetuning.json"  # not the name of a run's request: compress --resume would read it as its own
WEIGHTS: Final = "model.safetensors"
ONE_FILE: Final = "1000GB"  # never in shards
# What a record says in fields of its own, or what decides nothing.
NO_SETTINGS: Final = ("schema", "encoder", "data", "command", "started_in")


def finetune(request: FineTuning, *, output: Path) -> Finetuned:
    """Train the encoder that *request* names for its task, and write it with the record of how it came to be.

    AdamW without decay of norms and biases, a rate that rises and falls in lines (Devlin et al. 2019, appendix A.3),
    gradients no longer than 1, and batches of rows of like lengths.

    Args:
        request: what to train, and how.
        output: the folder, which must not exist: the teacher as `save_pretrained` writes it, or `save` of
            sentence-transformers where it reads the mean over the pieces, and `finetune.json`.

    Raises:
        EdgeError: the class says why. An interrupted training leaves `OUTPUT.partial`, which `resume_finetuning`
            takes up.
    """
    request.check()
    check_installed()
    return _run(replace(request, started_in=str(Path.cwd())), plan_folder(output))


def resume_finetuning(path: Path) -> Finetuned:
    """Take up the interrupted training at *path*, given with or without `.partial`.

    On the machine on which it began it ends with the weights of an unbroken one, to the bit.

    Raises:
        BadConfiguration: there is no interrupted training, or it was started in another folder.
    """
    folder = folder_at(path, "training")
    request = read_request(folder.partial / REQUEST)
    if request.started_in != str(Path.cwd()):
        raise BadConfiguration(
            f"the training was started in {request.started_in}, where its relative paths hold; resume it from there."
        )
    check_installed()
    return _run(request, folder)


def finetuning_output(request: FineTuning) -> Path:
    """Return a folder named by the data and the time, in `runs`."""
    moment = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{Path(request.data).name.split('.')[0]}-teacher-{moment}"


def _run(request: FineTuning, folder: RunFolder) -> Finetuned:
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with listening() as interruption, _leaving_only_what_is_of_use(folder), _own_draws_and_threads():
        folder.made.mkdir(parents=True, exist_ok=True)
        folder.state.mkdir(exist_ok=True)
        write_request(request, folder.partial / REQUEST)
        device = choose_device(request.device)
        task = _open(request)
        encoder = open_encoder(folder_of(request.encoder), request.encoder, task.classes, request.seed, request.pooling)
        here = _conditions(device) | {"data": task.digest, "encoder": encoder.sha256}
        path = folder.state / STATE
        state = torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None
        begun, notes = (here, []) if state is None else (state["begun"], _taken_up(state, here, request))
        torch.set_num_threads(int(begun["threads"]))

        tokenizer = encoder.tokenizer
        asked = request.length or needed_length(task.train, tokenizer, encoder.longest)
        length = chosen_length(request.length, encoder.longest, asked)
        training = Training(
            encoder.model.to(device),  # type: ignore[arg-type]  # a decorator of transformers drops self
            cut(task.train, tokenizer, length),
            cut(task.validation, tokenizer, length),
            request,
            bf16=begun["precision"] == "bfloat16",
        )
        if state is not None:
            training.restore(state)
        del state
        training.run(lambda: training.save(path, {"begun": begun, "notes": notes}), lambda: interruption.asked)
        kept = training.finish()
        # The test rows are read here, once.
        accuracy, _ = grade(training.model, cut(task.test, tokenizer, length))
        # Whoever opens the teacher cuts rows as they were cut here.
        tokenizer.model_max_length = length
        tokenizer.save_pretrained(folder.made)
        if isinstance(training.model, PooledClassifier):
            training.model.save_pretrained(folder.made, max_shard_size=ONE_FILE, longest=length)
        else:
            training.model.save_pretrained(folder.made, max_shard_size=ONE_FILE)
        weights = sorted(folder.made.rglob(WEIGHTS))
        epochs = tuple(training.progress.epochs)
        finetuned = Finetuned(
            tool_version=__version__,
            started_at=started_at,
            seconds=sum(epoch.seconds for epoch in epochs),
            command=request.command,
            encoder=EncoderRecord(
                name=request.encoder,
                sha256=encoder.sha256,
                model=training.model.config.model_type,
                parameters=sum(parameter.numel() for parameter in training.model.parameters()),
                new=encoder.new,
            ),
            data=data_record(task),
            classes=task.classes,
            settings=_settings(request, length, "mean" if isinstance(training.model, PooledClassifier) else "head"),
            begun=tuple(begun.items()),
            epochs=epochs,
            kept_epoch=kept,
            validation_accuracy=epochs[kept - 1].validation_accuracy,
            test_accuracy=accuracy,
            test_error=standard_error(accuracy, len(task.test)),
            weights_bytes=sum(path.stat().st_size for path in weights),
            weights_sha256=_digest_of(weights),
            notes=(*task.notes, *notes),
        )
        write_finetuned(finetuned, folder.made)
    folder.finish()
    return finetuned


def _open(request: FineTuning) -> Task:
    """Read the task, and refuse one that is not of texts and classes."""
    task = open_task(
        request.data,
        label=request.label,
        text=request.text,
        split=request.split,
        split_seed=request.split_seed,
    )
    if task.kind != "text":
        found = "images" if task.kind == "images" else "a table"
        raise BadData(f"{request.data} holds {found}; a column of sentences is needed, named by --text.")
    if len(task.classes) < 2:
        raise BadData(f"{request.data} has {len(task.classes)} classes; two at least are needed to tell apart.")
    return task


def _conditions(device: torch.device) -> dict[str, str]:
    """Return name and value of what decides rounding here."""
    return {
        "machine": describe_host().model,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": str(torch.get_num_threads()),
        "precision": "bfloat16" if _multiplies_bfloat16(device) else "float32",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "tokenizers")},
    }


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Tell whether *device* has instructions for it; without them bfloat16 is emulated, and slower than float32.

    By what the processor says of itself and not by a timing, which may come out differently when a run is repeated.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(errors="replace"), re.MULTILINE)
    return flags is not None and not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags.group(1).split())


def _taken_up(state: dict[str, Any], here: dict[str, str], request: FineTuning) -> list[str]:
    """Return the notes of a training that is taken up: those it has, and one where rounding now differs.

    Raises:
        BadData: its data or its encoder has changed.
    """
    begun: dict[str, str] = state["begun"]
    for what, name in (("data", request.data), ("encoder", request.encoder)):
        if begun[what] != here[what]:
            raise BadData(
                f"{name} is not what it was when the training began: sha256 {here[what][:12]}… was found,"
                f" {begun[what][:12]}… is needed; start a new one, or put it back."
            )
    # Threads and precision are taken as they were, and so is nothing else.
    differing = [name for name in here if name not in ("threads", "precision") and begun.get(name) != here[name]]
    if not differing:
        return list(state["notes"])
    changes = ", ".join(f"{name} {here[name]} instead of {begun.get(name)}" for name in differing)
    said = f"Taken up with {changes}: the weights are not those of an unbroken training to the bit."
    return [*state["notes"], said]


def _digest_of(weights: Sequence[Path]) -> str:
    """Return the sha256 of a file, and of several that of theirs."""
    digests = [digest_of_file(path) for path in weights]
    return digests[0] if len(digests) == 1 else digest_of(digests)


def _settings(request: FineTuning, length: int, pooling: str) -> tuple[tuple[str, str], ...]:
    """Return name and value of all that decides the weights and was given, or chosen."""
    given = {field.name: getattr(request, field.name) for field in fields(request) if field.name not in NO_SETTINGS}
    given |= {"length": length, "pooling": pooling}
    return tuple((name, str(value)) for name, value in given.items() if value is not None)


@contextmanager
def _own_draws_and_threads() -> Iterator[None]:
    """Leave torch's generators and its number of threads as they were."""
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _leaving_only_what_is_of_use(folder: RunFolder) -> Iterator[None]:
    """Say how to take up an interrupted training, and remove one of which nothing can be taken up."""
    try:
        yield
    except Interrupted as error:
        path = shlex.quote(str(shown(folder.final)))
        raise Interrupted(f"{error} Take it up with: hpmkd-edge finetune --resume {path}") from error
    except TrainingFailed:
        # It would fail again.
        shutil.rmtree(folder.partial)
        raise
    except EdgeError:
        if not (folder.state / STATE).exists():
            shutil.rmtree(folder.partial, ignore_errors=True)
        raise
