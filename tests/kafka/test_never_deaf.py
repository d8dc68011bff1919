"""Whatever goes wrong in a worker or with its broker: nothing stands still for longer than it must, and a person is told."""

from __future__ import annotations

import re
import signal
import threading
import time
from contextlib import contextmanager

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from streams import topics
from streams.cli import brokers
from tests.kafka.commands import PARTITIONS, done, here, installation, nilometer, parked, python, wait_ready, working
from tests.kafka.test_looking import checkpointed, line_of, lying, send
from tests.kafka.test_member import delete_before

EVENT = b'{"source_id": "m", "at": 1700000000, "error": 0.5, "hardness": 0.5}'
STANDS = 45.0  # seconds for which no partition may stand still, whatever happens to a worker


@contextmanager
def fed(environment, every=0.1):
    """An event to each partition again and again; how many were taken of each."""
    topic = environment["NILOMETER_KAFKA__PREFIX"] + topics.source("errors")
    producer = KafkaProducer(bootstrap_servers=environment["NILOMETER_KAFKA__BOOTSTRAP_SERVERS"], delivery_timeout_ms=120_000)
    halt, taken = threading.Event(), [0] * PARTITIONS

    def feed():
        while not halt.wait(every):
            for number in range(PARTITIONS):
                producer.send(topic, EVENT, key=b"m", partition=number)
                taken[number] += 1
        producer.flush(60)
        producer.close()

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield taken
    finally:
        halt.set()
        thread.join()


class Commits:
    """The group's positions of the partitions, and for how long each has not moved."""

    def __init__(self, environment):
        self.admin = KafkaAdminClient(bootstrap_servers=environment["NILOMETER_KAFKA__BOOTSTRAP_SERVERS"])
        self.group = environment["NILOMETER_KAFKA__PREFIX"] + "nilometer"
        topic = environment["NILOMETER_KAFKA__PREFIX"] + topics.source("errors")
        self.places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self.moved = dict.fromkeys(self.places, (-1, time.monotonic()))
        self.longest = 0.0

    def look(self):
        for place, at in brokers.patiently(lambda: self.admin.list_group_offsets({self.group: self.places}))[self.group].items():
            offset, since = self.moved[place]
            if at.offset > offset:
                self.longest = max(self.longest, time.monotonic() - since)
                self.moved[place] = (at.offset, time.monotonic())

    def members(self):
        return brokers.patiently(lambda: self.admin.describe_groups([self.group]))[self.group]["members"]

    def wait(self, condition, seconds):
        end = time.monotonic() + seconds
        while True:
            self.look()
            if condition([offset for offset, _ in self.moved.values()]):
                return
            assert time.monotonic() < end, self.moved
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("how", "words"),
    [("fetch", "(the client fetches no more|ConsumerStoppedError)"), pytest.param("flow", "stood still for 30 s", marks=pytest.mark.slow)],
)
def test_a_worker_that_goes_deaf_leaves_loudly_and_another_takes_over(kafka, how, words):
    with installation(kafka, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        other = {**environment, "NILOMETER_METRICS__PORT": "0"}
        here("topics", "create", **environment)
        deaf = python("-m", "tests.kafka.deaf", how, **environment)
        second = None
        try:
            wait_ready(deaf, environment)
            with fed(environment) as taken:
                commits = Commits(environment)
                commits.wait(lambda offsets: min(offsets) > 10, 60.0)
                second = nilometer("worker", **other)
                while len(commits.members()) < 2:
                    time.sleep(0.1)
                before = [offset for offset, _ in commits.moved.values()]
                commits.wait(lambda offsets: all(now > then + 20 for now, then in zip(offsets, before, strict=True)), 60.0)
                commits.longest = 0.0
                deaf.send_signal(signal.SIGUSR1)
                said = done(deaf, 1, seconds=STANDS + 20.0)
                assert re.search(words, said), said
                assert "and leaves" in said
                reached = list(taken)
                commits.wait(lambda offsets: all(now >= then for now, then in zip(offsets, reached, strict=True)), STANDS)
            print(f"{how}: no partition stood still for more than {commits.longest:.1f} s")
            assert commits.longest < STANDS
            second.send_signal(signal.SIGTERM)
            done(second)
        finally:
            for process in filter(None, (deaf, second)):
                process.kill()
                process.wait()
                process.stdout.close()


@pytest.mark.slow
def test_a_partition_whose_offset_retention_has_eaten_is_parked_until_a_reset(kafka, admin):
    with installation(kafka, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        here("topics", "create", **environment)
        send(environment, "model.errors", *[(number, b"m", EVENT, []) for number in (0, 1, 1, 1)])
        with working(environment):
            checkpointed(environment, "3")
        send(environment, "model.errors", *[(1, b"m", EVENT, [])] * 7)
        delete_before(admin, environment["NILOMETER_KAFKA__PREFIX"] + "model.errors", 1, 8)
        with parked(environment) as why:
            assert list(why) == ["1"]  # the other goes on
            assert "stands at offset 3, the source holds 8 to 10" in why["1"]
            assert "`nilometer state reset` the partition" in why["1"]
            send(environment, "model.errors", (0, b"m", EVENT, []))
            deadline = time.monotonic() + 60
            while line_of(here("status", **environment).splitlines(), 0)[2] != "2":
                assert time.monotonic() < deadline
        said = here("state", "reset", "errors", "--partition", "1", "--yes", **environment)
        assert "begins anew at 8" in said
        with working(environment):  # ready: nothing is parked
            checkpointed(environment, "10")


@pytest.mark.slow
def test_a_broker_that_is_away_for_half_a_minute_costs_nothing_but_the_time(own_kafka):
    with installation(own_kafka.address, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        here("topics", "create", **environment)
        worker = nilometer("worker", **environment)
        try:
            wait_ready(worker, environment)
            with fed(environment) as taken:
                commits = Commits(environment)
                commits.wait(lambda offsets: min(offsets) > 20, 60.0)
                own_kafka.kill()
                time.sleep(30.0)
                assert worker.poll() is None
                own_kafka.start()
                begun = time.monotonic()
                commits = Commits(environment)
                reached = list(taken)
                commits.wait(lambda offsets: all(now >= then for now, then in zip(offsets, reached, strict=True)), STANDS)
                print(f"folded and checkpointed {time.monotonic() - begun:.1f} s after the broker was back")
            reached = list(taken)
            commits.wait(lambda offsets: offsets == reached, 60.0)
            worker.send_signal(signal.SIGTERM)
            said = done(worker)
            assert f"no answer from Kafka at {own_kafka.address}" in said
            assert "Kafka answers again, after" in said
            for number in range(PARTITIONS):
                judged = [
                    at for record in lying(environment, "scores.errors", number) for at in msgspec.json.decode(record.value)["offset"]
                ]
                assert sorted(set(judged)) == list(range(reached[number]))
        finally:
            worker.kill()
            worker.wait()
            worker.stdout.close()
