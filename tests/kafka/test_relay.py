"""The relay on a real broker: killed and started again, suppressed, taken to dead letters and back."""

from __future__ import annotations

import json
import signal
import time
from contextlib import contextmanager

import pytest

from streams.relay.service import name_of
from tests.kafka.broker import free_ports
from tests.kafka.commands import done, here, installation, nilometer, wait_ready
from tests.kafka.test_looking import lying, send
from tests.streams.relays import Receiver, alert

WITHIN = 60.0  # seconds that anything may take

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@contextmanager
def relaying(environment, how=signal.SIGTERM):
    """A relay that is ready; killed, or stopped in order, at the end."""
    process = nilometer("relay", **environment)
    try:
        wait_ready(process, {"NILOMETER_METRICS__PORT": environment["NILOMETER_RELAY__PORT"]})
        yield process
        process.send_signal(how)
        if how == signal.SIGTERM:
            assert "nilometer: stopped" in done(process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def until(holds, what):
    end = time.monotonic() + WITHIN
    while not (found := holds()):
        assert time.monotonic() < end, f"not within {WITHIN:g} s: {what}"
        time.sleep(0.05)
    return found


def say(environment, *alerts):
    send(environment, "alerts.sensors", *((each["data"]["audit"]["partition"], b"k", json.dumps(each).encode(), []) for each in alerts))


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)], ids=["stopped", "killed"])
def test_alerts_reach_where_people_look_whatever_happens_to_the_relay(kafka, how):
    now = time.time()
    with Receiver() as hook, Receiver() as manager:
        more = {
            "NILOMETER_RELAY__WEBHOOKS": hook.url,
            "NILOMETER_RELAY__ALERTMANAGERS": manager.url,
            "NILOMETER_RELAY__PORT": str(free_ports(1)[0]),
            "NILOMETER_RELAY__RESEND": "1",
            "NILOMETER_RELAY__MINIMUM": "0",
            "NILOMETER_RELAY__TRIES": "2",
            "NILOMETER_RELAY__BACKOFF": "0.01",
        }
        with installation(kafka, "sensors", **more) as environment:
            here("topics", "create", **environment)
            say(environment, alert("a0", at=now), alert("z0", key="p-8", at=now), alert("z0", 1, "closed", key="p-8", at=now))

            def standing():
                last = {each["labels"]["episode"]: each for body in list(manager.bodies) for each in body}
                return {name for name, each in last.items() if each["endsAt"] > last_look()}

            def last_look():
                return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())

            with relaying(environment, how):
                until(lambda: standing() == {"a0"}, "what was open before the first relay stands")
                say(environment, alert("a1", at=now), alert("b1", key="p-2", partition=1, at=now), alert("a1", at=now))
                until(lambda: set(hook.ids) == {"a1", "b1"}, "posted")
                until(lambda: standing() == {"a0", "a1", "b1"}, "and standing")
                assert here("suppress", "sensors", "p-3", "--for", "1h", "--reason", "being moved", **environment)
            said = here("suppress", **environment)
            assert said.startswith("sensors/p-3  until ")
            assert said.endswith("being moved\n")
            say(environment, alert("a1", 1, "closed", at=now), alert("c1", key="p-3", partition=1, at=now))
            hook.script += [500, 500]
            say(environment, alert("d1", key="p-4", at=now))
            with relaying(environment):
                until(lambda: "a1.1" in hook.ids or lying(environment, "dead-letters"), "posted by the next one")
                until(lambda: {"a1.1", "d1"} <= set(hook.ids) | buried(environment), "or buried")
                until(lambda: standing() >= {"a0", "b1", "d1"} and "a1" not in standing(), "the closed one is ended")
                assert not {"c1"} & {*hook.ids, *standing()}
                (lost,) = buried(environment)
                assert "1 sent" in here("dead-letters", "redrive", **environment)
                until(lambda: {"a1.1", "d1"} <= set(hook.ids), "sent once more")
                here("suppress", "sensors", "p-3", "--lift", **environment)
                until(lambda: "c1" in hook.ids and "c1" in standing(), "what was suppressed and is open is told")
            assert "nothing is suppressed" in here("suppress", **environment)
            # nothing twice, but for what was in hand when it was killed
            assert sorted(set(hook.ids)) == ["a1", "a1.1", "b1", "c1", "d1"]
            assert hook.ids.count(lost) == 1


def buried(environment):
    return {json.loads(record.value)["id"] for record in lying(environment, "dead-letters")}


@pytest.mark.slow
def test_two_relays_share_the_partitions_and_one_takes_over(kafka):
    with Receiver() as hook:
        more = {"NILOMETER_RELAY__WEBHOOKS": hook.url, "NILOMETER_RELAY__PORT": str(free_ports(1)[0])}
        with installation(kafka, "sensors", **more) as environment:
            here("topics", "create", **environment)
            with relaying(environment):
                with relaying({**environment, "NILOMETER_RELAY__PORT": str(free_ports(1)[0])}):
                    say(environment, *(alert(f"e{number}", key=f"p-{number}", partition=number % 2) for number in range(20)))
                    until(lambda: len(set(hook.ids)) == 20, "all posted by the two")
                say(environment, *(alert(f"f{number}", key=f"p-{number}", partition=number % 2) for number in range(20)))
                until(lambda: len(set(hook.ids)) == 40, "all posted by the one that is left")


def test_a_relay_without_a_destination_says_what_to_set():
    assert "set relay.alertmanagers or relay.webhooks" in here("relay", code=2)


def test_suppress_says_what_it_wants(kafka):
    with installation(kafka, "sensors") as environment:
        assert "nilometer topics create" in here("suppress", code=2, **environment)
        here("topics", "create", **environment)
        assert "wanted STREAM KEY with --for TIME, or with --lift" in here("suppress", "sensors", "p-1", code=2, **environment)
        assert "wanted one of sensors" in here("suppress", "pumps", "p-1", "--for", "1h", code=2, **environment)
        assert "wanted a time such as" in here("suppress", "sensors", "p-1", "--for", "soon", code=2, **environment)
        assert "nothing is suppressed of sensors/p-1" in here("suppress", "sensors", "p-1", "--lift", code=2, **environment)


def test_explain_finds_an_alert_in_its_topic(kafka):
    with installation(kafka, "sensors") as environment:
        here("topics", "create", **environment)
        say(environment, alert("0123456789ab"), alert("0123456789ab", 1, "closed"), alert("ffffffffffff", partition=1))
        assert here("explain", "01234567", **environment).startswith("p-1  sensors, shape  warning, opened")
        assert here("explain", "0123456789ab.1", **environment).startswith("p-1  sensors, shape  warning, closed")
        assert "is it older than they are kept for?" in here("explain", "eeeeeeee", code=2, **environment)


@pytest.mark.slow
def test_a_topic_that_was_made_anew_is_relayed_from_its_beginning(kafka):
    from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
    from kafka.structs import OffsetAndMetadata

    with Receiver() as hook:
        more = {"NILOMETER_RELAY__WEBHOOKS": hook.url, "NILOMETER_RELAY__PORT": str(free_ports(1)[0])}
        with installation(kafka, "sensors", **more) as environment:
            here("topics", "create", **environment)
            prefix = environment["NILOMETER_KAFKA__PREFIX"]
            group = f"{prefix}nilometer-relay-{name_of('webhook', hook.url)}"
            consumer = KafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False)
            consumer.assign([TopicPartition(f"{prefix}alerts.sensors", 0)])
            consumer.commit({TopicPartition(f"{prefix}alerts.sensors", 0): OffsetAndMetadata(1_000, "", -1)})
            consumer.close()
            say(environment, alert("a1"), alert("b1", partition=1))  # partition 1 has no offset: what is there was for others
            with relaying(environment):
                until(lambda: hook.ids == ["a1"], "posted")
            admin = KafkaAdminClient(bootstrap_servers=kafka)
            try:
                offsets = until(lambda: admin.list_group_offsets(group).get(group), "the group is known")
            finally:
                admin.close()
            assert {tp.partition: at.offset for tp, at in offsets.items()} == {0: 1, 1: 1}
