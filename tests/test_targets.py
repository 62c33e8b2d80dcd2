"""Targets files give budgets, or one sentence with file, line and key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpmkd_edge.errors import BadConfiguration
from hpmkd_edge.targets import (
    AccuracyLimit,
    LatencyLimit,
    Limit,
    PlacementLimit,
    Target,
    find_target,
    load_targets,
    own_targets,
)

BOARD = """\
devices:
  board:
    description: A board
    identity: [Board 9]
    power_modes: [7W, 15W]
    status: verified
    source: this file
targets:
  mine:
    device: board
    runtime: onnxruntime
    precisions: [fp32, int8]
    host: ssh://me@board:22
    threads: 2
    power_mode: 15W
    budgets:
      latency_ms: {p50: {warn: 1}, p99: {fail: 9.5}}
      peak_memory_mb: {fail: 64, warn: 32}
      accuracy: {min: 0.9}
      placement: {min_macs_share: 0.9, warn_macs_share: 0.95}
      accuracy_for_size: [{model_size_mb: 0.1, min: 0.85},
                          {model_size_mb: 1, min: 0.9}]
"""
CURVE = BOARD[BOARD.index("[{model") : BOARD.rindex("]") + 1]


def load(folder: Path, text: str) -> dict[str, Target]:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_targets(path)


def test_the_shipped_jetson_keeps_its_budgets():
    """The budgets of the example that the documents give."""
    jetson = load_targets()["jetson"]

    assert jetson.device.name == "jetson-orin-nano-8gb"
    assert jetson.runtime == "tensorrt"
    assert jetson.budgets.latency_ms == (LatencyLimit(percentile="p90", limit=Limit(fail=8.0, warn=7.0)),)
    assert jetson.budgets.peak_memory_mb == Limit(fail=64.0)
    assert jetson.budgets.model_size_mb == Limit(fail=4.0)
    assert jetson.budgets.accuracy == AccuracyLimit(max_drop=0.02)
    assert jetson.budgets.placement == PlacementLimit(min_macs_share=0.95)
    assert jetson.budgets.engine_build_s == Limit(fail=600.0)


def test_every_shipped_target_can_tell_its_device():
    """Only `host` is any machine; facts come with a status and a source."""
    for target in load_targets().values():
        device = target.device

        assert device.recognizes("x", 1.0) == (device.name == "host")
        assert all(device.recognizes(f"NVIDIA {part} x", device.memory_mb or 1) for part in device.identity)
        assert device.status
        assert device.source


def test_modules_of_one_name_are_told_apart_by_memory():
    """An Orin Nano calls itself the same with 4 and with 8 GB."""
    targets = load_targets()
    small, large = targets["jetson-orin-nano-4gb"].device, targets["jetson"].device

    assert large.recognizes("NVIDIA Jetson Orin Nano Developer Kit", 7990.0)
    assert not large.recognizes("NVIDIA Jetson Orin Nano Developer Kit", 3900.0)
    assert small.recognizes("NVIDIA Jetson Orin Nano Developer Kit", 3900.0)
    assert not small.recognizes("NVIDIA Jetson Orin NX", 3900.0)


def test_a_file_adds_to_the_shipped_targets(tmp_path):
    """Every key of the file reaches its value; null is a value where none is needed."""
    mine = load(tmp_path, BOARD)["mine"]

    assert mine.device.identity == ("Board 9",)
    assert mine.precisions == ("fp32", "int8")
    assert (mine.host, mine.threads, mine.power_mode) == ("ssh://me@board:22", 2, "15W")
    assert [limit.percentile for limit in mine.budgets.latency_ms] == ["p50", "p99"]
    assert mine.budgets.model_size_mb is None
    assert [(one.model_size_mb, one.min) for one in mine.budgets.accuracy_for_size or ()] == [(0.1, 0.85), (1, 0.9)]
    assert load(tmp_path, BOARD.replace("ssh://me@board:22", "null"))["mine"].host is None
    assert set(load(tmp_path, BOARD)) == {"mine", *load_targets()}


def test_a_file_may_use_shipped_devices_and_replace_targets(tmp_path):
    """The file's own target goes before a shipped one of that name."""
    text = BOARD[BOARD.index("targets:") :].replace("mine:", "jetson:").replace("device: board", "device: host")
    text = text.replace("    power_mode: 15W\n", "")
    targets = load(tmp_path, text)

    assert targets["jetson"].device.name == "host"
    assert targets["rpi5"] == load_targets()["rpi5"]


def test_a_file_s_own_targets_are_no_shipped_ones(tmp_path):
    """It may use shipped devices; a name that only the shipped file has is not in it."""
    path = tmp_path / "mine.yaml"
    text = BOARD[BOARD.index("targets:") :].replace("mine:", "hots:").replace("device: board", "device: host")
    path.write_text(text.replace("    power_mode: 15W\n", ""), encoding="utf-8")

    assert list(own_targets(path, ["hots"])) == ["hots"]
    with pytest.raises(
        BadConfiguration, match=r"no target 'host' in .*mine\.yaml\. Did you mean 'hots'\? Known: hots\."
    ):
        own_targets(path, ["hots", "host"])


@pytest.mark.parametrize("memory_mb", [0.0, -1.0])
def test_a_device_has_some_memory(memory_mb):
    """By it modules of one name are told apart."""
    device = load_targets()["jetson"].device

    with pytest.raises(ValueError, match=r"memory_mb is .*; a number above 0 is needed"):
        replace(device, memory_mb=memory_mb)


def test_an_unknown_target_is_answered_with_the_nearest():
    """A misspelled name is a matter of configuration."""
    with pytest.raises(BadConfiguration, match=r"no target 'jetsn'\. Did you mean 'jetson'"):
        find_target("jetsn", load_targets())


@pytest.mark.parametrize(
    ("found", "put", "sentence"),
    [
        (
            "latency_ms",
            "latency_s",
            r"line 17: .*latency_s: there is no such key. Did you mean 'latency_ms'\?",
        ),
        ("p99", "p98", r"line 17: .*p98: there is no such key. Did you mean 'p99'\?"),
        ("targets:", "target:", r"line 8: target: there is no such key. Did you mean 'targets'\?"),
        (
            "status: verified",
            "stat: verified",
            r"line 6: .*stat: there is no such key. Did you mean 'status'\?",
        ),
        ("fail: 64", "fial: 64", r"line 18: .*fial: there is no such key. Did you mean 'fail'\?"),
        ("fail: 64", "fail: -64", "line 18: .*fail is -64; a number above 0 is needed"),
        ("fail: 64", "fail: .nan", "line 18: .*nan was found; a finite number is needed"),
        ("fail: 64", "fail: .inf", "line 18: .*inf was found; a finite number is needed"),
        ("fail: 64", "fail: 64 MB", "line 18: .*'64 MB' was found; a valid number is needed"),
        ("fail: 64", "fail: true", "line 18: .*True was found; a valid number is needed"),
        ("fail: 64", "fail: 2020-13-45", "line 18: .*'2020-13-45' was found"),
        ("fail: 64", "fail:", "line 18: .*the value is missing"),
        ("{fail: 64, warn: 32}", "", "line 18: .*the value is missing"),
        ("{fail: 64, warn: 32}", "{}", "line 18: .*neither fail nor warn"),
        ("{fail: 64, warn: 32}", "64", "line 18: .*64 was found; a mapping is needed"),
        ("warn: 32", "warn: 64", "line 18: .*a warn below fail is needed"),
        ("warn: 32", "fail: 65", "line 18: .*the key stands in line 18 already"),
        ("min: 0.9", "min: 90", "line 19: .*a share from 0 to 1 is needed"),
        ("mb: 1, min: 0.9", "mb: 1, mim: 0.9", r"line 22: .*accuracy_for_size.1.mim: there is no such key. .*'min'"),
        ("{model_size_mb: 1, min: 0.9}", "{min: 0.9}", "line 22: .*accuracy_for_size.1: model_size_mb is missing"),
        ("size_mb: 0.1,", "size_mb: 0,", "line 21: .*accuracy_for_size.0.model_size_mb: .* a size from 1e-06"),
        ("size_mb: 0.1,", "size_mb: 2,", "line 22: .*accuracy_for_size.1.model_size_mb: 1 follows 2; sizes in growing"),
        ("min: 0.85", "min: 0.95", "line 22: .*accuracy_for_size.1.min: 0.9 follows 0.95; of a larger model no less"),
        ("min: 0.85", "min: 85", "line 21: .*accuracy_for_size.0.min: min is 85; a share from 0 to 1"),
        (CURVE, "[]", "line 21: .*accuracy_for_size: no point was found"),
        (CURVE, "0.9", "line 21: .*accuracy_for_size: 0.9 was found; a list is needed"),
        ("{min: 0.9}", "{relative_to: teacher}", "line 19: .*neither min nor max_drop"),
        ("warn_macs_share: 0.95", "warn_macs_share: 0.8", "line 20: .*a warn above the least is needed"),
        ("{p50: {warn: 1}, p99: {fail: 9.5}}", "{}", "line 17: .*no percentile was found"),
        ("device: board", "device: bored", "line 10: .*no device 'bored'. Did you mean 'board'"),
        ("    device: board\n", "", "line 9: .*device is missing"),
        ("power_mode: 15W", "power_mode: 20W", "line 15: .*has no mode '20W'"),
        ("runtime: onnxruntime", "runtime: onnx", "line 11: .*'onnxruntime' or 'tensorrt' is needed"),
        ("[fp32, int8]", "[fp32, int4]", "line 12: .*'int4' was found; 'fp32', 'fp16' or 'int8'"),
        ("[fp32, int8]", "fp32", "line 12: .*'fp32' was found; a list is needed"),
        ("[fp32, int8]", "[]", "line 12: .*precisions is empty"),
        ("ssh://me@board:22", "board", r"line 13: .*ssh://user@board\[:port\] is needed"),
        ("threads: 2", "threads: 0", "line 14: .*threads is 0"),
        ("threads: 2", "threads: 2.5", "line 14: .*2.5 was found; a valid integer"),
        ("    identity: [Board 9]\n", "", "line 2: .*identity is missing"),
        ("[Board 9]", "['']", "line 4: .*would recognize every machine"),
        ("[Board 9]", "[Board 9", "line 5: this is not YAML"),
        ("[Board 9]", "*nothing", "line 4: this is not YAML: found undefined alias"),
        ("[Board 9]", "!!python/object:os.system x", "line 4: this is not YAML: could not determine"),
        ("targets:", "? [a]\n: b\ntargets:", "line 1: a key is a list or a mapping"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(tmp_path, found, put, sentence):
    """What was found, and what is needed."""
    assert found in BOARD
    with pytest.raises(BadConfiguration, match=f"mine.yaml, {sentence}"):
        load(tmp_path, BOARD.replace(found, put, 1))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: targets is missing"),
        ("- a", "line 1: a list was found|a mapping is needed"),
        ("\x00", "is not YAML"),
        ("[" * 5000, "nested too deeply"),
        ("a: &a [*a]", "nested too deeply"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)),
            "more than 100,000 values",
        ),
    ],
)
def test_a_file_that_is_no_targets_file_is_refused(tmp_path, text, sentence):
    """Neither an empty file nor one that grows without end is a targets file."""
    with pytest.raises(BadConfiguration, match=sentence):
        load(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    """The whole path is named."""
    with pytest.raises(BadConfiguration, match=f"{tmp_path}/none.yaml cannot be read: No such file"):
        load_targets(tmp_path / "none.yaml")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    """Bytes that are not UTF-8 are no YAML."""
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe")

    with pytest.raises(BadConfiguration, match="is not UTF-8 text"):
        load_targets(tmp_path / "mine.yaml")


LINES = BOARD.splitlines()
PIECES = st.one_of(
    st.sampled_from(
        [
            "-1",
            ".nan",
            "1e400",
            "null",
            "yes",
            "[]",
            "{}",
            "&a",
            "*a",
            "!!int ''",
            "!!bool x",
            "? ",
            "0x",
            "2020-13-45",
        ]
    ),
    st.text(max_size=6),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_gives_targets_or_a_sentence(tmp_path, data):
    """No damage ends in another error than BadConfiguration."""
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.integers(0, len(lines) - 1))
        place = data.draw(st.integers(0, len(lines[row])))
        end = data.draw(st.integers(place, len(lines[row])))
        lines[row] = lines[row][:place] + data.draw(PIECES) + lines[row][end:]
    try:
        targets = load(tmp_path, "\n".join(lines))
    except BadConfiguration:
        return

    assert all(isinstance(target, Target) for target in targets.values())
