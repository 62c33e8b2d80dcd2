"""Where a run's files are measured: here, on the target's board, or by hand, with records that are handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tqdm import tqdm

from hpmkd_edge.bench.lengths import latency_by_length, sentences_by_length
from hpmkd_edge.bench.measurement import compare
from hpmkd_edge.bench.profile import LengthLatency, Profile, read_profile, write_profile
from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.bench.remote import check_board
from hpmkd_edge.errors import BadConfiguration, Interrupted, MeasurementFailed
from hpmkd_edge.export.artifact import Artifact, is_tokenizer
from hpmkd_edge.progress import hidden
from hpmkd_edge.request import Request
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.targets import Target, find_target, load_targets


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Show on a terminal what a child process is busy with; it must not be disturbed for the sake of a bar."""
    with tqdm(total=1, desc=what, bar_format="{desc} …", disable=hidden(), leave=False):
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """A file that is no student's, with one row of its own inputs, or of those of the tokenizer.json before it."""

    path: Path
    feeds: Mapping[str, NDArray[Any]]
    preprocessing: Path | None = None


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

    def in_turn(self, artifacts: Sequence[Artifact], *, again: bool = False) -> tuple[Profile, ...]:
        """Measure *artifacts* interleaved in one process; what was measured before is read back from beside the files.

        Args:
            artifacts: of one student.
            again: a second time; that is kept, and read back, beside the first.

        Raises:
            Interrupted: the user asked to stop; the measurements are saved.
        """
        found = {artifact.path: self._given(artifact) for artifact in artifacts}
        rest = [artifact for artifact in artifacts if found[artifact.path] is None]
        kept = _read_back(rest, again)
        taken = kept if kept is not None else self._take(rest, again)
        profiles = iter(taken)
        ordered = tuple(found[artifact.path] or next(profiles) for artifact in artifacts)
        if kept is None and rest and self.stop():
            raise Interrupted(f"stopped after {rest[0].path.stem} was measured; the state is saved.")
        return ordered

    def beside(self, artifact: Artifact, *, larger: Sequence[Artifact], teacher: Fed | None) -> tuple[Profile, ...]:
        """Measure *artifact*, *larger* students without their memory, and last a teacher, all in turn."""
        with announced("measure the student in turn with what taught it"):
            return self._compare([artifact, *larger], teacher, no_memory_of=larger)

    def by_length(self, artifact: Artifact, words: Iterable[str]) -> tuple[LengthLatency, ...]:
        """Measure a text student on sentences of 8 pieces and more, in turn; nothing of others, whose rows are alike.

        Args:
            words: real ones, which the sentences are made of.
        """
        before = artifact.preprocessing
        if before is None or not is_tokenizer(before):
            return ()
        sentences = sentences_by_length(before, words)
        if not sentences:
            return ()
        with announced(f"measure {artifact.path.stem} by the length of sentences"):
            return latency_by_length(
                artifact.path,
                preprocessing=before,
                sentences=sentences,
                runtime=self.runtime,
                sampling=SAMPLINGS[self.protocol],
                threads=self.target.threads,
                host=self.target.host,
            )

    def _given(self, artifact: Artifact) -> Profile | None:
        return next((one for one in reversed(self.given) if is_of(one, artifact, self.target)), None)

    def refusal(self, artifact: Artifact) -> str | None:
        """Say why the runtime does not take a file, or None if it does."""
        try:
            self.measured(artifact)
        except MeasurementFailed as error:
            return str(error)
        return None

    def _take(self, artifacts: Sequence[Artifact], again: bool) -> tuple[Profile, ...]:
        if not artifacts:
            return ()
        with announced(f"measure {' and '.join(artifact.path.stem for artifact in artifacts)}"):
            profiles = self._compare(artifacts)
        for artifact, profile in zip(artifacts, profiles, strict=True):
            write_profile(profile, _record_of(artifact, again))
        return profiles

    def _compare(
        self, artifacts: Sequence[Artifact], teacher: Fed | None = None, *, no_memory_of: Sequence[Artifact] = ()
    ) -> tuple[Profile, ...]:
        others = [] if teacher is None else [teacher]
        return compare(
            [*(artifact.path for artifact in artifacts), *(other.path for other in others)],
            runtime=self.runtime,
            feeds=[*(dict(self.row) for _ in artifacts), *(dict(other.feeds) for other in others)],
            preprocessing=[
                *(artifact.preprocessing for artifact in artifacts),
                *(other.preprocessing for other in others),
            ],
            precisions=[*(artifact.precision for artifact in artifacts), *("fp32" for _ in others)],
            with_memory=[*(artifact not in no_memory_of for artifact in artifacts), *(True for _ in others)],
            sampling=SAMPLINGS[self.protocol],
            threads=self.target.threads,
            host=self.target.host,
        )


def is_of(profile: Profile, artifact: Artifact, target: Target) -> bool:
    """Tell whether a record is of all the files of *artifact*, in the target's runtime."""
    before = [] if artifact.preprocessing is None else [digest_of_file(artifact.preprocessing)]
    return profile.files == (*before, artifact.sha256) and profile.runtime == target.runtime


def _record_of(artifact: Artifact, again: bool) -> Path:
    return artifact.path.with_name(f"{artifact.path.stem}{'-again' if again else ''}.json")


def _read_back(artifacts: Sequence[Artifact], again: bool) -> tuple[Profile, ...] | None:
    """Return the records of the very same files that lie beside them, if they were taken in turn with each other."""
    records = [_record_of(artifact, again) for artifact in artifacts]
    if not all(record.exists() for record in records):
        return None
    profiles = tuple(read_profile(record) for record in records)
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


def targets_of(request: Request) -> tuple[Target, ...]:
    """Return the targets that are asked for, at the board that is; boards are reached, and have the runtime.

    Raises:
        BadConfiguration: there is no such target, or a board for several.
        RuntimeUnavailable: a board cannot be reached, or lacks what measuring needs.
    """
    known = load_targets(Path(request.targets_file) if request.targets_file else None)
    targets = tuple(find_target(name, known) for name in request.targets)
    if request.host is not None:
        if len(targets) > 1:
            raise BadConfiguration(f"--host is one board, and {len(targets)} targets are given; name one of them.")
        targets = tuple(replace(target, host=request.host) for target in targets)
    check_boards(targets)
    return targets


def check_boards(targets: Iterable[Target], *, tokenized: bool = False) -> None:
    """See whether the boards of *targets* have their runtimes, and where it is *tokenized* what runs a tokenizer.

    Raises:
        RuntimeUnavailable: a board cannot be reached, or lacks what measuring needs.
    """
    for host, runtime in {(target.host, target.runtime) for target in targets if target.host}:
        check_board(host, runtime, tokenized=tokenized)
