"""Where a folder's files came from, and how to tell that they are still the same."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar, Final, Literal

from hpmkd_edge import __version__
from hpmkd_edge.errors import BadOutput
from hpmkd_edge.json_file import read_json, write_json

MANIFEST_SCHEMA: Final = "hpmkd-edge/manifest/1"
MANIFEST: Final = "manifest.json"
LIBRARIES: Final = ("torch", "onnx", "onnxruntime", "numpy")  # whose versions a manifest names
TEXT_LIBRARIES: Final = ("tokenizers", "transformers")  # and these, where they are installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Something that a run read."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """A file that a run wrote; *file* is relative to the folder, with slashes."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A library's version, or None where it is not installed."""

    name: str
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Where a folder's files came from, and how to tell that they are still the same."""

    # pydantic reads this off a standard dataclass, and carries it into those inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}

    schema: Literal["hpmkd-edge/manifest/1"] = MANIFEST_SCHEMA
    run_id: str
    command: str
    seed: int
    created_at: str
    tool_version: str
    versions: tuple[Version, ...]
    inputs: tuple[Input, ...]
    artifacts: tuple[ArtifactRecord, ...]


def write_manifest(
    folder: Path,
    *,
    run_id: str,
    command: str,
    seed: int,
    created_at: str,
    inputs: Sequence[tuple[str, str]],
) -> Manifest:
    """Hash every file below *folder*, write manifest.json there, and return what it says.

    Args:
        inputs: name and sha256 of each thing that the run read.

    Raises:
        BadOutput: a file cannot be read, or the manifest cannot be written.
    """
    manifest = Manifest(
        run_id=run_id,
        command=command,
        seed=seed,
        created_at=created_at,
        tool_version=__version__,
        versions=(
            Version(name="python", version=platform.python_version()),
            *(Version(name=name, version=_installed(name)) for name in LIBRARIES),
            *(Version(name=name, version=found) for name in TEXT_LIBRARIES if (found := _installed(name))),
        ),
        inputs=tuple(Input(name=name, sha256=sha256) for name, sha256 in inputs),
        artifacts=tuple(
            _describe(path, folder)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path != folder / MANIFEST
        ),
    )
    write_json(asdict(manifest), folder / MANIFEST)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of *folder*.

    Raises:
        BadReport: there is none, or it cannot be read as one.
    """
    manifest: Manifest = read_json(Manifest, MANIFEST_SCHEMA, folder / MANIFEST)
    return manifest


def check_manifest(folder: Path) -> tuple[str, ...]:
    """Hash the files of *folder* again, and return a sentence for each that is missing or has changed.

    Raises:
        BadReport: there is no manifest, or it cannot be read as one.
        BadOutput: a file cannot be read.
    """
    complaints = []
    for artifact in read_manifest(folder).artifacts:
        path = folder / artifact.file
        if not path.is_file():
            complaints.append(f"{artifact.file} is missing.")
        elif (found := _describe(path, folder)) != artifact:
            complaints.append(
                f"{artifact.file} has changed: {found.bytes:,} bytes with sha256 {found.sha256[:12]}… "
                f"were found; {artifact.bytes:,} bytes with {artifact.sha256[:12]}… were written."
            )
    return tuple(complaints)


def _describe(path: Path, folder: Path) -> ArtifactRecord:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise BadOutput(f"{path} cannot be read: {error.strerror}.") from error
    return ArtifactRecord(file=path.relative_to(folder).as_posix(), sha256=digest.hexdigest(), bytes=size)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
