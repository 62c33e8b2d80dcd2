"""What the user asks of a run, kept so that an interrupted one can be taken up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from hpmkd_edge.errors import BadConfiguration, unknown
from hpmkd_edge.python_file import is_python_spec

MOST: Final = 2**31
MOST_WORKERS: Final = 1024
PARTIAL: Final = ".partial"  # what the folder of an interrupted run ends in


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to learn, from whom, for which targets.

    Attributes:
        data: an embedded set, a table, an archive or a folder of images; see `tasks.source.open_task`.
        label, split: the column, or array, to learn, and the one that says train, validation or test.
        split_seed: of the rows that are drawn where the data has no split of its own.
        goal: whether labels are "classes" or a "value"; None for what the labels suggest.
        schema: a file that says what columns of a table mean; see `tasks.schema.read_schema`.
        text: the column of sentences to learn from; None for a table, or where the table has no other column.
        unlabeled: a file of more sentences, which the teachers label; see `distill.unlabeled`.
        tokenizer: of a text student: "wordpiece", "bytes", or a tokenizer.json or its folder; None for the teacher's,
            or "wordpiece" where it has none.
        vocabulary: most pieces that the student knows; None for what occurs twice, at most 8,000.
        start: a folder of an encoder that text students begin from, or "random"; None for the teacher's own where it
            has one.
        teachers: specs as `--teacher` takes them; none trains one on the spot. See `teachers.open.open_teacher`.
        weights: state dicts for the teachers of the form `file.py:function`, in their order.
        normalize: how teachers without a preparation of their own want images, e.g. "imagenet".
        trust: whether files that can run code may be loaded.
        student: a family by name, `file.py:function`, or None for the task's default.
        size: the student's width and depth, as "16x1", a rung of the family's ladder; None for the largest that fits.
        targets: names in targets.yaml, or in *targets_file*.
        seed: of weights, order and augmentation.
        rounds: most turns of train, measure, resize.
        epochs, views: of each training, and augmented copies of the images; None for what the rows suggest.
        flip: whether views may be mirrored.
        mixup: whether views are mixtures of two images each.
        method, temperature: of the teacher's loss, a key of `distill.methods.table.METHODS`; None for the task's own.
        schedule: of the temperature, a name of `distill.temperature.SCHEDULES` or "auto"; None for what the memory
            says.
        stages: losses of sequential stages in order, as "fitnet,kd", a rival of their own; *stage_weighting* weighs the
            rows.
        student_tap, teacher_tap: where stages by features read; None for the last maps.
        without: components that are off, keys of `plan.components.COMPONENTS`.
        accept_weak_teacher: go on with a teacher that is no better than the student on labels alone.
        workers: trainings side by side; None for one a core.
        compression: how many times smaller than the best teacher the student must be, at least.
        protocol: how long to measure, a key of `bench.protocol.SAMPLINGS`.
        host: "ssh://user@board[:port]" to measure there; None for what each target says.
        profiles: files of measurements that were taken on the board by hand; see `bench.profile.read_profile`.
        records: a folder of profiles that were taken on the target, of other models, with their ONNX files: what is not
            measured there is predicted from them; see `foretelling.read_experience`.
        device: "auto", "cpu" or "cuda", for training.
        log: trackers that follow the run, keys of `tracking.choose.TRACKERS`; they change nothing of it.
        command: the command line, for the records.
        started_in: the folder that relative paths start from; set by the run.
    """

    data: str = "digits"
    label: str | None = None
    split: str | None = None
    split_seed: int = 0
    goal: Literal["classes", "value"] | None = None
    schema: str | None = None
    text: str | None = None
    unlabeled: str | None = None
    tokenizer: str | None = None
    vocabulary: int | None = None
    start: str | None = None
    teachers: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    normalize: str | None = None
    trust: bool = False
    student: str | None = None
    size: str | None = None
    targets: tuple[str, ...] = ("jetson",)
    targets_file: str | None = None
    seed: int = 0
    rounds: int = 3
    epochs: int | None = None
    views: int | None = None
    flip: bool = False
    mixup: bool = False
    method: str | None = None
    temperature: float | None = None
    schedule: str | None = None
    stages: str = ""
    stage_weighting: str = "inverse"
    student_tap: str | None = None
    teacher_tap: str | None = None
    without: tuple[str, ...] = ()
    accept_weak_teacher: bool = False
    workers: int | None = None
    compression: float = 10.0
    protocol: str = "quick"
    host: str | None = None
    profiles: tuple[str, ...] = ()
    records: str | None = None
    device: str = "auto"
    log: tuple[str, ...] = ()
    command: str = ""
    started_in: str = ""

    def check(self) -> None:
        """Refuse numbers and names that no run can use.

        Raises:
            BadConfiguration: names the flag, what was found and what is needed.
        """
        from hpmkd_edge.bench.protocol import SAMPLINGS
        from hpmkd_edge.plan.settings import AUTO, SCHEDULES
        from hpmkd_edge.students.vocabulary import FEWEST_PIECES
        from hpmkd_edge.tracking.choose import check_trackers

        for flag, value, least in (
            ("--rounds", self.rounds, 1),
            ("--epochs", self.epochs, 1),
            ("--views", self.views, 1),
            ("--seed", self.seed, 0),
            ("--split-seed", self.split_seed, 0),
            ("--compression", self.compression, 1),
            ("--temperature", self.temperature, 1),
            ("--workers", self.workers, 1),
            ("--vocabulary", self.vocabulary, FEWEST_PIECES),
        ):
            check_number(flag, value, least)
        if self.schedule is not None and self.schedule not in (*SCHEDULES, AUTO):
            raise unknown("schedule", self.schedule, (*SCHEDULES, AUTO))
        if self.workers is not None and self.workers > MOST_WORKERS:
            raise BadConfiguration(f"--workers is {self.workers}; at most {MOST_WORKERS} are of use on one machine.")
        if (self.student_tap or self.teacher_tap) and not self.stages:
            raise BadConfiguration("--student-tap and --teacher-tap are for --stages by features, and none are given.")
        if self.stage_weighting != "inverse" and not self.stages:
            raise BadConfiguration("--stage-weighting is for --stages, and none are given; leave it out.")
        if self.goal not in (None, "classes", "value"):
            raise unknown("goal", str(self.goal), ("classes", "value"))
        if self.protocol not in SAMPLINGS:
            raise unknown("protocol", self.protocol, SAMPLINGS)
        if self.device not in ("auto", "cpu", "cuda"):
            raise unknown("device", self.device, ("auto", "cpu", "cuda"))
        check_trackers(self.log)
        if not self.targets:
            raise BadConfiguration("no target is given; name one with --target, e.g. --target jetson.")
        if len(set(self.targets)) < len(self.targets):
            raise BadConfiguration("a target is given twice; name each once.")
        if not self.data:
            raise BadConfiguration("--data is empty; a file, a folder or the name of an embedded set is needed.")
        if self.normalize is not None and not self.teachers:
            raise BadConfiguration("--normalize is for a teacher's input, and no --teacher is given; leave it out.")
        files = [spec for spec in self.teachers if is_python_spec(spec)]
        if len(self.weights) > len(files):
            raise BadConfiguration(
                f"--weights is given {len(self.weights)} times for {len(files)} teachers of the form file.py:function;"
                " give one a teacher, in the same order."
            )

    def to_json(self) -> str:
        """Return the request as JSON."""
        import json

        return json.dumps(asdict(self), indent=2)


def check_number(flag: str, value: float | None, least: int) -> None:
    """Refuse a *value* of *flag* below *least*, or one that no run can use; None is what was not given.

    Raises:
        BadConfiguration: names the flag, what was found and what is needed.
    """
    if value is not None and not least <= value < MOST:
        raise BadConfiguration(f"{flag} is {value}; a number from {least} to {MOST - 1:,} is needed.")


def nothing_to_take_up(partial: Path, what: str) -> BadConfiguration:
    """Return the error for a folder, *partial*, that would hold an interrupted run and is not there."""
    final = partial.with_name(partial.name.removesuffix(PARTIAL))
    if partial.name.endswith(PARTIAL) and final.exists():
        return BadConfiguration(f"{final} is there already and is not interrupted; nothing is left to resume.")
    return BadConfiguration(f"there is no interrupted {what} at {partial}; its folder ends in {PARTIAL}.")


def read_request(path: Path) -> Request:
    """Read a request that a run has kept.

    Raises:
        BadConfiguration: there is none at *path*, or it cannot be read.
    """
    from pydantic import TypeAdapter, ValidationError

    if not path.is_file():
        raise nothing_to_take_up(path.parent, "run")
    try:
        return TypeAdapter(Request).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise BadConfiguration(f"{path} is not a request of this version: {first['loc']}: {first['msg']}.") from error
