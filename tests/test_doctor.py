"""`doctor`: each line is ok, a warning or missing, and the exit code says whether a run can begin."""

import json
import sys

import pytest

from hpmkd_edge import doctor
from hpmkd_edge.bench.runtimes import cuda_driver, tensor_rt
from hpmkd_edge.cli import main
from hpmkd_edge.doctor import Check, cache_at, cores, examine, exit_code_of, integer_units
from hpmkd_edge.report.doctor_text import checks_as_lines
from hpmkd_edge.store.opening import open_store


@pytest.fixture
def quickly(monkeypatch):
    """Import nothing, and be on a machine without a GPU."""
    monkeypatch.setattr(doctor, "_asked", lambda program: ("CPUExecutionProvider 1.0", ""))
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libnone.so.1")


def found_by_name():
    return {check.name: check for check in examine()}


def test_where_all_is_here_a_run_can_begin(quickly, monkeypatch, capsys):
    """Without a GPU and without a memory, too; and nothing is made by looking."""
    monkeypatch.setattr(sys, "argv", ["hpmkd-edge", "doctor", "--format", "json"])
    with pytest.raises(SystemExit) as stop:
        main()
    found = json.loads(capsys.readouterr().out)
    names = {one["name"]: one["state"] for one in found["checks"]}

    assert (stop.value.code or 0) == found["exit_code"] == 0
    assert found["schema"] == "hpmkd-edge/doctor/1"
    assert names["torch"] == names["cache"] == names["memory of trials"] == "ok"
    assert names["GPU"] == "missing"
    assert all(one["advice"] for one in found["checks"] if one["state"] != "ok")


def test_a_library_that_does_not_import_ends_with_3(quickly, monkeypatch):
    """Its own complaint is shown, and what to install."""
    monkeypatch.setattr(
        doctor, "_asked", lambda program: (None, "ImportError: no numba") if "numba" in program else ("1.0", "")
    )
    checks = examine()
    numba = next(check for check in checks if check.name == "numba")

    assert numba == Check(
        name="numba", state="missing", found="ImportError: no numba", advice="pip install numba", needed=True
    )
    assert exit_code_of(checks) == 3
    assert "No run can begin: numba" in checks_as_lines(checks)[-1]


def test_a_process_is_asked_for_what_may_not_import():
    """The last line that it prints, or the last of its complaint."""
    assert doctor._imported("json.tool")[0] is None
    assert doctor._imported("no_such_library") == (None, "not installed")
    assert doctor._imported("numpy")[0] is not None


def test_tensorrt_is_told_in_its_own_sentence(quickly, monkeypatch):
    """What is missing, then what can be done without it."""
    monkeypatch.setattr(tensor_rt, "PACKAGES", ("no_trt", "no_rtx"))
    check = found_by_name()["TensorRT"]

    assert (check.state, check.found) == ("missing", tensor_rt.missing())
    assert "on the board" in check.advice


@pytest.mark.parametrize(
    ("cpuinfo", "state", "found"),
    [
        ("flags\t\t: fpu avx2 avx512_vnni amx_int8\n", "ok", "AVX512-VNNI, AMX"),
        ("Features\t: fp asimd asimddp\n", "ok", "NEON dot products"),
        ("flags\t\t: fpu avx2\nbugs\t\t: avx_vnni\n", "warning", "none of"),
        ("", "warning", "none of"),
    ],
)
def test_units_for_integers_are_read_from_the_flags(cpuinfo, state, found):
    """They decide whether int8 is faster than fp32."""
    check = integer_units(cpuinfo, "x86_64")

    assert check.state == state
    assert check.found.startswith(found)


@pytest.mark.parametrize(
    ("own", "environment", "state"),
    [(4, {}, "ok"), (2, {}, "warning"), (4, {"OMP_NUM_THREADS": "1"}, "warning"), (4, {"OMP_NUM_THREADS": ""}, "ok")],
)
def test_what_holds_a_run_to_fewer_cores_is_a_warning(own, environment, state):
    """A mask, or a variable."""
    assert cores(4, own, environment).state == state


def test_a_cache_that_cannot_be_is_missing(tmp_path):
    """A file stands in its way."""
    (tmp_path / "file").write_text("")
    check = cache_at(tmp_path / "file" / "cache")

    assert (check.state, check.needed) == ("missing", True)
    assert "HPMKD_EDGE_CACHE" in check.advice


def test_looking_at_a_cache_makes_none(tmp_path):
    """Nor its parents."""
    check = cache_at(tmp_path / "a" / "b")

    assert check.state in ("ok", "warning")
    assert list(tmp_path.iterdir()) == []


def test_the_memory_is_opened_where_there_is_one(quickly):
    """One of another layout, or no database at all, stops a run."""
    store = open_store()
    whole = found_by_name()["memory of trials"]
    store.engine.dispose()
    for file in store.folder.glob("memory.sqlite*"):
        file.unlink()
    (store.folder / "memory.sqlite").write_text("no database, but a file that is longer than a header" * 10)
    broken = found_by_name()["memory of trials"]

    assert (whole.state, whole.found) == ("ok", "0 trials")
    assert (broken.state, broken.needed) == ("missing", True)
    assert "cannot be used" in broken.found
