"""Teachers from scikit-learn: fitted classifiers and regressors from files, and one that is fitted here for tables."""

# Shape suffixes: N = rows, K = classes.

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import BadData, BadTeacher
from hpmkd_edge.store.objects import digest_of_file
from hpmkd_edge.tasks.task import Goal, Inputs, Rows, Table, Task, Texts
from hpmkd_edge.teachers.answers import (
    AS_LOGARITHMS,
    AS_VALUES,
    answer_in_batches,
    as_column,
    first_line,
    logarithms,
    running,
)
from hpmkd_edge.teachers.boosters import BoosterTeacher, booster_teacher, wrapped_booster
from hpmkd_edge.teachers.class_order import class_order
from hpmkd_edge.teachers.digest import digest_of
from hpmkd_edge.teachers.features import ImageInput, check_names, check_numbers, data_frame, number_matrix
from hpmkd_edge.teachers.normalization import RAW
from hpmkd_edge.teachers.request import TeacherRequest

if TYPE_CHECKING:
    import pandas as pd

# Attributes in which linear models and neural networks keep their weights, and those of the constants beside them.
# Constants alone are no count: a kernel machine has intercept_, and keeps what it learned in rows.
WEIGHTS: Final = ("coef_", "coefs_")
CONSTANTS: Final = ("intercept_", "intercepts_")
ROWS_AT_ONCE: Final = 4096
# The trees keep a category in a byte: the rarest beyond this share one place.
MOST_CATEGORIES: Final = 255
ROUNDS: Final = 500
ROUNDS_WITHOUT_STOPPING: Final = 100
HELD_OUT: Final = 0.1
LEAST_STOPPING: Final = 10  # held-out rows of values that tell when to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorTeacher:
    """A fitted classifier, or a fitted regressor.

    Attributes:
        estimator: of scikit-learn, or one with its methods.
        names: the columns of the data frame that it takes, or None where it takes a matrix or strings.
        images: how images become its matrix, or None for a table or a text.
        order: the column of its answer for each class of the task; None for a regressor.
    """

    name: str
    digest: str
    parameters: int | None
    model_bytes: int
    preprocessing: str
    estimator: Any
    names: tuple[str, ...] | None
    images: ImageInput | None
    order: tuple[int, ...] | None
    kind: str = "scikit-learn"
    answers_new_rows: bool = True

    @property
    def gives_probabilities(self) -> bool:
        """Whether it has predict_proba; else its decision_function is read."""
        return self.order is not None and hasattr(self.estimator, "predict_proba")

    def _input(self, inputs: Inputs) -> NDArray[Any] | pd.DataFrame | list[str]:
        if isinstance(inputs, Texts):
            return inputs.strings()
        if self.images is not None:
            return self.images.prepare(inputs)
        assert isinstance(inputs, Table)
        return number_matrix(inputs) if self.names is None else data_frame(inputs, self.names)

    def _forward(self, inputs: Inputs) -> NDArray[Any]:
        given = self._input(inputs)
        with running(self.name, (len(given),) if isinstance(given, list) else given.shape):
            if self.order is None:
                return as_column(np.asarray(self.estimator.predict(given)))
            if self.gives_probabilities:
                answer = np.asarray(self.estimator.predict_proba(given))
            else:
                answer = np.asarray(self.estimator.decision_function(given))
                if answer.ndim == 1:
                    # One distance d for two classes: the softmax of (−d/2, d/2) is the sigmoid of d.
                    answer = np.stack([-answer / 2, answer / 2], axis=1)
        if answer.ndim == 2 and answer.shape[1] != len(self.order):
            raise BadTeacher(f"{self.name} gives {answer.shape[1]} columns; one for each class is needed.")
        return answer[:, list(self.order)]

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Answer *rows*: float32 [N, K], or values [N, 1].

        Raises:
            BadTeacher: the estimator fails.
        """
        answers = answer_in_batches(self.name, rows.inputs, self._forward, size=ROWS_AT_ONCE)
        return logarithms(answers) if self.gives_probabilities else answers

    def graph(self) -> None:
        """Return None: it has no graph to time."""


def _load(path: Path, trust: bool) -> Any:
    if path.suffix != ".skops":
        import joblib

        return joblib.load(path)  # reads plain pickles too
    from skops.io import get_untrusted_types, load

    strange = get_untrusted_types(file=path)
    if strange and not trust:
        raise BadTeacher(f"{path.name} holds {', '.join(strange)}, not known to be safe; --trust is needed to load it.")
    return load(path, trusted=strange)


def _check_fitted(estimator: Any, name: str, goal: Goal) -> None:
    from sklearn.base import is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    kind, is_known = type(_last_step(estimator)).__name__, hasattr(estimator, "__sklearn_tags__")
    if goal == "value" and is_known and is_classifier(estimator):
        raise BadTeacher(
            f"{name} holds {kind}, a classifier; the label is a value, and a regressor is needed, or --goal classes."
        )
    if goal == "value" and not hasattr(estimator, "predict"):
        raise BadTeacher(f"{name} holds {kind}, without predict; a regressor is needed.")
    if goal == "classes" and is_known and is_regressor(estimator):
        raise BadTeacher(
            f"{name} holds {kind}, a regressor; the task has classes, and a classifier is needed, or --goal value."
        )
    if goal == "classes" and not (hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")):
        raise BadTeacher(
            f"{name} holds {type(estimator).__name__}, without predict_proba and decision_function; "
            "a classifier with one of them is needed."
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as fault:
        raise BadTeacher(
            f"{name} holds {type(estimator).__name__} that is not fitted; a fitted one is needed."
        ) from fault
    if goal == "classes" and not hasattr(estimator, "classes_"):
        raise BadTeacher(f"{name} holds {type(estimator).__name__} without classes_; a fitted classifier is needed.")


def _last_step(estimator: Any) -> Any:
    """Return what a pipeline or a search ends in."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
        else:
            return estimator


def _count(estimator: Any) -> int | None:
    last = _last_step(estimator)
    if all(getattr(last, name, None) is None for name in WEIGHTS):
        return None
    learned = [getattr(last, name, None) for name in (*WEIGHTS, *CONSTANTS)]
    arrays = [array for part in learned if part is not None for array in (part if isinstance(part, list) else [part])]
    return sum(int(np.size(array)) for array in arrays)


def _column_names(estimator: Any, name: str, table: Table) -> tuple[str, ...] | None:
    """Return the columns of the frame that it was fitted on, or None if it was fitted on a matrix."""
    fitted = getattr(estimator, "feature_names_in_", None)
    if fitted is None:
        check_numbers(
            name,
            table,
            getattr(estimator, "n_features_in_", None),
            "; fitted on a data frame it takes columns by name",
        )
        return None
    names = tuple(str(column) for column in fitted)
    check_names(name, names, table)
    return names


def open_estimator(request: TeacherRequest) -> EstimatorTeacher | BoosterTeacher:
    """Load a fitted classifier, or a regressor where values are learned.

    Those of boosting libraries become what their own files become.

    A `.skops` file is loaded if all its types are known to be safe; with `--trust` any is, and so is
    a pickle. Tables reach it as the data frame that it was fitted on, else as one matrix of the
    numbers; images as float32 [N, H·W·C], 0…255 unless `--normalize` says otherwise; texts as a list of strings.

    Raises:
        BadTeacher: not trusted, unreadable, not fitted, of the other kind, or other columns or classes.
    """
    path = request.file()
    name = path.name
    if path.suffix != ".skops":
        request.require_trust(path, "a .skops file")
    try:
        estimator = _load(path, request.trust)
    except BadTeacher:
        raise
    except Exception as fault:  # a pickle can raise anything
        raise BadTeacher(
            f"{path} cannot be loaded: {first_line(fault)}; a file of skops.io.dump or joblib.dump is needed."
        ) from fault
    goal = request.task.goal
    _check_fitted(estimator, name, goal)
    booster = wrapped_booster(estimator, name) if isinstance(request.task.train.inputs, Table) else None
    if booster is not None:
        return booster_teacher(request, path, booster)
    order: tuple[int, ...] | None = None
    about_answers, about_classes = AS_VALUES, ""
    if goal == "classes":
        order, about_classes = class_order(name, list(estimator.classes_), request.task.classes)
        soft = hasattr(estimator, "predict_proba")
        about_answers = AS_LOGARITHMS if soft else "its decision function is read as logits"
    table = request.task.train.inputs
    names: tuple[str, ...] | None = None
    images: ImageInput | None = None
    if isinstance(table, Table):
        names = _column_names(estimator, name, table)
        phrase = "the columns of numbers as one matrix" if names is None else "raw columns as a data frame"
    elif isinstance(table, Texts):
        phrase = "sentences as strings"
    else:
        images = ImageInput(layout="flat", dtype="float32", normalization=request.normalization or RAW)
        phrase = images.phrase
    return EstimatorTeacher(
        name=name,
        digest=digest_of(("scikit-learn", digest_of_file(path), phrase, *request.task.classes)),
        parameters=_count(estimator),
        model_bytes=path.stat().st_size,
        preprocessing=f"{phrase}; {about_answers}{about_classes}",
        estimator=estimator,
        names=names,
        images=images,
        order=order,
    )


def fit_boosted(task: Task, seed: int) -> EstimatorTeacher:
    """Fit boosted trees on the training rows; a tenth of them, held out inside, stops the rounds.

    Columns of text are categories to the trees, fixed on the training rows: a later one is missing.

    Raises:
        BadTeacher: the task has no table.
        BadData: a class has no training row.
    """
    import pickle

    import sklearn
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    table = task.train.inputs
    if not isinstance(table, Table):
        raise BadTeacher(f"no boosted teacher is trained for {task.kind}; a table is needed.")
    values = task.goal == "value"
    if values:
        kind, can_stop = HistGradientBoostingRegressor, len(task.train) * HELD_OUT >= LEAST_STOPPING
    else:
        counts = np.bincount(task.train.labels, minlength=len(task.classes))
        if not counts.all():
            raise BadData(f"class {task.classes[counts.argmin()]!r} has no training row; at least one is needed.")
        # The split inside is stratified: it needs two rows of each class, and a held-out row for each.
        can_stop = bool(counts.min() >= 2 and len(task.train) * HELD_OUT >= len(counts))
        kind = HistGradientBoostingClassifier
    text = [column.name for column in table.columns if column.kind == "category"]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MOST_CATEGORIES)
    columns = ColumnTransformer([("categories", encoder, text)], remainder="passthrough")
    trees = kind(
        categorical_features=np.arange(len(text)),  # the transformer puts them first
        early_stopping=can_stop,
        max_iter=ROUNDS if can_stop else ROUNDS_WITHOUT_STOPPING,
        validation_fraction=HELD_OUT,
        random_state=seed,
    )
    pipeline = Pipeline([("columns", columns), ("trees", trees)])
    names = tuple(column.name for column in table.columns)
    pipeline.fit(data_frame(table, names), task.train.labels)
    return EstimatorTeacher(
        name="gradient boosting, trained here",
        digest=digest_of(("boosted", task.digest, str(seed), sklearn.__version__, str(trees.get_params()))),
        parameters=None,
        model_bytes=len(pickle.dumps(pipeline)),
        preprocessing=f"raw columns, text as categories of the trees; {AS_VALUES if values else AS_LOGARITHMS}",
        estimator=pipeline,
        names=names,
        images=None,
        order=None if values else tuple(range(len(task.classes))),
    )
