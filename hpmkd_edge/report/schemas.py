"""The JSON Schemas of what the tool writes and prints, made from the dataclasses that read it back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from hpmkd_edge.bench.profile import Profile
from hpmkd_edge.bench_change import BenchChange
from hpmkd_edge.benched import BenchRecord, ChangeRecord
from hpmkd_edge.distilled import Distilled
from hpmkd_edge.errors import unknown
from hpmkd_edge.evidence import Evidence
from hpmkd_edge.finetuned import Finetuned
from hpmkd_edge.history import HistoryRecord
from hpmkd_edge.manifest import Manifest
from hpmkd_edge.planned import Plan
from hpmkd_edge.record import Report
from hpmkd_edge.report.machine import GateRecord
from hpmkd_edge.report.run_record import RunRecord

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS: Final[dict[str, type[Any]]] = {
    "report": Report,
    "run": RunRecord,
    "distilled": Distilled,
    "evidence": Evidence,
    "plan": Plan,
    "profile": Profile,
    "gate": GateRecord,
    "bench": BenchRecord,
    "change": ChangeRecord,
    "bench-change": BenchChange,
    "history": HistoryRecord,
    "manifest": Manifest,
    "finetuned": Finetuned,
}


def version_of(name: str) -> str:
    """Return what the "schema" field of such a file says, e.g. "hpmkd-edge/report/1".

    Raises:
        BadConfiguration: there is no such schema.
    """
    if name not in SCHEMAS:
        raise unknown("schema", name, SCHEMAS)
    (field,) = (field for field in fields(SCHEMAS[name]) if field.name == "schema")
    return str(field.default)


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON Schema called *name*; what a version has added since its first file is not required.

    Raises:
        BadConfiguration: there is no such schema.
    """
    from pydantic import TypeAdapter

    version = version_of(name)
    found = TypeAdapter(SCHEMAS[name]).json_schema()
    # A file that does not say what it is, is refused when it is read.
    required = ["schema", *found.get("required", [])]
    return {
        "$schema": DIALECT,
        "$id": version,
        **found,
        "title": f"{version}, as hpmkd-edge writes it",
        "required": required,
    }


def file_of(name: str) -> str:
    """Return the name of the file in which the schema called *name* is published."""
    return f"{name}-{version_of(name).rsplit('/', 1)[1]}.schema.json"
