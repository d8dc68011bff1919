"""A courier: one destination served from the alert topics, an alert committed only when it is delivered or buried.

It waits for what is away without leaving its group, and begins again from what is committed whenever the group gives it other
partitions: what it knows of episodes is read from below the committed offsets.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from config.settings import Relay
from streams import topics
from streams.dead_letters import LETTER_FOR, DeadLetter
from streams.relay.alert import UNTIL_HEARD, Alert, read
from streams.relay.inbox import Inbox, Reassigned
from streams.relay.ledger import Heard, Ledger, Quiet, Story
from streams.relay.metrics import RelayMetrics
from streams.relay.post import Answer, post
from streams.telemetry import logs
from streams.transport.log import Record

Send = Callable[[str, bytes, Mapping[str, str], float], Answer]
POLL_SECONDS = 1.0
MEASURE_SECONDS = 15.0  # while a destination is away
SAID = 200  # characters of an answer that are worth a line


class Stopped(Exception):
    """Told to stop, in the middle of something: it is not committed, and will be done again."""


@dataclass(frozen=True, slots=True)
class Around:
    """What couriers share: settings, quiet, silences by stream in seconds, metrics, what is asked whether to stop, clock and post.

    `hidden` are secrets that no answer may bring to light: a destination may say again what it was sent.
    """

    relay: Relay
    quiet: Quiet
    silences: Mapping[str, float]
    metrics: RelayMetrics
    stopping: Callable[[], bool]
    clock: Callable[[], float] = time.time
    send: Send = post
    hidden: Sequence[str] = ()


class Courier(ABC):
    """Serves one destination; `name` is that of its consumer group, too."""

    def __init__(self, name: str, inbox: Inbox, around: Around) -> None:
        self.name = name
        self.inbox = inbox
        self.around = around
        self.relay, self.metrics = around.relay, around.metrics
        self.ledger = Ledger(around.quiet)
        self.serving = False  # what is ours is known, and read
        self._early: list[Record] = []
        self._looked = self._measured = 0.0

    def run(self) -> None:
        """Serve until told to stop."""
        while not self.around.stopping():
            try:
                self._serve()
            except Reassigned:
                continue
            except Stopped:
                return

    def _serve(self) -> None:
        self._early = []
        self.serving = False
        self.ledger = Ledger(self.around.quiet)
        for place, end in self.inbox.begin().items():
            for record in self.inbox.history(place, end):
                self._recall(record)
        self._looked = 0.0
        self._look()
        self.begin()
        while not self.around.stopping():
            self.serving = self.inbox.joined()
            records, self._early = [*self._early, *self.inbox.poll(POLL_SECONDS)], []
            self.take(records)
            self.tick()
            self._look()

    @abstractmethod
    def begin(self) -> None:
        """What is to be done when it is known what was said before."""

    @abstractmethod
    def take(self, records: Sequence[Record]) -> None:
        """Deliver what these records say, and commit them."""

    @abstractmethod
    def tick(self) -> None:
        """Do what time asks for."""

    @abstractmethod
    def silenced(self, story: Story, seconds: float) -> None:
        """An episode is over since nothing comes to its whole partition."""

    def hear(self, record: Record) -> tuple[Heard, Alert | None, Story | None]:
        """Take a record in. What is no alert is buried; what is sent once more of a dead letter concerns its destination alone."""
        meant = dict(record.headers).get(LETTER_FOR)
        if meant is not None and meant != self.name.encode():  # not ours to judge, nor to bury
            return Heard.REPEAT, None, None
        try:
            alert = read(record)
        except ValueError as problem:
            self.bury(record, str(problem))
            return Heard.REPEAT, None, None
        if meant is not None:
            return Heard.NEWS, alert, None
        heard, story = self.ledger.hear(record, alert)
        if heard is Heard.REPEAT:
            self.metrics.repeated.labels(self.name).inc()
        elif heard is not Heard.NEWS:
            self.metrics.suppressed.labels(self.name).inc()
        return heard, alert, story

    def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post once, and note what came of it."""
        answer = self.around.send(url, body, headers, self.relay.timeout)
        words = logs.struck_out(answer.words, self.around.hidden)
        answer = replace(answer, words=words if len(words) <= SAID else words[:SAID] + "…")
        self.metrics.trouble.labels(self.name).set(not answer.delivered)
        if answer.delivered:
            self.metrics.last_success.labels(self.name).set(self.around.clock())
        else:
            self.metrics.failed.labels(self.name).inc()
        return answer

    def wait_after(self, failures: int, answer: Answer) -> None:
        """Wait before the next try: twice as long each time, shortened by chance so that relays do not try in step."""
        seconds = min(self.relay.backoff * 2.0 ** min(failures - 1, 60), self.relay.longest_backoff)
        end = time.monotonic() + max(answer.retry_after, seconds * random.uniform(0.5, 1.0))
        if failures == 1 or failures % 10 == 0:
            logs.say(f"{self.name} does not take alerts ({answer}); trying again")
        while (rest := end - time.monotonic()) > 0.0:
            if self.around.stopping():
                raise Stopped
            if time.monotonic() - self._measured >= MEASURE_SECONDS:
                self._measure()
            self._early += self.inbox.poll(min(POLL_SECONDS, rest), paused=True)
        if self.around.stopping():
            raise Stopped
        self.metrics.retried.labels(self.name).inc()

    def bury(self, record: Record, reason: str) -> None:
        """Send a record to dead-letters: it will not be delivered."""
        words = f"{self.name}: {reason}"
        self.inbox.bury(DeadLetter(record.topic, record.partition, record.offset, words, (), record.key, record.value), self.name)
        self.metrics.dead_lettered.labels(self.name).inc()
        line = f"{record.topic}/{record.partition}@{record.offset} to dead-letters: {words}"
        logs.say(line, stream=record.topic.removeprefix(topics.alerts("")), partition=record.partition)

    def _recall(self, record: Record) -> None:
        """Take in what has been dealt with before."""
        if LETTER_FOR in dict(record.headers):
            return
        try:
            self.ledger.hear(record, read(record), recalled=True)
        except ValueError:
            return

    def _look(self) -> None:
        """From time to time: whether whole partitions are silent, and how far all is."""
        now = self.around.clock()
        if abs(now - self._looked) < self.relay.resend:  # a clock may be put back
            return
        self._looked = now
        for stream, partition in self.ledger.places():
            seconds = self.around.silences[stream]
            if not self.inbox.silent(stream, partition, seconds):
                continue
            for story in self.ledger:
                data = story.alert.data
                if (data.stream, data.audit.partition) == (stream, partition) and (stream, data.test) not in UNTIL_HEARD:
                    self.silenced(story, seconds)
                    self.ledger.end(story)
        self._measure()

    def _measure(self) -> None:
        """How much is open, and how much waits: while a destination is away, too."""
        self._measured = time.monotonic()
        self.metrics.open_episodes.labels(self.name).set(len(self.ledger))
        self.metrics.lag.labels(self.name).set(self.inbox.lag())


def after(records: Sequence[Record]) -> dict[tuple[str, int], int]:
    """The offsets to commit when these are done."""
    return {(record.topic, record.partition): record.offset + 1 for record in records}


def headers_of(more: Mapping[str, Any]) -> dict[str, str]:
    """Header fields as text, those that are empty left out."""
    return {name: str(value) for name, value in more.items() if value}
