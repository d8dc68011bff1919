"""One real broker for all test processes of a session, or the one that ``NILOMETER_TEST_KAFKA=host:port`` names."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from tests.kafka.broker import Kafka, NoKafka

HERE = Path(__file__).parent
_started: list[Kafka] = []  # by this process


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kafka)


@contextmanager
def _shared(folder: Path) -> Iterator[dict[str, object]]:
    """What the processes know together, read and written under a lock."""
    with (folder / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / "kafka.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        try:
            yield known
        finally:
            file.write_text(json.dumps(known))


def no_broker(reason: str) -> None:
    """Skip for want of a broker; with CI=true that is a failure."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"CI must test on a real broker: {reason}")
    pytest.skip(f"no Apache Kafka to test on: {reason}")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a broker that all tests share: make topics of your own (`topic_name`), and leave it running."""
    if given := os.environ.get("NILOMETER_TEST_KAFKA"):
        yield given
        return
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with _shared(folder) as known:
        if not known.get("users"):
            try:
                broker = Kafka().start()
            except NoKafka as reason:
                no_broker(str(reason))
            _started.append(broker)
            known.update(address=broker.address, pid=broker.pid, folder=str(broker.folder), users=0)
        known["users"] = int(str(known["users"])) + 1
        address = str(known["address"])
    try:
        yield address
    finally:
        with _shared(folder) as known:
            known["users"] = int(str(known["users"])) - 1
            for broker in _started:
                broker.let_go()
            if not known["users"]:
                with suppress(ProcessLookupError):
                    os.kill(int(str(known["pid"])), signal.SIGKILL)
                shutil.rmtree(str(known["folder"]), ignore_errors=True)


@pytest.fixture
def own_kafka() -> Iterator[Kafka]:
    """A broker of one's own, to stop and to kill."""
    try:
        broker = Kafka()
    except NoKafka as reason:
        no_broker(str(reason))
    try:
        yield broker.start()
    finally:
        broker.remove()


@pytest.fixture(scope="session")
def admin(kafka: str) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=kafka)
    yield client
    client.close()


@pytest.fixture
def topic(admin: KafkaAdminClient, request: pytest.FixtureRequest) -> str:
    """A topic of this test with two partitions."""
    name = f"{request.node.name[:60].translate(str.maketrans('[]/ ', '....'))}.{uuid.uuid4().hex[:8]}"
    make_topic(admin, name, 2)
    return name


def make_topic(admin: KafkaAdminClient, name: str, partitions: int, **configs: str) -> None:
    """A topic that keeps its records, whatever time they carry, unless `configs` (dots as underscores) say otherwise."""
    kept = {"retention.ms": "-1", **{key.replace("_", "."): value for key, value in configs.items()}}
    made = {name: {"num_partitions": partitions, "replication_factor": 1, "configs": kept}}
    admin.create_topics(made, wait_for_metadata=True)
