"""What a stream is to everything that folds one: worker, demo, backtest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from detectors.protocol import Detector
from streams import topics
from streams.alerts import Promise
from streams.partition import Outcome, Partition
from streams.records import Decoded
from streams.replies import Replies
from streams.training import Trainer
from streams.transport.chunk import Chunk


def only_key(key: bytes) -> dict[str, str]:
    """A key that is one thing: the sensor, card or employee."""
    return {"key": key.decode("utf-8", "replace")}


class Forwarded(NamedTuple):
    """A record for another of our topics."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def nothing_forwarded(decoded: Decoded, outcome: Outcome) -> Iterable[Forwarded]:
    """Most streams end here."""
    return ()


@dataclass(frozen=True, slots=True)
class Definition:
    """One stream: what it reads, how it judges, what an alert of it promises.

    Attributes
    ----------
    name
        sensors, cards, employees or errors.
    detector
        Judges every partition of the stream; holds no state itself.
    decode
        A chunk's records as columns, and what could not be read.
    silence
        Seconds of the partition's event time after which an open episode of a silent key is over.
    rate
        The promised share of alerting units among normal ones.
    comparable
        Whether the share of judged events that alert may be held beside `rate`: not where the promise is of days or years.
    scores
        Whether every verdict goes to the score log.
    packed
        Evidence that the score log holds packed (`scores`): columns that machines read.
    merges
        Whether partitions contribute to inputs merged over the whole stream.
    parts
        What a key of the state consists of, by name; "key" is the one that people know.
    forward
        What of a folded batch goes on to another of our topics.
    replies
        Answers records that ask for their verdict; None where nothing does.
    prepare
        Awaited before a chunk is decoded, to fetch what that needs; None where it needs nothing.
    train
        Makes what learns from scored events and their late labels, for partitions to adopt; None where nothing does.
    """

    name: str
    detector: Detector
    decode: Callable[[Chunk], Decoded]
    silence: float
    promise: Promise
    rate: float
    scores: bool
    packed: Sequence[str] = ()
    merges: bool = False
    comparable: bool = True
    parts: Callable[[bytes], dict[str, str]] = only_key
    forward: Callable[[Decoded, Outcome], Iterable[Forwarded]] = nothing_forwarded
    replies: Replies | None = None
    train: Callable[..., Trainer] | None = None
    prepare: Callable[[Chunk], Awaitable[None]] | None = None

    def partition(self, number: int) -> Partition:
        """A fold of one partition that has seen nothing yet."""
        return Partition(self.name, topics.source(self.name), number, self.detector, self.silence)
