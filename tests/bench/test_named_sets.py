"""Scripts name data sets, and find them."""

import pytest

from hpmkd_edge.bench.scripts.named_sets import find_sets
from hpmkd_edge.errors import BadConfiguration, BadData


@pytest.fixture
def index(tmp_path):
    """Two tables, one of them in a folder, and one that is listed alone."""
    path = tmp_path / "INDEX.tsv"
    path.write_text("file\ttarget\trows\nnear.csv.gz\tkind\t9\nfar.csv.gz\tClass\t9\ngone.csv.gz\tx\t9\n")
    (tmp_path / "suite").mkdir()
    (tmp_path / "near.csv.gz").write_bytes(b"")
    (tmp_path / "suite" / "far.csv.gz").write_bytes(b"")
    return path


def test_sets_are_found_in_the_order_of_their_names(index):
    """Beside the index or in a folder there; an embedded set needs no flags but its name."""
    digits, far, near = find_sets(["digits", "far", "near"], index)

    assert digits.flags == ("--data", "digits")
    assert far.flags == ("--data", str(index.parent / "suite" / "far.csv.gz"), "--label", "Class", "--split", "split")
    assert (near.data, near.label) == (str(index.parent / "near.csv.gz"), "kind")
    assert find_sets(["digits"], None) == (digits,)


@pytest.mark.parametrize(
    ("names", "error", "sentence"),
    [
        (["fur"], BadConfiguration, "far"),
        (["near", "near"], BadConfiguration, "given twice"),
        (["gone"], BadData, "lists gone.csv.gz, and there is none"),
    ],
)
def test_a_set_that_is_not_there_is_refused(index, names, error, sentence):
    """Before anything is trained."""
    with pytest.raises(error, match=sentence):
        find_sets(names, index)


def test_an_index_without_labels_is_refused(tmp_path):
    """In one sentence, as is one that is not there."""
    with pytest.raises(BadData, match="cannot be read"):
        find_sets(["a"], tmp_path / "INDEX.tsv")
    (tmp_path / "INDEX.tsv").write_text("file,target\na.csv.gz,b\n")
    with pytest.raises(BadData, match="tabs between file and target"):
        find_sets(["a"], tmp_path / "INDEX.tsv")
