"""Alertmanager: told what stands, and what of it is over. By a receiver of our own, and by Debian's prometheus-alertmanager."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from datetime import UTC, datetime

import pytest

from streams.dead_letters import LETTER_FOR
from streams.relay.alertmanager import Alertmanager
from tests.kafka.broker import free_ports
from tests.streams.relays import START, Blow, Killed, MemoryInbox, Receiver, Topics, World, alert
from tests.streams.test_relay import said

NAME = "alertmanager-test"
WITHIN = 60.0  # seconds that anything may take


def to(url, world):
    return lambda inbox, around: Alertmanager(NAME, inbox, around, url, world.settings.log)


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


class Sent:
    """What a receiver in Alertmanager's place was sent, the last of each set of labels."""

    def __init__(self, receiver):
        self._receiver = receiver

    @property
    def alerts(self):
        found = {}
        for path, _, body in self._receiver.posts:
            assert path == "/api/v2/alerts"
            for each in json.loads(body):
                found[each["labels"]["episode"], each["labels"]["severity"]] = each
        return found

    def firing(self, now):
        return {name for name, each in self.alerts.items() if seconds(each["endsAt"]) > now}


class Standing:
    """A courier that is stepped by hand: `turn` takes what there is and lets the clock go on."""

    def __init__(self, world, topics, url):
        self.world, self.inbox = world, MemoryInbox(topics)
        self.courier = to(url, world)(self.inbox, world.around())
        self.courier.inbox.begin()
        self.courier.begin()

    def turn(self, passed=0.0):
        self.world.now += passed
        self.courier.take(self.inbox.poll(0.0))
        self.courier.tick()
        self.courier._look()


@pytest.fixture
def receiver():
    with Receiver() as made:
        yield made


def test_an_open_episode_stands_is_sent_again_and_is_ended(receiver):
    world, topics, sent = World(), Topics(), Sent(receiver)
    relay = Standing(world, topics, receiver.url)
    topics.say(alert("a1", at=START - 30.0))
    relay.inbox.begin()
    relay.turn()
    one = sent.alerts["a1", "warning"]
    assert one["labels"] == {
        "alertname": "Nilometer", "stream": "sensors", "test": "shape", "severity": "warning", "episode": "a1", "key": "p-1",
    }  # fmt: skip
    assert one["annotations"] == {"summary": "sensors, shape: opened 0", "reasons": "opened 0", "explain": "nilometer explain a1"}
    assert seconds(one["startsAt"]) == START - 30.0
    assert seconds(one["endsAt"]) == START + 600.0
    relay.turn(59.0)
    assert len(receiver.posts) == 1
    relay.turn(1.0)
    assert seconds(sent.alerts["a1", "warning"]["endsAt"]) == START + 660.0
    topics.say(alert("a1", 1, "updated", at=START + 20.0))
    relay.turn(1.0)
    again = sent.alerts["a1", "warning"]
    assert again["annotations"]["reasons"] == "updated 1"
    assert again["startsAt"] == one["startsAt"]
    topics.say(alert("a1", 2, "closed", at=START + 50.0))
    relay.turn(1.0)
    assert seconds(sent.alerts["a1", "warning"]["endsAt"]) == START + 50.0
    posts = len(receiver.posts)
    relay.turn(1_000.0)
    assert len(receiver.posts) == posts
    assert world.count("forwarded_alerts_total", NAME) == 3


def test_keys_of_persons_are_hashed_and_a_setting_leaves_all_out(receiver):
    for world, shown in ((World(), True), (World(key_label=False), False)):
        topics = Topics()
        topics.say(alert("c1", stream="cards", key="card-17", test="unusualness"))
        world.deliver(to(receiver.url, world), topics)
        labels = json.loads(receiver.posts[-1][2])[0]["labels"]
        assert ("key" in labels) is shown
        assert "card-17" not in receiver.posts[-1][2].decode()


def test_when_the_severity_rises_the_new_alert_fires_and_the_old_one_ends(receiver):
    world, topics, sent = World(), Topics(), Sent(receiver)
    topics.say(alert("a1"), alert("b1", key="p-2"))
    relay = Standing(world, topics, receiver.url)
    relay.turn()
    topics.say(alert("a1", 1, "updated", severity="critical"))
    relay.turn(5.0)
    assert sent.firing(world.now) == {("a1", "critical"), ("b1", "warning")}
    topics.say(alert("a1", 2, "closed", severity="critical"))
    relay.turn(100.0)
    assert sent.firing(world.now) == {("b1", "warning")}


def test_an_episode_that_is_over_at_once_stands_long_enough_to_be_told(receiver):
    world, topics, sent = World(), Topics(), Sent(receiver)
    topics.say(alert("a1"), alert("a1", 1, "closed"), alert("b1", key="p-2"))
    relay = Standing(world, topics, receiver.url)
    relay.turn()
    assert sent.firing(world.now) == {("a1", "warning"), ("b1", "warning")}
    assert seconds(sent.alerts["a1", "warning"]["endsAt"]) == START + 60.0
    topics.say(alert("b1", 1, "closed", key="p-2"))
    relay.turn(59.0)
    assert sent.firing(world.now) == {("a1", "warning"), ("b1", "warning")}
    relay.turn(1.0)
    assert sent.firing(world.now) == set()


def test_a_key_that_is_suppressed_is_ended_and_fires_again_if_it_is_still_open(receiver):
    world, topics, sent = World(), Topics(), Sent(receiver)
    topics.say(alert("a1"), alert("b1", key="p-2"))
    relay = Standing(world, topics, receiver.url)
    relay.turn()
    world.suppressions.hear(*said("p-1", START, START + 300))
    topics.say(alert("a2", test="amplitude"), alert("a3", test="regime"), alert("a3", 1, "closed", test="regime"))
    relay.turn(5.0)
    assert sent.firing(world.now) == {("b1", "warning")}
    assert sent.alerts["a1", "warning"]["annotations"]["summary"].startswith("sensors, shape: (suppressed until 2023-")
    relay.turn(300.0)
    assert sent.firing(world.now) == {("a1", "warning"), ("a2", "warning"), ("b1", "warning")}


def test_the_silence_of_a_partition_ends_what_stands(receiver):
    world, topics, sent = World(), Topics(), Sent(receiver)
    topics.say(alert("a1"), alert("s1", test="silent"))
    relay = Standing(world, topics, receiver.url)
    relay.turn()
    topics.silent.add(("sensors", 0))
    relay.turn(60.0)
    relay.turn(1.0)
    assert sent.firing(world.now) == {("s1", "warning")}


def test_one_that_is_refused_is_buried_once_and_the_others_are_delivered():
    with Receiver([400, 400]) as receiver:  # all together, then the first alone
        world, topics = World(), Topics()
        topics.say(alert("a1"), alert("b1", key="p-2"), alert("c1", key="p-3"))
        relay = Standing(world, topics, receiver.url)
        for _ in range(5):
            relay.turn(100.0)
        assert {name for name, _ in Sent(receiver).alerts} == {"b1", "c1"}
        assert [(letter.topic, letter.offset, name) for letter, name in topics.letters] == [("alerts.sensors", 0, NAME)]


def test_what_was_refused_and_is_sent_once_more_is_told_as_it_stands():
    with Receiver([400] * 4) as receiver:
        world, topics, sent = World(), Topics(), Sent(receiver)
        topics.say(alert("a1"), alert("b1", key="p-2"), alert("c1", key="p-3"))
        relay = Standing(world, topics, receiver.url)
        relay.turn()
        assert sent.alerts == {}
        assert len(topics.letters) == 3
        topics.say(alert("a1", 1, "updated"), alert("b1", 1, "closed", key="p-2"), at=START + 10.0)
        receiver.script += [400] * 3
        relay.turn(10.0)
        relay.turn(200.0)
        assert sent.firing(world.now) == set()
        for letter, name in topics.letters:
            topics.put((letter.topic, letter.partition), letter.value, headers=[(LETTER_FOR, b"another")])
            topics.put((letter.topic, letter.partition), letter.value, headers=[(LETTER_FOR, name.encode())])
        for _ in range(5):
            relay.turn()
        assert sent.firing(world.now) == {("a1", "warning"), ("b1", "warning"), ("c1", "warning")}
        assert sent.alerts["a1", "warning"]["annotations"]["reasons"] == "updated 1"
        relay.turn(60.0)
        relay.turn(540.0)
        assert sent.firing(world.now) == {("a1", "warning"), ("c1", "warning")}, "b1 is over: it stood for relay.minimum"


def test_one_that_is_away_is_tried_for_ever():
    with Receiver([500, "cut", 404, 401, 503, 429, 500, "cut"]) as receiver:
        world, topics = World(tries=1, alertmanager_authorization="Bearer word"), Topics()
        topics.say(alert("a1"))
        world.deliver(to(receiver.url, world), topics)
        assert Sent(receiver).firing(world.now) == {("a1", "warning")}
        assert receiver.posts[0][1]["authorization"] == "Bearer word"
        assert not topics.letters
        assert topics.committed == {("alerts.sensors", 0): 1}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_step_what_is_open_stands_and_what_is_over_does_not(after):
    def story():
        topics = Topics()
        topics.say(alert("a1"), alert("b1", key="p-2"), alert("a1", 1, "updated"), alert("a1", 2, "updated", severity="critical"))
        topics.say(alert("a1", 3, "closed", severity="critical"), alert("c1", key="p-3"), alert("b1", 1, "updated", key="p-2"))
        return topics

    blow = Blow()
    with Receiver() as receiver:
        world = World(minimum=0.0)
        world.deliver(to(receiver.url, world), story(), blow)
    assert blow.steps >= 10
    for step in range(1, blow.steps + 1):
        topics, world = story(), World(minimum=0.0)
        with Receiver() as receiver:
            with pytest.raises(Killed):
                world.deliver(to(receiver.url, world), topics, Blow(step, after))
            world.now += 1.0
            world.deliver(to(receiver.url, world), topics)
            sent = Sent(receiver)
            assert sent.firing(world.now) == {("b1", "warning"), ("c1", "warning")}, f"killed at step {step}"
            assert ("a1", "critical") in sent.alerts
            assert not topics.letters


class RealAlertmanager:
    """Debian's, on ports of its own, which notifies a receiver of ours."""

    def __init__(self, folder, receiver):
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "config.yml").write_text(
            "route: {receiver: ours, group_by: [stream, test], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}\n"
            f"receivers: [{{name: ours, webhook_configs: [{{url: '{receiver.url}', send_resolved: true}}]}}]\n"
        )
        self._log = (folder / "log").open("wb")
        binary = shutil.which("prometheus-alertmanager")
        self._process = subprocess.Popen(
            [binary, f"--config.file={folder}/config.yml", f"--storage.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}",
             "--cluster.listen-address="],
            stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def ask(self, path, body=None):
        request = urllib.request.Request(self.url + path, None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def ready(self):
        try:
            return self.ask("/api/v2/status")
        except OSError:
            return False

    def end(self):
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


def until(holds, what):
    end = time.monotonic() + WITHIN
    while not (found := holds()):
        assert time.monotonic() < end, f"not within {WITHIN:g} s: {what}"
        time.sleep(0.05)
    return found


@pytest.fixture
def real(tmp_path, receiver):
    if shutil.which("prometheus-alertmanager") is None:
        pytest.skip("no prometheus-alertmanager on the path (Debian's package of that name)")
    made = RealAlertmanager(tmp_path, receiver)
    try:
        until(made.ready, "Alertmanager answers")
        yield made
    finally:
        made.end()


def test_a_real_alertmanager_groups_notifies_silences_and_resolves(real, receiver):
    world, topics = World(resend=1.0, minimum=2.0), Topics()
    world.now = time.time()
    start = world.now - 5.0
    topics.say(alert("a1", at=start), alert("b1", key="p-2", at=start), alert("q1", key="p-7", test="amplitude", at=start), at=start)
    silence = {
        "matchers": [{"name": "key", "value": "p-7", "isRegex": False, "isEqual": True}],
        "startsAt": datetime.now(UTC).isoformat(), "endsAt": datetime.fromtimestamp(time.time() + 600, UTC).isoformat(),
        "createdBy": "a test", "comment": "a test",
    }  # fmt: skip
    assert real.ask("/api/v2/silences", silence)["silenceID"]
    relay = Standing(world, topics, real.url)

    def turn():
        world.now = time.time()
        relay.turn()
        return receiver.bodies

    def notified(status, *episodes):
        """Whether the last notification that names them all names them so."""
        for body in reversed(turn()):
            said = {each["labels"]["episode"]: each["status"] for each in body["alerts"]}
            if set(episodes) <= set(said):
                return all(said[name] == status for name in episodes) and body
        return None

    group = until(lambda: notified("firing", "a1", "b1"), "both are told as one group")
    assert group["groupLabels"] == {"stream": "sensors", "test": "shape"}
    assert {each["labels"]["key"] for each in group["alerts"]} == {"p-1", "p-2"}
    topics.say(alert("a1", 1, "closed", at=start + 1.0), at=world.now)
    until(lambda: notified("resolved", "a1"), "the closed one is resolved")
    (standing,) = [each for each in real.ask("/api/v2/alerts") if each["labels"]["test"] == "shape"]
    assert standing["labels"]["episode"] == "b1"
    brief = {"key": "p-3", "test": "regime", "at": time.time()}
    topics.say(alert("c1", **brief), alert("c1", 1, "closed", **brief), at=world.now)
    until(lambda: notified("firing", "c1"), "one that was over at once is told")
    until(lambda: notified("resolved", "c1"), "and resolved")
    topics.say(alert("b1", 1, "updated", key="p-2", severity="critical", at=start), at=world.now)
    critical = until(
        lambda: next((each for body in turn() for each in body["alerts"] if each["labels"]["severity"] == "critical"), None), "told"
    )
    assert (critical["labels"]["episode"], critical["status"]) == ("b1", "firing")
    assert not any(each["labels"]["episode"] == "q1" for body in receiver.bodies for each in body["alerts"]), "silenced there"
