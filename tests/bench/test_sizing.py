"""The script that tries the search on measurements."""

import json

import numpy as np
import pytest

from hpmkd_edge.bench.scripts import sizing

COSTS = sizing.COSTS


def measured(ladder, size, kind, _folder):
    """Answer as a quiet machine would: costs grow with the size, the truth is what a probe sees."""
    return {
        "family": ladder.family,
        "size": sizing.name_of(size),
        "kind": kind,
        COSTS[0]: 0.004 + 1e-6 * size.parameters,
        COSTS[1]: 10 + 1e-5 * size.parameters,
        COSTS[2]: 0.002 + 4e-6 * size.parameters,
        "seconds": 4.5,
    }


def test_a_stopped_script_goes_on_and_searches_when_all_is_measured(tmp_path, monkeypatch, capsys):
    """Each rung as often as asked, in rounds; then every budget by either way."""
    monkeypatch.setattr(sizing, "take", measured)
    arguments = ["--work", str(tmp_path), "--output", str(tmp_path / "sizing.json"), "--seconds", "0"]
    assert sizing.main(arguments) == 0
    assert "0 measurements are kept" in capsys.readouterr().out
    result = tmp_path / "sizing.json"
    code = sizing.main(["--work", str(tmp_path), "--output", str(result)])
    found = json.loads(result.read_text())
    rungs = sum(len(ladder.sizes) for ladder in sizing.LADDERS)

    assert code == 0
    assert len(found["rows"]) == 5 * rungs
    assert {row["kind"] for row in found["rows"][-rungs:]} == {sizing.TRUTH}
    for one in found["ladders"].values():
        assert one["rungs"] >= 8
        assert one["ours"]["fit"] == one["ours"]["budgets"] == len(one["ours"]["searches"]) == 20
    assert all(met for goals in found["goals"].values() for met in goals.values())


def test_a_drawn_budget_is_met_by_some_size_and_lies_between_the_ends():
    """And what is called the largest is the last of those that meet it."""
    ladder = sizing.LADDERS[0]
    pool = {sizing.name_of(size): {sizing.TRUTH: measured(ladder, size, sizing.TRUTH, None)} for size in ladder.sizes}
    generator = np.random.default_rng(0)
    for _ in range(50):
        budget, best = sizing.draw_budget(ladder.sizes, pool, generator)
        ends = [pool[sizing.name_of(size)][sizing.TRUTH] for size in (ladder.sizes[0], ladder.sizes[-1])]
        fitting = [
            size
            for size in ladder.sizes
            if all(pool[sizing.name_of(size)][sizing.TRUTH][name] <= limit for name, limit in budget.items())
        ]

        assert fitting[-1] == best
        assert all(ends[0][name] <= limit <= ends[1][name] for name, limit in budget.items())


def test_both_ways_agree_where_costs_are_lines_and_nothing_is_disturbed():
    """The plain search's own assumption; it takes the ends first."""
    ladder = sizing.LADDERS[1]
    limit = measured(ladder, ladder.sizes[5], "", None)[COSTS[2]] * 1.001
    asked = []

    def probe(size):
        asked.append(size)
        return sizing.judged(measured(ladder, size, "", None), {COSTS[2]: limit})

    assert sizing.ends_then_line(ladder.sizes, probe) == ladder.sizes[5]
    assert asked[:2] == [ladder.sizes[-1], ladder.sizes[0]]


def test_too_few_measurements_for_a_search_are_refused(capsys):
    """A size may be measured three times."""
    with pytest.raises(SystemExit, match="2"):
        sizing.main(["--probes", "2"])

    assert "--probes takes 3 or more" in capsys.readouterr().err
