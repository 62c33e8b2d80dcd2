"""The portfolio: a few recipes, one of which does well on most tasks, to start from where nothing is remembered."""

# Shape suffixes: T = tasks, R = recipes.

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from hpmkd_edge.errors import nearest
from hpmkd_edge.plan.recipe import NEUTRAL, SPACE, Recipe
from hpmkd_edge.yaml_lines import Place, Source, read_yaml

MOST: Final = 8
SHIPPED: Final = Path(__file__).with_name("portfolio.yaml")
_HEAD: Final = """\
# The recipes that a run starts from where its memory is empty: factors of the task's own settings, and alpha, the
# teacher's share in the loss. The first, {}, changes nothing. To make them from measurements:
#   python bench/scripts/make_portfolio.py --help
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """Recipes to try, the task's own settings first.

    Attributes:
        made_by: how they were chosen, for reports.
    """

    # pydantic reads this off a standard dataclass, and carries it into those inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    made_by: str
    recipes: tuple[Recipe, ...]

    def __post_init__(self) -> None:
        if not self.made_by.strip():
            raise ValueError("made_by is empty; how the recipes were chosen is needed")
        if not 1 <= len(self.recipes) <= MOST:
            raise ValueError(f"recipes has {len(self.recipes)} entries; 1 to {MOST} are needed")
        if self.recipes[0] != NEUTRAL:
            raise ValueError("recipes begins with a change; {}, the task's own settings, is needed first")
        if len(set(self.recipes)) < len(self.recipes):
            raise ValueError("recipes has an entry twice; each is needed once")


def read_portfolio(path: Path = SHIPPED) -> Portfolio:
    """Read a portfolio strictly; a number that a recipe leaves out is the task's own.

    Raises:
        BadConfiguration: the file cannot be read, or a key or a value in it is wrong.
    """
    from pydantic import TypeAdapter, ValidationError

    source = read_yaml(path)
    try:
        # As JSON, since strict pydantic makes dataclasses and tuples of nothing else.
        portfolio: Portfolio = TypeAdapter(Portfolio).validate_json(json.dumps(source.value, default=str))
    except ValidationError as error:
        # One mistake at a time; a misspelled key comes before the missing one that it explains.
        first = min(error.errors(), key=lambda fault: fault["type"] == "missing")
        _refuse(source, first["loc"], first["type"], first["msg"])
    return portfolio


def _refuse(source: Source, place: Place, kind: str, message: str) -> NoReturn:
    """Put pydantic's first complaint into one sentence with its line."""
    if kind == "unexpected_keyword_argument":
        known = SPACE if len(place) > 1 else ("made_by", "recipes")
        source.refuse(place, f"there is no such key. {nearest(str(place[-1]), known)}")
    if kind == "missing":
        source.refuse(place[:-1], f"{place[-1]} is missing; it is needed.")
    reason = message.removeprefix("Value error, ")
    if kind == "value_error":  # of a __post_init__, which begins with the key that it means
        source.refuse((*place, reason.split()[0]), f"{reason}.")
    source.refuse(place, f"{reason[0].lower()}{reason[1:]}.")


def portfolio_text(portfolio: Portfolio) -> str:
    """Return *portfolio* as `read_portfolio` reads it: one line a recipe, without the task's own numbers."""
    import yaml

    made_by = yaml.safe_dump({"made_by": portfolio.made_by}, width=116, allow_unicode=True)
    lines = []
    for recipe in portfolio.recipes:
        changes = {name: value for name, value in recipe.as_dict().items() if value != getattr(NEUTRAL, name)}
        lines.append(f"  - {{{', '.join(f'{name}: {value:g}' for name, value in changes.items())}}}\n")
    return f"{_HEAD}{made_by}recipes:\n{''.join(lines)}"


def greedy_portfolio(accuracies_TR: NDArray[np.float64], count: int) -> tuple[int, ...]:
    """Choose recipes so that the best of them is good on each task.

    The first recipe stays first; then, one after the other, comes the one that raises the mean over the tasks of the
    best member's accuracy most, the earlier of equals, until none raises it. That mean is submodular, so no set of the
    size gains more than e/(e − 1) times as much over the first recipe (Nemhauser, Wolsey and Fisher, 1978).

    Args:
        accuracies_TR: one row a task; 0 for a training that diverged.
        count: of recipes, at most.

    Returns:
        Columns, in the order of the choice.

    Raises:
        ValueError: the matrix is empty, or a number in it is not finite.
    """
    if accuracies_TR.ndim != 2 or not accuracies_TR.size or not np.isfinite(accuracies_TR).all():
        raise ValueError(f"accuracies {accuracies_TR.shape} are empty or not finite; one a task and recipe is needed")
    chosen = [0]
    while len(chosen) < count:
        best_T = accuracies_TR[:, chosen].max(axis=1)
        gains_R = np.maximum(accuracies_TR - best_T[:, None], 0.0).mean(axis=0)
        if not gains_R.any():
            break
        chosen.append(int(gains_R.argmax()))
    return tuple(chosen)
