"""Reports come back as they were written, or are refused."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_records import BOARD, FULL, make_foretold, make_report, make_target

from hpmkd_edge.bench.prediction import unknown_because
from hpmkd_edge.errors import BadOutput, BadReport
from hpmkd_edge.foretold import Foretold
from hpmkd_edge.record import (
    Report,
    read_report,
    report_schema,
    write_report,
)
from hpmkd_edge.targets import Target

ATOMS = {
    str: st.text(max_size=8),
    int: st.integers(-(2**70), 2**70),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    NoneType: st.none(),
    # Budgets have rules of their own; these are two that keep them.
    Target: st.sampled_from([make_target(), make_target(device=BOARD, budgets=FULL)]),
    # So has what is foretold.
    Foretold: st.sampled_from(
        [
            make_foretold(2.5, 3.1, 4.2),
            make_foretold(0.1 + 0.2, 1.0, 1e9, provenance="transferred"),
            Foretold(percentile="p50", source="no record", prediction=unknown_because("it is two files.")),
        ]
    ),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return any value of a type that a report is made of."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in ATOMS:
        return ATOMS[kind]
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is UnionType:
        return st.one_of(*map(values, inner))
    if origin is tuple and inner[-1] is Ellipsis:
        return st.lists(values(inner[0]), min_size=1, max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, inner))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: values(hints[field.name]) for field in fields(kind)})
    assert issubclass(kind, Enum)
    return st.sampled_from(list(kind))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(values(Report))
def test_a_report_comes_back_as_it_was_written(tmp_path, report):
    """Writing and reading is the identity, and leaves no draft behind."""
    write_report(report, tmp_path / "report.json")

    assert read_report(tmp_path / "report.json") == report
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_report_is_json_of_one_line_for_all_samples(tmp_path):
    """People can read it, although it keeps every sample."""
    path, report = tmp_path / "report.json", make_report()
    write_report(report, path)
    text = path.read_text(encoding="utf-8")

    assert json.loads(text)["verdict"]["judgements"][0]["outcome"] == "met"
    assert len(text.splitlines()) < len(report.profile.samples_ns)
    assert next(iter(json.loads(text))) == "schema"


@pytest.mark.parametrize(
    ("found", "put", "sentence"),
    [
        (
            "hpmkd-edge/report/1",
            "hpmkd-edge/report/2",
            "has the schema 'hpmkd-edge/report/2'; 'hpmkd-edge/report/1'",
        ),
        ('"schema": "hpmkd-edge/report/1",', "", "has the schema None"),
        ('"seed": 0,', "", "seed: Field required"),
        ('"seed": 0,', '"seed": "0",', "seed: Input should be a valid integer"),
        ('"seed": 0,', '"seed": 0, "sed": 1,', "sed: Unexpected keyword argument"),
        ('"governor": null', '"governer": null', "Field required|Unexpected keyword"),
        ('"outcome": "met"', '"outcome": "good"', "outcome: Input should be 'met'"),
        ('"test_accuracy": 0.93,', '"test_accuracy": NaN,', "NaN is not a number"),
        ('"fail": 64.0', '"fail": -64.0', "fail is -64"),
    ],
)
def test_a_report_with_a_mistake_is_refused(tmp_path, found, put, sentence):
    """Another version, a missing or unknown key, a wrong type, NaN: one sentence with the place."""
    path = tmp_path / "report.json"
    write_report(make_report(), path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(found, put), encoding="utf-8")

    assert found in text
    with pytest.raises(BadReport, match=sentence):
        read_report(path)


def test_a_report_without_a_teacher_is_refused(tmp_path):
    """There is nothing to set the student beside."""
    path = tmp_path / "report.json"
    write_report(make_report(), path)
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**found, "teachers": []}), encoding="utf-8")

    with pytest.raises(BadReport, match="teachers is empty"):
        read_report(path)


@given(share=st.floats(0, 0.999))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_report_is_refused(tmp_path, share):
    """Half a file is no report."""
    path = tmp_path / "report.json"
    write_report(make_report(), path)
    text = path.read_text(encoding="utf-8").rstrip()
    path.write_text(text[: int(share * len(text))], encoding="utf-8")

    with pytest.raises(BadReport, match="is not JSON"):
        read_report(path)


@pytest.mark.parametrize("text", ["[]", "3", '"hpmkd-edge/report/1"', "{}", "null"])
def test_other_json_is_refused(tmp_path, text):
    """A file says of itself what it is."""
    (tmp_path / "report.json").write_text(text, encoding="utf-8")

    with pytest.raises(BadReport, match="has the schema None"):
        read_report(tmp_path / "report.json")


def test_a_report_that_is_not_there_is_refused(tmp_path):
    """The whole path is named."""
    with pytest.raises(BadReport, match=f"{tmp_path}/report.json cannot be read: No such file"):
        read_report(tmp_path / "report.json")


def test_a_number_that_is_not_finite_is_not_written(tmp_path):
    """NaN is not JSON, and a file that was there stays as it was."""
    path = tmp_path / "report.json"
    path.write_text("before", encoding="utf-8")

    with pytest.raises(BadOutput, match="a number is not finite"):
        write_report(make_report(retention=float("nan")), path)
    assert path.read_text(encoding="utf-8") == "before"


def test_a_report_cannot_be_written_where_no_folder_is(tmp_path):
    """The path is named."""
    with pytest.raises(BadOutput, match=r"none/report\.json cannot be written: No such file"):
        write_report(make_report(), tmp_path / "none" / "report.json")


def test_the_schema_knows_every_field():
    """Other programs can check a report by it."""
    schema = report_schema()

    assert set(schema["properties"]) == {field.name for field in fields(Report)}
    assert schema["additionalProperties"] is False
