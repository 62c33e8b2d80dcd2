"""The history of measurements: kept once each, read back as kept, never in the way of a measurement."""

import logging
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_records import BOARD, make_host, make_profile, make_target

from hpmkd_edge.bench.profile import Shape
from hpmkd_edge.history import Entry, History, entry_of, keep, open_history
from hpmkd_edge.store.database import open_database
from hpmkd_edge.verdict import Provenance

NUMBERS = st.none() | st.floats(min_value=0, allow_nan=False, allow_infinity=False)
ENTRIES = st.builds(
    Entry,
    model=st.text(min_size=1),
    model_sha256=st.text(),
    model_bytes=st.integers(0, 2**40),
    target=st.sampled_from(["host", "rpi5"]),
    provenance=st.sampled_from(Provenance),
    runtime=st.just("onnxruntime"),
    runtime_version=st.text(),
    precision=st.sampled_from(["fp32", "int8"]),
    threads=st.integers(1, 64),
    batch=st.integers(1, 64),
    shapes=st.text(),
    host=st.text(),
    host_name=st.text(),
    protocol=st.just("quick"),
    taken_at=st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds") + "+00:00"),
    p50_ms=NUMBERS,
    p90_bound_ms=NUMBERS,
    relative=NUMBERS,
    peak_memory_mb=NUMBERS,
    tool_version=st.text(),
    flags=st.lists(st.text()).map(tuple),
)


@pytest.fixture
def history(tmp_path):
    """An empty one."""
    return History(open_database(str(tmp_path / "memory.sqlite")))


def taken(second, **changes):
    profile = make_profile(taken_at=f"2026-01-01T00:00:{second:02d}+00:00", **changes)
    return entry_of(profile, target=make_target())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.lists(ENTRIES, max_size=4))
def test_what_is_read_back_is_what_was_kept(history, entries):
    """Whatever their names hold; oldest first."""
    history.prune(0)
    history.add(*entries)
    found = history.entries()

    assert set(found) == set(entries)
    assert [one.taken_at for one in found] == sorted(one.taken_at for one in found)


def test_a_measurement_that_is_kept_twice_is_kept_once(history):
    """By its content; another target's, of the same profile, is another."""
    other = entry_of(make_profile(), target=make_target(device=BOARD))
    counts = [history.add(taken(0), taken(1)), history.add(taken(1), other, other)]

    assert counts == [2, 1]
    assert len(history) == 3


def test_an_entry_says_what_its_profile_says():
    """Under the name that it is given."""
    profile = make_profile(ms=2.0)
    entry = entry_of(profile, target=make_target(), model="digits student")

    assert (entry.model, entry.p50_ms, entry.p90_bound_ms) == ("digits student", 2.0, 2.0)
    assert entry.relative == pytest.approx(2.0 / 0.3)
    assert entry.subject == ("digits student", "host", "Some CPU at 2 GHz", "measured")


def test_an_entry_says_what_its_times_are_worth_on_its_target():
    """A number of this host is none of a board; of the board in another mode it is transferred."""
    board = make_target(device=BOARD, power_mode="15W")
    hosts = (make_host(), make_host(model="Board 9", power_mode="7W"), make_host(model="Board 9", power_mode="15W"))
    found = [entry_of(make_profile(host=host), target=board).provenance for host in hosts]

    assert found == [Provenance.UNKNOWN, Provenance.TRANSFERRED, Provenance.MEASURED]


@pytest.mark.parametrize(
    "change", [{"runtime": "tensorrt"}, {"batch": 8}, {"shapes": (Shape(name="ids", sizes=(1, 128)),)}]
)
def test_what_is_not_to_be_compared_is_no_one_series(change):
    """Another runtime, batch or shape is another line."""
    assert taken(0).series != taken(0, **change).series


def test_a_model_and_a_target_are_found(history):
    """And nothing else."""
    named = replace(taken(2), model="teacher.onnx")
    history.add(taken(0), taken(1), named, replace(named, target="rpi5"))

    assert history.entries(model="teacher.onnx", target="host") == (named,)
    assert len(history.entries(target="host")) == 3


def test_the_oldest_go_first(history):
    """And those that stay are the latest."""
    history.add(*(taken(second) for second in range(5)))
    gone = history.prune(2)

    assert gone == 3
    assert [one.taken_at[17:19] for one in history.entries()] == ["03", "04"]


def test_a_memory_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch, caplog):
    """The measurement goes on."""
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("HPMKD_EDGE_CACHE", str(tmp_path / "file" / "cache"))
    with caplog.at_level(logging.WARNING):
        keep(taken(0))

    assert "the measurement is not in the history: " in caplog.text


def test_what_is_kept_is_in_the_users_memory():
    """That of `open_store`."""
    keep(taken(0))
    keep()

    assert open_history().entries() == (taken(0),)


def test_rows_of_another_version_are_left_out_with_a_warning(history, caplog):
    """The others are read; the warning has the way out."""
    from sqlalchemy import text

    from hpmkd_edge.store.database import writing

    history.add(taken(0))
    with writing(history.engine) as connection:
        connection.execute(text("UPDATE measurements SET content = '{}'"))
    history.add(taken(1))
    with caplog.at_level(logging.WARNING):
        found = history.entries()

    assert found == (taken(1),)
    assert "1 of 2 measurements of the history are of another version" in caplog.text
    assert "memory prune --records 0" in caplog.text
