"""Webhooks: nothing lost, nothing doubled by id, whatever the receiver does and wherever the relay is killed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.load import ConfigError, defaults, load
from config.settings import STREAMS
from detectors.protocol import UNTIL_HEARD
from streams.configured import definition
from streams.dead_letters import LETTER_FOR
from streams.relay import alert as alerts
from streams.relay import courier
from streams.relay.inbox import Reassigned
from streams.relay.ledger import Heard, Ledger
from streams.relay.post import post
from streams.relay.quiet import KEPT_SECONDS, Suppression, prolonged, seconds_of, stale
from streams.relay.webhook import Webhook, key_of, sign
from tests.streams.relays import START, Blow, Killed, MemoryInbox, Receiver, Topics, World, alert

NAME = "webhook-test"


def to(url):
    return lambda inbox, around: Webhook(NAME, inbox, around, url)


def story():
    """Two episodes in two streams, one of which is updated, and a repeat by a worker that had crashed."""
    topics = Topics()
    topics.say(alert("a1"), alert("b1", key="p-2"), alert("a1", 1, "updated"), alert("a1"), alert("a1", 1, "updated"))
    topics.say(alert("c1", stream="cards", test="unusualness"), alert("c1", 1, "closed", stream="cards", test="unusualness"))
    topics.say(alert("a1", 2, "closed"))
    return topics


SAID = {"a1", "a1.1", "a1.2", "b1", "c1", "c1.1"}


def in_order(ids):
    """Whether the reports of every episode came first in their order."""
    first = list(dict.fromkeys(ids))
    episodes = {name.split(".")[0] for name in first}
    return all(sorted(own := [name for name in first if name.split(".")[0] == episode]) == own for episode in episodes)


def test_every_alert_is_posted_once_as_it_came_and_signed():
    with Receiver() as receiver:
        world, topics = World(webhook_secret="whsec_c2VjcmV0"), story()
        world.deliver(to(receiver.url + "/hook"), topics)
        assert sorted(receiver.ids) == sorted(SAID)
        assert in_order(receiver.ids)
        for path, headers, body in receiver.posts:
            assert path == "/hook"
            assert headers["content-type"] == "application/cloudevents+json"
            assert headers["webhook-id"] == json.loads(body)["id"]
            signed = sign(b"secret", headers["webhook-id"], int(headers["webhook-timestamp"]), body)
            assert headers["webhook-signature"] == signed
        assert receiver.posts[0][2] in {record.value for log in topics.logs.values() for record in log}
        assert world.count("forwarded_alerts_total", NAME) == len(SAID)
        assert world.count("repeated_alerts_total", NAME) == 2
        assert topics.committed == {place: len(log) for place, log in topics.logs.items()}


def test_a_secret_is_text_or_base64():
    assert key_of("whsec_c2VjcmV0") == b"secret" == key_of("secret")
    for wrong in ("whsec_no base64", "whsec_c2VjcmV0cw", "whsec_", "whsec_é"):
        with pytest.raises(ConfigError, match=r'relay\.webhook_secret = \(not shown\): wanted "whsec_" and base64 behind it'):
            load(environment={"NILOMETER_RELAY__WEBHOOK_SECRET": wrong})
    assert load(environment={"NILOMETER_RELAY__WEBHOOK_SECRET": "whsec_c2VjcmV0"}).relay.webhook_secret


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_step_nothing_is_lost_and_what_comes_twice_has_the_same_id(after):
    blow, script = Blow(), [200, 500, "unanswered"]
    with Receiver(script) as receiver:
        World().deliver(to(receiver.url), story(), blow)
    assert blow.steps >= 20
    for step in range(1, blow.steps + 1):
        topics = story()
        with Receiver(script) as receiver:
            with pytest.raises(Killed):
                World().deliver(to(receiver.url), topics, Blow(step, after))
            World().deliver(to(receiver.url), topics)
            assert set(receiver.ids) == SAID, f"killed at step {step}"
            assert in_order(receiver.ids)
            assert len(receiver.ids) <= len(SAID) + 2  # the one in hand when it was killed, and the one whose answer got lost
            assert not topics.letters


@pytest.mark.parametrize("trouble", [500, 503, 404, 302, "cut", "unanswered", (429, {"Retry-After": "0"})])
def test_what_fails_is_tried_again(trouble):
    with Receiver([trouble, trouble]) as receiver:
        world, topics = World(), story()
        world.deliver(to(receiver.url), topics)
        assert set(receiver.ids) == SAID
        assert in_order(receiver.ids)
        assert not topics.letters
        assert world.count("failed_posts_total", NAME) == world.count("retried_posts_total", NAME) == 2
        assert world.count("failing", NAME) == 0
        assert world.count("last_success_timestamp_seconds", NAME) == START


def test_an_answer_that_does_not_come_is_a_failure():
    with Receiver(["late"]) as receiver:
        world, topics = World(timeout=0.2), story()
        world.deliver(to(receiver.url), topics)
        assert set(receiver.ids) == SAID
        assert world.count("failed_posts_total", NAME) == 1


def test_an_answer_that_comes_a_byte_now_and_then_is_none_and_its_connection_is_cut():
    with Receiver(["drip"]) as receiver:
        answer = post(receiver.url, b"{}", {}, 0.2)
        assert (answer.status, answer.words) == (0, "TimeoutError: no whole answer within 0.2 s")
        assert receiver.left.wait(60)
        assert post(receiver.url, b"{}", {}, 60.0).delivered


def test_what_a_destination_says_is_cut_short_harmless_and_keeps_our_secrets(capsys):
    said = b"\x1b[2J no token/17,\r\n  Bearer word-17: " + b"x" * 5_000
    with Receiver([(400, {}, said)] * 3) as receiver:
        world, topics = World(), Topics()
        topics.say(alert("a1"))
        hidden = ["word-17", "token/17"]
        Webhook(NAME, MemoryInbox(topics, done=world.stop), world.around(hidden=hidden), receiver.url).run()
    ((letter, _),) = topics.letters
    assert letter.reason.startswith(f"{NAME}: HTTP 400: \\x1b[2J no (not shown), Bearer (not shown): xxx")
    assert len(letter.reason) < 260
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("x…" in line and "17" not in line for line in lines)


def test_how_much_waits_is_known_while_a_destination_is_away(monkeypatch):
    monkeypatch.setattr(courier, "MEASURE_SECONDS", 0.0)
    with Receiver([500]) as receiver:
        world, topics, waiting = World(backoff=60.0, longest_backoff=60.0), story(), []
        inbox = MemoryInbox(topics)
        poll = inbox.poll

        def more(seconds, *, paused=False):
            if paused:
                waiting.append(world.count("lag_records", NAME))
                topics.say(alert(f"z{len(waiting)}"))
                world.stopped = len(waiting) == 3
            return poll(0.0, paused=paused)

        inbox.poll = more
        Webhook(NAME, inbox, world.around(), receiver.url).run()
    assert waiting == [8, 9, 10]
    assert world.metrics.failing(NAME)


def test_after_too_many_tries_an_alert_is_a_dead_letter_that_can_be_sent_once_more_to_this_destination_alone():
    with Receiver([500, 500, 500]) as receiver:
        world, topics = World(), story()
        world.deliver(to(receiver.url), topics)
        ((letter, destination),) = topics.letters
        lost = json.loads(letter.value)["id"]
        assert destination == NAME
        assert letter.reason == f"{NAME}: HTTP 500: Internal Server Error, tried 3 times"
        assert set(receiver.ids) == SAID - {lost}
        assert world.count("dead_lettered_alerts_total", NAME) == 1
        place = (letter.topic, letter.partition)
        topics.put(place, letter.value, headers=[(LETTER_FOR, b"another")])
        topics.put(place, letter.value, headers=[(LETTER_FOR, destination.encode())])
        world.deliver(to(receiver.url), topics)
        assert receiver.ids[-1] == lost
        assert len(receiver.ids) == len(SAID)
        World().deliver(to(receiver.url), topics)
        assert len(receiver.ids) == len(SAID)


def test_what_is_no_alert_and_is_sent_once_more_comes_back_from_the_destination_that_refused_it_alone():
    with Receiver() as receiver:
        world, topics = World(), Topics()
        topics.put(("alerts.cards", 0), b"none")
        topics.put(("alerts.cards", 0), b"none", headers=[(LETTER_FOR, b"another")])
        topics.put(("alerts.cards", 0), b"none", headers=[(LETTER_FOR, NAME.encode())])
        world.deliver(to(receiver.url), topics)
        assert [letter.offset for letter, _ in topics.letters] == [0, 2]


def test_nobody_listens_and_the_relay_is_stopped_meanwhile_nothing_is_committed():
    with Receiver() as receiver:
        gone = receiver.url
    topics, world = story(), World(tries=1_000, backoff=60.0, longest_backoff=60.0)
    inbox = MemoryInbox(topics)
    courier = Webhook(NAME, inbox, world.around(), gone)
    poll = inbox.poll

    def stopping(seconds, *, paused=False):
        world.stopped = paused
        return poll(0.0, paused=paused)

    inbox.poll = stopping
    courier.run()
    assert set(topics.committed.values()) == {0}
    with Receiver() as receiver:
        World().deliver(to(receiver.url), topics)
        assert set(receiver.ids) == SAID


def test_partitions_that_come_and_go_in_the_middle_of_a_delivery_lose_nothing():
    with Receiver([500, 500]) as receiver:
        topics, world = story(), World()
        inbox = MemoryInbox(topics, done=world.stop)
        poll, left = inbox.poll, [3]

        def taken_away(seconds, *, paused=False):
            if paused and left[0]:
                left[0] -= 1
                raise Reassigned
            return poll(seconds, paused=paused)

        inbox.poll = taken_away
        Webhook(NAME, inbox, world.around(), receiver.url).run()
        assert set(receiver.ids) == SAID
        assert len(receiver.ids) == len(SAID)


@pytest.mark.parametrize(
    "junk", [None, b"", b"{", b"[]", b"\xff", b'{"id": 7}', b"[" * 100_000, json.dumps(alert("x", stream="pumps")).encode()]
)
def test_what_is_no_alert_is_a_dead_letter_and_the_others_go_on(junk):
    topics = Topics()
    topics.put(("alerts.sensors", 0), junk)
    topics.say(alert("a1"))
    with Receiver() as receiver:
        World().deliver(to(receiver.url), topics)
        assert receiver.ids == ["a1"]
    assert [letter.value for letter, _ in topics.letters] == [junk]


def test_a_suppressed_key_is_held_and_told_when_that_is_over_if_it_is_still_open():
    topics, world = Topics(), World()
    world.suppressions.hear(*said("p-1", START - 60, START + 600))
    topics.say(alert("a1"), alert("a2", test="amplitude"), alert("b1", key="p-2"), at=START)
    topics.say(alert("a1", 1, "updated"), alert("a2", 1, "closed", test="amplitude"), at=START + 60)
    with Receiver() as receiver:
        world.deliver(to(receiver.url), topics)
        assert receiver.ids == ["b1"]
        assert world.count("suppressed_alerts_total", NAME) == 4
        world.now = START + 601
        world.deliver(to(receiver.url), topics)
        assert receiver.ids == ["b1", "a1.1"]
        topics.say(alert("a1", 2, "closed"), at=START + 700)
        world.deliver(to(receiver.url), topics)
        # a relay that begins again cannot know that what it held was told: it comes once more, under its id
        assert list(dict.fromkeys(receiver.ids)) == ["b1", "a1.1", "a1.2"]


def test_what_was_told_before_is_ended_within_a_suppression_too():
    topics, world = Topics(), World()
    topics.say(alert("a1"), at=START - 100)
    world.suppressions.hear(*said("p-1", START - 60, START + 600))
    topics.say(alert("a1", 1, "updated"), alert("a1", 2, "closed"), at=START)
    with Receiver() as receiver:
        world.deliver(to(receiver.url), topics)
        assert receiver.ids == ["a1", "a1.2"]


def windows(hours):
    return World(maintenance=[f"sensors 2026-11-22T{a:02}:00/2026-11-22T{b:02}:00" for a, b in hours])


HOUR = 3_600.0
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("hours", "heard"), [([(1, 3), (5, 7)], True), ([(1, 7)], False), ([(1, 3), (3, 7)], False), ([(2, 7)], True)],
    ids=["another window", "the same", "one after another", "told before"],
)  # fmt: skip
def test_after_a_restart_in_a_quiet_time_the_end_of_what_was_told_before_is_told_and_of_nothing_else(hours, heard):
    topics, world = Topics(), windows(hours)
    topics.say(alert("a1"), at=MIDNIGHT + (1.5 if hours[0][0] == 1 else 1.0) * HOUR)
    topics.say(alert("a1", 1, "updated"), at=MIDNIGHT + 2.5 * HOUR)
    topics.committed = {place: len(log) for place, log in topics.logs.items()}
    world.now = MIDNIGHT + 6.0 * HOUR
    topics.say(alert("a1", 2, "closed"), at=world.now)
    with Receiver() as receiver:
        world.deliver(to(receiver.url), topics)
        assert receiver.ids == (["a1.2"] if heard else [])


def test_after_a_restart_in_a_suppression_what_may_have_been_told_before_it_was_heard_of_is_ended():
    topics, world = Topics(), World()
    world.suppressions.hear(*said("p-1", START, START + 600))
    topics.say(alert("a1"), at=START + 1)
    topics.say(alert("a2", test="amplitude"), at=START + 100)
    topics.committed = {place: len(log) for place, log in topics.logs.items()}
    topics.say(alert("a1", 1, "closed"), alert("a2", 1, "closed", test="amplitude"), at=START + 200)
    with Receiver() as receiver:
        world.deliver(to(receiver.url), topics)
        assert receiver.ids == ["a1.1"]


def test_what_a_suppression_held_is_known_when_the_key_is_suppressed_again():
    topics, world = Topics(), World()
    first = Suppression("sensors", "p-1", START, START + 100)
    again = prolonged(first, Suppression("sensors", "p-1", START + 300, START + 600))
    assert again.earlier == ((START, START + 100),)
    assert world.suppressions.hear(again.topic_key(), msgspec.json.encode(again))
    topics.say(alert("a1"), at=START + 50)  # held; and no relay ran when that was over
    topics.committed = {place: len(log) for place, log in topics.logs.items()}
    world.now = START + 400
    with Receiver() as receiver:
        world.deliver(to(receiver.url), topics)
        assert receiver.ids == []
        world.now = START + 601
        world.deliver(to(receiver.url), topics)
        assert receiver.ids == ["a1"]


WINDOWS = ("daily 00:00-00:10", "Sun 23:50-00:05", "Sat 23:40-00:02", "2026-11-22T00:12/2026-11-22T00:20", "sensors daily 23:00-24:00")


@given(
    spans=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=4), texts=st.lists(st.sampled_from(WINDOWS), max_size=3)
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_since_when_it_is_quiet_is_what_one_finds_minute_by_minute(spans, texts):
    """Reference: back from a minute to the one before, as long as that is quiet."""
    world = World(maintenance=texts)
    held = tuple((MIDNIGHT + 60.0 * begin, MIDNIGHT + 60.0 * (begin + long)) for begin, long in spans)
    if held:
        each = Suppression("sensors", "p-1", *held[0], earlier=held[1:])
        assert world.suppressions.hear(each.topic_key(), msgspec.json.encode(each))
    for now in (MIDNIGHT + 60.0 * minute for minute in range(0, 50, 3)):
        if world.quiet("sensors", "p-1", now) is not None:
            reference = now
            while world.quiet("sensors", "p-1", reference - 60.0) is not None:
                reference -= 60.0
            assert world.quiet.began("sensors", "p-1", now, MIDNIGHT - 2 * HOUR) == reference


def test_in_a_maintenance_window_alerts_wait():
    night = datetime(2026, 11, 22, 2, 30, tzinfo=UTC).timestamp()  # a Sunday
    topics, world = Topics(), World(maintenance=["sensors Sun 02:00-04:00"])
    world.now = night
    topics.say(alert("a1"), alert("c1", stream="cards", test="unusualness"), at=night)
    with Receiver() as receiver:
        world.deliver(to(receiver.url), topics)
        assert receiver.ids == ["c1"]
        world.now = night + 5_400.0
        world.deliver(to(receiver.url), topics)
        assert receiver.ids == ["c1", "a1"]


def test_no_stamp_of_a_record_is_too_absurd_for_a_maintenance_window():
    topics, world = Topics(), World(maintenance=["Sun 02:00-04:00"], timezone="Europe/Berlin")
    for number, at in enumerate((-1.0, -0.001, 9.2e15)):
        topics.say(alert(f"a{number}"), at=at)
    topics.say(alert("a9"), headers=[(LETTER_FOR, b"\xff")])
    with Receiver() as receiver:
        world.deliver(to(receiver.url), topics)
        assert receiver.ids == ["a0", "a1", "a2"]


def test_the_silence_of_a_whole_partition_ends_its_episodes_but_not_those_about_silence():
    topics, world = Topics(), World(resend=1.0)
    topics.say(alert("a1"), alert("s1", test="silent"), alert("b1", key="p-9", partition=1))
    topics.silent.add(("sensors", 0))
    with Receiver() as receiver:
        world.deliver(to(receiver.url), topics)
        assert set(receiver.ids) == {"a1", "s1", "b1"}
        courier = world.deliver(to(receiver.url), topics)
        assert {story.id for story in courier.ledger} == {"s1", "b1"}
        ended = receiver.bodies[-1]
        assert ended["id"] == "a1.silence"
        assert ended["type"] == "nilometer.alert.closed"
        assert ended["data"]["reasons"] == [
            "the episode is over: nothing has come to its whole partition for 604,800 s, by the relay's clock"
        ]
        assert "evidence" not in ended["data"]
        topics.silent.clear()
        topics.say(alert("a1", 1, "closed"))
        world.deliver(to(receiver.url), topics)
        assert receiver.ids[-1] == "a1.1"


def test_episodes_about_silence_are_those_that_the_detectors_say():
    found = set()
    for stream in STREAMS:
        detector = definition(stream, defaults()).detector
        found |= {(stream, test) for test, quiet in zip(detector.tests, detector.quiet_units, strict=True) if quiet == UNTIL_HEARD}
    assert found == alerts.UNTIL_HEARD


def test_what_is_remembered_is_bounded():
    topics = Topics()
    for number in range(50):
        topics.say(alert(f"e{number:02}"), alert(f"e{number:02}", 1, "closed"))
    ledger = Ledger(lambda *_: None, remembered=10)
    records = topics.logs["alerts.sensors", 0]
    assert all(ledger.hear(record, alerts.read(record))[0] is Heard.NEWS for record in records)
    assert all(ledger.hear(record, alerts.read(record))[0] is Heard.REPEAT for record in records[-20:])
    assert len(ledger) == 0


def test_time_spans_are_read_as_people_write_them():
    assert [seconds_of(text) for text in ("30m", "2h", "1.5d", "2w")] == [1_800, 7_200, 129_600, 1_209_600]
    for wrong in ("", "2", "h", "-1h", "0m", "two hours", "nanh", "99w"):
        with pytest.raises(ValueError, match="wanted a time such as"):
            seconds_of(wrong)


def test_a_suppression_that_follows_on_another_begins_with_it_and_old_ones_are_forgotten():
    first = Suppression("cards", "c", START, START + 100)
    assert prolonged(first, Suppression("cards", "c", START + 50, START + 500)).since == START
    assert prolonged(first, Suppression("cards", "c", START + 100, START + 500)).since == START + 100
    assert prolonged(None, first) == first
    assert stale([first], START + 100 + KEPT_SECONDS) == []
    assert stale([first], START + 101 + KEPT_SECONDS) == [first]


def test_suppressions_that_cannot_be_read_are_passed_over_and_a_tombstone_forgets_one():
    world = World()
    key, value = said("p-1", START, START + 10)
    assert not world.suppressions.hear(None, value)
    assert not world.suppressions.hear(key, b"{")
    assert world.suppressions.hear(key, value)
    assert world.quiet("sensors", "p-1", START) == "suppressed until 2023-11-14T22:13:30Z: a test"
    assert world.suppressions.hear(key, None)
    assert world.quiet("sensors", "p-1", START) is None


def said(key, since, until):
    each = Suppression("sensors", key, since, until, "a test")
    return each.topic_key(), msgspec.json.encode(each)
