"""A user's own file: what it may import, and what its digest covers."""

import os
import pickle
import sys

import pytest

from hpmkd_edge.errors import BadStudent, BadTeacher
from hpmkd_edge.python_file import load_python_file


@pytest.fixture(autouse=True)
def _own_path(monkeypatch):
    """What a file puts on the path is gone after its test."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def written(folder, name="mine.py", text="def net():\n    return 1\n"):
    """Write a file of *folder*, which is made where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def loaded(path, function="net"):
    return load_python_file(f"{path}:{function}", BadTeacher)


def test_a_file_runs_once_and_has_one_digest(tmp_path):
    """Two specs of one file share its module."""
    path = written(tmp_path)
    one, same = loaded(path), loaded(path)

    assert one.module is same.module
    assert one.digest() == same.digest()


def test_the_digest_is_of_content_not_of_place(tmp_path):
    """A folder that was moved keeps its cached answers."""
    digests = set()
    for place in ("a", "b"):
        written(tmp_path / place, "beside.py", "ONE = 1\n")
        digests.add(loaded(written(tmp_path / place, text="from beside import ONE as x\nnet = int\n")).digest())

    assert len(digests) == 1


@pytest.mark.parametrize("helper", ["beside.py", "parts/inner.py", "deep.py"])
def test_an_edited_helper_changes_the_digest_and_is_run_again(tmp_path, helper):
    """Beside the file, in a package below it, and imported by another helper."""
    texts = {
        "beside.py": "from deep import DEEP\nBESIDE = 1\n",
        "parts/__init__.py": "",
        "parts/inner.py": "INNER = 1\n",
        "deep.py": "DEEP = 1\n",
        "mine.py": "from beside import BESIDE, DEEP\nfrom parts.inner import INNER\n"
        "def net():\n    return BESIDE + DEEP + INNER\n",
    }
    for name, text in texts.items():
        written((tmp_path / name).parent, (tmp_path / name).name, text)
    before = loaded(tmp_path / "mine.py")
    first = before.digest()
    (tmp_path / helper).write_text(texts[helper].replace("= 1", "= 1000"))
    after = loaded(tmp_path / "mine.py")

    assert (before.get("net")(), after.get("net")()) == (3, 1002)
    assert after.digest() != first


def test_a_helper_that_is_imported_in_a_call_is_in_the_digest_after_it(tmp_path):
    """The file puts its folder on the path by itself, and keeps it there."""
    written(tmp_path, "later.py", "LATER = 1\n")
    text = (
        f"import sys\nsys.path.insert(0, {str(tmp_path / 'own')!r})\nsys.path.append({str(tmp_path)!r})\n"
        "def net():\n    from later import LATER\n    return LATER\n"
    )
    file = loaded(written(tmp_path, text=text))
    before = file.digest()

    assert file.get("net")() == 1
    assert file.digest() != before


def test_files_of_other_folders_and_installed_ones_are_not_in_the_digest(tmp_path):
    """A virtual environment may lie in the folder; what of it is loaded changes from moment to moment."""
    site = tmp_path / "project" / ".venv" / "lib" / "site-packages"
    written(site, "installed_there.py", "")
    written(tmp_path / "elsewhere", "lies_elsewhere.py", "")
    file = loaded(written(tmp_path / "project"))
    before = file.digest()
    for folder, name in ((site, "installed_there"), (tmp_path / "elsewhere", "lies_elsewhere")):
        sys.path.insert(0, str(folder))
        __import__(name)

    assert file.digest() == before


def test_helpers_of_one_name_in_two_folders_do_not_mix(tmp_path):
    """Two teachers with a prep.py each, and the same file beside it."""
    answers = {}
    for place, value in (("a", 10), ("b", 20)):
        written(tmp_path / place, "prep.py", f"VALUE = {value}\n")
        path = written(tmp_path / place, text="from prep import VALUE\ndef net():\n    return VALUE\n")
        answers[place] = loaded(path).get("net")()

    assert answers == {"a": 10, "b": 20}


def test_the_path_is_as_it_was_but_for_what_the_file_put_there(tmp_path):
    """Its own entry stays, wherever it put it."""
    before = [*sys.path]
    own = str(tmp_path / "library")
    loaded(written(tmp_path, text=f"import sys\nsys.path.insert(0, {own!r})\ndef net():\n    pass\n"))

    assert sys.path == [own, *before]


def test_a_file_that_clears_the_path_is_not_an_error(tmp_path):
    """There is nothing left to remove."""
    path = written(tmp_path, text="import sys\nsys.path.pop(0)\ndef net():\n    pass\n")

    assert loaded(path).function == "net"


@pytest.mark.parametrize(
    ("text", "match"),
    [("1 / 0\n", "ZeroDivisionError"), ("raise SystemExit(3)\n", "SystemExit: 3"), ("def nat(): pass\n", "'nat'")],
)
def test_a_file_that_cannot_be_used_is_refused_by_the_callers_class(tmp_path, text, match):
    """A student's file is the student's fault; the module does not stay registered."""
    path = written(tmp_path, text=text)
    for _ in range(2):
        with pytest.raises(BadStudent, match=match):
            load_python_file(f"{os.fspath(path)}:net", BadStudent)


def test_a_file_travels_to_another_process_as_its_spec(tmp_path):
    """A module cannot be pickled; the file is run again there, and is the same."""
    path = tmp_path / "net.py"
    path.write_text("def build(width):\n    return width + 1\n")
    file = load_python_file(f"{path}:build", BadStudent)
    back = pickle.loads(pickle.dumps(file))

    assert back.get("build")(1) == 2
    assert back.digest() == file.digest()
