"""Dead letters: what could not be read goes on, as it came, to one topic; why and from where stands in the headers.

One letter a message: a frame of which only some readings are bad makes one letter that names their indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TOPIC = "dead-letters"
LETTER_FOR = "nilometer-destination"  # header: which of the relay's destinations did not take an alert
LARGEST_REASON = 1_000  # characters
LARGEST_VALUE = 900_000  # bytes: with its headers a letter must not be larger than a broker takes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that cannot be folded, wholly or in part; `indices` are the bad readings of a frame, empty for all of it."""

    topic: str
    partition: int
    offset: int
    reason: str
    indices: Sequence[int]
    key: bytes | None
    value: bytes | None

    def headers(self) -> list[tuple[str, bytes]]:
        """What stands beside the original bytes."""
        headers = [
            ("nilometer-topic", self.topic.encode()),
            ("nilometer-partition", str(self.partition).encode()),
            ("nilometer-offset", str(self.offset).encode()),
            ("nilometer-reason", self.reason[:LARGEST_REASON].encode()),
        ]
        if self.indices:
            headers.append(("nilometer-indices", ",".join(map(str, self.indices)).encode()))
        if self.value is not None and len(self.value) > LARGEST_VALUE:
            headers.append(("nilometer-cut-from", str(len(self.value)).encode()))
        return headers

    def body(self) -> bytes | None:
        """The original bytes; of a value too large to be sent on, its beginning (a header says so)."""
        return self.value if self.value is None else self.value[:LARGEST_VALUE]
