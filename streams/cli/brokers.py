"""Reaching Kafka from the command line, by kafka-python: never inside an agent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.topic_settings import Wanted

T = TypeVar("T")
PATIENCE_MS = 5_000  # how long a broker may take to answer for the first time
DELIVERY_SECONDS = 60.0  # how long a broker that is away is waited for
UNKNOWN_TOPIC = 3  # Kafka's error code
LARGEST_RECORD = 1_000_000  # bytes of a record of ours, with its key and headers, at most
SHORT_RETENTION_MS = 86_400_000  # a day: a weekend is longer
COORDINATOR_SECONDS = 15.0  # a broker's first question about groups makes it create their topic first


def unreachable(settings: Settings, problem: BaseException) -> str:
    """What is said when there is no broker."""
    return f"cannot reach Kafka at {settings.kafka.bootstrap_servers} (kafka.bootstrap_servers): {problem}"


@contextmanager
def admin(settings: Settings) -> Iterator[Any]:
    """kafka-python's admin client.

    Raises
    ------
    UserError
        No broker answers, or it refuses what is asked.
    """
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    from streams.transport.security import client_options

    options = client_options(settings.kafka)
    try:
        client = KafkaAdminClient(**options, bootstrap_timeout_ms=PATIENCE_MS, request_timeout_ms=3 * PATIENCE_MS)
    except KafkaError as problem:
        raise UserError(unreachable(settings, problem)) from problem
    try:
        yield client
    except KafkaError as problem:
        raise UserError(f"Kafka at {settings.kafka.bootstrap_servers} refuses: {problem}") from problem
    finally:
        client.close()


@contextmanager
def producer(settings: Settings, **more: Any) -> Iterator[Any]:
    """kafka-python's producer; a broker that goes away is waited for `DELIVERY_SECONDS`. Its own errors come through."""
    from kafka import KafkaProducer

    from streams.transport.security import client_options

    made = KafkaProducer(
        **client_options(settings.kafka),
        bootstrap_timeout_ms=PATIENCE_MS,
        max_block_ms=int(DELIVERY_SECONDS * 1000),
        delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
        request_timeout_ms=int(DELIVERY_SECONDS * 500),
        **more,
    )
    try:
        yield made
    finally:
        made.close(timeout=5)


def patiently(ask: Callable[[], T]) -> T:
    """An answer about a group, asked for again as long as there is no coordinator yet."""
    from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError

    end = time.monotonic() + COORDINATOR_SECONDS
    while True:
        try:
            return ask()
        except (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def create_missing(client: Any, settings: Settings, wanted: Mapping[str, Wanted]) -> list[str]:
    """Create the topics that are not there, and return their names."""
    from kafka.errors import TopicAlreadyExistsError

    missing = [topic for topic, partitions in partitions_of(client, wanted).items() if partitions is None]
    for topic in missing:
        asked = {
            "num_partitions": wanted[topic].partitions,
            "replication_factor": settings.kafka.replication or -1,
            "configs": dict(wanted[topic].configs),
        }
        try:
            client.create_topics({topic: asked}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            continue  # another worker was faster
    return missing


def mistakes(client: Any, wanted: Mapping[str, Wanted]) -> list[str]:
    """What is otherwise than wanted, a line for each."""
    found: list[str] = []
    there = partitions_of(client, wanted)
    for topic, many in there.items():
        if many is None:
            found.append(f"topic {topic} is missing: nilometer topics create")
        elif wanted[topic].exact and many != wanted[topic].partitions:
            found.append(
                f"topic {topic} has {many} partitions, wanted {wanted[topic].partitions} (streams.partitions): "
                "all topics of a stream have as many"
            )
    for topic, values in _configs(client, [topic for topic, many in there.items() if many is not None]).items():
        if not values:
            continue  # we may not look at them: `notes` says so
        for name, value in wanted[topic].configs.items():
            if values.get(name) != value:
                found.append(f"topic {topic} has {name} = {values.get(name)}, wanted {value}: kafka-configs.sh --alter")
        if "compact" in values.get("cleanup.policy", "") and "compact" not in wanted[topic].configs.get("cleanup.policy", ""):
            found.append(f"topic {topic} is compacted: records would vanish that a fold, or a replay of it, must see")
        if int(values.get("max.message.bytes", LARGEST_RECORD)) < LARGEST_RECORD:
            found.append(
                f"topic {topic} has max.message.bytes = {values['max.message.bytes']}, wanted at least {LARGEST_RECORD}, which is what a "
                "checkpoint, a score record or a dead letter may come to"
            )
    return found


def notes(client: Any, settings: Settings, wanted: Mapping[str, Wanted]) -> list[str]:
    """What is no mistake and yet worth knowing: sources that forget soon, settings that we may not look at."""
    from streams import topics

    sources = {settings.kafka.prefix + topics.source(stream) for stream in settings.streams.enabled}
    found = []
    configs = _configs(client, [topic for topic, many in partitions_of(client, wanted).items() if many])
    if unseen := sum(not values for values in configs.values()):
        found.append(f"the settings of {unseen} topics are not checked: that takes the right to DescribeConfigs")
    for topic, values in configs.items():
        kept = int(values.get("retention.ms", -1))
        if topic in sources and 0 <= kept < SHORT_RETENTION_MS:
            found.append(
                f"topic {topic} keeps records for {kept / 3_600_000:.1f} h: a worker that is away for longer finds its partitions parked"
            )
    return found


def partitions_of(client: Any, topics: Iterable[str]) -> dict[str, int | None]:
    """How many partitions each topic has; None where there is no such topic."""
    from kafka.errors import for_code

    found: dict[str, int | None] = {}
    for described in client.describe_topics(list(topics)):
        if described["error_code"] not in (0, UNKNOWN_TOPIC):
            raise for_code(described["error_code"])(described["name"])
        found[described["name"]] = len(described["partitions"]) if described["error_code"] == 0 else None
    return {topic: found.get(topic) for topic in topics}


def there(client: Any, topic: str) -> int:
    """How many partitions a topic has.

    Raises
    ------
    UserError
        There is no such topic.
    """
    many = partitions_of(client, {topic: None})[topic]
    if many is None:
        raise UserError(f"topic {topic} is missing: nilometer topics create")
    return many


def _configs(client: Any, topics: list[str]) -> dict[str, dict[str, str]]:
    from kafka.admin import ConfigResource, ConfigResourceType

    if not topics:
        return {}
    described = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics], config_filter="all")
    there = next(iter(described.values()))
    return {topic: {name: entry["value"] for name, entry in there.get(topic, {}).items()} for topic in topics}
