"""Keys of a partition: byte strings on one side, dense slots (row numbers) on the other.

A slot is where a key's numbers stand in every array of a slab. Which slot a key has is an accident of arrival and no part of the
state: a frozen index lists its keys in byte order, and two folds of one log freeze to the same bytes.

When the index is full, the sixteenth of the keys that were touched longest ago leaves at once, at the very event that needs
room. Age is counted in events of the partition, never in memory or on a clock, so that a replay evicts the same keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

PREFIX = 32  # bytes of a key that are compared at once when keys are put in order
EVICTED_SHARE = 16  # a full index forgets one key in sixteen at once, so that a flood costs little per key
_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)


@dataclass(frozen=True, slots=True)
class PackedKeys:
    """Many short byte strings in one buffer: string i is ``buffer[start[i]:stop[i]]``."""

    buffer: NDArray[np.uint8]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    @classmethod
    def pack(cls, keys: Iterable[str | bytes]) -> PackedKeys:
        """Pack strings (as UTF-8) or bytes; the arrays are writable, as the kernels' one signature wants them."""
        encoded = [key.encode() if isinstance(key, str) else key for key in keys]
        lengths = np.fromiter((len(key) for key in encoded), np.int64, len(encoded))
        stop = np.cumsum(lengths)
        buffer = np.frombuffer(bytearray(b"".join(encoded)) or bytearray(1), np.uint8)
        return cls(buffer, stop - lengths, stop)

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, row: int) -> bytes:
        return self.buffer[self.start[row] : self.stop[row]].tobytes()

    def span(self, first: int, last: int) -> PackedKeys:
        """Rows first … last − 1, sharing the buffer."""
        return PackedKeys(self.buffer, self.start[first:last], self.stop[first:last])

    def take(self, rows: NDArray[np.int64]) -> PackedKeys:
        """The rows of these numbers, sharing the buffer."""
        return PackedKeys(self.buffer, self.start[rows], self.stop[rows])

    def tolist(self) -> list[bytes]:
        whole = self.buffer.tobytes()
        return [whole[a:b] for a, b in zip(self.start.tolist(), self.stop.tolist(), strict=True)]


@njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def hash_bytes(buffer, start, stop):  # type: ignore[no-untyped-def]
    """FNV-1a over the bytes, finished as splitmix64 does, since FNV's low bits are weak for short keys."""
    h = _FNV_OFFSET
    for i in range(start, stop):
        h = (h ^ np.uint64(buffer[i])) * _FNV_PRIME
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _find(buffer, start, stop, h, table, hashes, pool, key_start, key_stop):  # type: ignore[no-untyped-def]
    """Return the place in `table` where the key stands, or the empty place where it would."""
    mask = np.uint64(len(table) - 1)
    place = np.int64(h & mask)
    while True:
        slot = table[place]
        if slot < 0:
            return place
        if hashes[slot] == h and key_stop[slot] - key_start[slot] == stop - start:
            same = True
            for i in range(stop - start):
                if pool[key_start[slot] + i] != buffer[start + i]:
                    same = False
                    break
            if same:
                return place
        place = np.int64(np.uint64(place + 1) & mask)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _admit(  # type: ignore[no-untyped-def]
    buffer, start, stop, from_row, first_event, limit, table, hashes, pool, key_start, key_stop, touched, free, counts, out
):
    """Give every row its slot until room is needed; counts = [live, free slots, pool bytes used]. Returns the row it stopped at."""
    for row in range(from_row, len(start)):
        h = hash_bytes(buffer, start[row], stop[row])
        place = _find(buffer, start[row], stop[row], h, table, hashes, pool, key_start, key_stop)
        slot = table[place]
        if slot < 0:
            length = stop[row] - start[row]
            if counts[0] >= limit or counts[1] == 0 or 2 * (counts[0] + 1) > len(table) or counts[2] + length > len(pool):
                return row
            counts[1] -= 1
            slot = free[counts[1]]
            table[place] = slot
            hashes[slot] = h
            key_start[slot] = counts[2]
            key_stop[slot] = counts[2] + length
            for i in range(length):
                pool[counts[2] + i] = buffer[start[row] + i]
            counts[2] += length
            counts[0] += 1
        touched[slot] = first_event + row
        out[row] = slot
    return len(start)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _rebuild(table, slots, hashes):  # type: ignore[no-untyped-def]
    table[:] = -1
    mask = np.uint64(len(table) - 1)
    for slot in slots:
        place = np.int64(hashes[slot] & mask)
        while table[place] >= 0:
            place = np.int64(np.uint64(place + 1) & mask)
        table[place] = slot


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _prefixes(pool, key_start, key_stop, slots, out):  # type: ignore[no-untyped-def]
    """The first PREFIX bytes of each slot's key as big-endian words, zeros behind a shorter one."""
    for row, slot in enumerate(slots):
        for word in range(out.shape[1]):
            value = np.uint64(0)
            for place in range(8 * word, 8 * word + 8):
                byte = pool[key_start[slot] + place] if key_start[slot] + place < key_stop[slot] else np.uint8(0)
                value = (value << np.uint64(8)) | np.uint64(byte)
            out[row, word] = value


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _joined(pool, key_start, key_stop, slots, out):  # type: ignore[no-untyped-def]
    """The keys of these slots, one behind another."""
    place = 0
    for slot in slots:
        for i in range(key_start[slot], key_stop[slot]):
            out[place] = pool[i]
            place += 1


class KeyIndex:
    """Key → slot, at most `limit` keys.

    `capacity` rows are what every array indexed by slot must have; it grows by doubling while keys are admitted.
    """

    def __init__(self, limit: int = 1_000_000, capacity: int = 64) -> None:
        if limit < 1:
            raise ValueError(f"limit = {limit}: a partition must be able to keep at least one key")
        self.limit = limit
        self.capacity = min(capacity, limit)
        self.hashes = np.zeros(self.capacity, np.uint64)
        self.touched = np.zeros(self.capacity, np.int64)
        self._start = np.zeros(self.capacity, np.int64)
        self._stop = np.zeros(self.capacity, np.int64)
        self._free = np.arange(self.capacity, dtype=np.int64)[::-1].copy()
        self._table = np.full(_table_size(self.capacity), -1, np.int64)
        self._pool = np.zeros(32 * self.capacity, np.uint8)
        self._counts = np.array([0, self.capacity, 0], np.int64)
        self._order: NDArray[np.int64] | None = None  # as long as no key comes or goes

    def __len__(self) -> int:
        return int(self._counts[0])

    @property
    def full(self) -> bool:
        return len(self) >= self.limit

    def admit(self, keys: PackedKeys, first_event: int) -> NDArray[np.int64]:
        """Return a slot for each of the first rows; shorter than `keys` when the index is full and the next row is a new key.

        `first_event` is the partition's event number of row 0. Admitting a row again, at its own number, changes nothing.
        """
        out = np.empty(len(keys), np.int64)
        row, before = 0, len(self)
        while True:
            row = _admit(
                keys.buffer, keys.start, keys.stop, row, first_event, self.limit,
                self._table, self.hashes, self._pool, self._start, self._stop, self.touched, self._free, self._counts, out,
            )  # fmt: skip
            if row == len(keys) or self.full:
                if len(self) != before:
                    self._order = None
                return out[:row]
            self._grow(int(keys.stop[row] - keys.start[row]))

    def oldest(self) -> NDArray[np.int64]:
        """The slots of the sixteenth of the keys touched longest ago, in order of age: what a full index is to `remove`."""
        live = self.slots()
        return live[np.argsort(self.touched[live], kind="stable")][: max(1, len(live) // EVICTED_SHARE)]

    def remove(self, slots: NDArray[np.int64]) -> None:
        """Forget these slots' keys; the caller clears their rows."""
        gone = np.zeros(self.capacity, np.bool_)
        gone[slots] = True
        live = self.slots()
        live = live[~gone[live]]
        packed = self.packed(live)
        self._free[self._counts[1] : self._counts[1] + len(slots)] = slots
        self._counts[1] += len(slots)
        self._counts[0] = len(live)
        self._order = None
        self._store(live, packed)

    def slots(self) -> NDArray[np.int64]:
        """The live slots, in no meaningful order."""
        return np.sort(self._table[self._table >= 0])

    def order(self) -> NDArray[np.int64]:
        """The live slots, sorted by key: the canonical order of a frozen state."""
        if self._order is None:
            self._order = self._sorted(self.slots())
        return self._order.copy()

    def _sorted(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """These slots by their keys: first by the beginnings, in which nearly all differ, and where these agree by the whole."""
        prefix = np.empty((len(slots), PREFIX // 8), np.uint64)
        _prefixes(self._pool, self._start, self._stop, slots, prefix)
        length = self._stop[slots] - self._start[slots]
        order = np.lexsort((length, *prefix.T[::-1]))  # a key that is another's beginning, but for zero bytes, is the shorter
        slots, prefix, length = slots[order], prefix[order], length[order]
        alike = np.zeros(len(slots) + 1, np.bool_)  # whether row i − 1 and row i must be looked at whole
        alike[1:-1] = (prefix[1:] == prefix[:-1]).all(axis=1) & (np.maximum(length[1:], length[:-1]) > PREFIX)
        first = np.flatnonzero(alike[1:] & ~alike[:-1])
        last = np.flatnonzero(alike[:-1] & ~alike[1:])
        for a, b in zip(first.tolist(), last.tolist(), strict=True):
            slots[a : b + 1] = sorted(slots[a : b + 1].tolist(), key=self.key)
        return slots

    def key(self, slot: int) -> bytes:
        return self._pool[self._start[slot] : self._stop[slot]].tobytes()

    def find(self, key: bytes) -> int:
        """The slot of a key, −1 if it is not here."""
        buffer = np.frombuffer(bytearray(key) or bytearray(1), np.uint8)
        h = np.uint64(hash_bytes(buffer, 0, len(key)))
        place = _find(buffer, 0, len(key), h, self._table, self.hashes, self._pool, self._start, self._stop)
        return int(self._table[place])

    def beginning(self, key: bytes, separator: bytes) -> list[int]:
        """The slots of a key and of those that are it with more behind a separator, in the order of their keys; looks at every key."""
        head, slots = key + separator, self.slots()
        names = zip(self.packed(slots).tolist(), slots.tolist(), strict=True)
        return [slot for _, slot in sorted((name, slot) for name, slot in names if name == key or name.startswith(head))]

    def packed(self, slots: NDArray[np.int64]) -> PackedKeys:
        return PackedKeys(self._pool, self._start[slots], self._stop[slots])

    def freeze(self) -> dict[str, NDArray[np.generic]]:
        """Keys in byte order, with the event that touched each last."""
        order = self.order()
        lengths = self._stop[order] - self._start[order]
        keys = np.empty(int(lengths.sum()), np.uint8)
        _joined(self._pool, self._start, self._stop, order, keys)
        return {
            "keys": keys,
            "lengths": lengths,
            "touched": self.touched[order],
        }

    @classmethod
    def thaw(cls, frozen: dict[str, NDArray[np.generic]], limit: int) -> KeyIndex:
        """The index of a frozen state: its keys have the slots 0 … n − 1, in byte order."""
        lengths = frozen["lengths"].astype(np.int64)
        stop = np.cumsum(lengths)
        buffer = np.concatenate([frozen["keys"].astype(np.uint8), np.zeros(1, np.uint8)])
        index = cls(max(limit, 1), capacity=max(64, len(lengths)))
        if len(lengths) > limit:
            raise ValueError(f"{len(lengths)} keys are in the state, more than the limit of {limit}: raise the limit")
        index.admit(PackedKeys(buffer, stop - lengths, stop), 0)
        index.touched[: len(lengths)] = frozen["touched"].astype(np.int64)
        return index

    def _store(self, slots: NDArray[np.int64], packed: PackedKeys) -> None:
        """Lay the keys of `slots` out anew in pool and table."""
        keys = packed.tolist()
        lengths = np.array([len(key) for key in keys], np.int64)
        stop = np.cumsum(lengths)
        used = int(stop[-1]) if len(stop) else 0
        pool = np.zeros(max(len(self._pool), used), np.uint8)
        pool[:used] = np.frombuffer(b"".join(keys), np.uint8)
        self._pool = pool
        self._start[slots] = stop - lengths
        self._stop[slots] = stop
        self._counts[2] = used
        _rebuild(self._table, slots, self.hashes)

    def _grow(self, length: int) -> None:
        if self._counts[1] == 0:
            old, new = self.capacity, min(2 * self.capacity, self.limit)
            for name in ("hashes", "touched", "_start", "_stop"):
                grown = np.zeros(new, getattr(self, name).dtype)
                grown[:old] = getattr(self, name)
                setattr(self, name, grown)
            self._free = np.empty(new, np.int64)
            self._free[: new - old] = np.arange(old, new)[::-1]
            self._counts[1] = new - old
            self.capacity = new
        if 2 * (len(self) + 1) > len(self._table):
            slots = self.slots()
            self._table = np.full(2 * len(self._table), -1, np.int64)
            _rebuild(self._table, slots, self.hashes)
        if self._counts[2] + length > len(self._pool):
            grown = np.zeros(2 * len(self._pool) + length, np.uint8)
            grown[: len(self._pool)] = self._pool
            self._pool = grown


def _table_size(capacity: int) -> int:
    return 1 << max(7, (2 * capacity).bit_length())


def pack_strings(strings: Sequence[str]) -> PackedKeys:
    """Pack `str` keys quickly: one join and one encoding for all of them."""
    joined = "".join(strings)
    if not joined.isascii():
        return PackedKeys.pack(strings)
    stop = np.cumsum(np.fromiter(map(len, strings), np.int64, len(strings)))
    start = np.empty_like(stop)
    start[:1] = 0
    start[1:] = stop[:-1]
    return PackedKeys(np.frombuffer(bytearray(joined.encode()) or bytearray(1), np.uint8), start, stop)
