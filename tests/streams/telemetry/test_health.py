from __future__ import annotations

import urllib.error
import urllib.request
from functools import partial

import numpy as np
import pytest
from prometheus_client import Histogram

from config.load import defaults
from streams.configured import definition
from streams.durable.parked import Cause, Parked
from streams.partition import Counts
from streams.telemetry.health import HealthServer, PortError
from streams.telemetry.metrics import Metrics
from streams.telemetry.series import observe


@pytest.fixture
def served():
    metrics = Metrics()
    answers = {"health": (True, {"crashed": None}), "ready": (False, {"folding": {}})}
    server = HealthServer("127.0.0.1", 0, metrics.registry, lambda: answers["health"], lambda: answers["ready"])
    yield metrics, answers, lambda path: fetched(server.port, path)
    server.close()


def fetched(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_tells_whether_it_lives_and_whether_it_folds(served):
    _, answers, get = served
    assert get("/healthz") == (200, '{"crashed": null}\n')
    assert get("/readyz")[0] == 503
    answers["ready"] = (True, {"folding": {"sensors": [0]}})
    assert get("/readyz") == (200, '{"folding": {"sensors": [0]}}\n')


def test_it_serves_nothing_else(served):
    _, _, get = served
    assert get("/")[0] == 404
    assert get("/metrics/../etc/passwd")[0] == 404


def test_it_is_bound_to_loopback_unless_a_setting_says_otherwise(served):
    assert defaults().metrics.host == "127.0.0.1"
    assert defaults().relay.host == "127.0.0.1"
    metrics, _, _ = served
    server = HealthServer(defaults().metrics.host, 0, metrics.registry, lambda: (True, {}), lambda: (True, {}))
    try:
        assert server._server.socket.getsockname()[0] == "127.0.0.1"
    finally:
        server.close()


def test_metrics_speak_of_streams_and_never_of_keys(served):
    metrics, _, get = served
    metrics.seen("cards", 1, Counts(events=10, tested=8, alert_rows=2), keys=5, open_episodes=1)
    metrics.observe_p_values("cards", np.array([0.0005, 0.4, np.nan, 1.0]))
    _, text = get("/metrics")
    assert 'nilometer_realised_alert_ratio{partition="1",stream="cards"} 0.25' in text
    assert 'nilometer_p_value_bucket{le="0.001",stream="cards"} 1.0' in text
    assert 'nilometer_p_value_count{stream="cards"} 3.0' in text
    assert "card_id" not in text


def test_a_taken_port_says_which_setting_chooses_another(served):
    metrics, _, _ = served
    first = HealthServer("127.0.0.1", 0, metrics.registry, lambda: (True, {}), lambda: (True, {}))
    with pytest.raises(PortError, match=r"metrics\.port"):
        HealthServer("127.0.0.1", first.port, metrics.registry, lambda: (True, {}), lambda: (True, {}))
    first.close()


def test_what_was_said_of_a_partition_goes_with_it(served):
    metrics, _, get = served
    metrics.seen("cards", 1, Counts(events=10, tested=8, alert_rows=2), keys=5, open_episodes=1)
    metrics.seen("cards", 2, Counts(events=10, tested=8, alert_rows=2), keys=5, open_episodes=1)
    metrics.forget("cards", 1)
    metrics.forget("cards", 1)
    _, text = get("/metrics")
    assert 'nilometer_keys{partition="1"' not in text
    assert 'nilometer_keys{partition="2",stream="cards"} 5.0' in text


def test_metrics_are_for_this_machine_alone_unless_a_setting_says_otherwise(served):
    assert defaults().metrics.host == "127.0.0.1"
    assert defaults().metrics.watch == ()


def test_what_has_not_happened_yet_stands_at_zero():
    metrics = Metrics()
    metrics.begin(definition("cards", defaults()))
    sample = metrics.registry.get_sample_value
    first = {"stream": "cards", "test": "unusualness", "phase": "opened", "severity": "warning"}
    assert sample("nilometer_alerts_total", first) == 0
    assert sample("nilometer_dead_letters_total", {"stream": "cards"}) == 0
    assert sample("nilometer_promised_alert_ratio", {"stream": "cards"}) == 0.001


def test_a_parked_partition_is_shown_with_its_cause_until_it_is_not():
    metrics = Metrics()
    labels = {"stream": "cards", "partition": "1", "cause": "moved"}
    metrics.waits("cards", 1, Parked(Cause.MOVED, "somebody moved it"))
    assert metrics.registry.get_sample_value("nilometer_partition_parked", labels) == 1
    assert metrics.registry.get_sample_value("nilometer_partition_ready", {"stream": "cards", "partition": "1"}) == 0
    metrics.waits("cards", 1, None)
    assert metrics.registry.get_sample_value("nilometer_partition_parked", labels) is None


def test_a_checkpoint_grows_old_though_nobody_says_so():
    metrics = Metrics()
    metrics.checkpointed("cards", 1, 100.0)
    age = partial(metrics.registry.get_sample_value, "nilometer_checkpoint_age_seconds", {"stream": "cards", "partition": "1"})
    first = age()
    assert 100.0 <= first <= age()
    metrics.forget("cards", 1)
    assert age() is None


def test_values_are_counted_in_the_buckets_that_one_by_one_they_would_be_in():
    one, many = (Histogram("name", "Text.", registry=None, buckets=(0.1, 1.0, 10.0)) for _ in range(2))
    values = np.array([0.1, 0.05, 1.0, 1.5, 11.0, np.nan, 0.1000001])
    for value in values[~np.isnan(values)].tolist():
        one.observe(value)
    observe(many, values)
    assert [sample.value for sample in many.collect()[0].samples] == [sample.value for sample in one.collect()[0].samples]
