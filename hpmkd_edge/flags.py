"""The flags of a run, once for all commands that start one, and the file that can stand in for them."""

from __future__ import annotations

import inspect
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from hpmkd_edge.errors import EdgeError, nearest
from hpmkd_edge.request import Request
from hpmkd_edge.yaml_lines import read_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A flag that fills a field of the request, whose type and default it has.

    Attributes:
        name: of the flag where it is not the field's.
        spelling: another way to write the flag.
        values: what a shell offers after it; None where nothing can be offered.
    """

    field: str
    help: str
    name: str | None = None
    spelling: str | None = None
    metavar: str | None = None
    values: Callable[[typer.Context], Iterable[str]] | None = None

    @property
    def key(self) -> str:
        """What the flag is called in Python and in a file."""
        return self.name or self.field


# Names of families and of losses on logits; the tables themselves need torch, for which no shell waits.
STUDENTS: Final = ("mlp", "residual", "depthwise", "gated", "bag", "encoder")
METHODS: Final = ("kd", "logit_mse", "brier", "dist", "dkd", "lskd", "wttm", "squares")


def _targets(context: typer.Context) -> Iterable[str]:
    """Return the names of those that ship, and of the user's own file where one is typed."""
    from hpmkd_edge.targets import load_targets

    file = context.params.get("targets")
    try:
        return load_targets(Path(file) if file else None)
    except EdgeError:  # the command will say so; a shell that is asked for names can only offer none
        return ()


def _schedules(_context: typer.Context) -> Iterable[str]:
    from hpmkd_edge.plan.settings import AUTO, SCHEDULES

    return (*SCHEDULES, AUTO)


def _components(_context: typer.Context) -> Iterable[str]:
    from hpmkd_edge.plan.components import COMPONENTS

    return COMPONENTS


def _protocols(_context: typer.Context) -> Iterable[str]:
    from hpmkd_edge.bench.protocol import SAMPLINGS

    return SAMPLINGS


def _trackers(_context: typer.Context) -> Iterable[str]:
    from hpmkd_edge.tracking.choose import TRACKERS

    return TRACKERS


FLAGS: Final = (
    Flag(field="targets", name="target", help="What it must fit; repeatable. [default: jetson]", values=_targets),
    Flag(field="targets_file", name="targets", help="Your own targets, in the form of targets.yaml.", metavar="FILE"),
    Flag(
        field="data",
        help="'digits', a .csv, .tsv, .parquet or .npz file, a folder of train and test files, or of class folders.",
    ),
    Flag(field="label", help="The column, or NPZ array, to predict."),
    Flag(
        field="goal",
        help="What the label is: classes, or a value. [default: a value of decimal or many numbers]",
        metavar="GOAL",
        values=lambda _: ("classes", "value"),
    ),
    Flag(field="split", help="The column that says train, validation or test.", metavar="COLUMN"),
    Flag(field="split_seed", help="Of the split, where the data has none of its own."),
    Flag(field="schema", help="What columns mean: a YAML of number, category, text, id, drop.", metavar="FILE"),
    Flag(
        field="text", help="The column of sentences. [default: the only column of words that differ]", metavar="COLUMN"
    ),
    Flag(
        field="unlabeled",
        spelling="--unlabelled",
        help="More sentences for the teacher to label: a line each, or in a table's column named as the data's.",
        metavar="FILE",
    ),
    Flag(
        field="tokenizer",
        help="Of a text student: wordpiece, bytes, or a tokenizer.json. [default: the teacher's]",
        values=lambda _: ("wordpiece", "bytes"),
    ),
    Flag(
        field="vocabulary", help="Most pieces it knows. [default: what occurs twice, at most 8,000]", metavar="PIECES"
    ),
    Flag(field="start", help="Folder of an encoder to begin from, or random. [default: the teacher]", metavar="DIR"),
    Flag(
        field="teachers",
        name="teacher",
        help="Repeatable: file.py:function, .pt2, .onnx, .skops, .ubj, .json, .txt, .cbm, a Hugging Face folder, or"
        " answers (.npy, .csv).",
    ),
    Flag(field="weights", help="Weights of a file.py:function teacher, in the same order."),
    Flag(field="normalize", help="Teachers' input: unit, imagenet, cifar10, none, or MEAN,…/STD,… a channel."),
    Flag(field="trust", help="Load pickles, which may run any code."),
    Flag(
        field="student",
        help="mlp, residual, depthwise, gated, bag, encoder, or file.py:function. [default: by the data]",
        values=lambda _: STUDENTS,
    ),
    Flag(field="size", help="The student's width and depth, such as 16x1. [default: the largest that fits]"),
    Flag(field="seed", help="Of weights and order."),
    Flag(field="rounds", help="Most turns of train, measure, resize."),
    Flag(field="epochs", help="Of each training. [default: by the rows]"),
    Flag(
        field="views",
        help="Copies that the teacher labels: shifted images, resampled cells, changed texts. [default: by the rows]",
    ),
    Flag(field="flip", help="Views may be mirrored (photographs, not digits)."),
    Flag(field="mixup", help="Views are mixtures of two images, labeled by the teacher as they are."),
    Flag(
        field="method",
        help="kd, logit_mse, brier, dist, dkd, lskd or wttm, of values squares. [default: by the task]",
        values=lambda _: METHODS,
    ),
    Flag(field="temperature", help="Of that loss. [default: by the loss]"),
    Flag(
        field="schedule",
        help="How it moves: constant, cosine, loss, convergence, gap or auto. [default: by the memory]",
        values=_schedules,
    ),
    Flag(field="stages", help="Losses one after the other, such as fitnet,kd, as a rival of one stage."),
    Flag(
        field="stage_weighting",
        help="Rows that stay near the stage before: inverse, tcp or uniform.",
        values=lambda _: ("inverse", "tcp", "uniform"),
    ),
    Flag(field="student_tap", help="Module whose output a stage by features reads. [default: the last maps]"),
    Flag(field="teacher_tap", help="The same, of the teacher."),
    Flag(
        field="without",
        help="Turn off configuration, chain, attention, temperature, parallel or memory; repeatable.",
        metavar="COMPONENT",
        values=_components,
    ),
    Flag(field="accept_weak_teacher", help="Go on with a teacher no better than the student on labels alone."),
    Flag(field="workers", help="Trainings side by side. [default: one a core]"),
    Flag(field="compression", help="At least so many times smaller than the teacher."),
    Flag(field="protocol", help="How long to measure: quick, standard or mlperf.", values=_protocols),
    Flag(field="host", help="Measure on this board: ssh://user@board[:port].", metavar="URL"),
    Flag(
        field="profiles",
        name="profile_from",
        help="A measurement taken on the board by hand, of a file that this run makes; repeatable.",
        metavar="FILE",
    ),
    Flag(
        field="records",
        help="Profiles of other models on the board, with their ONNX files: they predict what is not measured there.",
        metavar="DIR",
    ),
    Flag(field="device", help="Train on auto, cpu or cuda.", values=lambda _: ("auto", "cpu", "cuda")),
    Flag(field="log", help="Follow the run in tensorboard or mlflow; repeatable.", metavar="TRACKER", values=_trackers),
)
TUPLE: Final = tuple[str, ...]


def takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* all flags of a run; it is called with a `request` made of them, and with its own flags.

    A file given as `--config` stands in for the flags that are not given. The request is not checked yet.
    """
    types, defaults = get_type_hints(Request), {field.name: field.default for field in fields(Request)}
    own = inspect.signature(command, eval_str=True)
    parameters = [own.parameters["context"], _config_parameter()]
    for flag in FLAGS:
        default = defaults[flag.field]
        assert default is not MISSING
        kind, several = types[flag.field], types[flag.field] == TUPLE
        # A flag that is true or false has no --no- form: false is its default.
        names = [f"--{flag.key.replace('_', '-')}", *([flag.spelling] if flag.spelling else [])]
        option = typer.Option(
            *names,
            help=flag.help,
            metavar=flag.metavar,
            show_default=not several,
            autocompletion=None if flag.values is None else _completing(flag.values),
        )
        parameters.append(
            inspect.Parameter(
                flag.key,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if several else default,
                annotation=Annotated[list[str] | None if several else kind, option],
            )
        )
    parameters += [one for name, one in own.parameters.items() if name not in ("context", "request")]
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]

    @wraps(command)
    def called(*, context: typer.Context, config: Path | None, **given: Any) -> None:
        values = {flag.key: given.pop(flag.key) for flag in FLAGS}
        if config is not None:
            typed = [key for key in values if is_typed(context, key)]
            values |= {key: value for key, value in read_config(config).items() if key not in typed}
        command(context=context, request=_request_of(values), **given)

    called.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


def _completing(values: Callable[[typer.Context], Iterable[str]]) -> Callable[[typer.Context, str], list[str]]:
    """Return what a shell asks: which of the *values* begin as what is typed so far."""

    def completed(context: typer.Context, incomplete: str) -> list[str]:
        return [value for value in values(context) if value.startswith(incomplete)]

    return completed


def _config_parameter() -> inspect.Parameter:
    option = typer.Option(
        "--config", help="A YAML file of these flags: `epochs: 60`, `stages: [fitnet, kd]`.", metavar="FILE"
    )
    return inspect.Parameter(
        "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[Path | None, option]
    )


def is_typed(context: typer.Context, key: str) -> bool:
    """Tell whether the user has typed the flag of this name."""
    return getattr(context.get_parameter_source(key), "name", "") == "COMMANDLINE"


def _request_of(values: Mapping[str, Any]) -> Request:
    """Make a request of flags by key; of several values a tuple."""
    found = {flag.field: values[flag.key] for flag in FLAGS}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in found.items() if value is not None
    }
    return replace(Request(**given), command=shlex.join(["hpmkd-edge", *sys.argv[1:]]))


def read_config(path: Path) -> dict[str, Any]:
    """Read the flags that a file gives, by their names without the dashes, strictly.

    Raises:
        BadConfiguration: the file cannot be read, a key is no flag, or a value is of another type than the flag's.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
    from typing_extensions import TypedDict  # pydantic's own; it refuses typing's before Python 3.12

    source, types = read_yaml(path), get_type_hints(Request)
    known = {flag.key: types[flag.field] for flag in FLAGS}
    if not isinstance(source.value, dict):
        source.refuse((), "a list or a single value was found; flags by name, such as `epochs: 60`, are needed.")
    found: dict[str, Any] = {}
    for key, value in source.value.items():
        if key.replace("-", "_") in found:
            source.refuse((key,), "the flag stands above already, in its other spelling; it is needed once.")
        found[key.replace("-", "_")] = value
    # As on the command line, one target or teacher needs no list, and stages may be one.
    for key, value in found.items():
        if known.get(key) == TUPLE and isinstance(value, str):
            found[key] = [value]
        if key == "stages" and isinstance(value, list):
            found[key] = ",".join(map(str, value))
    optional = {key: kind | None for key, kind in known.items()}
    flags: Any = TypedDict("flags", optional, total=False)  # type: ignore[misc]
    strict = with_config(ConfigDict(extra="forbid", strict=True))(flags)
    try:
        read: Any = TypeAdapter(strict).validate_json(json.dumps(found, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(first["loc"])
        written = next(key for key in source.value if key.replace("-", "_") == place[0])
        if first["type"] == "extra_forbidden":
            source.refuse((written,), f"there is no such flag. {nearest(str(place[0]), known)}")
        source.refuse((written, *place[1:]), f"{first['msg'][0].lower()}{first['msg'][1:]}.")
    return {key: read[key] for key in found}
