"""`report`: what lies at a path, laid out in every format, written over nothing but its own pages."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import asdict, replace
from importlib import import_module
from io import StringIO

import pytest
from jsonschema import Draft202012Validator
from sample_evidence import make_evidence
from sample_pages import make_run
from sample_records import BOARD, make_profile, make_report, make_target
from typer.testing import CliRunner

from hpmkd_edge.bench.profile import write_profile
from hpmkd_edge.cli import app
from hpmkd_edge.errors import BadConfiguration, BadOutput, BadReport
from hpmkd_edge.evidence import write_evidence
from hpmkd_edge.record import write_report
from hpmkd_edge.report.csv_text import records_to_csv
from hpmkd_edge.report.documents import KINDS, find_document
from hpmkd_edge.report.layout import Layout
from hpmkd_edge.report.points import points_of
from hpmkd_edge.report.schemas import schema_of


@pytest.fixture(scope="module")
def report():
    return make_run()


@pytest.fixture
def folder(tmp_path, report):
    made = tmp_path / "first"
    made.mkdir()
    write_report(report, made / "report.json")
    write_profile(report.profile, made / "profile.json")
    return made


def run(*arguments):
    """Run the command; an error of ours is raised."""
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("path", [".", "report.json"])
def test_a_run_s_page_lies_in_its_folder(folder, path):
    """Given the folder or the record; what lies beside it is linked, and what does not is not."""
    result = run(folder / path)
    text = (folder / "report.html").read_text(encoding="utf-8")

    assert result.stdout == f"{folder / 'report.html'}\n"
    assert 'href="./report.json"' in text
    assert 'href="./profile.json"' in text
    assert "student.onnx</a>" not in text


def test_links_lead_from_where_the_page_lies(folder, tmp_path):
    """A page written elsewhere finds the files."""
    run(folder, "--output", tmp_path / "page.html")

    assert 'href="./first/report.json"' in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_several_targets_give_one_page(tmp_path, report):
    """A folder with a report in each of its folders; those of two runs are refused."""
    for target in ("board", "host"):
        (tmp_path / target).mkdir()
    write_report(report, tmp_path / "host" / "report.json")
    write_report(make_report(make_target(device=BOARD)), tmp_path / "board" / "report.json")
    run(tmp_path)

    assert "pets [2] on board and host" in (tmp_path / "report.html").read_text(encoding="utf-8")
    write_report(replace(report, command="another"), tmp_path / "host" / "report.json")
    with pytest.raises(BadReport, match="holds reports of 2 runs; give the folder of each"):
        run(tmp_path)


@pytest.mark.parametrize("name", ["evidence.json", "."])
def test_an_ablation_has_all_formats(tmp_path, name):
    """A page, a document, its record, and a line for each run of an arm."""
    evidence = make_evidence()
    write_evidence(evidence, tmp_path / "evidence.json")
    run(tmp_path / name)
    document = find_document(tmp_path / name)
    lines = list(csv.DictReader(StringIO(document.lay_out(Layout.CSV, tmp_path))))

    assert "Does each component" in (tmp_path / "evidence.html").read_text(encoding="utf-8")
    assert document.lay_out(Layout.MARKDOWN, tmp_path).startswith("# Does each component")
    assert json.loads(document.lay_out(Layout.JSON, tmp_path))["commit"] == evidence.commit
    assert [(one["arm"], int(one["seed"]), float(one["test_accuracy"])) for one in lines] == [
        (one.arm, one.seed, one.test_accuracy) for arm in evidence.summary for one in evidence.runs_of(arm.arm)
    ]


def test_json_is_the_record_with_its_points(folder, report):
    """Every number of the record, single runs' times too."""
    found = json.loads(run(folder, "--format", "json").stdout)

    assert found["schema"] == "hpmkd-edge/run/1"
    assert found["points"] == [json.loads(json.dumps([asdict(point) for point in points_of(report)]))]
    assert found["reports"] == [json.loads((folder / "report.json").read_text(encoding="utf-8"))]


def test_the_json_of_several_targets_has_the_form_of_one(tmp_path, report):
    """A list of reports, each by its own schema; so no reader has two cases."""
    for name, one in (("board", make_report(make_target(device=BOARD))), ("host", report)):
        (tmp_path / name).mkdir()
        write_report(one, tmp_path / name / "report.json")
    found = json.loads(run(tmp_path, "--format", "json").stdout)

    Draft202012Validator(schema_of("run")).validate(found)
    for one in found["reports"]:
        Draft202012Validator(schema_of("report")).validate(one)
    assert [one["target"] for one in found["reports"]] == ["board", "host"]
    assert len(found["points"]) == 2


def test_csv_has_a_line_for_each_point(folder, report):
    """Numbers come back as they were."""
    lines = list(csv.DictReader(StringIO(run(folder, "--format", "csv").stdout)))

    assert [one["name"] for one in lines] == [point.name for point in points_of(report)]
    assert [float(one["accuracy"]) for one in lines] == [point.accuracy for point in points_of(report)]
    assert {one["target"] for one in lines} == {report.target}


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t"])
def test_no_name_is_a_formula_of_a_spreadsheet(begin):
    """It is a text; a number below 0 stays one."""
    name = f"{begin}1+1"

    assert list(csv.DictReader(StringIO(records_to_csv([{"model": name, "points": -0.5}])))) == [
        {"model": f"'{name}", "points": "-0.5"}
    ]


def test_markdown_has_points_members_and_classes(folder):
    """With the sections that it had."""
    text = run(folder, "--format", "markdown").stdout

    assert all(f"## {title}" in text for title in ("Verdict", "Every model of the run", "Accuracy by class"))
    assert "| cnn-48x3 | chain member |" in text
    assert "| size | parameters |" in text


def test_a_page_of_ours_is_replaced_and_nothing_else(folder):
    """What a user wrote is left as it is."""
    run(folder)
    run(folder)
    mine = folder / "report.html"
    mine.write_text("<html>mine</html>")
    with pytest.raises(BadOutput, match="is no page of this tool; give another --output"):
        run(folder)

    assert mine.read_text() == "<html>mine</html>"


@pytest.mark.parametrize("layout", ["json", "csv", "markdown"])
def test_text_is_written_over_nothing(folder, layout):
    """The record itself least of all."""
    before = (folder / "report.json").read_bytes()
    with pytest.raises(BadOutput, match="exists already"):
        run(folder, "--format", layout, "--output", folder / "report.json")
    run(folder, "--format", layout, "--output", folder / "new.txt")

    assert (folder / "report.json").read_bytes() == before
    assert (folder / "new.txt").read_text(encoding="utf-8") == run(folder, "--format", layout).stdout


def test_a_bad_path_among_several_leaves_no_page(folder, tmp_path):
    """All are read before one is written."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadReport, match=r"holds no report\.json and no evidence\.json"):
        run(folder, tmp_path / "empty")

    assert not (folder / "report.html").exists()


def test_several_paths_have_a_page_each_and_nothing_else(folder, tmp_path):
    """One output cannot hold two."""
    write_evidence(make_evidence(), tmp_path / "evidence.json")
    result = run(folder, tmp_path / "evidence.json")

    assert result.stdout.split() == [str(folder / "report.html"), str(tmp_path / "evidence.html")]
    with pytest.raises(BadConfiguration, match="2 paths were given; one is needed with --output"):
        run(folder, tmp_path / "evidence.json", "--format", "csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "has the schema None; one of hpmkd-edge/report/1"),
        ('{"schema": ["a"]}', "has the schema"),
        ('{"schema": "hpmkd-edge/plan/1"}', "'hpmkd-edge/plan/1'; one of"),
        ('{"schema": "hpmkd-edge/report/1"}', "does not follow hpmkd-edge/report/1"),
    ],
)
def test_a_file_that_is_no_record_is_one_sentence(tmp_path, text, said):
    """What was found, what is needed."""
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(BadReport, match=said):
        run(tmp_path / "file.json")

    assert list(tmp_path.iterdir()) == [tmp_path / "file.json"]


def test_a_profile_has_a_page(tmp_path):
    """As what `profile --output` wrote."""
    write_profile(make_profile(), tmp_path / "board.json")
    run(tmp_path / "board.json")

    assert (tmp_path / "board.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("name", KINDS.values())
def test_every_kind_has_what_a_kind_has(name):
    """The modules are found by name when they are asked for."""
    kind = import_module(name)

    assert all(callable(getattr(kind, one)) for one in ("read", "to_html", "to_markdown", "to_csv"))


def test_the_command_loads_plotly_only_for_a_page(folder):
    """CSV, Markdown and JSON are for jobs that wait."""
    program = (
        "import sys; from pathlib import Path; from hpmkd_edge.report.documents import find_document;"
        "from hpmkd_edge.report.layout import Layout;"
        "find_document(Path(sys.argv[1])).lay_out(Layout.CSV, Path());"
        "print([heavy for heavy in ('torch', 'plotly', 'jinja2') if heavy in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=False)

    assert (result.stdout.strip(), result.stderr) == ("[]", "")
