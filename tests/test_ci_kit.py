"""The action, the workflow, the hook and the scripts of docs/ci: their shell is run, not only read."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
import yaml
from sample_records import HERE, make_report, make_target
from sample_workflow import ROOT, Runner, evaluate, machine

from hpmkd_edge.record import write_report

CI = ROOT / "docs" / "ci"
PULL_REQUEST = {
    "event_name": "pull_request",
    "event": {"pull_request": {"number": 7, "head": {"sha": "c0ffee0"}}},
    "repository": "someone/models",
    "run_id": "42",
    "workflow": "model gate",
    "base_ref": "main",
    "token": "a-token",
}
PUSH = {**PULL_REQUEST, "event_name": "push", "event": {}, "base_ref": ""}
GH = f'#!/bin/sh\nexec {sys.executable} {ROOT / "tests" / "sample_gh.py"} "$@"\n'
# Records what it was called with, and does nothing but what the scripts around it look at.
NOTES_ITS_WORDS = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([Path(sys.argv[0]).name, *sys.argv[1:]]) + "\\n")
for word in sys.argv[1:]:
    flag, _, value = word.partition("=")
    if flag == "--output" and sys.argv[1] == "compress":
        Path(value).mkdir()
        Path(value, "report.json").write_text("{{}}")
    elif flag in ("--output", "--summary", "--junit"):
        Path(value).write_text("<testsuites/>" if flag == "--junit" else "a table")
sys.exit(int(os.environ.get("ENDS_" + sys.argv[1].lstrip("-"), "0")))
"""
HOSTILE = ["$(touch pwned)", '"; touch pwned; "', "`touch pwned`", "; touch pwned", "a b\tc", "--help", "*", "$HOME"]

needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq stands for the one in gh")


@pytest.fixture
def tools(tmp_path):
    """A folder of commands: gh, and a pip that notes what it would install."""
    folder = tmp_path / "tools"
    folder.mkdir()
    _command(folder / "gh", GH)
    _command(folder / "python", NOTES_ITS_WORDS)
    return folder


@pytest.fixture
def pretending(tools):
    """The same, with an hpmkd-edge that notes its words too."""
    _command(tools / "hpmkd-edge", NOTES_ITS_WORDS)
    return tools


@pytest.fixture
def workspace(tmp_path):
    """A checkout with a blank in its name, which holds one report that meets its budgets."""
    folder = tmp_path / "box" / "a checkout"
    folder.mkdir(parents=True)
    write_report(make_report(), folder / "report.json")
    return folder


def _command(path, text):
    path.write_text(text)
    path.chmod(0o755)


def _runner(tools, workspace, github=PULL_REQUEST, **environment):
    extra = {"FAKE_GH": str(tools), "CALLS": str(tools / "calls"), **environment}
    return Runner(workspace, machine(tools, **extra), github, {"OWNER/hpmkd-edge@COMMIT": ROOT})


def _calls(tools, program):
    notes = (tools / "calls").read_text().splitlines() if (tools / "calls").exists() else []
    return [call for name, *call in map(json.loads, notes) if name == program]


def _comments(tools):
    stored = tools / "comments.json"
    return json.loads(stored.read_text()) if stored.exists() else []


def _run_gate(tools, workspace, **variables):
    """Run docs/ci/gate.sh as a CI that is not GitHub would."""
    environment = machine(tools, CALLS=str(tools / "calls"), **variables)
    return subprocess.run(
        ["bash", CI / "gate.sh"], cwd=workspace, env=environment, capture_output=True, text=True, check=False
    )


def _tight(workspace):
    """Write targets whose size budget no model of ours meets."""
    budgets = "{model_size_mb: {fail: 0.000001}}"
    (workspace / "tight targets.yaml").write_text(
        f"targets:\n  host: {{device: host, runtime: onnxruntime, precisions: [fp32], budgets: {budgets}}}\n"
    )
    return "tight targets.yaml"


# The scripts' own laws, with an hpmkd-edge that only notes what it was asked.


@pytest.mark.parametrize("value", HOSTILE)
def test_no_input_is_ever_read_as_code(pretending, workspace, value):
    """Each reaches its command as the one word that it is; in `arguments` alone blanks and quotes part words."""
    runner = _runner(pretending, workspace)
    inputs = ("targets", "profiles", "baseline", "reports")
    given = dict.fromkeys((*inputs, "max_accuracy_drop", "package", "torch_index"), value)
    job = runner.run_action(ROOT, **given)

    assert not job.failed, job.log
    (install,) = _calls(pretending, "python")
    assert install[-3:] == [f"--extra-index-url={value}", "--", value]
    first, *_ = _calls(pretending, "hpmkd-edge")
    assert first[1:5] == [f"--{flag}={value}" for flag in ("targets", "profile", "baseline", "max-accuracy-drop")]
    assert first[-2:] == ["--", value]
    assert not list(workspace.parent.rglob("pwned"))


def test_arguments_are_words_with_quotes_and_nothing_else(pretending, workspace):
    """As a shell parts them, over lines too; no variable, pattern or command in them is."""
    words = """--data 'two words' --label "it's"
      --note $HOME\\ x $(touch pwned) * `id` ;"""
    done = _run_gate(pretending, workspace, GATE_COMMAND="compress", GATE_ARGUMENTS=words)

    assert done.returncode == 0, done.stderr
    compress, *_ = _calls(pretending, "hpmkd-edge")
    wanted = ["--data", "two words", "--label", "it's", "--note", "$HOME x", "$(touch", "pwned)", "*", "`id`", ";"]
    assert compress == ["compress", *wanted, "--output=hpmkd-edge-gate/run"]


def test_each_line_is_one_path(pretending, workspace):
    """Paths may hold blanks; empty lines are none."""
    done = _run_gate(pretending, workspace, GATE_REPORTS="runs/a b\n\n  \nruns/c\n", GATE_BASELINE="main 1\nmain 2")

    assert done.returncode == 0, done.stderr
    gate, *_ = _calls(pretending, "hpmkd-edge")
    assert gate[-3:] == ["--", "runs/a b", "runs/c"]
    assert [word for word in gate if word.startswith("--baseline")] == ["--baseline=main 1", "--baseline=main 2"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"GATE_COMMAND": "distill"}, "GATE_COMMAND is 'distill'; compress, profile or none is needed."),
        ({"GATE_ALLOW_PREDICTED": "yes"}, "GATE_ALLOW_PREDICTED is 'yes'; true or false is needed."),
        ({"GATE_FAIL_ON_INCONCLUSIVE": "0"}, "GATE_FAIL_ON_INCONCLUSIVE is '0'; true or false is needed."),
        ({"GATE_NAME": "../up"}, "GATE_NAME is '../up'; letters, digits, .* are needed"),
        ({"GATE_NAME": "report.json"}, "report.json exists already; remove it"),
        ({"GATE_ARGUMENTS": "--data 'open", "GATE_COMMAND": "compress"}, "a quote that does not close .*'open"),
        ({"GATE_ARGUMENTS": "--data x"}, "GATE_ARGUMENTS is given, but GATE_COMMAND is none"),
        ({"GATE_REPORTS": " "}, "GATE_REPORTS is empty; a report.json or a run's folder is needed."),
        ({"GATE_COMMAND": "profile", "GATE_REPORTS": ""}, "GATE_REPORTS is empty; profile needs the report"),
    ],
)
def test_bad_input_is_one_sentence_and_2(pretending, workspace, variables, said):
    """Before anything is run."""
    done = _run_gate(pretending, workspace, **{"GATE_REPORTS": "report.json", **variables})

    assert done.returncode == 2
    assert re.search(said, done.stderr)
    assert done.stderr.count("\n") == 1
    assert _calls(pretending, "hpmkd-edge") == []


def test_without_hpmkd_edge_it_ends_with_3(workspace):
    """The sentence says what is missing."""
    environment = {"PATH": "/usr/bin:/bin", "GATE_REPORTS": "report.json"}
    done = subprocess.run(
        ["bash", CI / "gate.sh"], cwd=workspace, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "there is no hpmkd-edge on the PATH" in done.stderr


@pytest.mark.parametrize(
    ("command", "ends", "code", "judged"),
    [
        ("compress", 0, 0, True),
        ("compress", 1, 0, True),  # broken by the run's own budgets; the gate has the last word
        ("compress", 5, 0, True),
        ("compress", 2, 2, False),
        ("compress", 3, 3, False),
        ("compress", 4, 4, False),
        ("compress", 130, 130, False),
        ("profile", 1, 0, True),
        ("profile", 3, 3, False),
    ],
)
def test_what_fails_is_not_judged(pretending, workspace, command, ends, code, judged):
    """1 and 5 are verdicts, which the gate gives again; any other code is the end."""
    variables = {"GATE_COMMAND": command, "GATE_ARGUMENTS": "student.onnx", f"ENDS_{command}": str(ends)}
    done = _run_gate(pretending, workspace, GATE_REPORTS="report.json", **variables)
    folder = workspace / "hpmkd-edge-gate"

    assert done.returncode == code
    assert ("gate" in [call[0] for call in _calls(pretending, "hpmkd-edge")]) is judged
    assert (folder / "exit-code").read_text() == f"{code}\n"
    assert ("gave no verdict" in (folder / "summary.md").read_text()) is not judged


@pytest.mark.parametrize(("ends", "code", "lenient"), [(0, 0, 0), (1, 1, 1), (5, 5, 0), (2, 2, 2), (4, 4, 4)])
def test_only_inconclusive_can_be_let_through(pretending, workspace, ends, code, lenient):
    """The gate's code is the script's, and stays in the folder as it was."""
    reports = {"GATE_REPORTS": "report.json", "ENDS_gate": str(ends)}
    strict = _run_gate(pretending, workspace, **reports, GATE_NAME="strict")
    let = _run_gate(pretending, workspace, **reports, GATE_NAME="let", GATE_FAIL_ON_INCONCLUSIVE="false")

    assert (strict.returncode, let.returncode) == (code, lenient)
    assert (workspace / "let" / "exit-code").read_text() == f"{ends}\n"


def test_a_shell_command_that_fails_is_no_broken_budget(pretending, workspace):
    """1 is a verdict; a disk that is full is none."""
    _command(pretending / "mkdir", "#!/bin/sh\nexit 1\n")
    done = _run_gate(pretending, workspace, GATE_REPORTS="report.json")

    assert done.returncode == 4


def test_a_page_that_cannot_be_drawn_is_no_verdict_lost(pretending, workspace):
    """A met gate ends with the page's code then."""
    done = _run_gate(pretending, workspace, GATE_REPORTS="report.json", ENDS_report="4")

    assert done.returncode == 4
    assert (workspace / "hpmkd-edge-gate" / "summary.md").read_text() == "a table"


def test_profile_hands_its_measurement_to_the_gate(pretending, workspace):
    """Beside those that were given."""
    done = _run_gate(
        pretending,
        workspace,
        GATE_COMMAND="profile",
        GATE_ARGUMENTS="'a b.onnx' --protocol quick",
        GATE_REPORTS="report.json",
        GATE_PROFILES="board.json",
        GATE_TARGETS="t.yaml",
    )

    assert done.returncode == 0, done.stderr
    profile, gate, *_ = _calls(pretending, "hpmkd-edge")
    output = "--output=hpmkd-edge-gate/profile.json"
    assert profile == ["profile", "a b.onnx", "--protocol", "quick", "--targets=t.yaml", output]
    assert gate[1:4] == ["--targets=t.yaml", "--profile=board.json", "--profile=hpmkd-edge-gate/profile.json"]


# The action, with the real tool and records as runs write them.


@needs_jq
@pytest.mark.slow
def test_a_met_gate_passes_and_shows_its_table(tools, workspace):
    """In the job's summary, on the pull request, in the artifact, and in the outputs."""
    job = _runner(tools, workspace).run_action(ROOT, reports="report.json")
    folder = workspace / "hpmkd-edge-gate"
    (comment,) = _comments(tools)
    upload = job.step("Keep the report")

    assert not job.failed, job.log
    assert "4 of 4 budgets met" in job.summary
    assert comment["body"].startswith("<!-- hpmkd-edge gate: hpmkd-edge-gate -->\n")
    assert job.summary in comment["body"]
    assert "https://github.com/someone/models/actions/runs/42" in comment["body"]
    assert upload.given == {"name": "hpmkd-edge-gate", "path": "hpmkd-edge-gate", "if-no-files-found": "error"}
    assert job.step("Set up Python").given == {"python-version": "3.12"}
    assert _calls(tools, "python")[0][-1] == str(ROOT)
    assert json.loads((folder / "gate.json").read_text())["exit_code"] == 0
    assert (folder / "report.html").stat().st_size > 100_000
    assert ElementTree.parse(folder / "junit.xml").findall(".//failure") == []


@needs_jq
@pytest.mark.slow
def test_a_broken_gate_fails_last_and_names_the_budget(tools, workspace):
    """After table, annotation, JUnit, page and artifact; and the next push writes over its comment."""
    (tools / "comments.json").write_text(
        json.dumps([{"id": n, "user": {"login": "a-person"}, "body": "words"} for n in range(100)])
    )
    runner = _runner(tools, workspace)
    broken = runner.run_action(ROOT, reports="report.json", targets=_tight(workspace))
    folder = workspace / "hpmkd-edge-gate"
    failures = ElementTree.parse(folder / "junit.xml").findall(".//failure")
    said = _comments(tools)[-1]["body"]
    names = [step.name for step in broken.steps if step.done or step.uses]
    shutil.rmtree(folder)
    mended = runner.run_action(ROOT, reports="report.json")

    assert broken.failed
    assert broken.step("Verdict").done.returncode == 1
    assert "verdict broken, exit code 1" in broken.step("Verdict").done.stdout
    assert broken.step("Judge").done.returncode == 0
    assert names[-3:] == ["Keep the report", "Show the verdict on the pull request", "Verdict"]
    assert re.search(r"^::error.*model_size_mb", broken.log, re.MULTILINE)
    assert len(failures) == 1
    assert "broken" in said
    assert "broken" in broken.summary
    assert not mended.failed, mended.log
    # Beyond the first page of a hundred, so it was looked for on all.
    assert len(_comments(tools)) == 101
    assert "broken" not in _comments(tools)[-1]["body"]


@needs_jq
@pytest.mark.slow
@pytest.mark.parametrize(("strict", "failed"), [("true", True), ("false", False)])
def test_an_inconclusive_gate_fails_where_it_is_asked_to(tools, workspace, strict, failed):
    """Its table is shown either way."""
    unknown = make_target(device=replace(HERE, name="far", identity=("Far board",)))
    write_report(make_report(unknown), workspace / "far.json")
    job = _runner(tools, workspace).run_action(ROOT, reports="far.json", fail_on_inconclusive=strict)

    assert job.failed is failed, job.log
    assert "inconclusive" in job.summary
    assert "inconclusive" in _comments(tools)[0]["body"]
    assert job.step("Verdict").done.returncode == (5 if failed else 0)
    assert (workspace / "hpmkd-edge-gate" / "exit-code").read_text() == "5\n"


@needs_jq
@pytest.mark.slow
def test_a_bad_report_ends_with_2_and_the_comment_says_no_verdict(tools, workspace):
    """One sentence in the log; the table of the push before does not stay."""
    (workspace / "cut.json").write_text((workspace / "report.json").read_text()[:500])
    runner = _runner(tools, workspace)
    runner.run_action(ROOT, reports="report.json")
    shutil.rmtree(workspace / "hpmkd-edge-gate")
    job = runner.run_action(ROOT, reports="cut.json")
    (comment,) = _comments(tools)

    assert job.step("Verdict").done.returncode == 2
    assert "verdict none, exit code 2" in job.log
    assert "Traceback" not in job.log
    assert len([line for line in job.log.splitlines() if line.startswith("hpmkd-edge: ") and "cut.json" in line]) == 1
    assert "gave no verdict" in comment["body"]
    assert "gave no verdict" in job.summary


# The action around the tool.


@needs_jq
@pytest.mark.parametrize(
    ("refusal", "level"),
    [
        ("Resource not accessible by integration (HTTP 403)", "notice"),
        ("Bad gateway: 100%\nlater (HTTP 502)", "warning"),
    ],
)
def test_a_comment_that_cannot_be_written_changes_no_verdict(pretending, workspace, refusal, level):
    """A fork's token may only read."""
    job = _runner(pretending, workspace, FAKE_GH_REFUSES=refusal).run_action(ROOT, reports="report.json")
    (line,) = [line for line in job.log.splitlines() if line.startswith("::")]

    assert not job.failed, job.log
    assert line.startswith(f"::{level}::The table is not on the pull request: gh: {refusal[:10]}")
    assert "100%25 later" in line or "%" not in refusal
    assert ("may only read" in line) is (level == "notice")


@needs_jq
def test_the_comment_of_another_is_never_written_over(pretending, workspace):
    """Anyone may write the mark."""
    mark = "<!-- hpmkd-edge gate: hpmkd-edge-gate -->\nall is well"
    (pretending / "comments.json").write_text(json.dumps([{"id": 1, "user": {"login": "a-person"}, "body": mark}]))
    _runner(pretending, workspace).run_action(ROOT, reports="report.json")

    assert [one["user"]["login"] for one in _comments(pretending)] == ["a-person", "github-actions[bot]"]


@needs_jq
def test_two_gates_of_one_job_have_two_comments_and_two_folders(pretending, workspace):
    """By their names."""
    runner = _runner(pretending, workspace)
    jobs = [runner.run_action(ROOT, reports="report.json", name=name) for name in ("jetson", "rpi5")]

    assert [job.step("Keep the report").given["path"] for job in jobs] == ["jetson", "rpi5"]
    assert [one["body"].splitlines()[0] for one in _comments(pretending)] == [
        "<!-- hpmkd-edge gate: jetson -->",
        "<!-- hpmkd-edge gate: rpi5 -->",
    ]


@needs_jq
def test_a_table_too_long_for_a_comment_stays_with_the_job(pretending, workspace):
    """GitHub refuses bodies above 65,536 characters."""
    folder = workspace / "big"
    folder.mkdir()
    (folder / "summary.md").write_text("| row |\n" * 10_000)
    (folder / "exit-code").write_text("1\n")
    environment = machine(
        pretending,
        FAKE_GH=str(pretending),
        GH_TOKEN="t",
        GITHUB_REPOSITORY="someone/models",
        GITHUB_SERVER_URL="https://github.com",
        GITHUB_RUN_ID="42",
        GATE_NAME="big",
        GATE_FOLDER="big",
        GATE_PULL_REQUEST="7",
        GATE_COMMIT="c0ffee0",
    )
    subprocess.run(["bash", CI / "comment.sh"], cwd=workspace, env=environment, check=True)

    assert "ended with exit code 1. The table is too long" in _comments(pretending)[0]["body"]


def test_a_push_is_not_commented_and_switches_switch(pretending, workspace):
    """A comment needs a pull request; `upload: false` keeps nothing, an empty python-version sets none up."""
    inputs = {"reports": "report.json", "upload": "false", "python_version": ""}
    job = _runner(pretending, workspace, PUSH).run_action(ROOT, **inputs)

    assert not job.failed, job.log
    assert [step.name for step in job.steps if step.done or step.uses] == [
        "Check the switches",
        "Install hpmkd-edge",
        "Judge",
        "Verdict",
    ]


def test_a_switch_is_true_or_false(pretending, workspace):
    """Before anything is installed."""
    job = _runner(pretending, workspace).run_action(ROOT, reports="report.json", comment="yes")

    assert job.failed
    assert job.log == "hpmkd-edge: the input comment is 'yes'; true or false is needed.\n"
    assert _calls(pretending, "python") == []


def test_every_action_is_pinned_to_a_commit():
    """A tag can be moved by whoever takes over its repository."""
    files = [ROOT / "action.yml", ROOT / "docs" / "ci.md", *CI.glob("*.yml")]
    uses = [name for path in files for name in re.findall(r"uses: (\S+.*)", path.read_text())]

    assert len(uses) == 6
    for name in uses:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|OWNER/hpmkd-edge@COMMIT", name)


def test_every_input_and_variable_is_explained():
    """In docs/ci.md, with the default that the action has."""
    text = (ROOT / "docs" / "ci.md").read_text()
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    (judge,) = [step for step in action["runs"]["steps"] if step.get("id") == "gate"]
    read = set(re.findall(r"GATE_[A-Z_]+", (CI / "gate.sh").read_text())) - {"GATE_"}

    assert [name for name in (*action["inputs"], *action["outputs"]) if f"`{name}`" not in text] == []
    assert [name for name in read if f"`{name}`" not in text] == []
    assert set(judge["env"]) == read


# The workflow, and other CIs.


@needs_jq
@pytest.mark.parametrize("known", [True, False])
def test_the_workflow_compares_with_the_last_run_of_main(pretending, workspace, known):
    """Where there is one; the first pull request says that there is none."""
    (pretending / "runs.json").write_text(json.dumps([{"databaseId": 41}] if known else []))
    kept = pretending / "artifact-41" / "hpmkd-edge-gate" / "run"
    kept.mkdir(parents=True)
    shutil.copy(workspace / "report.json", kept)
    job = _runner(pretending, workspace).run_job(CI / "model-gate.yml")
    compress, gate, *_ = _calls(pretending, "hpmkd-edge")

    assert not job.failed, job.log
    assert compress[:5] == ["compress", "--target", "host", "--data", "digits"]
    assert compress[5:] == ["--targets=targets.yaml", "--output=hpmkd-edge-gate/run"]
    assert ("--baseline=baseline/run/report.json" in gate) is known
    assert ("nothing is compared" in job.log) is not known
    assert job.outputs == {
        "exit-code": "0",
        "verdict": "met",
        "report": "hpmkd-edge-gate/report.html",
        "folder": "hpmkd-edge-gate",
    }


def test_the_workflow_on_main_leaves_the_baseline(pretending, workspace):
    """Nothing is fetched there, and what is kept holds the run."""
    job = _runner(pretending, workspace, PUSH).run_job(CI / "model-gate.yml")

    assert not job.failed, job.log
    assert job.step("Fetch the baseline").done is None
    assert (workspace / job.step("Keep the report").given["path"] / "run" / "report.json").is_file()


@pytest.fixture
def hosted(tmp_path):
    """A repository that holds what others clone, and its commit."""
    folder = tmp_path / "hosted"
    shutil.copytree(CI, folder / "docs" / "ci")
    git = ["git", "-C", folder, "-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    return {"HPMKD_EDGE_REPOSITORY": str(folder), "HPMKD_EDGE_COMMIT": commit}


@pytest.mark.parametrize("ends", [0, 1, 5])
def test_the_job_of_gitlab_ends_as_the_gate_does(pretending, workspace, hosted, ends):
    """Its lines run in one shell, as GitLab's runner does; what it keeps and reads is there."""
    job = yaml.safe_load((CI / "gitlab-ci.yml").read_text())["model-gate"]
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join([*job["before_script"], *job["script"]])],
        cwd=workspace,
        env=machine(pretending, CALLS=str(pretending / "calls"), ENDS_gate=str(ends), **{**job["variables"], **hosted}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == ends, done.stderr
    assert _calls(pretending, "python") == [["-m", "pip", "install", "--quiet", "./.hpmkd-edge"]]
    assert all((workspace / path).is_dir() for path in job["artifacts"]["paths"])
    assert (workspace / job["artifacts"]["reports"]["junit"]).is_file()
    assert job["allow_failure"]["exit_codes"] == 5
    assert "::" not in done.stdout


def test_the_shell_of_the_jenkinsfile_runs_twice(pretending, workspace, hosted):
    """Jenkins keeps a workspace between builds; sh is the system's."""
    text = (CI / "Jenkinsfile").read_text()
    scripts = [textwrap.dedent(script) for script in re.findall(r"'''(.*?)'''", text, re.DOTALL)]
    variables = dict(re.findall(r"^ +([A-Z_]+) = '(.*)'$", text, re.MULTILINE)) | hosted
    _command(pretending / "python", VENV)
    environment = machine(pretending, CALLS=str(pretending / "calls"), ENDS_gate="5", **variables)
    codes = [
        subprocess.run(["sh", "-xe", "-c", script], cwd=workspace, env=environment, check=False).returncode
        for _ in range(2)
        for script in scripts
    ]

    assert codes == [0, 5, 0, 5]
    assert (workspace / "hpmkd-edge-gate" / "junit.xml").is_file()


# In place of `python -m venv FOLDER`: a folder whose python does nothing.
VENV = '#!/bin/sh\nmkdir -p "$3/bin" && printf "#!/bin/sh\\n" > "$3/bin/python" && chmod +x "$3/bin/python"\n'

GOOD = """\
targets:
  mine: {device: host, runtime: onnxruntime, precisions: [fp32], budgets: {model_size_mb: {fail: 4}}}
"""


@pytest.mark.parametrize("hook", [0, 1])
def test_the_hook_checks_every_file_it_is_handed(tmp_path, hook):
    """As pre-commit calls it, all names at once; one bad file is enough, wherever it stands."""
    hook = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())[hook]
    (tmp_path / "a b").mkdir()
    files = {"a b/targets.yaml": GOOD, "bad-targets.yaml": GOOD.replace("fail: 4", "fial: 4"), "targets.yml": GOOD}
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    def check(*names):
        return subprocess.run(
            [*shlex.split(hook["entry"]), *names],
            cwd=tmp_path,
            env=machine(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )

    fine, bad = check("a b/targets.yaml"), check("bad-targets.yaml", "targets.yml")

    assert (fine.returncode, fine.stderr) == (0, "")
    assert bad.returncode == 2
    assert "fial" in bad.stderr
    assert "targets.yml" in bad.stdout
    assert [name for name in files if re.search(hook["files"], name)] == ["a b/targets.yaml", "targets.yml"]


# What the tests themselves stand on.


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("inputs.a-b == 'TRUE'", True),
        ("inputs.none == ''", True),
        ("inputs.none && 'x'", ""),
        ("!(inputs.a-b == 'x' || always()) || 'it''s'", "it's"),
        ("always() && steps.one.outputs.two != ''", True),
        ("success()", True),
    ],
)
def test_expressions_mean_what_they_do_on_github(expression, value):
    """Without regard to case; a missing value is the empty text; && and || give back an operand."""
    contexts = {"inputs": {"a-b": "true"}, "steps": {"one": {"outputs": {"two": "2"}}}}

    assert evaluate(expression, contexts) == value
