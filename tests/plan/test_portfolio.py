"""Portfolios are read strictly, and chosen so that one member suits each task."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.plan.portfolio import MOST, SHIPPED, Portfolio, greedy_portfolio, portfolio_text, read_portfolio
from hpmkd_edge.plan.recipe import NEUTRAL, sample_recipes

MATRICES = arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 7)), elements=st.floats(0, 1))


def read(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return read_portfolio(path)


def test_the_shipped_portfolio_begins_with_the_tasks_own_settings():
    """At most eight, and how they were made."""
    portfolio = read_portfolio()

    assert portfolio.recipes[0] == NEUTRAL
    assert len(portfolio.recipes) <= MOST
    assert portfolio.made_by


def test_what_is_written_reads_back(tmp_path):
    """Made by a script, read by a run."""
    made = Portfolio(made_by="by a test: 'quoted', # and marked – " * 5, recipes=(NEUTRAL, *sample_recipes(7, seed=0)))

    assert read(tmp_path, portfolio_text(made)) == made
    assert SHIPPED.read_text(encoding="utf-8").splitlines()[:3] == portfolio_text(made).splitlines()[:3]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("made_by: x\nrecipes:\n  - {}\n  - {alhpa: 0.5}\n", r"line 4: recipes\.1\.alhpa: .* Did you mean 'alpha'"),
        ("made_by: x\nrecipe:\n  - {}\n", r"line 2: recipe: there is no such key\. Did you mean 'recipes'"),
        ("recipes:\n  - {}\n", r"line 1: made_by is missing"),
        ("made_by: x\nrecipes:\n  - {}\n  - {alpha: 2}\n", r"line 4: recipes\.1\.alpha: alpha is 2; .* from 0 to 1"),
        ("made_by: x\nrecipes:\n  - {}\n  - {alpha: yes}\n", r"line 4: recipes\.1\.alpha: input should be a valid num"),
        ("made_by: x\nrecipes:\n  - {alpha: 0.4}\n", r"line 2: recipes: recipes begins with a change"),
        ("made_by: x\nrecipes: []\n", r"line 2: recipes: recipes has 0 entries; 1 to 8 are needed"),
        ("made_by: x\nrecipes:\n  - {}\n  - {}\n", r"line 2: recipes: recipes has an entry twice"),
        ("made_by: ' '\nrecipes:\n  - {}\n", r"line 1: made_by: made_by is empty"),
        ("- {}\n", r"line 1: input should be"),
    ],
)
def test_a_mistake_is_named_with_line_and_key(tmp_path, text, sentence):
    """One sentence, what was found, then what is needed."""
    with pytest.raises(BadConfiguration, match=sentence):
        read(tmp_path, text)


def test_specialists_are_chosen_before_what_is_good_on_average():
    """Recipe 1 is second best everywhere, 2 and 3 each win a task; a member that adds nothing is left out."""
    matrix = np.array([[0.5, 0.6, 0.9, 0.1], [0.5, 0.6, 0.1, 0.9]])

    assert greedy_portfolio(matrix, 4) == (0, 2, 3)
    assert greedy_portfolio(np.array([[0.5, 0.8, 0.9, 0.1], [0.5, 0.8, 0.1, 0.9]]), 4) == (0, 1, 2, 3)


@given(matrix=MATRICES, count=st.integers(1, 4))
def test_greedy_choice_gains_nearly_what_the_best_set_does(matrix, count):
    """At least 1 − 1/e of it, over the first recipe; never a member that adds nothing."""
    chosen = list(greedy_portfolio(matrix, count))
    reached = [matrix[:, chosen[:size]].max(axis=1).mean() for size in range(1, len(chosen) + 1)]
    others = itertools.combinations(range(1, matrix.shape[1]), min(count, matrix.shape[1]) - 1)
    best = max(matrix[:, [0, *other]].max(axis=1).mean() for other in others)

    assert chosen[0] == 0
    assert len(set(chosen)) == len(chosen) <= count
    assert reached == sorted(reached)
    assert reached[-1] - reached[0] >= (1 - 1 / np.e) * (best - reached[0]) - 1e-12


def test_a_matrix_with_gaps_is_refused():
    """A training that diverged is 0, not a gap."""
    with pytest.raises(ValueError, match="not finite"):
        greedy_portfolio(np.array([[0.5, np.nan]]), 2)
