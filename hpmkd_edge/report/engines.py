"""What TensorRT made of model files: as lines for people, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from hpmkd_edge.bench.building import Outcome

SCHEMA: Final = "hpmkd-edge/engine-check/1"


def outcomes_as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return *outcomes*, and the exit code of all of them together."""
    files = []
    for one in outcomes:
        paths = {"model": str(one.model), "output": str(one.output) if one.output else None}
        files.append({"built": one.failure is None, **asdict(one), **paths})
    code = 4 if any(one.failure for one in outcomes) else 0
    return {"schema": SCHEMA, "exit_code": code, "files": files}


def outcomes_as_text(outcomes: Sequence[Outcome]) -> str:
    """Return a line for each file: the engine, or why there is none, operator by operator."""
    return "\n".join(line for one in outcomes for line in _lines(one))


def _lines(outcome: Outcome) -> list[str]:
    name = outcome.model.name
    if outcome.engine_bytes is not None:
        saved = f", saved to {outcome.output}" if outcome.output else ""
        return [
            f"{name}: built by {outcome.tensorrt} in {outcome.seconds:.1f} s: "
            f"{outcome.precision}, {outcome.engine_bytes / 1e6:.2f} MB{saved}"
        ]
    if not outcome.refused:
        return [f"{name}: not built: {outcome.failure}"]
    return [f"{name}: not taken by {outcome.tensorrt}:", *(f"  {one}" for one in outcome.refused)]
