"""MLflow's own client finds what was sent, in a store without a server."""

import pytest

pytest.importorskip("mlflow")
pytest.importorskip("alembic")

from mlflow import MlflowClient

from hpmkd_edge.tracking import mlflow


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A database of MLflow; to make one takes it a second."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(autouse=True)
def client(store, tmp_path, monkeypatch, request):
    """The client of an experiment of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    for name, value in mlflow.PATIENCE.items():
        monkeypatch.setenv(name, value)
    return MlflowClient()


@pytest.fixture
def runs(client, request):
    """Returns a function that reads the test's runs, by name."""

    def found():
        experiment = client.get_experiment_by_name(request.node.name)
        return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}

    return found


def steps(client, run, key):
    return [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, key)]


def test_one_target_is_one_run_with_all_that_belongs_to_it(client, runs, place, entries, summary):
    """Trainings of the target and shared ones, settings, numbers, tags and the student."""
    told = mlflow.open_tracker(place("box"))
    told.draw([*entries(1, 2), *entries(1, scope="box", training="kd-2", temperature=None)])
    told.summarize(summary("box"))
    told.close("finished")
    (run,) = runs().values()

    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert steps(client, run, "direct-1/loss") == [(1, 1.0), (2, 0.5)]
    assert steps(client, run, "kd-2/accuracy") == [(1, 0.125)]
    assert "kd-2/temperature" not in run.data.metrics
    assert run.data.params == {"epochs": "4", "method": "kd", "flip": "False"}
    assert run.data.metrics["p90_bound_ms"] == 1.5
    assert run.data.tags.items() >= {"verdict": "met", "mlflow.source.git.commit": "abc"}.items()
    assert run.data.tags["mlflow.note.content"] == "**met**"
    assert [one.path for one in client.list_artifacts(run.info.run_id)] == ["student.onnx"]


def test_several_targets_are_runs_below_one(client, runs, place, entries, summary):
    """What they share is the parent's."""
    told = mlflow.open_tracker(place("box", "board"))
    told.draw([*entries(1), *entries(1, scope="board", training="kd-2")])
    told.summarize(summary("box"))
    told.close("finished")
    found = runs()
    parent, box, board = (found[name] for name in ("first", "first on box", "first on board"))

    assert {one.data.tags["mlflow.parentRunId"] for one in (box, board)} == {parent.info.run_id}
    assert "direct-1/loss" in parent.data.metrics
    assert "kd-2/loss" in board.data.metrics
    assert box.data.metrics["test_accuracy"] == 0.875


def test_a_resumed_run_goes_on_without_a_step_twice(client, runs, place, entries):
    """In the same run of MLflow, which was marked as interrupted meanwhile."""
    first = mlflow.open_tracker(place("box"))
    first.draw(entries(1, 2))
    first.close("interrupted")
    (between,) = runs().values()
    second = mlflow.open_tracker(place("box"))
    second.draw(entries(1, 2, 3))
    second.draw(entries(4))
    second.close("finished")
    (run,) = runs().values()

    assert (between.info.status, run.info.status) == ("KILLED", "FINISHED")
    assert [step for step, _ in steps(client, run, "direct-1/loss")] == [1, 2, 3, 4]


def test_more_epochs_than_a_call_takes_are_sent_in_parts(client, runs, place, entries, monkeypatch):
    """None is lost."""
    monkeypatch.setattr(mlflow, "MOST_AT_ONCE", 3)
    told = mlflow.open_tracker(place("box"))
    told.draw(entries(1, 2, 3, 4))
    told.close("finished")
    (run,) = runs().values()

    assert [step for step, _ in steps(client, run, "direct-1/temperature")] == [1, 2, 3, 4]
