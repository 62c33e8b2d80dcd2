"""A result says where it came from, and goes on where it was."""

import json
from pathlib import Path

import pytest

from hpmkd_edge.bench.scripts.provenance import open_result
from hpmkd_edge.errors import BadConfiguration

SCRIPT = Path("elsewhere") / "race.py"


def test_rows_are_taken_up_by_the_same_command(tmp_path):
    """In a folder that is made, whole after each row; the summary stands before them."""
    path = tmp_path / "results" / "race.json"
    open_result(path, SCRIPT, ["a", "b c"], libraries=["numpy"]).add({"seconds": 1.5})
    result = open_result(path, SCRIPT, ["a", "b c"], libraries=["numpy"])
    result.add({"seconds": 2.5})
    result.finish({"median": 2.0})
    written = json.loads(path.read_text())

    assert written["command"] == "python bench/scripts/race.py a 'b c'"
    assert written["rows"] == [{"seconds": 1.5}, {"seconds": 2.5}]
    assert list(written) == ["command", "commits", "machine", "versions", "median", "rows"]
    assert written["commits"] == [None]
    assert set(written["versions"]) == {"python", "numpy"}


def test_rows_of_another_command_or_machine_are_not_mixed_in(tmp_path):
    """Rows of one result are compared, so they must be of one experiment."""
    path = tmp_path / "race.json"
    open_result(path, SCRIPT, ["a"], libraries=[]).finish({})
    with pytest.raises(BadConfiguration, match=r"was made by `.* a` .* give another --output"):
        open_result(path, SCRIPT, ["b"], libraries=[])
    written = json.loads(path.read_text())
    path.write_text(json.dumps({**written, "machine": {**written["machine"], "cores": 1000}}))

    with pytest.raises(BadConfiguration, match="'cores': 1000"):
        open_result(path, SCRIPT, ["a"], libraries=[])


@pytest.mark.parametrize(("text", "sentence"), [("{", "is not JSON"), ("{}", "is no result of a script of ours")])
def test_a_file_of_something_else_is_refused(tmp_path, text, sentence):
    """It is not written over."""
    path = tmp_path / "race.json"
    path.write_text(text)

    with pytest.raises(BadConfiguration, match=sentence):
        open_result(path, SCRIPT, [], libraries=[])
    assert path.read_text() == text
