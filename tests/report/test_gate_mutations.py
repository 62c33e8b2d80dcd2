"""Damaged reports and targets files: a sentence or the exit code that their numbers give, whatever was done to them."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import naive_gate
import pydantic
import pytest
import typer.main
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_records import FULL, make_answers, make_profile, make_report, make_target

from hpmkd_edge import cli, targets
from hpmkd_edge.accuracy_curve import CurvePoint
from hpmkd_edge.errors import BadReport
from hpmkd_edge.record import read_report, write_report
from hpmkd_edge.report.soundness import check_report

# In place of the shipped file, which takes longer to read than all the rest.
SHIPPED = """\
devices:
  host: {description: this machine, status: none, source: none}
targets:
  host: {device: host, runtime: onnxruntime, precisions: [fp32], budgets: {latency_ms: {p90: {fail: 5}}}}
"""
CURVE = (CurvePoint(model_size_mb=0.5, min=0.85), CurvePoint(model_size_mb=2.0, min=0.93))
TARGETS = """\
targets:
  host:
    device: host
    runtime: onnxruntime
    precisions: [fp32]
    budgets:
      latency_ms: {p50: {warn: 1.5}, p90: {fail: 8.0, warn: 7.0}}
      peak_memory_mb: {fail: 64}
      model_size_mb: {fail: 4.5, warn: 0.5}
      placement: {min_macs_share: 0.9}
      accuracy: {max_drop: 0.03, min: 0.88}
      accuracy_for_size: [{model_size_mb: 0.1, min: 0.85}, {model_size_mb: 2, min: 0.92}]
"""
NUMBERS = [0, 1, -1, 0.5, 0.9, 0.95, 1.5, 3, 64, 100, 1e-9, -0.2, 1e6, 2**62, 2**64, 10**400, 1e308, -1e308, 1e-320]
ODD = [None, True, False, "", "0.95", "classes", "value", "host", "p99", "p50", "tensorrt", [], {}, [[]], [1], [1, 2]]
ODD += ["\x00\x1b[31m", "\ud800", "é\u2028", {"a": {}}, math.nan, math.inf, -math.inf]
VALUES = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(ODD),
    st.floats(0, 1),
    st.integers(-5, 10**10),
    st.floats(),
    st.text(max_size=5),
)


def sample():
    """Return a report with every kind of budget, and two others of its target and data."""
    profile = make_profile(
        samples_ns=(6_000_000, 6_100_000) * 75, reference_ns=(300_000,) * 150, placement_share=1.0, engine_build_s=9.0
    )
    target = make_target(budgets=replace(FULL, accuracy_for_size=CURVE))
    report = make_report(target, profile, answers=make_answers(800, 730))
    student = replace(report.student, test_accuracy=730 / 800)
    data = replace(report.data, test_rows=800)
    report = replace(report, student=student, data=data)
    return replace(report, verdict=judged(report))


def judged(report):
    from hpmkd_edge.report.gate import _verdict

    return _verdict(report, report.judged_against, report.profile)


def signed(found, path):
    """Return *found* with the verdict that follows from its numbers; as it is where they can be no report's."""
    path.write_text(json.dumps(found), encoding="utf-8")
    try:
        report = read_report(path)
        check_report(report)
    except BadReport:
        return found
    return {**found, "verdict": asdict(judged(report))}


def places(value, path=()):
    """Yield the path of every value below *value*; of long lists of the ends alone."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(value, list) and 2 < key < len(value) - 1:
            continue
        yield (*path, key)
        yield from places(item, (*path, key))


# What a verdict hangs on.
JUDGED = (
    ("student", "test_accuracy"),
    ("student", "cost", "file_bytes"),
    ("teachers", 0, "test_accuracy"),
    ("teachers", 1, "validation_accuracy"),
    ("profile", "samples_ns"),
    ("profile", "peak_memory_mb"),
    ("profile", "placement_share"),
    ("profile", "engine_build_s"),
)
PLACED = (
    (("profile", "threads"), 4),
    (("profile", "runtime"), "tensorrt"),
    (("profile", "host", "model"), "Some other"),
    (("data", "goal"), "value"),
    (("data", "name"), "others"),
    (("data", "split_rule"), "another"),
    (("answers",), None),
    (("answers", "sha256"), "c" * 64),
    (("student", "test_standard_error"), None),
    (("judged_against", "device", "name"), "board"),
    *((("judged_against", "device", "memory_mb"), memory_mb) for memory_mb in (0.0, -1.0, 8000.0, 4000.0)),
)
# Of samples and reference samples, and of the runs of each process.
SAMPLED = [(150, 150, [150]), (150, 150, [75, 75]), (150, 150, [150, 0]), (150, 150, [75]), (150, 150, [-1, 151])]
SAMPLED += [(70, 150, []), (70, 150, [70]), (70, 70, [70]), (70, 70, [75, 75]), (63, 63, []), (0, 0, []), (0, 0, [0])]
SELDOM = st.sampled_from([False] * 9 + [True])
IMPOSSIBLE = [-1, -0.5, 10**30, 10**400]
FACTORS = st.one_of(st.sampled_from([0.5, 0.99, 1.01, 1.1, 2, 4]), st.floats(0.9, 1.1))


def mutated(draw, value):
    """Return *value* with one key dropped, renamed, doubled or given another value, or two values swapped."""
    found = list(places(value))
    if not found:
        return draw(VALUES)
    path = draw(st.sampled_from(found))
    holder, key = within(value, path[:-1]), path[-1]
    match draw(st.sampled_from(["replace", "replace", "drop", "rename", "double", "swap", "bury"])):
        case "replace":
            holder[key] = draw(VALUES)
        case "drop":
            del holder[key]
        case "rename":
            other = draw(st.sampled_from([one[-1] for one in found]))
            if isinstance(holder, dict):
                holder[str(other)] = holder.pop(key)
        case "double":
            if isinstance(holder, list):
                holder.append(holder[key])
        case "swap":
            other = draw(st.sampled_from(found))
            inner = within(value, other[:-1])
            holder[key], inner[other[-1]] = copied(inner[other[-1]]), copied(holder[key])
        case "bury":
            holder[key] = [holder[key]]
    return value


def within(value, path):
    return functools.reduce(lambda inner, key: inner[key], path, value)


def moved(draw, report):
    """Return *report* with a number that is judged taken away or moved a little, or its place or its runs changed."""
    if draw(SELDOM):
        profile = report["profile"]
        samples, references, profile["runs"] = draw(st.sampled_from(SAMPLED))
        profile["samples_ns"] = (profile["samples_ns"] or [])[:samples]
        profile["reference_ns"] = profile["reference_ns"][:references]
        return report
    if draw(st.integers(0, 3)) == 0:
        path, put = draw(st.sampled_from(PLACED))
    else:
        path = draw(st.sampled_from(JUDGED))
        put = draw(st.sampled_from(IMPOSSIBLE) if draw(SELDOM) else st.one_of(FACTORS, FACTORS, st.none()))
    if path[0] == "answers" and not report["answers"]:
        return report
    holder, key = within(report, path[:-1]), path[-1]
    if path in JUDGED and put is not None and put not in IMPOSSIBLE:
        put = scaled(holder[key], put)
        if key == "test_accuracy":
            report["answers"] = None  # which would deny it
    elif key == "samples_ns" and put is not None:
        put = [put, *(holder[key] or [])]  # it may have been taken away before
    holder[key] = put
    if key == "file_bytes" and put is not None and not draw(SELDOM):
        report["profile"]["model_bytes"] = put  # else one denies the other
    return report


def scaled(value, factor):
    if isinstance(value, list):
        return [scaled(one, factor) for one in value]
    if value in IMPOSSIBLE:
        return value
    return None if value is None else min(1.0, value * factor) if 0 < value <= 1 else type(value)(value * factor)


def tightened(draw, file):
    """Return *file* with a limit moved."""
    limits = [path for path in places(file) if isinstance(within(file, path), (int, float))]
    path = draw(st.sampled_from(limits))
    holder = within(file, path[:-1])
    holder[path[-1]] = scaled(holder[path[-1]], draw(FACTORS))
    return file


def copied(value):
    return json.loads(json.dumps(value))


def damaged(draw, text):
    """Return bytes of *text*, of which some were cut off, doubled, exchanged, or are no UTF-8."""
    match draw(st.sampled_from(["none"] * 6 + ["cut", "nest", "bytes", "double", "insert"])):
        case "cut":
            text = text[: draw(st.integers(0, len(text)))]
        case "nest":
            text = text.replace(":", ": " + "[" * draw(st.sampled_from([3, 200, 100_000])), 1)
        case "bytes":
            place = draw(st.integers(0, len(text)))
            return text[:place].encode(errors="replace") + b"\xff\xfe" + text[place:].encode(errors="replace")
        case "double":
            lines = text.splitlines()
            row = draw(st.integers(0, len(lines) - 1))
            text = "\n".join([*lines[: row + 1], *lines[row:]])
        case "insert":
            place = draw(st.integers(0, len(text)))
            text = text[:place] + draw(st.text(max_size=3)) + text[place:]
    return text.encode(errors="replace")


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """Return a function that runs the command in process, with what it builds each time built once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "app", typer.main.get_command(cli.app))
        patch.chdir(tmp_path_factory.mktemp("here"))
        Path("shipped.yaml").write_text(SHIPPED, encoding="utf-8")
        patch.setattr(targets, "_shipped", lambda: Path("shipped.yaml"))

        def run(*arguments):
            patch.setattr(sys, "argv", ["hpmkd-edge", "gate", *arguments])
            out, said = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
                try:
                    cli.main()
                except SystemExit as stop:
                    out.seek(0)
                    return stop.code or 0, out.read(), said.getvalue()
            raise AssertionError("the command did not exit")

        run("none.json")  # typer imports what reads flags
        patch.setattr(pydantic, "TypeAdapter", functools.cache(pydantic.TypeAdapter))
        yield run


def expected(report, asked, baseline):
    """Return the exit codes that the slow twin allows."""
    found = json.loads(report)
    target = found["judged_against"]
    if asked is not None:
        target = naive_gate.known_targets(SHIPPED, asked.decode())[found["target"]]
    states = naive_gate.states(found, target)
    if baseline is not None:
        states += naive_gate.beside(found, json.loads(baseline), target, 1.0)
    return naive_gate.codes(states)


def plain(report, folder):
    write_report(report, folder / "plain.json")
    return (folder / "plain.json").read_text(encoding="utf-8")


@pytest.mark.slow
def test_no_damage_ends_in_a_traceback_or_in_a_pass_that_the_numbers_deny(call, tmp_path_factory):
    """Of 1,000 damaged files each gives one sentence and 2, or just what a slow twin makes of the damaged file."""
    folder, seen = tmp_path_factory.mktemp("damaged"), Counter()
    text = plain(sample(), folder)

    # The same examples each time: how often each exit code comes up is checked below, and may not hang on luck.
    @settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data):
        draw = data.draw
        hurt = draw(st.sampled_from(["numbers"] * 8 + ["report", "targets", "both", "baseline"]))
        beside = hurt == "baseline" or (hurt == "numbers" and draw(st.booleans()))
        found, wanted = json.loads(text), yaml.safe_load(TARGETS)
        if hurt == "numbers":
            for _ in range(draw(st.integers(0, 3))):
                found = moved(draw, found)
            for _ in range(draw(st.integers(0, 2))):
                wanted = tightened(draw, wanted)
            if not draw(SELDOM):
                found = signed(found, folder / "signed.json")
        if hurt in ("report", "both", "baseline"):
            for _ in range(draw(st.integers(0, 2))):
                found = mutated(draw, found)
        if hurt in ("targets", "both"):
            for _ in range(draw(st.integers(0, 3))):
                wanted = mutated(draw, wanted)
        report, asked = json.dumps(found), yaml.safe_dump(wanted, allow_unicode=True, sort_keys=False)
        report = damaged(draw, report) if hurt in ("report", "both", "baseline") else report.encode()
        asked = damaged(draw, asked) if hurt in ("targets", "both") else asked.encode()
        baseline = text.encode()
        if beside and draw(st.booleans()):
            report, baseline = baseline, report
        if hurt in ("numbers", "report") and draw(SELDOM if hurt == "numbers" else st.booleans()):
            asked = None
        arguments = [str(folder / "r.json"), "--format", draw(st.sampled_from(["json", "json", "json", "text"]))]
        (folder / "r.json").write_bytes(report)
        if asked is not None:
            (folder / "t.yaml").write_bytes(asked)
            arguments += ["--targets", str(folder / "t.yaml")]
        if beside:
            (folder / "b.json").write_bytes(baseline)
            arguments += ["--baseline", str(folder / "b.json"), "--max-latency-growth", "1e300"]
        code, out, said = call(*arguments)

        seen[code] += 1
        assert "Traceback" not in said, said
        if code == 2:
            assert (out, said.count("\n"), said[:12]) == ("", 1, "hpmkd-edge: ")
        else:
            assert code in expected(report, asked, baseline if beside else None)

    check()

    assert set(seen) == {0, 1, 2, 5}
    assert min(seen.values()) >= 50
