"""Where a model of Hugging Face lies: a folder here, or one that the hub's own cache keeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.teachers.answers import first_line

NAME: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*")
WAIT_S: Final = 10.0  # for the hub to say what a model consists of
SMALL: Final = (".json", ".txt", ".model", ".py")  # configuration, tokenizer, and code of its own
WEIGHTS: Final = (".safetensors", ".bin")  # the former first


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
    # A download that was stopped leaves a folder too.
    whole = (folder / "config.json").is_file() and any(any(folder.glob(f"*{ending}")) for ending in WEIGHTS)
    return folder if whole else None


def _fetched(name: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    try:
        # Asked first and once: a download asks five times, for half a minute, before it says that nobody answers.
        found = HfApi().model_info(name, timeout=WAIT_S)
        # Other folders hold the same model for other libraries.
        files = [one.rfilename for one in found.siblings or () if "/" not in one.rfilename]
        ending = next((one for one in WEIGHTS if any(file.endswith(one) for file in files)), WEIGHTS[0])
        wanted = [file for file in files if file.endswith((*SMALL, ending))]
        return Path(snapshot_download(name, revision=found.sha, allow_patterns=wanted))
    except Exception as fault:  # the hub's client has changed its library of HTTP, and with it what is raised
        raise BadTeacher(
            f"there is no folder {Path(name).absolute()}, and the Hugging Face hub did not give {name}:"
            f" {first_line(fault)}; a folder, a name whose files are in the hub's cache, or a network is needed."
        ) from fault
