"""Scrape configuration, recording rules and alert rules: Prometheus' own tool reads them, and each alert is explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from streams.telemetry.metrics import MOST_SERIES, Metrics
from tests.deploy.worlds import everything

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here: apt install prometheus")


def promtool(*arguments, given=None):
    done = subprocess.run(
        ["promtool", *map(str, arguments)], input=given, capture_output=True, text=True, cwd=FOLDER, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules(name):
    """Every rule of a file."""
    told = msgspec.yaml.decode((FOLDER / "rules" / name).read_bytes())
    return [rule for group in told["groups"] for rule in group["rules"]]


@needs_promtool
@pytest.mark.parametrize("name", ["prometheus.yml", "localhost.yml"])
def test_prometheus_takes_the_configuration_and_its_rules(name):
    promtool("check", "config", name)


@needs_promtool
def test_every_alert_fires_where_it_should_and_not_where_it_should_not():
    promtool("test", "rules", "rules.test.yml")


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not():
    told = msgspec.yaml.decode((FOLDER / "rules.test.yml").read_bytes())
    tests = [each for test in told["tests"] for each in test["alert_rule_test"]]
    for rule in rules("alerts.yml"):
        mine = [test["exp_alerts"] for test in tests if test["alertname"] == rule["alert"]]
        assert any(mine), f"{rule['alert']} never fires"
        assert not all(mine), f"{rule['alert']} always fires"


def test_every_alert_says_what_it_is_how_bad_and_where_to_read_what_to_do():
    runbook = (ROOT / "deploy" / "README.md").read_text()
    headings = re.findall(r"^### (\w+)$", runbook, re.MULTILINE)
    names = [rule["alert"] for rule in rules("alerts.yml")]
    assert [name for name in headings if name.startswith("Nilometer")] == names or set(names) <= set(headings)
    for rule in rules("alerts.yml"):
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith((".", "?"))
        assert rule["annotations"]["runbook_url"] == f"deploy/README.md#{rule['alert'].lower()}"


def test_no_line_of_the_runbook_is_too_long_to_be_read_in_a_terminal():
    lines = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 140 and not line.startswith("|")] == []


@needs_promtool
def test_the_metrics_are_named_as_prometheus_wants_it():
    assert promtool("check", "metrics", given=everything()).strip() == ""


def test_a_worker_with_a_thousand_partitions_shows_no_more_series_than_it_may():
    metrics = Metrics()
    for number in range(1_000):
        for stream in ("sensors", "cards", "employees", "errors"):
            metrics.restored(stream, number, 0.1)
            metrics.checkpoint(stream, number, 1_000, 0.1)
            metrics.checkpointed(stream, number, 1.0)
            metrics.binned(stream, number, [1] * 4, [0] * 4)
    shown = [
        sample for family in metrics.registry.collect() for sample in family.samples if sample.labels and family.name != "nilometer_build"
    ]
    assert len(shown) <= MOST_SERIES
    assert metrics.registry.get_sample_value("nilometer_refused_series") > 0
    for number in range(1_000):
        metrics.forget("sensors", number)
    assert metrics.series.room.used < MOST_SERIES
    metrics.restored("sensors", 2_000, 0.1)
    assert metrics.registry.get_sample_value("nilometer_partition_ready", {"stream": "sensors", "partition": "2000"}) == 1
