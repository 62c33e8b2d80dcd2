"""Run `compress` over several seeds, and write down what the students kept of their teachers.

    python bench/scripts/retention.py digits --seeds 3 -- --target host
    python bench/scripts/retention.py adult --seeds 3 -- --target host --data adult.csv.gz --label income --split split

What stands after `--` goes to `hpmkd-edge compress` as it is; it names one target at most. The results go to
bench/results/NAME.json, with the machine, the versions, the commit and this command; the runs themselves to
runs/NAME-SEED, and are read back if they are there and were made by the same command.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpmkd_edge.bench.host import describe_host
from hpmkd_edge.errors import BadConfiguration, BadReport, EdgeError
from hpmkd_edge.manifest import read_manifest
from hpmkd_edge.record import Report, RoundRecord, read_report
from hpmkd_edge.verdict import Outcome

RESULTS = Path(__file__).parents[1] / "results"


def run_one(name: str, seed: int, arguments: Sequence[str]) -> dict[str, Any]:
    """Run one seed, split by the same seed unless one is given, and return what its report says.

    A run that was interrupted is taken up.

    Raises:
        BadConfiguration: the run is there already, and another command made it.
    """
    folder = Path("runs") / f"{name}-{seed}"
    # A split seed that is given holds for all: the teacher's answers to these rows then serve every seed.
    splits = [] if "--split-seed" in arguments else ["--split-seed", str(seed)]
    command = ["hpmkd-edge", "compress", *arguments, "--seed", str(seed), *splits, "--output", str(folder), "--quiet"]
    if not (folder / "report.json").exists():
        interrupted = folder.with_name(f"{folder.name}.partial").exists()
        taken_up = ["hpmkd-edge", "compress", "--resume", str(folder), "--quiet"]
        ended = subprocess.run(taken_up if interrupted else command, check=False).returncode
        if ended not in (0, 1):
            sys.exit(f"{shlex.join(command)} ended with {ended}")
    report = read_report(folder / "report.json")
    if report.command != shlex.join(command):
        raise BadConfiguration(
            f"{folder} was made by `{report.command}`, and `{shlex.join(command)}` is asked for; give another NAME,"
            " or remove that folder."
        )
    teacher, student = report.best_teacher, report.student
    return {
        "seed": seed,
        "outcome": report.verdict.outcome.value,
        "teacher": teacher.name,
        "student": student.size,
        "won_by": student.won_by,
        "teacher_test_accuracy": teacher.test_accuracy,
        "student_test_accuracy": student.test_accuracy,
        "retention": report.retention,
        "parameter_ratio": ratio(teacher.cost.parameters, student.cost.parameters),
        "file_ratio": ratio(teacher.cost.file_bytes, student.cost.file_bytes),
        "rivals": {rival.name: rival.validation_accuracy for rival in shipped_round(report).rivals},
        "seconds": report.seconds,
    }


def shipped_round(report: Report) -> RoundRecord:
    """Return the round that the student came from: its size, winner and accuracy are the student's.

    Of several, it is the one that shipping prefers: fewest broken budgets, then the first.

    Raises:
        BadReport: no round fits.
    """
    made = [turn for turn in report.rounds if _made_the_student(turn, report)]
    if not made:
        raise BadReport(f"no round of the run {report.run_id} made its student, {report.student.size}; one is needed.")
    return min(made, key=lambda turn: [one.outcome for one in turn.verdict.judgements].count(Outcome.BROKEN))


def _made_the_student(turn: RoundRecord, report: Report) -> bool:
    winners = [rival.name for rival in turn.rivals if rival.won]
    # A target without a budget for it judges no accuracy.
    accuracies = [one.value for one in turn.verdict.judgements if one.budget == "accuracy"]
    return (
        turn.chain[-1] == report.student.size
        and report.student.won_by in winners
        and all(accuracy == report.student.validation_accuracy for accuracy in accuracies)
    )


def ratio(teacher: int | None, student: int | None) -> float | None:
    """Return how many times smaller the student is, or None where one of them has no such size."""
    return teacher / student if teacher and student else None


def interval(values: Sequence[float]) -> dict[str, float] | None:
    """Return the mean of *values* and its 95 % interval by Student's t, or None below two values."""
    from scipy.stats import t

    if len(values) < 2:
        return None
    mean = statistics.fmean(values)
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def commit_of(folder: Path) -> str | None:
    """Return the commit that the checkout around *folder* stands on, or None outside of one."""
    try:
        asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # there is no git
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def check_one_target(arguments: Sequence[str]) -> None:
    """Refuse what would put each report into a folder of its own.

    Raises:
        BadConfiguration: *arguments* name several targets.
    """
    count = sum(argument == "--target" or argument.startswith("--target=") for argument in arguments)
    if count > 1:
        raise BadConfiguration(f"--target was given {count} times; one target is needed.")


def summarize(name: str, seeds: int, passed: Sequence[str]) -> dict[str, Any]:
    """Run seeds 0 … *seeds* − 1, and return what they say together.

    Raises:
        BadConfiguration: there are several targets, or a run is there that another command made.
    """
    check_one_target(passed)
    commit = commit_of(Path(__file__).parent)  # before the runs, which take hours
    runs = [run_one(name, seed, passed) for seed in range(seeds)]
    host = describe_host()
    return {
        "command": shlex.join(["python", "bench/scripts/retention.py", name, "--seeds", str(seeds), "--", *passed]),
        "commit": commit,
        "machine": {"cpu": host.model, "cores": host.cores, "memory_mb": round(host.memory_mb), "system": host.system},
        "versions": {one.name: one.version for one in read_manifest(Path("runs") / f"{name}-0").versions},
        **{
            key: interval([run[key] for run in runs])
            for key in ("retention", "student_test_accuracy", "teacher_test_accuracy")
        },
        # The rows that chose the epoch of each.
        "validation_accuracy": {
            rival: interval([run["rivals"][rival] for run in runs])
            for rival in runs[0]["rivals"]
            if all(run["rivals"].get(rival) is not None for run in runs)
        },
        "runs": runs,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all seeds, write the summary, and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args(given[:cut])
    try:
        result = summarize(asked.name, asked.seeds, given[cut + 1 :])
    except EdgeError as error:
        print(f"retention: {error}", file=sys.stderr)
        return error.exit_code
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(result, indent=2) + "\n"
    (RESULTS / f"{asked.name}.json").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
