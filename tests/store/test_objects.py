"""Files by content: kept whole, shared, checked, bounded."""

import hashlib
import logging
import os
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpmkd_edge.errors import BadOutput
from hpmkd_edge.store.objects import Counts, Store
from hpmkd_edge.store.opening import open_store


def put(store, key, content, kind="thing", suffix=".bin"):
    return store.put(key, lambda path: path.write_bytes(content), kind=kind, suffix=suffix)


def files(store):
    return sorted(path for path in (store.folder / "objects").rglob("*") if path.is_file())


def kept(store, keys, kind="thing"):
    """Look without counting as a use."""
    with store.engine.connect() as connection:
        return [key for key in keys if store._index.find(connection, kind, key)]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.dictionaries(st.tuples(st.sampled_from(["a", "b"]), st.text()), st.binary(max_size=40), max_size=4),
)
def test_whatever_is_put_under_any_key_comes_back_to_the_byte(entries, store, another):
    """Also to another process, and each kind by itself; equal contents are one file, named by its hash."""
    for (kind, key), content in entries.items():
        put(store, key, content, kind)
    reader = another()

    for (kind, key), content in entries.items():
        path = reader.find(key, kind=kind)
        assert path.read_bytes() == content
        assert path.name == f"{hashlib.sha256(content).hexdigest()}.bin"
    assert len({path.name for path in files(store)}) == len(files(store))


def test_equal_contents_share_a_file_and_other_keys_do_not_find_it(store):
    """One file, two rows, and a miss."""
    first, second = put(store, "a", b"same"), put(store, "b", b"same")

    assert first == second
    assert files(store) == [first]
    assert kept(store, "abc") == ["a", "b"]
    assert store.find("c", kind="thing") is None
    assert store.find("a", kind="other") is None


def test_a_key_leads_to_what_was_put_last(store):
    """A later put takes the row over."""
    put(store, "a", b"old")
    put(store, "a", b"new")

    assert store.find("a", kind="thing").read_bytes() == b"new"


@pytest.mark.parametrize("damage", [b"Xontent", b"cont", b"", None], ids=["flipped", "cut", "empty", "gone"])
def test_a_damaged_file_is_noticed_removed_and_made_again(store, another, caplog, damage):
    """By the process that has checked it before, and by others; all keys of the content go with it."""
    path = put(store, "a", b"content")
    put(store, "b", b"content")
    assert store.find("a", kind="thing")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
        os.utime(path, ns=(1, 1))  # a file system's clock may be coarser than this test is fast
    with caplog.at_level(logging.WARNING):
        found = store.find("a", kind="thing")

    assert found is None
    assert not path.exists()
    assert kept(store, "ab") == []
    assert f"is {'gone' if damage is None else 'damaged'}; it is made again" in caplog.text
    assert put(another(), "a", b"content").read_bytes() == b"content"


def test_what_was_used_longest_ago_goes_first_and_the_bound_holds(store, another):
    """Four files of 100 bytes and room for three: the one that nobody asked for since goes."""
    for key in "abc":
        put(store, key, key.encode() * 100)
    other = another(most_bytes=300)
    paths = {key: other.find(key, kind="thing") for key in "ca"}
    bounded = another(most_bytes=300)
    put(bounded, "d", b"d" * 100)

    assert kept(store, "abcd") == ["a", "c", "d"]
    assert sum(path.stat().st_size for path in files(store)) == 300
    put(bounded, "e", b"e" * 100)
    assert kept(store, "abcde") == ["a", "d", "e"]
    assert paths["a"].exists()
    assert not paths["c"].exists()


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6), most=st.integers(60, 120))
def test_after_a_put_the_bound_holds_for_any_sizes(sizes, most, another):
    """Where no file alone is larger; each by a process of its own, so that none is held."""
    for number, size in enumerate(sizes):
        put(another(most), str(number), os.urandom(size))
        count = another().usage()

        assert sum(usage.bytes for usage in count) <= most
        assert sum(path.stat().st_size for path in files(another())) <= most
    another().prune(0)


def test_a_file_of_two_keys_is_as_young_as_the_younger(store, another):
    """And goes with both of them."""
    put(store, "a", b"x" * 100)
    put(store, "b", b"y" * 100)
    put(store, "c", b"x" * 100)
    put(another(most_bytes=200), "d", b"z" * 100)

    assert kept(store, "abcd") == ["a", "c", "d"]
    put(another(most_bytes=100), "e", b"w" * 100)
    assert kept(store, "abcde") == ["e"]


def test_what_a_process_holds_is_not_evicted_by_it(another):
    """What it put and what it found stays, though the bound is passed."""
    put(another(), "found", b"f" * 100)
    store = another(most_bytes=150)
    store.find("found", kind="thing")
    put(store, "put", b"p" * 100)
    put(store, "large", b"l" * 500)

    assert kept(store, ["found", "put", "large"]) == ["found", "put", "large"]
    assert store.prune(0) == 0
    assert another().prune(0) == 700
    assert files(store) == []


def test_a_write_that_fails_leaves_nothing(store):
    """Its error comes through, and neither file nor row nor draft stays."""

    def fail(path):
        path.write_bytes(b"half")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        store.put("a", fail, kind="thing", suffix=".bin")
    assert store.find("a", kind="thing") is None
    assert files(store) == []
    assert list((store.folder / "drafts").iterdir()) == []


def test_a_crash_between_file_and_row_leaves_nothing_that_counts(store, another, monkeypatch):
    """The file has no key, and goes with the next pruning."""
    put(store, "b", b"kept")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hpmkd_edge.store.index.Index.enter", die)
        with pytest.raises(KeyboardInterrupt):
            put(store, "a", b"orphan")
    later = another()

    assert later.find("a", kind="thing") is None
    assert len(files(later)) == 2
    assert later.prune(10**6) == len(b"orphan")
    assert [path.read_bytes() for path in files(later)] == [b"kept"]


def test_drafts_of_killed_processes_are_swept_after_a_day(store, another):
    """Younger ones may be another process's."""
    for name, age_s in (("old", 90_000), ("young", 1_000)):
        draft = store.folder / "drafts" / name
        draft.mkdir()
        (draft / "draft.bin").write_bytes(b"half")
        os.utime(draft, (time.time() - age_s,) * 2)
    another()

    assert [path.name for path in (store.folder / "drafts").iterdir()] == ["young"]


def test_pruning_forgets_files_that_are_gone(store, another):
    """Someone has emptied the folder by hand."""
    put(store, "a", b"content").unlink()
    another().prune(10**6)

    assert store.usage() == ()


def test_usage_and_counts_are_by_kind(store):
    """Two keys of a content are one file; hits and misses are those of this object."""
    put(store, "a", b"12345", kind="model")
    put(store, "b", b"12345", kind="model")
    put(store, "a", b"123", kind="logits")
    found = [store.find(key, kind="model") is not None for key in ("a", "b", "c")]

    assert found == [True, True, False]
    assert [(usage.kind, usage.files, usage.bytes) for usage in store.usage()] == [("logits", 1, 3), ("model", 1, 5)]
    assert store.counts == {"model": Counts(hits=2, misses=1)}


def test_folders_of_one_database_keep_apart(store, tmp_path):
    """A server's database may know other machines' files, which are not on this disk."""
    away = Store(tmp_path / "away", store.engine, most_bytes=10**9)
    put(store, "a", b"here")

    assert away.find("a", kind="thing") is None
    assert put(away, "a", b"there").read_bytes() == b"there"
    assert store.find("a", kind="thing").read_bytes() == b"here"
    assert away.prune(0) == 0
    assert store._index.place == Store(store.folder, store.engine, most_bytes=1)._index.place


def test_a_folder_that_goes_away_is_named(store):
    """The disk is unplugged, say."""
    (store.folder / "drafts").rmdir()

    with pytest.raises(BadOutput, match=r"the cache .*cache cannot be written: No such file.*; set HPMKD_EDGE_CACHE"):
        put(store, "a", b"")


WRITER = """
import sys
from pathlib import Path
from hpmkd_edge.store.opening import open_store
store = open_store(Path(sys.argv[1]))
for number in range(10):
    key, content = f"key {number}", bytes([number]) * 1000
    store.put(key, lambda path: path.write_bytes(content), kind="thing", suffix=".bin")
    assert store.find(key, kind="thing").read_bytes() == content
"""


def test_processes_that_put_the_same_keys_at_once_agree(tmp_path):
    """Also on who makes the folder and the database."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "cache")]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [writer.communicate()[1] for writer in writers]
    store = open_store(tmp_path / "cache")

    assert errors == ["", "", ""]
    assert [(usage.files, usage.bytes) for usage in store.usage()] == [(10, 10_000)]
    assert len(files(store)) == 10
    assert store.find("key 7", kind="thing").read_bytes() == bytes([7]) * 1000


def test_the_store_imports_without_torch():
    """Nor does it need whatever else takes seconds."""
    program = (
        "import sys, hpmkd_edge.store.opening, hpmkd_edge.store.arrays\n"
        "print([heavy for heavy in ('torch', 'sklearn', 'numba', 'pandas') if heavy in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (result.stdout.strip(), result.stderr) == ("[]", "")
