"""What a last link in int8 gains is told with its interval, and no gain is a result."""

import json

import pytest

from hpmkd_edge.bench.scripts import quantization_aware


def rows(*gains, fp32=0.9):
    return [
        {
            "student": "mlp-8x1",
            "seed": seed,
            "fp32": fp32,
            "forms": {
                "x86": {"without": 0.88, "with": 0.88 + gain / 100, "best_epoch": int(gain != 0), "agreement": 1.0},
                "tensorrt": {"without": 0.88, "with": 0.88, "best_epoch": 0, "agreement": 0.98},
            },
        }
        for seed, gain in enumerate(gains)
    ]


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((1.0, 1.1, 0.9), "gain"), ((1.0, -1.0, 0.1), "no gain"), ((-1.0, -1.1, -0.9), "loss"), ((1.0,), "inconclusive")],
)
def test_a_gain_is_one_only_with_its_interval_above_zero(gains, verdict):
    """One seed says nothing."""
    summary = quantization_aware.summarize(rows(*gains))
    found = summary["students"]["mlp-8x1"]

    assert found["x86"]["verdict"] == verdict
    assert found["x86"]["link_gains_points"] == pytest.approx(sum(gains) / len(gains))
    assert found["x86"]["int8_costs_points"] == pytest.approx(2.0)
    assert (found["tensorrt"]["kept"], found["tensorrt"]["least_agreement"]) == (0, 0.98)
    assert verdict in quantization_aware.table_of(summary)


def test_a_size_that_a_family_has_not_is_refused(tmp_path, capsys):
    """Before anything is trained or written, with those there are."""
    output = tmp_path / "x.json"

    assert quantization_aware.main(["mlp-7x1", "--output", str(output)]) == 2
    assert "mlp has no size '7x1'; one of 4x1, 8x1" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.slow
def test_a_whole_comparison_is_written_down(tmp_path):
    """Real trainings and real files, one epoch each."""
    output = tmp_path / "x.json"
    code = quantization_aware.main(["mlp-8x1", "--seeds", "1", "--epochs", "1", "--output", str(output)])
    found = json.loads(output.read_text())
    (row,) = found["rows"]

    assert code == 0
    assert row["forms"].keys() == {"x86", "tensorrt"}
    assert all(0 < row["forms"][form][kind] <= 1 for form in row["forms"] for kind in ("with", "without", "agreement"))
    assert found["students"]["mlp-8x1"]["x86"]["verdict"] == "inconclusive"
