"""`nilometer state export`, `import`, `repartition`, `erase` and `inspect` on a broker."""

from __future__ import annotations

import json
import time

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewPartitions

from config.load import load
from streams import topics
from streams.cli import brokers, reading
from streams.durable.manifest import Shelf
from streams.durable.store import Stored
from streams.topic_settings import wanted_topics
from streams.transport.broker import partition_of_key
from tests.kafka.commands import installation, working
from tests.kafka.test_looking import lying, run, send

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SOURCES = [f"m{i}" for i in range(6)]


def events(first, last, partitions=2):
    """Errors of six sources, dealt as their senders would."""
    made = []
    for i in range(first, last):
        key = SOURCES[i % len(SOURCES)]
        value = {"source_id": key, "at": 1_700_000_000 + i, "error": 0.5 + i % 7 / 10, "hardness": 0.5 + i % 5 / 10}
        made.append((partition_of_key(key.encode(), partitions), key.encode(), json.dumps(value).encode(), []))
    return made


def settled(environment, condition):
    """Wait until `inspect` says of every source what is wanted of it."""
    end = time.monotonic() + 60
    while True:
        seen = {key: inspected(environment, key) for key in SOURCES}
        if condition(seen):
            return seen
        assert time.monotonic() < end, seen
        time.sleep(0.2)


def inspected(environment, key):
    try:
        (line,) = run("inspect", "errors", key, "--json", **environment)
    except AssertionError:
        return None
    return json.loads(line)["events"]


def counted(n):
    return lambda seen: list(seen.values()) == [n] * len(SOURCES)


def test_a_savepoint_is_taken_while_workers_work_and_gone_back_to(kafka, tmp_path):
    with installation(kafka, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        run("topics", "create", **environment)
        file = str(tmp_path / "errors.savepoint")
        assert "model.errors/0 has no checkpoint yet" in run("state", "export", "errors", "--out", file, code=2, **environment)[0]
        send(environment, "model.errors", *events(0, 60))
        with working(environment):
            settled(environment, counted(10))
            lines = run("state", "export", "errors", "--out", file, **environment)
            assert [line.split()[0].rpartition(".")[2] for line in lines] == ["errors/0", "errors/1"]
            assert "stop every worker first" in run("state", "import", "errors", file, "--yes", code=2, **environment)[0]
            send(environment, "model.errors", *events(60, 120))
            settled(environment, counted(20))
            shown = run("inspect", "errors", "m3", **environment)
            assert any(line.split() == ["events", "20"] for line in shown)
        assert "say so with --yes" in run("state", "import", "errors", file, code=2, **environment)[-1]
        other = {**environment, "NILOMETER_CALIBRATION__WARM_UP": "900"}
        assert "warm_up=500" in run("state", "import", "errors", file, "--yes", code=2, **other)[0]
        lines = run("state", "import", "errors", file, "--yes", **environment)
        assert all("(epoch 1, checkpoint " in line for line in lines[:2])
        assert list({key: inspected(environment, key) for key in SOURCES}.values()) == [10] * 6
        with working(environment):
            settled(environment, counted(20))  # folded again


def test_keys_move_when_topics_grow(kafka, tmp_path):
    with installation(kafka, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        run("topics", "create", **environment)
        old, new = str(tmp_path / "old"), str(tmp_path / "new")
        send(environment, "model.errors", *events(0, 60))
        with working(environment):
            settled(environment, counted(10))
        run("state", "export", "errors", "--out", old, **environment)
        lines = run("state", "repartition", "errors", old, "--to", "5", "--out", new, **environment)
        assert sum(int(line.split()[2]) for line in lines[:5]) == len(SOURCES)
        assert "every key's own state has moved with it, to the bit" in lines[-1]
        assert "has 2 partitions already" in run("state", "repartition", "errors", old, "--to", "2", "--out", new, code=2, **environment)[0]
        environment["NILOMETER_STREAMS__PARTITIONS"] = "5"
        wanted = wanted_topics(load(environment=environment), ["errors"])
        client = KafkaAdminClient(bootstrap_servers=kafka)
        client.create_partitions({topic: NewPartitions(5) for topic, how in wanted.items() if how.partitions == 5})
        client.close()
        assert "the savepoint has 2 partitions, the source 5" in run("state", "import", "errors", old, "--yes", code=2, **environment)[0]
        run("state", "import", "errors", new, "--yes", **environment)
        send(environment, "model.errors", *events(60, 120, partitions=5))
        late = run("state", "import", "errors", new, "--yes", code=2, **environment)[0]
        assert "must have been folded before" in late
        run("state", "import", "errors", new, "--yes", "--keyed-anew", **environment)
        with working(environment):
            settled(environment, counted(20))


def test_a_key_is_forgotten_while_nothing_comes(kafka):
    with installation(kafka, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        run("topics", "create", **environment)
        send(environment, "model.errors", *events(0, 60))
        with working(environment):
            settled(environment, counted(10))
            assert "would be forgotten: say so with --yes" in run("state", "erase", "errors", "m3", code=2, **environment)[0]
            assert "asked as " in run("state", "erase", "errors", "m3", "--yes", **environment)[0]
            settled(environment, lambda seen: [key for key, many in seen.items() if many is None] == ["m3"])
            end = time.monotonic() + 60
            while any(b"m3" in state for state in states(environment)):
                assert time.monotonic() < end, "an old checkpoint stays"
                time.sleep(0.5)
            assert sum(b"m2" in state for state in states(environment)) >= 2
        assert "nothing is kept of errors/m3" in run("inspect", "errors", "m3", code=2, **environment)[0]
        lines = [json.loads(line) for line in run("state", "cuts", "errors", **environment)]
        assert [list(line["inputs"]) for line in lines] == [["erase"]] * 2
        assert not any(b"m3" in record.value for number in (0, 1) for record in lying(environment, topics.cuts("errors"), number))


def states(environment):
    """Every checkpoint that is not swept away, unpacked."""
    settings = load(environment=environment)
    topic = settings.kafka.prefix + topics.checkpoints("errors")
    found = []
    with brokers.admin(settings), reading.reader(settings) as consumer:
        for number in range(2):
            shelf = Shelf(Stored(r.offset, r.key, r.value) for r in reading.to_end(consumer, topic, number))
            for name in shelf.parts:
                manifest = shelf.manifest(name)
                if manifest is not None and (data := shelf.data(name, manifest)) is not None:
                    found.append(bytes(data))
    return found
