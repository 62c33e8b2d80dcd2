"""The evidence of an ablation as one page that needs nothing beside it: text, tables, figures and their script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpmkd_edge.evidence import ARMS, FULL, ArmSummary, Evidence, Word
from hpmkd_edge.report.ablation_text import (
    SYMBOLS,
    accuracies,
    caveats,
    full_trainings,
    gains,
    lead,
    made,
    part,
    runs,
    teachers,
    title,
)
from hpmkd_edge.report.figures import SCORES, score

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Read on white and on near-black alike.
COLORS: Final[dict[Word, str]] = {
    "gain": "#1f9d63",
    "no gain": "#7f8794",
    "no difference": "#7f8794",
    "inconclusive": "#b57f1c",
    "loss": "#d64550",
}
MARKS: Final[dict[Word, str]] = {
    "gain": "triangle-up",
    "no gain": "square",
    "no difference": "diamond-open",
    "inconclusive": "circle-open",
    "loss": "triangle-down",
}
PLAIN: Final = "#3f7fd0"
DOTS: Final = "#7f8794"
ROW_PX: Final = 36
FRAME_PX: Final = 84

PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
:root { --ink: #1c2430; --soft: #5a6575; --line: #d9dee5; --paper: #fff; --panel: #f5f7f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --soft: #9aa5b4; --line: #353d49; --paper: #14181e; --panel: #1c222a; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .6rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .5rem; }
p, li { max-width: 44rem; }
.soft, figcaption { color: var(--soft); }
figcaption { font-size: .9rem; margin: .2rem 0 1.2rem; }
figure { margin: 0; }
.note { border-left: 4px solid #b57f1c; background: var(--panel); padding: .5rem .8rem; margin: .5rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
.wide td:first-child { white-space: nowrap; }
.wide td { overflow-wrap: anywhere; }
@media (max-width: 40rem) { .gains :is(td, th):nth-child(2) { display: none; } }
summary { cursor: pointer; font-weight: 600; margin: 2.4rem 0 .5rem; font-size: 1.15rem; }
{% for word, color in colors.items() %}
.{{ word.replace(" ", "-") }} { color: {{ color }}; font-weight: 600; }
{% endfor %}
.js-plotly-plot text { fill: var(--ink) !important; }
.js-plotly-plot .gridlayer path { stroke: var(--line) !important; }
.js-plotly-plot .zerolinelayer path { stroke: var(--soft) !important; }
</style>
<script>{{ plotly_js }}</script>
</head>
<body>
{% macro table(grid, words=()) %}
<div class="scroll"><table{% if words %} class="gains"{% elif not grid.header[0] %} class="wide"{% endif %}>
{% if grid.header[0] %}
<thead><tr>{% for name in grid.header %}<th scope="col"
{%- if name in grid.numbers %} class="number"{% endif %}>{{ name }}</th>{% endfor %}</tr></thead>
{% endif %}
<tbody>
{% for row in grid.rows %}
{% set word = words[loop.index0] if words else none %}
<tr>{% for cell in row %}<td
{%- if grid.header[loop.index0] in grid.numbers %} class="number"
{%- elif loop.last and word %} class="{{ word.replace(" ", "-") }}"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
<h1>{{ title }}</h1>
<p>{{ lead }}</p>
{% for note in notes %}<p class="note">{{ note }}</p>
{% endfor %}
<h2>{{ gains.title }}</h2>
<figure>{{ forest }}<figcaption>Points on test rows: the mean over the seeds with its 95 % interval, and each seed
as a dot. To the right of 0 the part is worth having.</figcaption></figure>
{{ table(gains, words) }}
<h2>{{ accuracies.title }}</h2>
<figure>{{ strip }}<figcaption>The exported file on test rows with each seed as a dot, and their mean as a bar.
</figcaption></figure>
<figure>{{ times }}<figcaption>Seconds of student trainings, mean over the seeds.</figcaption></figure>
{{ table(accuracies) }}
<h2>How to read this</h2>
<ul>{% for caveat in caveats %}<li>{{ caveat }}</li>{% endfor %}</ul>
<h2>{{ teachers.title }}</h2>
{{ table(teachers) }}
<details><summary>{{ runs.title }}</summary>
{{ table(runs) }}
</details>
<h2>{{ made.title }}</h2>
{{ table(made) }}
</body>
</html>
"""


def to_html(evidence: Evidence) -> str:
    """Return *evidence* as one page that is read without a network."""
    from jinja2 import Environment
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    return page.render(
        title=title(evidence),
        lead=lead(evidence),
        notes=evidence.notes,
        colors=COLORS,
        words=[one.word for one in evidence.summary if one.arm != FULL],
        gains=gains(evidence),
        accuracies=accuracies(evidence),
        caveats=caveats(evidence),
        teachers=teachers(evidence),
        runs=runs(evidence),
        made=made(evidence),
        # Plotly's own script and what it writes; no name that a user gave is in a figure.
        plotly_js=Markup(get_plotlyjs()),  # noqa: S704
        forest=_embedded(forest(evidence), "forest"),
        strip=_embedded(strip(evidence), "strip"),
        times=_embedded(times(evidence), "times"),
    )


def forest(evidence: Evidence) -> Figure:
    """Draw each gain with its interval, and those of the single seeds; what does not apply is left to the table."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    shown = [one for one in evidence.summary if one.word is not None]
    for one in shown:
        assert one.word is not None
        assert one.points is not None
        assert one.low is not None
        assert one.high is not None
        differences = evidence.differences(one.arm)
        name, color = part(one.arm), COLORS[one.word]
        figure.add_trace(
            Scatter(
                x=[one.points],
                y=[name],
                mode="markers",
                marker={"color": color, "size": 13, "symbol": MARKS[one.word], "line": {"width": 2, "color": color}},
                error_x={
                    "type": "data",
                    "array": [one.high - one.points],
                    "arrayminus": [one.points - one.low],
                    "color": color,
                    "thickness": 2.5,
                    "width": 6,
                },
                hovertext=[f"{one.points:+.2f} ({one.low:+.2f} to {one.high:+.2f}), {SYMBOLS[one.word]} {one.word}"],
                hoverinfo="text",
            )
        )
        figure.add_trace(
            Scatter(
                x=differences,
                y=[name] * len(differences),
                mode="markers",
                marker={"color": DOTS, "size": 6, "opacity": 0.9},
                hovertext=[
                    f"seed {seed}: {points:+.2f}" for seed, points in zip(evidence.seeds, differences, strict=True)
                ],
                hoverinfo="text",
            )
        )
    return _laid_out(figure, len(shown), "points", zero=True)


def strip(evidence: Evidence) -> Figure:
    """Draw each arm's accuracy with every seed, in percent, or its R²."""
    from plotly.graph_objects import Figure, Scatter

    figure, goal = Figure(), evidence.basis.data.goal
    times = 100 if goal == "classes" else 1
    shown = _run_arms(evidence)
    for one in shown:
        found = [times * run.test_accuracy for run in evidence.runs_of(one.arm)]
        name = ARMS[one.arm]
        for values, texts, marker in (
            (
                found,
                [
                    f"seed {seed}: {score(value / times, goal)}"
                    for seed, value in zip(evidence.seeds, found, strict=True)
                ],
                {"color": PLAIN, "size": 8, "opacity": 0.5},
            ),
            (
                [times * one.accuracy],
                [f"mean {score(one.accuracy, goal)}"],
                {"symbol": "line-ns", "size": 18, "line": {"width": 3, "color": PLAIN}},
            ),
        ):
            figure.add_trace(
                Scatter(
                    x=values, y=[name] * len(values), mode="markers", marker=marker, hovertext=texts, hoverinfo="text"
                )
            )
    return _laid_out(figure, len(shown), f"test {SCORES[goal]}{', %' if goal == 'classes' else ''}")


def times(evidence: Evidence) -> Figure:
    """Draw how long each arm trains students."""
    from plotly.graph_objects import Bar, Figure

    shown = _run_arms(evidence)
    figure = Figure(
        Bar(
            x=[one.seconds for one in shown],
            y=[ARMS[one.arm] for one in shown],
            orientation="h",
            marker={"color": PLAIN},
            hovertext=[
                f"{one.seconds:,.1f} s, {one.trainings:.3g} trainings, {full_trainings(one, evidence)} full ones"
                for one in shown
            ],
            hoverinfo="text",
        )
    )
    return _laid_out(figure, len(shown), "s")


def _run_arms(evidence: Evidence) -> list[ArmSummary]:
    return [one for one in evidence.summary if one.moot is None]


def _laid_out(figure: Figure, rows: int, unit: str, *, zero: bool = False) -> Figure:
    figure.update_layout(
        height=FRAME_PX + ROW_PX * max(rows, 1),
        margin={"l": 8, "r": 16, "t": 8, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
        dragmode=False,
        template="none",
    )
    figure.update_xaxes(title=unit, automargin=True, zeroline=zero, zerolinewidth=2, fixedrange=True, nticks=7)
    figure.update_yaxes(autorange="reversed", automargin=True, ticksuffix="  ", fixedrange=True, type="category")
    return figure


def _embedded(figure: Figure, name: str) -> Any:
    from markupsafe import Markup
    from plotly.io import to_html as figure_to_html

    text = figure_to_html(
        figure,
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={"displayModeBar": False, "responsive": True},
    )
    return Markup(text)  # noqa: S704
