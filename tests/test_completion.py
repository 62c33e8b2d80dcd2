"""Shell completion: what a shell asks by its variables is answered with the names there are, without torch."""

import os
import subprocess
import sys

import pytest

from hpmkd_edge.distill.methods.table import METHODS
from hpmkd_edge.distill.stages import WEIGHTINGS
from hpmkd_edge.flags import FLAGS
from hpmkd_edge.flags import METHODS as OFFERED_METHODS
from hpmkd_edge.flags import STUDENTS as OFFERED_STUDENTS
from hpmkd_edge.students.choose import FAMILIES

PROGRAM = """
import sys
sys.argv = ["hpmkd-edge", *sys.argv[1:]]
from hpmkd_edge.cli import app
try:
    app()
finally:
    print([name for name in ("torch", "sklearn", "numba", "onnx", "pandas") if name in sys.modules], file=sys.stderr)
"""


def run(*arguments, **variables):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == "[]", done.stderr
    return done.stdout


def in_bash(line):
    words = line.split(" ")
    return run(_HPMKD_EDGE_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)).split()


def in_zsh(line):
    return run(_HPMKD_EDGE_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)


def in_fish(line):
    variables = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": line}
    return run(_HPMKD_EDGE_COMPLETE="complete_fish", **variables).split()


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("hpmkd-edge compress --target rp", ["rpi4", "rpi5"]),
        ("hpmkd-edge distill --without c", ["configuration", "chain"]),
        ("hpmkd-edge compress --log ", ["tensorboard", "mlflow"]),
    ],
)
def test_bash_is_offered_the_values_of_a_flag(line, wanted):
    """Those that begin as what is typed."""
    assert in_bash(line) == wanted


def test_zsh_and_fish_are_offered_them_too():
    """Each in its own form."""
    assert '(("quick"))' in in_zsh("hpmkd-edge compress --protocol q")
    assert in_fish("hpmkd-edge compress --student dep") == ["depthwise"]


def test_targets_of_a_file_that_is_typed_are_offered(tmp_path):
    """In place of those that ship; a file that cannot be read offers none, and spoils no prompt."""
    file = tmp_path / "own.yaml"
    file.write_text(
        "targets: {shed: {device: host, runtime: onnxruntime, precisions: [fp32], budgets: {model_size_mb: {fail: 4}}}}"
    )

    assert "shed" in in_bash(f"hpmkd-edge compress --targets {file} --target ")
    assert in_bash(f"hpmkd-edge compress --targets {tmp_path / 'none.yaml'} --target ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(shell):
    """That which --install-completion puts in the shell's own folder."""
    script = run("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")

    assert f"_HPMKD_EDGE_COMPLETE=complete_{shell}" in script


def test_the_names_that_are_offered_are_those_there_are():
    """They are written down beside the tables, which need torch."""
    weightings = next(flag for flag in FLAGS if flag.field == "stage_weighting").values

    assert tuple(FAMILIES) == OFFERED_STUDENTS
    assert set(OFFERED_METHODS) == set(METHODS)
    assert tuple(weightings(None)) == WEIGHTINGS
