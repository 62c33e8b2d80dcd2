"""A teacher whose answers were computed beforehand: `.npy`, `.npz`, `.csv` or `.parquet`."""

# Shape suffixes: N = rows of the source, K = classes.

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.tasks.task import Goal, Identifiers, Rows, Task
from hpmkd_edge.teachers.answers import AS_LOGARITHMS, are_probabilities, as_column, first_line, logarithms
from hpmkd_edge.teachers.digest import digest_of, digest_of_array
from hpmkd_edge.teachers.request import TeacherRequest

ANSWERS: Final[dict[Goal, tuple[str, ...]]] = {"classes": ("logits", "probabilities"), "value": ("values",)}
PLACES: Final = ("positions", "ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitsTeacher:
    """Logits, or values, for every row of the source.

    Attributes:
        answers: float32 [N, K], or [N, 1] of values, in the order of the source.
    """

    name: str
    digest: str
    preprocessing: str
    answers: NDArray[np.float32]
    kind: str = "logits"
    answers_new_rows: bool = False
    parameters: int | None = None
    model_bytes: int | None = None

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Answer *rows* by their positions in the source: float32 [N, K], or values [N, 1].

        Raises:
            BadTeacher: a row lies beyond the file.
        """
        last = int(rows.positions.max(initial=-1))
        if last >= len(self.answers):
            raise BadTeacher(f"{self.name} holds {len(self.answers)} rows; row {last} is needed.")
        return self.answers[rows.positions]

    def graph(self) -> None:
        """Return None: there is no model to time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What a file holds.

    Attributes:
        places: what says which row is which, and *places_by* its name.
        named: logits, probabilities or values, or "" where the numbers must tell.
    """

    values: NDArray[Any]
    places: NDArray[Any] | None
    places_by: str
    named: str


def _from_npz(path: Path, goal: Goal) -> _Content:
    with np.load(path, allow_pickle=False) as arrays:
        found = [key for key in ANSWERS[goal] if key in arrays.files]
        if len(found) != 1:
            raise BadTeacher(
                f"{path.name} holds {', '.join(arrays.files) or 'nothing'}; one array named"
                f" {' or '.join(ANSWERS[goal])} is needed."
            )
        place = next((key for key in PLACES if key in arrays.files), None)
        places = None if place is None else arrays[place]
        return _Content(values=arrays[found[0]], places=places, places_by=place or "", named=found[0])


def _from_table(path: Path, task: Task) -> _Content:
    import pandas as pd

    # As it is spelled: 007 is another name than 7.
    by_name = () if task.identifiers is None else (task.identifiers.name, "ids")
    as_text = {key: str for key in by_name if key not in task.classes}
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
    else:
        # The default reader rounds the last bit of a float.
        frame = pd.read_csv(path, float_precision="round_trip", dtype=as_text)
    frame.columns = [str(column) for column in frame.columns]
    place = next((key for key in (*by_name, *PLACES) if key in frame.columns and key not in task.classes), None)
    places = None if place is None else frame.pop(place).to_numpy()
    own = list(frame.columns)
    if task.goal == "value" and len(own) != 1:
        known = " or ".join(dict.fromkeys((*PLACES, *by_name)))
        raise BadTeacher(
            f"{path.name} has the columns {', '.join(own[:12]) or 'of places alone'}; one of values is needed, and at"
            f" most one that says which row is which ({known})."
        )
    missing = [label for label in task.classes if label not in own]
    strange = [column for column in own if column not in task.classes]
    if task.classes and not missing and strange:
        # It may say which row is which, under a name that is not known here.
        raise BadTeacher(
            f"{path.name} has the column {strange[0]!r} beside the classes; rows are placed by a column named"
            f" {' or '.join(dict.fromkeys((*PLACES, *by_name)))}. To place them by {strange[0]!r}, --schema must call"
            " that column of the data an id; no other is needed."
        )
    if task.classes and not missing:
        frame = frame[list(task.classes)]
    elif task.classes and (len(own) != len(task.classes) or len(missing) < len(task.classes)):
        # Some names of the task among others: taking the columns in order would be a guess.
        raise BadTeacher(
            f"{path.name} has the columns {', '.join(own[:12])}; the classes {', '.join(task.classes)}, or "
            f"{len(task.classes)} columns in their order, are needed."
        )
    text = next((column for column in frame.columns if not pd.api.types.is_numeric_dtype(frame[column])), None)
    if text is not None:
        raise BadTeacher(f"the column {text!r} of {path.name} holds text; numbers are needed.")
    return _Content(values=frame.to_numpy(np.float64), places=places, places_by=place or "", named="")


def _read(path: Path, task: Task) -> _Content:
    if path.suffix == ".npy":
        return _Content(values=np.load(path, allow_pickle=False), places=None, places_by="", named="")
    return _from_npz(path, task.goal) if path.suffix == ".npz" else _from_table(path, task)


def _check_values(values: NDArray[Any], name: str, task: Task) -> None:
    if task.goal == "value" and (values.ndim != 2 or values.shape[1] != 1 or values.dtype.kind not in "iuf"):
        raise BadTeacher(f"{name} holds {values.dtype} of shape {values.shape}; one value a row is needed.")
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise BadTeacher(f"{name} holds {values.dtype} of shape {values.shape}; numbers [rows, classes] are needed.")
    if values.shape[1] != task.outputs:
        raise BadTeacher(f"{name} gives {values.shape[1]} classes; the task has {len(task.classes)}.")
    if len(values) != task.row_count:
        raise BadTeacher(
            f"{name} holds {len(values)} rows; {task.source} has {task.row_count}, and an answer for each is needed."
        )
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        place = f", column {column} ({task.classes[column]})" if task.classes else ""
        raise BadTeacher(f"{name} holds {values[row, column]} in row {row}{place}; finite numbers are needed.")


def _in_order(content: _Content, name: str, task: Task) -> NDArray[Any]:
    """Return the rows in the order of the source."""
    values, places = content.values, content.places
    if places is None:
        return values
    if task.identifiers is not None and content.places_by != "positions":
        return values[_places_of(task.identifiers, places, name)]
    wanted = np.arange(len(values))
    if places.shape != wanted.shape or not np.array_equal(np.sort(places), wanted):
        raise BadTeacher(
            f"the positions of {name} do not name each row from 0 to {len(values) - 1} once, as is needed."
        )
    return values[np.argsort(places)]


def _places_of(identifiers: Identifiers, names_N: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Return where the file has each row of the source."""
    places = {str(one): place for place, one in enumerate(names_N.tolist())}
    missing = next((one for one in identifiers.values if one not in places), None)
    if missing is not None or len(places) < len(names_N):
        found = f"has no row for {missing!r}" if missing is not None else "has an answer twice"
        raise BadTeacher(f"{name} {found}; each {identifiers.name!r} of the data is needed once, in the same spelling.")
    return np.fromiter((places[one] for one in identifiers.values), np.int64, len(identifiers.values))


def _spelled(task: Task) -> tuple[str, ...]:
    """Return what else decides which answer is which row's."""
    return () if task.identifiers is None else (digest_of_array(task.identifiers.values),)


def open_logits_file(request: TeacherRequest) -> LogitsTeacher:
    """Read answers for every row of the source, in its order, with their positions, or with their names.

    An array or column named positions or ids holds 0-based places in the source. Where the schema calls a column of
    the data an id, the file's column of that name, or ids, holds its values instead.

    An array named probabilities is read as logarithms, and so is an unnamed one whose rows all lie
    in [0, 1] and sum to 1. Where values are learned, the file holds one a row: an array, or one named values, or the
    one column beside the places.

    Raises:
        BadTeacher: unreadable, other rows or classes than the task's, or a number that is not finite.
        BadConfiguration: `--normalize`, which has nothing to apply to.
    """
    path = request.file()
    name = path.name
    request.refuse_normalization(f"the answers of {name} are computed already")
    try:
        content = _read(path, request.task)
    except BadTeacher:
        raise
    except Exception as fault:  # numpy, pandas and pyarrow share no class of error
        raise BadTeacher(f"{path} cannot be read: {first_line(fault)}; numbers [rows, classes] are needed.") from fault
    if request.task.goal == "value":
        content = replace(content, values=as_column(content.values))
    _check_values(content.values, name, request.task)
    if content.named == "probabilities" and not are_probabilities(content.values):
        raise BadTeacher(f"the probabilities of {name} do not all lie in [0, 1] and sum to 1, as is needed.")
    values = _in_order(content, name, request.task)
    may_be_soft = request.task.goal == "classes" and content.named != "logits"
    as_logarithms = may_be_soft and are_probabilities(values)
    return LogitsTeacher(
        name=name,
        digest=digest_of(("logits", digest_of_file(path), *_spelled(request.task), *request.task.classes)),
        preprocessing="answers computed beforehand" + (f"; {AS_LOGARITHMS}" if as_logarithms else ""),
        answers=logarithms(values) if as_logarithms else values.astype(np.float32),
    )
