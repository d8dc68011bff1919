"""The chart, linted and rendered by helm itself, and every object of it held against Kubernetes' own schemas.

helm is found in .venv/bin (`make deploy-tools` builds it there from its Go module) or on the path.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from config.load import load
from streams.cli.worker import LEAVE_SECONDS
from streams.engine import create_app
from streams.watchdog import TOO_LONG
from tests.deploy.commands import accepted

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "kubernetes" / "nilometer"
HELM = shutil.which("helm", path=os.pathsep.join([str(Path(sys.executable).parent), str(ROOT / ".venv/bin"), os.environ.get("PATH", "")]))
KUBERNETES = "1.31.0"
OF_OPERATORS = {("monitoring.coreos.com/v1", "PodMonitor"), ("keda.sh/v1alpha1", "ScaledObject")}  # Kubernetes ships no schema for them
CONFIG = "[streams]\npartitions = 12\n[sensors.class.pump]\nlength = 100\n[cards]\nalerts_per_day = 5.0\n"
EVERYTHING = {
    "imagePullSecrets": [{"name": "registry"}],
    "image": {"digest": "sha256:" + "0" * 64},
    "kafka": {"bootstrapServers": "kafka-0:9093,kafka-1:9093", "prefix": "plant-1."},
    "config": CONFIG,
    "secretEnv": {"NILOMETER_KAFKA__SASL_PASSWORD": {"name": "login", "key": "password"}},
    "tlsSecret": "kafka-tls",
    "topics": {"job": "check"},
    "worker": {
        "replicas": 3,
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "streams", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"a": "b"}}}
        ],
        "priorityClassName": "high",
    },
    "relay": {"enabled": True, "alertmanagers": "http://alertmanager-0:9093,http://alertmanager-1:9093"},
    "metrics": {"podMonitor": True},
    "networkPolicy": {"enabled": True},
}
VALUES = {
    "as it comes": {},
    "with everything": EVERYTHING,
    "scaled by KEDA": {"autoscaling": {"kind": "keda"}},
    "scaled by an external metric": {"autoscaling": {"kind": "hpa"}},
    "with nothing": {"topics": {"job": ""}, "metrics": {"annotations": False}},
}  # fmt: skip


def helm(*arguments, values=None, code=0):
    if HELM is None:
        if os.environ.get("CI", "").lower() in ("1", "true") and (shutil.which("go") or Path("/usr/local/go/bin/go").exists()):
            pytest.fail("CI must render the chart: make deploy-tools")
        pytest.skip("no helm: make deploy-tools builds it from its Go module (needs Go)")
    done = subprocess.run(
        [HELM, *arguments, *(["--values", "-"] if values is not None else [])],
        input=None if values is None else yaml.safe_dump(values),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + ("" if code == 0 else done.stderr)


def rendered(values):
    text = helm("template", "plant", str(CHART), "--namespace", "streams", "--kube-version", KUBERNETES, values=values)
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text) if each}


@pytest.fixture(scope="module")
def charts():
    return {name: rendered(values) for name, values in VALUES.items()}


def pods(objects):
    return [each["spec"]["template"]["spec"] for (kind, _), each in objects.items() if kind in ("Deployment", "Job")]


@pytest.mark.parametrize("name", VALUES)
def test_helm_finds_no_fault(name):
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), values=VALUES[name])


@pytest.mark.parametrize("name", VALUES)
def test_every_object_is_what_kubernetes_knows(charts, name):
    known = 0
    for each in charts[name].values():
        if (each["apiVersion"], each["kind"]) not in OF_OPERATORS:
            kubernetes_validate.validate(each, KUBERNETES[:4], strict=True)
            known += 1
    assert known >= (3 if name == "with nothing" else 5)


def test_what_can_be_switched_on_is_there_and_what_is_off_is_not(charts):
    kinds = {name: sorted(kind for kind, _ in objects) for name, objects in charts.items()}
    assert kinds["with nothing"] == ["ConfigMap", "Deployment", "PodDisruptionBudget"]
    assert kinds["as it comes"] == ["ConfigMap", "ConfigMap", "Deployment", "Job", "PodDisruptionBudget"]
    assert set(kinds["with everything"]) - set(kinds["as it comes"]) == {"NetworkPolicy", "PodMonitor"}
    assert kinds["with everything"].count("Deployment") == 2
    assert set(kinds["scaled by KEDA"]) - set(kinds["as it comes"]) == {"ScaledObject"}
    assert set(kinds["scaled by an external metric"]) - set(kinds["as it comes"]) == {"HorizontalPodAutoscaler"}


def test_nothing_may_more_than_it_must(charts):
    for objects in charts.values():
        for pod in pods(objects):
            assert pod["automountServiceAccountToken"] is False
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in pod["containers"]:
                secure = container["securityContext"]
                assert secure == {
                    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
                }  # fmt: skip
                assert container["resources"]["requests"].keys() == {"cpu", "memory"}
                assert "memory" in container["resources"]["limits"]


def test_every_command_and_every_setting_is_ours(charts):
    for name, objects in charts.items():
        files = [each["data"]["nilometer.toml"] for (kind, _), each in objects.items() if kind == "ConfigMap"]
        assert [tomllib.loads(text) for text in files] == [tomllib.loads(VALUES[name].get("config", ""))] * len(files)
        for pod in pods(objects):
            for container in pod["containers"]:
                assert accepted(container["args"])
                environment = {each["name"]: each.get("value", "x") for each in container["env"]}
                environment.pop("NILOMETER_CONFIG")
                sasl = {"NILOMETER_KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "NILOMETER_KAFKA__SASL_USERNAME": "ann"}
                load(environment=environment | (sasl if "NILOMETER_KAFKA__SASL_PASSWORD" in environment else {}))


def test_the_configuration_is_read_as_it_was_given(charts, tmp_path):
    objects = charts["with everything"]
    file = tmp_path / "nilometer.toml"
    file.write_text(objects["ConfigMap", "plant-nilometer"]["data"]["nilometer.toml"])
    settings = load(file, environment={})
    assert settings.streams.partitions == 12
    assert dict(settings.sensors.classes)["pump"].length == 100
    (secret,) = [
        each for each in pods(objects)[0]["containers"][0]["env"] if each["name"] == "NILOMETER_KAFKA__SASL_PASSWORD"
    ]  # fmt: skip
    assert secret["valueFrom"] == {"secretKeyRef": {"name": "login", "key": "password"}}


def test_a_worker_has_time_for_its_last_words_and_to_be_found_stuck(charts):
    worker = charts["as it comes"]["Deployment", "plant-nilometer-worker"]["spec"]["template"]["spec"]
    last_checkpoint = 0.5 * create_app(name="n", broker_url="memory://chart").conf.broker_rebalance_timeout
    assert worker["terminationGracePeriodSeconds"] > last_checkpoint + LEAVE_SECONDS
    probes = worker["containers"][0]
    assert probes["livenessProbe"]["httpGet"]["path"] == probes["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert probes["startupProbe"]["periodSeconds"] * probes["startupProbe"]["failureThreshold"] >= 120
    assert probes["livenessProbe"]["periodSeconds"] * probes["livenessProbe"]["failureThreshold"] >= 0.5 * TOO_LONG
    too_short = {"worker": {"terminationGracePeriodSeconds": 30}}
    assert "terminationGracePeriodSeconds" in helm("template", "plant", str(CHART), "--kube-version", KUBERNETES, values=too_short, code=1)


def test_one_worker_leaves_at_a_time(charts):
    objects = charts["as it comes"]
    assert objects["Deployment", "plant-nilometer-worker"]["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    budget = objects["PodDisruptionBudget", "plant-nilometer-worker"]["spec"]
    assert budget["maxUnavailable"] == 1
    template = objects["Deployment", "plant-nilometer-worker"]["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= template.items()


def test_a_scaler_looks_at_the_folds_lag_and_leaves_replicas_to_it(charts):
    for name in ("scaled by KEDA", "scaled by an external metric"):
        assert "replicas" not in charts[name]["Deployment", "plant-nilometer-worker"]["spec"]
    keda = charts["scaled by KEDA"]["ScaledObject", "plant-nilometer-worker"]["spec"]
    assert keda["scaleTargetRef"] == {"name": "plant-nilometer-worker"}
    assert keda["triggers"][0]["metadata"]["query"] == 'sum(nilometer_fold_lag_records{namespace="streams"})'
    hpa = charts["scaled by an external metric"]["HorizontalPodAutoscaler", "plant-nilometer-worker"]["spec"]
    assert hpa["metrics"][0]["external"]["metric"]["name"] == "nilometer_fold_lag_records"
    from streams.telemetry.metrics import Metrics

    assert "nilometer_fold_lag_records" in {family.name for family in Metrics().registry.collect()}


def test_what_is_open_to_the_outside_is_kafka_and_what_the_configuration_names():
    def ports(**more):
        objects = rendered({"networkPolicy": {"enabled": True, "registryPorts": [8081, 8443]}, **more})
        return [each["port"] for rule in objects["NetworkPolicy", "plant-nilometer"]["spec"]["egress"] for each in rule["ports"]]

    avro = '[kafka]\nvalue_format = "avro"\nschema_registry_url = "http://registry:8081"\n'
    assert ports() == [53, 53, 9092]
    assert ports(config=avro) == [53, 53, 9092, 8081, 8443]
    hidden = {"NILOMETER_KAFKA__SCHEMA_REGISTRY_URL": {"name": "registry", "key": "url"}}
    assert ports(secretEnv=hidden, relay={"enabled": True, "alertmanagers": "http://a:9093"}) == [53, 53, 9092, 8081, 8443, 9093, 443]


def test_pods_are_made_anew_when_the_configuration_changes_or_another_secret_is_named():
    def pods_of(**more):
        objects = rendered({"relay": {"enabled": True, "alertmanagers": "http://a:9093"}, **more})
        return [objects["Deployment", f"plant-nilometer-{name}"]["spec"]["template"] for name in ("worker", "relay")]

    password = "NILOMETER_KAFKA__SASL_PASSWORD"
    given = [{}, {"config": CONFIG}, {"secretEnv": {password: {"name": "login", "key": "password"}}},
             {"secretEnv": {password: {"name": "login-2", "key": "password"}}}]  # fmt: skip
    made = [pods_of(**more) for more in given]
    for before, after in itertools.combinations(made, 2):
        assert all(old != new for old, new in zip(before, after, strict=True))
    assert made[0] == pods_of()


def test_a_relay_without_a_destination_is_refused():
    nowhere = {"relay": {"enabled": True}}
    assert "nowhere to go" in helm("template", "plant", str(CHART), "--kube-version", KUBERNETES, values=nowhere, code=1)
    webhooks = {**nowhere, "secretEnv": {"NILOMETER_RELAY__WEBHOOKS": {"name": "hooks", "key": "urls"}}}
    assert "plant-nilometer-relay" in helm("template", "plant", str(CHART), "--kube-version", KUBERNETES, values=webhooks)


def test_a_misspelt_value_is_refused():
    assert "replica" in helm("template", "plant", str(CHART), "--kube-version", KUBERNETES, values={"worker": {"replica": 3}}, code=1)
