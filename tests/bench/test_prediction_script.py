"""The figures of what is predicted, from a table made here."""

import json

from sample_latencies import write_table

from hpmkd_edge.bench.scripts import prediction
from hpmkd_edge.bench.transferred import read_published


def test_figures_and_coefficients_are_written(tmp_path, monkeypatch, capsys):
    """Goals, seeds and pools in the result; what ships has the pools of our runtimes and no latencies."""
    monkeypatch.setattr(prediction, "SEEDS", range(2))
    table, output, shipped = write_table(tmp_path / "t.csv"), tmp_path / "r.json", tmp_path / "s.json"
    code = prediction.main(["--table", str(table), "--output", str(output), "--ship", "--shipped", str(shipped)])
    result = json.loads(output.read_text(encoding="utf-8"))

    assert code == 0
    assert [row["seed"] for row in result["rows"]] == [0, 1]
    assert all(goal["met"] for goal in result["goals"].values())
    assert {pool.kind for pool in read_published(shipped).pools} == {"cpu"}
    assert "192 latencies" in capsys.readouterr().out


def test_a_malformed_table_ends_it(tmp_path, capsys):
    """With the line and exit code 2; nothing ships."""
    table = tmp_path / "t.csv"
    table.write_text("model\n", encoding="utf-8")
    code = prediction.main(
        ["--table", str(table), "--output", str(tmp_path / "r.json"), "--ship", "--shipped", str(tmp_path / "s.json")]
    )

    assert code == 2
    assert "line 1" in capsys.readouterr().err
    assert not (tmp_path / "s.json").exists()
