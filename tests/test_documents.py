"""What the documents say is there: the files that they link to, the commands and flags, the targets."""

import re
from pathlib import Path

import pytest
import typer

from hpmkd_edge.cli import app
from hpmkd_edge.targets import load_targets

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"hpmkd-edge ((?:[a-z]+)(?:[^`\n|#]|\\\n)*)")


def commands_of(text):
    """Yield the words of each command line of ours in *text*, joined where a backslash breaks it."""
    for found in COMMAND.findall(text.replace("\\\n", " ")):
        yield re.split(r"\s+(?:>|&&|;)", found)[0].split()


def named(words):
    """Return the click command that *words* begin with, and those that come after its name."""
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    if "files" in getattr(command, "commands", {}):
        command = command.commands["files"]  # `bench a.onnx`: its first word is a file
    return command, words


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(document):
    """Links to other places than this repository are not looked at."""
    links = [link for link in LINK.findall(document.read_text(encoding="utf-8")) if "://" not in link]

    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_command_of_a_document_has_its_flags(document):
    """Of each command line of ours: the command exists, and so do its flags."""
    unknown = []
    for words in commands_of(document.read_text(encoding="utf-8")):
        command, rest = named(words)
        if command.name == "hpmkd-edge" or getattr(command, "name", None) is None:
            continue  # prose: "hpmkd-edge is", or a placeholder
        known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        flags = {word.split("=")[0].rstrip(".,;:)") for word in rest if word.startswith("--")}
        unknown += [f"{command.name} {flag}" for flag in sorted(flags - known - {"--help", "--"})]

    assert unknown == []


def leaves(command):
    """Yield the commands that do something: those of a group, and of its groups."""
    for one in getattr(command, "commands", {}).values():
        yield from leaves(one) if hasattr(one, "commands") else [one]


def test_every_command_shows_examples():
    """Which begin with the command itself."""
    found = {command.name: command.epilog or "" for command in leaves(typer.main.get_command(app))}

    assert len(found) > 15
    assert [name for name, text in found.items() if "Examples:\n  " not in text or "hpmkd-edge" not in text] == []


def test_the_readme_lists_the_targets_that_ship():
    """Each with its device, runtime and limits."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = []
    for name, target in load_targets().items():
        budgets = target.budgets
        rows.append(
            f"| `{name}` | {target.device.description} | {target.runtime}"
            f" | ≤ {budgets.latency_ms[0].limit.fail:g} ms | ≤ {budgets.peak_memory_mb.fail:g} MB"
            f" | ≤ {budgets.model_size_mb.fail:g} MB"
            f" | at most {100 * budgets.accuracy.max_drop:g} points below the teacher |"
        )

    assert [row for row in rows if row not in text] == []
