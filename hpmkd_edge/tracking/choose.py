"""The trackers by name."""

from __future__ import annotations

from typing import Final

from hpmkd_edge.errors import BadConfiguration, RuntimeUnavailable, unknown
from hpmkd_edge.tracking import mlflow, tensorboard
from hpmkd_edge.tracking.tracker import Kind

TRACKERS: Final[dict[str, Kind]] = {"tensorboard": tensorboard, "mlflow": mlflow}


def check_trackers(names: tuple[str, ...]) -> None:
    """Stop where no tracker has one of the *names*, or it is not installed.

    Raises:
        BadConfiguration: a name is unknown, or given twice.
        RuntimeUnavailable: a tracker's package is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS)
        if names.count(name) > 1:
            raise BadConfiguration(f"--log {name} is given twice; give it once.")
        missing = TRACKERS[name].missing()
        if missing is not None:
            raise RuntimeUnavailable(missing)
