"""What boosted trees are fitted for, in the words of their libraries."""

from __future__ import annotations

from typing import Final

from hpmkd_edge.errors import BadTeacher
from hpmkd_edge.tasks.task import Goal

# CatBoost's classifiers are known by their classes.
CLASSIFIERS: Final = {
    "xgboost": ("binary:logistic", "binary:logitraw", "multi:softprob", "multi:softmax"),
    "lightgbm": ("binary", "multiclass", "multiclassova"),
    "catboost": (),
}
# What each of these answers with is in the label's units, also where its trees add up a logarithm.
REGRESSORS: Final = {
    "xgboost": (
        "reg:squarederror", "reg:squaredlogerror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror",
        "reg:expectileerror", "reg:gamma", "reg:tweedie", "count:poisson",
    ),
    "lightgbm": ("regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie"),
    "catboost": (
        "RMSE", "MAE", "MAPE", "Quantile", "Expectile", "Huber", "LogCosh", "Lq", "Poisson", "Tweedie",
    ),
}  # fmt: skip
# Those of CatBoost that give the logarithm itself if not asked for its exponential.
LOGARITHMS: Final = ("Poisson", "Tweedie")


def goal_of(name: str, library: str, objective: str) -> Goal:
    """Return what a model of this *objective* answers with.

    Raises:
        BadTeacher: it is none of those that are known.
    """
    if objective in CLASSIFIERS[library]:
        return "classes"
    if objective in REGRESSORS[library]:
        return "value"
    known = ", ".join((*CLASSIFIERS[library], *REGRESSORS[library]))
    raise BadTeacher(f"{name} was fitted for {objective}; a classifier or a regressor ({known}) is needed.")
