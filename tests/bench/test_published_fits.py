"""Left-out models, families and machines, on tables whose truth is known."""

import numpy as np
import pytest
from sample_latencies import COSTS, SPEEDS, write_table

from hpmkd_edge.bench.published_fits import in_family, out_of_family, pools_of
from hpmkd_edge.bench.published_table import read_table
from hpmkd_edge.bench.table_check import check_table
from hpmkd_edge.report.machine import to_json
from hpmkd_edge.report.prediction_text import table_check_as_text


def rows_of(tmp_path, **changes):
    return read_table(write_table(tmp_path / "t.csv", **changes)).rows


def test_a_left_out_member_of_an_additive_family_is_predicted(tmp_path):
    """Without noise to the last per mille; each member of each family on each device is left out once."""
    rows = rows_of(tmp_path)
    trials = in_family(rows)

    assert len(trials) == len(rows)
    assert max(trial.relative for trial in trials if trial.inside) < 1e-3


def test_other_points_are_drawn_by_another_seed(tmp_path):
    """And the same ones by the same."""
    rows = rows_of(tmp_path, noise=np.random.default_rng(0).lognormal)

    assert in_family(rows, 1) == in_family(rows, 1)
    assert in_family(rows, 1) != in_family(rows, 2)


def test_another_family_is_outside_the_range(tmp_path):
    """A second one that takes three times what its costs say is missed, and said to be unknown."""
    missed = [trial for trial in out_of_family(rows_of(tmp_path, other=3.0)) if not trial.held]

    assert missed
    assert all(not trial.inside for trial in missed)
    assert all(trial.family != trial.calibrated_on for trial in missed)


def test_an_interval_without_records_spans_the_machines(tmp_path):
    """Machines that differ in speed alone: coefficients of the median one, an interval as wide as their speeds."""
    kind, *single = pools_of(rows_of(tmp_path))
    speeds = np.array(list(SPEEDS.values()))
    typical = np.exp(np.median(np.log(speeds)))

    np.testing.assert_allclose(np.array(kind.coefficients) / COSTS, typical, rtol=1e-3)
    assert (kind.board, kind.boards) == (None, 4)
    assert kind.low <= speeds.min() / typical * 1.01
    assert kind.high >= speeds.max() / typical * 0.99
    assert [pool.board for pool in single] == [name.upper() for name in SPEEDS]
    for pool, speed in zip(single, SPEEDS.values(), strict=True):
        np.testing.assert_allclose(np.array(pool.coefficients) / COSTS, speed, rtol=1e-3)
        assert (pool.low, pool.high) == (pytest.approx(1, abs=1e-3), pytest.approx(1, abs=1e-3))


def test_a_left_out_machine_is_seen_by_nothing(tmp_path):
    """One of four that is far from all others lies outside the interval that they make."""
    lines = write_table(tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    far = []
    for line in lines:
        cells = line.split(",")
        far.append(",".join([*cells[:6], str(float(cells[6]) * 50), *cells[7:]]) if "Delta" in line else line)
    (tmp_path / "far.csv").write_text("\n".join(far), encoding="utf-8")
    kind = pools_of(read_table(tmp_path / "far.csv").rows)[0]

    assert kind.coverage <= 0.75


def test_a_table_is_checked_as_text_and_as_json(tmp_path):
    """The same figures in both; a table of too few rows has none, and says so."""
    check = check_table(write_table(tmp_path / "t.csv"))
    text = table_check_as_text(check)
    lines = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "small.csv").write_text("\n".join(lines[:4]), encoding="utf-8")
    small = check_table(tmp_path / "small.csv")

    assert "t.csv: 192 latencies of 24 models on 8 devices, 4 machines." in text
    assert "all families" in text
    assert '"median_error"' in to_json(check)
    assert small.known[0].median_error is None
    assert "–" in table_check_as_text(small)
