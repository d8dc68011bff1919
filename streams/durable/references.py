"""Records that are adopted by reference: a cut names topic, partition, offset and digest; what is read there must have that digest.

A model and a stream's merchant shares are too large, and too many, to stand in every partition's cut log. They are immutable records
of a topic of their own (`nilometer.models.<stream>`), JSON by the names of the inputs, so whoever applies a cut again finds what was
applied the first time.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

DIGEST_BYTES = 16
KEPT = 64  # records in memory: partitions adopt the newest, a restored one may want a few older ones


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a record stands, and what it must be."""

    topic: str
    partition: int
    offset: int
    digest: str

    @property
    def place(self) -> tuple[str, int, int]:
        return self.topic, self.partition, self.offset

    def plain(self) -> dict[str, Any]:
        """As it stands in a cut."""
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset, "digest": self.digest}


class NoSuchRecord(ValueError):
    """What a reference names is not there, or is not what it was."""


def digest(value: bytes) -> str:
    """Of a record's bytes."""
    return hashlib.blake2b(value, digest_size=DIGEST_BYTES).hexdigest()


def as_reference(told: Any) -> Reference | None:
    """An input of a cut as a reference; None where it is something else, given by value."""
    if not isinstance(told, Mapping) or "digest" not in told:
        return None
    try:
        return msgspec.convert(told, Reference)
    except msgspec.ValidationError:
        return None


class Records:
    """The records that references name: the newest in memory, older ones fetched again.

    Parameters
    ----------
    fetch
        Reads the value at (topic, partition, offset), None where there is nothing.
    """

    def __init__(self, fetch: Callable[[str, int, int], Awaitable[bytes | None]] | None = None, keep: int = KEPT) -> None:
        self._fetch, self._keep = fetch, keep
        self._held: OrderedDict[Reference, Any] = OrderedDict()

    def put(self, topic: str, partition: int, offset: int, value: bytes) -> Reference:
        """Hold a record; return the reference by which it is adopted."""
        reference = Reference(topic, partition, offset, digest(value))
        self._hold(reference, value)
        return reference

    def holds(self, reference: Reference) -> bool:
        """Whether a record need not be read again."""
        return reference in self._held

    def resolved(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """A cut's inputs, references replaced by what they name.

        Raises
        ------
        NoSuchRecord
            One of them is not held: `fetch` it first.
        """
        found = {}
        for name, told in inputs.items():
            reference = as_reference(told)
            if reference is None:
                found[name] = told
                continue
            if not self.holds(reference):
                raise NoSuchRecord(f"{name}: {reference.topic}/{reference.partition} at {reference.offset} has not been read")
            self._held.move_to_end(reference)
            found[name] = self._held[reference][name]
        return found

    async def fetch(self, inputs: Mapping[str, Any]) -> None:
        """Read what a cut's inputs refer to and is not held.

        Raises
        ------
        NoSuchRecord
            It is not there any more, or is another record: the partition cannot go on from this cut.
        """
        for name, told in inputs.items():
            reference = as_reference(told)
            if reference is None or self.holds(reference):
                continue
            value = await self._fetch(*reference.place) if self._fetch is not None else None
            if value is None or digest(value) != reference.digest:
                what = "is gone" if value is None else "is another record"
                raise NoSuchRecord(
                    f"{name}: what was adopted from {reference.topic}/{reference.partition} at {reference.offset} {what}; "
                    "this topic must be kept for as long as the source"
                )
            self._hold(reference, value)

    def _hold(self, reference: Reference, value: bytes) -> None:
        self._held[reference] = msgspec.json.decode(value)
        while len(self._held) > self._keep:
            self._held.popitem(last=False)
