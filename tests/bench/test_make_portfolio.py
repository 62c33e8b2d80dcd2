"""The portfolio's script trains what is missing, and chooses from what is there."""

import json

import pytest

from hpmkd_edge.bench.scripts import make_portfolio
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.plan.portfolio import read_portfolio
from hpmkd_edge.plan.recipe import NEUTRAL, sample_recipes

RECIPES = (NEUTRAL, *sample_recipes(3, seed=0))


def trials(*accuracies):
    rows = tuple(
        make_portfolio.TaskTrials(
            data=f"{number}.csv",
            task=f"t{number}",
            digest="0",
            student="mlp 8×1",
            epochs=3,
            teacher_accuracy=0.9,
            accuracies=row,
        )
        for number, row in enumerate(accuracies)
    )
    return make_portfolio.Trials(
        schema=make_portfolio.SCHEMA, seed=0, share=0.5, commit=None, recipes=RECIPES, tasks=rows
    )


def test_the_choice_says_how_it_was_made():
    """Which tasks, how many recipes, what it gains where it was chosen."""
    portfolio = make_portfolio.choose(trials((0.5, 0.9, 0.1, 0.2), (0.5, 0.1, 0.7, 0.2)), "python it")

    assert portfolio.recipes == (NEUTRAL, RECIPES[1], RECIPES[2])
    assert "out of 4 recipes" in portfolio.made_by
    assert "t0, t1" in portfolio.made_by
    assert "0.3000 above" in portfolio.made_by


def test_a_matrix_of_other_recipes_is_not_mixed_in(tmp_path):
    """Rows of one matrix are compared, so they must be of one experiment."""
    path = tmp_path / "matrix.json"
    found = trials((0.5, 0.9, 0.1, 0.2))
    make_portfolio.write_json(make_portfolio.asdict(found), path)

    assert make_portfolio.open_trials(path, RECIPES, seed=0, share=0.5) == found
    for recipes, seed, share in ((RECIPES[:2], 0, 0.5), (RECIPES, 1, 0.5), (RECIPES, 0, 0.25)):
        with pytest.raises(BadConfiguration, match=r"holds 4 recipes at seed 0 .* give another --matrix"):
            make_portfolio.open_trials(path, recipes, seed=seed, share=share)


@pytest.mark.slow
def test_a_table_gives_a_row_and_a_portfolio_once(table_csv, tmp_path, capsys, monkeypatch):
    """The second call trains nothing, and writes the same."""
    matrix, written = tmp_path / "matrix.json", tmp_path / "portfolio.yaml"
    arguments = ["--no-digits", "--table", str(table_csv), "kind", "--recipes", "3", "--share", "0.01"]
    arguments += ["--matrix", str(matrix), "--work", str(tmp_path / "work"), "--write", str(written)]

    assert make_portfolio.main(arguments) == 0
    first, portfolio = matrix.read_text(), read_portfolio(written)
    monkeypatch.setattr(make_portfolio, "try_recipes", None)
    assert make_portfolio.main(arguments) == 0
    assert matrix.read_text() == first
    assert read_portfolio(written) == portfolio
    row = json.loads(first)["tasks"][0]
    assert len(row["accuracies"]) == 3
    assert all(0 < accuracy <= 1 for accuracy in row["accuracies"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--table", "a.csv"], "--table takes a file, its label column"),
        (["--share", "0"], "--share a number above 0"),
        (["--no-digits"], "no task is left"),
    ],
)
def test_a_call_that_cannot_work_is_refused(arguments, sentence, capsys):
    """Before anything is trained."""
    with pytest.raises(SystemExit, match="2"):
        make_portfolio.main(arguments)

    assert sentence in capsys.readouterr().err
