"""`nilometer status`, `state` and `dead-letters` on a broker: what they say is what lies there."""

from __future__ import annotations

import asyncio
import socket
import time

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from config.load import load
from streams import topics
from streams.cli import brokers, reading
from streams.cli.cold import group_of
from streams.cli.status import made_at
from streams.configured import definition
from streams.dead_letters import DeadLetter
from streams.durable.cut_log import Adoption, Begin, Generation, decode, encode
from streams.durable.manifest import Shelf
from streams.durable.references import digest
from streams.durable.store import Stored
from streams.topic_settings import wanted_topics
from streams.transport.kafka_logs import KafkaLogs
from tests.kafka.commands import here, installation, parked, working

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def run(*arguments, code=0, **environment):
    return here(*arguments, code=code, **environment).splitlines()


def send(environment, topic, *records):
    """Records (partition, key, value, headers) to a topic without its prefix."""
    producer = KafkaProducer(bootstrap_servers=environment["NILOMETER_KAFKA__BOOTSTRAP_SERVERS"])
    for partition, key, value, headers in records:
        producer.send(environment["NILOMETER_KAFKA__PREFIX"] + topic, value, key=key, partition=partition, headers=headers).get(timeout=20)
    producer.close()


def lying(environment, topic, partition=0):
    async def read():
        async with KafkaLogs({"bootstrap_servers": environment["NILOMETER_KAFKA__BOOTSTRAP_SERVERS"]}) as logs:
            return (await logs.read_to_end(environment["NILOMETER_KAFKA__PREFIX"] + topic, partition)).records

    return asyncio.run(read())


def letter(environment, offset, reason, value, topic="sensor.readings"):
    made = DeadLetter(environment["NILOMETER_KAFKA__PREFIX"] + topic, 1, offset, reason, (), b"p-1", value)
    return 0, made.key, made.body(), made.headers()


def test_commands_that_look_say_in_a_line_that_there_is_no_broker(monkeypatch):
    monkeypatch.setattr(brokers, "PATIENCE_MS", 1_000)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        environment = {"NILOMETER_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{nobody.getsockname()[1]}"}
        for command in ("status", "reconcile", "state cuts sensors", "dead-letters list", "dead-letters redrive"):
            (line,) = run(*command.split(), code=2, **environment)
            assert line.startswith(f"nilometer: cannot reach Kafka at {environment['NILOMETER_KAFKA__BOOTSTRAP_SERVERS']}")


def test_dead_letters_are_listed_and_go_back_where_they_came_from(kafka):
    with installation(kafka, "sensors") as environment:
        assert "is missing: nilometer topics create" in run("dead-letters", "list", code=2, **environment)[0]
        run("topics", "create", **environment)
        assert run("dead-letters", "list", **environment) == ["no dead letters"]
        large = letter(environment, 12, "too large", b"x" * 900_001)
        send(
            environment,
            topics.DEAD_LETTERS,
            letter(environment, 7, "malformed JSON", b'{"value": '),
            letter(environment, 9, "no such sensor", None),
            letter(environment, 3, "malformed JSON", b"{", "card.transactions"),
            (0, None, b"not ours", []),
            large,
        )
        prefix = environment["NILOMETER_KAFKA__PREFIX"]
        every = run("dead-letters", "list", **environment)
        assert every[0] == f'0  {prefix}sensor.readings/1@7  malformed JSON  {{"value":'
        assert every[1] == f"1  {prefix}sensor.readings/1@9  no such sensor  null"
        assert len(every) == 4
        assert run("dead-letters", "list", "--limit", "1", **environment) == every[-1:]
        assert run("dead-letters", "list", "--stream", "cards", **environment) == every[2:3]
        assert "wanted one of sensors" in run("dead-letters", "list", "--stream", "pumps", code=2, **environment)[0]
        dry = run("dead-letters", "redrive", "--stream", "sensors", "--dry-run", **environment)
        assert dry == ["1 left out: only their beginning was kept", *every[:2], "2 would be sent"]
        assert lying(environment, "sensor.readings", 1) == []
        assert run("dead-letters", "redrive", "--stream", "sensors", "--reason", "JSON", **environment) == ["1 sent; go on with --from 1"]
        (sent,) = lying(environment, "sensor.readings", 1)
        assert (sent.key, sent.value) == (b"p-1", b'{"value": ')
        assert run("dead-letters", "redrive", "--stream", "sensors", "--reason", "JSON", "--from", "1", **environment) == ["0 sent"]
        assert "card.transactions/1 is not there any more; nothing was sent" in run("dead-letters", "redrive", code=2, **environment)[-1]


def test_every_reading_is_accounted_for(kafka):
    with installation(kafka, "sensors") as environment:
        run("topics", "create", **environment)
        assert run("reconcile", **environment)[0] == "sensors: 0 of 2 partitions have a checkpoint"
        reading = {"sensor_id": "p-1", "at": 1_700_000_000, "value": 1.0}
        frame = {"sensor_id": "p-1", "at": 1_700_000_001, "step": 1.0, "values": [1.0, 1e300, 3.0]}
        values = [msgspec.json.encode(each) for each in (reading, frame, reading)]
        with working(environment):
            send(environment, "sensor.readings", *[(1, b"p-1", value, []) for value in [*values, b"{"]])
            end = time.monotonic() + 60
            while not any(line.split()[:3] == ["1", "0", "4"] for line in run("reconcile", **environment)):
                assert time.monotonic() < end, "not all is in a checkpoint"
                time.sleep(0.5)
        lines = [line.split() for line in run("reconcile", **environment)]
        assert lines[0][:4] == ["sensors:", "2", "of", "2"]
        assert lines[-1] == ["1", "0", "4", "6", "0", "3", "1", "0", "0", "2", "0"]
        # A letter that was never written, as far as anybody can tell.
        admin = KafkaAdminClient(bootstrap_servers=environment["NILOMETER_KAFKA__BOOTSTRAP_SERVERS"])
        admin.delete_records({TopicPartition(environment["NILOMETER_KAFKA__PREFIX"] + topics.DEAD_LETTERS, 0): 1})
        admin.close()
        said = run("reconcile", code=1, **environment)
        assert said[-1] == "  partition 1: 2 readings cannot be read, 1 are among the dead letters (retention?)"


def test_the_cuts_that_count_are_printed_as_backtest_takes_them(kafka):
    with installation(kafka, "employees") as environment:
        run("topics", "create", **environment)
        first, late = Generation(0, 1), Generation(0, 2)
        log = [Begin(first, 0), Adoption(first, 1, 5, {"a": 1}), Begin(late, 9), Adoption(first, 2, 8, {}), Adoption(late, 1, 9, {"b": 2})]
        send(environment, topics.cuts("employees"), *[(1, None, encode(record), []) for record in log])
        lines = [msgspec.json.decode(line) for line in run("state", "cuts", "employees", **environment)]
        assert lines == [{"partition": 1, "n": 5, "inputs": {"a": 1}}, {"partition": 1, "n": 9, "inputs": {"b": 2}}]
        send(environment, topics.cuts("employees"), (0, None, b"what", []))
        assert "cannot be read" in run("state", "cuts", "employees", code=2, **environment)[0]


def test_the_versions_that_cuts_name_are_printed_as_backtest_takes_them(kafka):
    with installation(kafka, "cards") as environment:
        run("topics", "create", **environment)
        values = [b'{"shares": {"hour": 1}}', b'{"shares": {"hour": 2}}', b'{"shares": {"hour": 3}}']
        send(environment, topics.models("cards"), *[(0, None, value, []) for value in values])
        named = [{"topic": topics.models("cards"), "partition": 0, "offset": at, "digest": digest(values[at])} for at in (0, 2)]
        log = [Begin(Generation(0, 1), 0), *(Adoption(Generation(0, 1), 1 + i, 5 + i, {"shares": each}) for i, each in enumerate(named))]
        send(environment, topics.cuts("cards"), *[(1, None, encode(record), []) for record in log])
        lines = [msgspec.json.decode(line) for line in run("state", "cuts", "cards", "--models", **environment)]
        assert lines == [{"offset": at, "record": msgspec.json.decode(values[at])} for at in (0, 2)]


def test_status_shows_topics_offsets_checkpoints_and_workers(kafka):
    with installation(kafka, "sensors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        many = len(wanted_topics(load(environment=environment), ["sensors"]))
        lines = run("status", **environment)
        assert lines[0] == f"topics: 0 of {many} are there"
        assert "sensors: no source topic" in lines
        assert lines[-1] == "workers: 0"
        run("topics", "create", **environment)
        reading = b'{"sensor_id": "p-1", "at": 1700000000, "value": 1.0}'
        send(environment, "sensor.readings", (1, b"p-1", reading, []), (1, b"p-1", reading, []))
        lines = run("status", **environment)
        assert lines[0] == f"topics: {many} of {many} are there"
        assert line_of(lines, 1) == ["1", "2", "-", "2", "-", "-"]
        with working(environment):
            lines = checkpointed(environment, "2")
            number, reached, _, lag, age, checkpoint = line_of(lines, 1)
            assert (number, reached, lag) == ("1", "2", "0")
            assert checkpoint.count("/") == 1
            assert 0 <= int(age.removesuffix("s")) < 60
            time.sleep(2.5)
            again = line_of(run("status", **environment), 1)
            assert again[-1] == checkpoint  # nothing has come since, so none was made
            assert int(again[4].removesuffix("s")) >= 2
            workers = [line.startswith("workers: 1 (the group is ") for line in lines].index(True)
            assert lines[workers + 1].endswith(": sensors 0,1")


def line_of(lines, number):
    """The line of a partition, in words."""
    (line,) = [line.split() for line in lines if line.split()[0] == str(number)]
    return line


def test_the_age_of_a_checkpoint_is_found_behind_many_tombstones(kafka):
    with installation(kafka, "errors") as environment:
        run("topics", "create", **environment)
        topic = environment["NILOMETER_KAFKA__PREFIX"] + topics.checkpoints("errors")
        behind = [(0, b"old/%d/%d" % (i, i), None, []) for i in range(100)]
        send(environment, topics.checkpoints("errors"), (0, b"ab/3/0", b"chunk", []), (0, b"ab/3/m", b"manifest", []), *behind)
        settings = load(environment=environment)
        with brokers.admin(settings), reading.reader(settings) as consumer:
            assert 0.0 <= time.time() - made_at(consumer, topic, 0, "ab/3") < 60.0
            assert made_at(consumer, topic, 0, "ab/33") is None
            assert made_at(consumer, topic, 1, "ab/3") is None


def test_a_parked_partition_is_reset_and_goes_on(kafka):
    with installation(kafka, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        run("topics", "create", **environment)
        event = b'{"source_id": "m", "at": 1700000000, "error": 0.5, "hardness": 0.5}'
        send(environment, "model.errors", *[(1, b"m", event, [])] * 3)
        arguments = ("state", "reset", "errors", "--partition", "1")
        with working(environment):
            checkpointed(environment, "3")
            assert "1 members: stop every worker first" in run(*arguments, "--yes", code=2, **environment)[0]
        environment = {**environment, "NILOMETER_CALIBRATION__WARM_UP": "900"}  # shapes the state: parked
        assert "would begin anew at 3 with nothing learnt: say so with --yes" in run(*arguments, code=2, **environment)[0]
        assert "holds 0 to 3" in run(*arguments, "--at", "4", code=2, **environment)[0]
        for number in ("0", "1"):
            (line,) = run("state", "reset", "errors", "--partition", number, "--yes", **environment)
            assert "begins anew at" in line
        with working(environment):  # ready: nothing is parked
            send(environment, "model.errors", (1, b"m", event, []))
            checkpointed(environment, "4")
        log = [decode(record.value) for record in lying(environment, topics.cuts("errors"), 1)]
        epochs = [each.generation.epoch for each in log]
        assert epochs == sorted(epochs)
        assert log[-1].generation > (1, 0)
        assert Begin(Generation(1, 0), 3) in log


def test_a_group_that_was_deleted_is_gone_on_from_the_last_checkpoint(kafka):
    with installation(kafka, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        run("topics", "create", **environment)
        event = b'{"source_id": "m", "at": 1700000000, "error": 0.5, "hardness": 0.5}'
        send(environment, "model.errors", *[(1, b"m", event, [])] * 3)
        arguments = ("state", "reset", "errors", "--keep", "--partition")
        assert "holds no checkpoint that can be gone on from" in run(*arguments, "1", code=2, **environment)[0]
        with working(environment):
            checkpointed(environment, "3")
        settings = load(environment=environment)
        with brokers.admin(settings) as client:
            client.delete_groups([group_of(settings)])
        with parked(environment) as why:
            assert "the group has no position" in why["1"]
            assert "`nilometer state reset --keep` the partition" in why["1"]
        assert "--at has no say" in run(*arguments, "1", "--at", "2", code=2, **environment)[0]
        for number, offset in (("0", 0), ("1", 3)):
            (line,) = run(*arguments, number, **environment)
            assert f"model.errors/{number} goes on from checkpoint" in line
            assert f" at {offset} (epoch 1)" in line
        with working(environment):  # ready: nothing is parked
            send(environment, "model.errors", (1, b"m", event, []))
            name = line_of(checkpointed(environment, "4"), 1)[-1]
        shelf = Shelf(Stored(r.offset, r.key, r.value) for r in lying(environment, topics.checkpoints("errors"), 1))
        part = definition("errors", settings).partition(1)
        part.thaw(shelf.data(name, shelf.manifest(name)))
        assert part.counts.events == 4  # nothing was forgotten, and nothing counted twice


def checkpointed(environment, offset):
    """Wait until the group's position of partition 1 is there, with a checkpoint."""
    end = time.monotonic() + 40
    while True:
        lines = run("status", **environment)
        if line_of(lines, 1)[2] == offset:
            return lines
        assert time.monotonic() < end, lines
