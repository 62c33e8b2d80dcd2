"""Runs over several seeds are summed up only if they are what was asked for."""

import json
import math
import shlex
import statistics
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sample_records import make_report

from hpmkd_edge.bench.scripts import retention
from hpmkd_edge.errors import BadReport
from hpmkd_edge.manifest import write_manifest
from hpmkd_edge.record import write_report
from hpmkd_edge.verdict import Outcome

REPORT = make_report()
ROUND = REPORT.rounds[0]
ACCURACY = next(one.value for one in ROUND.verdict.judgements if one.budget == "accuracy")


def turn(number, size="cnn-32x3", *, winner="chain of 2", accuracy=ACCURACY, broken=()):
    """A round whose winner and accuracy are the student's, unless they are given."""
    judgements = tuple(
        replace(
            one,
            value=accuracy if one.budget == "accuracy" else one.value,
            outcome=Outcome.BROKEN if one.budget in broken else one.outcome,
        )
        for one in ROUND.verdict.judgements
    )
    return replace(
        ROUND,
        number=number,
        chain=("cnn-64x3", size),
        rivals=tuple(replace(rival, won=rival.name == winner) for rival in ROUND.rivals),
        verdict=replace(ROUND.verdict, judgements=judgements),
    )


def report_of(*rounds, **changes):
    return replace(REPORT, rounds=rounds, student=replace(REPORT.student, validation_accuracy=ACCURACY), **changes)


def command_of(name, seed, *arguments):
    words = ["hpmkd-edge", "compress", *arguments, "--seed", seed, "--split-seed", seed]
    return shlex.join([*map(str, words), "--output", f"runs/{name}-{seed}", "--quiet"])


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A function that leaves finished runs in an empty folder; none can be started there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retention, "RESULTS", tmp_path / "results")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    def finish(name, seeds, *arguments):
        for seed in range(seeds):
            folder = Path("runs") / f"{name}-{seed}"
            folder.mkdir(parents=True)
            report = report_of(turn(1), command=command_of(name, seed, *arguments), retention=0.9 + seed / 1000)
            write_report(report, folder / "report.json")
            write_manifest(folder, run_id="1", command=report.command, seed=seed, created_at="", inputs=())

    return finish


def test_finished_runs_are_read_back_and_named_by_their_commit(finished, tmp_path):
    """Nothing is trained again; the file says of which command and commit it is."""
    finished("pets", 3, "--target", "host")
    code = retention.main(["pets", "--seeds", "3", "--", "--target", "host"])
    result = json.loads((tmp_path / "results" / "pets.json").read_text())

    assert code == 0
    assert result["command"] == "python bench/scripts/retention.py pets --seeds 3 -- --target host"
    assert result["commit"] == retention.commit_of(Path(retention.__file__).parent)
    assert result["retention"]["mean"] == pytest.approx(0.901)
    assert [run["seed"] for run in result["runs"]] == [0, 1, 2]
    assert result["validation_accuracy"] == {
        rival.name: pytest.approx(dict.fromkeys(("mean", "low", "high"), rival.validation_accuracy))
        for rival in ROUND.rivals
        if rival.validation_accuracy is not None
    }


def test_a_run_of_other_arguments_is_refused(finished, tmp_path, capsys):
    """In one sentence that names both commands, with exit code 2, and no result."""
    finished("pets", 1, "--target", "host")
    code = retention.main(["pets", "--seeds", "1", "--", "--target", "jetson"])
    said = capsys.readouterr().err

    assert code == 2
    assert said.count("\n") == 1
    assert command_of("pets", 0, "--target", "host") in said
    assert command_of("pets", 0, "--target", "jetson") in said
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("targets", [["--target", "host", "--target", "jetson"], ["--target=host", "--target=jetson"]])
def test_several_targets_are_refused(finished, capsys, targets):
    """Their reports would lie in folders of their own; a file of targets is something else."""
    code = retention.main(["pets", "--", "--targets", "mine.yaml", *targets])

    assert code == 2
    assert capsys.readouterr().err == "retention: --target was given 2 times; one target is needed.\n"


@pytest.mark.parametrize(
    ("rounds", "number"),
    [
        ((turn(1), turn(2, "cnn-16x3")), 1),
        ((turn(1, "cnn-64x3"), turn(2), turn(3, accuracy=0.5)), 2),
        ((turn(1, winner="plain KD"), turn(2)), 2),
        ((turn(1, broken=("latency_ms.p90",)), turn(2), turn(3)), 2),
    ],
)
def test_the_rivals_are_those_of_the_round_that_shipped(rounds, number):
    """By size, accuracy and winner; of equals the one with fewest broken budgets, then the first."""
    assert retention.shipped_round(report_of(*rounds)).number == number


def test_a_student_of_no_round_is_refused():
    """Rather than given the rivals of another."""
    with pytest.raises(BadReport, match="no round of the run 3f5a9c1d made its student, cnn-32x3"):
        retention.shipped_round(report_of(turn(1, "cnn-16x3")))


@pytest.mark.parametrize("seeds", [2, 10, 11, 40])
def test_the_interval_is_student_s_for_any_number_of_seeds(seeds):
    """Its distribution function, by simulation: 95 % of the intervals of normal samples hold their mean."""
    samples = np.random.default_rng(0).normal(size=(4000, seeds))
    half = retention.interval(samples[0].tolist())["high"] - samples[0].mean()
    factor = half / (statistics.stdev(samples[0].tolist()) / math.sqrt(seeds))
    errors = np.abs(samples.mean(1)) / (samples.std(1, ddof=1) / math.sqrt(seeds))

    assert (errors <= factor).mean() == pytest.approx(0.95, abs=0.012)


def test_one_seed_has_no_interval():
    """None, not NaN, which JSON does not have."""
    assert retention.interval([0.9]) is None


def test_the_commit_is_null_outside_a_checkout(tmp_path, monkeypatch):
    """And where there is no git; in a checkout it is HEAD."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    outside.mkdir()
    git = ["git", "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "--quiet", str(inside)], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "x"], cwd=inside, check=True)

    assert len(retention.commit_of(inside)) == 40
    assert retention.commit_of(outside) is None
    monkeypatch.setenv("PATH", str(outside))
    assert retention.commit_of(inside) is None
