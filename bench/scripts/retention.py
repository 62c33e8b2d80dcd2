"""Run `compress` over several seeds, and write down what the students kept of their teachers.

    python bench/scripts/retention.py digits --seeds 3 -- --target host
    python bench/scripts/retention.py adult --seeds 3 -- --target host --data adult.csv.gz --label income --split split

What stands after `--` goes to `hpmkd-edge compress` as it is. The results go to bench/results/NAME.json, with the
machine, the versions and this command; the runs themselves to runs/NAME-SEED, and are read back if they are there.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from hpmkd_edge.bench.host import describe_host
from hpmkd_edge.record import read_manifest, read_report

RESULTS = Path(__file__).parents[1] / "results"
# Student's t for a 95 % interval of a mean, by degrees of freedom.
T_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def run_one(name: str, seed: int, arguments: list[str]) -> dict[str, Any]:
    """Run one seed, split by the same seed, and return what its report says."""
    folder = Path("runs") / f"{name}-{seed}"
    if not (folder / "report.json").exists():
        seeds = ["--seed", str(seed), "--split-seed", str(seed)]
        command = ["hpmkd-edge", "compress", *arguments, *seeds, "--output", str(folder), "--quiet"]
        ended = subprocess.run(command, check=False).returncode
        if ended not in (0, 1):
            sys.exit(f"{shlex.join(command)} ended with {ended}")
    report = read_report(folder / "report.json")
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
        "rivals": {rival.name: rival.validation_accuracy for rival in report.rounds[-1].rivals},
        "seconds": report.seconds,
    }


def ratio(teacher: int | None, student: int | None) -> float | None:
    """Return how many times smaller the student is, or None where one of them has no such size."""
    return teacher / student if teacher and student else None


def interval(values: list[float]) -> dict[str, float]:
    """Return the mean of *values* and its 95 % interval by Student's t."""
    mean = statistics.fmean(values)
    half = T_95[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return {"mean": mean, "low": mean - half, "high": mean + half}


def main() -> None:
    """Run all seeds and write the summary."""
    arguments = sys.argv[1:]
    own, passed = (
        (arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :])
        if "--" in arguments
        else (arguments, [])
    )
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args(own)
    runs = [run_one(asked.name, seed, passed) for seed in range(asked.seeds)]
    versions = read_manifest(Path("runs") / f"{asked.name}-0").versions
    host = describe_host()
    result = {
        "command": shlex.join(["python", "bench/scripts/retention.py", *arguments]),
        "machine": {"cpu": host.model, "cores": host.cores, "memory_mb": round(host.memory_mb), "system": host.system},
        "versions": {version.name: version.version for version in versions},
        "retention": interval([run["retention"] for run in runs]) if len(runs) > 1 else None,
        "student_test_accuracy": interval([run["student_test_accuracy"] for run in runs]) if len(runs) > 1 else None,
        "teacher_test_accuracy": interval([run["teacher_test_accuracy"] for run in runs]) if len(runs) > 1 else None,
        "runs": runs,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{asked.name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
