"""Trials outlive their run, once each, whoever writes."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpmkd_edge.plan.memory import Memory, PredictionError, Trial
from hpmkd_edge.store.database import open_database

TRIAL = Trial(
    component="configuration",
    run="digits, residual 8×1, seed 0",
    task="a" * 64,
    task_name="digits",
    kind="images",
    family="residual",
    traits={"log rows": 7.138, "classes": 10.0},
    settings={"epochs": 20, "learning_rate": 4e-3, "method": "dist", "flip": False},
    schedule="constant",
    loss="dist",
    accuracy=0.95,
    teacher_accuracy=0.98,
    epochs=20,
    full_epochs=20,
    seconds=12.5,
    predicted=None,
    seed=0,
    created=1.0,
    version="0.1",
)


@pytest.fixture
def memory(tmp_path):
    """An empty memory."""
    return Memory(open_database(str(tmp_path / "memory.sqlite")))


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(),
    traits=st.dictionaries(st.text(), finite, max_size=3),
    chosen=st.dictionaries(st.text(), finite | st.integers() | st.text() | st.booleans() | st.none(), max_size=3),
    predicted=st.none() | finite,
)
def test_any_trial_comes_back_as_it_was(name, traits, chosen, predicted, memory):
    """To the last bit of its numbers, for another process too."""
    trial = replace(TRIAL, task_name=name, traits=traits, settings=chosen, predicted=predicted)
    memory.remember(trial)

    assert Memory(memory.engine).trials() == (trial,)
    memory.prune(0)


def test_a_trial_is_remembered_once(memory):
    """A resumed run tells its trials again; the first telling stays, and any other difference is another trial."""
    memory.remember(TRIAL)
    memory.remember(replace(TRIAL, created=2.0, seconds=3.0, predicted=0.9))
    others = [
        replace(TRIAL, seed=1, created=3.0),
        replace(TRIAL, accuracy=0.96, created=4.0),
        replace(TRIAL, settings={**TRIAL.settings, "epochs": 21}, created=5.0),
        replace(TRIAL, version="0.2", created=6.0),
        replace(TRIAL, component="temperature", created=7.0),
        replace(TRIAL, run="another", created=8.0),
    ]
    for trial in others:
        memory.remember(trial)

    assert memory.trials() == (TRIAL, *others)


def test_the_trials_of_a_run_are_remembered_together_or_not_at_all(memory):
    """A run of which only the short trainings were kept would have no end to compare them with."""
    others = [replace(TRIAL, epochs=epochs, created=float(epochs)) for epochs in (2, 7, 20)]
    with pytest.raises(ValueError, match="Out of range float values"):
        memory.remember(*others[:2], replace(others[2], accuracy=float("nan")))

    assert memory.trials() == ()
    memory.remember(*others)
    assert memory.trials() == tuple(others)


def test_a_task_can_be_left_out(memory):
    """Whose outcome is to be predicted from others; and trials of one kind can be asked for."""
    table = replace(TRIAL, task="b" * 64, kind="table")
    other = replace(TRIAL, task="c" * 64)
    for trial in (TRIAL, table, other):
        memory.remember(trial)

    assert {trial.task for trial in memory.trials()} == {"a" * 64, "b" * 64, "c" * 64}
    assert memory.trials("table") == (table,)
    assert memory.trials("images", excluding=["a" * 64]) == (other,)
    assert memory.trials(excluding={"a" * 64, "c" * 64}) == (table,)


def test_retention_is_the_share_of_the_teacher_s_accuracy():
    """Above 1 for a student that is better than its teacher."""
    assert TRIAL.retention == pytest.approx(0.95 / 0.98)
    assert replace(TRIAL, accuracy=0.99).retention > 1


def test_the_error_of_predictions_is_their_mean_distance(memory):
    """Over the trials that had a prediction; None before the first."""
    assert memory.prediction_error() == PredictionError(mean=None, predictions=0)
    memory.remember(TRIAL)
    memory.remember(replace(TRIAL, seed=1, accuracy=0.49, predicted=0.7))
    memory.remember(replace(TRIAL, seed=2, accuracy=0.98, predicted=0.9))
    error = memory.prediction_error()

    assert error.predictions == 2
    assert error.mean == pytest.approx((0.2 + 0.1) / 2)


def test_the_oldest_go_first_and_a_task_can_be_forgotten(memory):
    """By when they were made, not by when they were told."""
    for created in (3.0, 1.0, 2.0, 4.0):
        memory.remember(replace(TRIAL, seed=int(created), created=created))
    memory.remember(replace(TRIAL, task="b" * 64, created=5.0))

    assert memory.prune(9) == 0
    assert memory.prune(3) == 2
    assert [trial.created for trial in memory.trials()] == [3.0, 4.0, 5.0]
    assert memory.forget("a" * 64) == 2
    assert [trial.task for trial in memory.trials()] == ["b" * 64]


@pytest.mark.parametrize("field", ["accuracy", "predicted", "traits"])
def test_a_number_that_is_not_finite_is_refused(memory, field):
    """A regression on it would fail for every later run."""
    value = {"skew": float("nan")} if field == "traits" else float("inf")

    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        memory.remember(replace(TRIAL, **{field: value}))
    assert memory.trials() == ()


WRITER = """
import sys
from dataclasses import replace
from hpmkd_edge.plan.memory import Memory, Trial
from hpmkd_edge.store.database import open_database
trial = eval(sys.argv[2])
memory = Memory(open_database(sys.argv[1]))
for number in range(25):
    memory.remember(replace(trial, seed=int(sys.argv[3]) * 25 + number))
"""


def test_four_processes_that_write_at_once_lose_nothing(tmp_path):
    """25 trials each, into a database that none of them has found: all 100 are there."""
    path = str(tmp_path / "memory.sqlite")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, repr(TRIAL), str(number)], stderr=subprocess.PIPE)
        for number in range(4)
    ]
    errors = [writer.communicate()[1] for writer in writers]
    trials = Memory(open_database(path)).trials()

    assert errors == [b""] * 4
    assert sorted(trial.seed for trial in trials) == list(range(100))
