"""The gate's verdicts as JUnit XML, which most CI systems show: a suite a report, a case a budget.

The shape is that of `junit-10.xsd` of https://github.com/jenkinsci/xunit-plugin: properties, cases, what is said.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as Xml
from collections.abc import Sequence
from typing import Final

from hpmkd_edge.report.gate import Gated
from hpmkd_edge.report.gate_text import beaten, title
from hpmkd_edge.verdict import Judgement, Outcome

# XML 1.0 has no way to write these, not even escaped: https://www.w3.org/TR/xml/#charsets
_UNWRITABLE: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(judged: Sequence[Gated]) -> str:
    """Return the verdicts of all reports: broken is a failure, inconclusive an error, warned passes and is told."""
    root = Xml.Element("testsuites", {"name": "hpmkd-edge gate", **_counts(judged)})
    for gated in judged:
        report = gated.report
        name = f"{report.data.name} on {report.target}"
        host = _clean(report.profile.host.name)
        suite = Xml.SubElement(root, "testsuite", {"name": _clean(name), **_counts([gated]), "hostname": host})
        properties = Xml.SubElement(suite, "properties")
        for key, value in (("student", title(gated)), ("student sha256", report.student_sha256)):
            Xml.SubElement(properties, "property", {"name": key, "value": _clean(value)})
        for one in gated.verdict.judgements:
            _add_case(suite, one, _clean(name))
        if said := beaten(gated):
            Xml.SubElement(suite, "system-out").text = _clean("\n".join(said))
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Xml.tostring(root, encoding="unicode")}\n'


def _add_case(suite: Xml.Element, judged: Judgement, name: str) -> None:
    case = Xml.SubElement(suite, "testcase", {"classname": name, "name": _clean(judged.budget), "time": "0"})
    reason = _clean(judged.reason)
    if judged.outcome is Outcome.BROKEN:
        Xml.SubElement(case, "failure", {"type": "broken", "message": reason}).text = reason
    elif judged.outcome is Outcome.INCONCLUSIVE:
        Xml.SubElement(case, "error", {"type": "inconclusive", "message": reason}).text = reason
    elif judged.outcome is Outcome.WARNED:
        Xml.SubElement(case, "system-out").text = f"warned: {reason}"


def _counts(judged: Sequence[Gated]) -> dict[str, str]:
    outcomes = [one.outcome for gated in judged for one in gated.verdict.judgements]
    return {
        "tests": f"{len(outcomes)}",
        "failures": f"{outcomes.count(Outcome.BROKEN)}",
        "errors": f"{outcomes.count(Outcome.INCONCLUSIVE)}",
        "time": "0",
    }


def _clean(text: str) -> str:
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)
