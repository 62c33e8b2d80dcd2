"""The published JSON Schemas are those of the code, and what the tool writes follows them."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError
from sample_evidence import make_evidence
from sample_graphs import images_graph
from sample_records import make_profile, make_report, make_target
from typer.testing import CliRunner

from hpmkd_edge.bench.change import change_between
from hpmkd_edge.bench.measurement import measure
from hpmkd_edge.bench.protocol import SAMPLINGS
from hpmkd_edge.bench_change import compare_records
from hpmkd_edge.benched import BenchRecord, Model, against, change_record, exit_code_of, measured_cell
from hpmkd_edge.commands.schemas import app
from hpmkd_edge.errors import BadConfiguration, BadOutput
from hpmkd_edge.history import HistoryRecord, entry_of
from hpmkd_edge.manifest import write_manifest
from hpmkd_edge.report.gate import judge_again
from hpmkd_edge.report.machine import gated_to_json, to_json
from hpmkd_edge.report.run_record import run_of
from hpmkd_edge.report.schemas import SCHEMAS, file_of, schema_of, version_of
from hpmkd_edge.verdict import judge

PUBLISHED = Path(__file__).parents[2] / "docs" / "schemas"


def check(name, text):
    Draft202012Validator(schema_of(name)).validate(json.loads(text))


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_published_schema_is_that_of_the_code(name):
    """Whoever changes what is written, publishes it: the file is part of the same change."""
    path = PUBLISHED / file_of(name)
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    assert found == schema_of(name), f"{path} is old; remake it with: hpmkd-edge schemas write docs/schemas"


def test_no_file_lies_there_that_nobody_publishes():
    """A version that is gone stays in the history of the repository."""
    assert {path.name for path in PUBLISHED.iterdir()} == {file_of(name) for name in SCHEMAS}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_names_itself_and_is_one(name):
    """By the address that the "schema" field of its files has; only such files follow it."""
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)

    assert schema["$id"] == version_of(name)
    assert version_of(name).startswith(f"hpmkd-edge/{name}/")
    assert schema["properties"]["schema"]["const"] == version_of(name)
    assert "schema" in schema["required"]


def test_reports_evidence_and_verdicts_follow_their_schemas():
    """As the commands print them, from records of every kind."""
    report = make_report()
    check("report", to_json(report))
    check("report", to_json(make_report(make_target(), make_profile(ms=20.0))))
    check("run", to_json(run_of([report, report])))
    check("history", to_json(HistoryRecord(measurements=(entry_of(make_profile(), target=make_target()),))))
    check("evidence", to_json(make_evidence()))
    check("gate", gated_to_json(judge_again([report], baselines=[report])))
    check("profile", to_json(make_profile()))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"schema": "hpmkd-edge/report/9"}, "hpmkd-edge/report/1"),
        ({"verdikt": 1}, "unexpected"),
        ({"retention": "all"}, "not of type 'number'"),
    ],
)
def test_what_is_no_report_does_not_pass_for_one(change, wanted):
    """An unknown key, another type, another version."""
    found = asdict(make_report()) | change

    with pytest.raises(ValidationError, match=wanted):
        check("report", to_json(found))


def test_a_report_of_before_a_field_was_added_still_follows_its_schema():
    """What a version has added is not required."""
    found = asdict(make_report())
    for added in ("answers", "foretold", "teacher_forwards"):
        del found[added]

    check("report", to_json(found))


def test_a_real_measurement_and_a_comparison_of_it_follow_their_schemas(tmp_path, brief):
    """Of a file that was timed here."""
    path = tmp_path / "net.onnx"
    _, rows = images_graph(path)
    profile = measure(path, runtime="onnxruntime", feeds=rows(1), sampling=SAMPLINGS["quick"])
    verdict = judge(
        make_target(), profile=profile, model_bytes=path.stat().st_size, accuracy=None, teacher_accuracy=None
    )
    cell = measured_cell(
        target="host",
        model="net.onnx",
        made="as it is",
        profile=profile,
        verdict=verdict,
        against_first=against(profile, profile),
    )
    record = BenchRecord(
        tool_version="0.1.0",
        taken_at=profile.taken_at,
        protocol="quick",
        models=(Model(name="net.onnx", path=str(path), sha256=profile.model_sha256, precision="fp32"),),
        targets=("host",),
        precisions=(),
        exit_code=exit_code_of([cell]),
        notes=(),
        cells=(cell,),
    )

    check("profile", to_json(profile))
    check("change", to_json(change_record(profile, profile, change_between(profile, profile))))
    check("bench", to_json(record))
    check("bench-change", to_json(compare_records(record, record)))
    check("manifest", to_json(write_manifest(tmp_path, run_id="a", command="", seed=0, created_at="", inputs=())))


def test_the_command_lists_shows_and_writes_them(tmp_path):
    """What it shows is what it writes."""
    listed = CliRunner().invoke(app, ["list"]).stdout.splitlines()
    shown = CliRunner().invoke(app, ["show", "gate"], catch_exceptions=False).stdout
    CliRunner().invoke(app, ["write", str(tmp_path / "new")], catch_exceptions=False)

    assert [line.split() for line in listed] == [[name, version_of(name)] for name in SCHEMAS]
    assert json.loads(shown) == schema_of("gate")
    assert (tmp_path / "new" / "gate-1.schema.json").read_text() == shown
    assert len(list((tmp_path / "new").iterdir())) == len(SCHEMAS)


def test_a_name_that_is_none_offers_the_nearest(tmp_path):
    """And a folder that cannot be made is a sentence."""
    (tmp_path / "file").touch()
    with pytest.raises(BadConfiguration, match=r"no schema 'reprot'. Did you mean 'report'\?"):
        CliRunner().invoke(app, ["show", "reprot"], catch_exceptions=False)
    with pytest.raises(BadOutput, match="cannot be made"):
        CliRunner().invoke(app, ["write", str(tmp_path / "file" / "new")], catch_exceptions=False)
