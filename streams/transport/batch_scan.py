"""The kernel that walks fetched bytes: Kafka's record batches (format v2) in, an index of their records out.

One call takes as many batches as are of one kind, since a producer that does not linger writes batches of one record, and a call a
batch would cost more than the whole of aiokafka. Nothing in the bytes is believed: every length is held against the end of what
it lies in before it is followed, so that corrupt bytes are refused and never read past.

Format, big-endian: base_offset i64 · length i32 (from here on) · leader_epoch i32 · magic i8 · crc u32 (CRC-32C of what follows)
· attributes i16 · last_offset_delta i32 · first_timestamp i64 · max_timestamp i64 · producer_id i64 · producer_epoch i16
· base_sequence i32 · count i32, then the records, compressed as one block if attributes & 7. A record: length varint · attributes
i8 · timestamp_delta varlong · offset_delta varint · key_length varint (negative = null) · key · value_length varint · value ·
header count varint · headers. Varints are zig-zag, base 128, low group first.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from streams.transport.crc32c import crc32c

# Bytes before and in a header.
LOG_OVERHEAD = 12  # base_offset and length
HEADER = 61
MAGIC_AT = 16
CRC_AT = 17
ATTRIBUTES_AT = 21
LEAST_OLD = 14  # the least length of a message in format v0: anything less is no batch
LEAST_RECORD = 6  # the least length of a record: attributes, two deltas, null key, null value, no headers

CODEC = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20

# Rows of the index: a column each.
OFFSET, TIMESTAMP, KEY_FROM, KEY_TO, VALUE_FROM, VALUE_TO, HEADERS = range(7)
COLUMNS = 7

# Columns of the aborted transactions: state is what the walk has made of it.
PRODUCER, FIRST_OFFSET, STATE = range(3)
AHEAD, IN_FORCE, OVER = range(3)

# Why a walk stopped.
END = 0  # no whole batch is left
GO_ON = 1  # other batches follow: call again from there
OLD = 2  # a batch in an older format
CORRUPT = 3  # a batch that is none

_OVERFLOW = np.int64(1) << np.int64(62)  # an offset that no log reaches; sums with an int32 stay below int64's end


@njit(cache=True)  # type: ignore[untyped-decorator]
def _i32(buffer, at):  # type: ignore[no-untyped-def]
    value = (
        np.int64(buffer[at]) << np.int64(24)
        | np.int64(buffer[at + 1]) << np.int64(16)
        | np.int64(buffer[at + 2]) << np.int64(8)
        | np.int64(buffer[at + 3])
    )
    return value - ((value & np.int64(0x80000000)) << np.int64(1))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _i64(buffer, at):  # type: ignore[no-untyped-def]
    return _i32(buffer, at) << np.int64(32) | (_i32(buffer, at + 4) & np.int64(0xFFFFFFFF))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _varint(buffer, at, end):  # type: ignore[no-untyped-def]
    """Return the number and the place behind it; −1 for the place if it does not end before `end` or within ten bytes."""
    value, shift = np.uint64(0), np.uint64(0)
    while at < end and shift < np.uint64(70):
        byte = np.uint64(buffer[at])
        at += 1
        value |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            if shift == np.uint64(63) and byte > np.uint64(1):
                break
            return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), at
        shift += np.uint64(7)
    return np.int64(0), -1


@njit(cache=True)  # type: ignore[untyped-decorator]
def _content(buffer, at, end):  # type: ignore[no-untyped-def]
    """A length and so many bytes: from, to and the place behind; from = to = −1 for null, the place −1 if it does not fit."""
    length, at = _varint(buffer, at, end)
    if at < 0 or length > end - at:
        return np.int64(-1), np.int64(-1), np.int64(-1)
    if length < 0:
        return np.int64(-1), np.int64(-1), np.int64(at)
    return np.int64(at), at + length, at + length


@njit(cache=True)  # type: ignore[untyped-decorator]
def _records(buffer, at, end, count, base, last_delta, first_timestamp, append_timestamp, log_append, index, row):  # type: ignore[no-untyped-def]
    """Write the index of a batch's records from `row` on; False if they are not exactly `count` whole records, offsets rising."""
    before = np.int64(-1)
    for _ in range(count):
        length, at = _varint(buffer, at, end)
        if at < 0 or length < LEAST_RECORD or length > end - at or buffer[at] > 127:
            return False  # aiokafka takes a record's attributes, which are always 0, for a varint
        stop = at + length
        time_delta, at = _varint(buffer, at + 1, stop)
        if at < 0:
            return False
        delta, at = _varint(buffer, at, stop)
        if at < 0 or delta <= before or delta > last_delta:
            return False
        before = delta
        index[OFFSET, row] = base + delta
        index[TIMESTAMP, row] = append_timestamp if log_append else first_timestamp + time_delta
        index[KEY_FROM, row], index[KEY_TO, row], at = _content(buffer, at, stop)
        if at < 0:
            return False
        index[VALUE_FROM, row], index[VALUE_TO, row], at = _content(buffer, at, stop)
        if at < 0:
            return False
        headers_at = at
        headers, at = _varint(buffer, at, stop)
        if at < 0 or headers < 0 or headers > stop - at:
            return False
        index[HEADERS, row] = headers_at if headers else -1
        for _ in range(headers):
            name_from, _to, at = _content(buffer, at, stop)
            if at < 0 or name_from < 0:
                return False
            _from, _to, at = _content(buffer, at, stop)
            if at < 0:
                return False
        if at != stop:
            return False
        row += 1
    return at == end


@njit(cache=True)  # type: ignore[untyped-decorator]
def _extent(buffer):  # type: ignore[no-untyped-def]
    """How far batches of one kind, plain or compressed, go: end, why it ends there, batches, records at most, whether compressed.

    Control batches, which are never shown, are of both kinds.
    """
    at, batches, rows, compressed = np.int64(0), np.int64(0), np.int64(0), np.int64(-1)
    while True:
        if len(buffer) - at < LOG_OVERHEAD:
            return at, END, batches, rows, compressed == 1
        length = _i32(buffer, at + 8)
        if length < LEAST_OLD:
            return at, CORRUPT, batches, rows, compressed == 1
        if length > len(buffer) - at - LOG_OVERHEAD:
            return at, END, batches, rows, compressed == 1
        magic = buffer[at + MAGIC_AT]
        if magic < 2:
            return at, OLD, batches, rows, compressed == 1
        if magic > 2 or length < HEADER - LOG_OVERHEAD:
            return at, CORRUPT, batches, rows, compressed == 1
        attributes = buffer[at + ATTRIBUTES_AT + 1]
        if not attributes & CONTROL:
            kind = np.int64(1) if attributes & CODEC else np.int64(0)
            if compressed >= 0 and kind != compressed:
                return at, GO_ON, batches, rows, compressed == 1
            compressed = kind
            if kind == 0:
                rows += max(np.int64(0), min(_i32(buffer, at + 57), length // (LEAST_RECORD + 1)))
        batches += 1
        at += LOG_OVERHEAD + length


@njit(cache=True)  # type: ignore[untyped-decorator]
def _begin_transactions(aborted, base):  # type: ignore[no-untyped-def]
    """Put the aborted transactions that begin up to here in force."""
    for i in range(len(aborted)):
        if aborted[i, FIRST_OFFSET] > base:
            return
        if aborted[i, STATE] == AHEAD:
            aborted[i, STATE] = IN_FORCE


@njit(cache=True)  # type: ignore[untyped-decorator]
def _is_aborted(aborted, producer):  # type: ignore[no-untyped-def]
    for i in range(len(aborted)):
        if aborted[i, STATE] == AHEAD:
            return False
        if aborted[i, STATE] == IN_FORCE and aborted[i, PRODUCER] == producer:
            return True
    return False


@njit(cache=True)  # type: ignore[untyped-decorator]
def _end_transaction(buffer, at, end, count, producer, aborted):  # type: ignore[no-untyped-def]
    """If a control batch is an abort marker, its producer's transaction is over; False if the batch is corrupt."""
    if count < 0 or count > (end - at) // (LEAST_RECORD + 1):
        return False
    record = np.empty((COLUMNS, max(count, 1)), np.int64)
    if not _records(buffer, at, end, count, 0, np.int64(0x7FFFFFFF), 0, 0, False, record, 0):
        return False
    if count == 0:
        return True  # compaction has taken the marker
    key = record[KEY_FROM, 0]
    if key < 0 or record[KEY_TO, 0] - key < 4:
        return False
    if _i32(buffer, key) == 0:  # version 0, type 0: an abort
        for i in range(len(aborted)):
            if aborted[i, STATE] == IN_FORCE and aborted[i, PRODUCER] == producer:
                aborted[i, STATE] = OVER
    return True


@njit(cache=True)  # type: ignore[untyped-decorator]
def walk(buffer, check_crcs, committed, aborted):  # type: ignore[no-untyped-def]
    """Walk batches from the buffer's first byte on, as long as they are of one kind.

    Parameters
    ----------
    buffer
        uint8, contiguous, writable.
    check_crcs
        Whether checksums are held against the bytes.
    committed
        Whether records of aborted transactions are passed over.
    aborted
        int64 of shape (transactions, 3): producer id, first offset, 0; sorted by first offset. The states are kept from call to call.

    Returns
    -------
    code
        Why it stopped at `at`.
    at
        How many bytes were decided.
    next
        The offset behind the last batch decided, passed over or not; −1 if there was none.
    rows, index
        int64 of shape (7, at least rows): of plain batches the records' offsets, timestamps (ms), key from, key to, value from,
        value to, header count; places in `buffer`, −1 for null and for no headers.
    listed, compressed
        int64 of shape (at least listed, 5): of compressed batches from, to, the offset behind it and behind what is passed over
        after it, codec, count of records. Their checksums hold; their records are not looked at.
    headers
        Whether any record in the index has headers.
    """
    stop, code, batches, most, is_compressed = _extent(buffer)
    index = np.empty((COLUMNS, most), np.int64)
    compressed = np.empty((batches if is_compressed else 0, 5), np.int64)
    at, following, rows, listed = np.int64(0), np.int64(-1), np.int64(0), np.int64(0)
    while at < stop:
        end = at + LOG_OVERHEAD + _i32(buffer, at + 8)
        if check_crcs and np.int64(crc32c(buffer, at + ATTRIBUTES_AT, end)) != _i32(buffer, at + CRC_AT) & np.int64(0xFFFFFFFF):
            code = CORRUPT
            break
        base, last_delta = _i64(buffer, at), _i32(buffer, at + 23)
        if base < 0 or base > _OVERFLOW or last_delta < 0:
            code = CORRUPT
            break
        attributes = buffer[at + ATTRIBUTES_AT + 1]
        producer, count = _i64(buffer, at + 43), _i32(buffer, at + 57)
        passed_over = attributes & CONTROL != 0 or (is_compressed and count == 0)
        if committed and attributes & (CONTROL | TRANSACTIONAL):
            _begin_transactions(aborted, base)
            if attributes & CONTROL and not _end_transaction(buffer, at + HEADER, end, count, producer, aborted):
                code = CORRUPT
                break
            passed_over = passed_over or _is_aborted(aborted, producer)
        if passed_over:
            following = max(following, base + last_delta + 1)
            if listed:
                compressed[listed - 1, 2] = following
            at = end
            continue
        if base < following or (is_compressed and following >= 0 and not listed):
            code = GO_ON  # offsets of an index rise; what was passed over ahead of a list is told before it
            break
        if is_compressed:
            following = base + last_delta + 1
            compressed[listed, 0], compressed[listed, 1], compressed[listed, 2] = at, end, following
            compressed[listed, 3], compressed[listed, 4] = np.int64(attributes & CODEC), count
            listed += 1
        else:
            if count < 0 or count > (end - at - HEADER) // (LEAST_RECORD + 1):
                code = CORRUPT
                break
            log_append = attributes & LOG_APPEND_TIME != 0
            first_timestamp, last_timestamp = _i64(buffer, at + 27), _i64(buffer, at + 35)
            if not _records(
                buffer, at + HEADER, end, count, base, last_delta, first_timestamp, last_timestamp, log_append, index, rows
            ):  # fmt: skip
                code = CORRUPT
                break
            rows += count
            following = base + last_delta + 1
        at = end
    headers = False
    for row in range(rows):
        if index[HEADERS, row] >= 0:
            headers = True
            break
    return code, at, following, rows, index, listed, compressed, headers
