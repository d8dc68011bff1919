"""A broker that is slow, away, hard to reach or refuses: nothing is lost, and the worker goes on when it is well again.

Workers reach the broker by a proxy, or by a listener at which they say who they are; the tests' own clients by another, on which
nothing happens.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ConfigResourceType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from streams import topics
from streams.cli import brokers
from streams.transport.kafka_logs import KafkaLogs
from tests.kafka.broker import Guarded, Kafka, NoKafka
from tests.kafka.commands import PARTITIONS, done, here, installation, nilometer, parked, wait_ready, working
from tests.kafka.conftest import make_topic, no_broker
from tests.kafka.proxy import Proxy
from tests.kafka.soak import soaking
from tests.kafka.test_granted import ACCESS_LISTS
from tests.kafka.test_looking import checkpointed, send
from tests.kafka.test_never_deaf import EVENT, Commits, fed
from tests.kafka.test_rebalance import judged

BACK = 45.0  # seconds after a fault within which every partition is committed again
GROWTH = 400.0  # MiB by which a worker may grow while it is held up; 150 and more of it are what it has not touched before
ANN = {
    "NILOMETER_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "NILOMETER_KAFKA__SASL_USERNAME": "ann",
    "NILOMETER_KAFKA__SASL_PASSWORD": "open-sesame",
}


@pytest.fixture(scope="module")
def line():
    """A proxy before a broker of its own (`line.kafka`)."""
    with Proxy() as proxy:
        try:
            broker = Kafka(ACCESS_LISTS, guarded=Guarded("ann", "open-sesame"), behind=proxy.port)
        except NoKafka as reason:
            no_broker(str(reason))
        with broker as proxy.kafka:
            proxy.to = broker.addresses["BEHIND"]
            yield proxy


def by(line):
    """What a worker's environment says otherwise than a test's."""
    return {"NILOMETER_KAFKA__BOOTSTRAP_SERVERS": line.address}


def test_connections_that_are_cut_again_and_again_or_hang_cost_nothing_but_the_time(line):
    with installation(line.kafka.address, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment, tempfile.TemporaryFile("w+") as log:
        here("topics", "create", **environment)
        worker = nilometer("worker", stdout=log, **{**environment, **by(line)})
        try:
            wait_ready(worker, environment)
            with fed(environment) as taken:
                commits = Commits(environment)
                commits.wait(lambda offsets: min(offsets) > 5, 60.0)
                before = line.cuts
                with line.cutting(0.5):
                    time.sleep(3.0)
                assert line.cuts > before
                goes_on(commits, taken)
                line.holds = True
                time.sleep(3.0)
                line.holds = False
                goes_on(commits, taken)
            reached = list(taken)
            commits.wait(lambda offsets: offsets == reached, 60.0)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
            for number in range(PARTITIONS):
                assert judged(environment, number) == list(range(reached[number]))
            here("reconcile", **environment)
        finally:
            worker.kill()
            worker.wait()


def test_a_reader_of_logs_whose_connection_has_died_without_a_word_makes_another(line):
    name = f"read.{uuid.uuid4().hex[:8]}"
    producer = KafkaProducer(bootstrap_servers=line.kafka.address)

    async def go():
        async with KafkaLogs({"bootstrap_servers": line.address}, limit=2.0) as logs:
            assert len((await logs.read_to_end(name, 0)).records) == 1
            line.swallows = True
            with pytest.raises(TimeoutError, match=f"{name}/0: no answer within 2 s"):
                await logs.read_to_end(name, 0)
            line.swallows = False
            for _ in range(5):
                with suppress(TimeoutError):
                    return await logs.read_to_end(name, 0)

    try:
        admin = KafkaAdminClient(bootstrap_servers=line.kafka.address)
        make_topic(admin, name, 1)
        admin.close()
        producer.send(name, b"1").get(timeout=20)
        assert [record.value for record in asyncio.run(go()).records] == [b"1"]
    finally:
        line.swallows = False
        producer.close()


async def transactions(address, topic, rounds, many=5):
    """Some to each partition, every third one aborted."""
    async with AIOKafkaProducer(bootstrap_servers=address, transactional_id=f"t.{uuid.uuid4().hex[:8]}") as producer:
        for each in range(rounds):
            await producer.begin_transaction()
            for n in range(many * PARTITIONS):
                event = b'{"source_id": "m%d", "at": %d, "error": 0.5, "hardness": 0.5}' % (n, 1_700_000_000 + each)
                await producer.send_and_wait(topic, event, key=b"m%d" % n, partition=n % PARTITIONS)
            await (producer.commit_transaction() if each % 3 else producer.abort_transaction())


async def there(address, topic):
    """Offsets that aiokafka's own consumer finds in each partition, and the ends."""
    async with AIOKafkaConsumer(bootstrap_servers=address, isolation_level="read_committed") as consumer:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends, found = await consumer.end_offsets(places), {place: [] for place in places}
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                found[place] += [record.offset for record in records]
        return [(found[place], ends[place]) for place in places]


@pytest.mark.slow
def test_holes_that_transactions_and_compaction_leave_are_no_readings(line):
    address = line.kafka.address
    with installation(address, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        here("topics", "create", **environment)
        topic = environment["NILOMETER_KAFKA__PREFIX"] + topics.source("errors")
        admin = KafkaAdminClient(bootstrap_servers=address)

        def alter(**configs):
            values = {name.replace("_", "."): value for name, value in configs.items()}
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=values)])

        alter(cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01")
        end = time.monotonic() + 60
        while True:
            asyncio.run(transactions(address, topic, 6))
            found = asyncio.run(there(address, topic))
            if all(len(offsets) < upto / 2 for offsets, upto in found):
                break
            assert time.monotonic() < end, "nothing was compacted"
        alter(cleanup_policy="delete", segment_ms="604800000")
        admin.close()
        worker = nilometer("worker", **environment)
        try:
            wait_ready(worker, environment)
            asyncio.run(transactions(address, topic, 30))
            found = asyncio.run(there(address, topic))
            Commits(environment).wait(lambda offsets: all(at >= own[-1] + 1 for at, (own, _) in zip(offsets, found, strict=True)), 60.0)
            worker.send_signal(signal.SIGTERM)
            done(worker)
            for number, (offsets, upto) in enumerate(found):
                print(f"{upto:,} offsets, {len(offsets):,} readings")
                assert judged(environment, number) == offsets
            here("reconcile", **environment)
        finally:
            worker.kill()
            worker.wait()
            worker.stdout.close()


@pytest.mark.slow
def test_an_operator_who_moves_the_groups_offset_or_adds_partitions_is_told_how_to_get_out(line):
    with installation(line.kafka.address, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        here("topics", "create", **environment)
        send(environment, "model.errors", *[(number, b"m", EVENT, []) for number in (0, 1, 1, 1)])
        with working(environment):
            checkpointed(environment, "3")
        topic, group = (environment["NILOMETER_KAFKA__PREFIX"] + name for name in (topics.source("errors"), "nilometer"))
        admin = KafkaAdminClient(bootstrap_servers=line.kafka.address)
        try:
            place = TopicPartition(topic, 1)
            before = brokers.patiently(lambda: admin.list_group_offsets({group: [place]}))[group][place]
            admin.alter_group_offsets(group, {place: OffsetAndMetadata(1, "", -1)})
            with parked(environment) as why:
                assert list(why) == ["1"]  # the other goes on
                assert "the group's offset 1 of" in why["1"]
                assert "somebody has moved it. Put the commit back, or `nilometer state reset` the partition" in why["1"]
            admin.alter_group_offsets(group, {place: before})
            with working(environment):  # ready: nothing is parked
                send(environment, "model.errors", (1, b"m", EVENT, []))
                checkpointed(environment, "4")
            here("reconcile", **environment)
            admin.create_partitions({topic: 4})
            assert f"topic {topic} has 4 partitions, wanted 2 (streams.partitions)" in done(nilometer("worker", **environment), 2)
            for name in (
                topics.checkpoints("errors"),
                topics.cuts("errors"),
                topics.alerts("errors"),
                topics.scores("errors"),
                topics.ALERT_LABELS,
            ):
                admin.create_partitions({environment["NILOMETER_KAFKA__PREFIX"] + name: 4})
            with parked({**environment, "NILOMETER_STREAMS__PARTITIONS": "4"}) as why:
                assert "was made when the source had 2 partitions, now it has 4: keys have moved. Put the number back, or" in why["1"]
        finally:
            admin.close()


def goes_on(commits, taken):
    begun, reached = time.monotonic(), list(taken)
    commits.wait(lambda offsets: all(now >= then for now, then in zip(offsets, reached, strict=True)), 60.0)
    print(f"all that was there is committed after {time.monotonic() - begun:.1f} s")


@contextmanager
def late(line, soak):
    line.latency = 0.2
    yield 30.0
    line.latency = 0.0


@contextmanager
def narrow(line, soak):
    line.rate = 200_000.0
    soak.flood(0.5)
    yield 40.0
    line.rate = 0.0


@contextmanager
def cut(line, soak):
    with line.cutting(2.0):
        yield 30.0


@contextmanager
def deaf(line, soak):
    line.swallows = True
    yield 30.0
    line.swallows = False


@contextmanager
def away(line, soak):
    line.kafka.kill()
    yield 60.0
    line.kafka.start()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(KafkaError):  # of our own client, which waits longer and longer between two attempts
            soak.commits()
            return
        time.sleep(0.1)


@contextmanager
def stutters(line, soak):
    """It stands still for nine tenths of every second."""
    halt = threading.Event()

    def stop_and_go():
        while not halt.is_set():
            os.kill(line.kafka.pid, signal.SIGSTOP)
            halt.wait(0.9)
            os.kill(line.kafka.pid, signal.SIGCONT)
            halt.wait(0.1)

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield 30.0
    finally:
        halt.set()
        thread.join()


@contextmanager
def too_large(line, soak):
    """Alerts are longer than their topics take."""
    limit(soak, "100")
    yield 20.0
    limit(soak, "1048588")


def limit(soak, size):
    names = [soak.prefix + topics.alerts(name) for name in soak.files]
    soak.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs={"max.message.bytes": size}) for name in names])


@contextmanager
def forbidden(line, soak):
    """We may no longer write alerts."""
    names = [soak.prefix + topics.alerts(name) for name in soak.files]
    deny = ACLOperation.WRITE, ACLPermissionType.DENY
    soak.admin.create_acls([ACL("User:ann", "*", *deny, ResourcePattern(ResourceType.TOPIC, name)) for name in names])
    yield 20.0
    patterns = [ResourcePatternFilter(ResourceType.TOPIC, name, ACLResourcePatternType.LITERAL) for name in names]
    soak.admin.delete_acls([ACLFilter("User:ann", "*", *deny, pattern) for pattern in patterns])


def grant_all(line):
    """Ann may do everything, until she is denied something."""
    admin = KafkaAdminClient(bootstrap_servers=line.kafka.address)
    try:
        everything = (
            ResourcePattern(ResourceType.TOPIC, "*"),
            ResourcePattern(ResourceType.GROUP, "*"),
            ResourcePattern(ResourceType.CLUSTER, "kafka-cluster"),
        )
        admin.create_acls([ACL("User:ann", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, each) for each in everything])
    finally:
        admin.close()


def resident(worker):
    """MiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{worker.pid}/status").read_text())[1]) / 1024


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (late, ""),
        (narrow, ""),
        (cut, ""),
        (deaf, ""),
        (stutters, ""),
        (away, "Kafka answers again, after"),
        (too_large, r"topic \S+alerts\.\w+: the broker did not take what we wrote.*MessageSizeTooLargeError.*raise its max.message.bytes"),
        (forbidden, r"topic \S+alerts\.\w+: the broker did not take what we wrote.*TopicAuthorizationFailedError.*grant us to write it"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_between_worker_and_broker_is_not_seen_in_what_is_said(line, tmp_path, fault, words):
    grant_all(line)
    reach = {**ANN, "NILOMETER_KAFKA__BOOTSTRAP_SERVERS": line.kafka.addresses["SASL_PLAINTEXT"]} if fault is forbidden else by(line)
    with soaking(line.kafka.address, tmp_path, cards=60, days=60, postings=6_000) as soak, (tmp_path / "log").open("w") as log:
        worker = nilometer("worker", stdout=log, **{**soak.environment, **reach})
        soak.workers.append(worker)
        with soak.fed(0.85, 45.0):  # news all the time, whatever happens
            soak.wait_commits(2)
            before = largest = resident(worker)
            with fault(line, soak) as seconds:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    assert worker.poll() is None, (tmp_path / "log").read_text()[-5_000:]
                    largest = max(largest, resident(worker))
                    time.sleep(0.2)
            back = soak.wait_commits(1)
            soak.wait_verdicts()
            soak.flood()
            while soak.sent < len(soak.records):
                time.sleep(0.1)
            soak.drain()
        soak.stop()
        said = (tmp_path / "log").read_text()
        here("reconcile", **soak.environment)
        report = soak.judge(tmp_path)
    print(
        f"{fault.__name__}: every partition committed again after {back:.1f} s, {before:.0f} MiB before and {largest:.0f} at most\n{report}"
    )
    assert re.search(words, said), said[-5_000:]
    assert report.faults == 0, report
    assert report.alerts > 0
    assert back < BACK
    assert largest < before + GROWTH
