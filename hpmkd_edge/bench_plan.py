"""A benchmark under way: what was asked, which of it is done, and whether it may be taken up."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Final, Literal

from hpmkd_edge import __version__
from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.benched import Model, State
from hpmkd_edge.errors import BadConfiguration, BadOutput, EdgeError
from hpmkd_edge.export.inspection import weight_files
from hpmkd_edge.json_file import read_json, write_json
from hpmkd_edge.request import PARTIAL
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.targets import Precision, Target

PLAN_SCHEMA: Final = "hpmkd-edge/bench-plan/1"
GROUP_SCHEMA: Final = "hpmkd-edge/bench-group/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchWish:
    """What is to be measured.

    Attributes:
        models: ONNX files.
        own: the precision that each of them carries.
        make: the precisions to measure each model in, made where they are missing; empty for each as it is.
        shapes: of inputs whose axes are open, as `NAME=1,128`.
        rows: an .npz to calibrate int8 on; None for made-up values.
    """

    models: tuple[Path, ...]
    own: tuple[Precision, ...]
    targets: tuple[Target, ...]
    make: tuple[Precision, ...] = ()
    protocol: str = "quick"
    shapes: tuple[str, ...] = ()
    rows: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A wish, and the bytes that it was wished of.

    Attributes:
        weights_sha256: for each model those of the files beside it in which its weights lie.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/bench-plan/1"] = PLAN_SCHEMA
    tool_version: str
    wish: BenchWish
    models: tuple[Model, ...]
    weights_sha256: tuple[tuple[str, ...], ...]
    rows_sha256: str | None

    @property
    def digests(self) -> tuple[tuple[str, ...], ...]:
        """What tells the bytes of each model, those beside its file among them."""
        return tuple((one.sha256, *more) for one, more in zip(self.models, self.weights_sha256, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """What came of one model in one precision; the fields are those of `benched.Cell`."""

    model: str
    precision: Precision
    state: State
    made: str | None = None
    reason: str | None = None
    profile: Profile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What targets must have alike to share a measurement."""

    runtime: str
    threads: int
    host: str | None

    @property
    def text(self) -> str:
        """It in words."""
        return f"{self.runtime}, {self.threads} threads, {self.host or 'here'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All files, timed in turn in one way."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["hpmkd-edge/bench-group/1"] = GROUP_SCHEMA
    how: How
    takes: tuple[Take, ...]


def how_of(target: Target) -> How:
    """Return how *target* is measured."""
    return How(runtime=target.runtime, threads=target.threads, host=target.host)


def plan_of(wish: BenchWish) -> Plan:
    """Return the plan of *wish*, its files as they are at this moment.

    Raises:
        BadConfiguration: a model is no ONNX file, or the rows are gone.
    """
    names = _names(wish.models)
    if wish.rows is not None and not wish.rows.is_file():
        raise BadConfiguration(f"there is no file {wish.rows.absolute()}; an .npz of rows is needed.")
    weights = [weight_files(path) for path in wish.models]
    return Plan(
        tool_version=__version__,
        wish=wish,
        models=tuple(
            Model(name=name, path=str(path), sha256=digest_of_file(path), precision=own)
            for name, path, own in zip(names, wish.models, wish.own, strict=True)
        ),
        weights_sha256=tuple(tuple(map(digest_of_file, files)) for files in weights),
        rows_sha256=None if wish.rows is None else digest_of_file(wish.rows),
    )


def find_interrupted(output: Path) -> BenchWish:
    """Return what the interrupted benchmark that was to be written to *output* was asked for.

    Raises:
        BadConfiguration: there is none.
        BadReport: its plan is of another version.
    """
    partial = partial_of(output)
    if not (partial / "plan.json").is_file():
        raise BadConfiguration(
            f"there is no interrupted benchmark at {partial}; --resume takes the --output of one, as bench.json."
        )
    plan: Plan = read_json(Plan, PLAN_SCHEMA, partial / "plan.json")
    return plan.wish


def partial_of(output: Path) -> Path:
    """Return where an interrupted benchmark lies, given its output with or without `.partial`."""
    return output.with_name(output.name.removesuffix(PARTIAL) + PARTIAL)


@contextmanager
def unfinished(plan: Plan, output: Path | None) -> Iterator[Unfinished]:
    """Lend a folder for finished groups: beside *output*, where it is taken up, or one that is gone afterwards.

    Raises:
        BadConfiguration: an interrupted benchmark lies there that was asked for something else, or of other files.
        BadOutput: nothing can be written there.
    """
    if output is None:
        with tempfile.TemporaryDirectory(prefix="hpmkd-edge-") as name:
            yield Unfinished(folder=Path(name))
        return
    if output.is_dir():
        raise BadOutput(f"{output} is a folder; the name of a file is needed.")
    folder = partial_of(output)
    found = folder / "plan.json"
    if found.is_file():
        _check_same(read_json(Plan, PLAN_SCHEMA, found), plan, folder)
    else:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise BadOutput(f"{folder} cannot be written: {error.strerror}; another --output is needed.") from error
        write_json(_plain(plan), found)
    state = Unfinished(folder=folder)
    try:
        yield state
    except EdgeError as error:
        # Bad input leaves nothing behind.
        if error.exit_code == BadConfiguration.exit_code and not state.is_begun:
            shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """The groups of a benchmark that are finished, a file each."""

    folder: Path

    @property
    def is_begun(self) -> bool:
        """Whether a group is finished."""
        return any(self.folder.glob("group-*.json"))

    def find(self, how: How) -> tuple[Take, ...] | None:
        """Return what was measured in this way, or None.

        Raises:
            BadReport: it cannot be read back.
        """
        path = self._path(how)
        if not path.is_file():
            return None
        group: Group = read_json(Group, GROUP_SCHEMA, path)
        return group.takes

    def save(self, how: How, takes: Sequence[Take]) -> None:
        """Keep what was measured in this way."""
        write_json(asdict(Group(how=how, takes=tuple(takes))), self._path(how))

    def _path(self, how: How) -> Path:
        return self.folder / f"group-{sha256(repr(how).encode()).hexdigest()[:12]}.json"


def _names(models: Sequence[Path]) -> list[str]:
    """Return each file's name, with as many folders as tell it from the others; numbered where it is given twice."""
    most = max((len(path.parts) for path in models), default=1)
    names: list[str] = []
    for path in models:
        others = {other for other in models if other != path}
        ends = (Path(*path.parts[-parts:]) for parts in range(1, most + 1))
        short = next(end for end in ends if not any(other.parts[-len(end.parts) :] == end.parts for other in others))
        times = models[: len(names)].count(path)
        names.append(f"{short} ({times + 1})" if times else str(short))
    return names


def _plain(plan: Plan) -> dict[str, object]:
    from pydantic import TypeAdapter

    plain: dict[str, object] = TypeAdapter(Plan).dump_python(plan, mode="json")
    return plain


_SAID_BY: Final = {
    "models": "models",
    "own": "--precision-of",
    "targets": "--target, or other entries of them",
    "make": "--precision",
    "protocol": "--protocol",
    "shapes": "--shape",
    "rows": "--rows",
}


def _check_same(begun: Plan, plan: Plan, folder: Path) -> None:
    """Stop where what is taken up would not be what was begun."""
    way_out = f"the same is needed; to begin anew, remove it: rm -r {shlex.quote(str(folder))}."
    for field in fields(BenchWish):
        if getattr(begun.wish, field.name) != getattr(plan.wish, field.name):
            raise BadConfiguration(f"{folder} was begun with other {_SAID_BY[field.name]}; {way_out}")
    for before, after, now in zip(begun.digests, plan.digests, plan.models, strict=True):
        if before != after:
            raise BadConfiguration(f"{now.path} has changed since {folder} was begun; {way_out}")
    if begun.rows_sha256 != plan.rows_sha256:
        raise BadConfiguration(f"{plan.wish.rows} has changed since {folder} was begun; {way_out}")
    if begun.tool_version != plan.tool_version:
        raise BadConfiguration(
            f"{folder} was begun by hpmkd-edge {begun.tool_version}, and this is {plan.tool_version}; {way_out}"
        )
