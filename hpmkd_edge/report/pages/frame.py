"""What all pages are made of: the document, its tables, figures, banners and badges; one file, and no network.

A body is put together from the parts below. A text that is no `Markup` is escaped wherever it is put:

    >>> from hpmkd_edge.report.pages.frame import page, section, table
    >>> from hpmkd_edge.report.rows import Grid
    >>> grid = Grid(title="Sizes", header=("size", "MB"), numbers=("MB",), rows=(("32x3", "1.2"), ("16x1", "0.4")))
    >>> page("Two sizes", section("Sizes", table(grid)), data={"sizes": 2})[:15]
    '<!doctype html>'
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from hpmkd_edge import __version__
from hpmkd_edge.report.rows import SYMBOLS, Grid
from hpmkd_edge.verdict import Outcome, Provenance

if TYPE_CHECKING:
    from jinja2 import Environment
    from plotly.graph_objects import Figure

# By it a page is known as ours, and may be replaced.
GENERATOR: Final = "hpmkd-edge"

# A shape beside the word and the color: full where it was measured, empty where it was not.
PROVENANCES: Final = {
    Provenance.MEASURED: "●",
    Provenance.TRANSFERRED: "◐",
    Provenance.PREDICTED: "○",
    Provenance.UNKNOWN: "?",
}
PLOT: Final = 'class="plot"'


def page(title: str, body: Markup, *, data: Any, lead: str = "", name: str = "data") -> str:
    """Return a whole document; Plotly's script is in it where *body* holds a figure.

    Args:
        data: what the page shows, as JSON's types; the reader can save it. NaN and infinities are refused.
        lead: a sentence or two under the title.
        name: of the file that the data is saved to, without ".json".

    Raises:
        ValueError: a number in *data* is not finite.
    """
    scripts = [Markup(_source("page.js"))]  # noqa: S704  our own file
    if PLOT in body:
        from plotly.offline import get_plotlyjs

        scripts.insert(0, Markup(get_plotlyjs()))  # noqa: S704  Plotly's own file
    document = render(
        "page.html.j2",
        title=title,
        lead=lead,
        body=body,
        data=_json(data),
        name=name,
        scripts=scripts,
        hashes=[_hash(script) for script in scripts],
        style=Markup(_source("page.css")),  # noqa: S704  our own file
        generator=GENERATOR,
        version=__version__,
    )
    return str(document)


def figure(figure: Figure, name: str, caption: str) -> Markup:
    """Embed a figure of Plotly as the element *name*; *caption* says what is seen, for those too who do not see it.

    Every text in the figure is shown as it is, and a line feed in it begins a line: no name is read as markup, which
    Plotly would do in part. So a figure has no `hovertemplate`, whose markup would be shown as well.
    """
    drawn = json.loads(figure.to_json())
    return render("figure.html.j2", name=name, caption=caption, figure=_json(_shown_plainly(drawn)))


def table(
    grid: Grid,
    *,
    name: str = "",
    sortable: bool = True,
    marks: Sequence[str] = (),
    titled: bool = False,
) -> Markup:
    """Lay out *grid*, whose cells may be `Markup`; the reader sorts it by its header, numbers as numbers.

    A number is the first in its cell, whatever unit follows; a cell without one comes last.

    Args:
        name: the id of the table's element, for links and tests.
        sortable: off where the rows have an order, or are of different things. A table of one row is not sortable.
        marks: a class for each row, of page.css: "dim", or an outcome's value.
        titled: show the grid's title above; else it is for screen readers alone.
    """
    return render(
        "table.html.j2",
        grid=grid,
        name=name,
        sortable=sortable and len(grid.rows) > 1,
        marks=list(marks) or [""] * len(grid.rows),
        titled=titled,
    )


def banner(outcome: Outcome, text: str) -> Markup:
    """Return *text* large, with the color and the symbol of *outcome*."""
    return render("banner.html.j2", outcome=outcome.value, symbol=SYMBOLS[outcome], text=text)


def badge(provenance: Provenance) -> Markup:
    """Return where a number comes from, as a small mark beside it."""
    return Markup('<span class="badge {0}"><span aria-hidden="true">{1}</span> {0}</span>').format(
        provenance.value, PROVENANCES[provenance]
    )


def worded(outcome: Outcome) -> Markup:
    """Return an outcome's symbol and word in its color, for a cell."""
    return Markup('<span class="word {0}">{1} {0}</span>').format(outcome.value, SYMBOLS[outcome])


def section(title: str, *parts: str, name: str = "", level: int = 2) -> Markup:
    """Return a heading of *level* and what is under it; *name* is its id."""
    named = Markup(' id="{}"').format(name) if name else ""
    return Markup("<section{0}><h{1}>{2}</h{1}>\n{3}</section>\n").format(named, level, title, joined(parts))


def folded(title: str, *parts: str) -> Markup:
    """Return what a reader opens if it matters to them; on paper it is open."""
    return Markup("<details><summary>{}</summary>\n{}</details>\n").format(title, joined(parts))


def paragraph(text: str, kind: str = "") -> Markup:
    """Return a paragraph; *kind* is "note" for what must not be missed, "soft" for what may."""
    return Markup('<p class="{}">{}</p>\n').format(kind, text) if kind else Markup("<p>{}</p>\n").format(text)


def joined(parts: Sequence[str]) -> Markup:
    """Return *parts* one after the other; what is no `Markup` is escaped."""
    return Markup("").join(parts)


def render(template: str, **values: Any) -> Markup:
    """Fill a template of this folder; what is no `Markup` is escaped."""
    # The template escapes what it is given.
    return Markup(_templates().get_template(template).render(**values))  # noqa: S704


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


@cache
def _source(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _json(value: Any) -> Markup:
    """Return JSON that no text in it can end: `<` and `&` are written as their numbers."""
    from jinja2.utils import htmlsafe_json_dumps

    return htmlsafe_json_dumps(value, allow_nan=False, separators=(",", ":"))


def _hash(script: str) -> str:
    """Return what the document allows to run, and nothing else: the hash of a script's own text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _shown_plainly(drawn: Any) -> Any:
    if isinstance(drawn, str):
        return escape(drawn, quote=False).replace("\n", "<br>")
    if isinstance(drawn, dict):
        return {key: _shown_plainly(item) for key, item in drawn.items()}
    return [_shown_plainly(item) for item in drawn] if isinstance(drawn, list) else drawn
