"""Whatever the tool has recorded, found by its path and laid out in any format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from os.path import relpath
from pathlib import Path
from typing import Any, Final, Protocol, cast

from hpmkd_edge.errors import BadOutput, BadReport
from hpmkd_edge.json_file import read_named
from hpmkd_edge.record import SCHEMA as RUN
from hpmkd_edge.record import Report, read_report
from hpmkd_edge.report.layout import Layout
from hpmkd_edge.report.pages.frame import GENERATOR
from hpmkd_edge.text_file import write_text

RECORD: Final = "report.json"
PAGE: Final = "report.html"
# What a folder holds beside its record, and a page links to.
FILES: Final = (RECORD, "profile.json", "student.onnx", "manifest.json")
TEXT_FILES: Final = ("tokenizer.json", "run_text.py", "student-text.onnx")
# A page says within this many bytes who made it.
HEAD: Final = 2048


def linked_files(folder: Path) -> list[str]:
    """Return what the page in *folder* links to: FILES, and those of TEXT_FILES that are there."""
    return [*FILES, *(name for name in TEXT_FILES if (folder / name).is_file())]


class Forms(Protocol):
    """A module of `pages`, as far as it lays out a record."""

    def to_html(self, record: Any) -> str:
        """Return a page."""
        ...

    def to_markdown(self, record: Any) -> str:
        """Return a document that ends in a newline."""
        ...

    def to_csv(self, record: Any) -> str:
        """Return a header and a line for each of what there are many of."""
        ...


class Reader(Protocol):
    """A module of `pages`, as far as it reads a record from its file."""

    def read(self, path: Path) -> Any:
        """Read a record; a BadReport where the file is none."""
        ...


# The module of each schema but a run's, several of which lie in one folder and make one page.
KINDS: Final = {
    "hpmkd-edge/evidence/1": "hpmkd_edge.report.pages.ablation",
    "hpmkd-edge/profile/1": "hpmkd_edge.report.pages.profile",
    "hpmkd-edge/bench/2": "hpmkd_edge.report.pages.bench",
    "hpmkd-edge/bench-change/1": "hpmkd_edge.report.pages.change",
    "hpmkd-edge/change/1": "hpmkd_edge.report.pages.change",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A record that can be laid out.

    Attributes:
        page: where its page lies, if nothing else is said.
        lay_out: returns it in a format, for a folder in which it will lie.
    """

    page: Path
    lay_out: Callable[[Layout, Path], str]


def find_document(path: Path) -> Document:
    """Find what was recorded at *path*: a run's or an ablation's folder, or a file of any kind.

    Raises:
        BadReport: there is nothing, or it cannot be read.
    """
    if not path.is_dir():
        schema = _schema_of(path)
        return _run([path], path.with_suffix(".html")) if schema == RUN else _other(path, schema)
    records = [path / RECORD] if (path / RECORD).is_file() else sorted(path.glob(f"*/{RECORD}"))
    if records:
        return _run(records, path / PAGE)
    if (path / "evidence.json").is_file():
        return _other(path / "evidence.json", _schema_of(path / "evidence.json"))
    raise BadReport(
        f"{path.absolute()} holds no {RECORD} and no evidence.json; the folder of a finished run is needed."
    )


def find_history(model: str | None, target: str | None) -> Document:
    """Find what the memory holds of a model, of a target, or of all.

    Raises:
        BadReport: it holds nothing of the kind.
        EdgeError: the memory cannot be opened.
    """
    from hpmkd_edge.history import HistoryRecord
    from hpmkd_edge.report.pages import history

    entries = history.read(model=model, target=target)

    def lay_out(layout: Layout, folder: Path) -> str:  # noqa: ARG001  it links to nothing
        return _laid_out(layout, history, entries, HistoryRecord(measurements=entries))

    return Document(page=Path("history.html"), lay_out=lay_out)


def write_page(text: str, path: Path) -> None:
    """Write *text* to *path*, over an older page of this tool but over nothing else.

    Raises:
        BadOutput: something else is there, or the file cannot be written.
    """
    if path.exists() and not _is_ours(path):
        raise BadOutput(f"{path.absolute()} exists and is no page of this tool; give another --output, or remove it.")
    write_text(text, path)


def _run(records: Sequence[Path], page: Path) -> Document:
    reports = [read_report(record) for record in records]
    _check_one_run(page.parent, reports)
    beside = [[record.with_name(name) for name in linked_files(record.parent)] for record in records]

    def lay_out(layout: Layout, folder: Path) -> str:
        from hpmkd_edge.report.csv_text import points_to_csv
        from hpmkd_edge.report.machine import to_json
        from hpmkd_edge.report.markdown import to_markdown
        from hpmkd_edge.report.pages.run import to_html
        from hpmkd_edge.report.run_record import run_of

        if layout is Layout.HTML:
            links = [[relpath(file, folder) for file in files if file.is_file()] for files in beside]
            return to_html(reports, links=links)
        if layout is Layout.MARKDOWN:
            return "\n".join(map(to_markdown, reports))
        if layout is Layout.CSV:
            return points_to_csv(reports)
        return to_json(run_of(reports)) + "\n"

    return Document(page=page, lay_out=lay_out)


def _other(path: Path, schema: str) -> Document:
    module = import_module(KINDS[schema])
    record, forms = cast("Reader", module).read(path), cast("Forms", module)

    def lay_out(layout: Layout, folder: Path) -> str:  # noqa: ARG001  it links to nothing
        return _laid_out(layout, forms, record, record)

    return Document(page=path.with_suffix(".html"), lay_out=lay_out)


def _laid_out(layout: Layout, forms: Forms, record: Any, as_json: object) -> str:
    """Return *record* as *forms* lay it out, or *as_json* for machines."""
    from hpmkd_edge.report.machine import to_json

    if layout is Layout.JSON:
        return to_json(as_json) + "\n"
    return {Layout.HTML: forms.to_html, Layout.MARKDOWN: forms.to_markdown, Layout.CSV: forms.to_csv}[layout](record)


def _check_one_run(folder: Path, reports: Sequence[Report]) -> None:
    """A run writes one report a target, each with an id of its own; what they share is the command and the data."""
    found = {(report.command, report.seed, report.data.sha256) for report in reports}
    if len(found) > 1:
        raise BadReport(f"{folder.absolute()} holds reports of {len(found)} runs; give the folder of each.")


def _schema_of(path: Path) -> str:
    """Return what a file says it is; one that this tool can lay out."""
    _, schema = read_named(path)
    if schema != RUN and (not isinstance(schema, str) or schema not in KINDS):
        raise BadReport(f"{path} has the schema {schema!r:.60}; one of {', '.join((RUN, *KINDS))} is needed.")
    return str(schema)


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return f'<meta name="generator" content="{GENERATOR} '.encode() in file.read(HEAD)
    except OSError:
        return False
