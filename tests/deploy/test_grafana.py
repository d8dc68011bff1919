"""Dashboards: made by our code, and every query of theirs is one that Prometheus and our registry can answer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import promql_parser
import pytest
import yaml

from deploy.grafana import dashboards
from tests.deploy.worlds import registries

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
MADE = {name: json.loads(text) for name, text in dashboards.files().items()}
PANELS = [(name, panel) for name, told in MADE.items() for panel in told["panels"]]
FAMILIES = {family.name: family for registry in registries() for family in registry.collect()}
COUNTED = ("rate", "increase")  # what may look at a counter
KINDS = ("timeseries", "stat", "heatmap", "barchart")
UNITS = ("short", "s", "eps", "bytes", "percentunit")  # of Grafana's list


def plain(expr, **variables):
    """A query with Grafana's variables filled in."""
    chosen = {"__rate_interval": "1m", "sensor": ".*", "employee": "clerk-00", "stream": "errors", **variables}
    return re.sub(r"\$\{?(\w+)\}?", lambda found: chosen[found[1]], expr)


def queries():
    return [(f"{name}: {panel['title']}", plain(target["expr"])) for name, panel in PANELS for target in panel["targets"]]


def selectors(expr, inside=None):
    """Every metric that an expression reads, with its matchers and the function it is read by."""
    if isinstance(expr, promql_parser.VectorSelector):
        yield expr, inside
    elif isinstance(expr, promql_parser.MatrixSelector):
        yield expr.vector_selector, inside
    elif isinstance(expr, promql_parser.Call):
        for each in expr.args:
            yield from selectors(each, expr.func.name)
    else:
        for part in ("expr", "lhs", "rhs"):
            if hasattr(expr, part):
                yield from selectors(getattr(expr, part), None)


def family_of(name):
    """A metric's family in our registries, and the labels that a series of it has."""
    for suffix in ("", "_total", "_info", "_bucket", "_count", "_sum"):
        family = FAMILIES.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        samples = [sample for sample in family.samples if sample.name == name] if family else []
        if samples:
            return family, set(samples[0].labels)
    raise AssertionError(f"{name}: no such metric of ours")


def test_the_json_is_what_the_code_makes():
    for name, text in dashboards.files().items():
        assert (FOLDER / "dashboards" / name).read_text() == text, "python -m deploy.grafana.dashboards"
    assert {path.name for path in (FOLDER / "dashboards").iterdir()} == set(MADE)


@pytest.mark.parametrize(("where", "expr"), queries())
def test_every_query_reads_metrics_of_ours_and_counters_only_by_their_rate(where, expr):
    found = list(selectors(promql_parser.parse(expr)))
    assert found
    for selector, by in found:
        if selector.name == "ALERTS":
            continue
        family, labels = family_of(selector.name)
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels
        if family.type in ("counter", "histogram"):
            assert by in COUNTED, f"{where}: {selector.name} is a counter"
        else:
            assert by not in COUNTED, f"{where}: {selector.name} is no counter"


@pytest.mark.parametrize("name", MADE)
def test_every_panel_says_what_it_asks_in_which_unit_and_of_whom(name):
    told = MADE[name]
    assert told["description"]
    assert told["title"].startswith("Nilometer / ")
    for panel in told["panels"]:
        assert panel["title"]
        assert panel["description"].endswith((".", "?"))
        assert panel["type"] in KINDS
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["legendFormat"]
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    names = [panel["title"] for panel in told["panels"]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", MADE)
def test_the_data_source_is_a_choice_and_so_is_every_variable_that_a_query_names(name):
    told = MADE[name]
    variables = {each["name"]: each for each in told["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    text = json.dumps([panel["targets"] for panel in told["panels"]])
    named = set(re.findall(r"\$\{?(\w+)\}?", text)) - {"__rate_interval"}
    assert named <= set(variables)
    for each in variables.values():
        if each["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", each["query"]["query"]).groups()
            assert label in family_of(metric)[1]


@pytest.mark.parametrize("name", MADE)
def test_panels_do_not_overlap_and_have_numbers_of_their_own(name):
    panels = MADE[name]["panels"]
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_grafana_is_told_where_its_data_source_and_its_dashboards_are():
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/nilometer.yaml").read_text())["providers"]
    assert source["type"] == "prometheus"
    composed = (FOLDER.parent / "compose.yaml").read_text()
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in composed
    assert "./grafana/provisioning:/etc/grafana/provisioning:ro" in composed


def test_uids_are_our_own_and_differ():
    uids = [told["uid"] for told in MADE.values()]
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch(r"nilometer-[a-z]{1,30}", uid) for uid in uids)
