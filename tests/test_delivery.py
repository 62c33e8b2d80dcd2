"""Which precision of a student ships: what breaks fewest budgets, is not slower than fp32, and stands first."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sample_records import HERE, make_profile, make_target

from hpmkd_edge.bench.scoring import Score
from hpmkd_edge.delivery import MOST_LOST, Delivery, Made, chosen, in_order
from hpmkd_edge.export.artifact import Artifact
from hpmkd_edge.targets import AccuracyLimit, Limit

TEACHER = 0.92


def made(path, precision, *, accuracy=0.91, size=1_000):
    path.write_bytes(bytes(size))
    scored = Score(labels=np.zeros(1), predictions=np.zeros(1), loss=0.3, accuracy=accuracy)
    artifact = Artifact(path=path, precision=precision, parity=None)
    return Made(artifact=artifact, how="made here", score=scored)


def delivery(**changes):
    preparation = SimpleNamespace(best=SimpleNamespace(accuracy=TEACHER), task=SimpleNamespace(goal="classes"))
    target = make_target(precisions=("int8", "fp32"), **changes)
    return Delivery(target=target, preparation=preparation, facts={}, cut_for=None)


def weigh(tmp_path, *, int8_ms=0.5, accuracy=0.91, size=400, own=None, **profile):
    asked = own or delivery()
    files = [
        made(tmp_path / "a-int8.onnx", "int8", accuracy=accuracy, size=size),
        made(tmp_path / "a.onnx", "fp32"),
    ]
    times = [make_profile(ms=int8_ms, precision="int8", **profile), make_profile(ms=1.0, **profile)]
    return asked.weigh(files, times)


def test_of_files_that_keep_all_budgets_the_first_in_the_targets_order_ships(tmp_path):
    """The target says what it would rather have."""
    assert chosen(weigh(tmp_path)).made.artifact.precision == "int8"
    assert chosen(weigh(tmp_path)[::-1]).made.artifact.precision == "fp32"


@pytest.mark.parametrize("ms", [1.001, 1.3, 3.0])
def test_fewer_bits_that_are_slower_do_not_ship_for_their_name(tmp_path, ms):
    """Both keep all budgets; the record says what is slower."""
    weighed = weigh(tmp_path, int8_ms=ms)

    assert weighed[0].slower
    assert weighed[0].change.ratio == pytest.approx(ms, rel=1e-3)
    assert chosen(weighed).made.artifact.precision == "fp32"


def test_what_is_slower_on_another_machine_says_nothing_of_the_target(tmp_path):
    """The board's runtime is another; its order holds."""
    board = delivery(device=replace(HERE, name="board", identity=("Board 9",)))
    weighed = weigh(tmp_path, int8_ms=2.0, own=board)

    assert not weighed[0].slower
    assert chosen(weighed).made.artifact.precision == "int8"


def test_a_file_that_breaks_a_budget_does_not_ship_beside_one_that_keeps_all(tmp_path):
    """Accuracy first, then even a slower file is better than a broken budget."""
    lossy = weigh(tmp_path, accuracy=TEACHER - 0.03)
    budgets = replace(make_target().budgets, model_size_mb=Limit(fail=500e-6))
    small = weigh(tmp_path, int8_ms=2.0, own=delivery(budgets=budgets))

    assert lossy[0].broken == 1
    assert chosen(lossy).made.artifact.precision == "fp32"
    assert (small[0].broken, small[1].broken) == (0, 1)
    assert chosen(small).made.artifact.precision == "int8"


def test_fp32_is_tried_last_where_a_target_does_not_list_it():
    """It runs everywhere, and what else there is may lose too much."""
    assert in_order(make_target(precisions=("int8", "fp16"))) == ("int8", "fp16", "fp32")
    assert in_order(make_target(precisions=("fp32", "int8"))) == ("fp32", "int8")


@pytest.mark.parametrize(
    ("accuracy", "limit", "most"),
    [
        (0.92, AccuracyLimit(max_drop=0.02), MOST_LOST),
        (0.902, AccuracyLimit(max_drop=0.02), 0.002),
        (0.902, AccuracyLimit(min=0.9015, max_drop=0.05), 0.0005),
        (0.85, AccuracyLimit(max_drop=0.02), MOST_LOST),
        (0.85, None, MOST_LOST),
    ],
)
def test_int8_may_lose_half_a_point_and_no_more_than_the_budget_leaves(tmp_path, accuracy, limit, most):
    """A student that misses its budget anyway is not asked for more than others."""
    asked = delivery(budgets=replace(make_target().budgets, accuracy=limit))

    assert asked.most_lost(made(Path(tmp_path / "a.onnx"), "fp32", accuracy=accuracy)) == pytest.approx(most)
