from __future__ import annotations

from config.load import load
from streams.configured import audit, definition


def digest(**overrides):
    settings = load(None, environment={}, overrides=overrides)
    return audit(settings, definition("cards", settings)).configuration


def test_an_alert_does_not_tell_on_which_port_its_worker_listened():
    assert digest() == digest(**{"metrics.port": 0, "kafka.bootstrap_servers": "elsewhere:9092", "checkpoint.interval": 1.0})


def test_a_setting_that_verdicts_depend_on_is_in_the_digest():
    assert digest() != digest(**{"cards.epsilon": 0.01})
