"""Boosted trees of XGBoost, LightGBM and CatBoost, from the files of their own, which hold no code."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.tasks.task import Goal, Inputs, Rows, Table
from hpmkd_edge.teachers.answers import (
    AS_LOGARITHMS,
    AS_VALUES,
    answer_in_batches,
    as_column,
    first_line,
    logarithms,
    running,
)
from hpmkd_edge.teachers.booster_columns import check_kind
from hpmkd_edge.teachers.class_order import class_order
from hpmkd_edge.teachers.digest import digest_of
from hpmkd_edge.teachers.features import check_names, check_numbers, data_frame, number_matrix
from hpmkd_edge.teachers.objectives import LOGARITHMS, goal_of
from hpmkd_edge.teachers.request import TeacherRequest

if TYPE_CHECKING:
    import pandas as pd

ROWS_AT_ONCE: Final = 16384
LIBRARIES: Final = {".ubj": "xgboost", ".json": "xgboost", ".txt": "lightgbm", ".lgb": "lightgbm", ".cbm": "catboost"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Booster:
    """What a file, or an estimator of the library, tells of its model.

    Attributes:
        library: "xgboost", "lightgbm" or "catboost".
        names: of the columns that it was fitted on, or None where it was fitted on a matrix.
        width: how many columns these are.
        categories: of each column that was a category of pandas: its values in the order of their codes.
        words: the columns that it takes as words, of which it keeps no list.
        classes: names in the order of the outputs, or None where only their number is known.
        outputs: how many classes; 1 of a regressor.
        ask: from a frame or a matrix to probabilities, [N] of the second of two classes or [N, K]; or to values, [N].
        goal: what it was fitted for, by *objective*, the library's word.
    """

    library: str
    names: tuple[str, ...] | None
    width: int
    categories: Mapping[str, tuple[Any, ...]]
    words: frozenset[str]
    classes: tuple[Any, ...] | None
    outputs: int
    ask: Callable[[Any], NDArray[Any]]
    goal: Goal
    objective: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoosterTeacher:
    """A classifier of boosted trees, or a regressor.

    Attributes:
        order: the column of its answer for each class of the task; of a regressor, the one that there is.
    """

    name: str
    digest: str
    model_bytes: int
    preprocessing: str
    booster: Booster
    order: tuple[int, ...]
    parameters: int | None = None
    answers_new_rows: bool = True

    @property
    def kind(self) -> str:
        """The library."""
        return self.booster.library

    def _forward(self, inputs: Inputs) -> NDArray[Any]:
        assert isinstance(inputs, Table)
        given = _input(self.booster, inputs)
        with running(self.name, given.shape):
            answer = np.asarray(self.booster.ask(given))
        if self.booster.goal == "value":
            return as_column(answer)
        if answer.ndim == 1:
            answer = np.stack([1 - answer, answer], axis=1)
        return answer[:, list(self.order)]

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Answer *rows* with the logarithms of its probabilities, float32 [N, K], or with values, [N, 1].

        Raises:
            BadTeacher: the library fails.
        """
        answers = answer_in_batches(self.name, rows.inputs, self._forward, size=ROWS_AT_ONCE)
        return answers if self.booster.goal == "value" else logarithms(answers)

    def graph(self) -> None:
        """Return None: it has no graph to time."""


def open_booster(request: TeacherRequest) -> BoosterTeacher:
    """Open a model file of XGBoost (.ubj, .json), LightGBM (.txt, .lgb) or CatBoost (.cbm).

    XGBoost and LightGBM do not write the names of classes: their outputs are taken in the order of the task's.
    A column of the task that the file wants as a category must be one, and the other way round. Missing categories,
    and those that were not there when it was fitted, reach XGBoost and LightGBM as missing; CatBoost, which keeps no
    list of words, gets them as they are, '' where missing.

    Raises:
        BadTeacher: the library is not installed, the file is none of it, or it was fitted on other columns or
            classes, or for another purpose.
        BadConfiguration: `--normalize`, which has nothing to apply to.
    """
    path = request.file()
    library = LIBRARIES[path.suffix.lower()]
    request.refuse_normalization(f"{path.name} takes a table")
    if not isinstance(request.task.train.inputs, Table):
        raise BadTeacher(f"{path.name} holds boosted trees, which take a table; {request.task_has}.")
    if find_spec(library) is None:
        raise BadTeacher(
            f"{path.name} needs the {library} package, which is not installed; pip install 'hpmkd-edge[boosting]' "
            "brings it."
        )
    try:
        booster = READERS[library](path)
    except BadTeacher:
        raise
    except Exception as fault:  # the libraries share no class of error
        raise BadTeacher(
            f"{path} cannot be read as a model of {library}: {first_line(fault)}; a file that it saved is needed."
        ) from fault
    return booster_teacher(request, path, booster)


def booster_teacher(request: TeacherRequest, path: Path, booster: Booster) -> BoosterTeacher:
    """Make sure that *booster* fits the task, and return it as a teacher.

    Raises:
        BadTeacher: it was fitted on other columns or classes.
    """
    task, name, table = request.task, path.name, request.task.train.inputs
    assert isinstance(table, Table)
    if booster.goal != task.goal:
        kinds = {"classes": "a classifier", "value": "a regressor"}
        label = "the label is a value" if task.goal == "value" else "the task has classes"
        raise BadTeacher(
            f"{name} was fitted for {booster.objective}; {label}, and {kinds[task.goal]} is needed, or --goal"
            f" {booster.goal}."
        )
    if booster.outputs != task.outputs and booster.goal == "value":
        raise BadTeacher(f"{name} gives {booster.outputs} numbers a row; the label is one value, and one is needed.")
    if booster.outputs != task.outputs:
        raise BadTeacher(
            f"{name} gives {booster.outputs} classes; the task has {len(task.classes)}: {', '.join(task.classes)}."
        )
    booster = _fitted_to(booster, table, name)
    order: tuple[int, ...] = (0,)
    if booster.goal == "value":
        about = ""
    elif booster.classes is None:
        order, about = tuple(range(booster.outputs)), "; its classes are read as positions"
    else:
        order, about = class_order(name, booster.classes, task.classes)
    phrase = "the columns of numbers as one matrix" if booster.names is None else "raw columns by name"
    return BoosterTeacher(
        name=name,
        digest=digest_of((booster.library, digest_of_file(path), phrase, *task.classes)),
        model_bytes=path.stat().st_size,
        preprocessing=f"{phrase}; {AS_VALUES if booster.goal == 'value' else AS_LOGARITHMS}{about}",
        booster=booster,
        order=order,
    )


def wrapped_booster(estimator: Any, name: str) -> Booster | None:
    """Return what is inside an estimator of one of the libraries, or None for any other."""
    library = type(estimator).__module__.split(".", 1)[0]
    if library == "xgboost":
        booster = _xgboost(estimator.get_booster(), name)
    elif library == "lightgbm":
        booster = _lightgbm(estimator.booster_, name)
    elif library == "catboost":
        return _catboost(estimator, name)
    else:
        return None
    return replace(booster, classes=tuple(estimator.classes_)) if booster.goal == "classes" else booster


def _fitted_to(booster: Booster, table: Table, name: str) -> Booster:
    """Return *booster* with the task's own names of its columns, each of the kind that it takes."""
    if booster.names is None:
        check_numbers(name, table, booster.width)
        return booster
    own = {column.name: column for column in table.columns}
    if booster.library == "lightgbm":
        # It writes spaces in names as underscores.
        spelled = {column.replace(" ", "_"): column for column in own if column.replace(" ", "_") not in own}
        names = tuple(spelled.get(one, one) for one in booster.names)
        categories = {spelled.get(one, one): known for one, known in booster.categories.items()}
        booster = replace(booster, names=names, categories=categories)
    assert booster.names is not None
    check_names(name, booster.names, table)
    for one in booster.names:
        check_kind(own[one], name, categories=booster.categories, words=booster.words)
    return booster


def _input(booster: Booster, table: Table) -> pd.DataFrame | NDArray[np.float32]:
    if booster.names is None:
        return number_matrix(table)
    import pandas as pd

    frame = data_frame(table, booster.names, booster.categories)
    columns = {column.name: column for column in table.columns}
    for name in booster.words:
        column = columns[name]
        words_N = np.where(column.missing, "", column.values.astype(str)).astype(object)
        frame[name] = pd.Series(words_N, dtype=object)
    return frame


def _read_xgboost(path: Path) -> Booster:
    import xgboost

    return _xgboost(xgboost.Booster(model_file=str(path)), path.name)


def _xgboost(model: Any, name: str) -> Booster:
    import xgboost

    learner = json.loads(model.save_config())["learner"]
    objective = str(learner["objective"]["name"])
    goal = goal_of(name, "xgboost", objective)
    names, types = model.feature_names, model.feature_types or ()
    categories: dict[str, tuple[Any, ...]] = {}
    if "c" in types:
        kept = model.get_categories(export_to_arrow=True).to_arrow() if hasattr(model, "get_categories") else []
        categories = {str(one): tuple(known.to_pylist()) for one, known in kept if known is not None}
        coded = [str(one) for one, kind in zip(names, types, strict=True) if kind == "c" and one not in categories]
        if coded:
            raise BadTeacher(
                f"{name} takes {coded[0]!r} as codes of categories, and does not say which; a model fitted on a frame "
                "with categories of pandas, by XGBoost 3.1 or newer, is needed."
            )
    best = model.attr("best_iteration")  # none where no early stopping has chosen it
    rounds = (0, 0 if best is None else int(best) + 1)

    def ask(given: Any) -> NDArray[Any]:
        rows = xgboost.DMatrix(given, enable_categorical=True)
        # softmax answers with classes, logitraw with margins: their margins are softened here, as XGBoost would.
        margins = objective in ("multi:softmax", "binary:logitraw")
        answer = np.asarray(model.predict(rows, iteration_range=rounds, output_margin=margins))
        if not margins:
            return answer
        scores = answer if answer.ndim == 2 else np.stack([np.zeros_like(answer), answer], axis=1)
        weights = np.exp(scores - scores.max(1, keepdims=True))
        return np.asarray(weights / weights.sum(1, keepdims=True))

    return Booster(
        library="xgboost",
        names=None if names is None else tuple(map(str, names)),
        width=int(model.num_features()),
        categories=categories,
        words=frozenset(),
        classes=None,
        outputs=(
            max(2, int(learner["learner_model_param"]["num_class"]))
            if goal == "classes"
            else int(learner["learner_model_param"].get("num_target", 1))
        ),
        ask=ask,
        goal=goal,
        objective=objective,
    )


def _read_lightgbm(path: Path) -> Booster:
    import lightgbm

    lightgbm.register_logger(_Silent())
    return _lightgbm(lightgbm.Booster(model_file=str(path)), path.name)


class _Silent:
    """What LightGBM's messages go to: what goes wrong it raises, too."""

    def info(self, message: str) -> None:
        """Drop it."""

    def warning(self, message: str) -> None:
        """Drop it."""


def _lightgbm(model: Any, name: str) -> Booster:
    text = model.model_to_string(num_iteration=1)
    said = re.search(r"^objective=(\w+)", text, re.MULTILINE)
    objective = said.group(1) if said else "nothing that it names"
    goal = goal_of(name, "lightgbm", objective)
    names = [str(one) for one in model.feature_name()]
    # The columns of categories by place, and, for those of a frame, the categories of each in the order of their codes.
    coded = re.search(r"^\[categorical_feature: ([\d,]+)\]", text, re.MULTILINE)
    places = [int(place) for place in coded.group(1).split(",")] if coded else []
    known = [tuple(one) for one in model.pandas_categorical or ()]
    if len(known) != len(places):
        raise BadTeacher(
            f"{name} takes {len(places)} columns as codes of categories and tells those of {len(known)}; a model "
            "fitted on a frame with categories of pandas is needed."
        )
    return Booster(
        library="lightgbm",
        names=None if names == [f"Column_{place}" for place in range(len(names))] else tuple(names),
        width=len(names),
        categories={names[place]: one for place, one in zip(places, known, strict=True)},
        words=frozenset(),
        classes=None,
        outputs=max(2, int(model.num_model_per_iteration())) if goal == "classes" else 1,
        ask=lambda given: np.asarray(model.predict(given)),
        goal=goal,
        objective=objective,
    )


def _read_catboost(path: Path) -> Booster:
    import catboost

    # A classifier reads any file, and has classes where it is one.
    model = catboost.CatBoostClassifier().load_model(str(path))
    return _catboost(model if len(model.classes_) else catboost.CatBoost().load_model(str(path)), path.name)


def _catboost(model: Any, name: str) -> Booster:
    classes = tuple(np.asarray(model.classes_).tolist())
    objective = str(model.get_all_params().get("loss_function", "nothing that it names"))
    goal: Goal = "classes" if len(classes) > 1 else goal_of(name, "catboost", objective.split(":")[0])
    ask: Callable[[Any], NDArray[Any]]
    if goal == "classes":
        ask = lambda given: np.asarray(model.predict_proba(given))  # noqa: E731
    else:
        form = "Exponent" if objective.split(":")[0] in LOGARITHMS else "RawFormulaVal"
        ask = lambda given: np.asarray(model.predict(given, prediction_type=form))  # noqa: E731
    strange = [*model.get_text_feature_indices(), *model.get_embedding_feature_indices()]
    names = [str(one) for one in model.feature_names_]
    if strange:
        raise BadTeacher(
            f"{name} takes {names[strange[0]]!r} as free text or as vectors; numbers and words are needed."
        )
    by_place = names == [str(place) for place in range(len(names))]
    words = frozenset(names[place] for place in model.get_cat_feature_indices())
    if by_place and words:
        raise BadTeacher(f"{name} takes words and keeps no names of columns; a model fitted on a frame is needed.")
    return Booster(
        library="catboost",
        names=None if by_place else tuple(names),
        width=len(names),
        categories={},
        words=words,
        classes=classes if goal == "classes" else None,
        outputs=len(classes) if goal == "classes" else 1,
        ask=ask,
        goal=goal,
        objective=objective,
    )


READERS: Final[dict[str, Callable[[Path], Booster]]] = {
    "xgboost": _read_xgboost,
    "lightgbm": _read_lightgbm,
    "catboost": _read_catboost,
}
