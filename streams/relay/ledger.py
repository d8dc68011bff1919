"""What has been said of every episode: the alert topics folded, one destination at a time.

A record is said to be *held* if its key was quiet (suppressed, or in a maintenance window) when it was recorded. That depends on the
log, the suppressions and the settings alone, so a courier that begins again knows what its predecessor told and what it held back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from streams.relay.alert import CLOSED, Alert, without_evidence
from streams.transport.log import Record

REMEMBERED = 50_000  # episodes that are over, so that what is said of them again is known for a repeat

Quiet = Callable[[str, str, float], str | None]  # (stream, key, epoch seconds) → why nothing is to be heard of it then


class Heard(Enum):
    """What a record is to a destination."""

    NEWS = auto()  # to be told
    REPEAT = auto()  # it was heard before: workers say things again after a crash
    HELD = auto()  # of a quiet key: told when the quiet ends, if the episode is still open then
    UNSAID = auto()  # the end of what was never told


@dataclass(slots=True)
class Story:
    """An episode as far as it has been reported."""

    record: Record  # the latest report's, without its value
    alert: Alert
    body: bytes  # its bytes, without the evidence
    told: bool = False  # whether any report was not held
    held: bytes | None = None  # the latest report, whole, if it was held
    over: bool = False

    @property
    def id(self) -> str:
        return self.alert.data.episode.id


class Ledger:
    """The episodes of the partitions that a courier has."""

    def __init__(self, quiet: Quiet, remembered: int = REMEMBERED) -> None:
        self._quiet = quiet
        self._remembered = remembered
        self._open: dict[str, Story] = {}
        self._over: OrderedDict[str, int] = OrderedDict()  # id → number of its last report

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Story]:
        """The stories that are not over."""
        return iter(list(self._open.values()))

    def hear(self, record: Record, alert: Alert) -> tuple[Heard, Story | None]:
        """Take a record in, and say what it is; the story is there unless it is a repeat.

        The reports of an episode come in their order, since they share a key and so a partition: one that is not above the last
        is a repeat. One of an episode that is not known (its beginning has left the topic) opens it.
        """
        assert record.value is not None
        data = alert.data
        name, number = data.episode.id, data.episode.report
        story = self._open.get(name)
        last = self._over.get(name) if story is None else story.alert.data.episode.report
        if last is not None and number <= last:
            return Heard.REPEAT, None
        held = self._quiet(data.stream, data.key, record.timestamp_ms / 1000.0) is not None
        where, body = record._replace(value=None), without_evidence(record.value)
        if story is None:
            story = Story(where, alert, body)
        else:
            story.record, story.alert, story.body = where, alert, body
        if data.phase == CLOSED:
            self.end(story)
            story.held = None
            return (Heard.NEWS if story.told or not held else Heard.UNSAID), story
        self._over.pop(name, None)
        self._open[name] = story
        story.held = record.value if held else None
        story.told = story.told or not held
        return (Heard.HELD if held else Heard.NEWS), story

    def end(self, story: Story) -> None:
        """A story is over; its id is remembered for a while."""
        story.over = True
        self._open.pop(story.id, None)
        self._over[story.id] = story.alert.data.episode.report
        self._over.move_to_end(story.id)
        while len(self._over) > self._remembered:
            self._over.popitem(last=False)

    def places(self) -> Iterable[tuple[str, int]]:
        """(stream, partition of its source) of whatever is open."""
        return sorted({(story.alert.data.stream, story.alert.data.audit.partition) for story in self._open.values()})
