r"""Time racing, ensemble and portfolio on one worker and on several: the same jobs, each time from nothing.

    python bench/scripts/parallel.py --data data/adult.csv.gz --label income --split split --epochs 12
    python bench/scripts/parallel.py --data data/cifar10.npz --size 16x1 --epochs 3 --rounds 3 \
        --teacher data/resnet_cifar.py:resnet20 --weights data/resnet20_cifar10_jpeg.pt --normalize cifar10 \
        --teacher data/resnet_cifar.py:resnet56 --weights data/resnet56_cifar10_jpeg.pt

The jobs: open the teachers and let them answer, race the portfolio by successive halving, then train the student on
labels alone, by the best teacher, and by all of them with closed-form and with learned weights; export what wins. Chain
and moving temperature, of which each step waits for the one before it, are off. Without --teacher, three scikit-learn
classifiers are fitted first, untimed. The arms take turns, each run a process of its own that is timed from its start
to its end, with a store of its own:

    1 worker             one training at a time, one thread
    N workers            N side by side, one thread each; N is --workers, 2 by default
    1 worker, N threads  one at a time, with all threads; a batch of few numbers still gets one

Worker processes are started for trainings of more than 20 s together, so --epochs should keep one worker busy for a
minute or more; perceptrons of one size train as one stack, without workers.

The figures are medians over rounds, of seconds and of ratios within a round. They go to bench/results/parallel.json
after each run. That students are the same to the byte is checked for the first two arms, since threads change the order
of sums.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from hpmkd_edge.bench.scripts.provenance import RESULTS, Result, open_result
from hpmkd_edge.errors import BadConfiguration, EdgeError
from hpmkd_edge.manifest import LIBRARIES
from hpmkd_edge.request import Request
from hpmkd_edge.tasks.task import Images, Inputs, Table, Task

MOST_RATIO: Final = 0.65
TEACHERS: Final = 3
SERIAL: Final = ("chain", "temperature")  # of which each step waits for the one before it
THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
PARITY_ROWS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """How many trainings go side by side, and how many threads the process may have in each."""

    name: str
    workers: int
    threads: int


def arms_of(workers: int) -> tuple[Arm, Arm, Arm]:
    """Return one worker, several, and one with as many threads."""
    return (
        Arm(name="1 worker", workers=1, threads=1),
        Arm(name=f"{workers} workers", workers=workers, threads=1),
        Arm(name=f"1 worker, {workers} threads", workers=1, threads=workers),
    )


def _plain(inputs: Inputs) -> Any:
    """Return what the classifiers take: flat bytes of images, a data frame of a table."""
    from hpmkd_edge.teachers.features import data_frame

    if isinstance(inputs, Images):
        return inputs.pixels.reshape(len(inputs.pixels), -1).astype(np.float32)
    assert isinstance(inputs, Table)
    return data_frame(inputs, tuple(column.name for column in inputs.columns))


def fit_teachers(task: Task, folder: Path) -> tuple[str, ...]:
    """Fit three classifiers of scikit-learn on the training rows; return their files."""
    import joblib
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    inputs = task.train.inputs
    text = [one.name for one in inputs.columns if one.kind == "category"] if isinstance(inputs, Table) else []
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    features, labels = _plain(inputs), np.array(task.classes)[task.train.labels]
    paths = []
    for model in (
        HistGradientBoostingClassifier(max_iter=100, random_state=0),
        ExtraTreesClassifier(100, min_samples_leaf=2, random_state=0),
        RandomForestClassifier(100, min_samples_leaf=2, random_state=0),
    ):
        # A matrix has no columns by name, and needs no encoder.
        steps = [ColumnTransformer([("text", encoder, text)], remainder="passthrough")] if text else []
        fitted = make_pipeline(*steps, SimpleImputer(keep_empty_features=True), model).fit(features, labels)
        path = folder / f"{type(model).__name__}.joblib"
        joblib.dump(fitted, path)
        paths.append(str(path))
    return tuple(paths)


def request_of(asked: argparse.Namespace, teachers: tuple[str, ...], *, own: bool) -> Request:
    """Return what a run is asked; *own* says that the teachers are pickles of ours."""
    return Request(
        data=asked.data,
        label=asked.label,
        split=asked.split,
        teachers=teachers,
        weights=() if own else tuple(asked.weights),
        normalize=None if own else asked.normalize,
        trust=own,
        student=asked.student,
        size=asked.size,
        epochs=asked.epochs,
        targets=("host",),
        without=("memory", *SERIAL),
        accept_weak_teacher=True,
        device="cpu",
    )


def do_jobs(request: Request, folder: Path) -> dict[str, Any]:
    """Do all jobs in *folder*, and return what they made; runs in a process of its own."""
    from hpmkd_edge.bench.scoring import answer
    from hpmkd_edge.distill.curriculum import train_best
    from hpmkd_edge.export.conversion import convert
    from hpmkd_edge.preparation import prepare
    from hpmkd_edge.run_folder import RunFolder

    began = time.perf_counter()
    run = RunFolder(final=folder / "jobs", partial=folder / "jobs.partial")
    preparation = prepare(request, run, lambda: False)
    prepared = time.perf_counter()
    size, rows = preparation.allowance.sizes[-1], preparation.task.validation
    with closing(preparation.workshop.executor):
        race = train_best(size, (), preparation.curriculum)
        raced = time.perf_counter()
    sample = rows.take(np.arange(min(len(rows), PARITY_ROWS)))
    module, path = race.winner.trained.module, folder / "student.onnx"
    artifact = convert(module, preparation.inlet, sample, path, facts={}, answer=answer)
    students = {}
    for finish in race.finishes:
        digest = hashlib.sha256()
        for name, value in sorted(finish.trained.module.state_dict().items()):
            digest.update(name.encode() + value.contiguous().numpy().tobytes())
        students[finish.rival.name] = digest.hexdigest()
    return {
        "prepare_s": prepared - began,
        "race_s": raced - prepared,
        "export_s": time.perf_counter() - raced,
        "training_s": sum(preparation.workshop.spent.values()),
        "trainings": len(preparation.workshop.spent),
        "student": size.label,
        "epochs": preparation.workshop.settings.epochs,
        "train_rows": len(preparation.task.train),
        "student_sha256": artifact.sha256,
        "students": students,
    }


def run_arm(arm: Arm, request: Request) -> dict[str, Any]:
    """Do all jobs as *arm* says in a fresh process; return its wall time and what it made.

    Raises:
        EdgeError: the process failed.
    """
    environment = {**os.environ, **{name: str(arm.threads) for name in THREADS}, "TQDM_DISABLE": "1"}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        order = Path(folder) / "request.json"
        order.write_text(replace(request, workers=arm.workers).to_json(), encoding="utf-8")
        command = [sys.executable, "-m", "hpmkd_edge.bench.scripts.parallel", "--jobs", folder]
        began = time.perf_counter()
        ended = subprocess.run(command, env=environment, check=False).returncode
        wall = time.perf_counter() - began
        if ended != 0:
            raise EdgeError(f"the jobs on {arm.name} ended with {ended}; see above.")
        made = json.loads((Path(folder) / "made.json").read_text(encoding="utf-8"))
    return {"arm": arm.name, "wall_s": wall, "load_average": load, **made}


def serve(folder: Path) -> int:
    """Do the jobs that *folder* asks for, and leave what they made there."""
    from hpmkd_edge.request import read_request

    try:
        made = do_jobs(read_request(folder / "request.json"), folder)
    except EdgeError as error:
        print(f"parallel: {error}", file=sys.stderr)
        return error.exit_code
    (folder / "made.json").write_text(json.dumps(made), encoding="utf-8")
    return 0


def run_all(asked: argparse.Namespace, result: Result) -> None:
    """Add the runs that *result* has not: round by round, beginning with another arm in each."""
    from hpmkd_edge.tasks.source import open_task

    arms = arms_of(asked.workers)
    turns = [
        (number, arm) for number in range(asked.rounds) for arm in (*arms[number % 3 :], *arms[: number % 3])
    ]  # fmt: skip
    if len(result.rows) == len(turns):
        return
    with tempfile.TemporaryDirectory() as folder:
        teachers = tuple(asked.teacher) or fit_teachers(
            open_task(asked.data, label=asked.label, split=asked.split), Path(folder)
        )
        request = request_of(asked, teachers, own=not asked.teacher)
        request.check()
        # Not kept: what compiles kernels, and reads files from the disk for the first time.
        run_arm(arms[1], replace(request, epochs=1))
        for number, arm in tqdm(turns[len(result.rows) :], desc="runs", unit="run", disable=None):
            result.add({"round": number, **run_arm(arm, request)})


def summarize(rows: Sequence[dict[str, Any]], workers: int) -> dict[str, Any]:
    """Return medians of the arms' seconds, ratios within rounds with their range, and whether the claim holds."""
    one, several, threads = (arm.name for arm in arms_of(workers))
    seconds = {name: [row["wall_s"] for row in rows if row["arm"] == name] for name in (one, several, threads)}
    ratios = {}
    for baseline in (one, threads):
        of_rounds = [
            next(row["wall_s"] for row in rows if (row["round"], row["arm"]) == (number, several))
            / next(row["wall_s"] for row in rows if (row["round"], row["arm"]) == (number, baseline))
            for number in sorted({row["round"] for row in rows})
        ]
        ratios[f"{several} over {baseline}"] = {
            "median": statistics.median(of_rounds),
            "low": min(of_rounds),
            "high": max(of_rounds),
        }
    alike = [{json.dumps(row["students"]) for row in rows if row["arm"] in pair} for pair in ((one, several), seconds)]
    return {
        "wall_s": {name: statistics.median(times) for name, times in seconds.items()},
        "race_s": {name: statistics.median(row["race_s"] for row in rows if row["arm"] == name) for name in seconds},
        # Trainings under way at a time, in the mean: 1 where no worker process was worth its start.
        "side_by_side": {
            name: statistics.median(row["training_s"] / row["race_s"] for row in rows if row["arm"] == name)
            for name in seconds
        },
        "ratios": ratios,
        "equal_bytes": {f"{one} and {several}": len(alike[0]) == 1, "all arms": len(alike[1]) == 1},
        "claim": f"{workers} workers take at most {MOST_RATIO} of the time of one",
        "holds": ratios[f"{several} over {one}"]["median"] <= MOST_RATIO,
    }


def table_of(summary: dict[str, Any]) -> str:
    """Return the figures as lines for a terminal."""
    lines = [f"{'arm':28}{'wall, median':>14}{'of it racing':>14}{'at a time':>11}"]
    for name, wall in summary["wall_s"].items():
        race, beside = summary["race_s"][name], summary["side_by_side"][name]
        lines.append(f"{name:28}{wall:12.1f} s{race:12.1f} s{beside:11.2f}")
    for name, one in summary["ratios"].items():
        lines.append(f"{name}: {one['median']:.3f} ({one['low']:.3f}–{one['high']:.3f})")
    for name, same in summary["equal_bytes"].items():
        lines.append(f"students of {name}: {'the same bytes' if same else 'other bytes'}")
    lines.append(f"{summary['claim']}: {str(summary['holds']).lower()}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the arms, write the result, and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--jobs"] and len(given) == 2:
        return serve(Path(given[1]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--label")
    parser.add_argument("--split", metavar="COLUMN")
    parser.add_argument("--student", help="as `hpmkd-edge compress` takes it")
    parser.add_argument("--size", help="the same")
    parser.add_argument("--epochs", type=int, help="of each training; see above")
    parser.add_argument("--teacher", action="append", default=[], help="repeatable; three classifiers are fitted else")
    parser.add_argument("--weights", action="append", default=[], help="of a file.py:function teacher, in order")
    parser.add_argument("--normalize", help="as `hpmkd-edge compress` takes it")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS / "parallel.json")
    asked = parser.parse_args(given)
    if asked.workers < 2 or asked.rounds < 1:
        parser.error("--workers takes 2 or more, --rounds 1 or more")
    try:
        cores = len(os.sched_getaffinity(0))
        if asked.workers > cores:
            raise BadConfiguration(f"--workers is {asked.workers}, and there are {cores} cores; at most one each.")
        result = open_result(asked.output, Path(__file__), given, libraries=(*LIBRARIES, "scikit-learn"))
        run_all(asked, result)
        summary = summarize(result.rows, asked.workers)
        result.finish(summary)
    except EdgeError as error:
        print(f"parallel: {error}", file=sys.stderr)
        return error.exit_code
    print(table_of(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
