"""Alertmanager (v2 API): told what *is*, again and again, not what happened: every open episode is an alert that stands.

An episode is sent with an end that lies ten times `relay.resend` ahead, and sent again every `relay.resend`, so that nothing depends on
Alertmanager's own resolve_timeout, and what is forgotten there (a restart) comes back. Its labels stay the same as long as its severity
does; when that rises, the alert with the new label is fired and the old one ended in one request. One that is over too soon for
anybody to be notified (group_wait) stands for `relay.minimum`. So does one that was refused and is sent once more from the dead
letters, if it is over by then; if it is open, it is told as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from config.settings import Log
from streams.relay.alert import Alert
from streams.relay.courier import Around, Courier, after, headers_of
from streams.relay.inbox import Inbox
from streams.relay.ledger import Heard, Story
from streams.telemetry.privacy import masked
from streams.transport.log import Record

PATH = "/api/v2/alerts"
AT_ONCE = 256  # alerts in a request
STANDS = 10.0  # times relay.resend: how long Alertmanager takes a relay that is away for restarting
REFUSED = (400, 413, 422)  # what is sent is wrong; anything else that is no success is of the place, and tried for ever


@dataclass(slots=True)
class Standing:
    """An alert that stands at Alertmanager: its labels, when it began, since when it has been known there, when it was last sent."""

    story: Story
    labels: dict[str, str]
    starts: float
    since: float
    sent: float
    number: int
    refused: bool = False


class Alertmanager(Courier):
    """A courier to one Alertmanager; of several in a cluster each has its own, as Prometheus does it."""

    def __init__(self, name: str, inbox: Inbox, around: Around, url: str, log: Log) -> None:
        super().__init__(name, inbox, around)
        self._url = url.rstrip("/") + PATH
        self._log = log
        self._standing: dict[str, Standing] = {}

    def begin(self) -> None:
        self._standing = {}
        self.tick()

    def take(self, records: Sequence[Record]) -> None:
        news = 0
        brief: dict[str, Story] = {}  # over, and never told of
        for record in records:
            heard, alert, story = self.hear(record)
            if alert is None:
                continue
            news += heard is Heard.NEWS
            if story is None:
                if heard is Heard.NEWS:
                    self._once_more(record, alert, brief)
            elif story.over and story.id not in self._standing:
                if heard is Heard.NEWS:
                    brief[story.id] = story
            elif story.over:
                self._standing[story.id].story = story
            else:
                brief.pop(story.id, None)
        self._reconcile(list(brief.values()))
        if records:
            self.metrics.forwarded.labels(self.name).inc(news)
            self.inbox.commit(after(records))

    def tick(self) -> None:
        self._reconcile([])

    def silenced(self, story: Story, seconds: float) -> None:
        """Nothing to do here: what is over is ended by the next `tick`."""

    def _once_more(self, record: Record, alert: Alert, brief: dict[str, Story]) -> None:
        """What was refused, and has been sent once more for us: of an open episode it is told how that stands."""
        name = alert.data.episode.id
        if self.ledger.knows(name):
            if name in self._standing:
                self._standing[name].refused = False
                self._standing[name].sent = -math.inf
        else:
            brief[name] = Story(record._replace(value=None), alert, record.value or b"", record.timestamp_ms / 1000.0, over=True)

    def _reconcile(self, brief: Sequence[Story]) -> None:
        """Send what differs between what is and what was last sent."""
        now = self.around.clock()
        out: list[tuple[Standing, dict[str, Any]]] = []
        standing = dict(self._standing)
        for story in self.ledger:
            data = story.alert.data
            there = standing.get(story.id)
            why = self.around.quiet(data.stream, data.key, now)
            if why is not None:
                if there is not None:
                    out.append((there, self._ended(there, now, why)))
                    del standing[story.id]
                continue
            labels = self._labels(story.alert)
            if there is not None and there.labels != labels:
                out.append((there, self._ended(there, now, f"{there.labels['severity']} became {labels['severity']}")))
                there = None
            if there is None or self._to_be_sent(there, data.episode.report, now):
                there = standing[story.id] = self._stands(story, there, labels, now)
                out.append((there, self._message(there, now + max(STANDS * self.relay.resend, self.relay.minimum))))
        for story in brief:
            data = story.alert.data
            if self.around.quiet(data.stream, data.key, now) is None:
                there = standing[story.id] = self._stands(story, None, self._labels(story.alert), now)
                out.append((there, self._message(there, now + self.relay.minimum)))
        for name, there in list(standing.items()):
            if not there.story.over:
                continue
            labels = self._labels(there.story.alert)
            if there.labels != labels:  # it rose and was over between two looks
                out.append((there, self._ended(there, now, f"{there.labels['severity']} became {labels['severity']}")))
                there = standing[name] = self._stands(there.story, None, labels, now)
                out.append((there, self._message(there, now + self.relay.minimum)))
            elif now - there.since >= self.relay.minimum:
                out.append((there, self._ended(there, now)))
                del standing[name]
        self._send(out)
        self._standing = standing

    def _to_be_sent(self, there: Standing, number: int, now: float) -> bool:
        """Whether there is news, or it is time to say it again (a clock may be put back); not if just this was refused."""
        return there.number != number or (not there.refused and abs(now - there.sent) >= self.relay.resend)

    def _stands(self, story: Story, before: Standing | None, labels: dict[str, str], now: float) -> Standing:
        episode = story.alert.data.episode
        if before is not None:
            return Standing(story, labels, before.starts, before.since, now, episode.report)
        return Standing(story, labels, min(_seconds(episode.start, now), now), now, now, episode.report)

    def _ended(self, there: Standing, now: float, why: str = "") -> dict[str, Any]:
        ends = now if why else min(_seconds(there.story.alert.data.episode.end, now), now)
        return self._message(there, max(ends, there.starts), why)

    def _message(self, there: Standing, ends: float, why: str = "") -> dict[str, Any]:
        data = there.story.alert.data
        reasons = [f"({why})", *data.reasons] if why else data.reasons
        annotations = {
            "summary": f"{data.stream}, {data.test}: {reasons[0] if reasons else data.phase}",
            "reasons": "\n".join(reasons),
            "explain": f"nilometer explain {there.story.alert.id}",
        }
        return {"labels": there.labels, "annotations": annotations, "startsAt": _text(there.starts), "endsAt": _text(ends)}

    def _labels(self, alert: Alert) -> dict[str, str]:
        data = alert.data
        labels = {
            "alertname": "Nilometer",
            "stream": data.stream,
            "test": data.test,
            "severity": data.severity,
            "episode": data.episode.id,
        }
        if self.relay.key_label:
            labels["key"] = masked(data.key, data.stream, self._log)
        return labels

    def _send(self, messages: Sequence[tuple[Standing, dict[str, Any]]]) -> None:
        for first in range(0, len(messages), AT_ONCE):
            part = messages[first : first + AT_ONCE]
            if not self._taken(part) and len(part) > 1:
                for one in part:
                    self._send([one])

    def _taken(self, part: Sequence[tuple[Standing, dict[str, Any]]]) -> bool:
        """Whether Alertmanager took them; False if something is wrong with one. One alone that is refused is buried."""
        body = msgspec.json.encode([message for _, message in part])
        headers = headers_of({"Content-Type": "application/json", "Authorization": self.relay.alertmanager_authorization})
        failures = 0
        while True:
            answer = self.send(self._url, body, headers)
            if answer.delivered:
                return True
            if answer.status in REFUSED:
                if len(part) == 1:
                    there = part[0][0]
                    there.refused = True  # not again, until there is more to say
                    self.bury(there.story.record._replace(value=there.story.body), str(answer))
                return False
            failures += 1
            self.wait_after(failures, answer)


def _seconds(moment: str, otherwise: float) -> float:
    """Epoch seconds of RFC 3339; event time may be none that a calendar has."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (ValueError, OverflowError):
        return otherwise


def _text(seconds: float) -> str:
    """RFC 3339; Alertmanager's begin with the year 1."""
    return datetime.fromtimestamp(max(seconds, 0.0), UTC).isoformat().replace("+00:00", "Z")
