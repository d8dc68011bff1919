"""How each topic of ours is to be made: partitions, copies, retention, compaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from config.settings import Settings
from streams import topics
from streams.topics import ALERT_SUPPRESSIONS, EMPLOYEE_LIMITS

FOREVER = {"retention.ms": "-1", "retention.bytes": "-1"}
# Compacted, and read as a whole when a partition is restored: small segments are compacted soon, tombstones leave soon.
CHECKPOINTS = {
    "cleanup.policy": "compact",
    "segment.bytes": str(64 << 20),
    "delete.retention.ms": "60000",
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "86400000",  # what was swept away, a forgotten key's state among it, leaves the disk within a day
    "unclean.leader.election.enable": "false",
}


class Wanted(NamedTuple):
    """A topic as it should be; settings that are not named are the broker's own (retention of sources, alerts and scores).

    Where others read and write too (replies), it may have another number of partitions: `exact` says whether it may not.
    """

    partitions: int
    configs: Mapping[str, str]
    exact: bool = True


def create_topics(create: Callable[[str, int], None], settings: Settings, streams: Sequence[str]) -> None:
    """Create every topic that these streams need; what belongs together has the same number of partitions."""
    many, prefix = settings.streams.partitions, settings.kafka.prefix
    for stream in streams:
        for topic in (topics.source(stream), topics.alerts(stream), topics.scores(stream), topics.cuts(stream), topics.checkpoints(stream)):
            create(prefix + topic, many)
        if stream == "cards":
            create(prefix + topics.CARD_LABELS, many)
            if settings.cards.postings and "employees" not in streams:
                create(prefix + topics.source("employees"), many)
            create(prefix + topics.models(stream), 1)
            for reply in settings.cards.reply_topics:
                create(prefix + reply, many)
        if stream == "employees":
            create(prefix + topics.EMPLOYEE_LIMITS, many)
        create(prefix + topics.shared(stream), 1)
        create(prefix + topics.erasures(stream), 1)
    if streams:
        create(prefix + topics.ALERT_LABELS, many)
        create(prefix + topics.ALERT_SUPPRESSIONS, 1)
    create(prefix + topics.DEAD_LETTERS, 1)


def wanted_topics(settings: Settings, streams: Sequence[str]) -> dict[str, Wanted]:
    """Every topic that these streams need, by its full name."""
    wanted: dict[str, Wanted] = {}
    prefix, copies = settings.kafka.prefix, settings.kafka.replication

    def want(name: str, partitions: int) -> None:
        topic = name.removeprefix(prefix)
        wanted[name] = Wanted(partitions, configs(topic, copies), exact=topic not in settings.cards.reply_topics)

    create_topics(want, settings, streams)
    return wanted


def configs(topic: str, copies: int = 0) -> dict[str, str]:
    """The settings of a topic (its name without the prefix) that must not be left to the broker.

    >>> configs("nilometer.cuts.cards")
    {'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '-1'}
    >>> configs("sensor.readings")
    {}
    """
    safe = {"min.insync.replicas": "2"} if copies >= 3 else {}
    if topic.startswith("nilometer.checkpoints."):
        return {**CHECKPOINTS, **safe}
    if topic == EMPLOYEE_LIMITS:  # a limit that was taken away is heard of by a worker that was down for a month
        return {"cleanup.policy": "compact", "delete.retention.ms": str(30 * 86_400_000), **safe}
    if topic == ALERT_SUPPRESSIONS:
        return {"cleanup.policy": "compact", **safe}
    if topic.startswith("nilometer."):  # cut logs and what is merged: a fold of the source's oldest record may ask for their oldest
        return {"cleanup.policy": "delete", **FOREVER, **safe}
    return {}
