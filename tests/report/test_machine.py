"""The gate's JSON is just what its schema describes."""

import json
from dataclasses import replace

import jsonschema
from pydantic import TypeAdapter
from sample_records import BOARD, make_profile, make_report, make_target

from hpmkd_edge.report.gate import judge_again
from hpmkd_edge.report.machine import GateRecord, gated_to_json, verdicts_to_json

MET, BROKEN = make_report(), make_report(profile=make_profile(ms=9.0))
UNKNOWN = make_report(make_target(device=BOARD))
OTHER = replace(MET, target="host", data=replace(MET.data, name="birds"))
PRINTED = [
    gated_to_json(judge_again([MET])),
    gated_to_json(judge_again([MET, BROKEN, UNKNOWN, OTHER], baselines=[MET, UNKNOWN])),
    verdicts_to_json([BROKEN.verdict]),
]


def test_what_is_printed_follows_the_schema_and_the_schema_knows_no_more():
    """Every key is required to be there, or has its default printed; none is unknown."""
    schema = TypeAdapter(GateRecord).json_schema(mode="serialization")
    for text in PRINTED:
        jsonschema.validate(json.loads(text), schema, cls=jsonschema.Draft202012Validator)

        assert set(json.loads(text)) == set(schema["properties"])


def test_it_is_read_back_strictly():
    """As the very record that was printed."""
    for text in PRINTED:
        record = TypeAdapter(GateRecord).validate_json(text)

        assert TypeAdapter(GateRecord).dump_python(record, mode="json") == json.loads(text)


def test_comparisons_and_dominated_models_are_beside_the_verdicts():
    """A report without a partner among them."""
    found = json.loads(PRINTED[1])

    assert [one["baseline"] for one in found["baseline"]] == [MET.run_id, MET.run_id, UNKNOWN.run_id, None]
    assert found["baseline"][0]["differences"][0]["worse"] == 0
    assert {one["name"] for one in found["dominated"]} >= {"cnn-32x3, plain KD"}
    assert (found["exit_code"], found["schema"]) == (1, "hpmkd-edge/gate/1")
