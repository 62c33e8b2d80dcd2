"""The rooms and their floors: imports go down, modules stay small, light rooms stay light."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Lower floors first; rooms of one floor do not import each other.
FLOORS = (
    ("errors", "kernels", "interruption", "progress"),
    ("text_file",),
    ("accuracy_curve", "yaml_lines", "json_file", "python_file", "checkout", "store"),
    ("targets", "tasks", "manifest", "tracking"),
    ("students", "teachers"),
    ("export",),
    ("bench",),
    ("foretold",),
    ("verdict",),
    ("plan",),
    ("distill", "record", "request", "benched", "history"),
    (
        "answers",
        "evidence",
        "distilled",
        "finetuned",
        "planned",
        "exported",
        "labeled_rows",
        "doctor",
        "desk",
        "entrance",
        "bench_change",
        "bench_plan",
    ),
    ("baseline", "finetune"),
    ("report", "run_folder", "flags"),
    ("allowance", "wording"),
    ("preparation", "conduct", "settling"),
    ("delivery", "foretelling", "run_identity", "tracked"),
    ("rounds", "probing"),
    ("recording",),
    ("turns",),
    ("compress", "arms", "planning", "exporting"),
    ("ablation", "distillation", "finetuning", "precision_files"),
    ("benchmark",),
    ("commands",),
    ("cli",),
)
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "base", "core", "manager"}
WITHOUT_TORCH = ("cli", "commands", "errors", "targets", "bench", "verdict", "record", "report")


def modules():
    """Map each dotted name to its file."""
    found = {}
    for top, prefix in (
        (ROOT / "hpmkd_edge", "hpmkd_edge"),
        (ROOT / "kernels", "hpmkd_edge.kernels"),
        (ROOT / "export", "hpmkd_edge.export"),
        (ROOT / "bench", "hpmkd_edge.bench"),
    ):
        for path in top.rglob("*.py"):
            parts = path.relative_to(top).with_suffix("").parts
            if parts[0] in ("scripts", "results"):
                continue
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((prefix, *parts))] = path
    return found


MODULES = modules()


def room_of(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def floor_of(room):
    for height, rooms in enumerate(FLOORS):
        if room in rooms:
            return height
    raise AssertionError(f"{room} has no floor")


def imports_of(path):
    """Yield every module of ours that the file names in an import, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name in MODULES and name != "hpmkd_edge":
                yield name


def test_every_import_goes_down():
    """A room imports only rooms of lower floors, and itself."""
    wrong = [
        f"{importer} imports {imported}"
        for importer, path in MODULES.items()
        if importer != "hpmkd_edge"
        for imported in imports_of(path)
        if room_of(imported) != room_of(importer) and floor_of(room_of(imported)) >= floor_of(room_of(importer))
    ]

    assert wrong == []


def test_no_room_has_a_cycle():
    """Depth-first, over the modules of each room."""
    graph = {name: set(imports_of(path)) - {name} for name, path in MODULES.items()}
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, " -> ".join([*open_[open_.index(name) :], name])
        if name in done:
            return
        open_.append(name)
        for imported in graph[name]:
            if room_of(imported) == room_of(name) and not name.startswith(imported + "."):
                visit(imported)
        open_.pop()
        done.add(name)

    for name in graph:
        visit(name)

    assert len(done) == len(MODULES)


def test_modules_are_small_and_named_by_what_they_hold():
    """Median below 200 lines, none above 400, none called after nothing."""
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}

    assert statistics.median(lines.values()) < 200
    assert [name for name, count in lines.items() if count > 400] == []
    assert [name for name in MODULES if FORBIDDEN & set(name.split("."))] == []


def test_the_packages_of_the_wheel_are_the_folders_with_modules():
    """setuptools lists them by hand; a forgotten one is missing only for users."""
    listed = {
        line.strip().strip('",')
        for line in (ROOT / "pyproject.toml").read_text().split("packages = [")[1].split("]")[0].splitlines()
        if line.strip()
    }

    assert listed == {name for name, path in MODULES.items() if path.name == "__init__.py"}


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_light_rooms_import_without_torch(room):
    """A gate runs in CI jobs, and bench on boards, where torch is not; each in a fresh interpreter."""
    names = [name for name in MODULES if room_of(name) == room and not name.endswith("__main__")]
    program = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
    program += "print([heavy for heavy in ('torch', 'sklearn', 'numba') if heavy in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (result.stdout.strip(), result.stderr) == ("[]", "")
