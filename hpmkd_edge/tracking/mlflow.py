"""MLflow: a run for each target, on the server or in the files that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Final

from hpmkd_edge.tracking.journal import SHARED, Entry
from hpmkd_edge.tracking.tracker import End, Place, Summary

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

STATUS: Final[Mapping[End, str]] = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
OWN_TAGS: Final = {"commit": "mlflow.source.git.commit", "note": "mlflow.note.content"}
LONGEST_VALUE: Final = 500  # of a setting; servers differ in what they take, and all take this
MOST_AT_ONCE: Final = 1000  # numbers in a call, by MLflow's own limit
# MLflow would ask a server that is gone for minutes, and the end of a run would wait for it.
PATIENCE: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


def missing() -> str | None:
    """Say what to install."""
    if find_spec("mlflow") is not None:
        return None
    return "--log mlflow needs MLflow, which is not installed: pip install 'hpmkd-edge[mlflow]'"


def open_tracker(place: Place) -> MlFlow:
    """Begin the runs, or go on with those of an earlier sitting."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    client = MlflowClient()
    kept = place.partial / "mlflow.json"
    if kept.exists():
        runs = json.loads(kept.read_text(encoding="utf-8"))
        for run in set(runs.values()):
            client.update_run(run, status="RUNNING")
        return MlFlow(client, runs, resumed=True)
    runs = _begin(client, place)
    kept.write_text(json.dumps(runs), encoding="utf-8")
    return MlFlow(client, runs, resumed=False)


class MlFlow:
    """Sends a run's numbers; *runs* has MLflow's id for each target, and for SHARED."""

    def __init__(self, client: MlflowClient, runs: Mapping[str, str], *, resumed: bool) -> None:
        self._client, self._runs, self._resumed = client, runs, resumed
        self._last: dict[tuple[str, str], int] = {}

    def draw(self, entries: Sequence[Entry]) -> None:
        """Send the epochs that the server does not have."""
        from mlflow.entities import Metric

        fresh: defaultdict[str, list[Metric]] = defaultdict(list)
        for entry in entries:
            run, epoch = self._runs[entry.scope], entry.epoch
            if epoch.number > self._last_of(run, entry.training):
                fresh[run] += [
                    Metric(f"{entry.training}/{name}", number, round(entry.seconds * 1000), epoch.number)
                    for name, number in epoch.curves().items()
                ]
        for run, metrics in fresh.items():
            rest = iter(metrics)
            while part := list(islice(rest, MOST_AT_ONCE)):
                self._client.log_batch(run, metrics=part)

    def summarize(self, summary: Summary) -> None:
        """Send settings, numbers, tags and files."""
        run = self._runs[summary.target]
        for name, value in summary.settings:
            self._client.log_param(run, name, value[:LONGEST_VALUE])
        for name, number in summary.numbers:
            self._client.log_metric(run, name, number)
        for name, value in (*summary.tags, ("note", summary.text)):
            self._client.set_tag(run, OWN_TAGS.get(name, name), value)
        for path in summary.files:
            self._client.log_artifact(run, str(path))

    def close(self, end: End) -> None:
        """End the runs."""
        for run in set(self._runs.values()):
            self._client.set_terminated(run, STATUS[end])

    def _last_of(self, run: str, training: str) -> int:
        """Return the last epoch of a training that an earlier sitting has sent; 0 for none."""
        if not self._resumed:
            return 0
        if (run, training) not in self._last:
            # By accuracy, the last to be written of an epoch's numbers that each has.
            history = self._client.get_metric_history(run, f"{training}/accuracy")
            self._last[run, training] = max((metric.step for metric in history), default=0)
        return self._last[run, training]


def _begin(client: MlflowClient, place: Place) -> dict[str, str]:
    """Return the ids of new runs: one, or one a target below one for all of them."""
    experiment = _experiment(client)
    tags = {"mlflow.source.name": "hpmkd-edge"}
    whole = client.create_run(experiment, run_name=place.name, tags=tags).info.run_id
    runs = {SHARED: whole}
    for target in place.targets:
        if len(place.targets) == 1:
            runs[target] = whole
        else:
            name, below = f"{place.name} on {target}", {**tags, "mlflow.parentRunId": whole}
            runs[target] = client.create_run(experiment, run_name=name, tags=below).info.run_id
    return runs


def _experiment(client: MlflowClient) -> str:
    """Return the experiment that MLflow's own variables name, made where it is missing; else the default one."""
    if number := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return number
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if not name:
        return "0"
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found is not None else client.create_experiment(name))
