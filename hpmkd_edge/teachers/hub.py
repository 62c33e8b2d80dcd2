"""Where a model of Hugging Face lies: a folder here, or one that the hub's own cache keeps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.teachers.answers import first_line
from hpmkd_edge.teachers.transformer_folder import VOCABULARIES

NAME: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*")
WAIT_S: Final = 10.0  # for the hub to say what a model consists of
SMALL: Final = (".json", ".txt", ".model", ".py")  # configuration, tokenizer, and code of its own
WEIGHTS: Final = (".safetensors", ".bin")  # the former first
MODULE: Final = re.compile(r"\d+_\w+/[^/]+")  # of sentence-transformers, which numbers what comes after the encoder
WEIGHT_FILES: Final = ("model.safetensors", "pytorch_model.bin")  # or, by the same name, an index of shards


def is_hub_name(spec: str) -> bool:
    """Tell whether *spec* can be the name of a model on the hub, owner/name, and is no path here."""
    return NAME.fullmatch(spec) is not None and not Path(spec).exists()


def folder_of(name: str) -> Path:
    """Return the folder *name*, or that of the hub's model of this name, fetched where its cache does not have it.

    What the cache has is not asked for again, so that a run can be repeated, also offline.

    Raises:
        BadTeacher: there is no such folder with a config.json, and the hub does not have it or cannot be reached; or
            the package that asks it is missing.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BadTeacher(f"{name} has no config.json; a folder as transformers' save_pretrained writes is needed.")
        return path
    if not is_hub_name(name):
        raise BadTeacher(f"there is no folder {path.absolute()}; one, or a name on the Hugging Face hub, is needed.")
    try:
        return _cached(name) or _fetched(name)
    except ImportError as fault:
        raise BadTeacher(
            f"there is no folder {path.absolute()}, and the Hugging Face hub is asked by huggingface_hub, which is not"
            " installed; pip install 'hpmkd-edge[text]' brings it."
        ) from fault


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return folder if _whole(folder) else None


def _whole(folder: Path) -> bool:
    """Tell whether *folder* has all of a model: a download that was stopped leaves a folder too."""
    words = any(any(folder.glob(pattern)) for pattern in VOCABULARIES)
    weights = any(_has_weights(folder / name) for name in WEIGHT_FILES)
    return (folder / "config.json").is_file() and words and weights and _is_laid_out(folder)


def _is_laid_out(folder: Path) -> bool:
    """Tell whether all of sentence-transformers' layout is there, where there is any of it."""
    from hpmkd_edge.teachers.pooled import read_layout

    try:
        read_layout(folder)
    except BadTeacher:
        return False
    return True


def _has_weights(path: Path) -> bool:
    """Tell whether there is a file of weights at *path*, or all the shards that the index of its name lists."""
    index = path.with_name(f"{path.name}.index.json")
    if path.is_file() or not index.is_file():
        return path.is_file()
    shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all((path.parent / shard).is_file() for shard in shards)


def _fetched(name: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    try:
        # Asked first and once: a download asks five times, for half a minute, before it says that nobody answers.
        found = HfApi().model_info(name, timeout=WAIT_S)
        # Other folders hold the same model for other libraries.
        names = [one.rfilename for one in found.siblings or ()]
        files = [name for name in names if "/" not in name or MODULE.fullmatch(name)]
        ending = next((one for one in WEIGHTS if any(file.endswith(one) for file in files)), WEIGHTS[0])
        small, large = ([file for file in files if file.endswith(kind)] for kind in (SMALL, (ending,)))
        # Without a revision, since the cache notes which one a name stands for only if none is asked for. The weights
        # come last: where they are whole, so is the rest.
        snapshot_download(name, allow_patterns=small)
        return Path(snapshot_download(name, allow_patterns=large))
    except Exception as fault:  # the hub's client has changed its library of HTTP, and with it what is raised
        raise BadTeacher(
            f"there is no folder {Path(name).absolute()}, and the Hugging Face hub did not give {name}:"
            f" {first_line(fault)}; a folder, a name whose files are in the hub's cache, or a network is needed."
        ) from fault
