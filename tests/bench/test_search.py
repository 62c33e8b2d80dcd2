"""The search's script tries every way on every set, once."""

import gzip
import json
from dataclasses import asdict

import pytest

from hpmkd_edge.bench.scripts import make_portfolio, search
from hpmkd_edge.bench.scripts.choices import WAYS
from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.json_file import write_json
from hpmkd_edge.plan.portfolio import read_portfolio
from hpmkd_edge.plan.recipe import NEUTRAL, sample_recipes


@pytest.fixture
def index(table_csv, tmp_path):
    """The table twice, with its numbers shifted the second time, and an index of both."""
    lines = table_csv.read_text().splitlines()
    rows = [f"{line},{'split' if not n else 'test' if n % 5 == 0 else 'train'}" for n, line in enumerate(lines)]
    for name, prefix in (("one", ""), ("two", "1")):
        text = "\n".join([rows[0], *(prefix + row if row[0].isdigit() else row for row in rows[1:])])
        (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    path = tmp_path / "INDEX.tsv"
    path.write_text("file\ttarget\none.csv.gz\tkind\ntwo.csv.gz\tkind\n")
    return path


@pytest.mark.slow
def test_every_way_is_tried_on_every_set_once(index, tmp_path, capsys, monkeypatch):
    """A second call trains nothing; the last way alone has heard of the other set."""
    pytest.importorskip("optuna")
    output = tmp_path / "search.json"
    arguments = ["one", "two", "--index", str(index), "--seeds", "1", "--trials", "2", "--epochs", "2"]
    arguments += ["--work", str(tmp_path / "work"), "--output", str(output)]

    assert search.main(arguments) == 0
    first = output.read_text()
    monkeypatch.setattr(search, "try_way", None)
    assert search.main(arguments) == 0
    assert output.read_text() == first
    rows = json.loads(first)["rows"]
    assert [(row["set"], row["way"]) for row in rows[:3]] == [("one", way) for way in WAYS[:3]]
    assert [(row["set"], row["way"]) for row in rows[6:]] == [("one", "others"), ("two", "others")]
    assert [row["trainings"] for row in rows[:2]] == [1, 2]
    assert all((row["remembered"] > 0) == (row["way"] == "others") for row in rows)
    assert "empty over search" in capsys.readouterr().out


def test_the_portfolio_of_a_set_has_not_seen_it(tmp_path):
    """Of a matrix the set's own row is left out; without a matrix it is the shipped one."""
    recipes = (NEUTRAL, *sample_recipes(2, seed=0))
    tasks = tuple(
        make_portfolio.TaskTrials(
            data=f"{digest}.csv",
            task=digest,
            digest=digest,
            student="mlp 8×1",
            epochs=3,
            teacher_accuracy=0.9,
            accuracies=row,
        )
        for digest, row in (("a", (0.5, 0.9, 0.1)), ("b", (0.5, 0.1, 0.9)))
    )
    for kept in (1, 2):
        trials = make_portfolio.Trials(
            schema=make_portfolio.SCHEMA, seed=0, share=0.5, commit=None, recipes=recipes, tasks=tasks[:kept]
        )
        write_json(asdict(trials), tmp_path / f"{kept}.json")

    assert search.portfolio_without("a", tmp_path / "2.json").recipes == (NEUTRAL, recipes[2])
    assert search.portfolio_without("b", tmp_path / "2.json").recipes == (NEUTRAL, recipes[1])
    assert search.portfolio_without("a", None) == read_portfolio()
    with pytest.raises(BadConfiguration, match="holds no task but the one that it is to help with"):
        search.portfolio_without("a", tmp_path / "1.json")


@pytest.mark.parametrize("flag", ["--seeds", "--trials"])
def test_a_call_without_work_is_refused(flag, capsys):
    """Before anything is read."""
    with pytest.raises(SystemExit, match="2"):
        search.main(["digits", flag, "0"])

    assert "take 1 or more" in capsys.readouterr().err


def test_an_unknown_set_is_refused(tmp_path, capsys):
    """In one sentence, with exit code 2, and no result."""
    code = search.main(["digit", "--output", str(tmp_path / "search.json"), "--work", str(tmp_path / "work")])

    assert code == 2
    assert "'digit'" in capsys.readouterr().err
    assert not (tmp_path / "search.json").exists()
