"""Replies: a transaction that asks for its verdict gets it from the batch in which it is judged.

A record asks by a header `nilometer-reply-to`, which names a topic, one of those that a setting allows. A second header,
`nilometer-correlation-id`, comes back as it was given, and so does the record's key. What cannot be read is answered, too, with the
reason; who names another topic is not answered, but counted.

A reply follows from the fold alone: after a crash a record may be answered once more, in the same words.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec

from detectors.protocol import REASONS, ROW, Detector
from detectors.wording import instant
from streams.decoding.refusals import shown
from streams.partition import Outcome
from streams.records import Decoded
from streams.transport.chunk import Chunk, no_headers

REPLY_TO, CORRELATION = "nilometer-reply-to", "nilometer-correlation-id"
LONGEST_CORRELATION = 1_024  # bytes: it is kept in no state, but a reply must not be larger than a broker takes
SAID = ("rule", "decision", "model_version", "fraud_probability", "unusualness")  # of the evidence
UNREADABLE, NOT_JUDGED = "unreadable", "not judged"


class Reply(NamedTuple):
    """A record that answers another."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class Asked(NamedTuple):
    """Who wants an answer: the record's row in its chunk, where to, and what comes back with it."""

    row: int
    topic: str
    correlation: bytes | None


class Replies:
    """What is answered to the records of a chunk.

    Parameters
    ----------
    allowed
        The topics that may be named. As all topics of a configuration, they stand without its prefix.
    """

    def __init__(self, detector: Detector, allowed: Collection[str]) -> None:
        self._detector, self._allowed = detector, frozenset(allowed)

    def answer(self, topic: str, chunk: Chunk, decoded: Decoded, outcome: Outcome) -> tuple[list[Reply], list[str]]:
        """The replies to a chunk of a topic (named without our prefix), in order of its records; and why others get none."""
        if chunk.headers is no_headers:
            return [], []
        asked, refused = self._asked(chunk)
        if not asked:
            return [], refused
        places = {row: place for place, row in enumerate(decoded.record[outcome.rows].tolist())}
        alarms = {row: i for i, row in enumerate(outcome.verdicts.alarms.places[:, ROW].tolist())}
        letters = {letter.offset: letter.reason for letter in decoded.dead}
        replies = []
        for each in asked:
            offset, place = int(chunk.offsets[each.row]), places.get(each.row)
            told: dict[str, Any] = {"origin": {"topic": topic, "partition": chunk.partition, "offset": offset}}
            if place is None:
                told |= {"decision": UNREADABLE, "reason": letters.get(offset)}
            else:
                told |= self._verdict(decoded, outcome, place, alarms.get(place))
            headers = [] if each.correlation is None else [(CORRELATION, each.correlation)]
            replies.append(Reply(each.topic, chunk.key(each.row), msgspec.json.encode(told), headers))
        return replies, refused

    def _asked(self, chunk: Chunk) -> tuple[list[Asked], list[str]]:
        """Who asks for an answer and may have one, and why others may not."""
        asked, refused = [], []
        for row in range(len(chunk)):
            headers = dict(chunk.headers(row))  # of a header that stands twice the last counts
            if REPLY_TO not in headers:
                continue
            wanted, correlation = (headers[REPLY_TO] or b"").decode("utf-8", "replace"), headers.get(CORRELATION)
            if wanted not in self._allowed:
                refused.append(f"{REPLY_TO} = {shown(wanted)}: none of cards.reply_topics")
            elif correlation is not None and len(correlation) > LONGEST_CORRELATION:
                refused.append(f"{CORRELATION} has {len(correlation):,} bytes: at most {LONGEST_CORRELATION:,} are given back")
            else:
                asked.append(Asked(row, wanted, correlation))
        return asked, refused

    def _verdict(self, decoded: Decoded, outcome: Outcome, place: int, alarm: int | None) -> dict[str, Any]:
        """What was said of one event; `alarm` is its own among the batch's, None where it has none."""
        verdicts, row = outcome.verdicts, int(outcome.rows[place])
        columns, evidence = decoded.columns, verdicts.evidence
        told: dict[str, Any] = {name: column[row] for name, column in decoded.texts.items() if name == "transaction_id"}
        told |= {"key": columns.keys[row].decode("utf-8", "replace"), "at": instant(int(columns.at[row]))}
        for name in SAID:
            told[name] = _plain(evidence[name][place])
        for name in ("score", "threshold", "p_value"):
            told[name] = _plain(getattr(verdicts, name)[place])
        told["not_ready"] = bool(verdicts.not_ready[place])
        if verdicts.reason[place]:  # late, or repeated: there is no verdict on it
            told["decision"], told["reason"] = NOT_JUDGED, REASONS[verdicts.reason[place]]
        if alarm is not None:
            told["reasons"] = list(self._detector.explain(verdicts.alarms, alarm).reasons)
        return told


def _plain(value: Any) -> Any:
    """A number or text as JSON has it: NaN and infinities are null, and so is a text or a version that says that there is none."""
    plain = value.item()
    if isinstance(plain, float):
        return plain if math.isfinite(plain) else None
    return None if plain in ("", -1) else plain
