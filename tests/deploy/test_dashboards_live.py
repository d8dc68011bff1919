"""The demo, a relay, a real Prometheus beside them, and every query of every panel: all of them have something to show."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

from streams.relay.webhook import Webhook
from streams.telemetry.health import HealthServer
from tests.deploy.test_grafana import PANELS, plain
from tests.streams.relays import MemoryInbox, Receiver, Topics, World, alert

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240.0  # s until kernels are compiled, keys are warm, a model has been trained
QUIET = {"sensor": ".*", "employee": "clerk-00"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not here: apt install prometheus"),
]


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Prometheus:
    """A server that scrapes these ports each second, with our rules."""

    def __init__(self, folder, *targets):
        self.port = free_port()
        config = yaml.safe_load((ROOT / "deploy/prometheus/localhost.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(ROOT / "deploy/prometheus/rules/*.yml")]
        config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{target}" for target in targets]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.log = (folder / "prometheus.log").open("w")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=self.log, stderr=self.log,
        )  # fmt: skip

    def ask(self, expr):
        """The samples of a query now: [(labels, value)]; None while it does not answer."""
        address = f"http://127.0.0.1:{self.port}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                raise AssertionError(f"{expr}: {refused.read().decode()}") from refused
        except OSError:
            return None
        return [(each["metric"], float(each["value"][1])) for each in told["data"]["result"]]

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()


class Relay(threading.Thread):
    """A courier on alert topics in memory that tells a webhook of an episode twice a second; every fourth post fails at first."""

    def __init__(self, hook):
        super().__init__(daemon=True)
        self.world, self.topics, self.hook = World(resend=1.0, backoff=0.01), Topics(), hook
        self.topics.say(alert("0"))
        self.inbox = MemoryInbox(self.topics)
        self.world.metrics.begin("webhook-here")
        self.health = HealthServer("127.0.0.1", 0, self.world.metrics.registry, lambda: (True, {}), lambda: (True, {}))

    def run(self):
        courier = Webhook("webhook-here", self.inbox, self.world.around(), self.hook.url)
        poll = self.inbox.poll

        def slow(seconds, *, paused=False):
            if not paused:
                time.sleep(0.5)
                self.world.now = time.time()
                name = str(len(self.topics.logs["alerts.sensors", 0]))
                self.topics.say(alert(name, at=self.world.now), at=self.world.now)
                self.hook.script += [] if int(name) % 4 else [500]
            return poll(0.0, paused=paused)

        self.inbox.poll = slow
        courier.run()

    def close(self):
        self.world.stop()
        self.join(60)
        self.health.close()


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """What each panel's query has found by the end: asked again and again, until all have something or patience is over."""
    folder = tmp_path_factory.mktemp("prometheus")
    port = free_port()
    environment = {**os.environ, "NILOMETER_METRICS__PORT": str(port)}
    command = [sys.executable, "-m", "streams.cli.main", "demo", "--headless", "--seconds", "600"]
    with (folder / "demo.log").open("w") as said, Receiver() as hook:
        relay = Relay(hook)
        relay.start()
        demo = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        prometheus = Prometheus(folder, port, relay.health.port)
        found = {}
        try:
            until = time.monotonic() + PATIENCE
            wanted = {plain(target["expr"], **QUIET) for _, panel in PANELS for target in panel["targets"]}
            while time.monotonic() < until and demo.poll() is None:
                found = {expr: prometheus.ask(expr) for expr in wanted}
                if all(told is not None and any(not math.isnan(value) for _, value in told) for told in found.values()):
                    break
                time.sleep(1.0)
            assert demo.poll() is None, (folder / "demo.log").read_text()
            found |= {expr: prometheus.ask(expr) for expr in ("up", 'ALERTS{alertstate="firing"}')}
        finally:
            demo.terminate()
            demo.wait(timeout=120)
            prometheus.close()
            relay.close()
    return found


@pytest.mark.parametrize(("name", "title", "expr"), [
    (name, panel["title"], plain(target["expr"], **QUIET)) for name, panel in PANELS for target in panel["targets"]
])  # fmt: skip
def test_every_query_of_every_panel_has_something_to_show(asked, name, title, expr):
    told = asked[expr]
    assert told, f"{name}: {title}: nothing"
    assert any(not math.isnan(value) for _, value in told), f"{name}: {title}: not a number"


def test_a_demo_that_is_well_alerts_nobody_about_itself(asked):
    assert [value for _, value in asked["up"]] == [1.0, 1.0]
    firing = {labels["alertname"] for labels, _ in asked['ALERTS{alertstate="firing"}']}
    assert firing <= {"NilometerAlertBurst"}  # the demo is a day's alerts a second
