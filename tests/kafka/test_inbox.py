"""Where a relay begins that Kafka does not remember."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress

from kafka import KafkaAdminClient

from config.load import load
from streams.cli import brokers
from streams.relay.inbox import KafkaInbox, Reassigned
from tests.kafka.commands import PARTITIONS, here, installation
from tests.kafka.test_looking import send

PLACE = "alerts.sensors", 1


def polled(inbox):
    with suppress(Reassigned):
        inbox.poll(0.1)


@contextmanager
def opened(environment):
    inbox = KafkaInbox(load(None, environment=environment), "relay")
    try:
        end = time.monotonic() + 60
        while not inbox._consumer.assignment():
            polled(inbox)
            assert time.monotonic() < end
        yield inbox
    finally:
        inbox.close()


def test_a_group_that_kafka_does_not_know_is_told_of_with_what_to_do(kafka, capfd, monkeypatch):
    with installation(kafka, "sensors") as environment:
        here("topics", "create", **environment)
        with opened(environment) as inbox:
            assert inbox.begin() == {("alerts.sensors", number): 0 for number in range(PARTITIONS)}
            assert "no offset" not in capfd.readouterr().err  # nothing has ever been said
            send(environment, "alerts.sensors", *[(1, b"k", b"{}", [])] * 3)
            inbox.commit({PLACE: 2})
            with monkeypatch.context() as forgetting:
                forgetting.setattr(inbox._consumer, "committed", lambda tp: None)
                assert inbox.begin()[PLACE] == 2
            assert "goes on from 2, as we remember" in capfd.readouterr().err
        admin = KafkaAdminClient(bootstrap_servers=kafka)
        brokers.patiently(lambda: admin.delete_groups([environment["NILOMETER_KAFKA__PREFIX"] + "relay"]))
        admin.close()
        with opened(environment) as inbox:
            assert inbox.begin()[PLACE] == 3
            said = capfd.readouterr().err
            assert "alerts.sensors/1: begins at its end, 3; of the 3 records before it nothing is delivered" in said
            assert "If this relay has delivered before, Kafka has forgotten the group" in said
            assert "alerts.sensors/0" not in said  # it is empty


def test_topics_that_are_made_after_a_relay_has_joined_are_found(kafka):
    with installation(kafka, "sensors") as environment:
        inbox = KafkaInbox(load(None, environment=environment), "relay")
        try:
            end = time.monotonic() + 60
            while inbox._assigned_at > time.monotonic():  # it is told that nothing is its
                polled(inbox)
                assert time.monotonic() < end
            assert not inbox._consumer.assignment()
            here("topics", "create", **environment)
            while len(inbox._consumer.assignment()) < PARTITIONS:
                polled(inbox)
                assert time.monotonic() < end
        finally:
            inbox.close()


def test_an_assignment_that_came_too_late_to_be_heard_is_asked_for_again(kafka, monkeypatch):
    monkeypatch.setattr("streams.relay.inbox.REJOIN_SECONDS", 1.0)
    with installation(kafka, "sensors") as environment:
        here("topics", "create", **environment)
        with opened(environment) as inbox:
            inbox._consumer.unsubscribe()  # as deaf as a client that has missed what was its
            inbox._note(assigned=False)
            assert not inbox._consumer.assignment()
            end = time.monotonic() + 60
            while len(inbox._consumer.assignment()) < PARTITIONS:
                polled(inbox)
                assert time.monotonic() < end
