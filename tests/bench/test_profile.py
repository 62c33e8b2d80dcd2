"""A profile derives its statistics from samples, says when they are not valid, and survives its file."""

import json
import re
from contextlib import suppress
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpmkd_edge.bench.profile import Profile, Shape, State, read_profile, write_profile
from hpmkd_edge.errors import BadOutput, BadReport


@settings(max_examples=30, deadline=None)
@given(ms=st.lists(st.integers(1, 10**9), min_size=662, max_size=700))
def test_statistics_are_ordered(profile, ms):
    """The least ≤ p50 ≤ p90 ≤ p95 ≤ p99, and each percentile lies between its bounds."""
    taken = profile(samples_ns=tuple(ms))
    percentiles = [taken.min_ms, taken.p50_ms, taken.p90_ms, taken.p95_ms, taken.p99_ms]

    assert percentiles == sorted(percentiles)
    for p in (50, 90, 95, 99):
        assert taken.percentile_lower_bound_ms(p) <= taken.percentile_ms(p) <= taken.percentile_bound_ms(p)


@pytest.mark.parametrize(("p", "least"), [(50, 11), (90, 64), (95, 130), (99, 662)])
def test_a_percentile_that_the_runs_do_not_support_is_none(profile, p, least):
    """It is never extrapolated."""
    few, enough = profile(samples_ns=(1,) * (least - 1)), profile(samples_ns=(1,) * least)

    assert (few.percentile_ms(p), few.percentile_bound_ms(p)) == (None, None)
    assert enough.percentile_ms(p) == enough.percentile_bound_ms(p) == 1e-6


def test_a_profile_without_runs_has_no_statistics(profile):
    """None, not an error: memory alone may have been taken."""
    empty = profile(samples_ns=(), reference_ns=())

    assert (empty.p50_ms, empty.mean_ms, empty.min_ms, empty.cv, empty.relative) == (None,) * 5
    assert "0 runs" in empty.flags[0]


def test_a_slower_machine_does_not_move_what_is_relative(profile):
    """Both models slow down by the same factor."""
    rng = np.random.default_rng(0)
    own, reference = rng.integers(100, 200, 99), rng.integers(50, 90, 99)
    fast = profile(samples_ns=tuple(own.tolist()), reference_ns=tuple(reference.tolist()))
    slow = profile(samples_ns=tuple((3 * own).tolist()), reference_ns=tuple((3 * reference).tolist()))

    assert slow.p50_ms == pytest.approx(3 * fast.p50_ms)
    assert slow.relative == pytest.approx(fast.relative)


def test_a_quiet_profile_is_valid_for_a_gate(profile):
    """No reason against it."""
    assert profile().flags == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"samples_ns": (1000,) * 63}, r"63 runs were timed; a bound of the p90 needs 64"),
        ({"samples_ns": (1000, 2000) * 50}, r"vary by 33\.5%.*at most 10\.0%"),
        ({"samples_ns": (1000, 1100) * 50, "runtime": "tensorrt"}, r"vary by 4\.8%.*at most 2\.5%"),
        ({"warmup_settled": False}, r"did not settle within 1\.0 s"),
        ({"samples_ns": (1000,) * 70 + (1060,) * 30}, r"three parts of the time lie 6\.0% apart; at most 5\.0%"),
        ({"samples_ns": (1000,) * 50 + (1060,) * 50, "runs": (50, 50)}, r"processes lie 6\.0% apart"),
        ({"placement_share": 0.9}, r"10\.0% of the model ran off"),
        ({"enqueue_share": 0.9}, r"takes 90% of the device's own time"),
    ],
)
def test_each_reason_against_a_gate_is_said(profile, changes, reason):
    """What was found, then what is needed."""
    (flag,) = profile(**changes).flags

    assert re.search(reason, flag)


def test_a_busy_machine_is_said(profile, host):
    """Three quarters of the cores is the most; the limit is inclusive."""
    assert profile(host=host(cores=4, load_average=3.0)).flags == ()
    assert "3.10 at the start" in profile(host=host(cores=4, load_average=3.1)).flags[0]


STATE = State(clock_mhz=1500.0, gpu_clock_mhz=600.0, temperature_c=50.0, load_average=0.5, affinity=(0, 3))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"clock_mhz": 1400.0}, r"the clock went from 1400 to 1500 MHz.*at most 5%"),
        ({"gpu_clock_mhz": 300.0}, r"the GPU's clock went from 300 to 600 MHz"),
        ({"temperature_c": 61.0}, r"the temperature went from 50 to 61 °C.*at most 10"),
    ],
)
def test_a_machine_that_changed_while_timing_is_said(profile, change, reason):
    """Its clock, its GPU's, its temperature; what its kernel does not tell is no change."""
    silent = replace(STATE, clock_mhz=None, gpu_clock_mhz=None, temperature_c=None)
    (flag,) = profile(states=(STATE, replace(STATE, **change))).flags

    assert re.search(reason, flag)
    assert profile(states=(STATE, silent)).flags == ()
    assert profile(states=(STATE, replace(STATE, clock_mhz=1440.0, temperature_c=59.0))).flags == ()


def test_a_record_from_before_a_field_was_there_still_reads(profile, tmp_path):
    """What has a default may be missing; what the file is a file of may not."""
    write_profile(profile(), tmp_path / "p.json")
    content = json.loads((tmp_path / "p.json").read_text())
    for name in ("shapes", "io", "inter_threads", "runs", "states", "sampled_memory_mb", "activation_bytes"):
        del content[name]
    (tmp_path / "old.json").write_text(json.dumps(content))
    (tmp_path / "none.json").write_text(json.dumps({k: v for k, v in content.items() if k != "schema"}))

    assert read_profile(tmp_path / "old.json") == profile()
    with pytest.raises(BadReport, match="has no key 'schema'"):
        read_profile(tmp_path / "none.json")


def test_a_profile_reads_back_as_it_was_written(profile, tmp_path):
    """Every field, and nothing is left beside the file."""
    written = profile(
        peak_memory_mb=1.5,
        enqueue_share=0.25,
        warmup_settled=False,
        states=(STATE,),
        shapes=(Shape(name="x", sizes=(1,)),),
    )
    write_profile(written, tmp_path / "p.json")

    assert read_profile(tmp_path / "p.json") == written
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


def test_a_file_name_that_is_no_text_is_kept(profile, tmp_path):
    """Linux allows any bytes in a name; Python carries them as lone surrogates."""
    written = profile(model=b"m\xff.onnx".decode("utf-8", "surrogateescape"))
    write_profile(written, tmp_path / "p.json")

    assert read_profile(tmp_path / "p.json") == written


def test_a_number_that_is_not_finite_cannot_be_written(profile, tmp_path):
    """As for every other file; nothing is left behind."""
    with pytest.raises(BadOutput, match="a number is not finite"):
        write_profile(profile(load_ms=float("nan")), tmp_path / "p.json")

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_cannot_be_written(profile, tmp_path):
    """A sentence, not a traceback."""
    with pytest.raises(BadOutput, match="cannot be written: No such file or directory"):
        write_profile(profile(), tmp_path / "no" / "p.json")


def changed(**changes):
    return lambda content: {**content, **changes}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed(extra=1), "the profile has an unknown key 'extra'"),
        (changed(batch="1"), 'batch is "1"; a value of type int is needed'),
        (changed(batch=True), "batch is true; a value of type int is needed"),
        (changed(load_ms=None), "load_ms is null; a value of type float is needed"),
        (changed(schema="hpmkd-edge/profile/9"), "schema is .*; 'hpmkd-edge/profile/1' is needed"),
        (changed(samples_ns=[1, 2.5]), r"samples_ns\[1\] is 2.5; a value of type int is needed"),
        (changed(providers="CPU"), "providers is .*; a list is needed"),
        (changed(host=[]), r"host is \[\]; an object is needed"),
        (lambda content: {k: v for k, v in content.items() if k != "threads"}, "has no key 'threads'"),
        (lambda content: [content], "an object is needed"),
    ],
)
def test_a_file_that_is_not_quite_a_profile_is_refused(profile, tmp_path, change, reason):
    """Unknown, missing and wrongly typed keys, each by name."""
    path = tmp_path / "p.json"
    write_profile(profile(), path)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))

    with pytest.raises(BadReport, match=reason):
        read_profile(path)


@pytest.mark.parametrize("text", ["", "{", "{}", "null", "NaN", '{"a": 1, "a": 1}', '{"load_ms": Infinity}'])
def test_what_is_no_profile_at_all_is_refused(tmp_path, text):
    """Broken JSON, doubled keys, numbers that JSON does not have."""
    path = tmp_path / "p.json"
    path.write_text(text)

    with pytest.raises(BadReport, match=r"p.json is not a profile: .+\."):
        read_profile(path)


def test_no_file_is_no_profile(tmp_path):
    """The path is in the sentence."""
    with pytest.raises(BadReport, match=r"none.json cannot be read"):
        read_profile(tmp_path / "none.json")


@settings(max_examples=30, deadline=None)
@given(
    junk=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
    position=st.integers(0, 100),
)
def test_any_wrong_value_gives_a_sentence_or_a_profile(profile, tmp_path_factory, junk, position):
    """Whatever stands in one field, nothing but a BadReport is raised."""
    path = tmp_path_factory.getbasetemp() / "junk.json"
    original = profile(samples_ns=(1, 2, 3))
    write_profile(original, path)
    content = json.loads(path.read_text())
    content[fields(original)[position % len(fields(original))].name] = junk
    path.write_text(json.dumps(content))

    with suppress(BadReport):
        assert isinstance(read_profile(path), Profile)
