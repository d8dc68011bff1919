"""What Kafka's access lists must grant, and what of it is missing: for those whose topics are made and guarded by others.

The broker itself is asked what we may do. One without access lists grants everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from streams import topics

if TYPE_CHECKING:
    from config.settings import Settings

READ, WRITE = "Read", "Write"  # either brings Describe with it
DENIED = 29  # Kafka's error code for a topic that one may not even see


def needed(settings: Settings, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What workers, relay and commands do to each of our topics (full names)."""
    prefix, streams = settings.kafka.prefix, settings.streams.enabled
    written = {topics.scores(stream) for stream in streams} | {topics.DEAD_LETTERS, *settings.cards.reply_topics}
    both = {topics.scores("cards"), topics.ALERT_LABELS, topics.ALERT_SUPPRESSIONS}  # the trainer reads; commands judge and suppress
    both |= {topics.alerts(stream) for stream in streams}  # the relay reads
    if "cards" in streams and settings.cards.postings:
        both.add(topics.source("employees"))
    asked: dict[str, tuple[str, ...]] = {}
    for name in names:
        topic = name.removeprefix(prefix)
        if topic in both or topic.startswith("nilometer."):
            asked[name] = (READ, WRITE)
        else:
            asked[name] = (WRITE,) if topic in written else (READ,)
    return asked


def refusals(client: Any, settings: Settings, names: Iterable[str]) -> list[str]:
    """What we may not do to topics that are there, and to our groups; a line for each, with what grants it."""
    asked, found = needed(settings, names), []
    for described in client.describe_topics(list(asked)):
        name = described["name"]
        if described["error_code"] == DENIED:
            missing: tuple[str, ...] = asked[name]
        elif described["error_code"] == 0:
            missing = _missing(asked[name], described)
        else:
            continue
        if missing:
            found.append(f"topic {name}: we may not {_words(missing)}: {_grant(missing, f'--topic {name}')}")
    return found + _of_the_group(client, groups(settings)[0])


def _of_the_group(client: Any, group: str) -> list[str]:
    from kafka.errors import GroupAuthorizationFailedError

    from streams.cli.brokers import patiently

    try:
        described = patiently(lambda: client.describe_groups([group], include_authorized_operations=True)).get(group, {})
    except GroupAuthorizationFailedError:
        described = {"authorized_operations": []}
    granted = described.get("authorized_operations")
    if granted is None or READ.upper() in granted:
        return []
    return [f"group {group}: we may not join it: {_grant((READ,), f'--group {group}')}"]


def groups(settings: Settings) -> list[str]:
    """The groups that workers and the relay join, or the beginning of their names with a star."""
    prefix = settings.kafka.prefix
    return [f"{prefix}nilometer", f"{prefix}nilometer-relay-*"]


def _missing(asked: tuple[str, ...], described: Mapping[str, Any]) -> tuple[str, ...]:
    granted = described.get("authorized_operations")
    if granted is None:  # an old broker does not say
        return ()
    return tuple(operation for operation in asked if operation.upper() not in granted)


def _words(operations: Iterable[str]) -> str:
    return " or ".join(operation.lower() for operation in operations)


def _grant(operations: Iterable[str], what: str) -> str:
    return f"kafka-acls.sh --add --allow-principal … {' '.join(f'--operation {operation}' for operation in operations)} {what}"
