"""Where a run's files are measured: here, on the target's board, or by hand, with records that are handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tqdm import tqdm

from hpmkd_edge.bench.measurement import compare
from hpmkd_edge.bench.profile import Profile, read_profile, write_profile
from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.errors import BadConfiguration, Interrupted
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.progress import hidden
from hpmkd_edge.targets import Target


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Show on a terminal what a child process is busy with; it must not be disturbed for the sake of a bar."""
    with tqdm(total=1, desc=what, bar_format="{desc} …", disable=hidden(), leave=False):
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """How the files of one target are measured.

    Attributes:
        runtime: the one that is timed.
        protocol: a key of `SAMPLINGS`.
        row: one real row, as what ships takes it.
        given: records that were taken by hand; a file that one of them names is not measured again.
    """

    target: Target
    runtime: str
    protocol: str
    row: Mapping[str, NDArray[Any]]
    stop: Callable[[], bool]
    given: tuple[Profile, ...] = ()

    @property
    def stands_in(self) -> bool:
        """Whether another runtime than the target's is timed, which says little of its precisions."""
        return self.runtime != self.target.runtime

    def measured(self, artifact: Artifact) -> Profile:
        """Measure one file; see `in_turn`."""
        (profile,) = self.in_turn([artifact])
        return profile

    def in_turn(self, artifacts: Sequence[Artifact], *, anew: bool = False) -> tuple[Profile, ...]:
        """Measure *artifacts* interleaved in one process; what was measured before is read back from beside the files.

        Args:
            artifacts: of one student.
            anew: measure even so.

        Raises:
            Interrupted: the user asked to stop; the measurements are saved.
        """
        found = {artifact.path: self._given(artifact) for artifact in artifacts}
        rest = [artifact for artifact in artifacts if found[artifact.path] is None]
        kept = None if anew else _read_back(rest)
        taken = kept if kept is not None else self._take(rest)
        profiles = iter(taken)
        ordered = tuple(found[artifact.path] or next(profiles) for artifact in artifacts)
        if kept is None and rest and self.stop():
            raise Interrupted(f"stopped after {rest[0].path.stem} was measured; the state is saved.")
        return ordered

    def beside(self, artifacts: Sequence[Artifact], path: Path, feeds: dict[str, NDArray[Any]]) -> tuple[Profile, ...]:
        """Measure *artifacts* and, last, another model's file, fed with *feeds*, all in turn."""
        with announced("measure teacher and student in turn"):
            return self._compare(artifacts, [path], [feeds])

    def _given(self, artifact: Artifact) -> Profile | None:
        named = [
            one for one in self.given if one.model_sha256 == artifact.sha256 and one.runtime == self.target.runtime
        ]
        return named[-1] if named else None

    def _take(self, artifacts: Sequence[Artifact]) -> tuple[Profile, ...]:
        if not artifacts:
            return ()
        with announced(f"measure {' and '.join(artifact.path.stem for artifact in artifacts)}"):
            profiles = self._compare(artifacts, [], [])
        for artifact, profile in zip(artifacts, profiles, strict=True):
            write_profile(profile, _record_of(artifact))
        return profiles

    def _compare(
        self, artifacts: Sequence[Artifact], others: Sequence[Path], feeds: Sequence[dict[str, NDArray[Any]]]
    ) -> tuple[Profile, ...]:
        return compare(
            [*(artifact.path for artifact in artifacts), *others],
            runtime=self.runtime,
            feeds=[*(dict(self.row) for _ in artifacts), *feeds],
            preprocessing=[*(artifact.preprocessing for artifact in artifacts), *(None for _ in others)],
            precisions=[*(artifact.precision for artifact in artifacts), *("fp32" for _ in others)],
            sampling=SAMPLINGS[self.protocol],
            threads=self.target.threads,
            host=self.target.host,
        )


def _record_of(artifact: Artifact) -> Path:
    return artifact.path.with_suffix(".json")


def _read_back(artifacts: Sequence[Artifact]) -> tuple[Profile, ...] | None:
    """Return the records of the very same files that lie beside them, if they were taken in turn with each other."""
    if not all(_record_of(artifact).exists() for artifact in artifacts):
        return None
    profiles = tuple(read_profile(_record_of(artifact)) for artifact in artifacts)
    # The digest of a preprocessing file is in the metadata of what runs behind it.
    same = all(one.model_sha256 == artifact.sha256 for one, artifact in zip(profiles, artifacts, strict=True))
    return profiles if same and len({one.reference_ns for one in profiles}) <= 1 else None


def read_given(paths: Sequence[str]) -> tuple[Profile, ...]:
    """Read the records that are handed in.

    Raises:
        BadReport: a file is no profile.
        BadConfiguration: there is no such file.
    """
    for path in paths:
        if not Path(path).expanduser().is_file():
            raise BadConfiguration(f"--profile-from {path}: there is no such file; a profile in JSON is needed.")
    return tuple(read_profile(Path(path).expanduser()) for path in paths)
