"""What has been said of every episode: the alert topics folded, one destination at a time.

A record is said to be *held* if its key was quiet (suppressed, or in a maintenance window) when it was recorded. That depends on the
log, the suppressions and the settings alone, so a courier that begins again knows what its predecessor told and what it held back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from streams.relay.alert import CLOSED, Alert, without_evidence
from streams.transport.log import Record

REMEMBERED = 50_000  # episodes that are over, so that what is said of them again is known for a repeat

UNHEARD_SECONDS = 60.0  # a suppression so young may have been said and not been heard of by the relay of then


class Quiet(Protocol):
    """When nothing is to be heard of a stream's key."""

    def __call__(self, stream: str, key: str, at: float, /) -> str | None:
        """Why nothing is, at an epoch second; None if it is."""

    def began(self, stream: str, key: str, at: float, earliest: float) -> float:
        """Since when, without a break; not looked for further back than `earliest`."""


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
    first: float  # epoch second at which its first report was recorded
    recalled: bool = False  # whether that was dealt with by a relay before this one
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

    def knows(self, name: str) -> bool:
        """Whether an episode is open."""
        return name in self._open

    def hear(self, record: Record, alert: Alert, *, recalled: bool = False) -> tuple[Heard, Story | None]:
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
        at = record.timestamp_ms / 1000.0
        held = self._quiet(data.stream, data.key, at) is not None
        where, body = record._replace(value=None), without_evidence(record.value)
        if story is None:
            story = Story(where, alert, body, at, recalled)
        else:
            story.record, story.alert, story.body = where, alert, body
        if data.phase == CLOSED:
            self.end(story)
            story.held = None
            return (Heard.UNSAID if held and not self.told(story, at) else Heard.NEWS), story
        self._over.pop(name, None)
        self._open[name] = story
        story.held = record.value if held else None
        story.told = story.told or not held
        return (Heard.HELD if held else Heard.NEWS), story

    def told(self, story: Story, at: float) -> bool:
        """Whether anybody has heard of it, at a moment of quiet; where that is not to be known, they have: an end too many does no harm.

        What a relay of before held, it has told when that quiet was over; and what it got while it had not heard of a suppression, too.
        """
        if story.told or not story.recalled:
            return story.told
        data = story.alert.data
        return story.first < self._quiet.began(data.stream, data.key, at, story.first) + UNHEARD_SECONDS

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
