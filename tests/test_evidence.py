"""Intervals, words and files of an ablation's evidence."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from statistics import stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_evidence import make_evidence, make_run, make_runs
from scipy import stats

from hpmkd_edge.errors import BadReport
from hpmkd_edge.evidence import (
    ARMS,
    FULL,
    STAGES,
    mean_interval,
    read_evidence,
    summarize,
    word_for,
    write_evidence,
)
from hpmkd_edge.plan.components import COMPONENTS


def test_an_interval_of_five_seeds_is_that_of_the_tables():
    """2.776 standard errors with four degrees of freedom, 12.706 with one."""
    for values, factor in (((1.0, 2.0, 3.0, 4.0, 5.0), 2.776), ((1.0, 2.0), 12.706)):
        found, error = mean_interval(values), stdev(values) / math.sqrt(len(values))

        assert (found.high - found.mean) / error == pytest.approx(factor, abs=5e-4)
        assert found.high - found.mean == pytest.approx(found.mean - found.low)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=12).filter(lambda values: max(values) - min(values) > 1e-3))
def test_an_interval_is_that_of_scipy(values):
    """Mean and t-interval, against the library's."""
    found = mean_interval(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=sum(values) / len(values), scale=stats.sem(values))

    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-8, abs=1e-8)


def test_one_value_has_no_interval():
    """A spread needs two."""
    with pytest.raises(ValueError, match="needs two"):
        mean_interval([1.0])


@pytest.mark.parametrize(
    ("differences", "word"),
    [
        ([1.0, 1.2, 0.9], "gain"),
        ([-1.0, -1.2, -0.9], "loss"),
        ([0.1, -0.1, 0.05, -0.05], "no gain"),
        ([3.0, -3.0, 1.0], "inconclusive"),
        ([0.0, 0.0, 0.0], "no difference"),
        ([0.5, 0.5], "inconclusive"),
    ],
)
def test_the_word_follows_from_the_interval(differences, word):
    """Above 0, below 0, negligible, or undecided; equal differences do not tell their own spread."""
    assert word_for(differences) == word


def test_a_gain_of_a_component_is_what_is_lost_without_it():
    """Full − arm, in points, seed by seed; what is drawn alike for all arms of a seed does not widen it."""
    full = (0.90, 0.80, 0.70)
    runs = [*make_runs(FULL, full), *make_runs("without-chain", (0.88, 0.79, 0.67))]
    summary = {one.arm: one for one in summarize(runs)}["without-chain"]
    low, high = stats.t.interval(0.95, 2, loc=2.0, scale=stats.sem([2.0, 1.0, 3.0]))

    assert (summary.points, summary.low, summary.high) == pytest.approx((2.0, low, high))
    assert summary.accuracy == pytest.approx(0.78)


def test_a_gain_of_stages_is_what_they_add():
    """They are off in the full arm: the sign turns."""
    runs = [*make_runs(FULL, (0.8, 0.8)), *make_runs(STAGES, (0.82, 0.84))]

    assert summarize(runs)[1].points == pytest.approx(3.0)


def test_an_arm_that_does_not_apply_has_no_gain():
    """Not a zero: None, and the reason. One that applies with some seeds is compared with all."""
    full = make_runs(FULL, (0.8, 0.9))
    never = [replace(run, arm="without-attention", moot="one teacher") for run in full]
    once = [replace(full[0], arm="without-chain", moot="no room"), make_run("without-chain", 1, 0.8)]
    summary = {one.arm: one for one in summarize([*full, *never, *once])}

    assert (summary["without-attention"].moot, summary["without-attention"].points) == ("one teacher", None)
    assert summary["without-attention"].word is None
    assert summary["without-chain"].moot is None
    assert summary["without-chain"].points == pytest.approx(5.0)


def test_every_component_has_an_arm():
    """A new component is ablated without a line here."""
    assert [f"without-{name}" in ARMS for name in COMPONENTS] == [True] * len(COMPONENTS)


def test_evidence_survives_the_file(tmp_path):
    """Equal after a round trip."""
    evidence = make_evidence()
    write_evidence(evidence, tmp_path / "evidence.json")

    assert read_evidence(tmp_path / "evidence.json") == evidence


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda found: found | {"surprise": 1}, "surprise"),
        (lambda found: found | {"schema": "hpmkd-edge/evidence/2"}, "evidence/1"),
        (lambda found: found | {"seeds": ["0", 1, 2]}, "seeds"),
        (lambda found: found | {"runs": found["runs"][1:]}, "every arm"),
        (lambda found: found | {"runs": [found["runs"][0] | {"test_accuracy": 0.5}, *found["runs"][1:]]}, "follow"),
        (
            lambda found: found | {"summary": [found["summary"][0] | {"accuracy": math.pi}, *found["summary"][1:]]},
            "follow",
        ),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, change, complaint):
    """An unknown key, another version, a loose type, a missing run, a number that does not follow from the runs."""
    path = tmp_path / "evidence.json"
    write_evidence(make_evidence(), path)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))

    with pytest.raises(BadReport, match=complaint):
        read_evidence(path)
