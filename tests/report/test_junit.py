"""The gate's JUnit XML: read back, it is the verdict; no name breaks it."""

import xml.etree.ElementTree as Xml
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from sample_records import BOARD, make_profile, make_report, make_target

from hpmkd_edge.report.gate import judge_again
from hpmkd_edge.report.junit import to_junit

REPORTS = [
    make_report(),
    make_report(profile=make_profile(ms=7.5)),
    make_report(profile=make_profile(ms=9.0)),
    make_report(make_target(device=BOARD)),
]
KINDS = {"failure": "broken", "error": "inconclusive", "system-out": "warned"}
# Of junit-10.xsd of Jenkins: what may stand in what, in this order, with which attributes.
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase", "system-out", "system-err"],
    "testcase": ["skipped", "error", "failure", "system-out", "system-err"],
    "properties": ["property"],
}
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors", "disabled"},
    "testsuite": {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname", "id", "package"},
    "testcase": {"name", "time", "classname", "assertions", "status"},
    "property": {"name", "value"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
}


def test_read_back_it_is_the_verdict():
    """A suite a report, a case a budget, counted; what is met stands without a word."""
    judged = judge_again(REPORTS, baselines=REPORTS[2:])
    root = Xml.fromstring(to_junit(judged))
    found = [
        [(case.get("name"), KINDS[case[0].tag] if len(case) else "met") for case in suite.iter("testcase")]
        for suite in root
    ]

    assert found == [[(one.budget, one.outcome.value) for one in gated.verdict.judgements] for gated in judged]
    for element in (root, *root):
        for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            assert int(element.get(attribute)) == len(list(element.iter(tag)))


def test_it_has_the_shape_that_ci_systems_read():
    """No element or attribute is where the schema of Jenkins has none."""
    for element in Xml.fromstring(to_junit(judge_again(REPORTS))).iter():
        places = [CHILDREN[element.tag].index(child.tag) for child in element]

        assert places == sorted(places)
        assert set(element.keys()) <= ATTRIBUTES.get(element.tag, set())


@given(st.text(st.characters(blacklist_categories=[]), max_size=20))
def test_no_name_breaks_the_file(name):
    """Markup is escaped; what XML has no way to write is replaced."""
    report = replace(REPORTS[0], data=replace(REPORTS[0].data, name=name))
    suite = Xml.fromstring(to_junit(judge_again([report])))[0]
    kept = "".join(letter if letter in "\t\n" or letter.isprintable() else "?" for letter in name)

    assert len(suite.get("name")) == len(f"{name} on host")
    assert kept != name or suite.get("name") == f"{name} on host"
